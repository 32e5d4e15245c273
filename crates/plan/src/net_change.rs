//! [`KeyedNet`]: many changes of the rows of a table with a key, as one net change per key.
//!
//! Each key that the batch touches has an entry: what the target holds under it when the batch begins, and what it is
//! to hold when the batch ends. Rows move between entries as their keys change, and remember which key they had in the
//! target at the start: that is where values come from that the stream never sent.
//!
//! ```text
//! UPDATE k=1 -> k=2, then k=2 -> k=3, a TOASTed value unchanged:
//!
//!   entry 1   start: a row, gone      rows: -                          => delete 1
//!   entry 2   start: absent           rows: -                          => nothing
//!   entry 3   start: absent           rows: the row, moved from 1      => insert 3, filled from 1
//!
//! swap of 1 and 2 (through 0):
//!
//!   entry 1   start: a row, gone      rows: the row moved from 2       => delete 1, insert 1 filled from 2
//!   entry 2   start: a row, gone      rows: the row moved from 1       => delete 2, insert 2 filled from 1
//!   entry 0   start: absent           rows: -                          => nothing
//! ```
//!
//! In a table in which deleted rows stay ([`TablePlan::marker`]), an entry without a row remembers what became of the last one, see
//! `deleted.rs`.
//!
//! Two rows may have one key for a moment: a deferrable primary key, with REPLICA IDENTITY FULL, is checked at commit
//! only. The old tuples are whole then and tell the rows apart.

mod deleted;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{Field, Lsn, OldTuple};
use smallvec::SmallVec;

use crate::apply_plan::{Fill, InsertRow, TableChanges, UpdateGroup};
use crate::bind::Binding;
use crate::error::PlanError;
use crate::key::{self, KeyBytes};
use crate::ledger::{Kept, Ledger};
use crate::row_image::RowImage;
use crate::table_plan::TablePlan;

use self::deleted::{Left, MarkGroups};

/// The net change of each touched key of one table.
pub(crate) struct KeyedNet {
    table: Arc<TablePlan>,
    /// In the order in which the batch first touched the keys.
    entries: Vec<Entry>,
    entry_by_key: HashMap<KeyBytes, usize, RandomState>,
    /// The key looked up last; kept for its memory.
    scratch: KeyBytes,
    /// Whether the table was emptied in this batch: no row of its start is left.
    truncated: bool,
    /// When rows that the batch does not touch were deleted, of a table in which they stay.
    all_marked_us: Option<i64>,
    /// Commit end of the transaction whose changes come now.
    position: Lsn,
    /// Its commit time.
    time_us: i64,
}

/// One key.
struct Entry {
    start: Start,
    /// Commit end of the transaction that touched the key last.
    lsn: Lsn,
    /// The rows that have the key now: one at most, but for a moment.
    rows: SmallVec<[Row; 1]>,
    /// What the last row has left that had the key, where deleted rows stay.
    left: Option<Box<Left>>,
}

/// What the target holds under a key when the batch begins.
enum Start {
    /// Nothing, as far as the changes so far tell.
    Absent,
    /// A row that still has the key, and is among the entry's rows.
    InPlace,
    /// A row that was deleted or has another key now. With the key as it was spelled.
    Gone(Box<RowImage>),
}

/// A row as the changes so far left it.
struct Row {
    image: RowImage,
    origin: Origin,
}

/// Where a row was when the batch began.
enum Origin {
    /// In the target, under the key that it has now, and never under another one.
    InPlace,
    /// In the target, under this key.
    Moved(Box<RowImage>),
    /// Nowhere.
    Inserted,
}

/// Which row of an entry a change speaks of.
enum Found {
    /// The one at this position.
    Row(usize),
    /// The one that the target held at the start, of which this is the first change.
    StartRow,
}

/// Whether a key was seen for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sighting {
    First,
    Again,
}

// === impl KeyedNet ===

impl KeyedNet {
    /// No change.
    pub(crate) fn new(table: &Arc<TablePlan>) -> Self {
        KeyedNet {
            table: Arc::clone(table),
            entries: Vec::new(),
            entry_by_key: HashMap::default(),
            scratch: KeyBytes::new(),
            truncated: false,
            all_marked_us: None,
            position: Lsn::ZERO,
            time_us: 0,
        }
    }

