//! The commands, one file each.

pub mod bench;
pub mod check;
pub mod load;
pub mod replay;
pub mod serve;
pub mod simulate;
pub mod token;
