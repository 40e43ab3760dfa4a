//! Apache Kafka as the log.
//!
//! **Mechanism.** One consumer per reader, assigned to its partitions at given offsets: no group, no commits, no
//! rebalance; the offsets are ours (the clock log). It reads committed records only. Appends go through one idempotent
//! producer and wait for every acknowledgement. A fenced writer is a transactional producer: a newer one of the same
//! name makes the broker refuse the older.
//!
//! **State.** librdkafka's bounded queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Error, Result};
use parking_lot::{Condvar, Mutex};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::{FencedWriter, Log, NewRecord, Reader, Record, Source};

/// How long a request to the brokers may take.
const REQUEST: Duration = Duration::from_secs(20);
/// How long a produced record may wait for its acknowledgement.
const DELIVERY: Duration = Duration::from_secs(60);
/// How long a fenced writer rests after a transaction. The broker goes on writing down that it has ended for a moment after
/// it was acknowledged; a transaction that begins before that is refused, and the client tries again only 20 ms later.
const REST: Duration = Duration::from_millis(3);
/// How long to wait for room in a full queue before trying again.
const FULL: Duration = Duration::from_millis(1);

/// How often a reader tries to give its partitions queues of their own before the first of them has something.
const ASSIGN_TRIES: usize = 10;

/// A Kafka cluster.
pub struct KafkaLog {
    config: ClientConfig,
    producer: ThreadedProducer<Deliveries>,
    /// For metadata and watermarks.
    client: BaseConsumer,
}

/// Whose fault a Kafka error is, and whether to try again: decided here and nowhere else.
fn failed(what: impl Into<String>, e: KafkaError) -> Error {
    let code = e.rdkafka_error_code();
    let error = match code {
        Some(
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::ProducerFenced,
        ) => Error::refused(format!("fenced: {}, a newer writer has taken over", what.into())),
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            Error::user(format!("kafka: {}", what.into()))
        }
        Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedFeature,
        ) => Error::refused(format!("kafka: {}", what.into())),
        _ => Error::external(format!("kafka: {}", what.into())),
    };
    error.caused_by(e)
}

/// Where a record went.
type Place = std::result::Result<(u16, u64), KafkaError>;

/// Records on their way together.
struct Batch {
    places: Mutex<Places>,
    arrived: Condvar,
}

struct Places {
    of: Vec<Option<Place>>,
    /// How many are not known yet.
    open: usize,
}

impl Batch {
    fn new(records: usize) -> Self {
        let places = Places { of: vec![None; records], open: records };
        Self { places: Mutex::new(places), arrived: Condvar::new() }
    }

    fn arrive(&self, index: usize, place: Place) {
        let mut places = self.places.lock();
        places.of[index] = Some(place);
        places.open -= 1;
        if places.open == 0 {
            self.arrived.notify_all();
        }
    }

    /// Waits until all are known, or the time is over.
    fn wait(&self, deadline: Instant) -> Vec<Option<Place>> {
        let mut places = self.places.lock();
        while places.open > 0 && !self.arrived.wait_until(&mut places, deadline).timed_out() {}
        places.of.clone()
    }
}

struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<(Arc<Batch>, usize)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let (batch, index) = *opaque;
        let place = match result {
            Ok(message) => Ok((message.partition() as u16, message.offset() as u64)),
            Err((e, _)) => Err(e.clone()),
        };
        batch.arrive(index, place);
    }
}

