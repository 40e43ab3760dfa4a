//! Random towns of parks, homes and walkways, and what batch programs would say of them.
//!
//! The oracles of `parks`, `residence_access` and `park_radius` compute here: overlay of the whole town at once, buffers by
//! their definition, Dijkstra's algorithm from every home, in a projection and with lengths of their own. Two sound
//! computations of a length differ in the last places; where that could turn a yes into a no (a distance at its limit, two
//! parks equally near) the oracle says [`EITHER`], and numbers are compared to 0.1 %.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::Arc;

use geo::{
    Area, Bearing, BooleanOps, Centroid, Coord, Distance, Euclidean, Geodesic, GeodesicArea, LineString,
    MultiPolygon, Orient, Point, Polygon, orient::Direction,
};
use model::reference::rule::Occasion;
use model::reference::{
    Geometry, Level, Limit, LonLat, ParkRef, ParkStatus, RadiusSchemeRef, RadiusStep, ResidenceRef, RuleRef,
    Severity, Signal, WalkwayRef,
};
use model::{Kind, LogPos, Names, RefBody, RefRecord, Row, StreamId, Sym, Tick, Typed};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::{History, START, State, TICK, TICKS, key, run, settings};
use crate::Settings;
use crate::selection::selected;
use crate::views::reference;

/// Said by an oracle where the exact answer lies too near to a limit.
pub(crate) const EITHER: &str = "*either*";
/// Distances this near to a limit or to each other, m, are not told apart.
const BLUR_M: f64 = 0.2;
/// Shares this near to a limit are not told apart.
const BLUR: f64 = 0.004;

/// The records in force.
pub(crate) struct Town {
    pub schemes: BTreeMap<Sym, RadiusSchemeRef>,
    pub parks: BTreeMap<Sym, ParkRef>,
    pub homes: BTreeMap<Sym, ResidenceRef>,
    /// Those that are open.
    pub ways: BTreeMap<Sym, WalkwayRef>,
    names: Arc<Names>,
    snap_m: f64,
}

/// The least way of a home, whether another park is as near, and whether any of it could be otherwise.
type Walk = (Option<(f64, Sym)>, bool, bool);

