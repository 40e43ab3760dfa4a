//! The running city: log, clock, dataflow, store, sinks and API wired together.
//!
//! Frames come out of the dataflow on one thread, which hands each to the API first and then to the sinks. A sink that
//! falls behind by its whole queue holds that thread back, and through it the clock: back-pressure, not loss.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use api::token::Secret;
use api::{Api, ApiConfig, Health, Partners, StreamWriter, Warehouse};
use dataflow::Engine;
use ingest::clock::wall_ms;
use ingest::live::{Live, LiveConfig};
use ingest::log::kafka::KafkaLog;
use ingest::log::local::LocalLog;
use ingest::log::{FencedWriter, Log, NewRecord, read_to_end};
use ingest::streams;
use model::{Error, Frame, Names, PastChange, Result, StreamId, Tick, Value, ViewSpec};
use parking_lot::Mutex;
use sinks::clickhouse::read::Reader;
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink, Handle};
use sinks::embedded::{EmbeddedConfig, Server};
use sinks::topics::{AlertSink, Alerts, CaseWriter, Rejected, RejectedSink, Topics};
use sinks::webhook::{Webhook, WebhookConfig};

use crate::config::{ClickHouseMode, Config, LogKind};

/// Memory of the embedded ClickHouse, bytes.
const CLICKHOUSE_MEMORY: u64 = 2 << 30;
/// Frames that may wait for ClickHouse: ten minutes at the default tick.
const CLICKHOUSE_QUEUE: usize = 3000;
/// The view is ready while the published tick is no older than this, ms.
const READY_LAG_MS: i64 = 15_000;
/// Records of the rejected topic looked at for the last one: a transactional log spends offsets on marks.
const LAST_RECORDS: u64 = 64;

/// Opens the log that the configuration names.
///
/// # Errors
/// When it cannot be opened or reached.
pub fn open_log(config: &Config) -> Result<Arc<dyn Log>> {
    Ok(match config.log.kind {
        LogKind::Local => {
            let folder = config.data.folder.join("log");
            std::fs::create_dir_all(&folder).map_err(|e| {
                Error::user(format!("data.folder {}: cannot be made", folder.display())).caused_by(e)
            })?;
            Arc::new(LocalLog::open(&folder)?)
        }
        LogKind::Kafka => Arc::new(KafkaLog::connect(&config.log.brokers, &config.log.kafka)?),
    })
}

/// How the log is read.
pub fn live_config(config: &Config) -> LiveConfig {
    LiveConfig {
        prefix: config.log.prefix.clone(),
        partitions: config.log.partitions,
        tick: config.tick(),
        max_records_per_tick: config.engine.max_records_per_tick,
        limits: config.limits(),
        ..LiveConfig::default()
    }
}

/// The file of the secret that signs tokens.
pub fn secret_path(config: &Config) -> PathBuf {
    config.data.folder.join("token.secret")
}

/// Everything that runs.
pub struct City {
    live: Live,
    engine: Arc<Mutex<Option<Engine>>>,
    hub: JoinHandle<Result<()>>,
    api: Arc<Api>,
    clickhouse: Option<ClickHouse>,
    state: Arc<State>,
    log: Arc<dyn Log>,
}

/// The warehouse, written and read.
struct ClickHouse {
    sink: Arc<Handle>,
    past: Arc<Past>,
    embedded: Option<Embedded>,
}

/// The past as ClickHouse has it.
struct Past {
    sink: Arc<Handle>,
    reader: Reader,
    config: ClickHouseConfig,
}

impl Warehouse for Past {
    fn span(&self) -> (Tick, Tick) {
        let now = Tick::try_from(wall_ms()).unwrap_or_default();
        (self.config.oldest_as_of(now), self.sink.status().written_upper)
    }

    fn rows(&self, spec: &ViewSpec, tick: Tick) -> Result<Vec<Box<[Value]>>> {
        self.reader.rows(spec, tick)
    }

    fn change_before(&self, spec: &ViewSpec, key: &[Value], tick: Tick) -> Result<Option<PastChange>> {
        self.reader.change_before(spec, key, tick)
    }

