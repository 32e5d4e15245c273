//! [`TablesPort`]: what the loop does to the target for tables that come, go, stop, or are copied again.

use std::collections::HashMap;

use segcdc_model::{Checkpoint, Lsn, QualifiedName};
use segcdc_plan::KnownTable;
use segcdc_sqlserver::sql::schema_changes::Recorded;
use segcdc_sqlserver::{
    PipelineState, Replacement, TableProgress, TableWish, Target, TargetError, WishOutcome,
};

/// A session with the target. See [`Target`].
pub(crate) trait TablesPort {
    /// What is asked of tables and not settled.
    async fn open_table_wishes(&mut self, pipeline: &str) -> Result<Vec<TableWish>, TargetError>;

    /// What the state says of the pipeline, which is there.
    async fn known_state(&mut self, pipeline: &str) -> Result<PipelineState, TargetError>;

    /// Stores what became of what was asked.
    async fn settle_wish(
        &mut self,
        checkpoint: &Checkpoint,
        id: &str,
        outcome: WishOutcome,
        detail: &str,
    ) -> Result<(), TargetError>;

    /// Stores that a table stops at a position.
    async fn pause_table(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
        lsn: Lsn,
    ) -> Result<(), TargetError>;

    /// Puts a table in the place of another one, or of itself.
    async fn replace_table(
        &mut self,
        checkpoint: &Checkpoint,
        replacement: &Replacement<'_>,
    ) -> Result<(), TargetError>;

    /// Stores that a table goes on from a position.
    async fn finish_copy(
        &mut self,
        checkpoint: &Checkpoint,
        progress: &TableProgress,
        sync_lsn: Lsn,
        known: &KnownTable,
    ) -> Result<(), TargetError>;

    /// Records what became of a change of a table that no transaction of the stream shows.
    async fn record_change(
        &mut self,
        checkpoint: &Checkpoint,
        record: &Recorded<'_>,
    ) -> Result<(), TargetError>;

    /// What was last recorded of tables of these kinds of records, by source OID: kind, outcome, and what was said.
    async fn last_records(
        &mut self,
        pipeline: &str,
        kinds: &[&str],
    ) -> Result<HashMap<u32, [String; 3]>, TargetError>;

    /// Stores what is asked of tables.
    async fn add_table_wishes(&mut self, pipeline: &str, wishes: &[TableWish]) -> Result<(), TargetError>;

    /// Drops a table.
    async fn drop_table(&mut self, table: &QualifiedName) -> Result<(), TargetError>;

    /// Forgets the rows of a table that are set aside.
    async fn clear_letters(
        &mut self,
        checkpoint: &Checkpoint,
        table: &QualifiedName,
        oid: u32,
    ) -> Result<(), TargetError>;

    /// Removes the state of a table.
    async fn remove_table(&mut self, checkpoint: &Checkpoint, source_oid: u32) -> Result<(), TargetError>;
}

impl TablesPort for Target {
    async fn open_table_wishes(&mut self, pipeline: &str) -> Result<Vec<TableWish>, TargetError> {
        Target::open_table_wishes(self, pipeline).await
    }

    async fn known_state(&mut self, pipeline: &str) -> Result<PipelineState, TargetError> {
        Target::known_state(self, pipeline).await
    }

    async fn settle_wish(
        &mut self,
        checkpoint: &Checkpoint,
        id: &str,
        outcome: WishOutcome,
        detail: &str,
    ) -> Result<(), TargetError> {
        Target::settle_wish(self, checkpoint, id, outcome, detail).await
    }

    async fn pause_table(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
        lsn: Lsn,
    ) -> Result<(), TargetError> {
        Target::pause_table(self, checkpoint, source_oid, lsn).await
    }

    async fn replace_table(
        &mut self,
        checkpoint: &Checkpoint,
        replacement: &Replacement<'_>,
    ) -> Result<(), TargetError> {
        Target::replace_table(self, checkpoint, replacement).await
    }

    async fn finish_copy(
        &mut self,
        checkpoint: &Checkpoint,
        progress: &TableProgress,
        sync_lsn: Lsn,
        known: &KnownTable,
    ) -> Result<(), TargetError> {
        Target::finish_copy(self, checkpoint, progress, sync_lsn, known).await
    }

    async fn record_change(
        &mut self,
        checkpoint: &Checkpoint,
        record: &Recorded<'_>,
    ) -> Result<(), TargetError> {
        Target::record_change(self, checkpoint, record).await
    }

    async fn last_records(
        &mut self,
        pipeline: &str,
        kinds: &[&str],
    ) -> Result<HashMap<u32, [String; 3]>, TargetError> {
        Target::last_records(self, pipeline, kinds).await
    }

    async fn add_table_wishes(&mut self, pipeline: &str, wishes: &[TableWish]) -> Result<(), TargetError> {
        Target::add_table_wishes(self, pipeline, wishes).await
    }

    async fn drop_table(&mut self, table: &QualifiedName) -> Result<(), TargetError> {
        Target::drop_table(self, table).await
    }

    async fn clear_letters(
        &mut self,
        checkpoint: &Checkpoint,
        table: &QualifiedName,
        oid: u32,
    ) -> Result<(), TargetError> {
        Target::clear_letters(self, checkpoint, table, oid).await
    }

    async fn remove_table(&mut self, checkpoint: &Checkpoint, source_oid: u32) -> Result<(), TargetError> {
        Target::remove_table(self, checkpoint, source_oid).await
    }
}
