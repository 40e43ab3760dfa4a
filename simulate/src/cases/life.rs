//! The life of a case, drawn in advance, and the arrivals of new ones.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use time::OffsetDateTime;

use super::{CLASSES, CaseClass, DEPARTMENTS};
use crate::city::Land;
use crate::config::Config;
use crate::json;
use crate::places::within;
use crate::random::{Draw, What, stream};

const MINUTE_MS: f64 = 60_000.0;
const HOUR_MS: f64 = 3_600_000.0;

/// Where reports come from, and how often.
const SOURCES: [(&str, f64); 6] = [
    ("patrol", 46.0),
    ("hotline_12345", 24.0),
    ("public_app", 14.0),
    ("sensor", 8.0),
    ("video", 6.0),
    ("other", 2.0),
];

// How lives differ: shares of the cases that come to the point where it may happen.
const REJECTED: f64 = 0.04;
const VOIDED: f64 = 0.01;
const MERGED: f64 = 0.01;
const RETURNED: f64 = 0.05;
const EXTENDED: f64 = 0.05;
const SUSPENDED: f64 = 0.02;
const OVERDUE: f64 = 0.12;
const FAILED_CHECK: f64 = 0.07;
const REOPENED: f64 = 0.01;
const APPEALED: f64 = 0.15;
const RATED: f64 = 0.5;

/// New cases come as a Poisson stream; this is its state.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    rng: ChaCha8Rng,
    mean_ms: f64,
    /// When the next case is reported; `None` when there are none.
    pub next: Option<i64>,
    count: u64,
}

impl Arrivals {
    pub(crate) fn new(config: &Config, from_ms: i64) -> Self {
        let per_hour = config.cases_per_hour * config.rate;
        let mut arrivals = Arrivals {
            rng: stream(config.seed, What::Arrivals, 0),
            mean_ms: HOUR_MS / per_hour,
            next: (per_hour > 0.0).then_some(from_ms),
            count: 0,
        };
        arrivals.wait();
        arrivals
    }

    /// The number of the case that is reported now; moves on to the next.
    pub(crate) fn take(&mut self) -> u64 {
        self.wait();
        self.count += 1;
        self.count - 1
    }

    fn wait(&mut self) {
        if let Some(next) = &mut self.next {
            *next += self.rng.exponential(self.mean_ms) as i64;
        }
    }
}

/// The events of one case in order, as JSON, with their event times.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub id: String,
    pub events: Vec<(i64, Vec<u8>)>,
    pub rng: ChaCha8Rng,
}

struct Teller<'a> {
    config: &'a Config,
    story: Story,
    now: f64,
}

impl Teller<'_> {
    /// A pause of `low` to `high` ms of real life, at the configured pace; at least 1 ms, so that times differ.
    fn wait(&mut self, low: f64, high: f64) {
        let real = self.story.rng.between(low, high);
        self.now = (self.now + real / self.config.case_pace).floor() + 1.0;
    }

    fn tell(&mut self, event: &str, rest: impl FnOnce(&mut Vec<u8>)) {
        let ts = self.now as i64;
        let mut out = Vec::with_capacity(128);
        json::text(&mut out, "{\"case_id\":\"");
        json::text(&mut out, &self.story.id);
        json::text(&mut out, "\",\"ts\":");
        json::int(&mut out, ts);
        json::text(&mut out, ",\"event\":\"");
        json::text(&mut out, event);
        out.push(b'"');
        rest(&mut out);
        out.push(b'}');
        self.story.events.push((ts, out));
    }

    fn plain(&mut self, event: &str) {
        self.tell(event, |_| {});
    }

    fn chance(&mut self, p: f64) -> bool {
        self.story.rng.chance(p)
    }
}

/// What the ids of a city's cases begin with: the minute in which it began, so that two runs don't share cases.
pub(crate) fn id_prefix(config: &Config) -> String {
    let local = config.start_ms / 1000 + i64::from(config.utc_offset_s);
    let start = OffsetDateTime::from_unix_timestamp(local).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = start.to_calendar_date();
    format!("YA{:02}{:02}{day:02}{:02}{:02}", year % 100, u8::from(month), start.hour(), start.minute())
}

fn id(prefix: &str, number: u64) -> String {
    format!("{prefix}-{number:06}")
}

/// Draws the life of case `number`, which is reported at `ts`.
pub(crate) fn live(config: &Config, land: &Land, prefix: &str, number: u64, ts: i64) -> Story {
    let Land { units, network, places } = land;
    let mut rng = stream(config.seed, What::Case, number);
    let unit = rng.weighted(units.iter().map(|unit| unit.weight), units.iter().map(|unit| unit.weight).sum());
    let class =
        &CLASSES[rng.weighted(CLASSES.iter().map(|c| c.weight), CLASSES.iter().map(|c| c.weight).sum())];
    let source = SOURCES[rng.weighted(SOURCES.iter().map(|s| s.1), SOURCES.iter().map(|s| s.1).sum())].0;
    let grid = &places.grids[rng.random_range(places.grids_of[unit].clone())];
    let at = within(grid, &mut rng);
    let story = Story { id: id(prefix, number), events: Vec::with_capacity(9), rng };
    let mut teller = Teller { config, story, now: ts as f64 };
    let [lon, lat] = units[unit].plane.lon_lat(at);
    teller.tell("reported", |out| {
        json::text(out, ",\"source\":\"");
        json::text(out, source);
        json::text(out, "\",\"class\":\"");
        json::text(out, class.id);
        json::text(out, "\",\"district\":\"");
        json::text(out, &units[unit].adcode);
        json::text(out, "\",\"grid\":\"");
        json::text(out, &grid.code);
        json::text(out, "\",\"lon\":");
        json::number(out, lon, 6);
        json::text(out, ",\"lat\":");
        json::number(out, lat, 6);
        json::text(out, ",\"title\":\"");
        json::text(out, &network.roads[grid.road as usize].name);
        json::text(out, class.zh);
        out.push(b'"');
    });
    teller.decide(class, source, number);
    teller.story
}

