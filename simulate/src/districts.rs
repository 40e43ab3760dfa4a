//! The units of the city, read from GeoJSON, with how much of the city's life each one has.
//!
//! The first unit, or 宝塔区 where it is present, is the capital and weighs twice its people. Bounded by the file.

use model::{Error, Result};
use serde_json::Value;

use crate::geo::Plane;

/// Residents by the 2020 census.
const POPULATION: &[(&str, u32)] = &[
    ("610602", 640_951),
    ("610603", 163_100),
    ("610681", 217_735),
    ("610621", 118_000),
    ("610622", 139_700),
    ("610625", 155_100),
    ("610626", 146_200),
    ("610627", 76_900),
    ("610628", 142_900),
    ("610629", 201_700),
    ("610630", 112_100),
    ("610631", 41_200),
    ("610632", 127_000),
];

const CAPITAL: &str = "610602";

/// One district, county or county-level city.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub adcode: String,
    pub name: String,
    pub population: Option<u32>,
    pub area_km2: f64,
    pub geometry: Value,
    pub capital: bool,
    /// The map around its seat.
    pub plane: Plane,
    /// Its share of the city's life, not normalised.
    pub weight: f64,
}

/// The units in order of the file.
pub(crate) fn read(geojson: &str) -> Result<Vec<Unit>> {
    let wrong = |what: String| Error::user(format!("simulate.districts_geojson: {what}"));
    let mut collection: Value =
        serde_json::from_str(geojson).map_err(|e| wrong("not JSON".into()).caused_by(e))?;
    let Some(Value::Array(features)) = collection.get_mut("features").map(Value::take) else {
        return Err(wrong("no array \"features\"".into()));
    };
    if features.is_empty() {
        return Err(wrong("no features".into()));
    }
    let has_capital = features.iter().any(|f| f["properties"]["adcode"] == CAPITAL);
    let mut units = Vec::with_capacity(features.len());
    for (i, mut feature) in features.into_iter().enumerate() {
        let geometry = feature["geometry"].take();
        if !matches!(geometry["type"].as_str(), Some("Polygon" | "MultiPolygon")) {
            return Err(wrong(format!("feature {i} is neither a Polygon nor a MultiPolygon")));
        }
        let properties = &feature["properties"];
        let text = |name: &str| properties[name].as_str().map(str::to_owned);
        let (Some(adcode), Some(name)) = (text("adcode"), text("name")) else {
            return Err(wrong(format!("feature {i} lacks adcode or name")));
        };
        if !adcode.bytes().all(|b| b.is_ascii_alphanumeric()) || name.contains(['"', '\\', '\n']) {
            return Err(wrong(format!("feature {i}: adcode {adcode:?} or name {name:?} has odd characters")));
        }
        let seat = [0, 1].map(|axis| properties["seat"][axis].as_f64().unwrap_or(f64::NAN));
        if !(seat[0].abs() <= 180.0 && seat[1].abs() <= 85.0) {
            return Err(wrong(format!("feature {i} ({adcode}) lacks seat [lon, lat]")));
        }
        let population = POPULATION.iter().find(|(code, _)| *code == adcode).map(|&(_, people)| people);
        let capital = if has_capital { adcode == CAPITAL } else { i == 0 };
        let people = f64::from(population.unwrap_or(100_000));
        units.push(Unit {
            population,
            area_km2: properties["area_km2"].as_f64().unwrap_or(0.0),
            geometry,
            capital,
            plane: Plane::around(seat),
            weight: if capital { 2.0 * people } else { people },
            adcode,
            name,
        });
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::YANAN;

    #[test]
    fn yanan_has_thirteen_units_and_one_capital() {
        let units = read(YANAN).unwrap();
        assert_eq!(units.len(), 13);
        assert_eq!(units.iter().filter(|unit| unit.capital).count(), 1);
        assert_eq!(units.iter().filter_map(|unit| unit.population).sum::<u32>(), 2_282_586);
    }

    #[test]
    fn a_bad_file_is_named() {
        for (text, part) in [
            ("[", "not JSON"),
            ("{}", "features"),
            (r#"{"features":[{"geometry":{"type":"Point"}}]}"#, "feature 0"),
            (
                r#"{"features":[{"geometry":{"type":"Polygon"},"properties":{"adcode":"1","name":"a"}}]}"#,
                "seat",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
