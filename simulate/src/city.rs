//! The city: who speaks next, and what reaches the log when.
//!
//! Two queues, both by append time: the next record of each sensor and vehicle, and the records that wait (late ones,
//! second copies, events of cases to come). Of two records of one ms the waiting one comes first, then the entity with
//! the smaller number, so that the order is total. The queues are bounded as the crate's doc says.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use model::{Result, StreamId};
use rand_chacha::ChaCha8Rng;

use crate::cases::{self, Arrivals};
use crate::config::{Config, Dirt};
use crate::dirt::{Fate, break_record};
use crate::districts::{self, Unit};
use crate::places::Places;
use crate::random::Draw;
use crate::reference;
use crate::roads::Network;
use crate::sensors::{self, Sensor};
use crate::vehicles::{self, Vehicle};

/// A case event reaches the log within this time, ms.
const CASE_LATENCY_MS: i64 = 800;

/// What does not move.
pub(crate) struct Land {
    pub units: Vec<Unit>,
    pub network: Network,
    pub places: Places,
}

/// A reproducible city.
pub struct City {
    config: Config,
    land: Land,
    sensors: Vec<Sensor>,
    vehicles: Vec<Vehicle>,
    arrivals: Arrivals,
    case_prefix: String,
    /// (append time, entity): sensors first, then vehicles.
    due: BinaryHeap<Reverse<(i64, u32)>>,
    waiting: Waiting,
    buffer: Vec<u8>,
}

/// Records that wait for their append time.
#[derive(Default)]
struct Waiting {
    heap: BinaryHeap<Parcel>,
    count: u64,
}

struct Parcel {
    at: i64,
    number: u64,
    body: Body,
}

enum Body {
    /// A record as it is.
    Record(StreamId, Box<str>, Box<[u8]>),
    /// The next event of a case.
    Case(Box<Telling>),
}

/// A case whose story is being told.
struct Telling {
    id: Box<str>,
    events: std::vec::IntoIter<(i64, Vec<u8>)>,
    next: (i64, Vec<u8>),
    rng: ChaCha8Rng,
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    /// Reversed: the heap gives the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl Waiting {
    fn push(&mut self, at: i64, body: Body) {
        self.count += 1;
        self.heap.push(Parcel { at, number: self.count, body });
    }
}

impl City {
    /// Builds the city as it stands at its start.
    ///
    /// # Errors
    /// The user's: a setting out of its bounds, or districts that are no GeoJSON of units.
    pub fn new(config: Config) -> Result<City> {
        let units = districts::read(&config.districts_geojson)?;
        config.validate(units.len())?;
        let network = Network::build(config.seed, &units, config.roads);
        let places = Places::lay_out(&config, &units, &network);
        let sensors = sensors::place(&config, &units, &network);
        let vehicles = vehicles::line_up(&config, &units, &network);
        let history_ms = (config.case_history_h * 3_600_000.0) as i64;
        let mut city = City {
            arrivals: Arrivals::new(&config, config.start_ms - history_ms),
            case_prefix: cases::id_prefix(&config),
            land: Land { units, network, places },
            due: BinaryHeap::with_capacity(sensors.len() + vehicles.len()),
            sensors,
            vehicles,
            waiting: Waiting::default(),
            buffer: Vec::with_capacity(512),
            config,
        };
        city.schedule();
        Ok(city)
    }

