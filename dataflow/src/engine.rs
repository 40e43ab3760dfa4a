//! The engine: N workers, feeds in, frames out.
//!
//! **Meaning.** [`Engine::feed`] takes feeds in order of tick. For each tick closed, a [`Frame`] comes out that holds
//! every change of every view up to it: V(T) is what all frames through T add up to, and does not depend on the number
//! of workers. With [`Frames::Last`] one frame comes out when the feed ends, with all rows of V(T) at the last tick.
//!
//! **Mechanism.** Rows go to workers by hash of their key, through bounded channels. A worker moves its inputs to the
//! last closed tick it has seen, steps, and ships what all its views have completed, with its own progress: that the
//! frontier has passed a tick says that all input of it was consumed everywhere, not that another worker has handed its
//! changes over. The collector publishes a tick when every worker's marker is past it. A worker that panics ends the
//! process, since the others would wait for it for ever.
//!
//! **State.** Channels are bounded, so a slow reader of frames slows the feed down; the rest is the views' own.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use model::{
    CaseEvent, Changes, Error, Feed, Fix, Frame, Names, Reading, Result, Row, Step, Tick, TickLength, ViewId,
};
use parking_lot::Mutex;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::vec::Input;
use timely::worker::Worker;

use crate::operators::publish::Outbox;
use crate::operators::ticked::Inbox;
use crate::selection::{Heads, selected};
use crate::settings::{Frames, Settings};
use crate::views::{self, Context, Inputs, View};

/// Feeds that may wait for one worker: enough that it never waits for the next one, and no more, for their rows are memory.
const FEED_QUEUE: usize = 16;
/// Parts and frames that may wait for their reader.
const FRAME_QUEUE: usize = 64;
/// Rows a worker takes in before it steps the dataflow: few enough that what a step makes of them stays in the cache.
const ROWS_PER_ROUND: usize = 1 << 13;
/// A worker that has nothing to do looks up at least this often.
const IDLE: Duration = Duration::from_millis(50);

/// A running dataflow.
pub struct Engine {
    feeds: Vec<Sender<Feed>>,
    threads: Vec<Thread>,
    frames: Receiver<Arc<Frame>>,
    running: Vec<JoinHandle<()>>,
    closed: Tick,
}

/// What one worker has completed.
struct Part {
    worker: usize,
    upper: Tick,
    changes: Vec<(ViewId, Changes)>,
}

impl Engine {
    /// Starts `workers` threads that keep all views, and one that collects their frames.
    ///
    /// # Errors
    /// When there is no worker, or the threads cannot be started.
    pub fn start(settings: &Settings, workers: usize, names: &Arc<Names>) -> Result<Engine> {
        if workers == 0 {
            return Err(Error::user("workers: 0 is not a number of workers, at least 1 is needed"));
        }
        end_process_on_worker_panic();
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| bounded::<Feed>(FEED_QUEUE)).unzip();
        let receivers = Mutex::new(receivers.into_iter().map(Some).collect::<Vec<_>>());
        let (parts, collected) = bounded::<Part>(FRAME_QUEUE);
        let (frames, published) = bounded::<Arc<Frame>>(FRAME_QUEUE);
        let (hello, threads) = bounded::<(usize, Thread)>(workers);
        let views = selected(settings)?;
        let (kept, settings_of, names) = (views.len(), settings.clone(), Arc::clone(names));
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let Some(feed) = receivers.lock()[worker.index()].take() else { return };
            // The starter waits for every hello; a lost one would be seen there.
            let _ = hello.send((worker.index(), std::thread::current()));
            run_worker(worker, &views, &settings_of, &names, &feed, &parts);
        })
        .map_err(|e| Error::internal(format!("the workers cannot be started: {e}")))?;
        let mut by_index: Vec<Option<Thread>> = vec![None; workers];
        for (index, thread) in threads.iter().take(workers) {
            by_index[index] = Some(thread);
        }
        let threads = by_index.into_iter().flatten().collect();
        let tick = settings.tick;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(work)
                .map_err(|e| Error::internal("a thread cannot be started").caused_by(e))
        };
        let running = vec![
            spawn("collector", Box::new(move || collect(workers, kept, tick, &collected, &frames)))?,
            // Dropping the guards would block whoever drops them; this thread is there to wait.
            spawn("workers", Box::new(move || drop(guards.join())))?,
        ];
        Ok(Engine { feeds: senders, threads, frames: published, running, closed: 0 })
    }

    /// Takes the next feed; blocks while the dataflow is behind.
    ///
    /// # Errors
    /// When ticks go back, or the engine has ended.
    pub fn feed(&mut self, feed: Feed) -> Result<()> {
        match feed {
            Feed::Rows { tick, rows } => {
                if tick <= self.closed && self.closed > 0 {
                    return Err(Error::internal(format!(
                        "rows for tick {tick} after tick {} was closed",
                        self.closed
                    )));
                }
                if self.feeds.len() == 1 {
                    return self.send(0, Feed::Rows { tick, rows });
                }
                // A share and a bit: what falls unevenly mostly fits too.
                let share = rows.len() / self.feeds.len() * 5 / 4 + 1;
                let mut shares: Vec<Vec<Row>> =
                    (0..self.feeds.len()).map(|_| Vec::with_capacity(share)).collect();
                for row in rows {
                    shares[shard(&row) as usize % self.feeds.len()].push(row);
                }
                for (worker, rows) in shares.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                    self.send(worker, Feed::Rows { tick, rows })?;
                }
                Ok(())
            }
            Feed::Advance(tick) => {
                if tick < self.closed {
                    return Err(Error::internal(format!(
                        "tick {tick} after tick {} was closed",
                        self.closed
                    )));
                }
                self.closed = tick;
                for worker in 0..self.feeds.len() {
                    self.send(worker, Feed::Advance(tick))?;
                    self.threads[worker].unpark();
                }
                Ok(())
            }
        }
    }

    fn send(&self, worker: usize, feed: Feed) -> Result<()> {
        let full = self.feeds[worker].is_full();
        if full {
            self.threads[worker].unpark();
        }
        self.feeds[worker].send(feed).map_err(|_| Error::internal("the dataflow has ended"))
    }

    /// The frames, in order and without a gap. Whoever holds it must read it, or the feed stops.
    pub fn frames(&self) -> Receiver<Arc<Frame>> {
        self.frames.clone()
    }

    /// Closes the inputs and waits until everything fed is published and the workers have ended.
    ///
    /// # Errors
    /// When a thread of the engine panicked.
    pub fn stop(mut self) -> Result<()> {
        self.feeds.clear();
        for thread in &self.threads {
            thread.unpark();
        }
        for thread in self.running.drain(..) {
            thread.join().map_err(|_| Error::internal("a thread of the engine panicked"))?;
        }
        Ok(())
    }
}

