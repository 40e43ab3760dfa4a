//! Sensor series: the history of each (sensor, metric), and everything that is decided by looking at it.
//!
//! **Meaning.** The readings of a metric form a step function of event time: a value holds until the next one. The
//! latest reading, the episodes of each rule and the panes of the sliding windows are functions of that history and of
//! the reference data *as they are now*: a sensor that moves to another district, or a rule that changes, revises the
//! past.
//!
//! **Mechanism.** One operator with small state per sensor. A reading in order costs O(1); a late one is put in its
//! place and only what depends on that stretch of time is folded again ([`episodes`], [`silence`], [`panes`]).
//! A reading of bad quality is a sign of life and replaces an earlier reading of the same time, but counts nowhere else.
//!
//! **State.** One point per distinct (sensor, metric, event time) within the horizon, the episodes within the alert
//! retention, and the panes within the window retention.

pub mod episodes;
pub mod panes;
pub mod silence;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::{Condition, RuleRef, SensorRef};
use model::{Quality, Reading, StreamId, Sym, Tick, Typed};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Capability;

use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::ticked::{Fed, Inbox, Port, Tagged, fed};
use crate::operators::timeline::{Timed, Timeline};
use crate::views::Replaced;
use crate::views::reference::CurrentRow;
use crate::views::sensors::{SensorRow, SensorState};
use episodes::{Episode, Episodes};
use panes::{Group, PaneChange, Panes};
use silence::Silences;

/// One reading within its series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    ts: i64,
    /// The value; for bad quality it is kept but counts nowhere.
    pub value: f64,
    /// The device's own word.
    pub quality: Quality,
}

impl Point {
    /// The value, if it counts.
    pub fn counted(&self) -> Option<f64> {
        (self.quality != Quality::Bad).then_some(self.value)
    }
}

impl Timed for Point {
    fn ts(&self) -> i64 {
        self.ts
    }
}

/// One series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Series {
    points: Timeline<Point>,
    /// By threshold rule that covers the series.
    episodes: BTreeMap<Sym, Episodes>,
    said: Option<SensorRow>,
}

/// One sensor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sensor {
    reference: Option<SensorRef>,
    series: Vec<(Sym, Series)>,
    /// By offline rule that watches the sensor.
    silences: BTreeMap<Sym, Silences>,
    /// Greatest event time heard, whatever the metric and quality.
    heard: Option<i64>,
}

impl Sensor {
    /// The series of `metric`; a new one is judged by the rules that `covering` finds.
    fn series(&mut self, metric: Sym, covering: impl FnOnce() -> BTreeMap<Sym, Episodes>) -> &mut Series {
        let at = match self.series.iter().position(|(name, _)| *name == metric) {
            Some(at) => at,
            None => {
                self.series.push((metric, Series { episodes: covering(), ..Series::default() }));
                self.series.len() - 1
            }
        };
        &mut self.series[at].1
    }

    /// When the sensor was heard next to `ts`, before and after, in any metric.
    fn heard_around(&self, ts: i64) -> (Option<i64>, Option<i64>) {
        let (mut before, mut after) = (None, None);
        for (_, series) in &self.series {
            let at = series.points.first_from(ts);
            before = before.max(series.points.before(at).next().map(Timed::ts));
            let next = series.points.first_from(ts + 1);
            if let Some(ts) = series.points.get(next).map(Timed::ts) {
                after = Some(after.map_or(ts, |after: i64| after.min(ts)));
            }
        }
        (before, after)
    }
}

/// What the operator says.
pub struct Said<'s> {
    /// The rows of the series in `sensors`.
    pub sensors: Tagged<'s, Delta<SensorRow>>,
    /// Episodes of rules that began, changed or never were.
    pub episodes: Tagged<'s, Delta<Episode>>,
    /// Panes of this worker's share of a group that changed.
    pub panes: Tagged<'s, PaneChange>,
    /// Readings that took the place of earlier ones.
    pub replaced: Tagged<'s, Replaced>,
}

/// The same on its way out.
#[derive(Default)]
pub struct Out {
    sensors: Vec<(Tick, Delta<SensorRow>)>,
    episodes: Vec<(Tick, Delta<Episode>)>,
    panes: Vec<(Tick, PaneChange)>,
    replaced: Vec<(Tick, Replaced)>,
}

