//! A fold over the fixes of one vehicle that may change anywhere.
//!
//! **Meaning.** [`Journal::settle`] leaves everything as if the fold had been run from the first fix to the last: what
//! it said on the way, and the state at the end.
//!
//! **Mechanism.** Fixes lie in chunks; each chunk knows the state before its first fix and what was said within it. A
//! fix at the end is one step. Any other change marks its chunk; settling folds again from the first marked chunk, past
//! the last, and on until the state before a chunk is what it was. So a late fix costs the chunk it falls into and
//! what its consequences touch, not the day.
//!
//! **State.** One fix per event time since the last [`Journal::prune`], and one state per [`CHUNK`] fixes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::fence::Bounds;
use crate::place::Fix;

/// Fixes in a chunk, at most twice as many after late ones; a chunk in order is cut here.
pub const CHUNK: usize = 64;

/// A fold: a state, and a step that takes the next fix in order of event time.
pub trait Fold {
    /// What is known after some fixes. Equal states must lead to the same future.
    type State: Clone + PartialEq + Default;
    /// Something that is over and will be said.
    type Said: Clone + PartialEq;

    /// Takes the next fix.
    fn step(&self, state: &mut Self::State, fix: &Fix, said: &mut Vec<Self::Said>);
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Chunk<S, O> {
    fixes: Vec<Fix>,
    before: S,
    said: Vec<O>,
    /// Box of the fixes and of the one before them.
    bounds: Option<Bounds>,
    /// Whether it has changed since it was folded.
    marked: bool,
}

/// What settling took back and what it said, in no order; what is in both has not changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes<O> {
    /// Said before, and no longer.
    pub withdrawn: Vec<O>,
    /// Said now.
    pub said: Vec<O>,
}

impl<O> Default for Changes<O> {
    fn default() -> Self {
        Self { withdrawn: Vec::new(), said: Vec::new() }
    }
}

/// The fixes of one vehicle, and the fold over them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal<S, O> {
    chunks: VecDeque<Chunk<S, O>>,
    end: S,
    /// No chunk before this one is marked; `None` = no chunk is.
    marked_from: Option<usize>,
    changes: Changes<O>,
}

impl<S: Default, O> Default for Journal<S, O> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), end: S::default(), marked_from: None, changes: Changes::default() }
    }
}

impl<S: Clone + PartialEq + Default, O: Clone + PartialEq> Journal<S, O> {
    /// Puts `fix` in its place; returns the one of the same event time that it replaces.
    pub fn put<F: Fold<State = S, Said = O>>(&mut self, fold: &F, fix: Fix) -> Option<Fix> {
        if self.last().is_none_or(|last| last.ts < fix.ts) {
            self.append(fold, fix);
            return None;
        }
        let at = self.chunk_of(fix.ts);
        self.mark(at);
        let chunk = &mut self.chunks[at];
        match chunk.fixes.binary_search_by_key(&fix.ts, |fix| fix.ts) {
            Ok(index) => Some(std::mem::replace(&mut chunk.fixes[index], fix)),
            Err(index) => {
                chunk.fixes.insert(index, fix);
                if chunk.fixes.len() > 2 * CHUNK {
                    let fixes = chunk.fixes.split_off(CHUNK);
                    self.chunks.insert(
                        at + 1,
                        Chunk { fixes, before: S::default(), said: Vec::new(), bounds: None, marked: true },
                    );
                }
                None
            }
        }
    }

    /// Takes the fix of this event time away, if there is one.
    pub fn take(&mut self, ts: i64) -> Option<Fix> {
        let at = self.chunk_of(ts);
        let chunk = self.chunks.get_mut(at)?;
        let index = chunk.fixes.binary_search_by_key(&ts, |fix| fix.ts).ok()?;
        let fix = chunk.fixes.remove(index);
        if !chunk.fixes.is_empty() {
            self.mark(at);
            return Some(fix);
        }
        // No chunk is ever empty: what follows begins where it began.
        if let Some(gone) = self.chunks.remove(at) {
            self.changes.withdrawn.extend(gone.said);
            match self.chunks.get_mut(at) {
                Some(next) => {
                    next.before = gone.before;
                    self.mark(at);
                }
                None if at > 0 => self.mark(at - 1),
                None => (self.end, self.marked_from) = (gone.before, None),
            }
        }
        Some(fix)
    }

