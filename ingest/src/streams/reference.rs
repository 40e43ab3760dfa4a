//! `reference`: districts, sensors, vehicles, rules …, keyed by `kind/id`.
//!
//! `kind`, `id`, optional `ts` (when it takes effect), and that kind's fields, of which the ones that views compute
//! with are checked here; geometries are looked through for coordinates out of range. A record without a value deletes
//! what its key names; where records have no key (files, HTTP) `{"kind", "id", "deleted": true}` says the same. Rules are
//! documented in `docs/rules.md`.

use std::sync::Arc;

use model::reference::{CalendarRef, Condition, RuleRef, SensorRef, Severity, VehicleRef};
use model::{Kind, LogPos, RefBody, RefRecord, Row, StreamId, Sym, Typed};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::fields::{self, Field, Id, Time, diagnose, optional, required, short};
use super::{Interner, Parsed, Reason, Stream};

/// `ts` says when a record takes effect: it may lie ahead, and it is never late.
pub(super) const STREAM: Stream = Stream { id: StreamId::Reference, parse, horizon: false, happened: false };

const FIELDS: &[Field] = &[
    required("kind", fields::Kind::Text),
    required("id", fields::Kind::Id),
    optional("ts", fields::Kind::Time),
    optional("deleted", fields::Kind::Bool),
    optional("appended_at", fields::Kind::Time),
];

type Object = Map<String, Json>;

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let object = fields::object(value)?;
    let wrong = || diagnose(value, FIELDS, &"the record cannot be decoded");
    let time = |name: &str| match object.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => Time::deserialize(value).map(|time| Some(time.0)).map_err(|_| wrong()),
    };
    let name = object.get("kind").and_then(Json::as_str).ok_or_else(wrong)?;
    let kind = Kind::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!("unknown_kind: `kind` is `{name}`, expected one of {}", known.join(", "))
    })?;
    let id = object.get("id").and_then(|id| Id::deserialize(id).ok()).ok_or_else(wrong)?;
    let (ts, appended_at) = (time("ts")?, time("appended_at")?);
    let deleted = match object.get("deleted") {
        None | Some(Json::Null) => false,
        Some(deleted) => deleted.as_bool().ok_or_else(wrong)?,
    };
    let body = if deleted {
        None
    } else {
        let typed = match kind {
            Kind::Sensor => Typed::Sensor(sensor(interner, &object)?),
            Kind::Vehicle => Typed::Vehicle(vehicle(interner, &object)?),
            Kind::Rule => Typed::Rule(rule(interner, &object)?),
            Kind::Calendar => Typed::Calendar(calendar(&object)?),
            _ => Typed::Other,
        };
        if let Some(geometry) = object.get("geometry") {
            check_geometry(geometry)?;
        }
        Some(Arc::new(RefBody { json: one_line(value, &object), typed }))
    };
    let id = interner.intern(&id.0);
    let row = Row::Reference(Box::new(RefRecord { pos, kind, id, ts, body }));
    Ok(Parsed { row, ts, appended_at })
}

/// A record without a value: deletes what its key names.
pub(super) fn deleted(
    interner: &mut Interner,
    stream: StreamId,
    key: Option<&[u8]>,
    pos: LogPos,
) -> Result<Parsed, Reason> {
    if stream != StreamId::Reference {
        return Err("missing_value: the record has no value, which only reference data may have".into());
    }
    let key = key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or("");
    let (kind, id) = key
        .split_once('/')
        .and_then(|(kind, id)| Some((Kind::from_name(kind)?, id)))
        .filter(|(_, id)| !id.is_empty())
        .ok_or_else(|| format!("unknown_kind: the key of a deletion is `{key}`, expected kind/id"))?;
    let row =
        Row::Reference(Box::new(RefRecord { pos, kind, id: interner.intern(id), ts: None, body: None }));
    Ok(Parsed { row, ts: None, appended_at: None })
}

