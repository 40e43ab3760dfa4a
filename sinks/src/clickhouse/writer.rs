//! The thread that writes: frames in, inserts out, progress last.
//!
//! Whole cells are written in groups (`cuts`): live a group is one cell, behind it is as many as fit. For each view that
//! changed a group is one insert, or a few when it is large. The inserts of a group go out several at a time, and
//! `sink_progress` moves on only when all of them are acknowledged. So when the program dies, the inserts of one group
//! at most have to be repeated, and ClickHouse remembers the tokens of many more.
//!
//! State: the cells that are not whole, and one group with its encoded rows.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::{Client, Row};
use crossbeam_channel::Receiver;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use model::{Error, Frame, Names, Result, Retry, Tick, ViewSpec};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::cuts::{Cuts, End};
use super::grid::{Grid, Group};
use super::{ClickHouseConfig, Status, encode, fault, schema, tables, version};

/// A group ends with the cell that brings it to this many changes.
const GROUP_ROWS: usize = 50_000;
/// Inserts on their way at the same time.
const IN_FLIGHT: usize = 4;
/// Most frames taken from the queue before their cells are written, as long as they don't fill a group.
const FRAMES_AT_ONCE: usize = 256;
/// Most time to hand a body to the network.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// Most time until ClickHouse acknowledges an insert. One that was stored but not acknowledged is stored once all the
/// same.
const STORE_WITHIN: Duration = Duration::from_secs(120);
/// First pause before an attempt is repeated; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One insert: a body for a view's table of changes.
struct Insert {
    view: usize,
    token: String,
    rows: usize,
    body: Bytes,
}

/// One row of the progress table.
#[derive(Row, Serialize)]
struct Progress {
    view: &'static str,
    upper: u64,
    grid_ms: u64,
}

/// One row of the table of groups.
#[derive(Row, Serialize)]
struct Noted {
    lower: u64,
    upper: u64,
}

/// Everything the thread has.
pub(super) struct Writer {
    client: Client,
    specs: Vec<ViewSpec>,
    inserts: Vec<String>,
    names: Arc<Names>,
    grid_ms: u64,
    grid: Grid,
    cuts: Cuts,
    written: Vec<Tick>,
    status: Arc<Mutex<Status>>,
    closing: watch::Receiver<Option<Instant>>,
}

