//! `incidents`: many alerts, few incidents.
//!
//! **Meaning.** Alerts of live rules that are not withdrawn, put together by place: those of offline rules by the
//! gateway of the sensor, others by its site, by its street where it has no site, and by the sensor itself (or the
//! vehicle, case, road, tree or district) where it has neither. In order of the time raised, an alert belongs to the incident before it if it was raised before that was over for longer than
//! [`GAP_MS`], and at most [`LONGEST_MS`] after its first alert; so alerts that come twice, or of several sensors and
//! rules, are one incident, and what goes on for ever is one a day. It lasts while one of its alerts is open or
//! acknowledged.
//!
//! An incident is **inhibited** when the gateways of all its lasting alerts are dead: when an offline rule says so of
//! a sensor whose id is that of the gateway. It is under **maintenance** when each of its alerts was raised in the time
//! of a `maintenance` record that names its sensor, site, gateway, street or district.
//!
//! **Mechanism.** State by place, alerts in order of the time raised. What alerts make an incident depends on nothing
//! before its first one; so a change puts together anew only from the incident that it falls into until one begins where
//! one began before.
//!
//! **State.** The alerts in `alerts`, by place, and the `maintenance` records in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::reference::rule::Target;
use model::reference::{MaintenanceRef, Severity};
use model::{Column, Kind, Names, Sym, Tick, Type, Typed, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Broadcast, Filter, Map};

use super::alerts::{self, AlertRow, AlertState};
use super::{Context, View, reference};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Ticked, ticked};
use crate::operators::{route, spread};

/// An alert raised within this time after an incident was over belongs to it, ms.
pub const GAP_MS: i64 = 15 * 60_000;
/// An incident takes alerts for this long, ms: a day. It bounds the members of a row and what a change costs.
pub const LONGEST_MS: i64 = 24 * 3_600_000;

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "incidents",
        zh: "事件",
        doc: "Alerts put together by place and time.",
        key: 1,
        columns: &[
            Column::new("incident_id", Type::Text, "事件编号", "Kind of place/place/time opened."),
            Column::new(
                "place_kind",
                Type::Text,
                "地点类型",
                "site, street, gateway, sensor, vehicle, case, road, tree or district.",
            ),
            Column::new("place", Type::Text, "地点", "Which one."),
            Column::new("district", Type::Text, "区县", "The district of its first alert.").nullable(),
            Column::new("state", Type::Text, "状态", "open, acknowledged or cleared."),
            Column::new(
                "severity",
                Type::Text,
                "级别",
                "The worst of its lasting alerts; of all, once it is over.",
            ),
            Column::new("opened_ts", Type::Time, "开始时间", "When its first alert was raised."),
            Column::new(
                "cleared_ts",
                Type::Time,
                "结束时间",
                "When its last alert was over, if that is known.",
            )
            .nullable(),
            Column::new("alerts", Type::Int, "告警数", "Number of its alerts."),
            Column::new(
                "lasting",
                Type::Int,
                "持续告警数",
                "Number of its alerts that are open or acknowledged.",
            ),
            Column::new("inhibited_by", Type::Text, "抑制", "The dead gateway that explains it.").nullable(),
            Column::new("maintenance", Type::Text, "维护", "The maintenance record that covers it.")
                .nullable(),
            Column::new("members", Type::Json, "成员", "The ids of its alerts, in order of the time raised."),
        ],
        bounded_by: "the alerts in `alerts`",
    },
    render,
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A row of the view.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentRow {
    /// Its id.
    pub id: Arc<str>,
    /// What kind of place.
    pub kind: PlaceKind,
    /// Where.
    pub place: Sym,
    /// Empty when unknown.
    pub district: Sym,
    /// `open`, `acknowledged` or `cleared`.
    pub state: AlertState,
    /// How bad it is.
    pub severity: Severity,
    /// When its first alert was raised, Unix ms.
    pub opened_ts: i64,
    /// When its last alert was over, Unix ms.
    pub cleared_ts: Option<i64>,
    /// Number of alerts.
    pub alerts: i64,
    /// Number of lasting alerts.
    pub lasting: i64,
    /// The dead gateway; empty when none.
    pub inhibited_by: Sym,
    /// The maintenance record; empty when none.
    pub maintenance: Sym,
    /// The ids of its alerts as JSON.
    pub members: Arc<str>,
}

