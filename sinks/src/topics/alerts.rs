//! The sink of alerts: each transition of an alert is a record of `<prefix>alerts`, and an alert whose rule says so opens
//! a case.
//!
//! **The topic.** Each upsert of the view `alerts` is one record, keyed by the id of the alert: the row as JSON, and
//! `tick`, the tick at which it was published. An alert that goes from the view because it is old sends nothing.
//!
//! **Cases.** The first revision of an alert with a `case_class` is also a record of `<prefix>cases`: `reported`, source
//! `sensor`, at the time raised, case id `alert:` and the id of the alert. It is appended before the alerts of the
//! frame; should the program die between the two, it is appended again, the same, and a repeated event replaces itself.
//!
//! State: none beyond [`Topics`].

use model::{Change, Error, Frame, Names, Op, Result, Tick, Value, ViewId, ViewSpec};
use serde::Deserialize;
use serde_json::json;

use super::{Record, TopicSink, TopicWriter, Topics};

/// The view whose rows are sent.
const VIEW: &str = "alerts";
/// What the id of a case begins with that an alert opened.
pub const CASE_PREFIX: &str = "alert:";

/// Where cases are appended.
pub trait CaseWriter: Send {
    /// Appends case events, each with its key.
    ///
    /// # Errors
    /// Those of the log.
    fn append(&mut self, records: Vec<Record>) -> Result<()>;
}

/// What is particular to the topic.
#[derive(Debug)]
pub struct Alerts {
    topic: String,
    view: ViewId,
    spec: ViewSpec,
    places: Places,
}

/// Places of columns in a row.
#[derive(Clone, Copy, Debug)]
struct Places {
    id: usize,
    revision: usize,
    class: usize,
    raised: usize,
    district: usize,
    reason: usize,
}

#[derive(Deserialize)]
struct Stamp {
    tick: Tick,
}

impl Alerts {
    /// The sink into `<prefix>alerts`, for a program with the views `specs`.
    ///
    /// # Errors
    /// Internal when there is no view `alerts` or it lacks a column.
    pub fn new(prefix: &str, specs: &[ViewSpec]) -> Result<Self> {
        let missing = |what: &str| Error::internal(format!("the sink of alerts needs {what}"));
        let view =
            specs.iter().position(|spec| spec.name == VIEW).ok_or_else(|| missing("the view alerts"))?;
        let spec = specs[view];
        let place =
            |name: &str| spec.column(name).ok_or_else(|| missing(&format!("the column {name} of alerts")));
        let places = Places {
            id: place("alert_id")?,
            revision: place("revision")?,
            class: place("case_class")?,
            raised: place("raised_ts")?,
            district: place("district")?,
            reason: place("reason")?,
        };
        let view = u16::try_from(view).map_err(|_| Error::internal("a place of a view fits 16 bits"))?;
        Ok(Self { topic: format!("{prefix}alerts"), view: ViewId(view), spec, places })
    }

    fn changes<'a>(&self, frame: &'a Frame, from: Tick) -> impl Iterator<Item = Change<'a>> {
        let view = self.view;
        let steps = frame.steps.iter().filter(move |step| step.view == view);
        steps
            .flat_map(|step| step.changes.iter())
            .filter(move |change| change.op == Op::Upsert && change.tick >= from)
    }

    /// The cases that alerts open at ticks from `from` on.
    fn cases(&self, frame: &Frame, from: Tick, names: &Names) -> Result<Vec<Record>> {
        let at = self.places;
        let mut records = Vec::new();
        for change in self.changes(frame, from) {
            let text = |place: usize| change.row[place].as_str(names);
            let first = matches!(change.row[at.revision], Value::Int(1));
            let (true, Some(class), Some(id)) = (first, text(at.class), text(at.id)) else { continue };
            let Value::Int(ts) = change.row[at.raised] else {
                return Err(Error::internal("an alert has a time at which it was raised"));
            };
            let case = format!("{CASE_PREFIX}{id}");
            let mut record = json!({
                "case_id": case, "ts": ts, "event": "reported", "source": "sensor", "class": class,
                "title": text(at.reason).unwrap_or(""),
            });
            if let Some(district) = text(at.district) {
                record["district"] = district.into();
            }
            records.push((Some(case.into_bytes()), record.to_string().into_bytes()));
        }
        Ok(records)
    }
}

impl TopicSink for Alerts {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn records(&self, frame: &Frame, from: Tick, names: &Names) -> Result<Vec<Record>> {
        let record = |change: Change<'_>| {
            let mut value = Vec::new();
            model::view::write_row_json(&self.spec, change.row, names, &mut value);
            value.pop();
            value.extend_from_slice(format!(",\"tick\":{}}}", change.tick).as_bytes());
            let id = change.row[self.places.id].as_str(names);
            (id.map(|id| id.as_bytes().to_vec()), value)
        };
        Ok(self.changes(frame, from).map(record).collect())
    }

    fn tick_of(&self, value: &[u8]) -> Option<Tick> {
        serde_json::from_slice::<Stamp>(value).ok().map(|stamp| stamp.tick)
    }
}

