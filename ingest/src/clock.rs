//! The clock log: which records each tick holds.
//!
//! **Meaning.** An entry binds a tick to the end offset of every partition that got further; a record belongs to the
//! first tick whose end is beyond it. The entries are the one place where arrival becomes meaning: a restart and every
//! replica read the binding instead of inventing another, and so V(T) repeats.
//!
//! **Mechanism.** One topic of one partition, written by one fenced writer: of two engines on one log the older can
//! write no more. An entry is durable before its records are fed.
//!
//! The first entry also says where partitions began whose beginning had been forgotten before the engine first ran.
//!
//! **State.** The last end of each partition; the log holds one entry per tick with records, and one a second without.

use std::collections::BTreeMap;

use model::{Error, Result, StreamId, Tick};
use serde::{Deserialize, Serialize};

use crate::log::{FencedWriter, Log, NewRecord, Record};

/// The name of the clock's writer.
const WRITER: &str = "clock";
/// The version of an entry's form.
const VERSION: u8 = 1;

/// The wall clock, Unix ms. The only place that reads it: everything else gets ticks.
#[expect(clippy::disallowed_methods, reason = "ticks are made from this")]
pub fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Up to where a tick holds a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The stream.
    pub stream: StreamId,
    /// The partition of its topic.
    pub partition: u16,
    /// The offset after the last record that the tick holds.
    pub end: u64,
    /// Records that were known and had to wait.
    pub lag_records: u64,
}

/// Where the engine began to read a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The stream.
    pub stream: StreamId,
    /// The partition of its topic.
    pub partition: u16,
    /// The first offset read.
    pub offset: u64,
}

/// One entry of the clock log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockEntry {
    version: u8,
    /// The tick.
    pub tick: Tick,
    /// The partitions that got further, or whose lag changed.
    pub ends: Vec<Bind>,
    /// In the first entry of a log: the partitions that did not begin at 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<Start>,
}

impl ClockEntry {
    /// An entry for `tick`.
    pub fn new(tick: Tick, ends: Vec<Bind>) -> Self {
        Self { version: VERSION, tick, ends, starts: Vec::new() }
    }
}

/// Writes the clock log; there is one that can.
pub struct ClockWriter {
    writer: Box<dyn FencedWriter>,
}

impl ClockWriter {
    /// Takes the clock log of `topic` over from whoever wrote it.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub fn take_over(log: &dyn Log, topic: &str) -> Result<Self> {
        Ok(Self { writer: log.fenced_writer(topic, WRITER)? })
    }

    /// Makes an entry durable.
    ///
    /// # Errors
    /// For good when a newer writer has taken over.
    pub fn append(&mut self, entry: &ClockEntry) -> Result<()> {
        let value = serde_json::to_vec(entry).map_err(|e| Error::internal("a clock entry").caused_by(e))?;
        self.writer.append(vec![NewRecord { key: None, value: Some(value) }])?;
        Ok(())
    }
}

/// Reads entries and checks that ticks only go forward, and that no partition goes back.
#[derive(Debug, Default)]
pub struct ClockReader {
    last: Option<Tick>,
    ends: BTreeMap<(StreamId, u16), u64>,
}

impl ClockReader {
    /// The entry that `record` holds.
    ///
    /// # Errors
    /// When it is no entry, is of another version, or goes back in time or in a partition.
    pub fn read(&mut self, record: &Record) -> Result<ClockEntry> {
        let place = |what: String| Error::external(format!("clock log, offset {}: {what}", record.offset));
        let value = record.value.as_deref().unwrap_or_default();
        let entry: ClockEntry =
            serde_json::from_slice(value).map_err(|e| place("not an entry".into()).caused_by(e))?;
        if entry.version != VERSION {
            return Err(place(format!("version {}, this program knows version {VERSION}", entry.version)));
        }
        if self.last.is_some_and(|last| entry.tick <= last) {
            return Err(place(format!("tick {} after tick {:?}", entry.tick, self.last)));
        }
        for start in &entry.starts {
            self.ends.insert((start.stream, start.partition), start.offset);
        }
        for bind in &entry.ends {
            let end = self.ends.entry((bind.stream, bind.partition)).or_default();
            if bind.end < *end {
                let (stream, partition) = (bind.stream.name(), bind.partition);
                let what = format!("{stream} partition {partition} goes back from {end} to {}", bind.end);
                return Err(place(what));
            }
            *end = bind.end;
        }
        self.last = Some(entry.tick);
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, value: &[u8]) -> Record {
        Record { source: 0, offset, appended_at: 0, key: None, value: Some(value.to_vec()) }
    }

    #[test]
    fn entries_are_read_back_and_never_go_back() {
        let bind = Bind { stream: StreamId::Cases, partition: 3, end: 17, lag_records: 2 };
        let entry = ClockEntry::new(400, vec![bind]);
        let bytes = serde_json::to_vec(&entry).unwrap();
        let mut reader = ClockReader::default();
        assert_eq!(reader.read(&record(0, &bytes)).unwrap(), entry);
        let again = reader.read(&record(1, &bytes)).unwrap_err().to_string();
        assert!(again.contains("offset 1: tick 400 after tick Some(400)"), "{again}");
        let other =
            ClockReader::default().read(&record(2, br#"{"version":9,"tick":1,"ends":[]}"#)).unwrap_err();
        assert!(other.to_string().contains("version 9"), "{other}");
        assert!(ClockReader::default().read(&record(3, b"{")).is_err());
    }

    #[test]
    fn a_partition_never_goes_back() {
        let entry = |tick, end| {
            let bind = Bind { stream: StreamId::Cases, partition: 3, end, lag_records: 0 };
            ClockEntry::new(tick, vec![bind])
        };
        let read = |reader: &mut ClockReader, entry: &ClockEntry| {
            reader.read(&record(0, &serde_json::to_vec(entry).unwrap()))
        };
        let mut reader = ClockReader::default();
        read(&mut reader, &entry(200, 17)).unwrap();
        read(&mut reader, &entry(400, 17)).unwrap();
        let back = read(&mut reader, &entry(600, 16)).unwrap_err().to_string();
        assert!(back.contains("cases partition 3 goes back from 17 to 16"), "{back}");
        // Nor before where it began.
        let mut first = entry(200, 4);
        first.starts.push(Start { stream: StreamId::Cases, partition: 3, offset: 5 });
        assert!(read(&mut ClockReader::default(), &first).is_err());
    }
}
