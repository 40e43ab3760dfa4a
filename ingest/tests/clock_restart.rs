//! The clock log binds for good: whatever happens, a restart feeds every record at the tick that it had.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ingest::clock::{Bind, ClockEntry, ClockReader, ClockWriter, wall_ms};
use ingest::live::{Live, LiveConfig};
use ingest::log::local::LocalLog;
use ingest::log::{FencedWriter, Log, NewRecord, Reader, Record, Source, read_to_end};
use model::{Error, Feed, LogPos, Names, Result, Row, StreamId, Tick, TickLength};
use parking_lot::Mutex;

/// What was fed, tick by tick.
#[derive(Default)]
struct Fed {
    records: Vec<(Tick, LogPos)>,
    closed: Tick,
}

fn pos(row: &Row) -> Option<LogPos> {
    match row {
        Row::Reading(row) => Some(row.pos),
        Row::Rejected(row) | Row::Late(row) => Some(row.pos),
        _ => None,
    }
}

struct City {
    log: Arc<dyn Log>,
    fed: Arc<Mutex<Fed>>,
    published: Arc<AtomicU64>,
}

fn config() -> LiveConfig {
    LiveConfig {
        partitions: 2,
        tick: TickLength::from_millis(20).unwrap(),
        max_records_per_tick: 40,
        max_lag_ms: 2000,
        ..LiveConfig::default()
    }
}

impl City {
    fn new(log: Arc<dyn Log>) -> Self {
        config().ensure_topics(&*log).unwrap();
        Self { log, fed: Arc::default(), published: Arc::default() }
    }

