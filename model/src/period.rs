//! Periods of statistics: day, week, month, quarter, year, the last days, and everything.
//!
//! **Meaning.** A period is a span of days of the city's own date; a label says which: `2026-11-24`, `2026-W48`
//! (ISO 8601, from Monday), `2026-11`, `2026-Q4`, `2026`, `last-30d` (a window that ends with the day of T), `all`.
//! Source: 日, 周, 月, 季, 年 of the evaluation built on GB/T 30428.4.
//!
//! **Mechanism.** Days are numbers since 1970-01-01; the calendar arithmetic is the `time` crate's.
//!
//! **State.** None.

use serde::{Deserialize, Serialize};
use time::{Date, Month};

/// The Julian day number of 1970-01-01.
const UNIX_EPOCH_JULIAN_DAY: i32 = 2_440_588;
const DAY_MS: i64 = 86_400_000;

/// What kind of period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// 日.
    Day,
    /// 周, from Monday.
    Week,
    /// 月.
    Month,
    /// 季.
    Quarter,
    /// 年.
    Year,
    /// A window of whole days that ends with the day of T.
    Rolling,
    /// The whole log.
    All,
}

impl PeriodKind {
    /// The kinds whose periods stand still: those that a day belongs to.
    pub const FIXED: [PeriodKind; 6] =
        [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year, Self::All];

    /// The name in records and views.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Rolling => "rolling",
            Self::All => "all",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [&Self::FIXED[..], &[Self::Rolling]].concat().into_iter().find(|kind| kind.name() == name)
    }
}

/// A period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Period {
    /// What kind.
    pub kind: PeriodKind,
    /// Its first day, in days since 1970-01-01; the number of days of a rolling window; 0 for everything.
    pub start: i32,
}

/// The day of the city's own date that holds the Unix time `ts`, ms, where the city is `offset_ms` ahead of UTC.
pub fn day_of(ts: i64, offset_ms: i64) -> i32 {
    i32::try_from((ts + offset_ms).div_euclid(DAY_MS)).unwrap_or(if ts < 0 { i32::MIN } else { i32::MAX })
}

/// The first instant of a day of the city's own date, Unix ms.
pub fn midnight(day: i32, offset_ms: i64) -> i64 {
    i64::from(day) * DAY_MS - offset_ms
}

/// The calendar date of a day; dates beyond the year 9999 are its last.
fn date(day: i32) -> Date {
    Date::from_julian_day(day.saturating_add(UNIX_EPOCH_JULIAN_DAY)).unwrap_or(Date::MAX)
}

fn number(date: Date) -> i32 {
    date.to_julian_day() - UNIX_EPOCH_JULIAN_DAY
}

fn first_of(year: i32, month: Month) -> i32 {
    number(Date::from_calendar_date(year, month, 1).unwrap_or(Date::MAX))
}

impl Period {
    /// Everything.
    pub const ALL: Period = Period { kind: PeriodKind::All, start: 0 };

    /// The period of this kind that `day` belongs to. A rolling window has no day of its own: `day` is then its length.
    pub fn of(kind: PeriodKind, day: i32) -> Self {
        let start = match kind {
            PeriodKind::Day | PeriodKind::Rolling => day,
            // 1970-01-01 was a Thursday.
            PeriodKind::Week => day - (day + 3).rem_euclid(7),
            PeriodKind::Month => {
                let date = date(day);
                first_of(date.year(), date.month())
            }
            PeriodKind::Quarter => {
                let date = date(day);
                let first = [Month::January, Month::April, Month::July, Month::October];
                first_of(date.year(), first[usize::from((u8::from(date.month()) - 1) / 3)])
            }
            PeriodKind::Year => first_of(date(day).year(), Month::January),
            PeriodKind::All => 0,
        };
        Self { kind, start }
    }

    /// The first day after the period; `None` for windows that move and for everything.
    pub fn end(self) -> Option<i32> {
        Some(match self.kind {
            PeriodKind::Day => self.start + 1,
            PeriodKind::Week => self.start + 7,
            // The first of the next: far enough to be in it, and not beyond.
            PeriodKind::Month => Self::of(self.kind, self.start + 31).start,
            PeriodKind::Quarter => Self::of(self.kind, self.start + 92).start,
            PeriodKind::Year => Self::of(self.kind, self.start + 366).start,
            PeriodKind::Rolling | PeriodKind::All => return None,
        })
    }

