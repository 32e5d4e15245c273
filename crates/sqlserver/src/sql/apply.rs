//! From staging to the target table: fill, delete, update, mark, insert, in this order.
//!
//! Of a table in which deleted rows stay, all but the last see rows only that are not deleted ([`crate::sql::mark`]).
//!
//! SQL Server ignores trailing blanks of text (and trailing zero bytes of varbinary) in comparisons under every
//! collation, so each comparison of such a key also compares DATALENGTH.

use segcdc_model::{Length, MssqlType};
use segcdc_plan::{ColumnPlan, TablePlan};

use crate::quote;
use crate::sql::create_table::{KEY_COLLATION, UTF8_BINARY_COLLATION};
use crate::sql::staging::{
    self, OP_CLEAR, OP_DELETE, OP_DELETE_EQUAL, OP_FILL, OP_INSERT, OP_MARK, OP_UPDATE,
};
use crate::sql::{form, mark};

/// Takes the values of `columns` that the stream did not send from the old rows of the target.
pub fn fill(number: usize, table: &TablePlan, group: usize, columns: &[usize]) -> String {
    let set: Vec<String> = named(table, columns)
        .map(|(index, column)| {
            let old = form::printed(column.mssql_type, format!("t.{}", quote::name(&column.name)));
            format!("s.[c{}] = {old}", index + 1)
        })
        .collect();
    format!(
        "UPDATE s SET {} FROM {} AS s JOIN {} AS t ON {} WHERE s.[op] = {OP_FILL} AND s.[grp] = {group}",
        set.join(", "),
        staging::name(number),
        quote::qualified(&table.target),
        key_match(table)
    )
}

/// Removes rows by key.
pub fn delete(number: usize, table: &TablePlan) -> String {
    format!(
        "DELETE t FROM {} AS t JOIN {} AS s ON {} WHERE s.[op] = {OP_DELETE}",
        quote::qualified(&table.target),
        staging::name(number),
        key_match(table)
    )
}

/// Removes `rows` rows that equal the staged row in every column, of a table without a key.
pub fn delete_equal(number: usize, table: &TablePlan, group: usize, rows: usize) -> String {
    let matches: Vec<String> =
        table.columns.iter().enumerate().map(|(index, column)| same_value(index, column)).collect();
    format!(
        "DELETE TOP ({rows}) t FROM {} AS t JOIN {} AS s ON {} WHERE s.[op] = {OP_DELETE_EQUAL} AND s.[grp] = {group}",
        quote::qualified(&table.target),
        staging::name(number),
        matches.join(" AND ")
    )
}

/// Removes rows that equal a staged row in every column, as many of each as its `[grp]` says, of a table without a key.
///
/// The rows of the table that equal any staged one are numbered among those of their content; then each is one of so
/// many. A query with ROW_NUMBER over one table is updatable (T-SQL manual, "CREATE VIEW", "Updatable Views"; "DELETE").
/// INTERSECT compares lists of values and takes two NULLs as equal, in a form that a hash join can be made of.
pub fn delete_numbered(number: usize, table: &TablePlan) -> String {
    let staging = staging::name(number);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (index, column) in table.columns.iter().enumerate() {
        left.extend(content("t", &quote::name(&column.name), column.mssql_type));
        right.extend(content("s", &format!("[c{}]", index + 1), column.mssql_type));
    }
    let named: Vec<String> =
        left.iter().enumerate().map(|(index, value)| format!("{value} AS [v{}]", index + 1)).collect();
    let outer: Vec<String> = (1..=left.len()).map(|index| format!("d.[v{index}]")).collect();
    let (left, right) = (left.join(", "), right.join(", "));
    format!(
        "DELETE d FROM (SELECT {}, ROW_NUMBER() OVER (PARTITION BY {left} ORDER BY (SELECT NULL)) AS [n] FROM {} AS t \
         WHERE EXISTS (SELECT 1 FROM {staging} AS s WHERE s.[op] = {OP_DELETE_EQUAL} \
         AND EXISTS (SELECT {left} INTERSECT SELECT {right}))) AS d \
         JOIN {staging} AS s ON EXISTS (SELECT {} INTERSECT SELECT {right}) \
         WHERE s.[op] = {OP_DELETE_EQUAL} AND d.[n] <= s.[grp]",
        named.join(", "),
        quote::qualified(&table.target),
        outer.join(", ")
    )
}

