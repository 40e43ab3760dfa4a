//! Random green spaces, parks, districts, editions, trees and care: their views equal their oracles at every tick.

use std::sync::Arc;

use model::reference::care::{CareAreaRef, TreeRef};
use model::reference::green_space::{Gate, GreenDistrict, GreenEditionRef, GreenSpaceRef, Level, Measure};
use model::reference::{LonLat, ParkRef, ParkStatus};
use model::{Kind, LogPos, Names, RefBody, RefRecord, Row, StreamId, Sym, Typed};
use proptest::prelude::*;

use super::occasions::add_rules;
use super::parks::{blob, check};
use super::{History, START, TICK, TICKS, settings};
use crate::Settings;

#[derive(Clone, Debug)]
enum Edit {
    Space { id: u8, place: (u8, u8), size: u8, class: u8, district: u8 },
    Park { id: u8, place: (u8, u8), size: u8, class: u8, district: u8 },
    District { id: u8, km2: u8, people: u8, built_up: bool },
    Edition { id: u8, variant: u8 },
    Tree { id: u8, every: u8, care: Vec<u8> },
    Care { id: u8, company: u8, m2: u8, months: Vec<u8> },
    Gone { kind: u8, id: u8 },
}

fn edit() -> impl Strategy<Value = (u8, Edit)> {
    let edit = prop_oneof![
        6 => (0u8..8, (0u8..9, 0u8..9), 0u8..60, 0u8..8, 0u8..3)
            .prop_map(|(id, place, size, class, district)| Edit::Space { id, place, size, class, district }),
        2 => (0u8..8, (0u8..9, 0u8..9), 0u8..60, 0u8..4, 0u8..3)
            .prop_map(|(id, place, size, class, district)| Edit::Park { id, place, size, class, district }),
        2 => (0u8..2, 0u8..4, 0u8..4, any::<bool>())
            .prop_map(|(id, km2, people, built_up)| Edit::District { id, km2, people, built_up }),
        1 => (0u8..2, 0u8..3).prop_map(|(id, variant)| Edit::Edition { id, variant }),
        3 => (0u8..3, 0u8..5, proptest::collection::vec(0u8..30, 0..4))
            .prop_map(|(id, every, care)| Edit::Tree { id, every, care }),
        3 => (0u8..4, 0u8..2, 1u8..9, proptest::collection::vec(0u8..101, 0..3))
            .prop_map(|(id, company, m2, months)| Edit::Care { id, company, m2, months }),
        2 => (0u8..6, 0u8..8).prop_map(|(kind, id)| Edit::Gone { kind, id }),
    ];
    (0..TICKS as u8, edit)
}

