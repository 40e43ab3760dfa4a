//! The API: the views over REST and WebSocket, records in over HTTP, and the screens.
//!
//! * [`store`] holds the rows of every view at one tick, and the frames of the last minutes.
//! * `rest` answers questions about it; [`live`] pushes each frame to whoever subscribed; [`openapi`] describes both.
//! * [`token`] and [`guard`] decide who may: reading is open on loopback only, writing always needs a token.
//!
//! The state is the store's, plus what each connection has subscribed to; the number of connections is a setting.
//!
//! This crate knows axum and the shared vocabulary; it knows neither timely nor Kafka. Records go to the log through
//! the [`StreamWriter`] that the binary brings.

mod docs;
pub mod guard;
pub mod live;
pub mod openapi;
pub mod problem;
pub mod query;
mod rest;
pub mod store;
pub mod token;
pub mod update;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::serve::ListenerExt as _;

use model::{Error, Frame, Names, PastChange, Result, StreamId, Tick, Value, ViewSpec};
use tokio::sync::{Semaphore, watch};

use store::Store;
use token::Secret;

/// Threads that serve: requests that may take long run beside them.
const WORKERS: usize = 2;
/// How long stopping waits for the clients.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// What became of each line of a request: partition and offset, or why it was refused.
pub type Lines = Vec<std::result::Result<(u16, u64), String>>;

/// Takes records for the log.
pub trait StreamWriter: Send + Sync {
    /// Appends the lines that are good records of `stream`; the answer says which went where.
    ///
    /// # Errors
    /// When the log cannot be reached: then some lines may have gone in.
    fn append(&self, stream: StreamId, lines: Vec<Vec<u8>>) -> Result<Lines>;
}

/// How the rest of the program is doing.
pub trait Health: Send + Sync {
    /// Whether requests get current answers; the reason if not.
    ///
    /// # Errors
    /// The reason, for a person.
    fn ready(&self) -> std::result::Result<(), String>;

    /// Appends gauges in Prometheus's text form.
    fn metrics(&self, out: &mut String);
}

/// Remembers the views for longer than the store does.
pub trait Warehouse: Send + Sync {
    /// The ticks for which its answers are exact: the first, and the first that is not.
    fn span(&self) -> (Tick, Tick);

    /// The rows of a view as they were at `tick`, in no order.
    ///
    /// # Errors
    /// When it cannot be reached, or there are too many.
    fn rows(&self, spec: &ViewSpec, tick: Tick) -> Result<Vec<Box<[Value]>>>;

    /// The last change of a key at or before `tick`, if it has one.
    ///
    /// # Errors
    /// When it cannot be reached.
    fn change_before(&self, spec: &ViewSpec, key: &[Value], tick: Tick) -> Result<Option<PastChange>>;

    /// The changes of a key in the ticks (`after`, `until`], in order, at most `limit`.
    ///
    /// # Errors
    /// When it cannot be reached.
    fn changes(
        &self,
        spec: &ViewSpec,
        key: &[Value],
        span: (Tick, Tick),
        limit: usize,
    ) -> Result<Vec<PastChange>>;
}

/// The rest of the program, as the API sees it.
pub struct Partners {
    /// Takes records for the log; without one nothing can be written.
    pub writer: Option<Arc<dyn StreamWriter>>,
    /// Remembers the views; without one `as_of` reaches back as far as the store does.
    pub warehouse: Option<Arc<dyn Warehouse>>,
    /// How the program is doing.
    pub health: Arc<dyn Health>,
    /// Unix ms; stamps actions and measures the lag of the published tick.
    pub clock: fn() -> i64,
}

/// Settings of the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of the built screens.
    pub dashboards: PathBuf,
    /// Signs tokens.
    pub secret: Secret,
    /// Frames kept for `since` and `as_of`: at most this long, ms …
    pub history_ms: u64,
    /// … and about this many bytes; the last frame is always kept.
    pub history_bytes: usize,
    /// City time minus UTC, minutes.
    pub utc_offset_min: i32,
    /// How long the view `tracks` holds a fix, ms; `None` = for ever.
    pub track_ms: Option<i64>,
    /// Longest body of a request, bytes.
    pub max_body_bytes: usize,
    /// WebSocket connections at once.
    pub max_connections: usize,
    /// Subscriptions of one connection.
    pub max_subscriptions: usize,
    /// Longest message that a client may send, bytes.
    pub max_message_bytes: usize,
    /// A client that takes longer than this for one message is closed.
    pub send_timeout: Duration,
    /// A client for which more than this has piled up, merged over several frames, is closed, bytes.
    pub max_pending_bytes: usize,
    /// How often a client is pinged; one that is silent for two of them is closed.
    pub ping_interval: Duration,
    /// Origins (`https://screens.example`) whose pages may use the API, beside its own.
    pub allowed_origins: Vec<String>,
}

