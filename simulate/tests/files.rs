//! The files of the throughput runs: the mix, the sizes and the append times.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::collections::BTreeSet;

use serde_json::Value;
use simulate::{Config, write_files};

fn lines(dir: &std::path::Path, stream: &str) -> Vec<(usize, Value)> {
    let text = std::fs::read_to_string(dir.join(format!("{stream}.ndjson"))).unwrap();
    text.lines().map(|line| (line.len(), serde_json::from_str(line).unwrap())).collect()
}

#[test]
fn the_bench_mix_has_its_shape() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::bench_mix(42);
    // The case events need some minutes of simulated time until as many cases end as begin.
    let written = write_files(config.clone(), 600_000, dir.path()).unwrap();
    assert_eq!(written.records(), 600_000);
    let share = |count: u64| count as f64 / 600_000.0 * 5.2;
    assert!((share(written.positions) - 3.0).abs() < 0.1, "{written:?}");
    assert!((share(written.telemetry) - 2.0).abs() < 0.1, "{written:?}");
    assert!((share(written.cases) - 0.2).abs() < 0.06, "{written:?}");
    let rate = 600_000.0 / ((written.last_ms - config.start_ms) as f64 / 1000.0);
    assert!((rate - 5_200.0).abs() < 200.0, "{rate} records a second");
    let mut bytes = 0;
    let mut late = 0;
    let mut vehicles = BTreeSet::new();
    for stream in ["reference", "telemetry", "positions", "cases"] {
        let mut last = 0;
        for (length, record) in lines(dir.path(), stream) {
            bytes += length as u64 + 1;
            // The append time is 28 bytes of it.
            assert!(stream == "reference" || length <= 250 + 28, "{record}");
            let at = record["appended_at"].as_i64().unwrap();
            assert!(at >= last);
            last = at;
            if stream == "positions" {
                late += u64::from(at - record["ts"].as_i64().unwrap() > 10_000);
                vehicles.insert(record["vehicle_id"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(bytes, written.bytes);
    assert_eq!(vehicles.len(), 2_000);
    // 1 % of what is 30 s old or older by the end: the rest is withheld yet.
    assert!(late > 0 && late < written.positions / 100, "{late}");
}

#[test]
fn the_same_configuration_writes_the_same_files() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = Config { vehicles: 30, sensors: 40, ..Config::default() };
    write_files(config.clone(), 5_000, a.path()).unwrap();
    write_files(config, 5_000, b.path()).unwrap();
    for stream in ["reference", "telemetry", "positions", "cases"] {
        let read = |dir: &std::path::Path| std::fs::read(dir.join(format!("{stream}.ndjson"))).unwrap();
        assert!(read(a.path()) == read(b.path()), "{stream}");
    }
}

#[test]
fn a_city_in_which_nothing_happens_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { vehicles: 0, sensors: 0, cases_per_hour: 0.0, ..Config::default() };
    assert!(write_files(config, 1, dir.path()).unwrap_err().to_string().contains("nothing happens"));
}