/// What is true of a home.
#[derive(Clone, Default)]
pub(crate) struct Fact {
    pub area: f64,
    pub share: f64,
    pub nearest: Option<(f64, Sym)>,
    pub walk: Option<(f64, Sym)>,
    /// Which of them could be otherwise.
    pub blurred: Blurred,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Blurred {
    pub nearest: bool,
    pub walking_park: bool,
    pub walking: bool,
}

impl Fact {
    /// Leaves open what of a row could be otherwise.
    pub(crate) fn blur(&self, row: &mut Json) {
        let mut open = Vec::new();
        if (self.share - 0.5).abs() < BLUR {
            open.push("covered");
        }
        if self.blurred.nearest {
            open.push("nearest_park");
        }
        if self.blurred.walking_park {
            open.push("walking_park");
        }
        if self.blurred.walking {
            open.extend(["walking_park", "walking_m", "walking_min", "on_foot", "path"]);
        }
        open.into_iter().for_each(|column| row[column] = EITHER.into());
    }
}

/// The same for a row of sums.
pub(crate) fn blur_sums(row: &mut Json, walking: bool) {
    if walking {
        row["walking_population"] = EITHER.into();
        row["walking_share"] = EITHER.into();
    }
    if let (Some(share), Some(threshold)) = (row["share"].as_f64(), row["threshold"].as_f64())
        && (share - threshold).abs() < BLUR
    {
        row["meets"] = EITHER.into();
    }
}

#[derive(Clone, Default)]
pub(crate) struct Facts {
    pub homes: BTreeMap<Sym, Fact>,
    /// Residential and covered area of each district, m².
    pub ground: BTreeMap<Sym, (f64, f64)>,
}

fn point(at: LonLat) -> Point {
    Point::new(at.degrees()[0], at.degrees()[1])
}

fn metres(a: LonLat, b: LonLat) -> f64 {
    Geodesic.distance(point(a), point(b))
}

/// Area on the ellipsoid, m².
pub(crate) fn geodesic_area(geometry: &Geometry) -> f64 {
    let Geometry::Areas(areas) = geometry else { return 0.0 };
    let ring = |ring: &Vec<LonLat>| LineString::from(ring.iter().map(|at| point(*at)).collect::<Vec<_>>());
    areas.iter().map(|rings| Polygon::new(ring(&rings[0]), vec![]).geodesic_area_unsigned()).sum()
}

/// The sinusoidal projection around the town: equal-area like that of the views, and otherwise unlike it.
fn plane(at: LonLat) -> Coord {
    let [lon, lat] = at.degrees();
    let (origin, foot) = (Point::new(109.49, 36.59), Point::new(109.49, lat));
    let beside = Point::new(109.49 + 0.001, lat);
    let y = Geodesic.distance(origin, foot) * (lat - 36.59).signum();
    Coord { x: Geodesic.distance(foot, beside) * (lon - 109.49) / 0.001, y }
}

/// The azimuthal equidistant projection around a place: what lies near it is as far from anything as on the ellipsoid.
fn around(origin: LonLat) -> impl Fn(LonLat) -> Coord {
    let origin = point(origin);
    move |at| {
        let (sin, cos) = Geodesic.bearing(origin, point(at)).to_radians().sin_cos();
        let far = Geodesic.distance(origin, point(at));
        Coord { x: far * sin, y: far * cos }
    }
}

pub(crate) fn polygons(geometry: &Geometry) -> MultiPolygon {
    polygons_in(geometry, plane)
}

fn polygons_in(geometry: &Geometry, plane: impl Fn(LonLat) -> Coord) -> MultiPolygon {
    let Geometry::Areas(areas) = geometry else { return MultiPolygon(vec![]) };
    let ring = |ring: &Vec<LonLat>| LineString::from(ring.iter().map(|at| plane(*at)).collect::<Vec<_>>());
    MultiPolygon(areas.iter().map(|rings| Polygon::new(ring(&rings[0]), vec![])).collect())
}

/// A buffer by its definition: the polygon, a rectangle along each edge and a disc at each corner, all counterclockwise: what
/// turns the other way would be taken away.
fn dilated(shape: &MultiPolygon, radius: f64) -> MultiPolygon {
    let discs = 360;
    let mut parts: Vec<Polygon> = shape.iter().map(|polygon| polygon.orient(Direction::Default)).collect();
    for line in shape.iter().flat_map(|polygon| polygon.exterior().lines()) {
        let (dx, dy, a, b) = (line.dx(), line.dy(), line.start, line.end);
        let length = dx.hypot(dy);
        let (nx, ny) = (-dy / length * radius, dx / length * radius);
        let corners =
            [(a.x - nx, a.y - ny), (b.x - nx, b.y - ny), (b.x + nx, b.y + ny), (a.x + nx, a.y + ny)];
        parts.push(Polygon::new(LineString::from(corners.to_vec()), vec![]));
        let angle = |n: i32| std::f64::consts::TAU * f64::from(n) / f64::from(discs);
        let disc: Vec<_> =
            (0..discs).map(|n| (a.x + radius * angle(n).cos(), a.y + radius * angle(n).sin())).collect();
        parts.push(Polygon::new(LineString::from(disc), vec![]));
    }
    geo::unary_union(&parts)
}

/// The edges of a walkway, the lesser end first.
fn edges_of(way: &WalkwayRef) -> impl Iterator<Item = (LonLat, LonLat)> {
    let pairs = way.lines.iter().flat_map(|line| line.windows(2)).filter(|pair| pair[0] != pair[1]);
    pairs.map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1])))
}

thread_local! {
    /// Most ticks change nothing: facts by all they follow from.
    static KNOWN: RefCell<BTreeMap<String, Rc<Facts>>> = RefCell::default();
}

impl Town {
    pub(crate) fn at(history: &History, at: Tick) -> Self {
        let of = |kind| reference::oracle::typed(history, at, kind).into_iter();
        let parks = of(Kind::Park).filter_map(|(id, typed)| match typed {
            Typed::Park(park) => Some((id, park)),
            _ => None,
        });
        let homes = of(Kind::Residence).filter_map(|(id, typed)| match typed {
            Typed::Residence(home) => Some((id, home)),
            _ => None,
        });
        let ways = of(Kind::Walkway).filter_map(|(id, typed)| match typed {
            Typed::Walkway(way) if way.open && edges_of(&way).next().is_some() => Some((id, way)),
            _ => None,
        });
        let schemes = of(Kind::RadiusScheme).filter_map(|(id, typed)| match typed {
            Typed::RadiusScheme(scheme) if scheme.enabled => Some((id, scheme)),
            _ => None,
        });
        Self {
            schemes: schemes.collect(),
            parks: parks.collect(),
            homes: homes.collect(),
            ways: ways.collect(),
            names: Arc::clone(&history.names),
            snap_m: history.settings.walk_snap_m,
        }
    }