impl KafkaLog {
    /// A log on the cluster at `brokers` (host:port, comma separated); `settings` go to librdkafka as they are.
    ///
    /// # Errors
    /// When a setting is wrong or no broker answers.
    pub fn connect(brokers: &str, settings: &BTreeMap<String, String>) -> Result<KafkaLog> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("client.id", "chengmai");
        for (key, value) in settings {
            config.set(key, value);
        }
        let wrong = |e| Error::user("kafka: a client setting is wrong").caused_by(e);
        let producer = config
            .clone()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // The same key goes to the same partition whatever client produces it.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "2")
            .set("message.max.bytes", super::MAX_BATCH.to_string())
            .set("message.timeout.ms", DELIVERY.as_millis().to_string())
            .create_with_context(Deliveries)
            .map_err(wrong)?;
        let client: BaseConsumer = config.clone().set("group.id", "chengmai").create().map_err(wrong)?;
        client
            .fetch_metadata(None, REQUEST)
            .map_err(|e| failed(format!("no broker answers at {brokers}"), e))?;
        Ok(KafkaLog { config, producer, client })
    }

    fn partitions(&self, topic: &str) -> Result<u16> {
        let metadata = self
            .client
            .fetch_metadata(Some(topic), REQUEST)
            .map_err(|e| failed(format!("topic `{topic}`"), e))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found.filter(|found| found.error().is_none()).map_or(0, |found| found.partitions().len() as u16))
    }

    fn offsets(&self, topic: &str) -> Result<Vec<(u64, u64)>> {
        let n = self.partitions(topic)?;
        if n == 0 {
            return Err(Error::user(format!("kafka: there is no topic `{topic}`")));
        }
        let offsets = |partition| {
            let (low, high) = self
                .client
                .fetch_watermarks(topic, i32::from(partition), REQUEST)
                .map_err(|e| failed(format!("offsets of `{topic}`"), e))?;
            Ok((low.max(0) as u64, high.max(0) as u64))
        };
        (0..n).map(offsets).collect()
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        self.config.create().map_err(|e| failed("an admin client", e))
    }
}

/// Queues records and waits until each of them is acknowledged, whatever else is on its way: partition and offset of each.
fn produce(
    producer: &ThreadedProducer<Deliveries>,
    topic: &str,
    partition: Option<i32>,
    records: &[NewRecord],
) -> Result<Vec<(u16, u64)>> {
    let failed = |e| failed(format!("append to `{topic}`"), e);
    let deadline = Instant::now() + DELIVERY + REQUEST;
    let batch = Arc::new(Batch::new(records.len()));
    for (index, record) in records.iter().enumerate() {
        let mut next: BaseRecord<'_, [u8], [u8], _> =
            BaseRecord::with_opaque_to(topic, Box::new((Arc::clone(&batch), index)));
        if let Some(key) = &record.key {
            next = next.key(key);
        }
        if let Some(value) = &record.value {
            next = next.payload(value);
        }
        if let Some(partition) = partition {
            next = next.partition(partition);
        }
        // A full queue empties as acknowledgements come in.
        while let Err((e, unsent)) = producer.send(next) {
            if e.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || Instant::now() > deadline {
                return Err(failed(e));
            }
            std::thread::park_timeout(FULL);
            next = unsent;
        }
    }
    let place = |place: Option<Place>| match place {
        Some(place) => place.map_err(failed),
        None => Err(Error::external(format!("kafka: append to `{topic}` was not acknowledged"))),
    };
    batch.wait(deadline).into_iter().map(place).collect()
}

