//! Figures for the fleet: matching alone, matching and coverage in the engine, and the engine with all views, on a made
//! city of 20,000 roads.
//!
//! `cargo run --release -p dataflow --example fleet -- VEHICLES HOURS WORKERS [alone|coverage|all]`: vehicles sweep a grid of streets, each
//! sends a fix every 10 s with 8 m of noise. CPU and memory are those of the process as Linux accounts for them; what it
//! costs to make the fixes is measured first and taken off.

#![expect(clippy::print_stdout, reason = "it is there to print figures")]
#![allow(clippy::unwrap_used, reason = "a run that cannot go on ends")]

use std::sync::Arc;
use std::time::Instant;

use dataflow::{Engine, Settings};
use matching::{Edit, Params, RoadLine, Track, World};
use model::reference::VehicleRef;
use model::reference::road::{PlanRef, RoadRef};
use model::reference::shift::ShiftRef;
use model::{Feed, Fix, Kind, LogPos, Names, RefBody, RefRecord, Row, StreamId, Sym, Typed};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Crossings along each side of the grid, and the length of a block in 10⁻⁷ degrees of longitude and latitude (120 m).
const SIDE: i32 = 101;
const BLOCK: (i32, i32) = (13_420, 10_810);
const ORIGIN: (i32, i32) = (1_094_000_000, 365_000_000);
const START: i64 = 1_794_528_000_000;
const STEP_MS: i64 = 10_000;

/// A cheap random number (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Sum of four uniform numbers: near enough to normal, standard deviation 1.
    fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xFFFF).sum();
        (sum as f64 / 65_536.0 - 2.0) * 3f64.sqrt()
    }
}

/// A vehicle on its way from one crossing to the next.
struct Driver {
    random: Random,
    at: (i32, i32),
    to: (i32, i32),
    along_m: f64,
    speed_ms: f64,
}

impl Driver {
    fn new(n: u64) -> Self {
        let mut random = Random(n);
        let at = ((random.next() % SIDE as u64) as i32, (random.next() % SIDE as u64) as i32);
        let to = if at.0 > 0 { (at.0 - 1, at.1) } else { (1, at.1) };
        let speed_ms = 1.5 + (random.next() % 100) as f64 * 0.02;
        Self { random, at, to, along_m: 0.0, speed_ms }
    }

    fn step(&mut self) -> (i32, i32) {
        self.along_m += self.speed_ms * STEP_MS as f64 / 1000.0;
        while self.along_m >= 120.0 {
            self.along_m -= 120.0;
            let (from, here) = (self.at, self.to);
            let turns = [(1, 0), (0, 1), (-1, 0), (0, -1)];
            self.at = here;
            loop {
                let turn = turns[(self.random.next() % 4) as usize];
                let to = (here.0 + turn.0, here.1 + turn.1);
                if to != from && (0..SIDE).contains(&to.0) && (0..SIDE).contains(&to.1) {
                    self.to = to;
                    break;
                }
            }
        }
        let share = self.along_m / 120.0;
        let (a, b) = (place(self.at), place(self.to));
        let lerp = |a: i32, b: i32| f64::from(a) + share * f64::from(b - a);
        let noise = [self.random.normal() * 8.0 * 111.8, self.random.normal() * 8.0 * 90.1];
        ((lerp(a.0, b.0) + noise[0]) as i32, (lerp(a.1, b.1) + noise[1]) as i32)
    }
}

fn place((x, y): (i32, i32)) -> (i32, i32) {
    (ORIGIN.0 + x * BLOCK.0, ORIGIN.1 + y * BLOCK.1)
}

/// Every block is a road.
fn roads() -> Vec<Vec<(i32, i32)>> {
    let all = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
    all.flat_map(|(x, y)| [((x, y), (x + 1, y)), ((x, y), (x, y + 1))])
        .filter(|(_, to)| to.0 < SIDE && to.1 < SIDE)
        .map(|(from, to)| vec![place(from), place(to)])
        .collect()
}

/// CPU seconds of this process, and its resident and greatest resident size in MiB.
fn usage() -> (f64, u64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (ticks / 100.0, kib("VmRSS") / 1024, kib("VmHWM") / 1024)
}

