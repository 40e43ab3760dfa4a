//! The files the embedded server reads: its limits, and who may connect.
//!
//! They are written anew at each start, for the owner alone, beside the server's own folder: `<data>/config.xml`,
//! `<data>/users.xml`, `<data>/server/`.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::{Error, Result};
use sha2::{Digest, Sha256};

use super::EmbeddedConfig;

/// Random bytes in a password.
const PASSWORD_BYTES: usize = 24;
/// Share of the memory limit that one query may take, in percent: an unlucky report must not starve the inserts.
const QUERY_MEMORY_PERCENT: u64 = 60;
/// Cache of index marks, in bytes; the default of 5 GB is for a machine that does nothing else.
const MARK_CACHE_BYTES: u64 = 64 << 20;

/// The server's own folder.
pub(super) fn server_folder(config: &EmbeddedConfig) -> PathBuf {
    config.data.join("server")
}

/// The file the server is started with.
pub(super) fn config_file(config: &EmbeddedConfig) -> PathBuf {
    config.data.join("config.xml")
}

/// A new password: hexadecimal digits of the kernel's random bytes.
pub(super) fn random_password() -> Result<String> {
    let mut bytes = [0_u8; PASSWORD_BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|e| Error::external("the kernel gives no random bytes").caused_by(e))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Makes the folders and writes both files.
pub(super) fn write(config: &EmbeddedConfig, user: &str, password: &str) -> Result<()> {
    let folder = server_folder(config);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|e| {
        Error::user(format!("the folder of the embedded ClickHouse cannot be made: {}", folder.display()))
            .caused_by(e)
    })?;
    let users_file = std::path::absolute(config.data.join("users.xml"))
        .map_err(|e| Error::external("the current folder is gone").caused_by(e))?;
    write_private(&users_file, &users(config, user, password))?;
    write_private(&config_file(config), &server(config, &users_file))
}

fn server(config: &EmbeddedConfig, users_file: &Path) -> String {
    format!(
        "<clickhouse>\n  <users_config>{}</users_config>\n  \
         <max_server_memory_usage>{}</max_server_memory_usage>\n  \
         <mark_cache_size>{MARK_CACHE_BYTES}</mark_cache_size>\n</clickhouse>\n",
        escape(&users_file.to_string_lossy()),
        config.memory_limit_bytes,
    )
}

/// The library's own script runs as `default` without a password, from 127.0.0.1, and cannot be told otherwise; so
/// that user gets the rights of the script and no other.
fn users(config: &EmbeddedConfig, user: &str, password: &str) -> String {
    let query_memory = config.memory_limit_bytes / 100 * QUERY_MEMORY_PERCENT;
    let hash = hex(&Sha256::digest(password.as_bytes()));
    format!(
        "<clickhouse>\n  <profiles><default><max_memory_usage>{query_memory}</max_memory_usage></default></profiles>\n  <quotas><default/></quotas>\n  <users>\n    \
         <default>\n      <no_password/>\n      <networks><ip>127.0.0.1</ip></networks>\n      \
         <profile>default</profile><quota>default</quota>\n      \
         <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SELECT ON system.numbers</query></grants>\n    \
         </default>\n    \
         <{user}>\n      <password_sha256_hex>{hash}</password_sha256_hex>\n      \
         <networks><ip>127.0.0.1</ip></networks>\n      <profile>default</profile><quota>default</quota>\n    \
         </{user}>\n  </users>\n</clickhouse>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Replaces `path` with a file of `text` that only the owner can read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let failed = |e| Error::user(format!("{} cannot be written", path.display())).caused_by(e);
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed)
}
