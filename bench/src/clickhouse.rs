//! The embedded ClickHouse as a server of the harness: for contestants and for the third stage of latency.
//!
//! It is started through the hidden subcommand by which `chengmai` starts its own, with limits and a user of the
//! harness, and ends with it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::{Error, Result};

/// Memory that the server may take, bytes.
const MEMORY: u64 = 4 << 30;
/// How long it may take to start.
const START: Duration = Duration::from_secs(60);
const USER: &str = "bench";
const PASSWORD: &str = "loopback-only";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
}

/// Somebody who asks it.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    http: reqwest::Client,
}

impl Client {
    /// The answer to a query, as text.
    ///
    /// # Errors
    /// What ClickHouse says is wrong.
    pub async fn query(&self, sql: &str) -> Result<String> {
        let failed = |e: reqwest::Error| Error::external("ClickHouse does not answer").caused_by(e);
        let request = self.http.post(&self.url).basic_auth(USER, Some(PASSWORD)).body(sql.to_owned());
        let answer = request.send().await.map_err(failed)?;
        let (status, text) = (answer.status(), answer.text().await.map_err(failed)?);
        match status.is_success() {
            true => Ok(text),
            false => Err(Error::external(format!("ClickHouse: {}", text.trim()))),
        }
    }
}

impl Server {
    /// Starts it with its data in `folder`.
    ///
    /// # Errors
    /// When the library is not there or it does not start.
    pub fn start(program: &Path, root: &Path, folder: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::external("ClickHouse cannot be started").caused_by(e);
        let library = root.join("../.cache/clickhouse/26.7/libchdb.so");
        if !library.exists() {
            let text = format!("{} is not there; `make clickhouse` fetches it", library.display());
            return Err(Error::external(text));
        }
        let data = folder.join("server");
        std::fs::create_dir_all(&data).map_err(failed)?;
        let folder = std::path::absolute(folder).map_err(failed)?;
        let users = folder.join("users.xml");
        let config = folder.join("config.xml");
        std::fs::write(
            &users,
            format!(
                "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>\
                 <default><no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile>\
                 <quota>default</quota></default>\
                 <{USER}><password>{PASSWORD}</password><networks><ip>127.0.0.1</ip></networks>\
                 <profile>default</profile><quota>default</quota></{USER}></users></clickhouse>"
            ),
        )
        .map_err(failed)?;
        std::fs::write(
            &config,
            format!(
                "<clickhouse><users_config>{}</users_config>\
                 <max_server_memory_usage>{MEMORY}</max_server_memory_usage></clickhouse>",
                users.display()
            ),
        )
        .map_err(failed)?;
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(failed)?.port();
        let log = std::fs::File::create(folder.join("server.log")).map_err(failed)?;
        let child = Command::new(program)
            .arg("clickhouse-child")
            .arg("--library")
            .arg(&library)
            .arg("--path")
            .arg(&data)
            .arg("--config")
            .arg(&config)
            .args(["--http-port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let mut server = Self { child, port };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let failed = |e: std::io::Error| Error::internal("no runtime").caused_by(e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let deadline = Instant::now() + START;
        let client = self.client();
        loop {
            match runtime.block_on(client.query("SELECT 1")) {
                Ok(_) => return Ok(()),
                Err(e) if Instant::now() > deadline => return Err(e),
                Err(_) => std::thread::park_timeout(Duration::from_millis(100)),
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::external(format!("ClickHouse ended: {status}")));
            }
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Somebody who asks it.
    pub fn client(&self) -> Client {
        Client { url: format!("http://127.0.0.1:{}/", self.port), http: reqwest::Client::new() }
    }

    /// The settings with which `chengmai serve` uses it.
    pub fn settings(&self) -> Vec<String> {
        vec![
            "clickhouse.mode=external".to_owned(),
            format!("clickhouse.url=http://127.0.0.1:{}", self.port),
            format!("clickhouse.user={USER}"),
            format!("clickhouse.password={PASSWORD}"),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closing its input ends it at once.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
