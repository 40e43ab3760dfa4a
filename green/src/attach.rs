//! Where a gate or a home meets the walkways.
//!
//! **Meaning.** A stop is attached to the nearest edge of the network, at the nearest place on it, if that is within the
//! snap distance; of edges at the same distance (to the millimetre) to the one whose ends come first. The way from the
//! stop to that place is walked too.
//!
//! **Mechanism.** Edges and stops lie in a grid of degrees: a look around costs what lies in the cells around.
//!
//! **State.** One entry per cell that an edge or a stop touches.

use foldhash::HashMap;
use model::reference::LonLat;

use crate::projection::{offset, scale};
use crate::shape::nearest_on_edge;

/// Side of a cell, 10⁻⁷ degrees: about 400 m.
const CELL: i32 = 40_000;
/// Latitudes are taken as no nearer to a pole than this when metres become degrees of longitude.
const POLAR_DEG: f64 = 85.0;

/// Things by the cells that they touch.
#[derive(Debug, Default)]
pub struct Grid {
    cells: HashMap<(i32, i32), Vec<u32>>,
}

fn cell(at: LonLat) -> (i32, i32) {
    (at.lon.div_euclid(CELL), at.lat.div_euclid(CELL))
}

/// The cells that a segment may touch: those of the boxes of its pieces, none longer than a cell.
fn cells_of(a: LonLat, b: LonLat) -> Vec<(i32, i32)> {
    let (dx, dy) = (i64::from(b.lon) - i64::from(a.lon), i64::from(b.lat) - i64::from(a.lat));
    let pieces = (dx.abs().max(dy.abs()) / i64::from(CELL)) as i32 + 1;
    let at = |n: i32| LonLat {
        lon: (i64::from(a.lon) + dx * i64::from(n) / i64::from(pieces)) as i32,
        lat: (i64::from(a.lat) + dy * i64::from(n) / i64::from(pieces)) as i32,
    };
    let mut cells = Vec::new();
    for n in 0..pieces {
        let ((x0, y0), (x1, y1)) = (cell(at(n)), cell(at(n + 1)));
        for x in x0.min(x1)..=x0.max(x1) {
            cells.extend((y0.min(y1)..=y0.max(y1)).map(|y| (x, y)));
        }
    }
    cells.sort_unstable();
    cells.dedup();
    cells
}

impl Grid {
    /// Puts a thing that reaches from `a` to `b` into the grid.
    pub fn insert(&mut self, thing: u32, a: LonLat, b: LonLat) {
        for cell in cells_of(a, b) {
            self.cells.entry(cell).or_default().push(thing);
        }
    }

    /// Takes it out again.
    pub fn remove(&mut self, thing: u32, a: LonLat, b: LonLat) {
        for cell in cells_of(a, b) {
            if let Some(things) = self.cells.get_mut(&cell) {
                things.retain(|there| *there != thing);
                if things.is_empty() {
                    self.cells.remove(&cell);
                }
            }
        }
    }

    /// What lies in the cells within `metres` of the box from `a` to `b`, some things more than once.
    pub fn around(&self, a: LonLat, b: LonLat, metres: f64) -> impl Iterator<Item = u32> {
        let middle = f64::midpoint(a.degrees()[1], b.degrees()[1]).clamp(-POLAR_DEG, POLAR_DEG);
        // Ten metres more: the scale at the middle is not quite that at the ends.
        let [dx, dy] = scale(middle).map(|per_unit| ((metres + 10.0) / per_unit) as i32);
        let low =
            LonLat { lon: a.lon.min(b.lon).saturating_sub(dx), lat: a.lat.min(b.lat).saturating_sub(dy) };
        let high =
            LonLat { lon: a.lon.max(b.lon).saturating_add(dx), lat: a.lat.max(b.lat).saturating_add(dy) };
        let ((x0, y0), (x1, y1)) = (cell(low), cell(high));
        let cells = (x0..=x1).flat_map(move |x| (y0..=y1).map(move |y| (x, y)));
        cells.flat_map(|cell| self.cells.get(&cell).into_iter().flatten().copied())
    }
}

/// Where a place meets an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// From the first end of the edge to the place on it, mm.
    pub along_mm: u32,
    /// From there to the stop, mm.
    pub off_mm: u32,
}

/// Where `at` meets the edge from `a` to `b` of `length_mm`.
pub fn meeting(at: LonLat, a: LonLat, b: LonLat, length_mm: u32) -> Meeting {
    let (t, off) = nearest_on_edge([0.0, 0.0], offset(at, a), offset(at, b));
    Meeting {
        along_mm: ((t * f64::from(length_mm)).round() as u32).min(length_mm),
        off_mm: (off * 1000.0).round().min(f64::from(u32::MAX)) as u32,
    }
}

/// The place `along_mm` on an edge from `a` to `b` of `length_mm`.
pub fn place(a: LonLat, b: LonLat, along_mm: u32, length_mm: u32) -> LonLat {
    let t = f64::from(along_mm) / f64::from(length_mm.max(1));
    let between = |a: i32, b: i32| (f64::from(a) + t * (f64::from(b) - f64::from(a))).round() as i32;
    LonLat { lon: between(a.lon, b.lon), lat: between(a.lat, b.lat) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lon: i32, lat: i32) -> LonLat {
        LonLat { lon: 1_094_900_000 + lon, lat: 365_900_000 + lat }
    }

    #[test]
    fn a_long_edge_is_found_from_anywhere_beside_it() {
        let mut grid = Grid::default();
        let (a, b) = (at(0, 0), at(1_000_000, 700_000));
        grid.insert(7, a, b);
        for n in 0..100 {
            let beside = at(n * 10_000 + 10_000, n * 7_000);
            assert!(grid.around(beside, beside, 300.0).any(|thing| thing == 7), "{n}");
        }
        assert!(grid.around(at(0, 500_000), at(0, 500_000), 300.0).next().is_none());
        grid.remove(7, a, b);
        assert!(grid.cells.is_empty());
    }

    #[test]
    fn a_stop_meets_an_edge_at_its_foot() {
        let (a, b) = (at(0, 0), at(20_000, 0));
        let length = crate::projection::length_mm(a, b);
        let Meeting { along_mm, off_mm } = meeting(at(5_000, 1_000), a, b, length);
        assert_eq!(along_mm, (f64::from(length) / 4.0).round() as u32);
        // 10⁻⁴ degrees of latitude are about 11.1 m.
        assert!((11_050..11_150).contains(&off_mm), "{off_mm}");
        assert_eq!(place(a, b, along_mm, length), at(5_000, 0));
        assert_eq!(meeting(at(-9_000, 0), a, b, length).along_mm, 0);
    }
}
