//! How much of a line intervals cover, and how often.
//!
//! Intervals are half-open, `[low, high)`, in mm. Nothing is kept.

/// Sorts the intervals and joins those that touch.
pub fn join(intervals: &mut Vec<(u32, u32)>) {
    intervals.sort_unstable();
    let mut n = 0;
    for i in 0..intervals.len() {
        let (low, high) = intervals[i];
        if low >= high {
            continue;
        }
        if n > 0 && low <= intervals[n - 1].1 {
            intervals[n - 1].1 = intervals[n - 1].1.max(high);
        } else {
            intervals[n] = (low, high);
            n += 1;
        }
    }
    intervals.truncate(n);
}

/// Joins the intervals; the length that they cover at least once, mm.
pub fn covered(intervals: &mut Vec<(u32, u32)>) -> i64 {
    join(intervals);
    length(intervals)
}

/// Sum of the lengths of intervals, mm.
pub fn length(intervals: &[(u32, u32)]) -> i64 {
    intervals.iter().map(|(low, high)| i64::from(high.saturating_sub(*low))).sum()
}

/// The greatest `k` such that at least `needed` mm (which must be positive) are covered `k` times or more.
pub fn times(intervals: &[(u32, u32)], needed: i64) -> i64 {
    if length(intervals) < needed {
        return 0;
    }
    let mut ends: Vec<(u32, i64)> = intervals
        .iter()
        .filter(|(low, high)| low < high)
        .flat_map(|(low, high)| [(*low, 1), (*high, -1)])
        .collect();
    ends.sort_unstable();
    // Length covered exactly n times, by n.
    let mut lengths: Vec<i64> = vec![0; intervals.len() + 1];
    let (mut depth, mut at) = (0i64, 0u32);
    for (place, step) in ends {
        if let Some(length) = usize::try_from(depth).ok().and_then(|depth| lengths.get_mut(depth)) {
            *length += i64::from(place - at);
        }
        (depth, at) = (depth + step, place);
    }
    let mut at_least = 0;
    for (k, length) in lengths.iter().enumerate().skip(1).rev() {
        at_least += length;
        if at_least >= needed.max(1) {
            return k as i64;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{covered, join, times};

    proptest! {
        #[test]
        fn every_millimetre_is_counted(intervals in proptest::collection::vec((0u32..60, 0u32..60), 0..12), needed in 1i64..60) {
            let mut depth = [0i64; 60];
            for (low, high) in &intervals {
                (*low..*high).for_each(|mm| depth[mm as usize] += 1);
            }
            let at_least = |k: i64| depth.iter().filter(|depth| **depth >= k).count() as i64;
            prop_assert_eq!(covered(&mut intervals.clone()), at_least(1));
            let most = (1..=12).rev().find(|k| at_least(*k) >= needed).unwrap_or(0);
            prop_assert_eq!(times(&intervals, needed), most);
            let mut joined = intervals;
            join(&mut joined);
            prop_assert!(joined.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
