//! City time for alert rules: schedules, days and the moments at which a rule is judged without a reading.

use model::reference::Signal;
use model::reference::rule::Schedule;

use super::rules::Compiled;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// City time: UTC plus a fixed offset.
#[derive(Clone, Copy, Debug)]
pub struct CityTime {
    offset_ms: i64,
}

impl CityTime {
    /// City time that is this many minutes ahead of UTC.
    pub fn new(utc_offset_min: i32) -> Self {
        Self { offset_ms: i64::from(utc_offset_min) * MINUTE_MS }
    }

    /// Days since 1970-01-01 and ms of the day.
    pub fn day_and_ms(self, ts: i64) -> (i64, i64) {
        let local = ts + self.offset_ms;
        (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS))
    }

    /// The moment `minute` minutes into `day`.
    pub fn at(self, day: i64, minute: u16) -> i64 {
        day * DAY_MS + i64::from(minute) * MINUTE_MS - self.offset_ms
    }

    /// A moment as people write it: date and time of day in city time, to the second.
    pub fn say(self, ts: i64) -> String {
        let (day, ms) = self.day_and_ms(ts);
        let ((year, month, day), s) = (date(day), ms / 1000);
        format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }

    /// Hours since 1970-01-01 of city time.
    pub fn hour(self, ts: i64) -> i64 {
        (ts + self.offset_ms).div_euclid(60 * MINUTE_MS)
    }

    /// When `hour` begins.
    pub fn hour_start(self, hour: i64) -> i64 {
        hour * 60 * MINUTE_MS - self.offset_ms
    }
}

/// Day of the week of a day since 1970-01-01, which was a Thursday: 1 = Monday.
pub fn weekday(day: i64) -> u8 {
    ((day + 3).rem_euclid(7) + 1) as u8
}

/// Month and day of the month of a day since 1970-01-01.
fn month_and_day(day: i64) -> (u8, u8) {
    let (_, month, day) = date(day);
    (month, day)
}

/// Year, month and day of the month of a day since 1970-01-01 (the proleptic Gregorian calendar, by eras of 400 years
/// that begin in March).
fn date(day: i64) -> (i64, u8, u8) {
    let era = (day + 719_468).div_euclid(146_097);
    let of_era = (day + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month as u8, (of_year - (153 * shifted + 2) / 5 + 1) as u8)
}

/// Whether `schedule` applies at `ts`. A span of hours that goes past midnight belongs to the day on which it begins.
pub fn applies(schedule: &Schedule, city: CityTime, ts: i64) -> bool {
    let (day, ms) = city.day_and_ms(ts);
    let minute = ms / MINUTE_MS;
    let on = |day: i64| {
        let in_season = schedule.season.is_none_or(|(from, to)| {
            let date = month_and_day(day);
            if from <= to { from <= date && date <= to } else { from <= date || date <= to }
        });
        in_season && (schedule.days.is_empty() || schedule.days.contains(&weekday(day)))
    };
    if schedule.hours.is_empty() {
        return on(day);
    }
    schedule.hours.iter().any(|&(from, to)| {
        let (from, to) = (i64::from(from), i64::from(to));
        if from < to {
            on(day) && (from..to).contains(&minute)
        } else {
            (on(day) && minute >= from) || (on(day - 1) && minute < to)
        }
    })
}

/// The minutes of the day at which the rule is judged without a reading.
fn minutes(rule: &Compiled) -> Vec<u16> {
    let mut minutes = Vec::new();
    match &rule.rule.signal {
        Signal::NightMinimum { to_min, .. } => minutes.push(*to_min),
        Signal::DailyMean { .. } => minutes.push(0),
        _ => {}
    }
    if let Some(schedule) = &rule.rule.schedule {
        minutes.push(0);
        // 24:00 is the next day's midnight.
        minutes.extend(schedule.hours.iter().flat_map(|&(from, to)| [from % 1440, to % 1440]));
    }
    minutes.sort_unstable();
    minutes.dedup();
    minutes
}

/// The moments in `(after, until]` at which the rule is judged without a reading, in order.
pub fn between(rule: &Compiled, city: CityTime, after: i64, until: i64) -> impl Iterator<Item = i64> + '_ {
    let mut at = after;
    std::iter::from_fn(move || {
        at = next(rule, city, at)?;
        (at <= until).then_some(at)
    })
}

/// The first moment after `after` at which the rule is judged without a reading.
pub fn next(rule: &Compiled, city: CityTime, after: i64) -> Option<i64> {
    let grid = rule.every_ms.map(|every| (after.div_euclid(every) + 1) * every);
    let minutes = minutes(rule);
    let (day, _) = city.day_and_ms(after);
    let daily = (day..=day + 1)
        .flat_map(|day| minutes.iter().map(move |minute| city.at(day, *minute)))
        .find(|moment| *moment > after);
    grid.into_iter().chain(daily).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_names_and_dates() {
        for (day, date, name) in
            [(0, (1, 1), 4), (59, (3, 1), 7), (11_016, (2, 29), 2), (20_781, (11, 24), 2), (-1, (12, 31), 3)]
        {
            assert_eq!((month_and_day(day), weekday(day)), (date, name), "{day}");
        }
        assert_eq!(CityTime::new(480).say(1_794_560_400_000), "2026-11-13 17:00:00");
        assert_eq!(CityTime::new(0).say(-1000), "1969-12-31 23:59:59");
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let city = CityTime::new(480);
        let night =
            Schedule { hours: vec![(22 * 60, 6 * 60)], days: vec![2], season: Some(((11, 15), (3, 15))) };
        // 2026-11-24 is a Tuesday.
        let at = |day: i64, minute: u16| city.at(day, minute);
        for (ts, expected) in [
            (at(20_781, 22 * 60), true),
            (at(20_781, 23 * 60 + 59), true),
            (at(20_782, 0), true),
            (at(20_782, 6 * 60), false),
            (at(20_781, 5 * 60), false),
            (at(20_782, 22 * 60), false),
            (at(20_781 - 14, 22 * 60), false),
            (at(20_781 - 7, 22 * 60), true),
        ] {
            assert_eq!(applies(&night, city, ts), expected, "{ts}");
        }
        assert!(applies(&Schedule::default(), city, 0));
        assert!(applies(&Schedule { hours: vec![(0, 1440)], ..Schedule::default() }, city, 0));
    }
}
