//! A transaction that is too large for memory: read, planned and applied part by part, in one target transaction.
//!
//! ```text
//! another thread                                this task
//! store --part--> plan_part --channel (1)-->    PartsApply: begin, add, add, ... commit
//!    ^               |
//!    |               +-- what a part sets aside counts for the next one
//!    +-- without rolled-back subtransactions, checked against its checksum
//! ```
//!
//! At most three parts are in memory: one that is read and planned, one that waits, and one that is applied. A part that
//! cannot be applied takes those before it along; if it is one table's fault, that table is set aside and the transaction
//! begins anew without it.

use std::io;
use std::sync::Arc;

use segcdc_model::{Change, Checkpoint, Relation, SpilledChanges, TablePhase, Transaction};
use segcdc_plan::{ApplyPlan, TablePlan, TableSet, plan_part};
use segcdc_sqlserver::{PartsApply, Target};
use tokio::sync::mpsc;

use super::Loop;
use super::apply::Applied;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::progress::{LargeTransaction, Progress};
use crate::quarantine::table_at_fault;

/// What the reading thread says.
enum Part {
    /// The next part.
    Planned(Box<ApplyPlan>),
    /// There are no more; the tables with what is set aside now.
    End(Box<TableSet>),
    /// It cannot go on.
    Failed(EngineError),
}

/// A large transaction that has been applied.
struct Done {
    checkpoint: Checkpoint,
    tables: TableSet,
    applied: Applied,
}

// === impl Loop ===

impl Loop<'_> {
    /// Applies a transaction in parts, without the tables that turn out to be at fault.
    pub(super) async fn apply_large(
        &mut self,
        transaction: Transaction,
        spilled: SpilledChanges,
    ) -> Result<(), EngineError> {
        let transaction = Arc::new(transaction);
        self.show_waiting(std::slice::from_ref(&transaction));
        tracing::info!(
            xid = transaction.xid,
            changes = spilled.store().changes() + transaction.changes.len() as u64,
            bytes = spilled.store().bytes(),
            "applying a transaction that is too large for memory, in parts"
        );
        let mut tries = 0;
        let applied = loop {
            self.show_large(&transaction, &spilled);
            let error = match self.try_large(&transaction, &spilled).await {
                Ok(applied) => break Ok(applied),
                Err(error) => error,
            };
            if let Some(oid) = table_at_fault(&error) {
                self.set_aside(oid, &error).await?;
            } else if let Err(error) = self.wait_out(error, &mut tries).await {
                break Err(error);
            }
        };
        self.context.progress.update(|snapshot| snapshot.large = None);
        self.note(std::slice::from_ref(&transaction), &applied?);
        Ok(())
    }

    /// Shows the transaction, nothing of it applied.
    fn show_large(&mut self, transaction: &Transaction, spilled: &SpilledChanges) {
        let large = LargeTransaction {
            xid: transaction.xid,
            is_complete: true,
            changes: spilled.store().changes() + transaction.changes.len() as u64,
            applied: 0,
            part: 1,
            parts: parts(spilled),
            disk_bytes: spilled.store().bytes(),
            begun_ms: self.large_begun_ms(transaction.xid),
        };
        self.context.progress.update(|snapshot| snapshot.large = Some(large));
    }

    /// Applies a transaction in parts, once.
    async fn try_large(
        &mut self,
        transaction: &Arc<Transaction>,
        spilled: &SpilledChanges,
    ) -> Result<Applied, EngineError> {
        let before = self.memory.checkpoint()?.clone();
        self.begin(&before, transaction.end_lsn);
        let touched = live_tables(spilled, transaction, &self.tables);
        let (sender, parts) = mpsc::channel(1);
        let (whole, store, tables) = (Arc::clone(transaction), spilled.clone(), self.tables.clone());
        let reader = tokio::task::spawn_blocking(move || read(&whole, &store, tables, &sender));
        let (context, intake, tables) = (self.context, &mut self.intake, &self.tables);
        let applying = apply_parts(self.target, &before, transaction, &touched, parts, &context.progress);
        let done = super::apply::while_receiving(context, intake, tables, applying).await;
        // It ends when nobody takes what it reads.
        reader.await.map_err(|_| EngineError::TaskBroken { task: "plan" })?;
        let done = self.settle(done, |done| &done.checkpoint)?;
        self.tables = done.tables;
        self.intake.plan_again();
        Ok(done.applied)
    }
}

