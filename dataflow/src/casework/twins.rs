//! Twins: reports of one thing, by class, place and time.
//!
//! **Meaning.** Two cases are suspected to be one when they have the same class, were reported at most so long (24 h)
//! and lie at most so far (50 m) from each other; the later one is flagged with the earliest it resembles. Dropped cases
//! (不予受理, 作废, 并案) and cases without class or place resemble nothing. Of one time, the smaller name is the earlier.
//! Source: defaults as published by 运城.
//!
//! **Mechanism.** Cases of a class in buckets of about 100 m, each sorted by time: a case is compared with those of nine
//! buckets within the time, whatever the number of cases.
//!
//! **State.** One entry per case with class and place.

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
    pub place: (i32, i32),
    /// When it was reported, Unix ms.
    pub ts: i64,
}

impl Sighting {
    /// What `row` is here; `None` if it can resemble nothing.
    pub fn of(row: &CaseRow) -> Option<Self> {
        let place = row.place.filter(|_| row.class != Sym::EMPTY && !row.stage.dropped())?;
        Some(Self { case: row.case, class: row.class, district: row.district, place, ts: row.opened_ts })
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
    buckets: HashMap<Bucket, Row>,
}

fn bucket(sighting: &Sighting) -> Bucket {
    let (lon, lat) = sighting.place;
    (sighting.class, lon.div_euclid(BUCKET_LON), lat.div_euclid(BUCKET_LAT))
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
    /// No cases yet; twins lie within `within_m` metres (at most 100) and `within_ms` ms.
    pub fn new(within_m: f64, within_ms: i64) -> Self {
        Self { within_m, within_ms, buckets: HashMap::default() }
    }

    /// Takes `sighting` in.
    pub fn insert(&mut self, name: &str, sighting: Sighting) {
        self.buckets.entry(bucket(&sighting)).or_default().insert((sighting.ts, name.into()), sighting);
    }

    /// Takes `sighting` out.
    pub fn remove(&mut self, name: &str, sighting: &Sighting) {
        let key = bucket(sighting);
        if let Some(row) = self.buckets.get_mut(&key) {
            row.remove(&(sighting.ts, name.into()));
            if row.is_empty() {
                self.buckets.remove(&key);
            }
        }
    }

    /// The cases near `sighting` in place and time, itself included if it is there, each with its name.
    pub fn near<'a>(&'a self, sighting: &'a Sighting) -> impl Iterator<Item = (&'a Arc<str>, &'a Sighting)> {
        let (class, x, y) = bucket(sighting);
        let around = (-1..=1).flat_map(move |dx| (-1..=1).map(move |dy| (class, x + dx, y + dy)));
        let from = (sighting.ts.saturating_sub(self.within_ms), Arc::from(""));
        let to = sighting.ts.saturating_add(self.within_ms);
        around
            .filter_map(|key| self.buckets.get(&key))
            .flat_map(move |row| row.range(from.clone()..).take_while(move |((ts, _), _)| *ts <= to))
            .filter(|(_, other)| distance(sighting.place, other.place) <= self.within_m)
            .map(|((_, name), other)| (name, other))
    }

    /// The earliest case that `sighting` resembles and that is earlier.
    pub fn original(&self, name: &str, sighting: &Sighting) -> Option<Sym> {
        let earlier = self.near(sighting).filter(|(other, at)| (at.ts, &***other) < (sighting.ts, name));
        earlier.min_by_key(|(other, at)| (at.ts, Arc::clone(other))).map(|(_, at)| at.case)
    }
}
