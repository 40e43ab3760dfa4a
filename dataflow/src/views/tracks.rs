//! `tracks`: the plausible fixes of the last hours, one row each.
//!
//! **Meaning.** The fixes that count (no jumps, of two with one time the later in log order), from their tick until the
//! track retention after their event time. A fix that a late one turns into a jump goes. `GET
//! /api/v1/views/vehicles/{id}/track` reads it; the table of its changes is the history of positions.
//!
//! **Mechanism.** The track that the operator of `vehicles` keeps, passed on.
//!
//! **State.** The rows of the track retention.

use std::sync::Arc;

use model::rows::DEGREE;
use model::{Column, Type, Value, ViewSpec};
use timely::dataflow::operators::vec::Filter;

use super::View;
use super::vehicles::{TrackFix, decimal, says_more};
use crate::operators::park::expire;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "tracks",
        zh: "轨迹",
        doc: "The plausible fixes of the last hours.",
        key: 2,
        columns: &[
            Column::new("vehicle_id", Type::Text, "车辆", "The vehicle."),
            Column::new("ts", Type::Time, "定位时间", "Event time of the fix."),
            Column::new("lon", Type::Float, "经度", "WGS-84.").unit("°"),
            Column::new("lat", Type::Float, "纬度", "WGS-84.").unit("°"),
            Column::new("speed", Type::Float, "速度", "As the device reports it.").nullable().unit("km/h"),
            Column::new("heading", Type::Float, "方向", "Clockwise from north.").nullable().unit("°"),
            Column::new("working", Type::Bool, "作业", "Brush, pump or nozzle on.").nullable(),
        ],
        bounded_by: "fixes within the track retention",
    },
    render: |context, id| {
        let (settings, retention) = (Arc::clone(&context.settings), context.settings.track_retention_ms);
        let since = move |fix: &TrackFix| super::kept_from(&settings, retention, fix.ts);
        // The same fix sent again has another tick, which is no column here.
        let track = context.track.clone().filter(|(_, delta)| says_more(delta));
        context.publish(expire(track, "tracks", retention, since), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

impl ViewRow for TrackFix {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.vehicle));
        out.push(Value::Int(self.ts));
        out.push(Value::Float(f64::from(self.lon) / DEGREE));
        out.push(Value::Float(f64::from(self.lat) / DEGREE));
        out.push(self.speed.map_or(Value::Null, |speed| Value::Float(decimal(speed))));
        out.push(self.heading.map_or(Value::Null, |heading| Value::Float(decimal(heading))));
        out.push(self.working.map_or(Value::Null, Value::Bool));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::{Fix, Tick};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::trips::oracle::tracks;

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let kept = |fix: &Fix| {
            history.settings.track_retention_ms.is_none_or(|retention| fix.ts + retention > at as i64)
        };
        let row = |fix: Fix| {
            json!({
                "vehicle_id": history.name(fix.vehicle), "ts": fix.ts,
                "lon": f64::from(fix.lon) / 1e7, "lat": f64::from(fix.lat) / 1e7,
                "speed": fix.speed.map(f64::from), "heading": null, "working": fix.working,
            })
        };
        tracks(history, at).into_values().flatten().filter(kept).map(row).collect()
    }
}
