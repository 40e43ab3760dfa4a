//! The workload as files: one NDJSON file per stream in order of append time, and a manifest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use model::{Error, Result};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cases::Cases;
use super::network::{Network, UNITS};
use super::positions::Positions;
use super::readings::Readings;
use super::rules::{KINDS, RULES, Rules};
use super::{Mix, What, district_name};

/// Greatest length of a record, bytes, its line end included.
pub const RECORD_MAX: usize = 250;
/// A record is appended at most this long after its event, ms, if it is not late.
const DELAY_MS: i64 = 400;
/// A late one is appended this long after it, ms.
const LATE_MS: std::ops::Range<i64> = 30_000..300_000;
/// A second copy is appended this long after the first, ms.
const AGAIN_MS: std::ops::Range<i64> = 1_000..5_000;
/// The answers are asked for at a multiple of this, ms, so that every tick length that divides it will do.
const GRID_MS: i64 = 60_000;
const BUFFER: usize = 1 << 20;

/// What lies in a folder of input; `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it was made from.
    pub mix: Mix,
    /// The numbers of the five questions.
    pub rules: Rules,
    /// Records of the three streams, without reference data.
    pub records: u64,
    /// Reference records.
    pub reference: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Longest record, bytes.
    pub longest: usize,
    /// The instant at which the answers are asked for, Unix ms: after the last append time.
    pub until_ms: i64,
}

impl Manifest {
    /// The manifest of a folder, if it is there and was made from `mix`.
    pub fn of(folder: &Path, mix: &Mix) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join("manifest.json")).ok()?;
        serde_json::from_str::<Self>(&text).ok().filter(|manifest| manifest.mix == *mix)
    }
}

/// Writes the workload to `folder`: `reference`, `positions`, `telemetry` and `cases` as `.ndjson`, `manifest.json`
/// last. What was there from the same mix is left as it is.
///
/// # Errors
/// The user's for a bad mix; external when the folder cannot be written.
pub fn generate(mix: &Mix, folder: &Path) -> Result<Manifest> {
    mix.validate()?;
    if let Some(there) = Manifest::of(folder, mix) {
        return Ok(there);
    }
    let failed = |e| Error::external(format!("cannot write {}", folder.display())).caused_by(e);
    std::fs::create_dir_all(folder).map_err(failed)?;
    // A folder without a manifest is unfinished.
    let manifest = folder.join("manifest.json");
    if manifest.exists() {
        std::fs::remove_file(&manifest).map_err(failed)?;
    }
    let network = Arc::new(Network::build(mix));
    let mut said = Manifest {
        mix: mix.clone(),
        rules: RULES,
        records: mix.records,
        reference: 0,
        bytes: 0,
        longest: 0,
        until_ms: mix.start_ms,
    };
    reference(mix, &network, folder, &mut said).map_err(failed)?;
    let [positions, readings, events] = mix.shares();
    let mut source = Positions::new(mix, &network);
    stream(mix, folder, "positions", positions, &mut |line| source.next(line), &mut said).map_err(failed)?;
    let mut source = Readings::new(mix);
    stream(mix, folder, "telemetry", readings, &mut |line| source.next(line), &mut said).map_err(failed)?;
    let mut source = Cases::new(mix);
    stream(mix, folder, "cases", events, &mut |line| source.next(line), &mut said).map_err(failed)?;
    said.until_ms = (said.until_ms / GRID_MS + 1) * GRID_MS;
    let text = serde_json::to_string_pretty(&said)
        .map_err(|e| Error::internal("the manifest cannot be written").caused_by(e))?;
    std::fs::write(&manifest, text).map_err(failed)?;
    Ok(said)
}

/// One stream: records as they come, dirt added, cut at `count` lines.
fn stream(
    mix: &Mix,
    folder: &Path,
    name: &str,
    count: u64,
    next: &mut dyn FnMut(&mut String) -> i64,
    said: &mut Manifest,
) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(BUFFER, File::create(folder.join(format!("{name}.ndjson")))?);
    let mut random = mix.random(What::Dirt, name.len() as u64);
    let mut waiting: BinaryHeap<Reverse<(i64, u64, String)>> = BinaryHeap::new();
    let (mut made, mut written) = (0u64, 0u64);
    while written < count {
        let mut line = String::with_capacity(RECORD_MAX);
        let ts = next(&mut line);
        let late = random.random_bool(mix.late);
        let delay = if late { random.random_range(LATE_MS) } else { random.random_range(0..DELAY_MS) };
        if random.random_bool(mix.duplicate) {
            waiting.push(Reverse((ts + delay + random.random_range(AGAIN_MS), made, line.clone())));
            made += 1;
        }
        waiting.push(Reverse((ts + delay, made, line)));
        made += 1;
        // What is made from now on has an event time, and so an append time, of at least `ts`.
        while written < count
            && waiting.peek().is_some_and(|Reverse((at, ..))| *at <= ts)
            && let Some(Reverse((at, _, line))) = waiting.pop()
        {
            let line = format!("{line},\"appended_at\":{at}}}\n");
            file.write_all(line.as_bytes())?;
            written += 1;
            said.bytes += line.len() as u64;
            said.longest = said.longest.max(line.len());
            said.until_ms = said.until_ms.max(at);
        }
    }
    file.flush()
}