/// The worker of a row, modulo their number: rows of one key meet, whatever brings them.
fn shard(row: &Row) -> u64 {
    let key = match row {
        Row::Reading(reading) => reading.sensor.0,
        Row::Fix(fix) => fix.vehicle.0,
        Row::Case(event) => event.case.0,
        Row::Reference(record) => record.id.0,
        Row::Action(action) => action.target.0,
        Row::Rejected(refused) | Row::Late(refused) => refused.pos.offset as u32,
        Row::Bound(bound) => u32::from(bound.partition),
    };
    crate::operators::route(key)
}

fn run_worker(
    worker: &mut Worker,
    views: &[&View],
    settings: &Settings,
    names: &Arc<Names>,
    feed: &Receiver<Feed>,
    parts: &Sender<Part>,
) {
    let specs: Vec<_> = views.iter().map(|view| view.spec).collect();
    let outbox = Rc::new(RefCell::new(Outbox::new(&specs)));
    let probe = ProbeHandle::new();
    let index = worker.index();
    let inboxes = Inboxes { heads: Heads::of(views), ..Inboxes::default() };
    let mut inputs = worker.dataflow::<Tick, _, _>(|scope| {
        let mut handles = Vec::new();
        let mut input = || {
            let (handle, stream) = scope.new_input::<(Tick, Row)>();
            handles.push(handle);
            stream
        };
        let inputs = Inputs {
            readings: inboxes.readings.clone(),
            fixes: inboxes.fixes.clone(),
            cases: inboxes.cases.clone(),
            reference: input(),
            actions: input(),
            refused: input(),
            bound: input(),
        };
        let context = Context::new(inputs, settings, names, inboxes.heads, index, &outbox, &probe);
        views::render_all(context, views);
        handles
    });
    // What was closed, what the inputs were moved to, and what was shipped.
    let (mut upper, mut bound, mut shipped): (Tick, Tick, Tick) = (0, 0, 0);
    let mut last = false;
    loop {
        let mut taken = 0;
        let mut ended = false;
        while taken < ROWS_PER_ROUND {
            match feed.try_recv() {
                Ok(Feed::Rows { tick, rows }) => {
                    taken += rows.len();
                    inboxes.put(tick, rows, |input, row| inputs[input].send((tick, row)));
                }
                Ok(Feed::Advance(tick)) => upper = tick + 1,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    ended = true;
                    break;
                }
            }
        }
        if bound < upper {
            bound = upper;
            inputs.iter_mut().for_each(|input| input.advance_to(upper));
            if settings.frames == Frames::Changes {
                outbox.borrow_mut().bound(upper);
            }
        }
        if ended && !last && settings.frames == Frames::Last {
            outbox.borrow_mut().bound(upper);
        }
        last = ended;
        // What is left to do here is active; what the other workers have to send wakes this one. Whoever turns round
        // while it waits for them takes the core from the one that decodes.
        if taken > 0 {
            worker.step()
        } else {
            worker.step_or_park(Some(IDLE))
        };
        let complete = probe.with_frontier(|frontier| frontier.first().copied()).unwrap_or(shipped);
        while let Some((upper, changes)) = outbox.borrow_mut().take_before(complete) {
            shipped = upper;
            if parts.send(Part { worker: index, upper, changes }).is_err() {
                // Nobody reads any more: end without closing the inputs, so that no step is made up.
                return;
            }
        }
        if ended && shipped >= upper {
            break;
        }
    }
    // Closing the inputs fast-forwards time for whoever is downstream; nothing of that is shipped.
}

