//! Kafka, the local log and files in: decode, validate, intern, and the clock log.
