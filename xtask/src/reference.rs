//! The generated pages of `docs/reference`. Each is a function of the source code, and is compared with what is
//! checked in.

mod catalogue;
mod faults;
mod form;
mod help;
mod literals;
mod page;
mod placeholder;
mod places;
mod scope;
mod syntax;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use self::form::Said;
pub(crate) use self::syntax::is_code;
use crate::Complaint;
use crate::source::Workspace;

/// The page of error codes, relative to the workspace.
const ERRORS: &str = "docs/reference/errors.md";
/// The page of faults.
const FAULTS: &str = "docs/reference/faults.md";
/// The page of commands.
const COMMANDS: &str = "docs/reference/cli.md";
/// Where the golden files of the help texts are.
const GOLDEN_HELP: &str = "crates/segcdc/src/snapshots";
/// The tests that write the pages of types, which only the planner and the other engine can know, the API's description,
/// and the page and schema of the pipeline file.
/// With the features that `make test` has, so that nothing is built for them alone.
const PAGE_TESTS: [&[&str]; 3] = [
    &["--test", "it", "--", "openapi_page", "type_page"],
    &["--lib", "--", "page_of_types", "--nocapture"],
    &["--bins", "--", "pipeline_pages"],
];
/// The crates whose errors users see.
pub(crate) const CRATES: &[&str] = &[
    "segcdc-model",
    "segcdc-plan",
    "segcdc-postgres",
    "segcdc-tds",
    "segcdc-sqlserver",
    "segcdc-engine-native",
    "segcdc-engine-kafka-connect",
    "segcdc-control",
    "segcdc-api",
    "segcdc",
];

/// One code with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// `SLOT_LOST`.
    code: String,
    /// When it arises: the documentation of the variant, or the name of the check.
    meaning: String,
    /// What the product does about it.
    reaction: String,
    /// What a person does about it; empty where it depends.
    fix: String,
}

/// Writes all pages.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for (path, text) in pages(workspace)? {
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    }
    for test in PAGE_TESTS {
        let status = Command::new("cargo")
            .args(["test", "--quiet", "--locked", "--workspace", "--features", "segcdc/failpoints"])
            .args(test)
            .env("SEGCDC_WRITE_PAGES", "1")
            .current_dir(&workspace.root)
            .stdout(Stdio::null())
            .status()
            .context("could not run cargo")?;
        ensure!(status.success(), "a page could not be written by its test");
    }
    Ok(())
}

/// Compares all pages with what is checked in.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for (path, text) in pages(workspace)? {
        if fs::read_to_string(&path).unwrap_or_default() != text {
            let advice = "is not current; run `cargo xtask reference --write`";
            complaints.push(Complaint::new(workspace.relative(&path), advice));
        }
    }
    Ok(complaints)
}

/// The pages as they should be.
fn pages(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    let mut faults = Vec::new();
    let mut said = Said::default();
    for name in CRATES {
        let member = workspace.crates.get(*name).with_context(|| format!("there is no crate {name}"))?;
        let parsed = syntax::parse_all(&workspace.sources(member)?)?;
        let constants = placeholder::constants(parsed.iter().map(|file| &file.tree));
        let named = |entry: Entry| Entry {
            meaning: placeholder::resolve(&entry.meaning, &constants),
            fix: placeholder::resolve(&entry.fix, &constants),
            ..entry
        };
        faults.extend(faults::collect(&parsed, &constants)?.into_iter().map(named));
        let of_crate = places::collect(&parsed, &constants)?;
        said.checks.extend(of_crate.checks.into_iter().map(named));
        said.commands.extend(of_crate.commands.into_iter().map(named));
        said.reports.extend(of_crate.reports.into_iter().map(named));
    }
    let tables = [&faults, &said.checks, &said.commands, &said.reports];
    let codes = tables.into_iter().flatten().map(|entry| entry.code.clone()).collect();
    let mut pages = vec![
        (workspace.root.join(ERRORS), page::errors(faults, said)),
        (workspace.root.join(FAULTS), catalogue::page(workspace, &codes)?),
    ];
    let commands = help::page(&workspace.root.join(GOLDEN_HELP))?;
    pages.extend(commands.map(|text| (workspace.root.join(COMMANDS), text)));
    Ok(pages)
}
