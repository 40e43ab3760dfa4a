//! `stream_health`: how each partition of each stream is doing.
//!
//! **Meaning.** Counts are totals over the log: `late` records were older than their tick by more than the late-after
//! setting, `duplicates` took the place of earlier ones, `rejected` were refused at the edge or are jumps. `lag_records`
//! is how many records waited when the partition was last said anything of, `lag_ms` how old the newest one was when it
//! was bound.
//! `rate` is the number of records bound in the last whole minute of ticks, a second. A partition *holds back* while
//! records wait that a tick could not take.
//!
//! **Mechanism.** The edge says what each tick bound; counts of replaced and jumping records are added. The rate is a
//! ring of seconds.
//!
//! **State.** One entry per partition, with up to 60 seconds.

use std::collections::VecDeque;

use model::{Bound, Column, Row, StreamId, Tick, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::{Context, Replaced, View};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Ticked, ticked};
use crate::operators::{route, spread};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "stream_health",
        zh: "数据流健康",
        doc: "How each partition of each stream is doing.",
        key: 2,
        columns: &[
            Column::new("stream", Type::Text, "数据流", "telemetry, positions, cases, reference or actions."),
            Column::new("partition", Type::Int, "分区", "Partition of its topic."),
            Column::new(
                "lag_records",
                Type::Int,
                "积压条数",
                "Records that waited when the last tick was cut.",
            ),
            Column::new(
                "lag_ms",
                Type::Int,
                "积压时长",
                "Age of the newest record bound, by its append time.",
            )
            .unit("ms"),
            Column::new("rate", Type::Float, "速率", "Records a second over the last whole minute.")
                .unit("1/s"),
            Column::new(
                "late",
                Type::Int,
                "迟到条数",
                "Records older than their tick by more than the setting.",
            ),
            Column::new("duplicates", Type::Int, "重复条数", "Records that took the place of earlier ones."),
            Column::new("rejected", Type::Int, "拒收条数", "Records refused at the edge, and jumps."),
            Column::new("last_ts", Type::Time, "最新事件时间", "Greatest event time.").nullable(),
            Column::new("holds_back", Type::Bool, "拖慢", "Whether records wait that a tick could not take."),
        ],
        bounded_by: "the number of partitions of the input streams",
    },
    render,
    #[cfg(test)]
    oracle: oracle::rows,
};

const SECOND: u64 = 1000;
/// Whole seconds that the rate looks back.
const RATE_SECONDS: u64 = 60;

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthRow {
    /// The stream.
    pub stream: StreamId,
    /// The partition.
    pub partition: u16,
    /// What waits.
    pub lag_records: u64,
    /// ms.
    pub lag_ms: u64,
    /// Records in the last whole minute.
    pub last_minute: u64,
    /// Total.
    pub late: u64,
    /// Total.
    pub duplicates: i64,
    /// Total.
    pub rejected: i64,
    /// Unix ms.
    pub last_ts: Option<i64>,
}

impl Keyed for HealthRow {
    type Key = (StreamId, u16);
    fn key(&self) -> (StreamId, u16) {
        (self.stream, self.partition)
    }
}

impl ViewRow for HealthRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Literal(self.stream.name()));
        out.push(Value::Int(i64::from(self.partition)));
        out.push(Value::Int(self.lag_records as i64));
        out.push(Value::Int(self.lag_ms as i64));
        out.push(Value::Float(self.last_minute as f64 / RATE_SECONDS as f64));
        out.push(Value::Int(self.late as i64));
        out.push(Value::Int(self.duplicates));
        out.push(Value::Int(self.rejected));
        out.push(self.last_ts.map_or(Value::Null, Value::Int));
        out.push(Value::Bool(self.lag_records > 0));
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum In {
    Bound(Bound),
    Replaced(Replaced),
    Jumps(Replaced),
}

fn render(context: &mut Context<'_>, id: model::ViewId) {
    let bound = context.bound.clone().flat_map(|(tick, row)| match row {
        Row::Bound(bound) => Some((tick, In::Bound(*bound))),
        _ => None,
    });
    let replaced = context.replaced.clone().map(|(tick, replaced)| (tick, In::Replaced(replaced)));
    let jumps = context.jumps.clone().flat_map(|(tick, delta)| {
        let (row, n) = delta.new.as_ref().map(|row| (row, 1)).or(delta.old.as_ref().map(|row| (row, -1)))?;
        Some((tick, In::Jumps((row.pos.stream, row.pos.partition, n))))
    });
    let input = spread(bound.concat(replaced).concat(jumps), |input| {
        let (stream, partition) = of(input);
        route(u32::from(partition) << 3 | u32::from(stream as u8))
    });
    context.publish(ticked(input, "stream_health", Health { partitions: KeyedState::default() }), id);
}

fn of(input: &In) -> (StreamId, u16) {
    match input {
        In::Bound(bound) => (bound.stream, bound.partition),
        In::Replaced((stream, partition, _)) | In::Jumps((stream, partition, _)) => (*stream, *partition),
    }
}

/// One partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Partition {
    lag_records: u64,
    lag_ms: u64,
    late: u64,
    duplicates: i64,
    rejected: i64,
    last_ts: Option<i64>,
    /// Records by the whole second in which their tick falls, oldest first.
    seconds: VecDeque<(u64, u64)>,
    said: Option<HealthRow>,
}

