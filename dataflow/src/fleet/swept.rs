//! How much of one road was swept in one shift.
//!
//! **Meaning.** *Swept* is what at least one piece covers. A *traversal* is a run of pieces of one vehicle that follow
//! each other in one direction. A *trip* is the traversals of one vehicle without a pause longer than the pass gap. A
//! *pass* covers the pass share of the road in one trip (rules: 趟次达标, 90 % within one continuous trip): each traversal
//! that does so alone is one, and the others of the trip make one for each time that they do so together. There and back
//! are two passes, and two halves driven one after the other are one.
//!
//! **State.** None.

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

/// Room for the measuring of one road after the other.
#[derive(Debug, Default)]
pub struct Measuring {
    pieces: Vec<(Sym, Piece)>,
    forward: Vec<(u32, u32)>,
    backward: Vec<(u32, u32)>,
    trip: Vec<(u32, u32)>,
}

impl Measuring {
    /// Measures the pieces of a road that is `length_mm` long, in order of time; what lies beyond its end is cut off.
    pub fn swept(
        &mut self,
        pieces: impl Iterator<Item = (Sym, Piece)>,
        length_mm: i64,
        settings: &Settings,
    ) -> Swept {
        let Self { pieces: mine, forward, backward, trip } = self;
        let length = u32::try_from(length_mm).unwrap_or(u32::MAX);
        mine.clear();
        mine.extend(pieces.filter_map(|(vehicle, piece)| {
            let (low, high) = (piece.low.min(length), piece.high.min(length));
            (low < high).then_some((vehicle, Piece { low, high, ..piece }))
        }));
        // Those of one vehicle stay in order of time.
        mine.sort_by_key(|(vehicle, _)| *vehicle);
        let mut swept = Swept::default();
        let needed = (length_mm * i64::from(settings.pass_percent) + 99) / 100;
        forward.clear();
        backward.clear();
        trip.clear();
        for of_vehicle in mine.chunk_by(|(one, _), (next, _)| one == next) {
            swept.vehicles += 1;
            let mut last: Option<&Piece> = None;
            for (_, piece) in of_vehicle {
                let side = if piece.backward { &mut *backward } else { &mut *forward };
                side.push((piece.low, piece.high));
                let paused = last.is_some_and(|last| piece.from_ts - last.to_ts > settings.pass_gap_ms);
                if paused {
                    swept.close(trip, needed);
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
            swept.close(trip, needed);
        }
        (swept.forward_mm, swept.backward_mm) = (union::covered(forward), union::covered(backward));
        swept.swept_mm = match (forward.is_empty(), backward.is_empty()) {
            (_, true) => swept.forward_mm,
            (true, _) => swept.backward_mm,
            _ => {
                forward.append(backward);
                union::covered(forward)
            }
        };
        swept
    }
}

impl Swept {
    fn close(&mut self, trip: &mut Vec<(u32, u32)>, needed: i64) {
        self.worked_mm += union::length(trip);
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
