//! The nearest of many lines within a reach: a grid of cells, each with the legs that come near it.
//!
//! **Meaning.** A line is the polyline of a road. Distances are measured on the flat map around the point that asks (a
//! part in 10⁵ within a kilometre) and rounded to whole mm; of lines that are equally near the one with the smaller
//! name counts, so the answer depends neither on order nor on the last bit.
//!
//! **State.** One entry per leg and cell of about 100 m that it comes near.

use foldhash::HashMap;
use model::{Names, Sym};

use crate::operators::keyed::look_ahead;

/// Mean radius of the Earth, m.
const EARTH_M: f64 = 6_371_008.8;
/// Units a degree.
const UNITS: f64 = model::rows::DEGREE;
/// Side of a cell, 10⁻⁷ degrees.
const CELL: i32 = 10_000;
/// Beyond this latitude a cell is too narrow for what it is to hold; the map ends there, as web maps do.
const LAT_MAX: f64 = 85.0;

/// Longitude and latitude in 10⁻⁷ degrees.
pub type Place = (i32, i32);

/// The number of a cell, counted east and north.
type Cell = (i32, i32);

fn cell_of(at: Place) -> Cell {
    (at.0.div_euclid(CELL), at.1.div_euclid(CELL))
}

/// Metres per 10⁻⁷ degree of latitude.
fn metres_per_unit() -> f64 {
    EARTH_M * std::f64::consts::PI / 180.0 / UNITS
}

/// Length of a polyline, mm: each leg on the flat map at its mean latitude, rounded.
pub fn length_mm(line: &[Place]) -> i64 {
    let k = metres_per_unit();
    let leg = |ends: &[Place]| {
        let (a, b) = (ends[0], ends[1]);
        let middle = ((f64::from(a.1) + f64::from(b.1)) / 2.0 / UNITS).to_radians();
        let (x, y) = (f64::from(b.0 - a.0) * middle.cos() * k, f64::from(b.1 - a.1) * k);
        (x.hypot(y) * 1000.0).round() as i64
    };
    line.windows(2).map(leg).sum()
}

/// A piece of a line.
type Edge = (Sym, [Place; 2]);

/// Lines that can be asked for the nearest one.
#[derive(Debug)]
pub struct Nearest {
    reach_mm: i64,
    lines: HashMap<Sym, Vec<Place>>,
    cells: HashMap<Cell, Vec<Edge>>,
}

impl Nearest {
    /// No lines yet; only what is at most `reach_m` away is near.
    pub fn new(reach_m: f64) -> Self {
        Self {
            reach_mm: (reach_m * 1000.0).round() as i64,
            lines: HashMap::default(),
            cells: HashMap::default(),
        }
    }

    /// Puts a line in the place of what `name` was; one of fewer than two points only takes it away.
    pub fn set(&mut self, name: Sym, line: Vec<Place>) {
        if let Some(old) = self.lines.remove(&name) {
            for leg in old.windows(2) {
                for cell in self.cells_near(leg) {
                    if let Some(legs) = self.cells.get_mut(&cell) {
                        legs.retain(|(other, _)| *other != name);
                        if legs.is_empty() {
                            self.cells.remove(&cell);
                        }
                    }
                }
            }
        }
        for leg in line.windows(2) {
            for cell in self.cells_near(leg) {
                self.cells.entry(cell).or_default().push((name, [leg[0], leg[1]]));
            }
        }
        if line.len() > 1 {
            self.lines.insert(name, line);
        }
    }

    /// The cells within reach of the box around a leg.
    fn cells_near(&self, leg: &[Place]) -> Vec<Cell> {
        let (a, b) = (leg[0], leg[1]);
        let lat = (f64::from(a.1.abs().max(b.1.abs())) / UNITS).min(LAT_MAX).to_radians();
        let north = self.reach_mm as f64 / 1000.0 / metres_per_unit();
        let cells = |a: i32, b: i32, reach: f64| {
            let reach = reach.ceil() as i64 + 1;
            let (low, high) = (i64::from(a.min(b)) - reach, i64::from(a.max(b)) + reach);
            // Degrees and a reach beyond them are fewer cells than 2³¹.
            low.div_euclid(i64::from(CELL)) as i32..=high.div_euclid(i64::from(CELL)) as i32
        };
        let rows = cells(a.1, b.1, north);
        cells(a.0, b.0, north / lat.cos()).flat_map(|x| rows.clone().map(move |y| (x, y))).collect()
    }

