//! Who may do what.
//!
//! On loopback reading is open; elsewhere it needs a token. Writing always needs one with scope `write`. A browser must
//! come from our own pages (its Origin is the Host), and on loopback the Host must be a loopback name, so that a foreign
//! page can neither write nor, by rebinding its name, read.

use axum::http::{HeaderMap, StatusCode, header};

use crate::Shared;
use crate::problem::Problem;
use crate::token::{Claims, Scope};

/// The prefix of a WebSocket subprotocol that carries a token: browsers cannot set headers there.
pub const TOKEN_PROTOCOL: &str = "bearer.";

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
    let host = text(headers, header::HOST).unwrap_or("");
    if let Some(origin) = text(headers, header::ORIGIN)
        && origin.split_once("://").is_none_or(|(_, from)| from != host)
    {
        return Err(Problem::new(StatusCode::FORBIDDEN, format!("a page of {origin} may not use this API")));
    }
    let loopback = shared.config.listen.ip().is_loopback();
    if loopback && !host.is_empty() {
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| port.parse::<u16>().is_ok())
            .map_or(host, |(name, _)| name);
        if !["localhost", "127.0.0.1", "[::1]"].contains(&name) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("`{host}` is not a name of this listener"),
            ));
        }
    }
    let claims =
        match token(headers) {
            None if loopback && scope == Scope::Read => return Ok(None),
            None => {
                let detail = "a token is needed: Authorization: Bearer …; `chengmai token` makes one";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
            }
            Some(token) => shared.config.secret.verify(token, (shared.clock)()).ok_or_else(|| {
                Problem::new(StatusCode::UNAUTHORIZED, "the token is not ours or has expired")
            })?,
        };
    if claims.scope < scope {
        return Err(Problem::new(StatusCode::FORBIDDEN, "the token may read only"));
    }
    Ok(Some(claims))
}
