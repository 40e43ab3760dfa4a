//! `chengmai check`: what is wrong, one line each; the exit code says whether anything is.

use std::net::TcpListener;

use ingest::clock::ClockReader;
use ingest::log::read_to_end;
use model::{Error, Result};
use sinks::clickhouse::server_version;

use crate::city::{live_config, open_log};
use crate::commands::serve::ConfigArgs;
use crate::config::{ClickHouseMode, Config};

/// Runs the command: prints a line for each thing looked at.
///
/// # Errors
/// When at least one thing is wrong.
pub fn run(args: &ConfigArgs) -> Result<()> {
    let config = args.load()?;
    crate::say("ok      configuration");
    let mut wrong = 0;
    let mut line = |what: &str, found: Result<String>| match found {
        Ok(text) => crate::say(&format!("ok      {what}: {text}")),
        Err(e) => {
            wrong += 1;
            crate::say(&format!("WRONG   {what}: {e}"));
        }
    };
    line("log", check_log(&config));
    line("ClickHouse", check_clickhouse(&config));
    line("api.listen", check_listen(&config));
    line("api.dashboards", check_dashboards(&config));
    match wrong {
        0 => Ok(()),
        n => Err(Error::external(format!("{n} of the things looked at are wrong"))),
    }
}

fn check_log(config: &Config) -> Result<String> {
    let (log, topics) = (open_log(config)?, live_config(config));
    let partitions = topics.ensure_topics(&*log)?;
    let records = read_to_end(&*log, &topics.clock_topic(), 0, log.start_offsets(&topics.clock_topic())?[0])?;
    let mut clock = ClockReader::default();
    let mut last = None;
    for record in &records {
        last = Some(clock.read(record)?.tick);
    }
    let streams = partitions.len();
    let last = last.map_or("not begun".to_owned(), |tick| format!("at tick {tick}"));
    Ok(format!("{streams} streams, the clock log has {} entries and is {last}", records.len()))
}

fn check_clickhouse(config: &Config) -> Result<String> {
    let settings = &config.clickhouse;
    match settings.mode {
        ClickHouseMode::Off => Ok("off: no history is kept".into()),
        ClickHouseMode::Embedded if settings.library.is_file() => {
            Ok(format!("embedded, library {}", settings.library.display()))
        }
        ClickHouseMode::Embedded => {
            let text = "clickhouse.library is missing; `make clickhouse` fetches it";
            Err(Error::user(format!("{}: {text}", settings.library.display())))
        }
        ClickHouseMode::External => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| Error::internal("no runtime").caused_by(e))?;
            let version =
                runtime.block_on(server_version(&settings.url, &settings.user, &settings.password))?;
            Ok(format!("{} speaks version {version}", settings.url))
        }
    }
}

fn check_listen(config: &Config) -> Result<String> {
    let listen = config.api.listen;
    TcpListener::bind(listen).map_err(|e| Error::user(format!("{listen} cannot be had")).caused_by(e))?;
    let reading =
        if listen.ip().is_loopback() { "reading is open there" } else { "reading needs a token there" };
    Ok(format!("{listen}, {reading}"))
}

fn check_dashboards(config: &Config) -> Result<String> {
    let folder = &config.api.dashboards;
    match folder.join("index.html").is_file() {
        true => Ok(folder.display().to_string()),
        false => Err(Error::user(format!("{}: no index.html; `make screens` builds it", folder.display()))),
    }
}
