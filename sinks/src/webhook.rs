//! The webhook: tells another system of incidents as they open, get worse or milder, and end.
//!
//! **What is sent.** When the state or severity of an incident of the view `incidents` changes, and it is neither
//! inhibited nor under maintenance, its row goes to the configured address: `POST`, JSON
//! `{"delivery", "tick", "incident": {…}}`. Header `X-Chengmai-Signature` is `sha256=` and the HMAC-SHA256 of the body
//! under the shared secret, in hex; `X-Chengmai-Delivery` names the delivery, the same in each attempt.
//!
//! **When.** In order of tick. An answer of 2xx is taken; one of 4xx (but 408 and 429) is final, and logged; anything
//! else is tried again after a pause that doubles from [`RETRY_FIRST`] to [`RETRY_LAST`]. An incident that changes while
//! it waits is sent once, as it is then, so what waits is bounded by the number of incidents.
//!
//! **After a restart.** Each delivery is recorded in topic `<prefix>webhook` with its tick; frames are given again, and
//! what is recorded is not sent again. Should the program die between answer and record, the delivery comes twice, with
//! the same name: the receiver can tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use foldhash::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use model::{Error, Frame, Names, Op, Result, Tick, ViewId, ViewSpec};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::topics::TopicWriter;

/// The view whose rows are sent.
const VIEW: &str = "incidents";
/// Pause before the second attempt.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
/// Longest pause between attempts.
pub const RETRY_LAST: Duration = Duration::from_secs(60);
/// An attempt may take this long.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Frames that may wait to be looked at.
const QUEUE: usize = 1024;
/// The thread looks this often whether it is to end.
const IDLE: Duration = Duration::from_millis(200);

/// Where to, and the secret shared with the receiver.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The address.
    pub url: String,
    /// The secret.
    pub secret: String,
    /// The topic of deliveries.
    pub topic: String,
}

/// The running webhook.
#[derive(Debug)]
pub struct Webhook {
    frames: Sender<Arc<Frame>>,
    thread: JoinHandle<()>,
}

/// The record of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Delivered {
    tick: Tick,
    incident: String,
    /// The answer.
    status: u16,
}

impl Webhook {
    /// Starts the thread that sends. `log` is a writer of the topic of deliveries.
    ///
    /// # Errors
    /// Those of the log; a user error when the topic holds something else; internal when the view is not there.
    pub fn start(
        config: WebhookConfig,
        specs: &[ViewSpec],
        names: Arc<Names>,
        mut log: impl TopicWriter + 'static,
    ) -> Result<Self> {
        let last = match log.last(&config.topic)? {
            None => None,
            Some(value) => Some(serde_json::from_slice::<Delivered>(&value).map_err(|e| {
                Error::user(format!("the last record of topic {} is no delivery", config.topic)).caused_by(e)
            })?),
        };
        let outbox = Outbox::new(specs, last.map(|last| (last.tick, last.incident)))?;
        let client = reqwest::Client::builder()
            .timeout(ATTEMPT)
            .build()
            .map_err(|e| Error::internal("no HTTP client").caused_by(e))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::internal("no runtime for the webhook").caused_by(e))?;
        let (frames, queue) = crossbeam_channel::bounded(QUEUE);
        let mut run = Run { config, outbox, names, log: Box::new(log), client, runtime };
        let thread = std::thread::Builder::new()
            .name("webhook".into())
            .spawn(move || run.run(&queue))
            .map_err(|e| Error::internal("a thread cannot be started").caused_by(e))?;
        Ok(Self { frames, thread })
    }

    /// Hands it a frame; waits while its queue is full.
    ///
    /// # Errors
    /// When its thread has ended.
    pub fn send(&self, frame: Arc<Frame>) -> Result<()> {
        self.frames.send(frame).map_err(|_| Error::internal("the webhook has ended"))
    }

    /// Ends it; what is not delivered will be after the next start.
    pub fn stop(self) {
        drop(self.frames);
        if self.thread.join().is_err() {
            tracing::error!("the webhook's thread panicked");
        }
    }
}

/// What is to be sent, and what was.
struct Outbox {
    view: ViewId,
    spec: ViewSpec,
    places: [usize; 5],
    /// The last delivery of an earlier run.
    done: Option<(Tick, String)>,
    /// By incident: state and severity as the receiver knows them.
    told: HashMap<String, (String, String)>,
    /// By tick and incident: state, severity and body.
    waiting: BTreeMap<(Tick, String), (String, String, Vec<u8>)>,
    /// At which tick an incident waits.
    places_of: HashMap<String, Tick>,
}

