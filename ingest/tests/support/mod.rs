//! A real Kafka broker for the tests of one binary: started by the script, ended when the process ends.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ingest::log::kafka::KafkaLog;

struct Broker {
    port: u16,
    /// Its input is what keeps the broker alive: it closes with this process, however that ends.
    _script: Child,
    _folder: tempfile::TempDir,
}

/// How long a broker may take to answer, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Where brokers listen: below the ports that systems give to outgoing connections. One of those could be given away
/// between our look and the broker's start, even to our own attempts to connect.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How many pairs of ports are tried, should another process take one after our look.
const STARTS: usize = 5;

/// Two neighbouring free ports: the broker's and its controller's. Other processes begin to look elsewhere.
fn free_port(start: usize) -> u16 {
    let pairs = PORTS.len() / 2;
    let first = std::process::id() as usize + start * pairs / STARTS;
    let port = |n: usize| PORTS.start + ((first + n) % pairs * 2) as u16;
    let free =
        |port: &u16| [*port, port + 1].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    (0..pairs).map(port).find(free).expect("two free ports")
}

/// Starts a broker; `None` when its port was taken before it could listen.
fn start(attempt: usize) -> Option<Broker> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka.sh");
    let folder = tempfile::tempdir().unwrap();
    let port = free_port(attempt);
    let mut child = Command::new(&script)
        .args(["run", &port.to_string()])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: cannot be run: {e}", script.display()));
    let deadline = Instant::now() + READY_WITHIN;
    while KafkaLog::connect(&format!("127.0.0.1:{port}"), &BTreeMap::new()).is_err() {
        if let Some(status) = child.try_wait().unwrap() {
            let log = std::fs::read_to_string(folder.path().join("broker.log")).unwrap_or_default();
            if log.contains("Address already in use") {
                return None;
            }
            panic!("the Kafka broker ended with {status}; is Java 17 there? {log}");
        }
        assert!(Instant::now() < deadline, "the Kafka broker does not answer");
    }
    Some(Broker { port, _script: child, _folder: folder })
}

/// The address of the broker of this test binary.
pub fn brokers() -> String {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    let broker = BROKER.get_or_init(|| (0..STARTS).find_map(start).expect("ports that nobody takes"));
    format!("127.0.0.1:{}", broker.port)
}

/// The broker of this test binary as a log.
pub fn kafka() -> KafkaLog {
    KafkaLog::connect(&brokers(), &BTreeMap::new()).unwrap()
}
