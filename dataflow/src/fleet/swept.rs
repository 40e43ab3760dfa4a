//! How much of one road was swept in one shift.
//!
//! **Meaning.** *Swept* is what at least one piece covers. A *traversal* is a run of pieces of one vehicle that follow
//! each other in one direction. A *trip* is the traversals of one vehicle without a pause longer than the pass gap. A
//! *pass* covers the pass share of the road in one trip (rules: 趟次达标, 90 % within one continuous trip): each traversal
//! that does so alone is one, and the others of the trip make one for each time that they do so together. There and back
//! are two passes, and two halves driven one after the other are one.
//!
//! **State.** None.

use std::collections::BTreeMap;

use matching::{Piece, union};
use model::Sym;
use serde::{Deserialize, Serialize};

use crate::Settings;

/// What was done on a road in a shift. Lengths in mm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Covered at least once, in either direction.
    pub swept_mm: i64,
    /// Covered in the order of the vertices: the right-hand side.
    pub forward_mm: i64,
    /// Covered against it: the left-hand side.
    pub backward_mm: i64,
    /// Sum of all traversals: what was covered twice counts twice.
    pub worked_mm: i64,
    /// Passes.
    pub passes: i64,
    /// When work was last done on it, Unix ms.
    pub last_swept_ts: Option<i64>,
    /// Number of vehicles.
    pub vehicles: i64,
}

impl Swept {
    /// Measures the pieces of a road that is `length_mm` long, in order of time; what lies beyond its end is cut off.
    pub fn of(pieces: impl Iterator<Item = (Sym, Piece)>, length_mm: i64, settings: &Settings) -> Self {
        let length = u32::try_from(length_mm).unwrap_or(u32::MAX);
        let mut by_vehicle: BTreeMap<Sym, Vec<Piece>> = BTreeMap::new();
        for (vehicle, piece) in pieces {
            let (low, high) = (piece.low.min(length), piece.high.min(length));
            if low < high {
                by_vehicle.entry(vehicle).or_default().push(Piece { low, high, ..piece });
            }
        }
        let mut swept = Self { vehicles: by_vehicle.len() as i64, ..Self::default() };
        let needed = (length_mm * i64::from(settings.pass_percent) + 99) / 100;
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        for pieces in by_vehicle.values() {
            let mut trip: Vec<(u32, u32)> = Vec::new();
            let mut last: Option<&Piece> = None;
            for piece in pieces {
                let side = if piece.backward { &mut backward } else { &mut forward };
                side.push((piece.low, piece.high));
                let paused = last.is_some_and(|last| piece.from_ts - last.to_ts > settings.pass_gap_ms);
                if paused {
                    swept.close(&mut trip, needed);
                }
                match trip.last_mut() {
                    Some(run) if !paused && last.is_some_and(|last| follows(last, piece)) => {
                        *run = (run.0.min(piece.low), run.1.max(piece.high));
                    }
                    _ => trip.push((piece.low, piece.high)),
                }
                swept.last_swept_ts = swept.last_swept_ts.max(Some(piece.to_ts));
                last = Some(piece);
            }
            swept.close(&mut trip, needed);
        }
        (swept.forward_mm, swept.backward_mm) = (union::covered(&forward), union::covered(&backward));
        forward.append(&mut backward);
        swept.swept_mm = union::covered(&forward);
        swept
    }

    fn close(&mut self, trip: &mut Vec<(u32, u32)>, needed: i64) {
        self.worked_mm += trip.iter().map(|(low, high)| i64::from(high - low)).sum::<i64>();
        let all = trip.len();
        trip.retain(|(low, high)| i64::from(high - low) < needed);
        self.passes += (all - trip.len()) as i64 + union::times(trip, needed);
        trip.clear();
    }
}

/// Whether a piece goes on where the last one ended, in its direction.
fn follows(last: &Piece, piece: &Piece) -> bool {
    last.backward == piece.backward && piece.low <= last.high && last.low <= piece.high
}
