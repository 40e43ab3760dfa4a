//! One vehicle's fixes, and its pieces kept up to date whatever order the fixes come in.
//!
//! **Meaning.** The pieces of a track are those of all its blocks; [`Track::edit`] says which pieces go and which come
//! when fixes do. They depend on the fixes alone, not on the order of the edits.
//!
//! **Mechanism.** Fixes lie in blocks of event time. Fixes at the end are pushed onto the decoders of the last two
//! blocks; for a fix that is a little late these go back to before it. Any other edit decodes the blocks that look at it
//! before and after, once per call however many fixes it touches, and what differs is said.
//!
//! **State.** 16 bytes per fix that is kept ([`Track::keep`]). Decoders are a cache of the last blocks and are not exported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decode::Decoder;
use crate::fix::{Fix, Point};
use crate::network::{Candidate, Network};
use crate::params::Params;
use crate::pieces::{Band, Piece};
use crate::route::Router;
use crate::way::Step;

/// What all tracks of a worker share.
#[derive(Debug, Default)]
pub struct World {
    /// The roads.
    pub network: Network,
    /// Ways between them.
    pub router: Router,
    /// The numbers of the model.
    pub params: Params,
    candidates: Vec<Candidate>,
}

impl World {
    /// A world without roads.
    ///
    /// The block must be shorter than [`crate::fix::MAX_BLOCK_MS`] and whole cells of the grid, and the warm-up not
    /// shorter than the hole; `None` otherwise.
    pub fn new(params: Params) -> Option<Self> {
        let valid = (1..=crate::fix::MAX_BLOCK_MS).contains(&params.block_ms)
            && params.block_ms % crate::pieces::GRID_MS == 0
            && params.warm_up_ms >= params.hole_ms
            && params.ahead_ms >= 0
            && params.sigma_mm > 0
            && params.radius_mm > 0;
        valid.then(|| Self { params, ..Self::default() })
    }
}

/// A fix that comes or goes. A fix that is replaced goes and comes.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// The fix comes; it takes the place of one of the same time.
    Put(Fix),
    /// The fix of this time goes.
    Drop(i64),
}

impl Edit {
    /// The event time of the fix.
    pub fn ts(&self) -> i64 {
        match self {
            Edit::Put(fix) => fix.ts,
            Edit::Drop(ts) => *ts,
        }
    }
}

/// Pieces that come (+1) and go (−1); never the same one both ways.
pub type Changes = Vec<(Piece, i64)>;

/// One vehicle.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Track {
    blocks: BTreeMap<i64, Vec<Point>>,
    band: Band,
    #[serde(skip)]
    hot: Vec<Decoder>,
}

impl Track {
    /// Number of fixes.
    pub fn len(&self) -> usize {
        self.blocks.values().map(Vec::len).sum()
    }

