//! The local log: topics in an embedded store, for one process.
//!
//! **Mechanism.** One LSM store (fjall) under a folder. What an append brings to a partition is kept as *runs*: the key of
//! one is topic, partition and the offset of its first record, big-endian, so a partition is a range. An append is synced
//! to disk before it returns; those that come while the disk is at it go together in the next atomic batch, so their
//! number does not multiply the syncs. Readers wait for appends on a condition variable. A fenced writer carries the epoch
//! that it was given; a newer one has a greater epoch on disk.
//!
//! **State.** In memory a few numbers per partition, and the rest of a run per reader and partition; on disk everything
//! until it is trimmed, by whole runs.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode};
use model::{Error, Result};
use parking_lot::{Condvar, Mutex};

use super::{FencedWriter, Log, NewRecord, Reader, Record, Source};
use crate::clock::wall_ms;

/// Runs trimmed in one batch.
const TRIM_AT_ONCE: usize = 1_000;
/// Bytes in memory that are flushed to the tree at once.
const FLUSH_BYTES: u64 = 16 << 20;
/// Most records in a run, and most bytes of them before it ends: what a reader has at hand at most, beside one record.
const RUN_RECORDS: u32 = 1_000;
const RUN_BYTES: usize = 1 << 20;

/// A log in a folder.
#[derive(Clone)]
pub struct LocalLog {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    runs: Keyspace,
    meta: Keyspace,
    /// Appends that wait for their turn.
    waiting: Mutex<Vec<Arc<Append>>>,
    /// Held by whoever writes; before `topics`.
    writing: Mutex<()>,
    topics: Mutex<Topics>,
    appended: Condvar,
}

/// Partition and offset of each record.
type Places = Vec<(u16, u64)>;

/// An append on its way.
struct Append {
    topic: String,
    records: Vec<NewRecord>,
    /// Name and epoch of a fenced writer.
    fence: Option<(String, u64)>,
    /// What became of it.
    outcome: Mutex<Option<Result<Places>>>,
}

#[derive(Default)]
struct Topics {
    by_name: BTreeMap<String, Topic>,
    /// Appended-at never goes back, whatever the wall clock does.
    last_appended_at: i64,
}

struct Topic {
    id: u32,
    partitions: Vec<Partition>,
}

#[derive(Clone, Copy, Default)]
struct Partition {
    start: u64,
    end: u64,
}

fn failed(what: &str) -> impl Fn(fjall::Error) -> Error + '_ {
    move |e| Error::external(format!("local log: {what}")).caused_by(e)
}

/// The key of a run.
fn run_key(topic: u32, partition: u16, first: u64) -> [u8; 14] {
    let mut key = [0; 14];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..6].copy_from_slice(&partition.to_be_bytes());
    key[6..].copy_from_slice(&first.to_be_bytes());
    key
}

