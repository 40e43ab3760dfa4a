//! GeoJSON as reference records: roads, fences, districts, parks … from what map software writes.
//!
//! **Meaning.** A feature is a record: its properties are the fields, its geometry the `geometry`. Kind and id are
//! properties, unless the caller names the kind or another property for the id; fields that are called otherwise can be
//! named too. Of roads, `oneway`, `lanes` and `width` are read as OpenStreetMap writes them, and a MultiLineString is one
//! road per line. Documented in `docs/roads.md`.
//!
//! **Mechanism.** A FeatureCollection is read feature by feature, so a file may be larger than memory; features that
//! follow each other without a collection, one a line or after a record separator (RFC 8142), are read the same way.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

type Object = Map<String, Json>;

/// Names of WGS-84 in the `crs` that GeoJSON had before RFC 7946.
const WGS84: [&str; 4] = ["CRS84", "EPSG::4326", "EPSG:4326", "EPSG::4490"];

/// How features become records.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping {
    /// The kind of all records; else the property `kind` says it.
    pub kind: Option<String>,
    /// The property that holds the id; else `id`, `@id`, or the id of the feature itself.
    pub id: Option<String>,
    /// Fields, and the properties that they are read from.
    pub fields: Vec<(String, String)>,
    /// Fields that are the same in all records.
    pub values: Vec<(String, Json)>,
}

/// One feature.
#[derive(Debug, Default)]
pub(super) struct Feature {
    id: Option<Json>,
    properties: Object,
    geometry: Json,
}

/// Calls `take` with each feature of the input.
///
/// # Errors
/// When the input is not GeoJSON of features in WGS-84, with the place; features before it have been taken.
pub(super) fn read(input: impl Read, take: &mut dyn FnMut(Feature)) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_reader(std::io::BufReader::new(Separated(input)));
    // What comes next, if anything does, is the next feature or collection.
    while reader.end().is_err() {
        Part { within: false, take }.deserialize(&mut reader)?;
    }
    Ok(())
}

/// Reads record separators as spaces.
struct Separated<R>(R);

impl<R: Read> Read for Separated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read(buffer)?;
        buffer[..n].iter_mut().filter(|byte| **byte == 0x1E).for_each(|byte| *byte = b' ');
        Ok(n)
    }
}

/// A feature, or a collection of them.
struct Part<'a> {
    /// Whether it lies in a collection, and so is a feature.
    within: bool,
    take: &'a mut dyn FnMut(Feature),
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.within { "a Feature" } else { "a FeatureCollection or a Feature" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut feature = Feature::default();
        let mut kind = String::new();
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "type" => kind = map.next_value()?,
                "features" if !self.within => map.next_value_seed(Features { take: &mut *self.take })?,
                "id" => feature.id = map.next_value()?,
                "properties" => feature.properties = map.next_value::<Option<Object>>()?.unwrap_or_default(),
                "geometry" => feature.geometry = map.next_value()?,
                "crs" => {
                    let crs: Json = map.next_value()?;
                    let name = crs["properties"]["name"].as_str();
                    if let Some(name) = name.filter(|name| !WGS84.iter().any(|known| name.ends_with(known))) {
                        return Err(A::Error::custom(format!("the crs is {name}, expected WGS-84")));
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match &*kind {
            "Feature" => (self.take)(feature),
            "FeatureCollection" if !self.within => {}
            other => {
                let expected = if self.within { "Feature" } else { "FeatureCollection or Feature" };
                return Err(A::Error::custom(format!("the type is `{other}`, expected {expected}")));
            }
        }
        Ok(())
    }
}

/// The features of a collection.
struct Features<'a> {
    take: &'a mut dyn FnMut(Feature),
}

impl<'de> DeserializeSeed<'de> for Features<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Features<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Part { within: true, take: &mut *self.take })?.is_some() {}
        Ok(())
    }
}

