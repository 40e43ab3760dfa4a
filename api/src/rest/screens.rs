//! The screens: files of one folder, and their `index.html` for every address that is no file.
//!
//! Names below `/assets/` contain a hash of what they hold and may be kept for ever; everything else is asked for
//! again each time. The folder is looked at with every request, so building the screens needs no restart.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use tower_http::services::ServeDir;

use super::App;
use crate::docs;
use crate::problem::Problem;

/// Files with a hash in their names.
const HASHED: &str = "/assets/";
/// A year: such a file never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Ask again, which costs little when nothing changed.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A file of the screens.
pub(super) async fn file(State(shared): App, request: Request) -> Result<Response, Problem> {
    let folder = &shared.config.dashboards;
    let cannot = |e: std::io::Error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the file cannot be read: {e}"))
    };
    if !folder.join("index.html").is_file() {
        let page = docs::no_screens(&folder.display().to_string());
        return Ok((StatusCode::NOT_FOUND, Html(page)).into_response());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the screens are read only"));
    }
    let path = request.uri().path().to_owned();
    let (mut parts, _) = request.into_parts();
    let mut files = ServeDir::new(folder);
    let asked = Request::from_parts(parts.clone(), axum::body::Body::empty());
    let found = files.try_call(asked).await.map_err(cannot)?;
    let mut answer = if found.status() != StatusCode::NOT_FOUND {
        found.into_response()
    } else if path.rsplit('/').next().is_some_and(|last| last.contains('.')) {
        return Err(Problem::not_found(format!("there is no file `{path}`")));
    } else {
        parts.uri = Uri::from_static("/index.html");
        let page = Request::from_parts(parts, axum::body::Body::empty());
        files.try_call(page).await.map_err(cannot)?.into_response()
    };
    let may_keep = if path.starts_with(HASHED) { FOR_EVER } else { ASK_AGAIN };
    answer.headers_mut().insert(header::CACHE_CONTROL, may_keep);
    Ok(answer)
}
