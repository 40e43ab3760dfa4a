//! The cheapest way through a run of fixes: Viterbi's algorithm, one fix at a time.
//!
//! **Meaning.** [`Decoder`] holds the fixes that the match of one block looks at, and says at which candidate each of
//! them is and what was driven between each and the one before it.
//!
//! **Mechanism.** A fix that comes at the end costs its candidates times those of the fix before it. The choice is
//! traced back from the end until it agrees with what it was, so a revision costs what it revises. Between fixes
//! further apart than the hole the chain breaks and begins anew.
//!
//! **State.** A cache: about 250 bytes per fix of the block, made again from the fixes when needed.

use crate::fix::Fix;
use crate::geo::distance_mm;
use crate::network::{Arc, Candidate, Epoch, MAX_CANDIDATES, Network};
use crate::params::Params;
use crate::pieces::{Band, Fold, Leg, Move, Piece};
use crate::route::{Reach, Router};
use crate::way::Step;

/// How a vehicle gets from one candidate to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Off the road at either end.
    Off,
    /// It stands: the step back is noise.
    Stand,
    /// Along the road.
    Along,
    /// It turned round on the road.
    Turn,
    /// By other roads.
    Through,
    /// Nothing explains it.
    Jump,
}

/// Two fixes that follow each other.
struct Pair<'a> {
    network: &'a Network,
    params: &'a Params,
    /// Straight from one to the other, mm.
    straight: i64,
    beta: i64,
    /// A way longer than this costs as much as a jump, mm.
    longest: i64,
    /// The network between them: that of the later epoch.
    epoch: Epoch,
}

impl<'a> Pair<'a> {
    fn new(network: &'a Network, params: &'a Params, a: &Fix, b: &Fix) -> Self {
        let straight = distance_mm(a.at, b.at);
        let beta = params.beta(b.ts - a.ts);
        let longest = straight + params.jump_cost * beta / 1000;
        Self { network, params, straight, beta, longest, epoch: a.epoch.max(b.epoch) }
    }

    /// How far ways through the network are looked for.
    fn limit(&self) -> i64 {
        self.longest.min(self.params.way_mm)
    }

    fn differs(&self, way: i64) -> i64 {
        (way - self.straight).abs() * 1000 / self.beta
    }

    /// What it costs to get from `a` to `b`, and how, unless that is to be looked for in the network.
    fn direct(&self, a: &Candidate, b: &Candidate) -> Option<(i64, Way)> {
        let (from, to) = match (a.arc, b.arc) {
            (Some(from), Some(to)) => (from, to),
            (None, None) => return Some((0, Way::Off)),
            _ => return Some((self.params.off_switch_cost, Way::Off)),
        };
        if self.network.version_of(from) != self.network.version_of(to) {
            return None;
        }
        let ahead = i64::from(b.at_mm) - i64::from(a.at_mm);
        let ahead = if from.backward { -ahead } else { ahead };
        let (cost, way) = if from.backward != to.backward {
            (self.params.u_turn_cost + self.differs(ahead.abs()), Way::Turn)
        } else if ahead >= 0 {
            (self.differs(ahead), Way::Along)
        } else if -ahead <= self.params.back_mm {
            (self.differs(0), Way::Stand)
        } else {
            return None;
        };
        (cost < self.params.jump_cost).then_some((cost, way))
    }

    /// What it costs to get from the end of `a`'s arc, from where `reach` tells how far it is, to `b`.
    fn through(&self, reach: &Reach, a: &Candidate, b: &Candidate) -> (i64, Way) {
        let jump = (self.params.jump_cost, Way::Jump);
        let (Some(from), Some(to)) = (a.arc, b.arc) else { return jump };
        let ends = rest(self.network, from, a.at_mm) + begun(self.network, to, b.at_mm);
        if ends > self.longest || self.straight > self.params.way_mm {
            return jump;
        }
        let between = reach.distance(self.network.tail(to)).filter(|between| *between <= self.params.way_mm);
        match between.map(|between| self.differs(ends + between)) {
            Some(cost) if cost < self.params.jump_cost => (cost, Way::Through),
            _ => jump,
        }
    }
}

/// From a place on the road to the end of its arc, mm.
fn rest(network: &Network, arc: Arc, at_mm: u32) -> i64 {
    let segment = &network.segments[arc.segment as usize];
    i64::from(segment.length_mm) - begun(network, arc, at_mm)
}

