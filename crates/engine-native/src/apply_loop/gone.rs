//! Source tables that were dropped, or made again under their name, and what becomes of them.
//!
//! ```text
//! a look at the catalog --> gone: OID is not there any more --> position noted --> everything up to it applied --> as is wished
//! the stream            --> a row of another table with its name ----------------------------------------------> as is wished
//! ```
//!
//! A drop is not in the stream. What the table had until then may still be on its way when the catalog has it no more, so
//! that nothing is decided before that is applied. A table that was renamed or moved has its OID still, and is not gone.

use segcdc_model::fault::chain;
use segcdc_model::{Lsn, QualifiedName, TablePhase};
use segcdc_plan::{ChangeKind, ChangePolicy, PlanError};
use segcdc_sqlserver::sql::schema_changes::Recorded;
use segcdc_sqlserver::{TableState, shadow_name};

use super::Loop;
use crate::beside::order::Order;
use crate::context::RECREATED;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::ports::{Ports, SourcePort, TablesPort, TargetPort};

/// A table that the source has no more.
#[derive(Debug)]
pub(super) struct Gone {
    /// What was found.
    error: EngineError,
    /// Everything that the table had committed lies at or below it.
    at: Lsn,
}

/// What became of a table, for the record.
pub(super) struct Record<'a> {
    /// OID of the source table.
    pub(super) source_oid: u32,
    /// Its name.
    pub(super) source: &'a QualifiedName,
    /// What kind of change it is.
    pub(super) kind: &'static str,
    /// What became of it.
    pub(super) outcome: &'static str,
    /// For people.
    pub(super) what: String,
}

