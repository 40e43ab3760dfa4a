//! The way of `replay`: the files of a folder, bound to ticks by the times they hold, and fed.
//!
//! **Meaning.** A record's tick is its `appended_at` if it has one, else the running maximum of `ts` in its file,
//! rounded up; it never goes back within a file. Records before the first known time of their file take that time; a
//! file without any (reference data, mostly) takes the first tick of the whole input. Only good records move the
//! maximum, so a mistaken year does not carry the clock away. The shipped reference data come first, at tick 0.
//!
//! **Mechanism.** One reader per file, merged by tick; at one tick reference data come first. A line longer than the
//! limit is skipped in bounded memory.
//!
//! **State.** One record per file, besides those that wait for the first known time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::rows::PAYLOAD_LIMIT;
use model::{Bound, Error, Feed, LogPos, Names, Result, Row, StreamId, Tick, TickLength};

use crate::streams::{Decoder, Limits, Read, RecordMeta, shipped};

/// Rows in one feed.
const BATCH: usize = 8192;
/// Bytes read at once.
const BUFFER: usize = 1 << 18;
/// The partition of the shipped records, which are in no topic.
pub const SHIPPED: u16 = u16::MAX;

/// How files are replayed.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Distance between ticks.
    pub tick: TickLength,
    /// Stop at this time, Unix ms.
    pub until: Option<i64>,
    /// Limits of the edge.
    pub limits: Limits,
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayStats {
    /// Records read from files, refused ones included.
    pub records: u64,
    /// Records refused at the edge.
    pub rejected: u64,
    /// The last tick closed.
    pub last_tick: Tick,
}

/// At one tick what records refer to comes before them.
const ORDER: [StreamId; 5] =
    [StreamId::Reference, StreamId::Telemetry, StreamId::Positions, StreamId::Cases, StreamId::Actions];
const ENDINGS: [&str; 3] = ["ndjson", "ndjson.gz", "ndjson.zst"];

/// The file of a stream in `dir`, if there is one.
fn find(dir: &Path, stream: StreamId) -> Result<Option<PathBuf>> {
    let candidates = ENDINGS.map(|ending| dir.join(format!("{}.{ending}", stream.name())));
    let mut there = candidates.into_iter().filter(|path| path.exists());
    match (there.next(), there.next()) {
        (Some(one), Some(other)) => {
            let text =
                format!("both {} and {} are there: which one is meant?", one.display(), other.display());
            Err(Error::user(text))
        }
        (found, _) => Ok(found),
    }
}

/// Bytes of all input files in `dir`, as they lie on disk.
pub fn input_bytes(dir: &Path) -> u64 {
    let files = ORDER.into_iter().filter_map(|stream| find(dir, stream).ok().flatten());
    files.filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum()
}

/// Opens an NDJSON file, plain or compressed by its name; bytes read from disk are added to `counter`.
///
/// # Errors
/// A user error when it cannot be opened.
pub fn open(path: &Path, counter: &Arc<AtomicU64>) -> Result<Box<dyn BufRead + Send>> {
    let unreadable =
        |e: std::io::Error| Error::user(format!("{}: cannot be read", path.display())).caused_by(e);
    let file = Counted { file: File::open(path).map_err(unreadable)?, counter: Arc::clone(counter) };
    Ok(match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => Box::new(BufReader::with_capacity(BUFFER, flate2::read::MultiGzDecoder::new(file))),
        Some("zst") => Box::new(BufReader::with_capacity(
            BUFFER,
            zstd::stream::read::Decoder::new(file).map_err(unreadable)?,
        )),
        _ => Box::new(BufReader::with_capacity(BUFFER, file)),
    })
}

struct Counted {
    file: File,
    counter: Arc<AtomicU64>,
}

impl std::io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.counter.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Lines of a file, in bounded memory.
pub struct Lines {
    input: Box<dyn BufRead + Send>,
    limit: usize,
    /// Number of the next line, from 0.
    number: u64,
}

