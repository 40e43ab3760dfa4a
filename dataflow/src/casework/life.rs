//! The life of a case: its events in order, folded into a row.
//!
//! **Meaning.** Stages and clocks of GB/T 30428 as published by 运城; every event is applied in order of `ts` (events of
//! one `ts` in the order of the life cycle), whatever order they arrive in. What the rules forbid is never repaired: an
//! event in the wrong place is applied and flagged; a 延期 after the deadline or beyond the number allowed, a 挂账 after
//! the deadline or for the second time, and a resumption of what is not suspended have no effect and are flagged.
//!
//! * The handling limit is frozen at dispatch: the one that the event names, else that of its class
//!   ([`super::limits`]); its deadline follows the working calendar *as it is now*.
//! * 延期 adds the limit once more. 挂账 stops the clock, once, and ends by itself after the longest time allowed.
//! * A failed 核查 is 返工: back to the department; the clock starts again or goes on (a setting).
//! * A verification before filing is 核实, not 核查.
//! * 申诉 granted: the case is exempt from all overdue statistics.
//!
//! **Mechanism.** A fold over the events of one case, linear in their number, and [`Life::at`], which asks the clock.
//!
//! **State.** None.

use model::rows::Limit;
use model::{CaseEventKind, Sym};
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use crate::Settings;
use crate::calendar::Calendar;
use crate::operators::sorted::Sorted;

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
    /// The name in views.
    pub fn name(self) -> &'static str {
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

    /// Whether the case is out of the statistics of what should be done: 不予受理, 作废, 并案.
    pub fn dropped(self) -> bool {
        matches!(self, Self::Rejected | Self::Voided | Self::Merged)
    }
}

/// Who reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// 监督员.
    Patrol,
    /// 12345.
    Hotline,
    /// The public's application.
    PublicApp,
    /// A sensor, a camera, somebody else, or not said.
    #[default]
    Other,
}

/// What was done within its limit, or has a property that statistics ask for: bits of [`CaseRow::marks`].
pub mod mark {
    /// Accepted or rejected in time.
    pub const ACCEPTED: u16 = 1;
    /// 核实 in time.
    pub const CONFIRMED: u16 = 1 << 1;
    /// Filed in time.
    pub const FILED: u16 = 1 << 2;
    /// Dispatched in time.
    pub const DISPATCHED: u16 = 1 << 3;
    /// 核查 in time.
    pub const CHECKED: u16 = 1 << 4;
    /// Closed in time after the check.
    pub const CLOSED: u16 = 1 << 5;
    /// Rated well.
    pub const SATISFIED: u16 = 1 << 6;
    /// Not dispatched, and the limit for it has passed.
    pub const DISPATCH_LATE: u16 = 1 << 7;
    /// Not checked, and the limit for it has passed.
    pub const CHECK_LATE: u16 = 1 << 8;
}

/// One case at one instant: the row of the view `cases`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CaseRow {
    /// The case.
    pub case: Sym,
    /// Where it is in its life.
    pub stage: Stage,
    /// When that stage began, Unix ms.
    pub stage_ts: i64,
    /// Empty when not said.
    pub class: Sym,
    /// Empty when not said.
    pub district: Sym,
    /// Empty when not said.
    pub grid: Sym,
    /// Who called; empty when not said.
    pub caller: Sym,
    /// Where, 10⁻⁷ degrees.
    pub place: Option<(i32, i32)>,
    /// Of the last dispatch; empty when not said.
    pub department: Sym,
    /// Empty when not said.
    pub source: Sym,
    /// The source as statistics know it.
    pub channel: Channel,
    /// Of the handling, Unix ms; none while suspended.
    pub deadline_ts: Option<i64>,
    /// Handled after the deadline, or not handled and past it.
    pub overdue: bool,
    /// 申诉 granted.
    pub exempt: bool,
    /// Reported, or the first event if no report is known, Unix ms.
    pub opened_ts: i64,
    /// First answer: 核实, filed, rejected or dispatched, Unix ms.
    pub accepted_ts: Option<i64>,
    /// 核实 before filing, Unix ms.
    pub confirmed_ts: Option<i64>,
    /// First filed, or dispatched where no event says so, Unix ms.
    pub filed_ts: Option<i64>,
    /// First dispatched, Unix ms.
    pub dispatched_ts: Option<i64>,
    /// Handled, of the round that counts, Unix ms.
    pub handled_ts: Option<i64>,
    /// Last 核查, Unix ms.
    pub checked_ts: Option<i64>,
    /// Closed last, Unix ms; none after a reopening.
    pub closed_ts: Option<i64>,
    /// Last failed 核查, Unix ms.
    pub reworked_ts: Option<i64>,
    /// Last rating, Unix ms.
    pub rated_ts: Option<i64>,
    /// Failed checks.
    pub rework_count: u32,
    /// Rounds of handling that a failed check ended and that had been late.
    pub late_rounds: u32,
    /// Times a department sent it back.
    pub return_count: u32,
    /// Extensions granted.
    pub extension_count: u32,
    /// Times it was opened again.
    pub reopen_count: u32,
    /// 1 to 5.
    pub satisfaction: Option<u8>,
    /// Empty unless merged.
    pub merged_into: Sym,
    /// The step whose clock runs: accept, file, dispatch, handle, check or close; empty when none does.
    pub clock: Clock,
    /// Until when that step must be done, Unix ms.
    pub clock_due_ts: Option<i64>,
    /// Bits of [`mark`].
    pub marks: u16,
}

