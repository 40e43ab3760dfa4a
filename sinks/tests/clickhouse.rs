//! The warehouse at T equals the screen at T: random histories through the sink into a real server.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails as it should")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{PastChange, Tick, Value};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value as Json;
use sinks::clickhouse::read::Reader;
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink, Handle, as_of_sql};
use support::Warehouse;
use support::history::{DAY, History, SPECS, histories, sorted, to_json};

fn start(config: ClickHouseConfig, history: &History) -> Handle {
    ClickHouseSink::start(config, SPECS.to_vec(), Arc::clone(&history.names)).unwrap()
}

/// One history of about `events` events that is the same in every run.
fn one(events: usize) -> History {
    let mut runner = TestRunner::deterministic();
    histories(events..events + 1).new_tree(&mut runner).unwrap().current()
}

/// Compares both views with the replay at every tick of a change before `upper`, and between them.
fn assert_equal_at_every_tick(warehouse: &Warehouse, database: &str, history: &History, upper: Tick) {
    assert_equal_at_some_ticks(warehouse, database, history, upper, 1);
}

/// The same at every `step`-th of these ticks.
fn assert_equal_at_some_ticks(
    warehouse: &Warehouse,
    database: &str,
    history: &History,
    upper: Tick,
    step: usize,
) {
    let ticks: BTreeSet<Tick> = history
        .events
        .iter()
        .flat_map(|event| [event.tick - 1, event.tick])
        .filter(|tick| *tick < upper)
        .collect();
    for (view, spec) in SPECS.iter().enumerate() {
        for &tick in ticks.iter().step_by(step) {
            let found = warehouse.rows(spec, &format!("{database}.{}_as_of(at = {tick})", spec.name));
            assert_eq!(found, history.at(view, tick), "{} at {tick}", spec.name);
        }
        let last = upper - 1;
        let latest = warehouse.rows(spec, &format!("{database}.{}", spec.name));
        assert_eq!(latest, history.at(view, last), "{} now", spec.name);
        let sql = as_of_sql(database, spec, Some(last));
        assert_eq!(warehouse.rows(spec, &format!("({sql})")), latest);
        let stored = warehouse.query(&format!("SELECT count() FROM {database}.{}_changes", spec.name));
        assert_eq!(stored, history.changes(view, upper).to_string(), "changes of {}", spec.name);
    }
}

/// The end of the last cell that is whole before `upper`, exclusive.
fn whole(upper: Tick) -> Tick {
    (upper - 1) / 1000 * 1000 + 1
}

#[test]
fn the_tables_are_those_of_the_specification() {
    let warehouse = Warehouse::start();
    start(warehouse.config("city"), &one(1)).close().unwrap();
    let columns = warehouse.query(
        "SELECT name, type FROM system.columns WHERE database = 'city' AND table = 'wide_changes' FORMAT CSV",
    );
    let expected = r#""tick","DateTime64(3, 'UTC')"
"op","Enum8('upsert' = 1, 'delete' = 2)"
"id","String"
"part","Nullable(Int64)"
"row_tick","DateTime64(3, 'UTC')"
"row_op","Nullable(String)"
"on","Bool"
"level","Nullable(Float64)"
"seen","Nullable(DateTime64(3, 'UTC'))"
"doc","String""#;
    assert_eq!(columns, expected);
    let table = warehouse.query(
        "SELECT engine, partition_key, sorting_key FROM system.tables \
         WHERE database = 'city' AND name = 'wide_changes' FORMAT TSV",
    );
    assert_eq!(table, "MergeTree\ttoYYYYMM(tick)\tid, part, tick");
    let comment = warehouse.query(
        "SELECT comment FROM system.columns WHERE database = 'city' AND table = 'wide_changes' AND name = 'level'",
    );
    assert_eq!(comment, "水位 [m]: How much?");
}