/// What kind of place alerts are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PlaceKind {
    /// 网关.
    Gateway,
    /// 站点.
    Site,
    /// 道路.
    Street,
    /// The sensor, vehicle … itself.
    Target(Target),
}

impl PlaceKind {
    /// The name in ids and rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Site => "site",
            Self::Street => "street",
            Self::Target(target) => target.name(),
        }
    }

    /// A number that tells kinds apart, for routing.
    fn number(self) -> u32 {
        match self {
            Self::Gateway => 0,
            Self::Site => 1,
            Self::Street => 2,
            Self::Target(target) => 3 + target as u32,
        }
    }
}

type Place = (PlaceKind, Sym);

fn place_of(row: &AlertRow) -> Place {
    match row {
        AlertRow { metric: Sym::EMPTY, gateway, .. } if *gateway != Sym::EMPTY => {
            (PlaceKind::Gateway, *gateway)
        }
        AlertRow { site, .. } if *site != Sym::EMPTY => (PlaceKind::Site, *site),
        AlertRow { street, .. } if *street != Sym::EMPTY => (PlaceKind::Street, *street),
        _ => (PlaceKind::Target(row.target_kind), row.target),
    }
}

impl Keyed for IncidentRow {
    type Key = Arc<str>;
    fn key(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }
}

impl ViewRow for IncidentRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Text(Arc::clone(&self.id)));
        out.push(Value::Literal(self.kind.name()));
        out.push(Value::Name(self.place));
        out.push(Value::name_or_null(self.district));
        out.push(Value::Literal(self.state.name()));
        out.push(Value::Literal(self.severity.name()));
        out.push(Value::Int(self.opened_ts));
        out.push(self.cleared_ts.map_or(Value::Null, Value::Int));
        out.push(Value::Int(self.alerts));
        out.push(Value::Int(self.lasting));
        out.push(Value::name_or_null(self.inhibited_by));
        out.push(Value::name_or_null(self.maintenance));
        out.push(Value::Text(Arc::clone(&self.members)));
    }
}

/// What the operator takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum In {
    /// An alert of this place is now this, or is here no longer.
    Member(Place, Sym, Option<Box<AlertRow>>),
    /// An offline alert of this sensor lasts, or doesn't.
    Dead { target: Sym, alert: Sym, lasts: bool },
    /// A maintenance record.
    Maintenance(Sym, Option<MaintenanceRef>),
}

fn render(context: &mut Context<'_>, id: model::ViewId) {
    let live = alerts::of(context.alerts.clone(), false);
    let counts = |row: &&AlertRow| row.state != AlertState::Withdrawn;
    let dead = live.clone().flat_map(move |(tick, delta)| {
        let row = delta.new.as_ref().or(delta.old.as_ref()).filter(|row| row.metric == Sym::EMPTY)?;
        let lasts = delta.new.as_ref().is_some_and(|row| row.state.lasts());
        Some((tick, In::Dead { target: row.target, alert: row.id, lasts }))
    });
    let members = live.flat_map(move |(tick, delta)| {
        let old = delta.old.as_ref().filter(counts).map(|row| (place_of(row), row.id));
        let new = delta.new.as_ref().filter(counts);
        let left = old.filter(|(place, _)| new.is_none_or(|new| place_of(new) != *place));
        let left = left.map(|(place, id)| (tick, In::Member(place, id, None)));
        let is = new.map(|row| (tick, In::Member(place_of(row), row.id, Some(Box::new(row.clone())))));
        left.into_iter().chain(is)
    });
    let members = spread(members, |input| match input {
        In::Member((kind, place), ..) => route(place.0.rotate_left(3) ^ kind.number()),
        In::Dead { .. } | In::Maintenance(..) => 0,
    });
    let windows = context.current.clone().filter(|(_, delta)| reference::kind_of(delta) == Kind::Maintenance);
    let windows = windows.flat_map(|(tick, delta)| {
        let (_, id) = delta.key()?;
        let record = match delta.new.map(|row| row.body.typed.clone()) {
            Some(Typed::Maintenance(record)) => Some(record),
            _ => None,
        };
        Some((tick, In::Maintenance(id, record)))
    });
    let logic = Incidents::new(&context.names);
    let input = members.concat(dead.broadcast()).concat(windows.broadcast());
    context.publish(ticked(input, "incidents", logic), id);
}

/// The place of an alert among those of a place: when it was raised, and its id.
type Order = (i64, Arc<str>);

