//! Cases recomputed from all rows of a history: what `cases`, `case_quality` and `case_rates` are held against.
//!
//! It shares no code with [`super::life`] and [`super::counts`] but the names of the counts; working time is walked minute
//! by minute. Nothing is kept.

use std::collections::{BTreeMap, BTreeSet};

use model::reference::{CalendarRef, CaseClassRef};
use model::rows::{Limit, LimitUnit};
use model::{CaseEventKind as E, Kind, Row, Sym, Tick, Typed};
use serde_json::{Value as Json, json};

use crate::testing::History;
use crate::views::reference;

/// The events of each case in order of time and rank, the last in log order of each.
pub(crate) fn events(history: &History, at: Tick) -> BTreeMap<Sym, BTreeMap<(i64, u8), E>> {
    let mut all: BTreeMap<Sym, BTreeMap<(i64, u8), E>> = BTreeMap::new();
    for (_, row) in history.until(at) {
        if let Row::Case(event) = row {
            all.entry(event.case)
                .or_default()
                .insert((event.ts, event.kind.name_and_rank().1), event.kind.clone());
        }
    }
    all
}

struct Days(Vec<(Sym, CalendarRef)>);

impl Days {
    /// Whether the minute of `ts` is working time, for a city eight hours ahead.
    fn works(&self, ts: i64) -> bool {
        let local = ts + 8 * 3_600_000;
        let (day, minute) = (local / 86_400_000, (local / 60_000 % 1440) as u16);
        let record =
            self.0.iter().rfind(|(_, record)| i64::from(record.day) == day).map(|(_, record)| record);
        // 1970-01-01 was a Thursday.
        let working = record.map_or(!matches!((day + 4) % 7, 0 | 6), |record| record.working);
        let hours = match record {
            Some(record) if !record.hours.is_empty() => record.hours.clone(),
            _ => vec![(480, 720), (840, 1080)],
        };
        working && hours.iter().any(|(from, to)| (*from..*to).contains(&minute))
    }

    /// Walks on from minute to minute until `length` of time that counts is over.
    fn walk(&self, from: i64, length: i64, unit: LimitUnit) -> i64 {
        if matches!(unit, LimitUnit::UrgentHour | LimitUnit::NaturalDay) {
            return from + length;
        }
        let (mut at, mut left) = (from, length);
        loop {
            // A minute works or not as a whole; so do nights and weekends, minute by minute.
            let stride = 60_000 - at.rem_euclid(60_000);
            if self.works(at) {
                if left <= stride {
                    return at + left;
                }
                left -= stride;
            }
            at += stride;
        }
    }

    fn between(&self, from: i64, to: i64, unit: LimitUnit) -> i64 {
        if matches!(unit, LimitUnit::UrgentHour | LimitUnit::NaturalDay) {
            return to - from;
        }
        let (mut at, mut sum) = (from, 0);
        while at < to {
            let next = (at + 60_000 - at.rem_euclid(60_000)).min(to);
            sum += if self.works(at) { next - at } else { 0 };
            at = next;
        }
        sum
    }
}

fn length(limit: Limit) -> i64 {
    let hours = match limit.unit {
        LimitUnit::UrgentHour | LimitUnit::WorkingHour => 1.0,
        LimitUnit::WorkingDay => 8.0,
        LimitUnit::NaturalDay => 24.0,
    };
    (limit.amount * hours * 3_600_000.0).round() as i64
}

