//! Which rows and which columns: what requests and subscriptions have in common.
//!
//! Everything that is not understood is an error which says what was expected. Nothing is kept between requests.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use model::{Names, Type, Value, ViewSpec};

use crate::problem::Problem;
use crate::store::Row;

/// The parameters behind the question mark, in their order.
#[derive(Debug)]
pub struct Parameters(pub Vec<(String, String)>);

impl Parameters {
    /// The value of the parameter `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Checks that there are no others than `known`, and each but `where` at most once.
    ///
    /// # Errors
    /// 400, with the name that was probably meant.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for (i, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let hint = did_you_mean(name, known.iter().copied());
                let takes = match known {
                    [] => "this call takes none".to_owned(),
                    known => format!("known are {}", known.join(", ")),
                };
                return Err(Problem::bad_request(format!("unknown parameter `{name}`{hint}; {takes}")));
            }
            if name != "where" && self.0[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_request(format!("the parameter `{name}` is there twice")));
            }
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request(format!("the parameters: {}", e.body_text())))?;
        Ok(Self(parameters))
    }
}

/// Rows whose column has the value written.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    column: usize,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// `null` also takes the absent text.
    Text(String),
}

impl Filter {
    /// The filter `column` = `wanted`.
    ///
    /// # Errors
    /// When the view has no such column, or the column no such values.
    pub fn new(spec: &ViewSpec, name: &str, wanted: &str) -> Result<Self, Problem> {
        let column = column_of(spec, name)?;
        let expected = |what: &str| {
            Problem::bad_request(format!("`{name}` = `{wanted}`: the column expects {what} or null"))
        };
        let wanted = match spec.columns[column].ty {
            Type::Text | Type::Json => Wanted::Text(wanted.to_owned()),
            _ if wanted == "null" => Wanted::Null,
            Type::Bool => Wanted::Bool(wanted.parse().map_err(|_| expected("true, false"))?),
            Type::Int => Wanted::Int(wanted.parse().map_err(|_| expected("a whole number"))?),
            Type::Time => Wanted::Int(wanted.parse().map_err(|_| expected("Unix ms"))?),
            Type::Float => Wanted::Float(wanted.parse().map_err(|_| expected("a number"))?),
        };
        Ok(Self { column, wanted })
    }

    /// Whether `row` is wanted.
    pub fn takes(&self, row: &Row, names: &Names) -> bool {
        let value = &row.values[self.column];
        match (&self.wanted, value) {
            (Wanted::Null, value) => matches!(value, Value::Null),
            (Wanted::Bool(wanted), Value::Bool(is)) => wanted == is,
            (Wanted::Int(wanted), Value::Int(is)) => wanted == is,
            (Wanted::Float(wanted), Value::Float(is)) => wanted == is,
            (Wanted::Float(wanted), Value::Int(is)) => *wanted == *is as f64,
            (Wanted::Text(wanted), Value::Null) => wanted == "null",
            (Wanted::Text(wanted), value) => value.as_str(names) == Some(wanted),
            _ => false,
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
        let hint = did_you_mean(name, known.iter().copied());
        let known = known.join(", ");
        Problem::bad_request(format!("view `{}` has no column `{name}`{hint}; it has {known}", spec.name))
    })
}

/// There is no view `name`.
pub fn unknown_view(name: &str, specs: &[ViewSpec]) -> Problem {
    let hint = did_you_mean(name, specs.iter().map(|spec| spec.name));
    Problem::not_found(format!("there is no view `{name}`{hint}; /api/v1/views lists them"))
}

/// Writes a row with these columns, all if `None`.
pub fn write_row(row: &Row, columns: Option<&[usize]>, spec: &ViewSpec, names: &Names, out: &mut Vec<u8>) {
    let Some(columns) = columns else {
        out.extend_from_slice(row.json(spec, names));
        return;
    };
    out.push(b'{');
    for (i, &at) in columns.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        Value::Literal(spec.columns[at].name).write_json(Type::Text, names, out);
        out.push(b':');
        row.values[at].write_json(spec.columns[at].ty, names, out);
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

/// `, did you mean …?` if something known is close to `name`, else nothing.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    let near = near.filter(|(distance, known)| *distance <= known.chars().count().div_ceil(2));
    near.map(|(_, known)| format!(", did you mean `{known}`?")).unwrap_or_default()
}
