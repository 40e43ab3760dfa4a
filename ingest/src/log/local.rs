//! The local log: topics in an embedded store, for one process.
//!
//! **Mechanism.** One LSM store (fjall) under a folder. A record's key is topic, partition and offset, big-endian, so a
//! partition is a range. An append is one atomic batch, synced to disk before it returns; readers wait for appends on a
//! condition variable. A fenced writer carries the epoch that it was given; a newer one has a greater epoch on disk.
//!
//! **State.** In memory a few numbers per partition; on disk everything until it is trimmed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use model::{Error, Result};
use parking_lot::{Condvar, Mutex};

use super::{FencedWriter, Log, NewRecord, Reader, Record, Source};
use crate::clock::wall_ms;

/// Records trimmed in one batch.
const TRIM_AT_ONCE: u64 = 10_000;

/// A log in a folder.
#[derive(Clone)]
pub struct LocalLog {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    records: Keyspace,
    meta: Keyspace,
    topics: Mutex<Topics>,
    appended: Condvar,
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

fn record_key(topic: u32, partition: u16, offset: u64) -> [u8; 14] {
    let mut key = [0; 14];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..6].copy_from_slice(&partition.to_be_bytes());
    key[6..].copy_from_slice(&offset.to_be_bytes());
    key
}

fn offset_of(key: &[u8]) -> u64 {
    key.get(6..14).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// A record as bytes: append time, length of the key + 1 (0 = none), key, whether there is a value, value.
fn encode(appended_at: i64, record: &NewRecord) -> Vec<u8> {
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let mut bytes = Vec::with_capacity(13 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
    bytes.extend_from_slice(&appended_at.to_le_bytes());
    bytes.extend_from_slice(&key.map_or(0, |key| key.len() as u32 + 1).to_le_bytes());
    bytes.extend_from_slice(key.unwrap_or_default());
    bytes.push(u8::from(value.is_some()));
    bytes.extend_from_slice(value.unwrap_or_default());
    bytes
}

fn decode(source: usize, offset: u64, bytes: &[u8]) -> Option<Record> {
    let (time, rest) = bytes.split_at_checked(8)?;
    let (length, rest) = rest.split_at_checked(4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let (key, rest) = rest.split_at_checked(length.saturating_sub(1))?;
    let (has_value, value) = rest.split_first()?;
    Some(Record {
        source,
        offset,
        appended_at: i64::from_le_bytes(time.try_into().ok()?),
        key: (length > 0).then(|| key.to_vec()),
        value: (*has_value == 1).then(|| value.to_vec()),
    })
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
        let records = database
            .keyspace("records", KeyspaceCreateOptions::default)
            .map_err(failed("cannot be opened"))?;
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
                let range = record_key(id, partition, 0)..=record_key(id, partition, u64::MAX);
                let mut end = start;
                if let Some(last) = records.range(range).next_back() {
                    let (key, value) = last.into_inner().map_err(failed("cannot be read"))?;
                    end = end.max(offset_of(&key) + 1);
                    let at = decode(0, 0, &value).map_or(0, |record| record.appended_at);
                    topics.last_appended_at = topics.last_appended_at.max(at);
                }
                topic.partitions.push(Partition { start, end });
            }
            topics.by_name.insert(name, topic);
        }
        let shared = Shared { database, records, meta, topics: Mutex::new(topics), appended: Condvar::new() };
        Ok(LocalLog { shared: Arc::new(shared) })
    }
}

fn start_key(topic: u32, partition: u16) -> Vec<u8> {
    [b"start/".as_slice(), &record_key(topic, partition, 0)[..6]].concat()
}

fn epoch_key(topic: &str, name: &str) -> String {
    format!("epoch/{topic}/{name}")
}

fn unknown(topic: &str) -> Error {
    Error::user(format!("local log: there is no topic `{topic}`"))
}

