//! Open-loop latency: load that comes when it is due, whatever the engine does, and probes whose way is followed.
//!
//! **Meaning.** Records are posted in bursts at fixed instants. A probe is a reading of a sensor of its own, with its
//! number as its value, in the burst of its instant; its latency counts from that instant, not from when the post
//! went out, so a harness or an engine that falls behind cannot hide it. Three stages are timed: `published`, heard by a
//! connection that follows the probe alone; `client`, by one that follows every view in full, once its frame is
//! complete; `clickhouse`, when a query finds the row. The warm-up does not count.
//!
//! **Mechanism.** The greatest probe in a window of `sensor_windows` says that all probes up to it are in. [`Recorder`]
//! keeps when each probe was due and when each stage saw it.
//!
//! **State.** One instant per probe and stage.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Error, Result};
use serde_json::{Value as Json, json};

use crate::load::Load;
use crate::plot::Line;
use crate::results::Contestant;
use crate::run::Options;
use crate::scenario::{Latency, LogKind, Scenario};
use crate::server::{Server, settings};
use crate::{backlog, clickhouse, follow, load, own, server};

/// The stages of a probe's way.
pub const STAGES: [&str; 3] = ["published", "client", "clickhouse"];
/// How long probes may be on their way after the load has ended.
const STRAGGLERS: Duration = Duration::from_secs(10);
/// Distance between planted stalls.
const STALL_EVERY: Duration = Duration::from_secs(1);

/// When probes were due and when each stage saw them.
#[derive(Debug)]
pub struct Recorder {
    due: Vec<Instant>,
    seen: BTreeMap<&'static str, Vec<Option<Instant>>>,
}

