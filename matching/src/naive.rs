//! The definition of a match, written plainly: what [`crate::Track`] must agree with, bit for bit.
//!
//! Every candidate by looking at all segments, every way by relaxing all arcs until nothing changes, every block from
//! nothing. It shares the geometry and the rule of pieces with the rest of the crate and nothing else. For tests: its
//! cost is the size of the network times that of the track. Nothing is kept.

use std::collections::BTreeMap;

use crate::fix::{Fix, Point};
use crate::geo::{Scale, distance_mm, project};
use crate::network::{Arc, Candidate, MAX_CANDIDATES, Network, heading_cost};
use crate::params::Params;
use crate::pieces::{Band, Fold, Leg, Move, Piece};

/// All pieces of a track of fixes in order of event time, and the road of the last fix.
pub fn pieces(network: &Network, params: &Params, band: Band, fixes: &[Fix]) -> (Vec<Piece>, Option<u32>) {
    let mut all = Vec::new();
    let mut last = None;
    let fixes: Vec<Fix> = fixes
        .iter()
        .map(|fix| {
            let start = params.block(fix.ts) * params.block_ms;
            Point::pack(fix, start).unpack(start)
        })
        .collect();
    let mut blocks: Vec<i64> = fixes.iter().map(|fix| params.block(fix.ts)).collect();
    blocks.dedup();
    for block in blocks {
        let (from, to) = params.window(block);
        let window: Vec<Fix> = fixes.iter().filter(|fix| from <= fix.ts && fix.ts < to).copied().collect();
        let way = cheapest(network, params, &window);
        let mut fold = Fold::new(band);
        for i in 1..window.len() {
            if params.block(window[i].ts) != block {
                continue;
            }
            let (a, b) = (&window[i - 1], &window[i]);
            let legs = if b.ts - a.ts > params.hole_ms {
                None
            } else {
                legs(network, params, (a, &way[i - 1]), (b, &way[i]))
            };
            let known = legs.is_some() && b.ts - a.ts <= params.cover_hole_ms;
            fold.take(&Move { from: a, to: b, legs: &legs.unwrap_or_default(), known }, &mut all);
        }
        let road = way.last().and_then(|candidate| candidate.arc).map(|arc| network.road_of(arc));
        last = road;
    }
    all.sort_unstable();
    (all, last)
}

fn candidates(network: &Network, params: &Params, fix: &Fix) -> Vec<Candidate> {
    let scale = Scale::at(fix.at.1);
    let mut found = Vec::new();
    for (version_id, version) in (0u32..).zip(&network.versions) {
        if !network.alive(version_id, fix.epoch) {
            continue;
        }
        let range = version.first as usize..(version.first + version.count) as usize;
        let near: Vec<(f64, i64)> = network.segments[range.clone()]
            .iter()
            .map(|segment| project(&scale, fix.at, segment.a, segment.b))
            .collect();
        for (i, (share, distance)) in near.iter().enumerate() {
            let bend_before = i > 0 && *share == 0.0;
            let bend_after = i + 1 < near.len() && *share == 1.0 && near[i + 1].0 > 0.0;
            if *distance > params.radius_mm || bend_before || bend_after {
                continue;
            }
            let segment = &network.segments[range.start + i];
            let at_mm = segment.start_mm + (share * f64::from(segment.length_mm)).round() as u32;
            for backward in [false, true] {
                if backward && version.oneway {
                    continue;
                }
                let arc = Arc { segment: (range.start + i) as u32, backward };
                let cost = distance * distance * 1000 / (2 * params.sigma_mm * params.sigma_mm)
                    + heading_cost(params, fix, segment.bearing, backward);
                found.push((cost, (version.rank, i, backward), Candidate { arc: Some(arc), at_mm, cost }));
            }
        }
    }
    found.sort_by_key(|(cost, rank, _)| (*cost, *rank));
    let mut found: Vec<Candidate> = found.into_iter().map(|(.., candidate)| candidate).collect();
    found.truncate(MAX_CANDIDATES);
    found.push(Candidate { arc: None, at_mm: 0, cost: params.off_cost });
    found
}

/// Lengths of the shortest ways from a node to all others at an epoch.
fn lengths(network: &Network, epoch: u32, from: u32) -> BTreeMap<u32, i64> {
    let mut best = BTreeMap::from([(from, 0i64)]);
    loop {
        let mut changed = false;
        for arc in arcs(network, epoch) {
            let Some(so_far) = best.get(&network.tail(arc)) else { continue };
            let next = so_far + i64::from(network.segments[arc.segment as usize].length_mm);
            let head = network.head(arc);
            if best.get(&head).is_none_or(|known| next < *known) {
                best.insert(head, next);
                changed = true;
            }
        }
        if !changed {
            return best;
        }
    }
}

fn arcs(network: &Network, epoch: u32) -> Vec<Arc> {
    (0..network.segments.len() as u32)
        .flat_map(|segment| [false, true].map(|backward| Arc { segment, backward }))
        .filter(|arc| {
            let version = network.version_of(*arc);
            network.alive(version, epoch) && !(arc.backward && network.versions[version as usize].oneway)
        })
        .collect()
}

