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
use crate::operators::keyed::{KeyedState, batches};
use crate::operators::sorted::Sorted;
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
use panes::{Group, PaneChange, Panes, Place};
use rules::{Covering, Rules};
use signal::Source;
use silence::{Silences, Watch};
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
        self.counts().then_some(self.value)
    }
}

impl Timed for Point {
    /// A sensor reports every some seconds to minutes, and there are many.
    const CHUNK: usize = 16;

    fn ts(&self) -> i64 {
        self.ts
    }

    fn counts(&self) -> bool {
        self.quality != Quality::Bad
    }
}

/// One series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Series {
    points: Timeline<Point>,
    /// By rule that covers the series: those that have something to remember.
    verdicts: Sorted<Sym, Verdict>,
    /// The rules that cover the series; found when first needed.
    #[serde(skip)]
    covering: Option<Arc<Covering>>,
    /// Where its panes are.
    #[serde(skip)]
    place: Option<Place>,
    /// What changed in this tick.
    #[serde(skip)]
    span: Option<Span>,
    said: Option<SensorRow>,
}

/// One sensor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sensor {
    reference: Option<SensorRef>,
    series: Vec<(Sym, Series)>,
    /// By offline rule that watches the sensor.
    silences: Sorted<Sym, Silences>,
    /// Those rules; found when first needed.
    #[serde(skip)]
    watching: Option<Vec<Watching>>,
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
/// worker), `bound` what ticks bound. With `rows` it says the rows of `sensors`.
pub fn operate<'s>(
    readings: Inbox<Reading>,
    known: Tagged<'s, Delta<CurrentRow>>,
    bound: Tagged<'s, Row>,
    rows: bool,
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
    let (scope, logic) = (known.scope(), SeriesLogic::new(rows, settings, names, worker));
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
    /// Whether anybody asks for the rows of `sensors`.
    rows: bool,
    settings: Arc<Settings>,
    worker: usize,
    sensors: KeyedState<Sym, Sensor>,
    rules: Rules,
    names: Arc<Names>,
    city: CityTime,
    panes: Panes,
    passing: Passing,
    behind: Behind,
    /// Sensors and the places of their readings, while a tick is taken in.
    order: Vec<(Sym, u32)>,
}

impl SeriesLogic {
    /// The operator of worker `worker`. With `rows` it says the rows of `sensors`.
    pub fn new(rows: bool, settings: &Arc<Settings>, names: &Arc<Names>, worker: usize) -> Self {
        Self {
            rows,
            settings: Arc::clone(settings),
            worker,
            sensors: KeyedState::default(),
            rules: Rules::default(),
            names: Arc::clone(names),
            city: CityTime::new(settings.utc_offset_min),
            panes: Panes::new(settings),
            passing: Passing::default(),
            behind: Behind::default(),
            order: Vec::new(),
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
                for (metric, series) in &mut state.series {
                    let to = self.panes.regroup(id, *metric, &series.points, from.as_ref(), to.as_ref());
                    series.place = to.or(series.place);
                }
                state.watching = None;
                if state.heard.is_some() {
                    let rules: Vec<Sym> = self.rules.iter().map(|(id, _)| id).collect();
                    self.judge_anew(id, &rules, now, out);
                }
                touched.insert(id);
            }
            _ => {}
        }
    }

    /// Judges a sensor's whole history by `rules` as they are now; whether any of them covers or covered it.
    fn judge_anew(&mut self, id: Sym, rules: &[Sym], now: i64, out: &mut Vec<Delta<Episode>>) -> bool {
        let Some(sensor) = self.sensors.get_mut(id) else { return false };
        // They are found again when they are needed.
        sensor.watching = None;
        // Of a sensor that was never heard there is nothing to judge.
        if sensor.heard.is_none() {
            return false;
        }
        let known = sensor.reference.as_ref();
        let mut minds = false;
        for (metric, series) in &mut sensor.series {
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
                        let verdict = series.verdicts.entry(*rule_id);
                        verdict.judge_anew(&source, &context, now, out);
                        if !rule.derives() && verdict.is_blank() {
                            series.verdicts.put(*rule_id, None);
                        }
                    }
                    None => {
                        if let Some(mut verdict) = series.verdicts.put(*rule_id, None) {
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
                    sensor.silences.entry(*rule_id).judge_anew(watch, &heard, &context, out);
                }
                None => {
                    if let Some(mut silences) = sensor.silences.put(*rule_id, None) {
                        minds = true;
                        silences.withdraw_all(out);
                    }
                }
            }
        }
        minds
    }

    /// Takes in the readings of a sensor in a tick, folds what changed, lets time pass, and says the new rows.
    fn settle<'a>(
        &mut self,
        id: Sym,
        tick: Tick,
        readings: impl Iterator<Item = &'a Reading>,
        changed: &mut Changed,
        sensors: &mut Vec<(Tick, Delta<SensorRow>)>,
    ) {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let Self { settings, rules, panes, behind, passing, rows, .. } = self;
        let moment = Moment {
            id,
            now,
            forget: settings.alert_retention_ms.map(|retention| now - retention),
            horizon: settings.horizon_ms.map(|horizon| now - horizon),
            city: self.city,
            names: &self.names,
        };
        self.sensors.visit(id, |sensor| {
            let watching = sensor.watching.take().unwrap_or_else(|| sensor.watched_by(id, rules));
            for reading in readings {
                sensor.hear(reading, &watching, panes, changed);
            }
            let (wake, unsure) = sensor.pass(&moment, &watching, behind, changed);
            sensor.watching = Some(watching);
            let said = rows.then_some(|delta| sensors.push((tick, delta)));
            let due = sensor.say(&moment, unsure, rules, passing, changed, said);
            // Due strictly after now: what is due at or before now has been settled.
            earliest(wake, due).map(|at| settings.tick.ceil(at.max(now + 1)))
        });
    }
}

