//! One batch: planned, applied, taken note of.

use std::time::{Duration, Instant};

use segcdc_model::{Checkpoint, Disposition, Fault, TablePhase, Transaction};
use segcdc_plan::{ApplyPlan, plan};
use segcdc_sqlserver::{Lag, apply};

use super::{LAST_BATCH, Loop};
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::quarantine::{quarantine, table_at_fault};

/// How often a batch is tried on one session before the connections are made anew. The usual reason is a deadlock.
const TRIES_A_SESSION: u32 = 3;

/// Pause before a batch is tried again on the same session.
const PAUSE: Duration = Duration::from_millis(50);

// === impl Loop ===

impl Loop<'_> {
    /// Applies the next batch, if there is one, without the tables that turn out to be at fault.
    pub(super) async fn apply_next(&mut self) -> Result<(), EngineError> {
        let Some((transactions, mut planned)) = self.intake.next_batch(&self.tables).await? else {
            return Ok(());
        };
        self.show_waiting(&transactions);
        let mut tries = 0;
        loop {
            let error = match planned {
                Err(ref error) => error.clone().into(),
                Ok(ref plan) => match self.apply(plan).await {
                    Ok(()) => {
                        self.note_letters(plan);
                        self.note(&transactions, plan);
                        return Ok(());
                    }
                    Err(error) => error,
                },
            };
            if let Some(oid) = table_at_fault(&error) {
                self.set_aside(oid, &error).await?;
                planned = plan(&transactions, &self.tables);
                continue;
            }
            let again = error.disposition() == Disposition::Retry
                && !error.is_commit_unknown()
                && self.target.is_usable();
            tries += 1;
            if !again || tries >= TRIES_A_SESSION {
                return Err(error);
            }
            tracing::warn!(code = error.code(), error = %error, attempt = tries, "a batch is tried again");
            self.context.progress.update(|snapshot| snapshot.retries += 1);
            tokio::time::sleep(PAUSE * tries).await;
        }
    }

    /// Applies one plan, and knows afterwards what the checkpoint is. The next batch grows meanwhile.
    async fn apply(&mut self, planned: &ApplyPlan) -> Result<(), EngineError> {
        let before = self.memory.checkpoint()?.clone();
        self.memory.begin(Checkpoint {
            applied_lsn: planned.end_lsn,
            batch_seq: before.batch_seq + 1,
            ..before.clone()
        });
        hit(Failpoint::BeforeApply);
        let shutdown = &self.context.shutdown;
        let patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAST_BATCH).await;
        };
        let applied = {
            let (intake, tables) = (&mut self.intake, &self.tables);
            let receiving = async {
                while intake.has_room() {
                    intake.receive().await;
                    intake.plan_ahead(tables);
                }
                std::future::pending().await
            };
            tokio::select! {
                biased;
                applied = apply(self.target, planned, &before) => applied,
                // The session ends with us, and the server undoes what it has not committed. Should the commit be
                // under way, the checkpoint tells the next run.
                () = patience => return Err(EngineError::Abandoned),
                () = receiving => return Err(EngineError::TaskBroken { task: "receive" }),
            }
        };
        match applied {
            Ok(next) => {
                hit(Failpoint::AfterCommitBeforeAck);
                self.memory.commit(next);
                self.memory.advanced = true;
                self.moved = Instant::now();
                Ok(())
            }
            Err(error) => {
                let error = EngineError::from(error);
                // After a broken connection nobody knows, even when the break came before the commit.
                if self.target.is_usable() && !error.is_commit_unknown() {
                    self.memory.abandon();
                }
                Err(error)
            }
        }
    }

    /// Takes over which rows are set aside now.
    fn note_letters(&mut self, planned: &ApplyPlan) {
        if !planned.letters.is_empty() {
            self.tables.note_letters(&planned.letters);
            // What was planned ahead counts on the letters of before.
            self.intake.plan_again();
        }
    }

    /// Quarantines a table, durably, before anything goes on without it.
    pub(super) async fn set_aside(&mut self, oid: u32, error: &EngineError) -> Result<(), EngineError> {
        quarantine(self.context, self.memory.checkpoint()?, self.target, oid, error).await?;
        self.intake.plan_again();
        if self.tables.set_phase(oid, TablePhase::Quarantined) {
            Ok(())
        } else {
            // It would be at fault again and again.
            Err(EngineError::TaskBroken { task: "quarantine" })
        }
    }

    /// Writes how far behind the pipeline is, for `status`.
    pub(super) async fn write_lag(&mut self) -> Result<(), EngineError> {
        let (source_lsn, lag_ms) = {
            let progress = self.context.progress.subscribe();
            let snapshot = progress.borrow();
            (snapshot.source_lsn, snapshot.lag_ms)
        };
        let lag_us = i64::try_from(lag_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
        let checkpoint = self.memory.checkpoint()?;
        Ok(self.target.set_lag(checkpoint, &Lag { source_lsn, lag_us }).await?)
    }

    /// Shows how old the oldest transaction is that is about to be applied.
    fn show_waiting(&self, transactions: &[Transaction]) {
        let Some(oldest) = transactions.first() else { return };
        let age_us = self.clock.since(oldest.commit_time_us, Instant::now());
        self.context.progress.update(|snapshot| snapshot.lag_ms = age_us / 1000);
    }

    /// Counts what has become visible, and how long it took.
    fn note(&mut self, transactions: &[Transaction], planned: &ApplyPlan) {
        let (clock, now) = (self.clock, Instant::now());
        let latencies = transactions.iter().map(|transaction| clock.since(transaction.commit_time_us, now));
        self.context.progress.record_latencies(latencies);
        self.context.progress.update(|snapshot| {
            let applied = &mut snapshot.applied;
            applied.batches += 1;
            applied.transactions += planned.transactions;
            applied.changes += planned.changes;
            for changes in &planned.tables {
                let rows = changes.row_count() as u64;
                applied.rows += rows;
                let oid = changes.table.source.oid;
                if let Some(table) = snapshot.tables.iter_mut().find(|table| table.source_oid == oid) {
                    table.changes_applied += rows;
                }
            }
        });
        self.show_position();
    }
}
