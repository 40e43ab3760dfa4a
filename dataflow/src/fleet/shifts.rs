//! Shifts of days: which spans of time a shift has, and to which a time belongs.
//!
//! **Meaning.** A shift on a date begins at its start on that date of the city and ends at its end, which may be on
//! the next. It is *heard* when a fix of any vehicle lies in one of its slots. What is planned for a shift is shown
//! from the beginning of its date, and after that date and the shift are over if it was heard.
//!
//! **State.** The shifts in force, and one counter per slot of [`SLOT_MS`] with fixes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::reference::road::PlanRef;
use model::reference::shift::ShiftRef;
use model::{Sym, Tick, Typed};

use crate::operators::delta::Delta;
use crate::views::reference::CurrentRow;

/// Presence is counted in slots of this length, ms; pieces are cut on the same grid.
pub const SLOT_MS: i64 = matching::pieces::GRID_MS;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// No shift lasts longer than from the beginning of its date to the end of the next.
pub const LONGEST_MS: i64 = 2 * DAY_MS;

/// A shift on a date: its id, and days since 1970-01-01.
pub type ShiftDay = (Sym, i32);

/// Times of a city, as far as shifts need them.
#[derive(Clone, Copy, Debug)]
pub struct CityTime {
    offset_ms: i64,
}

impl CityTime {
    /// City time is UTC plus `utc_offset_min` minutes.
    pub fn new(utc_offset_min: i32) -> Self {
        Self { offset_ms: i64::from(utc_offset_min) * MINUTE_MS }
    }

    /// The date of a time, days since 1970-01-01.
    pub fn date(self, ts: i64) -> i32 {
        i32::try_from((ts + self.offset_ms).div_euclid(DAY_MS)).unwrap_or(i32::MAX)
    }

    /// Beginning of a date, Unix ms.
    pub fn midnight(self, date: i32) -> i64 {
        i64::from(date) * DAY_MS - self.offset_ms
    }

    /// The span `[start, end)` of a shift on a date, Unix ms.
    pub fn span(self, shift: &ShiftRef, date: i32) -> (i64, i64) {
        let at = |minute: u16| self.midnight(date) + i64::from(minute) * MINUTE_MS;
        (at(shift.start), at(shift.end))
    }

    /// The part of a shift's span in which a plan wants its passes: each end is the first such time of the day after
    /// the shift begins; one that isn't within the shift is the shift's own.
    pub fn window(self, shift: &ShiftRef, date: i32, plan: &PlanRef) -> (i64, i64) {
        let (start, end) = (i32::from(shift.start), i32::from(shift.end));
        // 24:00 is a name of 0:00: what counts is the time of the day.
        let first = |minute: u16, since: i32| {
            let at = since + (i32::from(minute) - since).rem_euclid(24 * 60);
            (at <= end).then_some(at)
        };
        let from = plan.from.and_then(|from| first(from, start)).unwrap_or(start);
        let by = plan.by.and_then(|by| first(by, start + 1)).unwrap_or(end);
        let at = |minute: i32| self.midnight(date) + i64::from(minute) * MINUTE_MS;
        (at(from), at(by))
    }
}

/// A date as the views write it. The last one is kept: rows of a tick are mostly of one date.
pub fn iso_date(date: i32) -> Arc<str> {
    thread_local! {
        static LAST: RefCell<Option<(i32, Arc<str>)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((of, text)) if *of == date => Arc::clone(text),
        _ => {
            let text: Arc<str> = written(date).into();
            *last = Some((date, Arc::clone(&text)));
            text
        }
    })
}

