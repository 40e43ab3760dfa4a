//! A reproducible city: Yan'an's thirteen units, its valley roads, fleets, sensors and cases, and their dirt.
//!
//! The meaning: a [`City`] is a pure function of its [`Config`]. The same seed gives the same bytes, whatever the steps
//! in which time is advanced; there is no clock inside, so a demo drives it with real time and a load generator as fast
//! as it will go. Every sensor, vehicle and case draws from its own random stream, so that adding one changes no other.
//!
//! The mechanism: a queue of the next record of each entity, and a second queue of records that wait for their append
//! time (late ones, second copies, later events of a case). Records come out in order of append time.
//!
//! The state is bounded by the number of sensors and vehicles, plus the unfinished cases, plus the withheld records
//! (the late and duplicate shares times the rate times at most [`dirt::LATE_MAX_MS`]).

pub mod cases;
mod city;
pub mod config;
pub mod dirt;
mod districts;
mod files;
mod geo;
mod json;
mod places;
mod random;
mod reference;
mod roads;
pub mod sensors;
pub mod vehicles;

pub use city::City;
pub use config::{Config, Dirt, YANAN};
pub use files::{Written, write_files};
