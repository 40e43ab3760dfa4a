//! 三绿指标: how much of a district is green, how much of it is green land, and how much park there is a head.
//!
//! **Meaning.** The cover is the ground under any vegetation: what stands in layers counts once. The green land is the
//! ground of spaces that have a class; of land outside construction land that adjoins it no more counts than a fifth of
//! the total. Parks are the spaces of class G1. A level of an edition is met when all its gates are, and the level of a
//! district is the best one that is (分级评价: a gate, not an average).
//!
//! **Mechanism.** Each of the four areas is a [`Coverage`] without parks, whose residences are the spaces: it counts ground
//! that several of a district lie on once, cell by cell, so a space that changes costs what lies around it.
//!
//! **State.** The pieces of every space, and four sums per district.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use model::reference::green_space::{Gate, GreenDistrict, GreenEditionRef, GreenSpaceRef, Measure};
use model::{Names, Sym};

use crate::coverage::{Coverage, Home, MICRO};

/// Of adjoining land no more counts than this share of the total.
const ADJOINING_SHARE: f64 = 0.2;
/// The areas that are kept: cover, land inside, land adjoining, parks.
const AREAS: usize = 4;

/// The areas of a district, 10⁻⁶ m².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    sums: [i64; AREAS],
}

impl Areas {
    /// Ground under vegetation, m².
    pub fn cover_m2(&self) -> f64 {
        self.sums[0] as f64 / MICRO
    }

    /// 绿地 as it counts: inside, and as much of the adjoining as may, m².
    pub fn land_m2(&self) -> f64 {
        let [inside, adjoining] = [self.sums[1], self.sums[2]].map(|micro| micro as f64 / MICRO);
        // A fifth of the total is a quarter of what is inside.
        inside + adjoining.min(inside * ADJOINING_SHARE / (1.0 - ADJOINING_SHARE))
    }

    /// 公园绿地, m².
    pub fn park_m2(&self) -> f64 {
        self.sums[3] as f64 / MICRO
    }

    /// The sums of two districts.
    pub fn plus(self, other: Self) -> Self {
        let mut sums = self.sums;
        sums.iter_mut().zip(other.sums).for_each(|(sum, more)| *sum += more);
        Self { sums }
    }
}

/// The green spaces of all districts.
pub struct Greens {
    areas: [Coverage; AREAS],
    /// District and contribution of each space to each area.
    counted: [HashMap<Sym, (Sym, i64)>; AREAS],
    /// Areas of each district, and its number of spaces.
    districts: BTreeMap<Sym, (Areas, usize)>,
}

impl Greens {
    /// None yet.
    pub fn new(names: &Arc<Names>) -> Self {
        Self {
            areas: std::array::from_fn(|_| Coverage::new(Arc::clone(names))),
            counted: std::array::from_fn(|_| HashMap::default()),
            districts: BTreeMap::new(),
        }
    }

    /// The areas of a district.
    pub fn areas(&self, district: Sym) -> Areas {
        self.districts.get(&district).map(|(areas, _)| *areas).unwrap_or_default()
    }

    /// The districts that have green spaces.
    pub fn districts(&self) -> impl Iterator<Item = Sym> {
        self.districts.keys().copied()
    }

    /// Takes in changes; `None` when a space is gone. Returns the districts whose areas are others.
    pub fn apply(&mut self, changes: &[(Sym, Option<GreenSpaceRef>)]) -> BTreeSet<Sym> {
        let mut dirty = BTreeSet::new();
        for n in 0..AREAS {
            let counts = |space: &GreenSpaceRef| match n {
                0 => true,
                1 => space.class.is_some() && !space.adjoining,
                2 => space.class.is_some() && space.adjoining,
                _ => space.is_park(),
            };
            let mut homes = Vec::new();
            let mut plain: BTreeMap<Sym, (Sym, i64)> = BTreeMap::new();
            for (id, space) in changes {
                let space = space.as_ref().filter(|space| counts(space));
                if let Some(space) = space.filter(|space| space.geometry.is_none()) {
                    plain
                        .insert(*id, (space.district, (space.area_m2.unwrap_or(0.0) * MICRO).round() as i64));
                }
                let home = space.and_then(|space| {
                    let geometry = space.geometry.clone()?;
                    let point_m2 = space.area_m2.unwrap_or(0.0);
                    Some(Home { district: space.district, geometry, point_m2 })
                });
                homes.push((*id, home));
            }
            let of: HashMap<Sym, Sym> =
                homes.iter().filter_map(|(id, home)| Some((*id, home.as_ref()?.district))).collect();
            let mut touched = self.areas[n].apply(Vec::new(), homes);
            touched.extend(changes.iter().map(|(id, _)| *id));
            for id in touched {
                let district =
                    of.get(&id).copied().or_else(|| self.counted[n].get(&id).map(|(there, _)| *there));
                let drawn = self.areas[n].measured(id).and_then(|measured| Some((district?, measured.own)));
                let new = plain.get(&id).copied().or(drawn);
                let old = match new {
                    Some(new) => self.counted[n].insert(id, new),
                    None => self.counted[n].remove(&id),
                };
                if let Some((district, micro)) = new {
                    let (areas, spaces) = self.districts.entry(district).or_default();
                    areas.sums[n] += micro;
                    // Every space has cover: it is counted there.
                    *spaces += usize::from(n == 0);
                    dirty.insert(district);
                }
                if let Some((district, micro)) = old {
                    let (areas, spaces) = self.districts.entry(district).or_default();
                    areas.sums[n] -= micro;
                    *spaces -= usize::from(n == 0);
                    dirty.insert(district);
                }
            }
        }
        for district in &dirty {
            if self.districts.get(district).is_some_and(|(_, spaces)| *spaces == 0) {
                self.districts.remove(district);
            }
        }
        dirty
    }
}

