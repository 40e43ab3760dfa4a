//! From degrees to metres: equal-area sheets for areas and straight distances, and the length of a short edge.
//!
//! **Meaning.** Every place belongs to a [`Sheet`] of two by two degrees. A sheet is a Lambert azimuthal equal-area
//! projection of the ellipsoid (Snyder, *Map Projections*, USGS 1395, eqs. 24-17 to 24-26 and 3-12) around its own
//! centre. Areas are those of the ellipsoid in every sheet, so the areas of a whole city add up, wherever it lies: there
//! is no seam at 109.5° E, where two 3° zones meet, and no centre that a setting could get wrong. Distances within a
//! sheet are true to 10⁻⁴ (radial scale cos ½c and its inverse, c ≤ 0.025 rad), which is 5 cm in 500 m.
//!
//! **Mechanism.** A residence is computed wholly in its own sheet, with the parks around it projected into that same
//! sheet; so nothing is cut where sheets meet.
//!
//! **State.** None.

use model::reference::LonLat;
use model::rows::DEGREE;

use crate::shape::Xy;

/// Semi-major axis of the WGS-84 ellipsoid, m.
const A: f64 = 6_378_137.0;
/// Square of its first eccentricity.
const E2: f64 = 0.006_694_379_990_141_317;
/// Side of a sheet, degrees.
const SHEET_DEG: f64 = 2.0;
/// Sheets are not centred nearer to a pole than this, degrees of latitude.
const POLAR_DEG: f64 = 88.0;
/// A park farther than this from the centre of a sheet, degrees of latitude or longitude, is not seen in it.
pub const REACH_DEG: f64 = 5.0;

/// Degrees of a coordinate in 10⁻⁷ degrees.
fn degrees(tenths: i32) -> f64 {
    f64::from(tenths) / DEGREE
}

/// Which sheet: the centre in degrees over two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SheetId {
    lon: i16,
    lat: i16,
}

impl SheetId {
    /// The sheet of a place.
    pub fn of(at: LonLat) -> Self {
        let step = |tenths: i32| (degrees(tenths) / SHEET_DEG).round() as i16;
        Self { lon: step(at.lon), lat: step(at.lat) }
    }

    /// Whether a place lies near enough to be seen in this sheet.
    pub fn reaches(self, at: LonLat) -> bool {
        let (lon, lat) = (f64::from(self.lon) * SHEET_DEG, f64::from(self.lat) * SHEET_DEG);
        (degrees(at.lon) - lon).abs() <= REACH_DEG && (degrees(at.lat) - lat).abs() <= REACH_DEG
    }
}

/// An equal-area projection around one centre.
#[derive(Clone, Debug)]
pub struct Sheet {
    lon0: f64,
    sin_beta1: f64,
    cos_beta1: f64,
    qp: f64,
    rq: f64,
    d: f64,
}

/// Snyder's q, eq. 3-12: what the area between the equator and a latitude is proportional to.
fn q(sin_phi: f64) -> f64 {
    let e = E2.sqrt();
    let es = e * sin_phi;
    (1.0 - E2) * (sin_phi / (1.0 - es * es) - ((1.0 - es) / (1.0 + es)).ln() / (2.0 * e))
}

impl Sheet {
    /// The projection of a sheet.
    pub fn new(id: SheetId) -> Self {
        let lat = (f64::from(id.lat) * SHEET_DEG).clamp(-POLAR_DEG, POLAR_DEG).to_radians();
        let qp = q(1.0);
        let sin_beta1 = q(lat.sin()) / qp;
        let cos_beta1 = (1.0 - sin_beta1 * sin_beta1).sqrt();
        let rq = A * (qp / 2.0).sqrt();
        let m1 = lat.cos() / (1.0 - E2 * lat.sin().powi(2)).sqrt();
        let d = A * m1 / (rq * cos_beta1);
        Self { lon0: (f64::from(id.lon) * SHEET_DEG).to_radians(), sin_beta1, cos_beta1, qp, rq, d }
    }

