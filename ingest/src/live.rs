//! The live pump: reads the log, binds records to ticks, feeds them.
//!
//! **Meaning.** First everything that the clock log binds is fed again, exactly as it was; then, each tick length of wall
//! time, what has been read since is bound to the tick, at most so many records, shared fairly between the partitions;
//! a backlog becomes many ticks. T never runs ahead of the wall clock and never goes back. Without records T still goes
//! on, so that deadlines expire and silence is noticed.
//!
//! **Mechanism.** One thread. The entry of a tick is durable before the first of its rows is fed: a crash in between
//! costs nothing, for the restart feeds them from the entry. When the dataflow falls behind by more than the bound, the
//! clock stands still until it has caught up.
//!
//! A log whose beginning is forgotten when the engine first runs is read from where it begins, which the first entry
//! says; what is forgotten later, or lost, is missed loudly.
//!
//! **State.** The records read but not bound, at most [`BACKLOG_TICKS`] ticks' worth.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Bound, Error, Feed, LogPos, Names, Result, Row, StreamId, Tick, TickLength};
use parking_lot::Mutex;

use crate::clock::{Bind, ClockEntry, ClockReader, ClockWriter, Start, wall_ms};
use crate::files::shipped_rows;
use crate::log::{Log, READ_AT_ONCE, Reader, Record, Source};
use crate::streams::{Decoder, Limits, RecordMeta};

/// Records read ahead, in ticks' worth.
const BACKLOG_TICKS: usize = 4;
/// Rows in one feed.
const BATCH: usize = 8192;
/// With quiet inputs an entry is written this often, so that a restart knows how late it was, ms.
const QUIET_ENTRY_MS: u64 = 1000;

/// How often the ends of the log are asked for while there may be more than has been read, ms.
const ENDS_EVERY_MS: i64 = 1000;

/// How the log is read and bound.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// Prefix of topic names.
    pub prefix: String,
    /// Partitions of an input topic that has to be made.
    pub partitions: u16,
    /// Distance between ticks.
    pub tick: TickLength,
    /// Records that a tick may bind.
    pub max_records_per_tick: usize,
    /// The clock stands still while the published tick is further behind than this, ms.
    pub max_lag_ms: u64,
    /// Limits of the edge.
    pub limits: Limits,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            prefix: "city.".into(),
            partitions: 4,
            tick: TickLength::default(),
            max_records_per_tick: 100_000,
            max_lag_ms: 10_000,
            limits: Limits::default(),
        }
    }
}

impl LiveConfig {
    /// The topic of a stream.
    pub fn topic(&self, stream: StreamId) -> String {
        format!("{}{}", self.prefix, stream.name())
    }

    /// The topic of the clock log.
    pub fn clock_topic(&self) -> String {
        format!("{}clock", self.prefix)
    }

    /// The topic of rejected records.
    pub fn rejected_topic(&self) -> String {
        format!("{}rejected", self.prefix)
    }

    /// The topic of alert transitions.
    pub fn alerts_topic(&self) -> String {
        format!("{}alerts", self.prefix)
    }

    /// The topic of what the webhook delivered.
    pub fn webhook_topic(&self) -> String {
        format!("{}webhook", self.prefix)
    }

    /// Makes sure that every topic is there. Returns the partitions of each input stream.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub fn ensure_topics(&self, log: &dyn Log) -> Result<Vec<(StreamId, u16)>> {
        log.ensure_topic(&self.clock_topic(), 1, false)?;
        log.ensure_topic(&self.rejected_topic(), 1, false)?;
        log.ensure_topic(&self.alerts_topic(), 1, false)?;
        log.ensure_topic(&self.webhook_topic(), 1, false)?;
        let ensure = |stream| {
            let compacted = stream == StreamId::Reference;
            Ok((stream, log.ensure_topic(&self.topic(stream), self.partitions, compacted)?))
        };
        StreamId::ALL.into_iter().map(ensure).collect()
    }
}

/// How the pump is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the clock log has been fed again.
    pub caught_up: bool,
    /// The last tick fed.
    pub tick: Tick,
    /// Why it has stopped, if it has.
    pub error: Option<String>,
}

