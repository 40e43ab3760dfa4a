//! Steps out: ClickHouse (embedded or external) and the log.
