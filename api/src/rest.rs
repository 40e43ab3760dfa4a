//! REST: questions about the views, records in, actions on alerts, health.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use model::{StreamId, Tick, Value, ViewId, ViewSpec};
use serde::Deserialize;
use tower_http::services::{ServeDir, ServeFile};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::problem::Problem;
use crate::query::{Filter, column_of, suggest, write_rows};
use crate::store::Row;
use crate::token::Scope;
use crate::{docs, guard, live, openapi};

/// Rows of an answer that doesn't ask for a number.
const DEFAULT_LIMIT: usize = 1000;
/// Rows of one answer at most.
const MAX_LIMIT: usize = 10_000;
/// How long an action waits to see its effect.
const ACTION_WAIT: Duration = Duration::from_secs(5);

type App = State<Arc<Shared>>;

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let described = OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(list_views))
        .routes(routes!(read_view))
        .routes(routes!(export_csv))
        .routes(routes!(append))
        .routes(routes!(act))
        .routes(routes!(live::connect));
    let (described, mut document) = described.split_for_parts();
    openapi::describe_views(&mut document, shared.store.specs());
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let limit = shared.config.max_body_bytes;
    let api = described
        .route(
            "/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document.to_string()) }),
        )
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::not_found("no such path in this API; /api/docs lists them") })
        .layer(DefaultBodyLimit::max(limit));
    let app = Router::new()
        .nest("/api/v1", api)
        .route("/api/docs", get(|| async { Html(docs::PAGE) }))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    let folder = &shared.config.dashboards;
    let app = if folder.join("index.html").is_file() {
        app.fallback_service(ServeDir::new(folder).fallback(ServeFile::new(folder.join("index.html"))))
    } else {
        let page = docs::no_screens(&folder.display().to_string());
        app.fallback(move || async move { (StatusCode::NOT_FOUND, Html(page)) })
    };
    app.with_state(shared)
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn find<'a>(shared: &'a Shared, name: &str) -> Result<(ViewId, &'a ViewSpec), Problem> {
    shared.store.view(name).ok_or_else(|| {
        let near = suggest(name, shared.store.specs().iter().map(|spec| spec.name));
        let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        Problem::not_found(format!("there is no view `{name}`{hint}"))
    })
}

/// Every view: columns, types, units, key, what bounds it.
#[utoipa::path(get, path = "/views", tag = "views", responses(
    (status = 200, description = "The views", body = Vec<openapi::View>),
    (status = 401, description = "No token", body = Problem),
))]
async fn list_views(State(shared): App, headers: HeaderMap) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    Ok(json(serde_json::to_vec(shared.store.specs()).unwrap_or_default()))
}

/// A question about one view.
struct Question {
    filters: Vec<Filter>,
    order: Option<(usize, bool)>,
    columns: Option<Vec<usize>>,
    limit: usize,
    from: usize,
    as_of: Option<Tick>,
    lang: Option<String>,
}

impl Question {
    fn read(spec: &ViewSpec, parameters: &[(String, String)]) -> Result<Self, Problem> {
        let mut question = Self {
            filters: Vec::new(),
            order: None,
            columns: None,
            limit: DEFAULT_LIMIT,
            from: 0,
            as_of: None,
            lang: None,
        };
        let number = |name: &str, text: &str| {
            text.parse::<u64>()
                .map_err(|_| Problem::bad_request(format!("`{name}={text}`: expected a whole number")))
        };
        for (name, value) in parameters {
            match name.as_str() {
                "where" => {
                    let (column, wanted) = value.split_once(':').ok_or_else(|| {
                        Problem::bad_request(format!("`where={value}`: expected column:value"))
                    })?;
                    question.filters.push(Filter::new(spec, column, wanted)?);
                }
                "order" => {
                    let (column, down) =
                        value.strip_prefix('-').map_or((value.as_str(), false), |column| (column, true));
                    question.order = Some((column_of(spec, column)?, down));
                }
                "columns" => {
                    let columns =
                        value.split(',').map(|column| column_of(spec, column)).collect::<Result<_, _>>()?;
                    question.columns = Some(columns);
                }
                "limit" => {
                    question.limit = number("limit", value)? as usize;
                    if !(1..=MAX_LIMIT).contains(&question.limit) {
                        return Err(Problem::bad_request(format!(
                            "`limit={value}`: expected 1 to {MAX_LIMIT}"
                        )));
                    }
                }
                "as_of" => question.as_of = Some(number("as_of", value)?),
                "cursor" => {
                    let parts = value
                        .split_once('.')
                        .and_then(|(tick, from)| Some((tick.parse().ok()?, from.parse().ok()?)));
                    let (tick, from) = parts.ok_or_else(|| {
                        Problem::bad_request(format!("`cursor={value}` is not one of ours"))
                    })?;
                    (question.as_of, question.from) = (Some(tick), from);
                }
                "lang" => question.lang = Some(value.clone()),
                other => {
                    let known = ["where", "order", "columns", "limit", "as_of", "cursor", "lang"];
                    let near = suggest(other, known.into_iter());
                    let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                    return Err(Problem::bad_request(format!("unknown parameter `{other}`{hint}")));
                }
            }
        }
        Ok(question)
    }

