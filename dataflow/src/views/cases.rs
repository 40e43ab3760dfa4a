//! `cases`: each case as its events say, in order of `ts`, and whether it is overdue.
//!
//! **Meaning.** What the events of a case make of it by [`crate::casework::life`]: stage, clocks, deadline, and the
//! instants of its steps. The same (case, `ts`, event) again replaces the earlier one. A case is *overdue* when it was
//! handled after its deadline, or is open, not handled and T is past it; not while it is suspended, and never once an
//! appeal was granted. Closing counts as handling where no event said so. `counts` says in which statistics it counts
//! ([`crate::casework::counts`]) and at which instant, which is what a count of `case_rates` is made of.
//!
//! **Mechanism.** State by case, folded again when an event arrives; whatever time alone will change next (a deadline, a
//! limit of a step, the end of a suspension) is an appointment, so a case becomes overdue by itself. A changed calendar
//! folds the cases whose limit counts working time again, a changed class those whose dispatch named no limit.
//!
//! What was said of a case is what its events made of it then, so it is folded from them again rather than kept.
//!
//! **State.** The events of every case, packed: some fifty bytes; calendar and classes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use model::{
    CaseEvent, CaseEventKind, Column, Kind, Names, StreamId, Sym, Tick, Type, Typed, Value, ViewSpec,
};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Capability;

use super::case_quality::QualityRow;
use super::reference::CurrentRow;
use super::{Replaced, View};
use crate::Settings;
use crate::calendar::{Calendar, counts_working_time};
use crate::casework::counts::{self, COUNTS};
pub use crate::casework::life::CaseRow;
use crate::casework::life::{Channel, Events, Life, Rules};
use crate::casework::limits::Limits;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::packed::Packed;
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Fed, Inbox, Port, Tagged, fed};

