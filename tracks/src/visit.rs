//! Visits to fences, passages through them, and ways off a planned route.
//!
//! **Meaning.** With regard to an area a fix is inside or outside, and *near* when it is within the margin of the
//! boundary. A visit begins with a fix that is inside and not near, and is over with one that is outside and not near;
//! fixes near the boundary change nothing, so a vehicle that stands on it does not come and go. Its beginning and end
//! are the moments at which the way between two fixes crosses the boundary: of the last crossing inwards before it was
//! certain, and of the first crossing outwards. A track that begins inside, or goes on inside after a break, begins a
//! visit with its first fix; a break ends a visit with the last fix before it.
//!
//! A *passage* is a way between two outside fixes, no hole between them, that goes through the area over at least twice
//! the margin. A *deviation* is a row of fixes within one planned window that are off the planned route by more than
//! its width and the margin, over at least the deviation time.
//!
//! **State.** One entry per area that the vehicle is in or near, and per planned route that it is off.

use serde::{Deserialize, Serialize};

use crate::Params;
use crate::fence::{Bounds, Fence, FenceId, Window};
use crate::index::Fences;
use crate::place::{Fix, distance_m};

/// ms in a second, in a minute, and in a day.
const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1440 * MINUTE_MS;

/// What happened at a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// It was there.
    Visit,
    /// It went through between two fixes.
    Passage,
    /// It left its planned route.
    Deviation,
    /// It should have been there and never came.
    Missed,
}

impl Kind {
    /// The name in the view.
    pub fn name(self) -> &'static str {
        match self {
            Self::Visit => "visit",
            Self::Passage => "passage",
            Self::Deviation => "deviation",
            Self::Missed => "missed",
        }
    }
}

/// One event at one fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The fence.
    pub fence: FenceId,
    /// What happened.
    pub kind: Kind,
    /// Entered, or left the route; Unix ms.
    pub start_ts: i64,
    /// Left, or came back; `None` while it is there.
    pub end_ts: Option<i64>,
    /// The latest time at which it is known to have lasted, Unix ms.
    pub known_ts: i64,
    /// Whether it lasted longer than the fence allows.
    pub overstay: bool,
    /// Whether it may still go on.
    pub provisional: bool,
}

/// A fence that a vehicle should be at, or a route that it should keep to, in a window of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The fence.
    pub fence: FenceId,
    /// When, in city time.
    pub window: Window,
}

impl Plan {
    /// The span `[from, to)` in Unix ms of the window of city day `day` (days since 1970-01-01).
    pub fn span(&self, day: i64, utc_offset_min: i32) -> (i64, i64) {
        let midnight = day * DAY_MS - i64::from(utc_offset_min) * MINUTE_MS;
        (midnight + i64::from(self.window.from) * SECOND_MS, midnight + i64::from(self.window.to) * SECOND_MS)
    }

    /// The city day whose window holds `ts`.
    pub fn day_of(&self, ts: i64, utc_offset_min: i32) -> Option<i64> {
        let day = city_day(ts, utc_offset_min);
        // A window may reach past midnight.
        [day, day - 1].into_iter().find(|day| {
            let (from, to) = self.span(*day, utc_offset_min);
            (from..to).contains(&ts)
        })
    }
}

/// The day of the city's calendar, days since 1970-01-01.
pub fn city_day(ts: i64, utc_offset_min: i32) -> i64 {
    (ts + i64::from(utc_offset_min) * MINUTE_MS).div_euclid(DAY_MS)
}

/// The windows of `plans` within `[since, now]` in which no event of `been` (fence, start, end) took place: missed.
pub fn missed(
    plans: &[Plan],
    utc_offset_min: i32,
    since: i64,
    now: i64,
    been: &[(FenceId, i64, i64)],
) -> Vec<Event> {
    let mut events = Vec::new();
    for plan in plans {
        for day in city_day(since, utc_offset_min)..=city_day(now, utc_offset_min) {
            let (from, to) = plan.span(day, utc_offset_min);
            let there = |(fence, start, end): &(FenceId, i64, i64)| {
                *fence == plan.fence && *start < to && *end >= from
            };
            if from >= since && to <= now && !been.iter().any(there) {
                events.push(Event {
                    fence: plan.fence,
                    kind: Kind::Missed,
                    start_ts: from,
                    end_ts: Some(to),
                    known_ts: to,
                    overstay: false,
                    provisional: false,
                });
            }
        }
    }
    events
}

/// When the next window of `plans` ends after `now`, Unix ms.
pub fn next_end(plans: &[Plan], utc_offset_min: i32, now: i64) -> Option<i64> {
    let day = city_day(now, utc_offset_min);
    let ends = plans.iter().flat_map(|plan| (day - 1..=day + 1).map(|day| plan.span(day, utc_offset_min).1));
    ends.filter(|end| *end > now).min()
}

