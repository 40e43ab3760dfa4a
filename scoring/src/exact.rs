//! Exact numbers: fractions of whole numbers of any size, and their decimals for reading.
//!
//! A score over a dozen indicators with denominators of six digits needs more than 128 bits, so the numbers are those
//! of `num-rational` over `num-bigint`.

use model::reference::score::NANO;
use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};

/// An exact fraction.
pub type Exact = num_rational::BigRational;

/// The whole number `n`.
pub fn whole(n: i64) -> Exact {
    Exact::from_integer(BigInt::from(n))
}

/// `numerator / denominator`; `None` when the denominator is zero.
pub fn quotient(numerator: i64, denominator: i64) -> Option<Exact> {
    (denominator != 0).then(|| Exact::new(BigInt::from(numerator), BigInt::from(denominator)))
}

/// A decimal of a record, in 10⁻⁹.
pub fn decimal(nano: i64) -> Exact {
    Exact::new(BigInt::from(nano), BigInt::from(NANO))
}

/// The nearest double.
pub fn to_f64(exact: &Exact) -> f64 {
    exact.to_f64().unwrap_or(f64::NAN)
}

/// `n/d`, or `n` for a whole number: nothing is lost.
pub fn text(exact: &Exact) -> String {
    exact.to_string()
}

/// What [`text`] wrote.
pub fn parse(text: &str) -> Option<Exact> {
    text.parse().ok()
}

/// The decimal with so many digits after the point, halves away from zero.
pub fn rounded(exact: &Exact, digits: u32) -> String {
    let scale = BigInt::from(10).pow(digits);
    let scaled = (exact * Exact::from_integer(scale.clone())).round().to_integer();
    let (whole, rest) = (scaled.abs() / &scale, scaled.abs() % &scale);
    let sign = if scaled.is_negative() { "-" } else { "" };
    match digits {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{rest:0>width$}", rest = rest.to_string(), width = digits as usize),
    }
}

/// Decimals with so many digits that add up to the decimal of the sum: each is cut, and what is missing goes to those
/// that were cut most (largest remainder), the first of equals.
pub fn rounded_parts(parts: &[Exact], digits: u32) -> Vec<String> {
    let scale = Exact::from_integer(BigInt::from(10).pow(digits));
    let scaled: Vec<Exact> = parts.iter().map(|part| part * &scale).collect();
    let mut cut: Vec<BigInt> = scaled.iter().map(|part| part.floor().to_integer()).collect();
    let total = scaled.iter().fold(Exact::zero(), |sum, part| sum + part).round().to_integer();
    let missing = (total - cut.iter().sum::<BigInt>()).to_usize().unwrap_or(0);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| scaled[*b].fract_from_floor().cmp(&scaled[*a].fract_from_floor()).then(a.cmp(b)));
    for place in order.into_iter().take(missing) {
        cut[place] += 1;
    }
    cut.into_iter().map(|n| rounded(&(Exact::from_integer(n) / &scale), digits)).collect()
}

trait FractFromFloor {
    fn fract_from_floor(&self) -> Exact;
}

impl FractFromFloor for Exact {
    fn fract_from_floor(&self) -> Exact {
        self - self.floor()
    }
}

#[cfg(test)]
mod tests {
    use super::{Exact, decimal, parse, quotient, rounded, rounded_parts, text, whole};

    #[test]
    fn decimals_are_what_a_calculator_shows() {
        assert_eq!(rounded(&quotient(1, 3).unwrap(), 4), "0.3333");
        assert_eq!(rounded(&quotient(2, 3).unwrap(), 0), "1");
        assert_eq!(rounded(&quotient(-1, 8).unwrap(), 2), "-0.13");
        assert_eq!(rounded(&decimal(950_000_000), 2), "0.95");
        assert_eq!(rounded(&whole(7), 3), "7.000");
        assert_eq!(quotient(1, 0), None);
        let exact = quotient(22, 7).unwrap();
        assert_eq!((text(&exact).as_str(), parse("22/7")), ("22/7", Some(exact)));
    }

    #[test]
    fn rounded_parts_add_up() {
        let thirds: Vec<Exact> = (0..3).map(|_| quotient(1, 3).unwrap()).collect();
        assert_eq!(rounded_parts(&thirds, 2), ["0.34", "0.33", "0.33"]);
        let mixed = [quotient(-1, 3).unwrap(), quotient(2, 3).unwrap(), quotient(1, 7).unwrap()];
        assert_eq!(rounded_parts(&mixed, 1), ["-0.3", "0.7", "0.1"]);
    }
}
