//! [`Resume`]: a transaction of which the first changes are applied already comes again, and loses them.
//!
//! It comes whole, since nothing of it was acknowledged, and as the first one that the checkpoint does not hold. What is
//! counted are changes in source order without those that were rolled back: that order is the same each time, while parts,
//! and whether it comes in memory or on disk, are not.

use segcdc_model::{Lsn, Transaction};
use segcdc_sqlserver::PartialTransaction;

use crate::error::EngineError;

/// What the stream has to bring first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resume {
    awaited: Option<PartialTransaction>,
}

// === impl Resume ===

impl Resume {
    /// Of what the state says.
    pub(super) fn new(partial: Option<PartialTransaction>) -> Self {
        Resume { awaited: partial }
    }

    /// A transaction has come. Takes the changes away that are applied already, if it is in memory; what is on disk is
    /// skipped when it is read.
    ///
    /// # Errors
    /// `SOURCE_REWOUND` when it is another one than the one that has to come, or that one has fewer changes.
    pub(super) fn pass(&mut self, transaction: &mut Transaction) -> Result<(), EngineError> {
        let Some(partial) = self.awaited else { return Ok(()) };
        if transaction.end_lsn < partial.end_lsn {
            return Ok(());
        }
        if !is_of(&partial, transaction) {
            return Err(missing(&partial));
        }
        self.awaited = None;
        if transaction.spilled.is_none() {
            let applied = usize::try_from(partial.changes).unwrap_or(usize::MAX);
            if applied > transaction.changes.len() {
                return Err(shorter(&partial));
            }
            transaction.changes.drain(..applied);
        }
        Ok(())
    }

    /// Nothing is to come below a position.
    ///
    /// # Errors
    /// `SOURCE_REWOUND` when the transaction ought to have come.
    pub(super) fn pass_idle(&self, wal_end: Lsn) -> Result<(), EngineError> {
        match self.awaited {
            Some(partial) if wal_end >= partial.end_lsn => Err(missing(&partial)),
            _ => Ok(()),
        }
    }
}

/// Whether a part of this transaction is applied.
pub(super) fn is_of(partial: &PartialTransaction, transaction: &Transaction) -> bool {
    (partial.xid, partial.end_lsn) == (transaction.xid, transaction.end_lsn)
}

/// The source does not send it any more.
fn missing(partial: &PartialTransaction) -> EngineError {
    rewound(partial, "the source does not send it any more")
}

/// It is not the one whose changes were counted.
pub(super) fn shorter(partial: &PartialTransaction) -> EngineError {
    rewound(partial, "the source sends fewer now")
}

fn rewound(partial: &PartialTransaction, what: &str) -> EngineError {
    let PartialTransaction { xid, end_lsn, changes } = partial;
    let detail = format!("{changes} changes of its transaction {xid} are applied, and {what}");
    EngineError::SourceRewound { applied: *end_lsn, detail }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use segcdc_model::{Change, Fault, QualifiedName, Relation, ReplicaIdentity};

    use super::*;

    const PARTIAL: PartialTransaction = PartialTransaction { xid: 7, end_lsn: Lsn::new(200), changes: 2 };

    /// A transaction that empties tables with these OIDs.
    fn transaction(xid: u32, end_lsn: u64, oids: &[u32]) -> Transaction {
        let change = |oid: &u32| {
            let (name, replica_identity) = (QualifiedName::new("s", "t"), ReplicaIdentity::Default);
            let relation = Relation { oid: *oid, name, replica_identity, columns: Vec::new() };
            Change::Truncate { relations: vec![Arc::new(relation)] }
        };
        Transaction {
            xid,
            commit_lsn: Lsn::new(end_lsn - 1),
            end_lsn: Lsn::new(end_lsn),
            commit_time_us: 0,
            spilled: None,
            changes: oids.iter().map(change).collect(),
            memory_bytes: 0,
            large_bytes: 0,
        }
    }

    fn oids(transaction: &Transaction) -> Vec<u32> {
        let oid = |change: &Change| match change {
            Change::Truncate { relations } => relations.first().map(|relation| relation.oid),
            Change::Insert { .. } | Change::Update { .. } | Change::Delete { .. } => None,
        };
        transaction.changes.iter().filter_map(oid).collect()
    }

    #[test]
    fn what_is_applied_is_left_out_once() {
        let mut resume = Resume::new(Some(PARTIAL));
        let mut before = transaction(6, 150, &[1, 2, 3]);
        resume.pass(&mut before).unwrap();
        assert_eq!(oids(&before), [1, 2, 3]);
        resume.pass_idle(Lsn::new(199)).unwrap();
        let mut again = transaction(7, 200, &[1, 2, 3]);
        resume.pass(&mut again).unwrap();
        assert_eq!(oids(&again), [3]);
        let mut behind = transaction(8, 300, &[1, 2, 3]);
        resume.pass(&mut behind).unwrap();
        assert_eq!(oids(&behind), [1, 2, 3]);
        resume.pass_idle(Lsn::new(400)).unwrap();
    }

    #[test]
    fn a_source_that_does_not_send_it_again_is_rewound() {
        let check = |xid: u32, end_lsn: u64, oids: &[u32]| {
            let passed = Resume::new(Some(PARTIAL)).pass(&mut transaction(xid, end_lsn, oids));
            assert_eq!(passed.unwrap_err().code(), "SOURCE_REWOUND");
        };
        check(8, 200, &[1, 2, 3]);
        check(7, 201, &[1, 2, 3]);
        check(7, 200, &[1]);
        let idle = Resume::new(Some(PARTIAL)).pass_idle(Lsn::new(200));
        assert_eq!(idle.unwrap_err().code(), "SOURCE_REWOUND");
        Resume::new(None).pass_idle(Lsn::new(200)).unwrap();
    }
}
