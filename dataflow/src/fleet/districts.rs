//! Sums of road coverage, and how complete the record is that they rest on.
//!
//! **Meaning.** See the view `district_coverage`.
//!
//! **Mechanism.** One worker keeps all sums: a changed road takes its old share out and puts its new one in; a vehicle
//! likewise, when a slot in which it is present comes, goes, or is over. The sums are integers, and the city's are
//! kept beside the districts' from the same shares, so they always add up.
//!
//! **State.** One vector of sums per district, shift and date, one entry per road in them, and one per vehicle and slot
//! until the retention after the end of the shift.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use model::{Kind, Names, Sym, Tick, Typed};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::vec::Map;

use super::coverage::{PlanState, RoadRow};
use super::matches::Presence;
use super::shifts::{CityTime, LONGEST_MS, SLOT_MS, ShiftDay, Shifts, first_slot, now_of};
use crate::Settings;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::sorted::Sorted;
use crate::operators::spread;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::views::reference::CurrentRow;

/// Whose sums: a district (empty = not said), or the city.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Area {
    /// A district.
    District(Sym),
    /// All roads and vehicles.
    City,
}

/// A row of the view `district_coverage`. Lengths in mm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaRow {
    /// Whose.
    pub area: Area,
    /// The shift, and the date on which it begins.
    pub shift_day: ShiftDay,
    /// Length of roads with a plan.
    pub planned_mm: i64,
    /// Swept of roads with a plan.
    pub swept_mm: i64,
    /// Swept of other roads.
    pub unplanned_mm: i64,
    /// Roads with a plan.
    pub planned_roads: i64,
    /// Of these, as many passes as planned.
    pub done: i64,
    /// Of these, swept in too few passes.
    pub too_few: i64,
    /// Of these, missed.
    pub missed: i64,
    /// The same by grade and deadline, as JSON.
    pub grades: Arc<str>,
    /// Share of all work that went over what was swept.
    pub repeat_share: Option<f64>,
    /// Vehicles that worked in the shift.
    pub vehicles: i64,
    /// Share of their slots that are over in which they were present.
    pub record_completeness: Option<f64>,
    /// When a planned road was last swept, Unix ms.
    pub last_swept_ts: Option<i64>,
    /// When everything planned will be swept at the pace from the beginning of the shift to the last sweep, Unix ms.
    pub expected_finish_ts: Option<i64>,
}

impl Keyed for AreaRow {
    type Key = (Area, ShiftDay);
    fn key(&self) -> (Area, ShiftDay) {
        (self.area, self.shift_day)
    }
}

/// A share as a number, if there is a whole.
pub fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

/// Sums over the roads of an area in a shift. Lengths in mm.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Roads.
    roads: i64,
    /// Roads with a plan.
    planned_roads: i64,
    /// Of these, as many passes as planned.
    done: i64,
    /// Of these, swept in too few passes.
    too_few: i64,
    /// Of these, missed.
    missed: i64,
    /// Length of roads with a plan.
    planned_mm: i64,
    /// Swept of roads with a plan.
    swept_mm: i64,
    /// Swept of other roads.
    unplanned_mm: i64,
    /// Swept of all roads, what was swept twice counted twice.
    worked_mm: i64,
}

impl Sums {
    fn add(&mut self, row: &RoadRow, sign: i64) {
        let planned = row.planned > 0;
        let is = |state: PlanState| i64::from(planned && row.state == state);
        self.roads += sign;
        self.planned_roads += sign * i64::from(planned);
        self.done += sign * is(PlanState::Done);
        self.too_few += sign * is(PlanState::TooFew);
        self.missed += sign * is(PlanState::Missed);
        self.worked_mm += sign * row.swept.worked_mm;
        if planned {
            self.planned_mm += sign * row.length_mm;
            self.swept_mm += sign * row.swept.swept_mm;
        } else {
            self.unplanned_mm += sign * row.swept.swept_mm;
        }
    }
}

/// Roads with a plan: all, done, swept in too few passes, missed.
type Tally = [i64; 4];

/// A tally as the view writes it.
#[derive(Serialize)]
struct Grade<'a> {
    grade: Option<&'a str>,
    due_ts: i64,
    planned_roads: i64,
    done_roads: i64,
    too_few_roads: i64,
    missed_roads: i64,
}

