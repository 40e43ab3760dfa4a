//! `rule`: an alert rule. The record is documented in `docs/rules.md`; what breaks a rule of that page is refused with
//! the field, the value and what was expected, and for a condition in CEL with the line and column.

use std::sync::Arc;

use formula::alert::AlertScope;
use formula::{Formula, Type};
use model::Sym;
use model::reference::rule::{
    Against, Flap, FormulaRef, Level, Limit, MAX_LEVELS, MAX_SPAN_MS, Occasion, RuleRef, Schedule, Selector,
    Severity, Side, Signal, Usual,
};
use serde_json::Value as Json;

use super::{minute_of_day, name, number, text};
use crate::streams::fields::{Object, short};
use crate::streams::{Interner, Reason};

/// Default distance between evaluations of a condition that time alone changes, ms.
const EVERY_MS: i64 = 60_000;

fn invalid(what: impl Into<String>) -> Reason {
    format!("invalid_rule: {}", what.into())
}

pub(super) fn parse(interner: &mut Interner, object: &Object) -> Result<RuleRef, Reason> {
    let selector = Selector {
        metric: name(interner, object, "metric")?,
        sensor_kind: name(interner, object, "sensor_kind")?,
        district: name(interner, object, "district")?,
        tags: super::tags(interner, object)?,
    };
    let offline = object.get("offline").filter(|offline| !offline.is_null());
    let condition = text(object, "condition")?;
    let signal = object.get("signal").filter(|signal| !signal.is_null());
    let conditional = object
        .get("levels")
        .and_then(Json::as_array)
        .is_some_and(|levels| levels.iter().any(|level| level.get("condition").is_some()));
    let (signal, levels) = match (offline, condition, signal) {
        _ if object.get("occasion").is_some_and(|occasion| !occasion.is_null()) => lasting(object)?,
        (Some(offline), None, None) => watch(object, offline)?,
        (None, Some(_), None) => formulas(object)?,
        (None, None, None) if conditional => formulas(object)?,
        (None, None, signal) => {
            let signal = signal.map_or(Ok(Signal::Value), derived)?;
            let default_clear = match signal {
                Signal::Deviation(_) => Some(0.5),
                _ => None,
            };
            (signal, limits(object, default_clear)?)
        }
        _ => return Err(invalid("expected at most one of `offline`, `condition` and `signal`")),
    };
    let anything = match &signal {
        Signal::Offline { .. } | Signal::Occasion(_) => true,
        // A condition may look at the site, which needs to know of what.
        Signal::Formula(_) => false,
        _ => !selector.tags.is_empty(),
    };
    if selector.metric == Sym::EMPTY && !anything {
        return Err(
            "missing_field: `metric` is missing: only a rule with `offline`, `occasion` or `tags` goes without"
                .into(),
        );
    }
    let (mut zh, mut en) = (Arc::from(""), Arc::from(""));
    if let Some(texts) = object.get("text").filter(|texts| !texts.is_null()) {
        let Json::Object(texts) = texts else {
            return Err(format!("wrong_type: `text` is {}, expected {{\"zh\": …, \"en\": …}}", short(texts)));
        };
        zh = text(texts, "zh")?.unwrap_or("").into();
        en = text(texts, "en")?.unwrap_or("").into();
    }
    let case_class = match object.get("case") {
        None | Some(Json::Null) => Sym::EMPTY,
        Some(Json::Object(case)) => match name(interner, case, "class")? {
            Sym::EMPTY => return Err("missing_field: `case.class` is missing".into()),
            class => class,
        },
        Some(other) => {
            return Err(format!(
                "wrong_type: `case` is {}, expected {{\"class\": \"event:0112\"}}",
                short(other)
            ));
        }
    };
    Ok(RuleRef {
        selector,
        signal,
        levels,
        hold_ms: seconds(object, "hold_s", 0.0, 0.0)?,
        clear_hold_ms: seconds(object, "clear_hold_s", 0.0, 0.0)?,
        flap: flap(object)?,
        schedule: object.get("schedule").filter(|schedule| !schedule.is_null()).map(schedule).transpose()?,
        enabled: flag(object, "enabled", true)?,
        shadow_of: name(interner, object, "shadow_of")?,
        case_class,
        zh,
        en,
    })
}

fn flag(object: &Object, field: &str, default: bool) -> Result<bool, Reason> {
    match object.get(field) {
        None | Some(Json::Null) => Ok(default),
        Some(Json::Bool(flag)) => Ok(*flag),
        Some(other) => Err(format!("wrong_type: `{field}` is {}, expected true or false", short(other))),
    }
}