    /// Changes that come now are those of the transaction that ends at `lsn` and was committed at `time_us`.
    pub(crate) fn at(&mut self, lsn: Lsn, time_us: i64) {
        (self.position, self.time_us) = (lsn, time_us);
    }

    /// Adds a row.
    pub(crate) fn insert(&mut self, image: RowImage) -> Result<(), PlanError> {
        let (index, _) = self.locate(&image)?;
        self.put(index, Row { image, origin: Origin::Inserted })
    }

    /// Changes a row, in place or to another key.
    pub(crate) fn update(
        &mut self,
        binding: &Arc<Binding>,
        old: Option<&OldTuple>,
        mut new: RowImage,
    ) -> Result<(), PlanError> {
        let Some(old) = old else {
            self.check_identity(binding)?;
            return self.update_in_place(None, new);
        };
        let old = self.old_image(binding, old)?;
        new.lay_over(&old.image);
        if self.same_spelling(&old.image, &new) {
            self.update_in_place(Some(&old), new)
        } else {
            self.change_key(old, new)
        }
    }

    /// Removes a row.
    pub(crate) fn delete(&mut self, binding: &Arc<Binding>, old: &OldTuple) -> Result<(), PlanError> {
        let old = self.old_image(binding, old)?;
        let taken = self.take(old)?;
        if self.table.marker().is_some() {
            self.remember(taken);
        }
        Ok(())
    }

    /// Removes all rows, those of the start too.
    pub(crate) fn truncate(&mut self) {
        if self.table.marker().is_some() {
            self.remember_all();
            self.truncated = true;
            return;
        }
        self.entries.clear();
        self.entry_by_key.clear();
        self.truncated = true;
    }

    /// Writes the net changes, without the rows that `ledger` sets aside.
    pub(crate) fn finish(self, changes: &mut TableChanges, ledger: &mut Ledger<'_>) -> Result<(), PlanError> {
        let table = Arc::clone(&self.table);
        let other_columns: Vec<usize> =
            (0..table.columns.len()).filter(|column| !table.is_key(*column)).collect();
        let (mut groups, mut marks) = (UpdateGroups::default(), MarkGroups::default());
        changes.all_marked_us = self.all_marked_us;
        for entry in self.entries {
            let mut rows = entry.rows.into_iter();
            let row = rows.next();
            if rows.next().is_some() {
                return Err(contradiction(&table, "two rows have one key at the end of a transaction"));
            }
            if let Some(left) = entry.left.filter(|_| row.is_none()) {
                left.finish((&table, &other_columns), entry.start, changes, &mut marks, ledger)?;
                continue;
            }
            match (entry.start, row) {
                (Start::Absent, None) => {}
                (Start::Gone(key), None) => {
                    if ledger.gone(&key, entry.lsn)? {
                        changes.deletes.push(*key);
                    }
                }
                (Start::InPlace, Some(Row { image, origin: Origin::InPlace })) => {
                    if is_only_key(&image, &other_columns) {
                        continue;
                    }
                    match ledger.kept(&image, &other_columns, entry.lsn)? {
                        Kept::Update => groups.add(changes, &other_columns, image),
                        Kept::Insert => changes.inserts.push(InsertRow::whole(image)),
                        Kept::Aside => {}
                    }
                }
                (start @ (Start::Gone(_) | Start::Absent), Some(row)) => {
                    if let Start::Gone(key) = start
                        && ledger.is_in_target(&key)?
                    {
                        changes.deletes.push(*key);
                    }
                    let old_key = match &row.origin {
                        Origin::Moved(key) => Some(&**key),
                        Origin::InPlace | Origin::Inserted => None,
                    };
                    if ledger.arrives(&row.image, old_key, &other_columns, entry.lsn)? {
                        changes.inserts.push(insert_row(&table, &other_columns, row)?);
                    }
                }
                (Start::InPlace, _) => return Err(contradiction(&table, "a row is both there and gone")),
            }
        }
        Ok(())
    }

    /// Changes a row that keeps its key, to the letter.
    fn update_in_place(&mut self, old: Option<&OldImage>, mut new: RowImage) -> Result<(), PlanError> {
        let (index, sighting) = self.locate(&new)?;
        let found = self.find(index, sighting, old)?;
        let Some(entry) = self.entries.get_mut(index) else { return Ok(()) };
        match found {
            Found::StartRow => {
                entry.start = Start::InPlace;
                entry.rows.push(Row { image: new, origin: Origin::InPlace });
            }
            Found::Row(position) => {
                if let Some(row) = entry.rows.get_mut(position) {
                    new.lay_over(&row.image);
                    row.image = new;
                }
            }
        }
        Ok(())
    }

