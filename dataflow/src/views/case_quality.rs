//! `case_quality`: what is wrong with the events of cases, and which cases are suspected to be one.
//!
//! **Meaning.** One row for each event that the life cycle does not allow where it stands
//! ([`crate::casework::life`]): kept, with its effect or without it, and never repaired. And one row
//! (`suspected_duplicate`) for each case that resembles an earlier one ([`crate::casework::twins`]), with the earliest
//! it resembles, and one (`repeated_call`) for each that repeats a call: whether they are merged is for people to decide.
//!
//! **Mechanism.** Flags come from the fold of the case. Duplicates: state by class at one worker, where a case that
//! changes is judged again together with those near it in place and time.
//!
//! **State.** One entry per flag, and one per case with class and place or caller.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use foldhash::HashMap;
use model::{Column, Names, Sym, Tick, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::cases::CaseRow;
use super::{Context, View};
use crate::casework::life::{Flag, Reason, Stage};
use crate::casework::twins::{Sighting, Twins};
use crate::operators::delta::{Delta, Keyed, deltas};
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Ticked, ticked};
use crate::operators::{route, spread};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "case_quality",
        zh: "案件数据质量",
        doc: "Events that the life cycle does not allow, and cases suspected to be one.",
        key: 4,
        columns: &[
            Column::new("case_id", Type::Text, "案件编号", "The case."),
            Column::new("ts", Type::Time, "时间", "Of the event; of the report of a suspected duplicate."),
            Column::new("event", Type::Text, "事件", "Which event."),
            Column::new(
                "reason",
                Type::Text,
                "问题",
                "no_report, order, nothing_to_extend, extended_after_deadline, extended_too_often, \
                 suspended_after_deadline, suspended_again, not_suspended, appealed_again, merged_into_itself, \
                 suspected_duplicate or repeated_call.",
            ),
            Column::new("district", Type::Text, "区县", "Where the case is.").nullable(),
            Column::new("stage", Type::Text, "环节", "The stage that the event met.").nullable(),
            Column::new("applied", Type::Bool, "已生效", "Whether the event has its effect all the same."),
            Column::new("other", Type::Text, "疑似重复案件", "The case that it resembles or repeats.")
                .nullable(),
        ],
        bounded_by: "the number of events and of cases in the log",
    },
    render,
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Names of events by their rank in the life cycle.
const EVENTS: [&str; 16] = [
    "reported",
    "rejected",
    "filed",
    "dispatched",
    "returned",
    "extended",
    "suspended",
    "resumed",
    "handled",
    "verified",
    "closed",
    "reopened",
    "voided",
    "appeal_granted",
    "merged",
    "rated",
];

/// A row of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualityRow {
    /// The case.
    pub case: Sym,
    /// Unix ms.
    pub ts: i64,
    /// Rank of the event.
    pub rank: u8,
    /// What is wrong.
    pub reason: Reason,
    /// Empty when not said.
    pub district: Sym,
    /// The stage that the event met.
    pub stage: Stage,
    /// The case that it resembles; empty for flags.
    pub other: Sym,
}

impl QualityRow {
    /// The row of a flag of the case that `row` is of.
    pub fn of_event(row: &CaseRow, flag: &Flag) -> Self {
        Self {
            case: row.case,
            ts: flag.ts,
            rank: flag.rank,
            reason: flag.reason,
            district: row.district,
            stage: flag.stage,
            other: Sym::EMPTY,
        }
    }

    /// From what was said of a case to what is.
    pub fn changes(old: &[Self], new: &[Self]) -> Vec<Delta<Self>> {
        let same = |a: &Self, b: &Self| a.key() == b.key();
        let gone = old.iter().filter(|row| !new.iter().any(|other| same(row, other)));
        let gone = gone.map(|row| Delta { old: Some(*row), new: None });
        let there = new.iter().filter_map(|row| {
            let before = old.iter().find(|other| same(row, other)).copied();
            Delta::between(before, Some(*row))
        });
        gone.chain(there).collect()
    }
}

