//! Questions about the views: all of them, rows of one, and its table as CSV.
//!
//! **Meaning.** An answer is of one tick. A cursor pins the tick and the question, so all pages together are the rows
//! as they were at one tick, in one order; once that tick has left the history the next page is 410.
//!
//! **Mechanism.** Rows are taken from the store by reference and filtered, sorted and written away from the threads
//! that serve the live protocol. Nothing is kept between pages: a cursor says all there is to know.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{Names, Tick, Value, ViewId, ViewSpec};

use super::export::Table;
use super::{App, Path, aside, json};
use crate::problem::Problem;
use crate::query::{Filter, Parameters, column_of, unknown_view, write_rows};
use crate::store::{Gone, Row, Snapshot};
use crate::token::Scope;
use crate::{Shared, guard, openapi};

/// Rows of an answer that doesn't ask for a number.
const DEFAULT_LIMIT: usize = 1000;
/// Rows of one answer at most.
const MAX_LIMIT: usize = 10_000;

/// Every view: columns, types, units, key, what bounds it.
#[utoipa::path(get, path = "/views", tag = "views", responses(
    (status = 200, description = "The views", body = Vec<openapi::View>),
    (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list_views(
    State(shared): App,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    parameters.only(&[])?;
    let failed = |e: serde_json::Error| {
        Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, format!("the views: {e}"))
    };
    Ok(json(serde_json::to_vec(shared.store.specs()).map_err(failed)?))
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    tick: Tick,
    from: usize,
    /// Of filters and order, which must stay the same from page to page.
    question: u64,
}

impl Cursor {
    fn write(self) -> String {
        BASE64.encode(format!("{}.{}.{}", self.tick, self.from, self.question))
    }

    fn read(text: &str) -> Option<Self> {
        let plain = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let mut parts = plain.split('.');
        let cursor = Self {
            tick: parts.next()?.parse().ok()?,
            from: parts.next()?.parse().ok()?,
            question: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(cursor)
    }
}

/// A question about one view.
struct Question {
    view: ViewId,
    spec: ViewSpec,
    filters: Vec<Filter>,
    order: Option<(usize, bool)>,
    columns: Option<Vec<usize>>,
    limit: usize,
    from: usize,
    as_of: Option<Tick>,
    /// What the pages of one answer have in common.
    identity: u64,
}

impl Question {
    fn read(shared: &Shared, view: &str, parameters: &Parameters) -> Result<Self, Problem> {
        let (id, spec) = shared.store.view(view).ok_or_else(|| unknown_view(view, shared.store.specs()))?;
        let asked: Vec<_> =
            parameters.0.iter().filter(|(name, _)| ["where", "order"].contains(&name.as_str())).collect();
        let mut question = Self {
            view: id,
            spec: *spec,
            filters: Vec::new(),
            order: None,
            columns: None,
            limit: DEFAULT_LIMIT,
            from: 0,
            as_of: None,
            identity: foldhash::quality::FixedState::default().hash_one((view, asked)),
        };
        let number = |name: &str, text: &str| {
            text.parse::<u64>()
                .map_err(|_| Problem::bad_request(format!("`{name}={text}`: expected a whole number")))
        };
        let mut cursor = None;
        for (name, value) in &parameters.0 {
            match name.as_str() {
                "where" => {
                    let (column, wanted) = value.split_once(':').ok_or_else(|| {
                        Problem::bad_request(format!("`where={value}`: expected column:value"))
                    })?;
                    question.filters.push(Filter::new(spec, column, wanted)?);
                }
                "order" => {
                    let (column, down) =
                        value.strip_prefix('-').map_or((value.as_str(), false), |column| (column, true));
                    question.order = Some((column_of(spec, column)?, down));
                }
                "columns" => {
                    let columns =
                        value.split(',').map(|column| column_of(spec, column)).collect::<Result<_, _>>()?;
                    question.columns = Some(columns);
                }
                "limit" => {
                    let limit = usize::try_from(number("limit", value)?).unwrap_or(usize::MAX);
                    if !(1..=MAX_LIMIT).contains(&limit) {
                        let detail = format!("`limit={value}`: expected 1 to {MAX_LIMIT}");
                        return Err(Problem::bad_request(detail));
                    }
                    question.limit = limit;
                }
                "as_of" => question.as_of = Some(number("as_of", value)?),
                "cursor" => {
                    let ours = || Problem::bad_request(format!("`cursor={value}` is not one of ours"));
                    cursor = Some(Cursor::read(value).ok_or_else(ours)?);
                }
                // The caller has checked the names; what is left is not about rows.
                _ => {}
            }
        }
        if let Some(cursor) = cursor {
            if cursor.question != question.identity {
                let detail = "`cursor` belongs to another question: `where` and `order` must stay the same";
                return Err(Problem::bad_request(detail));
            }
            if let Some(tick) = question.as_of.filter(|tick| *tick != cursor.tick) {
                let detail = format!("`cursor` is of tick {}, `as_of` says {tick}", cursor.tick);
                return Err(Problem::bad_request(detail));
            }
            (question.as_of, question.from) = (Some(cursor.tick), cursor.from);
        }
        Ok(question)
    }

