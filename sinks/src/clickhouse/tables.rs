//! Makes the tables of the views, or brings those that are there up to date.
//!
//! A view may gain columns: they are added, and rows of before hold null or the type's zero in them. A column the
//! program no longer has stays in the table. A column of another type or another key would change what the stored rows
//! mean: that is an error which says so. State: none.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use model::{Error, Result, Tick, ViewSpec};
use serde::Deserialize;

use super::fault::classify;
use super::schema;

/// One column of one table, as the server tells it.
#[derive(Row, Deserialize)]
struct Stored {
    table: String,
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Row, Deserialize)]
struct StoredTable {
    name: String,
    engine: String,
    sorting_key: String,
    create_table_query: String,
}

#[derive(Row, Deserialize)]
struct StoredProgress {
    view: String,
    upper: u64,
    grid_ms: u64,
}

/// Makes everything that is missing, and checks everything that is there.
///
/// # Errors
/// A user error when a table doesn't fit its view; those of the server otherwise.
pub async fn ensure(
    client: &Client,
    database: &str,
    specs: &[ViewSpec],
    ttl_days: Option<u32>,
) -> Result<()> {
    // A user who may not make databases can still use one that is there.
    let there: u64 = classify(
        "looking for the database",
        client.query("SELECT count() FROM system.databases WHERE name = ?").bind(database).fetch_one().await,
    )?;
    if there == 0 {
        run(
            client,
            "making the database",
            &format!("CREATE DATABASE IF NOT EXISTS {}", schema::quoted(database)),
        )
        .await?;
    }
    for sql in schema::create_progress(database) {
        run(client, "making the progress tables", &sql).await?;
    }
    let before = stored_tables(client, database).await?;
    for spec in specs {
        let name = schema::changes_table(spec);
        run(client, &format!("making {name}"), &schema::create_changes(database, spec, ttl_days)).await?;
    }
    let columns = stored_columns(client, database).await?;
    for spec in specs {
        let name = schema::changes_table(spec);
        if let Some(table) = before.get(&name) {
            check_key(spec, table)?;
            let stored = columns.get(&name).ok_or_else(|| {
                Error::refused(format!("the user may not see the columns of {database}.{name}"))
            })?;
            for sql in alterations(database, spec, table, stored, ttl_days)? {
                run(client, &format!("altering {name}"), &sql).await?;
            }
        }
        for sql in schema::create_views(database, spec) {
            run(client, &format!("making the view {}", spec.name), &sql).await?;
        }
    }
    Ok(())
}

/// Up to where each view is written: 0 for one that is new.
///
/// # Errors
/// A user error when the tables were filled on another grid; those of the server otherwise.
pub async fn progress(client: &Client, specs: &[ViewSpec], grid_ms: u64) -> Result<Vec<Tick>> {
    let rows: Vec<StoredProgress> = classify(
        "reading the progress",
        client
            .query(&format!(
                "SELECT view, max(upper) AS upper, argMax(grid_ms, sink_progress.upper) AS grid_ms \
                 FROM {} GROUP BY view",
                schema::PROGRESS
            ))
            .fetch_all()
            .await,
    )?;
    let rows: BTreeMap<&str, &StoredProgress> = rows.iter().map(|row| (row.view.as_str(), row)).collect();
    specs
        .iter()
        .map(|spec| match rows.get(spec.name) {
            None => Ok(0),
            Some(row) if row.grid_ms == grid_ms => Ok(row.upper),
            // Cells on another grid have other tokens, so those on their way at the last end could be stored twice.
            Some(row) => Err(Error::user(format!(
                "the table of view {} was filled on a grid of {} ms and the setting is {grid_ms} ms: keep the grid, \
                 or use another database",
                spec.name, row.grid_ms
            ))),
        })
        .collect()
}

/// The groups that were noted: `lower` and `upper`.
///
/// # Errors
/// Those of the server.
pub async fn groups(client: &Client) -> Result<Vec<(Tick, Tick)>> {
    let sql = format!("SELECT DISTINCT lower, upper FROM {}", schema::GROUPS);
    classify("reading the groups", client.query(&sql).fetch_all().await)
}

/// Forgets the groups, none of which is unfinished.
///
/// # Errors
/// Those of the server.
pub async fn forget_groups(client: &Client) -> Result<()> {
    run(client, "emptying the table of groups", &format!("TRUNCATE TABLE {}", schema::GROUPS)).await
}

async fn run(client: &Client, what: &str, sql: &str) -> Result<()> {
    // `{at:Int64}` and question marks in comments are ours, not the driver's placeholders.
    classify(what, client.query_raw(sql).execute().await)
}

async fn stored_tables(client: &Client, database: &str) -> Result<BTreeMap<String, StoredTable>> {
    let rows: Vec<StoredTable> = classify(
        "reading the tables",
        client
            .query(
                "SELECT name, engine, sorting_key, create_table_query FROM system.tables WHERE database = ?",
            )
            .bind(database)
            .fetch_all()
            .await,
    )?;
    Ok(rows.into_iter().map(|row| (row.name.clone(), row)).collect())
}

/// For each table its columns and their types.
async fn stored_columns(
    client: &Client,
    database: &str,
) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let rows: Vec<Stored> = classify(
        "reading the columns",
        client
            .query("SELECT table, name, type FROM system.columns WHERE database = ?")
            .bind(database)
            .fetch_all()
            .await,
    )?;
    let mut tables = BTreeMap::<String, BTreeMap<String, String>>::new();
    for row in rows {
        tables.entry(row.table).or_default().insert(row.name, row.ty);
    }
    Ok(tables)
}

fn check_key(spec: &ViewSpec, table: &StoredTable) -> Result<()> {
    let wanted = schema::sorting_key(spec);
    if !table.engine.ends_with("MergeTree") || table.sorting_key != wanted {
        return Err(Error::user(format!(
            "the table {} is a {} ordered by ({}), and view {} needs a MergeTree ordered by ({wanted}): rename the \
             table or use another database",
            table.name, table.engine, table.sorting_key, spec.name
        )));
    }
    Ok(())
}

/// What has to be altered in a table that was there before.
fn alterations(
    database: &str,
    spec: &ViewSpec,
    table: &StoredTable,
    stored: &BTreeMap<String, String>,
    ttl_days: Option<u32>,
) -> Result<Vec<String>> {
    let alter = format!("ALTER TABLE {}.{}", schema::quoted(database), schema::quoted(&table.name));
    let mut sql = Vec::new();
    for column in spec.columns {
        let (name, wanted) = (schema::stored_name(column), schema::type_of(column));
        match stored.get(&name) {
            None => {
                sql.push(format!("{alter} ADD COLUMN IF NOT EXISTS {}", schema::column_definition(column)));
            }
            Some(found) if *found == wanted => {}
            Some(found) => {
                return Err(Error::user(format!(
                    "the column {name} of {} is {found}, and view {} needs {wanted}: a table can gain columns, but a \
                     column can't change its type; rename the table or use another database",
                    table.name, spec.name
                )));
            }
        }
    }
    let has_ttl = table.create_table_query.contains(" TTL ");
    match ttl_days {
        // The fold names every column, so it changes with them; altering it to itself costs nothing.
        Some(days) => sql.push(format!(
            "{alter} MODIFY TTL {} SETTINGS materialize_ttl_after_modify = 0",
            schema::ttl(spec, days)
        )),
        None if has_ttl => sql.push(format!("{alter} REMOVE TTL")),
        None => {}
    }
    Ok(sql)
}
