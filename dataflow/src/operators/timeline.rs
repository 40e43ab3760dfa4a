//! The history of one key in order of event time.
//!
//! **Meaning.** At most one item per event time; the later one in log order takes the place of the earlier.
//!
//! **Mechanism.** Chunks of at most [`Timed::CHUNK`] items, each sorted, the latest of them at hand. A record in order is pushed
//! at the end; a late one finds its chunk by binary search and moves at most a chunk of items, whatever the length of the
//! history. Items that can be packed ([`Timed::pack`]) are, once two more chunks have begun; whoever looks at one of them
//! unpacks its chunk, until [`Timeline::rest`].
//!
//! **State.** One item per distinct event time since the last [`Timeline::prune`], packed where it can be.

use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::ops::Range;

use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many of the latest items are looked at one by one.
const NEAR: usize = 4;

/// An item with an event time.
pub trait Timed: Sized {
    /// Greatest number of items in a chunk.
    const CHUNK: usize;

    /// Event time, Unix ms.
    fn ts(&self) -> i64;

    /// Whether a look back ends at this item ([`Timeline::prune`]).
    fn counts(&self) -> bool {
        true
    }

    /// At most [`Timed::CHUNK`] items in order of event time, in less room; `None` where that is not worth its while.
    fn pack(_items: &[Self]) -> Option<Box<[u8]>> {
        None
    }

    /// The items that [`Timed::pack`] packed.
    fn unpack(_bytes: &[u8]) -> Vec<Self> {
        Vec::new()
    }
}

/// Items that lie together, in order; never none.
#[derive(Clone, Debug)]
enum Chunk<T> {
    Open(Vec<T>),
    Packed(Packed<T>),
}

#[derive(Clone, Debug)]
struct Packed<T> {
    /// Event time of the last item.
    last: i64,
    /// Event time of the first item that counts.
    counting: Option<i64>,
    bytes: Box<[u8]>,
    /// The items, while somebody looks at them.
    items: OnceCell<Box<[T]>>,
    len: u32,
}

impl<T: Timed> Chunk<T> {
    fn items(&self) -> &[T] {
        match self {
            Self::Open(items) => items,
            Self::Packed(packed) => packed.items.get_or_init(|| T::unpack(&packed.bytes).into()),
        }
    }

    fn open(&mut self) -> &mut Vec<T> {
        if let Self::Packed(packed) = self {
            *self = Self::Open(match packed.items.take() {
                Some(items) => items.into_vec(),
                None => T::unpack(&packed.bytes),
            });
        }
        match self {
            Self::Open(items) => items,
            Self::Packed(_) => unreachable!("it was opened"),
        }
    }

    fn pack(&mut self) {
        match self {
            Self::Packed(packed) => drop(packed.items.take()),
            Self::Open(items) => {
                if let (Some(last), Some(bytes)) = (items.last(), T::pack(items)) {
                    let (last, counting, len) = (last.ts(), counting(items), items.len() as u32);
                    *self = Self::Packed(Packed { last, counting, len, bytes, items: OnceCell::new() });
                }
            }
        }
    }

    fn last_ts(&self) -> Option<i64> {
        match self {
            Self::Open(items) => items.last().map(Timed::ts),
            Self::Packed(packed) => Some(packed.last),
        }
    }

    /// Event time of the first item that counts.
    fn counting(&self) -> Option<i64> {
        match self {
            Self::Open(items) => counting(items),
            Self::Packed(packed) => packed.counting,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Open(items) => items.len(),
            Self::Packed(packed) => packed.len as usize,
        }
    }
}

/// Event time of the first of `items` that counts.
fn counting<T: Timed>(items: &[T]) -> Option<i64> {
    items.iter().find(|item| item.counts()).map(Timed::ts)
}

