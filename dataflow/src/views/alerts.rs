//! `alerts`: every episode of every rule, with what operators did about it.
//!
//! **Meaning.** One row per episode that was ever said ([`crate::series::episodes`], [`crate::series::silence`]). It is
//! *open* while the episode lasts, *acknowledged* once an operator says so, *cleared* when the episode ends, *closed*
//! when an operator closes it; *withdrawn* when later or corrected data show that it never was. Actions count in order
//! of `ts`, whatever order they arrive in. `revision` counts the changes of the row that have been said, so it is a
//! function of the log and its ticks.
//!
//! **Mechanism.** State by episode: the episode as the series sees it now, and the actions on it.
//!
//! **State.** One entry per episode that has not been over for longer than the alert retention, and the actions on
//! alerts that are not known (yet), for as long.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::reference::Severity;
use model::{Action, ActionKind, Column, Names, Row, Sym, Tick, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Exchange};

use super::{Context, View};
use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::publish::ViewRow;
use crate::operators::route;
use crate::operators::ticked::{Ticked, ticked};
use crate::series::episodes::Episode;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "alerts",
        zh: "告警",
        doc: "Every episode of every alert rule, with what operators did about it.",
        key: 1,
        columns: &[
            Column::new("alert_id", Type::Text, "告警编号", "rule/sensor/metric/time raised."),
            Column::new("rule", Type::Text, "规则", "The rule."),
            Column::new("target", Type::Text, "对象", "The sensor."),
            Column::new("district", Type::Text, "区县", "The district of the sensor.").nullable(),
            Column::new("severity", Type::Text, "级别", "notice, warning or severe."),
            Column::new("state", Type::Text, "状态", "open, acknowledged, cleared, closed or withdrawn."),
            Column::new(
                "raised_ts",
                Type::Time,
                "发生时间",
                "When the condition had held for the hold time.",
            ),
            Column::new("cleared_ts", Type::Time, "解除时间", "When it ended.").nullable(),
            Column::new(
                "value",
                Type::Float,
                "数值",
                "The value when it was raised; offline: silence allowed, s.",
            ),
            Column::new("owner", Type::Text, "负责人", "Who took it, or to whom it was given.").nullable(),
            Column::new("revision", Type::Int, "版本", "Number of changes of this row, 1 for the first."),
            Column::new("reason", Type::Text, "原因", "Why the row is as it is."),
        ],
        bounded_by: "episodes that last or ended within the alert retention",
    },
    render,
};

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRow {
    /// Its id, interned.
    pub id: Sym,
    /// The rule.
    pub rule: Sym,
    /// The sensor.
    pub target: Sym,
    /// Empty when unknown.
    pub district: Sym,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is in its life.
    pub state: AlertState,
    /// When it was raised, Unix ms.
    pub raised_ts: i64,
    /// When it ended, Unix ms.
    pub cleared_ts: Option<i64>,
    /// The value when it was raised.
    pub value: f64,
    /// Empty when nobody has it.
    pub owner: Sym,
    /// Number of changes said.
    pub revision: i64,
    /// Why the row is as it is.
    pub reason: Arc<str>,
}

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertState {
    /// It lasts and nobody has said that they saw it.
    Open,
    /// It lasts and somebody has seen it.
    Acknowledged,
    /// It ended by itself.
    Cleared,
    /// An operator ended it.
    Closed,
    /// It never was.
    Withdrawn,
}

impl AlertState {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Cleared => "cleared",
            Self::Closed => "closed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl ViewRow for AlertRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.id));
        out.push(Value::Name(self.rule));
        out.push(Value::Name(self.target));
        out.push(Value::name_or_null(self.district));
        out.push(Value::Literal(self.severity.name()));
        out.push(Value::Literal(self.state.name()));
        out.push(Value::Int(self.raised_ts));
        out.push(self.cleared_ts.map_or(Value::Null, Value::Int));
        out.push(Value::Float(self.value));
        out.push(Value::name_or_null(self.owner));
        out.push(Value::Int(self.revision));
        out.push(Value::Text(Arc::clone(&self.reason)));
    }
}

/// The id of an episode's alert.
pub fn alert_id(episode: &Episode, names: &Names) -> String {
    let name = |sym| names.resolve(sym);
    let metric = if episode.metric == Sym::EMPTY { "offline" } else { name(episode.metric) };
    format!("{}/{}/{}/{}", name(episode.rule), name(episode.sensor), metric, episode.raised_ts)
}

fn render(context: &mut Context<'_>, id: model::ViewId) {
    // Alerts are few: interning an id at a worker takes the names' lock once per alert, not per record.
    let names = Arc::clone(&context.names);
    let episodes = context.episodes.clone().flat_map(move |(tick, delta)| {
        let episode = delta.new.as_ref().or(delta.old.as_ref())?;
        Some((tick, In::Episode(names.intern(&alert_id(episode, &names)), delta.new)))
    });
    let actions = context.actions.clone().flat_map(|(tick, row)| match row {
        Row::Action(action) => Some((tick, In::Action(*action))),
        _ => None,
    });
    let input = episodes.concat(actions).exchange(|(_, input)| match input {
        In::Episode(id, _) => route(id.0),
        In::Action(action) => route(action.target.0),
    });
    let life = Life {
        settings: Arc::clone(&context.settings),
        names: Arc::clone(&context.names),
        alerts: KeyedState::default(),
    };
    context.publish(ticked(input, "alerts", life), id);
}

