//! `shift`: a span of every day, and who works in it. Documented in `docs/coverage.md`.

use serde::{Deserialize, Serialize};

use crate::names::Sym;

/// `shift`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftRef {
    /// Minutes of the city's day, 0 to 1439.
    pub start: u16,
    /// Minutes from the beginning of the same day, later than `start` by at most 24 h: more than 1440 when it ends
    /// past midnight.
    pub end: u16,
    /// Whose work counts; empty = everybody's.
    pub fleets: Vec<Sym>,
}