/// Items in order of event time, at most one per event time.
#[derive(Clone, Debug)]
pub struct Timeline<T> {
    /// Full chunks and halves of such, each before the next.
    older: VecDeque<Chunk<T>>,
    /// The chunk of the latest items, at hand: whoever asks mostly asks for one of them. Empty only if all is.
    tail: Vec<T>,
    /// Numbers of the older chunks that somebody looked at or changed.
    loose: Cell<(usize, usize)>,
    /// The first of the older chunks, which lies in memory that is long cold, stays until items up to this are forgotten.
    stays: i64,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { older: VecDeque::new(), tail: Vec::new(), loose: Cell::default(), stays: i64::MIN }
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
            Some(older) => {
                self.loosen(chunk..chunk + 1);
                older.items()
            }
            None if chunk == self.older.len() => &self.tail,
            None => &[],
        }
    }

    fn chunk_mut(&mut self, chunk: usize) -> &mut Vec<T> {
        if chunk >= self.older.len() {
            return &mut self.tail;
        }
        self.loosen(chunk..chunk + 1);
        self.older[chunk].open()
    }

    fn loosen(&self, chunks: Range<usize>) {
        let (first, end) = self.loose.get();
        self.loose.set(match first < end {
            true => (first.min(chunks.start), end.max(chunks.end)),
            false => (chunks.start, chunks.end),
        });
    }

    /// Packs what was looked at or changed, except the two latest chunks.
    pub fn rest(&mut self) {
        let (first, end) = self.loose.take();
        for chunk in first..end.min(self.older.len().saturating_sub(1)) {
            self.older[chunk].pack();
        }
    }

    /// Puts `item` in its place. Returns where it is and what it replaced.
    pub fn insert(&mut self, item: T) -> (Place, Option<T>) {
        let ts = item.ts();
        // In order: the common case.
        if self.last().is_none_or(|last| last.ts() < ts) {
            if self.tail.len() >= T::CHUNK {
                // Whoever fills one chunk mostly fills the next: room for it at once saves growing step by step.
                let full = std::mem::replace(&mut self.tail, Vec::with_capacity(T::CHUNK));
                if let Some(last) = self.older.back_mut() {
                    last.pack();
                }
                if self.older.is_empty() {
                    self.stays = ts;
                }
                self.older.push_back(Chunk::Open(full));
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
        if self.chunk(at.chunk).len() >= T::CHUNK {
            let later = self.chunk_mut(at.chunk).split_off(T::CHUNK / 2);
            match at.chunk == self.older.len() {
                true => self.older.push_back(Chunk::Open(std::mem::replace(&mut self.tail, later))),
                false => self.older.insert(at.chunk + 1, Chunk::Open(later)),
            }
            // The chunks after it have other numbers now.
            let (first, end) = self.loose.get();
            self.loosen(first.min(at.chunk)..end.max(at.chunk + 1) + 1);
            if at.index > T::CHUNK / 2 {
                at = Place { chunk: at.chunk + 1, index: at.index - T::CHUNK / 2 };
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
        if index == 0 && self.older.back().and_then(Chunk::last_ts).is_none_or(|last| last < ts) {
            return Place { chunk: self.older.len(), index };
        }
        let chunk = self.older.partition_point(|chunk| chunk.last_ts().is_some_and(|last| last < ts));
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
        head.iter().chain((at.chunk + 1..self.older.len()).flat_map(|chunk| self.chunk(chunk))).chain(tail)
    }

    /// The items before `at`, latest first.
    pub fn before(&self, at: Place) -> impl Iterator<Item = &T> {
        let chunk = self.chunk(at.chunk);
        let tail = if at.chunk > self.older.len() { &self.tail[..] } else { &[] };
        let head = &chunk[..at.index.min(chunk.len())];
        let older =
            (0..at.chunk.min(self.older.len())).rev().flat_map(|chunk| self.chunk(chunk).iter().rev());
        head.iter().rev().chain(tail.iter().rev()).chain(older)
    }

    /// All items, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        (0..self.older.len()).flat_map(|chunk| self.chunk(chunk)).chain(&self.tail)
    }

    /// The latest item.
    pub fn last(&self) -> Option<&T> {
        self.tail.last()
    }

    /// The latest item that `is` takes: mostly the last.
    pub fn latest(&self, is: impl Fn(&T) -> bool) -> Option<&T> {
        match self.tail.last() {
            Some(last) if is(last) => Some(last),
            _ => self.iter().rev().find(|item| is(item)),
        }
    }

    /// The end.
    pub fn end(&self) -> Place {
        Place { chunk: self.chunks(), index: 0 }
    }

    fn chunks(&self) -> usize {
        self.older.len() + usize::from(!self.tail.is_empty())
    }

    /// Forgets whole chunks of items older than `ts`, except what a look back from `ts` or later has to find: at least one
    /// item before `ts` that counts ([`Timed::counts`]) stays, with all that came after it. Nothing is unpacked for that.
    pub fn prune(&mut self, ts: i64) {
        if self.older.is_empty() || self.stays >= ts {
            return;
        }
        // Before chunks get other numbers.
        self.rest();
        while !self.older.is_empty() {
            let next = self.older.iter().skip(1).find_map(Chunk::counting).or_else(|| counting(&self.tail));
            if next.is_some_and(|next| next < ts) {
                self.older.pop_front();
                continue;
            }
            // Where nothing counts yet, something may by the time that the latest is that old.
            self.stays = next.or(self.tail.last().map(Timed::ts)).map_or(ts, |next| next.max(ts));
            break;
        }
        // Who sends nothing that counts leaves no endless line behind: what is before `ts` then needs its latest alone.
        let old = |chunk: Option<&Chunk<T>>| chunk.and_then(Chunk::last_ts).is_some_and(|last| last < ts);
        while old(self.older.get(2)) && self.older[1].counting().is_none() {
            self.older.remove(1);
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.older.iter().map(Chunk::len).sum::<usize>() + self.tail.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }
}

/// As the list of its items.
impl<T: Timed + Serialize> Serialize for Timeline<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|item| list.serialize_element(item))?;
        list.end()
    }
}