    /// Moves a row to another key, or to another spelling of its key: columns of the target that hold the spelling
    /// (a float's sign of zero) change with it, which an update by key does not do.
    fn change_key(&mut self, old: OldImage, mut new: RowImage) -> Result<(), PlanError> {
        let taken = self.take(old)?;
        if self.table.marker().is_some() {
            self.vacate(&taken);
        }
        let mut row = taken.row;
        new.lay_over(&row.image);
        row.image = new;
        let (index, _) = self.locate(&row.image)?;
        self.put(index, row)
    }

    /// Takes the row that `old` names from its key.
    fn take(&mut self, old: OldImage) -> Result<Taken, PlanError> {
        let (index, sighting) = self.locate(&old.image)?;
        let found = self.find(index, sighting, Some(&old))?;
        let Some(entry) = self.entries.get_mut(index) else {
            return Err(contradiction(&self.table, "an entry is missing"));
        };
        let is_as_before = matches!(found, Found::StartRow);
        let row = match found {
            Found::Row(position) => entry.rows.remove(position),
            Found::StartRow => Row { image: old.image.clone(), origin: Origin::InPlace },
        };
        let taken = |row| Taken { entry: index, row, is_as_before };
        let Row { image, origin: Origin::InPlace } = row else { return Ok(taken(row)) };
        let key = Box::new(old.image);
        entry.start = Start::Gone(key.clone());
        Ok(taken(Row { image, origin: Origin::Moved(key) }))
    }

    /// Puts a row under a key.
    fn put(&mut self, index: usize, row: Row) -> Result<(), PlanError> {
        match self.entries.get_mut(index) {
            Some(entry) => {
                entry.rows.push(row);
                entry.left = None;
            }
            None => return Err(contradiction(&self.table, "an entry is missing")),
        }
        Ok(())
    }

    /// Which row with the key of the entry a change speaks of.
    fn find(&self, index: usize, sighting: Sighting, old: Option<&OldImage>) -> Result<Found, PlanError> {
        if sighting == Sighting::First && !self.truncated {
            return Ok(Found::StartRow);
        }
        let unknown_row = || contradiction(&self.table, "a row is changed that is not there");
        let entry = self.entries.get(index).ok_or_else(unknown_row)?;
        let Some(old) = old.filter(|old| old.is_whole) else {
            return if entry.rows.len() == 1 { Ok(Found::Row(0)) } else { Err(unknown_row()) };
        };
        let columns = self.table.columns.len();
        match entry.rows.iter().position(|row| row.image.agrees_with(&old.image, columns)) {
            Some(position) => Ok(Found::Row(position)),
            None if matches!(entry.start, Start::Absent) && !self.truncated => Ok(Found::StartRow),
            None => Err(unknown_row()),
        }
    }

    /// The entry of the key of `image`, made if need be.
    fn locate(&mut self, image: &RowImage) -> Result<(usize, Sighting), PlanError> {
        self.scratch.clear();
        let compared = if is_planted(Mutant::KeysByFirstColumn) { 1 } else { usize::MAX };
        for column in self.table.key_columns().iter().take(compared) {
            let field = image.field(*column);
            let Some(plan) = self.table.columns.get(*column) else { continue };
            if field == Field::Null {
                return Err(contradiction(&self.table, "a column of the key is NULL"));
            }
            key::append_identity(&plan.pg_type, field, &mut self.scratch).map_err(|source| {
                PlanError::Value {
                    oid: self.table.source.oid,
                    table: self.table.source.name.clone(),
                    column: plan.source_name.clone(),
                    source,
                }
            })?;
        }
        if let Some(index) = self.entry_by_key.get(&self.scratch) {
            if let Some(entry) = self.entries.get_mut(*index) {
                entry.lsn = self.position;
            }
            return Ok((*index, Sighting::Again));
        }
        let index = self.entries.len();
        self.entries.push(Entry {
            start: Start::Absent,
            lsn: self.position,
            rows: SmallVec::new(),
            left: None,
        });
        self.entry_by_key.insert(self.scratch.clone(), index);
        Ok((index, Sighting::First))
    }

