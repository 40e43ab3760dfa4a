//! A running `chengmai serve`: started, asked, stopped.
//!
//! Only public entry points: the command line, the log's commands, REST and `/metrics`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::{Error, Result};
use serde_json::Value as Json;

use crate::contestants::{finish, last_json};

/// How long it may take until it is ready.
const START: Duration = Duration::from_secs(120);
/// How often it is asked whether it is ready.
const EVERY: Duration = Duration::from_millis(20);
/// How long it may take to end.
const STOP: Duration = Duration::from_secs(30);
/// Rows in a page.
const PAGE: usize = 10_000;

/// A running engine. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it is, with a slash at the end.
    pub url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// Of all statistics of cases the workload asks for those of districts over all time.
pub fn asked_statistics() -> impl Iterator<Item = String> {
    let unasked = ["city", "department", "grid", "class", "channel", "post"];
    let none = unasked.map(|scope| format!("statistics.{scope}="));
    none.into_iter().chain(["statistics.district=all".to_owned()])
}

/// The settings of an engine with its data in `folder`, on a free port of loopback.
pub fn settings(folder: &Path, views: &[String], tick_ms: u64, workers: u16) -> Vec<String> {
    // The workload is a day of some year: nothing of it is too old, and nothing expires.
    const EVER_MS: i64 = 100 * 366 * 86_400_000;
    // A million records a second: more than is read, so that what is measured is not this bound.
    let records = (1_000 * tick_ms).max(100_000);
    let mut sets = vec![
        format!("data.folder={}", folder.display()),
        "api.listen=127.0.0.1:0".to_owned(),
        format!("engine.tick_ms={tick_ms}"),
        format!("engine.max_records_per_tick={records}"),
        format!("engine.workers={workers}"),
        format!("engine.horizon_ms={EVER_MS}"),
        format!("engine.late_after_ms={EVER_MS}"),
        format!("engine.window_retention_ms={EVER_MS}"),
        format!("engine.alert_retention_ms={EVER_MS}"),
    ];
    sets.extend(asked_statistics());
    if !views.is_empty() {
        sets.push(format!("engine.views={}", views.join(",")));
    }
    sets
}

/// A command of `program` with settings.
pub fn command(program: &Path, name: &str, sets: &[String]) -> Command {
    let mut command = Command::new(program);
    command.arg(name);
    for set in sets {
        command.args(["--set", set]);
    }
    command
}

/// Loads the files of a workload into the log; their number of records.
///
/// # Errors
/// When `chengmai load` fails.
pub fn load(program: &Path, sets: &[String], input: &Path, streams: &[&str]) -> Result<u64> {
    let mut records = 0;
    for stream in streams {
        let mut load = command(program, "load", sets);
        load.args(["--stream", stream]).arg(input.join(format!("{stream}.ndjson")));
        let said = last_json("load", &finish("load", &mut load)?)?;
        if said["refused"].as_u64() != Some(0) {
            return Err(Error::external(format!("load {stream}: {said}")));
        }
        records += said["loaded"].as_u64().unwrap_or(0);
    }
    Ok(records)
}

/// A token that may write.
///
/// # Errors
/// When `chengmai token` fails.
pub fn token(program: &Path, sets: &[String]) -> Result<String> {
    let mut token = command(program, "token", sets);
    token.args(["--subject", "bench", "--scope", "write"]);
    let done = finish("token", &mut token)?;
    let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    match done.status.success() {
        true => Ok(text),
        false => Err(Error::external(format!("chengmai token: {}", String::from_utf8_lossy(&done.stderr)))),
    }
}

impl Server {
    /// Starts it and waits until it says where it is.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &Path, sets: &[String]) -> Result<Self> {
        let mut serve = command(program, "serve", sets);
        let failed = |e| Error::external("chengmai serve cannot be started").caused_by(e);
        let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let Some(url) = line.trim().strip_prefix("chengmai is at ").map(str::to_owned) else {
            // Whatever it is, it must not stay.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::external(format!("chengmai serve said `{}`", line.trim())));
        };
        Ok(Self { child, url, client: reqwest::Client::new(), runtime })
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it answers to a path below its address.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn get(&self, path: &str) -> Result<String> {
        let failed = |e: reqwest::Error| Error::external(format!("GET {path}")).caused_by(e);
        self.runtime.block_on(async {
            let answer = self.client.get(format!("{}{path}", self.url)).send().await.map_err(failed)?;
            answer.error_for_status().map_err(failed)?.text().await.map_err(failed)
        })
    }

    /// Waits until `done`.
    ///
    /// # Errors
    /// When it never is, or the engine ends.
    pub fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        done: &mut dyn FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::external(format!("chengmai serve ended before {what}: {status}")));
            }
            match done(self) {
                Ok(true) => return Ok(()),
                Err(e) if Instant::now() > deadline => return Err(e),
                Ok(false) if Instant::now() > deadline => {
                    return Err(Error::external(format!("never: {what}")));
                }
                // Before it is ready it may refuse.
                Ok(false) | Err(_) => std::thread::park_timeout(EVERY),
            }
        }
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it never is.
    pub fn ready(&mut self) -> Result<()> {
        self.wait("it was ready", START, &mut |server| server.get("readyz").map(|_| true))
    }

    /// All rows of a view at the latest tick of the first page.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn rows(&self, view: &str) -> Result<Vec<Json>> {
        let wrong = |e: serde_json::Error| Error::external(format!("view {view} is no JSON")).caused_by(e);
        let (mut rows, mut more) = (Vec::new(), String::new());
        loop {
            let text = self.get(&format!("api/v1/views/{view}?limit={PAGE}{more}"))?;
            let mut answer: Json = serde_json::from_str(&text).map_err(wrong)?;
            let tick = answer["tick"].clone();
            match answer["rows"].take() {
                Json::Array(page) => rows.extend(page),
                other => return Err(Error::external(format!("view {view}: rows are {other}"))),
            }
            match answer["next"].as_str() {
                Some(next) => more = format!("&as_of={tick}&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// A gauge of `/metrics`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn gauge(&self, name: &str) -> Result<f64> {
        let text = self.get("metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| Error::external(format!("/metrics does not say {name}")))
    }

    /// Ends it in order, by SIGTERM.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(mut self) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.arg(self.child.id().to_string());
        finish("serve", &mut kill)?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(Error::external(format!("chengmai serve: {status}"))),
                _ => std::thread::park_timeout(EVERY),
            }
        }
        Err(Error::external("chengmai serve does not end"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, or it must.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
