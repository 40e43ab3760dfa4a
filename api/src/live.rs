//! The live protocol: every change, frame by frame, over one WebSocket (subprotocol `chengmai.v1.json`).
//!
//! **Meaning.** All subscriptions of a connection move together: between two `frame` messages a client sees the changes
//! of exactly one span of ticks, and after a `frame` each of its subscriptions is complete through that tick.
//!
//! **Mechanism.** Nothing is queued for a client. When it is ready for more it gets what has changed since it was last:
//! the keys touched, each once, whatever happened to it in between. So a slow client gets fewer, merged updates, and one
//! that falls out of the store's history, or does not take a message in time, is closed and told to resume.
//!
//! **State.** Per connection its subscriptions and one number, the tick up to which it is served.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use foldhash::{HashMap, HashMapExt as _};
use model::{Tick, ViewId, ViewSpec};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::Shared;
use crate::guard;
use crate::problem::Problem;
use crate::query::{Filter, column_of, write_row, write_rows};
use crate::store::{Gone, Row, Touched};
use crate::token::Scope;

/// The protocol that a client must ask for.
pub const PROTOCOL: &str = "chengmai.v1.json";
/// Closed because the client was too slow: resume with `since`.
pub const TOO_SLOW: u16 = 4001;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Said {
    Subscribe {
        id: String,
        view: String,
        #[serde(default)]
        r#where: serde_json::Map<String, Json>,
        columns: Option<Vec<String>>,
        since: Option<Tick>,
    },
    Unsubscribe {
        id: String,
    },
    Ping,
}

struct Subscription {
    view: ViewId,
    filters: Vec<Filter>,
    columns: Option<Vec<usize>>,
}

/// Opens the live protocol: subscribe, then snapshot or updates, then a `frame` per span of ticks.
#[utoipa::path(get, path = "/live", tag = "live", responses(
    (status = 101, description = "WebSocket with subprotocol chengmai.v1.json"),
    (status = 400, description = "The subprotocol is missing", body = Problem),
    (status = 401, description = "No token", body = Problem),
    (status = 503, description = "Too many connections", body = Problem),
))]
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    let upgrade = upgrade.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let asked = headers.get_all("sec-websocket-protocol").iter().filter_map(|value| value.to_str().ok());
    if !asked.flat_map(|value| value.split(',')).any(|protocol| protocol.trim() == PROTOCOL) {
        return Err(Problem::bad_request(format!("the subprotocol must be {PROTOCOL}")));
    }
    if shared.connections.fetch_add(1, Ordering::Relaxed) >= shared.config.max_connections {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections"));
    }
    let limit = shared.config.max_message_bytes;
    Ok(upgrade.protocols([PROTOCOL]).max_message_size(limit).on_upgrade(move |socket| async move {
        let mut connection = Connection {
            upper: shared.store.now().1,
            shared: Arc::clone(&shared),
            socket,
            subscriptions: HashMap::new(),
        };
        if let Err(Closed::With(code, reason)) = connection.serve().await {
            let frame = CloseFrame { code, reason: reason.into() };
            // A client that is gone does not hear it.
            let _ = connection.socket.send(Message::Close(Some(frame))).await;
        }
        shared.connections.fetch_sub(1, Ordering::Relaxed);
    }))
}