    /// The rows wanted, in order, and the tick that they are of.
    fn answer(&self, shared: &Shared, view: ViewId) -> Result<(Tick, Vec<Arc<Row>>), Problem> {
        let (store, names) = (&shared.store, shared.store.names());
        let snapshot = match self.as_of {
            None => store.snapshot(view),
            Some(tick) => store.as_of(view, tick).map_err(|gone| Problem::gone(tick, gone.oldest))?,
        };
        let mut rows = snapshot.rows;
        rows.retain(|row| self.filters.iter().all(|filter| filter.takes(row, names)));
        store.sort_by_key(view, &mut rows);
        if let Some((column, down)) = self.order {
            rows.sort_by(|a, b| {
                let order = a.values[column].compare(&b.values[column], names);
                if down { order.reverse() } else { order }
            });
        }
        Ok((snapshot.tick, rows))
    }
}

/// Rows of a view, all of one tick.
#[utoipa::path(get, path = "/views/{view}", tag = "views",
    params(
        ("view" = String, Path, description = "Name of the view"),
        ("where" = Option<Vec<String>>, Query, description = "column:value; repeated = and"),
        ("order" = Option<String>, Query, description = "column, or -column for descending"),
        ("columns" = Option<String>, Query, description = "Comma separated; all if absent"),
        ("limit" = Option<u64>, Query, description = "1 to 10000, default 1000"),
        ("cursor" = Option<String>, Query, description = "`next` of the answer before: continues at its tick"),
        ("as_of" = Option<u64>, Query, description = "The rows as they were at this tick (Unix ms)"),
    ),
    responses(
        (status = 200, description = "Rows of one tick", body = openapi::Rows),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 404, description = "No such view", body = Problem),
        (status = 410, description = "The tick is older than the history", body = Problem),
    ))]
async fn read_view(
    State(shared): App,
    Path(name): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    let (view, spec) = find(&shared, &name)?;
    let question = Question::read(spec, &parameters)?;
    let (tick, rows) = question.answer(&shared, view)?;
    let page = rows.iter().skip(question.from).take(question.limit).map(|row| &**row);
    let mut body = format!("{{\"view\":\"{}\",\"tick\":{tick},\"rows\":", spec.name).into_bytes();
    write_rows(page, question.columns.as_deref(), spec, shared.store.names(), &mut body);
    let next = question.from + question.limit;
    match next < rows.len() {
        true => body.extend_from_slice(format!(",\"next\":\"{tick}.{next}\"}}").as_bytes()),
        false => body.extend_from_slice(b",\"next\":null}"),
    }
    Ok(json(body))
}

/// Rows of a view as CSV with a byte order mark, which spreadsheets need to see UTF-8.
#[utoipa::path(get, path = "/export/{file}", tag = "views",
    params(
        ("file" = String, Path, description = "The name of a view with .csv behind it"),
        ("lang" = Option<String>, Query, description = "zh: Chinese headers"),
        ("where" = Option<Vec<String>>, Query, description = "column:value; repeated = and"),
        ("order" = Option<String>, Query, description = "column, or -column for descending"),
        ("as_of" = Option<u64>, Query, description = "The rows as they were at this tick (Unix ms)"),
    ),
    responses(
        (status = 200, description = "CSV", content_type = "text/csv"),
        (status = 404, description = "No such view", body = Problem),
    ))]
