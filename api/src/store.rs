//! The view store: the rows of every view at one tick, and the way back over the last minutes.
//!
//! **Meaning.** After a frame is applied every reader sees its tick, whole; before that, the one before. For ticks
//! within the history the store also knows what the rows were, and what has changed since.
//!
//! **Mechanism.** Rows by key. Each frame leaves behind what its keys had been, so the past is the present with frames
//! undone, and what a subscriber misses is the set of keys touched since, whatever their number of changes: a slow
//! reader gets fewer and merged updates by itself. A row is serialised at most once, for all who want it whole.
//!
//! **State.** The rows, and frames within the history's time and number of changes.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use foldhash::HashMap;
use model::view::{compare_keys, write_row_json};
use model::{Error, Frame, Names, Op, Result, Tick, Value, ViewId, ViewSpec};
use parking_lot::RwLock;

/// A row, and its JSON once somebody has asked for it.
#[derive(Debug)]
pub struct Row {
    /// Values in column order.
    pub values: Box<[Value]>,
    json: OnceLock<Box<[u8]>>,
}

impl Row {
    /// The row as a JSON object with all columns.
    pub fn json(&self, spec: &ViewSpec, names: &Names) -> &[u8] {
        self.json.get_or_init(|| {
            let mut json = Vec::new();
            write_row_json(spec, &self.values, names, &mut json);
            json.into()
        })
    }
}

type Key = Box<[Value]>;
type Table = HashMap<Key, Arc<Row>>;
/// By view and key: the row before the frame.
type Undo = HashMap<(ViewId, Key), Option<Arc<Row>>>;

struct Applied {
    frame: Arc<Frame>,
    undo: Undo,
}

#[derive(Default)]
struct Inner {
    tables: Vec<Table>,
    frames: VecDeque<Applied>,
    changes: usize,
    tick: Tick,
    upper: Tick,
}

/// The rows of every view.
pub struct Store {
    specs: Vec<ViewSpec>,
    names: Arc<Names>,
    history_ms: u64,
    history_changes: usize,
    inner: RwLock<Inner>,
}

/// Rows of one view at one tick, in no order.
pub struct Snapshot {
    /// The tick.
    pub tick: Tick,
    /// The upper bound of the frame that it belongs to.
    pub upper: Tick,
    /// The rows.
    pub rows: Vec<Arc<Row>>,
}

/// What one key was at some tick, and what it is now.
pub struct Touched {
    /// The key.
    pub key: Key,
    /// The row then.
    pub old: Option<Arc<Row>>,
    /// The row now.
    pub new: Option<Arc<Row>>,
}

/// What has changed since some tick.
pub struct Since {
    /// The last tick shown.
    pub tick: Tick,
    /// The upper bound of its frame.
    pub upper: Tick,
    /// By view: the keys touched.
    pub touched: Vec<Vec<Touched>>,
}

/// The tick asked for is not within the history; the oldest that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The oldest tick that can still be asked for.
    pub oldest: Tick,
}

impl Store {
    /// An empty store.
    pub fn new(specs: Vec<ViewSpec>, names: Arc<Names>, history_ms: u64, history_changes: usize) -> Self {
        let inner = Inner { tables: specs.iter().map(|_| Table::default()).collect(), ..Inner::default() };
        Self { specs, names, history_ms, history_changes, inner: RwLock::new(inner) }
    }

    /// The views.
    pub fn specs(&self) -> &[ViewSpec] {
        &self.specs
    }

    /// The names behind the symbols.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The view called `name`.
    pub fn view(&self, name: &str) -> Option<(ViewId, &ViewSpec)> {
        (0u16..).zip(&self.specs).find(|(_, spec)| spec.name == name).map(|(id, spec)| (ViewId(id), spec))
    }

    /// The tick shown, and the upper bound of its frame.
    pub fn now(&self) -> (Tick, Tick) {
        let inner = self.inner.read();
        (inner.tick, inner.upper)
    }

    /// Number of rows by view.
    pub fn sizes(&self) -> Vec<usize> {
        self.inner.read().tables.iter().map(HashMap::len).collect()
    }

    /// Applies the next frame.
    ///
    /// # Errors
    /// When it does not begin where the last one ended: something was lost on the way here.
    pub fn apply(&self, frame: &Arc<Frame>) -> Result<()> {
        let mut inner = self.inner.write();
        if frame.lower != inner.upper {
            return Err(Error::internal(format!(
                "a frame from {} after one up to {}",
                frame.lower, inner.upper
            )));
        }
        let mut undo = Undo::default();
        for step in &frame.steps {
            let spec = &self.specs[usize::from(step.view.0)];
            let table = &mut inner.tables[usize::from(step.view.0)];
            for change in step.changes.iter() {
                let key: Key = change.row[..spec.key].into();
                let old = match change.op {
                    Op::Upsert => {
                        let row = Arc::new(Row { values: change.row.into(), json: OnceLock::new() });
                        table.insert(key.clone(), row)
                    }
                    Op::Delete => table.remove(&key),
                };
                undo.entry((step.view, key)).or_insert(old);
            }
        }
        inner.changes += undo.len();
        (inner.tick, inner.upper) = (frame.tick, frame.upper);
        inner.frames.push_back(Applied { frame: Arc::clone(frame), undo });
        let oldest = frame.tick.saturating_sub(self.history_ms);
        while inner.frames.len() > 1
            && inner
                .frames
                .front()
                .is_some_and(|first| first.frame.tick < oldest || inner.changes > self.history_changes)
        {
            if let Some(first) = inner.frames.pop_front() {
                inner.changes -= first.undo.len();
            }
        }
        Ok(())
    }

