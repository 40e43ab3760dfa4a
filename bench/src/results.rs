//! Results: what a run found, as JSON, and as Markdown for people.
//!
//! Of every figure the median over the rounds is the figure, and the least and greatest are beside it: on a shared machine
//! the same binary varies by 15–20 %, so differences below a quarter say nothing.

use std::fmt::Write as _;
use std::path::Path;

use model::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::answers::Verdict;
use crate::city5::Manifest;
use crate::machine::Machine;
use crate::scenario::Scenario;

/// Name of the file.
pub const FILE: &str = "result.json";

/// What a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The scenario as it was run.
    pub scenario: Scenario,
    /// When it began, Unix ms.
    pub started_ms: i64,
    /// The machine.
    pub machine: Machine,
    /// Load averages when it began and when it ended.
    pub load: [[f64; 3]; 2],
    /// The commit of the source tree.
    pub commit: String,
    /// The workload's files, one per size and length.
    pub workloads: Vec<Manifest>,
    /// Who took part, with the median figures.
    pub contestants: Vec<Contestant>,
    /// Who could not, and why.
    pub absent: Vec<Absent>,
}

/// A contestant at one size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contestant {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Multiplier of the workload's entities.
    pub keys: f64,
    /// Multiplier of the workload's records.
    pub length: f64,
    /// Worker threads; 0 where there is no such setting.
    pub workers: u16,
    /// Records read, reference data included.
    pub records: u64,
    /// Wall time, s: median.
    pub seconds: f64,
    /// CPU time, user and system, s: median.
    pub cpu_seconds: f64,
    /// CPU seconds per million records: median.
    pub cpu_per_million: f64,
    /// Greatest resident memory, bytes: median.
    pub peak_rss_bytes: u64,
    /// Whether all that it answered was right in every round; null for one that has no answers to give.
    pub correct: Option<bool>,
    /// What it answered, and what was wrong.
    pub verdict: Verdict,
    /// Latencies, ms; null for a throughput run.
    pub latency_ms: Option<Json>,
    /// What it said of itself besides.
    pub notes: Option<Json>,
    /// Every round.
    pub rounds: Vec<Round>,
}

/// One run of one contestant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Wall time, s.
    pub seconds: f64,
    /// CPU time, s.
    pub cpu_seconds: f64,
    /// Greatest resident memory, bytes.
    pub peak_rss_bytes: u64,
}

/// Somebody who could not take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The median of some figures; 0 of none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        n if n % 2 == 1 => figures[n / 2],
        n => f64::midpoint(figures[n / 2 - 1], figures[n / 2]),
    }
}

impl Contestant {
    /// Takes another round in and sets the medians anew.
    pub fn add(&mut self, round: Round) {
        self.rounds.push(round);
        let of = |figure: fn(&Round) -> f64| median(self.rounds.iter().map(figure).collect());
        self.seconds = of(|round| round.seconds);
        self.cpu_seconds = of(|round| round.cpu_seconds);
        self.peak_rss_bytes = of(|round| round.peak_rss_bytes as f64) as u64;
        self.cpu_per_million = self.cpu_seconds / self.records.max(1) as f64 * 1e6;
    }

    fn range(&self, figure: impl Fn(&Round) -> f64, decimals: usize) -> String {
        let figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        let least = figures.iter().copied().fold(f64::MAX, f64::min);
        let greatest = figures.iter().copied().fold(f64::MIN, f64::max);
        let middle = median(figures);
        match self.rounds.len() {
            0 | 1 => format!("{middle:.decimals$}"),
            _ => format!("{middle:.decimals$} ({least:.decimals$} – {greatest:.decimals$})"),
        }
    }
}

