//! Questions to the target's catalog.

use segcdc_model::QualifiedName;

use crate::quote;

/// Schema, object, kind: one row when the object exists.
pub fn object(table: &QualifiedName) -> String {
    format!(
        "SELECT o.[object_id], o.[type] FROM [sys].[objects] AS o \
         JOIN [sys].[schemas] AS s ON s.[schema_id] = o.[schema_id] \
         WHERE s.[name] = {} AND o.[name] = {}",
        quote::text(&table.schema),
        quote::text(&table.name)
    )
}

/// Columns of a table, in order.
pub fn columns(object_id: i64) -> String {
    format!(
        "SELECT c.[name], t.[name], c.[max_length], c.[precision], c.[scale], c.[is_nullable], c.[collation_name], \
         c.[is_identity], c.[is_computed] FROM [sys].[columns] AS c \
         JOIN [sys].[types] AS t ON t.[user_type_id] = c.[user_type_id] \
         WHERE c.[object_id] = {object_id} ORDER BY c.[column_id]"
    )
}

/// One row when the table holds any.
pub fn any_row(table: &QualifiedName) -> String {
    format!("SELECT TOP (1) 1 FROM {}", quote::qualified(table))
}

/// Names of the triggers on a table.
pub fn triggers(object_id: i64) -> String {
    format!("SELECT [name] FROM [sys].[triggers] WHERE [parent_id] = {object_id} AND [is_disabled] = 0")
}

/// One row when the schema exists.
pub fn schema(name: &str) -> String {
    format!("SELECT [schema_id] FROM [sys].[schemas] WHERE [name] = {}", quote::text(name))
}

/// One row when the table has a primary key or constraint of this name.
pub fn key_constraint(object_id: i64, name: &str) -> String {
    format!(
        "SELECT [name] FROM [sys].[key_constraints] WHERE [parent_object_id] = {object_id} AND [name] = {}",
        quote::text(name)
    )
}
