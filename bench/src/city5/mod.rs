//! city-5: the reference workload, generated from a seed.
//!
//! **Meaning.** A city of sensors, vehicles, road segments and districts, and what it sends: positions, readings and
//! case events as 15 : 10 : 1, about one record in a hundred late and one in two hundred twice, at most 250 bytes each.
//! A [`Mix`] decides every byte. It is simpler than the city of `simulate` on purpose: every contestant has to give the
//! same answers, so nothing here depends on rules that only one of them knows.
//!
//! The five questions are defined in `bench/README.md`; the numbers they need ([`rules`]) are reference records or are
//! written into the manifest beside the files, so that no contestant carries them in code.
//!
//! **Mechanism.** Entities of a kind speak in turn at equal distances, so a stream comes in order of event time without
//! a queue; late records and second copies wait in a heap until their append time. Files are in order of append time.
//!
//! **State.** One small generator per entity, the network, and the records that wait.

mod cases;
mod live;
pub mod network;
mod positions;
mod readings;
pub mod rules;
mod write;

use model::{Error, Result};
use serde::{Deserialize, Serialize};

pub use live::Live;
pub use network::Network;
pub use write::{Manifest, generate};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Mean radius of the Earth, m.
pub const EARTH_M: f64 = 6_371_008.8;
/// Records of the reference scale: 3 million positions, 2 million readings, 200,000 case events.
pub const REFERENCE_RECORDS: u64 = 5_200_000;
/// Parts of positions, readings and case events.
pub(crate) const PARTS: [u64; 3] = [15, 10, 1];
/// Greatest number of entities of a kind.
const ENTITIES_MAX: u32 = 2_000_000;

/// What a workload is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Records of the three streams together; more records go on for longer, at the same rate.
    pub records: u64,
    /// Records a second of event time: at ticks of a second, records a step.
    pub rate: f64,
    /// Multiplies the number of entities, which then speak as much more rarely: the same records over more state.
    pub keys: f64,
    /// When it begins, Unix ms.
    pub start_ms: i64,
    /// Sensors at `keys = 1`.
    pub sensors: u32,
    /// Vehicles at `keys = 1`.
    pub vehicles: u32,
    /// Road segments at `keys = 1`.
    pub segments: u32,
    /// Districts.
    pub districts: u32,
    /// Share of records that are appended half a minute to five minutes late.
    pub late: f64,
    /// Share of records that are appended a second time within seconds.
    pub duplicate: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            seed: 5,
            records: REFERENCE_RECORDS,
            rate: 1_000.0,
            keys: 1.0,
            // 2026-06-01 06:00 in the city.
            start_ms: 1_780_264_800_000,
            sensors: 5_000,
            vehicles: 2_000,
            segments: 20_000,
            districts: 13,
            late: 0.01,
            duplicate: 0.005,
        }
    }
}

impl Mix {
    /// Checks every number.
    ///
    /// # Errors
    /// The user's, with the setting, its value and what was expected.
    pub fn validate(&self) -> Result<()> {
        let wrong = |name: &str, value: String, expected: &str| {
            Err(Error::user(format!("workload.{name} is {value}; expected {expected}")))
        };
        if self.records < PARTS.iter().sum() {
            return wrong("records", self.records.to_string(), "at least 26");
        }
        if !(1.0..=10_000_000.0).contains(&self.rate) {
            return wrong("rate", self.rate.to_string(), "1 to 10000000 records a second");
        }
        if !(0.01..=64.0).contains(&self.keys) {
            return wrong("keys", self.keys.to_string(), "0.01 to 64");
        }
        for (name, count) in
            [("sensors", self.sensors), ("vehicles", self.vehicles), ("segments", self.segments)]
        {
            if !(1..=ENTITIES_MAX).contains(&self.scaled(count)) {
                return wrong(name, self.scaled(count).to_string(), "1 to 2000000 in all");
            }
        }
        if !(1..=99).contains(&self.districts) || self.districts > self.scaled(self.segments) / 4 {
            return wrong(
                "districts",
                self.districts.to_string(),
                "1 to 99, at most a quarter of the segments",
            );
        }
        if !(0.0..=0.5).contains(&self.late) || !(0.0..=0.5).contains(&self.duplicate) {
            return wrong("late", self.late.to_string(), "shares of 0 to 0.5, like `duplicate`");
        }
        Ok(())
    }

    /// A number of entities times `keys`, at least one.
    pub(crate) fn scaled(&self, count: u32) -> u32 {
        ((f64::from(count) * self.keys).round() as u32).max(1)
    }

    /// Records of each stream: positions, readings, case events. They add up.
    pub fn shares(&self) -> [u64; 3] {
        let all: u64 = PARTS.iter().sum();
        let (readings, events) = (self.records * PARTS[1] / all, self.records * PARTS[2] / all);
        [self.records - readings - events, readings, events]
    }

    /// Distance between two records of one entity of a kind, ms.
    pub(crate) fn interval_ms(&self, entities: u32, records: u64) -> f64 {
        let span = self.records as f64 / self.rate * 1000.0;
        span * f64::from(entities) / records as f64
    }

    /// The random stream of entity `which` of kind `what`.
    pub(crate) fn random(&self, what: What, which: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream((what as u64) << 48 | which);
        random
    }
}

/// What a random stream belongs to.
#[derive(Clone, Copy)]
pub(crate) enum What {
    Vehicle = 1,
    Sensor,
    Case,
    Dirt,
}

/// A standard normal draw to a good approximation (twelve uniforms), within ±6.
pub(crate) fn normal(random: &mut impl Rng) -> f64 {
    (0..12).map(|_| random.random::<f32>()).sum::<f32>() as f64 - 6.0
}

/// The name of a district.
pub fn district_name(district: u32) -> String {
    format!("6106{district:02}")
}

#[cfg(test)]
mod tests {
    use super::Mix;

    #[test]
    fn the_reference_scale_is_the_one_that_is_declared() {
        let mix = Mix::default();
        assert_eq!(mix.shares(), [3_000_000, 2_000_000, 200_000]);
        assert_eq!(mix.interval_ms(mix.vehicles, 3_000_000).round(), 3_467.0);
        assert_eq!(mix.interval_ms(mix.sensors, 2_000_000).round(), 13_000.0);
        mix.validate().unwrap();
    }

    #[test]
    fn more_keys_speak_more_rarely() {
        let mix = Mix { keys: 8.0, ..Mix::default() };
        assert_eq!(mix.scaled(mix.vehicles), 16_000);
        assert_eq!(mix.interval_ms(mix.scaled(mix.vehicles), 3_000_000).round(), 27_733.0);
    }

    #[test]
    fn wrong_numbers_are_named() {
        let says = |mix: Mix| mix.validate().unwrap_err().to_string();
        assert!(says(Mix { keys: 100.0, ..Mix::default() }).contains("workload.keys is 100"));
        assert!(says(Mix { records: 3, ..Mix::default() }).contains("workload.records is 3"));
        assert!(says(Mix { late: 0.9, ..Mix::default() }).contains("workload.late is 0.9"));
        assert!(
            says(Mix { sensors: 0, keys: 64.0, vehicles: u32::MAX, ..Mix::default() }).contains("vehicles")
        );
    }
}
