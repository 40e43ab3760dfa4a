//! `chengmai bench`: throughput and latency runs, and their comparison.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::bench::results::{Results, compare};
use ::bench::run::{Options, run as run_scenario};
use ::bench::scenario::Scenario;
use clap::{Args, Subcommand};
use ingest::clock::wall_ms;
use ingest::log::{POLL, READ_AT_ONCE, Source};
use model::{Error, Result, StreamId};

use crate::city::{live_config, open_log};
use crate::commands::serve::ConfigArgs;

/// Throughput and latency runs.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// A scenario of bench/scenarios, or a file of one
    #[arg(required = true)]
    scenario: Option<String>,
    /// Folder for result.json, result.md and the plots; workloads stay there and are used again
    #[arg(long, required = true)]
    output: Option<PathBuf>,
    /// Only these contestants, separated by commas
    #[arg(long, value_delimiter = ',')]
    contestants: Option<Vec<String>>,
    /// Another number of rounds
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Another number of records
    #[arg(long)]
    records: Option<u64>,
    /// Folder with scenarios, contestants and the reference
    #[arg(long, default_value = "bench")]
    root: PathBuf,
}

#[derive(Subcommand, Debug)]
enum BenchCommand {
    /// Two results beside each other, as ratios of B to A
    Compare {
        /// A folder with a result.json, or the file
        a: PathBuf,
        /// Another
        b: PathBuf,
    },
    /// Only the files of a scenario's workload
    Generate {
        /// A scenario of bench/scenarios, or a file of one
        scenario: String,
        /// Folder for the files
        #[arg(long)]
        output: PathBuf,
        /// Folder with scenarios
        #[arg(long, default_value = "bench")]
        root: PathBuf,
    },
    /// The contestant without an engine
    #[command(hide = true)]
    Floor {
        /// Folder of a workload
        input: PathBuf,
        /// Folder for its answers
        output: PathBuf,
    },
    /// Reads every record of the log and drops it
    #[command(hide = true)]
    ReadLog(ConfigArgs),
}

/// Runs the command. A wrong answer is an error, a slow one is not.
///
/// # Errors
/// When the scenario is wrong, something fails, or an answer is wrong.
pub fn run(args: &BenchArgs) -> Result<()> {
    match (&args.command, &args.scenario, &args.output) {
        (Some(BenchCommand::Compare { a, b }), ..) => {
            crate::say(&compare(&Results::read(a)?, &Results::read(b)?));
            Ok(())
        }
        (Some(BenchCommand::Generate { scenario, output, root }), ..) => {
            let manifest = ::bench::city5::generate(&Scenario::read(scenario, root)?.workload, output)?;
            crate::say(&format!("{} records in {}", manifest.records, output.display()));
            Ok(())
        }
        (Some(BenchCommand::Floor { input, output }), ..) => counted(|| ::bench::floor::run(input, output)),
        (Some(BenchCommand::ReadLog(config)), ..) => counted(|| read_log(config)),
        (None, Some(scenario), Some(output)) => measure(args, scenario, output),
        _ => Err(Error::internal("clap lets nothing else pass")),
    }
}

fn measure(args: &BenchArgs, scenario: &str, output: &Path) -> Result<()> {
    let program = std::env::current_exe()
        .map_err(|e| Error::internal("this program does not know where it is").caused_by(e))?;
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|e| Error::user(path.display().to_string()).caused_by(e))
    };
    let options = Options {
        root: absolute(&args.root)?,
        program,
        output: absolute(output)?,
        contestants: args.contestants.clone(),
        rounds: args.rounds,
        records: args.records,
        now_ms: wall_ms(),
    };
    let scenario = Scenario::read(scenario, &options.root)?;
    // How it goes is for people, the table for whoever reads the output.
    let mut say = |line: &str| writeln!(std::io::stderr(), "{line}").unwrap_or_default();
    let results = run_scenario(scenario, &options, &mut say)?;
    crate::say(&results.markdown());
    match results.correct() {
        true => Ok(()),
        false => Err(Error::external("an answer was wrong")),
    }
}

/// Runs `work`, which says how many records it read, and prints what it cost.
fn counted(work: impl FnOnce() -> Result<u64>) -> Result<()> {
    let started = Instant::now();
    let records = work()?;
    let said = serde_json::json!({
        "records": records,
        "seconds": started.elapsed().as_secs_f64(),
        "cpu_seconds": crate::usage::cpu_seconds(),
        "peak_rss_bytes": crate::usage::peak_rss_bytes(),
    });
    crate::say(&said.to_string());
    Ok(())
}

/// Reads the four streams of a workload from the log to the end that they have now.
fn read_log(config: &ConfigArgs) -> Result<u64> {
    let config = config.load()?;
    let (log, topics) = (open_log(&config)?, live_config(&config));
    let mut sources = Vec::new();
    for stream in [StreamId::Reference, StreamId::Telemetry, StreamId::Positions, StreamId::Cases] {
        let topic = topics.topic(stream);
        let starts = log.start_offsets(&topic)?;
        sources.extend((0u16..).zip(starts).map(|(partition, from)| Source {
            topic: topic.clone(),
            partition,
            from,
        }));
    }
    let count = sources.len();
    let mut reader = log.reader(sources)?;
    let (mut records, mut batch) = (0, Vec::new());
    loop {
        let n = reader.poll(READ_AT_ONCE, POLL, &mut batch)?;
        records += n as u64;
        batch.clear();
        if n == 0 && (0..count).all(|source| reader.drained(source)) {
            return Ok(records);
        }
    }
}
