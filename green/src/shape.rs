//! Plane geometry in metres: rings, polygons, boxes, areas and distances.
//!
//! **Meaning.** A polygon is an outer ring and its holes; a shape is any number of polygons, which may touch but do not
//! overlap once [`clean`] has gone over them.
//!
//! **Mechanism.** Overlays are i_overlay's, on a grid of 2⁻³⁰ of the extent: about a thousandth of a millimetre here.
//!
//! **State.** None.

use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::float::single::SingleFloatOverlay;

/// Metres east and north.
pub type Xy = [f64; 2];
/// A ring, not closed: the last point is not the first again.
pub type Ring = Vec<Xy>;
/// An outer ring and its holes.
pub type Polygon = Vec<Ring>;
/// Polygons that together are one thing.
pub type Shape = Vec<Polygon>;

/// An axis-parallel box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// South-west corner.
    pub min: Xy,
    /// North-east corner.
    pub max: Xy,
}

impl Rect {
    /// The box around points; `None` around none.
    pub fn around(points: impl IntoIterator<Item = Xy>) -> Option<Self> {
        points.into_iter().fold(None, |rect: Option<Self>, [x, y]| {
            let Some(Rect { min, max }) = rect else { return Some(Rect { min: [x, y], max: [x, y] }) };
            Some(Rect { min: [min[0].min(x), min[1].min(y)], max: [max[0].max(x), max[1].max(y)] })
        })
    }

    /// The box around a shape.
    pub fn of(shape: &Shape) -> Option<Self> {
        Self::around(shape.iter().flatten().flatten().copied())
    }

    /// The box with `by` metres more on each side.
    pub fn grown(self, by: f64) -> Self {
        Rect { min: self.min.map(|c| c - by), max: self.max.map(|c| c + by) }
    }

    /// Whether two boxes have a point in common.
    pub fn meets(&self, other: &Self) -> bool {
        (0..2).all(|i| self.min[i] <= other.max[i] && other.min[i] <= self.max[i])
    }

    /// Shortest distance between two boxes, m.
    pub fn distance(&self, other: &Self) -> f64 {
        let gap = |i: usize| (self.min[i] - other.max[i]).max(other.min[i] - self.max[i]).max(0.0);
        gap(0).hypot(gap(1))
    }

    /// Its four corners, counter-clockwise.
    pub fn ring(&self) -> Ring {
        let ([w, s], [e, n]) = (self.min, self.max);
        vec![[w, s], [e, s], [e, n], [w, n]]
    }

    /// Its middle.
    pub fn middle(&self) -> Xy {
        [(self.min[0] + self.max[0]) / 2.0, (self.min[1] + self.max[1]) / 2.0]
    }

    /// The longer of its sides, m.
    pub fn side(&self) -> f64 {
        (self.max[0] - self.min[0]).max(self.max[1] - self.min[1])
    }
}

/// Signed area of a ring, m²: positive when it runs counter-clockwise.
pub fn ring_area(ring: &[Xy]) -> f64 {
    let Some(&[x0, y0]) = ring.first() else { return 0.0 };
    // Relative to a corner: the products stay small, and so does their rounding.
    let twice: f64 = (0..ring.len())
        .map(|i| {
            let (a, b) = (ring[i], ring[(i + 1) % ring.len()]);
            (a[0] - x0) * (b[1] - y0) - (b[0] - x0) * (a[1] - y0)
        })
        .sum();
    twice / 2.0
}

/// Area of a clean shape, m².
pub fn area(shape: &Shape) -> f64 {
    shape.iter().flatten().map(|ring| ring_area(ring)).sum::<f64>().max(0.0)
}

/// The shape with outer rings counter-clockwise, holes clockwise, and no ring that crosses itself or another: of each
/// polygon what an even-odd reader sees in it, and of several polygons each place once.
pub fn clean(polygons: &Shape) -> Shape {
    let nothing: Shape = Vec::new();
    let alone =
        |polygon: &Polygon| -> Shape { polygon.overlay(&nothing, OverlayRule::Subject, FillRule::EvenOdd) };
    match polygons.as_slice() {
        [only] => alone(only),
        several => {
            let parts: Vec<Shape> = several.iter().map(alone).collect();
            union(&parts.iter().collect::<Vec<_>>())
        }
    }
}

/// What is in any of the clean shapes, each place once.
pub fn union(shapes: &[&Shape]) -> Shape {
    let all: Shape = shapes.iter().flat_map(|shape| shape.iter().cloned()).collect();
    let nothing: Shape = Vec::new();
    all.overlay(&nothing, OverlayRule::Subject, FillRule::NonZero)
}

/// What is in both clean shapes.
pub fn intersection(a: &Shape, b: &Shape) -> Shape {
    a.overlay(b, OverlayRule::Intersect, FillRule::NonZero)
}

/// What is in the first clean shape and not in the second, which may overlap itself.
pub fn difference(a: &Shape, b: &Shape) -> Shape {
    a.overlay(b, OverlayRule::Difference, FillRule::NonZero)
}

/// Whether a point lies in a clean shape.
pub fn contains(shape: &Shape, [x, y]: Xy) -> bool {
    let mut inside = false;
    for ring in shape.iter().flatten() {
        for (a, b) in edges(ring) {
            if (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0] {
                inside = !inside;
            }
        }
    }
    inside
}

fn edges(ring: &[Xy]) -> impl Iterator<Item = (Xy, Xy)> {
    (0..ring.len()).map(|i| (ring[i], ring[(i + 1) % ring.len()]))
}

