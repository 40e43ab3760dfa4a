//! The city: parks, residences and walkways together, under one scheme.
//!
//! **Meaning.** [`City::apply`] takes in what changed and names what is another than before: [`Access`] says of a
//! residence how it is served, [`Totals`] adds that up by district. A park that is open and whose class and area the scheme
//! counts covers its radius and is walked to; every open park can be the nearest in a straight line.
//!
//! **Mechanism.** [`Coverage`] and [`Network`] do the work; the figures of a residence that changed leave the sums of its
//! district as whole numbers and the new ones enter.
//!
//! **State.** That of both, one [`Access`] per residence and one [`Totals`] per district.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use model::reference::{ParkRef, ParkStatus, RadiusSchemeRef, ResidenceRef, WalkwayRef};
use model::{Names, Sym};
use serde::{Deserialize, Serialize};

use crate::coverage::{Coverage, Home, MICRO, Measured, Park};
use crate::measure::{area_m2, start};
use crate::network::{Batch, Network, Walk};

/// What the numbers of walking are, beside the scheme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Walking {
    /// A home or an entrance this far from every walkway, m, is not attached.
    pub snap_m: f64,
    /// Ways longer than this, m, are measured and not shown.
    pub shown_m: f64,
}

impl Default for Walking {
    fn default() -> Self {
        Self { snap_m: 300.0, shown_m: 2000.0 }
    }
}

/// Records that changed; `None` when one is gone.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Parks.
    pub parks: Vec<(Sym, Option<ParkRef>)>,
    /// Residences.
    pub residences: Vec<(Sym, Option<ResidenceRef>)>,
    /// Walkways.
    pub walkways: Vec<(Sym, Option<WalkwayRef>)>,
}

/// How a park counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Its area as it counts, m².
    pub area_m2: f64,
    /// How far it reaches, m; `None` when it does not count.
    pub radius_m: Option<f64>,
}

/// How a residence is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Its district.
    pub district: Sym,
    /// Its people.
    pub population: f64,
    /// How it lies to the parks.
    pub measured: Measured,
    /// The way to the nearest entrance, if there is one.
    pub walk: Option<Walk>,
    /// What it adds to its district.
    pub totals: Totals,
}

/// Sums of a district, as whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Residences.
    pub residences: i64,
    /// 居住用地, 10⁻⁶ m².
    pub area: i64,
    /// Of it covered, 10⁻⁶ m².
    pub covered: i64,
    /// People, 10⁻⁶.
    pub population: i64,
    /// Of them covered, 10⁻⁶.
    pub covered_population: i64,
    /// Of them served on foot, 10⁻⁶.
    pub walking_population: i64,
}

impl Totals {
    /// The sums with those of `other` `times` over.
    pub fn plus(self, other: Self, times: i64) -> Self {
        Self {
            residences: self.residences + times * other.residences,
            area: self.area + times * other.area,
            covered: self.covered + times * other.covered,
            population: self.population + times * other.population,
            covered_population: self.covered_population + times * other.covered_population,
            walking_population: self.walking_population + times * other.walking_population,
        }
    }

    fn ratio(part: i64, whole: i64) -> Option<f64> {
        (whole > 0).then(|| part as f64 / whole as f64)
    }

    /// 服务半径覆盖率 by area; `None` without residential area.
    pub fn share(&self) -> Option<f64> {
        Self::ratio(self.covered, self.area)
    }

    /// The same by people; `None` without people.
    pub fn population_share(&self) -> Option<f64> {
        Self::ratio(self.covered_population, self.population)
    }

    /// Share of the people served on foot; `None` without people.
    pub fn walking_share(&self) -> Option<f64> {
        Self::ratio(self.walking_population, self.population)
    }
}

/// One residence, before and after.
pub type Served = (Sym, Option<Arc<Access>>, Option<Arc<Access>>);

/// Parks, residences and walkways under one scheme.
pub struct City {
    scheme: RadiusSchemeRef,
    coverage: Coverage,
    network: Network,
    people: HashMap<Sym, (Sym, f64)>,
    access: HashMap<Sym, Arc<Access>>,
    totals: BTreeMap<Sym, Totals>,
}

impl City {
    /// A city without anything in it.
    pub fn new(names: &Arc<Names>, scheme: RadiusSchemeRef, walking: Walking) -> Self {
        Self {
            scheme,
            coverage: Coverage::new(Arc::clone(names)),
            network: Network::new(Arc::clone(names), walking.snap_m, walking.shown_m),
            people: HashMap::default(),
            access: HashMap::default(),
            totals: BTreeMap::new(),
        }
    }