fn first_of(key: &[u8]) -> u64 {
    key.get(6..14).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// Records that follow each other, as bytes: append time, their number, and of each record the key and the value, each
/// as its length + 1 (0 = none) and itself. Numbers are little-endian.
struct Run {
    first: u64,
    records: u32,
    bytes: Vec<u8>,
}

/// Bytes of a run before its records.
const RUN_HEAD: usize = 12;

impl Run {
    fn new(appended_at: i64, first: u64) -> Self {
        let mut bytes = appended_at.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        Self { first, records: 0, bytes }
    }

    fn push(&mut self, record: &NewRecord) {
        for part in [&record.key, &record.value] {
            let length = part.as_ref().map_or(0, |part| part.len() as u32 + 1);
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(part.as_deref().unwrap_or_default());
        }
        self.records += 1;
    }

    fn is_full(&self) -> bool {
        self.records >= RUN_RECORDS || self.bytes.len() >= RUN_BYTES
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes[RUN_HEAD - 4..RUN_HEAD].copy_from_slice(&self.records.to_le_bytes());
        self.bytes
    }
}

/// When a run was appended, and the number of its records; what is left are these.
fn head(bytes: &[u8]) -> Option<(i64, u32, &[u8])> {
    let (time, rest) = bytes.split_first_chunk()?;
    let (records, rest) = rest.split_first_chunk()?;
    Some((i64::from_le_bytes(*time), u32::from_le_bytes(*records), rest))
}

/// The next key or value, and what is left.
fn part(bytes: &[u8]) -> Option<(Option<Vec<u8>>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let (part, rest) = rest.split_at_checked(length.saturating_sub(1))?;
    Some(((length > 0).then(|| part.to_vec()), rest))
}

/// The records of a run from `from` on.
fn records(source: usize, first: u64, from: u64, bytes: &[u8], out: &mut VecDeque<Record>) -> Option<()> {
    let (appended_at, n, mut rest) = head(bytes)?;
    for offset in first..first + u64::from(n) {
        let (key, after) = part(rest)?;
        let (value, after) = part(after)?;
        rest = after;
        if offset >= from {
            out.push_back(Record { source, offset, appended_at, key, value });
        }
    }
    rest.is_empty().then_some(())
}

/// The partition of a key: FNV-1a, which is the same on every machine and in every version.
fn partition_of(key: &[u8], partitions: usize) -> usize {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ((hash >> 32) % partitions.max(1) as u64) as usize
}

impl LocalLog {
    /// Opens the log in `folder`, made if it is missing.
    ///
    /// # Errors
    /// When another process has it open, or the disk fails.
    pub fn open(folder: &Path) -> Result<LocalLog> {
        let place = folder.display().to_string();
        let database = Database::builder(folder).open().map_err(|e| match e {
            fjall::Error::Locked => {
                Error::refused(format!("local log {place}: another process has it open; stop that one first"))
            }
            other => Error::external(format!("local log {place}: cannot be opened")).caused_by(other),
        })?;
        if database.keyspace_exists("records") {
            return Err(Error::refused(format!(
                "local log {place}: it was made by an earlier version, which kept records one by one; begin a new one in \
                 another folder"
            )));
        }
        // Runs are long and never change: kept beside the tree, they are written once and not again by each compaction.
        // Little is flushed at once, so that an append never waits long for the disk or for a core.
        let long = || {
            KeyspaceCreateOptions::default()
                .with_kv_separation(Some(KvSeparationOptions::default()))
                .max_memtable_size(FLUSH_BYTES)
        };
        let runs = database.keyspace("runs", long).map_err(failed("cannot be opened"))?;
        let meta =
            database.keyspace("meta", KeyspaceCreateOptions::default).map_err(failed("cannot be opened"))?;
        let mut topics = Topics::default();
        for entry in meta.prefix("topic/") {
            let (key, value) = entry.into_inner().map_err(failed("cannot be read"))?;
            let corrupt = || Error::external(format!("local log {place}: the list of topics is corrupt"));
            let name = std::str::from_utf8(&key["topic/".len()..]).map_err(|_| corrupt())?.to_owned();
            let (id, rest) = value.split_at_checked(4).ok_or_else(corrupt)?;
            let id = u32::from_be_bytes(id.try_into().map_err(|_| corrupt())?);
            let n = u16::from_be_bytes(rest.try_into().map_err(|_| corrupt())?);
            let mut topic = Topic { id, partitions: Vec::new() };
            for partition in 0..n {
                let start = meta.get(start_key(id, partition)).map_err(failed("cannot be read"))?;
                let start = start
                    .and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?)))
                    .unwrap_or(0);
                let range = run_key(id, partition, 0)..=run_key(id, partition, u64::MAX);
                let mut end = start;
                if let Some(last) = runs.range(range).next_back() {
                    let (key, value) = last.into_inner().map_err(failed("cannot be read"))?;
                    let (at, records, _) = head(&value).ok_or_else(|| corrupt_run(&name, first_of(&key)))?;
                    end = end.max(first_of(&key) + u64::from(records));
                    topics.last_appended_at = topics.last_appended_at.max(at);
                }
                topic.partitions.push(Partition { start, end });
            }
            topics.by_name.insert(name, topic);
        }
        let shared = Shared {
            database,
            runs,
            meta,
            waiting: Mutex::default(),
            writing: Mutex::default(),
            topics: Mutex::new(topics),
            appended: Condvar::new(),
        };
        Ok(LocalLog { shared: Arc::new(shared) })
    }
}

fn start_key(topic: u32, partition: u16) -> Vec<u8> {
    [b"start/".as_slice(), &run_key(topic, partition, 0)[..6]].concat()
}

fn epoch_key(topic: &str, name: &str) -> String {
    format!("epoch/{topic}/{name}")
}

fn corrupt_run(topic: &str, first: u64) -> Error {
    Error::external(format!("local log: the records of `{topic}` from {first} on are corrupt"))
}

