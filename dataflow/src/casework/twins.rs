//! Twins: reports of one thing, by class, place and time, and by caller.
//!
//! **Meaning.** Two cases are suspected to be one when they have the same class, were reported at most so long (24 h)
//! and lie at most so far (50 m) from each other; the later one is flagged with the earliest it resembles. Dropped cases
//! (不予受理, 作废, 并案) and cases without class or place resemble nothing. Of one time, the smaller name is the earlier.
//! Source: defaults as published by 运城. A case repeats an earlier one when the same caller reported the same class at
//! most so long (7 days) before: the latest such one, so that a chain of calls is linked call by call.
//!
//! **Mechanism.** Cases of a class in buckets of about 100 m, each sorted by time: a case is compared with those of nine
//! buckets within the time, whatever the number of cases. Cases of one caller and class are sorted by time.
//!
//! **State.** One entry per case with class and place, and one per case with class and caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
use model::Sym;
use serde::{Deserialize, Serialize};

use super::life::CaseRow;

/// Width of a bucket in 10⁻⁷ degrees of latitude: 111 m, more than the greatest distance asked for (100 m).
const BUCKET_LAT: i32 = 10_000;
/// Width in longitude: wide enough up to 60° of latitude, beyond which twins across a border of buckets are missed.
const BUCKET_LON: i32 = 20_000;
/// Radius of the Earth, m.
const EARTH_M: f64 = 6_371_008.8;

/// A case as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The case.
    pub case: Sym,
    /// Its class.
    pub class: Sym,
    /// Its district, which flags are filed under.
    pub district: Sym,
    /// 10⁻⁷ degrees.
    pub place: Option<(i32, i32)>,
    /// Who called; empty when not known.
    pub caller: Sym,
    /// When it was reported, Unix ms.
    pub ts: i64,
}

impl Sighting {
    /// What `row` is here; `None` if it can resemble nothing.
    pub fn of(row: &CaseRow) -> Option<Self> {
        let &CaseRow { case, class, district, place, caller, opened_ts: ts, .. } = row;
        let can = class != Sym::EMPTY && !row.stage.dropped() && (place.is_some() || caller != Sym::EMPTY);
        can.then_some(Self { case, class, district, place, caller, ts })
    }

    fn call(&self) -> Option<(Sym, Sym)> {
        (self.caller != Sym::EMPTY).then_some((self.caller, self.class))
    }
}

type Bucket = (Sym, i32, i32);
/// By time and name: the order in which cases count as earlier.
type Row = BTreeMap<(i64, Arc<str>), Sighting>;

/// All cases that can resemble each other.
#[derive(Debug)]
pub struct Twins {
    within_m: f64,
    within_ms: i64,
    repeat_ms: i64,
    buckets: HashMap<Bucket, Row>,
    /// By caller and class.
    calls: HashMap<(Sym, Sym), Row>,
}

fn bucket(sighting: &Sighting) -> Option<Bucket> {
    let (lon, lat) = sighting.place?;
    Some((sighting.class, lon.div_euclid(BUCKET_LON), lat.div_euclid(BUCKET_LAT)))
}

fn put<K: std::hash::Hash + Eq>(rows: &mut HashMap<K, Row>, key: Option<K>, name: &str, sighting: &Sighting) {
    if let Some(key) = key {
        rows.entry(key).or_default().insert((sighting.ts, name.into()), sighting.clone());
    }
}

fn take<K: std::hash::Hash + Eq>(
    rows: &mut HashMap<K, Row>,
    key: Option<K>,
    name: &str,
    sighting: &Sighting,
) {
    let Some(key) = key else { return };
    if let Some(row) = rows.get_mut(&key) {
        row.remove(&(sighting.ts, name.into()));
        if row.is_empty() {
            rows.remove(&key);
        }
    }
}

