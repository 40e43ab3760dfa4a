//! Matches the fixes of each vehicle to roads.
//!
//! **Meaning.** A fix is matched on the roads in force at the tick of its record, whatever changes later: the join with
//! roads *fixes* (a road that is moved leaves what was matched before as it is; only fixes that come from its tick on
//! see it; one that came before the first road is on none). The speed band of a vehicle *revises*: what it covered is judged anew when the record changes. What a match
//! is, and why it does not depend on the order of arrival, says the crate `matching`.
//!
//! **Mechanism.** Every worker has all roads, each vehicle's track is at the worker of the vehicle. A fix in order
//! extends the match of the last ten minutes; a late one matches the ten or twenty minutes around it again, once per
//! tick however many come. Said are: pieces of roads that were worked on, the road of the latest fix, in which slots of
//! five minutes a vehicle was present and worked, and whether fixes lie beside roads ([`super::datum`]). Only the latest
//! fixes are kept: with a change of an older one come the fixes around it, which `vehicles` keeps ([`Recalled`]), and with
//! another speed band come all.
//!
//! **State.** 16 bytes per fix of the last hour or so of a vehicle, two counters per vehicle and slot within the horizon,
//! and per worker the road network.

use std::collections::BTreeMap;
use std::sync::Arc;

use matching::{Edit, Fix, Params, Piece, RoadLine, Track, World};
use model::reference::road::RoadRef;
use model::{Kind, Names, Sym, Tick, Typed};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Map, Partition};

use super::datum::Beside;
use super::shifts::{SLOT_MS, now_of};
use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::sorted::Sorted;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::views::reference::CurrentRow;
use crate::views::vehicles::TrackFix;

/// A piece of a road, by whom; comes (+1) or goes (−1).
pub type Work = (Sym, Piece, i64);

/// A vehicle was present in a slot, or worked in it; comes (+1) or goes (−1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The vehicle.
    pub vehicle: Sym,
    /// The slot: Unix ms divided by [`SLOT_MS`].
    pub slot: i64,
    /// Whether it worked; else whether it was present.
    pub works: bool,
    /// +1 or −1.
    pub by: i64,
}

/// The road of a vehicle's latest fix; empty when it is off the road.
pub type OnRoad = (Sym, Sym);

/// Slots in which a worker began (+1) or ceased (−1) to hear anything.
pub type Heard = (i64, i64);

/// Fixes of a vehicle as they are from a tick on, in order of event time: with those that change at that tick, all that
/// a match of the changed ones looks at and that may not be kept here.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// The vehicle.
    pub vehicle: Sym,
    /// Its fixes.
    pub fixes: Vec<TrackFix>,
}

/// The numbers of the match.
pub fn params(settings: &Settings) -> Params {
    Params { cover_hole_ms: settings.cover_hole_ms, ..Params::default() }
}

/// What the operator says.
pub struct Said<'s> {
    /// Pieces, at the worker of the vehicle.
    pub work: Tagged<'s, Work>,
    /// Presence, at the worker of the vehicle.
    pub presence: Tagged<'s, Presence>,
    /// Roads of latest fixes, at the worker of the vehicle.
    pub on_road: Tagged<'s, OnRoad>,
    /// Slots heard by this worker.
    pub heard: Tagged<'s, Heard>,
    /// Which fixes lie beside roads, at the worker of the vehicle.
    pub beside: Tagged<'s, (Sym, Beside)>,
}

#[derive(Clone, Debug)]
enum In {
    Fix(Delta<TrackFix>),
    Recalled(Recalled),
    Reference(Delta<CurrentRow>),
}

#[derive(Clone, Debug)]
enum Out {
    Work(Work),
    Presence(Presence),
    OnRoad(OnRoad),
    Heard(Heard),
    Beside((Sym, Beside)),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Vehicle {
    track: Track,
    /// Fixes, and fixes that work, by slot.
    slots: Sorted<i64, (u32, u32)>,
    on_road: Sym,
}

/// What somebody asks for beside the roads of vehicles.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Pieces, presence, and what is heard.
    pub coverage: bool,
    /// Which fixes lie beside roads.
    pub beside: bool,
}

struct Matches {
    settings: Arc<Settings>,
    names: Arc<Names>,
    wanted: Wanted,
    world: World,
    /// Ticks at which roads changed, in order: the n-th made epoch n + 1.
    changes: Vec<Tick>,
    vehicles: KeyedState<Sym, Vehicle>,
    heard: BTreeMap<i64, u32>,
}