    /// The radius of a park, by the words of the scheme.
    pub(crate) fn radius(&self, rules: &RadiusSchemeRef, park: &ParkRef) -> Option<f64> {
        if park.status != ParkStatus::Open || park.geometry.is_none() {
            return None;
        }
        if !rules.classes.is_empty() && rules.classes.iter().all(|class| *class != park.class) {
            return None;
        }
        let area = park.area_m2.unwrap_or_else(|| park.geometry.as_ref().map_or(0.0, geodesic_area));
        let mut best = None;
        for step in &rules.steps {
            if area >= step.min_area_m2 && (!step.historic || park.historic) && best < Some(step.radius_m) {
                best = Some(step.radius_m);
            }
        }
        best
    }

    pub(crate) fn facts(&self, rules: &RadiusSchemeRef) -> Rc<Facts> {
        let all = format!("{:?} {:?} {:?} {rules:?}", self.parks, self.homes, self.ways);
        let known = KNOWN.with_borrow(|known| known.get(&all).cloned());
        known.unwrap_or_else(|| {
            let facts = Rc::new(self.compute(rules));
            KNOWN.with_borrow_mut(|known| known.insert(all, Rc::clone(&facts)));
            facts
        })
    }

    fn compute(&self, rules: &RadiusSchemeRef) -> Facts {
        let mut reach = MultiPolygon(vec![]);
        for park in self.parks.values() {
            if let (Some(radius), Some(geometry)) = (self.radius(rules, park), &park.geometry) {
                reach = reach.union(&dilated(&polygons(geometry), radius));
            }
        }
        let mut facts = Facts::default();
        let walks = self.walks(rules);
        let mut districts: BTreeMap<Sym, MultiPolygon> = BTreeMap::new();
        for (&id, home) in &self.homes {
            let Some(geometry) = &home.geometry else {
                facts.ground.entry(home.district).or_default();
                facts.homes.insert(id, Fact::default());
                continue;
            };
            let shape = polygons(geometry);
            let (mut area, mut share) = (shape.unsigned_area(), 0.0);
            let ground = facts.ground.entry(home.district).or_default();
            if let Geometry::Points(at) = geometry {
                area = home.area_m2.unwrap_or(0.0);
                share = f64::from(u8::from(geo::Contains::contains(&reach, &Point(plane(at[0])))));
                ground.0 += area;
                ground.1 += area * share;
            } else if area > 0.0 {
                share = shape.intersection(&reach).unsigned_area() / area;
                let there = districts.entry(home.district).or_insert_with(|| MultiPolygon(vec![]));
                *there = there.union(&shape);
            }
            let mut near: Vec<(f64, &str, Sym)> = Vec::new();
            for (&park, record) in self.parks.iter().filter(|(_, park)| park.status == ParkStatus::Open) {
                let Some(there) = &record.geometry else { continue };
                let distance = match geometry {
                    Geometry::Points(at) => {
                        Euclidean.distance(&Point::new(0.0, 0.0), &polygons_in(there, around(at[0])))
                    }
                    Geometry::Areas(areas) => {
                        let plane = around(areas[0][0][0]);
                        Euclidean.distance(&polygons_in(geometry, &plane), &polygons_in(there, &plane))
                    }
                    Geometry::Lines(_) => panic!("no home is a line"),
                };
                near.push((distance, self.names.resolve(park), park));
            }
            near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
            let (walk, walking_park, walking) = walks.get(&id).copied().unwrap_or_default();
            let blurred = Blurred {
                nearest: near.len() > 1 && near[1].0 > 0.0 && near[1].0 - near[0].0 < BLUR_M,
                walking_park,
                walking,
            };
            let nearest = near.first().map(|(distance, _, park)| (*distance, *park));
            facts.homes.insert(id, Fact { area, share, nearest, walk, blurred });
        }
        for (district, shape) in districts {
            let ground = facts.ground.entry(district).or_default();
            ground.0 += shape.unsigned_area();
            ground.1 += shape.intersection(&reach).unsigned_area();
        }
        facts
    }

