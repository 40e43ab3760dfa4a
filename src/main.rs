//! `chengmai`: the one binary. It reads the configuration and wires the parts; what the parts do is theirs.

mod city;
mod commands;
mod config;
mod usage;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use model::{Error, Fault};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps every number of a city's operations room current and explainable.
#[derive(Parser, Debug)]
#[command(name = "chengmai", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Everything embedded, a simulated Yan'an, and the screens
    Demo(commands::serve::ConfigArgs),
    /// The engine in production
    Serve(commands::serve::ConfigArgs),
    /// A reproducible city into the log, or into files
    Simulate(commands::simulate::SimulateArgs),
    /// Run the engine over files: no broker, no ClickHouse, no network
    Replay(commands::replay::ReplayArgs),
    /// NDJSON into the log
    Load(commands::load::LoadArgs),
    /// What is wrong with configuration, log, ClickHouse, screens
    Check(commands::serve::ConfigArgs),
    /// Throughput and latency runs: bench SCENARIO --output DIR, bench compare A B
    Bench(commands::bench::BenchArgs),
    /// Create an access token
    Token(commands::token::TokenArgs),
    /// The embedded ClickHouse: started by this program itself
    #[command(name = sinks::embedded::CHILD_COMMAND, hide = true)]
    ClickHouseChild {
        /// Passed through
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Clap's own exit code for bad arguments is 2, and 0 for help.
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    log_to_stderr();
    let result = match &cli.command {
        Command::Demo(args) => commands::serve::demo(args),
        Command::Serve(args) => commands::serve::serve(args),
        Command::Simulate(args) => commands::simulate::run(args),
        Command::Replay(args) => commands::replay::run(args),
        Command::Load(args) => commands::load::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Bench(args) => commands::bench::run(args),
        Command::Token(args) => commands::token::run(args),
        Command::ClickHouseChild { rest } => {
            sinks::embedded::ChildArgs::parse(rest.clone()).and_then(|args| sinks::embedded::run_child(&args))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&e);
            match e.fault {
                Fault::User => ExitCode::from(2),
                Fault::External => ExitCode::from(1),
                Fault::Internal => ExitCode::from(70),
            }
        }
    }
}

/// Warnings and errors go to stderr; RUST_LOG says more or less.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Writes a line of output.
fn say(line: &str) {
    // Whoever closed our output does not want to hear more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes an error.
fn complain(error: &Error) {
    let _ = writeln!(std::io::stderr(), "chengmai: {error}");
}