impl Recorder {
    /// A recorder of these stages.
    pub fn new(stages: &[&'static str]) -> Self {
        Self { due: Vec::new(), seen: stages.iter().map(|stage| (*stage, Vec::new())).collect() }
    }

    /// The next probe is due at `at`; its number, from 0.
    pub fn due(&mut self, at: Instant) -> usize {
        self.due.push(at);
        for seen in self.seen.values_mut() {
            seen.push(None);
        }
        self.due.len() - 1
    }

    /// A stage has seen all probes up to `last` by `at`.
    pub fn seen(&mut self, stage: &str, last: usize, at: Instant) {
        let Some(seen) = self.seen.get_mut(stage) else { return };
        let upto = seen.len().min(last + 1);
        // Later ones come later: those that were seen already end the search.
        for slot in seen[..upto].iter_mut().rev() {
            if slot.is_some() {
                break;
            }
            *slot = Some(at);
        }
    }

    /// Probes due so far.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether no probe was due.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Whether every stage has seen every probe.
    pub fn complete(&self) -> bool {
        self.seen.values().all(|seen| seen.last().is_none_or(Option::is_some))
    }

    /// The latencies of a stage in ms, ascending, of the probes from `from` on, and how many never came.
    pub fn latencies(&self, stage: &str, from: Instant) -> (Vec<f64>, usize) {
        let seen = self.seen.get(stage).map_or(&[][..], Vec::as_slice);
        let counted = self.due.iter().zip(seen).filter(|(due, _)| **due >= from);
        let mut lost = 0;
        let mut latencies = Vec::new();
        for (due, seen) in counted {
            match seen {
                Some(seen) => latencies.push(seen.duration_since(*due).as_secs_f64() * 1000.0),
                None => lost += 1,
            }
        }
        latencies.sort_by(f64::total_cmp);
        (latencies, lost)
    }
}

/// The least latency that a share `p` of all does not exceed; 0 of none.
pub fn percentile(ascending: &[f64], p: f64) -> f64 {
    let rank = (ascending.len() as f64 * p).ceil() as usize;
    ascending.get(rank.clamp(1, ascending.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// The figures of a stage.
fn figures((ascending, lost): &(Vec<f64>, usize)) -> Json {
    let at = |p| percentile(ascending, p);
    // The curve: what one probe in 2, 4, 8 … exceeds.
    let curve: Vec<(f64, f64)> = (0..)
        .map(|n| f64::from(1u32 << n))
        .take_while(|one_in| *one_in <= ascending.len().max(1) as f64)
        .map(|one_in| (one_in, at(1.0 - 1.0 / one_in)))
        .collect();
    json!({
        "probes": ascending.len(), "lost": lost, "p50": at(0.5), "p99": at(0.99), "p999": at(0.999),
        "max": at(1.0), "curve": curve,
    })
}

/// The lines of a plot.
pub fn curves(contestant: &Contestant) -> Vec<Line> {
    let Some(Json::Object(stages)) = &contestant.latency_ms else { return Vec::new() };
    let line = |(name, figures): (&String, &Json)| {
        let points = serde_json::from_value(figures["curve"].clone()).unwrap_or_default();
        Line { name: name.clone(), points }
    };
    stages.iter().map(line).collect()
}

/// The table of a run.
pub fn table(contestant: &Contestant, text: &mut String) {
    let Some(Json::Object(stages)) = &contestant.latency_ms else { return };
    text.push_str("\n| latency from the intended instant, ms | p50 | p99 | p99.9 | max | probes | lost |\n|---|---|---|---|---|---|---|\n");
    for (stage, figures) in stages {
        let of = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {stage} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} |",
            of("p50"),
            of("p99"),
            of("p999"),
            of("max"),
            figures["probes"],
            figures["lost"]
        );
    }
    if let Some(notes) = &contestant.notes {
        let _ = writeln!(text, "\n{notes}");
    }
}

/// Runs the load against an engine of its own in `scratch`.
///
/// # Errors
/// When the engine does not start or fails, a post is refused, or probes never come.
pub fn run(
    scenario: &Scenario,
    run: &Latency,
    options: &Options,
    scratch: &Path,
    preload: f64,
    say: &mut dyn FnMut(&str),
) -> Result<Contestant> {
    if !run.views.iter().any(|view| view == "sensor_windows") {
        return Err(Error::user(
            "latency.views: `sensor_windows` must be among them: probes are looked for there",
        ));
    }
    let mut views = run.views.clone();
    views.push("stream_health".to_owned());
    let mut sets = settings(&scratch.join("data"), &views, run.tick_ms, run.workers);
    let history = match run.clickhouse {
        true => {
            Some(clickhouse::Server::start(&options.program, &options.root, &scratch.join("clickhouse"))?)
        }
        false => None,
    };
    match &history {
        Some(history) => sets.extend(history.settings()),
        None => sets.push("clickhouse.mode=off".to_owned()),
    }
    let broker = match run.log {
        LogKind::Local => None,
        LogKind::Kafka => {
            let broker = backlog::broker(&options.program, &options.root, scratch)?;
            Some(broker.map_err(|reason| Error::external(format!("no Kafka: {reason}")))?)
        }
    };
    sets.extend(broker.iter().flat_map(backlog::Broker::settings));
    load::workload(&scenario.workload, preload, &scratch.join("input"))?;
    let streams: &[&str] = if preload > 0.0 { &backlog::STREAMS } else { &backlog::STREAMS[..1] };
    server::load(&options.program, &sets, &scratch.join("input"), streams)?;
    let token = server::token(&options.program, &sets)?;
    let mut engine = Server::start(&options.program, &sets)?;
    engine.ready()?;
    if preload > 0.0 {
        engine.wait("the preload was in", backlog::LIMIT, &mut backlog::caught_up)?;
    }

    let stages: Vec<&'static str> =
        STAGES.into_iter().filter(|stage| *stage != "clickhouse" || run.clickhouse).collect();
    let recorder = Arc::new(parking_lot::Mutex::new(Recorder::new(&stages)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Error::internal("no runtime for the load").caused_by(e))?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (address, id) = (engine.url.clone(), engine.id());
    let outcome: Result<(Instant, load::Sent)> = runtime.block_on(async {
        let mut followers = tokio::task::JoinSet::new();
        for (stage, views) in [("published", None), ("client", Some(run.views.clone()))] {
            let socket = follow::connect(&address, views.as_deref(), run.probe).await?;
            followers.spawn(follow::follow(socket, stage, Arc::clone(&recorder), stopped.clone()));
        }
        if let Some(history) = &history {
            followers.spawn(follow::query(history.client(), Arc::clone(&recorder), stopped.clone()));
        }
        let start = Instant::now() + Duration::from_millis(200);
        let counts = start + Duration::from_secs_f64(run.warmup_s);
        let end = counts + Duration::from_secs_f64(run.seconds);
        let stalls = tokio::spawn(stall(id, run.stall_ms, counts, end));
        let load = Load::new(&scenario.workload, run, options.now_ms, start, end);
        let sent = load.send(&address, &token, &recorder).await?;
        // Stalls have their own errors to tell.
        stalls.await.map_err(|e| Error::internal("the stalls panicked").caused_by(e))??;
        let deadline = Instant::now() + STRAGGLERS;
        while Instant::now() < deadline && !recorder.lock().complete() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Some(ended) = followers.try_join_next() {
                ended.map_err(|e| Error::internal("a follower panicked").caused_by(e))??;
            }
        }
        // Followers end when they are told; a closed channel tells as well.
        stop.send_replace(true);
        while let Some(ended) = followers.join_next().await {
            ended.map_err(|e| Error::internal("a follower panicked").caused_by(e))??;
        }
        Ok((counts, sent))
    });
    let (counts, sent) = outcome?;
    let cpu_seconds = engine.gauge("chengmai_cpu_ms")? / 1000.0;
    let peak_rss_bytes = engine.gauge("chengmai_peak_rss_bytes")? as u64;
    let steady = resident_bytes(engine.id());
    engine.stop()?;
    drop(broker);

    let recorder = recorder.lock();
    let mut latencies = serde_json::Map::new();
    for stage in &stages {
        let found = recorder.latencies(stage, counts);
        if found.0.is_empty() {
            return Err(Error::external(format!("latency: no probe was {stage}")));
        }
        say(&format!(
            "{stage}: p50 {:.1} ms, p99 {:.1} ms",
            percentile(&found.0, 0.5),
            percentile(&found.0, 0.99)
        ));
        latencies.insert((*stage).to_owned(), figures(&found));
    }
    let mut contestant = Contestant {
        name: match preload > 0.0 {
            true => format!("latency-{}-{preload}", scenario.name),
            false => format!("latency-{}", scenario.name),
        },
        version: own::VERSION.to_owned(),
        keys: scenario.workload.keys,
        length: preload,
        workers: run.workers,
        records: sent.records,
        seconds: sent.seconds,
        cpu_seconds,
        peak_rss_bytes,
        latency_ms: Some(Json::Object(latencies)),
        notes: Some(json!({
            "records_per_second": sent.records as f64 / sent.seconds, "posts_waiting_at_most": sent.waiting,
            "burst_late_ms_max": sent.behind_ms, "steady_rss_bytes": steady, "tick_ms": run.tick_ms,
        })),
        ..Contestant::default()
    };
    contestant.cpu_per_million = cpu_seconds / sent.records.max(1) as f64 * 1e6;
    Ok(contestant)
}

/// Stops a process for `ms` once a second, so that it can be seen whether the harness sees it.
async fn stall(id: u32, ms: u64, from: Instant, until: Instant) -> Result<()> {
    if ms == 0 {
        return Ok(());
    }
    let signal = |name: &'static str| async move {
        let status = tokio::process::Command::new("kill").args([name, &id.to_string()]).status().await;
        status.map_err(|e| Error::external("kill cannot be run").caused_by(e)).map(drop)
    };
    let mut next = from;
    while next < until {
        tokio::time::sleep_until(next.into()).await;
        signal("-STOP").await?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        signal("-CONT").await?;
        next += STALL_EVERY;
    }
    Ok(())
}

/// Resident memory of a process, bytes; `None` where `/proc` is missing.
fn resident_bytes(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Recorder, figures, percentile};

