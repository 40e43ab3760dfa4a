//! `sensor_windows`: sliding windows over the readings of each kind, metric and district.
//!
//! **Meaning.** A window `[window_start, window_start + width)`, its start a multiple of the step, holds the counted
//! readings whose event time lies in it, grouped by the sensor's kind and district *as they are now*. Windows that are
//! still going on are there too. There is no row for a window without readings.
//!
//! **Mechanism.** Panes of one step each ([`crate::series::panes`]), one share per worker, are put together here: a
//! changed pane changes width/step windows, each the sum of as many panes.
//!
//! **State.** One entry per group and pane; a window goes when its end is older than T by the window retention.

use std::sync::Arc;

use model::{Column, Sym, Tick, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};

use super::View;
use crate::Settings;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::publish::ViewRow;
use crate::operators::sorted::Sorted;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::operators::{route, spread};
use crate::series::panes::{Aggregate, Group, PaneChange};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "sensor_windows",
        zh: "传感器滑动窗口",
        doc: "Number, mean, least and greatest of the readings of a kind, metric and district in a sliding window.",
        key: 4,
        columns: &[
            Column::new("kind", Type::Text, "类型", "Sensor kind; empty when unknown."),
            Column::new("metric", Type::Text, "指标", "The metric."),
            Column::new("district", Type::Text, "区县", "District; empty when unknown."),
            Column::new("window_start", Type::Time, "窗口起点", "First instant of the window."),
            Column::new("count", Type::Int, "读数个数", "Number of counted readings."),
            Column::new("mean", Type::Float, "均值", "Their mean, from an exact sum of 10⁻⁹ units."),
            Column::new("min", Type::Float, "最小值", "The least."),
            Column::new("max", Type::Float, "最大值", "The greatest."),
        ],
        bounded_by: "(kind, metric, district) groups × windows within the window retention",
    },
    render: |context, id| {
        let rows = context.windows();
        context.publish(rows, id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowRow {
    /// Kind, metric, district.
    pub group: Group,
    /// First instant, Unix ms.
    pub start: i64,
    /// What is in it.
    pub all: Aggregate,
}

impl Keyed for WindowRow {
    type Key = (Group, i64);
    fn key(&self) -> (Group, i64) {
        (self.group, self.start)
    }
}

impl ViewRow for WindowRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.group.kind));
        out.push(Value::Name(self.group.metric));
        out.push(Value::Name(self.group.district));
        out.push(Value::Int(self.start));
        out.push(Value::Int(self.all.count));
        out.push(Value::Float(self.all.mean()));
        out.push(Value::Float(self.all.min));
        out.push(Value::Float(self.all.max));
    }
}

/// Renders the operator.
pub(super) fn operate<'s>(
    panes: Tagged<'s, PaneChange>,
    settings: &Arc<Settings>,
) -> Tagged<'s, Delta<WindowRow>> {
    let panes = spread(panes, |change| {
        let Group { kind: Sym(kind), metric: Sym(metric), district: Sym(district) } = change.group;
        route(kind ^ metric.rotate_left(11) ^ district.rotate_left(22))
    });
    let windows = Windows {
        settings: Arc::clone(settings),
        groups: KeyedState::default(),
        changed: Vec::new(),
        starts: Vec::new(),
    };
    ticked(panes, "sensor_windows", windows)
}

/// The panes of one group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Panes {
    /// By number and worker.
    shares: Sorted<(i64, usize), Aggregate>,
    /// What was said of each window, by the number of its first pane.
    said: Sorted<i64, Aggregate>,
}

struct Windows {
    settings: Arc<Settings>,
    groups: KeyedState<Group, Panes>,
    /// Groups and panes that changed, while a tick is taken in.
    changed: Vec<(Group, i64)>,
    /// Windows that are put together anew, while a group is.
    starts: Vec<i64>,
}

