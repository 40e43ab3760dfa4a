//! Cases: what their events mean, apart from any dataflow.
//!
//! [`life`] folds the events of one case into its row and flags what the life cycle does not allow; [`counts`] says in
//! which statistics a row counts, and when; [`limits`] knows the limits of classes; [`twins`] finds reports of one thing.
//! The views on top are `cases`, `case_quality` and `case_rates`. Plain functions of their input: nothing is kept here but
//! what [`limits`] and [`twins`] say.

pub mod counts;
pub mod life;
pub mod limits;
#[cfg(test)]
pub(crate) mod oracle;
pub mod twins;
