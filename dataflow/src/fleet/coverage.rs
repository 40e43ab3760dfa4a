//! Coverage of roads, kept per road, shift and date.
//!
//! **Meaning.** See the view `road_coverage`.
//!
//! **Mechanism.** State by road, at the worker of the road. Pieces come and go; each one makes the rows of the shifts
//! that its time lies in be measured anew, from the pieces of that road in that shift. Time alone makes rows appear
//! (the date begins), fall due (the shift ends) and expire. Changes of shifts and of a vehicle's fleet revise: the
//! roads concerned are measured anew.
//!
//! **State.** 24 bytes per piece (at most five minutes of one vehicle on one road) and one row per road, shift and
//! date, until the retention after the end of the shift.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::road::RoadRef;
use model::{Kind, Sym, Tick, Typed};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::vec::Map;

use super::matches::{Heard, Work};
use super::pieces::Pieces;
use super::shifts::{CityTime, LONGEST_MS, SLOT_MS, ShiftDay, Shifts, now_of};
use super::swept::{Measuring, Swept};
use crate::Settings;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::sorted::Sorted;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::operators::{route, spread};
use crate::views::reference::CurrentRow;

/// Whether what was planned is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PlanState {
    /// As many passes as planned, or more.
    Done,
    /// Swept, but in fewer passes than planned, and they were due.
    TooFew,
    /// Not swept, and it was due.
    Missed,
    /// Not done yet, and not due.
    NotDue,
}

impl PlanState {
    /// Its name in the view.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TooFew => "too_few",
            Self::Missed => "missed",
            Self::NotDue => "not_due",
        }
    }
}

/// A row of the view `road_coverage`. Lengths in mm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoadRow {
    /// The road.
    pub road: Sym,
    /// The shift, and the date on which it begins.
    pub shift_day: ShiftDay,
    /// District of the road; empty when not said.
    pub district: Sym,
    /// Grade of the road; empty when not said.
    pub grade: Sym,
    /// Length of the road.
    pub length_mm: i64,
    /// What was done.
    pub swept: Swept,
    /// Passes planned; 0 = none.
    pub planned: i64,
    /// Passes within the window of the plan.
    pub timely: i64,
    /// Whether that is done.
    pub state: PlanState,
    /// End of the plan's window, else of the shift, Unix ms.
    pub due_ts: i64,
}

impl Keyed for RoadRow {
    type Key = (Sym, ShiftDay);
    fn key(&self) -> (Sym, ShiftDay) {
        (self.road, self.shift_day)
    }
}

#[derive(Clone, Debug)]
enum In {
    Work(Work),
    Reference(Delta<CurrentRow>),
    Heard(Heard),
}

/// Renders the operator. `roads` are those of this worker, `known` all shifts and vehicles, `heard` what any worker
/// hears.
pub fn operate<'s>(
    work: Tagged<'s, Work>,
    roads: Tagged<'s, Delta<CurrentRow>>,
    known: Tagged<'s, Delta<CurrentRow>>,
    heard: Tagged<'s, Heard>,
    settings: &Arc<Settings>,
) -> Tagged<'s, Delta<RoadRow>> {
    let work = spread(work, |(_, piece, _)| route(piece.road)).map(|(tick, work)| (tick, In::Work(work)));
    let reference = |(tick, delta)| (tick, In::Reference(delta));
    let heard = heard.map(|(tick, heard)| (tick, In::Heard(heard)));
    let scope = work.scope();
    let input = scope.concatenate([work, roads.map(reference), known.map(reference), heard]);
    let coverage = Coverage {
        settings: Arc::clone(settings),
        shifts: Shifts::new(CityTime::new(settings.utc_offset_min)),
        fleets: HashMap::default(),
        heard: BTreeSet::new(),
        roads: KeyedState::default(),
        driven_by: HashMap::default(),
        measuring: Measuring::default(),
    };
    ticked(input, "coverage", coverage)
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Road {
    reference: Option<Arc<RoadRef>>,
    length_mm: i64,
    pieces: Pieces,
    said: Sorted<ShiftDay, RoadRow>,
}

struct Coverage {
    settings: Arc<Settings>,
    shifts: Shifts,
    fleets: HashMap<Sym, Sym>,
    /// Shifts on dates that are heard.
    heard: BTreeSet<ShiftDay>,
    roads: KeyedState<Sym, Road>,
    /// Roads that a vehicle has or had pieces on.
    driven_by: HashMap<Sym, Sorted<Sym, ()>>,
    measuring: Measuring,
}

/// What remains of the pieces that come and go within a tick.
fn net(mut work: Vec<Work>) -> Vec<Work> {
    // The cell of time in which a piece was cut makes no other piece here.
    work.iter_mut().for_each(|(_, piece, _)| piece.cell = 0);
    work.sort_unstable_by_key(|(vehicle, piece, _)| (*vehicle, *piece));
    work.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        kept.2 += if same { next.2 } else { 0 };
        same
    });
    work.retain(|(.., by)| *by != 0);
    work
}

