//! The change of one key: what its row was, and what it is.
//!
//! **Meaning.** A view is a function from keys to rows; a [`Delta`] at a tick says how one key's row changed at that
//! tick. A stream has at most one delta per key and tick, and each `old` is the `new` before it.
//!
//! **Mechanism.** Operators with state of their own know both rows and emit deltas at once; [`updates`] opens deltas
//! for differential, and [`deltas`] closes a differential collection again.

use std::collections::BTreeMap;

use differential_dataflow::{AsCollection, Data, VecCollection};
use foldhash::HashMap;
use model::Tick;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use super::ticked::{Tagged, Ticked, ticked};

/// A row that knows its key.
pub trait Keyed {
    /// The key: no two rows of a view at one tick share it.
    type Key;
    /// The key of this row.
    fn key(&self) -> Self::Key;
}

/// The change of one key at one tick. At least one side is there, and the sides differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta<R> {
    /// The row before the tick.
    pub old: Option<R>,
    /// The row from the tick on.
    pub new: Option<R>,
}

impl<R> Delta<R> {
    /// The change from `old` to `new`, if there is one.
    pub fn between(old: Option<R>, new: Option<R>) -> Option<Self>
    where
        R: PartialEq,
    {
        (old != new).then_some(Self { old, new })
    }

    /// The key whose row changed; `None` only for a delta without sides, which is never made.
    pub fn key(&self) -> Option<R::Key>
    where
        R: Keyed,
    {
        self.new.as_ref().or(self.old.as_ref()).map(Keyed::key)
    }
}

/// Opens deltas into differential updates: `old` goes, `new` comes; each row becomes whatever `contribute` makes of it,
/// with `sign` −1 or +1.
pub fn updates<
    'scope,
    R: Clone + 'static,
    D: Data,
    D2: differential_dataflow::difference::Semigroup + 'static,
>(
    rows: Tagged<'scope, Delta<R>>,
    contribute: impl Fn(&R, i64, &mut Vec<(D, D2)>) + 'static,
) -> VecCollection<'scope, Tick, D, D2> {
    let mut parts = Vec::new();
    rows.flat_map(move |(tick, delta)| {
        for (row, sign) in [(&delta.old, -1), (&delta.new, 1)] {
            if let Some(row) = row {
                contribute(row, sign, &mut parts);
            }
        }
        std::mem::take(&mut parts).into_iter().map(move |(data, diff)| (data, tick, diff))
    })
    .as_collection()
}

/// Closes a differential collection of rows with multiplicity ±1 into deltas.
pub fn deltas<'scope, R>(rows: VecCollection<'scope, Tick, R, isize>, name: &str) -> Tagged<'scope, Delta<R>>
where
    R: Keyed + Data,
    R::Key: std::hash::Hash + Eq + Clone + 'static,
{
    let tagged = rows.inner.map(|(row, tick, diff)| (tick, (row, diff)));
    ticked(tagged, name, Close::<R> { rows: HashMap::default() })
}

struct Close<R: Keyed> {
    rows: HashMap<R::Key, R>,
}

impl<R> Ticked for Close<R>
where
    R: Keyed + Data,
    R::Key: std::hash::Hash + Eq + Clone + 'static,
{
    type In = (R, isize);
    type Out = Delta<R>;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<(R, isize)>, out: &mut Vec<Delta<R>>) {
        // Updates of one tick may cancel each other before they add up to rows.
        let mut sums: BTreeMap<R, isize> = BTreeMap::new();
        for (row, diff) in input.drain(..) {
            *sums.entry(row).or_default() += diff;
        }
        let mut changed: HashMap<R::Key, Option<R>> = HashMap::default();
        for (row, sum) in sums {
            match sum {
                0 => {}
                1 => {
                    changed.insert(row.key(), Some(row));
                }
                -1 => {
                    changed.entry(row.key()).or_insert(None);
                }
                more => debug_assert!(false, "a row has multiplicity 0 or 1, not {more}"),
            }
        }
        for (key, new) in changed {
            let old = match &new {
                Some(row) => self.rows.insert(key, row.clone()),
                None => self.rows.remove(&key),
            };
            out.extend(Delta::between(old, new));
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}
