//! What one rule says of one series: its signal, the episodes of its levels, and the alerts that they make.
//!
//! **Meaning.** Each level of a rule is judged by itself ([`super::episodes`]). The mildest level's episodes are the
//! rule's; a worse level that holds within one makes it worse, and milder again when it ends. An episode raised when as
//! many others as the flap limit says were raised within the time before belongs to the alert before it.
//!
//! **Mechanism.** A changed reading changes the signal where it reaches, the changed signal the episodes where they
//! depend on it. The alerts of a series are few, and are put together anew when one of its episodes changed.
//!
//! **State.** For each rule and series that is not quiet: the episodes and alerts within the alert retention, and for a
//! rule that looks at more than the reading itself one number per moment within the horizon.

use model::Quality;
use serde::{Deserialize, Serialize};

use super::episodes::{Context, Episode, Episodes, say_difference};
use super::rules::Compiled;
use super::signal::{Source, Usuals};
use super::{Point, Span, moments};
use crate::operators::delta::Delta;
use crate::operators::timeline::{Timed, Timeline};

/// What one rule says of one series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    levels: Vec<Episodes>,
    /// The signal, for rules that derive one.
    signal: Timeline<Point>,
    /// Up to where the moments of the clock have been judged.
    clock: Option<i64>,
    #[serde(skip)]
    usuals: Usuals,
    /// The alerts, for rules that compose them.
    alerts: Vec<Episode>,
    /// Whether the alerts rather than the mildest level's episodes are what has been said.
    composes: bool,
    /// Alerts that ended before this are forgotten.
    forgotten: Option<i64>,
}

impl Verdict {
    /// Takes in that readings in `span` changed, if any did, and lets time pass until `now`.
    pub fn update(
        &mut self,
        source: &Source<'_>,
        context: &Context,
        span: Option<Span>,
        now: i64,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let rule = source.rule;
        let said = out.len();
        // A condition may hold as before over another reading, which is the value of the alert.
        let last = self.alerts.last().filter(|_| rule.conditions.is_some());
        let value_changed = last.zip(span).is_some_and(|(last, span)| span.from <= last.first_ts);
        let span = if rule.derives() { self.derive(source, span, now) } else { span };
        let points = if rule.derives() { &self.signal } else { source.points };
        self.levels.resize_with(rule.levels.len(), Episodes::default);
        for (judge, episodes) in rule.levels.iter().zip(&mut self.levels) {
            match span {
                Some(span) if span.in_order => episodes.extend(judge, points, span.from, context, out),
                Some(span) => episodes.judge_from(judge, points, span, context, out),
                None => {}
            }
            episodes.pass(judge, now, context, out);
        }
        if !rule.composes() {
            return;
        }
        self.composes = true;
        // What the levels say is not what is said.
        if out.len() > said || value_changed {
            out.truncate(said);
            let new = self.compose(source);
            let old = std::mem::replace(&mut self.alerts, new);
            say_difference(old, &self.alerts, out);
        }
    }

    /// Judges everything anew: the rule or the sensor changed.
    pub fn judge_anew(
        &mut self,
        source: &Source<'_>,
        context: &Context,
        now: i64,
        out: &mut Vec<Delta<Episode>>,
    ) {
        let rule = source.rule;
        let old = std::mem::take(self);
        (self.alerts, self.forgotten) = (old.alerts.clone(), old.forgotten);
        if rule.derives() {
            let all = Span { from: i64::MIN, until: i64::MAX, in_order: false };
            self.derive(source, Some(all), now);
        }
        let points = if rule.derives() { &self.signal } else { source.points };
        self.levels.resize_with(rule.levels.len(), Episodes::default);
        let mut unsaid = Vec::new();
        for (judge, episodes) in rule.levels.iter().zip(&mut self.levels) {
            episodes.judge_anew(judge, points, context, &mut unsaid);
            episodes.pass(judge, now, context, &mut unsaid);
        }
        self.composes = rule.composes();
        self.alerts = if self.composes { self.compose(source) } else { Vec::new() };
        say_difference(old.into_said(), self.said(), out);
    }

    /// What has been said.
    fn said(&self) -> &[Episode] {
        match self.composes {
            true => &self.alerts,
            false => self.levels.first().map_or(&[], Episodes::list),
        }
    }

    fn into_said(self) -> Vec<Episode> {
        match self.composes {
            true => self.alerts,
            false => self.levels.into_iter().next().map_or_else(Vec::new, Episodes::into_list),
        }
    }

