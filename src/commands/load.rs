//! `chengmai load`: records from a file or stdin into the log: NDJSON, and reference records from GeoJSON.

mod geojson;

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use indicatif::ProgressBar;
use ingest::files::{Line, Lines, open};
use ingest::log::Log;
use ingest::streams::{Checker, Limits};
use model::{Error, Result, StreamId};

use crate::city::{live_config, open_log, record};
use crate::commands::replay::progress;
use crate::commands::serve::ConfigArgs;
use geojson::Mapping;

/// Records in one append.
const BATCH: usize = 5000;
/// Refused lines that are printed; the rest is counted.
const SHOWN: u64 = 20;
/// Endings of files that are GeoJSON.
const GEOJSON: [&str; 4] = ["geojson", "geojsonl", "geojsons", "geojsonseq"];

/// Loads records into the log.
#[derive(Args, Debug)]
pub struct LoadArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// telemetry, positions, cases, reference or actions
    #[arg(long)]
    stream: String,
    /// NDJSON or, for reference, GeoJSON (.geojson, or --kind), also .gz or .zst; `-` reads stdin
    file: PathBuf,
    /// GeoJSON: the kind of all features (road, fence, district, park …); else the property `kind`
    #[arg(long)]
    kind: Option<String>,
    /// GeoJSON: the property that is the id; else `id`, `@id` or the feature's own
    #[arg(long, value_name = "PROPERTY")]
    id: Option<String>,
    /// GeoJSON: a field and the property that it is read from
    #[arg(long = "field", value_name = "FIELD=PROPERTY")]
    fields: Vec<String>,
    /// GeoJSON: a field that is the same in all records; JSON, or else text
    #[arg(long = "value", value_name = "FIELD=VALUE")]
    values: Vec<String>,
    /// Print the records as NDJSON, for `replay`, rather than load them
    #[arg(long, conflicts_with_all = ["config", "sets"])]
    print: bool,
}

/// Where records go.
enum Sink {
    Log { log: Arc<dyn Log>, topic: String },
    Stdout,
}

struct Loader<'a> {
    stream: StreamId,
    file: &'a Path,
    sink: Sink,
    bar: ProgressBar,
    counter: Arc<AtomicU64>,
    /// Keys and records.
    batch: Vec<(String, Vec<u8>)>,
    checker: Checker,
    loaded: u64,
    refused: u64,
}

impl Loader<'_> {
    /// Refuses what lies at a line or feature of the file.
    fn refuse(&mut self, place: usize, reason: &str) {
        self.refused += 1;
        if self.refused <= SHOWN {
            let text = format!("{}:{place}: {reason}", self.file.display());
            self.bar.suspend(|| writeln!(std::io::stderr(), "{text}").unwrap_or_default());
        }
    }

    fn take(&mut self, place: usize, value: &[u8]) -> Result<()> {
        match self.checker.check(self.stream, value) {
            Ok(key) => self.batch.push((key, value.to_vec())),
            Err(reason) => self.refuse(place, &reason),
        }
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.loaded += batch.len() as u64;
        match &self.sink {
            _ if batch.is_empty() => {}
            Sink::Log { log, topic } => {
                let records = batch.into_iter().map(|(key, value)| record(self.stream, &key, value));
                log.append(topic, records.collect())?;
            }
            Sink::Stdout => {
                let text: Vec<u8> =
                    batch.iter().flat_map(|(_, value)| [value, &b"\n"[..]].concat()).collect();
                let failed = |e| Error::user("stdout: cannot be written").caused_by(e);
                std::io::stdout().lock().write_all(&text).map_err(failed)?;
            }
        }
        self.bar.set_position(self.counter.load(Ordering::Relaxed));
        Ok(())
    }
}

impl LoadArgs {
    /// Whether the file is GeoJSON.
    fn is_geojson(&self) -> bool {
        let name = self.file.to_string_lossy();
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
        self.kind.is_some() || ending.is_some_and(|ending| GEOJSON.contains(&ending))
    }

