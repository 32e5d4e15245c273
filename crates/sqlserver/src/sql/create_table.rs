//! Target schemas, tables and their keys.

use segcdc_model::MssqlType;
use segcdc_plan::TablePlan;

use crate::quote;

/// Collation of key columns: by UTF-16 code unit, so that case and accents tell keys apart as they do at the source.
pub const KEY_COLLATION: &str = "Latin1_General_100_BIN2";

/// A schema. Has to be a batch of its own.
pub fn create_schema(name: &str) -> String {
    format!("CREATE SCHEMA {}", quote::name(name))
}

/// The table without its key, which is built behind the load.
pub fn create_table(table: &TablePlan) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "NULL" } else { "NOT NULL" };
            format!(
                "    {} {}{} {null}",
                quote::name(&column.name),
                column.mssql_type,
                collate(column.mssql_type)
            )
        })
        .collect();
    format!("CREATE TABLE {} (\n{}\n)", quote::qualified(&table.target), columns.join(",\n"))
}

/// The COLLATE clause of a column, with a blank before it; empty where the database's collation will do.
pub fn collate(mssql_type: MssqlType) -> String {
    match mssql_type {
        MssqlType::NVarChar { binary_collation: true, .. } => format!(" COLLATE {KEY_COLLATION}"),
        _ => String::new(),
    }
}

/// The name of the key that we make: stable for a table, and within 128 characters because names of the source have
/// at most 63 bytes.
pub fn key_name(table: &TablePlan) -> String {
    format!("PK_{}_{}", table.target.schema, table.target.name).chars().take(128).collect()
}

/// The key; `None` for a table without one.
pub fn add_key(table: &TablePlan) -> Option<String> {
    let columns: Vec<String> = table
        .key_columns()
        .iter()
        .filter_map(|index| table.columns.get(*index))
        .map(|column| quote::name(&column.name))
        .collect();
    let clause = |columns: &[String]| {
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY CLUSTERED ({})",
            quote::qualified(&table.target),
            quote::name(&key_name(table)),
            columns.join(", ")
        )
    };
    (!columns.is_empty()).then(|| clause(&columns))
}

/// Removes the key that [`add_key`] made.
pub fn drop_key(table: &TablePlan) -> String {
    format!(
        "ALTER TABLE {} DROP CONSTRAINT {}",
        quote::qualified(&table.target),
        quote::name(&key_name(table))
    )
}

/// Empties the table.
pub fn truncate(table: &TablePlan) -> String {
    format!("TRUNCATE TABLE {}", quote::qualified(&table.target))
}

/// Removes the table: what `down` prints for a person to run.
pub fn drop_table(table: &segcdc_model::QualifiedName) -> String {
    format!("DROP TABLE {}", quote::qualified(table))
}