impl Outbox {
    fn new(specs: &[ViewSpec], done: Option<(Tick, String)>) -> Result<Self> {
        let missing = |what: &str| Error::internal(format!("the webhook needs {what}"));
        let view =
            specs.iter().position(|spec| spec.name == VIEW).ok_or_else(|| missing("the view incidents"))?;
        let spec = specs[view];
        let mut places = [0; 5];
        let columns = ["incident_id", "state", "severity", "inhibited_by", "maintenance"];
        for (place, name) in places.iter_mut().zip(columns) {
            *place = spec.column(name).ok_or_else(|| missing(&format!("the column {name} of incidents")))?;
        }
        let view = u16::try_from(view).map_err(|_| Error::internal("a place of a view fits 16 bits"))?;
        let (told, places_of) = (HashMap::default(), HashMap::default());
        Ok(Self { view: ViewId(view), spec, places, done, told, waiting: BTreeMap::new(), places_of })
    }

    /// Takes in a frame.
    fn take(&mut self, frame: &Frame, names: &Names) {
        for step in frame.steps.iter().filter(|step| step.view == self.view) {
            for change in step.changes.iter() {
                let text = |n: usize| change.row[self.places[n]].as_str(names).map(str::to_owned);
                let Some(id) = text(0) else { continue };
                if change.op == Op::Delete {
                    // It is old, or its alerts were withdrawn: the receiver is told no more.
                    self.told.remove(&id);
                    if let Some(tick) = self.places_of.remove(&id) {
                        self.waiting.remove(&(tick, id));
                    }
                    continue;
                }
                if text(3).is_some() || text(4).is_some() {
                    continue;
                }
                let is = (text(1).unwrap_or_default(), text(2).unwrap_or_default());
                if let Some(tick) = self.places_of.get(&id).copied() {
                    let place = (tick, id.clone());
                    // What waits already says so, under the delivery that may have been tried.
                    if self.waiting.get(&place).is_some_and(|waits| (&waits.0, &waits.1) == (&is.0, &is.1)) {
                        continue;
                    }
                    self.waiting.remove(&place);
                    self.places_of.remove(&id);
                }
                if self.told.get(&id) == Some(&is) {
                    continue;
                }
                let key = (change.tick, id.clone());
                if self.done.as_ref().is_some_and(|done| key <= *done) {
                    self.told.insert(id, is);
                    continue;
                }
                let delivery = serde_json::Value::from(format!("{id}@{}", change.tick));
                let mut body =
                    format!("{{\"delivery\":{delivery},\"tick\":{},\"incident\":", change.tick).into_bytes();
                model::view::write_row_json(&self.spec, change.row, names, &mut body);
                body.push(b'}');
                self.places_of.insert(id, change.tick);
                self.waiting.insert(key, (is.0, is.1, body));
            }
        }
    }

    /// The first of what waits was delivered.
    fn delivered(&mut self) {
        if let Some(((_, id), (state, severity, _))) = self.waiting.pop_first() {
            self.places_of.remove(&id);
            self.told.insert(id, (state, severity));
        }
    }
}

