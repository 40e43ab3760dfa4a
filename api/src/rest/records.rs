//! Records in: lines for a stream, and actions on alerts, which are records too.
//!
//! Both go through the [`StreamWriter`](crate::StreamWriter), away from the threads that serve, and every line is
//! answered for. A body is at most as long as the setting says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::{Fault, StreamId, Value};
use serde::Deserialize;

use super::{App, Path, aside, json};
use crate::problem::Problem;
use crate::query::{Parameters, did_you_mean, unknown_view};
use crate::token::Scope;
use crate::{Shared, guard, openapi};

/// How long an action waits to see its effect.
const ACTION_WAIT: Duration = Duration::from_secs(5);
/// What can be done to an alert.
const ACTIONS: [&str; 7] = ["ack", "assign", "comment", "shelve", "unshelve", "close", "undo"];

async fn append_lines(
    shared: &Shared,
    stream: StreamId,
    lines: Vec<Vec<u8>>,
) -> Result<crate::Lines, Problem> {
    let writer = shared.writer.clone().ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this instance has no log to write to")
    })?;
    let sent = lines.len();
    aside(move || {
        let answers = writer.append(stream, lines).map_err(|e| {
            let status = match e.fault {
                Fault::User => StatusCode::BAD_REQUEST,
                Fault::External => StatusCode::BAD_GATEWAY,
                Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let detail = format!("the log did not take the records, some may have gone in: {e}");
            Problem::new(status, detail)
        })?;
        match answers.len() == sent {
            true => Ok(answers),
            false => Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the log answered for {} of {sent} lines", answers.len()),
            )),
        }
    })
    .await
}

/// Appends records to a stream: NDJSON, one record per line. Lines that are no good record stay out and are named.
#[utoipa::path(post, path = "/streams/{stream}", tag = "streams",
    params(("stream" = String, Path, description = "telemetry, positions, cases, reference or actions")),
    request_body(content = String, content_type = "application/x-ndjson"),
    security(("token" = [])),
    responses(
        (status = 200, description = "Which lines went in", body = openapi::Appended),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token may read only", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such stream", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The log cannot be reached", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn append(
    State(shared): App,
    Path(name): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Write)?;
    parameters.only(&[])?;
    let stream = StreamId::from_name(&name).ok_or_else(|| {
        let known = StreamId::ALL.map(StreamId::name);
        let hint = did_you_mean(&name, known.into_iter());
        Problem::not_found(format!("there is no stream `{name}`{hint}; there are {}", known.join(", ")))
    })?;
    let body = body.map_err(|e| Problem::body(&e, shared.config.max_body_bytes))?;
    let (numbers, lines): (Vec<usize>, Vec<Vec<u8>>) = body
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim_ascii().to_vec()))
        .filter(|(_, line)| !line.is_empty())
        .unzip();
    let places = append_lines(&shared, stream, lines).await?;
    let rejected: Vec<_> = numbers
        .iter()
        .zip(&places)
        .filter_map(|(line, place)| {
            Some(serde_json::json!({ "line": line, "reason": place.as_ref().err()? }))
        })
        .collect();
    let accepted = places.len() - rejected.len();
    let answer = serde_json::json!({ "accepted": accepted, "rejected": rejected });
    Ok(json(answer.to_string().into_bytes()))
}

/// What an action may carry.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionBody {
    /// Why.
    reason: Option<String>,
    /// To whom (assign); the user of the token if absent.
    assignee: Option<String>,
    /// Until when, Unix ms (shelve); 8 hours if absent.
    until: Option<i64>,
    /// The action that is taken back (undo), by its id.
    undoes: Option<String>,
}

/// Acts on an alert: acknowledge, assign, comment, shelve, unshelve, close, undo. Closing needs a reason. The answer comes
/// when the alert has next changed, or after 5 s: an action that changes nothing (such as a second `ack`) never shows.
#[utoipa::path(post, path = "/alerts/{id}/{action}", tag = "alerts",
    params(
        ("id" = String, Path, description = "alert_id, percent-encoded"),
        ("action" = String, Path, description = "ack, assign, comment, shelve, unshelve, close or undo"),
    ),
    request_body = ActionBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "The tick at which the action is visible; null if it has not shown yet", body = openapi::Acted),
        (status = 400, description = "The body is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token may read only", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such alert or action", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn act(
    State(shared): App,
    Path((id, action)): Path<(String, String)>,
    parameters: Parameters,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let claims = guard::check(&shared, &headers, Scope::Write)?;
    parameters.only(&[])?;
    if !ACTIONS.contains(&action.as_str()) {
        let hint = did_you_mean(&action, ACTIONS.into_iter());
        let detail = format!("there is no action `{action}`{hint}; there are {}", ACTIONS.join(", "));
        return Err(Problem::not_found(detail));
    }
    let body = body.map_err(|e| Problem::body(&e, shared.config.max_body_bytes))?;
    let body: ActionBody = match body.is_empty() {
        true => ActionBody::default(),
        false => serde_json::from_slice(&body).map_err(|e| Problem::bad_request(format!("the body: {e}")))?,
    };
    if action == "close" && body.reason.as_deref().is_none_or(str::is_empty) {
        return Err(Problem::bad_request("`reason` is missing: closing needs one"));
    }
    let store = &shared.store;
    let (view, _) = store.view("alerts").ok_or_else(|| unknown_view("alerts", store.specs()))?;
    let is = {
        let (shared, id) = (Arc::clone(&shared), id.clone());
        move |key: &[Value]| key.first().and_then(|value| value.as_str(shared.store.names())) == Some(&id)
    };
    if !store.snapshot(view).rows.iter().any(|row| is(&row.values)) {
        return Err(Problem::not_found(format!("there is no alert `{id}`")));
    }
    let now = (shared.clock)();
    let user = claims.map(|claims| claims.subject).unwrap_or_default();
    let n = shared.actions.fetch_add(1, Ordering::Relaxed);
    let action_id = format!("{now}-{}-{n}", shared.instance);
    let mut record = serde_json::json!({
        "action_id": action_id,
        "ts": now, "user": user, "action": action, "target": id,
    });
    for (name, value) in [
        ("reason", body.reason.map(Into::into)),
        ("assignee", body.assignee.map(Into::into)),
        ("until", body.until.map(Into::into)),
        ("undoes", body.undoes.map(Into::into)),
    ] {
        if let Some(value) = value {
            record[name] = value;
        }
    }
    let mut upper = shared.upper.subscribe();
    let (_, before) = store.now();
    let places = append_lines(&shared, StreamId::Actions, vec![record.to_string().into_bytes()]).await?;
    if let Some(Err(reason)) = places.first() {
        return Err(Problem::bad_request(reason.clone()));
    }
    let seen = async {
        loop {
            upper.mark_unchanged();
            if let Some(tick) = store.first_change(view, before, &is) {
                return Some(tick);
            }
            upper.changed().await.ok()?;
        }
    };
    let visible_at = tokio::time::timeout(ACTION_WAIT, seen).await.ok().flatten();
    Ok(json(serde_json::json!({ "visible_at": visible_at, "action_id": action_id }).to_string().into_bytes()))
}