impl Keyed for QualityRow {
    type Key = (Sym, i64, u8, Reason);
    fn key(&self) -> Self::Key {
        (self.case, self.ts, self.rank, self.reason)
    }
}

impl ViewRow for QualityRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.case));
        out.push(Value::Int(self.ts));
        out.push(Value::Literal(EVENTS.get(usize::from(self.rank)).copied().unwrap_or("other")));
        out.push(Value::Literal(self.reason.name()));
        out.push(Value::name_or_null(self.district));
        out.push(if self.reason.of_two() { Value::Null } else { Value::Literal(self.stage.name()) });
        out.push(Value::Bool(self.reason.applied()));
        out.push(Value::name_or_null(self.other));
    }
}

fn render(context: &mut Context<'_>, id: model::ViewId) {
    let sightings = context.cases.clone().flat_map(|(tick, delta)| {
        let old = delta.old.as_ref().and_then(Sighting::of);
        let new = delta.new.as_ref().and_then(Sighting::of);
        let same = old == new;
        // A case that changes its class leaves one worker and comes to another.
        let leaves = old.filter(|old| new.as_ref().is_none_or(|new| new.class != old.class));
        let gone = leaves.map(|old| (tick, Seen { class: old.class, case: old.case, now: None }));
        let there = new.map(|new| (tick, Seen { class: new.class, case: new.case, now: Some(new) }));
        gone.into_iter().chain(there).filter(move |_| !same)
    });
    let sightings = spread(sightings, |seen| route(seen.class.0));
    let said = ticked(sightings, "case twins", Duplicates::new(context));
    // What one worker takes back and another says at one tick is one change: they meet at the worker of the case.
    let signed = said.flat_map(|(tick, delta)| {
        let old = delta.old.map(|row| (tick, (row, -1)));
        old.into_iter().chain(delta.new.map(|row| (tick, (row, 1))))
    });
    let signed = spread(signed, |(row, _)| route(row.case.0));
    let rows = signed.map(|(tick, (row, diff))| (row, tick, diff)).as_collection();
    context.publish(deltas(rows, "case duplicates").concat(context.case_quality.clone()), id);
}

/// Where a case is now, told to the worker of a class.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    class: Sym,
    case: Sym,
    now: Option<Sighting>,
}

struct Duplicates {
    names: Arc<Names>,
    twins: Twins,
    cases: HashMap<Sym, Sighting>,
    said: HashMap<Sym, [Option<QualityRow>; 2]>,
}

impl Duplicates {
    fn new(context: &Context<'_>) -> Self {
        let settings = &context.settings;
        Self {
            names: Arc::clone(&context.names),
            twins: Twins::new(
                settings.duplicate_within_m,
                settings.duplicate_within_ms,
                settings.repeat_within_ms,
            ),
            cases: HashMap::default(),
            said: HashMap::default(),
        }
    }

    /// What is said of `case`: that it is a duplicate, and that it is a repeated call.
    fn judge(&self, case: Sym) -> [Option<QualityRow>; 2] {
        let Some(sighting) = self.cases.get(&case) else { return [None; 2] };
        let (name, district, ts) = (self.names.resolve(case), sighting.district, sighting.ts);
        let row = |reason| {
            move |other| QualityRow { case, ts, rank: 0, reason, district, stage: Stage::Reported, other }
        };
        [
            self.twins.original(name, sighting).map(row(Reason::SuspectedDuplicate)),
            self.twins.repeated(name, sighting).map(row(Reason::RepeatedCall)),
        ]
    }
}

