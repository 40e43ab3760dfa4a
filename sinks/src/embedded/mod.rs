//! ClickHouse without a ClickHouse: the engine from `libchdb.so` as a child process that speaks HTTP on 127.0.0.1.
//!
//! [`Server::start`] writes the server's configuration, starts this program's own executable with the hidden
//! subcommand ([`CHILD_COMMAND`]) and waits until the server answers with the password it was given. The child ends
//! when its standard input closes, so it never outlives this process. A child that dies is reported by
//! [`Server::failed`]; [`Server::restart`] brings it back on the same port with the same password, so that a sink that
//! retries simply goes on.
//!
//! Secrets: the password is 24 random bytes, new for each [`Server`]; the server's file holds its SHA-256, readable by
//! the owner alone, and no command line holds it. The user `default`, as whom the library's own script must run, may
//! open the port and read `system.numbers` and nothing else.
//!
//! State: the child, the folder of the configuration, and its last lines of output ([`KEPT_LINES`]).

mod child;
mod config;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{Error, Result};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

pub use child::{CHILD_COMMAND, ChildArgs, run_child};

use crate::clickhouse::server_version;

/// The user as whom everything is done.
const USER: &str = "chengmai";
/// How long a child may take to answer, and how long a restart waits for its predecessor to leave the folder.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two questions whether the child answers.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a child may take to end after its input closed, before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Lines of the child's output kept for an error message.
const KEPT_LINES: usize = 20;

/// What an embedded server needs to know.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// `libchdb.so`.
    pub library: PathBuf,
    /// The folder for the data, made if it is missing. One server per folder.
    pub data: PathBuf,
    /// The program to start with [`CHILD_COMMAND`]: this one (`std::env::current_exe`).
    pub executable: PathBuf,
    /// Most memory the server may use, in bytes.
    pub memory_limit_bytes: u64,
    /// The HTTP port on 127.0.0.1; `None` takes a free one.
    pub http_port: Option<u16>,
}

/// A running embedded server. Dropping it ends the child.
#[derive(Debug)]
pub struct Server {
    config: EmbeddedConfig,
    password: String,
    port: u16,
    running: Running,
}

/// A child, what keeps it alive, and what it said.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Held here and not by `child`, which would close it as soon as it is waited for.
    input: Option<ChildStdin>,
    output: Output,
}

/// The last lines the child wrote to standard error.
type Output = Arc<Mutex<VecDeque<String>>>;

impl Server {
    /// Starts the server and waits until it answers, at most 30 s.
    ///
    /// # Errors
    /// A user error when the library is missing, which names where it was looked for and what fetches it, or when the
    /// folder cannot be written; external when another process uses the folder, the port is taken, or the server does
    /// not come up: the text holds its last words.
    pub async fn start(config: EmbeddedConfig) -> Result<Self> {
        if !config.library.is_file() {
            return Err(Error::user(format!(
                "the ClickHouse library is missing: looked for {}. Run `make clickhouse` to fetch it, or set the URL \
                 of a ClickHouse server to use instead",
                config.library.display()
            )));
        }
        let password = config::random_password()?;
        config::write(&config, USER, &password)?;
        let (running, port) = launch(&config, &password, config.http_port).await?;
        Ok(Self { config, password, port, running })
    }

    /// Where it speaks HTTP, such as `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The user to connect as.
    pub fn user(&self) -> &str {
        USER
    }

    /// The user's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The child's process id, or `None` after its end was seen.
    pub fn process_id(&self) -> Option<u32> {
        self.running.child.id()
    }

    /// Waits until the child has died and says how. Pending as long as the server runs.
    pub async fn failed(&mut self) -> Error {
        let status = self.running.child.wait().await;
        died(status, &self.running.output)
    }

    /// Brings a dead server back, with the same address, user and password; a running one is stopped first. Call it
    /// after a pause that grows with each failure.
    ///
    /// # Errors
    /// Those of [`Server::start`]; also external when another process took the port meanwhile.
    pub async fn restart(&mut self) -> Result<()> {
        end(&mut self.running).await?;
        (self.running, self.port) = launch(&self.config, &self.password, Some(self.port)).await?;
        Ok(())
    }

