//! What the fleet drove and swept: matches of fixes to roads, shifts, and coverage of a road.
//!
//! [`matches`] is the operator that matches each vehicle's fixes to roads (crate `matching`) and says which pieces of
//! which roads were worked on; [`shifts`] says to which shift of which day a time belongs; [`swept`] measures one road
//! in one shift; [`coverage`] keeps all roads and shifts, their [`pieces`] packed, and [`districts`] their sums. [`point`]
//! packs fixes, [`datum`] doubts reference systems. The views are `road_coverage` and `district_coverage`.

pub mod coverage;
pub mod datum;
pub mod districts;
pub mod matches;
pub mod pieces;
pub mod point;
pub mod shifts;
pub mod swept;

use std::sync::Arc;

use model::{Kind, Names, Sym};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Broadcast, Filter};

use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::ticked::Tagged;
use crate::views::reference::{CurrentRow, kind_of};
use crate::views::vehicles::TrackFix;

/// What the fleet's operators say.
pub struct Said<'s> {
    /// Roads of latest fixes, at the worker of the vehicle.
    pub on_road: Tagged<'s, matches::OnRoad>,
    /// Rows of `road_coverage`.
    pub road_coverage: Tagged<'s, Delta<coverage::RoadRow>>,
    /// Rows of `district_coverage`.
    pub district_coverage: Tagged<'s, Delta<districts::AreaRow>>,
    /// Which fixes lie beside roads, at the worker of the vehicle.
    pub beside: Tagged<'s, (Sym, datum::Beside)>,
}

/// Renders the fleet's operators. `current` are the records of this worker, `recalled` is what changes of `track` need.
pub fn operate<'s>(
    track: Tagged<'s, Delta<TrackFix>>,
    recalled: Tagged<'s, matches::Recalled>,
    current: &Tagged<'s, Delta<CurrentRow>>,
    wanted: matches::Wanted,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Said<'s> {
    let of =
        |kinds: &'static [Kind]| current.clone().filter(move |(_, delta)| kinds.contains(&kind_of(delta)));
    let roads = of(&[Kind::Road]);
    let known = roads.clone().broadcast().concat(of(&[Kind::Vehicle]));
    let matched = matches::operate(track, recalled, known, wanted, settings, names);
    let known = of(&[Kind::Shift, Kind::Vehicle]);
    let road_coverage = coverage::operate(
        matched.work,
        roads,
        known.clone().broadcast(),
        matched.heard.broadcast(),
        settings,
    );
    let district_coverage =
        districts::operate(road_coverage.clone(), matched.presence, known, settings, names);
    Said { on_road: matched.on_road, road_coverage, district_coverage, beside: matched.beside }
}
