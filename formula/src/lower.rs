//! From what the parser made to a typed tree, or to the place that does not fit.

use std::sync::Arc;

use cel::Program;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};

use crate::{Comparison, FormulaError, Literal, Reference, Scope, Type};

/// Arithmetic of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A function of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Least,
    Greatest,
}

/// A test of two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// A typed expression.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Number(f64),
    Bool(bool),
    Text(Arc<str>),
    /// By its place in the list of references.
    Reference(usize),
    IsMissing(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// Whether two texts or two truth values are the same (`true`) or not (`false`).
    Same(bool, Box<Node>, Box<Node>),
    /// `&&` (`true`) or `||` (`false`).
    Logic(bool, Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    OneOf(Box<Node>, Vec<Node>),
    TextTest(TextTest, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
}

impl Node {
    pub(crate) fn threshold(&self) -> Option<(usize, Comparison, f64)> {
        let Node::Compare(how, a, b) = self else { return None };
        match (&**a, &**b) {
            (Node::Reference(at), constant) => Some((*at, *how, constant.constant()?)),
            (constant, Node::Reference(at)) => Some((*at, how.turned(), constant.constant()?)),
            _ => None,
        }
    }

    fn constant(&self) -> Option<f64> {
        match self {
            Node::Number(n) => Some(*n),
            Node::Negate(of) => of.constant().map(|n| -n),
            _ => None,
        }
    }
}

pub(crate) fn lower(
    text: &str,
    program: &Program,
    scope: &(impl Scope + ?Sized),
) -> Result<(Node, Type, Vec<Reference>), FormulaError> {
    let mut lowering = Lowering { text, places: program.source_info(), scope, references: Vec::new() };
    let (node, ty) = lowering.node(program.expression())?;
    Ok((node, ty, lowering.references))
}

struct Lowering<'a, S: ?Sized> {
    text: &'a str,
    places: &'a SourceInfo,
    scope: &'a S,
    references: Vec<Reference>,
}

type Typed = Result<(Node, Type), FormulaError>;

impl<S: Scope + ?Sized> Lowering<'_, S> {
    fn error<T>(&self, at: &IdedExpr, text: String) -> Result<T, FormulaError> {
        let start = self.places.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        let before = self.text.get(..start).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Err(FormulaError { line, column, text })
    }

    fn node(&mut self, at: &IdedExpr) -> Typed {
        match &at.expr {
            Expr::Literal(LiteralValue::Null) => {
                self.error(at, "`null` may only be compared: `x == null`, `x != null`".into())
            }
            Expr::Literal(literal) => match self.literal(at, literal)? {
                Literal::Number(n) => Ok((Node::Number(n), Type::Number)),
                Literal::Bool(b) => Ok((Node::Bool(b), Type::Bool)),
                Literal::Text(text) => Ok((Node::Text(text), Type::Text)),
            },
            Expr::Ident(name) => self.reference(at, name.clone(), None),
            Expr::Select(select) => self.select(at, select),
            Expr::Call(call) => self.call(at, call),
            Expr::List(_) => self.error(at, "a list may only stand after `in`".into()),
            Expr::Map(_) | Expr::Struct(_) => self.error(at, "maps and messages are not known here".into()),
            Expr::Comprehension(_) => {
                self.error(at, "loops (`all`, `exists`, `map`, `filter`) are not known here".into())
            }
            Expr::Unspecified => self.error(at, "there is nothing".into()),
        }
    }

    fn literal(&self, at: &IdedExpr, literal: &LiteralValue) -> Result<Literal, FormulaError> {
        Ok(match literal {
            LiteralValue::Boolean(b) => Literal::Bool(*b.inner()),
            LiteralValue::Double(n) if n.inner().is_finite() => Literal::Number(*n.inner()),
            LiteralValue::Int(n) => Literal::Number(*n.inner() as f64),
            LiteralValue::UInt(n) => Literal::Number(*n.inner() as f64),
            LiteralValue::String(text) => Literal::Text(text.inner().into()),
            LiteralValue::Double(_) => return self.error(at, "the number is not finite".into()),
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                return self.error(at, "expected a number, a text, true or false".into());
            }
        })
    }

    fn select(&mut self, at: &IdedExpr, select: &SelectExpr) -> Typed {
        let Some(name) = qualified(&at.expr) else {
            return self.error(at, "only names have fields, such as `sensor.district`".into());
        };
        let (node, ty) = self.reference(at, name, None)?;
        Ok(match select.test {
            true => (Node::Not(Box::new(Node::IsMissing(Box::new(node)))), Type::Bool),
            false => (node, ty),
        })
    }

    fn reference(&mut self, at: &IdedExpr, name: String, arguments: Option<Vec<Literal>>) -> Typed {
        let reference = Reference { name, arguments };
        match self.scope.resolve(&reference) {
            Some(Ok(ty)) => {
                let known = self.references.iter().position(|known| *known == reference);
                let place = known.unwrap_or_else(|| {
                    self.references.push(reference);
                    self.references.len() - 1
                });
                Ok((Node::Reference(place), ty))
            }
            Some(Err(text)) => self.error(at, text),
            None => {
                let names = self.scope.names().join(", ");
                let text = match reference.arguments {
                    Some(_) => {
                        format!("there is no function `{}`; there are {FUNCTIONS}; {names}", reference.name)
                    }
                    None => format!("there is no `{}`; there are {names}", reference.name),
                };
                self.error(at, text)
            }
        }
    }

    fn of_type(&mut self, at: &IdedExpr, wanted: Type) -> Result<Box<Node>, FormulaError> {
        let (node, ty) = self.node(at)?;
        if ty == wanted {
            return Ok(Box::new(node));
        }
        self.error(at, format!("this is {}, expected {}", ty.name(), wanted.name()))
    }

    fn call(&mut self, at: &IdedExpr, call: &CallExpr) -> Typed {
        let arguments = call.args.as_slice();
        match (call.func_name.as_str(), arguments) {
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                let condition = self.of_type(condition, Type::Bool)?;
                let (then, ty) = self.node(then)?;
                let otherwise = self.of_type(otherwise, ty)?;
                Ok((Node::If(condition, Box::new(then), otherwise), ty))
            }
            (name @ (operators::LOGICAL_AND | operators::LOGICAL_OR), [_, _, ..]) => {
                let and = name == operators::LOGICAL_AND;
                let mut sides = Vec::new();
                for side in arguments {
                    sides.push(self.of_type(side, Type::Bool)?);
                }
                let folded = sides.into_iter().reduce(|a, b| Box::new(Node::Logic(and, a, b)));
                match folded {
                    Some(node) => Ok((*node, Type::Bool)),
                    None => self.error(at, "there is nothing".into()),
                }
            }
            (operators::LOGICAL_NOT, [of]) => Ok((Node::Not(self.of_type(of, Type::Bool)?), Type::Bool)),
            (operators::NEGATE, [of]) => Ok((Node::Negate(self.of_type(of, Type::Number)?), Type::Number)),
            (operators::IN, [of, list]) => self.one_of(of, list),
            (name @ (operators::EQUALS | operators::NOT_EQUALS), [a, b]) => {
                self.equality(name == operators::EQUALS, a, b)
            }
            (name, [a, b]) if comparison(name).is_some() => {
                let how = comparison(name).unwrap_or(Comparison::Equal);
                let (a, b) = (self.of_type(a, Type::Number)?, self.of_type(b, Type::Number)?);
                Ok((Node::Compare(how, a, b), Type::Bool))
            }
            (name, [a, b]) if arithmetic(name).is_some() => {
                let op = arithmetic(name).unwrap_or(Arithmetic::Add);
                let (a, b) = (self.of_type(a, Type::Number)?, self.of_type(b, Type::Number)?);
                Ok((Node::Arithmetic(op, a, b), Type::Number))
            }
            _ => self.function(at, call),
        }
    }

    fn equality(&mut self, equal: bool, a: &IdedExpr, b: &IdedExpr) -> Typed {
        let null = |at: &IdedExpr| matches!(at.expr, Expr::Literal(LiteralValue::Null));
        if null(a) || null(b) {
            let (node, _) = self.node(if null(a) { b } else { a })?;
            let missing = Node::IsMissing(Box::new(node));
            return Ok((if equal { missing } else { Node::Not(Box::new(missing)) }, Type::Bool));
        }
        let (a, ty) = self.node(a)?;
        let b = self.of_type(b, ty)?;
        let node = match ty {
            Type::Number => {
                Node::Compare(if equal { Comparison::Equal } else { Comparison::NotEqual }, Box::new(a), b)
            }
            Type::Bool | Type::Text => Node::Same(equal, Box::new(a), b),
        };
        Ok((node, Type::Bool))
    }

    fn one_of(&mut self, of: &IdedExpr, list: &IdedExpr) -> Typed {
        let (node, ty) = self.node(of)?;
        let Expr::List(items) = &list.expr else {
            return self.error(list, "expected a list such as [\"a\", \"b\"] after `in`".into());
        };
        let mut nodes = Vec::new();
        for item in &items.elements {
            nodes.push(*self.of_type(item, ty)?);
        }
        Ok((Node::OneOf(Box::new(node), nodes), Type::Bool))
    }

    fn function(&mut self, at: &IdedExpr, call: &CallExpr) -> Typed {
        let target = call.target.as_deref();
        // What the scope knows comes first: a call with constants only.
        let prefix = match target {
            Some(target) => qualified(&target.expr).map(|name| format!("{name}.{}", call.func_name)),
            None => Some(call.func_name.clone()),
        };
        let mut constants = Vec::new();
        for argument in &call.args {
            if let Expr::Literal(literal) = &argument.expr
                && !matches!(literal, LiteralValue::Null)
            {
                constants.push(self.literal(argument, literal)?);
            }
        }
        if let Some(name) = &prefix
            && constants.len() == call.args.len()
        {
            let reference = Reference { name: name.clone(), arguments: Some(constants) };
            if self.scope.resolve(&reference).is_some() {
                return self.reference(at, reference.name, reference.arguments);
            }
        }
        if let (Some(target), [part]) = (target, call.args.as_slice()) {
            let test = match call.func_name.as_str() {
                "startsWith" => Some(TextTest::StartsWith),
                "endsWith" => Some(TextTest::EndsWith),
                "contains" => Some(TextTest::Contains),
                _ => None,
            };
            if let Some(test) = test {
                let (of, part) = (self.of_type(target, Type::Text)?, self.of_type(part, Type::Text)?);
                return Ok((Node::TextTest(test, of, part), Type::Bool));
            }
        }
        let (function, most) = match prefix.as_deref() {
            Some("abs" | "math.abs") => (Function::Abs, 1),
            Some("round" | "math.round") => (Function::Round, 1),
            Some("floor" | "math.floor") => (Function::Floor, 1),
            Some("ceil" | "math.ceil") => (Function::Ceil, 1),
            Some("sqrt" | "math.sqrt") => (Function::Sqrt, 1),
            Some("min" | "math.least") => (Function::Least, usize::MAX),
            Some("max" | "math.greatest") => (Function::Greatest, usize::MAX),
            _ => {
                let name = prefix.unwrap_or_else(|| call.func_name.clone());
                return self.reference(at, name, Some(Vec::new()));
            }
        };
        if call.args.is_empty() || call.args.len() > most {
            let wanted = if most == 1 { "one number" } else { "one number or more" };
            return self.error(at, format!("`{}` takes {wanted}", call.func_name));
        }
        let mut nodes = Vec::new();
        for argument in &call.args {
            nodes.push(*self.of_type(argument, Type::Number)?);
        }
        Ok((Node::Call(function, nodes), Type::Number))
    }
}

/// The functions every formula has, for messages.
const FUNCTIONS: &str = "abs, round, floor, ceil, sqrt, min, max";

/// The dotted name that an expression spells.
fn qualified(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!("{}.{}", qualified(&select.operand.expr)?, select.field)),
        _ => None,
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::AtMost,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::AtLeast,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}
