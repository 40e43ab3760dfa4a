//! Shortest paths from many sources, maintained under changes of the graph.
//!
//! **Meaning.** The [`Value`] of a node is the least length to any source, in whole millimetres, and of the sources at
//! that length the label that comes first. The parent of a node says which way that is: a source if one is tight, else the
//! tight neighbour that comes first. Both are functions of the graph as it is, not of how it came to be.
//!
//! **Mechanism.** After Ramalingam and Reps (*An incremental algorithm for a generalization of the shortest-path
//! problem*, J. Algorithms 21, 1996), for a whole batch of changes at once: nodes whose way to their source is broken are
//! found along the tree of parents and forgotten; they and the nodes at the changes take the best that their neighbours
//! offer; from there Dijkstra's algorithm goes on as long as something gets shorter. The cost grows with the nodes whose
//! value changes and their edges. Lengths are positive, so a node's label is final when its length is.
//!
//! **State.** A value and a parent per node.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use foldhash::{HashMap, HashSet};

/// A node.
pub type Node = u32;

/// How far it is to the nearest source, and which one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Length, mm.
    pub mm: u32,
    /// Label of the source.
    pub label: u32,
}

/// The first step towards the nearest source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parent {
    /// There is no way.
    #[default]
    None,
    /// A source that is reached from here.
    Source(u32),
    /// The next node.
    Node(Node),
}

/// What the algorithm needs to know about a graph.
pub trait Graph {
    /// The neighbours of a node and the lengths of the edges, mm, positive.
    fn neighbours(&self, node: Node) -> impl Iterator<Item = (Node, u32)>;
    /// The sources that are reached from a node without passing another: number, length in mm, label.
    fn sources(&self, node: Node) -> impl Iterator<Item = (u32, Value)>;
    /// Which of two labels comes first.
    fn compare_labels(&self, a: u32, b: u32) -> Ordering;
    /// Which of two sources comes first.
    fn compare_sources(&self, a: u32, b: u32) -> Ordering;
    /// Which of two nodes comes first.
    fn compare_nodes(&self, a: Node, b: Node) -> Ordering;

    /// Which of two values is less.
    fn compare(&self, a: Value, b: Value) -> Ordering {
        a.mm.cmp(&b.mm).then_with(|| self.compare_labels(a.label, b.label))
    }
}

/// Values and parents of all nodes.
#[derive(Debug, Default)]
pub struct Paths {
    nodes: Vec<(Option<Value>, Parent)>,
}

impl Paths {
    /// The value of a node; `None` when no source can be reached.
    pub fn value(&self, node: Node) -> Option<Value> {
        self.nodes.get(node as usize)?.0
    }

    /// The first step from a node.
    pub fn parent(&self, node: Node) -> Parent {
        self.nodes.get(node as usize).map_or(Parent::None, |(_, parent)| *parent)
    }

    fn slot(&mut self, node: Node) -> &mut (Option<Value>, Parent) {
        let at = node as usize;
        if at >= self.nodes.len() {
            self.nodes.resize(at + 1, Default::default());
        }
        &mut self.nodes[at]
    }

    /// Takes in that edges or sources at the `touched` nodes have changed. Returns the nodes whose value, or whose way
    /// to their source, is another than before; of ways longer than `way_mm` only the values are looked at.
    pub fn update(&mut self, graph: &impl Graph, touched: &HashSet<Node>, way_mm: u32) -> Vec<Node> {
        let affected = self.broken(graph, touched);
        let mut before: HashMap<Node, Option<Value>> = HashMap::default();
        for &node in &affected {
            before.insert(node, std::mem::take(self.slot(node)).0);
        }
        let mut heap = BinaryHeap::new();
        for &node in affected.iter().chain(touched) {
            if let Some(best) = self.best(graph, node) {
                self.improve(graph, node, best, &mut before, &mut heap);
            }
        }
        while let Some(Reverse((mm, node))) = heap.pop() {
            let Some(value) = self.value(node).filter(|value| value.mm == mm) else { continue };
            for (next, length) in graph.neighbours(node) {
                if let Some(mm) = value.mm.checked_add(length) {
                    self.improve(graph, next, Value { mm, label: value.label }, &mut before, &mut heap);
                }
            }
        }
        self.settle(graph, touched, &before, way_mm)
    }

