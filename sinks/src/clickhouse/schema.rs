//! The tables of a view, as SQL derived from its [`ViewSpec`]. Nothing here talks to a server.
//!
//! For a view `v` there are
//!
//! - the table `v_changes`: every change as it was published, `tick`, `op`, then the view's columns;
//! - the view `v_as_of(at = T)`: the rows as they were at tick T (Unix ms), which is what the screen showed at T;
//! - the view `v`: the rows as they are now.
//!
//! Both views read `v_changes` and keep the newest change of each key if it isn't a delete, so they are exact at every
//! moment, whatever ClickHouse has merged. The newest change is taken as one tuple: `argMax` of a single column would
//! skip nulls and bring back an older value. There is at most one change of a key in a tick, so it is unambiguous, and
//! a batch stored twice would not change the answer.
//!
//! **What bounds it.** With a time to live, changes older than it are folded, by ClickHouse's own merges, into the last
//! one of each key and month; they are not dropped, since a row that has not changed for a year is still a row. So
//! `v_as_of(at = T)` is exact for every T within the time to live, and `v` always.
//!
//! A view column whose name is taken in `v_changes` (`tick`, `op`) is called `row_tick`, `row_op` there, and has its own
//! name in `v` and `v_as_of`.

use std::fmt::Write as _;

use model::{Column, Tick, Type, ViewSpec};

/// How many of the last blocks ClickHouse remembers by their token, for each table: far more than one group has.
pub const DEDUPLICATION_WINDOW: usize = 1000;

/// The name of the progress table.
pub const PROGRESS: &str = "sink_progress";

/// The name of the table of groups, which only the sink reads.
pub const GROUPS: &str = "sink_groups";

/// Columns of `v_changes` that are not the view's.
const CHANGE_COLUMNS: [&str; 2] = ["tick", "op"];

/// A name in SQL.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A string in SQL.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The table of changes of a view.
pub fn changes_table(spec: &ViewSpec) -> String {
    format!("{}_changes", spec.name)
}

/// The name of a view's column in its table of changes.
pub fn stored_name(column: &Column) -> String {
    if CHANGE_COLUMNS.contains(&column.name) {
        format!("row_{}", column.name)
    } else {
        column.name.to_owned()
    }
}

/// The type of a view's column, spelled as ClickHouse itself does.
pub fn type_of(column: &Column) -> String {
    let ty = match column.ty {
        Type::Bool => "Bool",
        Type::Int => "Int64",
        Type::Float => "Float64",
        Type::Text | Type::Json => "String",
        Type::Time => "DateTime64(3, 'UTC')",
    };
    if column.nullable { format!("Nullable({ty})") } else { ty.to_owned() }
}

/// What the key of the table is, spelled as ClickHouse itself does.
pub fn sorting_key(spec: &ViewSpec) -> String {
    let mut key: Vec<String> = spec.columns[..spec.key].iter().map(stored_name).collect();
    key.push("tick".to_owned());
    key.join(", ")
}

/// The definition of one column: name, type, comment.
pub fn column_definition(column: &Column) -> String {
    let unit = if column.unit.is_empty() { String::new() } else { format!(" [{}]", column.unit) };
    let comment = format!("{}{unit}: {}", column.zh, column.doc);
    format!("{} {} COMMENT {}", quoted(&stored_name(column)), type_of(column), text(&comment))
}

fn key_names(spec: &ViewSpec) -> Vec<String> {
    spec.columns[..spec.key].iter().map(|column| quoted(&stored_name(column))).collect()
}

/// `CREATE TABLE` of the changes.
pub fn create_changes(database: &str, spec: &ViewSpec, ttl_days: Option<u32>) -> String {
    let columns: Vec<String> = spec.columns.iter().map(column_definition).collect();
    let nullable_key = spec.columns[..spec.key].iter().any(|column| column.nullable);
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{} (\
         `tick` DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD), `op` Enum8('upsert' = 1, 'delete' = 2), {}) \
         ENGINE = MergeTree PARTITION BY toYYYYMM(tick) ORDER BY ({}, `tick`) {} \
         SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}{} COMMENT {}",
        quoted(database),
        quoted(&changes_table(spec)),
        columns.join(", "),
        key_names(spec).join(", "),
        ttl_days.map_or(String::new(), |days| format!("TTL {}", ttl(spec, days))),
        if nullable_key { ", allow_nullable_key = 1" } else { "" },
        text(&format!("{}: {}", spec.zh, spec.doc)),
    )
}

