//! Random histories, and the proof of V(T): every view equals its oracle at every tick, on 1, 2 and 3 workers.
//!
//! A [`History`] is what the log says, tick by tick. Oracles see only that, recompute from scratch, and share no code
//! with the operators they judge.

mod alerts;
mod cases;
mod fleet;
mod greens;
mod journeys;
mod occasions;
pub(crate) mod parks;
mod scores;
mod workload;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::reference::{
    CalendarRef, Level, Limit, RuleRef, Selector, SensorRef, Severity, Signal, VehicleRef,
};
use model::rows::{Limit as CaseLimit, LimitUnit};
use model::{
    Action, ActionKind, Bound, CaseEvent, CaseEventKind, Feed, Fix, Kind, LogPos, Names, Op, Quality,
    Reading, RefBody, RefRecord, Refused, Row, StreamId, Sym, Tick, TickLength, Typed, ViewSpec,
};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::selection::selected;
use crate::views::{ON_REQUEST, VIEWS};
use crate::{Engine, Frames, Settings};

/// What a view says at a tick: its rows as JSON objects, in any order.
pub type Oracle = fn(&History, Tick) -> Vec<Json>;

/// Distance between ticks in these tests, ms.
pub const TICK: u64 = 1000;
/// Where the histories begin: a Friday, 2026-11-13 17:00 in the city.
pub const START: u64 = 1_794_560_400_000;
/// Number of ticks in a history.
const TICKS: u64 = 24;

/// What the log says.
pub struct History {
    /// In log order.
    rows: Vec<(Tick, Row)>,
    /// The names behind the symbols.
    pub names: Arc<Names>,
    /// Settings of the run.
    pub settings: Settings,
    /// Alerts that were recomputed before, by the number of rows and the tick: they depend on all ticks before.
    pub(crate) memo: RefCell<BTreeMap<(usize, Tick), crate::views::alerts::oracle::State>>,
}

impl History {
    fn new(settings: Settings) -> Self {
        Self { rows: Vec::new(), names: Arc::new(Names::new()), settings, memo: RefCell::default() }
    }

    /// The rows bound to ticks up to `at`, in log order.
    pub fn until(&self, at: Tick) -> impl Iterator<Item = (Tick, &Row)> {
        self.rows.iter().filter(move |(tick, _)| *tick <= at).map(|(tick, row)| (*tick, row))
    }

    /// All ticks up to `at`.
    pub fn ticks(&self, at: Tick) -> impl Iterator<Item = Tick> + use<> {
        let length = self.settings.tick.as_millis();
        (START.next_multiple_of(length)..=at).step_by(length as usize)
    }

    /// The last tick of the history.
    pub fn last(&self) -> Tick {
        let length = self.settings.tick.as_millis();
        START.next_multiple_of(length) + TICKS * length
    }

    /// The string of a symbol.
    pub fn name(&self, sym: Sym) -> &str {
        self.names.resolve(sym)
    }

    /// The string of a symbol as JSON, null for the empty one.
    pub fn name_or_null(&self, sym: Sym) -> Json {
        if sym == Sym::EMPTY { Json::Null } else { self.name(sym).into() }
    }
}

