//! A target database in fifty lines: carries out an apply plan in the documented order and checks every row count.

use segcdc_model::{Field, PgType};
use segcdc_plan::{ApplyPlan, RowImage, TableChanges, TableKey, TablePlan};
use std::collections::HashMap;

use crate::fixture::{Cell, cell};

/// The values of a row, in the order of the plan's columns.
pub type Row = Vec<Cell>;

/// The rows of each table, by the table's OID.
#[derive(Debug, Default, Clone)]
pub struct Target {
    /// The rows.
    pub tables: HashMap<u32, Vec<Row>>,
    /// The rows that were deleted and stay, and when they were.
    pub deleted: HashMap<u32, Vec<DeletedRow>>,
}

/// A row that was deleted and stays, and when it was, microseconds since 2000-01-01 UTC.
pub type DeletedRow = (Row, i64);

impl Target {
    /// Carries out a plan.
    ///
    /// # Errors
    /// Which count was not as it should be. Part of the plan may be carried out then.
    pub fn apply(&mut self, plan: &ApplyPlan) -> Result<(), String> {
        for changes in &plan.tables {
            let oid = changes.table.source.oid;
            let (rows, deleted) = (self.tables.entry(oid).or_default(), self.deleted.entry(oid).or_default());
            apply_table(rows, deleted, changes)?;
        }
        Ok(())
    }
}

fn apply_table(
    rows: &mut Vec<Row>,
    deleted: &mut Vec<DeletedRow>,
    changes: &TableChanges,
) -> Result<(), String> {
    let table = &changes.table;
    if changes.truncate {
        rows.clear();
    }
    let mut staged = Vec::new();
    for insert in &changes.inserts {
        let mut row = read(&insert.image, table);
        if let Some(fill) = &insert.fill {
            let key = key_of_image(&fill.old_key, table);
            let olds: Vec<&Row> = rows.iter().filter(|row| key_of(row, table) == key).collect();
            let [old] = olds[..] else { return Err(format!("fill found {} rows at {key:?}", olds.len())) };
            for column in &fill.columns {
                if row[*column] != Cell::Unchanged {
                    return Err("a known value is filled".to_owned());
                }
                row[*column] = old[*column].clone();
            }
        }
        if row.contains(&Cell::Unchanged) {
            return Err(format!("a staged row lacks values: {row:?}"));
        }
        staged.push((row, insert.deleted_at_us));
    }
    for delete in &changes.deletes {
        let key = key_of_image(delete, table);
        let before = rows.len();
        rows.retain(|row| key_of(row, table) != key);
        if before - rows.len() != 1 {
            return Err(format!("delete removed {} rows at {key:?}", before - rows.len()));
        }
    }
    for delete in &changes.unkeyed_deletes {
        let wanted = read(delete, table);
        match rows.iter().position(|row| *row == wanted) {
            Some(position) => drop(rows.remove(position)),
            None => return Err(format!("no row equals {wanted:?}")),
        }
    }
    for group in &changes.updates {
        for image in &group.rows {
            let key = key_of_image(image, table);
            let mut matching: Vec<&mut Row> =
                rows.iter_mut().filter(|row| key_of(row, table) == key).collect();
            let [row] = &mut matching[..] else {
                return Err(format!("update found {} rows at {key:?}", matching.len()));
            };
            for column in &group.present {
                row[*column] = cell(image.field(*column));
            }
        }
    }
    keep_deleted(rows, deleted, changes)?;
    for (row, deleted_at_us) in staged {
        if matches!(table.key, TableKey::Columns(_)) {
            let key = key_of(&row, table);
            deleted.retain(|(other, _)| key_of(other, table) != key);
            if rows.iter().any(|other| key_of(other, table) == key) {
                return Err(format!("duplicate key {key:?}"));
            }
        }
        match deleted_at_us {
            None => rows.push(row),
            Some(at_us) => deleted.push((row, at_us)),
        }
    }
    Ok(())
}

/// Marks rows, and takes the marked ones away that are in the way.
fn keep_deleted(
    rows: &mut Vec<Row>,
    deleted: &mut Vec<DeletedRow>,
    changes: &TableChanges,
) -> Result<(), String> {
    let table = &changes.table;
    for group in &changes.marks {
        for mark in &group.rows {
            let key = key_of_image(&mark.image, table);
            let before = rows.len();
            let mut found = rows.extract_if(.., |row| key_of(row, table) == key).collect::<Vec<_>>();
            let (Some(mut row), None) = (found.pop(), found.pop()) else {
                return Err(format!("mark found {} rows at {key:?}", before - rows.len()));
            };
            for column in &group.present {
                row[*column] = cell(mark.image.field(*column));
            }
            put_deleted(deleted, row, mark.at_us, table);
        }
    }
    if let Some(at_us) = changes.all_marked_us {
        for row in rows.drain(..) {
            put_deleted(deleted, row, at_us, table);
        }
    }
    for key in changes.cleared.iter().map(|image| key_of_image(image, table)) {
        deleted.retain(|(other, _)| key_of(other, table) != key);
    }
    Ok(())
}

/// A row is deleted, and stays in the place of one with its key.
fn put_deleted(deleted: &mut Vec<DeletedRow>, row: Row, at_us: i64, table: &TablePlan) {
    let key = key_of(&row, table);
    deleted.retain(|(other, _)| key_of(other, table) != key);
    deleted.push((row, at_us));
}

fn read(image: &RowImage, table: &TablePlan) -> Row {
    (0..table.columns.len()).map(|column| cell(image.field(column))).collect()
}

/// The key of a row, as the target compares it.
pub fn key_of(row: &Row, table: &TablePlan) -> Vec<Cell> {
    table
        .key_columns()
        .iter()
        .map(|column| compared(&row[*column], &table.columns[*column].pg_type))
        .collect()
}

fn key_of_image(image: &RowImage, table: &TablePlan) -> Vec<Cell> {
    let field = |column: &usize| {
        let field = image.field(*column);
        assert_ne!(field, Field::UnchangedToast, "a key must always be known");
        compared(&cell(field), &table.columns[*column].pg_type)
    };
    table.key_columns().iter().map(field).collect()
}

/// A key value as the target compares it: numbers by value.
pub fn compared(value: &Cell, pg_type: &PgType) -> Cell {
    match (value, pg_type) {
        (Cell::Text(text), PgType::Numeric { .. }) if text.contains('.') => {
            Cell::Text(text.trim_end_matches('0').trim_end_matches('.').to_owned())
        }
        _ => value.clone(),
    }
}
