//! The live protocol: a client that does as it says holds what the frames add up to, at every frame.

use std::time::Duration;

use api::token::Scope;
use futures_util::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{World, eventually, in_district, refused};

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
    assert_eq!(refused(world.ask("", "").await), 400);
    assert_eq!(refused(world.ask("?tokem=a", "chengmai.v1.json").await), 400);
    // What is too long ends it.
    client.say(json!({ "type": "x".repeat(70_000) })).await;
    assert_eq!(client.closed().await.0, 1009);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_resumes_from_any_tick_within_the_history() {
    let mut world = World::new(|_| {});
    (0..40).for_each(|_| world.step());
    let ticks: Vec<u64> = world.past.keys().copied().collect();
    assert!(ticks.windows(2).any(|pair| pair[1] - pair[0] == 100), "some ticks lie within a frame");
    for tick in ticks {
        let mut client = world.connect().await;
        for (view, id) in ["a", "b"].into_iter().enumerate() {
            client.views.insert(id.into(), (view, world.past[&tick][view].clone()));
            client.subscribe(id, view, json!({ "since": tick })).await;
            let types = client.until(world.upper - 1).await;
            assert!(!types.contains(&"snapshot".to_owned()), "{types:?}");
            assert_eq!(client.views[id].1, world.truth[view], "since {tick}");
        }
    }
    // A tick that is still to come cannot be resumed from.
    let mut client = world.connect().await;
    client.subscribe("a", 0, json!({ "since": u64::MAX })).await;
    assert!(client.until(world.upper - 1).await.contains(&"snapshot".to_owned()));
    assert_eq!(client.views["a"].1, world.truth[0]);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_outside_the_chosen_columns_is_not_sent() {
    let mut world = World::new(|_| {});
    world.put("a", "610602", Some(1));
    let mut client = world.connect().await;
    client.say(json!({ "type": "subscribe", "id": "x", "view": "alerts", "columns": ["district"] })).await;
    let error = client.hear().await;
    assert!(error["message"].as_str().unwrap().contains("`alert_id` is missing"), "{error}");
    client.subscribe("x", 0, json!({ "columns": ["alert_id", "district"] })).await;
    client.until(world.upper - 1).await;
    world.put("a", "610602", Some(2));
    assert_eq!(client.until(world.upper - 1).await, ["frame"]);
    world.put("a", "610603", Some(2));
    assert_eq!(client.until(world.upper - 1).await, ["update", "frame"]);
    world.put("a", "610603", None);
    assert_eq!(client.until(world.upper - 1).await, ["update", "frame"]);
    assert!(client.views["x"].1.is_empty());
    world.api.stop();
}

/// Frames of a flood.
const FLOOD: i64 = 500;

/// More than the buffers of a connection hold, in rows of their own so that merging makes it no less; then small
/// changes of one row.
fn flood(world: &mut World) {
    (0..FLOOD).for_each(|n| world.put(&format!("big{n}"), &"x".repeat(100_000), Some(n)));
    (0..FLOOD).for_each(|n| world.put("small", "610602", Some(n)));
    world.put("big0", "", None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_merged_updates_and_misses_nothing() {
    let mut world = World::new(|config| config.max_pending_bytes = 1 << 30);
    world.put("a", "610602", Some(1));
    let (mut slow, mut other) = (world.connect().await, world.connect().await);
    slow.subscribe("x", 0, json!({})).await;
    slow.until(world.upper - 1).await;
    slow.subscribe("y", 0, json!({ "where": { "district": "610602" } })).await;
    slow.until(world.upper - 1).await;
    other.subscribe("x", 0, json!({})).await;
    other.until(world.upper - 1).await;
    flood(&mut world);
    slow.until(world.upper - 1).await;
    assert_eq!(slow.views["x"].1, world.truth[0]);
    assert_eq!(slow.views["y"].1, in_district(&world.truth[0], "610602"));
    assert!(slow.frames < FLOOD as u64, "{} frames: the small changes were not merged", slow.frames);
    assert!(world.metric("chengmai_live_merged_frames_total").await > 0);
    other.until(world.upper - 1).await;
    assert_eq!(other.views["x"].1, world.truth[0]);
    assert_eq!(world.metric("chengmai_live_slow_closed_total").await, 0);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_for_which_too_much_piles_up_is_closed_and_resumes() {
    let mut world = World::new(|config| config.max_pending_bytes = 150_000);
    world.put("a", "610602", Some(1));
    let mut client = world.connect().await;
    client.subscribe("x", 0, json!({})).await;
    client.until(world.upper - 1).await;
    flood(&mut world);
    let (code, reason) = client.closed().await;
    assert_eq!(code, 4001);
    assert!(reason.contains("since"), "{reason}");
    assert_eq!(world.metric("chengmai_live_slow_closed_total").await, 1);
    let (seen, rows) = (client.tick, client.views["x"].clone());
    assert!(seen < world.upper - 1);
    let mut client = world.connect().await;
    client.views.insert("x".into(), rows);
    client.subscribe("x", 0, json!({ "since": seen })).await;
    assert!(!client.until(world.upper - 1).await.contains(&"snapshot".to_owned()));
    assert_eq!(client.views["x"].1, world.truth[0]);
    world.api.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_stuck_or_gone_leave_their_place() {
    // One that takes nothing.
    let mut world = World::new(|config| {
        (config.max_connections, config.send_timeout) = (1, Duration::from_millis(500));
        config.max_pending_bytes = 1 << 30;
    });
    let mut stuck = world.connect().await;
    stuck.subscribe("x", 0, json!({})).await;
    stuck.until(0).await;
    assert_eq!(refused(world.ask("", "chengmai.v1.json").await), 503);
    flood(&mut world);
    eventually("its place is free", async || world.metric("chengmai_live_connections").await == 0).await;
    assert_eq!(world.metric("chengmai_live_slow_closed_total").await, 1);
    let mut next = world.connect().await;
    next.subscribe("x", 0, json!({ "where": { "district": "610602" } })).await;
    next.until(world.upper - 1).await;
    assert_eq!(next.views["x"].1, in_district(&world.truth[0], "610602"));
    drop(next);
    eventually("a client that went is gone", async || world.metric("chengmai_live_connections").await == 0)
        .await;
    world.api.stop();
    // One that does not answer pings, beside one that does.
    let world = World::new(|config| config.ping_interval = Duration::from_millis(300));
    let (_silent, mut lively) = (world.connect().await, world.connect().await);
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = lively.socket.next().await {
            if let Message::Close(_) = message {
                return message;
            }
        }
        panic!("the lively one was cut")
    });
    eventually("the silent one is gone", async || world.metric("chengmai_live_connections").await == 1).await;
    assert!(!reading.is_finished());
    // Who is there when we stop hears it.
    world.api.stop();
    match reading.await.unwrap() {
        Message::Close(Some(close)) => {
            assert_eq!(u16::from(close.code), 1001);
            assert!(close.reason.contains("stopping"), "{}", close.reason);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_a_token_opens_the_live_protocol() {
    let world = World::new(|config| config.listen = "0.0.0.0:0".parse().unwrap());
    let token = world.token(Scope::Read);
    assert_eq!(refused(world.ask("", "chengmai.v1.json").await), 401);
    assert_eq!(refused(world.ask("?token=a.b", "chengmai.v1.json").await), 401);
    assert!(world.ask(&format!("?token={token}"), "chengmai.v1.json").await.is_ok());
    assert!(world.ask("", &format!("bearer.{token}, chengmai.v1.json")).await.is_ok());
    world.api.stop();
}
