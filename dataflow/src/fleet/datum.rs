//! Whether a device's positions seem to be in another reference system than its records say.
//!
//! **Meaning.** Roads are where vehicles drive. Of a sample of the fixes in movement it is counted how many lie beside a
//! road, as they are and as they would be if the numbers that were sent had been in another system: GCJ-02 or BD-09
//! read as WGS-84, or WGS-84 read as GCJ-02 and so converted for nothing. Systems 100 to 1,200 m apart put a track beside
//! the roads only in the right one. Suspected is the system that fits best, if it fits clearly better than what was
//! said. Outside of China, where they are all the same, nothing is sampled. Roads are those of the fix's own tick.
//!
//! **Mechanism.** Whether a fix is of the sample is a function of its event time, so a fix that goes takes out what it put
//! in. The counts are sums.
//!
//! **State.** None; the sums are in the counts of each vehicle.

use std::ops::AddAssign;

use matching::Network;
use model::crs::{Crs, in_china, wgs84_to_gcj02};
use model::rows::DEGREE;
use serde::{Deserialize, Serialize};

use crate::views::vehicles::TrackFix;

/// A fix lies beside a road that is at most this far away, mm.
pub const BESIDE_MM: i64 = 12_000;
/// A fix that reports less than this is not in movement, km/h; one that reports nothing may be.
pub const MOVING_KMH: f32 = 5.0;
/// One fix of so many is of the sample.
pub const ONE_OF: u64 = 8;
/// Fixes of the sample that a suspicion needs.
pub const SAMPLES: i64 = 50;
/// The share of the sample, percent, by which another system must fit better.
pub const CLEARLY_PERCENT: i64 = 30;

/// A reference system that the numbers may be in instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datum {
    /// GCJ-02, and nobody said so.
    Gcj02,
    /// BD-09, and nobody said so.
    Bd09,
    /// WGS-84, converted because the record said GCJ-02.
    Wgs84,
}

impl Datum {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gcj02, Self::Bd09, Self::Wgs84];

    /// Its name in the view.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gcj02 => "gcj02",
            Self::Bd09 => "bd09",
            Self::Wgs84 => "wgs84",
        }
    }

    /// Where a fix that is at `lon`, `lat` would be, degrees.
    pub fn instead(self, lon: f64, lat: f64) -> (f64, f64) {
        match self {
            Self::Gcj02 => Crs::Gcj02.to_wgs84(lon, lat),
            Self::Bd09 => Crs::Bd09.to_wgs84(lon, lat),
            Self::Wgs84 => wgs84_to_gcj02(lon, lat),
        }
    }
}

/// Counts of fixes of the sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// All of them.
    pub sampled: i64,
    /// Beside a road as they are.
    pub as_said: i64,
    /// Beside a road as they would be, in the order of [`Datum::ALL`].
    pub instead: [i64; 3],
}

impl Beside {
    /// What one fix says, on the roads of `epoch`; `None` when it is not of the sample.
    pub fn of(fix: &TrackFix, network: &Network, epoch: matching::Epoch) -> Option<Self> {
        let (lon, lat) = (f64::from(fix.lon) / DEGREE, f64::from(fix.lat) / DEGREE);
        if epoch == 0
            || !is_sampled(fix.ts)
            || fix.speed.is_some_and(|v| v < MOVING_KMH)
            || !in_china(lon, lat)
        {
            return None;
        }
        let beside = |at| i64::from(network.is_beside(at, epoch, BESIDE_MM));
        let instead = Datum::ALL.map(|datum| {
            let (lon, lat) = datum.instead(lon, lat);
            beside(((lon * DEGREE).round() as i32, (lat * DEGREE).round() as i32))
        });
        Some(Self { sampled: 1, as_said: beside((fix.lon, fix.lat)), instead })
    }

    /// The same, taken out.
    pub fn negated(self) -> Self {
        Self { sampled: -self.sampled, as_said: -self.as_said, instead: self.instead.map(|n| -n) }
    }

    /// The system that fits clearly better than what was said, and the share of the sample that it puts beside a road.
    pub fn suspicion(&self) -> Option<(Datum, f64)> {
        let fits = Datum::ALL.into_iter().zip(self.instead);
        let (datum, best) = fits.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        let clearly = (best - self.as_said) * 100 >= self.sampled * CLEARLY_PERCENT;
        (self.sampled >= SAMPLES && clearly).then(|| (datum, best as f64 / self.sampled as f64))
    }
}

impl AddAssign for Beside {
    fn add_assign(&mut self, other: Self) {
        self.sampled += other.sampled;
        self.as_said += other.as_said;
        self.instead.iter_mut().zip(other.instead).for_each(|(sum, n)| *sum += n);
    }
}

/// Whether fixes of this event time are of the sample: as good as random, and always the same.
fn is_sampled(ts: i64) -> bool {
    // Fibonacci hashing: the highest bits depend on all others.
    ts.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xFFFF < 0x1_0000 / ONE_OF
}

#[cfg(test)]
mod tests {
    use super::{Beside, Datum, is_sampled};

    #[test]
    fn a_suspicion_needs_a_sample_and_a_clear_difference() {
        let of = |sampled, as_said, instead| Beside { sampled, as_said, instead }.suspicion();
        assert_eq!(of(100, 35, [90, 30, 31]), Some((Datum::Gcj02, 0.9)));
        assert_eq!(of(100, 35, [30, 90, 31]), Some((Datum::Bd09, 0.9)));
        assert_eq!(of(100, 92, [30, 31, 40]), None, "it fits as it is");
        assert_eq!(of(100, 70, [90, 31, 40]), None, "hardly better");
        assert_eq!(of(20, 2, [20, 0, 0]), None, "too few");
    }

    #[test]
    fn an_eighth_of_the_times_is_sampled_whatever_the_rhythm() {
        for step in [1_000, 5_000, 10_000, 20_000, 30_000, 60_000] {
            let sampled = (0..8_000).filter(|n| is_sampled(1_794_560_400_000 + n * step)).count();
            assert!((850..1_150).contains(&sampled), "every {step} ms: {sampled} of 8000");
        }
    }
}
