//! Reads the past of a view back from the warehouse.
//!
//! **Meaning.** The rows of a view at a tick, and the changes of one key over a span of ticks, as they were published:
//! each value is bit for bit the one that was written, since both ways go through `RowBinary`.
//!
//! **Mechanism.** One query an answer, on a runtime of the reader's own, so callers block and must be where they may.
//! Interned strings come back as strings of their own.
//!
//! **State.** None; an answer is held in memory whole, at most [`MAX_ROWS`] rows of it.

use std::sync::Arc;

use clickhouse::Client;
use model::{Error, Op, PastChange, Result, Tick, Type, Value, ViewSpec};
use tokio::runtime::Runtime;

use super::ClickHouseConfig;
use super::fault::classify;
use super::schema::{as_of_sql, changes_table, quoted, stored_name, text as string_literal};

/// Most rows of one answer.
pub const MAX_ROWS: usize = 1_000_000;

/// A row that was read.
pub type Row = Box<[Value]>;

/// Reads one database.
pub struct Reader {
    client: Client,
    database: String,
    runtime: Runtime,
}

impl Reader {
    /// A reader of the database of `config`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// Internal when there is no thread to be had.
    pub fn new(config: &ClickHouseConfig) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("clickhouse-reader")
            .enable_all()
            .build()
            .map_err(|e| Error::internal("no runtime for reading from ClickHouse").caused_by(e))?;
        Ok(Self { client: config.client(), database: config.database.clone(), runtime })
    }

    /// The rows of a view as they were at `tick`, in no order.
    ///
    /// # Errors
    /// Those of the server; a refusal when there are more than [`MAX_ROWS`].
    pub fn rows(&self, spec: &ViewSpec, tick: Tick) -> Result<Vec<Row>> {
        let names: Vec<String> = spec.columns.iter().map(|column| quoted(column.name)).collect();
        let sql = format!(
            "SELECT {} FROM ({}) LIMIT {}",
            names.join(", "),
            as_of_sql(&self.database, spec, Some(tick)),
            MAX_ROWS + 1
        );
        let bytes = self.ask(&format!("reading {} at {tick}", spec.name), &sql)?;
        let (mut rest, mut rows) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            rows.push(row(spec, &mut rest)?);
        }
        if rows.len() > MAX_ROWS {
            return Err(Error::refused(format!("{} at {tick} has more than {MAX_ROWS} rows", spec.name)));
        }
        Ok(rows)
    }

    /// The last change of a key at or before `tick`, if it has one.
    ///
    /// # Errors
    /// Those of the server; a user error when `key` is not one of the view.
    pub fn change_before(&self, spec: &ViewSpec, key: &[Value], tick: Tick) -> Result<Option<PastChange>> {
        let bound = format!("`tick` <= {}", moment(tick));
        Ok(self.changes_where(spec, key, &bound, "DESC", 1)?.pop())
    }

    /// The changes of a key in the ticks (`after`, `until`], in order, at most `limit`.
    ///
    /// # Errors
    /// As for [`Reader::change_before`].
    pub fn changes(
        &self,
        spec: &ViewSpec,
        key: &[Value],
        (after, until): (Tick, Tick),
        limit: usize,
    ) -> Result<Vec<PastChange>> {
        let bound = format!("`tick` > {} AND `tick` <= {}", moment(after), moment(until));
        self.changes_where(spec, key, &bound, "ASC", limit)
    }

    fn changes_where(
        &self,
        spec: &ViewSpec,
        key: &[Value],
        bound: &str,
        order: &str,
        limit: usize,
    ) -> Result<Vec<PastChange>> {
        if key.len() != spec.key {
            return Err(Error::user(format!(
                "a key of `{}` has {} values, not {}",
                spec.name,
                spec.key,
                key.len()
            )));
        }
        let columns: Vec<String> = spec.columns.iter().map(|column| quoted(&stored_name(column))).collect();
        let is = |(name, value): (&String, &Value)| match literal(value) {
            Some(literal) => format!("{name} = {literal}"),
            None => format!("isNull({name})"),
        };
        let wanted: Vec<String> = columns.iter().zip(key).map(is).collect();
        // A batch that was stored twice has the same change twice.
        let sql = format!(
            "SELECT `tick`, `op`, {} FROM {}.{} WHERE {} AND {bound} ORDER BY `tick` {order} LIMIT 1 BY `tick` LIMIT {limit}",
            columns.join(", "),
            quoted(&self.database),
            quoted(&changes_table(spec)),
            wanted.join(" AND "),
        );
        let bytes = self.ask(&format!("reading changes of {}", spec.name), &sql)?;
        let (mut rest, mut changes) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let tick = integer(&mut rest)? as Tick;
            let op = match take::<1>(&mut rest)? {
                [1] => Op::Upsert,
                _ => Op::Delete,
            };
            changes.push(PastChange { tick, op, row: row(spec, &mut rest)? });
        }
        Ok(changes)
    }

    fn ask(&self, what: &str, sql: &str) -> Result<Vec<u8>> {
        let answer = async {
            // Question marks in strings are ours, not the driver's placeholders.
            let mut answer = classify(what, self.client.query_raw(sql).fetch_bytes("RowBinary"))?;
            let bytes = classify(what, answer.collect().await)?;
            Ok(bytes.to_vec())
        };
        self.runtime.block_on(answer)
    }
}

