//! Scores of what other streams than cases bring: coverage of roads, alerts, parks.

use std::sync::Arc;

use model::reference::score::{IndicatorRef, NANO, Node, NotApplicable, SchemeRef, Scored, Scoring};
use model::reference::{Level, Limit, RuleRef, Selector, SensorRef, Severity};
use model::{
    Kind, LogPos, PeriodKind, Quality, Reading, RefBody, RefRecord, Row, StreamId, Sym, Tick, TickLength,
    Typed,
};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::{History, START, TICKS, check_views, fleet, parks, run};
use crate::Settings;

const SCORED: [&str; 3] = ["indicators", "scores", "score_versions"];
const HOUR: u64 = 3_600_000;

fn views() -> Option<Vec<String>> {
    Some(SCORED.iter().map(|view| (*view).to_owned()).collect())
}

/// Puts indicators over what streams bring, and schemes of districts and the city over these, before all other rows.
fn with_schemes(mut history: History) -> History {
    let indicators = [
        ("coverage", "swept_length", "planned_length", Scoring::Rate),
        ("missed", "missed_roads", "planned_roads", Scoring::Inverted),
        ("ended", "alerts_ended", "alerts_raised", Scoring::Rate),
        ("severe", "alerts_severe", "alerts_raised", Scoring::Inverted),
        ("parks", "park_covered_area", "residential_area", Scoring::Rate),
    ];
    let names = Arc::clone(&history.names);
    let mut records = Vec::new();
    for (id, numerator, denominator, scoring) in indicators.clone() {
        let inputs = vec![numerator.into(), denominator.into(), "coverage_shifts".into()];
        // Every other one needs coverage to be known.
        let inputs = if id == "missed" { inputs } else { inputs[..2].to_vec() };
        let record =
            IndicatorRef { inputs, numerator: numerator.into(), denominator: denominator.into(), scoring };
        records.push((Kind::Indicator, names.intern(id), Typed::Indicator(Box::new(record))));
    }
    for (id, scope) in [("districts", Scored::District), ("whole", Scored::City)] {
        let node = |id: &str| Node { id: names.intern(id), weight: NANO, children: vec![], only: vec![] };
        let record = SchemeRef {
            scheme: names.intern(id),
            valid_from: None,
            scope,
            units: vec![],
            periods: [&PeriodKind::FIXED[..], &[PeriodKind::Rolling]].concat(),
            not_applicable: NotApplicable::Renormalise,
            nodes: indicators.iter().map(|(id, ..)| node(id)).collect(),
            grades: vec![],
            publish_after_ms: Some(0),
        };
        records.push((Kind::ScoreScheme, names.intern(id), Typed::ScoreScheme(Box::new(record))));
    }
    let row = |(offset, (kind, id, typed)): (u64, (Kind, Sym, Typed))| {
        let pos = LogPos { stream: StreamId::Reference, partition: 1, offset };
        let body = Some(Arc::new(RefBody { json: "{}".into(), typed }));
        (START, Row::Reference(Box::new(RefRecord { pos, kind, id, ts: None, body })))
    };
    history.rows.splice(0..0, (0u64..).zip(records).map(row));
    history
}

/// A reading or a sensor, at a tick of an hour.
#[derive(Clone, Debug)]
enum Event {
    Reading { sensor: u8, age: u8, value: u8, bad: bool },
    Sensor { sensor: u8, district: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0u8..3, 0u8..6, 0u8..10, prop::bool::weighted(0.1))
            .prop_map(|(sensor, age, value, bad)| Event::Reading { sensor, age, value, bad }),
        1 => (0u8..3, 0u8..3).prop_map(|(sensor, district)| Event::Sensor { sensor, district }),
    ]
}

/// Readings over a day, some hours late, and one rule with two levels.
fn readings(mut events: Vec<(u8, Event)>) -> History {
    events.sort_by_key(|(tick, _)| *tick);
    let settings = Settings {
        tick: TickLength::from_millis(HOUR).unwrap(),
        views: views(),
        rolling_days: 1,
        score_inputs_every_ms: 3 * HOUR,
        ..Settings::default().keep_everything()
    };
    let mut history = History::new(settings);
    let names = Arc::clone(&history.names);
    let first = START.next_multiple_of(HOUR);
    let above = |severity, raise| Level { severity, limit: Limit::Above { raise, clear: raise } };
    let rule = RuleRef {
        selector: Selector { metric: names.intern("metric"), ..Selector::default() },
        levels: vec![above(Severity::Warning, 4.0), above(Severity::Severe, 7.0)],
        ..RuleRef::default()
    };
    let reference = |tick: Tick, offset, kind, id: String, typed| {
        let pos = LogPos { stream: StreamId::Reference, partition: 0, offset };
        let body = Some(Arc::new(RefBody { json: "{}".into(), typed }));
        (tick, Row::Reference(Box::new(RefRecord { pos, kind, id: names.intern(&id), ts: None, body })))
    };
    let mut rows = vec![reference(first, 0, Kind::Rule, "rule".into(), Typed::Rule(Box::new(rule)))];
    for (offset, (tick, event)) in (1u64..).zip(events) {
        let tick = first + u64::from(tick) * HOUR;
        rows.push(match event {
            Event::Reading { sensor, age, value, bad } => {
                let reading = Reading {
                    pos: LogPos { stream: StreamId::Telemetry, partition: 0, offset },
                    sensor: names.intern(&format!("sensor{sensor}")),
                    metric: names.intern("metric"),
                    ts: tick as i64 - i64::from(age) * HOUR as i64 / 2,
                    value: f64::from(value),
                    quality: if bad { Quality::Bad } else { Quality::Good },
                };
                (tick, Row::Reading(reading))
            }
            Event::Sensor { sensor, district } => {
                let district = match district {
                    0 => Sym::EMPTY,
                    n => names.intern(&format!("district{n}")),
                };
                let typed = Typed::Sensor(SensorRef { district, ..SensorRef::default() });
                reference(tick, offset, Kind::Sensor, format!("sensor{sensor}"), typed)
            }
        });
    }
    history.rows = rows;
    history
}

