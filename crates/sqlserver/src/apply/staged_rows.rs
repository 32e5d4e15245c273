//! The rows that a table's changes put into its staging table.

use std::collections::HashMap;

use segcdc_model::{MssqlType, Value};
use segcdc_plan::canonical;
use segcdc_plan::rules::DELETED_AT_TYPE;
use segcdc_plan::{InsertRow, RowImage, TableChanges, TablePlan, ValueError};
use segcdc_tds::{BulkColumn, Collation, ColumnType};

use crate::dialect::TimeForm;
use crate::encode;
use crate::error::{RefusedValue, TargetError};
use crate::sink::RowBuffer;
use crate::sql::staging::{OP_CLEAR, OP_DELETE, OP_DELETE_EQUAL, OP_FILL, OP_INSERT, OP_MARK, OP_UPDATE};

/// One row of a staging table, not encoded yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct StagedRow<'p> {
    op: u8,
    group: usize,
    /// When it was deleted, where deleted rows stay.
    at_us: Option<i64>,
    /// The row whose key is staged as `[k1]..[kn]`.
    key: Option<&'p RowImage>,
    /// The row whose values are staged as `[c1]..[cm]`, and which of them.
    values: Option<(&'p RowImage, Values<'p>)>,
}

/// Which values of a row are staged.
#[derive(Debug, Clone, Copy)]
enum Values<'p> {
    /// All.
    All,
    /// Those of these columns.
    Only(&'p [usize]),
    /// Those of the other columns.
    AllBut(&'p [usize]),
}

/// The changes of one table, with what its statements need to know of the staged rows.
#[derive(Debug)]
pub(super) struct StagedChanges<'p> {
    /// The changes.
    pub(super) changes: &'p TableChanges,
    /// Sets of columns that are taken from old rows, and how many rows take them; the group of a row is its place here.
    pub(super) fills: Vec<(&'p [usize], u64)>,
    /// Contents that are removed.
    pub(super) equal_deletes: Vec<EqualDelete<'p>>,
    /// One statement removes them all: the group of a row is the number of rows to remove.
    pub(super) numbered: bool,
}

/// Rows of one content that are removed from a table without a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct EqualDelete<'p> {
    /// A row that has it.
    pub(super) image: &'p RowImage,
    /// How many are removed.
    pub(super) rows: usize,
}

// === impl Values ===

impl Values<'_> {
    fn contains(self, column: usize) -> bool {
        match self {
            Values::All => true,
            Values::Only(columns) => columns.contains(&column),
            Values::AllBut(columns) => !columns.contains(&column),
        }
    }
}

// === impl StagedChanges ===

impl<'p> StagedChanges<'p> {
    /// Groups the changes of a table.
    pub(super) fn new(changes: &'p TableChanges) -> Self {
        let mut fills: Vec<(&[usize], u64)> = Vec::new();
        for fill in changes.inserts.iter().filter_map(|insert| insert.fill.as_ref()) {
            match fills.iter_mut().find(|(columns, _)| *columns == fill.columns) {
                Some((_, rows)) => *rows += 1,
                None => fills.push((&fill.columns, 1)),
            }
        }
        StagedChanges { changes, fills, equal_deletes: equal_deletes(changes), numbered: false }
    }

    /// The columns of the staging table.
    pub(super) fn columns(&self, time: TimeForm) -> Vec<BulkColumn> {
        let table = &self.changes.table;
        let column = |name: String, column_type| BulkColumn {
            name,
            column_type,
            nullable: true,
            collation: Collation::LATIN1_GENERAL_100_BIN2,
        };
        let typed = |name: String, mssql_type: MssqlType| {
            let column = column(name, encode::column_type(mssql_type, time));
            match mssql_type {
                MssqlType::VarChar { .. } => {
                    BulkColumn { collation: Collation::LATIN1_GENERAL_100_BIN2_UTF8, ..column }
                }
                _ => column,
            }
        };
        let not_null =
            |name: &str, column_type| BulkColumn { nullable: false, ..column(name.to_owned(), column_type) };
        let mut columns = vec![not_null("op", ColumnType::TinyInt), not_null("grp", ColumnType::Int)];
        columns.extend(table.marker().map(|_| typed("at".to_owned(), DELETED_AT_TYPE)));
        for (position, index) in table.key_columns().iter().enumerate() {
            columns.extend(
                table.columns.get(*index).map(|found| typed(format!("k{}", position + 1), found.mssql_type)),
            );
        }
        for (index, found) in table.columns.iter().enumerate() {
            columns.push(typed(format!("c{}", index + 1), found.mssql_type));
        }
        columns
    }