/// One area that the vehicle is in or near.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct There {
    fence: FenceId,
    inside: bool,
    /// When it last crossed the boundary, Unix ms.
    crossed_ts: i64,
    /// Since when the visit lasts, once it is certain.
    visit: Option<i64>,
}

/// A row of fixes off a planned route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Off {
    plan: usize,
    day: i64,
    from: i64,
    to: i64,
}

/// What is known of a vehicle's visits after some fixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits {
    there: Vec<There>,
    off: Vec<Off>,
}

fn over(fence: &Fence, from: i64, to: i64) -> bool {
    fence.max_dwell_ms.is_some_and(|longest| to - from > longest)
}

fn visit(fences: &Fences, id: FenceId, from: i64, to: i64, over_now: bool) -> Event {
    Event {
        fence: id,
        kind: Kind::Visit,
        start_ts: from,
        end_ts: over_now.then_some(to),
        known_ts: to,
        overstay: fences.get(id).is_some_and(|fence| over(fence, from, to)),
        provisional: !over_now,
    }
}

impl Visits {
    /// Takes the next fix, after `previous` unless there was a break. `concerns` says which fences matter.
    pub fn step(
        &mut self,
        params: &Params,
        fences: &Fences,
        concerns: impl Fn(&Fence) -> bool,
        previous: Option<&Fix>,
        fix: &Fix,
        said: &mut impl FnMut(Event),
    ) {
        let mut bounds = Bounds::of(fix.at);
        if let Some(previous) = previous {
            bounds.extend(previous.at);
        }
        let mut there = std::mem::take(&mut self.there);
        for there in &mut there {
            match fences.get(there.fence).filter(|fence| concerns(fence)) {
                Some(fence) => there.step(params, fence, previous, fix, said),
                None => (there.inside, there.visit) = (false, None),
            }
        }
        // What has just been left is still known here, or it would be looked at twice.
        let known = there.len();
        for (id, fence) in fences.meeting(&bounds) {
            if fence.is_route || !concerns(fence) || there[..known].iter().any(|there| there.fence == id) {
                continue;
            }
            let mut new = There { fence: id, inside: false, crossed_ts: fix.ts, visit: None };
            match previous {
                Some(_) => new.step(params, fence, previous, fix, said),
                None => {
                    new.inside = fence.contains(fix.at);
                    new.visit = new.inside.then_some(fix.ts);
                }
            }
            there.push(new);
        }
        there.retain(|there| there.inside || there.visit.is_some());
        there.sort_unstable_by_key(|there| there.fence);
        self.there = there;
    }

    /// Ends everything at the last fix before a break.
    pub fn break_at(
        &mut self,
        params: &Params,
        fences: &Fences,
        plans: &[Plan],
        last: &Fix,
        said: &mut impl FnMut(Event),
    ) {
        for there in std::mem::take(&mut self.there) {
            if let Some(from) = there.visit {
                let to = if there.inside { last.ts } else { there.crossed_ts };
                said(visit(fences, there.fence, from, to, true));
            }
        }
        for off in std::mem::take(&mut self.off) {
            off.end(params, plans, false, said);
        }
    }

    /// The fences that the latest fix is inside of.
    pub fn inside<'a>(&self, fences: &'a Fences) -> impl Iterator<Item = (FenceId, &'a Fence)> {
        let inside = self.there.iter().filter(|there| there.inside);
        inside.filter_map(|there| Some((there.fence, &**fences.get(there.fence)?)))
    }

    /// Takes the next fix with regard to the planned routes.
    pub fn keep_to(
        &mut self,
        params: &Params,
        fences: &Fences,
        plans: &[Plan],
        fix: &Fix,
        said: &mut impl FnMut(Event),
    ) {
        for (plan, planned) in plans.iter().enumerate() {
            let Some(fence) = fences.get(planned.fence).filter(|fence| fence.is_route) else { continue };
            let day = planned.day_of(fix.ts, params.utc_offset_min).filter(|_| fence.is_off(fix.at));
            let at = self.off.iter().position(|off| off.plan == plan);
            match (at, day) {
                (Some(at), Some(day)) if self.off[at].day == day => self.off[at].to = fix.ts,
                (at, day) => {
                    if let Some(at) = at {
                        self.off.remove(at).end(params, plans, false, said);
                    }
                    if let Some(day) = day {
                        self.off.push(Off { plan, day, from: fix.ts, to: fix.ts });
                        self.off.sort_unstable_by_key(|off| off.plan);
                    }
                }
            }
        }
    }

    /// What is open after the latest fix.
    pub fn open(&self, params: &Params, fences: &Fences, plans: &[Plan], last: &Fix) -> Vec<Event> {
        let mut events = Vec::new();
        for there in &self.there {
            if let Some(from) = there.visit {
                events.push(visit(fences, there.fence, from, last.ts, false));
            }
        }
        for off in &self.off {
            off.clone().end(params, plans, true, &mut |event| events.push(event));
        }
        events
    }
}

