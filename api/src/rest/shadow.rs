//! How a candidate rule compares with the live one: `GET /explain/rules/{id}/shadow`.
//!
//! **Meaning.** The candidates are the rules whose record says `shadow_of` this rule. Over a span of time, an alert of one
//! side has a counterpart if the other side has one of the same target and metric that overlaps it in time. Withdrawn
//! alerts count for nothing. All of it is of one tick.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use foldhash::HashMap;
use model::{Tick, Value, ViewSpec};
use serde_json::{Value as Json, json};

use super::{App, Path, aside, json as answer_json};
use crate::problem::Problem;
use crate::query::{Parameters, unknown_view};
use crate::store::Snapshot;
use crate::token::Scope;
use crate::{Shared, guard};

/// Alerts of each kind that an answer names at most; it counts all.
const NAMED: usize = 1000;

/// An alert, as far as it matters here.
struct Alert {
    id: String,
    target: String,
    metric: String,
    from: i64,
    to: i64,
}

impl Alert {
    /// Whether it overlaps another one of its series.
    fn meets(&self, other: &Alert) -> bool {
        // An alert that ended as it was raised is a moment.
        let end = |alert: &Alert| alert.to.max(alert.from.saturating_add(1));
        self.from < end(other) && other.from < end(self)
    }
}

/// The difference between a live rule and the candidates that run beside it: whose alerts overlap, and which only one
/// side has.
#[utoipa::path(get, path = "/explain/rules/{id}/shadow", tag = "views",
    params(
        ("id" = String, Path, description = "The live rule"),
        ("from" = Option<i64>, Query, description = "Alerts that lasted at or after this time, Unix ms; default: all"),
        ("to" = Option<i64>, Query, description = "Alerts raised before this time, Unix ms; default: all"),
    ),
    responses(
        (status = 200, description = "One entry per candidate", body = serde_json::Value),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such rule, or no candidate", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn shadow(
    State(shared): App,
    Path(id): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    parameters.only(&["from", "to"])?;
    let time = |name: &str, default: i64| match parameters.get(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<i64>()
            .map_err(|_| Problem::bad_request(format!("`{name}` is `{text}`, expected Unix ms"))),
    };
    let (from, to) = (time("from", i64::MIN)?, time("to", i64::MAX)?);
    let body = aside(move || compare(&shared, &id, from, to)).await?;
    Ok(answer_json(body.to_string().into_bytes()))
}

fn read(shared: &Shared, name: &str, tick: Tick) -> Result<(ViewSpec, Snapshot), Problem> {
    let store = &shared.store;
    let (view, spec) = store.view(name).ok_or_else(|| unknown_view(name, store.specs()))?;
    let rows =
        store.as_of(view, tick).map_err(|_| Problem::not_found(format!("tick {tick} is no longer held")))?;
    Ok((*spec, rows))
}

fn compare(shared: &Arc<Shared>, id: &str, from: i64, to: i64) -> Result<Json, Problem> {
    let (tick, _) = shared.store.now();
    let candidates = candidates(shared, id, tick)?;
    let live = alerts(shared, "alerts", id, tick, (from, to))?;
    let mut answers = Vec::new();
    for candidate in candidates {
        let shadow = alerts(shared, "shadow_alerts", &candidate, tick, (from, to))?;
        let (only_live, only_shadow) = (alone(&live, &shadow), alone(&shadow, &live));
        answers.push(json!({
            "rule": candidate,
            "live_alerts": live.len(),
            "shadow_alerts": shadow.len(),
            "both": live.len() - only_live.len(),
            "only_live": only_live.len(),
            "only_shadow": only_shadow.len(),
            "only_live_ids": only_live.into_iter().take(NAMED).collect::<Vec<_>>(),
            "only_shadow_ids": only_shadow.into_iter().take(NAMED).collect::<Vec<_>>(),
        }));
    }
    Ok(json!({ "rule": id, "tick": tick, "candidates": answers }))
}

