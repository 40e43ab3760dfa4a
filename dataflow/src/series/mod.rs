//! Sensor series: the history of each (sensor, metric), and everything that is decided by looking at it.
//!
//! **Meaning.** The readings of a metric form a step function of event time: a value holds until the next one. The
//! latest reading, the episodes of each rule and the panes of the sliding windows are functions of that history and of
//! the reference data *as they are now*: a sensor that moves to another district, or a rule that changes, revises the
//! past.
//!
//! **Mechanism.** One operator with small state per sensor. A reading in order costs O(1); a late one is put in its
//! place and only what depends on that stretch of time is folded again ([`verdict`], [`silence`], [`panes`]).
//! A reading of bad quality is a sign of life and replaces an earlier reading of the same time, but counts nowhere else.
//!
//! **State.** One point per distinct (sensor, metric, event time) within the horizon, the episodes within the alert
//! retention, and the panes within the window retention.

pub mod behind;
pub mod compound;
pub mod episodes;
mod judging;
pub mod moments;
#[cfg(test)]
pub(crate) mod oracle;
pub mod panes;
pub mod rules;
pub mod signal;
pub mod silence;
pub mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::SensorRef;
use model::{Kind, Names, Quality, Reading, Row, StreamId, Sym, Tick, Typed};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Capability, Concat};

use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::ticked::{Fed, Inbox, Port, Tagged, fed};
use crate::operators::timeline::{Timed, Timeline};
use crate::views::Replaced;
use crate::views::reference::CurrentRow;
use crate::views::sensors::{SensorRow, SensorState};
use behind::Behind;
use compound::{Passing, SiteChange};
use episodes::Episode;
use judging::Judging;
use moments::CityTime;
use panes::{Group, PaneChange, Panes};
use rules::{Covering, Rules};
use signal::Source;
use silence::Silences;
use verdict::Verdict;

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
    /// By rule that covers the series: those that have something to remember.
    verdicts: BTreeMap<Sym, Verdict>,
    /// The rules that cover the series; found when first needed.
    #[serde(skip)]
    covering: Option<Arc<Covering>>,
    said: Option<SensorRow>,
}

/// One sensor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sensor {
    reference: Option<SensorRef>,
    series: Vec<(Sym, Series)>,
    /// By offline rule that watches the sensor.
    silences: BTreeMap<Sym, Silences>,
    /// The partition of the log that its last reading came from.
    partition: u16,
    /// Greatest event time heard, whatever the metric and quality.
    heard: Option<i64>,
}

impl Sensor {
    /// Its site; empty when it has none.
    fn site(&self) -> Sym {
        self.reference.as_ref().map_or(Sym::EMPTY, |reference| reference.site)
    }

