//! Places and fixes, and distances between them.
//!
//! Coordinates are integers of 10⁻⁷ degrees (WGS-84), so that equal places are equal bits and questions of side and
//! crossing are answered exactly. Distances between neighbouring fixes are on the plane that touches the sphere half
//! way between them; against the great circle the error is below 10⁻⁵ for 100 km.

use serde::{Deserialize, Serialize};

/// Mean radius of the earth, m (IUGG).
pub const EARTH_M: f64 = 6_371_008.8;

/// 10⁻⁷ degrees of latitude in m.
pub const TENTH_M: f64 = EARTH_M * std::f64::consts::PI / 180.0 * 1e-7;

/// A place in 10⁻⁷ degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Longitude.
    pub lon: i32,
    /// Latitude.
    pub lat: i32,
}

impl Place {
    /// The place at these 10⁻⁷ degrees.
    pub const fn new(lon: i32, lat: i32) -> Self {
        Self { lon, lat }
    }
}

/// How many m 10⁻⁷ degrees of longitude are at this latitude (in 10⁻⁷ degrees).
pub fn lon_m(lat: f64) -> f64 {
    TENTH_M * (lat * 1e-7).to_radians().cos()
}

/// Distance between two places, m.
pub fn distance_m(a: Place, b: Place) -> f64 {
    let lat = (f64::from(a.lat) + f64::from(b.lat)) / 2.0;
    let x = (f64::from(b.lon) - f64::from(a.lon)) * lon_m(lat);
    let y = (f64::from(b.lat) - f64::from(a.lat)) * TENTH_M;
    x.hypot(y)
}

/// Distance between two places, whole mm: what is added up.
pub fn distance_mm(a: Place, b: Place) -> i64 {
    (distance_m(a, b) * 1000.0).round() as i64
}

/// One plausible fix of a vehicle.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Fix {
    /// Event time, Unix ms.
    pub ts: i64,
    /// Where.
    pub at: Place,
    /// Speed as the device reports it, km/h.
    pub speed: Option<f32>,
    /// Whether brush, pump or nozzle is on.
    pub working: Option<bool>,
}

impl PartialEq for Fix {
    fn eq(&self, other: &Self) -> bool {
        let bits = |fix: &Fix| (fix.ts, fix.at, fix.speed.map(f32::to_bits), fix.working);
        bits(self) == bits(other)
    }
}

impl Eq for Fix {}

#[cfg(test)]
mod tests {
    use super::{Place, distance_m, distance_mm};

    #[test]
    fn distances_are_those_of_the_sphere() {
        // rules.md 6.3: at 36.6° N a degree of longitude is 89.476 km on the ellipsoid, 89.27 km on the sphere.
        let (a, b) = (Place::new(1_094_900_000, 366_000_000), Place::new(1_095_000_000, 366_000_000));
        assert!((distance_m(a, b) - 892.7).abs() < 0.1, "{}", distance_m(a, b));
        let c = Place::new(1_094_900_000, 366_100_000);
        assert!((distance_m(a, c) - 1111.95).abs() < 0.01);
        assert_eq!(distance_mm(a, a), 0);
    }
}
