//! Which tables can keep their rows as the user says. Pure.

use segcdc_model::SourceTable;

use super::ColumnPlan;
use crate::error::PlanError;
use crate::key::Identity;
use crate::rules::TargetMode;
use crate::target_name;

/// Checks that a table can have a mode: rows that were deleted are found again by their key, and the column that marks them
/// is no other's.
///
/// # Errors
/// [`PlanError::ModeImpossible`].
pub(crate) fn check(
    source: &SourceTable,
    mode: TargetMode,
    identity: &Identity,
    columns: &[ColumnPlan],
) -> Result<(), PlanError> {
    let Some(marker) = mode.marker() else { return Ok(()) };
    let impossible = |detail| Err(PlanError::ModeImpossible { table: source.name.clone(), mode, detail });
    match identity {
        Identity::Columns(_) => {}
        Identity::WholeRow => return impossible("it has no key by which a deleted row is found again"),
        Identity::AppendOnly(_) => return impossible("its rows are only added, as --append-only says"),
        // Left out for that.
        Identity::Unidentified => return Ok(()),
    }
    let taken = target_name::fold(marker);
    if columns.iter().any(|column| target_name::fold(&column.name) == taken) {
        return impossible("it has a column _segcdc_deleted_at, which is the name of the target's mark");
    }
    Ok(())
}
