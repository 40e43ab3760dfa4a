//! A fence: an area or a route, and where a place or a movement is with regard to it.
//!
//! **Meaning.** An area is one or more polygons with holes; edges are straight in longitude and latitude, as GeoJSON
//! has them (RFC 7946). A place is inside by the even–odd rule, decided exactly in integers. *Near* means within the
//! margin of the boundary: there a fix of limited accuracy says nothing, and what was said before stands. A route is a
//! line with a distance to both sides.
//!
//! **Mechanism.** Edges lie in horizontal slabs, about four edges to each, so that a question looks at the edges of one
//! or two slabs whatever the number of vertices.
//!
//! **State.** Edges, and one reference per edge and slab that it crosses.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::place::{Place, TENTH_M, lon_m};

/// The number by which the caller knows a fence.
pub type FenceId = u32;

/// Edges to a slab, about.
const EDGES_PER_SLAB: usize = 4;
/// Slabs of one fence at most.
const MAX_SLABS: usize = 1 << 14;
/// Vertices of the polygon that stands for a circle; it is nowhere more than 0.12 % of the radius inside of it.
const CIRCLE_VERTICES: usize = 64;
/// A margin is at most this share of the square root of the area, so that small fences can be entered at all.
const MARGIN_SHARE: f64 = 0.25;
/// … and at least this, m.
const MARGIN_LEAST_M: f64 = 0.5;

/// What a fence encloses.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Rings of all polygons, outer ones and holes alike; closed or not.
    Area(Vec<Vec<Place>>),
    /// Lines, and how far to either side belongs to the route, m.
    Route(Vec<Vec<Place>>, f64),
}

impl Shape {
    /// A circle of `radius_m` around `centre`.
    pub fn circle(centre: Place, radius_m: f64) -> Self {
        let east = lon_m(f64::from(centre.lat)).max(TENTH_M * 1e-3);
        let ring = (0..CIRCLE_VERTICES).map(|n| {
            let angle = std::f64::consts::TAU * n as f64 / CIRCLE_VERTICES as f64;
            let lon = f64::from(centre.lon) + radius_m * angle.cos() / east;
            let lat = f64::from(centre.lat) + radius_m * angle.sin() / TENTH_M;
            Place::new(lon.round() as i32, lat.round() as i32)
        });
        Shape::Area(vec![ring.collect()])
    }
}

/// A window of the day in which a vehicle should be at a fence, seconds of the city's day; `to` may be past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// Where it begins.
    pub from: u32,
    /// Where it ends, `from` < `to` ≤ `from` + 86,400.
    pub to: u32,
}

/// An edge in 10⁻⁷ degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Edge {
    a: Place,
    b: Place,
}

/// The least box around something, 10⁻⁷ degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// South-west corner.
    pub low: Place,
    /// North-east corner.
    pub high: Place,
}

impl Bounds {
    /// The box of one place.
    pub fn of(at: Place) -> Self {
        Self { low: at, high: at }
    }

    /// Grows to hold `at`.
    pub fn extend(&mut self, at: Place) {
        self.low = Place::new(self.low.lon.min(at.lon), self.low.lat.min(at.lat));
        self.high = Place::new(self.high.lon.max(at.lon), self.high.lat.max(at.lat));
    }

    /// Whether two boxes share a place.
    pub fn meets(&self, other: &Self) -> bool {
        self.low.lon <= other.high.lon
            && other.low.lon <= self.high.lon
            && self.low.lat <= other.high.lat
            && other.low.lat <= self.high.lat
    }
}

/// A fence ready for questions.
#[derive(Clone, Debug, PartialEq)]
pub struct Fence {
    /// Its id as text: what orders fences of equal size.
    pub name: Arc<str>,
    /// Speed limit inside, km/h.
    pub speed_limit_kmh: Option<f64>,
    /// A longer visit is an overstay, ms.
    pub max_dwell_ms: Option<i64>,
    /// Whether it names stops and the ends of trips.
    pub is_place: bool,
    /// Whether it is part of the area that fixes are plausible in.
    pub service_area: bool,
    /// Whom it concerns: vehicles and fleets by the caller's numbers; both empty = everybody.
    pub vehicles: Vec<u32>,
    /// See `vehicles`.
    pub fleets: Vec<u32>,
    /// Whether it is a route.
    pub is_route: bool,
    /// Within this distance of the boundary a fix decides nothing, m.
    pub margin_m: f64,
    /// Area of all rings by the even–odd rule, m², about: the smallest fence names a place.
    pub area_m2: f64,
    /// Box around it, of a route including its width.
    pub bounds: Bounds,
    route_m: f64,
    edges: Vec<Edge>,
    slabs: Vec<Vec<u32>>,
    /// Latitude of the southernmost edge, where the slabs begin.
    slab_base: f64,
    slab_height: f64,
    east_m: f64,
}

