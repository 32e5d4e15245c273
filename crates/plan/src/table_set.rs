//! [`TableSet`]: the tables of a pipeline and where each of them stands.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{Lsn, QualifiedName, Relation, TablePhase};

use crate::known_table::{Known, KnownTable};
use crate::letters::{LetterChange, OpenLetters};
use crate::schema_change::SchemaChange;
use crate::table_plan::TablePlan;

/// One table of a pipeline.
#[derive(Debug, Clone)]
pub struct TableEntry {
    /// Source and target table.
    pub plan: Arc<TablePlan>,
    /// The target held the table as of this position when it became live: changes of transactions that end at or
    /// below it are already there.
    pub sync_lsn: Lsn,
    /// Changes are planned for tables in [`TablePhase::Streaming`] only; the others are left out.
    pub phase: TablePhase,
    /// Rows of it that are set aside.
    pub letters: OpenLetters,
    /// What is known of the source table; `None` takes every description that can be bound to the plan.
    pub known: Option<Known>,
}

/// The tables of a pipeline, by the OID that the stream names them by.
#[derive(Debug, Clone, Default)]
pub struct TableSet {
    by_oid: HashMap<u32, TableEntry>,
    oid_by_name: HashMap<QualifiedName, u32>,
}

// === impl TableSet ===

impl TableSet {
    /// A set without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a table, or replaces the one with the same OID.
    pub fn insert(&mut self, entry: TableEntry) {
        let oid = entry.plan.source.oid;
        self.oid_by_name.insert(entry.plan.source.name.clone(), oid);
        self.by_oid.insert(oid, entry);
    }

    /// The table with this OID.
    pub fn get(&self, oid: u32) -> Option<&TableEntry> {
        self.by_oid.get(&oid)
    }

    /// The table that had this name when it was planned.
    pub fn get_by_name(&self, name: &QualifiedName) -> Option<&TableEntry> {
        self.by_oid.get(self.oid_by_name.get(name)?)
    }

    /// The table with this OID has another name than it was planned with: rows of its name are not its own.
    pub fn forget_name(&mut self, oid: u32) {
        self.oid_by_name.retain(|_, known| *known != oid);
    }

    /// Moves the table with this OID to another phase; false when there is no such table.
    pub fn set_phase(&mut self, oid: u32, phase: TablePhase) -> bool {
        match self.by_oid.get_mut(&oid) {
            Some(entry) => {
                entry.phase = phase;
                true
            }
            None => false,
        }
    }

    /// Takes a table out, if it is there.
    pub fn remove(&mut self, oid: u32) {
        if let Some(entry) = self.by_oid.remove(&oid) {
            let name = &entry.plan.source.name;
            if self.oid_by_name.get(name) == Some(&oid) {
                self.oid_by_name.remove(name);
            }
        }
    }

    /// A description was looked into, and says of its table what `known` does.
    pub fn admit(&mut self, relation: &Arc<Relation>, known: KnownTable) {
        let Some(entry) = self.by_oid.get_mut(&relation.oid) else { return };
        let mut admitted = entry.known.take().map(|known| known.admitted).unwrap_or_default();
        // What nobody else holds comes with no change any more.
        admitted.retain(|relation| Arc::strong_count(relation) > 1);
        admitted.push(Arc::clone(relation));
        entry.known = Some(Known { table: Arc::new(known), admitted });
    }

    /// The table of a description has followed it.
    pub fn follow(&mut self, relation: &Arc<Relation>, change: SchemaChange) {
        let Some(entry) = self.by_oid.get_mut(&relation.oid) else { return };
        let SchemaChange { known, plan, .. } = change;
        entry.plan = Arc::new(plan);
        entry.known = Some(Known { table: Arc::new(known), admitted: vec![Arc::clone(relation)] });
        self.oid_by_name.insert(entry.plan.source.name.clone(), relation.oid);
    }

    /// What is known of the source table with this OID.
    pub fn set_known(&mut self, oid: u32, known: KnownTable) {
        if let Some(entry) = self.by_oid.get_mut(&oid) {
            entry.known = Some(Known::new(known));
        }
    }

    /// Takes over what a batch did to dead letters, once it is committed.
    pub fn note_letters(&mut self, changes: &[LetterChange]) {
        for change in changes {
            if let Some(entry) = self.by_oid.get_mut(&change.oid()) {
                entry.letters.apply(change, !entry.plan.key_columns().is_empty());
            }
        }
    }

    /// The tables, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &TableEntry> {
        self.by_oid.values()
    }

    /// Number of tables.
    pub fn len(&self) -> usize {
        self.by_oid.len()
    }

    /// Whether there are no tables.
    pub fn is_empty(&self) -> bool {
        self.by_oid.is_empty()
    }
}

impl FromIterator<TableEntry> for TableSet {
    fn from_iter<I: IntoIterator<Item = TableEntry>>(entries: I) -> Self {
        let mut set = TableSet::new();
        for entry in entries {
            set.insert(entry);
        }
        set
    }
}
