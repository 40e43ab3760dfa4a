//! What a city is made of: how many of everything, how often it speaks, and how dirty its records are.
//!
//! A configuration is plain data and a value of it decides every byte of the city. [`Config::default`] is the city of
//! the demo; [`Config::bench_mix`] is the load generator's. Sizes are bounded by the limits named here.

use std::borrow::Cow;

use model::{Error, Result};
use serde::{Deserialize, Serialize};

/// The boundaries of Yan'an's thirteen units as GeoJSON (see `data/README.md` for where they come from).
pub const YANAN: &str = include_str!("../data/yanan.geojson");

/// Most vehicles, sensors, residences or parks of one city.
pub const ENTITIES_MAX: u32 = 1_000_000;
/// Most roads of one city: what the schematic network has room for.
pub const ROADS_MAX: u32 = 450;
/// Shortest distance between two records of one entity, ms.
pub const INTERVAL_MIN_MS: i64 = 50;

/// A reproducible city. Unknown keys are errors; missing ones take the demo's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The same seed gives the same city.
    pub seed: u64,
    /// When the city begins, Unix ms. No record is appended before it.
    pub start_ms: i64,
    /// City time is UTC plus this many seconds.
    pub utc_offset_s: i32,
    /// Vehicles of both fleets together.
    pub vehicles: u32,
    /// Sensors of all kinds together.
    pub sensors: u32,
    /// Roads; at least one per unit.
    pub roads: u32,
    /// Residential areas.
    pub residences: u32,
    /// Parks.
    pub parks: u32,
    /// Cases reported per hour, on average.
    pub cases_per_hour: f64,
    /// Cases of this many hours before the start are appended at the start, so that a new city has open cases.
    pub case_history_h: f64,
    /// How many times faster than in reality a case goes through its life; its limit shrinks with it.
    pub case_pace: f64,
    /// A vehicle reports its position every so many ms (before `rate`).
    pub position_interval_ms: i64,
    /// A sensor sends a reading every so many ms (before `rate`); `None` = as its kind does.
    pub reading_interval_ms: Option<i64>,
    /// Twice the rate is half of every interval and twice the cases per hour.
    pub rate: f64,
    /// How dirty the records are.
    pub dirt: Dirt,
    /// The units: a GeoJSON feature collection with `adcode`, `name`, `area_km2` and `seat` per feature.
    #[serde(skip, default = "yanan")]
    pub districts_geojson: Cow<'static, str>,
}

fn yanan() -> Cow<'static, str> {
    Cow::Borrowed(YANAN)
}

/// Shares of dirty records, each 0..1. `late`, `duplicate` and `garbage` exclude each other for one record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dirt {
    /// Records appended half a minute to half an hour after their event time.
    pub late: f64,
    /// Records appended a second time within seconds.
    pub duplicate: f64,
    /// Positions thrown 5–50 km away, or to (0,0).
    pub jump: f64,
    /// Share of time that a sensor or vehicle says nothing, in silences of 5–30 min.
    pub offline: f64,
    /// Readings that come in another unit (×10, ×100, ×1000 or a part of it).
    pub wrong_unit: f64,
    /// Records that are broken: cut off, wrong types, impossible values, no JSON at all.
    pub garbage: f64,
}

impl Dirt {
    /// A city as it is never met: everything arrives once, in time and right.
    pub const NONE: Dirt =
        Dirt { late: 0.0, duplicate: 0.0, jump: 0.0, offline: 0.0, wrong_unit: 0.0, garbage: 0.0 };