    fn changes(
        &self,
        spec: &ViewSpec,
        key: &[Value],
        span: (Tick, Tick),
        limit: usize,
    ) -> Result<Vec<PastChange>> {
        self.reader.changes(spec, key, span, limit)
    }
}

/// What health is judged by.
#[derive(Default)]
struct State {
    published: Arc<AtomicU64>,
    error: Mutex<Option<String>>,
    clickhouse: Mutex<Option<Arc<Handle>>>,
    live: Mutex<Option<ingest::live::Status>>,
}

impl Health for State {
    fn ready(&self) -> std::result::Result<(), String> {
        if let Some(error) = &*self.error.lock() {
            return Err(error.clone());
        }
        let live = self.live.lock().clone().unwrap_or_default();
        if let Some(error) = live.error {
            return Err(error);
        }
        if !live.caught_up {
            return Err(format!("feeding the log again, at tick {}", live.tick));
        }
        if let Some(stopped) = self.clickhouse.lock().as_ref().and_then(|sink| sink.status().stopped) {
            return Err(format!("ClickHouse: {stopped}"));
        }
        let lag = wall_ms() - self.published.load(Ordering::Relaxed) as i64;
        if lag > READY_LAG_MS {
            return Err(format!("the views are {lag} ms behind the clock"));
        }
        Ok(())
    }

    fn metrics(&self, out: &mut String) {
        let mut gauge = |name: &str, help: &str, value: u64| {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"));
        };
        gauge("chengmai_ready", "Whether answers are current", u64::from(self.ready().is_ok()));
        if let Some(sink) = &*self.clickhouse.lock() {
            let status = sink.status();
            gauge(
                "chengmai_clickhouse_upper_ms",
                "Every change before this tick is stored",
                status.written_upper,
            );
            gauge("chengmai_clickhouse_queued", "Frames waiting to be stored", status.queued as u64);
            gauge("chengmai_clickhouse_rows", "Rows stored since the start", status.rows_written);
        }
        if let Some(bytes) = crate::usage::peak_rss_bytes() {
            gauge("chengmai_peak_rss_bytes", "Greatest resident memory", bytes);
        }
        if let Some(seconds) = crate::usage::cpu_seconds() {
            gauge("chengmai_cpu_ms", "CPU time used", (seconds * 1000.0) as u64);
        }
    }
}

impl City {
    /// Starts everything.
    ///
    /// # Errors
    /// The first thing that does not start, and why.
    pub fn start(config: &Config) -> Result<City> {
        let log = open_log(config)?;
        let names = Arc::new(Names::new());
        let specs = dataflow::specs_of(&config.dataflow())?;
        let state = Arc::new(State::default());
        let live_config = live_config(config);
        live_config.ensure_topics(&*log)?;
        let clickhouse = start_clickhouse(config, &names)?;
        *state.clickhouse.lock() = clickhouse.as_ref().map(|stored| Arc::clone(&stored.sink));
        let rejected = open_rejected(&live_config, &specs, &log)?;
        let alerts = open_alerts(&live_config, &specs, &log)?;
        let webhook = start_webhook(config, &live_config, &specs, &log, &names)?;
        let secret = Secret::load_or_create(&secret_path(config))?;
        let writer: Arc<dyn StreamWriter> = Arc::new(Writer::new(Arc::clone(&log), live_config.clone()));
        let health: Arc<dyn Health> = Arc::clone(&state) as _;
        let mut api_config = ApiConfig::new(config.api.listen, config.api.dashboards.clone(), secret);
        api_config.utc_offset_min = config.engine.utc_offset_min;
        api_config.track_ms = config.dataflow().track_retention_ms;
        let warehouse = clickhouse.as_ref().map(|stored| Arc::clone(&stored.past) as Arc<dyn Warehouse>);
        let partners = Partners { writer: Some(writer), warehouse, health, clock: wall_ms };
        let api = Api::start(api_config, specs, Arc::clone(&names), partners)?;
        let api = Arc::new(api);
        let engine = Engine::start(&config.dataflow(), config.engine.workers, &names)?;
        let frames = engine.frames();
        let hub = Hub {
            api: Arc::clone(&api),
            clickhouse: clickhouse.as_ref().map(|stored| Arc::clone(&stored.sink)),
            rejected,
            alerts,
            webhook,
            names: Arc::clone(&names),
            state: Arc::clone(&state),
        };
        let hub = std::thread::Builder::new()
            .name("hub".into())
            .spawn(move || hub.run(&frames))
            .map_err(|e| Error::internal("a thread cannot be started").caused_by(e))?;
        let engine = Arc::new(Mutex::new(Some(engine)));
        let feed = {
            let engine = Arc::clone(&engine);
            Box::new(move |feed| match engine.lock().as_mut() {
                Some(engine) => engine.feed(feed),
                None => Err(Error::internal("the dataflow has ended")),
            })
        };
        let live = Live::start(Arc::clone(&log), &names, live_config, feed, Arc::clone(&state.published))?;
        Ok(City { live, engine, hub, api, clickhouse, state, log })
    }

