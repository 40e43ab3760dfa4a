//! Naive recomputation of all episodes from all rows: signals moment by moment, levels run by run.

use std::collections::{BTreeMap, BTreeSet};

use model::reference::rule::{Against, Side, Usual};
use model::reference::{Limit, RuleRef, SensorRef, Signal};
use model::{Kind, Quality, Row, StreamId, Sym, Tick, Typed};

use super::episodes::Episode;
use crate::occasions;
use crate::testing::{History, TICK};
use crate::views::{reference, sensors};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Readings that count, in order of time.
type Readings = Vec<(i64, f64)>;

/// Everything that one rule looks at.
struct Case<'a> {
    history: &'a History,
    rule: &'a RuleRef,
    sensor: Option<&'a SensorRef>,
    own: Readings,
    first: i64,
    now: i64,
    site: BTreeMap<String, Readings>,
}

/// All episodes of all rules, as the readings known at `at` and the rules in force at `at` have it.
pub(crate) fn episodes(history: &History, at: Tick) -> Vec<Episode> {
    let (now, mut all) = (at as i64, Vec::new());
    let records = reference::oracle::typed(history, at, Kind::Sensor);
    let readings = sensors::oracle::readings(history, at);
    let record = |sensor: Sym| match records.get(&sensor) {
        Some(Typed::Sensor(known)) => Some(known),
        _ => None,
    };
    for (id, rule) in reference::oracle::typed(history, at, Kind::Rule) {
        let Typed::Rule(rule) = rule else { panic!("a rule that is none") };
        if !rule.enabled {
            continue;
        }
        if let Signal::Occasion(occasion) = rule.signal {
            all.extend(occasions::oracle::episodes(history, at, id, &rule, occasion));
            continue;
        }
        if let Signal::Offline { heartbeats } = rule.signal {
            let heard: BTreeSet<Sym> = readings.keys().map(|(sensor, _)| *sensor).collect();
            // All readings of the histories come from partition 0.
            let clock = clock(history, at);
            for sensor in heard {
                let known = record(sensor);
                let heartbeat = known.and_then(|known| known.heartbeat_s);
                let (true, Some(heartbeat)) = (selected(&rule, Sym::EMPTY, known), heartbeat) else {
                    continue;
                };
                let seconds = heartbeat * heartbeats;
                let limit = (seconds * 1000.0) as i64;
                let mine = readings.iter().filter(|((is, _), _)| *is == sensor);
                let mut times: Vec<i64> = mine.flat_map(|(_, by_time)| by_time.keys().copied()).collect();
                times.sort_unstable();
                for (i, &start) in times.iter().enumerate() {
                    let end = times.get(i + 1).copied();
                    if end.unwrap_or(clock) - start > limit {
                        let whose = (id, sensor, Sym::EMPTY);
                        all.push(blank(whose, &rule, known, start, start + limit, end, seconds));
                    }
                }
            }
            continue;
        }
        for (&(sensor, metric), by_time) in &readings {
            let known = record(sensor);
            if !selected(&rule, metric, known) {
                continue;
            }
            let counted = |by_time: &BTreeMap<i64, (f64, Quality)>| -> Readings {
                let good = by_time.iter().filter(|(_, (_, quality))| *quality != Quality::Bad);
                good.map(|(ts, (value, _))| (*ts, *value)).collect()
            };
            let mut site: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
            if let Some(place) = known.map(|known| known.site).filter(|place| *place != Sym::EMPTY) {
                for ((other, metric), by_time) in &readings {
                    if record(*other).is_some_and(|other| other.site == place) {
                        let there = site.entry(history.name(*metric).to_owned()).or_default();
                        there.extend(counted(by_time));
                        there.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
                    }
                }
            } else if names_site(&rule) {
                continue;
            }
            let first = *by_time.keys().next().unwrap();
            let case = Case { history, rule: &rule, sensor: known, own: counted(by_time), first, now, site };
            all.extend(case.alerts((id, sensor, metric)));
        }
    }
    all
}

