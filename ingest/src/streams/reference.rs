//! `reference`: districts, sensors, vehicles, rules …, keyed by `kind/id`.
//!
//! `kind`, `id`, optional `ts` (when it takes effect), and that kind's fields, of which the ones that views compute
//! with are checked here. Geometries are looked through for coordinates out of range, and converted where `crs` says
//! that they come from a map vendor. A record without a value deletes what its key names; where records have no key
//! (files, HTTP) `{"kind": …, "id": …, "deleted": true}` says the same. Rules are documented in `docs/rules.md`.

mod case_class;
mod fence;
mod green;
mod maintenance;
mod road;
mod rule;
mod score;
mod shift;

use std::sync::Arc;

use model::reference::{CalendarRef, SensorRef, VehicleRef};
use model::{Kind, LogPos, RefBody, RefRecord, Row, StreamId, Sym, Typed};
use serde::Deserialize;
use serde_json::Value as Json;

use super::fields::{self, Field, Id, Object, Time, diagnose, optional, required, short};
use super::{Interner, Parsed, Reason, Stream, Times, geometry};
use crate::crs::Crs;

/// `ts` says when a record takes effect: it may lie ahead, and it is never late.
pub(super) const STREAM: Stream = Stream { id: StreamId::Reference, parse, horizon: false, happened: false };

/// Most tags of a record.
const MAX_TAGS: usize = 64;

const FIELDS: &[Field] = &[
    required("kind", fields::Kind::Text),
    required("id", fields::Kind::Id),
    optional("ts", fields::Kind::Time),
    optional("deleted", fields::Kind::Bool),
    optional("appended_at", fields::Kind::Time),
];

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let mut object = fields::object(value)?;
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
    let id = object.get("id").and_then(|id| Id::deserialize(id).ok()).ok_or_else(wrong)?.as_str().to_owned();
    let (ts, appended_at) = (time("ts")?, time("appended_at")?);
    let deleted = match object.get("deleted") {
        None | Some(Json::Null) => false,
        Some(deleted) => deleted.as_bool().ok_or_else(wrong)?,
    };
    let body = if deleted {
        None
    } else {
        geometry::check(&object)?;
        let json = match geometry::crs(text(&object, "crs")?)? {
            Crs::Wgs84 => one_line(value, &object),
            crs => {
                geometry::to_wgs84(&mut object, crs);
                Json::Object(object.clone()).to_string().into()
            }
        };
        // Places are in WGS-84 by now.
        let typed = match kind {
            Kind::Sensor => Typed::Sensor(sensor(interner, &object)?),
            Kind::Vehicle => Typed::Vehicle(vehicle(interner, &object)?),
            Kind::Rule => Typed::Rule(Box::new(rule::parse(interner, &object)?)),
            Kind::Maintenance => Typed::Maintenance(maintenance::parse(interner, &object)?),
            Kind::Calendar => Typed::Calendar(calendar(&object)?),
            Kind::CaseClass => Typed::CaseClass(case_class::parse(interner, &object)?),
            Kind::Road => Typed::Road(Arc::new(road::parse(interner, &object)?)),
            Kind::Shift => Typed::Shift(shift::parse(interner, &object)?),
            Kind::Fence => Typed::Fence(Box::new(fence::parse(interner, &object)?)),
            Kind::Indicator => Typed::Indicator(Box::new(score::indicator(&object)?)),
            Kind::ScoreScheme => Typed::ScoreScheme(Box::new(score::scheme(interner, &object, &id)?)),
            Kind::Measure => Typed::Measure(Box::new(score::measure(interner, &object)?)),
            kind => green::parse(interner, kind, &object)?,
        };
        Some(Arc::new(RefBody { json, typed }))
    };
    let id = interner.rare(&id);
    let row = Row::Reference(Box::new(RefRecord { pos, kind, id, ts, body }));
    Ok(Parsed { row, times: Times { ts, appended_at } })
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
    let row = Row::Reference(Box::new(RefRecord { pos, kind, id: interner.rare(id), ts: None, body: None }));
    Ok(Parsed { row, times: Times::default() })
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
            Ok(id) => Ok(interner.rare(id.as_str())),
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
    Ok(SensorRef {
        kind: name(interner, object, "sensor_kind")?,
        district: name(interner, object, "district")?,
        heartbeat_s,
        site: name(interner, object, "site")?,
        gateway: name(interner, object, "gateway")?,
        street: name(interner, object, "street")?,
        tags: tags(interner, object)?,
    })
}

/// `tags`: a list of identifiers, each once, ascending by symbol.
fn tags(interner: &mut Interner, object: &Object) -> Result<Vec<Sym>, Reason> {
    let wrong = |tags: &Json| {
        format!("wrong_type: `tags` is {}, expected a list of at most {MAX_TAGS} texts", short(tags))
    };
    let list = match object.get("tags") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(tags) => tags.as_array().filter(|list| list.len() <= MAX_TAGS).ok_or_else(|| wrong(tags))?,
    };
    let mut tags = Vec::with_capacity(list.len());
    for tag in list {
        let tag = Id::deserialize(tag).map_err(|_| wrong(&object["tags"]))?;
        tags.push(interner.rare(tag.as_str()));
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

fn vehicle(interner: &mut Interner, object: &Object) -> Result<VehicleRef, Reason> {
    // Nothing is computed from the width that one pass cleans: coverage is along the road.
    if let Some(swath_m) = number(object, "swath_m")? {
        fields::within("swath_m", swath_m, 0.0..=1000.0)?;
    }
    let speed_limit_kmh = match number(object, "speed_limit")? {
        Some(kmh) => Some(fields::within("speed_limit", kmh, 1.0..=1000.0)?),
        None => None,
    };
    Ok(VehicleRef {
        fleet: name(interner, object, "fleet")?,
        district: name(interner, object, "district")?,
        vehicle_kind: name(interner, object, "vehicle_kind")?,
        working_speed: working_speed(object)?,
        speed_limit_kmh,
    })
}

fn working_speed(object: &Object) -> Result<Option<[f64; 2]>, Reason> {
    let Some(band) = object.get("working_speed").filter(|band| !band.is_null()) else { return Ok(None) };
    let ends = band.as_array().filter(|ends| ends.len() == 2);
    let end = |i: usize| ends.and_then(|ends| ends[i].as_f64());
    match (end(0), end(1)) {
        (Some(least), Some(greatest)) if 0.0 <= least && least <= greatest && greatest <= 400.0 => {
            Ok(Some([least, greatest]))
        }
        _ => Err(format!(
            "out_of_range: `working_speed` is {}, expected [least, greatest] in km/h, at most 400",
            short(band)
        )),
    }
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
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    (minutes < 60).then_some(hours * 60 + minutes).filter(|minute| *minute <= 24 * 60)
}