#[test]
fn the_warehouse_at_t_equals_the_replay_at_t() {
    let warehouse = Warehouse::start();
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let case = std::cell::Cell::new(0);
    runner
        .run(&(histories(1..60), 1_u64..4000), |(history, span)| {
            let database = format!("case_{}", case.replace(case.get() + 1));
            let upper = history.upper();
            let sink = start(warehouse.config(&database), &history);
            for frame in history.frames(span, upper) {
                sink.send(frame).unwrap();
            }
            sink.close().unwrap();
            assert_equal_at_every_tick(&warehouse, &database, &history, whole(upper));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_restart_skips_what_is_written_and_goes_on() {
    let warehouse = Warehouse::start();
    let history = one(200);
    let half = history.events[100].tick;
    let sink = start(warehouse.config("city"), &history);
    for frame in history.frames(700, half) {
        sink.send(frame).unwrap();
    }
    sink.close().unwrap();
    assert_equal_at_every_tick(&warehouse, "city", &history, whole(half));

    let sink = start(warehouse.config("city"), &history);
    assert_eq!(sink.status().written_upper, whole(half));
    for frame in history.frames(200, half) {
        sink.send(frame).unwrap();
    }
    sink.close().unwrap();
    let stored = warehouse.query(
        "SELECT sum(rows) FROM system.parts WHERE active AND database = 'city' AND table = 'wide_changes'",
    );
    assert_eq!(stored, history.changes(0, whole(half)).to_string(), "nothing was inserted again");

    let sink = start(warehouse.config("city"), &history);
    let upper = whole(history.upper() + 1000);
    for frame in history.frames(3000, upper) {
        sink.send(frame).unwrap();
    }
    warehouse.wait_until("the rest", || sink.status().written_upper == upper);
    let status = sink.status();
    assert_eq!(
        status.rows_written as usize,
        history.events.iter().filter(|event| event.tick >= whole(half)).count()
    );
    sink.close().unwrap();
    assert_equal_at_every_tick(&warehouse, "city", &history, upper);
}

#[test]
fn a_group_that_was_stored_but_not_noted_is_stored_once() {
    let warehouse = Warehouse::start();
    let history = one(300);
    let upper = whole(history.upper() + 1000);
    // Three times the program ends after the inserts of a group of many cells and before the note of its progress.
    // The next start gets the same changes in frames of other spans, which alone would make other groups.
    for (run, span) in [(1, 200), (2, 900), (3, 7000)] {
        let sink = start(warehouse.config("city"), &history);
        let noted: Tick = warehouse.query("SELECT max(upper) FROM city.sink_groups").parse().unwrap();
        let part = whole(history.events[run * 80].tick.max(noted) + 5000);
        history.frames(span, part).into_iter().for_each(|frame| sink.send(frame).unwrap());
        warehouse.wait_until("the first part", || sink.status().written_upper == part);
        let before = sink.status().rows_written;

        warehouse.query("RENAME TABLE city.sink_progress TO city.away");
        // One frame with everything up to there; what the sink knows of it already it skips.
        let end = history.events[run * 80 + 50].tick.max(part + 20_000);
        let frame = history.frames(u64::MAX / 4, end).pop().unwrap();
        sink.send(Arc::clone(&frame)).unwrap();
        warehouse.wait_until("the end", || sink.status().stopped.is_some());
        assert!(sink.status().rows_written > before, "run {run} stored nothing that it did not note");
        let noted: Tick = warehouse.query("SELECT max(upper) FROM city.sink_groups").parse().unwrap();
        assert_eq!(noted, whole(frame.upper), "run {run} wrote a group of many cells");
        warehouse.query("RENAME TABLE city.away TO city.sink_progress");
    }
    let sink = start(warehouse.config("city"), &history);
    history.frames(3000, upper).into_iter().for_each(|frame| sink.send(frame).unwrap());
    sink.close().unwrap();
    assert_equal_at_some_ticks(&warehouse, "city", &history, upper, 7);
}

#[test]
fn sink_and_server_killed_again_and_again_lose_nothing_and_repeat_nothing() {
    let mut warehouse = Warehouse::start();
    let history = one(1500);
    let upper = whole(history.upper() + 1000);
    for (run, span) in [(1, 1000), (2, 20_000), (3, 400), (4, 90_000)] {
        let config = ClickHouseConfig {
            queue_frames: 1000,
            close_within: std::time::Duration::ZERO,
            ..warehouse.config("city")
        };
        let sink = start(config, &history);
        let reached = history.events[run * 250].tick;
        let sender = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                for frame in history.frames(span, upper) {
                    if sink.send_within(frame, std::time::Duration::from_millis(100)).unwrap().is_some() {
                        return;
                    }
                }
            });
            warehouse.wait_until("a part", || sink.status().written_upper >= reached);
            warehouse.kill();
            sender.join()
        });
        sender.unwrap();
        let _ = sink.close(); // it may have finished before it was killed, or not
        warehouse.restart();
    }
    let sink = start(warehouse.config("city"), &history);
    history.frames(3000, upper).into_iter().for_each(|frame| sink.send(frame).unwrap());
    sink.close().unwrap();
    assert_equal_at_some_ticks(&warehouse, "city", &history, upper, 61);
}

