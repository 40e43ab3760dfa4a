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
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::{Context, View};
use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Ticked, ticked};
use crate::operators::{route, spread};
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
    #[cfg(test)]
    oracle: oracle::rows,
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
    let input = spread(episodes.concat(actions), |input| match input {
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

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::reference::{Condition, RuleRef, SensorRef, Severity};
    use model::{ActionKind, Kind, Quality, Row, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{reference, sensors};

    type Test = Box<dyn Fn(f64) -> bool>;

    pub(crate) struct Episode {
        pub(crate) rule: Sym,
        pub(crate) sensor: Sym,
        pub(crate) metric: Sym,
        pub(crate) district: Sym,
        pub(crate) severity: Severity,
        first: i64,
        raised: i64,
        pub(crate) cleared: Option<i64>,
        value: f64,
    }

    /// All episodes of all rules, as the readings known at `at` and the rules in force at `at` have it.
    pub(crate) fn episodes(history: &History, at: Tick) -> Vec<Episode> {
        let (now, mut all) = (at as i64, Vec::new());
        let sensors = reference::oracle::typed(history, at, Kind::Sensor);
        let readings = sensors::oracle::readings(history, at);
        for (rule_id, rule) in reference::oracle::typed(history, at, Kind::Rule) {
            let Typed::Rule(rule) = rule else { panic!("a rule that is none") };
            if !rule.enabled {
                continue;
            }
            for (&(sensor, metric), by_time) in &readings {
                let known = match sensors.get(&sensor) {
                    Some(Typed::Sensor(known)) => Some(known),
                    _ => None,
                };
                let metric =
                    if matches!(rule.condition, Condition::Offline { .. }) { Sym::EMPTY } else { metric };
                if !selected(&rule, metric, known) {
                    continue;
                }
                let episode = |first, raised, cleared, value| Episode {
                    rule: rule_id,
                    sensor,
                    metric,
                    district: known.map_or(Sym::EMPTY, |known| known.district),
                    severity: rule.severity,
                    first,
                    raised,
                    cleared,
                    value,
                };
                if let Condition::Offline { heartbeats } = rule.condition {
                    // Once per sensor: at its first metric.
                    if readings.keys().find(|(is, _)| *is == sensor)
                        != Some(&(sensor, metric_of(&readings, sensor)))
                    {
                        continue;
                    }
                    if all.iter().any(|e: &Episode| e.rule == rule_id && e.sensor == sensor) {
                        continue;
                    }
                    let Some(heartbeat) = known.and_then(|known| known.heartbeat_s) else { continue };
                    let seconds = heartbeat * heartbeats;
                    let limit = (seconds * 1000.0) as i64;
                    let mine = readings.iter().filter(|((is, _), _)| *is == sensor);
                    let mut heard: Vec<i64> = mine.flat_map(|(_, by_time)| by_time.keys().copied()).collect();
                    heard.sort_unstable();
                    for (i, &start) in heard.iter().enumerate() {
                        match heard.get(i + 1) {
                            Some(&end) if end - start > limit => {
                                all.push(episode(start, start + limit, Some(end), seconds))
                            }
                            None if now - start > limit => {
                                all.push(episode(start, start + limit, None, seconds))
                            }
                            _ => {}
                        }
                    }
                    continue;
                }
                let points: Vec<(i64, f64)> = by_time
                    .iter()
                    .filter(|(_, (_, quality))| *quality != Quality::Bad)
                    .map(|(ts, (value, _))| (*ts, *value))
                    .collect();
                let (reached, over): (Test, Test) = match rule.condition {
                    Condition::Above { raise, clear } => {
                        (Box::new(move |v| v >= raise), Box::new(move |v| v < clear))
                    }
                    Condition::Below { raise, clear } => {
                        (Box::new(move |v| v <= raise), Box::new(move |v| v > clear))
                    }
                    Condition::Offline { .. } => continue,
                };
                let mut i = 0;
                while i < points.len() {
                    if !reached(points[i].1) {
                        i += 1;
                        continue;
                    }
                    // The run of true readings from i, and until when it is known to last.
                    let end = (i..points.len()).find(|&j| !reached(points[j].1));
                    let until = end.map_or(now.max(points[points.len() - 1].0), |end| points[end].0);
                    let (first, raised) = (points[i].0, points[i].0 + rule.hold_ms);
                    if until < raised {
                        i = end.unwrap_or(points.len());
                        continue;
                    }
                    let value = points[i..]
                        .iter()
                        .take_while(|(ts, _)| *ts < raised || *ts == first)
                        .last()
                        .unwrap()
                        .1;
                    let clears = (i + 1..points.len()).find(|&j| points[j].0 >= raised && over(points[j].1));
                    all.push(episode(first, raised, clears.map(|j| points[j].0), value));
                    i = clears.map_or(points.len(), |j| j + 1);
                }
            }
        }
        all
    }

    fn metric_of(readings: &sensors::oracle::Readings, sensor: Sym) -> Sym {
        readings.keys().find(|(is, _)| *is == sensor).unwrap().1
    }

    fn selected(rule: &RuleRef, metric: Sym, sensor: Option<&SensorRef>) -> bool {
        let kind = sensor.map_or(Sym::EMPTY, |sensor| sensor.kind);
        let district = sensor.map_or(Sym::EMPTY, |sensor| sensor.district);
        (rule.metric == Sym::EMPTY || metric == Sym::EMPTY || rule.metric == metric)
            && (rule.sensor_kind == Sym::EMPTY || rule.sensor_kind == kind)
            && (rule.district == Sym::EMPTY || rule.district == district)
    }

    fn content(history: &History, e: &Episode) -> Json {
        let (rule, sensor) = (history.name(e.rule), history.name(e.sensor));
        let offline = e.metric == Sym::EMPTY;
        let metric = if offline { "offline" } else { history.name(e.metric) };
        let what = if offline { "silence, s" } else { metric };
        let reason = match e.cleared {
            None => format!("{what} {} held {} ms", e.value, e.raised - e.first),
            Some(_) => format!("{what} {} no longer holds", e.value),
        };
        json!({
            "alert_id": format!("{rule}/{sensor}/{metric}/{}", e.raised),
            "rule": rule,
            "target": sensor,
            "district": history.name_or_null(e.district),
            "severity": e.severity.name(),
            "state": if e.cleared.is_some() { "cleared" } else { "open" },
            "raised_ts": e.raised,
            "cleared_ts": e.cleared,
            "value": e.value,
            "owner": null,
            "revision": 0,
            "reason": reason,
        })
    }

    /// The rows at `at`: what was said at every tick before it matters, so all of them are gone through.
    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut said: BTreeMap<String, Json> = BTreeMap::new();
        for tick in history.ticks(at) {
            let mut now: BTreeMap<String, Json> = BTreeMap::new();
            for episode in episodes(history, tick) {
                let row = content(history, &episode);
                now.insert(row["alert_id"].as_str().unwrap().to_owned(), row);
            }
            for (id, row) in &said {
                now.entry(id.clone()).or_insert_with(|| {
                    let mut row = row.clone();
                    row["state"] = "withdrawn".into();
                    row["reason"] =
                        "later data or a changed rule show that the condition did not hold".into();
                    (row["cleared_ts"], row["owner"]) = (Json::Null, Json::Null);
                    row
                });
            }
            for (id, row) in &mut now {
                act(history, tick, id, row);
                let before = said.get(id).map_or(0, |said| said["revision"].as_i64().unwrap());
                row["revision"] = before.into();
                if said.get(id) != Some(row) {
                    row["revision"] = (before + 1).into();
                }
            }
            said = now;
        }
        said.into_values().collect()
    }

    fn act(history: &History, at: Tick, id: &str, row: &mut Json) {
        // The last of each action id counts, in order of time.
        let mut last = BTreeMap::new();
        for (_, input) in history.until(at) {
            if let Row::Action(action) = input
                && history.name(action.target) == id
            {
                last.insert(action.id, action);
            }
        }
        let mut actions: Vec<_> = last.into_values().collect();
        actions.sort_by_key(|action| (action.ts, action.id));
        for action in actions {
            let user = history.name(action.user);
            let reason = action.reason.clone();
            let verb =
                |row: &mut Json, verb: &str| row["reason"] = format!("{verb} by {user}: {reason}").into();
            match action.kind {
                ActionKind::Comment => verb(row, "comment"),
                ActionKind::Shelve => verb(row, "shelved"),
                ActionKind::Unshelve => verb(row, "unshelved"),
                ActionKind::Assign => {
                    verb(row, "assigned");
                    let to = history.name(action.assignee);
                    row["owner"] = if to.is_empty() { user } else { to }.into();
                }
                ActionKind::Close => {
                    verb(row, "closed");
                    if row["state"] != "withdrawn" {
                        row["state"] = "closed".into();
                    }
                }
                ActionKind::Ack => {
                    if row["state"] == "open" {
                        verb(row, "acknowledged");
                        row["state"] = "acknowledged".into();
                    }
                    if row["owner"].is_null() {
                        row["owner"] = user.into();
                    }
                }
            }
        }
    }
}
