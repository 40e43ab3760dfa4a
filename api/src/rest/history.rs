//! What one row was over a span of ticks: each change, or its value at regular moments.
//!
//! **Meaning.** Changes are those that were published, not those that we would publish now: a correction shows as one
//! change after another. With `step` the answer is the row as it was at `from`, `from + step`, … up to `to`.
//!
//! **Mechanism.** The warehouse knows; the answer says up to which tick it did. Nothing is kept between requests.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::view::write_row_json;
use model::{Names, Op, PastChange, Tick, Type, Value, ViewSpec};

use super::{App, Path, aside, json};
use crate::problem::Problem;
use crate::query::{Parameters, unknown_view};
use crate::token::Scope;
use crate::{Shared, Warehouse, guard, openapi};

/// Changes or moments in one answer at most.
const MAX_ENTRIES: usize = 10_000;
/// How far back an answer goes if `from` doesn't say: a day, ms.
const DEFAULT_SPAN_MS: u64 = 24 * 60 * 60 * 1000;

/// Which row, and when.
struct Question {
    spec: ViewSpec,
    key: Vec<Value>,
    from: Tick,
    to: Tick,
    step: Option<u64>,
}

impl Question {
    fn read(shared: &Shared, view: &str, parameters: &Parameters, upper: Tick) -> Result<Self, Problem> {
        parameters.only(&["key", "from", "to", "step"])?;
        let (_, spec) = shared.store.view(view).ok_or_else(|| unknown_view(view, shared.store.specs()))?;
        let number = |name: &str| match parameters.get(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| Problem::bad_request(format!("`{name}={text}`: expected a whole number of ms"))),
        };
        // What is not written yet is not known yet.
        let last = upper.saturating_sub(1);
        let to = number("to")?.unwrap_or(last).min(last);
        let from = number("from")?.unwrap_or_else(|| to.saturating_sub(DEFAULT_SPAN_MS));
        let step = number("step")?;
        if step == Some(0) {
            return Err(Problem::bad_request("`step=0`: expected a positive number of ms"));
        }
        if let Some(step) = step.filter(|step| to.saturating_sub(from) / step >= MAX_ENTRIES as u64) {
            let detail = format!(
                "`step={step}`: {from} to {to} has more than {MAX_ENTRIES} of these, take a wider step"
            );
            return Err(Problem::bad_request(detail));
        }
        let text = parameters.get("key").ok_or_else(|| {
            Problem::bad_request(format!("`key` is missing: the {} of the row", key_names(spec)))
        })?;
        Ok(Self { spec: *spec, key: read_key(spec, text)?, from, to, step })
    }

    fn answer(&self, warehouse: &dyn Warehouse, names: &Names) -> Result<Vec<u8>, Problem> {
        let Self { spec, key, from, to, step } = self;
        let failed = |e| Problem::of_warehouse(&e);
        let before = warehouse.change_before(spec, key, *from).map_err(failed)?;
        let mut changes = match from < to {
            true => warehouse.changes(spec, key, (*from, *to), MAX_ENTRIES + 1).map_err(failed)?,
            false => Vec::new(),
        };
        // What there is no room for begins at the tick of the first change left out.
        let next = (changes.len() > MAX_ENTRIES).then(|| changes.split_off(MAX_ENTRIES)[0].tick);
        let until = next.map_or(*to, |next| next - 1);
        let mut body = format!("{{\"view\":\"{}\",\"from\":{from},\"to\":{until},", spec.name).into_bytes();
        match step {
            Some(step) => write_series(spec, before, changes, (*from, until, *step), names, &mut body),
            None => write_changes(spec, before, changes, names, &mut body),
        }
        let next = next.map_or("null".to_owned(), |next| (next - 1).to_string());
        body.extend_from_slice(format!(",\"next\":{next}}}").as_bytes());
        Ok(body)
    }
}

