//! Sensors: what each kind measures, and what it says at a time.
//!
//! A value follows the weather, the hour and the sensor's own episodes (a leak, a tilted cover, a bin that fills): the
//! episodes cross the thresholds of the usual rules and come back, so that alerts are raised and cleared. A sensor
//! keeps a handful of numbers; rain and episodes are functions of (seed, sensor, time slot), not of history.

mod process;

use model::StreamId;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::config::Config;
use crate::dirt::Silence;
use crate::districts::Unit;
use crate::geo::Xy;
use crate::json;
use crate::places::beside_a_road;
use crate::random::{Draw, What, allot, stream};
use crate::roads::Network;

/// A kind of sensor: its `sensor_kind`, its metrics and how often it must be heard.
#[derive(Clone, Copy, Debug)]
pub struct SensorKind {
    /// `sensor_kind` of its reference record.
    pub name: &'static str,
    /// Two letters that begin the ids of its sensors.
    pub prefix: &'static str,
    /// In Chinese.
    pub zh: &'static str,
    /// `heartbeat_s` when the configuration doesn't set the interval; also how often it reports.
    pub heartbeat_s: u32,
    /// How many there are, relative to other kinds.
    pub weight: f64,
    /// What it measures; a sensor with several metrics sends them in turn.
    pub metrics: &'static [Metric],
}

/// One metric and its unit.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// `metric` of its readings.
    pub name: &'static str,
    /// Unit of its values.
    pub unit: &'static str,
    /// Decimals of its values.
    pub decimals: u32,
    /// What a device with the wrong unit multiplies by (mm for cm, kPa for MPa …).
    pub wrong_factor: f64,
}

const fn metric(name: &'static str, unit: &'static str, decimals: u32, wrong_factor: f64) -> Metric {
    Metric { name, unit, decimals, wrong_factor }
}

/// The kinds of sensors, in the order in which they are numbered.
pub const KINDS: [SensorKind; 13] = [
    kind("water_depth", "wd", "积水水位计", 60, 12.0, &[metric("water_depth", "cm", 1, 10.0)]),
    kind("manhole", "mh", "智能井盖", 300, 16.0, &[metric("tilt", "deg", 1, 0.017_453)]),
    kind("gas", "gs", "燃气探测器", 60, 8.0, &[metric("combustible_gas", "%LEL", 2, 0.05)]),
    kind("water_pressure", "wp", "供水压力计", 60, 10.0, &[metric("water_pressure", "MPa", 3, 1000.0)]),
    kind("bin", "bn", "垃圾桶满溢传感器", 300, 16.0, &[metric("bin_fullness", "%", 1, 0.01)]),
    kind(
        "street_light",
        "sl",
        "路灯控制器",
        120,
        18.0,
        &[metric("current", "A", 3, 1000.0), metric("leakage", "mA", 1, 0.001)],
    ),
    kind("noise", "ns", "噪声监测仪", 30, 4.0, &[metric("noise", "dB", 1, 1.0)]),
    kind("air", "aq", "空气质量微站", 60, 5.0, &[metric("pm25", "ug/m3", 1, 0.001)]),
    kind("soil", "so", "土壤墒情仪", 300, 5.0, &[metric("soil_moisture", "%", 1, 0.01)]),
    kind(
        "pump",
        "pm",
        "泵站液位计",
        30,
        3.0,
        &[metric("pump_level", "m", 2, 100.0), metric("pump_current", "A", 1, 1000.0)],
    ),
    kind("rain_gauge", "rg", "雨量计", 60, 2.0, &[metric("rain", "mm/h", 1, 0.1)]),
    kind("sewage", "sw", "污水流量计", 60, 2.0, &[metric("sewage_flow", "m3/h", 1, 0.001)]),
    kind("heat", "ht", "供热测温仪", 120, 2.0, &[metric("room_temperature", "degC", 1, 1.8)]),
];

const fn kind(
    name: &'static str,
    prefix: &'static str,
    zh: &'static str,
    heartbeat_s: u32,
    weight: f64,
    metrics: &'static [Metric],
) -> SensorKind {
    SensorKind { name, prefix, zh, heartbeat_s, weight, metrics }
}

