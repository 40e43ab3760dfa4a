//! Panes: what one worker's sensors contribute to the sliding windows.
//!
//! **Meaning.** A pane is one window step of one group (sensor kind, metric, district): number, sum, least and greatest
//! of the counted readings whose event time lies in it. The sum is an exact integer of 10⁻⁹ units, so that it depends
//! neither on order nor on workers.
//!
//! **Mechanism.** A reading adds; a replaced one or one that moves to another group subtracts. When the least or
//! greatest itself is subtracted, the pane's readings are looked at again: rare, and bounded by the pane.
//!
//! **State.** One entry per group and pane within the window retention.

use std::collections::VecDeque;

use foldhash::{HashMap, HashSet};
use model::reference::SensorRef;
use model::{Sym, Tick};
use serde::{Deserialize, Serialize};

use super::Point;
use crate::Settings;
use crate::operators::timeline::{Timed, Timeline};

/// Units of a sum per unit of value.
pub const SUM_SCALE: f64 = 1e9;

/// What a window is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// Sensor kind; empty when unknown.
    pub kind: Sym,
    /// Metric.
    pub metric: Sym,
    /// District; empty when unknown.
    pub district: Sym,
}

impl Group {
    /// The group of a series.
    pub fn of(metric: Sym, sensor: Option<&SensorRef>) -> Self {
        let (kind, district) =
            sensor.map_or((Sym::EMPTY, Sym::EMPTY), |sensor| (sensor.kind, sensor.district));
        Self { kind, metric, district }
    }
}

/// Number, sum, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Number of readings; positive.
    pub count: i64,
    /// Their sum in 10⁻⁹ units.
    pub sum: i128,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
}

impl Aggregate {
    fn one(value: f64) -> Self {
        Self { count: 1, sum: (value * SUM_SCALE).round() as i128, min: value, max: value }
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / SUM_SCALE / self.count as f64
    }
}

/// A pane of one worker's share changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaneChange {
    /// The group.
    pub group: Group,
    /// Its number: event time divided by the step.
    pub pane: i64,
    /// Whose share.
    pub worker: usize,
    /// The share now; `None` when there are no readings left.
    pub share: Option<Aggregate>,
}

/// The panes of one worker.
pub struct Panes {
    step: i64,
    /// Panes that started before T minus this are in no window any more.
    keep_ms: Option<i64>,
    /// Where each group is in `groups`.
    places: HashMap<Group, usize>,
    groups: Vec<Shares>,
    /// Panes that changed in this tick, each once: the place of their group, and their number.
    changed: Vec<(usize, i64)>,
    /// Panes up to this one have been forgotten.
    forgotten: i64,
}

/// Where a group is; it stays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

/// One group's panes.
struct Shares {
    group: Group,
    /// In order of their number.
    panes: VecDeque<Pane>,
    members: HashSet<Sym>,
}

/// One pane of one group.
struct Pane {
    number: i64,
    /// `None` when there is no reading left.
    share: Option<Aggregate>,
    /// Whether it changed in this tick, and whether its extremes must be looked for.
    changed: bool,
    look: bool,
}

impl Shares {
    /// The pane of this number; most readings are of the latest.
    fn pane(&mut self, number: i64) -> &mut Pane {
        let at = match self.panes.back() {
            Some(last) if last.number == number => self.panes.len() - 1,
            Some(last) if last.number > number => self.panes.partition_point(|pane| pane.number < number),
            _ => self.panes.len(),
        };
        if self.panes.get(at).is_none_or(|pane| pane.number != number) {
            self.panes.insert(at, Pane { number, share: None, changed: false, look: false });
        }
        &mut self.panes[at]
    }
}

