//! One limit over a signal: when an episode is raised, how long it lasts, and when it never was.
//!
//! **Meaning.** A value holds until the next counted point. The condition is *true* from a point that reaches the raise
//! limit; an episode is raised once it has been true for the hold time, at that very moment, whether a later point or
//! the clock proves it; it lasts until points have been on the other side of the clear limit for the clear hold time, and
//! is cleared at that very moment (with no such time: at the first such point). An episode is identified by rule,
//! sensor, metric and the time it was raised.
//!
//! **Mechanism.** A fold over the points with four states. A late reading restarts the fold at its place (the state
//! there follows from the episodes and the run of true readings before it) and stops as soon as it agrees with what
//! was known, so its cost follows the stretch of time that it changes.
//!
//! **State.** The episodes within the alert retention and the state after the last point.

use model::Sym;
use model::reference::rule::Occasion;
use model::reference::{Level, Limit, RuleRef, SensorRef, Severity};
use serde::{Deserialize, Serialize};

use super::{Point, Span};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::timeline::{Place, Timed, Timeline};

/// One stretch of time in which a rule's condition held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// The rule.
    pub rule: Sym,
    /// The sensor.
    pub sensor: Sym,
    /// The metric; empty for an offline episode.
    pub metric: Sym,
    /// The sensor's district; empty when unknown.
    pub district: Sym,
    /// The sensor's site; empty when unknown.
    pub site: Sym,
    /// The sensor's gateway; empty when unknown.
    pub gateway: Sym,
    /// The sensor's street; empty when unknown.
    pub street: Sym,
    /// How bad it is now; once it is over, how bad it was at worst.
    pub severity: Severity,
    /// How bad it was at worst.
    pub peak: Severity,
    /// When the condition became true, Unix ms.
    pub first_ts: i64,
    /// When it had been true for the hold time, Unix ms.
    pub raised_ts: i64,
    /// When it ended, Unix ms; `None` while it lasts.
    pub cleared_ts: Option<i64>,
    /// The value that held when it was raised; for an offline episode the silence allowed, in seconds.
    pub value: f64,
    /// How many episodes it stands for: more than one if it flaps.
    pub times: u32,
    /// Whether its rule only runs beside another.
    pub shadow: bool,
    /// The class of the case that it opens; empty when it opens none.
    pub case_class: Sym,
    /// The occasion that it is about, if it isn't about readings: `sensor` and `metric` say whose and which.
    pub occasion: Option<Occasion>,
}

/// Rule, sensor, metric and the time raised.
pub type EpisodeKey = (Sym, Sym, Sym, i64);

impl Keyed for Episode {
    type Key = EpisodeKey;
    fn key(&self) -> EpisodeKey {
        (self.rule, self.sensor, self.metric, self.raised_ts)
    }
}

/// Whose episodes these are.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    rule: Sym,
    sensor: Sym,
    metric: Sym,
    district: Sym,
    site: Sym,
    gateway: Sym,
    street: Sym,
    shadow: bool,
    case_class: Sym,
}

impl Context {
    /// Episodes of `rule`, called `id`, over `metric` of `sensor`.
    pub fn new(id: Sym, rule: &RuleRef, sensor: Sym, metric: Sym, reference: Option<&SensorRef>) -> Self {
        let of = |field: fn(&SensorRef) -> Sym| reference.map_or(Sym::EMPTY, field);
        Self {
            rule: id,
            sensor,
            metric,
            district: of(|sensor| sensor.district),
            site: of(|sensor| sensor.site),
            gateway: of(|sensor| sensor.gateway),
            street: of(|sensor| sensor.street),
            shadow: rule.shadow_of != Sym::EMPTY,
            case_class: rule.case_class,
        }
    }

    /// An episode that is raised at `raised_ts` and lasts.
    pub fn episode(&self, severity: Severity, first_ts: i64, raised_ts: i64, value: f64) -> Episode {
        let &Context { rule, sensor, metric, district, site, gateway, street, shadow, case_class } = self;
        Episode {
            rule,
            sensor,
            metric,
            district,
            site,
            gateway,
            street,
            severity,
            peak: severity,
            first_ts,
            raised_ts,
            cleared_ts: None,
            value,
            times: 1,
            shadow,
            case_class,
            occasion: None,
        }
    }
}

/// One level of a rule, with its times.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// How bad.
    pub severity: Severity,
    /// From when on.
    pub limit: Limit,
    /// How long the limit must be passed before it is raised, ms.
    pub hold_ms: i64,
    /// How long it must be clear before it is cleared, ms.
    pub clear_hold_ms: i64,
}

impl Judge {
    /// How `rule` judges at `level`.
    pub fn new(rule: &RuleRef, level: &Level) -> Self {
        let (hold_ms, clear_hold_ms) = (rule.hold_ms, rule.clear_hold_ms);
        Self { severity: level.severity, limit: level.limit, hold_ms, clear_hold_ms }
    }
}

