//! Questions to the target's catalog. Those about several tables are one statement each.

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

/// Columns of tables, in order; the first column says of which table.
pub fn columns(object_ids: &[i64]) -> String {
    format!(
        "SELECT c.[object_id], c.[name], t.[name], c.[max_length], c.[precision], c.[scale], c.[is_nullable], \
         c.[collation_name], c.[is_identity], c.[is_computed], c.[default_object_id] FROM [sys].[columns] AS c \
         JOIN [sys].[types] AS t ON t.[user_type_id] = c.[user_type_id] \
         WHERE c.[object_id] IN ({}) ORDER BY c.[object_id], c.[column_id]",
        list(object_ids)
    )
}

/// One row when the table holds any.
pub fn any_row(table: &QualifiedName) -> String {
    format!("SELECT TOP (1) 1 FROM {}", quote::qualified(table))
}

/// Tables, names of their enabled triggers, and whether they act instead of the statement.
pub fn triggers(object_ids: &[i64]) -> String {
    format!(
        "SELECT [parent_id], [name], [is_instead_of_trigger] FROM [sys].[triggers] \
         WHERE [parent_id] IN ({}) AND [is_disabled] = 0",
        list(object_ids)
    )
}

/// One row when the schema exists.
pub fn schema(name: &str) -> String {
    format!("SELECT [schema_id] FROM [sys].[schemas] WHERE [name] = {}", quote::text(name))
}

/// Tables, columns of their primary keys, in key order, and the key's name.
pub fn primary_keys(object_ids: &[i64]) -> String {
    format!(
        "SELECT i.[object_id], c.[name], i.[name] FROM [sys].[indexes] AS i \
         JOIN [sys].[index_columns] AS ic ON ic.[object_id] = i.[object_id] AND ic.[index_id] = i.[index_id] \
         JOIN [sys].[columns] AS c ON c.[object_id] = ic.[object_id] AND c.[column_id] = ic.[column_id] \
         WHERE i.[object_id] IN ({}) AND i.[is_primary_key] = 1 ORDER BY i.[object_id], ic.[key_ordinal]",
        list(object_ids)
    )
}

/// Tables, and names of foreign keys of other tables that refer to them: they forbid TRUNCATE.
pub fn referring_keys(object_ids: &[i64]) -> String {
    let ids = list(object_ids);
    format!(
        "SELECT [referenced_object_id], [name] FROM [sys].[foreign_keys] WHERE [referenced_object_id] IN ({ids})"
    )
}

/// Tables of a kind of their own, among these: in memory, and with a history or being one. (T-SQL manual, "sys.tables")
pub fn kinds(object_ids: &[i64]) -> String {
    format!(
        "SELECT [object_id], [is_memory_optimized], [temporal_type] FROM [sys].[tables] \
         WHERE [object_id] IN ({}) AND ([is_memory_optimized] = 1 OR [temporal_type] <> 0)",
        list(object_ids)
    )
}

/// Tables, and names of their unique indexes and constraints beside the primary key.
pub fn unique_indexes(object_ids: &[i64]) -> String {
    format!(
        "SELECT [object_id], [name] FROM [sys].[indexes] \
         WHERE [object_id] IN ({}) AND [is_unique] = 1 AND [is_primary_key] = 0 AND [is_disabled] = 0",
        list(object_ids)
    )
}

/// Tables, and names of their foreign keys that are enforced.
pub fn foreign_keys(object_ids: &[i64]) -> String {
    format!(
        "SELECT [parent_object_id], [name] FROM [sys].[foreign_keys] \
         WHERE [parent_object_id] IN ({}) AND [is_disabled] = 0",
        list(object_ids)
    )
}

fn list(object_ids: &[i64]) -> String {
    object_ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}
