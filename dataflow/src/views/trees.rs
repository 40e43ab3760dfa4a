//! `trees`: old and famous trees (古树名木), when each was last cared for, and whether care is overdue.
//!
//! **Meaning.** Of the care in a tree's record the latest that is not after T counts. Care is due `care_every_days` after it, and
//! overdue from then on; a tree that has a rhythm and was never cared for is overdue. A record that is sent again with care
//! that was forgotten revises that.
//!
//! **Mechanism.** State by tree with an appointment for the next moment at which time alone changes its row.
//!
//! **State.** One record per tree.

use std::sync::Arc;

use model::reference::care::TreeRef;
use model::{Column, Kind, RefBody, Sym, Tick, TickLength, Type, Typed, Value, ViewSpec};
use timely::dataflow::operators::vec::Filter;

use super::View;
use super::reference::{CurrentRow, kind_of};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::publish::{ViewRow, shown};
use crate::operators::ticked::{Ticked, ticked};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "trees",
        zh: "古树名木",
        doc: "Old and famous trees, when each was last cared for, and whether care is overdue.",
        key: 1,
        columns: &[
            Column::new("tree_id", Type::Text, "树木编号", "The tree."),
            Column::new("name", Type::Text, "名称", "From its record.").nullable(),
            Column::new("species", Type::Text, "树种", "From its record.").nullable(),
            Column::new("grade", Type::Text, "保护等级", "From its record.").nullable(),
            Column::new("age_years", Type::Float, "树龄", "From its record.").nullable().unit("a"),
            Column::new("district", Type::Text, "区县", "From its record.").nullable(),
            Column::new("care_area", Type::Text, "养护责任区", "From its record.").nullable(),
            Column::new("lon", Type::Float, "经度", "WGS-84.").nullable().unit("°"),
            Column::new("lat", Type::Float, "纬度", "WGS-84.").nullable().unit("°"),
            Column::new("last_care_ts", Type::Time, "上次养护", "The latest care up to now.").nullable(),
            Column::new("due_ts", Type::Time, "应养护时间", "When the next care is due.").nullable(),
            Column::new("overdue", Type::Bool, "逾期", "Care is overdue."),
        ],
        bounded_by: "the number of trees",
    },
    render: |context, id| {
        let records = context.current.clone().filter(|(_, delta)| kind_of(delta) == Kind::Tree);
        let logic = Trees { tick: context.settings.tick, trees: KeyedState::default() };
        context.publish(shown(ticked(records, "trees", logic)), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A row of the view.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeRow {
    tree: Sym,
    record: Arc<RefBody>,
    last_care: Option<i64>,
    due: Option<i64>,
    overdue: bool,
}

impl Keyed for TreeRow {
    type Key = Sym;
    fn key(&self) -> Sym {
        self.tree
    }
}

impl ViewRow for TreeRow {
    fn values(&self, out: &mut Vec<Value>) {
        let Typed::Tree(tree) = &self.record.typed else { return };
        let text = |text: &Option<Arc<str>>| text.clone().map_or(Value::Null, Value::Text);
        let [lon, lat] = tree.at.map_or([Value::Null, Value::Null], |at| at.degrees().map(Value::Float));
        out.push(Value::Name(self.tree));
        out.extend([text(&tree.name), text(&tree.species), text(&tree.grade)]);
        out.push(tree.age_years.map_or(Value::Null, Value::Float));
        out.push(Value::name_or_null(tree.district));
        out.push(Value::name_or_null(tree.care_area));
        out.extend([lon, lat]);
        out.push(self.last_care.map_or(Value::Null, Value::Int));
        out.push(self.due.map_or(Value::Null, Value::Int));
        out.push(Value::Bool(self.overdue));
    }
}

#[derive(Default)]
struct Known {
    record: Option<Arc<RefBody>>,
    said: Option<TreeRow>,
}

struct Trees {
    tick: TickLength,
    trees: KeyedState<Sym, Known>,
}

impl Trees {
    /// The row of a tree at `now`, and when time alone changes it.
    fn row(tree: Sym, body: &Arc<RefBody>, record: &TreeRef, now: i64) -> (TreeRow, Option<i64>) {
        let known = record.care.partition_point(|care| *care <= now);
        let last_care = known.checked_sub(1).and_then(|n| record.care.get(n)).copied();
        let due = last_care.zip(record.every_ms).map(|(last, every)| last + every);
        let overdue = record.every_ms.is_some() && due.is_none_or(|due| due <= now);
        let next = record.care.get(known).copied().into_iter().chain(due.filter(|due| *due > now)).min();
        (TreeRow { tree, record: Arc::clone(body), last_care, due, overdue }, next)
    }
}

impl Ticked for Trees {
    type In = Delta<CurrentRow>;
    type Out = Delta<TreeRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<Delta<CurrentRow>>, out: &mut Vec<Delta<TreeRow>>) {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let mut touched = self.trees.woken(tick);
        for delta in input.drain(..) {
            let Some((_, id)) = delta.key() else { continue };
            self.trees.entry(id).record = delta.new.map(|row| row.body);
            touched.push(id);
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let Some(known) = self.trees.get_mut(id) else { continue };
            let new = known.record.as_ref().and_then(|body| match &body.typed {
                Typed::Tree(record) => Some(Self::row(id, body, record, now)),
                _ => None,
            });
            let (row, next) = new.map_or((None, None), |(row, next)| (Some(row), next));
            let old = std::mem::replace(&mut known.said, row.clone());
            match (&row, next) {
                (None, _) => self.trees.remove(id),
                (Some(_), Some(next)) => self.trees.wake(id, self.tick.ceil(next)),
                (Some(_), None) => {}
            }
            out.extend(Delta::between(old, row));
        }
    }

    fn due(&self) -> Option<Tick> {
        self.trees.due()
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::{Kind, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::reference::oracle::typed;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut rows = Vec::new();
        for (id, record) in typed(history, at, Kind::Tree) {
            let Typed::Tree(tree) = record else { continue };
            let last = tree.care.iter().copied().filter(|care| *care <= at as i64).max();
            let due = last.and_then(|last| Some(last + tree.every_ms?));
            let overdue = match (tree.every_ms, due) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(_), Some(due)) => at as i64 >= due,
            };
            rows.push(json!({
                "tree_id": history.name(id), "name": tree.name.as_deref(), "species": tree.species.as_deref(),
                "grade": tree.grade.as_deref(), "age_years": tree.age_years,
                "district": history.name_or_null(tree.district), "care_area": history.name_or_null(tree.care_area),
                "lon": tree.at.map(|at| f64::from(at.lon) / 1e7), "lat": tree.at.map(|at| f64::from(at.lat) / 1e7),
                "last_care_ts": last, "due_ts": due, "overdue": overdue,
            }));
        }
        rows
    }
}