/// Renders the operator. `known` brings changed `sensor` records (at the sensor's worker) and `rule` records (at every
/// worker).
pub fn operate<'s>(
    readings: Inbox<Reading>,
    known: Tagged<'s, Delta<CurrentRow>>,
    settings: &Arc<Settings>,
    worker: usize,
) -> Said<'s> {
    let (scope, logic) = (known.scope(), SeriesLogic::new(settings, worker));
    fed(scope, "series", readings, known, logic, |builder| {
        let (mut to_sensors, sensors) = Port::new(builder);
        let (mut to_episodes, episodes) = Port::new(builder);
        let (mut to_panes, panes) = Port::new(builder);
        let (mut to_replaced, replaced) = Port::new(builder);
        let send = move |capabilities: &[Capability<Tick>], out: &mut Out| {
            to_sensors.send(&capabilities[0], &mut out.sensors);
            to_episodes.send(&capabilities[1], &mut out.episodes);
            to_panes.send(&capabilities[2], &mut out.panes);
            to_replaced.send(&capabilities[3], &mut out.replaced);
        };
        (Said { sensors, episodes, panes, replaced }, send)
    })
}

/// The operator.
pub struct SeriesLogic {
    settings: Arc<Settings>,
    worker: usize,
    sensors: KeyedState<Sym, Sensor>,
    rules: BTreeMap<Sym, RuleRef>,
    panes: Panes,
}

impl SeriesLogic {
    /// The operator of worker `worker`.
    pub fn new(settings: &Arc<Settings>, worker: usize) -> Self {
        Self {
            settings: Arc::clone(settings),
            worker,
            sensors: KeyedState::default(),
            rules: BTreeMap::new(),
            panes: Panes::new(settings),
        }
    }

    fn reference(
        &mut self,
        delta: Delta<CurrentRow>,
        out: &mut Vec<Delta<Episode>>,
        touched: &mut HashSet<Sym>,
    ) {
        let Some(id) = delta.new.as_ref().or(delta.old.as_ref()).map(|row| row.id) else { return };
        let body = |row: &Option<CurrentRow>| row.as_ref().map(|row| row.body.typed.clone());
        match (body(&delta.old), body(&delta.new)) {
            (Some(Typed::Rule(_)), new) | (_, new @ Some(Typed::Rule(_))) => {
                match new {
                    Some(Typed::Rule(rule)) => self.rules.insert(id, rule),
                    _ => self.rules.remove(&id),
                };
                // Every worker hears of every rule and judges its own sensors.
                let sensors: Vec<Sym> = self.sensors.keys().collect();
                for sensor in sensors {
                    self.judge_anew(sensor, &[id], out);
                    touched.insert(sensor);
                }
            }
            (Some(Typed::Sensor(_)), new) | (_, new @ Some(Typed::Sensor(_))) => {
                let new = match new {
                    Some(Typed::Sensor(sensor)) => Some(sensor),
                    _ => None,
                };
                let state = self.sensors.entry(id);
                let (from, to) = (state.reference.clone(), new.clone());
                state.reference = new;
                for (metric, series) in &state.series {
                    self.panes.regroup(id, *metric, &series.points, from.as_ref(), to.as_ref());
                }
                let rules: Vec<Sym> = self.rules.keys().copied().collect();
                self.judge_anew(id, &rules, out);
                touched.insert(id);
            }
            _ => {}
        }
    }

    /// Judges a sensor's whole history by `rules` as they are now.
    fn judge_anew(&mut self, id: Sym, rules: &[Sym], out: &mut Vec<Delta<Episode>>) {
        let Some(sensor) = self.sensors.get_mut(id) else { return };
        for rule_id in rules {
            let rule = self.rules.get(rule_id);
            for (metric, series) in &mut sensor.series {
                match rule.filter(|rule| covers(rule, *metric, sensor.reference.as_ref())) {
                    Some(rule) => {
                        let context =
                            episodes::Context::new(*rule_id, id, *metric, sensor.reference.as_ref());
                        series.episodes.entry(*rule_id).or_default().judge_anew(
                            rule,
                            &series.points,
                            &context,
                            out,
                        );
                    }
                    None => {
                        if let Some(mut episodes) = series.episodes.remove(rule_id) {
                            episodes.withdraw_all(out);
                        }
                    }
                }
            }
            match rule.and_then(|rule| silence::watch(rule, sensor.reference.as_ref())) {
                Some(watch) => {
                    let heard = silence::merge(sensor.series.iter().map(|(_, series)| &series.points));
                    let context = episodes::Context::new(*rule_id, id, Sym::EMPTY, sensor.reference.as_ref());
                    sensor.silences.entry(*rule_id).or_default().judge_anew(watch, &heard, &context, out);
                }
                None => {
                    if let Some(mut silences) = sensor.silences.remove(rule_id) {
                        silences.withdraw_all(out);
                    }
                }
            }
        }
    }

