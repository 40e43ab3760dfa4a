//! Histories of a fleet that sweeps roads in shifts: runs of fixes along roads, each fix with a lateness of its own, up
//! to hours; roads, shifts and vehicles that change; fixes that are replaced and jumps.

use std::sync::Arc;

use model::reference::VehicleRef;
use model::reference::road::{PlanRef, RoadRef};
use model::reference::shift::ShiftRef;
use model::{Fix, Kind, LogPos, RefBody, RefRecord, Row, StreamId, Sym, Tick, TickLength, Typed};
use proptest::prelude::*;

use super::occasions::add_rules;
use super::{History, START, TICKS, check_views};
use crate::Settings;

/// Distance between ticks: five minutes, so that shifts end and days begin within a history.
const TICK_MS: u64 = 300_000;
/// Distance between the fixes of a run, ms.
const STEP_MS: i64 = 20_000;
/// The views that these histories are about.
const CONCERNED: [&str; 5] = ["vehicles", "road_coverage", "district_coverage", "gps_quality", "alerts"];

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Fixes along a road: from where, how many, in what direction, how fast, and by how many ticks they are spread.
    Run {
        vehicle: u8,
        age: u16,
        road: u8,
        from: u8,
        count: u8,
        back: bool,
        speed: u8,
        works: u8,
        spread: u8,
    },
    /// A fix that replaces one, or jumps.
    Fix {
        vehicle: u8,
        age: u16,
        place: u8,
        works: bool,
    },
    Road {
        road: u8,
        variant: u8,
    },
    Shift {
        shift: u8,
        variant: u8,
    },
    Vehicle {
        vehicle: u8,
        variant: u8,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let run = (0u8..3, 0u16..400, 0u8..4, 0u8..10, 3u8..16, any::<bool>(), 0u8..4, (0u8..6, 0u8..20));
    prop_oneof![
        8 => run.prop_map(|(vehicle, age, road, from, count, back, speed, (works, spread))| Event::Run {
            vehicle, age, road, from, count, back, speed, works, spread,
        }),
        2 => (0u8..3, 0u16..400, 0u8..5, any::<bool>())
            .prop_map(|(vehicle, age, place, works)| Event::Fix { vehicle, age, place, works }),
        3 => (0u8..4, 0u8..6).prop_map(|(road, variant)| Event::Road { road, variant }),
        3 => (0u8..3, 0u8..6).prop_map(|(shift, variant)| Event::Shift { shift, variant }),
        3 => (0u8..3, 0u8..5).prop_map(|(vehicle, variant)| Event::Vehicle { vehicle, variant }),
    ]
}

const ORIGIN: (i32, i32) = (1_094_900_000, 365_900_000);

/// A place `x` and `y` tens of metres from the origin.
fn place(x: i32, y: i32) -> (i32, i32) {
    (ORIGIN.0 + x * 1_118, ORIGIN.1 + y * 901)
}

/// Where the roads run; variants 3 and 4 move or bend them.
fn line(road: u8, variant: u8) -> Vec<(i32, i32)> {
    let shift = i32::from(variant == 3) * 7;
    let ends = match road {
        0 => [(0, 0), (30, 0)],
        1 => [(30, 0), (30, 30)],
        2 => [(0, 20), (30, 20)],
        _ => [(0, 0), (0, 20)],
    };
    let mut line: Vec<(i32, i32)> = ends.iter().map(|(x, y)| place(*x, *y + shift)).collect();
    if variant == 4 {
        line.insert(1, place((ends[0].0 + ends[1].0) / 2 + 2, (ends[0].1 + ends[1].1) / 2 + 2));
    }
    line
}

struct Builder {
    history: History,
    offset: u64,
}

impl Builder {
    fn name(&self, kind: &str, n: u8) -> Sym {
        self.history.names.intern(&format!("{kind}{n}"))
    }