/// Shows whether the server deletes through a query that numbers rows: one row of two is left if it does. Babelfish
/// says that it did, and deletes nothing.
pub const NUMBERED_PROBE: &str = "CREATE TABLE [#numbered] ([a] int NULL); INSERT INTO [#numbered] VALUES (1), (1); \
     DELETE d FROM (SELECT t.[a] AS [v1], ROW_NUMBER() OVER (PARTITION BY t.[a] ORDER BY (SELECT NULL)) AS [n] \
     FROM [#numbered] AS t) AS d WHERE d.[n] <= 1; \
     SELECT COUNT(*) FROM [#numbered]; DROP TABLE [#numbered]";

/// What the content of a column is known by: values that differ differ in one of them.
fn content(table: &str, name: &str, mssql_type: MssqlType) -> Vec<String> {
    let column = format!("{table}.{name}");
    match mssql_type {
        MssqlType::NVarChar { .. } => {
            vec![format!("{column} COLLATE {KEY_COLLATION}"), format!("DATALENGTH({column})")]
        }
        MssqlType::VarChar { length: Length::Limited(_) } => {
            vec![format!("{column} COLLATE {UTF8_BINARY_COLLATION}"), format!("DATALENGTH({column})")]
        }
        MssqlType::VarBinary { .. } => vec![column.clone(), format!("DATALENGTH({column})")],
        MssqlType::Json | MssqlType::VarChar { length: Length::Max } => {
            let text = form::compared(mssql_type, table == "s", column);
            vec![format!("{text} COLLATE {KEY_COLLATION}"), format!("DATALENGTH({text})")]
        }
        MssqlType::Float | MssqlType::Real => vec![float_bits(mssql_type, &column)],
        _ => vec![column],
    }
}

/// A floating-point number by its bits: 0 and -0 are equal as numbers.
pub(crate) fn float_bits(mssql_type: MssqlType, value: &str) -> String {
    let bytes = if mssql_type == MssqlType::Real { 4 } else { 8 };
    format!("CONVERT(binary({bytes}), {value})")
}

/// Changes rows in place.
pub fn update(number: usize, table: &TablePlan, group: usize, columns: &[usize]) -> String {
    let set: Vec<String> = assignments(table, columns).collect();
    set_staged(number, table, (OP_UPDATE, group), &set)
}

/// Marks rows as deleted, which may change before that.
pub fn mark(number: usize, table: &TablePlan, group: usize, columns: &[usize]) -> String {
    let marked = table.marker().map(|marker| format!("t.{} = s.[at]", quote::name(marker)));
    let set: Vec<String> = assignments(table, columns).chain(marked).collect();
    set_staged(number, table, (OP_MARK, group), &set)
}

/// The staged values of these columns.
fn assignments<'a>(table: &'a TablePlan, columns: &'a [usize]) -> impl Iterator<Item = String> + 'a {
    named(table, columns).map(|(index, column)| {
        let value = form::stored(column.mssql_type, format!("s.[c{}]", index + 1));
        format!("t.{} = {value}", quote::name(&column.name))
    })
}

/// Sets columns of the rows whose keys are staged for an operation and group.
fn set_staged(number: usize, table: &TablePlan, (op, group): (u8, usize), set: &[String]) -> String {
    format!(
        "UPDATE t SET {} FROM {} AS t JOIN {} AS s ON {} WHERE s.[op] = {op} AND s.[grp] = {group}",
        set.join(", "),
        quote::qualified(&table.target),
        staging::name(number),
        key_match(table)
    )
}

/// Removes deleted rows by key. `None` for a table that has no such rows.
pub fn clear(number: usize, table: &TablePlan) -> Option<String> {
    let marker = quote::name(table.marker()?);
    Some(format!(
        "DELETE t FROM {} AS t JOIN {} AS s ON {} WHERE s.[op] = {OP_CLEAR} AND t.{marker} IS NOT NULL",
        quote::qualified(&table.target),
        staging::name(number),
        staged_key(table)
    ))
}

