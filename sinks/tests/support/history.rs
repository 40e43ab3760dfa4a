//! Random histories of two views, the frames they come in, and what the views hold at each tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Changes, Column, Frame, Names, Op, Step, Tick, Type, Value, ViewId, ViewSpec};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

/// A view with every type, a key of two columns of which one may be null, and column names that the table needs itself.
pub const WIDE: ViewSpec = ViewSpec {
    name: "wide",
    zh: "宽表",
    doc: "Everything that is awkward; it's a test.",
    key: 2,
    columns: &[
        Column::new("id", Type::Text, "编号", "Which."),
        Column::new("part", Type::Int, "分区", "Part of it.").nullable(),
        Column::new("tick", Type::Time, "时刻", "A column whose name is taken."),
        Column::new("op", Type::Text, "操作", "Another one.").nullable(),
        Column::new("on", Type::Bool, "开", "Whether."),
        Column::new("level", Type::Float, "水位", "How much?").nullable().unit("m"),
        Column::new("seen", Type::Time, "时间", "When.").nullable(),
        Column::new("doc", Type::Json, "文档", "What."),
    ],
    bounded_by: "keys",
};

/// A view of a key and one number.
pub const NARROW: ViewSpec = ViewSpec {
    name: "narrow",
    zh: "窄表",
    doc: "A count.",
    key: 1,
    columns: &[Column::new("k", Type::Int, "", ""), Column::new("n", Type::Int, "", "").nullable()],
    bounded_by: "keys",
};

pub const SPECS: [ViewSpec; 2] = [WIDE, NARROW];

/// 2016-11-24, the day the times of the tests are counted from.
pub const DAY: Tick = 1_479_945_600_000;

/// One change of one view.
#[derive(Clone, Debug)]
pub struct Event {
    pub tick: Tick,
    pub view: usize,
    pub op: Op,
    pub row: Vec<Value>,
}

/// A history: its names, and its events in order of tick, at most one for each view, key and tick.
#[derive(Clone, Debug)]
pub struct History {
    pub names: Arc<Names>,
    pub events: Vec<Event>,
}

fn text(names: &Names, n: u8) -> Value {
    let texts = ["宝塔区", "it's \\ \"x\"", "", "tab\tnull\0line\n", "🚒", "城".repeat(100).leak()];
    match texts[usize::from(n) % texts.len()] {
        text if n.is_multiple_of(2) => Value::Name(names.intern(text)),
        text => Value::Text(text.into()),
    }
}

fn optional(value: Value, present: bool) -> Value {
    if present { value } else { Value::Null }
}

/// What proptest draws for one event: steps of ticks since the last event, a delete or not, and the stuff of rows.
type Draw = (u16, bool, bool, u8, u8, [bool; 3], i64, f64);

fn draw() -> impl Strategy<Value = Draw> {
    let finite = prop_oneof![Just(0.0), Just(-1e300), -1e6..1e6];
    (
        0_u16..12,
        any::<bool>(),
        prop::bool::weighted(0.3),
        0_u8..5,
        0_u8..6,
        any::<[bool; 3]>(),
        any::<i64>(),
        finite,
    )
}