    fn pos(&mut self, stream: StreamId) -> LogPos {
        self.offset += 1;
        LogPos { stream, partition: 0, offset: self.offset }
    }

    fn reference(&mut self, tick: Tick, kind: Kind, id: Sym, typed: Option<Typed>) {
        let pos = self.pos(StreamId::Reference);
        let json = format!("{{\"n\":{}}}", pos.offset).into();
        let body = typed.map(|typed| Arc::new(RefBody { json, typed }));
        self.history.rows.push((tick, Row::Reference(Box::new(RefRecord { pos, kind, id, ts: None, body }))));
    }

    fn fix(
        &mut self,
        tick: Tick,
        vehicle: u8,
        ts: i64,
        at: (i32, i32),
        speed: Option<f32>,
        working: Option<bool>,
    ) {
        let pos = self.pos(StreamId::Positions);
        let vehicle = self.name("vehicle", vehicle);
        let fix = Fix { pos, vehicle, ts, lon: at.0, lat: at.1, speed, heading: None, working };
        self.history.rows.push((tick, Row::Fix(fix)));
    }

    fn take(&mut self, tick: Tick, event: &Event, last: Tick) {
        // Event times lie on a grid that runs share, from two hours before the tick until a little after it.
        let ts = |age: u16| tick as i64 / STEP_MS * STEP_MS + STEP_MS - i64::from(age) * STEP_MS;
        match *event {
            Event::Run { vehicle, age, road, from, count, back, speed, works, spread } => {
                let ends = line(road, 0);
                for n in 0..count {
                    // 40 to 70 m between fixes, which is 7 to 13 km/h; halves of a km/h are exact.
                    let metres = i32::from(from) * 30 + i32::from(n) * (40 + i32::from(speed) * 10);
                    let share = f64::from(metres) / if road == 3 { 200.0 } else { 300.0 };
                    if share > 1.0 {
                        break;
                    }
                    let share = if back { 1.0 - share } else { share };
                    let lerp = |a: i32, b: i32| a + (f64::from(b - a) * share).round() as i32;
                    let at = (lerp(ends[0].0, ends[1].0), lerp(ends[0].1, ends[1].1));
                    // Up to 18 m beside the road.
                    let at = (at.0 + i32::from(n % 3) * 800, at.1 - i32::from(n % 2) * 900);
                    let late = u64::from((n.wrapping_mul(7).wrapping_add(spread)) % (spread + 1));
                    let working = match works {
                        0 => None,
                        1 => Some(n < 4),
                        _ => Some(true),
                    };
                    let speed = (works != 2).then(|| f32::from(speed) * 1.5 + 7.0);
                    let tick = (tick + late * TICK_MS).min(last);
                    self.fix(tick, vehicle, ts(age) + i64::from(n) * STEP_MS, at, speed, working);
                }
            }
            Event::Fix { vehicle, age, place: at, works } => {
                let at = [place(0, 0), place(15, 1), place(30, 10), place(10, 20), place(9000, 0)]
                    [usize::from(at)];
                self.fix(tick, vehicle, ts(age), at, Some(9.0), Some(works));
            }
            Event::Road { road, variant } => {
                let within = |shift: u8, passes: u32, from: Option<u16>, by: Option<u16>| PlanRef {
                    shift: self.name("shift", shift),
                    passes,
                    from,
                    by,
                };
                let plan = |shift: u8, passes: u32| within(shift, passes, None, None);
                let plan = match variant {
                    0 => vec![],
                    1 => vec![plan(0, 1)],
                    // Windows that end within the history, begin within it, or lie past midnight.
                    2 if road == 2 => vec![
                        within(0, 1, Some(15 * 60 + 30), Some(17 * 60 + 20)),
                        within(1, 1, Some(18 * 60 + 20), Some(19 * 60)),
                        within(2, 2, Some(24 * 60), Some(60)),
                    ],
                    3 => vec![within(0, 1, None, Some(17 * 60 + 40)), within(1, 1, Some(18 * 60 + 25), None)],
                    _ => vec![plan(0, 2), plan(1, 1), plan(2, 1)],
                };
                let district = if road == 0 { Sym::EMPTY } else { self.name("district", road % 2) };
                let typed = Typed::Road(Arc::new(RoadRef {
                    district,
                    grade: self.name("grade", road),
                    points: line(road, variant),
                    oneway: road == 2,
                    plan,
                }));
                let id = self.name("road", road);
                self.reference(tick, Kind::Road, id, (variant != 5).then_some(typed));
            }
            Event::Shift { shift, variant } => {
                // 17:00 is the first tick; some end within the history, some begin, some are of the night.
                let (start, end) = match (shift, variant) {
                    (0, 0..3) => (15 * 60, 18 * 60),
                    (0, _) => (15 * 60, 17 * 60 + 30),
                    (1, 0..3) => (18 * 60 + 10, 20 * 60),
                    (1, _) => (17 * 60 + 33, 25 * 60),
                    (_, 0..3) => (22 * 60, 42 * 60),
                    (..) => (0, 24 * 60),
                };
                let fleets = if variant == 1 { vec![self.name("fleet", 1)] } else { vec![] };
                let id = self.name("shift", shift);
                let typed = Typed::Shift(ShiftRef { start, end, fleets });
                self.reference(tick, Kind::Shift, id, (variant != 5).then_some(typed));
            }
            Event::Vehicle { vehicle, variant } => {
                let typed = Typed::Vehicle(VehicleRef {
                    fleet: self.name("fleet", variant % 2),
                    district: self.name("district", variant % 3),
                    working_speed: [None, Some([3.0, 10.0]), Some([3.0, 15.0])][usize::from(variant % 3)],
                    ..VehicleRef::default()
                });
                let id = self.name("vehicle", vehicle);
                self.reference(tick, Kind::Vehicle, id, (variant != 4).then_some(typed));
            }
        }
    }
}