    /// The nodes whose way to their source is broken.
    fn broken(&self, graph: &impl Graph, touched: &HashSet<Node>) -> Vec<Node> {
        let mut stack: Vec<Node> =
            touched.iter().copied().filter(|node| !self.is_supported(graph, *node)).collect();
        let mut found: HashSet<Node> = stack.iter().copied().collect();
        let mut affected = Vec::new();
        while let Some(node) = stack.pop() {
            affected.push(node);
            for (next, _) in graph.neighbours(node) {
                if self.parent(next) == Parent::Node(node) && found.insert(next) {
                    stack.push(next);
                }
            }
        }
        affected
    }

    /// Whether the value of a node still follows from its parent's.
    fn is_supported(&self, graph: &impl Graph, node: Node) -> bool {
        let Some(value) = self.value(node) else { return true };
        match self.parent(node) {
            Parent::None => false,
            Parent::Source(_) => graph.sources(node).any(|(_, offered)| offered == value),
            Parent::Node(parent) => self.value(parent).is_some_and(|from| {
                from.label == value.label
                    && graph
                        .neighbours(node)
                        .any(|(next, length)| next == parent && from.mm.checked_add(length) == Some(value.mm))
            }),
        }
    }

    /// The best that sources and neighbours offer to a node.
    fn best(&self, graph: &impl Graph, node: Node) -> Option<Value> {
        let sources = graph.sources(node).map(|(_, value)| value);
        let passed = graph.neighbours(node).filter_map(|(next, length)| {
            let value = self.value(next)?;
            Some(Value { mm: value.mm.checked_add(length)?, label: value.label })
        });
        sources.chain(passed).min_by(|a, b| graph.compare(*a, *b))
    }

    fn improve(
        &mut self,
        graph: &impl Graph,
        node: Node,
        offered: Value,
        before: &mut HashMap<Node, Option<Value>>,
        heap: &mut BinaryHeap<Reverse<(u32, Node)>>,
    ) {
        let slot = self.slot(node);
        if slot.0.is_none_or(|there| graph.compare(offered, there).is_lt()) {
            before.entry(node).or_insert(slot.0);
            slot.0 = Some(offered);
            heap.push(Reverse((offered.mm, node)));
        }
    }

    /// Finds the parents of all nodes at which they may have changed, and everything behind those that did.
    fn settle(
        &mut self,
        graph: &impl Graph,
        touched: &HashSet<Node>,
        before: &HashMap<Node, Option<Value>>,
        way_mm: u32,
    ) -> Vec<Node> {
        let mut dirty: HashSet<Node> = HashSet::default();
        let mut look: HashSet<Node> = touched.clone();
        for (&node, old) in before {
            look.insert(node);
            if self.value(node) != *old {
                dirty.insert(node);
                look.extend(graph.neighbours(node).map(|(next, _)| next));
            }
        }
        for node in look {
            let parent = self.tight(graph, node);
            let slot = self.slot(node);
            if slot.1 != parent {
                slot.1 = parent;
                if slot.0.is_some_and(|value| value.mm <= way_mm) {
                    dirty.insert(node);
                }
            }
        }
        let mut stack: Vec<Node> = dirty.iter().copied().collect();
        while let Some(node) = stack.pop() {
            for (next, _) in graph.neighbours(node) {
                let behind = self.parent(next) == Parent::Node(node)
                    && self.value(next).is_some_and(|value| value.mm <= way_mm);
                if behind && dirty.insert(next) {
                    stack.push(next);
                }
            }
        }
        dirty.into_iter().collect()
    }

