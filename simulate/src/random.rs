//! Random streams: one per entity, so that entities are independent of each other and of how many there are.
//!
//! A stream is a ChaCha generator keyed by the city's seed and numbered by (what, which). Its state is 320 bytes.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random stream belongs to.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum What {
    Roads = 1,
    Places,
    Sensor,
    SensorEpisodes,
    Vehicle,
    Arrivals,
    Case,
    Weather,
}

/// The random stream of entity `which` of its kind.
pub(crate) fn stream(seed: u64, what: What, which: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((what as u64) << 48 | which);
    rng
}

/// The random stream of one time slot of an entity: the same whenever it is asked for.
pub(crate) fn slot_stream(seed: u64, what: What, which: u64, slot: i64) -> ChaCha8Rng {
    let mixed = seed ^ (slot as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    stream(mixed, what, which)
}

/// Draws that the generators share.
pub(crate) trait Draw: Rng {
    /// True with probability `p`.
    fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.random::<f64>() < p
    }

    /// Uniform in `[low, high)`.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random::<f64>()
    }

    /// Uniform in `[low, high]`, whole ms.
    fn between_ms(&mut self, low: i64, high: i64) -> i64 {
        self.random_range(low..=high)
    }

    /// Standard normal to a good approximation (twelve 16-bit uniforms: no logarithm, hence fast; within ±6).
    fn normal(&mut self) -> f64 {
        let mut sum = 0u32;
        for _ in 0..3 {
            let bits = self.next_u64();
            sum += (bits & 0xffff) as u32
                + (bits >> 16 & 0xffff) as u32
                + (bits >> 32 & 0xffff) as u32
                + (bits >> 48) as u32;
        }
        f64::from(sum) / 65536.0 - 6.0
    }

    /// Exponential with this mean.
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.random::<f64>()).ln()
    }

    /// One of `items`, which is not empty.
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.random_range(0..items.len())]
    }

    /// An index drawn in proportion to `weights`, whose sum is `total`.
    fn weighted(&mut self, weights: impl Iterator<Item = f64>, total: f64) -> usize {
        let mut left = self.random::<f64>() * total;
        let mut last = 0;
        for (i, weight) in weights.enumerate() {
            last = i;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

impl<R: Rng + ?Sized> Draw for R {}

/// Shares `total` out in proportion to `weights`, at least `least` each, by largest remainder.
pub(crate) fn allot(total: u32, weights: &[f64], least: u32) -> Vec<u32> {
    let spare = total.saturating_sub(least * weights.len() as u32);
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights.iter().map(|w| f64::from(spare) * w / sum).collect();
    let mut shares: Vec<u32> = exact.iter().map(|x| *x as u32).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let missing = spare - shares.iter().sum::<u32>();
    for &i in order.iter().cycle().take(missing as usize) {
        shares[i] += 1;
    }
    shares.iter().map(|share| share + least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        assert_eq!(allot(10, &[1.0, 1.0, 1.0], 0), [4, 3, 3]);
        assert_eq!(allot(10, &[8.0, 1.0, 1.0], 1).iter().sum::<u32>(), 10);
        assert!(allot(3, &[8.0, 1.0, 1.0], 1) == [1, 1, 1]);
        assert_eq!(allot(0, &[1.0, 2.0], 0), [0, 0]);
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut rng = stream(7, What::Sensor, 0);
        let draws: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
