//! The history of one key in order of event time.
//!
//! **Meaning.** At most one item per event time; the later one in log order takes the place of the earlier.
//!
//! **Mechanism.** Chunks of at most [`CHUNK`] items, each sorted, the latest of them at hand. A record in order is pushed
//! at the end; a late one finds its chunk by binary search and moves at most a chunk of items, whatever the length of the
//! history.
//!
//! **State.** One item per distinct event time since the last [`Timeline::prune`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Greatest number of items in a chunk.
pub const CHUNK: usize = 64;
/// How many of the latest items are looked at one by one.
const NEAR: usize = 4;

/// An item with an event time.
pub trait Timed {
    /// Event time, Unix ms.
    fn ts(&self) -> i64;
}

/// Items in order of event time, at most one per event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline<T> {
    /// Full chunks and halves of such, each before the next.
    older: VecDeque<Vec<T>>,
    /// The chunk of the latest items, at hand: whoever asks mostly asks for one of them. Empty only if all is.
    tail: Vec<T>,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { older: VecDeque::new(), tail: Vec::new() }
    }
}

/// A place in a timeline, valid until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the chunk; that of the tail comes after those of the older ones.
    chunk: usize,
    index: usize,
}

impl<T: Timed> Timeline<T> {
    fn chunk(&self, chunk: usize) -> &[T] {
        match self.older.get(chunk) {
            Some(older) => older,
            None if chunk == self.older.len() => &self.tail,
            None => &[],
        }
    }

    fn chunk_mut(&mut self, chunk: usize) -> &mut Vec<T> {
        match self.older.get_mut(chunk) {
            Some(older) => older,
            None => &mut self.tail,
        }
    }

    /// Puts `item` in its place. Returns where it is and what it replaced.
    pub fn insert(&mut self, item: T) -> (Place, Option<T>) {
        let ts = item.ts();
        // In order: the common case.
        if self.last().is_none_or(|last| last.ts() < ts) {
            if self.tail.len() >= CHUNK {
                // Whoever fills one chunk mostly fills the next: room for it at once saves growing step by step.
                self.older.push_back(std::mem::replace(&mut self.tail, Vec::with_capacity(CHUNK)));
            }
            self.tail.push(item);
            return (Place { chunk: self.older.len(), index: self.tail.len() - 1 }, None);
        }
        let mut at = self.first_from(ts);
        if let Some(there) = self.get_mut(at)
            && there.ts() == ts
        {
            return (at, Some(std::mem::replace(there, item)));
        }
        // Into the chunk that holds the next item; a full chunk is halved first.
        if self.chunk(at.chunk).len() >= CHUNK {
            let later = self.chunk_mut(at.chunk).split_off(CHUNK / 2);
            match at.chunk == self.older.len() {
                true => self.older.push_back(std::mem::replace(&mut self.tail, later)),
                false => self.older.insert(at.chunk + 1, later),
            }
            if at.index > CHUNK / 2 {
                at = Place { chunk: at.chunk + 1, index: at.index - CHUNK / 2 };
            }
        }
        self.chunk_mut(at.chunk).insert(at.index, item);
        (at, None)
    }

    /// The place of the first item at or after `ts`: the end when there is none.
    pub fn first_from(&self, ts: i64) -> Place {
        // Halving a whole chunk would touch memory that is long cold.
        let mut index = self.tail.len();
        while index > 0 && self.tail.len() - index <= NEAR {
            if self.tail[index - 1].ts() < ts {
                return match index == self.tail.len() {
                    true => self.end(),
                    false => Place { chunk: self.older.len(), index },
                };
            }
            index -= 1;
        }
        if index == 0 && self.older.back().and_then(|chunk| chunk.last()).is_none_or(|last| last.ts() < ts) {
            return Place { chunk: self.older.len(), index };
        }
        let chunk = self.older.partition_point(|chunk| chunk.last().is_some_and(|last| last.ts() < ts));
        Place { chunk, index: self.chunk(chunk).partition_point(|item| item.ts() < ts) }
    }

    /// Whether there is an item at `ts`.
    pub fn has(&self, ts: i64) -> bool {
        self.get(self.first_from(ts)).is_some_and(|item| item.ts() == ts)
    }

    /// The item at `at`.
    pub fn get(&self, at: Place) -> Option<&T> {
        self.chunk(at.chunk).get(at.index)
    }