    fn reading(&mut self, reading: &Reading, changed: &mut Changed, out: &mut Vec<Delta<Episode>>) {
        let ts = reading.ts;
        let sensor = self.sensors.entry(reading.sensor);
        let (heard, reference) = (sensor.heard, sensor.reference.clone());
        sensor.heard = heard.max(Some(ts));
        // Adding zero turns −0 into 0, so that equal values are equal bits.
        let point = Point { ts, value: reading.value + 0.0, quality: reading.quality };
        let rules = &self.rules;
        // Another metric of the same time has told already that the sensor was heard then.
        let elsewhere = heard >= Some(ts) && sensor.series.iter().any(|(_, series)| series.points.has(ts));
        let (panes, group) = (&mut self.panes, Group::of(reading.metric, reference.as_ref()));
        let series = sensor.series(reading.metric, || {
            panes.join(reading.sensor, group);
            let covering = |(_, rule): &(&Sym, &RuleRef)| covers(rule, reading.metric, reference.as_ref());
            rules.iter().filter(covering).map(|(id, _)| (*id, Episodes::default())).collect()
        });
        let in_order = series.points.last().is_none_or(|last| last.ts() < ts);
        let (_, old) = series.points.insert(point);
        let known = old.is_some() || elsewhere;
        if old.is_some() {
            *changed.replaced.entry((reading.pos.stream, reading.pos.partition)).or_default() += 1;
        }
        self.panes.replace(group, ts, old.and_then(|old| old.counted()), point.counted());
        match heard {
            None => {
                let watching =
                    rules.iter().filter(|(_, rule)| silence::watch(rule, reference.as_ref()).is_some());
                sensor.silences = watching.map(|(id, _)| (*id, Silences::default())).collect();
            }
            Some(heard) if !known => {
                // Silences care for times only; the neighbours of a late one have to be looked for.
                let around = if heard < ts { (Some(heard), None) } else { sensor.heard_around(ts) };
                for (rule_id, silences) in &mut sensor.silences {
                    if let Some(watch) =
                        rules.get(rule_id).and_then(|rule| silence::watch(rule, reference.as_ref()))
                    {
                        let context =
                            episodes::Context::new(*rule_id, reading.sensor, Sym::EMPTY, reference.as_ref());
                        silences.heard(watch, ts, around, &context, out);
                    }
                }
            }
            Some(_) => {}
        }
        let span = changed.spans.entry((reading.sensor, reading.metric));
        let span = span.or_insert(Span { from: ts, until: ts, in_order: true });
        *span =
            Span { from: span.from.min(ts), until: span.until.max(ts), in_order: span.in_order && in_order };
    }

    /// Folds what changed, lets time pass, and says the new rows.
    fn settle(
        &mut self,
        id: Sym,
        tick: Tick,
        changed: &Changed,
        out: &mut Vec<Delta<Episode>>,
        sensors: &mut Vec<(Tick, Delta<SensorRow>)>,
    ) {
        let Some(sensor) = self.sensors.get_mut(id) else { return };
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let forget = self.settings.alert_retention_ms.map(|retention| now - retention);
        let known = sensor.reference.as_ref();
        let mut wake: Option<i64> = None;
        let mut offline = false;
        for (rule_id, silences) in &mut sensor.silences {
            let watch = self.rules.get(rule_id).and_then(|rule| silence::watch(rule, known));
            let (Some(watch), Some(heard)) = (watch, sensor.heard) else { continue };
            let context = episodes::Context::new(*rule_id, id, Sym::EMPTY, known);
            silences.pass(watch, heard, now, &context, out);
            offline |= silences.lasting();
            wake = earliest(wake, silences.due(watch, heard));
            if let Some(before) = forget {
                silences.prune(before);
            }
        }
        for (metric, series) in &mut sensor.series {
            let mut worst = None;
            for (rule_id, episodes) in &mut series.episodes {
                let Some(rule) = self.rules.get(rule_id) else { continue };
                let context = episodes::Context::new(*rule_id, id, *metric, known);
                match changed.spans.get(&(id, *metric)) {
                    Some(span) if span.in_order => {
                        episodes.extend(rule, &series.points, span.from, &context, out)
                    }
                    Some(span) => episodes.judge_from(rule, &series.points, *span, &context, out),
                    None => {}
                }
                episodes.pass(rule, now, &context, out);
                wake = earliest(wake, episodes.due(rule));
                if episodes.lasting() {
                    worst = worst.max(Some(rule.severity));
                }
                if let Some(before) = forget {
                    episodes.prune(before);
                }
            }
            let latest = series.points.latest(|point| point.quality != Quality::Bad);
            let row = SensorRow {
                sensor: id,
                metric: *metric,
                district: known.map_or(Sym::EMPTY, |known| known.district),
                kind: known.map_or(Sym::EMPTY, |known| known.kind),
                value: latest.map(|point| point.value),
                ts: latest.or(series.points.last()).map_or(0, Timed::ts),
                state: SensorState::of(known.is_some(), latest.is_some(), offline, worst),
            };
            if series.said.as_ref() != Some(&row) {
                let old = series.said.replace(row.clone());
                sensors.push((tick, Delta { old, new: Some(row) }));
            }
            if let Some(horizon) = self.settings.horizon_ms {
                series.points.prune(now - horizon, 2);
            }
        }
        if let Some(at) = wake {
            // Due strictly after now: what is due at or before now has been settled.
            self.sensors.wake(id, self.settings.tick.ceil(at.max(now + 1)));
        }
    }
}

