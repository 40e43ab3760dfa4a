//! Threshold rules over a series: when an alert is raised, how long it lasts, and when it never was.
//!
//! **Meaning.** A value holds until the next counted reading. The condition is *true* from a reading that reaches the
//! raise limit; an episode is raised once it has been true for the hold time, at that very moment, whether a later
//! reading or the clock proves it; it lasts until a reading on the other side of the clear limit, and is cleared at
//! that reading's time. An episode is identified by rule, sensor, metric and the time it was raised.
//!
//! **Mechanism.** A fold over the points with three states. A late reading restarts the fold at its place (the state
//! there follows from the episodes and the run of true readings before it) and stops as soon as it agrees with what
//! was known, so its cost follows the stretch of time that it changes.
//!
//! **State.** The episodes within the alert retention and the state after the last point.

use model::Sym;
use model::reference::{Condition, RuleRef, SensorRef, Severity};
use serde::{Deserialize, Serialize};

use super::{Point, Span};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::timeline::{Timed, Timeline};

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
    /// The rule's severity.
    pub severity: Severity,
    /// When the condition became true, Unix ms.
    pub first_ts: i64,
    /// When it had been true for the hold time, Unix ms.
    pub raised_ts: i64,
    /// When it ended, Unix ms; `None` while it lasts.
    pub cleared_ts: Option<i64>,
    /// The value that held when it was raised; for an offline episode the silence allowed, in seconds.
    pub value: f64,
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
}

impl Context {
    /// Episodes of `rule` over `metric` of `sensor`.
    pub fn new(rule: Sym, sensor: Sym, metric: Sym, reference: Option<&SensorRef>) -> Self {
        Self { rule, sensor, metric, district: reference.map_or(Sym::EMPTY, |reference| reference.district) }
    }

    /// An episode that is raised at `raised_ts` and lasts.
    pub fn episode(&self, severity: Severity, first_ts: i64, raised_ts: i64, value: f64) -> Episode {
        let &Context { rule, sensor, metric, district } = self;
        Episode { rule, sensor, metric, district, severity, first_ts, raised_ts, cleared_ts: None, value }
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
}

/// The episodes of one rule over one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episodes {
    list: Vec<Episode>,
    machine: Machine,
}

fn raises(rule: &RuleRef, value: f64) -> bool {
    match rule.condition {
        Condition::Above { raise, .. } => value >= raise,
        Condition::Below { raise, .. } => value <= raise,
        Condition::Offline { .. } => false,
    }
}

fn clears(rule: &RuleRef, value: f64) -> bool {
    match rule.condition {
        Condition::Above { clear, .. } => value < clear,
        Condition::Below { clear, .. } => value > clear,
        Condition::Offline { .. } => true,
    }
}

impl Episodes {
    /// Judges all of `points` by `rule`, forgetting what was said before.
    pub fn judge_anew(
        &mut self,
        rule: &RuleRef,
        points: &Timeline<Point>,
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let old = std::mem::take(&mut self.list);
        self.machine = Machine::Normal;
        for point in points.iter() {
            self.step(rule, point, context);
        }
        say_difference(old, &self.list, out);
    }

    /// Goes on with the points from `from` on, which are new and come after all that were there: the common case.
    pub fn extend(
        &mut self,
        rule: &RuleRef,
        points: &Timeline<Point>,
        from: i64,
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        // The clock may have raised an episode later than these points: then they have a say in it.
        if self.lasting() && self.list.last().is_some_and(|last| last.raised_ts > from) {
            let until = points.last().map_or(from, Timed::ts);
            return self.judge_from(rule, points, Span { from, until, in_order: true }, context, out);
        }
        // Only the last episode can change, if it lasts.
        let kept = self.list.len() - usize::from(self.lasting());
        let old = self.list[kept..].to_vec();
        for point in points.from(points.first_from(from)) {
            self.step(rule, point, context);
        }
        if self.list.len() > kept {
            say_difference(old, &self.list[kept..], out);
        }
    }

