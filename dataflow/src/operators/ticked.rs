//! The operator for state of our own: all rows of a tick at once, ticks in order, and a wake-up when time is due.
//!
//! **Meaning.** [`Ticked::tick`] is called for each tick at which there is input or something is due, in order, with
//! all the input of that tick in no particular order. What it emits belongs to that tick. [`Fed`] is the same for the
//! hot operators at the head of the dataflow: they also take rows of the log, and may emit through several ports.
//!
//! **Mechanism.** Rows carry their tick. They are stashed until the frontier has passed it, so nothing is seen of a
//! tick before everything of it is there. Rows of the log don't pass through channels: the feed has sent them to the
//! worker of their key already, which puts them into the [`Inbox`] of their operator before it closes the tick, so the
//! frontier speaks for them too. The operator holds its capabilities at the frontier: whatever is due later is emitted
//! under them when the frontier gets there, even if it jumps over several due ticks at once. When the inputs close, the
//! frontier becomes empty; nothing that is due after the last tick is fired then, for time has not come.
//!
//! **State.** The stash and the inbox hold the rows of ticks that are not complete; the rest belongs to the logic.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use model::Tick;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};

/// A stream of rows with their ticks.
pub type Tagged<'scope, D> = Stream<'scope, Tick, Vec<(Tick, D)>>;

/// Logic with state of its own, called tick by tick.
pub trait Ticked: 'static {
    /// A row of input.
    type In: Clone + 'static;
    /// A row of output.
    type Out: Clone + 'static;

    /// Takes all the input of `tick`, which it may drain, and pushes what changes at that tick.
    fn tick(&mut self, tick: Tick, input: &mut Vec<Self::In>, out: &mut Vec<Self::Out>);

    /// The next tick at which something changes without input. After a call of `tick(t, …)` it must be later than `t`.
    fn due(&self) -> Option<Tick>;
}

/// Logic that also takes rows of the log, and emits through several ports.
pub trait Fed: 'static {
    /// A row of the log.
    type Row: 'static;
    /// A row of the input stream.
    type In: Clone + 'static;
    /// What it emits: a list per port.
    type Out: Default + 'static;

    /// Takes all rows and the input of `tick`, which it may drain, and pushes what changes at that tick.
    fn tick(&mut self, tick: Tick, rows: &mut Vec<Self::Row>, input: &mut Vec<Self::In>, out: &mut Self::Out);

    /// As in [`Ticked::due`].
    fn due(&self) -> Option<Tick>;
}

/// Rows of the log on their way to one operator of this worker, in order of tick.
pub struct Inbox<R>(Rc<RefCell<Waiting<R>>>);

type Waiting<R> = VecDeque<(Tick, Vec<R>)>;

impl<R> Default for Inbox<R> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<R> Clone for Inbox<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R> Inbox<R> {
    /// Puts rows of `tick`, which is at or after that of all rows before.
    pub fn put(&self, tick: Tick, rows: Vec<R>) {
        let mut waiting = self.0.borrow_mut();
        match waiting.back_mut() {
            Some((last, there)) if *last == tick => there.extend(rows),
            _ => waiting.push_back((tick, rows)),
        }
    }

    fn first(&self) -> Option<Tick> {
        self.0.borrow().front().map(|(tick, _)| *tick)
    }

    fn take(&self, tick: Tick) -> Vec<R> {
        self.0
            .borrow_mut()
            .pop_front_if(|(first, _)| *first == tick)
            .map(|(_, rows)| rows)
            .unwrap_or_default()
    }
}

/// One way out of a [`Fed`] operator.
pub struct Port<D>(Output<Tick, Vec<(Tick, D)>>);

impl<D: Clone + 'static> Port<D> {
    /// A port of the operator that is being built, and the stream that leaves it.
    pub fn new<'scope>(builder: &mut OperatorBuilder<'scope, Tick>) -> (Self, Tagged<'scope, D>) {
        let (output, stream) = builder.new_output();
        (Self(output), stream)
    }

    /// Sends `rows`, each with its tick, under the capability of this port.
    pub fn send(&mut self, capability: &Capability<Tick>, rows: &mut Vec<(Tick, D)>) {
        if !rows.is_empty() {
            let sent = rows.len();
            self.0.activate().give(capability, rows);
            rows.clear();
            // The next tick is likely to be as large as this one: room for it now saves growing step by step.
            rows.reserve(sent);
        }
    }
}