impl Fence {
    /// A fence of `shape`; `None` when it has no edge. `accuracy_m` is the margin unless the shape is too small for it.
    pub fn new(name: Arc<str>, shape: &Shape, accuracy_m: f64) -> Option<Self> {
        let (rings, closed, route_m) = match shape {
            Shape::Area(rings) => (rings, true, 0.0),
            Shape::Route(lines, width) => (lines, false, *width),
        };
        let mut edges = Vec::new();
        for ring in rings {
            edges.extend(ring.windows(2).map(|pair| Edge { a: pair[0], b: pair[1] }));
            if let (true, [first, .., last]) = (closed, ring.as_slice()) {
                edges.push(Edge { a: *last, b: *first });
            }
        }
        edges.retain(|edge| edge.a != edge.b);
        let first = edges.first()?.a;
        let mut bounds = Bounds::of(first);
        for edge in &edges {
            bounds.extend(edge.a);
            bounds.extend(edge.b);
        }
        let east_m =
            lon_m((f64::from(bounds.low.lat) + f64::from(bounds.high.lat)) / 2.0).max(TENTH_M * 1e-3);
        // Twice the area, signed, ring by ring: holes run the other way or not, the even–odd rule doesn't care; the
        // outer ring is the largest.
        let mut areas: Vec<f64> = rings.iter().map(|ring| ring_area(ring, east_m)).collect();
        areas.sort_by(|a, b| b.total_cmp(a));
        let area_m2 = if closed { areas.first().copied().unwrap_or(0.0) } else { f64::MAX };
        let margin_m = accuracy_m.min(MARGIN_SHARE * area_m2.sqrt()).max(MARGIN_LEAST_M);
        let n = (edges.len() / EDGES_PER_SLAB).clamp(1, MAX_SLABS);
        let height = f64::from(bounds.high.lat) - f64::from(bounds.low.lat);
        let mut fence = Self {
            name,
            speed_limit_kmh: None,
            max_dwell_ms: None,
            is_place: false,
            service_area: false,
            vehicles: Vec::new(),
            fleets: Vec::new(),
            is_route: !closed,
            margin_m,
            area_m2,
            bounds,
            route_m,
            slabs: vec![Vec::new(); n],
            slab_base: f64::from(bounds.low.lat),
            slab_height: (height / n as f64).max(1.0),
            edges: Vec::new(),
            east_m,
        };
        for (id, edge) in (0u32..).zip(&edges) {
            let slabs =
                fence.slabs_of(f64::from(edge.a.lat.min(edge.b.lat)), f64::from(edge.a.lat.max(edge.b.lat)));
            for slab in slabs {
                fence.slabs[slab].push(id);
            }
        }
        fence.edges = edges;
        if route_m > 0.0 {
            let (x, y) = ((route_m / east_m).ceil() as i32, (route_m / TENTH_M).ceil() as i32);
            fence.bounds = Bounds {
                low: Place::new(bounds.low.lon.saturating_sub(x), bounds.low.lat.saturating_sub(y)),
                high: Place::new(bounds.high.lon.saturating_add(x), bounds.high.lat.saturating_add(y)),
            };
        }
        Some(fence)
    }

    /// Whether it concerns this vehicle of this fleet.
    pub fn concerns(&self, vehicle: u32, fleet: u32) -> bool {
        (self.vehicles.is_empty() && self.fleets.is_empty())
            || self.vehicles.contains(&vehicle)
            || self.fleets.contains(&fleet)
    }

    /// The box around everything that it may be asked about: the fence and its margin.
    pub fn reach(&self) -> Bounds {
        let (x, y) = ((self.margin_m / self.east_m).ceil() as i32, (self.margin_m / TENTH_M).ceil() as i32);
        Bounds {
            low: Place::new(self.bounds.low.lon.saturating_sub(x), self.bounds.low.lat.saturating_sub(y)),
            high: Place::new(self.bounds.high.lon.saturating_add(x), self.bounds.high.lat.saturating_add(y)),
        }
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.edges.len()
    }

    fn slabs_of(&self, low: f64, high: f64) -> std::ops::RangeInclusive<usize> {
        let last = self.slabs.len() - 1;
        let slab = |lat: f64| (((lat - self.slab_base) / self.slab_height).max(0.0) as usize).min(last);
        slab(low)..=slab(high)
    }

