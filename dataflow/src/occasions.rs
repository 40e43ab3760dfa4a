//! Occasions: what lasts of vehicles, cases, roads and trees, as episodes of the rules that ask for it.
//!
//! **Meaning.** An occasion ([`Occasion`]) has a beginning and mostly an end in event time, both functions of a row of
//! another view or of a record as they are now. A rule about it raises an episode once it has lasted as long as the
//! first level says, makes it worse where the next levels say so, and clears it at its end. A row that changes, because
//! of a late fix or a corrected case, re-dates or withdraws the episode through the same life as all alerts
//! ([`crate::life`]). Shares that fell are the exception: they move at ticks ([`crate::falls`]). Rules select by the
//! district, of the case or road too; vehicles and trees have none here. Occasions come from views that run: where `engine.views` leaves a view out, its occasions are not there.
//!
//! **Mechanism.** Changed rows become changed occasions; an occasion is held against the few rules that ask for its kind
//! when it changes, when one of them does, and when time alone raises, worsens or ends it.
//!
//! **State.** One entry per occasion that lasts or ended within the shortest retention of alerts, coverage and journeys.
//! What is over for longer stands as it was said.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::rule::{Limit, Occasion, RuleRef, Severity, Signal};
use model::{Kind, Names, Sym, Tick, Typed};
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::vec::{Filter, Map};

use crate::Settings;
use crate::casework::life::{CaseRow, Stage};
use crate::falls::{Fall, Falls};
use crate::fleet::coverage::{PlanState, RoadRow};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::keyed::KeyedState;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::reach::RadiusRow;
use crate::series::Cause;
use crate::series::episodes::Episode;
use crate::views::fence_events::EventRow;
use crate::views::reference::{CurrentRow, kind_of};
use crate::views::trips::TripRow;

/// A missed road is of interest for a day: then the next shift has come.
const MISSED_LASTS_MS: i64 = 24 * 3_600_000;

/// Something that lasts or lasted.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lasting {
    kind: Occasion,
    /// The vehicle, case, road, tree or district.
    target: Sym,
    /// The name of the kind; with the fence or the shift where there may be several at once.
    what: Sym,
    /// Empty when not known.
    district: Sym,
    /// When it began, Unix ms.
    from: i64,
    /// When it ended or will end, Unix ms.
    until: Option<i64>,
}

type Key = (Occasion, Sym, Sym, i64);

impl Lasting {
    fn key(&self) -> Key {
        (self.kind, self.target, self.what, self.from)
    }
}

/// Where occasions come from.
pub(crate) struct Sources<'s> {
    /// Trips.
    pub trips: Tagged<'s, Delta<TripRow>>,
    /// Events at fences.
    pub events: Tagged<'s, Delta<EventRow>>,
    /// Cases.
    pub cases: Tagged<'s, Delta<CaseRow>>,
    /// Coverage of roads.
    pub roads: Tagged<'s, Delta<RoadRow>>,
    /// What parks reach.
    pub radius: Tagged<'s, Delta<RadiusRow>>,
    /// Records in force; trees are looked at.
    pub current: Tagged<'s, Delta<CurrentRow>>,
}