/// Which sensor is looked at, and when.
struct Moment<'a> {
    id: Sym,
    now: i64,
    /// Episodes that ended before this are forgotten.
    forget: Option<i64>,
    horizon: Option<i64>,
    city: CityTime,
    names: &'a Names,
}

/// An offline rule that watches a sensor.
#[derive(Clone, Debug)]
struct Watching {
    rule: Sym,
    watch: Watch,
    context: episodes::Context,
}

impl Sensor {
    /// Reads what taking in a reading will read.
    fn touch(&self) -> i64 {
        let heard = self.heard.unwrap_or(0);
        let silences = self.silences.iter().next().map_or(0, |(_, silences)| i64::from(silences.lasting()));
        let watching = self.watching.as_ref().map_or(0, |watching| watching.len() as i64);
        self.series.iter().fold(heard ^ silences ^ watching, |sum, (_, series)| {
            let judged = series.verdicts.first().map_or(0, |rule| i64::from(rule.0));
            let said = series.said.as_ref().map_or(0, |said| said.ts);
            // All of the last one, which may lie across two lines of the cache.
            sum ^ judged ^ said ^ series.points.last().map_or(0, |point| point.ts() ^ point.quality as i64)
        })
    }

    /// The offline rules that watch it.
    fn watched_by(&self, id: Sym, rules: &Rules) -> Vec<Watching> {
        let known = self.reference.as_ref();
        let watching = rules.offline().filter_map(|(rule, compiled)| {
            let watch = silence::watch(&compiled.rule, known)?;
            let context = episodes::Context::new(rule, &compiled.rule, id, Sym::EMPTY, known);
            Some(Watching { rule, watch, context })
        });
        watching.collect()
    }

    /// Takes in a reading.
    fn hear(&mut self, reading: &Reading, watching: &[Watching], panes: &mut Panes, changed: &mut Changed) {
        let ts = reading.ts;
        let heard = self.heard;
        self.heard = heard.max(Some(ts));
        self.partition = reading.pos.partition;
        // Adding zero turns −0 into 0, so that equal values are equal bits.
        let point = Point { ts, value: reading.value + 0.0, quality: reading.quality };
        // Another metric of the same time has told already that the sensor was heard then.
        let elsewhere = heard >= Some(ts) && self.series.iter().any(|(_, series)| series.points.has(ts));
        let known = self.reference.as_ref();
        let at = self.series.iter().position(|(metric, _)| *metric == reading.metric);
        let at = at.unwrap_or_else(|| {
            // Most sensors have one.
            self.series.reserve_exact(1);
            self.series.push((reading.metric, Series::default()));
            self.series.len() - 1
        });
        let series = &mut self.series[at].1;
        let place =
            *series.place.get_or_insert_with(|| panes.join(reading.sensor, Group::of(reading.metric, known)));
        let in_order = series.points.last().is_none_or(|last| last.ts() < ts);
        let (_, old) = series.points.insert(point);
        if old.is_some() {
            *changed.replaced.entry((reading.pos.stream, reading.pos.partition)).or_default() += 1;
        }
        panes.replace(place, ts, old.and_then(|old| old.counted()), point.counted());
        let span = series.span.unwrap_or(Span { from: ts, until: ts, in_order: true });
        series.span = Some(Span {
            from: span.from.min(ts),
            until: span.until.max(ts),
            in_order: span.in_order && in_order,
        });
        match heard {
            None => {
                self.silences = Sorted::default();
                for watching in watching {
                    self.silences.put(watching.rule, Some(Silences::default()));
                }
            }
            Some(heard) if old.is_none() && !elsewhere => {
                // Silences care for times only; the neighbours of a late one have to be looked for.
                let around = if heard < ts { (Some(heard), None) } else { self.heard_around(ts) };
                for Watching { rule, watch, context } in watching {
                    if let Some(silences) = self.silences.get_mut(*rule) {
                        silences.heard(*watch, ts, around, context, &mut changed.episodes);
                    }
                }
            }
            Some(_) => {}
        }
    }