    /// Whether `at` is inside an area: even–odd, exact; a place on the boundary is inside or not, always the same.
    pub fn contains(&self, at: Place) -> bool {
        if !self.bounds.meets(&Bounds::of(at)) || self.is_route {
            return false;
        }
        let lat = f64::from(at.lat);
        let slab = *self.slabs_of(lat, lat).start();
        let mut inside = false;
        for id in &self.slabs[slab] {
            let Edge { a, b } = self.edges[*id as usize];
            // A ray to the east: the edge must reach over its latitude, and cross it east of the place.
            if (a.lat > at.lat) != (b.lat > at.lat) {
                let (low, high) = if a.lat < b.lat { (a, b) } else { (b, a) };
                inside ^= side(low, high, at) > 0;
            }
        }
        inside
    }

    /// Whether an edge is less than `margin_m` away from `at`.
    pub fn near(&self, at: Place, margin_m: f64) -> bool {
        let (lat, reach) = (f64::from(at.lat), margin_m / TENTH_M);
        let reach_lon = margin_m / self.east_m;
        self.slabs_of(lat - reach, lat + reach).any(|slab| {
            self.slabs[slab].iter().any(|id| {
                let edge = &self.edges[*id as usize];
                let (low, high) = (edge.a.lon.min(edge.b.lon), edge.a.lon.max(edge.b.lon));
                let lon = f64::from(at.lon);
                lon >= f64::from(low) - reach_lon
                    && lon <= f64::from(high) + reach_lon
                    && self.distance_m(edge, at) < margin_m
            })
        })
    }

    /// Whether `at` is off a route by more than the margin beyond its width.
    pub fn is_off(&self, at: Place) -> bool {
        !self.near(at, self.route_m + self.margin_m)
    }

