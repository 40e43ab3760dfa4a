//! Partitions that are behind: their sensors are unknown, not offline.
//!
//! **Meaning.** While a tick leaves records of a partition of telemetry unread, the clock by which silence of its
//! sensors is judged stands at the tick before it fell behind, or at how far the partition has been read since, if that
//! is later. So a backlog after a restart raises no storm of offline alerts.
//!
//! **Mechanism.** Sensors that would be offline by the clock of the city wait here, and are looked at again when their
//! partition gets on.
//!
//! **State.** One clock per partition that is behind, and the sensors that wait for it.

use foldhash::{HashMap, HashSet};
use model::Sym;

/// The partitions that are behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    clocks: HashMap<u16, i64>,
    waiting: HashMap<u16, HashSet<Sym>>,
}

impl Behind {
    /// A tick bound `partition`, which is read up to `read`, or to its end; `before` is the tick before. Returns the
    /// sensors to look at.
    pub(super) fn bound(&mut self, partition: u16, read: Option<i64>, before: i64) -> HashSet<Sym> {
        match read {
            Some(read) => {
                let clock = self.clocks.entry(partition).or_insert(before);
                *clock = read.max(*clock);
            }
            None => {
                self.clocks.remove(&partition);
            }
        }
        self.waiting.remove(&partition).unwrap_or_default()
    }

    /// The clock by which silence of sensors of `partition` is judged.
    pub(super) fn clock(&self, partition: u16, now: i64) -> i64 {
        self.clocks.get(&partition).map_or(now, |clock| now.min(*clock))
    }

    /// `sensor` is to be looked at when `partition` gets on.
    pub(super) fn wait(&mut self, partition: u16, sensor: Sym) {
        self.waiting.entry(partition).or_default().insert(sensor);
    }
}
