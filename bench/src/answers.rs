//! The answers of a contestant: five small CSV files, and whether they are right.
//!
//! **Meaning.** Each of the five questions has a file of its own; all its numbers are integers, so equal answers are
//! equal lines. A file that is not there says that the contestant does not answer that question; lines may come in any
//! order. [`ANSWERS`] is the contract.
//!
//! **State.** The lines of one file at a time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use model::{Error, Result};
use serde::{Deserialize, Serialize};

/// A question: its file and the columns of it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Name; the file is `<name>.csv`.
    pub name: &'static str,
    /// The header.
    pub columns: &'static str,
}

/// The five questions, as files.
pub const ANSWERS: [Answer; 5] = [
    Answer { name: "alerts", columns: "sensor,raised_ms,cleared_ms" },
    Answer { name: "swept", columns: "district,hour_ms,swept_mm,segments" },
    Answer { name: "cases", columns: "district,open,overdue" },
    Answer { name: "windows", columns: "kind,district,start_ms,count,sum_tenths" },
    Answer { name: "scores", columns: "district,score_hundredths" },
];

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The questions answered.
    pub answered: Vec<String>,
    /// What is wrong, one sentence per question; empty when all that was answered is right.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// Whether something was answered and all of it is right.
    pub fn correct(&self) -> bool {
        !self.answered.is_empty() && self.wrong.is_empty()
    }
}

/// Compares the answers in `given` with those in `expected`.
///
/// # Errors
/// When an expected file cannot be read, or a given one that is there.
pub fn compare(given: &Path, expected: &Path) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for answer in ANSWERS {
        let file = format!("{}.csv", answer.name);
        if !given.join(&file).exists() {
            continue;
        }
        verdict.answered.push(answer.name.to_owned());
        let (given, expected) = (lines(&given.join(&file), answer)?, lines(&expected.join(&file), answer)?);
        let (extra, missing) = (given.difference(&expected), expected.difference(&given));
        let (extras, missings) = (extra.clone().count(), missing.clone().count());
        if extras + missings > 0 || given.is_empty() {
            let first = |mut lines: std::collections::btree_set::Difference<'_, String>| {
                lines.next().map_or_else(|| "-".to_owned(), Clone::clone)
            };
            verdict.wrong.push(format!(
                "{}: {missings} of {} lines missing (first {}), {extras} that should not be there (first {})",
                answer.name,
                expected.len(),
                first(missing),
                first(extra)
            ));
        }
    }
    Ok(verdict)
}

/// The lines of an answer. A line that is there twice would hide: it is an error.
fn lines(path: &Path, answer: Answer) -> Result<BTreeSet<String>> {
    let unreadable = |e| Error::external(format!("{}: cannot be read", path.display())).caused_by(e);
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let mut lines = text.lines().map(str::trim_end);
    if lines.next() != Some(answer.columns) {
        return Err(Error::external(format!("{}: the header is not {}", path.display(), answer.columns)));
    }
    let mut all = BTreeSet::new();
    for line in lines {
        if !all.insert(line.to_owned()) {
            return Err(Error::external(format!("{}: {line} is there twice", path.display())));
        }
    }
    Ok(all)
}

/// Writes an answer.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, name: &str, lines: impl IntoIterator<Item = String>) -> Result<()> {
    let answer = ANSWERS.iter().find(|answer| answer.name == name);
    let answer = answer.ok_or_else(|| Error::internal(format!("{name} is no question")))?;
    let path = folder.join(format!("{name}.csv"));
    let mut text = format!("{}\n", answer.columns);
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    fs::write(&path, text)
        .map_err(|e| Error::external(format!("{}: cannot be written", path.display())).caused_by(e))
}

#[cfg(test)]
mod tests {
    use super::{compare, write};

    #[test]
    fn equal_answers_in_any_order_are_right_and_a_wrong_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let [given, expected] = ["given", "expected"].map(|name| folder.path().join(name));
        for folder in [&given, &expected] {
            std::fs::create_dir(folder).unwrap();
        }
        let set = |folder, lines: &[&str]| {
            write(folder, "cases", lines.iter().map(|line| (*line).to_owned())).unwrap();
        };
        assert!(!compare(&given, &expected).unwrap().correct(), "nothing answered is not right");
        set(&expected, &["a,1,0", "b,2,1"]);
        set(&given, &["b,2,1", "a,1,0"]);
        assert!(compare(&given, &expected).unwrap().correct());
        set(&given, &["a,1,0", "b,2,2"]);
        let verdict = compare(&given, &expected).unwrap();
        assert_eq!((verdict.answered.len(), verdict.wrong.len()), (1, 1));
        assert!(verdict.wrong[0].contains("first b,2,1") && verdict.wrong[0].contains("first b,2,2"));
        set(&given, &["a,1,0", "a,1,0"]);
        assert!(compare(&given, &expected).is_err());
    }
}
