//! Servers and tables the sink can't work with, and tables it can bring up to date.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails as it should")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use model::{Changes, Column, Error, Fault, Frame, Names, Op, Retry, Step, Type, Value, ViewId, ViewSpec};
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink, Handle};
use support::Warehouse;

const COLUMNS: &[Column] = &[
    Column::new("id", Type::Text, "", ""),
    Column::new("n", Type::Int, "", ""),
    Column::new("note", Type::Text, "", "Is it new?").nullable(),
];

const fn spec(key: usize, columns: &'static [Column]) -> ViewSpec {
    ViewSpec { name: "v", zh: "", doc: "", key, columns, bounded_by: "" }
}

fn start(config: ClickHouseConfig, spec: ViewSpec) -> Result<Handle, Error> {
    ClickHouseSink::start(config, vec![spec], Arc::new(Names::new()))
}

/// The frame of `[lower, upper)` with one row at its last tick.
fn frame(lower: u64, upper: u64, row: &[Value]) -> Arc<Frame> {
    let mut changes = Changes::new(row.len());
    changes.push(upper - 1, Op::Upsert, row);
    Arc::new(Frame {
        lower,
        upper,
        tick: upper - 1,
        steps: vec![Step { view: ViewId(0), lower, upper, changes }],
    })
}

#[test]
fn a_new_column_is_added_and_a_removed_one_stays() {
    let warehouse = Warehouse::start();
    let sink = start(warehouse.config("city"), spec(1, &COLUMNS[..2])).unwrap();
    sink.send(frame(0, 1001, &["a".into_text(), Value::Int(1)])).unwrap();
    sink.close().unwrap();

    let sink = start(warehouse.config("city"), spec(1, COLUMNS)).unwrap();
    sink.send(frame(0, 1001, &["a".into_text(), Value::Int(1), Value::Null])).unwrap();
    sink.send(frame(1001, 2001, &["b".into_text(), Value::Int(2), "新".into_text()])).unwrap();
    sink.close().unwrap();
    assert_eq!(warehouse.query("SELECT * FROM city.v ORDER BY id"), "a\t1\t\\N\nb\t2\t新");

    let sink = start(warehouse.config("city"), spec(1, &COLUMNS[..2])).unwrap();
    sink.send(frame(2001, 3001, &["c".into_text(), Value::Int(3)])).unwrap();
    sink.close().unwrap();
    assert_eq!(warehouse.query("SELECT * FROM city.v ORDER BY id"), "a\t1\nb\t2\nc\t3");
    assert_eq!(warehouse.query("SELECT note FROM city.v_changes ORDER BY id"), "\\N\n新\n\\N");
}

#[test]
fn a_change_of_meaning_is_refused() {
    let warehouse = Warehouse::start();
    start(warehouse.config("city"), spec(1, COLUMNS)).unwrap().close().unwrap();
    let refused = |spec: ViewSpec| {
        let error = start(warehouse.config("city"), spec).unwrap_err();
        assert_eq!((error.fault, error.retry), (Fault::User, Retry::Never));
        error.to_string()
    };
    const OTHER_TYPE: &[Column] =
        &[Column::new("id", Type::Text, "", ""), Column::new("n", Type::Float, "", "")];
    let text = refused(spec(1, OTHER_TYPE));
    assert!(text.contains("column n of v_changes is Int64, and view v needs Float64"), "{text}");
    let text = refused(spec(2, COLUMNS));
    assert!(text.contains("ordered by (id, tick)") && text.contains("ordered by (id, n, tick)"), "{text}");
}

#[test]
fn another_grid_is_refused_once_something_is_written() {
    let warehouse = Warehouse::start();
    let sink = start(warehouse.config("city"), spec(1, &COLUMNS[..2])).unwrap();
    sink.send(frame(0, 1001, &["a".into_text(), Value::Int(1)])).unwrap();
    sink.close().unwrap();
    let config = ClickHouseConfig { grid_ms: 500, ..warehouse.config("city") };
    let error = start(config, spec(1, &COLUMNS[..2])).unwrap_err();
    assert!(error.to_string().contains("filled on a grid of 1000 ms and the setting is 500 ms"), "{error}");
}

