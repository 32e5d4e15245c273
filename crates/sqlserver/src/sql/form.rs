//! Columns whose values travel in another form than they are kept in: `json` and `varchar(max)`, both as `nvarchar(max)`.
//!
//! The conversions of json are explicit, since the type has no implicit ones (T-SQL manual, "json data type", "Conversion").
//! No bulk load names such a column: servers refuse the type in its metadata, and those of SQL Server 2025 before CU5 lose
//! rows, and stumble over NULL, when a load declares the column as text. So rows are staged with the text, and the server
//! converts it from one table to the other.
//!
//! A `varchar(max)` in UTF-8 holds the same characters as an `nvarchar(max)`, so that the server's implicit conversion loses
//! nothing, in loads too.

use segcdc_model::{Length, MssqlType};
use segcdc_plan::TablePlan;

use crate::quote;
use crate::sql::{create_table, staging};

/// The type that a column of a staging table has.
pub fn staged_type(mssql_type: MssqlType) -> MssqlType {
    match mssql_type {
        MssqlType::Json | MssqlType::VarChar { length: Length::Max } => {
            MssqlType::NVarChar { length: Length::Max, binary_collation: true }
        }
        other => other,
    }
}

/// Staged `value` as the column keeps it.
pub fn stored(mssql_type: MssqlType, value: String) -> String {
    if mssql_type == MssqlType::Json { format!("CAST({value} AS json)") } else { value }
}

/// The column's `value` as it is staged and read.
pub fn printed(mssql_type: MssqlType, value: String) -> String {
    if staged_type(mssql_type) == mssql_type { value } else { format!("CAST({value} AS nvarchar(max))") }
}

/// The text of a column whose values travel as text, to compare what is kept with what is staged. A staged document makes
/// the way into the type first, so that both are spelled by the server.
pub fn compared(mssql_type: MssqlType, staged: bool, value: String) -> String {
    match (mssql_type, staged) {
        (MssqlType::Json, true) => printed(mssql_type, stored(mssql_type, value)),
        (_, true) => value,
        (_, false) => printed(mssql_type, value),
    }
}

/// Whether rows of the table take the way by a staging table in a load too.
pub fn has_documents(table: &TablePlan) -> bool {
    table.columns.iter().any(|column| column.mssql_type == MssqlType::Json)
}

/// Names of the columns of a load's staging table.
pub fn load_column(index: usize) -> String {
    format!("c{}", index + 1)
}

/// Creates the staging table of a load.
pub fn create_load(number: usize, table: &TablePlan) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let (name, staged) = (quote::name(&load_column(index)), staged_type(column.mssql_type));
            // A load says the collation of its varchar columns, which is that of the target.
            let collate = match staged {
                MssqlType::VarChar { .. } => create_table::collate(staged),
                _ => staging::collate(staged),
            };
            format!("{name} {staged}{collate} NULL")
        })
        .collect();
    format!("CREATE TABLE {} ({})", staging::name(number), columns.join(", "))
}

/// Moves the rows of a load from its staging table into the target table, and drops the staging table. Without TABLOCK: an
/// INSERT from a query takes the whole table for itself, and loads run side by side.
pub fn store_load(number: usize, table: &TablePlan) -> String {
    let staging = staging::name(number);
    let names: Vec<String> = table.columns.iter().map(|column| quote::name(&column.name)).collect();
    let values = table.columns.iter().enumerate();
    let values: Vec<String> = values
        .map(|(index, column)| stored(column.mssql_type, format!("s.{}", quote::name(&load_column(index)))))
        .collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM {staging} AS s;\nDROP TABLE {staging}",
        quote::qualified(&table.target),
        names.join(", "),
        values.join(", ")
    )
}