fn written(date: i32) -> String {
    // Days since 0000-03-01, in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms").
    let z = i64::from(date) + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The shifts in force, and when fixes were heard.
#[derive(Debug)]
pub struct Shifts {
    /// City time.
    pub time: CityTime,
    in_force: BTreeMap<Sym, ShiftRef>,
    heard: BTreeMap<i64, i64>,
}

impl Shifts {
    /// No shifts yet.
    pub fn new(time: CityTime) -> Self {
        Self { time, in_force: BTreeMap::new(), heard: BTreeMap::new() }
    }

    /// Takes the change of a `shift` record; whether anything is different.
    pub fn change(&mut self, delta: &Delta<CurrentRow>) -> bool {
        let Some((_, id)) = delta.key() else { return false };
        match delta.new.as_ref().map(|row| &row.body.typed) {
            Some(Typed::Shift(shift)) => self.in_force.insert(id, shift.clone()).as_ref() != Some(shift),
            _ => self.in_force.remove(&id).is_some(),
        }
    }

    /// Takes the change of the number of workers that heard something in a slot; `true` when the answer to
    /// [`Shifts::heard`] may differ.
    pub fn hear(&mut self, slot: i64, by: i64) -> bool {
        let count = self.heard.entry(slot).or_default();
        let before = *count;
        *count += by;
        let after = *count;
        if after == 0 {
            self.heard.remove(&slot);
        }
        (before > 0) != (after > 0)
    }

    /// The shift, if it is in force.
    pub fn get(&self, shift: Sym) -> Option<&ShiftRef> {
        self.in_force.get(&shift)
    }

    /// All shifts in force.
    pub fn iter(&self) -> impl Iterator<Item = (Sym, &ShiftRef)> {
        self.in_force.iter().map(|(id, shift)| (*id, shift))
    }

    /// The span of a shift on a date, if it is in force.
    pub fn span(&self, (shift, date): ShiftDay) -> Option<(i64, i64)> {
        Some(self.time.span(self.get(shift)?, date))
    }

    /// The shifts on dates that `ts` lies in, whatever the fleet.
    pub fn at(&self, ts: i64) -> impl Iterator<Item = ShiftDay> {
        let date = self.time.date(ts);
        self.iter().flat_map(move |(id, shift)| {
            [date - 1, date].into_iter().filter_map(move |date| {
                let (start, end) = self.time.span(shift, date);
                (start <= ts && ts < end).then_some((id, date))
            })
        })
    }

    /// Whether a fix was heard in a span.
    pub fn heard(&self, (start, end): (i64, i64)) -> bool {
        self.heard.range(first_slot(start)..first_slot(end)).next().is_some()
    }

    /// The dates of a shift that may have been heard.
    pub fn heard_dates(&self, shift: &ShiftRef) -> Vec<i32> {
        let mut dates: Vec<i32> = self
            .heard
            .keys()
            .flat_map(|slot| {
                let date = self.time.date(slot * SLOT_MS);
                [date - 1, date]
            })
            .collect();
        dates.sort_unstable();
        dates.dedup();
        dates.retain(|date| self.heard(self.time.span(shift, *date)));
        dates
    }

    /// Whether what is planned for a shift on a date is shown at `now`.
    pub fn shown(&self, (shift, date): ShiftDay, now: i64) -> bool {
        let Some((start, end)) = self.span((shift, date)) else { return false };
        let today = self.time.date(now) == date;
        today || (start <= now && now < end) || (date <= self.time.date(now) && self.heard((start, end)))
    }

    /// Forgets what was heard before `ts`.
    pub fn forget(&mut self, ts: i64) {
        while let Some(first) = self.heard.first_entry().filter(|first| *first.key() < ts.div_euclid(SLOT_MS))
        {
            first.remove();
        }
    }
}

/// The first slot that begins at or after `ts`.
pub fn first_slot(ts: i64) -> i64 {
    -(-ts).div_euclid(SLOT_MS)
}

/// The tick as a Unix time.
pub fn now_of(tick: Tick) -> i64 {
    i64::try_from(tick).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use model::Sym;
    use model::reference::road::PlanRef;
    use model::reference::shift::ShiftRef;

    use super::{CityTime, SLOT_MS, Shifts, first_slot, iso_date};

    #[test]
    fn a_night_shift_belongs_to_the_date_on_which_it_begins() {
        let mut shifts = Shifts::new(CityTime::new(480));
        shifts.in_force.insert(Sym(1), ShiftRef { start: 22 * 60, end: 30 * 60, fleets: vec![] });
        let date = 20_770;
        let midnight = shifts.time.midnight(date);
        let of = |hour: i64| shifts.at(midnight + hour * 3_600_000).collect::<Vec<_>>();
        assert_eq!(of(21), vec![]);
        assert_eq!(of(22), vec![(Sym(1), date)]);
        assert_eq!(of(29), vec![(Sym(1), date)]);
        assert_eq!(of(30), vec![]);
        assert_eq!(of(5), vec![(Sym(1), date - 1)]);
    }

    #[test]
    fn a_plan_may_want_a_part_of_a_shift() {
        let time = CityTime::new(480);
        let minutes = |shift: (u16, u16), from: Option<u16>, by: Option<u16>| {
            let shift = ShiftRef { start: shift.0, end: shift.1, fleets: vec![] };
            let (from, by) = time.window(&shift, 20_770, &PlanRef { shift: Sym(1), passes: 1, from, by });
            let minute = |ts: i64| (ts - time.midnight(20_770)) / 60_000;
            (minute(from), minute(by))
        };
        let (early, night, day) = ((240, 480), (22 * 60, 30 * 60), (0, 24 * 60));
        assert_eq!(minutes(early, None, None), (240, 480));
        assert_eq!(minutes(early, None, Some(420)), (240, 420));
        assert_eq!(minutes(early, Some(300), Some(420)), (300, 420));
        assert_eq!(minutes(early, Some(180), Some(540)), (240, 480), "neither lies within the shift");
        assert_eq!(minutes(early, None, Some(240)), (240, 480), "it cannot be done before it begins");
        assert_eq!(minutes(night, Some(23 * 60), Some(60)), (23 * 60, 25 * 60), "past midnight");
        assert_eq!(minutes(day, Some(24 * 60), Some(60)), (0, 60), "24:00 is 0:00");
        assert_eq!(minutes(day, None, Some(0)), (0, 24 * 60), "0:00 after it begins is 24:00");
    }

    #[test]
    fn dates_are_written_as_a_calendar_has_them() {
        for (days, text) in
            [(0, "1970-01-01"), (20_770, "2026-11-13"), (19_782, "2024-02-29"), (-1, "1969-12-31")]
        {
            assert_eq!(&*iso_date(days), text);
        }
    }

    #[test]
    fn a_slot_counts_from_its_beginning() {
        assert_eq!([first_slot(0), first_slot(1), first_slot(SLOT_MS)], [0, 1, 1]);
    }
}