impl There {
    /// Takes the next fix.
    fn step(
        &mut self,
        params: &Params,
        fence: &Fence,
        previous: Option<&Fix>,
        fix: &Fix,
        said: &mut impl FnMut(Event),
    ) {
        let Some(previous) = previous else { return };
        let inside = fence.contains(fix.at);
        let moment = |share: f64| previous.ts + ((fix.ts - previous.ts) as f64 * share).round() as i64;
        if !(self.inside && inside) {
            let crossings = fence.crossings(previous.at, fix.at);
            match (self.inside, inside, crossings) {
                (false, true, crossings) => self.crossed_ts = moment(crossings.map_or(1.0, |(_, last)| last)),
                (true, false, crossings) => {
                    self.crossed_ts = moment(crossings.map_or(0.0, |(first, _)| first))
                }
                (false, false, Some((first, last))) if fix.ts - previous.ts <= params.hole_ms => {
                    let through_m = distance_m(previous.at, fix.at) * (last - first);
                    if self.visit.is_none() && through_m >= 2.0 * fence.margin_m {
                        let (from, to) = (moment(first), moment(last));
                        said(Event {
                            fence: self.fence,
                            kind: Kind::Passage,
                            start_ts: from,
                            end_ts: Some(to),
                            known_ts: to,
                            overstay: over(fence, from, to),
                            provisional: false,
                        });
                    }
                }
                _ => {}
            }
        }
        self.inside = inside;
        if self.visit.is_some() == inside || fence.near(fix.at, fence.margin_m) {
            return;
        }
        match self.visit {
            None => self.visit = Some(self.crossed_ts),
            Some(from) => {
                let to = self.crossed_ts;
                said(Event {
                    fence: self.fence,
                    kind: Kind::Visit,
                    start_ts: from,
                    end_ts: Some(to),
                    known_ts: to,
                    overstay: over(fence, from, to),
                    provisional: false,
                });
                self.visit = None;
            }
        }
    }
}

impl Off {
    fn end(self, params: &Params, plans: &[Plan], open: bool, said: &mut impl FnMut(Event)) {
        if self.to - self.from < params.deviation_ms {
            return;
        }
        said(Event {
            fence: plans[self.plan].fence,
            kind: Kind::Deviation,
            start_ts: self.from,
            end_ts: (!open).then_some(self.to),
            known_ts: self.to,
            overstay: false,
            provisional: open,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Plan, missed, next_end};
    use crate::fence::Window;

    const HOUR: i64 = 3_600_000;
    /// 2026-11-13 00:00 in a city at UTC+8.
    const MIDNIGHT: i64 = 1_794_499_200_000;

    fn plan(from_h: u32, to_h: u32) -> Plan {
        Plan { fence: 7, window: Window { from: from_h * 3600, to: to_h * 3600 } }
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_begins_on() {
        let night = plan(22, 30);
        let (from, to) = night.span(20_770, 480);
        assert_eq!((from, to), (MIDNIGHT + 22 * HOUR, MIDNIGHT + 30 * HOUR));
        assert_eq!(night.day_of(MIDNIGHT + 25 * HOUR, 480), Some(20_770));
        assert_eq!(night.day_of(MIDNIGHT + 21 * HOUR, 480), None);
        assert_eq!(next_end(&[night], 480, MIDNIGHT + 7 * HOUR), Some(to));
        assert_eq!(next_end(&[night], 480, MIDNIGHT + HOUR), Some(MIDNIGHT + 6 * HOUR));
    }

    #[test]
    fn who_never_came_is_missed_once_the_window_is_over() {
        let plans = [plan(6, 8)];
        let (since, end) = (MIDNIGHT, MIDNIGHT + 8 * HOUR);
        assert!(missed(&plans, 480, since, end - 1, &[]).is_empty(), "it may still come");
        let events = missed(&plans, 480, since, end, &[]);
        assert_eq!(
            (events.len(), events[0].kind, events[0].start_ts),
            (1, Kind::Missed, MIDNIGHT + 6 * HOUR)
        );
        assert!(missed(&plans, 480, since, end, &[(7, end - 1, end + HOUR)]).is_empty());
        assert_eq!(
            missed(&plans, 480, since, end, &[(8, since, end)]).len(),
            1,
            "another fence doesn't help"
        );
        assert_eq!(missed(&plans, 480, since, end + 24 * HOUR, &[]).len(), 2);
        assert!(
            missed(&plans, 480, MIDNIGHT + 7 * HOUR, end, &[]).is_empty(),
            "it was not heard before the window"
        );
    }
}