    /// The series of `metric`; `begins` is called for a new one.
    fn series(&mut self, metric: Sym, begins: impl FnOnce()) -> &mut Series {
        let at = match self.series.iter().position(|(name, _)| *name == metric) {
            Some(at) => at,
            None => {
                begins();
                self.series.push((metric, Series::default()));
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

/// Why an episode changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Readings or time.
    Data,
    /// Its rule's record changed at the same tick.
    Rule,
    /// Its sensor's record changed at the same tick.
    Sensor,
}

/// What the operator says.
pub struct Said<'s> {
    /// The rows of the series in `sensors`.
    pub sensors: Tagged<'s, Delta<SensorRow>>,
    /// Episodes of rules that began, changed or never were, and why.
    pub episodes: Tagged<'s, (Delta<Episode>, Cause)>,
    /// What matters to rules that look at sites.
    pub sites: Tagged<'s, SiteChange>,
    /// Panes of this worker's share of a group that changed.
    pub panes: Tagged<'s, PaneChange>,
    /// Readings that took the place of earlier ones.
    pub replaced: Tagged<'s, Replaced>,
}

/// The same on its way out.
#[derive(Default)]
pub struct Out {
    sensors: Vec<(Tick, Delta<SensorRow>)>,
    episodes: Vec<(Tick, (Delta<Episode>, Cause))>,
    sites: Vec<(Tick, SiteChange)>,
    panes: Vec<(Tick, PaneChange)>,
    replaced: Vec<(Tick, Replaced)>,
}

/// What the operator takes beside readings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum In {
    /// A changed `sensor` record (at the sensor's worker) or `rule` record (at every worker).
    Reference(Delta<CurrentRow>),
    /// What a tick bound of a partition of telemetry (at every worker): how far that is read, Unix ms, if there is more.
    Bound(u16, Option<i64>),
}

/// Renders the operator. `known` brings changed `sensor` records (at the sensor's worker) and `rule` records (at every
/// worker), `bound` what ticks bound.
pub fn operate<'s>(
    readings: Inbox<Reading>,
    known: Tagged<'s, Delta<CurrentRow>>,
    bound: Tagged<'s, Row>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
    worker: usize,
) -> Said<'s> {
    let known = known.map(|(tick, delta)| (tick, In::Reference(delta)));
    let bound = bound.flat_map(|(tick, row)| match row {
        Row::Bound(bound) if bound.stream == StreamId::Telemetry => {
            let read = (bound.lag_records > 0).then(|| tick as i64 - bound.lag_ms as i64);
            Some((tick, In::Bound(bound.partition, read)))
        }
        _ => None,
    });
    let known = known.concat(bound.broadcast());
    let (scope, logic) = (known.scope(), SeriesLogic::new(settings, names, worker));
    fed(scope, "series", readings, known, logic, |builder| {
        let (mut to_sensors, sensors) = Port::new(builder);
        let (mut to_episodes, episodes) = Port::new(builder);
        let (mut to_sites, sites) = Port::new(builder);
        let (mut to_panes, panes) = Port::new(builder);
        let (mut to_replaced, replaced) = Port::new(builder);
        let send = move |capabilities: &[Capability<Tick>], out: &mut Out| {
            to_sensors.send(&capabilities[0], &mut out.sensors);
            to_episodes.send(&capabilities[1], &mut out.episodes);
            to_sites.send(&capabilities[2], &mut out.sites);
            to_panes.send(&capabilities[3], &mut out.panes);
            to_replaced.send(&capabilities[4], &mut out.replaced);
        };
        (Said { sensors, episodes, sites, panes, replaced }, send)
    })
}

/// The operator.
pub struct SeriesLogic {
    settings: Arc<Settings>,
    worker: usize,
    sensors: KeyedState<Sym, Sensor>,
    rules: Rules,
    names: Arc<Names>,
    city: CityTime,
    panes: Panes,
    passing: Passing,
    behind: Behind,
}

impl SeriesLogic {
    /// The operator of worker `worker`.
    pub fn new(settings: &Arc<Settings>, names: &Arc<Names>, worker: usize) -> Self {
        Self {
            settings: Arc::clone(settings),
            worker,
            sensors: KeyedState::default(),
            rules: Rules::default(),
            names: Arc::clone(names),
            city: CityTime::new(settings.utc_offset_min),
            panes: Panes::new(settings),
            passing: Passing::default(),
            behind: Behind::default(),
        }
    }

    fn reference(
        &mut self,
        delta: Delta<CurrentRow>,
        now: i64,
        out: &mut Vec<Delta<Episode>>,
        touched: &mut HashSet<Sym>,
    ) {
        let Some(id) = delta.new.as_ref().or(delta.old.as_ref()).map(|row| row.id) else { return };
        let body = |row: &Option<CurrentRow>| row.as_ref().map(|row| row.body.typed.clone());
        match (body(&delta.old), body(&delta.new)) {
            (Some(Typed::Rule(_)), new) | (_, new @ Some(Typed::Rule(_))) => {
                let rule = match new {
                    Some(Typed::Rule(rule)) => Some(*rule),
                    _ => None,
                };
                self.rules.set(id, rule, &self.names);
                self.passing.rules_changed();
                // Every worker hears of every rule and judges its own sensors.
                let sensors: Vec<Sym> = self.sensors.keys().collect();
                for sensor in sensors {
                    if self.judge_anew(sensor, &[id], now, out) {
                        touched.insert(sensor);
                    }
                }
            }
            (Some(Typed::Sensor(_)), new) | (_, new @ Some(Typed::Sensor(_))) => {
                let new = match new {
                    Some(Typed::Sensor(sensor)) => Some(sensor),
                    _ => None,
                };
                let state = self.sensors.entry(id);
                let (from, to) = (state.reference.clone(), new.clone());
                let site = from.as_ref().map_or(Sym::EMPTY, |reference| reference.site);
                self.passing.sensor_changed(id, site, new.clone());
                state.reference = new;
                for (metric, series) in &state.series {
                    self.panes.regroup(id, *metric, &series.points, from.as_ref(), to.as_ref());
                }
                let rules: Vec<Sym> = self.rules.iter().map(|(id, _)| id).collect();
                self.judge_anew(id, &rules, now, out);
                touched.insert(id);
            }
            _ => {}
        }
    }