/// A tick in SQL.
fn moment(tick: Tick) -> String {
    format!("fromUnixTimestamp64Milli(toInt64({}), 'UTC')", tick.min(i64::MAX as Tick))
}

/// A value of a key in SQL; `None` for null.
fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(is) => is.to_string(),
        Value::Int(n) => format!("toInt64({n})"),
        Value::Float(x) => format!("toFloat64('{x:?}')"),
        Value::Literal(text) => string_literal(text),
        Value::Text(text) => string_literal(text),
        // Keys to look for are made by callers, who have no symbols.
        Value::Name(_) => "''".to_owned(),
    })
}

/// One row of a view, off the front of `rest`.
fn row(spec: &ViewSpec, rest: &mut &[u8]) -> Result<Row> {
    spec.columns
        .iter()
        .map(|column| {
            if column.nullable && take::<1>(rest)? == [1] {
                return Ok(Value::Null);
            }
            Ok(match column.ty {
                Type::Bool => Value::Bool(take::<1>(rest)? != [0]),
                Type::Int | Type::Time => Value::Int(integer(rest)?),
                Type::Float => Value::Float(f64::from_le_bytes(take(rest)?)),
                Type::Text | Type::Json => Value::Text(string(rest)?),
            })
        })
        .collect()
}

fn short() -> Error {
    Error::external("an answer of ClickHouse ends in the middle of a row")
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(short)?;
    *rest = tail;
    Ok(*head)
}

fn integer(rest: &mut &[u8]) -> Result<i64> {
    Ok(i64::from_le_bytes(take(rest)?))
}

/// A string: its length in bytes as a LEB128 number, then its bytes.
fn string(rest: &mut &[u8]) -> Result<Arc<str>> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let [byte] = take::<1>(rest)?;
        length |= usize::from(byte & 0x7f).checked_shl(shift).ok_or_else(short)?;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (text, tail) = rest.split_at_checked(length).ok_or_else(short)?;
    *rest = tail;
    Ok(String::from_utf8_lossy(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_ends_early_is_an_error() {
        let mut rest = &[5, b'a', b'b'][..];
        assert!(string(&mut rest).is_err());
        let mut rest = &[1, 2, 3][..];
        assert!(integer(&mut rest).is_err());
        let mut rest = &[0xff; 12][..];
        assert!(string(&mut rest).is_err());
    }

    #[test]
    fn keys_are_quoted() {
        assert_eq!(literal(&Value::Text("it's \\".into())).unwrap(), "'it\\'s \\\\'");
        assert_eq!(literal(&Value::Int(-3)).unwrap(), "toInt64(-3)");
        assert_eq!(literal(&Value::Null), None);
    }
}