/// A number of whole m² as `park_radius` says it.
fn whole(area: &Json) -> i64 {
    (area.as_f64().unwrap() + 0.5).floor() as i64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn scores_of_coverage_equal_their_oracle(events in fleet::events()) {
        let settings = Settings { views: views(), rolling_days: 1, score_inputs_every_ms: 900_000, ..fleet::settings() };
        check_views(&with_schemes(fleet::history(events, settings)), |_| true);
    }

    #[test]
    fn scores_of_alerts_equal_their_oracle(
        events in proptest::collection::vec((0..TICKS as u8, event()), 0..60)
    ) {
        check_views(&with_schemes(readings(events)), |_| true);
    }

    #[test]
    fn scores_of_parks_are_those_of_the_scheme_of_the_settings(
        edits in proptest::collection::vec(parks::edit(), 20..60)
    ) {
        // An area of parks alone makes no score: a measure says of which periods there are any.
        let mut history = parks::history(edits);
        history.settings.radius_scheme = "scheme0".into();
        history.settings.score_inputs_every_ms = 1000;
        history.settings.views =
            Some(["park_radius", "indicators"].map(str::to_owned).to_vec());
        let mut history = with_schemes(history);
        let names = Arc::clone(&history.names);
        let measure = |(offset, unit): (u64, &str)| {
            let measure = model::reference::score::MeasureRef {
                scope: if unit == "city" { Scored::City } else { Scored::District },
                unit: names.intern(unit),
                period: model::Period::parse("2026-11").unwrap(),
                name: "other".into(),
                value: 1,
            };
            let pos = LogPos { stream: StreamId::Reference, partition: 2, offset };
            let body = Some(Arc::new(RefBody { json: "{}".into(), typed: Typed::Measure(Box::new(measure)) }));
            (START, Row::Reference(Box::new(RefRecord { pos, kind: Kind::Measure, id: names.intern(unit), ts: None, body })))
        };
        history.rows.splice(0..0, (0u64..).zip(["city", "district0", "district37"]).map(measure));
        for workers in 1..=3 {
            let said = run(&history, workers);
            for tick in history.ticks(history.last()) {
                let radius = |district: &str| {
                    let rows = said[1][&tick].values();
                    rows.clone().find(|row| row["district"] == district && row["scheme"] == "scheme0")
                };
                let parks: Vec<&Json> = said[0][&tick].values().filter(|row| row["indicator"] == "parks").collect();
                prop_assert_eq!(parks.len(), 3);
                for row in parks {
                    match radius(row["district"].as_str().unwrap()) {
                        None => prop_assert_eq!(&row["state"], "missing"),
                        Some(radius) => {
                            prop_assert_eq!(row["numerator"].as_i64(), Some(whole(&radius["covered_area"])));
                            prop_assert_eq!(row["denominator"].as_i64(), Some(whole(&radius["residential_area"])));
                        }
                    }
                }
            }
        }
    }
}

/// A shift's coverage is kept for a while; the scores that it made stay.
#[test]
fn coverage_that_expired_counts_on() {
    let run_of_fixes = fleet::Event::Run {
        vehicle: 0,
        age: 8,
        road: 1,
        from: 0,
        count: 8,
        back: false,
        speed: 0,
        works: 3,
        spread: 0,
    };
    let settings = Settings {
        views: Some(["district_coverage", "indicators"].map(str::to_owned).to_vec()),
        coverage_retention_ms: Some(40 * 60_000),
        ..fleet::settings()
    };
    let history = with_schemes(fleet::history(vec![(1, run_of_fixes)], settings));
    let said = run(&history, 2);
    // The shift ends at 18:00 and goes at 18:40.
    let at = |minutes: u64| START + minutes * 60_000;
    let shifts = |tick: Tick| {
        let rows = said[0][&tick].values();
        rows.filter(|row| row["district"] == "city" && row["shift"] == "shift0").count()
    };
    assert_eq!((shifts(at(95)), shifts(at(120))), (1, 0));
    let coverage = |tick: Tick| {
        let mut rows = said[1][&tick].values();
        let is = |row: &&Json| {
            row["indicator"] == "coverage" && row["district"] == "city" && row["period"] == "2026-11-13"
        };
        let row = rows.find(is).unwrap();
        (row["numerator"].as_i64().unwrap(), row["denominator"].as_i64().unwrap())
    };
    assert!(coverage(at(95)).0 > 0, "something was swept");
    assert_eq!(coverage(at(95)), coverage(at(120)));
}