    /// Folds everything again that meets one of these boxes; false when nothing does.
    pub fn mark_meeting(&mut self, boxes: &[Bounds]) -> bool {
        let mut met = false;
        for at in 0..self.chunks.len() {
            let bounds = self.chunks[at].bounds.as_ref();
            if bounds.is_some_and(|bounds| boxes.iter().any(|other| bounds.meets(other))) {
                self.mark(at);
                met = true;
            }
        }
        met
    }

    /// Folds everything again.
    pub fn mark_all(&mut self) {
        for at in 0..self.chunks.len() {
            self.mark(at);
        }
    }

    fn append<F: Fold<State = S, Said = O>>(&mut self, fold: &F, fix: Fix) {
        let last = self.chunks.back();
        if last.is_none_or(|chunk| chunk.fixes.len() >= CHUNK) {
            let chunk = Chunk {
                fixes: Vec::with_capacity(CHUNK),
                before: self.end.clone(),
                said: Vec::new(),
                bounds: last.and_then(|chunk| chunk.fixes.last()).map(|fix| Bounds::of(fix.at)),
                // The state at the end is not known while the last chunk waits to be folded.
                marked: last.is_some_and(|chunk| chunk.marked),
            };
            self.chunks.push_back(chunk);
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        chunk.bounds.get_or_insert(Bounds::of(fix.at)).extend(fix.at);
        chunk.fixes.push(fix);
        if !chunk.marked {
            let from = chunk.said.len();
            fold.step(&mut self.end, &fix, &mut chunk.said);
            self.changes.said.extend_from_slice(&chunk.said[from..]);
        }
    }

    /// The first chunk whose last fix is at or after `ts`, or else the last.
    fn chunk_of(&self, ts: i64) -> usize {
        let last = self.chunks.len().saturating_sub(1);
        self.chunks.partition_point(|chunk| chunk.fixes.last().is_some_and(|fix| fix.ts < ts)).min(last)
    }

    fn mark(&mut self, at: usize) {
        self.chunks[at].marked = true;
        self.marked_from = Some(self.marked_from.map_or(at, |from| from.min(at)));
    }

    /// Folds again what has to be, and returns what has changed since the last call.
    pub fn settle<F: Fold<State = S, Said = O>>(&mut self, fold: &F) -> Changes<O> {
        let mut at = self.marked_from.take().unwrap_or(self.chunks.len());
        'marks: loop {
            while self.chunks.get(at).is_some_and(|chunk| !chunk.marked) {
                at += 1;
            }
            let Some(chunk) = self.chunks.get(at) else { break };
            let mut state = chunk.before.clone();
            let mut previous =
                at.checked_sub(1).and_then(|at| self.chunks[at].fixes.last()).map(|fix| fix.at);
            loop {
                let Some(chunk) = self.chunks.get_mut(at) else {
                    self.end = state;
                    break 'marks;
                };
                if !chunk.marked && chunk.before == state {
                    // The box takes in the fix before the chunk, and that one may have moved.
                    if let (Some(bounds), Some(previous)) = (&mut chunk.bounds, previous) {
                        bounds.extend(previous);
                    }
                    break;
                }
                chunk.before = state.clone();
                chunk.marked = false;
                let mut bounds = Bounds::of(previous.unwrap_or(chunk.fixes[0].at));
                let mut said = Vec::new();
                for fix in &chunk.fixes {
                    bounds.extend(fix.at);
                    fold.step(&mut state, fix, &mut said);
                }
                previous = chunk.fixes.last().map(|fix| fix.at);
                chunk.bounds = Some(bounds);
                self.changes.said.extend_from_slice(&said);
                self.changes.withdrawn.extend(std::mem::replace(&mut chunk.said, said));
                at += 1;
            }
        }
        std::mem::take(&mut self.changes)
    }

    /// The state at the end. Call [`Journal::settle`] first.
    pub fn end(&self) -> &S {
        debug_assert!(self.marked_from.is_none(), "the end is known once the journal is settled");
        &self.end
    }

    /// The latest fix.
    pub fn last(&self) -> Option<&Fix> {
        self.chunks.back()?.fixes.last()
    }

