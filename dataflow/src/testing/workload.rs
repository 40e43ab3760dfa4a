//! Histories for the views of the reference workload: roads that come, move, change their district and go, working
//! vehicles near them, sensors that alert, cases; late, twice, replaced.

use std::sync::Arc;

use model::reference::road::RoadRef;
use model::reference::{Level, Limit, RuleRef, Selector, SensorRef, Severity};
use model::{
    CaseEvent, CaseEventKind, Fix, Kind, LogPos, Names, Quality, Reading, RefBody, RefRecord, Row, StreamId,
    Sym, Tick, Typed,
};
use proptest::prelude::*;

use super::{History, START, TICK, TICKS, check, settings};
use crate::Settings;

#[derive(Clone, Debug)]
enum Event {
    /// A road takes one of some shapes in one of some districts, perhaps a little later, or goes.
    Road {
        road: u8,
        shape: u8,
        district: u8,
        ahead: u8,
    },
    /// A fix near the roads.
    Fix {
        vehicle: u8,
        age: u8,
        place: u8,
        working: u8,
    },
    Sensor {
        sensor: u8,
        district: u8,
    },
    Reading {
        sensor: u8,
        age: u8,
        value: u8,
    },
    Case {
        case: u8,
        age: u8,
        kind: u8,
        district: u8,
    },
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop_oneof![
        3 => (0u8..5, 0u8..7, 0u8..3, 0u8..6)
            .prop_map(|(road, shape, district, ahead)| E::Road { road, shape, district, ahead }),
        8 => (0u8..3, 0u8..40, 0u8..9, 0u8..4)
            .prop_map(|(vehicle, age, place, working)| E::Fix { vehicle, age, place, working }),
        1 => (0u8..3, 0u8..3).prop_map(|(sensor, district)| E::Sensor { sensor, district }),
        4 => (0u8..3, 0u8..40, 0u8..12).prop_map(|(sensor, age, value)| E::Reading { sensor, age, value }),
        2 => (0u8..3, 0u8..40, 0u8..4, 0u8..3)
            .prop_map(|(case, age, kind, district)| E::Case { case, age, kind, district }),
    ]
}

/// Shapes in 10⁻⁷ degrees: a street, one across it, one beside it, a bent one over both, one that is a single point.
const SHAPES: [&[(i32, i32)]; 6] = [
    &[(1_094_900_000, 365_900_000), (1_094_910_000, 365_900_000)],
    &[(1_094_905_000, 365_895_000), (1_094_905_000, 365_905_000)],
    &[(1_094_900_000, 365_901_000), (1_094_910_000, 365_901_000)],
    &[(1_094_900_000, 365_900_000), (1_094_905_000, 365_900_000), (1_094_905_000, 365_905_000)],
    &[(1_094_900_000, 365_900_000), (1_094_900_000, 365_900_000)],
    &[],
];

/// Places: on the street, between it and the one beside it, at the crossing, off the end, too far away, far away.
const PLACES: [(i32, i32); 9] = [
    (1_094_902_000, 365_900_100),
    (1_094_902_000, 365_900_600),
    (1_094_905_100, 365_900_100),
    (1_094_911_000, 365_900_000),
    (1_094_899_000, 365_899_500),
    (1_094_902_000, 365_897_000),
    (1_094_905_500, 365_904_000),
    (1_094_907_000, 365_902_600),
    (1_096_800_000, 371_400_000),
];

fn history(mut events: Vec<(u8, Event)>, settings: Settings) -> History {
    events.sort_by_key(|(tick, _)| *tick);
    let names = Arc::new(Names::new());
    let rule = Typed::Rule(Box::new(RuleRef {
        selector: Selector { metric: names.intern("level"), ..Selector::default() },
        levels: vec![Level { severity: Severity::Warning, limit: Limit::Above { raise: 8.0, clear: 6.0 } }],
        hold_ms: 1500,
        ..RuleRef::default()
    }));
    let mut rows = vec![(START, reference(&names, 0, Kind::Rule, "rule", None, Some((rule, "{}".into()))))];
    for (n, (tick, event)) in (1u64..).zip(events) {
        let tick = START + u64::from(tick) * TICK;
        rows.push((tick, row(&names, n, tick, &event)));
    }
    History { rows, names, settings, memo: Default::default() }
}

