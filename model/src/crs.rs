//! Reference systems of coordinates. Those of map vendors become WGS-84 at the edge (`ingest`) and nowhere else.
//!
//! GCJ-02 (AMap, Tencent and other legal web maps) shifts positions within China by 100–700 m, non-linearly; BD-09
//! (Baidu) shifts GCJ-02 once more. Both have a public formula one way; the inverse is found by iteration. Outside
//! China's box nothing is shifted. CGCS2000 equals WGS-84 to within a decimetre and is taken as it is.
//! Source: the constants of eviltransform and its ports. The vendors' own services differ from them by up to 0.7 m.

/// What a record's coordinates are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crs {
    /// WGS-84, also CGCS2000.
    #[default]
    Wgs84,
    /// GCJ-02.
    Gcj02,
    /// BD-09.
    Bd09,
}

impl Crs {
    /// The reference system called `name` in a record.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "wgs84" | "cgcs2000" => Some(Self::Wgs84),
            "gcj02" => Some(Self::Gcj02),
            "bd09" => Some(Self::Bd09),
            _ => None,
        }
    }

    /// Longitude and latitude in WGS-84 of a place given in this system, degrees.
    pub fn to_wgs84(self, lon: f64, lat: f64) -> (f64, f64) {
        match self {
            Self::Wgs84 => (lon, lat),
            Self::Gcj02 => gcj02_to_wgs84(lon, lat),
            Self::Bd09 => {
                let (lon, lat) = bd09_to_gcj02(lon, lat);
                gcj02_to_wgs84(lon, lat)
            }
        }
    }
}

/// Semi-major axis of the Krasovsky ellipsoid, m.
const A: f64 = 6_378_245.0;
/// Its squared eccentricity.
const EE: f64 = 0.006_693_421_622_965_943;
/// Iterations stop below this, degrees: about a millimetre.
const PRECISION: f64 = 1e-8;
/// More than the iteration ever needs; it gains three digits a round.
const ROUNDS: usize = 30;

/// Whether a place lies in the box within which map vendors shift, degrees.
pub fn in_china(lon: f64, lat: f64) -> bool {
    (72.004..=137.8347).contains(&lon) && (0.8293..=55.8271).contains(&lat)
}

/// GCJ-02 of a place in WGS-84, degrees.
pub fn wgs84_to_gcj02(lon: f64, lat: f64) -> (f64, f64) {
    if in_china(lon, lat) { shifted(lon, lat) } else { (lon, lat) }
}

/// The formula itself, which knows no border.
fn shifted(lon: f64, lat: f64) -> (f64, f64) {
    use std::f64::consts::PI;
    let (x, y) = (lon - 105.0, lat - 35.0);
    let wave = |v: f64, a: f64, b: f64| a * (v * b).sin();
    let common = (wave(x * PI, 20.0, 6.0) + wave(x * PI, 20.0, 2.0)) * 2.0 / 3.0;
    let lat_waves = (wave(y * PI, 20.0, 1.0) + wave(y * PI, 40.0, 1.0 / 3.0)) * 2.0 / 3.0;
    let lat_long_waves = (wave(y * PI, 160.0, 1.0 / 12.0) + wave(y * PI, 320.0, 1.0 / 30.0)) * 2.0 / 3.0;
    let d_lat = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * x.abs().sqrt();
    let d_lat = d_lat + common + lat_waves + lat_long_waves;
    let lon_waves = (wave(x * PI, 20.0, 1.0) + wave(x * PI, 40.0, 1.0 / 3.0)) * 2.0 / 3.0;
    let lon_long_waves = (wave(x * PI, 150.0, 1.0 / 12.0) + wave(x * PI, 300.0, 1.0 / 30.0)) * 2.0 / 3.0;
    let d_lon = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * x.abs().sqrt();
    let d_lon = d_lon + common + lon_waves + lon_long_waves;
    let radians = lat.to_radians();
    let magic = 1.0 - EE * radians.sin().powi(2);
    let d_lat = d_lat * 180.0 / (A * (1.0 - EE) / (magic * magic.sqrt()) * PI);
    let d_lon = d_lon * 180.0 / (A / magic.sqrt() * radians.cos() * PI);
    (lon + d_lon, lat + d_lat)
}

/// WGS-84 of a place in GCJ-02, degrees.
pub fn gcj02_to_wgs84(lon: f64, lat: f64) -> (f64, f64) {
    if !in_china(lon, lat) {
        return (lon, lat);
    }
    let (mut wgs_lon, mut wgs_lat) = (lon, lat);
    for _ in 0..ROUNDS {
        // Without the border: next to it the iteration would jump to and fro.
        let (there_lon, there_lat) = shifted(wgs_lon, wgs_lat);
        let (d_lon, d_lat) = (lon - there_lon, lat - there_lat);
        (wgs_lon, wgs_lat) = (wgs_lon + d_lon, wgs_lat + d_lat);
        if d_lon.abs() < PRECISION && d_lat.abs() < PRECISION {
            break;
        }
    }
    (wgs_lon, wgs_lat)
}

const BD_PI: f64 = std::f64::consts::PI * 3000.0 / 180.0;

/// BD-09 of a place in GCJ-02, degrees.
pub fn gcj02_to_bd09(lon: f64, lat: f64) -> (f64, f64) {
    let z = lon.hypot(lat) + 0.000_02 * (lat * BD_PI).sin();
    let theta = lat.atan2(lon) + 0.000_003 * (lon * BD_PI).cos();
    (z * theta.cos() + 0.0065, z * theta.sin() + 0.006)
}

/// GCJ-02 of a place in BD-09, degrees.
pub fn bd09_to_gcj02(lon: f64, lat: f64) -> (f64, f64) {
    let (mut gcj_lon, mut gcj_lat) = (lon - 0.0065, lat - 0.006);
    for _ in 0..ROUNDS {
        let (there_lon, there_lat) = gcj02_to_bd09(gcj_lon, gcj_lat);
        let (d_lon, d_lat) = (lon - there_lon, lat - there_lat);
        (gcj_lon, gcj_lat) = (gcj_lon + d_lon, gcj_lat + d_lat);
        if d_lon.abs() < PRECISION && d_lat.abs() < PRECISION {
            break;
        }
    }
    (gcj_lon, gcj_lat)
}
