//! Where things stand: parks, residential areas, unit grids and depots, laid out along the roads.
//!
//! Drawn once when a city is made; bounded by its configuration and the length of its roads.

use rand_chacha::ChaCha8Rng;

use crate::config::Config;
use crate::districts::Unit;
use crate::geo::Xy;
use crate::random::{Draw, What, allot, stream};
use crate::roads::Network;

/// Side of a unit grid (万米单元网格), m.
const GRID_M: f64 = 100.0;
/// One unit grid for so many nodes of a road.
const GRID_NODES: usize = 4;

#[derive(Clone, Debug)]
pub(crate) struct Park {
    pub id: String,
    pub name: String,
    pub unit: u16,
    /// CJJ/T 85.
    pub class: &'static str,
    pub status: &'static str,
    pub area_m2: f64,
    pub ring: Vec<Xy>,
    pub entrances: Vec<Xy>,
    pub historic: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Residence {
    pub id: String,
    pub name: String,
    pub unit: u16,
    pub population: u32,
    pub area_m2: f64,
    pub ring: Vec<Xy>,
}

/// A unit grid; its code has 15 digits.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub code: String,
    pub unit: u16,
    pub road: u32,
    pub centre: Xy,
}

#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub parks: Vec<Park>,
    pub residences: Vec<Residence>,
    pub grids: Vec<Grid>,
    /// Each unit's grids: a range of `grids`.
    pub grids_of: Vec<std::ops::Range<usize>>,
}

const CAPITAL_PARKS: [&str; 14] = [
    "宝塔山公园",
    "清凉山公园",
    "凤凰山公园",
    "王家坪公园",
    "枣园公园",
    "西北川公园",
    "体育公园",
    "延河滨水公园",
    "杨家岭公园",
    "桥沟公园",
    "南川河公园",
    "七里铺游园",
    "百米大道带状公园",
    "圣地公园",
];
const PARKS: [&str; 6] = ["人民公园", "滨河公园", "文化广场", "体育公园", "森林公园", "街心游园"];
const HOMES: [&str; 12] =
    ["和平", "阳光", "滨河", "安居", "锦绣", "园丁", "石油", "圣地", "新城", "幸福", "向阳", "丽景"];

impl Places {
    pub(crate) fn lay_out(config: &Config, units: &[Unit], network: &Network) -> Places {
        let weights: Vec<f64> = units.iter().map(|unit| unit.weight).collect();
        let parks = allot(config.parks, &weights, u32::from(config.parks as usize >= units.len()));
        let residences = allot(config.residences, &weights, 0);
        let mut places =
            Places { parks: Vec::new(), residences: Vec::new(), grids: Vec::new(), grids_of: Vec::new() };
        for (index, unit) in units.iter().enumerate() {
            let mut rng = stream(config.seed, What::Places, index as u64);
            for number in 0..parks[index] as usize {
                places.parks.push(park(index, unit, number, network, &mut rng));
            }
            // Two thirds of the people live where the city's areas are drawn.
            let people = f64::from(unit.population.unwrap_or(100_000)) * 0.6;
            let each = people / f64::from(residences[index].max(1));
            for number in 0..residences[index] as usize {
                places.residences.push(residence(index, unit, number, each, network, &mut rng));
            }
            let first = places.grids.len();
            for road in network.roads_of[index].clone() {
                let nodes = &network.roads[road as usize].nodes;
                for node in nodes.iter().skip(nodes.len().min(GRID_NODES) / 2).step_by(GRID_NODES) {
                    let serial = places.grids.len() - first + 1;
                    places.grids.push(Grid {
                        // 6 division + 3 street + 3 community + 3 serial.
                        code: format!(
                            "{}{:03}{:03}{:03}",
                            unit.adcode,
                            1 + serial / 200,
                            1 + serial / 20 % 10,
                            1 + serial % 20
                        ),
                        unit: index as u16,
                        road,
                        centre: network.nodes[*node as usize].at,
                    });
                }
            }
            places.grids_of.push(first..places.grids.len());
        }
        places
    }
}

/// A point beside a random road of the unit, `near` to `far` metres from it.
pub(crate) fn beside_a_road(
    unit: usize,
    network: &Network,
    (near, far): (f64, f64),
    rng: &mut ChaCha8Rng,
) -> (u32, Xy) {
    let edges = network.edges_of[unit].clone();
    let edge = &network.edges[rng.between(edges.start.into(), edges.end.into()) as usize];
    let along = network.nodes[edge.from as usize]
        .at
        .lerp(network.nodes[edge.to as usize].at, rng.between(0.05, 0.95));
    let side = if rng.chance(0.5) { 90.0 } else { -90.0 };
    (edge.road, along.toward((edge.heading + side).to_radians(), rng.between(near, far)))
}

