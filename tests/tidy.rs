//! What the architecture promises about the source tree, as a test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Our crates, and what each may know: dependencies of ours, and foreign crates that only it may use.
const CRATES: &[(&str, &[&str], &[&str])] = &[
    ("model", &[], &[]),
    ("matching", &[], &["rstar"]),
    ("formula", &[], &["cel"]),
    ("scoring", &["model", "formula"], &[]),
    ("green", &["model"], &["i_overlay"]),
    ("ingest", &["model", "formula"], &["rdkafka", "fjall"]),
    (
        "dataflow",
        &["formula", "green", "matching", "model", "scoring", "tracks"],
        &["timely", "differential-dataflow"],
    ),
    ("sinks", &["model"], &["clickhouse", "libloading"]),
    ("api", &["green", "matching", "model", "scoring"], &["axum", "utoipa", "tower-http"]),
    ("simulate", &["model"], &[]),
    ("tracks", &[], &["rstar"]),
    ("bench", &["model"], &["plotters"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All files below a folder with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The names in `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or("");
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or("").to_owned();
    section
        .lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(name)
        .collect()
}

#[test]
fn dependencies_follow_the_arrows() {
    let ours: BTreeSet<&str> = CRATES.iter().map(|(name, ..)| *name).collect();
    for (name, may_know, own) in CRATES {
        let found = dependencies(&read(format!("{name}/Cargo.toml")));
        let known: BTreeSet<&str> =
            found.iter().map(String::as_str).filter(|name| ours.contains(name)).collect();
        assert_eq!(
            known,
            may_know.iter().copied().collect(),
            "{name} depends on other crates of ours than it may"
        );
        for (other, _, theirs) in CRATES.iter().filter(|(other, ..)| other != name) {
            for foreign in theirs.iter().filter(|foreign| found.contains(**foreign)) {
                assert!(own.contains(foreign), "{name} depends on {foreign}, which only {other} may know");
            }
        }
        for foreign in *own {
            assert!(found.contains(*foreign), "{name} no longer uses {foreign}: this table is out of date");
        }
    }
    let dataflow = dependencies(&read("dataflow/Cargo.toml"));
    assert!(!dataflow.contains("tokio") && !dataflow.contains("axum"), "the dataflow does no I/O");
    assert!(dependencies(&read("model/Cargo.toml")).iter().all(|name| name != "tokio"));
}

#[test]
fn timely_and_differential_are_pinned() {
    let manifest = read("Cargo.toml");
    for pin in ["timely = \"=0.32.0\"", "differential-dataflow = \"=0.26.0\""] {
        assert!(manifest.contains(pin), "{pin} is not in Cargo.toml");
    }
}

#[test]
fn every_file_says_what_it_is() {
    let folders = CRATES.iter().map(|(name, ..)| *name).chain(["src", "tests"]);
    for path in folders.flat_map(|folder| files(folder, ".rs")) {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or("");
        assert!(first.starts_with("//! ") && first.len() > 12, "{}: no module doc", path.display());
    }
}

#[test]
fn every_view_is_listed_and_has_an_oracle() {
    let list = read("dataflow/src/views/mod.rs");
    let mut views = 0;
    for path in files("dataflow/src/views", ".rs") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "mod" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let listed = [' ', '['].iter().any(|before| list.contains(&format!("{before}{name}::VIEW")));
        assert!(listed, "{name} is not in the list of views");
        assert!(
            text.contains("mod oracle {") && text.contains("oracle: oracle::rows"),
            "{name} has no oracle"
        );
        assert!(text.contains(&format!("name: \"{name}\"")), "{name} publishes under another name");
        for part in ["**Meaning.**", "**State.**"] {
            assert!(text.contains(part), "{name}: its module doc has no {part}");
        }
        views += 1;
    }
    assert_eq!(views, dataflow::selection::all_specs().len());
}

#[test]
fn every_stream_is_listed() {
    let list = read("ingest/src/streams/mod.rs");
    for stream in model::StreamId::ALL {
        let name = stream.name();
        assert!(list.contains(&format!("{name}::STREAM")), "{name} is not in the list of streams");
        assert!(root().join(format!("ingest/src/streams/{name}.rs")).exists());
    }
}

#[test]
fn the_documents_name_every_part() {
    let parts = CRATES.iter().map(|(name, ..)| *name).chain(["dashboards", "tests", "src"]);
    let (architecture, changelog) = (read("ARCHITECTURE.md"), read("CHANGELOG.md"));
    for part in parts {
        assert!(architecture.contains(&format!("`{part}/`")), "ARCHITECTURE.md does not name {part}/");
    }
    for spec in dataflow::selection::all_specs() {
        assert!(
            architecture.contains(&format!("`{}`", spec.name)),
            "ARCHITECTURE.md does not name view {}",
            spec.name
        );
    }
    assert!(changelog.contains("## "), "CHANGELOG.md has no section");
    for readme in ["README.md", "README.zh.md"] {
        let text = read(readme);
        for what in ["make demo", "make test", "ARCHITECTURE.md"] {
            assert!(text.contains(what), "{readme} does not say {what}");
        }
        for (name, ..) in CRATES {
            assert!(text.contains(&format!("`{name}`")), "{readme} does not name crate {name}");
        }
    }
    assert!(read(".ci/run").contains("make test"));
}

/// The settings in the README are the settings there are.
#[test]
fn every_section_of_the_configuration_is_in_the_readme() {
    let config = read("src/config.rs");
    let readme = read("README.md");
    let body = config.split("pub struct Config {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
    let sections = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let mut n = 0;
    for section in sections {
        assert!(readme.contains(&format!("`[{section}]`")), "README.md does not name section [{section}]");
        n += 1;
    }
    assert!(n >= 6);
}

#[test]
fn nothing_speaks_of_a_machine() {
    let home = ["/", "root/"].concat();
    let work = ["/", "work/"].concat();
    let folders = CRATES.iter().map(|(name, ..)| *name).chain(["src", "docs", "scripts"]);
    for path in folders.flat_map(|folder| files(folder, "")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (n, line) in text.lines().enumerate() {
            assert!(!line.contains(&home) && !line.contains(&work), "{}:{}: {line}", path.display(), n + 1);
        }
    }
}
