//! `chengmai token`: creates an access token.

use api::token::{Claims, Scope, Secret};
use clap::{Args, ValueEnum};
use ingest::clock::wall_ms;
use model::Result;

use crate::city::secret_path;
use crate::commands::serve::ConfigArgs;

/// A new access token.
#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Whose token it is: shown as the user of actions
    #[arg(long)]
    subject: String,
    /// What it allows
    #[arg(long, value_enum, default_value_t = Allows::Read)]
    scope: Allows,
    /// Days until it expires; never if absent
    #[arg(long)]
    days: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Allows {
    /// See the views
    Read,
    /// Also append records and act on alerts
    Write,
}

const DAY_MS: i64 = 24 * 3_600_000;

/// Prints the token on stdout.
///
/// # Errors
/// When the secret that signs it cannot be read or made.
pub fn run(args: &TokenArgs) -> Result<()> {
    let secret = Secret::load_or_create(&secret_path(&args.config.load()?))?;
    let scope = match args.scope {
        Allows::Read => Scope::Read,
        Allows::Write => Scope::Write,
    };
    let expires = args.days.map(|days| wall_ms() + i64::from(days) * DAY_MS);
    crate::say(&secret.issue(&Claims { subject: args.subject.clone(), scope, expires }));
    Ok(())
}
