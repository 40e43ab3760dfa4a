//! Load that comes when it is due: bursts at fixed instants, each posted at its own, whatever became of the last one.
//!
//! **Meaning.** The records are those of city-5 with event times of now; a share comes half a minute late, a share twice.
//! A burst is one post per stream. Posts do not wait for each other.
//!
//! **State.** The generators, the records that are to come late or again, and the posts on their way.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::{Error, Result};
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::city5::rules::KINDS;
use crate::city5::{Live, Mix, What, generate};
use crate::latency::Recorder;
use crate::scenario::{Latency, Probe};

/// How much later a late record comes, and a second copy.
const LATER: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(2)];
/// The sensor of the probes, its kind and its metric; the beginning of a district that probes move to.
pub const PROBE: &str = "probe";
/// The sensor of the workload that late probes and edits are about, and its kind.
pub const VICTIM: (&str, &str) = ("s-000000", KINDS[0]);
/// The value of probe 0: above all values of the workload.
pub const FIRST: usize = 1_000;
/// Late probes lie this far after the beginning of the workload, ms.
const LATE_AT_MS: i64 = 60_000;
/// Posts that may be on their way: more than that is an engine that does not take the load.
const WAITING_MAX: usize = 4_000;
const STREAMS: [&str; 4] = ["positions", "telemetry", "cases", "reference"];

/// A share of a workload into `folder`, with the sensor of the probes among its reference data.
///
/// # Errors
/// When they cannot be written.
pub fn workload(mix: &Mix, preload: f64, folder: &Path) -> Result<()> {
    use std::io::Write;
    // Without a preload as few records as there can be; nobody reads them.
    let records = (mix.records as f64 * preload) as u64;
    generate(&Mix { records: records.max(26), ..mix.clone() }, folder)?;
    let failed = |e| Error::external(format!("cannot write {}", folder.display())).caused_by(e);
    let path = folder.join("reference.ndjson");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).map_err(failed)?;
    let probe = json!({"kind": "sensor", "id": PROBE, "sensor_kind": PROBE, "district": PROBE});
    writeln!(file, "{probe}").map_err(failed)
}

/// Probe `n` as a reading.
fn reading(sensor: &str, metric: &str, ts: i64, n: usize) -> String {
    let value = FIRST + n;
    format!("{{\"sensor_id\":\"{sensor}\",\"ts\":{ts},\"metric\":\"{metric}\",\"value\":{value}}}\n")
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Records, probes included.
    pub records: u64,
    /// From the first burst to the last, s.
    pub seconds: f64,
    /// Greatest number of posts that were on their way at once.
    pub waiting: usize,
    /// How much later than its instant a burst went out at most, ms.
    pub behind_ms: f64,
}

/// The load of a run.
pub struct Load {
    live: Live,
    random: ChaCha8Rng,
    shares: [f64; 2],
    later: [VecDeque<(Instant, usize, String)>; 2],
    start: Instant,
    end: Instant,
    start_ms: i64,
    /// When the workload before it began.
    workload_ms: i64,
    probe: Probe,
    probe_every: Duration,
    burst: Duration,
}

impl Load {
    /// The load from `start`, which is `now_ms` on the wall, to `end`.
    pub fn new(mix: &Mix, run: &Latency, now_ms: i64, start: Instant, end: Instant) -> Self {
        let span = end.duration_since(start).as_secs_f64();
        let records = (run.rate * span) as u64;
        // No load at all is a record a day.
        let rate = if run.rate > 0.0 { run.rate } else { 1.0 / 86_400.0 };
        let workload_ms = mix.start_ms;
        let mix = Mix { start_ms: now_ms, rate, records: records.max(26), ..mix.clone() };
        Self {
            random: mix.random(What::Dirt, 99),
            shares: [mix.late, mix.duplicate],
            live: Live::new(mix),
            later: Default::default(),
            start,
            end,
            start_ms: now_ms,
            workload_ms,
            probe: run.probe,
            probe_every: Duration::from_millis(run.probe_every_ms),
            burst: Duration::from_millis(run.burst_ms),
        }
    }

