//! Parks and green space as geometry: who lives within reach of a park, straight and on foot.
//!
//! **Meaning.** A [`City`](city::City) holds parks, residential areas and walkways, and one scheme of radii. It says for
//! each residence how much of it lies within the radius of a park ([`coverage`]), how far the nearest park is in a straight
//! line, and how far the nearest entrance is along the walkways ([`network`]).
//!
//! **Mechanism.** Changes come in batches; only what lies around them is computed again, and the answer is a function of
//! the current records alone, to the bit, whatever order they came in. This crate knows no dataflow and does no I/O.
//!
//! **State.** One entry per park, residence and walkway vertex.

pub mod attach;
pub mod buffer;
pub mod city;
pub mod coverage;
pub mod measure;
pub mod metrics;
pub mod network;
pub mod paths;
pub mod projection;
pub mod shape;
pub mod whatif;
