//! Direction: which crate may know which other, that no two modules of a crate know each other in a circle, and who
//! alone may do certain things.

mod crates;
mod modules;
mod privileges;

use anyhow::Result;

use crate::Complaint;
use crate::source::Workspace;

/// Checks all three.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let mut complaints = crates::check(workspace);
    complaints.extend(modules::check(workspace)?);
    complaints.extend(privileges::check(workspace)?);
    Ok(complaints)
}