/// How many sensors share a gateway.
const PER_GATEWAY: u32 = 25;

/// One sensor and its state.
#[derive(Clone, Debug)]
pub(crate) struct Sensor {
    pub id: String,
    pub name: String,
    pub kind: &'static SensorKind,
    pub unit: u16,
    pub road: u32,
    pub at: Xy,
    pub gateway: String,
    pub every_ms: i64,
    /// From sampling to the log, ms.
    pub latency_ms: i64,
    pub rng: ChaCha8Rng,
    silence: Silence,
    state: process::State,
    turn: usize,
    /// `{"sensor_id":"…","ts":`, and per metric `,"metric":"…","value":`.
    head: Box<[u8]>,
    middles: Box<[Box<[u8]>]>,
}

/// All sensors, in order of unit and kind.
pub(crate) fn place(config: &Config, units: &[Unit], network: &Network) -> Vec<Sensor> {
    let weights: Vec<f64> = units.iter().map(|unit| unit.weight).collect();
    let per_unit =
        allot(config.sensors, &weights, u32::from(config.sensors as usize >= units.len() * KINDS.len()));
    let kind_weights = KINDS.map(|kind| kind.weight);
    let mut sensors = Vec::with_capacity(config.sensors as usize);
    for (index, unit) in units.iter().enumerate() {
        let least = u32::from(per_unit[index] as usize >= KINDS.len());
        let mut in_unit = 0;
        for (kind, &count) in KINDS.iter().zip(&allot(per_unit[index], &kind_weights, least)) {
            for number in 1..=count {
                let which = sensors.len() as u64;
                let mut rng = stream(config.seed, What::Sensor, which);
                let (road, at) = beside_a_road(index, network, (2.0, 10.0), &mut rng);
                let id = format!("{}-{}-{number:04}", kind.prefix, unit.adcode);
                let every_ms = config.reading_every_ms(kind.heartbeat_s);
                sensors.push(Sensor {
                    name: format!("{}{}{number}号", network.roads[road as usize].name, kind.zh),
                    gateway: format!("gw-{}-{:03}", unit.adcode, 1 + in_unit / PER_GATEWAY),
                    head: format!("{{\"sensor_id\":\"{id}\",\"ts\":").into_bytes().into(),
                    middles: kind
                        .metrics
                        .iter()
                        .map(|m| format!(",\"metric\":\"{}\",\"value\":", m.name).into_bytes().into())
                        .collect(),
                    kind,
                    unit: index as u16,
                    road,
                    at,
                    every_ms,
                    latency_ms: rng.between_ms(20, 400),
                    silence: Silence::new(config.dirt.offline, config.start_ms, &mut rng),
                    state: process::State::new(config, which, number == 1 && unit.capital, &mut rng),
                    turn: 0,
                    id,
                    rng,
                });
                in_unit += 1;
            }
        }
    }
    sensors
}

impl Sensor {
    /// Writes the reading of time `ts` into `out`; false when the sensor is silent. Times are asked for in order.
    pub(crate) fn read(&mut self, config: &Config, ts: i64, out: &mut Vec<u8>) -> bool {
        let metric = self.turn % self.kind.metrics.len();
        self.turn += 1;
        let value = self.state.value(config, self.kind, metric, self.unit, ts, &mut self.rng);
        if self.silence.covers(ts, &mut self.rng) {
            return false;
        }
        let spec = &self.kind.metrics[metric];
        let wrong = config.dirt.wrong_unit > 0.0 && self.rng.random::<f64>() < config.dirt.wrong_unit;
        out.clear();
        out.extend_from_slice(&self.head);
        json::int(out, ts);
        out.extend_from_slice(&self.middles[metric]);
        if wrong {
            json::number(out, value * spec.wrong_factor, spec.decimals + 3);
        } else {
            json::number(out, value, spec.decimals);
        }
        out.push(b'}');
        true
    }

    /// Its stream.
    pub(crate) const STREAM: StreamId = StreamId::Telemetry;
}
