//! `stops`: where vehicles stood, since when and for how long.
//!
//! **Meaning.** Rest of at least the stop time; what a parked device wanders is part of the stop (crate `tracks`,
//! module `trip`). Its place is that of its first fix. The last stop of a track is provisional until the vehicle has
//! been silent for the gap; that a trip follows is known once the trip is long enough to be one.
//!
//! **Mechanism.** The operator of [`crate::journeys`].
//!
//! **State.** Stops within the journey retention.

use std::sync::Arc;

use model::rows::DEGREE;
use model::{Column, Sym, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use tracks::trip::Stop;

use super::View;
use super::trips::{place, seconds};
use crate::operators::delta::Keyed;
use crate::operators::park::expire;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "stops",
        zh: "停车",
        doc: "Where a vehicle stood, since when and for how long.",
        key: 2,
        columns: &[
            Column::new("vehicle_id", Type::Text, "车辆", "The vehicle."),
            Column::new("start_ts", Type::Time, "开始时间", "Its first fix at rest."),
            Column::new(
                "end_ts",
                Type::Time,
                "结束时间",
                "Its last fix at rest, so far while it is provisional.",
            ),
            Column::new("duration", Type::Float, "时长", "Between the two.").unit("s"),
            Column::new("lon", Type::Float, "经度", "Of its first fix, WGS-84.").unit("°"),
            Column::new("lat", Type::Float, "纬度", "Of its first fix, WGS-84.").unit("°"),
            Column::new("place", Type::Text, "地点", "The smallest fence around it that names places.")
                .nullable(),
            Column::new("fixes", Type::Int, "定位点数", "Fixes, both ends included."),
            Column::new("provisional", Type::Bool, "未结束", "Whether it may still go on."),
        ],
        bounded_by: "stops within the journey retention",
    },
    render: |context, id| {
        let retention = super::journey_retention(&context.settings);
        let settings = Arc::clone(&context.settings);
        let since = move |row: &StopRow| super::kept_from(&settings, retention, row.stop.end_ts);
        context.publish(expire(context.journeys.stops.clone(), "stops", retention, since), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopRow {
    /// The vehicle.
    pub vehicle: Sym,
    /// Its stop.
    pub stop: Stop,
}

impl Keyed for StopRow {
    type Key = (Sym, i64);
    fn key(&self) -> (Sym, i64) {
        (self.vehicle, self.stop.start_ts)
    }
}

impl ViewRow for StopRow {
    fn values(&self, out: &mut Vec<Value>) {
        let stop = &self.stop;
        out.push(Value::Name(self.vehicle));
        out.push(Value::Int(stop.start_ts));
        out.push(Value::Int(stop.end_ts));
        out.push(seconds(stop.end_ts - stop.start_ts));
        out.push(Value::Float(f64::from(stop.at.lon) / DEGREE));
        out.push(Value::Float(f64::from(stop.at.lat) / DEGREE));
        out.push(place(stop.place));
        out.push(Value::Int(stop.fixes));
        out.push(Value::Bool(stop.provisional));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::Tick;
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::trips::oracle::{Around, going_on, kept, parts, tracks};

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut rows = Vec::new();
        for (vehicle, track) in tracks(history, at) {
            let around = Around::of(history, at, vehicle);
            let parts = parts(history, &track);
            for (from, to) in &parts.stops {
                let (first, last) = (&track[*from], &track[*to]);
                // Nothing that is a trip or a break comes after it.
                let is_last = !parts.trips.iter().any(|(start, _)| start >= to)
                    && !crate::views::trips::oracle::intervals(history, &track)[*to..]
                        .contains(&crate::views::trips::oracle::Interval::Break);
                let place = around.place(first);
                rows.push(json!({
                    "vehicle_id": history.name(vehicle), "start_ts": first.ts, "end_ts": last.ts,
                    "duration": (last.ts - first.ts) as f64 / 1000.0,
                    "lon": f64::from(first.lon) / 1e7, "lat": f64::from(first.lat) / 1e7,
                    "place": place.map_or(Json::Null, |id| history.name(id).into()),
                    "fixes": to - from + 1,
                    "provisional": is_last && going_on(history, at, &track),
                }));
            }
        }
        rows.retain(|row| kept(history, at, row["end_ts"].as_i64().unwrap()));
        rows
    }
}