/// What is said of one case, and where it counts.
pub(crate) struct Told {
    pub row: Json,
    pub place: Option<(i32, i32)>,
    pub caller: Sym,
    /// Time, event, reason and the stage met.
    pub problems: Vec<(i64, &'static str, &'static str, &'static str)>,
    /// Count, number and instant.
    pub counted: Vec<(&'static str, i64, i64)>,
}

pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
    told(history, at).into_iter().map(|told| told.row).collect()
}

pub(crate) fn told(history: &History, at: Tick) -> Vec<Told> {
    let calendar = reference::oracle::typed(history, at, Kind::Calendar);
    let days = Days(
        calendar
            .into_iter()
            .map(|(id, day)| match day {
                Typed::Calendar(day) => (id, day),
                _ => panic!("a calendar day that is none"),
            })
            .collect(),
    );
    let classes = classes(history, at);
    let tell =
        |(case, events): (Sym, BTreeMap<(i64, u8), E>)| tell(history, at, &days, &classes, case, &events);
    events(history, at).into_iter().map(tell).collect()
}

/// By class: the records that were in force at a tick so far, from when on each said that it holds, in order of tick.
type Classes = BTreeMap<String, Vec<(i64, Option<CaseClassRef>)>>;

fn classes(history: &History, at: Tick) -> Classes {
    let mut classes = Classes::new();
    let mut before = BTreeMap::new();
    for tick in history.ticks(at) {
        let mut now = reference::oracle::in_force(history, tick);
        now.retain(|(kind, _), _| *kind == Kind::CaseClass);
        for key in before.keys().chain(now.keys()).copied().collect::<BTreeSet<_>>() {
            if before.get(&key) == now.get(&key) {
                continue;
            }
            let record = now.get(&key).map(|(ts, body)| match &body.typed {
                Typed::CaseClass(record) => (ts.unwrap_or(tick as i64), record.clone()),
                _ => panic!("a class that is none"),
            });
            let (from, record) = record.map_or((tick as i64, None), |(from, record)| (from, Some(record)));
            classes.entry(history.name(key.1).to_owned()).or_default().push((from, record));
        }
        before = now;
    }
    classes
}

/// The limit of what is dispatched at `ts`, by the class and the source of its report.
fn limit_of(history: &History, classes: &Classes, class: Sym, source: Sym, ts: i64) -> Option<Limit> {
    for class in [history.name(class), "*"] {
        let Some(records) = classes.get(class) else { continue };
        // The last that held by then, else the one that held first.
        let first = records.iter().map(|(from, _)| *from).min().unwrap();
        let (_, record) = records.iter().rfind(|(from, _)| *from <= ts.max(first)).unwrap();
        let Some(record) = record else { continue };
        let named = |wanted: Sym| record.limits.iter().find(|(source, _)| *source == wanted);
        if let Some((_, limit)) = named(source).or(named(Sym::EMPTY)) {
            return Some(*limit);
        }
    }
    None
}

/// The stages in which an event may come.
fn allowed(event: &E) -> &'static [&'static str] {
    match event {
        E::Reported { .. } | E::Rejected | E::Filed => &["reported"],
        E::Dispatched { .. } => &["filed"],
        E::Returned | E::Extended | E::Suspended | E::Handled => &["dispatched"],
        E::Resumed => &[
            "reported",
            "rejected",
            "filed",
            "dispatched",
            "suspended",
            "handled",
            "verified",
            "closed",
            "voided",
            "merged",
        ],
        E::Verified { .. } => &["reported", "handled"],
        E::Closed => &["verified"],
        E::Reopened | E::AppealGranted | E::Rated { .. } => &["closed"],
        E::Voided | E::Merged { .. } => {
            &["reported", "filed", "dispatched", "suspended", "handled", "verified"]
        }
    }
}

