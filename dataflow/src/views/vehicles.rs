//! `vehicles`: the latest plausible fix of each vehicle, and what it is doing.
//!
//! **Meaning.** Fixes count in order of event time. A fix is a *jump* when it would need more than the jump speed from
//! the last fix that counted; unless the fix just before it was a jump too and the two agree with each other, in which
//! case the vehicle really is there. Jumps are in `rejects`, not here. The state is *offline* when the latest fix is
//! older than T by more than the offline limit, else *working* if the device says so, else *stopped* or *driving* by
//! speed. `road` is the one that the latest fix is matched to (`fleet::matches`), null off the road; a later fix may
//! correct it.
//!
//! **Mechanism.** State by vehicle. A fix in order costs O(1); a late one is put in its place and the fixes after it are
//! judged again until the verdicts agree with what they were, which is one or two fixes on ordinary tracks.
//!
//! **State.** One fix per vehicle and event time within the horizon, packed (`fleet::point`) when it is not of the latest.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashSet;
use model::reference::VehicleRef;
use model::rows::DEGREE;
use model::{Column, Fix, LogPos, Names, StreamId, Sym, Tick, Type, Typed, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Capability, Concat};

use super::reference::CurrentRow;
use super::rejects::RefusedRow;
use super::{Replaced, View};
use crate::Settings;
use crate::fleet::matches::{self, OnRoad, Recalled};
use crate::fleet::point::Point;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::{KeyedState, batches};
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Fed, Inbox, Port, Tagged, Ticked, fed, ticked};
use crate::operators::timeline::{Place, Timed, Timeline};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "vehicles",
        zh: "车辆",
        doc: "The latest plausible fix of each vehicle, and what it is doing.",
        key: 1,
        columns: &[
            Column::new("vehicle_id", Type::Text, "车辆", "The vehicle."),
            Column::new("fleet", Type::Text, "车队", "From its reference record.").nullable(),
            Column::new("district", Type::Text, "区县", "From its reference record.").nullable(),
            Column::new("lon", Type::Float, "经度", "WGS-84.").unit("°"),
            Column::new("lat", Type::Float, "纬度", "WGS-84.").unit("°"),
            Column::new("speed", Type::Float, "速度", "As the device reports it.").nullable().unit("km/h"),
            Column::new("heading", Type::Float, "方向", "Clockwise from north.").nullable().unit("°"),
            Column::new("working", Type::Bool, "作业", "Brush, pump or nozzle on.").nullable(),
            Column::new("ts", Type::Time, "定位时间", "Event time of the fix."),
            Column::new("state", Type::Text, "状态", "working, driving, stopped or offline."),
            Column::new("road", Type::Text, "道路", "The road it is matched to.").nullable(),
        ],
        bounded_by: "the number of vehicles heard",
    },
    render: |context, id| context.publish(context.vehicles.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Mean radius of the earth, m.
const EARTH_M: f64 = 6_371_008.8;
/// 10⁻⁷ degrees on a great circle, m, rounded up.
const TENTH_M: f64 = 0.011_119_6;

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VehicleRow {
    /// The vehicle.
    pub vehicle: Sym,
    /// Empty when unknown.
    pub fleet: Sym,
    /// Empty when unknown.
    pub district: Sym,
    /// 10⁻⁷ degrees.
    pub lon: i32,
    /// 10⁻⁷ degrees.
    pub lat: i32,
    /// km/h.
    pub speed: Option<f32>,
    /// Degrees clockwise from north.
    pub heading: Option<f32>,
    /// What the device says.
    pub working: Option<bool>,
    /// Event time, Unix ms.
    pub ts: i64,
    /// What it is doing.
    pub state: VehicleState,
    /// The road that its latest fix is matched to; empty when it is off the road.
    pub road: Sym,
}

/// A fix that counts: plausible, and the last in log order of its event time. A delta of it says that a fix came, was
/// replaced by another of its event time, or turned out (not) to be a jump.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackFix {
    /// The vehicle.
    pub vehicle: Sym,
    /// Event time, Unix ms.
    pub ts: i64,
    /// 10⁻⁷ degrees.
    pub lon: i32,
    /// 10⁻⁷ degrees.
    pub lat: i32,
    /// As the device reports it, km/h.
    pub speed: Option<f32>,
    /// Degrees clockwise from north.
    pub heading: Option<f32>,
    /// What the device says.
    pub working: Option<bool>,
    /// The tick of its record.
    pub tick: Tick,
}

