//! One suite for both logs: what holds for the local log holds for a real Apache Kafka.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::log::local::LocalLog;
use ingest::log::{Log, NewRecord, Record, Source, read_to_end};
use model::{Fault, Retry};

const LONG: Duration = Duration::from_secs(30);

fn source(topic: &str, partition: u16, from: u64) -> Source {
    Source { topic: topic.to_owned(), partition, from }
}

fn record(key: &str, value: &str) -> NewRecord {
    NewRecord::new(key, value)
}

fn values(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8(record.value.clone().unwrap_or_default()).unwrap();
    records.iter().map(text).collect()
}

/// Polls until `n` records have come.
fn poll(reader: &mut dyn ingest::log::Reader, n: usize) -> Vec<Record> {
    let (mut out, deadline) = (Vec::new(), Instant::now() + LONG);
    while out.len() < n {
        assert!(Instant::now() < deadline, "{} of {n} records came", out.len());
        reader.poll(n - out.len(), Duration::from_millis(200), &mut out).unwrap();
    }
    out
}

fn a_topic_is_made_once(log: &dyn Log) {
    assert_eq!(log.ensure_topic("made", 3, false).unwrap(), 3);
    assert_eq!(log.ensure_topic("made", 7, true).unwrap(), 3, "it keeps the partitions that it has");
    assert_eq!(log.end_offsets("made").unwrap(), [0, 0, 0]);
    let missing = log.end_offsets("never-made").unwrap_err();
    assert_eq!(missing.fault, Fault::User, "{missing}");
    assert!(log.reader(vec![source("made", 3, 0)]).is_err(), "there is no partition 3");
}

fn what_is_appended_is_read_in_order(log: &dyn Log) {
    log.ensure_topic("order", 4, false).unwrap();
    let all: Vec<NewRecord> = (0..200).map(|n| record(&format!("key{}", n % 17), &n.to_string())).collect();
    let places = log.append("order", all.clone()).unwrap();
    assert_eq!(places.len(), 200);
    let mut seen = 0;
    for partition in 0..4 {
        let records = read_to_end(log, "order", partition, 0).unwrap();
        assert!(
            records
                .windows(2)
                .all(|pair| pair[0].offset < pair[1].offset && pair[0].appended_at <= pair[1].appended_at)
        );
        let mine: Vec<_> = (0..200).filter(|n| places[*n].0 == partition).collect();
        assert_eq!(values(&records), mine.iter().map(usize::to_string).collect::<Vec<_>>());
        assert_eq!(
            records.iter().map(|r| r.offset).collect::<Vec<_>>(),
            mine.iter().map(|n| places[*n].1).collect::<Vec<_>>()
        );
        assert!(records.iter().all(|r| r.key.is_some() && r.appended_at > 1_600_000_000_000));
        assert_eq!(
            log.end_offsets("order").unwrap()[usize::from(partition)],
            records.last().map_or(0, |r| r.offset + 1)
        );
        seen += records.len();
    }
    assert_eq!(seen, 200);
    // Records of one key go to one partition, also in a later append.
    for (n, again) in log.append("order", all).unwrap().into_iter().enumerate() {
        assert_eq!(again.0, places[n].0);
    }
}

fn reading_begins_where_it_is_told(log: &dyn Log) {
    log.ensure_topic("from", 2, false).unwrap();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let places = log.append("from", keys.iter().map(|key| record(key, key)).collect()).unwrap();
    let (partition, offset) = places[5];
    let records = read_to_end(log, "from", partition, offset).unwrap();
    let expected: Vec<&str> = (5..8).filter(|n| places[*n].0 == partition).map(|n| keys[n]).collect();
    assert_eq!(values(&records), expected);
    // One reader over both partitions says which is which, and knows when each is at its end.
    let mut reader = log.reader(vec![source("from", 1, 0), source("from", 0, 0)]).unwrap();
    let all = poll(&mut *reader, 8);
    for record in &all {
        let place =
            places.iter().position(|place| *place == (1 - record.source as u16, record.offset)).unwrap();
        assert_eq!(values(std::slice::from_ref(record)), [keys[place]]);
    }
    let deadline = Instant::now() + LONG;
    while !(reader.drained(0) && reader.drained(1)) {
        assert!(Instant::now() < deadline, "the ends are never reached");
        assert_eq!(reader.poll(10, Duration::from_millis(50), &mut Vec::new()).unwrap(), 0);
    }
}

