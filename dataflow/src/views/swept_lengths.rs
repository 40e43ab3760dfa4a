//! `swept_lengths`: how much road the working vehicles of each district passed in each hour, by the nearest road alone.
//!
//! **Meaning.** Each fix with the brush on belongs to the nearest road at most the reach away
//! ([`crate::nearest`]), as the roads are at the tick at which the fix comes to count: that is *fixed*. A road that any
//! fix of an hour belongs to counts once in that hour, with its length and district *as they are now*; one that is
//! deleted counts nothing. Hours are those of the city. This is the simple question of the reference workload; what a
//! department is paid by asks for the way between fixes as well.
//!
//! **Mechanism.** Fixes that count come from the vehicles' operator; each change finds its road in a grid at the
//! vehicle's worker, and adds to or takes from the number of fixes of (road, hour) at the road's worker. A number that
//! becomes or leaves zero changes the district's sums, which are a differential count.
//!
//! **State.** One entry per matched fix within the horizon, one number per road and hour with fixes, the roads once per
//! worker.

use std::sync::Arc;

use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::operators::CountTotal;
use foldhash::HashMap;
use model::{Column, Kind, Names, RefBody, Sym, Tick, Type, Typed, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Broadcast, Filter, Map};

use super::View;
use super::reference::{CurrentRow, kind_of};
use super::vehicles::{TrackFix, says_more};
use crate::Settings;
use crate::nearest::{Nearest, Place, length_mm};
use crate::operators::delta::{Delta, Keyed, deltas, updates};
use crate::operators::keyed::{AHEAD, KeyedState, look_ahead};
use crate::operators::publish::ViewRow;
use crate::operators::sorted::Sorted;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::operators::timeline::{Timed, Timeline};
use crate::operators::{route, spread};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "swept_lengths",
        zh: "清扫里程",
        doc: "Distinct road length passed by working vehicles, per district and hour.",
        key: 2,
        columns: &[
            Column::new("district", Type::Text, "区县", "District of the roads; empty when unknown."),
            Column::new("hour", Type::Time, "小时", "First instant of the hour."),
            Column::new("swept", Type::Float, "清扫里程", "Length of the roads, each once.").unit("m"),
            Column::new("segments", Type::Int, "路段数", "Number of the roads."),
        ],
        bounded_by: "districts × hours in which anything was swept",
    },
    render: |context, id| {
        let rows = context.swept().rows;
        context.publish(rows, id);
    },
    #[cfg(test)]
    oracle: oracle::rows,
};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// A row of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SweptRow {
    /// Empty when unknown.
    pub district: Sym,
    /// First instant, Unix ms.
    pub hour: i64,
    /// How much.
    pub sums: Sums,
}

/// Length and number of roads, which add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sums {
    /// mm.
    pub mm: i64,
    /// Roads.
    pub roads: i64,
}

impl IsZero for Sums {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Semigroup for Sums {
    fn plus_equals(&mut self, other: &Self) {
        self.mm += other.mm;
        self.roads += other.roads;
    }
}

impl Keyed for SweptRow {
    type Key = (Sym, i64);
    fn key(&self) -> (Sym, i64) {
        (self.district, self.hour)
    }
}

impl ViewRow for SweptRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.district));
        out.push(Value::Int(self.hour));
        out.push(Value::Float(self.sums.mm as f64 / 1000.0));
        out.push(Value::Int(self.sums.roads));
    }
}

/// A road with a shape: what it adds to its district's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoadLength {
    /// The road.
    pub road: Sym,
    /// Empty when unknown.
    pub district: Sym,
    /// mm.
    pub mm: i64,
}

/// What is said of roads.
#[derive(Clone)]
pub struct Swept<'scope> {
    /// The rows of the view.
    pub rows: Tagged<'scope, Delta<SweptRow>>,
    /// The roads there are.
    pub roads: Tagged<'scope, Delta<RoadLength>>,
}

