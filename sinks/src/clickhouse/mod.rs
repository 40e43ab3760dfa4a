//! The ClickHouse sink: every change of every view, in tables derived from the views' specifications.
//!
//! **Meaning.** The warehouse at T equals the screen at T: the rows of `<view>_as_of(at = T)` are the rows a client of
//! the live protocol saw at T, for every T before the view's `upper` in `sink_progress`. [`schema`] says how.
//!
//! **Mechanism.** Frames go through a bounded queue to one thread of the sink's own. There they are cut into cells of a
//! fixed grid of ticks (`grid`). Whole cells are written in groups, live one by one (`cuts`): for each view that changed
//! an insert with the token `view:upper` (`encode`, `writer`), and when a group is stored, `sink_progress` says so. A
//! group that is written again after a crash is the same group with the same tokens, and ClickHouse stores it once. What
//! `sink_progress` names is skipped when the flow feeds everything again after a restart. Failures that may pass are
//! tried again for as long as it takes, which fills the queue and so holds back whoever sends; failures that can't
//! pass stop the sink, and its [`Status`] and every later `send` say why.
//!
//! **State.** The queue (a number of frames), the cells that are not whole, and one group of encoded inserts
//! (`writer::GROUP_ROWS`, more only when one tick has more). In ClickHouse: see [`schema`].

mod cuts;
mod encode;
pub(crate) mod fault;
mod grid;
pub mod read;
pub mod schema;
mod tables;
mod version;
mod writer;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use clickhouse::Client;
use crossbeam_channel::{SendTimeoutError, Sender, bounded};
use model::{Error, Frame, Names, Result, Tick, ViewSpec};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

pub use schema::as_of_sql;
pub use version::{OLDEST, Version, server_version};

use writer::Writer;

/// What the sink needs to know.
#[derive(Clone, Debug)]
pub struct ClickHouseConfig {
    /// Where ClickHouse speaks HTTP, such as `http://127.0.0.1:8123`.
    pub url: String,
    /// The user to connect as.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// The database; made if it is missing.
    pub database: String,
    /// Width of the grid, ms, positive. It belongs to the tables: they can't be filled on with another one.
    pub grid_ms: u64,
    /// Changes older than this many days are folded into the last one of each key and month; `None` keeps them all.
    pub ttl_days: Option<u32>,
    /// Most frames in the queue, positive. A full queue holds back the sender.
    pub queue_frames: usize,
    /// How long `close` goes on trying to write what is whole.
    pub close_within: Duration,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".to_owned(),
            user: "default".to_owned(),
            password: String::new(),
            database: "chengmai".to_owned(),
            grid_ms: 1000,
            ttl_days: None,
            queue_frames: 64,
            close_within: Duration::from_secs(10),
        }
    }
}

impl ClickHouseConfig {
    /// # Errors
    /// A user error that names the setting and what it may be.
    pub fn check(&self) -> Result<()> {
        if self.grid_ms == 0 || self.grid_ms > MAX_GRID_MS {
            return Err(Error::user(format!(
                "clickhouse.grid_ms is {} and must be 1 to {MAX_GRID_MS}",
                self.grid_ms
            )));
        }
        if self.queue_frames == 0 {
            return Err(Error::user("clickhouse.queue_frames is 0 and must be at least 1"));
        }
        if self.ttl_days == Some(0) {
            return Err(Error::user("clickhouse.ttl_days is 0 and must be at least 1, or not set"));
        }
        if self.database.is_empty() {
            return Err(Error::user("clickhouse.database is empty"));
        }
        Ok(())
    }

    /// The driver for this server and database.
    pub fn client(&self) -> Client {
        Client::default()
            .with_url(&self.url)
            .with_user(&self.user)
            .with_password(&self.password)
            .with_database(&self.database)
            .with_product_info("chengmai", env!("CARGO_PKG_VERSION"))
    }

    /// The oldest T for which `<view>_as_of` is still exact when the time is `now_ms`; 0 without a time to live.
    pub fn oldest_as_of(&self, now_ms: Tick) -> Tick {
        self.ttl_days.map_or(0, |days| now_ms.saturating_sub(u64::from(days) * DAY_MS))
    }
}

/// Widest grid: nothing is written before its cell is whole.
const MAX_GRID_MS: u64 = 60_000;
/// A day, ms.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How the sink is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Every change before this tick, of every view, is in ClickHouse.
    pub written_upper: Tick,
    /// Frames in the queue.
    pub queued: usize,
    /// Rows that were stored since the start.
    pub rows_written: u64,
    /// Inserts that were acknowledged since the start.
    pub inserts: u64,
    /// What the last attempt that failed met; `None` again once an attempt succeeds.
    pub last_error: Option<String>,
    /// Why the sink has stopped for good.
    pub stopped: Option<String>,
}

