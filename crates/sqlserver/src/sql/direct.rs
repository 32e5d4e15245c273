//! Statements on single rows, for batches that are too small for staging: a whole target transaction as one
//! `sp_executesql`, which checks its own row counts.
//!
//! Values are parameters, those of the fence too, so that the text of a batch of the same shape is the same and its plan
//! is found in the cache. `THROW` under XACT_ABORT rolls the transaction back and ends the request.

use std::fmt::Write as _;

use segcdc_model::MssqlType;
use segcdc_plan::TablePlan;

use crate::quote;
use crate::sql::apply::float_bits;
use crate::sql::create_table::KEY_COLLATION;
use crate::sql::mark;

/// A column of a condition or assignment, and its parameter number; `None` for NULL in a condition.
pub type Bound = (usize, Option<usize>);

/// Removes the row with this key.
pub fn delete(table: &TablePlan, key: &[Bound]) -> String {
    let live = mark::and_live(table, "");
    format!("DELETE FROM {} WHERE {}{live}", quote::qualified(&table.target), key_is(table, key))
}

/// Removes the deleted row with this key, if there is one. `None` for a table that has no such rows.
pub fn make_room(table: &TablePlan, key: &[Bound]) -> Option<String> {
    let (target, marker) = (quote::qualified(&table.target), quote::name(table.marker()?));
    Some(format!("DELETE FROM {target} WHERE {} AND {marker} IS NOT NULL", key_is(table, key)))
}

/// Removes `rows` rows that have this content, of a table without a key.
pub fn delete_equal(table: &TablePlan, rows: usize, content: &[Bound]) -> String {
    let matches: Vec<String> = content.iter().filter_map(|bound| content_is(table, *bound)).collect();
    format!("DELETE TOP ({rows}) FROM {} WHERE {}", quote::qualified(&table.target), matches.join(" AND "))
}

/// Changes the row with this key. `deleted_at` is the parameter of the time at which it is marked as deleted, if it is.
pub fn update(table: &TablePlan, set: &[Bound], deleted_at: Option<usize>, key: &[Bound]) -> String {
    let mark = table.marker().zip(deleted_at);
    let assignments: Vec<String> = set
        .iter()
        .filter_map(|(column, parameter)| {
            Some(format!("{} = @P{}", quote::name(&table.columns.get(*column)?.name), parameter.as_ref()?))
        })
        .chain(mark.map(|(marker, parameter)| format!("{} = @P{parameter}", quote::name(marker))))
        .collect();
    format!(
        "UPDATE {} SET {} WHERE {}{}",
        quote::qualified(&table.target),
        assignments.join(", "),
        key_is(table, key),
        mark::and_live(table, "")
    )
}

/// Adds `rows` rows of all columns, whose parameters follow each other from `first` on; that of the mark, if there is one, is a
/// row's last.
pub fn insert(table: &TablePlan, rows: usize, first: usize) -> String {
    let names = table.columns.iter().map(|column| column.name.as_str()).chain(table.marker());
    let names: Vec<String> = names.map(quote::name).collect();
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", quote::qualified(&table.target), names.join(", "));
    let mut parameter = first;
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..names.len() {
            let separator = if column == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _infallible = write!(sql, "{separator}@P{parameter}");
            parameter += 1;
        }
        sql.push(')');
    }
    sql
}

/// The first statement, as [`crate::sql::state::fence`]. Parameters: see [`FINISH`].
pub const FENCE: &str = "UPDATE [segcdc].[pipeline] SET [batch_seq] = [batch_seq] + 1 \
     WHERE [pipeline] = @P5 AND [epoch] = @P6 AND [applied_lsn] = @P7 AND [batch_seq] = @P8";

/// The last statement, as [`crate::sql::state::finish`]. Its parameters are `@P1` to `@P8`: new LSN, commit time,
/// transactions, changes, pipeline, epoch, old LSN, batch number before the batch.
pub const FINISH: &str = "UPDATE [segcdc].[pipeline] SET [applied_lsn] = @P1, [commit_time_us] = @P2, \
     [transactions_applied] = [transactions_applied] + @P3, [changes_applied] = [changes_applied] + @P4, \
     [updated_at] = SYSUTCDATETIME() \
     WHERE [pipeline] = @P5 AND [epoch] = @P6 AND [applied_lsn] = @P7 AND [batch_seq] = @P8 + 1";

/// Parameters of [`FENCE`] and [`FINISH`].
pub const FENCE_PARAMETERS: usize = 8;

/// Error that a fence raises which finds no row. The number is from the range for users, away from round ones.
pub const FENCED: i32 = 58_231;

/// Error that a statement raises which changes another number of rows than it should.
pub const MISCOUNTED: i32 = 58_232;

/// Ends the request, and rolls all of it back, unless the statement before has changed so many rows.
pub fn expect_rows(rows: usize, error: i32) -> String {
    format!("IF @@ROWCOUNT <> {rows} THROW {error}, N'segcdc: row count', 1")
}

fn key_is(table: &TablePlan, key: &[Bound]) -> String {
    let matches = key.iter().filter_map(|(column, parameter)| {
        let (column, parameter) = (table.columns.get(*column)?, parameter.as_ref()?);
        let (name, value) = (quote::name(&column.name), format!("@P{parameter}"));
        Some(match column.mssql_type {
            MssqlType::NVarChar { .. } | MssqlType::VarBinary { .. } => {
                format!("{name} = {value} AND DATALENGTH({name}) = DATALENGTH({value})")
            }
            _ => format!("{name} = {value}"),
        })
    });
    matches.collect::<Vec<_>>().join(" AND ")
}

fn content_is(table: &TablePlan, (column, parameter): Bound) -> Option<String> {
    let column = table.columns.get(column)?;
    let name = quote::name(&column.name);
    let Some(parameter) = parameter else { return Some(format!("{name} IS NULL")) };
    let value = format!("@P{parameter}");
    Some(match column.mssql_type {
        MssqlType::NVarChar { .. } => {
            format!("{name} COLLATE {KEY_COLLATION} = {value} AND DATALENGTH({name}) = DATALENGTH({value})")
        }
        MssqlType::VarBinary { .. } => {
            format!("{name} = {value} AND DATALENGTH({name}) = DATALENGTH({value})")
        }
        MssqlType::Float | MssqlType::Real => {
            format!("{} = {}", float_bits(column.mssql_type, &name), float_bits(column.mssql_type, &value))
        }
        _ => format!("{name} = {value}"),
    })
}