/// Renders the operators.
pub(super) fn operate<'s>(
    track: Tagged<'s, Delta<TrackFix>>,
    current: &Tagged<'s, Delta<CurrentRow>>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Swept<'s> {
    let roads = current.clone().filter(|(_, delta)| kind_of(delta) == Kind::Road);
    let everywhere = roads.clone().broadcast().map(|(tick, delta)| (tick, MatchIn::Road(Box::new(delta))));
    // What is sent again keeps the road that it had.
    let fixes = track.flat_map(|(tick, delta)| {
        let fix = says_more(&delta).then(|| Heard::of(&delta)).flatten()?;
        Some((tick, MatchIn::Fix(fix)))
    });
    let matching = Match {
        settings: Arc::clone(settings),
        names: Arc::clone(names),
        nearest: Nearest::new(settings.swept_reach_m),
        vehicles: KeyedState::default(),
        passed: HashMap::default(),
    };
    let passed = ticked(fixes.concat(everywhere), "nearest_road", matching);
    // Records of roads are at the worker of their id already.
    let passed = spread(passed, |passed| route(passed.road.0));
    let roads = roads.flat_map(|(tick, delta)| {
        let side = |row: &Option<CurrentRow>| row.as_ref().and_then(RoadLength::of);
        Some((tick, Delta::between(side(&delta.old), side(&delta.new))?))
    });
    let known = roads.clone().map(|(tick, delta)| (tick, RoadIn::Length(delta)));
    let passed = passed.map(|(tick, passed)| (tick, RoadIn::Passed(passed)));
    let visits = ticked(passed.concat(known), "swept_roads", Roads::default());
    let sums = updates(visits, |visit: &Visit, sign, parts| {
        let sums = Sums { mm: visit.road.mm * sign, roads: sign };
        parts.push(((visit.road.district, visit.hour), sums));
    });
    let rows = sums.count_total().map(|((district, hour), sums)| SweptRow { district, hour, sums });
    Swept { rows: deltas(rows, "swept_lengths"), roads }
}

/// The line of a road's record; empty where it has none.
fn line(body: &RefBody) -> &[Place] {
    match &body.typed {
        Typed::Road(road) => &road.points,
        _ => &[],
    }
}

impl RoadLength {
    fn of(row: &CurrentRow) -> Option<Self> {
        let Typed::Road(road) = &row.body.typed else { return None };
        let length = || Self { road: row.id, district: road.district, mm: length_mm(&road.points) };
        (road.points.len() > 1).then(length)
    }
}

/// A fix and its road.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Matched {
    ts: i64,
    /// Empty when it has none any more.
    road: Sym,
}

impl Timed for Matched {
    const CHUNK: usize = 32;

    fn ts(&self) -> i64 {
        self.ts
    }
}

#[derive(Clone, Debug)]
enum MatchIn {
    Fix(Heard),
    Road(Box<Delta<CurrentRow>>),
}

/// As much of a fix that changed as a road needs.
#[derive(Clone, Copy, Debug)]
struct Heard {
    vehicle: Sym,
    ts: i64,
    /// Where it is, if the vehicle was at work.
    at: Option<Place>,
    /// Whether it may have had a road before.
    was: bool,
}

impl Heard {
    /// `None` when neither what the fix was nor what it is has a road.
    fn of(delta: &Delta<TrackFix>) -> Option<Self> {
        let (vehicle, ts) = delta.key()?;
        let working = delta.new.as_ref().filter(|fix| fix.working == Some(true));
        let (at, was) = (working.map(|fix| (fix.lon, fix.lat)), delta.old.is_some());
        (at.is_some() || was).then_some(Self { vehicle, ts, at, was })
    }
}

/// So many fixes more or fewer belong to a road in an hour.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Passed {
    road: Sym,
    hour: i64,
    fixes: i64,
}

struct Match {
    settings: Arc<Settings>,
    names: Arc<Names>,
    nearest: Nearest,
    /// Fixes with a road by vehicle.
    vehicles: KeyedState<Sym, Timeline<Matched>>,
    /// By how many the fixes of a road in an hour become more or fewer, while a tick is taken in.
    passed: HashMap<(Sym, i64), i64>,
}

impl Match {
    fn hour(&self, ts: i64) -> i64 {
        let offset = i64::from(self.settings.utc_offset_min) * MINUTE_MS;
        (ts + offset).div_euclid(HOUR_MS) * HOUR_MS - offset
    }

    fn fix(&mut self, &Heard { vehicle, ts, at, was }: &Heard, tick: Tick) {
        let road = at.and_then(|at| self.nearest.of(at, &self.names));
        if road.is_none() && !was {
            return;
        }
        let hour = self.hour(ts);
        let fixes = self.vehicles.entry(vehicle);
        let (_, old) = fixes.insert(Matched { ts, road: road.unwrap_or_default() });
        for (road, sign) in [(old.map(|old| old.road), -1), (road, 1)] {
            if let Some(road) = road.filter(|road| *road != Sym::EMPTY) {
                *self.passed.entry((road, hour)).or_default() += sign;
            }
        }
        if let Some(horizon) = self.settings.horizon_ms {
            fixes.prune(tick as i64 - horizon);
        }
    }
}

