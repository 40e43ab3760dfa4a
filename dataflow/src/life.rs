//! The life of alerts: episodes as the series see them now, what has been said of them, and what operators did.
//!
//! **Meaning.** One alert per episode that was ever said. It is *open* while the episode lasts, *acknowledged* once an
//! operator says so, *cleared* when the episode ends, *closed* when an operator closes it; *withdrawn* when later or
//! corrected data, a changed rule or a changed sensor show that it never was. An episode that vanishes at the tick at
//! which another of the same rule and series appears that overlaps it (one without length: within which it lies) has been **re-dated**: the alert stays, with its
//! id, its owner and what was done about it. Actions count in order of `ts`, whatever order they arrive in; an `undo`
//! takes one back, and a shelf ends by itself. `revision` counts the changes of the row that have been said.
//!
//! **Mechanism.** State by alert, with the episode that it stands for, and an index from episodes to alerts: what changes
//! costs what it changes, however many alerts a series has had. Actions go to every worker, because the id of an alert
//! does not say whose it is; they are few.
//!
//! **State.** One entry per alert that has not been over for longer than the alert retention, and the actions of as
//! long.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
use model::reference::rule::{Occasion, Target};
use model::{Action, ActionKind, Names, Row, Sym, Tick};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Broadcast, Map};

use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::keyed::KeyedState;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::operators::{route, spread};
use crate::series::Cause;
use crate::series::episodes::Episode;
use crate::series::moments::CityTime;
use crate::views::alerts::{AlertRow, AlertState};

/// A shelf without an end of its own lasts this long, ms: 8 hours, a shift.
pub const SHELVE_MS: i64 = 8 * 3_600_000;

/// The id that an episode's alert gets: rule/sensor/metric/time raised.
pub fn alert_id(episode: &Episode, names: &Names) -> String {
    let name = |sym| names.resolve(sym);
    let metric = if episode.metric == Sym::EMPTY { "offline" } else { name(episode.metric) };
    format!("{}/{}/{}/{}", name(episode.rule), name(episode.sensor), metric, episode.raised_ts)
}

/// Renders the operator.
pub fn operate<'s>(
    episodes: Tagged<'s, (Delta<Episode>, Cause)>,
    actions: Tagged<'s, Row>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
) -> Tagged<'s, Delta<AlertRow>> {
    let episodes = episodes.map(|(tick, (delta, cause))| (tick, In::Episode(Box::new(delta), cause)));
    let episodes = spread(episodes, |input| match input {
        In::Episode(delta, _) => {
            let key = delta.key().map_or((Sym::EMPTY, Sym::EMPTY), |(rule, sensor, ..)| (rule, sensor));
            route(key.0.0 ^ key.1.0.rotate_left(16))
        }
        In::Action(_) => 0,
    });
    let actions = actions.flat_map(|(tick, row)| match row {
        Row::Action(action) => Some((tick, In::Action(action))),
        _ => None,
    });
    let life = Life {
        settings: Arc::clone(settings),
        names: Arc::clone(names),
        city: CityTime::new(settings.utc_offset_min),
        alerts: KeyedState::default(),
        standing: HashMap::default(),
        actions: KeyedState::default(),
    };
    ticked(episodes.concat(actions.broadcast()), "alerts", life)
}

/// What the operator takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum In {
    /// An episode began, changed or never was.
    Episode(Box<Delta<Episode>>, Cause),
    /// Somebody did something.
    Action(Box<Action>),
}

/// Rule, sensor and metric.
type Line = (Sym, Sym, Sym);

/// One alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Alert {
    line: Line,
    /// The episode that it stands for; `None` when it never was.
    episode: Option<Episode>,
    /// When it was first said to have been raised.
    first_raised_ts: i64,
    /// Why the episode changed last.
    cause: Cause,
    said: Option<AlertRow>,
    /// When it changed last; what is over is kept for the retention after it.
    changed: Tick,
}

/// The actions on one alert.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Done {
    /// By time and id.
    actions: BTreeMap<(i64, Sym), Action>,
    /// When the last one came.
    last: Tick,
}

