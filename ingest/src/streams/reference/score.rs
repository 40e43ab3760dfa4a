//! `indicator`, `score_scheme` and `measure`, as `docs/scores.md` documents them. What breaks a rule of that page is
//! refused with the field, the value and what was expected.

use std::sync::Arc;

use formula::{Formula, Type};
use model::reference::score::{
    Band, Grade, IndicatorRef, MeasureRef, NANO, Node, NotApplicable, Parts, SchemeRef, Scored, Scoring,
    Steps,
};
use model::{Period, PeriodKind, Sym};
use serde_json::Value as Json;

use super::{name, text};
use crate::streams::fields::{Object, short};
use crate::streams::{Interner, Reason};

/// Most inputs of an indicator, nodes of a scheme, bands, grades, units.
const MANY: usize = 1000;
/// Deepest tree.
const DEPTH: usize = 8;
/// Longest wait before a period is published, hours.
const PUBLISH_H: i64 = 366 * 24;

fn invalid(what: impl Into<String>) -> Reason {
    format!("invalid_score: {}", what.into())
}

fn there<'a>(object: &'a Object, field: &str) -> Option<&'a Json> {
    object.get(field).filter(|value| !value.is_null())
}

fn needed<'a>(object: &'a Object, field: &str) -> Result<&'a str, Reason> {
    text(object, field)?.ok_or_else(|| format!("missing_field: `{field}` is missing"))
}

fn list<'a>(object: &'a Object, field: &str) -> Result<&'a [Json], Reason> {
    match there(object, field) {
        None => Ok(&[]),
        Some(Json::Array(list)) if list.len() <= MANY => Ok(list),
        Some(other) => {
            Err(format!("wrong_type: `{field}` is {}, expected a list of at most {MANY}", short(other)))
        }
    }
}

/// A decimal number in 10⁻⁹, as it is written: 0.95 is 950,000,000.
fn decimal(object: &Object, field: &str) -> Result<Option<i64>, Reason> {
    let Some(value) = there(object, field) else { return Ok(None) };
    let wrong = || {
        format!(
            "wrong_type: `{field}` is {}, expected a number below 10⁹ with at most 9 decimals",
            short(value)
        )
    };
    let Json::Number(number) = value else { return Err(wrong()) };
    nano(&number.to_string()).map(Some).ok_or_else(wrong)
}

fn nano(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    let n = whole.parse::<i64>().ok()? * NANO + fraction;
    Some(if negative { -n } else { n })
}

fn number(object: &Object, field: &str) -> Result<i64, Reason> {
    decimal(object, field)?.ok_or_else(|| format!("missing_field: `{field}` is missing"))
}

fn positive(object: &Object, field: &str) -> Result<i64, Reason> {
    match number(object, field)? {
        n if n > 0 => Ok(n),
        _ => Err(invalid(format!("`{field}` must be more than 0"))),
    }
}

fn object<'a>(value: &'a Json, field: &str) -> Result<&'a Object, Reason> {
    value.as_object().ok_or_else(|| format!("wrong_type: `{field}` is {}, expected an object", short(value)))
}

/// A word out of few.
fn word<T: Copy>(said: &str, field: &str, known: &[(&str, T)]) -> Result<T, Reason> {
    known.iter().find(|(word, _)| *word == said).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        invalid(format!("`{field}` is `{said}`, expected one of {}", words.join(", ")))
    })
}

const SCOPES: &[(&str, Scored)] = &[
    ("city", Scored::City),
    ("district", Scored::District),
    ("department", Scored::Department),
    ("post", Scored::Post),
];

