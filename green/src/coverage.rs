//! How much of each residence lies within the radius of a park, and how far the nearest park is in a straight line.
//!
//! **Meaning.** A park covers what lies within its radius of its boundary; what several cover counts once. Of residences
//! of one district that overlap, the ground counts once for the district, with the residence whose id comes first
//! ([`Measured::own_m2`]), while the people of each are covered in the share of its whole area that is. A residence
//! that is a point is covered wholly or not at all. The nearest park is the one at the least distance between boundaries, 0 when they
//! overlap, and of several the one whose id comes first.
//!
//! **Mechanism.** A grid of cells of 500 m in every sheet. A residence that is larger than a cell is cut along the grid;
//! the others stand whole in the cell of their middle. Each cell keeps the union of all buffers, clipped to what its
//! pieces can reach, and each piece is laid over that. So a park that changes costs the cells that its buffer meets, a
//! residence its own cell. Every figure is a function of the records in force, with parks taken in order of id, so it
//! does not depend on what came first. Areas stand as whole 10⁻⁶ m², so that sums are exact.
//!
//! **State.** A shape per park and sheet in reach, pieces and figures per residence, a clipped union per cell with
//! residences.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::Geometry;
use model::{Names, Sym};

use crate::buffer::buffer;
use crate::measure::{project, sheet_of};
use crate::projection::{Sheet, SheetId};
use crate::shape::{Rect, Shape, area, contains, difference, distance, intersection};

/// Side of a cell, m.
const CELL_M: f64 = 500.0;
/// Units of area per m², and of people per person.
pub const MICRO: f64 = 1e6;
/// Share of a cell's ground by which it may miss being full.
const FULL: f64 = 1.0 - 1e-9;

/// An open park.
#[derive(Clone, Debug)]
pub struct Park {
    /// Where it is.
    pub geometry: Geometry,
    /// How far it reaches, m; `None` when the scheme does not count it.
    pub radius_m: Option<f64>,
}

/// A residence.
#[derive(Clone, Debug)]
pub struct Home {
    /// Its district.
    pub district: Sym,
    /// Where it is.
    pub geometry: Geometry,
    /// Area of a residence that is a point, m².
    pub point_m2: f64,
}

/// What is known of a residence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Its area, 10⁻⁶ m².
    pub area: i64,
    /// Of it covered, 10⁻⁶ m².
    pub covered: i64,
    /// The area that counts with this residence for its district, 10⁻⁶ m².
    pub own: i64,
    /// Of that covered, 10⁻⁶ m².
    pub own_covered: i64,
    /// Whether a residence without area is covered.
    pub inside: bool,
    /// The nearest park, and its distance, m.
    pub nearest: Option<(f64, Sym)>,
}

impl Measured {
    /// [`Measured::own`] in m².
    pub fn own_m2(&self) -> f64 {
        self.own as f64 / MICRO
    }

    /// The share of it that is covered, 0 to 1.
    pub fn share(&self) -> f64 {
        match self.area {
            0 => f64::from(u8::from(self.inside)),
            area => self.covered as f64 / area as f64,
        }
    }
}

#[derive(Clone, Debug)]
struct Piece {
    cell: CellId,
    rect: Rect,
    shape: Shape,
    area: i64,
    covered: i64,
    own: i64,
    own_covered: i64,
    inside: bool,
}

#[derive(Debug)]
struct HomeState {
    sheet: SheetId,
    district: Sym,
    rect: Rect,
    pieces: Vec<Piece>,
    measured: Measured,
}

#[derive(Debug)]
struct ParkShape {
    shape: Shape,
    rect: Rect,
    /// The buffer and its box, if the park counts.
    around: Option<(Shape, Rect)>,
}

type CellId = (i32, i32);

/// What of a cell is covered.
#[derive(Debug, Default)]
enum Cover {
    #[default]
    None,
    All,
    Part(Shape),
}

#[derive(Debug, Default)]
struct Cell {
    pieces: Vec<(Sym, usize)>,
    /// Parks whose buffer may meet the cell, in order of id.
    parks: Vec<Sym>,
    cover: Cover,
    /// The greatest distance of a residence in it from its nearest park, m.
    farthest: f64,
}

#[derive(Debug)]
struct SheetState {
    projection: Sheet,
    parks: HashMap<Sym, ParkShape>,
    cells: HashMap<CellId, Cell>,
}

