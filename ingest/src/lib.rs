//! Records in: Kafka, the local log and files, decoded and validated once, bound to ticks, and fed to the dataflow.
//!
//! * [`log`] is the one trait behind which Kafka and the local log stand; [`clock`] binds ticks to offsets and is
//!   written by one fenced writer; [`live`] reads, binds and feeds.
//! * [`streams`] turns one record into one typed row or one reason for refusing it; [`crs`] converts map-vendor
//!   coordinates at this edge and nowhere else; [`files`] is the way of `replay`.
//!
//! This crate knows rdkafka. It knows no view and no sink.

pub mod clock;
pub mod files;
pub mod live;
pub mod log;
pub mod streams;

/// Coordinates of map vendors become WGS-84, here at the edge and nowhere else.
pub use model::crs;
