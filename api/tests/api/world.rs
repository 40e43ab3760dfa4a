//! An API on a real socket, random frames for it, what they add up to by a naive fold, and a client.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::token::{Claims, Scope, Secret};
use api::{Api, ApiConfig, Health, Lines, Partners, StreamWriter, Warehouse};
use futures_util::{SinkExt, StreamExt};
use model::{
    Changes, Column, Frame, Names, Op, PastChange, Step, StreamId, Tick, Type, Value, ViewId, ViewSpec,
};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

pub const SPECS: [ViewSpec; 2] = [
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
#[derive(Default)]
pub struct Picky {
    /// What it took.
    pub taken: parking_lot::Mutex<Vec<(StreamId, Json)>>,
}

impl StreamWriter for Picky {
    fn append(&self, stream: StreamId, lines: Vec<Vec<u8>>) -> model::Result<Lines> {
        let records = lines.iter().filter_map(|line| serde_json::from_slice(line).ok());
        self.taken.lock().extend(records.map(|record| (stream, record)));
        let judge = |line: Vec<u8>| match line.starts_with(b"{") {
            true => Ok((0, 1)),
            false => Err("not_json: it isn't".to_owned()),
        };
        Ok(lines.into_iter().map(judge).collect())
    }
}

/// A warehouse that remembers what it is told.
#[derive(Default)]
pub struct Memory {
    /// By view: the changes in order.
    pub changes: parking_lot::Mutex<[Vec<PastChange>; 2]>,
    /// What it is exact for.
    pub span: parking_lot::Mutex<(Tick, Tick)>,
}

impl Memory {
    fn of(&self, spec: &ViewSpec, key: &[Value]) -> Vec<PastChange> {
        let view = SPECS.iter().position(|known| known.name == spec.name).unwrap();
        let all = self.changes.lock()[view].clone();
        all.into_iter().filter(|change| change.row[..key.len()] == *key).collect()
    }
}

impl Warehouse for Memory {
    fn span(&self) -> (Tick, Tick) {
        *self.span.lock()
    }

    fn rows(&self, spec: &ViewSpec, tick: Tick) -> model::Result<Vec<Box<[Value]>>> {
        let mut rows: Vec<Box<[Value]>> = Vec::new();
        for change in self.of(spec, &[]).into_iter().filter(|change| change.tick <= tick) {
            rows.retain(|row| row[..spec.key] != change.row[..spec.key]);
            if change.op == Op::Upsert {
                rows.push(change.row);
            }
        }
        Ok(rows)
    }

    fn change_before(&self, spec: &ViewSpec, key: &[Value], tick: Tick) -> model::Result<Option<PastChange>> {
        Ok(self.of(spec, key).into_iter().rfind(|change| change.tick <= tick))
    }

    fn changes(
        &self,
        spec: &ViewSpec,
        key: &[Value],
        (after, until): (Tick, Tick),
        limit: usize,
    ) -> model::Result<Vec<PastChange>> {
        let within = |change: &PastChange| change.tick > after && change.tick <= until;
        Ok(self.of(spec, key).into_iter().filter(within).take(limit).collect())
    }
}

/// A small reproducible generator.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// An API, what it was told, and what that adds up to.
pub struct World {
    pub api: Api,
    pub secret: Secret,
    names: Arc<Names>,
    pub upper: u64,
    /// By view: rows by key, as JSON.
    pub truth: [BTreeMap<String, Json>; 2],
    pub past: BTreeMap<u64, [BTreeMap<String, Json>; 2]>,
    pub dice: Dice,
    pub writer: Arc<Picky>,
    pub memory: Arc<Memory>,
    /// Where the screens are looked for.
    pub folder: tempfile::TempDir,
}

pub fn key_of(view: usize, row: &Json) -> String {
    SPECS[view].columns[..SPECS[view].key].iter().map(|column| row[column.name].to_string()).collect()
}

impl World {
    pub fn new(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::random().unwrap();
        let mut config =
            ApiConfig::new("127.0.0.1:0".parse().unwrap(), folder.path().to_owned(), secret.clone());
        change(&mut config);
        let (names, writer) = (Arc::new(Names::new()), Arc::new(Picky::default()));
        let memory = Arc::new(Memory::default());
        let api = Api::start(
            config,
            SPECS.to_vec(),
            Arc::clone(&names),
            Partners {
                writer: Some(Arc::clone(&writer) as _),
                warehouse: Some(Arc::clone(&memory) as _),
                health: Arc::new(Fine),
                clock: || 5_000,
            },
        )
        .unwrap();
        let truth = [BTreeMap::new(), BTreeMap::new()];
        Self {
            api,
            secret,
            names,
            upper: 0,
            truth,
            past: BTreeMap::new(),
            dice: Dice(7),
            writer,
            memory,
            folder,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api.local_addr())
    }

    pub fn token(&self, scope: Scope) -> String {
        self.secret.issue(&Claims { subject: "王芳".into(), scope, expires: None })
    }

    /// Publishes a frame of random changes over one or two ticks.
    pub fn step(&mut self) {
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
        let plain = |value: &Value| match value.as_str(&self.names) {
            Some(text) => Value::Text(text.into()),
            None => value.clone(),
        };
        for (remembered, changes) in self.memory.changes.lock().iter_mut().zip(&views) {
            remembered.extend(changes.iter().map(|change| PastChange {
                tick: change.tick,
                op: change.op,
                row: change.row.iter().map(plain).collect(),
            }));
        }
        for (view, changes) in (0u16..).zip(views) {
            if !changes.is_empty() {
                steps.push(Step { view: ViewId(view), lower, upper: self.upper, changes });
            }
        }
        self.api.publish(&Arc::new(Frame { lower, upper: self.upper, tick, steps })).unwrap();
    }

    /// Publishes a frame of one tick that puts this alert; `None` as the number deletes it. The past is not kept.
    pub fn put(&mut self, id: &str, district: &str, n: Option<i64>) {
        let row = [Value::Text(id.into()), Value::Text(district.into()), n.map_or(Value::Null, Value::Int)];
        let (lower, tick) = (self.upper, self.upper + 199);
        self.upper = tick + 1;
        let mut changes = Changes::new(3);
        let key = json!(id).to_string();
        match n {
            Some(n) => {
                changes.push(tick, Op::Upsert, &row);
                let json = json!({ "alert_id": id, "district": district, "n": n });
                self.truth[0].insert(key, json);
            }
            None => {
                changes.push(tick, Op::Delete, &row);
                self.truth[0].remove(&key);
            }
        }
        let steps = vec![Step { view: ViewId(0), lower, upper: self.upper, changes }];
        self.api.publish(&Arc::new(Frame { lower, upper: self.upper, tick, steps })).unwrap();
    }

    /// A figure of `/metrics`.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = reqwest::get(self.url("/metrics")).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    pub async fn get(&self, path: &str) -> (u16, Json) {
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

    /// Asks for a live connection with these parameters and subprotocols.
    pub async fn ask(&self, parameters: &str, protocols: &str) -> Result<Client, tungstenite::Error> {
        let url = format!("ws://127.0.0.1:{}/api/v1/live{parameters}", self.api.local_addr().port());
        let mut request = url.into_client_request().unwrap();
        if !protocols.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        }
        // Merged updates may be large; a browser has no limit either.
        let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, answer) =
            tokio_tungstenite::connect_async_with_config(request, Some(limits), false).await?;
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chengmai.v1.json");
        Ok(Client { socket, views: BTreeMap::new(), tick: 0, frames: 0 })
    }

    pub async fn connect(&self) -> Client {
        self.ask("", "chengmai.v1.json").await.unwrap()
    }
}

