//! `GET /views/vehicles/{id}/track` over a real socket: as it was sent, along the roads, and both, as GeoJSON and GPX.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use api::token::Secret;
use api::{Api, ApiConfig, Health, Partners};
use model::{Changes, Column, Frame, Names, Op, Step, Type, Value, ViewId, ViewSpec};
use serde_json::{Value as Json, json};

const fn view(name: &'static str, key: usize, columns: &'static [Column]) -> ViewSpec {
    ViewSpec { name, zh: "", doc: "", key, columns, bounded_by: "" }
}

const SPECS: [ViewSpec; 3] = [
    view(
        "reference",
        2,
        &[
            Column::new("kind", Type::Text, "", ""),
            Column::new("id", Type::Text, "", ""),
            Column::new("ts", Type::Time, "", "").nullable(),
            Column::new("json", Type::Json, "", ""),
        ],
    ),
    view("vehicles", 1, &[Column::new("vehicle_id", Type::Text, "", "")]),
    view(
        "tracks",
        2,
        &[
            Column::new("vehicle_id", Type::Text, "", ""),
            Column::new("ts", Type::Time, "", ""),
            Column::new("lon", Type::Float, "", ""),
            Column::new("lat", Type::Float, "", ""),
            Column::new("speed", Type::Float, "", "").nullable(),
            Column::new("heading", Type::Float, "", "").nullable(),
            Column::new("working", Type::Bool, "", "").nullable(),
        ],
    ),
];

struct Fine;

impl Health for Fine {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn metrics(&self, _out: &mut String) {}
}

/// The road runs east along this latitude.
const ROAD_LAT: f64 = 36.59;
const FIRST: i64 = 1_790_000_000_000;
const FIXES: i64 = 12;

/// A vehicle that drives 8 m beside a road for two minutes, and one that was heard but has no fix left.
fn world() -> (Api, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config =
        ApiConfig::new("127.0.0.1:0".parse().unwrap(), folder.path().to_owned(), Secret::random().unwrap());
    let names = Arc::new(Names::new());
    let partners = Partners { writer: None, warehouse: None, health: Arc::new(Fine), clock: || 5_000 };
    let api = Api::start(config, SPECS.to_vec(), Arc::clone(&names), partners).unwrap();
    let name = |text: &str| Value::Name(names.intern(text));
    let line = json!({"type": "LineString", "coordinates": [[109.48, ROAD_LAT], [109.50, ROAD_LAT]]});
    let road = json!({"kind": "road", "id": "east", "geometry": line});
    let mut changes = SPECS.map(|spec| Changes::new(spec.columns.len()));
    let tick = (FIRST + 1_000_000) as u64;
    changes[0].push(
        tick,
        Op::Upsert,
        &[name("road"), name("east"), Value::Null, Value::Text(road.to_string().into())],
    );
    for vehicle in ["v1", "v2"] {
        changes[1].push(tick, Op::Upsert, &[name(vehicle)]);
    }
    for n in 0..FIXES {
        let row = [
            name("v1"),
            Value::Int(FIRST + n * 10_000),
            Value::Float(109.485 + n as f64 * 0.0008),
            Value::Float(ROAD_LAT + 0.000_07),
            Value::Float(25.0),
            Value::Float(90.0),
            Value::Bool(true),
        ];
        changes[2].push(tick, Op::Upsert, &row);
    }
    let steps = (0u16..).zip(changes).map(|(view, changes)| Step {
        view: ViewId(view),
        lower: 0,
        upper: tick + 1,
        changes,
    });
    api.publish(&Arc::new(Frame { lower: 0, upper: tick + 1, tick, steps: steps.collect() })).unwrap();
    (api, folder)
}

async fn get(api: &Api, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}/api/v1/{path}", api.local_addr())).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn feature(api: &Api, path: &str) -> Json {
    let (status, text) = get(api, path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matched_way_lies_on_the_road() {
    let (api, _folder) = world();
    let raw = feature(&api, "views/vehicles/v1/track").await;
    assert_eq!(raw["geometry"]["coordinates"].as_array().unwrap().len() as i64, FIXES);
    assert_eq!(raw["geometry"]["coordinates"][0], json!([109.485, ROAD_LAT + 0.000_07]));
    let matched = feature(&api, "views/vehicles/v1/track?way=matched").await;
    assert_eq!(matched["properties"]["matched"], true);
    let lines = matched["geometry"]["coordinates"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "neither off the road nor silent: one line");
    for vertex in lines[0].as_array().unwrap() {
        assert!((vertex[1].as_f64().unwrap() - ROAD_LAT).abs() < 2e-7, "{vertex} is on the road");
    }
    let roads = matched["properties"]["road"].as_array().unwrap();
    assert_eq!(roads.len() as i64, FIXES);
    assert!(roads.iter().all(|road| road == "east"), "{roads:?}");
    // 0.0008 degrees of longitude here are 71.5 m.
    let along = matched["properties"]["along"].as_array().unwrap();
    let steps = along.windows(2).map(|pair| pair[1].as_f64().unwrap() - pair[0].as_f64().unwrap());
    assert!(steps.clone().all(|step| (step - 71.5).abs() < 0.5), "{:?}", steps.collect::<Vec<_>>());
    api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_both_ways_gpx_and_mistakes() {
    let (api, _folder) = world();
    let span = format!("from={}&to={}", FIRST + 20_000, FIRST + 50_000);
    let both = feature(&api, &format!("views/vehicles/v1/track?way=both&{span}")).await;
    assert_eq!(both["type"], "FeatureCollection");
    for of in both["features"].as_array().unwrap() {
        let times = of["properties"]["ts"].as_array().unwrap();
        assert_eq!((times.len(), times[0].as_i64()), (4, Some(FIRST + 20_000)), "{of}");
    }
    let (status, gpx) = get(&api, &format!("views/vehicles/v1/track?way=both&format=gpx&{span}")).await;
    assert_eq!(
        (status, gpx.matches("<trk>").count(), gpx.matches("(matched)").count()),
        (200, 2, 1),
        "{gpx}"
    );
    let empty = feature(&api, "views/vehicles/v2/track?way=matched").await;
    assert_eq!((&empty["geometry"], &empty["properties"]["matched"]), (&Json::Null, &json!(true)));
    for (path, expected) in [
        ("views/vehicles/v3/track?way=matched", 404),
        ("views/vehicles/v1/track?way=straight", 400),
        ("views/vehicles/v1/track?format=kml", 400),
        ("views/vehicles/v1/track?road=east", 400),
    ] {
        assert_eq!(get(&api, path).await.0, expected, "{path}");
    }
    api.stop();
}
