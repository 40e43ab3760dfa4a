//! `POST /explain/park_radius/what-if` over a real socket: what it answers, what it refuses, and that nothing changes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use api::token::Secret;
use api::{Api, ApiConfig, Health, Partners};
use model::{Changes, Column, Frame, Names, Op, Step, Type, Value, ViewId, ViewSpec};
use serde_json::{Value as Json, json};

const SPECS: [ViewSpec; 2] = [
    ViewSpec {
        name: "reference",
        zh: "",
        doc: "",
        key: 2,
        columns: &[
            Column::new("kind", Type::Text, "", ""),
            Column::new("id", Type::Text, "", ""),
            Column::new("ts", Type::Time, "", "").nullable(),
            Column::new("json", Type::Json, "", ""),
        ],
        bounded_by: "",
    },
    ViewSpec {
        name: "park_radius",
        zh: "",
        doc: "",
        key: 2,
        columns: &[
            Column::new("district", Type::Text, "", ""),
            Column::new("scheme", Type::Text, "", ""),
            Column::new("residences", Type::Int, "", ""),
            Column::new("residential_area", Type::Float, "", ""),
            Column::new("covered_area", Type::Float, "", ""),
            Column::new("population", Type::Float, "", ""),
            Column::new("covered_population", Type::Float, "", ""),
            Column::new("walking_population", Type::Float, "", "").nullable(),
        ],
        bounded_by: "",
    },
];

struct Fine;

impl Health for Fine {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn metrics(&self, _out: &mut String) {}
}

/// A square of `side` degrees.
fn square(lon: f64, lat: f64, side: f64) -> Json {
    let ring = [[lon, lat], [lon + side, lat], [lon + side, lat + side], [lon, lat + side], [lon, lat]];
    json!({"type": "Polygon", "coordinates": [ring]})
}

/// Two residences 450 m apart with a street between them, and a park that nobody opened yet.
fn records() -> Vec<Json> {
    let scheme = |id: &str, enabled: bool| json!({"kind": "radius_scheme", "id": id, "enabled": enabled, "steps": [{"radius_m": 300}], "walk_m": 600});
    vec![
        scheme("live", true),
        scheme("asleep", false),
        json!({"kind": "residence", "id": "west", "district": "d", "population": 100, "geometry": square(109.49, 36.59, 0.001)}),
        json!({"kind": "residence", "id": "east", "district": "d", "population": 300, "geometry": square(109.495, 36.59, 0.001)}),
        json!({"kind": "walkway", "id": "street",
            "geometry": {"type": "LineString", "coordinates": [[109.49, 36.5895], [109.493, 36.5895], [109.497, 36.5895]]}}),
    ]
}

fn world() -> (Api, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config =
        ApiConfig::new("127.0.0.1:0".parse().unwrap(), folder.path().to_owned(), Secret::random().unwrap());
    let names = Arc::new(Names::new());
    let partners = Partners { writer: None, warehouse: None, health: Arc::new(Fine), clock: || 5_000 };
    let api = Api::start(config, SPECS.to_vec(), Arc::clone(&names), partners).unwrap();
    let (mut reference, mut radius) = (Changes::new(4), Changes::new(8));
    for record in records() {
        let text = |name: &str| record[name].as_str().unwrap();
        let id = Value::Name(names.intern(text("id")));
        let kind = Value::Name(names.intern(text("kind")));
        reference.push(199, Op::Upsert, &[kind, id, Value::Null, Value::Text(record.to_string().into())]);
    }
    let name = |text: &str| Value::Name(names.intern(text));
    let figures = [20_000.0, 0.0, 400.0, 0.0, 0.0].map(Value::Float);
    let row: Vec<Value> = [name("d"), name("live"), Value::Int(2)].into_iter().chain(figures).collect();
    radius.push(199, Op::Upsert, &row);
    let step = |view, changes| Step { view: ViewId(view), lower: 0, upper: 200, changes };
    let steps = vec![step(0, reference), step(1, radius)];
    api.publish(&Arc::new(Frame { lower: 0, upper: 200, tick: 199, steps })).unwrap();
    (api, folder)
}

async fn ask(api: &Api, question: &Json) -> (u16, Json) {
    let url = format!("http://{}/api/v1/explain/park_radius/what-if", api.local_addr());
    let answer = reqwest::Client::new().post(url).body(question.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_park_that_does_not_exist_yet_serves_those_near_it() {
    let (api, _folder) = world();
    let park = json!({"kind": "park", "id": "new", "entrances": [[109.4955, 36.5893]], "geometry": square(109.495, 36.588, 0.001)});
    let (status, answer) = ask(&api, &json!({"changes": [park]})).await;
    assert_eq!((status, &answer["tick"], &answer["scheme"]), (200, &json!(199), &json!("live")));
    let (before, after) = (&answer["districts"][0]["before"], &answer["districts"][0]["after"]);
    assert_eq!((&before["share"], &before["residential_area"]), (&json!(0.0), &json!(20_000.0)));
    // The eastern residence lies wholly within 300 m and has 600 m to walk at most; the western one within none.
    assert_eq!((&after["covered_population"], &after["walking_population"]), (&json!(300.0), &json!(400.0)));
    let covered = after["covered_area"].as_f64().unwrap();
    assert!((9_900.0..10_100.0).contains(&covered), "{covered}");
    assert_eq!(answer["city"]["after"], *after);
    assert_eq!(answer["residences"][0]["residence_id"], "east");

    // With the street gone nobody walks there, and for a scheme that nobody keeps the sums come from the records.
    let gone = json!({"kind": "walkway", "id": "street", "deleted": true});
    let (_, answer) = ask(&api, &json!({"scheme": "asleep", "changes": [park, gone]})).await;
    let (before, after) = (&answer["districts"][0]["before"], &answer["districts"][0]["after"]);
    assert_eq!((&after["covered_population"], &after["walking_population"]), (&json!(300.0), &json!(0.0)));
    assert_eq!(before["population"], 400.0);

    // Asking has changed nothing.
    let url = format!("http://{}/api/v1/views/reference", api.local_addr());
    let rows: Json = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(rows["rows"].as_array().unwrap().len(), records().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let (api, _folder) = world();
    let park = json!({"kind": "park", "id": "new"});
    for (question, word) in [
        (json!({}), "changes"),
        (json!({"changes": []}), "changes"),
        (json!({"changes": [park], "where": 1}), "where"),
        (json!({"scheme": "none", "changes": [park]}), "asleep"),
        (json!({"changes": [{"kind": "sensor", "id": "s"}]}), "sensor"),
        (json!({"changes": [{"kind": "park"}]}), "id"),
        (json!({"changes": [{"kind": "park", "id": "p", "status": "shut"}]}), "status"),
        (json!({"changes": [{"kind": "park", "id": "p", "crs": "gcj02"}]}), "wgs84"),
    ] {
        let (status, answer) = ask(&api, &question).await;
        let detail = answer["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(word), "{question}: {status} {detail}");
    }
}