/// Parks and residences, and how they lie to each other.
pub struct Coverage {
    names: Arc<Names>,
    sheets: HashMap<SheetId, SheetState>,
    parks: HashMap<Sym, Park>,
    homes: HashMap<Sym, HomeState>,
    nearest_to: HashMap<Sym, HashSet<Sym>>,
}

/// What changes leave to be done.
#[derive(Default)]
struct Work {
    cells: BTreeSet<(SheetId, CellId)>,
    pieces: BTreeSet<(Sym, usize)>,
    nearest: BTreeSet<Sym>,
    dirty: BTreeSet<Sym>,
}

fn cell_at([x, y]: [f64; 2]) -> CellId {
    ((x / CELL_M).floor() as i32, (y / CELL_M).floor() as i32)
}

/// The ground of a cell.
fn ground((x, y): CellId) -> Rect {
    let min = [f64::from(x) * CELL_M, f64::from(y) * CELL_M];
    Rect { min, max: min.map(|c| c + CELL_M) }
}

/// What the pieces of a cell can reach: their middle is in it and no side is longer than its own.
fn reach(cell: CellId) -> Rect {
    ground(cell).grown(CELL_M / 2.0)
}

fn micro(m2: f64) -> i64 {
    (m2 * MICRO).round() as i64
}

impl SheetState {
    fn add_park(&mut self, id: Sym, park: &Park) -> Option<Rect> {
        let shape = project(&park.geometry, &self.projection);
        let rect = Rect::of(&shape)?;
        let around = park.radius_m.map(|radius| buffer(&shape, radius));
        let around = around.and_then(|buffer| Rect::of(&buffer).map(|rect| (buffer, rect)));
        let meets = around.as_ref().map(|(_, rect)| *rect);
        self.parks.insert(id, ParkShape { shape, rect, around });
        meets
    }

    /// The cells that there are whose reach a box meets.
    fn cells_in(&self, rect: Rect) -> Vec<CellId> {
        let grown = rect.grown(CELL_M / 2.0);
        let ((x0, y0), (x1, y1)) = (cell_at(grown.min), cell_at(grown.max));
        let span = (i64::from(x1) - i64::from(x0) + 1) * (i64::from(y1) - i64::from(y0) + 1);
        if span > self.cells.len() as i64 {
            return self.cells.keys().copied().filter(|cell| reach(*cell).meets(&rect)).collect();
        }
        let cells = (x0..=x1).flat_map(move |x| (y0..=y1).map(move |y| (x, y)));
        cells.filter(|cell| self.cells.contains_key(cell) && reach(*cell).meets(&rect)).collect()
    }

    /// The nearest park to these pieces.
    fn nearest(&self, rect: Rect, pieces: &[Piece], names: &Names) -> Option<(f64, Sym)> {
        let bound = |park: &ParkShape| park.rect.distance(&rect);
        let to = |park: &ParkShape, limit: f64| {
            pieces.iter().fold(limit, |best, piece| distance(&piece.shape, &park.shape, best))
        };
        // A good guess first: then most of the others are out at once.
        let (_, guess) = self.parks.iter().min_by(|a, b| bound(a.1).total_cmp(&bound(b.1)))?;
        let mut best = (to(guess, f64::INFINITY), None::<Sym>);
        for (&id, park) in &self.parks {
            if bound(park) > best.0 {
                continue;
            }
            let metres = to(park, best.0.next_up());
            let first = best.1.is_none_or(|there| names.resolve(id) < names.resolve(there));
            if metres < best.0 || (metres == best.0 && first) {
                best = (metres, Some(id));
            }
        }
        best.1.map(|park| (best.0, park))
    }
}

impl Coverage {
    /// Nothing yet; `names` are those behind the symbols.
    pub fn new(names: Arc<Names>) -> Self {
        Self {
            names,
            sheets: HashMap::default(),
            parks: HashMap::default(),
            homes: HashMap::default(),
            nearest_to: HashMap::default(),
        }
    }

    /// What is known of a residence.
    pub fn measured(&self, home: Sym) -> Option<Measured> {
        self.homes.get(&home).map(|home| home.measured)
    }