/// What the operator takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum In {
    /// The episode of this alert is now this, or never was.
    Episode(Sym, Option<Episode>),
    /// Somebody did something.
    Action(Action),
}

/// One alert.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Alert {
    episode: Option<Episode>,
    /// By time and id.
    actions: BTreeMap<(i64, Sym), Action>,
    said: Option<AlertRow>,
    /// When it changed last; what is over is kept for the retention after it.
    changed: Tick,
}

struct Life {
    settings: Arc<Settings>,
    names: Arc<Names>,
    alerts: KeyedState<Sym, Alert>,
}

impl Life {
    fn settle(&mut self, id: Sym, tick: Tick, out: &mut Vec<Delta<AlertRow>>) {
        let retention = self.settings.alert_retention_ms.and_then(|ms| u64::try_from(ms).ok());
        let Some(alert) = self.alerts.get_mut(id) else { return };
        let row =
            row_of(id, alert.episode.as_ref(), alert.said.as_ref(), alert.actions.values(), &self.names);
        let changed = match (&row, &alert.said) {
            (Some(row), Some(said)) => {
                (AlertRow { revision: said.revision, ..row.clone() } != *said).then_some(said.revision)
            }
            (Some(_), None) => Some(0),
            (None, _) => None,
        };
        if let (Some(row), Some(revision)) = (row, changed) {
            let row = AlertRow { revision: revision + 1, ..row };
            let old = alert.said.replace(row.clone());
            alert.changed = tick;
            out.push(Delta { old, new: Some(row) });
        }
        let lasts = alert.episode.as_ref().is_some_and(|episode| episode.cleared_ts.is_none());
        let Some(retention) = retention.filter(|_| !lasts) else { return };
        let ends = alert.changed + retention;
        if ends > tick {
            self.alerts.wake(id, ends);
        } else {
            out.extend(alert.said.take().map(|old| Delta { old: Some(old), new: None }));
            self.alerts.remove(id);
        }
    }
}

impl Ticked for Life {
    type In = In;
    type Out = Delta<AlertRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Delta<AlertRow>>) {
        let mut touched = self.alerts.woken(tick);
        let mut actions = Vec::new();
        for input in input.drain(..) {
            match input {
                In::Episode(id, episode) => {
                    self.alerts.entry(id).episode = episode;
                    touched.push(id);
                }
                In::Action(action) => actions.push(action),
            }
        }
        actions.sort_by_key(|action| action.pos);
        for action in actions {
            let alert = self.alerts.entry(action.target);
            alert.changed = alert.changed.max(tick);
            touched.push(action.target);
            alert.actions.retain(|(_, id), _| *id != action.id);
            alert.actions.insert((action.ts, action.id), action);
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.settle(id, tick, out);
        }
    }

    fn due(&self) -> Option<Tick> {
        self.alerts.due()
    }
}

/// The row of an alert, without its revision; `None` for actions on an alert that was never said.
fn row_of<'a>(
    id: Sym,
    episode: Option<&Episode>,
    said: Option<&AlertRow>,
    actions: impl Iterator<Item = &'a Action>,
    names: &Names,
) -> Option<AlertRow> {
    let mut row = match (episode, said) {
        (Some(episode), _) => {
            let metric =
                if episode.metric == Sym::EMPTY { "silence, s" } else { names.resolve(episode.metric) };
            let reason = match episode.cleared_ts {
                None => {
                    format!("{metric} {} held {} ms", episode.value, episode.raised_ts - episode.first_ts)
                }
                Some(_) => format!("{metric} {} no longer holds", episode.value),
            };
            AlertRow {
                id,
                rule: episode.rule,
                target: episode.sensor,
                district: episode.district,
                severity: episode.severity,
                state: if episode.cleared_ts.is_some() { AlertState::Cleared } else { AlertState::Open },
                raised_ts: episode.raised_ts,
                cleared_ts: episode.cleared_ts,
                value: episode.value,
                owner: Sym::EMPTY,
                revision: 0,
                reason: reason.into(),
            }
        }
        (None, Some(said)) => AlertRow {
            state: AlertState::Withdrawn,
            cleared_ts: None,
            owner: Sym::EMPTY,
            reason: "later data or a changed rule show that the condition did not hold".into(),
            ..said.clone()
        },
        (None, None) => return None,
    };
    for action in actions {
        let says = |what: &str| format!("{what} by {}: {}", names.resolve(action.user), action.reason).into();
        match action.kind {
            ActionKind::Ack => {
                if row.state == AlertState::Open {
                    row.state = AlertState::Acknowledged;
                    row.reason = says("acknowledged");
                }
                if row.owner == Sym::EMPTY {
                    row.owner = action.user;
                }
            }
            ActionKind::Assign => {
                row.owner = if action.assignee == Sym::EMPTY { action.user } else { action.assignee };
                row.reason = says("assigned");
            }
            ActionKind::Comment => row.reason = says("comment"),
            ActionKind::Shelve => row.reason = says("shelved"),
            ActionKind::Unshelve => row.reason = says("unshelved"),
            ActionKind::Close => {
                if row.state != AlertState::Withdrawn {
                    row.state = AlertState::Closed;
                }
                row.reason = says("closed");
            }
        }
    }
    Some(row)
}
