//! The ClickHouse sink.
mod fault;
mod version;
pub use version::{OLDEST, Version, server_version};
