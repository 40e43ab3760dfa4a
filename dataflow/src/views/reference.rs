//! `reference`: the reference data in force, one row per kind and id, as JSON.
//!
//! **Meaning.** A record takes effect at the later of its tick and its `ts`. Of the records of one kind and id that
//! have taken effect, the last in log order is in force; if that one deletes, there is no row. This is also what every
//! other view sees of reference data.
//!
//! **Mechanism.** State by kind and id; a record whose time has not come is parked until then.
//!
//! **State.** One record per kind and id, and those announced for later.

use std::sync::Arc;

use model::{Column, Kind, RefBody, RefRecord, Row, Sym, Tick, TickLength, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use super::View;
use crate::Settings;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::operators::{route, spread};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "reference",
        zh: "基础数据",
        doc: "The reference record in force of each kind and id.",
        key: 2,
        columns: &[
            Column::new("kind", Type::Text, "种类", "district, sensor, vehicle, rule …"),
            Column::new("id", Type::Text, "编号", "Unique within the kind."),
            Column::new("ts", Type::Time, "生效时间", "When it took effect, if the record said so.")
                .nullable(),
            Column::new("json", Type::Json, "内容", "The record as it came."),
        ],
        bounded_by: "the number of reference records in force",
    },
    render: |context, id| context.publish(context.current.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A record in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurrentRow {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: Sym,
    /// When it took effect, if it said so.
    pub ts: Option<i64>,
    /// Its content.
    pub body: Arc<RefBody>,
}

impl Keyed for CurrentRow {
    type Key = (Kind, Sym);
    fn key(&self) -> (Kind, Sym) {
        (self.kind, self.id)
    }
}

impl ViewRow for CurrentRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Literal(self.kind.name()));
        out.push(Value::Name(self.id));
        out.push(self.ts.map_or(Value::Null, Value::Int));
        out.push(Value::Text(Arc::clone(&self.body.json)));
    }
}

/// The kind of the record that changed.
pub fn kind_of(delta: &Delta<CurrentRow>) -> Kind {
    delta.key().map_or(Kind::District, |(kind, _)| kind)
}

/// Renders the records in force.
pub(super) fn render<'s>(
    records: Tagged<'s, Row>,
    settings: &Arc<Settings>,
) -> Tagged<'s, Delta<CurrentRow>> {
    let records = records.flat_map(|(tick, row)| match row {
        Row::Reference(record) => Some((tick, *record)),
        _ => None,
    });
    let records = spread(records, |record| route(record.id.0));
    ticked(records, "reference", Current { tick: settings.tick, records: KeyedState::default() })
}

/// The records of one kind and id that matter now or later, in log order; the first may be in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    records: Vec<(Tick, RefRecord)>,
    said: Option<CurrentRow>,
}

struct Current {
    tick: TickLength,
    records: KeyedState<(Kind, Sym), Known>,
}

impl Current {
    fn settle(&mut self, key: (Kind, Sym), tick: Tick, out: &mut Vec<Delta<CurrentRow>>) {
        let Some(known) = self.records.get_mut(key) else { return };
        // The last in log order that has taken effect; nothing before it can ever be in force again.
        if let Some(at) = known.records.iter().rposition(|(effective, _)| *effective <= tick) {
            known.records.drain(..at);
            let (_, record) = &known.records[0];
            let new = record.body.as_ref().map(|body| CurrentRow {
                kind: record.kind,
                id: record.id,
                ts: record.ts,
                body: Arc::clone(body),
            });
            let old = std::mem::replace(&mut known.said, new.clone());
            out.extend(Delta::between(old, new));
        }
        let due =
            known.records.iter().map(|(effective, _)| *effective).filter(|effective| *effective > tick).min();
        let gone = known.said.is_none() && due.is_none();
        match due {
            Some(due) => self.records.wake(key, due),
            None if gone => self.records.remove(key),
            None => {}
        }
    }
}

impl Ticked for Current {
    type In = RefRecord;
    type Out = Delta<CurrentRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<RefRecord>, out: &mut Vec<Delta<CurrentRow>>) {
        let mut touched = self.records.woken(tick);
        input.sort_by_key(|record| record.pos);
        for record in input.drain(..) {
            let key = (record.kind, record.id);
            let effective = record.ts.map_or(tick, |ts| self.tick.ceil(ts).max(tick));
            let records = &mut self.records.entry(key).records;
            // There is one, as a rule.
            records.reserve_exact(1);
            records.push((effective, record));
            touched.push(key);
        }
        touched.sort_unstable();
        touched.dedup();
        for key in touched {
            self.settle(key, tick, out);
        }
    }

    fn due(&self) -> Option<Tick> {
        self.records.due()
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use model::{Kind, RefBody, Row, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;

    /// The records in force at `at`.
    pub(crate) fn in_force(
        history: &History,
        at: Tick,
    ) -> BTreeMap<(Kind, Sym), (Option<i64>, Arc<RefBody>)> {
        let mut last = BTreeMap::new();
        for (_, row) in history.until(at) {
            if let Row::Reference(record) = row
                && record.ts.unwrap_or(0) <= at as i64
            {
                last.insert((record.kind, record.id), (record.ts, record.body.clone()));
            }
        }
        last.into_iter().filter_map(|(key, (ts, body))| Some((key, (ts, body?)))).collect()
    }

    /// The typed records of a kind in force at `at`.
    pub(crate) fn typed(history: &History, at: Tick, kind: Kind) -> BTreeMap<Sym, Typed> {
        let of_kind = in_force(history, at).into_iter().filter(|((is, _), _)| *is == kind);
        of_kind.map(|((_, id), (_, body))| (id, body.typed.clone())).collect()
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let row = |((kind, id), (ts, body)): ((Kind, Sym), (Option<i64>, Arc<RefBody>))| {
            let json: Json = serde_json::from_str(&body.json).unwrap();
            json!({ "kind": kind.name(), "id": history.name(id), "ts": ts, "json": json })
        };
        in_force(history, at).into_iter().map(row).collect()
    }
}
