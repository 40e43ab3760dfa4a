//! The API over a real socket: what REST and the live protocol say is what the frames add up to, at every frame.

mod live;
mod rest;
mod world;
