//! REST: answers are of one tick, mistakes are named, and who may do what.

use std::collections::BTreeMap;

use api::token::{Claims, Scope};
use serde_json::{Value as Json, json};

use crate::world::{SPECS, World, eventually, in_district, key_of};

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
        ("/api/v1/views/alerts?as_of=-1", 400, "expected a whole number"),
        ("/api/v1/views/alerts?where=n:many", 400, "expects a whole number or null"),
        ("/api/v1/views/alerts?where=n", 400, "expected column:value"),
        ("/api/v1/views/alerts?order=m&order=n", 400, "there twice"),
        ("/api/v1/views/alerts?order=-distrikt", 400, "did you mean `district`?"),
        ("/api/v1/views/alerts?lang=zh", 400, "unknown parameter `lang`"),
        ("/api/v1/views?limit=1", 400, "takes none"),
        ("/api/v1/views/%FF", 400, "the path"),
        ("/api/v1/streams/cases", 405, "another method"),
        ("/api/v2/views", 404, "/api/docs"),
        ("/api/v1/export/alerts.csv?lang=fr", 400, "expected zh or en"),
        ("/api/v1/export/alerts.csv?limit=1", 400, "unknown parameter `limit`"),
        ("/api/v1/nothing", 404, "/api/docs"),
        ("/api/v1/export/alerts.xml", 404, "with .csv"),
    ] {
        let (found, problem) = world.get(path).await;
        assert_eq!((found, problem["status"].as_u64()), (status, Some(u64::from(status))), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
    // The largest numbers are numbers too.
    let (status, answer) = world.get(&format!("/api/v1/views/alerts?as_of={}", u64::MAX)).await;
    assert_eq!((status, answer["tick"].as_u64()), (200, Some(world.upper - 1)));
    // A cursor stays with its question.
    let (_, answer) = world.get("/api/v1/views/alerts?limit=1&order=n").await;
    let next = answer["next"].as_str().unwrap();
    let (status, problem) = world.get(&format!("/api/v1/views/alerts?order=-n&cursor={next}")).await;
    assert_eq!(status, 400, "{problem}");
    let (status, _) = world.get(&format!("/api/v1/views/alerts?order=n&as_of=5&cursor={next}")).await;
    assert_eq!(status, 400);
    assert_eq!(world.get(&format!("/api/v1/views/alerts?order=n&cursor={next}")).await.0, 200);
    (0..30).for_each(|_| world.step());
    let (status, problem) = world.get(&format!("/api/v1/views/alerts?order=n&cursor={next}")).await;
    assert_eq!(status, 410, "its tick has left the history");
    assert!(problem["oldest_tick"].as_u64().unwrap() > answer["tick"].as_u64().unwrap());
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
    // Elsewhere reading needs a token too; only probes do not.
    let world = World::new(|config| {
        config.listen = "0.0.0.0:0".parse().unwrap();
        config.allowed_origins = vec!["https://screens.example".into()];
    });
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", world.api.local_addr().port());
    for path in ["/api/v1/views", "/api/v1/views/alerts", "/api/v1/export/alerts.csv", "/metrics"] {
        let answer = client.get(url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        let token = world.token(Scope::Read);
        let answer = client.get(url(path)).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    for path in ["/healthz", "/readyz", "/api/docs", "/api/v1/openapi.json"] {
        assert_eq!(client.get(url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    for (origin, status) in [("https://screens.example", 200), ("https://other.example", 403), ("null", 403)]
    {
        let request = client.get(url("/api/v1/views")).bearer_auth(world.token(Scope::Read));
        assert_eq!(request.header("origin", origin).send().await.unwrap().status(), status, "{origin}");
    }
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_a_record_and_is_answered_when_it_shows() {
    let mut world = World::new(|_| {});
    world.put("a/1", "610602", Some(1));
    let url = world.url("/api/v1/alerts/a%2F1/close");
    let request = reqwest::Client::new().post(url).bearer_auth(world.token(Scope::Write));
    let send = |request: &reqwest::RequestBuilder| {
        let request = request.try_clone().unwrap().body(r#"{"reason":"修好了"}"#);
        tokio::spawn(async move { request.send().await.unwrap().json::<Json>().await.unwrap() })
    };
    let mut ids = Vec::new();
    for n in 0..2 {
        let answer = send(&request);
        let writer = std::sync::Arc::clone(&world.writer);
        eventually("the record is written", async || writer.taken.lock().len() > n).await;
        let (stream, record) = writer.taken.lock()[n].clone();
        assert_eq!(stream, model::StreamId::Actions);
        let expected = json!({
            "action_id": record["action_id"], "ts": 5_000, "user": "王芳", "action": "close", "target": "a/1",
            "reason": "修好了",
        });
        assert_eq!(record, expected);
        ids.push(record["action_id"].clone());
        world.put("another", "610602", Some(n as i64));
        world.put("a/1", "610602", Some(2 + n as i64));
        assert_eq!(answer.await.unwrap(), json!({ "visible_at": world.upper - 1, "action_id": ids[n] }));
    }
    assert_ne!(ids[0], ids[1]);
    let wrong = request.try_clone().unwrap().body(r#"{"raeson":"x"}"#).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("raeson"));
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_follow_each_other_and_the_history_has_a_bound() {
    let mut world = World::new(|config| config.history_bytes = 200_000);
    world.put("a", "610602", Some(1));
    let upper = world.upper;
    for (lower, view) in [(upper + 1, 0), (upper - 1, 0), (upper, 9)] {
        let changes = model::Changes::new(3);
        let steps = vec![model::Step { view: model::ViewId(view), lower, upper: upper + 10, changes }];
        let frame = model::Frame { lower, upper: upper + 10, tick: upper + 9, steps };
        assert!(world.api.publish(&std::sync::Arc::new(frame)).is_err(), "[{lower}, …) of view {view}");
    }
    let (_, answer) = world.get("/api/v1/views/alerts").await;
    assert_eq!(answer["tick"].as_u64(), Some(upper - 1), "nothing of them is seen");
    for n in 0..50 {
        world.put("a", &"x".repeat(20_000), Some(n));
        assert!(world.metric("chengmai_history_bytes").await <= 200_000);
    }
    assert_eq!(world.metric("chengmai_frames_applied_total").await, 51);
    let oldest = world.metric("chengmai_history_oldest_tick_ms").await;
    assert!(oldest > 30 * 200, "about ten rows are held: {oldest}");
    let (status, answer) = world.get(&format!("/api/v1/views/alerts?as_of={oldest}")).await;
    assert_eq!((status, answer["tick"].as_u64()), (200, Some(oldest)));
    // The row of number n came with the frame of that place.
    assert_eq!(answer["rows"][0]["n"].as_u64(), Some(oldest / 200 - 1));
    assert_eq!(world.get(&format!("/api/v1/views/alerts?as_of={}", oldest - 1)).await.0, 410);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_has_forgotten_the_warehouse_remembers() {
    let mut world = World::new(|config| config.history_ms = 300);
    (0..40).for_each(|_| world.step());
    let ticks: Vec<u64> = world.past.keys().copied().collect();
    let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
    // A warehouse that has written up to the middle, and forgotten the first tick.
    let middle = ticks[ticks.len() / 2];
    *world.memory.span.lock() = (first + 1, middle + 1);
    let (status, answer) = world.get(&format!("/api/v1/views/alerts?as_of={first}")).await;
    assert_eq!((status, answer["oldest_tick"].as_u64()), (410, Some(first + 1)));
    let beyond = ticks[ticks.len() / 2 + 1];
    assert_eq!(world.get(&format!("/api/v1/views/alerts?as_of={beyond}")).await.0, 410, "neither knows it");
    for tick in ticks.iter().copied().filter(|tick| *tick > first && *tick <= middle) {
        for (view, spec) in SPECS.iter().enumerate() {
            let (status, answer) = world.get(&format!("/api/v1/views/{}?as_of={tick}", spec.name)).await;
            assert_eq!((status, answer["tick"].as_u64()), (200, Some(tick)));
            let rows = answer["rows"].as_array().unwrap().iter();
            let rows: BTreeMap<String, Json> = rows.map(|row| (key_of(view, row), row.clone())).collect();
            assert_eq!(rows, world.past[&tick][view], "{} at {tick}", spec.name);
        }
    }
    // The history of one row: each change of it, and what it was at regular moments.
    *world.memory.span.lock() = (0, last + 1);
    for key in world.past[&middle][1].values() {
        let query = format!("key={},{}", key["a"].as_str().unwrap(), key["b"]);
        let (status, answer) = world.get(&format!("/api/v1/views/pairs/history?{query}&from={middle}")).await;
        assert_eq!((status, answer["to"].as_u64(), &answer["next"]), (200, Some(last), &Json::Null));
        assert_eq!(answer["before"], *key);
        let mut row = answer["before"].clone();
        let mut changes = answer["changes"].as_array().unwrap().iter().peekable();
        for tick in ticks.iter().copied().filter(|tick| *tick > middle) {
            if let Some(change) = changes.next_if(|change| change["tick"] == tick) {
                row = if change["op"] == "delete" { Json::Null } else { change["row"].clone() };
            }
            let expected = world.past[&tick][1].get(&key_of(1, key)).cloned().unwrap_or(Json::Null);
            assert_eq!(row, expected, "{query} at {tick}");
        }
        assert!(changes.next().is_none(), "changes at ticks that were");
        let query = format!("{query}&from={first}&to={middle}&step=100");
        let (_, answer) = world.get(&format!("/api/v1/views/pairs/history?{query}")).await;
        let series = answer["series"].as_array().unwrap();
        assert_eq!(series.len() as u64, (middle - first) / 100 + 1);
        for moment in series {
            let at = moment["tick"].as_u64().unwrap();
            let past = world.past.range(..=at).next_back().unwrap().1;
            let expected = past[1].get(&key_of(1, key)).cloned().unwrap_or(Json::Null);
            assert_eq!(moment["row"], expected, "at {at}");
        }
    }
    for (path, status, says) in [
        ("pairs/history?from=0", 400, "`key` is missing"),
        ("pairs/history?key=a", 400, "expected a,b divided by commas"),
        ("pairs/history?key=a,x", 400, "expected a,b divided by commas"),
        ("pairs/history?key=[\"a\",1]&step=0", 400, "expected a positive number"),
        ("pairs/history?key=a,1&from=0&step=1&to=99999999", 200, ""),
        ("nothing/history?key=a", 404, "nothing"),
    ] {
        let (got, answer) = world.get(&format!("/api/v1/views/{path}")).await;
        assert_eq!(got, status, "{path}: {answer}");
        assert!(answer.to_string().contains(says), "{path}: {answer}");
    }
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn screens_are_files_and_one_page_for_all_else() {
    let world = World::new(|_| {});
    let write = |name: &str, text: &str| {
        let path = world.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let get = |path: &str| {
        let url = world.url(path);
        async move {
            let answer = reqwest::get(url).await.unwrap();
            let kept = answer.headers().get("cache-control").map(|value| value.to_str().unwrap().to_owned());
            (answer.status().as_u16(), kept.unwrap_or_default(), answer.text().await.unwrap())
        }
    };
    let (status, _, page) = get("/").await;
    assert_eq!(status, 404);
    assert!(page.contains("make screens"), "without screens a page says how to build them");
    write("index.html", "<p>the screens");
    write("assets/main-abc.js", "1");
    for path in ["/", "/index.html", "/analytics/parks"] {
        let (status, kept, page) = get(path).await;
        assert_eq!((status, &*kept, &*page), (200, "no-cache", "<p>the screens"), "{path}");
    }
    let (status, kept, text) = get("/assets/main-abc.js").await;
    assert_eq!((status, &*text), (200, "1"));
    assert!(kept.contains("immutable"), "{kept}");
    assert_eq!(get("/assets/main-old.js").await.0, 404, "a page is no script");
    assert_eq!(get("/..%2f..%2fetc%2fpasswd.txt").await.0, 404, "no way out of the folder");
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_whole_and_health_speaks() {
    let mut world = World::new(|_| {});
    (0..3).for_each(|_| world.step());
    let (_, document) = world.get("/api/v1/openapi.json").await;
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let mut expected = [
        "/views",
        "/views/{view}",
        "/views/{view}/history",
        "/views/vehicles/{id}/track",
        "/explain/park_radius/what-if",
        "/explain/rules/{id}/shadow",
        "/export/{file}",
        "/streams/{stream}",
        "/alerts/{id}/{action}",
        "/live",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ];
    expected.sort_unstable();
    let mut described = paths.clone();
    described.sort_unstable();
    assert_eq!(described, expected);
    // What is described is there: something other than the fallback answers.
    for path in &paths {
        let answer = reqwest::get(world.url(&format!("/api/v1{path}"))).await.unwrap().text().await.unwrap();
        assert!(!answer.contains("no such path"), "{path}: {answer}");
    }
    assert!(document["components"]["securitySchemes"]["token"].is_object());
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
    let csv =
        reqwest::get(world.url("/api/v1/export/alerts.csv?lang=zh")).await.unwrap().bytes().await.unwrap();
    assert!(csv.starts_with("\u{feff}告警编号,区县,数\r\n".as_bytes()));
    assert_eq!(csv.iter().filter(|byte| **byte == b'\n').count(), world.truth[0].len() + 1);
    world.api.stop();
}
