//! The API over a real socket: what REST and the live protocol say is what the frames add up to, at every frame.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::token::{Claims, Scope, Secret};
use api::{Api, ApiConfig, Health, Lines, StreamWriter};
use futures_util::{SinkExt, StreamExt};
use model::{Changes, Column, Frame, Names, Op, Step, StreamId, Type, Value, ViewId, ViewSpec};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

const SPECS: [ViewSpec; 2] = [
    ViewSpec {
        name: "alerts",
        zh: "告警",
        doc: "Alerts.",
        key: 1,
        columns: &[
            Column::new("alert_id", Type::Text, "告警编号", ""),
            Column::new("district", Type::Text, "区县", "").nullable(),
            Column::new("n", Type::Int, "数", ""),
        ],
        bounded_by: "",
    },
    ViewSpec {
        name: "pairs",
        zh: "对",
        doc: "Pairs.",
        key: 2,
        columns: &[
            Column::new("a", Type::Text, "", ""),
            Column::new("b", Type::Int, "", ""),
            Column::new("x", Type::Float, "", "").nullable(),
        ],
        bounded_by: "",
    },
];

struct Fine;

impl Health for Fine {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn metrics(&self, out: &mut String) {
        out.push_str("host_gauge 7\n");
    }
}

/// Takes every line but the bad ones.
struct Picky;

impl StreamWriter for Picky {
    fn append(&self, _stream: StreamId, lines: Vec<Vec<u8>>) -> model::Result<Lines> {
        let judge = |line: Vec<u8>| match line.starts_with(b"{") {
            true => Ok((0, 1)),
            false => Err("not_json: it isn't".to_owned()),
        };
        Ok(lines.into_iter().map(judge).collect())
    }
}

/// A small reproducible generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// An API, what it was told, and what that adds up to.
struct World {
    api: Api,
    secret: Secret,
    names: Arc<Names>,
    upper: u64,
    /// By view: rows by key, as JSON.
    truth: [BTreeMap<String, Json>; 2],
    past: BTreeMap<u64, [BTreeMap<String, Json>; 2]>,
    dice: Dice,
    _folder: tempfile::TempDir,
}

fn key_of(view: usize, row: &Json) -> String {
    SPECS[view].columns[..SPECS[view].key].iter().map(|column| row[column.name].to_string()).collect()
}

impl World {
    fn new(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::random().unwrap();
        let mut config =
            ApiConfig::new("127.0.0.1:0".parse().unwrap(), folder.path().to_owned(), secret.clone());
        change(&mut config);
        let names = Arc::new(Names::new());
        let api = Api::start(
            config,
            SPECS.to_vec(),
            Arc::clone(&names),
            Some(Arc::new(Picky)),
            Arc::new(Fine),
            || 5_000,
        )
        .unwrap();
        let truth = [BTreeMap::new(), BTreeMap::new()];
        Self { api, secret, names, upper: 0, truth, past: BTreeMap::new(), dice: Dice(7), _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api.local_addr())
    }

    fn token(&self, scope: Scope) -> String {
        self.secret.issue(&Claims { subject: "王芳".into(), scope, expires: None })
    }

