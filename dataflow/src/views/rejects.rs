//! `rejects`: every record that is not in the views, and why.
//!
//! **Meaning.** One row per record refused at the edge (not JSON, a missing or wrong field, out of range, implausible
//! on its own), and per fix that is a jump as the track is known now: a late fix can make it plausible, and the row goes.
//!
//! **State.** The rows of the refused-retention.

use std::sync::Arc;

use model::{Column, LogPos, Row, Tick, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::{Context, View};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::park::expire;
use crate::operators::publish::ViewRow;
use crate::operators::ticked::Tagged;
use crate::operators::{route, spread};

/// Columns of a refused record, shared with `late_ledger`.
pub(super) const COLUMNS: &[Column] = &[
    Column::new("topic", Type::Text, "主题", "The topic of the stream."),
    Column::new("partition", Type::Int, "分区", "Its partition; 0 in a replay."),
    Column::new("offset", Type::Int, "偏移量", "Its offset; the line number from 0 in a replay."),
    Column::new("reason", Type::Text, "原因", "A code, a colon, and what is wrong."),
    Column::new("ts", Type::Time, "事件时间", "Its event time, if it could be read.").nullable(),
    Column::new("tick", Type::Time, "时刻", "The tick that bound it."),
    Column::new("payload", Type::Text, "内容", "The record as text, cut at 4096 bytes."),
];

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "rejects",
        zh: "拒收记录",
        doc: "Every record that is not in the views, and why.",
        key: 3,
        columns: COLUMNS,
        bounded_by: "records refused within the refused-retention",
    },
    render: |context, id| {
        let refused = of(context, |row| match row {
            Row::Rejected(refused) => Some(refused),
            _ => None,
        });
        let jumps =
            spread(context.jumps.clone(), |delta| route(delta.key().map_or(0, |(pos, _)| pos.offset as u32)));
        let rows =
            expire(refused.concat(jumps), "rejects", context.settings.refused_retention_ms, |row| row.tick);
        let prefix: Arc<str> = context.settings.topic_prefix.as_str().into();
        context.publish(rows.map(move |(tick, delta)| (tick, named(delta, &prefix))), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A refused record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedRow {
    /// Where it stands in the log.
    pub pos: LogPos,
    /// The stream that it claims to be of, if that is none of ours.
    pub unknown_stream: Option<Arc<str>>,
    /// Its event time, Unix ms.
    pub ts: Option<i64>,
    /// The tick that bound it.
    pub tick: Tick,
    /// Why.
    pub reason: Arc<str>,
    /// The record as text.
    pub payload: Arc<str>,
}

impl Keyed for RefusedRow {
    type Key = (LogPos, Option<Arc<str>>);
    fn key(&self) -> Self::Key {
        (self.pos, self.unknown_stream.clone())
    }
}

/// A refused record with the prefix of its topic.
#[derive(Clone)]
pub(super) struct NamedRow {
    row: RefusedRow,
    prefix: Arc<str>,
}

impl Keyed for NamedRow {
    type Key = <RefusedRow as Keyed>::Key;
    fn key(&self) -> Self::Key {
        self.row.key()
    }
}

impl ViewRow for NamedRow {
    fn values(&self, out: &mut Vec<Value>) {
        let row = &self.row;
        let stream = row.unknown_stream.as_deref().unwrap_or(row.pos.stream.name());
        out.push(Value::Text(format!("{}{stream}", self.prefix).into()));
        out.push(Value::Int(i64::from(row.pos.partition)));
        out.push(Value::Int(row.pos.offset as i64));
        out.push(Value::Text(Arc::clone(&row.reason)));
        out.push(row.ts.map_or(Value::Null, Value::Int));
        out.push(Value::Int(row.tick as i64));
        out.push(Value::Text(Arc::clone(&row.payload)));
    }
}

pub(super) fn named(delta: Delta<RefusedRow>, prefix: &Arc<str>) -> Delta<NamedRow> {
    let name = |row| NamedRow { row, prefix: Arc::clone(prefix) };
    Delta { old: delta.old.map(name), new: delta.new.map(name) }
}

/// The refused rows that `pick` takes, at the worker of their offset.
pub(super) fn of<'s>(
    context: &Context<'s>,
    pick: impl Fn(Row) -> Option<Box<model::Refused>> + 'static,
) -> Tagged<'s, Delta<RefusedRow>> {
    let refused = context.refused.clone().flat_map(move |(tick, row)| {
        let refused = *pick(row)?;
        let row = RefusedRow {
            pos: refused.pos,
            unknown_stream: refused.unknown_stream,
            ts: refused.ts,
            tick,
            reason: refused.reason,
            payload: refused.payload,
        };
        Some((tick, Delta { old: None, new: Some(row) }))
    });
    spread(refused, |delta| route(delta.key().map_or(0, |(pos, _)| pos.offset as u32)))
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::{Refused, Row, Tick};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::vehicles;

    /// The refused rows that `pick` takes and the retention keeps.
    pub(crate) fn refused(history: &History, at: Tick, pick: fn(&Row) -> Option<&Refused>) -> Vec<Json> {
        let picked = history.until(at).filter_map(|(tick, row)| Some((tick, pick(row)?)));
        let row = |(tick, refused): (Tick, &Refused)| {
            json!({
                "topic": format!("city.{}", refused.unknown_stream.as_deref().unwrap_or("telemetry")), "partition": refused.pos.partition,
                "offset": refused.pos.offset, "reason": &*refused.reason, "ts": refused.ts, "tick": tick,
                "payload": &*refused.payload,
            })
        };
        picked.filter(|(tick, _)| kept(history, *tick, at)).map(row).collect()
    }

    fn kept(history: &History, tick: Tick, at: Tick) -> bool {
        history.settings.refused_retention_ms.is_none_or(|retention| tick + retention as u64 > at)
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut rows = refused(history, at, |row| match row {
            Row::Rejected(refused) => Some(refused),
            _ => None,
        });
        for (tick, fix, jump) in vehicles::oracle::tracks(history, at).into_values().flatten() {
            if jump && kept(history, tick, at) {
                let place = |tenths: i32| serde_json::to_string(&(f64::from(tenths) / 1e7)).unwrap();
                let (lon, lat) = (place(fix.lon), place(fix.lat));
                rows.push(json!({
                    "topic": "city.positions", "partition": 0, "offset": fix.pos.offset,
                    "reason": "implausible_jump: more than 200 km/h from the fixes before it",
                    "ts": fix.ts, "tick": tick,
                    "payload": format!(
                        "{{\"vehicle_id\":\"{}\",\"ts\":{},\"lon\":{lon},\"lat\":{lat}}}", history.name(fix.vehicle), fix.ts
                    ),
                }));
            }
        }
        rows
    }
}
