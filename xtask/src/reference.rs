//! The generated pages of `docs/reference`. Each is a function of the source code, and is compared with what is
//! checked in.

mod faults;
mod findings;
mod page;
mod syntax;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::Complaint;
use crate::source::Workspace;

/// The page of error codes, relative to the workspace.
const ERRORS: &str = "docs/reference/errors.md";
/// The crates whose errors users see.
const CRATES: &[&str] =
    &["segcdc-model", "segcdc-plan", "segcdc-postgres", "segcdc-sqlserver", "segcdc-engine-native", "segcdc"];

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
    let mut checks = Vec::new();
    for name in CRATES {
        let member = workspace.crates.get(*name).with_context(|| format!("there is no crate {name}"))?;
        let parsed = syntax::parse_all(&workspace.sources(member)?)?;
        faults.extend(faults::collect(&parsed));
        checks.extend(findings::collect(&parsed));
    }
    Ok(vec![(workspace.root.join(ERRORS), page::errors(faults, checks))])
}
