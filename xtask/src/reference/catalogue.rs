//! The page of faults, from the tests that provoke them. A test says so in its documentation:
//!
//! ```text
//! /// # Fault F8
//! /// The connection to the source breaks in the middle of a transaction.
//! /// - Happens: nothing of it is applied; the pipeline connects again and goes on from its checkpoint.
//! /// - Do: nothing.
//! /// - Not run: a cable that is really cut.
//! ```
//!
//! What is not run stands where a part of the fault takes something that tests do not have. One test describes a fault; others that provoke it too have the heading alone: `# Fault F8, F9`. No number is left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use syn::visit::Visit;
use walkdir::WalkDir;

use super::page::escape;
use super::syntax::{documentation, is_code};
use crate::source::Workspace;

/// What stands above the tables.
const HEAD: &str = "\
# Faults

<!-- Generated from the tests by `cargo xtask reference --write`. Do not edit. -->

What can go wrong between two servers, what SEG CDC then does, and what there is to do. Each row is what the tests in its last
column saw; `cargo test NAME` runs one. The source is a real PostgreSQL; the target is the sandbox, not SQL Server. After what
stops a pipeline nothing more is written, and the tests look. What a code means stands in [errors.md](errors.md).
";

/// What stands above what was not run.
const NOT_RUN: &str = "
## Not run

There was no SQL Server, no disk of the source's own and no second machine. What is to be expected here follows from the code and the
numbers of errors alone.

| | what no test has seen |
|---|---|
";

/// The faults by what they befall: heading, first and last number.
const PARTS: &[(&str, u8, u8)] = &[("The source", 1, 31), ("The target", 40, 55), ("SEG CDC itself", 60, 70)];

/// What one test says of one fault.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    fault: String,
    happens: String,
    advice: String,
    /// What of it no test has seen; empty for nothing.
    not_run: String,
}

/// One fault: what it is, and the tests that provoke it.
#[derive(Debug, Default)]
struct Fault {
    described: Option<Described>,
    tests: BTreeSet<String>,
}

/// What the parts of a description begin with; before them is the fault itself.
const PARTS_OF_ONE: [&str; 3] = ["- Happens: ", "- Do: ", "- Not run: "];

/// The page; `codes` are all codes of errors that there are.
pub(super) fn page(workspace: &Workspace, codes: &BTreeSet<String>) -> Result<String> {
    let faults = collect(workspace)?;
    let mut page = HEAD.to_owned();
    for (heading, first, last) in PARTS {
        page.push_str(&format!(
            "\n## {heading}\n\n| | fault | what happens | what to do | shown by |\n|---|---|---|---|---|\n"
        ));
        for number in *first..=*last {
            page.push_str(&row(number, faults.get(&number), codes)?);
        }
    }
    page.push_str(NOT_RUN);
    for (number, fault) in &faults {
        if let Some(described) = fault.described.as_ref().filter(|described| !described.not_run.is_empty()) {
            page.push_str(&format!("| F{number} | {} |\n", escape(&described.not_run)));
        }
    }
    Ok(page)
}

/// The row of one number.
fn row(number: u8, fault: Option<&Fault>, codes: &BTreeSet<String>) -> Result<String> {
    let fault = fault.with_context(|| format!("fault F{number} has no test"))?;
    let described = fault.described.as_ref().with_context(|| format!("no test describes fault F{number}"))?;
    for text in [&described.happens, &described.advice] {
        let named = text.split('`').skip(1).step_by(2).filter(|word| is_code(word) && word.contains('_'));
        for code in named {
            ensure!(codes.contains(code), "fault F{number} names {code}, which is no code of an error");
        }
    }
    let tests: Vec<String> = fault.tests.iter().map(|test| format!("`{test}`")).collect();
    let Described { fault, happens, advice, .. } = described;
    let cells = [fault, happens, advice].map(|cell| escape(cell));
    Ok(format!("| F{number} | {} | {} |\n", cells.join(" | "), tests.join("<br>")))
}

/// What all tests say.
fn collect(workspace: &Workspace) -> Result<BTreeMap<u8, Fault>> {
    let mut faults: BTreeMap<u8, Fault> = BTreeMap::new();
    for member in workspace.crates.values() {
        for entry in WalkDir::new(&member.dir).sort_by_file_name() {
            let entry = entry?;
            if entry.path().extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path())?;
            if !text.contains("# Fault F") {
                continue;
            }
            let place = workspace.relative(entry.path());
            let file = syn::parse_file(&text).with_context(|| format!("could not parse {place}"))?;
            let mut tests = Tests::default();
            tests.visit_file(&file);
            for (name, documentation) in tests.found {
                add(&mut faults, &name, &documentation).with_context(|| format!("{name} in {place}"))?;
            }
        }
    }
    Ok(faults)
}

