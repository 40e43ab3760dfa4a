//! `chengmai replay`: files in, views out, with no broker, no ClickHouse and no network.
//!
//! The same dataflow runs over the files of a folder, with settings that keep everything: nothing is too late and
//! nothing expires; the other settings are those of the configuration. At the end each view is written to
//! `<view>.ndjson`, rows sorted by key and object keys in column order, so that two runs that agree are equal byte for
//! byte. Changes are asked of the engine only where they are written down.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use dataflow::{Engine, Frames, Settings};
use indicatif::{ProgressBar, ProgressStyle};
use ingest::files;
use ingest::streams::Limits;
use model::view::{compare_keys, write_row_json};
use model::{Error, Frame, Names, Result, TickLength, Value, ViewSpec};
use rows::Rows;

use super::serve::ConfigArgs;

/// Runs the engine over files.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// Folder with {reference,telemetry,positions,cases,actions}.ndjson, also .gz or .zst; a missing one is empty
    #[arg(long)]
    input: PathBuf,
    /// Folder for <view>.ndjson; made if it is missing
    #[arg(long, required_unless_present = "decode_only")]
    output: Option<PathBuf>,
    /// Worker threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Distance between ticks, ms
    #[arg(long, default_value_t = model::tick::DEFAULT_TICK_MS, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    tick: u64,
    /// Stop at this time (Unix ms)
    #[arg(long)]
    until: Option<i64>,
    /// Correct nothing that lies back further than this, ms, and forget what only that would need; what comes later still
    /// is told in `late_ledger`. Without it everything is kept, whatever memory that takes
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(0..))]
    horizon: Option<i64>,
    /// Only these views, separated by commas; a view that nobody asks for costs nothing
    #[arg(long, value_delimiter = ',', conflicts_with = "decode_only")]
    views: Option<Vec<String>>,
    /// Also write every change to <view>.changes.ndjson
    #[arg(long)]
    changes: bool,
    /// Read and decode, keep no view: what the edge alone costs
    #[arg(long, conflicts_with = "output")]
    decode_only: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command; prints one line of JSON on stdout.
///
/// # Errors
/// A user error when the input cannot be read or the output cannot be written.
pub fn run(args: &ReplayArgs) -> Result<()> {
    let tick = TickLength::from_millis(args.tick).unwrap_or_default();
    if !args.input.is_dir() {
        return Err(Error::user(format!("--input {}: not a folder that can be read", args.input.display())));
    }
    let started = Instant::now();
    let names = Arc::new(Names::new());
    let bar = progress(files::input_bytes(&args.input));
    let options = files::ReplayOptions {
        tick,
        until: args.until,
        limits: Limits { horizon_ms: args.horizon, ..Limits::default() },
    };
    let moved = |bytes| bar.set_position(bytes);
    let stats = match &args.output {
        Some(output) => replay(args, output, &options, &names, &moved)?,
        None => files::replay(&args.input, &options, &names, &mut |_feed| Ok(()), &moved)?,
    };
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let report = serde_json::json!({
        "records": stats.records,
        "rejected": stats.rejected,
        "seconds": seconds,
        "records_per_second": stats.records as f64 / seconds,
        "cpu_seconds": crate::usage::cpu_seconds(),
        "peak_rss_bytes": crate::usage::peak_rss_bytes(),
        "last_tick": stats.last_tick,
    });
    crate::say(&report.to_string());
    Ok(())
}

/// Feeds the files to the dataflow and writes the views.
fn replay(
    args: &ReplayArgs,
    output: &Path,
    options: &files::ReplayOptions,
    names: &Arc<Names>,
    moved: &dyn Fn(u64),
) -> Result<files::ReplayStats> {
    fs::create_dir_all(output).map_err(|e| cannot_write(output).caused_by(e))?;
    let configured = args.config.load()?.dataflow().keep_everything();
    let views = args.views.clone().or(configured.views);
    let frames = if args.changes { Frames::Changes } else { Frames::Last };
    let horizon_ms = args.horizon;
    let settings = Settings { tick: options.tick, views, frames, horizon_ms, ..configured };
    let specs = dataflow::specs_of(&settings)?;
    let mut engine = Engine::start(&settings, usize::from(args.workers), names)?;
    let frames = engine.frames();
    let run = |engine: &mut Engine| {
        files::replay(&args.input, options, names, &mut |feed| engine.feed(feed), moved)
    };
    if !args.changes {
        let stats = run(&mut engine)?;
        engine.stop()?;
        // One frame, with all that is there at the end.
        let last: Vec<Arc<Frame>> = frames.iter().collect();
        for (view, spec) in specs.iter().enumerate() {
            let steps = last.iter().flat_map(|frame| &frame.steps);
            let mine = steps.filter(|step| usize::from(step.view.0) == view);
            let rows = mine.flat_map(|step| step.changes.iter()).map(|change| change.row);
            write_view(output, spec, rows.collect(), names)?;
        }
        return Ok(stats);
    }
    let mut reader = Reader::new(output, specs.clone(), names)?;
    let reading = std::thread::Builder::new()
        .name("frames".into())
        .spawn(move || {
            let read = frames.iter().try_for_each(|frame| reader.take(&frame));
            // A reader that has given up must not stop the flow: what is left goes nowhere.
            frames.iter().for_each(drop);
            read.and_then(|()| reader.finish())
        })
        .map_err(|e| Error::internal("a thread cannot be started").caused_by(e))?;
    let stats = run(&mut engine)?;
    engine.stop()?;
    let views = reading.join().map_err(|_| Error::internal("the reader of frames panicked"))??;
    for (spec, rows) in specs.iter().zip(views) {
        write_view(output, spec, rows.iter().collect(), names)?;
    }
    Ok(stats)
}