/// Why a connection ends.
enum Closed {
    /// The client is gone.
    Gone,
    /// We close it.
    With(u16, &'static str),
}

struct Connection {
    shared: Arc<Shared>,
    socket: WebSocket,
    subscriptions: HashMap<String, Subscription>,
    /// The client is served up to here.
    upper: Tick,
}

impl Connection {
    async fn serve(&mut self) -> Result<(), Closed> {
        let mut upper = self.shared.upper.subscribe();
        loop {
            tokio::select! {
                said = self.socket.recv() => match said {
                    Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await?,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Binary(_))) => self.error(None, "bad_message", "messages are text").await?,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Closed::Gone),
                },
                moved = upper.changed() => match moved {
                    Ok(()) => self.catch_up().await?,
                    Err(_) => return Err(Closed::With(1001, "the engine is stopping: resume with since")),
                },
            }
        }
    }

    async fn send(&mut self, text: Vec<u8>) -> Result<(), Closed> {
        let text = String::from_utf8(text).map_err(|_| Closed::With(1011, "a message was not UTF-8"))?;
        self.shared.sent_bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        let sending = self.socket.send(Message::Text(text.into()));
        match tokio::time::timeout(self.shared.config.send_timeout, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closed::Gone),
            Err(_) => Err(self.too_slow()),
        }
    }

    fn too_slow(&self) -> Closed {
        self.shared.slow_closed.fetch_add(1, Ordering::Relaxed);
        Closed::With(TOO_SLOW, "too slow: resume with since = the tick of your last frame")
    }

    async fn error(&mut self, id: Option<&str>, code: &str, message: &str) -> Result<(), Closed> {
        let error = serde_json::json!({ "type": "error", "id": id, "code": code, "message": message });
        self.send(error.to_string().into_bytes()).await
    }

    async fn hear(&mut self, text: &str) -> Result<(), Closed> {
        match serde_json::from_str::<Said>(text) {
            Err(e) => self.error(None, "bad_message", &e.to_string()).await,
            Ok(Said::Ping) => self.send(b"{\"type\":\"pong\"}".to_vec()).await,
            Ok(Said::Unsubscribe { id }) => match self.subscriptions.remove(&id) {
                Some(_) => Ok(()),
                None => self.error(Some(&id), "unknown_id", "there is no such subscription").await,
            },
            Ok(Said::Subscribe { id, view, r#where, columns, since }) => {
                if self.subscriptions.contains_key(&id) {
                    return self.error(Some(&id), "id_taken", "there is a subscription of this id").await;
                }
                if self.subscriptions.len() >= self.shared.config.max_subscriptions {
                    return self
                        .error(Some(&id), "too_many", "this connection has too many subscriptions")
                        .await;
                }
                match self.understand(&view, &r#where, columns.as_deref()) {
                    Ok(subscription) => self.subscribe(id, subscription, since).await,
                    Err(problem) => self.error(Some(&id), "bad_subscription", &problem.detail).await,
                }
            }
        }
    }

    fn understand(
        &self,
        view: &str,
        filters: &serde_json::Map<String, Json>,
        columns: Option<&[String]>,
    ) -> Result<Subscription, Problem> {
        let unknown = || Problem::not_found(format!("there is no view `{view}`"));
        let (id, spec) = self.shared.store.view(view).ok_or_else(unknown)?;
        let filter = |(column, wanted): (&String, &Json)| {
            let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
            Filter::new(spec, column, &wanted)
        };
        let filters = filters.iter().map(filter).collect::<Result<_, _>>()?;
        let columns =
            columns.map(|names| names.iter().map(|name| column_of(spec, name)).collect()).transpose()?;
        Ok(Subscription { view: id, filters, columns })
    }

    /// Brings the connection to now, then the new subscription, from `since` if that is still known.
    async fn subscribe(
        &mut self,
        id: String,
        subscription: Subscription,
        since: Option<Tick>,
    ) -> Result<(), Closed> {
        self.catch_up().await?;
        let message = {
            let store = &self.shared.store;
            // The span since then must end where the connection stands; frames may have come in between.
            let resumed =
                since.and_then(|tick| store.since(tick + 1).ok()).filter(|since| since.upper == self.upper);
            match resumed {
                Some(changes) => {
                    let spec = &store.specs()[usize::from(subscription.view.0)];
                    let touched = &changes.touched[usize::from(subscription.view.0)];
                    let lower = since.map_or(self.upper, |tick| tick + 1);
                    let update =
                        update(&id, &subscription, spec, touched, (lower, self.upper), store.names());
                    Some(update.unwrap_or_default())
                }
                None => None,
            }
        };
        let message = match message {
            Some(update) => update,
            None => {
                let snapshot = self.shared.store.snapshot(subscription.view);
                // A frame between catching up and the snapshot moves the whole connection.
                if snapshot.upper != self.upper {
                    self.catch_up_to_include(&snapshot.upper).await?;
                }
                let snapshot = match self.shared.store.as_of(subscription.view, self.upper.saturating_sub(1))
                {
                    Ok(snapshot) => snapshot,
                    Err(Gone { .. }) => return Err(self.too_slow()),
                };
                let spec = &self.shared.store.specs()[usize::from(subscription.view.0)];
                let names = self.shared.store.names();
                let rows =
                    snapshot.rows.iter().map(|row| &**row).filter(|row| wanted(&subscription, row, names));
                let mut text = head("snapshot", &id);
                text.extend_from_slice(format!(",\"tick\":{},\"rows\":", snapshot.tick).as_bytes());
                write_rows(rows, subscription.columns.as_deref(), spec, names, &mut text);
                text.push(b'}');
                text
            }
        };
        self.subscriptions.insert(id, subscription);
        if !message.is_empty() {
            self.send(message).await?;
        }
        self.frame(self.upper.saturating_sub(1)).await
    }

    async fn frame(&mut self, tick: Tick) -> Result<(), Closed> {
        self.send(format!("{{\"type\":\"frame\",\"tick\":{tick}}}").into_bytes()).await
    }

    async fn catch_up_to_include(&mut self, upper: &Tick) -> Result<(), Closed> {
        while self.upper < *upper {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Sends what has changed since the client was last served, and the frame.
    async fn catch_up(&mut self) -> Result<(), Closed> {
        let (_, upper) = self.shared.store.now();
        if upper == self.upper {
            return Ok(());
        }
        if self.subscriptions.is_empty() {
            self.upper = upper;
            return Ok(());
        }
        let (messages, upper) = {
            let store = &self.shared.store;
            let Ok(since) = store.since(self.upper) else { return Err(self.too_slow()) };
            let message = |(id, subscription): (&String, &Subscription)| {
                let view = usize::from(subscription.view.0);
                let span = (self.upper, since.upper);
                update(id, subscription, &store.specs()[view], &since.touched[view], span, store.names())
            };
            (self.subscriptions.iter().filter_map(message).collect::<Vec<_>>(), since.upper)
        };
        for message in messages {
            self.send(message).await?;
        }
        self.upper = upper;
        self.frame(upper.saturating_sub(1)).await
    }
}

fn wanted(subscription: &Subscription, row: &Row, names: &model::Names) -> bool {
    subscription.filters.iter().all(|filter| filter.takes(row, names))
}

fn head(kind: &str, id: &str) -> Vec<u8> {
    format!("{{\"type\":\"{kind}\",\"id\":{}", Json::from(id)).into_bytes()
}

/// The update that brings a subscription over a span of ticks; `None` when nothing of it changed.
fn update(
    id: &str,
    subscription: &Subscription,
    spec: &ViewSpec,
    touched: &[Touched],
    (lower, upper): (Tick, Tick),
    names: &model::Names,
) -> Option<Vec<u8>> {
    let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
    let (mut n_upserts, mut n_deletes) = (0, 0);
    for key in touched {
        let had = key.old.as_ref().is_some_and(|row| wanted(subscription, row, names));
        let new = key.new.as_ref().filter(|row| wanted(subscription, row, names));
        let same = |new: &Row| had && key.old.as_ref().is_some_and(|old| old.values == new.values);
        match new {
            Some(new) if !same(new) => {
                if n_upserts > 0 {
                    upserts.push(b',');
                }
                n_upserts += 1;
                write_row(new, subscription.columns.as_deref(), spec, names, &mut upserts);
            }
            None if had => {
                if n_deletes > 0 {
                    deletes.push(b',');
                }
                n_deletes += 1;
                for (i, (value, column)) in key.key.iter().zip(spec.columns).enumerate() {
                    deletes.push(if i == 0 { b'[' } else { b',' });
                    value.write_json(column.ty, names, &mut deletes);
                }
                deletes.push(b']');
            }
            _ => {}
        }
    }
    if n_upserts + n_deletes == 0 {
        return None;
    }
    let mut text = head("update", id);
    text.extend_from_slice(format!(",\"lower\":{lower},\"upper\":{upper},\"upserts\":[").as_bytes());
    text.append(&mut upserts);
    text.extend_from_slice(b"],\"deletes\":[");
    text.append(&mut deletes);
    text.extend_from_slice(b"]}");
    Some(text)
}
