//! Places in reference data: GeoJSON looked through, and brought to WGS-84.
//!
//! A reference record keeps its JSON as it came, unless its `crs` says that it comes from a map vendor: then `lon` and
//! `lat`, `entrances` and the `geometry` are converted and `crs` becomes `wgs84`, so that nothing is converted twice.

use serde_json::Value as Json;

use super::Reason;
use super::fields::{Object, short, within};
use crate::crs::Crs;

const TYPES: [&str; 6] = ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"];
/// Lists within lists: a MultiPolygon is polygons of rings of positions.
const LEVELS: usize = 4;

/// The reference system called `name`; WGS-84 when it has none.
pub(super) fn crs(name: Option<&str>) -> Result<Crs, Reason> {
    match name {
        None => Ok(Crs::Wgs84),
        Some(name) => Crs::from_name(name).ok_or_else(|| {
            format!("unknown_crs: `crs` is `{name}`, expected wgs84, cgcs2000, gcj02 or bd09")
        }),
    }
}

/// Looks through the places of a record: a known type of geometry, and positions of degrees in range.
pub(super) fn check(object: &Object) -> Result<(), Reason> {
    for (name, limit) in [("lon", 180.0), ("lat", 90.0)] {
        if let Some(degrees) = object.get(name).filter(|degrees| !degrees.is_null()) {
            let number = degrees
                .as_f64()
                .ok_or_else(|| format!("wrong_type: `{name}` is {}, expected a number", short(degrees)))?;
            within(name, number, -limit..=limit)?;
        }
    }
    if let Some(entrances) = object.get("entrances").filter(|list| !list.is_null()) {
        let list = entrances.as_array().ok_or_else(|| {
            format!("wrong_type: `entrances` is {}, expected [[lon, lat], …]", short(entrances))
        })?;
        list.iter().try_for_each(|entrance| positions(entrance, 1))?;
    }
    let Some(geometry) = object.get("geometry").filter(|geometry| !geometry.is_null()) else { return Ok(()) };
    let name = geometry.get("type").and_then(Json::as_str).unwrap_or("");
    if !TYPES.contains(&name) {
        return Err(format!("invalid_geometry: the type is `{name}`, expected one of {}", TYPES.join(", ")));
    }
    positions(geometry.get("coordinates").unwrap_or(&Json::Null), LEVELS)
}

fn positions(coordinates: &Json, levels: usize) -> Result<(), Reason> {
    let wrong = || format!("invalid_geometry: {} is not a position", short(coordinates));
    let list = coordinates.as_array().filter(|list| !list.is_empty() && levels > 0).ok_or_else(wrong)?;
    if list[0].is_array() {
        return list.iter().try_for_each(|inner| positions(inner, levels - 1));
    }
    let degrees = |i: usize| list.get(i).and_then(Json::as_f64).ok_or_else(wrong);
    within("lon", degrees(0)?, -180.0..=180.0)?;
    within("lat", degrees(1)?, -90.0..=90.0)?;
    Ok(())
}

/// Brings all places of a record that was looked through to WGS-84.
pub(super) fn to_wgs84(object: &mut Object, crs: Crs) {
    let degrees = |object: &Object, name: &str| object.get(name).and_then(Json::as_f64);
    if let (Some(lon), Some(lat)) = (degrees(object, "lon"), degrees(object, "lat")) {
        let [lon, lat] = converted(crs, lon, lat);
        object.insert("lon".into(), lon);
        object.insert("lat".into(), lat);
    }
    if let Some(entrances) = object.get_mut("entrances") {
        convert(entrances, crs);
    }
    if let Some(coordinates) = object.get_mut("geometry").and_then(|geometry| geometry.get_mut("coordinates"))
    {
        convert(coordinates, crs);
    }
    object.insert("crs".into(), "wgs84".into());
}

fn convert(coordinates: &mut Json, crs: Crs) {
    let Some(list) = coordinates.as_array_mut() else { return };
    match list.as_mut_slice() {
        [lon, lat, ..] if lon.is_number() => {
            if let (Some(x), Some(y)) = (lon.as_f64(), lat.as_f64()) {
                [*lon, *lat] = converted(crs, x, y);
            }
        }
        inner => inner.iter_mut().for_each(|inner| convert(inner, crs)),
    }
}

/// Rounded to 10⁻⁷ degrees, as the positions of vehicles are.
fn converted(crs: Crs, lon: f64, lat: f64) -> [Json; 2] {
    let (lon, lat) = crs.to_wgs84(lon, lat);
    [lon, lat].map(|degrees| ((degrees * model::rows::DEGREE).round() / model::rows::DEGREE).into())
}