    /// Spreads the first records over one interval each.
    fn schedule(&mut self) {
        let start = self.config.start_ms;
        let sensors = self.sensors.iter_mut().map(|s| (s.every_ms, s.latency_ms, &mut s.rng));
        let vehicles = self.vehicles.iter_mut().map(|v| (v.every_ms, v.latency_ms, &mut v.rng));
        for (number, (every, latency, rng)) in sensors.chain(vehicles).enumerate() {
            let first = start + latency + rng.between_ms(1, every);
            self.due.push(Reverse((first, number as u32)));
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The reference records, in order: key `kind/id`, and the record as JSON. To be appended before anything else.
    pub fn reference(&self) -> impl Iterator<Item = (String, String)> + '_ {
        reference::records(&self.land, &self.sensors, &self.vehicles)
    }

    /// When the next record will be appended, Unix ms; `None` for a city in which nothing happens. An entity that is
    /// silent then sends nothing, so the time is a lower bound.
    pub fn next_due_ms(&self) -> Option<i64> {
        let due = self.due.peek().map(|Reverse((at, _))| *at);
        let waiting = self.waiting.heap.peek().map(|parcel| parcel.at);
        [due, waiting, self.arrivals.next.map(|at| at.max(self.config.start_ms))].into_iter().flatten().min()
    }

    /// Gives the records whose append time is at or before `now_ms` and that were not given yet, in order of append
    /// time: stream, key, JSON (one line, without `appended_at`), append time. Time never goes back: an earlier
    /// `now_ms` than before gives nothing.
    pub fn advance_to<F>(&mut self, now_ms: i64, sink: &mut F)
    where
        F: FnMut(StreamId, &str, &[u8], i64),
    {
        while self.step(now_ms, sink) {}
    }

    /// Gives the next record at or before `now_ms` (or lets an entity be silent); false when there is none.
    pub(crate) fn step<F>(&mut self, now_ms: i64, sink: &mut F) -> bool
    where
        F: FnMut(StreamId, &str, &[u8], i64),
    {
        let due = self.due.peek().map_or(i64::MAX, |Reverse((at, _))| *at);
        let waiting = self.waiting.heap.peek().map_or(i64::MAX, |parcel| parcel.at);
        let arrival = self.arrivals.next.unwrap_or(i64::MAX);
        let first = due.min(waiting).min(arrival);
        if first > now_ms || first == i64::MAX {
            return false;
        }
        if arrival <= first {
            self.report(arrival);
        } else if waiting <= first {
            self.release(sink);
        } else {
            self.speak(sink);
        }
        true
    }

    /// A case is reported: its first event waits for its append time.
    fn report(&mut self, ts: i64) {
        let number = self.arrivals.take();
        let story = cases::live(&self.config, &self.land, &self.case_prefix, number, ts);
        let mut events = story.events.into_iter();
        if let Some(next) = events.next() {
            let mut telling = Telling { id: story.id.into(), events, next, rng: story.rng };
            let at = self.appended(ts, &mut telling.rng);
            self.waiting.push(at, Body::Case(Box::new(telling)));
        }
    }

    /// When an event of a case reaches the log: what is older than the city is there from its start.
    fn appended(&self, ts: i64, rng: &mut ChaCha8Rng) -> i64 {
        let latency = rng.between_ms(50, CASE_LATENCY_MS);
        (ts + latency).max(self.config.start_ms)
    }

    fn release<F>(&mut self, sink: &mut F)
    where
        F: FnMut(StreamId, &str, &[u8], i64),
    {
        let Some(Parcel { at, body, .. }) = self.waiting.heap.pop() else { return };
        match body {
            Body::Record(stream, key, json) => sink(stream, &key, &json, at),
            Body::Case(mut telling) => {
                let (ts, json) = std::mem::take(&mut telling.next);
                self.buffer.clear();
                self.buffer.extend_from_slice(&json);
                let record = Record { stream: StreamId::Cases, key: &telling.id, ts, at };
                deliver(
                    &self.config.dirt,
                    &mut self.waiting,
                    record,
                    &mut self.buffer,
                    &mut telling.rng,
                    sink,
                );
                if let Some(next) = telling.events.next() {
                    // Not before this one: the way of a case's events to the log keeps their order.
                    let next_at = self.appended(next.0, &mut telling.rng).max(at);
                    telling.next = next;
                    self.waiting.push(next_at, Body::Case(telling));
                }
            }
        }
    }

    /// The entity that is due speaks, and is due again an interval later.
    fn speak<F>(&mut self, sink: &mut F)
    where
        F: FnMut(StreamId, &str, &[u8], i64),
    {
        let Some(mut top) = self.due.peek_mut() else { return };
        let Reverse((at, number)) = *top;
        let entity = number as usize;
        let buffer = &mut self.buffer;
        if let Some(sensor) = self.sensors.get_mut(entity) {
            *top = Reverse((at + sensor.every_ms, number));
            drop(top);
            let ts = at - sensor.latency_ms;
            if sensor.read(&self.config, ts, buffer) {
                let record = Record { stream: Sensor::STREAM, key: &sensor.id, ts, at };
                deliver(&self.config.dirt, &mut self.waiting, record, buffer, &mut sensor.rng, sink);
            }
        } else {
            let vehicle = &mut self.vehicles[entity - self.sensors.len()];
            *top = Reverse((at + vehicle.every_ms, number));
            drop(top);
            let ts = at - vehicle.latency_ms;
            let plane = &self.land.units[vehicle.unit as usize].plane;
            if vehicle.fix(&self.config, &self.land.network, plane, ts, buffer) {
                let record = Record { stream: Vehicle::STREAM, key: &vehicle.id, ts, at };
                deliver(&self.config.dirt, &mut self.waiting, record, buffer, &mut vehicle.rng, sink);
            }
        }
    }
}

/// What is said of a record besides its text.
struct Record<'a> {
    stream: StreamId,
    key: &'a str,
    ts: i64,
    at: i64,
}

/// Lets dirt happen to a record on its way to the log.
fn deliver<F>(
    dirt: &Dirt,
    waiting: &mut Waiting,
    record: Record<'_>,
    json: &mut Vec<u8>,
    rng: &mut ChaCha8Rng,
    sink: &mut F,
) where
    F: FnMut(StreamId, &str, &[u8], i64),
{
    let Record { stream, key, ts, at } = record;
    let later = |json: &[u8]| Body::Record(stream, key.into(), json.into());
    match Fate::draw(dirt, rng) {
        Fate::Plain => sink(stream, key, json, at),
        Fate::Late(delay) => waiting.push(at + delay, later(json)),
        Fate::Twice(delay) => {
            sink(stream, key, json, at);
            waiting.push(at + delay, later(json));
        }
        Fate::Garbage => {
            break_record(stream, key, ts, json, rng);
            sink(stream, key, json, at);
        }
    }
}
