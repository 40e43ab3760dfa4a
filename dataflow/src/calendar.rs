//! Working time: which instants count towards a limit in 工作时 and 工作日.
//!
//! **Meaning.** A day is a working day by its `calendar` record, else from Monday to Friday. On a working day the
//! working hours count (the record's own, else the city's default); nothing else does. 工作日 is the working time of one
//! standard day. 紧急工作时 and 自然日 are wall-clock time. Source: the rules of 运城 as published, GB/T 30428.8.
//!
//! **State.** One entry per calendar record.

use std::collections::BTreeMap;

use model::Sym;
use model::reference::CalendarRef;
use model::rows::{Limit, LimitUnit};

use crate::Settings;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A calendar without working time for this long is taken as never having any again.
const SEARCH_DAYS: i32 = 3 * 366;

/// The working calendar of the city.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    offset_ms: i64,
    default_hours: Vec<(u16, u16)>,
    /// By day and id: two records of one day are a mistake, of which the greater id decides.
    days: BTreeMap<i32, BTreeMap<Sym, CalendarRef>>,
}

impl Calendar {
    /// The calendar without records.
    pub fn new(settings: &Settings) -> Self {
        Self {
            offset_ms: i64::from(settings.utc_offset_min) * MINUTE_MS,
            default_hours: settings.working_hours.clone(),
            days: BTreeMap::new(),
        }
    }

    /// Puts the record `id` into force.
    pub fn insert(&mut self, id: Sym, day: CalendarRef) {
        self.remove(id);
        self.days.entry(day.day).or_default().insert(id, day);
    }

    /// Takes the record `id` out.
    pub fn remove(&mut self, id: Sym) {
        self.days.retain(|_, records| {
            records.remove(&id);
            !records.is_empty()
        });
    }

    /// The working spans of a day of the city's own date, Unix ms.
    fn spans(&self, day: i32) -> impl Iterator<Item = (i64, i64)> {
        let record = self.days.get(&day).and_then(|records| records.values().next_back());
        // 1970-01-01 was a Thursday: Monday is 0.
        let weekday = (day + 3).rem_euclid(7);
        let working = record.map_or(weekday < 5, |record| record.working);
        let hours = record
            .map(|record| &record.hours)
            .filter(|hours| !hours.is_empty())
            .unwrap_or(&self.default_hours);
        let midnight = i64::from(day) * DAY_MS - self.offset_ms;
        let hours = if working { hours.as_slice() } else { &[] };
        hours.iter().map(move |&(from, to)| {
            (midnight + i64::from(from) * MINUTE_MS, midnight + i64::from(to) * MINUTE_MS)
        })
    }

    fn day_of(&self, ts: i64) -> i32 {
        i32::try_from((ts + self.offset_ms).div_euclid(DAY_MS)).unwrap_or(i32::MAX)
    }

    /// The instant at which `working_ms` of working time have passed since `from`.
    fn advance(&self, from: i64, working_ms: i64) -> i64 {
        let mut left = working_ms;
        let first = self.day_of(from);
        for day in first..first.saturating_add(SEARCH_DAYS) {
            for (start, end) in self.spans(day) {
                let start = start.max(from);
                if start >= end {
                    continue;
                }
                if left <= end - start {
                    return start + left;
                }
                left -= end - start;
            }
        }
        i64::MAX
    }

    /// Working time between two instants, ms.
    fn between(&self, from: i64, to: i64) -> i64 {
        (self.day_of(from)..=self.day_of(to))
            .flat_map(|day| self.spans(day))
            .map(|(start, end)| (end.min(to) - start.max(from)).max(0))
            .sum()
    }

    /// The length of a limit in the time that its unit counts, ms.
    fn length_ms(&self, limit: Limit) -> i64 {
        let standard_day: i64 =
            self.default_hours.iter().map(|&(from, to)| i64::from(to - from) * MINUTE_MS).sum();
        let unit = match limit.unit {
            LimitUnit::UrgentHour | LimitUnit::WorkingHour => HOUR_MS,
            LimitUnit::WorkingDay => standard_day,
            LimitUnit::NaturalDay => DAY_MS,
        };
        (limit.amount * unit as f64).round() as i64
    }