    /// Whether both images spell the key alike.
    fn same_spelling(&self, one: &RowImage, other: &RowImage) -> bool {
        self.table.key_columns().iter().all(|column| one.field(*column) == other.field(*column))
    }

    fn old_image(&self, binding: &Arc<Binding>, old: &OldTuple) -> Result<OldImage, PlanError> {
        Ok(match old {
            OldTuple::Full(tuple) => {
                OldImage { image: RowImage::new(Arc::clone(binding), tuple.clone()), is_whole: true }
            }
            OldTuple::Key(tuple) => {
                self.check_identity(binding)?;
                OldImage { image: RowImage::identity(Arc::clone(binding), tuple.clone()), is_whole: false }
            }
        })
    }

    /// Checks that an old row which is not sent whole is known by the planned key: else an UPDATE that is said not to
    /// have touched the identity may have changed the key.
    fn check_identity(&self, binding: &Binding) -> Result<(), PlanError> {
        if binding.identity_covers_key() {
            return Ok(());
        }
        Err(PlanError::ReplicaIdentityChanged {
            oid: self.table.source.oid,
            table: self.table.source.name.clone(),
            detail: "it does not contain the key of the target table any more".to_owned(),
        })
    }
}

/// A row that was taken from its key.
struct Taken {
    /// The key's entry.
    entry: usize,
    row: Row,
    /// The target holds it as it is: this is the first change of it.
    is_as_before: bool,
}

/// A row before a change.
struct OldImage {
    image: RowImage,
    /// Whether all columns were sent, and not only the key.
    is_whole: bool,
}

/// Whether nothing but the key is known of a row, or all its columns are key: it stays as it is.
fn is_only_key(image: &RowImage, other_columns: &[usize]) -> bool {
    other_columns.iter().all(|column| image.field(*column) == Field::UnchangedToast)
}

/// Which group of updates sets which columns.
#[derive(Default)]
struct UpdateGroups {
    by_columns: HashMap<Vec<usize>, usize, RandomState>,
    /// The columns of the row at hand; kept, so that no row needs memory of its own for them.
    present: Vec<usize>,
}

// === impl UpdateGroups ===

impl UpdateGroups {
    /// Adds a row to the group of updates that set the same columns.
    fn add(&mut self, changes: &mut TableChanges, other_columns: &[usize], image: RowImage) {
        let is_present = |column: &usize| image.field(*column) != Field::UnchangedToast;
        self.present.clear();
        self.present.extend(other_columns.iter().copied().filter(is_present));
        let known = self.by_columns.get(self.present.as_slice());
        if let Some(group) = known.and_then(|index| changes.updates.get_mut(*index)) {
            group.rows.push(image);
            return;
        }
        self.by_columns.insert(self.present.clone(), changes.updates.len());
        changes.updates.push(UpdateGroup { present: self.present.clone(), rows: vec![image] });
    }
}

/// A row to add, with what is to be taken from where it was at the start.
fn insert_row(table: &TablePlan, other_columns: &[usize], row: Row) -> Result<InsertRow, PlanError> {
    let image = row.image;
    let missing: Vec<usize> = other_columns
        .iter()
        .copied()
        .filter(|column| image.field(*column) == Field::UnchangedToast)
        .collect();
    if missing.is_empty() {
        return Ok(InsertRow::whole(image));
    }
    match row.origin {
        Origin::Moved(old_key) => Ok(InsertRow {
            fill: Some(Fill { old_key: *old_key, columns: missing }),
            ..InsertRow::whole(image)
        }),
        // PostgreSQL makes an INSERT of an UPDATE that has a row meet the condition, and leaves out of it what it leaves out of
        // an UPDATE.
        Origin::Inserted if table.filter.is_some() => Err(PlanError::RowEntersInPart {
            oid: table.source.oid,
            table: table.source.name.clone(),
            column: missing
                .first()
                .and_then(|column| table.columns.get(*column))
                .map(|column| column.source_name.clone())
                .unwrap_or_default(),
        }),
        Origin::Inserted | Origin::InPlace => {
            Err(contradiction(table, "a new row lacks a value that was said not to have changed"))
        }
    }
}

/// The stream says what cannot be.
pub(crate) fn contradiction(table: &TablePlan, detail: &'static str) -> PlanError {
    PlanError::Contradiction { oid: table.source.oid, table: table.source.name.clone(), detail }
}
