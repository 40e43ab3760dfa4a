//! The building blocks that views share.
//!
//! Two kinds of state keep the views: differential's arrangements, where corrections must spread (counts, shares,
//! scores), and small keyed state of our own where work is per record and hot. [`ticked`] is the one operator for the
//! second kind: it hands a view's logic the rows of one tick at a time, and wakes it when time alone changes something.
//! [`keyed`] holds that state so that it can be exported and restored; [`appointments`] and [`park`] keep what lies in
//! the future out of the way; [`timeline`] is a key's history in order of event time, and [`sorted`] a small map;
//! [`delta`] is the change of one key, from which both steps and differential collections derive; [`publish`] turns
//! deltas into the changes of a step.

pub mod appointments;
pub mod delta;
pub mod keyed;
pub mod packed;
pub mod park;
pub mod publish;
pub mod sorted;
pub mod ticked;
pub mod timeline;

use timely::dataflow::operators::Exchange;

/// Spreads keys over workers: a mixed hash, so that neighbouring symbols don't go to the same worker.
pub fn route(key: u32) -> u64 {
    let mixed = u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

/// Sends each row to the worker that `by` names, modulo their number; with one worker there is nothing to send.
pub fn spread<'scope, D>(
    rows: ticked::Tagged<'scope, D>,
    by: impl Fn(&D) -> u64 + 'static,
) -> ticked::Tagged<'scope, D>
where
    D: timely::ExchangeData,
{
    match rows.scope().peers() {
        1 => rows,
        _ => rows.exchange(move |(_, row)| by(row)),
    }
}