fn reference(
    names: &Names,
    n: u64,
    kind: Kind,
    id: &str,
    ts: Option<i64>,
    body: Option<(Typed, String)>,
) -> Row {
    let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: n };
    let body = body.map(|(typed, json)| Arc::new(RefBody { json: json.into(), typed }));
    Row::Reference(Box::new(RefRecord { pos, kind, id: names.intern(id), ts, body }))
}

fn row(names: &Names, n: u64, tick: Tick, event: &Event) -> Row {
    let ts = |age: u8| tick as i64 + 750 - i64::from(age) * 250;
    let pos = |stream| LogPos { stream, partition: 0, offset: n };
    let district = |n: u8| if n == 0 { String::new() } else { format!("district{n}") };
    match *event {
        Event::Road { road, shape, district: at, ahead } => {
            let ahead = (ahead > 3).then(|| tick as i64 + (i64::from(ahead) - 4) * 1500);
            let body = SHAPES.get(usize::from(shape)).map(|line| {
                let degrees: Vec<[f64; 2]> =
                    line.iter().map(|(lon, lat)| [f64::from(*lon) / 1e7, f64::from(*lat) / 1e7]).collect();
                let geometry = serde_json::json!({"type": "LineString", "coordinates": degrees});
                let mut record = serde_json::json!({"geometry": geometry});
                let mut road = RoadRef { points: line.to_vec(), ..RoadRef::default() };
                road.points.dedup();
                if at > 0 {
                    record["district"] = district(at).into();
                    road.district = names.intern(&district(at));
                }
                (Typed::Road(Arc::new(road)), record.to_string())
            });
            reference(names, n, Kind::Road, &format!("road{road}"), ahead, body)
        }
        Event::Fix { vehicle, age, place, working } => Row::Fix(Fix {
            pos: pos(StreamId::Positions),
            vehicle: names.intern(&format!("vehicle{vehicle}")),
            ts: ts(age),
            lon: PLACES[usize::from(place)].0,
            lat: PLACES[usize::from(place)].1,
            speed: None,
            heading: None,
            working: [None, Some(false), Some(true), Some(true)][usize::from(working)],
        }),
        Event::Sensor { sensor, district: at } => {
            let at = if at == 0 { Sym::EMPTY } else { names.intern(&district(at)) };
            let typed = SensorRef { kind: names.intern("kind"), district: at, ..SensorRef::default() };
            let body = Some((Typed::Sensor(typed), "{}".to_owned()));
            reference(names, n, Kind::Sensor, &format!("sensor{sensor}"), None, body)
        }
        Event::Reading { sensor, age, value } => Row::Reading(Reading {
            pos: pos(StreamId::Telemetry),
            sensor: names.intern(&format!("sensor{sensor}")),
            metric: names.intern("level"),
            ts: ts(age),
            // Halves of the mean that makes a window hot lie among them.
            value: if value == 11 { 60.0 } else { f64::from(value) },
            quality: Quality::Good,
        }),
        Event::Case { case, age, kind, district: at } => {
            let kind = match kind {
                0 => CaseEventKind::Reported {
                    source: Sym::EMPTY,
                    class: Sym::EMPTY,
                    district: if at == 0 { Sym::EMPTY } else { names.intern(&district(at)) },
                    grid: Sym::EMPTY,
                    caller: Sym::EMPTY,
                    at: None,
                },
                1 => CaseEventKind::Dispatched {
                    department: Sym::EMPTY,
                    limit: Some(model::rows::Limit {
                        amount: 3.0 / 3600.0,
                        unit: model::rows::LimitUnit::UrgentHour,
                    }),
                },
                2 => CaseEventKind::Handled,
                _ => CaseEventKind::Closed,
            };
            let case = names.intern(&format!("case{case}"));
            Row::Case(Box::new(CaseEvent { pos: pos(StreamId::Cases), case, ts: ts(age), kind }))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_views_of_the_workload_equal_their_oracles(
        events in proptest::collection::vec((0..TICKS as u8, event()), 0..160)
    ) {
        let views = ["alerts", "swept_lengths", "case_rates", "sensor_windows", "workload_scores"];
        let views = Some(views.map(str::to_owned).to_vec());
        check(&history(events, Settings { views, ..settings() }));
    }
}