async fn export_csv(
    State(shared): App,
    Path(file): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    let name = file.strip_suffix(".csv").ok_or_else(|| {
        Problem::not_found(format!("`{file}` cannot be had; a view's name with .csv behind it can"))
    })?;
    let (view, spec) = find(&shared, name)?;
    let question = Question::read(spec, &parameters)?;
    let (tick, rows) = question.answer(&shared, view)?;
    let chinese = question.lang.as_deref() == Some("zh");
    let mut csv = String::from("\u{feff}");
    let cell = |text: &str, csv: &mut String| {
        // A cell that begins like a formula would be run by a spreadsheet.
        let text = if text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err() {
            format!("'{text}")
        } else {
            text.to_owned()
        };
        if text.contains([',', '"', '\n', '\r']) {
            csv.push_str(&format!("\"{}\"", text.replace('"', "\"\"")));
        } else {
            csv.push_str(&text);
        }
    };
    let line = |cells: &mut dyn Iterator<Item = String>, csv: &mut String| {
        for (i, text) in cells.enumerate() {
            if i > 0 {
                csv.push(',');
            }
            cell(&text, csv);
        }
        csv.push_str("\r\n");
    };
    line(
        &mut spec.columns.iter().map(|column| if chinese { column.zh } else { column.name }.to_owned()),
        &mut csv,
    );
    let names = shared.store.names();
    for row in &rows {
        let text = |(value, column): (&Value, &model::Column)| match value {
            Value::Null => String::new(),
            value => value.as_str(names).map(str::to_owned).unwrap_or_else(|| {
                let mut json = Vec::new();
                value.write_json(column.ty, names, &mut json);
                String::from_utf8_lossy(&json).into_owned()
            }),
        };
        line(&mut row.values.iter().zip(spec.columns).map(text), &mut csv);
    }
    let disposition = format!("attachment; filename=\"{name}-{tick}.csv\"");
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((head, csv).into_response())
}

fn writer(shared: &Shared) -> Result<Arc<dyn crate::StreamWriter>, Problem> {
    let none = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this instance has no log to write to");
    shared.writer.clone().ok_or_else(none)
}

async fn append_lines(
    shared: &Shared,
    stream: StreamId,
    lines: Vec<Vec<u8>>,
) -> Result<crate::Lines, Problem> {
    let writer = writer(shared)?;
    let failed = |detail: String| Problem::new(StatusCode::BAD_GATEWAY, detail);
    tokio::task::spawn_blocking(move || writer.append(stream, lines))
        .await
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the writer panicked"))?
        .map_err(|e| failed(format!("the log did not take the records, some may have gone in: {e}")))
}

/// Appends records to a stream: NDJSON, one record per line. Lines that are no good record stay out and are named.
#[utoipa::path(post, path = "/streams/{stream}", tag = "streams",
    params(("stream" = String, Path, description = "telemetry, positions, cases, reference or actions")),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "Which lines went in", body = openapi::Appended),
        (status = 401, description = "No token", body = Problem),
        (status = 404, description = "No such stream", body = Problem),
        (status = 413, description = "The body is too long", body = Problem),
    ))]
async fn append(
    State(shared): App,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Write)?;
    let known = StreamId::ALL.map(StreamId::name).join(", ");
    let stream = StreamId::from_name(&name)
        .ok_or_else(|| Problem::not_found(format!("there is no stream `{name}`; there are {known}")))?;
    let body = body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = shared.config.max_body_bytes;
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {limit} bytes: send it in parts"),
            )
        }
        status => Problem::new(status, e.body_text()),
    })?;
    let lines: Vec<(usize, Vec<u8>)> = body
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim_ascii().to_vec()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let (numbers, lines): (Vec<usize>, Vec<Vec<u8>>) = lines.into_iter().unzip();
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
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionBody {
    /// Why.
    reason: Option<String>,
    /// To whom (assign).
    assignee: Option<String>,
    /// Until when, Unix ms (shelve).
    until: Option<i64>,
}