impl Panes {
    /// No panes yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            step: settings.window_step_ms,
            keep_ms: settings.window_retention_ms.map(|retention| retention + settings.window_ms),
            places: HashMap::default(),
            groups: Vec::new(),
            changed: Vec::new(),
            forgotten: i64::MIN,
        }
    }

    fn place(&mut self, group: Group) -> usize {
        *self.places.entry(group).or_insert_with(|| {
            self.groups.push(Shares { group, panes: VecDeque::new(), members: HashSet::default() });
            self.groups.len() - 1
        })
    }

    /// `sensor` has a series in `group`, which is in this place, from now on.
    pub fn join(&mut self, sensor: Sym, group: Group) -> Place {
        let place = self.place(group);
        self.groups[place].members.insert(sensor);
        Place(place)
    }

    /// A reading at `ts` of a member of the group in `place` counted `old` and now counts `new`.
    pub fn replace(&mut self, Place(place): Place, ts: i64, old: Option<f64>, new: Option<f64>) {
        if old == new {
            return;
        }
        let number = ts.div_euclid(self.step);
        let pane = self.groups[place].pane(number);
        if let (Some(old), Some(mut share)) = (old, pane.share) {
            share.count -= 1;
            share.sum -= Aggregate::one(old).sum;
            pane.look |= old <= share.min || old >= share.max;
            pane.share = (share.count > 0).then_some(share);
        }
        if let Some(new) = new {
            let one = Aggregate::one(new);
            pane.share = Some(pane.share.map_or(one, |share| share.and(one)));
        }
        if !std::mem::replace(&mut pane.changed, true) {
            self.changed.push((place, number));
        }
    }

    /// The sensor's record changed: its readings go from one group to another. Where the series is now, if it moved.
    pub fn regroup(
        &mut self,
        sensor: Sym,
        metric: Sym,
        points: &Timeline<Point>,
        from: Option<&SensorRef>,
        to: Option<&SensorRef>,
    ) -> Option<Place> {
        let (from, to) = (Group::of(metric, from), Group::of(metric, to));
        if from == to {
            return None;
        }
        let from = self.place(from);
        self.groups[from].members.remove(&sensor);
        let (from, to) = (Place(from), self.join(sensor, to));
        for point in points.iter() {
            self.replace(from, point.ts(), point.counted(), None);
            self.replace(to, point.ts(), None, point.counted());
        }
        Some(to)
    }

    /// Says what changed in this tick, and forgets what no window needs.
    pub fn flush<'a>(
        &mut self,
        tick: Tick,
        worker: usize,
        points: impl Fn(Sym, Sym) -> Option<&'a Timeline<Point>>,
        out: &mut Vec<(Tick, PaneChange)>,
    ) {
        let oldest = self.keep_ms.map_or(i64::MIN, |keep| (tick as i64 - keep).div_euclid(self.step));
        for (place, number) in self.changed.drain(..) {
            let shares = &mut self.groups[place];
            let (group, members) = (shares.group, &shares.members);
            let Ok(at) = shares.panes.binary_search_by_key(&number, |pane| pane.number) else { continue };
            let pane = &mut shares.panes[at];
            pane.changed = false;
            let look = std::mem::take(&mut pane.look);
            if number <= oldest {
                shares.panes.remove(at);
                continue;
            }
            if look && let Some(share) = &mut pane.share {
                let span = number * self.step..(number + 1) * self.step;
                let values = members.iter().filter_map(|sensor| points(*sensor, group.metric));
                let values = values.flat_map(|points| {
                    points.from(points.first_from(span.start)).take_while(|point| point.ts() < span.end)
                });
                (share.min, share.max) = values
                    .filter_map(Point::counted)
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
                        (min.min(value), max.max(value))
                    });
            }
            let share = pane.share;
            if share.is_none() {
                shares.panes.remove(at);
            }
            out.push((tick, PaneChange { group, pane: number, worker, share }));
        }
        if oldest > self.forgotten {
            self.forgotten = oldest;
            for shares in &mut self.groups {
                let n = shares.panes.partition_point(|pane| pane.number <= oldest);
                shares.panes.drain(..n);
            }
        }
    }
}
