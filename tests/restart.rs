//! Stop it or kill it during a load, start it again: the views are those of an undisturbed run, on both logs; and what it
//! said at a tick before, it says of that tick afterwards, in every view.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

const CHENGMAI: &str = env!("CARGO_BIN_EXE_chengmai");
const LONG: Duration = Duration::from_secs(120);
/// Views that depend on what happened and not on when the engine heard of it.
const SETTLED: [&str; 6] = ["sensors", "sensor_windows", "vehicles", "cases", "case_rates", "reference"];
const ALL: [&str; 10] = [
    "sensors",
    "alerts",
    "sensor_windows",
    "vehicles",
    "cases",
    "case_rates",
    "stream_health",
    "rejects",
    "late_ledger",
    "reference",
];

/// One engine and its log.
struct Place {
    folder: tempfile::TempDir,
    log: Vec<String>,
}

impl Place {
    fn local() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), log: vec!["log.kind=local".into()] }
    }

    fn kafka(brokers: &str, prefix: &str) -> Self {
        let log =
            vec!["log.kind=kafka".into(), format!("log.brokers={brokers}"), format!("log.prefix={prefix}.")];
        Self { folder: tempfile::tempdir().unwrap(), log }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(CHENGMAI);
        let data = format!("data.folder={}", self.folder.path().display());
        let sets = [
            data,
            "clickhouse.mode=off".into(),
            "api.listen=127.0.0.1:0".into(),
            "engine.tick_ms=50".into(),
            "clickhouse.grid_ms=1000".into(),
        ];
        command.arg(name).args(sets.iter().chain(&self.log).flat_map(|set| ["--set", set.as_str()]));
        command
    }

    fn serve(&self, workers: usize) -> Engine {
        let mut child = self
            .command("serve")
            .args(["--set", &format!("engine.workers={workers}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("chengmai is at ")
            .unwrap_or_else(|| panic!("it said `{line}`"))
            .to_owned();
        Engine { child, url }
    }

    fn token(&self) -> String {
        let output = self.command("token").args(["--subject", "test", "--scope", "write"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

struct Engine {
    child: Child,
    url: String,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whatever a failed assertion leaves behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Engine {
    fn get(&self, path: &str) -> Json {
        runtime().block_on(async {
            let answer = reqwest::get(format!("{}api/v1/{path}", self.url)).await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
            answer.json().await.unwrap()
        })
    }

    fn post(&self, stream: &str, token: &str, body: String) -> Json {
        runtime().block_on(async {
            let request = reqwest::Client::new().post(format!("{}api/v1/streams/{stream}", self.url));
            request.bearer_auth(token).body(body).send().await.unwrap().json().await.unwrap()
        })
    }

    /// All rows of a view at a tick.
    fn rows(&self, view: &str, tick: u64) -> Vec<Json> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = self.get(&format!("views/{view}?limit=10000&as_of={tick}{cursor}"));
            assert_eq!(answer["tick"], tick);
            rows.extend(answer["rows"].as_array().unwrap().iter().cloned());
            match answer["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }

    fn everything(&self, tick: u64) -> BTreeMap<&'static str, Vec<Json>> {
        ALL.into_iter().map(|view| (view, self.rows(view, tick))).collect()
    }

    fn tick(&self) -> u64 {
        self.get("views/case_rates?limit=1")["tick"].as_u64().unwrap()
    }

    /// Waits until every record is bound: as many as were appended, by the engine's own count.
    fn wait_until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !done(self) {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        assert!(self.child.wait().unwrap().success(), "SIGTERM ends it well");
    }
}

/// What happens, an hour ago, in parts: per stream NDJSON. Dirty on purpose: late, twice, bad.
fn parts() -> Vec<Vec<(&'static str, String)>> {
    let hour_ago = ingest_time() - 3_600_000;
    let mut parts = Vec::new();
    let sensors: String = (0..20)
        .map(|n| format!("{{\"kind\":\"sensor\",\"id\":\"s{n}\",\"sensor_kind\":\"k{}\",\"district\":\"61060{}\",\"heartbeat_s\":60}}\n", n % 3, n % 2))
        .collect();
    parts.push(vec![("reference", sensors)]);
    for part in 0..12i64 {
        let mut lines: BTreeMap<&'static str, String> = BTreeMap::new();
        for n in 0..150i64 {
            let ts = hour_ago + part * 10_000 + n * 60 - if n % 11 == 0 { 45_000 } else { 0 };
            let depth = (n * 7 + part * 13) % 60;
            lines.entry("telemetry").or_default().push_str(&format!(
                "{{\"sensor_id\":\"s{}\",\"ts\":{ts},\"metric\":\"water_depth\",\"value\":{depth}}}\n",
                n % 20
            ));
            lines.entry("positions").or_default().push_str(&format!(
                "{{\"vehicle_id\":\"v{}\",\"ts\":{ts},\"lon\":{},\"lat\":36.6,\"speed\":{},\"working\":{}}}\n",
                n % 15, 109.5 + part as f64 * 1e-4, n % 30, n % 2 == 0
            ));
            let event =
                ["reported\",\"source\":\"patrol\",\"district\":\"610602", "filed", "handled", "closed"]
                    [(part % 4) as usize];
            lines
                .entry("cases")
                .or_default()
                .push_str(&format!("{{\"case_id\":\"c{n}\",\"ts\":{ts},\"event\":\"{event}\"}}\n"));
        }
        parts.push(lines.into_iter().collect());
    }
    parts
}

/// Now, from a file's time: the tests of a pipeline may know when they run.
fn ingest_time() -> i64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    let modified = file.as_file().metadata().unwrap().modified().unwrap();
    modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Sliding windows that a reading belongs to: five minutes, every minute.
const WINDOWS_OF_A_READING: u64 = 5;

/// Whether every record of the load is in the views. The records of a key stay in order, so the last event of a case
/// and the newest fix of a vehicle prove those before them; readings are counted, since a late one shows nowhere else.
fn loaded(engine: &Engine, parts: &[Vec<(&'static str, String)>]) -> bool {
    let records = |stream: &str| -> Vec<Json> {
        let bodies = parts.iter().flatten().filter(|(of, _)| *of == stream);
        bodies.flat_map(|(_, body)| body.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let rows =
        |view: &str| engine.get(&format!("views/{view}?limit=10000"))["rows"].as_array().unwrap().clone();
    let times = |rows: &[Json], key: &str, time: &str| -> BTreeMap<String, i64> {
        let mut times = BTreeMap::new();
        for row in rows {
            let latest = times.entry(row[key].as_str().unwrap().to_owned()).or_insert(0);
            *latest = row[time].as_i64().unwrap_or(0).max(*latest);
        }
        times
    };
    let counted: u64 = rows("sensor_windows").iter().map(|row| row["count"].as_u64().unwrap()).sum();
    counted == records("telemetry").len() as u64 * WINDOWS_OF_A_READING
        && times(&rows("vehicles"), "vehicle_id", "ts") == times(&records("positions"), "vehicle_id", "ts")
        && times(&rows("cases"), "case_id", "closed_ts") == times(&records("cases"), "case_id", "ts")
}

fn undisturbed(parts: &[Vec<(&'static str, String)>]) -> BTreeMap<&'static str, Vec<Json>> {
    let place = Place::local();
    let (engine, token) = (place.serve(1), place.token());
    for (stream, body) in parts.iter().flatten() {
        engine.post(stream, &token, body.clone());
    }
    engine.wait_until("the undisturbed load", |engine| loaded(engine, parts));
    let tick = engine.tick();
    let rows = SETTLED.into_iter().map(|view| (view, engine.rows(view, tick))).collect();
    engine.terminate();
    rows
}

fn disturbed(
    place: &Place,
    parts: &[Vec<(&'static str, String)>],
    expected: &BTreeMap<&'static str, Vec<Json>>,
) {
    let token = place.token();
    let mut engine = place.serve(1);
    for (n, part) in parts.iter().enumerate() {
        for (stream, body) in part {
            let answer = engine.post(stream, &token, body.clone());
            assert_eq!(answer["rejected"].as_array().map(Vec::len), Some(0), "{answer}");
            // A line that is no record stays out and harms nothing.
            assert_eq!(engine.post(stream, &token, "{\"ts\":".into())["accepted"], 0);
        }
        match n % 4 {
            1 => {
                engine.kill();
                engine = place.serve(2);
            }
            3 => {
                engine.terminate();
                engine = place.serve(1);
            }
            _ => {}
        }
    }
    engine.wait_until("the disturbed load", |engine| loaded(engine, parts));
    let tick = engine.tick();
    for (view, rows) in expected {
        assert_eq!(&engine.rows(view, tick), rows, "{view} after kills and restarts");
    }
    // Once more: what it said of this tick it says again, in every view, whatever the number of workers.
    let said = engine.everything(tick);
    assert!(!said["alerts"].is_empty() && !said["stream_health"].is_empty());
    engine.kill();
    let engine = place.serve(3);
    engine.wait_until("it is where it was", |engine| engine.tick() >= tick);
    for (view, rows) in engine.everything(tick) {
        assert_eq!(rows, said[view], "{view} at the same tick after another restart");
    }
    engine.terminate();
}

#[test]
fn the_local_log_carries_the_views_over_kills_and_restarts() {
    let parts = parts();
    disturbed(&Place::local(), &parts, &undisturbed(&parts));
}

/// A hold that a kill falls into goes on as if nothing had been: the alert is dated by when the value came, it is raised
/// once, and what is raised stays raised over a further restart.
#[test]
fn a_restart_in_the_middle_of_a_hold_does_not_set_it_back() {
    const HOLD_MS: i64 = 20_000;
    let place = Place::local();
    let (engine, token) = (place.serve(2), place.token());
    let records = format!(
        "{{\"kind\":\"sensor\",\"id\":\"s1\",\"sensor_kind\":\"water_depth\",\"district\":\"610602\",\"heartbeat_s\":3600}}\n\
         {{\"kind\":\"rule\",\"id\":\"deep\",\"metric\":\"level\",\"severity\":\"severe\",\"above\":15,\"clear\":12,\"hold_s\":{}}}\n",
        HOLD_MS / 1000
    );
    assert_eq!(engine.post("reference", &token, records)["accepted"], 2);
    let ts = ingest_time();
    let reading = format!("{{\"sensor_id\":\"s1\",\"ts\":{ts},\"metric\":\"level\",\"value\":20}}\n");
    assert_eq!(engine.post("telemetry", &token, reading)["accepted"], 1);
    engine.wait_until("the reading is there", |engine| !engine.rows("sensors", engine.tick()).is_empty());
    let alerts = |engine: &Engine| engine.rows("alerts", engine.tick());
    // On a machine so slow that the hold is over by now nothing would be in its middle; the test would still be right.
    if (engine.tick() as i64) < ts + HOLD_MS {
        assert_eq!(alerts(&engine), Vec::<Json>::new(), "not yet held");
    }
    engine.kill();
    let engine = place.serve(1);
    engine.wait_until("the alert", |engine| !alerts(engine).is_empty());
    let raised = alerts(&engine);
    assert_eq!(raised.len(), 1);
    let expected = serde_json::json!(["deep", "s1", "open", ts + HOLD_MS, 1]);
    let said = ["rule", "target", "state", "raised_ts", "revision"].map(|column| raised[0][column].clone());
    assert_eq!(Json::from(said.to_vec()), expected);
    engine.kill();
    let engine = place.serve(3);
    engine.wait_until("the alert again", |engine| !alerts(engine).is_empty());
    assert_eq!(alerts(&engine), raised, "raised once");
    engine.terminate();
}

/// A broker that ends with this process.
struct Broker {
    script: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Broker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Below the range from which connections take their own ports, so that none of them gets in the way while the
        // broker starts; two neighbours, the second for its controller.
        let first = 20_000 + (std::process::id() % 5_000) as u16 * 2;
        let free = |port: &u16| {
            TcpListener::bind(("127.0.0.1", *port)).is_ok()
                && TcpListener::bind(("127.0.0.1", port + 1)).is_ok()
        };
        let port = (first..31_998).step_by(2).find(free).unwrap();
        let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka.sh");
        let script = Command::new(script)
            .args(["run", &port.to_string()])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self { script, port, _folder: folder }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

#[test]
fn kafka_carries_the_views_over_kills_and_restarts() {
    let mut broker = Broker::start();
    let place = Place::kafka(&format!("127.0.0.1:{}", broker.port), "restart");
    let deadline = Instant::now() + LONG;
    // `check` says whether the broker answers.
    while !String::from_utf8_lossy(&place.command("check").output().unwrap().stdout).contains("ok      log") {
        assert!(broker.script.try_wait().unwrap().is_none(), "the broker ended");
        assert!(Instant::now() < deadline, "the broker does not answer");
    }
    let parts = parts();
    disturbed(&place, &parts, &undisturbed(&parts));
}
