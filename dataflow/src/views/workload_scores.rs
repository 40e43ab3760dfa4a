//! `workload_scores`: the district score of the reference workload, from the other four of its questions.
//!
//! **Meaning.** A district with roads has up to 100 points: 30 for alerts (none lost at no lasting episode, all at 50 and
//! more), 30 for cases (the share of its open cases that is not past its deadline unhandled), 30 for sweeping (the distinct length swept,
//! summed over its hours, of the length of its roads times these hours), 10 for windows (the share of its sensor windows
//! with a mean below 52). Each part is rounded down to hundredths by itself. It follows no standard: it is there so that
//! a score that depends on every stream can be measured and compared. The scores of the city are those of its schemes.
//!
//! **Mechanism.** Everything it needs adds up, so a district is one differential count of a vector.
//!
//! **State.** One vector per district.

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::operators::CountTotal;
use model::{Column, Sym, Tick, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use super::alerts::AlertState;
use super::{Context, View};
use crate::operators::delta::{Delta, Keyed, deltas};
use crate::operators::publish::ViewRow;
use crate::operators::ticked::Tagged;
use crate::series::panes::SUM_SCALE;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "workload_scores",
        zh: "基准负载评分",
        doc: "The district score of the reference workload.",
        key: 1,
        columns: &[
            Column::new("district", Type::Text, "区县", "A district with roads; empty when unknown."),
            Column::new("score", Type::Float, "得分", "0 to 100."),
            Column::new("alerts", Type::Int, "告警数", "Episodes that last."),
            Column::new(
                "overdue",
                Type::Int,
                "超期数",
                "Open cases past their deadline that are not handled.",
            ),
        ],
        bounded_by: "the number of districts with roads",
    },
    render,
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Points of alerts, cases, sweeping and windows, hundredths.
const POINTS: [i64; 4] = [3_000, 3_000, 3_000, 1_000];
/// From so many lasting episodes on there are no points for them.
const ALERTS_FULL: i64 = 50;
/// A window is hot when its mean is at least this.
const HOT: f64 = 52.0;

/// The things that add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Sums {
    active: i64,
    open: i64,
    overdue: i64,
    swept_mm: i64,
    hours: i64,
    network_mm: i64,
    windows: i64,
    hot: i64,
}

impl Sums {
    fn parts(&mut self) -> [&mut i64; 8] {
        [
            &mut self.active,
            &mut self.open,
            &mut self.overdue,
            &mut self.swept_mm,
            &mut self.hours,
            &mut self.network_mm,
            &mut self.windows,
            &mut self.hot,
        ]
    }

    fn times(mut self, sign: i64) -> Self {
        for part in self.parts() {
            *part *= sign;
        }
        self
    }

    /// Hundredths.
    fn score(&self) -> i64 {
        let [alerts, cases, sweeping, windows] = POINTS;
        let could = self.network_mm * self.hours;
        alerts * (ALERTS_FULL - self.active.min(ALERTS_FULL)) / ALERTS_FULL
            + (cases - cases * self.overdue / self.open.max(1))
            + sweeping * self.swept_mm.min(could) / could.max(1)
            + (windows - windows * self.hot / self.windows.max(1))
    }
}

impl IsZero for Sums {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Semigroup for Sums {
    fn plus_equals(&mut self, other: &Self) {
        let mut other = *other;
        for (part, more) in self.parts().into_iter().zip(other.parts()) {
            *part += *more;
        }
    }
}

/// A row of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct ScoreRow {
    district: Sym,
    score: i64,
    active: i64,
    overdue: i64,
}

impl Keyed for ScoreRow {
    type Key = Sym;
    fn key(&self) -> Sym {
        self.district
    }
}

impl ViewRow for ScoreRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.district));
        out.push(Value::Float(self.score as f64 / 100.0));
        out.push(Value::Int(self.active));
        out.push(Value::Int(self.overdue));
    }
}