fn tell(
    history: &History,
    at: Tick,
    days: &Days,
    classes: &Classes,
    case: Sym,
    events: &BTreeMap<(i64, u8), E>,
) -> Told {
    let name = |sym: Sym| history.name_or_null(sym);
    let settings = &history.settings;
    let now = at as i64;
    let first_ts = events.keys().next().unwrap().0;
    let (mut stage, mut since) = ("reported", first_ts);
    let (mut limit, mut rest): (Option<Limit>, Option<i64>) = (None, None);
    let mut ever_suspended = false;
    let mut time: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut reworks, mut late_rounds, mut returns, mut extensions, mut reopened) = (0, 0, 0, 0, 0);
    let (mut exempt, mut satisfaction) = (false, None);
    let (mut department, mut into) = (Json::Null, Json::Null);
    let mut problems = Vec::new();
    let (mut said_class, mut said_source) = (Sym::EMPTY, Sym::EMPTY);
    let reports: Vec<_> = events.iter().filter(|(_, event)| matches!(event, E::Reported { .. })).collect();
    if reports.is_empty() {
        let (_, event) = events.iter().next().unwrap();
        problems.push((first_ts, event.name_and_rank().0, "no_report", "reported"));
    }
    // The end of time closes the list: a suspension that is over by then has ended.
    let steps = events.iter().map(|((ts, _), event)| (*ts, Some(event))).chain([(now, None)]);
    for (ts, event) in steps {
        let over = since + settings.max_suspension_ms;
        if stage == "suspended" && over <= ts {
            (stage, since) = ("dispatched", over);
            if let (Some(limit), Some(left)) = (limit, rest.take()) {
                time.insert("deadline", days.walk(over, left, limit.unit));
            }
        }
        let Some(event) = event else { break };
        let word = event.name_and_rank().0;
        let again = matches!(event, E::Reported { .. }) && ts != reports[0].0.0;
        if again || !allowed(event).contains(&stage) {
            problems.push((ts, word, "order", stage));
        }
        match event {
            E::Reported { class, source, .. } => {
                (said_class, said_source) = (*class, *source);
                if stage == "reported" {
                    since = ts;
                }
            }
            E::Rejected => {
                time.entry("accepted").or_insert(ts);
                (stage, since) = ("rejected", ts);
            }
            E::Filed => {
                time.entry("accepted").or_insert(ts);
                time.entry("filed").or_insert(ts);
                (stage, since) = ("filed", ts);
            }
            E::Dispatched { department: to, limit: new } => {
                for first in ["accepted", "filed", "dispatched"] {
                    time.entry(first).or_insert(ts);
                }
                for gone in ["handled", "checked", "closed", "deadline"] {
                    time.remove(gone);
                }
                limit = new.or_else(|| limit_of(history, classes, said_class, said_source, ts));
                (stage, since, department, rest) = ("dispatched", ts, name(*to), None);
                if let Some(limit) = limit {
                    time.insert("deadline", days.walk(ts, length(limit), limit.unit));
                }
            }
            E::Returned => {
                returns += 1;
                time.remove("deadline");
                (stage, since, limit, rest) = ("filed", ts, None, None);
            }
            E::Extended => match (limit, time.get("deadline").copied()) {
                (Some(_), Some(until)) if ts > until => {
                    problems.push((ts, word, "extended_after_deadline", stage));
                }
                (Some(_), Some(_)) if extensions == settings.max_extensions => {
                    problems.push((ts, word, "extended_too_often", stage));
                }
                (Some(limit), Some(until)) => {
                    time.insert("deadline", days.walk(until, length(limit), limit.unit));
                    extensions += 1;
                }
                _ => problems.push((ts, word, "nothing_to_extend", stage)),
            },
            E::Suspended => {
                let until = time.get("deadline").copied();
                if until.is_some_and(|until| until < ts) {
                    problems.push((ts, word, "suspended_after_deadline", stage));
                } else if ever_suspended {
                    problems.push((ts, word, "suspended_again", stage));
                } else {
                    ever_suspended = true;
                    (stage, since) = ("suspended", ts);
                    if let (Some(limit), Some(until)) = (limit, until) {
                        rest = Some(days.between(ts, until, limit.unit));
                        time.remove("deadline");
                    }
                }
            }
            E::Resumed if stage != "suspended" => problems.push((ts, word, "not_suspended", stage)),
            E::Resumed => {
                (stage, since) = ("dispatched", ts);
                if let (Some(limit), Some(left)) = (limit, rest.take()) {
                    time.insert("deadline", days.walk(ts, left, limit.unit));
                }
            }
            E::Handled => {
                time.insert("handled", ts);
                (stage, since) = ("handled", ts);
            }
            E::Verified { .. } if stage == "reported" => {
                time.insert("confirmed", ts);
                time.entry("accepted").or_insert(ts);
            }
            E::Verified { passed: true } => {
                time.insert("checked", ts);
                (stage, since) = ("verified", ts);
            }
            E::Verified { passed: false } => {
                reworks += 1;
                let done = time.remove("handled").unwrap_or(ts);
                let until = time.get("deadline").copied();
                late_rounds += i64::from(until.is_some_and(|until| done > until));
                time.insert("reworked", ts);
                time.insert("checked", ts);
                if settings.rework_restarts_clock || until.is_none() {
                    time.remove("deadline");
                    if let Some(limit) = limit {
                        time.insert("deadline", days.walk(ts, length(limit), limit.unit));
                    }
                }
                (stage, since, rest) = ("dispatched", ts, None);
            }
            E::Closed => {
                time.insert("closed", ts);
                time.entry("handled").or_insert(ts);
                (stage, since) = ("closed", ts);
            }
            E::Reopened => {
                reopened += 1;
                for gone in ["closed", "handled", "checked", "deadline"] {
                    time.remove(gone);
                }
                (stage, since, limit, rest) = ("filed", ts, None, None);
            }
            E::Voided => (stage, since) = ("voided", ts),
            E::AppealGranted => {
                if exempt {
                    problems.push((ts, word, "appealed_again", stage));
                }
                exempt = true;
            }
            E::Merged { into: other } => {
                if *other == case {
                    problems.push((ts, word, "merged_into_itself", stage));
                }
                (stage, since, into) = ("merged", ts, name(*other));
            }
            E::Rated { satisfaction: n } => {
                satisfaction = Some(i64::from(*n));
                time.insert("rated", ts);
            }
        }
    }
    let report = reports.last().map(|((ts, _), event)| match event {
        E::Reported { source, class, district, grid, caller, at, .. } => {
            (*ts, [*source, *class, *district, *grid, *caller], *at)
        }
        _ => unreachable!(),
    });
    let (opened, [source, class, district, grid, caller], place) =
        report.unwrap_or((first_ts, [Sym::EMPTY; 5], None));
    let over = ["closed", "voided", "merged", "rejected"].contains(&stage);
    let get = |what: &str| time.get(what).copied();
    let (deadline, handled, filed) = (get("deadline"), get("handled"), get("filed"));
    let overdue = !exempt
        && deadline.is_some_and(|deadline| match handled {
            Some(handled) => handled > deadline,
            None => !over && now > deadline,
        });
    let steps = settings.step_limits;
    let known = opened.max(get("confirmed").unwrap_or(opened));
    let (clock, clock_due) = match stage {
        "reported" if get("accepted").is_none() => (Some("accept"), Some(since + steps.accept_ms)),
        "reported" => (Some("file"), Some(known + steps.file_ms)),
        "filed" => (Some("dispatch"), Some(since + steps.dispatch_ms)),
        "dispatched" => (Some("handle"), deadline),
        "handled" => (Some("check"), Some(since + steps.check_ms)),
        "verified" => (Some("close"), Some(since + steps.close_ms)),
        _ => (None, None),
    };

    // Where it counts.
    let mut counted: Vec<(&'static str, i64, i64)> = Vec::new();
    let mut count = |is: bool, what: &'static str, ts: i64| {
        if is {
            counted.push((what, 1, ts));
        }
    };
    let source_name = history.name(source);
    let public = source_name == "hotline_12345" || source_name == "public_app";
    let patrol = source_name == "patrol";
    let closed = get("closed").filter(|_| stage == "closed");
    count(true, "reported", opened);
    count(!over, "open", opened);
    count(patrol, "patrol_reported", opened);
    count(patrol && filed.is_some(), "patrol_filed", opened);
    count(public, "public_reported", opened);
    count(stage == "rejected", "rejected", opened);
    count(stage != "rejected", "admitted", opened);
    count(stage == "merged", "repeated", opened);
    count(reopened > 0, "reopened", opened);
    count(closed.is_some(), "finished", opened);
    for (what, days) in [("closed_in_1d", 1), ("closed_in_3d", 3), ("closed_in_7d", 7), ("closed_in_30d", 30)]
    {
        count(closed.is_some_and(|ts| ts <= opened + days * 86_400_000), what, opened);
    }
    if let Some(ts) = get("accepted") {
        count(true, "accepted", ts);
        count(ts - opened <= steps.accept_ms, "accepted_in_time", ts);
    }
    if let Some(ts) = get("confirmed") {
        count(true, "to_confirm", ts);
        count(ts - opened <= steps.confirm_ms, "confirmed_in_time", ts);
    }
    if let Some(ts) = filed {
        count(true, "filed", ts);
        count(ts - known <= steps.file_ms, "filed_in_time", ts);
        count(stage == "voided", "voided", ts);
        count(public, "public_filed", ts);
        count(!patrol, "missed", ts);
    }
    count(over, "ended", since);
    if let Some(ts) = get("rated") {
        count(true, "rated", ts);
        count(satisfaction >= Some(i64::from(settings.satisfied_from)), "satisfied", ts);
    }
    if !["voided", "merged", "rejected"].contains(&stage) {
        let dispatched = get("dispatched");
        let late = filed.filter(|ts| dispatched.is_none() && !over && now > ts + steps.dispatch_ms);
        if let Some(ts) = dispatched.or(late) {
            count(true, "to_dispatch", ts);
            count(dispatched.is_some(), "dispatched", ts);
            count(
                dispatched.is_some_and(|ts| ts - filed.unwrap() <= steps.dispatch_ms),
                "dispatched_in_time",
                ts,
            );
            count(returns > 0, "returned", ts);
        }
        count(stage == "suspended", "suspended", since);
        let done = handled.filter(|_| stage != "suspended");
        let due = if done.is_some() { done } else { deadline.filter(|_| overdue && handled.is_none()) };
        let due = due.filter(|_| dispatched.is_some() || closed.is_some());
        if let Some(ts) = due {
            count(true, "to_handle", ts);
            count(done.is_some(), "handled", ts);
            count(done.is_some() && !overdue, "handled_in_time", ts);
            count(done.is_some() && overdue, "handled_overdue", ts);
            count(done.is_none(), "overdue", ts);
            count(extensions > 0, "extended", ts);
        }
        let checked = get("checked").filter(|ts| handled.is_some_and(|handled| *ts >= handled));
        let check = match stage {
            "verified" => checked,
            "closed" => checked.or(closed),
            _ => None,
        };
        let unchecked = done.filter(|ts| stage == "handled" && now > ts + steps.check_ms);
        if let Some(ts) = check.or(unchecked) {
            count(true, "to_check", ts);
            count(check.is_some_and(|ts| ts - handled.unwrap() <= steps.check_ms), "checked_in_time", ts);
        }
        if let Some(ts) = closed.or(due) {
            let good = exempt || (!overdue && late_rounds == 0);
            count(true, "to_close", ts);
            count(closed.is_some(), "closed", ts);
            count(closed.is_some() && good, "closed_in_time", ts);
            count(closed.is_some() && !good, "closed_overdue", ts);
            let from = handled.map(|handled| handled.max(get("checked").unwrap_or(handled)));
            let prompt = closed.zip(from).is_some_and(|(ts, from)| ts - from <= steps.close_ms);
            count(prompt, "closed_promptly", ts);
            count(closed.is_some() && reopened == 0, "resolved", ts);
            count(reworks > 0, "reworked", ts);
        }
    }
    if let Some(ts) = get("reworked") {
        counted.push(("rework_rounds", reworks, ts));
    }
    if let (Some(n), Some(ts)) = (satisfaction, get("rated")) {
        counted.push(("satisfaction_sum", n, ts));
    }
    // By instant, and within one in the order of the columns of case_rates.
    let mut by_instant: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for spec in crate::casework::counts::COUNTS {
        for (_, _, ts) in counted.iter().filter(|(what, ..)| *what == spec.name) {
            by_instant.entry(ts.to_string()).or_default().push(spec.name);
        }
    }
    let row = json!({
        "case_id": history.name(case), "stage": stage, "stage_ts": since,
        "caller": name(caller), "lon": place.map(|at| f64::from(at.0) / 1e7), "lat": place.map(|at| f64::from(at.1) / 1e7),
        "confirmed_ts": get("confirmed"), "reworked_ts": get("reworked"), "rated_ts": get("rated"),
        "return_count": returns, "class": name(class), "district": name(district),
        "grid": name(grid), "department": department, "source": name(source), "deadline_ts": deadline,
        "overdue": overdue, "exempt": exempt, "opened_ts": opened, "accepted_ts": get("accepted"),
        "filed_ts": filed, "dispatched_ts": get("dispatched"), "handled_ts": handled,
        "checked_ts": get("checked"), "closed_ts": get("closed"), "clock": clock, "clock_due_ts": clock_due,
        "rework_count": reworks, "late_rounds": late_rounds, "extension_count": extensions,
        "reopen_count": reopened, "satisfaction": satisfaction, "merged_into": into, "counts": by_instant,
    });
    Told { row, place, caller, problems, counted }
}