#[test]
fn a_server_killed_in_the_middle_loses_nothing_and_repeats_nothing() {
    let mut warehouse = Warehouse::start();
    let history = one(2000);
    let upper = whole(history.upper() + 1000);
    let config = ClickHouseConfig { queue_frames: 4, ..warehouse.config("city") };
    let sink = Arc::new(start(config, &history));
    // The server dies three times while frames go in; the sender is held back meanwhile and knows nothing of it.
    let sender = std::thread::spawn({
        let (sink, frames) = (Arc::clone(&sink), history.frames(1000, upper));
        move || frames.into_iter().for_each(|frame| sink.send(frame).unwrap())
    });
    for quarter in 1..4 {
        let reached = history.events[history.events.len() * quarter / 4].tick;
        warehouse.wait_until("a quarter", || sink.status().written_upper >= reached);
        warehouse.kill();
        warehouse.wait_until("a failure", || sink.status().last_error.is_some());
        assert_eq!(sink.status().stopped, None);
        warehouse.restart();
    }
    sender.join().unwrap();
    warehouse.wait_until("the rest", || sink.status().written_upper == upper);
    assert_eq!(sink.status().last_error, None);
    Arc::into_inner(sink).unwrap().close().unwrap();
    assert_equal_at_some_ticks(&warehouse, "city", &history, upper, 97);
}

#[test]
fn what_is_older_than_the_time_to_live_is_folded_and_the_rows_are_the_same() {
    let warehouse = Warehouse::start();
    let history = one(400);
    let upper = whole(history.upper() + 1000);
    let config = ClickHouseConfig { ttl_days: Some(30), ..warehouse.config("city") };
    let sink = start(config.clone(), &history);
    for frame in history.frames(1000, upper) {
        sink.send(frame).unwrap();
    }
    sink.close().unwrap();
    for (view, spec) in SPECS.iter().enumerate() {
        warehouse.query(&format!("OPTIMIZE TABLE city.{}_changes FINAL", spec.name));
        let count: usize =
            warehouse.query(&format!("SELECT count() FROM city.{}_changes", spec.name)).parse().unwrap();
        assert!(count < history.changes(view, upper) / 2, "{count} changes of {} are left", spec.name);
        assert_eq!(warehouse.rows(spec, &format!("city.{}", spec.name)), history.at(view, upper - 1));
    }
    assert_eq!(config.oldest_as_of(DAY), DAY - 30 * 86_400_000);
    // Another time to live, then none: the tables follow the setting.
    start(ClickHouseConfig { ttl_days: Some(7), ..config.clone() }, &history).close().unwrap();
    let sql =
        "SELECT create_table_query FROM system.tables WHERE database = 'city' AND name = 'narrow_changes'";
    assert!(warehouse.query(sql).contains("toIntervalDay(7)"));
    start(ClickHouseConfig { ttl_days: None, ..config }, &history).close().unwrap();
    assert!(!warehouse.query(sql).contains("TTL"));
}

#[test]
fn a_failure_that_cannot_pass_stops_the_sink_and_says_so() {
    let warehouse = Warehouse::start();
    let history = one(50);
    let upper = whole(history.upper() + 1000);
    let sink = start(warehouse.config("city"), &history);
    warehouse.query("DROP TABLE city.narrow_changes");
    let mut frames = history.frames(1000, upper).into_iter();
    let refused = frames.find_map(|frame| {
        let error = sink.send(frame).err();
        if error.is_none() {
            warehouse.wait_until("the frame to be taken", || {
                let status = sink.status();
                status.queued == 0 || status.stopped.is_some()
            });
        }
        error
    });
    warehouse.wait_until("the sink to stop", || sink.status().stopped.is_some());
    let text = sink.status().stopped.unwrap();
    assert!(text.contains("narrow") && text.contains("UNKNOWN_TABLE"), "{text}");
    if let Some(error) = refused {
        assert!(error.to_string().contains("UNKNOWN_TABLE"), "{error}");
    }
    let error = sink.close().unwrap_err();
    assert!(error.to_string().contains("UNKNOWN_TABLE"), "{error}");
}

