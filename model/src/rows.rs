//! Rows: what a record of the log becomes at the edge, decoded and validated once.
//!
//! A row is small and typed; its string keys are interned. Each carries its [`LogPos`], which orders records of one
//! tick and names the record wherever the system must speak of it (rejects, late ledger, duplicates).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::Sym;
use crate::reference::RefRecord;

/// Coordinates are integers of 10⁻⁷ degrees (about 1 cm), so that equal positions are equal bits.
pub const DEGREE: f64 = 1e7;

/// The five input streams of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum StreamId {
    /// Sensor readings.
    Telemetry,
    /// Vehicle positions.
    Positions,
    /// Case events.
    Cases,
    /// Reference data: districts, sensors, vehicles, rules …
    Reference,
    /// What operators did.
    Actions,
}

impl StreamId {
    /// All streams, in the order of the contract.
    pub const ALL: [StreamId; 5] =
        [Self::Telemetry, Self::Positions, Self::Cases, Self::Reference, Self::Actions];

    /// The name of the stream: its file in `replay`, its path in HTTP, and its topic after the prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Positions => "positions",
            Self::Cases => "cases",
            Self::Reference => "reference",
            Self::Actions => "actions",
        }
    }

    /// The stream called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }
}

/// Where a record stands in the log. Log order within a tick is the order of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPos {
    /// The stream.
    pub stream: StreamId,
    /// The partition of its topic; 0 in `replay`.
    pub partition: u16,
    /// The offset in the partition; the line number from 0 in `replay`.
    pub offset: u64,
}

/// What the device says of its own reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Quality {
    /// Trust it.
    #[default]
    Good,
    /// Use it with care: it counts in the views.
    Suspect,
    /// Don't use it: it is a sign of life and takes the place of an earlier reading of the same time, no more.
    Bad,
}

/// One reading of one metric of one sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Where the record stands in the log.
    pub pos: LogPos,
    /// `sensor_id`.
    pub sensor: Sym,
    /// `metric`.
    pub metric: Sym,
    /// Event time, Unix ms.
    pub ts: i64,
    /// The value in the metric's own unit; finite and within ±10¹⁵.
    pub value: f64,
    /// The device's own word on it.
    pub quality: Quality,
}

/// One position of one vehicle, in WGS-84.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// Where the record stands in the log.
    pub pos: LogPos,
    /// `vehicle_id`.
    pub vehicle: Sym,
    /// Event time, Unix ms.
    pub ts: i64,
    /// Longitude in 10⁻⁷ degrees.
    pub lon: i32,
    /// Latitude in 10⁻⁷ degrees.
    pub lat: i32,
    /// Speed, km/h.
    pub speed: Option<f32>,
    /// Degrees clockwise from north.
    pub heading: Option<f32>,
    /// Whether brush, pump or nozzle is on; `None` when the device doesn't say.
    pub working: Option<bool>,
}

/// What happened to a case. The order here is the order of events that carry the same `ts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CaseEventKind {
    /// 上报: somebody saw it.
    Reported {
        /// `patrol`, `hotline_12345`, `public_app`, `sensor`, `video` or `other`.
        source: Sym,
        /// Kind and code such as `event:0112`.
        class: Sym,
        /// Adcode or unit id; empty when not said.
        district: Sym,
        /// Unit grid code; empty when not said.
        grid: Sym,
        /// Who called, as a number or a hash of it; empty when not said.
        caller: Sym,
        /// Longitude and latitude in 10⁻⁷ degrees.
        at: Option<(i32, i32)>,
    },
    /// 不予受理.
    Rejected,
    /// 立案.
    Filed,
    /// 派遣: to a department, with a limit that is frozen now.
    Dispatched {
        /// The department; empty when not said.
        department: Sym,
        /// The handling limit; `None` when the class has none.
        limit: Option<Limit>,
    },
    /// 回退: the department sends it back.
    Returned,
    /// 延期: adds the original limit once more.
    Extended,
    /// 挂账: the clock stops.
    Suspended,
    /// The clock goes on.
    Resumed,
    /// 处置: the department says it is done.
    Handled,
    /// 核查: on site; a failed one sends the case back (返工).
    Verified {
        /// Whether it passed.
        passed: bool,
    },
    /// 结案.
    Closed,
    /// Opened again after it was closed.
    Reopened,
    /// 作废.
    Voided,
    /// 申诉 granted: exempt from overdue statistics.
    AppealGranted,
    /// Merged into another case.
    Merged {
        /// The case that goes on.
        into: Sym,
    },
    /// 满意度.
    Rated {
        /// 1 to 5.
        satisfaction: u8,
    },
}

