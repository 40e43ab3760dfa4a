//! What lies in the future waits here, outside every arrangement.
//!
//! **Meaning.** [`Parking`] keeps things by the tick at which they are due. [`expire`] passes changes on and retracts
//! each row when its time is over.
//!
//! **Mechanism.** A tree by tick: parking and unparking cost the logarithm of the number of distinct ticks, and a step
//! at which nothing is due costs nothing, however much waits. (Left in an arrangement, future retractions are scanned
//! at every step.)
//!
//! **State.** One entry per thing that waits.

use std::collections::BTreeMap;
use std::hash::Hash;

use foldhash::HashMap;
use model::Tick;
use serde::{Deserialize, Serialize};

use super::delta::{Delta, Keyed};
use super::ticked::{Tagged, Ticked, ticked};

/// Things by the tick at which they are due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parking<T> {
    buckets: BTreeMap<Tick, Vec<T>>,
}

impl<T> Default for Parking<T> {
    fn default() -> Self {
        Self { buckets: BTreeMap::new() }
    }
}

impl<T> Parking<T> {
    /// Parks `thing` until `due`.
    pub fn park(&mut self, due: Tick, thing: T) {
        self.buckets.entry(due).or_default().push(thing);
    }

    /// The earliest tick at which something is due.
    pub fn due(&self) -> Option<Tick> {
        self.buckets.first_key_value().map(|(tick, _)| *tick)
    }

    /// Takes everything that is due at or before `tick`.
    pub fn take(&mut self, tick: Tick) -> Vec<T> {
        let mut taken = Vec::new();
        while let Some(bucket) = self.buckets.first_entry().filter(|bucket| *bucket.key() <= tick) {
            taken.append(&mut bucket.remove());
        }
        taken
    }
}

/// Passes `rows` on and deletes each row `retention_ms` after the tick that `since` reads from it; `None` keeps them.
pub fn expire<'scope, R>(
    rows: Tagged<'scope, Delta<R>>,
    name: &str,
    retention_ms: Option<i64>,
    since: impl Fn(&R) -> Tick + 'static,
) -> Tagged<'scope, Delta<R>>
where
    R: Keyed + Clone + PartialEq + 'static,
    R::Key: Hash + Eq + Clone + 'static,
{
    let Some(retention) = retention_ms.and_then(|ms| u64::try_from(ms).ok()) else { return rows };
    ticked(
        rows,
        name,
        Expire { retention, since: Box::new(since), live: HashMap::default(), parked: Parking::default() },
    )
}

struct Expire<R: Keyed> {
    retention: u64,
    since: Box<dyn Fn(&R) -> Tick>,
    live: HashMap<R::Key, R>,
    parked: Parking<R::Key>,
}

impl<R: Keyed> Expire<R> {
    fn ends(&self, row: &R) -> Tick {
        (self.since)(row) + self.retention
    }
}

impl<R> Ticked for Expire<R>
where
    R: Keyed + Clone + PartialEq + 'static,
    R::Key: Hash + Eq + Clone + 'static,
{
    type In = Delta<R>;
    type Out = Delta<R>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<Delta<R>>, out: &mut Vec<Delta<R>>) {
        for delta in input.drain(..) {
            let Some(key) = delta.key() else { continue };
            let new = delta.new.filter(|row| self.ends(row) > tick);
            let old = match &new {
                Some(row) => {
                    self.parked.park(self.ends(row), key.clone());
                    self.live.insert(key, row.clone())
                }
                None => self.live.remove(&key),
            };
            // A retraction of what has expired already changes nothing.
            out.extend(Delta::between(old, new));
        }
        for key in self.parked.take(tick) {
            // A row that has changed since has an appointment of its own.
            if self.live.get(&key).is_some_and(|row| self.ends(row) <= tick) {
                out.push(Delta { old: self.live.remove(&key), new: None });
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        self.parked.due()
    }
}

#[cfg(test)]
mod tests {
    use super::Parking;

    #[test]
    fn parked_things_come_back_in_order_and_once() {
        let mut parking = Parking::default();
        parking.park(30, 'c');
        parking.park(10, 'a');
        parking.park(10, 'b');
        assert_eq!(parking.due(), Some(10));
        assert_eq!(parking.take(9), []);
        assert_eq!(parking.take(20), ['a', 'b']);
        assert_eq!(parking.take(20), []);
        assert_eq!(parking.due(), Some(30));
    }
}