fn render(context: &mut Context<'_>, id: model::ViewId) {
    /// What the rows of one question add to their district: most changes of a row change nothing of that.
    fn add<'s, R: Clone + 'static>(
        rows: Tagged<'s, Delta<R>>,
        of: impl Fn(&R) -> (Sym, Sums) + 'static,
    ) -> differential_dataflow::VecCollection<'s, Tick, Sym, Sums> {
        rows.flat_map(move |(tick, delta)| {
            let sides = (delta.old.as_ref().map(&of), delta.new.as_ref().map(&of));
            let (old, new) = if sides.0 == sides.1 { (None, None) } else { sides };
            let old = old.map(|(district, sums)| (district, tick, sums.times(-1)));
            old.into_iter().chain(new.map(|(district, sums)| (district, tick, sums)))
        })
        .as_collection()
    }
    let is = i64::from;
    let swept = context.swept();
    let hot = (HOT * SUM_SCALE) as i128;
    let sums = add(context.alerts.clone(), move |alert| {
        let lasts = alert.cleared_ts.is_none() && alert.state != AlertState::Withdrawn && !alert.shadow;
        (alert.district, Sums { active: is(lasts), ..Sums::default() })
    })
    .concat(add(context.cases.clone(), move |case| {
        let open = case.stage.open();
        (
            case.district,
            Sums {
                open: is(open),
                overdue: is(open && case.overdue && case.handled_ts.is_none()),
                ..Sums::default()
            },
        )
    }))
    .concat(add(swept.rows, |row| {
        (row.district, Sums { swept_mm: row.sums.mm, hours: 1, ..Sums::default() })
    }))
    .concat(add(swept.roads, |road| (road.district, Sums { network_mm: road.mm, ..Sums::default() })))
    .concat(add(context.windows(), move |window| {
        let above = window.all.sum >= hot * i128::from(window.all.count);
        (window.group.district, Sums { windows: 1, hot: is(above), ..Sums::default() })
    }));
    let rows = sums.count_total().filter(|(_, sums)| sums.network_mm > 0);
    let rows = rows.map(|(district, sums)| ScoreRow {
        district,
        score: sums.score(),
        active: sums.active,
        overdue: sums.overdue,
    });
    context.publish(deltas(rows, "workload_scores"), id);
}

/// Naive recomputation from the other oracles.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::Tick;
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{alerts, cases, sensor_windows, swept_lengths};

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut networks: BTreeMap<String, i64> = BTreeMap::new();
        for (district, line) in swept_lengths::oracle::roads(history, at).into_values() {
            *networks.entry(district).or_default() += swept_lengths::oracle::length(&line);
        }
        let (alerts, cases) = (alerts::oracle::rows(history, at), cases::oracle::rows(history, at));
        let (swept, windows) =
            (swept_lengths::oracle::swept(history, at), sensor_windows::oracle::rows(history, at));
        let row = |(district, network): (String, i64)| {
            let here = |row: &&Json| row["district"].as_str().unwrap_or("") == district;
            let share = |points: i64, part: usize, all: usize| points * part as i64 / all.max(1) as i64;
            // What an operator did changes no episode: it lasts until it is cleared, or never was.
            let lasting = |row: &&Json| row["cleared_ts"].is_null() && row["state"] != "withdrawn";
            let active = alerts.iter().filter(here).filter(lasting).count();
            let open = |row: &&Json| {
                !["closed", "voided", "merged", "rejected"].contains(&row["stage"].as_str().unwrap())
            };
            let open: Vec<&Json> = cases.iter().filter(here).filter(open).collect();
            let overdue =
                open.iter().filter(|case| case["overdue"] == true && case["handled_ts"].is_null()).count();
            let hours: Vec<i64> = swept
                .iter()
                .filter(|((of, _), _)| *of == district)
                .map(|(_, roads)| roads.iter().map(|(_, mm)| mm).sum())
                .collect();
            let here: Vec<&Json> = windows.iter().filter(here).collect();
            let hot = here.iter().filter(|window| window["mean"].as_f64().unwrap() >= 52.0).count();
            let could = network * hours.len() as i64;
            let score = 3000 * (50 - active.min(50) as i64) / 50 + 3000 - share(3000, overdue, open.len())
                + 3000 * hours.iter().sum::<i64>() / could.max(1)
                + 1000
                - share(1000, hot, here.len());
            json!({"district": district, "score": score as f64 / 100.0, "alerts": active, "overdue": overdue})
        };
        networks.into_iter().filter(|(_, network)| *network > 0).map(row).collect()
    }
}