    /// The first of the tight sources, else of the tight neighbours.
    fn tight(&self, graph: &impl Graph, node: Node) -> Parent {
        let Some(value) = self.value(node) else { return Parent::None };
        let sources = graph.sources(node).filter(|(_, offered)| *offered == value).map(|(source, _)| source);
        if let Some(source) = sources.min_by(|a, b| graph.compare_sources(*a, *b)) {
            return Parent::Source(source);
        }
        let neighbours = graph.neighbours(node).filter(|(next, length)| {
            self.value(*next).is_some_and(|from| {
                from.label == value.label && from.mm.checked_add(*length) == Some(value.mm)
            })
        });
        let first = neighbours.map(|(next, _)| next).min_by(|a, b| graph.compare_nodes(*a, *b));
        first.map_or(Parent::None, Parent::Node)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Edges by their ends, sources by node.
    #[derive(Default)]
    struct Small {
        edges: BTreeMap<(Node, Node), u32>,
        sources: BTreeMap<(Node, u32), u32>,
    }

    impl Graph for Small {
        fn neighbours(&self, node: Node) -> impl Iterator<Item = (Node, u32)> {
            self.edges.iter().filter_map(move |(&(a, b), &length)| match (a == node, b == node) {
                (true, _) => Some((b, length)),
                (_, true) => Some((a, length)),
                _ => None,
            })
        }
        fn sources(&self, node: Node) -> impl Iterator<Item = (u32, Value)> {
            let at = self.sources.iter().filter(move |((at, _), _)| *at == node);
            at.map(|(&(_, label), &mm)| (label, Value { mm, label }))
        }
        fn compare_labels(&self, a: u32, b: u32) -> Ordering {
            // Not the order of numbers: nothing may depend on that.
            b.cmp(&a)
        }
        fn compare_sources(&self, a: u32, b: u32) -> Ordering {
            a.cmp(&b)
        }
        fn compare_nodes(&self, a: Node, b: Node) -> Ordering {
            a.cmp(&b)
        }
    }

    const NODES: Node = 12;

    /// Bellman and Ford: relax everything until nothing changes.
    fn naive(graph: &Small) -> Vec<Option<Value>> {
        let mut values: Vec<Option<Value>> = vec![None; NODES as usize];
        loop {
            let mut next = values.clone();
            let mut offer = |node: Node, mm: u32, label: u32| {
                let slot = &mut next[node as usize];
                let better = |v: &Value| (mm, Reverse(label)) < (v.mm, Reverse(v.label));
                if slot.as_ref().is_none_or(better) {
                    *slot = Some(Value { mm, label });
                }
            };
            for (&(node, label), &mm) in &graph.sources {
                offer(node, mm, label);
            }
            for (&(a, b), &length) in &graph.edges {
                for (from, to) in [(a, b), (b, a)] {
                    if let Some(value) = values[from as usize] {
                        offer(to, value.mm + length, value.label);
                    }
                }
            }
            if next == values {
                return values;
            }
            values = next;
        }
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Edge(Node, Node, u32),
        Source(Node, u32, u32),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            4 => (0..NODES, 0..NODES, 0u32..6).prop_map(|(a, b, length)| Edit::Edge(a, b, length)),
            1 => (0..NODES, 0u32..4, 0u32..5).prop_map(|(node, label, mm)| Edit::Source(node, label, mm)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn maintained_is_recomputed(batches in proptest::collection::vec(proptest::collection::vec(edit(), 1..8), 1..14)) {
            let (mut graph, mut paths) = (Small::default(), Paths::default());
            let mut ways: Vec<Vec<Parent>> = vec![vec![Parent::None]; NODES as usize];
            for batch in batches {
                let mut touched = HashSet::default();
                for edit in batch {
                    match edit {
                        Edit::Edge(a, b, _) if a == b => {}
                        Edit::Edge(a, b, length) => {
                            let ends = (a.min(b), a.max(b));
                            if length == 0 { graph.edges.remove(&ends); } else { graph.edges.insert(ends, length); }
                            touched.extend([a, b]);
                        }
                        Edit::Source(node, label, mm) => {
                            if mm == 0 { graph.sources.remove(&(node, label)); } else { graph.sources.insert((node, label), mm); }
                            touched.insert(node);
                        }
                    }
                }
                let before: Vec<_> = (0..NODES).map(|node| paths.value(node)).collect();
                let changed: HashSet<Node> = paths.update(&graph, &touched, u32::MAX).into_iter().collect();
                let mut fresh = Paths::default();
                fresh.update(&graph, &(0..NODES).collect(), u32::MAX);
                for (node, value) in (0..NODES).zip(naive(&graph)) {
                    prop_assert_eq!(paths.value(node), value, "node {}", node);
                    prop_assert_eq!(paths.parent(node), fresh.parent(node), "parent of {}", node);
                    let mut way = Vec::new();
                    let mut at = node;
                    loop {
                        way.push(paths.parent(at));
                        match paths.parent(at) { Parent::Node(next) => at = next, _ => break }
                        prop_assert!(way.len() <= NODES as usize, "ways end");
                    }
                    let same = way == ways[node as usize] && value == before[node as usize];
                    prop_assert!(same || changed.contains(&node), "node {} changed unsaid", node);
                    ways[node as usize] = way;
                }
            }
        }
    }
}
