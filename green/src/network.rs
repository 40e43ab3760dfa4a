//! The walking network: how far every residence is from the nearest entrance of a park, along the walkways.
//!
//! **Meaning.** Walkways meet where they share a corner; each pair of neighbouring corners is an edge that can be walked
//! both ways. Entrances and homes are attached to the nearest edge ([`crate::attach`]). The walking distance of a home is
//! the way to its edge, along edges, and from an edge to an entrance, in whole millimetres; of parks at the same distance
//! the one whose id comes first counts. A home that no edge is near enough to, or from which no entrance can be reached,
//! has no walking distance.
//!
//! **Mechanism.** Changes come in batches. An edge that is gone lets go of the stops on it, which look for another; a new
//! one draws the stops to which it is nearer. Then [`Paths`] brings the lengths of the nodes up to date, and the homes
//! beside nodes that changed are named.
//!
//! **State.** One node per corner, one edge per pair of neighbouring corners, one stop per home and entrance.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::LonLat;
use model::{Names, Sym};

use crate::attach::{Grid, Meeting, meeting, place};
use crate::paths::{Graph, Node, Parent, Paths, Value};
use crate::projection::length_mm;

/// What is attached to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Entrance(Sym),
    Home(Sym),
}

#[derive(Clone, Debug)]
struct Stop {
    what: What,
    at: LonLat,
    /// The edge, and where on it.
    on: Option<(u32, Meeting)>,
}

#[derive(Clone, Debug)]
struct Edge {
    a: Node,
    b: Node,
    length: u32,
    /// Number of walkways that have this edge.
    ways: u32,
    stops: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Corner {
    at: LonLat,
    edges: Vec<u32>,
}

/// Things by number, with numbers of what is gone used again.
#[derive(Debug)]
struct Slots<T> {
    things: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { things: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    fn insert(&mut self, thing: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.things[slot as usize] = Some(thing);
            return slot;
        }
        self.things.push(Some(thing));
        (self.things.len() - 1) as u32
    }

    fn get(&self, slot: u32) -> Option<&T> {
        self.things.get(slot as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.things.get_mut(slot as usize)?.as_mut()
    }

    fn remove(&mut self, slot: u32) -> Option<T> {
        self.things.get_mut(slot as usize)?.take()
    }
}

/// Changes of the network, all at one moment. An empty list or `None` takes away.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Walkways: the lines that can be walked.
    pub ways: Vec<(Sym, Vec<Vec<LonLat>>)>,
    /// Parks: the entrances that count.
    pub entrances: Vec<(Sym, Vec<LonLat>)>,
    /// Residences: where they stand.
    pub homes: Vec<(Sym, Option<LonLat>)>,
}

/// The way from a home to the nearest entrance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Its length, mm.
    pub mm: u32,
    /// The park.
    pub park: Sym,
    /// Its corners, from the home to the entrance; empty when it is longer than the network shows.
    pub path: Vec<LonLat>,
}

/// Walkways and what is attached to them.
pub struct Network {
    names: Arc<Names>,
    snap_m: f64,
    way_mm: u32,
    corners: Slots<Corner>,
    corner_of: HashMap<LonLat, Node>,
    edges: Slots<Edge>,
    edge_of: HashMap<(Node, Node), u32>,
    stops: Slots<Stop>,
    edge_grid: Grid,
    stop_grid: Grid,
    ways: HashMap<Sym, Vec<(LonLat, LonLat)>>,
    homes: HashMap<Sym, u32>,
    entrances: HashMap<Sym, Vec<u32>>,
    paths: Paths,
}

/// What a batch leaves to be done.
#[derive(Default)]
struct Work {
    touched: HashSet<Node>,
    attach: BTreeSet<u32>,
    dirty: BTreeSet<Sym>,
    /// Edges on which an entrance came or went: the homes on them may have a way that passes no corner.
    edges: BTreeSet<u32>,
}

impl Network {
    /// An empty network whose stops attach within `snap_m` and which shows ways of up to `way_m`, m.
    pub fn new(names: Arc<Names>, snap_m: f64, way_m: f64) -> Self {
        Self {
            names,
            snap_m,
            way_mm: (way_m * 1000.0) as u32,
            corners: Slots::default(),
            corner_of: HashMap::default(),
            edges: Slots::default(),
            edge_of: HashMap::default(),
            stops: Slots::default(),
            edge_grid: Grid::default(),
            stop_grid: Grid::default(),
            ways: HashMap::default(),
            homes: HashMap::default(),
            entrances: HashMap::default(),
            paths: Paths::default(),
        }
    }