impl Results {
    /// Reads the results in a folder, or a file.
    ///
    /// # Errors
    /// The user's: it cannot be read, or is no result.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::user(format!("{}: cannot be read", path.display())).caused_by(e))?;
        serde_json::from_str(&text)
            .map_err(|e| Error::user(format!("{}: not the result of a bench", path.display())).caused_by(e))
    }

    /// Writes `result.json` and `result.md` into a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let failed = |e| Error::external(format!("{}: cannot be written", folder.display())).caused_by(e);
        let json = serde_json::to_string_pretty(self)
            .map_err(|e| Error::internal("results cannot be written as JSON").caused_by(e))?;
        std::fs::write(folder.join(FILE), json).map_err(failed)?;
        std::fs::write(folder.join("result.md"), self.markdown()).map_err(failed)
    }

    /// Whether no contestant gave a wrong answer.
    pub fn correct(&self) -> bool {
        self.contestants.iter().all(|contestant| contestant.correct != Some(false))
    }

    /// The table.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n\n", self.scenario.name, self.scenario.about);
        let machine = &self.machine;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} cores ({}), {} GiB, Linux {}; load {:.1} before, {:.1} after; commit {}.\n",
            machine.cores,
            machine.cpu,
            machine.memory_bytes >> 30,
            machine.kernel,
            self.load[0][0],
            self.load[1][0],
            self.commit
        );
        for workload in &self.workloads {
            let _ = writeln!(
                text,
                "Workload: {} records and {} of reference data, {} MiB, seed {}, keys × {}.",
                workload.records,
                workload.reference,
                workload.bytes >> 20,
                workload.mix.seed,
                workload.mix.keys
            );
        }
        if self.contestants.iter().any(|contestant| !contestant.rounds.is_empty()) {
            self.throughput_table(&mut text);
        }
        for contestant in self.contestants.iter().filter(|contestant| contestant.latency_ms.is_some()) {
            crate::latency::table(contestant, &mut text);
        }
        for contestant in &self.contestants {
            for wrong in &contestant.verdict.wrong {
                let _ = writeln!(text, "\nWrong: {}: {wrong}", contestant.name);
            }
        }
        if !self.absent.is_empty() {
            text.push_str("\nNot there:\n");
            for absent in &self.absent {
                let _ = writeln!(text, "- {}: {}", absent.name, absent.reason);
            }
        }
        text
    }

    fn throughput_table(&self, text: &mut String) {
        text.push_str(
            "\n| contestant | version | keys × | length × | workers | records/s | CPU-s per million | peak MiB | answers | right |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for c in self.contestants.iter().filter(|contestant| !contestant.rounds.is_empty()) {
            let million = c.records as f64 / 1e6;
            let right = match c.correct {
                None => "–",
                Some(true) => "yes",
                Some(false) => "**no**",
            };
            let workers = if c.workers == 0 { "–".to_owned() } else { c.workers.to_string() };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {workers} | {:.0} | {} | {} | {} | {right} |",
                c.name,
                c.version,
                c.keys,
                c.length,
                c.records as f64 / c.seconds.max(1e-9),
                c.range(|round| round.cpu_seconds / million, 2),
                c.range(|round| round.peak_rss_bytes as f64 / f64::from(1 << 20), 0),
                if c.verdict.answered.is_empty() { "–".to_owned() } else { c.verdict.answered.join(", ") },
            );
        }
    }
}

/// Two results beside each other, as ratios of B to A.
pub fn compare(a: &Results, b: &Results) -> String {
    let mut text = String::from(
        "| contestant | keys × | length × | workers | figure | A | B | B / A |\n|---|---|---|---|---|---|---|---|\n",
    );
    for before in &a.contestants {
        let same = |c: &&Contestant| {
            (&c.name, c.keys, c.length, c.workers)
                == (&before.name, before.keys, before.length, before.workers)
        };
        let Some(after) = b.contestants.iter().find(same) else { continue };
        let mut line = |figure: &str, a: f64, b: f64| {
            let ratio = if a > 0.0 { format!("{:.2}", b / a) } else { "–".to_owned() };
            let (name, keys, length, workers) = (&before.name, before.keys, before.length, before.workers);
            let _ = writeln!(
                text,
                "| {name} | {keys} | {length} | {workers} | {figure} | {a:.3} | {b:.3} | {ratio} |"
            );
        };
        if !before.rounds.is_empty() && !after.rounds.is_empty() {
            line("CPU-s per million", before.cpu_per_million, after.cpu_per_million);
            line("seconds", before.seconds, after.seconds);
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            line("peak MiB", mib(before.peak_rss_bytes), mib(after.peak_rss_bytes));
        }
        if let (Some(Json::Object(a)), Some(Json::Object(b))) = (&before.latency_ms, &after.latency_ms) {
            for (stage, figures) in a {
                for figure in ["p50", "p99", "p999", "max"] {
                    let of = |figures: &Json| figures[figure].as_f64();
                    if let (Some(a), Some(b)) = (of(figures), b.get(stage).and_then(of)) {
                        line(&format!("{stage} {figure} ms"), a, b);
                    }
                }
            }
        }
    }
    text.push_str("\nA ratio between 0.8 and 1.25 says nothing on a shared machine.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::{Contestant, Round, median};

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(
            [median(vec![]), median(vec![3.0]), median(vec![9.0, 1.0, 2.0]), median(vec![1.0, 2.0])],
            [0.0, 3.0, 2.0, 1.5]
        );
        let mut contestant = Contestant { records: 2_000_000, ..Contestant::default() };
        for cpu_seconds in [3.0, 1.0, 2.0] {
            contestant.add(Round { seconds: 1.0, cpu_seconds, peak_rss_bytes: 10 });
        }
        assert_eq!((contestant.cpu_seconds, contestant.cpu_per_million), (2.0, 1.0));
        assert_eq!(contestant.range(|round| round.cpu_seconds, 1), "2.0 (1.0 – 3.0)");
    }
}
