//! The fences at one worker: all of them, by place, with who should be where and when.
//!
//! **State.** One fence per record in force, and one plan per vehicle and window.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashSet;
use model::reference::fence::{FenceRef, FenceShape, Position};
use model::{Names, Sym, Typed};
use tracks::fence::{Bounds, Window};
use tracks::visit::Plan;
use tracks::{Fence, Fences, Params, Place, Shape};

use crate::views::reference::CurrentRow;

/// With more boxes than this everything is folded again: comparing each with each chunk would cost more.
const MAX_BOXES: usize = 256;

/// All fences.
#[derive(Default)]
pub(super) struct Areas {
    /// By place.
    pub fences: Fences,
    plans: BTreeMap<Sym, Vec<(Sym, Plan)>>,
    service_areas: usize,
}

/// What a change of fences may change.
pub(super) struct Effect {
    /// Whatever lies in one of these; the whole world when there were many.
    pub boxes: Vec<Bounds>,
    /// Vehicles whose plans may have changed.
    pub planned: HashSet<Sym>,
    /// Whether the area that fixes are plausible in has changed.
    pub service_area: bool,
}

fn place((lon, lat): Position) -> Place {
    Place::new(lon, lat)
}

fn places(lines: &[Vec<Position>]) -> Vec<Vec<Place>> {
    lines.iter().map(|line| line.iter().copied().map(place).collect()).collect()
}

/// A fence as `tracks` has it.
fn prepared(name: &str, record: &FenceRef, params: &Params) -> Option<Fence> {
    let shape = match &record.shape {
        FenceShape::Area(rings) => Shape::Area(places(rings)),
        FenceShape::Circle(centre, radius_m) => Shape::circle(place(*centre), *radius_m),
        FenceShape::Route(lines, width_m) => Shape::Route(places(lines), *width_m),
    };
    let mut fence = Fence::new(name.into(), &shape, record.margin_m.unwrap_or(params.accuracy_m))?;
    fence.speed_limit_kmh = record.speed_limit_kmh;
    fence.max_dwell_ms = record.max_dwell_ms;
    fence.is_place = record.place;
    fence.service_area = record.service_area;
    fence.vehicles = record.vehicles.iter().map(|vehicle| vehicle.0).collect();
    fence.fleets = record.fleets.iter().map(|fleet| fleet.0).collect();
    Some(fence)
}

impl Areas {
    /// Takes the changes of fences of one tick.
    pub fn take(
        &mut self,
        changed: &[(Sym, Option<Arc<CurrentRow>>)],
        names: &Names,
        params: &Params,
    ) -> Effect {
        let mut effect = Effect { boxes: Vec::new(), planned: HashSet::default(), service_area: false };
        for (id, row) in changed {
            let record = row.as_ref().and_then(|row| match &row.body.typed {
                Typed::Fence(fence) => Some(&**fence),
                _ => None,
            });
            let fence = record.and_then(|record| prepared(names.resolve(*id), record, params)).map(Arc::new);
            let old = self.fences.set(id.0, fence.clone());
            if old == fence && self.plans_at(*id) == record.map_or(Vec::new(), |record| plans(*id, record)) {
                continue;
            }
            for fence in old.iter().chain(&fence) {
                effect.boxes.push(fence.reach());
                effect.service_area |= fence.service_area;
            }
            let count =
                |fence: &Option<Arc<Fence>>| usize::from(fence.as_ref().is_some_and(|f| f.service_area));
            self.service_areas = self.service_areas + count(&fence) - count(&old);
            // Plans: those of the record before go, those of this one come.
            for (vehicle, plans) in &mut self.plans {
                let before = plans.len();
                plans.retain(|(fence, _)| fence != id);
                if plans.len() < before {
                    effect.planned.insert(*vehicle);
                }
            }
            for (vehicle, plan) in record.map_or(Vec::new(), |record| plans(*id, record)) {
                self.plans.entry(vehicle).or_default().push((*id, plan));
                effect.planned.insert(vehicle);
            }
        }
        self.plans.retain(|_, plans| !plans.is_empty());
        if effect.boxes.len() > MAX_BOXES {
            let (low, high) = (Place::new(i32::MIN, i32::MIN), Place::new(i32::MAX, i32::MAX));
            effect.boxes = vec![Bounds { low, high }];
        }
        effect
    }

    fn plans_at(&self, id: Sym) -> Vec<(Sym, Plan)> {
        let of = |(vehicle, plans): (&Sym, &Vec<(Sym, Plan)>)| {
            let vehicle = *vehicle;
            plans
                .iter()
                .filter(|(fence, _)| *fence == id)
                .map(|(_, plan)| (vehicle, *plan))
                .collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.plans.iter().flat_map(of).collect();
        all.sort_unstable_by_key(|(vehicle, plan)| (vehicle.0, plan.window));
        all
    }

    /// Where this vehicle should be and when.
    pub fn plans_of(&self, vehicle: Sym) -> Vec<Plan> {
        let mut plans: Vec<Plan> =
            self.plans.get(&vehicle).into_iter().flatten().map(|(_, plan)| *plan).collect();
        plans.sort_unstable_by_key(|plan| (plan.fence, plan.window));
        plans
    }

    /// Whether a fix here is out of the area that fixes are plausible in; never where none is named.
    pub fn is_out(&self, at: Place) -> bool {
        self.service_areas > 0
            && !self
                .fences
                .meeting(&Bounds::of(at))
                .any(|(_, fence)| fence.service_area && fence.contains(at))
    }
}

/// The plans of one record, in order of vehicle and window.
fn plans(id: Sym, record: &FenceRef) -> Vec<(Sym, Plan)> {
    let plan = |plan: &model::reference::fence::FencePlan| {
        (plan.vehicle, Plan { fence: id.0, window: Window { from: plan.from, to: plan.to } })
    };
    let mut plans: Vec<_> = record.plan.iter().map(plan).collect();
    plans.sort_unstable_by_key(|(vehicle, plan)| (vehicle.0, plan.window));
    plans.dedup();
    plans
}