/// What of a road is to be measured anew.
#[derive(Default)]
struct Dirty {
    everything: bool,
    days: BTreeSet<ShiftDay>,
}

impl Coverage {
    /// The row of a road in a shift, if there is one.
    fn row(
        &self,
        id: Sym,
        road: &Road,
        shift_day: ShiftDay,
        now: i64,
        measuring: &mut Measuring,
    ) -> Option<RoadRow> {
        let reference = road.reference.as_ref()?;
        let (shift, span) = (self.shifts.get(shift_day.0)?, self.shifts.span(shift_day)?);
        let expired =
            self.settings.coverage_retention_ms.is_some_and(|keep| span.1.saturating_add(keep) <= now);
        if road.length_mm == 0 || expired {
            return None;
        }
        let eligible = |vehicle: Sym| {
            shift.fleets.is_empty()
                || self.fleets.get(&vehicle).is_some_and(|fleet| shift.fleets.contains(fleet))
        };
        let pieces = |span| road.pieces.within(id.0, span).filter(|(vehicle, _)| eligible(*vehicle));
        let plan = reference.plan.iter().find(|plan| plan.shift == shift_day.0);
        let plan = plan.filter(|_| self.shifts.shown(shift_day, now));
        if plan.is_none() && pieces(span).next().is_none() {
            return None;
        }
        let planned = plan.map_or(0, |plan| i64::from(plan.passes));
        let window = plan.map_or(span, |plan| self.shifts.time.window(shift, shift_day.1, plan));
        let mut measure = |span| measuring.swept(pieces(span), road.length_mm, &self.settings);
        let swept = measure(span);
        let timely = if window == span { swept } else { measure(window) };
        let enough = timely.swept_mm * 100 >= road.length_mm * i64::from(self.settings.pass_percent);
        let state = if timely.passes >= planned {
            PlanState::Done
        } else if now < window.1 {
            PlanState::NotDue
        } else if enough || timely.passes > 0 {
            PlanState::TooFew
        } else {
            PlanState::Missed
        };
        Some(RoadRow {
            road: id,
            shift_day,
            district: reference.district,
            grade: reference.grade,
            length_mm: road.length_mm,
            swept,
            planned,
            timely: timely.passes,
            state,
            due_ts: window.1,
        })
    }

    /// All shifts on dates that the road may have a row for.
    fn all_days(&self, road: &Road, now: i64) -> BTreeSet<ShiftDay> {
        let mut days: BTreeSet<ShiftDay> = road.said.keys().collect();
        days.extend(road.pieces.begin().flat_map(|from_ts| self.shifts.at(from_ts)));
        for plan in road.reference.iter().flat_map(|reference| &reference.plan) {
            if let Some(shift) = self.shifts.get(plan.shift) {
                days.extend(self.shifts.heard_dates(shift).into_iter().map(|date| (plan.shift, date)));
            }
        }
        days.extend(self.planned_now(road, now));
        days
    }

    /// The shifts planned for the road that are shown because of what time it is.
    fn planned_now(&self, road: &Road, now: i64) -> Vec<ShiftDay> {
        let today = self.shifts.time.date(now);
        let plans = road.reference.iter().flat_map(|reference| &reference.plan);
        plans.flat_map(|plan| [(plan.shift, today - 1), (plan.shift, today)]).collect()
    }

    fn settle(&mut self, id: Sym, dirty: Dirty, woken: bool, tick: Tick, out: &mut Vec<Delta<RoadRow>>) {
        let now = now_of(tick);
        let Some(road) = self.roads.get(id) else { return };
        let mut days = dirty.days;
        if dirty.everything {
            days.extend(self.all_days(road, now));
        }
        if woken {
            days.extend(self.planned_now(road, now));
            days.extend(
                road.said
                    .iter()
                    .filter(|(_, row)| self.changes_at(row, i64::MIN) <= now)
                    .map(|(day, _)| *day),
            );
        }
        let mut measuring = std::mem::take(&mut self.measuring);
        let Some(road) = self.roads.get(id) else { return };
        let rows: Vec<(ShiftDay, Option<RoadRow>)> =
            days.into_iter().map(|day| (day, self.row(id, road, day, now, &mut measuring))).collect();
        self.measuring = measuring;
        let Some(road) = self.roads.get_mut(id) else { return };
        for (day, new) in rows {
            let old = road.said.put(day, new);
            out.extend(Delta::between(old, new));
        }
        if let Some(keep) = self.settings.coverage_retention_ms {
            let oldest = now.saturating_sub(keep).saturating_sub(LONGEST_MS);
            road.pieces.forget(oldest);
        }
        let Some(road) = self.roads.get(id) else { return };
        let next = road.said.iter().map(|(_, row)| self.changes_at(row, now)).min();
        let planned = road.reference.as_ref().is_some_and(|reference| !reference.plan.is_empty());
        let midnight = planned.then(|| self.shifts.time.midnight(self.shifts.time.date(now) + 1));
        // A row that lapses with its date or its shift is looked at then.
        let due = next.into_iter().chain(midnight).filter(|due| *due < i64::MAX).min();
        if let Some(due) = due {
            self.roads.wake(id, self.settings.tick.ceil(due));
        } else if road.pieces.is_empty() && road.said.is_empty() && road.reference.is_none() {
            self.roads.remove(id);
        }
    }