    /// Whether there is any walkway.
    pub fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.edge_of.len()
    }

    /// How many of a park's entrances are attached to the network.
    pub fn attached(&self, park: Sym) -> usize {
        let stops = self.entrances.get(&park).into_iter().flatten();
        stops.filter(|stop| self.stops.get(**stop).is_some_and(|stop| stop.on.is_some())).count()
    }

    /// Takes in a batch. Returns the homes whose way may be another than before.
    pub fn apply(&mut self, batch: Batch) -> BTreeSet<Sym> {
        let mut work = Work::default();
        let (mut gone_stops, mut gone_edges) = (Vec::new(), Vec::new());
        let leaving =
            batch.entrances.iter().flat_map(|(park, _)| self.entrances.remove(park).unwrap_or_default());
        let leaving: Vec<u32> =
            leaving.chain(batch.homes.iter().filter_map(|(home, _)| self.homes.remove(home))).collect();
        for slot in leaving {
            self.detach(slot, &mut work);
            if let Some(stop) = self.stops.remove(slot) {
                self.stop_grid.remove(slot, stop.at, stop.at);
                gone_stops.push(slot);
            }
        }
        self.change_ways(batch.ways, &mut work, &mut gone_edges);
        for (home, at) in batch.homes {
            work.dirty.insert(home);
            if let Some(at) = at {
                let slot = self.arrive(What::Home(home), at, &mut work);
                self.homes.insert(home, slot);
            }
        }
        for (park, mut entrances) in batch.entrances {
            entrances.sort_unstable();
            entrances.dedup();
            let slots: Vec<u32> =
                entrances.into_iter().map(|at| self.arrive(What::Entrance(park), at, &mut work)).collect();
            if !slots.is_empty() {
                self.entrances.insert(park, slots);
            }
        }
        for slot in std::mem::take(&mut work.attach) {
            self.detach(slot, &mut work);
            self.attach(slot, &mut work);
        }
        let mut paths = std::mem::take(&mut self.paths);
        let changed = paths.update(self, &work.touched, self.way_mm);
        self.paths = paths;
        let beside =
            changed.into_iter().flat_map(|node| self.corners.get(node)).flat_map(|corner| &corner.edges);
        let edges: BTreeSet<u32> = beside.copied().chain(work.edges).collect();
        for edge in edges.into_iter().filter_map(|edge| self.edges.get(edge)) {
            for stop in edge.stops.iter().filter_map(|stop| self.stops.get(*stop)) {
                if let What::Home(home) = stop.what {
                    work.dirty.insert(home);
                }
            }
        }
        // Numbers are used again only from the next batch on: nothing may be taken for what it was.
        self.stops.free.extend(gone_stops);
        self.edges.free.extend(gone_edges);
        for node in work.touched {
            if self.corners.get(node).is_some_and(|corner| corner.edges.is_empty())
                && let Some(corner) = self.corners.remove(node)
            {
                self.corner_of.remove(&corner.at);
                self.corners.free.push(node);
            }
        }
        work.dirty
    }

    fn change_ways(&mut self, ways: Vec<(Sym, Vec<Vec<LonLat>>)>, work: &mut Work, gone: &mut Vec<u32>) {
        let mut left = Vec::new();
        let mut fresh = Vec::new();
        for (way, lines) in ways {
            let pairs = lines.iter().flat_map(|line| line.windows(2)).filter(|pair| pair[0] != pair[1]);
            let mut pairs: Vec<(LonLat, LonLat)> =
                pairs.map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1]))).collect();
            pairs.sort_unstable();
            pairs.dedup();
            for &(a, b) in &pairs {
                let ends = (self.corner(a), self.corner(b));
                match self.edge_of.get(&ends).copied().and_then(|edge| self.edges.get_mut(edge)) {
                    Some(edge) => edge.ways += 1,
                    None => fresh.push(self.link(ends, (a, b), work)),
                }
            }
            let before = match pairs.is_empty() {
                true => self.ways.remove(&way),
                false => self.ways.insert(way, pairs),
            };
            left.extend(before.into_iter().flatten());
        }
        for (a, b) in left {
            let ends = (self.corner(a), self.corner(b));
            let Some(&slot) = self.edge_of.get(&ends) else { continue };
            let Some(edge) = self.edges.get_mut(slot) else { continue };
            edge.ways -= 1;
            if edge.ways == 0 {
                self.unlink(slot, (a, b), work);
                gone.push(slot);
            }
        }
        for slot in fresh {
            self.draw(slot, work);
        }
    }

    fn corner(&mut self, at: LonLat) -> Node {
        let corners = &mut self.corners;
        *self.corner_of.entry(at).or_insert_with(|| corners.insert(Corner { at, edges: Vec::new() }))
    }

    fn link(&mut self, (a, b): (Node, Node), places: (LonLat, LonLat), work: &mut Work) -> u32 {
        let length = length_mm(places.0, places.1);
        let slot = self.edges.insert(Edge { a, b, length, ways: 1, stops: Vec::new() });
        self.edge_of.insert((a, b), slot);
        self.edge_grid.insert(slot, places.0, places.1);
        for node in [a, b] {
            if let Some(corner) = self.corners.get_mut(node) {
                corner.edges.push(slot);
            }
            work.touched.insert(node);
        }
        slot
    }

    fn unlink(&mut self, slot: u32, places: (LonLat, LonLat), work: &mut Work) {
        let stops = self.edges.get(slot).map_or_else(Vec::new, |edge| edge.stops.clone());
        for stop in stops {
            self.detach(stop, work);
            work.attach.insert(stop);
        }
        let Some(edge) = self.edges.remove(slot) else { return };
        self.edge_of.remove(&(edge.a, edge.b));
        self.edge_grid.remove(slot, places.0, places.1);
        for node in [edge.a, edge.b] {
            if let Some(corner) = self.corners.get_mut(node) {
                corner.edges.retain(|there| *there != slot);
            }
            work.touched.insert(node);
        }
    }

    /// The stops to which a new edge is nearer than theirs look again.
    fn draw(&mut self, slot: u32, work: &mut Work) {
        let Some(edge) = self.edges.get(slot) else { return };
        let Some((a, b)) = self.places(edge) else { return };
        for stop in self.stop_grid.around(a, b, self.snap_m) {
            let Some(there) = self.stops.get(stop) else { continue };
            let off = meeting(there.at, a, b, edge.length).off_mm;
            if there.on.is_none_or(|(_, now)| off <= now.off_mm) {
                work.attach.insert(stop);
            }
        }
    }

    fn arrive(&mut self, what: What, at: LonLat, work: &mut Work) -> u32 {
        let slot = self.stops.insert(Stop { what, at, on: None });
        self.stop_grid.insert(slot, at, at);
        work.attach.insert(slot);
        slot
    }

    fn places(&self, edge: &Edge) -> Option<(LonLat, LonLat)> {
        Some((self.corners.get(edge.a)?.at, self.corners.get(edge.b)?.at))
    }

    fn detach(&mut self, slot: u32, work: &mut Work) {
        let Some(stop) = self.stops.get_mut(slot) else { return };
        let (what, Some((on, _))) = (stop.what, stop.on.take()) else { return };
        if let Some(edge) = self.edges.get_mut(on) {
            edge.stops.retain(|there| *there != slot);
        }
        self.moved(what, on, work);
    }

    fn attach(&mut self, slot: u32, work: &mut Work) {
        let Some(stop) = self.stops.get(slot) else { return };
        let (at, what) = (stop.at, stop.what);
        let found = self.edge_grid.around(at, at, self.snap_m).filter_map(|slot| {
            let edge = self.edges.get(slot)?;
            let ends = self.places(edge)?;
            let meeting = meeting(at, ends.0, ends.1, edge.length);
            let near = f64::from(meeting.off_mm) <= self.snap_m * 1000.0;
            near.then_some((meeting.off_mm, ends, slot, meeting))
        });
        let Some((_, _, on, meeting)) = found.min_by_key(|(off, ends, ..)| (*off, *ends)) else { return };
        if let Some(stop) = self.stops.get_mut(slot) {
            stop.on = Some((on, meeting));
        }
        if let Some(edge) = self.edges.get_mut(on) {
            edge.stops.push(slot);
        }
        self.moved(what, on, work);
    }

    /// A stop came to an edge or left it.
    fn moved(&self, what: What, on: u32, work: &mut Work) {
        match what {
            What::Home(home) => {
                work.dirty.insert(home);
            }
            What::Entrance(_) => {
                work.edges.insert(on);
                if let Some(edge) = self.edges.get(on) {
                    work.touched.extend([edge.a, edge.b]);
                }
            }
        }
    }

    /// The way from a home to the nearest entrance, if there is one.
    pub fn walk(&self, home: Sym) -> Option<Walk> {
        let stop = self.stops.get(*self.homes.get(&home)?)?;
        let (on, met) = stop.on?;
        let edge = self.edges.get(on)?;
        let (a, b) = self.places(edge)?;
        // The order of preference at equal values: an entrance on this edge, then its first end, then its second.
        let direct = edge.stops.iter().filter_map(|slot| {
            let other = self.stops.get(*slot)?;
            let (What::Entrance(park), Some((_, theirs))) = (other.what, other.on) else { return None };
            let mm =
                met.off_mm.checked_add(met.along_mm.abs_diff(theirs.along_mm))?.checked_add(theirs.off_mm)?;
            Some((Value { mm, label: park.0 }, Parent::Source(*slot)))
        });
        let direct = direct.min_by(|x, y| {
            let by_source = || match (x.1, y.1) {
                (Parent::Source(x), Parent::Source(y)) => self.compare_sources(x, y),
                _ => Ordering::Equal,
            };
            self.compare(x.0, y.0).then_with(by_source)
        });
        let ends = [(edge.a, met.along_mm), (edge.b, edge.length - met.along_mm)];
        let ends = ends.into_iter().filter_map(|(node, along)| {
            let value = self.paths.value(node)?;
            let mm = met.off_mm.checked_add(along)?.checked_add(value.mm)?;
            Some((Value { mm, label: value.label }, Parent::Node(node)))
        });
        let (value, first) = direct.into_iter().chain(ends).min_by(|x, y| self.compare(x.0, y.0))?;
        let mut path = Vec::new();
        if value.mm <= self.way_mm {
            path.extend([stop.at, place(a, b, met.along_mm, edge.length)]);
            let mut step = first;
            loop {
                match step {
                    Parent::Node(node) => {
                        path.extend(self.corners.get(node).map(|corner| corner.at));
                        step = self.paths.parent(node);
                    }
                    Parent::Source(slot) => {
                        path.extend(self.meets(slot));
                        break;
                    }
                    Parent::None => break,
                }
            }
            path.dedup();
        }
        Some(Walk { mm: value.mm, park: Sym(value.label), path })
    }

    /// Where an entrance meets its edge, and itself.
    fn meets(&self, slot: u32) -> impl Iterator<Item = LonLat> {
        let ends = || {
            let stop = self.stops.get(slot)?;
            let (on, met) = stop.on?;
            let edge = self.edges.get(on)?;
            let (a, b) = self.places(edge)?;
            Some([place(a, b, met.along_mm, edge.length), stop.at])
        };
        ends().into_iter().flatten()
    }
}

