//! What the tests share: an embedded server of their own, and a plain way to ask it something.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};

use sinks::embedded::{EmbeddedConfig, Server};

/// The library the build fetched; a test that needs it fails with the server's own message when it is missing.
pub fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/clickhouse/26.7/libchdb.so")
}

/// A server in `folder`, run by this crate's own child program.
pub fn config(folder: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        library: library(),
        data: folder.join("clickhouse"),
        executable: env!("CARGO_BIN_EXE_clickhouse_child").into(),
        memory_limit_bytes: 1 << 30,
        http_port: None,
    }
}

/// A server in `folder`, up and answering.
pub async fn start(folder: &Path) -> Server {
    Server::start(config(folder)).await.unwrap()
}

/// What the server answers to `sql`, or the text of its refusal.
pub async fn query(url: &str, user: &str, password: &str, sql: &str) -> Result<String, String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client
        .post(url)
        .header("X-ClickHouse-User", user)
        .header("X-ClickHouse-Key", password)
        .body(sql.to_owned())
        .send()
        .await
        .map_err(|e| e.to_string())?;
    let ok = response.status().is_success();
    let text = response.text().await.map_err(|e| e.to_string())?;
    if ok { Ok(text) } else { Err(text) }
}