/// The ClickHouse sink.
pub struct ClickHouseSink;

impl ClickHouseSink {
    /// Checks the server, makes or checks the tables of `specs`, reads how far they are written, and starts the thread
    /// that writes. Blocks until then: a few round trips.
    ///
    /// # Errors
    /// A user error for settings or tables that don't fit; a refusal for a server that is too old or turns the user
    /// away; external, worth a retry, when the server can't be reached.
    pub fn start(config: ClickHouseConfig, specs: Vec<ViewSpec>, names: Arc<Names>) -> Result<Handle> {
        config.check()?;
        let status = Arc::new(Mutex::new(Status::default()));
        let (frames, queue) = bounded(config.queue_frames);
        let (deadline, closing) = watch::channel(None);
        let (ready, is_ready) = bounded(1);
        let close_within = config.close_within;
        let shared = Arc::clone(&status);
        let thread = std::thread::Builder::new()
            .name("clickhouse-sink".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let started = runtime
                    .map_err(|e| Error::internal("no runtime for the ClickHouse sink").caused_by(e))
                    .and_then(|runtime| {
                        let writer = Writer::connect(&config, specs, names, Arc::clone(&shared), closing);
                        runtime.block_on(writer).map(|writer| (runtime, writer))
                    });
                let (runtime, writer) = match started {
                    Ok(started) => started,
                    Err(error) => {
                        let _ = ready.send(Err(error)); // whoever asked is waiting for it, or gone
                        return Ok(());
                    }
                };
                let _ = ready.send(Ok(()));
                let ended = writer.run(&runtime, &queue);
                if let Err(error) = &ended {
                    tracing::error!(%error, "the ClickHouse sink has stopped");
                    shared.lock().stopped = Some(error.to_string());
                }
                ended
            })
            .map_err(|e| Error::external("no thread for the ClickHouse sink").caused_by(e))?;
        is_ready
            .recv()
            .unwrap_or_else(|_| Err(Error::internal("the ClickHouse sink ended while it started")))?;
        Ok(Handle { frames: Some(frames), thread: Some(thread), status, deadline, close_within })
    }
}

/// A running sink. Dropping it without [`close`](Handle::close) gives up what is not written yet after the same time,
/// without waiting for it.
#[derive(Debug)]
pub struct Handle {
    frames: Option<Sender<Arc<Frame>>>,
    thread: Option<JoinHandle<Result<()>>>,
    status: Arc<Mutex<Status>>,
    deadline: watch::Sender<Option<Instant>>,
    close_within: Duration,
}

impl Handle {
    /// Puts a frame into the queue; blocks as long as the queue is full, so call it from a thread that may.
    ///
    /// # Errors
    /// A refusal, with the reason, when the sink has stopped for good.
    pub fn send(&self, frame: Arc<Frame>) -> Result<()> {
        match self.frames.as_ref().map(|frames| frames.send(frame)) {
            Some(Ok(())) => Ok(()),
            _ => Err(self.stopped()),
        }
    }

    /// Puts a frame into the queue if there is room within `wait` (zero = at once); gives it back if not.
    ///
    /// # Errors
    /// A refusal, with the reason, when the sink has stopped for good.
    pub fn send_within(&self, frame: Arc<Frame>, wait: Duration) -> Result<Option<Arc<Frame>>> {
        match self.frames.as_ref().map(|frames| frames.send_timeout(frame, wait)) {
            Some(Ok(())) => Ok(None),
            Some(Err(SendTimeoutError::Timeout(frame))) => Ok(Some(frame)),
            _ => Err(self.stopped()),
        }
    }

    /// How it is doing now.
    pub fn status(&self) -> Status {
        let queued = self.frames.as_ref().map_or(0, Sender::len);
        Status { queued, ..self.status.lock().clone() }
    }

    /// Writes the cells that are whole and ends. A cell that isn't is left to the next start, which is fed it again.
    /// Blocks for at most the time the settings allow.
    ///
    /// # Errors
    /// Why the sink had stopped, or that the time was over; nothing is lost by it, the next start writes on.
    pub fn close(mut self) -> Result<()> {
        self.end();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            _ => Err(Error::internal("the thread of the ClickHouse sink panicked")),
        }
    }

    fn end(&mut self) {
        self.frames = None;
        self.deadline.send_replace(Some(Instant::now() + self.close_within));
    }

    fn stopped(&self) -> Error {
        let why = self.status.lock().stopped.clone().unwrap_or_else(|| "it was ended".to_owned());
        Error::refused(format!("the ClickHouse sink has stopped: {why}"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}