/// Histories of `events` events, about 1.1 s apart on ticks of 200 ms.
pub fn histories(events: std::ops::Range<usize>) -> impl Strategy<Value = History> {
    vec(draw(), events).prop_map(|draws| {
        let names = Arc::new(Names::new());
        let mut tick = DAY;
        let mut live: [BTreeMap<String, (Tick, Vec<Value>)>; 2] = Default::default();
        let mut events = Vec::new();
        for (steps, wide, delete, key, n, flags, int, float) in draws {
            tick += u64::from(steps) * 200;
            let view = usize::from(!wide);
            let row = if wide {
                vec![
                    text(&names, key),
                    optional(Value::Int(i64::from(n % 2)), flags[0]),
                    Value::Int((tick - 7) as i64),
                    optional(Value::Literal("delete"), flags[1]),
                    Value::Bool(flags[2]),
                    optional(Value::Float(float), n > 2),
                    optional(Value::Int(int % 4_000_000_000_000), n % 3 == 0),
                    Value::Text(format!("{{\"n\":{n}}}").into()),
                ]
            } else {
                vec![Value::Int(i64::from(key)), optional(Value::Int(int), flags[0])]
            };
            let spec = &SPECS[view];
            let key = format!("{:?}", to_json(spec, &row, &names).iter().take(spec.key).collect::<Vec<_>>());
            let last = live[view].get(&key).cloned();
            // At most one change of a key in a tick; a delete carries the last row and needs one.
            if last.as_ref().is_some_and(|(at, _)| *at == tick) {
                continue;
            }
            match last {
                Some((_, last)) if delete => {
                    live[view].remove(&key);
                    events.push(Event { tick, view, op: Op::Delete, row: last });
                    // The next change of any key comes later: the key must not change twice in this tick.
                    tick += 200;
                }
                _ => {
                    live[view].insert(key, (tick, row.clone()));
                    events.push(Event { tick, view, op: Op::Upsert, row });
                }
            }
        }
        History { names, events }
    })
}

impl History {
    /// First tick after everything.
    pub fn upper(&self) -> Tick {
        self.events.last().map_or(DAY, |event| event.tick) + 1
    }

    /// The frames of `[0, upper)` in spans of `span_ms` from the first event on.
    pub fn frames(&self, span_ms: u64, upper: Tick) -> Vec<Arc<Frame>> {
        let first = self.events.first().map_or(upper, |event| event.tick);
        let mut frames = Vec::new();
        let mut lower = 0;
        let mut rest = self.events.iter().peekable();
        while lower < upper {
            let end = if lower == 0 { first } else { lower + span_ms }.min(upper);
            let mut changes: Vec<Changes> =
                SPECS.iter().map(|spec| Changes::new(spec.columns.len())).collect();
            while let Some(event) = rest.next_if(|event| event.tick < end) {
                changes[event.view].push(event.tick, event.op, &event.row);
            }
            let steps = changes
                .into_iter()
                .enumerate()
                .filter(|(_, changes)| !changes.is_empty())
                .map(|(view, changes)| Step { view: ViewId(view as u16), lower, upper: end, changes })
                .collect();
            frames.push(Arc::new(Frame { lower, upper: end, tick: end - 1, steps }));
            lower = end;
        }
        frames
    }

    /// What view `view` holds at `tick`: every change up to it, one after the other.
    pub fn at(&self, view: usize, tick: Tick) -> Vec<Json> {
        let spec = &SPECS[view];
        let mut rows: Vec<Map<String, Json>> = Vec::new();
        for event in self.events.iter().filter(|event| event.view == view && event.tick <= tick) {
            let row = to_json(spec, &event.row, &self.names);
            rows.retain(|other| !other.iter().take(spec.key).eq(row.iter().take(spec.key)));
            if event.op == Op::Upsert {
                rows.push(row);
            }
        }
        sorted(rows.into_iter().map(Json::Object).collect())
    }

    /// Number of changes of view `view` before `upper`.
    pub fn changes(&self, view: usize, upper: Tick) -> usize {
        self.events.iter().filter(|event| event.view == view && event.tick < upper).count()
    }
}

/// A row as ClickHouse prints it; a JSON document is a string there.
pub fn to_json(spec: &ViewSpec, row: &[Value], names: &Names) -> Map<String, Json> {
    let value = |value: &Value| match value {
        Value::Null => Json::Null,
        Value::Bool(b) => json!(b),
        Value::Int(i) => json!(i),
        Value::Float(f) => json!(f),
        text => json!(text.as_str(names).unwrap()),
    };
    spec.columns.iter().zip(row).map(|(column, v)| (column.name.to_owned(), value(v))).collect()
}

/// Rows in an order that does not depend on where they come from.
pub fn sorted(mut rows: Vec<Json>) -> Vec<Json> {
    rows.sort_by_key(Json::to_string);
    rows
}