/// Whether more than the tick of the record changed: a fix that is sent again says nothing new.
pub(super) fn says_more(delta: &Delta<TrackFix>) -> bool {
    match (&delta.old, &delta.new) {
        (Some(old), Some(new)) => TrackFix { tick: new.tick, ..*old } != *new,
        _ => true,
    }
}

impl Keyed for TrackFix {
    type Key = (Sym, i64);
    fn key(&self) -> (Sym, i64) {
        (self.vehicle, self.ts)
    }
}

/// What a vehicle is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VehicleState {
    /// 作业.
    Working,
    /// 行驶.
    Driving,
    /// 停驻.
    Stopped,
    /// 离线.
    Offline,
}

impl VehicleState {
    fn name(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Driving => "driving",
            Self::Stopped => "stopped",
            Self::Offline => "offline",
        }
    }
}

impl Keyed for VehicleRow {
    type Key = Sym;
    fn key(&self) -> Sym {
        self.vehicle
    }
}

/// The shortest decimal that a float of single precision stands for, as a double.
pub(super) fn decimal(value: f32) -> f64 {
    (f64::from(value) * 1000.0).round() / 1000.0
}

impl ViewRow for VehicleRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.vehicle));
        out.push(Value::name_or_null(self.fleet));
        out.push(Value::name_or_null(self.district));
        out.push(Value::Float(f64::from(self.lon) / DEGREE));
        out.push(Value::Float(f64::from(self.lat) / DEGREE));
        out.push(self.speed.map_or(Value::Null, |speed| Value::Float(decimal(speed))));
        out.push(self.heading.map_or(Value::Null, |heading| Value::Float(decimal(heading))));
        out.push(self.working.map_or(Value::Null, Value::Bool));
        out.push(Value::Int(self.ts));
        out.push(Value::Literal(self.state.name()));
        out.push(Value::name_or_null(self.road));
    }
}

/// Great-circle distance between two places in 10⁻⁷ degrees, m.
pub(crate) fn distance_m((lon_a, lat_a): (i32, i32), (lon_b, lat_b): (i32, i32)) -> f64 {
    let radians = |tenths: i32| f64::from(tenths) / DEGREE * std::f64::consts::PI / 180.0;
    let (lat_a, lat_b) = (radians(lat_a), radians(lat_b));
    let (d_lat, d_lon) = (lat_b - lat_a, radians(lon_b) - radians(lon_a));
    let h = (d_lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (d_lon / 2.0).sin().powi(2);
    2.0 * EARTH_M * h.sqrt().min(1.0).asin()
}

fn agree(a: &Point, b: &Point, limit_kmh: f64) -> bool {
    let hours = (b.ts - a.ts) as f64 / 3_600_000.0;
    let allowed_m = limit_kmh * hours * 1000.0;
    // Along the meridian and then along the equator's scale is never shorter than the great circle: what that way
    // allows needs no trigonometry, and that is nearly every fix.
    let tenths = (f64::from(b.lon) - f64::from(a.lon)).abs() + (f64::from(b.lat) - f64::from(a.lat)).abs();
    tenths * TENTH_M <= allowed_m || distance_m((a.lon, a.lat), (b.lon, b.lat)) <= allowed_m
}

/// One vehicle.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Track {
    reference: Option<VehicleRef>,
    points: Timeline<Point>,
    said: Option<VehicleRow>,
}

