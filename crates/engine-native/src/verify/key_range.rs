//! [`KeyRange`]: the rows of a table that are compared at a time, and [`Ranges`], which divides a table into them.
//!
//! A range is one of integers, of the first column of the key, because for integers both servers agree on which values lie
//! between two others; texts are ordered by collations and UUIDs by bytes, differently on each side. The bounds are taken from
//! the source as its rows lie, so that each range has about as many rows, whatever gaps there are between the keys. Every row
//! of either side lies in just one range, whether the other side has it or not.

use segcdc_model::PgType;
use segcdc_plan::{ColumnPlan, TablePlan};
use segcdc_postgres::snapshot::{self, KeyBound};
use segcdc_postgres::{Session, SourceError};
use segcdc_sqlserver::{Selection, rows};

/// Rows whose first key column is in `from..to`; of all rows where both are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KeyRange {
    /// The first value; `None` for the beginning.
    pub(crate) from: Option<i64>,
    /// The value behind the last; `None` for the end.
    pub(crate) to: Option<i64>,
}

/// Divides a table into ranges, the one behind the other.
#[derive(Debug)]
pub(crate) struct Ranges {
    /// Where the next range begins; `None` once there is none any more.
    next: Option<Option<i64>>,
    /// Rows in a range; `None` for a table that is not divided.
    rows: Option<u64>,
}

// === impl KeyRange ===

impl KeyRange {
    /// All rows.
    pub(crate) const WHOLE: KeyRange = KeyRange { from: None, to: None };

    /// The rows of the target.
    pub(crate) fn selection(self) -> Selection<'static> {
        if self == KeyRange::WHOLE {
            return Selection::All;
        }
        Selection::KeyRange { from: self.from, to: self.to }
    }

    /// The condition of the source that a row is replicated and in the range; `None` for all rows that are replicated.
    ///
    /// # Errors
    /// When the table has no such column.
    pub(crate) fn condition(self, table: &TablePlan) -> Result<Option<String>, SourceError> {
        let Some(column) = first_of_key(table) else { return Ok(None) };
        if self == KeyRange::WHOLE {
            return Ok(None);
        }
        let range = snapshot::key_range_filter(&table.source, column.source_index, self.from, self.to)?;
        Ok(match (range, &table.filter) {
            (Some(range), Some(filter)) => Some(format!("({range}) AND ({filter})")),
            (range, _) => range,
        })
    }
}

// === impl Ranges ===

impl Ranges {
    /// The ranges of a table, of so many rows each, from a key on; a table whose key does not begin with an integer is one range.
    pub(crate) fn of(table: &TablePlan, rows: u64, from: Option<i64>) -> Self {
        Ranges { next: Some(from), rows: can_be_divided(table).then_some(rows.max(1)) }
    }

    /// All rows in one range.
    pub(crate) fn whole() -> Self {
        Ranges { next: Some(None), rows: None }
    }

    /// Whether the table can have more than one.
    pub(crate) fn are_many(&self) -> bool {
        self.rows.is_some()
    }

    /// The next range; `None` behind the last one. Asks the source where it ends.
    ///
    /// # Errors
    /// The source's.
    pub(crate) async fn next(
        &mut self,
        source: &Session,
        table: &TablePlan,
    ) -> Result<Option<KeyRange>, SourceError> {
        let Some(from) = self.next.take() else { return Ok(None) };
        let to = match (self.rows, first_of_key(table)) {
            (Some(rows), Some(column)) => {
                let bound = KeyBound {
                    table: &table.source,
                    column: column.source_index,
                    after: from,
                    rows,
                    filter: table.filter.as_deref(),
                };
                snapshot::key_bound(source, bound).await?
            }
            (Some(_) | None, _) => None,
        };
        self.next = to.map(Some);
        Ok(Some(KeyRange { from, to }))
    }
}

/// Whether both sides agree on which rows lie between two keys of a table.
fn can_be_divided(table: &TablePlan) -> bool {
    first_of_key(table).is_some_and(|column| {
        let is_integer = matches!(column.pg_type, PgType::Int2 | PgType::Int4 | PgType::Int8);
        is_integer && rows::has_integer_key(table) && column.mask.is_none() && column.constant.is_none()
    })
}

fn first_of_key(table: &TablePlan) -> Option<&ColumnPlan> {
    table.key_columns().first().and_then(|index| table.columns.get(*index))
}

#[cfg(test)]
mod tests {
    use segcdc_model::MssqlType;

    use super::*;
    use crate::verify::read::tests::table;

    #[test]
    fn a_range_is_asked_for_in_each_sides_words() {
        let check = |range: KeyRange, filter: Option<&str>, expected: Option<&str>| {
            let table = TablePlan { filter: filter.map(str::to_owned), ..table() };
            assert_eq!(range.condition(&table).unwrap().as_deref(), expected, "{range:?}");
        };
        let range = KeyRange { from: Some(5), to: Some(9) };
        check(KeyRange::WHOLE, Some("a OR b"), None);
        check(range, None, Some(r#""id" >= 5 AND "id" < 9"#));
        check(range, Some("a OR b"), Some(r#"("id" >= 5 AND "id" < 9) AND (a OR b)"#));
        assert!(matches!(KeyRange::WHOLE.selection(), Selection::All));
        assert!(matches!(range.selection(), Selection::KeyRange { from: Some(5), to: Some(9) }));
    }

    #[test]
    fn only_integers_that_stay_integers_divide_a_table() {
        assert!(can_be_divided(&table()));
        let changed = |change: fn(&mut ColumnPlan)| {
            let mut table = table();
            let first = *table.key_columns().first().unwrap();
            change(&mut table.columns[first]);
            can_be_divided(&table)
        };
        assert!(!changed(|column| column.mssql_type = MssqlType::UniqueIdentifier));
        assert!(!changed(|column| column.pg_type = PgType::Other));
        assert!(!changed(|column| column.constant = Some("7".to_owned())));
        assert!(changed(|column| column.pg_type = PgType::Int2));
    }
}
