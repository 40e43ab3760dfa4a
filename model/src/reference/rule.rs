//! `rule`: when an alert is raised, how bad it is, and when it is over. The record is documented in `docs/rules.md`.
//!
//! A rule looks at a *signal*, a number as a function of event time that is derived from the readings of one series, and
//! holds it against the limits of its *levels*. What bounds a rule: [`MAX_LEVELS`] levels, spans of at most
//! [`MAX_SPAN_MS`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::Sym;

/// Most levels of a rule.
pub const MAX_LEVELS: usize = 8;
/// Longest hold, window or look back of a rule, ms: 31 days.
pub const MAX_SPAN_MS: i64 = 31 * 24 * 3_600_000;

/// `rule`: when an alert is raised and cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleRef {
    /// What it covers.
    pub selector: Selector,
    /// What it looks at.
    pub signal: Signal,
    /// The severities, ascending, at least one; limits do not descend in the direction that is worse.
    pub levels: Vec<Level>,
    /// A limit must be passed this long before the alert is raised, ms.
    pub hold_ms: i64,
    /// The alert must be clear this long before it is cleared, ms.
    pub clear_hold_ms: i64,
    /// Episodes that come too often are one alert.
    pub flap: Option<Flap>,
    /// When it applies; always, if absent.
    pub schedule: Option<Schedule>,
    /// Switched off without being deleted.
    pub enabled: bool,
    /// The live rule beside which this one runs unseen; empty for a live rule.
    pub shadow_of: Sym,
    /// The class of the case that an alert opens; empty when it opens none.
    pub case_class: Sym,
    /// What it says, in Chinese; empty when not said.
    pub zh: Arc<str>,
    /// What it says, in English; empty when not said.
    pub en: Arc<str>,
}

impl Default for RuleRef {
    fn default() -> Self {
        Self {
            selector: Selector::default(),
            signal: Signal::Value,
            levels: Vec::new(),
            hold_ms: 0,
            clear_hold_ms: 0,
            flap: None,
            schedule: None,
            enabled: true,
            shadow_of: Sym::EMPTY,
            case_class: Sym::EMPTY,
            zh: "".into(),
            en: "".into(),
        }
    }
}

/// Which series a rule covers; what is empty does not select.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selector {
    /// Only this metric (offline rules watch the sensor, not a metric).
    pub metric: Sym,
    /// Only this sensor kind.
    pub sensor_kind: Sym,
    /// Only this district.
    pub district: Sym,
    /// Only sensors that have all of these tags.
    pub tags: Vec<Sym>,
}

/// One severity of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// How bad it is.
    pub severity: Severity,
    /// From when on.
    pub limit: Limit,
}

/// A limit with hysteresis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// Passed from a value ≥ `raise`; once raised, until a value < `clear` (≤ `raise`).
    Above {
        /// Raise at or above.
        raise: f64,
        /// Clear below.
        clear: f64,
    },
    /// Passed from a value ≤ `raise`; once raised, until a value > `clear` (≥ `raise`).
    Below {
        /// Raise at or below.
        raise: f64,
        /// Clear above.
        clear: f64,
    },
}

impl Limit {
    /// Whether `value` passes the limit.
    pub fn raises(self, value: f64) -> bool {
        match self {
            Self::Above { raise, .. } => value >= raise,
            Self::Below { raise, .. } => value <= raise,
        }
    }

    /// Whether `value` ends what the limit raised.
    pub fn clears(self, value: f64) -> bool {
        match self {
            Self::Above { clear, .. } => value < clear,
            Self::Below { clear, .. } => value > clear,
        }
    }
}

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Signal {
    /// The reading itself.
    Value,
    /// How long the sensor has not been heard, in heartbeats.
    Offline {
        /// How many heartbeats may be missed.
        heartbeats: f64,
    },
    /// The value now minus the value that held `over_ms` before.
    Change {
        /// ms.
        over_ms: i64,
    },
    /// For how many seconds each reading has been within `tolerance` of the one before.
    Unchanged {
        /// In the metric's unit.
        tolerance: f64,
    },
    /// How far the reading is from the median of the same hour of the days before, in MADs (median absolute deviations).
    Deviation(Usual),
    /// The least reading of a span of the night, once a day at its end.
    NightMinimum {
        /// Minute of the day at which the span begins.
        from_min: u16,
        /// Minute of the day at which it ends, later than `from_min`.
        to_min: u16,
        /// What it is held against.
        against: Against,
    },
    /// The mean of the readings of a day of the city, at its end.
    DailyMean {
        /// A day with fewer readings has none.
        min_count: u32,
    },
    /// For how long something has lasted that is no reading, in seconds.
    Occasion(Occasion),
    /// A condition in CEL: the signal is the number of levels whose condition is true, from the last one down.
    Formula(Arc<FormulaRef>),
}