/// The tests of a file, with their documentation.
#[derive(Debug, Default)]
struct Tests {
    found: Vec<(String, Vec<String>)>,
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
        };
        if function.attrs.iter().any(is_test) {
            self.found.push((function.sig.ident.to_string(), documentation(&function.attrs)));
        }
    }
}

/// Adds what one test's documentation says.
fn add(faults: &mut BTreeMap<u8, Fault>, name: &str, documentation: &[String]) -> Result<()> {
    for (numbers, described) in sections(documentation)? {
        for number in &numbers {
            let known = PARTS.iter().any(|(_, first, last)| (*first..=*last).contains(number));
            ensure!(known, "there is no fault F{number}");
            let fault = faults.entry(*number).or_default();
            fault.tests.insert(name.to_owned());
        }
        if let (Some(described), [number]) = (described, numbers.as_slice()) {
            let before = faults.entry(*number).or_default().described.replace(described);
            ensure!(before.is_none(), "fault F{number} is described twice");
        }
    }
    Ok(())
}

/// The sections of a documentation that are headed `# Fault`: their numbers, and what they say.
fn sections(documentation: &[String]) -> Result<Vec<(Vec<u8>, Option<Described>)>> {
    let mut found = Vec::new();
    let mut lines = documentation.iter().map(|line| line.trim()).peekable();
    while let Some(line) = lines.next() {
        let Some(heading) = line.strip_prefix("# Fault ") else { continue };
        let number = |part: &str| part.trim().strip_prefix('F').and_then(|digits| digits.parse().ok());
        let numbers: Option<Vec<u8>> = heading.split(',').map(number).collect();
        let numbers = numbers.with_context(|| format!("`{line}` names no numbers of faults"))?;
        let mut described = Described::default();
        let mut part = 0_usize;
        while let Some(line) = lines.next_if(|line| !line.starts_with("# ")) {
            let mut beginnings = PARTS_OF_ONE.iter().zip(1_usize..);
            let begun = beginnings.find_map(|(word, part)| Some((part, line.strip_prefix(word)?)));
            let text;
            (part, text) = begun.unwrap_or((part, line));
            let field = match part {
                0 => &mut described.fault,
                1 => &mut described.happens,
                2 => &mut described.advice,
                _ => &mut described.not_run,
            };
            if !text.is_empty() {
                let gap = if field.is_empty() { "" } else { " " };
                field.push_str(&format!("{gap}{text}"));
            }
        }
        let said = [&described.fault, &described.happens, &described.advice].map(|text| !text.is_empty());
        match said {
            [true, true, true] => {
                ensure!(numbers.len() == 1, "one section describes one fault");
                found.push((numbers, Some(described)));
            }
            [false, false, false] => found.push((numbers, None)),
            _ => bail!("`{line}` has not all of: the fault, `- Happens:`, `- Do:`"),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_section_is_read_with_its_lines_joined() {
        let text = "A test.\n\n # Fault F8\n The line is\n cut.\n - Happens: it goes\n on.\n - Do: nothing.\n - Not run: a\n saw.\n # Fault F9, F10";
        let described = Described {
            fault: "The line is cut.".to_owned(),
            happens: "it goes on.".to_owned(),
            advice: "nothing.".to_owned(),
            not_run: "a saw.".to_owned(),
        };
        assert_eq!(sections(&lines(text)).unwrap(), [(vec![8], Some(described)), (vec![9, 10], None)]);
    }

    #[test]
    fn half_a_description_is_refused() {
        assert!(sections(&lines("# Fault F8\nThe line is cut.")).is_err());
        assert!(sections(&lines("# Fault eight")).is_err());
    }

    #[test]
    fn faults_without_tests_codes_that_are_none_and_two_descriptions_are_refused() {
        let codes = BTreeSet::from(["SLOT_LOST".to_owned()]);
        assert!(row(8, None, &codes).is_err());
        let describe = |code: &str| {
            let mut faults = BTreeMap::new();
            let text = format!("# Fault F8\nCut.\n- Happens: `{code}`.\n- Do: nothing.");
            add(&mut faults, "a_test", &lines(&text)).unwrap();
            assert!(add(&mut faults, "another", &lines(&text)).is_err());
            row(8, faults.get(&8), &codes)
        };
        assert_eq!(
            describe("SLOT_LOST").unwrap(),
            "| F8 | Cut. | `SLOT_LOST`. | nothing. | `a_test`<br>`another` |\n"
        );
        assert!(describe("SLOT_FOUND").is_err());
    }
}