impl Shared {
    fn append(
        &self,
        topic: &str,
        records: &[NewRecord],
        fence: Option<(&str, u64)>,
    ) -> Result<Vec<(u16, u64)>> {
        let mut topics = self.topics.lock();
        if let Some((name, epoch)) = fence {
            let now = self.meta.get(epoch_key(topic, name)).map_err(failed("cannot be read"))?;
            if now.as_deref() != Some(epoch.to_be_bytes().as_slice()) {
                return Err(Error::refused(format!(
                    "fenced: a newer writer `{name}` of `{topic}` has taken over"
                )));
            }
        }
        let appended_at = wall_ms().max(topics.last_appended_at);
        topics.last_appended_at = appended_at;
        let this = topics.by_name.get_mut(topic).ok_or_else(|| unknown(topic))?;
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        let mut places = Vec::with_capacity(records.len());
        let mut ends: Vec<u64> = this.partitions.iter().map(|partition| partition.end).collect();
        for record in records {
            let partition = match (&record.key, fence) {
                (Some(key), None) => partition_of(key, ends.len()),
                _ => 0,
            };
            let offset = ends[partition];
            ends[partition] += 1;
            let partition = partition as u16;
            batch.insert(&self.records, record_key(this.id, partition, offset), encode(appended_at, record));
            places.push((partition, offset));
        }
        batch.commit().map_err(failed("cannot append"))?;
        for (partition, end) in this.partitions.iter_mut().zip(ends) {
            partition.end = end;
        }
        drop(topics);
        self.appended.notify_all();
        Ok(places)
    }
}

impl Log for LocalLog {
    fn ensure_topic(&self, topic: &str, partitions: u16, _compacted: bool) -> Result<u16> {
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
        self.shared.append(topic, &records, None)
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
            positions.push(Position { topic: topic.id, drained: false, paused: false, source });
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
        let mut topics = self.shared.topics.lock();
        let this = topics.by_name.get_mut(topic).ok_or_else(|| unknown(topic))?;
        let id = this.id;
        let state = this.partitions.get_mut(usize::from(partition)).ok_or_else(|| unknown(topic))?;
        // Piece by piece, each whole: a crash in between has trimmed less, and nothing is left behind.
        let before = before.min(state.end);
        while state.start < before {
            let upto = before.min(state.start + TRIM_AT_ONCE);
            let mut batch = self.shared.database.batch().durability(Some(PersistMode::SyncAll));
            batch.insert(&self.shared.meta, start_key(id, partition), upto.to_be_bytes());
            for offset in state.start..upto {
                batch.remove(&self.shared.records, record_key(id, partition, offset));
            }
            batch.commit().map_err(failed("cannot trim"))?;
            state.start = upto;
        }
        Ok(())
    }

    fn fenced_writer(&self, topic: &str, name: &str) -> Result<Box<dyn FencedWriter>> {
        let topics = self.shared.topics.lock();
        topics.by_name.get(topic).ok_or_else(|| unknown(topic))?;
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
        let places = self.shared.append(&self.topic, &records, Some((&self.name, self.epoch)))?;
        Ok(places.last().map_or(0, |(_, offset)| offset + 1))
    }
}

struct Position {
    topic: u32,
    source: Source,
    drained: bool,
    paused: bool,
}

impl Position {
    fn trimmed(&self, start: u64) -> Error {
        Error::refused(format!(
            "local log: `{}` partition {} begins at {start}, what was wanted from {} on has been trimmed",
            self.source.topic, self.source.partition, self.source.from
        ))
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
                let (topic, partition, from) =
                    (position.topic, position.source.partition, position.source.from);
                let range = record_key(topic, partition, from)..record_key(topic, partition, end);
                let room = share.min(max - (out.len() - before));
                for entry in self.shared.records.range(range).take(room) {
                    let (key, value) = entry.into_inner().map_err(failed("cannot be read"))?;
                    let offset = offset_of(&key);
                    // Offsets here have no gaps, so one is where trimming overtook us.
                    if offset != position.source.from {
                        return Err(position.trimmed(offset));
                    }
                    let corrupt = || {
                        Error::external(format!(
                            "local log: record {offset} of `{}` is corrupt",
                            position.source.topic
                        ))
                    };
                    out.push(decode(at, offset, &value).ok_or_else(corrupt)?);
                    position.source.from = offset + 1;
                }
                if room > 0 && position.source.from == from {
                    return Err(position.trimmed(end));
                }
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
