//! The schematic road network: a Y of valleys for the capital, a turned grid for every other seat.
//!
//! It is drawn, not surveyed: every road record says `"schematic": true`. Roads share nodes where they meet, and
//! from every node of a unit every other one can be reached with one-way streets obeyed, so that a vehicle never
//! has to leap. The number of nodes and edges is bounded by the number of roads and their lengths (a node per 100 m).

mod grid;
mod valley;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::districts::Unit;
use crate::geo::Xy;
use crate::random::allot;

/// Grade, width, lanes and daily sweeping plan of a road.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Class {
    /// 道路保洁等级, 1 to 3.
    pub grade: u8,
    pub width_m: u8,
    pub lanes: u8,
    /// Passes in the early and in the afternoon shift.
    pub passes: [u8; 2],
}

pub(crate) const MAIN: Class = Class { grade: 1, width_m: 24, lanes: 6, passes: [2, 2] };
pub(crate) const SECONDARY: Class = Class { grade: 2, width_m: 16, lanes: 4, passes: [1, 1] };
pub(crate) const LOCAL: Class = Class { grade: 3, width_m: 9, lanes: 2, passes: [1, 0] };

/// One named road: a line through nodes.
#[derive(Clone, Debug)]
pub(crate) struct Road {
    pub id: String,
    pub name: String,
    pub unit: u16,
    pub class: Class,
    pub oneway: bool,
    pub nodes: Vec<u32>,
}

/// A point where edges meet, on the map of its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub at: Xy,
    pub unit: u16,
}

/// A straight piece of a road between two nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub road: u32,
    pub from: u32,
    pub to: u32,
    pub length_m: f64,
    /// From `from` to `to`, degrees clockwise from north.
    pub heading: f64,
}

/// An edge and the direction in which it is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub edge: u32,
    pub forward: bool,
}

/// All roads of the city.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub roads: Vec<Road>,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// The legs that leave each node.
    pub leaving: Vec<Vec<Leg>>,
    /// The first leg of the shortest way to the unit's depot; `None` at the depot.
    pub homeward: Vec<Option<Leg>>,
    /// Each unit's depot, a node.
    pub depots: Vec<u32>,
    /// Each unit's edges: a range of `edges`.
    pub edges_of: Vec<std::ops::Range<u32>>,
    /// Each unit's roads: a range of `roads`.
    pub roads_of: Vec<std::ops::Range<u32>>,
}

impl Network {
    /// The network of `roads` roads; as many as `units` at least.
    pub(crate) fn build(seed: u64, units: &[Unit], roads: u32) -> Network {
        let weights: Vec<f64> = units.iter().map(|unit| unit.weight).collect();
        let shares = allot(roads, &weights, 1);
        let mut network = Network::default();
        for (index, (unit, &share)) in units.iter().zip(&shares).enumerate() {
            let first_road = network.roads.len() as u32;
            let first_edge = network.edges.len() as u32;
            let mut plan = Plan { network: &mut network, unit: index as u16, adcode: &unit.adcode, count: 0 };
            if unit.capital {
                valley::draw(&mut plan, seed, share as usize);
            } else {
                grid::draw(&mut plan, seed, share as usize);
            }
            network.depots.push(network.roads[first_road as usize].nodes[0]);
            network.roads_of.push(first_road..network.roads.len() as u32);
            network.edges_of.push(first_edge..network.edges.len() as u32);
        }
        network.link();
        network
    }

    fn link(&mut self) {
        self.leaving = vec![Vec::new(); self.nodes.len()];
        for (i, edge) in self.edges.iter().enumerate() {
            self.leaving[edge.from as usize].push(Leg { edge: i as u32, forward: true });
            if !self.roads[edge.road as usize].oneway {
                self.leaving[edge.to as usize].push(Leg { edge: i as u32, forward: false });
            }
        }
        self.homeward = vec![None; self.nodes.len()];
        let mut arriving: Vec<Vec<Leg>> = vec![Vec::new(); self.nodes.len()];
        for leg in self.leaving.iter().flatten() {
            arriving[self.end(*leg) as usize].push(*leg);
        }
        for &depot in &self.depots {
            // Dijkstra from the depot against the direction of driving; lengths in whole cm order the heap.
            let mut queue = BinaryHeap::from([(Reverse(0u64), depot)]);
            let mut best: Vec<u64> = vec![u64::MAX; self.nodes.len()];
            best[depot as usize] = 0;
            while let Some((Reverse(so_far), node)) = queue.pop() {
                if so_far > best[node as usize] {
                    continue;
                }
                for leg in &arriving[node as usize] {
                    let start = self.start(*leg);
                    let length = so_far + (self.edges[leg.edge as usize].length_m * 100.0) as u64;
                    if length < best[start as usize] {
                        best[start as usize] = length;
                        self.homeward[start as usize] = Some(*leg);
                        queue.push((Reverse(length), start));
                    }
                }
            }
        }
    }

