//! What each scheme says of each unit and period.
//!
//! **Meaning.** The inputs of an indicator are the counts of `case_rates` of the unit and period, `grids` (unit grids of
//! a district, by reference records), measures, and what other streams bring ([`super::brought`]), in whose place a measure
//! of the same name counts. A unit is scored in a period once a count, a measure or a day of a stream is there. A score is provisional while the period is not over in the city's time, and while an input is missing.
//!
//! **Mechanism.** Counts come to the worker of their scope and stay there; records go to all workers. A changed count or
//! measure judges its unit and period again by the schemes that score them (what streams bring: by those that take it), a
//! changed scheme or indicator all units and periods of the schemes that it touches. The end of a period is an
//! appointment; so is midnight, when the days of the rolling windows change, while streams bring something. What streams bring changes with every tick, so it waits for the
//! next whole minute (a setting), and counts from then on.
//!
//! **State.** The counts, measures and sums of each unit and period, and what was said of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::period::{day_of, midnight};
use model::reference::score::MeasureRef;
use model::{Kind, Names, Period, PeriodKind, Sym, Tick, Typed};
use scoring::{Exact, Indicator, evaluate, grade};
use serde_json::Value as Json;

use super::brought::{Brought, DAILY, OF_COVERAGE, Part, STANDING, Sums};
use super::rows::{IndicatorRow, Judged, scored};
use super::schemes::{Schemes, Version};
use crate::Settings;
use crate::casework::counts;
use crate::operators::delta::Delta;
use crate::operators::park::Parking;
use crate::operators::ticked::Ticked;
use crate::views::case_rates::{Counts, RateRow, Scope};
use crate::views::reference::CurrentRow;

/// Input: counts of this worker's scopes, and records.
#[derive(Clone, Debug)]
pub enum In {
    /// Counts.
    Rates(Delta<RateRow>),
    /// An indicator, a scheme, a measure or a grid.
    Record(Delta<CurrentRow>),
    /// What another stream says of one of this worker's scopes.
    Brought(Brought),
}

/// Output.
#[derive(Clone, Debug)]
pub enum Out {
    /// A row of `indicators`.
    Indicator(Box<Delta<IndicatorRow>>),
    /// A score to be ranked.
    Score(Box<Delta<Judged>>),
}

/// What is known of a unit in a period.
#[derive(Default)]
struct Known {
    counts: Option<Arc<Counts>>,
    /// By name and id of the record: of one name the greater id counts.
    measures: BTreeMap<(Arc<str>, Arc<str>), i64>,
    /// What other streams brought, by [`DAILY`].
    sums: Sums,
}

impl Known {
    fn is_empty(&self) -> bool {
        self.counts.is_none() && self.measures.is_empty() && self.sums == Sums::default()
    }

    /// A sum of what streams brought to `scope`: coverage is known once there is some, alerts always.
    fn daily(&self, scope: Scope, place: usize) -> Option<i64> {
        let watched = matches!(scope, Scope::District(_) | Scope::City);
        let known = if place < OF_COVERAGE { self.sums[0] != 0 } else { watched };
        known.then(|| self.sums[place])
    }

    fn measure(&self, name: &str) -> Option<i64> {
        let from = (Arc::from(name), Arc::from(""));
        self.measures.range(from..).take_while(|((is, _), _)| &**is == name).last().map(|(_, value)| *value)
    }
}

/// What was said by a scheme of a unit in a period.
#[derive(Default)]
struct Said {
    indicators: Vec<IndicatorRow>,
    score: Option<Judged>,
}

/// The operator.
pub struct Judge {
    settings: Arc<Settings>,
    names: Arc<Names>,
    offset_ms: i64,
    /// Whether scopes are this worker's.
    mine: Box<dyn Fn(Scope) -> bool>,
    schemes: Schemes,
    known: HashMap<Scope, HashMap<Period, Known>>,
    /// Unit grids by district.
    grids: HashMap<Sym, i64>,
    /// By [`STANDING`].
    standing: HashMap<Scope, [i64; STANDING.len()]>,
    /// What streams bring until it counts.
    waiting: Parking<Brought>,
    /// The last day of the rolling windows, once a stream brought something.
    today: Option<i32>,
    said: HashMap<(Sym, Scope, Period), Said>,
    ends: Parking<Period>,
    ending: HashSet<Period>,
}