    /// Publishes a frame of random changes over one or two ticks.
    fn step(&mut self) {
        let ticks = if self.dice.roll(4) == 0 {
            vec![self.upper + 99, self.upper + 199]
        } else {
            vec![self.upper + 99]
        };
        let mut steps = Vec::new();
        let mut views: Vec<Changes> = SPECS.iter().map(|spec| Changes::new(spec.columns.len())).collect();
        for tick in &ticks {
            for (view, changes) in views.iter_mut().enumerate() {
                let mut touched = std::collections::BTreeSet::new();
                for _ in 0..self.dice.roll(5) {
                    let (id, n) = (self.dice.roll(9), self.dice.roll(50) as i64);
                    let row = match view {
                        0 => {
                            let district = [
                                Value::Null,
                                Value::Name(self.names.intern("610602")),
                                Value::Name(self.names.intern("610621")),
                            ];
                            vec![
                                Value::Name(self.names.intern(&format!("规则/{id}"))),
                                district[(n % 3) as usize].clone(),
                                Value::Int(n),
                            ]
                        }
                        _ => {
                            let x = if n % 5 == 0 { Value::Null } else { Value::Float(n as f64 / 4.0) };
                            vec![Value::Text(format!("a{}", id % 3).into()), Value::Int(id as i64), x]
                        }
                    };
                    let mut text = Vec::new();
                    model::view::write_row_json(&SPECS[view], &row, &self.names, &mut text);
                    let json: Json = serde_json::from_slice(&text).unwrap();
                    let key = key_of(view, &json);
                    if !touched.insert(key.clone()) {
                        continue;
                    }
                    if self.dice.roll(3) == 0 {
                        if self.truth[view].remove(&key).is_some() {
                            changes.push(*tick, Op::Delete, &row);
                        }
                    } else {
                        changes.push(*tick, Op::Upsert, &row);
                        self.truth[view].insert(key, json);
                    }
                }
            }
            self.past.insert(*tick, self.truth.clone());
        }
        let (lower, tick) = (self.upper, *ticks.last().unwrap());
        self.upper = tick + 1;
        for (view, changes) in (0u16..).zip(views) {
            if !changes.is_empty() {
                steps.push(Step { view: ViewId(view), lower, upper: self.upper, changes });
            }
        }
        self.api.publish(&Arc::new(Frame { lower, upper: self.upper, tick, steps })).unwrap();
    }

    async fn get(&self, path: &str) -> (u16, Json) {
        let answer = reqwest::get(self.url(path)).await.unwrap();
        let status = answer.status().as_u16();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(
            kind,
            if status < 400 { "application/json" } else { "application/problem+json" },
            "{path}"
        );
        (status, answer.json().await.unwrap())
    }

    async fn connect(&self) -> Client {
        let mut request =
            format!("ws://{}/api/v1/live", self.api.local_addr()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "chengmai.v1.json".parse().unwrap());
        let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chengmai.v1.json");
        Client { socket, views: BTreeMap::new(), tick: 0 }
    }
}

/// A client as the protocol asks for: it applies what comes and believes it at each frame.
struct Client {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    /// By subscription: which view, and its rows by key.
    views: BTreeMap<String, (usize, BTreeMap<String, Json>)>,
    tick: u64,
}

