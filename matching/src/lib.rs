//! Map matching over a road network that changes, and what a vehicle covered along its roads.
//!
//! A track of fixes becomes a way along roads by a hidden Markov model (Newson & Krumm, "Hidden Markov map matching
//! through noise and sparseness", ACM GIS 2009): a candidate costs by its distance from the fix, a hop between two
//! candidates by how much longer the way along the roads is than the straight line. Direction of travel and one-way
//! streets count; off the road is a state of its own.
//!
//! * [`Network`] holds the roads, each with the epochs at which it came and went.
//! * [`Track`] holds one vehicle's fixes and keeps its [`Piece`]s up to date, whatever order the fixes come in.
//! * [`union`] measures how much of a road intervals cover, and how often.
//! * [`naive`] says the same as [`Track`] in the plainest way: the definition, and what the tests compare with.
//!
//! **What a match depends on.** Event time is cut into blocks ([`Params::block_ms`]). The way through a block is the
//! cheapest one through the fixes of the block, those of [`Params::warm_up_ms`] before it and those of
//! [`Params::ahead_ms`] after it, and nothing else: neither the order of arrival nor the rest of the day. So a fix that
//! comes late costs one or two blocks, and a recomputation from scratch gives the same bits.
//!
//! All lengths are integers of millimetres and all costs integers of 1/1000 nat, so that sums do not depend on order.

pub mod decode;
pub mod fix;
pub mod geo;
pub mod naive;
pub mod network;
pub mod params;
pub mod pieces;
pub mod route;
pub mod track;
pub mod union;
pub mod way;

pub use fix::{Fix, Point};
pub use network::{Epoch, Network, RoadLine};
pub use params::Params;
pub use pieces::{Band, Piece};
pub use route::Router;
pub use track::{Edit, Track, World};
pub use way::{Spot, Step};
