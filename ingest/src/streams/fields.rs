//! Fields of records: how each type is read, and the words for one that is wrong.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use serde_json::Value as Json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Reason;

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

/// An identifier: a string of 1 to 256 bytes, or an integer, which stands for its decimal digits.
#[derive(Clone, Debug)]
pub(super) struct Id<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ids;
        fn checked<'a, E: serde::de::Error>(text: Cow<'a, str>) -> Result<Id<'a>, E> {
            match text.len() {
                1..=ID_BYTES => Ok(Id(text)),
                n => Err(E::custom(format!("an identifier of {n} bytes, expected 1 to {ID_BYTES}"))),
            }
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
                checked(Cow::Owned(n.to_string()))
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Id<'de>, E> {
                checked(Cow::Owned(n.to_string()))
            }
        }
        deserializer.deserialize_any(Ids)
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

/// The record as a JSON object.
pub(super) fn object(value: &[u8]) -> Result<serde_json::Map<String, Json>, Reason> {
    let text = std::str::from_utf8(value)
        .map_err(|e| format!("not_utf8: invalid UTF-8 at byte {}", e.valid_up_to()))?;
    match serde_json::from_str(text) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(other) => Err(format!("not_json: expected an object, found {}", short(&other))),
        Err(e) => Err(format!("not_json: {e}")),
    }
}

fn check_field(object: &serde_json::Map<String, Json>, field: &Field) -> Result<(), Reason> {
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
            Err(e) if value.is_i64() || value.is_u64() => Err(format!("out_of_range: `{}`: {e}", field.name)),
            Err(e) if value.as_str().is_some_and(|text| text.len() > 10 && !text.contains("offset")) => {
                let code = if e.to_string().contains("outside") { "out_of_range" } else { "wrong_type" };
                Err(format!("{code}: `{}`: {e}", field.name))
            }
            Err(_) => wrong("Unix ms as an integer or RFC 3339 with an offset"),
        },
        Kind::Number if Number::deserialize(value).is_err() => wrong("a number"),
        Kind::Bool if !value.is_boolean() => wrong("true or false"),
        Kind::Text if !value.is_string() => wrong("a string"),
        Kind::Object if !value.is_object() => wrong("an object"),
        _ => Ok(()),
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

/// The event time of a record that is refused for another reason, if it has a valid one.
pub(super) fn readable_ts(value: &[u8]) -> Option<i64> {
    let object = object(value).ok()?;
    Time::deserialize(object.get("ts")?).ok().map(|time| time.0)
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
