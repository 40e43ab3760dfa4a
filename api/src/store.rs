//! The view store: the rows of every view at one tick, and the way back over the last minutes.
//!
//! **Meaning.** After a frame is applied every reader sees its tick, whole; before that, the one before. For ticks
//! within the history the store also knows what the rows were, and what has changed since.
//!
//! **Mechanism.** Rows by key. Each frame leaves behind what its keys had been, so the past is the present with frames
//! undone, and what a subscriber misses is the set of keys touched since, whatever their number of changes: a slow
//! reader gets fewer and merged updates by itself. A frame that spans several ticks with changes is kept as it is too,
//! so that any tick within it can be had exactly. Rows are made, and old frames freed, outside the lock; readers take
//! shared rows under it and write them out after it. What the last frame changed is worked out once for all
//! subscribers, and a row is serialised once for all who want it whole.
//!
//! **State.** The rows, and frames within the history's time and bytes; the last frame always.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use foldhash::HashMap;
use model::view::{compare_keys, write_row_json};
use model::{Error, Frame, Names, Op, Result, Tick, Value, ViewId, ViewSpec};
use parking_lot::{Mutex, RwLock};

/// What a key in the history takes beside its values, bytes: map slot, two pointers, counters.
const KEY_OVERHEAD: usize = 96;

/// A row, and its JSON once somebody has asked for it.
#[derive(Debug)]
pub struct Row {
    /// Values in column order.
    pub values: Box<[Value]>,
    json: OnceLock<Box<[u8]>>,
}

impl Row {
    /// A row of these values.
    pub(crate) fn new(values: &[Value]) -> Arc<Self> {
        Arc::new(Self { values: values.into(), json: OnceLock::new() })
    }

    /// The row as a JSON object with all columns.
    pub fn json(&self, spec: &ViewSpec, names: &Names) -> &[u8] {
        self.json.get_or_init(|| {
            let mut json = Vec::new();
            write_row_json(spec, &self.values, names, &mut json);
            json.into()
        })
    }

    /// Memory that it holds, bytes, about.
    fn weight(&self) -> usize {
        size_of::<Self>() + values_weight(&self.values) + self.json.get().map_or(0, |json| json.len())
    }
}

fn values_weight(values: &[Value]) -> usize {
    let text = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
    size_of_val(values) + values.iter().map(text).sum::<usize>()
}

/// Shared: a key that changes in every frame is in the table, in the history and with whoever is told.
type Key = Arc<[Value]>;
type Table = HashMap<Key, Arc<Row>>;
/// A key and its new row; without one it is gone.
type Put = (Key, Option<Arc<Row>>);
/// By key: the row before, if there was one.
type Before = HashMap<Key, Option<Arc<Row>>>;

/// A frame that was applied, as the way back over it.
struct Applied {
    lower: Tick,
    upper: Tick,
    tick: Tick,
    undo: Vec<(ViewId, Before)>,
    /// The frame, if anything in it changed before its last tick.
    frame: Option<Arc<Frame>>,
    bytes: usize,
}

impl Applied {
    /// The keys of `view` that the frame touches, as they were when its changes before `at` were made, into `rows`.
    fn before(&self, view: ViewId, key: usize, at: Tick, rows: &mut Before) {
        for (_, undo) in self.undo.iter().filter(|(of, _)| *of == view) {
            rows.extend(undo.iter().map(|(key, row)| (Arc::clone(key), row.clone())));
        }
        if at > self.lower
            && let Some(frame) = &self.frame
        {
            let steps = frame.steps.iter().filter(|step| step.view == view);
            for change in steps.flat_map(|step| step.changes.iter()).filter(|change| change.tick < at) {
                let row = (change.op == Op::Upsert).then(|| Row::new(change.row));
                rows.insert(change.row[..key].into(), row);
            }
        }
    }
}

#[derive(Default)]
struct Inner {
    tables: Vec<Table>,
    frames: VecDeque<Applied>,
    bytes: usize,
    tick: Tick,
    upper: Tick,
    applied: u64,
}

/// The rows of every view.
pub struct Store {
    specs: Vec<ViewSpec>,
    names: Arc<Names>,
    history_ms: u64,
    history_bytes: usize,
    inner: RwLock<Inner>,
    /// What the last frame changed, once a subscriber has asked.
    last: Mutex<Option<Arc<Since>>>,
}

/// Rows of one view at one tick, in no order.
pub struct Snapshot {
    /// The tick.
    pub tick: Tick,
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

/// What has changed in one view.
#[derive(Default)]
pub struct Touches {
    /// The keys touched, each once.
    pub keys: Vec<Touched>,
    /// The end of an update for whoever wants all rows and columns, once somebody does.
    pub whole: OnceLock<Option<Box<[u8]>>>,
}

/// What has changed in the ticks `[lower, upper)`.
pub struct Since {
    /// The first tick.
    pub lower: Tick,
    /// The upper bound of the last frame.
    pub upper: Tick,
    /// Number of frames that it covers, whole or in part.
    pub frames: usize,
    /// By view.
    pub views: Vec<Touches>,
}

/// The tick asked for is not within the history; the oldest that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The oldest tick that can still be asked for.
    pub oldest: Tick,
}

