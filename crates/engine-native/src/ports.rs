//! [`Ports`]: what the apply loop does to the outside. One set of them is the two servers ([`Live`]); the other is that of the
//! simulation, where one seed says what goes wrong.
//!
//! The loop is generic over them, so the one that runs pipelines is what it would be without them.

use std::sync::Arc;

use segcdc_model::{CatalogTable, Checkpoint, Lineage, Lsn, QualifiedName, SourceTable, TablePhase};
use segcdc_plan::{ApplyPlan, TablePlan, TableSet};
use segcdc_postgres::{OpenSummary, Session, SourceError, StreamEvent, TransactionStream};
use segcdc_sqlserver::{
    Alteration, Lag, PartialTransaction, PartsApply, SkippedTransaction, SlotWatch, Target, TargetError,
};

use crate::error::EngineError;
use crate::source_clock::SourceClock;

mod tables;

pub(crate) use tables::TablesPort;

/// A source, what comes from it, and a target.
pub(crate) trait Ports {
    /// Where the source is asked.
    type Source: SourcePort;
    /// Where its transactions come from.
    type Stream: StreamPort;
    /// Where they go.
    type Target: TargetPort;
}

/// PostgreSQL and SQL Server.
pub(crate) struct Live;

/// A session with the source. See [`Session`] and the functions that ask it.
pub(crate) trait SourcePort {
    /// What is kept of one look at what is published for the next one.
    type Watch;

    /// Writes a heartbeat; the position behind it.
    async fn emit_heartbeat(&self) -> Result<Lsn, SourceError>;

    /// Reads the clock.
    async fn read_clock(&self) -> Result<SourceClock, SourceError>;

    /// Looks at what is published. Returns the live tables that cannot go on.
    async fn look(
        &self,
        watch: &mut Self::Watch,
        checkpoint: &Checkpoint,
        tables: &TableSet,
    ) -> Result<Vec<(u32, EngineError)>, EngineError>;

    /// What the catalog says of a table; `None` when it was dropped.
    async fn table_in_detail(&self, oid: u32) -> Result<Option<CatalogTable>, SourceError>;

    /// Takes a table out of a publication of ours. Returns what became of it, for people.
    async fn unpublish(
        &self,
        publication: &str,
        oid: u32,
        name: &QualifiedName,
    ) -> Result<String, EngineError>;

    /// Tables that the source has and the pipeline has not, of those that `is_wanted`.
    async fn new_tables(
        &self,
        is_wanted: &(dyn Fn(u32, &QualifiedName) -> bool + Sync),
    ) -> Result<Vec<SourceTable>, SourceError>;

    /// What the state is to hold of a slot that nobody reads any more.
    async fn look_at_rest(
        &self,
        lineage: &Lineage,
        limit_bytes: Option<u64>,
    ) -> Result<Option<SlotWatch>, EngineError>;
}

/// Committed transactions of a slot. See [`TransactionStream`].
pub(crate) trait StreamPort {
    /// The next event. Cancel-safe.
    async fn next(&mut self) -> Result<StreamEvent, SourceError>;

    /// Says that everything up to `lsn` is durable at the target.
    fn acknowledge(&mut self, lsn: Lsn);

    /// The highest position that was acknowledged.
    fn acknowledged(&self) -> Lsn;

    /// How far the server has read.
    fn server_wal_end(&self) -> Lsn;

    /// The largest transaction that is being received and is too large for memory.
    fn largest_open(&self) -> Option<OpenSummary>;

    /// Ends the stream in an orderly way.
    async fn close(self) -> Result<(), SourceError>;
}

/// A session with the target. See [`Target`] and [`segcdc_sqlserver::apply()`].
pub(crate) trait TargetPort: TablesPort {
    /// A target transaction that takes parts.
    type Parts<'t>: PartsPort
    where
        Self: 't;

    /// Whether the session can be used again after an error.
    fn is_usable(&self) -> bool;

    /// Takes a pipeline over.
    async fn take_over(&mut self, pipeline: &str, owner: &str) -> Result<Checkpoint, TargetError>;

    /// Reads the checkpoint, behind whoever may still be writing it.
    async fn read_checkpoint_locked(&mut self, pipeline: &str) -> Result<Checkpoint, TargetError>;

    /// Applies a batch: fence, data and checkpoint in one transaction, or nothing.
    async fn apply(&mut self, plan: &ApplyPlan, expected: &Checkpoint) -> Result<Checkpoint, TargetError>;

    /// Begins a transaction that takes parts, and takes the fence.
    async fn begin_parts(
        &mut self,
        expected: &Checkpoint,
        tables: &[Arc<TablePlan>],
    ) -> Result<Self::Parts<'_>, TargetError>;

    /// Stores an idle advance.
    async fn advance(&mut self, checkpoint: &Checkpoint, lsn: Lsn) -> Result<Checkpoint, TargetError>;

    /// Moves the checkpoint over a transaction and records that it was left out. `None` when nobody asks for that any more.
    async fn skip_transaction(
        &mut self,
        expected: &Checkpoint,
        skipped: &SkippedTransaction,
    ) -> Result<Option<Checkpoint>, TargetError>;

    /// Stores that a transaction that was to be skipped is applied after all.
    async fn refuse_skip(
        &mut self,
        checkpoint: &Checkpoint,
        end_lsn: Lsn,
        why: &str,
    ) -> Result<(), TargetError>;

    /// Stores the lineage, and the position that belongs to it.
    async fn set_lineage(
        &mut self,
        checkpoint: &Checkpoint,
        lineage: &Lineage,
        lsn: Lsn,
    ) -> Result<Checkpoint, TargetError>;

