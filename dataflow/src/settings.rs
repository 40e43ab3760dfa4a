//! The numbers that shape the views: spans, limits and retentions, all in milliseconds unless the name says otherwise.
//!
//! They are settings of a run, not rules of the city: rules are reference records.

use model::{PeriodKind, TickLength};

/// Settings of the dataflow. The meaning of `None` in a retention is "keep for ever", which suits a finite replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Distance between ticks.
    pub tick: TickLength,
    /// The views that run; `None` = those that run unless others are asked for.
    pub views: Option<Vec<String>>,
    /// Of what frames tell.
    pub frames: Frames,
    /// Prefix of topic names in `rejects` and `late_ledger`.
    pub topic_prefix: String,
    /// Event times older than T by more than this are no longer needed to correct anything. Must be the horizon that
    /// the edge uses: a record beyond it never gets here.
    pub horizon_ms: Option<i64>,
    /// Width of a sensor window.
    pub window_ms: i64,
    /// Distance between the starts of sensor windows; divides the width.
    pub window_step_ms: i64,
    /// Sensor windows are kept this long after their end.
    pub window_retention_ms: Option<i64>,
    /// Alerts are kept this long after they ended.
    pub alert_retention_ms: Option<i64>,
    /// Rejects and late records are kept this long after their tick.
    pub refused_retention_ms: Option<i64>,
    /// A vehicle without a fix for longer than this is offline.
    pub vehicle_offline_ms: i64,
    /// Below this speed, km/h, a vehicle that does not work is stopped.
    pub stopped_below_kmh: f64,
    /// A fix that needs more than this speed, km/h, from its neighbour is a jump.
    pub jump_kmh: f64,
    /// A fix older than the latest of its vehicle by no more than this is matched from fixes at hand, ms; around an older
    /// one they are looked up.
    pub match_kept_ms: i64,
    /// Between two fixes further apart than this nothing counts as swept, ms.
    pub cover_hole_ms: i64,
    /// A vehicle that pauses on a road for longer than this begins a new trip on it, ms.
    pub pass_gap_ms: i64,
    /// Share of a road that one trip must cover to make a pass, percent, at least 1.
    pub pass_percent: u8,
    /// What was swept is kept this long after the end of its shift.
    pub coverage_retention_ms: Option<i64>,
    /// What makes trips, stops and visits to fences.
    pub journeys: tracks::Params,
    /// Trips, stops and events at fences are kept this long after they ended; not longer than the horizon.
    pub journey_retention_ms: Option<i64>,
    /// Fixes are in `tracks` this long after their event time.
    pub track_retention_ms: Option<i64>,
    /// City time minus UTC, minutes.
    pub utc_offset_min: i32,
    /// Default working hours of a working day, minutes of the day, `[from, to)`.
    pub working_hours: Vec<(u16, u16)>,
    /// A fix belongs to the nearest road at most this far away, m.
    pub swept_reach_m: f64,
    /// A home or an entrance farther than this from every walkway, m, is not attached to any.
    pub walk_snap_m: f64,
    /// Ways to a park that are longer than this, m, are measured and not shown.
    pub walk_shown_m: f64,
    /// How far people walk in a minute, m.
    pub walk_m_per_min: f64,
    /// The `green_edition` whose level `green_metrics` shows beside all others.
    pub green_edition: String,
    /// Scores take what other streams than cases bring at multiples of this span, ms.
    pub score_inputs_every_ms: u64,
    /// The `radius_scheme` by which parks are inputs of scores.
    pub radius_scheme: String,
    /// Extensions of a case beyond this number are not granted.
    pub max_extensions: u32,
    /// A suspension of a case ends by itself after this long (运城: a year).
    pub max_suspension_ms: i64,
    /// Whether a failed check starts the clock of a case again; else the deadline stays (cities differ).
    pub rework_restarts_clock: bool,
    /// Limits of the steps of a case around its handling.
    pub step_limits: StepLimits,
    /// A rating of at least this is 满意.
    pub satisfied_from: u8,
    /// Cases of one class that lie at most this far apart, m (at most 100) …
    pub duplicate_within_m: f64,
    /// … and were reported at most this long after each other are suspected to be one (运城: 50 m, 24 h).
    pub duplicate_within_ms: i64,
    /// Two calls about one class by one caller at most this long after each other are suspected to be a repeat.
    pub repeat_within_ms: i64,
    /// Days of the rolling window of the case statistics, the day of T included.
    pub rolling_days: i32,
    /// Which statistics of cases are kept.
    pub statistics: Statistics,
}

