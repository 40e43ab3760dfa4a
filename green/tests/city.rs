//! A city under random edits: what is maintained is what a fresh start says, to the bit, and what exact overlay and
//! Dijkstra's algorithm say, to what was promised.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use geo::{Area, BooleanOps, Coord, LineString, MultiPolygon, Polygon};
use green::city::{Access, Changes, City, Totals, Walking};
use green::measure::project;
use green::projection::{Sheet, SheetId};
use model::reference::{
    Geometry, LonLat, ParkRef, ParkStatus, RadiusSchemeRef, RadiusStep, ResidenceRef, WalkwayRef,
};
use model::{Names, Sym};
use proptest::prelude::*;

/// Metres east and north of a corner of the town, as a place.
fn at(x: f64, y: f64) -> LonLat {
    LonLat { lon: 1_094_900_000 + (x * 112.0) as i32, lat: 365_900_000 + (y * 90.0) as i32 }
}

/// A ring of `n` corners, uneven by `seed`.
fn blob(x: f64, y: f64, radius: f64, n: u32, seed: u32) -> Geometry {
    let corner = |k: u32| {
        let uneven = 0.6 + f64::from((k * 7919 + seed * 104_729) % 97) / 97.0 * 0.8;
        let (sin, cos) = (std::f64::consts::TAU * f64::from(k) / f64::from(n)).sin_cos();
        at(x + radius * uneven * cos, y + radius * uneven * sin)
    };
    Geometry::Areas(vec![vec![(0..n).map(corner).collect()]])
}

fn scheme() -> RadiusSchemeRef {
    let step = |min_area_m2, radius_m, historic| RadiusStep { min_area_m2, radius_m, historic };
    RadiusSchemeRef {
        enabled: true,
        classes: Vec::new(),
        steps: vec![step(5000.0, 500.0, false), step(400.0, 300.0, false), step(100.0, 200.0, true)],
        threshold: Some(0.85),
        walk_m: 500.0,
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Park { id: u8, x: u8, y: u8, radius: u8, status: u8, gates: u8 },
    Home { id: u8, x: u8, y: u8, radius: u8, district: u8, people: u8 },
    Way { id: u8, from: (u8, u8), to: (u8, u8), open: bool },
    Gone { kind: u8, id: u8 },
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (0u8..5, 0u8..20, 0u8..20, 3u8..120, 0u8..6, 0u8..4)
            .prop_map(|(id, x, y, radius, status, gates)| Edit::Park { id, x, y, radius, status, gates }),
        4 => (0u8..8, 0u8..20, 0u8..20, 0u8..200, 0u8..2, 0u8..9)
            .prop_map(|(id, x, y, radius, district, people)| Edit::Home { id, x, y, radius, district, people }),
        8 => (0u8..30, (0u8..6, 0u8..6), (0u8..6, 0u8..6), prop::bool::weighted(0.9))
            .prop_map(|(id, from, to, open)| Edit::Way { id, from, to, open }),
        1 => (0u8..3, 0u8..30).prop_map(|(kind, id)| Edit::Gone { kind, id }),
    ]
}

/// The records in force.
#[derive(Clone, Default)]
struct Records {
    parks: BTreeMap<Sym, ParkRef>,
    homes: BTreeMap<Sym, ResidenceRef>,
    ways: BTreeMap<Sym, WalkwayRef>,
}

impl Records {
    fn all(&self) -> Changes {
        let some = |park: &ParkRef| Some(park.clone());
        Changes {
            parks: self.parks.iter().map(|(id, park)| (*id, some(park))).collect(),
            residences: self.homes.iter().map(|(id, home)| (*id, Some(home.clone()))).collect(),
            walkways: self.ways.iter().map(|(id, way)| (*id, Some(way.clone()))).collect(),
        }
    }