    /// The least way of each home to an entrance, whether another park is as near, and whether any of it could be otherwise.
    fn walks(&self, rules: &RadiusSchemeRef) -> BTreeMap<Sym, Walk> {
        let edges: Vec<(LonLat, LonLat)> = self.ways.values().flat_map(edges_of).collect();
        // Where on an edge a place is nearest to it: by halving, on the ellipsoid.
        let foot = |p: LonLat, (a, b): (LonLat, LonLat)| {
            let to = |t: f64| Geodesic.distance(point(p), point(a) + (point(b) - point(a)) * t);
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..50 {
                let third = (high - low) / 3.0;
                if to(low + third) <= to(high - third) { high -= third } else { low += third }
            }
            let t = (low + high) / 2.0;
            (to(t), t * metres(a, b))
        };
        // The nearest edge, and whether that could be another one, or none.
        let snap = |p: LonLat| {
            let mut feet: Vec<_> = edges.iter().map(|edge| (foot(p, *edge), *edge)).collect();
            feet.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
            let first = *feet.first()?;
            let place = |((_, along), (a, b)): ((f64, f64), (LonLat, LonLat))| {
                point(a) + (point(b) - point(a)) * (along / metres(a, b))
            };
            let other = feet.iter().find(|other| {
                other.0.0 - first.0.0 < 0.05 && Geodesic.distance(place(**other), place(first)) > BLUR_M
            });
            let blurred = other.is_some() || (first.0.0 - self.snap_m).abs() < 0.05;
            Some((first, first.0.0 <= self.snap_m, blurred))
        };
        let mut gates = Vec::new();
        let mut all_blurred = false;
        for (&park, record) in &self.parks {
            if self.radius(rules, record).is_some() {
                for (found, within, blurred) in record.entrances.iter().filter_map(|at| snap(*at)) {
                    all_blurred |= blurred;
                    if within {
                        gates.push((park, found));
                    }
                }
            }
        }
        let mut walks = BTreeMap::new();
        for (&id, home) in &self.homes {
            let start = match &home.geometry {
                None => continue,
                Some(Geometry::Points(at)) => at[0],
                Some(geometry) => self.middle(geometry),
            };
            let Some((((off, along), edge), within, blurred)) = snap(start) else { continue };
            if !within {
                walks.insert(id, (None, false, all_blurred || blurred));
                continue;
            }
            let mut done: BTreeMap<LonLat, f64> = BTreeMap::new();
            let mut heap = BinaryHeap::new();
            let nano = |d: f64| (d * 1e9) as u64;
            heap.push((Reverse(nano(off + along)), edge.0));
            heap.push((Reverse(nano(off + metres(edge.0, edge.1) - along)), edge.1));
            while let Some((Reverse(d), node)) = heap.pop() {
                let d = d as f64 / 1e9;
                if done.contains_key(&node) {
                    continue;
                }
                done.insert(node, d);
                for (a, b) in edges.iter().filter(|(a, b)| *a == node || *b == node) {
                    heap.push((Reverse(nano(d + metres(*a, *b))), if *a == node { *b } else { *a }));
                }
            }
            let mut best: BTreeMap<Sym, f64> = BTreeMap::new();
            for (park, ((gate_off, gate_along), (a, b))) in &gates {
                let mut ways = vec![];
                if (*a, *b) == edge {
                    ways.push(off + (along - gate_along).abs() + gate_off);
                }
                ways.extend(done.get(a).map(|d| d + gate_along + gate_off));
                ways.extend(done.get(b).map(|d| d + metres(*a, *b) - gate_along + gate_off));
                for way in ways {
                    let there = best.entry(*park).or_insert(way);
                    *there = there.min(way);
                }
            }
            let mut best: Vec<(f64, Sym)> = best.into_iter().map(|(park, d)| (d, park)).collect();
            best.sort_by(|a, b| {
                a.0.total_cmp(&b.0).then_with(|| self.names.resolve(a.1).cmp(self.names.resolve(b.1)))
            });
            let tie = best.len() > 1 && best[1].0 - best[0].0 < BLUR_M;
            let at_limit = best
                .first()
                .is_some_and(|(d, _)| (d - rules.walk_m).abs() < BLUR_M || (d - 2000.0).abs() < BLUR_M);
            walks.insert(id, (best.first().copied(), tie, all_blurred || blurred || at_limit));
        }
        walks
    }