/// A place: its alerts, and what was said of them.
#[derive(Default)]
struct Group {
    alerts: BTreeMap<Order, AlertRow>,
    order: HashMap<Sym, Order>,
    /// By when its first alert was raised: no two incidents of a place share that.
    said: BTreeMap<i64, IncidentRow>,
}

/// Times raised, from the first to the last, at which something changed.
#[derive(Clone, Copy, Debug)]
struct Stretch(i64, i64);

impl Stretch {
    const ALL: Self = Self(i64::MIN, i64::MAX);

    fn and(self, other: Self) -> Self {
        Self(self.0.min(other.0), self.1.max(other.1))
    }
}

impl Group {
    /// An alert is now this, or is here no longer: where that changes something.
    fn put(&mut self, id: Sym, row: Option<AlertRow>, names: &Names) -> Option<Stretch> {
        let old = self.order.remove(&id);
        if let Some(old) = &old {
            self.alerts.remove(old);
        }
        let new = row.map(|row| {
            let order: Order = (row.raised_ts, names.resolve(id).into());
            self.alerts.insert(order.clone(), row);
            self.order.insert(id, order.clone());
            order
        });
        let at = |order: Order| Stretch(order.0, order.0);
        [old, new].into_iter().flatten().map(at).reduce(Stretch::and)
    }

    /// The incidents that are to be put together anew after a change, from the first time raised until the second.
    fn anew(&self, Stretch(from, to): Stretch) -> (Vec<Vec<&AlertRow>>, i64, Option<i64>) {
        let from = self.said.range(..=from).next_back().map_or(from, |(opened, _)| *opened);
        let mut parts: Vec<(i64, Vec<&AlertRow>)> = Vec::new();
        let mut until = None;
        for ((raised, _), row) in self.alerts.range((from, Arc::from(""))..) {
            let end = row.cleared_ts.unwrap_or(i64::MAX);
            match parts.last_mut() {
                Some((over, part))
                    if *raised <= over.saturating_add(GAP_MS)
                        && part.first().is_some_and(|first| *raised - first.raised_ts <= LONGEST_MS) =>
                {
                    *over = end.max(*over);
                    part.push(row);
                }
                _ if *raised > to && self.said.contains_key(raised) => {
                    until = Some(*raised);
                    break;
                }
                _ => parts.push((end, vec![row])),
            }
        }
        (parts.into_iter().map(|(_, part)| part).collect(), from, until)
    }
}

struct Incidents {
    names: Arc<Names>,
    groups: HashMap<Place, Group>,
    /// Offline alerts that last, by sensor.
    dead: HashMap<Sym, BTreeSet<Sym>>,
    windows: BTreeMap<Sym, MaintenanceRef>,
}

impl Incidents {
    fn new(names: &Arc<Names>) -> Self {
        Self {
            names: Arc::clone(names),
            groups: HashMap::default(),
            dead: HashMap::default(),
            windows: BTreeMap::new(),
        }
    }

    fn window_of(&self, row: &AlertRow) -> Option<Sym> {
        let matches = |wanted: Sym, is: Sym| wanted == Sym::EMPTY || wanted == is;
        let covers = |window: &MaintenanceRef| {
            (window.from..window.to).contains(&row.raised_ts)
                && matches(window.sensor, row.target)
                && matches(window.site, row.site)
                && matches(window.gateway, row.gateway)
                && matches(window.street, row.street)
                && matches(window.district, row.district)
        };
        let covering = self.windows.iter().filter(|(_, window)| covers(window)).map(|(id, _)| *id);
        covering.min_by_key(|id| self.names.resolve(*id))
    }