    fn edit(&mut self, names: &Names, edit: &Edit, changes: &mut Changes) {
        let name = |kind: &str, id: u8| names.intern(&format!("{kind}{}", (u32::from(id) * 37) % 101));
        let place = |n: u8| f64::from(n) * 160.0 + f64::from(n % 3) * 17.0;
        match *edit {
            Edit::Park { id, x, y, radius, status, gates } => {
                let (x, y, radius) = (place(x), place(y), f64::from(radius) * 1.7);
                let park = ParkRef {
                    name: None,
                    district: Sym::EMPTY,
                    class: Sym::EMPTY,
                    status: [ParkStatus::Closed, ParkStatus::Planned][usize::from(status % 2)..]
                        .first()
                        .copied()
                        .filter(|_| status < 2)
                        .unwrap_or(ParkStatus::Open),
                    area_m2: None,
                    geometry: Some(blob(x, y, radius, 9, u32::from(id))),
                    entrances: (0..gates)
                        .map(|n| at(x + radius * f64::from(n), y + 10.0 * f64::from(n)))
                        .collect(),
                    historic: status == 3,
                };
                let id = name("park", id);
                self.parks.insert(id, park.clone());
                changes.parks.retain(|(there, _)| *there != id);
                changes.parks.push((id, Some(park)));
            }
            Edit::Home { id, x, y, radius, district, people } => {
                let geometry = match radius {
                    0 => Geometry::Points(vec![at(place(x), place(y))]),
                    // Some are larger than a cell.
                    n => blob(place(x), place(y), f64::from(n) * 3.0 + 10.0, 7, u32::from(id)),
                };
                let home = ResidenceRef {
                    name: None,
                    district: name("district", district),
                    population: f64::from(people) * 100.0,
                    geometry: Some(geometry),
                    area_m2: Some(1000.0),
                };
                let id = name("home", id);
                self.homes.insert(id, home.clone());
                changes.residences.retain(|(there, _)| *there != id);
                changes.residences.push((id, Some(home)));
            }
            Edit::Way { id, from, to, open } => {
                // On curves, so that no two edges lie along each other: which one is nearest is then a matter of fact.
                let bend = |n: u8| f64::from(n) * f64::from(n) * 13.0;
                let corner = |(x, y): (u8, u8)| {
                    at(f64::from(x) * 450.0 + bend(y), f64::from(y) * 440.0 + bend(x) / 2.0)
                };
                let lines = vec![vec![corner(from), corner((from.0, to.1)), corner(to)]];
                let way = WalkwayRef { open, lines };
                let id = name("way", id);
                self.ways.insert(id, way.clone());
                changes.walkways.retain(|(there, _)| *there != id);
                changes.walkways.push((id, Some(way)));
            }
            Edit::Gone { kind: 0, id } => {
                let id = name("park", id % 5);
                self.parks.remove(&id);
                changes.parks.retain(|(there, _)| *there != id);
                changes.parks.push((id, None));
            }
            Edit::Gone { kind: 1, id } => {
                let id = name("home", id % 8);
                self.homes.remove(&id);
                changes.residences.retain(|(there, _)| *there != id);
                changes.residences.push((id, None));
            }
            Edit::Gone { id, .. } => {
                let id = name("way", id);
                self.ways.remove(&id);
                changes.walkways.retain(|(there, _)| *there != id);
                changes.walkways.push((id, None));
            }
        }
    }
}

/// A geometry in the sheet of the town, as geo has it.
fn polygons(geometry: &Geometry) -> MultiPolygon {
    let sheet = Sheet::new(SheetId::of(at(0.0, 0.0)));
    multi(&project(geometry, &sheet))
}

fn multi(shape: &green::shape::Shape) -> MultiPolygon {
    let ring = |ring: &Vec<[f64; 2]>| {
        LineString::from(ring.iter().map(|[x, y]| Coord { x: *x, y: *y }).collect::<Vec<_>>())
    };
    let polygon =
        |rings: &Vec<Vec<[f64; 2]>>| Polygon::new(ring(&rings[0]), rings[1..].iter().map(ring).collect());
    MultiPolygon(shape.iter().map(polygon).collect())
}

/// The buffer as what it is by definition: the polygon, a rectangle along each edge and a disc at each corner.
fn dilated(shape: &MultiPolygon, radius: f64) -> MultiPolygon {
    let mut all = shape.clone();
    let discs = 720;
    for polygon in shape {
        for line in polygon.exterior().lines() {
            let (dx, dy) = (line.dx(), line.dy());
            let length = dx.hypot(dy);
            let (nx, ny) = (-dy / length * radius, dx / length * radius);
            let (a, b) = (line.start, line.end);
            let corners =
                [(a.x + nx, a.y + ny), (b.x + nx, b.y + ny), (b.x - nx, b.y - ny), (a.x - nx, a.y - ny)];
            all = all.union(&Polygon::new(LineString::from(corners.to_vec()), vec![]));
            let disc: Vec<(f64, f64)> = (0..discs)
                .map(|n| {
                    let (sin, cos) = (std::f64::consts::TAU * f64::from(n) / f64::from(discs)).sin_cos();
                    (a.x + radius * cos, a.y + radius * sin)
                })
                .collect();
            all = all.union(&Polygon::new(LineString::from(disc), vec![]));
        }
    }
    all
}