    fn mapping(&self) -> Result<Mapping> {
        let pair = |text: &String| match text.split_once('=') {
            Some((field, rest)) if !field.is_empty() => Ok((field.to_owned(), rest.to_owned())),
            _ => Err(Error::user(format!("`{text}`: expected FIELD=…"))),
        };
        let value = |text: &String| {
            let (field, value) = pair(text)?;
            Ok((field, serde_json::from_str(&value).unwrap_or_else(|_| value.into())))
        };
        Ok(Mapping {
            kind: self.kind.clone(),
            id: self.id.clone(),
            fields: self.fields.iter().map(pair).collect::<Result<_>>()?,
            values: self.values.iter().map(value).collect::<Result<_>>()?,
        })
    }
}

/// Runs the command; refused lines are named on stderr and stay out.
///
/// # Errors
/// When the file cannot be read or the log cannot be written.
pub fn run(args: &LoadArgs) -> Result<()> {
    let known = StreamId::ALL.map(StreamId::name).join(", ");
    let stream = StreamId::from_name(&args.stream)
        .ok_or_else(|| Error::user(format!("--stream {}: expected one of {known}", args.stream)))?;
    let (geojson, mapping) = (args.is_geojson(), args.mapping()?);
    if geojson && stream != StreamId::Reference {
        return Err(Error::user("GeoJSON makes reference records: expected --stream reference"));
    }
    if !geojson && (args.id.is_some() || !args.fields.is_empty() || !args.values.is_empty()) {
        return Err(Error::user("--id, --field and --value are for GeoJSON; --kind says that the file is"));
    }
    let counter = Arc::new(AtomicU64::new(0));
    let (input, size): (Box<dyn BufRead + Send>, u64) = match args.file.as_os_str() == "-" {
        true => (Box::new(std::io::BufReader::new(std::io::stdin())), 0),
        false => (open(&args.file, &counter)?, args.file.metadata().map_or(0, |meta| meta.len())),
    };
    let sink = if args.print {
        Sink::Stdout
    } else {
        let config = args.config.load()?;
        let log = open_log(&config)?;
        let topics = live_config(&config);
        topics.ensure_topics(&*log)?;
        let topic = topics.topic(stream);
        Sink::Log { log, topic }
    };
    let (bar, batch) = (progress(size), Vec::new());
    let (file, checker) = (&*args.file, Checker::default());
    let mut loader = Loader { stream, file, sink, bar, counter, batch, checker, loaded: 0, refused: 0 };
    match geojson {
        true => load_features(&mut loader, input, &mapping)?,
        false => load_lines(&mut loader, input)?,
    }
    loader.flush()?;
    loader.bar.finish_and_clear();
    let (loaded, refused) = (loader.loaded, loader.refused);
    let said =
        serde_json::json!({ "stream": stream.name(), "loaded": loaded, "refused": refused }).to_string();
    match args.print {
        true => writeln!(std::io::stderr(), "{said}").unwrap_or_default(),
        false => crate::say(&said),
    }
    Ok(())
}

fn load_lines(loader: &mut Loader<'_>, input: Box<dyn BufRead + Send>) -> Result<()> {
    let mut lines = Lines::new(input, Limits::default().max_record_bytes);
    let mut buffer = Vec::new();
    let file = loader.file;
    let unreadable = |e| Error::user(format!("{}: cannot be read", file.display())).caused_by(e);
    while let Some((number, line)) = lines.next(&mut buffer).map_err(unreadable)? {
        match line {
            Line::Whole(value) => loader.take(number as usize + 1, value)?,
            Line::TooLong(_) => loader.refuse(number as usize + 1, "too_long: the line is longer than 1 MiB"),
        }
    }
    Ok(())
}

fn load_features(loader: &mut Loader<'_>, input: Box<dyn BufRead + Send>, mapping: &Mapping) -> Result<()> {
    let (mut number, mut ended) = (0, Ok(()));
    let end = geojson::read(input, &mut |feature| {
        number += 1;
        if ended.is_err() {
            return;
        }
        match mapping.records(feature) {
            Ok(records) => {
                ended =
                    records.iter().try_for_each(|record| loader.take(number, record.to_string().as_bytes()));
            }
            Err(reason) => loader.refuse(number, &reason),
        }
    });
    ended?;
    let file = loader.file;
    end.map_err(|e| Error::user(format!("{}: no GeoJSON: {e}", file.display())))
}
