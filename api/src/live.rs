//! The live protocol: every change, frame by frame, over one WebSocket (subprotocol `chengmai.v1.json`).
//!
//! **Meaning.** All subscriptions of a connection move together: between two `frame` messages a client sees the changes
//! of exactly one span of ticks, and after a `frame` each of its subscriptions is complete through that tick.
//!
//! **Mechanism.** Nothing is queued for a client. When it is ready for more it gets what has changed since it was last:
//! the keys touched, each once, whatever happened to it in between. So a slow client gets fewer, merged updates. One
//! that falls out of the store's history, whose merged update passes the byte limit, or that does not take a message in
//! time, is closed with code 4001 and told to resume with `since`. A client that says nothing is pinged; one that does
//! not answer is gone.
//!
//! **State.** Per connection its subscriptions and one number, the tick up to which it is served.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use foldhash::{HashMap, HashMapExt as _};
use model::Tick;
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::time::{Instant, MissedTickBehavior};

use crate::Shared;
use crate::guard;
use crate::problem::Problem;
use crate::query::{Filter, Parameters, column_of, unknown_view, write_rows};
use crate::store::Gone;
use crate::token::Scope;
use crate::update::{Subscription, head, update};

/// The protocol that a client must ask for.
pub const PROTOCOL: &str = "chengmai.v1.json";
/// Closed because the client was too slow: resume with `since`.
pub const TOO_SLOW: u16 = 4001;
/// Closed because we stop (RFC 6455).
const GOING_AWAY: u16 = 1001;
/// Closed because what the client said is too long (RFC 6455).
const TOO_LONG: u16 = 1009;
/// Closed because of an error of ours (RFC 6455).
const OUR_ERROR: u16 = 1011;
/// How long a client may take to hear that it is closed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// A client is gone after so many pings without a word from it.
const UNANSWERED_PINGS: u32 = 2;
/// Attempts to resume between two frames before a snapshot does instead.
const RESUME_ATTEMPTS: usize = 3;

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

/// Opens the live protocol, in which all subscriptions move together, frame by frame.
///
/// The client says `{"type":"subscribe","id","view","where":{column:value},"columns":[…],"since":T}`,
/// `{"type":"unsubscribe","id"}` or `{"type":"ping"}`. It hears `snapshot` (`id`, `tick`, `rows`) unless `since` is
/// still held, `update` (`id`, `lower`, `upper`, `upserts`: rows, `deletes`: keys as arrays), `frame` (`tick`: every
/// subscription is complete through it), `pong`, and `error` (`id`, `code`: `bad_message`, `bad_subscription`,
/// `id_taken`, `unknown_id` or `too_many`, `message`). Columns that are chosen must contain the key. Close code 4001
/// means too slow: connect again and resume with `since` = the tick of the last frame.
#[utoipa::path(get, path = "/live", tag = "live",
    params(
        ("token" = Option<String>, Query, description = "A token, where no header can carry it; the subprotocol `bearer.<token>` does as well"),
    ),
    responses(
        (status = 101, description = "WebSocket with subprotocol chengmai.v1.json"),
        (status = 400, description = "The subprotocol is missing", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A foreign page", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many connections", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    parameters: Parameters,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    parameters.only(&["token"])?;
    guard::check_with(&shared, &headers, parameters.get("token"), Scope::Read)?;
    let upgrade = upgrade.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let asked = headers.get_all("sec-websocket-protocol").iter().filter_map(|value| value.to_str().ok());
    if !asked.flat_map(|value| value.split(',')).any(|protocol| protocol.trim() == PROTOCOL) {
        return Err(Problem::bad_request(format!("the subprotocol must be {PROTOCOL}")));
    }
    let Ok(place) = Arc::clone(&shared.connections).try_acquire_owned() else {
        let limit = shared.config.max_connections;
        let detail = format!("there are {limit} connections already, which is the limit");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let limit = shared.config.max_message_bytes;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let mut connection = Connection {
            upper: shared.store.now().1,
            heard: Instant::now(),
            shared,
            socket,
            subscriptions: HashMap::new(),
        };
        let Closed { code, reason } = connection.serve().await;
        if let Some(code) = code {
            let frame = CloseFrame { code, reason: reason.into() };
            // A client that is gone does not hear it, and one that is stuck must not keep us.
            let saying = connection.socket.send(Message::Close(Some(frame)));
            let _ = tokio::time::timeout(CLOSE_WAIT, saying).await;
        }
        drop(place);
    }))
}

