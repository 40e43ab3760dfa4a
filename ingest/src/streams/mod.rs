//! From one record to one row, or to one reason for refusing it.
//!
//! Each stream is a file that says what its record holds and what is wrong with a bad one; [`STREAMS`] lists them. A
//! record is decoded once, into borrowed fields; only when that fails is it looked at again, slowly, to find the words.
//! A reason is a code, a colon and a sentence that names field, value and what was expected. A refused record harms
//! nothing beside it.
//!
//! Codes: `too_long`, `too_deep`, `not_utf8`, `not_json`, `duplicate_field`, `missing_value`, `missing_field`,
//! `wrong_type`, `out_of_range`, `unknown_crs`, `unknown_event`, `unknown_action`, `unknown_kind`, `invalid_rule`,
//! `invalid_geometry`, `implausible_zero`, `implausible_future`, `beyond_horizon`.
//!
//! What holds for all streams: unknown fields are ignored; a known field that is there twice is an error, for nobody
//! can say which one was meant; `null` is a missing optional field; identifiers may be integers; `ts` and the optional
//! `appended_at` (for files: when the record was appended to the log it comes from) are Unix ms or RFC 3339 with an
//! offset, in the years 2000 to 2099.
//!
//! State: the names that come often (sensors, vehicles, districts), in front of the shared table, so that such a name takes
//! neither a lock nor an allocation. It is bounded as that table is: by the identifiers the log has named.

mod actions;
mod cases;
mod fields;
mod geometry;
mod plain;
mod positions;
mod reference;
mod telemetry;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::HashMap;
use model::rows::PAYLOAD_LIMIT;
use model::{LogPos, Names, Refused, Row, StreamId, Sym, Tick};

pub use fields::parse_time;
use plain::Layout;

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
    pub times: Times,
}

/// The times a record holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Its event time, Unix ms.
    pub ts: Option<i64>,
    /// When it was appended, Unix ms, if it says so.
    pub appended_at: Option<i64>,
}

/// Which tick binds a record, and whether that follows from the time at which it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub tick: Tick,
    pub append_known: bool,
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
    /// Whether it is known when it arrived: without that it is neither late nor in time.
    pub arrived: bool,
}

/// What earlier records have taught: names that come often, in front of the shared table, and how records are written.
pub(crate) struct Interner {
    names: Arc<Names>,
    /// The stream whose record is read.
    stream: StreamId,
    /// Names that come often and fit into a word, which most do: nothing else is read to find one. By stream: there are few
    /// of each, and they stay in the cache.
    short: [HashMap<Word, Sym>; StreamId::ALL.len()],
    /// The others that come often.
    long: HashMap<Box<str>, Sym>,
    /// How records of each stream were written of late.
    layouts: [Layout; StreamId::ALL.len()],
}

impl Interner {
    fn new(names: Arc<Names>) -> Self {
        let (short, layouts) = Default::default();
        Self { names, stream: StreamId::Telemetry, short, long: HashMap::default(), layouts }
    }

    /// The symbol of a name that comes often, as that of a sensor or a vehicle does.
    fn frequent(&mut self, text: &str) -> Sym {
        let short = &mut self.short[self.stream as usize];
        let word = Word::of(text.as_bytes());
        let known = match word {
            Some(word) => short.get(&word),
            None => self.long.get(text),
        };
        if let Some(sym) = known {
            return *sym;
        }
        let sym = self.names.intern(text);
        match word {
            Some(word) => drop(short.insert(word, sym)),
            None => drop(self.long.insert(text.into(), sym)),
        }
        sym
    }

    /// The symbol of a name that is in few records, as that of a case is: the shared table keeps it, and nothing else.
    fn rare(&self, text: &str) -> Sym {
        self.names.intern(text)
    }

    fn layout(&mut self) -> &mut Layout {
        &mut self.layouts[self.stream as usize]
    }
}

/// A name of at most fifteen bytes and its length as one number, in parts that lie beside a symbol without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word([u32; 4]);

impl Hash for Word {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.number());
    }
}