    /// Stores the phase of a table.
    async fn set_table_phase(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
        phase: TablePhase,
        error: Option<(&str, &str)>,
    ) -> Result<(), TargetError>;

    /// Stores how far behind the pipeline is.
    async fn set_lag(&mut self, checkpoint: &Checkpoint, lag: &Lag) -> Result<(), TargetError>;

    /// Stores what was seen of the slot.
    async fn set_slot_watch(&mut self, checkpoint: &Checkpoint, seen: &SlotWatch) -> Result<(), TargetError>;
}

/// A target transaction that takes parts. See [`PartsApply`].
pub(crate) trait PartsPort: Sized {
    /// Applies the next part.
    async fn add(&mut self, part: &ApplyPlan) -> Result<(), TargetError>;

    /// Has a target table follow a change.
    async fn alter(&mut self, alteration: Alteration<'_>) -> Result<(), TargetError>;

    /// Gives the transaction up.
    async fn roll_back(self);

    /// Moves the checkpoint and commits.
    async fn commit(self, end_lsn: Lsn, commit_time_us: i64) -> Result<Checkpoint, TargetError>;

    /// Commits what was added, and how much of the source transaction that is.
    async fn commit_inside(self, partial: &PartialTransaction) -> Result<Checkpoint, TargetError>;
}

// === impl Live ===

impl Ports for Live {
    type Source = Session;
    type Stream = TransactionStream;
    type Target = Target;
}

impl StreamPort for TransactionStream {
    async fn next(&mut self) -> Result<StreamEvent, SourceError> {
        TransactionStream::next(self).await
    }

    fn acknowledge(&mut self, lsn: Lsn) {
        TransactionStream::acknowledge(self, lsn);
    }

    fn acknowledged(&self) -> Lsn {
        TransactionStream::acknowledged(self)
    }

    fn server_wal_end(&self) -> Lsn {
        TransactionStream::server_wal_end(self)
    }

    fn largest_open(&self) -> Option<OpenSummary> {
        TransactionStream::largest_open(self)
    }

    async fn close(self) -> Result<(), SourceError> {
        TransactionStream::close(self).await
    }
}

impl TargetPort for Target {
    type Parts<'t> = PartsApply<'t>;

    fn is_usable(&self) -> bool {
        Target::is_usable(self)
    }

    async fn take_over(&mut self, pipeline: &str, owner: &str) -> Result<Checkpoint, TargetError> {
        Target::take_over(self, pipeline, owner).await
    }

    async fn read_checkpoint_locked(&mut self, pipeline: &str) -> Result<Checkpoint, TargetError> {
        Target::read_checkpoint_locked(self, pipeline).await
    }

    async fn apply(&mut self, plan: &ApplyPlan, expected: &Checkpoint) -> Result<Checkpoint, TargetError> {
        segcdc_sqlserver::apply(self, plan, expected).await
    }

    async fn begin_parts(
        &mut self,
        expected: &Checkpoint,
        tables: &[Arc<TablePlan>],
    ) -> Result<PartsApply<'_>, TargetError> {
        PartsApply::begin(self, expected, tables).await
    }

    async fn advance(&mut self, checkpoint: &Checkpoint, lsn: Lsn) -> Result<Checkpoint, TargetError> {
        Target::advance(self, checkpoint, lsn).await
    }

    async fn skip_transaction(
        &mut self,
        expected: &Checkpoint,
        skipped: &SkippedTransaction,
    ) -> Result<Option<Checkpoint>, TargetError> {
        Target::skip_transaction(self, expected, skipped).await
    }

    async fn refuse_skip(
        &mut self,
        checkpoint: &Checkpoint,
        end_lsn: Lsn,
        why: &str,
    ) -> Result<(), TargetError> {
        Target::refuse_skip(self, checkpoint, end_lsn, why).await
    }

    async fn set_lineage(
        &mut self,
        checkpoint: &Checkpoint,
        lineage: &Lineage,
        lsn: Lsn,
    ) -> Result<Checkpoint, TargetError> {
        Target::set_lineage(self, checkpoint, lineage, lsn).await
    }

    async fn set_table_phase(
        &mut self,
        checkpoint: &Checkpoint,
        source_oid: u32,
        phase: TablePhase,
        error: Option<(&str, &str)>,
    ) -> Result<(), TargetError> {
        Target::set_table_phase(self, checkpoint, source_oid, phase, error).await
    }

    async fn set_lag(&mut self, checkpoint: &Checkpoint, lag: &Lag) -> Result<(), TargetError> {
        Target::set_lag(self, checkpoint, lag).await
    }

    async fn set_slot_watch(&mut self, checkpoint: &Checkpoint, seen: &SlotWatch) -> Result<(), TargetError> {
        Target::set_slot_watch(self, checkpoint, seen).await
    }
}

impl PartsPort for PartsApply<'_> {
    async fn add(&mut self, part: &ApplyPlan) -> Result<(), TargetError> {
        PartsApply::add(self, part).await
    }

    async fn alter(&mut self, alteration: Alteration<'_>) -> Result<(), TargetError> {
        PartsApply::alter(self, alteration).await
    }

    async fn roll_back(self) {
        PartsApply::roll_back(self).await;
    }

    async fn commit(self, end_lsn: Lsn, commit_time_us: i64) -> Result<Checkpoint, TargetError> {
        PartsApply::commit(self, end_lsn, commit_time_us).await
    }

    async fn commit_inside(self, partial: &PartialTransaction) -> Result<Checkpoint, TargetError> {
        PartsApply::commit_inside(self, partial).await
    }
}
