//! `chengmai bench` as a person meets it: answers that are checked, results that can be compared, a stall that shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

fn bench(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chengmai"));
    command.arg("bench").args(arguments);
    if arguments[0] != "compare" {
        command.arg("--root").arg(root);
    }
    command.output().unwrap()
}

fn result(folder: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(folder.join("result.json")).unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A scenario in a file.
fn scenario(folder: &Path, body: &str) -> String {
    let path = folder.join("short.toml");
    fs::write(&path, format!("about = \"short\"\n{body}")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn contestants_agree_with_the_batch_reference_and_results_can_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    let name = scenario(
        folder.path(),
        "[workload]\nrecords = 52000\nrate = 50\nkeys = 0.1\n\
         [throughput]\ncontestants = [\"decode\", \"floor\", \"replay\"]\nrounds = 2\nworkers = [1, 2]\n",
    );
    let output = folder.path().join("out");
    let done = bench(&[&name, "--output", output.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let said = result(&output);
    let contestants = said["contestants"].as_array().unwrap();
    assert_eq!(contestants.len(), 4, "replay runs with one worker and with two");
    for contestant in contestants {
        assert!(contestant["records"].as_u64().unwrap() > 52_000, "{contestant}");
        assert!(
            contestant["cpu_seconds"].as_f64().unwrap() > 0.0
                && contestant["seconds"].as_f64().unwrap() > 0.0
        );
        assert!(contestant["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
        assert_eq!(contestant["rounds"].as_array().unwrap().len(), 2);
        match contestant["name"].as_str().unwrap() {
            "decode" => assert!(contestant["correct"].is_null()),
            _ => {
                assert_eq!(contestant["correct"], true, "{contestant}");
                assert_eq!(contestant["verdict"]["answered"].as_array().unwrap().len(), 5);
            }
        }
    }
    for file in ["result.md", "cpu.svg", "workers.svg"] {
        assert!(output.join(file).exists(), "{file}");
    }
    // A wrong answer is found: the expected one is changed, and the run fails for that reason.
    let answers = output.join("workload-52000-0.1").join("expected");
    let scores = fs::read_to_string(answers.join("scores.csv")).unwrap();
    let last = scores.trim_end().rsplit_once(',').unwrap().0;
    fs::write(answers.join("scores.csv"), format!("{last},1\n")).unwrap();
    let second = folder.path().join("out");
    let done =
        bench(&[&name, "--output", second.to_str().unwrap(), "--contestants", "floor", "--rounds", "1"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("an answer was wrong"), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("Wrong: floor: scores"), "{}", text(&done.stdout));
    assert_eq!(result(&second)["contestants"][0]["correct"], false);
    let compared = bench(&["compare", output.to_str().unwrap(), second.to_str().unwrap()]);
    assert!(
        compared.status.success() && text(&compared.stdout).contains("| floor |"),
        "{}",
        text(&compared.stdout)
    );
}

#[test]
fn a_planted_stall_shows_in_the_99th_percentile() {
    let folder = tempfile::tempdir().unwrap();
    let name = scenario(
        folder.path(),
        "[workload]\nkeys = 0.02\n[latency]\nrate = 200\nwarmup_s = 1\nseconds = 6\ntick_ms = 10\n\
         burst_ms = 50\nprobe_every_ms = 50\nstall_ms = 50\n",
    );
    let output = folder.path().join("out");
    let done = bench(&[&name, "--output", output.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let said = result(&output);
    let latency = &said["contestants"][0]["latency_ms"];
    for stage in ["published", "client"] {
        let figures = &latency[stage];
        assert_eq!(figures["lost"], 0, "{figures}");
        assert!(figures["probes"].as_u64().unwrap() > 100, "{figures}");
        assert!(figures["p50"].as_f64().unwrap() > 0.0);
        // One probe of twenty is due when a stall begins.
        assert!(figures["p99"].as_f64().unwrap() >= 40.0, "{figures}");
    }
    assert!(text(&done.stdout).contains("| client |"), "{}", text(&done.stdout));
}

#[test]
fn a_scenario_that_is_none_is_named_beside_those_there_are() {
    let done = bench(&["city-6", "--output", "/tmp"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("city-5"), "{}", text(&done.stderr));
}
