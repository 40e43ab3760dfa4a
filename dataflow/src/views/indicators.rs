//! `indicators`: each indicator of each score, from its whole numbers to what it contributes.
//!
//! **Meaning.** `value` is numerator / denominator, `score` its points (0 to 100), `weight` its part of the total after
//! what is not applicable was left out, and `contribution` = weight × score: the contributions of a score add up to it
//! exactly (`contribution_exact`). An indicator without denominator is `not_applicable`, one without all its inputs
//! `missing`; both contribute nothing.
//!
//! **Mechanism.** [`crate::scores::judge`].
//!
//! **State.** One row per indicator of each score.

use model::{Column, Type, ViewSpec};

use super::View;
use super::scores::KEY;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "indicators",
        zh: "评价指标",
        doc: "Each indicator of each score, with its numerator, denominator, weight and contribution.",
        key: 4,
        columns: &[
            KEY[0],
            KEY[1],
            Column::new("indicator", Type::Text, "指标", "Id of its record."),
            KEY[2],
            Column::new("value", Type::Float, "指标值", "numerator / denominator.").nullable(),
            Column::new("score", Type::Float, "指标得分", "Points, 0 to 100.").nullable(),
            Column::new(
                "weight",
                Type::Float,
                "权重",
                "Its part of the total, 0 to 1; 0 if it does not count.",
            ),
            Column::new("numerator", Type::Int, "分子", "A whole number.").nullable(),
            Column::new("denominator", Type::Int, "分母", "A whole number.").nullable(),
            Column::new("contribution", Type::Float, "贡献分", "weight × score."),
            Column::new(
                "contribution_exact",
                Type::Text,
                "精确贡献分",
                "The same as a fraction of whole numbers.",
            ),
            Column::new("state", Type::Text, "状态", "counted, not_applicable (0/0) or missing."),
            Column::new("provisional", Type::Bool, "暂定", "The period is not over, or an input is missing."),
            Column::new("inputs", Type::Json, "输入", "Each input by name, null where it is not known."),
        ],
        bounded_by: "scores times the indicators of their schemes",
    },
    render: |context, id| context.publish(context.indicators.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Naive recomputation from all rows: together with the scores.
#[cfg(test)]
pub(crate) mod oracle {
    use model::Tick;
    use serde_json::Value as Json;

    use crate::testing::History;
    use crate::views::scores;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        scores::oracle::judged(history, at).into_iter().flat_map(|scored| scored.indicators).collect()
    }
}
