//! `district_coverage`: how much of what a shift was to sweep is swept, by district and for the city.
//!
//! **Meaning.** Sums over the rows of `road_coverage` of a district, a shift and a date; a road without a district is in
//! `unknown`; the row `city` is the exact sum of the others. `length`, `swept_length`, `share` and the numbers of roads
//! are of roads with a plan; what was swept of others is `unplanned_length`. `grades` says how many are done and missed by
//! grade of the road and by deadline of its plan. `repeat_share` is the part of all work that
//! went over what had been swept already (rules: 重复率). `record_completeness` says how far the figures can be trusted:
//! over the vehicles of the district and of the shift's fleets that worked in the shift, the share of the slots of five
//! minutes of the shift that are over in which they sent a fix. `expected_finish_ts` is when everything planned will be
//! swept if the shift goes on as it did until its last sweep.
//!
//! **Mechanism.** `fleet::districts`: integer sums of shares that are taken out and put in.
//!
//! **State.** One row per district, shift and date of the retention, and one entry per road and per vehicle in each.

use std::sync::Arc;

use model::{Column, Sym, Type, Value, ViewSpec};

use super::View;
use super::road_coverage::metres;
use crate::fleet::districts::{Area, AreaRow, ratio};
use crate::fleet::shifts::iso_date;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "district_coverage",
        zh: "区县作业覆盖",
        doc: "How much of what a shift was to sweep is swept, by district and for the city.",
        key: 3,
        columns: &[
            Column::new(
                "district",
                Type::Text,
                "区县",
                "The district; `city` for all; `unknown` when not said.",
            ),
            Column::new("shift", Type::Text, "班次", "The shift."),
            Column::new("date", Type::Text, "日期", "City date on which the shift begins, YYYY-MM-DD."),
            Column::new("length", Type::Float, "计划长度", "Length of the roads planned.").unit("m"),
            Column::new("swept_length", Type::Float, "作业长度", "Swept of the roads planned.").unit("m"),
            Column::new(
                "share",
                Type::Float,
                "覆盖率",
                "Swept length by length; null when nothing is planned.",
            )
            .nullable(),
            Column::new("unplanned_length", Type::Float, "计划外作业长度", "Swept of other roads.").unit("m"),
            Column::new("planned_roads", Type::Int, "计划道路数", "Roads planned."),
            Column::new("done_roads", Type::Int, "完成道路数", "Of these, done."),
            Column::new("too_few_roads", Type::Int, "趟次不足道路数", "Of these, swept in too few passes."),
            Column::new("missed_roads", Type::Int, "漏扫道路数", "Of these, missed."),
            Column::new(
                "grades",
                Type::Json,
                "按等级",
                "The same numbers by grade and due_ts (Unix ms): a list in that order.",
            ),
            Column::new(
                "repeat_share",
                Type::Float,
                "重复率",
                "Part of all work that went over what was swept; null without work.",
            )
            .nullable(),
            Column::new("vehicles", Type::Int, "作业车辆数", "Vehicles that worked in the shift."),
            Column::new(
                "record_completeness",
                Type::Float,
                "数据完整率",
                "Share of past slots in which they were heard; null without any.",
            )
            .nullable(),
            Column::new("last_swept_ts", Type::Time, "最近作业时间", "When a planned road was last swept.")
                .nullable(),
            Column::new(
                "expected_finish_ts",
                Type::Time,
                "预计完成时间",
                "At the pace until the last sweep; null before the first.",
            )
            .nullable(),
        ],
        bounded_by: "the number of districts, times shifts and days of the retention",
    },
    render: |context, id| context.publish(context.district_coverage.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

impl ViewRow for AreaRow {
    fn values(&self, out: &mut Vec<Value>) {
        let share = |share: Option<f64>| share.map_or(Value::Null, Value::Float);
        let time = |ts: Option<i64>| ts.map_or(Value::Null, Value::Int);
        out.push(match self.area {
            Area::District(Sym::EMPTY) => Value::Literal("unknown"),
            Area::District(district) => Value::Name(district),
            Area::City => Value::Literal("city"),
        });
        out.push(Value::Name(self.shift_day.0));
        out.push(Value::Text(iso_date(self.shift_day.1)));
        out.push(Value::Float(metres(self.planned_mm)));
        out.push(Value::Float(metres(self.swept_mm)));
        out.push(share(ratio(self.swept_mm, self.planned_mm)));
        out.push(Value::Float(metres(self.unplanned_mm)));
        out.extend([self.planned_roads, self.done, self.too_few, self.missed].map(Value::Int));
        out.push(Value::Text(Arc::clone(&self.grades)));
        out.push(share(self.repeat_share));
        out.push(Value::Int(self.vehicles));
        out.push(share(self.record_completeness));
        out.push(time(self.last_swept_ts));
        out.push(time(self.expected_finish_ts));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::{BTreeMap, BTreeSet};

    use model::Tick;
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::road_coverage::oracle as roads;
    use crate::views::vehicles;

    const SLOT: i64 = 300_000;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut groups: BTreeMap<(String, String, String), Vec<Json>> = BTreeMap::new();
        for road in roads::rows(history, at) {
            let text = |name: &str| road[name].as_str().map(str::to_owned);
            let (shift, date) = (text("shift").unwrap(), text("date").unwrap());
            for district in [text("district").unwrap_or("unknown".into()), "city".into()] {
                groups.entry((district, shift.clone(), date.clone())).or_default().push(road.clone());
            }
        }
        groups.into_iter().map(|(key, rows)| row(history, at, &key, &rows)).collect()
    }

    fn row(
        history: &History,
        at: Tick,
        (district, shift, date): &(String, String, String),
        rows: &[Json],
    ) -> Json {
        let mm = |row: &Json, name: &str| (row[name].as_f64().unwrap() * 1000.0).round() as i64;
        let planned: Vec<&Json> = rows.iter().filter(|row| row["planned_passes"] != 0).collect();
        let other = rows.iter().filter(|row| row["planned_passes"] == 0);
        let length: i64 = planned.iter().map(|row| mm(row, "length")).sum();
        let swept: i64 = planned.iter().map(|row| mm(row, "swept_length")).sum();
        let unplanned: i64 = other.map(|row| mm(row, "swept_length")).sum();
        let worked: i64 = rows.iter().map(|row| mm(row, "worked_length")).sum();
        let in_state = |state: &str| planned.iter().filter(|row| row["state"] == state).count();
        let mut by_grade: BTreeMap<(Option<&str>, i64), Vec<&str>> = BTreeMap::new();
        for row in &planned {
            let key = (row["grade"].as_str(), row["due_ts"].as_i64().unwrap());
            by_grade.entry(key).or_default().push(row["state"].as_str().unwrap());
        }
        let grades: Vec<Json> = by_grade
            .into_iter()
            .map(|((grade, due_ts), states)| {
                let n = |state: &str| states.iter().filter(|s| **s == state).count();
                json!({
                    "grade": grade, "due_ts": due_ts, "planned_roads": states.len(), "done_roads": n("done"),
                    "too_few_roads": n("too_few"), "missed_roads": n("missed"),
                })
            })
            .collect();
        let share = |part: i64, whole: i64| (whole > 0).then(|| part as f64 / whole as f64);
        let last = planned.iter().filter_map(|row| row["last_swept_ts"].as_i64()).max();

        let known = roads::shifts(history, at);
        let (_, shift_ref) = known.iter().find(|(id, _)| history.name(**id) == shift).unwrap();
        let today = roads::date_of(history, at as i64);
        let day = (today - 5..today + 5).find(|day| roads::time_of(*day) == *date).unwrap();
        let (start, end) = roads::span(history, shift_ref, day);
        let within = |slot: i64| start <= slot && slot < end;
        let over = |slot: i64| slot + SLOT <= at as i64;
        let slots = (start.div_euclid(SLOT)..=end.div_euclid(SLOT)).map(|n| n * SLOT);
        let slots = slots.filter(|slot| within(*slot) && over(*slot)).count();
        let fleets = roads::fleet_of(history, at);
        let (mut vehicles, mut present) = (0, 0);
        for (vehicle, track) in vehicles::oracle::tracks(history, at) {
            let (fleet, home) = fleets.get(&vehicle).copied().unwrap_or_default();
            let home = if history.name(home).is_empty() { "unknown" } else { history.name(home) };
            let concerned = shift_ref.fleets.is_empty()
                || shift_ref.fleets.contains(&fleet) && fleets.contains_key(&vehicle);
            if !concerned || (district != "city" && district != home) {
                continue;
            }
            let fixes = || track.iter().filter(|(.., jump)| !jump).map(|(_, fix, _)| fix);
            let slot = |ts: i64| ts.div_euclid(SLOT) * SLOT;
            if fixes().any(|fix| fix.working == Some(true) && within(slot(fix.ts))) {
                vehicles += 1;
                let heard: BTreeSet<i64> =
                    fixes().map(|fix| slot(fix.ts)).filter(|slot| within(*slot) && over(*slot)).collect();
                present += heard.len();
            }
        }
        let finish = last.filter(|_| swept > 0).map(|last| {
            start + (i128::from((last - start).max(0)) * i128::from(length) / i128::from(swept)) as i64
        });
        json!({
            "district": district, "shift": shift, "date": date,
            "length": length as f64 / 1000.0, "swept_length": swept as f64 / 1000.0, "share": share(swept, length),
            "unplanned_length": unplanned as f64 / 1000.0, "planned_roads": planned.len(),
            "done_roads": in_state("done"), "too_few_roads": in_state("too_few"), "missed_roads": in_state("missed"),
            "grades": grades,
            "repeat_share": share(worked - swept - unplanned, worked), "vehicles": vehicles,
            "record_completeness": share(present as i64, vehicles * slots as i64),
            "last_swept_ts": last, "expected_finish_ts": finish,
        })
    }
}