impl Ticked for Match {
    type In = MatchIn;
    type Out = Passed;

    fn tick(&mut self, tick: Tick, input: &mut Vec<MatchIn>, out: &mut Vec<Passed>) {
        for row in input.iter() {
            if let MatchIn::Road(delta) = row
                && let Some((_, id)) = delta.key()
            {
                let line = delta.new.as_ref().map_or(&[][..], |row| line(&row.body));
                self.nearest.set(id, line.to_vec());
            }
        }
        for batch in input.chunks(AHEAD) {
            let fixes = || {
                batch.iter().filter_map(|row| match row {
                    MatchIn::Fix(fix) => Some(fix),
                    MatchIn::Road(_) => None,
                })
            };
            self.nearest.look_ahead(fixes().filter_map(|fix| fix.at));
            let last = |fixes: &Timeline<Matched>| fixes.last().map_or(0, Timed::ts);
            self.vehicles.look_ahead(fixes().map(|fix| fix.vehicle), last);
            fixes().for_each(|fix| self.fix(fix, tick));
        }
        let passed = self.passed.drain().filter(|(_, fixes)| *fixes != 0);
        out.extend(passed.map(|((road, hour), fixes)| Passed { road, hour, fixes }));
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}

#[derive(Clone, Debug)]
enum RoadIn {
    Passed(Passed),
    Length(Delta<RoadLength>),
}

/// A road in an hour in which it was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Visit {
    hour: i64,
    road: RoadLength,
}

/// What is known of a road.
#[derive(Default)]
struct Road {
    length: Option<RoadLength>,
    /// Fixes by hour; all positive.
    hours: Sorted<i64, i64>,
}

#[derive(Default)]
struct Roads {
    roads: HashMap<Sym, Road>,
    /// The hours that change, with whether the road had been passed in them, while a tick is taken in.
    before: HashMap<(Sym, i64), bool>,
}