    /// Judges a sensor's whole history by `rules` as they are now; whether any of them covers or covered it.
    fn judge_anew(&mut self, id: Sym, rules: &[Sym], now: i64, out: &mut Vec<Delta<Episode>>) -> bool {
        let Some(sensor) = self.sensors.get_mut(id) else { return false };
        let known = sensor.reference.as_ref();
        let mut minds = false;
        for (metric, series) in &mut sensor.series {
            // Found again when it is needed.
            series.covering = None;
            let points = &series.points;
            for rule_id in rules {
                let rule = self.rules.get(*rule_id);
                let covers = |rule: &&Arc<rules::Compiled>| {
                    rule.site_metrics.is_empty() && rule.covers(*metric, known)
                };
                match rule.filter(covers) {
                    Some(rule) => {
                        minds = true;
                        let context = episodes::Context::new(*rule_id, &rule.rule, id, *metric, known);
                        let (city, names, site) = (self.city, &*self.names, &BTreeMap::new());
                        let source = Source { rule, points, site, sensor: id, reference: known, city, names };
                        let verdict = series.verdicts.entry(*rule_id).or_default();
                        verdict.judge_anew(&source, &context, now, out);
                        if !rule.derives() && verdict.is_blank() {
                            series.verdicts.remove(rule_id);
                        }
                    }
                    None => {
                        if let Some(mut verdict) = series.verdicts.remove(rule_id) {
                            minds = true;
                            verdict.withdraw_all(out);
                        }
                    }
                }
            }
        }
        for rule_id in rules {
            let rule = self.rules.get(*rule_id);
            match rule.and_then(|rule| Some((rule, silence::watch(&rule.rule, known)?))) {
                Some((rule, watch)) => {
                    minds = true;
                    let heard = silence::merge(sensor.series.iter().map(|(_, series)| &series.points));
                    let context = episodes::Context::new(*rule_id, &rule.rule, id, Sym::EMPTY, known);
                    sensor.silences.entry(*rule_id).or_default().judge_anew(watch, &heard, &context, out);
                }
                None => {
                    if let Some(mut silences) = sensor.silences.remove(rule_id) {
                        minds = true;
                        silences.withdraw_all(out);
                    }
                }
            }
        }
        minds
    }