    /// The latest fix before `ts`, and the first after it.
    pub fn neighbours(&self, ts: i64) -> (Option<&Fix>, Option<&Fix>) {
        let at = self.chunk_of(ts);
        let Some(chunk) = self.chunks.get(at) else { return (None, None) };
        let before = chunk.fixes.partition_point(|fix| fix.ts < ts);
        let after = chunk.fixes.partition_point(|fix| fix.ts <= ts);
        let earlier = || at.checked_sub(1).and_then(|at| self.chunks[at].fixes.last());
        let later = || self.chunks.get(at + 1).and_then(|chunk| chunk.fixes.first());
        (
            before.checked_sub(1).map(|index| &chunk.fixes[index]).or_else(earlier),
            chunk.fixes.get(after).or_else(later),
        )
    }

    /// The fix at `ts`.
    pub fn get(&self, ts: i64) -> Option<&Fix> {
        let chunk = self.chunks.get(self.chunk_of(ts))?;
        chunk.fixes.binary_search_by_key(&ts, |fix| fix.ts).ok().map(|index| &chunk.fixes[index])
    }

    /// All fixes in order.
    pub fn fixes(&self) -> impl Iterator<Item = &Fix> {
        self.chunks.iter().flat_map(|chunk| &chunk.fixes)
    }

    /// All that was said and stands, in order.
    pub fn said(&self) -> impl Iterator<Item = &O> {
        self.chunks.iter().flat_map(|chunk| &chunk.said)
    }

    /// Forgets whole chunks of fixes older than `ts`, except the latest two. What they said stands.
    pub fn prune(&mut self, ts: i64) {
        while self.marked_from.is_none()
            && self.chunks.len() > 2
            && self.chunks.front().is_some_and(|chunk| chunk.fixes.last().is_some_and(|last| last.ts < ts))
        {
            self.chunks.pop_front();
        }
    }

    /// Number of fixes.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.fixes.len()).sum()
    }

    /// Whether there are no fixes.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CHUNK, Fold, Journal};
    use crate::place::{Fix, Place};

    /// Says every run of fixes at one longitude once the next longitude comes.
    struct Runs;

    impl Fold for Runs {
        type State = (Option<(i32, i64)>, u8);
        type Said = (i32, i64, i64);

        fn step(&self, state: &mut Self::State, fix: &Fix, said: &mut Vec<Self::Said>) {
            if let Some((lon, from)) = state.0
                && lon != fix.at.lon
            {
                said.push((lon, from, fix.ts));
                state.0 = None;
            }
            state.0.get_or_insert((fix.at.lon, fix.ts));
        }
    }

    proptest! {
        #[test]
        fn it_is_a_fold_over_the_sorted_fixes(
            // Batches of (event time, longitude; 7 = taken away).
            batches in proptest::collection::vec(
                proptest::collection::vec((0i64..6 * CHUNK as i64, 0i32..8), 0..200), 0..8),
        ) {
            let mut journal = Journal::default();
            let mut map = std::collections::BTreeMap::new();
            let mut said: Vec<(i32, i64, i64)> = Vec::new();
            for (n, batch) in batches.into_iter().enumerate() {
                for (ts, lon) in batch {
                    // Half of the batches come in order after all others.
                    let ts = if n % 2 == 0 { ts } else { ts + n as i64 * 1000 };
                    if lon == 7 {
                        prop_assert_eq!(journal.take(ts).map(|fix| fix.at.lon), map.remove(&ts));
                    } else {
                        let fix = Fix { ts, at: Place::new(lon, 0), speed: None, working: None };
                        prop_assert_eq!(journal.put(&Runs, fix).map(|fix| fix.at.lon), map.insert(ts, lon));
                    }
                }
                let changes = journal.settle(&Runs);
                said.extend(changes.said);
                for gone in changes.withdrawn {
                    let at = said.iter().position(|said| *said == gone).expect("only what was said is withdrawn");
                    said.remove(at);
                }
                let (mut state, mut expected) = ((None, 0), Vec::new());
                for (ts, lon) in &map {
                    let fix = Fix { ts: *ts, at: Place::new(*lon, 0), speed: None, working: None };
                    Runs.step(&mut state, &fix, &mut expected);
                }
                said.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(&said, &expected);
                prop_assert_eq!(journal.end(), &state);
                prop_assert_eq!(journal.len(), map.len());
                let before = map.range(..700).next_back().map(|(ts, _)| *ts);
                let after = map.range(701..).next().map(|(ts, _)| *ts);
                let (found_before, found_after) = journal.neighbours(700);
                prop_assert_eq!((found_before.map(|f| f.ts), found_after.map(|f| f.ts)), (before, after));
                prop_assert_eq!(journal.get(700).map(|fix| fix.at.lon), map.get(&700).copied());
            }
        }
    }
}