impl Word {
    /// That of a name, if it is short enough.
    fn of(text: &[u8]) -> Option<Self> {
        let n = text.len();
        // Its first and its last bytes, which overlap where they are the same.
        let bytes = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            if n > 15 {
                return None;
            }
            u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (n - 8))
        } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            u128::from(u32::from_le_bytes(*first)) | u128::from(u32::from_le_bytes(*last)) << (8 * (n - 4))
        } else {
            text.iter().rev().fold(0, |word, byte| word << 8 | u128::from(*byte))
        };
        let number = bytes | (n as u128) << 120;
        Some(Self([0, 32, 64, 96].map(|shift| (number >> shift) as u32)))
    }

    fn number(self) -> u128 {
        self.0.iter().rev().fold(0, |number, part| number << 32 | u128::from(*part))
    }
}

/// Turns records into rows.
pub struct Decoder {
    interner: Interner,
    limits: Limits,
}

impl Decoder {
    /// A decoder that interns into `names`.
    pub fn new(names: Arc<Names>, limits: Limits) -> Self {
        Self { interner: Interner::new(names), limits }
    }

    /// Decodes one record and pushes exactly one row: what it says, or why it is refused.
    ///
    /// `key` is the record's key in the log; it matters only where there is no value (or JSON's `null`), which deletes
    /// reference data.
    pub fn decode(
        &mut self,
        stream: StreamId,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        meta: RecordMeta,
        rows: &mut Vec<Row>,
    ) -> Decoded {
        let binding = Binding { tick: meta.tick, append_known: meta.append_known };
        self.decode_bound(stream, key, value, meta.pos, rows, |_| binding)
    }

    /// The same where the tick follows from the times in the record: `bind` hears of them and answers with the tick.
    pub(crate) fn decode_bound(
        &mut self,
        id: StreamId,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        pos: LogPos,
        rows: &mut Vec<Row>,
        bind: impl FnOnce(Times) -> Binding,
    ) -> Decoded {
        let raw = value.or(key).unwrap_or_default();
        let stream = stream(id);
        let refuse = |ts: Option<i64>, reason: Reason| {
            Box::new(Refused { pos, unknown_stream: None, ts, reason: reason.into(), payload: payload(raw) })
        };
        let Parsed { row, times } = match self.parse(stream, key, value, pos) {
            Ok(parsed) => parsed,
            Err(reason) => {
                // Parsing what is too long or too deep once more is what the limits are there to avoid.
                let whole = !reason.starts_with(TOO);
                let times = if whole { fields::readable_times(raw) } else { Times::default() };
                let arrived = bind(times).append_known;
                rows.push(Row::Rejected(refuse(times.ts, reason)));
                return Decoded { ts: times.ts, rejected: true, late: false, arrived };
            }
        };
        let (ts, Binding { tick, append_known: arrived }) = (times.ts, bind(times));
        let age = ts.filter(|_| stream.happened && arrived).map_or(0, |ts| tick as i64 - ts);
        if age < -self.limits.future_ms {
            let reason = format!("implausible_future: `ts` is {} ms ahead of its tick {tick}", -age);
            rows.push(Row::Rejected(refuse(ts, reason)));
            return Decoded { ts, rejected: true, late: false, arrived };
        }
        let late = age > self.limits.late_after_ms;
        match self.limits.horizon_ms {
            Some(horizon) if stream.horizon && age > horizon => {
                let reason =
                    format!("beyond_horizon: `ts` is {age} ms before its tick {tick}, more than {horizon}");
                rows.push(Row::Late(refuse(ts, reason)));
            }
            _ => rows.push(row),
        }
        Decoded { ts, rejected: false, late, arrived }
    }

    fn parse(
        &mut self,
        stream: &Stream,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        pos: LogPos,
    ) -> Result<Parsed, Reason> {
        match value {
            Some(value) if !(key.is_some() && value.trim_ascii() == b"null") => {
                check_size(value, self.limits.max_record_bytes)?;
                self.interner.stream = stream.id;
                (stream.parse)(&mut self.interner, value, pos)
            }
            _ => reference::deleted(&mut self.interner, stream.id, key, pos),
        }
    }
}

/// How many names a [`Checker`] keeps; with more it begins anew.
const CHECKED_NAMES: usize = 10_000;

