//! The embedded server: comes up, keeps strangers out, dies with its parent, comes back where it was.

mod support;

use std::process::Stdio;
use std::time::Duration;

use model::Fault;
use sinks::embedded::{ChildArgs, EmbeddedConfig, Server};
use support::{config, library, query};
use tokio::time::timeout;

#[tokio::test]
async fn a_missing_library_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("nowhere/libchdb.so");
    let error = Server::start(EmbeddedConfig { library: library.clone(), ..config(folder.path()) })
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::User);
    let text = error.to_string();
    assert!(text.contains("make clickhouse") && text.contains(&*library.to_string_lossy()), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_library_is_said_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libchdb.so");
    std::fs::write(&library, "not a library").unwrap();
    let error = Server::start(EmbeddedConfig { library, ..config(folder.path()) }).await.unwrap_err();
    assert!(error.to_string().contains("is not a usable ClickHouse library"), "{error}");
}

#[tokio::test]
async fn it_serves_only_who_knows_the_password_and_keeps_its_data_over_kill_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(config(folder.path())).await.unwrap();
    let (url, password) = (server.url(), server.password().to_owned());
    let ask = async |user: &str, password: &str, sql: &str| query(&url, user, password, sql).await;

    assert!(ask("chengmai", &password, "SELECT version()").await.unwrap().starts_with("26.7"));
    assert!(ask("chengmai", "wrong", "SELECT 1").await.unwrap_err().contains("AUTHENTICATION_FAILED"));
    ask("chengmai", &password, "CREATE TABLE default.t (n Int64) ENGINE = MergeTree ORDER BY n")
        .await
        .unwrap();
    ask("chengmai", &password, "INSERT INTO default.t SELECT * FROM numbers(1000)").await.unwrap();
    for sql in [
        "CREATE DATABASE d",
        "SELECT * FROM default.t",
        "INSERT INTO default.t SELECT 1",
        "SELECT * FROM system.users",
        "SELECT * FROM file('/etc/passwd', RawBLOB)",
    ] {
        let refusal = ask("default", "", sql).await.unwrap_err();
        assert!(refusal.contains("ACCESS_DENIED"), "{sql}: {refusal}");
    }
    let pid = server.process_id().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    let error = server.failed().await;
    assert!(error.to_string().contains("signal: 9"), "{error}");

    server.restart().await.unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(ask("chengmai", &password, "SELECT count() FROM default.t").await.unwrap().trim(), "1000");
    server.stop().await.unwrap();
    assert!(ask("chengmai", &password, "SELECT 1").await.is_err());
}

#[tokio::test]
async fn the_files_with_the_password_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config(folder.path())).await.unwrap();
    for file in ["users.xml", "config.xml"] {
        let path = folder.path().join("clickhouse").join(file);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!std::fs::read_to_string(&path).unwrap().contains(server.password()));
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_server_waits_until_the_first_has_left_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(config(folder.path())).await.unwrap();
    let (url, password) = (first.url(), first.password().to_owned());
    let (second, ()) = tokio::join!(Server::start(config(folder.path())), async {
        query(&url, "chengmai", &password, "SELECT 1").await.unwrap();
        first.stop().await.unwrap();
    });
    let second = second.unwrap();
    assert!(query(&url, "chengmai", &password, "SELECT 1").await.is_err(), "the first still answers");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn the_child_ends_when_its_input_closes() {
    let folder = tempfile::tempdir().unwrap();
    // A first run leaves the configuration that the bare child below is started with.
    let server = Server::start(config(folder.path())).await.unwrap();
    let (url, password, port) = (server.url(), server.password().to_owned(), server.url());
    server.stop().await.unwrap();
    let data = folder.path().join("clickhouse");
    let args = ChildArgs {
        library: library(),
        path: data.join("server"),
        config: data.join("config.xml"),
        http_port: port.rsplit(':').next().unwrap().parse().unwrap(),
    };
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_clickhouse_child"))
        .args(args.command_line())
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    let up = async {
        while query(&url, "chengmai", &password, "SELECT 1").await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before its input did");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), up).await.unwrap();
    drop(input);
    let status = timeout(Duration::from_secs(10), child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}
