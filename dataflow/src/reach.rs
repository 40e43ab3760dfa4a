//! How parks reach residences: the operator behind `parks`, `residence_access` and `park_radius`.
//!
//! **Meaning.** For each radius scheme in force that is enabled, every park, residence and district has a row. The
//! records in force at a tick say it all, whatever order they came in, so what is said revises with every change.
//!
//! **Mechanism.** One `green::city::City` per scheme takes the changes of a tick as one batch and names the residences that
//! changed. Shortest walking distances are the heart of it, and they could be a loop in the dataflow: a collection of
//! (node, distance) joined with the edges, iterated to its least fixed point. We keep them in an operator with state of its
//! own instead. The loop would hold the edges twice and every improvement of every round of some 300 rounds in
//! arrangements, in proportion to rounds times nodes, where the city holds eight bytes a node; closing a bridge would
//! retract and assert along all those rounds, where the operator touches the nodes whose distance changes, once; and
//! `bench/README.md` has what that takes. What is given up is spreading one graph over workers: parks change seldom,
//! so one worker carries them and the others the streams.
//!
//! **State.** The records in force of its kinds (shared with `reference`), the state of the cities, and a row per scheme
//! and park, residence and district. All of it derives from the records: nothing of it needs a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use green::city::{Access, Changes, City, Served, Totals, Walking};
use model::reference::{ParkRef, RadiusSchemeRef, ResidenceRef, WalkwayRef};
use model::{Kind, Names, RefBody, Sym, Tick, Typed};
use timely::dataflow::operators::vec::{Map, Partition};

use crate::Settings;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::spread;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::views::reference::CurrentRow;

/// The kinds of records that it looks at.
pub const KINDS: &[Kind] = &[Kind::Park, Kind::Residence, Kind::Walkway, Kind::RadiusScheme];
/// All of them go to the worker of this number: one graph has one keeper.
const KEEPER: u64 = 0;

/// A park under a scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkRow {
    /// The park.
    pub park: Sym,
    /// The scheme.
    pub scheme: Sym,
    /// Its record.
    pub record: Arc<RefBody>,
    /// Its area as it counts, m².
    pub area_m2: f64,
    /// How far it reaches, m; `None` when it does not count.
    pub radius_m: Option<f64>,
}

impl ParkRow {
    /// The typed record.
    pub fn park(&self) -> Option<&ParkRef> {
        if let Typed::Park(park) = &self.record.typed { Some(park) } else { None }
    }
}

impl Keyed for ParkRow {
    type Key = (Sym, Sym);
    fn key(&self) -> (Sym, Sym) {
        (self.park, self.scheme)
    }
}

/// A residence under a scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessRow {
    /// The residence.
    pub residence: Sym,
    /// The scheme.
    pub scheme: Sym,
    /// How it is served.
    pub access: Arc<Access>,
    /// The walking distance up to which it counts as served on foot, m.
    pub walk_m: f64,
    /// How far people walk in a minute, m.
    pub walk_m_per_min: f64,
}

impl Keyed for AccessRow {
    type Key = (Sym, Sym);
    fn key(&self) -> (Sym, Sym) {
        (self.residence, self.scheme)
    }
}

/// A district, or the city, under a scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct RadiusRow {
    /// The district, empty when not said; `None` for the city.
    pub district: Option<Sym>,
    /// The scheme.
    pub scheme: Sym,
    /// The sums.
    pub totals: Totals,
    /// The share asked for.
    pub threshold: Option<f64>,
    /// Whether there is any walkway: else nothing is known of walking.
    pub walkways: bool,
}

impl Keyed for RadiusRow {
    type Key = (Option<Sym>, Sym);
    fn key(&self) -> (Option<Sym>, Sym) {
        (self.district, self.scheme)
    }
}

#[derive(Clone, Debug)]
enum Out {
    Park(Delta<ParkRow>),
    Access(Delta<AccessRow>),
    Radius(Delta<RadiusRow>),
}

/// What the operator says.
#[derive(Clone)]
pub struct Said<'s> {
    /// Rows of `parks`.
    pub parks: Tagged<'s, Delta<ParkRow>>,
    /// Rows of `residence_access`.
    pub access: Tagged<'s, Delta<AccessRow>>,
    /// Rows of `park_radius`.
    pub radius: Tagged<'s, Delta<RadiusRow>>,
}