/// One line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line.
    Whole(&'a [u8]),
    /// The beginning of a line that is longer than the limit.
    TooLong(&'a [u8]),
}

impl Lines {
    /// The lines of `input`, none longer than `limit` bytes.
    pub fn new(input: Box<dyn BufRead + Send>, limit: usize) -> Self {
        Self { input, limit, number: 0 }
    }

    /// The next line that is not empty, with its number; `buffer` is where it is kept.
    ///
    /// # Errors
    /// When the file cannot be read or unpacked.
    pub fn next<'a>(&mut self, buffer: &'a mut Vec<u8>) -> std::io::Result<Option<(u64, Line<'a>)>> {
        loop {
            buffer.clear();
            let limit = self.limit as u64 + 2;
            let n = (&mut self.input).take(limit).read_until(b'\n', buffer)?;
            if n == 0 {
                return Ok(None);
            }
            let number = self.number;
            self.number += 1;
            let whole = buffer.last() == Some(&b'\n') || (n as u64) < limit;
            if !whole {
                self.skip_line()?;
            }
            while matches!(buffer.last(), Some(b'\n' | b'\r')) {
                buffer.pop();
            }
            if buffer.len() > self.limit {
                buffer.truncate(PAYLOAD_LIMIT);
                return Ok(Some((number, Line::TooLong(buffer))));
            }
            if !buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((number, Line::Whole(buffer))));
            }
        }
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let there = self.input.fill_buf()?;
            let end = there.iter().position(|byte| *byte == b'\n');
            let (n, done) = match (end, there.len()) {
                (Some(end), _) => (end + 1, true),
                (None, 0) => return Ok(()),
                (None, n) => (n, false),
            };
            self.input.consume(n);
            if done {
                return Ok(());
            }
        }
    }
}

/// A record that waits to be merged.
struct Waiting {
    read: Read,
    pos: LogPos,
    tick: Tick,
    append_known: bool,
}

/// One file.
struct Source {
    stream: StreamId,
    path: PathBuf,
    lines: Lines,
    length: TickLength,
    /// The running maximum of the ticks.
    last: Option<Tick>,
    waiting: VecDeque<Waiting>,
}

impl Source {
    fn read(&mut self, decoder: &mut Decoder, buffer: &mut Vec<u8>) -> Result<Option<Waiting>> {
        let unreadable = |e| Error::user(format!("{}: cannot be read", self.path.display())).caused_by(e);
        let Some((offset, line)) = self.lines.next(buffer).map_err(unreadable)? else { return Ok(None) };
        let pos = LogPos { stream: self.stream, partition: 0, offset };
        let read = match line {
            Line::Whole(value) => decoder.read(self.stream, None, Some(value), pos),
            Line::TooLong(beginning) => decoder.read_too_long(beginning, pos),
        };
        let append_known = read.appended_at().is_some();
        if let Some(time) = read.appended_at().or(read.ts()) {
            self.last = self.last.max(Some(self.length.ceil(time)));
        }
        Ok(Some(Waiting { read, pos, tick: self.last.unwrap_or(0), append_known }))
    }

    /// Reads until a time is known; what comes before takes it.
    fn begin(&mut self, decoder: &mut Decoder, buffer: &mut Vec<u8>) -> Result<()> {
        while self.last.is_none() {
            let Some(waiting) = self.read(decoder, buffer)? else { return Ok(()) };
            self.waiting.push_back(waiting);
        }
        self.all_at(self.last.unwrap_or(0));
        Ok(())
    }

    fn all_at(&mut self, tick: Tick) {
        for waiting in &mut self.waiting {
            waiting.tick = tick;
        }
    }
}

/// What one tick has bound of one stream.
#[derive(Clone, Copy, Default)]
struct Count {
    records: u64,
    late: u64,
    rejected: u64,
    max_ts: Option<i64>,
}

/// The tick that is being bound.
struct Binder<'a> {
    tick: Tick,
    rows: Vec<Row>,
    counts: [Count; 5],
    feed: &'a mut dyn FnMut(Feed) -> Result<()>,
}

