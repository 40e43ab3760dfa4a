//! `road`: where it runs, whose it is, and how often it is to be swept. Documented in `docs/coverage.md`.

use serde::{Deserialize, Serialize};

use crate::names::Sym;

/// `road`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoadRef {
    /// `district`; empty when not said.
    pub district: Sym,
    /// `grade` (道路保洁等级); empty when not said.
    pub grade: Sym,
    /// The vertices of its LineString, longitude and latitude in 10⁻⁷ degrees; empty when it is not drawn.
    pub points: Vec<(i32, i32)>,
    /// `oneway`: driven only in the order of its vertices.
    pub oneway: bool,
    /// `plan`, at most one entry per shift.
    pub plan: Vec<PlanRef>,
}

/// How often a road is to be swept in a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRef {
    /// The shift.
    pub shift: Sym,
    /// Passes, at least 1.
    pub passes: u32,
    /// `from`: passes count from then on, minutes of the city's day; `None` = from the beginning of the shift.
    pub from: Option<u16>,
    /// `by`: they are to be done by then, minutes of the city's day; `None` = by the end of the shift.
    pub by: Option<u16>,
}