    /// Whether there are no fixes.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The fixes, in order of event time, from `from` on and before `to`.
    pub fn fixes<'a>(&'a self, params: &Params, from: i64, to: i64) -> impl Iterator<Item = Fix> + use<'a> {
        let (first, last) = (params.block(from), params.block(to.max(from)));
        let block_ms = params.block_ms;
        let in_block = move |(block, points): (&i64, &Vec<Point>)| {
            let start = *block * block_ms;
            points.iter().map(move |point| point.unpack(start)).collect::<Vec<_>>()
        };
        let fixes = self.blocks.range(first..=last).flat_map(in_block);
        fixes.filter(move |fix| (from..to).contains(&fix.ts))
    }

    /// Takes edits, in any order, of which the later ones count; says which pieces come and go.
    pub fn edit(&mut self, world: &mut World, edits: &[Edit], out: &mut Changes) {
        let before = out.len();
        let mut end = self.end(&world.params);
        let appends = edits.iter().all(|edit| {
            let follows = matches!(edit, Edit::Put(fix) if end.is_none_or(|end| fix.ts > end));
            end = Some(edit.ts());
            follows
        });
        if appends {
            for edit in edits {
                if let Edit::Put(fix) = edit {
                    self.append(world, *fix, out);
                }
            }
            for decoder in &mut self.hot {
                say(world, decoder, out);
            }
        } else {
            let mut edits = edits.to_vec();
            edits.sort_by_key(Edit::ts);
            self.patch(world, &edits, out);
        }
        consolidate(out, before);
    }

    /// Another speed band: what was covered is judged by it anew.
    pub fn set_band(&mut self, world: &mut World, band: Band, out: &mut Changes) {
        if band == self.band {
            return;
        }
        let before = out.len();
        let blocks: Vec<i64> = self.blocks.keys().copied().collect();
        let hot: Vec<i64> = self.hot.iter().map(|decoder| decoder.block).collect();
        for block in blocks {
            let mut decoder = self.take_hot(block).unwrap_or_else(|| self.decode(world, block));
            out.extend(decoder.pieces().iter().map(|piece| (*piece, -1)));
            decoder.refold(&world.params, band);
            out.extend(decoder.pieces().iter().map(|piece| (*piece, 1)));
            decoder.said = decoder.pieces().to_vec();
            if hot.contains(&block) {
                self.hot.push(decoder);
            }
        }
        self.band = band;
        consolidate(out, before);
    }

    /// The last fix and the road that it is on, by its key.
    pub fn last(&mut self, world: &mut World) -> Option<(i64, Option<u32>)> {
        let block = *self.blocks.last_key_value()?.0;
        if !self.hot.iter().any(|decoder| decoder.block == block) {
            let mut decoder = self.decode(world, block);
            decoder.said = decoder.pieces().to_vec();
            self.hot.push(decoder);
        }
        self.hot.iter().find(|decoder| decoder.block == block)?.last(&world.network)
    }

    /// The fixes of `[from, to)`, each with its road and the place on it, mm from its start.
    pub fn matched(&self, world: &mut World, from: i64, to: i64) -> Vec<(Fix, Option<(u32, u32)>)> {
        let (first, last) = (world.params.block(from), world.params.block(to.max(from)));
        let blocks: Vec<i64> = self.blocks.range(first..=last).map(|(block, _)| *block).collect();
        let mut all = Vec::new();
        for block in blocks {
            let decoder = self.decode(world, block);
            all.extend(
                decoder
                    .matched(&world.network, &world.params)
                    .filter(|(fix, _)| (from..to).contains(&fix.ts)),
            );
        }
        all
    }

    /// The fixes of `[from, to)`, each with its place on its road and the way from the one before.
    pub fn way(&self, world: &mut World, from: i64, to: i64) -> Vec<Step> {
        let (first, last) = (world.params.block(from), world.params.block(to.max(from)));
        let blocks: Vec<i64> = self.blocks.range(first..=last).map(|(block, _)| *block).collect();
        let mut all = Vec::new();
        for block in blocks {
            let decoder = self.decode(world, block);
            decoder.steps(&world.network, &world.params, (from, to), &mut all);
        }
        all
    }

    /// Keeps the fixes that matter to whatever is edited at most `kept_ms` before the last fix, and forgets the others;
    /// their pieces stay said. Before an edit of an older fix, and before another band, those that it looks at
    /// ([`Params::looked_at`]) have to be put back; and so have those around the fix that becomes the last one again.
    pub fn keep(&mut self, params: &Params, kept_ms: i64) {
        let Some(end) = self.end(params) else { return };
        // A match of the oldest that may be edited looks a block and more further back.
        let ts = end - kept_ms - params.block_ms - params.warm_up_ms - params.ahead_ms;
        let (keep, _) = params.looked_at_by(ts - params.warm_up_ms);
        if self.blocks.first_key_value().is_some_and(|(block, _)| *block < keep) {
            self.blocks = self.blocks.split_off(&keep);
            self.hot.retain(|decoder| decoder.block >= keep);
        }
    }

    /// Puts fixes back that were forgotten, as they were then.
    pub fn restore(&mut self, params: &Params, fixes: &[Fix]) {
        fixes.iter().for_each(|fix| self.store(params, *fix));
    }

    fn end(&self, params: &Params) -> Option<i64> {
        let (block, points) = self.blocks.last_key_value()?;
        points.last().map(|point| point.ts(block * params.block_ms))
    }

    fn take_hot(&mut self, block: i64) -> Option<Decoder> {
        let at = self.hot.iter().position(|decoder| decoder.block == block)?;
        Some(self.hot.swap_remove(at))
    }

    /// The match of a block, from its fixes.
    fn decode(&self, world: &mut World, block: i64) -> Decoder {
        let mut decoder = Decoder::new(block, self.band);
        let (from, to) = world.params.window(block);
        for fix in self.fixes(&world.params, from, to) {
            push(world, &mut decoder, fix);
        }
        decoder.settle(&world.network, &mut world.router, &world.params);
        decoder
    }

    fn append(&mut self, world: &mut World, fix: Fix, out: &mut Changes) {
        let block = world.params.block(fix.ts);
        let (first, _) = world.params.looked_at_by(fix.ts);
        // Decoders that look at the fix: of its block, and of the one before while that looks ahead.
        for block in first..=block {
            let there = self.hot.iter().any(|decoder| decoder.block == block);
            if !there && (self.blocks.contains_key(&block) || block == world.params.block(fix.ts)) {
                let mut decoder = self.decode(world, block);
                decoder.said = decoder.pieces().to_vec();
                self.hot.push(decoder);
            }
        }
        self.store(&world.params, fix);
        while let Some(at) = self.hot.iter().position(|hot| hot.block < first) {
            let mut done = self.hot.swap_remove(at);
            say(world, &mut done, out);
            // Hardly any fix will be put into it any more.
            if let Some(points) = self.blocks.get_mut(&done.block) {
                points.shrink_to_fit();
            }
        }
        for decoder in &mut self.hot {
            push(world, decoder, fix);
        }
    }

    fn patch(&mut self, world: &mut World, edits: &[Edit], out: &mut Changes) {
        let mut dirty: Vec<i64> = Vec::new();
        for edit in edits {
            let (first, last) = world.params.looked_at_by(edit.ts());
            dirty.extend(first..=last);
        }
        dirty.sort_unstable();
        dirty.dedup();
        // What was said of a block is settled: the decoders of the last blocks know it and go back to where the edits
        // begin; the others are made anew, before and after.
        for &block in &dirty {
            let (from, to) = world.params.window(block);
            let first = edits.iter().map(Edit::ts).find(|ts| (from..to).contains(ts)).unwrap_or(to);
            if let Some(decoder) = self.hot.iter_mut().find(|decoder| decoder.block == block) {
                decoder.rewind(first);
            } else if self.blocks.contains_key(&block) {
                let decoder = self.decode(world, block);
                out.extend(decoder.pieces().iter().map(|piece| (*piece, -1)));
            }
        }
        for edit in edits {
            match edit {
                Edit::Put(fix) => self.store(&world.params, *fix),
                Edit::Drop(ts) => self.discard(&world.params, *ts),
            }
        }
        let last = self.blocks.last_key_value().map(|(block, _)| *block);
        for block in dirty {
            let (from, to) = world.params.window(block);
            match (self.take_hot(block), self.blocks.contains_key(&block)) {
                (Some(decoder), false) => out.extend(decoder.said.iter().map(|piece| (*piece, -1))),
                (Some(mut decoder), true) => {
                    let on = decoder.last_ts().map_or(from, |ts| ts + 1);
                    for fix in self.fixes(&world.params, on, to) {
                        push(world, &mut decoder, fix);
                    }
                    say(world, &mut decoder, out);
                    self.hot.push(decoder);
                }
                (None, true) => {
                    let mut decoder = self.decode(world, block);
                    out.extend(decoder.pieces().iter().map(|piece| (*piece, 1)));
                    if last.is_some_and(|last| block + 1 >= last) {
                        decoder.said = decoder.pieces().to_vec();
                        self.hot.push(decoder);
                    }
                }
                (None, false) => {}
            }
        }
    }

    fn store(&mut self, params: &Params, fix: Fix) {
        let block = params.block(fix.ts);
        let start = block * params.block_ms;
        let points = self.blocks.entry(block).or_default();
        let point = Point::pack(&fix, start);
        match points.binary_search_by_key(&fix.ts, |point| point.ts(start)) {
            Ok(at) => points[at] = point,
            Err(at) => {
                if points.len() == points.capacity() {
                    // Half as much again rather than twice: most of the memory of a day lies here.
                    points.reserve_exact(points.len() / 2 + 8);
                }
                points.insert(at, point);
            }
        }
    }

    fn discard(&mut self, params: &Params, ts: i64) {
        let block = params.block(ts);
        let Some(points) = self.blocks.get_mut(&block) else { return };
        points.retain(|point| point.ts(block * params.block_ms) != ts);
        if points.is_empty() {
            self.blocks.remove(&block);
        }
    }
}