impl Judge {
    /// Nothing known yet; `mine` says which scopes are this worker's.
    pub fn new(settings: &Arc<Settings>, names: &Arc<Names>, mine: impl Fn(Scope) -> bool + 'static) -> Self {
        Self {
            settings: Arc::clone(settings),
            names: Arc::clone(names),
            offset_ms: i64::from(settings.utc_offset_min) * 60_000,
            mine: Box::new(mine),
            schemes: Schemes::new(names),
            known: HashMap::default(),
            grids: HashMap::default(),
            standing: HashMap::default(),
            waiting: Parking::default(),
            today: None,
            said: HashMap::default(),
            ends: Parking::default(),
            ending: HashSet::default(),
        }
    }

    fn record(&mut self, delta: &Delta<CurrentRow>, touched: &mut Touched) {
        let Some((kind, id)) = delta.key() else { return };
        match kind {
            Kind::Indicator | Kind::ScoreScheme => touched.schemes.extend(self.schemes.change(delta)),
            Kind::Measure => {
                for (row, comes) in [(&delta.old, false), (&delta.new, true)] {
                    if let Some(Typed::Measure(measure)) = row.as_ref().map(|row| &row.body.typed) {
                        self.measure(id, measure, comes, touched);
                    }
                }
            }
            Kind::Grid => {
                for (row, n) in [(&delta.old, -1), (&delta.new, 1)] {
                    let Some(row) = row else { continue };
                    let json: Option<Json> = serde_json::from_str(&row.body.json).ok();
                    let district = json.as_ref().and_then(|json| json.get("district")?.as_str());
                    let district = district.map_or(Sym::EMPTY, |name| self.names.intern(name));
                    *self.grids.entry(district).or_default() += n;
                    touched.units.insert(Scope::District(district));
                    touched.units.insert(Scope::City);
                }
            }
            _ => {}
        }
    }

    fn measure(&mut self, id: Sym, measure: &MeasureRef, comes: bool, touched: &mut Touched) {
        let Some(scope) = self.schemes.scope(measure.scope, measure.unit).filter(|scope| (self.mine)(*scope))
        else {
            return;
        };
        let key = (Arc::clone(&measure.name), Arc::from(self.names.resolve(id)));
        let known = self.known.entry(scope).or_default().entry(measure.period).or_default();
        if comes {
            known.measures.insert(key, measure.value);
        } else {
            known.measures.remove(&key);
        }
        touched.cells.insert((scope, measure.period));
    }

    /// The number of unit grids of a unit; the city has those of all districts.
    fn grids(&self, scope: Scope) -> Option<i64> {
        match scope {
            Scope::District(district) => Some(self.grids.get(&district).copied().unwrap_or(0)),
            Scope::City => Some(self.grids.values().sum()),
            _ => None,
        }
    }

    /// What a stream says under `name`.
    fn brought(&self, scope: Scope, known: &Known, name: &str) -> Option<i64> {
        if let Some(place) = DAILY.iter().position(|input| *input == name) {
            return known.daily(scope, place);
        }
        let place = STANDING.iter().position(|input| *input == name)?;
        self.standing.get(&scope).map(|standing| standing[place])
    }

    /// Takes what a stream brings.
    fn take(&mut self, Brought { unit, part }: Brought, today: i32, touched: &mut Touched) {
        let (day, sums) = match part {
            Part::Daily(day, sums) => (day, sums),
            Part::Standing(now) => {
                match now {
                    Some(now) => self.standing.insert(unit, now),
                    None => self.standing.remove(&unit),
                };
                touched.units.insert(unit);
                return;
            }
        };
        self.today.get_or_insert(today);
        let days = self.settings.rolling_days;
        let window = Period { kind: PeriodKind::Rolling, start: days };
        let periods = self.known.entry(unit).or_default();
        let fixed = PeriodKind::FIXED.iter().map(|kind| Period::of(*kind, day));
        let rolling = Some(window).filter(|_| (today - days + 1..=today).contains(&day));
        for period in fixed.chain(rolling) {
            let known = periods.entry(period).or_default();
            let was_empty = known.is_empty();
            let knew_coverage = known.sums[0] != 0;
            known.sums.iter_mut().zip(sums).for_each(|(sum, n)| *sum += n);
            // Whether there is anything to score, and whether coverage is known at all, matters to all schemes.
            if was_empty || known.is_empty() || knew_coverage != (known.sums[0] != 0) {
                touched.cells.insert((unit, period));
            } else {
                let all = touched.sums.entry((unit, period)).or_default();
                all.iter_mut().zip(sums).for_each(|(all, n)| *all |= n);
            }
        }
    }

