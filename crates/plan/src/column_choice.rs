//! Which columns of a table are replicated, by what the user says. Pure.
//!
//! `--columns` names all columns that there are to be: one that is added later is not among them, so the publication itself may
//! be told to send no others. `--exclude-columns` leaves columns out of whatever there is, now and later: the publication sends
//! them all, since one that PostgreSQL does not send until it is told to would lack the changes up to then.

use segcdc_model::{QualifiedName, SourceColumn, SourceTable};

use crate::error::PlanError;
use crate::rules::Rules;

/// Numbers of the columns that are not replicated.
///
/// # Errors
/// [`PlanError::ColumnChoice`] for a name of `--columns` that is no column, or none that PostgreSQL sends.
pub(crate) fn left_out(source: &SourceTable, rules: &Rules) -> Result<Vec<i16>, PlanError> {
    for name in rules.columns(&source.name).unwrap_or_default() {
        let reason = match source.columns.iter().find(|column| column.name == *name) {
            None => "is no column of it",
            Some(column) if column.generated => "is generated, and not in the stream",
            Some(_) => continue,
        };
        return Err(PlanError::ColumnChoice { table: source.name.clone(), column: name.clone(), reason });
    }
    let is_left_out = |column: &&SourceColumn| rules.leaves_out(&source.name, column).is_some();
    Ok(source.columns.iter().filter(is_left_out).map(|column| column.attnum).collect())
}

/// Checks that a column that is left out does not identify rows.
///
/// # Errors
/// [`PlanError::ColumnChoice`].
pub(crate) fn check_not_in_key(
    table: &QualifiedName,
    column: &SourceColumn,
    in_key: bool,
) -> Result<(), PlanError> {
    if !in_key {
        return Ok(());
    }
    let reason = "identifies rows, and cannot be left out";
    Err(PlanError::ColumnChoice { table: table.clone(), column: column.name.clone(), reason })
}
