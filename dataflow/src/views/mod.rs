//! The views: one file each, with the row type, its meaning, how it is maintained, and its oracle.
//!
//! [`VIEWS`] is the table of contents. To add a view, write its file and add its line; table, JSON schema, OpenAPI and
//! live protocol derive from its [`ViewSpec`]. Operators that several views look at ([`crate::series`], [`vehicles`],
//! [`cases`], [`reference`]) are rendered once by [`Context::new`]; a view takes what it needs from there.

pub mod alerts;
pub mod care_assessments;
pub mod case_quality;
pub mod case_rates;
pub mod cases;
pub mod district_coverage;
pub mod fence_events;
pub mod gps_quality;
pub mod green_metrics;
pub mod incidents;
pub mod indicators;
pub mod late_ledger;
pub mod park_radius;
pub mod parks;
pub mod reference;
pub mod rejects;
pub mod residence_access;
pub mod road_coverage;
pub mod score_versions;
pub mod scores;
pub mod sensor_windows;
pub mod sensors;
pub mod shadow_alerts;
pub mod stops;
pub mod stream_health;
pub mod swept_lengths;
pub mod tracks;
pub mod trees;
pub mod trips;
pub mod vehicles;
pub mod workload_scores;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use model::{CaseEvent, Fix, Kind, Names, Reading, Row, StreamId, Tick, ViewId, ViewSpec};
use timely::dataflow::operators::vec::{Broadcast, Filter};
use timely::dataflow::operators::{Concat, Concatenate};
use timely::dataflow::{ProbeHandle, Scope};

use crate::operators::delta::Delta;
use crate::operators::publish::{Outbox, ViewRow, keep, publish};
use crate::operators::ticked::{Inbox, Tagged};
use crate::scores::brought;
use crate::selection::Heads;
use crate::settings::{Frames, Settings};
use crate::{fleet, journeys, life, occasions, reach, series};
use reference::CurrentRow;

/// A view: what it is to others, and how it is rendered.
pub struct View {
    /// Name, columns, key.
    pub spec: ViewSpec,
    /// Builds its part of the dataflow and publishes its rows under the id given.
    pub render: for<'s> fn(&mut Context<'s>, ViewId),
    /// What it says at a tick, recomputed from all rows by other code: no view without one.
    #[cfg(test)]
    pub oracle: crate::testing::Oracle,
}

/// All views, in the order in which frames hold them.
pub const VIEWS: &[View] = &[
    sensors::VIEW,
    alerts::VIEW,
    shadow_alerts::VIEW,
    incidents::VIEW,
    sensor_windows::VIEW,
    vehicles::VIEW,
    road_coverage::VIEW,
    district_coverage::VIEW,
    tracks::VIEW,
    trips::VIEW,
    stops::VIEW,
    fence_events::VIEW,
    gps_quality::VIEW,
    cases::VIEW,
    case_quality::VIEW,
    case_rates::VIEW,
    indicators::VIEW,
    scores::VIEW,
    score_versions::VIEW,
    parks::VIEW,
    residence_access::VIEW,
    park_radius::VIEW,
    green_metrics::VIEW,
    trees::VIEW,
    care_assessments::VIEW,
    stream_health::VIEW,
    rejects::VIEW,
    late_ledger::VIEW,
    reference::VIEW,
];

/// Views that run only where they are asked for: the questions of the reference workload that no room asks.
pub const ON_REQUEST: &[View] = &[swept_lengths::VIEW, workload_scores::VIEW];

/// The specifications of the views that run unless others are asked for, by [`ViewId`].
pub fn specs() -> Vec<ViewSpec> {
    VIEWS.iter().map(|view| view.spec).collect()
}

/// How long trips, stops and events at fences are kept: beyond the horizon nothing can be corrected any more.
fn journey_retention(settings: &Settings) -> Option<i64> {
    match (settings.journey_retention_ms, settings.horizon_ms) {
        (Some(retention), Some(horizon)) => Some(retention.min(horizon)),
        (retention, horizon) => retention.or(horizon),
    }
}

/// For `expire`: from when on what ended at `ended`, Unix ms, is kept for `retention`, so that it goes at a tick.
fn kept_from(settings: &Settings, retention: Option<i64>, ended: i64) -> Tick {
    let retention = retention.unwrap_or(0);
    settings.tick.ceil(ended.saturating_add(retention)).saturating_sub(u64::try_from(retention).unwrap_or(0))
}

/// Renders the views that run.
pub(crate) fn render_all(mut context: Context<'_>, views: &[&View]) {
    for (id, view) in (0u16..).zip(views) {
        (view.render)(&mut context, ViewId(id));
    }
}