    /// Where the API listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.api.local_addr()
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Looks after what runs; the reason if it cannot go on.
    pub fn check(&self) -> Option<String> {
        let live = self.live.status();
        let failed = live.error.clone().or_else(|| self.state.error.lock().clone());
        *self.state.live.lock() = Some(live);
        failed
    }

    /// Ends everything in order: no new ticks, what was fed is published, whole cells are stored.
    ///
    /// # Errors
    /// The first thing that did not end well.
    pub fn stop(self) -> Result<()> {
        let live = self.live.stop();
        let engine = self.engine.lock().take();
        let engine = engine.map_or(Ok(()), Engine::stop);
        let hub = self.hub.join().unwrap_or_else(|_| Err(Error::internal("the hub panicked")));
        *self.state.clickhouse.lock() = None;
        if let Some(api) = Arc::into_inner(self.api) {
            api.stop();
        }
        let mut stored = Ok(());
        if let Some(ClickHouse { sink, past, embedded }) = self.clickhouse {
            drop(past);
            if let Some(sink) = Arc::into_inner(sink) {
                stored = sink.close();
            }
            drop(embedded);
        }
        live.and(engine).and(hub).and(stored)
    }
}

/// Hands frames on.
struct Hub {
    api: Arc<Api>,
    clickhouse: Option<Arc<Handle>>,
    rejected: Option<RejectedSink<LogTopics>>,
    alerts: Option<AlertSink<LogTopics, Cases>>,
    webhook: Option<Webhook>,
    names: Arc<Names>,
    state: Arc<State>,
}

impl Hub {
    fn run(mut self, frames: &crossbeam_channel::Receiver<Arc<Frame>>) -> Result<()> {
        let ended = frames.iter().try_for_each(|frame| self.hand_on(frame));
        if let Err(e) = &ended {
            tracing::error!(error = %e, "frames are no longer handed on");
            *self.state.error.lock() = Some(e.to_string());
            // The dataflow must not wait for us while the process ends.
            frames.iter().for_each(drop);
        }
        if let Some(webhook) = self.webhook.take() {
            webhook.stop();
        }
        ended
    }

    fn hand_on(&mut self, frame: Arc<Frame>) -> Result<()> {
        self.api.publish(&frame)?;
        self.state.published.store(frame.tick, Ordering::Relaxed);
        if let Some(rejected) = &mut self.rejected {
            rejected.write(&frame, &self.names)?;
        }
        if let Some(alerts) = &mut self.alerts {
            alerts.write(&frame, &self.names)?;
        }
        if let Some(webhook) = &self.webhook {
            webhook.send(Arc::clone(&frame))?;
        }
        match &self.clickhouse {
            Some(sink) => sink.send(frame),
            None => Ok(()),
        }
    }
}

/// The embedded ClickHouse and the runtime that watches it.
struct Embedded {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that matters now.
            let _ = thread.join();
        }
    }
}