fn a_record_may_lack_a_value_and_be_long(log: &dyn Log) {
    log.ensure_topic("shapes", 1, true).unwrap();
    let long = "x".repeat(1 << 20);
    let gone = NewRecord { key: Some(b"sensor/1".to_vec()), value: None };
    log.append("shapes", vec![gone, record("k", ""), record("k", &long)]).unwrap();
    let records = read_to_end(log, "shapes", 0, 0).unwrap();
    assert_eq!(records[0].key.as_deref(), Some(b"sensor/1".as_slice()));
    assert_eq!(records[0].value, None);
    assert_eq!(records[1].value.as_deref(), Some(b"".as_slice()));
    assert_eq!(records[2].value.as_ref().map(Vec::len), Some(1 << 20));
}

fn trimming_forgets_the_beginning(log: &dyn Log) {
    log.ensure_topic("trim", 1, false).unwrap();
    log.append("trim", (0..10).map(|n| record("k", &n.to_string())).collect()).unwrap();
    log.trim("trim", 0, 6).unwrap();
    assert_eq!((log.start_offsets("trim").unwrap(), log.end_offsets("trim").unwrap()), (vec![6], vec![10]));
    assert_eq!(values(&read_to_end(log, "trim", 0, 6).unwrap()), ["6", "7", "8", "9"]);
    let mut reader = log.reader(vec![source("trim", 0, 2)]).unwrap();
    let deadline = Instant::now() + LONG;
    let error = loop {
        assert!(Instant::now() < deadline, "nobody says that the records are gone");
        match reader.poll(10, Duration::from_millis(200), &mut Vec::new()) {
            Ok(0) => {}
            Ok(n) => panic!("{n} records came from before the trim"),
            Err(e) => break e,
        }
    };
    assert_eq!(error.retry, Retry::Never, "{error}");
}

fn trimming_never_goes_back(log: &dyn Log) {
    log.ensure_topic("twice", 1, false).unwrap();
    log.append("twice", (0..10).map(|n| record("k", &n.to_string())).collect()).unwrap();
    log.trim("twice", 0, 6).unwrap();
    // Kafka refuses what lies before the beginning, the local log has nothing to do; neither gets anything back.
    let _ = log.trim("twice", 0, 3);
    assert_eq!(log.start_offsets("twice").unwrap(), [6]);
    log.trim("twice", 0, 10).unwrap();
    assert_eq!(
        (log.start_offsets("twice").unwrap(), log.end_offsets("twice").unwrap()),
        (vec![10], vec![10])
    );
    assert_eq!(log.append("twice", vec![record("k", "next")]).unwrap(), [(0, 10)]);
}