    /// All rows of a view now.
    pub fn snapshot(&self, view: ViewId) -> Snapshot {
        let inner = self.inner.read();
        let rows = inner.tables[usize::from(view.0)].values().cloned().collect();
        Snapshot { tick: inner.tick, upper: inner.upper, rows }
    }

    /// The rows of a view at `tick`; at the last tick if that lies ahead.
    ///
    /// # Errors
    /// When `tick` is older than the history.
    pub fn as_of(&self, view: ViewId, tick: Tick) -> std::result::Result<Snapshot, Gone> {
        let inner = self.inner.read();
        let oldest = inner.frames.front().map_or(0, |first| first.frame.lower);
        if tick + 1 < oldest {
            return Err(Gone { oldest: oldest.saturating_sub(1) });
        }
        let table = &inner.tables[usize::from(view.0)];
        let mut then: HashMap<&[Value], Option<Arc<Row>>> = HashMap::default();
        let spec = &self.specs[usize::from(view.0)];
        for applied in inner.frames.iter().rev().take_while(|applied| applied.frame.upper > tick + 1) {
            for ((of, key), old) in &applied.undo {
                if *of == view {
                    then.insert(key, old.clone());
                }
            }
            // The frame that holds `tick` and later ticks: what it did up to `tick` stays done.
            if applied.frame.lower <= tick {
                for change in applied
                    .frame
                    .steps
                    .iter()
                    .filter(|step| step.view == view)
                    .flat_map(|step| step.changes.iter())
                {
                    if change.tick <= tick {
                        let row = Arc::new(Row { values: change.row.into(), json: OnceLock::new() });
                        then.insert(&change.row[..spec.key], (change.op == Op::Upsert).then_some(row));
                    }
                }
            }
        }
        let same =
            table.iter().filter(|(key, _)| !then.contains_key(&***key)).map(|(_, row)| Arc::clone(row));
        let rows = same.chain(then.values().flatten().cloned()).collect();
        Ok(Snapshot { tick: tick.min(inner.tick), upper: tick.min(inner.tick) + 1, rows })
    }

    /// What changed in `[lower, now]`, by view.
    ///
    /// # Errors
    /// When `lower` is older than the history, or ahead of it.
    pub fn since(&self, lower: Tick) -> std::result::Result<Since, Gone> {
        let inner = self.inner.read();
        let oldest = inner.frames.front().map_or(inner.upper, |first| first.frame.lower);
        let aligned = lower == inner.upper || inner.frames.iter().any(|applied| applied.frame.lower == lower);
        if lower < oldest || lower > inner.upper || !aligned {
            return Err(Gone { oldest: oldest.saturating_sub(1) });
        }
        let mut first: HashMap<&(ViewId, Key), &Option<Arc<Row>>> = HashMap::default();
        for applied in inner.frames.iter().filter(|applied| applied.frame.lower >= lower) {
            for (key, old) in &applied.undo {
                first.entry(key).or_insert(old);
            }
        }
        let mut touched: Vec<Vec<Touched>> = self.specs.iter().map(|_| Vec::new()).collect();
        for ((view, key), old) in first {
            let new = inner.tables[usize::from(view.0)].get(key).cloned();
            touched[usize::from(view.0)].push(Touched { key: key.clone(), old: old.clone(), new });
        }
        Ok(Since { tick: inner.tick, upper: inner.upper, touched })
    }

    /// The first tick from `lower` on at which a row of `view` changed that `is` takes.
    pub fn first_change(&self, view: ViewId, lower: Tick, is: impl Fn(&[Value]) -> bool) -> Option<Tick> {
        let inner = self.inner.read();
        let frames = inner.frames.iter().filter(|applied| applied.frame.upper > lower);
        let steps = frames.flat_map(|applied| applied.frame.steps.iter()).filter(|step| step.view == view);
        let mut changes = steps.flat_map(|step| step.changes.iter());
        changes.find(|change| change.tick >= lower && is(change.row)).map(|change| change.tick)
    }

    /// Sorts rows by key.
    pub fn sort_by_key(&self, view: ViewId, rows: &mut [Arc<Row>]) {
        let spec = &self.specs[usize::from(view.0)];
        rows.sort_unstable_by(|a, b| compare_keys(spec, &a.values, &b.values, &self.names));
    }
}