/// Why a connection ends: what to tell the client, if it is still there.
struct Closed {
    code: Option<u16>,
    reason: &'static str,
}

impl Closed {
    const GONE: Closed = Closed { code: None, reason: "" };

    fn with(code: u16, reason: &'static str) -> Self {
        Self { code: Some(code), reason }
    }
}

struct Connection {
    shared: Arc<Shared>,
    socket: WebSocket,
    subscriptions: HashMap<String, Subscription>,
    /// The client is served up to here.
    upper: Tick,
    /// When the client last said anything.
    heard: Instant,
}

impl Connection {
    async fn serve(&mut self) -> Closed {
        match self.run().await {
            Ok(never) => match never {},
            Err(closed) => closed,
        }
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, Closed> {
        let (mut upper, mut stopping) = (self.shared.upper.subscribe(), self.shared.stopping.subscribe());
        let every = self.shared.config.ping_interval;
        let mut pings = tokio::time::interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = self.socket.recv() => {
                    self.heard = Instant::now();
                    match said {
                        Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await?,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Binary(_))) => {
                            self.error(None, "bad_message", "messages are text").await?;
                        }
                        Some(Ok(Message::Close(_))) | None => return Err(Closed::GONE),
                        Some(Err(e)) => return Err(broken(&e)),
                    }
                }
                // Errs only when the sender is gone, which we hold.
                Ok(()) = upper.changed() => self.catch_up().await?,
                () = async { let _ = stopping.wait_for(|stopping| *stopping).await; } => {
                    return Err(Closed::with(GOING_AWAY, "the engine is stopping: resume with since"));
                }
                now = pings.tick() => {
                    if now.duration_since(self.heard) >= every * UNANSWERED_PINGS {
                        return Err(Closed::with(GOING_AWAY, "no answer to pings"));
                    }
                    self.transmit(Message::Ping(Default::default())).await?;
                }
            }
        }
    }

    async fn transmit(&mut self, message: Message) -> Result<(), Closed> {
        match tokio::time::timeout(self.shared.config.send_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closed::GONE),
            Err(_) => Err(self.too_slow()),
        }
    }

    async fn send(&mut self, text: Vec<u8>) -> Result<(), Closed> {
        let text = String::from_utf8(text).map_err(|_| Closed::with(OUR_ERROR, "a message was not UTF-8"))?;
        let length = text.len() as u64;
        self.transmit(Message::Text(text.into())).await?;
        self.shared.sent_bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    fn too_slow(&self) -> Closed {
        self.shared.slow_closed.fetch_add(1, Ordering::Relaxed);
        Closed::with(TOO_SLOW, "too slow: resume with since = the tick of your last frame")
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
                let limit = self.shared.config.max_subscriptions;
                if self.subscriptions.len() >= limit {
                    let message = format!("a connection may have {limit} subscriptions");
                    return self.error(Some(&id), "too_many", &message).await;
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
        let store = &self.shared.store;
        let (id, spec) = store.view(view).ok_or_else(|| unknown_view(view, store.specs()))?;
        let filter = |(column, wanted): (&String, &Json)| match wanted {
            Json::String(wanted) => Filter::new(spec, column, wanted),
            Json::Array(_) | Json::Object(_) => {
                Err(Problem::bad_request(format!("`where.{column}`: expected one value")))
            }
            wanted => Filter::new(spec, column, &wanted.to_string()),
        };
        let filters = filters.iter().map(filter).collect::<Result<_, _>>()?;
        let columns: Option<Vec<usize>> =
            columns.map(|names| names.iter().map(|name| column_of(spec, name)).collect()).transpose()?;
        if let Some(columns) = &columns
            && let Some(missing) = (0..spec.key).find(|at| !columns.contains(at))
        {
            let name = spec.columns[missing].name;
            let detail = format!("`columns` must contain the key, `{name}` is missing");
            return Err(Problem::bad_request(detail));
        }
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
        let mut resumed = None;
        if let Some(lower) = since.map(|tick| tick.saturating_add(1)) {
            for _ in 0..RESUME_ATTEMPTS {
                let Ok(changes) = self.shared.store.since(lower, |view| view == subscription.view) else {
                    break;
                };
                // The span must end where the connection stands; a frame may have come in between.
                if changes.upper == self.upper {
                    resumed = Some(changes);
                    break;
                }
                self.catch_up().await?;
            }
        }
        let message = {
            let (store, names) = (&self.shared.store, self.shared.store.names());
            let spec = store.spec(subscription.view);
            match resumed {
                Some(changes) => {
                    let touches = &changes.views[usize::from(subscription.view.0)];
                    update(&id, &subscription, spec, touches, (changes.lower, changes.upper), names)
                }
                None => {
                    let Ok(snapshot) = store.as_of(subscription.view, self.upper.saturating_sub(1)) else {
                        return Err(self.too_slow());
                    };
                    let rows =
                        snapshot.rows.iter().map(|row| &**row).filter(|row| subscription.takes(row, names));
                    let mut text = head("snapshot", &id);
                    text.extend_from_slice(format!(",\"tick\":{},\"rows\":", snapshot.tick).as_bytes());
                    write_rows(rows, subscription.columns.as_deref(), spec, names, &mut text);
                    text.push(b'}');
                    Some(text)
                }
            }
        };
        self.subscriptions.insert(id, subscription);
        if let Some(message) = message {
            self.send(message).await?;
        }
        self.frame().await
    }

    async fn frame(&mut self) -> Result<(), Closed> {
        let tick = self.upper.saturating_sub(1);
        self.send(format!("{{\"type\":\"frame\",\"tick\":{tick}}}").into_bytes()).await
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
            let wanted = |view| self.subscriptions.values().any(|subscription| subscription.view == view);
            let since = match store.since(self.upper, wanted) {
                Ok(since) => since,
                Err(Gone { .. }) => return Err(self.too_slow()),
            };
            if since.frames > 1 {
                self.shared.merged_frames.fetch_add(since.frames as u64 - 1, Ordering::Relaxed);
            }
            let message = |(id, subscription): (&String, &Subscription)| {
                let touches = &since.views[usize::from(subscription.view.0)];
                let span = (since.lower, since.upper);
                update(id, subscription, store.spec(subscription.view), touches, span, store.names())
            };
            let messages: Vec<_> = self.subscriptions.iter().filter_map(message).collect();
            let bytes: usize = messages.iter().map(Vec::len).sum();
            // What one frame brings everybody must take; only what has piled up is a client's own doing.
            if since.frames > 1 && bytes > self.shared.config.max_pending_bytes {
                return Err(self.too_slow());
            }
            (messages, since.upper)
        };
        for message in messages {
            self.send(message).await?;
        }
        self.upper = upper;
        self.frame().await
    }
}

/// How to end after the socket failed.
fn broken(error: &axum::Error) -> Closed {
    // axum hides the kind of error; its text begins so when a message or a part of one is over our limit.
    if error.to_string().starts_with("Space limit exceeded") {
        return Closed::with(TOO_LONG, "the message is too long");
    }
    Closed::GONE
}
