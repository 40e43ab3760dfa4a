//! An indicator's formulas over whole numbers.
//!
//! **Meaning.** Numerator and denominator are CEL over the inputs that the indicator names; both must come out whole.
//! An input that is not known makes the indicator *missing*; a denominator of zero makes it *not applicable*.
//!
//! **Bounds.** Formulas compute with doubles: whole numbers below 2⁵³ are exact there, and a result beyond that, or
//! with a fraction, is missing.

use formula::{Formula, Type, Value};
use model::reference::score::IndicatorRef;

/// Whole numbers up to here are exact doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An indicator whose formulas are compiled.
#[derive(Clone, Debug)]
pub struct Indicator {
    record: IndicatorRef,
    numerator: Formula,
    denominator: Formula,
}

/// What an indicator says of a unit and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `numerator / denominator`, the latter not zero.
    Value {
        /// A whole number.
        numerator: i64,
        /// A whole number, not zero.
        denominator: i64,
    },
    /// The denominator is zero: the whole numbers are known.
    NotApplicable {
        /// The numerator.
        numerator: i64,
    },
    /// Something that it needs is not known.
    Missing,
}

impl Indicator {
    /// Compiles the formulas of `record`.
    ///
    /// # Errors
    /// Which formula is wrong, where, and what about it.
    pub fn compile(record: &IndicatorRef) -> Result<Self, String> {
        let scope: Vec<(String, Type)> =
            record.inputs.iter().map(|name| (name.to_string(), Type::Number)).collect();
        let compile = |what: &str, text: &str| {
            Formula::compile(text, Type::Number, &scope).map_err(|e| format!("`{what}`: {e}"))
        };
        Ok(Self {
            numerator: compile("numerator", &record.numerator)?,
            denominator: compile("denominator", &record.denominator)?,
            record: record.clone(),
        })
    }

    /// The record.
    pub fn record(&self) -> &IndicatorRef {
        &self.record
    }

    /// Its value where `input` knows the inputs by name.
    pub fn evaluate(&self, input: &dyn Fn(&str) -> Option<i64>) -> Outcome {
        let run = |formula: &Formula| {
            let mut known = |i: usize| Value::maybe(input(&formula.references()[i].name).map(|n| n as f64));
            let number = formula.evaluate(&mut known).as_number()?;
            (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
        };
        // An input that a formula happens not to look at is needed all the same.
        if self.record.inputs.iter().any(|name| input(name).is_none()) {
            return Outcome::Missing;
        }
        match (run(&self.numerator), run(&self.denominator)) {
            (Some(numerator), Some(0)) => Outcome::NotApplicable { numerator },
            (Some(numerator), Some(denominator)) => Outcome::Value { numerator, denominator },
            _ => Outcome::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::reference::score::{IndicatorRef, Scoring};

    use super::{Indicator, Outcome};

    fn indicator(numerator: &str, denominator: &str) -> Result<Indicator, String> {
        Indicator::compile(&IndicatorRef {
            inputs: ["filed", "voided", "grids"].map(Into::into).to_vec(),
            numerator: numerator.into(),
            denominator: denominator.into(),
            scoring: Scoring::Rate,
        })
    }

    #[test]
    fn formulas_are_whole_or_missing() {
        let known = |name: &str| match name {
            "filed" => Some(7),
            "voided" => Some(2),
            "grids" => Some(0),
            _ => None,
        };
        let run = |numerator, denominator| indicator(numerator, denominator).unwrap().evaluate(&known);
        assert_eq!(run("filed - voided", "filed"), Outcome::Value { numerator: 5, denominator: 7 });
        assert_eq!(run("filed", "grids"), Outcome::NotApplicable { numerator: 7 });
        assert_eq!(run("filed / voided", "1"), Outcome::Missing, "3.5 is not whole");
        let unknown = |name: &str| known(name).filter(|_| name != "grids");
        assert_eq!(indicator("filed", "filed").unwrap().evaluate(&unknown), Outcome::Missing);
        assert!(indicator("filed +", "1").unwrap_err().starts_with("`numerator`: line 1"));
        assert!(indicator("filed", "other").is_err());
    }
}
