//! Scores: units are judged by schemes, ranked, and published.
//!
//! [`brought`] turns what other streams say into inputs, [`judge`] keeps what each scheme says of each unit and period, at the worker of the unit; [`standing`] puts the units
//! of a scheme and period side by side, at the worker of these: ranks, and the versions that are published. The views on
//! top are `indicators`, `scores` and `score_versions`.

pub mod brought;
pub mod judge;
pub mod rows;
pub mod schemes;
pub mod standing;
