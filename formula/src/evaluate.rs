//! Evaluation: a walk over the typed tree, without allocation.

use crate::Comparison;
use crate::lower::{Arithmetic, Function, Node, TextTest};

/// The value of a formula, or of something it names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Not known.
    Missing,
    /// A finite number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// The finite number `n`; anything else is missing. Minus zero becomes zero, so that equal values are equal bits.
    pub fn number(n: f64) -> Self {
        if n.is_finite() { Self::Number(n + 0.0) } else { Self::Missing }
    }

    /// A number, or missing.
    pub fn maybe(n: Option<f64>) -> Self {
        n.map_or(Self::Missing, Self::number)
    }

    /// The number, if it is one.
    pub fn as_number(self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(n),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Node {
    pub(crate) fn evaluate<'a>(&'a self, known: &mut dyn FnMut(usize) -> Value<'a>) -> Value<'a> {
        let number =
            |node: &'a Node, known: &mut dyn FnMut(usize) -> Value<'a>| node.evaluate(known).as_number();
        match self {
            Node::Number(n) => Value::Number(*n),
            Node::Bool(b) => Value::Bool(*b),
            Node::Text(text) => Value::Text(text),
            Node::Reference(at) => known(*at),
            Node::IsMissing(of) => Value::Bool(of.evaluate(known) == Value::Missing),
            Node::Not(of) => of.evaluate(known).as_bool().map_or(Value::Missing, |b| Value::Bool(!b)),
            Node::Negate(of) => Value::maybe(number(of, known).map(|n| -n)),
            Node::Arithmetic(op, a, b) => {
                let (Some(a), Some(b)) = (number(a, known), number(b, known)) else { return Value::Missing };
                Value::number(match op {
                    Arithmetic::Add => a + b,
                    Arithmetic::Subtract => a - b,
                    Arithmetic::Multiply => a * b,
                    Arithmetic::Divide => a / b,
                    Arithmetic::Remainder => a % b,
                })
            }
            Node::Compare(how, a, b) => {
                let (Some(a), Some(b)) = (number(a, known), number(b, known)) else { return Value::Missing };
                Value::Bool(compare(*how, a, b))
            }
            Node::Same(equal, a, b) => match (a.evaluate(known), b.evaluate(known)) {
                (Value::Missing, _) | (_, Value::Missing) => Value::Missing,
                (a, b) => Value::Bool((a == b) == *equal),
            },
            Node::Logic(and, a, b) => {
                // A missing side does not matter when the other decides.
                let first = a.evaluate(known).as_bool();
                if first == Some(!*and) {
                    return Value::Bool(!*and);
                }
                match (first, b.evaluate(known).as_bool()) {
                    (_, Some(second)) if second != *and => Value::Bool(second),
                    (Some(_), Some(second)) => Value::Bool(second),
                    _ => Value::Missing,
                }
            }
            Node::If(condition, then, otherwise) => match condition.evaluate(known).as_bool() {
                Some(true) => then.evaluate(known),
                Some(false) => otherwise.evaluate(known),
                None => Value::Missing,
            },
            Node::OneOf(of, list) => {
                let of = of.evaluate(known);
                if of == Value::Missing {
                    return Value::Missing;
                }
                let mut missing = false;
                for item in list {
                    match item.evaluate(known) {
                        Value::Missing => missing = true,
                        item if item == of => return Value::Bool(true),
                        _ => {}
                    }
                }
                if missing { Value::Missing } else { Value::Bool(false) }
            }
            Node::TextTest(test, of, part) => {
                let (Some(of), Some(part)) = (of.evaluate(known).as_text(), part.evaluate(known).as_text())
                else {
                    return Value::Missing;
                };
                Value::Bool(match test {
                    TextTest::StartsWith => of.starts_with(part),
                    TextTest::EndsWith => of.ends_with(part),
                    TextTest::Contains => of.contains(part),
                })
            }
            Node::Call(function, arguments) => {
                let Some(first) = arguments.first().and_then(|first| number(first, known)) else {
                    return Value::Missing;
                };
                let value = match function {
                    Function::Abs => first.abs(),
                    // Half away from zero.
                    Function::Round => first.round(),
                    Function::Floor => first.floor(),
                    Function::Ceil => first.ceil(),
                    Function::Sqrt => first.sqrt(),
                    Function::Least | Function::Greatest => {
                        let mut found = first;
                        for argument in &arguments[1..] {
                            let Some(n) = number(argument, known) else { return Value::Missing };
                            found = if *function == Function::Least { found.min(n) } else { found.max(n) };
                        }
                        found
                    }
                };
                Value::number(value)
            }
        }
    }
}

fn compare(how: Comparison, a: f64, b: f64) -> bool {
    match how {
        Comparison::Less => a < b,
        Comparison::AtMost => a <= b,
        Comparison::Greater => a > b,
        Comparison::AtLeast => a >= b,
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
    }
}
