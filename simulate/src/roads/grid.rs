//! A county seat: streets along the valley and streets across, turned to the valley's direction; the middle ones along
//! it are one-way.

use super::{LOCAL, MAIN, Plan, SECONDARY};
use crate::geo::Xy;
use crate::random::{Draw, What, stream};

/// Distance between the streets along the valley and between those across, m.
const ALONG_M: f64 = 170.0;
const ACROSS_M: f64 = 260.0;
/// How far a two-way street goes on past the last crossing, m.
const OVERHANG_M: f64 = 150.0;

const ALONG: [&str; 12] = [
    "中心街",
    "滨河路",
    "人民路",
    "迎宾大道",
    "解放路",
    "北环路",
    "南环路",
    "建设路",
    "长征路",
    "胜利街",
    "新城大道",
    "山根路",
];
const ACROSS: [&str; 12] = [
    "文化路",
    "学府路",
    "健康路",
    "市场路",
    "东风路",
    "西关街",
    "东关街",
    "广场路",
    "车站路",
    "石油路",
    "朝阳路",
    "幸福路",
];

/// Draws `roads` roads; one at least.
pub(super) fn draw(plan: &mut Plan<'_>, seed: u64, roads: usize) {
    let mut rng = stream(seed, What::Roads, plan.unit());
    let turn = rng.between(0.0, std::f64::consts::PI);
    let bow = rng.between(40.0, 120.0);
    let (along, across) = (roads - roads / 2, roads / 2);
    // A street that little crosses still needs a length.
    let columns = across.max(3);
    let width = ACROSS_M * (columns - 1) as f64;
    let place = |column: f64, row: f64| {
        let (u, v) = (column * ACROSS_M - width / 2.0, row * ALONG_M);
        // Bowed like the river.
        let v = v + bow * (u / 700.0).sin();
        Xy::new(u * turn.cos() - v * turn.sin(), u * turn.sin() + v * turn.cos())
    };
    let crossings: Vec<Vec<u32>> = (0..along)
        .map(|row| (0..columns).map(|column| plan.node(place(column as f64, row as f64))).collect())
        .collect();
    let overhang = OVERHANG_M / ACROSS_M;
    for (row, nodes) in crossings.iter().enumerate() {
        let mut nodes = nodes.clone();
        // Only where both ends are crossings: a one-way street that ends blindly would be a trap.
        let oneway = across == columns && along >= 3 && (row == 1 || (row == 2 && along >= 4));
        if oneway {
            if row == 2 {
                nodes.reverse();
            }
        } else {
            nodes.insert(0, plan.node(place(-overhang, row as f64)));
            nodes.push(plan.node(place((columns - 1) as f64 + overhang, row as f64)));
        }
        let class = if row == 0 { MAIN } else { SECONDARY };
        plan.road(name(&ALONG, row), class, oneway, nodes);
    }
    for column in 0..across {
        let mut nodes = vec![plan.node(place(column as f64, -1.0))];
        nodes.extend(crossings.iter().map(|row| row[column]));
        let class = if column == across / 2 { SECONDARY } else { LOCAL };
        plan.road(name(&ACROSS, column), class, false, nodes);
    }
}

fn name(names: &[&str], i: usize) -> String {
    match i / names.len() {
        0 => names[i].to_owned(),
        round => format!("{}{}段", names[i % names.len()], round + 1),
    }
}
