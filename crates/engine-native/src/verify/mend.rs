//! [`changes`]: what has to be written so that rows of the target are what the source says. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{Lsn, Tuple};
use segcdc_plan::{
    ApplyPlan, Binding, Fitted, InsertRow, LetterChange, MarkGroup, MarkedRow, RowImage, TableChanges,
    TablePlan, UpdateGroup, fit,
};

use crate::verify::RepairedRows;
use crate::verify::fingerprint::RowHash;
use crate::verify::read::{self, Key, SourceRow};

/// The changes that make the rows of the target those of the source, of keys for which both are known. Of the target
/// come the hashes of the columns, of several rows of one key one behind the other. `now_us` is when rows that are gone were
/// deleted, of a table in which they stay: when that was at the source is not known.
pub(crate) fn changes<'k>(
    table: &Arc<TablePlan>,
    keys: impl Iterator<Item = &'k Key>,
    source: &HashMap<Key, SourceRow>,
    target: &HashMap<Key, Vec<RowHash>>,
    now_us: i64,
) -> (TableChanges, RepairedRows) {
    let binding = Arc::new(Binding::in_order(table));
    let (mut changes, mut rows) = (TableChanges::new(Arc::clone(table)), RepairedRows::default());
    for key in keys {
        let wanted = source.get(key);
        let found = target.get(key).map(Vec::as_slice).unwrap_or_default();
        let copies = found.len() / table.columns.len().max(1);
        if wanted.is_some_and(|row| is_set_aside(table, &row.tuple)) {
            rows.left += 1;
            continue;
        }
        let image = wanted.map(|row| RowImage::new(Arc::clone(&binding), row.tuple.clone()));
        let removed = match (wanted, copies) {
            (Some(row), 1) => {
                let differing: Vec<usize> =
                    (0..table.columns.len()).filter(|&at| row.columns.get(at) != found.get(at)).collect();
                if let Some(image) = image.filter(|_| !differing.is_empty()) {
                    rows.updated += 1;
                    set(&mut changes, differing, image);
                }
                continue;
            }
            (Some(_), 0) => {
                rows.inserted += 1;
                0
            }
            (Some(_), copies) => {
                rows.updated += 1;
                copies
            }
            (None, 1) if table.marker().is_some() => {
                rows.deleted += 1;
                mark(&mut changes, MarkedRow { image: key_image(table, &binding, key), at_us: now_us });
                0
            }
            (None, copies) => {
                rows.deleted += copies as u64;
                copies
            }
        };
        changes.deletes.extend((0..removed).map(|_| key_image(table, &binding, key)));
        changes.inserts.extend(image.map(InsertRow::whole));
    }
    (changes, rows)
}

/// The changes, and what becomes of dead letters, as the plan of a target transaction in which the checkpoint stays where it
/// is.
pub(crate) fn plan(changes: TableChanges, letters: Vec<LetterChange>, checkpoint: Lsn) -> ApplyPlan {
    let tables = if changes.is_empty() { Vec::new() } else { vec![changes] };
    ApplyPlan {
        tables,
        end_lsn: checkpoint,
        commit_time_us: 0,
        transactions: 0,
        changes: 0,
        letters,
        uses: Vec::new(),
    }
}

/// Whether a row of the source has a value for which it would be set aside.
pub(crate) fn is_set_aside(table: &TablePlan, row: &Tuple) -> bool {
    let mut columns = table.columns.iter().enumerate();
    columns.any(|(at, column)| {
        let field = row.get(at).unwrap_or(segcdc_model::Field::UnchangedToast);
        matches!(fit(column, field), Ok(Fitted::Aside(_)))
    })
}

/// Adds an update of some columns.
fn set(changes: &mut TableChanges, present: Vec<usize>, image: RowImage) {
    match changes.updates.iter_mut().find(|group| group.present == present) {
        Some(group) => group.rows.push(image),
        None => changes.updates.push(UpdateGroup { present, rows: vec![image] }),
    }
}

/// Adds a row that is deleted and stays.
fn mark(changes: &mut TableChanges, row: MarkedRow) {
    match changes.marks.first_mut() {
        Some(group) => group.rows.push(row),
        None => changes.marks.push(MarkGroup { present: Vec::new(), rows: vec![row] }),
    }
}

/// A row of which only the key is known.
fn key_image(table: &TablePlan, binding: &Arc<Binding>, key: &Key) -> RowImage {
    let mut fields: Vec<Option<String>> = vec![None; table.columns.len()];
    for (index, text) in table.key_columns().iter().zip(read::literals(table, key)) {
        if let Some(field) = fields.get_mut(*index) {
            *field = Some(text);
        }
    }
    let tuple = Tuple::from_texts(fields.iter().map(Option::as_deref));
    RowImage::new(Arc::clone(binding), tuple)
}

#[cfg(test)]
mod tests {
    use segcdc_model::Value;

    use super::*;
    use crate::verify::read::tests::table;

    /// The canonical key of the row `id`.
    fn key(id: u32) -> Key {
        vec![id.to_string(), "00ff".to_owned()]
    }

    fn hashes(hashes: [u128; 3]) -> Vec<RowHash> {
        hashes.into_iter().map(RowHash).collect()
    }

    /// A row of the source with the hashes `(note, 0, id)`.
    fn row(id: u32, note: u128) -> (Key, SourceRow) {
        let tuple = Tuple::from_texts([Some("note"), Some("\\x00ff"), Some(id.to_string().as_str())]);
        (key(id), SourceRow { tuple, columns: hashes([note, 0, u128::from(id)]) })
    }

    #[test]
    fn each_difference_has_its_change() {
        let source = HashMap::from([row(1, 10), row(2, 20), row(3, 30), row(4, 40)]);
        let target = HashMap::from([
            (key(2), hashes([21, 0, 2])),
            (key(3), hashes([30, 0, 3])),
            (key(4), [hashes([40, 0, 4]), hashes([41, 0, 4])].concat()),
            (key(5), hashes([50, 0, 5])),
        ]);
        let keys: Vec<Key> = (1..=6).map(key).collect();
        let (changes, rows) = changes(&Arc::new(table()), keys.iter(), &source, &target, 0);
        assert_eq!(rows, RepairedRows { inserted: 1, updated: 2, deleted: 1, ..RepairedRows::default() });
        let id = |image: &RowImage| match image.value(2) {
            Ok(Value::Int(id)) => id,
            other => panic!("{other:?}"),
        };
        assert_eq!(changes.inserts.iter().map(|row| id(&row.image)).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(changes.deletes.iter().map(id).collect::<Vec<_>>(), [4, 4, 5]);
        let [group] = changes.updates.as_slice() else { panic!("{:?}", changes.updates) };
        assert_eq!(
            (group.present.as_slice(), group.rows.iter().map(id).collect::<Vec<_>>()),
            ([0].as_slice(), vec![2])
        );
    }
}
