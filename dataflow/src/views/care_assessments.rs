//! `care_assessments`: the monthly assessment (月度考核) of each company that keeps green space.
//!
//! **Meaning.** Each care area (养护责任区) has a score per month; the score of a company is their mean, weighted by area, over the
//! areas that have one for the month and that are its own now. `areas` counts those, `lowest` is the least of their scores.
//!
//! **Mechanism.** Sums of whole numbers by company and month in differential; scores in thousandths of a point times m²,
//! divided last. The least score comes from a reduction of its own.
//!
//! **State.** One entry per company, month and care area.

use differential_dataflow::AsCollection;
use model::{Column, Kind, Sym, Type, Typed, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use timely::dataflow::operators::vec::{Filter, Map};

use super::View;
use super::reference::{CurrentRow, kind_of};
use crate::operators::delta::{Keyed, deltas};
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "care_assessments",
        zh: "养护月度考核",
        doc: "The monthly assessment of each company that keeps green space.",
        key: 2,
        columns: &[
            Column::new("company", Type::Text, "养护单位", "The company."),
            Column::new("month", Type::Text, "月份", "YYYY-MM."),
            Column::new("areas", Type::Int, "责任区数", "Care areas with a score for the month."),
            Column::new("area_m2", Type::Float, "面积", "Of those.").unit("m²"),
            Column::new("score", Type::Float, "得分", "Mean of their scores, weighted by area, 0 to 100."),
            Column::new("lowest", Type::Float, "最低分", "The least of their scores."),
        ],
        bounded_by: "the number of companies times that of months assessed",
    },
    render: |context, id| {
        let records = context.current.clone().filter(|(_, delta)| kind_of(delta) == Kind::CareArea);
        let scores = records.flat_map(|(tick, delta)| {
            let part = |row: Option<CurrentRow>, sign: isize| {
                let scores = row.map_or_else(Vec::new, |row| match &row.body.typed {
                    Typed::CareArea(area) => {
                        let of = |(month, score): &(Arc<str>, i64)| {
                            ((area.company, Arc::clone(month)), (*score, row.id, area.area_m2))
                        };
                        area.assessments.iter().map(of).collect()
                    }
                    _ => Vec::new(),
                });
                scores.into_iter().map(move |score| (score, tick, sign))
            };
            part(delta.old, -1).chain(part(delta.new, 1)).collect::<Vec<_>>()
        });
        let rows = scores.as_collection().reduce_named("care_assessments", |_, scores, output| {
            let (mut areas, mut m2, mut weighted) = (0, 0, 0);
            for ((score, _, area), _) in scores {
                (areas, m2, weighted) = (areas + 1, m2 + area, weighted + i128::from(score * area));
            }
            // Values come in order: the first has the least score.
            if let Some(((lowest, ..), _)) = scores.first() {
                output.push(((areas, m2, weighted, *lowest), 1));
            }
        });
        let rows = rows.map(|((company, month), (areas, m2, weighted, lowest))| CareRow {
            company,
            month,
            areas,
            m2,
            weighted,
            lowest,
        });
        context.publish(deltas(rows, "care_assessments"), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CareRow {
    company: Sym,
    month: Arc<str>,
    areas: i64,
    m2: i64,
    /// Thousandths of a point times m².
    weighted: i128,
    lowest: i64,
}

impl Keyed for CareRow {
    type Key = (Sym, Arc<str>);
    fn key(&self) -> (Sym, Arc<str>) {
        (self.company, Arc::clone(&self.month))
    }
}

impl ViewRow for CareRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.company));
        out.push(Value::Text(Arc::clone(&self.month)));
        out.push(Value::Int(self.areas));
        out.push(Value::Float(self.m2 as f64));
        out.push(Value::Float(self.weighted as f64 / self.m2 as f64 / 1000.0));
        out.push(Value::Float(self.lowest as f64 / 1000.0));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::{Kind, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::reference::oracle::typed;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut groups: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
        for record in typed(history, at, Kind::CareArea).into_values() {
            let Typed::CareArea(area) = record else { continue };
            for (month, score) in &area.assessments {
                let key = (history.name(area.company).to_owned(), month.to_string());
                groups.entry(key).or_default().push((*score as f64 / 1000.0, area.area_m2 as f64));
            }
        }
        let row = |((company, month), scores): ((String, String), Vec<(f64, f64)>)| {
            let m2: f64 = scores.iter().map(|(_, m2)| m2).sum();
            let sum: f64 = scores.iter().map(|(score, m2)| score * m2).sum();
            json!({
                "company": company, "month": month, "areas": scores.len(), "area_m2": m2, "score": sum / m2,
                "lowest": scores.iter().map(|(score, _)| *score).fold(f64::INFINITY, f64::min),
            })
        };
        groups.into_iter().map(row).collect()
    }
}
