//! Golden scores: the shipped indicators and schemes on inputs whose scores were worked out by hand.
//!
//! `tests/cases/scores.json` has the inputs, the arithmetic and the result of each; the first is the worked example of
//! the rules (91.5 is an A).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ingest::streams::{Decoder, Limits, RecordMeta, shipped};
use model::reference::score::{SchemeRef, Scored};
use model::{Kind, LogPos, Names, Row, StreamId, Sym, Typed};
use scoring::exact::{quotient, rounded, text, whole};
use scoring::{Indicator, Outcome, evaluate, grade};

type Known<K, V> = BTreeMap<K, V>;

struct Shipped {
    names: Arc<Names>,
    indicators: Known<Sym, Indicator>,
    schemes: Known<String, SchemeRef>,
}

fn load(lines: &str) -> Shipped {
    let names = Arc::new(Names::new());
    let mut decoder = Decoder::new(Arc::clone(&names), Limits::default());
    let (mut indicators, mut schemes) = (Known::new(), Known::new());
    for (offset, line) in (0u64..).zip(lines.lines()) {
        let pos = LogPos { stream: StreamId::Reference, partition: 0, offset };
        let mut rows = Vec::new();
        let meta = RecordMeta { pos, tick: 1_700_000_000_000, append_known: true };
        let decoded = decoder.decode(StreamId::Reference, None, Some(line.as_bytes()), meta, &mut rows);
        assert!(!decoded.rejected, "{line}: {rows:?}");
        let Row::Reference(record) = rows.remove(0) else { panic!("{line}") };
        match &record.body.unwrap().typed {
            Typed::Indicator(indicator) => {
                indicators.insert(record.id, Indicator::compile(indicator).unwrap());
            }
            Typed::ScoreScheme(scheme) => {
                schemes.insert(names.resolve(record.id).to_owned(), (**scheme).clone());
            }
            _ => assert!(![Kind::Indicator, Kind::ScoreScheme].contains(&record.kind)),
        }
    }
    Shipped { names, indicators, schemes }
}

#[test]
fn scores_are_what_a_calculator_says() {
    let shipped = load(std::str::from_utf8(shipped()).unwrap());
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/cases/scores.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 31);
    for case in cases {
        let name = &case["name"];
        let scheme = &shipped.schemes[case["scheme"].as_str().unwrap()];
        let unit = Some(shipped.names.intern(case["unit"].as_str().unwrap()));
        // A count that is not given is zero where streams bring it, a measure is not known.
        let input = |name: &str| case["inputs"].get(name).and_then(serde_json::Value::as_i64);
        let mut outcome = |id: Sym| shipped.indicators.get(&id).map(|i| (i, i.evaluate(&input)));
        let evaluated = evaluate(scheme, unit, &mut outcome);
        let total = evaluated.total.unwrap();
        assert_eq!(rounded(&total, 6), case["score"].as_str().unwrap(), "{name}: {}", text(&total));
        assert_eq!(
            grade(&scheme.grades, &total).unwrap().name.as_ref(),
            case["grade"].as_str().unwrap(),
            "{name}"
        );
        let sum = evaluated.leaves.iter().fold(whole(0), |sum, leaf| sum + &leaf.contribution);
        assert_eq!(sum, total, "{name}: contributions add up exactly");
    }
}

#[test]
fn water_above_plan_costs_what_a_calculator_says() {
    let shipped = load(std::str::from_utf8(shipped()).unwrap());
    let indicator = &shipped.indicators[&shipped.names.intern("water-surcharge")];
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/cases/water_surcharge.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let input = |name: &str| case["inputs"].get(name).and_then(serde_json::Value::as_i64);
        let Outcome::Value { numerator, denominator } = indicator.evaluate(&input) else { panic!("{case}") };
        let value = quotient(numerator, denominator).unwrap();
        assert_eq!(rounded(&value, 2), case["extra"].as_str().unwrap(), "{}", case["name"]);
        let points = scoring::points::points(&indicator.record().scoring, &value);
        assert_eq!(points, whole(case["points"].as_i64().unwrap()), "{}", case["name"]);
    }
    assert_eq!(indicator.evaluate(&|name| (name == "water_used").then_some(5)), Outcome::Missing);
}

