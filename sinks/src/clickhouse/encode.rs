//! Turns the changes of a cell into the bodies of inserts, in ClickHouse's `RowBinary` format.
//!
//! The driver's typed rows need one Rust struct for each table; our tables derive from [`ViewSpec`] at run time, so the
//! rows are written here. A body depends on nothing but the changes: they are put in order of tick and key, and the
//! cuts between bodies fall after a fixed number of rows or bytes. State: none.

use model::view::compare_keys;
use model::{Change, Changes, Error, Names, Op, Result, Type, Value, ViewSpec};

/// Most rows of one insert. ClickHouse makes one block of them, which is stored whole or not at all. To change this
/// number is to change the batches, so the cells that were being written when the program ended may be stored twice.
const ROWS_PER_INSERT: usize = 50_000;
/// An insert ends with the row that brings its body to this size, in bytes. The same holds for changing it.
const BYTES_PER_INSERT: usize = 16 << 20;

/// The bodies of the inserts of `changes`, in order, and how many rows each holds; the n-th is always the n-th.
///
/// # Errors
/// Internal when a value doesn't fit its column: writing something else instead would be a lie.
pub fn bodies(spec: &ViewSpec, changes: &Changes, names: &Names) -> Result<Vec<(Vec<u8>, usize)>> {
    let mut ordered: Vec<Change<'_>> = changes.iter().collect();
    ordered.sort_by(|a, b| a.tick.cmp(&b.tick).then_with(|| compare_keys(spec, a.row, b.row, names)));
    let (mut bodies, mut body, mut rows) = (Vec::new(), Vec::new(), 0);
    for change in ordered {
        row(spec, change, names, &mut body)?;
        rows += 1;
        if rows == ROWS_PER_INSERT || body.len() >= BYTES_PER_INSERT {
            bodies.push((std::mem::take(&mut body), rows));
            rows = 0;
        }
    }
    if rows > 0 {
        bodies.push((body, rows));
    }
    Ok(bodies)
}

/// One row: tick, op, then the columns of the view.
fn row(spec: &ViewSpec, change: Change<'_>, names: &Names, out: &mut Vec<u8>) -> Result<()> {
    let tick = i64::try_from(change.tick).map_err(|_| Error::internal("a tick is a Unix time in ms"))?;
    out.extend_from_slice(&tick.to_le_bytes());
    out.push(match change.op {
        Op::Upsert => 1,
        Op::Delete => 2,
    });
    for (column, value) in spec.columns.iter().zip(change.row) {
        match (column.nullable, value) {
            (true, Value::Null) => {
                out.push(1);
                continue;
            }
            (true, _) => out.push(0),
            (false, _) => {}
        }
        let fits = match (column.ty, value) {
            (Type::Bool, Value::Bool(b)) => {
                out.push(u8::from(*b));
                true
            }
            (Type::Int | Type::Time, Value::Int(i)) => {
                out.extend_from_slice(&i.to_le_bytes());
                true
            }
            (Type::Float, Value::Float(f)) => {
                out.extend_from_slice(&f.to_le_bytes());
                true
            }
            (Type::Text | Type::Json, value) => match value.as_str(names) {
                Some(text) => {
                    string(text, out);
                    true
                }
                None => false,
            },
            _ => false,
        };
        if !fits {
            return Err(Error::internal(format!(
                "view {}: column {} of type {:?} holds {value:?}",
                spec.name, column.name, column.ty
            )));
        }
    }
    Ok(())
}

/// A string: its length in bytes as a LEB128 number, then its bytes.
fn string(text: &str, out: &mut Vec<u8>) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use model::{Column, Fault};

    use super::*;

    const SPEC: ViewSpec = ViewSpec {
        name: "v",
        zh: "",
        doc: "",
        key: 1,
        columns: &[
            Column::new("k", Type::Text, "", ""),
            Column::new("n", Type::Int, "", "").nullable(),
            Column::new("b", Type::Bool, "", ""),
        ],
        bounded_by: "",
    };

    #[test]
    fn a_row_is_written_byte_for_byte() {
        let names = Names::new();
        let mut changes = Changes::new(3);
        changes.push(7, Op::Delete, &[Value::Name(names.intern("城")), Value::Int(-1), Value::Bool(true)]);
        changes.push(6, Op::Upsert, &[Value::Text("a".into()), Value::Null, Value::Bool(false)]);
        let expected = [
            &[6, 0, 0, 0, 0, 0, 0, 0, 1, 1, b'a', 1, 0][..],
            &[7, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0xe5, 0x9f, 0x8e, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1],
        ]
        .concat();
        assert_eq!(bodies(&SPEC, &changes, &names).unwrap(), [(expected, 2)]);
    }

    #[test]
    fn the_order_in_which_keys_came_does_not_matter_and_large_cells_are_cut() {
        let (names, other_names) = (Names::new(), Names::new());
        let n = ROWS_PER_INSERT + 10;
        let (mut forwards, mut backwards) = (Changes::new(3), Changes::new(3));
        for i in 0..n {
            let key = |names: &Names, i: usize| Value::Name(names.intern(&format!("key {i:06}")));
            forwards.push(1, Op::Upsert, &[key(&names, i), Value::Null, Value::Bool(true)]);
            backwards.push(1, Op::Upsert, &[key(&other_names, n - 1 - i), Value::Null, Value::Bool(true)]);
        }
        let bodies_of = |changes, names| bodies(&SPEC, changes, names).unwrap();
        let forwards = bodies_of(&forwards, &names);
        assert_eq!(forwards.len(), 2);
        assert!(forwards == bodies_of(&backwards, &other_names));
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error_and_not_a_guess() {
        let mut changes = Changes::new(3);
        changes.push(1, Op::Upsert, &[Value::Null, Value::Null, Value::Bool(true)]);
        let error = bodies(&SPEC, &changes, &Names::new()).unwrap_err();
        assert_eq!(error.fault, Fault::Internal);
        assert!(error.to_string().contains("column k of type Text holds Null"), "{error}");
    }

    #[test]
    fn long_strings_have_long_lengths() {
        let mut out = Vec::new();
        string(&"x".repeat(300), &mut out);
        assert_eq!(out[..2], [0xac, 0x02]);
    }
}
