//! ClickHouse materialized views on the embedded server, as a contestant: `bench/contestants/clickhouse/*.sql`.
//!
//! **Meaning.** Each stream is inserted in batches into a table that keeps nothing, beside which views keep what is
//! asked for; answers are queries at the end. Counted is the server's CPU from the first insert to the last answer, and
//! its memory. It answers three of the five questions: an alert that is held and cleared, and the score that needs it,
//! are no aggregate of inserts.
//!
//! **State.** A batch of lines.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use model::{Error, Result};
use serde_json::{Value as Json, json};

use crate::answers;
use crate::city5::Manifest;
use crate::city5::network::{UNITS, length_mm, metres_per_unit};
use crate::clickhouse::{Client, Server};
use crate::contestants::{Task, failed};

const NAME: &str = "clickhouse";
/// Lines of an insert: as many as ClickHouse likes to take at once.
const BATCH: usize = 100_000;
/// Side of a cell, 10⁻⁷ degrees.
const CELL: i64 = 10_000;

/// Runs it, or says why it cannot.
///
/// # Errors
/// When ClickHouse fails.
pub fn run(task: &Task, output: &Path) -> Result<std::result::Result<Json, String>> {
    let server = match Server::start(&task.program, &task.root, &task.scratch.join(NAME)) {
        Ok(server) => server,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let read = |path: &Path| {
        let unreadable = |e| failed(NAME, &path.display().to_string()).caused_by(e);
        std::fs::read_to_string(path).map_err(unreadable)
    };
    let manifest: Manifest = serde_json::from_str(&read(&task.input.join("manifest.json"))?)
        .map_err(|e| failed(NAME, "manifest.json").caused_by(e))?;
    let folder = task.root.join("contestants").join(NAME);
    let [tables, queries] = ["tables.sql", "answers.sql"].map(|file| read(&folder.join(file)));
    let (tables, queries) = (fill(&tables?, &manifest), fill(&queries?, &manifest));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::internal("no runtime").caused_by(e))?;
    let client = server.client();
    let seconds = runtime.block_on(async {
        for statement in statements(&tables) {
            client.query(&statement).await?;
        }
        reference(&client, &task.input).await?;
        let started = Instant::now();
        for stream in ["telemetry", "positions", "cases"] {
            insert(&client, &task.input, stream).await?;
        }
        for (query, name) in statements(&queries).iter().zip(["windows", "swept", "cases"]) {
            let text = client.query(&format!("{query} FORMAT CSV")).await?;
            answers::write(output, name, text.lines().map(|line| line.replace('"', "")))?;
        }
        Ok::<_, Error>(started.elapsed().as_secs_f64())
    })?;
    let version = runtime.block_on(client.query("SELECT version()"))?;
    let (cpu_seconds, peak_rss_bytes) = crate::machine::used(server.id())
        .ok_or_else(|| failed(NAME, "/proc does not say what the server used"))?;
    Ok(Ok(json!({
        "version": version.trim(), "records": manifest.records + manifest.reference, "seconds": seconds,
        "cpu_seconds": cpu_seconds, "peak_rss_bytes": peak_rss_bytes,
    })))
}

/// The numbers in the statements.
fn fill(text: &str, manifest: &Manifest) -> String {
    let rules = manifest.rules;
    let numbers = [
        ("{step_ms}", rules.step_ms.to_string()),
        ("{window_ms}", rules.window_ms.to_string()),
        ("{reach_mm}", rules.reach_mm.to_string()),
        ("{until_ms}", manifest.until_ms.to_string()),
        ("{k}", format!("{:?}", metres_per_unit())),
    ];
    numbers.iter().fold(text.to_owned(), |text, (name, number)| text.replace(name, number))
}

/// The statements of a script.
fn statements(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// Sensors, roads, and the cells that roads come near.
async fn reference(client: &Client, input: &Path) -> Result<()> {
    let path = input.join("reference.ndjson");
    let unreadable = |e| failed(NAME, &path.display().to_string()).caused_by(e);
    let text = std::fs::read_to_string(&path).map_err(unreadable)?;
    let [mut sensors, mut roads, mut cells] = [String::new(), String::new(), String::new()];
    for line in text.lines() {
        let record: Json =
            serde_json::from_str(line).map_err(|e| failed(NAME, "a reference record").caused_by(e))?;
        let (id, district) = (&record["id"], &record["district"]);
        if record["kind"] == "sensor" {
            let row = json!({"sensor_id": id, "kind": record["sensor_kind"], "district": district});
            sensors.push_str(&format!("{row}\n"));
        } else if record["kind"] == "road" {
            let end = |n: usize| {
                let of = |i: usize| {
                    let degrees = record["geometry"]["coordinates"][n][i].as_f64().unwrap_or(f64::NAN);
                    (degrees * UNITS).round() as i64
                };
                (of(0), of(1))
            };
            let (a, b) = (end(0), end(1));
            roads.push_str(&format!("{}\n", json!({"id": id, "district": district, "mm": length_mm(a, b)})));
            let span = |a: i64, b: i64| {
                (a.min(b) - CELL / 2).div_euclid(CELL)..=(a.max(b) + CELL / 2).div_euclid(CELL)
            };
            for x in span(a.0, b.0) {
                for y in span(a.1, b.1) {
                    let row =
                        json!({"x": x, "y": y, "id": id, "lon1": a.0, "lat1": a.1, "lon2": b.0, "lat2": b.1});
                    cells.push_str(&format!("{row}\n"));
                }
            }
        }
    }
    for (table, rows) in [("sensors", sensors), ("roads", roads), ("cells", cells)] {
        client.query(&format!("INSERT INTO {table} FORMAT JSONEachRow\n{rows}")).await?;
    }
    Ok(())
}

async fn insert(client: &Client, input: &Path, stream: &str) -> Result<()> {
    let path = input.join(format!("{stream}.ndjson"));
    let unreadable = |e| failed(NAME, &path.display().to_string()).caused_by(e);
    let mut file = BufReader::with_capacity(1 << 20, std::fs::File::open(&path).map_err(unreadable)?);
    let head = format!(
        "INSERT INTO {stream} SETTINGS input_format_skip_unknown_fields = 1, input_format_parallel_parsing = 0 FORMAT JSONEachRow\n"
    );
    loop {
        let mut body = head.clone();
        let mut lines = 0;
        while lines < BATCH && file.read_line(&mut body).map_err(unreadable)? > 0 {
            lines += 1;
        }
        if lines == 0 {
            return Ok(());
        }
        client.query(&body).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn a_script_is_taken_apart() {
        assert_eq!(statements("-- of it\nSELECT 1;\n\nSELECT\n  2;\n-- end\n"), ["SELECT 1", "SELECT\n  2"]);
    }
}
