//! Columns that only the target has, with one value in every row. Pure.

use segcdc_model::QualifiedName;

use super::{ColumnPlan, NO_SOURCE};
use crate::error::PlanError;
use crate::rules::{Constant, ValuePolicy};
use crate::target_name;

/// Adds the constant columns of a table behind those that it has.
///
/// # Errors
/// [`PlanError::ConstantImpossible`].
pub(super) fn add(
    table: &QualifiedName,
    constants: &[&Constant],
    columns: &mut Vec<ColumnPlan>,
) -> Result<(), PlanError> {
    for constant in constants {
        let impossible = |detail| PlanError::ConstantImpossible {
            table: table.clone(),
            column: constant.name.clone(),
            detail,
        };
        if let Some(reason) = target_name::column_trouble(&constant.name) {
            return Err(impossible(reason));
        }
        let folded = target_name::fold(&constant.name);
        if columns.iter().any(|column| target_name::fold(&column.name) == folded) {
            return Err(impossible("another column of the target has that name"));
        }
        let column = planned(constant).ok_or_else(|| impossible("its type has no constants"))?;
        columns.push(column);
    }
    Ok(())
}

/// The column of a constant.
fn planned(constant: &Constant) -> Option<ColumnPlan> {
    Some(ColumnPlan {
        source_index: NO_SOURCE,
        source_name: constant.name.clone(),
        name: constant.name.clone(),
        pg_type: constant.pg_type()?,
        mssql_type: constant.mssql_type,
        nullable: false,
        policy: ValuePolicy::Halt,
        as_text: false,
        array: None,
        mask: None,
        constant: Some(constant.value.clone()),
        most_large_bytes: None,
    })
}
