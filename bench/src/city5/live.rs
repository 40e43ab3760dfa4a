//! The three streams as they happen, for a load on a running engine: records up to an instant, in order of event time.

use std::sync::Arc;

use super::cases::Cases;
use super::network::Network;
use super::positions::Positions;
use super::readings::Readings;
use super::{Mix, PARTS};

/// A city that is asked what has happened up to now.
pub struct Live {
    positions: Positions,
    readings: Readings,
    cases: Cases,
    /// The next record of each stream, without its end, and its event time.
    next: [(i64, String); 3],
}

impl Live {
    /// The city of a workload from its start on.
    pub fn new(mix: Mix) -> Self {
        let network = Arc::new(Network::build(&mix));
        let mut live = Self {
            positions: Positions::new(&mix, &network),
            readings: Readings::new(&mix),
            cases: Cases::new(&mix),
            next: Default::default(),
        };
        for stream in 0..PARTS.len() {
            live.advance(stream);
        }
        live
    }

    fn advance(&mut self, stream: usize) {
        let (ts, line) = &mut self.next[stream];
        line.clear();
        *ts = match stream {
            0 => self.positions.next(line),
            1 => self.readings.next(line),
            _ => self.cases.next(line),
        };
        line.push_str("}\n");
    }

    /// Hands over every record with an event time of at most `ts` as a line: the number of its stream (positions,
    /// readings, case events) and the line.
    pub fn until(&mut self, ts: i64, take: &mut dyn FnMut(usize, &str)) {
        for stream in 0..PARTS.len() {
            while self.next[stream].0 <= ts {
                take(stream, &self.next[stream].1);
                self.advance(stream);
            }
        }
    }
}