/// Of what frames tell. The views are kept at every tick either way; what nobody reads is not made into values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frames {
    /// Every change of every tick: for whoever follows.
    #[default]
    Changes,
    /// One frame when the feed ends, with every row that is there then: for whoever wants the last state of a finite log.
    Last,
}

/// The kinds of periods for which each kind of scope has statistics of cases; none for a scope that has none. A case that
/// changes changes a row per scope and kind of period, so this is what statistics cost. Rolling windows need days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The city.
    pub city: Vec<PeriodKind>,
    /// Each district.
    pub district: Vec<PeriodKind>,
    /// Each department.
    pub department: Vec<PeriodKind>,
    /// Each unit grid: there are so many that not every day is kept unless it is asked for.
    pub grid: Vec<PeriodKind>,
    /// Each class of cases; as many as grids.
    pub class: Vec<PeriodKind>,
    /// Each source of reports.
    pub channel: Vec<PeriodKind>,
    /// Each post of the operations room.
    pub post: Vec<PeriodKind>,
}

impl Default for Statistics {
    fn default() -> Self {
        let all = [&PeriodKind::FIXED[..], &[PeriodKind::Rolling]].concat();
        let fine = vec![PeriodKind::Month, PeriodKind::Quarter, PeriodKind::Year, PeriodKind::All];
        Self {
            city: all.clone(),
            district: all.clone(),
            department: all.clone(),
            grid: fine.clone(),
            class: fine,
            channel: all.clone(),
            post: all,
        }
    }
}

/// Limits of the steps of a case, ms of wall-clock time. Source: defaults as published by 运城 (受理, 派遣 15 min; 核实,
/// 核查 30 min); 立案 and 结案 follow 核实 and 核查.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// 受理: from the report to the first answer.
    pub accept_ms: i64,
    /// 核实: from the report.
    pub confirm_ms: i64,
    /// 立案: from the report, or from 核实 where that came first.
    pub file_ms: i64,
    /// 派遣: from filing.
    pub dispatch_ms: i64,
    /// 核查: from handling.
    pub check_ms: i64,
    /// 结案: from 核查.
    pub close_ms: i64,
}

impl Default for StepLimits {
    fn default() -> Self {
        Self {
            accept_ms: 15 * MINUTE,
            confirm_ms: 30 * MINUTE,
            file_ms: 30 * MINUTE,
            dispatch_ms: 15 * MINUTE,
            check_ms: 30 * MINUTE,
            close_ms: 30 * MINUTE,
        }
    }
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

impl Default for Settings {
    fn default() -> Self {
        Self {
            tick: TickLength::default(),
            views: None,
            frames: Frames::Changes,
            topic_prefix: "city.".into(),
            horizon_ms: Some(7 * DAY),
            window_ms: 5 * MINUTE,
            window_step_ms: MINUTE,
            window_retention_ms: Some(DAY),
            alert_retention_ms: Some(7 * DAY),
            refused_retention_ms: Some(DAY),
            vehicle_offline_ms: 10 * MINUTE,
            stopped_below_kmh: 3.0,
            jump_kmh: 200.0,
            match_kept_ms: 60 * MINUTE,
            cover_hole_ms: MINUTE,
            pass_gap_ms: 10 * MINUTE,
            pass_percent: 90,
            coverage_retention_ms: Some(7 * DAY),
            journeys: tracks::Params::default(),
            journey_retention_ms: Some(7 * DAY),
            track_retention_ms: Some(60 * MINUTE),
            utc_offset_min: 8 * 60,
            working_hours: vec![(8 * 60, 12 * 60), (14 * 60, 18 * 60)],
            swept_reach_m: 20.0,
            walk_snap_m: green::city::Walking::default().snap_m,
            walk_shown_m: green::city::Walking::default().shown_m,
            walk_m_per_min: 80.0,
            green_edition: "garden-city-2022".into(),
            score_inputs_every_ms: MINUTE as u64,
            radius_scheme: "garden-city-2022".into(),
            max_extensions: 2,
            max_suspension_ms: 365 * DAY,
            rework_restarts_clock: true,
            step_limits: StepLimits::default(),
            satisfied_from: 4,
            duplicate_within_m: 50.0,
            duplicate_within_ms: DAY,
            repeat_within_ms: 7 * DAY,
            rolling_days: 30,
            statistics: Statistics::default(),
        }
    }
}

impl Settings {
    /// The settings of a finite replay: nothing is too late and nothing expires.
    pub fn keep_everything(self) -> Self {
        Self {
            horizon_ms: None,
            window_retention_ms: None,
            alert_retention_ms: None,
            refused_retention_ms: None,
            coverage_retention_ms: None,
            journey_retention_ms: None,
            track_retention_ms: None,
            ..self
        }
    }
}