/// From the start of an arc to a place on the road, mm.
fn begun(network: &Network, arc: Arc, at_mm: u32) -> i64 {
    let segment = &network.segments[arc.segment as usize];
    let along = i64::from(at_mm) - i64::from(segment.start_mm);
    if arc.backward { i64::from(segment.length_mm) - along } else { along }
}

/// A candidate with the cheapest way to it, in 20 bytes.
#[derive(Clone, Copy, Debug)]
struct State {
    /// The arc, packed; `OFF` off the road.
    arc: u32,
    at_mm: u32,
    /// What it costs that the fix is there.
    cost: i32,
    /// Cost of the cheapest way to here, less that of the cheapest state of the fix.
    total: i32,
    back: u8,
}

const OFF: u32 = u32::MAX;

/// Costs are small: a hop costs at most a jump. What isn't is as dear as can be.
fn narrow(cost: i64) -> i32 {
    i32::try_from(cost).unwrap_or(i32::MAX)
}

impl State {
    fn new(candidate: &Candidate, total: i64) -> Self {
        let arc = candidate.arc.map_or(OFF, |arc| arc.segment << 1 | u32::from(arc.backward));
        let (cost, total) = (narrow(candidate.cost), narrow(total));
        Self { arc, at_mm: candidate.at_mm, cost, total, back: 0 }
    }

    fn candidate(&self) -> Candidate {
        let arc = (self.arc != OFF).then_some(Arc { segment: self.arc >> 1, backward: self.arc & 1 == 1 });
        Candidate { arc, at_mm: self.at_mm, cost: i64::from(self.cost) }
    }
}

#[derive(Clone, Debug)]
struct Frame {
    fix: Fix,
    /// Its states.
    first: u32,
    count: u8,
    /// The chain begins here.
    begins: bool,
    chosen: Option<u8>,
    /// Whether anything is known of what was driven since the fix before.
    known: bool,
    /// What was driven, as a part of all legs.
    legs: (u32, u32),
}

/// The match of one block.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub block: i64,
    frames: Vec<Frame>,
    states: Vec<State>,
    /// What was driven, in order of the fixes.
    legs: Vec<Leg>,
    pieces: Vec<Piece>,
    /// What was said of this block when it was last asked for.
    pub said: Vec<Piece>,
    band: Band,
    settled: usize,
    /// The first fix whose move is not in the pieces as it is, if there was a [`Decoder::rewind`].
    stale: Option<usize>,
}

impl Decoder {
    pub(crate) fn new(block: i64, band: Band) -> Self {
        let (frames, states, legs, pieces, said) = Default::default();
        Self { block, frames, states, legs, pieces, said, band, settled: 0, stale: None }
    }

    /// Takes the next fix in order of event time.
    pub(crate) fn push(
        &mut self,
        network: &Network,
        router: &mut Router,
        params: &Params,
        fix: Fix,
        candidates: &mut Vec<Candidate>,
    ) {
        network.candidates(&fix, params, candidates);
        let first = self.states.len();
        // A quarter more rather than twice as much: each vehicle has two of these.
        if first + candidates.len() > self.states.capacity() {
            self.states.reserve_exact(candidates.len() + first / 4);
        }
        let last = self.frames.last().filter(|last| fix.ts - last.fix.ts <= params.hole_ms);
        match last {
            None => {
                self.states.extend(candidates.iter().map(|candidate| State::new(candidate, candidate.cost)));
            }
            Some(last) => {
                let before = last.first as usize..first;
                let pair = Pair::new(network, params, &last.fix, &fix);
                self.states.extend(candidates.iter().map(|candidate| State::new(candidate, i64::MAX)));
                let (before, fresh) = self.states.split_at_mut(before.end);
                for (i, state) in (0u8..).zip(&before[last.first as usize..]) {
                    let here = state.candidate();
                    let take = |next: &mut State, cost: i64| {
                        let total = i64::from(state.total) + cost;
                        if total < i64::from(next.total) {
                            (next.total, next.back) = (narrow(total), i);
                        }
                    };
                    // A state that is dearer than another way to the same candidate is no part of the cheapest.
                    let mut looked_for = [false; MAX_CANDIDATES + 1];
                    for (n, next) in fresh.iter_mut().enumerate().filter(|(_, next)| state.total < next.total)
                    {
                        match pair.direct(&here, &candidates[n]) {
                            Some((cost, _)) => take(next, cost),
                            None => looked_for[n] = true,
                        }
                    }
                    let Some(from) = here.arc.filter(|_| looked_for.contains(&true)) else {
                        continue;
                    };
                    let reach = router.reach(network, network.head(from), pair.limit(), pair.epoch);
                    for (n, next) in fresh.iter_mut().enumerate().filter(|(n, _)| looked_for[*n]) {
                        take(next, pair.through(reach, &here, &candidates[n]).0);
                    }
                }
                fresh.iter_mut().for_each(|next| next.total = next.total.saturating_add(next.cost));
            }
        }
        let begins = last.is_none();
        let least = self.states[first..].iter().map(|state| state.total).min().unwrap_or(0);
        self.states[first..].iter_mut().for_each(|state| state.total -= least);
        let count = (self.states.len() - first) as u8;
        self.frames.push(Frame {
            fix,
            first: first as u32,
            count,
            begins,
            chosen: None,
            known: false,
            legs: (0, 0),
        });
    }

