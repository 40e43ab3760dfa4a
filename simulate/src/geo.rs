//! A flat map around a point: metres east and north of it, good to a part in a thousand within a city.
//!
//! Pure functions; no state.

/// Mean radius of the Earth, m.
pub(crate) const EARTH_M: f64 = 6_371_008.8;

/// Metres east (x) and north (y) of the origin of a [`Plane`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Xy {
    pub x: f64,
    pub y: f64,
}

impl Xy {
    pub(crate) fn new(x: f64, y: f64) -> Self {
        Xy { x, y }
    }

    /// The point `distance_m` away in the direction `bearing` (radians clockwise from north).
    pub(crate) fn toward(self, bearing: f64, distance_m: f64) -> Self {
        Xy { x: self.x + bearing.sin() * distance_m, y: self.y + bearing.cos() * distance_m }
    }

    pub(crate) fn distance(self, other: Xy) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// The bearing from here to `other`, degrees clockwise from north, 0..360.
    pub(crate) fn bearing_deg(self, other: Xy) -> f64 {
        (other.x - self.x).atan2(other.y - self.y).to_degrees().rem_euclid(360.0)
    }

    /// The point a share `t` of the way to `other`.
    pub(crate) fn lerp(self, other: Xy, t: f64) -> Self {
        Xy { x: self.x + (other.x - self.x) * t, y: self.y + (other.y - self.y) * t }
    }
}

/// A flat map around an origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane {
    lon: f64,
    lat: f64,
    degrees_per_m_east: f64,
    degrees_per_m_north: f64,
}

impl Plane {
    pub(crate) fn around([lon, lat]: [f64; 2]) -> Self {
        let north = (1.0 / EARTH_M).to_degrees();
        Plane { lon, lat, degrees_per_m_east: north / lat.to_radians().cos(), degrees_per_m_north: north }
    }

    /// Longitude and latitude, degrees.
    pub(crate) fn lon_lat(&self, p: Xy) -> [f64; 2] {
        [self.lon + p.x * self.degrees_per_m_east, self.lat + p.y * self.degrees_per_m_north]
    }

    /// Longitude and latitude rounded to 10⁻⁶ degrees (about 10 cm), as reference records carry them.
    pub(crate) fn rounded(&self, p: Xy) -> [f64; 2] {
        self.lon_lat(p).map(|degrees| (degrees * 1e6).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilometre_is_a_kilometre() {
        let plane = Plane::around([109.48, 36.59]);
        let [lon, lat] = plane.lon_lat(Xy::new(1000.0, 1000.0));
        // 1° lat = 111.195 km on the sphere; 1° lon = that × cos(36.59°).
        assert!((lat - 36.59 - 1.0 / 111.195).abs() < 1e-6);
        assert!((lon - 109.48 - 1.0 / (111.195 * 36.59f64.to_radians().cos())).abs() < 1e-6);
        assert!((Xy::new(0.0, 0.0).bearing_deg(Xy::new(1.0, 0.0)) - 90.0).abs() < 1e-9);
    }
}
