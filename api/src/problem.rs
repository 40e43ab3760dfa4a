//! What went wrong, as a problem document (RFC 9457).
//!
//! Every answer of the API that is no success has this form, also those that the HTTP library would give by itself.

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Retry;
use serde::Serialize;
use utoipa::ToSchema;

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, and what was expected.
    pub detail: String,
    /// The oldest tick that can still be asked for (410).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_tick: Option<u64>,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("error").to_owned();
        Self { kind: "about:blank", title, status: status.as_u16(), detail: detail.into(), oldest_tick: None }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The warehouse failed: 502, or 422 if asking again would change nothing.
    pub fn of_warehouse(error: &model::Error) -> Self {
        let status = match error.retry {
            Retry::Later => StatusCode::BAD_GATEWAY,
            Retry::Never => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }

    /// 410: that tick is no longer known.
    pub fn gone(tick: u64, oldest: u64) -> Self {
        let detail = format!("tick {tick} is older than the history; the oldest is {oldest}");
        Self { oldest_tick: Some(oldest), ..Self::new(StatusCode::GONE, detail) }
    }
}

impl Problem {
    /// The body could not be read; `limit` is how long it may be, bytes.
    pub(crate) fn body(rejection: &BytesRejection, limit: usize) -> Self {
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, format!("the body is longer than {limit} bytes: send it in parts"))
            }
            status => Self::new(status, rejection.body_text()),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), format!("the path: {}", rejection.body_text()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut answer = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        answer
    }
}
