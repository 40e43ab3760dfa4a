//! `chengmai load` of GeoJSON: records that `replay` takes, what is refused, and the route from an OSM extract to roads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "it says what it skips")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

fn chengmai(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chengmai"));
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of a view after a replay of these reference records.
fn replayed(folder: &Path, records: &[u8], view: &str) -> Vec<Json> {
    let (input, output) = (folder.join("in"), folder.join("out"));
    fs::create_dir_all(&input).unwrap();
    fs::write(input.join("reference.ndjson"), records).unwrap();
    // One record with a time, so that there is a day.
    let fix = r#"{"vehicle_id":"v","ts":1794560400000,"lon":109.5,"lat":36.6}"#;
    fs::write(input.join("positions.ndjson"), fix).unwrap();
    let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
    let run = chengmai(&["replay", "--input", input, "--output", output]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    lines(&fs::read_to_string(Path::new(output).join(format!("{view}.ndjson"))).unwrap())
}

#[test]
fn features_of_several_kinds_become_records() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("city.geojson");
    let features = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","properties":{"kind":"road","id":"r1","adcode":"610602","oneway":"-1"},
         "geometry":{"type":"LineString","coordinates":[[109.49,36.59],[109.493,36.59]]}},
        {"type":"Feature","id":"depot","properties":{"kind":"fence","place":true},
         "geometry":{"type":"Point","coordinates":[109.49,36.59]}},
        {"type":"Feature","properties":{"kind":"road","id":"r2"},"geometry":{"type":"Point","coordinates":[109.49,36.59]}},
        {"type":"Feature","properties":{"kind":"park","id":"p1","name":"枣园"},
         "geometry":{"type":"Polygon","coordinates":[[[109.48,36.58],[109.482,36.58],[109.482,36.582],[109.48,36.58]]]}},
        {"type":"Feature","properties":{"id":"x"},"geometry":null}]}"#;
    fs::write(&file, features).unwrap();
    let file = file.to_str().unwrap();
    let fields = ["--field", "district=adcode", "--value", "radius_m=50"];
    let run = chengmai(&[&["load", "--stream", "reference", "--print", file][..], &fields].concat());
    let said = text(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(said.contains(r#"{"stream":"reference","loaded":3,"refused":2}"#), "{said}");
    assert!(
        said.contains("city.geojson:3: invalid_geometry")
            && said.contains("city.geojson:5: no property `kind`"),
        "{said}"
    );
    let rows = replayed(folder.path(), &run.stdout, "reference");
    let json = |kind: &str, id: &str| {
        let row = rows.iter().find(|row| row["kind"] == kind && row["id"] == id).unwrap();
        row["json"].clone()
    };
    let road = json("road", "r1");
    assert_eq!((&road["district"], &road["oneway"]), (&"610602".into(), &true.into()));
    assert_eq!(road["geometry"]["coordinates"][0][0], 109.493, "turned round");
    assert_eq!(json("fence", "depot")["radius_m"], 50);
    assert_eq!(json("park", "p1")["name"], "枣园");
}

#[test]
fn geojson_goes_into_the_log_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roads.geojsonl");
    let road = |id: u32| {
        format!(
            "{{\"type\":\"Feature\",\"properties\":{{\"id\":{id}}},\"geometry\":{{\"type\":\"LineString\",\"coordinates\":[[1,2],[3,4]]}}}}\n"
        )
    };
    fs::write(&file, [road(1), road(2)].concat()).unwrap();
    let (file, set) = (file.to_str().unwrap(), format!("data.folder={}", folder.path().display()));
    let run = chengmai(&["load", "--stream", "reference", "--kind", "road", "--set", &set, file]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(text(&run.stdout).contains(r#""loaded":2,"refused":0"#), "{}", text(&run.stdout));
    for (arguments, says) in [
        (&["load", "--stream", "positions", file][..], "--stream reference"),
        (&["load", "--stream", "reference", "--id", "x", "a.ndjson"][..], "for GeoJSON"),
        (&["load", "--stream", "reference", "--print", "--field", "x", file][..], "FIELD="),
        (&["load", "--stream", "reference", "--print", "--kind", "road", "Cargo.toml"][..], "no GeoJSON"),
    ] {
        let run = chengmai(arguments);
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {}", text(&run.stderr));
        assert!(text(&run.stderr).contains(says), "{arguments:?}: {}", text(&run.stderr));
    }
}

/// The roads of a part of Helsinki, from OpenStreetMap.
#[test]
fn an_extract_of_openstreetmap_becomes_roads() {
    let extract =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/helsinki_osm/roads_driving.geojson.gz");
    if !Path::new(extract).exists() {
        eprintln!("SKIPPED: {extract} is not there: no extract of OpenStreetMap was tried");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = chengmai(&[
        "load",
        "--stream",
        "reference",
        "--print",
        "--kind",
        "road",
        "--field",
        "grade=highway",
        "--value",
        "district=helsinki",
        extract,
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains(r#""refused":0"#), "{}", text(&run.stderr));
    let records = lines(text(&run.stdout));
    let oneway = records.iter().filter(|road| road["oneway"] == true).count();
    assert_eq!((records.len(), oneway), (725, 380));
    let plan = r#"{"kind":"shift","id":"day","start":"00:00","end":"24:00"}"#;
    let with_plan = |mut road: Json| {
        road["plan"] = serde_json::json!([{"shift": "day", "passes": 1}]);
        format!("{road}\n")
    };
    let all: String = records.into_iter().map(with_plan).collect();
    let rows = replayed(folder.path(), format!("{all}{plan}\n").as_bytes(), "road_coverage");
    assert_eq!(rows.len(), 725, "each road is planned and not swept");
    let km = rows.iter().map(|row| row["length"].as_f64().unwrap()).sum::<f64>() / 1000.0;
    assert!((21.0..21.3).contains(&km), "{km} km");
    assert!(rows.iter().all(|row| row["district"] == "helsinki" && row["grade"].is_string()));
}
