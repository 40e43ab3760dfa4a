//! From ways to coverage: which part of which road was worked on, and when.
//!
//! **Meaning.** Something is covered between two consecutive matched fixes that are not a hole apart, along the way
//! between them, as far as the vehicle works: its device says so and its speed lies in its band. Where only one of the
//! two fixes works, what it drives at its speed in half of the time counts, at most half of the way: the switch lies
//! anywhere between them. The speed is the device's own; where it gives none, that of the move.
//!
//! **Mechanism.** Moves that follow each other along one road in one direction become one [`Piece`]. Pieces are cut
//! where a move begins in another cell of a fixed grid of time, so that a shift may begin and end on any cell.
//!
//! **State.** None: a fold over the moves of a block.

use serde::{Deserialize, Serialize};

use crate::fix::Fix;

/// Pieces are cut on multiples of this, ms of event time.
pub const GRID_MS: i64 = 300_000;

/// The cell of the grid that a time lies in.
pub fn cell(ts: i64) -> i64 {
    ts.div_euclid(GRID_MS)
}

/// Speeds at which a vehicle's work counts: least and greatest, 0.1 km/h, both included; `None` = any.
pub type Band = Option<(u16, u16)>;

/// A part of a road that was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The road's key.
    pub road: u32,
    /// Against the order of its vertices.
    pub backward: bool,
    /// From the start of the road's line, mm.
    pub from: u32,
    /// From the start of the road's line, mm.
    pub to: u32,
}

impl Leg {
    /// Whether `next` goes on along the same road from where this ends.
    pub(crate) fn goes_on_in(&self, next: &Leg) -> bool {
        (self.road, self.backward, self.to) == (next.road, next.backward, next.from)
    }

    fn length(&self) -> i64 {
        (i64::from(self.to) - i64::from(self.from)).abs()
    }
}

/// A part of a road that a vehicle worked along, in one go and in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Piece {
    /// When it began, Unix ms.
    pub from_ts: i64,
    /// When it ended, Unix ms.
    pub to_ts: i64,
    /// The road's key.
    pub road: u32,
    /// Against the order of its vertices.
    pub backward: bool,
    /// From the start of the road's line, mm.
    pub low: u32,
    /// From the start of the road's line, mm; greater than `low`.
    pub high: u32,
    /// The cell of time of its first move.
    pub cell: i64,
}

impl Piece {
    /// Comes before all pieces in their order.
    pub const EARLIEST: Piece = Piece {
        from_ts: i64::MIN,
        to_ts: i64::MIN,
        road: 0,
        backward: false,
        low: 0,
        high: 0,
        cell: i64::MIN,
    };
}

/// What happened between two consecutive fixes.
pub(crate) struct Move<'a> {
    pub from: &'a Fix,
    pub to: &'a Fix,
    pub legs: &'a [Leg],
    /// Whether it is known what was driven.
    pub known: bool,
}

/// Makes pieces of moves.
pub(crate) struct Fold {
    band: Band,
    /// Whether the last piece may go on.
    open: bool,
}

impl Fold {
    pub(crate) fn new(band: Band) -> Self {
        Self { band, open: false }
    }

    /// Takes the next move.
    pub(crate) fn take(&mut self, step: &Move<'_>, pieces: &mut Vec<Piece>) {
        let total: i64 = step.legs.iter().map(Leg::length).sum();
        let dt = step.to.ts - step.from.ts;
        let (low, high) = match (step.known, self.works(step.from, total, dt), self.works(step.to, total, dt))
        {
            (false, ..) | (true, false, false) => {
                self.open = false;
                return;
            }
            (true, true, true) => (0, total),
            (true, true, false) => (0, worked_alone(step.from, total, dt)),
            (true, false, true) => (total - worked_alone(step.to, total, dt), total),
        };
        if low > 0 {
            self.open = false;
        }
        let at = |along: i64| step.from.ts + dt * along / total.max(1);
        let mut begun = 0;
        for leg in step.legs {
            let (from, to) =
                (low.clamp(begun, begun + leg.length()), high.clamp(begun, begun + leg.length()));
            if from < to {
                let along = |m: i64| {
                    let m = m - begun;
                    (i64::from(leg.from) + if leg.backward { -m } else { m }) as u32
                };
                let (a, b) = (along(from), along(to));
                let piece = Piece {
                    from_ts: at(from),
                    to_ts: at(to),
                    road: leg.road,
                    backward: leg.backward,
                    low: a.min(b),
                    high: a.max(b),
                    cell: cell(step.from.ts),
                };
                self.add(piece, pieces);
            }
            begun += leg.length();
        }
        if high < total {
            self.open = false;
        }
    }

    fn add(&mut self, piece: Piece, pieces: &mut Vec<Piece>) {
        if self.open
            && let Some(last) = pieces.last_mut()
            && (last.road, last.backward, last.cell) == (piece.road, piece.backward, piece.cell)
            && piece.low <= last.high
            && piece.high >= last.low
        {
            last.low = last.low.min(piece.low);
            last.high = last.high.max(piece.high);
            last.to_ts = last.to_ts.max(piece.to_ts);
            return;
        }
        pieces.push(piece);
        self.open = true;
    }

    fn works(&self, fix: &Fix, total: i64, dt: i64) -> bool {
        let Some((least, greatest)) = self.band else { return fix.working };
        // mm per ms are m/s; 36 tenths of km/h each.
        let of_move = || total * 36 / dt.max(1);
        fix.working
            && (i64::from(least)..=i64::from(greatest)).contains(&fix.speed.map_or_else(of_move, i64::from))
    }
}

/// How far a fix that works counts towards a neighbour that doesn't, mm.
fn worked_alone(fix: &Fix, total: i64, dt: i64) -> i64 {
    // 0.1 km/h are 1/36 mm per ms; half of the time.
    let at_its_speed = fix.speed.map_or(total, |speed| i64::from(speed) * dt / 72);
    at_its_speed.min(total / 2)
}
