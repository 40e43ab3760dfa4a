//! Steps out: what the dataflow publishes leaves for other systems here.
//!
//! **The sinks.** A sink is one file (or folder) and one line in this list:
//!
//! | sink | module | what it takes | where it goes |
//! |---|---|---|---|
//! | ClickHouse | [`clickhouse`] | every change of every view | tables derived from the views |
//! | alerts | [`topics::alerts`] | the upserts of view `alerts` | topic `<prefix>alerts`; cases that rules open, `<prefix>cases` |
//! | webhook | [`webhook`] | the upserts of view `incidents` | an HTTP address |
//! | rejected records | [`topics::rejected`] | the upserts of view `rejects` | topic `<prefix>rejected` of the log |
//!
//! Every sink takes whole [`model::Frame`]s in order, may be fed again from tick 0 after a restart, and then neither
//! loses nor repeats anything that a reader could notice: each knows from its own target how far it has come.
//! [`embedded`] is the ClickHouse that needs no installation.
//!
//! This crate knows ClickHouse and what a topic is; it does not know the dataflow, the ingest, or which log is used.

pub mod clickhouse;
pub mod embedded;
pub mod topics;
pub mod webhook;
