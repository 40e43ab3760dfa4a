//! `chengmai`: the one binary. It reads the configuration and wires the parts; what the parts do is theirs.

mod commands;
#[allow(dead_code)]
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
    /// Run the engine over files: no broker, no ClickHouse, no network
    Replay(commands::replay::ReplayArgs),
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
    let result = match &cli.command {
        Command::Replay(args) => commands::replay::run(args),
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

/// Writes a line of output.
fn say(line: &str) {
    // Whoever closed our output does not want to hear more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes an error.
fn complain(error: &Error) {
    let _ = writeln!(std::io::stderr(), "chengmai: {error}");
}