/// Roads, shifts and vehicles are there from the beginning, mostly; then come the events, each at its tick.
pub(super) fn history(mut events: Vec<(u8, Event)>, settings: Settings) -> History {
    events.sort_by_key(|(tick, _)| *tick);
    let history = History::new(settings);
    let last = history.last();
    let mut builder = Builder { history, offset: 0 };
    for road in 0..4 {
        builder.take(START, &Event::Road { road, variant: 2 }, last);
    }
    for shift in 0..3 {
        builder.take(START, &Event::Shift { shift, variant: 0 }, last);
    }
    for vehicle in 0..2 {
        builder.take(START, &Event::Vehicle { vehicle, variant: vehicle }, last);
    }
    for (tick, event) in &events {
        builder.take(START + u64::from(*tick) * TICK_MS, event, last);
    }
    let mut history = builder.history;
    // Late fixes were put down for later ticks: the log is in order of tick, and offsets follow it.
    history.rows.sort_by_key(|(tick, _)| *tick);
    for (offset, (_, row)) in (0u64..).zip(&mut history.rows) {
        match row {
            Row::Fix(fix) => fix.pos.offset = offset,
            Row::Reference(record) => record.pos.offset = offset,
            _ => {}
        }
    }
    history
}

pub(super) fn settings() -> Settings {
    Settings { tick: TickLength::from_millis(TICK_MS).unwrap(), ..Settings::default().keep_everything() }
}

pub(super) fn events() -> impl Strategy<Value = Vec<(u8, Event)>> {
    proptest::collection::vec((0..TICKS as u8, event()), 0..40)
}