/// The topic and the cases.
#[derive(Debug)]
pub struct AlertSink<W, C> {
    topics: Topics<Alerts, W>,
    cases: C,
}

impl<W: TopicWriter, C: CaseWriter> AlertSink<W, C> {
    /// Opens the sink: looks in the topic how far it has come.
    ///
    /// # Errors
    /// As [`Topics::open`].
    pub fn open(sink: Alerts, log: W, cases: C) -> Result<Self> {
        Ok(Self { topics: Topics::open(sink, log)?, cases })
    }

    /// Appends what the frame adds. A frame that was taken before adds nothing.
    ///
    /// # Errors
    /// Those of the log; the same frame may be given again.
    pub fn write(&mut self, frame: &Frame, names: &Names) -> Result<()> {
        let from = self.topics.prepare()?;
        let cases = self.topics.sink().cases(frame, from, names)?;
        if !cases.is_empty() {
            self.cases.append(cases)?;
        }
        self.topics.write(frame, names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Changes, Column, Step, Type};
    use parking_lot::Mutex;

    use super::*;

    const ALERTS: ViewSpec = ViewSpec {
        name: VIEW,
        zh: "",
        doc: "",
        key: 1,
        columns: &[
            Column::new("alert_id", Type::Text, "", ""),
            Column::new("district", Type::Text, "", "").nullable(),
            Column::new("raised_ts", Type::Time, "", ""),
            Column::new("revision", Type::Int, "", ""),
            Column::new("reason", Type::Text, "", ""),
            Column::new("case_class", Type::Text, "", "").nullable(),
        ],
        bounded_by: "",
    };

    #[derive(Clone, Debug, Default)]
    struct Memory(Arc<Mutex<Vec<Record>>>);

    impl Memory {
        fn all(&self) -> Vec<serde_json::Value> {
            self.0.lock().iter().map(|(_, value)| serde_json::from_slice(value).unwrap()).collect()
        }
    }

    impl TopicWriter for Memory {
        fn last(&mut self, topic: &str) -> Result<Option<Vec<u8>>> {
            assert_eq!(topic, "city.alerts");
            Ok(self.0.lock().last().map(|(_, value)| value.clone()))
        }

        fn append_atomic(&mut self, topic: &str, records: Vec<Record>) -> Result<()> {
            assert_eq!(topic, "city.alerts");
            self.0.lock().extend(records);
            Ok(())
        }
    }

    impl CaseWriter for Memory {
        fn append(&mut self, records: Vec<Record>) -> Result<()> {
            self.0.lock().extend(records);
            Ok(())
        }
    }

    fn frame(names: &Names, tick: Tick, rows: &[(&str, i64, bool)]) -> Frame {
        let mut changes = Changes::new(6);
        for (id, revision, case) in rows {
            let class = if *case { Value::Name(names.intern("event:0112")) } else { Value::Null };
            let district = Value::Name(names.intern("610602"));
            let id = Value::Name(names.intern(id));
            let row = [id, district, Value::Int(7), Value::Int(*revision), Value::Literal("deep"), class];
            changes.push(tick, Op::Upsert, &row);
            changes.push(tick, Op::Delete, &row);
        }
        let (lower, upper) = (tick, tick + 1);
        let step = Step { view: ViewId(0), lower, upper, changes };
        Frame { lower, upper, tick, steps: vec![step] }
    }

    #[test]
    fn transitions_go_to_the_topic_once_and_open_a_case_once() {
        let (names, log, cases) = (Names::new(), Memory::default(), Memory::default());
        let open =
            || AlertSink::open(Alerts::new("city.", &[ALERTS]).unwrap(), log.clone(), cases.clone()).unwrap();
        let frames = [
            frame(&names, 200, &[("a", 1, true), ("b", 1, false)]),
            frame(&names, 400, &[("a", 2, true)]),
            frame(&names, 600, &[("c", 1, true)]),
        ];
        let mut sink = open();
        for frame in &frames[..2] {
            sink.write(frame, &names).unwrap();
        }
        // A restart is given everything again.
        let mut sink = open();
        for frame in &frames {
            sink.write(frame, &names).unwrap();
        }
        let seen: Vec<_> =
            log.all().iter().map(|row| (row["alert_id"].clone(), row["revision"].clone())).collect();
        assert_eq!(
            seen,
            [("a".into(), 1.into()), ("b".into(), 1.into()), ("a".into(), 2.into()), ("c".into(), 1.into())]
        );
        assert_eq!(log.all()[2]["tick"], 400);
        assert_eq!(log.0.lock()[0].0.as_deref(), Some(&b"a"[..]));
        let expected = json!({
            "case_id": "alert:a", "ts": 7, "event": "reported", "source": "sensor", "class": "event:0112",
            "title": "deep", "district": "610602",
        });
        let opened: Vec<_> = cases.all().iter().map(|case| case["case_id"].clone()).collect();
        assert_eq!((cases.all()[0].clone(), opened), (expected, vec!["alert:a".into(), "alert:c".into()]));
    }
}