    /// Sums the rolling windows of what streams brought anew.
    fn roll(&mut self, today: i32, touched: &mut Touched) {
        let window = Period { kind: PeriodKind::Rolling, start: self.settings.rolling_days };
        for (scope, periods) in &mut self.known {
            let mut sums = Sums::default();
            for day in today - window.start + 1..=today {
                if let Some(known) = periods.get(&Period::of(PeriodKind::Day, day)) {
                    sums.iter_mut().zip(known.sums).for_each(|(sum, n)| *sum += n);
                }
            }
            if periods.get(&window).map_or(Sums::default(), |known| known.sums) != sums {
                periods.entry(window).or_default().sums = sums;
                touched.cells.insert((*scope, window));
            }
        }
    }

    /// What `version` says of a unit in a period now.
    fn judge(&self, scheme: Sym, version: &Version, scope: Scope, period: Period, over: bool) -> Said {
        let Some(known) = self.known.get(&scope).and_then(|periods| periods.get(&period)) else {
            return Said::default();
        };
        let input = |name: &str| match counts::place(name) {
            Some(place) => Some(known.counts.as_ref().map_or(0, |counts| counts[place])),
            None if name == "grids" => self.grids(scope),
            None => known.measure(name).or_else(|| self.brought(scope, known, name)),
        };
        let mut outcome =
            |id: Sym| self.schemes.indicator(id).map(|indicator| (indicator, indicator.evaluate(&input)));
        let evaluated = evaluate(&version.scheme, self.schemes.unit(scope), &mut outcome);
        let complete = evaluated.completeness == Exact::from_integer(1.into());
        let provisional = !over || !complete;
        let row = |leaf: scoring::Leaf| {
            let provisional = !over || leaf.outcome == scoring::Outcome::Missing;
            let record = self.schemes.indicator(leaf.indicator).map(Indicator::record);
            let inputs = record.into_iter().flat_map(|record| &record.inputs);
            let inputs: serde_json::Map<String, Json> =
                inputs.map(|name| (name.to_string(), input(name).into())).collect();
            let inputs = Json::Object(inputs).to_string().into();
            IndicatorRow { scheme, unit: scope, period, leaf, inputs, provisional }
        };
        let wait = version.scheme.publish_after_ms;
        let publish = period
            .end()
            .zip(wait)
            .map(|(end, wait)| self.settings.tick.ceil(midnight(end, self.offset_ms).saturating_add(wait)));
        let total = evaluated.total;
        let grade = total.as_ref().and_then(|total| grade(&version.scheme.grades, total));
        let score = Judged {
            scheme,
            period,
            unit: scope,
            record: version.record,
            grade: grade.map(|grade| (Arc::clone(&grade.name), Arc::clone(&grade.colour))),
            total,
            completeness: evaluated.completeness,
            provisional,
            span: period
                .end()
                .map(|end| (midnight(period.start, self.offset_ms), midnight(end, self.offset_ms))),
            publish,
        };
        Said { indicators: evaluated.leaves.into_iter().map(row).collect(), score: Some(score) }
    }

    fn over(&self, period: Period, tick: Tick) -> bool {
        period
            .end()
            .is_some_and(|end| i64::try_from(tick).unwrap_or(i64::MAX) >= midnight(end, self.offset_ms))
    }

