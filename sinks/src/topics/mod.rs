//! Sinks into topics of the log.
//!
//! **Mechanism.** A sink of this kind says which topic a frame's changes go to and what record a change becomes
//! ([`TopicSink`]); [`Topics`] does the rest, the same for all: it appends whole ticks in one atomic batch, and it
//! starts after the tick of the last record that is there. So nothing is sent twice after a restart, wherever the
//! program died, and nothing is missing.
//!
//! The log itself is behind [`TopicWriter`], which the binary implements. State: the tick reached.

pub mod alerts;
pub mod rejected;

use model::{Error, Frame, Names, Result, Tick};

pub use alerts::{AlertSink, Alerts, CaseWriter};
pub use rejected::{Rejected, RejectedSink};

/// A record to append: its key, if it has one, and its value.
pub type Record = (Option<Vec<u8>>, Vec<u8>);

/// What a sink needs of the log.
pub trait TopicWriter: Send {
    /// The value of the last record of `topic`; `None` when it has none.
    ///
    /// # Errors
    /// Those of the log.
    fn last(&mut self, topic: &str) -> Result<Option<Vec<u8>>>;

    /// Appends `records` to `topic`, in order, all of them or none.
    ///
    /// # Errors
    /// Those of the log. When it is not known whether they were appended, the answer must be an error, and the sink
    /// must be opened anew: it then finds out.
    fn append_atomic(&mut self, topic: &str, records: Vec<Record>) -> Result<()>;
}

/// What is particular to one sink.
pub trait TopicSink: Send {
    /// The topic.
    fn topic(&self) -> &str;

    /// The records of a frame's changes at ticks from `from` on, in order of tick. Each value must hold the tick of its
    /// change, such that [`tick_of`](TopicSink::tick_of) finds it.
    ///
    /// # Errors
    /// Internal when a row is not what the sink expects.
    fn records(&self, frame: &Frame, from: Tick, names: &Names) -> Result<Vec<Record>>;

    /// The tick in the value of a record of this sink; `None` when it isn't one.
    fn tick_of(&self, value: &[u8]) -> Option<Tick>;
}

/// A sink into a topic, and how far it has come.
#[derive(Debug)]
pub struct Topics<S, W> {
    sink: S,
    log: W,
    /// First tick that is not in the topic.
    next: Tick,
    /// Whether the last append failed, so that nobody knows what is in the topic.
    unsure: bool,
}

impl<S: TopicSink, W: TopicWriter> Topics<S, W> {
    /// Opens the sink: looks in the log how far it has come.
    ///
    /// # Errors
    /// Those of the log; a user error when the last record of the topic isn't one of this sink's.
    pub fn open(sink: S, log: W) -> Result<Self> {
        let mut this = Self { sink, log, next: 0, unsure: true };
        this.look()?;
        Ok(this)
    }

    /// Appends what the frame adds, as one batch. A frame that was taken before adds nothing. After an error the same
    /// frame may be given again: the sink first looks how far it had come.
    ///
    /// # Errors
    /// Those of the log.
    pub fn write(&mut self, frame: &Frame, names: &Names) -> Result<()> {
        self.prepare()?;
        let records = self.sink.records(frame, self.next, names)?;
        if !records.is_empty() {
            self.unsure = true;
            self.log.append_atomic(self.sink.topic(), records)?;
            self.unsure = false;
        }
        self.next = self.next.max(frame.upper);
        Ok(())
    }

    /// Looks how far it has come, if that is not sure: the first tick that is not in the topic yet.
    ///
    /// # Errors
    /// Those of the log.
    pub fn prepare(&mut self) -> Result<Tick> {
        if self.unsure {
            self.look()?;
        }
        Ok(self.next)
    }

    /// What is particular to the sink.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// First tick that is not in the topic yet.
    pub fn next(&self) -> Tick {
        self.next
    }

    /// A batch holds whole ticks, so the last record's tick is complete, and so is everything before it.
    fn look(&mut self) -> Result<()> {
        let topic = self.sink.topic();
        if let Some(value) = self.log.last(topic)? {
            let tick = self.sink.tick_of(&value).ok_or_else(|| {
                Error::user(format!("the last record of topic {topic} was not written by this program"))
            })?;
            self.next = self.next.max(tick + 1);
        }
        self.unsure = false;
        Ok(())
    }
}