/// A bar on stderr, shown only where a person looks.
pub fn progress(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn cannot_write(path: &Path) -> Error {
    Error::user(format!("{}: cannot be written", path.display()))
}

/// Writes changes down, and adds frames up to the views.
struct Reader {
    names: Arc<Names>,
    specs: Vec<ViewSpec>,
    views: Vec<Rows>,
    changes: Vec<(PathBuf, BufWriter<File>)>,
}

impl Reader {
    fn new(folder: &Path, specs: Vec<ViewSpec>, names: &Arc<Names>) -> Result<Self> {
        let open = |spec: &ViewSpec| {
            let path = folder.join(format!("{}.changes.ndjson", spec.name));
            let file = File::create(&path).map_err(|e| cannot_write(&path).caused_by(e))?;
            Ok((path, BufWriter::new(file)))
        };
        let changes = specs.iter().map(open).collect::<Result<_>>()?;
        let views = specs.iter().map(|spec| Rows::new(spec.key, spec.columns.len())).collect();
        Ok(Self { names: Arc::clone(names), specs, views, changes })
    }

    fn take(&mut self, frame: &Frame) -> Result<()> {
        for step in &frame.steps {
            let view = usize::from(step.view.0);
            let (path, file) = &mut self.changes[view];
            write_changes(&self.specs[view], step, &self.names, file)
                .map_err(|e| cannot_write(path).caused_by(e))?;
            self.views[view].take(&step.changes);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Rows>> {
        for (path, file) in &mut self.changes {
            file.flush().map_err(|e| cannot_write(path).caused_by(e))?;
        }
        Ok(self.views)
    }
}

/// Writes the changes of a step, those of one tick sorted by key: workers hand them over in no order.
fn write_changes(
    spec: &ViewSpec,
    step: &model::Step,
    names: &Names,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut changes: Vec<_> = step.changes.iter().collect();
    changes.sort_by(|a, b| a.tick.cmp(&b.tick).then_with(|| compare_keys(spec, a.row, b.row, names)));
    let mut line = Vec::new();
    for change in changes {
        line.clear();
        line.extend_from_slice(
            format!("{{\"tick\":{},\"op\":\"{}\",\"row\":", change.tick, change.op.name()).as_bytes(),
        );
        write_row_json(spec, change.row, names, &mut line);
        line.extend_from_slice(b"}\n");
        out.write_all(&line)?;
    }
    Ok(())
}

fn write_view(folder: &Path, spec: &ViewSpec, mut rows: Vec<&[Value]>, names: &Names) -> Result<()> {
    let path = folder.join(format!("{}.ndjson", spec.name));
    rows.sort_by(|a, b| compare_keys(spec, a, b, names));
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&path)?);
        let mut line = Vec::new();
        for row in &rows {
            line.clear();
            write_row_json(spec, row, names, &mut line);
            line.push(b'\n');
            file.write_all(&line)?;
        }
        file.flush()
    };
    write().map_err(|e| cannot_write(&path).caused_by(e))
}

mod rows {
    //! The rows of a view by key, in one piece of memory: most of what a change costs is to get at the row it changes.

    use std::hash::BuildHasher;
    use std::hint::black_box;

    use foldhash::fast::FixedState;
    use hashbrown::HashTable;
    use model::{Changes, Op, Value};

    /// How many changes are looked up before the first of them is made: their rows come from memory at the same time.
    const AHEAD: usize = 32;
    /// Values in what memory hands over at once, rounded down.
    const PER_LINE: usize = 64 / size_of::<Value>();