    /// Its scheme.
    pub fn scheme(&self) -> &RadiusSchemeRef {
        &self.scheme
    }

    /// Whether there is any walkway: without one nothing can be said about walking.
    pub fn has_walkways(&self) -> bool {
        !self.network.is_empty()
    }

    /// How many entrances of a park are attached to the walkways.
    pub fn attached_entrances(&self, park: Sym) -> usize {
        self.network.attached(park)
    }

    /// How a park counts under this scheme; only an open park with a place has a radius.
    pub fn reach(scheme: &RadiusSchemeRef, park: &ParkRef) -> Reach {
        let area_m2 = park.area_m2.unwrap_or_else(|| park.geometry.as_ref().map_or(0.0, area_m2));
        let counts = park.status == ParkStatus::Open && park.geometry.is_some();
        Reach { area_m2, radius_m: scheme.radius_m(park, area_m2).filter(|_| counts) }
    }

    /// How a residence is served.
    pub fn access(&self, residence: Sym) -> Option<&Arc<Access>> {
        self.access.get(&residence)
    }

    /// All residences and how they are served, in no order.
    pub fn all(&self) -> impl Iterator<Item = (Sym, &Arc<Access>)> {
        self.access.iter().map(|(id, access)| (*id, access))
    }

    /// The sums by district, in order of symbol.
    pub fn totals(&self) -> &BTreeMap<Sym, Totals> {
        &self.totals
    }

    /// Takes in changes; returns the residences that are served in another way than before.
    pub fn apply(&mut self, changes: Changes) -> Vec<Served> {
        let (mut parks, mut batch) = (Vec::new(), Batch::default());
        for (id, park) in changes.parks {
            let open = park.filter(|park| park.status == ParkStatus::Open && park.geometry.is_some());
            let radius_m = open.as_ref().and_then(|park| Self::reach(&self.scheme, park).radius_m);
            let entrances = open.as_ref().filter(|_| radius_m.is_some()).map(|park| park.entrances.clone());
            batch.entrances.push((id, entrances.unwrap_or_default()));
            parks.push((id, open.and_then(|park| Some(Park { geometry: park.geometry?, radius_m }))));
        }
        for (id, walkway) in changes.walkways {
            let lines = walkway.filter(|walkway| walkway.open).map(|walkway| walkway.lines);
            batch.ways.push((id, lines.unwrap_or_default()));
        }
        let (mut homes, mut dirty) = (Vec::new(), BTreeSet::new());
        for (id, residence) in changes.residences {
            dirty.insert(id);
            match &residence {
                Some(residence) => self.people.insert(id, (residence.district, residence.population)),
                None => self.people.remove(&id),
            };
            batch.homes.push((id, residence.as_ref().and_then(|home| start(home.geometry.as_ref()?))));
            homes.push((
                id,
                residence.and_then(|residence| {
                    Some(Home {
                        district: residence.district,
                        geometry: residence.geometry?,
                        point_m2: residence.area_m2.unwrap_or(0.0),
                    })
                }),
            ));
        }
        dirty.extend(self.coverage.apply(parks, homes));
        dirty.extend(self.network.apply(batch));
        dirty.into_iter().filter_map(|id| self.settle(id)).collect()
    }

    /// Brings a residence and the sums of its district up to date.
    fn settle(&mut self, id: Sym) -> Option<Served> {
        let new = self.people.get(&id).map(|&(district, population)| {
            let measured = self.coverage.measured(id).unwrap_or_default();
            let walk = self.network.walk(id);
            let people = |share: f64| (population * share * MICRO).round() as i64;
            let on_foot = walk.as_ref().is_some_and(|walk| f64::from(walk.mm) <= self.scheme.walk_m * 1000.0);
            let totals = Totals {
                residences: 1,
                area: measured.own,
                covered: measured.own_covered,
                population: people(1.0),
                covered_population: people(measured.share()),
                walking_population: if on_foot { people(1.0) } else { 0 },
            };
            Arc::new(Access { district, population, measured, walk, totals })
        });
        let old = match &new {
            Some(new) => self.access.insert(id, Arc::clone(new)),
            None => self.access.remove(&id),
        };
        if old == new {
            return None;
        }
        for (access, times) in [(&old, -1), (&new, 1)] {
            let Some(access) = access else { continue };
            let sums = self.totals.entry(access.district).or_default();
            *sums = sums.plus(access.totals, times);
            if *sums == Totals::default() {
                self.totals.remove(&access.district);
            }
        }
        Some((id, old, new))
    }
}
