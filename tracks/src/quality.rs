//! Whether positions can be trusted: what each fix and each pair of neighbours says, added up.
//!
//! **Meaning.** A pair of neighbours is *frozen* when the place is the same to the last bit while the device reports
//! movement at both ends. A pair in movement compares speeds: the mean of the two reported speeds times the time should
//! be the distance. Over many pairs the ratio is 1; it is 0.621 when a device reports mph as km/h, 0.540 for knots,
//! 0.278 for m/s, 3.6 the other way round.
//!
//! **Mechanism.** Sums of whole numbers, so a fix that comes late or goes changes them by its two pairs and nothing
//! else.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

use crate::place::{Fix, distance_mm};

/// A pair compares speeds when it moves at least this fast by distance and time, km/h: below it noise decides.
const MOVING_KMH: f64 = 10.0;
/// … and when its fixes are at most this far apart, ms: over longer times roads bend and speeds change.
const PAIR_MS: i64 = 30_000;
/// Both ends of a frozen pair report at least this speed, km/h.
const FROZEN_KMH: f32 = 5.0;
/// Pairs that a verdict needs.
pub const PAIRS: i64 = 30;
/// A ratio belongs to a unit when it is within this factor of the unit's own.
const BAND: f64 = 1.06;
/// A unit that a device reports by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Miles per hour.
    Mph,
    /// Knots.
    Knots,
    /// Metres per second.
    MetresPerSecond,
    /// km/h taken for m/s and converted once more.
    Twice,
}

impl Unit {
    /// The name in the view.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mph => "mph",
            Self::Knots => "knots",
            Self::MetresPerSecond => "m/s",
            Self::Twice => "x3.6",
        }
    }
}

/// What numbers in these units, read as km/h, are of the truth.
const UNITS: [(Unit, f64); 4] = [
    (Unit::Mph, 1.0 / 1.609_344),
    (Unit::Knots, 1.0 / 1.852),
    (Unit::MetresPerSecond, 1.0 / 3.6),
    (Unit::Twice, 3.6),
];

/// What pairs of neighbours add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// Frozen pairs.
    pub frozen: i64,
    /// Pairs that compare speeds.
    pub moving: i64,
    /// Way that they report: 0.001 km/h × ms.
    pub reported: i64,
    /// Way that they went, mm.
    pub distance_mm: i64,
}

impl Pairs {
    /// What one pair of neighbours says.
    pub fn of(a: &Fix, b: &Fix) -> Self {
        let mut pairs = Self::default();
        let (Some(speed_a), Some(speed_b)) = (a.speed, b.speed) else { return pairs };
        if a.at == b.at {
            pairs.frozen = i64::from(speed_a >= FROZEN_KMH && speed_b >= FROZEN_KMH);
            return pairs;
        }
        let (ms, millimetres) = (b.ts - a.ts, distance_mm(a.at, b.at));
        if ms <= PAIR_MS && millimetres as f64 * 3.6 >= MOVING_KMH * ms as f64 {
            let thousandths = ((f64::from(speed_a) + f64::from(speed_b)) * 500.0).round() as i64;
            pairs.moving = 1;
            pairs.reported = thousandths * ms;
            pairs.distance_mm = millimetres;
        }
        pairs
    }

    /// Reported speed against distance by time; `None` before there are enough pairs.
    pub fn ratio(&self) -> Option<f64> {
        // 0.001 km/h × ms = 1/3.6 µm; so mm × 3,600 are the same unit.
        let went = self.distance_mm as f64 * 3600.0;
        (self.moving >= PAIRS && went > 0.0).then(|| self.reported as f64 / went)
    }

    /// The unit that the device seems to report, if it isn't km/h.
    pub fn unit(&self) -> Option<Unit> {
        let ratio = self.ratio()?;
        let fits = |unit: f64| (ratio / unit).max(unit / ratio) <= BAND;
        UNITS.iter().find(|(_, unit)| fits(*unit)).map(|(unit, _)| *unit)
    }
}

impl AddAssign for Pairs {
    fn add_assign(&mut self, other: Self) {
        self.frozen += other.frozen;
        self.moving += other.moving;
        self.reported += other.reported;
        self.distance_mm += other.distance_mm;
    }
}

impl SubAssign for Pairs {
    fn sub_assign(&mut self, other: Self) {
        self.frozen -= other.frozen;
        self.moving -= other.moving;
        self.reported -= other.reported;
        self.distance_mm -= other.distance_mm;
    }
}

#[cfg(test)]
mod tests {
    use super::{PAIRS, Pairs, Unit};
    use crate::place::{Fix, Place};

    /// A vehicle at 36 km/h to the north, a fix every 10 s, whose device says `factor` times its speed.
    fn drive(factor: f32) -> Pairs {
        let fix = |n: i64| Fix {
            ts: n * 10_000,
            at: Place::new(1_094_900_000, 365_000_000 + n as i32 * 8993),
            speed: Some(36.0 * factor),
            working: None,
        };
        let mut pairs = Pairs::default();
        for n in 0..=PAIRS {
            pairs += Pairs::of(&fix(n), &fix(n + 1));
        }
        pairs
    }

    #[test]
    fn a_wrong_unit_shows() {
        assert!((drive(1.0).ratio().unwrap() - 1.0).abs() < 1e-3);
        assert_eq!(drive(1.0).unit(), None);
        assert_eq!(drive(0.6214).unit(), Some(Unit::Mph));
        assert_eq!(drive(0.54).unit(), Some(Unit::Knots));
        assert_eq!(drive(0.2778).unit(), Some(Unit::MetresPerSecond));
        assert_eq!(drive(0.8).unit(), None, "an odd ratio is no unit");
    }

    #[test]
    fn a_frozen_place_shows() {
        let fix = |ts, speed| Fix { ts, at: Place::new(5, 5), speed: Some(speed), working: None };
        assert_eq!(Pairs::of(&fix(0, 20.0), &fix(10, 20.0)).frozen, 1);
        assert_eq!(Pairs::of(&fix(0, 0.0), &fix(10, 20.0)).frozen, 0);
    }
}