/// Renders the operator over the records in force of [`KINDS`].
pub(crate) fn operate<'s>(
    records: Tagged<'s, Delta<CurrentRow>>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Said<'s> {
    let records = spread(records, |_| KEEPER);
    let reach = Reach {
        names: Arc::clone(names),
        walking: Walking { snap_m: settings.walk_snap_m, shown_m: settings.walk_shown_m },
        walk_m_per_min: settings.walk_m_per_min,
        records: HashMap::default(),
        cities: BTreeMap::new(),
    };
    let mut said = ticked(records, "reach", reach).partition(3, |(tick, out)| {
        let port = match &out {
            Out::Park(_) => 0,
            Out::Access(_) => 1,
            Out::Radius(_) => 2,
        };
        (port, (tick, out))
    });
    let mut port = || said.remove(0);
    let parks = port().flat_map(|(tick, out)| match out {
        Out::Park(delta) => Some((tick, delta)),
        _ => None,
    });
    let access = port().flat_map(|(tick, out)| match out {
        Out::Access(delta) => Some((tick, delta)),
        _ => None,
    });
    let radius = port().flat_map(|(tick, out)| match out {
        Out::Radius(delta) => Some((tick, delta)),
        _ => None,
    });
    Said { parks, access, radius }
}

/// A city, and what was said of it beyond what it knows itself.
struct Known {
    city: City,
    parks: BTreeMap<Sym, ParkRow>,
    radius: BTreeMap<Option<Sym>, RadiusRow>,
}

struct Reach {
    names: Arc<Names>,
    walking: Walking,
    walk_m_per_min: f64,
    records: HashMap<(Kind, Sym), Arc<RefBody>>,
    cities: BTreeMap<Sym, Known>,
}

/// A typed record as the city takes it.
fn change(changes: &mut Changes, kind: Kind, id: Sym, body: Option<&Arc<RefBody>>) {
    let typed = body.map(|body| &body.typed);
    match kind {
        Kind::Park => {
            let park: Option<ParkRef> = typed.and_then(|typed| match typed {
                Typed::Park(park) => Some(park.clone()),
                _ => None,
            });
            changes.parks.push((id, park));
        }
        Kind::Residence => {
            let residence: Option<ResidenceRef> = typed.and_then(|typed| match typed {
                Typed::Residence(residence) => Some(residence.clone()),
                _ => None,
            });
            changes.residences.push((id, residence));
        }
        Kind::Walkway => {
            let walkway: Option<WalkwayRef> = typed.and_then(|typed| match typed {
                Typed::Walkway(walkway) => Some(walkway.clone()),
                _ => None,
            });
            changes.walkways.push((id, walkway));
        }
        _ => {}
    }
}

impl Reach {
    /// The scheme of an id, if it is in force and enabled.
    fn scheme(&self, id: Sym) -> Option<RadiusSchemeRef> {
        match &self.records.get(&(Kind::RadiusScheme, id))?.typed {
            Typed::RadiusScheme(scheme) if scheme.enabled => Some(scheme.clone()),
            _ => None,
        }
    }

    fn all(&self) -> Changes {
        let mut changes = Changes::default();
        for (&(kind, id), body) in &self.records {
            change(&mut changes, kind, id, Some(body));
        }
        changes
    }

    fn access_row(
        &self,
        scheme: Sym,
        walk_m: f64,
        residence: Sym,
        access: Option<Arc<Access>>,
    ) -> Option<AccessRow> {
        let walk_m_per_min = self.walk_m_per_min;
        access.map(|access| AccessRow { residence, scheme, access, walk_m, walk_m_per_min })
    }

