//! `road_coverage`: what was swept of each road in each shift, and whether that is what was planned.
//!
//! **Meaning.** A shift on a date is the span from its start on that date of the city to its end. What counts is the
//! work of the shift's fleets (of everybody if it names none) in pieces that begin within the span. `swept_length` is
//! covered at least once; `passes`, `vehicles` and trips are as in `fleet::swept`; what is covered, as in the crate
//! `matching`: between consecutive matched fixes not a hole apart, while the device says that it works and its speed
//! is in the vehicle's band. Roads with two carriageways are two one-way roads and get what was swept on each; on
//! others `forward_length` and `backward_length` say what was swept along and against the order of the vertices, that is
//! on the right-hand and on the left-hand side. A row is there when something was swept, or when the road's plan names
//! the shift and the date is today's, the shift is on, or a fix was heard in it. A plan may want its passes within a window
//! of the shift; `passes_in_time` are made of pieces that begin in it, and `due_ts` is its end. `state` is *done* with as
//! many passes in time as planned, else *not_due* until `due_ts`, then *too_few* if the road was swept in time (to the
//! pass share, or by a pass), else *missed*. Everything can be taken back by a late fix. Roads and shifts *revise*: a road that is longer
//! has a smaller share at once, a shift that ends later takes more in. What was matched is *fixed* as of the fix.
//!
//! **Mechanism.** `fleet::matches` and `fleet::coverage`: state by vehicle and by road.
//!
//! **State.** Pieces and rows until the retention after the end of the shift.

use model::{Column, Type, Value, ViewSpec};