    /// Takes in changes: a park or residence with its new content, or `None` when it is gone, closed or planned.
    /// Returns the residences of which something is another than before.
    pub fn apply(
        &mut self,
        parks: Vec<(Sym, Option<Park>)>,
        homes: Vec<(Sym, Option<Home>)>,
    ) -> BTreeSet<Sym> {
        let mut work = Work::default();
        for (id, park) in parks {
            self.remove_park(id, &mut work);
            if let Some(park) = park {
                self.insert_park(id, park, &mut work);
            }
        }
        for (id, home) in homes {
            self.remove_home(id, &mut work);
            if let Some(home) = home {
                self.insert_home(id, &home, &mut work);
            }
        }
        for (sheet, cell) in std::mem::take(&mut work.cells) {
            self.cover_cell(sheet, cell, &mut work);
        }
        for (home, piece) in std::mem::take(&mut work.pieces) {
            self.measure_piece(home, piece, &mut work);
        }
        self.find_nearest(&mut work);
        for id in &work.dirty {
            let Some(home) = self.homes.get_mut(id) else { continue };
            let sum = |of: fn(&Piece) -> i64| home.pieces.iter().map(of).sum();
            home.measured = Measured {
                area: sum(|piece| piece.area),
                covered: sum(|piece| piece.covered),
                own: sum(|piece| piece.own),
                own_covered: sum(|piece| piece.own_covered),
                inside: home.pieces.iter().any(|piece| piece.inside),
                nearest: home.measured.nearest,
            };
        }
        work.dirty
    }

    fn remove_park(&mut self, id: Sym, work: &mut Work) {
        if self.parks.remove(&id).is_none() {
            return;
        }
        for (&sheet_id, sheet) in &mut self.sheets {
            let Some(park) = sheet.parks.remove(&id) else { continue };
            let Some((_, rect)) = park.around else { continue };
            for cell in sheet.cells_in(rect) {
                if let Some(there) = sheet.cells.get_mut(&cell) {
                    there.parks.retain(|park| *park != id);
                }
                work.cells.insert((sheet_id, cell));
            }
        }
        work.nearest.extend(self.nearest_to.get(&id).into_iter().flatten());
    }

    fn insert_park(&mut self, id: Sym, park: Park, work: &mut Work) {
        let Some(corner) = park.geometry.corners().next() else { return };
        for (&sheet_id, sheet) in self.sheets.iter_mut().filter(|(sheet, _)| sheet.reaches(corner)) {
            let meets = sheet.add_park(id, &park);
            for cell in meets.map_or_else(Vec::new, |rect| sheet.cells_in(rect)) {
                if let Some(there) = sheet.cells.get_mut(&cell) {
                    let text = self.names.resolve(id);
                    let place = there.parks.partition_point(|park| self.names.resolve(*park) < text);
                    there.parks.insert(place, id);
                }
                work.cells.insert((sheet_id, cell));
            }
            // Whoever may have this one nearer than the one before. A cell knows the farthest of its residences.
            let Some(rect) = sheet.parks.get(&id).map(|park| park.rect) else { continue };
            let near = |cell: &(&CellId, &Cell)| reach(*cell.0).distance(&rect) <= cell.1.farthest;
            for (home, _) in sheet.cells.iter().filter(near).flat_map(|(_, cell)| &cell.pieces) {
                let Some(there) = self.homes.get(home) else { continue };
                if there.measured.nearest.is_none_or(|(metres, _)| there.rect.distance(&rect) <= metres) {
                    work.nearest.insert(*home);
                }
            }
        }
        self.parks.insert(id, park);
    }

    fn remove_home(&mut self, id: Sym, work: &mut Work) {
        let Some(home) = self.homes.remove(&id) else { return };
        work.dirty.insert(id);
        work.pieces.retain(|(home, _)| *home != id);
        if let Some((_, park)) = home.measured.nearest
            && let Some(homes) = self.nearest_to.get_mut(&park)
        {
            homes.remove(&id);
        }
        let Some(sheet) = self.sheets.get_mut(&home.sheet) else { return };
        for piece in &home.pieces {
            if let Some(cell) = sheet.cells.get_mut(&piece.cell) {
                cell.pieces.retain(|(there, _)| *there != id);
                if cell.pieces.is_empty() {
                    sheet.cells.remove(&piece.cell);
                }
            }
        }
        if sheet.cells.is_empty() {
            self.sheets.remove(&home.sheet);
        }
        for piece in &home.pieces {
            self.overlapping(home.sheet, home.district, id, piece, |_, other| {
                work.pieces.insert(other);
            });
        }
    }

