//! One vehicle: its journal, what was said of it, and the doubts about its device.
//!
//! **State.** See the module above; what is open at the end is kept as it was said last.

use model::reference::VehicleRef;
use model::{Sym, Tick};
use serde::{Deserialize, Serialize};
use tracks::fence::Bounds;
use tracks::quality::Pairs;
use tracks::vehicle::{Profile, State};
use tracks::visit::{Event, Kind, Plan, missed, next_end};
use tracks::{Fix, Journal, Params, Place, Said, VehicleFold};

use super::fences::Areas;
use super::{Doubt, Out, net};
use crate::Settings;
use crate::fleet::datum::Beside;
use crate::operators::delta::Delta;
use crate::views::fence_events::EventRow;
use crate::views::gps_quality::{Counts, QualityRow};
use crate::views::stops::StopRow;
use crate::views::trips::TripRow;
use crate::views::vehicles::TrackFix;

/// One vehicle.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Vehicle {
    profile: Profile,
    journal: Journal<State, Said>,
    /// What was open, and what was missed, when it was said last.
    open: Vec<Said>,
    missed: Vec<Event>,
    /// Whether visits to planned fences, or the plans, have changed since `missed` was worked out.
    replan: bool,
    /// When the next planned window ends, as of then, Unix ms.
    plan_due: Option<i64>,
    first_ts: Option<i64>,
    counts: Counts,
    doubts: Option<QualityRow>,
}

/// What tells rows of one vehicle apart.
fn key(said: &Said) -> (u8, u32, u8, i64) {
    match said {
        Said::Trip(trip) => (0, 0, 0, trip.start_ts),
        Said::Stop(stop) => (1, 0, 0, stop.start_ts),
        Said::Event(event) => (2, event.fence, event.kind as u8, event.start_ts),
    }
}

impl Vehicle {
    /// Takes its record; true when something may change.
    pub fn take_reference(&mut self, id: Sym, known: Option<&VehicleRef>) -> bool {
        let fleet = known.map_or(Sym::EMPTY, |known| known.fleet).0;
        let speed_limit_kmh = known.and_then(|known| known.speed_limit_kmh);
        let changed = self.profile.fleet != fleet || self.profile.speed_limit_kmh != speed_limit_kmh;
        if changed {
            (self.profile.vehicle, self.profile.fleet) = (id.0, fleet);
            self.profile.speed_limit_kmh = speed_limit_kmh;
            self.journal.mark_all();
        }
        changed
    }

    /// Takes its plans.
    pub fn take_plans(&mut self, plans: Vec<Plan>) {
        // A route may have changed under the same plan, so the way is judged again either way.
        self.profile.plans = plans;
        self.replan = true;
        self.journal.mark_all();
    }

    /// Counts a fix that is not in the track.
    pub fn doubt(&mut self, doubt: Doubt, n: i64) {
        match doubt {
            Doubt::Zero => self.counts.zeros += n,
            Doubt::Future => self.counts.future += n,
            Doubt::Jump => self.counts.jumps += n,
        }
    }

    /// Counts fixes beside roads.
    pub fn look_beside(&mut self, beside: Beside) {
        self.counts.beside += beside;
    }

    /// Marks what lies in one of these boxes; false when nothing does.
    pub fn meets(&mut self, boxes: &[Bounds]) -> bool {
        self.journal.mark_meeting(boxes)
    }

    /// Judges all fixes again by the area that they are plausible in.
    pub fn judge_area(&mut self, areas: &Areas) {
        self.counts.out_of_area = self.journal.fixes().filter(|fix| areas.is_out(fix.at)).count() as i64;
    }

    /// Puts a fix of the track in its place, or takes it out.
    pub fn put(&mut self, id: Sym, ts: i64, fix: Option<&TrackFix>, areas: &Areas, params: &Params) {
        self.profile.vehicle = id.0;
        let new = fix.map(|fix| Fix {
            ts,
            at: Place::new(fix.lon, fix.lat),
            speed: fix.speed,
            working: fix.working,
        });
        let (before, old, after) = {
            let (before, after) = self.journal.neighbours(ts);
            (before.copied(), self.journal.get(ts).copied(), after.copied())
        };
        // The pairs that this event time is part of, without it or with it.
        let pairs = |fix: Option<&Fix>| {
            let mut pairs = Pairs::default();
            let row: Vec<&Fix> = before.iter().chain(fix).chain(&after).collect();
            row.windows(2).for_each(|pair| pairs += Pairs::of(pair[0], pair[1]));
            pairs
        };
        self.counts.pairs -= pairs(old.as_ref());
        self.counts.pairs += pairs(new.as_ref());
        let out = |fix: &Option<Fix>| i64::from(fix.as_ref().is_some_and(|fix| areas.is_out(fix.at)));
        self.counts.out_of_area += out(&new) - out(&old);
        self.counts.fixes += i64::from(new.is_some()) - i64::from(old.is_some());
        match new {
            Some(new) => {
                let fold = VehicleFold { params, fences: &areas.fences, profile: &self.profile };
                self.journal.put(&fold, new);
            }
            None => {
                self.journal.take(ts);
            }
        }
        if self.first_ts.is_none_or(|first| ts <= first) {
            // A first fix that is taken back leaves the next one as the first.
            self.first_ts = self.journal.fixes().next().map(|fix| fix.ts);
            self.replan = true;
        }
    }