impl Track {
    /// Judges the new point at `at`, and those after it until the verdicts agree with what they were.
    fn judge_from(&mut self, vehicle: Sym, mut at: Place, limit_kmh: f64, verdicts: &mut Verdicts) {
        let mut fresh = true;
        loop {
            let Some(point) = self.points.get(at).copied() else { return };
            let jump = {
                let mut before = self.points.before(at);
                let previous = before.next();
                let anchor = match previous {
                    Some(previous) if previous.jump => before.find(|point| !point.jump),
                    other => other,
                };
                match (anchor, previous) {
                    (Some(anchor), _) if agree(anchor, &point, limit_kmh) => false,
                    (Some(_), Some(previous)) if previous.jump => !agree(previous, &point, limit_kmh),
                    (Some(_), _) => true,
                    (None, _) => false,
                }
            };
            // A point that counts, as it did before, is the anchor of all that follows: nothing else changes.
            if !fresh && jump == point.jump && !jump {
                return;
            }
            fresh = false;
            if jump != point.jump
                && let Some(point) = self.points.get_mut(at)
            {
                verdicts.jumps.entry((point.partition, point.offset)).or_insert((*point, point.jump));
                verdicts.counted.push((point.ts, point.counted(vehicle)));
                point.jump = jump;
            }
            at = self.points.next(at);
        }
    }
}

/// What changed for a vehicle in a tick.
#[derive(Default)]
struct Verdicts {
    /// Fixes whose verdict changed, by partition and offset, with the verdict before it.
    jumps: BTreeMap<(u16, u64), (Point, bool)>,
    /// Event times whose fix changed, and how it counted before each change, in order of change.
    counted: Vec<(i64, Option<TrackFix>)>,
}

/// What the operator says, on its way out.
#[derive(Default)]
struct Out {
    vehicles: Vec<(Tick, Delta<VehicleRow>)>,
    jumps: Vec<(Tick, Delta<RefusedRow>)>,
    replaced: Vec<(Tick, Replaced)>,
    track: Vec<(Tick, Delta<TrackFix>)>,
    recalled: Vec<(Tick, Recalled)>,
}

/// What the operator says.
pub(super) struct Said<'s> {
    /// The rows of the view.
    pub vehicles: Tagged<'s, Delta<VehicleRow>>,
    /// Fixes that are jumps.
    pub jumps: Tagged<'s, Delta<RefusedRow>>,
    /// Number of replaced fixes.
    pub replaced: Tagged<'s, Replaced>,
    /// Fixes that count, at the vehicle's worker.
    pub track: Tagged<'s, Delta<TrackFix>>,
    /// Fixes around those that change long after they were there, at the vehicle's worker.
    pub recalled: Tagged<'s, Recalled>,
}

struct Tracks {
    settings: Arc<Settings>,
    names: Arc<Names>,
    vehicles: KeyedState<Sym, Track>,
    /// Vehicles and the places of their fixes, while a tick is taken in.
    order: Vec<(Sym, u32)>,
    verdicts: Verdicts,
    /// Whether anybody matches fixes, or asks where vehicles are.
    roads: bool,
}

/// Renders the operator. With `roads` it says the rows of vehicles, and what was around fixes that change long after they
/// were there.
pub(super) fn operate<'s>(
    fixes: Inbox<Fix>,
    known: Tagged<'s, Delta<CurrentRow>>,
    roads: bool,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Said<'s> {
    let tracks = Tracks {
        settings: Arc::clone(settings),
        names: Arc::clone(names),
        vehicles: KeyedState::default(),
        order: Vec::new(),
        verdicts: Verdicts::default(),
        roads,
    };
    fed(known.scope(), "vehicles", fixes, known, tracks, |builder| {
        let (mut to_vehicles, vehicles) = Port::new(builder);
        let (mut to_jumps, jumps) = Port::new(builder);
        let (mut to_replaced, replaced) = Port::new(builder);
        let (mut to_track, track) = Port::new(builder);
        let (mut to_recalled, recalled) = Port::new(builder);
        let send = move |capabilities: &[Capability<Tick>], out: &mut Out| {
            to_vehicles.send(&capabilities[0], &mut out.vehicles);
            to_jumps.send(&capabilities[1], &mut out.jumps);
            to_replaced.send(&capabilities[2], &mut out.replaced);
            to_track.send(&capabilities[3], &mut out.track);
            to_recalled.send(&capabilities[4], &mut out.recalled);
        };
        (Said { vehicles, jumps, replaced, track, recalled }, send)
    })
}

