//! Who may do what.
//!
//! On loopback reading is open; elsewhere it needs a token. Writing always needs one with scope `write`. A browser must
//! come from our own pages (its Origin is the Host) or from an origin that the settings allow, and on loopback the Host
//! must be a loopback name, so that a foreign page can neither write nor, by rebinding its name, read. Nothing is kept.

use axum::http::{HeaderMap, StatusCode, header};

use crate::Shared;
use crate::problem::Problem;
use crate::token::{Claims, Scope};

/// The prefix of a WebSocket subprotocol that carries a token: browsers cannot set headers there.
pub const TOKEN_PROTOCOL: &str = "bearer.";
/// What a Host may be, beside the address listened on, while that is loopback.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = text(headers, header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    bearer.or_else(|| {
        let protocols = text(headers, header::SEC_WEBSOCKET_PROTOCOL)?;
        protocols.split(',').find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PROTOCOL))
    })
}

/// Checks that a request may do what `scope` says; whose it is, if it carries a token.
///
/// # Errors
/// 401 without a good token, 403 when it does not suffice or the request comes from a foreign page.
pub(crate) fn check(shared: &Shared, headers: &HeaderMap, scope: Scope) -> Result<Option<Claims>, Problem> {
    check_with(shared, headers, None, scope)
}

/// The same with a token that came beside the headers, which count first.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_with(
    shared: &Shared,
    headers: &HeaderMap,
    beside: Option<&str>,
    scope: Scope,
) -> Result<Option<Claims>, Problem> {
    let host = text(headers, header::HOST).unwrap_or("");
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let ours = origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host));
        if !ours && !shared.config.allowed_origins.iter().any(|allowed| *allowed == origin) {
            let detail = format!("a page of {origin} may not use this API");
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
    }
    let listen = shared.config.listen.ip();
    if listen.is_loopback() && !host.is_empty() {
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| port.parse::<u16>().is_ok())
            .map_or(host, |(name, _)| name);
        let known = LOOPBACK_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
        if !known && name != listen.to_string() {
            let detail = format!("`{host}` is not a name of this listener, which is on loopback");
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
    }
    let unauthorized = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, detail);
    let claims = match token(headers).or(beside) {
        None if listen.is_loopback() && scope == Scope::Read => return Ok(None),
        None => {
            return Err(unauthorized(
                "a token is needed: Authorization: Bearer …; `chengmai token` makes one",
            ));
        }
        Some(token) => shared
            .config
            .secret
            .verify(token, (shared.clock)())
            .ok_or_else(|| unauthorized("the token is not ours or has expired"))?,
    };
    if claims.scope < scope {
        return Err(Problem::new(StatusCode::FORBIDDEN, "the token may read only"));
    }
    Ok(Some(claims))
}