/// Distance in m on a sphere, flat enough for a hundred metres.
fn distance(a: (i32, i32), b: (i32, i32)) -> f64 {
    let degrees = |n: i32| f64::from(n) / model::rows::DEGREE;
    let lat = (degrees(a.1) + degrees(b.1)).to_radians() / 2.0;
    let x = (degrees(a.0) - degrees(b.0)).to_radians() * lat.cos();
    let y = (degrees(a.1) - degrees(b.1)).to_radians();
    EARTH_M * x.hypot(y)
}

impl Twins {
    /// No cases yet; twins lie within `within_m` metres (at most 100) and `within_ms` ms, repeats within `repeat_ms`.
    pub fn new(within_m: f64, within_ms: i64, repeat_ms: i64) -> Self {
        Self { within_m, within_ms, repeat_ms, buckets: HashMap::default(), calls: HashMap::default() }
    }

    /// Takes `sighting` in.
    pub fn insert(&mut self, name: &str, sighting: &Sighting) {
        put(&mut self.buckets, bucket(sighting), name, sighting);
        put(&mut self.calls, sighting.call(), name, sighting);
    }

    /// Takes `sighting` out.
    pub fn remove(&mut self, name: &str, sighting: &Sighting) {
        take(&mut self.buckets, bucket(sighting), name, sighting);
        take(&mut self.calls, sighting.call(), name, sighting);
    }

    /// The cases near `sighting` in place and time, itself included if it is there, each with its name.
    fn near<'a>(&'a self, sighting: &'a Sighting) -> impl Iterator<Item = (&'a Arc<str>, &'a Sighting)> {
        let around = bucket(sighting).into_iter().flat_map(|(class, x, y)| {
            (-1..=1).flat_map(move |dx| (-1..=1).map(move |dy| (class, x + dx, y + dy)))
        });
        let close = |other: &Sighting| {
            let places = sighting.place.zip(other.place);
            places.is_some_and(|(one, other)| distance(one, other) <= self.within_m)
        };
        around
            .filter_map(|key| self.buckets.get(&key))
            .flat_map(|row| around_in_time(row, sighting.ts, self.within_ms))
            .filter(move |(_, other)| close(other))
    }

    /// The other calls of a caller about a class, near in time.
    fn calls<'a>(&'a self, sighting: &'a Sighting) -> impl Iterator<Item = (&'a Arc<str>, &'a Sighting)> {
        let row = sighting.call().and_then(|call| self.calls.get(&call));
        row.into_iter().flat_map(|row| around_in_time(row, sighting.ts, self.repeat_ms))
    }

    /// The cases of which something may be said anew when `sighting` comes or goes.
    pub fn touched<'a>(&'a self, sighting: &'a Sighting) -> impl Iterator<Item = Sym> + 'a {
        self.near(sighting).chain(self.calls(sighting)).map(|(_, other)| other.case)
    }

    /// The earliest case that `sighting` resembles and that is earlier.
    pub fn original(&self, name: &str, sighting: &Sighting) -> Option<Sym> {
        let earlier = self.near(sighting).filter(|(other, at)| (at.ts, &***other) < (sighting.ts, name));
        earlier.min_by_key(|(other, at)| (at.ts, Arc::clone(other))).map(|(_, at)| at.case)
    }

    /// The latest earlier call that `sighting` repeats.
    pub fn repeated(&self, name: &str, sighting: &Sighting) -> Option<Sym> {
        let earlier = self.calls(sighting).filter(|(other, at)| (at.ts, &***other) < (sighting.ts, name));
        earlier.max_by_key(|(other, at)| (at.ts, Arc::clone(other))).map(|(_, at)| at.case)
    }
}

/// The sightings of `row` at most `within_ms` before or after `ts`.
fn around_in_time(row: &Row, ts: i64, within_ms: i64) -> impl Iterator<Item = (&Arc<str>, &Sighting)> {
    let (from, to) = (ts.saturating_sub(within_ms), ts.saturating_add(within_ms));
    row.range((from, Arc::from(""))..)
        .take_while(move |((ts, _), _)| *ts <= to)
        .map(|((_, name), other)| (name, other))
}