impl Log for KafkaLog {
    fn ensure_topic(&self, topic: &str, partitions: u16, compacted: bool) -> Result<u16> {
        let there = self.partitions(topic)?;
        if there > 0 {
            return Ok(there);
        }
        let max_batch = super::MAX_BATCH.to_string();
        // A broker's own defaults would forget after a week what a restart must read again, and refuse a record of the
        // contract's full length. When records came is for the broker to say, not for whoever sends them.
        let mut wanted = NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(-1))
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("max.message.bytes", &max_batch)
            .set("message.timestamp.type", "LogAppendTime");
        if compacted {
            wanted = wanted.set("cleanup.policy", "compact");
        }
        let options = AdminOptions::new().operation_timeout(Some(REQUEST));
        let results = futures_executor::block_on(self.admin()?.create_topics([&wanted], &options))
            .map_err(|e| failed(format!("topic `{topic}` cannot be made"), e))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    return Err(failed(format!("topic `{topic}` cannot be made"), KafkaError::AdminOp(code)));
                }
            }
        }
        // A new topic takes a moment to get known to the brokers.
        let deadline = Instant::now() + REQUEST;
        loop {
            let there = self.partitions(topic)?;
            if there > 0 {
                return Ok(there);
            }
            if Instant::now() > deadline {
                return Err(Error::external(format!("kafka: topic `{topic}` was made but does not appear")));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<(u16, u64)>> {
        produce(&self.producer, topic, None, &records)
    }

    fn reader(&self, sources: Vec<Source>) -> Result<Box<dyn Reader>> {
        let consumer: BaseConsumer<Quiet> = self
            .config
            .clone()
            .set("group.id", "chengmai")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "20")
            .set("queued.min.messages", "100000")
            // Of each partition, since each has a queue of its own.
            .set("queued.max.messages.kbytes", "16384")
            .create_with_context(Quiet)
            .map_err(|e| failed("a consumer", e))?;
        let mut assignment = TopicPartitionList::new();
        for source in &sources {
            if source.partition >= self.partitions(&source.topic)? {
                let text = format!("kafka: topic `{}` has no partition {}", source.topic, source.partition);
                return Err(Error::user(text));
            }
            assignment
                .add_partition_offset(
                    &source.topic,
                    i32::from(source.partition),
                    Offset::Offset(source.from as i64),
                )
                .map_err(|e| failed("an assignment", e))?;
        }
        let consumer = Arc::new(consumer);
        let arrived = Arc::new(Arrived::default());
        for _ in 0..ASSIGN_TRIES {
            consumer.assign(&assignment).map_err(|e| failed("an assignment", e))?;
            let mut queues = Vec::with_capacity(sources.len());
            for source in &sources {
                let queue = consumer.split_partition_queue(&source.topic, i32::from(source.partition));
                let mut queue =
                    queue.ok_or_else(|| Error::internal("kafka: an assigned partition has no queue"))?;
                let signal = Arc::clone(&arrived);
                queue.set_nonempty_callback(move || signal.set());
                queues.push(queue);
            }
            // What came between the assignment and the split lies in the common queue, where the end of a partition
            // cannot be told from that of another: assign again. Nothing comes there after the split.
            if !serve(&consumer)? {
                let (drained, paused) = (vec![false; sources.len()], vec![false; sources.len()]);
                return Ok(Box::new(KafkaReader { consumer, queues, arrived, drained, paused, turn: 0 }));
            }
        }
        Err(Error::external("kafka: partitions cannot be given queues of their own"))
    }

    fn start_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        Ok(self.offsets(topic)?.into_iter().map(|(low, _)| low).collect())
    }

    fn end_offsets(&self, topic: &str) -> Result<Vec<u64>> {
        Ok(self.offsets(topic)?.into_iter().map(|(_, high)| high).collect())
    }

    fn trim(&self, topic: &str, partition: u16, before: u64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, i32::from(partition), Offset::Offset(before as i64))
            .map_err(|e| failed(format!("trim `{topic}`"), e))?;
        let options = AdminOptions::new().operation_timeout(Some(REQUEST));
        futures_executor::block_on(self.admin()?.delete_records(&list, &options))
            .map_err(|e| failed(format!("trim `{topic}`"), e))?;
        Ok(())
    }

    fn fenced_writer(&self, topic: &str, name: &str) -> Result<Box<dyn FencedWriter>> {
        let producer: ThreadedProducer<Deliveries> = self
            .config
            .clone()
            .set("transactional.id", format!("{topic}/{name}"))
            .set("transaction.timeout.ms", "30000")
            .set("message.timeout.ms", "30000")
            .set("message.max.bytes", super::MAX_BATCH.to_string())
            .set("linger.ms", "0")
            .create_with_context(Deliveries)
            .map_err(|e| failed("a transactional producer", e))?;
        producer
            .init_transactions(REQUEST)
            .map_err(|e| failed(format!("writer `{name}` of `{topic}`"), e))?;
        Ok(Box::new(KafkaWriter { producer, topic: topic.to_owned(), rests_until: Instant::now() }))
    }
}

struct KafkaWriter {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    /// Before this the next transaction does not begin.
    rests_until: Instant,
}

impl FencedWriter for KafkaWriter {
    fn append(&mut self, records: Vec<NewRecord>) -> Result<u64> {
        let what = || format!("transaction on `{}`", self.topic);
        let deadline = Instant::now() + REQUEST;
        std::thread::park_timeout(self.rests_until.saturating_duration_since(Instant::now()));
        self.producer.begin_transaction().map_err(|e| failed(what(), e))?;
        let written = produce(&self.producer, &self.topic, Some(0), &records).and_then(|places| {
            // A record counts as on its way until its callback has returned, a moment after we heard of it. The client
            // looks whether any is left before it commits, and if so again only 100 ms later.
            while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
                std::thread::yield_now();
            }
            self.producer.commit_transaction(REQUEST).map_err(|e| failed(what(), e))?;
            self.rests_until = Instant::now() + REST;
            Ok(places)
        });
        match written {
            Ok(places) => Ok(places.last().map_or(0, |(_, offset)| offset + 1)),
            Err(e) => {
                // A fatal error is for good: the client purges what it had, and that is what we hear of first.
                if let Some((_, fatal)) = self.producer.client().fatal_error() {
                    let text = format!("fenced: {}, a newer writer has taken over: {fatal}", what());
                    return Err(Error::refused(text).caused_by(e));
                }
                // Aborting may fail too; the first error is the one that tells.
                let _ = self.producer.abort_transaction(REQUEST);
                Err(e)
            }
        }
    }
}

