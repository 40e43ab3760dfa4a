//! `gps_quality`: what speaks against the positions that a vehicle's device sends.
//!
//! **Meaning.** Counts over all that the log says of the vehicle: fixes that count, and of these those out of every
//! fence that says `service_area` (none where no fence does) and the pairs of neighbours that are frozen; fixes that
//! don't count because they are jumps, at (0, 0), or ahead of their tick. `speed_ratio` is reported speed against
//! distance by time over pairs in movement, null before there are 30; `unit` names the unit that the device seems to
//! report instead of km/h. Of a sample of the fixes in movement `near_road` is the share beside a road; `datum` names the
//! reference system that the numbers seem to be in instead of what the record says, when in that system
//! `near_road_in_datum` are, which is clearly more (`fleet::datum`). Out of which area and what is a jump is judged as
//! things are now, what is beside a road as of the fix.
//!
//! **Mechanism.** The operator of [`crate::journeys`]; a fix changes the sums by its two pairs.
//!
//! **State.** One row of counts per vehicle heard.

use model::{Column, Sym, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use tracks::quality::{Pairs, Unit};

use super::View;
use crate::fleet::datum::{Beside, Datum};
use crate::fleet::districts::ratio;
use crate::operators::delta::Keyed;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "gps_quality",
        zh: "定位质量",
        doc: "What speaks against the positions that a vehicle's device sends.",
        key: 1,
        columns: &[
            Column::new("vehicle_id", Type::Text, "车辆", "The vehicle."),
            Column::new("fixes", Type::Int, "有效定位", "Fixes that count."),
            Column::new("out_of_area", Type::Int, "越界", "Of these, out of the service area."),
            Column::new(
                "frozen",
                Type::Int,
                "定位冻结",
                "Neighbours at one place while both report movement.",
            ),
            Column::new("jumps", Type::Int, "漂移", "Fixes that are too fast from those before them."),
            Column::new("zeros", Type::Int, "零坐标", "Fixes at (0, 0)."),
            Column::new("future", Type::Int, "超前时钟", "Fixes ahead of their tick."),
            Column::new("moving_pairs", Type::Int, "比速样本", "Neighbours that compare speeds."),
            Column::new("speed_ratio", Type::Float, "速度比", "Reported speed by distance over time.")
                .nullable(),
            Column::new("unit", Type::Text, "疑似单位", "What it seems to report instead of km/h.")
                .nullable(),
            Column::new(
                "road_samples",
                Type::Int,
                "近路样本",
                "Fixes in movement that are compared with roads.",
            ),
            Column::new("near_road", Type::Float, "近路比例", "Share of these beside a road, 0 to 1.")
                .nullable(),
            Column::new(
                "datum",
                Type::Text,
                "疑似坐标系",
                "What the numbers seem to be in instead: gcj02, bd09, wgs84.",
            )
            .nullable(),
            Column::new("near_road_in_datum", Type::Float, "换算后近路比例", "The share if they are.")
                .nullable(),
        ],
        bounded_by: "the number of vehicles heard",
    },
    render: |context, id| context.publish(context.journeys.quality.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// What is counted of one vehicle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Fixes that count.
    pub fixes: i64,
    /// Of these, out of the service area.
    pub out_of_area: i64,
    /// Jumps.
    pub jumps: i64,
    /// At (0, 0).
    pub zeros: i64,
    /// Ahead of their tick.
    pub future: i64,
    /// Sums over neighbours.
    pub pairs: Pairs,
    /// Fixes beside roads.
    pub beside: Beside,
}

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QualityRow {
    /// The vehicle.
    pub vehicle: Sym,
    /// Its counts, in the order of the columns.
    pub counts: [i64; 7],
    /// Reported speed by distance over time.
    pub ratio: Option<f64>,
    /// The unit that it seems to report.
    pub unit: Option<Unit>,
    /// Fixes that are compared with roads.
    pub road_samples: i64,
    /// Share of these beside a road.
    pub near_road: Option<f64>,
    /// The reference system that they seem to be in, and the share beside a road if they are.
    pub datum: Option<(Datum, f64)>,
}

