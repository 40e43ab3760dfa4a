//! The command line as a person meets it: exit codes, bad input, replays that agree.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

fn chengmai(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chengmai")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn rows(folder: &Path, view: &str) -> Vec<Json> {
    let text = fs::read_to_string(folder.join(format!("{view}.ndjson"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn bad_arguments_and_unreadable_input_are_2() {
    for (arguments, says) in [
        (&["replay"][..], "--input"),
        (&["replay", "--input", "/no/such/folder", "--output", "/tmp"], "/no/such/folder"),
        (&["replay", "--input", ".", "--output", "/tmp", "--workers", "0"], "0"),
        (&["dance"], "dance"),
        (&["load", "--stream", "weather", "x.ndjson"], "expected one of telemetry"),
        (&["serve", "--set", "engine.worker=2"], "did you mean `workers`?"),
        (&["serve", "--config", "/no/such/file"], "/no/such/file"),
    ] {
        let output = chengmai(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
    }
}

/// Each kind of garbage is in `rejects` with its place and reason, and the good lines around it are in the views.
#[test]
fn garbage_is_kept_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    let good = |n: usize| {
        format!(
            "{{\"vehicle_id\":\"v{n}\",\"ts\":{},\"lon\":109.5,\"lat\":36.6}}",
            1_700_000_000_000_i64 + n as i64
        )
        .into_bytes()
    };
    let with = |field: &str, value: &str| {
        let mut fields =
            [("vehicle_id", "\"x\""), ("ts", "1700000000000"), ("lon", "109.5"), ("lat", "36.6")];
        fields.iter_mut().find(|(name, _)| *name == field).unwrap().1 = value;
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    };
    let garbage: Vec<(Vec<u8>, &str, &str)> = vec![
        (b"garbage".to_vec(), "not_json", ""),
        (vec![b'x'; 10 << 20], "too_long", ""),
        (b"{\"vehicle_id\":\"\xff\xfe\"}".to_vec(), "not_utf8", ""),
        (with("lat", "NaN"), "not_json", ""),
        (with("lat", "\"36\""), "wrong_type", "`lat`"),
        (with("ts", "253370764800000"), "out_of_range", "`ts`"),
        (with("lat", "91"), "out_of_range", "91"),
    ];
    let garbage = garbage.as_slice();
    let mut file = Vec::new();
    for (n, (line, ..)) in garbage.iter().enumerate() {
        file.extend_from_slice(&good(n));
        file.push(b'\n');
        file.extend_from_slice(line);
        file.push(b'\n');
    }
    file.extend_from_slice(&good(garbage.len()));
    fs::write(input.join("positions.ndjson"), file).unwrap();
    fs::write(input.join("weather.ndjson"), "{\"rain\":1}\n{\"rain\":2}\n").unwrap();
    let run = chengmai(&["replay", "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let report: Json = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((report["records"].as_u64(), report["rejected"].as_u64()), (Some(17), Some(9)));
    for name in ["seconds", "records_per_second", "cpu_seconds", "peak_rss_bytes", "last_tick"] {
        assert!(report[name].as_f64().unwrap() > 0.0, "{name}: {report}");
    }
    assert_eq!(rows(&output, "vehicles").len(), garbage.len() + 1);
    let (unknown, rejects): (Vec<Json>, Vec<Json>) =
        rows(&output, "rejects").into_iter().partition(|row| row["topic"] == "city.weather");
    assert_eq!((unknown.len(), unknown[1]["offset"].as_u64()), (2, Some(1)));
    assert!(
        unknown[1]["reason"].as_str().unwrap().starts_with("unknown_stream: there is no stream `weather`")
    );
    assert_eq!(rejects.len(), garbage.len());
    for (n, (row, (_, code, detail))) in rejects.iter().zip(garbage).enumerate() {
        assert_eq!((row["topic"].as_str(), row["partition"].as_u64()), (Some("city.positions"), Some(0)));
        assert_eq!(row["offset"], 2 * n as u64 + 1);
        let reason = row["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("{code}:")) && reason.contains(detail), "{code}: {reason}");
        assert!(!row["payload"].as_str().unwrap().is_empty());
    }
}

/// The same files, any number of workers: the same bytes, and changes that add up to the rows.
/// With a horizon what comes within it corrects, and what comes later is told and changes nothing.
#[test]
fn a_replay_with_a_horizon_corrects_no_further_back() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    let start = 1_700_000_000_000_i64;
    // Half an hour of readings, one a second; then one of the last minute again, and one of the first.
    let reading = |ts: i64, at: i64, value: i64| {
        format!(
            "{{\"sensor_id\":\"s\",\"metric\":\"m\",\"ts\":{ts},\"appended_at\":{at},\"value\":{value}}}\n"
        )
    };
    let mut file: String = (0..1800).map(|n| reading(start + n * 1000, start + n * 1000, 1)).collect();
    let end = start + 1800 * 1000;
    let (within, beyond) = (end - 60_000, start + 30_000);
    file += &reading(within, end, 100);
    file += &reading(beyond, end, 100);
    fs::write(input.join("telemetry.ndjson"), file).unwrap();
    let greatest = |windows: &[Json], at: i64| {
        let holds = |row: &&Json| {
            let from = row["window_start"].as_i64().unwrap();
            (from..from + 300_000).contains(&at)
        };
        windows.iter().filter(holds).map(|row| row["max"].as_f64().unwrap()).fold(0.0, f64::max)
    };
    for (horizon, corrected, told) in [(None, 100.0, 0), (Some("600000"), 1.0, 1)] {
        let mut arguments =
            vec!["replay", "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        arguments.extend(horizon.iter().flat_map(|horizon| ["--horizon", horizon]));
        let done = chengmai(&arguments);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let windows = rows(&output, "sensor_windows");
        assert_eq!(
            [greatest(&windows, within), greatest(&windows, beyond)],
            [100.0, corrected],
            "{horizon:?}"
        );
        let ledger = rows(&output, "late_ledger");
        assert_eq!(ledger.len(), told, "{horizon:?}: {ledger:?}");
    }
}

#[test]
fn replays_agree_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = chengmai(&["simulate", "--records", "20000", "--files", &path("in"), "--seed", "5"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    // A rule that every reading meets, so that there are alerts in so short a time.
    let reference = folder.path().join("in/reference.ndjson");
    let rule =
        "{\"kind\":\"rule\",\"id\":\"any\",\"metric\":\"noise\",\"severity\":\"notice\",\"above\":-1000}\n";
    fs::write(&reference, fs::read_to_string(&reference).unwrap() + rule).unwrap();
    for workers in ["1", "2", "3"] {
        let output = path(workers);
        let run = chengmai(&[
            "replay",
            "--input",
            &path("in"),
            "--output",
            &output,
            "--workers",
            workers,
            "--changes",
        ]);
        assert!(run.status.success(), "{}", text(&run.stderr));
    }
    let mut names: Vec<_> =
        fs::read_dir(path("1")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 58, "twenty-nine views and their changes");
    for name in &names {
        let read = |workers: &str| fs::read(folder.path().join(workers).join(name)).unwrap();
        assert!(
            read("1") == read("2") && read("1") == read("3"),
            "{name:?} differs between numbers of workers"
        );
    }
    // Without changes the engine tells the rows of the end only: they are the same.
    for workers in ["1", "3"] {
        let output = path(&format!("last{workers}"));
        let run = chengmai(&["replay", "--input", &path("in"), "--output", &output, "--workers", workers]);
        assert!(run.status.success(), "{}", text(&run.stderr));
        let rows = names.iter().filter(|name| !name.to_str().unwrap().contains(".changes."));
        for name in rows {
            let read = |output: &str| fs::read(folder.path().join(output).join(name)).unwrap();
            assert!(read("1") == read(&format!("last{workers}")), "{name:?} differs without changes");
        }
    }
    let output = folder.path().join("1");
    for view in ["vehicles", "sensors", "cases", "sensor_windows", "alerts"] {
        let changes = fs::read_to_string(output.join(format!("{view}.changes.ndjson"))).unwrap();
        let key = |row: &Json| match view {
            "sensors" => format!("{}/{}", row["sensor_id"], row["metric"]),
            "sensor_windows" => format!(
                "{}/{}/{}/{:020}",
                row["kind"],
                row["metric"],
                row["district"],
                row["window_start"].as_i64().unwrap()
            ),
            _ => row.as_object().unwrap().values().next().unwrap().to_string(),
        };
        let mut state = std::collections::BTreeMap::new();
        let mut last = 0;
        for line in changes.lines() {
            let change: Json = serde_json::from_str(line).unwrap();
            assert!(change["tick"].as_u64().unwrap() >= last, "changes are in order of tick");
            last = change["tick"].as_u64().unwrap();
            match change["op"].as_str() {
                Some("upsert") => state.insert(key(&change["row"]), change["row"].clone()),
                Some("delete") => state.remove(&key(&change["row"])),
                other => panic!("{other:?}"),
            };
        }
        let mut rows = rows(&output, view);
        assert!(!rows.is_empty(), "{view}");
        rows.sort_by_key(|row| key(row));
        assert_eq!(state.into_values().collect::<Vec<_>>(), rows, "{view}");
    }
    // Until an earlier tick: the rows at that tick, and nothing of later ones.
    let middle = fs::read_to_string(output.join("vehicles.changes.ndjson")).unwrap();
    let ticks: Vec<i64> = middle
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap()["tick"].as_i64().unwrap())
        .collect();
    let until = ticks[ticks.len() / 2].to_string();
    let run = chengmai(&["replay", "--input", &path("in"), "--output", &path("u"), "--until", &until]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let latest = rows(&folder.path().join("u"), "vehicles");
    assert!(!latest.is_empty());
    let report: Json = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["last_tick"].to_string(), until);
}
