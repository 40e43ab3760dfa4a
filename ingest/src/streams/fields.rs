//! Fields of records: how each type is read, and the words for one that is wrong.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value as Json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Reason, Times};

/// 2000-01-01T00:00:00Z and 2100-01-01T00:00:00Z, Unix ms: event times lie between them.
const EARLIEST: i64 = 946_684_800_000;
const LATEST: i64 = 4_102_444_800_000;
/// Longest identifier, bytes.
const ID_BYTES: usize = 256;

/// Reads a time: Unix ms, or RFC 3339 with an offset.
///
/// # Errors
/// When it is neither, or outside 2000 to 2100.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|e| format!("`{text}` is not RFC 3339 with an offset: {e}"))?;
    let ms = time.unix_timestamp_nanos().div_euclid(1_000_000);
    in_range(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn in_range(ms: i64) -> Result<i64, String> {
    if (EARLIEST..LATEST).contains(&ms) {
        Ok(ms)
    } else {
        Err(format!("{ms} is outside the years 2000 to 2099"))
    }
}

/// A time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub i64);

impl Time {
    /// The time in Unix ms, if it is in range.
    pub(super) fn of(ms: i64) -> Option<Self> {
        in_range(ms).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Times;
        impl Visitor<'_> for Times {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Unix ms as an integer or RFC 3339 with an offset")
            }
            fn visit_i64<E: serde::de::Error>(self, ms: i64) -> Result<Time, E> {
                in_range(ms).map(Time).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<Time, E> {
                in_range(i64::try_from(ms).unwrap_or(i64::MAX)).map(Time).map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                parse_time(text).map(Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Times)
    }
}

/// An identifier: a string of 1 to 256 bytes, or an integer, which stands for its decimal digits (devices and ledgers
/// do send numbers). Neither allocates, unless the string has escapes.
#[derive(Clone, Debug)]
pub(super) enum Id<'a> {
    Text(Cow<'a, str>),
    Digits(Digits),
}

impl<'a> Id<'a> {
    /// A string, if it is neither empty nor too long.
    pub(super) fn checked(text: Cow<'a, str>) -> Option<Self> {
        (1..=ID_BYTES).contains(&text.len()).then_some(Self::Text(text))
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Id::Text(text) => text,
            Id::Digits(digits) => digits.as_str(),
        }
    }
}

/// The decimal digits of an integer.
#[derive(Clone, Debug)]
pub(super) struct Digits {
    bytes: [u8; Digits::MOST],
    len: usize,
}

impl Digits {
    /// Characters of the longest 64-bit integer, its sign included.
    const MOST: usize = 20;

    fn new(n: impl fmt::Display) -> Self {
        let mut bytes = [0; Self::MOST];
        let mut rest = &mut bytes[..];
        // It cannot fail: there is room for every 64-bit integer.
        let _ = write!(rest, "{n}");
        let len = Self::MOST - rest.len();
        Self { bytes, len }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ids;
        fn checked<'a, E: serde::de::Error>(text: Cow<'a, str>) -> Result<Id<'a>, E> {
            let n = text.len();
            Id::checked(text)
                .ok_or_else(|| E::custom(format!("an identifier of {n} bytes, expected 1 to {ID_BYTES}")))
        }
        impl<'de> Visitor<'de> for Ids {
            type Value = Id<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an identifier, as a string or an integer")
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Id<'de>, E> {
                checked(Cow::Borrowed(text))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id<'de>, E> {
                checked(Cow::Owned(text.to_owned()))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Id<'de>, E> {
                Ok(Id::Digits(Digits::new(n)))
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Id<'de>, E> {
                Ok(Id::Digits(Digits::new(n)))
            }
        }
        deserializer.deserialize_any(Ids)
    }
}

/// A string. (serde would copy an optional `Cow<str>`; this borrows.)
#[derive(Clone, Debug)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// A finite number; a string that looks like one is not one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value.is_finite() { Ok(Self(value)) } else { Err(D::Error::custom("a number that is not finite")) }
    }
}

/// What a field must be, for the words when it is not.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Id,
    Time,
    Number,
    Bool,
    Text,
    Object,
}

/// A field of a record.
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// A field that must be there.
pub(super) const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

/// A field that may be missing or null.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

