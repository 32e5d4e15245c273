//! [`Change`]: one row's event inside a transaction.

use std::sync::Arc;

use crate::relation::Relation;
use crate::tuple::Tuple;

/// What pgoutput sent of the row before an UPDATE or DELETE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldTuple {
    /// Only the replica identity's columns are set; the others are NULL on the wire and mean nothing.
    Key(Tuple),
    /// The whole old row (REPLICA IDENTITY FULL).
    Full(Tuple),
}

/// One change, in the order in which the source made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new row.
    Insert {
        /// The table.
        relation: Arc<Relation>,
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// The table.
        relation: Arc<Relation>,
        /// `None` when the identity columns did not change and the identity is not FULL.
        old: Option<OldTuple>,
        /// The row afterwards; unchanged TOASTed fields are not sent.
        new: Tuple,
    },
    /// A removed row.
    Delete {
        /// The table.
        relation: Arc<Relation>,
        /// The row's identity, or the whole row.
        old: OldTuple,
    },
    /// Tables that were emptied together.
    Truncate {
        /// The tables.
        relations: Vec<Arc<Relation>>,
    },
}

// === impl Change ===

impl Change {
    /// The tables that it changes.
    pub fn relations(&self) -> &[Arc<Relation>] {
        match self {
            Change::Insert { relation, .. }
            | Change::Update { relation, .. }
            | Change::Delete { relation, .. } => std::slice::from_ref(relation),
            Change::Truncate { relations } => relations,
        }
    }
}

// === impl OldTuple ===

impl OldTuple {
    /// The fields, whichever of them mean something.
    pub fn tuple(&self) -> &Tuple {
        match self {
            OldTuple::Key(tuple) | OldTuple::Full(tuple) => tuple,
        }
    }
}
