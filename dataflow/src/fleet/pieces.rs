//! The pieces of one road, packed: a day of a large fleet has millions of them.
//!
//! **Meaning.** A multiset of pieces in order of the time at which they begin, each with its vehicle.
//!
//! **Mechanism.** A sorted vector of packed pieces; most come at its end. The cell of time in which a piece was cut
//! follows from nothing that is measured, so it is not kept.
//!
//! **State.** 24 bytes per piece.

use matching::Piece;
use model::Sym;
use serde::{Deserialize, Serialize};

/// A piece of the road, by whom. Ordered by when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Packed {
    from_ts: i64,
    vehicle: Sym,
    /// Twice as long as it lasts, ms, and one more if it goes against the order of the vertices: up to 24 days.
    lasts: u32,
    low: u32,
    high: u32,
}

impl Packed {
    fn of(vehicle: Sym, piece: &Piece) -> Self {
        const MOST: i64 = (u32::MAX >> 1) as i64;
        let lasts = (piece.to_ts - piece.from_ts).clamp(0, MOST) as u32;
        let lasts = lasts << 1 | u32::from(piece.backward);
        Self { from_ts: piece.from_ts, vehicle, lasts, low: piece.low, high: piece.high }
    }

    fn piece(&self, road: u32) -> Piece {
        Piece {
            from_ts: self.from_ts,
            to_ts: self.from_ts + i64::from(self.lasts >> 1),
            road,
            backward: self.lasts & 1 == 1,
            low: self.low,
            high: self.high,
            cell: 0,
        }
    }
}

/// The pieces of a road.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pieces {
    sorted: Vec<Packed>,
}

impl Pieces {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Puts a piece in (+1) or takes one out (−1).
    pub fn change(&mut self, vehicle: Sym, piece: &Piece, by: i64) {
        let packed = Packed::of(vehicle, piece);
        let at = self.sorted.partition_point(|other| *other < packed);
        for _ in 0..by {
            if self.sorted.len() == self.sorted.capacity() {
                // An eighth more rather than twice as much: much of the memory of a day lies here.
                self.sorted.reserve_exact(self.sorted.len() / 8 + 4);
            }
            self.sorted.insert(at, packed);
        }
        for _ in by..0 {
            if self.sorted.get(at) == Some(&packed) {
                self.sorted.remove(at);
            }
        }
    }

    /// Those that begin in `[from, to)`, in order of time, as pieces of the road whose key is `road`.
    pub fn within(&self, road: u32, (from, to): (i64, i64)) -> impl Iterator<Item = (Sym, Piece)> + Clone {
        let first = self.sorted.partition_point(|piece| piece.from_ts < from);
        let within = self.sorted[first..].iter().take_while(move |piece| piece.from_ts < to);
        within.map(move |packed| (packed.vehicle, packed.piece(road)))
    }

    /// When each begins, Unix ms.
    pub fn begin(&self) -> impl Iterator<Item = i64> {
        self.sorted.iter().map(|piece| piece.from_ts)
    }

    /// Forgets those that begin before `ts`.
    pub fn forget(&mut self, ts: i64) {
        let old = self.sorted.partition_point(|piece| piece.from_ts < ts);
        if old > 0 {
            self.sorted.drain(..old);
            self.sorted.shrink_to(self.sorted.len() + self.sorted.len() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use matching::Piece;
    use model::Sym;

    use super::{Packed, Pieces};

    fn piece(from_ts: i64, backward: bool) -> Piece {
        let high = 4_000_000_000;
        Piece { from_ts, to_ts: from_ts + 600_000, road: 7, backward, low: 5, high, cell: 0 }
    }

    #[test]
    fn what_was_put_in_comes_out_in_order() {
        let mut pieces = Pieces::default();
        for (vehicle, from_ts, backward) in [(1, 50, true), (2, 10, false), (1, 30, false), (1, 30, true)] {
            pieces.change(Sym(vehicle), &piece(from_ts, backward), 1);
        }
        pieces.change(Sym(1), &piece(30, false), -1);
        pieces.change(Sym(9), &piece(30, false), -1);
        let all = |span| pieces.within(7, span).collect::<Vec<_>>();
        assert_eq!(
            all((0, 100)),
            [(Sym(2), piece(10, false)), (Sym(1), piece(30, true)), (Sym(1), piece(50, true))]
        );
        assert_eq!(all((11, 50)), [(Sym(1), piece(30, true))]);
        pieces.forget(50);
        assert_eq!(pieces.begin().collect::<Vec<_>>(), [50]);
        assert_eq!(size_of::<Packed>(), 24);
    }
}
