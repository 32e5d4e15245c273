//! The fingerprint of a table's plan: what its target table was made for; and the row that stores it.
//!
//! ```text
//! 16 hexadecimal digits   names, types and nullability of the columns, in order, with masks and constants; how rows are kept
//! 16 hexadecimal digits   what identifies a row
//! ```

use std::fmt::Write;

use segcdc_model::{Lsn, TablePhase};
use segcdc_plan::{TableKey, TablePlan, TargetMode};
use segcdc_sqlserver::TableState;
use xxhash_rust::xxh3::xxh3_64;

/// How a table differs from what its target table was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShapeDifference {
    /// Columns were added, dropped, renamed or got another type.
    Columns,
    /// The same columns, but rows are identified by others of them.
    Key,
}

/// The fingerprint of a plan. Stored; changing it makes every stored one differ.
pub(crate) fn of(plan: &TablePlan) -> String {
    let mut columns = String::new();
    for column in &plan.columns {
        // Lengths before names: no two lists of columns have one text.
        let (name, nullable) = (&column.name, column.nullable);
        let collated = segcdc_sqlserver::sql::create_table::collate(column.mssql_type);
        // Writing into a String cannot fail.
        write!(columns, "{}:{name}|{}{collated}|{nullable};", name.len(), column.mssql_type).ok();
        // What rows have in it, where that is not what the source has.
        if let Some(mask) = &column.mask {
            write!(columns, "mask {};", mask.mask).ok();
        }
        if let Some(constant) = &column.constant {
            write!(columns, "constant {}:{constant};", constant.len()).ok();
        }
    }
    if plan.mode != TargetMode::Mirror {
        write!(columns, "mode {};", plan.mode).ok();
    }
    let key = match &plan.key {
        TableKey::Columns(indices) => format!("columns {indices:?}"),
        TableKey::WholeRow => "whole row".to_owned(),
        // What becomes of other changes is nothing that the target table is made for.
        TableKey::AppendOnly(_) => "rows are added".to_owned(),
        TableKey::Unidentified => "append only".to_owned(),
    };
    format!("{:016x}{:016x}", xxh3_64(columns.as_bytes()), xxh3_64(key.as_bytes()))
}

/// The row of a table that is to be copied by `plan`. `table_is_ours`: the target table was made by the pipeline.
pub fn queued(plan: &TablePlan, table_is_ours: bool) -> TableState {
    TableState {
        source_oid: plan.source.oid,
        source: plan.source.name.clone(),
        target: plan.target.clone(),
        shape: of(plan),
        phase: TablePhase::Queued,
        sync_lsn: Lsn::ZERO,
        rows_copied: 0,
        bytes_copied: 0,
        estimated_rows: plan.source.estimated_rows,
        table_is_ours,
        error: None,
    }
}

/// How `plan` differs from the plan that had the fingerprint `stored`.
pub(crate) fn difference(stored: &str, plan: &TablePlan) -> Option<ShapeDifference> {
    let now = of(plan);
    if stored == now {
        None
    } else if stored.get(..16) == now.get(..16) {
        Some(ShapeDifference::Key)
    } else {
        Some(ShapeDifference::Columns)
    }
}
