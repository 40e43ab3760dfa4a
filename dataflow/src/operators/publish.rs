//! Deltas become the changes of a step.
//!
//! **Meaning.** [`publish`] takes the deltas of one view at one worker and puts them into the worker's [`Outbox`], from
//! which the engine ships everything before a tick once all views of the worker have got there. Where only the last
//! state is asked for, [`keep`] takes its place.
//!
//! **Mechanism.** A delta with a new row is an upsert, one without is a delete. Rows become values here, in the worker;
//! names are resolved by whoever writes them down. [`keep`] adds the deltas up to the view itself, whose rows become
//! values once.
//!
//! **State.** The changes of ticks that are not complete; or the rows of the view.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::Hash;
use std::rc::Rc;

use foldhash::HashMap;
use model::{Changes, Op, Tick, Value, ViewId, ViewSpec};
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::Filter;
use timely::dataflow::operators::{Probe, generic::Operator};

use super::delta::{Delta, Keyed};
use super::ticked::Tagged;

/// A row of a view.
pub trait ViewRow: Keyed<Key: Hash + Eq + 'static> + Clone + 'static {
    /// Pushes the values of the row in column order.
    fn values(&self, out: &mut Vec<Value>);
}

/// The changes of all views at one worker that are not shipped yet, by the ticks between which the inputs moved: the
/// frontier moves as they do, so what it has passed leaves whole and nothing is copied to take it apart.
pub struct Outbox {
    specs: Vec<ViewSpec>,
    /// In order of tick; the last one takes the ticks that are still open.
    spans: VecDeque<Span>,
    /// Rows that are kept until the feed ends.
    kept: Vec<(ViewId, Rc<RefCell<dyn Kept>>)>,
}

/// The rows of a view, of whatever type.
trait Kept {
    /// Moves all rows out, each as an upsert of `tick`.
    fn tell(&mut self, tick: Tick, changes: &mut Changes);
}

/// The changes of some ticks.
struct Span {
    /// The first tick after them; `None` while it is not known.
    upper: Option<Tick>,
    views: Vec<Changes>,
}

impl Outbox {
    /// An empty outbox for these views.
    pub fn new(specs: &[ViewSpec]) -> Self {
        let mut outbox = Self { specs: specs.to_vec(), spans: VecDeque::new(), kept: Vec::new() };
        outbox.open();
        outbox
    }

    fn open(&mut self) {
        let views = self.specs.iter().map(|spec| Changes::new(spec.columns.len())).collect();
        self.spans.push_back(Span { upper: None, views });
    }

    /// Everything before `upper` has been fed, and nothing at or after it was published.
    pub fn bound(&mut self, upper: Tick) {
        if let Some(last) = self.spans.back_mut() {
            last.upper = Some(upper);
        }
        self.open();
    }

    /// Where changes of `view` at `tick` go: the last span takes whatever the others don't.
    fn at(&mut self, view: ViewId, tick: Tick) -> &mut Changes {
        let at = self.spans.partition_point(|span| span.upper.is_some_and(|upper| upper <= tick));
        &mut self.spans[at].views[usize::from(view.0)]
    }

    /// Takes the oldest span out if all its ticks are before `upper`: its end, and its changes view by view, in order of
    /// tick.
    pub fn take_before(&mut self, upper: Tick) -> Option<(Tick, Vec<(ViewId, Changes)>)> {
        let mut span = self.spans.pop_front_if(|span| span.upper.is_some_and(|end| end <= upper))?;
        let end = span.upper?;
        for (view, kept) in self.kept.drain(..) {
            kept.borrow_mut().tell(end.saturating_sub(1), &mut span.views[usize::from(view.0)]);
        }
        let mut taken = Vec::new();
        for (view, mut changes) in (0u16..).zip(span.views) {
            if !changes.is_empty() {
                changes.sort_by_tick();
                taken.push((ViewId(view), changes));
            }
        }
        Some((end, taken))
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
                input.for_each(|_stamp, data| {
                    for (tick, delta) in data.drain(..) {
                        let (op, row) = match (&delta.new, &delta.old) {
                            (Some(row), _) => (Op::Upsert, row),
                            (None, Some(row)) => (Op::Delete, row),
                            (None, None) => continue,
                        };
                        outbox.at(view, tick).push_with(tick, op, |values| row.values(values));
                    }
                });
            }
        },
    )
    .probe_with(probe);
}

/// Keeps the rows of one view until the feed ends.
pub fn keep<R: ViewRow>(
    rows: Tagged<'_, Delta<R>>,
    view: ViewId,
    outbox: &Rc<RefCell<Outbox>>,
    probe: &ProbeHandle<Tick>,
) {
    let kept = Rc::new(RefCell::new(HashMap::<R::Key, R>::default()));
    outbox.borrow_mut().kept.push((view, kept.clone()));
    rows.unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Pipeline,
        "keep",
        move |_, _| {
            move |input, _output| {
                let mut kept = kept.borrow_mut();
                input.for_each(|_stamp, data| {
                    for (_, delta) in data.drain(..) {
                        let Some(key) = delta.key() else { continue };
                        match delta.new {
                            Some(row) => kept.insert(key, row),
                            None => kept.remove(&key),
                        };
                    }
                });
            }
        },
    )
    .probe_with(probe);
}

impl<R: ViewRow> Kept for HashMap<R::Key, R> {
    fn tell(&mut self, tick: Tick, changes: &mut Changes) {
        for (_, row) in std::mem::take(self) {
            changes.push_with(tick, Op::Upsert, |values| row.values(values));
        }
    }
}
