//! A driver on a network whose true way is known, and the receiver that reports it with noise.

use std::collections::BTreeMap;

use matching::geo::{bearing, distance_mm};
use matching::{Edit, Fix, Piece, RoadLine, Track, World, union};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A road: vertices and whether it is one-way.
pub type Road = (Vec<(i32, i32)>, bool);

/// How a run is made.
pub struct Run {
    /// Seed of the run.
    pub seed: u64,
    /// Vehicles.
    pub vehicles: u64,
    /// Hours each.
    pub hours: i64,
    /// Between two fixes, ms.
    pub every_ms: i64,
    /// Standard deviation of a fix east and north, m.
    pub noise_m: f64,
    /// How long an error lasts, ms; 0 = every fix has one of its own.
    pub memory_ms: f64,
    /// Whether the device gives speed and heading.
    pub speaks: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Figures {
    /// Metres worked, each counted once per vehicle.
    pub true_m: f64,
    /// Share of them that is covered.
    pub covered: f64,
    /// Metres covered that were not worked, as a share of the metres worked.
    pub wrong: f64,
    /// Share of the fixes on the road whose road is right.
    pub right_road: f64,
    /// Fixes.
    pub fixes: usize,
    /// Seconds of matching.
    pub seconds: f64,
}

/// A vehicle works, or doesn't, for this long at least, mm.
const STRETCH_MM: f64 = 250_000.0;

fn normal(rng: &mut SmallRng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

struct Arc {
    road: usize,
    backward: bool,
    from: (i32, i32),
    to: (i32, i32),
    /// Along the road at `from` and at `to`, mm.
    at: (i64, i64),
}

/// Drives, matches, and compares.
pub fn figures(roads: &[Road], run: &Run) -> Figures {
    let mut world = World::new(matching::Params::default()).unwrap();
    world.network.change(roads.iter().enumerate().map(|(i, (points, oneway))| {
        let rank = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (i as u32, Some(RoadLine { rank, points, oneway: *oneway }))
    }));
    let mut arcs = Vec::new();
    let mut leaving: BTreeMap<(i32, i32), Vec<usize>> = BTreeMap::new();
    for (road, (points, oneway)) in roads.iter().enumerate() {
        let mut along = 0;
        for pair in points.windows(2) {
            let length = distance_mm(pair[0], pair[1]);
            if length == 0 {
                continue;
            }
            for backward in [false, true].into_iter().take(if *oneway { 1 } else { 2 }) {
                let (mut from, mut to, mut at) = (pair[0], pair[1], (along, along + length));
                if backward {
                    (from, to, at) = (to, from, (at.1, at.0));
                }
                leaving.entry(from).or_default().push(arcs.len());
                arcs.push(Arc { road, backward, from, to, at });
            }
            along += length;
        }
    }
    let (mut true_mm, mut hit_mm, mut wrong_mm, mut fixes, mut on_road, mut right) = (0, 0, 0, 0, 0, 0);
    let mut seconds = 0.0;
    for vehicle in 0..run.vehicles {
        let mut rng = SmallRng::seed_from_u64(run.seed * 1000 + vehicle);
        let (edits, truth, roads_of) = drive(&arcs, &leaving, run, &mut rng, world.network.epoch());
        let mut track = Track::default();
        let mut changes = Vec::new();
        let begun = std::time::Instant::now();
        for edit in &edits {
            track.edit(&mut world, std::slice::from_ref(edit), &mut changes);
        }
        seconds += begun.elapsed().as_secs_f64();
        fixes += edits.len();
        for (fix, place) in track.matched(&mut world, i64::MIN / 4, i64::MAX / 4) {
            on_road += 1;
            right += usize::from(place.map(|(road, _)| road) == Some(roads_of[&fix.ts]));
        }
        let mut said: BTreeMap<Piece, i64> = BTreeMap::new();
        changes.into_iter().for_each(|(piece, n)| *said.entry(piece).or_default() += n);
        let mut by_road: BTreeMap<u32, (Spans, Spans)> = BTreeMap::new();
        for (piece, n) in said {
            if n != 0 {
                by_road.entry(piece.road).or_default().0.push((piece.low, piece.high));
            }
        }
        truth.into_iter().for_each(|(road, span)| by_road.entry(road).or_default().1.push(span));
        for (covered, worked) in by_road.values_mut() {
            let (c, w) = (union::covered(covered), union::covered(worked));
            covered.append(worked);
            let both = union::covered(covered);
            true_mm += w;
            hit_mm += c + w - both;
            wrong_mm += both - w;
        }
    }
    let share = |part: i64| part as f64 / true_mm as f64;
    Figures {
        true_m: true_mm as f64 / 1000.0,
        covered: share(hit_mm),
        wrong: share(wrong_mm),
        right_road: right as f64 / on_road as f64,
        fixes,
        seconds,
    }
}

/// Spans along a road, mm.
type Spans = Vec<(u32, u32)>;
type Truth = Vec<(u32, (u32, u32))>;

/// One vehicle: its fixes, where it worked, and the road of each fix.
fn drive(
    arcs: &[Arc],
    leaving: &BTreeMap<(i32, i32), Vec<usize>>,
    run: &Run,
    rng: &mut SmallRng,
    epoch: u32,
) -> (Vec<Edit>, Truth, BTreeMap<i64, u32>) {
    let start = 1_794_560_400_000;
    let (mut edits, mut truth, mut roads_of) = (Vec::new(), Truth::new(), BTreeMap::new());
    let mut arc = rng.random_range(0..arcs.len());
    let (mut along, mut working, mut kmh) = (0.0, true, 8.0);
    let (mut stands_until, mut since) = (start as f64, 0.0);
    let (mut noise, mut now) = ([normal(rng), normal(rng)], start as f64);
    let keep = if run.memory_ms > 0.0 { (-(run.every_ms as f64) / run.memory_ms).exp() } else { 0.0 };
    let work = |arc: &Arc, from: f64, to: f64, truth: &mut Truth| {
        let at = |mm: f64| (arc.at.0 as f64 + if arc.backward { -mm } else { mm }).round().max(0.0) as u32;
        truth.push((arc.road as u32, (at(from).min(at(to)), at(from).max(at(to)))));
    };
    for n in 0..run.hours * 3_600_000 / run.every_ms {
        let ts = start + n * run.every_ms;
        while now < ts as f64 {
            if stands_until > now {
                now = stands_until.min(ts as f64);
                continue;
            }
            let here = &arcs[arc];
            let length = distance_mm(here.from, here.to) as f64;
            let mm_per_ms = kmh / 3.6;
            let reach = along + mm_per_ms * (ts as f64 - now);
            let to = reach.min(length);
            if working {
                work(here, along, to, &mut truth);
            }
            if reach < length {
                (along, now) = (to, ts as f64);
                continue;
            }
            now += (length - along) / mm_per_ms;
            // Back only at a dead end; on along the road it works on, mostly.
            let on: Vec<usize> = leaving
                .get(&here.to)
                .into_iter()
                .flatten()
                .copied()
                .filter(|next| arcs[*next].to != here.from)
                .collect();
            let back = leaving.get(&here.to).into_iter().flatten().copied().next();
            let next = if on.is_empty() { back } else { Some(on[rng.random_range(0..on.len())]) };
            let Some(next) = next else {
                // A one-way street that ends at the edge of the map: begin elsewhere, after a silence.
                arc = rng.random_range(0..arcs.len());
                (along, now) = (0.0, now + 600_000.0);
                break;
            };
            since += length;
            if arcs[next].road != here.road && since >= STRETCH_MM {
                since = 0.0;
                working = rng.random_bool(0.88);
                kmh = if working { rng.random_range(5.0..13.0) } else { rng.random_range(24.0..40.0) };
            }
            if on.len() > 1 && rng.random_bool(0.15) {
                stands_until = now + rng.random_range(15_000.0..60_000.0);
            }
            (arc, along) = (next, 0.0);
        }
        let fresh = (1.0 - keep * keep).sqrt();
        noise = noise.map(|error| error * keep + fresh * normal(rng));
        if now > ts as f64 {
            continue;
        }
        let here = &arcs[arc];
        let share = along / distance_mm(here.from, here.to) as f64;
        let lerp = |a: i32, b: i32| f64::from(a) + share * f64::from(b - a);
        let (lon, lat) = (lerp(here.from.0, here.to.0), lerp(here.from.1, here.to.1));
        // 10⁻⁷ degrees per m.
        let north = 1e7 / 111_120.0;
        let east = north / (lat * 1e-7).to_radians().cos();
        let at = (
            (lon + noise[0] * run.noise_m * east).round() as i32,
            (lat + noise[1] * run.noise_m * north).round() as i32,
        );
        let stands = stands_until > ts as f64;
        let speed = if stands { 0.0 } else { kmh as f32 };
        edits.push(Edit::Put(Fix {
            ts,
            at,
            speed: run.speaks.then(|| Fix::speed_of(speed)),
            heading: run.speaks.then(|| Fix::heading_of(bearing(here.from, here.to))),
            working: working && !stands,
            epoch,
        }));
        roads_of.insert(ts, here.road as u32);
    }
    (edits, truth, roads_of)
}
