//! The clock log binds for good: whatever happens, a restart feeds every record at the tick that it had.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ingest::clock::wall_ms;
use ingest::live::{Live, LiveConfig};
use ingest::log::local::LocalLog;
use ingest::log::{FencedWriter, Log, NewRecord, Reader, Source};
use model::{Error, Feed, LogPos, Names, Result, Row, Tick, TickLength};
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
