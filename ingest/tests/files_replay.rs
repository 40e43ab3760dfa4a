//! Replaying files: which tick a record gets, in what order rows come, and what bad lines do to their neighbours.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use ingest::files::{ReplayOptions, ReplayStats, SHIPPED, input_bytes, replay};
use ingest::streams::{Limits, shipped};
use model::{Bound, Error, Fault, Feed, Names, Result, Row, StreamId, Tick, TickLength};
use proptest::prelude::*;
use tempfile::TempDir;

const T: i64 = 1_700_000_000_000;
use StreamId::{Cases, Positions, Reference, Telemetry};

fn options() -> ReplayOptions {
    let limits = Limits { horizon_ms: None, ..Limits::default() };
    ReplayOptions { tick: TickLength::default(), until: None, limits }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Everything that was fed, the order of feeds checked.
struct Fed {
    rows: Vec<(Tick, Row)>,
    advances: Vec<Tick>,
    stats: ReplayStats,
}

fn run_with(dir: &Path, options: &ReplayOptions) -> Result<Fed> {
    let (names, mut rows, mut advances) = (Arc::new(Names::new()), Vec::new(), Vec::<Tick>::new());
    let mut feed = |feed: Feed| {
        match feed {
            Feed::Rows { tick, rows: batch } => {
                assert!(!batch.is_empty() && batch.len() <= 8192 + 5, "{} rows", batch.len());
                assert!(advances.last().is_none_or(|closed| tick > *closed), "{tick} is closed");
                assert!(rows.last().is_none_or(|(last, _)| *last <= tick));
                rows.extend(batch.into_iter().map(|row| (tick, row)));
            }
            Feed::Advance(tick) => {
                assert!(advances.last().is_none_or(|closed| tick > *closed), "{tick} is closed twice");
                assert!(rows.last().is_none_or(|(last, _)| *last <= tick));
                advances.push(tick);
            }
        }
        Ok(())
    };
    let stats = replay(dir, options, &names, &mut feed, &|_| {})?;
    assert_eq!(advances.last(), Some(&stats.last_tick), "the end is closed");
    Ok(Fed { rows, advances, stats })
}

fn run(dir: &TempDir) -> Fed {
    run_with(dir.path(), &options()).unwrap()
}

impl Fed {
    /// `(tick, stream, offset, rejected)` of each record of the files, in the order fed.
    fn records(&self) -> Vec<(i64, StreamId, u64, bool)> {
        let record = |(tick, row): &(Tick, Row)| {
            let (pos, rejected) = match row {
                Row::Reading(row) => (row.pos, false),
                Row::Fix(row) => (row.pos, false),
                Row::Case(row) => (row.pos, false),
                Row::Reference(row) => (row.pos, false),
                Row::Action(row) => (row.pos, false),
                Row::Rejected(row) => (row.pos, true),
                Row::Late(_) => panic!("nothing is too late in a replay"),
                Row::Bound(_) => return None,
            };
            (pos.partition != SHIPPED).then_some((*tick as i64 - T, pos.stream, pos.offset, rejected))
        };
        self.rows.iter().filter_map(record).collect()
    }

    fn bounds(&self) -> Vec<(i64, Bound)> {
        let bound = |(tick, row): &(Tick, Row)| match row {
            Row::Bound(bound) => Some((*tick as i64 - T, (**bound).clone())),
            _ => None,
        };
        self.rows.iter().filter_map(bound).collect()
    }
}

fn reading(after: i64) -> String {
    format!("{{\"sensor_id\":\"s\",\"ts\":{},\"metric\":\"m\",\"value\":1}}\n", T + after)
}

#[test]
fn the_tick_of_a_record_is_the_running_maximum_of_its_file() {
    let dir = folder(&[("telemetry.ndjson", &[1, 200, 201, 100, 1000, 999].map(reading).concat())]);
    let fed = run(&dir);
    let ticks: Vec<i64> = fed.records().iter().map(|record| record.0).collect();
    assert_eq!(ticks, [200, 200, 400, 400, 1000, 1000]);
    let expected: Vec<Tick> =
        [0].into_iter().chain([200, 400, 1000].map(|after| (T + after) as Tick)).collect();
    assert_eq!(fed.advances, expected, "the shipped records are closed at tick 0");
    assert_eq!(fed.stats, ReplayStats { records: 6, rejected: 0, last_tick: T as Tick + 1000 });
    let bounds: Vec<_> =
        fed.bounds().iter().map(|(tick, bound)| (*tick, bound.records, bound.max_ts)).collect();
    // When they arrived is not known, so none of them counts as arrived.
    assert_eq!(bounds, [(200, 0, Some(T + 200)), (400, 0, Some(T + 201)), (1000, 0, Some(T + 1000))]);
}

#[test]
fn appended_at_comes_before_ts() {
    let line = |ts: i64, appended: &str| {
        format!(
            "{{\"sensor_id\":\"s\",\"ts\":{},\"appended_at\":{appended},\"metric\":\"m\",\"value\":1}}\n",
            T + ts
        )
    };
    let text = [
        line(0, &(T + 500).to_string()),
        line(-5_000_000, "\"2023-11-14T22:13:21+00:00\""),
        // Appended earlier than the line before: a tick never goes back.
        line(0, &(T + 200).to_string()),
        // More than five minutes ahead of an append time that is known.
        line(400_000, &(T + 1200).to_string()),
        // Without one, time itself moves on.
        reading(500_000),
        // Older than its tick, but who knows when it arrived.
        reading(0),
    ]
    .concat();
    let fed = run(&folder(&[("telemetry.ndjson", &text)]));
    let got: Vec<_> = fed.records().iter().map(|record| (record.0, record.3)).collect();
    assert_eq!(
        got,
        [(600, false), (1000, false), (1000, false), (1200, true), (500_000, false), (500_000, false)]
    );
    let counts: Vec<_> = fed.bounds().iter().map(|(_, bound)| (bound.records, bound.late)).collect();
    assert_eq!(counts, [(1, 0), (2, 1), (1, 0), (0, 0)]);
}

#[test]
fn at_one_tick_reference_data_come_first_then_the_order_of_streams() {
    let fix =
        |after: i64| format!("{{\"vehicle_id\":\"v\",\"ts\":{},\"lon\":109.5,\"lat\":36.6}}\n", T + after);
    let case = |after: i64| format!("{{\"case_id\":\"c\",\"ts\":{},\"event\":\"filed\"}}\n", T + after);
    let park = |after: i64| format!("{{\"kind\":\"park\",\"id\":\"p\",\"ts\":{}}}\n", T + after);
    let action = format!(
        "{{\"action_id\":\"a\",\"ts\":{},\"user\":\"u\",\"action\":\"ack\",\"target\":\"t\"}}\n",
        T + 200
    );
    let dir = folder(&[
        ("telemetry.ndjson", &[reading(200), reading(600)].concat()),
        ("positions.ndjson", &[fix(200), fix(150), fix(400), fix(600)].concat()),
        ("cases.ndjson", &[case(0), case(600)].concat()),
        ("reference.ndjson", &[park(600), park(700)].concat()),
        ("actions.ndjson", &action),
    ]);
    let got: Vec<_> = run(&dir).records().iter().map(|record| (record.0, record.1, record.2)).collect();
    let expected = [
        (0, Cases, 0),
        (200, Telemetry, 0),
        (200, Positions, 0),
        (200, Positions, 1),
        (200, StreamId::Actions, 0),
        (400, Positions, 2),
        (600, Reference, 0),
        (600, Telemetry, 1),
        (600, Positions, 3),
        (600, Cases, 1),
        (800, Reference, 1),
    ];
    assert_eq!(got, expected);
}

#[test]
fn what_knows_no_time_begins_with_its_file_or_with_the_input() {
    let dir = folder(&[
        (
            "reference.ndjson",
            &format!(
                "{{\"kind\":\"park\",\"id\":\"p\"}}\n{{\"kind\":\"park\",\"id\":\"q\",\"ts\":{}}}\n{{\"kind\":\"park\",\"id\":\"r\"}}\n",
                T + 900
            ),
        ),
        ("telemetry.ndjson", &["garbage\n".into(), reading(400), "garbage\n".into()].concat()),
        ("positions.ndjson", "garbage\n"),
        ("cases.ndjson", &format!("{{\"case_id\":\"c\",\"ts\":{},\"event\":\"filed\"}}\n", T + 200)),
    ]);
    let got: Vec<_> = run(&dir).records().iter().map(|record| (record.0, record.1, record.2)).collect();
    let expected = [
        (200, Reference, 0),
        (200, Positions, 0),
        (200, Cases, 0),
        (400, Telemetry, 0),
        (400, Telemetry, 1),
        (400, Telemetry, 2),
        (1000, Reference, 1),
        (1000, Reference, 2),
    ];
    assert_eq!(got, expected);
    let timeless = folder(&[("reference.ndjson", "{\"kind\":\"park\",\"id\":\"p\"}\n")]);
    let fed = run(&timeless);
    assert_eq!((fed.advances.clone(), fed.stats.records), (vec![0, 200], 1));
}

#[test]
fn bad_lines_are_refused_at_their_place_and_harm_no_neighbour() {
    let mut text = Vec::new();
    let mut bad = Vec::new();
    let garbage: [&[u8]; 10] = [
        b"garbage",
        &[0xff, 0xfe, 0x00],
        b"{\"sensor_id\":\"s\",\"ts\":1700000000000,\"metric\":\"m\",\"value\":NaN}",
        b"{\"sensor_id\":\"s\",\"ts\":1700000000000,\"metric\":\"m\",\"value\":\"1\"}",
        b"{\"sensor_id\":\"s\",\"ts\":253370764800000,\"metric\":\"m\",\"value\":1}",
        b"{\"sensor_id\":\"s\",\"ts\":1700000000000,\"metric\":\"m\",\"value\":1e400}",
        b"{\"sensor_id\":\"s\",\"metric\":\"m\",\"value\":1}",
        b"null",
        b"{\"sensor_id\":\"s\",\"ts\":1700000000000",
        &[b'x'; 10_000_000],
    ];
    for (i, line) in garbage.iter().enumerate() {
        text.extend_from_slice(reading(200 * i as i64).as_bytes());
        text.extend_from_slice(line);
        text.push(b'\n');
        bad.push(2 * i as u64 + 1);
    }
    text.extend_from_slice(reading(2000).trim_end().as_bytes());
    let dir = folder(&[]);
    fs::write(dir.path().join("telemetry.ndjson"), &text).unwrap();
    let positions = format!(
        "{{\"vehicle_id\":\"v\",\"ts\":{T},\"lon\":109.5,\"lat\":91}}\n\n  \r\n{{\"vehicle_id\":\"v\",\"ts\":{T},\"lon\":109.5,\"lat\":36}}\r\n{{\"vehicle_id\":\"v\",\"ts\":{},\"lon\":0,\"lat\":0}}\n",
        T + 2400
    );
    fs::write(dir.path().join("positions.ndjson"), positions).unwrap();
    fs::write(dir.path().join("reference.ndjson"), "{\"kind\":\"park\",\"id\":\"p\",\"deleted\":true}\n")
        .unwrap();
    let fed = run(&dir);
    let records = fed.records();
    let offsets = |stream: StreamId, rejected: bool| -> Vec<u64> {
        records.iter().filter(|r| r.1 == stream && r.3 == rejected).map(|r| r.2).collect()
    };
    assert_eq!(offsets(Telemetry, true), bad);
    assert_eq!(offsets(Telemetry, false), (0..=20).step_by(2).collect::<Vec<u64>>());
    assert_eq!(
        (offsets(Positions, true), offsets(Positions, false)),
        (vec![0, 4], vec![3]),
        "empty lines are lines"
    );
    assert_eq!(offsets(Reference, false), [0]);
    assert_eq!(fed.stats.records, 21 + 3 + 1);
    assert_eq!(fed.stats.rejected, 12);
    // The year 9999 moved nothing; the valid time of a fix at (0, 0) did.
    assert_eq!(fed.stats.last_tick, (T + 2400) as Tick);
    let rejected: u64 = fed.bounds().iter().map(|(_, bound)| bound.rejected).sum();
    assert_eq!(rejected, 12);
    let reasons: Vec<String> = fed
        .rows
        .iter()
        .filter_map(|(_, row)| match row {
            Row::Rejected(refused) => Some(refused.reason.split(':').next().unwrap_or_default().to_owned()),
            _ => None,
        })
        .collect();
    for code in [
        "not_json",
        "not_utf8",
        "wrong_type",
        "out_of_range",
        "missing_field",
        "too_long",
        "implausible_zero",
    ] {
        assert!(reasons.iter().any(|reason| reason == code), "{code} is not in {reasons:?}");
    }
}

#[test]
fn a_line_of_exactly_the_limit_is_a_line() {
    let options = ReplayOptions { limits: Limits { max_record_bytes: 100, ..options().limits }, ..options() };
    let line = |length: usize| {
        let head = reading(0).trim_end().trim_end_matches('}').to_owned() + ",\"x\":\"";
        format!("{head}{}\"}}", "y".repeat(length - head.len() - 2))
    };
    let text = format!("{}\n{}\n{}\r\n{}\n{}", line(100), line(101), line(100), line(102), line(100));
    let dir = folder(&[("telemetry.ndjson", &text)]);
    let fed = run_with(dir.path(), &options).unwrap();
    let got: Vec<_> = fed.records().iter().map(|record| record.3).collect();
    assert_eq!(got, [false, true, false, true, false]);
}

#[test]
fn compressed_files_are_the_same_files() {
    let text: String = (0..20_000).map(|i| reading(i * 7)).collect();
    let plain = folder(&[("telemetry.ndjson", &text)]);
    let gz = TempDir::new().unwrap();
    let file = fs::File::create(gz.path().join("telemetry.ndjson.gz")).unwrap();
    let mut writer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    writer.write_all(&text.as_bytes()[..300_000]).unwrap();
    // Two members one behind the other, as `cat a.gz b.gz` makes them.
    let mut writer = flate2::write::GzEncoder::new(writer.finish().unwrap(), flate2::Compression::fast());
    writer.write_all(&text.as_bytes()[300_000..]).unwrap();
    writer.finish().unwrap();
    let zst = TempDir::new().unwrap();
    fs::write(zst.path().join("telemetry.ndjson.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap())
        .unwrap();
    let expected = run(&plain);
    assert_eq!(expected.stats.records, 20_000);
    for dir in [&gz, &zst] {
        let fed = run(dir);
        assert_eq!((fed.records(), fed.stats), (expected.records(), expected.stats));
        assert!(input_bytes(dir.path()) < input_bytes(plain.path()));
    }
    assert_eq!(input_bytes(plain.path()), text.len() as u64);
}

#[test]
fn progress_ends_at_the_size_of_the_input() {
    let dir = folder(&[("telemetry.ndjson", &(0..5000).map(|i| reading(i * 100)).collect::<String>())]);
    let seen = Cell::new(0);
    let progress = |bytes: u64| {
        assert!(bytes > seen.get());
        seen.set(bytes);
    };
    replay(dir.path(), &options(), &Arc::new(Names::new()), &mut |_| Ok(()), &progress).unwrap();
    assert_eq!(seen.get(), input_bytes(dir.path()));
}

#[test]
fn broken_input_is_the_users_fault() {
    let fault = |dir: &Path| run_with(dir, &options()).map(|_| ()).unwrap_err();
    let both = folder(&[("cases.ndjson", ""), ("cases.ndjson.gz", "")]);
    assert!(fault(both.path()).to_string().contains("which one is meant"));
    let broken = folder(&[("cases.ndjson.gz", "this is not gzip")]);
    assert_eq!(fault(broken.path()).fault, Fault::User);
    assert!(fault(broken.path()).to_string().contains("cases.ndjson.gz"));
    assert_eq!(fault(&both.path().join("nowhere")).fault, Fault::User);
}

#[test]
fn until_stops_reading_and_closes_that_tick() {
    let dir = folder(&[("telemetry.ndjson", &[200, 400, 600].map(reading).concat())]);
    let last = |until: i64| {
        let fed = run_with(dir.path(), &ReplayOptions { until: Some(T + until), ..options() }).unwrap();
        (fed.stats.records, fed.stats.last_tick as i64 - T)
    };
    assert_eq!(last(100), (0, 0));
    assert_eq!(last(400), (2, 400));
    assert_eq!(last(599), (2, 400));
    assert_eq!(last(5_001), (3, 5_000));
    let empty = run(&folder(&[]));
    assert_eq!((empty.advances, empty.stats.records), (vec![0], 0));
}

#[test]
fn the_shipped_records_come_first() {
    let fed = run(&folder(&[("telemetry.ndjson", &reading(0))]));
    let lines = shipped().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    for (i, (tick, row)) in fed.rows.iter().take(lines).enumerate() {
        let Row::Reference(record) = row else { panic!("{row:?}") };
        assert_eq!(
            (*tick, record.pos.stream, record.pos.partition, record.pos.offset),
            (0, Reference, u16::MAX, i as u64)
        );
    }
    assert!(matches!(fed.rows[lines], (_, Row::Reading(_))));
}

#[test]
fn many_rows_of_one_tick_come_in_batches() {
    let dir = folder(&[("telemetry.ndjson", &reading(0).repeat(20_000))]);
    let fed = run(&dir);
    assert_eq!(fed.records().len(), 20_000);
    assert_eq!(fed.advances, [0, T as Tick]);
    assert_eq!(fed.bounds().len(), 1);
}

#[test]
fn a_feed_that_fails_ends_the_replay() {
    let dir = folder(&[("telemetry.ndjson", &reading(0))]);
    let failed = replay(
        dir.path(),
        &options(),
        &Arc::new(Names::new()),
        &mut |_| Err(Error::internal("full")),
        &|_| {},
    );
    assert_eq!(failed.unwrap_err().to_string(), "full");
}

/// A line of a file for the property: some are good, some are not, some are empty.
fn line(seed: u8, ts: i64) -> String {
    match seed % 6 {
        0 => "\n".into(),
        1 => "nonsense\n".into(),
        2 => format!("{{\"sensor_id\":\"s\",\"ts\":{ts},\"metric\":\"m\"}}\n"),
        3 => format!(
            "{{\"sensor_id\":\"s\",\"ts\":{ts},\"appended_at\":{},\"metric\":\"m\",\"value\":1}}\n",
            ts + 150
        ),
        _ => format!("{{\"sensor_id\":\"s\",\"ts\":{ts},\"metric\":\"m\",\"value\":1}}\n"),
    }
}

/// The same rule as the module's, said naively: `(tick, offset)` of each line that is a record.
fn expected(lines: &[(u8, i64)]) -> Vec<(i64, u64)> {
    let known: Vec<(u64, Option<i64>)> = (0..)
        .zip(lines)
        .filter(|(_, (seed, _))| seed % 6 != 0)
        .map(|(offset, (seed, ts))| {
            (
                offset,
                match seed % 6 {
                    1 => None,
                    3 => Some(ts + 150),
                    _ => Some(*ts),
                },
            )
        })
        .collect();
    let first = known.iter().find_map(|(_, time)| *time).unwrap_or(200 - T);
    let up = |time: i64| time.div_euclid(200) * 200 + if time % 200 == 0 { 0 } else { 200 };
    (0..known.len())
        .map(|i| {
            let max = known[..=i].iter().filter_map(|(_, time)| *time).max().unwrap_or(first);
            (up(max), known[i].0)
        })
        .collect()
}

proptest! {
    #[test]
    fn ticks_are_those_of_the_naive_rule(lines in proptest::collection::vec((any::<u8>(), 0..5_000i64), 1..40)) {
        prop_assume!(lines.iter().any(|(seed, _)| seed % 6 > 1));
        let text: String = lines.iter().map(|(seed, after)| line(*seed, T + after)).collect();
        let fed = run(&folder(&[("telemetry.ndjson", &text)]));
        let got: Vec<(i64, u64)> = fed.records().iter().map(|record| (record.0, record.2)).collect();
        prop_assert_eq!(got, expected(&lines));
    }
}