/// Renders the operator. `known` are all roads, and the vehicles of this worker.
pub fn operate<'s>(
    track: Tagged<'s, Delta<TrackFix>>,
    recalled: Tagged<'s, Recalled>,
    known: Tagged<'s, Delta<CurrentRow>>,
    wanted: Wanted,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Said<'s> {
    let matches = Matches {
        settings: Arc::clone(settings),
        names: Arc::clone(names),
        wanted,
        world: World::new(params(settings))
            .expect("the parameters of the model are constants that fit each other"),
        changes: Vec::new(),
        vehicles: KeyedState::default(),
        heard: BTreeMap::new(),
    };
    let fixes = track.map(|(tick, delta)| (tick, In::Fix(delta)));
    let recalled = recalled.map(|(tick, recalled)| (tick, In::Recalled(recalled)));
    let known = known.map(|(tick, delta)| (tick, In::Reference(delta)));
    let mut said =
        ticked(fixes.concat(recalled).concat(known), "matches", matches).partition(5, |(tick, out)| {
            let port = match &out {
                Out::Work(_) => 0,
                Out::Presence(_) => 1,
                Out::OnRoad(_) => 2,
                Out::Heard(_) => 3,
                Out::Beside(_) => 4,
            };
            (port, (tick, out))
        });
    let mut port = || said.remove(0);
    Said {
        work: port().flat_map(|(tick, out)| match out {
            Out::Work(work) => Some((tick, work)),
            _ => None,
        }),
        presence: port().flat_map(|(tick, out)| match out {
            Out::Presence(presence) => Some((tick, presence)),
            _ => None,
        }),
        on_road: port().flat_map(|(tick, out)| match out {
            Out::OnRoad(on_road) => Some((tick, on_road)),
            _ => None,
        }),
        heard: port().flat_map(|(tick, out)| match out {
            Out::Heard(heard) => Some((tick, heard)),
            _ => None,
        }),
        beside: port().flat_map(|(tick, out)| match out {
            Out::Beside(beside) => Some((tick, beside)),
            _ => None,
        }),
    }
}

/// What of a road matters to the match.
fn drawn(row: Option<&CurrentRow>) -> Option<&RoadRef> {
    match &row?.body.typed {
        Typed::Road(road) if !road.points.is_empty() => Some(road),
        _ => None,
    }
}

/// The speed band of a vehicle record, 0.1 km/h.
pub fn band(row: Option<&CurrentRow>) -> matching::Band {
    match &row?.body.typed {
        Typed::Vehicle(vehicle) => vehicle
            .working_speed
            .map(|[least, greatest]| (Fix::speed_of(least as f32), Fix::speed_of(greatest as f32))),
        _ => None,
    }
}