fn main() {
    let number =
        |n: usize, default: u64| std::env::args().nth(n).map_or(default, |text| text.parse().unwrap());
    let (vehicles, hours, workers) = (number(1, 2000), number(2, 2) as i64, number(3, 1) as usize);
    let roads = roads();
    let steps = hours * 3_600_000 / STEP_MS;
    let fixes = steps as f64 * vehicles as f64;
    println!("{} roads, {vehicles} vehicles, {hours} h: {:.1} million fixes", roads.len(), fixes / 1e6);
    let mut drivers: Vec<Driver> = (0..vehicles).map(Driver::new).collect();
    let before = usage();
    let mut sum = 0i64;
    for _ in 0..steps {
        sum += drivers.iter_mut().map(|driver| i64::from(driver.step().0)).sum::<i64>();
    }
    let making = usage().0 - before.0;
    println!("making the fixes: {making:.2} CPU-s ({})", sum % 10);
    let only = std::env::args().nth(4);
    let wanted = |what: &str| only.as_deref().is_none_or(|only| only == what);
    if wanted("alone") {
        alone(&roads, vehicles, steps, making);
    }
    if wanted("coverage") {
        engine(&roads, vehicles, steps, workers, making, true);
    }
    if wanted("all") {
        engine(&roads, vehicles, steps, workers, making, false);
    }
}

fn report(what: &str, fixes: f64, cpu: f64, wall: f64, resident: u64, peak: u64) {
    println!(
        "{what}: {:.0} fixes/s, {:.2} CPU-s per million, {:.0} fixes per CPU-s; {resident} MiB more, peak {peak} MiB",
        fixes / wall,
        cpu / fixes * 1e6,
        fixes / cpu,
    );
}

fn alone(roads: &[Vec<(i32, i32)>], vehicles: u64, steps: i64, making: f64) {
    let mut world = World::new(Params::default()).unwrap();
    world.network.change(
        roads
            .iter()
            .enumerate()
            .map(|(i, points)| (i as u32, Some(RoadLine { rank: i as u64, points, oneway: false }))),
    );
    let mut tracks = vec![Track::default(); vehicles as usize];
    let mut drivers: Vec<Driver> = (0..vehicles).map(Driver::new).collect();
    let (before, begun) = (usage(), Instant::now());
    let (mut changes, mut pieces) = (Vec::new(), 0i64);
    let fix = |at, ts| matching::Fix { ts, at, speed: Some(90), heading: None, working: true, epoch: 1 };
    for step in 0..steps {
        for (track, driver) in tracks.iter_mut().zip(&mut drivers) {
            track.edit(&mut world, &[Edit::Put(fix(driver.step(), START + step * STEP_MS))], &mut changes);
            pieces += changes.drain(..).map(|(_, by)| by).sum::<i64>();
        }
    }
    let after = usage();
    let fixes = vehicles as f64 * steps as f64;
    let wall = begun.elapsed().as_secs_f64() - making;
    report("matching alone, 1 thread", fixes, after.0 - before.0 - making, wall, after.1 - before.1, after.2);
    println!(
        "  {pieces} pieces, {:.1} bytes resident per fix",
        (after.1 - before.1) as f64 * 1048576.0 / fixes
    );
    // Fixes that come late, one at a time, each beside one of its vehicle somewhere in the day.
    let (late, mut random, begun) = (2000, Random(7), usage());
    for _ in 0..late {
        let track = &mut tracks[(random.next() % vehicles) as usize];
        let ts = START + (random.next() % steps as u64) as i64 * STEP_MS;
        let Some(beside) = track.fixes(&world.params, ts, ts + 1).next() else { continue };
        track.edit(&mut world, &[Edit::Put(fix(beside.at, ts + STEP_MS / 2))], &mut changes);
        changes.clear();
    }
    println!("  a late fix: {:.0} µs of CPU", (usage().0 - begun.0) / f64::from(late) * 1e6);
}