struct Life {
    settings: Arc<Settings>,
    names: Arc<Names>,
    city: CityTime,
    /// By id; `None` only while one is made.
    alerts: KeyedState<Sym, Option<Alert>>,
    /// Which alert stands for the episode of a line that was raised then.
    standing: HashMap<(Line, i64), Sym>,
    /// By the id of the alert.
    actions: KeyedState<Sym, Done>,
}

fn overlap(a: &Episode, b: &Episode) -> bool {
    let end = |episode: &Episode| episode.cleared_ts.unwrap_or(i64::MAX);
    a.raised_ts < end(b) && b.raised_ts < end(a)
}

impl Life {
    fn alert(&mut self, id: Sym) -> Option<&mut Alert> {
        self.alerts.get_mut(id)?.as_mut()
    }

    /// The alert `id` stands for `episode` from now on.
    fn stand(&mut self, id: Sym, episode: Episode, cause: Cause) {
        let Some(alert) = self.alert(id) else { return };
        let line = alert.line;
        let was = alert.episode.replace(episode.clone()).map(|was| was.raised_ts);
        alert.cause = cause;
        if let Some(was) = was.filter(|was| *was != episode.raised_ts)
            && self.standing.get(&(line, was)) == Some(&id)
        {
            self.standing.remove(&(line, was));
        }
        self.standing.insert((line, episode.raised_ts), id);
    }

    /// Takes in what became of the episodes of a line; pushes the alerts that they touch.
    fn change(
        &mut self,
        line: Line,
        changes: Vec<(Delta<Episode>, Cause)>,
        tick: Tick,
        touched: &mut Vec<Sym>,
    ) {
        let (mut gone, mut came) = (Vec::new(), Vec::new());
        for (delta, cause) in changes {
            match (delta.old, delta.new) {
                (Some(old), new) => {
                    let Some(&id) = self.standing.get(&(line, old.raised_ts)) else { continue };
                    touched.push(id);
                    match new {
                        Some(new) => self.stand(id, new, cause),
                        None => {
                            gone.push((old.raised_ts, id));
                            self.alert(id).into_iter().for_each(|alert| alert.cause = cause);
                        }
                    }
                }
                (None, Some(new)) => came.push((new, cause)),
                (None, None) => {}
            }
        }
        // The same episode: its sensor went to a site that another worker judges, or it had been over for so long that it
        // was forgotten there.
        came.retain(|(episode, cause)| {
            let Some(&id) = self.standing.get(&(line, episode.raised_ts)) else { return true };
            self.stand(id, episode.clone(), *cause);
            touched.push(id);
            gone.retain(|(_, gone)| *gone != id);
            false
        });
        gone.sort_unstable();
        came.sort_by_key(|(episode, _)| episode.raised_ts);
        for (episode, cause) in came {
            let same = gone.iter().position(|(_, id)| {
                let there = self.alerts.get(*id).and_then(|alert| alert.as_ref()?.episode.as_ref());
                there.is_some_and(|there| overlap(there, &episode))
            });
            let id = match same {
                Some(same) => gone.remove(same).1,
                None => self.open(line, &episode, cause, tick),
            };
            self.stand(id, episode, cause);
            touched.push(id);
        }
        for (raised_ts, id) in gone {
            self.standing.remove(&(line, raised_ts));
            self.alert(id).into_iter().for_each(|alert| alert.episode = None);
        }
    }

    /// The alert that is to stand for a new episode. The id may be that of an alert that was re-dated, or of one that
    /// was withdrawn and is back.
    fn open(&mut self, line: Line, episode: &Episode, cause: Cause, tick: Tick) -> Sym {
        let wanted = alert_id(episode, &self.names);
        let mut n = 1;
        loop {
            let id = match n {
                1 => self.names.intern(&wanted),
                _ => self.names.intern(&format!("{wanted}~{n}")),
            };
            match self.alerts.entry(id) {
                Some(alert) if alert.episode.is_some() => n += 1,
                Some(_) => return id,
                none => {
                    let first_raised_ts = episode.raised_ts;
                    *none = Some(Alert {
                        line,
                        episode: None,
                        first_raised_ts,
                        cause,
                        said: None,
                        changed: tick,
                    });
                    return id;
                }
            }
        }
    }

