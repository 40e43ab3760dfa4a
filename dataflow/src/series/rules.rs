//! Alert rules as the series operator holds them: compiled, and grouped by what they cover.
//!
//! **Meaning.** A [`Compiled`] rule is a rule with its conditions compiled and its levels ready to judge. A
//! [`Covering`] is the set of rules that covers a series; it depends on the metric and on the selectable fields of the
//! sensor only, so that sensors share it.
//!
//! **Mechanism.** Rules that look at the reading itself (`plain`) have limits; the interval of values that raises none of
//! them is `quiet`. While no rule of a series is in an episode or about to be, a reading inside it needs one comparison,
//! whatever the number of rules.
//!
//! **State.** The rules, and one covering for each distinct combination of metric, kind, district and tags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use formula::alert::{AlertScope, Named, named};
use formula::{Formula, Type};
use model::reference::{Limit, RuleRef, Selector, SensorRef, Signal};
use model::{Names, Sym};

use super::episodes::Judge;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Whether `selector` takes a sensor, leaving the metric aside.
pub fn selects(selector: &Selector, sensor: Option<&SensorRef>) -> bool {
    let of = |field: fn(&SensorRef) -> Sym| sensor.map_or(Sym::EMPTY, field);
    let matches = |wanted: Sym, is: Sym| wanted == Sym::EMPTY || wanted == is;
    matches(selector.sensor_kind, of(|sensor| sensor.kind))
        && matches(selector.district, of(|sensor| sensor.district))
        && selector.tags.iter().all(|tag| sensor.is_some_and(|sensor| sensor.tags.contains(tag)))
}

/// A name in a condition, with the symbols that it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// What needs no symbol.
    Own(Named),
    /// Whether the sensor has a tag.
    Tag(Sym),
    /// The latest reading of another metric of the site.
    Site(Sym),
}

/// A condition, compiled.
#[derive(Debug)]
pub struct Condition {
    /// The formula.
    pub formula: Formula,
    /// What its references mean.
    pub sources: Vec<Source>,
}

/// The conditions of a rule, compiled.
#[derive(Debug)]
pub struct Conditions {
    /// One for each level.
    pub levels: Vec<Condition>,
    /// Must be true to end an episode.
    pub clear_when: Option<Condition>,
}

/// A rule, ready to judge.
#[derive(Debug)]
pub struct Compiled {
    /// Its id.
    pub id: Sym,
    /// The record.
    pub rule: RuleRef,
    /// Its levels, the mildest first.
    pub levels: Vec<Judge>,
    /// Its conditions, if it has some.
    pub conditions: Option<Conditions>,
    /// How far back of a moment it looks, ms.
    pub lookback_ms: i64,
    /// Other metrics of the site that it names.
    pub site_metrics: Vec<Sym>,
    /// Whether it is evaluated between readings, and at multiples of what, ms.
    pub every_ms: Option<i64>,
}

impl Compiled {
    /// Compiles `rule`. `None` when a condition does not compile, which the edge has ruled out.
    pub fn new(id: Sym, rule: RuleRef, names: &Names) -> Option<Self> {
        let levels = rule.levels.iter().map(|level| Judge::new(&rule, level)).collect();
        let (mut conditions, mut every_ms) = (None, None);
        let mut lookback_ms = match &rule.signal {
            Signal::Change { over_ms } => *over_ms,
            Signal::Deviation(usual) => i64::from(usual.days) * DAY_MS + HOUR_MS,
            Signal::NightMinimum { .. } => 33 * DAY_MS,
            Signal::DailyMean { .. } => 2 * DAY_MS,
            Signal::Value
            | Signal::Offline { .. }
            | Signal::Occasion(_)
            | Signal::Unchanged { .. }
            | Signal::Formula(_) => 0,
        };
        let mut site_metrics = Vec::new();
        if let Signal::Formula(formula) = &rule.signal {
            let compile = |text: &Arc<str>| condition(id, text, names);
            let compiled = Conditions {
                levels: formula.levels.iter().map(compile).collect::<Option<_>>()?,
                clear_when: match &formula.clear_when {
                    Some(text) => Some(compile(text)?),
                    None => None,
                },
            };
            for source in compiled.levels.iter().chain(&compiled.clear_when).flat_map(|one| &one.sources) {
                match source {
                    Source::Own(Named::Window(_, ms)) => {
                        lookback_ms = lookback_ms.max(*ms);
                        every_ms = Some(formula.every_ms);
                    }
                    Source::Own(Named::Age | Named::Hour | Named::Weekday) => {
                        every_ms = Some(formula.every_ms)
                    }
                    Source::Site(metric) => site_metrics.push(*metric),
                    Source::Own(_) | Source::Tag(_) => {}
                }
            }
            conditions = Some(compiled);
        }
        site_metrics.sort_unstable();
        site_metrics.dedup();
        Some(Self { id, levels, conditions, lookback_ms, site_metrics, every_ms, rule })
    }

    /// Whether it looks at something other than the reading itself.
    pub fn derives(&self) -> bool {
        !matches!(self.rule.signal, Signal::Value) || self.rule.schedule.is_some()
    }

    /// Whether its alerts are not simply the episodes of its one level.
    pub fn composes(&self) -> bool {
        self.levels.len() > 1 || self.rule.flap.is_some() || self.conditions.is_some()
    }

    /// Whether it is judged once a day rather than at readings.
    pub fn is_daily(&self) -> bool {
        matches!(self.rule.signal, Signal::DailyMean { .. } | Signal::NightMinimum { .. })
    }

