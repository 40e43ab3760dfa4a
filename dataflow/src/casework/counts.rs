//! The counts of the evaluation: in which of them a case counts, and at which instant.
//!
//! **Meaning.** Counts of GB/T 30428.4 as published by implementations of it (立案数, 应处置数, 按期结案数 …), and of
//! the hotline. A case is counted in the period in which the *defining event* of the count falls: filed for 立案, done
//! or due for 应处置. A count that is a share of another (按期处置数 of 应处置数) is counted where that other one counts
//! the case, so every rate lies within 0 and 1. Where cities differ, here is what holds: 应处置 are the cases handled
//! (when they were) and those whose deadline has passed (then), neither suspended nor dropped; 应结案 likewise, closed
//! cases at their closing. A dropped case (不予受理, 作废, 并案) is in none of the counts of what should be done.
//!
//! **Mechanism.** [`facts`] is a function of one row; a change of a case touches only the counts in which its facts
//! before and after differ.
//!
//! **State.** None.

use super::life::{CaseRow, Channel, Stage, mark};

const DAY_MS: i64 = 86_400_000;

/// A count: its name, its name in Chinese, and what it counts.
#[derive(Clone, Copy, Debug)]
pub struct CountSpec {
    /// The name in views and formulas.
    pub name: &'static str,
    /// The name in Chinese.
    pub zh: &'static str,
    /// What it counts and when.
    pub doc: &'static str,
}

macro_rules! counts {
    ($($variant:ident = $name:literal, $zh:literal, $doc:literal;)*) => {
        /// A count, as its place in the vector of counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Count { $(#[doc = $doc] $variant,)* }

        /// All counts, in the order of [`Count`].
        pub const COUNTS: &[CountSpec] = &[$(CountSpec { name: $name, zh: $zh, doc: $doc },)*];
    };
}

counts! {
    Reported = "reported", "上报数", "Cases, when reported.";
    Open = "open", "待办数", "Cases that somebody still has to do something about, when reported.";
    Overdue = "overdue", "超期待处置数", "Not handled and past the deadline, at the deadline.";
    Closed = "closed", "结案数", "Closed, when closed.";
    ClosedOverdue = "closed_overdue", "超期结案数", "Closed with a round of handling that was late, when closed.";
    Reworked = "reworked", "返工数", "Of to_close: with at least one failed check.";
    ReworkRounds = "rework_rounds", "返工次数", "Failed checks, at the last one of the case.";
    PatrolReported = "patrol_reported", "监督员上报数", "Reported by patrol, when reported.";
    PatrolFiled = "patrol_filed", "有效上报数", "Of patrol_reported: filed.";
    PublicReported = "public_reported", "公众举报数", "Reported by the public, when reported.";
    Rejected = "rejected", "不予受理数", "Rejected, when reported.";
    Admitted = "admitted", "受理内上报数", "Not rejected, when reported.";
    Repeated = "repeated", "重复数", "Merged into another case, when reported.";
    Reopened = "reopened", "重办数", "Opened again after closing, when reported.";
    Finished = "finished", "已办结数", "Closed, when reported.";
    ClosedIn1d = "closed_in_1d", "一日内结案数", "Closed within 24 h of the report, when reported.";
    ClosedIn3d = "closed_in_3d", "三日内结案数", "Closed within 3 × 24 h of the report, when reported.";
    ClosedIn7d = "closed_in_7d", "七日内结案数", "Closed within 7 × 24 h of the report, when reported.";
    ClosedIn30d = "closed_in_30d", "三十日内结案数", "Closed within 30 × 24 h of the report, when reported.";
    Accepted = "accepted", "受理数", "Answered: confirmed, filed, rejected or dispatched, at that instant.";
    AcceptedInTime = "accepted_in_time", "按时受理数", "Of accepted: within the limit for it.";
    ToConfirm = "to_confirm", "应核实数", "Confirmed on site before filing, at that instant.";
    ConfirmedInTime = "confirmed_in_time", "按时核实数", "Of to_confirm: within the limit for it.";
    Filed = "filed", "立案数", "Filed, when filed first; those voided since are still counted.";
    FiledInTime = "filed_in_time", "按时立案数", "Of filed: within the limit for it.";
    Voided = "voided", "作废数", "Of filed: voided.";
    PublicFiled = "public_filed", "监督举报核实数", "Of filed: reported by the public.";
    Missed = "missed", "漏报数", "Of filed: reported by others than patrol, hence missed by it.";
    ToDispatch = "to_dispatch", "应派遣数", "Filed and dispatched, or past the limit for it, at that instant.";
    Dispatched = "dispatched", "派遣数", "Of to_dispatch: dispatched.";
    DispatchedInTime = "dispatched_in_time", "按时派遣数", "Of to_dispatch: within the limit for it.";
    Returned = "returned", "回退数", "Of to_dispatch: sent back by a department at least once.";
    ToHandle = "to_handle", "应处置数", "Handled, or past the deadline, at that instant.";
    Handled = "handled", "处置数", "Of to_handle: handled.";
    HandledInTime = "handled_in_time", "按期处置数", "Of to_handle: handled by the deadline, or exempt.";
    HandledOverdue = "handled_overdue", "超期处置数", "Of to_handle: handled after the deadline.";
    Extended = "extended", "延期数", "Of to_handle: with an extension granted.";
    Suspended = "suspended", "缓办数", "Suspended now, when suspended.";
    ToCheck = "to_check", "应核查数", "Checked after handling, or past the limit for it, at that instant.";
    CheckedInTime = "checked_in_time", "按时核查数", "Of to_check: within the limit for it.";
    ToClose = "to_close", "应结案数", "Closed, when closed; else handled or past the deadline, at that instant.";
    ClosedInTime = "closed_in_time", "按期结案数", "Of closed: every round of handling was in time.";
    ClosedPromptly = "closed_promptly", "按时结案数", "Of closed: within the limit after the check.";
    Resolved = "resolved", "解决数", "Of closed: never opened again.";
    Ended = "ended", "办结数", "Closed, rejected, voided or merged, at that instant.";
    Rated = "rated", "评价数", "Rated, when rated last.";
    Satisfied = "satisfied", "满意数", "Of rated: satisfied.";
    SatisfactionSum = "satisfaction_sum", "满意度总分", "Of rated: sum of the ratings, 1 to 5 each.";
}