/// The status with which a live connection was refused.
pub fn refused(answer: Result<Client, tungstenite::Error>) -> u16 {
    match answer {
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

/// Asks again and again until it is so; something else must make it so.
pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A client as the protocol asks for: it applies what comes and believes it at each frame.
pub struct Client {
    pub socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    /// By subscription: which view, and its rows by key.
    pub views: BTreeMap<String, (usize, BTreeMap<String, Json>)>,
    pub tick: u64,
    /// Frames heard.
    pub frames: u64,
}

impl Client {
    pub async fn say(&mut self, message: Json) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn hear(&mut self) -> Json {
        let message =
            tokio::time::timeout(Duration::from_secs(30), self.socket.next()).await.expect("nothing comes");
        serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    pub async fn subscribe(&mut self, id: &str, view: usize, more: Json) {
        let mut message = json!({ "type": "subscribe", "id": id, "view": SPECS[view].name });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let rows = self.views.remove(id).map(|(_, rows)| rows).unwrap_or_default();
        self.views.insert(id.to_owned(), (view, rows));
        self.say(message).await;
    }

    /// Hears the end; the code and the reason. Everything before it is applied as far as whole frames go.
    pub async fn closed(&mut self) -> (u16, String) {
        let mut said = Vec::new();
        loop {
            let next = tokio::time::timeout(Duration::from_secs(30), self.socket.next()).await.unwrap();
            match next.expect("the end was said").unwrap() {
                Message::Close(Some(close)) => return (close.code.into(), close.reason.to_string()),
                Message::Text(text) => {
                    let message: Json = serde_json::from_str(&text).unwrap();
                    let is_frame = message["type"] == "frame";
                    said.push(message);
                    if is_frame {
                        said.drain(..).for_each(|message| self.apply(&message));
                    }
                }
                _ => {}
            }
        }
    }

    /// Applies messages until a frame at `tick` or later; returns their types.
    pub async fn until(&mut self, tick: u64) -> Vec<String> {
        let (mut types, mut uppers) = (Vec::new(), Vec::new());
        loop {
            let message = self.hear().await;
            types.push(message["type"].as_str().unwrap().to_owned());
            self.apply(&message);
            match message["type"].as_str().unwrap() {
                "update" => uppers.push(message["upper"].as_u64().unwrap()),
                "frame" => {
                    assert!(
                        uppers.drain(..).all(|upper| upper == self.tick + 1),
                        "one span between two frames"
                    );
                    if self.tick >= tick {
                        return types;
                    }
                }
                _ => {}
            }
        }
    }

    fn apply(&mut self, message: &Json) {
        match message["type"].as_str().unwrap() {
            "frame" => {
                self.tick = message["tick"].as_u64().unwrap();
                self.frames += 1;
            }
            "snapshot" => {
                let (view, rows) = self.views.get_mut(message["id"].as_str().unwrap()).unwrap();
                let all = message["rows"].as_array().unwrap().iter();
                *rows = all.map(|row| (key_of(*view, row), row.clone())).collect();
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

pub fn in_district(rows: &BTreeMap<String, Json>, district: &str) -> BTreeMap<String, Json> {
    rows.iter()
        .filter(|(_, row)| row["district"] == district)
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect()
}
