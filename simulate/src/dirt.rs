//! What goes wrong on the way to the log: late, twice, or broken.
//!
//! One draw decides the fate of a record; a record that is withheld waits in the city's second queue.

use model::StreamId;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::config::Dirt;
use crate::json;
use crate::random::Draw;

/// A late record is withheld at least this long, ms.
pub const LATE_MIN_MS: i64 = 30_000;
/// A late record is withheld at most this long, ms.
pub const LATE_MAX_MS: i64 = 1_800_000;
/// Mean of what a late record waits beyond the least, ms.
pub const LATE_MEAN_MS: f64 = 180_000.0;
/// A second copy follows within this time, ms.
pub const DUPLICATE_MAX_MS: i64 = 5_000;
/// Shortest and longest silence of an entity, ms.
pub const SILENCE_MS: (i64, i64) = (300_000, 1_800_000);

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Plain,
    Late(i64),
    Twice(i64),
    Garbage,
}

impl Fate {
    pub(crate) fn draw(dirt: &Dirt, rng: &mut ChaCha8Rng) -> Fate {
        if dirt.late + dirt.duplicate + dirt.garbage <= 0.0 {
            return Fate::Plain;
        }
        let r: f64 = rng.random();
        if r < dirt.late {
            Fate::Late(LATE_MAX_MS.min(LATE_MIN_MS + rng.exponential(LATE_MEAN_MS) as i64))
        } else if r < dirt.late + dirt.duplicate {
            Fate::Twice(rng.between_ms(1, DUPLICATE_MAX_MS))
        } else if r < dirt.late + dirt.duplicate + dirt.garbage {
            Fate::Garbage
        } else {
            Fate::Plain
        }
    }
}

/// The silences of one entity: alternately heard and not, the share of silence as configured.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    from: i64,
    until: i64,
    mean_heard_ms: f64,
}

impl Silence {
    pub(crate) fn new(share: f64, start_ms: i64, rng: &mut ChaCha8Rng) -> Self {
        let mean_silence = (SILENCE_MS.0 + SILENCE_MS.1) as f64 / 2.0;
        let mean_heard_ms = if share > 0.0 { mean_silence * (1.0 - share) / share } else { f64::INFINITY };
        let mut silence = Silence { from: i64::MAX, until: i64::MAX, mean_heard_ms };
        if rng.chance(share) {
            silence.from = start_ms;
            silence.until = start_ms + rng.between_ms(0, SILENCE_MS.1);
        } else {
            silence.next(start_ms, rng);
        }
        silence
    }

    fn next(&mut self, after_ms: i64, rng: &mut ChaCha8Rng) {
        if self.mean_heard_ms.is_finite() {
            self.from = after_ms + rng.exponential(self.mean_heard_ms) as i64;
            self.until = self.from + rng.between_ms(SILENCE_MS.0, SILENCE_MS.1);
        }
    }

    /// Whether the entity says nothing at `ts`; times are asked for in order.
    pub(crate) fn covers(&mut self, ts: i64, rng: &mut ChaCha8Rng) -> bool {
        while ts >= self.until {
            let after = self.until;
            self.next(after, rng);
        }
        ts >= self.from
    }
}

/// Writes a broken record of `stream` in place of the good one in `out`. Each is refused for a reason of its own.
pub(crate) fn break_record(stream: StreamId, key: &str, ts: i64, out: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let good = out.clone();
    out.clear();
    let id = match stream {
        StreamId::Telemetry => "sensor_id",
        StreamId::Positions => "vehicle_id",
        _ => "case_id",
    };
    let head = |out: &mut Vec<u8>, ts: i64| {
        json::text(out, "{\"");
        json::text(out, id);
        json::text(out, "\":\"");
        json::text(out, key);
        json::text(out, "\",\"ts\":");
        json::int(out, ts);
    };
    match rng.random_range(0..6u32) {
        // Cut off in the middle.
        0 => out.extend_from_slice(&good[..good.len() / 2]),
        // Not JSON at all.
        1 => json::text(out, "$GPRMC,071342.00,A,3635.12,N,10929.04,E,8.1,271.4*6A"),
        // Invalid UTF-8.
        2 => {
            json::text(out, "{\"");
            json::text(out, id);
            out.extend_from_slice(b"\":\"\xff\xfe\",\"ts\":1}");
        }
        // The year 9999.
        3 => {
            head(out, 253_370_764_800_000);
            json::text(out, ",\"metric\":\"x\",\"value\":1,\"lon\":109.5,\"lat\":36.6,\"event\":\"filed\"}");
        }
        // Wrong types, or a number that is none.
        4 => {
            head(out, ts);
            json::text(out, ",\"metric\":7,\"value\":NaN,\"lon\":\"east\",\"lat\":null,\"event\":3}");
        }
        // Out of range, or an unknown event.
        _ => {
            head(out, ts);
            json::text(
                out,
                ",\"metric\":\"x\",\"value\":1e400,\"lon\":109.5,\"lat\":91.0,\"event\":\"lost\"}",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{What, stream};

    #[test]
    fn the_share_of_silence_is_as_configured() {
        let (mut silent, mut all) = (0, 0);
        for which in 0..200 {
            let mut rng = stream(3, What::Vehicle, which);
            let mut silence = Silence::new(0.1, 0, &mut rng);
            for ts in (0..86_400_000).step_by(60_000) {
                silent += i64::from(silence.covers(ts, &mut rng));
                all += 1;
            }
        }
        let share = silent as f64 / all as f64;
        assert!((share - 0.1).abs() < 0.01, "{share}");
    }

    #[test]
    fn a_clean_city_is_never_silent() {
        let mut rng = stream(3, What::Vehicle, 0);
        let mut silence = Silence::new(0.0, 0, &mut rng);
        assert!((0..1_000).all(|day| !silence.covers(day * 86_400_000, &mut rng)));
        assert_eq!(Fate::draw(&Dirt::NONE, &mut rng), Fate::Plain);
    }
}
