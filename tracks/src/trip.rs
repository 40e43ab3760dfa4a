//! Trips and stops: what a vehicle did between two fixes, put together.
//!
//! **Meaning.** An interval between neighbouring fixes is *rest*, *movement* or a *break*. It is a break when it is
//! longer than the gap and its ends are more than the parked distance apart; if they are not, the vehicle was parked
//! with its device off, which is rest. A shorter interval is rest when its distance, less the accuracy, is slower than
//! the rest speed, and the fix at its end agrees: the speed that it reports is below the rest speed, or it reports none
//! and does not work.
//!
//! Rest for at least the stop time is a *stop*. What lies between two stops or breaks is a *leg*; a leg shorter than
//! the least trip is no trip, and if it lies between two stops these are one stop: a parked device wanders. Every other
//! leg is a *trip*, from the last fix of the stop before it to the first of the stop after it. Shorter rests within a
//! trip are idling. The last stop and the last trip are provisional until the vehicle has been silent for the gap.
//!
//! Overspeed: fixes in a row, no hole between them, whose speed (as reported, else distance by time) is above the limit
//! make an excess; one that lasts at least the overspeed time counts.
//!
//! **State.** One stop, one leg, one rest: some 200 bytes, whatever the length of the trip.

use serde::{Deserialize, Serialize};

use crate::Params;
use crate::fence::FenceId;
use crate::place::{Fix, Place, distance_m, distance_mm};

/// km/h of 1 m/ms.
const KMH: f64 = 3600.0;

/// A trip. Distances are sums of whole mm over the movement; `end_*` is the last fix while it is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// First fix, Unix ms.
    pub start_ts: i64,
    /// Last fix, Unix ms.
    pub end_ts: i64,
    /// Where it begins.
    pub from: Place,
    /// Where it ends.
    pub to: Place,
    /// The fence that names the beginning.
    pub from_place: Option<FenceId>,
    /// The fence that names the end.
    pub to_place: Option<FenceId>,
    /// Length of the way, mm.
    pub distance_mm: i64,
    /// Of this, between fixes that both say they work, mm.
    pub working_mm: i64,
    /// Rest within the trip, ms.
    pub idle_ms: i64,
    /// Greatest speed, 0.1 km/h.
    pub top_speed: i64,
    /// Excesses of the speed limit.
    pub excesses: i64,
    /// How long they lasted together, ms.
    pub excess_ms: i64,
    /// Fixes, both ends included.
    pub fixes: i64,
    /// Whether it may still go on.
    pub provisional: bool,
}

/// A stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// First fix at rest, Unix ms.
    pub start_ts: i64,
    /// Last fix at rest, Unix ms.
    pub end_ts: i64,
    /// Where its first fix is.
    pub at: Place,
    /// The fence that names it.
    pub place: Option<FenceId>,
    /// Fixes, both ends included.
    pub fixes: i64,
    /// Whether it may still go on.
    pub provisional: bool,
}

/// A trip or a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A trip.
    Trip(Trip),
    /// A stop.
    Stop(Stop),
}

/// What happened between two fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Between {
    /// It rested.
    Rest,
    /// It moved.
    Movement,
    /// Nobody knows.
    Break,
}

/// What happened between two neighbours.
pub fn between(params: &Params, from: &Fix, to: &Fix) -> Between {
    let (ms, metres) = (to.ts - from.ts, distance_m(from.at, to.at));
    if ms > params.gap_ms {
        return if metres <= params.parked_m { Between::Rest } else { Between::Break };
    }
    let slow = (metres - params.accuracy_m).max(0.0) / ms as f64 * KMH < params.rest_below_kmh;
    let agrees = match to.speed {
        Some(speed) => f64::from(speed) < params.rest_below_kmh,
        None => to.working != Some(true),
    };
    if slow && agrees { Between::Rest } else { Between::Movement }
}

/// Speed at the end of an interval, km/h.
fn speed_kmh(from: &Fix, to: &Fix) -> f64 {
    match to.speed {
        Some(speed) => f64::from(speed),
        None => distance_m(from.at, to.at) / (to.ts - from.ts) as f64 * KMH,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leg {
    trip: Trip,
    /// First and last fix of the excess that goes on.
    excess: Option<(i64, i64)>,
}

impl Leg {
    fn from(fix: &Fix, place: Option<FenceId>) -> Self {
        let trip = Trip {
            start_ts: fix.ts,
            end_ts: fix.ts,
            from: fix.at,
            to: fix.at,
            from_place: place,
            to_place: place,
            distance_mm: 0,
            working_mm: 0,
            idle_ms: 0,
            top_speed: 0,
            excesses: 0,
            excess_ms: 0,
            fixes: 1,
            provisional: false,
        };
        Self { trip, excess: None }
    }

    fn end_excess(&mut self, params: &Params) {
        if let Some((from, to)) = self.excess.take()
            && to - from >= params.overspeed_ms
        {
            self.trip.excesses += 1;
            self.trip.excess_ms += to - from;
        }
    }

    fn is_trip(&self, params: &Params) -> bool {
        self.trip.distance_mm as f64 >= params.trip_min_m * 1000.0
    }

    /// The leg as a trip that ends at `to`.
    fn ended(mut self, params: &Params, to: &Fix, place: Option<FenceId>) -> Trip {
        self.end_excess(params);
        Trip { end_ts: to.ts, to: to.at, to_place: place, ..self.trip }
    }
}

/// Rest that is not a stop yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rest {
    from: Fix,
    place: Option<FenceId>,
    fixes: i64,
}

/// What is known of a vehicle's journey after some fixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journey {
    previous: Option<(Fix, Option<FenceId>)>,
    /// The stop that goes on, or after which nothing has become a trip yet.
    stop: Option<Stop>,
    /// What has been driven since; none while it stops.
    leg: Option<Leg>,
    rest: Option<Rest>,
}

