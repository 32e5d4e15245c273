//! Session-local staging tables: `#s<n>`, one for each target table that a session has touched.
//!
//! ```text
//! [op] tinyint   1 delete by key   2 update   3 insert   4 insert with values taken from the old row   5 delete one
//! [grp] int      op 2 and 4: which columns are set / taken; op 5: which row
//! [k1]..[kn]     key of the row to delete, update or take from
//! [c1]..[cm]     values of the row afterwards; for op 5 of the row to delete
//! ```
//!
//! Names are generated, so that nothing of the source can clash with them; text columns carry an explicit collation,
//! because a temporary table would otherwise take tempdb's and every comparison would fail with error 468.

use segcdc_model::MssqlType;
use segcdc_plan::TablePlan;

use crate::sql::create_table::KEY_COLLATION;

/// Delete the row with the staged key.
pub const OP_DELETE: u8 = 1;
/// Update the row with the staged key.
pub const OP_UPDATE: u8 = 2;
/// Insert the staged values.
pub const OP_INSERT: u8 = 3;
/// Insert the staged values, the missing ones taken from the row with the staged key.
pub const OP_FILL: u8 = 4;
/// Delete one row that equals the staged values in every column.
pub const OP_DELETE_ONE: u8 = 5;

/// Name of the n-th staging table of a session.
pub fn name(number: usize) -> String {
    format!("[#s{number}]")
}

/// Creates a staging table.
pub fn create(number: usize, table: &TablePlan) -> String {
    let mut columns = vec!["[op] tinyint NOT NULL".to_owned(), "[grp] int NOT NULL".to_owned()];
    let keys = table.key_columns().iter().filter_map(|index| table.columns.get(*index));
    for (index, column) in keys.enumerate() {
        columns.push(format!("[k{}] {}{} NULL", index + 1, column.mssql_type, collate(column.mssql_type)));
    }
    for (index, column) in table.columns.iter().enumerate() {
        columns.push(format!("[c{}] {}{} NULL", index + 1, column.mssql_type, collate(column.mssql_type)));
    }
    format!("CREATE TABLE {} ({})", name(number), columns.join(", "))
}

/// Empties a staging table.
pub fn truncate(number: usize) -> String {
    format!("TRUNCATE TABLE {}", name(number))
}

/// `INSERT` of `rows` rows of `columns` parameters each: the way without bulk load.
pub fn insert_values(number: usize, names: &[String], rows: usize) -> String {
    let mut parameter = 0;
    let mut row = || {
        let values: Vec<String> = names
            .iter()
            .map(|_| {
                parameter += 1;
                format!("@P{parameter}")
            })
            .collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(|_| row()).collect();
    let names: Vec<String> = names.iter().map(|name| crate::quote::name(name)).collect();
    format!("INSERT INTO {} ({}) VALUES {}", name(number), names.join(", "), rows.join(", "))
}

fn collate(mssql_type: MssqlType) -> String {
    match mssql_type {
        MssqlType::NVarChar { .. } => format!(" COLLATE {KEY_COLLATION}"),
        _ => String::new(),
    }
}
