//! The whole engine over a backlog: the workload waits in a log, and the time runs until every view has it.
//!
//! **Meaning.** Reference data are in force before; the rest is a backlog. Started are `chengmai serve` with its clock, store and API, without ClickHouse; counted are its wall time
//! from start to the moment at which no record waits, and its own CPU and memory. Loading the log before is not counted,
//! and neither is the broker. Its ticks are those of the wall clock, so its answers are those of long after the workload.
//!
//! **Mechanism.** `stream_health` says how many records wait.
//!
//! **State.** The log in the task's scratch folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::{Error, Result};
use serde_json::{Value as Json, json};

use crate::contestants::{Task, finish, last_json};
use crate::own;
use crate::server::{Server, command, load, settings};

/// How long a backlog may take.
pub const LIMIT: Duration = Duration::from_secs(1800);
/// Between two looks at whether reference data were bound.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a broker may take to answer.
const BROKER: Duration = Duration::from_secs(120);
/// The streams of a workload, reference data first.
pub const STREAMS: [&str; 4] = ["reference", "telemetry", "positions", "cases"];

/// Whether a contestant's ticks are those of the wall clock.
pub fn on_the_wall_clock(name: &str) -> bool {
    ["local", "kafka"].contains(&name)
}

/// A Kafka broker that ends with this process.
#[derive(Debug)]
pub struct Broker {
    script: Child,
    /// `host:port`.
    pub address: String,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Closing its input ends it.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// Starts a broker with its data in a scratch folder, or says why there is none.
///
/// # Errors
/// When there is one and it does not answer.
pub fn broker(program: &Path, root: &Path, scratch: &Path) -> Result<std::result::Result<Broker, String>> {
    let script: PathBuf = root.join("../tests/kafka.sh");
    let installed = finish("kafka", Command::new(&script).arg("install"))?;
    if !installed.status.success() {
        let text = String::from_utf8_lossy(&installed.stderr);
        return Ok(Err(text.lines().last().unwrap_or("it cannot be installed").to_owned()));
    }
    let free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("127.0.0.1", port + 1)).is_ok()
    };
    let first = 20_000 + (std::process::id() % 5_000) as u16 * 2;
    let port = (first..31_998).step_by(2).find(free);
    let port = port.ok_or_else(|| Error::external("no port is free for a broker"))?;
    let folder = scratch.join("broker");
    let failed = |e| Error::external("the broker cannot be started").caused_by(e);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let script = Command::new(&script)
        .args(["run", &port.to_string()])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut broker = Broker { script, address: format!("127.0.0.1:{port}") };
    let deadline = Instant::now() + BROKER;
    let mut sets = broker.settings();
    sets.push(format!("data.folder={}", scratch.join("check").display()));
    loop {
        let said = finish("kafka", &mut command(program, "check", &sets))?;
        if String::from_utf8_lossy(&said.stdout).contains("ok      log") {
            return Ok(Ok(broker));
        }
        if let Ok(Some(status)) = broker.script.try_wait() {
            return Err(Error::external(format!("the broker ended: {status}")));
        }
        if Instant::now() > deadline {
            return Err(Error::external("the broker does not answer"));
        }
    }
}

impl Broker {
    /// The settings with which an engine uses it.
    pub fn settings(&self) -> Vec<String> {
        vec![
            "log.kind=kafka".to_owned(),
            format!("log.brokers={}", self.address),
            "log.prefix=city5.".to_owned(),
        ]
    }
}

fn sets(task: &Task, broker: Option<&Broker>) -> Vec<String> {
    let mut views = task.views.clone();
    views.push("stream_health".to_owned());
    let mut sets = settings(&task.scratch.join("data"), &views, task.tick_ms, task.workers);
    sets.push("clickhouse.mode=off".to_owned());
    match broker {
        Some(broker) => sets.extend(broker.settings()),
        None => sets.push("log.kind=local".to_owned()),
    }
    sets
}

/// From the local log.
///
/// # Errors
/// When the engine fails.
pub fn run_local(task: &Task, output: &Path) -> Result<Json> {
    from_log(task, output, None)
}