    /// The centre of area, back in degrees.
    fn middle(&self, geometry: &Geometry) -> LonLat {
        let Some(centre) = polygons(geometry).centroid() else { return LonLat { lon: 0, lat: 0 } };
        // The plane is nearly straight within a town: two steps of Newton's method end within a millimetre.
        let mut at = LonLat { lon: 1_094_900_000, lat: 365_900_000 };
        for _ in 0..3 {
            let now = plane(at);
            at.lat += ((centre.y() - now.y) / 0.011_1).round() as i32;
            at.lon += ((centre.x() - now.x) / 0.008_95).round() as i32;
        }
        at
    }
}

/// Metres east and north of a corner of the town, as a place.
fn place(x: f64, y: f64) -> LonLat {
    LonLat { lon: 1_094_900_000 + (x * 112.0) as i32, lat: 365_900_000 + (y * 90.0) as i32 }
}

/// One change of the records, drawn at random.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Park { id: u8, x: u8, y: u8, size: u8, status: u8, gates: u8 },
    Home { id: u8, x: u8, y: u8, size: u8, district: u8, people: u8 },
    Way { id: u8, from: (u8, u8), to: (u8, u8), open: bool },
    Scheme { id: u8, variant: u8 },
    Gone { kind: u8, id: u8 },
}

pub(super) fn edit() -> impl Strategy<Value = (u8, bool, Edit)> {
    let edit = prop_oneof![
        4 => (0u8..4, 0u8..20, 0u8..20, 3u8..120, 0u8..6, 0u8..4)
            .prop_map(|(id, x, y, size, status, gates)| Edit::Park { id, x, y, size, status, gates }),
        6 => (0u8..6, 0u8..20, 0u8..20, 0u8..120, 0u8..3, 0u8..9)
            .prop_map(|(id, x, y, size, district, people)| Edit::Home { id, x, y, size, district, people }),
        12 => (0u8..20, (0u8..6, 0u8..6), (0u8..6, 0u8..6), prop::bool::weighted(0.9))
            .prop_map(|(id, from, to, open)| Edit::Way { id, from, to, open }),
        2 => (0u8..2, 0u8..4).prop_map(|(id, variant)| Edit::Scheme { id, variant }),
        2 => (0u8..4, 0u8..20).prop_map(|(kind, id)| Edit::Gone { kind, id }),
    ];
    (0..TICKS as u8, prop::bool::weighted(0.15), edit)
}

pub(super) fn blob(x: f64, y: f64, radius: f64, corners: u32, seed: u32) -> Geometry {
    let corner = |k: u32| {
        let uneven = 0.6 + f64::from((k * 7919 + seed * 104_729) % 97) / 97.0 * 0.8;
        let (sin, cos) = (std::f64::consts::TAU * f64::from(k) / f64::from(corners)).sin_cos();
        place(x + radius * uneven * cos, y + radius * uneven * sin)
    };
    Geometry::Areas(vec![vec![(0..corners).map(corner).collect()]])
}