    /// A service that answers in 2 ms and stops once a second for as long as asked for; probes every 10 ms.
    fn p99(stall: Duration) -> f64 {
        let start = Instant::now();
        let mut recorder = Recorder::new(&["client"]);
        for n in 0..3000u32 {
            let due = start + Duration::from_millis(10) * n;
            let probe = recorder.due(due);
            let since = Duration::from_millis(10) * (n % 100);
            let free = if since < stall { stall - since } else { Duration::ZERO };
            recorder.seen("client", probe, due + free + Duration::from_millis(2));
        }
        let (latencies, lost) = recorder.latencies("client", start);
        assert_eq!((latencies.len(), lost), (3000, 0));
        percentile(&latencies, 0.99)
    }

    #[test]
    fn a_planted_stall_of_50_ms_shows_in_the_99th_percentile() {
        assert!(p99(Duration::ZERO) < 3.0);
        // Five probes of a hundred fall into the stall, and the p99 is the second worst of them.
        assert!(p99(Duration::from_millis(50)) >= 40.0, "{}", p99(Duration::from_millis(50)));
    }

    #[test]
    fn what_is_late_or_lost_counts_from_when_it_was_due() {
        let start = Instant::now();
        let mut recorder = Recorder::new(&["client", "published"]);
        let at = |ms| start + Duration::from_millis(ms);
        for ms in [0, 10, 20, 30] {
            recorder.due(at(ms));
        }
        // One message says that three are in; the second was due 30 ms before.
        recorder.seen("client", 0, at(5));
        recorder.seen("client", 2, at(40));
        recorder.seen("client", 1, at(50));
        recorder.seen("published", 9, at(31));
        assert_eq!(recorder.latencies("client", start), (vec![5.0, 20.0, 30.0], 1));
        assert_eq!(recorder.latencies("client", at(15)), (vec![20.0], 1));
        assert_eq!(recorder.latencies("published", start).0.len(), 4);
        assert!(!recorder.complete());
        assert_eq!(figures(&(vec![1.0, 2.0, 9.0], 1))["lost"], 1);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 0.999, 1.0].map(|p| percentile(&values, p)), [50.0, 99.0, 100.0, 100.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
