//! The register of codes, `docs/reference/errors.md`, against everything else: each code of it is named by a test, and what
//! is written like a code in the product is in it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;

use crate::Complaint;
use crate::reference::{CRATES, is_code};
use crate::source::Workspace;

/// The generated register.
const REGISTER: &str = "docs/reference/errors.md";

/// The file that gives codes their exit status: what is written like a code is one there.
const EXITS: &str = "crates/segcdc/src/exit.rs";

/// Words with `_` that are no codes: of SQL and of protocols, variables, phases.
const OTHER_WORDS: [&str; 21] = [
    "CATCH_UP",
    "CHECK_CONSTRAINTS",
    "CREATE_REPLICATION_SLOT",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "EXPORT_SNAPSHOT",
    "FIRE_TRIGGERS",
    "IDENTIFY_SYSTEM",
    "KEEP_NULLS",
    "MULE_INTERNAL",
    "NOEXPORT_SNAPSHOT",
    "NO_COLOR",
    "READ_ONLY",
    "READ_WRITE",
    "SCREAMING_SNAKE_CASE",
    "SOURCE_PASSWORD",
    "SOURCE_URL",
    "SQL_ASCII",
    "TARGET_PASSWORD",
    "TARGET_URL",
    "TIMELINE_HISTORY",
];

/// How variables begin.
const VARIABLES: [&str; 3] = ["CARGO_", "SEGCDC_", "SHOP_"];

/// Looks for each code in what only tests compile, and in their golden files; and for each word of the product in the
/// register.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let register = fs::read_to_string(workspace.root.join(REGISTER))?;
    let codes = codes_of(&register);
    let mut tests = String::new();
    for path in workspace.files()? {
        let relative = workspace.relative(&path);
        // The checks' own tests name codes too.
        if relative.starts_with("crates/") && (relative.ends_with(".rs") || relative.ends_with(".snap")) {
            tests.push_str(tests_of(&relative, &fs::read_to_string(&path)?));
        }
    }
    let mut complaints = untested(&codes, &tests);
    for member in CRATES.iter().filter_map(|name| workspace.crates.get(*name)) {
        for file in workspace.sources(member)? {
            complaints.extend(unregistered(&codes, &file.path, &file.text));
        }
    }
    Ok(complaints)
}

/// The codes of the register, each once.
fn codes_of(register: &str) -> BTreeSet<&str> {
    register.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect()
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

/// The codes that no test names.
fn untested(codes: &BTreeSet<&str>, tests: &str) -> Vec<Complaint> {
    let untested = codes.iter().filter(|code| !names(tests, code));
    let complaint =
        |code| Complaint::new(format!("{REGISTER}: {code}"), "no test names it: write one that produces it");
    untested.map(complaint).collect()
}

/// What is written like a code in the part of a file that is no test, and is none.
fn unregistered(codes: &BTreeSet<&str>, path: &str, text: &str) -> Vec<Complaint> {
    let tests = tests_of(path, text);
    let product = text.strip_suffix(tests).unwrap_or(text);
    let lines = product.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let words =
        lines.flat_map(|(index, line)| line.split('"').skip(1).step_by(2).map(move |word| (index + 1, word)));
    let is_other = |word: &str| {
        let is_known = OTHER_WORDS.contains(&word) || VARIABLES.iter().any(|start| word.starts_with(start));
        path != EXITS && (is_known || !word.contains('_'))
    };
    let wrong = words.filter(|(_, word)| is_code(word) && !codes.contains(word) && !is_other(word));
    let advice = "looks like a code and is not in the register: say it in a way that xtask/src/reference/places.rs knows";
    wrong.map(|(line, word)| Complaint::new(format!("{path}:{line}"), format!("{word} {advice}"))).collect()
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
        let codes = codes_of("| code | when |\n|---|---|\n| `SLOT_LOST` | x |\n\n| `SLOT_LOST` | y |\n");
        let places = |tests| untested(&codes, tests).into_iter().map(|found| found.place).collect::<Vec<_>>();
        assert_eq!(places("SLOT_LOST"), [] as [String; 0]);
        assert_eq!(places(""), ["docs/reference/errors.md: SLOT_LOST"]);
    }

    #[test]
    fn what_looks_like_a_code_and_is_none_is_found() {
        let codes = BTreeSet::from(["SLOT_LOST"]);
        let check = |path: &str, line: &str, expected: &[&str]| {
            let text =
                format!("//! \"NOT_LOOKED_AT\"\n{line}\n#[cfg(test)]\nmod tests {{ \"OF_A_TEST\" }}\n");
            let places: Vec<String> =
                unregistered(&codes, path, &text).into_iter().map(|found| found.place).collect();
            assert_eq!(places, expected, "{line}");
        };
        check("crates/a/src/b.rs", r#"matches!(code, "SLOT_LOST" | "SLOT_GONE")"#, &["crates/a/src/b.rs:2"]);
        check("crates/a/src/b.rs", r#"("READ_ONLY", "SEGCDC_NAME", "SELECT", "TLS13_")"#, &[]);
        // Nothing else has an exit status.
        check(EXITS, r#"["SLOT_LOST", "ENUM", "AUTH_"]"#, &["crates/segcdc/src/exit.rs:2"]);
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
