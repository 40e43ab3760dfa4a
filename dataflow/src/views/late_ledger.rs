//! `late_ledger`: every record that came too late to be applied.
//!
//! **Meaning.** A late record is applied, or it is here: its event time was older than the horizon when its tick was
//! cut, so what it could correct has been settled for good.
//!
//! **State.** The rows of the refused-retention.

use std::sync::Arc;

use model::{Row, ViewSpec};
use timely::dataflow::operators::vec::Map;

use super::View;
use super::rejects::{COLUMNS, named, of};
use crate::operators::park::expire;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "late_ledger",
        zh: "迟到台账",
        doc: "Every record that came too late to be applied.",
        key: 3,
        columns: COLUMNS,
        bounded_by: "records beyond the horizon within the refused-retention",
    },
    render: |context, id| {
        let late = of(context, |row| match row {
            Row::Late(refused) => Some(refused),
            _ => None,
        });
        let rows = expire(late, "late_ledger", context.settings.refused_retention_ms, |row| row.tick);
        let prefix: Arc<str> = context.settings.topic_prefix.as_str().into();
        context.publish(rows.map(move |(tick, delta)| (tick, named(delta, &prefix))), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::{Row, Tick};
    use serde_json::Value as Json;

    use crate::testing::History;
    use crate::views::rejects;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        rejects::oracle::refused(history, at, |row| match row {
            Row::Late(refused) => Some(refused),
            _ => None,
        })
    }
}