pub(super) fn indicator(record: &Object) -> Result<IndicatorRef, Reason> {
    let mut inputs: Vec<Arc<str>> = Vec::new();
    for input in list(record, "inputs")? {
        let name = input.as_str().filter(|name| is_name(name)).ok_or_else(|| {
            invalid(format!("`inputs` has {}, expected names of letters, digits and _", short(input)))
        })?;
        inputs.push(name.into());
    }
    if inputs.is_empty() {
        return Err("missing_field: `inputs` is missing".into());
    }
    let scope: Vec<(String, Type)> = inputs.iter().map(|name| (name.to_string(), Type::Number)).collect();
    let formula = |field: &str, text: &str| -> Result<Arc<str>, Reason> {
        Formula::compile(text, Type::Number, &scope).map_err(|e| invalid(format!("`{field}`: {e}")))?;
        Ok(text.into())
    };
    let numerator = formula("numerator", needed(record, "numerator")?)?;
    let denominator = formula("denominator", text(record, "denominator")?.unwrap_or("1"))?;
    let scoring = there(record, "scoring").ok_or("missing_field: `scoring` is missing")?;
    let scoring = scoring_of(object(scoring, "scoring")?)?;
    Ok(IndicatorRef { inputs, numerator, denominator, scoring })
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn scoring_of(record: &Object) -> Result<Scoring, Reason> {
    match needed(record, "function")? {
        "rate" => Ok(Scoring::Rate),
        "inverted" => Ok(Scoring::Inverted),
        "bands" => {
            let mut bands: Vec<Band> = Vec::new();
            for band in list(record, "bands")? {
                let band = object(band, "bands")?;
                let band = Band { up_to: decimal(band, "up_to")?, points: number(band, "points")? };
                let ascends = match (bands.last(), band.up_to) {
                    (None, _) => true,
                    (Some(last), Some(edge)) => last.up_to.is_some_and(|before| before < edge),
                    (Some(last), None) => last.up_to.is_some(),
                };
                if !ascends {
                    return Err(invalid("`bands` must ascend in `up_to`; the last may have none"));
                }
                bands.push(band);
            }
            match bands.is_empty() {
                true => Err(invalid("`bands` is empty")),
                false => Ok(Scoring::Bands(bands)),
            }
        }
        "steps" => {
            let parts = [("free", Parts::Free), ("whole", Parts::Whole), ("pro_rata", Parts::ProRata)];
            let better = [("more", false), ("less", true)];
            Ok(Scoring::Steps(Steps {
                full_at: number(record, "full_at")?,
                step: positive(record, "step")?,
                minus: positive(record, "minus")?,
                points: positive(record, "points")?,
                falling: word(text(record, "better")?.unwrap_or("more"), "better", &better)?,
                parts: word(text(record, "part_step")?.unwrap_or("free"), "part_step", &parts)?,
            }))
        }
        other => Err(invalid(format!("`function` is `{other}`, expected rate, inverted, bands or steps"))),
    }
}

pub(super) fn scheme(interner: &mut Interner, record: &Object, id: &str) -> Result<SchemeRef, Reason> {
    let scheme = match text(record, "scheme")? {
        Some(scheme) => interner.rare(scheme),
        None => interner.rare(id),
    };
    let valid_from = text(record, "valid_from")?
        .map(|date| match Period::parse(date) {
            Some(Period { kind: PeriodKind::Day, start }) => Ok(start),
            _ => Err(format!("out_of_range: `valid_from` is `{date}`, expected YYYY-MM-DD")),
        })
        .transpose()?;
    let mut units = Vec::new();
    for unit in list(record, "units")? {
        let unit = unit.as_str().ok_or_else(|| invalid(format!("`units` has {}", short(unit))))?;
        units.push(interner.rare(unit));
    }
    let mut periods = Vec::new();
    for period in list(record, "periods")? {
        let known = period.as_str().and_then(PeriodKind::from_name);
        periods.push(known.ok_or_else(|| {
            invalid(format!(
                "`periods` has {}, expected day, week, month, quarter, year, rolling or all",
                short(period)
            ))
        })?);
    }
    if periods.is_empty() {
        periods = vec![PeriodKind::Month];
    }
    let rules = [("renormalise", NotApplicable::Renormalise), ("full", NotApplicable::Full)];
    let not_applicable =
        word(text(record, "not_applicable")?.unwrap_or("renormalise"), "not_applicable", &rules)?;
    let mut grades: Vec<Grade> = Vec::new();
    for grade in list(record, "grades")? {
        let grade = object(grade, "grades")?;
        let from = number(grade, "from")?;
        if grades.last().is_some_and(|higher| higher.from <= from) {
            return Err(invalid("`grades` must descend in `from`"));
        }
        let (name, colour) = (needed(grade, "grade")?.into(), text(grade, "colour")?.unwrap_or("").into());
        grades.push(Grade { name, from, colour });
    }
    let publish_after_ms = match decimal(record, "publish_after_h")? {
        None => None,
        Some(hours) if (0..=PUBLISH_H * NANO).contains(&hours) => Some(hours / (NANO / 1000) * 3600),
        Some(_) => return Err(invalid(format!("`publish_after_h` must be 0 to {PUBLISH_H}"))),
    };
    let mut left = MANY;
    let nodes = nodes(interner, list(record, "indicators")?, 0, &mut left)?;
    if nodes.is_empty() {
        return Err("missing_field: `indicators` is missing".into());
    }
    let mut seen = Vec::new();
    if let Some(id) = twice(&nodes, &[], &mut seen) {
        return Err(invalid(format!("`{}` stands twice for the same unit", interner.names.resolve(id))));
    }
    let scope = word(needed(record, "scope")?, "scope", SCOPES)?;
    Ok(SchemeRef {
        scheme,
        valid_from,
        scope,
        units,
        periods,
        not_applicable,
        nodes,
        grades,
        publish_after_ms,
    })
}

/// An indicator that stands in the tree more than once for one unit: its parts could not be told apart. `within` is what
/// the nodes above are restricted to, `seen` each indicator with the restrictions on its path.
fn twice<'a>(nodes: &'a [Node], within: &[&'a [Sym]], seen: &mut Vec<(Sym, Vec<&'a [Sym]>)>) -> Option<Sym> {
    for node in nodes {
        let mut path = within.to_vec();
        if !node.only.is_empty() {
            path.push(&node.only);
        }
        if !node.children.is_empty() {
            if let Some(id) = twice(&node.children, &path, seen) {
                return Some(id);
            }
            continue;
        }
        // Two places meet in a unit that all lists of both have; without lists in every one.
        let meet = |other: &[&[Sym]]| {
            let mut lists = path.iter().chain(other);
            let Some(first) = lists.next() else { return true };
            first.iter().any(|unit| path.iter().chain(other).all(|list| list.contains(unit)))
        };
        if seen.iter().any(|(id, other)| *id == node.id && meet(other)) {
            return Some(node.id);
        }
        seen.push((node.id, path));
    }
    None
}

