//! From one record to one row, or to one reason for refusing it.
//!
//! Each stream is a file that says what its record holds and what is wrong with a bad one; [`STREAMS`] lists them. A
//! record is decoded once, into borrowed fields; only when that fails is it looked at again, slowly, to find the words.
//! A reason is a code, a colon and a sentence that names field, value and what was expected. A refused record harms
//! nothing beside it.
//!
//! Codes: `too_long`, `not_utf8`, `not_json`, `missing_value`, `missing_field`, `wrong_type`, `out_of_range`,
//! `unknown_crs`, `unknown_event`, `unknown_action`, `unknown_kind`, `invalid_rule`, `invalid_geometry`,
//! `implausible_zero`, `implausible_future`, `beyond_horizon`.
//!
//! State: the names seen, in front of the shared table, so that a known name takes neither a lock nor an allocation.

mod actions;
mod cases;
mod fields;
mod positions;
mod reference;
mod telemetry;

use std::sync::Arc;

use foldhash::HashMap;
use model::rows::PAYLOAD_LIMIT;
use model::{LogPos, Names, Refused, Row, StreamId, Sym, Tick};

pub use fields::parse_time;

/// How records of one stream are read.
pub(crate) struct Stream {
    id: StreamId,
    /// Decodes a record, or says what is wrong.
    parse: fn(&mut Interner, &[u8], LogPos) -> Result<Parsed, Reason>,
    /// Whether a record older than the horizon is too late to correct anything.
    horizon: bool,
    /// Whether `ts` is when something happened, so that it cannot lie in the future and can be late.
    happened: bool,
}

/// The streams of the contract.
const STREAMS: [Stream; 5] =
    [telemetry::STREAM, positions::STREAM, cases::STREAM, reference::STREAM, actions::STREAM];

fn stream(id: StreamId) -> &'static Stream {
    const { assert!(STREAMS.len() == StreamId::ALL.len()) };
    let stream = &STREAMS[id as usize];
    debug_assert_eq!(stream.id, id, "streams are listed in the order of their ids");
    stream
}

/// Why a record is refused: a code, a colon and a sentence.
pub(crate) type Reason = String;

/// A decoded record.
pub(crate) struct Parsed {
    pub row: Row,
    pub ts: Option<i64>,
    pub appended_at: Option<i64>,
}

/// Limits of the edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// A reading or fix older than its tick by more than this is not applied, ms; `None` = nothing is too late.
    pub horizon_ms: Option<i64>,
    /// A record older than its tick by more than this counts as late, ms.
    pub late_after_ms: i64,
    /// A record ahead of its tick by more than this is implausible, if its append time is known, ms.
    pub future_ms: i64,
    /// Greatest length of a record, bytes.
    pub max_record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            horizon_ms: Some(7 * 24 * 3_600_000),
            late_after_ms: 60_000,
            future_ms: 5 * 60_000,
            max_record_bytes: 1 << 20,
        }
    }
}

/// What is known of a record beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordMeta {
    /// Where it stands in the log.
    pub pos: LogPos,
    /// The tick that binds it.
    pub tick: Tick,
    /// Whether the tick follows from the time at which the record was appended, and not from its own `ts`.
    pub append_known: bool,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Its event time, Unix ms, if it could be read.
    pub ts: Option<i64>,
    /// Whether it is refused.
    pub rejected: bool,
    /// Whether it is late: applied all the same, unless it is beyond the horizon.
    pub late: bool,
}

/// Names seen, in front of the shared table.
pub(crate) struct Interner {
    names: Arc<Names>,
    seen: HashMap<Box<str>, Sym>,
}

impl Interner {
    fn intern(&mut self, text: &str) -> Sym {
        if let Some(sym) = self.seen.get(text) {
            return *sym;
        }
        let sym = self.names.intern(text);
        self.seen.insert(text.into(), sym);
        sym
    }
}

/// Turns records into rows.
pub struct Decoder {
    interner: Interner,
    limits: Limits,
}

/// A record that has been read but not judged, for it has no tick yet.
pub(crate) struct Read {
    parsed: Result<Parsed, Box<Refused>>,
}

impl Read {
    /// The event time, if it could be read and the record is good.
    pub(crate) fn ts(&self) -> Option<i64> {
        self.parsed.as_ref().ok().and_then(|parsed| parsed.ts)
    }

    /// When the record was appended, if it says so.
    pub(crate) fn appended_at(&self) -> Option<i64> {
        self.parsed.as_ref().ok().and_then(|parsed| parsed.appended_at)
    }
}

impl Decoder {
    /// A decoder that interns into `names`.
    pub fn new(names: Arc<Names>, limits: Limits) -> Self {
        Self { interner: Interner { names, seen: HashMap::default() }, limits }
    }

