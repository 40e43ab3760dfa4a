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
/// Rows lie one behind the other in one vector, `arity` values each, so that a step costs no allocation per row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    arity: usize,
    heads: Vec<(Tick, Op)>,
    values: Vec<Value>,
}

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

    /// No changes yet, with room for so many.
    pub fn with_capacity(arity: usize, changes: usize) -> Self {
        Self { arity, heads: Vec::with_capacity(changes), values: Vec::with_capacity(changes * arity) }
    }

    /// Adds a change; `fill` pushes exactly `arity` values.
    pub fn push_with(&mut self, tick: Tick, op: Op, fill: impl FnOnce(&mut Vec<Value>)) {
        self.heads.push((tick, op));
        fill(&mut self.values);
        assert_eq!(self.values.len(), self.heads.len() * self.arity, "a row has as many values as columns");
    }

    /// Adds a change of `row`.
    pub fn push(&mut self, tick: Tick, op: Op, row: &[Value]) {
        self.push_with(tick, op, |values| values.extend_from_slice(row));
    }

    /// Appends all changes of `other`, which has the same arity.
    pub fn append(&mut self, other: &mut Changes) {
        assert_eq!(self.arity, other.arity, "changes of one view have one arity");
        self.heads.append(&mut other.heads);
        self.values.append(&mut other.values);
    }

    /// The changes in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Change<'_>> {
        self.heads.iter().enumerate().map(|(i, &(tick, op))| Change {
            tick,
            op,
            row: &self.values[i * self.arity..(i + 1) * self.arity],
        })
    }

    /// The same changes in order of tick; changes of one tick keep their order.
    pub fn sort_by_tick(&mut self) {
        if self.heads.is_sorted_by_key(|head| head.0) {
            return;
        }
        let mut order: Vec<usize> = (0..self.heads.len()).collect();
        order.sort_by_key(|&i| self.heads[i].0);
        let mut sorted = Changes::new(self.arity);
        for i in order {
            let (tick, op) = self.heads[i];
            sorted.push(tick, op, &self.values[i * self.arity..(i + 1) * self.arity]);
        }
        *self = sorted;
    }

    /// Takes the changes before `upper` out; needs them in order of tick.
    pub fn split_before(&mut self, upper: Tick) -> Changes {
        let n = self.heads.partition_point(|head| head.0 < upper);
        let (heads, values) = (self.heads.split_off(n), self.values.split_off(n * self.arity));
        std::mem::replace(self, Changes { arity: self.arity, heads, values })
    }

    /// Whether all changes are before `upper`; needs them in order of tick.
    pub fn all_before(&self, upper: Tick) -> bool {
        self.heads.last().is_none_or(|head| head.0 < upper)
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
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
