//! One series under all the rules that cover it.
//!
//! **Mechanism.** A reading that no rule could mind, of a series of which nothing has to be remembered, is done with one
//! comparison; otherwise only the rules that have something to remember, mind the reading, or derive a signal are asked.

use std::collections::BTreeMap;

use model::reference::{SensorRef, Severity};
use model::{Names, Sym};

use super::episodes::{self, Episode};
use super::moments::CityTime;
use super::rules::Covering;
use super::signal::Source;
use super::{Point, Series, Span, earliest};
use crate::operators::delta::Delta;
use crate::operators::timeline::Timed;

/// Which sensor is judged, and when.
pub(super) struct Judging<'a> {
    pub(super) id: Sym,
    pub(super) metric: Sym,
    pub(super) known: Option<&'a SensorRef>,
    pub(super) city: CityTime,
    pub(super) names: &'a Names,
    pub(super) now: i64,
    /// Episodes that ended before this are forgotten.
    pub(super) forget: Option<i64>,
    pub(super) horizon: Option<i64>,
}

impl Judging<'_> {
    /// Judges one series, in which readings in `span` changed: the worst severity that lasts, and when time alone will
    /// change something.
    pub(super) fn series(
        &self,
        series: &mut Series,
        covering: &Covering,
        span: Option<Span>,
        out: &mut Vec<Delta<Episode>>,
    ) -> (Option<Severity>, Option<i64>) {
        let (points, mut worst, mut wake) = (&series.points, None, None);
        // What changed, and for late readings what held before: it may hold for longer now. Time alone changes nothing.
        let held = span.filter(|span| !span.in_order);
        let held = held.and_then(|span| points.before(points.first_from(span.from)).find_map(Point::counted));
        let changed = || {
            let run = span.map(|span| {
                let run = points.from(points.first_from(span.from));
                run.take_while(move |point| point.ts() <= span.until)
            });
            held.into_iter().chain(run.into_iter().flatten().filter_map(Point::counted))
        };
        // The common case: one reading at the end, nothing to remember, and nothing that any rule could mind.
        let quiet = match span {
            Some(span) if span.in_order && span.from == span.until => {
                points.last().and_then(Point::counted).is_none_or(|value| covering.is_quiet(value))
            }
            _ => changed().all(|value| covering.is_quiet(value)),
        };
        if series.verdicts.is_empty() && covering.is_plain() && quiet {
            return (None, None);
        }
        for rule in covering.rules() {
            let minds = |value| rule.levels.first().is_some_and(|level| level.limit.raises(value));
            if series.verdicts.get(rule.id).is_none() && !rule.derives() && (quiet || !changed().any(minds)) {
                continue;
            }
            let site = &BTreeMap::new();
            let source = Source {
                rule,
                points,
                site,
                sensor: self.id,
                reference: self.known,
                city: self.city,
                names: self.names,
            };
            let context = episodes::Context::new(rule.id, &rule.rule, self.id, self.metric, self.known);
            let verdict = series.verdicts.entry(rule.id);
            verdict.update(&source, &context, span, self.now, out);
            wake = earliest(wake, verdict.due(&source));
            if rule.rule.shadow_of == Sym::EMPTY {
                worst = worst.max(verdict.lasting(rule));
            }
            verdict.prune(rule, self.forget, self.horizon);
            if !rule.derives() && verdict.is_blank() {
                series.verdicts.put(rule.id, None);
            }
        }
        (worst, wake)
    }
}
