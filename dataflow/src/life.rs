//! The life of alerts: episodes as the series see them now, what has been said of them, and what operators did.
//!
//! **Meaning.** One alert per episode that was ever said. It is *open* while the episode lasts, *acknowledged* once an
//! operator says so, *cleared* when the episode ends, *closed* when an operator closes it; *withdrawn* when later or
//! corrected data, a changed rule or a changed sensor show that it never was. An episode that vanishes at the tick at
//! which another of the same rule and series appears that overlaps it (one without length: within which it lies) has been **re-dated**: the alert stays, with its
//! id, its owner and what was done about it. Actions count in order of `ts`, whatever order they arrive in; an `undo`
//! takes one back, and a shelf ends by itself. `revision` counts the changes of the row that have been said.
//!
//! **Mechanism.** State by rule and series: its alerts, each with the episode that it stands for. Actions go to every
//! worker, because the id of an alert does not say whose it is; they are few.
//!
//! **State.** One entry per alert that has not been over for longer than the alert retention, and the actions of as
//! long.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
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
        lines: KeyedState::default(),
        actions: KeyedState::default(),
        owners: HashMap::default(),
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
    id: Sym,
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
    lines: KeyedState<Line, Vec<Alert>>,
    /// By the id of the alert.
    actions: KeyedState<Sym, Done>,
    /// Whose the alerts of this worker are.
    owners: HashMap<Sym, Line>,
}

fn overlap(a: &Episode, b: &Episode) -> bool {
    let end = |episode: &Episode| episode.cleared_ts.unwrap_or(i64::MAX);
    a.raised_ts < end(b) && b.raised_ts < end(a)
}

impl Life {
    /// Takes in what became of the episodes of a line.
    fn change(&mut self, line: Line, changes: Vec<(Delta<Episode>, Cause)>, tick: Tick) {
        let alerts = self.lines.entry(line);
        let of = |alerts: &[Alert], raised_ts: i64| {
            let stands = |alert: &Alert| alert.episode.as_ref().is_some_and(|is| is.raised_ts == raised_ts);
            alerts.iter().position(stands)
        };
        let (mut gone, mut came) = (Vec::new(), Vec::new());
        for (delta, cause) in changes {
            match (delta.old, delta.new) {
                (Some(old), new) => {
                    let Some(at) = of(alerts, old.raised_ts) else { continue };
                    alerts[at].cause = cause;
                    match new {
                        Some(new) => alerts[at].episode = Some(new),
                        None => gone.push((old.raised_ts, at)),
                    }
                }
                (None, Some(new)) => came.push((new, cause)),
                (None, None) => {}
            }
        }
        // The same episode: its sensor went to a site that another worker judges, or it had been over for so long that it
        // was forgotten there.
        came.retain(|(episode, cause)| {
            let Some(at) = of(alerts, episode.raised_ts) else { return true };
            (alerts[at].episode, alerts[at].cause) = (Some(episode.clone()), *cause);
            gone.retain(|(_, gone)| *gone != at);
            false
        });
        gone.sort_unstable();
        came.sort_by_key(|(episode, _)| episode.raised_ts);
        for (episode, cause) in came {
            let same = gone.iter().position(|(_, at)| {
                alerts[*at].episode.as_ref().is_some_and(|there| overlap(there, &episode))
            });
            if let Some(same) = same {
                let (_, at) = gone.remove(same);
                (alerts[at].episode, alerts[at].cause) = (Some(episode), cause);
                continue;
            }
            // The id may be that of an alert that was re-dated, or of one that was withdrawn and is back.
            let wanted = alert_id(&episode, &self.names);
            let mut n = 1;
            let (id, at) = loop {
                let id = match n {
                    1 => self.names.intern(&wanted),
                    _ => self.names.intern(&format!("{wanted}~{n}")),
                };
                match alerts.iter().position(|alert| alert.id == id) {
                    Some(at) if alerts[at].episode.is_some() => n += 1,
                    at => break (id, at),
                }
            };
            match at {
                Some(at) => (alerts[at].episode, alerts[at].cause) = (Some(episode), cause),
                None => {
                    let first_raised_ts = episode.raised_ts;
                    let episode = Some(episode);
                    alerts.push(Alert { id, episode, first_raised_ts, cause, said: None, changed: tick });
                    self.owners.insert(id, line);
                }
            }
        }
        for (_, at) in gone {
            alerts[at].episode = None;
        }
    }