/// What feeds take.
pub type FeedSink = Box<dyn FnMut(Feed) -> Result<()> + Send>;

/// A running pump.
pub struct Live {
    stop: Arc<AtomicBool>,
    status: Arc<Mutex<Status>>,
    thread: JoinHandle<Result<()>>,
}

impl Live {
    /// Takes the clock over and starts to feed. `published` is the last tick that came out of the dataflow.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub fn start(
        log: Arc<dyn Log>,
        names: &Arc<Names>,
        config: LiveConfig,
        feed: FeedSink,
        published: Arc<AtomicU64>,
    ) -> Result<Live> {
        let partitions = config.ensure_topics(&*log)?;
        let clock = ClockWriter::take_over(&*log, &config.clock_topic())?;
        let sources: Vec<(StreamId, u16)> = partitions
            .into_iter()
            .flat_map(|(stream, n)| (0..n).map(move |partition| (stream, partition)))
            .collect();
        let (first, starts) = origin(&*log, &config, &sources)?;
        let nothing = |&(stream, partition): &(StreamId, u16)| {
            let start = starts.iter().find(|start| (start.stream, start.partition) == (stream, partition));
            Bind { stream, partition, end: start.map_or(0, |start| start.offset), lag_records: 0 }
        };
        let bound: Vec<Bind> = sources.iter().map(nothing).collect();
        let wanted = |bind: &Bind| Source {
            topic: config.topic(bind.stream),
            partition: bind.partition,
            from: bind.end,
        };
        let reader = log.reader(bound.iter().map(wanted).collect())?;
        let stop = Arc::new(AtomicBool::new(false));
        let status = Arc::new(Mutex::new(Status::default()));
        let mut pump = Pump {
            decoder: Decoder::new(Arc::clone(names), config.limits.clone()),
            pending: sources.iter().map(|_| VecDeque::new()).collect(),
            ends: vec![0; sources.len()],
            ends_at: 0,
            unread: vec![true; sources.len()],
            appended: vec![0; sources.len()],
            bound,
            starts: if first { starts } else { Vec::new() },
            sources,
            reader,
            clock,
            feed,
            published,
            tick: 0,
            entry_tick: 0,
            stop: Arc::clone(&stop),
            status: Arc::clone(&status),
            config,
        };
        let told = Arc::clone(&status);
        let thread = std::thread::Builder::new()
            .name("live".into())
            .spawn(move || {
                let ended = pump.again(&*log).and_then(|()| pump.live(&*log));
                if let Err(e) = &ended {
                    tracing::error!(error = %e, "reading the log has stopped");
                    told.lock().error = Some(e.to_string());
                }
                ended
            })
            .map_err(|e| Error::internal("a thread cannot be started").caused_by(e))?;
        Ok(Live { stop, status, thread })
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Ends it after the tick that it is at.
    ///
    /// # Errors
    /// What it had stopped with.
    pub fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| Error::internal("the live pump panicked"))?
    }
}

/// Where each partition begins that does not begin at 0, and whether that is still to be written down: the first entry
/// of the clock log says it, and where there is none yet, the log itself.
fn origin(log: &dyn Log, config: &LiveConfig, sources: &[(StreamId, u16)]) -> Result<(bool, Vec<Start>)> {
    let source = Source { topic: config.clock_topic(), partition: 0, from: 0 };
    let (mut clock, mut entries) = (log.reader(vec![source])?, Vec::new());
    while entries.is_empty() && !clock.drained(0) {
        clock.poll(1, crate::log::POLL, &mut entries)?;
    }
    if let Some(record) = entries.first() {
        return Ok((false, ClockReader::default().read(record)?.starts));
    }
    let mut starts = Vec::new();
    for stream in StreamId::ALL {
        let offsets = log.start_offsets(&config.topic(stream))?;
        let mine = sources.iter().filter(|source| source.0 == stream);
        starts.extend(mine.filter_map(|&(stream, partition)| {
            let offset = offsets.get(usize::from(partition)).copied().unwrap_or(0);
            (offset > 0).then_some(Start { stream, partition, offset })
        }));
    }
    Ok((true, starts))
}

