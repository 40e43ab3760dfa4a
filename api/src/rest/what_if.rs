//! `POST /explain/park_radius/what-if`: the shares as they would be after changes that nobody has made.
//!
//! **Meaning.** The changes are records as they would be sent to the reference stream: parks, residences and walkways, or
//! `"deleted": true`. The answer is of one tick: the sums of the districts that would change, before and after, and the
//! residences that would be served in another way, those with the most people first. Nothing is written anywhere.
//!
//! **Mechanism.** The reference data of the tick are read from the store and `green::whatif` computes what lies around the
//! changes, away from the threads that serve the live protocol. Nothing is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use green::city::{Access, Changes, Totals, Walking};
use green::whatif::{Answer, Records, what_if};
use model::reference::fields::Reader;
use model::reference::{ParkRef, RadiusSchemeRef, ResidenceRef, WalkwayRef};
use model::{Names, Sym, Tick, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::{App, aside, json as answer_json};
use crate::problem::Problem;
use crate::query::{Parameters, unknown_view};
use crate::token::Scope;
use crate::{Shared, guard};

/// Changes in one question at most.
const MAX_CHANGES: usize = 1000;
/// Residences named in an answer at most.
const MAX_RESIDENCES: usize = 100;

/// A question.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhatIf {
    /// The radius scheme; may be left out while exactly one is enabled.
    scheme: Option<String>,
    /// Records of kind park, residence or walkway, as for the reference stream; `"deleted": true` takes one away.
    changes: Vec<Json>,
}

