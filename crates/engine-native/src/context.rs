//! [`Context`]: what one run shares, and [`Memory`]: what it remembers from one attempt to the next.

use std::sync::Arc;

use segcdc_model::{Checkpoint, Lineage, Lsn, TablePhase};
use segcdc_plan::Naming;
use segcdc_sqlserver::TableState;
use tokio_util::sync::CancellationToken;

use crate::claim::{Claim, Held, reclaim};
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::ports::TargetPort;
use crate::progress::{Progress, TableProgress};
use crate::slot_view::SlotView;

/// What everything in one run shares.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// What the user asks for.
    pub(crate) config: Arc<EngineConfig>,
    /// What is seen from outside.
    pub(crate) progress: Arc<Progress>,
    /// Cancelled when the run is to end.
    pub(crate) shutdown: CancellationToken,
    /// What the state calls this process.
    pub(crate) owner: String,
    /// What is seen of the slot.
    pub(crate) slot_view: Arc<SlotView>,
}

/// What a run remembers from one attempt to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The checkpoint, once the pipeline was taken over.
    pub(crate) held: Option<Held>,
    /// The highest position that was seen committed; [`Lsn::ZERO`] before the first.
    pub(crate) seen: Lsn,
    /// The source's position when the run began.
    pub(crate) goal: Option<Lsn>,
    /// Something was copied or applied since the last trouble.
    pub(crate) advanced: bool,
}

// === impl Context ===

impl Context {
    /// How names of the source become names of the target.
    pub(crate) fn naming(&self) -> Naming {
        naming(&self.config)
    }

    /// Shows the tables of the pipeline.
    pub(crate) fn show_tables(&self, tables: &[TableState]) {
        self.progress.update(|snapshot| {
            snapshot.tables = tables
                .iter()
                .map(|table| {
                    let known = snapshot.tables.iter().find(|known| known.source_oid == table.source_oid);
                    shown(table, known.map_or(0, |known| known.changes_applied))
                })
                .collect();
        });
    }

    /// Shows a table in the place of the one that was known by `before`, or as a new one.
    pub(crate) fn show_table(&self, before: u32, table: &TableState) {
        self.progress.update(|snapshot| {
            let known = snapshot.tables.iter().position(|known| known.source_oid == before);
            match known.and_then(|at| snapshot.tables.get_mut(at)) {
                Some(known) => *known = shown(table, known.changes_applied),
                None => snapshot.tables.push(shown(table, 0)),
            }
        });
    }

    /// Shows a table no more.
    pub(crate) fn hide_table(&self, source_oid: u32) {
        self.progress.update(|snapshot| snapshot.tables.retain(|table| table.source_oid != source_oid));
    }

    /// Shows the phase of one table.
    pub(crate) fn show_phase(&self, source_oid: u32, phase: TablePhase, error: Option<(String, String)>) {
        self.progress.update_table(source_oid, |table| {
            table.phase = phase;
            table.error = error;
        });
    }
}

// === impl Memory ===

impl Memory {
    /// The checkpoint that is held.
    ///
    /// # Errors
    /// Never after the pipeline was taken over.
    pub(crate) fn checkpoint(&self) -> Result<&Checkpoint, EngineError> {
        let held = self.held.as_ref().ok_or(EngineError::TaskBroken { task: "checkpoint" })?;
        Ok(&held.checkpoint)
    }

    /// Makes the pipeline ours: takes it over the first time, and makes sure afterwards that nobody else did.
    ///
    /// # Errors
    /// `FENCED`, and the target's.
    pub(crate) async fn claim<T: TargetPort>(
        &mut self,
        target: &mut T,
        context: &Context,
    ) -> Result<(), EngineError> {
        let pipeline = &context.config.name;
        let found = match &self.held {
            None => target.take_over(pipeline, &context.owner).await?,
            Some(held) => {
                let found = target.read_checkpoint_locked(pipeline).await?;
                match reclaim(held, &found)? {
                    Claim::GoOn => found,
                    Claim::Rewound => target.take_over(pipeline, &context.owner).await?,
                }
            }
        };
        self.commit(found);
        Ok(())
    }

    /// Stores the lineage and the position that belongs to it.
    ///
    /// # Errors
    /// `FENCED`, and the target's.
    pub(crate) async fn set_lineage<T: TargetPort>(
        &mut self,
        target: &mut T,
        lineage: &Lineage,
        lsn: Lsn,
    ) -> Result<(), EngineError> {
        let before = self.checkpoint()?.clone();
        let next = Checkpoint {
            applied_lsn: lsn,
            batch_seq: before.batch_seq + 1,
            lineage: lineage.clone(),
            ..before.clone()
        };
        self.begin(next);
        let next = target.set_lineage(&before, lineage, lsn).await?;
        self.commit(next);
        Ok(())
    }

    /// `next` is about to be written.
    pub(crate) fn begin(&mut self, next: Checkpoint) {
        if let Some(held) = &mut self.held {
            held.begin(next);
        }
    }

    /// `next` was written.
    pub(crate) fn commit(&mut self, next: Checkpoint) {
        self.seen = self.seen.max(next.applied_lsn);
        match &mut self.held {
            Some(held) => held.commit(next),
            None => self.held = Some(Held::new(next)),
        }
    }

    /// What was about to be written was refused for certain.
    pub(crate) fn abandon(&mut self) {
        if let Some(held) = &mut self.held {
            held.abandon();
        }
    }
}

/// How a table is shown.
fn shown(table: &TableState, changes_applied: u64) -> TableProgress {
    TableProgress {
        source_oid: table.source_oid,
        source: table.source.clone(),
        target: table.target.clone(),
        phase: table.phase,
        rows_copied: table.rows_copied,
        bytes_copied: table.bytes_copied,
        estimated_rows: table.estimated_rows,
        changes_applied,
        error: table.error.clone(),
    }
}

/// How names of the source become names of the target.
pub(crate) fn naming(config: &EngineConfig) -> Naming {
    Naming::new(config.target.default_schema.clone())
        .with_rules(config.rules.clone())
        .with_salt(config.mask_salt.clone())
}

/// Code of a table that was dropped and made again.
pub(crate) const RECREATED: &str = "TABLE_RECREATED";

/// Whether a table waits to be copied because it was made again: its target table has the rows of the old one until then.
pub(crate) fn is_recreated(state: &TableState) -> bool {
    state.phase == TablePhase::Queued && state.error.as_ref().is_some_and(|(code, _)| code == RECREATED)
}

/// Whether a table is still to be copied.
pub(crate) fn needs_copy(table: &TableState) -> bool {
    matches!(table.phase, TablePhase::Queued | TablePhase::Copying)
}