/// Renders the operator. `rules` are at every worker.
pub(crate) fn operate<'s>(
    sources: Sources<'s>,
    rules: Tagged<'s, Delta<CurrentRow>>,
    settings: &Settings,
    names: &Arc<Names>,
) -> Tagged<'s, (Delta<Episode>, Cause)> {
    let scope = rules.scope();
    let Sources { trips, events, cases, roads, radius, current } = sources;
    let named = |kind: Occasion| names.intern(kind.name());
    let within = |kind: Occasion, names: &Names, place: Sym| {
        names.intern(&format!("{}/{}", kind.name(), names.resolve(place)))
    };
    let trips = {
        let what = named(Occasion::Overspeed);
        trips.flat_map(move |(tick, delta)| changes(tick, delta, |row| of_trip(row, what)))
    };
    let events = {
        let names = Arc::clone(names);
        events.flat_map(move |(tick, delta)| {
            changes(tick, delta, |row| of_event(row, |kind, fence| within(kind, &names, fence)))
        })
    };
    let cases = {
        let what = named(Occasion::CaseOverdue);
        cases.flat_map(move |(tick, delta)| changes(tick, delta, |row| of_case(row, what)))
    };
    let roads = {
        let names = Arc::clone(names);
        roads.flat_map(move |(tick, delta)| {
            changes(tick, delta, |row| of_road(row, |shift| within(Occasion::RoadMissed, &names, shift)))
        })
    };
    let trees = {
        let what = named(Occasion::CareOverdue);
        let trees = current.filter(|(_, delta)| kind_of(delta) == Kind::Tree);
        trees.flat_map(move |(tick, delta)| changes(tick, delta, |row| of_tree(row, what)))
    };
    let falls = {
        let (names, city) = (Arc::clone(names), names.intern("city"));
        let falls = ticked(radius, "falls", Falls::default());
        falls.map(move |(tick, fall)| {
            (tick, In::There(of_fall(&fall, within(Occasion::ShareFell, &names, fall.scheme), city)))
        })
    };
    let rules = rules.map(|(tick, delta)| (tick, In::Rule(delta)));
    let retention =
        [settings.alert_retention_ms, settings.coverage_retention_ms, settings.journey_retention_ms];
    let logic = Occasions {
        settings: settings.clone(),
        retention: retention.into_iter().flatten().min(),
        rules: BTreeMap::new(),
        known: KeyedState::default(),
    };
    ticked(scope.concatenate([trips, events, cases, roads, trees, falls, rules]), "occasions", logic)
}

fn of_trip(row: &TripRow, what: Sym) -> Vec<Lasting> {
    let trip = &row.trip;
    let until = (!trip.provisional).then_some(trip.end_ts);
    let lasting = Lasting {
        kind: Occasion::Overspeed,
        target: row.vehicle,
        what,
        district: Sym::EMPTY,
        from: trip.start_ts,
        until,
    };
    if trip.excesses > 0 { vec![lasting] } else { Vec::new() }
}

fn of_event(row: &EventRow, within: impl Fn(Occasion, Sym) -> Sym) -> Vec<Lasting> {
    use tracks::visit::Kind;
    let event = &row.event;
    let lasting = |kind| Lasting {
        kind,
        target: row.vehicle,
        what: within(kind, Sym(event.fence)),
        district: Sym::EMPTY,
        from: event.start_ts,
        until: event.end_ts,
    };
    match event.kind {
        Kind::Visit | Kind::Passage if event.overstay => {
            vec![lasting(Occasion::FenceVisit), lasting(Occasion::FenceOverstay)]
        }
        Kind::Visit | Kind::Passage => vec![lasting(Occasion::FenceVisit)],
        Kind::Deviation => vec![lasting(Occasion::RouteDeviation)],
        Kind::Missed => vec![lasting(Occasion::NeverCame)],
    }
}

fn of_case(row: &CaseRow, what: Sym) -> Vec<Lasting> {
    let Some(from) = row.deadline_ts.filter(|_| row.overdue) else { return Vec::new() };
    let until = match row.stage {
        Stage::Handled | Stage::Verified | Stage::Closed => row.handled_ts.or(Some(row.stage_ts)),
        Stage::Voided | Stage::Merged | Stage::Rejected => Some(row.stage_ts),
        Stage::Reported | Stage::Filed | Stage::Dispatched | Stage::Suspended => None,
    };
    vec![Lasting { kind: Occasion::CaseOverdue, target: row.case, what, district: row.district, from, until }]
}

fn of_road(row: &RoadRow, within: impl Fn(Sym) -> Sym) -> Vec<Lasting> {
    if !matches!(row.state, PlanState::Missed | PlanState::TooFew) {
        return Vec::new();
    }
    vec![Lasting {
        kind: Occasion::RoadMissed,
        target: row.road,
        what: within(row.shift_day.0),
        district: row.district,
        from: row.due_ts,
        until: Some(row.due_ts + MISSED_LASTS_MS),
    }]
}

fn of_fall(fall: &Fall, what: Sym, city: Sym) -> Lasting {
    let &Fall { district, from, until, .. } = fall;
    let target = district.unwrap_or(city);
    let district = district.unwrap_or(Sym::EMPTY);
    Lasting { kind: Occasion::ShareFell, target, what, district, from, until }
}