/// Says that a queue has something.
#[derive(Default)]
struct Arrived {
    is: Mutex<bool>,
    changed: Condvar,
}

impl Arrived {
    fn set(&self) {
        *self.is.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until something arrives or the time is over.
    fn wait(&self, deadline: Instant) {
        let mut is = self.is.lock();
        while !*is {
            if self.changed.wait_until(&mut is, deadline).timed_out() {
                return;
            }
        }
        *is = false;
    }
}

/// The end of a partition is wanted news, not an error to log.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error, KafkaError::PartitionEOF(_))
            && error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF)
        {
            tracing::error!(%error, reason, "kafka: the client reports an error");
        }
    }
}

impl ConsumerContext for Quiet {}

/// A queue for each partition, since the end of a partition is told without its topic.
struct KafkaReader {
    consumer: Arc<BaseConsumer<Quiet>>,
    queues: Vec<PartitionQueue<Quiet>>,
    arrived: Arc<Arrived>,
    drained: Vec<bool>,
    paused: Vec<bool>,
    /// Which source comes first at the next poll, so that none starves.
    turn: usize,
}

impl KafkaReader {
    fn read(&mut self, max: usize, out: &mut Vec<Record>) -> Result<()> {
        let (n, before) = (self.queues.len(), out.len());
        let reading = self.paused.iter().filter(|paused| !**paused).count();
        let share = max.div_ceil(reading.max(1));
        for step in 0..n {
            let source = (self.turn + step) % n;
            if self.paused[source] {
                continue;
            }
            for _ in 0..share.min(max - (out.len() - before)) {
                match self.queues[source].poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => {
                        self.drained[source] = false;
                        out.push(Record {
                            source,
                            offset: message.offset() as u64,
                            appended_at: message.timestamp().to_millis().unwrap_or(0),
                            key: message.key().map(<[u8]>::to_vec),
                            value: message.payload().map(<[u8]>::to_vec),
                        });
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => self.drained[source] = true,
                    Some(Err(e)) if passing(&e) => warn(&e),
                    Some(Err(e)) => return Err(unreadable(e)),
                }
            }
        }
        self.turn = (self.turn + 1) % n.max(1);
        Ok(())
    }
}

/// Serves events of the client as a whole; whether a partition's records or end came this way.
fn serve(consumer: &BaseConsumer<Quiet>) -> Result<bool> {
    let mut came = false;
    while let Some(event) = consumer.poll(Duration::ZERO) {
        match event {
            Ok(_) | Err(KafkaError::PartitionEOF(_)) => came = true,
            Err(e) if passing(&e) => warn(&e),
            Err(e) => return Err(unreadable(e)),
        }
    }
    Ok(came)
}

/// Whether the client gets over it by itself: brokers that restart or change their roles.
fn passing(e: &KafkaError) -> bool {
    matches!(
        e.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NetworkException
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
        )
    )
}

fn warn(e: &KafkaError) {
    tracing::warn!(error = %e, "kafka: reading is interrupted; the client tries again");
}

fn unreadable(e: KafkaError) -> Error {
    match e.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            Error::refused("kafka: what was wanted has been removed by retention or by trimming").caused_by(e)
        }
        _ => failed("read", e),
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, max: usize, wait: Duration, out: &mut Vec<Record>) -> Result<usize> {
        let (deadline, before) = (Instant::now() + wait, out.len());
        loop {
            if serve(&self.consumer)? {
                return Err(Error::internal("kafka: something came outside the queue of its partition"));
            }
            self.read(max, out)?;
            if out.len() > before || Instant::now() >= deadline {
                return Ok(out.len() - before);
            }
            self.arrived.wait(deadline);
        }
    }

    fn drained(&self, source: usize) -> bool {
        self.drained[source]
    }

    fn pause(&mut self, source: usize, paused: bool) {
        self.paused[source] = paused;
    }
}