    /// Ends the server. Everything it acknowledged is in its files.
    ///
    /// # Errors
    /// External when the process cannot be ended.
    pub async fn stop(mut self) -> Result<()> {
        end(&mut self.running).await
    }
}

fn url(port: u16) -> String {
    format!("http://{}:{port}", Ipv4Addr::LOCALHOST)
}

/// Closes the child's input and waits for its end, by force if need be.
async fn end(Running { child, input, .. }: &mut Running) -> Result<()> {
    drop(input.take());
    if timeout(END_WITHIN, child.wait()).await.is_err() {
        tracing::warn!("the embedded ClickHouse did not end in {END_WITHIN:?} and is killed");
        child
            .kill()
            .await
            .map_err(|e| Error::external("the embedded ClickHouse cannot be killed").caused_by(e))?;
    }
    Ok(())
}

/// Starts a child on `port`, or on a free one, and waits until it answers. A predecessor that is just ending may hold
/// the folder for a moment, and a free port may be taken before the child opens it: both are tried again.
async fn launch(config: &EmbeddedConfig, password: &str, port: Option<u16>) -> Result<(Running, u16)> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let chosen = match port {
            Some(port) => port,
            None => free_port()?,
        };
        let mut running = spawn(config, chosen)?;
        match ready(&mut running, chosen, password, deadline).await {
            Ok(()) => return Ok((running, chosen)),
            Err(error) => {
                end(&mut running).await?;
                let text = error.to_string();
                // Code 76 = CANNOT_OPEN_FILE: the folder's status file is locked. Code 210 = NETWORK_ERROR.
                let passing =
                    text.contains("Code: 76.") || (port.is_none() && text.contains("Address already"));
                if !passing || Instant::now() >= deadline {
                    return Err(error);
                }
                sleep(ASK_EVERY).await;
            }
        }
    }
}

/// A port nobody listens on at this moment.
fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| Error::external("no free port on 127.0.0.1").caused_by(e))
}

fn spawn(config: &EmbeddedConfig, port: u16) -> Result<Running> {
    let args = ChildArgs {
        library: config.library.clone(),
        path: config::server_folder(config),
        config: config::config_file(config),
        http_port: port,
    };
    let mut child = Command::new(&config.executable)
        .args(args.command_line())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A Ctrl-C at the terminal is for the parent, who ends the child when it has written everything.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| {
            Error::external(format!("{} cannot be started as ClickHouse", config.executable.display()))
                .caused_by(e)
        })?;
    let output = Output::default();
    if let Some(stderr) = child.stderr.take() {
        let kept = Arc::clone(&output);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!(target: "sinks::embedded::output", "{line}");
                let mut kept = kept.lock();
                if kept.len() == KEPT_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
    }
    let input = child.stdin.take();
    Ok(Running { child, input, output })
}

/// Waits until the server on `port` answers to our password, which also proves that it is ours.
async fn ready(running: &mut Running, port: u16, password: &str, deadline: Instant) -> Result<()> {
    let url = url(port);
    loop {
        match server_version(&url, USER, password).await {
            Ok(version) => {
                tracing::info!(%url, %version, "the embedded ClickHouse is ready");
                return Ok(());
            }
            // The child writes why it died before it dies, and the line takes a moment through the pipe.
            Err(last) => match timeout(ASK_EVERY, running.child.wait()).await {
                Ok(status) => {
                    sleep(ASK_EVERY).await;
                    return Err(died(status, &running.output));
                }
                Err(_) if Instant::now() >= deadline => {
                    return Err(Error::external(format!(
                        "the embedded ClickHouse did not answer within {} s",
                        READY_WITHIN.as_secs()
                    ))
                    .caused_by(last));
                }
                Err(_) => {}
            },
        }
    }
}

fn died(status: std::io::Result<ExitStatus>, output: &Output) -> Error {
    let how = match status {
        Ok(status) => status.to_string(),
        Err(e) => e.to_string(),
    };
    let lines: Vec<String> = output.lock().iter().cloned().collect();
    let said = if lines.is_empty() { "it said nothing".to_owned() } else { lines.join(" | ") };
    Error::external(format!("the embedded ClickHouse has ended ({how}): {said}"))
}
