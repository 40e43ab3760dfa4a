//! Records as devices mostly write them, read in one pass.
//!
//! **Meaning.** [`fields`] reads a flat JSON object of strings without escapes, short decimal numbers, and booleans. What
//! it reads is what serde reads, to the bit; whatever it does not read, well-formed or not, is left to serde: nothing is
//! refused here, so there is one place that finds words for what is wrong.
//!
//! **Mechanism.** A number of at most 15 digits is an integer below 2⁵³ divided by a power of ten below 10²³: both are
//! exact doubles, so their quotient is the nearest one (Clinger, "How to read floating point numbers accurately", 1990).
//! Text and digits are looked at eight bytes at a time, as one integer (Mycroft's test for a byte; Lamport, "Multiple byte
//! processing with full-word instructions", 1975).
//!
//! A device writes its fields in the same order with the same spaces each time, so what stands between the values of one
//! record is looked for in the next ([`Layout`]): where it is there, byte for byte, no name needs to be read.
//!
//! **State.** One layout per stream: that of some record of late.

use std::borrow::Cow;

use serde::Deserialize;

use super::Reason;
use super::fields::{Field, Id, Number, Text, Time, diagnose};

/// Digits of the longest number that is read here.
const DIGITS: usize = 15;
/// The powers of ten by which such a number may be divided.
const POWERS: [f64; DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A byte in each of the eight of a word.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The powers of ten by which a run of digits moves the digits before it.
const SHIFTS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// How many bytes from the start are ASCII, and neither a quote, a backslash, nor a control character.
fn ordinary(bytes: &[u8]) -> usize {
    let mut n = 0;
    while let Some(word) = bytes[n..].first_chunk() {
        let word = u64::from_le_bytes(*word);
        // The high bit of a byte is set where it is to be found; a borrow can only set some beyond the first.
        let control = word.wrapping_sub(each(0x20));
        let quote = (word ^ each(b'"')).wrapping_sub(each(1));
        let backslash = (word ^ each(b'\\')).wrapping_sub(each(1));
        let found = (word | control | quote | backslash) & each(0x80);
        if found != 0 {
            return n + found.trailing_zeros() as usize / 8;
        }
        n += 8;
    }
    let rest = bytes[n..].iter();
    n + rest.take_while(|byte| matches!(byte, 0x20..0x80) && !matches!(byte, b'"' | b'\\')).count()
}

/// How many digits a word begins with, and the number that they stand for.
fn leading_digits(word: u64) -> (usize, u64) {
    let values = word ^ each(b'0');
    // The high bit of a byte is set where its value is ten or more.
    let others = ((values & each(0x7F)).wrapping_add(each(0x76)) | values) & each(0x80);
    let n = others.trailing_zeros() as usize / 8;
    if n == 0 {
        return (0, 0);
    }
    // Zeros before them: the later a digit, the higher its byte.
    let digits = values << (64 - 8 * n);
    // Pairs, then fours, then all: the earlier digit is the lower byte and counts for more.
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00FF_00FF_00FF_00FF).wrapping_mul(100 << 16 | 1) >> 16;
    (n, (fours & 0x0000_FFFF_0000_FFFF).wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// Bytes that are looked for at a place in a record.
#[derive(Debug, Default)]
struct Token {
    bytes: Box<[u8]>,
    /// The first sixteen of them, and which bytes of a word they are.
    word: u128,
    mask: u128,
}

impl Token {
    fn new(bytes: &[u8]) -> Self {
        let (mut word, mut mask) = ([0; 16], [0; 16]);
        for (n, byte) in bytes.iter().take(16).enumerate() {
            (word[n], mask[n]) = (*byte, 0xFF);
        }
        Self { bytes: bytes.into(), word: u128::from_le_bytes(word), mask: u128::from_le_bytes(mask) }
    }

    fn begins(&self, record: &[u8]) -> bool {
        match record.first_chunk() {
            Some(word) if self.bytes.len() <= 16 => u128::from_le_bytes(*word) & self.mask == self.word,
            _ => record.starts_with(&self.bytes),
        }
    }
}

/// What stands around the values of a record.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// What stands before each value, back to the one before it, and the name of its field.
    values: Vec<(Token, Box<str>)>,
    /// What stands after the last value.
    end: Box<[u8]>,
    /// Records in a row that looked otherwise.
    others: u32,
}

/// After so many records in a row that look otherwise, the next one shows how records look.
const OTHERS: u32 = 16;

/// How the fields of a record are found.
pub(super) enum Way<'l> {
    /// Where they were in an earlier record, and nowhere else.
    Known(&'l Layout),
    /// By reading their names; how the record is laid out is written down for the next ones.
    New(&'l mut Layout),
    /// By reading their names.
    Any,
}

/// A place in a record.
pub(super) struct Plain<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Reads a record: by `plain` if it is plain, mostly by the layout of an earlier one, else by serde.
///
/// # Errors
/// What is wrong with it, by its `fields`.
pub(super) fn read<'a, R: Deserialize<'a>>(
    record: &'a [u8],
    layout: &mut Layout,
    plain: impl Fn(&'a [u8], Way<'_>) -> Option<R>,
    fields: &[Field],
) -> Result<R, Reason> {
    if let Some(read) = plain(record, Way::Known(layout)) {
        layout.others = 0;
        return Ok(read);
    }
    if let Some(read) = plain(record, Way::Any) {
        layout.others += 1;
        if layout.values.is_empty() || layout.others > OTHERS {
            // Once more, and only now: what is written down costs allocations.
            plain(record, Way::New(layout));
        }
        return Ok(read);
    }
    sonic_rs::from_slice(record).map_err(|e| diagnose(record, fields, &e))
}

/// Reads the object `record`: `field` gets the name of each field and must read its value. `None` as soon as anything is
/// not plain, or is not where it was.
pub(super) fn fields<'a>(
    record: &'a [u8],
    way: Way<'_>,
    mut field: impl FnMut(&str, &mut Plain<'a>) -> Option<()>,
) -> Option<()> {
    let mut plain = Plain { bytes: record, at: 0 };
    let new = match way {
        Way::Known(layout) => {
            for (before, name) in &layout.values {
                if !before.begins(&record[plain.at..]) {
                    return None;
                }
                plain.at += before.bytes.len();
                field(name, &mut plain)?;
            }
            return (!layout.values.is_empty() && record[plain.at..] == *layout.end).then_some(());
        }
        Way::New(layout) => Some(layout),
        Way::Any => None,
    };
    let (mut values, mut after) = (Vec::new(), 0);
    plain.mark(b'{')?;
    loop {
        plain.space();
        let name = plain.string()?;
        plain.mark(b':')?;
        plain.space();
        if new.is_some() {
            values.push((Token::new(&record[after..plain.at]), name.into()));
        }
        field(name, &mut plain)?;
        after = plain.at;
        plain.space();
        match plain.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    plain.space();
    if plain.at < record.len() {
        return None;
    }
    if let Some(layout) = new {
        *layout = Layout { values, end: record[after..].into(), others: 0 };
    }
    Some(())
}

/// Fills a field's place, once: a field that is there twice is for serde to refuse.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

impl<'a> Plain<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next eight bytes as a number, with zeros beyond the end of the record.
    fn word(&self) -> u64 {
        let rest = &self.bytes[self.at..];
        match (rest.first_chunk(), self.bytes.last_chunk()) {
            (Some(word), _) => u64::from_le_bytes(*word),
            (None, _) if rest.is_empty() => 0,
            (None, Some(word)) => u64::from_le_bytes(*word) >> (64 - 8 * rest.len()),
            (None, None) => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn mark(&mut self, mark: u8) -> Option<()> {
        self.space();
        (self.next()? == mark).then_some(())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        if self.next()? != b'"' {
            return None;
        }
        let rest = &self.bytes[self.at..];
        let mut length = ordinary(rest);
        if *rest.get(length)? >= 0x80 {
            length += rest[length..].iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
        }
        if rest[length] != b'"' {
            return None;
        }
        self.at += length + 1;
        // What is no UTF-8 is no JSON, in a name too.
        std::str::from_utf8(&rest[..length]).ok()
    }

    /// Sign, digits as an integer, and how many of them come after the point.
    fn decimal(&mut self) -> Option<(bool, u64, usize)> {
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        let mut value = 0u64;
        let mut digits = |this: &mut Self| {
            let from = this.at;
            loop {
                let (n, number) = leading_digits(this.word());
                value = value.wrapping_mul(SHIFTS[n]).wrapping_add(number);
                this.at += n;
                if n < 8 {
                    return this.at - from;
                }
            }
        };
        let whole = digits(self);
        if whole == 0 || (whole > 1 && self.bytes[first] == b'0') {
            return None;
        }
        let mut fraction = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = digits(self);
            if fraction == 0 {
                return None;
            }
        }
        // What is longer has wrapped perhaps; an exponent and a negative zero are rare.
        let plain = whole + fraction <= DIGITS
            && !matches!(self.peek(), Some(b'e' | b'E'))
            && !(negative && value == 0);
        plain.then_some((negative, value, fraction))
    }

    /// An identifier, as a string.
    pub(super) fn id(&mut self) -> Option<Id<'a>> {
        let Text(text) = self.text()?;
        Id::checked(text)
    }

    /// A string.
    pub(super) fn text(&mut self) -> Option<Text<'a>> {
        self.string().map(|text| Text(Cow::Borrowed(text)))
    }

    /// A number.
    pub(super) fn number(&mut self) -> Option<Number> {
        let (negative, value, fraction) = self.decimal()?;
        let value = value as f64 / POWERS[fraction];
        Some(Number(if negative { -value } else { value }))
    }

    /// A time in Unix ms.
    pub(super) fn time(&mut self) -> Option<Time> {
        match self.decimal()? {
            (false, value, 0) => Time::of(i64::try_from(value).ok()?),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        let rest = &self.bytes[self.at..];
        let (value, length) = match rest.first()? {
            b't' if rest.starts_with(b"true") => (true, 4),
            b'f' if rest.starts_with(b"false") => (false, 5),
            _ => return None,
        };
        self.at += length;
        Some(value)
    }

    /// The value of a field that nobody asks for.
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b't' | b'f' => self.boolean().map(drop),
            _ => self.decimal().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::{Layout, Plain, Way, fields, leading_digits, ordinary};
    use crate::streams::{positions, telemetry};

    /// What the plain reader made of a record, and what serde makes of it, as text.
    fn both<'a, R: Deserialize<'a> + Debug>(
        record: &'a [u8],
        plain: Option<R>,
    ) -> (Option<String>, Option<String>) {
        let text = |read: R| format!("{read:?}");
        (plain.map(text), sonic_rs::from_slice(record).ok().map(text))
    }

    fn number(text: &str) -> Option<f64> {
        let mut plain = Plain { bytes: text.as_bytes(), at: 0 };
        let number = plain.number()?.0;
        (plain.at == text.len()).then_some(number)
    }

    #[test]
    fn numbers_are_the_nearest_doubles() {
        for text in ["0", "7", "-7", "0.1", "109.4791841", "-0.00000000000001", "999999999999999", "36.50"] {
            assert_eq!(
                number(text).map(f64::to_bits),
                Some(text.parse::<f64>().unwrap().to_bits()),
                "{text}"
            );
        }
        for text in
            ["", "-", "01", "-01", "1.", ".5", "+1", "1e3", "-0", "-0.0", "1000000000000000", "0x1", "NaN"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn words_say_what_bytes_say(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x1Eu8..0x24, 0x5Bu8..0x5E, 0x2Eu8..0x3C], 0..40)) {
            let is_ordinary = |byte: &u8| (0x20..0x80).contains(byte) && *byte != b'"' && *byte != b'\\';
            prop_assert_eq!(ordinary(&bytes), bytes.iter().take_while(|byte| is_ordinary(byte)).count());
            let eight: Vec<u8> = bytes.iter().copied().chain([0; 8]).take(8).collect();
            let digits: String = eight.iter().take_while(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
            for at in 0..bytes.len() {
                let word = Plain { bytes: &bytes, at }.word();
                let next: Vec<u8> = bytes[at..].iter().copied().chain([0; 8]).take(8).collect();
                prop_assert_eq!(word.to_le_bytes().to_vec(), next);
            }
            let number = digits.parse().unwrap_or(0);
            prop_assert_eq!(leading_digits(u64::from_le_bytes(eight.try_into().unwrap())), (digits.len(), number));
        }

        #[test]
        fn digits_are_a_number(n in 0u64..100_000_000, short in 0usize..9) {
            let text = format!("{n:08}");
            let (digits, rest) = text.split_at(short);
            let word = format!("{digits}{}", rest.replace(|_| true, "/"));
            let number = digits.parse().unwrap_or(0);
            prop_assert_eq!(leading_digits(u64::from_le_bytes(word.into_bytes().try_into().unwrap())), (short, number));
        }
    }

    #[test]
    fn an_object_is_read_to_its_end() {
        let read = |text: &str| {
            let mut names = Vec::new();
            fields(text.as_bytes(), Way::Any, |name, value| {
                names.push(name.to_owned());
                value.skip()
            })
            .map(|()| names)
        };
        let of = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(read("{\"a\":1,\"b\":\"x\"}"), of(&["a", "b"]));
        assert_eq!(read(" { \"街\" :\ttrue , \"b\" : -2.5 } \r\n"), of(&["街", "b"]));
        for text in [
            "",
            "{",
            "{}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1}}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":\"\\n\"}",
            "{\"a\\n\":1}",
            "{\"a\":\"\n\"}",
            "{\"a\":null}",
            "{\"a\":[]}",
            "{\"a\":truth}",
            "[1]",
            "{\"a\":1x}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(fields(b"{\"a\":\"\xff\"}", Way::Any, |_, value| value.skip()), None);
        assert_eq!(fields(b"{\"\xff\":1}", Way::Any, |_, value| value.skip()), None);
    }

    /// Values of a field, most of them as they should be.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => (-2_000_000_000i64..2_000_000_000, 0usize..10).prop_map(|(n, scale)| {
                let digits = format!("{:010}", n.unsigned_abs());
                let (whole, fraction) = digits.split_at(10 - scale);
                let whole = whole.trim_start_matches('0');
                let whole = if whole.is_empty() { "0" } else { whole };
                let point = if scale > 0 { "." } else { "" };
                format!("{}{whole}{point}{fraction}", if n < 0 { "-" } else { "" })
            }),
            2 => any::<f64>().prop_map(|x| format!("{x:e}")),
            4 => (1_780_000_000_000u64..1_790_000_000_000).prop_map(|ms| ms.to_string()),
            1 => any::<i64>().prop_map(|n| n.to_string()),
            4 => "[a-z0-9-]{1,12}".prop_map(|text| format!("\"{text}\"")),
            1 => "\\PC{0,4}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            1 => Just("\"2026-06-01T08:00:00+08:00\"".to_owned()),
            1 => prop_oneof![Just("null"), Just("true"), Just("false"), Just("[1]"), Just("{}"), Just("\"bad\"")]
                .prop_map(str::to_owned),
        ]
    }

    fn record() -> impl Strategy<Value = Vec<u8>> {
        const NAMES: [&str; 16] = [
            "vehicle_id",
            "sensor_id",
            "ts",
            "lon",
            "lat",
            "speed",
            "heading",
            "working",
            "crs",
            "mileage",
            "satellites",
            "appended_at",
            "metric",
            "value",
            "quality",
            "other",
        ];
        let field = (proptest::sample::select(&NAMES[..]), value(), 0u8..6);
        // A record as it should be, some fields of it written anew or twice, and a byte of it changed now and then.
        let whole = [
            ("vehicle_id", "\"v\""),
            ("sensor_id", "\"s\""),
            ("ts", "1780264800005"),
            ("lon", "109.5"),
            ("lat", "36.5"),
            ("metric", "\"m\""),
            ("value", "0.5"),
        ];
        (
            proptest::collection::vec(field, 0..6),
            any::<bool>(),
            any::<proptest::sample::Index>(),
            any::<u8>(),
            0u8..8,
        )
            .prop_map(move |(fields, twice, at, byte, change)| {
                let mut all: Vec<(&str, String, u8)> =
                    whole.iter().map(|(name, value)| (*name, (*value).to_owned(), 0)).collect();
                for (name, value, space) in fields {
                    match all.iter_mut().find(|field| field.0 == name && !twice) {
                        Some(field) => *field = (name, value, space),
                        None => all.push((name, value, space)),
                    }
                }
                let space = |n: u8| if n == 1 { " " } else { "" };
                let fields: Vec<String> = all
                    .iter()
                    .map(|(name, value, n)| format!("{}\"{name}\":{}{value}", space(*n), space(n / 2)))
                    .collect();
                let mut bytes = format!("{{{}}}", fields.join(",")).into_bytes();
                if change == 0 {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_is_what_serde_reads(record in record()) {
            for (plain, general) in [
                both(&record, positions::Record::plain(&record, Way::Any)),
                both(&record, telemetry::Record::plain(&record, Way::Any)),
            ] {
                prop_assert!(plain.is_none() || plain == general, "{:?} {:?}", plain, general);
            }
        }

        #[test]
        fn what_a_layout_finds_is_what_is_there(record in record(), other in record(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let mut layout = Layout::default();
            if positions::Record::plain(&record, Way::New(&mut layout)).is_none() {
                return Ok(());
            }
            // The record itself, one that looks much like it, and another.
            let mut near = record.clone();
            let at = at.index(near.len());
            near[at] = byte;
            let cut = &record[..at];
            let (known, general) = both(&record, positions::Record::plain(&record, Way::Known(&layout)));
            prop_assert!(known.is_some());
            prop_assert_eq!(known, general);
            for record in [&near[..], &other, cut] {
                let (known, any) = (
                    positions::Record::plain(record, Way::Known(&layout)),
                    positions::Record::plain(record, Way::Any),
                );
                let (known, any) = (known.map(|read| format!("{read:?}")), any.map(|read| format!("{read:?}")));
                prop_assert!(known.is_none() || known == any, "{:?} {:?}", known, any);
            }
        }
    }

    #[test]
    fn a_layout_is_that_of_what_comes() {
        let mut layout = Layout::default();
        let mut read = |text: &str| {
            let known = telemetry::Record::plain(text.as_bytes(), Way::Known(&layout)).is_some();
            let record = super::read(text.as_bytes(), &mut layout, telemetry::Record::plain, &[]).unwrap();
            (known, record.value.0)
        };
        let one =
            |value: f64| format!(r#"{{"sensor_id":"s","ts":1780264800001,"metric":"m","value":{value:?}}}"#);
        let other = |value: f64| {
            format!(r#"{{ "value": {value:?}, "sensor_id": "s", "ts": 1780264800001, "metric": "m" }}"#)
        };
        assert_eq!(read(&one(0.5)), (false, 0.5));
        assert_eq!(read(&one(-17.25)), (true, -17.25));
        // Others now and then change nothing; when nothing else comes they are what is looked for.
        assert_eq!((read(&other(1.5)), read(&one(2.5))), ((false, 1.5), (true, 2.5)));
        (0..=super::OTHERS).for_each(|_| assert_eq!(read(&other(3.5)), (false, 3.5)));
        assert_eq!((read(&other(4.5)), read(&one(5.5))), ((true, 4.5), (false, 5.5)));
    }

    #[test]
    fn records_as_devices_write_them_are_plain() {
        let fix = br#"{"vehicle_id":"sw-1","ts":1780264800005,"lon":109.4791841,"lat":-36.5,"speed":11.3,"heading":180,
            "working":true,"crs":"gcj02","mileage":69165.0,"satellites":9,"appended_at":1780264800051,"model":"x"}"#;
        let reading = br#"{"sensor_id": "mh-1", "ts": 1780264800001, "metric": "tilt", "value": 0.9, "quality": "good"}"#;
        assert!(positions::Record::plain(fix, Way::Any).is_some());
        assert!(telemetry::Record::plain(reading, Way::Any).is_some());
    }
}
