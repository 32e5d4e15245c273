//! What a table's values look like, at a bounded cost: how many digits its numbers really have, and how many rows meet a
//! condition.
//!
//! ```text
//! up to SCANNED_WHOLE_BYTES      every row
//! larger                         TABLESAMPLE SYSTEM of as many pages as make SAMPLED_BYTES
//! either                         no longer than the caller allows
//! ```

use std::time::Duration;

use segcdc_model::SourceTable;

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::Session;
use crate::snapshot;

/// Bytes of a table, TOAST included, that are read whole: well under a second.
const SCANNED_WHOLE_BYTES: u64 = 64 << 20;

/// Bytes that are read of a larger table.
const SAMPLED_BYTES: u64 = 32 << 20;

/// Answers of a server that did not get through, or may not look: there is no profile then.
const NO_ANSWER: [&str; 2] = ["57014", "42501"];

/// The digits of the numbers in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumericProfile {
    /// Index into the table's columns.
    pub column: usize,
    /// Digits before the point of the largest number; 1 for numbers below one, 0 when there is no number.
    pub whole_digits: u32,
    /// Digits behind the point that a number has, without zeros at the end.
    pub fraction_digits: u32,
    /// Values that are NaN or an infinity.
    pub specials: u64,
}

/// The profile of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProfile {
    /// Rows that were looked at.
    pub rows: u64,
    /// Which part of the table's pages was looked at, in millionths; 1,000,000 for all.
    pub share_ppm: u32,
    /// The columns that were asked for.
    pub columns: Vec<NumericProfile>,
}

/// Looks at the numbers in these columns (indices into `table.columns`), which are of type numeric. `None` when it took
/// longer than `limit`, or when the role may not read the table.
///
/// # Errors
/// When the server cannot be asked.
pub async fn numeric(
    session: &Session,
    table: &SourceTable,
    columns: &[usize],
    limit: Duration,
) -> Result<Option<TableProfile>, SourceError> {
    let (share_ppm, sql) = statement(table, &of_numbers(table, columns)?, limit)?;
    let mut row = match session.row(Operation::Query, &sql).await {
        Ok(row) => row,
        Err(error) if error.sqlstate().is_some_and(|sqlstate| NO_ANSWER.contains(&sqlstate)) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let rows = row.value()?;
    let mut profiles = Vec::with_capacity(columns.len());
    for &column in columns {
        profiles.push(NumericProfile {
            column,
            whole_digits: row.value()?,
            fraction_digits: row.value()?,
            specials: row.value()?,
        });
    }
    Ok(Some(TableProfile { rows, share_ppm, columns: profiles }))
}

/// How many rows meet a condition each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// Which part of the table's pages was looked at, in millionths; 1,000,000 for all.
    pub share_ppm: u32,
    /// Rows for each condition.
    pub rows: Vec<u64>,
}

/// Counts the rows that meet conditions: each an index into `table.columns` and an expression of ours in which `{}` stands
/// for the column. `None` when it took longer than `limit`, or when the role may not read the table.
///
/// # Errors
/// When the server cannot be asked.
pub async fn matches(
    session: &Session,
    table: &SourceTable,
    conditions: &[(usize, &str)],
    limit: Duration,
) -> Result<Option<Matches>, SourceError> {
    let mut selected = Vec::with_capacity(conditions.len());
    for (index, condition) in conditions {
        let condition = condition.replace("{}", &column(table, *index)?);
        selected.push(format!("count(*) FILTER (WHERE {condition})"));
    }
    let (share_ppm, sql) = statement(table, &selected, limit)?;
    let mut row = match session.row(Operation::Query, &sql).await {
        Ok(row) => row,
        Err(error) if error.sqlstate().is_some_and(|sqlstate| NO_ANSWER.contains(&sqlstate)) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let rows = conditions.iter().map(|_| row.value()).collect::<Result<_, _>>()?;
    Ok(Some(Matches { share_ppm, rows }))
}

/// A column's name, quoted.
fn column(table: &SourceTable, index: usize) -> Result<String, SourceError> {
    let column = table
        .columns
        .get(index)
        .ok_or_else(|| SourceError::TableNotFound { table: table.name.to_string() })?;
    quote::identifier(&column.name)
}

/// What is asked of numbers.
fn of_numbers(table: &SourceTable, columns: &[usize]) -> Result<Vec<String>, SourceError> {
    let mut selected = vec!["count(*)".to_owned()];
    for &index in columns {
        let name = column(table, index)?;
        let special = format!("{name} IN ('NaN', 'Infinity', '-Infinity')");
        selected
            .push(format!("coalesce(length(trunc(max(abs({name})) FILTER (WHERE NOT {special}))::text), 0)"));
        selected.push(format!("coalesce(max(min_scale({name})), 0)"));
        selected.push(format!("count(*) FILTER (WHERE {special})"));
    }
    Ok(selected)
}

/// The part of the table that is looked at, in millionths, and the statements: the last of them returns the row.
fn statement(
    table: &SourceTable,
    selected: &[String],
    limit: Duration,
) -> Result<(u32, String), SourceError> {
    let share_ppm = share_ppm(table.size_bytes);
    let sample = match share_ppm {
        1_000_000.. => String::new(),
        part => format!(" TABLESAMPLE SYSTEM ({}.{:04})", part / 10_000, part % 10_000),
    };
    // Both statements are one transaction, with which the setting goes; it holds from the second on.
    let sql = format!(
        "SELECT set_config('statement_timeout', '{}', true); SELECT {} FROM {}{sample}",
        limit.as_millis().max(1),
        selected.join(", "),
        snapshot::source(table)?
    );
    Ok((share_ppm, sql))
}

/// The part of a table of this size that is looked at, in millionths.
fn share_ppm(size_bytes: u64) -> u32 {
    if size_bytes <= SCANNED_WHOLE_BYTES {
        return 1_000_000;
    }
    let share = u128::from(SAMPLED_BYTES) * 1_000_000 / u128::from(size_bytes);
    u32::try_from(share).unwrap_or(1_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_tables_are_sampled() {
        assert_eq!(share_ppm(0), 1_000_000);
        assert_eq!(share_ppm(SCANNED_WHOLE_BYTES), 1_000_000);
        assert_eq!(share_ppm(1 << 30), 31_250);
        assert_eq!(share_ppm(1 << 60), 1);
    }
}
