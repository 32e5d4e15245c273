//! [`Refusals`]: rows that the target was seen to refuse, so that they are set aside when their batch is planned again.

use std::collections::HashMap;

use crate::letters::KeyDigest;

/// Rows that the target refuses in one batch, by table and key. It is of that batch only: a later version of a row may be taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusals {
    by_table: HashMap<u32, RefusedKeys>,
}

/// The codes of the target's errors, by the key of the row; of a table without a key by its content.
pub(crate) type RefusedKeys = HashMap<KeyDigest, &'static str>;

// === impl Refusals ===

impl Refusals {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row of a table.
    pub fn insert(&mut self, oid: u32, key: KeyDigest, code: &'static str) {
        self.by_table.entry(oid).or_default().insert(key, code);
    }

    /// Adds those of another one; whether any of them is new.
    pub fn extend(&mut self, other: Refusals) -> bool {
        let mut is_new = false;
        for (oid, keys) in other.by_table {
            let known = self.by_table.entry(oid).or_default();
            for (key, code) in keys {
                is_new |= known.insert(key, code).is_none();
            }
        }
        is_new
    }

    /// The rows of a table.
    pub(crate) fn of(&self, oid: u32) -> Option<&RefusedKeys> {
        self.by_table.get(&oid)
    }
}