/// The ways of the frequent rows, which go to their operators directly.
#[derive(Default)]
struct Inboxes {
    heads: Heads,
    readings: Inbox<Reading>,
    fixes: Inbox<Fix>,
    cases: Inbox<CaseEvent>,
}

impl Inboxes {
    /// Sorts rows of `tick` into the inboxes; `send` takes the others, with the input that they belong to.
    fn put(&self, tick: Tick, rows: Vec<Row>, mut send: impl FnMut(usize, Row)) {
        let (mut readings, mut fixes, mut cases) = (Vec::new(), Vec::new(), Vec::new());
        // Room for all that is left, as soon as there is one: for a short time too much, but never grown step by step.
        let mut left = rows.len();
        for row in rows {
            match row {
                Row::Reading(reading) => push(&mut readings, left, reading),
                Row::Fix(fix) => push(&mut fixes, left, fix),
                Row::Case(event) => cases.push(*event),
                Row::Reference(_) => send(0, row),
                Row::Action(_) => send(1, row),
                Row::Rejected(_) | Row::Late(_) => send(2, row),
                Row::Bound(_) => send(3, row),
            }
            left -= 1;
        }
        // Rows that no view looks at go nowhere.
        if !readings.is_empty() && self.heads.readings {
            self.readings.put(tick, readings);
        }
        if !fixes.is_empty() && self.heads.fixes {
            self.fixes.put(tick, fixes);
        }
        if !cases.is_empty() && self.heads.cases {
            self.cases.put(tick, cases);
        }
    }
}

fn push<T>(list: &mut Vec<T>, room: usize, item: T) {
    if list.is_empty() {
        list.reserve(room);
    }
    list.push(item);
}

/// Puts the workers' parts together and publishes each span of ticks that all of them have completed.
fn collect(
    workers: usize,
    views: usize,
    tick: TickLength,
    parts: &Receiver<Part>,
    frames: &Sender<Arc<Frame>>,
) {
    let mut uppers = vec![0; workers];
    let mut waiting: Vec<Option<Changes>> = vec![None; views];
    let mut lower = 0;
    while let Ok(part) = parts.recv() {
        uppers[part.worker] = part.upper;
        for (view, mut changes) in part.changes {
            match &mut waiting[usize::from(view.0)] {
                Some(there) => there.append(&mut changes),
                none => *none = Some(changes),
            }
        }
        let complete = uppers.iter().copied().min().unwrap_or(0);
        // A frontier stands at the tick after the one that was closed.
        let Some(closed) = complete.checked_sub(1) else { continue };
        let shown = closed / tick.as_millis() * tick.as_millis();
        if complete <= lower {
            continue;
        }
        let mut steps = Vec::new();
        for (view, slot) in (0u16..).zip(&mut waiting) {
            let Some(changes) = slot else { continue };
            changes.sort_by_tick();
            let before = match changes.all_before(complete) {
                true => slot.take().unwrap_or_default(),
                false => changes.split_before(complete),
            };
            if !before.is_empty() {
                steps.push(Step { view: ViewId(view), lower, upper: complete, changes: before });
            }
        }
        let frame = Frame { lower, upper: complete, tick: shown, steps };
        lower = complete;
        if frames.send(Arc::new(frame)).is_err() {
            return;
        }
    }
}

/// Makes a panic in a worker end the process: the other workers would wait for ever.
fn end_process_on_worker_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            default(info);
            if std::thread::current().name().is_some_and(|name| name.starts_with("timely:")) {
                tracing::error!("a worker panicked; state comes back from the log");
                std::process::exit(70);
            }
        }));
    });
}
