//! `score_versions`: what was published of each score, and what it became.
//!
//! **Meaning.** A period is published so long after its end as its scheme says (`publish_after_h`). The state of each
//! unit then is version 1 and stays as it was; each later change of its score, grade, rank, completeness or of the
//! scheme's record is the next version, at the tick of the change. So a district can see what it was told, and since when
//! it is otherwise.
//!
//! **Mechanism.** [`crate::scores::standing`].
//!
//! **State.** The last version of each; the rows are kept by whoever reads them.

use model::{Column, Type, ViewSpec};

use super::View;
use super::scores::{KEY, STANDING};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "score_versions",
        zh: "已发布得分版本",
        doc: "Every published version of each score.",
        key: 4,
        columns: &[
            KEY[0],
            KEY[1],
            KEY[2],
            Column::new("version", Type::Int, "发布版本", "From 1."),
            STANDING[0],
            STANDING[1],
            STANDING[2],
            STANDING[3],
            STANDING[4],
            STANDING[5],
            STANDING[6],
            Column::new("published_ts", Type::Time, "发布时间", "The tick since which it holds."),
        ],
        bounded_by: "published scores times their corrections",
    },
    render: |context, id| context.publish(context.score_versions.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Naive recomputation from all rows, tick by tick.
#[cfg(test)]
pub(crate) mod oracle {
    use model::Tick;
    use serde_json::Value as Json;

    use crate::testing::History;
    use crate::views::scores;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        scores::oracle::published(history, at).into_values().flatten().collect()
    }
}