fn push(world: &mut World, decoder: &mut Decoder, fix: Fix) {
    let World { network, router, params, candidates } = world;
    decoder.push(network, router, params, fix, candidates);
}

/// Says what differs from what was said.
fn say(world: &mut World, decoder: &mut Decoder, out: &mut Changes) {
    decoder.settle(&world.network, &mut world.router, &world.params);
    let same = decoder.said.iter().zip(decoder.pieces()).take_while(|(said, is)| said == is).count();
    if same == decoder.said.len() && same == decoder.pieces().len() {
        return;
    }
    out.extend(decoder.said[same..].iter().map(|piece| (*piece, -1)));
    out.extend(decoder.pieces()[same..].iter().map(|piece| (*piece, 1)));
    decoder.said.truncate(same);
    let fresh = decoder.pieces()[same..].to_vec();
    decoder.said.extend(fresh);
}

/// Takes out what comes and goes, from `from` on.
fn consolidate(changes: &mut Changes, from: usize) {
    if let [(a, _), (b, _)] = changes[from..]
        && a != b
    {
        return;
    }
    let mut fresh = changes.split_off(from);
    fresh.sort_unstable();
    let mut fresh = fresh.into_iter().peekable();
    while let Some((piece, mut n)) = fresh.next() {
        while let Some((_, m)) = fresh.next_if(|(next, _)| *next == piece) {
            n += m;
        }
        if n != 0 {
            changes.push((piece, n));
        }
    }
}
