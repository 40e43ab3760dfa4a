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

use std::collections::BTreeMap;

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
    shares: BTreeMap<i64, HashMap<Group, Aggregate>>,
    members: HashMap<Group, HashSet<Sym>>,
    /// Panes that changed in this tick, and whether their extremes must be looked for.
    changed: HashMap<(Group, i64), bool>,
}

impl Panes {
    /// No panes yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            step: settings.window_step_ms,
            keep_ms: settings.window_retention_ms.map(|retention| retention + settings.window_ms),
            shares: BTreeMap::new(),
            members: HashMap::default(),
            changed: HashMap::default(),
        }
    }

    /// `sensor` has a series in `group` from now on.
    pub fn join(&mut self, sensor: Sym, group: Group) {
        self.members.entry(group).or_default().insert(sensor);
    }

    /// A reading at `ts` of a member of `group` counted `old` and now counts `new`.
    pub fn replace(&mut self, group: Group, ts: i64, old: Option<f64>, new: Option<f64>) {
        if old == new {
            return;
        }
        let pane = ts.div_euclid(self.step);
        let shares = self.shares.entry(pane).or_default();
        let mut look = false;
        if let (Some(old), Some(share)) = (old, shares.get_mut(&group)) {
            let gone = Aggregate::one(old);
            share.count -= 1;
            share.sum -= gone.sum;
            look = old <= share.min || old >= share.max;
            if share.count == 0 {
                shares.remove(&group);
            }
        }
        if let Some(new) = new {
            let one = Aggregate::one(new);
            shares.entry(group).and_modify(|share| *share = share.and(one)).or_insert(one);
        }
        *self.changed.entry((group, pane)).or_default() |= look;
    }

    /// The sensor's record changed: its readings go from one group to another.
    pub fn regroup(
        &mut self,
        sensor: Sym,
        metric: Sym,
        points: &Timeline<Point>,
        from: Option<&SensorRef>,
        to: Option<&SensorRef>,
    ) {
        let (from, to) = (Group::of(metric, from), Group::of(metric, to));
        if from == to {
            return;
        }
        if let Some(members) = self.members.get_mut(&from) {
            members.remove(&sensor);
        }
        self.join(sensor, to);
        for point in points.iter() {
            self.replace(from, point.ts(), point.counted(), None);
            self.replace(to, point.ts(), None, point.counted());
        }
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
        for ((group, pane), look) in self.changed.drain() {
            if pane <= oldest {
                continue;
            }
            let share = self.shares.get_mut(&pane).and_then(|shares| shares.get_mut(&group));
            if look && let Some(share) = share {
                let span = pane * self.step..(pane + 1) * self.step;
                let values = self
                    .members
                    .get(&group)
                    .into_iter()
                    .flatten()
                    .filter_map(|sensor| points(*sensor, group.metric));
                let values = values.flat_map(|points| {
                    points.from(points.first_from(span.start)).take_while(|point| point.ts() < span.end)
                });
                let (min, max) = values
                    .filter_map(Point::counted)
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
                        (min.min(value), max.max(value))
                    });
                (share.min, share.max) = (min, max);
            }
            let share = self.shares.get(&pane).and_then(|shares| shares.get(&group)).copied();
            out.push((tick, PaneChange { group, pane, worker, share }));
        }
        while let Some(first) =
            self.shares.first_entry().filter(|first| *first.key() <= oldest || first.get().is_empty())
        {
            first.remove();
        }
    }
}
