//! Histories of cases over weeks: whole lives whose events arrive in any order, backdated decisions, a calendar that is
//! edited, and the records that scores are made by.
//!
//! A tick is a day here, so that days, weeks and months end within a history. Most events of a case stand in the order
//! of the life cycle, which random times alone would hardly ever give.

use std::sync::Arc;

use model::reference::score::{
    Band, Grade, IndicatorRef, MeasureRef, NANO, Node, NotApplicable, Parts, SchemeRef, Scored, Scoring,
    Steps,
};
use model::reference::{CalendarRef, CaseClassRef};
use model::rows::{Limit, LimitUnit};
use model::{
    CaseEvent, CaseEventKind, Kind, LogPos, Names, Period, PeriodKind, RefBody, RefRecord, Row, StreamId,
    Sym, Tick, TickLength, Typed,
};
use proptest::prelude::*;

use super::{History, START, TICKS, check_views};
use crate::Settings;
use crate::settings::Statistics;

const MINUTE: i64 = 60_000;
const DAY: u64 = 86_400_000;

/// One record.
#[derive(Clone, Debug)]
enum Event {
    Case { case: u8, step: u8, gap: u8, jitter: u8, pick: u8 },
    Calendar { day: u8, variant: u8 },
    Class { class: u8, variant: u8, from: u8 },
    Indicator { id: u8, variant: u8 },
    Scheme { id: u8, variant: u8, from: u8 },
    Measure { unit: u8, period: u8, name: u8, value: u8 },
    Grid { id: u8, district: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0u8..6, 0u8..20, 0u8..4, 0u8..6, any::<u8>())
            .prop_map(|(case, step, gap, jitter, pick)| Event::Case { case, step, gap, jitter, pick }),
        1 => (0u8..20, 0u8..3).prop_map(|(day, variant)| Event::Calendar { day, variant }),
        1 => (0u8..3, 0u8..4, 0u8..12).prop_map(|(class, variant, from)| Event::Class { class, variant, from }),
    ]
}

fn scored_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => event(),
        2 => (0u8..4, 0u8..9).prop_map(|(id, variant)| Event::Indicator { id, variant }),
        2 => (0u8..4, 0u8..6, 0u8..4).prop_map(|(id, variant, from)| Event::Scheme { id, variant, from }),
        2 => (0u8..5, 0u8..5, 0u8..2, 0u8..6)
            .prop_map(|(unit, period, name, value)| Event::Measure { unit, period, name, value }),
        1 => (0u8..4, 0u8..4).prop_map(|(id, district)| Event::Grid { id, district }),
    ]
}

/// The steps of a life in their order, and what may come in between.
fn kind(names: &Names, step: u8, pick: u8) -> CaseEventKind {
    let name = |text: String| names.intern(&text);
    let some = |kind: &str, n: u8| if n == 0 { Sym::EMPTY } else { name(format!("{kind}{n}")) };
    let unit = [LimitUnit::UrgentHour, LimitUnit::WorkingHour, LimitUnit::WorkingDay, LimitUnit::NaturalDay]
        [usize::from(pick % 4)];
    let limit = (!pick.is_multiple_of(7)).then_some(Limit { amount: f64::from(pick % 5 + 1) * 0.5, unit });
    match step {
        0 | 1 => CaseEventKind::Reported {
            source: name(
                ["patrol", "hotline_12345", "public_app", "sensor"][usize::from(pick % 4)].to_owned(),
            ),
            class: some("event:010", pick / 4 % 3),
            district: some("district", pick / 4 % 4),
            grid: some("grid", pick / 8 % 3),
            caller: some("caller", pick / 16 % 3),
            // 40 m apart, and one 60 m from the first.
            at: (!pick.is_multiple_of(5)).then(|| {
                let (lon, lat) = [(0, 0), (0, 3600), (5000, 0), (0, 5400)][usize::from(pick / 2 % 4)];
                (1_094_900_000 + lon, 365_900_000 + lat)
            }),
        },
        2 => CaseEventKind::Verified { passed: pick.is_multiple_of(2) },
        3 | 4 => CaseEventKind::Filed,
        5 | 6 => CaseEventKind::Dispatched { department: some("department", pick / 8 % 3), limit },
        7 => [CaseEventKind::Returned, CaseEventKind::Extended][usize::from(pick % 2)].clone(),
        8 => CaseEventKind::Suspended,
        9 => CaseEventKind::Resumed,
        10 | 11 => CaseEventKind::Handled,
        12 => CaseEventKind::Verified { passed: false },
        13 => CaseEventKind::Handled,
        14 => CaseEventKind::Verified { passed: true },
        15 | 16 => CaseEventKind::Closed,
        17 => CaseEventKind::Rated { satisfaction: pick % 5 + 1 },
        18 => [CaseEventKind::Reopened, CaseEventKind::AppealGranted][usize::from(pick % 2)].clone(),
        _ => match pick % 4 {
            0 => CaseEventKind::Voided,
            1 => CaseEventKind::Rejected,
            _ => CaseEventKind::Merged { into: name(format!("case{}", pick / 4 % 6)) },
        },
    }
}