fn engine(
    roads: &[Vec<(i32, i32)>],
    vehicles: u64,
    steps: i64,
    workers: usize,
    making: f64,
    coverage_only: bool,
) {
    let names = Arc::new(Names::new());
    let views = coverage_only.then(|| ["road_coverage", "district_coverage"].map(str::to_owned).to_vec());
    let settings = Settings { coverage_retention_ms: None, views, ..Settings::default() };
    let mut engine = Engine::start(&settings, workers, &names).unwrap();
    let frames = engine.frames();
    let (said, uppers) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || frames.iter().for_each(|frame| said.send(frame.upper).unwrap()));
    let mut offset = 0;
    let mut reference = |kind: Kind, id: &str, typed: Typed| {
        offset += 1;
        let pos = LogPos { stream: StreamId::Reference, partition: 0, offset };
        let body = Some(Arc::new(RefBody { json: "{}".into(), typed }));
        Row::Reference(Box::new(RefRecord { pos, kind, id: names.intern(id), ts: None, body }))
    };
    let shift = |start: u16, end: u16| Typed::Shift(ShiftRef { start, end, fleets: vec![] });
    let mut rows = vec![
        reference(Kind::Shift, "day", shift(6 * 60, 18 * 60)),
        reference(Kind::Shift, "night", shift(18 * 60, 30 * 60)),
    ];
    for (i, points) in roads.iter().enumerate() {
        let plan = |shift: &str| PlanRef { shift: names.intern(shift), passes: 1, from: None, by: None };
        let plan = ["day", "night"].map(plan).to_vec();
        let district = names.intern(&format!("d{}", i % 13));
        let road = RoadRef { district, points: points.clone(), plan, ..RoadRef::default() };
        rows.push(reference(Kind::Road, &format!("r{i}"), Typed::Road(Arc::new(road))));
    }
    let ids: Vec<Sym> = (0..vehicles).map(|n| names.intern(&format!("v{n}"))).collect();
    for n in 0..vehicles {
        let typed = VehicleRef { working_speed: Some([3.0, 20.0]), ..VehicleRef::default() };
        rows.push(reference(Kind::Vehicle, &format!("v{n}"), Typed::Vehicle(typed)));
    }
    engine.feed(Feed::Rows { tick: START as u64 - 200, rows }).unwrap();
    engine.feed(Feed::Advance(START as u64 - 200)).unwrap();
    let mut drivers: Vec<Driver> = (0..vehicles).map(Driver::new).collect();
    let (before, begun) = (usage(), Instant::now());
    for step in 0..steps {
        let ts = START + step * STEP_MS;
        // Vehicles don't send at once: fifty ticks of 200 ms share them.
        for (tick, share) in (0u64..).zip(drivers.chunks_mut(vehicles.div_ceil(50) as usize)) {
            let first = tick * vehicles.div_ceil(50);
            let tick = ts as u64 + tick * 200;
            let fix = |(n, driver): (u64, &mut Driver)| {
                let (lon, lat) = driver.step();
                let pos =
                    LogPos { stream: StreamId::Positions, partition: 0, offset: step as u64 * vehicles + n };
                let vehicle = ids[n as usize];
                Row::Fix(Fix {
                    pos,
                    vehicle,
                    ts,
                    lon,
                    lat,
                    speed: Some(9.0),
                    heading: None,
                    working: Some(true),
                })
            };
            let rows = (first..).zip(share).map(fix).collect();
            engine.feed(Feed::Rows { tick, rows }).unwrap();
            engine.feed(Feed::Advance(tick)).unwrap();
        }
    }
    // What is behind is worked off before anything is read from the clocks.
    let mut tick = (START + steps * STEP_MS) as u64;
    let mut settle = |engine: &mut Engine, rows: Vec<Row>| {
        engine.feed(Feed::Rows { tick, rows }).unwrap();
        engine.feed(Feed::Advance(tick)).unwrap();
        while uppers.recv().unwrap() <= tick {}
        tick += 200;
    };
    settle(&mut engine, Vec::new());
    let after = usage();
    let fixes = vehicles as f64 * steps as f64;
    let what = if coverage_only { "matching and coverage" } else { "all views" };
    let what = format!("{what}, {workers} workers");
    let wall = begun.elapsed().as_secs_f64() - making;
    report(&what, fixes, after.0 - before.0 - making, wall, after.1.saturating_sub(before.1), after.2);
    // Fixes of all the day that come late, each in a tick of its own.
    let (late, mut random) = (2000u64, Random(7));
    let (before, begun) = (usage().0, Instant::now());
    for n in 0..late {
        let vehicle = random.next() % vehicles;
        let ts = START + (random.next() % steps as u64) as i64 * STEP_MS + STEP_MS / 2;
        let (lon, lat) = drivers[vehicle as usize].step();
        let pos = LogPos { stream: StreamId::Positions, partition: 0, offset: steps as u64 * vehicles + n };
        let (vehicle, speed, working) = (ids[vehicle as usize], Some(9.0), Some(true));
        let fix = Fix { pos, vehicle, ts, lon, lat, speed, heading: None, working };
        settle(&mut engine, vec![Row::Fix(fix)]);
    }
    println!(
        "  a late fix in a tick of its own: {:.0} µs of CPU, {:.0} µs until it is said",
        (usage().0 - before) / late as f64 * 1e6,
        begun.elapsed().as_secs_f64() / late as f64 * 1e6,
    );
    engine.stop().unwrap();
    reader.join().unwrap();
}