const fn time(name: &'static str, zh: &'static str, doc: &'static str) -> Column {
    Column::new(name, Type::Time, zh, doc).nullable()
}

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "cases",
        zh: "案件",
        doc: "Each case as its events say, in order of their time.",
        key: 1,
        columns: &[
            Column::new("case_id", Type::Text, "案件编号", "The case."),
            Column::new(
                "stage",
                Type::Text,
                "环节",
                "reported, rejected, filed, dispatched, suspended, handled, verified, closed, voided or merged.",
            ),
            Column::new("stage_ts", Type::Time, "环节开始时间", "When that stage began."),
            Column::new("class", Type::Text, "案件类别", "Kind and code, such as event:0112.").nullable(),
            Column::new("district", Type::Text, "区县", "Where it is.").nullable(),
            Column::new("grid", Type::Text, "单元网格", "Unit grid code.").nullable(),
            Column::new("lon", Type::Float, "经度", "WGS-84.").nullable().unit("deg"),
            Column::new("lat", Type::Float, "纬度", "WGS-84.").nullable().unit("deg"),
            Column::new("department", Type::Text, "专业部门", "Who has to handle it.").nullable(),
            Column::new("source", Type::Text, "来源", "Who reported it.").nullable(),
            Column::new("caller", Type::Text, "来电人", "Who called, as the report names them.").nullable(),
            time("deadline_ts", "处置时限", "Until when it must be handled."),
            Column::new(
                "overdue",
                Type::Bool,
                "超期",
                "Handled after the deadline, or not handled and past it.",
            ),
            Column::new("exempt", Type::Bool, "申诉免责", "An appeal was granted: never overdue."),
            Column::new(
                "opened_ts",
                Type::Time,
                "上报时间",
                "When it was reported; the first event if no report is known.",
            ),
            time("accepted_ts", "受理时间", "When it was first answered."),
            time("confirmed_ts", "核实时间", "When it was confirmed on site before filing."),
            time("filed_ts", "立案时间", "When it was first filed, or dispatched where no event says so."),
            time("dispatched_ts", "派遣时间", "When it was first dispatched."),
            time("handled_ts", "处置时间", "When it was handled last."),
            time("checked_ts", "核查时间", "When its handling was checked last."),
            time(
                "closed_ts",
                "结案时间",
                "When it was closed last; null once it was dispatched or opened again.",
            ),
            time("reworked_ts", "返工时间", "When a check failed last."),
            time("rated_ts", "评价时间", "When it was rated last."),
            Column::new(
                "clock",
                Type::Text,
                "计时环节",
                "Whose limit runs: accept, file, dispatch, handle, check, close.",
            )
            .nullable(),
            time("clock_due_ts", "环节时限", "Until when that step must be done."),
            Column::new("rework_count", Type::Int, "返工次数", "Failed checks."),
            Column::new(
                "late_rounds",
                Type::Int,
                "超期返工次数",
                "Rounds before a failed check that were late.",
            ),
            Column::new("return_count", Type::Int, "回退次数", "Times a department sent it back."),
            Column::new("extension_count", Type::Int, "延期次数", "Extensions granted."),
            Column::new("reopen_count", Type::Int, "重办次数", "Times it was opened again."),
            Column::new("satisfaction", Type::Int, "满意度", "1 to 5, of the last rating.").nullable(),
            Column::new("merged_into", Type::Text, "并入案件", "The case that goes on.").nullable(),
            Column::new(
                "counts",
                Type::Json,
                "计入指标",
                "Instant (Unix ms) to the counts of case_rates that it is in at that instant.",
            ),
        ],
        bounded_by: "the number of cases in the log",
    },
    render: |context, id| context.publish(context.cases.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

impl Keyed for CaseRow {
    type Key = Sym;
    fn key(&self) -> Sym {
        self.case
    }
}

impl ViewRow for CaseRow {
    fn values(&self, out: &mut Vec<Value>) {
        let time = |ts: Option<i64>| ts.map_or(Value::Null, Value::Int);
        out.push(Value::Name(self.case));
        out.push(Value::Literal(self.stage.name()));
        out.push(Value::Int(self.stage_ts));
        out.push(Value::name_or_null(self.class));
        out.push(Value::name_or_null(self.district));
        out.push(Value::name_or_null(self.grid));
        let degrees = |n: i32| Value::Float(f64::from(n) / model::rows::DEGREE);
        out.push(self.place.map_or(Value::Null, |(lon, _)| degrees(lon)));
        out.push(self.place.map_or(Value::Null, |(_, lat)| degrees(lat)));
        out.push(Value::name_or_null(self.department));
        out.push(Value::name_or_null(self.source));
        out.push(Value::name_or_null(self.caller));
        out.push(time(self.deadline_ts));
        out.push(Value::Bool(self.overdue));
        out.push(Value::Bool(self.exempt));
        out.push(Value::Int(self.opened_ts));
        out.push(time(self.accepted_ts));
        out.push(time(self.confirmed_ts));
        out.push(time(self.filed_ts));
        out.push(time(self.dispatched_ts));
        out.push(time(self.handled_ts));
        out.push(time(self.checked_ts));
        out.push(time(self.closed_ts));
        out.push(time(self.reworked_ts));
        out.push(time(self.rated_ts));
        out.push(self.clock.name().map_or(Value::Null, Value::Literal));
        out.push(time(self.clock_due_ts));
        out.push(Value::Int(i64::from(self.rework_count)));
        out.push(Value::Int(i64::from(self.late_rounds)));
        out.push(Value::Int(i64::from(self.return_count)));
        out.push(Value::Int(i64::from(self.extension_count)));
        out.push(Value::Int(i64::from(self.reopen_count)));
        out.push(self.satisfaction.map_or(Value::Null, |n| Value::Int(i64::from(n))));
        out.push(Value::name_or_null(self.merged_into));
        out.push(Value::Text(counts_json(self).into()));
    }
}

/// The counts that `row` is in, by instant, as JSON.
fn counts_json(row: &CaseRow) -> String {
    let mut facts = Vec::with_capacity(32);
    counts::facts(row, &mut facts);
    facts.sort_by_key(|(_, _, ts)| *ts);
    let mut json = String::with_capacity(512);
    json.push('{');
    let mut before = None;
    for (count, _, ts) in facts {
        if before == Some(ts) {
            json.push(',');
        } else {
            let end = if before.is_some() { "]," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(json, "{end}\"{ts}\":[");
        }
        before = Some(ts);
        let _ = write!(json, "\"{}\"", COUNTS[count as usize].name);
    }
    json.push_str(if before.is_some() { "]}" } else { "}" });
    json
}

/// One case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Case {
    events: Events,
    /// The tick as of which its rows were last said.
    said: Option<Tick>,
}

/// What the limits of cases depend on.
#[derive(Clone)]
struct Records {
    calendar: Calendar,
    classes: Limits,
}

/// What the events of a case make of it.
#[derive(Default)]
struct Folded {
    /// Nothing of a case without events.
    row: Option<CaseRow>,
    quality: Vec<QualityRow>,
    /// When time alone changes that, Unix ms.
    due: Option<i64>,
}

/// What the operator says, on its way out.
#[derive(Default)]
struct Out {
    cases: Vec<(Tick, Delta<CaseRow>)>,
    quality: Vec<(Tick, Delta<QualityRow>)>,
    replaced: Vec<(Tick, Replaced)>,
}

/// How the sources of the contract are counted.
#[derive(Clone, Copy)]
pub(super) struct Channels {
    patrol: Sym,
    hotline: Sym,
    public_app: Sym,
}

impl Channels {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            patrol: names.intern("patrol"),
            hotline: names.intern("hotline_12345"),
            public_app: names.intern("public_app"),
        }
    }

    fn of(self, source: Sym) -> Channel {
        match source {
            source if source == self.patrol => Channel::Patrol,
            source if source == self.hotline => Channel::Hotline,
            source if source == self.public_app => Channel::PublicApp,
            _ => Channel::Other,
        }
    }
}