    /// Says what is another than before, for the residences and parks named.
    fn say(
        &self,
        scheme: Sym,
        known: &mut Known,
        walk_m_before: f64,
        served: Vec<Served>,
        parks: impl IntoIterator<Item = Sym>,
        out: &mut Vec<Out>,
    ) {
        let walk_m = known.city.scheme().walk_m;
        let mut districts: BTreeSet<Option<Sym>> = BTreeSet::new();
        for (id, old, new) in served {
            districts.extend(old.iter().chain(&new).map(|access| Some(access.district)));
            let old = self.access_row(scheme, walk_m_before, id, old);
            out.extend(Delta::between(old, self.access_row(scheme, walk_m, id, new)).map(Out::Access));
        }
        for park in parks {
            let row = self.records.get(&(Kind::Park, park)).and_then(|body| {
                let Typed::Park(record) = &body.typed else { return None };
                let reach = City::reach(known.city.scheme(), record);
                let record = Arc::clone(body);
                Some(ParkRow { park, scheme, record, area_m2: reach.area_m2, radius_m: reach.radius_m })
            });
            let old = match &row {
                Some(row) => known.parks.insert(park, row.clone()),
                None => known.parks.remove(&park),
            };
            out.extend(Delta::between(old, row).map(Out::Park));
        }
        let walkways = known.city.has_walkways();
        if known.radius.values().any(|row| row.walkways != walkways) {
            districts.extend(known.radius.keys());
        }
        if !districts.is_empty() {
            districts.insert(None);
        }
        for district in districts {
            let totals = match district {
                Some(district) => known.city.totals().get(&district).copied(),
                None => known.city.totals().values().copied().reduce(|a, b| a.plus(b, 1)),
            };
            let threshold = known.city.scheme().threshold;
            let row = totals.map(|totals| RadiusRow { district, scheme, totals, threshold, walkways });
            let old = match &row {
                Some(row) => known.radius.insert(district, row.clone()),
                None => known.radius.remove(&district),
            };
            out.extend(Delta::between(old, row).map(Out::Radius));
        }
    }

    /// Begins with a scheme, goes on with it as it reads now, or ends it. Every residence is served anew, so every district
    /// is looked at.
    fn renew(&mut self, id: Sym, out: &mut Vec<Out>) {
        let before = self.cities.remove(&id);
        let scheme = self.scheme(id);
        let mut old: BTreeMap<Sym, Arc<Access>> = BTreeMap::new();
        let (mut parks_said, mut radius_said) = (BTreeMap::new(), BTreeMap::new());
        let mut walk_m_before = 0.0;
        if let Some(before) = before {
            walk_m_before = before.city.scheme().walk_m;
            old.extend(before.city.all().map(|(id, access)| (id, Arc::clone(access))));
            (parks_said, radius_said) = (before.parks, before.radius);
        }
        let Some(scheme) = scheme else {
            for (residence, access) in old {
                let old = self.access_row(id, walk_m_before, residence, Some(access));
                out.extend(Delta::between(old, None).map(Out::Access));
            }
            out.extend(parks_said.into_values().map(|old| Out::Park(Delta { old: Some(old), new: None })));
            out.extend(radius_said.into_values().map(|old| Out::Radius(Delta { old: Some(old), new: None })));
            return;
        };
        let mut city = City::new(&self.names, scheme, self.walking);
        let mut served = city.apply(self.all());
        for (residence, before, _) in &mut served {
            *before = old.remove(residence);
        }
        served.extend(old.into_iter().map(|(residence, access)| (residence, Some(access), None)));
        let mut parks: BTreeSet<Sym> = parks_said.keys().copied().collect();
        parks.extend(self.records.keys().filter(|(kind, _)| *kind == Kind::Park).map(|(_, id)| *id));
        let mut known = Known { city, parks: parks_said, radius: radius_said };
        self.say(id, &mut known, walk_m_before, served, parks, out);
        self.cities.insert(id, known);
    }
}

impl Ticked for Reach {
    type In = Delta<CurrentRow>;
    type Out = Out;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<Delta<CurrentRow>>, out: &mut Vec<Out>) {
        let mut changes = Changes::default();
        let (mut parks, mut schemes) = (Vec::new(), BTreeSet::new());
        for delta in input.drain(..) {
            let Some((kind, id)) = delta.key() else { continue };
            change(&mut changes, kind, id, delta.new.as_ref().map(|row| &row.body));
            match kind {
                Kind::Park => parks.push(id),
                Kind::RadiusScheme => {
                    schemes.insert(id);
                }
                _ => {}
            }
            match delta.new {
                Some(row) => self.records.insert((kind, id), row.body),
                None => self.records.remove(&(kind, id)),
            };
        }
        let mut cities = std::mem::take(&mut self.cities);
        for (id, known) in cities.iter_mut().filter(|(id, _)| !schemes.contains(id)) {
            let served = known.city.apply(changes.clone());
            let walk_m = known.city.scheme().walk_m;
            self.say(*id, known, walk_m, served, parks.iter().copied(), out);
        }
        self.cities = cities;
        for id in schemes {
            self.renew(id, out);
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}