impl Mapping {
    /// The records of a feature.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn records(&self, feature: Feature) -> Result<Vec<Json>, String> {
        let Feature { id, mut properties, geometry } = feature;
        properties.retain(|_, value| !value.is_null());
        let kind = match &self.kind {
            Some(kind) => kind.clone(),
            None => match properties.get("kind").and_then(Json::as_str) {
                Some(kind) => kind.to_owned(),
                None => return Err("no property `kind`; --kind names the kind of all features".into()),
            },
        };
        let text = |value: &Json| match value {
            Json::String(text) if !text.is_empty() => Some(text.clone()),
            Json::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            _ => None,
        };
        let named = match &self.id {
            Some(name) => properties.get(name),
            None => properties.get("id").or_else(|| properties.get("@id")).or(id.as_ref()),
        };
        let id = named.and_then(text).ok_or_else(|| match &self.id {
            Some(name) => format!("no property `{name}` that is an id"),
            None => "neither a property `id` nor an id of its own; --id names the property".to_owned(),
        })?;
        let mut record = Object::new();
        record.insert("kind".into(), kind.clone().into());
        record.insert("id".into(), id.clone().into());
        for (field, property) in &self.fields {
            if let Some(value) = properties.get(property) {
                record.insert(field.clone(), value.clone());
            }
        }
        record.extend(self.values.iter().cloned());
        for (field, value) in properties {
            record.entry(field).or_insert(value);
        }
        record.insert("geometry".into(), geometry);
        if kind != "road" {
            return Ok(vec![record.into()]);
        }
        read_road_tags(&mut record)?;
        Ok(lines(record, &id))
    }
}

/// Reads `oneway`, `lanes` and `width` as OpenStreetMap writes them.
fn read_road_tags(road: &mut Object) -> Result<(), String> {
    let is = |name: &str, words: &[&str]| {
        road.get(name).and_then(Json::as_str).is_some_and(|value| words.contains(&value))
    };
    // Roundabouts and motorways are one-way unless they say otherwise.
    let implied = is("junction", &["roundabout", "circular"]) || is("highway", &["motorway"]);
    let oneway = match road.get("oneway") {
        None => implied,
        Some(Json::Bool(oneway)) => *oneway,
        Some(Json::String(word)) => match &**word {
            "yes" | "true" | "1" => true,
            // One after the other in both directions.
            "no" | "false" | "0" | "reversible" | "alternating" => false,
            "-1" | "reverse" => {
                let turned = |line: &mut Json| {
                    if let Json::Array(line) = line {
                        line.reverse();
                    }
                };
                let many = road.get("geometry").is_some_and(|geometry| geometry["type"] == "MultiLineString");
                match road.get_mut("geometry").and_then(|geometry| geometry.get_mut("coordinates")) {
                    Some(Json::Array(lines)) if many => lines.iter_mut().for_each(turned),
                    Some(line) => turned(line),
                    None => {}
                }
                true
            }
            other => return Err(format!("`oneway` is `{other}`, expected yes, no or -1")),
        },
        Some(other) => return Err(format!("`oneway` is {other}, expected yes, no or -1")),
    };
    road.insert("oneway".into(), oneway.into());
    for (tag, field) in [("lanes", "lanes"), ("width", "width_m")] {
        let number = road.get(tag).and_then(Json::as_str);
        let number = number.and_then(|text| text.trim_end_matches('m').trim().parse::<f64>().ok());
        if let Some(number) = number.filter(|number| number.is_finite()) {
            road.insert(field.into(), number.into());
        }
    }
    Ok(())
}

