//! `shadow_alerts`: what rules that run beside a live one say, without anybody being told.
//!
//! **Meaning.** The alerts of rules with `shadow_of`, on the same data and with the same columns as `alerts`. They are no
//! part of `alerts`, `incidents`, the state of sensors, topics and webhooks.
//!
//! **Mechanism.** Kept by [`crate::life`].
//!
//! **State.** As in `alerts`.

use model::ViewSpec;

use super::{View, alerts};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "shadow_alerts",
        zh: "试运行告警",
        doc: "The alerts of rules that run beside a live one unseen, to be compared with its alerts.",
        key: 1,
        columns: alerts::COLUMNS,
        bounded_by: "episodes of shadows that last or ended within the alert retention",
    },
    render: |context, id| context.publish(alerts::of(context.alerts.clone(), true), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::Tick;
    use serde_json::Value as Json;

    use crate::testing::History;
    use crate::views::alerts;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        alerts::oracle::all(history, at)
            .into_values()
            .filter(|said| said.shadow)
            .map(|said| said.row)
            .collect()
    }
}