    /// Looks at what [`Nearest::of`] will read of `places`, before it is needed.
    pub fn look_ahead(&self, places: impl Iterator<Item = Place>) {
        let legs = places.filter_map(|at| self.cells.get(&cell_of(at))?.first());
        look_ahead(legs.map(|(name, _)| i64::from(name.0)));
    }

    /// The nearest line to `at` within reach.
    pub fn of(&self, at: Place, names: &Names) -> Option<Sym> {
        let legs = self.cells.get(&cell_of(at))?;
        let k = metres_per_unit();
        let east = (f64::from(at.1) / UNITS).to_radians().cos() * k;
        // A leg whose box is further away than what rounds to the reach is: most are, and need no more than this.
        let reach_m = (self.reach_mm + 1) as f64 / 1000.0;
        let (across, along) = ((reach_m / east) as i64 + 1, (reach_m / k) as i64 + 1);
        let away = |at: i32, a: i32, b: i32, reach: i64| {
            let (at, a, b) = (i64::from(at), i64::from(a), i64::from(b));
            at < a.min(b) - reach || at > a.max(b) + reach
        };
        let mut best: Option<(i64, Sym)> = None;
        for (name, [a, b]) in legs {
            if away(at.0, a.0, b.0, across) || away(at.1, a.1, b.1, along) {
                continue;
            }
            let flat = |end: &Place| (f64::from(end.0 - at.0) * east, f64::from(end.1 - at.1) * k);
            let ((x1, y1), (x2, y2)) = (flat(a), flat(b));
            let (dx, dy) = (x2 - x1, y2 - y1);
            let t = (-(x1 * dx + y1 * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            let (x, y) = (x1 + t * dx, y1 + t * dy);
            let mm = ((x * x + y * y).sqrt() * 1000.0).round() as i64;
            if mm > self.reach_mm {
                continue;
            }
            let nearer = match best {
                None => true,
                Some((least, other)) if mm == least => names.resolve(*name) < names.resolve(other),
                Some((least, _)) => mm < least,
            };
            if nearer {
                best = Some((mm, *name));
            }
        }
        best.map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use model::Names;

    use super::{Nearest, length_mm};

    #[test]
    fn the_nearest_within_reach_is_found_and_a_tie_goes_to_the_smaller_name() {
        let names = Names::new();
        let [b, a, c] = ["b", "a", "c"].map(|name| names.intern(name));
        let mut nearest = Nearest::new(20.0);
        // Two streets that meet at a corner, and one 50 m north of the first.
        nearest.set(b, vec![(1_094_900_000, 365_900_000), (1_094_920_000, 365_900_000)]);
        nearest.set(a, vec![(1_094_900_000, 365_880_000), (1_094_900_000, 365_900_000)]);
        nearest.set(c, vec![(1_094_900_000, 365_904_500), (1_094_920_000, 365_904_500)]);
        let of = |nearest: &Nearest, lon, lat| nearest.of((lon, lat), &names);
        assert_eq!(of(&nearest, 1_094_910_000, 365_900_500), Some(b));
        assert_eq!(of(&nearest, 1_094_910_000, 365_904_000), Some(c));
        // North-west of the corner both are equally far away.
        assert_eq!(of(&nearest, 1_094_899_000, 365_900_700), Some(a));
        assert_eq!(of(&nearest, 1_094_910_000, 365_902_200), None, "24 m from both");
        nearest.set(a, vec![]);
        assert_eq!(of(&nearest, 1_094_899_000, 365_900_700), Some(b));
        nearest.set(b, vec![]);
        nearest.set(c, vec![]);
        assert!(nearest.cells.is_empty() && nearest.lines.is_empty());
    }

    #[test]
    fn a_thousandth_of_a_degree_north_is_111_m() {
        assert_eq!(length_mm(&[(0, 365_000_000), (0, 365_010_000), (0, 365_000_000)]), 2 * 111_195);
        assert_eq!(length_mm(&[(0, 0)]), 0);
    }
}