    /// Says what changed in the row of an alert, and forgets it when it has been over for long.
    fn settle(&mut self, id: Sym, tick: Tick, out: &mut Vec<Delta<AlertRow>>) {
        let Some(Some(alert)) = self.alerts.get_mut(id) else { return };
        let done = self.actions.get(id);
        let actions = done.map(|done| &done.actions);
        let Some(row) = row_of(id, alert, actions, tick, &self.names, self.city) else { return };
        let revision = match &alert.said {
            Some(said) if (AlertRow { revision: said.revision, ..row.clone() }) == *said => None,
            Some(said) => Some(said.revision + 1),
            None => Some(1),
        };
        let mut wake = row.shelved_until.map(|shelved| self.settings.tick.ceil(shelved));
        if let Some(revision) = revision {
            let row = AlertRow { revision, ..row };
            let old = alert.said.replace(row.clone());
            alert.changed = tick;
            out.push(Delta { old, new: Some(row) });
        }
        let lasts = alert.episode.as_ref().is_some_and(|episode| episode.cleared_ts.is_none());
        let retention = self.settings.alert_retention_ms.and_then(|ms| u64::try_from(ms).ok());
        if let Some(retention) = retention.filter(|_| !lasts) {
            let ends = alert.changed.max(done.map_or(0, |done| done.last)) + retention;
            if ends <= tick {
                out.extend(alert.said.take().map(|old| Delta { old: Some(old), new: None }));
                let stood = alert.episode.as_ref().map(|episode| (alert.line, episode.raised_ts));
                if let Some(stood) = stood {
                    self.standing.remove(&stood);
                }
                self.alerts.remove(id);
                return;
            }
            wake = Some(wake.map_or(ends, |wake| wake.min(ends)));
        }
        if let Some(wake) = wake {
            self.alerts.wake(id, wake.max(tick + 1));
        }
    }
}