/// Removes deleted rows whose keys are those of rows to add. `None` for a table that has no such rows.
pub fn make_room(number: usize, table: &TablePlan) -> Option<String> {
    let marker = quote::name(table.marker()?);
    let keys = named(table, table.key_columns())
        .map(|(index, column)| same_key(column, &format!("s.[c{}]", index + 1)))
        .collect::<Vec<_>>();
    Some(format!(
        "DELETE t FROM {} AS t JOIN {} AS s ON {} WHERE s.[op] IN ({OP_INSERT}, {OP_FILL}) AND t.{marker} IS NOT NULL",
        quote::qualified(&table.target),
        staging::name(number),
        keys.join(" AND ")
    ))
}

/// Adds rows.
pub fn insert(number: usize, table: &TablePlan) -> String {
    let marker = table.marker();
    let names = table.columns.iter().map(|column| column.name.as_str()).chain(marker);
    let names: Vec<String> = names.map(quote::name).collect();
    let values = table.columns.iter().enumerate();
    let values: Vec<String> = values
        .map(|(index, column)| form::stored(column.mssql_type, format!("s.[c{}]", index + 1)))
        .chain(marker.map(|_| "s.[at]".to_owned()))
        .collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM {} AS s WHERE s.[op] IN ({OP_INSERT}, {OP_FILL})",
        quote::qualified(&table.target),
        names.join(", "),
        values.join(", "),
        staging::name(number)
    )
}

fn named<'a>(table: &'a TablePlan, columns: &'a [usize]) -> impl Iterator<Item = (usize, &'a ColumnPlan)> {
    columns.iter().filter_map(|index| Some((*index, table.columns.get(*index)?)))
}

/// The row with the staged key, unless it is deleted.
fn key_match(table: &TablePlan) -> String {
    staged_key(table) + &mark::and_live(table, "t.")
}

/// The row with the staged key.
fn staged_key(table: &TablePlan) -> String {
    let keys = named(table, table.key_columns()).enumerate();
    let keys = keys.map(|(position, (_, column))| same_key(column, &format!("s.[k{}]", position + 1)));
    keys.collect::<Vec<_>>().join(" AND ")
}

fn same_key(column: &ColumnPlan, staged: &str) -> String {
    let name = format!("t.{}", quote::name(&column.name));
    if compares_padded(column.mssql_type) {
        format!("{name} = {staged} AND DATALENGTH({name}) = DATALENGTH({staged})")
    } else {
        format!("{name} = {staged}")
    }
}

fn same_value(index: usize, column: &ColumnPlan) -> String {
    let (left, right) = (format!("t.{}", quote::name(&column.name)), format!("s.[c{}]", index + 1));
    let equal = match column.mssql_type {
        MssqlType::NVarChar { .. } => {
            format!("{left} COLLATE {KEY_COLLATION} = {right} AND DATALENGTH({left}) = DATALENGTH({right})")
        }
        MssqlType::VarChar { length: Length::Limited(_) } => format!(
            "{left} COLLATE {UTF8_BINARY_COLLATION} = {right} AND DATALENGTH({left}) = DATALENGTH({right})"
        ),
        MssqlType::VarBinary { .. } => {
            format!("{left} = {right} AND DATALENGTH({left}) = DATALENGTH({right})")
        }
        MssqlType::Json | MssqlType::VarChar { length: Length::Max } => {
            let compared = |staged, value: &str| form::compared(column.mssql_type, staged, value.to_owned());
            let (found, staged) = (compared(false, &left), compared(true, &right));
            format!(
                "{found} COLLATE {KEY_COLLATION} = {staged} AND DATALENGTH({found}) = DATALENGTH({staged})"
            )
        }
        MssqlType::Float | MssqlType::Real => {
            format!("{} = {}", float_bits(column.mssql_type, &left), float_bits(column.mssql_type, &right))
        }
        _ => format!("{left} = {right}"),
    };
    format!("({equal} OR ({left} IS NULL AND {right} IS NULL))")
}

/// Whether comparisons ignore what values of the type end with.
pub(crate) fn compares_padded(mssql_type: MssqlType) -> bool {
    matches!(mssql_type, MssqlType::NVarChar { .. } | MssqlType::VarBinary { .. })
}
