//! Journeys: trips, stops, events at fences and doubts about devices, all decided by looking at one vehicle's track.
//!
//! **Meaning.** What is said is a function of the vehicle's fixes that count, in order of event time, and of the fences,
//! plans and records *as they are now*: a fence that is moved, or a late fix, revises what was said before it came. The
//! rules are in the crate `tracks`.
//!
//! **Mechanism.** One operator with a journal per vehicle. A fix in order costs one step; a late one is put in its
//! chunk of 64 fixes, and folding goes on from there until the state agrees with what it was. A fence that changes is
//! looked for only in chunks whose box meets what it was or is. Fences are at every worker, in an R-tree that takes
//! changes one by one.
//!
//! **State.** One fix of some 30 bytes per vehicle and event time within the horizon, one state of some 300 bytes per
//! 64 fixes, what was said within the horizon, and the fences.

mod fences;
mod vehicle;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashSet;
use model::{Kind, Names, Row, Sym, Tick, Typed};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Filter, Map};
use timely::dataflow::operators::{Capability, Concatenate};

use crate::Settings;
use crate::fleet::datum::Beside;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::ticked::{Fed, Inbox, Port, Tagged, fed};
use crate::operators::{route, spread};
use crate::views::fence_events::EventRow;
use crate::views::gps_quality::QualityRow;
use crate::views::reference::{CurrentRow, kind_of};
use crate::views::rejects::RefusedRow;
use crate::views::stops::StopRow;
use crate::views::trips::TripRow;
use crate::views::vehicles::TrackFix;
use fences::Areas;
use vehicle::Vehicle;

/// What the operator says.
pub struct Journeys<'s> {
    /// Trips.
    pub trips: Tagged<'s, Delta<TripRow>>,
    /// Stops.
    pub stops: Tagged<'s, Delta<StopRow>>,
    /// Events at fences.
    pub events: Tagged<'s, Delta<EventRow>>,
    /// Doubts about devices.
    pub quality: Tagged<'s, Delta<QualityRow>>,
}

/// Why a fix is not in the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Doubt {
    /// At (0, 0).
    Zero,
    /// Ahead of its tick.
    Future,
    /// Too fast from the fixes before it.
    Jump,
}

#[derive(Clone, Debug)]
enum In {
    Track(Delta<TrackFix>),
    Reference(Delta<CurrentRow>),
    Doubt(Sym, Doubt, i64),
    Beside(Sym, Beside),
}

/// What was emitted, by port.
#[derive(Default)]
struct Out {
    trips: Vec<(Tick, Delta<TripRow>)>,
    stops: Vec<(Tick, Delta<StopRow>)>,
    events: Vec<(Tick, Delta<EventRow>)>,
    quality: Vec<(Tick, Delta<QualityRow>)>,
}

/// Renders the operator. `current` is each record at the worker of its id, `track` and `beside` each fix at that of its
/// vehicle.
pub(crate) fn operate<'s>(
    track: Tagged<'s, Delta<TrackFix>>,
    current: Tagged<'s, Delta<CurrentRow>>,
    jumps: Tagged<'s, Delta<RefusedRow>>,
    refused: Tagged<'s, Row>,
    beside: Tagged<'s, (Sym, Beside)>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Journeys<'s> {
    let scope = track.scope();
    let fences = current.clone().filter(|(_, delta)| kind_of(delta) == Kind::Fence).broadcast();
    let vehicles = current.filter(|(_, delta)| kind_of(delta) == Kind::Vehicle);
    let known = scope.concatenate([fences, vehicles]).map(|(tick, delta)| (tick, In::Reference(delta)));
    let of_jumps = {
        let names = Arc::clone(names);
        jumps.flat_map(move |(tick, delta)| {
            let sign = |row: &Option<RefusedRow>| i64::from(row.is_some());
            let n = sign(&delta.new) - sign(&delta.old);
            let row = delta.new.or(delta.old)?;
            Some((tick, (vehicle_of(&names, &row.payload)?, Doubt::Jump, n)))
        })
    };
    let of_refused = {
        let names = Arc::clone(names);
        refused.flat_map(move |(tick, row)| match row {
            Row::Rejected(refused) => {
                let doubt = doubt_of(&refused.reason)?;
                Some((tick, (vehicle_of(&names, &refused.payload)?, doubt, 1)))
            }
            _ => None,
        })
    };
    let doubts = spread(scope.concatenate([of_jumps, of_refused]), |(vehicle, ..)| route(vehicle.0));
    let doubts = doubts.map(|(tick, (vehicle, doubt, n))| (tick, In::Doubt(vehicle, doubt, n)));
    let track = track.map(|(tick, delta)| (tick, In::Track(delta)));
    let beside = beside.map(|(tick, (vehicle, beside))| (tick, In::Beside(vehicle, beside)));
    let input = scope.concatenate([known, doubts, beside, track]);
    let logic = Logic {
        settings: Arc::clone(settings),
        names: Arc::clone(names),
        areas: Areas::default(),
        vehicles: KeyedState::default(),
    };
    fed(scope, "journeys", Inbox::default(), input, logic, |builder| {
        let (mut to_trips, trips) = Port::new(builder);
        let (mut to_stops, stops) = Port::new(builder);
        let (mut to_events, events) = Port::new(builder);
        let (mut to_quality, quality) = Port::new(builder);
        let send = move |capabilities: &[Capability<Tick>], out: &mut Out| {
            to_trips.send(&capabilities[0], &mut out.trips);
            to_stops.send(&capabilities[1], &mut out.stops);
            to_events.send(&capabilities[2], &mut out.events);
            to_quality.send(&capabilities[3], &mut out.quality);
        };
        (Journeys { trips, stops, events, quality }, send)
    })
}

