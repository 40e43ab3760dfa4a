//! Readings: one metric per sensor that wanders around a mean and now and then stays high.

use rand_chacha::ChaCha8Rng;

use super::rules::KINDS;
use super::{Mix, What, normal};

/// The mean, how strongly a value is drawn back to it, and the step's standard deviation: with these a value is above
/// the raise limit about one time in forty.
const WANDER: (f64, f64, f64) = (50.0, 0.02, 3.0);

/// All sensors; they speak in turn.
pub(super) struct Readings {
    sensors: Vec<(ChaCha8Rng, f64)>,
    interval_ms: f64,
    start_ms: i64,
    n: u64,
}

impl Readings {
    pub(super) fn new(mix: &Mix) -> Self {
        let count = mix.scaled(mix.sensors);
        let sensor = |n: u32| {
            let mut random = mix.random(What::Sensor, u64::from(n));
            let value = WANDER.0 + 15.0 * normal(&mut random);
            (random, value)
        };
        Self {
            sensors: (0..count).map(sensor).collect(),
            interval_ms: mix.interval_ms(count, mix.shares()[1]),
            start_ms: mix.start_ms,
            n: 0,
        }
    }

    /// The next record into `line`, without its closing brace; its event time.
    pub(super) fn next(&mut self, line: &mut String) -> i64 {
        use std::fmt::Write;
        let count = self.sensors.len() as u64;
        let which = (self.n % count) as usize;
        let ts = self.start_ms + (self.n as f64 * self.interval_ms / count as f64) as i64;
        self.n += 1;
        let (random, value) = &mut self.sensors[which];
        *value = (*value + (WANDER.0 - *value) * WANDER.1 + normal(random) * WANDER.2).clamp(0.0, 100.0);
        let tenths = (*value * 10.0).round() as i64;
        let metric = KINDS[which % KINDS.len()];
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{{\"sensor_id\":\"s-{which:06}\",\"ts\":{ts},\"metric\":\"{metric}\",\"value\":{}.{}",
            tenths / 10,
            tenths % 10
        );
        ts
    }
}