    /// What alerts of a place that belong together say.
    fn incident(&self, (kind, place): Place, part: &[&AlertRow]) -> Option<IncidentRow> {
        let opened_ts = part.first()?.raised_ts;
        let lasting: Vec<&AlertRow> = part.iter().filter(|row| row.state.lasts()).copied().collect();
        let state = match () {
            () if lasting.iter().any(|row| row.state == AlertState::Open) => AlertState::Open,
            () if lasting.is_empty() => AlertState::Cleared,
            () => AlertState::Acknowledged,
        };
        let counted = if lasting.is_empty() { part } else { &lasting };
        let severity = counted.iter().map(|row| row.severity).max()?;
        let cleared_ts = part.iter().filter_map(|row| row.cleared_ts).max().filter(|_| lasting.is_empty());
        let is_dead = |row: &&AlertRow| {
            row.gateway != row.target && self.dead.get(&row.gateway).is_some_and(|alerts| !alerts.is_empty())
        };
        let inhibited = lasting.first().filter(|_| lasting.iter().all(is_dead));
        let windows: Option<Vec<Sym>> = part.iter().map(|row| self.window_of(row)).collect();
        let ids: Vec<&str> = part.iter().map(|row| self.names.resolve(row.id)).collect();
        let place_name = self.names.resolve(place);
        Some(IncidentRow {
            id: format!("{}/{place_name}/{opened_ts}", kind.name()).into(),
            kind,
            place,
            district: part.first()?.district,
            state,
            severity,
            opened_ts,
            cleared_ts,
            alerts: part.len() as i64,
            lasting: lasting.len() as i64,
            inhibited_by: inhibited.map_or(Sym::EMPTY, |row| row.gateway),
            maintenance: windows.and_then(|windows| windows.first().copied()).unwrap_or(Sym::EMPTY),
            members: serde_json::Value::from(ids).to_string().into(),
        })
    }

    /// Puts together anew what a change of a place touches.
    fn settle(&mut self, place: Place, changed: Stretch, out: &mut Vec<Delta<IncidentRow>>) {
        let Some(group) = self.groups.get(&place) else { return };
        let (parts, from, until) = group.anew(changed);
        let new = parts.iter().filter_map(|part| self.incident(place, part));
        let mut new: BTreeMap<i64, IncidentRow> = new.map(|row| (row.opened_ts, row)).collect();
        let Some(group) = self.groups.get_mut(&place) else { return };
        let mut after = until.map_or_else(BTreeMap::new, |until| group.said.split_off(&until));
        let old = group.said.split_off(&from);
        group.said.append(&mut new.clone());
        group.said.append(&mut after);
        for (opened, old) in old {
            out.extend(Delta::between(Some(old), new.remove(&opened)));
        }
        out.extend(new.into_values().map(|row| Delta { old: None, new: Some(row) }));
        if group.alerts.is_empty() {
            self.groups.remove(&place);
        }
    }
}

impl Ticked for Incidents {
    type In = In;
    type Out = Delta<IncidentRow>;