    /// The bodies of the burst that is due at `at`, one per stream, and the number of records in them.
    fn burst(
        &mut self,
        at: Instant,
        recorder: &Mutex<Recorder>,
        next_probe: &mut Instant,
    ) -> ([String; 4], u64) {
        let ts = self.start_ms + at.duration_since(self.start).as_millis() as i64;
        let mut bodies: [String; 4] = Default::default();
        let mut records = 0;
        for later in &mut self.later {
            while later.front().is_some_and(|(due, ..)| *due <= at) {
                if let Some((_, stream, line)) = later.pop_front() {
                    bodies[stream].push_str(&line);
                    records += 1;
                }
            }
        }
        let (random, shares, later) = (&mut self.random, self.shares, &mut self.later);
        self.live.until(ts, &mut |stream, line| {
            records += 1;
            let dirt = (0..2).find(|kind| random.random_bool(shares[*kind]));
            match dirt {
                Some(0) => {
                    records -= 1;
                    later[0].push_back((at + LATER[0], stream, line.to_owned()));
                }
                Some(kind) => {
                    bodies[stream].push_str(line);
                    later[kind].push_back((at + LATER[kind], stream, line.to_owned()));
                }
                None => bodies[stream].push_str(line),
            }
        });
        if *next_probe <= at {
            let n = recorder.lock().due(at);
            let (sensor, kind) = VICTIM;
            // One probe a burst at most: numbers do not skip.
            match self.probe {
                Probe::Reading => bodies[1].push_str(&reading(PROBE, PROBE, ts, n)),
                Probe::Late => {
                    bodies[1].push_str(&reading(sensor, kind, self.workload_ms + LATE_AT_MS + n as i64, n));
                }
                Probe::Edit => {
                    let record = json!({
                        "kind": "sensor", "id": sensor, "sensor_kind": kind, "district": format!("{PROBE}-{n}"),
                    });
                    bodies[3].push_str(&format!("{record}\n"));
                }
            }
            records += 1;
            *next_probe = (*next_probe + self.probe_every).max(at);
        }
        (bodies, records)
    }

    /// Sends everything when it is due.
    ///
    /// # Errors
    /// When a post is refused, or too many are on their way.
    pub async fn send(mut self, address: &str, token: &str, recorder: &Arc<Mutex<Recorder>>) -> Result<Sent> {
        let client = reqwest::Client::new();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut posts = tokio::task::JoinSet::new();
        let mut sent = Sent { seconds: self.end.duration_since(self.start).as_secs_f64(), ..Sent::default() };
        let (mut at, mut next_probe) = (self.start, self.start);
        while at < self.end {
            tokio::time::sleep_until(at.into()).await;
            let (bodies, records) = self.burst(at, recorder, &mut next_probe);
            sent.records += records;
            sent.behind_ms = sent.behind_ms.max(at.elapsed().as_secs_f64() * 1000.0);
            for (stream, body) in STREAMS.iter().zip(bodies).filter(|(_, body)| !body.is_empty()) {
                let now = waiting.fetch_add(1, Ordering::Relaxed) + 1;
                sent.waiting = sent.waiting.max(now);
                let request =
                    client.post(format!("{address}api/v1/streams/{stream}")).bearer_auth(token).body(body);
                let waiting = Arc::clone(&waiting);
                posts.spawn(async move {
                    let answer = request.send().await;
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    let answer = answer.map_err(|e| Error::external("a post failed").caused_by(e))?;
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    match status.is_success() {
                        true => Ok(()),
                        false => Err(Error::external(format!("a post was refused: {status}: {text}"))),
                    }
                });
            }
            if sent.waiting > WAITING_MAX {
                return Err(Error::external(format!(
                    "{WAITING_MAX} posts are on their way: it does not take this load"
                )));
            }
            while let Some(ended) = posts.try_join_next() {
                ended.map_err(|e| Error::internal("a post panicked").caused_by(e))??;
            }
            at += self.burst;
        }
        while let Some(ended) = posts.join_next().await {
            ended.map_err(|e| Error::internal("a post panicked").caused_by(e))??;
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;

    use super::Load;
    use crate::city5::Mix;
    use crate::latency::Recorder;
    use crate::scenario::Latency;

    #[test]
    fn a_second_of_load_has_its_records_and_its_probes() {
        let run: Latency =
            toml::from_str("rate = 2000.0\nwarmup_s = 0.0\nseconds = 1.0\ntick_ms = 10\nprobe_every_ms = 20")
                .unwrap();
        let start = Instant::now();
        let recorder = Mutex::new(Recorder::new(&[]));
        let mix = Mix { keys: 0.05, ..Mix::default() };
        let mut load = Load::new(&mix, &run, 1_800_000_000_000, start, start + Duration::from_secs(1));
        let (mut at, mut next_probe, mut records) = (start, start, 0);
        let mut bodies = 0;
        while at < start + Duration::from_secs(1) {
            let (burst, n) = load.burst(at, &recorder, &mut next_probe);
            records += n;
            bodies += burst.iter().map(|body| body.lines().count() as u64).sum::<u64>();
            at += load.burst;
        }
        assert_eq!(records, bodies);
        assert!((1900..2100).contains(&records), "{records}");
        assert_eq!(recorder.lock().len(), 50);
    }
}