#[derive(Clone, Debug)]
enum In {
    Road(Delta<RoadRow>),
    Presence(Presence),
    Reference(Delta<CurrentRow>),
}

/// Renders the operator. `known` are all shifts and vehicles, once.
pub fn operate<'s>(
    roads: Tagged<'s, Delta<RoadRow>>,
    presence: Tagged<'s, Presence>,
    known: Tagged<'s, Delta<CurrentRow>>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Tagged<'s, Delta<AreaRow>> {
    let roads = spread(roads, |_| 0).map(|(tick, delta)| (tick, In::Road(delta)));
    let presence = spread(presence, |_| 0).map(|(tick, presence)| (tick, In::Presence(presence)));
    let known = spread(known, |_| 0).map(|(tick, delta)| (tick, In::Reference(delta)));
    let input = roads.scope().concatenate([roads, presence, known]);
    let districts = Districts {
        settings: Arc::clone(settings),
        names: Arc::clone(names),
        shifts: Shifts::new(CityTime::new(settings.utc_offset_min)),
        vehicles: HashMap::default(),
        days: BTreeMap::new(),
        slot: NEVER,
    };
    ticked(input, "districts", districts)
}

/// A slot before all slots, with room for differences.
const NEVER: i64 = i64::MIN / 4;

/// What a vehicle gives to a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    district: Sym,
    present: i64,
}

#[derive(Debug, Default)]
struct Vehicle {
    fleet: Sym,
    district: Sym,
    /// Whether it was present, and whether it worked, by slot.
    slots: Sorted<i64, (i32, i32)>,
}

/// One area in one shift.
#[derive(Debug, Default)]
struct Sum {
    sums: Sums,
    /// By grade and deadline.
    grades: BTreeMap<(Sym, i64), Tally>,
    last: BTreeSet<(i64, Sym)>,
    vehicles: i64,
    present: i64,
    said: Option<AreaRow>,
}

impl Sum {
    /// The row of a shift that began at `start` and of which `slots` are over.
    fn row(&self, area: Area, shift_day: ShiftDay, start: i64, slots: i64, names: &Names) -> AreaRow {
        let sums = self.sums;
        let last_swept_ts = self.last.last().map(|(ts, _)| *ts);
        let finish = |last: i64| {
            let taken = i128::from((last - start).max(0));
            let needed = taken * i128::from(sums.planned_mm) / i128::from(sums.swept_mm);
            i64::try_from(i128::from(start) + needed).ok()
        };
        AreaRow {
            area,
            shift_day,
            planned_mm: sums.planned_mm,
            swept_mm: sums.swept_mm,
            unplanned_mm: sums.unplanned_mm,
            planned_roads: sums.planned_roads,
            done: sums.done,
            too_few: sums.too_few,
            missed: sums.missed,
            grades: self.by_grade(names),
            repeat_share: ratio(sums.worked_mm - sums.swept_mm - sums.unplanned_mm, sums.worked_mm),
            vehicles: self.vehicles,
            record_completeness: ratio(self.present, self.vehicles * slots),
            last_swept_ts,
            expected_finish_ts: last_swept_ts.filter(|_| sums.swept_mm > 0).and_then(finish),
        }
    }
}

impl Sum {
    /// Puts a planned road in or out of its grade and deadline.
    fn tally(&mut self, row: &RoadRow, sign: i64) {
        let key = (row.grade, row.due_ts);
        let tally = self.grades.entry(key).or_default();
        let is = |state: PlanState| i64::from(row.state == state);
        let ones = [1, is(PlanState::Done), is(PlanState::TooFew), is(PlanState::Missed)];
        tally.iter_mut().zip(ones).for_each(|(sum, one)| *sum += sign * one);
        if tally[0] == 0 {
            self.grades.remove(&key);
        }
    }

    /// The tallies in order of grade, and of deadline: symbols are not the same in every run.
    fn by_grade(&self, names: &Names) -> Arc<str> {
        let mut grades = Vec::with_capacity(self.grades.len());
        for (&(grade, due_ts), &[planned_roads, done_roads, too_few_roads, missed_roads]) in &self.grades {
            let grade = (grade != Sym::EMPTY).then(|| names.resolve(grade));
            grades.push(Grade { grade, due_ts, planned_roads, done_roads, too_few_roads, missed_roads });
        }
        grades.sort_by_key(|grade| (grade.grade, grade.due_ts));
        // Strings and numbers always make JSON.
        serde_json::to_string(&grades).unwrap_or_default().into()
    }
}