/// What the store holds, for metrics.
pub struct Figures {
    /// The tick shown.
    pub tick: Tick,
    /// Rows by view.
    pub rows: Vec<usize>,
    /// Frames applied since the start.
    pub applied: u64,
    /// Memory of the history, bytes, about.
    pub history_bytes: usize,
    /// The oldest tick of the history.
    pub oldest: Tick,
}

impl Store {
    /// An empty store that keeps `history_ms` of frames, and of them as many as fit `history_bytes`.
    pub fn new(specs: Vec<ViewSpec>, names: Arc<Names>, history_ms: u64, history_bytes: usize) -> Self {
        let inner = Inner { tables: specs.iter().map(|_| Table::default()).collect(), ..Inner::default() };
        Self { specs, names, history_ms, history_bytes, inner: RwLock::new(inner), last: Mutex::new(None) }
    }

    /// The views.
    pub fn specs(&self) -> &[ViewSpec] {
        &self.specs
    }

    /// The specification of a view of ours.
    pub fn spec(&self, view: ViewId) -> &ViewSpec {
        &self.specs[usize::from(view.0)]
    }

    /// The names behind the symbols.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The same, to keep.
    pub fn shared_names(&self) -> &Arc<Names> {
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

    /// What it holds.
    pub fn figures(&self) -> Figures {
        let inner = self.inner.read();
        Figures {
            tick: inner.tick,
            rows: inner.tables.iter().map(HashMap::len).collect(),
            applied: inner.applied,
            history_bytes: inner.bytes,
            oldest: inner.oldest(),
        }
    }

    /// Applies the next frame.
    ///
    /// # Errors
    /// When it does not begin where the last one ended, or names a view that we have not: something was lost or mixed
    /// up on the way here. The store is as before.
    pub fn apply(&self, frame: &Arc<Frame>) -> Result<()> {
        let mut rows: Vec<(ViewId, Vec<Put>)> = Vec::with_capacity(frame.steps.len());
        let mut one_tick = true;
        for step in &frame.steps {
            let Some(spec) = self.specs.get(usize::from(step.view.0)) else {
                return Err(Error::internal(format!("a frame for the unknown view {}", step.view.0)));
            };
            let row = |change: model::Change<'_>| {
                one_tick &= change.tick + 1 == frame.upper;
                (change.row[..spec.key].into(), (change.op == Op::Upsert).then(|| Row::new(change.row)))
            };
            rows.push((step.view, step.changes.iter().map(row).collect()));
        }
        let mut inner = self.inner.write();
        if frame.lower != inner.upper || frame.upper <= frame.lower {
            return Err(Error::internal(format!(
                "a frame of [{}, {}) after one up to {}: they must follow each other without a gap",
                frame.lower, frame.upper, inner.upper
            )));
        }
        let mut applied = Applied {
            lower: frame.lower,
            upper: frame.upper,
            tick: frame.tick,
            undo: Vec::with_capacity(rows.len()),
            frame: (!one_tick).then(|| Arc::clone(frame)),
            bytes: size_of::<Applied>(),
        };
        for (view, rows) in rows {
            let table = &mut inner.tables[usize::from(view.0)];
            let mut undo = Before::default();
            for (key, new) in rows {
                let old = match new {
                    Some(new) => {
                        applied.bytes += if one_tick { 0 } else { values_weight(&new.values) };
                        table.insert(key.clone(), new)
                    }
                    None => table.remove(&key),
                };
                undo.entry(key).or_insert(old);
            }
            let weight = |(key, old): (&Key, &Option<Arc<Row>>)| {
                KEY_OVERHEAD + values_weight(key) + old.as_ref().map_or(0, |old| old.weight())
            };
            applied.bytes += undo.iter().map(weight).sum::<usize>();
            applied.undo.push((view, undo));
        }
        inner.bytes += applied.bytes;
        inner.applied += 1;
        (inner.tick, inner.upper) = (frame.tick, frame.upper);
        inner.frames.push_back(applied);
        let oldest = frame.tick.saturating_sub(self.history_ms);
        let mut old = Vec::new();
        while inner.frames.len() > 1
            && inner
                .frames
                .front()
                .is_some_and(|first| first.tick < oldest || inner.bytes > self.history_bytes)
            && let Some(first) = inner.frames.pop_front()
        {
            inner.bytes -= first.bytes;
            old.push(first);
        }
        drop(inner);
        drop(old);
        Ok(())
    }

