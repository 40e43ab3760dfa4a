//! What streams bring to scores beside cases: the coverage of roads, alerts, and what parks reach.
//!
//! **Meaning.** Inputs of indicators that are counted by day ([`DAILY`]) or hold as they stand now ([`STANDING`]), for
//! districts and the city. Coverage counts on the date on which a shift begins, an alert on the day on which it was raised;
//! an alert that is withdrawn, or of a rule that runs as a shadow, counts nowhere. What a stream no longer holds because
//! its retention is over counts on as it was last said. Corrections — late fixes, withdrawn alerts, moved parks — change
//! the inputs, and with them the scores, from the next whole minute on.
//!
//! **Mechanism.** Deltas of the rows of `district_coverage`, `alerts` and `park_radius` become signed parts, each sent to
//! the worker of its unit, where [`super::judge`] adds them up.
//!
//! **State.** What each alert counted for when it was last said, also after its retention.

use std::sync::Arc;

use foldhash::HashMap;
use model::period::{day_of, midnight};
use model::reference::Severity;
use model::{Names, Sym, Tick};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use crate::Settings;
use crate::fleet::districts::{Area, AreaRow};
use crate::operators::delta::Delta;
use crate::operators::spread;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::reach::RadiusRow;
use crate::views::alerts::{AlertRow, AlertState};
use crate::views::case_rates::Scope;

/// Names of the inputs that are counted by day.
pub const DAILY: [&str; 8] = [
    // Of coverage: shifts with roads, planned and swept length of planned roads in mm, planned roads, missed ones.
    "coverage_shifts",
    "planned_length",
    "swept_length",
    "planned_roads",
    "missed_roads",
    // Of alerts: raised, of these severe at worst, of these ended.
    "alerts_raised",
    "alerts_severe",
    "alerts_ended",
];
/// How many of [`DAILY`] are of coverage; the first says whether the others are known.
pub const OF_COVERAGE: usize = 5;
/// Names of the inputs that hold as they stand now, in whole m², by the radius scheme of the settings.
pub const STANDING: [&str; 2] = ["residential_area", "park_covered_area"];

/// A number for each of [`DAILY`].
pub type Sums = [i64; DAILY.len()];

/// What is brought to a unit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Brought {
    /// A district or the city.
    pub unit: Scope,
    /// What.
    pub part: Part,
}

/// A change of what is known of a unit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Part {
    /// To be added to a day, in days since 1970-01-01.
    Daily(i32, Sums),
    /// In the place of what stood.
    Standing(Option<[i64; STANDING.len()]>),
}

/// Renders the parts, each at the worker of its unit.
pub fn operate<'s>(
    coverage: Tagged<'s, Delta<AreaRow>>,
    alerts: Tagged<'s, Delta<AlertRow>>,
    parks: Tagged<'s, Delta<RadiusRow>>,
    settings: &Arc<Settings>,
    names: &Names,
) -> Tagged<'s, Brought> {
    let (offset_ms, keep) = (i64::from(settings.utc_offset_min) * 60_000, settings.coverage_retention_ms);
    let coverage = coverage.flat_map(move |(tick, delta)| {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let over = |row: &AreaRow| {
            keep.is_some_and(|keep| midnight(row.shift_day.1, offset_ms).saturating_add(keep) <= now)
        };
        let expires = delta.new.is_none() && delta.old.as_ref().is_some_and(over);
        let sides = [(delta.old, -1), (delta.new, 1)];
        let parts = sides.into_iter().filter_map(|(row, sign)| of_coverage(&row?, sign));
        parts.filter(move |_| !expires).map(move |part| (tick, part))
    });
    let alerts = ticked(alerts, "alerts for scores", Alerts::new(settings, offset_ms));
    let scheme = names.intern(&settings.radius_scheme);
    let parks = parks.flat_map(move |(tick, delta)| {
        let row = delta.new.as_ref().or(delta.old.as_ref()).filter(|row| row.scheme == scheme)?;
        let unit = row.district.map_or(Some(Scope::City), district)?;
        Some((tick, Brought { unit, part: Part::Standing(delta.new.as_ref().map(of_parks)) }))
    });
    spread(coverage.concat(alerts).concat(parks), |brought| brought.unit.route())
}

/// The unit of a district, if it has a name.
fn district(id: Sym) -> Option<Scope> {
    (id != Sym::EMPTY).then_some(Scope::District(id))
}

fn of_coverage(row: &AreaRow, sign: i64) -> Option<Brought> {
    let unit = match row.area {
        Area::City => Scope::City,
        Area::District(id) => district(id)?,
    };
    let own = [1, row.planned_mm, row.swept_mm, row.planned_roads, row.missed];
    let mut sums = Sums::default();
    sums.iter_mut().zip(own).for_each(|(sum, n)| *sum = n * sign);
    Some(Brought { unit, part: Part::Daily(row.shift_day.1, sums) })
}

/// Whole m² of what is counted in 10⁻⁶ m².
fn of_parks(row: &RadiusRow) -> [i64; STANDING.len()] {
    [row.totals.area, row.totals.covered].map(|micro| (micro + 500_000).div_euclid(1_000_000))
}

/// Where an alert counts, on which day, and for what.
type Counted = (Sym, i32, Sums);

struct Alerts {
    offset_ms: i64,
    expire: bool,
    said: HashMap<Sym, Counted>,
}

impl Alerts {
    fn new(settings: &Settings, offset_ms: i64) -> Self {
        Self { offset_ms, expire: settings.alert_retention_ms.is_some(), said: HashMap::default() }
    }

    fn counted(&self, row: &AlertRow) -> Option<Counted> {
        let counts = !row.shadow && row.state != AlertState::Withdrawn;
        let mut sums = Sums::default();
        let own = [1, i64::from(row.peak == Severity::Severe), i64::from(!row.state.lasts())];
        sums[OF_COVERAGE..].copy_from_slice(&own);
        counts.then(|| (row.district, day_of(row.raised_ts, self.offset_ms), sums))
    }
}

impl Ticked for Alerts {
    type In = Delta<AlertRow>;
    type Out = Brought;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<Delta<AlertRow>>, out: &mut Vec<Brought>) {
        for delta in input.drain(..) {
            let Some(id) = delta.key() else { continue };
            let new = match &delta.new {
                // Alerts go when their retention is over, and for no other reason where there is one.
                None if self.expire => continue,
                row => row.as_ref().and_then(|row| self.counted(row)),
            };
            let old = match new {
                Some(new) => self.said.insert(id, new),
                None => self.said.remove(&id),
            };
            if old == new {
                continue;
            }
            for ((area, day, sums), sign) in
                [(old, -1), (new, 1)].into_iter().filter_map(|(of, sign)| Some((of?, sign)))
            {
                let part = Part::Daily(day, sums.map(|n| n * sign));
                let units = [Some(Scope::City), district(area)];
                out.extend(units.into_iter().flatten().map(|unit| Brought { unit, part }));
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}