/// Acts on an alert: acknowledge, assign, comment, shelve, unshelve, close. Closing needs a reason.
#[utoipa::path(post, path = "/alerts/{id}/{action}", tag = "alerts",
    params(
        ("id" = String, Path, description = "alert_id, percent-encoded"),
        ("action" = String, Path, description = "ack, assign, comment, shelve, unshelve or close"),
    ),
    request_body = ActionBody,
    responses(
        (status = 200, description = "The tick at which the action is visible; null if it has not shown yet", body = openapi::Acted),
        (status = 401, description = "No token", body = Problem),
        (status = 404, description = "No such alert or action", body = Problem),
    ))]
async fn act(
    State(shared): App,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let claims = guard::check(&shared, &headers, Scope::Write)?;
    const ACTIONS: [&str; 6] = ["ack", "assign", "comment", "shelve", "unshelve", "close"];
    if !ACTIONS.contains(&action.as_str()) {
        return Err(Problem::not_found(format!(
            "there is no action `{action}`; there are {}",
            ACTIONS.join(", ")
        )));
    }
    let body: ActionBody = match body.is_empty() {
        true => ActionBody { reason: None, assignee: None, until: None },
        false => serde_json::from_slice(&body).map_err(|e| Problem::bad_request(format!("the body: {e}")))?,
    };
    if action == "close" && body.reason.as_deref().is_none_or(str::is_empty) {
        return Err(Problem::bad_request("`reason` is missing: closing needs one"));
    }
    let (view, _) = find(&shared, "alerts")?;
    let names = shared.store.names();
    let known = shared.store.snapshot(view).rows.iter().any(|row| row.values[0].as_str(names) == Some(&id));
    if !known {
        return Err(Problem::not_found(format!("there is no alert `{id}`")));
    }
    let now = (shared.clock)();
    let user = claims.map(|claims| claims.subject).unwrap_or_default();
    let n = shared.actions.fetch_add(1, Ordering::Relaxed);
    let mut record = serde_json::json!({
        "action_id": format!("{user}/{now}/{n}"), "ts": now, "user": user, "action": action, "target": id,
    });
    for (name, value) in [
        ("reason", body.reason.map(Into::into)),
        ("assignee", body.assignee.map(Into::into)),
        ("until", body.until.map(Into::into)),
    ] {
        if let Some(value) = value {
            record[name] = value;
        }
    }
    let mut upper = shared.upper.subscribe();
    let (_, before) = shared.store.now();
    let places = append_lines(&shared, StreamId::Actions, vec![record.to_string().into_bytes()]).await?;
    if let Some(Err(reason)) = places.first() {
        return Err(Problem::bad_request(reason.clone()));
    }
    let seen = async {
        loop {
            let is = |row: &[Value]| row[0].as_str(names) == Some(id.as_str());
            if let Some(tick) = shared.store.first_change(view, before, is) {
                return Some(tick);
            }
            upper.changed().await.ok()?;
        }
    };
    let visible_at = tokio::time::timeout(ACTION_WAIT, seen).await.ok().flatten();
    Ok(json(serde_json::json!({ "visible_at": visible_at }).to_string().into_bytes()))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(shared): App) -> Response {
    match shared.health.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn metrics(State(shared): App) -> Response {
    let (tick, _) = shared.store.now();
    let lag = ((shared.clock)() - tick as i64).max(0);
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, kind: &str, value: u64| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    };
    gauge("chengmai_tick_ms", "Last tick shown, Unix ms", "gauge", tick);
    gauge("chengmai_tick_lag_ms", "Wall clock minus last tick shown", "gauge", lag as u64);
    gauge(
        "chengmai_live_connections",
        "WebSocket connections",
        "gauge",
        shared.connections.load(Ordering::Relaxed) as u64,
    );
    gauge(
        "chengmai_live_sent_bytes_total",
        "Bytes sent over WebSockets",
        "counter",
        shared.sent_bytes.load(Ordering::Relaxed),
    );
    gauge(
        "chengmai_live_slow_closed_total",
        "Connections closed for being too slow",
        "counter",
        shared.slow_closed.load(Ordering::Relaxed),
    );
    text.push_str("# HELP chengmai_view_rows Rows of a view\n# TYPE chengmai_view_rows gauge\n");
    for (spec, rows) in shared.store.specs().iter().zip(shared.store.sizes()) {
        text.push_str(&format!("chengmai_view_rows{{view=\"{}\"}} {rows}\n", spec.name));
    }
    shared.health.metrics(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
