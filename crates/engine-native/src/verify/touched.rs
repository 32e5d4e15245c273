//! [`Touched`]: the rows of a table that were changed between two positions of the source.

use std::collections::HashSet;
use std::sync::Arc;

use segcdc_model::{Change, Lsn, OldTuple, Relation, Transaction, Tuple};
use segcdc_plan::letters::KeyDigest;
use segcdc_plan::{Binding, RowImage, TablePlan, bind, letters};
use segcdc_postgres::{Session, StreamEvent, TransactionStream, heartbeat};

use crate::verify::read::{Key, Stop};

/// Reads a stream for nothing but which rows of one table it changes. Acknowledges nothing.
pub(crate) struct Touched {
    stream: TransactionStream,
    /// Everything that committed at or below it has been looked at.
    reached: Lsn,
    keys: TouchedKeys,
}

/// Keys that were changed.
#[derive(Debug)]
struct TouchedKeys {
    table: Arc<TablePlan>,
    digests: HashSet<KeyDigest>,
    /// Changes came of which the keys are not known: any row may have been changed.
    all: bool,
}

// === impl Touched ===

impl Touched {
    /// For a stream of all that commits behind `from`.
    pub(crate) fn new(table: &Arc<TablePlan>, stream: TransactionStream, from: Lsn) -> Self {
        let keys = TouchedKeys { table: Arc::clone(table), digests: HashSet::new(), all: false };
        Touched { stream, reached: from, keys }
    }

    /// Looks at all that committed up to a position that the source has reached.
    ///
    /// # Errors
    /// The source's.
    pub(crate) async fn advance(&mut self, source: &Session, to: Lsn) -> Result<(), Stop> {
        if self.reached >= to {
            return Ok(());
        }
        // What comes behind the position says that nothing is missing in front of it. On a server that writes no WAL its
        // keepalives do.
        if let Err(error) = heartbeat::emit(source).await {
            tracing::debug!(error = %error, "no message could be written to the source's WAL");
        }
        while self.reached < to {
            let reached = match self.stream.next().await? {
                StreamEvent::Transaction(transaction) => {
                    self.keys.note(&transaction);
                    transaction.end_lsn
                }
                StreamEvent::Idle { wal_end } => wal_end,
                StreamEvent::Message { lsn, .. } => lsn,
            };
            self.reached = self.reached.max(reached);
        }
        Ok(())
    }

    /// Whether the row with this key may have been changed.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.keys.has(key)
    }

    /// Ends the stream.
    pub(crate) async fn close(self) {
        if let Err(error) = self.stream.close().await {
            tracing::debug!(error = %error, "the stream did not end in an orderly way");
        }
    }
}

// === impl TouchedKeys ===

impl TouchedKeys {
    fn has(&self, key: &Key) -> bool {
        self.all || self.digests.contains(&letters::key_of_texts(&self.table, key.clone()).digest)
    }

    /// Takes note of what a transaction changed.
    fn note(&mut self, transaction: &Transaction) {
        // One that is too large for memory is not read for the sake of a few rows.
        self.all |= transaction.spilled.is_some();
        for change in &transaction.changes {
            if !self.all && change.relations().iter().any(|relation| self.is_ours(relation)) {
                self.all |= self.add(change).is_none();
            }
        }
    }

    /// Whether a description is one of the table, or of one that was made under its name since.
    fn is_ours(&self, relation: &Relation) -> bool {
        relation.oid == self.table.source.oid || relation.name == self.table.source.name
    }

    /// Adds the keys of a change; `None` when they are not known.
    fn add(&mut self, change: &Change) -> Option<()> {
        match change {
            Change::Insert { relation, new } => self.add_row(relation, None, Some(new)),
            Change::Update { relation, old, new } => self.add_row(relation, old.as_ref(), Some(new)),
            Change::Delete { relation, old } => self.add_row(relation, Some(old), None),
            Change::Truncate { .. } => None,
        }
    }