fn nodes(
    interner: &mut Interner,
    said: &[Json],
    depth: usize,
    left: &mut usize,
) -> Result<Vec<Node>, Reason> {
    if depth >= DEPTH || said.len() > *left {
        return Err(invalid(format!("`indicators` has more than {DEPTH} levels or {MANY} nodes")));
    }
    *left -= said.len();
    let mut nodes = Vec::new();
    for node in said {
        let node = object(node, "indicators")?;
        let (leaf, group) = (name(interner, node, "indicator")?, name(interner, node, "group")?);
        let children = list(node, "indicators")?;
        let id = match (leaf, group) {
            (leaf, Sym::EMPTY) if leaf != Sym::EMPTY && children.is_empty() => leaf,
            (Sym::EMPTY, group) if group != Sym::EMPTY && !children.is_empty() => group,
            _ => return Err(invalid("a node has either `indicator`, or `group` and `indicators`")),
        };
        let mut only = Vec::new();
        for unit in list(node, "only")? {
            let unit = unit.as_str().ok_or_else(|| invalid(format!("`only` has {}", short(unit))))?;
            only.push(interner.rare(unit));
        }
        let (weight, children) =
            (positive(node, "weight")?, self::nodes(interner, children, depth + 1, left)?);
        nodes.push(Node { id, weight, children, only });
    }
    Ok(nodes)
}

pub(super) fn measure(interner: &mut Interner, record: &Object) -> Result<MeasureRef, Reason> {
    let label = needed(record, "period")?;
    let period = Period::parse(label)
        .ok_or_else(|| invalid(format!("`period` is `{label}`, expected such as 2026-11 or 2026-Q4")))?;
    let said = needed(record, "name")?;
    if !is_name(said) {
        return Err(invalid(format!("`name` is `{said}`, expected letters, digits and _")));
    }
    let value = there(record, "value").ok_or("missing_field: `value` is missing")?;
    let value = value
        .as_i64()
        .ok_or_else(|| format!("wrong_type: `value` is {}, expected a whole number", short(value)))?;
    let scope = word(text(record, "scope")?.unwrap_or("district"), "scope", SCOPES)?;
    let unit = match scope {
        Scored::City => interner.rare("city"),
        _ => name(interner, record, "unit")?,
    };
    if unit == Sym::EMPTY {
        return Err("missing_field: `unit` is missing".into());
    }
    Ok(MeasureRef { scope, unit, period, name: said.into(), value })
}
