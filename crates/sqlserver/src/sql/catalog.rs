//! Questions to the target's catalog.

use segcdc_model::QualifiedName;

use crate::quote;

/// Object, kind, and both names as they are spelled there: one row when the object exists.
pub fn object(table: &QualifiedName) -> String {
    format!(
        "SELECT o.[object_id], o.[type], s.[name], o.[name] FROM [sys].[objects] AS o \
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
         c.[is_identity], c.[is_computed], c.[default_object_id] FROM [sys].[columns] AS c \
         JOIN [sys].[types] AS t ON t.[user_type_id] = c.[user_type_id] \
         WHERE c.[object_id] = {object_id} ORDER BY c.[column_id]"
    )
}

/// One row when the table holds any.
pub fn any_row(table: &QualifiedName) -> String {
    format!("SELECT TOP (1) 1 FROM {}", quote::qualified(table))
}

/// Names of the enabled triggers on a table, and whether they act instead of the statement.
pub fn triggers(object_id: i64) -> String {
    format!(
        "SELECT [name], [is_instead_of_trigger] FROM [sys].[triggers] WHERE [parent_id] = {object_id} AND [is_disabled] = 0"
    )
}

/// One row when the schema exists.
pub fn schema(name: &str) -> String {
    format!("SELECT [schema_id] FROM [sys].[schemas] WHERE [name] = {}", quote::text(name))
}

/// Columns of the primary key, in key order, and the key's name.
pub fn primary_key(object_id: i64) -> String {
    format!(
        "SELECT c.[name], i.[name] FROM [sys].[indexes] AS i \
         JOIN [sys].[index_columns] AS ic ON ic.[object_id] = i.[object_id] AND ic.[index_id] = i.[index_id] \
         JOIN [sys].[columns] AS c ON c.[object_id] = ic.[object_id] AND c.[column_id] = ic.[column_id] \
         WHERE i.[object_id] = {object_id} AND i.[is_primary_key] = 1 ORDER BY ic.[key_ordinal]"
    )
}

/// Names of foreign keys of other tables that refer to a table: they forbid TRUNCATE.
pub fn referring_keys(object_id: i64) -> String {
    format!("SELECT [name] FROM [sys].[foreign_keys] WHERE [referenced_object_id] = {object_id}")
}

/// Names of foreign keys of a table that are enforced.
pub fn foreign_keys(object_id: i64) -> String {
    format!(
        "SELECT [name] FROM [sys].[foreign_keys] WHERE [parent_object_id] = {object_id} AND [is_disabled] = 0"
    )
}