fn history(mut events: Vec<(u8, Event)>, settings: Settings) -> History {
    events.sort_by_key(|(tick, _)| *tick);
    let mut history = History::new(settings);
    let names = Arc::clone(&history.names);
    let mut rows: Vec<(Tick, Row)> = Vec::new();
    let first = START.next_multiple_of(DAY);
    for (offset, (tick, event)) in (0u64..).zip(events) {
        let at = |stream| LogPos { stream, partition: 0, offset };
        let row = match event {
            Event::Case { case, step, gap, jitter, pick } => {
                let begin = first as i64 + (i64::from(case) * 37 - 30) * 60 * MINUTE;
                let gap = [0, 10, 180, 1000][usize::from(gap)] * MINUTE;
                let ts = begin + i64::from(step) * gap + i64::from(jitter) * 10 * MINUTE;
                let kind = kind(&names, step, pick);
                let case = names.intern(&format!("case{case}"));
                Row::Case(Box::new(CaseEvent { pos: at(StreamId::Cases), case, ts, kind }))
            }
            Event::Calendar { day, variant } => {
                let hours = if variant == 1 { vec![(9 * 60, 12 * 60 + 30)] } else { vec![] };
                let typed = Typed::Calendar(CalendarRef {
                    day: 20_769 + i32::from(day),
                    working: variant > 0,
                    hours,
                });
                reference(&names, at(StreamId::Reference), Kind::Calendar, &format!("day{day}"), Some(typed))
            }
            Event::Class { class, variant, from } => {
                let typed = (variant < 3).then(|| {
                    let limit = |n: u8, unit| Limit { amount: f64::from(n) * 0.5, unit };
                    let mut limits =
                        vec![(Sym::EMPTY, limit(variant + from % 3 + 1, LimitUnit::WorkingHour))];
                    if variant > 0 {
                        limits.push((names.intern("hotline_12345"), limit(from + 1, LimitUnit::NaturalDay)));
                    }
                    Typed::CaseClass(CaseClassRef { limits: limits.split_off(usize::from(variant == 2)) })
                });
                let class = ["*", "event:0101", "event:0102"][usize::from(class)];
                let mut row = reference(&names, at(StreamId::Reference), Kind::CaseClass, class, typed);
                if let (Row::Reference(record), 1..) = (&mut row, from) {
                    record.ts = Some(first as i64 + (i64::from(from) - 5) * DAY as i64 / 2);
                }
                row
            }
            Event::Indicator { id, variant } => {
                let typed = (variant < 8).then(|| Typed::Indicator(Box::new(indicator(variant))));
                reference(&names, at(StreamId::Reference), Kind::Indicator, &format!("indicator{id}"), typed)
            }
            Event::Scheme { id, variant, from } => {
                let typed =
                    (variant < 5).then(|| Typed::ScoreScheme(Box::new(scheme(&names, id, variant, from))));
                reference(&names, at(StreamId::Reference), Kind::ScoreScheme, &format!("scheme{id}"), typed)
            }
            Event::Measure { unit, period, name, value } => {
                let typed = (value < 5).then(|| {
                    let scope = [Scored::District, Scored::City, Scored::Post, Scored::Department]
                        [usize::from(unit % 4)];
                    let unit =
                        ["district1", "city", "dispatcher", "department1", "district2"][usize::from(unit)];
                    let scope = if unit == "district2" { Scored::District } else { scope };
                    let label = ["2026-11", "2026-11-16", "2026-W47", "last-3d", "2026"][usize::from(period)];
                    Typed::Measure(Box::new(MeasureRef {
                        scope,
                        unit: names.intern(unit),
                        period: Period::parse(label).unwrap(),
                        name: ["sorted", "communities"][usize::from(name)].into(),
                        value: i64::from(value),
                    }))
                });
                let id = format!("measure{unit}{period}{name}");
                reference(&names, at(StreamId::Reference), Kind::Measure, &id, typed)
            }
            Event::Grid { id, district } => {
                let body = (district > 0).then(|| {
                    let json = format!("{{\"district\":\"district{district}\"}}").into();
                    Arc::new(RefBody { json, typed: Typed::Other })
                });
                Row::Reference(Box::new(RefRecord {
                    pos: at(StreamId::Reference),
                    kind: Kind::Grid,
                    id: names.intern(&format!("grid{id}")),
                    ts: None,
                    body,
                }))
            }
        };
        rows.push((first + u64::from(tick) * DAY, row));
    }
    history.rows = rows;
    history
}

