//! Which ClickHouse answers, asked before anything else: an old server must get a clear error and no strange one.
//!
//! The question is a plain GET without any setting, since an old server refuses settings it doesn't know. State: none.

use std::fmt;
use std::time::Duration;

use model::{Error, Result};

/// The oldest server the sink works with: block deduplication of plain MergeTree tables by a token, parameterised
/// views and the settings of inserts are all there.
pub const OLDEST: Version = Version { major: 24, minor: 3 };

/// How long a server may take to say its version.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A version of ClickHouse: the year and the release within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The year, two digits.
    pub major: u32,
    /// The release within the year.
    pub minor: u32,
}

impl Version {
    /// Reads `26.7.2.1`, `18.16.1` or `24.3`; `None` when the text doesn't start with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.').map(str::parse::<u32>);
        let (major, minor) = (parts.next()?.ok()?, parts.next()?.ok()?);
        Some(Self { major, minor })
    }

    /// # Errors
    /// A refusal for good when this version is older than [`OLDEST`].
    pub fn check(self, url: &str) -> Result<()> {
        if self < OLDEST {
            return Err(Error::refused(format!(
                "ClickHouse at {url} is version {self}, and version {OLDEST} or newer is needed"
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Asks the server at `url` for its version, as `user` with `password`.
///
/// # Errors
/// External and worth a retry when nobody answers; a refusal when the server turns the user away; a user error when
/// something else than ClickHouse answers.
pub async fn server_version(url: &str, user: &str, password: &str) -> Result<Version> {
    let unreachable = |e: reqwest::Error| {
        Error::external(format!("ClickHouse at {url} cannot be reached")).caused_by(e.without_url())
    };
    // The environment's proxy is not for the database, and the driver of the inserts knows no proxy either.
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWER_WITHIN)
        .build()
        .map_err(|e| Error::internal("no HTTP client").caused_by(e))?;
    let response = client
        .get(url)
        .query(&[("query", "SELECT version()")])
        .header("X-ClickHouse-User", user)
        .header("X-ClickHouse-Key", password)
        .send()
        .await
        .map_err(|e| {
            if e.is_builder() { Error::user(format!("'{url}' is not an HTTP URL")) } else { unreachable(e) }
        })?;
    let status = response.status();
    let text = response.text().await.map_err(unreachable)?;
    if !status.is_success() {
        return Err(super::fault::from_answer(&format!("ClickHouse at {url} refused '{user}'"), &text));
    }
    Version::parse(&text).ok_or_else(|| {
        let start: String = text.chars().take(60).collect();
        Error::user(format!("{url} is no ClickHouse server: asked for its version it said '{start}'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        assert_eq!(Version::parse("26.7.2.1\n"), Some(Version { major: 26, minor: 7 }));
        assert_eq!(Version::parse("18.16.1"), Some(Version { major: 18, minor: 16 }));
        assert_eq!(Version::parse("<html>"), None);
        assert!(Version { major: 24, minor: 12 } > Version { major: 24, minor: 8 });
    }

    #[test]
    fn an_old_version_is_refused_by_name() {
        let error = Version { major: 18, minor: 16 }.check("http://h:8123").unwrap_err();
        assert_eq!(error.retry, model::Retry::Never);
        assert_eq!(
            error.to_string(),
            "ClickHouse at http://h:8123 is version 18.16, and version 24.3 or newer is needed"
        );
        assert!(OLDEST.check("").is_ok());
    }
}
