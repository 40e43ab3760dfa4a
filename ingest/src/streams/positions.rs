//! `positions`: fixes of vehicles, keyed by `vehicle_id`.
//!
//! `vehicle_id`, `ts`, `lon`, `lat`, optional `speed` (km/h), `heading` (degrees clockwise from north), `working`, `crs`
//! (`wgs84`, `cgcs2000`, `gcj02`, `bd09`), `mileage` (km), `satellites`. A fix within 0.001° of (0, 0) is implausible:
//! that is what a device without a fix sends.

use std::borrow::Cow;

use model::{Fix, LogPos, Row, StreamId};
use serde::Deserialize;

use super::fields::{Field, Id, Kind, Number, Time, diagnose, optional, required, tenths, within};
use super::{Interner, Parsed, Reason, Stream};
use crate::crs::Crs;

pub(super) const STREAM: Stream = Stream { id: StreamId::Positions, parse, horizon: true, happened: true };

const FIELDS: &[Field] = &[
    required("vehicle_id", Kind::Id),
    required("ts", Kind::Time),
    required("lon", Kind::Number),
    required("lat", Kind::Number),
    optional("speed", Kind::Number),
    optional("heading", Kind::Number),
    optional("working", Kind::Bool),
    optional("crs", Kind::Text),
    optional("mileage", Kind::Number),
    optional("satellites", Kind::Number),
    optional("appended_at", Kind::Time),
];

/// Around (0, 0), degrees.
const ZERO: f64 = 0.001;
/// Greatest speed a device can mean, km/h.
const SPEED_LIMIT: f64 = 1000.0;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    vehicle_id: Id<'a>,
    ts: Time,
    lon: Number,
    lat: Number,
    speed: Option<Number>,
    heading: Option<Number>,
    working: Option<bool>,
    #[serde(borrow)]
    crs: Option<Cow<'a, str>>,
    mileage: Option<Number>,
    satellites: Option<Number>,
    appended_at: Option<Time>,
}

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let record: Record<'_> = sonic_rs::from_slice(value).map_err(|e| diagnose(value, FIELDS, &e))?;
    let lon = within("lon", record.lon.0, -180.0..=180.0)?;
    let lat = within("lat", record.lat.0, -90.0..=90.0)?;
    if lon.abs() < ZERO && lat.abs() < ZERO {
        return Err(format!("implausible_zero: lon {lon}, lat {lat} is what a device without a fix sends"));
    }
    let crs = match &record.crs {
        None => Crs::Wgs84,
        Some(name) => Crs::from_name(name).ok_or_else(|| {
            format!("unknown_crs: `crs` is `{name}`, expected wgs84, cgcs2000, gcj02 or bd09")
        })?,
    };
    let (lon, lat) = crs.to_wgs84(lon, lat);
    let speed = record.speed.map(|speed| within("speed", speed.0, 0.0..=SPEED_LIMIT)).transpose()?;
    if let Some(mileage) = record.mileage {
        within("mileage", mileage.0, 0.0..=f64::MAX)?;
    }
    if let Some(satellites) = record.satellites {
        within("satellites", satellites.0, 0.0..=f64::MAX)?;
    }
    let row = Row::Fix(Fix {
        pos,
        vehicle: interner.intern(&record.vehicle_id.0),
        ts: record.ts.0,
        lon: tenths(lon),
        lat: tenths(lat),
        speed: speed.map(|speed| speed as f32),
        heading: record.heading.map(|heading| heading.0.rem_euclid(360.0) as f32),
        working: record.working,
    });
    Ok(Parsed { row, ts: Some(record.ts.0), appended_at: record.appended_at.map(|time| time.0) })
}