fn unknown(topic: &str) -> Error {
    Error::user(format!("local log: there is no topic `{topic}`"))
}

impl Shared {
    /// Appends together with all that wait at the moment; whoever comes first does it for the others.
    fn append(&self, topic: &str, records: Vec<NewRecord>, fence: Option<(String, u64)>) -> Result<Places> {
        let mine = Arc::new(Append { topic: topic.to_owned(), records, fence, outcome: Mutex::default() });
        self.waiting.lock().push(Arc::clone(&mine));
        let writing = self.writing.lock();
        if let Some(outcome) = mine.outcome.lock().take() {
            return outcome;
        }
        let all = std::mem::take(&mut *self.waiting.lock());
        self.write(&all);
        drop(writing);
        self.appended.notify_all();
        mine.outcome.lock().take().ok_or_else(|| Error::internal("local log: an append was left out"))?
    }

    /// Makes appends durable in one batch, and then known.
    fn write(&self, all: &[Arc<Append>]) {
        // The journal's data are all that a restart needs of it.
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let mut ends: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut topics = self.topics.lock();
        let appended_at = wall_ms().max(topics.last_appended_at);
        topics.last_appended_at = appended_at;
        let places: Vec<Result<Places>> = all
            .iter()
            .map(|append| self.place(append, appended_at, &topics, &mut ends, &mut batch))
            .collect();
        // Nobody else moves an end while we write, and readers need not wait for the disk.
        drop(topics);
        let written = batch.commit().map_err(|e| e.to_string());
        if written.is_ok() {
            let mut topics = self.topics.lock();
            for (topic, ends) in ends {
                let partitions =
                    topics.by_name.get_mut(topic).into_iter().flat_map(|topic| &mut topic.partitions);
                partitions.zip(ends).for_each(|(partition, end)| partition.end = end);
            }
        }
        for (append, places) in all.iter().zip(places) {
            let outcome = places.and_then(|places| match &written {
                Ok(()) => Ok(places),
                Err(e) => Err(Error::external(format!("local log: cannot append: {e}"))),
            });
            *append.outcome.lock() = Some(outcome);
        }
    }

    /// Puts an append into the batch, after those that are in it.
    fn place<'a>(
        &self,
        append: &'a Append,
        appended_at: i64,
        topics: &Topics,
        ends: &mut BTreeMap<&'a str, Vec<u64>>,
        batch: &mut OwnedWriteBatch,
    ) -> Result<Places> {
        let topic = append.topic.as_str();
        if let Some((name, epoch)) = &append.fence {
            let now = self.meta.get(epoch_key(topic, name)).map_err(failed("cannot be read"))?;
            if now.as_deref() != Some(epoch.to_be_bytes().as_slice()) {
                return Err(Error::refused(format!(
                    "fenced: a newer writer `{name}` of `{topic}` has taken over"
                )));
            }
        }
        let this = topics.by_name.get(topic).ok_or_else(|| unknown(topic))?;
        let ends = ends.entry(topic).or_insert_with(|| this.partitions.iter().map(|it| it.end).collect());
        let mut open: Vec<Run> = ends.iter().map(|end| Run::new(appended_at, *end)).collect();
        let mut close = |partition: usize, run: Run| {
            batch.insert(&self.runs, run_key(this.id, partition as u16, run.first), run.finish());
        };
        let mut places = Vec::with_capacity(append.records.len());
        for record in &append.records {
            let partition = match (&record.key, &append.fence) {
                (Some(key), None) => partition_of(key, ends.len()),
                _ => 0,
            };
            let (run, end) = (&mut open[partition], &mut ends[partition]);
            places.push((partition as u16, *end));
            *end += 1;
            run.push(record);
            if run.is_full() {
                close(partition, std::mem::replace(run, Run::new(appended_at, *end)));
            }
        }
        for (partition, run) in open.into_iter().enumerate().filter(|(_, run)| run.records > 0) {
            close(partition, run);
        }
        Ok(places)
    }
}