    /// Number of rows to stage.
    pub(super) fn row_count(&self) -> usize {
        self.changes.row_count() - self.changes.unkeyed_deletes.len() + self.equal_deletes.len()
    }

    /// The rows to stage, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = StagedRow<'p>> + '_ {
        let changes = self.changes;
        let deletes = changes.deletes.iter().map(|image| StagedRow {
            op: OP_DELETE,
            group: 0,
            at_us: None,
            key: Some(image),
            values: None,
        });
        let equal_deletes = self.equal_deletes.iter().enumerate().map(|(index, equal)| StagedRow {
            op: OP_DELETE_EQUAL,
            group: if self.numbered { equal.rows } else { index },
            at_us: None,
            key: None,
            values: Some((equal.image, Values::All)),
        });
        let updates = changes.updates.iter().enumerate().flat_map(|(group, update)| {
            update.rows.iter().map(move |image| StagedRow {
                op: OP_UPDATE,
                group,
                at_us: None,
                key: Some(image),
                values: Some((image, Values::Only(&update.present))),
            })
        });
        let marks = changes.marks.iter().enumerate().flat_map(|(group, marks)| {
            marks.rows.iter().map(move |row| StagedRow {
                op: OP_MARK,
                group,
                at_us: Some(row.at_us),
                key: Some(&row.image),
                values: Some((&row.image, Values::Only(&marks.present))),
            })
        });
        let cleared = changes.cleared.iter().map(|image| StagedRow {
            op: OP_CLEAR,
            group: 0,
            at_us: None,
            key: Some(image),
            values: None,
        });
        let inserts = changes.inserts.iter().map(|insert| self.insert_row(insert));
        deletes.chain(equal_deletes).chain(updates).chain(marks).chain(cleared).chain(inserts)
    }

    fn insert_row(&self, insert: &'p InsertRow) -> StagedRow<'p> {
        let Some(fill) = &insert.fill else {
            return StagedRow {
                op: OP_INSERT,
                group: 0,
                at_us: insert.deleted_at_us,
                key: None,
                values: Some((&insert.image, Values::All)),
            };
        };
        let group = self.fills.iter().position(|(columns, _)| *columns == fill.columns).unwrap_or_default();
        StagedRow {
            op: OP_FILL,
            group,
            at_us: insert.deleted_at_us,
            key: Some(&fill.old_key),
            values: Some((&insert.image, Values::AllBut(&fill.columns))),
        }
    }
}

/// The contents that are removed, as the target holds them: rows that differ at the source, as `1.0` and `1.00` do, may
/// be one content there, and so are values that a policy replaces.
fn equal_deletes(changes: &TableChanges) -> Vec<EqualDelete<'_>> {
    let columns = changes.table.columns.len();
    let mut found: Vec<EqualDelete<'_>> = Vec::new();
    let mut index_by_content: HashMap<Vec<u128>, usize> = HashMap::new();
    let mut scratch = String::new();
    for image in &changes.unkeyed_deletes {
        let same = |first: &RowImage| (0..columns).all(|column| first.field(column) == image.field(column));
        // Equal rows of the source lie beside each other.
        if let Some(last) = found.last_mut().filter(|last| same(last.image)) {
            last.rows += 1;
            continue;
        }
        // A value that the target cannot hold is refused when it is encoded.
        let hashes = (0..columns).map(|column| canonical::hash(&image.value(column)?, &mut scratch));
        let content: Result<Vec<u128>, ValueError> = hashes.collect();
        let known = content.ok().and_then(|content| match index_by_content.entry(content) {
            std::collections::hash_map::Entry::Occupied(known) => Some(*known.get()),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(found.len());
                None
            }
        });
        match known.and_then(|index| found.get_mut(index)) {
            Some(known) => known.rows += 1,
            None => found.push(EqualDelete { image, rows: 1 }),
        }
    }
    found
}

