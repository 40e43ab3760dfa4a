//! Cases: problems that are reported, filed, dispatched with a limit, handled, checked and closed — or not.
//!
//! The whole life of a case is drawn when it is reported, from the case's own random stream; its events then wait for
//! their time. Some are refused, sent back, extended, suspended, done again, late, or rated. An event of a case never
//! precedes the one that it follows from. Bounded by the arrival rate times the length of a life (weeks at most).

mod classes;
mod life;

pub use classes::{CLASSES, CaseClass, DEPARTMENTS, Department};
pub(crate) use life::{Arrivals, id_prefix, live};

/// Mean number of events of a case.
pub const MEAN_EVENTS: f64 = 6.35;