/// The doubt that a reason for refusal stands for.
fn doubt_of(reason: &str) -> Option<Doubt> {
    match reason.split(':').next() {
        Some("implausible_zero") => Some(Doubt::Zero),
        Some("implausible_future") => Some(Doubt::Future),
        _ => None,
    }
}

/// The vehicle that a refused position speaks of; `None` when it is no position.
fn vehicle_of(names: &Names, payload: &str) -> Option<Sym> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(i64),
    }
    #[derive(Deserialize)]
    struct Position {
        vehicle_id: Id,
    }
    let position: Position = serde_json::from_str(payload).ok()?;
    Some(match position.vehicle_id {
        Id::Text(id) => names.intern(&id),
        Id::Number(id) => names.intern(&id.to_string()),
    })
}

struct Logic {
    settings: Arc<Settings>,
    names: Arc<Names>,
    areas: Areas,
    vehicles: KeyedState<Sym, Vehicle>,
}

impl Logic {
    /// Takes the changes of fences, and marks what they may change.
    fn take_fences(&mut self, changed: Vec<(Sym, Option<Arc<CurrentRow>>)>, touched: &mut HashSet<Sym>) {
        if changed.is_empty() {
            return;
        }
        let effect = self.areas.take(&changed, &self.names, &self.settings.journeys);
        for vehicle in effect.planned {
            self.vehicles.entry(vehicle).take_plans(self.areas.plans_of(vehicle));
            touched.insert(vehicle);
        }
        for (id, vehicle) in self.vehicles.iter_mut() {
            let met = vehicle.meets(&effect.boxes);
            if effect.service_area {
                vehicle.judge_area(&self.areas);
            }
            if met || effect.service_area {
                touched.insert(id);
            }
        }
    }
}

impl Fed for Logic {
    type Row = ();
    type In = In;
    type Out = Out;

    fn tick(&mut self, tick: Tick, _rows: &mut Vec<()>, input: &mut Vec<In>, out: &mut Out) {
        let mut touched: HashSet<Sym> = HashSet::default();
        let mut track: Vec<Delta<TrackFix>> = Vec::with_capacity(input.len());
        let mut fences: Vec<(Sym, Option<Arc<CurrentRow>>)> = Vec::new();
        for row in input.drain(..) {
            match row {
                In::Track(delta) => track.push(delta),
                In::Doubt(vehicle, doubt, n) => {
                    self.vehicles.entry(vehicle).doubt(doubt, n);
                    touched.insert(vehicle);
                }
                In::Beside(vehicle, beside) => {
                    self.vehicles.entry(vehicle).look_beside(beside);
                    touched.insert(vehicle);
                }
                In::Reference(delta) => match delta.key() {
                    Some((Kind::Fence, id)) => fences.push((id, delta.new.map(Arc::new))),
                    Some((_, id)) => {
                        let known = delta.new.map(|row| row.body.typed.clone());
                        let known = known.and_then(|typed| match typed {
                            Typed::Vehicle(vehicle) => Some(vehicle),
                            _ => None,
                        });
                        if self.vehicles.entry(id).take_reference(id, known.as_ref()) {
                            touched.insert(id);
                        }
                    }
                    None => {}
                },
            }
        }
        self.take_fences(fences, &mut touched);
        // In order of event time, so that most fixes come at the end of their track.
        track.sort_unstable_by_key(|delta| delta.key().map_or((0, 0), |(vehicle, ts)| (vehicle.0, ts)));
        for delta in track {
            let Some((id, ts)) = delta.key() else { continue };
            let vehicle = self.vehicles.entry(id);
            vehicle.put(id, ts, delta.new.as_ref(), &self.areas, &self.settings.journeys);
            touched.insert(id);
        }
        touched.extend(self.vehicles.woken(tick));
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        for id in touched {
            let Some(vehicle) = self.vehicles.get_mut(id) else { continue };
            vehicle.settle(id, tick, now, &self.areas, &self.settings, out);
            if let Some(due) = vehicle.due(now, &self.settings.journeys) {
                self.vehicles.wake(id, self.settings.tick.ceil(due));
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        self.vehicles.due()
    }
}

/// The net of what was taken back and what was said, by key: old and new row of each that changed.
fn net<K: Ord, R: PartialEq>(
    minus: Vec<R>,
    plus: Vec<R>,
    key: impl Fn(&R) -> K,
) -> Vec<(Option<R>, Option<R>)> {
    let mut by_key: BTreeMap<K, (Vec<R>, Vec<R>)> = BTreeMap::new();
    for row in minus {
        by_key.entry(key(&row)).or_insert_with(|| (Vec::new(), Vec::new())).0.push(row);
    }
    for row in plus {
        let (minus, plus) = by_key.entry(key(&row)).or_insert_with(|| (Vec::new(), Vec::new()));
        // What is said within the tick and taken back within it was never said.
        match minus.iter().position(|other| *other == row) {
            Some(at) => drop(minus.swap_remove(at)),
            None => plus.push(row),
        }
    }
    let mut changes = Vec::new();
    for (mut minus, mut plus) in by_key.into_values() {
        debug_assert!(minus.len() <= 1 && plus.len() <= 1, "a key has one row");
        let (old, new) = (minus.pop(), plus.pop());
        if old.is_some() || new.is_some() {
            changes.push((old, new));
        }
    }
    changes
}