/// A step of the life cycle with a limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Clock {
    /// None runs.
    #[default]
    None,
    /// 受理.
    Accept,
    /// 立案.
    File,
    /// 派遣.
    Dispatch,
    /// 处置.
    Handle,
    /// 核查.
    Check,
    /// 结案.
    Close,
}

impl Clock {
    /// The name in views; `None` when no clock runs.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Accept => Some("accept"),
            Self::File => Some("file"),
            Self::Dispatch => Some("dispatch"),
            Self::Handle => Some("handle"),
            Self::Check => Some("check"),
            Self::Close => Some("close"),
        }
    }
}

/// Something about an event that the life cycle does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flag {
    /// Of the event, Unix ms.
    pub ts: i64,
    /// Rank of the event in the life cycle.
    pub rank: u8,
    /// What is wrong.
    pub reason: Reason,
    /// The stage that the event met.
    pub stage: Stage,
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The case has no report.
    NoReport,
    /// The life cycle does not have this event in this stage.
    Order,
    /// 延期 without a limit to extend.
    NothingToExtend,
    /// 延期 after the deadline.
    ExtendedAfterDeadline,
    /// 延期 beyond the number allowed.
    ExtendedTooOften,
    /// 挂账 after the deadline.
    SuspendedAfterDeadline,
    /// 挂账 for the second time.
    SuspendedAgain,
    /// Resumed, and not suspended.
    NotSuspended,
    /// A second 申诉.
    AppealedAgain,
    /// Merged into itself.
    MergedIntoItself,
    /// The case resembles an earlier one in class, place and time.
    SuspectedDuplicate,
    /// The same caller reported the same class not long before.
    RepeatedCall,
}

impl Reason {
    /// The name in views.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoReport => "no_report",
            Self::Order => "order",
            Self::NothingToExtend => "nothing_to_extend",
            Self::ExtendedAfterDeadline => "extended_after_deadline",
            Self::ExtendedTooOften => "extended_too_often",
            Self::SuspendedAfterDeadline => "suspended_after_deadline",
            Self::SuspendedAgain => "suspended_again",
            Self::NotSuspended => "not_suspended",
            Self::AppealedAgain => "appealed_again",
            Self::MergedIntoItself => "merged_into_itself",
            Self::SuspectedDuplicate => "suspected_duplicate",
            Self::RepeatedCall => "repeated_call",
        }
    }

    /// Whether the event has its effect all the same.
    pub fn applied(self) -> bool {
        !matches!(
            self,
            Self::NothingToExtend
                | Self::ExtendedAfterDeadline
                | Self::ExtendedTooOften
                | Self::SuspendedAfterDeadline
                | Self::SuspendedAgain
                | Self::NotSuspended
        )
    }

    /// Whether it is about two cases rather than an event and the stage that it met.
    pub fn of_two(self) -> bool {
        matches!(self, Self::SuspectedDuplicate | Self::RepeatedCall)
    }
}

/// Events by time and rank in the life cycle.
pub type Events = Sorted<(i64, u8), CaseEventKind>;