    /// Forgets the fixes from `ts` on.
    pub(crate) fn rewind(&mut self, ts: i64) {
        let kept = self.frames.partition_point(|frame| frame.fix.ts < ts);
        if let Some(frame) = self.frames.get(kept) {
            self.states.truncate(frame.first as usize);
            self.frames.truncate(kept);
            self.settled = self.settled.min(kept);
            self.stale = Some(self.stale.map_or(kept, |stale| stale.min(kept)));
        }
    }

    /// Chooses the cheapest way through all fixes so far.
    pub(crate) fn settle(&mut self, network: &Network, router: &mut Router, params: &Params) {
        if self.settled == self.frames.len() && self.stale.is_none() {
            return;
        }
        let mut changed = self.frames.len();
        let mut next: Option<u8> = None;
        for i in (0..self.frames.len()).rev() {
            let frame = &self.frames[i];
            let states = &self.states[frame.first as usize..][..usize::from(frame.count)];
            let chosen = next.unwrap_or_else(|| {
                let least = (0u8..).zip(states).min_by_key(|(_, state)| state.total);
                least.map_or(0, |(i, _)| i)
            });
            if frame.chosen == Some(chosen) {
                break;
            }
            next = (!frame.begins).then(|| states[usize::from(chosen)].back);
            self.frames[i].chosen = Some(chosen);
            changed = i;
        }
        let mut arcs = Vec::new();
        if let Some(last) = self.frames.get(changed.max(1) - 1) {
            self.legs.truncate(last.legs.1 as usize);
        }
        for i in changed.max(1)..self.frames.len() {
            self.drive(network, router, params, i, &mut arcs);
        }
        self.settled = self.frames.len();
        if self.frames.len() < 2 {
            self.pieces.clear();
        }
        // What is gone from the end is folded anew with the last fix that is left.
        let stale = self.stale.take().map(|stale| stale.min(self.frames.len().saturating_sub(1)));
        self.fold(params, stale.map_or(changed, |stale| stale.min(changed)));
    }

    fn chosen(&self, frame: &Frame) -> Candidate {
        self.states[frame.first as usize + usize::from(frame.chosen.unwrap_or(0))].candidate()
    }

    /// Works out what was driven between fix `i` and the one before.
    fn drive(
        &mut self,
        network: &Network,
        router: &mut Router,
        params: &Params,
        i: usize,
        arcs: &mut Vec<Arc>,
    ) {
        let (last, frame) = (&self.frames[i - 1], &self.frames[i]);
        let (a, b) = (self.chosen(last), self.chosen(frame));
        let first = self.legs.len();
        let (legs, mut known) = (&mut self.legs, false);
        if let (false, Some(from), Some(to)) = (frame.begins, a.arc, b.arc) {
            let pair = Pair::new(network, params, &last.fix, &frame.fix);
            let (limit, epoch) = (pair.limit(), pair.epoch);
            let (_, way) = pair.direct(&a, &b).unwrap_or_else(|| {
                pair.through(router.reach(network, network.head(from), limit, epoch), &a, &b)
            });
            known = !matches!(way, Way::Jump | Way::Off);
            let mut leg = |arc: Arc, from: u32, to: u32| {
                let leg = Leg { road: network.road_of(arc), backward: arc.backward, from, to };
                match legs[first..].last_mut() {
                    Some(last) if last.goes_on_in(&leg) => last.to = leg.to,
                    _ => legs.push(leg),
                }
            };
            match way {
                Way::Along => leg(from, a.at_mm, b.at_mm),
                Way::Turn => {
                    // On the side that it ends on, as far as that goes in its direction.
                    let ahead = (i64::from(b.at_mm) - i64::from(a.at_mm)) * if to.backward { -1 } else { 1 };
                    leg(if ahead >= 0 { to } else { from }, a.at_mm, b.at_mm);
                }
                Way::Through => {
                    router.way(network, network.head(from), network.tail(to), limit, epoch, arcs);
                    let ends = |arc: Arc| {
                        let segment = &network.segments[arc.segment as usize];
                        let (low, high) = (segment.start_mm, segment.start_mm + segment.length_mm);
                        if arc.backward { (high, low) } else { (low, high) }
                    };
                    leg(from, a.at_mm, ends(from).1);
                    arcs.iter().for_each(|arc| leg(*arc, ends(*arc).0, ends(*arc).1));
                    leg(to, ends(to).0, b.at_mm);
                }
                Way::Off | Way::Stand | Way::Jump => {}
            }
        }
        let end = self.legs.len();
        let frame = &mut self.frames[i];
        (frame.legs, frame.known) = ((first as u32, end as u32), known);
    }

