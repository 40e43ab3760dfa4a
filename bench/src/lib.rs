//! Throughput and latency runs: the reference workload, those who answer it, and the figures.
//!
//! * [`city5`] generates the workload from a seed.
//! * [`contestants`] says who answers it: Chengmai ([`own`], [`backlog`]), the [`floor`], and peers in folders.
//! * [`latency`] puts an open-loop load on a running engine.
//! * [`run`] runs a [`scenario`] and writes [`results`] and a [`plot`].
//!
//! Nothing here knows how the engine works inside: contestants are programs, Chengmai's own among them, that read the
//! same files and write the same answers.

pub mod answers;
pub mod backlog;
pub mod city5;
pub mod clickhouse;
pub mod contestants;
pub mod floor;
pub mod follow;
pub mod latency;
pub mod load;
pub mod machine;
pub mod materialized;
pub mod own;
pub mod plot;
pub mod results;
pub mod run;
pub mod scenario;
pub mod server;
