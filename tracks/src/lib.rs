//! Tracks of vehicles: from plausible fixes to trips, stops, visits to fences, and doubts about the device.
//!
//! Everything here is a *fold* over the fixes of one vehicle in order of event time: a state, and a step that takes the
//! next fix and may say something that is over (a trip, a stop, a visit). [`journal`] runs such a fold over a history
//! that changes anywhere: it keeps the state at the start of every chunk of fixes and folds again from the chunk that a
//! late fix falls into until the state agrees with what it was. [`trip`] and [`visit`] are the steps, [`vehicle`] puts
//! them together, [`fence`] and [`index`] say where a fix is, and [`quality`] adds up what each pair of neighbours says
//! about the device. No dataflow, no clock, no I/O: numbers in, numbers out.

pub mod fence;
pub mod index;
pub mod journal;
pub mod place;
pub mod quality;
pub mod trip;
pub mod vehicle;
pub mod visit;

pub use fence::{Fence, FenceId, Shape};
pub use index::Fences;
pub use journal::{Changes, Fold, Journal};
pub use place::{Fix, Place};
pub use vehicle::{Said, VehicleFold};

/// The numbers that shape trips, stops and visits. All of them are settings of a run; a fence may name its own margin,
/// speed limit and longest dwell.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// How far a fix may be from the truth, m: rest tolerates it, and a fence is entered or left for certain only
    /// beyond it.
    pub accuracy_m: f64,
    /// Below this speed, km/h, an interval between two fixes is rest.
    pub rest_below_kmh: f64,
    /// Rest of at least this long, ms, is a stop.
    pub stop_ms: i64,
    /// Silence longer than this, ms, ends a trip …
    pub gap_ms: i64,
    /// … unless the vehicle is heard again within this distance, m: then it was parked.
    pub parked_m: f64,
    /// Movement between two stops over less than this distance, m, is jitter and no trip.
    pub trip_min_m: f64,
    /// Across longer intervals, ms, no passage through a fence is inferred.
    pub hole_ms: i64,
    /// Speed limit, km/h, where neither a fence nor the vehicle's record names one.
    pub speed_limit_kmh: f64,
    /// Shorter excesses of the limit, ms, don't count.
    pub overspeed_ms: i64,
    /// A vehicle off its planned route for at least this long, ms, deviates.
    pub deviation_ms: i64,
    /// City time minus UTC, minutes: plans are written in city time.
    pub utc_offset_min: i32,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            accuracy_m: 10.0,
            rest_below_kmh: 3.0,
            stop_ms: 180_000,
            gap_ms: 600_000,
            parked_m: 100.0,
            trip_min_m: 100.0,
            hole_ms: 60_000,
            speed_limit_kmh: 80.0,
            overspeed_ms: 10_000,
            deviation_ms: 60_000,
            utc_offset_min: 480,
        }
    }
}
