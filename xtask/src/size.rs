//! The wall: no file of code is over 500 lines. Clippy holds the wall of 80 lines a function.

use anyhow::Result;

use crate::Complaint;
use crate::source::{SourceFile, Workspace};

/// Lines of a file, tests at its end left out: what one sitting can take in.
const WALL: usize = 500;

/// Files that are one table each, so that parts of them would be harder to read than the whole.
const TABLES: &[(&str, &str)] = &[("crates/tds/src/types.rs", "the type tables of MS-TDS")];

/// Looks at every file of code.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for member in workspace.crates.values() {
        complaints.extend(workspace.sources(member)?.iter().filter_map(over_the_wall));
    }
    Ok(complaints)
}

/// A complaint if the file is over the wall and neither a table, nor tests, nor SQL text.
fn over_the_wall(file: &SourceFile) -> Option<Complaint> {
    let exempt = file.is_test()
        || file.path.contains("/src/sql/")
        || TABLES.iter().any(|(path, _reason)| *path == file.path);
    let lines = file.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    (!exempt && lines > WALL)
        .then(|| Complaint::new(&file.path, format!("{lines} lines; over {WALL} it is two things")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a file of so many lines is complained about.
    fn is_over(path: &str, lines: usize, suffix: &str) -> bool {
        let text = "fn f() {}\n".repeat(lines) + suffix;
        over_the_wall(&SourceFile { path: path.to_owned(), module: Vec::new(), text }).is_some()
    }

    #[test]
    fn the_wall_stands_at_500() {
        assert!(!is_over("crates/a/src/b.rs", 500, ""));
        assert!(is_over("crates/a/src/b.rs", 501, ""));
    }

    #[test]
    fn tests_tables_and_sql_may_be_longer() {
        assert!(!is_over("crates/a/src/b.rs", 400, &("#[cfg(test)]\n".to_owned() + &"x\n".repeat(400))));
        assert!(!is_over("crates/tds/src/types.rs", 700, ""));
        assert!(!is_over("crates/sqlserver/src/sql/apply.rs", 700, ""));
    }
}