/// The record as one line of JSON: as it came, if it is one line already.
fn one_line(value: &[u8], object: &Object) -> Arc<str> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains(['\n', '\r']) => text.trim().into(),
        _ => Json::Object(object.clone()).to_string().into(),
    }
}

fn text<'a>(object: &'a Object, name: &str) -> Result<Option<&'a str>, Reason> {
    match object.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("wrong_type: `{name}` is {}, expected a string", short(other))),
    }
}

fn name(interner: &mut Interner, object: &Object, field: &str) -> Result<Sym, Reason> {
    match object.get(field) {
        None | Some(Json::Null) => Ok(Sym::EMPTY),
        Some(value) => match Id::deserialize(value) {
            Ok(id) => Ok(interner.intern(&id.0)),
            Err(_) => Err(format!("wrong_type: `{field}` is {}, expected an identifier", short(value))),
        },
    }
}

fn number(object: &Object, name: &str) -> Result<Option<f64>, Reason> {
    match object.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|n| n.is_finite()) {
            Some(n) => Ok(Some(n)),
            None => Err(format!("wrong_type: `{name}` is {}, expected a number", short(value))),
        },
    }
}

fn sensor(interner: &mut Interner, object: &Object) -> Result<SensorRef, Reason> {
    let heartbeat_s = number(object, "heartbeat_s")?;
    if let Some(heartbeat) = heartbeat_s
        && !(0.001..=366.0 * 86_400.0).contains(&heartbeat)
    {
        return Err(format!("out_of_range: `heartbeat_s` is {heartbeat}, expected 0.001 to a year"));
    }
    check_place(object)?;
    Ok(SensorRef {
        kind: name(interner, object, "sensor_kind")?,
        district: name(interner, object, "district")?,
        heartbeat_s,
    })
}

fn vehicle(interner: &mut Interner, object: &Object) -> Result<VehicleRef, Reason> {
    Ok(VehicleRef { fleet: name(interner, object, "fleet")?, district: name(interner, object, "district")? })
}

fn rule(interner: &mut Interner, object: &Object) -> Result<RuleRef, Reason> {
    let invalid = |what: String| format!("invalid_rule: {what}");
    let (above, below) = (number(object, "above")?, number(object, "below")?);
    let clear = number(object, "clear")?;
    let condition = match (above, below, object.get("offline")) {
        (Some(raise), None, None) => {
            let clear = clear.unwrap_or(raise);
            if clear > raise {
                return Err(invalid(format!(
                    "`clear` is {clear}, expected at most `above`, which is {raise}"
                )));
            }
            Condition::Above { raise, clear }
        }
        (None, Some(raise), None) => {
            let clear = clear.unwrap_or(raise);
            if clear < raise {
                return Err(invalid(format!(
                    "`clear` is {clear}, expected at least `below`, which is {raise}"
                )));
            }
            Condition::Below { raise, clear }
        }
        (None, None, Some(Json::Object(offline))) => {
            let heartbeats = number(offline, "heartbeats")?.unwrap_or(0.0);
            if !(1.0..=1000.0).contains(&heartbeats) {
                return Err(invalid(format!("`offline.heartbeats` is {heartbeats}, expected 1 to 1000")));
            }
            Condition::Offline { heartbeats }
        }
        (None, None, Some(other)) => {
            return Err(invalid(format!("`offline` is {}, expected {{\"heartbeats\": n}}", short(other))));
        }
        _ => return Err(invalid("expected exactly one of `above`, `below` and `offline`".into())),
    };
    let metric = name(interner, object, "metric")?;
    if metric == Sym::EMPTY && !matches!(condition, Condition::Offline { .. }) {
        return Err("missing_field: `metric` is missing in a threshold rule".into());
    }
    let severity = match text(object, "severity")? {
        Some("notice") => Severity::Notice,
        Some("warning") => Severity::Warning,
        Some("severe") => Severity::Severe,
        Some(other) => {
            return Err(invalid(format!("`severity` is `{other}`, expected notice, warning or severe")));
        }
        None => return Err("missing_field: `severity` is missing".into()),
    };
    let hold_s = number(object, "hold_s")?.unwrap_or(0.0);
    if !(0.0..=86_400.0).contains(&hold_s) {
        return Err(invalid(format!("`hold_s` is {hold_s}, expected 0 to 86400")));
    }
    let enabled = match object.get("enabled") {
        None | Some(Json::Null) => true,
        Some(Json::Bool(enabled)) => *enabled,
        Some(other) => {
            return Err(format!("wrong_type: `enabled` is {}, expected true or false", short(other)));
        }
    };
    Ok(RuleRef {
        metric,
        sensor_kind: name(interner, object, "sensor_kind")?,
        district: name(interner, object, "district")?,
        severity,
        condition,
        hold_ms: (hold_s * 1000.0).round() as i64,
        enabled,
    })
}