/// The kind, id and content of a record.
fn record(history: &History, edit: &Edit) -> (Kind, Sym, Option<Typed>) {
    // Ids whose order as text is not that in which they come.
    let name = |kind: &str, n: u8| history.names.intern(&format!("{kind}{}", u32::from(n) * 37 % 101));
    let grid =
        |n: u8, shift: u8| f64::from(n) * 160.0 + f64::from((u32::from(n) * 7 + u32::from(shift) * 13) % 31);
    match *edit {
        Edit::Park { id, x, y, size, status, gates } => {
            let (x, y, radius) = (grid(x, id), grid(y, id + 5), f64::from(size) * 1.7);
            let park = ParkRef {
                name: Some(format!("park {id}").into()),
                district: name("district", id % 2),
                class: name("class", status % 2),
                status: match status {
                    0 => ParkStatus::Closed,
                    1 => ParkStatus::Planned,
                    _ => ParkStatus::Open,
                },
                area_m2: (status == 2).then_some(2500.0),
                geometry: (size % 16 != 7).then(|| blob(x, y, radius, 9, u32::from(id))),
                entrances: (0..gates)
                    .map(|n| place(x + radius * f64::from(n) + 3.0, y + 11.0 * f64::from(n)))
                    .collect(),
                historic: status == 3,
            };
            (Kind::Park, name("park", id), Some(Typed::Park(park)))
        }
        Edit::Home { id, x, y, size, district, people } => {
            let (x, y) = (grid(x, id + 3), grid(y, id + 11));
            let home = ResidenceRef {
                name: None,
                district: if district == 2 { Sym::EMPTY } else { name("district", district) },
                population: f64::from(people) * 100.0,
                geometry: match size {
                    0 => Some(Geometry::Points(vec![place(x, y)])),
                    1 => None,
                    // Some are larger than a cell of the grid.
                    n => Some(blob(x, y, f64::from(n) * 4.0 + 10.0, 7, u32::from(id))),
                },
                area_m2: Some(1000.0),
            };
            (Kind::Residence, name("home", id), Some(Typed::Residence(home)))
        }
        Edit::Way { id, from, to, open } => {
            // On curves, so that no two edges lie along each other: which one is nearest is then a matter of fact.
            let bend = |n: u8| f64::from(n) * f64::from(n) * 13.0;
            let corner = |(x, y): (u8, u8)| {
                place(f64::from(x) * 450.0 + bend(y), f64::from(y) * 440.0 + bend(x) / 2.0)
            };
            let lines = vec![vec![corner(from), corner((from.0, to.1)), corner(to)]];
            (Kind::Walkway, name("way", id), Some(Typed::Walkway(WalkwayRef { open, lines })))
        }
        Edit::Scheme { id, variant } => {
            let step = |min_area_m2, radius_m, historic| RadiusStep { min_area_m2, radius_m, historic };
            let scheme = RadiusSchemeRef {
                enabled: variant != 3,
                classes: if variant == 2 { vec![name("class", 0)] } else { Vec::new() },
                steps: vec![step(5000.0, 500.0, false), step(400.0, 300.0, false), step(100.0, 200.0, true)],
                threshold: (variant > 0).then_some(0.4),
                walk_m: if variant == 1 { 300.0 } else { 1000.0 },
            };
            (Kind::RadiusScheme, name("scheme", id), Some(Typed::RadiusScheme(scheme)))
        }
        Edit::Gone { kind: 0, id } => (Kind::Park, name("park", id % 4), None),
        Edit::Gone { kind: 1, id } => (Kind::Residence, name("home", id % 6), None),
        Edit::Gone { kind: 2, id } => (Kind::RadiusScheme, name("scheme", id % 2), None),
        Edit::Gone { id, .. } => (Kind::Walkway, name("way", id), None),
    }
}

/// The history of `edits`, each at its tick or announced there for later.
pub(super) fn history(mut edits: Vec<(u8, bool, Edit)>) -> History {
    edits.push((0, false, Edit::Scheme { id: 0, variant: 0 }));
    edits.sort_by_key(|(tick, ..)| *tick);
    let views = Some(OURS.map(str::to_owned).to_vec());
    let mut history = History::new(Settings { views, ..settings() });
    for (n, (tick, ahead, edit)) in (0u64..).zip(edits) {
        let tick = START + u64::from(tick) * TICK;
        let (kind, id, typed) = record(&history, &edit);
        let body = typed.map(|typed| Arc::new(RefBody { json: format!("{{\"n\":{n}}}").into(), typed }));
        let ts = ahead.then(|| tick as i64 + 2500);
        let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: n };
        history.rows.push((tick, Row::Reference(Box::new(RefRecord { pos, kind, id, ts, body }))));
    }
    history
}

/// Whether what a view says of a column is what the oracle says, to what was promised.
fn agrees(column: &str, said: &Json, expected: &Json) -> bool {
    match (said, expected) {
        (_, Json::String(either)) if either == EITHER => true,
        (path, Json::Bool(shown)) if column == "path" => path.is_array() == *shown,
        (Json::Number(said), Json::Number(expected)) => {
            let (Some(said), Some(expected)) = (said.as_f64(), expected.as_f64()) else { return false };
            // Lengths to centimetres. The chord of an arc is up to 6 cm inside it, which is 0.1 % of a home of 60 m; the
            // homes here are as small as 20 m.
            let slack = match column {
                "green_cover" | "green_land" | "share" | "covered_share" | "population_share"
                | "walking_share" => 2.5e-3,
                "covered_area" | "covered_population" | "uncovered_population" => {
                    1e-3 * expected.abs() + 60.0
                }
                _ => 0.08 + 1e-4 * expected.abs(),
            };
            (said - expected).abs() <= slack
        }
        (said, expected) => said == expected,
    }
}