fn earliest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whether a threshold rule covers a series.
fn covers(rule: &RuleRef, metric: Sym, sensor: Option<&SensorRef>) -> bool {
    let matches = |wanted: Sym, is: Sym| wanted == Sym::EMPTY || wanted == is;
    rule.enabled
        && !matches!(rule.condition, Condition::Offline { .. })
        && matches(rule.metric, metric)
        && matches(rule.sensor_kind, sensor.map_or(Sym::EMPTY, |sensor| sensor.kind))
        && matches(rule.district, sensor.map_or(Sym::EMPTY, |sensor| sensor.district))
}

/// The stretch of a series in which points changed.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first event time that changed.
    pub from: i64,
    /// The last event time that changed.
    pub until: i64,
    /// Whether all that changed is new points after those that were there.
    pub in_order: bool,
}

/// What the readings of one tick changed.
#[derive(Default)]
struct Changed {
    /// What changed in each series.
    spans: HashMap<(Sym, Sym), Span>,
    /// Readings that took the place of earlier ones, by partition.
    replaced: BTreeMap<(StreamId, u16), i64>,
}

impl Fed for SeriesLogic {
    type Row = Reading;
    type In = Delta<CurrentRow>;
    type Out = Out;

    fn tick(
        &mut self,
        tick: Tick,
        readings: &mut Vec<Reading>,
        known: &mut Vec<Delta<CurrentRow>>,
        out: &mut Out,
    ) {
        let mut touched: HashSet<Sym> = HashSet::default();
        let mut changed = Changed::default();
        let mut episodes = Vec::new();
        for delta in known.drain(..) {
            self.reference(delta, &mut episodes, &mut touched);
        }
        // Log order decides which of two readings of one time counts; rows mostly come in it.
        readings.sort_by_key(|reading| reading.pos);
        for reading in readings.iter() {
            self.reading(reading, &mut changed, &mut episodes);
            touched.insert(reading.sensor);
        }
        touched.extend(self.sensors.woken(tick));
        for id in touched {
            self.settle(id, tick, &changed, &mut episodes, &mut out.sensors);
        }
        let sensors = &self.sensors;
        let points = |sensor, metric| {
            let series = &sensors.get(sensor)?.series;
            series.iter().find(|(name, _): &&(Sym, Series)| *name == metric).map(|(_, series)| &series.points)
        };
        self.panes.flush(tick, self.worker, points, &mut out.panes);
        let replaced = changed.replaced.into_iter();
        out.replaced.extend(replaced.map(|((stream, partition), n)| (tick, (stream, partition, n))));
        out.episodes.extend(merged(episodes).map(|delta| (tick, delta)));
    }

    fn due(&self) -> Option<Tick> {
        self.sensors.due()
    }
}

/// An episode may change more than once within a tick: only its first `old` and last `new` are said.
fn merged(changes: Vec<Delta<Episode>>) -> impl Iterator<Item = Delta<Episode>> {
    let mut first: HashMap<episodes::EpisodeKey, usize> = HashMap::default();
    let mut kept: Vec<Delta<Episode>> = Vec::with_capacity(changes.len());
    for delta in changes {
        let Some(key) = delta.key() else { continue };
        match first.get(&key) {
            Some(&at) => kept[at].new = delta.new,
            None => {
                first.insert(key, kept.len());
                kept.push(delta);
            }
        }
    }
    kept.into_iter().filter(|delta| delta.old != delta.new)
}
