//! The API: the views over REST and WebSocket, records in over HTTP, and the screens.
//!
//! * [`store`] holds the rows of every view at one tick, and the frames of the last minutes.
//! * [`rest`] answers questions about it; [`live`] pushes each frame to whoever subscribed; [`openapi`] describes both.
//! * [`token`] and [`guard`] decide who may: reading is open on loopback only, writing always needs a token.
//!
//! This crate knows axum and the shared vocabulary; it knows neither timely nor Kafka. Records go to the log through
//! the [`StreamWriter`] that the binary brings.

mod docs;
pub mod guard;
pub mod live;
pub mod openapi;
pub mod problem;
pub mod query;
pub mod rest;
pub mod store;
pub mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use model::{Error, Frame, Names, Result, StreamId, ViewSpec};
use tokio::sync::{oneshot, watch};

use store::Store;
use token::Secret;

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
    /// … and at most this many changes.
    pub history_changes: usize,
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
}

impl ApiConfig {
    /// Defaults for everything but the address, the screens and the secret.
    pub fn new(listen: SocketAddr, dashboards: PathBuf, secret: Secret) -> Self {
        Self {
            listen,
            dashboards,
            secret,
            history_ms: 10 * 60_000,
            history_changes: 2_000_000,
            max_body_bytes: 16 << 20,
            max_connections: 1000,
            max_subscriptions: 64,
            max_message_bytes: 64 << 10,
            send_timeout: Duration::from_secs(20),
        }
    }
}

/// What every handler sees.
pub(crate) struct Shared {
    pub config: ApiConfig,
    pub store: Store,
    pub writer: Option<Arc<dyn StreamWriter>>,
    pub health: Arc<dyn Health>,
    pub clock: fn() -> i64,
    /// The upper bound of the last frame: moves when there is something new.
    pub upper: watch::Sender<u64>,
    pub connections: AtomicUsize,
    pub sent_bytes: AtomicU64,
    pub slow_closed: AtomicU64,
    pub actions: AtomicU64,
}

/// A running API.
pub struct Api {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Api {
    /// Listens. `clock` gives Unix ms; it stamps actions and measures the lag of the published tick.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(
        config: ApiConfig,
        specs: Vec<ViewSpec>,
        names: Arc<Names>,
        writer: Option<Arc<dyn StreamWriter>>,
        health: Arc<dyn Health>,
        clock: fn() -> i64,
    ) -> Result<Api> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
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
        let shared = Arc::new(Shared {
            store: Store::new(specs, names, config.history_ms, config.history_changes),
            config: ApiConfig { listen: address, ..config },
            writer,
            health,
            clock,
            upper: watch::channel(0).0,
            connections: AtomicUsize::new(0),
            sent_bytes: AtomicU64::new(0),
            slow_closed: AtomicU64::new(0),
            actions: AtomicU64::new(0),
        });
        let app = rest::router(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(async move {
            let serve = axum::serve(listener, app).with_graceful_shutdown(async {
                // Dropping the sender stops it as well.
                let _ = stopped.await;
            });
            if let Err(e) = serve.await {
                tracing::error!(error = %e, "the API has stopped");
            }
        });
        Ok(Api { shared, address, stop: Some(stop), runtime: Some(runtime) })
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

    /// Stops listening and cuts the connections that are open, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
