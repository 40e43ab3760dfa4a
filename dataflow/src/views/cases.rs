//! `cases`: each case as its events say, in order of `ts`, and whether it is overdue.
//!
//! **Meaning.** The events of a case are folded in order of `ts` (events of one `ts` in the order of the life cycle),
//! whatever order they arrive in; the same (case, `ts`, event) again replaces the earlier one. The handling limit is
//! frozen when the case is dispatched; its deadline follows the working calendar *as it is now*; an extension adds the
//! limit once more, at most twice and not after the deadline; a suspension stops the clock; a failed check (返工) starts
//! it again. A case is *overdue* when it was handled after its deadline, or is open, not handled and T is past it; not
//! while it is suspended, and never once an appeal was granted. Closing counts as handling where no event said so.
//! Source: the life cycle of GB/T 30428 as published by 运城.
//!
//! **Mechanism.** State by case, folded again when an event arrives; the deadline is an appointment, so a case becomes
//! overdue by itself. A changed calendar folds the cases whose limit counts working time again.
//!
//! **State.** The events of every case.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::rows::Limit;
use model::{CaseEvent, CaseEventKind, Column, StreamId, Sym, Tick, Type, Typed, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Capability;

use super::reference::CurrentRow;
use super::{Replaced, View};
use crate::Settings;
use crate::calendar::{Calendar, counts_working_time};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Fed, Inbox, Port, Tagged, fed};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "cases",
        zh: "案件",
        doc: "Each case as its events say, in order of their time.",
        key: 1,
        columns: &[
            Column::new("case_id", Type::Text, "案件编号", "The case."),
            Column::new(
                "stage",
                Type::Text,
                "环节",
                "reported, rejected, filed, dispatched, suspended, handled, verified, closed, voided or merged.",
            ),
            Column::new("class", Type::Text, "案件类别", "Kind and code, such as event:0112.").nullable(),
            Column::new("district", Type::Text, "区县", "Where it is.").nullable(),
            Column::new("grid", Type::Text, "单元网格", "Unit grid code.").nullable(),
            Column::new("department", Type::Text, "专业部门", "Who has to handle it.").nullable(),
            Column::new("source", Type::Text, "来源", "Who reported it.").nullable(),
            Column::new("deadline_ts", Type::Time, "处置时限", "Until when it must be handled.").nullable(),
            Column::new(
                "overdue",
                Type::Bool,
                "超期",
                "Handled after the deadline, or not handled and past it.",
            ),
            Column::new(
                "opened_ts",
                Type::Time,
                "上报时间",
                "When it was reported; the first event if no report is known.",
            ),
            Column::new("handled_ts", Type::Time, "处置时间", "When it was handled last.").nullable(),
            Column::new("closed_ts", Type::Time, "结案时间", "When it was closed last.").nullable(),
            Column::new("rework_count", Type::Int, "返工次数", "Failed checks."),
            Column::new("extension_count", Type::Int, "延期次数", "Extensions granted."),
            Column::new("satisfaction", Type::Int, "满意度", "1 to 5, of the last rating.").nullable(),
            Column::new("merged_into", Type::Text, "并入案件", "The case that goes on.").nullable(),
        ],
        bounded_by: "the number of cases in the log",
    },
    render: |context, id| context.publish(context.cases.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Where a case is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// 上报.
    #[default]
    Reported,
    /// 不予受理.
    Rejected,
    /// 立案.
    Filed,
    /// 派遣.
    Dispatched,
    /// 挂账.
    Suspended,
    /// 处置.
    Handled,
    /// 核查通过.
    Verified,
    /// 结案.
    Closed,
    /// 作废.
    Voided,
    /// 并案.
    Merged,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Rejected => "rejected",
            Self::Filed => "filed",
            Self::Dispatched => "dispatched",
            Self::Suspended => "suspended",
            Self::Handled => "handled",
            Self::Verified => "verified",
            Self::Closed => "closed",
            Self::Voided => "voided",
            Self::Merged => "merged",
        }
    }

    /// Whether somebody still has to do something.
    pub fn open(self) -> bool {
        !matches!(self, Self::Rejected | Self::Closed | Self::Voided | Self::Merged)
    }
}

