//! State by key that can be exported at a tick and restored: the one state type of our own operators.
//!
//! **Meaning.** [`KeyedState`] maps keys to states; each key may have one appointment, the earliest tick at which time
//! alone changes its rows.
//!
//! **Mechanism.** An appointment that moves later is not moved: the old one wakes the key, which looks at its state and
//! makes the next one. So a key that changes with every record makes one entry per wake-up, not one per record.
//!
//! **State.** One entry per key and at most one live appointment each. [`KeyedState::export`] writes all of it as bytes
//! (for snapshots and for moving keys between workers); symbols in it mean something only beside the names they came
//! from.

use std::hash::Hash;
use std::hint::black_box;

use foldhash::HashMap;
use model::Tick;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::appointments::Appointments;

/// How many rows are looked up before the first of them is taken in.
pub const AHEAD: usize = 32;

/// Reads what will be needed next, one number of each, before the first of it is used: memory is waited for once where one
/// after the other would wait each time. Nothing else comes of it.
pub fn look_ahead(read: impl Iterator<Item = i64>) {
    black_box(read.fold(0, |sum, number| sum ^ number));
}

/// Rows in order of key, each with its number, in batches for [`KeyedState::look_ahead`]: what is of one key is in one.
pub fn batches<K: PartialEq>(order: &[(K, u32)]) -> impl Iterator<Item = &[(K, u32)]> {
    let mut rest = order;
    std::iter::from_fn(move || {
        let (last, _) = rest.get(AHEAD - 1).or(rest.last())?;
        let more = rest.iter().skip(AHEAD).take_while(|(key, _)| key == last).count();
        let batch;
        (batch, rest) = rest.split_at((AHEAD + more).min(rest.len()));
        Some(batch)
    })
}

/// State by key, with appointments.
#[derive(Debug)]
pub struct KeyedState<K, S> {
    /// Where the state of a key is: small, so that it stays in the cache.
    places: HashMap<K, u32>,
    /// The last state takes the place of one that is forgotten.
    states: Pages<Kept<K, S>>,
    appointments: Appointments<K>,
}

/// A list in pages of [`PAGE`] items: it grows page by page, and nothing that is there is moved for that. A list in one
/// piece would be copied as a whole each time it doubles, and a tick would wait for it.
#[derive(Debug)]
struct Pages<T> {
    /// All full but the last, which is not empty.
    pages: Vec<Vec<T>>,
}