    fn compose(&self, source: &Source<'_>) -> Vec<Episode> {
        let rule = source.rule;
        let Some((base, worse)) = self.levels.split_first() else { return Vec::new() };
        let mut alerts: Vec<Episode> = Vec::new();
        for (n, episode) in base.list().iter().enumerate() {
            let mut alert = episode.clone();
            for level in worse {
                let within = level.list().iter().filter(|one| {
                    one.raised_ts >= episode.raised_ts
                        && episode.cleared_ts.is_none_or(|cleared| one.raised_ts < cleared)
                });
                for one in within {
                    alert.peak = alert.peak.max(one.severity);
                    if one.cleared_ts.is_none() {
                        alert.severity = alert.severity.max(one.severity);
                    }
                }
            }
            if rule.conditions.is_some() {
                // The signal of conditions is the number of a level; people want the reading.
                let known = self.alerts.iter().find(|old| old.raised_ts == alert.raised_ts);
                let at = source.points.first_from(episode.first_ts + 1);
                let reading = source.points.before(at).find_map(Point::counted);
                alert.value = reading.or(known.map(|old| old.value)).unwrap_or(alert.value);
            }
            let joins = rule.rule.flap.is_some_and(|flap| {
                let since = episode.raised_ts - flap.within_ms;
                let before = base.list()[..n].iter().rev().take_while(|one| one.raised_ts > since);
                before.count() >= flap.count as usize
            });
            match alerts.last_mut() {
                Some(last) if joins => {
                    last.cleared_ts = alert.cleared_ts;
                    last.peak = last.peak.max(alert.peak);
                    last.severity = alert.severity;
                    last.times += 1;
                }
                _ => alerts.push(alert),
            }
        }
        for alert in alerts.iter_mut().filter(|alert| alert.cleared_ts.is_some()) {
            alert.severity = alert.peak;
        }
        if let Some(before) = self.forgotten {
            alerts.retain(|alert| alert.cleared_ts.is_none_or(|cleared| cleared >= before));
        }
        alerts
    }

    /// Brings the signal up to date; says where it changed.
    fn derive(&mut self, source: &Source<'_>, span: Option<Span>, now: i64) -> Option<Span> {
        let mut changed = None;
        let clock = self.clock.unwrap_or(i64::MIN);
        if let Some(span) = span {
            source.forget_usuals(span, &mut self.usuals);
            let spans = match span.from {
                i64::MIN => vec![(i64::MIN, i64::MAX)],
                _ => source.reach(span),
            };
            for (from, until) in spans {
                for ts in source.moments(from, until, clock) {
                    let differs = self.put(source, ts, clock, &mut changed);
                    // Past what changed, a run that says the same as before goes on as before.
                    if source.runs_on() && ts > span.until && !differs && source.counts(ts) {
                        break;
                    }
                }
            }
        }
        let first = source.points.iter().next().map(Timed::ts);
        if let Some(first) = first {
            for ts in moments::between(source.rule, source.city, clock.max(first - 1), now) {
                self.put(source, ts, now, &mut changed);
            }
            self.clock = Some(now);
        }
        changed
    }

    /// Evaluates the signal at `ts`; whether it differs from what was there.
    fn put(&mut self, source: &Source<'_>, ts: i64, clock: i64, changed: &mut Option<Span>) -> bool {
        let value = source.at(ts, clock, &self.signal, &mut self.usuals);
        let quality = if value.is_some() { Quality::Good } else { Quality::Bad };
        let point = Point { ts, value: value.unwrap_or(0.0), quality };
        let at = self.signal.first_from(ts);
        if self.signal.get(at).is_some_and(|there| *there == point) {
            return false;
        }
        let after = self.signal.last().is_none_or(|last| last.ts() < ts);
        self.signal.insert(point);
        let span = changed.get_or_insert(Span { from: ts, until: ts, in_order: after });
        *span = Span { from: span.from.min(ts), until: span.until.max(ts), in_order: span.in_order && after };
        true
    }

    /// When time alone changes something.
    pub fn due(&self, source: &Source<'_>) -> Option<i64> {
        let rule = source.rule;
        let levels = rule.levels.iter().zip(&self.levels).filter_map(|(judge, episodes)| episodes.due(judge));
        let clock = self.clock.filter(|_| rule.derives());
        let moment = clock.and_then(|clock| moments::next(rule, source.city, clock));
        levels.chain(moment).min()
    }

    /// How bad it is, if an episode lasts.
    pub fn lasting(&self, rule: &Compiled) -> Option<model::reference::Severity> {
        let lasting = rule.levels.iter().zip(&self.levels).filter(|(_, episodes)| episodes.lasting());
        lasting.map(|(judge, _)| judge.severity).max()
    }

    /// Whether it is as good as new.
    pub fn is_blank(&self) -> bool {
        self.levels.iter().all(Episodes::is_blank) && self.signal.is_empty() && self.alerts.is_empty()
    }

    /// Takes back everything: the rule doesn't cover the series any more.
    pub fn withdraw_all(&mut self, out: &mut Vec<Delta<Episode>>) {
        say_difference(std::mem::take(self).into_said(), &[], out);
    }

    /// Forgets what ended before `before`: it stands as it was said; and the signal before `horizon`.
    pub fn prune(&mut self, rule: &Compiled, before: Option<i64>, horizon: Option<i64>) {
        if let Some(before) = before {
            self.forgotten = Some(before);
            let old = |alert: &Episode| alert.cleared_ts.is_some_and(|cleared| cleared < before);
            let n = self.alerts.partition_point(old);
            self.alerts.drain(..n);
            // What the remaining alerts are made of, and what counts towards their flap limit, is still needed.
            let flap = rule.rule.flap.map_or(0, |flap| flap.within_ms);
            let kept = self.alerts.first().map_or(before, |alert| before.min(alert.first_ts)) - flap;
            for episodes in &mut self.levels {
                episodes.prune(kept);
            }
        }
        if let Some(horizon) = horizon {
            self.signal.prune(horizon);
            let oldest = horizon.div_euclid(3_600_000);
            while self.usuals.first_key_value().is_some_and(|(hour, _)| *hour < oldest) {
                self.usuals.pop_first();
            }
        }
    }
}
