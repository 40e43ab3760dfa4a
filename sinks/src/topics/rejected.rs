//! The sink of rejected records: what was refused goes back to whoever feeds the streams, as records of its own topic.
//!
//! Each upsert of the view `rejects` is one record of `<prefix>rejected`, without a key:
//! `{"topic","partition","offset","reason","payload","tick"}`. `tick` is the tick at which the row was published. A row
//! that goes from the view (because it is old, or because a late fix made a jump plausible) sends nothing: the record
//! says what was true when it was written. State: none beyond [`Topics`](super::Topics).

use model::{Error, Frame, Names, Op, Result, Tick, ViewId, ViewSpec};
use serde::Deserialize;

use super::{Record, TopicSink, Topics};

/// The view whose rows are sent.
const VIEW: &str = "rejects";
/// The columns that are sent, in the order of the record.
const COLUMNS: [&str; 5] = ["topic", "partition", "offset", "reason", "payload"];

/// The sink of rejected records into the log `W`: `RejectedSink::open(Rejected::new(prefix, specs)?, log)`.
pub type RejectedSink<W> = Topics<Rejected, W>;

/// What is particular to it.
#[derive(Debug)]
pub struct Rejected {
    topic: String,
    view: ViewId,
    spec: ViewSpec,
    /// Places of [`COLUMNS`] in a row.
    places: [usize; COLUMNS.len()],
}

#[derive(Deserialize)]
struct Stamp {
    tick: Tick,
}

impl Rejected {
    /// The sink into `<prefix>rejected`, for a program with the views `specs`.
    ///
    /// # Errors
    /// Internal when there is no view `rejects` or it lacks a column.
    pub fn new(prefix: &str, specs: &[ViewSpec]) -> Result<Self> {
        let missing = |what: &str| Error::internal(format!("the sink of rejected records needs {what}"));
        let view =
            specs.iter().position(|spec| spec.name == VIEW).ok_or_else(|| missing("the view rejects"))?;
        let spec = specs[view];
        let mut places = [0; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            *place = spec.column(name).ok_or_else(|| missing(&format!("the column {name} of rejects")))?;
        }
        let view = u16::try_from(view).map_err(|_| Error::internal("a place of a view fits 16 bits"))?;
        Ok(Self { topic: format!("{prefix}rejected"), view: ViewId(view), spec, places })
    }
}

