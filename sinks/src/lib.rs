//! Steps out: ClickHouse (embedded or external) and the log.
pub mod clickhouse;
pub mod embedded;