    /// Says what changed in the rows of a line, and forgets what has been over for long.
    fn settle(&mut self, line: Line, tick: Tick, out: &mut Vec<Delta<AlertRow>>) {
        let retention = self.settings.alert_retention_ms.and_then(|ms| u64::try_from(ms).ok());
        let Some(alerts) = self.lines.get_mut(line) else { return };
        let mut wake: Option<Tick> = None;
        let mut until = |due: Tick| wake = Some(wake.map_or(due, |wake| wake.min(due)));
        alerts.retain_mut(|alert| {
            let done = self.actions.get(alert.id);
            let actions = done.map(|done| &done.actions);
            let Some(row) = row_of(alert, actions, tick, &self.names, self.city) else { return true };
            let revision = match &alert.said {
                Some(said) if (AlertRow { revision: said.revision, ..row.clone() }) == *said => None,
                Some(said) => Some(said.revision + 1),
                None => Some(1),
            };
            if let Some(shelved) = row.shelved_until {
                until(self.settings.tick.ceil(shelved));
            }
            if let Some(revision) = revision {
                let row = AlertRow { revision, ..row };
                let old = alert.said.replace(row.clone());
                alert.changed = tick;
                out.push(Delta { old, new: Some(row) });
            }
            let lasts = alert.episode.as_ref().is_some_and(|episode| episode.cleared_ts.is_none());
            let Some(retention) = retention.filter(|_| !lasts) else { return true };
            let ends = alert.changed.max(done.map_or(0, |done| done.last)) + retention;
            if ends > tick {
                until(ends);
                return true;
            }
            out.extend(alert.said.take().map(|old| Delta { old: Some(old), new: None }));
            self.owners.remove(&alert.id);
            false
        });
        if alerts.is_empty() {
            self.lines.remove(line);
        } else if let Some(wake) = wake {
            self.lines.wake(line, wake.max(tick + 1));
        }
    }
}

impl Ticked for Life {
    type In = In;
    type Out = Delta<AlertRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<Delta<AlertRow>>) {
        let mut touched = self.lines.woken(tick);
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
            self.change(line, changes, tick);
            touched.push(line);
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
            touched.extend(self.owners.get(&target).copied());
        }
        touched.sort_unstable();
        touched.dedup();
        for line in touched {
            self.settle(line, tick, out);
        }
        // What was done about alerts that are not here (any more, or yet) is forgotten after the retention.
        for target in self.actions.woken(tick) {
            let Some(retention) = retention else { continue };
            let last = self.actions.get(target).map_or(0, |done| done.last);
            if last + retention > tick {
                self.actions.wake(target, last + retention);
            } else if self.owners.contains_key(&target) {
                self.actions.wake(target, tick + retention);
            } else {
                self.actions.remove(target);
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        self.lines.due().into_iter().chain(self.actions.due()).min()
    }
}

/// The row of an alert at `tick`, without its revision; `None` when it was never said and isn't.
fn row_of(
    alert: &Alert,
    actions: Option<&BTreeMap<(i64, Sym), Action>>,
    tick: Tick,
    names: &Names,
    city: CityTime,
) -> Option<AlertRow> {
    let mut row = match (&alert.episode, &alert.said) {
        (Some(episode), _) => AlertRow {
            id: alert.id,
            rule: episode.rule,
            target: episode.sensor,
            metric: episode.metric,
            district: episode.district,
            site: episode.site,
            gateway: episode.gateway,
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
    if episode.occasion {
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