/// The rows if they are wanted, else none: what nobody asks for is neither fed nor copied, and its operators end at once.
fn only<'scope, D: Clone + 'static>(rows: &Tagged<'scope, D>, wanted: bool) -> Tagged<'scope, D> {
    match wanted {
        true => rows.clone(),
        false => timely::dataflow::operators::generic::operator::empty(rows.scope()),
    }
}

/// The rows fed to this worker, stream by stream. The frequent ones come without a channel.
pub struct Inputs<'scope> {
    /// Readings of this worker's sensors.
    pub readings: Inbox<Reading>,
    /// Fixes of this worker's vehicles.
    pub fixes: Inbox<Fix>,
    /// Events of this worker's cases.
    pub cases: Inbox<CaseEvent>,
    /// Rows of kind `Reference`.
    pub reference: Tagged<'scope, Row>,
    /// Rows of kind `Action`.
    pub actions: Tagged<'scope, Row>,
    /// Rows of kind `Rejected` and `Late`.
    pub refused: Tagged<'scope, Row>,
    /// Rows of kind `Bound`.
    pub bound: Tagged<'scope, Row>,
}

/// Records that took the place of earlier ones: stream, partition, number.
pub type Replaced = (StreamId, u16, i64);

/// What a view may build upon.
pub struct Context<'scope> {
    /// Settings of the run.
    pub settings: Arc<Settings>,
    /// The names behind the symbols.
    pub names: Arc<Names>,
    /// Current reference data, each record at the worker of its id.
    pub current: Tagged<'scope, Delta<CurrentRow>>,
    /// Latest reading of each series.
    pub sensors: Tagged<'scope, Delta<sensors::SensorRow>>,
    /// Alerts of all rules, shadows included.
    pub alerts: Tagged<'scope, Delta<alerts::AlertRow>>,
    /// Panes of the sliding windows, one share per worker.
    pub panes: Tagged<'scope, series::panes::PaneChange>,
    /// Latest fix of each vehicle.
    pub vehicles: Tagged<'scope, Delta<vehicles::VehicleRow>>,
    /// Fixes that count, each change once, at the worker of the vehicle.
    pub track: Tagged<'scope, Delta<vehicles::TrackFix>>,
    /// Coverage of roads.
    pub road_coverage: Tagged<'scope, Delta<fleet::coverage::RoadRow>>,
    /// Coverage of districts.
    pub district_coverage: Tagged<'scope, Delta<fleet::districts::AreaRow>>,
    /// Trips, stops, events at fences, and doubts about devices.
    pub journeys: journeys::Journeys<'scope>,
    /// Fixes that are jumps.
    pub jumps: Tagged<'scope, Delta<rejects::RefusedRow>>,
    /// How parks reach residences.
    pub reach: reach::Said<'scope>,
    /// Cases.
    pub cases: Tagged<'scope, Delta<cases::CaseRow>>,
    /// What is wrong with the events of cases.
    pub case_quality: Tagged<'scope, Delta<case_quality::QualityRow>>,
    /// Counts of cases, each row at the worker of its scope.
    pub case_rates: Tagged<'scope, Delta<case_rates::RateRow>>,
    /// Indicators of all scores.
    pub indicators: Tagged<'scope, Delta<crate::scores::rows::IndicatorRow>>,
    /// Scores.
    pub scores: Tagged<'scope, Delta<crate::scores::rows::ScoreRow>>,
    /// Published versions of scores.
    pub score_versions: Tagged<'scope, Delta<crate::scores::rows::VersionRow>>,
    /// Replaced records of all streams.
    pub replaced: Tagged<'scope, Replaced>,
    /// Refused rows.
    pub refused: Tagged<'scope, Row>,
    /// What each tick bound.
    pub bound: Tagged<'scope, Row>,
    windows: Option<Tagged<'scope, Delta<sensor_windows::WindowRow>>>,
    swept: Option<swept_lengths::Swept<'scope>>,
    outbox: Rc<RefCell<Outbox>>,
    probe: ProbeHandle<Tick>,
}