fn of_tree(row: &CurrentRow, what: Sym) -> Vec<Lasting> {
    let Typed::Tree(tree) = &row.body.typed else { return Vec::new() };
    let Some(every) = tree.every_ms else { return Vec::new() };
    let due = tree.care.iter().enumerate().map(|(n, care)| (care + every, tree.care.get(n + 1).copied()));
    let late = due.filter(|(due, next)| next.is_none_or(|next| next > *due));
    let lasting = |(from, until)| Lasting {
        kind: Occasion::CareOverdue,
        target: row.id,
        what,
        district: Sym::EMPTY,
        from,
        until,
    };
    late.map(lasting).collect()
}

/// What a changed row changes.
fn changes<R>(tick: Tick, delta: Delta<R>, of: impl Fn(&R) -> Vec<Lasting>) -> Vec<(Tick, In)> {
    let old = delta.old.as_ref().map_or_else(Vec::new, &of);
    let new = delta.new.as_ref().map_or_else(Vec::new, &of);
    let gone = old.iter().filter(|old| new.iter().all(|new| new.key() != old.key()));
    let gone = gone.map(|old| (tick, In::Gone(old.key())));
    let there = new.iter().filter(|new| !old.contains(new)).map(|new| (tick, In::There(*new)));
    gone.chain(there).collect()
}

#[derive(Clone, Debug)]
enum In {
    Rule(Delta<CurrentRow>),
    There(Lasting),
    Gone(Key),
}

#[derive(Debug, Default)]
struct Known {
    lasting: Option<Lasting>,
    /// The episode said, by rule.
    said: BTreeMap<Sym, Episode>,
}

struct Occasions {
    settings: Settings,
    /// What has been over for longer is forgotten, ms.
    retention: Option<i64>,
    rules: BTreeMap<Sym, RuleRef>,
    known: KeyedState<Key, Known>,
}

/// What `rule`, called `id`, makes of `lasting` at `now`, and when time alone changes that.
fn judge(id: Sym, rule: &RuleRef, lasting: &Lasting, now: i64) -> (Option<Episode>, Option<i64>) {
    let &Lasting { kind, target, what, district, from, until } = lasting;
    let selected = rule.selector.district == Sym::EMPTY || rule.selector.district == district;
    if rule.signal != Signal::Occasion(kind) || !rule.enabled || !selected {
        return (None, None);
    }
    let end = until.unwrap_or(i64::MAX);
    let levels = rule.levels.iter().filter_map(|level| match level.limit {
        Limit::Above { raise, .. } => Some((from + (raise * 1000.0) as i64, level.severity, raise)),
        Limit::Below { .. } => None,
    });
    let reached = levels.take_while(|(at, ..)| *at < end);
    let (mut raised, mut worst, mut next): (_, Option<Severity>, _) = (None, None, None);
    for (at, severity, after) in reached {
        if at > now {
            next = Some(at);
            break;
        }
        raised = raised.or(Some((at, after)));
        worst = worst.max(Some(severity));
    }
    let next = next.or(until.filter(|until| *until > now && raised.is_some()));
    let episode = raised.zip(worst).map(|((raised_ts, value), severity)| Episode {
        rule: id,
        sensor: target,
        metric: what,
        district,
        site: Sym::EMPTY,
        gateway: Sym::EMPTY,
        street: Sym::EMPTY,
        severity,
        peak: severity,
        first_ts: from,
        raised_ts,
        cleared_ts: until.filter(|until| *until <= now),
        value,
        times: 1,
        shadow: rule.shadow_of != Sym::EMPTY,
        case_class: rule.case_class,
        occasion: Some(kind),
    });
    (episode, next)
}

/// Says that what was `old` is `new`; whoever is told decides whether one that is raised at another time is the same.
fn say(old: Option<Episode>, new: Option<&Episode>, edited: bool, out: &mut Vec<(Delta<Episode>, Cause)>) {
    let cause = if edited { Cause::Rule } else { Cause::Data };
    let mut tell = |old, new| out.extend(Delta::between(old, new).map(|delta| (delta, cause)));
    match (old, new.cloned()) {
        (Some(old), Some(new)) if old.key() != new.key() => {
            tell(Some(old), None);
            tell(None, Some(new));
        }
        (old, new) => tell(old, new),
    }
}

impl Ticked for Occasions {
    type In = In;
    type Out = (Delta<Episode>, Cause);