impl Client {
    async fn say(&mut self, message: Json) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Json {
        let message =
            tokio::time::timeout(Duration::from_secs(30), self.socket.next()).await.expect("nothing comes");
        serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    async fn subscribe(&mut self, id: &str, view: usize, more: Json) {
        let mut message = json!({ "type": "subscribe", "id": id, "view": SPECS[view].name });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let rows = self.views.remove(id).map(|(_, rows)| rows).unwrap_or_default();
        self.views.insert(id.to_owned(), (view, rows));
        self.say(message).await;
    }

    /// Applies messages until a frame at `tick` or later; returns their types.
    async fn until(&mut self, tick: u64) -> Vec<String> {
        let mut types = Vec::new();
        loop {
            let message = self.hear().await;
            types.push(message["type"].as_str().unwrap().to_owned());
            match message["type"].as_str().unwrap() {
                "frame" => {
                    self.tick = message["tick"].as_u64().unwrap();
                    if self.tick >= tick {
                        return types;
                    }
                }
                "snapshot" => {
                    let (view, rows) = self.views.get_mut(message["id"].as_str().unwrap()).unwrap();
                    *rows = message["rows"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|row| (key_of(*view, row), row.clone()))
                        .collect();
                }
                "update" => {
                    assert!(message["lower"].as_u64().unwrap() < message["upper"].as_u64().unwrap());
                    let (view, rows) = self.views.get_mut(message["id"].as_str().unwrap()).unwrap();
                    for row in message["upserts"].as_array().unwrap() {
                        rows.insert(key_of(*view, row), row.clone());
                    }
                    for key in message["deletes"].as_array().unwrap() {
                        let key: String = key.as_array().unwrap().iter().map(Json::to_string).collect();
                        assert!(rows.remove(&key).is_some(), "a delete of what was not there: {key}");
                    }
                }
                other => panic!("unexpected {other}: {message}"),
            }
        }
    }
}

fn in_district(rows: &BTreeMap<String, Json>, district: &str) -> BTreeMap<String, Json> {
    rows.iter()
        .filter(|(_, row)| row["district"] == district)
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sees_is_what_the_frames_add_up_to() {
    let mut world = World::new(|_| {});
    (0..5).for_each(|_| world.step());
    let mut client = world.connect().await;
    client.subscribe("all", 0, json!({})).await;
    client.until(world.upper - 1).await;
    client.subscribe("pairs", 1, json!({})).await;
    client.until(world.upper - 1).await;
    client
        .subscribe(
            "some",
            0,
            json!({ "where": { "district": "610602" }, "columns": ["alert_id", "district"] }),
        )
        .await;
    client.until(world.upper - 1).await;
    for round in 0..120 {
        for _ in 0..world.dice.roll(3) + 1 {
            world.step();
        }
        client.until(world.upper - 1).await;
        assert_eq!(client.views["all"].1, world.truth[0], "round {round}");
        assert_eq!(client.views["pairs"].1, world.truth[1], "round {round}");
        let mut some = in_district(&world.truth[0], "610602");
        some.values_mut().for_each(|row| {
            row.as_object_mut().unwrap().remove("n");
        });
        assert_eq!(client.views["some"].1, some, "round {round}");
        if round == 60 {
            client.say(json!({ "type": "unsubscribe", "id": "pairs" })).await;
            client.say(json!({ "type": "ping" })).await;
            loop {
                if client.hear().await["type"] == "pong" {
                    break;
                }
            }
            client.subscribe("pairs", 1, json!({})).await;
            client.until(world.upper - 1).await;
        }
    }
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_resumes_where_it_was() {
    let mut world = World::new(|config| config.history_ms = 5_000);
    (0..10).for_each(|_| world.step());
    let mut client = world.connect().await;
    client.subscribe("a", 0, json!({})).await;
    client.until(world.upper - 1).await;
    let (seen, rows) = (client.tick, client.views["a"].clone());
    drop(client);
    (0..10).for_each(|_| world.step());
    let mut client = world.connect().await;
    client.views.insert("a".into(), rows.clone());
    client.subscribe("a", 0, json!({ "since": seen })).await;
    let types = client.until(world.upper - 1).await;
    assert!(!types.contains(&"snapshot".to_owned()), "{types:?}");
    assert_eq!(client.views["a"].1, world.truth[0]);
    // Beyond the history there is a snapshot instead.
    (0..60).for_each(|_| world.step());
    let mut client = world.connect().await;
    client.views.insert("a".into(), rows);
    client.subscribe("a", 0, json!({ "since": seen })).await;
    let types = client.until(world.upper - 1).await;
    assert!(types.contains(&"snapshot".to_owned()), "{types:?}");
    assert_eq!(client.views["a"].1, world.truth[0]);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_a_client_are_named() {
    let mut world = World::new(|config| config.max_subscriptions = 1);
    world.step();
    let mut client = world.connect().await;
    for (message, code, says) in [
        (json!({ "type": "subscribe", "id": "x", "view": "alertz" }), "bad_subscription", "no view `alertz`"),
        (
            json!({ "type": "subscribe", "id": "x", "view": "alerts", "where": { "d": 1 } }),
            "bad_subscription",
            "no column `d`",
        ),
        (json!({ "type": "subscribe", "id": "x", "view": "alerts", "wher": {} }), "bad_message", "wher"),
        (json!({ "type": "unsubscribe", "id": "x" }), "unknown_id", "no such subscription"),
        (json!({ "type": "dance" }), "bad_message", "dance"),
    ] {
        client.say(message).await;
        let error = client.hear().await;
        assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some("error"), Some(code)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    client.subscribe("x", 0, json!({})).await;
    client.until(world.upper - 1).await;
    for (id, code) in [("x", "id_taken"), ("y", "too_many")] {
        client.say(json!({ "type": "subscribe", "id": id, "view": "alerts" })).await;
        assert_eq!(client.hear().await["code"], code);
    }
    // Without the subprotocol there is no connection.
    let request = format!("ws://{}/api/v1/live", world.api.local_addr()).into_client_request().unwrap();
    match tokio_tungstenite::connect_async(request).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 400),
        other => panic!("{other:?}"),
    }
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_of_one_tick() {
    let mut world = World::new(|_| {});
    (0..30).for_each(|_| world.step());
    let ticks: Vec<u64> = world.past.keys().copied().collect();
    for tick in ticks {
        for (view, spec) in SPECS.iter().enumerate() {
            let (status, answer) = world.get(&format!("/api/v1/views/{}?as_of={tick}", spec.name)).await;
            assert_eq!((status, answer["tick"].as_u64()), (200, Some(tick)));
            let rows: BTreeMap<String, Json> = answer["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| (key_of(view, row), row.clone()))
                .collect();
            assert_eq!(rows, world.past[&tick][view], "{} at {tick}", spec.name);
        }
    }
    // Paging stays at its tick while frames go on.
    let expected = world.truth[0].clone();
    let (mut cursor, mut rows) = (String::new(), Vec::new());
    loop {
        let (status, answer) = world.get(&format!("/api/v1/views/alerts?limit=2{cursor}")).await;
        assert_eq!(status, 200);
        rows.extend(answer["rows"].as_array().unwrap().iter().cloned());
        world.step();
        match answer["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(rows, expected.values().cloned().collect::<Vec<_>>(), "sorted by key, of one tick");
    // Filter, order, columns.
    let (_, answer) = world.get("/api/v1/views/alerts?where=district:610602&order=-n&columns=n").await;
    let mut n: Vec<i64> =
        in_district(&world.truth[0], "610602").values().map(|row| row["n"].as_i64().unwrap()).collect();
    n.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(answer["rows"], n.iter().map(|n| json!({ "n": n })).collect::<Json>());
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_get_problem_documents() {
    let mut world = World::new(|config| (config.history_ms, config.max_body_bytes) = (1_000, 100));
    (0..30).for_each(|_| world.step());
    for (path, status, says) in [
        ("/api/v1/views/alertz", 404, "did you mean `alerts`?"),
        ("/api/v1/views/alerts?were=a:b", 400, "did you mean `where`?"),
        ("/api/v1/views/alerts?where=colour:red", 400, "it has alert_id, district, n"),
        ("/api/v1/views/alerts?limit=0", 400, "expected 1 to 10000"),
        ("/api/v1/views/alerts?cursor=zzz", 400, "not one of ours"),
        ("/api/v1/views/alerts?as_of=99", 410, "the oldest is"),
        ("/api/v1/nothing", 404, "/api/docs"),
        ("/api/v1/export/alerts.xml", 404, "with .csv"),
    ] {
        let (found, problem) = world.get(path).await;
        assert_eq!((found, problem["status"].as_u64()), (status, Some(u64::from(status))), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
    let client = reqwest::Client::new();
    let post = |path: &str, body: &str| {
        client.post(world.url(path)).bearer_auth(world.token(Scope::Write)).body(body.to_owned()).send()
    };
    let answer = post("/api/v1/streams/telemetry", "{\"a\":1}\n\nnope\n{}").await.unwrap();
    assert_eq!(
        answer.json::<Json>().await.unwrap(),
        json!({ "accepted": 2, "rejected": [{ "line": 3, "reason": "not_json: it isn't" }] })
    );
    assert_eq!(post("/api/v1/streams/telemetry", &"x".repeat(101)).await.unwrap().status(), 413);
    let unknown = post("/api/v1/streams/weather", "{}").await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert!(unknown.text().await.unwrap().contains("telemetry, positions, cases, reference, actions"));
    let some = world.truth[0].values().next().unwrap()["alert_id"].as_str().unwrap().replace('/', "%2F");
    assert_eq!(
        post(&format!("/api/v1/alerts/{some}/close"), "").await.unwrap().status(),
        400,
        "closing needs a reason"
    );
    assert_eq!(post("/api/v1/alerts/none/ack", "").await.unwrap().status(), 404);
    assert_eq!(post(&format!("/api/v1/alerts/{some}/eat"), "").await.unwrap().status(), 404);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_open_on_loopback_and_writing_never() {
    let world = World::new(|_| {});
    let client = reqwest::Client::new();
    let write = |token: Option<String>| {
        let request = client.post(world.url("/api/v1/streams/cases")).body("{}");
        token.map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token)).send()
    };
    assert_eq!(write(None).await.unwrap().status(), 401);
    assert_eq!(write(Some("made.up".into())).await.unwrap().status(), 401);
    assert_eq!(write(Some(world.token(Scope::Read))).await.unwrap().status(), 403);
    assert_eq!(write(Some(world.token(Scope::Write))).await.unwrap().status(), 200);
    let expired = Claims { subject: "x".into(), scope: Scope::Write, expires: Some(4_999) };
    assert_eq!(write(Some(world.secret.issue(&expired))).await.unwrap().status(), 401);
    let read = |header: &'static str, value: String| {
        client.get(world.url("/api/v1/views")).header(header, value).send()
    };
    assert_eq!(read("x-nothing", "".into()).await.unwrap().status(), 200);
    assert_eq!(read("origin", "http://evil.example".into()).await.unwrap().status(), 403);
    assert_eq!(read("host", "evil.example".into()).await.unwrap().status(), 403, "no DNS rebinding");
    assert_eq!(read("origin", format!("http://{}", world.api.local_addr())).await.unwrap().status(), 200);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_whole_and_health_speaks() {
    let mut world = World::new(|_| {});
    (0..3).for_each(|_| world.step());
    let (_, document) = world.get("/api/v1/openapi.json").await;
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for path in
        ["/views", "/views/{view}", "/export/{file}", "/streams/{stream}", "/alerts/{id}/{action}", "/live"]
    {
        assert!(paths.iter().any(|known| *known == path), "{path} is not among {paths:?}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(schemas["row_pairs"]["properties"]["x"]["type"], json!(["number", "null"]));
    fn references(value: &Json, found: &mut Vec<String>) {
        match value {
            Json::Object(object) => {
                found.extend(object.get("$ref").and_then(Json::as_str).map(str::to_owned));
                object.values().for_each(|value| references(value, found));
            }
            Json::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{reference} leads nowhere");
    }
    let text = |path: &str| {
        let url = world.url(path);
        async move { reqwest::get(url).await.unwrap().text().await.unwrap() }
    };
    assert_eq!(text("/healthz").await, "ok\n");
    assert_eq!(text("/readyz").await, "ready\n");
    let metrics = text("/metrics").await;
    assert!(metrics.contains(&format!("chengmai_tick_ms {}", world.upper - 1)), "{metrics}");
    assert!(metrics.contains("chengmai_view_rows{view=\"pairs\"}") && metrics.contains("host_gauge 7"));
    assert!(text("/api/docs").await.contains("openapi.json"));
    assert!(text("/").await.contains("make screens"), "without screens a page says how to build them");
    let csv =
        reqwest::get(world.url("/api/v1/export/alerts.csv?lang=zh")).await.unwrap().bytes().await.unwrap();
    assert!(csv.starts_with("\u{feff}告警编号,区县,数\r\n".as_bytes()));
    assert_eq!(csv.iter().filter(|byte| **byte == b'\n').count(), world.truth[0].len() + 1);
    world.api.stop();
}
