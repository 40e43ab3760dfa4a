//! Falls: shares of `park_radius` that are lower than they were.
//!
//! **Meaning.** The level of a district (or the city) under a radius scheme is the greatest share by area that it has had
//! since its last fall was made good. A share that is less than the level by more than [`LEAST`] has *fallen*, from the
//! tick at which it first was until the one at which it is back at the level or has no share any more. A share of ground
//! moves at ticks, not in event time: so does this.
//!
//! **Mechanism.** The level and the beginning of the fall, held against each changed row.
//!
//! **State.** One entry per district and radius scheme.

use foldhash::HashMap;
use model::{Sym, Tick};

use crate::operators::delta::Delta;
use crate::operators::ticked::Ticked;
use crate::reach::RadiusRow;

/// A share that is less than the level by no more than this, 0.1 %, has not fallen: a redrawn boundary is no loss.
pub const LEAST: f64 = 0.001;

/// A fall began, or ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fall {
    /// The district, empty when not said; `None` for the city.
    pub district: Option<Sym>,
    /// The radius scheme.
    pub scheme: Sym,
    /// When it began, Unix ms.
    pub from: i64,
    /// When it ended, Unix ms; `None` while it lasts.
    pub until: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    share: f64,
    fallen: Option<i64>,
}

/// The operator: rows of `park_radius` in, falls out.
#[derive(Default)]
pub struct Falls {
    levels: HashMap<(Option<Sym>, Sym), Level>,
}

impl Ticked for Falls {
    type In = Delta<RadiusRow>;
    type Out = Fall;

    fn tick(&mut self, tick: Tick, input: &mut Vec<Delta<RadiusRow>>, out: &mut Vec<Fall>) {
        let now = i64::try_from(tick).unwrap_or(i64::MAX);
        for delta in input.drain(..) {
            let Some(key) = delta.key() else { continue };
            let share = delta.new.as_ref().and_then(|row| row.totals.share());
            let before = self.levels.get(&key).copied();
            let lost = |level: &Level| share.is_some_and(|share| share < level.share - LEAST);
            let back = |level: &Level| share.is_none_or(|share| share >= level.share);
            let (district, scheme) = key;
            let fallen = match before {
                Some(Level { fallen: None, .. }) if before.as_ref().is_some_and(lost) => {
                    out.push(Fall { district, scheme, from: now, until: None });
                    Some(now)
                }
                Some(level @ Level { fallen: Some(from), .. }) if back(&level) => {
                    out.push(Fall { district, scheme, from, until: Some(now) });
                    None
                }
                level => level.and_then(|level| level.fallen),
            };
            match share {
                Some(share) => {
                    let level = before.map_or(share, |level| level.share.max(share));
                    self.levels.insert(key, Level { share: level, fallen });
                }
                None => drop(self.levels.remove(&key)),
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        None
    }
}

#[cfg(test)]
mod tests {
    use green::city::Totals;
    use model::Sym;
    use proptest::prelude::*;

    use super::{Fall, Falls, LEAST};
    use crate::operators::delta::Delta;
    use crate::operators::ticked::Ticked;
    use crate::reach::RadiusRow;

    /// Of ten thousand parts, so many are covered; none of nothing.
    fn row(parts: Option<u16>) -> RadiusRow {
        let (area, covered) = parts.map_or((0, 0), |parts| (10_000, i64::from(parts)));
        let totals = Totals { area, covered, ..Totals::default() };
        RadiusRow { district: Some(Sym(7)), scheme: Sym(3), totals, threshold: None, walkways: false }
    }

    fn falls(rows: &[Option<Option<u16>>]) -> Vec<Fall> {
        let (mut operator, mut out, mut old) = (Falls::default(), Vec::new(), None);
        for (tick, new) in (1..).zip(rows) {
            let new = new.map(row);
            let delta = Delta::between(old, new.clone());
            operator.tick(tick * 1000, &mut delta.into_iter().collect(), &mut out);
            old = new;
        }
        out
    }

    #[test]
    fn a_park_that_closes_is_a_fall_until_the_share_is_back() {
        let said = falls(&[
            Some(Some(8000)),
            Some(Some(7995)),
            Some(Some(6000)),
            Some(Some(6500)),
            Some(Some(8000)),
        ]);
        let fall = |until| Fall { district: Some(Sym(7)), scheme: Sym(3), from: 3000, until };
        assert_eq!(said, [fall(None), fall(Some(5000))]);
        // A district without residential area has no share, and so has lost none.
        assert_eq!(
            falls(&[Some(Some(8000)), Some(Some(10)), Some(None), Some(Some(10))])[1].until,
            Some(3000)
        );
    }

    /// Naive: at each tick, the greatest share since the last tick without one or with one at the level.
    fn naive(rows: &[Option<Option<u16>>]) -> Vec<(i64, Option<i64>)> {
        let (mut spans, mut since): (Vec<(i64, Option<i64>)>, usize) = (Vec::new(), 0);
        for (at, row) in rows.iter().enumerate() {
            let now = (at as i64 + 1) * 1000;
            let share = |row: &Option<Option<u16>>| row.flatten().map(|parts| f64::from(parts) / 10_000.0);
            let best = rows[since..at].iter().filter_map(share).fold(f64::NEG_INFINITY, f64::max);
            let lasting = spans.last_mut().filter(|span| span.1.is_none());
            match (share(row), lasting) {
                (None, lasting) => {
                    lasting.into_iter().for_each(|span| span.1 = Some(now));
                    since = at;
                }
                (Some(share), Some(span)) => span.1 = (share >= best).then_some(now),
                (Some(share), None) if share < best - LEAST => spans.push((now, None)),
                (Some(_), None) => {}
            }
        }
        spans
    }

    proptest! {
        #[test]
        fn falls_are_what_a_look_back_finds(
            rows in proptest::collection::vec(proptest::option::weighted(0.9, proptest::option::weighted(0.9, 0u16..40)), 0..40),
        ) {
            let mut spans: Vec<(i64, Option<i64>)> = Vec::new();
            for fall in falls(&rows) {
                match spans.last_mut() {
                    Some(last) if last.0 == fall.from => last.1 = fall.until,
                    _ => spans.push((fall.from, fall.until)),
                }
            }
            prop_assert_eq!(spans, naive(&rows));
        }
    }
}