impl Teller<'_> {
    /// From the report to the dispatch, or to an early end.
    fn decide(&mut self, class: &CaseClass, source: &str, number: u64) {
        self.wait(2.0 * MINUTE_MS, 15.0 * MINUTE_MS);
        if self.chance(REJECTED) {
            return self.plain("rejected");
        }
        self.plain("filed");
        if self.chance(VOIDED) {
            self.wait(5.0 * MINUTE_MS, 2.0 * HOUR_MS);
            return self.plain("voided");
        }
        if number > 0 && self.chance(MERGED) {
            self.wait(5.0 * MINUTE_MS, 2.0 * HOUR_MS);
            let into = number - 1 - self.story.rng.random_range(0..number.min(50));
            let prefix = self.story.id.split('-').next().unwrap_or_default();
            let into = id(prefix, into);
            return self.tell("merged", |out| {
                json::text(out, ",\"into\":\"");
                json::text(out, &into);
                out.push(b'"');
            });
        }
        self.wait(2.0 * MINUTE_MS, 15.0 * MINUTE_MS);
        let mut department = class.department;
        self.dispatch(class, department);
        if self.chance(RETURNED) {
            self.wait(10.0 * MINUTE_MS, 40.0 * MINUTE_MS);
            self.plain("returned");
            self.wait(5.0 * MINUTE_MS, 20.0 * MINUTE_MS);
            department = (department + 1) % DEPARTMENTS.len();
            self.dispatch(class, department);
        }
        self.handle(class, source);
    }

    fn dispatch(&mut self, class: &CaseClass, department: usize) {
        let pace = self.config.case_pace;
        self.tell("dispatched", |out| {
            json::text(out, ",\"department\":\"");
            json::text(out, DEPARTMENTS[department].id);
            json::text(out, "\",\"limit\":{\"amount\":");
            if pace == 1.0 {
                json::int(out, i64::from(class.amount));
            } else {
                json::number(out, (f64::from(class.amount) / pace).max(0.000_001), 6);
            }
            json::text(out, ",\"unit\":\"");
            json::text(out, class.unit);
            json::text(out, "\"}");
        });
    }

    /// From the dispatch to the end.
    fn handle(&mut self, class: &CaseClass, source: &str) {
        let limit_ms = limit_ms(class);
        if self.chance(EXTENDED) {
            // Asked for before it is overdue.
            self.wait(0.2 * limit_ms, 0.4 * limit_ms);
            self.plain("extended");
        }
        if self.chance(SUSPENDED) {
            self.wait(0.1 * limit_ms, 0.3 * limit_ms);
            self.plain("suspended");
            self.wait(4.0 * HOUR_MS, 48.0 * HOUR_MS);
            self.plain("resumed");
        }
        let overdue = self.chance(OVERDUE);
        if overdue {
            self.wait(1.2 * limit_ms, 2.5 * limit_ms);
        } else {
            self.wait(0.1 * limit_ms, 0.6 * limit_ms);
        }
        self.plain("handled");
        while self.chance(FAILED_CHECK) {
            self.check(false);
            self.wait(0.2 * HOUR_MS, 2.0 * HOUR_MS);
            self.plain("handled");
        }
        self.check(true);
        self.wait(2.0 * MINUTE_MS, 20.0 * MINUTE_MS);
        self.plain("closed");
        if self.chance(REOPENED) {
            self.wait(2.0 * HOUR_MS, 24.0 * HOUR_MS);
            self.plain("reopened");
            self.wait(0.2 * limit_ms, 0.6 * limit_ms);
            self.plain("handled");
            self.check(true);
            self.wait(2.0 * MINUTE_MS, 20.0 * MINUTE_MS);
            self.plain("closed");
        }
        if matches!(source, "hotline_12345" | "public_app") && self.chance(RATED) {
            self.wait(HOUR_MS, 24.0 * HOUR_MS);
            // Most people are content.
            let satisfaction = 5 - (self.story.rng.exponential(0.9) as i64).min(4);
            self.tell("rated", |out| {
                json::text(out, ",\"satisfaction\":");
                json::int(out, satisfaction);
            });
        }
        if overdue && self.chance(APPEALED) {
            self.wait(2.0 * HOUR_MS, 48.0 * HOUR_MS);
            self.plain("appeal_granted");
        }
    }

    fn check(&mut self, passed: bool) {
        self.wait(5.0 * MINUTE_MS, 40.0 * MINUTE_MS);
        self.tell("verified", |out| {
            json::text(out, if passed { ",\"passed\":true" } else { ",\"passed\":false" });
        });
    }
}

/// About how long a limit is on the clock. Working time stands still at noon and at night, hence a little longer.
fn limit_ms(class: &CaseClass) -> f64 {
    let hours = match class.unit {
        "urgent_hour" => 1.0,
        "working_hour" => 1.3,
        _ => 24.0,
    };
    f64::from(class.amount) * hours * HOUR_MS
}
