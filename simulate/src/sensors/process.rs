//! What a sensor would measure: the weather, the hour of the day, and episodes that cross the usual thresholds.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;

use super::SensorKind;
use crate::config::Config;
use crate::random::{Draw, What, slot_stream};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Rain is drawn once per unit and slot of this length.
const RAIN_SLOT_MS: i64 = 6 * HOUR_MS;
/// An episode of a sensor is drawn once per slot of this length.
const EPISODE_SLOT_MS: i64 = 4 * HOUR_MS;
/// In the first slot it rains on the first unit from this time after the start, so that a new city has weather.
const FIRST_RAIN_MS: i64 = 2 * MINUTE_MS;
/// In the first slot the first sensor of each kind of the capital has an episode from this time after the start.
const FIRST_EPISODE_MS: i64 = 3 * MINUTE_MS;

/// A rise from 0 to 1, a stay, and a fall, as a function of time.
#[derive(Clone, Copy, Debug)]
struct Episode {
    from: i64,
    until: i64,
    ramp_ms: i64,
    size: f64,
}

const QUIET: Episode = Episode { from: i64::MAX, until: i64::MAX, ramp_ms: 1, size: 0.0 };

impl Episode {
    fn at(&self, ts: i64) -> f64 {
        if ts <= self.from || ts >= self.until {
            return 0.0;
        }
        let up = (ts - self.from) as f64 / self.ramp_ms as f64;
        let down = (self.until - ts) as f64 / self.ramp_ms as f64;
        self.size * up.min(down).min(1.0)
    }
}

fn rain(config: &Config, unit: u16, slot: i64) -> Episode {
    let mut rng = slot_stream(config.seed, What::Weather, u64::from(unit), slot);
    let first = slot == 0 && unit == 0;
    if !first && !rng.chance(0.3) {
        return QUIET;
    }
    let start = config.start_ms + slot * RAIN_SLOT_MS;
    let from = start + if first { FIRST_RAIN_MS } else { rng.between_ms(0, 4 * HOUR_MS) };
    let length = rng.between_ms(25 * MINUTE_MS, 100 * MINUTE_MS);
    let size = if first { 45.0 } else { rng.between(2.0, 60.0) };
    Episode { from, until: from + length, ramp_ms: length / 4, size }
}

/// The state of a sensor.
#[derive(Clone, Debug)]
pub(super) struct State {
    which: u64,
    /// Whether its first episode comes early.
    shown: bool,
    last_ts: i64,
    /// A slowly wandering deviation, standard normal.
    drift: f64,
    /// What accumulates: depth, fullness, level, moisture.
    store: f64,
    /// How strongly this place answers (0..1).
    character: f64,
    episode_slot: i64,
    episode: Episode,
    rain_slot: i64,
    rain: Episode,
}

impl State {
    pub(super) fn new(config: &Config, which: u64, shown: bool, rng: &mut ChaCha8Rng) -> Self {
        let character = if shown { 0.95 } else { rng.between(0.0, 1.0) };
        State {
            which,
            shown,
            last_ts: config.start_ms,
            drift: rng.normal(),
            store: rng.between(0.0, 1.0),
            character,
            episode_slot: i64::MIN,
            episode: QUIET,
            rain_slot: i64::MIN,
            rain: QUIET,
        }
    }