/// One thing that happens, drawn at random.
#[derive(Clone, Debug)]
enum Event {
    Reading { sensor: u8, metric: u8, age: u8, value: i8, quality: u8 },
    Fix { vehicle: u8, age: u8, place: u8, speed: u8, working: u8 },
    Case { case: u8, age: u8, kind: u8, amount: u8 },
    Sensor { sensor: u8, district: u8, kind: u8, heartbeat: u8, ahead: u8 },
    Vehicle { vehicle: u8, district: u8 },
    Rule { rule: u8, variant: u8, hold: u8 },
    Calendar { day: u8, variant: u8 },
    Act { pick: u8, kind: u8, age: u8, id: u8 },
    Refuse { late: bool, ts: u8 },
    Bind { stream: u8, partition: u8, records: u8, late: u8, lag: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop_oneof![
        8 => (0u8..4, 0u8..2, 0u8..40, -4i8..20, 0u8..8)
            .prop_map(|(sensor, metric, age, value, quality)| E::Reading { sensor, metric, age, value, quality }),
        6 => (0u8..3, 0u8..40, 0u8..6, 0u8..20, 0u8..3)
            .prop_map(|(vehicle, age, place, speed, working)| E::Fix { vehicle, age, place, speed, working }),
        6 => (0u8..4, 0u8..40, 0u8..17, 0u8..8).prop_map(|(case, age, kind, amount)| E::Case { case, age, kind, amount }),
        2 => (0u8..4, 0u8..3, 0u8..2, 0u8..4, 0u8..8)
            .prop_map(|(sensor, district, kind, heartbeat, ahead)| E::Sensor { sensor, district, kind, heartbeat, ahead }),
        1 => (0u8..3, 0u8..3).prop_map(|(vehicle, district)| E::Vehicle { vehicle, district }),
        2 => (0u8..4, 0u8..8, 0u8..4).prop_map(|(rule, variant, hold)| E::Rule { rule, variant, hold }),
        1 => (0u8..4, 0u8..3).prop_map(|(day, variant)| E::Calendar { day, variant }),
        2 => (any::<u8>(), 0u8..7, 0u8..8, 0u8..6).prop_map(|(pick, kind, age, id)| E::Act { pick, kind, age, id }),
        1 => (any::<bool>(), 0u8..10).prop_map(|(late, ts)| E::Refuse { late, ts }),
        1 => (0u8..3, 0u8..2, 0u8..9, 0u8..3, 0u8..3)
            .prop_map(|(stream, partition, records, late, lag)| E::Bind { stream, partition, records, late, lag }),
    ]
}

/// Places in 10⁻⁷ degrees: four near each other, one across the county, one across the country.
const PLACES: [(i32, i32); 6] = [
    (1_094_900_000, 365_900_000),
    (1_094_901_000, 365_900_500),
    (1_094_903_000, 365_902_000),
    (1_094_900_100, 365_901_000),
    (1_096_800_000, 371_400_000),
    (1_215_000_000, 312_000_000),
];

/// Builds the history of `events`, each at its tick.
fn history(mut events: Vec<(u8, Event)>, settings: Settings) -> History {
    events.sort_by_key(|(tick, _)| *tick);
    let mut history = History::new(settings);
    for (n, (tick, event)) in (0u64..).zip(events) {
        let tick = START + u64::from(tick) * TICK;
        if let Some(row) = row(&history, n, tick, &event) {
            history.rows.push((tick, row));
        }
    }
    history
}

fn row(history: &History, n: u64, tick: Tick, event: &Event) -> Option<Row> {
    let name = |kind: &str, n: u8| history.names.intern(&format!("{kind}{n}"));
    // Event times lie on a coarse grid, so that the same one comes up again and again; some are ahead of the tick.
    let ts = |age: u8| tick as i64 + 750 - i64::from(age) * 250;
    let pos = |stream| LogPos { stream, partition: 0, offset: n };
    let district = |n: u8| if n == 0 { Sym::EMPTY } else { name("district", n) };
    let reference = |kind, id, ts, typed: Option<Typed>| {
        let body = typed.map(|typed| Arc::new(RefBody { json: format!("{{\"n\":{n}}}").into(), typed }));
        Some(Row::Reference(Box::new(RefRecord { pos: pos(StreamId::Reference), kind, id, ts, body })))
    };
    match *event {
        Event::Reading { sensor, metric, age, value, quality } => Some(Row::Reading(Reading {
            pos: pos(StreamId::Telemetry),
            sensor: name("sensor", sensor),
            metric: name("metric", metric),
            ts: ts(age),
            value: f64::from(value) * 0.5,
            quality: match quality {
                0 => Quality::Bad,
                1 => Quality::Suspect,
                _ => Quality::Good,
            },
        })),
        Event::Fix { vehicle, age, place, speed, working } => Some(Row::Fix(Fix {
            pos: pos(StreamId::Positions),
            vehicle: name("vehicle", vehicle),
            ts: ts(age),
            lon: PLACES[usize::from(place)].0,
            lat: PLACES[usize::from(place)].1,
            speed: (speed > 0).then_some(f32::from(speed) * 0.5),
            heading: None,
            working: [None, Some(false), Some(true)][usize::from(working)],
        })),
        Event::Case { case, age, kind, amount } => {
            let unit =
                [LimitUnit::UrgentHour, LimitUnit::WorkingHour, LimitUnit::WorkingDay, LimitUnit::NaturalDay]
                    [usize::from(amount % 4)];
            // Seconds rather than hours: a history lasts half a minute. The first tick is an hour before the day ends.
            let limit = (amount > 0).then_some(CaseLimit { amount: f64::from(amount) * 4.0 / 3600.0, unit });
            let kind = match kind {
                0 | 16 => CaseEventKind::Reported {
                    source: name("source", amount % 2),
                    class: name("class", amount % 3),
                    district: district(amount % 3),
                    grid: Sym::EMPTY,
                    caller: Sym::EMPTY,
                    at: None,
                },
                1 => CaseEventKind::Rejected,
                2 => CaseEventKind::Filed,
                3 => CaseEventKind::Dispatched { department: name("department", amount % 2), limit },
                4 => CaseEventKind::Returned,
                5 => CaseEventKind::Extended,
                6 => CaseEventKind::Suspended,
                7 => CaseEventKind::Resumed,
                8 => CaseEventKind::Handled,
                9 => CaseEventKind::Verified { passed: amount % 2 == 0 },
                10 => CaseEventKind::Closed,
                11 => CaseEventKind::Reopened,
                12 => CaseEventKind::Voided,
                13 => CaseEventKind::AppealGranted,
                14 => CaseEventKind::Merged { into: name("case", amount % 4) },
                _ => CaseEventKind::Rated { satisfaction: amount % 5 + 1 },
            };
            let case = name("case", case);
            Some(Row::Case(Box::new(CaseEvent { pos: pos(StreamId::Cases), case, ts: ts(age), kind })))
        }
        Event::Sensor { sensor, district: at, kind, heartbeat, ahead } => {
            let typed = (heartbeat < 3).then(|| {
                Typed::Sensor(SensorRef {
                    kind: name("kind", kind),
                    district: district(at),
                    heartbeat_s: (heartbeat > 0).then_some(f64::from(heartbeat) * 1.5),
                    ..SensorRef::default()
                })
            });
            let ahead = (ahead > 4).then(|| tick as i64 + (i64::from(ahead) - 6) * 1500);
            reference(Kind::Sensor, name("sensor", sensor), ahead, typed)
        }
        Event::Vehicle { vehicle, district: at } => {
            let typed = Typed::Vehicle(VehicleRef {
                fleet: name("fleet", at),
                district: district(at),
                ..VehicleRef::default()
            });
            reference(Kind::Vehicle, name("vehicle", vehicle), None, (at < 2).then_some(typed))
        }
        Event::Rule { rule, variant, hold } => {
            let limit = match variant {
                0 => Limit::Above { raise: 4.0, clear: 3.0 },
                1 => Limit::Above { raise: 5.0, clear: 5.0 },
                2 => Limit::Below { raise: 1.0, clear: 2.0 },
                _ => Limit::Above { raise: 6.0, clear: 2.0 },
            };
            let severity = [Severity::Notice, Severity::Warning, Severity::Severe][usize::from(rule % 3)];
            let typed = Typed::Rule(Box::new(RuleRef {
                selector: Selector {
                    metric: if variant == 5 { Sym::EMPTY } else { name("metric", rule % 2) },
                    sensor_kind: if variant == 1 { name("kind", 0) } else { Sym::EMPTY },
                    district: if variant == 2 { district(1) } else { Sym::EMPTY },
                    tags: Vec::new(),
                },
                signal: match variant {
                    3 | 4 => Signal::Offline { heartbeats: 2.0 },
                    _ => Signal::Value,
                },
                levels: vec![Level { severity, limit }],
                hold_ms: i64::from(hold) * 750,
                enabled: variant != 6,
                ..RuleRef::default()
            }));
            reference(Kind::Rule, name("rule", rule), None, (variant != 7).then_some(typed))
        }
        Event::Calendar { day, variant } => {
            let hours = if variant == 1 { vec![(17 * 60, 17 * 60 + 1), (20 * 60, 21 * 60)] } else { vec![] };
            let typed =
                Typed::Calendar(CalendarRef { day: 20_770 + i32::from(day), working: variant > 0, hours });
            reference(Kind::Calendar, name("day", day), None, Some(typed))
        }
        Event::Act { pick, kind, age, id } => {
            // An action needs something to act upon: one of the alerts that were said before.
            let alerts = (crate::views::alerts::VIEW.oracle)(history, tick - TICK);
            let target =
                alerts.get(usize::from(pick).checked_rem(alerts.len())?)?["alert_id"].as_str()?.to_owned();
            let kind = ActionKind::ALL[usize::from(kind)];
            Some(Row::Action(Box::new(Action {
                pos: pos(StreamId::Actions),
                id: name("action", id),
                ts: ts(age),
                user: name("user", id % 2),
                kind,
                target: history.names.intern(&target),
                assignee: if id == 0 { Sym::EMPTY } else { name("user", 7) },
                reason: format!("because {id}").into(),
                until: (id > 2).then(|| ts(age) + i64::from(id) * 1000),
                undoes: name("action", (id + 1) % 6),
            })))
        }
        Event::Refuse { late, ts } => {
            let refused = Box::new(Refused {
                pos: pos(StreamId::Telemetry),
                unknown_stream: (ts == 9).then(|| "weather".into()),
                ts: (ts > 0).then_some(i64::from(ts)),
                reason: "not_json: it isn't".into(),
                payload: "{".into(),
            });
            Some(if late { Row::Late(refused) } else { Row::Rejected(refused) })
        }
        Event::Bind { stream, partition, records, late, lag } => {
            // A tick binds a partition once.
            let this = (StreamId::ALL[usize::from(stream)], u16::from(partition));
            let again = |(at, row): &(Tick, Row)| matches!(row, Row::Bound(row) if *at == tick && (row.stream, row.partition) == this);
            (!history.rows.iter().any(again)).then(|| {
                Row::Bound(Box::new(Bound {
                    stream: StreamId::ALL[usize::from(stream)],
                    partition: u16::from(partition),
                    records: u64::from(records),
                    late: u64::from(late),
                    rejected: u64::from(late / 2),
                    max_ts: (records > 0).then(|| tick as i64 - i64::from(records)),
                    lag_records: u64::from(lag),
                    lag_ms: u64::from(lag) * 10,
                }))
            })
        }
    }
}

/// One change: what happened to which key, and the row.
type Said = (Op, String, Json);

/// The rows of a view by key, both as JSON text.
type State = BTreeMap<String, Json>;

fn key(spec: &ViewSpec, row: &Json) -> String {
    spec.columns[..spec.key].iter().map(|column| format!("{}|", row[column.name])).collect()
}

/// What the engine says: the state of every view at every tick.
fn run(history: &History, workers: usize) -> Vec<BTreeMap<Tick, State>> {
    let views = selected(&history.settings).unwrap();
    let mut engine = Engine::start(&history.settings, workers, &history.names).unwrap();
    let frames = engine.frames();
    let names = Arc::clone(&history.names);
    let reader = std::thread::spawn(move || {
        let mut changes: Vec<BTreeMap<Tick, Vec<Said>>> = vec![BTreeMap::new(); views.len()];
        let mut upper = 0;
        for frame in frames {
            assert_eq!(frame.lower, upper, "frames follow each other without a gap");
            upper = frame.upper;
            for step in &frame.steps {
                let spec = &views[usize::from(step.view.0)].spec;
                for change in step.changes.iter() {
                    assert!((frame.lower..frame.upper).contains(&change.tick));
                    let mut json = Vec::new();
                    model::view::write_row_json(spec, change.row, &names, &mut json);
                    let row: Json = serde_json::from_slice(&json).unwrap();
                    let entry = changes[usize::from(step.view.0)].entry(change.tick).or_default();
                    entry.push((change.op, key(spec, &row), row));
                }
            }
        }
        changes
    });
    let mut rows = history.rows.iter().peekable();
    for tick in history.ticks(history.last()) {
        let mut batch = Vec::new();
        while let Some((_, row)) = rows.next_if(|(at, _)| *at == tick) {
            batch.push(row.clone());
        }
        // Order within a tick is not part of the meaning.
        batch.reverse();
        engine.feed(Feed::Rows { tick, rows: batch }).unwrap();
        engine.feed(Feed::Advance(tick)).unwrap();
    }
    engine.stop().unwrap();
    let changes = reader.join().unwrap();
    let mut all = Vec::new();
    for by_tick in changes {
        let (mut state, mut states) = (State::new(), BTreeMap::new());
        let length = history.settings.tick.as_millis();
        assert!(by_tick.keys().all(|tick| tick % length == 0), "changes happen at ticks");
        for tick in history.ticks(history.last()) {
            let mut seen = std::collections::BTreeSet::new();
            for (op, key, row) in by_tick.get(&tick).into_iter().flatten() {
                assert!(seen.insert(key.clone()), "one change per key and tick: {key} at {tick}");
                match op {
                    Op::Upsert => {
                        assert_ne!(state.insert(key.clone(), row.clone()).as_ref(), Some(row), "no change")
                    }
                    Op::Delete => {
                        assert!(state.remove(key).is_some(), "{key} is deleted at {tick} and was not there")
                    }
                }
            }
            states.insert(tick, state.clone());
        }
        all.push(states);
    }
    all
}

/// Every view equals its oracle at every tick, whatever the number of workers.
fn check(history: &History) {
    check_views(history, |_| true);
}

/// The views whose name `wanted` takes equal their oracles at every tick, whatever the number of workers.
fn check_views(history: &History, wanted: impl Fn(&str) -> bool) {
    let views = selected(&history.settings).unwrap();
    let expected: Vec<BTreeMap<Tick, State>> = views
        .iter()
        .map(|view| {
            if !wanted(view.spec.name) {
                return BTreeMap::new();
            }
            let state = |tick| {
                (view.oracle)(history, tick).into_iter().map(|row| (key(&view.spec, &row), row)).collect()
            };
            history.ticks(history.last()).map(|tick| (tick, state(tick))).collect()
        })
        .collect();
    for workers in 1..=3 {
        for ((view, expected), said) in views.iter().zip(&expected).zip(run(history, workers)) {
            for (tick, state) in expected {
                let keys: std::collections::BTreeSet<_> = state.keys().chain(said[tick].keys()).collect();
                let differs = keys.into_iter().find(|key| said[tick].get(*key) != state.get(*key));
                assert!(
                    differs.is_none(),
                    "{} at +{} s on {workers} workers, {differs:?}:\n view   {:?}\n oracle {:?}",
                    view.spec.name,
                    (tick - START) / 1000,
                    differs.and_then(|key| said[tick].get(key)).map(Json::to_string),
                    differs.and_then(|key| state.get(key)).map(Json::to_string),
                );
            }
        }
    }
}

/// The only frame of an engine that tells the last state is what all frames of one that tells every change add up to.
fn check_last(history: &mut History) {
    let last = history.last();
    let followed = run(history, 1);
    history.settings.frames = Frames::Last;
    for workers in 1..=3 {
        for ((view, told), said) in
            selected(&history.settings).unwrap().iter().zip(run(history, workers)).zip(&followed)
        {
            assert!(told[&last] == said[&last], "{} on {workers} workers", view.spec.name);
            let earlier = told.range(..last).filter(|(_, state)| !state.is_empty()).count();
            assert_eq!(earlier, 0, "{}: nothing is told before the end", view.spec.name);
        }
    }
}

/// Settings with short spans, so that everything happens within a history.
fn settings() -> Settings {
    Settings {
        tick: TickLength::from_millis(TICK).unwrap(),
        views: Some(VIEWS.iter().chain(ON_REQUEST).map(|view| view.spec.name.to_owned()).collect()),
        window_ms: 4000,
        window_step_ms: 1000,
        vehicle_offline_ms: 3000,
        ..Settings::default().keep_everything()
    }
}

fn events() -> impl Strategy<Value = Vec<(u8, Event)>> {
    proptest::collection::vec((0..TICKS as u8, event()), 0..220)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_view_equals_its_oracle_at_every_tick(events in events()) {
        let mut history = history(events, settings());
        occasions::add_rules(&mut history);
        check(&history);
    }

    #[test]
    fn what_expires_equals_its_oracle_too(events in events()) {
        let short = Settings { window_retention_ms: Some(3000), refused_retention_ms: Some(5000), ..settings() };
        check(&history(events, short));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_last_state_is_what_all_changes_add_up_to(events in events()) {
        let short = Settings { window_retention_ms: Some(3000), refused_retention_ms: Some(5000), ..settings() };
        let mut history = history(events, short);
        occasions::add_rules(&mut history);
        check_last(&mut history);
    }
}
