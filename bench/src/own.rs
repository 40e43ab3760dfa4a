//! Chengmai's own contestants over files: decode, floor, replay. Each is a process of its own, so that memory and CPU are
//! its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use model::{Error, Result};
use serde_json::Value as Json;

use crate::answers;
use crate::contestants::{Task, failed, finish, last_json};
use crate::server::asked_statistics;

/// Chengmai's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Twice as long as the workload's records are late at most, ms.
const HORIZON_MS: i64 = 600_000;

fn with_version(mut said: Json) -> Json {
    said["version"] = VERSION.into();
    said
}

/// Reads and decodes.
///
/// # Errors
/// When the process fails.
pub fn decode(task: &Task) -> Result<Json> {
    let mut command = Command::new(&task.program);
    command.args(["replay", "--decode-only", "--input"]).arg(&task.input);
    command.args(["--tick", &task.tick_ms.to_string()]);
    last_json("decode", &finish("decode", &mut command)?).map(with_version)
}

/// The floor in a process of its own.
///
/// # Errors
/// When the process fails.
pub fn floor(task: &Task, output: &Path) -> Result<Json> {
    let mut command = Command::new(&task.program);
    command.args(["bench", "floor"]).arg(&task.input).arg(output);
    last_json("floor", &finish("floor", &mut command)?).map(with_version)
}

/// Chengmai from files, told how late records may be.
///
/// # Errors
/// When the process fails or its views cannot be read.
pub fn replay(task: &Task, output: &Path) -> Result<Json> {
    let views = task.scratch.join("views");
    let mut command = Command::new(&task.program);
    command.args(["replay", "--input"]).arg(&task.input).arg("--output").arg(&views);
    command.args(["--workers", &task.workers.to_string(), "--tick", &task.tick_ms.to_string()]);
    command.args(["--until", &task.until_ms.to_string(), "--horizon", &HORIZON_MS.to_string()]);
    for set in asked_statistics() {
        command.args(["--set", &set]);
    }
    if !task.views.is_empty() {
        command.args(["--views", &task.views.join(",")]);
    }
    let said = last_json("replay", &finish("replay", &mut command)?)?;
    let mut rows = |view: &str| -> Result<Option<Vec<Json>>> {
        let path = views.join(format!("{view}.ndjson"));
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |e: std::io::Error| failed("replay", &path.display().to_string()).caused_by(e);
        let text = fs::read_to_string(&path).map_err(unreadable)?;
        let parse =
            |line| serde_json::from_str(line).map_err(|e| Error::internal("a row is no JSON").caused_by(e));
        text.lines().map(parse).collect::<Result<Vec<Json>>>().map(Some)
    };
    write_answers(output, &mut rows)?;
    Ok(with_version(said))
}

/// Turns the rows of views into answers; `rows` gives those of a view, or nothing when it is not kept.
///
/// # Errors
/// When rows cannot be had, or answers not written.
pub fn write_answers(output: &Path, rows: &mut dyn FnMut(&str) -> Result<Option<Vec<Json>>>) -> Result<()> {
    let text = |row: &Json, column: &str| match &row[column] {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let scaled =
        |row: &Json, column: &str, by: f64| (row[column].as_f64().unwrap_or(f64::NAN) * by).round() as i64;
    if let Some(rows) = rows("alerts")? {
        // The workload's rules alone: the shipped ones watch nothing of it.
        let ours = |row: &&Json| row["rule"].as_str().is_some_and(|rule| rule.starts_with("city5-"));
        let lines = rows.iter().filter(ours).filter(|row| row["state"] != "withdrawn");
        let line = |row: &Json| {
            format!("{},{},{}", text(row, "target"), text(row, "raised_ts"), text(row, "cleared_ts"))
        };
        answers::write(output, "alerts", lines.map(line))?;
    }
    if let Some(rows) = rows("swept_lengths")? {
        let line = |row: &Json| {
            let mm = scaled(row, "swept", 1000.0);
            format!("{},{},{mm},{}", text(row, "district"), text(row, "hour"), text(row, "segments"))
        };
        answers::write(output, "swept", rows.iter().map(line))?;
    }
    if let Some(rows) = rows("case_rates")? {
        let lines = rows.iter().filter(|row| row["scope"] == "district" && row["period"] == "all");
        let line = |row: &Json| format!("{},{},{}", text(row, "id"), text(row, "open"), text(row, "overdue"));
        answers::write(output, "cases", lines.map(line))?;
    }
    if let Some(rows) = rows("sensor_windows")? {
        let line = |row: &Json| {
            let count = row["count"].as_f64().unwrap_or(f64::NAN);
            let tenths = scaled(row, "mean", count * 10.0);
            let start = text(row, "window_start");
            format!("{},{},{start},{},{tenths}", text(row, "kind"), text(row, "district"), text(row, "count"))
        };
        answers::write(output, "windows", rows.iter().map(line))?;
    }
    if let Some(rows) = rows("workload_scores")? {
        let line = |row: &Json| format!("{},{}", text(row, "district"), scaled(row, "score", 100.0));
        answers::write(output, "scores", rows.iter().map(line))?;
    }
    Ok(())
}
