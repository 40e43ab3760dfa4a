//! The numbers of the five questions, in one place: the manifest hands them to every contestant.
//!
//! Thresholds are in tenths of the reading's unit, for readings have one decimal and sums of tenths are exact.

use serde::{Deserialize, Serialize};

/// Sensor kinds; each measures one metric of the same name. None of them is in the shipped alert rules.
pub const KINDS: [&str; 5] = ["dust", "traffic_flow", "river_stage", "air_humidity", "vibration"];

/// The numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// An alert begins at a value of at least this, tenths.
    pub raise_tenths: i64,
    /// It ends at a value below this, tenths.
    pub clear_tenths: i64,
    /// The condition must have been true this long, ms.
    pub hold_ms: i64,
    /// A fix belongs to the nearest segment at most this far away, mm.
    pub reach_mm: i64,
    /// Width of a window, ms.
    pub window_ms: i64,
    /// Distance between the starts of windows, ms.
    pub step_ms: i64,
    /// A window is hot when its mean is at least this, tenths.
    pub hot_tenths: i64,
    /// From so many lasting alerts on, a district has no points for them.
    pub alerts_full: i64,
    /// Hundredths of points for alerts, for overdue cases, for swept length and for windows that are not hot.
    pub points: [i64; 4],
}

/// The numbers of city-5.
pub const RULES: Rules = Rules {
    raise_tenths: 800,
    clear_tenths: 700,
    hold_ms: 60_000,
    reach_mm: 20_000,
    window_ms: 300_000,
    step_ms: 60_000,
    hot_tenths: 520,
    alerts_full: 50,
    points: [3_000, 3_000, 3_000, 1_000],
};

/// What a district's score is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Alerts that last.
    pub active: i64,
    /// Open cases.
    pub open: i64,
    /// Open cases that are overdue.
    pub overdue: i64,
    /// Distinct swept length summed over the hours, mm.
    pub swept_mm: i64,
    /// Hours in which anything was swept.
    pub hours: i64,
    /// Length of the district's segments, mm.
    pub network_mm: i64,
    /// Windows.
    pub windows: i64,
    /// Hot windows.
    pub hot: i64,
}

impl Rules {
    /// The score in hundredths, 0 to 10,000. Each part is rounded down by itself.
    pub fn score(&self, sums: &Sums) -> i64 {
        let [alerts, cases, sweeping, windows] = self.points;
        let could = sums.network_mm * sums.hours;
        alerts * (self.alerts_full - sums.active.min(self.alerts_full)) / self.alerts_full + cases
            - (cases * sums.overdue / sums.open.max(1))
            + sweeping * sums.swept_mm.min(could) / could.max(1)
            + windows
            - (windows * sums.hot / sums.windows.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::{RULES, Sums};

    #[test]
    fn a_score_is_between_nothing_and_everything() {
        let best = Sums { swept_mm: 50, hours: 1, network_mm: 50, windows: 9, ..Sums::default() };
        assert_eq!(RULES.score(&best), 10_000);
        let worst = Sums { active: 70, open: 4, overdue: 4, windows: 3, hot: 3, ..Sums::default() };
        assert_eq!(RULES.score(&worst), 0);
        let middle = Sums {
            active: 25,
            open: 3,
            overdue: 1,
            swept_mm: 50,
            hours: 2,
            network_mm: 50,
            windows: 3,
            hot: 1,
        };
        assert_eq!(RULES.score(&middle), 1500 + 2000 + 1500 + 667);
    }
}