    fn insert_home(&mut self, id: Sym, home: &Home, work: &mut Work) {
        work.dirty.insert(id);
        let Some(sheet_id) = sheet_of(&home.geometry) else { return };
        let parks = &self.parks;
        let sheet = self.sheets.entry(sheet_id).or_insert_with(|| {
            let mut sheet = SheetState {
                projection: Sheet::new(sheet_id),
                parks: HashMap::default(),
                cells: HashMap::default(),
            };
            for (&id, park) in parks {
                if park.geometry.corners().next().is_some_and(|corner| sheet_id.reaches(corner)) {
                    sheet.add_park(id, park);
                }
            }
            sheet
        });
        let shape = project(&home.geometry, &sheet.projection);
        let Some(rect) = Rect::of(&shape) else {
            if sheet.cells.is_empty() {
                self.sheets.remove(&sheet_id);
            }
            return;
        };
        let pieces = cut(shape, rect, home.point_m2);
        for (n, piece) in pieces.iter().enumerate() {
            let parks = &sheet.parks;
            let names = &self.names;
            let cell = sheet.cells.entry(piece.cell).or_insert_with(|| {
                work.cells.insert((sheet_id, piece.cell));
                let reach = reach(piece.cell);
                let meets =
                    |park: &ParkShape| park.around.as_ref().is_some_and(|(_, rect)| rect.meets(&reach));
                let mut parks: Vec<Sym> =
                    parks.iter().filter(|(_, park)| meets(park)).map(|(id, _)| *id).collect();
                parks.sort_by(|a, b| names.resolve(*a).cmp(names.resolve(*b)));
                Cell { parks, ..Cell::default() }
            });
            cell.pieces.push((id, n));
            work.pieces.insert((id, n));
        }
        for piece in &pieces {
            self.overlapping(sheet_id, home.district, id, piece, |_, other| {
                work.pieces.insert(other);
            });
        }
        work.nearest.insert(id);
        let measured = Measured::default();
        self.homes.insert(id, HomeState { sheet: sheet_id, district: home.district, rect, pieces, measured });
    }

    /// Calls `f` for each piece of another residence of the district whose box overlaps that of `piece`.
    fn overlapping(
        &self,
        sheet: SheetId,
        district: Sym,
        id: Sym,
        piece: &Piece,
        mut f: impl FnMut(&Piece, (Sym, usize)),
    ) {
        let Some(sheet) = self.sheets.get(&sheet) else { return };
        let (x, y) = piece.cell;
        let cells = (x - 1..=x + 1).flat_map(move |x| (y - 1..=y + 1).map(move |y| (x, y)));
        for &(home, n) in cells.filter_map(|cell| sheet.cells.get(&cell)).flat_map(|cell| &cell.pieces) {
            if home == id {
                continue;
            }
            let Some(other) = self.homes.get(&home).filter(|other| other.district == district) else {
                continue;
            };
            if let Some(there) = other.pieces.get(n)
                && there.area > 0
                && there.rect.meets(&piece.rect)
            {
                f(there, (home, n));
            }
        }
    }

    /// Works out what of a cell is covered; its pieces are to be measured again.
    fn cover_cell(&mut self, sheet: SheetId, id: CellId, work: &mut Work) {
        let Some(sheet) = self.sheets.get_mut(&sheet) else { return };
        let Some(cell) = sheet.cells.get_mut(&id) else { return };
        let reach = reach(id);
        let buffers = cell.parks.iter().filter_map(|park| sheet.parks.get(park)?.around.as_ref());
        let buffers: Shape = buffers.flat_map(|(shape, _)| shape.iter().cloned()).collect();
        let cover = match buffers.is_empty() {
            true => Vec::new(),
            false => intersection(&buffers, &vec![vec![reach.ring()]]),
        };
        let whole = (reach.max[0] - reach.min[0]) * (reach.max[1] - reach.min[1]);
        cell.cover = match area(&cover) {
            _ if cover.is_empty() => Cover::None,
            part if part >= whole * FULL => Cover::All,
            _ => Cover::Part(cover),
        };
        work.pieces.extend(cell.pieces.iter().copied());
    }