/// What the fold needs beside the events.
pub struct Rules<'a> {
    /// The working calendar.
    pub calendar: &'a Calendar,
    /// The limits of classes.
    pub classes: &'a Limits,
    /// Limits and numbers.
    pub settings: &'a Settings,
    /// How a source is counted.
    pub channel: &'a dyn Fn(Sym) -> Channel,
}

/// What the events say, before the clock is asked.
#[derive(Debug, Default)]
pub struct Life {
    /// The row, except what depends on the clock.
    row: CaseRow,
    /// What is wrong, in order.
    pub flags: Vec<Flag>,
    limit: Option<Limit>,
    /// What was left of the limit when the case was suspended, in the time that its unit counts, ms.
    left: Option<i64>,
    suspended_before: bool,
}

impl Life {
    /// Folds the events of `case`.
    pub fn of(case: Sym, events: &Events, rules: &Rules<'_>) -> Self {
        let mut life = Self::default();
        life.row.case = case;
        let first = events.first().unwrap_or_default();
        (life.row.opened_ts, life.row.stage_ts) = (first.0, first.0);
        if !events.iter().any(|(_, event)| matches!(event, CaseEventKind::Reported { .. })) {
            let (ts, rank) = first;
            life.flags.push(Flag { ts, rank, reason: Reason::NoReport, stage: Stage::Reported });
        }
        let mut first_report = true;
        for &((ts, rank), ref event) in events.iter() {
            life.resume_when_over(ts, rules);
            let report = matches!(event, CaseEventKind::Reported { .. });
            if !expected(life.row.stage, event) || (report && !first_report) {
                life.flag(ts, rank, Reason::Order);
            }
            first_report &= !report;
            life.apply(ts, rank, event, rules);
        }
        life
    }

    fn flag(&mut self, ts: i64, rank: u8, reason: Reason) {
        self.flags.push(Flag { ts, rank, reason, stage: self.row.stage });
    }

    fn stage(&mut self, stage: Stage, ts: i64) {
        (self.row.stage, self.row.stage_ts) = (stage, ts);
    }

    /// A suspension ends by itself after the longest time allowed.
    fn resume_when_over(&mut self, ts: i64, rules: &Rules<'_>) {
        let over = self.row.stage_ts.saturating_add(rules.settings.max_suspension_ms);
        if self.row.stage == Stage::Suspended && over <= ts {
            self.resume(over, rules);
        }
    }

    fn resume(&mut self, ts: i64, rules: &Rules<'_>) {
        self.stage(Stage::Dispatched, ts);
        if let (Some(limit), Some(left)) = (self.limit, self.left.take()) {
            self.row.deadline_ts = Some(rules.calendar.after(ts, left, limit.unit));
        }
    }