/// One shift on one date.
#[derive(Debug, Default)]
struct Day {
    areas: BTreeMap<Area, Sum>,
    shares: BTreeMap<Sym, Share>,
}

struct Districts {
    settings: Arc<Settings>,
    names: Arc<Names>,
    shifts: Shifts,
    vehicles: HashMap<Sym, Vehicle>,
    days: BTreeMap<ShiftDay, Day>,
    /// The slot that is not over.
    slot: i64,
}

impl Districts {
    /// What a vehicle gives to a shift whose slots before `over` are over.
    fn share(&self, vehicle: Sym, (shift, date): ShiftDay, over: i64) -> Option<Share> {
        let vehicle = self.vehicles.get(&vehicle)?;
        let known = self.shifts.get(shift)?;
        let (start, end) = self.shifts.span((shift, date))?;
        if !known.fleets.is_empty() && !known.fleets.contains(&vehicle.fleet) {
            return None;
        }
        let last = first_slot(end);
        let slots = || vehicle.slots.from(first_slot(start)).take_while(|(slot, _)| *slot < last);
        slots().any(|(_, (_, works))| *works > 0).then(|| Share {
            district: vehicle.district,
            present: slots().filter(|(slot, (present, _))| *present > 0 && *slot < over).count() as i64,
        })
    }

    /// Works out anew what a vehicle gives to a shift.
    fn weigh(&mut self, vehicle: Sym, shift_day: ShiftDay) {
        let new = self.share(vehicle, shift_day, self.slot);
        let day = self.days.entry(shift_day).or_default();
        let old = match new {
            Some(share) => day.shares.insert(vehicle, share),
            None => day.shares.remove(&vehicle),
        };
        if old == new {
            return;
        }
        for (share, sign) in [(old, -1), (new, 1)] {
            let Some(share) = share else { continue };
            for area in [Area::District(share.district), Area::City] {
                let sum = day.areas.entry(area).or_default();
                sum.vehicles += sign;
                sum.present += sign * share.present;
            }
        }
    }

    /// Puts a road in or out.
    fn add(&mut self, row: &RoadRow, sign: i64) {
        let day = self.days.entry(row.shift_day).or_default();
        for area in [Area::District(row.district), Area::City] {
            let sum = day.areas.entry(area).or_default();
            sum.sums.add(row, sign);
            if row.planned > 0 {
                sum.tally(row, sign);
            }
            let Some(last) = row.swept.last_swept_ts.filter(|_| row.planned > 0) else { continue };
            if sign > 0 {
                sum.last.insert((last, row.road))
            } else {
                sum.last.remove(&(last, row.road))
            };
        }
    }

    /// Number of slots of a shift that are over when `slot` is not.
    fn slots_over(&self, shift_day: ShiftDay, slot: i64) -> i64 {
        let Some((start, end)) = self.shifts.span(shift_day) else { return 0 };
        (slot.min(first_slot(end)) - first_slot(start)).max(0)
    }

    fn say(&mut self, shift_day: ShiftDay, out: &mut Vec<Delta<AreaRow>>) {
        let slots = self.slots_over(shift_day, self.slot);
        let start = self.shifts.span(shift_day).map_or(0, |span| span.0);
        let Some(day) = self.days.get_mut(&shift_day) else { return };
        let names = &*self.names;
        day.areas.retain(|area, sum| {
            let new = (sum.sums.roads > 0).then(|| sum.row(*area, shift_day, start, slots, names));
            let old = std::mem::replace(&mut sum.said, new.clone());
            out.extend(Delta::between(old, new));
            sum.sums.roads > 0 || sum.vehicles > 0
        });
        if day.areas.is_empty() && day.shares.is_empty() {
            self.days.remove(&shift_day);
        }
    }
}

