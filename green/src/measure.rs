//! From records to shapes: projections of geometries, their areas, and the place from which a home is walked to.
//!
//! **Meaning.** A [`Geometry`] becomes a clean [`Shape`] in a sheet; its area is that of the ellipsoid.
//!
//! **State.** None.

use model::reference::{Geometry, LonLat};

use crate::projection::{Sheet, SheetId, offset, scale};
use crate::shape::{Shape, Xy, area, centroid, clean};

/// The clean shape of a geometry in a sheet. Points become rings of one point; lines have no area and become none.
pub fn project(geometry: &Geometry, sheet: &Sheet) -> Shape {
    match geometry {
        Geometry::Points(points) => points.iter().map(|at| vec![vec![sheet.project(*at)]]).collect(),
        Geometry::Lines(_) => Vec::new(),
        Geometry::Areas(areas) => {
            let ring = |ring: &Vec<LonLat>| ring.iter().map(|at| sheet.project(*at)).collect();
            clean(&areas.iter().map(|rings| rings.iter().map(ring).collect()).collect())
        }
    }
}

/// The sheet of a geometry: that of the middle of its box.
pub fn sheet_of(geometry: &Geometry) -> Option<SheetId> {
    let mut corners = geometry.corners();
    let first = corners.next()?;
    let (mut low, mut high) = (first, first);
    for at in corners {
        low = LonLat { lon: low.lon.min(at.lon), lat: low.lat.min(at.lat) };
        high = LonLat { lon: high.lon.max(at.lon), lat: high.lat.max(at.lat) };
    }
    let middle = |a: i32, b: i32| ((i64::from(a) + i64::from(b)) / 2) as i32;
    Some(SheetId::of(LonLat { lon: middle(low.lon, high.lon), lat: middle(low.lat, high.lat) }))
}

/// Area of a geometry on the ellipsoid, m²; 0 for points and lines.
pub fn area_m2(geometry: &Geometry) -> f64 {
    match (geometry, sheet_of(geometry)) {
        (Geometry::Areas(_), Some(sheet)) => area(&project(geometry, &Sheet::new(sheet))),
        _ => 0.0,
    }
}

/// Where people start to walk: the centre of area, or the point itself.
pub fn start(geometry: &Geometry) -> Option<LonLat> {
    let first = geometry.corners().next()?;
    let Geometry::Areas(areas) = geometry else { return Some(first) };
    let xy = |at: &LonLat| -> Xy { offset(first, *at) };
    let shape: Shape =
        areas.iter().map(|rings| rings.iter().map(|ring| ring.iter().map(xy).collect()).collect()).collect();
    let [x, y] = centroid(&clean(&shape))?;
    let [east, north] = scale(first.degrees()[1]);
    Some(LonLat {
        lon: (f64::from(first.lon) + x / east).round() as i32,
        lat: (f64::from(first.lat) + y / north).round() as i32,
    })
}
