//! Target schemas, tables and their keys.

use segcdc_model::{MssqlType, QualifiedName};
use segcdc_plan::{ColumnPlan, TablePlan};

use crate::quote;
use crate::sql::mark;

/// Collation of key columns: by UTF-16 code unit, so that case and accents tell keys apart as they do at the source.
pub const KEY_COLLATION: &str = "Latin1_General_100_BIN2";

/// Collation of varchar columns: SQL Server has UTF-8 since 2019 (T-SQL manual, "Collation and Unicode support").
pub const UTF8_COLLATION: &str = "Latin1_General_100_CI_AS_SC_UTF8";

/// As [`KEY_COLLATION`], for varchar in UTF-8: the other one would take it for code page 1252.
pub const UTF8_BINARY_COLLATION: &str = "Latin1_General_100_BIN2_UTF8";

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
        .chain(mark::definition(table).map(|marker| format!("    {marker}")))
        .collect();
    format!("CREATE TABLE {} (\n{}\n)", quote::qualified(&table.target), columns.join(",\n"))
}

/// The COLLATE clause of a column, with a blank before it; empty where the database's collation will do.
pub fn collate(mssql_type: MssqlType) -> String {
    match mssql_type {
        MssqlType::NVarChar { binary_collation: true, .. } => format!(" COLLATE {KEY_COLLATION}"),
        MssqlType::VarChar { .. } => format!(" COLLATE {UTF8_COLLATION}"),
        _ => String::new(),
    }
}

/// The name of the key that we make, stable for a table. Names of constraints are unique in a schema, so that the
/// schema's name can be left out where both would be too long; names of the source have at most 63 bytes.
pub fn key_name(table: &TablePlan) -> String {
    key_name_of(&table.target)
}

/// The same of a target table's name.
fn key_name_of(target: &QualifiedName) -> String {
    let name = format!("PK_{}_{}", target.schema, target.name);
    if quote::is_possible_name(&name) { name } else { format!("PK_{}", target.name) }
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

/// Adds a column that is missing: NULL is allowed, since the rows that are there have no value.
pub fn add_column(table: &QualifiedName, column: &ColumnPlan) -> String {
    format!(
        "ALTER TABLE {} ADD {} {}{} NULL",
        quote::qualified(table),
        quote::name(&column.name),
        column.mssql_type,
        collate(column.mssql_type)
    )
}

/// Gives a column a type, collation and nullability.
pub fn alter_column(table: &QualifiedName, name: &str, mssql_type: MssqlType, nullable: bool) -> String {
    format!(
        "ALTER TABLE {} ALTER COLUMN {} {mssql_type}{} {}",
        quote::qualified(table),
        quote::name(name),
        collate(mssql_type),
        if nullable { "NULL" } else { "NOT NULL" }
    )
}

/// Drops a column.
pub fn drop_column(table: &QualifiedName, name: &str) -> String {
    format!("ALTER TABLE {} DROP COLUMN {}", quote::qualified(table), quote::name(name))
}

/// Gives a column another name. (T-SQL manual, "sp_rename": the old name is read as an identifier, the new one as it is.)
pub fn rename_column(table: &QualifiedName, from: &str, to: &str) -> String {
    let old = format!("{}.{}", quote::qualified(table), quote::name(from));
    format!("EXEC sp_rename {}, {}, N'COLUMN'", quote::text(&old), quote::text(to))
}

/// Moves a table to another schema, which is made if it is missing, and gives it another name; the key that [`add_key`] made
/// gets the name that goes with it.
pub fn rename_table(from: &QualifiedName, to: &QualifiedName) -> Vec<String> {
    let mut statements = Vec::new();
    let schema = quote::name(&to.schema);
    if from.schema != to.schema {
        let create = quote::text(&create_schema(&to.schema));
        statements.push(format!("IF SCHEMA_ID({}) IS NULL EXEC({create})", quote::text(&to.schema)));
        statements.push(format!("ALTER SCHEMA {schema} TRANSFER {}", quote::qualified(from)));
    }
    let rename = |old: &str, new: &str| {
        let old = quote::qualified(&QualifiedName::new(to.schema.clone(), old));
        (quote::text(&old), format!("EXEC sp_rename {}, {}, N'OBJECT'", quote::text(&old), quote::text(new)))
    };
    if from.name != to.name {
        statements.push(rename(&from.name, &to.name).1);
    }
    let (old, new) = (key_name_of(from), key_name_of(to));
    let (key, rename) = rename(&old, &new);
    if old != new {
        statements.push(format!("IF OBJECT_ID({key}) IS NOT NULL {rename}"));
    }
    statements
}

/// Lets a trigger rest: printed for a person, never run.
pub fn disable_trigger(table: &QualifiedName, trigger: &str) -> String {
    format!("DISABLE TRIGGER {} ON {}", quote::name(trigger), quote::qualified(table))
}

/// Lets a constraint rest: printed for a person, never run.
pub fn disable_constraint(table: &QualifiedName, constraint: &str) -> String {
    format!("ALTER TABLE {} NOCHECK CONSTRAINT {}", quote::qualified(table), quote::name(constraint))
}

/// Has the server keep no history of a table any more: printed for a person, never run.
pub fn versioning_off(table: &QualifiedName) -> String {
    format!("ALTER TABLE {} SET (SYSTEM_VERSIONING = OFF)", quote::qualified(table))
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

/// Empties the table by a statement that foreign keys do not stand in the way of.
pub fn empty(table: &QualifiedName) -> String {
    format!("DELETE FROM {}", quote::qualified(table))
}

/// Removes the table: what `down` prints for a person to run.
pub fn drop_table(table: &QualifiedName) -> String {
    format!("DROP TABLE {}", quote::qualified(table))
}

/// Drops a table, if it is there.
pub fn drop_table_if_exists(table: &QualifiedName) -> String {
    format!("DROP TABLE IF EXISTS {}", quote::qualified(table))
}