use super::View;
use crate::fleet::coverage::RoadRow;
use crate::fleet::shifts::iso_date;
use crate::operators::publish::ViewRow;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "road_coverage",
        zh: "道路作业覆盖",
        doc: "What was swept of each road in each shift, and whether that is what was planned.",
        key: 3,
        columns: &[
            Column::new("road", Type::Text, "道路", "The road."),
            Column::new("shift", Type::Text, "班次", "The shift."),
            Column::new("date", Type::Text, "日期", "City date on which the shift begins, YYYY-MM-DD."),
            Column::new("district", Type::Text, "区县", "District of the road.").nullable(),
            Column::new("grade", Type::Text, "等级", "Grade of the road.").nullable(),
            Column::new("length", Type::Float, "长度", "Length of the road.").unit("m"),
            Column::new("swept_length", Type::Float, "作业长度", "Covered at least once.").unit("m"),
            Column::new("share", Type::Float, "覆盖率", "Swept length by length, 0 to 1."),
            Column::new(
                "forward_length",
                Type::Float,
                "正向作业长度",
                "Covered in the order of the vertices.",
            )
            .unit("m"),
            Column::new("backward_length", Type::Float, "反向作业长度", "Covered against it.").unit("m"),
            Column::new("worked_length", Type::Float, "累计作业长度", "What was covered twice counts twice.")
                .unit("m"),
            Column::new(
                "passes",
                Type::Int,
                "趟次",
                "Times that 90 % of it was covered in one continuous trip.",
            ),
            Column::new("planned_passes", Type::Int, "计划趟次", "0 when nothing is planned."),
            Column::new("passes_in_time", Type::Int, "按时趟次", "Passes within the window of the plan."),
            Column::new("last_swept_ts", Type::Time, "最近作业时间", "When work was last done on it.")
                .nullable(),
            Column::new("vehicles", Type::Int, "车辆数", "Vehicles that worked on it."),
            Column::new("state", Type::Text, "完成状态", "done, too_few, missed or not_due."),
            Column::new(
                "due_ts",
                Type::Time,
                "截止时间",
                "End of the window of the plan, else of the shift.",
            ),
        ],
        bounded_by: "the number of roads planned or swept, times shifts and days of the retention",
    },
    render: |context, id| context.publish(context.road_coverage.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Metres of millimetres.
pub(crate) fn metres(mm: i64) -> f64 {
    mm as f64 / 1000.0
}

impl ViewRow for RoadRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.road));
        out.push(Value::Name(self.shift_day.0));
        out.push(Value::Text(iso_date(self.shift_day.1)));
        out.push(Value::name_or_null(self.district));
        out.push(Value::name_or_null(self.grade));
        out.push(Value::Float(metres(self.length_mm)));
        out.push(Value::Float(metres(self.swept.swept_mm)));
        out.push(Value::Float(self.swept.swept_mm as f64 / self.length_mm as f64));
        out.push(Value::Float(metres(self.swept.forward_mm)));
        out.push(Value::Float(metres(self.swept.backward_mm)));
        out.push(Value::Float(metres(self.swept.worked_mm)));
        out.push(Value::Int(self.swept.passes));
        out.push(Value::Int(self.planned));
        out.push(Value::Int(self.timely));
        out.push(self.swept.last_swept_ts.map_or(Value::Null, Value::Int));
        out.push(Value::Int(self.swept.vehicles));
        out.push(Value::Literal(self.state.name()));
        out.push(Value::Int(self.due_ts));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::{BTreeMap, BTreeSet};

    use matching::{Fix, Network, Params, Piece, RoadLine, naive};
    use model::reference::road::{PlanRef, RoadRef};
    use model::reference::shift::ShiftRef;
    use model::{Kind, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{reference, vehicles};

    const DAY: i64 = 86_400_000;

    /// What the batch matcher makes of all fixes of each vehicle: pieces, and the road of the last fix.
    pub(crate) type Matched = BTreeMap<Sym, (Vec<Piece>, Option<Sym>)>;

    pub(crate) fn roads(history: &History, at: Tick) -> BTreeMap<Sym, RoadRef> {
        let road = |(id, typed)| match typed {
            Typed::Road(road) => Some((id, (*road).clone())),
            _ => None,
        };
        reference::oracle::typed(history, at, Kind::Road).into_iter().filter_map(road).collect()
    }

    pub(crate) fn shifts(history: &History, at: Tick) -> BTreeMap<Sym, ShiftRef> {
        let shift = |(id, typed)| match typed {
            Typed::Shift(shift) => Some((id, shift)),
            _ => None,
        };
        reference::oracle::typed(history, at, Kind::Shift).into_iter().filter_map(shift).collect()
    }

    /// All fixes matched from nothing.
    pub(crate) fn matched(history: &History, at: Tick) -> Matched {
        let mut network = Network::default();
        let mut epochs = Vec::new();
        let mut before = BTreeMap::new();
        for tick in history.ticks(at) {
            let now: BTreeMap<Sym, (Vec<(i32, i32)>, bool)> = roads(history, tick)
                .into_iter()
                .filter(|(_, road)| road.points.len() > 1)
                .map(|(id, road)| (id, (road.points, road.oneway)))
                .collect();
            let ids: BTreeSet<Sym> = before.keys().chain(now.keys()).copied().collect();
            let differs: Vec<Sym> = ids.into_iter().filter(|id| before.get(id) != now.get(id)).collect();
            if !differs.is_empty() {
                network.change(differs.iter().map(|id| {
                    let line = now.get(id).map(|(points, oneway)| RoadLine {
                        rank: matching::network::rank(history.name(*id)),
                        points,
                        oneway: *oneway,
                    });
                    (id.0, line)
                }));
            }
            epochs.push((tick, network.epoch()));
            before = now;
        }
        let params = Params { cover_hole_ms: history.settings.cover_hole_ms, ..Params::default() };
        let epoch_at = |tick: Tick| epochs.iter().rfind(|(from, _)| *from <= tick).unwrap().1;
        let known = reference::oracle::typed(history, at, Kind::Vehicle);
        let mut all = Matched::new();
        for (vehicle, track) in vehicles::oracle::tracks(history, at) {
            let fixes: Vec<Fix> = track
                .into_iter()
                .filter(|(.., jump)| !jump)
                // Before the first road there was nothing to match it on.
                .filter(|(tick, ..)| epoch_at(*tick) > 0)
                .map(|(tick, fix, _)| Fix {
                    ts: fix.ts,
                    at: (fix.lon, fix.lat),
                    speed: fix.speed.map(Fix::speed_of),
                    heading: fix.heading.map(Fix::heading_of),
                    working: fix.working.unwrap_or(false),
                    epoch: epoch_at(tick),
                })
                .collect();
            let band = match known.get(&vehicle) {
                Some(Typed::Vehicle(vehicle)) => vehicle.working_speed,
                _ => None,
            };
            let tenths = |kmh: f64| (kmh * 10.0).round() as u16;
            let band = band.map(|[least, greatest]| (tenths(least), tenths(greatest)));
            let (pieces, road) = naive::pieces(&network, &params, band, &fixes);
            all.insert(vehicle, (pieces, road.map(Sym)));
        }
        all
    }

    /// Start and end of a shift on a date.
    pub(crate) fn span(history: &History, shift: &ShiftRef, date: i64) -> (i64, i64) {
        let midnight = date * DAY - i64::from(history.settings.utc_offset_min) * 60_000;
        (midnight + i64::from(shift.start) * 60_000, midnight + i64::from(shift.end) * 60_000)
    }

    pub(crate) fn date_of(history: &History, ts: i64) -> i64 {
        (ts + i64::from(history.settings.utc_offset_min) * 60_000).div_euclid(DAY)
    }

    pub(crate) fn fleet_of(history: &History, at: Tick) -> BTreeMap<Sym, (Sym, Sym)> {
        let of = |(id, typed)| match typed {
            Typed::Vehicle(vehicle) => Some((id, (vehicle.fleet, vehicle.district))),
            _ => None,
        };
        reference::oracle::typed(history, at, Kind::Vehicle).into_iter().filter_map(of).collect()
    }

    /// Millimetres covered at least `times` times, one by one between all ends.
    fn covered(spans: &[(u32, u32)], times: usize) -> i64 {
        let ends: BTreeSet<u32> = spans.iter().flat_map(|span| [span.0, span.1]).collect();
        let ends: Vec<u32> = ends.into_iter().collect();
        let deep = |pair: &&[u32]| {
            spans.iter().filter(|span| span.0 <= pair[0] && pair[1] <= span.1).count() >= times
        };
        ends.windows(2).filter(deep).map(|pair| i64::from(pair[1] - pair[0])).sum()
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let (matched, fleets) = (matched(history, at), fleet_of(history, at));
        let (roads, shifts) = (roads(history, at), shifts(history, at));
        let now = at as i64;
        let heard: Vec<i64> = vehicles::oracle::tracks(history, at)
            .into_values()
            .flatten()
            .filter(|(.., jump)| !jump)
            .map(|(_, fix, _)| fix.ts.div_euclid(300_000) * 300_000)
            .collect();
        let (first, last) = (date_of(history, now) - 3, date_of(history, now) + 1);
        let mut rows = Vec::new();
        for (shift_id, shift) in &shifts {
            for date in first..=last {
                let (start, end) = span(history, shift, date);
                if history.settings.coverage_retention_ms.is_some_and(|keep| end + keep <= now) {
                    continue;
                }
                let within = |ts: i64| start <= ts && ts < end;
                let today = date_of(history, now);
                let shown =
                    today == date || within(now) || (date <= today && heard.iter().any(|ts| within(*ts)));
                for (road_id, road) in &roads {
                    let length: i64 = matching::network::length_mm(&road.points);
                    let plan = road.plan.iter().find(|plan| plan.shift == *shift_id);
                    let planned = plan.filter(|_| shown).map_or(0, |plan| i64::from(plan.passes));
                    let eligible = |vehicle: &Sym| {
                        shift.fleets.is_empty()
                            || fleets.get(vehicle).is_some_and(|(fleet, _)| shift.fleets.contains(fleet))
                    };
                    let pieces: Vec<(Sym, Piece)> = matched
                        .iter()
                        .filter(|(vehicle, _)| eligible(vehicle))
                        .flat_map(|(vehicle, (pieces, _))| pieces.iter().map(|piece| (*vehicle, *piece)))
                        .filter(|(_, piece)| Sym(piece.road) == *road_id && within(piece.from_ts))
                        .collect();
                    if length == 0 || (planned == 0 && pieces.is_empty()) {
                        continue;
                    }
                    let window = plan.filter(|_| planned > 0).map(|plan| window(shift, plan));
                    let midnight = start - i64::from(shift.start) * 60_000;
                    let window = window.map(|(from, by)| (midnight + from * 60_000, midnight + by * 60_000));
                    rows.push(row(
                        history,
                        (*road_id, road, length),
                        (*shift_id, date),
                        window.unwrap_or((start, end)),
                        planned,
                        pieces,
                        now,
                    ));
                }
            }
        }
        rows
    }

    /// Minutes from midnight of the shift's date between which a plan wants its passes.
    fn window(shift: &ShiftRef, plan: &PlanRef) -> (i64, i64) {
        let (start, end) = (i64::from(shift.start), i64::from(shift.end));
        // Minute by minute from the beginning of the shift to its end.
        let find =
            |wanted: u16, after: i64| (after..=end).find(|m| m.rem_euclid(1440) == i64::from(wanted) % 1440);
        let from = plan.from.and_then(|from| find(from, start)).unwrap_or(start);
        (from, plan.by.and_then(|by| find(by, start + 1)).unwrap_or(end))
    }

    /// Millimetres swept, millimetres worked, and passes.
    fn measure(history: &History, length: i64, pieces: &[(Sym, Piece)]) -> (i64, i64, i64) {
        let spans: Vec<(u32, u32)> = pieces.iter().map(|(_, piece)| (piece.low, piece.high)).collect();
        let vehicles: BTreeSet<Sym> = pieces.iter().map(|(vehicle, _)| *vehicle).collect();
        let (mut passes, mut worked) = (0, 0);
        for vehicle in &vehicles {
            let mut of: Vec<Piece> =
                pieces.iter().filter(|(by, _)| by == vehicle).map(|(_, piece)| *piece).collect();
            of.sort();
            // Trips of traversals: each a span.
            let mut trips: Vec<Vec<(u32, u32)>> = Vec::new();
            for (i, piece) in of.iter().enumerate() {
                let before = i.checked_sub(1).map(|i| of[i]);
                let same_trip =
                    before.is_some_and(|last| piece.from_ts - last.to_ts <= history.settings.pass_gap_ms);
                if !same_trip {
                    trips.push(Vec::new());
                }
                let trip = trips.last_mut().unwrap();
                let goes_on = before.filter(|_| same_trip).is_some_and(|last| {
                    last.backward == piece.backward && piece.low <= last.high && last.low <= piece.high
                });
                match trip.last_mut() {
                    Some(run) if goes_on => *run = (run.0.min(piece.low), run.1.max(piece.high)),
                    _ => trip.push((piece.low, piece.high)),
                }
            }
            for trip in &trips {
                worked += trip.iter().map(|(low, high)| i64::from(high - low)).sum::<i64>();
                let reaches = |mm: i64| mm * 100 >= length * i64::from(history.settings.pass_percent);
                let (alone, rest): (Vec<_>, Vec<_>) =
                    trip.iter().copied().partition(|(low, high)| reaches(i64::from(high - low)));
                let together = (1..=rest.len()).filter(|times| reaches(covered(&rest, *times))).max();
                passes += (alone.len() + together.unwrap_or(0)) as i64;
            }
        }
        (covered(&spans, 1), worked, passes)
    }

    fn row(
        history: &History,
        (id, road, length): (Sym, &RoadRef, i64),
        (shift, date): (Sym, i64),
        (from, by): (i64, i64),
        planned: i64,
        mut pieces: Vec<(Sym, Piece)>,
        now: i64,
    ) -> Json {
        // What lies beyond the end of a road that is shorter now doesn't count.
        pieces.iter_mut().for_each(|(_, piece)| piece.high = piece.high.min(length as u32));
        pieces.retain(|(_, piece)| piece.low < piece.high);
        let side = |side: bool| -> Vec<(u32, u32)> {
            let on_side = pieces.iter().filter(|(_, piece)| piece.backward == side);
            on_side.map(|(_, piece)| (piece.low, piece.high)).collect()
        };
        let vehicles: BTreeSet<Sym> = pieces.iter().map(|(vehicle, _)| *vehicle).collect();
        let (swept, worked, passes) = measure(history, length, &pieces);
        let in_time: Vec<_> =
            pieces.iter().filter(|(_, piece)| from <= piece.from_ts && piece.from_ts < by).copied().collect();
        let (swept_in_time, _, in_time) = measure(history, length, &in_time);
        let reached = swept_in_time * 100 >= length * i64::from(history.settings.pass_percent);
        let state = match (in_time >= planned, now < by) {
            (true, _) => "done",
            (false, true) => "not_due",
            (false, false) if reached || in_time > 0 => "too_few",
            (false, false) => "missed",
        };
        let date = time_of(date);
        json!({
            "road": history.name(id), "shift": history.name(shift), "date": date,
            "district": history.name_or_null(road.district), "grade": history.name_or_null(road.grade),
            "length": length as f64 / 1000.0, "swept_length": swept as f64 / 1000.0,
            "share": swept as f64 / length as f64,
            "forward_length": covered(&side(false), 1) as f64 / 1000.0,
            "backward_length": covered(&side(true), 1) as f64 / 1000.0,
            "worked_length": worked as f64 / 1000.0, "passes": passes, "planned_passes": planned,
            "passes_in_time": in_time,
            "last_swept_ts": pieces.iter().map(|(_, piece)| piece.to_ts).max(),
            "vehicles": vehicles.len(), "state": state, "due_ts": by,
        })
    }

    /// The days of the histories lie in November 2026.
    pub(crate) fn time_of(date: i64) -> String {
        format!("2026-11-{:02}", date - 20_757)
    }
}