    /// The deadline of a limit that starts at `from`, Unix ms.
    pub fn deadline(&self, from: i64, limit: Limit) -> i64 {
        self.after(from, self.length_ms(limit), limit.unit)
    }

    /// The instant at which `length_ms` of the time that `unit` counts have passed since `from`.
    pub fn after(&self, from: i64, length_ms: i64, unit: LimitUnit) -> i64 {
        match counts_working_time(unit) {
            true => self.advance(from, length_ms),
            false => from.saturating_add(length_ms),
        }
    }

    /// How much of the time that `unit` counts lies between two instants, ms; negative when `to` is before `from`.
    pub fn left(&self, from: i64, to: i64, unit: LimitUnit) -> i64 {
        match counts_working_time(unit) {
            true if to < from => -self.between(to, from),
            true => self.between(from, to),
            false => to - from,
        }
    }
}

/// Whether a unit counts working time, so that its deadlines move with the calendar.
pub fn counts_working_time(unit: LimitUnit) -> bool {
    matches!(unit, LimitUnit::WorkingHour | LimitUnit::WorkingDay)
}

#[cfg(test)]
mod tests {
    use model::Sym;
    use model::reference::CalendarRef;
    use model::rows::{Limit, LimitUnit};

    use super::Calendar;
    use crate::Settings;

    /// City time of November 2026 (a Sunday is the 1st) as Unix ms: Asia/Shanghai is UTC+8.
    fn at(day: i64, hour: i64, minute: i64) -> i64 {
        const FIRST: i64 = 1_793_462_400_000; // 2026-11-01T00:00:00+08:00
        FIRST + (((day - 1) * 24 + hour) * 60 + minute) * 60_000
    }

    fn check(from: i64, amount: f64, unit: LimitUnit, expect: i64) {
        let calendar = Calendar::new(&Settings::default());
        assert_eq!(calendar.deadline(from, Limit { amount, unit }), expect, "{amount} {unit:?} from {from}");
    }

    #[test]
    fn limits_count_what_their_unit_counts() {
        // Friday the 13th, 17:00: one working hour is left; then the weekend.
        check(at(13, 17, 0), 2.0, LimitUnit::UrgentHour, at(13, 19, 0));
        check(at(13, 17, 0), 2.0, LimitUnit::WorkingHour, at(16, 9, 0));
        check(at(13, 11, 30), 1.0, LimitUnit::WorkingHour, at(13, 14, 30));
        check(at(13, 17, 0), 1.0, LimitUnit::WorkingDay, at(16, 17, 0));
        check(at(13, 17, 0), 1.5, LimitUnit::NaturalDay, at(15, 5, 0));
        check(at(14, 10, 0), 4.0, LimitUnit::WorkingHour, at(16, 12, 0));
    }

    #[test]
    fn a_calendar_record_moves_deadlines() {
        let mut calendar = Calendar::new(&Settings::default());
        let limit = Limit { amount: 2.0, unit: LimitUnit::WorkingHour };
        let day_14 = calendar.day_of(at(14, 0, 0));
        calendar.insert(Sym(1), CalendarRef { day: day_14, working: true, hours: vec![] });
        assert_eq!(calendar.deadline(at(13, 17, 0), limit), at(14, 9, 0));
        calendar.insert(Sym(1), CalendarRef { day: day_14, working: true, hours: vec![(600, 720)] });
        assert_eq!(calendar.deadline(at(13, 17, 0), limit), at(14, 11, 0));
        calendar.remove(Sym(1));
        assert_eq!(calendar.deadline(at(13, 17, 0), limit), at(16, 9, 0));
        assert_eq!(calendar.left(at(13, 17, 0), at(16, 9, 0), LimitUnit::WorkingDay), 2 * 3_600_000);
    }
}
