//! The incremental core: engine, operators and views.