    /// Rows of a view; the first `key` values of a row identify it.
    pub struct Rows {
        key: usize,
        width: usize,
        /// The places of rows, by the hash of their key.
        places: HashTable<usize>,
        /// Row after row; what was deleted is null.
        values: Vec<Value>,
        /// Places of deleted rows.
        free: Vec<usize>,
        hasher: FixedState,
    }

    impl Rows {
        pub fn new(key: usize, width: usize) -> Self {
            let (places, values, free) = (HashTable::new(), Vec::new(), Vec::new());
            Self { key, width, places, values, free, hasher: FixedState::default() }
        }

        /// Makes the changes of a step, in order.
        pub fn take(&mut self, changes: &Changes) {
            let mut hashes = [0; AHEAD];
            let mut ahead = changes.iter();
            let mut changes = changes.iter().peekable();
            while changes.peek().is_some() {
                let mut touched = 0;
                for (hash, change) in hashes.iter_mut().zip(&mut ahead) {
                    *hash = self.hasher.hash_one(&change.row[..self.key]);
                    let place = self.place(*hash, &change.row[..self.key]);
                    let row = place.map_or(&[][..], |place| self.row(place));
                    touched +=
                        row.iter().step_by(PER_LINE).filter(|value| matches!(value, Value::Null)).count();
                }
                black_box(touched);
                for (hash, change) in hashes.iter().zip(&mut changes) {
                    match change.op {
                        Op::Upsert => self.upsert(*hash, change.row),
                        Op::Delete => self.delete(*hash, change.row),
                    }
                }
            }
        }

        fn row(&self, place: usize) -> &[Value] {
            &self.values[place * self.width..][..self.width]
        }

        fn place(&self, hash: u64, key: &[Value]) -> Option<usize> {
            let is = |place: &usize| &self.row(*place)[..self.key] == key;
            self.places.find(hash, is).copied()
        }

        fn upsert(&mut self, hash: u64, row: &[Value]) {
            if let Some(place) = self.place(hash, &row[..self.key]) {
                self.values[place * self.width..][..self.width].clone_from_slice(row);
                return;
            }
            let place = match self.free.pop() {
                Some(place) => {
                    self.values[place * self.width..][..self.width].clone_from_slice(row);
                    place
                }
                None => {
                    self.values.extend_from_slice(row);
                    self.values.len() / self.width - 1
                }
            };
            let Self { key, width, places, values, hasher, .. } = self;
            places.insert_unique(hash, place, |place| hasher.hash_one(&values[place * *width..][..*key]));
        }

        fn delete(&mut self, hash: u64, row: &[Value]) {
            let Self { key, width, places, values, free, .. } = self;
            let is = |place: &usize| values[place * *width..][..*key] == row[..*key];
            if let Ok(entry) = places.find_entry(hash, is) {
                let (place, _) = entry.remove();
                values[place * *width..][..*width].fill(Value::Null);
                free.push(place);
            }
        }

        /// The rows, in no order.
        pub fn iter(&self) -> impl Iterator<Item = &[Value]> {
            self.places.iter().map(|place| self.row(*place))
        }
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeMap;

        use model::{Changes, Op, Value};

        use super::Rows;

        /// Keys and operations of a step, and what a sorted map makes of them.
        #[test]
        fn rows_are_a_map() {
            let (mut rows, mut map, mut dice) = (Rows::new(2, 3), BTreeMap::new(), 7u64);
            for step in 0..200 {
                let mut changes = Changes::new(3);
                for n in 0..step % 70 {
                    dice =
                        dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (a, b, gone) = ((dice >> 33) as i64 % 20, (dice >> 40) as i64 % 5, dice >> 60 < 5);
                    let op = if gone { Op::Delete } else { Op::Upsert };
                    changes.push_with(step, op, |row| {
                        row.extend([Value::Int(a), Value::Text(b.to_string().into()), Value::Int(n as i64)]);
                    });
                    match gone {
                        true => map.remove(&(a, b)),
                        false => map.insert((a, b), n as i64),
                    };
                }
                rows.take(&changes);
            }
            let expected: Vec<_> = map
                .into_iter()
                .map(|((a, b), n)| vec![Value::Int(a), Value::Text(b.to_string().into()), Value::Int(n)])
                .collect();
            let mut found: Vec<_> = rows.iter().map(<[Value]>::to_vec).collect();
            let number = |value: &Value| match value {
                Value::Int(n) => *n,
                Value::Text(text) => text.parse().unwrap(),
                _ => panic!("no such value"),
            };
            found.sort_by_key(|row| (number(&row[0]), number(&row[1])));
            assert!(expected.len() > 50);
            assert_eq!(found, expected);
        }
    }
}
