//! Signals: what a rule looks at when that is not the reading itself.
//!
//! **Meaning.** A signal is a number at *moments* of event time and holds until the next one. Moments are the counted
//! readings of the series, those of the other metrics that the rule names, and the moments of its schedule, its grid or
//! its day ([`super::moments`]), none before the first reading of the series, those of the clock none after T. At each
//! moment the signal is a function of the readings up to it; where that has no value, nothing happens. Outside its
//! schedule a signal is as clear as can be.
//!
//! **Mechanism.** [`Source`] evaluates one moment by looking things up in the timelines. [`reach`] says which moments a
//! changed reading can have an effect on, and only those are evaluated again.
//!
//! **State.** None, beyond the medians that [`Usuals`] remembers.

use std::collections::{BTreeMap, BTreeSet};

use formula::Value;
use formula::alert::{Named, Statistic};
use model::reference::rule::{Against, Side, Usual};
use model::reference::{Limit, SensorRef, Signal};
use model::{Names, Sym};

use super::moments::{self, CityTime, weekday};
use super::rules::{Compiled, Condition, Conditions, Source as Term};
use super::{Point, Span};
use crate::operators::timeline::{Timed, Timeline};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const DAY_HOURS: i64 = 24;

/// Median and MAD of an hour's days before, by hour of city time; `None` where too few days have readings.
pub type Usuals = BTreeMap<i64, Option<(f64, f64)>>;

/// What a signal is computed from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The rule.
    pub rule: &'a Compiled,
    /// The series.
    pub points: &'a Timeline<Point>,
    /// Other metrics of the site, each as its sensors' series.
    pub site: &'a BTreeMap<Sym, Vec<&'a Timeline<Point>>>,
    /// The sensor's id.
    pub sensor: Sym,
    /// The sensor's record.
    pub reference: Option<&'a SensorRef>,
    /// City time.
    pub city: CityTime,
    /// The names behind the symbols.
    pub names: &'a Names,
}

/// The latest counted point at or before `ts`.
fn latest(points: &Timeline<Point>, ts: i64) -> Option<&Point> {
    points.before(points.first_from(ts + 1)).find(|point| point.counted().is_some())
}

/// The counted points in `[from, until)`.
fn within(points: &Timeline<Point>, from: i64, until: i64) -> impl Iterator<Item = (i64, f64)> {
    points
        .from(points.first_from(from))
        .take_while(move |point| point.ts() < until)
        .filter_map(|point| Some((point.ts(), point.counted()?)))
}

/// The median of `values`, which it sorts: the mean of the two in the middle, if they are two.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[n / 2]),
        _ => Some((values[n / 2 - 1] + values[n / 2]) / 2.0),
    }
}

fn median_and_mad(mut values: Vec<f64>) -> Option<(f64, f64)> {
    let center = median(&mut values)?;
    for value in &mut values {
        *value = (*value - center).abs();
    }
    Some((center, median(&mut values)?))
}

/// How many MADs `value` is from the median.
fn deviation(usual: &Usual, value: f64, (center, mad): (f64, f64)) -> Option<f64> {
    let mad = mad.max(usual.floor).max(usual.floor_share * center.abs());
    let apart = match usual.side {
        Side::Both => (value - center).abs(),
        Side::Up => value - center,
        Side::Down => center - value,
    };
    (mad > 0.0).then(|| apart / mad)
}