impl Log for LocalLog {
    fn ensure_topic(&self, topic: &str, partitions: u16, _compacted: bool) -> Result<u16> {
        let _writing = self.shared.writing.lock();
        let mut topics = self.shared.topics.lock();
        if let Some(there) = topics.by_name.get(topic) {
            return Ok(there.partitions.len() as u16);
        }
        let id = topics.by_name.values().map(|topic| topic.id + 1).max().unwrap_or(0);
        let value = [id.to_be_bytes().as_slice(), &partitions.to_be_bytes()].concat();
        let mut batch = self.shared.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.shared.meta, format!("topic/{topic}"), value);
        batch.commit().map_err(failed("cannot make a topic"))?;
        let partitions_state = vec![Partition::default(); usize::from(partitions)];
        topics.by_name.insert(topic.to_owned(), Topic { id, partitions: partitions_state });
        Ok(partitions)
    }

    fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<(u16, u64)>> {
        self.shared.append(topic, records, None)
    }

    fn reader(&self, sources: Vec<Source>) -> Result<Box<dyn Reader>> {
        let topics = self.shared.topics.lock();
        let mut positions = Vec::new();
        for source in sources {
            let topic = topics.by_name.get(&source.topic).ok_or_else(|| unknown(&source.topic))?;
            if usize::from(source.partition) >= topic.partitions.len() {
                let text =
                    format!("local log: topic `{}` has no partition {}", source.topic, source.partition);
                return Err(Error::user(text));
            }
            let (drained, paused, ahead) = (false, false, VecDeque::new());
            positions.push(Position { topic: topic.id, drained, paused, ahead, source });
        }
        drop(topics);
        Ok(Box::new(LocalReader { shared: Arc::clone(&self.shared), positions, turn: 0 }))
    }

    fn start_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        let topics = self.shared.topics.lock();
        let topic = topics.by_name.get(topic).ok_or_else(|| unknown(topic))?;
        Ok(topic.partitions.iter().map(|partition| partition.start).collect())
    }

    fn end_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        let topics = self.shared.topics.lock();
        let topic = topics.by_name.get(topic).ok_or_else(|| unknown(topic))?;
        Ok(topic.partitions.iter().map(|partition| partition.end).collect())
    }

    fn trim(&self, topic: &str, partition: u16, before: u64) -> Result<()> {
        let _writing = self.shared.writing.lock();
        let (id, before) = {
            let mut topics = self.shared.topics.lock();
            let this = topics.by_name.get_mut(topic).ok_or_else(|| unknown(topic))?;
            let state = this.partitions.get_mut(usize::from(partition)).ok_or_else(|| unknown(topic))?;
            let before = before.min(state.end);
            if before <= state.start {
                return Ok(());
            }
            (this.id, before)
        };
        // That it begins there is durable before anything is gone, and readers are told so before as well. A crash in
        // between leaves runs that nobody reads; the next trim finds them.
        let mut batch = self.shared.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.shared.meta, start_key(id, partition), before.to_be_bytes());
        batch.commit().map_err(failed("cannot trim"))?;
        if let Some(topic) = self.shared.topics.lock().by_name.get_mut(topic) {
            topic.partitions[usize::from(partition)].start = before;
        }
        // The run that holds `before` stays; those that begin earlier go.
        let key = |first| run_key(id, partition, first);
        let kept = self.shared.runs.range(key(0)..=key(before)).next_back();
        let Some(kept) = kept else { return Ok(()) };
        let kept = kept.key().map_err(failed("cannot be read"))?;
        loop {
            let mut batch = self.shared.database.batch().durability(Some(PersistMode::SyncAll));
            let mut gone = 0;
            for run in self.shared.runs.range(&key(0)[..]..&kept[..]).take(TRIM_AT_ONCE) {
                batch.remove(&self.shared.runs, run.key().map_err(failed("cannot be read"))?);
                gone += 1;
            }
            if gone == 0 {
                return Ok(());
            }
            batch.commit().map_err(failed("cannot trim"))?;
        }
    }

    fn fenced_writer(&self, topic: &str, name: &str) -> Result<Box<dyn FencedWriter>> {
        let _writing = self.shared.writing.lock();
        self.shared.topics.lock().by_name.get(topic).ok_or_else(|| unknown(topic))?;
        let key = epoch_key(topic, name);
        let before = self.shared.meta.get(&key).map_err(failed("cannot be read"))?;
        let before =
            before.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0);
        let mut batch = self.shared.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.shared.meta, key, (before + 1).to_be_bytes());
        batch.commit().map_err(failed("cannot fence"))?;
        let writer = LocalWriter {
            shared: Arc::clone(&self.shared),
            topic: topic.to_owned(),
            name: name.to_owned(),
            epoch: before + 1,
        };
        Ok(Box::new(writer))
    }
}

struct LocalWriter {
    shared: Arc<Shared>,
    topic: String,
    name: String,
    epoch: u64,
}