    fn shares(&self) -> [(&'static str, f64); 6] {
        [
            ("late", self.late),
            ("duplicate", self.duplicate),
            ("jump", self.jump),
            ("offline", self.offline),
            ("wrong_unit", self.wrong_unit),
            ("garbage", self.garbage),
        ]
    }
}

impl Default for Dirt {
    fn default() -> Self {
        Dirt {
            late: 0.01,
            duplicate: 0.005,
            jump: 0.000_5,
            offline: 0.01,
            wrong_unit: 0.000_5,
            garbage: 0.000_1,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 610_600,
            start_ms: DEFAULT_START_MS,
            utc_offset_s: 8 * 3600,
            vehicles: 120,
            sensors: 600,
            roads: 120,
            residences: 160,
            parks: 48,
            cases_per_hour: 90.0,
            case_history_h: 24.0,
            case_pace: 1.0,
            position_interval_ms: 10_000,
            reading_interval_ms: None,
            rate: 1.0,
            dirt: Dirt::default(),
            districts_geojson: yanan(),
        }
    }
}

/// 2026-06-01 06:00 city time, within the early shift.
const DEFAULT_START_MS: i64 = 1_780_264_800_000;

impl Config {
    /// The mix of the throughput runs: 5,200 records a second of simulated time, positions 3 : readings 2 : case
    /// events 0.2, from 2,000 vehicles and 5,000 sensors, 1 % late and 0.5 % twice, at most 250 bytes a record.
    pub fn bench_mix(seed: u64) -> Config {
        Config {
            seed,
            vehicles: 2_000,
            sensors: 5_000,
            roads: 400,
            residences: 400,
            parks: 60,
            // 200 events a second at the mean length of a case's life.
            cases_per_hour: 200.0 * 3600.0 / crate::cases::MEAN_EVENTS,
            case_history_h: 0.0,
            // A case's days pass in minutes, so that a short run still closes cases and lets deadlines expire.
            case_pace: 600.0,
            position_interval_ms: 667,
            reading_interval_ms: Some(2_500),
            dirt: Dirt { late: 0.01, duplicate: 0.005, ..Dirt::NONE },
            ..Config::default()
        }
    }

    /// Distance between two positions of one vehicle, ms.
    pub fn position_every_ms(&self) -> i64 {
        scaled(self.position_interval_ms, self.rate)
    }

    /// Distance between two readings of a sensor whose kind has `heartbeat_s`, ms.
    pub fn reading_every_ms(&self, heartbeat_s: u32) -> i64 {
        scaled(self.reading_interval_ms.unwrap_or(i64::from(heartbeat_s) * 1000), self.rate)
    }

    /// Checks every number; `units` is the number of districts.
    ///
    /// # Errors
    /// The user's, naming the setting, its value and what was expected.
    pub fn validate(&self, units: usize) -> Result<()> {
        for (name, value) in [
            ("vehicles", self.vehicles),
            ("sensors", self.sensors),
            ("residences", self.residences),
            ("parks", self.parks),
        ] {
            if value > ENTITIES_MAX {
                return Err(Error::user(format!("simulate.{name} is {value}; at most {ENTITIES_MAX}")));
            }
        }
        if self.roads > ROADS_MAX || (self.roads as usize) < units {
            return Err(Error::user(format!(
                "simulate.roads is {}; between {units} (one per unit) and {ROADS_MAX}",
                self.roads
            )));
        }
        for (name, value, max) in [
            ("cases_per_hour", self.cases_per_hour, 1e7),
            ("case_history_h", self.case_history_h, 24.0 * 30.0),
        ] {
            if !(0.0..=max).contains(&value) {
                return Err(Error::user(format!("simulate.{name} is {value}; between 0 and {max}")));
            }
        }
        for (name, value) in [("case_pace", self.case_pace), ("rate", self.rate)] {
            if !(0.001..=1000.0).contains(&value) {
                return Err(Error::user(format!("simulate.{name} is {value}; between 0.001 and 1000")));
            }
        }
        for (name, value) in [
            ("position_interval_ms", Some(self.position_interval_ms)),
            ("reading_interval_ms", self.reading_interval_ms),
        ] {
            if let Some(value) = value.filter(|v| !(INTERVAL_MIN_MS..=86_400_000).contains(v)) {
                return Err(Error::user(format!(
                    "simulate.{name} is {value}; between {INTERVAL_MIN_MS} and 86400000 (a day)"
                )));
            }
        }
        for (name, share) in self.dirt.shares() {
            if !(0.0..=0.9).contains(&share) {
                return Err(Error::user(format!(
                    "simulate.dirt.{name} is {share}; a share between 0 and 0.9"
                )));
            }
        }
        if self.dirt.late + self.dirt.duplicate + self.dirt.garbage > 1.0 {
            return Err(Error::user("simulate.dirt: late, duplicate and garbage together are more than 1"));
        }
        if self.utc_offset_s.abs() > 18 * 3600 {
            return Err(Error::user(format!(
                "simulate.utc_offset_s is {}; at most 18 hours either way",
                self.utc_offset_s
            )));
        }
        // The years 2000 to 2100, which is what the streams accept.
        if !(946_684_800_000..4_102_444_800_000).contains(&self.start_ms) {
            return Err(Error::user(format!(
                "simulate.start_ms is {}; Unix milliseconds between the years 2000 and 2100",
                self.start_ms
            )));
        }
        Ok(())
    }
}

fn scaled(interval_ms: i64, rate: f64) -> i64 {
    ((interval_ms as f64 / rate) as i64).max(INTERVAL_MIN_MS)
}
