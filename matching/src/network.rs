//! The roads, each with the epochs at which it came and went.
//!
//! **Meaning.** An epoch is one change of the network. A fix is matched on the network of its own epoch, whatever
//! changes later; so a road that is moved leaves what was matched before as it is.
//!
//! **Mechanism.** A road is a run of straight segments between its vertices; every vertex is a node, and roads meet
//! where they share a vertex exactly. A road that changes is a new version: the old one dies and stays, for fixes of
//! earlier epochs that have to be matched again. An R-tree (`rstar`) finds the segments near a fix.
//!
//! **State.** About 150 bytes per segment of every version of every road.

use foldhash::HashMap;
use rstar::{AABB, RTree, RTreeObject};

use crate::fix::Fix;
use crate::geo::{Place, Scale, bearing, distance_mm, project};
use crate::params::Params;

/// The number of a change of the network; 0 is the empty network.
pub type Epoch = u32;

/// A road as it comes.
#[derive(Clone, Debug)]
pub struct RoadLine<'a> {
    /// Order among roads that are equally good: it must not depend on the order of arrival.
    pub rank: u64,
    /// The vertices, in order.
    pub points: &'a [Place],
    /// Whether it may be driven only in the order of its vertices.
    pub oneway: bool,
}

/// Greatest number of road candidates of a fix: the best are kept.
pub const MAX_CANDIDATES: usize = 12;

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub road: u32,
    pub rank: u64,
    pub first: u32,
    pub count: u32,
    pub oneway: bool,
    pub born: Epoch,
    pub died: Epoch,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub version: u32,
    pub a: Place,
    pub b: Place,
    pub node_a: u32,
    pub node_b: u32,
    /// From the start of the road to `a`, mm.
    pub start_mm: u32,
    pub length_mm: u32,
    pub bearing: f32,
}

/// A segment and the direction in which it is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Arc {
    pub segment: u32,
    pub backward: bool,
}

/// A place where a fix may be: on a road, or off all roads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// `None` = off the road.
    pub arc: Option<Arc>,
    /// From the start of the road's line, mm.
    pub at_mm: u32,
    /// What it costs that the fix is there.
    pub cost: i64,
}

struct Entry {
    envelope: AABB<[f64; 2]>,
    segment: u32,
}

impl RTreeObject for Entry {
    type Envelope = AABB<[f64; 2]>;
    fn envelope(&self) -> Self::Envelope {
        self.envelope
    }
}

/// The road network through its epochs.
#[derive(Default)]
pub struct Network {
    epoch: Epoch,
    current: HashMap<u32, u32>,
    pub(crate) versions: Vec<Version>,
    pub(crate) segments: Vec<Segment>,
    nodes: HashMap<Place, u32>,
    /// The arcs that leave each node, of all epochs.
    leaving: Vec<Vec<Arc>>,
    tree: RTree<Entry>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({} roads, {} segments)", self.current.len(), self.segments.len())
    }
}