fn indicator(variant: u8) -> IndicatorRef {
    let (inputs, numerator, denominator): (&[&str], _, _) = match variant % 4 {
        0 => (&["closed", "to_close"], "closed", "to_close"),
        1 => (&["filed", "voided"], "filed - voided", "filed"),
        2 => (&["filed", "grids"], "filed", "grids"),
        _ => (&["sorted", "communities"], "sorted", "communities"),
    };
    let band =
        |up_to: Option<i64>, points: i64| Band { up_to: up_to.map(|n| n * NANO), points: points * NANO };
    let scoring = match variant {
        0 | 1 => Scoring::Rate,
        2 | 6 => {
            Scoring::Bands(vec![band(Some(0), 100), band(Some(1), 90), band(Some(3), 60), band(None, 0)])
        }
        4 => Scoring::Inverted,
        _ => Scoring::Steps(Steps {
            full_at: NANO / 2,
            step: NANO / 10,
            minus: NANO / 5,
            points: NANO,
            falling: variant == 7,
            parts: [Parts::Free, Parts::Whole, Parts::ProRata][usize::from(variant % 3)],
        }),
    };
    IndicatorRef {
        inputs: inputs.iter().map(|name| (*name).into()).collect(),
        numerator: numerator.into(),
        denominator: denominator.into(),
        scoring,
    }
}

/// Two schemes, each with two records.
fn scheme(names: &Names, id: u8, variant: u8, from: u8) -> SchemeRef {
    let leaf = |n: u8, weight: i64| Node {
        id: names.intern(&format!("indicator{n}")),
        weight: weight * NANO,
        children: vec![],
        only: vec![],
    };
    let group = |weight: i64, children: Vec<Node>| Node {
        id: names.intern("group"),
        weight: weight * NANO,
        children,
        only: vec![],
    };
    let only = |node: Node, unit: &str| Node { only: vec![names.intern(unit)], ..node };
    let nodes = match variant {
        0 => vec![leaf(0, 3), leaf(1, 1)],
        1 => vec![group(2, vec![leaf(0, 1), leaf(3, 2)]), leaf(2, 1)],
        2 => vec![only(leaf(0, 1), "dispatcher"), leaf(1, 1), group(1, vec![only(leaf(2, 1), "district1")])],
        _ => vec![leaf(1, 1), leaf(2, 2), leaf(3, 5)],
    };
    let grade = |name: &str, from: i64, colour: &str| Grade {
        name: name.into(),
        from: from * NANO,
        colour: colour.into(),
    };
    SchemeRef {
        scheme: names.intern(&format!("scheme{}", id % 2)),
        // 2026-11-01, 2026-11-16, 2026-12-01.
        valid_from: [None, Some(20_758), Some(20_773), Some(20_788)][usize::from(from)],
        scope: [Scored::District, Scored::District, Scored::Post, Scored::City, Scored::Department]
            [usize::from(variant)],
        units: if variant == 1 { vec![names.intern("district1"), names.intern("district2")] } else { vec![] },
        periods: match variant {
            0 => vec![PeriodKind::Day, PeriodKind::Month],
            1 => vec![PeriodKind::Week, PeriodKind::Month, PeriodKind::Rolling],
            _ => vec![PeriodKind::Month, PeriodKind::Week, PeriodKind::Year],
        },
        not_applicable: if variant == 3 { NotApplicable::Full } else { NotApplicable::Renormalise },
        nodes,
        grades: vec![grade("A", 90, "green"), grade("B", 60, "blue"), grade("E", 0, "black")],
        publish_after_ms: (from < 3).then_some(i64::from(from) * DAY as i64),
    }
}

fn reference(names: &Names, pos: LogPos, kind: Kind, id: &str, typed: Option<Typed>) -> Row {
    let json = format!("{{\"n\":{}}}", pos.offset).into();
    let body = typed.map(|typed| Arc::new(RefBody { json, typed }));
    Row::Reference(Box::new(RefRecord { pos, kind, id: names.intern(id), ts: None, body }))
}

fn settings(views: &[&str]) -> Settings {
    Settings {
        views: Some(views.iter().map(|view| (*view).to_owned()).collect()),
        tick: TickLength::from_millis(DAY).unwrap(),
        max_suspension_ms: 3 * DAY as i64,
        rolling_days: 3,
        statistics: Statistics {
            department: vec![],
            grid: vec![PeriodKind::Day, PeriodKind::Rolling, PeriodKind::All],
            class: vec![PeriodKind::Month],
            ..Statistics::default()
        },
        ..Settings::default().keep_everything()
    }
}

const WANTED: [&str; 3] = ["cases", "case_quality", "case_rates"];

const SCORED: [&str; 3] = ["indicators", "scores", "score_versions"];

fn scored_events() -> impl Strategy<Value = Vec<(u8, Event)>> {
    proptest::collection::vec((0..TICKS as u8, scored_event()), 0..140)
}

fn events() -> impl Strategy<Value = Vec<(u8, Event)>> {
    proptest::collection::vec((0..TICKS as u8, event()), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn cases_and_their_counts_equal_their_oracles(events in events()) {
        check_views(&history(events, settings(&WANTED)), |_| true);
    }

    #[test]
    fn so_they_do_where_the_clock_goes_on_after_a_failed_check(events in events()) {
        let settings = Settings { rework_restarts_clock: false, max_extensions: 1, ..settings(&WANTED) };
        check_views(&history(events, settings), |_| true);
    }

    #[test]
    fn scores_equal_their_oracles(events in scored_events()) {
        check_views(&history(events, settings(&SCORED)), |_| true);
    }
}
