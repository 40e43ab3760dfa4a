//! A small map in one sorted list.
//!
//! **Meaning.** [`Sorted`] maps keys to values, in order of key.
//!
//! **Mechanism.** One list that is searched from its end, then by halving. What changes is nearly always among the last:
//! there it costs as much as a list; a change elsewhere moves what lies on the shorter side. Where a tree has nodes with
//! room for eleven entries, this has no more room than an eighth of what it holds.
//!
//! **State.** The entries, side by side.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How many of the last entries are looked at one by one.
const NEAR: usize = 8;

/// A map in order of key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sorted<K, V> {
    entries: VecDeque<(K, V)>,
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self { entries: VecDeque::new() }
    }
}

impl<K: Ord + Copy, V> Sorted<K, V> {
    /// The number of entries with lesser keys.
    fn place(&self, key: K) -> usize {
        let from_end = self.entries.iter().rev().take(NEAR).take_while(|(other, _)| *other >= key).count();
        match from_end {
            // All that were looked at, and there are more.
            NEAR if self.entries.len() > NEAR => self.entries.partition_point(|(other, _)| *other < key),
            n => self.entries.len() - n,
        }
    }

    fn is_at(&self, at: usize, key: K) -> bool {
        self.entries.get(at).is_some_and(|(other, _)| *other == key)
    }

    fn insert(&mut self, at: usize, key: K, value: V) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 8 + 2);
        }
        self.entries.insert(at, (key, value));
    }

    /// Puts a value at `key`, or takes what is there out; what was there.
    pub fn put(&mut self, key: K, value: Option<V>) -> Option<V> {
        let at = self.place(key);
        match (self.is_at(at, key), value) {
            (true, Some(value)) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            (true, None) => self.entries.remove(at).map(|(_, was)| was),
            (false, Some(value)) => {
                self.insert(at, key, value);
                None
            }
            (false, None) => None,
        }
    }

    /// The value at `key`.
    pub fn get(&self, key: K) -> Option<&V> {
        self.entries.get(self.place(key)).filter(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The value at `key`.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.place(key);
        self.entries.get_mut(at).filter(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The value at `key`, made new if there is none.
    pub fn entry(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let at = self.place(key);
        if !self.is_at(at, key) {
            self.insert(at, key, V::default());
        }
        &mut self.entries[at].1
    }

    /// The entries from `key` on.
    pub fn from(&self, key: K) -> impl Iterator<Item = &(K, V)> + Clone {
        self.entries.range(self.place(key)..)
    }

    /// All entries.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &(K, V)> {
        self.entries.iter()
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.entries.iter().map(|(key, _)| *key)
    }

    /// The least key.
    pub fn first(&self) -> Option<K> {
        self.entries.front().map(|(key, _)| *key)
    }

    /// Takes the entries out, from the first on, whose keys are `old`; it must hold for none after one for which it does
    /// not.
    pub fn take_while(&mut self, old: impl Fn(K) -> bool) -> impl Iterator<Item = (K, V)> {
        let n = if self.first().is_some_and(&old) {
            self.entries.partition_point(|(key, _)| old(*key))
        } else {
            0
        };
        self.entries.drain(..n)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Sorted;

    proptest! {
        #[test]
        fn it_is_a_map(edits in proptest::collection::vec((0i64..100, proptest::option::of(any::<u32>()), any::<bool>()), 0..300)) {
            let (mut sorted, mut map): (Sorted<i64, u32>, BTreeMap<i64, u32>) = Default::default();
            for (n, (key, value, later)) in (0i64..).zip(edits) {
                let key = if later { n } else { key };
                match value {
                    Some(value) if value.is_multiple_of(3) => {
                        *sorted.entry(key) ^= value;
                        *map.entry(key).or_default() ^= value;
                    }
                    Some(value) => prop_assert_eq!(sorted.put(key, Some(value)), map.insert(key, value)),
                    None if later => {
                        let taken: Vec<i64> = sorted.take_while(|old| old < n / 2).map(|(key, _)| key).collect();
                        let kept = map.split_off(&(n / 2));
                        prop_assert!(taken.into_iter().eq(map.into_keys()));
                        map = kept;
                    }
                    None => prop_assert_eq!(sorted.put(key, None), map.remove(&key)),
                }
                prop_assert!(sorted.iter().map(|(key, value)| (key, value)).eq(map.iter()));
                prop_assert!(sorted.from(key).map(|(key, value)| (key, value)).eq(map.range(key..)));
                prop_assert_eq!((sorted.get(key), sorted.get(key + 1)), (map.get(&key), map.get(&(key + 1))));
                prop_assert_eq!(sorted.get_mut(key), map.get_mut(&key));
                prop_assert!(sorted.keys().eq(map.keys().copied()));
                prop_assert_eq!((sorted.first(), sorted.is_empty()), (map.keys().next().copied(), map.is_empty()));
            }
        }
    }
}
