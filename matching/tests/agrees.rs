//! A track says the same as the definition, whatever order its fixes come in and however the roads change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use matching::{Band, Edit, Fix, Params, Piece, RoadLine, Track, World, naive};
use proptest::prelude::*;

/// 10⁻⁷ degrees of about 100 m north and east.
const NORTH: i32 = 9_000;
const EAST: i32 = 11_200;
const ORIGIN: (i32, i32) = (1_094_900_000, 365_900_000);
const START: i64 = 1_794_560_400_000;

fn place(x: i32, y: i32) -> (i32, i32) {
    (ORIGIN.0 + x * EAST / 10, ORIGIN.1 + y * NORTH / 10)
}

/// Key, vertices, and whether it is one-way.
type Street = (u32, Vec<(i32, i32)>, bool);

/// A small town in tenths of a block of 100 m; `variant` moves some of its roads.
fn town(variant: u8) -> Vec<Street> {
    let line = |points: &[(i32, i32)]| points.iter().map(|p| place(p.0, p.1)).collect::<Vec<_>>();
    let bend = if variant == 1 { 13 } else { 11 };
    let mut roads = vec![
        (1, line(&[(0, 0), (10, 0), (20, 1), (30, 0)]), false),
        (2, line(&[(0, 10), (10, bend), (20, 10)]), true),
        (3, line(&[(0, 0), (0, 10)]), false),
        (4, line(&[(10, 0), (10, bend)]), false),
        (5, line(&[(20, 10), (20, 1)]), true),
        // Two carriageways, 12 m apart.
        (6, line(&[(0, 20), (30, 20)]), true),
        (7, line(&[(30, 21), (0, 21)]), true),
        // A ring, and a dead end.
        (8, line(&[(30, 0), (35, 5), (40, 0), (35, -5), (30, 0)]), true),
        (9, line(&[(0, 10), (0, 14)]), false),
    ];
    if variant == 2 {
        roads.retain(|(road, ..)| *road != 4);
    }
    roads
}

