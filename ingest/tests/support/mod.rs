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

/// Two neighbouring free ports: the broker's and its controller's.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// The address of the broker of this test binary.
pub fn brokers() -> String {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    let broker = BROKER.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka.sh");
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
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
                panic!("the Kafka broker ended with {status}; is Java 17 there? {log}");
            }
            assert!(Instant::now() < deadline, "the Kafka broker does not answer");
        }
        Broker { port, _script: child, _folder: folder }
    });
    format!("127.0.0.1:{}", broker.port)
}

/// The broker of this test binary as a log.
pub fn kafka() -> KafkaLog {
    KafkaLog::connect(&brokers(), &BTreeMap::new()).unwrap()
}