impl<'scope> Context<'scope> {
    /// Renders the operators that several views share.
    pub(crate) fn new(
        inputs: Inputs<'scope>,
        settings: &Settings,
        names: &Arc<Names>,
        heads: Heads,
        worker: usize,
        outbox: &Rc<RefCell<Outbox>>,
        probe: &ProbeHandle<Tick>,
    ) -> Self {
        let settings = Arc::new(settings.clone());
        let scope: Scope<'scope, Tick> = inputs.reference.scope();
        let current = reference::render(inputs.reference, &settings);
        let of = |kinds: &'static [Kind]| {
            current.clone().filter(move |(_, delta)| kinds.contains(&reference::kind_of(delta)))
        };
        let rules = of(&[Kind::Rule]).broadcast();
        let casework = of(&[Kind::Calendar, Kind::CaseClass]).broadcast();

        let known = of(&[Kind::Sensor]).concat(rules.clone());
        let series::Said { sensors, episodes, sites, panes, replaced: replaced_readings } = series::operate(
            inputs.readings,
            known,
            inputs.bound.clone(),
            heads.sensors,
            &settings,
            names,
            worker,
        );
        let compounds = series::compound::operate(sites, rules.clone(), &settings, names);
        let vehicles::Said { vehicles, jumps, replaced: replaced_fixes, track, recalled } =
            vehicles::operate(inputs.fixes, of(&[Kind::Vehicle]), heads.roads, &settings, names);
        let asked = fleet::matches::Wanted { coverage: heads.coverage, beside: heads.journeys };
        let fleet::Said { on_road, road_coverage, district_coverage, beside } = fleet::operate(
            only(&track, heads.roads),
            recalled,
            &only(&current, heads.roads),
            asked,
            &settings,
            names,
        );
        let vehicles = vehicles::with_road(only(&vehicles, heads.roads), on_road);
        let cases = cases::operate(inputs.cases, casework, &settings, names);
        let case_rates = case_rates::operate(only(&cases.cases, heads.rates), &settings);
        let journeys = journeys::operate(
            only(&track, heads.journeys),
            only(&current, heads.journeys),
            only(&jumps, heads.journeys),
            only(&inputs.refused, heads.journeys),
            only(&beside, heads.journeys),
            &settings,
            names,
        );
        let reach = reach::operate(only(&of(reach::KINDS), heads.reach), &settings, names);
        let sources = occasions::Sources {
            trips: journeys.trips.clone(),
            events: journeys.events.clone(),
            cases: cases.cases.clone(),
            roads: road_coverage.clone(),
            radius: reach.radius.clone(),
            current: current.clone(),
        };
        let lasting = occasions::operate(sources, rules, &settings, names);
        let episodes = scope.concatenate([episodes, compounds, lasting]);
        let alerts = life::operate(episodes, inputs.actions, &settings, names);
        let brought = brought::operate(
            only(&district_coverage, heads.scores),
            only(&alerts, heads.scores),
            only(&reach.radius, heads.scores),
            &settings,
            names,
        );
        let counted = only(&case_rates, heads.scores);
        let known = only(&current, heads.scores);
        let scores = scores::operate(counted, known, brought, &settings, names, worker);
        let replaced = scope.concatenate([replaced_readings, replaced_fixes, cases.replaced]);
        Context {
            settings,
            names: Arc::clone(names),
            current,
            sensors,
            alerts,
            panes,
            vehicles,
            track,
            road_coverage,
            district_coverage,
            journeys,
            reach,
            jumps,
            cases: cases.cases,
            case_quality: cases.quality,
            case_rates,
            indicators: scores.indicators,
            scores: scores.scores,
            score_versions: scores.versions,
            replaced,
            refused: inputs.refused,
            bound: inputs.bound,
            windows: None,
            swept: None,
            outbox: Rc::clone(outbox),
            probe: probe.clone(),
        }
    }

    /// The rows of `sensor_windows`, rendered when somebody asks.
    pub fn windows(&mut self) -> Tagged<'scope, Delta<sensor_windows::WindowRow>> {
        let (panes, settings) = (&self.panes, &self.settings);
        self.windows.get_or_insert_with(|| sensor_windows::operate(panes.clone(), settings)).clone()
    }

    /// What the nearest roads say, rendered when somebody asks.
    pub fn swept(&mut self) -> swept_lengths::Swept<'scope> {
        let (track, current) = (&self.track, &self.current);
        let (settings, names) = (&self.settings, &self.names);
        self.swept
            .get_or_insert_with(|| swept_lengths::operate(track.clone(), current, settings, names))
            .clone()
    }

    /// Publishes the rows of a view.
    pub fn publish<R: ViewRow>(&self, rows: Tagged<'scope, Delta<R>>, view: ViewId) {
        match self.settings.frames {
            Frames::Changes => publish(rows, view, &self.outbox, &self.probe),
            Frames::Last => keep(rows, view, &self.outbox, &self.probe),
        }
    }
}
