//! The shadow of a target table: a copy of its source table, made beside it, that takes its rows' place or its own.

use segcdc_model::QualifiedName;
use segcdc_plan::{ColumnPlan, TablePlan};

use crate::quote;
use crate::sql::create_table;

/// The shadow's name: one of no table that a source could have given.
pub fn name(table: &TablePlan) -> QualifiedName {
    name_of(&table.target, table.source.oid)
}

/// The same of a target table and its source table's OID.
pub fn name_of(target: &QualifiedName, source_oid: u32) -> QualifiedName {
    QualifiedName::new(target.schema.clone(), format!("segcdc copy {source_oid}"))
}

/// Gives a table the rows of its shadow: those that are not there go, or are marked as deleted where such rows stay, those that are there become what they are there,
/// those that are missing come. Without a key all rows go and come. In this order, so that no key is there twice.
pub fn merge(table: &TablePlan) -> Vec<String> {
    let (target, shadow) = (quote::qualified(&table.target), quote::qualified(&name(table)));
    let names: Vec<String> = table.columns.iter().map(|column| quote::name(&column.name)).collect();
    let key = key_match(table);
    let insert = |only: String| {
        let values: Vec<String> = names.iter().map(|name| format!("s.{name}")).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        format!("INSERT INTO {target} ({names}) SELECT {values} FROM {shadow} AS s{only}")
    };
    let Some(key) = key else {
        return vec![format!("DELETE FROM {target}"), insert(String::new())];
    };
    let missing = format!("NOT EXISTS (SELECT 1 FROM {shadow} AS s WHERE {key})");
    let marker = table.marker().map(quote::name);
    // When they were deleted at the source is not known any more.
    let mut statements = vec![match &marker {
        None => format!("DELETE t FROM {target} AS t WHERE {missing}"),
        Some(marker) => format!(
            "UPDATE t SET t.{marker} = SYSUTCDATETIME() FROM {target} AS t WHERE t.{marker} IS NULL AND {missing}"
        ),
    }];
    let is_key = |index: &usize| table.key_columns().contains(index);
    let others = names.iter().enumerate().filter(|(index, _)| !is_key(index));
    let set = others.map(|(_, name)| format!("t.{name} = s.{name}"));
    let set: Vec<String> = set.chain(marker.map(|marker| format!("t.{marker} = NULL"))).collect();
    if !set.is_empty() {
        let set = set.join(", ");
        statements.push(format!("UPDATE t SET {set} FROM {target} AS t JOIN {shadow} AS s ON {key}"));
    }
    statements.push(insert(format!(" WHERE NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {key})")));
    statements
}

/// Puts the shadow in the place of a table that is named `replaced`.
pub fn swap(table: &TablePlan, replaced: &QualifiedName) -> Vec<String> {
    let mut statements = vec![create_table::drop_table_if_exists(replaced)];
    statements.extend(create_table::rename_table(&name(table), &table.target));
    statements
}

/// What a table would lose if another one took its place, for people; its key, which the other has too, left out.
pub fn losses(object_id: i64) -> String {
    let parts = [
        "SELECT N'foreign key ' + [name]{c} FROM [sys].[foreign_keys] WHERE {id} IN ([parent_object_id], [referenced_object_id])",
        "SELECT N'trigger ' + [name]{c} FROM [sys].[triggers] WHERE [parent_id] = {id}",
        "SELECT N'index ' + [name]{c} FROM [sys].[indexes] WHERE [object_id] = {id} AND [is_primary_key] = 0 AND [index_id] > 0",
        "SELECT N'check constraint ' + [name]{c} FROM [sys].[check_constraints] WHERE [parent_object_id] = {id}",
        "SELECT N'default ' + [name]{c} FROM [sys].[default_constraints] WHERE [parent_object_id] = {id}",
        "SELECT N'permission ' + [permission_name]{c} FROM [sys].[database_permissions] WHERE [class] = 1 AND [major_id] = {id}",
        "SELECT N'extended property ' + [name]{c} FROM [sys].[extended_properties] WHERE [class] = 1 AND [major_id] = {id}",
    ];
    // Not all of these names have one collation (T-SQL manual, "sys.database_permissions").
    let collate = format!(" COLLATE {}", create_table::KEY_COLLATION);
    parts.join(" UNION ALL ").replace("{id}", &object_id.to_string()).replace("{c}", &collate)
}

/// The same key. Texts and bytes are compared by their lengths too, since comparisons ignore what they end with.
fn key_match(table: &TablePlan) -> Option<String> {
    let keys = table.key_columns().iter().filter_map(|index| table.columns.get(*index));
    let same = |column: &ColumnPlan| {
        let (left, right) =
            (format!("t.{}", quote::name(&column.name)), format!("s.{}", quote::name(&column.name)));
        if super::apply::compares_padded(column.mssql_type) {
            format!("{left} = {right} AND DATALENGTH({left}) = DATALENGTH({right})")
        } else {
            format!("{left} = {right}")
        }
    };
    let keys: Vec<String> = keys.map(same).collect();
    (!keys.is_empty()).then(|| keys.join(" AND "))
}