#[test]
fn every_shipped_scheme_has_its_indicators_and_weights_of_one() {
    let shipped = load(std::str::from_utf8(shipped()).unwrap());
    assert_eq!(shipped.schemes.len(), 6);
    for (id, scheme) in &shipped.schemes {
        let units: Vec<&str> = match scheme.scope {
            Scored::Post => vec!["supervisor", "acceptor", "shift_leader", "dispatcher"],
            _ => vec!["610602"],
        };
        for unit in units {
            let mut outcome = |indicator: Sym| {
                let found = shipped.indicators.get(&indicator);
                assert!(found.is_some(), "{id}: no indicator {}", shipped.names.resolve(indicator));
                found.map(|found| (found, Outcome::Value { numerator: 1, denominator: 1 }))
            };
            let evaluated = evaluate(scheme, Some(shipped.names.intern(unit)), &mut outcome);
            assert_eq!(evaluated.completeness, whole(1), "{id}");
            let shares = evaluated.leaves.iter().fold(whole(0), |sum, leaf| sum + &leaf.share);
            assert_eq!(shares, whole(1), "{id}: {unit}");
        }
    }
}

#[test]
fn the_documented_records_are_good_and_broken_ones_are_refused() {
    let page = include_str!("../../docs/scores.md");
    let examples: Vec<String> = page
        .split("```json")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().replace('\n', " "))
        .collect();
    assert_eq!(examples.len(), 3);
    let loaded = load(&examples.join("\n"));
    assert_eq!((loaded.indicators.len(), loaded.schemes.len()), (1, 1));
    let names = Arc::new(Names::new());
    let mut decoder = Decoder::new(names, Limits::default());
    let broken = [
        (
            r#"{"kind":"indicator","id":"i","inputs":["a"],"numerator":"b","scoring":{"function":"rate"}}"#,
            "`numerator`",
        ),
        (r#"{"kind":"indicator","id":"i","numerator":"a","scoring":{"function":"rate"}}"#, "`inputs`"),
        (
            r#"{"kind":"indicator","id":"i","inputs":["a"],"numerator":"a","scoring":{"function":"bands","bands":[{"up_to":2,"points":1},{"up_to":1,"points":0}]}}"#,
            "`bands` must ascend",
        ),
        (
            r#"{"kind":"score_scheme","id":"s","scope":"village","indicators":[{"indicator":"i","weight":1}]}"#,
            "`scope`",
        ),
        (
            r#"{"kind":"score_scheme","id":"s","scope":"district","indicators":[{"indicator":"i","weight":0}]}"#,
            "`weight`",
        ),
        (
            r#"{"kind":"score_scheme","id":"s","scope":"district","indicators":[{"indicator":"i","weight":1},{"group":"g","weight":1,"indicators":[{"indicator":"i","weight":1,"only":["a"]}]}]}"#,
            "`i` stands twice for the same unit",
        ),
        (r#"{"kind":"measure","id":"m","unit":"1","period":"2026-13","name":"n","value":1}"#, "`period`"),
        (r#"{"kind":"measure","id":"m","unit":"1","period":"2026","name":"n","value":1.5}"#, "`value`"),
    ];
    // In different units it may stand more than once.
    let split = r#"{"kind":"score_scheme","id":"s","scope":"district","indicators":[{"indicator":"i","weight":1,"only":["a"]},{"indicator":"i","weight":2,"only":["b"]}]}"#;
    assert_eq!(load(split).schemes.len(), 1);
    for (line, says) in broken {
        let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: 0 };
        let meta = RecordMeta { pos, tick: 1_700_000_000_000, append_known: true };
        let mut rows = Vec::new();
        assert!(
            decoder.decode(StreamId::Reference, None, Some(line.as_bytes()), meta, &mut rows).rejected,
            "{line}"
        );
        let Row::Rejected(refused) = &rows[0] else { panic!("{line}") };
        assert!(refused.reason.contains(says), "{line}: {}", refused.reason);
    }
}