    /// Says what has changed.
    pub fn settle(
        &mut self,
        id: Sym,
        tick: Tick,
        now: i64,
        areas: &Areas,
        settings: &Settings,
        out: &mut Out,
    ) {
        let params = &settings.journeys;
        let fold = VehicleFold { params, fences: &areas.fences, profile: &self.profile };
        let changes = self.journal.settle(&fold);
        let open = self.journal.end().open(params, &areas.fences, &self.profile, now);
        let (mut minus, mut plus) = (changes.withdrawn, changes.said);
        minus.extend(std::mem::replace(&mut self.open, open.clone()));
        plus.extend(open);
        let planned = |said: &Said| matches!(said, Said::Event(event) if self.profile.plans.iter().any(|plan| plan.fence == event.fence));
        let ended = self.plan_due.is_some_and(|due| due <= now);
        if ended || self.replan || minus.iter().chain(&plus).any(planned) {
            self.replan = false;
            self.plan_due = next_end(&self.profile.plans, params.utc_offset_min, now);
            let new = self.miss(now, areas, settings);
            minus.extend(std::mem::replace(&mut self.missed, new.clone()).into_iter().map(Said::Event));
            plus.extend(new.into_iter().map(Said::Event));
        }
        for (old, new) in net(minus, plus, key) {
            self.say(id, tick, old, new, out);
        }
        let new = QualityRow::of(id, &self.counts);
        if self.doubts != new {
            let old = std::mem::replace(&mut self.doubts, new.clone());
            out.quality.push((tick, Delta { old, new }));
        }
        if let Some(horizon) = settings.horizon_ms {
            self.journal.prune(now - horizon);
        }
    }

    fn say(&self, id: Sym, tick: Tick, old: Option<Said>, new: Option<Said>, out: &mut Out) {
        let trip = |said: Option<Said>| match said {
            Some(Said::Trip(trip)) => Some(TripRow { vehicle: id, trip }),
            _ => None,
        };
        let stop = |said: Option<Said>| match said {
            Some(Said::Stop(stop)) => Some(StopRow { vehicle: id, stop }),
            _ => None,
        };
        let event = |said: Option<Said>| match said {
            Some(Said::Event(event)) => Some(EventRow { vehicle: id, event }),
            _ => None,
        };
        match old.as_ref().or(new.as_ref()) {
            Some(Said::Trip(_)) => out.trips.push((tick, Delta { old: trip(old), new: trip(new) })),
            Some(Said::Stop(_)) => out.stops.push((tick, Delta { old: stop(old), new: stop(new) })),
            Some(Said::Event(_)) => out.events.push((tick, Delta { old: event(old), new: event(new) })),
            None => {}
        }
    }

    /// The windows in which it never came: areas only, whole windows since its first fix and within the horizon.
    fn miss(&self, now: i64, areas: &Areas, settings: &Settings) -> Vec<Event> {
        let Some(first) = self.first_ts else { return Vec::new() };
        let since = settings.horizon_ms.map_or(first, |horizon| first.max(now - horizon));
        let offset = settings.journeys.utc_offset_min;
        let mut been = Vec::new();
        for said in self.journal.said().chain(&self.open) {
            if let Said::Event(event) = said
                && matches!(event.kind, Kind::Visit | Kind::Passage)
            {
                // Whoever has not left is there.
                been.push((event.fence, event.start_ts, event.end_ts.unwrap_or(now)));
            }
        }
        let is_area = |plan: &&Plan| areas.fences.get(plan.fence).is_some_and(|fence| !fence.is_route);
        let plans: Vec<Plan> = self.profile.plans.iter().filter(is_area).copied().collect();
        missed(&plans, offset, since, now, &been)
    }

    /// When time alone changes something, Unix ms.
    pub fn due(&self, now: i64, params: &Params) -> Option<i64> {
        let silent = self.journal.last().map(|last| last.ts + params.gap_ms + 1).filter(|at| *at > now);
        let planned = self.plan_due.filter(|at| *at > now && self.first_ts.is_some());
        silent.into_iter().chain(planned).min()
    }
}
