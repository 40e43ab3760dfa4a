//! What would be if: the shares after changes that nobody has made.
//!
//! **Meaning.** [`what_if`] says how the sums of each district would change, and which residences would be served in
//! another way. It works on records and leaves everything as it is.
//!
//! **Mechanism.** A change can matter only to residences within the greatest radius, or the walking distance, of it. A small
//! city is built of what lies around the changes, wide enough for those residences to be served in it as they are in the
//! whole one up to the walking distance; the changes are applied to it, and what its sums change by is what the whole
//! city's would.
//!
//! **State.** None: the small city is forgotten with the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::reference::{Geometry, LonLat, ParkRef, RadiusSchemeRef, ResidenceRef, WalkwayRef};
use model::{Names, Sym};

use crate::city::{Changes, City, Served, Totals, Walking};
use crate::projection::scale;

/// Latitudes are taken as no nearer to a pole than this when metres become degrees of longitude.
const POLAR_DEG: f64 = 85.0;

/// Records in force.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Parks.
    pub parks: BTreeMap<Sym, ParkRef>,
    /// Residences.
    pub residences: BTreeMap<Sym, ResidenceRef>,
    /// Walkways.
    pub walkways: BTreeMap<Sym, WalkwayRef>,
}

/// What would change.
#[derive(Debug, Default)]
pub struct Answer {
    /// By how much the sums of each district would be more, where they would be others.
    pub districts: BTreeMap<Sym, Totals>,
    /// The residences that would be covered, or served on foot, in another way.
    pub residences: Vec<Served>,
}

/// A box in 10⁻⁷ degrees.
#[derive(Clone, Copy, Debug)]
struct Area {
    low: LonLat,
    high: LonLat,
}

impl Area {
    fn around(mut corners: impl Iterator<Item = LonLat>) -> Option<Self> {
        let first = corners.next()?;
        let area = Area { low: first, high: first };
        Some(corners.fold(area, |area, at| area.with(Area { low: at, high: at })))
    }

    fn with(self, other: Area) -> Self {
        let (a, b) = (self, other);
        Area {
            low: LonLat { lon: a.low.lon.min(b.low.lon), lat: a.low.lat.min(b.low.lat) },
            high: LonLat { lon: a.high.lon.max(b.high.lon), lat: a.high.lat.max(b.high.lat) },
        }
    }

    fn grown(self, metres: f64) -> Self {
        let middle = f64::midpoint(self.low.degrees()[1], self.high.degrees()[1]);
        let [dx, dy] = scale(middle.clamp(-POLAR_DEG, POLAR_DEG)).map(|per_unit| (metres / per_unit) as i32);
        let by = |at: LonLat, sign: i32| LonLat {
            lon: at.lon.saturating_add(sign * dx),
            lat: at.lat.saturating_add(sign * dy),
        };
        Area { low: by(self.low, -1), high: by(self.high, 1) }
    }

    fn meets(&self, other: &Area) -> bool {
        self.low.lon <= other.high.lon
            && other.low.lon <= self.high.lon
            && self.low.lat <= other.high.lat
            && other.low.lat <= self.high.lat
    }
}

fn of_park(park: &ParkRef) -> Option<Area> {
    let corners = park.geometry.iter().flat_map(Geometry::corners);
    Area::around(corners.chain(park.entrances.iter().copied()))
}

fn of_residence(residence: &ResidenceRef) -> Option<Area> {
    Area::around(residence.geometry.iter().flat_map(Geometry::corners))
}

fn of_walkway(walkway: &WalkwayRef) -> Option<Area> {
    Area::around(walkway.lines.iter().flatten().copied())
}

/// Says what the `changes` would change under `scheme`.
pub fn what_if(
    names: &Arc<Names>,
    scheme: &RadiusSchemeRef,
    walking: Walking,
    records: &Records,
    changes: Changes,
) -> Answer {
    let radius = scheme.steps.iter().map(|step| step.radius_m).fold(0.0, f64::max);
    let margin = radius.max(scheme.walk_m) + 2.0 * walking.snap_m;
    // Where something changes: the places before and after.
    let mut areas: Vec<Area> = Vec::new();
    for (id, park) in &changes.parks {
        areas.extend(park.iter().chain(records.parks.get(id)).filter_map(of_park));
    }
    for (id, residence) in &changes.residences {
        areas.extend(residence.iter().chain(records.residences.get(id)).filter_map(of_residence));
    }
    for (id, walkway) in &changes.walkways {
        areas.extend(walkway.iter().chain(records.walkways.get(id)).filter_map(of_walkway));
    }
    // Whom it may matter to, and what lies around those.
    for area in &mut areas {
        let grown = area.grown(margin);
        let concerned =
            records.residences.values().filter_map(of_residence).filter(|home| home.meets(&grown));
        *area = concerned.fold(grown, Area::with).grown(margin);
    }
    let near = |area: Option<Area>| area.is_some_and(|area| areas.iter().any(|there| there.meets(&area)));
    let mut around = Changes::default();
    let parks = records.parks.iter().filter(|(_, park)| near(of_park(park)));
    around.parks.extend(parks.map(|(id, park)| (*id, Some(park.clone()))));
    let homes = records.residences.iter().filter(|(_, home)| near(of_residence(home)));
    around.residences.extend(homes.map(|(id, home)| (*id, Some(home.clone()))));
    let ways = records.walkways.iter().filter(|(_, way)| near(of_walkway(way)));
    around.walkways.extend(ways.map(|(id, way)| (*id, Some(way.clone()))));

    let mut city = City::new(names, scheme.clone(), walking);
    city.apply(around);
    let before = city.totals().clone();
    let mut answer = Answer { residences: city.apply(changes), ..Answer::default() };
    // The nearest park of any size and ways beyond the limit are not those of the whole city: they are left out.
    answer.residences.retain(|(_, old, new)| {
        old.as_ref().map(|access| access.totals) != new.as_ref().map(|access| access.totals)
    });
    let districts: BTreeSet<Sym> = before.keys().chain(city.totals().keys()).copied().collect();
    for district in districts {
        let sums = |totals: &BTreeMap<Sym, Totals>| totals.get(&district).copied().unwrap_or_default();
        let more = sums(city.totals()).plus(sums(&before), -1);
        if more != Totals::default() {
            answer.districts.insert(district, more);
        }
    }
    answer
}