/// A span in seconds from `least` to the greatest a rule may have, in ms.
fn seconds(object: &Object, field: &str, default: f64, least: f64) -> Result<i64, Reason> {
    let most = MAX_SPAN_MS as f64 / 1000.0;
    let s = number(object, field)?.unwrap_or(default);
    if (least..=most).contains(&s) {
        return Ok((s * 1000.0).round() as i64);
    }
    Err(invalid(format!("`{field}` is {s}, expected {least} to {most}")))
}

fn whole(object: &Object, field: &str, default: u32, least: u32, most: u32) -> Result<u32, Reason> {
    let n = number(object, field)?.unwrap_or(f64::from(default));
    if n.fract() == 0.0 && (f64::from(least)..=f64::from(most)).contains(&n) {
        return Ok(n as u32);
    }
    Err(invalid(format!("`{field}` is {n}, expected a whole number from {least} to {most}")))
}

fn severity(object: &Object) -> Result<Severity, Reason> {
    let Some(name) = text(object, "severity")? else {
        return Err("missing_field: `severity` is missing".into());
    };
    Severity::from_name(name)
        .ok_or_else(|| invalid(format!("`severity` is `{name}`, expected notice, warning or severe")))
}

fn watch(object: &Object, offline: &Json) -> Result<(Signal, Vec<Level>), Reason> {
    if number(object, "clear")?.is_some() {
        return Err(invalid("`clear` means nothing in an offline rule"));
    }
    let Json::Object(offline) = offline else {
        return Err(invalid(format!("`offline` is {}, expected {{\"heartbeats\": n}}", short(offline))));
    };
    let heartbeats =
        number(offline, "heartbeats")?.ok_or("missing_field: `offline.heartbeats` is missing")?;
    if !(1.0..=1000.0).contains(&heartbeats) {
        return Err(invalid(format!("`offline.heartbeats` is {heartbeats}, expected 1 to 1000")));
    }
    let limit = Limit::Above { raise: heartbeats, clear: heartbeats };
    Ok((Signal::Offline { heartbeats }, vec![Level { severity: severity(object)?, limit }]))
}

/// The objects that say a level each: the members of `levels`, or the record itself.
fn level_objects(object: &Object) -> Result<Vec<&Object>, Reason> {
    let levels = match object.get("levels").filter(|levels| !levels.is_null()) {
        None => return Ok(vec![object]),
        Some(Json::Array(levels)) => levels,
        Some(other) => return Err(format!("wrong_type: `levels` is {}, expected a list", short(other))),
    };
    if levels.is_empty() || levels.len() > MAX_LEVELS {
        return Err(invalid(format!("`levels` has {} members, expected 1 to {MAX_LEVELS}", levels.len())));
    }
    for field in ["above", "below", "clear", "severity", "condition"] {
        if object.get(field).is_some() {
            return Err(invalid(format!("`{field}` stands beside `levels`, expected it in each level")));
        }
    }
    levels
        .iter()
        .map(|level| {
            level
                .as_object()
                .ok_or_else(|| format!("wrong_type: a level is {}, expected an object", short(level)))
        })
        .collect()
}

fn ascending(levels: Vec<Level>) -> Result<Vec<Level>, Reason> {
    for pair in levels.windows(2) {
        if pair[0].severity >= pair[1].severity {
            return Err(invalid("`levels` must ascend in severity"));
        }
    }
    Ok(levels)
}

/// `default_clear`: the clear limit as a share of the raise limit, where it is not said.
fn limits(object: &Object, default_clear: Option<f64>) -> Result<Vec<Level>, Reason> {
    let mut levels: Vec<Level> = Vec::new();
    for level in level_objects(object)? {
        let (above, below) = (number(level, "above")?, number(level, "below")?);
        let clear = number(level, "clear")?;
        let default = |raise: f64| clear.unwrap_or(raise * default_clear.unwrap_or(1.0));
        let limit = match (above, below) {
            (Some(raise), None) => {
                let clear = default(raise);
                if clear > raise {
                    return Err(invalid(format!(
                        "`clear` is {clear}, expected at most `above`, which is {raise}"
                    )));
                }
                Limit::Above { raise, clear }
            }
            (None, Some(raise)) => {
                let clear = default(raise);
                if clear < raise {
                    return Err(invalid(format!(
                        "`clear` is {clear}, expected at least `below`, which is {raise}"
                    )));
                }
                Limit::Below { raise, clear }
            }
            _ => {
                return Err(invalid(
                    "expected exactly one of `above` and `below`, or `offline` or `condition`",
                ));
            }
        };
        let worse = match (levels.last().map(|last| last.limit), limit) {
            (None, _) => true,
            (Some(Limit::Above { raise: r, clear: c }), Limit::Above { raise, clear }) => {
                r <= raise && c <= clear
            }
            (Some(Limit::Below { raise: r, clear: c }), Limit::Below { raise, clear }) => {
                r >= raise && c >= clear
            }
            _ => false,
        };
        if !worse {
            return Err(invalid(
                "each of `levels` must be at least as far as the one before, in one direction",
            ));
        }
        levels.push(Level { severity: severity(level)?, limit });
    }
    ascending(levels)
}