fn record(names: &Names, edit: &Edit) -> (Kind, Sym, Option<Typed>) {
    let name = |kind: &str, n: u8| names.intern(&format!("{kind}{}", u32::from(n) * 37 % 101));
    let district = |n: u8| if n == 2 { Sym::EMPTY } else { name("district", n) };
    // Some larger than a cell of the grid, most of them overlapping.
    let shape = |id: u8, (x, y): (u8, u8), size: u8, seed: u8| {
        let at = |n: u8| f64::from(n) * 110.0 + f64::from(id) * 3.7;
        blob(at(x), at(y), f64::from(size) * 7.0 + 8.0, 8, u32::from(seed))
    };
    match *edit {
        Edit::Space { id, place, size, class, district: at } => {
            let space = GreenSpaceRef {
                district: district(at),
                class: [None, Some("G11"), Some("G14"), Some("G2"), Some("G3"), Some("XG")]
                    [usize::from(class % 6)]
                .map(Into::into),
                layer: Some("tree".into()),
                adjoining: class > 4,
                geometry: (size % 10 > 0).then(|| shape(id, place, size, id + 31)),
                area_m2: Some(f64::from(size) * 1000.0),
            };
            (Kind::GreenSpace, name("green", id), Some(Typed::GreenSpace(space)))
        }
        Edit::Park { id, place, size, class, district: at } => {
            let park = ParkRef {
                name: None,
                district: district(at),
                class: if class == 0 {
                    Sym::EMPTY
                } else {
                    names.intern(["G11", "G12", "G3"][usize::from(class - 1)])
                },
                status: if size % 5 == 0 { ParkStatus::Closed } else { ParkStatus::Open },
                area_m2: None,
                geometry: (size % 7 > 0).then(|| shape(id, place, size, id)),
                entrances: Vec::new(),
                historic: false,
            };
            // The id of a green space: nothing may take one for the other.
            (Kind::Park, name("green", id), Some(Typed::Park(park)))
        }
        Edit::District { id, km2, people, built_up } => {
            let record = GreenDistrict {
                area_km2: (km2 > 0).then_some(f64::from(km2) * 0.37),
                built_up: built_up && km2 > 0,
                population: (people > 0).then_some(f64::from(people) * 7777.0),
                land_per_head: None,
            };
            (Kind::District, name("district", id), Some(Typed::District(record)))
        }
        Edit::Edition { id, variant } => {
            let gate = |measure, at_least| Gate { measure, at_least, land_from: None, land_below: None };
            let level = |name: &str, by: f64| Level {
                name: name.into(),
                gates: vec![
                    gate(Measure::GreenCover, 0.31 * by),
                    gate(Measure::GreenLand, 0.23 * by),
                    gate(Measure::ParkAreaPerHead, 11.3 * by),
                ],
            };
            let edition =
                GreenEditionRef { enabled: variant < 2, levels: vec![level("I", 2.0), level("II", 1.0)] };
            (Kind::GreenEdition, name("edition", id), Some(Typed::GreenEdition(edition)))
        }
        Edit::Tree { id, every, ref care } => {
            let mut care: Vec<i64> = care.iter().map(|s| START as i64 + i64::from(*s) * 900).collect();
            care.sort_unstable();
            care.dedup();
            let tree = TreeRef {
                name: (every > 0).then(|| "老槐树".into()),
                at: (every > 1).then_some(LonLat { lon: 1_094_900_001, lat: 365_900_003 }),
                every_ms: (every > 0).then(|| i64::from(every) * 1700),
                district: district(id),
                care,
                ..TreeRef::default()
            };
            (Kind::Tree, name("tree", id), Some(Typed::Tree(tree)))
        }
        Edit::Care { id, company, m2, ref months } => {
            let months = (1..).zip(months);
            let area = CareAreaRef {
                company: name("company", company),
                district: district(0),
                area_m2: i64::from(m2) * 1013,
                assessments: months
                    .map(|(n, score)| (format!("2026-{n:02}").into(), i64::from(*score) * 990))
                    .collect(),
            };
            (Kind::CareArea, name("care", id), Some(Typed::CareArea(area)))
        }
        Edit::Gone { kind: 4, id } => (Kind::Tree, name("tree", id % 3), None),
        Edit::Gone { kind: 5, id } => (Kind::CareArea, name("care", id % 4), None),
        Edit::Gone { kind: 0, id } => (Kind::District, name("district", id % 2), None),
        Edit::Gone { kind: 1, id } => (Kind::GreenEdition, name("edition", id % 2), None),
        Edit::Gone { kind: 2, id } => (Kind::Park, name("green", id), None),
        Edit::Gone { id, .. } => (Kind::GreenSpace, name("green", id), None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn greens_and_care_equal_their_oracles_at_every_tick(mut edits in proptest::collection::vec(edit(), 0..60)) {
        edits.sort_by_key(|(tick, _)| *tick);
        let views = Some(["green_metrics", "trees", "care_assessments", "alerts"].map(str::to_owned).to_vec());
        let settings = Settings { green_edition: "edition37".into(), views, ..settings() };
        let mut history = History::new(settings);
        for (n, (tick, edit)) in (0u64..).zip(edits) {
            let (kind, id, typed) = record(&history.names, &edit);
            let body = typed.map(|typed| Arc::new(RefBody { json: format!("{{\"n\":{n}}}").into(), typed }));
            let pos = LogPos { stream: StreamId::Reference, partition: 0, offset: n };
            let record = Box::new(RefRecord { pos, kind, id, ts: None, body });
            history.rows.push((START + u64::from(tick) * TICK, Row::Reference(record)));
        }
        add_rules(&mut history);
        check(&history);
    }
}
