//! The buffer of a park: every place within a straight distance of it.
//!
//! **Meaning.** The buffer holds the park and what lies within `radius` metres of its boundary.
//!
//! **Mechanism.** The outline of a clean shape is i_overlay's, with arcs of 200 chords to the circle: the greatest
//! distance between chord and arc is 6 cm for 500 m, and 0.016 % of a circle's area. A point becomes a circle of the same
//! number of chords.
//!
//! **State.** None.

use i_overlay::mesh::outline::offset::OutlineOffset;
use i_overlay::mesh::style::{LineJoin, OutlineStyle};

use crate::shape::{Shape, Xy, area};

/// Chords of a whole circle.
pub const CHORDS: u32 = 200;
/// A shape of less area than this, m², is taken as a point.
const LEAST_AREA_M2: f64 = 1e-3;

/// The places within `radius` metres of a clean shape.
pub fn buffer(shape: &Shape, radius: f64) -> Shape {
    if area(shape) < LEAST_AREA_M2 {
        return shape
            .first()
            .and_then(|polygon| polygon.first()?.first())
            .map_or_else(Vec::new, |at| vec![vec![circle(*at, radius)]]);
    }
    let angle = std::f64::consts::TAU / f64::from(CHORDS);
    shape.outline(&OutlineStyle::new(radius).line_join(LineJoin::Round(angle)))
}

fn circle([x, y]: Xy, radius: f64) -> Vec<Xy> {
    (0..CHORDS)
        .map(|n| {
            let (sin, cos) = (std::f64::consts::TAU * f64::from(n) / f64::from(CHORDS)).sin_cos();
            [x + radius * cos, y + radius * sin]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shape::{clean, contains, distance};

    /// A star of any depth: concave, with narrow bays and spikes.
    fn star() -> impl Strategy<Value = Shape> {
        proptest::collection::vec(5.0..200.0f64, 3..24).prop_map(|radii| {
            let n = radii.len() as f64;
            let ring = (0u32..)
                .zip(&radii)
                .map(|(i, r)| {
                    let (sin, cos) = (std::f64::consts::TAU * f64::from(i) / n).sin_cos();
                    [1000.0 + r * cos, 500.0 + r * sin]
                })
                .collect();
            clean(&vec![vec![ring]])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// What is inside is what is near, up to the depth of a chord.
        #[test]
        fn it_holds_what_is_near(shape in star(), radius in 20.0..600.0f64,
            probes in proptest::collection::vec((0.0..2000.0f64, -500.0..1500.0f64), 40)) {
            let around = buffer(&shape, radius);
            for (x, y) in probes {
                let d = distance(&vec![vec![vec![[x, y]]]], &shape, f64::INFINITY);
                if (d - radius).abs() > 0.1 {
                    prop_assert_eq!(contains(&around, [x, y]), d < radius, "{} of {}", d, radius);
                }
            }
        }
    }

    #[test]
    fn a_square_grows_by_what_geometry_says() {
        let square = clean(&vec![vec![vec![[0.0, 0.0], [0.0, 100.0], [100.0, 100.0], [100.0, 0.0]]]]);
        let exact = 100.0 * 100.0 + 4.0 * 100.0 * 500.0 + std::f64::consts::PI * 500.0 * 500.0;
        assert!((area(&buffer(&square, 500.0)) / exact - 1.0).abs() < 3e-4);
        let point = vec![vec![vec![[7.0, 7.0]]]];
        assert!((area(&buffer(&point, 500.0)) / (std::f64::consts::PI * 250_000.0) - 1.0).abs() < 3e-4);
    }
}