impl Writer {
    /// Checks the server, makes the tables, and reads how far they are written.
    pub(super) async fn connect(
        config: &ClickHouseConfig,
        specs: Vec<ViewSpec>,
        names: Arc<Names>,
        status: Arc<Mutex<Status>>,
        closing: watch::Receiver<Option<Instant>>,
    ) -> Result<Self> {
        let version = version::server_version(&config.url, &config.user, &config.password).await?;
        version.check(&config.url)?;
        // Until the tables are made the database may be missing, and the server refuses requests that name it.
        tables::ensure(&config.client().with_database("system"), &config.database, &specs, config.ttl_days)
            .await?;
        let client = config.client();
        let written = tables::progress(&client, &specs, config.grid_ms).await?;
        let cuts = Cuts::new(config.grid_ms, &written, tables::groups(&client).await?);
        if cuts.nothing_tried() {
            tables::forget_groups(&client).await?;
        }
        status.lock().written_upper = lowest(&written);
        tracing::info!(url = %config.url, %version, written_upper = lowest(&written), "the ClickHouse sink is ready");
        Ok(Self {
            inserts: specs.iter().map(|spec| schema::insert(&config.database, spec)).collect(),
            grid: Grid::new(config.grid_ms, &specs, written.clone()),
            grid_ms: config.grid_ms,
            cuts,
            client,
            specs,
            names,
            written,
            status,
            closing,
        })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self, runtime: &Runtime, queue: &Receiver<Arc<Frame>>) -> Result<()> {
        while let Ok(frame) = queue.recv() {
            self.grid.push(&frame)?;
            for _ in 1..FRAMES_AT_ONCE {
                if self.grid.rows() >= GROUP_ROWS {
                    break;
                }
                let Ok(frame) = queue.try_recv() else { break };
                self.grid.push(&frame)?;
            }
            let closing = self.closing.clone();
            runtime.block_on(async {
                tokio::select! {
                    written = self.write() => written,
                    () = closed_long_enough(closing) => {
                        Err(Error::external("closed before ClickHouse had taken everything; the next start writes on"))
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Writes the whole cells there are, in groups, and the progress after each group.
    async fn write(&mut self) -> Result<()> {
        loop {
            let (lower, whole) = (lowest(&self.written), self.grid.whole_upper());
            let (most, rows) = match self.cuts.end(lower) {
                End::Exactly(upper) => (upper, usize::MAX),
                End::AtMost(upper) => (upper.min(whole), GROUP_ROWS),
                End::Free => (whole, GROUP_ROWS),
            };
            if most <= lower || most > whole {
                return Ok(());
            }
            let group = self.grid.take(most, rows);
            let upper = group.upper;
            let inserts = self.encode(group)?;
            if !inserts.is_empty() && self.cuts.must_note(lower, upper) {
                self.repeat(|| self.note_group(lower, upper)).await?;
            }
            self.store(inserts).await?;
            self.advance(upper).await?;
        }
    }

    fn encode(&self, group: Group) -> Result<Vec<Insert>> {
        let mut inserts = Vec::new();
        for (view, changes) in group.views {
            let spec = &self.specs[view];
            for (n, (body, rows)) in encode::bodies(spec, &changes, &self.names)?.into_iter().enumerate() {
                let token = match n {
                    0 => format!("{}:{}", spec.name, group.upper),
                    n => format!("{}:{}:{n}", spec.name, group.upper),
                };
                inserts.push(Insert { view, token, rows, body: body.into() });
            }
        }
        Ok(inserts)
    }

    /// Notes that the cells from `lower` to `upper` are going to be written as one group.
    async fn note_group(&self, lower: Tick, upper: Tick) -> Result<()> {
        let what = "noting a group";
        let mut insert = fault::classify(what, self.client.insert::<Noted>(schema::GROUPS).await)?
            .with_setting("async_insert", "0")
            .with_timeouts(Some(SEND_WITHIN), Some(STORE_WITHIN));
        fault::classify(what, insert.write(&Noted { lower, upper }).await)?;
        fault::classify(what, insert.end().await)
    }

    /// Stores the inserts of one group.
    async fn store(&self, group: Vec<Insert>) -> Result<()> {
        stream::iter(group)
            .map(|insert| async move {
                self.repeat(|| self.insert(&insert)).await?;
                let mut status = self.status.lock();
                status.inserts += 1;
                status.rows_written += insert.rows as u64;
                Ok(())
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await
    }

    async fn insert(&self, insert: &Insert) -> Result<()> {
        let what = || format!("inserting {} into {}", insert.token, self.specs[insert.view].name);
        // Server-side batching would acknowledge before storing, and has its own idea of what a repeat is.
        let mut request = self
            .client
            .insert_formatted_with(&self.inserts[insert.view])
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            // A group may span years of a quiet city, and 100 months are the default's limit.
            .with_setting("max_partitions_per_insert_block", "0")
            .with_setting("insert_deduplication_token", &insert.token)
            .with_timeouts(Some(SEND_WITHIN), Some(STORE_WITHIN));
        fault::classify(&what(), request.send(insert.body.clone()).await)?;
        fault::classify(&what(), request.end().await)
    }

    /// Notes that everything before `upper` is written, for the views of which that is news.
    async fn advance(&mut self, upper: Tick) -> Result<()> {
        let news: Vec<usize> = (0..self.specs.len()).filter(|&view| self.written[view] < upper).collect();
        if news.is_empty() {
            return Ok(());
        }
        self.repeat(|| self.note(&news, upper)).await?;
        for view in news {
            self.written[view] = upper;
        }
        self.status.lock().written_upper = lowest(&self.written);
        Ok(())
    }

    async fn note(&self, views: &[usize], upper: Tick) -> Result<()> {
        let what = "inserting the progress";
        let mut insert = fault::classify(what, self.client.insert::<Progress>(schema::PROGRESS).await)?
            .with_setting("async_insert", "0")
            .with_timeouts(Some(SEND_WITHIN), Some(STORE_WITHIN));
        for &view in views {
            let row = Progress { view: self.specs[view].name, upper, grid_ms: self.grid_ms };
            fault::classify(what, insert.write(&row).await)?;
        }
        fault::classify(what, insert.end().await)
    }

    /// Does `attempt` until it succeeds or fails for good, with pauses that grow.
    async fn repeat<F: Future<Output = Result<()>>>(&self, attempt: impl Fn() -> F) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match attempt().await {
                Ok(()) => {
                    self.status.lock().last_error = None;
                    return Ok(());
                }
                Err(error) => error,
            };
            self.status.lock().last_error = Some(error.to_string());
            if error.retry == Retry::Never {
                return Err(error);
            }
            tracing::warn!(%error, ?pause, "ClickHouse did not take a batch; trying again");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn lowest(written: &[Tick]) -> Tick {
    written.iter().copied().min().unwrap_or(0)
}

/// Waits until the sink was told to close and the time it was given is over.
async fn closed_long_enough(mut closing: watch::Receiver<Option<Instant>>) {
    let told = match closing.wait_for(Option::is_some).await {
        Ok(deadline) => *deadline,
        Err(_) => None,
    };
    match told {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