/// What kind of change an error tells of; `None` for one that is about a table that is there.
pub(super) fn kind_of(error: &EngineError) -> Option<ChangeKind> {
    match error {
        EngineError::TableDropped { .. } => Some(ChangeKind::DropTable),
        EngineError::Plan(error) if matches!(**error, PlanError::TableRecreated { .. }) => {
            Some(ChangeKind::RecreateTable)
        }
        _ => None,
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Of a table of the pipeline.
    fn of(known: &'a TableState, kind: ChangeKind, outcome: &'static str, what: String) -> Self {
        Record { source_oid: known.source_oid, source: &known.source, kind: kind.word(), outcome, what }
    }
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Takes note of tables that the source has no more: `found` by a look at its catalog.
    pub(super) async fn note_gone(&mut self, found: Vec<(u32, EngineError)>) -> Result<(), EngineError> {
        if found.is_empty() {
            return Ok(());
        }
        // Behind the look, and so behind what it has found.
        let now = self.source.emit_heartbeat().await?;
        for (oid, error) in found {
            let at = self.gone.get(&oid).map_or(now, |known| known.at);
            self.intake.asked = self.intake.asked.max(Some(at));
            self.gone.insert(oid, Gone { error, at });
        }
        Ok(())
    }

    /// Does what is wished with tables that are gone, once all that they had is applied.
    pub(super) async fn settle_gone(&mut self) -> Result<(), EngineError> {
        if self.gone.is_empty() || self.is_amid_transaction()? {
            return Ok(());
        }
        let applied = self.applied()?;
        let due: Vec<u32> =
            self.gone.iter().filter(|(_, gone)| gone.at <= applied).map(|(oid, _)| *oid).collect();
        for oid in due {
            let Some(gone) = self.gone.remove(&oid) else { continue };
            let is_live = self.tables.get(oid).is_some_and(|entry| entry.phase == TablePhase::Streaming);
            if is_live {
                self.leave(oid, &gone.error).await?;
            }
        }
        Ok(())
    }

    /// Does what is wished with a table that is gone.
    async fn leave(&mut self, oid: u32, error: &EngineError) -> Result<(), EngineError> {
        let Some(kind) = kind_of(error) else { return self.quarantine(oid, error).await };
        let Some(entry) = self.tables.get(oid) else { return Ok(()) };
        let (policy, table) = (self.examiner.policy(&entry.plan, kind), entry.plan.source.name.clone());
        let state = self.target.known_state(&self.context.config.name).await?;
        let known = state.tables.iter().find(|known| known.source_oid == oid);
        let is_last = self.tables.len() <= 1 && kind == ChangeKind::DropTable;
        match (policy, known) {
            (ChangePolicy::HaltAll, _) => {
                let detail = error.to_string();
                Err(PlanError::SchemaChangeHalted { oid, table, kind, detail, all: true }.into())
            }
            (ChangePolicy::Apply, Some(known)) if kind == ChangeKind::RecreateTable => {
                self.copy_recreated(known).await
            }
            (ChangePolicy::Apply | ChangePolicy::Ignore, Some(known)) if !is_last => {
                self.forget(known, kind, policy == ChangePolicy::Apply).await
            }
            // A pipeline has one table at least.
            _ => self.quarantine(oid, error).await,
        }
    }

    /// A row of a table came that has the name of one of ours and another OID: it is no row of ours. Ours may have been renamed, and
    /// be there still; if not, what is wished is done with it once all that it had is applied.
    pub(super) async fn meet_namesake(&mut self, oid: u32) -> Result<(), EngineError> {
        self.intake.plan_again();
        self.tables.forget_name(oid);
        let Some(entry) = self.tables.get(oid) else { return Ok(()) };
        let (table, kind) = (entry.plan.source.name.clone(), ChangeKind::RecreateTable);
        let policy = self.examiner.policy(&entry.plan, kind);
        if self.source.table_in_detail(oid).await?.is_some() {
            return Ok(());
        }
        if policy == ChangePolicy::HaltAll {
            let detail = "it was dropped and made again".to_owned();
            return Err(PlanError::SchemaChangeHalted { oid, table, kind, detail, all: true }.into());
        }
        let error = PlanError::TableRecreated { oid, table }.into();
        self.note_gone(vec![(oid, error)]).await
    }

    /// Has the table be copied that was made in the place of another one. The old one stops here.
    async fn copy_recreated(&mut self, known: &TableState) -> Result<(), EngineError> {
        let (oid, checkpoint) = (known.source_oid, self.memory.checkpoint()?.clone());
        let (code, why) = (RECREATED, "it was dropped and made again at the source, and is to be copied");
        self.target.set_table_phase(&checkpoint, oid, TablePhase::Queued, Some((code, why))).await?;
        self.tables.set_phase(oid, TablePhase::Queued);
        self.intake.plan_again();
        let error = Some((code.to_owned(), why.to_owned()));
        self.context.show_phase(oid, TablePhase::Queued, error.clone());
        let stopped = TableState { phase: TablePhase::Queued, error, ..known.clone() };
        self.orders.push(Order::again(&stopped, None, None));
        let what = "the table was dropped and made again; the new one is copied".to_owned();
        let kind = ChangeKind::RecreateTable;
        self.record(Record::of(known, kind, "applied", what)).await
    }

    /// Takes a table out of the pipeline that the source has no more, and drops its target table if it goes along.
    async fn forget(
        &mut self,
        known: &TableState,
        kind: ChangeKind,
        goes_along: bool,
    ) -> Result<(), EngineError> {
        let (oid, checkpoint) = (known.source_oid, self.memory.checkpoint()?.clone());
        let code = match kind {
            ChangeKind::RecreateTable => RECREATED,
            _ => "TABLE_NOT_FOUND",
        };
        // What a death leaves behind it is a table that is set aside.
        let reason = Some((code, "the source has it no more"));
        self.target.set_table_phase(&checkpoint, oid, TablePhase::Quarantined, reason).await?;
        hit(Failpoint::AfterQuarantine);
        self.tables.remove(oid);
        self.paused.remove(&oid);
        self.intake.plan_again();
        let target = &known.target;
        let fate = match (goes_along, known.table_is_ours) {
            (false, _) => format!("{target} stays as it is, and the table leaves the pipeline"),
            (true, false) => format!("{target} was there before the pipeline and stays as it is"),
            (true, true) => match self.target.drop_table(target).await {
                Ok(()) => format!("{target} is dropped"),
                Err(error) if self.target.is_usable() => format!("{target} is left: {}", chain(&error)),
                Err(error) => return Err(error.into()),
            },
        };
        self.target.drop_table(&shadow_name(target, oid)).await?;
        let outcome = if goes_along { "applied" } else { "ignored" };
        let verb = if kind == ChangeKind::DropTable { "dropped" } else { "dropped and made again" };
        let what = format!("the table was {verb}; {fate}");
        self.record(Record::of(known, kind, outcome, what)).await?;
        self.target.clear_letters(&checkpoint, &known.source, oid).await?;
        self.target.remove_table(&checkpoint, oid).await?;
        self.context.hide_table(oid);
        Ok(())
    }

    /// Writes down what became of a table.
    pub(super) async fn record(&mut self, record: Record<'_>) -> Result<(), EngineError> {
        let Record { source_oid, source, kind, outcome, what } = record;
        tracing::info!(table = %source, kind, outcome, "{what}");
        let (lsn, what) = (self.applied()?, what.as_str());
        let record = Recorded { source_oid, source, lsn, kind, outcome, what, statements: String::new() };
        let checkpoint = self.memory.checkpoint()?;
        Ok(self.target.record_change(checkpoint, &record).await?)
    }
}