    /// When time alone changes a row, after `now`.
    fn changes_at(&self, row: &RoadRow, now: i64) -> i64 {
        let end = self.shifts.span(row.shift_day).map_or(row.due_ts, |span| span.1);
        let gone = self.settings.coverage_retention_ms.map_or(i64::MAX, |keep| end.saturating_add(keep));
        [row.due_ts, end, gone].into_iter().find(|at| *at > now).unwrap_or(i64::MAX)
    }
}

impl Ticked for Coverage {
    type In = In;
    type Out = Delta<RoadRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Delta<RoadRow>>) {
        let mut dirty: HashMap<Sym, Dirty> = HashMap::default();
        let (mut work, mut slots, mut all) = (Vec::new(), Vec::new(), false);
        for row in input.drain(..) {
            match row {
                In::Work(change) => work.push(change),
                In::Heard((slot, by)) => {
                    if self.shifts.hear(slot, by) {
                        slots.push(slot);
                    }
                }
                In::Reference(delta) => {
                    let Some((kind, id)) = delta.key() else { continue };
                    let typed = delta.new.as_ref().map(|row| &row.body.typed);
                    match kind {
                        Kind::Shift => all |= self.shifts.change(&delta),
                        Kind::Road => {
                            let reference = match typed {
                                Some(Typed::Road(road)) => Some(Arc::clone(road)),
                                _ => None,
                            };
                            let road = self.roads.entry(id);
                            road.length_mm = reference
                                .as_ref()
                                .map_or(0, |road| matching::network::length_mm(&road.points));
                            road.reference = reference;
                            dirty.entry(id).or_default().everything = true;
                        }
                        _ => {
                            let fleet = match typed {
                                Some(Typed::Vehicle(vehicle)) => vehicle.fleet,
                                _ => Sym::EMPTY,
                            };
                            if self.fleets.insert(id, fleet).unwrap_or_default() != fleet {
                                for road in self.driven_by.get(&id).iter().flat_map(|roads| roads.keys()) {
                                    dirty.entry(road).or_default().everything = true;
                                }
                            }
                        }
                    }
                }
            }
        }
        for (vehicle, piece, by) in net(work) {
            let id = Sym(piece.road);
            self.roads.entry(id).pieces.change(vehicle, &piece, by);
            if by > 0 {
                self.driven_by.entry(vehicle).or_default().put(id, Some(()));
            }
            dirty.entry(id).or_default().days.extend(self.shifts.at(piece.from_ts));
        }
        // A shift that is heard for the first time, or no longer, brings out or takes back what was planned for it.
        let mut days: BTreeSet<ShiftDay> =
            slots.into_iter().flat_map(|slot| self.shifts.at(slot * SLOT_MS).collect::<Vec<_>>()).collect();
        days.retain(|day| {
            let heard = self.shifts.span(*day).is_some_and(|span| self.shifts.heard(span));
            if heard { self.heard.insert(*day) } else { self.heard.remove(day) }
        });
        if all {
            let shifts = self.shifts.iter();
            let heard = shifts.flat_map(|(id, shift)| {
                self.shifts.heard_dates(shift).into_iter().map(move |date| (id, date))
            });
            self.heard = heard.collect();
        }
        if all || !days.is_empty() {
            let planned = |road: &Road| {
                let mut plans = road.reference.iter().flat_map(|reference| &reference.plan);
                plans.any(|plan| days.iter().any(|day| day.0 == plan.shift))
            };
            let roads = self.roads.iter_mut().filter(|(_, road)| all || planned(road));
            for (id, _) in roads {
                let dirty = dirty.entry(id).or_default();
                dirty.everything |= all;
                dirty.days.extend(&days);
            }
        }
        if let Some(keep) = self.settings.coverage_retention_ms {
            let oldest = now_of(tick).saturating_sub(keep).saturating_sub(LONGEST_MS);
            self.shifts.forget(oldest);
            let date = self.shifts.time.date(oldest) - 1;
            self.heard.retain(|day| day.1 >= date);
        }
        let woken: HashSet<Sym> = self.roads.woken(tick).into_iter().collect();
        for id in &woken {
            dirty.entry(*id).or_default();
        }
        for (id, dirty) in dirty {
            self.settle(id, dirty, woken.contains(&id), tick, out);
        }
    }

    fn due(&self) -> Option<Tick> {
        self.roads.due()
    }
}