impl TopicSink for Rejected {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn records(&self, frame: &Frame, from: Tick, names: &Names) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for step in frame.steps.iter().filter(|step| step.view == self.view) {
            for change in step.changes.iter().filter(|change| change.op == Op::Upsert && change.tick >= from)
            {
                let mut value = vec![b'{'];
                for (name, &place) in COLUMNS.iter().zip(&self.places) {
                    value.extend_from_slice(format!("\"{name}\":").as_bytes());
                    change.row[place].write_json(self.spec.columns[place].ty, names, &mut value);
                    value.push(b',');
                }
                value.extend_from_slice(format!("\"tick\":{}}}", change.tick).as_bytes());
                records.push((None, value));
            }
        }
        Ok(records)
    }

    fn tick_of(&self, value: &[u8]) -> Option<Tick> {
        serde_json::from_slice::<Stamp>(value).ok().map(|stamp| stamp.tick)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Changes, Column, Step, Type, Value};
    use parking_lot::Mutex;

    use super::*;
    use crate::topics::TopicWriter;

    const REJECTS: ViewSpec = ViewSpec {
        name: VIEW,
        zh: "",
        doc: "",
        key: 3,
        columns: &[
            Column::new("topic", Type::Text, "", ""),
            Column::new("partition", Type::Int, "", ""),
            Column::new("offset", Type::Int, "", ""),
            Column::new("reason", Type::Text, "", ""),
            Column::new("ts", Type::Time, "", "").nullable(),
            Column::new("tick", Type::Time, "", ""),
            Column::new("payload", Type::Text, "", ""),
        ],
        bounded_by: "",
    };
    const OTHER: ViewSpec =
        ViewSpec { name: "other", columns: &[Column::new("topic", Type::Text, "", "")], key: 1, ..REJECTS };
    const SPECS: [ViewSpec; 2] = [OTHER, REJECTS];

    /// A log in memory that can be told to fail, before or after it has appended.
    #[derive(Clone, Debug, Default)]
    struct Memory(Arc<Mutex<State>>);

    #[derive(Debug, Default)]
    struct State {
        batches: Vec<Vec<String>>,
        fail_before: bool,
        fail_after: bool,
    }

    impl Memory {
        fn all(&self) -> Vec<String> {
            self.0.lock().batches.concat()
        }
    }

    impl TopicWriter for Memory {
        fn last(&mut self, topic: &str) -> Result<Option<Vec<u8>>> {
            assert_eq!(topic, "city.rejected");
            Ok(self.0.lock().batches.last().and_then(|batch| batch.last()).map(|text| text.clone().into()))
        }

        fn append_atomic(&mut self, topic: &str, records: Vec<Record>) -> Result<()> {
            assert_eq!(topic, "city.rejected");
            let mut state = self.0.lock();
            if std::mem::take(&mut state.fail_before) {
                return Err(Error::external("before"));
            }
            let texts = records.into_iter().map(|(key, value)| {
                assert_eq!(key, None);
                String::from_utf8(value).unwrap()
            });
            state.batches.push(texts.collect());
            if std::mem::take(&mut state.fail_after) {
                return Err(Error::external("after"));
            }
            Ok(())
        }
    }

    fn open(log: &Memory) -> Topics<Rejected, Memory> {
        Topics::open(Rejected::new("city.", &SPECS).unwrap(), log.clone()).unwrap()
    }

    /// A frame with a rejected record at each of `ticks`.
    fn frame(names: &Names, lower: Tick, upper: Tick, ticks: &[Tick]) -> Frame {
        let mut changes = Changes::new(7);
        for &tick in ticks {
            for op in [Op::Upsert, Op::Delete] {
                let row = [
                    Value::Name(names.intern("city.positions")),
                    Value::Int(2),
                    Value::Int(tick as i64 + i64::from(op == Op::Delete)),
                    Value::Text("lat: 91 is not a latitude".into()),
                    Value::Null,
                    Value::Int(5),
                    Value::Text("{\"lat\":91} 城".into()),
                ];
                changes.push(tick, op, &row);
            }
        }
        let mut other = Changes::new(1);
        other.push(lower, Op::Upsert, &[Value::Text("x".into())]);
        let step = |view, changes| Step { view: ViewId(view), lower, upper, changes };
        Frame { lower, upper, tick: upper - 1, steps: vec![step(0, other), step(1, changes)] }
    }

    fn offsets(log: &Memory) -> Vec<i64> {
        let offset = |text: &String| {
            serde_json::from_str::<serde_json::Value>(text).unwrap()["offset"].as_i64().unwrap()
        };
        log.all().iter().map(offset).collect()
    }

    #[test]
    fn a_record_is_what_the_contract_says() {
        let (names, log) = (Names::new(), Memory::default());
        open(&log).write(&frame(&names, 0, 401, &[200]), &names).unwrap();
        let expected = r#"{"topic":"city.positions","partition":2,"offset":200,"reason":"lat: 91 is not a latitude","payload":"{\"lat\":91} 城","tick":200}"#;
        assert_eq!(log.all(), [expected]);
    }

    #[test]
    fn a_restart_goes_on_after_the_last_record_whatever_the_frames_are() {
        let (names, log) = (Names::new(), Memory::default());
        let mut sink = open(&log);
        sink.write(&frame(&names, 0, 401, &[200, 400]), &names).unwrap();
        sink.write(&frame(&names, 401, 1001, &[]), &names).unwrap();
        assert_eq!(sink.next(), 1001);
        let mut sink = open(&log);
        assert_eq!(sink.next(), 401);
        sink.write(&frame(&names, 0, 1401, &[200, 400, 1200]), &names).unwrap();
        assert_eq!(offsets(&log), [200, 400, 1200]);
        assert_eq!(log.0.lock().batches.len(), 2, "a frame is one batch and an empty one is none");
    }

    #[test]
    fn after_a_failure_it_looks_what_is_there() {
        let (names, log) = (Names::new(), Memory::default());
        let mut sink = open(&log);
        let (first, second) = (frame(&names, 0, 401, &[200]), frame(&names, 401, 801, &[600]));
        log.0.lock().fail_before = true;
        sink.write(&first, &names).unwrap_err();
        sink.write(&first, &names).unwrap();
        log.0.lock().fail_after = true;
        sink.write(&second, &names).unwrap_err();
        sink.write(&second, &names).unwrap();
        assert_eq!(offsets(&log), [200, 600]);
    }

    #[test]
    fn a_strangers_topic_is_left_alone() {
        let log = Memory::default();
        log.0.lock().batches.push(vec!["hello".to_owned()]);
        let error = Topics::open(Rejected::new("city.", &SPECS).unwrap(), log).unwrap_err();
        assert!(error.to_string().contains("city.rejected"), "{error}");
    }
}