/// Finds the words for a record that could not be decoded.
pub(super) fn diagnose(value: &[u8], fields: &[Field], error: &dyn fmt::Display) -> Reason {
    let object = match object(value) {
        Ok(object) => object,
        Err(reason) => return reason,
    };
    for field in fields {
        if let Err(reason) = check_field(&object, field) {
            return reason;
        }
    }
    // serde's own words: a field that is there twice, for example. The place is of no use to a person.
    let text = error.to_string();
    format!("wrong_type: {}", text.lines().next().unwrap_or("the record cannot be decoded"))
}

/// The record as a JSON object, in which no field is there twice.
pub(super) fn object(value: &[u8]) -> Result<Object, Reason> {
    let text = std::str::from_utf8(value)
        .map_err(|e| format!("not_utf8: invalid UTF-8 at byte {}", e.valid_up_to()))?;
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str(text) {
            Ok(Once(object)) => Ok(object),
            Err(e) if e.is_data() => Err(format!("duplicate_field: {e}")),
            Err(e) if e.to_string().starts_with("number out of range") => Err(format!("out_of_range: {e}")),
            Err(e) => Err(format!("not_json: {e}")),
        };
    }
    match serde_json::from_str::<Json>(text) {
        Ok(other) => Err(format!("not_json: expected an object, found {}", short(&other))),
        Err(e) => Err(format!("not_json: {e}")),
    }
}

/// A JSON object.
pub(super) type Object = serde_json::Map<String, Json>;

/// An object in which no field is there twice.
struct Once(Object);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Once;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Once, A::Error> {
                let mut object = Object::new();
                while let Some((name, value)) = fields.next_entry::<String, Json>()? {
                    if object.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` is there twice")));
                    }
                    object.insert(name, value);
                }
                Ok(Once(object))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn check_field(object: &Object, field: &Field) -> Result<(), Reason> {
    let value = match object.get(field.name) {
        None | Some(Json::Null) if !field.required => return Ok(()),
        None => return Err(format!("missing_field: `{}` is missing", field.name)),
        Some(value) => value,
    };
    let wrong = |expected: &str| {
        Err(format!("wrong_type: `{}` is {}, expected {expected}", field.name, short(value)))
    };
    match field.kind {
        Kind::Id => match Id::deserialize(value) {
            Ok(_) => Ok(()),
            Err(_) if value.is_string() => {
                Err(format!("out_of_range: `{}` has not 1 to {ID_BYTES} bytes", field.name))
            }
            Err(_) => wrong("an identifier, as a string or an integer"),
        },
        Kind::Time => match Time::deserialize(value) {
            Ok(_) => Ok(()),
            Err(e) if is_time(value) => Err(format!("out_of_range: `{}`: {e}", field.name)),
            Err(_) => wrong("Unix ms as an integer or RFC 3339 with an offset"),
        },
        Kind::Number if Number::deserialize(value).is_err() => wrong("a number"),
        Kind::Bool if !value.is_boolean() => wrong("true or false"),
        Kind::Text if !value.is_string() => wrong("a string"),
        Kind::Object if !value.is_object() => wrong("an object"),
        _ => Ok(()),
    }
}

/// Whether a value is a time at all, be it out of range.
fn is_time(value: &Json) -> bool {
    match value {
        Json::Number(n) => n.is_i64() || n.is_u64(),
        Json::String(text) => OffsetDateTime::parse(text, &Rfc3339).is_ok(),
        _ => false,
    }
}

/// A JSON value as words: its type and, if it is short, itself.
pub(super) fn short(value: &Json) -> String {
    let text = value.to_string();
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    };
    if text.len() <= 40 && !value.is_null() { format!("{kind} ({text})") } else { kind.to_owned() }
}

/// The times of a record that is refused for another reason, as far as they are valid.
pub(super) fn readable_times(value: &[u8]) -> Times {
    let Ok(object) = object(value) else { return Times::default() };
    let time = |name: &str| object.get(name).and_then(|time| Time::deserialize(time).ok()).map(|time| time.0);
    Times { ts: time("ts"), appended_at: time("appended_at") }
}

/// Checks that `value` lies in a range.
pub(super) fn within(name: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<f64, Reason> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("out_of_range: `{name}` is {value}, expected {} to {}", range.start(), range.end()))
}

/// 10⁻⁷ degrees of a coordinate in degrees.
pub(super) fn tenths(degrees: f64) -> i32 {
    (degrees * model::rows::DEGREE).round() as i32
}