struct Health {
    partitions: KeyedState<(StreamId, u16), Partition>,
}

impl Ticked for Health {
    type In = In;
    type Out = Delta<HealthRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Delta<HealthRow>>) {
        let mut touched = self.partitions.woken(tick);
        // A tick belongs to the second that it ends; the minute counts seconds that are over.
        let second = tick.div_ceil(SECOND);
        let over = tick / SECOND;
        for input in input.drain(..) {
            let key = of(&input);
            touched.push(key);
            let partition = self.partitions.entry(key);
            match input {
                In::Bound(bound) => {
                    partition.lag_records = bound.lag_records;
                    if bound.records > 0 {
                        partition.lag_ms = bound.lag_ms;
                    }
                    partition.late += bound.late;
                    partition.rejected += bound.rejected as i64;
                    partition.last_ts = partition.last_ts.max(bound.max_ts);
                    match partition.seconds.back_mut() {
                        Some((last, n)) if *last == second => *n += bound.records,
                        _ => partition.seconds.push_back((second, bound.records)),
                    }
                }
                In::Replaced((_, _, n)) => partition.duplicates += n,
                In::Jumps((_, _, n)) => partition.rejected += n,
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for key in touched {
            let Some(partition) = self.partitions.get_mut(key) else { continue };
            while partition.seconds.front().is_some_and(|(second, _)| second + RATE_SECONDS <= over) {
                partition.seconds.pop_front();
            }
            let counted = partition.seconds.iter().filter(|(second, _)| *second <= over);
            let row = HealthRow {
                stream: key.0,
                partition: key.1,
                lag_records: partition.lag_records,
                lag_ms: partition.lag_ms,
                last_minute: counted.map(|(_, n)| n).sum(),
                late: partition.late,
                duplicates: partition.duplicates,
                rejected: partition.rejected,
                last_ts: partition.last_ts,
            };
            if partition.said.as_ref() != Some(&row) {
                let old = partition.said.replace(row.clone());
                out.push(Delta { old, new: Some(row) });
            }
            if !partition.seconds.is_empty() {
                self.partitions.wake(key, (over + 1) * SECOND);
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        self.partitions.due()
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::{BTreeMap, BTreeSet};

    use model::{Row, StreamId, Tick};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::vehicles;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        // Which partitions were heard of, what each tick bound of them, and the duplicates by distinct keys.
        let mut heard: BTreeSet<(StreamId, u16)> = BTreeSet::new();
        let mut bound: BTreeMap<(StreamId, u16), Vec<(Tick, model::Bound)>> = BTreeMap::new();
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut duplicates: BTreeMap<(StreamId, u16), i64> = BTreeMap::new();
        for (tick, row) in history.until(at) {
            let (pos, key) = match row {
                Row::Bound(row) => {
                    heard.insert((row.stream, row.partition));
                    bound.entry((row.stream, row.partition)).or_default().push((tick, (**row).clone()));
                    continue;
                }
                Row::Reading(row) => (row.pos, format!("r {:?} {:?} {}", row.sensor, row.metric, row.ts)),
                Row::Fix(row) => (row.pos, format!("f {:?} {}", row.vehicle, row.ts)),
                Row::Case(row) => {
                    (row.pos, format!("c {:?} {} {}", row.case, row.ts, row.kind.name_and_rank().0))
                }
                _ => continue,
            };
            if !keys.insert(key) {
                *duplicates.entry((pos.stream, pos.partition)).or_default() += 1;
                heard.insert((pos.stream, pos.partition));
            }
        }
        let mut jumps: BTreeMap<(StreamId, u16), i64> = BTreeMap::new();
        for tick in history.ticks(at) {
            // A partition is heard of through a jump even if the jump was taken back.
            for (_, fix, jump) in vehicles::oracle::tracks(history, tick).values().flatten() {
                if *jump {
                    heard.insert((fix.pos.stream, fix.pos.partition));
                    *jumps.entry((fix.pos.stream, fix.pos.partition)).or_default() += i64::from(tick == at);
                }
            }
        }
        let row = |key: (StreamId, u16)| {
            let bound = bound.get(&key).map_or(&[][..], Vec::as_slice);
            let last = bound.last().map(|(_, bound)| bound);
            let whole_second = at / 1000 * 1000;
            let minute =
                bound.iter().filter(|(tick, _)| *tick <= whole_second && tick + 60_000 > whole_second);
            json!({
                "stream": key.0.name(), "partition": key.1,
                "lag_records": last.map_or(0, |bound| bound.lag_records),
                "lag_ms": bound.iter().rev().find(|(_, bound)| bound.records > 0).map_or(0, |(_, bound)| bound.lag_ms),
                "rate": minute.map(|(_, bound)| bound.records).sum::<u64>() as f64 / 60.0,
                "late": bound.iter().map(|(_, bound)| bound.late).sum::<u64>(),
                "duplicates": duplicates.get(&key).copied().unwrap_or(0),
                "rejected": bound.iter().map(|(_, bound)| bound.rejected as i64).sum::<i64>() + jumps.get(&key).unwrap_or(&0),
                "last_ts": bound.iter().filter_map(|(_, bound)| bound.max_ts).max(),
                "holds_back": last.is_some_and(|bound| bound.lag_records > 0),
            })
        };
        heard.into_iter().map(row).collect()
    }
}
