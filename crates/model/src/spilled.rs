//! [`SpilledChanges`]: the changes of a transaction that are too many for memory, and are kept elsewhere.
//!
//! What keeps them is not this crate's matter: [`ChangeStore`] gives them back part by part, in order, as often as it is
//! asked. Each part fits into memory.

use std::io;
use std::sync::Arc;

use crate::change::Change;
use crate::relation::Relation;

/// Keeps changes until it is dropped.
pub trait ChangeStore: std::fmt::Debug + Send + Sync {
    /// Number of parts.
    fn parts(&self) -> usize;

    /// The changes of part `index`, without those that were rolled back; empty behind the last part.
    ///
    /// # Errors
    /// When the part cannot be read, and `InvalidData` when it is not what was written.
    fn read_part(&self, index: usize) -> io::Result<Vec<Change>>;

    /// The tables that are changed, each in every shape that it has in the transaction.
    fn relations(&self) -> &[Arc<Relation>];

    /// Number of changes, those that were rolled back included.
    fn changes(&self) -> u64;

    /// Bytes that are kept.
    fn bytes(&self) -> u64;
}

/// Changes in a store. Clones share them. Equal only to its clones.
#[derive(Debug, Clone)]
pub struct SpilledChanges(Arc<dyn ChangeStore>);

// === impl SpilledChanges ===

impl SpilledChanges {
    /// The changes of a store.
    pub fn new(store: Arc<dyn ChangeStore>) -> Self {
        SpilledChanges(store)
    }

    /// Where they are.
    pub fn store(&self) -> &Arc<dyn ChangeStore> {
        &self.0
    }
}

impl PartialEq for SpilledChanges {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SpilledChanges {}