/// Fills in the road of each vehicle; both are at the vehicle's worker.
pub(super) fn with_road<'s>(
    vehicles: Tagged<'s, Delta<VehicleRow>>,
    on_road: Tagged<'s, OnRoad>,
) -> Tagged<'s, Delta<VehicleRow>> {
    let vehicles = vehicles.map(|(tick, delta)| (tick, WithRoad::Vehicle(delta)));
    let roads = on_road.map(|(tick, on_road)| (tick, WithRoad::Road(on_road)));
    ticked(vehicles.concat(roads), "roads of vehicles", Roads::default())
}

#[derive(Clone, Debug)]
enum WithRoad {
    Vehicle(Delta<VehicleRow>),
    Road(OnRoad),
}

/// What was said of each vehicle, and the road that it is on.
#[derive(Default)]
struct Roads {
    vehicles: KeyedState<Sym, (Option<VehicleRow>, Sym)>,
}

impl Ticked for Roads {
    type In = WithRoad;
    type Out = Delta<VehicleRow>;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<WithRoad>, out: &mut Vec<Delta<VehicleRow>>) {
        // Roads first: then the row that comes is on the road of this tick, and says so at once.
        for change in input.iter() {
            if let WithRoad::Road((vehicle, road)) = change {
                self.vehicles.entry(*vehicle).1 = *road;
            }
        }
        let mut moved = Vec::new();
        for change in input.drain(..) {
            match change {
                WithRoad::Road((vehicle, _)) => moved.push(vehicle),
                WithRoad::Vehicle(delta) => {
                    let Some(vehicle) = delta.key() else { continue };
                    let (said, road) = self.vehicles.entry(vehicle);
                    let new = delta.new.map(|row| VehicleRow { road: *road, ..row });
                    let old = std::mem::replace(said, new.clone());
                    out.extend(Delta::between(old, new));
                }
            }
        }
        for vehicle in moved {
            let (said, road) = self.vehicles.entry(vehicle);
            let Some(old) = said.as_ref().filter(|row| row.road != *road).cloned() else { continue };
            let new = VehicleRow { road: *road, ..old.clone() };
            *said = Some(new.clone());
            out.push(Delta { old: Some(old), new: Some(new) });
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}

impl Track {
    /// Reads what taking in a fix will read.
    fn touch(&self) -> i64 {
        self.points.last().map_or(0, Timed::ts) ^ self.said.as_ref().map_or(0, |said| said.ts)
    }

    /// Takes in a fix of the vehicle; the fix whose place it took, if that had been said to be a jump.
    fn hear(
        &mut self,
        fix: &Fix,
        tick: Tick,
        settings: &Settings,
        replaced: &mut BTreeMap<(StreamId, u16), i64>,
        verdicts: &mut Verdicts,
    ) -> Option<Point> {
        let &Fix { vehicle, ts, lon, lat, speed, heading, working, pos } = fix;
        let LogPos { stream, partition, offset } = pos;
        let point = Point { ts, lon, lat, speed, heading, working, jump: false, partition, offset, tick };
        let (at, old) = self.points.insert(point);
        verdicts.counted.push((ts, old.and_then(|old| old.counted(vehicle))));
        let gone = old.filter(|old| {
            *replaced.entry((stream, partition)).or_default() += 1;
            let known = verdicts.jumps.remove(&(old.partition, old.offset));
            known.map_or(old.jump, |(_, was)| was) && old.tick < tick
        });
        self.judge_from(vehicle, at, settings.jump_kmh, verdicts);
        gone
    }

    /// The event times that a match of the changed fixes, which are in order, looks at, if it keeps some of them no longer:
    /// of fixes older than the latest by more than that, and of the latest that counts if that is an earlier one than
    /// was said.
    fn old_span(&self, changed: &[(i64, Option<TrackFix>)], settings: &Settings) -> Option<(i64, i64)> {
        let kept_from = self.points.last()?.ts - settings.match_kept_ms;
        let latest = self.points.latest(|point| !point.jump).map(|point| point.ts);
        let back = latest.filter(|ts| self.said.as_ref().is_some_and(|said| *ts < said.ts));
        if back.is_none() && changed.first().is_none_or(|(ts, _)| *ts >= kept_from) {
            return None;
        }
        let params = matches::params(settings);
        let old = changed.iter().map(|(ts, _)| *ts).take_while(|ts| *ts < kept_from);
        let looked_at = old.chain(back).map(|ts| params.looked_at(ts));
        looked_at.reduce(|all, span| (all.0.min(span.0), all.1.max(span.1)))
    }

    /// The fixes of a span of event times that count.
    fn recall(&self, vehicle: Sym, (from, to): (i64, i64)) -> Recalled {
        let within = self.points.from(self.points.first_from(from)).take_while(|point| point.ts < to);
        Recalled { vehicle, fixes: within.filter_map(|point| point.counted(vehicle)).collect() }
    }

    /// The row at `now`, and from when on the vehicle is offline.
    fn row(&self, vehicle: Sym, now: i64, settings: &Settings) -> Option<(VehicleRow, i64)> {
        let latest = self.points.latest(|point| !point.jump)?;
        let silent_from = latest.ts + settings.vehicle_offline_ms + 1;
        let moves = latest.speed.is_some_and(|speed| f64::from(speed) >= settings.stopped_below_kmh);
        let state = match latest.working {
            _ if now >= silent_from => VehicleState::Offline,
            Some(true) => VehicleState::Working,
            _ if moves => VehicleState::Driving,
            _ => VehicleState::Stopped,
        };
        let known = self.reference.as_ref();
        let row = VehicleRow {
            vehicle,
            fleet: known.map_or(Sym::EMPTY, |known| known.fleet),
            district: known.map_or(Sym::EMPTY, |known| known.district),
            lon: latest.lon,
            lat: latest.lat,
            speed: latest.speed,
            heading: latest.heading,
            working: latest.working,
            ts: latest.ts,
            state,
            road: Sym::EMPTY,
        };
        Some((row, silent_from))
    }
}

impl Tracks {
    /// Takes in the fixes of a vehicle in a tick, lets time pass, and says what is new.
    fn settle<'a>(
        &mut self,
        id: Sym,
        tick: Tick,
        fixes: impl Iterator<Item = &'a Fix>,
        replaced: &mut BTreeMap<(StreamId, u16), i64>,
        out: &mut Out,
    ) {
        let Self { settings, names, vehicles, verdicts, roads, .. } = self;
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let refused = |point: &Point| refused(id, point, settings, names);
        vehicles.visit(id, |track| {
            for fix in fixes {
                let gone = track.hear(fix, tick, settings, replaced, verdicts);
                out.jumps.extend(gone.map(|old| (tick, Delta { old: Some(refused(&old)), new: None })));
            }
            while let Some((_, (point, was))) = verdicts.jumps.pop_first() {
                let is = track.points.get(track.points.first_from(point.ts)).is_some_and(|now| now.jump);
                let was = was && point.tick < tick;
                if was != is {
                    let (old, new) = if is { (None, Some(&point)) } else { (Some(&point), None) };
                    out.jumps.push((tick, Delta { old: old.map(refused), new: new.map(refused) }));
                }
            }
            // The first of several changes knows how it was before the tick.
            verdicts.counted.sort_by_key(|(ts, _)| *ts);
            verdicts.counted.dedup_by_key(|(ts, _)| *ts);
            if *roads && let Some(span) = track.old_span(&verdicts.counted, settings) {
                out.recalled.push((tick, track.recall(id, span)));
            }
            for (ts, was) in verdicts.counted.drain(..) {
                let is = track.points.get(track.points.first_from(ts));
                let delta = Delta::between(was, is.and_then(|point| point.counted(id)));
                out.track.extend(delta.map(|delta| (tick, delta)));
            }
            if let Some(horizon) = settings.horizon_ms {
                track.points.prune(now - horizon);
            }
            track.points.rest();
            let (row, silent_from) = roads.then(|| track.row(id, now, settings)).flatten()?;
            if track.said.as_ref() != Some(&row) {
                let old = track.said.replace(row.clone());
                out.vehicles.push((tick, Delta { old, new: Some(row) }));
            }
            (now < silent_from).then(|| settings.tick.ceil(silent_from))
        });
    }
}