struct Pump {
    config: LiveConfig,
    decoder: Decoder,
    sources: Vec<(StreamId, u16)>,
    reader: Box<dyn Reader>,
    clock: ClockWriter,
    feed: FeedSink,
    published: Arc<AtomicU64>,
    pending: Vec<VecDeque<Record>>,
    /// Where the partitions ended when they were last asked for, while there may be more than has been read.
    ends: Vec<u64>,
    /// When that was, Unix ms.
    ends_at: i64,
    /// The partitions whose end has not been met yet: more may be there than has been read.
    unread: Vec<bool>,
    /// What was last said of each partition.
    bound: Vec<Bind>,
    /// When the newest record bound of each partition was appended, Unix ms; 0 before there is one.
    appended: Vec<i64>,
    /// What the first entry has to say.
    starts: Vec<Start>,
    /// The last tick fed.
    tick: Tick,
    /// The last tick with an entry.
    entry_tick: Tick,
    stop: Arc<AtomicBool>,
    status: Arc<Mutex<Status>>,
}

impl Pump {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Feeds what the clock log binds, as it was.
    fn again(&mut self, log: &dyn Log) -> Result<()> {
        (self.feed)(Feed::Rows { tick: 0, rows: shipped_rows(&mut self.decoder) })?;
        (self.feed)(Feed::Advance(0))?;
        let clock = Source { topic: self.config.clock_topic(), partition: 0, from: 0 };
        let (mut entries, mut clock, mut check) =
            (Vec::new(), log.reader(vec![clock])?, ClockReader::default());
        loop {
            let n = clock.poll(READ_AT_ONCE, crate::log::POLL, &mut entries)?;
            for record in entries.drain(..) {
                if self.stopped() {
                    return Ok(());
                }
                let entry = check.read(&record)?;
                self.fetch(log, &entry)?;
                // Fetching ends early then, and a tick is fed whole or not at all.
                if self.stopped() {
                    return Ok(());
                }
                self.entry_tick = entry.tick;
                self.bind(entry)?;
            }
            // We are the only writer now: what is there is all there is.
            if n == 0 && clock.drained(0) {
                break;
            }
        }
        for source in 0..self.sources.len() {
            self.reader.pause(source, false);
        }
        self.status.lock().caught_up = true;
        Ok(())
    }

    /// Reads on until every record that `entry` binds is there. Only partitions that lack some are read: the others would
    /// pile up, without bound where partitions were bound at different speeds.
    fn fetch(&mut self, log: &dyn Log, entry: &ClockEntry) -> Result<()> {
        let mut records = Vec::new();
        loop {
            let mut lacking = vec![false; self.sources.len()];
            for bind in &entry.ends {
                let source = self.source(bind, entry.tick)?;
                let last = self.pending[source].back().map_or(0, |last| last.offset + 1);
                if last.max(self.bound[source].end) >= bind.end {
                    continue;
                }
                if self.reader.drained(source) {
                    self.whole(log, bind, entry.tick)?;
                } else {
                    lacking[source] = true;
                }
            }
            if self.stopped() || !lacking.contains(&true) {
                return Ok(());
            }
            for (source, lacking) in lacking.into_iter().enumerate() {
                self.reader.pause(source, !lacking);
            }
            self.reader.poll(READ_AT_ONCE, crate::log::POLL, &mut records)?;
            self.keep(&mut records);
        }
    }

    /// Checks that a partition without further records is as long as `bind` says: compaction may have taken the records
    /// before the end; a shorter one has lost some, and new records must not take their places.
    fn whole(&self, log: &dyn Log, bind: &Bind, tick: Tick) -> Result<()> {
        let topic = self.config.topic(bind.stream);
        let end = log.end_offsets(&topic)?.get(usize::from(bind.partition)).copied().unwrap_or(0);
        if end >= bind.end {
            return Ok(());
        }
        let (partition, bound) = (bind.partition, bind.end);
        Err(Error::refused(format!(
            "clock log: tick {tick} binds `{topic}` partition {partition} up to {bound}, but it ends at {end}: it has \
             lost records or was made anew; restore it, or begin a new city under another prefix"
        )))
    }