/// Looks at records before they are in the log. Its names are its own, and not for long: those of what is refused stay
/// nowhere else.
pub struct Checker {
    names: Arc<Names>,
    interner: Interner,
}

impl Default for Checker {
    fn default() -> Self {
        let names = Arc::new(Names::new());
        Self { interner: Interner::new(Arc::clone(&names)), names }
    }
}

impl Checker {
    /// Whether `value` would be taken as a record of the stream: its key in the log if so, the reason if not.
    ///
    /// # Errors
    /// The reason for which it would be refused.
    pub fn check(&mut self, id: StreamId, value: &[u8]) -> Result<String, String> {
        check_size(value, Limits::default().max_record_bytes)?;
        if self.names.len() > CHECKED_NAMES {
            *self = Self::default();
        }
        let pos = LogPos { stream: id, partition: 0, offset: 0 };
        self.interner.stream = id;
        let parsed = (stream(id).parse)(&mut self.interner, value, pos)?;
        let names = &self.names;
        Ok(match parsed.row {
            Row::Reading(row) => names.resolve(row.sensor).to_owned(),
            Row::Fix(row) => names.resolve(row.vehicle).to_owned(),
            Row::Case(row) => names.resolve(row.case).to_owned(),
            Row::Reference(row) => format!("{}/{}", row.kind.name(), names.resolve(row.id)),
            Row::Action(row) => names.resolve(row.target).to_owned(),
            Row::Rejected(_) | Row::Late(_) | Row::Bound(_) => String::new(),
        })
    }
}

/// The reference records that are loaded by default, as NDJSON.
pub fn shipped() -> &'static [u8] {
    include_bytes!("../../defaults/reference.ndjson")
}

/// How the codes of oversized records begin.
const TOO: &str = "too_";
/// Deepest nesting of objects and lists; geometries need six.
const DEPTH: usize = 64;
/// Records up to this length are not looked through for their depth: it could not harm.
const SHALLOW_BYTES: usize = 1024;

/// Refuses what would take too much memory or, as unknown fields are skipped by recursion, too much stack.
fn check_size(value: &[u8], limit: usize) -> Result<(), Reason> {
    if value.len() > limit {
        return Err(format!("{TOO}long: the record is longer than {limit} bytes"));
    }
    if value.len() > SHALLOW_BYTES && depth(value) > DEPTH {
        return Err(format!("{TOO}deep: the record nests deeper than {DEPTH} levels"));
    }
    Ok(())
}

/// Deepest nesting of brackets and braces outside of strings.
fn depth(value: &[u8]) -> usize {
    let (mut now, mut deepest, mut bytes) = (0_usize, 0, value.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// The row of a record that claims to be of a stream that there is none of.
pub(crate) fn of_unknown_stream(name: &str, offset: u64, value: &[u8]) -> Row {
    let known = StreamId::ALL.map(StreamId::name).join(", ");
    Row::Rejected(Box::new(Refused {
        pos: LogPos { stream: StreamId::Reference, partition: 0, offset },
        unknown_stream: Some(name.into()),
        ts: fields::readable_times(value).ts,
        reason: format!("unknown_stream: there is no stream `{name}`, expected one of {known}").into(),
        payload: payload(value),
    }))
}

/// The record as text: invalid UTF-8 replaced, cut at a character.
fn payload(value: &[u8]) -> Arc<str> {
    let mut cut = &value[..value.len().min(PAYLOAD_LIMIT)];
    if cut.len() < value.len()
        && let Err(e) = std::str::from_utf8(cut)
        && e.error_len().is_none()
    {
        cut = &cut[..e.valid_up_to()];
    }
    let mut text = String::from_utf8_lossy(cut).into_owned();
    // A replacement may be longer than what it replaces.
    text.truncate(text.floor_char_boundary(PAYLOAD_LIMIT));
    text.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Word;

    proptest! {
        #[test]
        fn a_word_holds_a_name_and_its_length(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = [0; 16];
            let expected = (text.len() < 16).then(|| {
                bytes[..text.len()].copy_from_slice(&text);
                bytes[15] = text.len() as u8;
                u128::from_le_bytes(bytes)
            });
            prop_assert_eq!(Word::of(&text).map(Word::number), expected);
        }
    }
}
