//! Case events: reported, dispatched with a limit, handled, closed. Some are handled too late, some not at all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Mix, What, district_name};

/// Events per case on average within a run: what the distance between reports follows from.
const EVENTS_PER_CASE: f64 = 3.2;
/// Where reports come from.
const SOURCES: [&str; 4] = ["patrol", "hotline_12345", "public_app", "video"];
/// Limits, quarters of an hour.
const LIMITS: [i64; 4] = [1, 2, 4, 8];
/// Shares of cases that are ever handled, and of those that are closed.
const GOES_ON: (f64, f64) = (0.85, 0.9);

/// The cases; each speaks for itself, in order of event time over all.
pub(super) struct Cases {
    random: ChaCha8Rng,
    districts: u32,
    start_ms: i64,
    between_ms: f64,
    n: u64,
    waiting: BinaryHeap<Reverse<(i64, u64, String)>>,
    seq: u64,
}

impl Cases {
    pub(super) fn new(mix: &Mix) -> Self {
        Self {
            random: mix.random(What::Case, 0),
            districts: mix.districts,
            start_ms: mix.start_ms,
            between_ms: mix.interval_ms(1, mix.shares()[2]) * EVENTS_PER_CASE,
            n: 0,
            waiting: BinaryHeap::new(),
            seq: 0,
        }
    }

    /// The next record into `line`, without its closing brace; its event time.
    pub(super) fn next(&mut self, line: &mut String) -> i64 {
        loop {
            let report = self.start_ms + (self.n as f64 * self.between_ms) as i64;
            if self.waiting.peek().is_none_or(|Reverse((ts, ..))| *ts >= report) {
                self.report(report);
            }
            if let Some(Reverse((ts, _, text))) = self.waiting.pop() {
                line.push_str(&text);
                return ts;
            }
        }
    }

    fn report(&mut self, ts: i64) {
        let case = self.n;
        self.n += 1;
        let random = &mut self.random;
        let source = SOURCES[random.random_range(0..SOURCES.len())];
        let district = district_name(random.random_range(0..self.districts));
        let class = random.random_range(1..=20);
        let quarters = LIMITS[random.random_range(0..LIMITS.len())];
        let department = random.random_range(1..=9);
        let dispatched = ts + random.random_range(20_000..240_000);
        let handled = dispatched + random.random_range(60_000..quarters * 1_200_000);
        let closed = handled + random.random_range(30_000..300_000);
        let goes_on = (random.random_bool(GOES_ON.0), random.random_bool(GOES_ON.1));
        self.say(ts, case, "reported", format_args!(
            ",\"source\":\"{source}\",\"class\":\"event:{class:04}\",\"district\":\"{district}\",\"title\":\"暴露垃圾\""
        ));
        let amount = quarters as f64 / 4.0;
        self.say(dispatched, case, "dispatched", format_args!(
            ",\"department\":\"department-{department}\",\"limit\":{{\"amount\":{amount},\"unit\":\"urgent_hour\"}}"
        ));
        if goes_on.0 {
            self.say(handled, case, "handled", format_args!(""));
            if goes_on.1 {
                self.say(closed, case, "closed", format_args!(""));
            }
        }
    }

    fn say(&mut self, ts: i64, case: u64, event: &str, rest: std::fmt::Arguments<'_>) {
        let text = format!("{{\"case_id\":\"c-{case:07}\",\"ts\":{ts},\"event\":\"{event}\"{rest}");
        self.waiting.push(Reverse((ts, self.seq, text)));
        self.seq += 1;
    }
}
