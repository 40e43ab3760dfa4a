//! 宝塔区: three valleys that meet below the pagoda hill (延河 from the north-west, 南川河 from the south, 延河 to the
//! east), a street on either bank, bridges between the banks and roads up the gullies (沟).

use super::{Class, LOCAL, MAIN, Plan, SECONDARY};
use crate::geo::Xy;
use crate::random::{Draw, What, stream};

/// Distance between the points of a valley's centre line, m.
const STEP_M: f64 = 100.0;
/// Half the distance between the streets of the two banks, m.
const BANK_M: f64 = 130.0;
/// Streets per bank when there are roads enough.
const PIECES: usize = 4;
/// A bridge every so many steps.
const BRIDGE_STEPS: usize = 8;
/// The order in which each stretch of eight steps gets its gullies: with few roads they stand wide apart.
const GULLY_ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

struct Arm {
    /// Radians clockwise from north at the meeting of the valleys.
    bearing: f64,
    steps: usize,
    /// The streets on its left and right bank, from the centre outwards.
    banks: [[&'static str; PIECES]; 2],
    bridges: [&'static str; 9],
    gullies: [&'static str; 6],
}

const ARMS: [Arm; 3] = [
    Arm {
        bearing: -0.75,
        steps: 72,
        banks: [["中心街", "北关街", "王家坪路", "枣园路"], ["北大街", "杨家岭路", "兰家坪路", "裴庄路"]],
        bridges: [
            "延河大桥",
            "北关桥",
            "王家坪大桥",
            "杨家岭桥",
            "兰家坪桥",
            "枣园桥",
            "裴庄桥",
            "侯家沟桥",
            "莫家湾桥",
        ],
        gullies: ["大砭沟路", "文化沟路", "王家坪沟路", "石佛沟路", "裴庄沟路", "侯家沟路"],
    },
    Arm {
        bearing: 3.35,
        steps: 72,
        banks: [["南大街", "七里铺大街", "百米大道", "柳林路"], ["南关街", "市场街", "双拥大道", "马家湾路"]],
        bridges: [
            "南关桥",
            "市场桥",
            "七里铺桥",
            "百米大道桥",
            "双拥桥",
            "马家湾桥",
            "柳林桥",
            "火车站桥",
            "三十里铺桥",
        ],
        gullies: ["市场沟路", "南桥沟路", "向阳沟路", "杜甫川路", "马家湾沟路", "柳林沟路"],
    },
    Arm {
        bearing: 1.25,
        steps: 80,
        banks: [["东关街", "师范路", "桥沟大街", "迎宾大道"], ["嘉岭路", "东滨路", "圣地路", "姚店路"]],
        bridges: ["宝塔桥", "嘉岭桥", "东关桥", "师范桥", "桥沟桥", "圣地桥", "东滨桥", "迎宾桥", "姚店桥"],
        gullies: ["清凉山路", "黑龙沟路", "尹家沟路", "桥沟路", "柳树店沟路", "罗家坪沟路"],
    },
];

struct Drawn {
    centre: Vec<Xy>,
    /// Node numbers of the left and right bank, index = step.
    banks: [Vec<u32>; 2],
}

/// Draws `roads` roads: first the banks (piece by piece, so that any number is connected), then bridges, then gullies.
pub(super) fn draw(plan: &mut Plan<'_>, seed: u64, roads: usize) {
    let mut rng = stream(seed, What::Roads, plan.unit());
    let pieces = (roads / 6).clamp(1, PIECES);
    let hub = plan.node(Xy::new(900.0, 500.0));
    let mut left = roads;
    let mut drawn: Vec<Drawn> = Vec::new();
    for arm in &ARMS {
        let phase = rng.between(0.0, std::f64::consts::TAU);
        drawn.push(arm.centre_line(plan.place(hub), phase, hub));
    }
    for piece in 0..pieces {
        for (arm, lines) in ARMS.iter().zip(&mut drawn) {
            for bank in 0..2 {
                if left == 0 {
                    return;
                }
                left -= 1;
                let (from, to) = (piece * arm.steps / pieces, (piece + 1) * arm.steps / pieces);
                lines.extend_bank(plan, bank, to);
                let nodes = lines.banks[bank][from..=to].to_vec();
                let class = if bank == 0 || piece == 0 { MAIN } else { SECONDARY };
                plan.road(arm.banks[bank][piece].to_owned(), class, false, nodes);
            }
        }
    }
    for turn in 1.. {
        let step = turn * BRIDGE_STEPS;
        if ARMS.iter().all(|arm| step >= arm.steps) {
            break;
        }
        for (arm, lines) in ARMS.iter().zip(&drawn) {
            if step < arm.steps && left > 0 {
                left -= 1;
                let ends = [lines.banks[0][step], lines.banks[1][step]];
                let class = if turn % 2 == 1 { SECONDARY } else { LOCAL };
                plan.road(arm.bridges[turn - 1].to_owned(), class, false, ends.to_vec());
            }
        }
    }
    for (round, offset) in GULLY_ORDER.into_iter().enumerate() {
        for turn in 0.. {
            let step = GULLY_ORDER.len() * turn + offset + 3;
            if ARMS.iter().all(|arm| step >= arm.steps) {
                break;
            }
            for (arm, lines) in ARMS.iter().zip(&drawn) {
                for bank in 0..2 {
                    if step >= arm.steps || left == 0 {
                        continue;
                    }
                    left -= 1;
                    let name = arm.gully_name(round, turn, bank);
                    let length = rng.between_ms(4, 11) as usize;
                    lines.gully(plan, (step, bank), length, name, LOCAL);
                }
            }
        }
    }
    debug_assert_eq!(left, 0, "the configuration's limit keeps to the room there is");
}

impl Arm {
    fn centre_line(&self, hub: Xy, phase: f64, hub_node: u32) -> Drawn {
        let mut at = hub;
        let mut centre = vec![at];
        for step in 0..self.steps {
            // The river winds more the farther it is from the town.
            let swing = 0.45 * (step as f64 / 15.0).min(1.0);
            at = at.toward(self.bearing + swing * (step as f64 / 9.0 + phase).sin(), STEP_M);
            centre.push(at);
        }
        Drawn { centre, banks: [vec![hub_node], vec![hub_node]] }
    }

    fn gully_name(&self, round: usize, turn: usize, bank: usize) -> String {
        let base = self.gullies[turn % self.gullies.len()];
        let number = 1 + bank + 2 * (round + GULLY_ORDER.len() * (turn / self.gullies.len()));
        if number == 1 { base.to_owned() } else { format!("{base}{number}段") }
    }
}

impl Drawn {
    /// The unit vector across the valley at a step, as a bearing to its right.
    fn right(&self, step: usize) -> f64 {
        let (from, to) =
            (self.centre[step.saturating_sub(1)], self.centre[(step + 1).min(self.centre.len() - 1)]);
        from.bearing_deg(to).to_radians() + std::f64::consts::FRAC_PI_2
    }

    fn extend_bank(&mut self, plan: &mut Plan<'_>, bank: usize, to: usize) {
        let side = if bank == 0 { -1.0 } else { 1.0 };
        for step in self.banks[bank].len()..=to {
            let spread = (step as f64 / 3.0).min(1.0);
            let at = self.centre[step].toward(self.right(step), side * BANK_M * spread);
            let node = plan.node(at);
            self.banks[bank].push(node);
        }
    }

    fn gully(
        &self,
        plan: &mut Plan<'_>,
        (step, bank): (usize, usize),
        length: usize,
        name: String,
        class: Class,
    ) {
        let side = if bank == 0 { std::f64::consts::PI } else { 0.0 };
        let mut nodes = vec![self.banks[bank][step]];
        let mut at = plan.place(nodes[0]);
        for k in 0..length {
            at = at.toward(self.right(step) + side + 0.25 * (k as f64).sin(), STEP_M);
            nodes.push(plan.node(at));
        }
        plan.road(name, class, false, nodes);
    }
}