fn a_long_append_is_read_in_pieces_from_anywhere(log: &dyn Log) {
    log.ensure_topic("long", 1, false).unwrap();
    log.append("long", (0..2500).map(|n| record("k", &n.to_string())).collect()).unwrap();
    log.append("long", vec![record("k", "2500")]).unwrap();
    log.trim("long", 0, 1100).unwrap();
    for (from, pieces) in [(1100, 7), (1999, 999), (2000, 1), (2499, 50)] {
        let mut reader = log.reader(vec![source("long", 0, from)]).unwrap();
        let (mut records, deadline) = (Vec::new(), Instant::now() + LONG);
        while !reader.drained(0) {
            assert!(Instant::now() < deadline, "the end is never reached");
            assert!(reader.poll(pieces, Duration::from_millis(100), &mut records).unwrap() <= pieces);
        }
        assert_eq!(values(&records), (from..=2500).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(records.iter().map(|record| record.offset).eq(from..=2500));
    }
}

fn a_paused_source_is_left_alone(log: &dyn Log) {
    for topic in ["pause-a", "pause-b"] {
        log.ensure_topic(topic, 1, false).unwrap();
        log.append(topic, (0..50).map(|n| record("k", &n.to_string())).collect()).unwrap();
    }
    let mut reader = log.reader(vec![source("pause-a", 0, 0), source("pause-b", 0, 0)]).unwrap();
    reader.pause(0, true);
    let mut records = Vec::new();
    let deadline = Instant::now() + LONG;
    while !reader.drained(1) {
        assert!(Instant::now() < deadline, "the end is never reached");
        let before = records.len();
        assert!(reader.poll(7, Duration::from_millis(100), &mut records).unwrap() <= 7);
        assert!(records.len() <= before + 7, "no more than was asked for");
    }
    assert!(records.iter().all(|record| record.source == 1), "the paused source was read");
    assert_eq!(records.len(), 50);
    reader.pause(0, false);
    let rest = poll(&mut *reader, 50);
    assert_eq!(values(&rest), (0..50).map(|n| n.to_string()).collect::<Vec<_>>(), "its place is kept");
}

fn a_reader_wakes_when_something_comes(log: Arc<dyn Log>) {
    log.ensure_topic("wake", 1, false).unwrap();
    let mut reader = log.reader(vec![source("wake", 0, 0)]).unwrap();
    let writer = std::thread::spawn({
        let log = Arc::clone(&log);
        move || log.append("wake", vec![record("k", "come")]).unwrap()
    });
    let mut out = Vec::new();
    assert_eq!(reader.poll(10, LONG, &mut out).unwrap(), 1);
    assert_eq!(values(&out), ["come"]);
    writer.join().unwrap();
}

fn appends_may_come_from_many_threads(log: Arc<dyn Log>) {
    log.ensure_topic("many", 2, false).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for n in 0..25 {
                    log.append("many", vec![record(&format!("t{thread}"), &n.to_string())]).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let both =
        [read_to_end(&*log, "many", 0, 0).unwrap(), read_to_end(&*log, "many", 1, 0).unwrap()].concat();
    assert_eq!(both.len(), 100);
    for thread in 0..4 {
        let key = format!("t{thread}").into_bytes();
        let mine: Vec<Record> = both.iter().filter(|r| r.key.as_ref() == Some(&key)).cloned().collect();
        assert_eq!(
            values(&mine),
            (0..25).map(|n| n.to_string()).collect::<Vec<_>>(),
            "a writer's order is kept"
        );
    }
}

fn a_newer_writer_fences_the_older(log: &dyn Log) {
    log.ensure_topic("fenced", 1, false).unwrap();
    let mut first = log.fenced_writer("fenced", "clock").unwrap();
    let mut other = log.fenced_writer("fenced", "another").unwrap();
    first.append(vec![record("k", "1"), record("k", "2")]).unwrap();
    let mut second = log.fenced_writer("fenced", "clock").unwrap();
    let error = first.append(vec![record("k", "zombie")]).unwrap_err();
    assert_eq!(error.retry, Retry::Never, "{error}");
    assert!(error.to_string().contains("fenced"), "{error}");
    second.append(vec![record("k", "3")]).unwrap();
    other.append(vec![record("k", "4")]).unwrap();
    assert!(first.append(vec![record("k", "zombie")]).is_err(), "once fenced, for good");
    let records = read_to_end(log, "fenced", 0, 0).unwrap();
    assert_eq!(values(&records), ["1", "2", "3", "4"], "all or none, and nothing of the zombie");
}

macro_rules! suite {
    ($module:ident, $open:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn topics() {
                a_topic_is_made_once(&*$open);
            }
            #[test]
            fn order() {
                what_is_appended_is_read_in_order(&*$open);
            }
            #[test]
            fn from() {
                reading_begins_where_it_is_told(&*$open);
            }
            #[test]
            fn shapes() {
                a_record_may_lack_a_value_and_be_long(&*$open);
            }
            #[test]
            fn trim() {
                trimming_forgets_the_beginning(&*$open);
            }
            #[test]
            fn trim_twice() {
                trimming_never_goes_back(&*$open);
            }
            #[test]
            fn long() {
                a_long_append_is_read_in_pieces_from_anywhere(&*$open);
            }
            #[test]
            fn pause() {
                a_paused_source_is_left_alone(&*$open);
            }
            #[test]
            fn wake() {
                a_reader_wakes_when_something_comes($open);
            }
            #[test]
            fn many() {
                appends_may_come_from_many_threads($open);
            }
            #[test]
            fn fence() {
                a_newer_writer_fences_the_older(&*$open);
            }
        }
    };
}

fn local() -> Arc<dyn Log> {
    // The folder is left to the system's cleaning: the log is open as long as the test.
    let folder = tempfile::tempdir().unwrap().keep();
    Arc::new(LocalLog::open(&folder).unwrap())
}

suite!(local_log, local());
suite!(kafka_log, Arc::new(support::kafka()) as Arc<dyn Log>);

#[test]
fn the_local_log_is_there_after_a_restart_and_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path()).unwrap();
    log.ensure_topic("a", 2, false).unwrap();
    log.append("a", (0..20).map(|n| record(&n.to_string(), &n.to_string())).collect()).unwrap();
    log.trim("a", 0, 2).unwrap();
    log.trim("a", 0, 1).unwrap();
    let (starts, ends) = (log.start_offsets("a").unwrap(), log.end_offsets("a").unwrap());
    let mut writer = log.fenced_writer("a", "w").unwrap();
    writer.append(vec![record("k", "fenced")]).unwrap();
    let twice = LocalLog::open(folder.path()).err().expect("one owner");
    assert!(twice.to_string().contains("another process has it open"), "{twice}");
    drop((writer, log));
    let log = LocalLog::open(folder.path()).unwrap();
    assert_eq!(log.ensure_topic("a", 5, false).unwrap(), 2);
    assert_eq!(log.start_offsets("a").unwrap(), starts);
    assert_eq!(log.end_offsets("a").unwrap(), [ends[0] + 1, ends[1]]);
    let places = log.append("a", vec![record("0", "next")]).unwrap();
    assert_eq!(places[0].1, log.end_offsets("a").unwrap()[usize::from(places[0].0)] - 1);
}