/// The clock by which silence is judged.
pub(crate) fn clock(history: &History, at: Tick) -> i64 {
    let mut stands: Option<i64> = None;
    for (tick, row) in history.until(at) {
        if let Row::Bound(bound) = row
            && (bound.stream, bound.partition) == (StreamId::Telemetry, 0)
        {
            let read = tick as i64 - bound.lag_ms as i64;
            let before = stands.unwrap_or(tick as i64 - TICK as i64);
            stands = (bound.lag_records > 0).then(|| before.max(read));
        }
    }
    stands.unwrap_or(at as i64).min(at as i64)
}

pub(crate) fn names_site(rule: &RuleRef) -> bool {
    matches!(&rule.signal, Signal::Formula(formula) if formula.levels.iter().any(|text| text.contains("site(")))
}

fn selected(rule: &RuleRef, metric: Sym, sensor: Option<&SensorRef>) -> bool {
    let selector = &rule.selector;
    let kind = sensor.map_or(Sym::EMPTY, |sensor| sensor.kind);
    let district = sensor.map_or(Sym::EMPTY, |sensor| sensor.district);
    let tags = sensor.map_or(&[][..], |sensor| &sensor.tags);
    (selector.metric == Sym::EMPTY || metric == Sym::EMPTY || selector.metric == metric)
        && (selector.sensor_kind == Sym::EMPTY || selector.sensor_kind == kind)
        && (selector.district == Sym::EMPTY || selector.district == district)
        && selector.tags.iter().all(|tag| tags.contains(tag))
}

fn blank(
    (id, sensor, metric): (Sym, Sym, Sym),
    rule: &RuleRef,
    known: Option<&SensorRef>,
    first_ts: i64,
    raised_ts: i64,
    cleared_ts: Option<i64>,
    value: f64,
) -> Episode {
    Episode {
        rule: id,
        sensor,
        metric,
        district: known.map_or(Sym::EMPTY, |known| known.district),
        site: known.map_or(Sym::EMPTY, |known| known.site),
        gateway: known.map_or(Sym::EMPTY, |known| known.gateway),
        street: known.map_or(Sym::EMPTY, |known| known.street),
        severity: rule.levels[0].severity,
        peak: rule.levels[0].severity,
        first_ts,
        raised_ts,
        cleared_ts,
        value,
        times: 1,
        shadow: rule.shadow_of != Sym::EMPTY,
        case_class: rule.case_class,
        occasion: None,
    }
}

/// The runs of one limit: first true, raised, cleared, value when raised.
fn runs(
    points: &Readings,
    limit: Limit,
    hold: i64,
    clear_hold: i64,
    now: i64,
) -> Vec<(i64, i64, Option<i64>, f64)> {
    let reached = |value: f64| match limit {
        Limit::Above { raise, .. } => value >= raise,
        Limit::Below { raise, .. } => value <= raise,
    };
    let over = |value: f64| match limit {
        Limit::Above { clear, .. } => value < clear,
        Limit::Below { clear, .. } => value > clear,
    };
    let (mut found, mut i) = (Vec::new(), 0);
    let horizon = |j: Option<usize>| j.map_or(now.max(points[points.len() - 1].0), |j| points[j].0);
    while i < points.len() {
        if !reached(points[i].1) {
            i += 1;
            continue;
        }
        // The run of true readings from i, and until when it is known to last.
        let end = (i..points.len()).find(|&j| !reached(points[j].1));
        let (first, raised) = (points[i].0, points[i].0 + hold);
        if horizon(end) < raised {
            i = end.unwrap_or(points.len());
            continue;
        }
        let value = points[i..].iter().take_while(|(ts, _)| *ts < raised || *ts == first).last().unwrap().1;
        // The first run of clear readings that is known to last for the clear hold time.
        let mut j = i + 1;
        let mut cleared = None;
        while j < points.len() {
            if points[j].0 < raised || !over(points[j].1) {
                j += 1;
                continue;
            }
            let ends = (j..points.len()).find(|&k| !over(points[k].1));
            if horizon(ends) - points[j].0 >= clear_hold {
                cleared = Some(points[j].0 + clear_hold);
                break;
            }
            j = ends.unwrap_or(points.len());
        }
        found.push((first, raised, cleared, value));
        let Some(cleared) = cleared else { break };
        // Without a clear hold the reading that clears is used up.
        i = points.partition_point(|(ts, _)| if clear_hold == 0 { *ts <= cleared } else { *ts < cleared });
    }
    found
}

