//! Rules that look at several sensors of a site: water rises, and the pump stands still.
//!
//! **Meaning.** A condition that names `site("metric")` sees the latest reading of that metric by any sensor with the
//! same `site`; it is judged for each series that the rule covers, at the readings of either. It says nothing of sensors
//! without a site, and does not colour their state in `sensors`.
//!
//! **Mechanism.** Sensors of a site are at different workers; the series operator passes on the readings of the metrics
//! that such rules look at ([`SiteChange`]), and they meet here, by site. A metric that a new rule wants comes with its
//! whole history.
//!
//! **State.** The points within the horizon of the metrics wanted, and the verdicts of these rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::{RuleRef, SensorRef};
use model::{Kind, Names, Sym, Tick, Typed};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::episodes::{Context, Episode};
use super::moments::CityTime;
use super::rules::{Compiled, Rules};
use super::signal::Source;
use super::verdict::Verdict;
use super::{Cause, Point, Span, earliest, merged};
use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::operators::timeline::{Timed, Timeline};
use crate::operators::{route, spread};
use crate::views::reference::CurrentRow;

/// What happened at a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SiteChange {
    /// The record of a sensor of the site changed; without one the sensor is there no longer.
    Sensor {
        /// The site.
        site: Sym,
        /// The sensor.
        sensor: Sym,
        /// Its record.
        reference: Option<SensorRef>,
    },
    /// A reading of a metric that is wanted.
    Reading {
        /// The site.
        site: Sym,
        /// The sensor.
        sensor: Sym,
        /// The metric.
        metric: Sym,
        /// The reading.
        point: Point,
    },
}

impl SiteChange {
    fn site(&self) -> Sym {
        match self {
            Self::Sensor { site, .. } | Self::Reading { site, .. } => *site,
        }
    }
}

/// Renders the operator: what happens at sites, and the rules at every worker.
pub fn operate<'s>(
    changes: Tagged<'s, SiteChange>,
    rules: Tagged<'s, Delta<CurrentRow>>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Tagged<'s, (Delta<Episode>, Cause)> {
    let changes = spread(changes, |change| route(change.site().0));
    let changes = changes.map(|(tick, change)| (tick, In::Site(change)));
    let rules = rules.flat_map(|(tick, delta)| {
        let (kind, id) = delta.key()?;
        let rule = match delta.new.map(|row| row.body.typed.clone()) {
            Some(Typed::Rule(rule)) => Some(rule),
            _ => None,
        };
        (kind == Kind::Rule).then_some((tick, In::Rule(id, rule)))
    });
    let logic = Compounds {
        settings: Arc::clone(settings),
        names: Arc::clone(names),
        city: CityTime::new(settings.utc_offset_min),
        rules: Rules::default(),
        sites: KeyedState::default(),
    };
    ticked(changes.concat(rules), "compounds", logic)
}

/// What the operator takes.
#[derive(Clone, Debug)]
enum In {
    Site(SiteChange),
    Rule(Sym, Option<Box<RuleRef>>),
}

/// A sensor at a site.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Member {
    reference: SensorRef,
    series: BTreeMap<Sym, Timeline<Point>>,
    /// By rule; the series is that of the rule's metric.
    verdicts: BTreeMap<Sym, Verdict>,
}

/// A site: its sensors.
type Site = BTreeMap<Sym, Member>;

struct Compounds {
    settings: Arc<Settings>,
    names: Arc<Names>,
    city: CityTime,
    rules: Rules,
    sites: KeyedState<Sym, Site>,
}

/// What changed at a site in this tick.
#[derive(Default)]
struct Touched {
    /// Readings, by sensor and metric.
    spans: BTreeMap<(Sym, Sym), Span>,
    /// Its sensors changed: all rules are judged anew.
    anew: bool,
}

