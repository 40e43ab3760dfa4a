//! The road network of city-5: a lattice of streets per district, every block a segment of its own.
//!
//! Segments are straight, about a hundred metres long and numbered; what a segment's length is follows from its rounded
//! coordinates, by the same formula as everywhere ([`length_mm`]).

use super::{EARTH_M, Mix};

/// Length of a block, m.
const BLOCK_M: f64 = 100.0;
/// The south-western corner of the city, degrees.
const ORIGIN: (f64, f64) = (109.45, 36.55);
/// Coordinates have this many units a degree.
pub const UNITS: f64 = 1e7;

/// A straight piece of road between two nodes.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Its district.
    pub district: u32,
    /// Its ends, as nodes.
    pub ends: [u32; 2],
}

/// All segments, and how they hang together.
#[derive(Debug)]
pub struct Network {
    /// Longitude and latitude of each node in 10⁻⁷ degrees.
    pub nodes: Vec<(i64, i64)>,
    /// The segments, district by district.
    pub segments: Vec<Segment>,
    /// The segments at each node.
    pub at: Vec<Vec<u32>>,
    /// The first segment of each district, and one past the last.
    pub of_district: Vec<(u32, u32)>,
}

/// Metres per 10⁻⁷ degree of latitude.
pub fn metres_per_unit() -> f64 {
    EARTH_M * std::f64::consts::PI / 180.0 / UNITS
}

/// Length of the straight line between two places in 10⁻⁷ degrees, mm, on the flat map at their mean latitude.
pub fn length_mm((lon_a, lat_a): (i64, i64), (lon_b, lat_b): (i64, i64)) -> i64 {
    let k = metres_per_unit();
    let middle = ((lat_a + lat_b) as f64 / 2.0 / UNITS).to_radians();
    let (x, y) = ((lon_b - lon_a) as f64 * middle.cos() * k, (lat_b - lat_a) as f64 * k);
    (x.hypot(y) * 1000.0).round() as i64
}

impl Network {
    /// The network of a workload.
    pub fn build(mix: &Mix) -> Self {
        let mut network = Self { nodes: vec![], segments: vec![], at: vec![], of_district: vec![] };
        let (all, districts) = (mix.scaled(mix.segments), mix.districts);
        for district in 0..districts {
            let wanted = all / districts + u32::from(district < all % districts);
            network.lattice(district, wanted);
        }
        network
    }

    /// Adds the first `wanted` blocks of the smallest square lattice that has as many.
    fn lattice(&mut self, district: u32, wanted: u32) {
        let side = (2..).find(|n: &u32| 2 * n * (n - 1) >= wanted).unwrap_or(2);
        let first = self.nodes.len() as u32;
        let north = 1.0 / metres_per_unit();
        // Districts lie beside each other in rows of four, two blocks apart.
        let room = f64::from(side + 2) * BLOCK_M;
        let (west, south) = (f64::from(district % 4) * room, f64::from(district / 4) * room);
        for row in 0..side {
            for column in 0..side {
                let y = south + f64::from(row) * BLOCK_M;
                // Streets are not quite straight, so that blocks differ in length.
                let x = west + f64::from(column) * BLOCK_M + f64::from(row * 7 % 13);
                let lat = ORIGIN.1 * UNITS + y * north;
                let lon = ORIGIN.0 * UNITS + x * north / ORIGIN.1.to_radians().cos();
                self.nodes.push((lon.round() as i64, lat.round() as i64));
                self.at.push(Vec::new());
            }
        }
        let start = self.segments.len() as u32;
        let blocks = (0..side * side).flat_map(|node| {
            let east = (node % side + 1 < side).then_some([node, node + 1]);
            let north = (node / side + 1 < side).then_some([node, node + side]);
            [east, north].into_iter().flatten()
        });
        for [from, to] in blocks.take(wanted as usize) {
            let ends = [first + from, first + to];
            let segment = self.segments.len() as u32;
            self.segments.push(Segment { district, ends });
            for node in ends {
                self.at[node as usize].push(segment);
            }
        }
        self.of_district.push((start, self.segments.len() as u32));
    }

    /// The ends of a segment, 10⁻⁷ degrees.
    pub fn line(&self, segment: u32) -> [(i64, i64); 2] {
        self.segments[segment as usize].ends.map(|node| self.nodes[node as usize])
    }

    /// Length of a segment, mm.
    pub fn length_mm(&self, segment: u32) -> i64 {
        let [a, b] = self.line(segment);
        length_mm(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::{Mix, Network, length_mm};

    #[test]
    fn it_has_as_many_segments_as_asked_for_and_each_is_about_a_block() {
        for keys in [0.05, 1.0, 2.0] {
            let mix = Mix { keys, ..Mix::default() };
            let network = Network::build(&mix);
            assert_eq!(network.segments.len() as u32, mix.scaled(mix.segments));
            assert_eq!(network.of_district.len(), 13);
            for segment in 0..network.segments.len() as u32 {
                let length = network.length_mm(segment);
                assert!((90_000..125_000).contains(&length), "{length}");
            }
        }
    }

    #[test]
    fn a_thousandth_of_a_degree_north_is_111_m() {
        assert_eq!(length_mm((0, 365_000_000), (0, 365_010_000)), 111_195);
        assert_eq!(length_mm((0, 0), (10_000, 0)), 111_195);
    }
}