/// Applies what the reading thread plans, and commits.
async fn apply_parts(
    target: &mut Target,
    before: &Checkpoint,
    transaction: &Transaction,
    tables: &[Arc<TablePlan>],
    mut parts: mpsc::Receiver<Part>,
    progress: &Progress,
) -> Result<Done, EngineError> {
    let mut apply = PartsApply::begin(target, before, tables).await?;
    let mut applied = Applied { transactions: 1, ..Applied::default() };
    loop {
        let error = match parts.recv().await {
            Some(Part::Planned(plan)) => {
                apply.add(&plan).await?;
                hit(Failpoint::BetweenParts);
                applied.add(&plan);
                let changes = applied.changes;
                progress.update(|snapshot| {
                    if let Some(large) = &mut snapshot.large {
                        large.applied = changes;
                        large.part = (large.part + 1).min(large.parts);
                    }
                });
                continue;
            }
            Some(Part::End(tables)) => {
                let checkpoint = apply.commit(transaction.end_lsn, transaction.commit_time_us).await?;
                return Ok(Done { checkpoint, tables: *tables, applied });
            }
            Some(Part::Failed(error)) => error,
            None => EngineError::TaskBroken { task: "plan" },
        };
        apply.roll_back().await;
        return Err(error);
    }
}

/// Reads and plans part by part, until nobody wants more.
fn read(
    transaction: &Transaction,
    spilled: &SpilledChanges,
    mut tables: TableSet,
    sender: &mpsc::Sender<Part>,
) {
    let store = spilled.store();
    let spilled_parts = 0..store.parts();
    let planned = |changes: &[_], tables: &mut TableSet| -> Result<ApplyPlan, EngineError> {
        let plan = plan_part(changes, transaction, tables)?;
        tables.note_letters(&plan.letters);
        Ok(plan)
    };
    let mut parts = spilled_parts.map(Some).chain([None]);
    let last = loop {
        let Some(part) = parts.next() else { break Part::End(Box::new(tables)) };
        let plan = match part {
            Some(index) => store
                .read_part(index)
                .map_err(|cause| unreadable(transaction, cause))
                .and_then(|changes| planned(&changes, &mut tables)),
            None => planned(&transaction.changes, &mut tables),
        };
        match plan {
            Ok(plan) => {
                if sender.blocking_send(Part::Planned(Box::new(plan))).is_err() {
                    return;
                }
            }
            Err(error) => break Part::Failed(error),
        }
    };
    // Nobody may be there any more.
    let _unheard = sender.blocking_send(last);
}

/// The number of parts: those on disk, and what is in memory.
fn parts(spilled: &SpilledChanges) -> u64 {
    spilled.store().parts() as u64 + 1
}

/// The live tables that a transaction may change.
fn live_tables(
    spilled: &SpilledChanges,
    transaction: &Transaction,
    tables: &TableSet,
) -> Vec<Arc<TablePlan>> {
    let in_memory = transaction.changes.iter().flat_map(relations);
    let mut found: Vec<Arc<TablePlan>> = Vec::new();
    for relation in spilled.store().relations().iter().chain(in_memory) {
        let Some(entry) = tables.get(relation.oid) else { continue };
        let known = found.iter().any(|table| table.source.oid == relation.oid);
        if entry.phase == TablePhase::Streaming && transaction.end_lsn > entry.sync_lsn && !known {
            found.push(Arc::clone(&entry.plan));
        }
    }
    found
}

/// The tables of a change.
fn relations(change: &Change) -> &[Arc<Relation>] {
    match change {
        Change::Insert { relation, .. }
        | Change::Update { relation, .. }
        | Change::Delete { relation, .. } => std::slice::from_ref(relation),
        Change::Truncate { relations } => relations,
    }
}

/// A part cannot be read back.
fn unreadable(transaction: &Transaction, cause: io::Error) -> EngineError {
    EngineError::SpillUnreadable { xid: transaction.xid, cause }
}
