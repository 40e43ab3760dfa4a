//! Access tokens: who somebody is and what they may, signed.
//!
//! A token is `<claims>.<signature>`, both base64url: the claims are JSON, the signature is HMAC-SHA256 under a secret
//! that lies in a file only its owner can read. No token is stored; a new secret ends them all.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use model::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Length of a secret, bytes.
const SECRET_BYTES: usize = 32;

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|e| Error::external("no randomness").caused_by(e))?;
    Ok(bytes)
}

/// A short random text that nobody else has.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn nonce() -> Result<String> {
    Ok(BASE64.encode(random_bytes::<9>()?))
}

/// Signs tokens.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What somebody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See the views.
    Read,
    /// Also append records and act on alerts.
    Write,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who.
    pub subject: String,
    /// What they may.
    pub scope: Scope,
    /// Until when, Unix ms; `None` = for ever.
    pub expires: Option<i64>,
}

impl Secret {
    /// The secret in the file at `path`, made if it is missing, readable by its owner only.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is no secret.
    pub fn load_or_create(path: &Path) -> Result<Secret> {
        use std::os::unix::fs::OpenOptionsExt;
        let place = path.display();
        match std::fs::read(path) {
            Ok(bytes) => bytes
                .try_into()
                .map(Secret)
                .map_err(|_| Error::user(format!("{place}: not a secret of {SECRET_BYTES} bytes"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let secret = Secret::random()?;
                let cannot =
                    |e: std::io::Error| Error::user(format!("{place}: cannot be written")).caused_by(e);
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder).map_err(cannot)?;
                }
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
                file.write_all(&secret.0).map_err(cannot)?;
                Ok(secret)
            }
            Err(e) => Err(Error::user(format!("{place}: cannot be read")).caused_by(e)),
        }
    }

    /// A new secret.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Secret> {
        random_bytes().map(Secret)
    }

    fn mac(&self, claims: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(claims.as_bytes());
        mac
    }

    /// A token that says `claims`.
    pub fn issue(&self, claims: &Claims) -> String {
        let json = serde_json::to_vec(claims).expect("claims are plain values");
        let claims = BASE64.encode(json);
        let signature = BASE64.encode(self.mac(&claims).finalize().into_bytes());
        format!("{claims}.{signature}")
    }

    /// What `token` says, if we signed it and it has not expired at `now` (Unix ms).
    pub fn verify(&self, token: &str, now: i64) -> Option<Claims> {
        let (claims, signature) = token.split_once('.')?;
        // Compares in constant time.
        self.mac(claims).verify_slice(&BASE64.decode(signature).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
        claims.expires.is_none_or(|expires| now < expires).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_if_we_signed_it_and_its_time_is_not_over() {
        let (ours, theirs) = (Secret::random().unwrap(), Secret::random().unwrap());
        let claims = Claims { subject: "王芳".into(), scope: Scope::Write, expires: Some(100) };
        let token = ours.issue(&claims);
        assert_eq!(ours.verify(&token, 99), Some(claims));
        assert_eq!(ours.verify(&token, 100), None);
        assert_eq!(theirs.verify(&token, 0), None);
        let (head, tail) = token.split_once('.').unwrap();
        let forged = BASE64.encode(br#"{"subject":"x","scope":"write","expires":null}"#);
        assert_eq!(ours.verify(&format!("{forged}.{tail}"), 0), None);
        assert_eq!(ours.verify(head, 0), None);
    }

    #[test]
    fn the_secret_stays_in_a_file_of_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret");
        let first = Secret::load_or_create(&path).unwrap();
        let again = Secret::load_or_create(&path).unwrap();
        assert_eq!(first.0, again.0);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"short").unwrap();
        assert!(Secret::load_or_create(&path).unwrap_err().to_string().contains("not a secret"));
    }
}
