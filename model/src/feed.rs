//! What goes into the dataflow and what comes out of it.
//!
//! In: [`Feed`]s, in order of tick. Out: [`Frame`]s, each a span of ticks `[lower, upper)` with one [`Step`] for every
//! view that changed in it, so that gaps and repeats are visible to whoever reads. A change is an upsert or a delete of
//! one key: a later change of a key takes the place of an earlier one, so spans can be merged without loss.

use crate::rows::Row;
use crate::tick::Tick;
use crate::view::{Value, ViewId};

/// One message to the dataflow. Ticks never go back.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// Rows that the log binds to `tick`, which is not closed yet. A row is a record of the log, and the log has no
    /// negative records: corrections are later records, and retractions arise inside the dataflow.
    Rows {
        /// The tick.
        tick: Tick,
        /// The rows.
        rows: Vec<Row>,
    },
    /// `tick` and everything before it is complete.
    Advance(Tick),
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The key now has this row.
    Upsert,
    /// The key is gone; the row is its last one.
    Delete,
}

impl Op {
    /// The name in change files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Op::Upsert => "upsert",
            Op::Delete => "delete",
        }
    }
}

/// The changes of one view over a span of ticks, in order of tick, at most one per key and tick.
///
/// Rows lie one behind the other, `arity` values each, so that a step costs no allocation per row; in pieces, so that
/// no step costs memory that is fetched from the system and given back.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    arity: usize,
    len: usize,
    pieces: Vec<Piece>,
}

/// Some changes, in order.
#[derive(Clone, Debug, Default)]
struct Piece {
    heads: Vec<(Tick, Op)>,
    values: Vec<Value>,
}

/// Greatest number of values in a piece of several rows: some 24 KiB, which an allocator has at hand.
const PIECE: usize = 1024;

/// One change of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change<'a> {
    /// The tick at which it holds.
    pub tick: Tick,
    /// Upsert or delete.
    pub op: Op,
    /// The whole row in column order, key first.
    pub row: &'a [Value],
}

/// One change of one key that was published some time ago, read back from where it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct PastChange {
    /// The tick at which it holds.
    pub tick: Tick,
    /// Upsert or delete.
    pub op: Op,
    /// The whole row in column order, key first; names are strings of their own.
    pub row: Box<[Value]>,
}

impl Changes {
    /// No changes yet, of rows with `arity` columns.
    pub fn new(arity: usize) -> Self {
        Self { arity, ..Self::default() }
    }

    /// Adds a change; `fill` pushes exactly `arity` values.
    pub fn push_with(&mut self, tick: Tick, op: Op, fill: impl FnOnce(&mut Vec<Value>)) {
        let arity = self.arity;
        let full = |piece: &Piece| piece.values.len() + arity > PIECE && !piece.heads.is_empty();
        if self.pieces.last().is_none_or(full) {
            // The first piece grows as it needs, for most steps are small; others follow only in large ones.
            let rows = if self.pieces.is_empty() { 0 } else { (PIECE / arity.max(1)).max(1) };
            let (heads, values) = (Vec::with_capacity(rows), Vec::with_capacity(rows * arity));
            self.pieces.push(Piece { heads, values });
        }
        let Some(piece) = self.pieces.last_mut() else { return };
        piece.heads.push((tick, op));
        fill(&mut piece.values);
        assert_eq!(piece.values.len(), piece.heads.len() * arity, "a row has as many values as columns");
        self.len += 1;
    }

    /// Adds a change of `row`.
    pub fn push(&mut self, tick: Tick, op: Op, row: &[Value]) {
        self.push_with(tick, op, |values| values.extend_from_slice(row));
    }

    /// Appends all changes of `other`, which has the same arity.
    pub fn append(&mut self, other: &mut Changes) {
        assert_eq!(self.arity, other.arity, "changes of one view have one arity");
        self.pieces.append(&mut other.pieces);
        self.len += std::mem::take(&mut other.len);
    }