/// Number of counts.
pub const N: usize = COUNTS.len();

/// A contribution of one case to one count: how much, and the instant that decides the period, Unix ms.
pub type Fact = (Count, i64, i64);

/// The place of the count called `name`.
pub fn place(name: &str) -> Option<usize> {
    COUNTS.iter().position(|count| count.name == name)
}

/// Everything that `row` counts in, in order of count.
pub fn facts(row: &CaseRow, out: &mut Vec<Fact>) {
    out.clear();
    let has = |bit: u16| row.marks & bit != 0;
    let opened = row.opened_ts;
    let closed_ts = row.closed_ts.filter(|_| row.stage == Stage::Closed);
    let public = matches!(row.channel, Channel::Hotline | Channel::PublicApp);
    let mut at = |ts: Option<i64>, counts: &[(Count, bool)]| {
        if let Some(ts) = ts {
            out.extend(counts.iter().filter(|(_, is)| *is).map(|(count, _)| (*count, 1, ts)));
        }
    };
    let closed_in = |days: i64| closed_ts.is_some_and(|ts| ts - opened <= days * DAY_MS);
    let patrol = row.channel == Channel::Patrol;
    at(
        Some(opened),
        &[
            (Count::Reported, true),
            (Count::Open, row.stage.open()),
            (Count::PatrolReported, patrol),
            (Count::PatrolFiled, patrol && row.filed_ts.is_some()),
            (Count::PublicReported, public),
            (Count::Rejected, row.stage == Stage::Rejected),
            (Count::Admitted, row.stage != Stage::Rejected),
            (Count::Repeated, row.stage == Stage::Merged),
            (Count::Reopened, row.reopen_count > 0),
            (Count::Finished, closed_ts.is_some()),
            (Count::ClosedIn1d, closed_in(1)),
            (Count::ClosedIn3d, closed_in(3)),
            (Count::ClosedIn7d, closed_in(7)),
            (Count::ClosedIn30d, closed_in(30)),
        ],
    );
    at(row.accepted_ts, &[(Count::Accepted, true), (Count::AcceptedInTime, has(mark::ACCEPTED))]);
    at(row.confirmed_ts, &[(Count::ToConfirm, true), (Count::ConfirmedInTime, has(mark::CONFIRMED))]);
    at(
        row.filed_ts,
        &[
            (Count::Filed, true),
            (Count::FiledInTime, has(mark::FILED)),
            (Count::Voided, row.stage == Stage::Voided),
            (Count::PublicFiled, public),
            (Count::Missed, !patrol),
        ],
    );
    at((!row.stage.open()).then_some(row.stage_ts), &[(Count::Ended, true)]);
    at(row.rated_ts, &[(Count::Rated, true), (Count::Satisfied, has(mark::SATISFIED))]);
    if !row.stage.dropped() {
        due(row, closed_ts, &mut at);
    }
    if row.rework_count > 0
        && let Some(ts) = row.reworked_ts
    {
        out.push((Count::ReworkRounds, i64::from(row.rework_count), ts));
    }
    if let (Some(n), Some(ts)) = (row.satisfaction, row.rated_ts) {
        out.push((Count::SatisfactionSum, i64::from(n), ts));
    }
    out.sort_unstable();
}