/// The shares as they would be if parks, residences or walkways were others. Changes nothing.
#[utoipa::path(post, path = "/explain/park_radius/what-if", tag = "views",
    request_body = WhatIf,
    security(("token" = [])),
    responses(
        (status = 200, description = "Tick, scheme, districts before and after, residences that change"),
        (status = 400, description = "The body is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn ask(
    State(shared): App,
    parameters: Parameters,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    parameters.only(&[])?;
    let body = body.map_err(|e| Problem::body(&e, shared.config.max_body_bytes))?;
    let question: WhatIf =
        serde_json::from_slice(&body).map_err(|e| Problem::bad_request(format!("the body: {e}")))?;
    if question.changes.is_empty() || question.changes.len() > MAX_CHANGES {
        return Err(Problem::bad_request(format!("`changes`: expected 1 to {MAX_CHANGES} records")));
    }
    let said = aside(move || answer(&shared, &question)).await?;
    Ok(answer_json(said.to_string().into_bytes()))
}

/// A typed record of the kinds that matter here.
enum Known {
    Park(ParkRef),
    Residence(ResidenceRef),
    Walkway(WalkwayRef),
    Scheme(RadiusSchemeRef),
}

fn read(names: &Names, kind: &str, object: &Map<String, Json>) -> Option<Result<Known, String>> {
    let mut intern = |text: &str| names.intern(text);
    let reader = &mut Reader::new(object, &mut intern);
    Some(match kind {
        "park" => ParkRef::read(reader).map(Known::Park),
        "residence" => ResidenceRef::read(reader).map(Known::Residence),
        "walkway" => WalkwayRef::read(reader).map(Known::Walkway),
        "radius_scheme" => RadiusSchemeRef::read(reader).map(Known::Scheme),
        _ => return None,
    })
}

/// The records in force, the schemes among them, and the tick that they are of.
fn in_force(shared: &Shared) -> Result<(Tick, Records, BTreeMap<Sym, RadiusSchemeRef>), Problem> {
    let store = &shared.store;
    let names = store.names();
    let (view, spec) = store.view("reference").ok_or_else(|| unknown_view("reference", store.specs()))?;
    let place = |name: &str| spec.column(name).unwrap_or_default();
    let (kind_at, id_at, json_at) = (place("kind"), place("id"), place("json"));
    let snapshot = store.snapshot(view);
    let (mut records, mut schemes) = (Records::default(), BTreeMap::new());
    for row in &snapshot.rows {
        let (Some(kind), Value::Name(id), Some(text)) =
            (row.values[kind_at].as_str(names), &row.values[id_at], row.values[json_at].as_str(names))
        else {
            continue;
        };
        if !["park", "residence", "walkway", "radius_scheme"].contains(&kind) {
            continue;
        }
        let Ok(object) = serde_json::from_str::<Map<String, Json>>(text) else { continue };
        // What is in force was looked through when it came in.
        match read(names, kind, &object) {
            Some(Ok(Known::Park(park))) => drop(records.parks.insert(*id, park)),
            Some(Ok(Known::Residence(residence))) => drop(records.residences.insert(*id, residence)),
            Some(Ok(Known::Walkway(walkway))) => drop(records.walkways.insert(*id, walkway)),
            Some(Ok(Known::Scheme(scheme))) => drop(schemes.insert(*id, scheme)),
            Some(Err(_)) | None => {}
        }
    }
    Ok((snapshot.tick, records, schemes))
}

/// The changes of a question.
fn changes(names: &Names, asked: &[Json]) -> Result<Changes, Problem> {
    let mut changes = Changes::default();
    for (n, record) in asked.iter().enumerate() {
        let wrong = |detail: String| Problem::bad_request(format!("change {}: {detail}", n + 1));
        let object = record.as_object().ok_or_else(|| wrong("expected an object".into()))?;
        let text = |name: &str| object.get(name).and_then(Json::as_str);
        let kind = text("kind").ok_or_else(|| wrong("`kind` is missing".into()))?;
        let id = text("id").filter(|id| !id.is_empty()).ok_or_else(|| wrong("`id` is missing".into()))?;
        let id = names.intern(id);
        if object.get("crs").and_then(Json::as_str).is_some_and(|crs| crs != "wgs84") {
            return Err(wrong("`crs`: only wgs84 is taken here".into()));
        }
        if object.get("deleted").and_then(Json::as_bool).unwrap_or(false) {
            match kind {
                "park" => changes.parks.push((id, None)),
                "residence" => changes.residences.push((id, None)),
                "walkway" => changes.walkways.push((id, None)),
                other => {
                    return Err(wrong(format!("`kind` is `{other}`, expected park, residence or walkway")));
                }
            }
            continue;
        }
        match read(names, kind, object) {
            Some(Ok(Known::Park(park))) => changes.parks.push((id, Some(park))),
            Some(Ok(Known::Residence(residence))) => changes.residences.push((id, Some(residence))),
            Some(Ok(Known::Walkway(walkway))) => changes.walkways.push((id, Some(walkway))),
            Some(Err(reason)) => return Err(wrong(reason)),
            Some(Ok(Known::Scheme(_))) | None => {
                return Err(wrong(format!("`kind` is `{kind}`, expected park, residence or walkway")));
            }
        }
    }
    // Of several changes of one record the last counts.
    fn last<T>(list: &mut Vec<(Sym, T)>) {
        let by_id: BTreeMap<Sym, T> = list.drain(..).collect();
        list.extend(by_id);
    }
    last(&mut changes.parks);
    last(&mut changes.residences);
    last(&mut changes.walkways);
    Ok(changes)
}

fn answer(shared: &Shared, question: &WhatIf) -> Result<Json, Problem> {
    let names = shared.store.shared_names();
    let changes = changes(names, &question.changes)?;
    let (tick, records, schemes) = in_force(shared)?;
    let name = match &question.scheme {
        Some(name) => names.get(name).filter(|id| schemes.contains_key(id)).ok_or_else(|| {
            let known: Vec<&str> = schemes.keys().map(|id| names.resolve(*id)).collect();
            Problem::bad_request(format!(
                "there is no radius scheme `{name}`; there are {}",
                known.join(", ")
            ))
        })?,
        None => {
            let mut enabled = schemes.iter().filter(|(_, scheme)| scheme.enabled).map(|(id, _)| *id);
            match (enabled.next(), enabled.next()) {
                (Some(only), None) => only,
                _ => return Err(Problem::bad_request("`scheme` is missing, and not exactly one is enabled")),
            }
        }
    };
    let scheme = &schemes[&name];
    let whole = live(shared, tick, name)?.unwrap_or_else(|| whole_city(names, scheme, &records));
    let found = what_if(names, scheme, Walking::default(), &records, changes);
    Ok(write(names, tick, name, &whole, &found))
}

/// The sums of every district as the live view has them; `None` when the scheme is not enabled.
fn live(shared: &Shared, tick: Tick, scheme: Sym) -> Result<Option<BTreeMap<Sym, Totals>>, Problem> {
    let store = &shared.store;
    let names = store.names();
    let (view, spec) = store.view("park_radius").ok_or_else(|| unknown_view("park_radius", store.specs()))?;
    let snapshot = store.as_of(view, tick).map_err(|gone| Problem::gone(tick, gone.oldest))?;
    let at = |row: &crate::store::Row, name: &str| spec.column(name).map(|column| row.values[column].clone());
    let mut sums = BTreeMap::new();
    for row in snapshot.rows {
        if at(&row, "scheme") != Some(Value::Name(scheme)) {
            continue;
        }
        let district = match at(&row, "district") {
            Some(Value::Name(district)) => district,
            Some(value) if value.as_str(names) == Some("unknown") => Sym::EMPTY,
            _ => continue,
        };
        // The view shows whole millionths; they are found again exactly up to 9·10⁹ m².
        let micro = |name: &str| match at(&row, name) {
            Some(Value::Float(value)) => (value * green::coverage::MICRO).round() as i64,
            Some(Value::Int(value)) => value,
            _ => 0,
        };
        let totals = Totals {
            residences: micro("residences"),
            area: micro("residential_area"),
            covered: micro("covered_area"),
            population: micro("population"),
            covered_population: micro("covered_population"),
            walking_population: micro("walking_population"),
        };
        sums.insert(district, totals);
    }
    Ok((!sums.is_empty()).then_some(sums))
}

/// The same from the records: for a scheme that nobody keeps.
fn whole_city(names: &Arc<Names>, scheme: &RadiusSchemeRef, records: &Records) -> BTreeMap<Sym, Totals> {
    let mut city = green::city::City::new(names, scheme.clone(), Walking::default());
    city.apply(Changes {
        parks: records.parks.iter().map(|(id, park)| (*id, Some(park.clone()))).collect(),
        residences: records.residences.iter().map(|(id, home)| (*id, Some(home.clone()))).collect(),
        walkways: records.walkways.iter().map(|(id, way)| (*id, Some(way.clone()))).collect(),
    });
    city.totals().clone()
}

fn write(names: &Names, tick: Tick, scheme: Sym, whole: &BTreeMap<Sym, Totals>, found: &Answer) -> Json {
    let m2 = |micro: i64| micro as f64 / green::coverage::MICRO;
    let shares = |totals: &Totals| {
        json!({
            "residences": totals.residences, "residential_area": m2(totals.area), "covered_area": m2(totals.covered),
            "share": totals.share(), "population": m2(totals.population),
            "covered_population": m2(totals.covered_population), "population_share": totals.population_share(),
            "walking_population": m2(totals.walking_population), "walking_share": totals.walking_share(),
        })
    };
    let mut districts = Vec::new();
    let (mut city, mut city_after) = (Totals::default(), Totals::default());
    for totals in whole.values() {
        city = city.plus(*totals, 1);
        city_after = city_after.plus(*totals, 1);
    }
    for (district, more) in &found.districts {
        let before = whole.get(district).copied().unwrap_or_default();
        city_after = city_after.plus(*more, 1);
        let name = if *district == Sym::EMPTY { "unknown" } else { names.resolve(*district) };
        districts.push(
            json!({"district": name, "before": shares(&before), "after": shares(&before.plus(*more, 1))}),
        );
    }
    let mut residences: Vec<_> = found.residences.iter().collect();
    let people = |access: &Option<Arc<Access>>| access.as_ref().map_or(0.0, |access| access.population);
    residences.sort_by(|(a, old_a, new_a), (b, old_b, new_b)| {
        let most = |old, new| people(old).max(people(new));
        most(old_b, new_b).total_cmp(&most(old_a, new_a)).then(names.resolve(*a).cmp(names.resolve(*b)))
    });
    let served = |access: &Option<Arc<Access>>| {
        access.as_ref().map(|access| {
            json!({
                "population": access.population, "covered_share": access.measured.share(),
                "on_foot": access.totals.walking_population > 0,
            })
        })
    };
    let named: Vec<Json> = residences
        .iter()
        .take(MAX_RESIDENCES)
        .map(|(id, old, new)| json!({"residence_id": names.resolve(*id), "before": served(old), "after": served(new)}))
        .collect();
    json!({
        "tick": tick, "scheme": names.resolve(scheme), "districts": districts,
        "city": {"before": shares(&city), "after": shares(&city_after)},
        "residences_changed": residences.len(), "residences": named,
    })
}
