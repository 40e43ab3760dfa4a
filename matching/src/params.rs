//! The numbers that shape a match: lengths in mm, times in ms, costs in 1/1000 nat.
//!
//! They are properties of receivers and of cities in general, not of one city; the dataflow takes them from its
//! settings. Nothing here is state.

use serde::{Deserialize, Serialize};

/// Numbers of the model and of coverage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// Standard deviation of a fix across the road, mm. (Newson & Krumm measured 4.07 m with a good receiver; cheap
    /// devices between houses do worse.)
    pub sigma_mm: i64,
    /// A road further than this from a fix is no candidate for it, mm.
    pub radius_mm: i64,
    /// Scale β of the difference between way and straight line for fixes at the same time, mm.
    pub beta_mm: i64,
    /// How β grows with the time between two fixes, mm per s. (Newson & Krumm, figure 5: about 0.3 m per s.)
    pub beta_mm_per_s: i64,
    /// Cost of being off the road, per fix.
    pub off_cost: i64,
    /// Cost of leaving or entering the road.
    pub off_switch_cost: i64,
    /// Cost of a hop that no way explains; such a hop covers nothing.
    pub jump_cost: i64,
    /// A way between two fixes is looked for up to this length, mm.
    pub way_mm: i64,
    /// Cost of turning round on the road.
    pub u_turn_cost: i64,
    /// Cost of a direction of travel at right angles to the road; twice this against it.
    pub heading_cost: i64,
    /// Below this speed a direction of travel means nothing, 0.1 km/h.
    pub heading_from: u16,
    /// A step back along the road up to this length is noise of a vehicle that stands, mm.
    pub back_mm: i64,
    /// Length of a block, ms. A multiple of [`crate::pieces::GRID_MS`].
    pub block_ms: i64,
    /// How far before its block a match looks, ms; not less than `hole_ms`.
    pub warm_up_ms: i64,
    /// How far after its block a match looks, ms.
    pub ahead_ms: i64,
    /// Between two fixes further apart than this nothing is inferred for the match, ms.
    pub hole_ms: i64,
    /// Between two fixes further apart than this nothing is covered, ms.
    pub cover_hole_ms: i64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            sigma_mm: 7_000,
            radius_mm: 50_000,
            beta_mm: 4_000,
            beta_mm_per_s: 300,
            off_cost: 8_000,
            off_switch_cost: 3_000,
            jump_cost: 20_000,
            way_mm: 2_000_000,
            u_turn_cost: 6_000,
            heading_cost: 3_000,
            heading_from: 30,
            back_mm: 30_000,
            block_ms: 600_000,
            warm_up_ms: 120_000,
            ahead_ms: 60_000,
            hole_ms: 120_000,
            cover_hole_ms: 60_000,
        }
    }
}

impl Params {
    /// β for two fixes `dt_ms` apart, mm.
    pub fn beta(&self, dt_ms: i64) -> i64 {
        (self.beta_mm + self.beta_mm_per_s * dt_ms.max(0) / 1000).max(1)
    }

    /// The block of an event time.
    pub fn block(&self, ts: i64) -> i64 {
        ts.div_euclid(self.block_ms)
    }

    /// The event times that the match of `block` looks at, `[from, to)`.
    pub fn window(&self, block: i64) -> (i64, i64) {
        (block * self.block_ms - self.warm_up_ms, (block + 1) * self.block_ms + self.ahead_ms)
    }

    /// The event times that the matches which look at `ts` look at, `[from, to)`.
    pub fn looked_at(&self, ts: i64) -> (i64, i64) {
        let (first, last) = self.looked_at_by(ts);
        (self.window(first).0, self.window(last).1)
    }

    /// The blocks whose match looks at `ts`: first and last.
    pub fn looked_at_by(&self, ts: i64) -> (i64, i64) {
        (self.block(ts - self.ahead_ms), self.block(ts + self.warm_up_ms))
    }
}
