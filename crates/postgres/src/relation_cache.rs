//! [`RelationCache`]: what the stream has said about tables.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::Relation;

use crate::error::SourceError;

/// The shapes of tables by OID, as of the point that the stream has reached. Valid for one connection: the server
/// describes every table anew after a reconnect.
#[derive(Debug, Default)]
pub(crate) struct RelationCache {
    relations: HashMap<u32, Arc<Relation>>,
}

// === impl RelationCache ===

impl RelationCache {
    /// Takes a description. Changes behind it have another value than changes before it, even if it says the same: that the
    /// server describes a table again may mean a change that names and types do not show.
    pub(crate) fn put(&mut self, relation: Relation) {
        self.relations.insert(relation.oid, Arc::new(relation));
    }

    /// The table, if it was described.
    pub(crate) fn get(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.relations.get(&oid)
    }

    /// The table. A change of one that was never described is a broken stream, never a row to skip.
    pub(crate) fn expect(&self, oid: u32) -> Result<Arc<Relation>, SourceError> {
        self.get(oid).cloned().ok_or(SourceError::UnknownRelation { oid })
    }

    /// Takes over the descriptions of a streamed transaction, which count for all from its commit on.
    pub(crate) fn absorb(&mut self, other: RelationCache) {
        self.relations.extend(other.relations);
    }
}
