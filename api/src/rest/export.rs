//! Tables as files: a workbook for a spreadsheet, and Parquet for programs.
//!
//! Both have the columns and rows of the question, in its order, with Chinese or English headers. In a workbook instants
//! are text in UTC (RFC 3339), since a spreadsheet knows no zones, and a text longer than a cell may be is cut. In
//! Parquet instants are timestamps in ms, JSON is text, and every column may be null. Both are made in memory: what
//! bounds them is the view, and for a workbook [`MAX_ROWS`].

use std::sync::Arc;

use axum::http::StatusCode;
use model::{Column, Names, Type, Value};
use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type as Schema;
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::problem::Problem;
use crate::store::Row;

/// Rows that a worksheet holds beside its header.
const MAX_ROWS: usize = 1_048_575;
/// Characters that a cell holds.
const MAX_CHARS: usize = 32_767;

/// A table on its way out.
pub(super) struct Table<'a> {
    /// The columns, with their places in a row.
    pub columns: Vec<(usize, Column)>,
    /// The rows.
    pub rows: &'a [Arc<Row>],
    /// Whether headers are Chinese.
    pub chinese: bool,
    /// The names behind the symbols.
    pub names: &'a Names,
}

fn failed(what: &str, error: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the {what} cannot be written: {error}"))
}

impl Table<'_> {
    fn title(&self, column: &Column) -> &'static str {
        if self.chinese && !column.zh.is_empty() { column.zh } else { column.name }
    }

    /// The table as a workbook with one sheet.
    pub(super) fn xlsx(&self, sheet: &str) -> Result<Vec<u8>, Problem> {
        if self.rows.len() > MAX_ROWS {
            let detail = format!(
                "{} rows are more than the {MAX_ROWS} of a worksheet: ask for fewer with `where`",
                self.rows.len()
            );
            return Err(Problem::bad_request(detail));
        }
        self.workbook(sheet).map_err(|e| failed("workbook", e))
    }

    fn workbook(&self, sheet: &str) -> Result<Vec<u8>, XlsxError> {
        let mut workbook = Workbook::new();
        let bold = Format::new().set_bold();
        let page = workbook.add_worksheet();
        page.set_name(sheet.chars().take(31).collect::<String>())?;
        page.set_freeze_panes(1, 0)?;
        for (place, (_, column)) in (0u16..).zip(&self.columns) {
            page.write_string_with_format(0, place, self.title(column), &bold)?;
        }
        for (line, row) in (1u32..).zip(self.rows) {
            for (place, (at, column)) in (0u16..).zip(&self.columns) {
                match (&row.values[*at], column.ty) {
                    (Value::Null, _) => {}
                    (Value::Bool(is), _) => {
                        page.write_boolean(line, place, *is)?;
                    }
                    (Value::Int(ms), Type::Time) => {
                        page.write_string(line, place, instant(*ms))?;
                    }
                    (Value::Int(n), _) => {
                        page.write_number(line, place, *n as f64)?;
                    }
                    (Value::Float(x), _) => {
                        page.write_number(line, place, *x)?;
                    }
                    (value, _) => {
                        let text = value.as_str(self.names).unwrap_or("");
                        let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(end, _)| end);
                        page.write_string(line, place, &text[..end])?;
                    }
                }
            }
        }
        workbook.save_to_buffer()
    }

    /// The table as Parquet.
    pub(super) fn parquet(&self) -> Result<Vec<u8>, Problem> {
        self.columnar().map_err(|e| failed("Parquet file", e))
    }

    fn columnar(&self) -> Result<Vec<u8>, ParquetError> {
        let field = |(_, column): &(usize, Column)| {
            let (physical, converted) = match column.ty {
                Type::Bool => (Physical::BOOLEAN, ConvertedType::NONE),
                Type::Int => (Physical::INT64, ConvertedType::NONE),
                Type::Float => (Physical::DOUBLE, ConvertedType::NONE),
                Type::Time => (Physical::INT64, ConvertedType::TIMESTAMP_MILLIS),
                Type::Text | Type::Json => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
            };
            let field = Schema::primitive_type_builder(self.title(column), physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_converted_type(converted);
            field.build().map(Arc::new)
        };
        let fields = self.columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let schema = Schema::group_type_builder("rows").with_fields(fields).build()?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for (at, column) in &self.columns {
            let values = self.rows.iter().map(|row| &row.values[*at]);
            match column.ty {
                Type::Bool => write::<BoolType>(&mut group, values, |value| match value {
                    Value::Bool(is) => Some(*is),
                    _ => None,
                })?,
                Type::Int | Type::Time => write::<Int64Type>(&mut group, values, |value| match value {
                    Value::Int(n) => Some(*n),
                    _ => None,
                })?,
                Type::Float => write::<DoubleType>(&mut group, values, |value| match value {
                    Value::Float(x) => Some(*x),
                    Value::Int(n) => Some(*n as f64),
                    _ => None,
                })?,
                Type::Text | Type::Json => write::<ByteArrayType>(&mut group, values, |value| {
                    value.as_str(self.names).map(|text| ByteArray::from(text.as_bytes().to_vec()))
                })?,
            }
        }
        group.close()?;
        writer.into_inner()
    }
}