/// What may last, of a vehicle, a case, a road or a tree. A rule about an occasion selects by district only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A trip in which the vehicle was too fast for long enough at least once: from its first fix to its last.
    Overspeed,
    /// A vehicle is in a fence.
    FenceVisit,
    /// A vehicle is in a fence, and longer than the fence allows: from when it entered.
    FenceOverstay,
    /// A vehicle has left its planned route.
    RouteDeviation,
    /// A vehicle should have been at a fence and did not come: as long as the window of the plan.
    NeverCame,
    /// A case is past its deadline, until it is handled.
    CaseOverdue,
    /// A road was not swept as often as planned: a day from when that was due.
    RoadMissed,
    /// An old or famous tree should have been cared for, until it is.
    CareOverdue,
    /// The share of a district's homes that parks cover is less than it was, until it is back.
    ShareFell,
}

impl Occasion {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::Overspeed,
        Self::FenceVisit,
        Self::FenceOverstay,
        Self::RouteDeviation,
        Self::NeverCame,
        Self::CaseOverdue,
        Self::RoadMissed,
        Self::CareOverdue,
        Self::ShareFell,
    ];

    /// The name in records, and where a metric is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overspeed => "overspeed",
            Self::FenceVisit => "fence_visit",
            Self::FenceOverstay => "fence_overstay",
            Self::RouteDeviation => "route_deviation",
            Self::NeverCame => "never_came",
            Self::CaseOverdue => "case_overdue",
            Self::RoadMissed => "road_missed",
            Self::CareOverdue => "care_overdue",
            Self::ShareFell => "share_fell",
        }
    }

    /// What kind of thing it is about.
    pub fn target(self) -> Target {
        match self {
            Self::Overspeed
            | Self::FenceVisit
            | Self::FenceOverstay
            | Self::RouteDeviation
            | Self::NeverCame => Target::Vehicle,
            Self::CaseOverdue => Target::Case,
            Self::RoadMissed => Target::Road,
            Self::CareOverdue => Target::Tree,
            Self::ShareFell => Target::District,
        }
    }

    /// The occasion called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|occasion| occasion.name() == name)
    }
}

/// What kind of thing an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// 传感器.
    Sensor,
    /// 车辆.
    Vehicle,
    /// 案件.
    Case,
    /// 路段.
    Road,
    /// 古树名木.
    Tree,
    /// 区县.
    District,
}

impl Target {
    /// The name in views.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Vehicle => "vehicle",
            Self::Case => "case",
            Self::Road => "road",
            Self::Tree => "tree",
            Self::District => "district",
        }
    }
}

/// What is usual: the days before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// How many days are looked at, 1 to 31.
    pub days: u16,
    /// How many of them must have readings, else nothing is said.
    pub min_days: u16,
    /// A MAD less than this counts as this, in the metric's unit.
    pub floor: f64,
    /// A MAD less than this share of the median's absolute value counts as that.
    pub floor_share: f64,
    /// To which side of the median.
    pub side: Side,
}

/// Which deviations count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// However it deviates: never negative.
    #[default]
    Both,
    /// Upwards: what is below the median is negative.
    Up,
    /// Downwards: what is above the median is negative.
    Down,
}

/// What a night's minimum is held against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Against {
    /// Nothing: the minimum itself.
    Itself,
    /// The minima of the nights before: how many MADs above their median.
    Usual(Usual),
    /// The mean of the day before: a share of it.
    DayMean,
}

/// Conditions in CEL. They were compiled at the edge; whoever evaluates them compiles them again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormulaRef {
    /// One for each level.
    pub levels: Vec<Arc<str>>,
    /// Once raised, the alert lasts until this is true too.
    pub clear_when: Option<Arc<str>>,
    /// Between readings it is evaluated at multiples of this, ms, if time alone changes it.
    pub every_ms: i64,
}

/// An episode that is raised when `count` others of the same series were raised within the time before belongs to the
/// alert before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flap {
    /// How many.
    pub count: u32,
    /// Within which time, ms.
    pub within_ms: i64,
}

/// When a rule applies, in city time. Outside, its condition does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Minutes of the day `[from, to)`; a span with `to` ≤ `from` goes past midnight. Empty: all day.
    pub hours: Vec<(u16, u16)>,
    /// Days of the week, 1 = Monday … 7 = Sunday. Empty: every day.
    pub days: Vec<u8>,
    /// First and last day as month and day, both included; may go past the end of the year.
    pub season: Option<((u8, u8), (u8, u8))>,
}

/// How bad it is. A sensor shows `alarm` under a severe alert and `warning` under a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// 提示.
    Notice,
    /// 一般.
    Warning,
    /// 严重.
    Severe,
}

impl Severity {
    /// All, ascending.
    pub const ALL: [Severity; 3] = [Self::Notice, Self::Warning, Self::Severe];

    /// The name in records and views.
    pub fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Severe => "severe",
        }
    }

    /// The severity called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}
