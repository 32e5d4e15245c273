//! [`Reconciliation`]: a target table made that of a snapshot of the source, by writing only what differs.
//!
//! ```text
//! part of the keys:   source as of the snapshot --hashes--> target     keys of rows that differ
//!                     rows of these keys, 64 in a transaction that holds the fence
//! ```
//!
//! The snapshot does not move, and nobody writes the target but the owner of the epoch, which each transaction proves: one
//! look at each side is enough, unlike in a comparison of two sides that move.

use std::collections::HashSet;
use std::sync::Arc;

use segcdc_model::Checkpoint;
use segcdc_plan::{TablePlan, ValuePolicy};
use segcdc_sqlserver::{LoadProgress, RepairApply, Selection, Target, TargetError};

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::verify::fingerprint::{self, Fingerprinter, RowHash};
use crate::verify::keyed::{KeyedPart, Met};
use crate::verify::passes::{self, Part};
use crate::verify::read::{self, KEYS_IN_TRANSACTION, Key, SourceRows, Stop};
use crate::verify::{DEFAULT_MEMORY_BYTES, RepairedRows, mend};

/// Rows of one part that may differ. With more, loading all of them is the shorter way.
const MAX_DIFFERENCES: usize = 100_000;

/// What is needed to reconcile one table.
pub(crate) struct Reconciliation<'a> {
    /// Both servers.
    pub(crate) config: &'a EngineConfig,
    /// The table, which [`can_be_reconciled`].
    pub(crate) table: &'a Arc<TablePlan>,
    /// The fence.
    pub(crate) checkpoint: &'a Checkpoint,
    /// Name of the source's exported snapshot.
    pub(crate) snapshot: &'a str,
    /// Counts the rows that are written.
    pub(crate) progress: &'a LoadProgress,
}

/// Whether rows of a table can be told apart and compared, whatever they hold. Policies for values count what they do row by
/// row, and set rows aside: only a load of all rows does that.
pub(crate) fn can_be_reconciled(table: &TablePlan) -> bool {
    let writes_as_it_is = |policy| matches!(policy, ValuePolicy::Halt | ValuePolicy::Text);
    let can_be_asked_for = !table.key_columns().is_empty() && !table.has_masked_key();
    can_be_asked_for && table.columns.iter().all(|column| writes_as_it_is(column.policy))
}

// === impl Reconciliation ===