    /// The rows wanted, in order, and the tick that they are of.
    fn answer(&self, shared: &Shared) -> Result<(Tick, Vec<Arc<Row>>), Problem> {
        let (store, names) = (&shared.store, shared.store.names());
        let snapshot = match self.as_of {
            None => store.snapshot(self.view),
            Some(tick) => match store.as_of(self.view, tick) {
                Ok(snapshot) => snapshot,
                Err(gone) => remembered(shared, &self.spec, tick, gone)?,
            },
        };
        let mut rows = snapshot.rows;
        rows.retain(|row| self.filters.iter().all(|filter| filter.takes(row, names)));
        store.sort_by_key(self.view, &mut rows);
        if let Some((column, down)) = self.order {
            // Stable: rows that are equal in this column stay in order of key.
            rows.sort_by(|a, b| {
                let order = a.values[column].compare(&b.values[column], names);
                if down { order.reverse() } else { order }
            });
        }
        Ok((snapshot.tick, rows))
    }
}

/// The rows at a tick that the store has forgotten, from the warehouse.
pub(super) fn remembered(
    shared: &Shared,
    spec: &ViewSpec,
    tick: Tick,
    gone: Gone,
) -> Result<Snapshot, Problem> {
    let Some(warehouse) = &shared.warehouse else { return Err(Problem::gone(tick, gone.oldest)) };
    let (oldest, upper) = warehouse.span();
    if tick < oldest || tick >= upper {
        return Err(Problem::gone(tick, if oldest < upper { oldest } else { gone.oldest }));
    }
    let rows = warehouse.rows(spec, tick).map_err(|e| Problem::of_warehouse(&e))?;
    Ok(Snapshot { tick, rows: rows.iter().map(|row| Row::new(row)).collect() })
}

/// Rows of a view, all of one tick, in order of key if nothing else is asked for.
#[utoipa::path(get, path = "/views/{view}", tag = "views",
    params(
        ("view" = String, Path, description = "Name of the view"),
        ("where" = Option<Vec<String>>, Query, description = "column:value; repeated = and"),
        ("order" = Option<String>, Query, description = "column, or -column for descending"),
        ("columns" = Option<String>, Query, description = "Comma separated; all if absent"),
        ("limit" = Option<u64>, Query, description = "1 to 10000, default 1000"),
        ("cursor" = Option<String>, Query, description = "`next` of the answer before: continues at its tick"),
        ("as_of" = Option<u64>, Query, description = "The rows as they were at this tick (Unix ms)"),
    ),
    responses(
        (status = 200, description = "Rows of one tick", body = openapi::Rows),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such view", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The tick is older than what is remembered", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read_view(
    State(shared): App,
    Path(name): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    aside(move || {
        parameters.only(&["where", "order", "columns", "limit", "as_of", "cursor"])?;
        let question = Question::read(&shared, &name, &parameters)?;
        let (tick, rows) = question.answer(&shared)?;
        let page = rows.iter().skip(question.from).take(question.limit).map(|row| &**row);
        let spec = &question.spec;
        let mut body = format!("{{\"view\":\"{}\",\"tick\":{tick},\"rows\":", spec.name).into_bytes();
        write_rows(page, question.columns.as_deref(), spec, shared.store.names(), &mut body);
        let from = question.from.saturating_add(question.limit);
        let end = match from < rows.len() {
            true => {
                let next = Cursor { tick, from, question: question.identity }.write();
                format!(",\"next\":\"{next}\"}}")
            }
            false => ",\"next\":null}".to_owned(),
        };
        body.extend_from_slice(end.as_bytes());
        Ok(json(body))
    })
    .await
}

/// Rows of a view as a file: CSV with a byte order mark, which spreadsheets need to see UTF-8, a workbook, or Parquet.
#[utoipa::path(get, path = "/export/{file}", tag = "views",
    params(
        ("file" = String, Path, description = "The name of a view with .csv, .xlsx or .parquet behind it"),
        ("lang" = Option<String>, Query, description = "zh: Chinese headers; en: names of columns, the default"),
        ("where" = Option<Vec<String>>, Query, description = "column:value; repeated = and"),
        ("order" = Option<String>, Query, description = "column, or -column for descending"),
        ("columns" = Option<String>, Query, description = "Comma separated; all if absent"),
        ("as_of" = Option<u64>, Query, description = "The rows as they were at this tick (Unix ms)"),
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/csv"),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such view or format", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The tick is older than what is remembered", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn export_csv(
    State(shared): App,
    Path(file): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    aside(move || {
        parameters.only(&["lang", "where", "order", "columns", "as_of"])?;
        let unknown = || {
            let detail = "cannot be had; a view's name with .csv, .xlsx or .parquet behind it can";
            Problem::not_found(format!("`{file}` {detail}"))
        };
        let (name, format) = file.rsplit_once('.').ok_or_else(unknown)?;
        let kind = match format {
            "csv" => "text/csv; charset=utf-8",
            "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "parquet" => "application/vnd.apache.parquet",
            _ => return Err(unknown()),
        };
        let chinese = match parameters.get("lang") {
            None | Some("en") => false,
            Some("zh") => true,
            Some(other) => return Err(Problem::bad_request(format!("`lang={other}`: expected zh or en"))),
        };
        let question = Question::read(&shared, name, &parameters)?;
        let (tick, rows) = question.answer(&shared)?;
        let names = shared.store.names();
        let all = 0..question.spec.columns.len();
        let places = question.columns.clone().unwrap_or_else(|| all.collect());
        let columns = places.into_iter().map(|at| (at, question.spec.columns[at])).collect();
        let table = Table { columns, rows: &rows, chinese, names };
        let body = match format {
            "xlsx" => table.xlsx(if chinese { question.spec.zh } else { name })?,
            "parquet" => table.parquet()?,
            _ => write_csv(&question, &rows, chinese, names).into_bytes(),
        };
        let head = [
            (header::CONTENT_TYPE, kind.to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}-{tick}.{format}\"")),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ];
        Ok((head, body).into_response())
    })
    .await
}