fn check(history: &History) {
    check_views(history, |view| CONCERNED.contains(&view));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn coverage_equals_its_oracle_at_every_tick(events in events()) {
        let mut history = history(events, settings());
        add_rules(&mut history);
        check(&history);
    }

    #[test]
    fn coverage_that_expires_and_passes_midnight_equals_its_oracle(events in events()) {
        let settings = Settings {
            coverage_retention_ms: Some(40 * 60_000),
            pass_gap_ms: 100_000,
            match_kept_ms: 100_000,
            pass_percent: 60,
            // The first tick is at 22:45 of the city, the last at 00:45.
            utc_offset_min: 480 + 345,
            ..settings()
        };
        check(&history(events, settings));
    }
}

/// A history in which everything happens, so that the others are known to be about something.
#[test]
fn roads_turn_from_not_due_to_missed_to_done() {
    let run = |age, road, back, spread| Event::Run {
        vehicle: 0,
        age,
        road,
        from: 0,
        count: 8,
        back,
        speed: 0,
        works: 3,
        spread,
    };
    let events = vec![(1, run(8, 0, false, 0)), (2, run(60, 0, true, 0)), (15, run(300, 1, false, 6))];
    let history = history(events, settings());
    check(&history);
    let states = |tick: u64, road: &str| -> Vec<String> {
        let rows = (super::super::views::road_coverage::VIEW.oracle)(&history, START + tick * TICK_MS);
        let of = rows.iter().filter(|row| row["road"] == road && row["shift"] == "shift0");
        let percent = |row: &serde_json::Value| (row["share"].as_f64().unwrap() * 100.0).round();
        of.map(|row| format!("{} {} {}", row["state"].as_str().unwrap(), row["passes"], percent(row)))
            .collect()
    };
    assert_eq!(states(0, "road0"), ["not_due 0 0"]);
    assert_eq!(states(2, "road0"), ["done 2 100"], "there, and back");
    assert_eq!(states(12, "road1"), ["missed 0 0"], "the shift is over");
    assert_eq!(states(24, "road1"), ["too_few 1 90"], "it was swept after all: its fixes came late");
}

/// A device that sends GCJ-02 and doesn't say so drives beside all roads, and shows; one that sends WGS-84 doesn't.
#[test]
fn a_wrong_reference_system_is_suspected() {
    let mut builder = Builder { history: history(vec![], settings()), offset: 1000 };
    for n in 0..600i64 {
        // To and fro along a road, 20 m in 10 s.
        let along = (n * 20 % 600 - 300).abs() as i32;
        let (lon, lat) = (ORIGIN.0 + along * 112, ORIGIN.1 + (n % 5) as i32 * 15);
        let degrees = model::crs::wgs84_to_gcj02(f64::from(lon) / 1e7, f64::from(lat) / 1e7);
        let shifted = ((degrees.0 * 1e7).round() as i32, (degrees.1 * 1e7).round() as i32);
        let (tick, ts) = (START + n as u64 / 25 * TICK_MS, START as i64 - 7_200_000 + n * 10_000);
        builder.fix(tick, 0, ts, (lon, lat), Some(7.0), None);
        builder.fix(tick, 1, ts, shifted, Some(7.0), None);
        // One that comes again elsewhere takes out what it had put in.
        if n % 50 == 0 {
            builder.fix(tick + TICK_MS, 1, ts, (lon, lat + 4000), Some(7.0), None);
        }
    }
    let mut history = builder.history;
    history.rows.sort_by_key(|(tick, _)| *tick);
    check_views(&history, |view| view == "gps_quality");
    let rows = (super::super::views::gps_quality::VIEW.oracle)(&history, history.last());
    let of = |vehicle: &str| rows.iter().find(|row| row["vehicle_id"] == vehicle).unwrap();
    assert_eq!(
        (&of("vehicle0")["datum"], &of("vehicle1")["datum"]),
        (&serde_json::Value::Null, &"gcj02".into())
    );
    assert!(of("vehicle0")["near_road"].as_f64().unwrap() > 0.9);
    assert!(of("vehicle1")["near_road"].as_f64().unwrap() < 0.1);
}