/// Writes the next column: present values, and for each row whether it has one.
fn write<'a, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: impl Iterator<Item = &'a Value>,
    read: impl Fn(&Value) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let (mut there, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        let value = read(value);
        levels.push(i16::from(value.is_some()));
        there.extend(value);
    }
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("more columns than the schema has".to_owned()));
    };
    column.typed::<T>().write_batch(&there, Some(&levels), None)?;
    column.close()
}

/// An instant as RFC 3339 in UTC; the number itself where there is no such date.
pub(super) fn instant(ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| ms.to_string())
}

#[cfg(test)]
mod tests {
    use calamine::{Reader as _, Xlsx};
    use model::{Changes, Frame, Op, Step, ViewId, ViewSpec};
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::store::Store;

    const SPEC: ViewSpec = ViewSpec {
        name: "t",
        zh: "表",
        doc: "",
        key: 1,
        columns: &[
            Column::new("id", Type::Text, "编号", ""),
            Column::new("n", Type::Int, "数", "").nullable(),
            Column::new("x", Type::Float, "", "").nullable(),
            Column::new("ts", Type::Time, "时间", "").nullable(),
            Column::new("ok", Type::Bool, "可", ""),
        ],
        bounded_by: "",
    };

    fn with_table(check: impl Fn(&Table<'_>)) {
        let names = Arc::new(Names::new());
        let store = Store::new(vec![SPEC], Arc::clone(&names), 1000, 1 << 20);
        let mut changes = Changes::new(SPEC.columns.len());
        let a = Value::Name(names.intern("宝塔区"));
        changes.push(
            0,
            Op::Upsert,
            &[a, Value::Int(7), Value::Float(0.5), Value::Int(1_000), Value::Bool(true)],
        );
        let b = Value::Name(names.intern("=b"));
        changes.push(0, Op::Upsert, &[b, Value::Null, Value::Null, Value::Null, Value::Bool(false)]);
        let step = Step { view: ViewId(0), lower: 0, upper: 1, changes };
        store.apply(&Arc::new(Frame { lower: 0, upper: 1, tick: 0, steps: vec![step] })).unwrap();
        let mut rows = store.snapshot(ViewId(0)).rows;
        store.sort_by_key(ViewId(0), &mut rows);
        let columns = SPEC.columns.iter().copied().enumerate().collect();
        check(&Table { columns, rows: &rows, chinese: true, names: &names });
    }

    #[test]
    fn parquet_has_chinese_headers_nulls_and_types() {
        with_table(|table| {
            let file = table.parquet().unwrap();
            let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
            let rows: Vec<String> =
                reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0], "{编号: \"=b\", 数: null, x: null, 时间: null, 可: false}");
            assert!(
                rows[1].starts_with("{编号: \"宝塔区\", 数: 7, x: 0.5, 时间: 1970-01-01 00:00:01"),
                "{}",
                rows[1]
            );
        });
    }

    #[test]
    fn a_workbook_is_a_zip_with_text_that_is_not_run() {
        with_table(|table| {
            let file = table.xlsx("表").unwrap();
            let mut book: Xlsx<_> = Xlsx::new(std::io::Cursor::new(file)).unwrap();
            let page = book.worksheet_range("表").unwrap();
            let rows: Vec<Vec<String>> =
                page.rows().map(|row| row.iter().map(ToString::to_string).collect()).collect();
            assert_eq!(rows[0], ["编号", "数", "x", "时间", "可"]);
            assert_eq!(rows[1], ["=b", "", "", "", "false"]);
            assert_eq!(rows[2], ["宝塔区", "7", "0.5", "1970-01-01T00:00:01Z", "true"]);
            let formulas = book.worksheet_formula("表").unwrap();
            assert!(formulas.cells().all(|(.., formula)| formula.is_empty()), "a text is not run");
        });
        assert_eq!(instant(1_794_560_400_000), "2026-11-13T09:00:00Z");
    }
}