/// The counts of what should be done.
fn due(row: &CaseRow, closed_ts: Option<i64>, at: &mut impl FnMut(Option<i64>, &[(Count, bool)])) {
    let has = |bit: u16| row.marks & bit != 0;
    let late = row.filed_ts.filter(|_| has(mark::DISPATCH_LATE));
    // The limit has passed: the instant is when the case was filed, in whose period it should have been dispatched.
    at(
        row.dispatched_ts.or(late),
        &[
            (Count::ToDispatch, true),
            (Count::Dispatched, row.dispatched_ts.is_some()),
            (Count::DispatchedInTime, has(mark::DISPATCHED)),
            (Count::Returned, row.return_count > 0),
        ],
    );
    let missed_deadline = row.deadline_ts.filter(|_| row.overdue && row.handled_ts.is_none());
    let suspended = row.stage == Stage::Suspended;
    at(Some(row.stage_ts).filter(|_| suspended), &[(Count::Suspended, true)]);
    let handled_ts = row.handled_ts.filter(|_| !suspended);
    let to_handle =
        handled_ts.or(missed_deadline).filter(|_| row.dispatched_ts.is_some() || closed_ts.is_some());
    at(
        to_handle,
        &[
            (Count::ToHandle, true),
            (Count::Handled, handled_ts.is_some()),
            (Count::HandledInTime, handled_ts.is_some() && !row.overdue),
            (Count::HandledOverdue, handled_ts.is_some() && row.overdue),
            (Count::Overdue, handled_ts.is_none()),
            (Count::Extended, row.extension_count > 0),
        ],
    );
    let to_check = row.check_done().or(handled_ts.filter(|_| has(mark::CHECK_LATE)));
    at(to_check, &[(Count::ToCheck, true), (Count::CheckedInTime, has(mark::CHECKED))]);
    let in_time = row.exempt || (!row.overdue && row.late_rounds == 0);
    at(
        closed_ts.or(to_handle),
        &[
            (Count::ToClose, true),
            (Count::Closed, closed_ts.is_some()),
            (Count::ClosedInTime, closed_ts.is_some() && in_time),
            (Count::ClosedOverdue, closed_ts.is_some() && !in_time),
            (Count::ClosedPromptly, closed_ts.is_some() && has(mark::CLOSED)),
            (Count::Resolved, closed_ts.is_some() && row.reopen_count == 0),
            (Count::Reworked, row.rework_count > 0),
        ],
    );
}

/// A rate: its name, its name in Chinese, what counts for it (less what does not), and out of what.
#[derive(Clone, Copy, Debug)]
pub struct RateSpec {
    /// The name in views.
    pub name: &'static str,
    /// The name in Chinese.
    pub zh: &'static str,
    /// The formula in names of counts.
    pub doc: &'static str,
    /// Numerator.
    pub of: Count,
    /// Taken off the numerator.
    pub less: Option<Count>,
    /// Denominator.
    pub out_of: Count,
}

macro_rules! rates {
    ($($name:literal, $zh:literal: $of:ident $(- $less:ident)? / $out_of:ident;)*) => {
        /// The rates of the view, each a quotient of counts of the same row; 0/0 is not applicable.
        pub const RATES: &[RateSpec] = &[$(RateSpec {
            name: $name,
            zh: $zh,
            doc: concat!(stringify!($of), $(" − ", stringify!($less),)? " / ", stringify!($out_of), "; null for 0/0."),
            of: Count::$of,
            less: rates!(@less $($less)?),
            out_of: Count::$out_of,
        },)*];
    };
    (@less) => { None };
    (@less $less:ident) => { Some(Count::$less) };
}

rates! {
    "handling_rate", "处置率": Handled / ToHandle;
    "in_time_handling_rate", "按期处置率": HandledInTime / ToHandle;
    "overdue_rate", "超期待处置率": Overdue / ToHandle;
    "extension_rate", "延期率": Extended / ToHandle;
    "closing_rate", "结案率": Closed / ToClose;
    "in_time_closing_rate", "按期结案率": ClosedInTime / ToClose;
    "overdue_closing_rate", "超期结案率": ClosedOverdue / ToClose;
    "rework_rate", "返工率": Reworked / ToClose;
    "in_time_filing_rate", "按时立案率": FiledInTime / Filed;
    "accurate_filing_rate", "准确立案率": Filed - Voided / Filed;
    "in_time_dispatch_rate", "按时派遣率": DispatchedInTime / ToDispatch;
    "accurate_dispatch_rate", "准确派遣率": Dispatched - Returned / ToDispatch;
    "valid_report_rate", "有效上报率": PatrolFiled / PatrolReported;
    "in_time_confirmation_rate", "按期核实率": ConfirmedInTime / ToConfirm;
    "in_time_check_rate", "按期核查率": CheckedInTime / ToCheck;
    "missed_rate", "漏报率": Missed / Filed;
    "public_report_rate", "监督举报率": PublicFiled / Filed;
    "prompt_closing_rate", "按时结案率": ClosedPromptly / Closed;
    "completion_rate", "办结率": Finished / Admitted;
    "response_rate", "响应率": AcceptedInTime / Accepted;
    "resolution_rate", "解决率": Resolved / ToClose;
    "satisfaction_rate", "满意率": Satisfied / Rated;
    "repeat_rate", "重复率": Repeated / Reported;
}

/// Numerator and denominator of `rate`.
pub fn quotient(rate: &RateSpec, counts: &[i64; N]) -> (i64, i64) {
    let less = rate.less.map_or(0, |less| counts[less as usize]);
    (counts[rate.of as usize] - less, counts[rate.out_of as usize])
}