impl CaseEventKind {
    /// The name of the event in the contract, and its rank among events of the same `ts`.
    pub fn name_and_rank(&self) -> (&'static str, u8) {
        match self {
            Self::Reported { .. } => ("reported", 0),
            Self::Rejected => ("rejected", 1),
            Self::Filed => ("filed", 2),
            Self::Dispatched { .. } => ("dispatched", 3),
            Self::Returned => ("returned", 4),
            Self::Extended => ("extended", 5),
            Self::Suspended => ("suspended", 6),
            Self::Resumed => ("resumed", 7),
            Self::Handled => ("handled", 8),
            Self::Verified { .. } => ("verified", 9),
            Self::Closed => ("closed", 10),
            Self::Reopened => ("reopened", 11),
            Self::Voided => ("voided", 12),
            Self::AppealGranted => ("appeal_granted", 13),
            Self::Merged { .. } => ("merged", 14),
            Self::Rated { .. } => ("rated", 15),
        }
    }
}

/// A handling limit as the contract writes it. What each unit counts: `dataflow/src/calendar.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// How many units; positive, finite.
    pub amount: f64,
    /// Which units.
    pub unit: LimitUnit,
}

/// The units of a handling limit (rules: 时限 of GB/T 30428.8 as published by 运城).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitUnit {
    /// 紧急工作时: wall-clock hours, nights and holidays included.
    UrgentHour,
    /// 工作时: hours inside the working hours of working days.
    WorkingHour,
    /// 工作日: the working hours of one standard day.
    WorkingDay,
    /// 自然日: 24 h.
    NaturalDay,
}

/// One event of one case. The same (`case`, `ts`, kind) again replaces the earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseEvent {
    /// Where the record stands in the log.
    pub pos: LogPos,
    /// `case_id`.
    pub case: Sym,
    /// Event time, Unix ms.
    pub ts: i64,
    /// What happened.
    pub kind: CaseEventKind,
}

/// What an operator did to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// "I have seen it."
    Ack,
    /// Give it to somebody.
    Assign,
    /// Say something about it.
    Comment,
    /// Silence it for a time.
    Shelve,
    /// Undo `shelve`.
    Unshelve,
    /// End it, with a reason.
    Close,
    /// Take back another action.
    Undo,
}

impl ActionKind {
    /// All, in the order of the contract.
    pub const ALL: [ActionKind; 7] =
        [Self::Ack, Self::Assign, Self::Comment, Self::Shelve, Self::Unshelve, Self::Close, Self::Undo];

    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Assign => "assign",
            Self::Comment => "comment",
            Self::Shelve => "shelve",
            Self::Unshelve => "unshelve",
            Self::Close => "close",
            Self::Undo => "undo",
        }
    }
}

/// One action of one operator. The same `action_id` again replaces the earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Where the record stands in the log.
    pub pos: LogPos,
    /// `action_id`.
    pub id: Sym,
    /// When it was done, Unix ms.
    pub ts: i64,
    /// Who did it.
    pub user: Sym,
    /// What was done.
    pub kind: ActionKind,
    /// The alert.
    pub target: Sym,
    /// Whom it was assigned to (`assign`); empty otherwise.
    pub assignee: Sym,
    /// Why, in the operator's words; empty when not said.
    pub reason: Arc<str>,
    /// Until when it is shelved, Unix ms (`shelve`).
    pub until: Option<i64>,
    /// The action that is taken back (`undo`); empty otherwise.
    pub undoes: Sym,
}

/// A record that is not in the views, and why: a reject, or one too late to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Where the record stands in the log.
    pub pos: LogPos,
    /// The stream that it claims to be of, if that is none of ours: then the stream in `pos` means nothing.
    pub unknown_stream: Option<Arc<str>>,
    /// Its event time, Unix ms, if it could be read.
    pub ts: Option<i64>,
    /// A code, a colon, and a sentence that names field, value and what was expected.
    pub reason: Arc<str>,
    /// The record as text: invalid UTF-8 replaced, cut at [`PAYLOAD_LIMIT`] bytes.
    pub payload: Arc<str>,
}

/// Longest payload kept of a refused record, in bytes.
pub const PAYLOAD_LIMIT: usize = 4096;

/// What one tick bound of one partition: the raw material of `stream_health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The stream.
    pub stream: StreamId,
    /// The partition.
    pub partition: u16,
    /// Records bound by this tick whose append time is known, refused ones included.
    pub records: u64,
    /// Of these, how many were late (older than the tick by more than the late-after setting).
    pub late: u64,
    /// Records bound by this tick that were rejected at the edge.
    pub rejected: u64,
    /// Greatest event time among the records that were not rejected, Unix ms.
    pub max_ts: Option<i64>,
    /// Records appended but not bound yet when the tick was cut.
    pub lag_records: u64,
    /// Tick minus the append time of the newest record bound, by this tick or before, ms; the tick itself while none was.
    pub lag_ms: u64,
}

/// One row of input to the dataflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Row {
    /// From `telemetry`.
    Reading(Reading),
    /// From `positions`.
    Fix(Fix),
    /// From `cases`.
    Case(Box<CaseEvent>),
    /// From `reference`.
    Reference(Box<RefRecord>),
    /// From `actions`.
    Action(Box<Action>),
    /// A record that failed decoding or validation, or is implausible on its own.
    Rejected(Box<Refused>),
    /// A record older than the horizon, hence not applied.
    Late(Box<Refused>),
    /// What the tick bound of one partition.
    Bound(Box<Bound>),
}
