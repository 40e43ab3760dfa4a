//! Coordinates against published vectors, the map vendors' own answers, and their own inverse.

use ingest::crs::{Crs, bd09_to_gcj02, gcj02_to_bd09, gcj02_to_wgs84, wgs84_to_gcj02};
use proptest::prelude::*;

/// Where the map vendors' answers lie when they are there.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/coordinates");

fn metres(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (d_lon, d_lat) = ((a.0 - b.0) * 111_320.0 * a.1.to_radians().cos(), (a.1 - b.1) * 111_000.0);
    d_lon.hypot(d_lat)
}

#[expect(clippy::print_stderr, reason = "what is not checked must be heard of")]
fn data(name: &str) -> Option<String> {
    let path = format!("{DATA}/{name}");
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("SKIPPED: {path} is missing; the vendors' coordinates are not checked");
    }
    text
}

#[test]
fn the_vectors_of_the_rules_come_out() {
    for (wgs, gcj, bd) in [
        ((109.490, 36.585), (109.495403, 36.585096), (109.501996, 36.590773)),
        ((108.18, 36.93), (108.184992, 36.930344), (108.191580, 36.936024)),
        ((109.84, 35.58), (109.845184, 35.579608), (109.851760, 35.585373)),
    ] {
        assert!(metres(Crs::Gcj02.to_wgs84(gcj.0, gcj.1), wgs) < 0.2, "{gcj:?}");
        assert!(metres(Crs::Bd09.to_wgs84(bd.0, bd.1), wgs) < 0.2, "{bd:?}");
        assert!(metres(wgs, gcj) > 400.0 && metres(wgs, bd) > 1200.0, "the systems do differ");
    }
    let wgs = Crs::Gcj02.to_wgs84(121.53154186, 31.17530398);
    assert!(metres(wgs, (121.5272106, 31.1774276)) < 0.01, "{wgs:?}");
}

#[test]
fn outside_china_nothing_is_shifted() {
    for (lon, lat) in [(-97.7, 30.2), (0.0, 0.0), (137.84, 36.0), (109.5, 55.9)] {
        assert_eq!(Crs::Gcj02.to_wgs84(lon, lat), (lon, lat));
    }
}

#[test]
fn names_are_those_of_the_contract() {
    assert_eq!(Crs::from_name("cgcs2000"), Some(Crs::Wgs84));
    assert_eq!(Crs::from_name("wgs84"), Some(Crs::Wgs84));
    assert_eq!(Crs::from_name("gcj02"), Some(Crs::Gcj02));
    assert_eq!(Crs::from_name("bd09"), Some(Crs::Bd09));
    assert_eq!(Crs::from_name("WGS84"), None);
}

/// What the map vendors' own services say of 332 cities; they differ from the public formula by up to 0.7 m.
#[test]
fn the_vendors_services_agree_within_a_metre() {
    let Some(text) = data("gcoord_china_cities.csv") else { return };
    let mut n = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |i: usize| fields[i].parse::<f64>().unwrap();
        let (wgs, gcj, bd) = ((number(2), number(3)), (number(4), number(5)), (number(6), number(7)));
        assert!(metres(Crs::Gcj02.to_wgs84(gcj.0, gcj.1), wgs) < 1.0, "gcj02 {line}");
        assert!(metres(Crs::Bd09.to_wgs84(bd.0, bd.1), wgs) < 1.0, "bd09 {line}");
        n += 1;
    }
    assert!(n > 300, "{n} cities");
}

/// Exact answers of other implementations. One takes another ellipsoid (1 cm), and their inverses do not iterate (1–2 m).
#[test]
fn other_implementations_agree() {
    let Some(text) = data("fixed_points.json") else { return };
    let points: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut n = 0;
    for point in &points {
        let number = |name: &str| point[name].as_f64();
        let (Some(lon), Some(lat)) = (number("lon"), number("lat")) else { continue };
        let (Some(out_lon), Some(out_lat)) = (number("out_lon"), number("out_lat")) else { continue };
        let (ours, tolerance) = match point["op"].as_str().unwrap_or("") {
            "wgs84togcj02" => (wgs84_to_gcj02(lon, lat), 0.05),
            "gcj02tobd09" => (gcj02_to_bd09(lon, lat), 0.001),
            "gcj02towgs84" => (gcj02_to_wgs84(lon, lat), 3.0),
            "bd09togcj02" => (bd09_to_gcj02(lon, lat), 3.0),
            _ => continue,
        };
        assert!(metres(ours, (out_lon, out_lat)) < tolerance, "{point}: {ours:?}");
        n += 1;
    }
    assert!(n >= 4, "{n} points");
}

proptest! {
    /// Positions are kept in 10⁻⁷ degrees, so the way there and back must not lose that much.
    #[test]
    fn there_and_back_is_the_same_place(lon in 73.0..137.0f64, lat in 1.0..55.0f64) {
        let (gcj_lon, gcj_lat) = wgs84_to_gcj02(lon, lat);
        let (back_lon, back_lat) = Crs::Gcj02.to_wgs84(gcj_lon, gcj_lat);
        prop_assert!((back_lon - lon).abs() < 1e-7 && (back_lat - lat).abs() < 1e-7, "{back_lon} {back_lat}");
        let (bd_lon, bd_lat) = gcj02_to_bd09(gcj_lon, gcj_lat);
        let (back_lon, back_lat) = Crs::Bd09.to_wgs84(bd_lon, bd_lat);
        prop_assert!((back_lon - lon).abs() < 1e-7 && (back_lat - lat).abs() < 1e-7, "{back_lon} {back_lat}");
    }

    /// Next to the border the inverse settles too, whichever side the place is on.
    #[test]
    fn the_border_of_the_box_is_no_trap(offset in -0.02..0.02f64, lat in 10.0..50.0f64) {
        let (lon, _) = Crs::Gcj02.to_wgs84(137.8347 + offset, lat);
        prop_assert!((lon - 137.8347 - offset).abs() < 0.02);
    }
}