struct Run {
    config: WebhookConfig,
    outbox: Outbox,
    names: Arc<Names>,
    log: Box<dyn TopicWriter>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Run {
    fn run(&mut self, queue: &Receiver<Arc<Frame>>) {
        let (mut pause, mut next) = (Duration::ZERO, Instant::now());
        // An answer that came but is not recorded yet.
        let mut answered: Option<Delivered> = None;
        loop {
            let wait = match self.outbox.waiting.is_empty() {
                true => IDLE,
                false => next.saturating_duration_since(Instant::now()).min(IDLE),
            };
            match queue.recv_timeout(wait) {
                Ok(frame) => {
                    self.outbox.take(&frame, &self.names);
                    while let Ok(frame) = queue.try_recv() {
                        self.outbox.take(&frame, &self.names);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() < next {
                continue;
            }
            let Some(((tick, incident), (_, _, body))) = self.outbox.waiting.first_key_value() else {
                continue;
            };
            let is_same = |answered: &&Delivered| (answered.tick, &answered.incident) == (*tick, incident);
            let record = match answered.as_ref().filter(is_same) {
                Some(record) => record.clone(),
                None => match self.attempt(*tick, incident, body) {
                    Ok(status) => Delivered { tick: *tick, incident: incident.clone(), status },
                    Err(e) => {
                        pause = if pause.is_zero() { RETRY_FIRST } else { (pause * 2).min(RETRY_LAST) };
                        next = Instant::now() + pause;
                        tracing::warn!(error = %e, "the webhook did not take an incident; it is tried again");
                        continue;
                    }
                },
            };
            let value = serde_json::to_vec(&record).unwrap_or_default();
            match self.log.append_atomic(&self.config.topic, vec![(None, value)]) {
                Ok(()) => {
                    (answered, pause) = (None, Duration::ZERO);
                    self.outbox.delivered();
                }
                Err(e) => {
                    tracing::warn!(error = %e, "a delivery cannot be recorded; it is tried again");
                    (answered, next) = (Some(record), Instant::now() + RETRY_FIRST);
                }
            }
        }
    }

    /// One attempt: the status when the answer is final.
    fn attempt(&self, tick: Tick, incident: &str, body: &[u8]) -> Result<u16> {
        let request = self
            .client
            .post(&self.config.url)
            .header("content-type", "application/json")
            .header("x-chengmai-delivery", header(&format!("{incident}@{tick}")))
            .header("x-chengmai-signature", signature(&self.config.secret, body))
            .body(body.to_vec());
        let answer = self
            .runtime
            // Made within the runtime: a request with a time limit needs its clock.
            .block_on(async move { request.send().await })
            .map_err(|e| Error::external(format!("{} cannot be reached", self.config.url)).caused_by(e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        if status.is_client_error() && ![408, 429].contains(&status.as_u16()) {
            tracing::error!(%status, incident, "the webhook refused an incident");
            return Ok(status.as_u16());
        }
        Err(Error::external(format!("{} answered {status}", self.config.url)))
    }
}

/// Text as a header may hold it: what is not visible ASCII is percent-encoded.
fn header(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `sha256=` and the HMAC-SHA256 of `body` in hex.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use model::{Changes, Column, Step, Type, Value};
    use parking_lot::Mutex;

    use super::*;
    use crate::topics::Record;

    const INCIDENTS: ViewSpec = ViewSpec {
        name: VIEW,
        zh: "",
        doc: "",
        key: 1,
        columns: &[
            Column::new("incident_id", Type::Text, "", ""),
            Column::new("state", Type::Text, "", ""),
            Column::new("severity", Type::Text, "", ""),
            Column::new("inhibited_by", Type::Text, "", "").nullable(),
            Column::new("maintenance", Type::Text, "", "").nullable(),
        ],
        bounded_by: "",
    };

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<Vec<u8>>>>);

    impl TopicWriter for Memory {
        fn last(&mut self, _topic: &str) -> Result<Option<Vec<u8>>> {
            Ok(self.0.lock().last().cloned())
        }

        fn append_atomic(&mut self, _topic: &str, records: Vec<Record>) -> Result<()> {
            self.0.lock().extend(records.into_iter().map(|(_, value)| value));
            Ok(())
        }
    }

    fn frame(names: &Names, tick: Tick, rows: &[(&'static str, &'static str, bool)]) -> Arc<Frame> {
        let mut changes = Changes::new(5);
        for (id, state, inhibited) in rows {
            let by = if *inhibited { Value::Literal("gateway") } else { Value::Null };
            let id = Value::Name(names.intern(id));
            let row = [id, Value::Literal(state), Value::Literal("severe"), by, Value::Null];
            changes.push(tick, Op::Upsert, &row);
        }
        let (lower, upper) = (tick, tick + 1);
        Arc::new(Frame { lower, upper, tick, steps: vec![Step { view: ViewId(0), lower, upper, changes }] })
    }

    /// A receiver that answers with each of `answers` in turn, and hands out what it got: delivery, signature, body.
    fn receiver(answers: Vec<u16>) -> (String, Receiver<(String, String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (got, all) = crossbeam_channel::unbounded();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut length, mut delivery, mut signature) = (0, String::new(), String::new());
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.trim().split_once(": ") else {
                        if line.trim().is_empty() { break } else { continue }
                    };
                    match name.to_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap(),
                        "x-chengmai-delivery" => delivery = value.to_owned(),
                        "x-chengmai-signature" => signature = value.to_owned(),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                write!(stream, "HTTP/1.1 {answer} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
                got.send((delivery, signature, body)).unwrap();
            }
        });
        (url, all)
    }

    #[test]
    fn incidents_are_sent_signed_in_order_tried_again_and_not_sent_twice() {
        let names = Arc::new(Names::new());
        let log = Memory::default();
        let (url, got) = receiver(vec![503, 200, 400, 200]);
        let start = || {
            let config = WebhookConfig { url: url.clone(), secret: "s".into(), topic: "city.webhook".into() };
            Webhook::start(config, &[INCIDENTS], Arc::clone(&names), log.clone()).unwrap()
        };
        let next = || got.recv_timeout(Duration::from_secs(20)).unwrap();
        let frames = [
            frame(&names, 200, &[("a", "open", false), ("hidden", "open", true)]),
            frame(&names, 400, &[("a", "open", false), ("b", "open", false)]),
        ];
        let hook = start();
        for frame in &frames {
            hook.send(Arc::clone(frame)).unwrap();
        }
        let (first, second, third) = (next(), next(), next());
        assert_eq!((first.0.as_str(), second.0.as_str(), third.0.as_str()), ("a@200", "a@200", "b@400"));
        assert_eq!(first.1, signature("s", &first.2));
        let body: serde_json::Value = serde_json::from_slice(&first.2).unwrap();
        assert_eq!((&body["tick"], &body["incident"]["state"]), (&200.into(), &"open".into()));
        while log.0.lock().len() < 2 {
            std::thread::yield_now();
        }
        hook.stop();
        let hook = start();
        for frame in &frames {
            hook.send(Arc::clone(frame)).unwrap();
        }
        hook.send(frame(&names, 600, &[("a", "cleared", false)])).unwrap();
        assert_eq!(next().0, "a@600", "what was delivered or refused is not sent again");
        hook.stop();
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
        assert_eq!(header("路/1 %"), "%E8%B7%AF/1%20%25");
    }
}