/// The state after a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Machine {
    /// The condition doesn't hold.
    #[default]
    Normal,
    /// It holds since `first_ts`, not long enough yet; the value now is `value`.
    Pending { first_ts: i64, value: f64 },
    /// The last episode lasts.
    Active,
    /// It lasts, but has been clear since `since`, not long enough yet.
    Clearing { since: i64 },
}

/// The episodes of one level of one rule over one signal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episodes {
    list: Vec<Episode>,
    machine: Machine,
}

impl Episodes {
    /// Judges all of `points`, forgetting what was said before.
    pub fn judge_anew(
        &mut self,
        judge: &Judge,
        points: &Timeline<Point>,
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let old = std::mem::take(&mut self.list);
        self.machine = Machine::Normal;
        for point in points.iter() {
            self.step(judge, point, context);
        }
        say_difference(old, &self.list, out);
    }

    /// Goes on with the points from `from` on, which are new and come after all that were there: the common case.
    pub fn extend(
        &mut self,
        judge: &Judge,
        points: &Timeline<Point>,
        from: i64,
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        // The clock may have raised or cleared an episode later than these points: then they have a say in it.
        let later =
            |last: &Episode| last.raised_ts > from || last.cleared_ts.is_some_and(|cleared| cleared > from);
        if self.list.last().is_some_and(later) {
            let until = points.last().map_or(from, Timed::ts);
            return self.judge_from(judge, points, Span { from, until, in_order: true }, context, out);
        }
        // Only the last episode can change, if it lasts.
        let kept = self.list.len() - usize::from(self.lasting());
        let old = self.list[kept..].to_vec();
        for point in points.from(points.first_from(from)) {
            self.step(judge, point, context);
        }
        if self.list.len() > kept {
            say_difference(old, &self.list[kept..], out);
        }
    }

    /// Judges `points` again where they changed, and on until nothing changes any more.
    pub fn judge_from(
        &mut self,
        judge: &Judge,
        points: &Timeline<Point>,
        Span { from, until, .. }: Span,
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let at = points.first_from(from);
        let was = self.machine;
        // Everything that the fold may not have to touch stays; the rest is compared afterwards.
        let before = points.before(at).find(|point| point.quality != model::Quality::Bad).map(Timed::ts);
        let kept = self.list.partition_point(|episode| {
            episode.cleared_ts.is_some_and(|cleared| before.is_some_and(|before| cleared <= before))
        });
        let tail = self.list.split_off(kept);
        self.machine = match (before, tail.first()) {
            (Some(before), Some(episode)) if episode.raised_ts <= before => {
                self.list.push(Episode { cleared_ts: None, ..episode.clone() });
                clear_before(judge, points, at)
            }
            _ => run_before(judge, points, at),
        };
        let mut agreed = None;
        for point in points.from(at) {
            self.step(judge, point, context);
            if point.ts() > until
                && let Some(rest) = self.agrees(judge, point, &tail)
            {
                agreed = Some(rest);
                break;
            }
        }
        let (tail, rest) = match agreed {
            Some(rest) => {
                self.machine = was;
                let mut tail = tail;
                let rest = tail.split_off(rest);
                (tail, rest)
            }
            None => (tail, Vec::new()),
        };
        say_difference(tail, &self.list[kept..], out);
        self.list.extend(rest);
    }

    /// Whether the state after `point`, which did not change itself, is what it was before the fold: then from which place in `tail` on the old
    /// episodes still hold.
    fn agrees(&mut self, judge: &Judge, point: &Point, tail: &[Episode]) -> Option<usize> {
        let value = point.counted()?;
        let ts = point.ts();
        let next = tail.partition_point(|episode| episode.first_ts <= ts);
        let around = next
            .checked_sub(1)
            .and_then(|i| tail[i].cleared_ts.is_none_or(|cleared| cleared > ts).then_some(i));
        match (self.machine, around) {
            (Machine::Normal, None) if !judge.limit.raises(value) => Some(next),
            (Machine::Active, Some(i)) => {
                let last = self.list.last_mut()?;
                (last.raised_ts == tail[i].raised_ts && tail[i].raised_ts <= ts).then(|| {
                    last.cleared_ts = tail[i].cleared_ts;
                    i + 1
                })
            }
            _ => None,
        }
    }

