//! `telemetry`: sensor readings, keyed by `sensor_id`.
//!
//! `sensor_id`, `ts`, `metric`, `value` (a finite number within ±10¹⁵), optional `quality` (`good`, `suspect`, `bad`).

use model::{LogPos, Quality, Reading, Row, StreamId};
use serde::Deserialize;

use super::fields::{Field, Id, Kind, Number, Text, Time, optional, required, within};
use super::plain::{self, Way, once};
use super::{Interner, Parsed, Reason, Stream, Times};

pub(super) const STREAM: Stream = Stream { id: StreamId::Telemetry, parse, horizon: true, happened: true };

const FIELDS: &[Field] = &[
    required("sensor_id", Kind::Id),
    required("ts", Kind::Time),
    required("metric", Kind::Id),
    required("value", Kind::Number),
    optional("quality", Kind::Text),
    optional("appended_at", Kind::Time),
];

/// Greatest magnitude of a value: sums of 10⁻⁹ units stay exact.
const VALUE_LIMIT: f64 = 1e15;

#[derive(Debug, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    sensor_id: Id<'a>,
    ts: Time,
    #[serde(borrow)]
    metric: Id<'a>,
    pub(super) value: Number,
    #[serde(borrow)]
    quality: Option<Text<'a>>,
    appended_at: Option<Time>,
}

impl<'a> Record<'a> {
    /// The record if it is written plainly.
    pub(super) fn plain(record: &'a [u8], way: Way<'_>) -> Option<Self> {
        let (mut sensor_id, mut metric, mut quality) = (None, None, None);
        let (mut ts, mut appended_at, mut number) = (None, None, None);
        plain::fields(record, way, |name, value| match name {
            "sensor_id" => once(&mut sensor_id, value.id()?),
            "ts" => once(&mut ts, value.time()?),
            "metric" => once(&mut metric, value.id()?),
            "value" => once(&mut number, value.number()?),
            "quality" => once(&mut quality, value.text()?),
            "appended_at" => once(&mut appended_at, value.time()?),
            _ => value.skip(),
        })?;
        let (sensor_id, ts, metric, value) = (sensor_id?, ts?, metric?, number?);
        Some(Self { sensor_id, ts, metric, value, quality, appended_at })
    }
}

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let record = plain::read(value, interner.layout(), Record::plain, FIELDS)?;
    let quality = match record.quality.as_ref().map(|quality| &*quality.0) {
        None | Some("good") => Quality::Good,
        Some("suspect") => Quality::Suspect,
        Some("bad") => Quality::Bad,
        Some(other) => {
            return Err(format!("out_of_range: `quality` is `{other}`, expected good, suspect or bad"));
        }
    };
    let value = within("value", record.value.0, -VALUE_LIMIT..=VALUE_LIMIT)?;
    let row = Row::Reading(Reading {
        pos,
        sensor: interner.frequent(record.sensor_id.as_str()),
        metric: interner.frequent(record.metric.as_str()),
        ts: record.ts.0,
        value,
        quality,
    });
    let times = Times { ts: Some(record.ts.0), appended_at: record.appended_at.map(|time| time.0) };
    Ok(Parsed { row, times })
}
