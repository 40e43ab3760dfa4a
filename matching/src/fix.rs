//! A fix as the matcher needs it, and the same in sixteen bytes.
//!
//! **Meaning.** [`Fix`] is a plausible fix with the epoch of the network that it is matched on. [`Point`] holds the
//! same within its block.
//!
//! **Mechanism.** Time as an offset from the block, speed in 0.1 km/h and heading in whole degrees, as JT/T 808
//! reports them; what is finer is rounded here, before anything is computed from it.
//!
//! **State.** 16 bytes per fix.

use serde::{Deserialize, Serialize};

use crate::geo::Place;
use crate::network::Epoch;

/// A plausible fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Event time, Unix ms.
    pub ts: i64,
    /// Where.
    pub at: Place,
    /// Speed, 0.1 km/h, at most [`Fix::MAX_SPEED`].
    pub speed: Option<u16>,
    /// Degrees clockwise from north, 0 to 359.
    pub heading: Option<u16>,
    /// Whether brush, pump or nozzle is on: the device said so.
    pub working: bool,
    /// The epoch of the network that it is matched on.
    pub epoch: Epoch,
}

impl Fix {
    /// Greatest speed that is told apart, 0.1 km/h.
    pub const MAX_SPEED: u16 = (1 << 12) - 2;

    /// Rounds a speed in km/h.
    pub fn speed_of(kmh: f32) -> u16 {
        (kmh * 10.0).round().clamp(0.0, f32::from(Self::MAX_SPEED)) as u16
    }

    /// Rounds a heading in degrees.
    pub fn heading_of(degrees: f32) -> u16 {
        degrees.round().rem_euclid(360.0) as u16
    }
}

const SPEED: u32 = 20;
const HEADING: u32 = SPEED + 12;
const WORKING: u32 = HEADING + 9;
const EPOCH: u32 = WORKING + 1;
const NO_SPEED: u64 = (1 << 12) - 1;
const NO_HEADING: u64 = (1 << 9) - 1;
/// Greatest epoch that a point can hold: later ones are held as this one.
pub const MAX_EPOCH: Epoch = (1 << (64 - EPOCH)) - 1;
/// Greatest length of a block, ms.
pub const MAX_BLOCK_MS: i64 = 1 << SPEED;

/// A fix within its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    lon: i32,
    lat: i32,
    bits: u64,
}

impl Point {
    /// Packs `fix`, whose block begins at `start`.
    pub fn pack(fix: &Fix, start: i64) -> Self {
        let since = (fix.ts - start).clamp(0, MAX_BLOCK_MS - 1) as u64;
        let speed = fix.speed.map_or(NO_SPEED, |speed| u64::from(speed.min(Fix::MAX_SPEED)));
        let heading = fix.heading.map_or(NO_HEADING, |heading| u64::from(heading % 360));
        let bits = since
            | speed << SPEED
            | heading << HEADING
            | u64::from(fix.working) << WORKING
            | u64::from(fix.epoch.min(MAX_EPOCH)) << EPOCH;
        Self { lon: fix.at.0, lat: fix.at.1, bits }
    }

    /// The fix, given the start of its block.
    pub fn unpack(&self, start: i64) -> Fix {
        let (speed, heading) = (self.bits >> SPEED & NO_SPEED, self.bits >> HEADING & NO_HEADING);
        Fix {
            ts: self.ts(start),
            at: (self.lon, self.lat),
            speed: (speed != NO_SPEED).then_some(speed as u16),
            heading: (heading != NO_HEADING).then_some(heading as u16),
            working: self.bits >> WORKING & 1 == 1,
            epoch: (self.bits >> EPOCH) as Epoch,
        }
    }

    /// Event time, given the start of its block.
    pub fn ts(&self, start: i64) -> i64 {
        start + (self.bits & ((1 << SPEED) - 1)) as i64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fix, MAX_EPOCH, Point};

    proptest! {
        #[test]
        fn a_point_is_its_fix(
            since in 0i64..600_000, lon in any::<i32>(), lat in any::<i32>(), speed in 0u16..5000,
            heading in 0u16..800, working in any::<bool>(), epoch in 0..MAX_EPOCH,
        ) {
            let start = 1_794_560_400_000;
            let fix = Fix {
                ts: start + since,
                at: (lon, lat),
                speed: (speed <= Fix::MAX_SPEED).then_some(speed),
                heading: (heading < 360).then_some(heading),
                working,
                epoch,
            };
            prop_assert_eq!(Point::pack(&fix, start).unpack(start), fix);
            prop_assert_eq!(std::mem::size_of::<Point>(), 16);
        }
    }

    #[test]
    fn what_is_finer_is_rounded() {
        assert_eq!([Fix::speed_of(12.34), Fix::speed_of(-1.0), Fix::speed_of(9e9)], [123, 0, Fix::MAX_SPEED]);
        assert_eq!([Fix::heading_of(359.6), Fix::heading_of(-90.0), Fix::heading_of(12.4)], [0, 270, 12]);
    }
}
