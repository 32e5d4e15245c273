//! Session-local staging tables: `#s<n>`, one for each target table that a session has touched.
//!
//! ```text
//! [op] tinyint   1 delete by key   2 update   3 insert   4 insert with values taken from the old row   5 delete equal   6 mark
//!                7 delete a marked row by key
//! [grp] int      op 2, 4 and 6: which columns are set / taken; op 5: which content, or how many rows of it
//! [at] datetime2 when the row was deleted, where deleted rows stay; NULL of one that was not
//! [k1]..[kn]     key of the row to delete, update or take from
//! [c1]..[cm]     values of the row afterwards; for op 5 of the rows to delete
//! ```
//!
//! Names are generated, so that nothing of the source can clash with them; text columns carry an explicit collation,
//! because a temporary table would otherwise take tempdb's and every comparison would fail with error 468. JSON is staged as
//! its text.

use segcdc_model::MssqlType;
use segcdc_plan::TablePlan;
use segcdc_plan::rules::DELETED_AT_TYPE;

use crate::sql::create_table::{KEY_COLLATION, UTF8_BINARY_COLLATION};
use crate::sql::form;

/// Delete the row with the staged key.
pub const OP_DELETE: u8 = 1;
/// Update the row with the staged key.
pub const OP_UPDATE: u8 = 2;
/// Insert the staged values.
pub const OP_INSERT: u8 = 3;
/// Insert the staged values, the missing ones taken from the row with the staged key.
pub const OP_FILL: u8 = 4;
/// Delete rows that equal the staged values in every column.
pub const OP_DELETE_EQUAL: u8 = 5;

/// Mark the row with the staged key as deleted.
pub const OP_MARK: u8 = 6;

/// Delete a row that is marked as deleted and has the staged key.
pub const OP_CLEAR: u8 = 7;

/// Name of the n-th staging table of a session.
pub fn name(number: usize) -> String {
    format!("[#s{number}]")
}

/// Creates a staging table.
pub fn create(number: usize, table: &TablePlan) -> String {
    let mut columns = vec!["[op] tinyint NOT NULL".to_owned(), "[grp] int NOT NULL".to_owned()];
    columns.extend(table.marker().map(|_| format!("[at] {DELETED_AT_TYPE} NULL")));
    let keys = table.key_columns().iter().filter_map(|index| table.columns.get(*index));
    for (index, column) in keys.enumerate() {
        columns.push(format!("[k{}] {}{} NULL", index + 1, column.mssql_type, collate(column.mssql_type)));
    }
    for (index, column) in table.columns.iter().enumerate() {
        let staged = form::staged_type(column.mssql_type);
        columns.push(format!("[c{}] {staged}{} NULL", index + 1, collate(staged)));
    }
    format!("CREATE TABLE {} ({})", name(number), columns.join(", "))
}

/// Empties a staging table.
pub fn truncate(number: usize) -> String {
    format!("TRUNCATE TABLE {}", name(number))
}

/// `INSERT` of `rows` rows of one parameter for each of `names`: the way without bulk load. `table` is quoted already.
pub fn insert_values(table: &str, names: &[String], rows: usize) -> String {
    let names: Vec<String> = names.iter().map(|name| crate::quote::name(name)).collect();
    let mut sql = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
    let mut parameter = 0;
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..names.len() {
            parameter += 1;
            sql.push_str(if column == 0 { "@P" } else { ", @P" });
            sql.push_str(&parameter.to_string());
        }
        sql.push(')');
    }
    sql
}

/// Removes a staging table whose target has got another shape.
pub fn drop(number: usize) -> String {
    format!("DROP TABLE {}", name(number))
}

/// The COLLATE clause of a staged column, with a blank before it.
pub(super) fn collate(mssql_type: MssqlType) -> String {
    match mssql_type {
        MssqlType::NVarChar { .. } => format!(" COLLATE {KEY_COLLATION}"),
        MssqlType::VarChar { .. } => format!(" COLLATE {UTF8_BINARY_COLLATION}"),
        _ => String::new(),
    }
}