/// A row of the view.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CaseRow {
    /// The case.
    pub case: Sym,
    /// Where it is in its life.
    pub stage: Stage,
    /// Empty when not said.
    pub class: Sym,
    /// Empty when not said.
    pub district: Sym,
    /// Empty when not said.
    pub grid: Sym,
    /// Empty when not dispatched.
    pub department: Sym,
    /// Empty when not said.
    pub source: Sym,
    /// Unix ms.
    pub deadline_ts: Option<i64>,
    /// Whether it is overdue.
    pub overdue: bool,
    /// Unix ms.
    pub opened_ts: i64,
    /// Unix ms.
    pub handled_ts: Option<i64>,
    /// Unix ms.
    pub closed_ts: Option<i64>,
    /// Failed checks.
    pub rework_count: u32,
    /// Extensions granted.
    pub extension_count: u32,
    /// 1 to 5.
    pub satisfaction: Option<u8>,
    /// Empty unless merged.
    pub merged_into: Sym,
}

impl Keyed for CaseRow {
    type Key = Sym;
    fn key(&self) -> Sym {
        self.case
    }
}

impl ViewRow for CaseRow {
    fn values(&self, out: &mut Vec<Value>) {
        let time = |ts: Option<i64>| ts.map_or(Value::Null, Value::Int);
        out.push(Value::Name(self.case));
        out.push(Value::Literal(self.stage.name()));
        out.push(Value::name_or_null(self.class));
        out.push(Value::name_or_null(self.district));
        out.push(Value::name_or_null(self.grid));
        out.push(Value::name_or_null(self.department));
        out.push(Value::name_or_null(self.source));
        out.push(time(self.deadline_ts));
        out.push(Value::Bool(self.overdue));
        out.push(Value::Int(self.opened_ts));
        out.push(time(self.handled_ts));
        out.push(time(self.closed_ts));
        out.push(Value::Int(i64::from(self.rework_count)));
        out.push(Value::Int(i64::from(self.extension_count)));
        out.push(self.satisfaction.map_or(Value::Null, |n| Value::Int(i64::from(n))));
        out.push(Value::name_or_null(self.merged_into));
    }
}

/// Events by time and rank in the life cycle.
type Events = BTreeMap<(i64, u8), CaseEventKind>;

/// What the events say, before the clock is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Folded {
    row: CaseRow,
    exempt: bool,
    limit: Option<Limit>,
    /// What was left of the limit when the case was suspended, in the time that its unit counts, ms.
    suspended: Option<i64>,
}

impl Folded {
    fn of(case: Sym, events: &Events, calendar: &Calendar, max_extensions: u32) -> Self {
        let mut folded = Self::default();
        folded.row.case = case;
        folded.row.opened_ts = events.keys().next().map_or(0, |(ts, _)| *ts);
        for (&(ts, _), event) in events {
            folded.apply(ts, event, calendar, max_extensions);
        }
        folded
    }