fn start_clickhouse(config: &Config, names: &Arc<Names>) -> Result<Option<ClickHouse>> {
    let settings = &config.clickhouse;
    let mut sink = ClickHouseConfig {
        url: settings.url.clone(),
        user: settings.user.clone(),
        password: settings.password.clone(),
        database: settings.database.clone(),
        grid_ms: settings.grid_ms,
        ttl_days: (settings.ttl_days > 0).then_some(settings.ttl_days),
        queue_frames: CLICKHOUSE_QUEUE,
        ..ClickHouseConfig::default()
    };
    let embedded = match settings.mode {
        ClickHouseMode::Off => return Ok(None),
        ClickHouseMode::External => None,
        ClickHouseMode::Embedded => {
            let executable = std::env::current_exe()
                .map_err(|e| Error::internal("this program does not know where it is").caused_by(e))?;
            let server = EmbeddedConfig {
                library: settings.library.clone(),
                data: config.data.folder.join("clickhouse"),
                executable,
                memory_limit_bytes: CLICKHOUSE_MEMORY,
                http_port: None,
            };
            let (url, user, password, embedded) = run_embedded(server)?;
            (sink.url, sink.user, sink.password) = (url, user, password);
            Some(embedded)
        }
    };
    let reader = Reader::new(&sink)?;
    let handle = Arc::new(ClickHouseSink::start(
        sink.clone(),
        dataflow::specs_of(&config.dataflow())?,
        Arc::clone(names),
    )?);
    let past = Past { sink: Arc::clone(&handle), reader, config: sink };
    Ok(Some(ClickHouse { sink: handle, past: Arc::new(past), embedded }))
}

/// Runs the server on a thread of its own and brings it back when it dies.
fn run_embedded(config: EmbeddedConfig) -> Result<(String, String, String, Embedded)> {
    let (started, is_started) = crossbeam_channel::bounded(1);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::Builder::new()
        .name("clickhouse-server".into())
        .spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(e) => {
                    let _ = started.send(Err(Error::internal("no runtime for ClickHouse").caused_by(e)));
                    return;
                }
            };
            runtime.block_on(async {
                let mut server = match Server::start(config).await {
                    Ok(server) => server,
                    Err(e) => {
                        let _ = started.send(Err(e));
                        return;
                    }
                };
                let _ =
                    started.send(Ok((server.url(), server.user().to_owned(), server.password().to_owned())));
                let mut pause = Duration::from_secs(1);
                loop {
                    let error = tokio::select! {
                        _ = &mut stopped => break,
                        error = server.failed() => error,
                    };
                    tracing::warn!(error = %error, "the embedded ClickHouse died and is brought back");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                    if let Err(e) = server.restart().await {
                        tracing::error!(error = %e, "the embedded ClickHouse does not come back");
                    }
                }
                if let Err(e) = server.stop().await {
                    tracing::warn!(error = %e, "the embedded ClickHouse did not end by itself");
                }
            });
        })
        .map_err(|e| Error::internal("a thread cannot be started").caused_by(e))?;
    let ended = || Error::internal("the thread of the embedded ClickHouse ended");
    let (url, user, password) = is_started.recv().map_err(|_| ended())??;
    Ok((url, user, password, Embedded { stop: Some(stop), thread: Some(thread) }))
}

/// Checkers that are kept for the posts to come.
const CHECKERS: usize = 8;

/// Appends records that came over HTTP or from a file.
pub struct Writer {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Names of topics.
    pub config: LiveConfig,
    /// Those that nobody uses at the moment, at most [`CHECKERS`].
    checkers: parking_lot::Mutex<Vec<streams::Checker>>,
}

impl Writer {
    /// A writer to these topics of `log`.
    pub fn new(log: Arc<dyn Log>, config: LiveConfig) -> Self {
        Self { log, config, checkers: parking_lot::Mutex::default() }
    }
}

impl StreamWriter for Writer {
    fn append(&self, stream: StreamId, lines: Vec<Vec<u8>>) -> Result<api::Lines> {
        let mut answers: api::Lines = Vec::with_capacity(lines.len());
        let mut good = Vec::with_capacity(lines.len());
        let mut checker = self.checkers.lock().pop().unwrap_or_default();
        for line in lines {
            match checker.check(stream, &line) {
                Ok(key) => {
                    answers.push(Ok((0, 0)));
                    good.push(record(stream, &key, line));
                }
                Err(reason) => answers.push(Err(reason)),
            }
        }
        let mut checkers = self.checkers.lock();
        if checkers.len() < CHECKERS {
            checkers.push(checker);
        }
        drop(checkers);
        let mut places = self.log.append(&self.config.topic(stream), good)?.into_iter();
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = places
                .next()
                .ok_or_else(|| Error::internal("the log took fewer records than it was given"))
                .map(Ok)?;
        }
        Ok(answers)
    }
}