    /// The item at `at`, whose event time must not be changed.
    pub fn get_mut(&mut self, at: Place) -> Option<&mut T> {
        match at.chunk <= self.older.len() {
            true => self.chunk_mut(at.chunk).get_mut(at.index),
            false => None,
        }
    }

    /// The place after `at`.
    pub fn next(&self, at: Place) -> Place {
        if at.index + 1 < self.chunk(at.chunk).len() {
            Place { chunk: at.chunk, index: at.index + 1 }
        } else {
            Place { chunk: at.chunk + 1, index: 0 }
        }
    }

    /// The place before `at`, if there is one.
    pub fn previous(&self, at: Place) -> Option<Place> {
        if at.index > 0 {
            return Some(Place { chunk: at.chunk, index: at.index - 1 });
        }
        let chunk = at.chunk.checked_sub(1)?;
        Some(Place { chunk, index: self.chunk(chunk).len().checked_sub(1)? })
    }

    /// The items from `at` on, in order.
    pub fn from(&self, at: Place) -> impl Iterator<Item = &T> {
        let chunk = self.chunk(at.chunk);
        let tail = if at.chunk < self.older.len() { &self.tail[..] } else { &[] };
        let head = &chunk[at.index.min(chunk.len())..];
        head.iter().chain(self.older.iter().skip(at.chunk + 1).flatten()).chain(tail)
    }

    /// The items before `at`, latest first.
    pub fn before(&self, at: Place) -> impl Iterator<Item = &T> {
        let chunk = self.chunk(at.chunk);
        let tail = if at.chunk > self.older.len() { &self.tail[..] } else { &[] };
        let head = &chunk[..at.index.min(chunk.len())];
        let older = self.older.iter().take(at.chunk).rev().flat_map(|chunk| chunk.iter().rev());
        head.iter().rev().chain(tail.iter().rev()).chain(older)
    }

    /// All items, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.older.iter().flatten().chain(&self.tail)
    }

    /// The latest item.
    pub fn last(&self) -> Option<&T> {
        self.tail.last()
    }

    /// The latest item that `is` takes: mostly the last.
    pub fn latest(&self, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.iter().rev().find(|item| is(item))
    }

    /// The end.
    pub fn end(&self) -> Place {
        Place { chunk: self.chunks(), index: 0 }
    }

    fn chunks(&self) -> usize {
        self.older.len() + usize::from(!self.tail.is_empty())
    }

    /// Forgets whole chunks of items older than `ts`, except the latest `keep` chunks.
    pub fn prune(&mut self, ts: i64, keep: usize) {
        while self.chunks() > keep && self.chunk(0).last().is_some_and(|last| last.ts() < ts) {
            if self.older.pop_front().is_none() {
                self.tail = Vec::new();
            }
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.older.iter().map(Vec::len).sum::<usize>() + self.tail.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{CHUNK, Timed, Timeline};

    impl Timed for (i64, u32) {
        fn ts(&self) -> i64 {
            self.0
        }
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(times in proptest::collection::vec(0i64..2000, 0..4 * CHUNK)) {
            let (mut line, mut map) = (Timeline::default(), BTreeMap::new());
            for (n, ts) in times.into_iter().enumerate() {
                let n = n as u32;
                let (at, replaced) = line.insert((ts, n));
                prop_assert_eq!(replaced.map(|item: (i64, u32)| item.1), map.insert(ts, n));
                prop_assert_eq!(line.get(at), Some(&(ts, n)));
                prop_assert_eq!(line.first_from(ts), at);
                let after = map.range(ts + 1..).next().map(|(ts, _)| *ts);
                prop_assert_eq!(line.get(line.next(at)).map(Timed::ts), after);
                let before = map.range(..ts).next_back().map(|(ts, _)| *ts);
                prop_assert_eq!(line.previous(at).and_then(|p| line.get(p)).map(Timed::ts), before);
                prop_assert_eq!(line.before(at).next().map(Timed::ts), before);
            }
            prop_assert!(line.iter().map(|item| (item.0, item.1)).eq(map.clone()));
            prop_assert!(line.from(line.first_from(1000)).map(|item| item.0).eq(map.range(1000..).map(|(ts, _)| *ts)));
            prop_assert_eq!(line.len(), map.len());
            line.prune(1000, 1);
            prop_assert!(line.from(line.first_from(1000)).map(|item| item.0).eq(map.range(1000..).map(|(ts, _)| *ts)));
        }
    }
}
