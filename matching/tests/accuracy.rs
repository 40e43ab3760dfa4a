//! How much of what vehicles truly worked is covered, and how much is covered that they did not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::print_stderr,
    clippy::needless_range_loop,
    reason = "it tells its figures; streets are numbered"
)]

mod support;

use std::io::Read;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use support::{Figures, Road, Run, figures};

/// A town of crooked blocks of about 140 m: some streets one-way, two avenues with two carriageways 16 m apart.
fn town() -> Vec<Road> {
    const SIDE: i32 = 14;
    let mut rng = SmallRng::seed_from_u64(7);
    let mut crook = || rng.random_range(-2_200..2_200);
    let nodes: Vec<Vec<(i32, i32)>> = (0..SIDE)
        .map(|y| {
            (0..SIDE)
                .map(|x| (1_094_900_000 + x * 15_600 + crook(), 365_900_000 + y * 12_600 + crook()))
                .collect()
        })
        .collect();
    let mut roads = Vec::new();
    for i in 0..SIDE as usize {
        // Each street is three roads, as a ledger has them.
        for part in [0..5usize, 4..10, 9..SIDE as usize] {
            let row: Vec<_> = part.clone().map(|x| nodes[i][x]).collect();
            let column: Vec<_> = part.map(|y| nodes[y][i]).collect();
            match i {
                4 | 9 => {
                    let other: Vec<_> = row.iter().rev().map(|(lon, lat)| (*lon, lat + 1_440)).collect();
                    // Crossings join the carriageways.
                    for (a, b) in row.iter().zip(other.iter().rev()).skip(1) {
                        roads.push((vec![*a, *b], false));
                    }
                    roads.push((row, true));
                    roads.push((other, true));
                }
                2 | 7 => roads.push((row.into_iter().rev().collect(), true)),
                3 | 8 => roads.push((row, true)),
                _ => roads.push((row, false)),
            }
            roads.push((column, i % 4 == 1));
        }
    }
    roads
}

/// The drivable roads of a part of Helsinki, from OpenStreetMap; `None`, loudly, where the data are not there.
fn helsinki() -> Option<Vec<Road>> {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/helsinki_osm/roads_driving.geojson.gz");
    let Ok(file) = std::fs::File::open(path) else {
        eprintln!("SKIPPED: {path} is not there: nothing is tried on the roads of Helsinki");
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let road = |feature: &serde_json::Value| {
        let tenths = |degrees: &serde_json::Value| (degrees.as_f64().unwrap() * 1e7).round() as i32;
        let points = feature["geometry"]["coordinates"].as_array().unwrap();
        let points = points.iter().map(|p| (tenths(&p[0]), tenths(&p[1]))).collect();
        (points, feature["properties"]["oneway"] == "yes")
    };
    Some(json["features"].as_array().unwrap().iter().map(road).collect())
}

const RUN: Run = Run {
    seed: 1,
    vehicles: 20,
    hours: 6,
    every_ms: 10_000,
    noise_m: 8.0,
    memory_ms: 60_000.0,
    speaks: true,
};

fn told(what: &str, roads: &[Road], run: &Run) -> Figures {
    let figures = figures(roads, run);
    eprintln!(
        "{what}: {:.0} km worked, {:.2} % covered, {:.2} % wrong, {:.2} % of the fixes on the right road, {:.1} µs a fix",
        figures.true_m / 1000.0,
        figures.covered * 100.0,
        figures.wrong * 100.0,
        figures.right_road * 100.0,
        figures.seconds * 1e6 / figures.fixes as f64,
    );
    figures
}

#[test]
fn what_was_worked_is_covered_at_ten_seconds_and_eight_metres() {
    let figures = told("town, 10 s, 8 m", &town(), &RUN);
    assert!(figures.covered >= 0.97 && figures.wrong <= 0.01, "{figures:?}");
    let white = told("town, 10 s, 8 m without memory", &town(), &Run { memory_ms: 0.0, ..RUN });
    assert!(white.covered >= 0.97 && white.wrong <= 0.01, "{white:?}");
}

#[test]
fn sparse_or_silent_devices_lose_little() {
    let sparse = told("town, 30 s, 8 m", &town(), &Run { every_ms: 30_000, ..RUN });
    assert!(sparse.covered >= 0.95 && sparse.wrong <= 0.02, "{sparse:?}");
    let silent = told("town, 10 s, 8 m, no speed, no heading", &town(), &Run { speaks: false, ..RUN });
    assert!(silent.covered >= 0.97 && silent.wrong <= 0.02, "{silent:?}");
    told("town, 1 s, 4 m", &town(), &Run { every_ms: 1_000, noise_m: 4.0, hours: 1, ..RUN });
}

#[test]
fn helsinki_is_covered() {
    let Some(roads) = helsinki() else { return };
    let figures = told("Helsinki, 10 s, 8 m", &roads, &RUN);
    assert!(figures.covered >= 0.97 && figures.wrong <= 0.01, "{figures:?}");
    told("Helsinki, 10 s, 4 m", &roads, &Run { noise_m: 4.0, ..RUN });
    told("Helsinki, 30 s, 8 m", &roads, &Run { every_ms: 30_000, ..RUN });
}
