//! `trips`: every trip of every vehicle, from the end of a stop to the beginning of the next.
//!
//! **Meaning.** What a trip is stands in the crate `tracks`, module `trip`. A trip is provisional while the vehicle has
//! not stopped and is not silent; a late fix re-dates, splits, merges or withdraws trips. Places are fences that say
//! `place`, the smallest around the end; limits of speed come from the fences around a fix, else the vehicle's record,
//! else the setting. Distances are sums of whole mm over the intervals in which it moved.
//!
//! **Mechanism.** The operator of [`crate::journeys`].
//!
//! **State.** Trips within the journey retention.

use std::sync::Arc;

use model::rows::DEGREE;
use model::{Column, Sym, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use tracks::FenceId;
use tracks::trip::Trip;

use super::View;
use crate::operators::delta::Keyed;
use crate::operators::park::expire;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "trips",
        zh: "行程",
        doc: "A trip of a vehicle, from the end of a stop to the beginning of the next.",
        key: 2,
        columns: &[
            Column::new("vehicle_id", Type::Text, "车辆", "The vehicle."),
            Column::new("start_ts", Type::Time, "出发时间", "Its first fix."),
            Column::new("end_ts", Type::Time, "到达时间", "Its last fix, so far while it is provisional."),
            Column::new("distance", Type::Float, "里程", "Length of the way.").unit("m"),
            Column::new(
                "working_distance",
                Type::Float,
                "作业里程",
                "Of this with brush, pump or nozzle on.",
            )
            .unit("m"),
            Column::new("idle", Type::Float, "怠速时长", "Rest within the trip.").unit("s"),
            Column::new("top_speed", Type::Float, "最高车速", "Greatest speed at a fix.").unit("km/h"),
            Column::new(
                "overspeed_count",
                Type::Int,
                "超速次数",
                "Excesses of the limit that lasted long enough.",
            ),
            Column::new("overspeed", Type::Float, "超速时长", "How long they lasted together.").unit("s"),
            Column::new("fixes", Type::Int, "定位点数", "Fixes, both ends included."),
            Column::new("start_lon", Type::Float, "起点经度", "WGS-84.").unit("°"),
            Column::new("start_lat", Type::Float, "起点纬度", "WGS-84.").unit("°"),
            Column::new("lon", Type::Float, "终点经度", "WGS-84.").unit("°"),
            Column::new("lat", Type::Float, "终点纬度", "WGS-84.").unit("°"),
            Column::new("start_place", Type::Text, "起点", "The fence that it began in.").nullable(),
            Column::new("place", Type::Text, "终点", "The fence that it ended in.").nullable(),
            Column::new("provisional", Type::Bool, "未结束", "Whether it may still go on."),
        ],
        bounded_by: "trips within the journey retention",
    },
    render: |context, id| {
        let retention = super::journey_retention(&context.settings);
        let settings = Arc::clone(&context.settings);
        let since = move |row: &TripRow| super::kept_from(&settings, retention, row.trip.end_ts);
        context.publish(expire(context.journeys.trips.clone(), "trips", retention, since), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TripRow {
    /// The vehicle.
    pub vehicle: Sym,
    /// Its trip.
    pub trip: Trip,
}

impl Keyed for TripRow {
    type Key = (Sym, i64);
    fn key(&self) -> (Sym, i64) {
        (self.vehicle, self.trip.start_ts)
    }
}

/// The fence that names a place; null where none does.
pub(super) fn place(fence: Option<FenceId>) -> Value {
    fence.map_or(Value::Null, |fence| Value::Name(Sym(fence)))
}

/// ms as s.
pub(super) fn seconds(ms: i64) -> Value {
    Value::Float(ms as f64 / 1000.0)
}

impl ViewRow for TripRow {
    fn values(&self, out: &mut Vec<Value>) {
        let trip = &self.trip;
        let degrees = |tenths: i32| Value::Float(f64::from(tenths) / DEGREE);
        out.push(Value::Name(self.vehicle));
        out.push(Value::Int(trip.start_ts));
        out.push(Value::Int(trip.end_ts));
        out.push(Value::Float(trip.distance_mm as f64 / 1000.0));
        out.push(Value::Float(trip.working_mm as f64 / 1000.0));
        out.push(seconds(trip.idle_ms));
        out.push(Value::Float(trip.top_speed as f64 / 10.0));
        out.push(Value::Int(trip.excesses));
        out.push(seconds(trip.excess_ms));
        out.push(Value::Int(trip.fixes));
        out.push(degrees(trip.from.lon));
        out.push(degrees(trip.from.lat));
        out.push(degrees(trip.to.lon));
        out.push(degrees(trip.to.lat));
        out.push(place(trip.from_place));
        out.push(place(trip.to_place));
        out.push(Value::Bool(trip.provisional));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::reference::fence::{FenceRef, FenceShape};
    use model::{Fix, Kind, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{reference, vehicles};

    /// Fixes that count, by vehicle, in order of event time.
    pub(crate) fn tracks(history: &History, at: Tick) -> BTreeMap<Sym, Vec<Fix>> {
        let counted = |track: Vec<(Tick, Fix, bool)>| {
            track.into_iter().filter(|(.., jump)| !jump).map(|(_, fix, _)| fix).collect()
        };
        vehicles::oracle::tracks(history, at).into_iter().map(|(id, track)| (id, counted(track))).collect()
    }

    /// m on the plane that touches the sphere half way between two places in 10⁻⁷ degrees.
    pub(crate) fn metres(a: (i32, i32), b: (i32, i32)) -> f64 {
        let degree = 6_371_008.8 * std::f64::consts::PI / 180.0;
        let [lon_a, lat_a, lon_b, lat_b] = [a.0, a.1, b.0, b.1].map(|tenths| f64::from(tenths) / 1e7);
        let east = (lon_b - lon_a) * degree * ((lat_a + lat_b) / 2.0).to_radians().cos();
        let north = (lat_b - lat_a) * degree;
        (east * east + north * north).sqrt()
    }

    /// The fences in force.
    pub(crate) fn fences(history: &History, at: Tick) -> BTreeMap<Sym, FenceRef> {
        let typed = reference::oracle::typed(history, at, Kind::Fence).into_iter();
        typed
            .filter_map(|(id, typed)| match typed {
                Typed::Fence(fence) => Some((id, *fence)),
                _ => None,
            })
            .collect()
    }

    /// Whether a place is inside, by the number of edges to the east of it.
    pub(crate) fn inside(fence: &FenceRef, (lon, lat): (i32, i32)) -> bool {
        let FenceShape::Area(rings) = &fence.shape else { return false };
        let mut crossings = 0;
        for ring in rings {
            for (i, a) in ring.iter().enumerate() {
                let b = ring[(i + 1) % ring.len()];
                if (a.1 > lat) != (b.1 > lat) {
                    let share = (f64::from(lat) - f64::from(a.1)) / (f64::from(b.1) - f64::from(a.1));
                    let east = f64::from(a.0) + share * (f64::from(b.0) - f64::from(a.0));
                    crossings += usize::from(east > f64::from(lon));
                }
            }
        }
        crossings % 2 == 1
    }

    /// Area of the largest ring, in square degrees: enough to compare neighbours.
    fn size(fence: &FenceRef) -> f64 {
        let FenceShape::Area(rings) = &fence.shape else { return f64::MAX };
        let area = |ring: &Vec<(i32, i32)>| {
            let twice: f64 = (0..ring.len())
                .map(|i| {
                    let (a, b) = (ring[i], ring[(i + 1) % ring.len()]);
                    let [ax, ay, bx, by] = [a.0, a.1, b.0, b.1].map(|tenths| f64::from(tenths) - 1e9);
                    (ax * by - bx * ay) / 1e14
                })
                .sum();
            twice.abs()
        };
        rings.iter().map(area).fold(0.0, f64::max)
    }

    /// What the fences, the record and the settings say of one vehicle at a place: the fence that names it, the limit.
    pub(crate) struct Around<'a> {
        pub(crate) history: &'a History,
        pub(crate) limit: Option<f64>,
        pub(crate) fences: BTreeMap<Sym, FenceRef>,
    }

    impl Around<'_> {
        pub(crate) fn of<'a>(history: &'a History, at: Tick, vehicle: Sym) -> Around<'a> {
            let known = match reference::oracle::typed(history, at, Kind::Vehicle).remove(&vehicle) {
                Some(Typed::Vehicle(known)) => known,
                _ => Default::default(),
            };
            let mut fences = fences(history, at);
            fences.retain(|_, fence| {
                (fence.vehicles.is_empty() && fence.fleets.is_empty())
                    || fence.vehicles.contains(&vehicle)
                    || (known.fleet != Sym::EMPTY && fence.fleets.contains(&known.fleet))
            });
            Around { history, limit: known.speed_limit_kmh, fences }
        }

        pub(crate) fn place(&self, fix: &Fix) -> Option<Sym> {
            let mut places: Vec<_> = self
                .fences
                .iter()
                .filter(|(_, fence)| fence.place && inside(fence, (fix.lon, fix.lat)))
                .map(|(id, fence)| (size(fence), self.history.name(*id).to_owned(), *id))
                .collect();
            places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            places.first().map(|(.., id)| *id)
        }

        fn limit(&self, fix: &Fix) -> f64 {
            let around = self.fences.values().filter(|fence| inside(fence, (fix.lon, fix.lat)));
            around
                .filter_map(|fence| fence.speed_limit_kmh)
                .reduce(f64::min)
                .or(self.limit)
                .unwrap_or(self.history.settings.journeys.speed_limit_kmh)
        }
    }

    /// What lies between fix i − 1 and fix i.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) enum Interval {
        Rest,
        Moving,
        Break,
    }

    pub(crate) fn intervals(history: &History, track: &[Fix]) -> Vec<Interval> {
        let params = &history.settings.journeys;
        track
            .windows(2)
            .map(|pair| {
                let (a, b) = (&pair[0], &pair[1]);
                let m = metres((a.lon, a.lat), (b.lon, b.lat));
                let hours = (b.ts - a.ts) as f64 / 3.6e6;
                if b.ts - a.ts > params.gap_ms {
                    return if m > params.parked_m { Interval::Break } else { Interval::Rest };
                }
                let slow = ((m - params.accuracy_m) / 1000.0 / hours) < params.rest_below_kmh;
                let agrees =
                    b.speed.map_or(b.working != Some(true), |kmh| f64::from(kmh) < params.rest_below_kmh);
                if slow && agrees { Interval::Rest } else { Interval::Moving }
            })
            .collect()
    }

    /// Trips and stops as spans of fixes, and whether they reach the end of the track.
    #[derive(Default, Debug)]
    pub(crate) struct Parts {
        pub(crate) trips: Vec<(usize, usize)>,
        pub(crate) stops: Vec<(usize, usize)>,
    }

    /// The way between two fixes of the track, mm, over the intervals in which it moved.
    fn way(track: &[Fix], intervals: &[Interval], from: usize, to: usize) -> i64 {
        let mm = |i: usize| {
            let (a, b) = (&track[i], &track[i + 1]);
            (metres((a.lon, a.lat), (b.lon, b.lat)) * 1000.0).round() as i64
        };
        (from..to).filter(|i| intervals[*i] == Interval::Moving).map(mm).sum()
    }

    pub(crate) fn parts(history: &History, track: &[Fix]) -> Parts {
        let params = &history.settings.journeys;
        let intervals = intervals(history, track);
        let mut parts = Parts::default();
        // The track falls apart at breaks.
        let mut from = 0;
        for to in 0..track.len() {
            if to + 1 < track.len() && intervals[to] != Interval::Break {
                continue;
            }
            // Stays: runs of rest that are long enough.
            let mut stays: Vec<(usize, usize)> = Vec::new();
            let mut i = from;
            while i < to {
                let start = i;
                while i < to && intervals[i] == Interval::Rest {
                    i += 1;
                }
                if i > start && track[i].ts - track[start].ts >= params.stop_ms {
                    stays.push((start, i));
                }
                i += 1;
            }
            let far = |from: usize, to: usize| {
                way(track, &intervals, from, to) as f64 >= params.trip_min_m * 1000.0
            };
            // Stays with no trip between them are one stop.
            let mut stops: Vec<(usize, usize)> = Vec::new();
            for stay in stays {
                match stops.last_mut() {
                    Some(last) if !far(last.1, stay.0) => last.1 = stay.1,
                    _ => stops.push(stay),
                }
            }
            let mut legs = Vec::new();
            let mut at = from;
            for stop in &stops {
                legs.push((at, stop.0));
                at = stop.1;
            }
            legs.push((at, to));
            parts.trips.extend(legs.into_iter().filter(|(from, to)| far(*from, *to)));
            parts.stops.extend(stops);
            from = to + 1;
        }
        parts
    }

    /// Whether what reaches the fix at index `to` is still going on.
    pub(crate) fn going_on(history: &History, at: Tick, track: &[Fix]) -> bool {
        track.last().is_some_and(|last| at as i64 - last.ts <= history.settings.journeys.gap_ms)
    }

    fn excesses(history: &History, around: &Around<'_>, track: &[Fix], from: usize, to: usize) -> (i64, i64) {
        let params = &history.settings.journeys;
        let intervals = intervals(history, track);
        let fast = |i: usize| {
            let (a, b) = (&track[i - 1], &track[i]);
            let derived = metres((a.lon, a.lat), (b.lon, b.lat)) / (b.ts - a.ts) as f64 * 3600.0;
            intervals[i - 1] == Interval::Moving && b.speed.map_or(derived, f64::from) > around.limit(b)
        };
        let (mut n, mut ms) = (0, 0);
        let mut i = from + 1;
        while i <= to {
            if !fast(i) {
                i += 1;
                continue;
            }
            let start = i;
            while i < to && fast(i + 1) && track[i + 1].ts - track[i].ts <= params.hole_ms {
                i += 1;
            }
            let lasted = track[i].ts - track[start].ts;
            if lasted >= params.overspeed_ms {
                n += 1;
                ms += lasted;
            }
            i += 1;
        }
        (n, ms)
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut rows = Vec::new();
        for (vehicle, track) in tracks(history, at) {
            let around = Around::of(history, at, vehicle);
            let intervals = intervals(history, &track);
            for (from, to) in parts(history, &track).trips {
                let inner = from..to;
                let speed = |i: usize| {
                    let (a, b) = (&track[i], &track[i + 1]);
                    let derived = metres((a.lon, a.lat), (b.lon, b.lat)) / (b.ts - a.ts) as f64 * 3600.0;
                    (b.speed.map_or(derived, f64::from) * 10.0).round()
                };
                let moving = || inner.clone().filter(|i| intervals[*i] == Interval::Moving);
                let working =
                    |i: &usize| track[*i].working == Some(true) && track[*i + 1].working == Some(true);
                let working: i64 = moving().filter(working).map(|i| way(&track, &intervals, i, i + 1)).sum();
                let idle: i64 = inner
                    .clone()
                    .filter(|i| intervals[*i] == Interval::Rest)
                    .map(|i| track[i + 1].ts - track[i].ts)
                    .sum();
                let (n, ms) = excesses(history, &around, &track, from, to);
                let name = |place: Option<Sym>| place.map_or(Json::Null, |id| history.name(id).into());
                let end = track.len() - 1;
                rows.push(json!({
                    "vehicle_id": history.name(vehicle), "start_ts": track[from].ts, "end_ts": track[to].ts,
                    "distance": way(&track, &intervals, from, to) as f64 / 1000.0,
                    "working_distance": working as f64 / 1000.0, "idle": idle as f64 / 1000.0,
                    "top_speed": moving().map(speed).fold(0.0, f64::max) / 10.0,
                    "overspeed_count": n, "overspeed": ms as f64 / 1000.0, "fixes": to - from + 1,
                    "start_lon": f64::from(track[from].lon) / 1e7, "start_lat": f64::from(track[from].lat) / 1e7,
                    "lon": f64::from(track[to].lon) / 1e7, "lat": f64::from(track[to].lat) / 1e7,
                    "start_place": name(around.place(&track[from])), "place": name(around.place(&track[to])),
                    "provisional": to == end && going_on(history, at, &track),
                }));
            }
        }
        rows.retain(|row| kept(history, at, row["end_ts"].as_i64().unwrap()));
        rows
    }

    /// Whether what ended then is within the retention.
    pub(crate) fn kept(history: &History, at: Tick, ended: i64) -> bool {
        history.settings.journey_retention_ms.is_none_or(|retention| ended + retention > at as i64)
    }
}