/// The place on the edge from `a` to `b` that is nearest to `p`, as a fraction of the way, and its distance, m.
pub fn nearest_on_edge(p: Xy, a: Xy, b: Xy) -> (f64, f64) {
    let (d, v) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length2 = d[0] * d[0] + d[1] * d[1];
    let t = if length2 > 0.0 { ((v[0] * d[0] + v[1] * d[1]) / length2).clamp(0.0, 1.0) } else { 0.0 };
    (t, (v[0] - t * d[0]).hypot(v[1] - t * d[1]))
}

fn crosses((a, b): (Xy, Xy), (c, d): (Xy, Xy)) -> bool {
    let side = |p: Xy, q: Xy, r: Xy| (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

/// Shortest distance between two shapes, m: 0 where they touch or overlap. A point is a shape of one ring of one point.
/// The search is given up, and `limit` returned, once it is clear that the distance is not below `limit`.
pub fn distance(a: &Shape, b: &Shape, limit: f64) -> f64 {
    let corner = |shape: &Shape| shape.iter().flatten().flatten().next().copied();
    let (Some(first_a), Some(first_b)) = (corner(a), corner(b)) else { return limit };
    if contains(b, first_a) || contains(a, first_b) {
        return 0.0;
    }
    let mut best = limit;
    for (p, q) in a.iter().flatten().flat_map(|ring| edges(ring)) {
        let edge = Rect { min: [p[0].min(q[0]), p[1].min(q[1])], max: [p[0].max(q[0]), p[1].max(q[1])] };
        for (r, s) in b.iter().flatten().flat_map(|ring| edges(ring)) {
            let other = Rect { min: [r[0].min(s[0]), r[1].min(s[1])], max: [r[0].max(s[0]), r[1].max(s[1])] };
            if edge.distance(&other) >= best {
                continue;
            }
            if crosses((p, q), (r, s)) {
                return 0.0;
            }
            for (_, m) in [
                nearest_on_edge(p, r, s),
                nearest_on_edge(q, r, s),
                nearest_on_edge(r, p, q),
                nearest_on_edge(s, p, q),
            ] {
                best = best.min(m);
            }
        }
    }
    best
}

/// The centre of area of a shape; the middle of its box when it has no area.
pub fn centroid(shape: &Shape) -> Option<Xy> {
    let rect = Rect::of(shape)?;
    let [x0, y0] = rect.min;
    let (mut sum, mut cx, mut cy) = (0.0, 0.0, 0.0);
    for (a, b) in shape.iter().flatten().flat_map(|ring| edges(ring)) {
        let (ax, ay, bx, by) = (a[0] - x0, a[1] - y0, b[0] - x0, b[1] - y0);
        let cross = ax * by - bx * ay;
        sum += cross;
        cx += (ax + bx) * cross;
        cy += (ay + by) * cross;
    }
    if sum.abs() < 1e-6 {
        return Some(rect.middle());
    }
    Some([x0 + cx / (3.0 * sum), y0 + cy / (3.0 * sum)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f64, y: f64, side: f64) -> Shape {
        vec![vec![Rect { min: [x, y], max: [x + side, y + side] }.ring()]]
    }

    #[test]
    fn overlays_count_a_place_once() {
        let (a, b) = (square(0.0, 0.0, 10.0), square(5.0, 0.0, 10.0));
        assert!((area(&union(&[&a, &b])) - 150.0).abs() < 1e-4);
        assert!((area(&intersection(&a, &b)) - 50.0).abs() < 1e-4);
        assert!((area(&difference(&a, &b)) - 50.0).abs() < 1e-4);
        // A bow tie is two triangles, whichever way its ring runs.
        let bow = clean(&vec![vec![vec![[0.0, 0.0], [10.0, 10.0], [10.0, 0.0], [0.0, 10.0]]]]);
        assert!((area(&bow) - 50.0).abs() < 1e-4);
        // Two polygons of one geometry that overlap are not a hole.
        let both: Shape = a.iter().chain(&b).cloned().collect();
        assert!((area(&clean(&both)) - 150.0).abs() < 1e-4);
    }

    #[test]
    fn distances_between_shapes() {
        let a = square(0.0, 0.0, 10.0);
        let far = f64::INFINITY;
        assert!((distance(&a, &square(13.0, 14.0, 5.0), far) - 5.0).abs() < 1e-12);
        assert_eq!(distance(&a, &square(2.0, 2.0, 1.0), far), 0.0);
        assert_eq!(distance(&square(2.0, 2.0, 1.0), &a, far), 0.0);
        let cross = vec![vec![vec![[-5.0, 4.0], [15.0, 4.0], [15.0, 6.0], [-5.0, 6.0]]]];
        assert_eq!(distance(&a, &cross, far), 0.0);
        let point = vec![vec![vec![[10.0, 13.0]]]];
        assert!((distance(&point, &a, far) - 3.0).abs() < 1e-12);
        assert_eq!(distance(&a, &square(13.0, 14.0, 5.0), 4.0), 4.0);
        // A hole is not inside.
        let ring = difference(&square(0.0, 0.0, 100.0), &square(10.0, 10.0, 80.0));
        assert!((distance(&square(40.0, 40.0, 20.0), &ring, far) - 30.0).abs() < 1e-4);
    }

    #[test]
    fn centroid_of_a_square_with_a_bite() {
        let shape = difference(&square(0.0, 0.0, 10.0), &square(5.0, 0.0, 5.0));
        let [x, y] = centroid(&shape).unwrap();
        assert!((x - 312.5 / 75.0).abs() < 1e-6 && (y - 437.5 / 75.0).abs() < 1e-6, "{x} {y}");
    }
}
