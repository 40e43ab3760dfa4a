//! `chengmai serve` and `chengmai demo`: the engine in production, and everything embedded on a simulated city.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use model::{Error, Result};

use crate::city::City;
use crate::commands::simulate;
use crate::config::Config;

/// Where the configuration comes from.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// One setting, over file and environment: section.key=value
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub sets: Vec<String>,
}

impl ConfigArgs {
    /// The configuration in force.
    ///
    /// # Errors
    /// A user error that names the key.
    pub fn load(&self) -> Result<Config> {
        Config::load(self.config.as_deref(), &self.sets)
    }
}

/// How often the parts are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs the engine until it is told to stop.
///
/// # Errors
/// What did not start, or made it stop.
pub fn serve(args: &ConfigArgs) -> Result<()> {
    run(&args.load()?, false)
}

/// Runs everything embedded, with a simulated city, and opens the screens.
///
/// # Errors
/// What did not start, or made it stop.
pub fn demo(args: &ConfigArgs) -> Result<()> {
    run(&args.load()?, true)
}

fn run(config: &Config, demo: bool) -> Result<()> {
    let city = City::start(config)?;
    let url = format!("http://{}/", city.address());
    crate::say(&format!("chengmai is at {url}"));
    let stop = Arc::new(AtomicBool::new(false));
    let simulator = match demo {
        true => {
            open_browser(&url);
            Some(simulate::spawn(config, Arc::clone(city.log()), Arc::clone(&stop))?)
        }
        false => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::internal("no runtime for signals").caused_by(e))?;
    let failed = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let no_signals = |e| Error::internal("signals cannot be heard").caused_by(e);
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(None),
                _ = interrupt.recv() => return Ok(None),
                () = tokio::time::sleep(LOOK_EVERY) => {
                    if let Some(reason) = city.check() {
                        return Ok(Some(reason));
                    }
                }
            }
        }
    })?;
    stop.store(true, Ordering::Relaxed);
    let simulated = simulator.map_or(Ok(()), |simulator| {
        simulator.join().unwrap_or_else(|_| Err(Error::internal("the simulator panicked")))
    });
    let stopped = city.stop();
    match failed {
        Some(reason) => Err(Error::external(reason)),
        None => stopped.and(simulated),
    }
}

/// Opens the screens where there is a desktop; elsewhere the address that was printed has to do.
fn open_browser(url: &str) {
    let quiet = || std::process::Stdio::null();
    let opened = std::process::Command::new("xdg-open")
        .arg(url)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
    if let Err(e) = opened {
        tracing::debug!(error = %e, "no browser was opened");
    }
}
