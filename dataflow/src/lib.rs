//! The incremental core: rows in, steps out, and between them the views.
//!
//! * [`Engine`] runs the dataflow on N workers: `Feed` in, `Frame` out.
//! * [`views`] holds one file per view: what a row means, how it is maintained, and its oracle.
//! * [`operators`] are the few building blocks that views share.
//!
//! **V(T)**: at each tick every view equals a batch recomputation over the rows with a tick of at most T. This crate
//! knows timely and differential; it does no I/O and knows neither Kafka, ClickHouse, HTTP nor tokio.

pub mod calendar;
pub mod casework;
pub mod engine;
pub mod falls;
pub mod fleet;
pub mod greening;
pub mod journeys;
pub mod life;
pub mod nearest;
pub mod occasions;
pub mod operators;
pub mod reach;
pub mod scores;
pub mod selection;
pub mod series;
pub mod settings;
pub mod views;

#[cfg(test)]
mod testing;

pub use engine::Engine;
pub use selection::specs_of;
pub use settings::{Frames, Settings};
pub use tracks::Params as JourneyParams;
pub use views::specs;
