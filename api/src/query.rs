//! Which rows and which columns: what requests and subscriptions have in common.

use model::{Names, Type, Value, ViewSpec};

use crate::problem::Problem;
use crate::store::Row;

/// Rows whose column has the value written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    column: usize,
    wanted: String,
}

impl Filter {
    /// The filter `column` = `wanted`.
    ///
    /// # Errors
    /// When the view has no such column.
    pub fn new(spec: &ViewSpec, column: &str, wanted: &str) -> Result<Self, Problem> {
        Ok(Self { column: column_of(spec, column)?, wanted: wanted.to_owned() })
    }

    /// Whether `row` is wanted. Text is compared as it is, other values by their JSON; `null` matches null.
    pub fn takes(&self, row: &Row, names: &Names) -> bool {
        let value = &row.values[self.column];
        match value.as_str(names) {
            Some(text) => text == self.wanted,
            None => match value {
                Value::Null => self.wanted == "null",
                Value::Bool(is) => self.wanted == is.to_string(),
                Value::Int(n) => self.wanted.parse() == Ok(*n),
                Value::Float(x) => self.wanted.parse() == Ok(*x),
                Value::Name(_) | Value::Literal(_) | Value::Text(_) => false,
            },
        }
    }
}

/// The place of a column.
///
/// # Errors
/// When there is none; the problem names those that are.
pub fn column_of(spec: &ViewSpec, name: &str) -> Result<usize, Problem> {
    spec.column(name).ok_or_else(|| {
        let known: Vec<&str> = spec.columns.iter().map(|column| column.name).collect();
        Problem::bad_request(format!(
            "view `{}` has no column `{name}`; it has {}",
            spec.name,
            known.join(", ")
        ))
    })
}

/// Writes a row with these columns, all if `None`.
pub fn write_row(row: &Row, columns: Option<&[usize]>, spec: &ViewSpec, names: &Names, out: &mut Vec<u8>) {
    let Some(columns) = columns else {
        out.extend_from_slice(row.json(spec, names));
        return;
    };
    for (i, &at) in columns.iter().enumerate() {
        out.push(if i == 0 { b'{' } else { b',' });
        Value::Literal(spec.columns[at].name).write_json(Type::Text, names, out);
        out.push(b':');
        row.values[at].write_json(spec.columns[at].ty, names, out);
    }
    if columns.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Writes rows as a JSON array.
pub fn write_rows<'a>(
    rows: impl Iterator<Item = &'a Row>,
    columns: Option<&[usize]>,
    spec: &ViewSpec,
    names: &Names,
    out: &mut Vec<u8>,
) {
    out.push(b'[');
    for (i, row) in rows.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_row(row, columns, spec, names, out);
    }
    out.push(b']');
}

/// The names closest to `name`, for a suggestion.
pub fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| {
        let (a, b): (Vec<char>, Vec<char>) = (name.chars().collect(), other.chars().collect());
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, y) in b.iter().enumerate() {
                let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = std::mem::replace(&mut row[j + 1], next);
            }
        }
        row[b.len()]
    };
    known.min_by_key(|other| distance(other)).filter(|other| distance(other) <= other.len().div_ceil(2))
}
