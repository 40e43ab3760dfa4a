//! `park_radius`: 公园绿化活动场地服务半径覆盖率 of each district and the city, by area, by people and on foot.
//!
//! **Meaning.** area(居住用地 ∩ ∪ buffer(parkᵢ, rᵢ)) / area(居住用地), buffers straight from the boundary, what several parks cover
//! counted once, and so is ground in several residences of a district. People count in the share of their residence that
//! is covered. `walking_share` is the share of people who have no more than the scheme's walking distance to an entrance:
//! beside the circle's share it says what rivers, walls and gates take away. Shares of nothing are null; so is everything
//! about walking while there is no walkway. The city is the sum of the districts.
//!
//! **Mechanism.** [`crate::reach`]: sums of whole 10⁻⁶ m² and 10⁻⁶ people, divided last.
//!
//! **State.** One row per district named in residences and enabled scheme, and one for the city.

use model::{Column, Sym, Type, Value, ViewSpec};

use super::View;
use crate::operators::publish::{ViewRow, shown};
use crate::reach::RadiusRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "park_radius",
        zh: "公园服务半径覆盖率",
        doc: "Share of the residential area and of the people within reach of a park, by district and for the city.",
        key: 2,
        columns: &[
            Column::new("district", Type::Text, "区县", "`city` for the city, `unknown` when not said."),
            Column::new("scheme", Type::Text, "规则", "The radius scheme."),
            Column::new("residences", Type::Int, "居住区数", "Residences."),
            Column::new("residential_area", Type::Float, "居住用地面积", "Counted once.").unit("m²"),
            Column::new("covered_area", Type::Float, "覆盖面积", "Of it within reach of a park.").unit("m²"),
            Column::new("share", Type::Float, "覆盖率", "By area, 0 to 1; null without residential area.")
                .nullable(),
            Column::new("population", Type::Float, "人口", "Of the residences."),
            Column::new("covered_population", Type::Float, "覆盖人口", "Within reach of a park."),
            Column::new("population_share", Type::Float, "人口覆盖率", "0 to 1; null without people.")
                .nullable(),
            Column::new(
                "walking_population",
                Type::Float,
                "步行覆盖人口",
                "Within walking distance of an entrance.",
            )
            .nullable(),
            Column::new(
                "walking_share",
                Type::Float,
                "步行覆盖率",
                "0 to 1; null without people or walkways.",
            )
            .nullable(),
            Column::new("threshold", Type::Float, "达标线", "The share by area that the scheme asks for.")
                .nullable(),
            Column::new("meets", Type::Bool, "达标", "Whether the share by area is at least the threshold.")
                .nullable(),
        ],
        bounded_by: "the number of districts named in residences, plus one, times that of enabled radius schemes",
    },
    render: |context, id| context.publish(shown(context.reach.radius.clone()), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

impl ViewRow for RadiusRow {
    fn values(&self, out: &mut Vec<Value>) {
        let whole = |micro: i64| Value::Float(micro as f64 / green::coverage::MICRO);
        let float = |value: Option<f64>| value.map_or(Value::Null, Value::Float);
        let totals = &self.totals;
        out.push(match self.district {
            None => Value::Literal("city"),
            Some(Sym::EMPTY) => Value::Literal("unknown"),
            Some(district) => Value::Name(district),
        });
        out.push(Value::Name(self.scheme));
        out.push(Value::Int(totals.residences));
        out.push(whole(totals.area));
        out.push(whole(totals.covered));
        out.push(float(totals.share()));
        out.push(whole(totals.population));
        out.push(whole(totals.covered_population));
        out.push(float(totals.population_share()));
        out.push(if self.walkways { whole(totals.walking_population) } else { Value::Null });
        out.push(float(totals.walking_share().filter(|_| self.walkways)));
        out.push(float(self.threshold));
        let meets = totals.share().zip(self.threshold).map(|(share, threshold)| share >= threshold);
        out.push(meets.map_or(Value::Null, Value::Bool));
    }
}

/// Naive recomputation from all rows: exact overlay of the whole city at once.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeSet;

    use model::{Sym, Tick};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::testing::parks::{Town, blur_sums};

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let town = Town::at(history, at);
        let mut rows = Vec::new();
        for (scheme, rules) in &town.schemes {
            let facts = town.facts(rules);
            let districts: BTreeSet<Sym> = town.homes.values().map(|home| home.district).collect();
            let (mut city, mut city_blurred) = ([0.0; 6], false);
            let row = |name: &str, sums: [f64; 6], blurred: bool| {
                let [residences, area, covered, people, covered_people, walking] = sums;
                let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
                let share = ratio(covered, area);
                let mut row = json!({
                    "district": name, "scheme": history.name(*scheme), "residences": residences as i64,
                    "residential_area": area, "covered_area": covered, "share": share,
                    "population": people, "covered_population": covered_people,
                    "population_share": ratio(covered_people, people),
                    "walking_population": (!town.ways.is_empty()).then_some(walking),
                    "walking_share": ratio(walking, people).filter(|_| !town.ways.is_empty()),
                    "threshold": rules.threshold,
                    "meets": share.zip(rules.threshold).map(|(share, threshold)| share >= threshold),
                });
                blur_sums(&mut row, blurred);
                row
            };
            for district in &districts {
                let (area, covered) = facts.ground[district];
                let mut blurred = false;
                let mut sums = [0.0, area, covered, 0.0, 0.0, 0.0];
                for (id, home) in town.homes.iter().filter(|(_, home)| home.district == *district) {
                    let fact = &facts.homes[id];
                    let on_foot = fact.walk.is_some_and(|(metres, _)| metres <= rules.walk_m);
                    blurred |= fact.blurred.walking;
                    sums[0] += 1.0;
                    sums[3] += home.population;
                    sums[4] += home.population * fact.share;
                    sums[5] += if on_foot { home.population } else { 0.0 };
                }
                city.iter_mut().zip(sums).for_each(|(city, sum)| *city += sum);
                let name = if *district == Sym::EMPTY { "unknown" } else { history.name(*district) };
                city_blurred |= blurred;
                rows.push(row(name, sums, blurred));
            }
            if !districts.is_empty() {
                rows.push(row("city", city, city_blurred));
            }
        }
        rows
    }
}