fn write_csv(question: &Question, rows: &[Arc<Row>], chinese: bool, names: &Names) -> String {
    let all: Vec<usize> = (0..question.spec.columns.len()).collect();
    let columns = question.columns.as_ref().unwrap_or(&all);
    let mut csv = String::from("\u{feff}");
    for (i, at) in columns.iter().enumerate() {
        let column = &question.spec.columns[*at];
        let title = if chinese && !column.zh.is_empty() { column.zh } else { column.name };
        write_cell(title, i, &mut csv);
    }
    csv.push_str("\r\n");
    for row in rows {
        for (i, at) in columns.iter().enumerate() {
            match (&row.values[*at], row.values[*at].as_str(names)) {
                (Value::Null, _) => write_cell("", i, &mut csv),
                (_, Some(text)) => write_cell(text, i, &mut csv),
                (value, None) => {
                    let mut json = Vec::new();
                    value.write_json(question.spec.columns[*at].ty, names, &mut json);
                    write_cell(&String::from_utf8_lossy(&json), i, &mut csv);
                }
            }
        }
        csv.push_str("\r\n");
    }
    csv
}

pub(super) fn write_cell(text: &str, place: usize, csv: &mut String) {
    if place > 0 {
        csv.push(',');
    }
    // A cell that begins like a formula would be run by a spreadsheet; an apostrophe makes it text.
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let quoted = text.contains([',', '"', '\n', '\r']);
    if quoted {
        csv.push('"');
    }
    if formula {
        csv.push('\'');
    }
    for c in text.chars() {
        if c == '"' {
            csv.push('"');
        }
        csv.push(c);
    }
    if quoted {
        csv.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let cursor = Cursor { tick: u64::MAX, from: usize::MAX, question: 7 };
        assert_eq!(Cursor::read(&cursor.write()), Some(cursor));
        for text in
            ["", "zzz", "1.2.3", &BASE64.encode("1.2"), &BASE64.encode("1.2.3.4"), &BASE64.encode("a.b.c")]
        {
            assert_eq!(Cursor::read(text), None, "{text}");
        }
    }

    #[test]
    fn cells_are_quoted_where_needed_and_never_run() {
        let cell = |text: &str| {
            let mut csv = String::new();
            write_cell(text, 0, &mut csv);
            csv
        };
        assert_eq!(cell("a"), "a");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("=a,b"), "\"'=a,b\"");
        assert_eq!(cell("-1.5"), "-1.5");
    }
}
