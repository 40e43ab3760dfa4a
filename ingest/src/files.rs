//! The way of `replay`: the files of a folder, bound to ticks by the times they hold, and fed.
//!
//! **Meaning.** A record's tick is its `appended_at` if it has one, else the running maximum of `ts` in its file,
//! rounded up; it never goes back within a file. Only valid times count, so a mistaken year does not carry the clock
//! away; those of a record that is refused for another reason do. Records before the first known time of their file
//! take that time. A record without `appended_at` may have arrived whenever it likes: it is not late, and it counts in no
//! rate, so that a file means the same in any order. Reference data take the first tick of the whole input instead, so that a single rule with a date
//! does not hold back the sensors above it; so does a file without any time. The shipped reference data come first, at
//! tick 0.
//!
//! **Mechanism.** One reader per file, merged by tick; at one tick reference data come first. Reading, decoding and
//! merging are one thread: decoding costs less than handing records over would.
//!
//! **State.** One line and one row per file, besides the rows that wait for the first known time of theirs. A line
//! longer than the limit is skipped in bounded memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Bound, Error, Feed, LogPos, Names, Result, Row, StreamId, Tick, TickLength};

use crate::streams::{Binding, Decoded, Decoder, Limits, RecordMeta, of_unknown_stream, shipped};

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