/// Runs `logic` on the rows of `inbox` and of `input` that this worker has. `ports` makes the ports, in whose order
/// the function that it returns gets the capabilities with which it sends what was emitted.
pub fn fed<'scope, L, P, S>(
    scope: Scope<'scope, Tick>,
    name: &str,
    inbox: Inbox<L::Row>,
    input: Tagged<'scope, L::In>,
    mut logic: L,
    ports: impl FnOnce(&mut OperatorBuilder<'scope, Tick>) -> (P, S),
) -> P
where
    L: Fed,
    S: FnMut(&[Capability<Tick>], &mut L::Out) + 'static,
{
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let mut input = builder.new_input(input, Pipeline);
    let (streams, mut send) = ports(&mut builder);
    builder.build(|mut capabilities| {
        let mut stash: BTreeMap<Tick, Vec<L::In>> = BTreeMap::new();
        let mut emitted = L::Out::default();
        move |frontiers| {
            input.for_each(|_stamp, data| {
                // A message mostly holds rows of one tick: its place in the stash is looked for once a run.
                let mut rows = data.drain(..).peekable();
                while let Some((tick, row)) = rows.next() {
                    let place = stash.entry(tick).or_default();
                    place.reserve(rows.len() + 1);
                    place.push(row);
                    while let Some((_, row)) = rows.next_if(|(next, _)| *next == tick) {
                        place.push(row);
                    }
                }
            });
            if capabilities.is_empty() {
                return;
            }
            let upper = frontiers[0].frontier().as_option().copied();
            loop {
                let stashed = stash.first_key_value().map(|(tick, _)| *tick);
                // Once the inputs are closed only what was given still counts.
                let due = if upper.is_some() { logic.due() } else { None };
                let Some(tick) = stashed.into_iter().chain(inbox.first()).chain(due).min() else { break };
                if upper.is_some_and(|upper| tick >= upper) {
                    break;
                }
                let mut rows = inbox.take(tick);
                let mut input = stash.remove(&tick).unwrap_or_default();
                logic.tick(tick, &mut rows, &mut input, &mut emitted);
                debug_assert!(
                    logic.due().is_none_or(|due| due > tick),
                    "what is due at a tick is done at that tick"
                );
                // Tick by tick, so that messages stay small: memory of their size is at hand.
                send(&capabilities, &mut emitted);
            }
            match upper {
                Some(upper) => capabilities.iter_mut().for_each(|held| held.downgrade(&upper)),
                None => capabilities.clear(),
            }
        }
    });
    streams
}

/// Runs `logic` on the rows of `input` that this worker has.
pub fn ticked<'scope, L: Ticked>(
    input: Tagged<'scope, L::In>,
    name: &str,
    logic: L,
) -> Tagged<'scope, L::Out> {
    let scope = input.scope();
    fed(scope, name, Inbox::default(), input, Unfed { logic, out: Vec::new() }, |builder| {
        let (mut port, stream) = Port::new(builder);
        (stream, move |capabilities: &[Capability<Tick>], emitted: &mut Vec<_>| {
            port.send(&capabilities[0], emitted);
        })
    })
}

/// Logic that takes no rows of the log, and has one port.
struct Unfed<L: Ticked> {
    logic: L,
    out: Vec<L::Out>,
}

impl<L: Ticked> Fed for Unfed<L> {
    type Row = ();
    type In = L::In;
    type Out = Vec<(Tick, L::Out)>;

    fn tick(
        &mut self,
        tick: Tick,
        _rows: &mut Vec<()>,
        input: &mut Vec<L::In>,
        out: &mut Vec<(Tick, L::Out)>,
    ) {
        self.logic.tick(tick, input, &mut self.out);
        out.extend(self.out.drain(..).map(|row| (tick, row)));
    }

    fn due(&self) -> Option<Tick> {
        self.logic.due()
    }
}
