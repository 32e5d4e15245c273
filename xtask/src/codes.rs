//! Codes of the register that no test has ever seen: each code of `docs/reference/errors.md` is named by a test.

use std::fs;

use anyhow::Result;

use crate::Complaint;
use crate::source::Workspace;

/// The generated register.
const REGISTER: &str = "docs/reference/errors.md";

/// Looks for each code in what only tests compile, and in their golden files.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let register = fs::read_to_string(workspace.root.join(REGISTER))?;
    let mut tests = String::new();
    for path in workspace.files()? {
        let relative = workspace.relative(&path);
        // The checks' own tests name codes too.
        if relative.starts_with("crates/") && (relative.ends_with(".rs") || relative.ends_with(".snap")) {
            tests.push_str(tests_of(&relative, &fs::read_to_string(&path)?));
        }
    }
    Ok(complaints(&register, &tests))
}

/// The part of a file that only tests compile: all of it by its place, or what is behind its first `#[cfg(test)]`.
fn tests_of<'a>(path: &str, text: &'a str) -> &'a str {
    let is_test = path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "snapshots"));
    if is_test || path.ends_with(".snap") {
        return text;
    }
    let starts =
        ["mod tests {", "pub(crate) mod tests {"].map(|module| text.find(&format!("#[cfg(test)]\n{module}")));
    starts.into_iter().flatten().min().and_then(|start| text.get(start..)).unwrap_or_default()
}

/// What is wrong with these texts.
fn complaints(register: &str, tests: &str) -> Vec<Complaint> {
    let codes = register.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut complaints = Vec::new();
    for (code, _) in codes {
        if !names(tests, code) {
            complaints.push(Complaint::new(
                format!("{REGISTER}: {code}"),
                "no test names it: write one that produces it",
            ));
        }
    }
    complaints
}

/// Whether a text has a code as a word of its own.
fn names(text: &str, code: &str) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(code).any(|(start, _)| {
        let before = start.checked_sub(1).and_then(|index| text.as_bytes().get(index));
        !is_part(before) && !is_part(text.as_bytes().get(start + code.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words() {
        assert!(names(r#"assert_eq!(code, "SLOT_LOST");"#, "SLOT_LOST"));
        assert!(!names("NO_SLOT_LOST, SLOT_LOST_TWICE", "SLOT_LOST"));
    }

    #[test]
    fn a_code_without_a_test_is_found() {
        let register = "| code | when |\n|---|---|\n| `SLOT_LOST` | x |\n";
        let places =
            |tests| complaints(register, tests).into_iter().map(|found| found.place).collect::<Vec<_>>();
        assert_eq!(places("SLOT_LOST"), [] as [String; 0]);
        assert_eq!(places(""), ["docs/reference/errors.md: SLOT_LOST"]);
    }

    #[test]
    fn only_what_tests_compile_counts() {
        let text = "fn code() {}\n#[cfg(test)]\nmod tests {\n}";
        assert_eq!(tests_of("crates/a/src/b.rs", text), "#[cfg(test)]\nmod tests {\n}");
        let shared = text.replace("mod tests", "pub(crate) mod tests");
        assert_eq!(tests_of("crates/a/src/b.rs", &shared), "#[cfg(test)]\npub(crate) mod tests {\n}");
        assert_eq!(tests_of("crates/a/src/b/tests.rs", text), text);
        assert_eq!(tests_of("crates/a/src/b.rs", "fn code() {}"), "");
    }
}