impl FencedWriter for LocalWriter {
    fn append(&mut self, records: Vec<NewRecord>) -> Result<u64> {
        let places = self.shared.append(&self.topic, records, Some((self.name.clone(), self.epoch)))?;
        Ok(places.last().map_or(0, |(_, offset)| offset + 1))
    }
}

struct Position {
    topic: u32,
    source: Source,
    drained: bool,
    paused: bool,
    /// What of the last run has not been taken yet.
    ahead: VecDeque<Record>,
}

impl Position {
    fn trimmed(&self, start: u64) -> Error {
        Error::refused(format!(
            "local log: `{}` partition {} begins at {start}, what was wanted from {} on has been trimmed",
            self.source.topic, self.source.partition, self.source.from
        ))
    }
}

impl Position {
    /// Reads up to `room` records that lie before `end`.
    fn read(
        &mut self,
        shared: &Shared,
        at: usize,
        end: u64,
        room: usize,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        let (topic, partition) = (self.topic, self.source.partition);
        let key = |first| run_key(topic, partition, first);
        let mut left = room;
        while left > 0 && self.source.from < end {
            if self.ahead.is_empty() {
                let from = self.source.from;
                // The run that holds it begins there or before.
                let run = shared.runs.range(key(0)..=key(from)).next_back();
                let Some(run) = run else { return Err(self.trimmed(end)) };
                let (key, bytes) = run.into_inner().map_err(failed("cannot be read"))?;
                let first = first_of(&key);
                records(at, first, from, &bytes, &mut self.ahead)
                    .ok_or_else(|| corrupt_run(&self.source.topic, first))?;
                // Offsets here have no gaps, so one is where trimming overtook us.
                if self.ahead.is_empty() {
                    return Err(self.trimmed(end));
                }
            }
            let taken = self.ahead.drain(..left.min(self.ahead.len()));
            left -= taken.len();
            self.source.from += taken.len() as u64;
            out.extend(taken);
        }
        Ok(())
    }
}

struct LocalReader {
    shared: Arc<Shared>,
    positions: Vec<Position>,
    /// Which source comes first at the next poll, so that none starves.
    turn: usize,
}

impl LocalReader {
    /// Reads up to `max` records that lie before `ends`.
    fn read(&mut self, max: usize, ends: &[u64], out: &mut Vec<Record>) -> Result<usize> {
        let (n, before) = (self.positions.len(), out.len());
        let has = |position: &Position, end: u64| !position.paused && position.source.from < end;
        let reading = self.positions.iter().zip(ends).filter(|(position, end)| has(position, **end)).count();
        let share = max.div_ceil(reading.max(1));
        for step in 0..n {
            let at = (self.turn + step) % n;
            let (position, end) = (&mut self.positions[at], ends[at]);
            if has(position, end) {
                let room = share.min(max - (out.len() - before));
                position.read(&self.shared, at, end, room, out)?;
            }
            position.drained = position.source.from >= end;
        }
        self.turn = (self.turn + 1) % n.max(1);
        Ok(out.len() - before)
    }

    /// Where each source ends; checks that trimming did not take what comes next.
    fn ends(&self, topics: &Topics) -> Result<Vec<u64>> {
        let end = |position: &Position| {
            let Source { topic, partition, from } = &position.source;
            let state =
                topics.by_name.get(topic).ok_or_else(|| unknown(topic))?.partitions[usize::from(*partition)];
            if *from < state.start { Err(position.trimmed(state.start)) } else { Ok(state.end) }
        };
        self.positions.iter().map(end).collect()
    }
}

impl Reader for LocalReader {
    fn poll(&mut self, max: usize, wait: Duration, out: &mut Vec<Record>) -> Result<usize> {
        let deadline = Instant::now() + wait;
        let mut late = false;
        loop {
            let mut topics = self.shared.topics.lock();
            let ends = self.ends(&topics)?;
            let mut sources = self.positions.iter().zip(&ends);
            let more = sources.any(|(position, end)| !position.paused && position.source.from < *end);
            if !more && !late {
                late = self.shared.appended.wait_until(&mut topics, deadline).timed_out();
                continue;
            }
            drop(topics);
            return self.read(max, &ends, out);
        }
    }

    fn pause(&mut self, source: usize, paused: bool) {
        self.positions[source].paused = paused;
    }

    fn drained(&self, source: usize) -> bool {
        self.positions[source].drained
    }
}
