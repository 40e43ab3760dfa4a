//! The log: what happened, in order, for good. One trait, two implementations, one conformance suite.
//!
//! **Meaning.** A topic has partitions; a partition is a sequence of records with ascending offsets, which may have gaps
//! (a transactional log spends offsets on its own marks, compaction takes records out). What was appended stays until
//! it is trimmed, and every reader sees the same.
//!
//! **Implementations.** [`local::LocalLog`] keeps it in an embedded store of one process; [`kafka::KafkaLog`] is Apache
//! Kafka. `tests/log_conformance.rs` holds both to the same behaviour.

pub mod kafka;
pub mod local;

use std::time::Duration;

use model::Result;

/// A record to be appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Records of one key go to one partition, in order.
    pub key: Option<Vec<u8>>,
    /// The content; `None` deletes what the key names.
    pub value: Option<Vec<u8>>,
}

impl NewRecord {
    /// A record with a key and a value.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()) }
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which of the reader's sources it comes from.
    pub source: usize,
    /// Its place in the partition.
    pub offset: u64,
    /// When it was appended, Unix ms.
    pub appended_at: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its content; `None` deletes what the key names.
    pub value: Option<Vec<u8>>,
}

/// A partition to read, and where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u16,
    /// The first offset wanted.
    pub from: u64,
}

/// A log. Errors are external unless they say otherwise.
pub trait Log: Send + Sync {
    /// Makes sure that `topic` is there; a new one gets `partitions` partitions, takes records up to [`MAX_BATCH`], and
    /// keeps what it holds until it is trimmed: for good, or of each key the last record if it is `compacted`. Returns
    /// how many partitions it has.
    ///
    /// # Errors
    /// When the log cannot be reached or refuses.
    fn ensure_topic(&self, topic: &str, partitions: u16, compacted: bool) -> Result<u16>;

    /// Appends records in order; when it returns they are durable. Returns partition and offset of each.
    ///
    /// # Errors
    /// When some were not appended; others may have been.
    fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<(u16, u64)>>;

    /// A reader of these partitions.
    ///
    /// # Errors
    /// When a topic or partition is not there.
    fn reader(&self, sources: Vec<Source>) -> Result<Box<dyn Reader>>;

    /// The first offset of each partition.
    ///
    /// # Errors
    /// When the topic is not there.
    fn start_offsets(&self, topic: &str) -> Result<Vec<u64>>;

    /// The offset after the last record of each partition.
    ///
    /// # Errors
    /// When the topic is not there.
    fn end_offsets(&self, topic: &str) -> Result<Vec<u64>>;

    /// Forgets the records of a partition before `before`.
    ///
    /// # Errors
    /// When the topic is not there.
    fn trim(&self, topic: &str, partition: u16, before: u64) -> Result<()>;

    /// A writer of partition 0 of `topic`. From now on every older writer of that name fails, for good.
    ///
    /// # Errors
    /// When the topic is not there.
    fn fenced_writer(&self, topic: &str, name: &str) -> Result<Box<dyn FencedWriter>>;
}

/// Reads partitions in order.
pub trait Reader: Send {
    /// Pushes up to `max` further records; waits at most `wait` for the first. Returns how many.
    ///
    /// # Errors
    /// When the log cannot be read, or trimming took what comes next.
    fn poll(&mut self, max: usize, wait: Duration, out: &mut Vec<Record>) -> Result<usize>;

    /// Whether everything that `source` had when it was last looked at has been read.
    fn drained(&self, source: usize) -> bool;

    /// Leaves `source` alone, or goes on with it: a paused source is neither read nor waited for. Its place is kept.
    fn pause(&mut self, source: usize, paused: bool);
}

/// The only writer of its name.
pub trait FencedWriter: Send {
    /// Appends records, all or none, durably. Returns the offset after the last.
    ///
    /// # Errors
    /// [`model::Retry::Never`] when a newer writer has taken over.
    fn append(&mut self, records: Vec<NewRecord>) -> Result<u64>;
}

/// Reads one partition from `from` to the end that it has now.
///
/// # Errors
/// When the log cannot be read.
pub fn read_to_end(log: &dyn Log, topic: &str, partition: u16, from: u64) -> Result<Vec<Record>> {
    let mut reader = log.reader(vec![Source { topic: topic.to_owned(), partition, from }])?;
    let mut records = Vec::new();
    loop {
        let n = reader.poll(READ_AT_ONCE, POLL, &mut records)?;
        if n == 0 && reader.drained(0) {
            return Ok(records);
        }
    }
}

/// Longest record or compressed batch that a topic takes, bytes: twice the longest record of the contract.
pub const MAX_BATCH: usize = 2 << 20;
/// Records taken at once where nothing else limits them.
pub const READ_AT_ONCE: usize = 4096;
/// How long a poll waits where nothing else limits it.
pub const POLL: Duration = Duration::from_millis(100);