struct Cases {
    settings: Arc<Settings>,
    records: Records,
    channels: Channels,
    cases: KeyedState<Sym, Packed<Case>>,
}

/// What the operator says.
pub(super) struct Said<'s> {
    /// Cases.
    pub cases: Tagged<'s, Delta<CaseRow>>,
    /// What is wrong with their events.
    pub quality: Tagged<'s, Delta<QualityRow>>,
    /// Replaced events.
    pub replaced: Tagged<'s, Replaced>,
}

/// Renders the operator. `records` are those of the calendar and of classes, at every worker.
pub(super) fn operate<'s>(
    events: Inbox<CaseEvent>,
    records: Tagged<'s, Delta<CurrentRow>>,
    settings: &Arc<Settings>,
    names: &Names,
) -> Said<'s> {
    let logic = Cases {
        settings: Arc::clone(settings),
        records: Records { calendar: Calendar::new(settings), classes: Limits::new(names) },
        channels: Channels::new(names),
        cases: KeyedState::default(),
    };
    fed(records.scope(), "cases", events, records, logic, |builder| {
        let (mut to_cases, cases) = Port::new(builder);
        let (mut to_quality, quality) = Port::new(builder);
        let (mut to_replaced, replaced) = Port::new(builder);
        let send = move |capabilities: &[Capability<Tick>], out: &mut Out| {
            to_cases.send(&capabilities[0], &mut out.cases);
            to_quality.send(&capabilities[1], &mut out.quality);
            to_replaced.send(&capabilities[2], &mut out.replaced);
        };
        (Said { cases, quality, replaced }, send)
    })
}

impl Cases {
    /// What `events` made of a case as of `tick`, under `records`.
    fn fold(&self, id: Sym, events: &Events, tick: Tick, records: &Records) -> Folded {
        let channels = self.channels;
        let channel = |source| channels.of(source);
        let Records { calendar, classes } = records;
        let rules = Rules { calendar, classes, settings: &self.settings, channel: &channel };
        let mut life = Life::of(id, events, &rules);
        let flags = std::mem::take(&mut life.flags);
        let (row, due) = life.at(i64::try_from(tick).unwrap_or(i64::MAX), &rules);
        let quality = flags.iter().map(|flag| QualityRow::of_event(&row, flag)).collect();
        Folded { row: Some(row), quality, due }
    }