impl QualityRow {
    /// The row of a vehicle; none before anything was heard of it.
    pub fn of(vehicle: Sym, counts: &Counts) -> Option<Self> {
        let &Counts { fixes, out_of_area, jumps, zeros, future, pairs, beside } = counts;
        (*counts != Counts::default()).then(|| Self {
            vehicle,
            counts: [fixes, out_of_area, pairs.frozen, jumps, zeros, future, pairs.moving],
            ratio: pairs.ratio(),
            unit: pairs.unit(),
            road_samples: beside.sampled,
            near_road: ratio(beside.as_said, beside.sampled),
            datum: beside.suspicion(),
        })
    }
}

impl Keyed for QualityRow {
    type Key = Sym;
    fn key(&self) -> Sym {
        self.vehicle
    }
}

impl ViewRow for QualityRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.vehicle));
        out.extend(self.counts.map(Value::Int));
        out.push(self.ratio.map_or(Value::Null, Value::Float));
        out.push(self.unit.map_or(Value::Null, |unit| Value::Literal(unit.name())));
        out.push(Value::Int(self.road_samples));
        out.push(self.near_road.map_or(Value::Null, Value::Float));
        out.push(self.datum.map_or(Value::Null, |(datum, _)| Value::Literal(datum.name())));
        out.push(self.datum.map_or(Value::Null, |(_, share)| Value::Float(share)));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::crs::{Crs, wgs84_to_gcj02};
    use model::reference::road::RoadRef;
    use model::{Row, Sym, Tick};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::trips::oracle::{fences, inside, metres};
    use crate::views::{road_coverage, vehicles};

    /// Whether any of the roads is within 12 m of a place in degrees.
    fn beside(roads: &BTreeMap<Sym, RoadRef>, (lon, lat): (f64, f64)) -> bool {
        let place = ((lon * 1e7).round() as i32, (lat * 1e7).round() as i32);
        let scale = matching::geo::Scale::at(place.1);
        let near = |ends: &[(i32, i32)]| matching::geo::project(&scale, place, ends[0], ends[1]).1 <= 12_000;
        roads.values().any(|road| road.points.windows(2).any(near))
    }

    /// How many fixes are compared with roads, and how many of these lie beside one: as they are, and read otherwise.
    fn beside_roads(history: &History, at: Tick) -> BTreeMap<String, [i64; 5]> {
        let first = history.ticks(at).find(|tick| !road_coverage::oracle::roads(history, *tick).is_empty());
        let mut all: BTreeMap<String, [i64; 5]> = BTreeMap::new();
        for (vehicle, track) in vehicles::oracle::tracks(history, at) {
            for (tick, fix, jump) in track {
                let hash = u64::from_ne_bytes(fix.ts.to_ne_bytes()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let sampled = (hash >> 32) % 65_536 < 8192;
                let known = first.is_some_and(|first| first <= tick);
                if jump || !sampled || !known || fix.speed.is_some_and(|speed| speed < 5.0) {
                    continue;
                }
                let (lon, lat) = (f64::from(fix.lon) / 1e7, f64::from(fix.lat) / 1e7);
                let (gcj02, bd09) = (Crs::Gcj02.to_wgs84(lon, lat), Crs::Bd09.to_wgs84(lon, lat));
                let counts = all.entry(history.name(vehicle).to_owned()).or_default();
                counts[0] += 1;
                let read = [(lon, lat), gcj02, bd09, wgs84_to_gcj02(lon, lat)];
                let roads = road_coverage::oracle::roads(history, tick);
                for (count, place) in counts[1..].iter_mut().zip(read) {
                    *count += i64::from(beside(&roads, place));
                }
            }
        }
        all
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let areas: Vec<_> = fences(history, at).into_values().filter(|fence| fence.service_area).collect();
        // By vehicle: fixes, out of area, frozen, jumps, zeros, future, moving, reported, went.
        let mut counts: BTreeMap<String, [i64; 9]> = BTreeMap::new();
        for (vehicle, track) in vehicles::oracle::tracks(history, at) {
            let count = counts.entry(history.name(vehicle).to_owned()).or_default();
            count[3] = track.iter().filter(|(.., jump)| *jump).count() as i64;
            let track: Vec<_> = track.into_iter().filter(|(.., jump)| !jump).map(|(_, fix, _)| fix).collect();
            count[0] = track.len() as i64;
            let out = |fix: &&model::Fix| !areas.iter().any(|area| inside(area, (fix.lon, fix.lat)));
            count[1] = if areas.is_empty() { 0 } else { track.iter().filter(out).count() as i64 };
            for pair in track.windows(2) {
                let (a, b) = (&pair[0], &pair[1]);
                let (Some(va), Some(vb)) = (a.speed.map(f64::from), b.speed.map(f64::from)) else { continue };
                if (a.lon, a.lat) == (b.lon, b.lat) {
                    count[2] += i64::from(va >= 5.0 && vb >= 5.0);
                    continue;
                }
                let mm = (metres((a.lon, a.lat), (b.lon, b.lat)) * 1000.0).round();
                let ms = (b.ts - a.ts) as f64;
                if ms <= 30_000.0 && mm / 1e6 / (ms / 3.6e6) >= 10.0 {
                    count[6] += 1;
                    count[7] += ((va + vb) / 2.0 * 1000.0).round() as i64 * (b.ts - a.ts);
                    count[8] += mm as i64 * 3600;
                }
            }
        }
        for (_, row) in history.until(at) {
            let Row::Rejected(refused) = row else { continue };
            let Ok(payload) = serde_json::from_str::<Json>(&refused.payload) else { continue };
            let Some(vehicle) = payload["vehicle_id"].as_str() else { continue };
            let place = if refused.reason.starts_with("implausible_zero:") {
                4
            } else if refused.reason.starts_with("implausible_future:") {
                5
            } else {
                continue;
            };
            counts.entry(vehicle.to_owned()).or_default()[place] += 1;
        }
        let beside = beside_roads(history, at);
        let row = |(vehicle, n): (String, [i64; 9])| {
            let [samples, as_said, instead @ ..] = beside.get(&vehicle).copied().unwrap_or_default();
            let share = |n: i64| (samples > 0).then(|| n as f64 / samples as f64);
            let best = *instead.iter().max().unwrap();
            let clearly = samples >= 50 && (best - as_said) * 10 >= samples * 3;
            let which = instead.iter().position(|n| *n == best).filter(|_| clearly);
            let datum = which.map(|which| ["gcj02", "bd09", "wgs84"][which]);
            let ratio = (n[6] >= 30).then(|| n[7] as f64 / n[8] as f64);
            let near = |unit: f64| ratio.is_some_and(|ratio| (ratio / unit).ln().abs() <= 1.06_f64.ln());
            let units =
                [("mph", 1000.0 / 1609.344), ("knots", 1000.0 / 1852.0), ("m/s", 1.0 / 3.6), ("x3.6", 3.6)];
            let unit = units.iter().find(|(_, unit)| near(*unit)).map(|(name, _)| *name);
            json!({
                "vehicle_id": vehicle, "fixes": n[0], "out_of_area": n[1], "frozen": n[2], "jumps": n[3], "zeros": n[4],
                "future": n[5], "moving_pairs": n[6], "speed_ratio": ratio, "unit": unit,
                "road_samples": samples, "near_road": share(as_said), "datum": datum,
                "near_road_in_datum": datum.and_then(|_| share(best)),
            })
        };
        counts.into_iter().map(row).collect()
    }
}