/// From a broker.
///
/// # Errors
/// When the engine fails.
pub fn run_kafka(task: &Task, output: &Path, broker: &Broker) -> Result<Json> {
    from_log(task, output, Some(broker))
}

fn from_log(task: &Task, output: &Path, broker: Option<&Broker>) -> Result<Json> {
    let sets = sets(task, broker);
    let reference = settle_reference(task, &sets)?;
    let records = reference + load(&task.program, &sets, &task.input, &STREAMS[1..])?;
    let started = Instant::now();
    let mut server = Server::start(&task.program, &sets)?;
    server.wait("no record waited", LIMIT, &mut caught_up)?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = server.gauge("chengmai_cpu_ms")? / 1000.0;
    let peak_rss_bytes = server.gauge("chengmai_peak_rss_bytes")?;
    own::write_answers(output, &mut |view| match task.views.iter().any(|kept| kept == view) {
        true => server.rows(view).map(Some),
        false => Ok(None),
    })?;
    server.stop()?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"), "records": records, "seconds": seconds, "cpu_seconds": cpu_seconds,
        "peak_rss_bytes": peak_rss_bytes,
    }))
}

/// Loads the reference data and lets an engine bind them to ticks, so that they are in force before the first fix: a fix
/// belongs to the roads of its own tick. The number of records.
fn settle_reference(task: &Task, sets: &[String]) -> Result<u64> {
    let records = load(&task.program, sets, &task.input, &STREAMS[..1])?;
    let mut server = Server::start(&task.program, sets)?;
    let bound = |server: &Server| -> Result<bool> {
        server.get("readyz")?;
        let rows = server.rows("stream_health")?;
        let heard = rows.iter().any(|row| row["stream"] == STREAMS[0]);
        Ok(heard && rows.iter().all(|row| row["lag_records"] == 0))
    };
    server.wait("reference data were bound", LIMIT, &mut |server| bound(server))?;
    // A partition that had not been looked at then has been by now.
    std::thread::park_timeout(SETTLE);
    server.wait("reference data were bound", LIMIT, &mut |server| bound(server))?;
    server.stop()?;
    Ok(records)
}

/// Whether an engine that keeps `stream_health` has taken all that was in the log.
///
/// # Errors
/// When it does not answer, or is not ready.
pub fn caught_up(server: &Server) -> Result<bool> {
    server.get("readyz")?;
    Ok(nothing_waits(&server.rows("stream_health")?))
}

/// Whether every stream of the workload was heard of and none has records waiting.
fn nothing_waits(rows: &[Json]) -> bool {
    let heard = |stream: &str| rows.iter().any(|row| row["stream"] == stream && !row["last_ts"].is_null());
    STREAMS[1..].iter().all(|stream| heard(stream)) && rows.iter().all(|row| row["lag_records"] == 0)
}

/// Reads the same records from Kafka and drops them: what reading alone costs.
///
/// # Errors
/// When they cannot be read.
pub fn read_only(task: &Task, broker: &Broker) -> Result<Json> {
    let sets = sets(task, Some(broker));
    load(&task.program, &sets, &task.input, &STREAMS)?;
    let mut command = Command::new(&task.program);
    command.args(["bench", "read-log"]);
    for set in &sets {
        command.args(["--set", set]);
    }
    let mut said = last_json("kafka-read", &finish("kafka-read", &mut command)?)?;
    said["version"] = env!("CARGO_PKG_VERSION").into();
    Ok(said)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::nothing_waits;

    #[test]
    fn a_backlog_is_over_when_every_stream_was_heard_of_and_nothing_waits() {
        let row = |stream: &str, lag: u64| json!({"stream": stream, "lag_records": lag, "last_ts": 5});
        let all = |lag| vec![row("telemetry", 0), row("positions", lag), row("cases", 0)];
        assert!(nothing_waits(&all(0)));
        assert!(!nothing_waits(&all(3)));
        assert!(!nothing_waits(&all(0)[1..]));
        let mut unheard = all(0);
        unheard[0]["last_ts"] = json!(null);
        assert!(!nothing_waits(&unheard));
    }
}
