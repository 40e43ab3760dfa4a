//! How long a changed case takes to reach every score that it touches.
//!
//! `changed_case [CASES] [OPEN] [CHANGES]` feeds the history of CASES cases (1,000,000), OPEN of which are open
//! (200,000), over a year, 13 districts and 40 departments, with schemes for districts, departments, posts and the city
//! over every kind of period; then CHANGES (500) ticks with one backdated event of one case each. Prints one line of
//! JSON: the time from a tick's feed to its frame, how many rows changed in it, and the processor time of all threads per
//! change (Linux; 0 elsewhere).

mod common;

use std::sync::Arc;
use std::time::Instant;

use dataflow::{Engine, Settings};
use model::reference::score::{Grade, IndicatorRef, NANO, Node, NotApplicable, SchemeRef, Scored, Scoring};
use model::rows::{Limit, LimitUnit};
use model::{
    CaseEvent, CaseEventKind, Feed, Kind, LogPos, Names, PeriodKind, RefBody, RefRecord, Row, StreamId, Sym,
    Typed,
};

use common::processor_ns;

const DAY: i64 = 86_400_000;
/// 2025-11-01 in the city.
const BEGIN: i64 = 1_761_926_400_000;
/// Cases fed in one tick.
const BATCH: usize = 2000;

struct Feeder {
    names: Arc<Names>,
    offset: u64,
}

impl Feeder {
    fn event(&mut self, case: usize, ts: i64, kind: CaseEventKind) -> Row {
        self.offset += 1;
        let pos = LogPos { stream: StreamId::Cases, partition: 0, offset: self.offset };
        Row::Case(Box::new(CaseEvent { pos, case: self.names.intern(&format!("case-{case}")), ts, kind }))
    }