    fn source(&self, bind: &Bind, tick: Tick) -> Result<usize> {
        let known = self.sources.iter().position(|source| *source == (bind.stream, bind.partition));
        known.ok_or_else(|| {
            let (stream, partition) = (bind.stream.name(), bind.partition);
            Error::external(format!(
                "clock log: tick {tick} binds partition {partition} of {stream}, which is not there"
            ))
        })
    }

    fn keep(&mut self, records: &mut Vec<Record>) {
        for record in records.drain(..) {
            self.pending[record.source].push_back(record);
        }
    }

    /// Binds what is read to the ticks of the wall clock, until it is stopped.
    fn live(&mut self, log: &dyn Log) -> Result<()> {
        let mut records = Vec::new();
        // Before the end, ticks without records may have been closed without an entry, all within this time; should the
        // wall clock have been set back, no record may be bound to one of them.
        let quiet = if self.entry_tick > 0 { QUIET_ENTRY_MS } else { 0 };
        let not_before = self.entry_tick + quiet;
        let backlog = self.config.max_records_per_tick.saturating_mul(BACKLOG_TICKS);
        while !self.stopped() {
            let next = (self.tick + 1).max(not_before).next_multiple_of(self.config.tick.as_millis());
            let wait = i64::try_from(next).unwrap_or(i64::MAX).saturating_sub(wall_ms());
            let known: usize = self.pending.iter().map(VecDeque::len).sum();
            if wait > 0 {
                let wait = Duration::from_millis(wait as u64)
                    .min(Duration::from_millis(self.config.tick.as_millis()));
                if known < backlog {
                    self.reader.poll(READ_AT_ONCE, wait, &mut records)?;
                    self.keep(&mut records);
                } else {
                    std::thread::park_timeout(wait);
                }
                continue;
            }
            // What has come by now belongs to this tick, as far as it fits.
            while known < backlog && self.reader.poll(READ_AT_ONCE, Duration::ZERO, &mut records)? > 0 {
                if self.pending.iter().map(VecDeque::len).sum::<usize>() + records.len() >= backlog {
                    break;
                }
                self.keep(&mut records);
            }
            self.keep(&mut records);
            let tick = self.config.tick.floor(wall_ms());
            if tick < next {
                continue;
            }
            let published = self.published.load(Ordering::Relaxed);
            if self.tick > 0 && self.tick.saturating_sub(published) > self.config.max_lag_ms {
                std::thread::park_timeout(Duration::from_millis(self.config.tick.as_millis()));
                continue;
            }
            let known: usize = self.pending.iter().map(VecDeque::len).sum();
            self.look_further(log, known >= backlog)?;
            let entry = self.entry(tick);
            if !entry.ends.is_empty() || tick >= self.entry_tick + QUIET_ENTRY_MS {
                self.clock.append(&entry)?;
                self.entry_tick = tick;
            }
            self.bind(entry)?;
        }
        Ok(())
    }

    /// Asks the log now and then how much there is beyond what has been read, while there may be more: until the end of
    /// each partition was met, and while more waits than is read ahead (`more`). What has been read is not all that
    /// waits: a broker that is slow to deliver is a backlog too.
    fn look_further(&mut self, log: &dyn Log, more: bool) -> Result<()> {
        for (source, unread) in self.unread.iter_mut().enumerate() {
            let read = self.pending[source].back().map_or(self.bound[source].end, |last| last.offset + 1);
            let met = self.reader.drained(source) || (self.ends_at > 0 && read >= self.ends[source]);
            *unread &= more || !met;
        }
        if !more && !self.unread.contains(&true) {
            self.ends.fill(0);
            self.ends_at = 0;
        } else if wall_ms() - self.ends_at >= ENDS_EVERY_MS {
            for stream in StreamId::ALL {
                let ends = log.end_offsets(&self.config.topic(stream))?;
                let mine = self.sources.iter().zip(&mut self.ends).filter(|(source, _)| source.0 == stream);
                mine.for_each(|(source, end)| *end = ends.get(usize::from(source.1)).copied().unwrap_or(0));
            }
            self.ends_at = wall_ms();
        }
        Ok(())
    }

