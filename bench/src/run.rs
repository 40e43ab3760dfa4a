//! A scenario is run: workloads made, contestants in interleaved rounds, figures written.

use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Error, Result};
use serde_json::Value as Json;

use crate::city5::{Manifest, Mix, generate};
use crate::contestants::{self, Outcome, Task, finish, has_workers, last_json};
use crate::results::{Absent, Contestant, Results};
use crate::scenario::{Latency, Scenario, Throughput};
use crate::{latency, machine, plot};

/// An instant long after every workload, Unix ms: the year 2099.
const AFTER_MS: i64 = 4_070_908_800_000;

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with scenarios, contestants and the reference.
    pub root: PathBuf,
    /// Chengmai's executable.
    pub program: PathBuf,
    /// Where results go.
    pub output: PathBuf,
    /// Only these contestants.
    pub contestants: Option<Vec<String>>,
    /// Another number of rounds.
    pub rounds: Option<u32>,
    /// Another number of records.
    pub records: Option<u64>,
    /// Now, Unix ms.
    pub now_ms: i64,
}

/// A workload with its answers.
struct Prepared {
    keys: f64,
    length: f64,
    input: PathBuf,
    expected: PathBuf,
    expected_after: PathBuf,
    manifest: Manifest,
}

/// Runs a scenario and writes `result.json`, `result.md` and plots; `say` hears how it goes.
///
/// # Errors
/// When something cannot be made or a contestant that is there fails. Wrong answers are no error: they are in the result.
pub fn run(mut scenario: Scenario, options: &Options, say: &mut dyn FnMut(&str)) -> Result<Results> {
    std::fs::create_dir_all(&options.output)
        .map_err(|e| Error::user(format!("{}: cannot be made", options.output.display())).caused_by(e))?;
    if let Some(records) = options.records {
        scenario.workload.records = records;
    }
    let mut results = Results {
        scenario: scenario.clone(),
        started_ms: options.now_ms,
        machine: machine::Machine::here(),
        load: [machine::load(); 2],
        commit: machine::commit(&options.root),
        workloads: Vec::new(),
        contestants: Vec::new(),
        absent: Vec::new(),
    };
    if let Some(run) = &scenario.throughput {
        throughput(&scenario, run, options, &mut results, say)?;
    }
    if let Some(run) = &scenario.latency {
        open_loop(&scenario, run, options, &mut results, say)?;
    }
    results.load[1] = machine::load();
    results.write(&options.output)?;
    plot::all(&results, &options.output)?;
    Ok(results)
}

fn throughput(
    scenario: &Scenario,
    run: &Throughput,
    options: &Options,
    results: &mut Results,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let contestants = options.contestants.as_ref().unwrap_or(&run.contestants);
    let mut workloads = Vec::new();
    for keys in &run.keys {
        for length in &run.lengths {
            workloads.push(prepare(&scenario.workload, (*keys, *length), options, say)?);
        }
    }
    results.workloads = workloads.iter().map(|workload| workload.manifest.clone()).collect();
    let scratch = options.output.join("scratch");
    for round in 1..=options.rounds.unwrap_or(run.rounds) {
        for workload in &workloads {
            for name in contestants {
                let workers: &[u16] = if has_workers(name) { &run.workers } else { &[0] };
                for workers in workers {
                    if results.absent.iter().any(|absent| absent.name == *name) {
                        continue;
                    }
                    fresh(&scratch)?;
                    let task = Task {
                        program: options.program.clone(),
                        root: options.root.clone(),
                        input: workload.input.clone(),
                        expected: workload.expected.clone(),
                        expected_after: workload.expected_after.clone(),
                        scratch: scratch.clone(),
                        views: run.views.clone(),
                        tick_ms: run.tick_ms,
                        workers: (*workers).max(1),
                        until_ms: workload.manifest.until_ms,
                    };
                    let outcome = contestants::run(name, &task)?;
                    enter(results, name, (workload.keys, workload.length, *workers), outcome, round, say);
                }
            }
        }
        results.load[1] = machine::load();
        // What is known so far stays, should a later round fail.
        results.write(&options.output)?;
    }
    std::fs::remove_dir_all(&scratch)
        .map_err(|e| Error::external(format!("{}: cannot be removed", scratch.display())).caused_by(e))
}