    fn tick(&mut self, _tick: Tick, input: &mut Vec<In>, out: &mut Vec<Delta<IncidentRow>>) {
        let mut touched: HashMap<Place, Stretch> = HashMap::default();
        let mut gateways: HashSet<Sym> = HashSet::default();
        let mut windows = false;
        for input in input.drain(..) {
            match input {
                In::Member(place, id, row) => {
                    let row = row.map(|row| *row);
                    let changed = self.groups.entry(place).or_default().put(id, row, &self.names);
                    // One that was never here leaves a group without alerts, which goes again.
                    let changed = changed.unwrap_or(Stretch::ALL);
                    touched.entry(place).and_modify(|all| *all = all.and(changed)).or_insert(changed);
                }
                In::Dead { target, alert, lasts } => {
                    let alerts = self.dead.entry(target).or_default();
                    let was = alerts.is_empty();
                    if lasts {
                        alerts.insert(alert)
                    } else {
                        alerts.remove(&alert)
                    };
                    if was != alerts.is_empty() {
                        gateways.insert(target);
                    }
                    if alerts.is_empty() {
                        self.dead.remove(&target);
                    }
                }
                In::Maintenance(id, record) => {
                    match record {
                        Some(record) => self.windows.insert(id, record),
                        None => self.windows.remove(&id),
                    };
                    windows = true;
                }
            }
        }
        if windows || !gateways.is_empty() {
            let minds = |group: &Group| group.alerts.values().any(|row| gateways.contains(&row.gateway));
            let minding = self.groups.iter().filter(|(_, group)| windows || minds(group));
            touched.extend(minding.map(|(place, _)| (*place, Stretch::ALL)));
        }
        for (place, changed) in touched {
            self.settle(place, changed, out);
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}

/// Naive recomputation from the rows of `alerts`.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::{Kind, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{alerts, reference};

    const GAP: i64 = 900_000;
    const DAY: i64 = 86_400_000;

    fn lasts(row: &Json) -> bool {
        row["state"] == "open" || row["state"] == "acknowledged"
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let mut all = alerts::oracle::rows(history, at);
        all.retain(|row| row["state"] != "withdrawn");
        all.sort_by_key(|row| (row["raised_ts"].as_i64(), row["alert_id"].as_str().map(str::to_owned)));
        let dead: Vec<Json> = all
            .iter()
            .filter(|row| row["metric"].is_null() && lasts(row))
            .map(|row| row["target"].clone())
            .collect();
        let mut windows = Vec::new();
        for (id, typed) in reference::oracle::typed(history, at, Kind::Maintenance) {
            let Typed::Maintenance(window) = typed else { panic!("no maintenance") };
            windows.push((history.name(id).to_owned(), window));
        }
        windows.sort_by(|a, b| a.0.cmp(&b.0));
        let mut places: BTreeMap<(String, String), Vec<Vec<Json>>> = BTreeMap::new();
        for row in all {
            let text = |column: &str| row[column].as_str().map(str::to_owned);
            let place = match (text("metric"), text("gateway"), text("site"), text("street")) {
                (None, Some(gateway), ..) => ("gateway".to_owned(), gateway),
                (_, _, Some(site), _) => ("site".to_owned(), site),
                (.., Some(street)) => ("street".to_owned(), street),
                _ => (text("target_kind").unwrap(), text("target").unwrap()),
            };
            let incidents = places.entry(place).or_default();
            let raised = row["raised_ts"].as_i64().unwrap();
            let near = incidents.last().is_some_and(|part| {
                raised <= part[0]["raised_ts"].as_i64().unwrap() + DAY
                    && part.iter().any(|one| match one["cleared_ts"].as_i64() {
                        None => true,
                        Some(cleared) => raised <= cleared + GAP,
                    })
            });
            match incidents.last_mut() {
                Some(part) if near => part.push(row),
                _ => incidents.push(vec![row]),
            }
        }
        let mut rows = Vec::new();
        for ((kind, place), incidents) in places {
            for part in incidents {
                let lasting: Vec<&Json> = part.iter().filter(|row| lasts(row)).collect();
                let state = match () {
                    () if lasting.iter().any(|row| row["state"] == "open") => "open",
                    () if !lasting.is_empty() => "acknowledged",
                    () => "cleared",
                };
                let rank =
                    |row: &&Json| ["notice", "warning", "severe"].iter().position(|s| row["severity"] == **s);
                let counted: Vec<&Json> =
                    if lasting.is_empty() { part.iter().collect() } else { lasting.clone() };
                let worst = counted.iter().max_by_key(|row| rank(row)).unwrap();
                let cleared = part.iter().filter_map(|row| row["cleared_ts"].as_i64()).max();
                let mut inhibited = Json::Null;
                if !lasting.is_empty()
                    && lasting
                        .iter()
                        .all(|row| row["gateway"] != row["target"] && dead.contains(&row["gateway"]))
                {
                    inhibited = lasting[0]["gateway"].clone();
                }
                let window = |row: &Json| {
                    let raised = row["raised_ts"].as_i64().unwrap();
                    let found = windows.iter().find(|(_, window)| {
                        let named = [
                            (window.sensor, "target"),
                            (window.site, "site"),
                            (window.gateway, "gateway"),
                            (window.street, "street"),
                            (window.district, "district"),
                        ];
                        let fits = |(wanted, column): &(model::Sym, &str)| {
                            history.name(*wanted).is_empty() || row[*column] == history.name(*wanted)
                        };
                        window.from <= raised && raised < window.to && named.iter().all(fits)
                    });
                    found.map(|(id, _)| id.clone())
                };
                let covered = part.iter().all(|row| window(row).is_some());
                let opened = part[0]["raised_ts"].as_i64().unwrap();
                rows.push(json!({
                    "incident_id": format!("{kind}/{place}/{opened}"),
                    "place_kind": kind,
                    "place": place,
                    "district": part[0]["district"],
                    "state": state,
                    "severity": worst["severity"],
                    "opened_ts": opened,
                    "cleared_ts": if lasting.is_empty() { json!(cleared) } else { Json::Null },
                    "alerts": part.len(),
                    "lasting": lasting.len(),
                    "inhibited_by": inhibited,
                    "maintenance": if covered { json!(window(&part[0])) } else { Json::Null },
                    "members": part.iter().map(|row| row["alert_id"].clone()).collect::<Vec<_>>(),
                }));
            }
        }
        rows
    }
}