    /// The changes in order.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.pieces.iter().flat_map(|piece| {
            let rows = piece.values.chunks_exact(self.arity.max(1));
            piece.heads.iter().zip(rows).map(|(&(tick, op), row)| Change { tick, op, row })
        })
    }

    fn heads(&self) -> impl Iterator<Item = &(Tick, Op)> {
        self.pieces.iter().flat_map(|piece| &piece.heads)
    }

    /// The same changes in order of tick; changes of one tick keep their order.
    pub fn sort_by_tick(&mut self) {
        if self.heads().is_sorted_by_key(|head| head.0) {
            return;
        }
        let mut order: Vec<Change<'_>> = self.iter().collect();
        order.sort_by_key(|change| change.tick);
        let mut sorted = Changes::new(self.arity);
        order.iter().for_each(|change| sorted.push(change.tick, change.op, change.row));
        *self = sorted;
    }

    /// Takes the changes before `upper` out; needs them in order of tick.
    pub fn split_before(&mut self, upper: Tick) -> Changes {
        let before = |piece: &Piece| piece.heads.last().is_none_or(|head| head.0 < upper);
        let whole = self.pieces.iter().take_while(|piece| before(piece)).count();
        let mut later = self.pieces.split_off(whole);
        if let Some(first) = later.first_mut() {
            let n = first.heads.partition_point(|head| head.0 < upper);
            let (heads, values) = (first.heads.split_off(n), first.values.split_off(n * self.arity));
            let earlier = std::mem::replace(first, Piece { heads, values });
            if n > 0 {
                self.pieces.push(earlier);
            }
        }
        let mut later = Changes { arity: self.arity, len: 0, pieces: later };
        later.len = later.heads().count();
        self.len -= later.len;
        std::mem::replace(self, later)
    }

    /// Whether all changes are before `upper`; needs them in order of tick.
    pub fn all_before(&self, upper: Tick) -> bool {
        self.pieces.last().and_then(|piece| piece.heads.last()).is_none_or(|head| head.0 < upper)
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The same changes in the same order, whatever pieces they lie in.
impl PartialEq for Changes {
    fn eq(&self, other: &Self) -> bool {
        self.arity == other.arity && self.len == other.len && self.iter().eq(other.iter())
    }
}

/// The changes of one view for the ticks `[lower, upper)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which view: its place in the list of views.
    pub view: ViewId,
    /// First tick of the span.
    pub lower: Tick,
    /// First tick after the span.
    pub upper: Tick,
    /// What changed.
    pub changes: Changes,
}

/// The steps of all views for the ticks `[lower, upper)`: after it, every view is complete through the last tick
/// before `upper`. Views that did not change have no step. Frames follow each other without a gap.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// First tick of the span.
    pub lower: Tick,
    /// First tick after the span.
    pub upper: Tick,
    /// The last tick that the feed closed within the span: the T of the frame.
    pub tick: Tick,
    /// One step per view that changed, in order of view.
    pub steps: Vec<Step>,
}

#[cfg(test)]
mod tests {
    use super::{Change, Changes, Op, PIECE};
    use crate::{Tick, Value};

    const ARITY: usize = 3;

    fn changes(ticks: impl IntoIterator<Item = Tick>) -> Changes {
        let mut changes = Changes::new(ARITY);
        for (n, tick) in (0..).zip(ticks) {
            let op = if n % 5 == 0 { Op::Delete } else { Op::Upsert };
            changes.push(tick, op, &[Value::Int(n), Value::Int(tick as i64), Value::Null]);
        }
        changes
    }

    fn numbers(changes: &Changes) -> Vec<(Tick, Op, i64)> {
        let number = |change: Change<'_>| match change.row {
            [Value::Int(n), Value::Int(tick), Value::Null] if *tick == change.tick as i64 => {
                (change.tick, change.op, *n)
            }
            other => panic!("a row was taken apart: {other:?}"),
        };
        changes.iter().map(number).collect()
    }

    /// Steps of every size around a piece, and of several pieces, at every place where they can be split.
    #[test]
    fn pieces_cannot_be_seen() {
        let rows = (PIECE / ARITY) as u64;
        for n in [0, 1, rows - 1, rows, rows + 1, 3 * rows + 7] {
            let all = changes((0..n).map(|n| n / 7));
            assert_eq!((all.len(), all.is_empty()), (n as usize, n == 0));
            for upper in (0..=n / 7 + 1).step_by(if n > 1 { 13 } else { 1 }) {
                let mut later = all.clone();
                let mut earlier = later.split_before(upper);
                assert!(earlier.all_before(upper));
                assert_eq!(later.is_empty(), all.all_before(upper));
                assert_eq!(earlier.len() + later.len(), n as usize);
                assert!(numbers(&earlier).iter().all(|(tick, ..)| *tick < upper));
                assert!(numbers(&later).iter().all(|(tick, ..)| *tick >= upper));
                earlier.append(&mut later);
                assert_eq!((later.len(), &earlier), (0, &all), "in other pieces, and the same");
            }
        }
    }

    #[test]
    fn order_of_tick_keeps_the_order_within() {
        let mut mixed = changes((0..2000).map(|n| n * 7 % 13));
        let mut expected = numbers(&mixed);
        expected.sort_by_key(|(tick, ..)| *tick);
        mixed.sort_by_tick();
        assert_eq!(numbers(&mixed), expected);
        assert_ne!(mixed, changes((0..2000).map(|n| n * 7 % 13)));
    }
}