/// A jump as it is kept among the rejects.
fn refused(vehicle: Sym, point: &Point, settings: &Settings, names: &Names) -> RefusedRow {
    let coordinate = |tenths: i32| f64::from(tenths) / DEGREE;
    let payload = serde_json::json!({
        "vehicle_id": names.resolve(vehicle),
        "ts": point.ts,
        "lon": coordinate(point.lon),
        "lat": coordinate(point.lat),
    });
    RefusedRow {
        pos: LogPos { stream: StreamId::Positions, partition: point.partition, offset: point.offset },
        unknown_stream: None,
        ts: Some(point.ts),
        tick: point.tick,
        reason: format!("implausible_jump: more than {} km/h from the fixes before it", settings.jump_kmh)
            .into(),
        payload: payload.to_string().into(),
    }
}

impl Fed for Tracks {
    type Row = Fix;
    type In = Delta<CurrentRow>;
    type Out = Out;

    fn tick(&mut self, tick: Tick, fixes: &mut Vec<Fix>, known: &mut Vec<Delta<CurrentRow>>, out: &mut Out) {
        let mut touched: HashSet<Sym> = HashSet::default();
        let mut replaced: BTreeMap<(StreamId, u16), i64> = BTreeMap::new();
        let mut judged_anew = Vec::new();
        for delta in known.drain(..) {
            let Some((_, id)) = delta.key() else { continue };
            let track = self.vehicles.entry(id);
            let reference = match delta.new.map(|row| row.body.typed.clone()) {
                Some(Typed::Vehicle(vehicle)) => Some(vehicle),
                _ => None,
            };
            let band = |reference: &Option<VehicleRef>| reference.as_ref().and_then(|it| it.working_speed);
            if self.roads && band(&track.reference) != band(&reference) && !track.points.is_empty() {
                judged_anew.push(id);
            }
            track.reference = reference;
            touched.insert(id);
        }
        touched.extend(self.vehicles.woken(tick));
        // Vehicle by vehicle, each one's fixes in log order: what a vehicle needs is looked for once.
        fixes.sort_by_key(|fix| fix.pos);
        let mut order = std::mem::take(&mut self.order);
        order.extend((0u32..).zip(fixes.iter()).map(|(n, fix)| (fix.vehicle, n)));
        // As one number each, which is less to compare.
        order.sort_unstable_by_key(|(id, n)| u64::from(id.0) << 32 | u64::from(*n));
        for batch in batches(&order) {
            self.vehicles.look_ahead(batch.iter().map(|(id, _)| *id), Track::touch);
            for run in batch.chunk_by(|(one, _), (next, _)| one == next) {
                let id = run[0].0;
                if !touched.is_empty() {
                    touched.remove(&id);
                }
                let mine = run.iter().map(|(_, n)| &fixes[*n as usize]);
                self.settle(id, tick, mine, &mut replaced, out);
            }
        }
        order.clear();
        self.order = order;
        for id in touched {
            self.settle(id, tick, std::iter::empty(), &mut replaced, out);
        }
        for id in judged_anew {
            let track = self.vehicles.entry(id);
            out.recalled.push((tick, track.recall(id, (i64::MIN, i64::MAX))));
            track.points.rest();
        }
        let replaced = replaced.into_iter();
        out.replaced.extend(replaced.map(|((stream, partition), n)| (tick, (stream, partition, n))));
    }