    /// The entry that binds as much as fits of what is pending, and says what waits where that has changed.
    fn entry(&mut self, tick: Tick) -> ClockEntry {
        let waiting: Vec<usize> = self.pending.iter().map(VecDeque::len).collect();
        let shares = share(&waiting, self.config.max_records_per_tick);
        let mut ends = Vec::new();
        for (source, take) in shares.into_iter().enumerate() {
            let before = self.bound[source];
            let end = take.checked_sub(1).map_or(before.end, |last| self.pending[source][last].offset + 1);
            let read = (waiting[source] - take) as u64;
            // A partition that was read to its end may be said to be longer: marks of transactions count as well.
            let lag_records = match self.reader.drained(source) {
                true => read,
                false => read.max(self.ends[source].saturating_sub(end)),
            };
            if take > 0 || lag_records != before.lag_records {
                ends.push(Bind { end, lag_records, ..before });
            }
        }
        let mut entry = ClockEntry::new(tick, ends);
        entry.starts = std::mem::take(&mut self.starts);
        entry
    }

    /// Feeds the records of an entry and closes its tick.
    fn bind(&mut self, entry: ClockEntry) -> Result<()> {
        let tick = entry.tick;
        let mut rows = Vec::new();
        for bind in entry.ends {
            let source = self.source(&bind, tick)?;
            self.bound[source] = bind;
            let mut bound = Bound {
                stream: bind.stream,
                partition: bind.partition,
                records: 0,
                late: 0,
                rejected: 0,
                max_ts: None,
                lag_records: bind.lag_records,
                lag_ms: 0,
            };
            while let Some(record) = self.pending[source].pop_front_if(|record| record.offset < bind.end) {
                let pos = LogPos { stream: bind.stream, partition: bind.partition, offset: record.offset };
                let meta = RecordMeta { pos, tick, append_known: true };
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                let decoded = self.decoder.decode(bind.stream, key, value, meta, &mut rows);
                bound.records += 1;
                bound.late += u64::from(decoded.late);
                bound.rejected += u64::from(decoded.rejected);
                if !decoded.rejected {
                    bound.max_ts = bound.max_ts.max(decoded.ts);
                }
                self.appended[source] = record.appended_at;
                if rows.len() >= BATCH {
                    (self.feed)(Feed::Rows { tick, rows: std::mem::take(&mut rows) })?;
                }
            }
            // Also of a tick that binds none of what waits: it has been read no further than before.
            bound.lag_ms = u64::try_from(tick as i64 - self.appended[source]).unwrap_or(0);
            rows.push(Row::Bound(Box::new(bound)));
        }
        if !rows.is_empty() {
            (self.feed)(Feed::Rows { tick, rows })?;
        }
        (self.feed)(Feed::Advance(tick))?;
        self.tick = tick;
        self.status.lock().tick = tick;
        Ok(())
    }
}

/// Shares `max` between what waits, as evenly as it goes: nobody gets more than waits, and nothing is left over while
/// somebody waits.
fn share(waiting: &[usize], max: usize) -> Vec<usize> {
    let mut shares = vec![0; waiting.len()];
    let mut left = max;
    loop {
        let hungry: Vec<usize> = (0..waiting.len()).filter(|&i| shares[i] < waiting[i]).collect();
        if hungry.is_empty() || left == 0 {
            return shares;
        }
        let each = left.div_ceil(hungry.len());
        for i in hungry {
            let more = each.min(waiting[i] - shares[i]).min(left);
            shares[i] += more;
            left -= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::share;

    proptest! {
        #[test]
        fn shares_are_fair_and_use_up_what_there_is(waiting in proptest::collection::vec(0usize..5000, 0..24), max in 0usize..20_000) {
            let shares = share(&waiting, max);
            prop_assert_eq!(shares.iter().sum::<usize>(), max.min(waiting.iter().sum()));
            for (i, got) in shares.iter().enumerate() {
                prop_assert!(*got <= waiting[i]);
                // Whoever had to leave something got no less than anybody else, but for rounding.
                let greatest = shares.iter().max().copied().unwrap_or(0);
                prop_assert!(*got == waiting[i] || got + waiting.len() >= greatest);
            }
        }
    }
}