impl Matches {
    fn change_roads(&mut self, tick: Tick, deltas: &[Delta<CurrentRow>]) {
        let differs = |delta: &&Delta<CurrentRow>| {
            let (old, new) = (drawn(delta.old.as_ref()), drawn(delta.new.as_ref()));
            old.map(|road| (&road.points, road.oneway)) != new.map(|road| (&road.points, road.oneway))
        };
        let names = &self.names;
        let lines: Vec<(u32, Option<RoadLine<'_>>)> = deltas
            .iter()
            .filter(differs)
            .filter_map(|delta| {
                let (_, id) = delta.key()?;
                let line = drawn(delta.new.as_ref()).map(|road| RoadLine {
                    // Symbols are not the same in every run.
                    rank: matching::network::rank(names.resolve(id)),
                    points: &road.points,
                    oneway: road.oneway,
                });
                Some((id.0, line))
            })
            .collect();
        if !lines.is_empty() {
            self.world.network.change(lines);
            self.changes.push(tick);
        }
    }

    /// Puts fixes back into the track of their vehicle as they were before the changes of this tick, which are in order.
    fn restore(&mut self, recalled: Recalled, changes: &[Delta<TrackFix>]) {
        let Recalled { vehicle, mut fixes } = recalled;
        let first = changes.partition_point(|delta| delta.key().is_some_and(|(id, _)| id < vehicle));
        let mine =
            changes[first..].iter().take_while(|delta| delta.key().is_some_and(|(id, _)| id == vehicle));
        for delta in mine {
            let Some((_, ts)) = delta.key() else { continue };
            let at = fixes.partition_point(|fix| fix.ts < ts);
            match (fixes.get_mut(at).filter(|fix| fix.ts == ts), delta.old) {
                (Some(fix), Some(old)) => *fix = old,
                (Some(_), None) => drop(fixes.remove(at)),
                (None, Some(old)) => fixes.insert(at, old),
                (None, None) => {}
            }
        }
        let fixes: Vec<Fix> = fixes.iter().map(|fix| self.fix(fix)).filter(|fix| fix.epoch > 0).collect();
        self.vehicles.entry(vehicle).track.restore(&self.world.params, &fixes);
    }

    /// A fix as the matcher takes it, on the network of its own tick.
    fn fix(&self, fix: &TrackFix) -> Fix {
        Fix {
            ts: fix.ts,
            at: (fix.lon, fix.lat),
            speed: fix.speed.map(Fix::speed_of),
            heading: fix.heading.map(Fix::heading_of),
            working: fix.working == Some(true),
            epoch: self.epoch(fix),
        }
    }

    /// The epoch of the network that a fix is matched on; 0 = before the first road.
    fn epoch(&self, fix: &TrackFix) -> u32 {
        let epoch = self.changes.partition_point(|change| *change <= fix.tick);
        u32::try_from(epoch).unwrap_or(u32::MAX)
    }

    /// Counts whether a fix lies beside a road, in or out.
    fn look_beside(&self, fix: &TrackFix, by: i64, out: &mut Vec<Out>) {
        if self.wanted.beside
            && let Some(beside) = Beside::of(fix, &self.world.network, self.epoch(fix))
        {
            let beside = if by > 0 { beside } else { beside.negated() };
            out.push(Out::Beside((fix.vehicle, beside)));
        }
    }

    /// Counts a fix in or out of its slot.
    fn count(&mut self, fix: &TrackFix, by: i64, out: &mut Vec<Out>) {
        if !self.wanted.coverage {
            return;
        }
        let (vehicle, slot) = (fix.vehicle, fix.ts.div_euclid(SLOT_MS));
        let counts = self.vehicles.entry(vehicle).slots.entry(slot);
        let before = *counts;
        counts.0 = counts.0.saturating_add_signed(by as i32);
        if fix.working == Some(true) {
            counts.1 = counts.1.saturating_add_signed(by as i32);
        }
        let after = *counts;
        if after.0 == 0 {
            self.vehicles.entry(vehicle).slots.put(slot, None);
        }
        if (before.1 > 0) != (after.1 > 0) {
            out.push(Out::Presence(Presence { vehicle, slot, works: true, by }));
        }
        if (before.0 > 0) == (after.0 > 0) {
            return;
        }
        out.push(Out::Presence(Presence { vehicle, slot, works: false, by }));
        let vehicles = self.heard.entry(slot).or_default();
        let before = *vehicles;
        *vehicles = vehicles.saturating_add_signed(by as i32);
        let after = *vehicles;
        if after == 0 {
            self.heard.remove(&slot);
        }
        if (before > 0) != (after > 0) {
            out.push(Out::Heard((slot, by)));
        }
    }
}

impl Ticked for Matches {
    type In = In;
    type Out = Out;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Out>) {
        let (mut fixes, mut roads) = (Vec::with_capacity(input.len()), Vec::new());
        let (mut recalled, mut bands) = (Vec::new(), Vec::new());
        for row in input.drain(..) {
            match row {
                In::Fix(delta) => fixes.push(delta),
                In::Recalled(fixes) => recalled.push(fixes),
                In::Reference(delta) => match delta.key() {
                    Some((Kind::Road, _)) => roads.push(delta),
                    Some((_, vehicle)) => bands.push((vehicle, band(delta.new.as_ref()))),
                    None => {}
                },
            }
        }
        fixes.sort_unstable_by_key(Delta::key);
        recalled.into_iter().for_each(|recalled| self.restore(recalled, &fixes));
        let (mut work, mut edits, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for &(vehicle, band) in &bands {
            let track = &mut self.vehicles.entry(vehicle).track;
            track.set_band(&mut self.world, band, &mut changes);
            work.extend(changes.drain(..).map(|(piece, by)| (vehicle, piece, by)));
        }
        self.change_roads(tick, &roads);
        let mut fixes = fixes.into_iter().peekable();
        while let Some(delta) = fixes.next() {
            let Some((vehicle, ts)) = delta.key() else { continue };
            if let Some(old) = &delta.old {
                self.count(old, -1, out);
                self.look_beside(old, -1, out);
            }
            edits.push(match &delta.new {
                Some(new) => {
                    self.count(new, 1, out);
                    self.look_beside(new, 1, out);
                    let fix = self.fix(new);
                    // Before the first road there is nothing to match it on.
                    if fix.epoch > 0 { Edit::Put(fix) } else { Edit::Drop(ts) }
                }
                None => Edit::Drop(ts),
            });
            if fixes.peek().and_then(Delta::key).is_some_and(|(next, _)| next == vehicle) {
                continue;
            }
            let state = self.vehicles.entry(vehicle);
            if state.track.is_empty() && edits.iter().all(|edit| matches!(edit, Edit::Drop(_))) {
                edits.clear();
                continue;
            }
            state.track.edit(&mut self.world, &edits, &mut changes);
            edits.clear();
            work.extend(changes.drain(..).map(|(piece, by)| (vehicle, piece, by)));
            let road = state.track.last(&mut self.world).and_then(|(_, road)| road).map_or(Sym::EMPTY, Sym);
            if road != state.on_road {
                state.on_road = road;
                out.push(Out::OnRoad((vehicle, road)));
            }
            state.track.keep(&self.world.params, self.settings.match_kept_ms);
            if let Some(horizon) = self.settings.horizon_ms {
                let oldest = (now_of(tick) - horizon).div_euclid(SLOT_MS);
                drop(state.slots.take_while(|slot| slot < oldest));
            }
        }
        for (vehicle, _) in bands {
            self.vehicles.entry(vehicle).track.keep(&self.world.params, self.settings.match_kept_ms);
        }
        if self.wanted.coverage {
            out.extend(work.into_iter().map(Out::Work));
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}
