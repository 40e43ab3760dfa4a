//! How we are: alive, ready, and in figures for Prometheus.
//!
//! Alive and ready are open to everybody, as probes carry no token; figures are read like the views. Counters count
//! from the start of the process.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use crate::guard;
use crate::problem::Problem;
use crate::query::Parameters;
use crate::token::Scope;
use axum::extract::State;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "ok", body = String, content_type = "text/plain"),
))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether answers are current, and why not.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "ready", body = String, content_type = "text/plain"),
    (status = 503, description = "The reason", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn readyz(State(shared): App) -> Response {
    match shared.health.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "Prometheus text", body = String, content_type = "text/plain"),
    (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn metrics(
    State(shared): App,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    parameters.only(&[])?;
    let figures = shared.store.figures();
    let tick = i64::try_from(figures.tick).unwrap_or(i64::MAX);
    let lag = (shared.clock)().saturating_sub(tick).max(0);
    let clients = shared.config.max_connections - shared.connections.available_permits();
    let mut text = String::new();
    let mut figure = |name: &str, help: &str, kind: &str, value: u64| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    figure("chengmai_tick_ms", "Last tick shown, Unix ms", "gauge", figures.tick);
    figure("chengmai_tick_lag_ms", "Wall clock minus last tick shown", "gauge", lag.unsigned_abs());
    figure("chengmai_frames_applied_total", "Frames applied", "counter", figures.applied);
    figure("chengmai_history_bytes", "Memory of the history, about", "gauge", figures.history_bytes as u64);
    figure("chengmai_history_oldest_tick_ms", "Oldest tick held, Unix ms", "gauge", figures.oldest);
    figure("chengmai_live_connections", "WebSocket connections", "gauge", clients as u64);
    figure(
        "chengmai_live_sent_bytes_total",
        "Bytes of messages sent over WebSockets",
        "counter",
        count(&shared.sent_bytes),
    );
    figure(
        "chengmai_live_merged_frames_total",
        "Frames that clients did not get by themselves but merged into the next",
        "counter",
        count(&shared.merged_frames),
    );
    figure(
        "chengmai_live_slow_closed_total",
        "Connections closed for being too slow",
        "counter",
        count(&shared.slow_closed),
    );
    text.push_str("# HELP chengmai_view_rows Rows of a view\n# TYPE chengmai_view_rows gauge\n");
    for (spec, rows) in shared.store.specs().iter().zip(figures.rows) {
        let _ = writeln!(text, "chengmai_view_rows{{view=\"{}\"}} {rows}", spec.name);
    }
    shared.health.metrics(&mut text);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
