//! What alert rules cost, and what one more costs the others.
//!
//! `rules [READINGS] [SENSORS] [RULES]` feeds READINGS readings (1,000,000) of SENSORS sensors (50,000), each of which
//! reports one of 25 metrics every 10 s in a slow random walk that now and then crosses a limit, under RULES rules (500):
//! thresholds with holds, ladders, one in ten a condition in CEL, and the offline rule. Two engines take the same ticks
//! by turns, the second with one more rule, which covers every sensor of a metric. Prints one line of JSON: processor
//! time of all threads per million readings (Linux), the time from a tick's feed to its frame, and the ratio of the two
//! engines' p99.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use dataflow::{Engine, Settings};
use model::reference::SensorRef;
use model::reference::rule::{FormulaRef, Level, Limit, RuleRef, Selector, Severity, Signal};
use model::{
    Feed, Frame, Kind, LogPos, Names, Quality, Reading, RefBody, RefRecord, Result, Row, StreamId, Tick,
    Typed,
};

use common::processor_ns;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const METRICS: usize = 25;
const START: i64 = 1_790_000_000_000;
const EVERY_MS: i64 = 10_000;
/// Ticks that fill states before anything is counted.
const WARM_UP: usize = 100;

fn record(names: &Names, kind: Kind, id: &str, typed: Typed) -> Row {
    let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: 0 };
    let body = Some(Arc::new(RefBody { json: "{}".into(), typed }));
    Row::Reference(Box::new(RefRecord { pos, kind, id: names.intern(id), ts: None, body }))
}

fn above(severity: Severity, raise: f64, clear: f64) -> Level {
    Level { severity, limit: Limit::Above { raise, clear } }
}

fn rule(names: &Names, n: usize) -> RuleRef {
    let (metric, step) = (n % METRICS, (n / METRICS) as f64);
    let (signal, levels) = if n % 10 == 9 {
        let condition = format!("value > {} && mean('1m') > {}", 96.0 + step / 10.0, 95.0 + step / 10.0);
        let formula = FormulaRef { levels: vec![condition.into()], clear_when: None, every_ms: 60_000 };
        (Signal::Formula(Arc::new(formula)), vec![above(Severity::Warning, 1.0, 1.0)])
    } else if !n.is_multiple_of(3) {
        (Signal::Value, vec![above(Severity::Notice, 95.0 + step / 4.0, 93.0)])
    } else {
        let below = |severity, raise: f64, clear| Level { severity, limit: Limit::Below { raise, clear } };
        let levels =
            [below(Severity::Notice, 5.0 - step / 8.0, 7.0), below(Severity::Severe, 2.0 - step / 16.0, 4.0)];
        (Signal::Value, levels.to_vec())
    };
    let selector = Selector { metric: names.intern(&format!("m{metric}")), ..Selector::default() };
    RuleRef { selector, signal, levels, hold_ms: 30_000 * (n % 4) as i64, ..RuleRef::default() }
}

/// Numbers that look like chance and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    /// From −1 to 1, most of them small: the mean of four.
    fn step(&mut self) -> f64 {
        let mut one = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
        };
        (one() + one() + one() + one()) / 4.0
    }
}

/// An engine, its frames, and how long its ticks took.
struct Side {
    engine: Engine,
    frames: Receiver<Arc<Frame>>,
    micros: Vec<u128>,
    processor: u64,
    alerts: usize,
}

impl Side {
    fn start(names: &Arc<Names>, records: Vec<Row>, tick: Tick) -> Result<Self> {
        let views = Some(vec!["sensors".to_owned(), "alerts".to_owned()]);
        let settings = Settings { views, ..Settings::default() };
        let engine = Engine::start(&settings, 1, names)?;
        let frames = engine.frames();
        let mut side = Self { engine, frames, micros: Vec::new(), processor: 0, alerts: 0 };
        side.round(tick, records)?;
        Ok(side)
    }

    fn round(&mut self, tick: Tick, rows: Vec<Row>) -> Result<()> {
        let (begun, spent) = (Instant::now(), processor_ns());
        self.engine.feed(Feed::Rows { tick, rows })?;
        self.engine.feed(Feed::Advance(tick))?;
        for frame in &self.frames {
            // The second of the two views.
            let alerts = frame.steps.iter().filter(|step| step.view.0 == 1);
            self.alerts += alerts.map(|step| step.changes.len()).sum::<usize>();
            if frame.tick >= tick {
                break;
            }
        }
        self.micros.push(begun.elapsed().as_micros());
        // What the worker does after its frame is its own; the other side waits for it.
        std::thread::park_timeout(Duration::from_micros(200));
        self.processor += processor_ns() - spent;
        Ok(())
    }