impl Windows {
    /// Puts the windows of a group together in which panes changed; these are in order.
    fn settle(
        &mut self,
        group: Group,
        changed: &[(Group, i64)],
        tick: Tick,
        out: &mut Vec<Delta<WindowRow>>,
    ) {
        let (step, width, now) = (self.settings.window_step_ms, self.settings.window_ms, tick as i64);
        let per_window = width / step;
        let mut starts = std::mem::take(&mut self.starts);
        starts.clear();
        for (_, pane) in changed {
            // Those of the pane before it are there already.
            let first = starts.last().map_or(i64::MIN, |last: &i64| last + 1);
            starts.extend((pane - per_window + 1).max(first)..=*pane);
        }
        let kept_ms = self.settings.window_retention_ms.map(|retention| width + retention);
        let over = |start: i64| kept_ms.is_some_and(|kept_ms| start * step + kept_ms <= now);
        let Some(panes) = self.groups.get_mut(group) else { return };
        let row =
            |start: i64, all: Option<Aggregate>| all.map(|all| WindowRow { group, start: start * step, all });
        let gone = panes.said.take_while(over);
        out.extend(gone.map(|(start, all)| Delta { old: row(start, Some(all)), new: None }));
        // What is over has no window any more, whatever changes in its panes.
        for start in starts.iter().copied().filter(|start| !over(*start)) {
            let mine = panes.shares.from((start, 0)).take_while(|((pane, _), _)| *pane < start + per_window);
            let all = mine.map(|(_, share)| *share).reduce(Aggregate::and);
            let old = panes.said.put(start, all);
            out.extend(Delta::between(row(start, old), row(start, all)));
        }
        self.starts = starts;
        // A pane is in no window any more once the one that starts with it has gone.
        let first = panes.said.first();
        if kept_ms.is_some() {
            drop(panes.shares.take_while(|(pane, _)| first.is_none_or(|first| pane < first)));
        }
        match first {
            Some(first) => {
                if let Some(kept_ms) = kept_ms {
                    self.groups.wake(group, self.settings.tick.ceil(first * step + kept_ms));
                }
            }
            None => self.groups.remove(group),
        }
    }
}

impl Ticked for Windows {
    type In = PaneChange;
    type Out = Delta<WindowRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<PaneChange>, out: &mut Vec<Delta<WindowRow>>) {
        let mut changed = std::mem::take(&mut self.changed);
        let mut woken = self.groups.woken(tick);
        for change in input.drain(..) {
            self.groups.entry(change.group).shares.put((change.pane, change.worker), change.share);
            changed.push((change.group, change.pane));
        }
        changed.sort_unstable();
        changed.dedup();
        for panes in changed.chunk_by(|one, next| one.0 == next.0) {
            self.settle(panes[0].0, panes, tick, out);
            if !woken.is_empty() {
                woken.retain(|group| *group != panes[0].0);
            }
        }
        for group in woken {
            self.settle(group, &[], tick, out);
        }
        changed.clear();
        self.changed = changed;
    }

    fn due(&self) -> Option<Tick> {
        self.groups.due()
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::{Kind, Quality, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{reference, sensors};

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let (step, width) = (history.settings.window_step_ms, history.settings.window_ms);
        let known = reference::oracle::typed(history, at, Kind::Sensor);
        let mut windows: BTreeMap<(&str, &str, &str, i64), Vec<f64>> = BTreeMap::new();
        for ((sensor, metric), by_time) in sensors::oracle::readings(history, at) {
            let (kind, district) = match known.get(&sensor) {
                Some(Typed::Sensor(known)) => (history.name(known.kind), history.name(known.district)),
                _ => ("", ""),
            };
            for (ts, (value, quality)) in by_time {
                let mut start = ts / step * step;
                while quality != Quality::Bad && start > ts - width {
                    windows.entry((kind, history.name(metric), district, start)).or_default().push(value);
                    start -= step;
                }
            }
        }
        let kept = |start: i64| match history.settings.window_retention_ms {
            Some(retention) => start + width + retention > at as i64,
            None => true,
        };
        let windows = windows.into_iter().filter(|((.., start), _)| kept(*start));
        let row = |((kind, metric, district, start), values): ((&str, &str, &str, i64), Vec<f64>)| {
            json!({
                "kind": kind, "metric": metric, "district": district, "window_start": start,
                "count": values.len(),
                // Multiples of a half add up exactly.
                "mean": values.iter().sum::<f64>() / values.len() as f64,
                "min": values.iter().copied().fold(f64::MAX, f64::min),
                "max": values.iter().copied().fold(f64::MIN, f64::max),
            })
        };
        windows.map(row).collect()
    }
}
