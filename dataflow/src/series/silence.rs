//! Offline rules: a sensor that has not been heard for longer than its heartbeat allows.
//!
//! **Meaning.** Let `limit` be the heartbeats allowed times the sensor's heartbeat. Each stretch between neighbouring
//! event times of the sensor, in any metric and of any quality, that is longer than `limit` is an episode: raised at its
//! start plus `limit`, cleared at its end. The stretch after the last event time is one as soon as the clock says so.
//! A late reading that falls into a silence shortens it, splits it, or shows that it never was.
//!
//! **Mechanism.** A new event time touches only the stretch it falls into.
//!
//! **State.** The episodes within the alert retention.

use model::Sym;
use model::reference::{RuleRef, SensorRef, Severity, Signal};
use serde::{Deserialize, Serialize};

use super::Point;
use super::episodes::{Context, Episode, say_difference};
use super::rules::selects;
use crate::operators::delta::Delta;
use crate::operators::timeline::{Timed, Timeline};

/// How `rule` watches a sensor; `None` when it doesn't.
pub fn watch(rule: &RuleRef, sensor: Option<&SensorRef>) -> Option<Watch> {
    let Signal::Offline { heartbeats } = rule.signal else { return None };
    let severity = rule.levels.first()?.severity;
    if !rule.enabled || !selects(&rule.selector, sensor) {
        return None;
    }
    let limit = (heartbeats * sensor?.heartbeat_s? * 1000.0).round() as i64;
    Some(Watch { limit, severity, shadow: rule.shadow_of != Sym::EMPTY })
}

/// All event times of a sensor, in order, each once.
pub fn merge<'a>(series: impl Iterator<Item = &'a Timeline<Point>>) -> Vec<i64> {
    let mut heard: Vec<i64> = series.flat_map(|points| points.iter().map(Timed::ts)).collect();
    heard.sort_unstable();
    heard.dedup();
    heard
}

/// The silences of one sensor under one rule, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Silences {
    list: Vec<Episode>,
}

/// How one offline rule applies to one sensor.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The silence allowed, ms.
    pub limit: i64,
    /// The rule's severity.
    pub severity: Severity,
    /// Whether the rule only runs beside another.
    pub shadow: bool,
}

impl Watch {
    fn silence(&self, start: i64, end: Option<i64>, context: &Context) -> Option<Episode> {
        let limit = self.limit;
        end.is_none_or(|end| end - start > limit).then(|| Episode {
            cleared_ts: end,
            ..context.episode(self.severity, start, start + limit, limit as f64 / 1000.0)
        })
    }
}

impl Silences {
    /// Judges all event times anew.
    pub fn judge_anew(
        &mut self,
        watch: Watch,
        heard: &[i64],
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let new =
            heard.windows(2).filter_map(|pair| watch.silence(pair[0], Some(pair[1]), context)).collect();
        let old = std::mem::replace(&mut self.list, new);
        say_difference(old, &self.list, out);
    }

    /// The sensor was also heard at `ts`, which lies between these two event times.
    pub fn heard(
        &mut self,
        watch: Watch,
        ts: i64,
        (before, after): (Option<i64>, Option<i64>),
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let at = self.list.partition_point(|episode| before.is_some_and(|before| episode.first_ts < before));
        let was = (self.list.get(at).map(|episode| Some(episode.first_ts)) == Some(before))
            .then(|| self.list.remove(at));
        let new: Vec<Episode> = before
            .and_then(|before| watch.silence(before, Some(ts), context))
            .into_iter()
            .chain(after.and_then(|after| watch.silence(ts, Some(after), context)))
            .collect();
        if was.is_none() && new.is_empty() {
            return;
        }
        say_difference(was.into_iter().collect(), &new, out);
        self.list.splice(at..at, new);
    }

    /// Lets time pass until `now`, the sensor having been heard last at `heard`.
    pub fn pass(
        &mut self,
        watch: Watch,
        heard: i64,
        now: i64,
        context: &Context,
        out: &mut Vec<Delta<Episode>>,
    ) {
        if now - heard > watch.limit && !self.lasting() {
            let new =
                context.episode(watch.severity, heard, heard + watch.limit, watch.limit as f64 / 1000.0);
            self.list.push(new.clone());
            out.push(Delta { old: None, new: Some(new) });
        }
    }

    /// When time alone will make the sensor offline.
    pub fn due(&self, watch: Watch, heard: i64) -> Option<i64> {
        (!self.lasting()).then_some(heard + watch.limit + 1)
    }

    /// Whether the sensor is silent now.
    pub fn lasting(&self) -> bool {
        self.list.last().is_some_and(|episode| episode.cleared_ts.is_none())
    }

    /// Takes back everything: the rule doesn't watch the sensor any more.
    pub fn withdraw_all(&mut self, out: &mut Vec<Delta<Episode>>) {
        say_difference(std::mem::take(&mut self.list), &[], out);
    }

    /// Forgets episodes that ended before `before`: they stand as they were said.
    pub fn prune(&mut self, before: i64) {
        let n =
            self.list.partition_point(|episode| episode.cleared_ts.is_some_and(|cleared| cleared < before));
        self.list.drain(..n);
    }
}
