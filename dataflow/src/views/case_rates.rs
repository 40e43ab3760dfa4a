//! `case_rates`: how many cases each district and the city have, as exact integers.
//!
//! **Meaning.** Each case counts once for its district (`unknown` when no report says which) and once for the city, so
//! the districts add up to the city in every frame. `open` are the cases that somebody still has to do something about,
//! `overdue` (超期待处置) those of them that are overdue, `closed` those that are closed, `closed_overdue` those of them
//! that were handled after their deadline. A voided or merged case is in `reported` only. The period is `all`: the whole
//! log.
//!
//! **Mechanism.** A differential count whose difference is the vector of counts: a changed case retracts what it
//! contributed and contributes anew.
//!
//! **State.** One vector per district.

use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::operators::CountTotal;
use model::{Column, Sym, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};

use super::cases::{CaseRow, Stage};
use super::{Context, View};
use crate::operators::delta::{Keyed, deltas, updates};
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "case_rates",
        zh: "案件统计",
        doc: "How many cases each district and the city have.",
        key: 3,
        columns: &[
            Column::new("scope", Type::Text, "范围", "district or city."),
            Column::new(
                "id",
                Type::Text,
                "编号",
                "The district; `city` for the city; `unknown` when not said.",
            ),
            Column::new("period", Type::Text, "周期", "all: the whole log."),
            Column::new("reported", Type::Int, "上报数", "Cases."),
            Column::new("open", Type::Int, "待办数", "Cases that somebody still has to do something about."),
            Column::new("overdue", Type::Int, "超期待处置数", "Open cases that are overdue."),
            Column::new("closed", Type::Int, "结案数", "Closed cases."),
            Column::new(
                "closed_overdue",
                Type::Int,
                "超期结案数",
                "Closed cases that were handled after their deadline.",
            ),
            Column::new("reworked", Type::Int, "返工数", "Cases with at least one failed check."),
        ],
        bounded_by: "the number of districts named in cases, plus one",
    },
    render,
    #[cfg(test)]
    oracle: oracle::rows,
};

/// The counts, in column order.
const COUNTS: usize = 6;

/// A vector of counts that adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Counts(pub [i64; COUNTS]);

impl Counts {
    /// What one case contributes.
    fn of(row: &CaseRow) -> Self {
        let is = i64::from;
        let (open, closed) = (row.stage.open(), row.stage == Stage::Closed);
        Self([
            1,
            is(open),
            is(open && row.overdue),
            is(closed),
            is(closed && row.overdue),
            is(row.rework_count > 0),
        ])
    }

    fn times(self, sign: i64) -> Self {
        Self(self.0.map(|count| count * sign))
    }
}

impl IsZero for Counts {
    fn is_zero(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }
}

impl Semigroup for Counts {
    fn plus_equals(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

/// Whose counts: a district (empty = unknown), or the city.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// A district.
    District(Sym),
    /// The city.
    City,
}

/// A row of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RateRow {
    /// Whose.
    pub scope: Scope,
    /// How many.
    pub counts: Counts,
}

impl Keyed for RateRow {
    type Key = Scope;
    fn key(&self) -> Scope {
        self.scope
    }
}

impl ViewRow for RateRow {
    fn values(&self, out: &mut Vec<Value>) {
        match self.scope {
            Scope::District(Sym::EMPTY) => {
                out.extend([Value::Literal("district"), Value::Literal("unknown")])
            }
            Scope::District(id) => out.extend([Value::Literal("district"), Value::Name(id)]),
            Scope::City => out.extend([Value::Literal("city"), Value::Literal("city")]),
        }
        out.push(Value::Literal("all"));
        out.extend(self.counts.0.map(Value::Int));
    }
}

fn render(context: &mut Context<'_>, id: model::ViewId) {
    let parts = updates(context.cases.clone(), |case, sign, parts| {
        let counts = Counts::of(case).times(sign);
        parts.push((Scope::District(case.district), counts));
        parts.push((Scope::City, counts));
    });
    let rows = parts.count_total().map(|(scope, counts)| RateRow { scope, counts });
    context.publish(deltas(rows, "case_rates"), id);
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::Tick;
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::cases;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut groups: BTreeMap<(&str, String), Vec<Json>> = BTreeMap::new();
        for case in cases::oracle::rows(history, at) {
            let district = case["district"].as_str().unwrap_or("unknown").to_owned();
            groups.entry(("district", district)).or_default().push(case.clone());
            groups.entry(("city", "city".to_owned())).or_default().push(case);
        }
        let row = |((scope, id), cases): ((&str, String), Vec<Json>)| {
            let count = |is: &dyn Fn(&Json) -> bool| cases.iter().filter(|case| is(case)).count();
            let stage = |case: &Json, is: &[&str]| is.contains(&case["stage"].as_str().unwrap());
            let open = |case: &Json| !stage(case, &["closed", "voided", "merged", "rejected"]);
            json!({
                "scope": scope, "id": id, "period": "all",
                "reported": cases.len(),
                "open": count(&open),
                "overdue": count(&|case| open(case) && case["overdue"] == true),
                "closed": count(&|case| stage(case, &["closed"])),
                "closed_overdue": count(&|case| stage(case, &["closed"]) && case["overdue"] == true),
                "reworked": count(&|case| case["rework_count"] != 0),
            })
        };
        groups.into_iter().map(row).collect()
    }
}