    fn distance_m(&self, edge: &Edge, at: Place) -> f64 {
        let x = |place: Place| (f64::from(place.lon) - f64::from(at.lon)) * self.east_m;
        let y = |place: Place| (f64::from(place.lat) - f64::from(at.lat)) * TENTH_M;
        let (ax, ay, bx, by) = (x(edge.a), y(edge.a), x(edge.b), y(edge.b));
        let (dx, dy) = (bx - ax, by - ay);
        let t = (-(ax * dx + ay * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
        (ax + t * dx).hypot(ay + t * dy)
    }

    /// Where the way from `from` to `to` crosses the boundary: the first and the last crossing as shares of the way.
    pub fn crossings(&self, from: Place, to: Place) -> Option<(f64, f64)> {
        let mut way = Bounds::of(from);
        way.extend(to);
        if !self.bounds.meets(&way) {
            return None;
        }
        let mut found: Option<(f64, f64)> = None;
        for slab in self.slabs_of(f64::from(way.low.lat), f64::from(way.high.lat)) {
            for id in &self.slabs[slab] {
                let Edge { a, b } = self.edges[*id as usize];
                // Most edges are far from the way, which needs no products to be seen.
                if a.lon.min(b.lon) > way.high.lon
                    || a.lon.max(b.lon) < way.low.lon
                    || a.lat.min(b.lat) > way.high.lat
                    || a.lat.max(b.lat) < way.low.lat
                {
                    continue;
                }
                let (side_a, side_b) = (side(from, to, a), side(from, to, b));
                if (side_a > 0) == (side_b > 0) {
                    continue;
                }
                let (side_from, side_to) = (side(a, b, from), side(a, b, to));
                if (side_from > 0) == (side_to > 0) {
                    continue;
                }
                let share = side_from as f64 / (side_from - side_to) as f64;
                found = Some(match found {
                    Some((first, last)) => (first.min(share), last.max(share)),
                    None => (share, share),
                });
            }
        }
        found
    }
}

/// On which side of the line from `a` to `b` a place is: positive = left. Exact.
fn side(a: Place, b: Place, at: Place) -> i128 {
    let d = |p: i32, q: i32| i128::from(i64::from(p) - i64::from(q));
    d(b.lon, a.lon) * d(at.lat, a.lat) - d(b.lat, a.lat) * d(at.lon, a.lon)
}

fn ring_area(ring: &[Place], east_m: f64) -> f64 {
    let Some(origin) = ring.first() else { return 0.0 };
    let x = |place: &Place| (f64::from(place.lon) - f64::from(origin.lon)) * east_m;
    let y = |place: &Place| (f64::from(place.lat) - f64::from(origin.lat)) * TENTH_M;
    let next = ring.iter().cycle().skip(1);
    (ring.iter().zip(next).map(|(p, q)| x(p) * y(q) - x(q) * y(p)).sum::<f64>() / 2.0).abs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fence, Shape};
    use crate::place::{Place, distance_m};

    fn area(rings: Vec<Vec<(i32, i32)>>) -> Fence {
        let rings = rings.into_iter().map(|ring| ring.into_iter().map(|(x, y)| Place::new(x, y)).collect());
        Fence::new("f".into(), &Shape::Area(rings.collect()), 10.0).unwrap()
    }

    #[test]
    fn a_hole_is_outside() {
        let square = |half: i32| vec![(-half, -half), (half, -half), (half, half), (-half, half)];
        let fence = area(vec![square(100_000), square(20_000)]);
        assert!(fence.contains(Place::new(50_000, 0)) && fence.contains(Place::new(0, -99_999)));
        assert!(!fence.contains(Place::new(0, 0)) && !fence.contains(Place::new(100_001, 0)));
        let (first, last) = fence.crossings(Place::new(-200_000, 0), Place::new(200_000, 0)).unwrap();
        assert!((first - 0.25).abs() < 1e-9 && (last - 0.75).abs() < 1e-9, "through the hole and out again");
        assert_eq!(fence.crossings(Place::new(30_000, 0), Place::new(40_000, 10)), None);
        assert!(fence.near(Place::new(99_200, 0), 10.0) && !fence.near(Place::new(98_000, 0), 10.0));
    }

    #[test]
    fn a_circle_is_round_and_a_route_is_wide() {
        let centre = Place::new(1_094_900_000, 365_900_000);
        let circle = Fence::new("c".into(), &Shape::circle(centre, 150.0), 10.0).unwrap();
        for step in 0..360 {
            let angle = f64::from(step).to_radians();
            let at = |m: f64| {
                let (x, y) = (m * angle.cos() / 0.008_93, m * angle.sin() / 0.011_119_5);
                Place::new(centre.lon + x as i32, centre.lat + y as i32)
            };
            assert!(circle.contains(at(149.0)) && !circle.contains(at(150.5)), "{step}");
            assert!((distance_m(centre, at(150.0)) - 150.0).abs() < 0.2);
        }
        let line = vec![centre, Place::new(centre.lon + 200_000, centre.lat)];
        let route = Fence::new("r".into(), &Shape::Route(vec![line], 40.0), 10.0).unwrap();
        let beside = |m: f64| Place::new(centre.lon + 100_000, centre.lat + (m / 0.011_119_5) as i32);
        assert!(!route.is_off(beside(49.0)) && route.is_off(beside(51.0)) && route.is_off(beside(-51.0)));
        assert!(!route.contains(beside(0.0)), "a route encloses nothing");
    }

    #[test]
    fn a_small_fence_has_a_small_margin() {
        // 20 m × 20 m: a quarter of its side.
        let fence = area(vec![vec![(0, 0), (1798, 0), (1798, 1798), (0, 1798)]]);
        assert!((fence.margin_m - 5.0).abs() < 0.1, "{}", fence.margin_m);
        assert!(Fence::new("f".into(), &Shape::Area(vec![vec![Place::new(1, 1); 4]]), 10.0).is_none());
    }

    proptest! {
        #[test]
        fn slabs_change_no_answer(
            ring in proptest::collection::vec((-500i32..500, -500i32..500), 3..60),
            a in (-600i32..600, -600i32..600),
            b in (-600i32..600, -600i32..600),
        ) {
            // Half units, so that no place is on an edge's end.
            let ring: Vec<(i32, i32)> = ring.into_iter().map(|(x, y)| (2 * x, 2 * y)).collect();
            let fence = Fence::new(
                "f".into(), &Shape::Area(vec![ring.iter().map(|(x, y)| Place::new(*x, *y)).collect()]), 10.0);
            prop_assume!(fence.is_some());
            let fence = fence.unwrap();
            let (a, b) = (Place::new(2 * a.0 + 1, 2 * a.1 + 1), Place::new(2 * b.0 + 1, 2 * b.1 + 1));
            let edges = || (0..ring.len()).map(|i| (ring[i], ring[(i + 1) % ring.len()]));
            let inside = |at: Place| edges().filter(|((ax, ay), (bx, by))| {
                (*ay > at.lat) != (*by > at.lat)
                    && f64::from(at.lon) < f64::from(*ax) + f64::from(at.lat - ay) * f64::from(bx - ax) / f64::from(by - ay)
            }).count() % 2 == 1;
            prop_assert_eq!(fence.contains(a), inside(a));
            prop_assert_eq!(fence.contains(b), inside(b));
            if inside(a) != inside(b) {
                prop_assert!(fence.crossings(a, b).is_some(), "whoever comes in crosses the boundary");
            }
        }
    }
}