impl Reconciliation<'_> {
    /// Makes the table that of the snapshot; returns what was written, and `None` when it has to be loaded as a whole.
    ///
    /// # Errors
    /// `FENCED`, and trouble that is not this table's alone. What was written stays, and does no harm: the table is not
    /// live before it is finished.
    pub(crate) async fn run(&self, session: &mut Target) -> Result<Option<RepairedRows>, EngineError> {
        let memory = DEFAULT_MEMORY_BYTES / self.config.readers.max(1);
        let mut parts = passes::parts(self.table.source.estimated_rows, memory);
        loop {
            match self.all(session, parts, passes::max_rows(memory)).await {
                Ok(rows) => return Ok(rows),
                Err(Stop::TooMany) => parts = parts.saturating_mul(2),
                // The load meets it too, and says whose matter it is.
                Err(Stop::Table(reason)) => {
                    let (table, code) = (&self.table.source.name, &reason.code);
                    tracing::warn!(%table, code, detail = reason.detail, "rows cannot be compared; all are loaded");
                    return Ok(None);
                }
                Err(Stop::All(error)) => return Err(error),
            }
        }
    }

    async fn all(
        &self,
        session: &mut Target,
        parts: u32,
        max_rows: u64,
    ) -> Result<Option<RepairedRows>, Stop> {
        let mut rows = RepairedRows::default();
        for part in Part::all(parts) {
            let Some(keys) = self.differing(session, part, max_rows).await? else { return Ok(None) };
            for keys in keys.chunks(KEYS_IN_TRANSACTION) {
                rows.add(&self.write(session, keys).await?);
            }
        }
        Ok(Some(rows))
    }

    /// Keys of the rows of a part that are not the same on both sides; `None` when they are too many, or cannot be asked for.
    async fn differing(
        &self,
        session: &mut Target,
        part: Part,
        max_rows: u64,
    ) -> Result<Option<Vec<Key>>, Stop> {
        let (table, source) = (&**self.table, &self.config.source);
        let as_of = SourceRows { snapshot: Some(self.snapshot), ..SourceRows::default() };
        let mut fingerprinter = Fingerprinter::new(table);
        let mut held = KeyedPart::default();
        read::source_rows(source, table, as_of, &mut |row| {
            let found = fingerprinter.source(row)?;
            if part.has(found.key) {
                held.add_source(found);
            }
            if held.len() as u64 > max_rows { Err(Stop::TooMany) } else { Ok(()) }
        })
        .await?;
        let (mut keys, mut is_beyond) = (Vec::new(), false);
        read::target_rows(session, table, Selection::All, &mut |row| {
            let found = fingerprinter.target(row);
            if part.has(found.key) && held.meet_target(found) == Met::Candidate {
                match read::complete(fingerprint::target_texts(table.key_columns(), row)) {
                    Some(key) if keys.len() < MAX_DIFFERENCES => keys.push(key),
                    Some(_) | None => is_beyond = true,
                }
            }
            Ok(())
        })
        .await?;
        let missing: HashSet<RowHash> = held.into_missing().collect();
        if is_beyond || keys.len() + missing.len() > MAX_DIFFERENCES {
            return Ok(None);
        }
        if !missing.is_empty() {
            read::source_rows(source, table, as_of, &mut |row| {
                if missing.contains(&fingerprinter.source(row)?.key) {
                    keys.extend(read::complete(fingerprint::source_texts(table, table.key_columns(), row)?));
                }
                Ok(())
            })
            .await?;
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(Some(keys))
    }

    /// Writes the rows with these keys as the snapshot has them.
    async fn write(&self, session: &mut Target, keys: &[Key]) -> Result<RepairedRows, Stop> {
        let source = read::snapshot_rows(&self.config.source, self.table, self.snapshot, keys).await?;
        let mut open = RepairApply::begin(session, &self.checkpoint.pipeline, self.table).await?;
        let found = open.checkpoint().clone();
        if found.epoch != self.checkpoint.epoch {
            open.roll_back().await;
            let (pipeline, epoch) = (found.pipeline, self.checkpoint.epoch);
            return Err(Stop::All(TargetError::Fenced { pipeline, epoch }.into()));
        }
        let found_rows = async {
            let session = open.session();
            let now_us = session.now_us().await?;
            Ok::<_, Stop>((read::target_by_key(session, self.table, keys).await?, now_us))
        };
        let (target, now_us) = match found_rows.await {
            Ok(found) => found,
            Err(stop) => {
                open.roll_back().await;
                return Err(stop);
            }
        };
        let (changes, rows) = mend::changes(self.table, keys.iter(), &source, &target, now_us);
        let bytes: usize = source.values().map(|row| row.tuple.memory_bytes()).sum();
        open.commit(&mend::plan(changes, Vec::new(), found.applied_lsn)).await?;
        self.progress.add(rows.written(), bytes as u64);
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::read::tests::table;

    #[test]
    fn tables_whose_rows_are_all_written_as_they_are_can_be_reconciled() {
        let mut plan = table();
        assert!(can_be_reconciled(&plan));
        plan.columns[0].policy = ValuePolicy::Text;
        assert!(can_be_reconciled(&plan));
        plan.columns[0].policy = ValuePolicy::SetAside;
        assert!(!can_be_reconciled(&plan));
        plan.columns[0].policy = ValuePolicy::Halt;
        let salt = segcdc_plan::MaskSalt::new(b"a salt of this test");
        let (mask, pg_type) = (segcdc_plan::Mask::Hash, segcdc_model::PgType::Int4);
        plan.columns[2].mask = Some(segcdc_plan::ColumnMask { mask, pg_type, salt, redacted: None });
        assert!(!can_be_reconciled(&plan), "the source cannot be asked for a row by its hash");
        let bag = TablePlan { key: segcdc_plan::TableKey::WholeRow, ..table() };
        assert!(!can_be_reconciled(&bag));
    }
}
