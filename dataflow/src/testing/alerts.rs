//! Histories for alert rules: every signal, ladders, conditions, schedules, flapping, sites, and what operators do.

use std::sync::Arc;

use model::reference::rule::{Against, Flap, FormulaRef, Schedule, Side, Usual};
use model::reference::{Level, Limit, MaintenanceRef, RuleRef, Selector, SensorRef, Severity, Signal};
use model::{
    Action, ActionKind, Kind, LogPos, Quality, Reading, RefBody, RefRecord, Row, StreamId, Sym, Tick, Typed,
};
use proptest::prelude::*;

use super::{History, START, TICK, TICKS, check, settings};
use crate::Settings;

const HOUR: i64 = 3_600_000;
/// The metric of which there are no old readings: rules that are judged every second look at it.
const RECENT: u8 = 2;
/// Number of kinds of rules that [`rule`] makes; one more deletes.
const VARIANTS: u8 = 20;

#[derive(Clone, Debug)]
enum Event {
    /// `age`: below 40 in quarters of a second, above in hours and days.
    Reading {
        sensor: u8,
        metric: u8,
        age: u8,
        value: i8,
        quality: u8,
    },
    Sensor {
        sensor: u8,
        district: u8,
        heartbeat: u8,
        site: u8,
        tag: bool,
    },
    Rule {
        rule: u8,
        variant: u8,
        hold: u8,
        clear_hold: u8,
        extra: u8,
    },
    Act {
        pick: u8,
        kind: u8,
        age: u8,
        id: u8,
    },
    Maintenance {
        id: u8,
        place: u8,
        from: u8,
    },
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop_oneof![
        12 => (0u8..3, 0u8..3, 0u8..70, -4i8..20, 0u8..8)
            .prop_map(|(sensor, metric, age, value, quality)| E::Reading { sensor, metric, age, value, quality }),
        2 => (0u8..3, 0u8..3, 0u8..4, 0u8..3, any::<bool>())
            .prop_map(|(sensor, district, heartbeat, site, tag)| E::Sensor { sensor, district, heartbeat, site, tag }),
        4 => (0u8..4, 0..=VARIANTS, 0u8..4, 0u8..3, 0u8..8)
            .prop_map(|(rule, variant, hold, clear_hold, extra)| E::Rule { rule, variant, hold, clear_hold, extra }),
        1 => (0u8..2, 0u8..6, 0u8..20).prop_map(|(id, place, from)| E::Maintenance { id, place, from }),
        2 => (any::<u8>(), 0u8..7, 0u8..8, 0u8..6).prop_map(|(pick, kind, age, id)| E::Act { pick, kind, age, id }),
    ]
}

/// Event time of a reading bound at `tick`: now and then days ago, in the hours of day and night that rules look at.
fn event_time(tick: Tick, age: u8) -> i64 {
    let now = tick as i64;
    match age {
        0..40 => now + 750 - i64::from(age) * 250,
        _ => {
            let n = i64::from(age - 40);
            let days = n % 5 + 1;
            // The hour of now, the hour before, two at night.
            let hours = [0, 0, 1, 14, 14, 15][(n / 5) as usize % 6];
            now - days * 24 * HOUR - hours * HOUR + n % 3 * 20 * 60_000
        }
    }
}

fn above(severity: Severity, raise: f64, clear: f64) -> Level {
    Level { severity, limit: Limit::Above { raise, clear } }
}

fn below(severity: Severity, raise: f64, clear: f64) -> Level {
    Level { severity, limit: Limit::Below { raise, clear } }
}

fn formula(levels: &[&str], clear_when: Option<&str>) -> (Signal, Vec<Level>) {
    let limits = Severity::ALL.iter().zip(levels).enumerate().map(|(n, (severity, _))| {
        let raise = (n + 1) as f64;
        above(*severity, raise, if n == 0 && clear_when.is_some() { 0.5 } else { raise })
    });
    let limits = limits.collect();
    let levels = levels.iter().map(|text| (*text).into()).collect();
    let clear_when = clear_when.map(Into::into);
    (Signal::Formula(Arc::new(FormulaRef { levels, clear_when, every_ms: 2000 })), limits)
}