    /// Whether it covers the series of `metric`.
    pub fn covers(&self, metric: Sym, sensor: Option<&SensorRef>) -> bool {
        let selector = &self.rule.selector;
        self.rule.enabled
            && !matches!(self.rule.signal, Signal::Offline { .. } | Signal::Occasion(_))
            && (selector.metric == Sym::EMPTY || selector.metric == metric)
            && selects(selector, sensor)
    }
}

fn condition(id: Sym, text: &str, names: &Names) -> Option<Condition> {
    let compiled = Formula::compile(text, Type::Bool, &AlertScope);
    let formula = match compiled {
        Ok(formula) => formula,
        Err(e) => {
            tracing::error!(rule = names.resolve(id), error = %e, "a condition that the edge let in does not compile");
            return None;
        }
    };
    let mut sources = Vec::new();
    for reference in formula.references() {
        let (name, _) = named(reference)?.ok()?;
        sources.push(match name {
            Named::Tag(tag) => Source::Tag(names.intern(&tag)),
            Named::Site(metric) => Source::Site(names.intern(&metric)),
            own => Source::Own(own),
        });
    }
    Some(Condition { formula, sources })
}

/// The rules that cover a series.
#[derive(Debug)]
pub struct Covering {
    /// Rules that look at the reading itself.
    pub plain: Vec<Arc<Compiled>>,
    /// The others.
    pub derived: Vec<Arc<Compiled>>,
    /// Values strictly between these raise no plain rule.
    quiet: (f64, f64),
    /// The farthest that any of them looks back, ms.
    pub lookback_ms: i64,
}

impl Covering {
    fn of<'a>(rules: impl Iterator<Item = &'a Arc<Compiled>>) -> Self {
        let (mut plain, mut derived) = (Vec::new(), Vec::new());
        let (mut quiet, mut lookback_ms) = ((f64::NEG_INFINITY, f64::INFINITY), 0);
        for rule in rules {
            lookback_ms = lookback_ms.max(rule.lookback_ms);
            if rule.derives() {
                derived.push(Arc::clone(rule));
                continue;
            }
            // The mildest level is passed first.
            match rule.levels.first().map(|level| level.limit) {
                Some(Limit::Above { raise, .. }) => quiet.1 = quiet.1.min(raise),
                Some(Limit::Below { raise, .. }) => quiet.0 = quiet.0.max(raise),
                None => {}
            }
            plain.push(Arc::clone(rule));
        }
        Self { plain, derived, quiet, lookback_ms }
    }

    /// Whether `value` raises no plain rule.
    pub fn is_quiet(&self, value: f64) -> bool {
        value > self.quiet.0 && value < self.quiet.1
    }

    /// Whether there is no rule but plain ones.
    pub fn is_plain(&self) -> bool {
        self.derived.is_empty()
    }

    /// All rules.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Compiled>> {
        self.plain.iter().chain(&self.derived)
    }
}

/// What a covering depends on: metric, kind, district, tags.
type Group = (Sym, Sym, Sym, Vec<Sym>);

/// All rules in force.
#[derive(Debug, Default)]
pub struct Rules {
    by_id: BTreeMap<Sym, Arc<Compiled>>,
    /// Those of them that are about silence, which cover sensors and not series.
    offline: BTreeMap<Sym, Arc<Compiled>>,
    coverings: HashMap<Group, Arc<Covering>>,
}

impl Rules {
    /// Rule `id` is now `rule`, or none.
    pub fn set(&mut self, id: Sym, rule: Option<RuleRef>, names: &Names) {
        self.offline.remove(&id);
        match rule.and_then(|rule| Compiled::new(id, rule, names)).map(Arc::new) {
            Some(rule) => {
                if matches!(rule.rule.signal, Signal::Offline { .. }) {
                    self.offline.insert(id, Arc::clone(&rule));
                }
                self.by_id.insert(id, rule)
            }
            None => self.by_id.remove(&id),
        };
        self.coverings.clear();
    }

    /// Rule `id`.
    pub fn get(&self, id: Sym) -> Option<&Arc<Compiled>> {
        self.by_id.get(&id)
    }

    /// The rules about silence, by id.
    pub fn offline(&self) -> impl Iterator<Item = (Sym, &Arc<Compiled>)> {
        self.offline.iter().map(|(id, rule)| (*id, rule))
    }

    /// All rules, by id.
    pub fn iter(&self) -> impl Iterator<Item = (Sym, &Arc<Compiled>)> {
        self.by_id.iter().map(|(id, rule)| (*id, rule))
    }

    /// The metrics that rules look at by site: those that they cover, and those that they name.
    pub fn wanted(&self) -> BTreeSet<Sym> {
        let of_sites = self.by_id.values().filter(|rule| !rule.site_metrics.is_empty());
        of_sites
            .flat_map(|rule| rule.site_metrics.iter().copied().chain([rule.rule.selector.metric]))
            .collect()
    }

    /// The rules that cover the series of `metric` of a sensor, except those that look at its site.
    pub fn covering(&mut self, metric: Sym, sensor: Option<&SensorRef>) -> Arc<Covering> {
        let group = match sensor {
            Some(sensor) => (metric, sensor.kind, sensor.district, sensor.tags.clone()),
            None => (metric, Sym::EMPTY, Sym::EMPTY, Vec::new()),
        };
        let rules = &self.by_id;
        let make = || {
            let covers = |rule: &&Arc<Compiled>| rule.site_metrics.is_empty() && rule.covers(metric, sensor);
            Arc::new(Covering::of(rules.values().filter(covers)))
        };
        Arc::clone(self.coverings.entry(group).or_insert_with(make))
    }
}
