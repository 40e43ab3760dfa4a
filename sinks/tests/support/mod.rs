//! What the tests share: an embedded server of their own, views with everything that is awkward about views, random
//! histories, and a replay of a history that is too simple to be wrong.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that fails here fails as it should")]

pub mod history;

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Type, ViewSpec};
use serde_json::Value as Json;
use sinks::clickhouse::ClickHouseConfig;
use sinks::embedded::{EmbeddedConfig, Server};
use tempfile::TempDir;
use tokio::runtime::Runtime;

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

/// What the server answers to `sql`, or the text of its refusal.
pub async fn query(url: &str, user: &str, password: &str, sql: &str) -> Result<String, String> {
    query_with(&client(), url, user, password, sql).await
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn query_with(
    client: &reqwest::Client,
    url: &str,
    user: &str,
    password: &str,
    sql: &str,
) -> Result<String, String> {
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

/// An embedded server with the thread of its own that a test without `async` needs.
pub struct Warehouse {
    pub server: Server,
    pub runtime: Runtime,
    client: reqwest::Client,
    _folder: TempDir,
}

impl Warehouse {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(Server::start(config(folder.path()))).unwrap();
        Self { server, runtime, client: client(), _folder: folder }
    }

    /// Settings of a sink into `database`.
    pub fn config(&self, database: &str) -> ClickHouseConfig {
        ClickHouseConfig {
            url: self.server.url(),
            user: self.server.user().to_owned(),
            password: self.server.password().to_owned(),
            database: database.to_owned(),
            ..ClickHouseConfig::default()
        }
    }

    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let (url, user, password) = (self.server.url(), self.server.user(), self.server.password());
        self.runtime.block_on(query_with(&self.client, &url, user, password, sql))
    }

    /// The answer to `sql`, without the line break at its end.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap().trim_end().to_owned()
    }

    /// The rows that `from` (a table expression with the columns of `spec`) holds, in order of key, as JSON objects.
    pub fn rows(&self, spec: &ViewSpec, from: &str) -> Vec<Json> {
        let columns: Vec<String> = spec
            .columns
            .iter()
            .map(|column| match column.ty {
                Type::Time => format!("toUnixTimestamp64Milli(`{0}`) AS `{0}`", column.name),
                _ => format!("`{}`", column.name),
            })
            .collect();
        let answer = self.query(&format!(
            "SELECT {} FROM {from} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0",
            columns.join(", ")
        ));
        let row = |line| {
            let mut row: Json = serde_json::from_str(line).unwrap();
            for column in spec.columns.iter().filter(|column| column.ty == Type::Float) {
                // ClickHouse prints the double 1 as `1`.
                if let Some(float) = row[column.name].as_f64() {
                    row[column.name] = float.into();
                }
            }
            row
        };
        history::sorted(answer.lines().map(row).collect())
    }

    /// Ends the server as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        let pid = self.server.process_id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        let error = self.runtime.block_on(self.server.failed());
        assert!(error.to_string().contains("signal: 9"), "{error}");
    }

    pub fn restart(&mut self) {
        self.runtime.block_on(self.server.restart()).unwrap();
    }

    /// Waits until `condition` holds, at most 60 s.
    pub fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        self.runtime.block_on(async {
            let holds = async {
                while !condition() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            assert!(tokio::time::timeout(Duration::from_secs(60), holds).await.is_ok(), "waited for {what}");
        });
    }
}