/// Files in `dir` that look like a stream and are none, with the name that they claim, in order of name.
fn unknown_streams(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let unreadable = |e| Error::user(format!("{}: cannot be read", dir.display())).caused_by(e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)?.strip_suffix('.'));
        if let Some(stem) = stem.filter(|stem| StreamId::from_name(stem).is_none()) {
            found.push((stem.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
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
    /// What of the input's buffer is the last line.
    taken: usize,
}

/// One line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line.
    Whole(&'a [u8]),
    /// The beginning of a line that is longer than the limit, itself longer than the limit.
    TooLong(&'a [u8]),
}

impl Lines {
    /// The lines of `input`, none longer than `limit` bytes.
    pub fn new(input: Box<dyn BufRead + Send>, limit: usize) -> Self {
        Self { input, limit, number: 0, taken: 0 }
    }

    /// The next line that is not empty, with its number; `buffer` is where it is kept if it does not lie in one piece.
    ///
    /// # Errors
    /// When the file cannot be read or unpacked.
    pub fn next<'a>(&'a mut self, buffer: &'a mut Vec<u8>) -> std::io::Result<Option<(u64, Line<'a>)>> {
        loop {
            self.input.consume(std::mem::take(&mut self.taken));
            let there = self.input.fill_buf()?;
            let end = memchr::memchr(b'\n', there);
            let number = self.number;
            self.number += 1;
            let is_empty = match end {
                Some(end) => {
                    self.taken = end + 1;
                    let line = &there[..end];
                    line.iter().all(u8::is_ascii_whitespace)
                }
                None => match self.gather(buffer)? {
                    0 => return Ok(None),
                    _ => buffer.iter().all(u8::is_ascii_whitespace),
                },
            };
            if is_empty {
                continue;
            }
            let mut line = match end {
                // It is there still.
                Some(end) => &self.input.fill_buf()?[..end],
                None => &buffer[..],
            };
            while let Some((b'\n' | b'\r', rest)) = line.split_last() {
                line = rest;
            }
            let line = match line.split_at_checked(self.limit + 1) {
                Some((beginning, _)) => Line::TooLong(beginning),
                None => Line::Whole(line),
            };
            return Ok(Some((number, line)));
        }
    }

    /// Puts a line together that goes on beyond what has been read; how many bytes it has, or how many of them fit.
    fn gather(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
        buffer.clear();
        let limit = self.limit as u64 + 2;
        let n = (&mut self.input).take(limit).read_until(b'\n', buffer)?;
        if n as u64 == limit && buffer.last() != Some(&b'\n') {
            self.skip_line()?;
        }
        Ok(n)
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

/// A row that waits to be merged.
struct Waiting {
    tick: Tick,
    row: Row,
    decoded: Decoded,
}

/// One file.
struct Source {
    stream: StreamId,
    path: PathBuf,
    lines: Lines,
    buffer: Vec<u8>,
    length: TickLength,
    /// The tick of the last record, once a time is known.
    last: Option<Tick>,
    waiting: VecDeque<Waiting>,
}

impl Source {
    /// Decodes the next record into `rows`; its tick is `last` then.
    fn read(&mut self, decoder: &mut Decoder, rows: &mut Vec<Row>) -> Result<Option<Decoded>> {
        let unreadable = |e| Error::user(format!("{}: cannot be read", self.path.display())).caused_by(e);
        let Some((offset, line)) = self.lines.next(&mut self.buffer).map_err(unreadable)? else {
            return Ok(None);
        };
        let (Line::Whole(value) | Line::TooLong(value)) = line;
        let pos = LogPos { stream: self.stream, partition: 0, offset };
        let (last, length) = (&mut self.last, self.length);
        Ok(Some(decoder.decode_bound(self.stream, None, Some(value), pos, rows, |times| {
            let known = times.appended_at.or(times.ts).map(|time| length.ceil(time));
            *last = known.max(*last);
            Binding { tick: last.unwrap_or_default(), append_known: times.appended_at.is_some() }
        })))
    }

    /// Reads up to and with the first record that holds a time.
    fn begin(&mut self, decoder: &mut Decoder) -> Result<()> {
        let mut row = Vec::with_capacity(1);
        while self.last.is_none()
            && let Some(decoded) = self.read(decoder, &mut row)?
        {
            // One row is pushed for each record.
            let tick = self.last.unwrap_or_default();
            self.waiting.extend(row.drain(..).map(|row| Waiting { tick, row, decoded }));
        }
        Ok(())
    }

    /// Binds what came before the first known time to `tick`.
    fn bind_untimed(&mut self, tick: Tick) {
        let timed = usize::from(self.last.is_some());
        let untimed = self.waiting.len().saturating_sub(timed);
        self.waiting.iter_mut().take(untimed).for_each(|waiting| waiting.tick = tick);
        self.last.get_or_insert(tick);
    }
}

/// What one tick has bound of one stream.
#[derive(Clone, Copy, Default)]
struct Count {
    records: u64,
    arrived: u64,
    late: u64,
    rejected: u64,
    max_ts: Option<i64>,
}

/// The tick that is being bound.
struct Binder<'a> {
    tick: Tick,
    rows: Vec<Row>,
    counts: [Count; 5],
    stats: ReplayStats,
    feed: &'a mut dyn FnMut(Feed) -> Result<()>,
}

impl Binder<'_> {
    /// Counts a record whose row is there.
    fn count(&mut self, stream: StreamId, decoded: Decoded) -> Result<()> {
        let count = &mut self.counts[stream as usize];
        count.records += 1;
        count.arrived += u64::from(decoded.arrived);
        count.late += u64::from(decoded.late);
        count.rejected += u64::from(decoded.rejected);
        if !decoded.rejected {
            count.max_ts = count.max_ts.max(decoded.ts);
        }
        self.stats.records += 1;
        self.stats.rejected += u64::from(decoded.rejected);
        if self.rows.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Closes the tick for a later one.
    fn advance(&mut self, tick: Tick) -> Result<()> {
        if tick > self.tick {
            self.close()?;
            self.tick = tick;
        }
        Ok(())
    }

    /// Binds everything of `source` at `tick`, which is the current one; false at the end of the file.
    fn drain(&mut self, source: &mut Source, decoder: &mut Decoder) -> Result<bool> {
        while let Some(waiting) = source.waiting.pop_front() {
            if waiting.tick > self.tick {
                source.waiting.push_front(waiting);
                return Ok(true);
            }
            self.rows.push(waiting.row);
            self.count(source.stream, waiting.decoded)?;
        }
        loop {
            let Some(decoded) = source.read(decoder, &mut self.rows)? else { return Ok(false) };
            let tick = source.last.unwrap_or_default();
            if tick > self.tick {
                source.waiting.extend(self.rows.pop().map(|row| Waiting { tick, row, decoded }));
                return Ok(true);
            }
            self.count(source.stream, decoded)?;
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        // The next tick is likely to be as large as this one: most are far smaller than a batch.
        let next = Vec::with_capacity(self.rows.len().min(BATCH));
        let rows = std::mem::replace(&mut self.rows, next);
        (self.feed)(Feed::Rows { tick: self.tick, rows })
    }

    fn close(&mut self) -> Result<()> {
        for (stream, count) in StreamId::ALL.into_iter().zip(std::mem::take(&mut self.counts)) {
            if count.records > 0 {
                self.rows.push(Row::Bound(Box::new(Bound {
                    stream,
                    partition: 0,
                    records: count.arrived,
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
    if !dir.is_dir() {
        return Err(Error::user(format!("{}: not a folder that can be read", dir.display())));
    }
    let (length, counter) = (options.tick, Arc::new(AtomicU64::new(0)));
    let mut decoder = Decoder::new(Arc::clone(names), options.limits.clone());
    let mut sources = Vec::new();
    for stream in ORDER {
        if let Some(path) = find(dir, stream)? {
            let lines = Lines::new(open(&path, &counter)?, options.limits.max_record_bytes);
            let (buffer, waiting) = (Vec::new(), VecDeque::new());
            let mut source = Source { stream, path, lines, buffer, length, last: None, waiting };
            source.begin(&mut decoder)?;
            sources.push(source);
        }
    }
    // If no file knows a time, they begin at the first tick there is.
    let first = sources.iter().filter_map(|source| source.last).min().unwrap_or(length.as_millis());
    for source in &mut sources {
        let own = source.last.filter(|_| source.stream != StreamId::Reference);
        source.bind_untimed(own.unwrap_or(first));
    }
    sources.retain(|source| !source.waiting.is_empty());
    let (rows, counts, stats) = (shipped_rows(&mut decoder), Default::default(), ReplayStats::default());
    let mut binder = Binder { tick: 0, rows, counts, stats, feed };
    let until = options.until.map(|until| length.floor(until));
    let unknown = if until.is_none_or(|until| first <= until) { unknown_streams(dir)? } else { Vec::new() };
    for (name, path) in unknown {
        binder.advance(first)?;
        let unreadable = |e| Error::user(format!("{}: cannot be read", path.display())).caused_by(e);
        let mut lines = Lines::new(open(&path, &counter)?, options.limits.max_record_bytes);
        let mut buffer = Vec::new();
        while let Some((offset, Line::Whole(value) | Line::TooLong(value))) =
            lines.next(&mut buffer).map_err(unreadable)?
        {
            binder.rows.push(of_unknown_stream(&name, offset, value));
            binder.stats.records += 1;
            binder.stats.rejected += 1;
            if binder.rows.len() >= BATCH {
                binder.flush()?;
            }
        }
    }
    let mut reported = 0;
    loop {
        let head = |(i, source): (usize, &Source)| Some((source.waiting.front()?.tick, i));
        let Some((tick, next)) = sources.iter().enumerate().filter_map(head).min() else { break };
        if until.is_some_and(|until| tick > until) {
            break;
        }
        binder.advance(tick)?;
        if !binder.drain(&mut sources[next], &mut decoder)? {
            sources.remove(next);
        }
        let bytes = counter.load(Ordering::Relaxed);
        if bytes != reported {
            progress(bytes);
            reported = bytes;
        }
    }
    binder.advance(until.unwrap_or(0))?;
    binder.close()?;
    Ok(ReplayStats { last_tick: binder.tick, ..binder.stats })
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
