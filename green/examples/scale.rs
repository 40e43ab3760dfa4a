//! A large city, to see what it takes: 100,000 residences, 500 parks, 200,000 edges of walkways and a river with bridges.
//!
//! `cargo run --release -p green --example scale` builds it at once, then closes and opens bridges and parks, each as a
//! change of its own, beside the same by whole recomputation. Times are processor time of its one thread, as the kernel
//! accounts for it, so that what else the machine does is not in them; memory is the process's resident set.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that says what it sees")]

use std::sync::Arc;

use green::city::{Changes, City, Walking};
use model::reference::{
    Geometry, LonLat, ParkRef, ParkStatus, RadiusSchemeRef, RadiusStep, ResidenceRef, WalkwayRef,
};
use model::{Names, Sym};

/// Corners of the street grid along one side: 316² corners and twice as many edges.
const SIDE: u32 = 317;
/// Distance of streets, m.
const BLOCK_M: f64 = 95.0;
/// One street in so many crosses the river.
const BRIDGES: u32 = 20;
const HOMES: u32 = 100_000;
const PARKS: u32 = 500;

/// A number that looks like chance and is not: from 0 to 1.
fn chance(seed: u32, n: u32) -> f64 {
    let mut x = u64::from(seed) << 32 | u64::from(n);
    x = (x ^ (x >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn at(x: f64, y: f64) -> LonLat {
    LonLat { lon: 1_093_000_000 + (x * 111.8) as i32, lat: 364_500_000 + (y * 90.1) as i32 }
}

fn blob(x: f64, y: f64, radius: f64, corners: u32, seed: u32) -> Geometry {
    let ring = (0..corners).map(|k| {
        let r = radius * (0.8 + 0.4 * chance(seed, k));
        let (sin, cos) = (std::f64::consts::TAU * f64::from(k) / f64::from(corners)).sin_cos();
        at(x + r * cos, y + r * sin)
    });
    Geometry::Areas(vec![vec![ring.collect()]])
}

fn park(n: u32, status: ParkStatus) -> ParkRef {
    let size = f64::from(SIDE) * BLOCK_M;
    let (x, y) = (chance(1, n) * size, chance(2, n) * size);
    let radius = 30.0 + 250.0 * chance(3, n).powi(3);
    ParkRef {
        name: None,
        district: Sym::EMPTY,
        class: Sym::EMPTY,
        status,
        area_m2: None,
        geometry: Some(blob(x, y, radius, 24, n + 7)),
        entrances: vec![at(x + radius, y), at(x - radius, y), at(x, y + radius), at(x, y - radius)],
        historic: false,
    }
}

/// Processor time of this thread so far, s.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn main() {
    let names = Arc::new(Names::new());
    let step = |min_area_m2, radius_m| RadiusStep { min_area_m2, radius_m, historic: false };
    let scheme = RadiusSchemeRef {
        enabled: true,
        classes: Vec::new(),
        steps: vec![step(5000.0, 500.0), step(400.0, 300.0)],
        threshold: Some(0.85),
        walk_m: 500.0,
    };
    let mut all = Changes::default();
    for n in 0..PARKS {
        all.parks.push((names.intern(&format!("park-{n}")), Some(park(n, ParkStatus::Open))));
    }
    for n in 0..HOMES {
        let size = f64::from(SIDE) * BLOCK_M;
        let (x, y) = (chance(4, n) * size, chance(5, n) * size);
        let home = ResidenceRef {
            name: None,
            district: names.intern(&format!("district-{}", n % 13)),
            population: (100.0 + 900.0 * chance(6, n)).round(),
            geometry: Some(blob(x, y, 25.0, 8, n)),
            area_m2: None,
        };
        all.residences.push((names.intern(&format!("home-{n}")), Some(home)));
    }
    let corner = |x: u32, y: u32| {
        let n = x * SIDE + y;
        at((f64::from(x) + 0.4 * chance(8, n)) * BLOCK_M, (f64::from(y) + 0.4 * chance(9, n)) * BLOCK_M)
    };
    let mut bridges = Vec::new();
    for x in 0..SIDE {
        for y in 0..SIDE {
            for (to_x, to_y) in [(x + 1, y), (x, y + 1)] {
                if to_x == SIDE || to_y == SIDE {
                    continue;
                }
                let river = x == SIDE / 2 && to_x == x + 1;
                if river && y % BRIDGES != 0 {
                    continue;
                }
                let id = names.intern(&format!("way-{x}-{y}-{to_x}"));
                let way = WalkwayRef { open: true, lines: vec![vec![corner(x, y), corner(to_x, to_y)]] };
                if river {
                    bridges.push((id, way.clone()));
                }
                all.walkways.push((id, Some(way)));
            }
        }
    }
    println!("records: {:.0} MB", memory_mb());
    let mut city = City::new(&names, scheme.clone(), Walking::default());
    let started = cpu_s();
    let served = city.apply(all.clone()).len();
    let first = cpu_s() - started;
    println!(
        "first: {first:.2} s, {} residences, {} parks, {} edges, {:.0} MB with the records",
        served,
        all.parks.len(),
        all.walkways.len(),
        memory_mb()
    );
    let mut time = |what: &str, changes: Vec<Changes>| {
        let (mut worst, mut sum, mut touched) = (0.0f64, 0.0, 0);
        let n = changes.len() as f64;
        for change in changes {
            let started = cpu_s();
            touched += city.apply(change).len();
            let ms = (cpu_s() - started) * 1e3;
            (worst, sum) = (worst.max(ms), sum + ms);
        }
        println!("{what}: mean {:.2} ms, worst {worst:.2} ms, {:.0} residences", sum / n, touched as f64 / n);
    };
    let ways = |open: bool| {
        bridges.iter().map(move |(id, way)| Changes {
            walkways: vec![(*id, Some(WalkwayRef { open, lines: way.lines.clone() }))],
            ..Changes::default()
        })
    };
    time("closing a bridge", ways(false).collect());
    time("opening a bridge", ways(true).collect());
    let parks = |status| {
        let names = &names;
        (0..20u32).map(move |n| Changes {
            parks: vec![(names.intern(&format!("park-{n}")), Some(park(n, status)))],
            ..Changes::default()
        })
    };
    time("closing a park", parks(ParkStatus::Closed).collect());
    time("opening a park", parks(ParkStatus::Open).collect());
    let started = cpu_s();
    let mut again = City::new(&names, scheme, Walking::default());
    again.apply(all);
    println!("whole recomputation: {:.2} s", cpu_s() - started);
    assert_eq!(again.totals(), city.totals(), "what was maintained is what a fresh start says");
}
