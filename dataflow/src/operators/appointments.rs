//! Keys and when they are to be woken, where mostly each has a tick of its own.
//!
//! **Meaning.** [`Appointments::take`] gives the keys that are due, in order of tick; those of one tick in no order.
//!
//! **Mechanism.** A heap by tick, in one piece: an appointment mostly costs no more than its room, and taking it the
//! logarithm of their number. ([`super::park::Parking`] has a list for each tick, for what comes in numbers and in order: a
//! list for one key takes five times the room.)
//!
//! **State.** One entry per appointment: for a key of four bytes, sixteen.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use model::Tick;

/// Keys by the tick at which they are to be woken.
#[derive(Debug)]
pub struct Appointments<K>(BinaryHeap<Reverse<Appointment<K>>>);

/// Ordered by tick alone.
#[derive(Debug)]
struct Appointment<K> {
    due: Tick,
    key: K,
}

impl<K> PartialEq for Appointment<K> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<K> Eq for Appointment<K> {}

impl<K> PartialOrd for Appointment<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Appointment<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.due.cmp(&other.due)
    }
}

impl<K> Default for Appointments<K> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<K> Appointments<K> {
    /// Wakes `key` at `due`.
    pub fn make(&mut self, due: Tick, key: K) {
        self.0.push(Reverse(Appointment { due, key }));
    }

    /// The earliest tick at which a key is due.
    pub fn due(&self) -> Option<Tick> {
        self.0.peek().map(|Reverse(earliest)| earliest.due)
    }

    /// Takes the keys that are due at or before `tick`.
    pub fn take(&mut self, tick: Tick) -> Vec<K> {
        let mut taken = Vec::new();
        while self.due().is_some_and(|due| due <= tick) {
            taken.extend(self.0.pop().map(|Reverse(earliest)| earliest.key));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::Appointments;

    #[test]
    fn keys_come_back_in_order_of_tick_and_once() {
        let mut appointments = Appointments::default();
        for n in 0..100u64 {
            appointments.make(n * 37 % 100, n);
        }
        assert_eq!(appointments.due(), Some(0));
        let first = appointments.take(49);
        assert!(first.iter().map(|n| n * 37 % 100).eq(0..50));
        assert_eq!((appointments.due(), appointments.take(49)), (Some(50), Vec::new()));
        assert!(appointments.take(1000).iter().map(|n| n * 37 % 100).eq(50..100));
        assert_eq!(appointments.due(), None);
    }
}