    /// Decodes one record and pushes exactly one row: what it says, or why it is refused.
    ///
    /// `key` is the record's key in the log; it matters only where there is no value, which deletes reference data.
    pub fn decode(
        &mut self,
        stream: StreamId,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        meta: RecordMeta,
        rows: &mut Vec<Row>,
    ) -> Decoded {
        let read = self.read(stream, key, value, meta.pos);
        self.judge(stream, read, meta, rows)
    }

    /// Reads one record.
    pub(crate) fn read(
        &mut self,
        id: StreamId,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        pos: LogPos,
    ) -> Read {
        let limit = self.limits.max_record_bytes;
        let parsed = match value {
            None => reference::deleted(&mut self.interner, id, key, pos),
            Some(value) if value.len() > limit => Err(too_long(limit)),
            Some(value) => (stream(id).parse)(&mut self.interner, value, pos),
        };
        let parsed = parsed.map_err(|reason| {
            let text = value.or(key).unwrap_or_default();
            Box::new(Refused {
                pos,
                ts: fields::readable_ts(text),
                reason: reason.into(),
                payload: payload(text),
            })
        });
        Read { parsed }
    }

    /// A record of which only the beginning was kept, because it is too long.
    pub(crate) fn read_too_long(&self, beginning: &[u8], pos: LogPos) -> Read {
        let reason = too_long(self.limits.max_record_bytes).into();
        Read { parsed: Err(Box::new(Refused { pos, ts: None, reason, payload: payload(beginning) })) }
    }

    /// Judges a record by its tick.
    pub(crate) fn judge(&self, id: StreamId, read: Read, meta: RecordMeta, rows: &mut Vec<Row>) -> Decoded {
        let parsed = match read.parsed {
            Ok(parsed) => parsed,
            Err(refused) => {
                let ts = refused.ts;
                rows.push(Row::Rejected(refused));
                return Decoded { ts, rejected: true, late: false };
            }
        };
        let (stream, ts) = (stream(id), parsed.ts);
        let age = ts.filter(|_| stream.happened).map(|ts| meta.tick as i64 - ts);
        let refuse = |reason: String| {
            let payload = format!("{:?}", parsed.row);
            Box::new(Refused {
                pos: meta.pos,
                ts,
                reason: reason.into(),
                payload: self::payload(payload.as_bytes()),
            })
        };
        if meta.append_known
            && let Some(age) = age
            && age < -self.limits.future_ms
        {
            let reason = format!("implausible_future: ts is {} ms ahead of the tick {}", -age, meta.tick);
            rows.push(Row::Rejected(refuse(reason)));
            return Decoded { ts, rejected: true, late: false };
        }
        let late = age.is_some_and(|age| age > self.limits.late_after_ms);
        if stream.horizon
            && let (Some(age), Some(horizon)) = (age, self.limits.horizon_ms)
            && age > horizon
        {
            let reason =
                format!("beyond_horizon: ts is {age} ms before the tick {}, more than {horizon}", meta.tick);
            rows.push(Row::Late(refuse(reason)));
            return Decoded { ts, rejected: false, late };
        }
        rows.push(parsed.row);
        Decoded { ts, rejected: false, late }
    }
}

/// Whether `value` would be taken as a record of `stream`: its key in the log if so, the reason if not.
///
/// # Errors
/// The reason for which it would be refused.
pub fn check(id: StreamId, value: &[u8]) -> Result<String, String> {
    let limits = Limits::default();
    if value.len() > limits.max_record_bytes {
        return Err(too_long(limits.max_record_bytes));
    }
    let names = Arc::new(Names::new());
    let mut interner = Interner { names: Arc::clone(&names), seen: HashMap::default() };
    let pos = LogPos { stream: id, partition: 0, offset: 0 };
    let parsed = (stream(id).parse)(&mut interner, value, pos)?;
    Ok(match parsed.row {
        Row::Reading(row) => names.resolve(row.sensor).to_owned(),
        Row::Fix(row) => names.resolve(row.vehicle).to_owned(),
        Row::Case(row) => names.resolve(row.case).to_owned(),
        Row::Reference(row) => format!("{}/{}", row.kind.name(), names.resolve(row.id)),
        Row::Action(row) => names.resolve(row.target).to_owned(),
        Row::Rejected(_) | Row::Late(_) | Row::Bound(_) => String::new(),
    })
}

/// The reference records that are loaded by default, as NDJSON.
pub fn shipped() -> &'static [u8] {
    include_bytes!("../../defaults/reference.ndjson")
}

fn too_long(limit: usize) -> String {
    format!("too_long: the record is longer than {limit} bytes")
}

/// The record as text: invalid UTF-8 replaced, cut at a character.
fn payload(value: &[u8]) -> Arc<str> {
    let cut = &value[..value.len().min(PAYLOAD_LIMIT)];
    let mut text = String::from_utf8_lossy(cut).into_owned();
    if text.len() > PAYLOAD_LIMIT {
        // Each replacement is longer than what it replaces.
        let end = (0..=PAYLOAD_LIMIT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text.into()
}
