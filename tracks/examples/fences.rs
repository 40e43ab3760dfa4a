//! How many fixes a second one core takes against 23,000 fences, and what editing fences under them costs.
//!
//! `cargo run --release -p tracks --example fences -- [FENCES] [VEHICLES] [FIXES_PER_VEHICLE]`. Fences of 5 to 64
//! vertices, 50 m to 1 km across, and one in a thousand 5 km across with 2,000 vertices, over 60 km × 60 km; vehicles
//! drive at up to 60 km/h with a fix every 10 s. Prints one line of JSON; times are those of the thread on its core.

#![allow(clippy::print_stdout, reason = "a program that prints its figures")]

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tracks::vehicle::Profile;
use tracks::{Fence, Fences, Fix, Journal, Params, Place, Shape, VehicleFold};

/// Side of the city, 10⁻⁷ degrees: about 60 km.
const SIDE: f64 = 6_000_000.0;
const ORIGIN: (f64, f64) = (1_092_000_000.0, 363_000_000.0);
const METRE: f64 = 90.0;
const EDITS: usize = 10_000;

/// Seconds that this thread has been on a core: on a shared machine the wall clock counts others too.
fn on_core() -> f64 {
    let told =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells what a thread has used");
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}

fn fence(dice: &mut SmallRng, n: usize, params: &Params) -> Arc<Fence> {
    let (vertices, radius_m) = if n.is_multiple_of(1000) {
        (2000, 2500.0)
    } else {
        (dice.random_range(5..65), dice.random_range(25.0..500.0))
    };
    let (x, y) = (ORIGIN.0 + dice.random_range(0.0..SIDE), ORIGIN.1 + dice.random_range(0.0..SIDE));
    let ring = (0..vertices).map(|i| {
        let angle = std::f64::consts::TAU * i as f64 / vertices as f64;
        let r = radius_m * METRE * dice.random_range(0.7..1.0);
        Place::new((x + r * angle.cos()) as i32, (y + r * angle.sin()) as i32)
    });
    let mut fence = Fence::new(n.to_string().into(), &Shape::Area(vec![ring.collect()]), params.accuracy_m)
        .expect("edges");
    fence.is_place = n.is_multiple_of(3);
    Arc::new(fence)
}

fn main() {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    let number = |i: usize, default| arguments.get(i).copied().unwrap_or(default);
    let (fences, vehicles, fixes) = (number(0, 23_000), number(1, 500), number(2, 2_000));
    let mut dice = SmallRng::seed_from_u64(7);
    let params = Params::default();
    let mut all = Fences::default();
    let start = on_core();
    for n in 0..fences {
        all.set(n as u32, Some(fence(&mut dice, n, &params)));
    }
    let loading = on_core() - start;
    // Made before the clock runs; time by time over all vehicles, as a log has them.
    let mut at: Vec<(f64, f64, f64)> = (0..vehicles)
        .map(|_| (dice.random_range(0.0..SIDE), dice.random_range(0.0..SIDE), dice.random_range(0.0..6.3)))
        .collect();
    let mut records = Vec::with_capacity(vehicles * fixes);
    for n in 0..fixes {
        for (vehicle, (x, y, heading)) in at.iter_mut().enumerate() {
            let stands = (n / 60 + vehicle) % 5 == 0;
            let way = if stands { 0.0 } else { dice.random_range(0.0..166.0) * METRE };
            *heading += dice.random_range(-0.5..0.5);
            // Whoever would leave the city turns round.
            let (to_x, to_y) = (*x + way * heading.cos(), *y + way * heading.sin());
            match (0.0..SIDE).contains(&to_x) && (0.0..SIDE).contains(&to_y) {
                true => (*x, *y) = (to_x, to_y),
                false => *heading += std::f64::consts::PI,
            }
            let place = Place::new((ORIGIN.0 + *x) as i32, (ORIGIN.1 + *y) as i32);
            let speed = Some((way / METRE * 0.36) as f32);
            records.push((vehicle, Fix { ts: n as i64 * 10_000, at: place, speed, working: Some(!stands) }));
        }
    }
    let profile = Profile::default();
    let mut journals: Vec<Journal<_, _>> = (0..vehicles).map(|_| Journal::default()).collect();
    let start = on_core();
    let mut said = 0;
    {
        let fold = VehicleFold { params: &params, fences: &all, profile: &profile };
        for (vehicle, fix) in &records {
            journals[*vehicle].put(&fold, *fix);
            said += journals[*vehicle].settle(&fold).said.len();
        }
    }
    let running = on_core() - start;
    // A late fix in the middle of the day.
    let start = on_core();
    let late = 10_000.min(records.len());
    {
        let fold = VehicleFold { params: &params, fences: &all, profile: &profile };
        for _ in 0..late {
            let (vehicle, fix) = records[dice.random_range(0..records.len())];
            journals[vehicle].put(&fold, Fix { ts: fix.ts + 5_000, ..fix });
            journals[vehicle].settle(&fold);
        }
    }
    let lateness = on_core() - start;
    // Fences that move while vehicles are there: index, marks, and what has to be folded again.
    let (mut indexing, mut folding) = (0.0, 0.0);
    for edit in 0..EDITS {
        let n = dice.random_range(0..fences);
        let new = fence(&mut dice, n, &params);
        let start = on_core();
        let old = all.set(n as u32, Some(Arc::clone(&new)));
        indexing += on_core() - start;
        // The folds again, for a sample: each looks at every vehicle's chunks.
        if edit % 100 == 0 {
            let start = on_core();
            let boxes: Vec<_> = old.iter().chain([&new]).map(|fence| fence.reach()).collect();
            let fold = VehicleFold { params: &params, fences: &all, profile: &profile };
            for journal in &mut journals {
                if journal.mark_meeting(&boxes) {
                    journal.settle(&fold);
                }
            }
            folding += on_core() - start;
        }
    }
    let n = records.len() as f64;
    println!(
        "{{\"fences\":{fences},\"vehicles\":{vehicles},\"fixes\":{},\"said\":{said},\"fixes_per_second\":{:.0},\
         \"load_ms\":{:.1},\"late_fix_us\":{:.2},\"edit_index_us\":{:.2},\"edit_refold_ms\":{:.3}}}",
        records.len(),
        n / running,
        loading * 1e3,
        lateness / late as f64 * 1e6,
        indexing / EDITS as f64 * 1e6,
        folding / (EDITS as f64 / 100.0) * 1e3,
    );
}
