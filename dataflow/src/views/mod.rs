//! The views: one file each, with the row type, its meaning, how it is maintained, and its oracle.
//!
//! [`VIEWS`] is the table of contents. To add a view, write its file and add its line; table, JSON schema, OpenAPI and
//! live protocol derive from its [`ViewSpec`]. Operators that several views look at ([`crate::series`], [`vehicles`],
//! [`cases`], [`reference`]) are rendered once by [`Context::new`]; a view takes what it needs from there.

pub mod alerts;
pub mod case_quality;
pub mod case_rates;
pub mod cases;
pub mod indicators;
pub mod late_ledger;
pub mod reference;
pub mod rejects;
pub mod score_versions;
pub mod scores;
pub mod sensor_windows;
pub mod sensors;
pub mod stream_health;
pub mod vehicles;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use model::{CaseEvent, Fix, Kind, Names, Reading, Row, StreamId, Tick, ViewId, ViewSpec};
use timely::dataflow::operators::vec::{Broadcast, Filter};
use timely::dataflow::operators::{Concat, Concatenate};
use timely::dataflow::{ProbeHandle, Scope};

use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::publish::{Outbox, ViewRow, publish};
use crate::operators::ticked::{Inbox, Tagged};
use crate::series;
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
    sensor_windows::VIEW,
    vehicles::VIEW,
    cases::VIEW,
    case_quality::VIEW,
    case_rates::VIEW,
    indicators::VIEW,
    scores::VIEW,
    score_versions::VIEW,
    stream_health::VIEW,
    rejects::VIEW,
    late_ledger::VIEW,
    reference::VIEW,
];

/// The specifications of all views, by [`ViewId`].
pub fn specs() -> Vec<ViewSpec> {
    VIEWS.iter().map(|view| view.spec).collect()
}

/// Renders every view.
pub(crate) fn render_all(mut context: Context<'_>) {
    for (id, view) in (0u16..).zip(VIEWS) {
        (view.render)(&mut context, ViewId(id));
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
    /// Episodes of all rules.
    pub episodes: Tagged<'scope, Delta<series::episodes::Episode>>,
    /// Panes of the sliding windows, one share per worker.
    pub panes: Tagged<'scope, series::panes::PaneChange>,
    /// Latest fix of each vehicle.
    pub vehicles: Tagged<'scope, Delta<vehicles::VehicleRow>>,
    /// Fixes that count, each change once, at the worker of the vehicle.
    pub track: Tagged<'scope, Delta<vehicles::TrackFix>>,
    /// Fixes that are jumps.
    pub jumps: Tagged<'scope, Delta<rejects::RefusedRow>>,
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
    /// Operators' actions.
    pub actions: Tagged<'scope, Row>,
    /// Refused rows.
    pub refused: Tagged<'scope, Row>,
    /// What each tick bound.
    pub bound: Tagged<'scope, Row>,
    outbox: Rc<RefCell<Outbox>>,
    probe: ProbeHandle<Tick>,
}

impl<'scope> Context<'scope> {
    /// Renders the operators that several views share.
    pub(crate) fn new(
        inputs: Inputs<'scope>,
        settings: &Settings,
        names: &Arc<Names>,
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
        let calendar = of(&[Kind::Calendar]).broadcast();

        let series::Said { sensors, episodes, panes, replaced: replaced_readings } =
            series::operate(inputs.readings, of(&[Kind::Sensor]).concat(rules), &settings, worker);
        let vehicles::Said { vehicles, jumps, replaced: replaced_fixes, track } =
            vehicles::operate(inputs.fixes, of(&[Kind::Vehicle]), &settings, names);
        let cases = cases::operate(inputs.cases, calendar, &settings, names);
        let case_rates = case_rates::operate(cases.cases.clone(), &settings);
        let scores = scores::operate(case_rates.clone(), current.clone(), &settings, names, worker);
        let replaced = scope.concatenate([replaced_readings, replaced_fixes, cases.replaced]);
        Context {
            settings,
            names: Arc::clone(names),
            current,
            sensors,
            episodes,
            panes,
            vehicles,
            track,
            jumps,
            cases: cases.cases,
            case_quality: cases.quality,
            case_rates,
            indicators: scores.indicators,
            scores: scores.scores,
            score_versions: scores.versions,
            replaced,
            actions: inputs.actions,
            refused: inputs.refused,
            bound: inputs.bound,
            outbox: Rc::clone(outbox),
            probe: probe.clone(),
        }
    }

    /// Publishes the rows of a view.
    pub fn publish<R: ViewRow>(&self, rows: Tagged<'scope, Delta<R>>, view: ViewId) {
        publish(rows, view, &self.outbox, &self.probe);
    }
}
