//! The history of one key in order of event time.
//!
//! **Meaning.** At most one item per event time; the later one in log order takes the place of the earlier.
//!
//! **Mechanism.** Chunks of at most [`CHUNK`] items, each sorted. A record in order is pushed at the end; a late one
//! finds its chunk by binary search and moves at most a chunk of items, whatever the length of the history.
//!
//! **State.** One item per distinct event time since the last [`Timeline::prune`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Greatest number of items in a chunk.
pub const CHUNK: usize = 256;
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
    chunks: VecDeque<Vec<T>>,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new() }
    }
}

/// A place in a timeline, valid until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    chunk: usize,
    index: usize,
}

impl<T: Timed> Timeline<T> {
    /// Puts `item` in its place. Returns where it is and what it replaced.
    pub fn insert(&mut self, item: T) -> (Place, Option<T>) {
        let ts = item.ts();
        // In order: the common case.
        if self.last().is_none_or(|last| last.ts() < ts) {
            match self.chunks.back_mut() {
                Some(chunk) if chunk.len() < CHUNK => chunk.push(item),
                _ => self.chunks.push_back(vec![item]),
            }
            let chunk = self.chunks.len() - 1;
            return (Place { chunk, index: self.chunks[chunk].len() - 1 }, None);
        }
        let mut at = self.first_from(ts);
        if let Some(there) = self.get_mut(at)
            && there.ts() == ts
        {
            return (at, Some(std::mem::replace(there, item)));
        }
        // Into the chunk that holds the next item; a full chunk is halved first.
        if self.chunks[at.chunk].len() >= CHUNK {
            let tail = self.chunks[at.chunk].split_off(CHUNK / 2);
            self.chunks.insert(at.chunk + 1, tail);
            if at.index > CHUNK / 2 {
                at = Place { chunk: at.chunk + 1, index: at.index - CHUNK / 2 };
            }
        }
        self.chunks[at.chunk].insert(at.index, item);
        (at, None)
    }

    /// The place of the first item at or after `ts`: the end when there is none.
    pub fn first_from(&self, ts: i64) -> Place {
        // Whoever asks mostly asks for one of the latest: halving a whole chunk would touch memory that is long cold.
        if let Some(latest) = self.chunks.back() {
            let mut index = latest.len();
            while index > 0 && latest.len() - index <= NEAR {
                if latest[index - 1].ts() < ts {
                    return match index == latest.len() {
                        true => self.end(),
                        false => Place { chunk: self.chunks.len() - 1, index },
                    };
                }
                index -= 1;
            }
        }
        let chunk = self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| last.ts() < ts));
        let index = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(|item| item.ts() < ts));
        Place { chunk, index }
    }

    /// Whether there is an item at `ts`.
    pub fn has(&self, ts: i64) -> bool {
        self.get(self.first_from(ts)).is_some_and(|item| item.ts() == ts)
    }

    /// The item at `at`.
    pub fn get(&self, at: Place) -> Option<&T> {
        self.chunks.get(at.chunk)?.get(at.index)
    }

    /// The item at `at`, whose event time must not be changed.
    pub fn get_mut(&mut self, at: Place) -> Option<&mut T> {
        self.chunks.get_mut(at.chunk)?.get_mut(at.index)
    }

    /// The place after `at`.
    pub fn next(&self, at: Place) -> Place {
        if self.chunks.get(at.chunk).is_some_and(|chunk| at.index + 1 < chunk.len()) {
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
        Some(Place { chunk, index: self.chunks.get(chunk)?.len() - 1 })
    }

    /// The items from `at` on, in order.
    pub fn from(&self, at: Place) -> impl Iterator<Item = &T> {
        let head = self.chunks.get(at.chunk).map_or(&[][..], |chunk| &chunk[at.index.min(chunk.len())..]);
        head.iter().chain(self.chunks.iter().skip(at.chunk + 1).flatten())
    }

    /// The items before `at`, latest first.
    pub fn before(&self, at: Place) -> impl Iterator<Item = &T> {
        let head = self.chunks.get(at.chunk).map_or(&[][..], |chunk| &chunk[..at.index.min(chunk.len())]);
        head.iter().rev().chain(self.chunks.iter().take(at.chunk).rev().flat_map(|chunk| chunk.iter().rev()))
    }

    /// All items, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// The latest item.
    pub fn last(&self) -> Option<&T> {
        self.chunks.back()?.last()
    }

    /// The latest item that `is` takes: mostly the last.
    pub fn latest(&self, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.chunks.iter().rev().find_map(|chunk| chunk.iter().rev().find(|item| is(item)))
    }

    /// The end.
    pub fn end(&self) -> Place {
        Place { chunk: self.chunks.len(), index: 0 }
    }

    /// Forgets whole chunks of items older than `ts`, except the latest `keep` chunks.
    pub fn prune(&mut self, ts: i64, keep: usize) {
        while self.chunks.len() > keep
            && self.chunks.front().and_then(|chunk| chunk.last()).is_some_and(|last| last.ts() < ts)
        {
            self.chunks.pop_front();
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
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