/// The three figures of a district; `None` where there is nothing to divide by.
pub type Figures = [Option<f64>; 3];

/// The figures that areas and a district's record make.
pub fn figures(areas: &Areas, district: &GreenDistrict) -> Figures {
    let whole = district.area_km2.map(|km2| km2 * 1e6).filter(|m2| *m2 > 0.0);
    let people = district.population.filter(|people| *people > 0.0);
    [
        whole.map(|whole| areas.cover_m2() / whole),
        whole.map(|whole| areas.land_m2() / whole),
        people.map(|people| areas.park_m2() / people),
    ]
}

/// What an edition says of a district.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The best level that is met.
    pub level: Option<Arc<str>>,
    /// The gates that hold it back from the next better level, in order.
    pub held_back_by: Vec<Measure>,
}

/// Judges figures by an edition. A figure that is not known meets no gate.
pub fn judge(edition: &GreenEditionRef, figures: &Figures, land_per_head: Option<f64>) -> Judged {
    let applies = |gate: &&Gate| match (gate.land_from, gate.land_below) {
        (None, None) => true,
        (from, below) => land_per_head.is_some_and(|land| {
            from.is_none_or(|from| land >= from) && below.is_none_or(|below| land < below)
        }),
    };
    let mut held_back_by = Vec::new();
    for level in &edition.levels {
        // A gate that depends on the land a head, where that is not known, is not met: nobody can say that it is.
        let unknown =
            |gate: &&Gate| land_per_head.is_none() && (gate.land_from.is_some() || gate.land_below.is_some());
        let met = |gate: &&Gate| figures[gate.measure as usize].is_some_and(|figure| figure >= gate.at_least);
        let mut failed: Vec<Measure> = level
            .gates
            .iter()
            .filter(|gate| unknown(gate) || (applies(gate) && !met(gate)))
            .map(|gate| gate.measure)
            .collect();
        failed.sort_unstable();
        failed.dedup();
        if failed.is_empty() {
            return Judged { level: Some(Arc::clone(&level.name)), held_back_by };
        }
        held_back_by = failed;
    }
    Judged { level: None, held_back_by }
}

#[cfg(test)]
mod tests {
    use model::reference::green_space::Level;

    use super::*;

    fn space(district: Sym, class: Option<&str>, adjoining: bool, area_m2: f64) -> GreenSpaceRef {
        GreenSpaceRef {
            district,
            class: class.map(Into::into),
            layer: class.is_none().then(|| "tree".into()),
            adjoining,
            geometry: None,
            area_m2: Some(area_m2),
        }
    }

    #[test]
    fn adjoining_land_counts_up_to_a_fifth_of_the_total() {
        let names = Arc::new(Names::new());
        let (d, a, b) = (names.intern("d"), names.intern("a"), names.intern("b"));
        let mut greens = Greens::new(&names);
        greens.apply(&[
            (a, Some(space(d, Some("G11"), false, 800.0))),
            (b, Some(space(d, Some("G2"), true, 900.0))),
        ]);
        let areas = greens.areas(d);
        assert_eq!((areas.cover_m2(), areas.land_m2(), areas.park_m2()), (1700.0, 1000.0, 800.0));
        greens.apply(&[(b, Some(space(d, Some("G2"), true, 100.0)))]);
        assert_eq!(greens.areas(d).land_m2(), 900.0);
        greens.apply(&[(a, None), (b, None)]);
        assert_eq!((greens.areas(d), greens.districts().count()), (Areas::default(), 0));
    }

    #[test]
    fn the_level_is_the_best_whose_gates_are_all_met() {
        let gate = |measure, at_least, land_below| Gate { measure, at_least, land_from: None, land_below };
        let level = |name: &str, cover, heads| Level {
            name: name.into(),
            gates: vec![
                gate(Measure::GreenCover, cover, None),
                gate(Measure::ParkAreaPerHead, heads, Some(80.0)),
            ],
        };
        let edition =
            GreenEditionRef { enabled: true, levels: vec![level("I", 0.40, 9.5), level("II", 0.36, 7.5)] };
        let judged = |figures, land| judge(&edition, &figures, land);
        let said = judged([Some(0.41), None, Some(8.0)], Some(70.0));
        assert_eq!((said.level.as_deref(), said.held_back_by), (Some("II"), vec![Measure::ParkAreaPerHead]));
        // From 80 m² on this gate does not hold.
        assert_eq!(judged([Some(0.41), None, Some(8.0)], Some(90.0)).level.as_deref(), Some("I"));
        assert_eq!(judged([Some(0.41), None, Some(8.0)], None).level, None);
        let said = judged([Some(0.30), None, None], Some(70.0));
        assert_eq!(
            (said.level, said.held_back_by),
            (None, vec![Measure::GreenCover, Measure::ParkAreaPerHead])
        );
    }
}
