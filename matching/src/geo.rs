//! Distances and directions on a small part of the earth, from integers of 10⁻⁷ degrees.
//!
//! Within a few kilometres the ellipsoid WGS-84 is flat enough that a degree of latitude and of longitude have a
//! length of their own; the series used are those of the U.S. National Geospatial-Intelligence Agency, right to a
//! centimetre in a degree. Nothing is kept.

/// A place: longitude and latitude in 10⁻⁷ degrees.
pub type Place = (i32, i32);

/// Millimetres per 10⁻⁷ degree at a latitude, east and north.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    east: f64,
    north: f64,
}

impl Scale {
    /// The scale at a latitude in 10⁻⁷ degrees.
    pub fn at(lat: i32) -> Self {
        let phi = (f64::from(lat) * 1e-7).to_radians();
        let (c1, c2) = (phi.cos(), (2.0 * phi).cos());
        // Multiple angles from the first: cos 3φ, cos 4φ, cos 5φ.
        let c3 = 4.0 * c1 * c1 * c1 - 3.0 * c1;
        let c4 = 2.0 * c2 * c2 - 1.0;
        let c5 = 2.0 * c2 * c3 - c1;
        let north = 111_132.954 - 559.822 * c2 + 1.175 * c4;
        let east = 111_412.84 * c1 - 93.5 * c3 + 0.118 * c5;
        // m per degree to mm per 10⁻⁷ degree.
        Self { east: east * 1e-4, north: north * 1e-4 }
    }

    /// East and north of `to` as seen from `from`, mm.
    pub fn vector(&self, from: Place, to: Place) -> (f64, f64) {
        let d = |a: i32, b: i32| (i64::from(b) - i64::from(a)) as f64;
        (d(from.0, to.0) * self.east, d(from.1, to.1) * self.north)
    }

    /// The box around `at` that holds every place within `radius_mm`, as low and high corner in 10⁻⁷ degrees.
    pub fn around(&self, at: Place, radius_mm: i64) -> ([f64; 2], [f64; 2]) {
        let (dx, dy) = (radius_mm as f64 / self.east.max(1e-6), radius_mm as f64 / self.north);
        let (x, y) = (f64::from(at.0), f64::from(at.1));
        ([x - dx, y - dy], [x + dx, y + dy])
    }
}

/// Distance between two places, mm.
pub fn distance_mm(a: Place, b: Place) -> i64 {
    let middle = (i64::from(a.1) + i64::from(b.1)) / 2;
    let (x, y) = Scale::at(middle as i32).vector(a, b);
    x.hypot(y).round() as i64
}

/// Direction from one place to another, degrees clockwise from north, `[0, 360)`.
pub fn bearing(a: Place, b: Place) -> f32 {
    let (x, y) = Scale::at(((i64::from(a.1) + i64::from(b.1)) / 2) as i32).vector(a, b);
    (x.atan2(y).to_degrees().rem_euclid(360.0)) as f32
}

/// The place on the line from `a` to `b` that is nearest to `at`: its share of the way, and its distance, mm. The
/// share is 0 or 1 exactly when an end is nearest.
pub fn project(scale: &Scale, at: Place, a: Place, b: Place) -> (f64, i64) {
    let (ax, ay) = scale.vector(at, a);
    let (bx, by) = scale.vector(at, b);
    let (dx, dy) = (bx - ax, by - ay);
    let square = dx * dx + dy * dy;
    let share = if square > 0.0 { (-(ax * dx + ay * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
    let (x, y) = (ax + share * dx, ay + share * dy);
    (share, x.hypot(y).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::{Scale, bearing, distance_mm, project};

    /// The domain tables: at 36.6° N a degree of latitude is 110.970 km, one of longitude 89.476 km.
    #[test]
    fn degrees_have_the_lengths_of_the_tables() {
        let km = |a, b| distance_mm(a, b) as f64 * 1e-6;
        assert!((km((0, 361_000_000), (0, 371_000_000)) - 110.970).abs() < 0.005);
        assert!((km((0, 366_000_000), (10_000_000, 366_000_000)) - 89.476).abs() < 0.005);
    }

    #[test]
    fn the_nearest_place_is_between_the_ends_or_one_of_them() {
        let (a, b) = ((1_094_900_000, 365_900_000), (1_094_910_000, 365_900_000));
        let scale = Scale::at(a.1);
        let (share, d) = project(&scale, (1_094_905_000, 365_901_000), a, b);
        assert!((share - 0.5).abs() < 1e-9 && (d - 11_097).abs() < 5, "{share} {d}");
        assert_eq!(project(&scale, (1_094_890_000, 365_900_000), a, b).0, 0.0);
        assert_eq!(project(&scale, (1_094_920_000, 365_900_000), a, b).0, 1.0);
        assert!((bearing(a, b) - 90.0).abs() < 0.01 && (bearing(b, a) - 270.0).abs() < 0.01);
    }
}
