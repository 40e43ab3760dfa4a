//! `residence_access`: how each residence is served by parks, in a straight line and on foot.
//!
//! **Meaning.** `covered_share` is how much of the residence lies within the radius of a park that counts, and `covered`
//! whether that is at least half. `nearest_park` is the open park, of any size, at the least straight distance between
//! boundaries. `walking_m` is the least way to an entrance of a park that counts: from the centre of the residence to the
//! nearest walkway, along walkways, and to the entrance; null when no walkway is near or none leads to an entrance.
//! `path` is that way as positions, from the residence to the entrance, when it is not longer than the limit of the
//! settings. `uncovered_population` orders the areas that are not served by the people who live there:
//! `?order=-uncovered_population`.
//!
//! **Mechanism.** [`crate::reach`].
//!
//! **State.** One row per residence and enabled scheme.

use std::fmt::Write as _;

use model::{Column, Type, Value, ViewSpec};

use super::View;
use crate::operators::publish::{ViewRow, shown};
use crate::reach::AccessRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "residence_access",
        zh: "居住区公园可达",
        doc: "How each residence is served by parks, in a straight line and on foot.",
        key: 2,
        columns: &[
            Column::new("residence_id", Type::Text, "居住区", "The residence."),
            Column::new("scheme", Type::Text, "规则", "The radius scheme."),
            Column::new("district", Type::Text, "区县", "From its record.").nullable(),
            Column::new("population", Type::Float, "人口", "From its record."),
            Column::new("area_m2", Type::Float, "面积", "Of its geometry; of a point as recorded.")
                .unit("m²"),
            Column::new(
                "covered",
                Type::Bool,
                "已覆盖",
                "At least half of it lies within the radius of a park.",
            ),
            Column::new(
                "covered_share",
                Type::Float,
                "覆盖比例",
                "Share of its area within the radius, 0 to 1.",
            ),
            Column::new(
                "uncovered_population",
                Type::Float,
                "未覆盖人口",
                "People times the share not covered.",
            ),
            Column::new("nearest_park", Type::Text, "最近公园", "In a straight line, open, of any size.")
                .nullable(),
            Column::new("straight_m", Type::Float, "直线距离", "Between the boundaries; 0 when they meet.")
                .nullable()
                .unit("m"),
            Column::new(
                "walking_park",
                Type::Text,
                "步行最近公园",
                "Of those that count, by walking distance.",
            )
            .nullable(),
            Column::new("walking_m", Type::Float, "步行距离", "Along walkways to the nearest entrance.")
                .nullable()
                .unit("m"),
            Column::new("walking_min", Type::Float, "步行时间", "At the walking speed of the settings.")
                .nullable()
                .unit("min"),
            Column::new("on_foot", Type::Bool, "步行可达", "Not farther than the scheme's walking distance."),
            Column::new(
                "path",
                Type::Json,
                "步行路径",
                "[[lon, lat], …] from the residence to the entrance.",
            )
            .nullable(),
        ],
        bounded_by: "the number of residences times that of enabled radius schemes",
    },
    render: |context, id| context.publish(shown(context.reach.access.clone()), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// From this share on a residence counts as covered.
const COVERED: f64 = 0.5;

impl ViewRow for AccessRow {
    fn values(&self, out: &mut Vec<Value>) {
        let (access, measured) = (&*self.access, &self.access.measured);
        let share = measured.share();
        let walk = access.walk.as_ref();
        let walking_m = walk.map(|walk| f64::from(walk.mm) / 1000.0);
        out.push(Value::Name(self.residence));
        out.push(Value::Name(self.scheme));
        out.push(Value::name_or_null(access.district));
        out.push(Value::Float(access.population));
        out.push(Value::Float(measured.area as f64 / green::coverage::MICRO));
        out.push(Value::Bool(share >= COVERED));
        out.push(Value::Float(share));
        out.push(Value::Float(access.population * (1.0 - share)));
        out.push(measured.nearest.map_or(Value::Null, |(_, park)| Value::Name(park)));
        out.push(measured.nearest.map_or(Value::Null, |(metres, _)| Value::Float(metres)));
        out.push(walk.map_or(Value::Null, |walk| Value::Name(walk.park)));
        out.push(walking_m.map_or(Value::Null, Value::Float));
        out.push(walking_m.map_or(Value::Null, |metres| Value::Float(metres / self.walk_m_per_min)));
        out.push(Value::Bool(walking_m.is_some_and(|metres| metres <= self.walk_m)));
        out.push(walk.filter(|walk| !walk.path.is_empty()).map_or(Value::Null, |walk| {
            let mut path = String::with_capacity(walk.path.len() * 26 + 2);
            for (n, at) in walk.path.iter().enumerate() {
                let [lon, lat] = at.degrees();
                path.push(if n == 0 { '[' } else { ',' });
                // Writing to a string cannot fail.
                let _ = write!(path, "[{lon},{lat}]");
            }
            path.push(']');
            Value::Text(path.into())
        }));
    }
}

/// Naive recomputation from all rows: exact overlay and Dijkstra's algorithm.
#[cfg(test)]
pub(crate) mod oracle {
    use model::Tick;
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::testing::parks::Town;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let town = Town::at(history, at);
        let mut rows = Vec::new();
        for (scheme, rules) in &town.schemes {
            let facts = town.facts(rules);
            for (id, home) in &town.homes {
                let fact = &facts.homes[id];
                let walking_m = fact.walk.map(|(metres, _)| metres);
                let mut row = json!({
                    "residence_id": history.name(*id), "scheme": history.name(*scheme),
                    "district": history.name_or_null(home.district), "population": home.population,
                    "area_m2": fact.area, "covered": fact.share >= 0.5, "covered_share": fact.share,
                    "uncovered_population": home.population * (1.0 - fact.share),
                    "nearest_park": fact.nearest.map(|(_, park)| history.name(park)),
                    "straight_m": fact.nearest.map(|(metres, _)| metres),
                    "walking_park": fact.walk.map(|(_, park)| history.name(park)),
                    "walking_m": walking_m,
                    "walking_min": walking_m.map(|metres| metres / history.settings.walk_m_per_min),
                    "on_foot": walking_m.is_some_and(|metres| metres <= rules.walk_m),
                    "path": walking_m.is_some_and(|metres| metres <= history.settings.walk_shown_m),
                });
                fact.blur(&mut row);
                rows.push(row);
            }
        }
        rows
    }
}
