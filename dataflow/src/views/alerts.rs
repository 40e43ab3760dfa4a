//! `alerts`: every episode of every live rule, with what operators did about it.
//!
//! **Meaning.** One row per alert that was ever said: [`crate::life`] over [`crate::series::verdict`] and
//! [`crate::series::silence`]. Rules that run as shadows are not here but in `shadow_alerts`.
//!
//! **Mechanism.** Kept by [`crate::life`].
//!
//! **State.** One entry per alert that has not been over for longer than the alert retention.

use std::sync::Arc;

use model::reference::Severity;
use model::reference::rule::Target;
use model::{Column, Sym, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use super::View;
use crate::operators::delta::{Delta, Keyed};
use crate::operators::publish::ViewRow;
use crate::operators::ticked::Tagged;

/// The columns of an alert, here and in `shadow_alerts`.
pub(super) const COLUMNS: &[Column] = &[
    Column::new("alert_id", Type::Text, "告警编号", "rule/sensor/metric/time raised at first."),
    Column::new("rule", Type::Text, "规则", "The rule."),
    Column::new("target", Type::Text, "对象", "The sensor, or the vehicle, case, road, tree or district."),
    Column::new("district", Type::Text, "区县", "The district of the sensor.").nullable(),
    Column::new(
        "severity",
        Type::Text,
        "级别",
        "notice, warning or severe: now, or at worst once it is over.",
    ),
    Column::new("state", Type::Text, "状态", "open, acknowledged, cleared, closed or withdrawn."),
    Column::new("raised_ts", Type::Time, "发生时间", "When the condition had held for the hold time."),
    Column::new("cleared_ts", Type::Time, "解除时间", "When it ended.").nullable(),
    Column::new("value", Type::Float, "数值", "The value when it was raised; offline: silence allowed, s."),
    Column::new("owner", Type::Text, "负责人", "Who took it, or to whom it was given.").nullable(),
    Column::new("revision", Type::Int, "版本", "Number of changes of this row, 1 for the first."),
    Column::new("reason", Type::Text, "原因", "Why the row is as it is."),
    Column::new(
        "metric",
        Type::Text,
        "指标",
        "What the rule looks at, or the occasion; null for an offline rule.",
    )
    .nullable(),
    Column::new("peak", Type::Text, "最高级别", "How bad it was at worst."),
    Column::new("site", Type::Text, "站点", "The site of the sensor.").nullable(),
    Column::new("gateway", Type::Text, "网关", "The gateway of the sensor.").nullable(),
    Column::new("times", Type::Int, "次数", "How many episodes it stands for: more than one if it flaps."),
    Column::new("shelved_until", Type::Time, "搁置至", "Until when it is shelved.").nullable(),
    Column::new("case_class", Type::Text, "案件类别", "The class of the case that it opens.").nullable(),
    Column::new("street", Type::Text, "道路", "The street of the sensor.").nullable(),
    Column::new("target_kind", Type::Text, "对象类别", "sensor, vehicle, case, road, tree or district."),
];

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "alerts",
        zh: "告警",
        doc: "Every alert of every live rule, with what operators did about it.",
        key: 1,
        columns: COLUMNS,
        bounded_by: "episodes that last or ended within the alert retention",
    },
    render: |context, id| context.publish(of(context.alerts.clone(), false), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// Only the alerts of shadows, or only those of live rules.
pub(super) fn of(alerts: Tagged<'_, Delta<AlertRow>>, shadow: bool) -> Tagged<'_, Delta<AlertRow>> {
    alerts.flat_map(move |(tick, delta)| {
        let side = |row: Option<AlertRow>| row.filter(|row| row.shadow == shadow);
        Some((tick, Delta::between(side(delta.old), side(delta.new))?))
    })
}

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRow {
    /// Its id, interned.
    pub id: Sym,
    /// The rule.
    pub rule: Sym,
    /// The sensor.
    pub target: Sym,
    /// Empty for an offline rule.
    pub metric: Sym,
    /// Empty when unknown.
    pub district: Sym,
    /// Empty when unknown.
    pub site: Sym,
    /// Empty when unknown.
    pub gateway: Sym,
    /// Empty when unknown.
    pub street: Sym,
    /// What kind of thing the target is.
    pub target_kind: Target,
    /// How bad it is; at worst, once it is over.
    pub severity: Severity,
    /// How bad it was at worst.
    pub peak: Severity,
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
    /// Until when it is shelved, Unix ms.
    pub shelved_until: Option<i64>,
    /// How many episodes it stands for.
    pub times: i64,
    /// Whether its rule only runs beside another.
    pub shadow: bool,
    /// The class of the case that it opens; empty when it opens none.
    pub case_class: Sym,
    /// Number of changes said.
    pub revision: i64,
    /// Why the row is as it is.
    pub reason: Arc<str>,
}

impl Keyed for AlertRow {
    type Key = Sym;
    fn key(&self) -> Sym {
        self.id
    }
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
    /// Whether the condition holds and nobody has closed it.
    pub fn lasts(self) -> bool {
        matches!(self, Self::Open | Self::Acknowledged)
    }

    /// The name in records and views.
    pub fn name(self) -> &'static str {
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
        out.push(Value::name_or_null(self.metric));
        out.push(Value::Literal(self.peak.name()));
        out.push(Value::name_or_null(self.site));
        out.push(Value::name_or_null(self.gateway));
        out.push(Value::Int(self.times));
        out.push(self.shelved_until.map_or(Value::Null, Value::Int));
        out.push(Value::name_or_null(self.case_class));
        out.push(Value::name_or_null(self.street));
        out.push(Value::Literal(self.target_kind.name()));
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::{BTreeMap, BTreeSet};

    use model::{ActionKind, Kind, Row, Sym, Tick};
    use serde_json::{Value as Json, json};

    use crate::life::SHELVE_MS;
    use crate::series::episodes::Episode;
    use crate::series::moments::CityTime;
    use crate::series::oracle::episodes;
    use crate::testing::{History, TICK};
    use crate::views::reference;

    /// An alert as it was said.
    #[derive(Clone)]
    pub(crate) struct Said {
        pub(crate) row: Json,
        pub(crate) shadow: bool,
        line: (Sym, Sym, Sym),
        episode: Option<Episode>,
        first_raised: i64,
        why: &'static str,
    }

    /// By id.
    pub(crate) type State = BTreeMap<String, Said>;

    fn content(history: &History, id: &str, e: &Episode, first_raised: i64) -> Json {
        let metric = if e.metric == Sym::EMPTY { "silence, s" } else { history.name(e.metric) };
        let mut reason = String::new();
        let city = CityTime::new(history.settings.utc_offset_min);
        if e.raised_ts != first_raised {
            reason = format!("re-dated from {}: ", city.say(first_raised));
        }
        reason += &match e.cleared_ts {
            None if e.occasion.is_some() => format!("{metric} since {}", city.say(e.first_ts)),
            Some(_) if e.occasion.is_some() => {
                format!("{metric} since {}, which is over", city.say(e.first_ts))
            }
            None => format!("{metric} {} held {} s", e.value, (e.raised_ts - e.first_ts) as f64 / 1000.0),
            Some(_) => format!("{metric} {} no longer holds", e.value),
        };
        if e.times > 1 {
            reason += &format!(", {} times", e.times);
        }
        if e.peak != e.severity && e.occasion.is_none() {
            reason += &format!(", was {}", e.peak.name());
        }
        json!({
            "alert_id": id,
            "rule": history.name(e.rule),
            "target": history.name(e.sensor),
            "district": history.name_or_null(e.district),
            "severity": e.severity.name(),
            "state": if e.cleared_ts.is_some() { "cleared" } else { "open" },
            "raised_ts": e.raised_ts,
            "cleared_ts": e.cleared_ts,
            "value": e.value,
            "owner": null,
            "revision": 0,
            "reason": reason,
            "metric": history.name_or_null(e.metric),
            "peak": e.peak.name(),
            "site": history.name_or_null(e.site),
            "gateway": history.name_or_null(e.gateway),
            "times": e.times,
            "shelved_until": null,
            "case_class": history.name_or_null(e.case_class),
            "street": history.name_or_null(e.street),
            "target_kind": match e.occasion.map(|occasion| occasion.name()) {
                None => "sensor",
                Some("case_overdue") => "case",
                Some("road_missed") => "road",
                Some("care_overdue") => "tree",
                Some("share_fell") => "district",
                Some(_) => "vehicle",
            },
        })
    }

    fn step(history: &History, tick: Tick, said: &State) -> State {
        let mut lines: BTreeMap<(Sym, Sym, Sym), Vec<Episode>> = BTreeMap::new();
        for said in said.values() {
            lines.entry(said.line).or_default();
        }
        for episode in episodes(history, tick) {
            lines.entry((episode.rule, episode.sensor, episode.metric)).or_default().push(episode);
        }
        let edited = |kind, id: Sym| {
            let now = reference::oracle::in_force(history, tick);
            now.get(&(kind, id)) != reference::oracle::in_force(history, tick - TICK).get(&(kind, id))
        };
        let mut state = said.clone();
        for (line, mut episodes) in lines {
            episodes.sort_by_key(|episode| episode.raised_ts);
            let mine: Vec<String> =
                state.iter().filter(|(_, said)| said.line == line).map(|(id, _)| id.clone()).collect();
            let why = || match () {
                () if edited(Kind::Rule, line.0) => "the rule was changed, and does not hold",
                () if edited(Kind::Sensor, line.1) => {
                    "the sensor's record was changed, and the rule does not hold"
                }
                () => "later data show that it never was",
            };
            let raised: BTreeSet<i64> = episodes.iter().map(|episode| episode.raised_ts).collect();
            let mut gone: Vec<(i64, String)> = Vec::new();
            let mut known: BTreeMap<i64, String> = BTreeMap::new();
            for id in &mine {
                if let Some(episode) = &state[id].episode {
                    match raised.contains(&episode.raised_ts) {
                        true => drop(known.insert(episode.raised_ts, id.clone())),
                        false => gone.push((episode.raised_ts, id.clone())),
                    }
                }
            }
            gone.sort();
            let mut fresh = Vec::new();
            for episode in episodes {
                match known.get(&episode.raised_ts) {
                    Some(id) => state.get_mut(id).unwrap().episode = Some(episode),
                    None => fresh.push(episode),
                }
            }
            for episode in fresh {
                let end = |e: &Episode| e.cleared_ts.unwrap_or(i64::MAX);
                let same = gone.iter().position(|(_, id)| {
                    let old = state[id].episode.as_ref().unwrap();
                    old.raised_ts < end(&episode) && episode.raised_ts < end(old)
                });
                if let Some(same) = same {
                    let (_, id) = gone.remove(same);
                    state.get_mut(&id).unwrap().episode = Some(episode);
                    continue;
                }
                let metric = if line.2 == Sym::EMPTY { "offline" } else { history.name(line.2) };
                let wanted = format!(
                    "{}/{}/{metric}/{}",
                    history.name(line.0),
                    history.name(line.1),
                    episode.raised_ts
                );
                let free = |id: &String| state.get(id).is_none_or(|said| said.episode.is_none());
                let id = std::iter::once(wanted.clone())
                    .chain((2..).map(|n| format!("{wanted}~{n}")))
                    .find(free)
                    .unwrap();
                let first_raised = state.get(&id).map_or(episode.raised_ts, |said| said.first_raised);
                let shadow = episode.shadow;
                let new =
                    Said { row: Json::Null, shadow, line, episode: Some(episode), first_raised, why: "" };
                let episode = new.episode.clone();
                state.entry(id).or_insert(new).episode = episode;
            }
            for (_, id) in gone {
                let said = state.get_mut(&id).unwrap();
                (said.episode, said.why) = (None, why());
            }
        }
        for (id, now) in &mut state {
            let mut row = match &now.episode {
                Some(episode) => {
                    now.shadow = episode.shadow;
                    content(history, id, episode, now.first_raised)
                }
                None => {
                    let mut row = now.row.clone();
                    (row["state"], row["reason"]) = ("withdrawn".into(), now.why.into());
                    (row["cleared_ts"], row["owner"], row["shelved_until"]) =
                        (Json::Null, Json::Null, Json::Null);
                    row
                }
            };
            act(history, tick, id, &mut row);
            let before = said.get(id);
            let revision = before.map_or(0, |said| said.row["revision"].as_i64().unwrap());
            row["revision"] = revision.into();
            // A rule that became a shadow changes where the row stands.
            if before.is_none_or(|before| before.row != row || before.shadow != now.shadow) {
                row["revision"] = (revision + 1).into();
            }
            now.row = row;
        }
        state
    }

    /// All alerts at `at`: what was said at every tick before it matters, so all of them are gone through.
    pub(crate) fn all(history: &History, at: Tick) -> State {
        let mut state = State::new();
        for tick in history.ticks(at) {
            let key = (history.until(tick).count(), tick);
            let known = history.memo.borrow().get(&key).cloned();
            state = known.unwrap_or_else(|| step(history, tick, &state));
            history.memo.borrow_mut().entry(key).or_insert_with(|| state.clone());
        }
        state
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        all(history, at).into_values().filter(|said| !said.shadow).map(|said| said.row).collect()
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
        let undone: BTreeSet<Sym> =
            actions.iter().filter(|one| one.kind == ActionKind::Undo).map(|one| one.undoes).collect();
        actions.retain(|one| one.kind == ActionKind::Undo || !undone.contains(&one.id));
        let mut last_word = None;
        for action in actions {
            let user = history.name(action.user);
            let reason = action.reason.clone();
            let mut verb = |row: &mut Json, verb: &str| {
                row["reason"] = format!("{verb} by {user}: {reason}").into();
                last_word = Some(action.kind);
            };
            match action.kind {
                ActionKind::Comment => verb(row, "comment"),
                ActionKind::Shelve => {
                    verb(row, "shelved");
                    row["shelved_until"] = action.until.unwrap_or(action.ts + SHELVE_MS).into();
                }
                ActionKind::Unshelve => {
                    verb(row, "unshelved");
                    row["shelved_until"] = Json::Null;
                }
                ActionKind::Undo => verb(row, &format!("{} undone", history.name(action.undoes))),
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
        if row["shelved_until"].as_i64().is_some_and(|until| until <= at as i64) {
            row["shelved_until"] = Json::Null;
            if last_word == Some(ActionKind::Shelve) {
                row["reason"] = "no longer shelved: its time is over".into();
            }
        }
    }
}