/// What means nothing in a rule about an occasion.
const NOT_OF_OCCASIONS: &[&str] = &[
    "offline",
    "condition",
    "signal",
    "metric",
    "sensor_kind",
    "tags",
    "below",
    "clear",
    "hold_s",
    "clear_hold_s",
    "flap",
    "schedule",
];

/// A rule about an occasion: its levels say after how many seconds.
fn lasting(object: &Object) -> Result<(Signal, Vec<Level>), Reason> {
    let name = text(object, "occasion")?.unwrap_or_default();
    let Some(occasion) = Occasion::from_name(name) else {
        let known: Vec<&str> = Occasion::ALL.iter().map(|occasion| occasion.name()).collect();
        return Err(invalid(format!("`occasion` is `{name}`, expected one of {}", known.join(", "))));
    };
    let mut levels = Vec::new();
    for level in level_objects(object)? {
        let means_nothing = |field: &&&str| {
            [object, level].iter().any(|of| of.get(**field).is_some_and(|value| !value.is_null()))
        };
        if let Some(field) = NOT_OF_OCCASIONS.iter().find(means_nothing) {
            return Err(invalid(format!("`{field}` means nothing beside `occasion`")));
        }
        let raise = seconds(level, "above", 0.0, 0.0)? as f64 / 1000.0;
        levels.push(Level { severity: severity(level)?, limit: Limit::Above { raise, clear: raise } });
    }
    if levels.windows(2).any(|pair| {
        matches!((pair[0].limit, pair[1].limit),
        (Limit::Above { raise: before, .. }, Limit::Above { raise, .. }) if raise < before)
    }) {
        return Err(invalid("each of `levels` must come at least as late as the one before"));
    }
    Ok((Signal::Occasion(occasion), ascending(levels)?))
}

fn compiled(field: &str, condition: &str) -> Result<Arc<str>, Reason> {
    Formula::compile(condition, Type::Bool, &AlertScope).map_err(|e| invalid(format!("`{field}`: {e}")))?;
    Ok(condition.into())
}

fn formulas(object: &Object) -> Result<(Signal, Vec<Level>), Reason> {
    let clear_when =
        text(object, "clear_when")?.map(|condition| compiled("clear_when", condition)).transpose()?;
    let (mut conditions, mut levels) = (Vec::new(), Vec::new());
    for (n, level) in (1u8..).zip(level_objects(object)?) {
        let condition =
            text(level, "condition")?.ok_or("missing_field: `condition` of a level is missing")?;
        for field in ["above", "below", "clear"] {
            if level.get(field).is_some() {
                return Err(invalid(format!(
                    "`{field}` means nothing beside `condition`; there is `clear_when`"
                )));
            }
        }
        conditions.push(compiled("condition", condition)?);
        let raise = f64::from(n);
        let clear = if n == 1 && clear_when.is_some() { 0.5 } else { raise };
        levels.push(Level { severity: severity(level)?, limit: Limit::Above { raise, clear } });
    }
    let every_ms = seconds(object, "every_s", EVERY_MS as f64 / 1000.0, 1.0)?;
    Ok((
        Signal::Formula(Arc::new(FormulaRef { levels: conditions, clear_when, every_ms })),
        ascending(levels)?,
    ))
}