/// The [`RoadLine::rank`] of a road with this name: the same in every run (FNV-1a).
pub fn rank(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Length of a line of vertices, mm: the sum of its segments, each rounded.
pub fn length_mm(points: &[Place]) -> i64 {
    points.windows(2).map(|pair| distance_mm(pair[0], pair[1])).sum()
}

impl Network {
    /// The number of the last change.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Number of roads in force.
    pub fn len(&self) -> usize {
        self.current.len()
    }

    /// Whether no road is in force.
    pub fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    /// Makes the roads of one change, which is the next epoch: `None` takes a road away. A line of fewer than two
    /// different vertices, or longer than 4,000 km, is no road.
    pub fn change<'a>(&mut self, roads: impl IntoIterator<Item = (u32, Option<RoadLine<'a>>)>) {
        self.epoch += 1;
        let mut fresh = Vec::new();
        for (road, line) in roads {
            if let Some(version) = self.current.remove(&road) {
                self.versions[version as usize].died = self.epoch;
            }
            if let Some(line) = line {
                self.add(road, &line, &mut fresh);
            }
        }
        if self.tree.size() == 0 {
            self.tree = RTree::bulk_load(fresh);
        } else {
            fresh.into_iter().for_each(|entry| self.tree.insert(entry));
        }
    }

    fn add(&mut self, road: u32, line: &RoadLine<'_>, fresh: &mut Vec<Entry>) {
        const LONGEST_MM: i64 = 4_000_000_000;
        let length = length_mm(line.points);
        if length == 0 || length > LONGEST_MM {
            return;
        }
        let version = self.versions.len() as u32;
        let first = self.segments.len() as u32;
        let mut start_mm = 0;
        for pair in line.points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let length_mm = distance_mm(a, b) as u32;
            if length_mm == 0 {
                continue;
            }
            let segment = self.segments.len() as u32;
            let (node_a, node_b) = (self.node(a), self.node(b));
            let bearing = bearing(a, b);
            self.segments.push(Segment { version, a, b, node_a, node_b, start_mm, length_mm, bearing });
            start_mm += length_mm;
            self.leaving[node_a as usize].push(Arc { segment, backward: false });
            if !line.oneway {
                self.leaving[node_b as usize].push(Arc { segment, backward: true });
            }
            let corner = |place: Place| [f64::from(place.0), f64::from(place.1)];
            fresh.push(Entry { envelope: AABB::from_corners(corner(a), corner(b)), segment });
        }
        let count = self.segments.len() as u32 - first;
        let (rank, oneway) = (line.rank, line.oneway);
        self.versions.push(Version { road, rank, first, count, oneway, born: self.epoch, died: Epoch::MAX });
        self.current.insert(road, version);
    }

    fn node(&mut self, place: Place) -> u32 {
        let next = self.leaving.len() as u32;
        let node = *self.nodes.entry(place).or_insert(next);
        if node == next {
            self.leaving.push(Vec::new());
        }
        node
    }

    /// Whether the version was in force at `epoch`.
    pub(crate) fn alive(&self, version: u32, epoch: Epoch) -> bool {
        let version = &self.versions[version as usize];
        version.born <= epoch && epoch < version.died
    }

    /// The arcs that leave a node at `epoch`.
    pub(crate) fn leaving(&self, node: u32, epoch: Epoch) -> impl Iterator<Item = Arc> {
        let arcs = self.leaving[node as usize].iter().copied();
        arcs.filter(move |arc| self.alive(self.segments[arc.segment as usize].version, epoch))
    }

    /// A road as it was at `epoch`, by its key.
    pub(crate) fn version_at(&self, road: u32, epoch: Epoch) -> Option<&Version> {
        let is = |version: &&Version| version.road == road && version.born <= epoch && epoch < version.died;
        let current = self.current.get(&road).map(|version| &self.versions[*version as usize]);
        current.filter(is).or_else(|| self.versions.iter().rev().find(is))
    }

    pub(crate) fn version_of(&self, arc: Arc) -> u32 {
        self.segments[arc.segment as usize].version
    }

    /// The road of an arc, as its key.
    pub(crate) fn road_of(&self, arc: Arc) -> u32 {
        self.versions[self.version_of(arc) as usize].road
    }

    /// An order of arcs that depends on what they are and not on when they came.
    pub(crate) fn rank(&self, arc: Arc) -> (u64, u32, bool) {
        let version = &self.versions[self.version_of(arc) as usize];
        (version.rank, arc.segment - version.first, arc.backward)
    }

    /// The node at which an arc ends.
    pub(crate) fn head(&self, arc: Arc) -> u32 {
        let segment = &self.segments[arc.segment as usize];
        if arc.backward { segment.node_a } else { segment.node_b }
    }

    /// The node at which an arc begins.
    pub(crate) fn tail(&self, arc: Arc) -> u32 {
        self.head(Arc { backward: !arc.backward, ..arc })
    }

    /// The places where `fix` may be, on the network of its epoch, best first; the last is off the road.
    pub(crate) fn candidates(&self, fix: &Fix, params: &Params, out: &mut Vec<Candidate>) {
        out.clear();
        let scale = Scale::at(fix.at.1);
        let (low, high) = scale.around(fix.at, params.radius_mm);
        for entry in self.tree.locate_in_envelope_intersecting(&AABB::from_corners(low, high)) {
            let segment = &self.segments[entry.segment as usize];
            if !self.alive(segment.version, fix.epoch) {
                continue;
            }
            let (share, distance) = project(&scale, fix.at, segment.a, segment.b);
            if distance > params.radius_mm || self.neighbour_stands_for(entry.segment, share, fix, &scale) {
                continue;
            }
            let at_mm = segment.start_mm + (share * f64::from(segment.length_mm)).round() as u32;
            let apart = distance * distance * 1000 / (2 * params.sigma_mm * params.sigma_mm);
            let oneway = self.versions[segment.version as usize].oneway;
            for backward in [false, true].into_iter().take(if oneway { 1 } else { 2 }) {
                let cost = apart + heading_cost(params, fix, segment.bearing, backward);
                out.push(Candidate { arc: Some(Arc { segment: entry.segment, backward }), at_mm, cost });
            }
        }
        out.sort_by_key(|candidate| (candidate.cost, candidate.arc.map(|arc| self.rank(arc))));
        out.truncate(MAX_CANDIDATES);
        out.push(Candidate { arc: None, at_mm: 0, cost: params.off_cost });
    }

    /// Whether a road of `epoch` is at most `within_mm` from a place.
    pub fn is_beside(&self, at: Place, epoch: Epoch, within_mm: i64) -> bool {
        let scale = Scale::at(at.1);
        let (low, high) = scale.around(at, within_mm);
        let mut near = self.tree.locate_in_envelope_intersecting(&AABB::from_corners(low, high));
        near.any(|entry| {
            let segment = &self.segments[entry.segment as usize];
            self.alive(segment.version, epoch) && project(&scale, at, segment.a, segment.b).1 <= within_mm
        })
    }

    /// Whether the place nearest on this segment is one of its ends, and the next or last segment of the road has a
    /// place at least as near: one candidate per bend is enough.
    fn neighbour_stands_for(&self, segment: u32, share: f64, fix: &Fix, scale: &Scale) -> bool {
        let version = &self.versions[self.segments[segment as usize].version as usize];
        if share <= 0.0 {
            return segment > version.first;
        }
        if share < 1.0 || segment + 1 >= version.first + version.count {
            return false;
        }
        let next = &self.segments[segment as usize + 1];
        project(scale, fix.at, next.a, next.b).0 > 0.0
    }
}

/// What it costs to go in a direction other than that of the road.
pub(crate) fn heading_cost(params: &Params, fix: &Fix, bearing: f32, backward: bool) -> i64 {
    let Some(heading) = fix.heading else { return 0 };
    if fix.speed.is_some_and(|speed| speed < params.heading_from) {
        return 0;
    }
    let cosine = (f64::from(heading) - f64::from(bearing)).to_radians().cos();
    let cosine = if backward { -cosine } else { cosine };
    (params.heading_cost as f64 * (1.0 - cosine)).round() as i64
}