impl<'de, T: Timed + Deserialize<'de>> Deserialize<'de> for Timeline<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut line = Self::default();
        for item in Vec::<T>::deserialize(deserializer)? {
            line.insert(item);
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Chunk, Timed, Timeline};

    const CHUNK: usize = <(i64, u32)>::CHUNK;

    impl Timed for (i64, u32) {
        const CHUNK: usize = 64;

        fn ts(&self) -> i64 {
            self.0
        }

        fn counts(&self) -> bool {
            self.1.is_multiple_of(2)
        }

        fn pack(items: &[Self]) -> Option<Box<[u8]>> {
            // Half of the chunks can be packed.
            let even = items.first()?.1.is_multiple_of(2);
            let bytes = items.iter().flat_map(|(ts, n)| [ts.to_le_bytes(), u64::from(*n).to_le_bytes()]);
            even.then(|| bytes.flatten().collect())
        }

        fn unpack(bytes: &[u8]) -> Vec<Self> {
            let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap());
            bytes.chunks(16).map(|item| (number(&item[..8]), number(&item[8..]) as u32)).collect()
        }
    }

    #[test]
    fn a_line_does_not_grow_for_ever() {
        // All count, none does, and none but the first.
        for (first, rest) in [(2, 2), (1, 1), (2, 1)] {
            let mut line = Timeline::default();
            for n in 0..100 * CHUNK as i64 {
                line.insert((n, if n == 0 { first } else { rest }));
                line.prune(n - 100);
                assert!(line.len() < 100 + 5 * CHUNK, "{} after {n}", line.len());
                assert!(rest == 1 || n < 100 || line.len() < 100 + 2 * CHUNK, "{} after {n}", line.len());
            }
            assert_eq!(line.iter().any(Timed::counts), first == 2);
        }
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(times in proptest::collection::vec((0i64..2000, any::<bool>()), 0..12 * CHUNK)) {
            let (mut line, mut map) = (Timeline::default(), BTreeMap::new());
            for (n, (ts, later)) in times.into_iter().enumerate() {
                // Half of them come at the end.
                let n = n as u32;
                let ts = if later { i64::from(n) * 4 } else { ts };
                let (at, replaced) = line.insert((ts, n));
                prop_assert_eq!(replaced.map(|item: (i64, u32)| item.1), map.insert(ts, n));
                prop_assert_eq!(line.get(at), Some(&(ts, n)));
                prop_assert_eq!(line.first_from(ts), at);
                let after = map.range(ts + 1..).next().map(|(ts, _)| *ts);
                prop_assert_eq!(line.get(line.next(at)).map(Timed::ts), after);
                let before = map.range(..ts).next_back().map(|(ts, _)| *ts);
                prop_assert_eq!(line.previous(at).and_then(|p| line.get(p)).map(Timed::ts), before);
                prop_assert_eq!(line.before(at).next().map(Timed::ts), before);
                if n.is_multiple_of(5) {
                    line.rest();
                }
            }
            prop_assert!(line.iter().map(|item| (item.0, item.1)).eq(map.clone()));
            prop_assert!(line.from(line.first_from(1000)).map(|item| item.0).eq(map.range(1000..).map(|(ts, _)| *ts)));
            prop_assert_eq!(line.len(), map.len());
            let bytes = postcard::to_stdvec(&line).unwrap();
            let again: Timeline<(i64, u32)> = postcard::from_bytes(&bytes).unwrap();
            prop_assert!(again.iter().eq(line.iter()));
            line.rest();
            let rests = |chunk: &Chunk<(i64, u32)>| match chunk {
                Chunk::Open(items) => !items[0].1.is_multiple_of(2),
                Chunk::Packed(packed) => packed.items.get().is_none(),
            };
            prop_assert!(line.older.iter().rev().skip(1).all(rests));
            for ts in [500, 1000] {
                line.rest();
                line.prune(ts);
                prop_assert!(line.older.iter().rev().skip(1).all(rests), "nothing is looked at for that");
                prop_assert!(line.from(line.first_from(ts)).map(|item| item.0).eq(map.range(ts..).map(|(ts, _)| *ts)));
                let last = map.range(..ts).rev().find(|(_, n)| n.is_multiple_of(2)).map(|(ts, _)| *ts);
                prop_assert_eq!(line.before(line.first_from(ts)).find(|item| item.counts()).map(Timed::ts), last);
            }
        }
    }
}
