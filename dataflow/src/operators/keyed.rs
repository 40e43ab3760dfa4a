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

use foldhash::HashMap;
use model::Tick;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::park::Parking;

/// State by key, with appointments.
#[derive(Debug)]
pub struct KeyedState<K, S> {
    states: HashMap<K, (S, Option<Tick>)>,
    appointments: Parking<K>,
}

impl<K, S> Default for KeyedState<K, S> {
    fn default() -> Self {
        Self { states: HashMap::default(), appointments: Parking::default() }
    }
}

impl<K: Hash + Eq + Copy, S> KeyedState<K, S> {
    /// The state of `key`, made new if there is none.
    pub fn entry(&mut self, key: K) -> &mut S
    where
        S: Default,
    {
        &mut self.states.entry(key).or_default().0
    }

    /// The state of `key`, made new if there is none, for `visit`, which says when to wake the key: as
    /// [`KeyedState::entry`] and then [`KeyedState::wake`], with one look for the key.
    pub fn visit(&mut self, key: K, visit: impl FnOnce(&mut S) -> Option<Tick>)
    where
        S: Default,
    {
        let (state, appointment) = self.states.entry(key).or_default();
        if let Some(due) = visit(state)
            && appointment.is_none_or(|earlier| earlier > due)
        {
            *appointment = Some(due);
            self.appointments.park(due, key);
        }
    }

    /// The state of `key`, if there is one.
    pub fn get_mut(&mut self, key: K) -> Option<&mut S> {
        self.states.get_mut(&key).map(|(state, _)| state)
    }

    /// The state of `key`, if there is one.
    pub fn get(&self, key: K) -> Option<&S> {
        self.states.get(&key).map(|(state, _)| state)
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: K) {
        self.states.remove(&key);
    }

    /// All keys and states, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut S)> {
        self.states.iter_mut().map(|(key, (state, _))| (*key, state))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.states.keys().copied()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Wakes `key` at `due` or before.
    pub fn wake(&mut self, key: K, due: Tick) {
        if let Some((_, appointment)) = self.states.get_mut(&key)
            && appointment.is_none_or(|earlier| earlier > due)
        {
            *appointment = Some(due);
            self.appointments.park(due, key);
        }
    }

    /// The earliest appointment.
    pub fn due(&self) -> Option<Tick> {
        self.appointments.due()
    }

    /// The keys that are to be woken at or before `tick`; their appointments are over.
    pub fn woken(&mut self, tick: Tick) -> Vec<K> {
        let mut woken = self.appointments.take(tick);
        woken.retain(|key| match self.states.get_mut(key) {
            Some((_, appointment)) if appointment.is_some_and(|due| due <= tick) => {
                *appointment = None;
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
        let entries: Vec<(&K, &S, Option<Tick>)> =
            self.states.iter().map(|(key, (state, due))| (key, state, *due)).collect();
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
        let entries: Vec<(K, S, Option<Tick>)> = postcard::from_bytes(bytes)
            .map_err(|e| model::Error::internal("keyed state cannot be restored").caused_by(e))?;
        let mut restored = Self::default();
        for (key, state, due) in entries {
            restored.states.insert(key, (state, None));
            if let Some(due) = due {
                restored.wake(key, due);
            }
        }
        Ok(restored)
    }
}

#[cfg(test)]
mod tests {
    use super::KeyedState;

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