    /// A pump whose feed fails after `limit` feeds, as a crash would end it.
    fn start(&self, limit: usize) -> Live {
        let (fed, published) = (Arc::clone(&self.fed), Arc::clone(&self.published));
        let mut feeds = 0;
        let feed = Box::new(move |feed: Feed| {
            feeds += 1;
            if feeds > limit {
                return Err(Error::internal("the crash of this test"));
            }
            let mut fed = fed.lock();
            match feed {
                Feed::Rows { tick, rows } => {
                    assert!(tick > fed.closed || tick == 0, "rows for a closed tick");
                    fed.records.extend(rows.iter().filter_map(pos).map(|pos| (tick, pos)));
                }
                Feed::Advance(tick) => {
                    assert!(tick >= fed.closed, "ticks go forward");
                    assert!(tick as i64 <= wall_ms(), "T is not ahead of the clock");
                    fed.closed = tick;
                    published.store(tick, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        Live::start(
            Arc::clone(&self.log),
            &Arc::new(Names::new()),
            config(),
            feed,
            Arc::clone(&self.published),
        )
        .unwrap()
    }

    fn append(&self, n: usize, from: usize) {
        let line = |n: usize| {
            format!(
                "{{\"sensor_id\":\"s{}\",\"ts\":{},\"metric\":\"m\",\"value\":{n}}}",
                n % 7,
                wall_ms() + n as i64
            )
        };
        let records = (from..from + n).map(|n| NewRecord::new(format!("s{}", n % 7), line(n))).collect();
        self.log.append("city.telemetry", records).unwrap();
    }

    fn wait_for(&self, n: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.fed.lock().records.len() < n {
            assert!(Instant::now() < deadline, "{} of {n} records were fed", self.fed.lock().records.len());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn take(&self) -> Vec<(Tick, LogPos)> {
        let mut fed = self.fed.lock();
        fed.closed = 0;
        std::mem::take(&mut fed.records)
    }
}

fn local() -> (tempfile::TempDir, Arc<dyn Log>) {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(LocalLog::open(folder.path()).unwrap());
    (folder, log)
}

#[test]
fn a_restart_feeds_every_record_at_its_tick() {
    let (_folder, log) = local();
    let city = City::new(log);
    city.append(300, 0);
    let live = city.start(usize::MAX);
    city.wait_for(300);
    city.append(100, 300);
    city.wait_for(400);
    live.stop().unwrap();
    let first = city.take();
    assert!(
        first.iter().all(|(tick, _)| first.iter().filter(|(other, _)| other == tick).count() <= 40),
        "a tick has its limit"
    );
    // Nothing new: the same again, byte for byte.
    let live = city.start(usize::MAX);
    city.wait_for(400);
    assert!(live.status().error.is_none());
    live.stop().unwrap();
    assert_eq!(city.take(), first);
    // Something new comes after it.
    city.append(50, 400);
    let live = city.start(usize::MAX);
    city.wait_for(450);
    live.stop().unwrap();
    let third = city.take();
    assert_eq!(third[..400], first);
    let last = first.last().unwrap().0;
    assert!(third[400..].iter().all(|(tick, _)| *tick > last));
}

#[test]
fn a_crash_at_any_feed_loses_nothing_and_repeats_nothing() {
    let (_folder, log) = local();
    let city = City::new(log);
    city.append(200, 0);
    let mut bound: Vec<(Tick, LogPos)> = Vec::new();
    for (round, limit) in [3, 4, 5, 6, 8, 11, 15, 20, 28].into_iter().enumerate() {
        let live = city.start(limit);
        let deadline = Instant::now() + Duration::from_secs(60);
        while live.status().error.is_none() {
            assert!(Instant::now() < deadline, "the crash never comes");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(live.stop().is_err());
        let fed = city.take();
        // What both have seen they have seen alike; the crash cuts one of them short.
        let both = bound.len().min(fed.len());
        assert_eq!(fed[..both], bound[..both], "round {round}");
        if fed.len() > bound.len() {
            bound = fed;
        }
        city.append(10, 200 + round * 10);
    }
    let live = city.start(usize::MAX);
    city.wait_for(290);
    live.stop().unwrap();
    let all = city.take();
    assert_eq!(all[..bound.len()], bound);
    let mut places: Vec<LogPos> = all.iter().map(|(_, pos)| *pos).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 290, "each record once");
}

#[test]
fn of_two_pumps_the_older_stops() {
    let (_folder, log) = local();
    let city = City::new(log);
    let older = city.start(usize::MAX);
    let newer = City { fed: Arc::default(), published: Arc::default(), log: Arc::clone(&city.log) };
    let live = newer.start(usize::MAX);
    newer.append(20, 0);
    newer.wait_for(20);
    let deadline = Instant::now() + Duration::from_secs(60);
    while older.status().error.is_none() {
        assert!(Instant::now() < deadline, "the zombie goes on");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(older.status().error.unwrap().contains("fenced"));
    live.stop().unwrap();
}

/// A dataflow that publishes nothing: the clock has to stand still.
#[test]
fn the_clock_waits_for_a_dataflow_that_is_behind() {
    let (_folder, log) = local();
    let city = City::new(log);
    let stuck = Arc::new(AtomicU64::new(0));
    let ticks: Arc<Mutex<Vec<Tick>>> = Arc::default();
    let told = Arc::clone(&ticks);
    let feed = Box::new(move |feed: Feed| {
        if let Feed::Advance(tick) = feed {
            told.lock().push(tick);
        }
        Ok(())
    });
    let config = LiveConfig { max_lag_ms: 0, ..config() };
    let live = Live::start(Arc::clone(&city.log), &Arc::new(Names::new()), config, feed, Arc::clone(&stuck))
        .unwrap();
    let wait = |until: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !until() {
            assert!(Instant::now() < deadline);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    // Tick 0 and the first tick of the wall clock; then it stands.
    wait(&|| ticks.lock().len() >= 2);
    let stood = wall_ms() + 200;
    wait(&|| wall_ms() > stood);
    assert_eq!(ticks.lock().len(), 2, "{:?}", ticks.lock());
    stuck.store(u64::MAX, Ordering::Relaxed);
    wait(&|| ticks.lock().len() >= 5);
    live.stop().unwrap();
}

/// A log whose clock cannot be written after some entries: a disk that fills, a broker that leaves.
struct Failing {
    log: Arc<dyn Log>,
    left: usize,
}

impl Log for Failing {
    fn ensure_topic(&self, topic: &str, partitions: u16, compacted: bool) -> Result<u16> {
        self.log.ensure_topic(topic, partitions, compacted)
    }
    fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<(u16, u64)>> {
        self.log.append(topic, records)
    }
    fn reader(&self, sources: Vec<Source>) -> Result<Box<dyn Reader>> {
        self.log.reader(sources)
    }
    fn start_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        self.log.start_offsets(topic)
    }
    fn end_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        self.log.end_offsets(topic)
    }
    fn trim(&self, topic: &str, partition: u16, before: u64) -> Result<()> {
        self.log.trim(topic, partition, before)
    }
    fn fenced_writer(&self, topic: &str, name: &str) -> Result<Box<dyn FencedWriter>> {
        Ok(Box::new(FailingWriter { writer: self.log.fenced_writer(topic, name)?, left: self.left }))
    }
}

struct FailingWriter {
    writer: Box<dyn FencedWriter>,
    left: usize,
}

impl FencedWriter for FailingWriter {
    fn append(&mut self, records: Vec<NewRecord>) -> Result<u64> {
        self.left =
            self.left.checked_sub(1).ok_or_else(|| Error::external("the disk of this test is full"))?;
        self.writer.append(records)
    }
}

#[test]
fn nothing_is_fed_whose_entry_is_not_durable() {
    let (_folder, log) = local();
    for left in 0..4 {
        let failing = City::new(Arc::new(Failing { log: Arc::clone(&log), left }));
        failing.append(30, left * 30);
        let live = failing.start(usize::MAX);
        let deadline = Instant::now() + Duration::from_secs(60);
        while live.status().error.is_none() {
            assert!(Instant::now() < deadline, "the disk never fills");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(live.stop().is_err());
        let fed = failing.take();
        // A pump that only reads the clock log knows exactly the same.
        let reader = City::new(Arc::new(Failing { log: Arc::clone(&log), left: 0 }));
        let live = reader.start(usize::MAX);
        let deadline = Instant::now() + Duration::from_secs(60);
        while live.status().error.is_none() {
            assert!(Instant::now() < deadline);
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(live.stop().is_err());
        assert_eq!(reader.take(), fed, "with {left} entries");
    }
}

#[test]
fn records_that_retention_took_are_missed_loudly() {
    let (_folder, log) = local();
    let city = City::new(log);
    city.append(60, 0);
    let live = city.start(usize::MAX);
    city.wait_for(60);
    live.stop().unwrap();
    city.take();
    let partition = u16::from(city.log.end_offsets("city.telemetry").unwrap()[0] == 0);
    city.log.trim("city.telemetry", partition, 5).unwrap();
    let live = city.start(usize::MAX);
    let deadline = Instant::now() + Duration::from_secs(60);
    while live.status().error.is_none() {
        assert!(Instant::now() < deadline, "nobody misses the records");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let error = live.stop().unwrap_err().to_string();
    assert!(error.contains("trimmed"), "{error}");
}

/// The entries of the clock log.
fn entries(log: &dyn Log) -> Vec<ClockEntry> {
    let mut check = ClockReader::default();
    let records = read_to_end(log, "city.clock", 0, 0).unwrap();
    records.iter().map(|record| check.read(record).unwrap()).collect()
}

fn fails(city: &City) -> String {
    let live = city.start(usize::MAX);
    let deadline = Instant::now() + Duration::from_secs(60);
    while live.status().error.is_none() {
        assert!(Instant::now() < deadline, "it goes on");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    live.stop().unwrap_err().to_string()
}

#[test]
fn no_record_is_bound_to_a_tick_that_was_closed_without_an_entry() {
    let (_folder, log) = local();
    let city = City::new(log);
    city.append(10, 0);
    let live = city.start(usize::MAX);
    city.wait_for(10);
    live.stop().unwrap();
    let closed = city.fed.lock().closed;
    let before = entries(&*city.log).last().unwrap().tick;
    city.take();
    // At once: had the wall clock been set back by less than a second meanwhile, the next tick would still be new.
    city.append(10, 10);
    let live = city.start(usize::MAX);
    city.wait_for(20);
    live.stop().unwrap();
    let next = entries(&*city.log).into_iter().find(|entry| entry.tick > before).unwrap();
    assert!(next.tick > closed && next.tick >= before + 1000, "{} after {before}", next.tick);
}

#[test]
fn a_log_that_has_lost_its_beginning_before_the_first_run_is_read_from_where_it_begins() {
    let (_folder, log) = local();
    let city = City::new(log);
    city.append(100, 0);
    let starts: Vec<u64> =
        city.log.end_offsets("city.telemetry").unwrap().iter().map(|end| end / 2).collect();
    for (partition, start) in starts.iter().enumerate() {
        city.log.trim("city.telemetry", partition as u16, *start).unwrap();
    }
    let left = 100 - starts.iter().sum::<u64>() as usize;
    let live = city.start(usize::MAX);
    city.wait_for(left);
    live.stop().unwrap();
    let first = city.take();
    assert_eq!(first.len(), left);
    let said: Vec<u64> = entries(&*city.log)[0].starts.iter().map(|start| start.offset).collect();
    assert_eq!(said, starts.iter().copied().filter(|start| *start > 0).collect::<Vec<_>>());
    let live = city.start(usize::MAX);
    city.wait_for(left);
    live.stop().unwrap();
    assert_eq!(city.take(), first);
    // What is forgotten after that is missed.
    city.log.trim("city.telemetry", 0, starts[0] + 1).unwrap();
    city.log.trim("city.telemetry", 1, starts[1] + 1).unwrap();
    let error = fails(&city);
    assert!(error.contains("trimmed"), "{error}");
}

#[test]
fn new_records_do_not_take_the_places_of_lost_ones() {
    let (_folder, log) = local();
    let city = City::new(log);
    city.append(10, 0);
    // A clock log that knows more than the topic holds, as when the topic was made anew.
    let bind = Bind { stream: StreamId::Telemetry, partition: 0, end: 1000, lag_records: 0 };
    let mut clock = ClockWriter::take_over(&*city.log, "city.clock").unwrap();
    clock.append(&ClockEntry::new(1_000_000, vec![bind])).unwrap();
    let error = fails(&city);
    assert!(error.contains("binds `city.telemetry` partition 0 up to 1000"), "{error}");
    assert!(city.take().is_empty(), "nothing of that tick is fed");
}

#[test]
fn a_record_without_a_value_deletes() {
    let (_folder, log) = local();
    let city = City::new(log);
    let district = br#"{"kind":"district","id":"d1","name":"One"}"#.to_vec();
    let gone = NewRecord { key: Some(b"district/d1".to_vec()), value: None };
    city.log.append("city.reference", vec![NewRecord::new("district/d1", district), gone]).unwrap();
    let seen: Arc<Mutex<Vec<(LogPos, bool)>>> = Arc::default();
    let told = Arc::clone(&seen);
    let feed = Box::new(move |feed: Feed| {
        if let Feed::Rows { rows, tick: 1.. } = feed {
            told.lock().extend(rows.iter().filter_map(|row| match row {
                Row::Reference(record) => Some((record.pos, record.body.is_some())),
                _ => None,
            }));
        }
        Ok(())
    });
    let published = Arc::new(AtomicU64::new(u64::MAX));
    let live =
        Live::start(Arc::clone(&city.log), &Arc::new(Names::new()), config(), feed, published).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.lock().len() < 2 {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    live.stop().unwrap();
    let seen = seen.lock();
    assert_eq!(
        seen.iter().map(|(pos, there)| (pos.offset, *there)).collect::<Vec<_>>(),
        [(0, true), (1, false)]
    );
}

/// A log whose input comes no further than one record of each partition: a broker that hangs during a restart.
struct Hanging(Arc<dyn Log>, Arc<AtomicU64>);

impl Log for Hanging {
    fn ensure_topic(&self, topic: &str, partitions: u16, compacted: bool) -> Result<u16> {
        self.0.ensure_topic(topic, partitions, compacted)
    }
    fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<(u16, u64)>> {
        self.0.append(topic, records)
    }
    fn reader(&self, sources: Vec<Source>) -> Result<Box<dyn Reader>> {
        let clock = sources.iter().any(|source| source.topic == "city.clock");
        let reader = self.0.reader(sources)?;
        Ok(if clock { reader } else { Box::new(HangingReader { reader, polls: Arc::clone(&self.1) }) })
    }
    fn start_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        self.0.start_offsets(topic)
    }
    fn end_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        self.0.end_offsets(topic)
    }
    fn trim(&self, topic: &str, partition: u16, before: u64) -> Result<()> {
        self.0.trim(topic, partition, before)
    }
    fn fenced_writer(&self, topic: &str, name: &str) -> Result<Box<dyn FencedWriter>> {
        self.0.fenced_writer(topic, name)
    }
}

struct HangingReader {
    reader: Box<dyn Reader>,
    polls: Arc<AtomicU64>,
}

impl Reader for HangingReader {
    fn poll(&mut self, _: usize, wait: Duration, out: &mut Vec<Record>) -> Result<usize> {
        if self.polls.fetch_add(1, Ordering::Relaxed) == 0 {
            return self.reader.poll(1, wait, out);
        }
        std::thread::park_timeout(wait);
        Ok(0)
    }
    fn drained(&self, _: usize) -> bool {
        false
    }
    fn pause(&mut self, source: usize, paused: bool) {
        self.reader.pause(source, paused);
    }
}

#[test]
fn a_stop_during_the_restart_feeds_no_half_tick() {
    let (_folder, log) = local();
    let city = City::new(Arc::clone(&log));
    city.append(30, 0);
    let live = city.start(usize::MAX);
    city.wait_for(30);
    live.stop().unwrap();
    let polls = Arc::new(AtomicU64::new(0));
    let hanging = City::new(Arc::new(Hanging(log, Arc::clone(&polls))));
    let live = hanging.start(usize::MAX);
    let deadline = Instant::now() + Duration::from_secs(60);
    while polls.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < deadline, "nothing is read");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    // It waits for records of its first tick that don't come.
    live.stop().unwrap();
    let fed = hanging.fed.lock();
    assert_eq!((fed.closed, fed.records.len()), (0, 0));
}

#[test]
fn what_the_log_has_not_delivered_yet_waits() {
    let (_folder, log) = local();
    let city = City::new(Arc::clone(&log));
    city.append(30, 0);
    let ends = log.end_offsets("city.telemetry").unwrap();
    /// Partition, records bound and waiting, and whether none of it has been read.
    type Told = (u16, u64, u64, bool);
    let said: Arc<Mutex<Vec<Told>>> = Arc::default();
    let start = |log: Arc<dyn Log>| {
        let told = Arc::clone(&said);
        let feed = Box::new(move |feed: Feed| {
            if let Feed::Rows { rows, tick } = feed {
                told.lock().extend(rows.iter().filter_map(|row| match row {
                    Row::Bound(bound) => {
                        Some((bound.partition, bound.records, bound.lag_records, bound.lag_ms == tick))
                    }
                    _ => None,
                }));
            }
            Ok(())
        });
        let published = Arc::new(AtomicU64::new(u64::MAX));
        Live::start(log, &Arc::new(Names::new()), config(), feed, published).unwrap()
    };
    let hanging: Arc<dyn Log> = Arc::new(Hanging(Arc::clone(&log), Arc::default()));
    let live = start(hanging);
    let waits = |said: &[Told]| {
        let last = |partition| said.iter().rfind(|bound| bound.0 == partition).map_or(0, |bound| bound.2);
        (0..2).map(last).sum::<u64>()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while said.lock().iter().map(|bound| bound.1).sum::<u64>() == 0 {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    live.stop().unwrap();
    // One record came; the others are known to be there, and a partition of which none came is spoken of as well.
    assert_eq!(ends.iter().sum::<u64>(), 30);
    assert_eq!(waits(&said.lock()), 29);
    // Of that one nothing has been read: its silence proves nothing.
    assert!(said.lock().iter().all(|(_, records, _, never)| *never == (*records == 0)));
    // A log that delivers them binds them, and then nothing waits.
    said.lock().clear();
    let live = start(log);
    while said.lock().iter().map(|bound| bound.1).sum::<u64>() < 30 || waits(&said.lock()) > 0 {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    live.stop().unwrap();
}
