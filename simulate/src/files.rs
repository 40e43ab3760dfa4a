//! A city as files, for `chengmai replay` and the throughput runs: one NDJSON file per stream.
//!
//! Each record carries `appended_at`, so that a late record is late when it is read back. Records are written as they
//! come; nothing is kept.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use model::{Error, Result, StreamId};

use crate::city::City;
use crate::config::Config;
use crate::json;

/// Buffer in front of each file, bytes.
const BUFFER: usize = 1 << 20;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Lines of `reference.ndjson`.
    pub reference: u64,
    /// Lines of `telemetry.ndjson`.
    pub telemetry: u64,
    /// Lines of `positions.ndjson`.
    pub positions: u64,
    /// Lines of `cases.ndjson`.
    pub cases: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Append time of the last record, Unix ms.
    pub last_ms: i64,
}

impl Written {
    /// Records of the three streams of events.
    pub fn records(&self) -> u64 {
        self.telemetry + self.positions + self.cases
    }
}

/// Writes `records` records of the city, and its reference records besides, to `DIR/reference.ndjson`,
/// `telemetry.ndjson`, `positions.ndjson` and `cases.ndjson`. Existing files are replaced.
///
/// # Errors
/// The user's for a bad configuration or a city in which nothing happens; external when the folder can't be written.
pub fn write_files(config: Config, records: u64, dir: &Path) -> Result<Written> {
    let mut city = City::new(config)?;
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let open = |stream: StreamId| {
        let path = dir.join(format!("{}.ndjson", stream.name()));
        File::create(&path).map(|file| BufWriter::with_capacity(BUFFER, file)).map_err(|e| failed(&path, e))
    };
    let mut written = Written { last_ms: city.config().start_ms, ..Written::default() };
    let mut line = Vec::with_capacity(512);

    let mut reference = open(StreamId::Reference)?;
    for (_, record) in city.reference() {
        stamp(&mut line, record.as_bytes(), city.config().start_ms);
        reference.write_all(&line).map_err(|e| failed(dir, e))?;
        written.reference += 1;
        written.bytes += line.len() as u64;
    }
    reference.flush().map_err(|e| failed(dir, e))?;

    let mut telemetry = open(StreamId::Telemetry)?;
    let mut positions = open(StreamId::Positions)?;
    let mut cases = open(StreamId::Cases)?;
    let mut outcome = Ok(());
    while written.records() < records {
        let more = city.step(i64::MAX - 1, &mut |stream, _, record, at| {
            stamp(&mut line, record, at);
            let (file, count) = match stream {
                StreamId::Telemetry => (&mut telemetry, &mut written.telemetry),
                StreamId::Positions => (&mut positions, &mut written.positions),
                _ => (&mut cases, &mut written.cases),
            };
            *count += 1;
            written.bytes += line.len() as u64;
            written.last_ms = at;
            if let Err(error) = file.write_all(&line) {
                outcome = Err(failed(dir, error));
            }
        });
        if !more {
            return Err(Error::user(
                "simulate: nothing happens in a city without sensors, vehicles and cases",
            ));
        }
        std::mem::replace(&mut outcome, Ok(()))?;
    }
    for file in [&mut telemetry, &mut positions, &mut cases] {
        file.flush().map_err(|e| failed(dir, e))?;
    }
    Ok(written)
}

/// The record as a line with its append time. A broken record that is no object stays as it is.
fn stamp(line: &mut Vec<u8>, record: &[u8], at: i64) {
    line.clear();
    match record.split_last() {
        Some((b'}', rest)) => {
            line.extend_from_slice(rest);
            json::text(line, ",\"appended_at\":");
            json::int(line, at);
            line.extend_from_slice(b"}\n");
        }
        _ => {
            line.extend_from_slice(record);
            line.push(b'\n');
        }
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::external(format!("cannot write {}", path.display())).caused_by(error)
}