impl Source<'_> {
    /// The moments in `[from, until]` that depend on readings, whether they are moments now or may have been, and those
    /// of the clock up to `clock`; in order.
    pub fn moments(&self, from: i64, until: i64, clock: i64) -> BTreeSet<i64> {
        let mut all = BTreeSet::new();
        let Some(first) = self.points.iter().next().map(Timed::ts) else { return all };
        let from = from.max(first);
        let times = |points: &Timeline<Point>, all: &mut BTreeSet<i64>| {
            let run = points.from(points.first_from(from)).map(Timed::ts);
            all.extend(run.take_while(|ts| *ts <= until));
        };
        if !self.rule.is_daily() {
            times(self.points, &mut all);
            self.site.values().flatten().for_each(|points| times(points, &mut all));
        }
        all.extend(moments::between(self.rule, self.city, from - 1, until.min(clock)));
        all
    }

    /// Whether `ts`, at which there is a reading, is a moment.
    fn is_moment(&self, ts: i64, clock: i64) -> bool {
        let counted = |points: &Timeline<Point>| {
            points
                .get(points.first_from(ts))
                .is_some_and(|point| point.ts() == ts && point.counted().is_some())
        };
        (!self.rule.is_daily()
            && (counted(self.points) || self.site.values().flatten().any(|points| counted(points))))
            || (ts <= clock && moments::next(self.rule, self.city, ts - 1) == Some(ts))
    }

    /// The signal at `ts`; `before` holds the signal at earlier moments.
    pub fn at(&self, ts: i64, clock: i64, before: &Timeline<Point>, usuals: &mut Usuals) -> Option<f64> {
        if !self.is_moment(ts, clock) {
            return None;
        }
        let latest = latest(self.points, ts)?;
        let value = latest.value;
        if let Some(schedule) = &self.rule.rule.schedule
            && !moments::applies(schedule, self.city, ts)
        {
            return Some(match self.rule.levels.first()?.limit {
                Limit::Above { .. } => f64::NEG_INFINITY,
                Limit::Below { .. } => f64::INFINITY,
            });
        }
        match &self.rule.rule.signal {
            Signal::Value => Some(value),
            Signal::Offline { .. } | Signal::Occasion(_) => None,
            Signal::Change { over_ms } => self.change(ts, *over_ms),
            Signal::Unchanged { tolerance } => Some(self.unchanged(latest, *tolerance, before)),
            Signal::Deviation(usual) => {
                let hour = self.city.hour(latest.ts());
                let known = *usuals.entry(hour).or_insert_with(|| self.usual(usual, hour));
                deviation(usual, value, known?)
            }
            Signal::NightMinimum { from_min, to_min, against } => {
                let (day, _) = self.city.day_and_ms(ts);
                // The last night that has ended.
                let day = if self.city.at(day, *to_min) <= ts { day } else { day - 1 };
                let least = |day| {
                    let night = within(self.points, self.city.at(day, *from_min), self.city.at(day, *to_min));
                    night.map(|(_, value)| value).reduce(f64::min)
                };
                let minimum = least(day)?;
                match against {
                    Against::Itself => Some(minimum),
                    Against::DayMean => {
                        let (mean, _) = self.day_mean(day - 1)?;
                        (mean != 0.0).then(|| minimum / mean)
                    }
                    Against::Usual(usual) => {
                        let nights = (1..=i64::from(usual.days)).filter_map(|back| least(day - back));
                        let nights: Vec<f64> = nights.collect();
                        if nights.len() < usize::from(usual.min_days) {
                            return None;
                        }
                        deviation(usual, minimum, median_and_mad(nights)?)
                    }
                }
            }
            Signal::DailyMean { min_count } => {
                let (day, _) = self.city.day_and_ms(ts);
                let (mean, count) = self.day_mean(day - 1)?;
                (count >= *min_count).then_some(mean)
            }
            Signal::Formula(_) => self.conditions(self.rule.conditions.as_ref()?, ts),
        }
    }

    fn change(&self, ts: i64, over_ms: i64) -> Option<f64> {
        Some(latest(self.points, ts)?.value - latest(self.points, ts - over_ms)?.value)
    }

    /// Seconds from the reading that began the run to `last`.
    fn unchanged(&self, last: &Point, tolerance: f64, before: &Timeline<Point>) -> f64 {
        let Some(previous) = latest(self.points, last.ts() - 1) else { return 0.0 };
        if (last.value - previous.value).abs() > tolerance {
            return 0.0;
        }
        let at = before.first_from(previous.ts());
        let run = before.get(at).filter(|point| point.ts() == previous.ts()).and_then(Point::counted);
        // Outside its schedule the signal says nothing of the run: it begins anew.
        let run_ms = run.filter(|run| run.is_finite()).map_or(0, |run| (run * 1000.0).round() as i64);
        (last.ts() - previous.ts() + run_ms) as f64 / 1000.0
    }

    fn usual(&self, usual: &Usual, hour: i64) -> Option<(f64, f64)> {
        let (mut values, mut days) = (Vec::new(), 0);
        for back in 1..=i64::from(usual.days) {
            let start = self.city.hour_start(hour - back * DAY_HOURS);
            let n = values.len();
            values.extend(within(self.points, start, start + HOUR_MS).map(|(_, value)| value));
            days += u16::from(values.len() > n);
        }
        if days < usual.min_days {
            return None;
        }
        median_and_mad(values)
    }

    fn day_mean(&self, day: i64) -> Option<(f64, u32)> {
        let (mut sum, mut count) = (0.0, 0u32);
        for (_, value) in within(self.points, self.city.at(day, 0), self.city.at(day + 1, 0)) {
            sum += value;
            count += 1;
        }
        (count > 0).then(|| (sum / f64::from(count), count))
    }

    fn conditions(&self, conditions: &Conditions, ts: i64) -> Option<f64> {
        let mut unknown = false;
        let mut level = 0.0;
        for (n, condition) in conditions.levels.iter().enumerate().rev() {
            match self.holds(condition, ts) {
                Some(true) => {
                    level = (n + 1) as f64;
                    break;
                }
                Some(false) => {}
                None => unknown = true,
            }
        }
        if level == 0.0 && unknown {
            return None;
        }
        let holds_on =
            conditions.clear_when.as_ref().is_some_and(|clear| self.holds(clear, ts) != Some(true));
        Some(if holds_on { level + 0.5 } else { level })
    }

    fn holds(&self, condition: &Condition, ts: i64) -> Option<bool> {
        condition.formula.evaluate(&mut |at| self.term(&condition.sources[at], ts)).as_bool()
    }

    fn term(&self, term: &Term, ts: i64) -> Value<'_> {
        let name = |field: fn(&SensorRef) -> Sym| match self.reference.map(field) {
            None | Some(Sym::EMPTY) => Value::Missing,
            Some(name) => Value::Text(self.names.resolve(name)),
        };
        match term {
            Term::Tag(tag) => Value::Bool(self.reference.is_some_and(|sensor| sensor.tags.contains(tag))),
            Term::Site(metric) => {
                let of = self.site.get(metric).into_iter().flatten().filter_map(|points| latest(points, ts));
                // The latest; of several at one time the greatest.
                let newest = of.max_by(|a, b| a.ts().cmp(&b.ts()).then(a.value.total_cmp(&b.value)));
                Value::maybe(newest.map(|point| point.value))
            }
            Term::Own(Named::Value) => Value::maybe(latest(self.points, ts).map(|point| point.value)),
            Term::Own(Named::Age) => {
                Value::maybe(latest(self.points, ts).map(|point| (ts - point.ts()) as f64 / 1000.0))
            }
            Term::Own(Named::Hour) => Value::Number((self.city.day_and_ms(ts).1 / HOUR_MS) as f64),
            Term::Own(Named::Weekday) => Value::Number(f64::from(weekday(self.city.day_and_ms(ts).0))),
            Term::Own(Named::SensorId) => Value::Text(self.names.resolve(self.sensor)),
            Term::Own(Named::SensorKind) => name(|sensor| sensor.kind),
            Term::Own(Named::SensorDistrict) => name(|sensor| sensor.district),
            Term::Own(Named::SensorSite) => name(|sensor| sensor.site),
            Term::Own(Named::SensorGateway) => name(|sensor| sensor.gateway),
            Term::Own(Named::SensorStreet) => name(|sensor| sensor.street),
            Term::Own(Named::SensorHeartbeat) => {
                Value::maybe(self.reference.and_then(|sensor| sensor.heartbeat_s))
            }
            Term::Own(Named::Window(statistic, ms)) => self.window(*statistic, ts, *ms),
            // They have symbols of their own.
            Term::Own(Named::Tag(_) | Named::Site(_)) => Value::Missing,
        }
    }

    fn window(&self, statistic: Statistic, ts: i64, ms: i64) -> Value<'static> {
        if statistic == Statistic::Change {
            return Value::maybe(self.change(ts, ms));
        }
        let readings = within(self.points, ts - ms + 1, ts + 1);
        let (mut n, mut sum, mut min, mut max) = (0u32, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        let (mut sum_x, mut sum_xx, mut sum_xy) = (0.0, 0.0, 0.0);
        for (at, value) in readings {
            // Minutes before the moment, so that the numbers stay small.
            let x = (at - ts) as f64 / 60_000.0;
            (sum_x, sum_xx, sum_xy) = (sum_x + x, sum_xx + x * x, sum_xy + x * value);
            (n, sum, min, max) = (n + 1, sum + value, min.min(value), max.max(value));
        }
        let count = f64::from(n);
        match statistic {
            Statistic::Count => Value::Number(count),
            _ if n == 0 => Value::Missing,
            Statistic::Mean => Value::number(sum / count),
            Statistic::Min => Value::number(min),
            Statistic::Max => Value::number(max),
            Statistic::Slope => {
                Value::number((count * sum_xy - sum_x * sum) / (count * sum_xx - sum_x * sum_x))
            }
            Statistic::Change => Value::Missing,
        }
    }

    /// The spans of time whose moments may say something else now that readings in `span` have changed.
    pub fn reach(&self, span: Span) -> Vec<(i64, i64)> {
        let lookback = self.rule.lookback_ms;
        // What held before may hold until the next reading, and be looked back at from there.
        let next = |points: &Timeline<Point>, span: Span| {
            let mut after = points.from(points.first_from(span.until.saturating_add(1)));
            after.find(|point| point.counted().is_some()).map_or(i64::MAX, Timed::ts)
        };
        match &self.rule.rule.signal {
            Signal::Deviation(usual) => {
                let mut spans = vec![(span.from, next(self.points, span))];
                let last = self.points.last().map_or(i64::MIN, Timed::ts);
                let (first_hour, last_hour) = (self.city.hour(span.from), self.city.hour(span.until));
                for ahead in 1..=i64::from(usual.days) {
                    let start = self.city.hour_start(first_hour + ahead * DAY_HOURS);
                    if start > last {
                        break;
                    }
                    let end = self.city.hour_start(last_hour + ahead * DAY_HOURS) + HOUR_MS;
                    let after = Span { until: end - 1, ..span };
                    spans.push((start, next(self.points, after)));
                }
                spans
            }
            Signal::NightMinimum { .. } | Signal::DailyMean { .. } => {
                vec![(span.from, span.until.saturating_add(lookback + DAY_MS))]
            }
            // A run that begins later is shorter to its end.
            Signal::Unchanged { .. } => vec![(span.from, i64::MAX)],
            _ => {
                let sites = self.site.values().flatten().map(|points| next(points, span));
                let next = sites.chain([next(self.points, span)]).max().unwrap_or(i64::MAX);
                vec![(span.from, next.saturating_add(lookback))]
            }
        }
    }

    /// Forgets the medians that readings in `span` have a part in.
    pub fn forget_usuals(&self, span: Span, usuals: &mut Usuals) {
        let Signal::Deviation(usual) = &self.rule.rule.signal else { return };
        if usuals.is_empty() {
            return;
        }
        let (first, last) = (self.city.hour(span.from), self.city.hour(span.until));
        for ahead in 1..=i64::from(usual.days) {
            let shift = ahead * DAY_HOURS;
            let stale: Vec<i64> = usuals.range(first + shift..=last + shift).map(|(hour, _)| *hour).collect();
            for hour in stale {
                usuals.remove(&hour);
            }
        }
    }

    /// Whether the series has a reading at `ts` that counts.
    pub fn counts(&self, ts: i64) -> bool {
        let there = self.points.get(self.points.first_from(ts));
        there.is_some_and(|point| point.ts() == ts && point.counted().is_some())
    }

    /// Whether a changed signal changes the signal after it: then all that follows has to be looked at.
    pub fn runs_on(&self) -> bool {
        matches!(self.rule.rule.signal, Signal::Unchanged { .. })
    }
}
