//! Ways through the network: shortest ones, within a bound.
//!
//! **Meaning.** Of ways of equal length the one whose last arcs come first in the order of arcs is taken, so a way
//! depends on the network alone.
//!
//! **Mechanism.** Dijkstra's algorithm from a node up to a radius, kept per node for the network in force: fixes of a
//! city come again and again by the same nodes. A fix of an earlier epoch is routed without the cache.
//!
//! **State.** At most [`MAX_ENTRIES`] entries of 12 bytes; when they are full the cache starts anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foldhash::HashMap;

use crate::network::{Arc, Epoch, Network};

/// Greatest number of entries in the cache of one router.
pub const MAX_ENTRIES: usize = 2_000_000;
/// Smallest radius that is searched, mm: a power of two, and so are the larger ones.
const RADIUS_MM: i64 = 1 << 18;

#[derive(Clone, Copy, Debug)]
struct Entry {
    node: u32,
    distance: u32,
    /// The arc by which the node is reached, packed; `NO_ARC` at the source.
    via: u32,
}

const NO_ARC: u32 = u32::MAX;

fn pack(arc: Arc) -> u32 {
    arc.segment << 1 | u32::from(arc.backward)
}

fn unpack(via: u32) -> Arc {
    Arc { segment: via >> 1, backward: via & 1 == 1 }
}

/// What can be reached from a node.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    radius: i64,
    /// In order of node.
    entries: Vec<Entry>,
}

impl Reach {
    /// Length of the shortest way to `node`, mm; may be `None` when longer than the limit that was asked for.
    pub(crate) fn distance(&self, node: u32) -> Option<i64> {
        self.get(node).map(|entry| i64::from(entry.distance))
    }

    fn get(&self, node: u32) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&node, |entry| entry.node).ok()?;
        self.entries.get(at)
    }
}

/// Finds ways.
#[derive(Debug, Default)]
pub struct Router {
    epoch: Epoch,
    cache: HashMap<u32, Reach>,
    entries: usize,
    /// The last search on an earlier epoch.
    past: Option<(u32, Epoch, Reach)>,
    best: HashMap<u32, (u32, u32)>,
    queue: BinaryHeap<Reverse<(u32, u32)>>,
}

impl Router {
    /// The arcs of the shortest way, in order.
    pub(crate) fn way(
        &mut self,
        network: &Network,
        from: u32,
        to: u32,
        limit: i64,
        epoch: Epoch,
        out: &mut Vec<Arc>,
    ) {
        out.clear();
        let reach = self.reach(network, from, limit, epoch);
        let mut node = to;
        while node != from {
            let Some(entry) = reach.get(node).filter(|entry| entry.via != NO_ARC) else { return out.clear() };
            let arc = unpack(entry.via);
            out.push(arc);
            node = network.tail(arc);
        }
        out.reverse();
    }

    /// What can be reached from a node at `epoch` by ways of up to `limit` mm at least.
    pub(crate) fn reach(&mut self, network: &Network, from: u32, limit: i64, epoch: Epoch) -> &Reach {
        let mut radius = RADIUS_MM;
        while radius < limit {
            radius *= 2;
        }
        if epoch != network.epoch() {
            let known = self
                .past
                .as_ref()
                .is_some_and(|(node, at, reach)| (*node, *at) == (from, epoch) && reach.radius >= limit);
            if !known {
                let reach = self.search(network, from, radius, epoch);
                self.past = Some((from, epoch, reach));
            }
            return self.past.as_ref().map(|(.., reach)| reach).unwrap_or(&EMPTY);
        }
        if self.epoch != epoch || self.entries > MAX_ENTRIES {
            self.cache.clear();
            (self.epoch, self.entries) = (epoch, 0);
        }
        if self.cache.get(&from).is_none_or(|reach| reach.radius < limit) {
            let reach = self.search(network, from, radius, epoch);
            self.entries += reach.entries.len();
            if let Some(old) = self.cache.insert(from, reach) {
                self.entries -= old.entries.len();
            }
        }
        self.cache.get(&from).unwrap_or(&EMPTY)
    }

    fn search(&mut self, network: &Network, from: u32, radius: i64, epoch: Epoch) -> Reach {
        let (best, queue) = (&mut self.best, &mut self.queue);
        best.clear();
        queue.clear();
        best.insert(from, (0, NO_ARC));
        queue.push(Reverse((0, from)));
        while let Some(Reverse((distance, node))) = queue.pop() {
            if best.get(&node).is_some_and(|(known, _)| *known < distance) {
                continue;
            }
            for arc in network.leaving(node, epoch) {
                let next = distance.saturating_add(network.segments[arc.segment as usize].length_mm);
                if i64::from(next) > radius {
                    continue;
                }
                let head = network.head(arc);
                match best.get_mut(&head) {
                    Some((known, _)) if *known < next => {}
                    Some((known, via)) if *known == next => {
                        // As long: the arc that comes first. Segments have a length, so nothing follows from `head` yet.
                        if *via != NO_ARC && network.rank(arc) < network.rank(unpack(*via)) {
                            *via = pack(arc);
                        }
                    }
                    _ => {
                        best.insert(head, (next, pack(arc)));
                        queue.push(Reverse((next, head)));
                    }
                }
            }
        }
        let entry = |(node, (distance, via)): (&u32, &(u32, u32))| Entry {
            node: *node,
            distance: *distance,
            via: *via,
        };
        let mut entries: Vec<Entry> = best.iter().map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.node);
        Reach { radius, entries }
    }
}

static EMPTY: Reach = Reach { radius: 0, entries: Vec::new() };
