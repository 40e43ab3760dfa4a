//! What a view is to everybody outside the dataflow: a name, columns, a key, and rows of values.
//!
//! Tables, JSON schemas, OpenAPI and the live protocol derive from [`ViewSpec`], so a new view needs no edit there.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;

use crate::names::{Names, Sym};

/// The place of a view in the list of views of the running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ViewId(pub u16);

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A signed 64-bit integer.
    Int,
    /// A double.
    Float,
    /// A string.
    Text,
    /// Unix ms, an integer in JSON and a DateTime64(3) in tables.
    Time,
    /// A JSON document as text.
    Json,
}

/// One column of a view.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Column {
    /// Its name in JSON and tables.
    pub name: &'static str,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// Whether it may be null.
    pub nullable: bool,
    /// Its unit, empty when it has none.
    pub unit: &'static str,
    /// Its name in Chinese.
    pub zh: &'static str,
    /// What it means.
    pub doc: &'static str,
}

impl Column {
    /// A column that is never null, without a unit.
    pub const fn new(name: &'static str, ty: Type, zh: &'static str, doc: &'static str) -> Self {
        Self { name, ty, nullable: false, unit: "", zh, doc }
    }

    /// The same column, which may be null.
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// The same column with a unit.
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }
}

/// What a view is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ViewSpec {
    /// Its name.
    pub name: &'static str,
    /// Its name in Chinese.
    pub zh: &'static str,
    /// What a row means.
    pub doc: &'static str,
    /// The first `key` columns identify a row.
    pub key: usize,
    /// The columns, key first.
    pub columns: &'static [Column],
    /// What bounds the number of rows.
    pub bounded_by: &'static str,
}

impl ViewSpec {
    /// The place of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// One value of one row. Floats compare and hash by their bits' total order.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Not known or not applicable.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer or a Unix time in ms.
    Int(i64),
    /// A finite double.
    Float(f64),
    /// An interned string.
    Name(Sym),
    /// A string that the program itself knows.
    Literal(&'static str),
    /// A string of its own, or JSON.
    Text(Arc<str>),
}

impl Value {
    /// An interned string, or null for the empty one: absent keys are interned as the empty string.
    pub fn name_or_null(sym: Sym) -> Self {
        if sym == Sym::EMPTY { Value::Null } else { Value::Name(sym) }
    }

    /// The string of a text value.
    pub fn as_str<'a>(&'a self, names: &'a Names) -> Option<&'a str> {
        match self {
            Value::Name(sym) => Some(names.resolve(*sym)),
            Value::Literal(text) => Some(text),
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The order a reader expects: null first, then numbers, then strings by their characters, not by symbol.
    pub fn compare(&self, other: &Value, names: &Names) -> Ordering {
        match (self.as_str(names), other.as_str(names)) {
            (Some(a), Some(b)) => return a.cmp(b),
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            (None, None) => {}
        }
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (a, b) => a.as_f64().total_cmp(&b.as_f64()),
        }
    }

    fn as_f64(&self) -> f64 {
        match self {
            Value::Bool(b) => f64::from(u8::from(*b)),
            Value::Int(i) => *i as f64,
            Value::Float(f) => *f,
            Value::Null | Value::Name(_) | Value::Literal(_) | Value::Text(_) => f64::NAN,
        }
    }

    /// The value as JSON; columns of type [`Type::Json`] hold a document already and are written as they are.
    pub fn write_json(&self, ty: Type, names: &Names, out: &mut Vec<u8>) {
        match self {
            Value::Text(text) if ty == Type::Json => out.extend_from_slice(text.as_bytes()),
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
            Value::Int(i) => write_serde(i, out),
            Value::Float(f) => write_serde(f, out),
            Value::Name(sym) => write_serde(names.resolve(*sym), out),
            Value::Literal(text) => write_serde(text, out),
            Value::Text(text) => write_serde(text, out),
        }
    }
}

fn write_serde(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing a plain value to memory cannot fail");
}

/// Writes `row` as a JSON object with its keys in column order.
pub fn write_row_json(spec: &ViewSpec, row: &[Value], names: &Names, out: &mut Vec<u8>) {
    for (i, (column, value)) in spec.columns.iter().zip(row).enumerate() {
        out.push(if i == 0 { b'{' } else { b',' });
        write_serde(column.name, out);
        out.push(b':');
        value.write_json(column.ty, names, out);
    }
    out.push(b'}');
}

/// Compares two rows by their key, as a reader expects it.
pub fn compare_keys(spec: &ViewSpec, a: &[Value], b: &[Value], names: &Names) -> Ordering {
    a[..spec.key]
        .iter()
        .zip(&b[..spec.key])
        .map(|(a, b)| a.compare(b, names))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Name(a), Value::Name(b)) => a == b,
            (Value::Literal(a), Value::Literal(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Value::Null => {}
            Value::Bool(b) => b.hash(state),
            Value::Int(i) => i.hash(state),
            Value::Float(f) => f.to_bits().hash(state),
            Value::Name(sym) => sym.hash(state),
            Value::Literal(text) => text.hash(state),
            Value::Text(text) => text.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: ViewSpec = ViewSpec {
        name: "t",
        zh: "",
        doc: "",
        key: 1,
        columns: &[
            Column::new("id", Type::Text, "", ""),
            Column::new("n", Type::Float, "", "").nullable(),
            Column::new("doc", Type::Json, "", ""),
        ],
        bounded_by: "",
    };

    #[test]
    fn rows_are_json_objects_in_column_order() {
        let names = Names::new();
        let row = [Value::Name(names.intern("宝\"塔")), Value::Null, Value::Text("{\"a\":1}".into())];
        let mut out = Vec::new();
        write_row_json(&SPEC, &row, &names, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"id":"宝\"塔","n":null,"doc":{"a":1}}"#);
    }

    #[test]
    fn keys_compare_by_text_and_not_by_symbol() {
        let names = Names::new();
        let (b, a) = (Value::Name(names.intern("b")), Value::Name(names.intern("a")));
        assert_eq!(
            compare_keys(&SPEC, std::slice::from_ref(&a), std::slice::from_ref(&b), &names),
            Ordering::Less
        );
        assert_eq!(Value::Int(2).compare(&Value::Float(1.5), &names), Ordering::Greater);
        assert_eq!(Value::Null.compare(&Value::Int(0), &names), Ordering::Less);
    }
}