fn derived(signal: &Json) -> Result<Signal, Reason> {
    let expected = "expected one of {\"change\": …}, {\"unchanged\": …}, {\"deviation\": …}, {\"night_minimum\": …} \
                    and {\"daily_mean\": …}";
    let wrong = || invalid(format!("`signal` is {}, {expected}", short(signal)));
    let members = signal.as_object().filter(|members| members.len() == 1).ok_or_else(wrong)?;
    let (kind, parameters) = members.iter().next().ok_or_else(wrong)?;
    let parameters = parameters.as_object().ok_or_else(wrong)?;
    Ok(match kind.as_str() {
        "change" => {
            if parameters.get("over_s").is_none() {
                return Err("missing_field: `signal.change.over_s` is missing".into());
            }
            Signal::Change { over_ms: seconds(parameters, "over_s", 0.0, 1.0)? }
        }
        "unchanged" => {
            let tolerance = number(parameters, "tolerance")?.unwrap_or(0.0);
            if tolerance < 0.0 {
                return Err(invalid(format!("`tolerance` is {tolerance}, expected at least 0")));
            }
            Signal::Unchanged { tolerance }
        }
        "deviation" => Signal::Deviation(usual(parameters, Side::Both)?),
        "night_minimum" => {
            let minute = |field: &str, default: u16| match text(parameters, field)? {
                None => Ok(default),
                Some(text) => minute_of_day(text)
                    .ok_or_else(|| invalid(format!("`{field}` is `{text}`, expected HH:MM"))),
            };
            let (from_min, to_min) = (minute("from", 120)?, minute("to", 240)?);
            if to_min <= from_min {
                return Err(invalid("`to` of a night minimum must be later than `from` on the same day"));
            }
            let against = match text(parameters, "against")? {
                None => Against::Itself,
                Some("usual") => Against::Usual(usual(parameters, Side::Up)?),
                Some("day_mean") => Against::DayMean,
                Some(other) => {
                    return Err(invalid(format!("`against` is `{other}`, expected usual or day_mean")));
                }
            };
            Signal::NightMinimum { from_min, to_min, against }
        }
        "daily_mean" => Signal::DailyMean { min_count: whole(parameters, "min_count", 1, 1, 100_000)? },
        _ => return Err(wrong()),
    })
}

fn usual(parameters: &Object, default: Side) -> Result<Usual, Reason> {
    let days = whole(parameters, "days", 14, 1, 31)?;
    let min_days = whole(parameters, "min_days", 3.min(days), 1, days)?;
    let (floor, floor_share) =
        (number(parameters, "floor")?.unwrap_or(0.0), number(parameters, "floor_share")?.unwrap_or(0.0));
    if floor < 0.0 || !(0.0..=10.0).contains(&floor_share) {
        return Err(invalid("`floor` must be at least 0, `floor_share` 0 to 10"));
    }
    let side = match text(parameters, "side")? {
        None => default,
        Some("both") => Side::Both,
        Some("up") => Side::Up,
        Some("down") => Side::Down,
        Some(other) => return Err(invalid(format!("`side` is `{other}`, expected both, up or down"))),
    };
    Ok(Usual { days: days as u16, min_days: min_days as u16, floor, floor_share, side })
}

fn flap(object: &Object) -> Result<Option<Flap>, Reason> {
    match object.get("flap").filter(|flap| !flap.is_null()) {
        None => Ok(None),
        Some(Json::Object(flap)) => {
            let count = whole(flap, "count", 3, 1, 1000)?;
            Ok(Some(Flap { count, within_ms: seconds(flap, "within_s", 3600.0, 1.0)? }))
        }
        Some(other) => Err(format!(
            "wrong_type: `flap` is {}, expected {{\"count\": 3, \"within_s\": 3600}}",
            short(other)
        )),
    }
}

fn schedule(schedule: &Json) -> Result<Schedule, Reason> {
    let expected =
        "expected {\"hours\": [[\"22:00\",\"06:00\"]], \"days\": [1,2], \"season\": [\"11-15\",\"03-15\"]}";
    let wrong = || invalid(format!("`schedule` is {}, {expected}", short(schedule)));
    let object = schedule.as_object().ok_or_else(wrong)?;
    if object.keys().any(|key| !["hours", "days", "season"].contains(&key.as_str())) {
        return Err(wrong());
    }
    let list = |field: &str| match object.get(field) {
        None | Some(Json::Null) => Ok(&[][..]),
        Some(list) => list.as_array().map(Vec::as_slice).ok_or_else(wrong),
    };
    let mut hours = Vec::new();
    for span in list("hours")? {
        let minute = |i: usize| span.get(i).and_then(Json::as_str).and_then(minute_of_day).ok_or_else(wrong);
        hours.push((minute(0)?, minute(1)?));
    }
    let mut days = Vec::new();
    for day in list("days")? {
        let day = day.as_u64().filter(|day| (1..=7).contains(day)).ok_or_else(wrong)?;
        days.push(day as u8);
    }
    let date = |date: &Json| {
        let (month, day) = date.as_str()?.split_once('-')?;
        let (month, day): (u8, u8) = (month.parse().ok()?, day.parse().ok()?);
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((month, day))
    };
    let season = match list("season")? {
        [] => None,
        [from, to] => Some((date(from).ok_or_else(wrong)?, date(to).ok_or_else(wrong)?)),
        _ => return Err(wrong()),
    };
    Ok(Schedule { hours, days, season })
}
