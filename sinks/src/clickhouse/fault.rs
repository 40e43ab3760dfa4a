//! Whose fault a failed request is and whether to try it again: decided in one place, by ClickHouse's exception code.
//!
//! ClickHouse answers a 500 for bad data and for a full disk alike, so the HTTP status says nothing; the code in the
//! text (`Code: 241. DB::Exception: …`) does. Codes that pass by themselves are listed; every other code is for good,
//! because repeating a request that can never succeed would hold back the whole flow in silence. State: none.

use clickhouse::error::Error as DriverError;
use model::{Error, Result};

/// Exception codes that a later attempt may not meet again, with their names in ClickHouse's `ErrorCodes.cpp`.
const PASSING: &[(u32, &str)] = &[
    (3, "UNEXPECTED_END_OF_FILE"), // the connection broke within the body
    (33, "CANNOT_READ_ALL_DATA"),  // so did this one
    (74, "CANNOT_READ_FROM_FILE_DESCRIPTOR"),
    (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"),
    (159, "TIMEOUT_EXCEEDED"),
    (164, "READONLY"), // a server that starts, or whose disks are full, is read-only for a while
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    (203, "NO_FREE_CONNECTION"),
    (209, "SOCKET_TIMEOUT"),
    (210, "NETWORK_ERROR"),
    (236, "ABORTED"),
    (241, "MEMORY_LIMIT_EXCEEDED"),
    (242, "TABLE_IS_READ_ONLY"),
    (243, "NOT_ENOUGH_SPACE"),
    (252, "TOO_MANY_PARTS"),
    (279, "ALL_CONNECTION_TRIES_FAILED"),
    (319, "UNKNOWN_STATUS_OF_INSERT"),
    (394, "QUERY_WAS_CANCELLED"),
    (425, "SYSTEM_ERROR"),
    (439, "CANNOT_SCHEDULE_TASK"),
    (473, "DEADLOCK_AVOIDED"),
    (745, "SERVER_OVERLOADED"),
    (999, "KEEPER_EXCEPTION"),
];

/// The exception code in an answer of ClickHouse.
pub fn exception_code(text: &str) -> Option<u32> {
    let digits = &text[text.find("Code: ")? + "Code: ".len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The error that an unsuccessful answer with `text` stands for; `what` says what was tried.
pub fn from_answer(what: &str, text: &str) -> Error {
    let text = format!("{what}: {}", shorten(text));
    match exception_code(&text) {
        Some(code) if PASSING.iter().any(|(passing, _)| *passing == code) => Error::external(text),
        Some(_) => Error::refused(text),
        // No code: a proxy or a server that is not up yet.
        None => Error::external(text),
    }
}

/// The error that a failure of the driver stands for; `what` says what was tried.
pub fn from_driver(what: &str, error: DriverError) -> Error {
    match error {
        DriverError::BadResponse(text) => from_answer(what, &text),
        DriverError::Network(_) | DriverError::TimedOut => Error::external(what).caused_by(error),
        other => Error::refused(what).caused_by(other),
    }
}

/// `result` with the driver's error as ours.
pub fn classify<T>(what: &str, result: Result<T, DriverError>) -> Result<T> {
    result.map_err(|error| from_driver(what, error))
}

/// Longest text of an exception that is passed on, in characters; ClickHouse likes to print whole queries.
const TEXT_LIMIT: usize = 600;

fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use model::Retry;

    use super::*;

    #[test]
    fn the_code_decides() {
        let full =
            from_answer("insert", "Code: 243. DB::Exception: Cannot reserve 1 MiB. (NOT_ENOUGH_SPACE)");
        assert_eq!(full.retry, Retry::Later);
        let unknown =
            from_answer("insert", "Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE)");
        assert_eq!(unknown.retry, Retry::Never);
        assert!(unknown.to_string().starts_with("insert: Code: 60."));
        assert_eq!(from_answer("insert", "502 Bad Gateway").retry, Retry::Later);
        assert_eq!(from_driver("insert", DriverError::TimedOut).retry, Retry::Later);
        assert_eq!(from_driver("insert", DriverError::NotEnoughData).retry, Retry::Never);
    }

    #[test]
    fn a_long_exception_is_cut_between_characters() {
        assert_eq!(shorten(&"城".repeat(700)).chars().count(), TEXT_LIMIT + 1);
    }
}