/// Residential area and covered area of a district, m², by overlay of the whole city at once.
fn overlaid(records: &Records, district: Sym) -> (f64, f64) {
    let mut homes = MultiPolygon(vec![]);
    let mut points = 0.0;
    let mut reach = MultiPolygon(vec![]);
    for park in records.parks.values() {
        if let Some(radius) = City::reach(&scheme(), park).radius_m {
            reach = reach.union(&dilated(&polygons(park.geometry.as_ref().unwrap()), radius));
        }
    }
    let (mut area, mut covered) = (0.0, 0.0);
    for home in records.homes.values().filter(|home| home.district == district) {
        match home.geometry.as_ref().unwrap() {
            Geometry::Points(at) => {
                let sheet = Sheet::new(SheetId::of(at[0]));
                let [x, y] = sheet.project(at[0]);
                points += 1000.0;
                if geo::Contains::contains(&reach, &geo::Point::new(x, y)) {
                    covered += 1000.0;
                }
            }
            geometry => homes = homes.union(&polygons(geometry)),
        }
    }
    area += points + homes.unsigned_area();
    covered += homes.intersection(&reach).unsigned_area();
    (area, covered)
}

/// Walking distances from scratch, m: an attachment by looking at every edge, then Dijkstra from each home. Lengths are
/// geodesics of the ellipsoid.
fn walked(records: &Records) -> BTreeMap<Sym, f64> {
    use geo::{Distance, Geodesic};
    let point = |p: LonLat| geo::Point::new(p.degrees()[0], p.degrees()[1]);
    let metres = |a: LonLat, b: LonLat| Geodesic.distance(point(a), point(b));
    let mut edges: BTreeSet<(LonLat, LonLat)> = BTreeSet::new();
    for way in records.ways.values().filter(|way| way.open) {
        for pair in way.lines.iter().flat_map(|line| line.windows(2)).filter(|pair| pair[0] != pair[1]) {
            edges.insert((pair[0].min(pair[1]), pair[0].max(pair[1])));
        }
    }
    // The foot on an edge by a search for the least distance along it.
    let foot = |p: LonLat, &(a, b): &(LonLat, LonLat)| {
        let to = |t: f64| Geodesic.distance(point(p), point(a) + (point(b) - point(a)) * t);
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let third = (high - low) / 3.0;
            if to(low + third) <= to(high - third) { high -= third } else { low += third }
        }
        let t = (low + high) / 2.0;
        (to(t), t * metres(a, b))
    };
    let snap = |p: LonLat| {
        let near = edges.iter().map(|edge| (foot(p, edge), *edge));
        near.min_by(|a, b| a.0.0.total_cmp(&b.0.0)).filter(|((off, _), _)| *off <= Walking::default().snap_m)
    };
    let mut gates = Vec::new();
    for park in records.parks.values() {
        if City::reach(&scheme(), park).radius_m.is_some() {
            gates.extend(park.entrances.iter().filter_map(|gate| snap(*gate)));
        }
    }
    let mut found = BTreeMap::new();
    for (id, home) in &records.homes {
        let Some(((off, along), edge)) =
            snap(green::measure::start(home.geometry.as_ref().unwrap()).unwrap())
        else {
            continue;
        };
        let mut best = f64::INFINITY;
        for ((gate_off, gate_along), gate_edge) in &gates {
            if *gate_edge == edge {
                best = best.min(off + (along - gate_along).abs() + gate_off);
            }
        }
        let mut done: BTreeMap<LonLat, f64> = BTreeMap::new();
        let mut heap = BinaryHeap::new();
        let whole = metres(edge.0, edge.1);
        for (node, d) in [(edge.0, off + along), (edge.1, off + whole - along)] {
            heap.push((std::cmp::Reverse((d * 1e6) as u64), node));
        }
        while let Some((std::cmp::Reverse(micro), node)) = heap.pop() {
            let d = micro as f64 / 1e6;
            if done.get(&node).is_some_and(|there| *there <= d) {
                continue;
            }
            done.insert(node, d);
            for (a, b) in edges.iter().filter(|(a, b)| *a == node || *b == node) {
                let next = if *a == node { *b } else { *a };
                heap.push((std::cmp::Reverse(((d + metres(*a, *b)) * 1e6) as u64), next));
            }
        }
        for ((gate_off, gate_along), (a, b)) in &gates {
            let whole = metres(*a, *b);
            for (node, along) in [(a, *gate_along), (b, whole - gate_along)] {
                if let Some(d) = done.get(node) {
                    best = best.min(d + along + gate_off);
                }
            }
        }
        if best.is_finite() {
            found.insert(*id, best);
        }
    }
    found
}