/// Items in a page.
const PAGE: usize = 256;

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Pages<T> {
    fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    fn get(&self, at: u32) -> Option<&T> {
        self.pages.get(at as usize / PAGE)?.get(at as usize % PAGE)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.pages.get_mut(at as usize / PAGE)?.get_mut(at as usize % PAGE)
    }

    fn push(&mut self, item: T) {
        if self.pages.last().is_none_or(|last| last.len() == PAGE) {
            // The first page grows as any list does: it may be all there is.
            self.pages.push(Vec::with_capacity(if self.pages.is_empty() { 0 } else { PAGE }));
        }
        if let Some(last) = self.pages.last_mut() {
            last.push(item);
        }
    }

    /// Takes an item out and puts the last one in its place.
    fn swap_remove(&mut self, at: u32) {
        let last = self.pages.last_mut().and_then(Vec::pop);
        if self.pages.last().is_some_and(Vec::is_empty) {
            self.pages.pop();
        }
        // If it was the last one, its place is no more.
        if let (Some(place), Some(last)) = (self.get_mut(at), last) {
            *place = last;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten()
    }
}

#[derive(Debug)]
struct Kept<K, S> {
    key: K,
    /// [`NEVER`] when there is none: half the room of an option.
    appointment: Tick,
    state: S,
}

const NEVER: Tick = Tick::MAX;

impl<K, S> Default for KeyedState<K, S> {
    fn default() -> Self {
        Self { places: HashMap::default(), states: Pages::default(), appointments: Appointments::default() }
    }
}

impl<K: Hash + Eq + Copy, S> KeyedState<K, S> {
    fn kept(&mut self, key: K) -> &mut Kept<K, S>
    where
        S: Default,
    {
        let place = *self.places.entry(key).or_insert_with(|| {
            let place = u32::try_from(self.states.len()).expect("fewer keys than there are names");
            self.states.push(Kept { key, appointment: NEVER, state: S::default() });
            place
        });
        self.states.get_mut(place).expect("places are those of states")
    }

    fn find(&mut self, key: K) -> Option<&mut Kept<K, S>> {
        let place = *self.places.get(&key)?;
        self.states.get_mut(place)
    }

    /// The state of `key`, made new if there is none.
    pub fn entry(&mut self, key: K) -> &mut S
    where
        S: Default,
    {
        &mut self.kept(key).state
    }

    /// The state of `key`, made new if there is none, for `visit`, which says when to wake the key: as
    /// [`KeyedState::entry`] and then [`KeyedState::wake`], with one look for the key.
    pub fn visit(&mut self, key: K, visit: impl FnOnce(&mut S) -> Option<Tick>)
    where
        S: Default,
    {
        let kept = self.kept(key);
        if let Some(due) = visit(&mut kept.state)
            && due < kept.appointment
        {
            kept.appointment = due;
            self.appointments.make(due, key);
        }
    }

    /// Looks at the states of `keys` before they are needed ([`look_ahead`]): `touch` reads what will be read first.
    pub fn look_ahead(&self, keys: impl Iterator<Item = K>, touch: impl Fn(&S) -> i64) {
        look_ahead(keys.filter_map(|key| self.get(key)).map(touch));
    }

    /// The state of `key`, if there is one.
    pub fn get_mut(&mut self, key: K) -> Option<&mut S> {
        self.find(key).map(|kept| &mut kept.state)
    }

    /// The state of `key`, if there is one.
    pub fn get(&self, key: K) -> Option<&S> {
        let place = *self.places.get(&key)?;
        self.states.get(place).map(|kept| &kept.state)
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: K) {
        let Some(place) = self.places.remove(&key) else { return };
        self.states.swap_remove(place);
        if let Some(moved) = self.states.get(place) {
            self.places.insert(moved.key, place);
        }
    }

    /// All keys and states, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut S)> {
        self.states.iter_mut().map(|kept| (kept.key, &mut kept.state))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.states.iter().map(|kept| kept.key)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wakes `key` at `due` or before.
    pub fn wake(&mut self, key: K, due: Tick) {
        if let Some(kept) = self.find(key)
            && due < kept.appointment
        {
            kept.appointment = due;
            self.appointments.make(due, key);
        }
    }

    /// The earliest appointment.
    pub fn due(&self) -> Option<Tick> {
        self.appointments.due()
    }

    /// The keys that are to be woken at or before `tick`; their appointments are over.
    pub fn woken(&mut self, tick: Tick) -> Vec<K> {
        let mut woken = self.appointments.take(tick);
        woken.retain(|key| match self.find(*key) {
            Some(kept) if kept.appointment <= tick => {
                kept.appointment = NEVER;
                true
            }
            _ => false,
        });
        woken
    }

    /// All keys, states and appointments as bytes.
    ///
    /// # Errors
    /// When a state cannot be serialised, which is our own fault.
    pub fn export(&self) -> model::Result<Vec<u8>>
    where
        K: Serialize,
        S: Serialize,
    {
        let entries: Vec<(&K, &S, Tick)> =
            self.states.iter().map(|kept| (&kept.key, &kept.state, kept.appointment)).collect();
        postcard::to_stdvec(&entries)
            .map_err(|e| model::Error::internal("keyed state cannot be exported").caused_by(e))
    }

    /// The state that [`KeyedState::export`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a state.
    pub fn restore(bytes: &[u8]) -> model::Result<Self>
    where
        K: DeserializeOwned,
        S: DeserializeOwned,
    {
        let entries: Vec<(K, S, Tick)> = postcard::from_bytes(bytes)
            .map_err(|e| model::Error::internal("keyed state cannot be restored").caused_by(e))?;
        let mut restored = Self::default();
        for (key, state, due) in entries {
            let place = u32::try_from(restored.states.len()).expect("fewer keys than there are names");
            restored.places.insert(key, place);
            restored.states.push(Kept { key, appointment: NEVER, state });
            restored.wake(key, due);
        }
        Ok(restored)
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD, KeyedState, PAGE, batches};

    #[test]
    fn batches_end_where_a_key_does() {
        let keys = |n: u32, of: u32| (0..n).map(move |n| (n / of, n)).collect::<Vec<_>>();
        for (n, of) in [(0, 1), (1, 1), (31, 1), (32, 1), (33, 1), (100, 7), (100, 40), (64, 32), (300, 300)]
        {
            let order = keys(n, of);
            let all: Vec<_> = batches(&order).collect();
            assert_eq!(all.concat(), order);
            assert!(all.windows(2).all(|pair| pair[0].last().unwrap().0 < pair[1][0].0), "{n} by {of}");
            assert!(all.iter().all(|batch| !batch.is_empty() && batch.len() < AHEAD + of as usize));
        }
    }

    #[test]
    fn a_later_appointment_waits_for_the_earlier_one() {
        let mut state: KeyedState<u32, u32> = KeyedState::default();
        *state.entry(7) = 1;
        state.wake(7, 100);
        state.wake(7, 300);
        assert_eq!((state.due(), state.woken(99)), (Some(100), vec![]));
        assert_eq!(state.woken(100), [7]);
        state.wake(7, 300);
        state.wake(7, 200);
        assert_eq!(state.woken(200), [7]);
        assert_eq!(
            state.woken(300),
            Vec::<u32>::new(),
            "the appointment at 300 was made before the one that came true"
        );
    }

    #[test]
    fn pages_come_and_go() {
        let mut state: KeyedState<u32, u32> = KeyedState::default();
        let all = |state: &KeyedState<u32, u32>| {
            let mut all: Vec<u32> = state.keys().collect();
            all.sort_unstable();
            assert!(all.iter().all(|key| state.get(*key) == Some(&(key * 10))));
            assert_eq!(state.len(), all.len());
            all
        };
        (0..3 * PAGE as u32).for_each(|key| *state.entry(key) = key * 10);
        assert_eq!(all(&state), (0..3 * PAGE as u32).collect::<Vec<_>>());
        // From the front, the middle and the end, over the ends of pages.
        (0..PAGE as u32 + 1).for_each(|n| state.remove(n * 2));
        (PAGE as u32 * 2..3 * PAGE as u32).for_each(|key| state.remove(key));
        let left: Vec<u32> = (0..2 * PAGE as u32).filter(|key| key % 2 == 1).collect();
        assert_eq!(all(&state), left);
        left.iter().for_each(|key| state.remove(*key));
        assert!(all(&state).is_empty() && state.is_empty());
        *state.entry(7) = 70;
        assert_eq!(all(&state), [7]);
    }

    #[test]
    fn what_is_forgotten_leaves_the_others_where_they_are_found() {
        let mut state: KeyedState<u32, u32> = KeyedState::default();
        (0..5).for_each(|key| *state.entry(key) = key * 10);
        state.wake(4, 7);
        state.remove(1);
        state.remove(9);
        state.remove(3);
        *state.entry(6) = 60;
        let found =
            |state: &KeyedState<u32, u32>| (0..7).map(|key| state.get(key).copied()).collect::<Vec<_>>();
        assert_eq!(found(&state), [Some(0), None, Some(20), None, Some(40), None, Some(60)]);
        assert_eq!((state.len(), state.woken(7)), (4, vec![4]));
    }

    #[test]
    fn what_is_exported_is_restored() {
        let mut state: KeyedState<u32, Vec<u32>> = KeyedState::default();
        state.entry(1).push(10);
        state.entry(2).push(20);
        state.wake(2, 50);
        let mut restored: KeyedState<u32, Vec<u32>> = KeyedState::restore(&state.export().unwrap()).unwrap();
        assert_eq!((restored.get(1), restored.get(2), restored.len()), (Some(&vec![10]), Some(&vec![20]), 2));
        assert_eq!(restored.woken(50), [2]);
        assert!(KeyedState::<u32, Vec<u32>>::restore(&[9, 9, 9]).is_err());
    }
}