    fn apply(&mut self, ts: i64, event: &CaseEventKind, calendar: &Calendar, max_extensions: u32) {
        let row = &mut self.row;
        match event {
            CaseEventKind::Reported { source, class, district, grid, .. } => {
                (row.source, row.class, row.district, row.grid) = (*source, *class, *district, *grid);
                row.opened_ts = ts;
            }
            CaseEventKind::Rejected => row.stage = Stage::Rejected,
            CaseEventKind::Filed => row.stage = Stage::Filed,
            CaseEventKind::Dispatched { department, limit } => {
                row.stage = Stage::Dispatched;
                row.department = *department;
                row.handled_ts = None;
                row.deadline_ts = limit.map(|limit| calendar.deadline(ts, limit));
                (self.limit, self.suspended) = (*limit, None);
            }
            CaseEventKind::Returned => {
                row.stage = Stage::Filed;
                row.deadline_ts = None;
                (self.limit, self.suspended) = (None, None);
            }
            CaseEventKind::Extended => {
                if let (Some(limit), Some(deadline)) = (self.limit, row.deadline_ts)
                    && row.extension_count < max_extensions
                    && ts <= deadline
                {
                    row.deadline_ts = Some(calendar.deadline(deadline, limit));
                    row.extension_count += 1;
                }
            }
            CaseEventKind::Suspended => {
                row.stage = Stage::Suspended;
                if let (Some(limit), Some(deadline)) = (self.limit, row.deadline_ts) {
                    self.suspended = Some(calendar.left(ts, deadline, limit.unit).max(0));
                    row.deadline_ts = None;
                }
            }
            CaseEventKind::Resumed => {
                if row.stage == Stage::Suspended {
                    row.stage = Stage::Dispatched;
                }
                if let (Some(limit), Some(left)) = (self.limit, self.suspended.take()) {
                    row.deadline_ts = Some(calendar.after(ts, left, limit.unit));
                }
            }
            CaseEventKind::Handled => {
                row.stage = Stage::Handled;
                row.handled_ts = Some(ts);
            }
            CaseEventKind::Verified { passed: true } => row.stage = Stage::Verified,
            CaseEventKind::Verified { passed: false } => {
                row.stage = Stage::Dispatched;
                row.rework_count += 1;
                row.handled_ts = None;
                row.deadline_ts = self.limit.map(|limit| calendar.deadline(ts, limit));
                self.suspended = None;
            }
            CaseEventKind::Closed => {
                row.stage = Stage::Closed;
                row.closed_ts = Some(ts);
                row.handled_ts = row.handled_ts.or(Some(ts));
            }
            CaseEventKind::Reopened => {
                row.stage = Stage::Filed;
                (row.closed_ts, row.handled_ts, row.deadline_ts) = (None, None, None);
                (self.limit, self.suspended) = (None, None);
            }
            CaseEventKind::Voided => row.stage = Stage::Voided,
            CaseEventKind::AppealGranted => self.exempt = true,
            CaseEventKind::Merged { into } => {
                row.stage = Stage::Merged;
                row.merged_into = *into;
            }
            CaseEventKind::Rated { satisfaction } => row.satisfaction = Some(*satisfaction),
        }
    }

    /// The row at `now`, and when time alone will change it.
    fn at(&self, now: i64) -> (CaseRow, Option<i64>) {
        let mut row = self.row.clone();
        let Some(deadline) = row.deadline_ts.filter(|_| !self.exempt) else { return (row, None) };
        let waits = row.stage.open() && row.handled_ts.is_none();
        row.overdue = match row.handled_ts {
            Some(handled) => handled > deadline,
            None => waits && now > deadline,
        };
        let due = (waits && !row.overdue && deadline < i64::MAX).then_some(deadline + 1);
        (row, due)
    }
}

/// One case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Case {
    events: Events,
    folded: Folded,
    said: Option<CaseRow>,
}

/// What the operator says, on its way out.
#[derive(Default)]
struct Out {
    cases: Vec<(Tick, Delta<CaseRow>)>,
    replaced: Vec<(Tick, Replaced)>,
}

struct Cases {
    settings: Arc<Settings>,
    calendar: Calendar,
    cases: KeyedState<Sym, Case>,
}

/// Renders the operator: cases, and the number of replaced events.
pub(super) fn operate<'s>(
    events: Inbox<CaseEvent>,
    calendar: Tagged<'s, Delta<CurrentRow>>,
    settings: &Arc<Settings>,
) -> (Tagged<'s, Delta<CaseRow>>, Tagged<'s, Replaced>) {
    let logic = Cases {
        settings: Arc::clone(settings),
        calendar: Calendar::new(settings),
        cases: KeyedState::default(),
    };
    fed(calendar.scope(), "cases", events, calendar, logic, |builder| {
        let (mut to_cases, cases) = Port::new(builder);
        let (mut to_replaced, replaced) = Port::new(builder);
        let send = move |capabilities: &[Capability<Tick>], out: &mut Out| {
            to_cases.send(&capabilities[0], &mut out.cases);
            to_replaced.send(&capabilities[1], &mut out.replaced);
        };
        ((cases, replaced), send)
    })
}