/// A rule of the given kind; `None` deletes.
fn rule(history: &History, rule: u8, variant: u8, hold: u8, clear_hold: u8, extra: u8) -> Option<RuleRef> {
    use Severity::{Notice, Severe, Warning};
    let side = [Side::Both, Side::Up, Side::Down][usize::from(rule % 3)];
    let usual = Usual { days: 4, min_days: 2, floor: 0.25, floor_share: 0.125, side };
    let night = |against| Signal::NightMinimum { from_min: 120, to_min: 240, against };
    let (signal, levels) = match variant {
        0 | 1 => {
            (Signal::Value, vec![above(Notice, 3.0, 2.0), above(Warning, 5.0, 4.0), above(Severe, 7.0, 6.5)])
        }
        2 => (Signal::Value, vec![below(Notice, 2.0, 3.0), below(Severe, 0.0, 0.5)]),
        3 => (Signal::Change { over_ms: 2000 }, vec![above(Warning, 1.5, 0.5), above(Severe, 4.0, 3.0)]),
        4 => (Signal::Change { over_ms: 1000 }, vec![below(Notice, -2.0, -1.0)]),
        5 => (Signal::Unchanged { tolerance: 0.5 }, vec![above(Warning, 2.0, 2.0)]),
        6 => (Signal::Unchanged { tolerance: 0.0 }, vec![above(Notice, 0.5, 0.25), above(Severe, 1.5, 1.0)]),
        7 | 8 => (Signal::Deviation(usual), vec![above(Warning, 3.0, 1.5)]),
        9 => (night(Against::Itself), vec![above(Notice, 4.0, 3.0)]),
        10 => (night(Against::DayMean), vec![above(Warning, 0.5, 0.5)]),
        11 => (night(Against::Usual(usual)), vec![above(Severe, 3.0, 2.0)]),
        12 => (Signal::DailyMean { min_count: 1 }, vec![above(Notice, 3.0, 3.0), above(Warning, 5.0, 4.0)]),
        13 => (Signal::Value, vec![above(Warning, 4.0, 4.0)]),
        14 => formula(&["value >= 4"], None),
        15 => formula(&["value >= 4", "mean('3s') >= 5 && count('3s') >= 2"], Some("max('2s') < 3")),
        16 => formula(&["age > 2 && sensor.district == 'district1'"], None),
        17 => formula(&["change('2s') > 1 || tag('tag1')"], None),
        18 => (Signal::Offline { heartbeats: 2.0 }, vec![above(Notice, 2.0, 2.0)]),
        19 => formula(&["value >= 3 && site('metric1') < 2"], None),
        _ => return None,
    };
    let recent = (14..18).contains(&variant);
    let metric = if recent { RECENT } else { rule % 2 };
    let tags = if extra == 1 { vec![history.names.intern("tag1")] } else { Vec::new() };
    // The histories begin at 17:00: an edge that is passed just now, one in the past days, and one across midnight.
    let hours = [(1018, 1020), (1020, 1080), (1380, 1021), (130, 1020)][usize::from(rule % 4)];
    let scheduled =
        (4..6).contains(&extra) && !matches!(signal, Signal::Unchanged { .. } | Signal::Offline { .. });
    Some(RuleRef {
        selector: Selector {
            metric: history.names.intern(&format!("metric{metric}")),
            tags,
            ..Selector::default()
        },
        signal,
        levels,
        hold_ms: i64::from(hold) * 750,
        clear_hold_ms: i64::from(clear_hold) * 1000,
        flap: (extra % 4 == 2).then_some(Flap { count: 1 + u32::from(rule % 2), within_ms: 6000 }),
        schedule: scheduled.then(|| Schedule { hours: vec![hours], ..Schedule::default() }),
        enabled: extra != 7 || variant > 3,
        shadow_of: if extra == 6 { history.names.intern("rule9") } else { Sym::EMPTY },
        case_class: if rule == 1 { history.names.intern("event:0112") } else { Sym::EMPTY },
        ..RuleRef::default()
    })
}

