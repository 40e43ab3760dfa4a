//! Places in reference records: points, lines and areas in 10⁻⁷ degrees.
//!
//! **Meaning.** A [`Geometry`] is what the GeoJSON of a record says, in WGS-84, to about a centimetre.
//!
//! **Mechanism.** Read once, at the edge; rings are kept without their repeated last point.
//!
//! **State.** Eight bytes a corner.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::rows::DEGREE;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LonLat {
    /// 10⁻⁷ degrees east.
    pub lon: i32,
    /// 10⁻⁷ degrees north.
    pub lat: i32,
}

impl LonLat {
    /// The place of a GeoJSON position, if it is one on earth.
    pub fn read(position: &Json) -> Option<Self> {
        let degrees = |i: usize, limit: f64| {
            let degrees = position.get(i)?.as_f64()?;
            (degrees.abs() <= limit).then(|| (degrees * DEGREE).round() as i32)
        };
        Some(Self { lon: degrees(0, 180.0)?, lat: degrees(1, 90.0)? })
    }

    /// Degrees east and north.
    pub fn degrees(self) -> [f64; 2] {
        [self.lon, self.lat].map(|tenths| f64::from(tenths) / DEGREE)
    }
}

/// A ring without its repeated last point.
pub type LonLatRing = Vec<LonLat>;

/// A geometry of one dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Geometry {
    /// `Point`; of a `MultiPoint` all.
    Points(Vec<LonLat>),
    /// `LineString`, `MultiLineString`.
    Lines(Vec<Vec<LonLat>>),
    /// `Polygon`, `MultiPolygon`: each an outer ring and its holes.
    Areas(Vec<Vec<LonLatRing>>),
}

impl Geometry {
    /// Reads GeoJSON.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(geometry: &Json) -> Result<Self, String> {
        let name = geometry.get("type").and_then(Json::as_str).unwrap_or("");
        let coordinates = geometry.get("coordinates").unwrap_or(&Json::Null);
        let wrong = || format!("invalid_geometry: the coordinates of a {name} are not as RFC 7946 has them");
        let point = |json: &Json| LonLat::read(json).ok_or_else(wrong);
        let list = |json: &Json| json.as_array().filter(|list| !list.is_empty()).cloned().ok_or_else(wrong);
        let line = |json: &Json| -> Result<Vec<LonLat>, String> {
            let line: Vec<LonLat> = list(json)?.iter().map(point).collect::<Result<_, _>>()?;
            if line.len() < 2 { Err(wrong()) } else { Ok(line) }
        };
        let ring = |json: &Json| {
            let mut ring = line(json)?;
            if ring.first() == ring.last() {
                ring.pop();
            }
            if ring.len() < 3 { Err(wrong()) } else { Ok(ring) }
        };
        let area = |json: &Json| list(json)?.iter().map(ring).collect::<Result<Vec<_>, _>>();
        Ok(match name {
            "Point" => Self::Points(vec![point(coordinates)?]),
            "MultiPoint" => Self::Points(list(coordinates)?.iter().map(point).collect::<Result<_, _>>()?),
            "LineString" => Self::Lines(vec![line(coordinates)?]),
            "MultiLineString" => Self::Lines(list(coordinates)?.iter().map(line).collect::<Result<_, _>>()?),
            "Polygon" => Self::Areas(vec![area(coordinates)?]),
            "MultiPolygon" => Self::Areas(list(coordinates)?.iter().map(area).collect::<Result<_, _>>()?),
            _ => return Err(format!("invalid_geometry: the type is `{name}`, expected one of RFC 7946")),
        })
    }

    /// All its corners.
    pub fn corners(&self) -> impl Iterator<Item = LonLat> {
        let parts: Vec<&[LonLat]> = match self {
            Self::Points(points) => vec![points],
            Self::Lines(lines) => lines.iter().map(Vec::as_slice).collect(),
            Self::Areas(areas) => areas.iter().flatten().map(Vec::as_slice).collect(),
        };
        parts.into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn geojson_is_read_as_the_standard_has_it() {
        let ring = json!([[109.0, 36.0], [109.1, 36.0], [109.1, 36.1], [109.0, 36.0]]);
        let Ok(Geometry::Areas(areas)) = Geometry::read(&json!({"type": "Polygon", "coordinates": [ring]}))
        else {
            panic!("a polygon")
        };
        assert_eq!(areas[0][0].len(), 3);
        assert_eq!(areas[0][0][1], LonLat { lon: 1_091_000_000, lat: 360_000_000 });
        for bad in [
            json!({"type": "Polygon", "coordinates": [[[109.0, 36.0], [109.1, 36.0]]]}),
            json!({"type": "LineString", "coordinates": [[109.0, 36.0]]}),
            json!({"type": "Point", "coordinates": [[109.0, 36.0]]}),
            json!({"type": "Point", "coordinates": [200.0, 36.0]}),
            json!({"type": "Circle", "coordinates": [109.0, 36.0]}),
            json!(7),
        ] {
            assert!(Geometry::read(&bad).is_err(), "{bad}");
        }
    }
}
