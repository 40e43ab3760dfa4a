//! Histories of a few vehicles around a few fences: what the general ones meet too seldom.
//!
//! Six places within 65 m of each other, fixes every half second up to 20 s late, fences that come, change and go, plans
//! of some seconds, and settings to match.

use std::sync::Arc;

use model::reference::VehicleRef;
use model::reference::fence::{FencePlan, FenceRef, FenceShape};
use model::{Fix, Kind, LogPos, Names, RefBody, RefRecord, Refused, Row, StreamId, Tick, Typed};
use proptest::prelude::*;

use super::occasions::add_rules;
use super::{History, START, TICK, TICKS, check, settings};
use crate::Settings;

/// 10⁻⁷ degrees of a m to the east and to the north, about, at the place of these histories.
const EAST: f64 = 112.0;
const NORTH: f64 = 89.93;
/// Where m are counted from.
const ORIGIN: (i32, i32) = (1_094_900_000, 365_900_000);
/// The places, m.
const PLACES: [(f64, f64); 7] =
    [(0.0, 0.0), (0.0, 0.0), (2.0, 0.5), (20.0, 1.0), (40.0, -1.0), (41.0, 15.0), (60.0, 2.0)];

#[derive(Clone, Debug)]
enum Event {
    Fix { vehicle: u8, age: u8, place: u8, speed: u8, working: u8 },
    Fence { fence: u8, shape: u8, rule: u8, whom: u8 },
    Vehicle { vehicle: u8, variant: u8 },
    Refuse { vehicle: u8, reason: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        24 => (0u8..2, 0u8..40, 0u8..7, 0u8..12, 0u8..3)
            .prop_map(|(vehicle, age, place, speed, working)| Event::Fix { vehicle, age, place, speed, working }),
        3 => (0u8..3, 0u8..7, 0u8..6, 0u8..5)
            .prop_map(|(fence, shape, rule, whom)| Event::Fence { fence, shape, rule, whom }),
        1 => (0u8..2, 0u8..4).prop_map(|(vehicle, variant)| Event::Vehicle { vehicle, variant }),
        1 => (0u8..3, 0u8..3).prop_map(|(vehicle, reason)| Event::Refuse { vehicle, reason }),
    ]
}

fn position((x, y): (f64, f64)) -> (i32, i32) {
    (ORIGIN.0 + (x * EAST) as i32, ORIGIN.1 + (y * NORTH) as i32)
}

fn square(x: f64, y: f64, half: f64) -> Vec<(i32, i32)> {
    let corners = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)];
    corners.map(|(a, b)| position((x + a * half, y + b * half))).to_vec()
}

fn shape(n: u8) -> FenceShape {
    match n {
        0 => FenceShape::Area(vec![square(20.3, 0.7, 9.0)]),
        // Between two places: only passed through.
        1 => FenceShape::Area(vec![square(30.3, 0.3, 7.0)]),
        // With a hole around the fourth place, and a second part.
        2 => FenceShape::Area(vec![square(30.3, 0.3, 25.0), square(40.4, -0.7, 3.0), square(0.4, 0.4, 6.0)]),
        // Its boundary runs within the margin of a place.
        3 => FenceShape::Area(vec![square(20.0, 0.0, 19.3)]),
        // Too small for the margin.
        4 => FenceShape::Area(vec![square(40.2, -0.8, 1.5)]),
        5 => FenceShape::Route(vec![vec![position((-5.0, 0.0)), position((45.0, 0.0))]], 4.0),
        _ => FenceShape::Area(vec![square(30.0, 5.0, 200.0)]),
    }
}

