//! Keys and indexes.
//!
//! Every key is a unique index of PostgreSQL's over the comparable form of its columns, so that it pads and collates as
//! SQL Server does, and so that NULL is a value like any other. Keys that may be wider than an index entry get a CHECK
//! named `w..`, whose violation is error 1946.

use std::sync::Arc;

use super::Session;
use crate::answer::SqlError;
use crate::sql::physical::{self, Family};
use crate::sql::table::{Column, Index, Table};

/// Marks an error of an index that belongs to a constraint: 1750 follows it.
pub(super) const CONSTRAINT: &str = "\u{1}constraint";

/// Most columns of a key (T-SQL manual, "Maximum capacity specifications").
const MAX_KEY_COLUMNS: usize = 32;
/// Bytes of a key of the clustered index, and of another one.
const KEY_BYTES: [u32; 2] = [900, 1700];

/// An index to be made.
#[derive(Debug, Clone)]
pub(super) struct NewIndex {
    pub(super) name: String,
    pub(super) unique: bool,
    pub(super) primary: bool,
    pub(super) constraint: bool,
    pub(super) clustered: bool,
    /// Name and DESC.
    pub(super) columns: Vec<(String, bool)>,
    pub(super) included: Vec<String>,
    /// PostgreSQL's condition and its T-SQL text.
    pub(super) filter: Option<String>,
}

// === impl Session ===

impl Session {
    /// Makes an index; the caller has begun what undoes it. Returns the table with it.
    pub(super) async fn make_index(&mut self, table: &Table, new: &NewIndex) -> Result<Table, SqlError> {
        let columns = key_columns(table, new)?;
        if table.indexes.iter().any(|index| crate::sql::table::same_name(&index.name, &new.name)) {
            let message = format!(
                "The operation failed because an index or statistics with name '{}' already exists on table '{}'.",
                new.name,
                table.shown()
            );
            return Err(SqlError::new(1913, 16, message));
        }
        let has_clustered = table.indexes.iter().any(|index| index.index_id == 1);
        if new.clustered && has_clustered {
            let other = table.indexes.iter().find(|index| index.index_id == 1);
            let message = format!(
                "Cannot create more than one clustered index on table '{}'. Drop the existing clustered index '{}' before \
                 creating another.",
                table.shown(),
                other.map_or("", |index| index.name.as_str())
            );
            return Err(SqlError::new(1902, 16, message).with_state(3));
        }
        let index_id = if new.clustered {
            1
        } else {
            table.indexes.iter().map(|index| index.index_id).max().unwrap_or(1).max(1) + 1
        };
        let number = table.object_id.unsigned_abs();
        let physical = format!("k{}{number}_{index_id}", if table.object_id < 0 { "t" } else { "" });
        let unique = if new.unique { "UNIQUE " } else { "" };
        let expressions: Vec<String> =
            columns.iter().map(|(column, descending)| key_expression(column, *descending)).collect();
        let nulls = if new.unique { " NULLS NOT DISTINCT" } else { "" };
        let filter = new.filter.as_ref().map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let is_plain = columns.iter().all(|(column, descending)| {
            !*descending && !matches!(physical::family(column.column_type), Family::Binary | Family::Offset)
        });
        let sql = if new.unique && is_plain && new.filter.is_none() {
            // Deferrable, so that it is checked at the end of the statement, as SQL Server does: values may swap.
            let names: Vec<&str> = columns.iter().map(|(column, _)| column.physical.as_str()).collect();
            format!(
                "ALTER TABLE {} ADD CONSTRAINT {physical} UNIQUE{nulls} ({}) DEFERRABLE INITIALLY IMMEDIATE",
                table.relation,
                names.join(", ")
            )
        } else {
            format!(
                "CREATE {unique}INDEX {physical} ON {} ({}){nulls}{filter}",
                table.relation,
                expressions.join(", ")
            )
        };
        let index = Index {
            index_id,
            name: new.name.clone(),
            physical,
            unique: new.unique,
            primary: new.primary,
            constraint: new.constraint,
            columns: columns.iter().map(|(column, descending)| (column.column_id, *descending)).collect(),
        };
        let mut made = table.clone();
        made.indexes.push(index.clone());
        made.indexes.sort_by_key(|index| index.index_id);
        self.limit_width(&made, &index, &columns).await?;
        self.client.batch_execute(&sql).await.map_err(|error| self.index_error(&error, &made, &index))?;
        if made.object_id > 0 {
            self.record_index(&made, &index, new).await?;
        }
        Ok(made)
    }

    /// 1505 for a duplicate, with the words of CREATE INDEX.
    fn index_error(&self, error: &tokio_postgres::Error, table: &Table, index: &Index) -> SqlError {
        let error = self.postgres_error(error, Some(&Arc::new(table.clone())));
        if !matches!(error.number, 2601 | 2627) {
            return error;
        }
        let values = error.message.rsplit_once("value is ").map_or("", |(_, values)| values);
        let message = format!(
            "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name '{}' and the \
             index name '{}'. The duplicate key value is {values}",
            table.shown(),
            index.name
        );
        let mut error = SqlError::new(1505, 16, message);
        if index.constraint {
            error.procedure = CONSTRAINT.to_owned();
        }
        error
    }