    fn reading(&mut self, reading: &Reading, changed: &mut Changed, out: &mut Vec<Delta<Episode>>) {
        let ts = reading.ts;
        let sensor = self.sensors.entry(reading.sensor);
        let (heard, reference) = (sensor.heard, sensor.reference.clone());
        sensor.heard = heard.max(Some(ts));
        sensor.partition = reading.pos.partition;
        // Adding zero turns −0 into 0, so that equal values are equal bits.
        let point = Point { ts, value: reading.value + 0.0, quality: reading.quality };
        let rules = &self.rules;
        // Another metric of the same time has told already that the sensor was heard then.
        let elsewhere = heard >= Some(ts) && sensor.series.iter().any(|(_, series)| series.points.has(ts));
        let (panes, group) = (&mut self.panes, Group::of(reading.metric, reference.as_ref()));
        let series = sensor.series(reading.metric, || panes.join(reading.sensor, group));
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
                    rules.iter().filter(|(_, rule)| silence::watch(&rule.rule, reference.as_ref()).is_some());
                sensor.silences = watching.map(|(id, _)| (id, Silences::default())).collect();
            }
            Some(heard) if !known => {
                // Silences care for times only; the neighbours of a late one have to be looked for.
                let around = if heard < ts { (Some(heard), None) } else { sensor.heard_around(ts) };
                for (rule_id, silences) in &mut sensor.silences {
                    let rule = rules.get(*rule_id);
                    if let Some((rule, watch)) =
                        rule.and_then(|rule| Some((rule, silence::watch(&rule.rule, reference.as_ref())?)))
                    {
                        let context = episodes::Context::new(
                            *rule_id,
                            &rule.rule,
                            reading.sensor,
                            Sym::EMPTY,
                            reference.as_ref(),
                        );
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
        let horizon = self.settings.horizon_ms.map(|horizon| now - horizon);
        let known = sensor.reference.as_ref();
        let mut wake: Option<i64> = None;
        let (mut offline, mut unsure) = (false, false);
        for (rule_id, silences) in &mut sensor.silences {
            let Some(rule) = self.rules.get(*rule_id) else { continue };
            let watch = silence::watch(&rule.rule, known);
            let (Some(watch), Some(heard)) = (watch, sensor.heard) else { continue };
            let context = episodes::Context::new(*rule_id, &rule.rule, id, Sym::EMPTY, known);
            // What is not read yet may hold a sign of life: until it is, silence proves nothing.
            let clock = self.behind.clock(sensor.partition, now);
            silences.pass(watch, heard, clock, &context, out);
            offline |= silences.lasting() && !watch.shadow;
            match silences.due(watch, heard) {
                Some(due) if due <= now => {
                    unsure |= !watch.shadow;
                    self.behind.wait(sensor.partition, id);
                }
                due => wake = earliest(wake, due),
            }
            if let Some(before) = forget {
                silences.prune(before);
            }
        }
        for (metric, series) in &mut sensor.series {
            let span = changed.spans.get(&(id, *metric)).copied();
            let rules = &mut self.rules;
            let covering = Arc::clone(series.covering.get_or_insert_with(|| rules.covering(*metric, known)));
            let of = Judging {
                id,
                metric: *metric,
                known,
                city: self.city,
                names: &self.names,
                now,
                forget,
                horizon,
            };
            let (worst, due) = of.series(series, &covering, span, out);
            wake = earliest(wake, due);
            let latest = series.points.latest(|point| point.quality != Quality::Bad);
            let row = SensorRow {
                sensor: id,
                metric: *metric,
                district: known.map_or(Sym::EMPTY, |known| known.district),
                kind: known.map_or(Sym::EMPTY, |known| known.kind),
                value: latest.map(|point| point.value),
                ts: latest.or(series.points.last()).map_or(0, Timed::ts),
                state: match SensorState::of(known.is_some(), latest.is_some(), offline, worst) {
                    SensorState::Offline => SensorState::Offline,
                    _ if unsure => SensorState::Unknown,
                    state => state,
                },
            };
            if series.said.as_ref() != Some(&row) {
                let old = series.said.replace(row.clone());
                sensors.push((tick, Delta { old, new: Some(row) }));
            }
            if let Some(horizon) = horizon {
                series.points.prune(horizon - covering.lookback_ms, 2);
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
    type In = In;
    type Out = Out;

    fn tick(&mut self, tick: Tick, readings: &mut Vec<Reading>, known: &mut Vec<In>, out: &mut Out) {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let mut touched: HashSet<Sym> = HashSet::default();
        let mut changed = Changed::default();
        let mut episodes = Vec::new();
        let mut edited: HashSet<(Kind, Sym)> = HashSet::default();
        for known in known.drain(..) {
            match known {
                In::Reference(delta) => {
                    edited.extend(delta.key());
                    self.reference(delta, now, &mut episodes, &mut touched);
                }
                In::Bound(partition, read) => {
                    let before = now - self.settings.tick.as_millis() as i64;
                    touched.extend(self.behind.bound(partition, read, before));
                }
            }
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
        let all = sensors.keys().filter_map(|id| Some((id, sensors.get(id)?.site())));
        let series = |id| sensors.get(id).map(|sensor| (sensor.site(), sensor.series.as_slice()));
        self.passing.flush(tick, &self.rules, &changed.spans, all, series, &mut out.sites);
        self.panes.flush(tick, self.worker, points, &mut out.panes);
        let replaced = changed.replaced.into_iter();
        out.replaced.extend(replaced.map(|((stream, partition), n)| (tick, (stream, partition, n))));
        let cause = |delta: &Delta<Episode>| match delta.key() {
            Some((rule, ..)) if edited.contains(&(Kind::Rule, rule)) => Cause::Rule,
            Some((_, sensor, ..)) if edited.contains(&(Kind::Sensor, sensor)) => Cause::Sensor,
            _ => Cause::Data,
        };
        out.episodes.extend(merged(episodes).map(|delta| {
            let cause = cause(&delta);
            (tick, (delta, cause))
        }));
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
