//! Which views run: those of [`VIEWS`] unless the settings name others.
//!
//! **Meaning.** A view that is not selected costs nothing: it is not rendered, and the rows of a stream go nowhere when
//! no selected view looks at them. Frames number the selected views in the order in which they are listed.
//!
//! **Mechanism.** [`Heads`] says which of the shared operators are needed; the others get no rows. A view that this file
//! does not know needs them all.

use model::{Error, Result, ViewSpec};

use crate::Settings;
use crate::views::{ON_REQUEST, VIEWS, View};

/// The views that run, in the order in which frames hold them.
///
/// # Errors
/// The user's: a name that is none, with those that are.
pub(crate) fn selected(settings: &Settings) -> Result<Vec<&'static View>> {
    let Some(names) = &settings.views else { return Ok(VIEWS.iter().collect()) };
    let all = || VIEWS.iter().chain(ON_REQUEST);
    if let Some(unknown) = names.iter().find(|name| !all().any(|view| view.spec.name == **name)) {
        let known: Vec<&str> = all().map(|view| view.spec.name).collect();
        return Err(Error::user(format!(
            "engine.views: `{unknown}` is no view; there are {}",
            known.join(", ")
        )));
    }
    let selected: Vec<&View> =
        all().filter(|view| names.iter().any(|name| view.spec.name == *name)).collect();
    match selected.is_empty() {
        true => Err(Error::user("engine.views: expected at least one view")),
        false => Ok(selected),
    }
}

/// The specifications of the views that run, by [`model::ViewId`].
///
/// # Errors
/// The user's: a view that is none.
pub fn specs_of(settings: &Settings) -> Result<Vec<ViewSpec>> {
    Ok(selected(settings)?.iter().map(|view| view.spec).collect())
}

/// The specifications of every view there is, whether it runs or not.
pub fn all_specs() -> Vec<ViewSpec> {
    VIEWS.iter().chain(ON_REQUEST).map(|view| view.spec).collect()
}

/// The shared operators, and whether any view that runs needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Sensor series.
    pub readings: bool,
    /// The latest readings; need sensor series.
    pub sensors: bool,
    /// Tracks of vehicles.
    pub fixes: bool,
    /// Cases.
    pub cases: bool,
    /// Counts of cases; need cases.
    pub rates: bool,
    /// Scores; need counts, and take what sensors, coverage and parks say.
    pub scores: bool,
    /// Roads of vehicles; need tracks.
    pub roads: bool,
    /// Coverage of roads; needs roads.
    pub coverage: bool,
    /// Trips, stops, fences, doubts about devices; need tracks.
    pub journeys: bool,
    /// How parks reach residences.
    pub reach: bool,
}

const READINGS: Heads = Heads { readings: true, ..NONE };
const SENSORS: Heads = Heads { sensors: true, ..READINGS };
const FIXES: Heads = Heads { fixes: true, ..NONE };
const CASES: Heads = Heads { cases: true, ..NONE };
const RATES: Heads = Heads { cases: true, rates: true, ..NONE };
const SCORES: Heads =
    Heads { readings: true, fixes: true, roads: true, coverage: true, reach: true, scores: true, ..RATES };
const STREAMS: Heads = Heads { readings: true, fixes: true, cases: true, ..NONE };
const ROADS: Heads = Heads { fixes: true, roads: true, ..NONE };
const COVERAGE: Heads = Heads { coverage: true, ..ROADS };
const JOURNEYS: Heads = Heads { fixes: true, journeys: true, ..NONE };
const REACH: Heads = Heads { reach: true, ..NONE };
const NONE: Heads = Heads {
    readings: false,
    sensors: false,
    fixes: false,
    cases: false,
    rates: false,
    scores: false,
    roads: false,
    coverage: false,
    journeys: false,
    reach: false,
};
const ALL: Heads = Heads {
    readings: true,
    sensors: true,
    fixes: true,
    cases: true,
    rates: true,
    scores: true,
    roads: true,
    coverage: true,
    journeys: true,
    reach: true,
};

impl Heads {
    /// What `views` need.
    pub fn of(views: &[&View]) -> Self {
        views.iter().map(|view| needs(view.spec.name)).fold(NONE, |all, of| Self {
            readings: all.readings | of.readings,
            sensors: all.sensors | of.sensors,
            fixes: all.fixes | of.fixes,
            cases: all.cases | of.cases,
            rates: all.rates | of.rates,
            scores: all.scores | of.scores,
            roads: all.roads | of.roads,
            coverage: all.coverage | of.coverage,
            journeys: all.journeys | of.journeys,
            reach: all.reach | of.reach,
        })
    }
}

/// What a view looks at.
fn needs(view: &str) -> Heads {
    match view {
        "sensors" => SENSORS,
        "alerts" | "incidents" | "shadow_alerts" | "sensor_windows" => READINGS,
        "tracks" | "rejects" | "swept_lengths" => FIXES,
        "vehicles" => ROADS,
        "road_coverage" | "district_coverage" => COVERAGE,
        "trips" | "stops" | "fence_events" => JOURNEYS,
        "gps_quality" => Heads { journeys: true, ..ROADS },
        "cases" | "case_quality" => CASES,
        "case_rates" => RATES,
        "indicators" | "scores" | "score_versions" => SCORES,
        "stream_health" | "workload_scores" => STREAMS,
        "parks" | "residence_access" | "park_radius" => REACH,
        "late_ledger" | "reference" | "green_metrics" | "trees" | "care_assessments" => NONE,
        _ => ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, FIXES, Heads, NONE, RATES, ROADS, SENSORS, selected, specs_of};
    use crate::Settings;
    use crate::views::VIEWS;

    fn with(names: &[&str]) -> Settings {
        Settings { views: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..Settings::default() }
    }

    #[test]
    fn what_is_named_runs_in_the_order_of_the_lists() {
        let names = |settings: &Settings| -> Vec<&str> {
            specs_of(settings).unwrap().iter().map(|spec| spec.name).collect()
        };
        assert_eq!(
            names(&with(&["workload_scores", "cases", "alerts"])),
            ["alerts", "cases", "workload_scores"]
        );
        assert_eq!(names(&Settings::default()).len(), VIEWS.len());
        assert!(!names(&Settings::default()).contains(&"swept_lengths"));
    }

    #[test]
    fn an_unknown_view_is_an_error_that_names_the_known_ones() {
        let error = specs_of(&with(&["alert"])).unwrap_err().to_string();
        assert!(error.contains("`alert` is no view") && error.contains("alerts"), "{error}");
        assert!(specs_of(&with(&[])).is_err());
    }

    #[test]
    fn heads_run_for_those_who_need_them() {
        let heads = |names: &[&str]| Heads::of(&selected(&with(names)).unwrap());
        assert_eq!(heads(&["case_rates"]), RATES);
        assert_eq!(heads(&["scores"]), Heads { sensors: false, journeys: false, ..ALL });
        assert_eq!(heads(&["sensors", "cases"]), Heads { cases: true, ..SENSORS });
        assert_eq!(heads(&["alerts", "swept_lengths"]), Heads { readings: true, ..FIXES });
        assert_eq!(heads(&["vehicles", "trips"]), Heads { journeys: true, ..ROADS });
        assert_eq!(heads(&["reference"]), NONE);
    }
}
