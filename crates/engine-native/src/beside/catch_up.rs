//! [`CatchUp`]: the stream of a temporary slot, for a few tables.
//!
//! Each source transaction is applied whole, and several of them together as long as they fit into a batch, as the pipeline
//! does it. There is no checkpoint: a batch whose outcome is not known makes the whole copy begin again.

use std::sync::Arc;

use futures_util::FutureExt;
use segcdc_model::{Change, Checkpoint, Disposition, Fault, Lsn, Relation, SpilledChanges, Transaction};
use segcdc_plan::{ApplyPlan, Batch, Decision, TablePlan, TableSet, first_unknown, plan, plan_part};
use segcdc_postgres::{Session, SourceError, StreamEvent, TransactionStream};
use segcdc_sqlserver::{PartsApply, Target};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::error::EngineError;
use crate::examine::{Examiner, Followed};
use crate::failpoint::{Failpoint, hit};

/// How often a batch is tried on one session. The usual reason is a deadlock.
const TRIES: u32 = 3;

/// What catching up needs.
pub(super) struct CatchUp<'a> {
    pub(super) context: &'a Context,
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) target: &'a mut Target,
    /// The tables that are caught up, and no others.
    pub(super) tables: TableSet,
    pub(super) examiner: Examiner<'a, Session>,
    pub(super) stream: TransactionStream,
}

/// What has come and is not applied.
#[derive(Default)]
struct Pending {
    /// A transaction that did not fit into the batch.
    next: Option<Transaction>,
    /// Nothing is to come at or below it.
    idle: Option<Lsn>,
}

// === impl CatchUp ===

