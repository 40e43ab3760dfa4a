//! `fence_events`: who was in which fence and for how long, who left a planned route, and who never came.
//!
//! **Meaning.** The kinds are those of the crate `tracks`, module `visit`: a *visit* begins and ends at the moments at
//! which the way between two fixes crosses the boundary, once a fix beyond the margin makes it certain; a *passage* goes
//! through between two fixes; a *deviation* is off a planned route; *missed* is a planned window, ended by T, in which
//! the vehicle had neither visit nor passage. Windows count from the vehicle's first fix on. A visit goes on, and is
//! provisional, until the vehicle is seen to have left, however long it is silent.
//!
//! **Mechanism.** The operator of [`crate::journeys`].
//!
//! **State.** Events within the journey retention.

use std::sync::Arc;

use model::{Column, Sym, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use tracks::visit::Event;

use super::View;
use super::trips::seconds;
use crate::operators::delta::Keyed;
use crate::operators::park::expire;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "fence_events",
        zh: "围栏事件",
        doc: "Who was in which fence and for how long, who left a planned route, and who never came.",
        key: 4,
        columns: &[
            Column::new("vehicle_id", Type::Text, "车辆", "The vehicle."),
            Column::new("fence", Type::Text, "围栏", "The fence."),
            Column::new("kind", Type::Text, "类型", "visit, passage, deviation or missed."),
            Column::new(
                "start_ts",
                Type::Time,
                "进入时间",
                "Entered, or left the route, or the window began.",
            ),
            Column::new("end_ts", Type::Time, "离开时间", "Left; null while it is there.").nullable(),
            Column::new("dwell", Type::Float, "停留时长", "Between the two, or up to the last fix.")
                .unit("s"),
            Column::new(
                "overstay",
                Type::Bool,
                "超时停留",
                "Whether it lasted longer than the fence allows.",
            ),
            Column::new("provisional", Type::Bool, "未结束", "Whether it may still go on."),
        ],
        bounded_by: "events within the journey retention, and visits that go on",
    },
    render: |context, id| {
        let retention = super::journey_retention(&context.settings);
        // What goes on doesn't expire.
        let settings = Arc::clone(&context.settings);
        let since = move |row: &EventRow| match row.event.end_ts {
            Some(end) => super::kept_from(&settings, retention, end),
            None => NEVER,
        };
        context.publish(expire(context.journeys.events.clone(), "fence_events", retention, since), id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A tick that no retention reaches, and that no retention added to it overflows.
const NEVER: u64 = u64::MAX / 2;

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// The vehicle.
    pub vehicle: Sym,
    /// What happened.
    pub event: Event,
}

impl Keyed for EventRow {
    type Key = (Sym, u32, tracks::visit::Kind, i64);
    fn key(&self) -> Self::Key {
        (self.vehicle, self.event.fence, self.event.kind, self.event.start_ts)
    }
}

impl ViewRow for EventRow {
    fn values(&self, out: &mut Vec<Value>) {
        let event = &self.event;
        out.push(Value::Name(self.vehicle));
        out.push(Value::Name(Sym(event.fence)));
        out.push(Value::Literal(event.kind.name()));
        out.push(Value::Int(event.start_ts));
        out.push(event.end_ts.map_or(Value::Null, Value::Int));
        out.push(seconds(event.known_ts - event.start_ts));
        out.push(Value::Bool(event.overstay));
        out.push(Value::Bool(event.provisional));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use model::reference::fence::{FenceRef, FenceShape};
    use model::{Fix, Sym, Tick};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::trips::oracle::{Around, Interval, fences, inside, intervals, kept, metres, tracks};

    type Lines = Vec<Vec<(i32, i32)>>;

    /// All edges of a shape; rings are closed.
    fn edges(fence: &FenceRef) -> Vec<((i32, i32), (i32, i32))> {
        let (lines, closed): (&Lines, bool) = match &fence.shape {
            FenceShape::Area(rings) => (rings, true),
            FenceShape::Route(lines, _) => (lines, false),
            FenceShape::Circle(..) => panic!("histories have no circles"),
        };
        let mut edges = Vec::new();
        for line in lines {
            let n = if closed { line.len() } else { line.len() - 1 };
            edges.extend((0..n).map(|i| (line[i], line[(i + 1) % line.len()])));
        }
        edges.retain(|(a, b)| a != b);
        edges
    }

    /// m per 10⁻⁷ degrees to the east and to the north, in the middle of the fence.
    fn scale(fence: &FenceRef) -> (f64, f64) {
        let lats: Vec<f64> =
            edges(fence).iter().flat_map(|(a, b)| [f64::from(a.1), f64::from(b.1)]).collect();
        let (low, high) =
            (lats.iter().copied().fold(f64::MAX, f64::min), lats.iter().copied().fold(f64::MIN, f64::max));
        let north = 6_371_008.8 * std::f64::consts::PI / 180.0 / 1e7;
        (north * ((low + high) / 2.0 / 1e7).to_radians().cos(), north)
    }

    /// Least distance to the boundary or the line, m.
    fn to_edge(fence: &FenceRef, (lon, lat): (i32, i32)) -> f64 {
        let (east, north) = scale(fence);
        let local = |p: (i32, i32)| {
            ((f64::from(p.0) - f64::from(lon)) * east, (f64::from(p.1) - f64::from(lat)) * north)
        };
        let mut least = f64::MAX;
        for (a, b) in edges(fence) {
            let ((ax, ay), (bx, by)) = (local(a), local(b));
            let (dx, dy) = (bx - ax, by - ay);
            let along = (-(ax * dx + ay * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            let (x, y) = (ax + along * dx, ay + along * dy);
            least = least.min((x * x + y * y).sqrt());
        }
        least
    }

    fn margin(history: &History, fence: &FenceRef) -> f64 {
        let wanted = fence.margin_m.unwrap_or(history.settings.journeys.accuracy_m);
        let FenceShape::Area(rings) = &fence.shape else { return wanted.max(0.5) };
        let (east, north) = scale(fence);
        let area = |ring: &Vec<(i32, i32)>| {
            let at = |i: usize| {
                let p = ring[i % ring.len()];
                (
                    (f64::from(p.0) - f64::from(ring[0].0)) * east,
                    (f64::from(p.1) - f64::from(ring[0].1)) * north,
                )
            };
            let twice: f64 = (0..ring.len()).map(|i| at(i).0 * at(i + 1).1 - at(i + 1).0 * at(i).1).sum();
            twice.abs() / 2.0
        };
        let largest = rings.iter().map(area).fold(0.0, f64::max);
        wanted.min(largest.sqrt() / 4.0).max(0.5)
    }

    /// Where the way from `a` to `b` crosses edges, as shares of it, ascending.
    fn crossings(fence: &FenceRef, a: &Fix, b: &Fix) -> Vec<f64> {
        let mut shares = Vec::new();
        let (ax, ay, bx, by) = (i128::from(a.lon), i128::from(a.lat), i128::from(b.lon), i128::from(b.lat));
        for ((cx, cy), (dx, dy)) in edges(fence) {
            let (cx, cy, dx, dy) = (i128::from(cx), i128::from(cy), i128::from(dx), i128::from(dy));
            let of_edge = |x: i128, y: i128| (dx - cx) * (y - cy) - (dy - cy) * (x - cx);
            let of_way = |x: i128, y: i128| (bx - ax) * (y - ay) - (by - ay) * (x - ax);
            let (from, to) = (of_edge(ax, ay), of_edge(bx, by));
            if (from > 0) != (to > 0) && (of_way(cx, cy) > 0) != (of_way(dx, dy) > 0) {
                shares.push(from as f64 / (from as f64 - to as f64));
            }
        }
        shares.sort_by(f64::total_cmp);
        shares
    }

    /// What one vehicle did at one area: kind, start, end, known until.
    fn at_area(
        history: &History,
        fence: &FenceRef,
        pieces: &[&[Fix]],
    ) -> Vec<(&'static str, i64, Option<i64>, i64)> {
        let margin = margin(history, fence);
        let params = &history.settings.journeys;
        let mut events = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            let is: Vec<bool> = piece.iter().map(|fix| inside(fence, (fix.lon, fix.lat))).collect();
            let near: Vec<bool> =
                piece.iter().map(|fix| to_edge(fence, (fix.lon, fix.lat)) < margin).collect();
            let moment = |i: usize, share: f64| {
                let (a, b) = (piece[i - 1].ts, piece[i].ts);
                a + ((b - a) as f64 * share).round() as i64
            };
            // When it crossed last, seen from fix i: looking back over the fixes on the same side.
            let crossed = |i: usize, visiting: bool| {
                for j in (1..=i).rev() {
                    let shares = crossings(fence, &piece[j - 1], &piece[j]);
                    match (is[j - 1], is[j]) {
                        (false, true) => return moment(j, shares.last().copied().unwrap_or(1.0)),
                        (true, false) => return moment(j, shares.first().copied().unwrap_or(0.0)),
                        _ => {}
                    }
                }
                let _ = visiting;
                piece[0].ts
            };
            let mut since: Option<i64> = is[0].then_some(piece[0].ts);
            for i in 1..piece.len() {
                let dt = piece[i].ts - piece[i - 1].ts;
                if !is[i - 1] && !is[i] && since.is_none() && dt <= params.hole_ms {
                    let shares = crossings(fence, &piece[i - 1], &piece[i]);
                    if let (Some(first), Some(last)) = (shares.first(), shares.last()) {
                        let way = metres((piece[i - 1].lon, piece[i - 1].lat), (piece[i].lon, piece[i].lat));
                        if way * (last - first) >= 2.0 * margin {
                            let (from, to) = (moment(i, *first), moment(i, *last));
                            events.push(("passage", from, Some(to), to));
                        }
                    }
                }
                if near[i] {
                    continue;
                }
                match (since, is[i]) {
                    (None, true) => since = Some(crossed(i, true)),
                    (Some(from), false) => {
                        let to = crossed(i, false);
                        events.push(("visit", from, Some(to), to));
                        since = None;
                    }
                    _ => {}
                }
            }
            if let Some(from) = since {
                let last = piece.len() - 1;
                if n + 1 == pieces.len() {
                    events.push(("visit", from, None, piece[last].ts));
                } else {
                    let to = if is[last] { piece[last].ts } else { crossed(last, false) };
                    events.push(("visit", from, Some(to), to));
                }
            }
        }
        events
    }

    /// Start and end of the planned windows of `vehicle` at `fence` that touch `[from, to]`.
    fn windows(history: &History, fence: &FenceRef, vehicle: Sym, from: i64, to: i64) -> Vec<(i64, i64)> {
        let offset = i64::from(history.settings.journeys.utc_offset_min) * 60_000;
        let mut all = Vec::new();
        for plan in fence.plan.iter().filter(|plan| plan.vehicle == vehicle) {
            let mut midnight = (from + offset) / 86_400_000 * 86_400_000 - 86_400_000 - offset;
            while midnight <= to {
                let span = (midnight + i64::from(plan.from) * 1000, midnight + i64::from(plan.to) * 1000);
                all.push(span);
                midnight += 86_400_000;
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn pieces<'a>(history: &History, track: &'a [Fix]) -> Vec<&'a [Fix]> {
        let mut pieces = Vec::new();
        let mut from = 0;
        for (i, interval) in intervals(history, track).into_iter().enumerate() {
            if interval == Interval::Break {
                pieces.push(&track[from..=i]);
                from = i + 1;
            }
        }
        pieces.push(&track[from..]);
        pieces
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let params = &history.settings.journeys;
        let mut rows = Vec::new();
        for (vehicle, track) in tracks(history, at) {
            let Some(first) = track.first() else { continue };
            let around = Around::of(history, at, vehicle);
            let pieces = pieces(history, &track);
            let mut events: Vec<(Sym, &'static str, i64, Option<i64>, i64)> = Vec::new();
            for (id, fence) in &around.fences {
                if matches!(fence.shape, FenceShape::Area(_)) {
                    let found = at_area(history, fence, &pieces).into_iter();
                    events.extend(found.map(|(kind, from, to, known)| (*id, kind, from, to, known)));
                }
            }
            for (id, fence) in fences(history, at) {
                let all = windows(history, &fence, vehicle, first.ts, at as i64);
                let FenceShape::Route(_, width) = fence.shape else {
                    for (from, to) in all {
                        let there = events.iter().any(|(at_fence, _, start, end, _)| {
                            *at_fence == id && *start < to && end.unwrap_or(at as i64) >= from
                        });
                        if from >= first.ts && to <= at as i64 && !there {
                            events.push((id, "missed", from, Some(to), to));
                        }
                    }
                    continue;
                };
                let off = |fix: &Fix| to_edge(&fence, (fix.lon, fix.lat)) >= width + margin(history, &fence);
                for (from, to) in all {
                    for (n, piece) in pieces.iter().enumerate() {
                        let mut run: Option<(i64, i64)> = None;
                        let mut runs = Vec::new();
                        for fix in *piece {
                            if (from..to).contains(&fix.ts) && off(fix) {
                                run = Some((run.map_or(fix.ts, |(start, _)| start), fix.ts));
                            } else {
                                runs.extend(run.take().map(|run| (run, false)));
                            }
                        }
                        runs.extend(run.map(|run| (run, n + 1 == pieces.len())));
                        for ((start, end), open) in runs {
                            if end - start >= params.deviation_ms {
                                events.push((id, "deviation", start, (!open).then_some(end), end));
                            }
                        }
                    }
                }
            }
            for (id, kind, start, end, known) in events {
                let most = around.fences.get(&id).and_then(|fence| fence.max_dwell_ms);
                let overstay =
                    ["visit", "passage"].contains(&kind) && most.is_some_and(|most| known - start > most);
                if end.is_none_or(|end| kept(history, at, end)) {
                    rows.push(json!({
                        "vehicle_id": history.name(vehicle), "fence": history.name(id), "kind": kind,
                        "start_ts": start, "end_ts": end, "dwell": (known - start) as f64 / 1000.0,
                        "overstay": overstay, "provisional": end.is_none(),
                    }));
                }
            }
        }
        rows
    }
}