    /// The node at which a leg begins.
    pub(crate) fn start(&self, leg: Leg) -> u32 {
        let edge = &self.edges[leg.edge as usize];
        if leg.forward { edge.from } else { edge.to }
    }

    /// The node at which a leg ends.
    pub(crate) fn end(&self, leg: Leg) -> u32 {
        let edge = &self.edges[leg.edge as usize];
        if leg.forward { edge.to } else { edge.from }
    }

    /// The point `along_m` from the start of a leg.
    pub(crate) fn at(&self, leg: Leg, along_m: f64) -> Xy {
        let edge = &self.edges[leg.edge as usize];
        let share = along_m / edge.length_m;
        let share = if leg.forward { share } else { 1.0 - share };
        self.nodes[edge.from as usize].at.lerp(self.nodes[edge.to as usize].at, share)
    }

    /// The direction of a leg, degrees clockwise from north.
    pub(crate) fn heading(&self, leg: Leg) -> f64 {
        let heading = self.edges[leg.edge as usize].heading;
        if leg.forward { heading } else { (heading + 180.0).rem_euclid(360.0) }
    }
}

/// What a drawer adds to: the network, seen from one unit.
pub(crate) struct Plan<'a> {
    network: &'a mut Network,
    unit: u16,
    adcode: &'a str,
    count: usize,
}

impl Plan<'_> {
    fn unit(&self) -> u64 {
        u64::from(self.unit)
    }

    fn node(&mut self, at: Xy) -> u32 {
        self.network.nodes.push(Node { at, unit: self.unit });
        self.network.nodes.len() as u32 - 1
    }

    fn place(&self, node: u32) -> Xy {
        self.network.nodes[node as usize].at
    }

    fn road(&mut self, name: String, class: Class, oneway: bool, nodes: Vec<u32>) {
        debug_assert!(nodes.len() >= 2, "a road has two ends");
        self.count += 1;
        let road = self.network.roads.len() as u32;
        for pair in nodes.windows(2) {
            let (from, to) = (self.place(pair[0]), self.place(pair[1]));
            self.network.edges.push(Edge {
                road,
                from: pair[0],
                to: pair[1],
                length_m: from.distance(to),
                heading: from.bearing_deg(to),
            });
        }
        let id = format!("road-{}-{:03}", self.adcode, self.count);
        self.network.roads.push(Road { id, name, unit: self.unit, class, oneway, nodes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ROADS_MAX, YANAN};
    use crate::districts;

    fn reach(network: &Network, from: u32) -> usize {
        let mut seen = vec![false; network.nodes.len()];
        let mut queue = vec![from];
        seen[from as usize] = true;
        let mut count = 0;
        while let Some(node) = queue.pop() {
            count += 1;
            for leg in &network.leaving[node as usize] {
                let end = network.end(*leg);
                if !std::mem::replace(&mut seen[end as usize], true) {
                    queue.push(end);
                }
            }
        }
        count
    }

    #[test]
    fn every_unit_is_connected_and_has_its_roads_whatever_their_number() {
        let units = districts::read(YANAN).unwrap();
        for roads in [13, 14, 20, 40, 60, 120, 333, ROADS_MAX] {
            let network = Network::build(1, &units, roads);
            assert_eq!(network.roads.len(), roads as usize);
            for (unit, &depot) in network.depots.iter().enumerate() {
                let nodes = network.nodes.iter().filter(|node| node.unit as usize == unit).count();
                assert_eq!(reach(&network, depot), nodes, "from the depot of unit {unit} with {roads} roads");
                let lost = (0..network.nodes.len() as u32)
                    .filter(|&n| network.nodes[n as usize].unit as usize == unit && n != depot)
                    .filter(|&n| network.homeward[n as usize].is_none())
                    .count();
                assert_eq!(lost, 0, "to the depot of unit {unit} with {roads} roads");
            }
            assert!(network.edges.iter().all(|edge| edge.length_m > 5.0 && edge.length_m < 400.0));
        }
    }

    #[test]
    fn no_two_roads_of_a_unit_have_the_same_name_and_some_are_one_way() {
        let units = districts::read(YANAN).unwrap();
        let network = Network::build(1, &units, 300);
        for range in &network.roads_of {
            let mut names: Vec<_> = network.roads[range.start as usize..range.end as usize]
                .iter()
                .map(|road| &road.name)
                .collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all);
        }
        assert!(network.roads.iter().any(|road| road.oneway));
        assert!(
            ["枣园路", "百米大道", "双拥大道", "七里铺大街", "中心街", "师范路"]
                .iter()
                .all(|name| network.roads.iter().any(|road| road.name == *name))
        );
    }
}
