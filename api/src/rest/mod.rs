//! REST: questions about the views, records in, actions on alerts, health.
//!
//! [`views`] reads what is and [`history`] what was, [`track`] and [`matched`] draw where a vehicle went, [`records`]
//! writes to the log, [`health`] says how we are, [`screens`] hands out the pages, [`what_if`] computes what would be. The
//! routes are declared once, here, and their description is generated from the same declaration. Nothing is kept between
//! requests.

mod explain;
mod export;
mod health;
mod history;
mod matched;
mod records;
mod screens;
mod shadow;
mod sheet;
mod told;
mod track;
mod views;
mod what_if;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::{Shared, docs, live, openapi};

type App = State<Arc<Shared>>;

/// Parts of the path; a bad one is a problem document.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
struct Path<T>(T);

/// The description of the API, made once.
pub(crate) struct Description(pub Arc<str>);

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let described = OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(views::list_views))
        .routes(routes!(views::read_view))
        .routes(routes!(track::read_track))
        .routes(routes!(views::export_csv))
        .routes(routes!(explain::explain_score))
        .routes(routes!(sheet::export_sheet))
        .routes(routes!(history::read_history))
        .routes(routes!(records::append))
        .routes(routes!(records::act))
        .routes(routes!(shadow::shadow))
        .routes(routes!(what_if::ask))
        .routes(routes!(live::connect))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(describe));
    let (described, mut document) = described.split_for_parts();
    openapi::describe_views(&mut document, shared.store.specs());
    // A description is plain data; should it fail to serialise the test of it does, and the path says so.
    let document = Description(document.to_json().unwrap_or_default().into());
    let api = described
        .fallback(no_such_path)
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path takes another method; /api/docs lists them",
            )
        })
        .layer(DefaultBodyLimit::max(shared.config.max_body_bytes))
        .layer(axum::Extension(Arc::new(document)));
    Router::new()
        .nest("/api/v1", api)
        .route("/api/docs", get(|| async { Html(docs::PAGE) }))
        .route("/api/{*rest}", axum::routing::any(no_such_path))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(screens::file)
        .with_state(shared)
}

async fn no_such_path() -> Problem {
    Problem::not_found("no such path in this API; /api/docs lists them")
}

/// An answer that is JSON already and holds for this moment only.
fn json(body: Vec<u8>) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (head, body).into_response()
}

/// Runs what may take long away from the threads that serve the live protocol.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let panicked = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "answering this failed");
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses(
    (status = 200, description = "OpenAPI 3.1", content_type = "application/json"),
))]
async fn describe(axum::Extension(document): axum::Extension<Arc<Description>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.0.to_string()).into_response()
}