/// Encodes the next rows, until none is left or the buffer holds `limit_bytes`; returns how many there were.
///
/// # Errors
/// The first value that the target cannot hold.
pub(super) fn encode<'p>(
    table: &TablePlan,
    rows: &mut dyn Iterator<Item = StagedRow<'p>>,
    buffer: &mut RowBuffer,
    place: &str,
    limit_bytes: usize,
) -> Result<usize, TargetError> {
    let mut encoded = 0;
    while buffer.byte_len() < limit_bytes {
        let Some(row) = rows.next() else { break };
        encode_row(table, &row, buffer, place)?;
        encoded += 1;
    }
    Ok(encoded)
}

fn encode_row(
    table: &TablePlan,
    row: &StagedRow<'_>,
    buffer: &mut RowBuffer,
    place: &str,
) -> Result<(), TargetError> {
    let refused = |column: usize| move |refused| TargetError::refused(refused, table, column, place);
    let group = i64::try_from(row.group).unwrap_or(i64::MAX);
    buffer.begin_row();
    buffer.value(&Value::Int(i64::from(row.op))).map_err(refused(usize::MAX))?;
    buffer.value(&Value::Int(group)).map_err(refused(usize::MAX))?;
    if table.marker().is_some() {
        let at = row.at_us.map_or(Value::Null, Value::Timestamp);
        buffer.value(&at).map_err(refused(usize::MAX))?;
    }
    for column in table.key_columns() {
        let written = match row.key {
            Some(image) => {
                image.value(*column).map_err(RefusedValue::from).and_then(|value| buffer.value(&value))
            }
            None => buffer.value(&Value::Null),
        };
        written.map_err(refused(*column))?;
    }
    for index in 0..table.columns.len() {
        let written = match row.values {
            Some((image, values)) if values.contains(index) => {
                planned_value(table, image, index).and_then(|value| buffer.value(&value))
            }
            _ => buffer.value(&Value::Null),
        };
        written.map_err(refused(index))?;
    }
    buffer.end_row().map_err(refused(usize::MAX))
}