impl Ticked for Roads {
    type In = RoadIn;
    type Out = Delta<Visit>;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<RoadIn>, out: &mut Vec<Delta<Visit>>) {
        // Sums of several workers may pass through zero within a tick: the hours are said once all are in.
        let mut lengths = Vec::new();
        for batch in input.chunks(AHEAD) {
            let roads = batch.iter().filter_map(|row| match row {
                RoadIn::Passed(passed) => self.roads.get(&passed.road),
                RoadIn::Length(_) => None,
            });
            look_ahead(roads.filter_map(|road| road.hours.first()));
            for row in batch {
                let &Passed { road, hour, fixes } = match row {
                    RoadIn::Length(delta) => {
                        lengths.push(delta.clone());
                        continue;
                    }
                    RoadIn::Passed(passed) => passed,
                };
                let count = self.roads.entry(road).or_default().hours.entry(hour);
                self.before.entry((road, hour)).or_insert(*count > 0);
                *count += fixes;
            }
        }
        for ((road, hour), was) in self.before.drain() {
            let Some(state) = self.roads.get_mut(&road) else { continue };
            let is = state.hours.get(hour).is_some_and(|count| *count > 0);
            if !is {
                state.hours.put(hour, None);
            }
            // The length of before; a change of it comes next.
            let visit = state.length.map(|road| Visit { hour, road });
            out.extend(Delta::between(visit.filter(|_| was), visit.filter(|_| is)));
        }
        for delta in lengths {
            let Some(id) = delta.new.as_ref().or(delta.old.as_ref()).map(|road| road.road) else { continue };
            let state = self.roads.entry(id).or_default();
            let old = std::mem::replace(&mut state.length, delta.new);
            for hour in state.hours.keys() {
                let visit = |road: Option<RoadLength>| road.map(|road| Visit { hour, road });
                out.extend(Delta::between(visit(old), visit(delta.new)));
            }
            if state.length.is_none() && state.hours.is_empty() {
                self.roads.remove(&id);
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}

/// Naive recomputation from all rows, tick by tick: each fix keeps the road of its own tick.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::{BTreeMap, BTreeSet};

    use model::{Fix, Kind, Sym, Tick};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{reference, vehicles};

    /// Names of roads with their district and line, in degrees.
    type Roads = BTreeMap<String, (String, Vec<[f64; 2]>)>;

    /// The roads in force that have a line.
    pub(crate) fn roads(history: &History, at: Tick) -> Roads {
        let in_force = reference::oracle::in_force(history, at).into_iter();
        let road = |((kind, id), (_, body)): ((Kind, Sym), (_, std::sync::Arc<model::RefBody>))| {
            let record: Json = serde_json::from_str(&body.json).unwrap();
            let mut line: Vec<[f64; 2]> =
                serde_json::from_value(record["geometry"]["coordinates"].clone()).ok()?;
            line.dedup();
            let district = record["district"].as_str().unwrap_or("").to_owned();
            (kind == Kind::Road && line.len() > 1).then(|| (history.name(id).to_owned(), (district, line)))
        };
        in_force.filter_map(road).collect()
    }

    /// Metres east and north from one place to another.
    fn metres(from: [f64; 2], to: [f64; 2], lat: f64) -> [f64; 2] {
        let degree = 6_371_008.8 * std::f64::consts::PI / 180.0;
        [(to[0] - from[0]) * degree * lat.to_radians().cos(), (to[1] - from[1]) * degree]
    }

    /// Length of a line, mm.
    pub(crate) fn length(line: &[[f64; 2]]) -> i64 {
        let leg = |ends: &[[f64; 2]]| {
            let [x, y] = metres(ends[0], ends[1], (ends[0][1] + ends[1][1]) / 2.0);
            ((x * x + y * y).sqrt() * 1000.0).round() as i64
        };
        line.windows(2).map(leg).sum()
    }

    fn nearest(roads: &Roads, fix: &Fix, reach_m: f64) -> Option<String> {
        let at = [f64::from(fix.lon) / 1e7, f64::from(fix.lat) / 1e7];
        let away = |line: &[[f64; 2]]| {
            let leg = |ends: &[[f64; 2]]| {
                let [a, b] = [ends[0], ends[1]].map(|end| metres(at, end, at[1]));
                // By angles: beyond an end the end itself is nearest, else the height of the triangle is.
                let dot = |p: [f64; 2], q: [f64; 2]| p[0] * q[0] + p[1] * q[1];
                let minus = |p: [f64; 2], q: [f64; 2]| [p[0] - q[0], p[1] - q[1]];
                if dot(minus(b, a), a) >= 0.0 {
                    dot(a, a).sqrt()
                } else if dot(minus(a, b), b) >= 0.0 {
                    dot(b, b).sqrt()
                } else {
                    (a[0] * b[1] - a[1] * b[0]).abs() / dot(minus(b, a), minus(b, a)).sqrt()
                }
            };
            line.windows(2).map(|ends| (leg(ends) * 1000.0).round() as i64).min()
        };
        let all = roads.iter().filter_map(|(name, (_, line))| Some((away(line)?, name)));
        all.min().filter(|(mm, _)| *mm as f64 <= reach_m * 1000.0).map(|(_, name)| name.clone())
    }

    /// District, hour, and the roads passed.
    pub(crate) fn swept(history: &History, at: Tick) -> BTreeMap<(String, i64), BTreeSet<(String, i64)>> {
        let mut known: BTreeMap<(Sym, i64), (Fix, Option<String>)> = BTreeMap::new();
        for tick in history.ticks(at) {
            let roads = roads(history, tick);
            let tracks = vehicles::oracle::tracks(history, tick).into_values().flatten();
            let counted: BTreeMap<(Sym, i64), Fix> =
                tracks.filter(|(.., jump)| !jump).map(|(_, fix, _)| ((fix.vehicle, fix.ts), fix)).collect();
            known.retain(|key, _| counted.contains_key(key));
            for (key, fix) in counted {
                let same = |(old, _): &(Fix, _)| Fix { pos: fix.pos, ..old.clone() } == fix;
                if !known.get(&key).is_some_and(same) {
                    let road = nearest(&roads, &fix, history.settings.swept_reach_m);
                    known.insert(key, (fix.clone(), road.filter(|_| fix.working == Some(true))));
                }
            }
        }
        let roads = roads(history, at);
        let mut swept: BTreeMap<(String, i64), BTreeSet<(String, i64)>> = BTreeMap::new();
        for ((_, ts), (_, name)) in known {
            let Some(name) = name else { continue };
            // A deleted road counts nothing.
            let Some((district, line)) = roads.get(&name) else { continue };
            // City time is UTC plus whole hours.
            let hour = ts / 3_600_000 * 3_600_000;
            swept.entry((district.clone(), hour)).or_default().insert((name, length(line)));
        }
        swept
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let row = |((district, hour), roads): ((String, i64), BTreeSet<(String, i64)>)| {
            let mm: i64 = roads.iter().map(|(_, mm)| mm).sum();
            json!({"district": district, "hour": hour, "swept": mm as f64 / 1000.0, "segments": roads.len()})
        };
        swept(history, at).into_iter().map(row).collect()
    }
}