    fn forget(&mut self) {
        (self.micros, self.processor, self.alerts) = (Vec::new(), 0, 0);
    }

    /// The time of a tick below which this share (percent) of them took, µs.
    fn at(&mut self, share: usize) -> u128 {
        self.micros.sort_unstable();
        self.micros.get(self.micros.len() * share / 100).copied().unwrap_or(0)
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap_or(0));
    let readings = arguments.next().unwrap_or(1_000_000);
    let sensors = arguments.next().unwrap_or(50_000);
    let rules = arguments.next().unwrap_or(500);
    let names = Arc::new(Names::new());
    let length = Settings::default().tick;
    let mut tick = length.ceil(START);
    let records = |more: bool| -> Vec<Row> {
        let sensor = |n: usize| {
            let reference = SensorRef { heartbeat_s: Some(60.0), ..SensorRef::default() };
            record(&names, Kind::Sensor, &format!("s{n}"), Typed::Sensor(reference))
        };
        let level = vec![above(Severity::Notice, 3.0, 3.0)];
        let offline = Signal::Offline { heartbeats: 3.0 };
        let offline = RuleRef { signal: offline, levels: level, ..RuleRef::default() };
        let one_more = RuleRef {
            selector: Selector { metric: names.intern("m0"), ..Selector::default() },
            levels: vec![above(Severity::Notice, 60.0, 55.0)],
            ..RuleRef::default()
        };
        let more = more.then_some(one_more).into_iter();
        let numbered = (0..rules).map(|n| rule(&names, n)).chain([offline]).chain(more).enumerate();
        let rules = numbered
            .map(|(n, rule)| record(&names, Kind::Rule, &format!("rule{n}"), Typed::Rule(Box::new(rule))));
        rules.chain((0..sensors).map(sensor)).collect()
    };
    let mut sides = [Side::start(&names, records(false), tick)?, Side::start(&names, records(true), tick)?];
    let known: Vec<_> = (0..sensors)
        .map(|n| (names.intern(&format!("s{n}")), names.intern(&format!("m{}", n % METRICS))))
        .collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut values: Vec<f64> = (0..sensors).map(|_| 50.0 + dice.step() * 40.0).collect();
    let per_tick = (sensors as i64 * length.as_millis() as i64 / EVERY_MS).max(1) as usize;
    let mut offset = 0;
    for n in 0..WARM_UP + readings / per_tick {
        tick += length.as_millis();
        let rows: Vec<Row> = (0..per_tick)
            .map(|_| {
                let at = (offset % sensors as u64) as usize;
                values[at] = (values[at] + dice.step() * 12.0).clamp(0.0, 100.0);
                let pos = LogPos { stream: StreamId::Telemetry, partition: 0, offset };
                offset += 1;
                let (sensor, metric) = known[at];
                Row::Reading(Reading {
                    pos,
                    sensor,
                    metric,
                    ts: tick as i64 - 100,
                    value: values[at],
                    quality: Quality::Good,
                })
            })
            .collect();
        if n == WARM_UP {
            sides.iter_mut().for_each(Side::forget);
        }
        // By turns, so that neither is always the first.
        for side in [n % 2, (n + 1) % 2] {
            sides[side].round(tick, rows.clone())?;
        }
    }
    let counted = (readings / per_tick * per_tick) as f64;
    let [mut few, mut more] = sides;
    let [p50, p99, p99_more] = [few.at(50), few.at(99), more.at(99)];
    let seconds = |side: &Side| side.processor as f64 / 1e9 * 1e6 / counted;
    println!(
        "{{\"readings\":{counted},\"sensors\":{sensors},\"rules\":{rules},\"alert_changes\":{},\
         \"cpu_s_per_million\":{:.2},\"cpu_s_per_million_one_more\":{:.2},\"p50_us\":{},\"p99_us\":{},\
         \"p99_one_more_us\":{},\"p99_ratio\":{:.3}}}",
        few.alerts,
        seconds(&few),
        seconds(&more),
        p50,
        p99,
        p99_more,
        p99_more as f64 / p99.max(1) as f64,
    );
    few.engine.stop()?;
    more.engine.stop()
}
