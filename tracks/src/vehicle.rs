//! All that is said of one vehicle, as one fold: visits first, since a fence may name places and limit speed.
//!
//! **State.** The journey and the visits after a fix.

use serde::{Deserialize, Serialize};

use crate::Params;
use crate::fence::{Fence, FenceId};
use crate::index::Fences;
use crate::journal::Fold;
use crate::place::Fix;
use crate::trip::{Between, Journey, Part, Stop, Trip, between};
use crate::visit::{Event, Plan, Visits};

/// Something that is over, or open at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// A trip.
    Trip(Trip),
    /// A stop.
    Stop(Stop),
    /// An event at a fence.
    Event(Event),
}

/// What the fold knows of the vehicle itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its number.
    pub vehicle: u32,
    /// The number of its fleet.
    pub fleet: u32,
    /// Its speed limit, km/h, if its record names one.
    pub speed_limit_kmh: Option<f64>,
    /// Where it should be and when.
    pub plans: Vec<Plan>,
}

/// The state after some fixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    journey: Journey,
    visits: Visits,
}

/// The fold over one vehicle's fixes.
pub struct VehicleFold<'a> {
    /// Settings.
    pub params: &'a Params,
    /// All fences.
    pub fences: &'a Fences,
    /// The vehicle.
    pub profile: &'a Profile,
}

impl Fold for VehicleFold<'_> {
    type State = State;
    type Said = Said;

    fn step(&self, state: &mut State, fix: &Fix, said: &mut Vec<Said>) {
        let (params, fences, plans) = (self.params, self.fences, &self.profile.plans[..]);
        let last = state.journey.last().copied();
        let mut event = |event| said.push(Said::Event(event));
        let mut previous = last;
        if let Some(before) = last.filter(|last| between(params, last, fix) == Between::Break) {
            state.visits.break_at(params, fences, plans, &before, &mut event);
            previous = None;
        }
        state.visits.step(
            params,
            fences,
            |fence| fence.concerns(self.profile.vehicle, self.profile.fleet),
            previous.as_ref(),
            fix,
            &mut event,
        );
        if !plans.is_empty() {
            state.visits.keep_to(params, fences, plans, fix, &mut event);
        }
        let mut place: Option<(FenceId, &Fence)> = None;
        let mut limit: Option<f64> = None;
        for (id, fence) in state.visits.inside(fences) {
            let smaller =
                |(_, other): &(FenceId, &Fence)| (fence.area_m2, &fence.name) < (other.area_m2, &other.name);
            if fence.is_place && place.as_ref().is_none_or(smaller) {
                place = Some((id, fence));
            }
            if let Some(kmh) = fence.speed_limit_kmh {
                limit = Some(limit.map_or(kmh, |least| least.min(kmh)));
            }
        }
        let limit = limit.or(self.profile.speed_limit_kmh).unwrap_or(params.speed_limit_kmh);
        state.journey.step(params, fix, place.map(|(id, _)| id), limit, &mut |part| {
            said.push(match part {
                Part::Trip(trip) => Said::Trip(trip),
                Part::Stop(stop) => Said::Stop(stop),
            });
        });
    }
}

impl State {
    /// The latest fix.
    pub fn last(&self) -> Option<&Fix> {
        self.journey.last()
    }

    /// What is open at `now`, Unix ms.
    pub fn open(&self, params: &Params, fences: &Fences, profile: &Profile, now: i64) -> Vec<Said> {
        let Some(last) = self.last() else { return Vec::new() };
        let parts = self.journey.open(params, now).into_iter().map(|part| match part {
            Part::Trip(trip) => Said::Trip(trip),
            Part::Stop(stop) => Said::Stop(stop),
        });
        let events = self.visits.open(params, fences, &profile.plans, last).into_iter().map(Said::Event);
        parts.chain(events).collect()
    }
}