/// A road of several lines is several roads, whose ids count from 1.
fn lines(mut road: Object, id: &str) -> Vec<Json> {
    let several = match road.get_mut("geometry") {
        Some(Json::Object(geometry)) if geometry.get("type") == Some(&"MultiLineString".into()) => {
            geometry.remove("coordinates")
        }
        _ => None,
    };
    let Some(Json::Array(lines)) = several else { return vec![road.into()] };
    let single = lines.len() == 1;
    let record = |(n, line): (usize, Json)| {
        let mut road = road.clone();
        road.insert("geometry".into(), serde_json::json!({"type": "LineString", "coordinates": line}));
        if !single {
            road.insert("id".into(), format!("{id}.{}", n + 1).into());
        }
        Json::from(road)
    };
    lines.into_iter().enumerate().map(record).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{Mapping, read};

    fn all(text: &str, mapping: &Mapping) -> (Vec<Result<Vec<Json>, String>>, Option<String>) {
        let mut records = Vec::new();
        let end = read(text.as_bytes(), &mut |feature| records.push(mapping.records(feature)));
        (records, end.err().map(|e| e.to_string()))
    }

    fn roads() -> Mapping {
        Mapping { kind: Some("road".into()), ..Mapping::default() }
    }

    fn line(properties: &Json) -> Json {
        json!({"type": "Feature", "properties": properties,
            "geometry": {"type": "LineString", "coordinates": [[1.0, 2.0], [3.0, 4.0]]}})
    }

    #[test]
    fn a_collection_lines_and_separated_features_are_the_same() {
        let (a, b) = (line(&json!({"id": 1})).to_string(), line(&json!({"id": "b"})).to_string());
        let collection = format!("{{\"name\":\"x\",\"features\":[{a},{b}],\"type\":\"FeatureCollection\"}}");
        let expected = all(&collection, &roads());
        assert_eq!(expected.0.len(), 2);
        assert_eq!(expected.0[0].as_ref().unwrap()[0]["id"], "1");
        assert_eq!(all(&format!("{a}\n{b}\n"), &roads()), expected);
        assert_eq!(all(&format!("\x1e{a}\n\x1e{b}\n"), &roads()), expected);
    }

    #[test]
    fn what_is_no_geojson_is_an_error_with_its_place() {
        let good = line(&json!({"id": 1}));
        let (taken, error) = all(&format!("{good}\n{{\"type\":\"Point\"}}"), &roads());
        assert_eq!(taken.len(), 1);
        let error = error.unwrap();
        assert!(error.contains("`Point`") && error.contains("line 2"), "{error}");
        let crs = r#"{"type":"FeatureCollection","crs":{"properties":{"name":"urn:ogc:def:crs:EPSG::3067"}},"features":[]}"#;
        assert!(all(crs, &roads()).1.unwrap().contains("3067"));
        assert!(all(&crs.replace("3067", "4326"), &roads()).1.is_none());
        assert!(all("[1,2]", &roads()).1.is_some());
        assert!(all(r#"{"type":"FeatureCollection","features":[{"ty"#, &roads()).1.is_some());
    }

    #[test]
    fn fields_come_from_where_they_are_said_to() {
        let mapping = Mapping {
            kind: None,
            id: Some("code".into()),
            fields: vec![("district".into(), "adcode".into()), ("absent".into(), "nothing".into())],
            values: vec![("margin_m".into(), json!(5))],
        };
        let properties =
            json!({"kind": "fence", "code": 7, "adcode": "610602", "name": null, "id": "not this"});
        let (records, error) = all(&line(&properties).to_string(), &mapping);
        assert_eq!(error, None);
        let record = &records[0].as_ref().unwrap()[0];
        assert_eq!(
            (&record["kind"], &record["id"], &record["district"]),
            (&json!("fence"), &json!("7"), &json!("610602"))
        );
        assert_eq!((record.get("name"), record.get("absent"), &record["margin_m"]), (None, None, &json!(5)));
        let none = |properties: Json, mapping: &Mapping| {
            all(&line(&properties).to_string(), mapping).0.remove(0).unwrap_err()
        };
        assert!(none(json!({"code": 7}), &mapping).contains("--kind"));
        assert!(none(json!({"kind": "fence"}), &mapping).contains("`code`"));
        assert!(none(json!({}), &roads()).contains("--id"));
    }

    #[test]
    fn roads_are_read_as_openstreetmap_writes_them() {
        let road = |tags: Json| {
            let mut properties = json!({"id": 1});
            properties.as_object_mut().unwrap().extend(tags.as_object().unwrap().clone());
            all(&line(&properties).to_string(), &roads()).0.remove(0).map(|mut records| records.remove(0))
        };
        let oneway = |tags: Json| road(tags).unwrap()["oneway"].clone();
        assert_eq!(
            [oneway(json!({})), oneway(json!({"oneway": "no"})), oneway(json!({"oneway": "reversible"}))],
            [false, false, false]
        );
        assert_eq!(
            [oneway(json!({"oneway": "yes"})), oneway(json!({"junction": "roundabout"}))],
            [true, true]
        );
        assert_eq!(oneway(json!({"junction": "roundabout", "oneway": "no"})), false);
        let back = road(json!({"oneway": "-1", "lanes": "2", "width": "7.5 m"})).unwrap();
        assert_eq!(back["geometry"]["coordinates"], json!([[3.0, 4.0], [1.0, 2.0]]));
        assert_eq!(
            (&back["oneway"], &back["lanes"], &back["width_m"]),
            (&json!(true), &json!(2.0), &json!(7.5))
        );
        assert!(road(json!({"oneway": "sometimes"})).unwrap_err().contains("sometimes"));
    }

    #[test]
    fn a_road_of_several_lines_is_several_roads() {
        let feature = json!({"type": "Feature", "id": "w", "properties": {"oneway": "-1"}, "geometry":
            {"type": "MultiLineString", "coordinates": [[[1, 1], [2, 2]], [[5, 5], [6, 6]]]}});
        let records = all(&feature.to_string(), &roads()).0.remove(0).unwrap();
        let ids: Vec<&Json> = records.iter().map(|record| &record["id"]).collect();
        assert_eq!(ids, ["w.1", "w.2"]);
        assert_eq!(records[1]["geometry"], json!({"type": "LineString", "coordinates": [[6, 6], [5, 5]]}));
    }
}
