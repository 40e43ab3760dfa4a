//! Conditions and formulas in the Common Expression Language: compiled once, type-checked, cheap to evaluate.
//!
//! **Meaning.** A [`Formula`] is a CEL expression over named things that a [`Scope`] declares. All numbers are doubles:
//! `2` and `2.0` are the same. What is not known is [`Value::Missing`], and so is the result of arithmetic that has no
//! finite one (a division by zero); an operator with a missing operand is missing, except that `false && …`, `true ||
//! …` and the branch of a conditional that is not taken don't look at it, on either side, as CEL has it for errors.
//! `x == null` asks whether `x` is missing.
//!
//! **Mechanism.** The `cel` crate parses. It checks no types and evaluates by name over boxed values, about a
//! microsecond a comparison; so what it parsed is lowered here, once, to a typed tree over numbered references
//! ([`lower`]), which is evaluated without allocation ([`evaluate`]) in some ten nanoseconds. A comparison of one
//! reference with a constant is known as such ([`Formula::threshold`]).
//!
//! **Bounds.** A text of at most [`TEXT_LIMIT`] bytes and the parser's own limit on depth; CEL has no loops, and the
//! macros that would make some (`all`, `map` …) are refused.

pub mod alert;
mod evaluate;
mod lower;

use std::fmt;
use std::sync::Arc;

pub use evaluate::Value;

/// Longest text of a formula, bytes.
pub const TEXT_LIMIT: usize = 4096;

/// What a formula or a part of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A double.
    Number,
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
}

impl Type {
    /// The name of the type in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Text => "a text",
        }
    }
}

/// A constant in the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A string.
    Text(Arc<str>),
}

/// Something the formula names: a variable such as `value` or `sensor.district`, or a call with constants that the
/// scope knows, such as `mean("15m")`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The name, with dots.
    pub name: String,
    /// The constants in parentheses; `None` for a variable.
    pub arguments: Option<Vec<Literal>>,
}

/// What may be named.
pub trait Scope {
    /// The type of `reference`; `None` when the scope knows nothing of that name, and the sentence that says what is
    /// wrong when it knows the name but not the arguments.
    fn resolve(&self, reference: &Reference) -> Option<Result<Type, String>>;

    /// The names there are, for messages.
    fn names(&self) -> Vec<String>;
}

impl Scope for [(&str, Type)] {
    fn resolve(&self, reference: &Reference) -> Option<Result<Type, String>> {
        let found = self.iter().find(|(name, _)| *name == reference.name)?;
        Some(match reference.arguments {
            None => Ok(found.1),
            Some(_) => Err(format!("`{}` is a variable, not a function", reference.name)),
        })
    }

    fn names(&self) -> Vec<String> {
        self.iter().map(|(name, _)| (*name).to_owned()).collect()
    }
}

impl Scope for Vec<(String, Type)> {
    fn resolve(&self, reference: &Reference) -> Option<Result<Type, String>> {
        let borrowed: Vec<(&str, Type)> = self.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
        borrowed.as_slice().resolve(reference)
    }

    fn names(&self) -> Vec<String> {
        self.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Why a text is no formula, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for FormulaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.text)
    }
}

impl std::error::Error for FormulaError {}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// The comparison with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
        }
    }
}

/// A compiled formula.
#[derive(Clone, Debug)]
pub struct Formula {
    root: lower::Node,
    ty: Type,
    references: Vec<Reference>,
}

impl Formula {
    /// Compiles `text`, which must be of type `wanted` over what `scope` declares.
    ///
    /// # Errors
    /// The first place that is not CEL, names nothing, or has the wrong type.
    pub fn compile(text: &str, wanted: Type, scope: &(impl Scope + ?Sized)) -> Result<Self, FormulaError> {
        let formula = Self::compile_any(text, scope)?;
        if formula.ty == wanted {
            return Ok(formula);
        }
        let text = format!("the formula is {}, expected {}", formula.ty.name(), wanted.name());
        Err(FormulaError { line: 1, column: 1, text })
    }

    /// Compiles `text`, of whatever type.
    ///
    /// # Errors
    /// The first place that is not CEL, names nothing, or whose types do not fit.
    pub fn compile_any(text: &str, scope: &(impl Scope + ?Sized)) -> Result<Self, FormulaError> {
        if text.len() > TEXT_LIMIT {
            let text = format!("the formula has {} bytes, expected at most {TEXT_LIMIT}", text.len());
            return Err(FormulaError { line: 1, column: 1, text });
        }
        let program = cel::Program::compile(text).map_err(|errors| syntax_error(text, &errors))?;
        let (root, ty, references) = lower::lower(text, &program, scope)?;
        Ok(Self { root, ty, references })
    }

    /// What it evaluates to.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// What it names, each once; the place in this list is what [`Formula::evaluate`] asks for.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Its value, where `known(i)` is the value of the i-th reference; asked for only what matters.
    pub fn evaluate<'a>(&'a self, known: &mut dyn FnMut(usize) -> Value<'a>) -> Value<'a> {
        self.root.evaluate(known)
    }

    /// If the formula compares one reference with a constant: which, how, and the constant.
    pub fn threshold(&self) -> Option<(&Reference, Comparison, f64)> {
        let (reference, comparison, limit) = self.root.threshold()?;
        Some((&self.references[reference], comparison, limit))
    }
}

fn syntax_error(text: &str, errors: &cel::ParseErrors) -> FormulaError {
    let Some(first) = errors.errors.first() else {
        return FormulaError { line: 1, column: 1, text: "it is not CEL".to_owned() };
    };
    let lines = text.lines().count().max(1);
    let place = |n: isize| usize::try_from(n).unwrap_or(1).max(1);
    FormulaError {
        line: place(first.pos.0).min(lines),
        column: place(first.pos.1),
        text: format!("it is not CEL: {}", first.msg),
    }
}

#[cfg(test)]
mod tests;
