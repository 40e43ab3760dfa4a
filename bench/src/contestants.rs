//! Who takes part: Chengmai itself in several ways, the floor, and peers in folders of their own.
//!
//! **Meaning.** A contestant reads the files of a workload, writes its answers, and says in one line of JSON what it
//! cost: `version`, `records`, `seconds`, `cpu_seconds`, `peak_rss_bytes`. Built in are
//!
//! | name | what |
//! |---|---|
//! | `decode` | Chengmai reads and decodes and keeps no view: the limit |
//! | `floor` | hash maps without any engine ([`crate::floor`]) |
//! | `replay` | Chengmai from files |
//! | `replay-3` | the same with the three views that peers in SQL keep too |
//! | `local` | Chengmai's whole engine, from a backlog in its local log ([`crate::backlog`]) |
//! | `kafka` | the same from a Kafka broker |
//! | `kafka-read` | the same records read from Kafka and dropped |
//! | `clickhouse` | materialized views on the embedded ClickHouse ([`crate::materialized`]) |
//!
//! Every other name is a folder in `bench/contestants/` with an executable `run INPUT OUTPUT SCRATCH`, which installs what
//! it needs the first time. One that cannot be installed exits with 77 and says why on its last line of stderr.
//!
//! **State.** None beside the files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use model::{Error, Result};
use serde_json::Value as Json;

use crate::answers::{self, Verdict};
use crate::results::Round;
use crate::{backlog, materialized, own};

/// The exit code of a contestant that cannot be installed.
const NOT_THERE: i32 = 77;
/// Contestants that give no answers.
const WITHOUT_ANSWERS: [&str; 2] = ["decode", "kafka-read"];
/// Contestants of which the number of workers is a setting.
const WITH_WORKERS: [&str; 4] = ["replay", "replay-3", "local", "kafka"];
/// The views that the peers in SQL can keep too.
const THREE: [&str; 3] = ["swept_lengths", "case_rates", "sensor_windows"];

/// What a contestant is given.
#[derive(Clone, Debug)]
pub struct Task {
    /// Chengmai's executable.
    pub program: PathBuf,
    /// The folder with scenarios, contestants and the reference.
    pub root: PathBuf,
    /// The workload's files.
    pub input: PathBuf,
    /// The right answers at the end of the workload.
    pub expected: PathBuf,
    /// The right answers long after the workload: what an engine on the wall clock gives.
    pub expected_after: PathBuf,
    /// A folder of its own, empty.
    pub scratch: PathBuf,
    /// Chengmai's views.
    pub views: Vec<String>,
    /// Chengmai's tick, ms.
    pub tick_ms: u64,
    /// Chengmai's workers.
    pub workers: u16,
    /// The instant at which the answers are asked for, Unix ms.
    pub until_ms: i64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ran.
    Ran(Box<Ran>),
    /// It could not be installed, and why.
    Absent(String),
}

/// What a contestant said and gave.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// Its version.
    pub version: String,
    /// Records read.
    pub records: u64,
    /// What it cost.
    pub round: Round,
    /// Whether its answers are right; `None` where it has none to give.
    pub verdict: Option<Verdict>,
    /// What else it said.
    pub notes: Option<Json>,
}

/// Whether a contestant runs once per number of workers.
pub fn has_workers(name: &str) -> bool {
    WITH_WORKERS.contains(&name)
}

/// Runs a contestant once.
///
/// # Errors
/// When it fails: a contestant that is there must come through.
pub fn run(name: &str, task: &Task) -> Result<Outcome> {
    let output = task.scratch.join("answers");
    std::fs::create_dir_all(&output).map_err(|e| failed(name, "its folder cannot be made").caused_by(e))?;
    let said = match name {
        "decode" => own::decode(task)?,
        "floor" => own::floor(task, &output)?,
        "replay" => own::replay(task, &output)?,
        "replay-3" => {
            let views = THREE.map(str::to_owned).into();
            own::replay(&Task { views, ..task.clone() }, &output)?
        }
        "local" => backlog::run_local(task, &output)?,
        "kafka" => match backlog::broker(&task.program, &task.root, &task.scratch)? {
            Ok(broker) => backlog::run_kafka(task, &output, &broker)?,
            Err(reason) => return Ok(Outcome::Absent(reason)),
        },
        "kafka-read" => match backlog::broker(&task.program, &task.root, &task.scratch)? {
            Ok(broker) => backlog::read_only(task, &broker)?,
            Err(reason) => return Ok(Outcome::Absent(reason)),
        },
        "clickhouse" => match materialized::run(task, &output)? {
            Ok(said) => said,
            Err(reason) => return Ok(Outcome::Absent(reason)),
        },
        other => match external(other, task, &output)? {
            Ok(said) => said,
            Err(reason) => return Ok(Outcome::Absent(reason)),
        },
    };
    let number = |key: &str| {
        said[key].as_f64().ok_or_else(|| failed(name, &format!("it did not say `{key}`: {said}")))
    };
    let round = Round {
        seconds: number("seconds")?,
        cpu_seconds: number("cpu_seconds")?,
        peak_rss_bytes: number("peak_rss_bytes")? as u64,
    };
    let expected = match backlog::on_the_wall_clock(name) {
        true => &task.expected_after,
        false => &task.expected,
    };
    let verdict = match WITHOUT_ANSWERS.contains(&name) {
        true => None,
        false => Some(answers::compare(&output, expected)?),
    };
    Ok(Outcome::Ran(Box::new(Ran {
        version: said["version"].as_str().unwrap_or_default().to_owned(),
        records: number("records")? as u64,
        round,
        verdict,
        notes: said.get("notes").filter(|notes| !notes.is_null()).cloned(),
    })))
}

/// A contestant in a folder of its own.
fn external(name: &str, task: &Task, output: &Path) -> Result<std::result::Result<Json, String>> {
    let script = task.root.join("contestants").join(name).join("run");
    if !script.exists() {
        return Err(Error::user(format!("contestant {name}: there is no {}", script.display())));
    }
    let mut command = Command::new(&script);
    command.arg(&task.input).arg(output).arg(&task.scratch).env("CHENGMAI", &task.program);
    let done = finish(name, &mut command)?;
    if done.status.code() == Some(NOT_THERE) {
        let text = String::from_utf8_lossy(&done.stderr);
        let reason = text.lines().rev().find(|line| !line.trim().is_empty());
        return Ok(Err(reason.unwrap_or("it does not say why").to_owned()));
    }
    last_json(name, &done).map(Ok)
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started.
pub fn finish(name: &str, command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(name, &format!("{command:?} cannot be started")).caused_by(e))
}

/// The last line of a command's output, which is JSON.
///
/// # Errors
/// When it failed, with the end of what it wrote on stderr, or said no such line.
pub fn last_json(name: &str, done: &Output) -> Result<Json> {
    let text = String::from_utf8_lossy(&done.stdout);
    let json = text.lines().rev().find_map(|line| serde_json::from_str::<Json>(line).ok());
    match json.filter(|json| done.status.success() && json.is_object()) {
        Some(json) => Ok(json),
        None => {
            let errors = String::from_utf8_lossy(&done.stderr);
            let last: Vec<&str> = errors.lines().rev().take(12).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            Err(failed(name, &format!("{}: {}", done.status, last.join("\n"))))
        }
    }
}

/// A contestant's failure.
pub fn failed(name: &str, what: &str) -> Error {
    Error::external(format!("contestant {name}: {what}"))
}
