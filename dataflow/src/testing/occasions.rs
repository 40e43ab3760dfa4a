//! Rules about occasions, added to the histories in which occasions happen.

use std::sync::Arc;

use model::reference::rule::Occasion;
use model::reference::{Level, Limit, RuleRef, Selector, Severity, Signal};
use model::{Kind, LogPos, RefBody, RefRecord, Row, StreamId, Sym, Typed};

use super::{Event, History, START, check, settings};

/// Adds a rule about every occasion: there from the first tick, changed in the middle, some gone towards the end.
pub(super) fn add_rules(history: &mut History) {
    let length = history.settings.tick.as_millis();
    // Levels at whole ticks and between them.
    let level = |severity, halves: u64| {
        let raise = (halves * length / 2) as f64 / 1000.0;
        Level { severity, limit: Limit::Above { raise, clear: raise } }
    };
    for (n, occasion) in (0u64..).zip(Occasion::ALL) {
        let rule = |levels: Vec<Level>, district: Sym, enabled| RuleRef {
            selector: Selector { district, ..Selector::default() },
            signal: Signal::Occasion(occasion),
            levels,
            enabled,
            shadow_of: if n == 1 { history.names.intern("other") } else { Sym::EMPTY },
            ..RuleRef::default()
        };
        let first = vec![level(Severity::Notice, n % 3), level(Severity::Severe, n % 3 + 5)];
        let second = vec![level(Severity::Warning, n % 4)];
        let district = if n % 2 == 0 { history.names.intern("district1") } else { Sym::EMPTY };
        let versions = [
            (0, Some(rule(first, Sym::EMPTY, true))),
            (12, Some(rule(second.clone(), district, true))),
            (19, (n % 3 > 0).then(|| rule(second, Sym::EMPTY, n % 3 == 1))),
        ];
        for (tick, rule) in versions {
            let offset = 1_000_000 + tick * 100 + n;
            let pos = LogPos { stream: StreamId::Reference, partition: 0, offset };
            let typed = rule.map(|rule| Typed::Rule(Box::new(rule)));
            let body =
                typed.map(|typed| Arc::new(RefBody { json: format!("{{\"n\":{offset}}}").into(), typed }));
            let id = history.names.intern(&format!("on {}", occasion.name()));
            let record = Box::new(RefRecord { pos, kind: Kind::Rule, id, ts: None, body });
            let start = START.next_multiple_of(length);
            history.rows.push((start + tick * length, Row::Reference(record)));
        }
    }
    history.rows.sort_by_key(|(tick, _)| *tick);
    // What was recomputed before the rules were there.
    history.memo.borrow_mut().clear();
}

/// A case that is late, handled, and turns out to have been handled in time.
#[test]
fn an_overdue_case_alerts_until_it_is_handled() {
    let case = |tick, age, kind| (tick, Event::Case { case: 0, age, kind, amount: 1 });
    // Limits of four seconds: reported at 0.75 s, dispatched at 1.75 s, handled at 9.75 s; then it was at 3.75 s.
    let events = vec![case(0, 0, 0), case(1, 0, 3), case(9, 0, 8), case(15, 45, 8)];
    let mut history = super::history(events, settings());
    add_rules(&mut history);
    check(&history);
    let at = |tick: u64| {
        let rows = (crate::views::alerts::VIEW.oracle)(&history, START + tick * 1000);
        let of = |row: &serde_json::Value| {
            format!("{} {}", row["rule"].as_str().unwrap(), row["state"].as_str().unwrap())
        };
        rows.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(at(4), Vec::<String>::new());
    assert_eq!(at(9), ["on case_overdue open"]);
    assert_eq!(at(10), ["on case_overdue cleared"]);
}