impl Ticked for Duplicates {
    type In = Seen;
    type Out = Delta<QualityRow>;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<Seen>, out: &mut Vec<Delta<QualityRow>>) {
        let mut touched = Vec::new();
        for Seen { case, now: new, .. } in input.drain(..) {
            let name = self.names.resolve(case);
            let old = self.cases.get(&case).cloned();
            touched.push(case);
            if let Some(old) = old {
                self.twins.remove(name, &old);
                touched.extend(self.twins.touched(&old));
                self.cases.remove(&case);
            }
            if let Some(new) = new {
                touched.extend(self.twins.touched(&new));
                self.twins.insert(name, &new);
                self.cases.insert(case, new);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for case in touched {
            let new = self.judge(case);
            let old = match new {
                [None, None] => self.said.remove(&case),
                new => self.said.insert(case, new),
            };
            let changes = old.unwrap_or_default().into_iter().zip(new);
            out.extend(changes.filter_map(|(old, new)| Delta::between(old, new)));
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::Tick;
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::cases::oracle::{Told, told};

    /// Metres between two places, by the law of haversines.
    fn metres(a: (i32, i32), b: (i32, i32)) -> f64 {
        let [lon1, lat1, lon2, lat2] = [a.0, a.1, b.0, b.1].map(|n| f64::from(n) * 1e-7_f64.to_radians());
        let h = ((lat2 - lat1) / 2.0).sin().powi(2)
            + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2.0).sin().powi(2);
        2.0 * 6_371_008.8 * h.sqrt().asin()
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let all = told(history, at);
        let mut rows = Vec::new();
        for told in &all {
            for (ts, event, reason, stage) in &told.problems {
                let without = [
                    "nothing_to_extend",
                    "extended_after_deadline",
                    "extended_too_often",
                    "suspended_after_deadline",
                    "suspended_again",
                    "not_suspended",
                ];
                rows.push(json!({
                    "case_id": told.row["case_id"], "ts": ts, "event": event, "reason": reason,
                    "district": told.row["district"], "stage": stage, "applied": !without.contains(reason),
                    "other": null,
                }));
            }
        }
        let dead =
            |told: &Told| ["voided", "merged", "rejected"].contains(&told.row["stage"].as_str().unwrap());
        let name = |told: &Told| told.row["case_id"].as_str().unwrap().to_owned();
        let ts = |told: &Told| told.row["opened_ts"].as_i64().unwrap();
        let live: Vec<&Told> =
            all.iter().filter(|told| !dead(told) && !told.row["class"].is_null()).collect();
        for told in live.iter().filter(|told| told.caller != model::Sym::EMPTY) {
            let before = |other: &&&Told| {
                (ts(other), name(other)) < (ts(told), name(told))
                    && (other.caller, &other.row["class"]) == (told.caller, &told.row["class"])
                    && ts(told) - ts(other) <= history.settings.repeat_within_ms
            };
            if let Some(last) = live.iter().filter(before).max_by_key(|other| (ts(other), name(other))) {
                rows.push(json!({
                    "case_id": name(told), "ts": ts(told), "event": "reported", "reason": "repeated_call",
                    "district": told.row["district"], "stage": null, "applied": true, "other": name(last),
                }));
            }
        }
        let candidates: Vec<&Told> = live.into_iter().filter(|told| told.place.is_some()).collect();
        for told in &candidates {
            let alike = |other: &&&Told| {
                (ts(other), name(other)) < (ts(told), name(told))
                    && other.row["class"] == told.row["class"]
                    && ts(told) - ts(other) <= history.settings.duplicate_within_ms
                    && metres(told.place.unwrap(), other.place.unwrap())
                        <= history.settings.duplicate_within_m
            };
            if let Some(first) = candidates.iter().filter(alike).min_by_key(|other| (ts(other), name(other)))
            {
                rows.push(json!({
                    "case_id": name(told), "ts": ts(told), "event": "reported", "reason": "suspected_duplicate",
                    "district": told.row["district"], "stage": null, "applied": true, "other": name(first),
                }));
            }
        }
        rows
    }
}
