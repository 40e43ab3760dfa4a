//! `positions`: fixes of vehicles, keyed by `vehicle_id`.
//!
//! `vehicle_id`, `ts`, `lon`, `lat`, optional `speed` (km/h), `heading` (degrees clockwise from north), `working`, `crs`
//! (`wgs84`, `cgcs2000`, `gcj02`, `bd09`), `mileage` (km), `satellites`. A fix within 0.001° of (0, 0) is implausible:
//! that is what a device without a fix sends. A heading may be any number of degrees, and becomes 0 ≤ h < 360.

use model::{Fix, LogPos, Row, StreamId};
use serde::Deserialize;

use super::fields::{Field, Id, Kind, Number, Text, Time, optional, required, tenths, within};
use super::plain::{self, Way, once};
use super::{Interner, Parsed, Reason, Stream, Times, geometry};

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

#[derive(Debug, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    vehicle_id: Id<'a>,
    ts: Time,
    lon: Number,
    lat: Number,
    speed: Option<Number>,
    heading: Option<Number>,
    working: Option<bool>,
    #[serde(borrow)]
    crs: Option<Text<'a>>,
    mileage: Option<Number>,
    satellites: Option<Number>,
    appended_at: Option<Time>,
}

impl<'a> Record<'a> {
    /// The record if it is written plainly.
    pub(super) fn plain(record: &'a [u8], way: Way<'_>) -> Option<Self> {
        let (mut vehicle_id, mut crs, mut working) = (None, None, None);
        let (mut ts, mut appended_at) = (None, None);
        let (mut lon, mut lat, mut speed, mut heading) = (None, None, None, None);
        let (mut mileage, mut satellites) = (None, None);
        plain::fields(record, way, |name, value| match name {
            "vehicle_id" => once(&mut vehicle_id, value.id()?),
            "ts" => once(&mut ts, value.time()?),
            "lon" => once(&mut lon, value.number()?),
            "lat" => once(&mut lat, value.number()?),
            "speed" => once(&mut speed, value.number()?),
            "heading" => once(&mut heading, value.number()?),
            "working" => once(&mut working, value.boolean()?),
            "crs" => once(&mut crs, value.text()?),
            "mileage" => once(&mut mileage, value.number()?),
            "satellites" => once(&mut satellites, value.number()?),
            "appended_at" => once(&mut appended_at, value.time()?),
            _ => value.skip(),
        })?;
        let (vehicle_id, ts, lon, lat) = (vehicle_id?, ts?, lon?, lat?);
        Some(Self {
            vehicle_id,
            ts,
            lon,
            lat,
            speed,
            heading,
            working,
            crs,
            mileage,
            satellites,
            appended_at,
        })
    }
}

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let record = plain::read(value, interner.layout(), Record::plain, FIELDS)?;
    let lon = within("lon", record.lon.0, -180.0..=180.0)?;
    let lat = within("lat", record.lat.0, -90.0..=90.0)?;
    if lon.abs() < ZERO && lat.abs() < ZERO {
        return Err(format!("implausible_zero: lon {lon}, lat {lat} is what a device without a fix sends"));
    }
    let (lon, lat) = geometry::crs(record.crs.as_ref().map(|name| &*name.0))?.to_wgs84(lon, lat);
    let speed = record.speed.map(|speed| within("speed", speed.0, 0.0..=SPEED_LIMIT)).transpose()?;
    if let Some(mileage) = record.mileage {
        within("mileage", mileage.0, 0.0..=f64::MAX)?;
    }
    if let Some(satellites) = record.satellites {
        within("satellites", satellites.0, 0.0..=f64::MAX)?;
    }
    let row = Row::Fix(Fix {
        pos,
        vehicle: interner.frequent(record.vehicle_id.as_str()),
        ts: record.ts.0,
        lon: tenths(lon),
        lat: tenths(lat),
        speed: speed.map(|speed| speed as f32),
        heading: record.heading.map(|heading| normalised(heading.0)),
        working: record.working,
    });
    let times = Times { ts: Some(record.ts.0), appended_at: record.appended_at.map(|time| time.0) };
    Ok(Parsed { row, times })
}

/// Degrees in `[0, 360)`: rounding alone can lead to 360 too.
fn normalised(heading: f64) -> f32 {
    let heading = heading.rem_euclid(360.0) as f32;
    if heading < 360.0 { heading } else { 0.0 }
}