    fn tick(&mut self, tick: Tick, input: &mut Vec<In>, out: &mut Vec<(Delta<Episode>, Cause)>) {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        let mut touched: HashSet<Key> = self.known.woken(tick).into_iter().collect();
        let mut edited: HashSet<Sym> = HashSet::default();
        let mut changed: HashMap<Key, Option<Lasting>> = HashMap::default();
        for input in input.drain(..) {
            match input {
                In::Rule(delta) => {
                    let Some((_, id)) = delta.key() else { continue };
                    let body = delta.new.map(|row| row.body.typed.clone());
                    let rule = match body {
                        Some(Typed::Rule(rule)) if matches!(rule.signal, Signal::Occasion(_)) => Some(*rule),
                        _ => None,
                    };
                    let old = match rule {
                        Some(rule) => self.rules.insert(id, rule),
                        None => self.rules.remove(&id),
                    };
                    if old.is_some() || self.rules.contains_key(&id) {
                        edited.insert(id);
                    }
                }
                In::There(lasting) => drop(changed.insert(lasting.key(), Some(lasting))),
                In::Gone(key) => drop(changed.entry(key).or_default()),
            }
        }
        if !edited.is_empty() {
            touched.extend(self.known.keys());
        }
        for (key, lasting) in changed {
            // What had been forgotten stands as it was said.
            if lasting.is_some() || self.known.get(key).is_some() {
                self.known.entry(key).lasting = lasting;
                touched.insert(key);
            }
        }
        let (rules, settings) = (&self.rules, &self.settings);
        let mut forgotten = Vec::new();
        for key in touched {
            let retention = self.retention;
            self.known.visit(key, |known| {
                let mut wake: Option<i64> = None;
                let mut said = std::mem::take(&mut known.said);
                for (id, rule) in rules {
                    let judged = known.lasting.as_ref().map(|lasting| judge(*id, rule, lasting, now));
                    let (new, next) = judged.unwrap_or_default();
                    wake = wake.into_iter().chain(next).min();
                    say(said.remove(id), new.as_ref(), edited.contains(id), out);
                    known.said.extend(new.map(|new| (*id, new)));
                }
                // Of rules that are no more.
                said.into_values().for_each(|old| say(Some(old), None, true, out));
                match (known.lasting.as_ref().map(|lasting| lasting.until), retention) {
                    (None, _) => forgotten.push(key),
                    (Some(Some(until)), Some(retention)) if until + retention <= now => forgotten.push(key),
                    (Some(Some(until)), Some(retention)) if until <= now => {
                        wake = wake.into_iter().chain([until + retention]).min();
                    }
                    _ => {}
                }
                wake.map(|at| settings.tick.ceil(at.max(now + 1)))
            });
        }
        for key in forgotten {
            self.known.remove(key);
        }
    }

    fn due(&self) -> Option<Tick> {
        self.known.due()
    }
}

/// Naive recomputation: from what the oracles of the other views say.
#[cfg(test)]
pub(crate) mod oracle {
    use model::reference::Limit;
    use model::reference::rule::{Occasion, RuleRef};
    use model::{Kind, Sym, Tick, Typed};
    use serde_json::Value as Json;

    use crate::series::episodes::Episode;
    use crate::testing::History;
    use crate::views::{cases, fence_events, reference, road_coverage, trips};

    const DAY: i64 = 86_400_000;

    /// Target, name, district, beginning and end of each.
    type Found = (String, String, Option<String>, i64, Option<i64>);