    /// Lets silence pass: when time alone will change something, and whether it can't be told if it is silent.
    fn pass(
        &mut self,
        moment: &Moment<'_>,
        watching: &[Watching],
        behind: &mut Behind,
        changed: &mut Changed,
    ) -> (Option<i64>, bool) {
        let (mut wake, mut unsure) = (None, false);
        let Some(heard) = self.heard else { return (wake, unsure) };
        for Watching { rule, watch, context } in watching {
            let Some(silences) = self.silences.get_mut(*rule) else { continue };
            // What is not read yet may hold a sign of life: until it is, silence proves nothing.
            let clock = behind.clock(self.partition, moment.now);
            silences.pass(*watch, heard, clock, context, &mut changed.episodes);
            match silences.due(*watch, heard) {
                Some(due) if due <= moment.now => {
                    unsure |= !watch.shadow;
                    behind.wait(self.partition, moment.id);
                }
                due => wake = earliest(wake, due),
            }
            if let Some(before) = moment.forget {
                silences.prune(before);
            }
        }
        (wake, unsure)
    }

    /// Judges what changed and says the rows that are new; when time alone will change something.
    fn say(
        &mut self,
        &Moment { id, now, forget, horizon, city, names }: &Moment<'_>,
        unsure: bool,
        rules: &mut Rules,
        passing: &Passing,
        changed: &mut Changed,
        mut said: Option<impl FnMut(Delta<SensorRow>)>,
    ) -> Option<i64> {
        let mut wake = None;
        let known = self.reference.as_ref();
        let live = |watching: &&Watching| !watching.watch.shadow;
        let offline = self
            .watching
            .iter()
            .flatten()
            .filter(live)
            .any(|watching| self.silences.get(watching.rule).is_some_and(Silences::lasting));
        for (metric, series) in &mut self.series {
            let span = series.span.take();
            if let Some(span) = span
                && passing.wants(*metric)
            {
                changed.spans.push(((id, *metric), span));
            }
            let covering = series.covering.take().unwrap_or_else(|| rules.covering(*metric, known));
            let of = Judging { id, metric: *metric, known, city, names, now, forget, horizon };
            let (worst, due) = of.series(series, &covering, span, &mut changed.episodes);
            wake = earliest(wake, due);
            if let Some(horizon) = horizon {
                series.points.prune(horizon - covering.lookback_ms);
            }
            series.covering = Some(covering);
            let Some(said) = &mut said else { continue };
            let latest = series.points.latest(Point::counts);
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
                said(Delta { old, new: Some(row) });
            }
        }
        wake
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

/// What one tick changed.
#[derive(Default)]
struct Changed {
    /// What changed in the series that rules of sites look at.
    spans: Vec<((Sym, Sym), Span)>,
    /// Readings that took the place of earlier ones, by partition.
    replaced: BTreeMap<(StreamId, u16), i64>,
    /// Changes of episodes, in order.
    episodes: Vec<Delta<Episode>>,
}

impl Fed for SeriesLogic {
    type Row = Reading;
    type In = In;
    type Out = Out;

    fn tick(&mut self, tick: Tick, readings: &mut Vec<Reading>, known: &mut Vec<In>, out: &mut Out) {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let mut touched: HashSet<Sym> = HashSet::default();
        let mut changed = Changed::default();
        let mut edited: HashSet<(Kind, Sym)> = HashSet::default();
        for known in known.drain(..) {
            match known {
                In::Reference(delta) => {
                    edited.extend(delta.key());
                    self.reference(delta, now, &mut changed.episodes, &mut touched);
                }
                In::Bound(partition, read) => {
                    let before = now - self.settings.tick.as_millis() as i64;
                    touched.extend(self.behind.bound(partition, read, before));
                }
            }
        }
        touched.extend(self.sensors.woken(tick));
        // Log order decides which of two readings of one time counts. Rows mostly come in it; sensor by sensor, what a
        // sensor needs is looked for once.
        readings.sort_by_key(|reading| reading.pos);
        let mut order = std::mem::take(&mut self.order);
        order.extend((0u32..).zip(readings.iter()).map(|(n, reading)| (reading.sensor, n)));
        // As one number each, which is less to compare.
        order.sort_unstable_by_key(|(id, n)| u64::from(id.0) << 32 | u64::from(*n));
        for batch in batches(&order) {
            self.sensors.look_ahead(batch.iter().map(|(id, _)| *id), Sensor::touch);
            for run in batch.chunk_by(|(one, _), (next, _)| one == next) {
                let id = run[0].0;
                if !touched.is_empty() {
                    touched.remove(&id);
                }
                let mine = run.iter().map(|(_, n)| &readings[*n as usize]);
                self.settle(id, tick, mine, &mut changed, &mut out.sensors);
            }
        }
        order.clear();
        self.order = order;
        for id in touched {
            self.settle(id, tick, std::iter::empty(), &mut changed, &mut out.sensors);
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
        out.episodes.extend(merged(changed.episodes).map(|delta| {
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