fn row(history: &History, n: u64, tick: Tick, event: &Event) -> Option<Row> {
    let name = |kind: &str, n: u8| history.names.intern(&format!("{kind}{n}"));
    let pos = |stream| LogPos { stream, partition: 0, offset: n };
    let maybe = |kind: &str, n: u8| if n == 0 { Sym::EMPTY } else { name(kind, n) };
    let reference = |kind, id, typed: Option<Typed>| {
        let body = typed.map(|typed| Arc::new(RefBody { json: format!("{{\"n\":{n}}}").into(), typed }));
        Some(Row::Reference(Box::new(RefRecord { pos: pos(StreamId::Reference), kind, id, ts: None, body })))
    };
    match *event {
        Event::Reading { sensor, metric, age, value, quality } => Some(Row::Reading(Reading {
            pos: pos(StreamId::Telemetry),
            sensor: name("sensor", sensor),
            metric: name("metric", metric),
            ts: event_time(tick, if metric == RECENT { age % 40 } else { age }),
            value: f64::from(value) * 0.5,
            quality: if quality == 0 { Quality::Bad } else { Quality::Good },
        })),
        Event::Sensor { sensor, district, heartbeat, site, tag } => {
            let typed = (heartbeat < 3).then(|| {
                Typed::Sensor(SensorRef {
                    kind: name("kind", sensor % 2),
                    district: maybe("district", district),
                    heartbeat_s: (heartbeat > 0).then_some(f64::from(heartbeat) * 1.5),
                    site: maybe("site", site),
                    // The third sensor is the gateway of the others.
                    gateway: if sensor != 2 && heartbeat != 1 { name("sensor", 2) } else { Sym::EMPTY },
                    street: if heartbeat != 0 { name("street", heartbeat) } else { Sym::EMPTY },
                    tags: if tag { vec![history.names.intern("tag1")] } else { Vec::new() },
                })
            });
            reference(Kind::Sensor, name("sensor", sensor), typed)
        }
        Event::Rule { rule: id, variant, hold, clear_hold, extra } => {
            let rule = rule(history, id, variant, hold, clear_hold, extra);
            reference(Kind::Rule, name("rule", id), rule.map(|rule| Typed::Rule(Box::new(rule))))
        }
        Event::Maintenance { id, place, from } => {
            let from = START as i64 + (i64::from(from) - 4) * 1000;
            let of = |kind: &str, at: u8| if place == at { name(kind, 1) } else { Sym::EMPTY };
            let window = MaintenanceRef {
                sensor: of("sensor", 0),
                site: of("site", 1),
                gateway: if place == 2 { name("sensor", 2) } else { Sym::EMPTY },
                street: of("street", 4),
                district: of("district", 3),
                from,
                to: from + 6000,
            };
            let typed = (place < 5).then_some(Typed::Maintenance(window));
            reference(Kind::Maintenance, name("window", id), typed)
        }
        Event::Act { pick, kind, age, id } => {
            let alerts = crate::views::alerts::oracle::all(history, tick - TICK);
            let target = alerts.keys().nth(usize::from(pick).checked_rem(alerts.len())?)?;
            Some(Row::Action(Box::new(Action {
                pos: pos(StreamId::Actions),
                id: name("action", id),
                ts: tick as i64 - i64::from(age) * 250,
                user: name("user", id % 2),
                kind: ActionKind::ALL[usize::from(kind)],
                target: history.names.intern(target),
                assignee: Sym::EMPTY,
                reason: format!("because {id}").into(),
                until: (id > 1).then(|| tick as i64 + i64::from(id) * 1000 - 2000),
                undoes: name("action", (id + 1) % 6),
            })))
        }
    }
}

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

fn reading(age: u8, value: i8, quality: u8) -> Event {
    Event::Reading { sensor: 2, metric: 0, age, value, quality }
}

/// A run of equal readings is broken by a late one, beyond a reading that does not count.
#[test]
fn a_late_reading_breaks_a_run_beyond_a_bad_one() {
    let unchanged = Event::Rule { rule: 2, variant: 5, hold: 0, clear_hold: 0, extra: 0 };
    let events = vec![
        (0, unchanged),
        (0, reading(0, 11, 1)),
        (7, reading(0, 0, 0)),
        (8, reading(0, 10, 1)),
        (9, reading(9, 0, 1)),
    ];
    check(&history(events, settings()));
}

/// The reading that ended it turns out to be bad: what held before it holds on.
#[test]
fn a_clear_reading_that_turns_bad_lets_the_condition_hold() {
    let ladder = Event::Rule { rule: 2, variant: 0, hold: 2, clear_hold: 0, extra: 0 };
    let events = vec![(0, ladder), (4, reading(23, 8, 1)), (4, reading(22, 0, 1)), (6, reading(30, 0, 0))];
    check(&history(events, settings()));
}

/// A late reading breaks a run days ago: all that the run had made of later readings is shorter.
#[test]
fn a_late_reading_breaks_a_run_for_all_that_follow() {
    let unchanged = Event::Rule { rule: 1, variant: 5, hold: 0, clear_hold: 0, extra: 2 };
    let reading = |age, value| Event::Reading { sensor: 2, metric: 1, age, value, quality: 1 };
    let events = vec![
        (0, unchanged),
        (0, reading(0, 18)),
        (0, reading(42, 17)),
        (21, reading(0, 17)),
        (22, reading(46, 0)),
    ];
    check(&history(events, settings()));
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn alerts_equal_their_oracle_at_every_tick(
        events in proptest::collection::vec((0..TICKS as u8, event()), 0..160)
    ) {
        check(&history(events, settings()));
    }
}
