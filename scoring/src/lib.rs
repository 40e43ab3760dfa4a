//! Scores: from exact quotients over step functions and weights to totals, grades and ranks.
//!
//! **Meaning.** Everything is exact: values, points and totals are fractions of whole numbers ([`exact`]), so a grade
//! is decided by the score itself and the parts of a change add up to it. Decimals are for reading only.
//!
//! * [`measure`]: an indicator's formulas, compiled once, give numerator and denominator.
//! * [`points`]: the quotient becomes 0 to 100 points.
//! * [`tree`]: points are weighed; what is not applicable is left out.
//!
//! Plain functions of their arguments: no state.

pub mod exact;
pub mod measure;
pub mod points;
pub mod tree;

pub use exact::Exact;
pub use measure::{Indicator, Outcome};
pub use tree::{Evaluated, Leaf, Standing, evaluate, grade, ranks};
