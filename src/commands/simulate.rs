//! `chengmai simulate`: a reproducible city into the log, or into files for `replay`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ::simulate::config::Dirt;
use ::simulate::{City, write_files};
use clap::Args;
use ingest::clock::wall_ms;
use ingest::live::LiveConfig;
use ingest::log::{Log, NewRecord};
use model::{Error, Result, StreamId};

use crate::city::{live_config, open_log};
use crate::commands::serve::ConfigArgs;
use crate::config::Config;

/// How often records are appended.
const EVERY: Duration = Duration::from_millis(100);

/// A simulated city.
#[derive(Args, Debug)]
pub struct SimulateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write this many records of the benchmark mix into files for `replay` instead of the log
    #[arg(long, requires = "files")]
    records: Option<u64>,
    /// Folder for these files
    #[arg(long, requires = "records")]
    files: Option<PathBuf>,
    /// The same seed gives the same city
    #[arg(long)]
    seed: Option<u64>,
    /// Multiplies how often vehicles and sensors report
    #[arg(long)]
    rate: Option<f64>,
    /// Number of vehicles
    #[arg(long)]
    vehicles: Option<u32>,
    /// Number of sensors
    #[arg(long)]
    sensors: Option<u32>,
    /// Share of records that are late, duplicate, jumping, garbage …
    #[arg(long)]
    dirt: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// When the settings are wrong, or the log or the files cannot be written.
pub fn run(args: &SimulateArgs) -> Result<()> {
    let mut config = args.config.load()?;
    let simulate = &mut config.simulate;
    simulate.seed = args.seed.unwrap_or(simulate.seed);
    simulate.rate = args.rate.unwrap_or(simulate.rate);
    simulate.vehicles = args.vehicles.unwrap_or(simulate.vehicles);
    simulate.sensors = args.sensors.unwrap_or(simulate.sensors);
    simulate.dirt = args.dirt.unwrap_or(simulate.dirt);
    if let (Some(records), Some(folder)) = (args.records, &args.files) {
        let written = write_files(::simulate::Config::bench_mix(simulate.seed), records, folder)?;
        crate::say(&format!(
            "{} records, {} bytes in {}",
            written.records(),
            written.bytes,
            folder.display()
        ));
        return Ok(());
    }
    let log = open_log(&config)?;
    let simulator = spawn(&config, log, Arc::new(AtomicBool::new(false)))?;
    simulator.join().unwrap_or_else(|_| Err(Error::internal("the simulator panicked")))
}

/// The simulated city of a configuration, from now on.
fn city(config: &Config) -> Result<City> {
    let simulate = &config.simulate;
    let share = simulate.dirt;
    let dirt = Dirt {
        late: share,
        duplicate: share / 2.0,
        jump: share / 10.0,
        offline: share / 10.0,
        wrong_unit: share / 10.0,
        garbage: share / 20.0,
    };
    City::new(::simulate::Config {
        seed: simulate.seed,
        start_ms: wall_ms(),
        vehicles: simulate.vehicles,
        sensors: simulate.sensors,
        cases_per_hour: simulate.cases_per_hour,
        rate: simulate.rate,
        utc_offset_s: config.engine.utc_offset_min * 60,
        dirt,
        ..::simulate::Config::default()
    })
}

/// Appends what happens in the city to the log, as it happens, until `stop`.
///
/// # Errors
/// When the settings are wrong or the log cannot be written.
pub fn spawn(config: &Config, log: Arc<dyn Log>, stop: Arc<AtomicBool>) -> Result<JoinHandle<Result<()>>> {
    let (mut city, topics) = (city(config)?, live_config(config));
    topics.ensure_topics(&*log)?;
    let reference = city.reference().map(|(key, json)| NewRecord::new(key, json)).collect();
    log.append(&topics.topic(StreamId::Reference), reference)?;
    std::thread::Builder::new()
        .name("simulator".into())
        .spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                append_until(&mut city, &*log, &topics, wall_ms())?;
                std::thread::park_timeout(EVERY);
            }
            Ok(())
        })
        .map_err(|e| Error::internal("a thread cannot be started").caused_by(e))
}

fn append_until(city: &mut City, log: &dyn Log, topics: &LiveConfig, now: i64) -> Result<()> {
    let mut batches: Vec<Vec<NewRecord>> = StreamId::ALL.iter().map(|_| Vec::new()).collect();
    city.advance_to(now, &mut |stream: StreamId, key: &str, json: &[u8], _appended_at| {
        batches[stream as usize].push(NewRecord::new(key, json));
    });
    for (stream, batch) in StreamId::ALL.into_iter().zip(batches) {
        if !batch.is_empty() {
            log.append(&topics.topic(stream), batch)?;
        }
    }
    Ok(())
}