fn change(world: &mut World, variant: u8, reversed: bool) {
    let mut roads = town(variant);
    if reversed {
        roads.reverse();
    }
    let gone = (variant == 2).then_some((4, None));
    let there = roads.iter().map(|(road, points, oneway)| {
        let rank = u64::from(*road).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (*road, Some(RoadLine { rank, points, oneway: *oneway }))
    });
    world.network.change(there.chain(gone).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Event {
    /// Fixes in event order: steps in ms, places, speeds, headings, working.
    Put {
        at: u16,
        x: i16,
        y: i16,
        speed: u8,
        heading: u8,
        working: bool,
    },
    Drop {
        at: u16,
    },
    Roads {
        variant: u8,
    },
    Band {
        kind: u8,
    },
    Settle,
}

fn event() -> impl Strategy<Value = Event> {
    let put = (0u16..170, -4i16..44, -6i16..24, 0u8..30, 0u8..12, prop::bool::weighted(0.8))
        .prop_map(|(at, x, y, speed, heading, working)| Event::Put { at, x, y, speed, heading, working });
    // Along a road, so that something is covered.
    let along = (0u16..170, 0u8..6, any::<bool>()).prop_map(|(at, speed, back)| {
        let x = (i32::from(at) * 3 % 30) as i16;
        let x = if back { 30 - x } else { x };
        Event::Put { at, x, y: 0, speed: speed * 3, heading: 11, working: true }
    });
    prop_oneof![
        4 => put,
        6 => along,
        1 => (0u16..170).prop_map(|at| Event::Drop { at }),
        1 => (0u8..3).prop_map(|variant| Event::Roads { variant }),
        1 => (0u8..3).prop_map(|kind| Event::Band { kind }),
        5 => Just(Event::Settle),
    ]
}

/// How long before the last fix the lean track is edited without help.
const KEPT_MS: i64 = 30_000;

fn params() -> Params {
    // Short blocks, so that a history has many of them.
    Params { block_ms: 300_000, ..Params::default() }
}

/// Roads whose keys and places in memory differ must not make a difference.
fn world(reversed: bool) -> World {
    let mut world = World::new(params()).unwrap();
    change(&mut world, 0, reversed);
    world
}

fn check(events: Vec<Event>) {
    let mut world = world(false);
    let mut judge = self::world(true);
    let (mut track, mut fixes, mut said) = (Track::default(), BTreeMap::new(), BTreeMap::new());
    // One that keeps hardly anything, and gets back what it looks at.
    let (mut lean, mut latest) = (Track::default(), i64::MIN);
    let mut band: Band = None;
    let mut edits: Vec<Edit> = Vec::new();
    for event in events.into_iter().chain([Event::Settle]) {
        let (mut out, mut lean_out) = (Vec::new(), Vec::new());
        match event {
            Event::Put { at, x, y, speed, heading, working } => {
                let fix = Fix {
                    ts: START + i64::from(at) * 7_000,
                    at: place(i32::from(x), i32::from(y)),
                    speed: (speed > 0).then(|| u16::from(speed) * 10),
                    heading: (heading < 9).then(|| u16::from(heading) * 40),
                    working,
                    epoch: world.network.epoch(),
                };
                edits.push(Edit::Put(fix));
            }
            Event::Drop { at } => edits.push(Edit::Drop(START + i64::from(at) * 7_000)),
            Event::Roads { variant } => {
                change(&mut world, variant, false);
                change(&mut judge, variant, true);
            }
            Event::Band { kind } => {
                band = [None, Some((30, 150)), Some((80, 250))][usize::from(kind)];
                track.set_band(&mut world, band, &mut out);
                lean.restore(&world.params, &fixes.values().copied().collect::<Vec<_>>());
                lean.set_band(&mut world, band, &mut lean_out);
                lean.keep(&world.params, KEPT_MS);
            }
            Event::Settle => {
                // Edits of one time: the last counts.
                track.edit(&mut world, &edits, &mut out);
                let before = fixes.clone();
                for edit in &edits {
                    match edit {
                        Edit::Put(fix) => fixes.insert(fix.ts, *fix),
                        Edit::Drop(ts) => fixes.remove(ts),
                    };
                    latest = latest.max(edit.ts());
                }
                let last = |fixes: &BTreeMap<i64, Fix>| fixes.last_key_value().map(|(ts, _)| *ts);
                let old = edits.iter().map(Edit::ts).filter(|ts| *ts < latest - KEPT_MS);
                let back = last(&fixes).filter(|ts| Some(*ts) < last(&before));
                for ts in old.chain(back) {
                    let (from, to) = world.params.looked_at(ts);
                    let around: Vec<Fix> = before.range(from..to).map(|(_, fix)| *fix).collect();
                    lean.restore(&world.params, &around);
                }
                lean.edit(&mut world, &edits, &mut lean_out);
                lean.keep(&world.params, KEPT_MS);
                edits.clear();
            }
        }
        lean_out.sort_unstable();
        let mut all_out = out.clone();
        all_out.sort_unstable();
        assert_eq!(lean_out, all_out, "one that forgets says the same");
        for (piece, n) in out {
            let count: &mut i64 = said.entry(piece).or_default();
            *count += n;
            assert!((0..=1).contains(count), "{piece:?} is there {count} times");
            if *count == 0 {
                said.remove(&piece);
            }
        }
        if edits.is_empty() {
            let all: Vec<Fix> = fixes.values().copied().collect();
            let (expected, road) = naive::pieces(&judge.network, &judge.params, band, &all);
            let said: Vec<Piece> = said.keys().copied().collect();
            assert_eq!(said, expected, "fixes {all:?}");
            assert_eq!(track.last(&mut world).map(|(_, road)| road), all.last().map(|_| road));
            assert_eq!(track.len(), all.len());
            assert_eq!(lean.last(&mut world), track.last(&mut world));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn a_track_is_what_its_definition_says(events in proptest::collection::vec(event(), 0..120)) {
        check(events);
    }
}

/// An hour that comes at once, after the hours around it.
#[test]
fn a_late_hour_is_as_good_as_one_in_time() {
    let drive = |i: i64, world: &World| {
        let x = (i * 4) % 58;
        let x = if x > 29 { 58 - x } else { x };
        let (at, epoch) = (place(x as i32, 0), world.network.epoch());
        Fix { ts: START + i * 10_000, at, speed: Some(100), heading: None, working: true, epoch }
    };
    let (mut world, mut judge) = (world(false), world(false));
    let (mut late, mut in_time) = (Track::default(), Track::default());
    let fixes: Vec<Fix> = (0..1080).map(|i| drive(i, &world)).collect();
    let mut all = BTreeMap::<Piece, i64>::new();
    for range in [0..360, 720..1080, 360..720] {
        let edits: Vec<Edit> = fixes[range].iter().map(|fix| Edit::Put(*fix)).collect();
        let mut out = Vec::new();
        late.edit(&mut world, &edits, &mut out);
        out.into_iter().for_each(|(piece, n)| *all.entry(piece).or_default() += n);
    }
    all.retain(|_, n| *n != 0);
    let mut once = BTreeMap::<Piece, i64>::new();
    for fix in &fixes {
        let mut out = Vec::new();
        in_time.edit(&mut judge, &[Edit::Put(*fix)], &mut out);
        out.into_iter().for_each(|(piece, n)| *once.entry(piece).or_default() += n);
    }
    once.retain(|_, n| *n != 0);
    assert!(once.len() > 30 && once.values().all(|n| *n == 1), "{}", once.len());
    assert_eq!(all, once);
}