    /// All rows of a view now.
    pub fn snapshot(&self, view: ViewId) -> Snapshot {
        let inner = self.inner.read();
        let rows = inner.tables[usize::from(view.0)].values().cloned().collect();
        Snapshot { tick: inner.tick, rows }
    }

    /// The rows of a view now whose key `is` takes.
    pub fn select(&self, view: ViewId, is: impl Fn(&[Value]) -> bool) -> Snapshot {
        let inner = self.inner.read();
        let table = inner.tables[usize::from(view.0)].iter();
        let rows = table.filter(|(key, _)| is(key)).map(|(_, row)| Arc::clone(row)).collect();
        Snapshot { tick: inner.tick, rows }
    }

    /// The rows of a view at `tick`; at the last tick if that lies ahead, as the answer says.
    ///
    /// # Errors
    /// When `tick` is older than the history.
    pub fn as_of(&self, view: ViewId, tick: Tick) -> std::result::Result<Snapshot, Gone> {
        let inner = self.inner.read();
        let at = tick.saturating_add(1);
        if tick < inner.oldest() {
            return Err(Gone { oldest: inner.oldest() });
        }
        let key = self.spec(view).key;
        let mut then = Before::default();
        for applied in inner.frames.iter().rev().take_while(|applied| applied.upper > at) {
            applied.before(view, key, at, &mut then);
        }
        let table = &inner.tables[usize::from(view.0)];
        let same = table.iter().filter(|(key, _)| !then.contains_key(*key)).map(|(_, row)| Arc::clone(row));
        let rows = same.chain(then.values().flatten().cloned()).collect();
        Ok(Snapshot { tick: tick.min(inner.tick), rows })
    }

    /// What has changed from the tick `lower` on, at least in the views that are `wanted`.
    ///
    /// # Errors
    /// When `lower` is older than the history, or ahead of it.
    pub fn since(
        &self,
        lower: Tick,
        wanted: impl Fn(ViewId) -> bool,
    ) -> std::result::Result<Arc<Since>, Gone> {
        let inner = self.inner.read();
        let oldest = inner.frames.front().map_or(inner.upper, |first| first.lower);
        if lower < oldest || lower > inner.upper {
            return Err(Gone { oldest: inner.oldest() });
        }
        let is_last = inner.frames.back().is_some_and(|last| last.lower == lower);
        if is_last && let Some(last) = self.last.lock().as_ref().filter(|last| last.upper == inner.upper) {
            return Ok(Arc::clone(last));
        }
        let mut first: Vec<Before> = self.specs.iter().map(|_| Before::default()).collect();
        let covered = || inner.frames.iter().rev().take_while(|applied| applied.upper > lower);
        // From the newest to the oldest: what a key was before the oldest of them is what counts.
        for applied in covered() {
            // What the last frame changed is for everybody.
            for (view, _) in applied.undo.iter().filter(|(view, _)| is_last || wanted(*view)) {
                let rows = &mut first[usize::from(view.0)];
                applied.before(*view, self.spec(*view).key, lower, rows);
            }
        }
        let touches = |(rows, table): (Before, &Table)| {
            let touched = |(key, old)| {
                let new = table.get(&key).cloned();
                Touched { key, old, new }
            };
            Touches { keys: rows.into_iter().map(touched).collect(), whole: OnceLock::new() }
        };
        let views = first.into_iter().zip(&inner.tables).map(touches).collect();
        let since = Arc::new(Since { lower, upper: inner.upper, frames: covered().count(), views });
        if is_last {
            *self.last.lock() = Some(Arc::clone(&since));
        }
        Ok(since)
    }

    /// The first tick from `lower` on at which the row of `view` with a key that `is` takes has changed.
    pub fn first_change(&self, view: ViewId, lower: Tick, is: impl Fn(&[Value]) -> bool) -> Option<Tick> {
        let inner = self.inner.read();
        let key = self.spec(view).key;
        inner.frames.iter().filter(|applied| applied.upper > lower).find_map(|applied| match &applied.frame {
            Some(frame) => {
                let steps = frame.steps.iter().filter(|step| step.view == view);
                let mut changes = steps.flat_map(|step| step.changes.iter());
                changes.find(|c| c.tick >= lower && is(&c.row[..key])).map(|change| change.tick)
            }
            None => {
                let mut undo = applied.undo.iter().filter(|(of, _)| *of == view);
                undo.any(|(_, rows)| rows.keys().any(|key| is(key))).then_some(applied.tick)
            }
        })
    }

    /// Sorts rows by key.
    pub fn sort_by_key(&self, view: ViewId, rows: &mut [Arc<Row>]) {
        let spec = self.spec(view);
        rows.sort_unstable_by(|a, b| compare_keys(spec, &a.values, &b.values, &self.names));
    }
}

impl Inner {
    /// The oldest tick whose rows can be had.
    fn oldest(&self) -> Tick {
        self.frames.front().map_or(0, |first| first.lower.saturating_sub(1))
    }
}
