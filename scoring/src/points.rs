//! From a value to points, 0 to 100: rates, bands, and full marks less steps.
//!
//! Edges: the upper edge of a band belongs to it (`0–50 → 100, 51–100 → 90` for whole numbers; what lies between two
//! whole numbers belongs to the higher band). Rates and shortfalls are clipped to 0 to 100 points.

use model::reference::score::{Parts, Scoring, Steps};
use num_traits::{One, Zero};

use crate::exact::{Exact, decimal, whole};

/// The points of `value`.
pub fn points(scoring: &Scoring, value: &Exact) -> Exact {
    let points = match scoring {
        Scoring::Rate => value * whole(100),
        Scoring::Inverted => (Exact::one() - value) * whole(100),
        Scoring::Bands(bands) => bands
            .iter()
            .find(|band| band.up_to.is_none_or(|edge| *value <= decimal(edge)))
            .map_or_else(Exact::zero, |band| decimal(band.points)),
        Scoring::Steps(steps) => shortfall(steps, value),
    };
    points.clamp(Exact::zero(), whole(100))
}

fn shortfall(steps: &Steps, value: &Exact) -> Exact {
    let full = decimal(steps.full_at);
    let short = if steps.falling { value - full } else { full - value };
    if short <= Exact::zero() {
        return whole(100);
    }
    let missed = short / decimal(steps.step);
    let missed = match steps.parts {
        Parts::Free => missed.floor(),
        Parts::Whole => missed.ceil(),
        Parts::ProRata => missed,
    };
    let worth = decimal(steps.points);
    (worth.clone() - missed * decimal(steps.minus)) * whole(100) / worth
}

#[cfg(test)]
mod tests {
    use model::reference::score::{Band, NANO, Parts, Scoring, Steps};

    use super::points;
    use crate::exact::{quotient, rounded};

    fn of(scoring: &Scoring, numerator: i64, denominator: i64) -> String {
        rounded(&points(scoring, &quotient(numerator, denominator).unwrap()), 3)
    }

    #[test]
    fn rates_are_clipped() {
        assert_eq!(of(&Scoring::Rate, 19, 20), "95.000");
        assert_eq!(of(&Scoring::Inverted, 1, 20), "95.000");
        assert_eq!(
            (of(&Scoring::Rate, 3, 2), of(&Scoring::Inverted, 3, 2)),
            ("100.000".into(), "0.000".into())
        );
    }

    #[test]
    fn the_upper_edge_belongs_to_the_band() {
        let band =
            |up_to: Option<i64>, points: i64| Band { up_to: up_to.map(|n| n * NANO), points: points * NANO };
        let scoring =
            Scoring::Bands(vec![band(Some(0), 100), band(Some(2), 90), band(Some(4), 75), band(None, 0)]);
        for (value, expected) in
            [((0, 1), 100), ((1, 3), 90), ((2, 1), 90), ((5, 2), 75), ((4, 1), 75), ((9, 2), 0)]
        {
            assert_eq!(of(&scoring, value.0, value.1), format!("{expected}.000"), "{value:?}");
        }
    }

    #[test]
    fn steps_take_off_what_they_cost() {
        // Garbage sorting of the trial rules: 70 % is 1 point, each 10 percentage points less cost 0.2.
        let steps = |parts| {
            Scoring::Steps(Steps {
                full_at: 700_000_000,
                step: 100_000_000,
                minus: 200_000_000,
                points: NANO,
                falling: false,
                parts,
            })
        };
        assert_eq!(of(&steps(Parts::Free), 70, 100), "100.000");
        assert_eq!(of(&steps(Parts::Free), 65, 100), "100.000");
        assert_eq!(of(&steps(Parts::Free), 60, 100), "80.000");
        assert_eq!(of(&steps(Parts::Whole), 65, 100), "80.000");
        assert_eq!(of(&steps(Parts::ProRata), 65, 100), "90.000");
        assert_eq!(of(&steps(Parts::Free), 0, 100), "0.000");
        let leak = Scoring::Steps(Steps {
            full_at: 100_000_000,
            step: 10_000_000,
            minus: NANO,
            points: 5 * NANO,
            falling: true,
            parts: Parts::Free,
        });
        assert_eq!((of(&leak, 9, 100), of(&leak, 12, 100)), ("100.000".into(), "60.000".into()));
    }
}