    /// Makes the pieces again from the grid cell in which fix `from` lies.
    fn fold(&mut self, params: &Params, from: usize) {
        let start = |i: usize| self.frames[i - 1].fix.ts;
        let from = from.max(1);
        if from >= self.frames.len() {
            return;
        }
        let cell = crate::pieces::cell(start(from));
        self.pieces.retain(|piece| piece.cell < cell);
        let first = (1..=from).rev().take_while(|i| crate::pieces::cell(start(*i)) >= cell).last();
        let mut fold = Fold::new(self.band);
        for i in first.unwrap_or(from)..self.frames.len() {
            let (last, frame) = (&self.frames[i - 1], &self.frames[i]);
            if params.block(frame.fix.ts) != self.block {
                continue;
            }
            let known = frame.known && frame.fix.ts - last.fix.ts <= params.cover_hole_ms;
            let legs = &self.legs[frame.legs.0 as usize..frame.legs.1 as usize];
            fold.take(&Move { from: &last.fix, to: &frame.fix, legs, known }, &mut self.pieces);
        }
    }

    /// The pieces of the block, as of the last [`Decoder::settle`].
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The pieces as another speed band would make them.
    pub(crate) fn refold(&mut self, params: &Params, band: Band) {
        self.band = band;
        self.pieces.clear();
        self.fold(params, 0);
    }

    /// Event time of the last fix.
    pub(crate) fn last_ts(&self) -> Option<i64> {
        self.frames.last().map(|frame| frame.fix.ts)
    }

    /// The last fix, and the road that it is on.
    pub(crate) fn last(&self, network: &Network) -> Option<(i64, Option<u32>)> {
        let frame = self.frames.last()?;
        Some((frame.fix.ts, self.chosen(frame).arc.map(|arc| network.road_of(arc))))
    }

    /// Each fix of the block with the road and the place on it, mm from its start.
    pub(crate) fn matched<'a>(
        &'a self,
        network: &'a Network,
        params: &'a Params,
    ) -> impl Iterator<Item = (Fix, Option<(u32, u32)>)> + 'a {
        self.frames.iter().filter(move |frame| params.block(frame.fix.ts) == self.block).map(move |frame| {
            let at = self.chosen(frame);
            (frame.fix, at.arc.map(|arc| (network.road_of(arc), at.at_mm)))
        })
    }

    /// The fixes of the block and of the span, each with its place and the way to it from the one before.
    pub(crate) fn steps(
        &self,
        network: &Network,
        params: &Params,
        (from, to): (i64, i64),
        out: &mut Vec<Step>,
    ) {
        for (i, frame) in self.frames.iter().enumerate() {
            let fix = frame.fix;
            if params.block(fix.ts) != self.block || !(from..to).contains(&fix.ts) {
                continue;
            }
            let mut line = Vec::new();
            let spot = network.spot(&self.chosen(frame));
            if let Some(last) = i.checked_sub(1).map(|i| &self.frames[i])
                && frame.known
                && last.fix.ts >= from
            {
                let legs = &self.legs[frame.legs.0 as usize..frame.legs.1 as usize];
                network.draw(legs, fix.epoch.max(last.fix.epoch), &mut line);
                if line.is_empty() {
                    // It stands, or steps back by noise.
                    line.extend(
                        [network.spot(&self.chosen(last)), spot].into_iter().flatten().map(|spot| spot.place),
                    );
                }
            }
            out.push(Step { fix, spot, line });
        }
    }
}
