//! 三绿指标 of each district: the operator behind `green_metrics`.
//!
//! **Meaning.** Green spaces, open parks (as land of class G1 where they name no class), districts and editions in force make a row per district;
//! every change revises it.
//!
//! **Mechanism.** `green::metrics::Greens` keeps the areas; a district whose areas, record or editions changed is said
//! anew. One worker keeps them: they change seldom.
//!
//! **State.** The pieces of every green space, the records of districts and editions, and a row per district. It derives
//! from the records and needs no snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use green::metrics::{Areas, Figures, Greens, Judged, figures, judge};
use model::reference::ParkStatus;
use model::reference::green_space::{GreenDistrict, GreenEditionRef, GreenSpaceRef};
use model::{Kind, Names, Sym, Tick, Typed};

use crate::Settings;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::spread;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::views::reference::CurrentRow;

/// The kinds of records that it looks at.
const KINDS: &[Kind] = &[Kind::GreenSpace, Kind::Park, Kind::District, Kind::GreenEdition];
/// All of them go to the worker of this number.
const KEEPER: u64 = 0;
/// The class of a park that names none.
const PARK_CLASS: &str = "G1";

/// A district, or the city.
#[derive(Clone, Debug, PartialEq)]
pub struct GreenRow {
    /// The district, empty when not said; `None` for the city.
    pub district: Option<Sym>,
    /// Its areas.
    pub areas: Areas,
    /// What they are divided by.
    pub record: GreenDistrict,
    /// The three figures.
    pub figures: Figures,
    /// What each enabled edition says, in order of id.
    pub judged: Vec<(Sym, Judged)>,
    /// The edition that is shown beside all.
    pub shown: Sym,
}

impl Keyed for GreenRow {
    type Key = Option<Sym>;
    fn key(&self) -> Option<Sym> {
        self.district
    }
}

/// Renders the operator over the records in force.
pub(crate) fn operate<'s>(
    records: Tagged<'s, Delta<CurrentRow>>,
    settings: &Settings,
    names: &Arc<Names>,
) -> Tagged<'s, Delta<GreenRow>> {
    use timely::dataflow::operators::vec::Filter;
    let ours = records.filter(|(_, delta)| delta.key().is_some_and(|(kind, _)| KINDS.contains(&kind)));
    let greening = Greening {
        names: Arc::clone(names),
        shown: names.intern(&settings.green_edition),
        greens: Greens::new(names),
        districts: HashMap::default(),
        editions: BTreeMap::new(),
        said: BTreeMap::new(),
    };
    ticked(spread(ours, |_| KEEPER), "greening", greening)
}

struct Greening {
    names: Arc<Names>,
    shown: Sym,
    greens: Greens,
    districts: HashMap<Sym, GreenDistrict>,
    editions: BTreeMap<String, (Sym, GreenEditionRef)>,
    said: BTreeMap<Option<Sym>, GreenRow>,
}

/// A park as a green space: only an open one with a place.
fn as_space(typed: Option<&Typed>, names: &Names) -> Option<GreenSpaceRef> {
    match typed? {
        Typed::GreenSpace(space) => Some(space.clone()),
        Typed::Park(park) if park.status == ParkStatus::Open && park.geometry.is_some() => {
            let class = if park.class == Sym::EMPTY { PARK_CLASS } else { names.resolve(park.class) };
            Some(GreenSpaceRef {
                district: park.district,
                class: Some(class.into()),
                layer: None,
                adjoining: false,
                geometry: park.geometry.clone(),
                area_m2: park.area_m2,
            })
        }
        _ => None,
    }
}

impl Greening {
    fn row(&self, district: Option<Sym>, areas: Areas, record: GreenDistrict) -> GreenRow {
        let figures = figures(&areas, &record);
        let judged = self
            .editions
            .values()
            .map(|(id, edition)| (*id, judge(edition, &figures, record.land_per_head)))
            .collect();
        GreenRow { district, areas, record, figures, judged, shown: self.shown }
    }

    fn of_district(&self, district: Sym) -> Option<GreenRow> {
        let known = self.districts.get(&district);
        if known.is_none() && self.greens.districts().all(|there| there != district) {
            return None;
        }
        Some(self.row(Some(district), self.greens.areas(district), known.cloned().unwrap_or_default()))
    }

    /// The city is the sum of its districts; what one of them does not say the city does not know.
    fn of_city(&self) -> Option<GreenRow> {
        let mut districts = self.said.values().filter(|row| row.district.is_some());
        let first = districts.next()?;
        let (mut areas, mut record) = (first.areas, first.record.clone());
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        for row in districts {
            areas = areas.plus(row.areas);
            record.area_km2 = sum(record.area_km2, row.record.area_km2);
            record.population = sum(record.population, row.record.population);
            record.built_up &= row.record.built_up;
        }
        record.land_per_head = None;
        Some(self.row(None, areas, record))
    }

    fn say(&mut self, district: Option<Sym>, row: Option<GreenRow>, out: &mut Vec<Delta<GreenRow>>) {
        let old = match &row {
            Some(row) => self.said.insert(district, row.clone()),
            None => self.said.remove(&district),
        };
        out.extend(Delta::between(old, row));
    }
}

impl Ticked for Greening {
    type In = Delta<CurrentRow>;
    type Out = Delta<GreenRow>;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<Delta<CurrentRow>>, out: &mut Vec<Delta<GreenRow>>) {
        let (mut spaces, mut dirty, mut all) = (Vec::new(), BTreeSet::new(), false);
        for delta in input.drain(..) {
            let Some((kind, id)) = delta.key() else { continue };
            let typed = delta.new.as_ref().map(|row| &row.body.typed);
            match kind {
                Kind::District => {
                    dirty.insert(id);
                    match typed {
                        Some(Typed::District(record)) => self.districts.insert(id, record.clone()),
                        _ => self.districts.remove(&id),
                    };
                }
                Kind::GreenEdition => {
                    all = true;
                    let name = self.names.resolve(id).to_owned();
                    match typed {
                        Some(Typed::GreenEdition(edition)) if edition.enabled => {
                            self.editions.insert(name, (id, edition.clone()))
                        }
                        _ => self.editions.remove(&name),
                    };
                }
                // A park and a space may have the same id.
                kind => {
                    let id = self.names.intern(&format!("{}/{}", kind.name(), self.names.resolve(id)));
                    spaces.push((id, as_space(typed, &self.names)));
                }
            }
        }
        dirty.extend(self.greens.apply(&spaces));
        if all {
            dirty.extend(self.said.keys().flatten());
        }
        if dirty.is_empty() {
            return;
        }
        for district in dirty {
            let row = self.of_district(district);
            self.say(Some(district), row, out);
        }
        let city = self.of_city();
        self.say(None, city, out);
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}