/// The ids of our alerts that have no counterpart among theirs.
fn alone(ours: &[Alert], theirs: &[Alert]) -> Vec<String> {
    let mut by_series: HashMap<(&str, &str), Vec<&Alert>> = HashMap::default();
    for alert in theirs {
        by_series.entry((&alert.target, &alert.metric)).or_default().push(alert);
    }
    let meets = |alert: &&Alert| {
        let same = by_series.get(&(alert.target.as_str(), alert.metric.as_str()));
        same.is_some_and(|same| same.iter().any(|other| alert.meets(other)))
    };
    ours.iter().filter(|alert| !meets(alert)).map(|alert| alert.id.clone()).collect()
}

/// The rules that run beside `id`.
fn candidates(shared: &Shared, id: &str, tick: Tick) -> Result<Vec<String>, Problem> {
    let (spec, snapshot) = read(shared, "reference", tick)?;
    let names = shared.store.names();
    let place =
        |name: &str| spec.column(name).ok_or_else(|| Problem::not_found(format!("reference has no {name}")));
    let (kind, rule, json) = (place("kind")?, place("id")?, place("json")?);
    let (mut known, mut candidates) = (false, Vec::new());
    for row in &snapshot.rows {
        let text = |at: usize| row.values[at].as_str(names);
        if text(kind) != Some("rule") {
            continue;
        }
        known |= text(rule) == Some(id);
        let record: Option<Json> = text(json).and_then(|text| serde_json::from_str(text).ok());
        if let (Some(record), Some(rule)) = (record, text(rule))
            && record["shadow_of"] == id
        {
            candidates.push(rule.to_owned());
        }
    }
    candidates.sort();
    match (known, candidates.is_empty()) {
        (false, _) => Err(Problem::not_found(format!("there is no rule `{id}`"))),
        (true, true) => Err(Problem::not_found(format!("no rule has `shadow_of` `{id}`"))),
        (true, false) => Ok(candidates),
    }
}

/// The alerts of `rule` in a view that touch a span of time and were not withdrawn, in order of id.
fn alerts(
    shared: &Shared,
    view: &str,
    rule: &str,
    tick: Tick,
    (from, to): (i64, i64),
) -> Result<Vec<Alert>, Problem> {
    let (spec, snapshot) = read(shared, view, tick)?;
    let names = shared.store.names();
    let place =
        |name: &str| spec.column(name).ok_or_else(|| Problem::not_found(format!("{view} has no {name}")));
    let (id, of, target, metric, state) =
        (place("alert_id")?, place("rule")?, place("target")?, place("metric")?, place("state")?);
    let (raised, cleared) = (place("raised_ts")?, place("cleared_ts")?);
    let mut alerts = Vec::new();
    for row in &snapshot.rows {
        let text = |at: usize| row.values[at].as_str(names);
        if text(of) != Some(rule) || text(state) == Some("withdrawn") {
            continue;
        }
        let number = |at: usize| match row.values[at] {
            Value::Int(n) => Some(n),
            _ => None,
        };
        let (Some(raised), cleared) = (number(raised), number(cleared).unwrap_or(i64::MAX)) else { continue };
        if raised < to && cleared >= from {
            let owned = |at: usize| text(at).unwrap_or("").to_owned();
            alerts.push(Alert {
                id: owned(id),
                target: owned(target),
                metric: owned(metric),
                from: raised,
                to: cleared,
            });
        }
    }
    alerts.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(alerts)
}

#[cfg(test)]
mod tests {
    use super::{Alert, alone};

    fn alert(id: &str, target: &str, from: i64, to: i64) -> Alert {
        Alert { id: id.into(), target: target.into(), metric: "m".into(), from, to }
    }

    #[test]
    fn counterparts_overlap_on_the_same_series() {
        let live = [
            alert("a", "s", 0, 10),
            alert("b", "s", 20, i64::MAX),
            alert("c", "t", 0, 10),
            alert("d", "s", 15, 15),
        ];
        let shadow = [alert("x", "s", 10, 16), alert("y", "s", 100, 110), alert("z", "u", 0, 10)];
        assert_eq!(alone(&live, &shadow), ["a", "c"]);
        assert_eq!(alone(&shadow, &live), ["z"]);
    }
}
