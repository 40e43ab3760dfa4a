//! The child process of the embedded ClickHouse on its own, so that this crate's tests need no other program.
//!
//! The `chengmai` binary does the same under its hidden subcommand; this program takes the same command line.

use std::process::ExitCode;

use sinks::embedded::{CHILD_COMMAND, ChildArgs, run_child};

#[expect(clippy::print_stderr, reason = "a program that cannot start says why where its parent reads it")]
fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|command| command != CHILD_COMMAND) {
        eprintln!("the only subcommand is {CHILD_COMMAND}");
        return ExitCode::from(2);
    }
    match ChildArgs::parse(args) {
        Ok(args) => run_child(&args),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