impl Compounds {
    fn settle(
        &mut self,
        id: Sym,
        touched: &Touched,
        edited: &HashSet<Sym>,
        tick: Tick,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let horizon = self.settings.horizon_ms.map(|horizon| now - horizon);
        let forget = self.settings.alert_retention_ms.map(|retention| now - retention);
        let Some(site) = self.sites.get_mut(id) else { return };
        let mut wake = None;
        let (mut lookback, mut verdicts) = (0, Vec::new());
        for (rule_id, rule) in self.rules.iter().filter(|(_, rule)| !rule.site_metrics.is_empty()) {
            lookback = lookback.max(rule.lookback_ms);
            let anew = touched.anew || edited.contains(&rule_id);
            let metric = rule.rule.selector.metric;
            let others = others(site, rule);
            for (sensor, member) in &*site {
                let reference = Some(&member.reference);
                let Some(points) = member.series.get(&metric).filter(|_| rule.covers(metric, reference))
                else {
                    continue;
                };
                let context = Context::new(rule_id, &rule.rule, *sensor, metric, reference);
                let (city, names) = (self.city, &*self.names);
                let source = Source { rule, points, site: &others, sensor: *sensor, reference, city, names };
                let mut verdict = member.verdicts.get(&rule_id).cloned().unwrap_or_default();
                match anew {
                    true => verdict.judge_anew(&source, &context, now, out),
                    false => {
                        let mine = touched.spans.iter().filter(|((by, of), _)| {
                            (by == sensor && *of == metric) || rule.site_metrics.contains(of)
                        });
                        let span = mine.map(|(_, span)| *span).reduce(|a, b| Span {
                            from: a.from.min(b.from),
                            until: a.until.max(b.until),
                            in_order: false,
                        });
                        verdict.update(&source, &context, span, now, out);
                    }
                }
                wake = earliest(wake, verdict.due(&source));
                verdict.prune(rule, forget, horizon);
                verdicts.push((*sensor, rule_id, verdict));
            }
        }
        let mut current: BTreeMap<Sym, BTreeMap<Sym, Verdict>> = BTreeMap::new();
        for (sensor, rule, verdict) in verdicts {
            current.entry(sensor).or_default().insert(rule, verdict);
        }
        for (sensor, member) in site.iter_mut() {
            let new = current.remove(sensor).unwrap_or_default();
            for (rule, mut verdict) in std::mem::replace(&mut member.verdicts, new) {
                if !member.verdicts.contains_key(&rule) {
                    verdict.withdraw_all(out);
                }
            }
            if let Some(horizon) = horizon {
                member.series.values_mut().for_each(|points| points.prune(horizon - lookback));
            }
        }
        if site.is_empty() {
            self.sites.remove(id);
        } else if let Some(at) = wake {
            self.sites.wake(id, self.settings.tick.ceil(at.max(now + 1)));
        }
    }
}

/// The series of the other metrics that `rule` names.
fn others<'a>(site: &'a Site, rule: &Compiled) -> BTreeMap<Sym, Vec<&'a Timeline<Point>>> {
    let series = |metric: &Sym| site.values().filter_map(|member| member.series.get(metric)).collect();
    rule.site_metrics.iter().map(|metric| (*metric, series(metric))).collect()
}

impl Ticked for Compounds {
    type In = In;
    type Out = (Delta<Episode>, Cause);

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Self::Out>) {
        let mut touched: HashMap<Sym, Touched> = HashMap::default();
        let (mut edited, mut moved) = (HashSet::default(), HashSet::default());
        let (mut readings, mut episodes) = (Vec::new(), Vec::new());
        let mut sensors = Vec::new();
        for input in input.drain(..) {
            match input {
                In::Rule(id, rule) => {
                    self.rules.set(id, rule.map(|rule| *rule), &self.names);
                    edited.insert(id);
                }
                In::Site(SiteChange::Sensor { site, sensor, reference }) => {
                    moved.insert(sensor);
                    sensors.push((site, sensor, reference));
                }
                In::Site(SiteChange::Reading { site, sensor, metric, point }) => {
                    readings.push((site, sensor, metric, point));
                }
            }
        }
        if !edited.is_empty() {
            let wanted = self.rules.wanted();
            for (id, site) in self.sites.iter_mut() {
                for member in site.values_mut() {
                    member.series.retain(|metric, _| wanted.contains(metric));
                }
                touched.entry(id).or_default();
            }
        }
        for (site, sensor, reference) in sensors {
            let members = self.sites.entry(site);
            touched.entry(site).or_default().anew = true;
            match reference {
                Some(reference) => members.entry(sensor).or_default().reference = reference,
                None => {
                    for (_, mut verdict) in
                        members.remove(&sensor).map(|gone| gone.verdicts).unwrap_or_default()
                    {
                        verdict.withdraw_all(&mut episodes);
                    }
                }
            }
        }
        for (site, sensor, metric, point) in readings {
            // Its record came before it, at this tick or earlier.
            let Some(member) = self.sites.entry(site).get_mut(&sensor) else { continue };
            member.series.entry(metric).or_default().insert(point);
            let spans = &mut touched.entry(site).or_default().spans;
            let ts = point.ts();
            let span = spans.entry((sensor, metric)).or_insert(Span { from: ts, until: ts, in_order: false });
            *span = Span { from: span.from.min(ts), until: span.until.max(ts), in_order: false };
        }
        for id in self.sites.woken(tick) {
            touched.entry(id).or_default();
        }
        for (id, touched) in touched {
            self.settle(id, &touched, &edited, tick, &mut episodes);
        }
        out.extend(merged(episodes).map(|delta| {
            let cause = match delta.key() {
                Some((rule, ..)) if edited.contains(&rule) => Cause::Rule,
                Some((_, sensor, ..)) if moved.contains(&sensor) => Cause::Sensor,
                _ => Cause::Data,
            };
            (delta, cause)
        }));
    }

    fn due(&self) -> Option<Tick> {
        self.sites.due()
    }
}

