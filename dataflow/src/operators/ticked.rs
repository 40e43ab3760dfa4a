//! The operator for state of our own: all rows of a tick at once, ticks in order, and a wake-up when time is due.
//!
//! **Meaning.** [`Ticked::tick`] is called for each tick at which there is input or something is due, in order, with
//! all the input of that tick in no particular order. What it emits belongs to that tick.
//!
//! **Mechanism.** Rows carry their tick. They are stashed until the frontier has passed it, so nothing is seen of a
//! tick before everything of it is there. The operator holds one capability, at the frontier: whatever is due later
//! is emitted under it when the frontier gets there, even if it jumps over several due ticks at once. When the inputs
//! close, the frontier becomes empty; nothing that is due after the last tick is fired then, for time has not come.
//!
//! **State.** The stash holds the rows of ticks that are not complete; the rest belongs to the logic.

use std::collections::BTreeMap;

use model::Tick;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

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

/// Runs `logic` on the rows of `input` that this worker has.
pub fn ticked<'scope, L: Ticked>(
    input: Tagged<'scope, L::In>,
    name: &str,
    mut logic: L,
) -> Tagged<'scope, L::Out> {
    input.unary_frontier(Pipeline, name, |capability, _info| {
        let mut capability = Some(capability);
        let mut stash: BTreeMap<Tick, Vec<L::In>> = BTreeMap::new();
        let mut emitted = Vec::new();
        move |(input, frontier), output| {
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
            let Some(held) = capability.as_mut() else { return };
            let upper = frontier.frontier().as_option().copied();
            loop {
                let stashed = stash.first_key_value().map(|(tick, _)| *tick);
                // Once the inputs are closed only what was given still counts.
                let due = if upper.is_some() { logic.due() } else { None };
                let Some(tick) = stashed.into_iter().chain(due).min() else { break };
                if upper.is_some_and(|upper| tick >= upper) {
                    break;
                }
                let mut rows = stash.remove(&tick).unwrap_or_default();
                logic.tick(tick, &mut rows, &mut emitted);
                debug_assert!(
                    logic.due().is_none_or(|due| due > tick),
                    "what is due at a tick is done at that tick"
                );
                if !emitted.is_empty() {
                    output.session(&*held).give_iterator(emitted.drain(..).map(|row| (tick, row)));
                }
            }
            match upper {
                Some(upper) => held.downgrade(&upper),
                None => capability = None,
            }
        }
    })
}