/// Districts, rules, sensors, vehicles and segments; they take effect with the first tick.
fn reference(mix: &Mix, network: &Network, folder: &Path, said: &mut Manifest) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(BUFFER, File::create(folder.join("reference.ndjson"))?);
    let mut write = |record: serde_json::Value| {
        let line = format!("{record}\n");
        said.reference += 1;
        said.bytes += line.len() as u64;
        file.write_all(line.as_bytes())
    };
    for district in 0..mix.districts {
        let id = district_name(district);
        write(json!({"kind": "district", "id": id, "name": format!("District {district}")}))?;
    }
    for kind in KINDS {
        write(json!({
            "kind": "rule", "id": format!("city5-{kind}"), "metric": kind, "severity": "warning",
            "above": RULES.raise_tenths as f64 / 10.0, "clear": RULES.clear_tenths as f64 / 10.0,
            "hold_s": RULES.hold_ms / 1000,
        }))?;
    }
    for sensor in 0..mix.scaled(mix.sensors) {
        let district = district_name(sensor / KINDS.len() as u32 % mix.districts);
        // No heartbeat: nobody is asked who is silent.
        let kind = KINDS[sensor as usize % KINDS.len()];
        write(
            json!({"kind": "sensor", "id": format!("s-{sensor:06}"), "sensor_kind": kind, "district": district}),
        )?;
    }
    for vehicle in 0..mix.scaled(mix.vehicles) {
        let district = district_name(vehicle % mix.districts);
        write(json!({"kind": "vehicle", "id": format!("v-{vehicle:06}"), "district": district}))?;
    }
    for (n, segment) in (0u32..).zip(&network.segments) {
        let line = network.line(n).map(|(lon, lat)| [lon as f64 / UNITS, lat as f64 / UNITS]);
        write(json!({
            "kind": "road", "id": format!("r-{n:07}"), "district": district_name(segment.district),
            "geometry": {"type": "LineString", "coordinates": line},
        }))?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::{Mix, RECORD_MAX, generate};

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_every_record_is_short_and_in_order() {
        let mix = Mix { records: 26_000, rate: 20.0, keys: 0.1, ..Mix::default() };
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        let said = generate(&mix, &a).unwrap();
        generate(&mix, &b).unwrap();
        generate(&Mix { seed: 6, ..mix.clone() }, &c).unwrap();
        assert!(said.longest <= RECORD_MAX, "{}", said.longest);
        let mut lines = 0;
        for name in ["positions", "telemetry", "cases", "reference"] {
            let read = |folder: &std::path::Path| {
                std::fs::read_to_string(folder.join(format!("{name}.ndjson"))).unwrap()
            };
            let text = read(&a);
            assert_eq!(text, read(&b));
            if name == "reference" {
                assert_eq!(text.lines().count() as u64, said.reference);
                continue;
            }
            assert_ne!(text, read(&c));
            let (mut last, mut late, mut seen) = (0, 0, std::collections::BTreeSet::new());
            for line in text.lines() {
                let record: Json = serde_json::from_str(line).unwrap();
                let (ts, at) = (record["ts"].as_i64().unwrap(), record["appended_at"].as_i64().unwrap());
                assert!(at >= last && at >= ts && at < said.until_ms);
                last = at;
                late += u64::from(at - ts >= 30_000);
                seen.insert(line.split(",\"appended_at\"").next().unwrap().to_owned());
            }
            let n = text.lines().count() as u64;
            lines += n;
            assert!((n / 400..n / 50).contains(&late), "{name}: {late} late of {n}");
            let twice = n - seen.len() as u64;
            assert!((n / 1000..n / 80).contains(&twice), "{name}: {twice} twice of {n}");
        }
        assert_eq!(lines, 26_000);
    }
}