impl Ticked for Districts {
    type In = In;
    type Out = Delta<AreaRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Delta<AreaRow>>) {
        let now = now_of(tick);
        let (mut dirty, mut weigh): (BTreeSet<ShiftDay>, BTreeSet<(Sym, ShiftDay)>) = Default::default();
        let (mut roads, mut moved, mut all) = (Vec::new(), Vec::new(), false);
        let mut presence = Vec::new();
        for row in input.drain(..) {
            match row {
                In::Road(delta) => roads.push(delta),
                In::Presence(change) => presence.push(change),
                In::Reference(delta) => match delta.key() {
                    Some((Kind::Shift, _)) => all |= self.shifts.change(&delta),
                    Some((_, id)) => {
                        let (fleet, district) = match delta.new.as_ref().map(|row| &row.body.typed) {
                            Some(Typed::Vehicle(vehicle)) => (vehicle.fleet, vehicle.district),
                            _ => (Sym::EMPTY, Sym::EMPTY),
                        };
                        let vehicle = self.vehicles.entry(id).or_default();
                        (vehicle.fleet, vehicle.district) = (fleet, district);
                        moved.push(id);
                    }
                    None => {}
                },
            }
        }
        for change in presence {
            let counts = self.vehicles.entry(change.vehicle).or_default().slots.entry(change.slot);
            *(if change.works { &mut counts.1 } else { &mut counts.0 }) += change.by as i32;
            let days = self.shifts.at(change.slot * SLOT_MS);
            weigh.extend(days.map(|day| (change.vehicle, day)));
        }
        // What was taken out comes back in; in between no sum is looked at.
        for delta in &roads {
            for (row, sign) in [(&delta.old, -1), (&delta.new, 1)] {
                if let Some(row) = row {
                    self.add(row, sign);
                    dirty.insert(row.shift_day);
                }
            }
        }
        // A slot is over: those who were present in it count it.
        let slot = now.div_euclid(SLOT_MS);
        if slot != self.slot {
            let before = std::mem::replace(&mut self.slot, slot);
            let counts_more =
                |day: &&ShiftDay| self.slots_over(**day, before) != self.slots_over(**day, slot);
            let more: Vec<ShiftDay> = self.days.keys().filter(counts_more).copied().collect();
            for day in more {
                let shares = self.days.get(&day).map(|day| day.shares.keys().copied().collect::<Vec<_>>());
                weigh.extend(shares.unwrap_or_default().into_iter().map(|vehicle| (vehicle, day)));
                dirty.insert(day);
            }
            if let Some(keep) = self.settings.coverage_retention_ms {
                self.forget(now.saturating_sub(keep).saturating_sub(LONGEST_MS));
            }
        }
        if all {
            let days: Vec<ShiftDay> = self.days.keys().copied().collect();
            dirty.extend(days);
            moved = self.vehicles.keys().copied().collect();
        }
        for id in moved {
            let slots = self.vehicles.get(&id).into_iter().flat_map(|vehicle| vehicle.slots.keys());
            weigh.extend(slots.flat_map(|slot| self.shifts.at(slot * SLOT_MS)).map(|day| (id, day)));
            let given = self.days.iter().filter(|(_, day)| day.shares.contains_key(&id));
            weigh.extend(given.map(|(day, _)| (id, *day)));
        }
        for (vehicle, day) in weigh {
            self.weigh(vehicle, day);
            dirty.insert(day);
        }
        for day in dirty {
            self.say(day, out);
        }
    }

    fn due(&self) -> Option<Tick> {
        // The end of the present slot matters to shifts that are not over.
        let over =
            |day: &ShiftDay| self.shifts.span(*day).is_none_or(|(_, end)| first_slot(end) <= self.slot);
        let live = self.days.keys().any(|day| !over(day));
        live.then(|| self.settings.tick.ceil((self.slot + 1) * SLOT_MS))
    }
}

impl Districts {
    /// Forgets slots before `ts`, and shifts of which nothing is said any more.
    fn forget(&mut self, ts: i64) {
        let oldest = ts.div_euclid(SLOT_MS);
        let gone = |day: &ShiftDay| self.shifts.span(*day).is_none_or(|(_, end)| end <= ts);
        let old: Vec<ShiftDay> = self.days.keys().filter(|day| gone(day)).copied().collect();
        for day in old {
            if self.days.get(&day).is_some_and(|day| day.areas.values().all(|sum| sum.said.is_none())) {
                self.days.remove(&day);
            }
        }
        for vehicle in self.vehicles.values_mut() {
            drop(vehicle.slots.take_while(|slot| slot < oldest));
        }
    }
}
