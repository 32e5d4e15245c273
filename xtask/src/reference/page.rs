//! Markdown of the generated pages.

use std::collections::BTreeMap;

use super::Entry;

/// What stands above the tables of error codes.
const HEAD: &str = "\
# Error codes

<!-- Generated from the source code by `cargo xtask reference --write`. Do not edit. -->

Every error has a stable code. It is printed with the message and a hint, and is the `code` of `-o json`. Codes are
never changed and never reused. In the last column ‹name› stands for what the message names.
";

/// The page of error codes.
pub(super) fn errors(faults: Vec<Entry>, checks: Vec<Entry>) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## While it runs\n\n");
    page.push_str(&table("what SEG CDC does", faults));
    page.push_str("\n## Preflight\n\nFound before anything is changed, by `segcdc doctor` and at the start of `segcdc up`.\n\n");
    page.push_str(&table("then the pipeline", checks));
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
