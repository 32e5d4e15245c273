//! Rows read back, as canonical text, to compare them with the source's.
//!
//! A row is handed over as it arrives and nothing is kept, so memory does not grow with the table. What a server
//! returns is turned into the [`segcdc_model::Value`] that the source's field would have been decoded to, and that into the text of
//! [`segcdc_plan::canonical`].

mod key;
mod value;

use segcdc_plan::{TablePlan, canonical};
use segcdc_tds::{BulkColumn, Datum, Parameter};

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

/// Keys of one request: the condition is a list of alternatives, which a server compiles afresh for each length.
const KEYS_PER_REQUEST: usize = 100;

/// What is being done, for errors.
const DURING: &str = "reading rows";

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// Those whose first key column, an integer, is in `from..to`.
    KeyRange {
        /// First key; `None` for the beginning.
        from: Option<i64>,
        /// Key behind the last one; `None` for the end.
        to: Option<i64>,
    },
    /// Those with these keys: canonical texts of the key columns, in key order.
    Keys(&'a [Vec<String>]),
}

/// One row as canonical texts ([`segcdc_plan::canonical`]), in the plan's column order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CanonicalRow {
    text: String,
    /// Where each field ends in `text`, and whether it is NULL.
    fields: Vec<(usize, bool)>,
}

// === impl CanonicalRow ===

impl CanonicalRow {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field at `index`; `None` for NULL, and past the end.
    pub fn get(&self, index: usize) -> Option<&str> {
        let (end, null) = *self.fields.get(index)?;
        let start =
            index.checked_sub(1).and_then(|before| self.fields.get(before)).map_or(0, |field| field.0);
        if null { None } else { self.text.get(start..end) }
    }

    /// The fields in column order, `None` for NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Takes in the row of a server.
    fn read(&mut self, table: &TablePlan, row: &[Datum]) -> Result<(), TargetError> {
        self.text.clear();
        self.fields.clear();
        if row.len() != table.columns.len() {
            let detail =
                format!("{} columns came for {} of {}", row.len(), table.columns.len(), table.target);
            return Err(TargetError::Answer { during: DURING, detail });
        }
        for (datum, column) in row.iter().zip(&table.columns) {
            let Some(value) = value::of_datum(datum) else {
                let detail = format!("column \"{}\" of {} has another type", column.name, table.target);
                return Err(TargetError::Answer { during: DURING, detail });
            };
            canonical::write_text(&value, &mut self.text);
            self.fields.push((self.text.len(), datum.is_null()));
        }
        Ok(())
    }
}

/// Reads rows and hands them to `on_row` one by one, in no order that can be relied on; returns how many there were.
///
/// # Errors
/// The server's; [`TargetError::Answer`] for a table whose columns are of other types, and for keys that are not of the
/// key's types. Rows that came before an error have been handed over.
pub async fn read(
    target: &mut Target,
    table: &TablePlan,
    selection: Selection<'_>,
    on_row: &mut (dyn FnMut(&CanonicalRow) + Send),
) -> Result<u64, TargetError> {
    let Selection::Keys(keys) = selection else {
        let condition = condition(table, selection)?;
        return run(target, table, &sql::rows::select(table, condition.as_deref()), &[], on_row).await;
    };
    let mut rows = 0;
    for keys in keys.chunks(KEYS_PER_REQUEST) {
        let encoded = key::encode(table, keys, target.dialect())?;
        let parameters: Vec<Parameter<'_>> =
            encoded.iter().map(|(column, value)| parameter(column, value)).collect();
        let condition = sql::rows::key_in_list(table, keys.len());
        rows += run(target, table, &sql::rows::select(table, Some(&condition)), &parameters, on_row).await?;
    }
    Ok(rows)
}

/// Counts rows; those of [`Selection::Keys`] by reading them.
///
/// # Errors
/// As [`read`].
pub async fn count(
    target: &mut Target,
    table: &TablePlan,
    selection: Selection<'_>,
) -> Result<u64, TargetError> {
    if let Selection::Keys(_) = selection {
        return read(target, table, selection, &mut |_| ()).await;
    }
    let condition = condition(table, selection)?;
    let during = "counting rows";
    let rows = target.query(during, &sql::rows::count(table, condition.as_deref())).await?;
    let count = rows.first().and_then(|row| row.first()).and_then(Datum::as_int);
    count
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| TargetError::Answer { during, detail: "the count is missing".to_owned() })
}

/// The condition of a selection that needs no parameters.
fn condition(table: &TablePlan, selection: Selection<'_>) -> Result<Option<String>, TargetError> {
    match selection {
        Selection::KeyRange { from, to } if key::has_integer(table) => {
            Ok(sql::rows::key_in_range(table, from, to))
        }
        Selection::KeyRange { .. } => {
            let detail = format!("the key of {} does not begin with an integer", table.target);
            Err(TargetError::Answer { during: DURING, detail })
        }
        Selection::All | Selection::Keys(_) => Ok(None),
    }
}

async fn run(
    target: &mut Target,
    table: &TablePlan,
    sql: &str,
    parameters: &[Parameter<'_>],
    on_row: &mut (dyn FnMut(&CanonicalRow) + Send),
) -> Result<u64, TargetError> {
    let mut row = CanonicalRow::default();
    let mut rows = 0;
    let mut unfit = None;
    let mut take = |datums: &[Datum]| {
        if unfit.is_some() {
            return;
        }
        match row.read(table, datums) {
            Ok(()) => {
                rows += 1;
                on_row(&row);
            }
            Err(error) => unfit = Some(error),
        }
    };
    let queried = target.connection().query_each(sql, parameters, &mut take).await;
    queried.map_err(|error| TargetError::from_tds(DURING, error).at_table(table, "verification"))?;
    match unfit {
        Some(error) => Err(error),
        None => Ok(rows),
    }
}

fn parameter<'a>(column: &'a BulkColumn, value: &'a [u8]) -> Parameter<'a> {
    Parameter::Encoded { column_type: &column.column_type, collation: column.collation, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_text_differ() {
        let row = CanonicalRow { text: "ab".to_owned(), fields: vec![(0, true), (0, false), (2, false)] };
        assert_eq!(row.iter().collect::<Vec<_>>(), [None, Some(""), Some("ab")]);
        assert_eq!(row.get(3), None);
    }
}