    fn settle(&mut self, scheme: Sym, scope: Scope, period: Period, tick: Tick, out: &mut Vec<Out>) {
        let unit = self.schemes.unit(scope);
        let version = scored(scope).and_then(|kind| self.schemes.version(scheme, kind, unit, period));
        let new = match version {
            Some(version) => self.judge(scheme, version, scope, period, self.over(period, tick)),
            None => Said::default(),
        };
        if new.score.is_some()
            && !self.over(period, tick)
            && let Some(end) = period.end()
            && self.ending.insert(period)
        {
            self.ends.park(self.settings.tick.ceil(midnight(end, self.offset_ms)), period);
        }
        let key = (scheme, scope, period);
        let old = self.said.remove(&key).unwrap_or_default();
        // An indicator may stand in a scheme more than once: the last place counts.
        let by_id = |said: &Said| -> BTreeMap<Sym, IndicatorRow> {
            said.indicators.iter().map(|row| (row.leaf.indicator, row.clone())).collect()
        };
        let (mut before, after) = (by_id(&old), by_id(&new));
        for (id, row) in after {
            out.extend(
                Delta::between(before.remove(&id), Some(row)).map(|delta| Out::Indicator(Box::new(delta))),
            );
        }
        let gone = before.into_values().map(|row| Delta { old: Some(row), new: None });
        out.extend(gone.map(|delta| Out::Indicator(Box::new(delta))));
        let changed = Delta::between(old.score, new.score.clone());
        out.extend(changed.map(|delta| Out::Score(Box::new(delta))));
        if new.score.is_some() {
            self.said.insert(key, new);
        }
    }
}

/// What has to be judged again.
#[derive(Default)]
struct Touched {
    /// Units and periods, by all schemes.
    cells: HashSet<(Scope, Period)>,
    /// Units and periods, by the schemes that mind what is not 0 here.
    sums: HashMap<(Scope, Period), Sums>,
    /// Units in all their periods.
    units: HashSet<Scope>,
    /// Schemes, for all units and periods.
    schemes: HashSet<Sym>,
}

impl Ticked for Judge {
    type In = In;
    type Out = Out;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Out>) {
        let mut touched = Touched::default();
        let today = day_of(i64::try_from(tick).unwrap_or(i64::MAX), self.offset_ms);
        if self.today.is_some_and(|day| day != today) {
            self.today = Some(today);
            self.roll(today, &mut touched);
        }
        for row in input.drain(..) {
            match row {
                In::Brought(brought) => {
                    let every = self.settings.score_inputs_every_ms.max(1);
                    let due = i64::try_from(tick.div_ceil(every).saturating_mul(every)).unwrap_or(i64::MAX);
                    self.waiting.park(self.settings.tick.ceil(due), brought);
                }
                In::Record(delta) => self.record(&delta, &mut touched),
                In::Rates(delta) => {
                    let Some((scope, period)) = delta.key() else { continue };
                    if scored(scope).is_none() {
                        continue;
                    }
                    let known = self.known.entry(scope).or_default().entry(period).or_default();
                    known.counts = delta.new.map(|row| row.counts);
                    touched.cells.insert((scope, period));
                }
            }
        }
        for brought in self.waiting.take(tick) {
            self.take(brought, today, &mut touched);
        }
        let ended: HashSet<Period> = self.ends.take(tick).into_iter().collect();
        self.ending.retain(|period| !ended.contains(period));
        let mut work: HashSet<(Sym, Scope, Period)> = HashSet::default();
        let some = !touched.schemes.is_empty() || !ended.is_empty() || !touched.units.is_empty();
        if some {
            for (scope, periods) in &self.known {
                for period in periods.keys() {
                    if touched.units.contains(scope) || ended.contains(period) {
                        touched.cells.insert((*scope, *period));
                    }
                    work.extend(touched.schemes.iter().map(|scheme| (*scheme, *scope, *period)));
                }
            }
        }
        for (scope, period) in &touched.cells {
            if let Some(periods) = self.known.get_mut(scope)
                && periods.get(period).is_some_and(Known::is_empty)
            {
                periods.remove(period);
            }
            work.extend(self.schemes.all().map(|scheme| (scheme, *scope, *period)));
        }
        for ((scope, period), sums) in &touched.sums {
            let minding = self.schemes.all().filter(|scheme| self.schemes.minds(*scheme, sums));
            work.extend(minding.map(|scheme| (scheme, *scope, *period)));
        }
        for (scheme, scope, period) in work {
            self.settle(scheme, scope, period, tick, out);
        }
    }

    fn due(&self) -> Option<Tick> {
        let next = self.today.map(|today| self.settings.tick.ceil(midnight(today + 1, self.offset_ms)));
        self.ends.due().into_iter().chain(self.waiting.due()).chain(next).min()
    }
}