    /// The CHECK against entries that are too wide, where they can be.
    async fn limit_width(
        &mut self,
        table: &Table,
        index: &Index,
        columns: &[(Column, bool)],
    ) -> Result<(), SqlError> {
        let [clustered, other] = KEY_BYTES;
        let limit = if index.index_id == 1 { clustered } else { other };
        let widest: u32 =
            columns.iter().filter_map(|(column, _)| physical::key_bytes(column.column_type)).sum();
        if widest <= limit {
            return Ok(());
        }
        let parts: Vec<String> = columns.iter().map(|(column, _)| width(column)).collect();
        let name = index.physical.replacen('k', "w", 1);
        let sql = format!(
            "ALTER TABLE {} ADD CONSTRAINT {name} CHECK ({} <= {limit})",
            table.relation,
            parts.join(" + ")
        );
        let made = self.client.batch_execute(&sql).await;
        made.map_err(|error| self.postgres_error(&error, Some(&Arc::new(table.clone()))))
    }

    async fn record_index(&mut self, table: &Table, index: &Index, new: &NewIndex) -> Result<(), SqlError> {
        let kind: i16 = if index.index_id == 1 { 1 } else { 2 };
        let is = |on: bool| i16::from(on);
        self.catalog(
            "INSERT INTO tsql.indexes (object_id, index_id, name, type, is_unique, is_primary_key, is_unique_constraint, \
             has_filter, physical) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                &table.object_id,
                &index.index_id,
                &index.name,
                &kind,
                &is(index.unique),
                &is(index.primary),
                &is(index.constraint && !index.primary),
                &is(new.filter.is_some()),
                &index.physical,
            ],
        )
        .await?;
        let included = new
            .included
            .iter()
            .filter_map(|name| table.column(name))
            .map(|column| (column.column_id, false, true));
        let keys = index.columns.iter().map(|(column_id, descending)| (*column_id, *descending, false));
        for ((column_id, descending, is_included), number) in keys.chain(included).zip(1_i32..) {
            let ordinal = if is_included { 0 } else { i16::try_from(number).unwrap_or_default() };
            self.catalog(
                "INSERT INTO tsql.index_columns (object_id, index_id, index_column_id, column_id, key_ordinal, \
                 is_descending_key, is_included_column) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &table.object_id,
                    &index.index_id,
                    &number,
                    &column_id,
                    &ordinal,
                    &is(descending),
                    &is(is_included),
                ],
            )
            .await?;
        }
        Ok(())
    }

    /// Removes an index; its metadata, too. Returns the table without it.
    pub(super) async fn remove_index(&mut self, table: &Table, index: &Index) -> Result<Table, SqlError> {
        let width = index.physical.replacen('k', "w", 1);
        let schema = table.relation.rsplit_once('.').map_or("pg_temp", |(schema, _)| schema);
        let sql = format!(
            "ALTER TABLE {0} DROP CONSTRAINT IF EXISTS {1}; DROP INDEX IF EXISTS {schema}.{1}; \
             ALTER TABLE {0} DROP CONSTRAINT IF EXISTS {width}",
            table.relation, index.physical
        );
        self.own(&sql).await?;
        if table.object_id > 0 {
            self.catalog(
                "DELETE FROM tsql.indexes WHERE object_id = $1 AND index_id = $2",
                &[&table.object_id, &index.index_id],
            )
            .await?;
        }
        let mut left = table.clone();
        left.indexes.retain(|other| other.index_id != index.index_id);
        Ok(left)
    }
}

/// The columns of a new index (1911: no such column; 1919: not for keys; 1904: too many).
fn key_columns(table: &Table, new: &NewIndex) -> Result<Vec<(Column, bool)>, SqlError> {
    if new.columns.len() > MAX_KEY_COLUMNS {
        let message = format!(
            "The index '{}' on table '{}' has {} columns in the key list. The maximum limit for index key column list is {MAX_KEY_COLUMNS}.",
            new.name,
            table.shown(),
            new.columns.len()
        );
        return Err(SqlError::new(1904, 16, message));
    }
    let mut columns = Vec::new();
    for (name, descending) in &new.columns {
        let column = table.column(name).ok_or_else(|| {
            SqlError::new(
                1911,
                16,
                format!("Column name '{name}' does not exist in the target table or view."),
            )
        })?;
        let family = physical::family(column.column_type);
        let is_long = matches!(family, Family::Text | Family::Binary | Family::Json)
            && physical::limit(column.column_type).is_none();
        if is_long {
            let message = format!(
                "Column '{name}' in table '{}' is of a type that is invalid for use as a key column in an index.",
                table.shown()
            );
            return Err(SqlError::new(1919, 16, message));
        }
        columns.push((column.clone(), *descending));
    }
    for (column, _) in &columns {
        if new.primary && column.nullable {
            let message =
                format!("Cannot define PRIMARY KEY constraint on nullable column in table '{}'.", table.name);
            let mut error = SqlError::new(8111, 16, message);
            error.procedure = CONSTRAINT.to_owned();
            return Err(error);
        }
    }
    Ok(columns)
}

/// A column as an index holds it.
fn key_expression(column: &Column, descending: bool) -> String {
    let name = &column.physical;
    let expression = match physical::family(column.column_type) {
        Family::Binary => format!("rtrim({name}, '\\x00'::bytea)"),
        Family::Offset => format!("(({name})[1])"),
        _ => name.clone(),
    };
    match (descending, column.nullable) {
        (false, false) => expression,
        (true, false) => format!("{expression} DESC"),
        (false, true) => format!("{expression} NULLS FIRST"),
        (true, true) => format!("{expression} DESC NULLS LAST"),
    }
}

/// Bytes that a column takes in an index entry.
fn width(column: &Column) -> String {
    let name = &column.physical;
    match physical::family(column.column_type) {
        Family::Text if physical::is_national(column.column_type) => {
            format!("coalesce(2 * tsql.units({name}), 0)")
        }
        Family::Text => format!("coalesce(tsql.bytes({name}), 0)"),
        Family::Binary => format!("coalesce(octet_length({name}), 0)"),
        _ => physical::key_bytes(column.column_type).unwrap_or_default().to_string(),
    }
}