#[test]
fn a_view_that_is_new_is_filled_from_the_beginning() {
    const OTHER: ViewSpec = ViewSpec { name: "w", ..spec(1, &[Column::new("id", Type::Text, "", "")]) };
    let warehouse = Warehouse::start();
    let first = frame(0, 1001, &["a".into_text(), Value::Int(1)]);
    let sink = start(warehouse.config("city"), spec(1, &COLUMNS[..2])).unwrap();
    sink.send(Arc::clone(&first)).unwrap();
    sink.close().unwrap();

    let views = vec![spec(1, &COLUMNS[..2]), OTHER];
    let sink = ClickHouseSink::start(warehouse.config("city"), views, Arc::new(Names::new())).unwrap();
    assert_eq!(sink.status().written_upper, 0);
    let mut both = Arc::unwrap_or_clone(first);
    let mut changes = Changes::new(1);
    changes.push(7, Op::Upsert, &["x".into_text()]);
    both.steps.push(Step { view: ViewId(1), lower: 0, upper: 1001, changes });
    sink.send(Arc::new(both)).unwrap();
    sink.close().unwrap();
    assert_eq!(
        warehouse.query("SELECT (SELECT count() FROM city.v_changes), (SELECT id FROM city.w)"),
        "1\tx"
    );
}

#[test]
fn a_wrong_password_and_a_missing_server_are_told_apart() {
    let warehouse = Warehouse::start();
    let config = ClickHouseConfig { password: "wrong".to_owned(), ..warehouse.config("city") };
    let error = start(config, spec(1, COLUMNS)).unwrap_err();
    assert_eq!((error.fault, error.retry), (Fault::External, Retry::Never));
    assert!(error.to_string().contains("AUTHENTICATION_FAILED"), "{error}");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = ClickHouseConfig { url: format!("http://{closed}"), ..ClickHouseConfig::default() };
    let error = start(config, spec(1, COLUMNS)).unwrap_err();
    assert_eq!((error.fault, error.retry), (Fault::External, Retry::Later));
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[test]
fn an_old_server_is_refused_before_it_is_asked_for_anything_it_lacks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let n = connection.read(&mut buffer).unwrap();
            assert!(n > 0, "the request ends with an empty line");
            request.extend_from_slice(&buffer[..n]);
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n18.16.1\n";
        connection.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let error = start(ClickHouseConfig { url, ..ClickHouseConfig::default() }, spec(1, COLUMNS)).unwrap_err();
    assert_eq!((error.fault, error.retry), (Fault::External, Retry::Never));
    let text = error.to_string();
    assert!(text.contains("is version 18.16, and version 24.3 or newer is needed"), "{text}");
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /?query=SELECT+version%28%29 HTTP/1.1"), "{request}");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let bad = |config: ClickHouseConfig| start(config, spec(1, COLUMNS)).unwrap_err().to_string();
    assert!(bad(ClickHouseConfig { grid_ms: 0, ..Default::default() }).contains("clickhouse.grid_ms"));
    assert!(
        bad(ClickHouseConfig { queue_frames: 0, ..Default::default() }).contains("clickhouse.queue_frames")
    );
    assert!(
        bad(ClickHouseConfig { ttl_days: Some(0), ..Default::default() }).contains("clickhouse.ttl_days")
    );
    assert!(
        bad(ClickHouseConfig { url: "nonsense".into(), ..Default::default() }).contains("not an HTTP URL")
    );
}

trait IntoText {
    fn into_text(self) -> Value;
}

impl IntoText for &str {
    fn into_text(self) -> Value {
        Value::Text(self.into())
    }
}
