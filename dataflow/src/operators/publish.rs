//! Deltas become the changes of a step.
//!
//! **Meaning.** [`publish`] takes the deltas of one view at one worker and puts them into the worker's [`Outbox`], from
//! which the engine ships everything before a tick once all views of the worker have got there.
//!
//! **Mechanism.** A delta with a new row is an upsert, one without is a delete. Rows become values here, in the worker;
//! names are resolved by whoever writes them down.
//!
//! **State.** The changes of ticks that are not complete.

use std::cell::RefCell;
use std::rc::Rc;

use model::{Changes, Op, Tick, Value, ViewId, ViewSpec};
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::Filter;
use timely::dataflow::operators::{Probe, generic::Operator};

use super::delta::Delta;
use super::ticked::Tagged;

/// A row of a view.
pub trait ViewRow: Clone + 'static {
    /// Pushes the values of the row in column order.
    fn values(&self, out: &mut Vec<Value>);
}

/// The changes of all views at one worker that are not shipped yet.
#[derive(Default)]
pub struct Outbox {
    views: Vec<Changes>,
}

impl Outbox {
    /// An empty outbox for these views.
    pub fn new(specs: &[ViewSpec]) -> Self {
        Self { views: specs.iter().map(|spec| Changes::new(spec.columns.len())).collect() }
    }

    /// Takes all changes before `upper`, view by view, in order of tick.
    pub fn take_before(&mut self, upper: Tick) -> Vec<(ViewId, Changes)> {
        let mut taken = Vec::new();
        for (view, changes) in (0u16..).zip(&mut self.views) {
            if changes.is_empty() {
                continue;
            }
            changes.sort_by_tick();
            let before = changes.split_before(upper);
            if !before.is_empty() {
                taken.push((ViewId(view), before));
            }
        }
        taken
    }
}

/// Only the deltas that change what a row shows: some of what rows derive from has no column, and may change alone.
pub fn shown<R: ViewRow>(rows: Tagged<'_, Delta<R>>) -> Tagged<'_, Delta<R>> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    rows.filter(move |(_, delta)| {
        let (Some(old), Some(new)) = (&delta.old, &delta.new) else { return true };
        before.clear();
        after.clear();
        old.values(&mut before);
        new.values(&mut after);
        before != after
    })
}

/// Publishes the rows of one view.
pub fn publish<R: ViewRow>(
    rows: Tagged<'_, Delta<R>>,
    view: ViewId,
    outbox: &Rc<RefCell<Outbox>>,
    probe: &ProbeHandle<Tick>,
) {
    let outbox = Rc::clone(outbox);
    rows.unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Pipeline,
        "publish",
        move |_, _| {
            move |input, _output| {
                let mut outbox = outbox.borrow_mut();
                let changes = &mut outbox.views[usize::from(view.0)];
                input.for_each(|_stamp, data| {
                    for (tick, delta) in data.drain(..) {
                        let (op, row) = match (&delta.new, &delta.old) {
                            (Some(row), _) => (Op::Upsert, row),
                            (None, Some(row)) => (Op::Delete, row),
                            (None, None) => continue,
                        };
                        changes.push_with(tick, op, |values| row.values(values));
                    }
                });
            }
        },
    )
    .probe_with(probe);
}
