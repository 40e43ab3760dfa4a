//! `indicator`, `score_scheme` and `measure`: how a unit is scored, as records.
//!
//! An indicator is a quotient of whole numbers and a function from it to points; a scheme weighs indicators into a tree;
//! a measure is a whole number that no stream brings, such as the communities that sort their waste. The records are
//! documented in `docs/scores.md`. Decimals are whole numbers of 10⁻⁹ ([`NANO`]), so that 0.95 means 0.95.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::Sym;
use crate::period::{Period, PeriodKind};

/// Decimals are whole numbers of this fraction of one.
pub const NANO: i64 = 1_000_000_000;

/// `indicator`: a number about a unit, and what it is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndicatorRef {
    /// Names of the inputs: counts of `case_rates`, `grids`, or measures.
    pub inputs: Vec<Arc<str>>,
    /// CEL over the inputs; a whole number.
    pub numerator: Arc<str>,
    /// CEL over the inputs; a whole number. `1` where none is given.
    pub denominator: Arc<str>,
    /// From the quotient to 0 to 100 points.
    pub scoring: Scoring,
}

/// From a value to points, 0 to 100.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scoring {
    /// 100 × the value.
    Rate,
    /// 100 × (1 − the value).
    Inverted,
    /// The points of the first band whose upper edge the value does not exceed.
    Bands(Vec<Band>),
    /// All points at a threshold, then less for each step beyond it.
    Steps(Steps),
}

/// A band of a step function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// Its upper edge, which belongs to it, 10⁻⁹; `None` for the last.
    pub up_to: Option<i64>,
    /// Points, 10⁻⁹.
    pub points: i64,
}

/// All points at a threshold, then minus so much for each step of shortfall, not below 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// The threshold, 10⁻⁹.
    pub full_at: i64,
    /// Width of a step, 10⁻⁹, positive.
    pub step: i64,
    /// What a step costs, 10⁻⁹ of a point of `points`.
    pub minus: i64,
    /// What the indicator is worth in the source's own points, 10⁻⁹, positive; they become 0 to 100.
    pub points: i64,
    /// Whether less is better: the shortfall is then what lies above the threshold.
    pub falling: bool,
    /// What a part of a step costs.
    pub parts: Parts,
}

/// What a part of a step costs; standards don't say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parts {
    /// Nothing: whole steps count.
    Free,
    /// As much as a whole step.
    Whole,
    /// Its share.
    ProRata,
}

/// `score_scheme`: a tree of weights over indicators, for a kind of unit, from a day on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeRef {
    /// The scheme that this record is a version of; the record's id where it does not say.
    pub scheme: Sym,
    /// Periods that begin on this day or later are scored by it; `None` = always.
    pub valid_from: Option<i32>,
    /// What is scored.
    pub scope: Scored,
    /// Only these units; empty = all.
    pub units: Vec<Sym>,
    /// Periods that are scored.
    pub periods: Vec<PeriodKind>,
    /// What becomes of 0/0.
    pub not_applicable: NotApplicable,
    /// The tree.
    pub nodes: Vec<Node>,
    /// Grades from the highest; a score has the first whose lower edge it reaches.
    pub grades: Vec<Grade>,
    /// A period is published this long after its end, ms; `None` = never by itself.
    pub publish_after_ms: Option<i64>,
}

/// What a scheme scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scored {
    /// The city.
    City,
    /// 区域.
    District,
    /// 专业部门.
    Department,
    /// 岗位.
    Post,
}

/// What becomes of an indicator that is 0/0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotApplicable {
    /// It is left out and the other weights grow.
    Renormalise,
    /// It has all points.
    Full,
}

/// A node of the tree of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Of a leaf the indicator, else a name within the scheme.
    pub id: Sym,
    /// Its weight among its siblings, 10⁻⁹, positive.
    pub weight: i64,
    /// Empty for a leaf.
    pub children: Vec<Node>,
    /// Indicators that only some posts have: this one only; empty = all units.
    pub only: Vec<Sym>,
}

/// A grade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// A to E.
    pub name: Arc<str>,
    /// Its lower edge, which belongs to it, points, 10⁻⁹.
    pub from: i64,
    /// A word for it.
    pub colour: Arc<str>,
}

/// `measure`: a whole number about a unit in a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureRef {
    /// What kind of unit.
    pub scope: Scored,
    /// Which; `city` for the city, the name of the post for a post.
    pub unit: Sym,
    /// When.
    pub period: Period,
    /// What it is called in formulas.
    pub name: Arc<str>,
    /// The number.
    pub value: i64,
}