/// What a worker's series pass on to sites, from tick to tick.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Metrics that rules want.
    wanted: BTreeSet<Sym>,
    /// Sensors whose record changed in this tick: the site before, the site now, and the record.
    moved: Vec<(Sym, Sym, Option<SensorRef>)>,
    /// Whether a rule changed in this tick.
    edited: bool,
}

impl Passing {
    /// A rule changed.
    pub(super) fn rules_changed(&mut self) {
        self.edited = true;
    }

    /// The record of a sensor that was at site `from` changed.
    pub(super) fn sensor_changed(&mut self, sensor: Sym, from: Sym, reference: Option<SensorRef>) {
        self.moved.push((sensor, from, reference));
    }

    /// Whether any rule of a site looks at `metric`.
    pub(super) fn wants(&self, metric: Sym) -> bool {
        self.wanted.contains(&metric)
    }

    /// Says what this tick means for sites: `spans` is what changed in the series that are wanted. `series` finds the series
    /// of a sensor, `sensors` are all with their site.
    pub(super) fn flush<'a>(
        &mut self,
        tick: Tick,
        rules: &Rules,
        spans: &[((Sym, Sym), Span)],
        sensors: impl Iterator<Item = (Sym, Sym)>,
        series: impl Fn(Sym) -> Option<(Sym, &'a [(Sym, super::Series)])>,
        out: &mut Vec<(Tick, SiteChange)>,
    ) {
        let before = match std::mem::take(&mut self.edited) {
            true => std::mem::replace(&mut self.wanted, rules.wanted()),
            false => self.wanted.clone(),
        };
        let mut send = |sensor: Sym, wanted: &dyn Fn(Sym) -> Option<Span>| {
            let Some((site, series)) = series(sensor).filter(|(site, _)| *site != Sym::EMPTY) else { return };
            for (metric, series) in series {
                let Some(span) = wanted(*metric) else { continue };
                let from = series.points.from(series.points.first_from(span.from));
                for point in from.take_while(|point| point.ts() <= span.until) {
                    out.push((tick, SiteChange::Reading { site, sensor, metric: *metric, point: *point }));
                }
            }
        };
        let all = Span { from: i64::MIN, until: i64::MAX, in_order: false };
        let mut sent: HashSet<Sym> = HashSet::default();
        let mut changes = Vec::new();
        for (sensor, from, reference) in self.moved.drain(..) {
            let to = reference.as_ref().map_or(Sym::EMPTY, |reference| reference.site);
            if from != to && from != Sym::EMPTY {
                changes.push((tick, SiteChange::Sensor { site: from, sensor, reference: None }));
            }
            if to != Sym::EMPTY {
                changes.push((tick, SiteChange::Sensor { site: to, sensor, reference }));
                if from != to {
                    send(sensor, &|metric| self.wanted.contains(&metric).then_some(all));
                    sent.insert(sensor);
                }
            }
        }
        let new: BTreeSet<Sym> = self.wanted.difference(&before).copied().collect();
        if !new.is_empty() {
            for (sensor, _) in sensors.filter(|(_, site)| *site != Sym::EMPTY) {
                send(sensor, &|metric| new.contains(&metric).then_some(all));
            }
        }
        if !self.wanted.is_empty() {
            for ((sensor, metric), span) in spans {
                if self.wanted.contains(metric) && !sent.contains(sensor) && !new.contains(metric) {
                    send(*sensor, &|of| (of == *metric).then_some(*span));
                }
            }
        }
        out.append(&mut changes);
    }
}