/// Cost of a hop, and the roads that it takes; `None` = it is not known.
fn hop(
    network: &Network,
    params: &Params,
    (a, from): (&Fix, &Candidate),
    (b, to): (&Fix, &Candidate),
) -> (i64, Option<Vec<Leg>>) {
    let (Some(out), Some(into)) = (from.arc, to.arc) else {
        let both = from.arc.is_none() && to.arc.is_none();
        return (if both { 0 } else { params.off_switch_cost }, None);
    };
    let straight = distance_mm(a.at, b.at);
    let cost = |way: i64| (way - straight).abs() * 1000 / params.beta(b.ts - a.ts);
    let leg =
        |arc: Arc, from: u32, to: u32| Leg { road: network.road_of(arc), backward: arc.backward, from, to };
    let (x, y) = (i64::from(from.at_mm), i64::from(to.at_mm));
    if network.version_of(out) == network.version_of(into) {
        let ahead = if out.backward { x - y } else { y - x };
        let (cost, legs) = match (out.backward == into.backward, ahead) {
            (true, 0..) => (cost(ahead), vec![leg(out, from.at_mm, to.at_mm)]),
            (true, _) if -ahead <= params.back_mm => (cost(0), vec![]),
            (true, _) => (i64::MAX, vec![]),
            (false, 0..) => (params.u_turn_cost + cost(ahead), vec![leg(out, from.at_mm, to.at_mm)]),
            (false, _) => (params.u_turn_cost + cost(-ahead), vec![leg(into, from.at_mm, to.at_mm)]),
        };
        if cost < params.jump_cost {
            return (cost, Some(legs));
        }
    }
    let epoch = a.epoch.max(b.epoch);
    let lengths = lengths(network, epoch, network.head(out));
    let ends = |arc: Arc| {
        let segment = &network.segments[arc.segment as usize];
        let (low, high) = (segment.start_mm, segment.start_mm + segment.length_mm);
        if arc.backward { (high, low) } else { (low, high) }
    };
    let apart = |a: u32, b: u32| (i64::from(a) - i64::from(b)).abs();
    let Some(between) = lengths.get(&network.tail(into)) else { return (params.jump_cost, None) };
    let total = apart(from.at_mm, ends(out).1) + between + apart(ends(into).0, to.at_mm);
    if cost(total) >= params.jump_cost || *between > params.way_mm || straight > params.way_mm {
        return (params.jump_cost, None);
    }
    // Back from the end, each time by the first of the arcs that lie on a shortest way.
    let (mut way, mut node) = (Vec::new(), network.tail(into));
    while node != network.head(out) {
        let on_way = |arc: &Arc| {
            let length = i64::from(network.segments[arc.segment as usize].length_mm);
            network.head(*arc) == node
                && lengths.get(&network.tail(*arc)).is_some_and(|so_far| so_far + length == lengths[&node])
        };
        let arcs = arcs(network, epoch);
        let Some(arc) = arcs.into_iter().filter(on_way).min_by_key(|arc| network.rank(*arc)) else { break };
        way.push(leg(arc, ends(arc).0, ends(arc).1));
        node = network.tail(arc);
    }
    way.push(leg(out, from.at_mm, ends(out).1));
    way.reverse();
    way.push(leg(into, ends(into).0, to.at_mm));
    (cost(total), Some(way))
}

/// Parts of one road that follow each other are one leg: where a move is cut in half depends on its length alone, but
/// times are rounded leg by leg.
fn legs(
    network: &Network,
    params: &Params,
    a: (&Fix, &Candidate),
    b: (&Fix, &Candidate),
) -> Option<Vec<Leg>> {
    let mut joined: Vec<Leg> = Vec::new();
    for leg in hop(network, params, a, b).1? {
        match joined.last_mut() {
            Some(last) if last.goes_on_in(&leg) => last.to = leg.to,
            _ => joined.push(leg),
        }
    }
    Some(joined)
}

/// The cheapest way through all fixes, from nothing.
fn cheapest(network: &Network, params: &Params, fixes: &[Fix]) -> Vec<Candidate> {
    let all: Vec<Vec<Candidate>> = fixes.iter().map(|fix| candidates(network, params, fix)).collect();
    let mut totals: Vec<Vec<(i64, Option<usize>)>> = Vec::new();
    for i in 0..fixes.len() {
        let chain = i > 0 && fixes[i].ts - fixes[i - 1].ts <= params.hole_ms;
        let total = |to: &Candidate| {
            if !chain {
                return (to.cost, None);
            }
            let ways = all[i - 1].iter().enumerate().map(|(j, from)| {
                let hop = hop(network, params, (&fixes[i - 1], from), (&fixes[i], to)).0;
                (totals[i - 1][j].0 + hop, j)
            });
            ways.min().map_or((to.cost, None), |(cost, j)| (cost + to.cost, Some(j)))
        };
        let row = all[i].iter().map(total).collect();
        totals.push(row);
    }
    let mut chosen = vec![0; fixes.len()];
    let mut next = None;
    for i in (0..fixes.len()).rev() {
        let cheapest = totals[i].iter().enumerate().min_by_key(|(j, (total, _))| (*total, *j));
        chosen[i] = next.unwrap_or_else(|| cheapest.map_or(0, |(j, _)| j));
        next = totals[i][chosen[i]].1;
    }
    chosen.into_iter().zip(all).map(|(j, candidates)| candidates[j]).collect()
}
