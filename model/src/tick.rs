//! Ticks: the only timestamp inside the dataflow.
//!
//! A tick is a Unix time in milliseconds, rounded *up* to a multiple of the tick length, so that everything known at
//! an instant is part of the first tick at or after it. Never finer: each distinct time costs memory.

use std::num::NonZeroU64;

/// A Unix time in milliseconds that is a multiple of the tick length.
pub type Tick = u64;

/// Default distance between ticks, in milliseconds.
pub const DEFAULT_TICK_MS: u64 = 200;

/// The distance between two ticks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickLength(NonZeroU64);

impl TickLength {
    /// A tick length of `ms` milliseconds; `None` when it is zero.
    pub fn from_millis(ms: u64) -> Option<Self> {
        NonZeroU64::new(ms).map(Self)
    }

    /// The length in milliseconds.
    pub fn as_millis(self) -> u64 {
        self.0.get()
    }

    /// The first tick at or after the Unix time `ms`; times before 1970 belong to tick 0.
    pub fn ceil(self, ms: i64) -> Tick {
        u64::try_from(ms).unwrap_or(0).div_ceil(self.0.get()) * self.0.get()
    }

    /// The last tick at or before the Unix time `ms`; times before 1970 belong to tick 0.
    pub fn floor(self, ms: i64) -> Tick {
        u64::try_from(ms).unwrap_or(0) / self.0.get() * self.0.get()
    }
}

impl Default for TickLength {
    fn default() -> Self {
        Self(NonZeroU64::new(DEFAULT_TICK_MS).expect("the default is a positive constant"))
    }
}

#[cfg(test)]
mod tests {
    use super::TickLength;

    #[test]
    fn a_tick_is_never_before_what_it_holds() {
        let length = TickLength::from_millis(200).unwrap();
        assert_eq!([length.ceil(0), length.ceil(1), length.ceil(200), length.ceil(201)], [0, 200, 200, 400]);
        assert_eq!([length.floor(0), length.floor(199), length.floor(200)], [0, 0, 200]);
        assert_eq!(length.ceil(-5), 0);
    }
}
