//! `chengmai load`: NDJSON from a file or stdin into the log.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use ingest::files::{Line, Lines, open};
use ingest::streams::{Limits, check};
use model::{Error, Result, StreamId};

use crate::city::{live_config, open_log, record};
use crate::commands::replay::progress;
use crate::commands::serve::ConfigArgs;

/// Records in one append.
const BATCH: usize = 5000;
/// Refused lines that are printed; the rest is counted.
const SHOWN: u64 = 20;

/// Loads records into the log.
#[derive(Args, Debug)]
pub struct LoadArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// telemetry, positions, cases, reference or actions
    #[arg(long)]
    stream: String,
    /// NDJSON, also .gz or .zst; `-` reads stdin
    file: PathBuf,
}

/// Runs the command; refused lines are named on stderr and stay out.
///
/// # Errors
/// When the file cannot be read or the log cannot be written.
pub fn run(args: &LoadArgs) -> Result<()> {
    let known = StreamId::ALL.map(StreamId::name).join(", ");
    let stream = StreamId::from_name(&args.stream)
        .ok_or_else(|| Error::user(format!("--stream {}: expected one of {known}", args.stream)))?;
    let config = args.config.load()?;
    let counter = Arc::new(AtomicU64::new(0));
    let (input, size): (Box<dyn std::io::BufRead + Send>, u64) = match args.file.as_os_str() == "-" {
        true => (Box::new(std::io::BufReader::new(std::io::stdin())), 0),
        false => (open(&args.file, &counter)?, args.file.metadata().map_or(0, |meta| meta.len())),
    };
    let log = open_log(&config)?;
    let topics = live_config(&config);
    topics.ensure_topics(&*log)?;
    let topic = topics.topic(stream);
    let bar = progress(size);
    let mut lines = Lines::new(input, Limits::default().max_record_bytes);
    let (mut buffer, mut batch, mut loaded, mut refused) = (Vec::new(), Vec::new(), 0u64, 0u64);
    let unreadable = |e| Error::user(format!("{}: cannot be read", args.file.display())).caused_by(e);
    loop {
        let next = lines.next(&mut buffer).map_err(unreadable)?;
        let ended = next.is_none();
        if let Some((number, line)) = next {
            let checked = match line {
                Line::Whole(value) => check(stream, value).map(|key| record(stream, &key, value.to_vec())),
                Line::TooLong(_) => Err("too_long: the line is longer than 1 MiB".to_owned()),
            };
            match checked {
                Ok(record) => batch.push(record),
                Err(reason) => {
                    refused += 1;
                    if refused <= SHOWN {
                        let text = format!("{}:{}: {reason}", args.file.display(), number + 1);
                        bar.suspend(|| writeln!(std::io::stderr(), "{text}").unwrap_or_default());
                    }
                }
            }
        }
        if batch.len() >= BATCH || (ended && !batch.is_empty()) {
            loaded += batch.len() as u64;
            log.append(&topic, std::mem::take(&mut batch))?;
            bar.set_position(counter.load(Ordering::Relaxed));
        }
        if ended {
            break;
        }
    }
    bar.finish_and_clear();
    crate::say(
        &serde_json::json!({ "stream": stream.name(), "loaded": loaded, "refused": refused }).to_string(),
    );
    Ok(())
}