fn sums(served: &BTreeMap<Sym, Arc<Access>>) -> BTreeMap<Sym, Totals> {
    let mut sums: BTreeMap<Sym, Totals> = BTreeMap::new();
    for access in served.values() {
        let sum = sums.entry(access.district).or_default();
        *sum = sum.plus(access.totals, 1);
    }
    sums
}

fn batches() -> impl Strategy<Value = Vec<Vec<Edit>>> {
    proptest::collection::vec(proptest::collection::vec(edit(), 1..12), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever came first: the same answer, bit for bit, and everything that changed is said.
    #[test]
    fn maintained_is_a_fresh_start(batches in batches()) {
        let names = Arc::new(Names::new());
        let mut city = City::new(&names, scheme(), Walking::default());
        let (mut records, mut said) = (Records::default(), BTreeMap::new());
        for batch in batches {
            let mut changes = Changes::default();
            batch.iter().for_each(|edit| records.edit(&names, edit, &mut changes));
            for (id, old, new) in city.apply(changes) {
                prop_assert_eq!(&old, &match new { Some(new) => said.insert(id, new), None => said.remove(&id) });
            }
            let mut fresh = City::new(&names, scheme(), Walking::default());
            let expected: BTreeMap<_, _> =
                fresh.apply(records.all()).into_iter().filter_map(|(id, _, new)| Some((id, new?))).collect();
            prop_assert_eq!(&said, &expected);
            prop_assert_eq!(city.totals(), &sums(&said));
            prop_assert_eq!(city.totals(), fresh.totals());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Areas are within 0.1 % of the overlay of the whole city, walking distances within 0.01 % of geodesics.
    #[test]
    fn it_agrees_with_exact_overlay_and_dijkstra(batches in batches()) {
        let names = Arc::new(Names::new());
        let mut city = City::new(&names, scheme(), Walking::default());
        let mut records = Records::default();
        for batch in batches {
            let mut changes = Changes::default();
            batch.iter().for_each(|edit| records.edit(&names, edit, &mut changes));
            city.apply(changes);
        }
        for (district, totals) in city.totals() {
            let (area, covered) = overlaid(&records, *district);
            let m2 = |micro: i64| micro as f64 / 1e6;
            prop_assert!((m2(totals.area) - area).abs() <= area * 1e-6, "{} m² for {}", m2(totals.area), area);
            prop_assert!((m2(totals.covered) - covered).abs() <= area * 1e-3, "{} m² for {}", m2(totals.covered), covered);
        }
        let expected = walked(&records);
        for id in records.homes.keys() {
            let walk = city.access(*id).unwrap().walk.as_ref();
            match (walk, expected.get(id)) {
                (Some(walk), Some(metres)) => {
                    let said = f64::from(walk.mm) / 1000.0;
                    prop_assert!((said - metres).abs() <= 0.05 + metres * 1e-4, "{} m for {}", said, metres);
                }
                (none, metres) => prop_assert!(none.is_none() && metres.is_none(), "{:?} for {:?}", none, metres),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// What would be if is what is, once it is so.
    #[test]
    fn what_if_is_what_then_is(batches in batches(), then in proptest::collection::vec(edit(), 1..4)) {
        let names = Arc::new(Names::new());
        let (mut records, mut changes) = (Records::default(), Changes::default());
        batches.iter().flatten().for_each(|edit| records.edit(&names, edit, &mut changes));
        let mut city = City::new(&names, scheme(), Walking::default());
        city.apply(records.all());
        let known = green::whatif::Records {
            parks: records.parks.clone(),
            residences: records.homes.clone(),
            walkways: records.ways.clone(),
        };
        let before = city.totals().clone();
        let mut changes = Changes::default();
        then.iter().for_each(|edit| records.edit(&names, edit, &mut changes));
        let answer = green::whatif::what_if(&names, &scheme(), Walking::default(), &known, changes.clone());
        city.apply(changes);
        let districts: BTreeSet<Sym> = before.keys().chain(city.totals().keys()).copied().collect();
        for district in districts {
            let of = |totals: &BTreeMap<Sym, Totals>| totals.get(&district).copied().unwrap_or_default();
            let more = of(city.totals()).plus(of(&before), -1);
            prop_assert_eq!(answer.districts.get(&district).copied().unwrap_or_default(), more);
        }
    }
}