#[test]
fn a_missing_server_fills_the_queue_and_close_does_not_wait_for_ever() {
    let mut warehouse = Warehouse::start();
    let history = one(300);
    let upper = whole(history.upper() + 1000);
    let config = ClickHouseConfig {
        queue_frames: 2,
        close_within: std::time::Duration::from_millis(50),
        ..warehouse.config("city")
    };
    let sink = start(config, &history);
    warehouse.kill();
    let mut given_back = None;
    for frame in history.frames(1000, upper) {
        if let Some(frame) = sink.send_within(frame, std::time::Duration::from_millis(200)).unwrap() {
            given_back = Some(frame);
            break;
        }
    }
    assert!(given_back.is_some(), "a queue of two frames took all of them");
    assert_eq!(sink.status().queued, 2);
    let error = sink.close().unwrap_err();
    assert!(error.to_string().contains("the next start writes on"), "{error}");

    warehouse.restart();
    let sink = start(warehouse.config("city"), &history);
    for frame in history.frames(1000, upper) {
        sink.send(frame).unwrap();
    }
    sink.close().unwrap();
    assert_equal_at_every_tick(&warehouse, "city", &history, upper);
}

#[test]
fn what_is_read_back_is_what_was_published() {
    let warehouse = Warehouse::start();
    let history = one(300);
    let upper = whole(history.upper() + 1000);
    let config = warehouse.config("city");
    let sink = start(config.clone(), &history);
    for frame in history.frames(1000, upper) {
        sink.send(frame).unwrap();
    }
    sink.close().unwrap();
    let reader = Reader::new(&config).unwrap();
    let plain = |row: &[Value]| -> Vec<Value> {
        let text = |value: &Value| value.as_str(&history.names).map(|text| Value::Text(text.into()));
        row.iter().map(|value| text(value).unwrap_or_else(|| value.clone())).collect()
    };
    for (view, spec) in SPECS.iter().enumerate() {
        let ticks: BTreeSet<Tick> = history.events.iter().step_by(7).map(|event| event.tick).collect();
        for tick in ticks {
            let rows = reader.rows(spec, tick).unwrap();
            let rows = rows.iter().map(|row| Json::Object(to_json(spec, row, &history.names))).collect();
            assert_eq!(sorted(rows), history.at(view, tick), "{} at {tick}", spec.name);
        }
        let events: Vec<_> = history.events.iter().filter(|event| event.view == view).collect();
        for event in &events {
            let key = plain(&event.row[..spec.key]);
            let of_key: Vec<_> = events
                .iter()
                .filter(|other| plain(&other.row[..spec.key]) == key)
                .map(|event| PastChange { tick: event.tick, op: event.op, row: plain(&event.row).into() })
                .collect();
            assert_eq!(reader.changes(spec, &key, (0, upper), 1000).unwrap(), of_key);
            let at = event.tick;
            let expected = of_key.iter().rfind(|change| change.tick <= at).cloned();
            assert_eq!(reader.change_before(spec, &key, at).unwrap(), expected);
            let later: Vec<_> = of_key.into_iter().filter(|change| change.tick > at).take(2).collect();
            assert_eq!(reader.changes(spec, &key, (at, upper), 2).unwrap(), later);
        }
    }
    assert_eq!(reader.rows(&SPECS[0], DAY - 1).unwrap(), Vec::<Box<[Value]>>::new());
    assert!(reader.changes(&SPECS[0], &[Value::Int(1)], (0, 1), 1).is_err(), "a key of two columns");
}

#[test]
fn missing_frames_stop_the_sink() {
    let warehouse = Warehouse::start();
    let history = one(50);
    let sink = start(warehouse.config("city"), &history);
    let frames = history.frames(1000, history.upper());
    sink.send(Arc::clone(&frames[0])).unwrap();
    // The queue may be read before the second is in it, so either `send` or `close` meets the stop.
    let _ = sink.send(Arc::clone(&frames[2]));
    let error = sink.close().unwrap_err();
    assert!(error.to_string().contains("are missing"), "{error}");
}