/// Enters what came of a run.
fn enter(
    results: &mut Results,
    name: &str,
    (keys, length, workers): (f64, f64, u16),
    outcome: Outcome,
    round: u32,
    say: &mut dyn FnMut(&str),
) {
    let ran = match outcome {
        Outcome::Ran(ran) => ran,
        Outcome::Absent(reason) => {
            say(&format!("{name} cannot be installed: {reason}"));
            results.absent.push(Absent { name: name.to_owned(), reason });
            return;
        }
    };
    let same =
        |c: &Contestant| c.name == name && c.keys == keys && c.length == length && c.workers == workers;
    let at = match results.contestants.iter().position(same) {
        Some(at) => at,
        None => {
            let new = Contestant {
                name: name.to_owned(),
                version: ran.version.clone(),
                keys,
                length,
                workers,
                records: ran.records,
                correct: ran.verdict.as_ref().map(|_| true),
                ..Contestant::default()
            };
            results.contestants.push(new);
            results.contestants.len() - 1
        }
    };
    let contestant = &mut results.contestants[at];
    contestant.add(ran.round);
    contestant.notes = ran.notes;
    if let Some(verdict) = ran.verdict {
        contestant.correct = Some(contestant.correct != Some(false) && verdict.correct());
        // A round that was wrong is not forgotten because a later one was right.
        if contestant.verdict.wrong.is_empty() {
            contestant.verdict = verdict;
        }
    }
    let right = match contestant.correct {
        None => "",
        Some(true) => ", right",
        Some(false) => ", WRONG",
    };
    say(&format!(
        "round {round}: {name} (keys × {keys}, length × {length}, {workers} workers): {:.2} s, {:.2} CPU-s per million, {} MiB{right}",
        ran.round.seconds,
        ran.round.cpu_seconds / ran.records.max(1) as f64 * 1e6,
        ran.round.peak_rss_bytes >> 20,
    ));
}

fn open_loop(
    scenario: &Scenario,
    run: &Latency,
    options: &Options,
    results: &mut Results,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let scratch = options.output.join("scratch");
    for preload in &run.preload {
        fresh(&scratch)?;
        say(&format!(
            "{} records/s for {} s after {} s of warm-up, over {preload} of the workload",
            run.rate, run.seconds, run.warmup_s
        ));
        let contestant = latency::run(scenario, run, options, &scratch, *preload, say)?;
        results.contestants.push(contestant);
    }
    std::fs::remove_dir_all(&scratch)
        .map_err(|e| Error::external(format!("{}: cannot be removed", scratch.display())).caused_by(e))
}

/// An empty folder.
fn fresh(folder: &Path) -> Result<()> {
    let failed = |e| Error::external(format!("{}: cannot be emptied", folder.display())).caused_by(e);
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    std::fs::create_dir_all(folder).map_err(failed)
}

/// The workload of a size and length, and its answers; what is there from an earlier run is used again.
fn prepare(
    mix: &Mix,
    (keys, length): (f64, f64),
    options: &Options,
    say: &mut dyn FnMut(&str),
) -> Result<Prepared> {
    let mix = Mix { keys: mix.keys * keys, records: (mix.records as f64 * length) as u64, ..mix.clone() };
    let folder = options.output.join(format!("workload-{}-{}", mix.records, mix.keys));
    let (input, expected, expected_after) =
        (folder.join("input"), folder.join("expected"), folder.join("expected-after"));
    let there = Manifest::of(&input, &mix).is_some();
    let manifest = generate(&mix, &input)?;
    say(&format!("workload: {} records, {} MiB", manifest.records, manifest.bytes >> 20));
    for (answers, until) in [(&expected, manifest.until_ms), (&expected_after, AFTER_MS)] {
        // The last file that the reference writes.
        if there && answers.join("scores.csv").exists() {
            continue;
        }
        fresh(answers)?;
        let said = reference(&options.root, &input, answers, until)?;
        say(&format!(
            "reference: DuckDB {}, {:.1} s",
            said["version"],
            said["seconds"].as_f64().unwrap_or(0.0)
        ));
    }
    Ok(Prepared { keys, length, input, expected, expected_after, manifest })
}

/// The right answers, by the batch reference.
///
/// # Errors
/// When it cannot be installed or fails.
pub fn reference(root: &Path, input: &Path, answers: &Path, until_ms: i64) -> Result<Json> {
    let mut command = Command::new(root.join("reference.sh"));
    command.arg(input).arg(answers).args(["--until", &until_ms.to_string()]);
    last_json("reference", &finish("reference", &mut command)?)
}
