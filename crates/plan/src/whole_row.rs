//! [`WholeRowNet`]: the changes of a table without a key, as a multiset of row contents.
//!
//! Such a table is a bag: equal rows cannot be told apart, and need not be. The net effect is how many rows of each
//! content are added or removed, so the order of the changes does not matter.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use segcdc_model::{Lsn, OldTuple};

use crate::apply_plan::{InsertRow, TableChanges};
use crate::bind::Binding;
use crate::error::PlanError;
use crate::key::{self, KeyBytes};
use crate::ledger::Ledger;
use crate::net_change;
use crate::row_image::RowImage;
use crate::table_plan::TablePlan;

/// How many rows of each content the batch adds or removes.
pub(crate) struct WholeRowNet {
    table: Arc<TablePlan>,
    /// In the order in which the batch first touched the contents.
    entries: Vec<Entry>,
    entry_by_content: HashMap<KeyBytes, usize, RandomState>,
    scratch: KeyBytes,
    truncated: bool,
    /// Commit end of the transaction whose changes come now.
    position: Lsn,
}

/// One content.
struct Entry {
    /// A row that has it.
    image: RowImage,
    /// Rows added, less rows removed.
    added: i64,
    /// Commit end of the transaction that touched the content last.
    lsn: Lsn,
}

// === impl WholeRowNet ===

impl WholeRowNet {
    /// No change.
    pub(crate) fn new(table: &Arc<TablePlan>) -> Self {
        WholeRowNet {
            table: Arc::clone(table),
            entries: Vec::new(),
            entry_by_content: HashMap::default(),
            scratch: KeyBytes::new(),
            truncated: false,
            position: Lsn::ZERO,
        }
    }

    /// Changes that come now are those of the transaction that ends at `lsn`.
    pub(crate) fn at(&mut self, lsn: Lsn) {
        self.position = lsn;
    }

    /// Adds a row.
    pub(crate) fn insert(&mut self, image: RowImage) -> Result<(), PlanError> {
        self.count(image, 1)
    }

    /// Changes a row: removes the old one and adds the new one.
    pub(crate) fn update(
        &mut self,
        binding: &Arc<Binding>,
        old: Option<&OldTuple>,
        mut new: RowImage,
    ) -> Result<(), PlanError> {
        let old = self.old_image(binding, old)?;
        new.lay_over(&old);
        self.count(old, -1)?;
        self.count(new, 1)
    }

    /// Removes a row.
    pub(crate) fn delete(&mut self, binding: &Arc<Binding>, old: &OldTuple) -> Result<(), PlanError> {
        let old = self.old_image(binding, Some(old))?;
        self.count(old, -1)
    }

    /// Removes all rows, those of the start too.
    pub(crate) fn truncate(&mut self) {
        self.entries.clear();
        self.entry_by_content.clear();
        self.truncated = true;
    }

    /// Writes the net changes, without the rows that `ledger` sets aside.
    pub(crate) fn finish(self, changes: &mut TableChanges, ledger: &mut Ledger<'_>) -> Result<(), PlanError> {
        for entry in self.entries {
            if self.truncated && entry.added < 0 {
                return Err(net_change::contradiction(
                    &self.table,
                    "a row is removed that TRUNCATE had removed before",
                ));
            }
            let rows = entry.added.unsigned_abs();
            if entry.added > 0 && ledger.added(&entry.image, rows, entry.lsn)? {
                (0..rows).for_each(|_| changes.inserts.push(InsertRow::whole(entry.image.clone())));
            }
            if entry.added < 0 {
                let rows = ledger.removed(&entry.image, rows, entry.lsn)?;
                (0..rows).for_each(|_| changes.unkeyed_deletes.push(entry.image.clone()));
            }
        }
        Ok(())
    }

    fn count(&mut self, image: RowImage, added: i64) -> Result<(), PlanError> {
        self.scratch.clear();
        for (index, column) in self.table.columns.iter().enumerate() {
            key::append_content(image.field(index), &mut self.scratch).map_err(|source| {
                PlanError::Value {
                    oid: self.table.source.oid,
                    table: self.table.source.name.clone(),
                    column: column.source_name.clone(),
                    source,
                }
            })?;
        }
        let known = self.entry_by_content.get(&self.scratch).copied();
        if let Some(entry) = known.and_then(|index| self.entries.get_mut(index)) {
            entry.added += added;
            entry.lsn = self.position;
            return Ok(());
        }
        self.entry_by_content.insert(self.scratch.clone(), self.entries.len());
        self.entries.push(Entry { image, added, lsn: self.position });
        Ok(())
    }

    fn old_image(&self, binding: &Arc<Binding>, old: Option<&OldTuple>) -> Result<RowImage, PlanError> {
        match old {
            Some(OldTuple::Full(tuple)) => Ok(RowImage::new(Arc::clone(binding), tuple.clone())),
            Some(OldTuple::Key(_)) | None => Err(PlanError::ReplicaIdentityChanged {
                oid: self.table.source.oid,
                table: self.table.source.name.clone(),
                detail: "it is not FULL any more, and the table has no key".to_owned(),
            }),
        }
    }
}