    fn add_row(&mut self, relation: &Relation, old: Option<&OldTuple>, new: Option<&Tuple>) -> Option<()> {
        let binding: Arc<Binding> = Arc::new(bind(&self.table, relation).ok()?);
        let mut images = Vec::with_capacity(2);
        if let Some(old) = old {
            images.push(match &*binding.rewritten_old(old).ok()? {
                OldTuple::Full(tuple) => RowImage::new(Arc::clone(&binding), tuple.clone()),
                OldTuple::Key(_) if !binding.identity_covers_key() => return None,
                OldTuple::Key(tuple) => RowImage::identity(Arc::clone(&binding), tuple.clone()),
            });
        }
        if let Some(new) = new {
            let new = binding.rewritten(new).ok()?.into_owned();
            images.push(RowImage::new(binding, new));
        }
        for image in images {
            self.digests.insert(letters::key_of(&self.table, &image).ok()?.digest);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use segcdc_model::{QualifiedName, RelationColumn, ReplicaIdentity};

    use super::*;
    use crate::verify::read::tests::table;

    /// The table of these tests as the stream describes it: the key is (id, hash).
    fn relation() -> Arc<Relation> {
        let column = |name: &str, type_oid, key| RelationColumn {
            name: name.to_owned(),
            type_oid,
            type_modifier: -1,
            key,
        };
        Arc::new(Relation {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            replica_identity: ReplicaIdentity::Default,
            columns: vec![column("note", 25, false), column("hash", 17, true), column("id", 23, true)],
        })
    }

    fn row(note: &str, id: &str) -> Tuple {
        Tuple::from_texts([Some(note), Some("\\x00ff"), Some(id)])
    }

    fn transaction(changes: Vec<Change>) -> Transaction {
        Transaction {
            xid: 1,
            commit_lsn: Lsn::new(1),
            end_lsn: Lsn::new(2),
            commit_time_us: 0,
            spilled: None,
            changes,
            memory_bytes: 0,
            large_bytes: 0,
        }
    }

    /// Which of the keys 1 to 5 were touched.
    fn touched(changes: Vec<Change>) -> Vec<u32> {
        let mut keys = TouchedKeys { table: Arc::new(table()), digests: HashSet::new(), all: false };
        keys.note(&transaction(changes));
        (1..=5).filter(|id| keys.has(&vec![id.to_string(), "00ff".to_owned()])).collect()
    }

    #[test]
    fn the_keys_of_all_changes_are_touched() {
        let relation = relation();
        let insert = Change::Insert { relation: Arc::clone(&relation), new: row("a", "1") };
        let update = Change::Update { relation: Arc::clone(&relation), old: None, new: row("b", "2") };
        let old = OldTuple::Key(row("", "3"));
        let moved =
            Change::Update { relation: Arc::clone(&relation), old: Some(old.clone()), new: row("c", "4") };
        let delete = Change::Delete { relation: Arc::clone(&relation), old };
        assert_eq!(touched(vec![insert.clone(), update]), [1, 2]);
        assert_eq!(touched(vec![moved]), [3, 4]);
        assert_eq!(touched(vec![delete]), [3]);
        let truncate = Change::Truncate { relations: vec![relation] };
        assert_eq!(touched(vec![insert, truncate]), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_not_understood_touches_every_row() {
        let mut other = Relation::clone(&relation());
        other.columns[0].name = "renamed".to_owned();
        let insert = Change::Insert { relation: Arc::new(other.clone()), new: row("a", "1") };
        assert_eq!(touched(vec![insert]), [1, 2, 3, 4, 5]);
        other.name = QualifiedName::new("public", "u");
        other.oid = 2;
        let insert = Change::Insert { relation: Arc::new(other), new: row("a", "1") };
        assert_eq!(touched(vec![insert]), [0_u32; 0], "another table's");
    }
}