    fn found(history: &History, at: Tick, occasion: Occasion) -> Vec<Found> {
        let text = |row: &Json, column: &str| row[column].as_str().unwrap().to_owned();
        let time = |row: &Json, column: &str| row[column].as_i64();
        let name = occasion.name();
        let events = |wanted: &dyn Fn(&Json) -> bool| -> Vec<Found> {
            let rows = (fence_events::VIEW.oracle)(history, at).into_iter().filter(|row| wanted(row));
            let found = |row: Json| {
                let what = format!("{name}/{}", text(&row, "fence"));
                let (from, until) = (time(&row, "start_ts").unwrap(), time(&row, "end_ts"));
                (text(&row, "vehicle_id"), what, None, from, until)
            };
            rows.map(found).collect()
        };
        match occasion {
            Occasion::Overspeed => {
                let rows = (trips::VIEW.oracle)(history, at).into_iter();
                let fast = rows.filter(|row| row["overspeed_count"].as_i64().unwrap() > 0);
                let found = |row: Json| {
                    let until = time(&row, "end_ts").filter(|_| row["provisional"] == false);
                    (text(&row, "vehicle_id"), name.to_owned(), None, time(&row, "start_ts").unwrap(), until)
                };
                fast.map(found).collect()
            }
            Occasion::FenceVisit => events(&|row| row["kind"] == "visit" || row["kind"] == "passage"),
            Occasion::FenceOverstay => events(&|row| {
                row["overstay"] == true && row["kind"] != "deviation" && row["kind"] != "missed"
            }),
            Occasion::RouteDeviation => events(&|row| row["kind"] == "deviation"),
            Occasion::NeverCame => events(&|row| row["kind"] == "missed"),
            Occasion::CaseOverdue => {
                let rows = (cases::VIEW.oracle)(history, at).into_iter();
                let late = rows.filter(|row| row["overdue"] == true && !row["deadline_ts"].is_null());
                let found = |row: Json| {
                    let stage = row["stage"].as_str().unwrap();
                    let until = match stage {
                        "handled" | "verified" | "closed" => {
                            time(&row, "handled_ts").or(time(&row, "stage_ts"))
                        }
                        "voided" | "merged" | "rejected" => time(&row, "stage_ts"),
                        _ => None,
                    };
                    let district = row["district"].as_str().map(str::to_owned);
                    (
                        text(&row, "case_id"),
                        name.to_owned(),
                        district,
                        time(&row, "deadline_ts").unwrap(),
                        until,
                    )
                };
                late.map(found).collect()
            }
            Occasion::RoadMissed => {
                let rows = (road_coverage::VIEW.oracle)(history, at).into_iter();
                let missed = rows.filter(|row| row["state"] == "missed" || row["state"] == "too_few");
                let found = |row: Json| {
                    let due = time(&row, "due_ts").unwrap();
                    let what = format!("{name}/{}", text(&row, "shift"));
                    (
                        text(&row, "road"),
                        what,
                        row["district"].as_str().map(str::to_owned),
                        due,
                        Some(due + DAY),
                    )
                };
                missed.map(found).collect()
            }
            // Nobody lives in these histories: what falls is held against a look back in `falls`.
            Occasion::ShareFell => Vec::new(),
            Occasion::CareOverdue => {
                let mut found = Vec::new();
                for (id, typed) in reference::oracle::typed(history, at, Kind::Tree) {
                    let Typed::Tree(tree) = typed else { continue };
                    let Some(every) = tree.every_ms else { continue };
                    for care in &tree.care {
                        let next = tree.care.iter().copied().filter(|next| next > care).min();
                        if next.is_none_or(|next| next > care + every) {
                            found.push((
                                history.name(id).to_owned(),
                                name.to_owned(),
                                None,
                                care + every,
                                next,
                            ));
                        }
                    }
                }
                found
            }
        }
    }

    /// The episodes of a rule about an occasion.
    pub(crate) fn episodes(
        history: &History,
        at: Tick,
        id: Sym,
        rule: &RuleRef,
        occasion: Occasion,
    ) -> Vec<Episode> {
        let (now, mut episodes) = (at as i64, Vec::new());
        for (target, what, district, from, until) in found(history, at, occasion) {
            let district = district.map_or(Sym::EMPTY, |district| history.names.intern(&district));
            if rule.selector.district != Sym::EMPTY && rule.selector.district != district {
                continue;
            }
            let reached: Vec<_> = rule
                .levels
                .iter()
                .filter_map(|level| {
                    let Limit::Above { raise, .. } = level.limit else {
                        panic!("an occasion has no such limit")
                    };
                    let when = from + (raise * 1000.0) as i64;
                    (when <= now && until.is_none_or(|until| when < until)).then_some((
                        when,
                        raise,
                        level.severity,
                    ))
                })
                .collect();
            let (Some(first), Some(worst)) = (reached.first(), reached.iter().map(|level| level.2).max())
            else {
                continue;
            };
            episodes.push(Episode {
                rule: id,
                sensor: history.names.intern(&target),
                metric: history.names.intern(&what),
                district,
                site: Sym::EMPTY,
                gateway: Sym::EMPTY,
                street: Sym::EMPTY,
                severity: worst,
                peak: worst,
                first_ts: from,
                raised_ts: first.0,
                cleared_ts: until.filter(|until| *until <= now),
                value: first.1,
                times: 1,
                shadow: rule.shadow_of != Sym::EMPTY,
                case_class: rule.case_class,
                occasion: Some(occasion),
            });
        }
        episodes
    }
}