impl Ticked for Life {
    type In = In;
    type Out = Delta<AlertRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Delta<AlertRow>>) {
        let mut touched = self.alerts.woken(tick);
        let mut changes: HashMap<Line, Vec<(Delta<Episode>, Cause)>> = HashMap::default();
        let mut actions = Vec::new();
        for input in input.drain(..) {
            match input {
                In::Episode(delta, cause) => {
                    let Some((rule, sensor, metric, _)) = delta.key() else { continue };
                    changes.entry((rule, sensor, metric)).or_default().push((*delta, cause));
                }
                In::Action(action) => actions.push(*action),
            }
        }
        for (line, changes) in changes {
            self.change(line, changes, tick, &mut touched);
        }
        actions.sort_by_key(|action| action.pos);
        let retention = self.settings.alert_retention_ms.and_then(|ms| u64::try_from(ms).ok());
        for action in actions {
            let target = action.target;
            let done = self.actions.entry(target);
            done.actions.retain(|(_, id), _| *id != action.id);
            done.actions.insert((action.ts, action.id), action);
            done.last = tick;
            if let Some(retention) = retention {
                self.actions.wake(target, tick + retention);
            }
            touched.push(target);
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.settle(id, tick, out);
        }
        // What was done about alerts that are not here (any more, or yet) is forgotten after the retention.
        for target in self.actions.woken(tick) {
            let Some(retention) = retention else { continue };
            let last = self.actions.get(target).map_or(0, |done| done.last);
            if last + retention > tick {
                self.actions.wake(target, last + retention);
            } else if self.alerts.get(target).is_some() {
                self.actions.wake(target, tick + retention);
            } else {
                self.actions.remove(target);
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        self.alerts.due().into_iter().chain(self.actions.due()).min()
    }
}

/// The row of an alert at `tick`, without its revision; `None` when it was never said and isn't.
fn row_of(
    id: Sym,
    alert: &Alert,
    actions: Option<&BTreeMap<(i64, Sym), Action>>,
    tick: Tick,
    names: &Names,
    city: CityTime,
) -> Option<AlertRow> {
    let mut row = match (&alert.episode, &alert.said) {
        (Some(episode), _) => AlertRow {
            id,
            rule: episode.rule,
            target: episode.sensor,
            metric: episode.metric,
            district: episode.district,
            site: episode.site,
            gateway: episode.gateway,
            street: episode.street,
            target_kind: episode.occasion.map_or(Target::Sensor, Occasion::target),
            severity: episode.severity,
            peak: episode.peak,
            state: if episode.cleared_ts.is_some() { AlertState::Cleared } else { AlertState::Open },
            raised_ts: episode.raised_ts,
            cleared_ts: episode.cleared_ts,
            value: episode.value,
            owner: Sym::EMPTY,
            shelved_until: None,
            times: i64::from(episode.times),
            shadow: episode.shadow,
            case_class: episode.case_class,
            revision: 0,
            reason: reason(episode, alert.first_raised_ts, names, city).into(),
        },
        (None, Some(said)) => AlertRow {
            state: AlertState::Withdrawn,
            cleared_ts: None,
            owner: Sym::EMPTY,
            shelved_until: None,
            reason: match alert.cause {
                Cause::Data => "later data show that it never was",
                Cause::Rule => "the rule was changed, and does not hold",
                Cause::Sensor => "the sensor's record was changed, and the rule does not hold",
            }
            .into(),
            ..said.clone()
        },
        (None, None) => return None,
    };
    let Some(actions) = actions else { return Some(row) };
    let undone: Vec<Sym> =
        actions.values().filter(|one| one.kind == ActionKind::Undo).map(|one| one.undoes).collect();
    // Whether the last thing that was said is that it is shelved.
    let mut said_shelved = false;
    for action in actions.values() {
        if action.kind != ActionKind::Undo && undone.contains(&action.id) {
            continue;
        }
        let user = names.resolve(action.user);
        let mut says = |row: &mut AlertRow, what: &str| {
            row.reason = format!("{what} by {user}: {}", action.reason).into();
            said_shelved = action.kind == ActionKind::Shelve;
        };
        match action.kind {
            ActionKind::Ack => {
                if row.state == AlertState::Open {
                    row.state = AlertState::Acknowledged;
                    says(&mut row, "acknowledged");
                }
                if row.owner == Sym::EMPTY {
                    row.owner = action.user;
                }
            }
            ActionKind::Assign => {
                row.owner = if action.assignee == Sym::EMPTY { action.user } else { action.assignee };
                says(&mut row, "assigned");
            }
            ActionKind::Comment => says(&mut row, "comment"),
            ActionKind::Shelve => {
                row.shelved_until = Some(action.until.unwrap_or(action.ts + SHELVE_MS));
                says(&mut row, "shelved");
            }
            ActionKind::Unshelve => {
                row.shelved_until = None;
                says(&mut row, "unshelved");
            }
            ActionKind::Close => {
                if row.state != AlertState::Withdrawn {
                    row.state = AlertState::Closed;
                }
                says(&mut row, "closed");
            }
            ActionKind::Undo => says(&mut row, &format!("{} undone", names.resolve(action.undoes))),
        }
    }
    if row.shelved_until.is_some_and(|until| until <= tick as i64) {
        row.shelved_until = None;
        if said_shelved {
            row.reason = "no longer shelved: its time is over".into();
        }
    }
    Some(row)
}

/// What can be said of an episode itself.
fn reason(episode: &Episode, first_raised_ts: i64, names: &Names, city: CityTime) -> String {
    let mut text = String::new();
    if episode.raised_ts != first_raised_ts {
        text = format!("re-dated from {}: ", city.say(first_raised_ts));
    }
    if episode.occasion.is_some() {
        text += &format!("{} since {}", names.resolve(episode.metric), city.say(episode.first_ts));
        if episode.cleared_ts.is_some() {
            text += ", which is over";
        }
        return text;
    }
    let metric = if episode.metric == Sym::EMPTY { "silence, s" } else { names.resolve(episode.metric) };
    let held = (episode.raised_ts - episode.first_ts) as f64 / 1000.0;
    match episode.cleared_ts {
        None => text += &format!("{metric} {} held {held} s", episode.value),
        Some(_) => text += &format!("{metric} {} no longer holds", episode.value),
    }
    if episode.times > 1 {
        text += &format!(", {} times", episode.times);
    }
    if episode.peak > episode.severity {
        text += &format!(", was {}", episode.peak.name());
    }
    text
}