fn row(names: &Names, n: u64, tick: Tick, event: &Event) -> Row {
    let pos = |stream| LogPos { stream, partition: 0, offset: n };
    let vehicle = |n: u8| names.intern(&format!("vehicle{n}"));
    let reference = |kind, id, typed: Option<Typed>| {
        let body = typed.map(|typed| Arc::new(RefBody { json: format!("{{\"n\":{n}}}").into(), typed }));
        Row::Reference(Box::new(RefRecord { pos: pos(StreamId::Reference), kind, id, ts: None, body }))
    };
    match *event {
        Event::Fix { vehicle: id, age, place, speed, working } => {
            let (lon, lat) = position(PLACES[usize::from(place)]);
            Row::Fix(Fix {
                pos: pos(StreamId::Positions),
                vehicle: vehicle(id),
                ts: tick as i64 + 500 - i64::from(age) * 500,
                lon,
                lat,
                speed: [None, Some(0.0), Some(0.0), Some(2.5)]
                    .get(usize::from(speed))
                    .copied()
                    .unwrap_or(Some(f32::from(speed) * 10.0)),
                heading: None,
                working: [None, Some(false), Some(true)][usize::from(working)],
            })
        }
        Event::Fence { fence, shape: form, rule, whom } => {
            // Seconds of the city's day; the history begins at 17:00.
            let window = |from: u32, to: u32| FencePlan {
                vehicle: vehicle(whom % 2),
                from: 17 * 3600 + from,
                to: 17 * 3600 + to,
            };
            let plan = match whom {
                0 | 1 => vec![window(3, 7), window(9, 12)],
                2 => vec![window(0, 20)],
                _ => vec![],
            };
            let record = FenceRef {
                shape: shape(form),
                speed_limit_kmh: (rule == 1).then_some(30.0),
                max_dwell_ms: (rule == 2).then_some(1500),
                margin_m: (rule == 3).then_some(0.0),
                place: rule < 3,
                service_area: rule == 4,
                vehicles: if whom == 3 { vec![vehicle(0)] } else { vec![] },
                fleets: if whom == 4 { vec![names.intern("fleet1")] } else { vec![] },
                plan,
            };
            let typed = (rule != 5).then(|| Typed::Fence(Box::new(record)));
            reference(Kind::Fence, names.intern(&format!("fence{fence}")), typed)
        }
        Event::Vehicle { vehicle: id, variant } => {
            let typed = Typed::Vehicle(VehicleRef {
                fleet: names.intern(&format!("fleet{}", variant % 2)),
                speed_limit_kmh: (variant == 2).then_some(50.0),
                ..VehicleRef::default()
            });
            reference(Kind::Vehicle, vehicle(id), (variant < 3).then_some(typed))
        }
        Event::Refuse { vehicle: id, reason } => {
            let reasons = ["implausible_zero: it is", "implausible_future: it is", "not_json: it isn't"];
            Row::Rejected(Box::new(Refused {
                pos: pos(StreamId::Telemetry),
                unknown_stream: None,
                ts: None,
                reason: reasons[usize::from(reason)].into(),
                payload: format!("{{\"vehicle_id\":\"vehicle{id}\",\"lon\":0.0}}").into(),
            }))
        }
    }
}

fn history(mut events: Vec<(u8, Event)>, settings: Settings) -> History {
    events.sort_by_key(|(tick, _)| *tick);
    let names = Arc::new(Names::new());
    let row = |(n, (tick, event)): (u64, (u8, Event))| {
        let tick = START + u64::from(tick) * TICK;
        (tick, row(&names, n, tick, &event))
    };
    let rows = (0u64..).zip(events).map(row).collect();
    History { rows, names, ..History::new(settings) }
}

/// Settings with short spans.
fn short() -> Settings {
    let journeys = tracks::Params {
        accuracy_m: 3.0,
        stop_ms: 2000,
        gap_ms: 4000,
        parked_m: 15.0,
        trip_min_m: 25.0,
        hole_ms: 1500,
        speed_limit_kmh: 80.0,
        overspeed_ms: 1000,
        deviation_ms: 1000,
        ..tracks::Params::default()
    };
    Settings { journeys, ..settings() }
}

fn events() -> impl Strategy<Value = Vec<(u8, Event)>> {
    proptest::collection::vec((0..TICKS as u8, event()), 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn journeys_equal_their_oracles_at_every_tick(events in events()) {
        let mut history = history(events, short());
        add_rules(&mut history);
        check(&history);
    }

    #[test]
    fn journeys_that_expire_equal_their_oracles_too(events in events()) {
        let retention = Settings { journey_retention_ms: Some(6000), track_retention_ms: Some(4000), ..short() };
        check(&history(events, retention));
    }
}