    fn record(&mut self, kind: Kind, id: &str, typed: Typed) -> Row {
        self.offset += 1;
        let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: self.offset };
        let body = Some(Arc::new(RefBody { json: "{}".into(), typed }));
        Row::Reference(Box::new(RefRecord { pos, kind, id: self.names.intern(id), ts: None, body }))
    }

    fn name(&self, kind: &str, n: usize) -> Sym {
        self.names.intern(&format!("{kind}-{n}"))
    }

    /// The life of a case; an open one is not handled.
    fn life(&mut self, case: usize, opened: i64, open: bool) -> Vec<Row> {
        let reported = CaseEventKind::Reported {
            source: self.names.intern(["patrol", "hotline_12345", "public_app"][case % 3]),
            class: self.name("event:01", case % 30),
            district: self.name("district", case % 13),
            grid: self.name("grid", case % 4000),
            caller: Sym::EMPTY,
            at: Some((
                1_094_900_000 + (case % 5000) as i32 * 2000,
                365_900_000 + (case / 5000 % 5000) as i32 * 2000,
            )),
        };
        let limit = Some(Limit { amount: 1.0 + (case % 5) as f64, unit: LimitUnit::WorkingDay });
        let dispatched = CaseEventKind::Dispatched { department: self.name("department", case % 40), limit };
        let minute = 60_000;
        let mut rows = vec![
            self.event(case, opened, reported),
            self.event(case, opened + 10 * minute, CaseEventKind::Filed),
            self.event(case, opened + 20 * minute, dispatched),
        ];
        if !open {
            let handled = opened + DAY + (case % 9) as i64 * DAY / 2;
            rows.push(self.event(case, handled, CaseEventKind::Handled));
            rows.push(self.event(case, handled + 20 * minute, CaseEventKind::Verified { passed: true }));
            rows.push(self.event(case, handled + 30 * minute, CaseEventKind::Closed));
        }
        rows
    }

    fn schemes(&mut self) -> Vec<Row> {
        let rates = [
            ("handling", "handled", "to_handle", Scoring::Rate),
            ("in-time", "handled_in_time", "to_handle", Scoring::Rate),
            ("rework", "reworked", "to_close", Scoring::Inverted),
            ("overdue", "overdue", "to_handle", Scoring::Inverted),
            ("extension", "extended", "to_handle", Scoring::Inverted),
            ("closing", "closed", "to_close", Scoring::Rate),
        ];
        let mut rows = Vec::new();
        for (id, numerator, denominator, scoring) in rates {
            let inputs = vec![numerator.into(), denominator.into()];
            let record = IndicatorRef {
                inputs,
                numerator: numerator.into(),
                denominator: denominator.into(),
                scoring,
            };
            rows.push(self.record(Kind::Indicator, id, Typed::Indicator(Box::new(record))));
        }
        for (n, scope) in
            [Scored::District, Scored::Department, Scored::Post, Scored::City].into_iter().enumerate()
        {
            let scheme = self.name("scheme", n);
            let nodes = ["handling", "in-time", "rework", "overdue", "extension", "closing"].map(|id| Node {
                id: self.names.intern(id),
                weight: NANO,
                children: vec![],
                only: vec![],
            });
            let grade =
                |name: &str, from: i64| Grade { name: name.into(), from: from * NANO, colour: "".into() };
            let record = SchemeRef {
                scheme,
                valid_from: None,
                scope,
                units: vec![],
                periods: [&PeriodKind::FIXED[..], &[PeriodKind::Rolling]].concat(),
                not_applicable: NotApplicable::Renormalise,
                nodes: nodes.to_vec(),
                grades: vec![grade("A", 90), grade("B", 75), grade("E", 0)],
                publish_after_ms: Some(3 * DAY),
            };
            rows.push(self.record(
                Kind::ScoreScheme,
                &format!("scheme-{n}"),
                Typed::ScoreScheme(Box::new(record)),
            ));
        }
        rows
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() -> model::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap_or(0));
    let cases = arguments.next().unwrap_or(1_000_000);
    let open = arguments.next().unwrap_or(200_000);
    let changes = arguments.next().unwrap_or(500);
    let names = Arc::new(Names::new());
    let settings = Settings { horizon_ms: None, ..Settings::default() };
    let mut engine = Engine::start(&settings, 1, &names)?;
    let frames = engine.frames();
    let mut feeder = Feeder { names: Arc::clone(&names), offset: 0 };
    // The whole history is fed within a few minutes of ticks after its end.
    let mut tick = settings.tick.ceil(BEGIN + 365 * DAY);
    let begun = Instant::now();
    let mut rows = feeder.schemes();
    let round = |engine: &mut Engine, tick: u64, rows: Vec<Row>| -> model::Result<usize> {
        engine.feed(Feed::Rows { tick, rows })?;
        engine.feed(Feed::Advance(tick))?;
        for frame in &frames {
            if frame.tick >= tick {
                return Ok(frame.steps.iter().map(|step| step.changes.len()).sum());
            }
        }
        Ok(0)
    };
    for first in (0..cases).step_by(BATCH) {
        for case in first..(first + BATCH).min(cases) {
            let opened = BEGIN + (case as i64 * 365 * DAY) / cases as i64;
            rows.extend(feeder.life(case, opened, case >= cases - open));
        }
        round(&mut engine, tick, std::mem::take(&mut rows))?;
        tick += settings.tick.as_millis();
    }
    let loaded = begun.elapsed();
    let processor = processor_ns();
    let mut micros: Vec<u128> = Vec::new();
    let mut changed = 0;
    for n in 0..changes {
        // Open cases that were in fact handled two days ago.
        let case = cases - 1 - n * (open / changes.max(1)).max(1);
        let handled = i64::try_from(tick).unwrap_or(i64::MAX) - 2 * DAY;
        let row = feeder.event(case, handled, CaseEventKind::Handled);
        let begun = Instant::now();
        changed += round(&mut engine, tick, vec![row])?;
        micros.push(begun.elapsed().as_micros());
        tick += settings.tick.as_millis();
    }
    let processor = processor_ns() - processor;
    micros.sort_unstable();
    let at = |share: usize| micros.get(micros.len() * share / 100).or(micros.last()).copied().unwrap_or(0);
    println!(
        "{{\"cases\":{cases},\"open\":{open},\"load_s\":{:.1},\"changes\":{changes},\"rows_per_change\":{:.1},\
         \"processor_us_per_change\":{},\"p50_us\":{},\"p99_us\":{},\"max_us\":{}}}",
        loaded.as_secs_f64(),
        changed as f64 / changes.max(1) as f64,
        processor / 1000 / changes.max(1) as u64,
        at(50),
        at(99),
        at(100),
    );
    engine.stop()
}