/// The time to live: what is older than `days` is folded into the last change of each key (and month).
///
/// Rows reach the fold in order of the sorting key, hence of tick, so the last one of a key is the newest.
pub fn ttl(spec: &ViewSpec, days: u32) -> String {
    let mut sql = format!(
        "toDateTime(`tick`) + toIntervalDay({days}) GROUP BY {} SET `tick` = max(`tick`), \
         `op` = anyLast_respect_nulls(`op`)",
        key_names(spec).join(", ")
    );
    for column in &spec.columns[spec.key..] {
        let name = quoted(&stored_name(column));
        // Writing to a string cannot fail.
        let _ = write!(sql, ", {name} = anyLast_respect_nulls({name})");
    }
    sql
}

/// `INSERT` of rows in the format of `encode`.
pub fn insert(database: &str, spec: &ViewSpec) -> String {
    let columns: Vec<String> = spec.columns.iter().map(|column| quoted(&stored_name(column))).collect();
    format!(
        "INSERT INTO {}.{} (`tick`, `op`, {}) FORMAT RowBinary",
        quoted(database),
        quoted(&changes_table(spec)),
        columns.join(", ")
    )
}

/// The rows of a view as they were at `tick`, or as they are now, as one `SELECT`: the view's columns in order.
pub fn as_of_sql(database: &str, spec: &ViewSpec, tick: Option<Tick>) -> String {
    rows_sql(database, spec, &tick.map(|tick| format!("toInt64({tick})")).unwrap_or_default())
}

/// The same with `at`, an `Int64` expression in ms; empty = no bound.
fn rows_sql(database: &str, spec: &ViewSpec, at: &str) -> String {
    let bound = if at.is_empty() {
        String::new()
    } else {
        format!(" WHERE `tick` <= fromUnixTimestamp64Milli({at}, 'UTC')")
    };
    let (key, rest) = spec.columns.split_at(spec.key);
    let keys = key_names(spec);
    let last: Vec<String> = rest.iter().map(|column| quoted(&stored_name(column))).collect();
    // The first element of the tuple is the op, hence the second is the first column after the key.
    let selected: Vec<String> = keys
        .iter()
        .cloned()
        .chain((2..2 + rest.len()).map(|i| format!("tupleElement(`_last`, {i})")))
        .zip(key.iter().chain(rest))
        .map(|(value, column)| format!("{value} AS {}", quoted(column.name)))
        .collect();
    format!(
        "SELECT {} FROM (SELECT {keys}, argMax(tuple({}), `tick`) AS `_last` FROM {}.{}{bound} GROUP BY {keys}) \
         WHERE tupleElement(`_last`, 1) = 'upsert'",
        selected.join(", "),
        [vec!["`op`".to_owned()], last].concat().join(", "),
        quoted(database),
        quoted(&changes_table(spec)),
        keys = keys.join(", "),
    )
}

/// `CREATE OR REPLACE VIEW` of the rows as they are now, and of the rows at a tick.
pub fn create_views(database: &str, spec: &ViewSpec) -> [String; 2] {
    let view = |name: String, at: &str| {
        format!(
            "CREATE OR REPLACE VIEW {}.{} AS {}",
            quoted(database),
            quoted(&name),
            rows_sql(database, spec, at)
        )
    };
    [view(spec.name.to_owned(), ""), view(format!("{}_as_of", spec.name), "{at:Int64}")]
}

/// `CREATE TABLE` of the progress (every change of a view before `upper`, Unix ms, is in its table) and of the groups.
pub fn create_progress(database: &str) -> [String; 2] {
    let database = quoted(database);
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.{PROGRESS} (`view` String, `upper` UInt64, `grid_ms` UInt64) \
             ENGINE = ReplacingMergeTree(`upper`) ORDER BY `view`"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.{GROUPS} (`lower` UInt64, `upper` UInt64) \
             ENGINE = ReplacingMergeTree ORDER BY `lower`"
        ),
    ]
}