    fn measure_piece(&mut self, id: Sym, n: usize, work: &mut Work) {
        let Some(home) = self.homes.get(&id) else { return };
        let Some(piece) = home.pieces.get(n) else { return };
        let cover = self.sheets.get(&home.sheet).and_then(|sheet| sheet.cells.get(&piece.cell));
        let Some(cover) = cover.map(|cell| &cell.cover) else { return };
        let is_point = area(&piece.shape) == 0.0;
        let of = |shape: &Shape, whole: i64| match cover {
            Cover::None => 0,
            Cover::All => whole,
            Cover::Part(part) if is_point => {
                let at = shape.first().and_then(|polygon| polygon.first()?.first());
                if at.is_some_and(|at| contains(part, *at)) { whole } else { 0 }
            }
            Cover::Part(part) => micro(area(&intersection(shape, part))).min(whole),
        };
        let covered = of(&piece.shape, piece.area);
        let inside = match cover {
            Cover::Part(part) => {
                piece.shape.iter().flatten().flatten().next().is_some_and(|at| contains(part, *at))
            }
            cover => matches!(cover, Cover::All),
        };
        let text = self.names.resolve(id);
        let mut before: Shape = Vec::new();
        if !is_point {
            self.overlapping(home.sheet, home.district, id, piece, |other, (of, _)| {
                if self.names.resolve(of) < text {
                    before.extend(other.shape.iter().cloned());
                }
            });
        }
        let (own, own_covered) = if before.is_empty() {
            (piece.area, covered)
        } else {
            // In an order of its own: the pieces of a cell stand in the order in which they came.
            before.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            let rest = difference(&piece.shape, &before);
            let own = micro(area(&rest)).min(piece.area);
            (own, of(&rest, own))
        };
        if let Some(piece) = self.homes.get_mut(&id).and_then(|home| home.pieces.get_mut(n)) {
            (piece.covered, piece.own, piece.own_covered, piece.inside) = (covered, own, own_covered, inside);
            work.dirty.insert(id);
        }
    }

    fn find_nearest(&mut self, work: &mut Work) {
        let mut cells = BTreeSet::new();
        for &id in &work.nearest {
            let Some(home) = self.homes.get_mut(&id) else { continue };
            let Some(sheet) = self.sheets.get(&home.sheet) else { continue };
            let nearest = sheet.nearest(home.rect, &home.pieces, &self.names);
            cells.extend(home.pieces.iter().map(|piece| (home.sheet, piece.cell)));
            let before = std::mem::replace(&mut home.measured.nearest, nearest);
            if before == nearest {
                continue;
            }
            work.dirty.insert(id);
            if let Some(homes) = before.and_then(|(_, park)| self.nearest_to.get_mut(&park)) {
                homes.remove(&id);
            }
            if let Some((_, park)) = nearest {
                self.nearest_to.entry(park).or_default().insert(id);
            }
        }
        self.nearest_to.retain(|_, homes| !homes.is_empty());
        for (sheet, id) in cells {
            let Some(cell) = self.sheets.get_mut(&sheet).and_then(|sheet| sheet.cells.get_mut(&id)) else {
                continue;
            };
            let far = |(home, _): &(Sym, usize)| {
                let nearest = self.homes.get(home).and_then(|home| home.measured.nearest);
                nearest.map_or(f64::INFINITY, |(metres, _)| metres)
            };
            cell.farthest = cell.pieces.iter().map(far).fold(0.0, f64::max);
        }
    }
}

/// Cuts a residence along the grid if it is larger than a cell.
fn cut(shape: Shape, rect: Rect, point_m2: f64) -> Vec<Piece> {
    let piece = |cell: CellId, rect: Rect, shape: Shape, m2: f64| Piece {
        cell,
        rect,
        shape,
        area: micro(m2),
        covered: 0,
        own: 0,
        own_covered: 0,
        inside: false,
    };
    let whole = area(&shape);
    if whole == 0.0 {
        // Points: each stands for an equal part.
        let each = point_m2 / shape.len().max(1) as f64;
        let at = |polygon: Vec<Vec<[f64; 2]>>| {
            let rect = Rect::around(polygon.iter().flatten().copied())?;
            Some(piece(cell_at(rect.middle()), rect, vec![polygon], each))
        };
        return shape.into_iter().filter_map(at).collect();
    }
    if rect.side() <= CELL_M {
        return vec![piece(cell_at(rect.middle()), rect, shape, whole)];
    }
    let ((x0, y0), (x1, y1)) = (cell_at(rect.min), cell_at(rect.max));
    let mut pieces = Vec::new();
    // Strip by strip, so that each cut works on what is left of a strip only.
    for x in x0..=x1 {
        let (low, high) = (ground((x, y0)), ground((x, y1)));
        let strip = intersection(&shape, &vec![vec![Rect { min: low.min, max: high.max }.ring()]]);
        for y in y0..=y1 {
            let part = intersection(&strip, &vec![vec![ground((x, y)).ring()]]);
            if let Some(rect) = Rect::of(&part) {
                let m2 = area(&part);
                pieces.push(piece((x, y), rect, part, m2));
            }
        }
    }
    pieces
}