impl Cases {
    fn settle(&mut self, id: Sym, tick: Tick, out: &mut Out) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let (row, due) = case.folded.at(i64::try_from(tick).unwrap_or(i64::MAX));
        if case.said.as_ref() != Some(&row) {
            let old = case.said.replace(row.clone());
            out.cases.push((tick, Delta { old, new: Some(row) }));
        }
        if let Some(due) = due {
            self.cases.wake(id, self.settings.tick.ceil(due));
        }
    }
}

impl Fed for Cases {
    type Row = CaseEvent;
    type In = Delta<CurrentRow>;
    type Out = Out;

    fn tick(
        &mut self,
        tick: Tick,
        events: &mut Vec<CaseEvent>,
        days: &mut Vec<Delta<CurrentRow>>,
        out: &mut Out,
    ) {
        let mut touched = self.cases.woken(tick);
        let mut replaced: BTreeMap<(StreamId, u16), i64> = BTreeMap::new();
        let mut calendar_changed = false;
        for delta in days.drain(..) {
            let Some((_, id)) = delta.key() else { continue };
            match delta.new.map(|row| row.body.typed.clone()) {
                Some(Typed::Calendar(day)) => self.calendar.insert(id, day),
                _ => self.calendar.remove(id),
            }
            calendar_changed = true;
        }
        events.sort_by_key(|event| event.pos);
        let mut changed = Vec::with_capacity(events.len());
        for event in events.drain(..) {
            let (_, rank) = event.kind.name_and_rank();
            let old = self.cases.entry(event.case).events.insert((event.ts, rank), event.kind);
            if old.is_some() {
                *replaced.entry((event.pos.stream, event.pos.partition)).or_default() += 1;
            }
            changed.push(event.case);
        }
        if calendar_changed {
            let moved = |case: &Case| {
                let limited = |kind: &CaseEventKind| matches!(kind, CaseEventKind::Dispatched { limit: Some(limit), .. } if counts_working_time(limit.unit));
                case.events.values().any(limited)
            };
            changed.extend(self.cases.iter_mut().filter(|(_, case)| moved(case)).map(|(id, _)| id));
        }
        changed.sort_unstable();
        changed.dedup();
        for id in &changed {
            let case = self.cases.entry(*id);
            case.folded = Folded::of(*id, &case.events, &self.calendar, self.settings.max_extensions);
        }
        touched.extend(changed);
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.settle(id, tick, out);
        }
        let replaced = replaced.into_iter();
        out.replaced.extend(replaced.map(|((stream, partition), n)| (tick, (stream, partition, n))));
    }

    fn due(&self) -> Option<Tick> {
        self.cases.due()
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::reference::CalendarRef;
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
        /// Whether the quarter of a second that begins at `ts` is working time, for a city eight hours ahead.
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

        /// Walks on in steps of a quarter of a second until `length` of time that counts is over.
        fn walk(&self, from: i64, length: i64, unit: LimitUnit) -> i64 {
            if matches!(unit, LimitUnit::UrgentHour | LimitUnit::NaturalDay) {
                return from + length;
            }
            let (mut at, mut left) = (from, length);
            loop {
                // Nights and weekends in one stride.
                let stride = if self.works(at) { 250 } else { 60_000 - at.rem_euclid(60_000) };
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
            (0..(to - from).max(0))
                .step_by(250)
                .filter(|ms| self.works(from + ms))
                .map(|ms| (to - from - ms).min(250))
                .sum()
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

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
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
        events(history, at).into_iter().map(|(case, events)| row(history, at, &days, case, &events)).collect()
    }

    fn row(history: &History, at: Tick, days: &Days, case: Sym, events: &BTreeMap<(i64, u8), E>) -> Json {
        let name = |sym: Sym| history.name_or_null(sym);
        let (mut stage, mut limit, mut left): (_, Option<Limit>, Option<i64>) = ("reported", None, None);
        let (mut deadline, mut handled, mut closed): (Option<i64>, Option<i64>, Option<i64>) =
            (None, None, None);
        let (mut reworks, mut extensions, mut exempt, mut satisfaction) = (0, 0, false, None);
        let (mut department, mut into) = (Json::Null, Json::Null);
        for (&(ts, _), event) in events {
            match event {
                E::Reported { .. } => {}
                E::Rejected => stage = "rejected",
                E::Filed => stage = "filed",
                E::Dispatched { department: to, limit: new } => {
                    (stage, department, limit, left, handled) = ("dispatched", name(*to), *new, None, None);
                    deadline = limit.map(|limit| days.walk(ts, length(limit), limit.unit));
                }
                E::Returned => (stage, deadline, limit, left) = ("filed", None, None, None),
                E::Extended => {
                    if let (Some(limit), Some(until)) = (limit, deadline)
                        && ts <= until
                        && extensions < 2
                    {
                        deadline = Some(days.walk(until, length(limit), limit.unit));
                        extensions += 1;
                    }
                }
                E::Suspended => {
                    stage = "suspended";
                    if let (Some(limit), Some(until)) = (limit, deadline) {
                        left = Some(if until < ts { 0 } else { days.between(ts, until, limit.unit) });
                        deadline = None;
                    }
                }
                E::Resumed => {
                    stage = if stage == "suspended" { "dispatched" } else { stage };
                    if let (Some(limit), Some(rest)) = (limit, left) {
                        (deadline, left) = (Some(days.walk(ts, rest, limit.unit)), None);
                    }
                }
                E::Handled => (stage, handled) = ("handled", Some(ts)),
                E::Verified { passed: true } => stage = "verified",
                E::Verified { passed: false } => {
                    (stage, handled, reworks) = ("dispatched", None, reworks + 1);
                    deadline = limit.map(|limit| days.walk(ts, length(limit), limit.unit));
                    left = None;
                }
                E::Closed => (stage, closed, handled) = ("closed", Some(ts), handled.or(Some(ts))),
                E::Reopened => {
                    (stage, closed, handled) = ("filed", None, None);
                    (deadline, limit, left) = (None, None, None);
                }
                E::Voided => stage = "voided",
                E::AppealGranted => exempt = true,
                E::Merged { into: other } => (stage, into) = ("merged", name(*other)),
                E::Rated { satisfaction: n } => satisfaction = Some(*n),
            }
        }
        let report = events.iter().rev().find_map(|((ts, _), event)| match event {
            E::Reported { source, class, district, grid, .. } => {
                Some((*ts, [*source, *class, *district, *grid]))
            }
            _ => None,
        });
        let [source, class, district, grid] = report.map_or([Sym::EMPTY; 4], |(_, said)| said);
        let over = ["closed", "voided", "merged", "rejected"].contains(&stage);
        let overdue = !exempt
            && deadline.is_some_and(|deadline| match handled {
                Some(handled) => handled > deadline,
                None => !over && at as i64 > deadline,
            });
        json!({
            "case_id": history.name(case), "stage": stage, "class": name(class), "district": name(district),
            "grid": name(grid), "department": department, "source": name(source), "deadline_ts": deadline,
            "overdue": overdue, "opened_ts": report.map_or(events.keys().next().unwrap().0, |(ts, _)| ts),
            "handled_ts": handled, "closed_ts": closed, "rework_count": reworks, "extension_count": extensions,
            "satisfaction": satisfaction, "merged_into": into,
        })
    }
}