    fn apply(&mut self, ts: i64, rank: u8, event: &CaseEventKind, rules: &Rules<'_>) {
        let calendar = rules.calendar;
        match event {
            CaseEventKind::Reported { source, class, district, grid, caller, at, .. } => {
                let row = &mut self.row;
                (row.source, row.class, row.district, row.grid) = (*source, *class, *district, *grid);
                row.caller = *caller;
                (row.channel, row.place, row.opened_ts) = ((rules.channel)(*source), *at, ts);
                if row.stage == Stage::Reported {
                    row.stage_ts = ts;
                }
            }
            CaseEventKind::Rejected => {
                self.row.accepted_ts.get_or_insert(ts);
                self.stage(Stage::Rejected, ts);
            }
            CaseEventKind::Filed => {
                self.row.accepted_ts.get_or_insert(ts);
                self.row.filed_ts.get_or_insert(ts);
                self.stage(Stage::Filed, ts);
            }
            CaseEventKind::Dispatched { department, limit } => {
                let row = &mut self.row;
                row.department = *department;
                (row.handled_ts, row.checked_ts, row.closed_ts) = (None, None, None);
                for first in [&mut row.accepted_ts, &mut row.filed_ts, &mut row.dispatched_ts] {
                    first.get_or_insert(ts);
                }
                let limit = limit.or_else(|| rules.classes.of(row.class, row.source, ts));
                row.deadline_ts = limit.map(|limit| calendar.deadline(ts, limit));
                (self.limit, self.left) = (limit, None);
                self.stage(Stage::Dispatched, ts);
            }
            CaseEventKind::Returned => {
                self.row.return_count += 1;
                self.row.deadline_ts = None;
                (self.limit, self.left) = (None, None);
                self.stage(Stage::Filed, ts);
            }
            CaseEventKind::Extended => self.extend(ts, rank, rules),
            CaseEventKind::Suspended => self.suspend(ts, rank, rules),
            CaseEventKind::Resumed if self.row.stage == Stage::Suspended => self.resume(ts, rules),
            CaseEventKind::Resumed => self.flag(ts, rank, Reason::NotSuspended),
            CaseEventKind::Handled => {
                self.row.handled_ts = Some(ts);
                self.stage(Stage::Handled, ts);
            }
            CaseEventKind::Verified { .. } if self.row.stage == Stage::Reported => {
                self.row.confirmed_ts = Some(ts);
                self.row.accepted_ts.get_or_insert(ts);
            }
            CaseEventKind::Verified { passed: true } => {
                self.row.checked_ts = Some(ts);
                self.stage(Stage::Verified, ts);
            }
            CaseEventKind::Verified { passed: false } => self.rework(ts, rules),
            CaseEventKind::Closed => {
                self.row.closed_ts = Some(ts);
                self.row.handled_ts.get_or_insert(ts);
                self.stage(Stage::Closed, ts);
            }
            CaseEventKind::Reopened => {
                let row = &mut self.row;
                row.reopen_count += 1;
                (row.closed_ts, row.handled_ts, row.checked_ts, row.deadline_ts) = (None, None, None, None);
                (self.limit, self.left) = (None, None);
                self.stage(Stage::Filed, ts);
            }
            CaseEventKind::Voided => self.stage(Stage::Voided, ts),
            CaseEventKind::AppealGranted => {
                if self.row.exempt {
                    self.flag(ts, rank, Reason::AppealedAgain);
                }
                self.row.exempt = true;
            }
            CaseEventKind::Merged { into } => {
                if *into == self.row.case {
                    self.flag(ts, rank, Reason::MergedIntoItself);
                }
                self.row.merged_into = *into;
                self.stage(Stage::Merged, ts);
            }
            CaseEventKind::Rated { satisfaction } => {
                (self.row.satisfaction, self.row.rated_ts) = (Some(*satisfaction), Some(ts));
            }
        }
    }

    fn extend(&mut self, ts: i64, rank: u8, rules: &Rules<'_>) {
        let (Some(limit), Some(deadline)) = (self.limit, self.row.deadline_ts) else {
            return self.flag(ts, rank, Reason::NothingToExtend);
        };
        if ts > deadline {
            self.flag(ts, rank, Reason::ExtendedAfterDeadline);
        } else if self.row.extension_count >= rules.settings.max_extensions {
            self.flag(ts, rank, Reason::ExtendedTooOften);
        } else {
            self.row.deadline_ts = Some(rules.calendar.deadline(deadline, limit));
            self.row.extension_count += 1;
        }
    }

    fn suspend(&mut self, ts: i64, rank: u8, rules: &Rules<'_>) {
        if self.row.deadline_ts.is_some_and(|deadline| ts > deadline) {
            self.flag(ts, rank, Reason::SuspendedAfterDeadline);
        } else if self.suspended_before {
            self.flag(ts, rank, Reason::SuspendedAgain);
        } else {
            self.suspended_before = true;
            self.stage(Stage::Suspended, ts);
            if let (Some(limit), Some(deadline)) = (self.limit, self.row.deadline_ts.take()) {
                self.left = Some(rules.calendar.left(ts, deadline, limit.unit).max(0));
            }
        }
    }

    fn rework(&mut self, ts: i64, rules: &Rules<'_>) {
        let row = &mut self.row;
        row.rework_count += 1;
        (row.reworked_ts, row.checked_ts) = (Some(ts), Some(ts));
        let done = row.handled_ts.take().unwrap_or(ts);
        row.late_rounds += u32::from(row.deadline_ts.is_some_and(|deadline| done > deadline));
        if rules.settings.rework_restarts_clock || row.deadline_ts.is_none() {
            row.deadline_ts = self.limit.map(|limit| rules.calendar.deadline(ts, limit));
        }
        self.left = None;
        self.stage(Stage::Dispatched, ts);
    }

