//! All fences, found by place: an R-tree over their boxes that takes changes one by one.
//!
//! **State.** The fences. A fence that changes costs the logarithm of their number, and nothing is built anew.

use std::sync::Arc;

use foldhash::HashMap;
use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};

use crate::fence::{Bounds, Fence, FenceId};
use crate::place::Place;

/// Fences by number and by place.
#[derive(Default)]
pub struct Fences {
    by_id: HashMap<FenceId, Arc<Fence>>,
    tree: RTree<GeomWithData<Rectangle<[f64; 2]>, FenceId>>,
}

fn corner(at: Place) -> [f64; 2] {
    [f64::from(at.lon), f64::from(at.lat)]
}

fn entry(id: FenceId, bounds: &Bounds) -> GeomWithData<Rectangle<[f64; 2]>, FenceId> {
    GeomWithData::new(Rectangle::from_corners(corner(bounds.low), corner(bounds.high)), id)
}

impl Fences {
    /// Puts a fence in the place of the one of this number, or takes it away; returns what was there.
    pub fn set(&mut self, id: FenceId, fence: Option<Arc<Fence>>) -> Option<Arc<Fence>> {
        let old = match &fence {
            Some(fence) => self.by_id.insert(id, Arc::clone(fence)),
            None => self.by_id.remove(&id),
        };
        if let Some(old) = &old {
            self.tree.remove(&entry(id, &old.bounds));
        }
        if let Some(fence) = &fence {
            self.tree.insert(entry(id, &fence.bounds));
        }
        old
    }

    /// All fences at once: a tree built in bulk answers faster.
    pub fn bulk(fences: impl IntoIterator<Item = (FenceId, Arc<Fence>)>) -> Self {
        let by_id: HashMap<FenceId, Arc<Fence>> = fences.into_iter().collect();
        let tree = RTree::bulk_load(by_id.iter().map(|(id, fence)| entry(*id, &fence.bounds)).collect());
        Self { by_id, tree }
    }

    /// The fence of this number.
    pub fn get(&self, id: FenceId) -> Option<&Arc<Fence>> {
        self.by_id.get(&id)
    }

    /// The fences whose box meets `bounds`, in no order.
    pub fn meeting(&self, bounds: &Bounds) -> impl Iterator<Item = (FenceId, &Arc<Fence>)> {
        let envelope = AABB::from_corners(corner(bounds.low), corner(bounds.high));
        self.tree
            .locate_in_envelope_intersecting(&envelope)
            .filter_map(|found| Some((found.data, self.by_id.get(&found.data)?)))
    }

    /// Number of fences.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
