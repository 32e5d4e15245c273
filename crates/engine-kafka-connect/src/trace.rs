//! [`cause`]: what a task's stack trace means, and what to do about it.
//!
//! A trace is the only thing that a worker says about a failed task. It can hold values of rows, so it is never shown:
//! it is looked up in a table, and of one that is not in the table only the classes of its exceptions are named.

use serde::Serialize;

use crate::trace::known::known;

mod known;

/// Longest trace that is looked at, bytes. Causes stand at its beginning and behind each "Caused by".
const MAX_TRACE: usize = 64 << 10;

/// What a trace that is not in the table is called.
pub(crate) const UNKNOWN: &str = "CONNECTOR_TASK_FAILED";

/// Classes of exceptions that are named of an unknown trace.
const MAX_CLASSES: usize = 4;

/// Why a task failed, likely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Stable code.
    pub code: &'static str,
    /// What is the matter, without a value of a row.
    pub detail: String,
    /// What to do.
    pub advice: &'static str,
    /// Whether starting the task again may help.
    pub may_pass: bool,
}

/// What a trace means.
pub fn cause(trace: &str) -> Cause {
    let text = head(trace);
    let known = known().find(|known| known.parts.iter().all(|part| text.contains(part)));
    match known {
        Some(known) => Cause {
            code: known.code,
            detail: known.detail.to_owned(),
            advice: known.advice,
            may_pass: known.may_pass,
        },
        None => Cause {
            code: UNKNOWN,
            detail: unknown(text),
            advice: "look at the worker's log, which has the whole trace; the task is started again",
            may_pass: true,
        },
    }
}

/// The beginning of a trace.
fn head(trace: &str) -> &str {
    let mut end = trace.len().min(MAX_TRACE);
    while !trace.is_char_boundary(end) {
        end -= 1;
    }
    trace.get(..end).unwrap_or_default()
}

/// The classes of the exceptions, outermost first: names of the program, and no values.
fn unknown(trace: &str) -> String {
    let lines =
        trace.lines().enumerate().filter_map(|(number, line)| match line.strip_prefix("Caused by: ") {
            Some(line) => Some(line),
            None if number == 0 => Some(line),
            None => None,
        });
    let mut classes: Vec<&str> = Vec::new();
    for line in lines {
        let class = line.split(':').next().unwrap_or_default().trim();
        let plain = class.chars().all(|c| c.is_ascii_alphanumeric() || "._$".contains(c));
        if plain && class.contains('.') && !classes.contains(&class) {
            classes.push(class);
        }
    }
    classes.truncate(MAX_CLASSES);
    if classes.is_empty() {
        return "it failed for an unknown reason".to_owned();
    }
    let names: Vec<&str> =
        classes.iter().map(|class| class.rsplit(['.', '$']).next().unwrap_or(class)).collect();
    format!("it failed with {}", names.join(" because of "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn known_traces_have_their_cause() {
        let check = |trace: &str, code: &str| assert_eq!(cause(trace).code, code, "{trace}");
        let check = |trace: &str, code: &str| {
            check(&format!("org.x.ConnectException: {trace}\n\tat y.z(A.java:1)"), code)
        };
        check(
            "The connector is trying to read change stream starting at PostgresOffsetContext [...], but this is no longer available on the server. Reconfigure",
            "SLOT_LOST",
        );
        check(
            "Publication autocreation is disabled, please create one and restart the connector.",
            "PUBLICATION_MISSING",
        );
        check(
            "x\nCaused by: org.postgresql.util.PSQLException: FATAL: must be superuser or replication role to start walsender",
            "PERMISSION_REPLICATION",
        );
        check("ERROR: replication slot \"a\" is active for PID 7", "SLOT_IN_USE");
        check("FATAL: password authentication failed for user \"u\"", "AUTH_FAILED");
        check("Login failed for user 'u'. ClientConnectionId:1", "TARGET_LOGIN_FAILED");
        check(
            "Got a special value (NaN/Infinity) for Decimal type in column c but current mode does not handle it",
            "VALUE_NAN",
        );
        check(
            "Transaction (Process ID 5) was deadlocked on lock resources with another process",
            "TARGET_DEADLOCK",
        );
        check(
            "String or binary data would be truncated in table 'd', column 'c'. Truncated value: 'secret'.",
            "VALUE_TOO_LONG",
        );
        check(
            "java.lang.NoClassDefFoundError: com/datadoghq/sketch/ddsketch/DDSketches",
            "CONNECTOR_PLUGIN_BROKEN",
        );
        check(
            "Connection to 127.0.0.1:5432 refused. Check that the hostname and port are correct",
            "SOURCE_UNREACHABLE",
        );
        check("something new", "CONNECTOR_TASK_FAILED");
    }

    /// What a worker said of real faults, as `tests/it/traces.rs` has seen it: the expected code, then the lines that name
    /// exceptions.
    fn real_traces() -> Vec<(String, String)> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces");
        let texts = std::fs::read_dir(dir).unwrap().map(|entry| {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let (code, trace) = text.split_once('\n').unwrap();
            (code.to_owned(), trace.to_owned())
        });
        texts.collect()
    }

    #[test]
    fn real_traces_have_their_cause() {
        let traces = real_traces();
        for (code, trace) in &traces {
            assert_eq!(cause(trace).code, code, "{trace}");
        }
        assert!(traces.len() >= 30, "{}", traces.len());
    }

    /// The page that says what the table knows from elsewhere only.
    #[test]
    fn entries_that_were_not_provoked_are_listed() {
        let traces = real_traces();
        let first =
            |trace: &str| known().position(|known| known.parts.iter().all(|part| trace.contains(part)));
        let seen: BTreeSet<usize> = traces.iter().filter_map(|(_, trace)| first(trace)).collect();
        let others = known().enumerate().filter(|(index, _)| !seen.contains(index));
        let lines: Vec<String> =
            others.map(|(_, known)| format!("{}: {}", known.code, known.parts.join(" ... "))).collect();
        insta::assert_snapshot!("not_provoked", lines.join("\n"));
    }

    #[test]
    fn an_unknown_trace_shows_classes_and_no_values() {
        let trace = "org.a.ConnectException: Exiting due to row (42, 'c4nary')\n\tat b.c\nCaused by: com.d.SQLServerException: key (c4nary)\nCaused by: java.x.Inner$Deep: q";
        assert_eq!(
            cause(trace).detail,
            "it failed with ConnectException because of SQLServerException because of Deep"
        );
        assert_eq!(cause("").detail, "it failed for an unknown reason");
    }

    #[test]
    fn every_entry_can_be_reached_and_says_what_to_do() {
        let mut seen = BTreeSet::new();
        for known in known() {
            assert!(!known.advice.is_empty() && !known.detail.is_empty());
            let trace = known.parts.join(" x ");
            let found = cause(&trace);
            assert_eq!((found.code, found.detail.as_str()), (known.code, known.detail), "{trace}");
            assert!(seen.insert(known.parts), "{:?} is there twice", known.parts);
        }
    }

    proptest! {
        #[test]
        fn no_trace_breaks_it_and_nothing_of_it_is_shown(text in "\\PC{0,200}") {
            let found = cause(&format!("a.B: {text} c4nary"));
            prop_assert!(!found.detail.contains("c4nary"));
        }
    }
}