impl ApiConfig {
    /// Defaults for everything but the address, the screens and the secret.
    pub fn new(listen: SocketAddr, dashboards: PathBuf, secret: Secret) -> Self {
        Self {
            listen,
            dashboards,
            secret,
            history_ms: 10 * 60_000,
            history_bytes: 64 << 20,
            utc_offset_min: 480,
            track_ms: None,
            max_body_bytes: 16 << 20,
            max_connections: 1000,
            max_subscriptions: 64,
            max_message_bytes: 64 << 10,
            send_timeout: Duration::from_secs(20),
            max_pending_bytes: 32 << 20,
            ping_interval: Duration::from_secs(30),
            allowed_origins: Vec::new(),
        }
    }
}

/// What every handler sees.
pub(crate) struct Shared {
    pub config: ApiConfig,
    pub store: Store,
    pub writer: Option<Arc<dyn StreamWriter>>,
    pub warehouse: Option<Arc<dyn Warehouse>>,
    pub health: Arc<dyn Health>,
    pub clock: fn() -> i64,
    /// The upper bound of the last frame: moves when there is something new.
    pub upper: watch::Sender<u64>,
    /// True once we stop.
    pub stopping: watch::Sender<bool>,
    /// One permit per WebSocket connection.
    pub connections: Arc<Semaphore>,
    /// Tells the actions of this process from those of others and of its earlier lives.
    pub instance: String,
    pub sent_bytes: AtomicU64,
    pub merged_frames: AtomicU64,
    pub slow_closed: AtomicU64,
    pub actions: AtomicU64,
}

/// A running API.
pub struct Api {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Hears when the last connection is closed.
    ended: crossbeam_channel::Receiver<()>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Api {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(
        config: ApiConfig,
        specs: Vec<ViewSpec>,
        names: Arc<Names>,
        partners: Partners,
    ) -> Result<Api> {
        let Partners { writer, warehouse, health, clock } = partners;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("api")
            .enable_all()
            .build()
            .map_err(|e| Error::internal("a runtime cannot be started").caused_by(e))?;
        let listen = config.listen;
        let cannot = |e| Error::user(format!("api.listen {listen}: cannot listen there")).caused_by(e);
        let listener = std::net::TcpListener::bind(listen).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(cannot)?
        };
        // A frame is small and must not wait for the next one.
        let listener = listener.tap_io(|connection| {
            if let Err(e) = connection.set_nodelay(true) {
                tracing::debug!(error = %e, "a connection keeps its delay");
            }
        });
        let connections = config.max_connections;
        let all = u32::try_from(connections).map_err(|_| Error::user("api.max_connections is too large"))?;
        let shared = Arc::new(Shared {
            store: Store::new(specs, names, config.history_ms, config.history_bytes),
            config: ApiConfig { listen: address, ..config },
            writer,
            warehouse,
            health,
            clock,
            upper: watch::channel(0).0,
            stopping: watch::channel(false).0,
            connections: Arc::new(Semaphore::new(connections)),
            instance: token::nonce()?,
            sent_bytes: AtomicU64::new(0),
            merged_frames: AtomicU64::new(0),
            slow_closed: AtomicU64::new(0),
            actions: AtomicU64::new(0),
        });
        let app = rest::router(Arc::clone(&shared));
        let (mut stopping, places) = (shared.stopping.subscribe(), Arc::clone(&shared.connections));
        let (end, ended) = crossbeam_channel::bounded(1);
        runtime.spawn(async move {
            let serve = axum::serve(listener, app).with_graceful_shutdown(async move {
                // Errs when the API is gone, which stops it as well.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            });
            if let Err(e) = serve.await {
                tracing::error!(error = %e, "the API has stopped");
            }
            // All places are free once every client has heard that we go; nobody listens if that took too long.
            let _all = places.acquire_many(all).await;
            let _ = end.send(());
        });
        Ok(Api { shared, address, ended, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes the next frame and tells every subscriber.
    ///
    /// # Errors
    /// When the frame does not follow the one before.
    pub fn publish(&self, frame: &Arc<Frame>) -> Result<()> {
        self.shared.store.apply(frame)?;
        self.shared.upper.send_replace(frame.upper);
        Ok(())
    }

    /// Stops listening, tells the clients, and waits a little for them, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shared.stopping.send_replace(true);
        // Whoever has not closed by then is cut.
        let _ = self.ended.recv_timeout(STOP_WAIT);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