/// The views that are checked here.
const OURS: [&str; 3] = ["parks", "residence_access", "park_radius"];

/// The views that run equal their oracles at every tick, on 1, 2 and 3 workers.
pub(super) fn check(history: &History) {
    let views = selected(&history.settings).unwrap();
    let at = |view: &crate::views::View, tick| -> State {
        (view.oracle)(history, tick).into_iter().map(|row| (key(&view.spec, &row), row)).collect()
    };
    let expected: Vec<BTreeMap<Tick, State>> = views
        .iter()
        .map(|view| history.ticks(history.last()).map(|tick| (tick, at(view, tick))).collect())
        .collect();
    for workers in 1..=3 {
        let said = run(history, workers);
        for ((view, expected), said) in views.iter().zip(&expected).zip(&said) {
            for (tick, state) in expected {
                let there = &said[tick];
                let name = view.spec.name;
                assert!(there.keys().eq(state.keys()), "{name}: {:?} for {:?}", there.keys(), state.keys());
                for (key, row) in state {
                    for (column, value) in row.as_object().unwrap() {
                        let says = &there[key][column];
                        assert!(
                            agrees(column, says, value),
                            "{name} {key} at +{} s on {workers} workers: {column} is {says}, oracle {value}",
                            (tick - START) / 1000,
                        );
                    }
                }
            }
        }
    }
}

/// A park that goes makes the share fall: the alert is raised at that tick, and cleared when the park is back.
#[test]
fn a_share_that_falls_alerts_until_it_is_back() {
    let home = Edit::Home { id: 0, x: 2, y: 2, size: 9, district: 1, people: 3 };
    let park = || Edit::Park { id: 1, x: 2, y: 2, size: 80, status: 3, gates: 1 };
    let edits = vec![
        (0, false, home),
        (0, false, park()),
        (5, false, Edit::Gone { kind: 0, id: 1 }),
        (9, false, park()),
    ];
    let mut history = history(edits);
    let rule = RuleRef {
        signal: Signal::Occasion(Occasion::ShareFell),
        levels: vec![Level { severity: Severity::Warning, limit: Limit::Above { raise: 0.0, clear: 0.0 } }],
        ..RuleRef::default()
    };
    let body = Some(Arc::new(RefBody { json: "{}".into(), typed: Typed::Rule(Box::new(rule)) }));
    let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: 1_000_000 };
    let record = RefRecord { pos, kind: Kind::Rule, id: history.names.intern("fell"), ts: None, body };
    history.rows.insert(0, (START, Row::Reference(Box::new(record))));
    history.settings.views = Some(vec!["alerts".to_owned(), "park_radius".to_owned()]);
    let district = history.names.resolve(history.names.intern("district37")).to_owned();
    let at = |n: u64| START + n * TICK;
    for workers in 1..=3 {
        let said = &run(&history, workers)[0];
        let states = |tick| -> Vec<(String, String, i64)> {
            let text = |row: &Json, column: &str| row[column].as_str().unwrap().to_owned();
            let of = |row: &Json| {
                (text(row, "target"), text(row, "state"), row["raised_ts"].as_i64().unwrap() - START as i64)
            };
            let mut states: Vec<_> = said[&tick].values().map(of).collect();
            states.sort();
            states
        };
        let both = |state: &str| {
            ["city", district.as_str()].map(|target| (target.to_owned(), state.to_owned(), 5 * TICK as i64))
        };
        assert_eq!(states(at(4)), []);
        assert_eq!(states(at(5)), both("open"));
        assert_eq!(states(at(8)), both("open"));
        assert_eq!(states(at(9)), both("cleared"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn parks_equal_exact_overlay_and_dijkstra_at_every_tick(edits in proptest::collection::vec(edit(), 0..60)) {
        check(&history(edits));
    }
}
