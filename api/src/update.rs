//! What a subscription gets for a span of ticks: the rows that are new or differ, and the keys of those that are gone.
//!
//! **Meaning.** A subscription is a view seen through a filter and a choice of columns; its rows after an update are
//! what a new snapshot would show. A row that stops matching the filter is deleted, one that begins to is upserted,
//! and one that differs only in columns not chosen is not sent.
//!
//! **Mechanism.** Both ends of the span are known for every key touched, so nothing is remembered per subscriber. The
//! text for subscriptions without filter and columns is made once per span and view; each client gets a copy with its
//! own head.

use model::{Names, Tick, ViewId, ViewSpec};
use serde_json::Value as Json;

use crate::query::{Filter, write_row};
use crate::store::{Row, Touches};

/// What a client wants of a view.
pub struct Subscription {
    /// Which view.
    pub view: ViewId,
    /// Conditions, all of which a row must meet.
    pub filters: Vec<Filter>,
    /// Places of the columns wanted, all if `None`.
    pub columns: Option<Vec<usize>>,
}

impl Subscription {
    /// Whether the row is seen.
    pub fn takes(&self, row: &Row, names: &Names) -> bool {
        self.filters.iter().all(|filter| filter.takes(row, names))
    }

    fn same(&self, a: &Row, b: &Row) -> bool {
        match &self.columns {
            None => a.values == b.values,
            Some(columns) => columns.iter().all(|at| a.values[*at] == b.values[*at]),
        }
    }
}

/// The beginning of a message of a subscription.
pub fn head(kind: &str, id: &str) -> Vec<u8> {
    format!("{{\"type\":\"{kind}\",\"id\":{}", Json::from(id)).into_bytes()
}

/// The update that brings a subscription over the ticks `[lower, upper)`; `None` when nothing of it changed.
pub fn update(
    id: &str,
    subscription: &Subscription,
    spec: &ViewSpec,
    touches: &Touches,
    (lower, upper): (Tick, Tick),
    names: &Names,
) -> Option<Vec<u8>> {
    let own;
    let end = if subscription.filters.is_empty() && subscription.columns.is_none() {
        touches.whole.get_or_init(|| end(subscription, spec, touches, names)).as_deref()?
    } else {
        own = end(subscription, spec, touches, names)?;
        &*own
    };
    let mut text = head("update", id);
    text.reserve(end.len() + 64);
    text.extend_from_slice(format!(",\"lower\":{lower},\"upper\":{upper}").as_bytes());
    text.extend_from_slice(end);
    Some(text)
}

/// Upserts and deletes, to the end of the message.
fn end(subscription: &Subscription, spec: &ViewSpec, touches: &Touches, names: &Names) -> Option<Box<[u8]>> {
    let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
    for key in &touches.keys {
        let old = key.old.as_deref().filter(|row| subscription.takes(row, names));
        let new = key.new.as_deref().filter(|row| subscription.takes(row, names));
        match (old, new) {
            (None, None) => {}
            (Some(old), Some(new)) if subscription.same(old, new) => {}
            (_, Some(new)) => {
                if !upserts.is_empty() {
                    upserts.push(b',');
                }
                write_row(new, subscription.columns.as_deref(), spec, names, &mut upserts);
            }
            (Some(_), None) => {
                for (i, (value, column)) in key.key.iter().zip(spec.columns).enumerate() {
                    deletes.extend_from_slice(match (i, deletes.is_empty()) {
                        (0, true) => b"[",
                        (0, false) => b",[",
                        _ => b",",
                    });
                    value.write_json(column.ty, names, &mut deletes);
                }
                deletes.push(b']');
            }
        }
    }
    if upserts.is_empty() && deletes.is_empty() {
        return None;
    }
    let mut text = b",\"upserts\":[".to_vec();
    text.append(&mut upserts);
    text.extend_from_slice(b"],\"deletes\":[");
    text.append(&mut deletes);
    text.extend_from_slice(b"]}");
    Some(text.into())
}