/// An uneven ring of `corners` corners around `centre`, closed, counter-clockwise as GeoJSON wants it.
fn blob(centre: Xy, radius: f64, corners: usize, rng: &mut ChaCha8Rng) -> Vec<Xy> {
    let mut ring: Vec<Xy> = (0..corners)
        .map(|k| {
            let bearing = -(k as f64) / corners as f64 * std::f64::consts::TAU;
            centre.toward(bearing, radius * rng.between(0.75, 1.25))
        })
        .collect();
    ring.push(ring[0]);
    ring
}

/// The area of a closed ring, m².
fn area(ring: &[Xy]) -> f64 {
    ring.windows(2).map(|p| p[0].x * p[1].y - p[1].x * p[0].y).sum::<f64>().abs() / 2.0
}

fn park(index: usize, unit: &Unit, number: usize, network: &Network, rng: &mut ChaCha8Rng) -> Park {
    // Many small ones, few large ones.
    let (class, radius) = match rng.between(0.0, 1.0) {
        r if r < 0.15 => ("G11", rng.between(190.0, 330.0)),
        r if r < 0.40 => ("G12", rng.between(65.0, 150.0)),
        r if r < 0.55 => ("G13", rng.between(60.0, 200.0)),
        r if r < 0.90 => ("G14", rng.between(14.0, 50.0)),
        _ => ("G3", rng.between(40.0, 80.0)),
    };
    let (_, centre) = beside_a_road(index, network, (radius * 1.3, radius * 1.3 + 150.0), rng);
    let ring = blob(centre, radius, 10, rng);
    let gates = if radius > 150.0 { 4 } else { 2 };
    let entrances = (0..gates).map(|gate| ring[gate * (ring.len() - 1) / gates]).collect();
    let name = match CAPITAL_PARKS.get(number).filter(|_| unit.capital) {
        Some(name) => (*name).to_owned(),
        None if unit.capital => format!("延安游园{}号", number + 1 - CAPITAL_PARKS.len()),
        None => {
            let base = PARKS[number % PARKS.len()];
            match number / PARKS.len() {
                0 => format!("{}{base}", unit.name),
                round => format!("{}{base}{}号", unit.name, round + 1),
            }
        }
    };
    let status = match rng.between(0.0, 1.0) {
        r if r < 0.9 => "open",
        r if r < 0.95 => "closed",
        _ => "planned",
    };
    Park {
        id: format!("park-{}-{:03}", unit.adcode, number + 1),
        name,
        unit: index as u16,
        class,
        status,
        area_m2: area(&ring).round(),
        ring,
        entrances,
        historic: rng.chance(0.08),
    }
}

fn residence(
    index: usize,
    unit: &Unit,
    number: usize,
    people: f64,
    network: &Network,
    rng: &mut ChaCha8Rng,
) -> Residence {
    let radius = rng.between(40.0, 130.0);
    let (_, centre) = beside_a_road(index, network, (radius * 1.3, radius * 1.3 + 120.0), rng);
    let ring = blob(centre, radius, 6, rng);
    let suffix =
        if number / HOMES.len() == 0 { String::new() } else { (number / HOMES.len() + 1).to_string() };
    Residence {
        id: format!("home-{}-{:04}", unit.adcode, number + 1),
        name: format!("{}{}小区{suffix}", unit.name, HOMES[number % HOMES.len()]),
        unit: index as u16,
        population: (people * rng.between(0.6, 1.4)) as u32,
        area_m2: area(&ring).round(),
        ring,
    }
}

/// The square of a unit grid, closed, counter-clockwise.
pub(crate) fn square(centre: Xy) -> Vec<Xy> {
    let h = GRID_M / 2.0;
    [(-h, -h), (h, -h), (h, h), (-h, h), (-h, -h)]
        .map(|(dx, dy)| Xy::new(centre.x + dx, centre.y + dy))
        .to_vec()
}

/// A point within a unit grid.
pub(crate) fn within(grid: &Grid, rng: &mut ChaCha8Rng) -> Xy {
    let h = GRID_M / 2.0;
    Xy::new(grid.centre.x + rng.between(-h, h), grid.centre.y + rng.between(-h, h))
}
