//! `green_metrics`: 三绿指标 of each district and the city, the level they reach, and which gate holds them back.
//!
//! **Meaning.** `green_cover` is the ground under vegetation over the built-up area, layers counted once; `green_land` the
//! ground of 绿地 over the same, of which adjoining land outside construction land is a fifth at most; `park_area_per_head` the
//! ground of 公园绿地 over the people. Open parks count as 绿地, where they overlap green spaces once. Where a district's record has no
//! `built_up_km2` its whole area is taken, and `area_basis` says so. `level` is the best level of the edition of the
//! settings whose gates are all met, `held_back_by` the gates that keep it from the next better one; `editions` says the
//! same for every enabled edition. The city is the sum of the districts.
//!
//! **Mechanism.** [`crate::greening`].
//!
//! **State.** One row per district that has a record or green spaces, and one for the city.

use model::reference::green_space::Measure;
use model::{Column, Names, Sym, Type, Value, ViewSpec};
use std::sync::Arc;

use super::View;
use crate::greening::{self, GreenRow};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::publish::{ViewRow, shown};
use timely::dataflow::operators::vec::Map;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "green_metrics",
        zh: "三绿指标",
        doc: "Green cover, green land and park area a head of each district and the city, and the level reached.",
        key: 1,
        columns: &[
            Column::new("district", Type::Text, "区县", "`city` for the city, `unknown` when not said."),
            Column::new("green_cover", Type::Float, "绿化覆盖率", "0 to 1; null without an area.").nullable(),
            Column::new("green_land", Type::Float, "绿地率", "0 to 1; null without an area.").nullable(),
            Column::new("park_area_per_head", Type::Float, "人均公园绿地", "Null without people.")
                .nullable()
                .unit("m²"),
            Column::new("cover_area", Type::Float, "绿化覆盖面积", "Layers counted once.").unit("m²"),
            Column::new("land_area", Type::Float, "绿地面积", "Adjoining land a fifth at most.").unit("m²"),
            Column::new("park_area", Type::Float, "公园绿地面积", "Class G1, counted once.").unit("m²"),
            Column::new(
                "area_basis",
                Type::Text,
                "面积口径",
                "built_up, or district when its record has no built-up area.",
            ),
            Column::new("edition", Type::Text, "标准", "The edition of `level`."),
            Column::new("level", Type::Text, "等级", "The best level reached; null when none is.").nullable(),
            Column::new(
                "held_back_by",
                Type::Text,
                "制约指标",
                "What keeps it from the next better level, comma separated.",
            )
            .nullable(),
            Column::new(
                "editions",
                Type::Json,
                "各标准",
                "[{edition, level, held_back_by}, …] of all that are enabled.",
            ),
        ],
        bounded_by: "the number of districts, plus one",
    },
    render: |context, id| {
        let rows = greening::operate(context.current.clone(), &context.settings, &context.names);
        let names = Arc::clone(&context.names);
        // Names become text here, in the worker: a JSON column holds a document.
        let rows = rows.map(move |(tick, delta)| {
            let row = |row: GreenRow| Row::new(row, &names);
            (tick, Delta { old: delta.old.map(row), new: delta.new.map(row) })
        });
        context.publish(shown(rows), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

#[derive(Clone)]
struct Row {
    row: GreenRow,
    editions: Arc<str>,
}

impl Row {
    fn new(row: GreenRow, names: &Names) -> Self {
        let of = |(id, judged): &(Sym, green::metrics::Judged)| {
            let gates: Vec<&str> = judged.held_back_by.iter().map(|measure| measure.name()).collect();
            serde_json::json!({
                "edition": names.resolve(*id), "level": judged.level.as_deref(), "held_back_by": gates,
            })
        };
        let editions = serde_json::Value::Array(row.judged.iter().map(of).collect()).to_string().into();
        Self { row, editions }
    }
}

impl Keyed for Row {
    type Key = <GreenRow as Keyed>::Key;
    fn key(&self) -> Self::Key {
        self.row.key()
    }
}

impl ViewRow for Row {
    fn values(&self, out: &mut Vec<Value>) {
        let row = &self.row;
        let float = |value: Option<f64>| value.map_or(Value::Null, Value::Float);
        out.push(match row.district {
            None => Value::Literal("city"),
            Some(Sym::EMPTY) => Value::Literal("unknown"),
            Some(district) => Value::Name(district),
        });
        out.extend(row.figures.map(float));
        out.push(Value::Float(row.areas.cover_m2()));
        out.push(Value::Float(row.areas.land_m2()));
        out.push(Value::Float(row.areas.park_m2()));
        out.push(Value::Literal(if row.record.built_up { "built_up" } else { "district" }));
        out.push(Value::Name(row.shown));
        let judged = row.judged.iter().find(|(edition, _)| *edition == row.shown).map(|(_, judged)| judged);
        out.push(judged.and_then(|judged| judged.level.clone()).map_or(Value::Null, Value::Text));
        let gates = judged.map(|judged| judged.held_back_by.iter().map(|measure: &Measure| measure.name()));
        let gates = gates.map(|gates| gates.collect::<Vec<_>>().join(",")).filter(|gates| !gates.is_empty());
        out.push(gates.map_or(Value::Null, |gates| Value::Text(gates.into())));
        out.push(Value::Text(Arc::clone(&self.editions)));
    }
}

/// Naive recomputation from all rows: one overlay per district and figure.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use geo::{Area, BooleanOps, MultiPolygon};
    use model::reference::green_space::GreenDistrict;
    use model::{Kind, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::testing::parks::polygons;
    use crate::views::reference::oracle::typed;

    /// Ground and plain area of one figure.
    #[derive(Clone)]
    struct Ground(MultiPolygon, f64);

    impl Default for Ground {
        fn default() -> Self {
            Self(MultiPolygon(vec![]), 0.0)
        }
    }

    impl Ground {
        fn m2(&self) -> f64 {
            self.0.unsigned_area() + self.1
        }
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut districts: BTreeMap<Sym, ([Ground; 4], GreenDistrict)> = BTreeMap::new();
        for (id, record) in typed(history, at, Kind::District) {
            if let Typed::District(record) = record {
                districts.entry(id).or_default().1 = record;
            }
        }
        let mut add = |district: Sym, class: Option<&str>, adjoining: bool, geometry: Option<&_>, m2: f64| {
            let grounds = &mut districts.entry(district).or_default().0;
            let parts = [
                true,
                class.is_some() && !adjoining,
                class.is_some() && adjoining,
                class.is_some_and(|class| class.starts_with("G1")),
            ];
            for (ground, _) in grounds.iter_mut().zip(parts).filter(|(_, is)| *is) {
                match geometry {
                    Some(geometry) => ground.0 = ground.0.union(&polygons(geometry)),
                    None => ground.1 += m2,
                }
            }
        };
        for space in typed(history, at, Kind::GreenSpace).into_values() {
            let Typed::GreenSpace(space) = space else { continue };
            let (class, m2) = (space.class.as_deref(), space.area_m2.unwrap_or(0.0));
            add(space.district, class, space.adjoining, space.geometry.as_ref(), m2);
        }
        for park in typed(history, at, Kind::Park).into_values() {
            let Typed::Park(park) = park else { continue };
            if park.status.name() == "open" && park.geometry.is_some() {
                let class = if park.class == Sym::EMPTY { "G1" } else { history.name(park.class) };
                add(park.district, Some(class), false, park.geometry.as_ref(), 0.0);
            }
        }
        let mut editions: Vec<(String, _)> = typed(history, at, Kind::GreenEdition)
            .into_iter()
            .filter_map(|(id, edition)| match edition {
                Typed::GreenEdition(edition) if edition.enabled => {
                    Some((history.name(id).to_owned(), edition))
                }
                _ => None,
            })
            .collect();
        editions.sort_by(|a, b| a.0.cmp(&b.0));
        let row = |name: &str, m2: [f64; 4], record: &GreenDistrict| {
            let [cover, inside, adjoining, parks] = m2;
            let land = if adjoining > inside / 4.0 { inside * 1.25 } else { inside + adjoining };
            let over =
                |part: f64, whole: Option<f64>| whole.filter(|whole| *whole > 0.0).map(|whole| part / whole);
            let ground = record.area_km2.map(|km2| km2 * 1e6);
            let figures = [over(cover, ground), over(land, ground), over(parks, record.population)];
            let names = ["green_cover", "green_land", "park_area_per_head"];
            let judged: Vec<Json> = editions
                .iter()
                .map(|(id, edition)| {
                    let mut held: Vec<&str> = Vec::new();
                    for level in &edition.levels {
                        let mut failed = Vec::new();
                        for (n, name) in names.iter().enumerate() {
                            let gates = level.gates.iter().filter(|gate| gate.measure.name() == *name);
                            if gates
                                .into_iter()
                                .any(|gate| figures[n].is_none_or(|figure| figure < gate.at_least))
                            {
                                failed.push(*name);
                            }
                        }
                        if failed.is_empty() {
                            return json!({"edition": id, "level": &*level.name, "held_back_by": held});
                        }
                        held = failed;
                    }
                    json!({"edition": id, "level": null, "held_back_by": held})
                })
                .collect();
            let shown =
                judged.iter().find(|judged| judged["edition"] == history.settings.green_edition.as_str());
            let held = shown.map(|shown| {
                shown["held_back_by"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(Json::as_str)
                    .collect::<Vec<_>>()
                    .join(",")
            });
            json!({
                "district": name, "green_cover": figures[0], "green_land": figures[1],
                "park_area_per_head": figures[2], "cover_area": cover, "land_area": land, "park_area": parks,
                "area_basis": if record.built_up { "built_up" } else { "district" },
                "edition": history.settings.green_edition, "level": shown.map(|shown| shown["level"].clone()),
                "held_back_by": held.filter(|held| !held.is_empty()), "editions": judged,
            })
        };
        let (mut rows, mut city) = (Vec::new(), [0.0; 4]);
        let mut whole =
            GreenDistrict { area_km2: Some(0.0), built_up: true, population: Some(0.0), land_per_head: None };
        for (id, (grounds, record)) in &districts {
            let m2 = [0, 1, 2, 3].map(|n| grounds[n].m2());
            let name = if *id == Sym::EMPTY { "unknown" } else { history.name(*id) };
            rows.push(row(name, m2, record));
            city.iter_mut().zip(m2).for_each(|(city, m2)| *city += m2);
            whole.area_km2 = whole.area_km2.zip(record.area_km2).map(|(a, b)| a + b);
            whole.population = whole.population.zip(record.population).map(|(a, b)| a + b);
            whole.built_up &= record.built_up;
        }
        if !rows.is_empty() {
            rows.push(row("city", city, &whole));
        }
        rows
    }
}