    /// Judges `points` again where they changed, and on until nothing changes any more.
    pub fn judge_from(
        &mut self,
        rule: &RuleRef,
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
                Machine::Active
            }
            _ => run_before(rule, points, at),
        };
        let mut agreed = None;
        for point in points.from(at) {
            self.step(rule, point, context);
            if point.ts() > until
                && let Some(rest) = self.agrees(rule, point, &tail)
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
    fn agrees(&mut self, rule: &RuleRef, point: &Point, tail: &[Episode]) -> Option<usize> {
        let value = point.counted()?;
        let ts = point.ts();
        let next = tail.partition_point(|episode| episode.first_ts <= ts);
        let around = next
            .checked_sub(1)
            .and_then(|i| tail[i].cleared_ts.is_none_or(|cleared| cleared > ts).then_some(i));
        match (self.machine, around) {
            (Machine::Normal, None) if !raises(rule, value) => Some(next),
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

    fn step(&mut self, rule: &RuleRef, point: &Point, context: &Context) {
        let Some(value) = point.counted() else { return };
        self.hold_until(rule, point.ts(), context);
        self.machine = match self.machine {
            Machine::Normal if raises(rule, value) => {
                if rule.hold_ms == 0 {
                    self.list.push(context.episode(rule.severity, point.ts(), point.ts(), value));
                    Machine::Active
                } else {
                    Machine::Pending { first_ts: point.ts(), value }
                }
            }
            Machine::Pending { first_ts, .. } if raises(rule, value) => Machine::Pending { first_ts, value },
            Machine::Active if !clears(rule, value) => Machine::Active,
            Machine::Active => {
                if let Some(last) = self.list.last_mut() {
                    last.cleared_ts = Some(point.ts());
                }
                Machine::Normal
            }
            Machine::Normal | Machine::Pending { .. } => Machine::Normal,
        };
    }

    /// Raises what has been pending for the hold time at event time or clock time `now`.
    fn hold_until(&mut self, rule: &RuleRef, now: i64, context: &Context) -> bool {
        let Machine::Pending { first_ts, value } = self.machine else { return false };
        if now - first_ts < rule.hold_ms {
            return false;
        }
        self.list.push(context.episode(rule.severity, first_ts, first_ts + rule.hold_ms, value));
        self.machine = Machine::Active;
        true
    }

    /// Lets time pass until `now`.
    pub fn pass(&mut self, rule: &RuleRef, now: i64, context: &Context, out: &mut Vec<Delta<Episode>>) {
        if self.hold_until(rule, now, context) {
            out.extend(self.list.last().cloned().map(|new| Delta { old: None, new: Some(new) }));
        }
    }

    /// When time alone will raise an episode.
    pub fn due(&self, rule: &RuleRef) -> Option<i64> {
        match self.machine {
            Machine::Pending { first_ts, .. } => Some(first_ts + rule.hold_ms),
            Machine::Normal | Machine::Active => None,
        }
    }

    /// Whether an episode lasts.
    pub fn lasting(&self) -> bool {
        self.machine == Machine::Active
    }

    /// Takes back everything: the rule doesn't cover the series any more.
    pub fn withdraw_all(&mut self, out: &mut Vec<Delta<Episode>>) {
        say_difference(std::mem::take(&mut self.list), &[], out);
        self.machine = Machine::Normal;
    }

    /// Forgets episodes that ended before `before`: they stand as they were said.
    pub fn prune(&mut self, before: i64) {
        let n =
            self.list.partition_point(|episode| episode.cleared_ts.is_some_and(|cleared| cleared < before));
        self.list.drain(..n);
    }
}

/// The state before `at` when no episode lasts there: the run of true readings that leads to it.
fn run_before(rule: &RuleRef, points: &Timeline<Point>, at: crate::operators::timeline::Place) -> Machine {
    let mut machine = Machine::Normal;
    for point in points.before(at) {
        let Some(value) = point.counted() else { continue };
        machine = match machine {
            _ if !raises(rule, value) => break,
            Machine::Pending { value, .. } => Machine::Pending { first_ts: point.ts(), value },
            Machine::Normal | Machine::Active => Machine::Pending { first_ts: point.ts(), value },
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