fn calendar(object: &Object) -> Result<CalendarRef, Reason> {
    let date = text(object, "date")?.ok_or("missing_field: `date` is missing")?;
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let day = time::Date::parse(date, &format)
        .map_err(|_| format!("out_of_range: `date` is `{date}`, expected YYYY-MM-DD"))?;
    const UNIX_EPOCH_JULIAN_DAY: i32 = 2_440_588;
    let working = match object.get("working") {
        Some(Json::Bool(working)) => *working,
        Some(other) => {
            return Err(format!("wrong_type: `working` is {}, expected true or false", short(other)));
        }
        None => return Err("missing_field: `working` is missing".into()),
    };
    let mut hours: Vec<(u16, u16)> = Vec::new();
    if let Some(spans) = object.get("hours").filter(|spans| !spans.is_null()) {
        let expected = "expected [[\"08:00\",\"12:00\"], …], ascending";
        let wrong = || format!("wrong_type: `hours` is {}, {expected}", short(spans));
        for span in spans.as_array().ok_or_else(wrong)? {
            let minute =
                |i: usize| span.get(i).and_then(Json::as_str).and_then(minute_of_day).ok_or_else(wrong);
            let (from, to) = (minute(0)?, minute(1)?);
            if to <= from || hours.last().is_some_and(|(_, before)| from < *before) {
                return Err(wrong());
            }
            hours.push((from, to));
        }
    }
    Ok(CalendarRef { day: day.to_julian_day() - UNIX_EPOCH_JULIAN_DAY, working, hours })
}

/// Minutes since midnight of `HH:MM`, up to 24:00.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60).then_some(hours * 60 + minutes).filter(|minute| *minute <= 24 * 60)
}

fn check_place(object: &Object) -> Result<(), Reason> {
    for (name, limit) in [("lon", 180.0), ("lat", 90.0)] {
        if let Some(degrees) = number(object, name)? {
            fields::within(name, degrees, -limit..=limit)?;
        }
    }
    Ok(())
}

/// Looks through a GeoJSON geometry: its type is known, and its coordinates are pairs of degrees in range.
fn check_geometry(geometry: &Json) -> Result<(), Reason> {
    const TYPES: [&str; 6] =
        ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"];
    let name = geometry.get("type").and_then(Json::as_str).unwrap_or("");
    if !TYPES.contains(&name) {
        return Err(format!("invalid_geometry: the type is `{name}`, expected one of {}", TYPES.join(", ")));
    }
    fn look(coordinates: &Json, depth: usize) -> Result<(), Reason> {
        let wrong = || format!("invalid_geometry: {} is not a position", short(coordinates));
        let list = coordinates.as_array().filter(|list| !list.is_empty() && depth > 0).ok_or_else(wrong)?;
        if list[0].is_array() {
            return list.iter().try_for_each(|inner| look(inner, depth - 1));
        }
        let degrees = |i: usize| list.get(i).and_then(Json::as_f64).ok_or_else(wrong);
        fields::within("lon", degrees(0)?, -180.0..=180.0)?;
        fields::within("lat", degrees(1)?, -90.0..=90.0)?;
        Ok(())
    }
    look(geometry.get("coordinates").unwrap_or(&Json::Null), 4)
}