impl Journey {
    /// The latest fix.
    pub fn last(&self) -> Option<&Fix> {
        self.previous.as_ref().map(|(fix, _)| fix)
    }

    /// Takes the next fix: the fence that names its place, and the speed limit there.
    pub fn step(
        &mut self,
        params: &Params,
        fix: &Fix,
        place: Option<FenceId>,
        limit_kmh: f64,
        said: &mut impl FnMut(Part),
    ) {
        let Some((from, from_place)) = self.previous.replace((*fix, place)) else {
            self.leg = Some(Leg::from(fix, place));
            return;
        };
        match between(params, &from, fix) {
            Between::Break => {
                for part in self.parts(params, &(from, from_place)) {
                    said(part);
                }
                self.stop = None;
                self.rest = None;
                self.leg = Some(Leg::from(fix, place));
            }
            Between::Rest => self.rests(params, &from, from_place, fix, said),
            Between::Movement => {
                self.rest = None;
                let leg = self.leg.get_or_insert_with(|| Leg::from(&from, from_place));
                let millimetres = distance_mm(from.at, fix.at);
                let speed = speed_kmh(&from, fix);
                leg.trip.distance_mm += millimetres;
                if from.working == Some(true) && fix.working == Some(true) {
                    leg.trip.working_mm += millimetres;
                }
                leg.trip.fixes += 1;
                leg.trip.top_speed = leg.trip.top_speed.max((speed * 10.0).round() as i64);
                if fix.ts - from.ts > params.hole_ms || speed <= limit_kmh {
                    leg.end_excess(params);
                }
                if speed > limit_kmh {
                    let from = leg.excess.map_or(fix.ts, |(from, _)| from);
                    leg.excess = Some((from, fix.ts));
                }
                if leg.is_trip(params)
                    && let Some(stop) = self.stop.take()
                {
                    said(Part::Stop(stop));
                }
            }
        }
    }

    fn rests(
        &mut self,
        params: &Params,
        from: &Fix,
        from_place: Option<FenceId>,
        fix: &Fix,
        said: &mut impl FnMut(Part),
    ) {
        let Some(leg) = &mut self.leg else {
            if let Some(stop) = &mut self.stop {
                stop.end_ts = fix.ts;
                stop.fixes += 1;
            }
            return;
        };
        leg.end_excess(params);
        leg.trip.idle_ms += fix.ts - from.ts;
        leg.trip.fixes += 1;
        let rest = self.rest.get_or_insert(Rest { from: *from, place: from_place, fixes: 1 });
        rest.fixes += 1;
        if fix.ts - rest.from.ts < params.stop_ms {
            return;
        }
        let (Some(mut leg), Some(rest)) = (self.leg.take(), self.rest.take()) else { return };
        if !leg.is_trip(params)
            && let Some(stop) = &mut self.stop
        {
            stop.end_ts = fix.ts;
            // Its first fix is the last of the stop.
            stop.fixes += leg.trip.fixes - 1;
            return;
        }
        if leg.is_trip(params) {
            leg.trip.idle_ms -= fix.ts - rest.from.ts;
            leg.trip.fixes -= rest.fixes - 1;
            said(Part::Trip(leg.ended(params, &rest.from, rest.place)));
        }
        self.stop = Some(Stop {
            start_ts: rest.from.ts,
            end_ts: fix.ts,
            at: rest.from.at,
            place: rest.place,
            fixes: rest.fixes,
            provisional: false,
        });
    }

    /// The stop and the trip that would be over if `last` were the end.
    fn parts(&self, params: &Params, last: &(Fix, Option<FenceId>)) -> Vec<Part> {
        let mut parts = Vec::new();
        parts.extend(self.stop.clone().map(Part::Stop));
        if let Some(leg) = self.leg.clone().filter(|leg| leg.is_trip(params)) {
            parts.push(Part::Trip(leg.ended(params, &last.0, last.1)));
        }
        parts
    }

    /// What is open at `now`, Unix ms: provisional until the vehicle has been silent for the gap.
    pub fn open(&self, params: &Params, now: i64) -> Vec<Part> {
        let Some(last) = &self.previous else { return Vec::new() };
        let going_on = now - last.0.ts <= params.gap_ms;
        let mut parts = self.parts(params, last);
        for part in &mut parts {
            match part {
                Part::Trip(trip) => trip.provisional = going_on,
                Part::Stop(stop) => stop.provisional = going_on,
            }
        }
        parts
    }
}
