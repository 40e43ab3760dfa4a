//! `parks`: every park, and how far it reaches under each radius scheme.
//!
//! **Meaning.** A park that is open, has a place, and whose class and area the scheme counts reaches `radius_m` from its
//! boundary; of the steps of the scheme that it fulfils the one with the greatest radius is its. The area is the one
//! recorded, else that of its geometry on the ellipsoid. `why_not` says what keeps a park from counting.
//!
//! **Mechanism.** [`crate::reach`].
//!
//! **State.** One row per park and enabled scheme.

use model::reference::ParkStatus;
use model::{Column, Type, Value, ViewSpec};

use super::View;
use crate::operators::publish::{ViewRow, shown};
use crate::reach::ParkRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "parks",
        zh: "公园",
        doc: "Every park, and how far it reaches under each radius scheme.",
        key: 2,
        columns: &[
            Column::new("park_id", Type::Text, "公园编号", "The park."),
            Column::new("scheme", Type::Text, "规则", "The radius scheme."),
            Column::new("name", Type::Text, "名称", "From its record.").nullable(),
            Column::new("district", Type::Text, "区县", "From its record.").nullable(),
            Column::new("class", Type::Text, "类别", "Of CJJ/T 85: G11, G12, G13, G14, G3.").nullable(),
            Column::new("status", Type::Text, "状态", "open, closed or planned."),
            Column::new("area_m2", Type::Float, "面积", "As recorded, else of its geometry.").unit("m²"),
            Column::new(
                "radius_m",
                Type::Float,
                "服务半径",
                "How far it reaches; null when it does not count.",
            )
            .nullable()
            .unit("m"),
            Column::new(
                "why_not",
                Type::Text,
                "不计入原因",
                "closed, planned, no_geometry, or not_in_scheme (class or area); null when it counts.",
            )
            .nullable(),
            Column::new("entrances", Type::Int, "出入口数", "In its record; without one nobody walks in."),
        ],
        bounded_by: "the number of parks times that of enabled radius schemes",
    },
    render: |context, id| context.publish(shown(context.reach.parks.clone()), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

impl ViewRow for ParkRow {
    fn values(&self, out: &mut Vec<Value>) {
        let Some(park) = self.park() else { return };
        out.push(Value::Name(self.park));
        out.push(Value::Name(self.scheme));
        out.push(park.name.clone().map_or(Value::Null, Value::Text));
        out.push(Value::name_or_null(park.district));
        out.push(Value::name_or_null(park.class));
        out.push(Value::Literal(park.status.name()));
        out.push(Value::Float(self.area_m2));
        out.push(self.radius_m.map_or(Value::Null, Value::Float));
        out.push(match (self.radius_m, park.status, &park.geometry) {
            (Some(_), ..) => Value::Null,
            (None, ParkStatus::Closed | ParkStatus::Planned, _) => Value::Literal(park.status.name()),
            (None, _, None) => Value::Literal("no_geometry"),
            _ => Value::Literal("not_in_scheme"),
        });
        out.push(Value::Int(park.entrances.len() as i64));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::Tick;
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::testing::parks::{Town, geodesic_area};

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let town = Town::at(history, at);
        let mut rows = Vec::new();
        for (scheme, rules) in &town.schemes {
            for (id, park) in &town.parks {
                let area = park.area_m2.unwrap_or_else(|| park.geometry.as_ref().map_or(0.0, geodesic_area));
                let radius = town.radius(rules, park);
                let status = park.status.name();
                let why = match (radius, status) {
                    (Some(_), _) => Json::Null,
                    (None, "open") if park.geometry.is_none() => "no_geometry".into(),
                    (None, "open") => "not_in_scheme".into(),
                    (None, status) => status.into(),
                };
                rows.push(json!({
                    "park_id": history.name(*id), "scheme": history.name(*scheme), "name": park.name.as_deref(),
                    "district": history.name_or_null(park.district), "class": history.name_or_null(park.class),
                    "status": status, "area_m2": area, "radius_m": radius, "why_not": why,
                    "entrances": park.entrances.len(),
                }));
            }
        }
        rows
    }
}