    /// Metres east and north of the centre.
    pub fn project(&self, at: LonLat) -> Xy {
        let sin_beta = (q(degrees(at.lat).to_radians().sin()) / self.qp).clamp(-1.0, 1.0);
        let cos_beta = (1.0 - sin_beta * sin_beta).sqrt();
        let (sin_l, cos_l) = (degrees(at.lon).to_radians() - self.lon0).sin_cos();
        let cos_c = self.sin_beta1 * sin_beta + self.cos_beta1 * cos_beta * cos_l;
        let b = self.rq * (2.0 / (1.0 + cos_c)).sqrt();
        [
            b * self.d * cos_beta * sin_l,
            b / self.d * (self.cos_beta1 * sin_beta - self.sin_beta1 * cos_beta * cos_l),
        ]
    }
}

/// Metres per 10⁻⁷ degrees east and north at a latitude.
pub fn scale(lat: f64) -> Xy {
    let (sin, cos) = lat.to_radians().sin_cos();
    let w2 = 1.0 - E2 * sin * sin;
    let unit = std::f64::consts::PI / 180.0 / DEGREE;
    [A * cos / w2.sqrt() * unit, A * (1.0 - E2) / (w2 * w2.sqrt()) * unit]
}

/// Metres east and north from `from` to `to`, true to a millimetre over a kilometre.
pub fn offset(from: LonLat, to: LonLat) -> Xy {
    let [east, north] = scale((degrees(from.lat) + degrees(to.lat)) / 2.0);
    let difference = |a: i32, b: i32| f64::from(b) - f64::from(a);
    [difference(from.lon, to.lon) * east, difference(from.lat, to.lat) * north]
}

/// Length of an edge, mm; at least 1, so that a way is never free.
pub fn length_mm(from: LonLat, to: LonLat) -> u32 {
    let [x, y] = offset(from, to);
    (x.hypot(y) * 1000.0).round().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lon: f64, lat: f64) -> LonLat {
        LonLat { lon: (lon * DEGREE).round() as i32, lat: (lat * DEGREE).round() as i32 }
    }

    /// The area of a quadrangle of meridians and parallels on the ellipsoid is known in closed form.
    fn quadrangle(west: f64, east: f64, south: f64, north: f64) -> f64 {
        let q = |lat: f64| q(lat.to_radians().sin());
        A * A / 2.0 * (east - west).to_radians() * (q(north) - q(south))
    }

    #[test]
    fn areas_are_those_of_the_ellipsoid_in_every_sheet() {
        for (lon, lat) in
            [(109.49, 36.59), (108.18, 36.93), (109.0, 37.0), (110.49, 35.36), (-97.7, 30.3), (24.9, 60.2)]
        {
            let side = 0.01;
            let corners = 100;
            let mut ring = Vec::new();
            // Parallels are curves in the projection: many points on each side.
            for side_of in 0..4 {
                for n in 0..corners {
                    let t = side * f64::from(n) / f64::from(corners);
                    let (x, y) = [(t, 0.0), (side, t), (side - t, side), (0.0, side - t)][side_of];
                    ring.push(at(lon + x, lat + y));
                }
            }
            for id in [SheetId::of(at(lon, lat)), SheetId::of(at(lon + 2.0, lat - 2.0))] {
                let sheet = Sheet::new(id);
                let area: Vec<Xy> = ring.iter().map(|p| sheet.project(*p)).collect();
                let (area, exact) =
                    (crate::shape::ring_area(&area), quadrangle(lon, lon + side, lat, lat + side));
                assert!((area / exact - 1.0).abs() < 1e-6, "{lon} {lat}: {area} for {exact}");
            }
        }
    }

    #[test]
    fn distances_within_a_sheet_agree_with_the_ellipsoid() {
        for (lon, lat) in [(109.49, 36.59), (107.7, 35.4), (110.5, 37.5), (-97.7, 30.3)] {
            let (a, b) = (at(lon, lat), at(lon + 0.004, lat + 0.003));
            let sheet = Sheet::new(SheetId::of(a));
            let ([ax, ay], [bx, by]) = (sheet.project(a), sheet.project(b));
            let (projected, edge) = ((bx - ax).hypot(by - ay), f64::from(length_mm(a, b)) / 1000.0);
            assert!((projected / edge - 1.0).abs() < 1e-4, "{projected} for {edge}");
        }
        // Scale at 36.6° N, from the domain's own table: 1° of latitude 110.970 km, 1° of longitude 89.476 km.
        let [east, north] = scale(36.6);
        assert!((north * DEGREE - 110_970.0).abs() < 15.0 && (east * DEGREE - 89_476.0).abs() < 15.0);
    }
}
