//! Markdown of the generated pages.

use std::collections::BTreeMap;

use super::Entry;
use super::form::Said;

/// What stands above the tables of error codes.
const HEAD: &str = "\
# Error codes

<!-- Generated from the source code by `cargo xtask reference --write`. Do not edit. -->

Every error has a stable code. It is printed with the message and a hint, and is the `code` of `-o json`. Codes are
never changed and never reused. ‹name› stands for what the message names.
";

/// The tables behind the first: heading, what stands above it, and its third column.
const CHECKS: [&str; 3] = [
    "Preflight",
    "Found before anything is changed, by `segcdc doctor` and at the start of `segcdc up`.",
    "then the pipeline",
];
const COMMANDS: [&str; 3] = [
    "Commands",
    "What a command ends with when it cannot do what it is asked, beside the errors above.",
    "exit status",
];
const REPORTS: [&str; 3] =
    ["Reports", "What commands say of a pipeline or a table while they themselves succeed.", "said by"];

/// The page of error codes.
pub(super) fn errors(faults: Vec<Entry>, said: Said) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## While it runs\n\n");
    page.push_str(&table("what SEG CDC does", faults));
    let tables = [(CHECKS, said.checks), (COMMANDS, said.commands), (REPORTS, said.reports)];
    for ([heading, what, reaction], entries) in tables {
        page.push_str(&format!("\n## {heading}\n\n{what}\n\n{}", table(reaction, entries)));
    }
    page
}

/// One table, a row a code; what several places say about one code is put into one row.
fn table(reaction: &str, entries: Vec<Entry>) -> String {
    let mut rows: BTreeMap<String, [Vec<String>; 3]> = BTreeMap::new();
    for entry in entries {
        let row = rows.entry(entry.code).or_default();
        for (cell, text) in row.iter_mut().zip([entry.meaning, entry.reaction, entry.fix]) {
            if !text.is_empty() && !cell.contains(&text) {
                cell.push(text);
            }
        }
    }
    let mut text = format!("| code | when | {reaction} | what to do |\n|---|---|---|---|\n");
    for (code, cells) in rows {
        let [meaning, reaction, fix] = cells.map(|cell| escape(&cell.join("<br>")));
        text.push_str(&format!("| `{code}` | {meaning} | {reaction} | {fix} |\n"));
    }
    text
}

/// Text for a cell of a table: one line, no bar.
pub(super) fn escape(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