impl Binder<'_> {
    fn flush(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(BATCH));
        (self.feed)(Feed::Rows { tick: self.tick, rows })
    }

    fn close(&mut self) -> Result<()> {
        for (stream, count) in StreamId::ALL.into_iter().zip(std::mem::take(&mut self.counts)) {
            if count.records > 0 {
                self.rows.push(Row::Bound(Box::new(Bound {
                    stream,
                    partition: 0,
                    records: count.records,
                    late: count.late,
                    rejected: count.rejected,
                    max_ts: count.max_ts,
                    lag_records: 0,
                    lag_ms: 0,
                })));
            }
        }
        self.flush()?;
        (self.feed)(Feed::Advance(self.tick))
    }
}

/// Feeds the files of `dir`; `progress` hears of the bytes read from disk.
///
/// # Errors
/// A user error when a file cannot be read; whatever `feed` fails with.
pub fn replay(
    dir: &Path,
    options: &ReplayOptions,
    names: &Arc<Names>,
    feed: &mut dyn FnMut(Feed) -> Result<()>,
    progress: &dyn Fn(u64),
) -> Result<ReplayStats> {
    let (length, counter) = (options.tick, Arc::new(AtomicU64::new(0)));
    let mut decoder = Decoder::new(Arc::clone(names), options.limits.clone());
    let mut buffer = Vec::new();
    let mut sources = Vec::new();
    for stream in ORDER {
        if let Some(path) = find(dir, stream)? {
            let lines = Lines::new(open(&path, &counter)?, options.limits.max_record_bytes);
            let mut source = Source { stream, path, lines, length, last: None, waiting: VecDeque::new() };
            source.begin(&mut decoder, &mut buffer)?;
            sources.push(source);
        }
    }
    // A file that knows no time begins with the others; if none does, at the first tick there is.
    let first = sources.iter().filter_map(|source| source.last).min().unwrap_or(length.as_millis());
    for source in sources.iter_mut().filter(|source| source.last.is_none()) {
        source.last = Some(first);
        source.all_at(first);
    }
    let mut stats = ReplayStats::default();
    let until = options.until.map(|until| length.floor(until));
    let mut binder = Binder { tick: 0, rows: shipped_rows(&mut decoder), counts: Default::default(), feed };
    let mut reported = 0;
    loop {
        for source in &mut sources {
            if source.waiting.is_empty()
                && let Some(waiting) = source.read(&mut decoder, &mut buffer)?
            {
                source.waiting.push_back(waiting);
            }
        }
        sources.retain(|source| !source.waiting.is_empty());
        let heads =
            sources.iter().enumerate().filter_map(|(i, source)| Some((source.waiting.front()?.tick, i)));
        let Some((tick, next)) = heads.min() else { break };
        if until.is_some_and(|until| tick > until) {
            break;
        }
        if tick > binder.tick {
            binder.close()?;
            binder.tick = tick;
        }
        let Some(waiting) = sources[next].waiting.pop_front() else { continue };
        let stream = sources[next].stream;
        let meta = RecordMeta { pos: waiting.pos, tick, append_known: waiting.append_known };
        let decoded = decoder.judge(stream, waiting.read, meta, &mut binder.rows);
        let count = &mut binder.counts[stream as usize];
        count.records += 1;
        count.late += u64::from(decoded.late);
        count.rejected += u64::from(decoded.rejected);
        if !decoded.rejected {
            count.max_ts = count.max_ts.max(decoded.ts);
        }
        stats.records += 1;
        stats.rejected += u64::from(decoded.rejected);
        if binder.rows.len() >= BATCH {
            binder.flush()?;
        }
        let bytes = counter.load(Ordering::Relaxed);
        if bytes != reported {
            progress(bytes);
            reported = bytes;
        }
    }
    binder.close()?;
    if let Some(until) = until
        && until > binder.tick
    {
        binder.tick = until;
        binder.close()?;
    }
    stats.last_tick = binder.tick;
    Ok(stats)
}

/// The shipped reference data as rows of tick 0.
pub fn shipped_rows(decoder: &mut Decoder) -> Vec<Row> {
    let mut rows = Vec::new();
    for (offset, line) in (0u64..).zip(shipped().split(|byte| *byte == b'\n')) {
        if !line.is_empty() {
            let pos = LogPos { stream: StreamId::Reference, partition: SHIPPED, offset };
            let meta = RecordMeta { pos, tick: 0, append_known: false };
            decoder.decode(StreamId::Reference, None, Some(line), meta, &mut rows);
        }
    }
    rows
}