    /// The row at `now`, and the next instant at which time alone changes it.
    pub fn at(mut self, now: i64, rules: &Rules<'_>) -> (CaseRow, Option<i64>) {
        self.resume_when_over(now, rules);
        let limits = &rules.settings.step_limits;
        let Self { mut row, .. } = self;
        let mut next: Option<i64> = None;
        // What has to be done by `due`: whether that has passed; if it has not, time will change the row.
        let mut passed = |due: i64| {
            let passed = now > due;
            if !passed && due < i64::MAX {
                next = Some(next.map_or(due + 1, |next| next.min(due + 1)));
            }
            passed
        };
        if row.stage == Stage::Suspended {
            passed(row.stage_ts.saturating_add(rules.settings.max_suspension_ms) - 1);
        }
        if let Some(deadline) = row.deadline_ts.filter(|_| !row.exempt) {
            row.overdue = match row.handled_ts {
                Some(handled) => handled > deadline,
                None => row.stage.open() && passed(deadline),
            };
        }
        let mut marks = 0;
        let mut set = |bit: u16, is: bool| marks |= if is { bit } else { 0 };
        let within = |done: Option<i64>, from: i64, limit: i64| done.is_some_and(|ts| ts <= from + limit);
        set(mark::ACCEPTED, within(row.accepted_ts, row.opened_ts, limits.accept_ms));
        set(mark::CONFIRMED, within(row.confirmed_ts, row.opened_ts, limits.confirm_ms));
        let known = row.confirmed_ts.map_or(row.opened_ts, |ts| ts.max(row.opened_ts));
        set(mark::FILED, within(row.filed_ts, known, limits.file_ms));
        if let Some(filed) = row.filed_ts {
            set(mark::DISPATCHED, within(row.dispatched_ts, filed, limits.dispatch_ms));
            let waits = row.dispatched_ts.is_none() && row.stage.open();
            set(mark::DISPATCH_LATE, waits && passed(filed + limits.dispatch_ms));
        }
        if let Some(handled) = row.handled_ts {
            set(mark::CHECKED, within(row.check_done(), handled, limits.check_ms));
            set(mark::CHECK_LATE, row.stage == Stage::Handled && passed(handled + limits.check_ms));
            let from = row.checked_ts.map_or(handled, |ts| ts.max(handled));
            set(mark::CLOSED, within(row.closed_ts, from, limits.close_ms));
        }
        set(mark::SATISFIED, row.satisfaction.is_some_and(|n| n >= rules.settings.satisfied_from));
        row.marks = marks;
        let due = |limit: i64| Some(row.stage_ts + limit);
        (row.clock, row.clock_due_ts) = match row.stage {
            Stage::Reported if row.accepted_ts.is_none() => (Clock::Accept, due(limits.accept_ms)),
            Stage::Reported => (Clock::File, Some(known + limits.file_ms)),
            Stage::Filed => (Clock::Dispatch, due(limits.dispatch_ms)),
            Stage::Dispatched => (Clock::Handle, row.deadline_ts),
            Stage::Handled => (Clock::Check, due(limits.check_ms)),
            Stage::Verified => (Clock::Close, due(limits.close_ms)),
            _ => (Clock::None, None),
        };
        (row, next)
    }
}

impl CaseRow {
    /// When the handling that counts was checked; closing counts as checking where no event said so.
    pub fn check_done(&self) -> Option<i64> {
        let checked = self.checked_ts.filter(|checked| self.handled_ts.is_some_and(|ts| *checked >= ts));
        match self.stage {
            Stage::Verified => checked,
            Stage::Closed => checked.or(self.closed_ts),
            _ => None,
        }
    }
}

/// Whether the life cycle has `event` in `stage`.
fn expected(stage: Stage, event: &CaseEventKind) -> bool {
    use CaseEventKind as E;
    match event {
        E::Reported { .. } | E::Rejected | E::Filed => stage == Stage::Reported,
        E::Dispatched { .. } => stage == Stage::Filed,
        E::Returned | E::Extended | E::Suspended | E::Handled => stage == Stage::Dispatched,
        // Said by a flag of its own.
        E::Resumed => true,
        E::Verified { .. } => matches!(stage, Stage::Reported | Stage::Handled),
        E::Closed => stage == Stage::Verified,
        E::Reopened | E::AppealGranted | E::Rated { .. } => stage == Stage::Closed,
        E::Voided | E::Merged { .. } => stage.open(),
    }
}