fn write_row(spec: &ViewSpec, change: Option<&PastChange>, names: &Names, out: &mut Vec<u8>) {
    match change.filter(|change| change.op == Op::Upsert) {
        Some(change) => write_row_json(spec, &change.row, names, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_changes(
    spec: &ViewSpec,
    before: Option<PastChange>,
    changes: Vec<PastChange>,
    names: &Names,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\"before\":");
    write_row(spec, before.as_ref(), names, out);
    out.extend_from_slice(b",\"changes\":[");
    for (i, change) in changes.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let head = format!("{comma}{{\"tick\":{},\"op\":\"{}\",\"row\":", change.tick, change.op.name());
        out.extend_from_slice(head.as_bytes());
        write_row_json(spec, &change.row, names, out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_series(
    spec: &ViewSpec,
    before: Option<PastChange>,
    changes: Vec<PastChange>,
    (from, to, step): (Tick, Tick, u64),
    names: &Names,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\"series\":[");
    let (mut now, mut changes) = (before, changes.into_iter().peekable());
    for tick in (from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        while let Some(change) = changes.next_if(|change| change.tick <= tick) {
            now = Some(change);
        }
        let comma = if tick > from { "," } else { "" };
        out.extend_from_slice(format!("{comma}{{\"tick\":{tick},\"row\":").as_bytes());
        write_row(spec, now.as_ref(), names, out);
        out.push(b'}');
    }
    out.push(b']');
}

fn key_names(spec: &ViewSpec) -> String {
    spec.columns[..spec.key].iter().map(|column| column.name).collect::<Vec<_>>().join(",")
}

/// A key as it is written in a request: values divided by commas, or a JSON array where one holds a comma.
fn read_key(spec: &ViewSpec, text: &str) -> Result<Vec<Value>, Problem> {
    let wrong = || {
        let detail =
            format!("`key={text}`: expected {} divided by commas, or as a JSON array", key_names(spec));
        Problem::bad_request(detail)
    };
    let parts: Vec<serde_json::Value> = match text.starts_with('[') {
        true => serde_json::from_str(text).map_err(|_| wrong())?,
        false if spec.key == 1 => vec![text.into()],
        false => text.split(',').map(Into::into).collect(),
    };
    if parts.len() != spec.key {
        return Err(wrong());
    }
    let value = |(column, part): (&model::Column, &serde_json::Value)| {
        use serde_json::Value as Json;
        match (column.ty, part) {
            (_, Json::Null) if column.nullable => Some(Value::Null),
            (_, Json::String(text)) if column.nullable && text == "null" => Some(Value::Null),
            (Type::Text | Type::Json, Json::String(text)) => Some(Value::Text(text.as_str().into())),
            (Type::Int | Type::Time, Json::Number(n)) => n.as_i64().map(Value::Int),
            (Type::Int | Type::Time, Json::String(text)) => text.parse().ok().map(Value::Int),
            (Type::Float, Json::Number(x)) => x.as_f64().map(Value::Float),
            (Type::Float, Json::String(text)) => text.parse().ok().map(Value::Float),
            (Type::Bool, Json::Bool(is)) => Some(Value::Bool(*is)),
            (Type::Bool, Json::String(text)) => text.parse().ok().map(Value::Bool),
            _ => None,
        }
    };
    spec.columns.iter().zip(&parts).map(|pair| value(pair).ok_or_else(wrong)).collect()
}

/// The history of one row, from the warehouse: every change in the span, or with `step` the row at regular moments.
#[utoipa::path(get, path = "/views/{view}/history", tag = "views",
    params(
        ("view" = String, Path, description = "Name of the view"),
        ("key" = String, Query, description = "The row's key: values divided by commas, or a JSON array"),
        ("from" = Option<u64>, Query, description = "First tick (Unix ms); a day before `to` if absent"),
        ("to" = Option<u64>, Query, description = "Last tick (Unix ms); the last one stored if absent"),
        ("step" = Option<u64>, Query, description = "The row at every so many ms instead of its changes"),
    ),
    responses(
        (status = 200, description = "Changes or moments; `next` is the `from` that continues", body = openapi::History),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such view", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "`from` is older than what is remembered", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no warehouse", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read_history(
    State(shared): App,
    Path(name): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    aside(move || {
        let Some(warehouse) = &shared.warehouse else {
            let detail = "there is no warehouse: clickhouse.mode is off";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        let (oldest, upper) = warehouse.span();
        let question = Question::read(&shared, &name, &parameters, upper)?;
        if question.from < oldest {
            return Err(Problem::gone(question.from, oldest));
        }
        Ok(json(question.answer(&**warehouse, shared.store.names())?))
    })
    .await
}