    fn step(&mut self, judge: &Judge, point: &Point, context: &Context) {
        let Some(value) = point.counted() else { return };
        let ts = point.ts();
        self.hold_until(judge, ts, context);
        self.machine = match self.machine {
            Machine::Normal if judge.limit.raises(value) => {
                if judge.hold_ms == 0 {
                    self.list.push(context.episode(judge.severity, ts, ts, value));
                    Machine::Active
                } else {
                    Machine::Pending { first_ts: ts, value }
                }
            }
            Machine::Pending { first_ts, .. } if judge.limit.raises(value) => {
                Machine::Pending { first_ts, value }
            }
            Machine::Normal | Machine::Pending { .. } => Machine::Normal,
            Machine::Active | Machine::Clearing { .. } if !judge.limit.clears(value) => Machine::Active,
            Machine::Active if judge.clear_hold_ms > 0 => Machine::Clearing { since: ts },
            Machine::Clearing { since } => Machine::Clearing { since },
            Machine::Active => {
                if let Some(last) = self.list.last_mut() {
                    last.cleared_ts = Some(ts);
                }
                Machine::Normal
            }
        };
    }

    /// Raises or clears what has waited long enough at event time or clock time `now`.
    fn hold_until(&mut self, judge: &Judge, now: i64, context: &Context) {
        match self.machine {
            Machine::Pending { first_ts, value } if now - first_ts >= judge.hold_ms => {
                self.list.push(context.episode(judge.severity, first_ts, first_ts + judge.hold_ms, value));
                self.machine = Machine::Active;
            }
            Machine::Clearing { since } if now - since >= judge.clear_hold_ms => {
                if let Some(last) = self.list.last_mut() {
                    last.cleared_ts = Some(since + judge.clear_hold_ms);
                }
                self.machine = Machine::Normal;
            }
            _ => {}
        }
    }

    /// Lets time pass until `now`.
    pub fn pass(&mut self, judge: &Judge, now: i64, context: &Context, out: &mut Vec<Delta<Episode>>) {
        if self.due(judge).is_none_or(|due| due > now) {
            return;
        }
        let old = self.lasting().then(|| self.list.last().cloned()).flatten();
        self.hold_until(judge, now, context);
        let new = self.list.last().cloned();
        out.extend(Delta::between(old, new));
    }

    /// When time alone will raise or clear an episode.
    pub fn due(&self, judge: &Judge) -> Option<i64> {
        match self.machine {
            Machine::Pending { first_ts, .. } => Some(first_ts + judge.hold_ms),
            Machine::Clearing { since } => Some(since + judge.clear_hold_ms),
            Machine::Normal | Machine::Active => None,
        }
    }

    /// Whether an episode lasts.
    pub fn lasting(&self) -> bool {
        matches!(self.machine, Machine::Active | Machine::Clearing { .. })
    }

    /// Whether nothing is known and nothing is pending.
    pub fn is_blank(&self) -> bool {
        self.machine == Machine::Normal && self.list.is_empty()
    }

    /// The episodes, in order of time.
    pub fn into_list(self) -> Vec<Episode> {
        self.list
    }

    /// The episodes, in order of time.
    pub fn list(&self) -> &[Episode] {
        &self.list
    }

    /// Forgets episodes that ended before `before`: they stand as they were said.
    pub fn prune(&mut self, before: i64) {
        let n =
            self.list.partition_point(|episode| episode.cleared_ts.is_some_and(|cleared| cleared < before));
        self.list.drain(..n);
    }
}

/// The state before `at` when an episode lasts there: whether it is about to be cleared.
fn clear_before(judge: &Judge, points: &Timeline<Point>, at: Place) -> Machine {
    let clear = points.before(at).filter(|point| point.counted().is_some());
    let since =
        clear.take_while(|point| point.counted().is_some_and(|value| judge.limit.clears(value))).last();
    match since {
        Some(point) if judge.clear_hold_ms > 0 => Machine::Clearing { since: point.ts() },
        _ => Machine::Active,
    }
}

/// The state before `at` when no episode lasts there: the run of true readings that leads to it.
fn run_before(judge: &Judge, points: &Timeline<Point>, at: Place) -> Machine {
    let mut machine = Machine::Normal;
    for point in points.before(at) {
        let Some(value) = point.counted() else { continue };
        machine = match machine {
            _ if !judge.limit.raises(value) => break,
            Machine::Pending { value, .. } => Machine::Pending { first_ts: point.ts(), value },
            _ => Machine::Pending { first_ts: point.ts(), value },
        };
    }
    machine
}

/// Says what became of the episodes `old`, which are now `new`; both are in order of the time raised.
pub(super) fn say_difference(old: Vec<Episode>, new: &[Episode], out: &mut Vec<Delta<Episode>>) {
    let mut new = new.iter().peekable();
    let mut say = |old: Option<Episode>, new: Option<&Episode>| {
        out.extend(Delta::between(old, new.cloned()));
    };
    for old in old {
        while let Some(earlier) = new.next_if(|new| new.raised_ts < old.raised_ts) {
            say(None, Some(earlier));
        }
        let same = new.next_if(|new| new.raised_ts == old.raised_ts);
        say(Some(old), same);
    }
    for new in new {
        say(None, Some(new));
    }
}
