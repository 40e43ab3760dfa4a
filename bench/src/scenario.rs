//! Scenarios: what is run, declared in files (`bench/scenarios/*.toml`).
//!
//! A scenario is either a throughput run (`[throughput]`: contestants over a workload, in interleaved rounds, at several
//! sizes) or an open-loop latency run (`[latency]`), or both. Unknown keys are errors.

use std::path::{Path, PathBuf};

use model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::city5::Mix;

/// What is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: that of its file.
    #[serde(default)]
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// The workload.
    #[serde(default)]
    pub workload: Mix,
    /// Contestants over files.
    pub throughput: Option<Throughput>,
    /// Open-loop load on a running engine.
    pub latency: Option<Latency>,
}

/// Contestants over the workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Who takes part (see [`crate::contestants`]).
    pub contestants: Vec<String>,
    /// Rounds, interleaved: each round runs every contestant once.
    #[serde(default = "five")]
    pub rounds: u32,
    /// Views that Chengmai keeps.
    #[serde(default = "city5_views")]
    pub views: Vec<String>,
    /// Distance between Chengmai's ticks, ms.
    #[serde(default = "second")]
    pub tick_ms: u64,
    /// Numbers of worker threads that Chengmai runs with.
    #[serde(default = "one_worker")]
    pub workers: Vec<u16>,
    /// Sizes: each multiplies the workload's entities.
    #[serde(default = "one_size")]
    pub keys: Vec<f64>,
    /// Lengths: each multiplies the workload's records.
    #[serde(default = "one_size")]
    pub lengths: Vec<f64>,
}

fn five() -> u32 {
    5
}

fn second() -> u64 {
    1000
}

fn one_worker() -> Vec<u16> {
    vec![1]
}

fn one_size() -> Vec<f64> {
    vec![1.0]
}

/// The views of the reference workload.
pub fn city5_views() -> Vec<String> {
    ["alerts", "swept_lengths", "case_rates", "sensor_windows", "workload_scores"].map(str::to_owned).into()
}

/// Open-loop load on a running engine: records are sent when they are due, whatever the engine does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Records a second.
    pub rate: f64,
    /// Load before anything counts, s.
    pub warmup_s: f64,
    /// Load that counts, s.
    pub seconds: f64,
    /// Distance between ticks, ms.
    pub tick_ms: u64,
    /// Views that are kept.
    #[serde(default = "city5_views")]
    pub views: Vec<String>,
    /// Worker threads.
    #[serde(default = "one")]
    pub workers: u16,
    /// Whether ClickHouse runs and rows are looked for in it.
    #[serde(default)]
    pub clickhouse: bool,
    /// Which log carries the records.
    #[serde(default)]
    pub log: LogKind,
    /// Distance between bursts, ms: all records of so long are due at once. Each burst is one durable append per stream,
    /// which takes the local log a write to the disk.
    #[serde(default = "five_ms")]
    pub burst_ms: u64,
    /// Distance between probes, ms: a probe is the record whose way is followed.
    #[serde(default = "fifty")]
    pub probe_every_ms: u64,
    /// What a probe is.
    #[serde(default)]
    pub probe: Probe,
    /// Shares of the workload that are in the log before the engine starts, one run each: the state that probes meet.
    #[serde(default = "nothing")]
    pub preload: Vec<f64>,
    /// The engine stops for this long in the middle, ms: what the harness must see. 0 = it does not.
    #[serde(default)]
    pub stall_ms: u64,
}

/// Which log carries the records of a latency run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// The embedded one.
    #[default]
    Local,
    /// A Kafka broker of its own.
    Kafka,
}

fn five_ms() -> u64 {
    5
}

/// The record whose way is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A reading of now, of a sensor of its own.
    #[default]
    Reading,
    /// A reading of a sensor of the workload, in the middle of what it has said already.
    Late,
    /// A sensor of the workload moves to another district, and everything it has said with it.
    Edit,
}

fn nothing() -> Vec<f64> {
    vec![0.0]
}

fn one() -> u16 {
    1
}

fn fifty() -> u64 {
    50
}

impl Scenario {
    /// Reads the scenario called `name`: a path to a TOML file, or a file of `root`/scenarios without its ending.
    ///
    /// # Errors
    /// The user's: no such scenario (with those there are), or something wrong in it.
    pub fn read(name: &str, root: &Path) -> Result<Self> {
        let folder = root.join("scenarios");
        let path = match name.ends_with(".toml") {
            true => PathBuf::from(name),
            false => folder.join(format!("{name}.toml")),
        };
        let text = std::fs::read_to_string(&path).map_err(|e| {
            let names = names(&folder).join(", ");
            Error::user(format!("scenario {name}: {} cannot be read; there are {names}", path.display()))
                .caused_by(e)
        })?;
        let mut scenario: Self =
            toml::from_str(&text).map_err(|e| Error::user(path.display().to_string()).caused_by(e))?;
        scenario.name = path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
        scenario.validate(&path)?;
        Ok(scenario)
    }

    fn validate(&self, path: &Path) -> Result<()> {
        self.workload.validate()?;
        let wrong = |what: &str| Err(Error::user(format!("{}: {what}", path.display())));
        if self.throughput.is_none() && self.latency.is_none() {
            return wrong("expected a section [throughput] or [latency]");
        }
        if let Some(run) = &self.throughput
            && (run.rounds == 0 || run.workers.is_empty() || run.keys.is_empty() || run.lengths.is_empty())
        {
            return wrong("throughput: expected at least one round, number of workers, size and length");
        }
        if let Some(run) = &self.latency
            && (run.rate < 0.0
                || run.seconds <= 0.0
                || run.tick_ms == 0
                || run.probe_every_ms == 0
                || run.burst_ms == 0
                || run.preload.is_empty())
        {
            return wrong(
                "latency: expected a rate, and positive seconds, tick_ms, burst_ms and probe_every_ms, and a preload",
            );
        }
        Ok(())
    }
}

/// The scenarios in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Scenario, names};

    #[test]
    fn every_shipped_scenario_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let all = names(&root.join("scenarios"));
        assert!(all.contains(&"city-5".to_owned()), "{all:?}");
        for name in all {
            let scenario = Scenario::read(&name, root).unwrap();
            assert!(scenario.name == name && !scenario.about.is_empty());
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("x.toml");
            std::fs::write(&path, text).unwrap();
            let error = Scenario::read(path.to_str().unwrap(), folder.path()).unwrap_err();
            format!("{error} {:?}", std::error::Error::source(&error))
        };
        assert!(read("about = \"\"").contains("[throughput] or [latency]"));
        assert!(read("about = \"\"\n[workload]\nkeys = 100").contains("workload.keys is 100"));
        assert!(read("about = \"\"\n[workload]\nkey = 1").contains("key"));
        assert!(
            read("about = \"\"\n[throughput]\ncontestants = []\nrounds = 0").contains("at least one round")
        );
        let error = Scenario::read("nothing", Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_err().to_string();
        assert!(error.contains("city-5"), "{error}");
    }
}