    fn due(&self) -> Option<Tick> {
        self.vehicles.due()
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::{Fix, Kind, Row, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::reference;

    /// Fixes by vehicle and event time, the last in log order, with the tick that bound them and whether they jump.
    pub(crate) fn tracks(history: &History, at: Tick) -> BTreeMap<Sym, Vec<(Tick, Fix, bool)>> {
        let mut all: BTreeMap<Sym, BTreeMap<i64, (Tick, Fix)>> = BTreeMap::new();
        for (tick, row) in history.until(at) {
            if let Row::Fix(fix) = row {
                all.entry(fix.vehicle).or_default().insert(fix.ts, (tick, fix.clone()));
            }
        }
        let judge = |by_time: BTreeMap<i64, (Tick, Fix)>| {
            let (mut anchor, mut rejected): (Option<Fix>, Option<Fix>) = (None, None);
            let mut judged = Vec::new();
            for (tick, fix) in by_time.into_values() {
                let near = |from: &Option<Fix>| {
                    from.as_ref().is_some_and(|from| kmh(from, &fix) <= history.settings.jump_kmh)
                };
                let jump = anchor.is_some() && !near(&anchor) && !near(&rejected);
                (anchor, rejected) =
                    if jump { (anchor, Some(fix.clone())) } else { (Some(fix.clone()), None) };
                judged.push((tick, fix, jump));
            }
            judged
        };
        all.into_iter().map(|(vehicle, by_time)| (vehicle, judge(by_time))).collect()
    }

    /// Speed from one fix to another by the spherical law of cosines.
    fn kmh(a: &Fix, b: &Fix) -> f64 {
        let radians = |tenths: i32| (f64::from(tenths) / 1e7).to_radians();
        let (lat_a, lat_b, d_lon) = (radians(a.lat), radians(b.lat), radians(b.lon) - radians(a.lon));
        let cosine = lat_a.sin() * lat_b.sin() + lat_a.cos() * lat_b.cos() * d_lon.cos();
        6371.0088 * cosine.clamp(-1.0, 1.0).acos() / ((b.ts - a.ts) as f64 / 3_600_000.0)
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let known = reference::oracle::typed(history, at, Kind::Vehicle);
        let matched = super::super::road_coverage::oracle::matched(history, at);
        let row = |(vehicle, track): (Sym, Vec<(Tick, Fix, bool)>)| {
            let fix = track.iter().rev().find(|(.., jump)| !jump).map(|(_, fix, _)| fix).unwrap();
            let (fleet, district) = match known.get(&vehicle) {
                Some(Typed::Vehicle(known)) => {
                    (history.name_or_null(known.fleet), history.name_or_null(known.district))
                }
                _ => (Json::Null, Json::Null),
            };
            let road = matched.get(&vehicle).and_then(|(_, road)| *road).map(|road| history.name(road));
            let state = if at as i64 - fix.ts > history.settings.vehicle_offline_ms {
                "offline"
            } else if fix.working == Some(true) {
                "working"
            } else if f64::from(fix.speed.unwrap_or(0.0)) < history.settings.stopped_below_kmh {
                "stopped"
            } else {
                "driving"
            };
            json!({
                "vehicle_id": history.name(vehicle), "fleet": fleet, "district": district,
                "lon": f64::from(fix.lon) / 1e7, "lat": f64::from(fix.lat) / 1e7,
                "speed": fix.speed.map(f64::from), "heading": null, "working": fix.working,
                "ts": fix.ts, "state": state, "road": road,
            })
        };
        tracks(history, at).into_iter().map(row).collect()
    }
}