/// The value of a column as the target table will hold it, checked for the NULL that the staging table would let
/// through.
pub(super) fn planned_value<'p>(
    table: &TablePlan,
    image: &'p RowImage,
    index: usize,
) -> Result<Value<'p>, RefusedValue> {
    let value = image.value(index)?;
    let takes_null = table.columns.get(index).is_none_or(|column| column.nullable);
    if value == Value::Null && !takes_null { Err(RefusedValue::Null) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::session::WritePath;
    use segcdc_model::{PgType, Tuple};
    use segcdc_plan::{Binding, Fill, UpdateGroup};
    use std::sync::Arc;

    /// A keyed table, and rows of it.
    fn keyed() -> (TableChanges, impl Fn(&[Option<&str>]) -> RowImage) {
        let columns = [
            ("id", PgType::Int4, true),
            ("a", PgType::Text, false),
            ("b", PgType::Int4, false),
            ("must", PgType::Bool, true),
        ];
        let table = fixture::table(1, "t", 1, &columns);
        let binding = Arc::new(Binding::in_order(&table));
        let image = move |fields: &[Option<&str>]| {
            RowImage::new(Arc::clone(&binding), Tuple::from_texts(fields.iter().copied()))
        };
        (TableChanges::new(table), image)
    }

    fn row(id: &str) -> [Option<&str>; 4] {
        [Some(id), Some("x"), None, Some("t")]
    }

    fn mixed() -> TableChanges {
        let (mut changes, image) = keyed();
        changes.deletes.push(image(&row("1")));
        changes.updates.push(UpdateGroup { present: vec![1], rows: vec![image(&row("2"))] });
        changes
            .updates
            .push(UpdateGroup { present: vec![2, 3], rows: vec![image(&row("3")), image(&row("4"))] });
        changes.inserts.push(InsertRow::whole(image(&row("5"))));
        for (new, old, columns) in [("6", "7", vec![1]), ("8", "9", vec![1, 2]), ("10", "11", vec![1])] {
            let fill = Some(Fill { old_key: image(&row(old)), columns });
            changes.inserts.push(InsertRow { fill, ..InsertRow::whole(image(&row(new))) });
        }
        changes
    }

    fn encoded(changes: &TableChanges, limit_bytes: usize) -> (Vec<usize>, Vec<u8>) {
        let staged = StagedChanges::new(changes);
        let mut buffer = RowBuffer::new(staged.columns(TimeForm::Exact), WritePath::Bulk);
        let mut rows = staged.rows();
        let (mut counts, mut bytes) = (Vec::new(), Vec::new());
        loop {
            let count = encode(&changes.table, &mut rows, &mut buffer, "test", limit_bytes).unwrap();
            if count == 0 {
                return (counts, bytes);
            }
            counts.push(count);
            bytes.extend_from_slice(buffer.encoded());
            buffer.clear();
        }
    }

    #[test]
    fn rows_carry_their_operation_and_group() {
        let changes = mixed();
        let staged = StagedChanges::new(&changes);
        let operations: Vec<(u8, usize)> = staged.rows().map(|row| (row.op, row.group)).collect();
        let expected = [
            (OP_DELETE, 0),
            (OP_UPDATE, 0),
            (OP_UPDATE, 1),
            (OP_UPDATE, 1),
            (OP_INSERT, 0),
            (OP_FILL, 0),
            (OP_FILL, 1),
            (OP_FILL, 0),
        ];
        assert_eq!(operations, expected);
        assert_eq!(staged.row_count(), expected.len());
        assert_eq!(staged.fills, [(&[1][..], 2), (&[1, 2][..], 1)]);
    }

    #[test]
    fn rows_are_the_same_in_one_piece_or_in_many() {
        let changes = mixed();
        let (whole, expected) = encoded(&changes, usize::MAX);
        assert_eq!(whole, [8]);
        assert_eq!(encoded(&changes, 1), (vec![1; 8], expected.clone()));
        assert_eq!(encoded(&changes, 150).1, expected);
    }

    #[test]
    fn equal_rows_without_a_key_are_staged_once() {
        let table = fixture::table(2, "bag", 0, &[("a", PgType::Text, false)]);
        let binding = Arc::new(Binding::in_order(&table));
        let mut changes = TableChanges::new(table);
        for text in [Some("x"), Some("x"), Some("x "), None, None, None, Some("")] {
            changes.unkeyed_deletes.push(RowImage::new(Arc::clone(&binding), Tuple::from_texts([text])));
        }
        let staged = StagedChanges::new(&changes);
        let rows = |staged: &StagedChanges<'_>| {
            staged.equal_deletes.iter().map(|equal| equal.rows).collect::<Vec<_>>()
        };
        assert_eq!(rows(&staged), [2, 1, 3, 1]);
        assert_eq!(staged.row_count(), 4);
        let groups = |numbered| {
            let staged = StagedChanges { numbered, ..StagedChanges::new(&changes) };
            staged.rows().map(|row| row.group).collect::<Vec<_>>()
        };
        assert_eq!((groups(false), groups(true)), (vec![0, 1, 2, 3], vec![2, 1, 3, 1]));
    }

    #[test]
    fn rows_that_are_one_content_to_the_target_are_counted_together() {
        let columns = [("n", PgType::Numeric { bounds: None }, false), ("f", PgType::Float8, false)];
        let table = fixture::table(2, "bag", 0, &columns);
        let binding = Arc::new(Binding::in_order(&table));
        let mut changes = TableChanges::new(table);
        for (n, f) in [("1.0", "0"), ("1.00", "0"), ("1", "-0"), ("1.0", "-0"), ("1", "0"), ("2", "0")] {
            let row = Tuple::from_texts([Some(n), Some(f)]);
            changes.unkeyed_deletes.push(RowImage::new(Arc::clone(&binding), row));
        }
        let staged = StagedChanges::new(&changes);
        let rows: Vec<usize> = staged.equal_deletes.iter().map(|equal| equal.rows).collect();
        assert_eq!(rows, [3, 2, 1], "-0 is another value than 0");
    }

    #[test]
    fn null_is_refused_where_the_target_does_not_take_it() {
        let (mut changes, image) = keyed();
        changes.inserts.push(InsertRow::whole(image(&[Some("1"), None, None, None])));
        let staged = StagedChanges::new(&changes);
        let mut buffer = RowBuffer::new(staged.columns(TimeForm::Exact), WritePath::Bulk);
        let refused = encode(&changes.table, &mut staged.rows(), &mut buffer, "test", usize::MAX);
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("public.t, column \"must\": NULL"), "{error}");
    }
}
