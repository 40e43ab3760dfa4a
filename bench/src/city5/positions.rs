//! Positions: vehicles that wander along the streets of their district, with a receiver's error, which drifts: however
//! often a vehicle speaks, it does not leap.

use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::network::{Network, metres_per_unit};
use super::{Mix, What, normal};

/// Standard deviation of a receiver's noise, m, each way.
const NOISE_M: f64 = 6.0;
/// Share of errors that throw a fix off the road, and how far at most, m.
const OFF_ROAD: (f64, f64) = (0.03, 40.0);
/// How long an error takes to become another one, s. Fixes further apart than that have errors of their own.
const DRIFT_S: f64 = 3.0;
/// Chance per fix that a vehicle starts or stops working.
const SWITCH: f64 = 0.02;

struct Vehicle {
    random: ChaCha8Rng,
    segment: u32,
    /// Whether it goes from the first end to the second.
    forward: bool,
    along_m: f64,
    speed_kmh: f64,
    working: bool,
    /// The error that was, and the one that it becomes, m to the east and north; how far it has come, s.
    errors: [(f64, f64); 2],
    drifted_s: f64,
}

/// All vehicles; they speak in turn.
pub(super) struct Positions {
    network: Arc<Network>,
    vehicles: Vec<Vehicle>,
    interval_ms: f64,
    start_ms: i64,
    n: u64,
}

impl Positions {
    pub(super) fn new(mix: &Mix, network: &Arc<Network>) -> Self {
        let count = mix.scaled(mix.vehicles);
        let vehicle = |n: u32| {
            let mut random = mix.random(What::Vehicle, u64::from(n));
            let (from, to) = network.of_district[(n % mix.districts) as usize];
            Vehicle {
                segment: random.random_range(from..to),
                forward: random.random(),
                along_m: 0.0,
                speed_kmh: random.random_range(6.0..20.0),
                working: random.random(),
                errors: Default::default(),
                drifted_s: DRIFT_S,
                random,
            }
        };
        Self {
            network: Arc::clone(network),
            vehicles: (0..count).map(vehicle).collect(),
            interval_ms: mix.interval_ms(count, mix.shares()[0]),
            start_ms: mix.start_ms,
            n: 0,
        }
    }

    /// The next record into `line`, without its closing brace; its event time.
    pub(super) fn next(&mut self, line: &mut String) -> i64 {
        use std::fmt::Write;
        let count = self.vehicles.len() as u64;
        let which = (self.n % count) as usize;
        let ts = self.start_ms + (self.n as f64 * self.interval_ms / count as f64) as i64;
        self.n += 1;
        let vehicle = &mut self.vehicles[which];
        let seconds = self.interval_ms / 1000.0;
        vehicle.drive(&self.network, seconds);
        let (lon, lat) = vehicle.fix(&self.network, seconds);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{{\"vehicle_id\":\"v-{which:06}\",\"ts\":{ts},\"lon\":{}.{:07},\"lat\":{}.{:07},\"speed\":{:.1},\"working\":{}",
            lon / 10_000_000,
            lon % 10_000_000,
            lat / 10_000_000,
            lat % 10_000_000,
            vehicle.speed_kmh,
            vehicle.working,
        );
        ts
    }
}

impl Vehicle {
    fn drive(&mut self, network: &Network, seconds: f64) {
        let random = &mut self.random;
        if random.random_bool(SWITCH) {
            self.working = !self.working;
        }
        self.speed_kmh = (self.speed_kmh + random.random_range(-2.0..2.0)).clamp(3.0, 25.0);
        let mut left = self.speed_kmh / 3.6 * seconds;
        loop {
            let length = network.length_mm(self.segment) as f64 / 1000.0;
            if self.along_m + left <= length {
                self.along_m += left;
                return;
            }
            left -= length - self.along_m;
            self.along_m = 0.0;
            let ends = network.segments[self.segment as usize].ends;
            let node = ends[usize::from(self.forward)];
            let here = &network.at[node as usize];
            // Back only where there is no other way.
            let others = here.iter().filter(|next| **next != self.segment).count();
            let pick = if others == 0 { 0 } else { self.random.random_range(0..others) };
            let next = here.iter().filter(|next| others == 0 || **next != self.segment).nth(pick);
            self.segment = next.copied().unwrap_or(self.segment);
            self.forward = network.segments[self.segment as usize].ends[0] == node;
        }
    }

    /// A new error of the receiver.
    fn err(&mut self) -> (f64, f64) {
        let random = &mut self.random;
        let (mut east, mut north) = (normal(random) * NOISE_M, normal(random) * NOISE_M);
        if random.random_bool(OFF_ROAD.0) {
            east += random.random_range(-OFF_ROAD.1..OFF_ROAD.1);
            north += random.random_range(-OFF_ROAD.1..OFF_ROAD.1);
        }
        (east, north)
    }

    /// The error of a fix that comes `seconds` after the last one.
    fn error(&mut self, seconds: f64) -> (f64, f64) {
        self.drifted_s += seconds;
        if self.drifted_s >= DRIFT_S {
            self.errors = [self.errors[1], self.err()];
            self.drifted_s = if seconds >= DRIFT_S { DRIFT_S } else { self.drifted_s % DRIFT_S };
        }
        let share = self.drifted_s / DRIFT_S;
        let [was, becomes] = self.errors;
        let between = |was: f64, becomes: f64| was * (1.0 - share) + becomes * share;
        (between(was.0, becomes.0), between(was.1, becomes.1))
    }

    /// Where it says it is, 10⁻⁷ degrees, `seconds` after it last said so.
    fn fix(&mut self, network: &Network, seconds: f64) -> (i64, i64) {
        let [mut from, mut to] = network.line(self.segment);
        if !self.forward {
            std::mem::swap(&mut from, &mut to);
        }
        let share = self.along_m * 1000.0 / network.length_mm(self.segment) as f64;
        let (east, north) = self.error(seconds);
        let unit = 1.0 / metres_per_unit();
        let lon = from.0 as f64 + (to.0 - from.0) as f64 * share + east * unit / 0.8;
        let lat = from.1 as f64 + (to.1 - from.1) as f64 * share + north * unit;
        (lon.round() as i64, lat.round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::Value as Json;

    use super::{Network, Positions};
    use crate::city5::Mix;

    /// However many records come a second, the vehicles drive at speeds that a city knows.
    #[test]
    fn vehicles_that_speak_often_do_not_leap() {
        let mix = Mix { records: 100_000, rate: 100_000.0, ..Mix::default() };
        let mut positions = Positions::new(&mix, &Arc::new(Network::build(&mix)));
        let mut last: BTreeMap<String, (f64, f64, f64)> = BTreeMap::new();
        for _ in 0..50_000 {
            let mut line = String::new();
            positions.next(&mut line);
            line.push('}');
            let fix: Json = serde_json::from_str(&line).unwrap();
            let number = |name: &str| fix[name].as_f64().unwrap();
            let now = (number("ts") / 1000.0, number("lon") * 0.8 * 111_195.0, number("lat") * 111_195.0);
            let id = fix["vehicle_id"].as_str().unwrap().to_owned();
            if let Some(before) = last.insert(id, now) {
                let metres = (now.1 - before.1).hypot(now.2 - before.2);
                // Times are whole milliseconds, and a corner is cut.
                assert!(
                    metres <= 200.0 / 3.6 * (now.0 - before.0 + 0.001) + 0.1,
                    "{metres} m: {before:?}, {now:?}"
                );
            }
        }
    }
}