    /// Its label.
    pub fn label(self) -> String {
        let day = date(self.start);
        match self.kind {
            PeriodKind::Day => {
                format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day())
            }
            PeriodKind::Week => {
                let (year, week, _) = day.to_iso_week_date();
                format!("{year:04}-W{week:02}")
            }
            PeriodKind::Month => format!("{:04}-{:02}", day.year(), u8::from(day.month())),
            PeriodKind::Quarter => format!("{:04}-Q{}", day.year(), (u8::from(day.month()) - 1) / 3 + 1),
            PeriodKind::Year => format!("{:04}", day.year()),
            PeriodKind::Rolling => format!("last-{}d", self.start),
            PeriodKind::All => "all".to_owned(),
        }
    }

    /// The period with this label.
    pub fn parse(label: &str) -> Option<Self> {
        if label == "all" {
            return Some(Self::ALL);
        }
        if let Some(days) = label.strip_prefix("last-").and_then(|rest| rest.strip_suffix('d')) {
            let days = days.parse().ok().filter(|days| *days > 0)?;
            return Some(Self { kind: PeriodKind::Rolling, start: days });
        }
        let number_of = |text: &str, width: usize| -> Option<i32> {
            (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| text.parse().ok())
                .flatten()
        };
        let mut parts = label.split('-');
        let year = number_of(parts.next()?, 4)?;
        let month_of = |n: i32| u8::try_from(n).ok().and_then(|n| Month::try_from(n).ok());
        let period = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => Self::of(PeriodKind::Year, first_of(year, Month::January)),
            (Some(part), None, None) => match part.split_at_checked(1)? {
                ("W", week) => {
                    let week = u8::try_from(number_of(week, 2)?).ok()?;
                    let monday = Date::from_iso_week_date(year, week, time::Weekday::Monday).ok()?;
                    Self { kind: PeriodKind::Week, start: number(monday) }
                }
                ("Q", quarter) => {
                    let month = month_of((number_of(quarter, 1)? - 1) * 3 + 1)?;
                    Self { kind: PeriodKind::Quarter, start: first_of(year, month) }
                }
                _ => Self { kind: PeriodKind::Month, start: first_of(year, month_of(number_of(part, 2)?)?) },
            },
            (Some(month), Some(day), None) => {
                let day = u8::try_from(number_of(day, 2)?).ok()?;
                let date = Date::from_calendar_date(year, month_of(number_of(month, 2)?)?, day).ok()?;
                Self { kind: PeriodKind::Day, start: number(date) }
            }
            _ => return None,
        };
        Some(period)
    }
}

#[cfg(test)]
mod tests {
    use super::{Period, PeriodKind, day_of, midnight};

    /// 2026-11-13, a Friday, in Asia/Shanghai.
    const DAY: i32 = 20_770;

    #[test]
    fn a_day_belongs_to_one_period_of_each_kind() {
        let labels: Vec<String> =
            PeriodKind::FIXED.iter().map(|kind| Period::of(*kind, DAY).label()).collect();
        assert_eq!(labels, ["2026-11-13", "2026-W46", "2026-11", "2026-Q4", "2026", "all"]);
        assert_eq!(Period { kind: PeriodKind::Rolling, start: 30 }.label(), "last-30d");
        // 2027-01-01 belongs to the last ISO week of 2026.
        assert_eq!(Period::of(PeriodKind::Week, 20_819).label(), "2026-W53");
        assert_eq!(day_of(1_794_560_400_000, 8 * 3_600_000), DAY);
        assert_eq!(midnight(DAY, 8 * 3_600_000), 1_794_560_400_000 - 17 * 3_600_000);
    }

    #[test]
    fn periods_follow_each_other_and_their_labels_are_read_back() {
        for kind in
            [PeriodKind::Day, PeriodKind::Week, PeriodKind::Month, PeriodKind::Quarter, PeriodKind::Year]
        {
            for day in (10_000..25_000).step_by(17) {
                let period = Period::of(kind, day);
                let end = period.end().unwrap();
                assert!((period.start..end).contains(&day));
                assert_eq!((Period::of(kind, end).start, Period::of(kind, end - 1)), (end, period));
                assert_eq!(Period::parse(&period.label()), Some(period), "{}", period.label());
            }
        }
        for other in ["all", "last-30d"] {
            assert_eq!(Period::parse(other).unwrap().label(), other);
        }
        for wrong in
            ["", "26", "2026-13", "2026-Q5", "2026-W54", "2026-02-30", "2026-1", "last-0d", "2026-11-13-1"]
        {
            assert_eq!(Period::parse(wrong), None, "{wrong}");
        }
    }
}