impl CatchUp<'_> {
    /// Applies what comes behind `from` and says how far it is, until it is to stop. Returns how far it got.
    ///
    /// # Errors
    /// Of one table, when it was changed; trouble of either server.
    pub(super) async fn run(
        &mut self,
        from: Lsn,
        position: &watch::Sender<Option<Lsn>>,
        stop: &CancellationToken,
    ) -> Result<Lsn, EngineError> {
        let (mut at, mut pending) = (from, Pending::default());
        position.send_replace(Some(at));
        while !stop.is_cancelled() {
            let mut batch = Batch::new(self.context.config.batch);
            if let Some(next) = pending.next.take() {
                batch.push(next);
            } else {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(at),
                    event = self.stream.next() => pending.take(event, at, &mut batch)?,
                }
            }
            while !batch.is_full() && pending.next.is_none() {
                let Some(event) = self.stream.next().now_or_never() else { break };
                pending.take(event, at, &mut batch)?;
            }
            if let Some(last) = batch.transactions().last() {
                let end = last.end_lsn;
                self.apply(batch.take()).await?;
                hit(Failpoint::BesideCaughtUp);
                at = end;
            }
            if pending.next.is_none() {
                at = pending.idle.map_or(at, |idle| at.max(idle));
            }
            self.stream.acknowledge(at);
            position.send_replace(Some(at));
        }
        Ok(at)
    }

    /// Applies a batch, in one target transaction.
    async fn apply(&mut self, transactions: Vec<Transaction>) -> Result<(), EngineError> {
        if let [transaction] = transactions.as_slice()
            && let Some(spilled) = &transaction.spilled
        {
            return self.apply_large(transaction, spilled).await;
        }
        for transaction in &transactions {
            self.look_into(&transaction.changes, transaction).await?;
        }
        let planned = plan(&transactions, &self.tables)?;
        if planned.is_empty() {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            let Err(error) = self.apply_planned(&planned).await else { break };
            tries += 1;
            let again = error.disposition() == Disposition::Retry && !error.is_commit_unknown();
            if !again || !self.target.is_usable() || tries >= TRIES {
                return Err(error);
            }
        }
        self.tables.note_letters(&planned.letters);
        Ok(())
    }

    async fn apply_planned(&mut self, planned: &ApplyPlan) -> Result<(), EngineError> {
        let plans = plans(&self.tables);
        let mut apply = PartsApply::begin_beside(self.target, self.checkpoint, &plans).await?;
        apply.add(planned).await?;
        Ok(apply.commit_beside().await?)
    }

    /// Applies a transaction that is too large for memory, in parts. Many have no change of these tables.
    async fn apply_large(
        &mut self,
        transaction: &Transaction,
        spilled: &SpilledChanges,
    ) -> Result<(), EngineError> {
        let in_memory = transaction.changes.iter().flat_map(Change::relations);
        let touched = spilled.store().relations().iter().chain(in_memory);
        let is_ours = |relation: &Arc<Relation>| self.tables.get(relation.oid).is_some();
        if !touched.into_iter().any(is_ours) {
            return Ok(());
        }
        // What the parts say of tables is looked into before anything is applied: the session is not free for it then.
        let parts = spilled.store().parts();
        for index in 0..parts {
            let changes = read(transaction, spilled, index).await?;
            self.look_into(&changes, transaction).await?;
        }
        self.look_into(&transaction.changes, transaction).await?;
        let plans = plans(&self.tables);
        let mut apply = PartsApply::begin_beside(self.target, self.checkpoint, &plans).await?;
        for index in 0..=parts {
            let changes = if index < parts {
                match read(transaction, spilled, index).await {
                    Ok(changes) => changes,
                    Err(error) => {
                        apply.roll_back().await;
                        return Err(error);
                    }
                }
            } else {
                transaction.changes.clone()
            };
            let planned = match plan_part(&changes, transaction, &self.tables) {
                Ok(planned) => planned,
                Err(error) => {
                    apply.roll_back().await;
                    return Err(error.into());
                }
            };
            apply.add(&planned).await?;
            self.tables.note_letters(&planned.letters);
        }
        Ok(apply.commit_beside().await?)
    }

    /// Looks into the descriptions of tables. The copy of one that was changed has to begin again.
    async fn look_into(&mut self, changes: &[Change], transaction: &Transaction) -> Result<(), EngineError> {
        while let Some((_, relation)) = first_unknown(changes, transaction.end_lsn, &self.tables) {
            let broken = || EngineError::TaskBroken { task: "describe" };
            let entry = self.tables.get(relation.oid).ok_or_else(broken)?;
            let known = entry.known.as_ref().ok_or_else(broken)?;
            let followed =
                Followed { known: &known.table, plan: &entry.plan, has_letters: !entry.letters.is_empty() };
            match self.examiner.examine(followed, &relation, transaction).await? {
                Decision::Same(known) => self.tables.admit(&relation, *known),
                Decision::Change(_) => {
                    let (oid, table) = (relation.oid, relation.name.clone());
                    return Err(EngineError::SourceSchemaChanged { oid, table });
                }
            }
        }
        Ok(())
    }
}

// === impl Pending ===

impl Pending {
    /// Takes in one event.
    fn take(
        &mut self,
        event: Result<StreamEvent, SourceError>,
        at: Lsn,
        batch: &mut Batch,
    ) -> Result<(), EngineError> {
        match event? {
            StreamEvent::Transaction(transaction) => {
                self.idle = None;
                if transaction.end_lsn <= at {
                    return Ok(());
                }
                if batch.accepts(&transaction) {
                    batch.push(transaction);
                } else {
                    self.next = Some(transaction);
                }
            }
            StreamEvent::Idle { wal_end } => self.idle = Some(wal_end),
            StreamEvent::Message { .. } => {}
        }
        Ok(())
    }
}

/// The plans of all tables.
fn plans(tables: &TableSet) -> Vec<Arc<TablePlan>> {
    tables.iter().map(|entry| Arc::clone(&entry.plan)).collect()
}

/// Reads a part back, on a thread that may wait for the disk.
async fn read(
    transaction: &Transaction,
    spilled: &SpilledChanges,
    index: usize,
) -> Result<Vec<Change>, EngineError> {
    let store = Arc::clone(spilled.store());
    let read = tokio::task::spawn_blocking(move || store.read_part(index)).await;
    let read = read.map_err(|_| EngineError::TaskBroken { task: "read" })?;
    read.map_err(|cause| EngineError::SpillUnreadable { xid: transaction.xid, cause })
}