impl Case<'_> {
    fn alerts(&self, whose: (Sym, Sym, Sym)) -> Vec<Episode> {
        let rule = self.rule;
        let plain = matches!(rule.signal, Signal::Value) && rule.schedule.is_none();
        let signal = if plain { self.own.clone() } else { self.signal() };
        if signal.is_empty() {
            return Vec::new();
        }
        let all = |limit| runs(&signal, limit, rule.hold_ms, rule.clear_hold_ms, self.now);
        let mut alerts: Vec<Episode> = Vec::new();
        let base = all(rule.levels[0].limit);
        for (n, &(first, raised, cleared, value)) in base.iter().enumerate() {
            let value = match rule.signal {
                Signal::Formula(_) => self.value(first).unwrap(),
                _ => value,
            };
            let mut alert = blank(whose, rule, self.sensor, first, raised, cleared, value);
            for level in &rule.levels[1..] {
                for (_, up, down, _) in all(level.limit) {
                    if up >= raised && cleared.is_none_or(|cleared| up < cleared) {
                        alert.peak = alert.peak.max(level.severity);
                        if down.is_none() {
                            alert.severity = alert.severity.max(level.severity);
                        }
                    }
                }
            }
            let joins = rule.flap.is_some_and(|flap| {
                let recent = |one: &&(i64, i64, Option<i64>, f64)| one.1 > raised - flap.within_ms;
                base[..n].iter().filter(recent).count() >= flap.count as usize
            });
            match alerts.last_mut() {
                Some(last) if joins => {
                    (last.cleared_ts, last.severity) = (alert.cleared_ts, alert.severity);
                    last.peak = last.peak.max(alert.peak);
                    last.times += 1;
                }
                _ => alerts.push(alert),
            }
        }
        for alert in &mut alerts {
            if alert.cleared_ts.is_some() {
                alert.severity = alert.peak;
            }
        }
        alerts
    }

    fn value(&self, ts: i64) -> Option<f64> {
        self.own.iter().rev().find(|(at, _)| *at <= ts).map(|(_, value)| *value)
    }

    fn local(&self, ts: i64) -> i64 {
        ts + i64::from(self.history.settings.utc_offset_min) * 60_000
    }

    fn signal(&self) -> Readings {
        let rule = self.rule;
        let daily = matches!(rule.signal, Signal::DailyMean { .. } | Signal::NightMinimum { .. });
        let mut moments: BTreeSet<i64> = BTreeSet::new();
        if !daily {
            moments.extend(self.own.iter().map(|(ts, _)| *ts));
            if let Signal::Formula(formula) = &rule.signal {
                for (metric, readings) in &self.site {
                    if formula.levels.iter().any(|text| text.contains(&format!("site('{metric}')"))) {
                        moments.extend(readings.iter().map(|(ts, _)| *ts).filter(|ts| *ts >= self.first));
                    }
                }
            }
        }
        if let Signal::Formula(formula) = &rule.signal {
            let all = formula.levels.iter().chain(&formula.clear_when);
            let slides = |text: &std::sync::Arc<str>| {
                text.contains("age")
                    || text.contains("s')")
                    || text.contains("hour")
                    || text.contains("weekday")
            };
            if all.clone().any(slides) {
                let every = formula.every_ms;
                let start = (self.first + every - 1).div_euclid(every) * every;
                moments.extend((start..=self.now).step_by(every as usize));
            }
        }
        // Minutes are enough for what happens by the clock of the city.
        let offset = i64::from(self.history.settings.utc_offset_min) * 60_000;
        let start = (self.first + offset).div_euclid(60_000);
        for minute in start..=(self.now + offset).div_euclid(60_000) {
            let (ts, of_day) = (minute * 60_000 - offset, minute.rem_euclid(1440));
            let edge = match &rule.signal {
                Signal::DailyMean { .. } => of_day == 0,
                Signal::NightMinimum { to_min, .. } => of_day == i64::from(*to_min),
                _ => false,
            };
            let schedule = rule.schedule.as_ref().is_some_and(|schedule| {
                let mut edges = schedule.hours.iter().flat_map(|(from, to)| [*from, *to]);
                of_day == 0 || edges.any(|edge| i64::from(edge) % 1440 == of_day)
            });
            if (edge || schedule) && ts >= self.first && ts <= self.now {
                moments.insert(ts);
            }
        }
        let mut signal: Readings = Vec::new();
        for ts in moments {
            if let Some(value) = self.at(ts) {
                signal.push((ts, value));
            }
        }
        signal
    }

    fn on(&self, ts: i64) -> bool {
        let Some(schedule) = &self.rule.schedule else { return true };
        assert!(schedule.season.is_none() && schedule.days.is_empty(), "what the histories use");
        let of_day = self.local(ts).rem_euclid(DAY) / 60_000;
        schedule.hours.iter().any(|&(from, to)| {
            let (from, to) = (i64::from(from), i64::from(to));
            if from < to { from <= of_day && of_day < to } else { of_day >= from || of_day < to }
        })
    }

    fn at(&self, ts: i64) -> Option<f64> {
        let value = self.value(ts)?;
        if !self.on(ts) {
            return Some(match self.rule.levels[0].limit {
                Limit::Above { .. } => f64::NEG_INFINITY,
                Limit::Below { .. } => f64::INFINITY,
            });
        }
        let day = self.local(ts).div_euclid(DAY);
        match &self.rule.signal {
            Signal::Value => Some(value),
            Signal::Offline { .. } | Signal::Occasion(_) => None,
            Signal::Change { over_ms } => Some(value - self.value(ts - over_ms)?),
            Signal::Unchanged { tolerance } => {
                assert!(self.rule.schedule.is_none(), "what the histories use");
                let last = self.own.partition_point(|(at, _)| *at <= ts) - 1;
                let mut start = last;
                while start > 0 && (self.own[start].1 - self.own[start - 1].1).abs() <= *tolerance {
                    start -= 1;
                }
                Some((self.own[last].0 - self.own[start].0) as f64 / 1000.0)
            }
            Signal::Deviation(usual) => {
                let last = self.own[self.own.partition_point(|(at, _)| *at <= ts) - 1].0;
                let hour = self.local(last).div_euclid(HOUR);
                let mut values = Vec::new();
                let mut days = 0;
                for back in 1..=i64::from(usual.days) {
                    let of_hour = |at: i64| self.local(at).div_euclid(HOUR) == hour - back * 24;
                    let found: Vec<f64> =
                        self.own.iter().filter(|(at, _)| of_hour(*at)).map(|(_, value)| *value).collect();
                    days += usize::from(!found.is_empty());
                    values.extend(found);
                }
                if days < usize::from(usual.min_days) { None } else { deviation(usual, value, values) }
            }
            Signal::NightMinimum { from_min, to_min, against } => {
                let night = |day: i64| {
                    let of_day = |at: i64| self.local(at) - day * DAY;
                    let (from, to) = (i64::from(*from_min) * 60_000, i64::from(*to_min) * 60_000);
                    let inside = self.own.iter().filter(|(at, _)| (from..to).contains(&of_day(*at)));
                    inside.map(|(_, value)| *value).reduce(f64::min)
                };
                let ended = self.local(ts) - day * DAY >= i64::from(*to_min) * 60_000;
                let day = if ended { day } else { day - 1 };
                let minimum = night(day)?;
                match against {
                    Against::Itself => Some(minimum),
                    Against::DayMean => {
                        Some(minimum / self.mean(day - 1)?.0).filter(|share| share.is_finite())
                    }
                    Against::Usual(usual) => {
                        let nights: Vec<f64> =
                            (1..=i64::from(usual.days)).filter_map(|back| night(day - back)).collect();
                        if nights.len() < usize::from(usual.min_days) {
                            None
                        } else {
                            deviation(usual, minimum, nights)
                        }
                    }
                }
            }
            Signal::DailyMean { min_count } => {
                let (mean, count) = self.mean(day - 1)?;
                (count >= *min_count as usize).then_some(mean)
            }
            Signal::Formula(formula) => {
                let truths: Vec<Option<bool>> =
                    formula.levels.iter().map(|text| self.says(text, ts)).collect();
                let clear = formula.clear_when.as_ref().map(|text| self.says(text, ts) == Some(true));
                let top = truths.iter().rposition(|truth| *truth == Some(true)).map_or(0, |n| n + 1);
                if top == 0 && truths.contains(&None) {
                    return None;
                }
                Some(top as f64 + if clear == Some(false) { 0.5 } else { 0.0 })
            }
        }
    }

    fn mean(&self, day: i64) -> Option<(f64, usize)> {
        let of_day = self.own.iter().filter(|(at, _)| self.local(*at).div_euclid(DAY) == day);
        let values: Vec<f64> = of_day.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| (values.iter().sum::<f64>() / values.len() as f64, values.len()))
    }

    /// The conditions that the histories use, by hand.
    fn says(&self, text: &str, ts: i64) -> Option<bool> {
        let value = self.value(ts)?;
        let window = |ms: i64| -> Vec<f64> {
            self.own.iter().filter(|(at, _)| *at > ts - ms && *at <= ts).map(|(_, value)| *value).collect()
        };
        let last = self.own.iter().rev().find(|(at, _)| *at <= ts)?.0;
        match text {
            "value >= 4" => Some(value >= 4.0),
            "mean('3s') >= 5 && count('3s') >= 2" => {
                let window = window(3000);
                let mean = window.iter().sum::<f64>() / window.len() as f64;
                Some(window.len() >= 2 && mean >= 5.0)
            }
            "max('2s') < 3" => {
                let window = window(2000);
                if window.is_empty() { None } else { Some(window.iter().all(|value| *value < 3.0)) }
            }
            "age > 2 && sensor.district == 'district1'" => {
                let age = (ts - last) as f64 / 1000.0 > 2.0;
                let district = self.sensor.map_or("", |sensor| self.history.name(sensor.district));
                match district {
                    "" if age => None,
                    _ => Some(age && district == "district1"),
                }
            }
            "change('2s') > 1 || tag('tag1')" => {
                let tag = self.history.names.intern("tag1");
                let tagged = self.sensor.is_some_and(|sensor| sensor.tags.contains(&tag));
                match self.value(ts - 2000) {
                    Some(before) => Some(value - before > 1.0 || tagged),
                    None => tagged.then_some(true),
                }
            }
            "value >= 3 && site('metric1') < 2" => {
                let there = self.site.get("metric1");
                let last = there.and_then(|there| there.iter().rev().find(|(at, _)| *at <= ts));
                match last {
                    Some((_, pump)) => Some(value >= 3.0 && *pump < 2.0),
                    None => (value < 3.0).then_some(false),
                }
            }
            _ => panic!("{text}: not a condition of the histories"),
        }
    }
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n % 2 == 1 { values[n / 2] } else { (values[n / 2 - 1] + values[n / 2]) / 2.0 }
}

fn deviation(usual: &Usual, value: f64, mut values: Vec<f64>) -> Option<f64> {
    let center = middle(&mut values);
    let mut apart: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    let mad = middle(&mut apart).max(usual.floor).max(usual.floor_share * center.abs());
    let up = value - center;
    let apart = if usual.side == Side::Up {
        up
    } else if usual.side == Side::Down {
        -up
    } else {
        up.abs()
    };
    (mad > 0.0).then(|| apart / mad)
}