    /// Takes in the `events` of a case in a tick, lets time pass, and says what is new. `before` are the records as they
    /// were before the tick.
    fn settle(
        &mut self,
        id: Sym,
        events: impl Iterator<Item = CaseEvent>,
        before: Option<&Records>,
        tick: Tick,
        replaced: &mut BTreeMap<(StreamId, u16), i64>,
        out: &mut Out,
    ) {
        let mut case = self.cases.entry(id).unpack();
        let before = before.unwrap_or(&self.records);
        let old = case.said.map_or_else(Folded::default, |at| self.fold(id, &case.events, at, before));
        for event in events {
            let (_, rank) = event.kind.name_and_rank();
            if case.events.put((event.ts, rank), Some(event.kind)).is_some() {
                *replaced.entry((event.pos.stream, event.pos.partition)).or_default() += 1;
            }
        }
        let new = self.fold(id, &case.events, tick, &self.records);
        for delta in QualityRow::changes(&old.quality, &new.quality) {
            out.quality.push((tick, delta));
        }
        out.cases.extend(Delta::between(old.row, new.row).map(|delta| (tick, delta)));
        if let Some(due) = new.due {
            self.cases.wake(id, self.settings.tick.ceil(due));
        }
        case.said = Some(tick);
        self.cases.entry(id).pack(&case);
    }
}

impl Fed for Cases {
    type Row = CaseEvent;
    type In = Delta<CurrentRow>;
    type Out = Out;

    fn tick(
        &mut self,
        tick: Tick,
        events: &mut Vec<CaseEvent>,
        records: &mut Vec<Delta<CurrentRow>>,
        out: &mut Out,
    ) {
        let mut touched = self.cases.woken(tick);
        let mut replaced: BTreeMap<(StreamId, u16), i64> = BTreeMap::new();
        let (mut calendar_changed, mut classes_changed) = (false, false);
        let before = (!records.is_empty() && !self.cases.is_empty()).then(|| self.records.clone());
        let Records { calendar, classes } = &mut self.records;
        for delta in records.drain(..) {
            let Some((kind, id)) = delta.key() else { continue };
            let from = delta.new.as_ref().and_then(|row| row.ts).unwrap_or(tick as i64);
            let typed = delta.new.map(|row| row.body.typed.clone());
            match (kind, typed) {
                (Kind::CaseClass, typed) => {
                    let record = typed.and_then(|typed| match typed {
                        Typed::CaseClass(record) => Some(record),
                        _ => None,
                    });
                    classes.set(id, from, record);
                    classes_changed = true;
                }
                (_, Some(Typed::Calendar(day))) => {
                    calendar.insert(id, day);
                    calendar_changed = true;
                }
                _ => {
                    calendar.remove(id);
                    calendar_changed = true;
                }
            }
        }
        if calendar_changed || classes_changed {
            let moved = |kind: &CaseEventKind| match kind {
                CaseEventKind::Dispatched { limit: Some(limit), .. } => {
                    calendar_changed && counts_working_time(limit.unit)
                }
                // What its class says may count working time.
                CaseEventKind::Dispatched { limit: None, .. } => true,
                _ => false,
            };
            let moves = |case: &Case| case.events.iter().any(|(_, event)| moved(event));
            let cases = self.cases.iter_mut().filter(|(_, case)| moves(&case.unpack()));
            touched.extend(cases.map(|(id, _)| id));
        }
        // Case by case; of one case in the order of the log.
        events.sort_by_key(|event| (event.case, event.pos));
        touched.extend(events.iter().map(|event| event.case));
        touched.sort_unstable();
        touched.dedup();
        let mut events = events.drain(..).peekable();
        for id in touched {
            let mine = std::iter::from_fn(|| events.next_if(|event| event.case == id));
            self.settle(id, mine, before.as_ref(), tick, &mut replaced, out);
        }
        let replaced = replaced.into_iter();
        out.replaced.extend(replaced.map(|((stream, partition), n)| (tick, (stream, partition, n))));
    }

    fn due(&self) -> Option<Tick> {
        self.cases.due()
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    pub(crate) use crate::casework::oracle::{Told, rows, told};
}