/// A record for the log. The textual form of a deletion becomes a record without a value, so that compaction sees it.
pub fn record(stream: StreamId, key: &str, line: Vec<u8>) -> NewRecord {
    let deleted = stream == StreamId::Reference
        && serde_json::from_slice::<serde_json::Value>(&line).is_ok_and(|record| record["deleted"] == true);
    NewRecord { key: Some(key.as_bytes().to_vec()), value: (!deleted).then_some(line) }
}

/// Topics of the log for sinks.
pub struct LogTopics {
    log: Arc<dyn Log>,
    writer: Box<dyn FencedWriter>,
}

impl LogTopics {
    /// A writer of `topic`; fences whoever wrote it before.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub fn open(log: Arc<dyn Log>, topic: &str) -> Result<Self> {
        let writer = log.fenced_writer(topic, "sink")?;
        Ok(Self { log, writer })
    }
}

impl sinks::topics::TopicWriter for LogTopics {
    fn last(&mut self, topic: &str) -> Result<Option<Vec<u8>>> {
        let end = self.log.end_offsets(topic)?.first().copied().unwrap_or(0);
        let start = self.log.start_offsets(topic)?.first().copied().unwrap_or(0);
        let from = end.saturating_sub(LAST_RECORDS).max(start);
        Ok(read_to_end(&*self.log, topic, 0, from)?.pop().and_then(|record| record.value))
    }

    fn append_atomic(&mut self, _topic: &str, records: Vec<sinks::topics::Record>) -> Result<()> {
        let records = records.into_iter().map(|(key, value)| NewRecord { key, value: Some(value) }).collect();
        self.writer.append(records).map(|_| ())
    }
}

/// Whether the view runs.
fn runs(specs: &[ViewSpec], view: &str) -> bool {
    specs.iter().any(|spec| spec.name == view)
}

/// Opens the sink of rejected records, if their view runs.
fn open_rejected(
    config: &LiveConfig,
    specs: &[ViewSpec],
    log: &Arc<dyn Log>,
) -> Result<Option<RejectedSink<LogTopics>>> {
    if !runs(specs, "rejects") {
        return Ok(None);
    }
    let topics = LogTopics::open(Arc::clone(log), &config.rejected_topic())?;
    Topics::open(Rejected::new(&config.prefix, specs)?, topics).map(Some)
}

/// Opens the sink of alerts, if their view runs.
fn open_alerts(
    config: &LiveConfig,
    specs: &[ViewSpec],
    log: &Arc<dyn Log>,
) -> Result<Option<AlertSink<LogTopics, Cases>>> {
    if !runs(specs, "alerts") {
        return Ok(None);
    }
    let topics = LogTopics::open(Arc::clone(log), &config.alerts_topic())?;
    let cases = Cases { log: Arc::clone(log), topic: config.topic(StreamId::Cases) };
    AlertSink::open(Alerts::new(&config.prefix, specs)?, topics, cases).map(Some)
}

/// Starts the webhook, if one is configured.
fn start_webhook(
    config: &Config,
    live: &LiveConfig,
    specs: &[ViewSpec],
    log: &Arc<dyn Log>,
    names: &Arc<Names>,
) -> Result<Option<Webhook>> {
    let settings = &config.webhook;
    if settings.url.is_empty() {
        return Ok(None);
    }
    let topic = live.webhook_topic();
    let topics = LogTopics::open(Arc::clone(log), &topic)?;
    let webhook = WebhookConfig { url: settings.url.clone(), secret: settings.secret.clone(), topic };
    Webhook::start(webhook, specs, Arc::clone(names), topics).map(Some)
}

/// Where alerts open cases.
struct Cases {
    log: Arc<dyn Log>,
    topic: String,
}

impl CaseWriter for Cases {
    fn append(&mut self, records: Vec<sinks::topics::Record>) -> Result<()> {
        let records = records.into_iter().map(|(key, value)| NewRecord { key, value: Some(value) }).collect();
        self.log.append(&self.topic, records).map(|_| ())
    }
}
