//! Rows that are deleted and stay, of a table with a mark for them ([`TablePlan::marker`]).
//!
//! What the target holds is what it would hold if each change were applied by itself, however changes are batched: an INSERT takes
//! the place of a deleted row with its key, an UPDATE of the key moves the row and leaves nothing, a TRUNCATE deletes all rows.
//!
//! ```text
//! entry of the last key      what becomes of it
//!
//! the row of the start       marked, with what was sent of it before
//! a row from another key     deleted there, added here as deleted, filled from there
//! a new row                  added as deleted
//! a row that has moved on    a deleted row of before goes, if there is one
//! ```
//!
//! Rows that the batch has not touched before a TRUNCATE are marked by one statement, behind those that it has touched.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use segcdc_model::{Field, Lsn};

use super::{KeyedNet, Origin, Row, Start, Taken, insert_row};
use crate::apply_plan::{InsertRow, MarkGroup, MarkedRow, TableChanges};
use crate::error::PlanError;
use crate::ledger::Ledger;
use crate::row_image::RowImage;
use crate::table_plan::TablePlan;

/// What the last row has left that had a key.
pub(super) enum Left {
    /// Itself: it was deleted.
    Deleted(Deleted),
    /// Nothing: it came, in the place of a deleted row if there was one, and has another key now. With the key that it had.
    Room(RowImage),
}

/// A row that was deleted.
pub(super) struct Deleted {
    row: Row,
    /// The target holds it as it is.
    is_as_before: bool,
    /// Commit end of the transaction that deleted it.
    lsn: Lsn,
    /// Its commit time.
    at_us: i64,
}

/// Which group of marks sets which columns.
#[derive(Default)]
pub(super) struct MarkGroups(HashMap<Vec<usize>, usize, RandomState>);

// === impl KeyedNet ===

impl KeyedNet {
    /// Remembers a row that is deleted now, unless another one has its key.
    pub(super) fn remember(&mut self, Taken { entry, row, is_as_before }: Taken) {
        let (lsn, at_us) = (self.position, self.time_us);
        if let Some(entry) = self.entries.get_mut(entry).filter(|entry| entry.rows.is_empty()) {
            entry.left = Some(Box::new(Left::Deleted(Deleted { row, is_as_before, lsn, at_us })));
        }
    }

    /// Remembers that a row was there which gets another key now.
    pub(super) fn vacate(&mut self, taken: &Taken) {
        let entry = self.entries.get_mut(taken.entry);
        // Where the target had a row at the start it has no deleted one.
        if let Some(entry) =
            entry.filter(|entry| matches!(entry.start, Start::Absent) && entry.rows.is_empty())
        {
            entry.left = Some(Box::new(Left::Room(taken.row.image.clone())));
        }
    }

    /// The same of all rows; those that the batch has not touched are deleted with the first of several times.
    pub(super) fn remember_all(&mut self) {
        let (lsn, at_us) = (self.position, self.time_us);
        self.all_marked_us.get_or_insert(at_us);
        for entry in &mut self.entries {
            let Some(Row { image, origin }) = entry.rows.drain(..).last() else { continue };
            entry.lsn = lsn;
            let origin = match origin {
                Origin::InPlace => {
                    let key = Box::new(image.clone());
                    entry.start = Start::Gone(key.clone());
                    Origin::Moved(key)
                }
                other => other,
            };
            let row = Row { image, origin };
            entry.left = Some(Box::new(Left::Deleted(Deleted { row, is_as_before: false, lsn, at_us })));
        }
    }
}

// === impl Left ===

impl Left {
    /// Writes what becomes of the key's entry, whose start was `start`.
    pub(super) fn finish(
        self,
        table: (&TablePlan, &[usize]),
        start: Start,
        changes: &mut TableChanges,
        groups: &mut MarkGroups,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PlanError> {
        match self {
            Left::Deleted(deleted) => deleted.finish(table, start, changes, groups, ledger),
            Left::Room(key) => {
                changes.cleared.push(key);
                Ok(())
            }
        }
    }
}

// === impl Deleted ===

impl Deleted {
    /// Writes what becomes of the entry of the row's last key, whose start was `start`.
    fn finish(
        self,
        (table, other_columns): (&TablePlan, &[usize]),
        start: Start,
        changes: &mut TableChanges,
        groups: &mut MarkGroups,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), PlanError> {
        let Deleted { row, is_as_before, lsn, at_us } = self;
        if let Start::Gone(key) = start {
            let is_in_target = ledger.gone(&key, lsn)?;
            if is_row_of(table, &key, &row) {
                if is_in_target {
                    let as_sent = !is_as_before && ledger.can_be_marked_as_sent(&row.image)?;
                    groups.add(changes, if as_sent { other_columns } else { &[] }, row.image, at_us);
                }
                return Ok(());
            }
            if is_in_target {
                changes.deletes.push(*key);
            }
        }
        let old_key = match &row.origin {
            Origin::Moved(key) => Some(&**key),
            Origin::InPlace | Origin::Inserted => None,
        };
        if ledger.leaves_trace(&row.image, old_key, other_columns)? {
            let row = insert_row(table, other_columns, row)?;
            changes.inserts.push(InsertRow { deleted_at_us: Some(at_us), ..row });
        }
        Ok(())
    }
}

/// Whether a row is the one that had this key at the start, and has it in the same spelling.
fn is_row_of(table: &TablePlan, key: &RowImage, row: &Row) -> bool {
    let same = |other: &RowImage| {
        table.key_columns().iter().all(|column| key.field(*column) == other.field(*column))
    };
    match &row.origin {
        Origin::Moved(start) => same(start) && same(&row.image),
        Origin::InPlace | Origin::Inserted => false,
    }
}

// === impl MarkGroups ===

impl MarkGroups {
    /// Adds a row to the group of marks that set the same of `columns`: those that were sent.
    fn add(&mut self, changes: &mut TableChanges, columns: &[usize], image: RowImage, at_us: i64) {
        let is_present = |column: &usize| image.field(*column) != Field::UnchangedToast;
        let present: Vec<usize> = columns.iter().copied().filter(is_present).collect();
        let group = *self.0.entry(present).or_insert_with_key(|present| {
            changes.marks.push(MarkGroup { present: present.clone(), rows: Vec::new() });
            changes.marks.len() - 1
        });
        if let Some(group) = changes.marks.get_mut(group) {
            group.rows.push(MarkedRow { image, at_us });
        }
    }
}