impl Graph for Network {
    fn neighbours(&self, node: Node) -> impl Iterator<Item = (Node, u32)> {
        let edges = self.corners.get(node).into_iter().flat_map(|corner| &corner.edges);
        edges.filter_map(move |edge| {
            let edge = self.edges.get(*edge)?;
            Some((if edge.a == node { edge.b } else { edge.a }, edge.length))
        })
    }

    fn sources(&self, node: Node) -> impl Iterator<Item = (u32, Value)> {
        let edges = self.corners.get(node).into_iter().flat_map(|corner| &corner.edges);
        let edges = edges.filter_map(|edge| self.edges.get(*edge));
        edges.flat_map(move |edge| {
            edge.stops.iter().filter_map(move |slot| {
                let stop = self.stops.get(*slot)?;
                let (What::Entrance(park), Some((_, met))) = (stop.what, stop.on) else { return None };
                let along = if edge.a == node { met.along_mm } else { edge.length - met.along_mm };
                Some((*slot, Value { mm: met.off_mm.checked_add(along)?, label: park.0 }))
            })
        })
    }

    fn compare_labels(&self, a: u32, b: u32) -> Ordering {
        if a == b { Ordering::Equal } else { self.names.resolve(Sym(a)).cmp(self.names.resolve(Sym(b))) }
    }

    fn compare_sources(&self, a: u32, b: u32) -> Ordering {
        let at = |slot| self.stops.get(slot).map(|stop| stop.at);
        at(a).cmp(&at(b))
    }

    fn compare_nodes(&self, a: Node, b: Node) -> Ordering {
        let at = |node| self.corners.get(node).map(|corner| corner.at);
        at(a).cmp(&at(b))
    }
}