    /// The value of a metric of a kind at `ts`, in the metric's unit.
    pub(super) fn value(
        &mut self,
        config: &Config,
        kind: &SensorKind,
        metric: usize,
        unit: u16,
        ts: i64,
        rng: &mut ChaCha8Rng,
    ) -> f64 {
        let dt_h = (ts - self.last_ts).max(0) as f64 / HOUR_MS as f64;
        self.last_ts = ts;
        // A wandering deviation with a memory of half an hour.
        let keep = (1.0 - dt_h / 0.5).max(0.0);
        self.drift = self.drift * keep + rng.normal() * (1.0 - keep * keep).max(0.0).sqrt();
        let noise = rng.normal();
        let local = ts + i64::from(config.utc_offset_s) * 1000;
        let hour = local.rem_euclid(DAY_MS) as f64 / HOUR_MS as f64;
        // Highest in the afternoon, lowest before dawn.
        let day = (TAU * (hour - 9.0) / 24.0).sin();
        let rain = self.rain(config, unit, ts);
        let episode = self.episode(config, ts);
        let c = self.character;
        match (kind.name, metric) {
            ("water_depth", _) => {
                // Falls by two thirds in ten minutes; a place that collects water stands 40 cm deep in 45 mm/h.
                self.store += (rain * c * c - self.store.max(0.0)) * 6.0 * dt_h.min(0.2);
                (self.store + 0.1 * noise).max(0.0)
            }
            ("manhole", _) => (0.8 + 0.3 * noise + 40.0 * episode).clamp(0.0, 90.0),
            ("gas", _) => {
                (0.6 + 0.2 * self.drift + 0.1 * noise + (15.0 + 45.0 * c) * episode).clamp(0.0, 100.0)
            }
            ("water_pressure", _) => {
                let use_ = 0.03 * day + 0.02 * (2.0 * TAU * (hour - 7.0) / 24.0).cos();
                (0.32 - use_ + 0.008 * self.drift + 0.002 * noise - 0.2 * episode).clamp(0.0, 1.6)
            }
            ("bin", _) => {
                self.store += dt_h * (0.03 + 0.09 * c) * if (6.0..23.0).contains(&hour) { 1.0 } else { 0.2 };
                // Emptied at last; the neglected ones overflow first.
                if self.store > 0.82 + 0.2 * c {
                    self.store = 0.02;
                }
                (100.0 * self.store + 0.5 * noise).clamp(0.0, 100.0)
            }
            ("street_light", 0) => {
                let lit = !(6.2..19.3).contains(&hour);
                let out = episode > 0.5;
                let current = if lit != out { 0.62 + 0.02 * self.drift + 0.005 * noise } else { 0.004 };
                current.max(0.0)
            }
            ("street_light", _) => {
                (3.0 + 1.0 * self.drift + 0.2 * rain * c + 160.0 * episode * c + 0.3 * noise).max(0.0)
            }
            ("noise", _) => {
                (54.0 + 8.0 * day + 2.0 * self.drift + 2.0 * noise + 20.0 * episode).clamp(25.0, 120.0)
            }
            ("air", _) => (42.0 + 12.0 * self.drift - 0.3 * rain + 2.0 * noise + 120.0 * episode).max(1.0),
            ("soil", _) => {
                let wet = 8.0 + 30.0 * self.store;
                self.store = (self.store + dt_h * (rain * 0.02 - 0.004)).clamp(0.0, 1.0);
                (wet + 0.2 * noise).clamp(0.0, 60.0)
            }
            ("pump", 0) => {
                // Fills, starts at 2.2 m, stops at 0.9 m: a saw-tooth of 20 min or so, faster in rain.
                self.store = (self.store + dt_h * (2.0 + 0.08 * rain)).fract();
                let saw = if self.store < 0.7 { self.store / 0.7 } else { (1.0 - self.store) / 0.3 };
                (0.9 + 1.3 * saw + 0.01 * noise + 1.5 * episode).max(0.0)
            }
            ("pump", _) => {
                if self.store < 0.7 {
                    0.0
                } else {
                    (38.0 + 1.5 * self.drift + 0.5 * noise + 25.0 * episode).max(0.0)
                }
            }
            ("rain_gauge", _) => (rain * (0.8 + 0.4 * c)).max(0.0),
            ("sewage", _) => (180.0 + 60.0 * day + 15.0 * self.drift + 4.0 * rain * c + 3.0 * noise).max(0.0),
            _ => 20.5 + 1.0 * day + 0.8 * self.drift + 0.1 * noise - 6.0 * episode,
        }
    }

    fn rain(&mut self, config: &Config, unit: u16, ts: i64) -> f64 {
        let slot = (ts - config.start_ms).div_euclid(RAIN_SLOT_MS);
        if slot != self.rain_slot {
            self.rain_slot = slot;
            self.rain = rain(config, unit, slot);
        }
        self.rain.at(ts)
    }

    fn episode(&mut self, config: &Config, ts: i64) -> f64 {
        let slot = (ts - config.start_ms).div_euclid(EPISODE_SLOT_MS);
        if slot != self.episode_slot {
            self.episode_slot = slot;
            let mut rng = slot_stream(config.seed, What::SensorEpisodes, self.which, slot);
            let first = slot == 0 && self.shown;
            self.episode = if first || rng.chance(0.03) {
                let start = config.start_ms + slot * EPISODE_SLOT_MS;
                let from = start + if first { FIRST_EPISODE_MS } else { rng.between_ms(0, 3 * HOUR_MS) };
                let length = rng.between_ms(10 * MINUTE_MS, 40 * MINUTE_MS);
                let ramp_ms = MINUTE_MS.min(length / 4);
                Episode {
                    from,
                    until: from + length,
                    ramp_ms,
                    size: if first { 1.0 } else { rng.between(0.5, 1.0) },
                }
            } else {
                QUIET
            };
        }
        self.episode.at(ts)
    }
}
