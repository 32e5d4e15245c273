//! One batch: planned, applied, taken note of.

use std::time::{Duration, Instant};

use segcdc_model::{Checkpoint, Disposition, Fault, Lsn, TablePhase, Transaction};
use segcdc_plan::{ApplyPlan, ChangeKind, PlanError, Refusals, TableSet, plan_with};
use segcdc_sqlserver::Lag;

use super::intake::{Intake, Next};
use super::refused::Verdict;
use super::{LAST_BATCH, Loop, gone};
use crate::context::Context;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::ports::{Ports, StreamPort, TargetPort};
use crate::quarantine::{quarantine, table_at_fault};

/// How often a batch is tried on one session before the connections are made anew. The usual reason is a deadlock.
const TRIES_A_SESSION: u32 = 3;

/// Pause before a batch is tried again on the same session.
const PAUSE: Duration = Duration::from_millis(50);

/// What a target transaction has done.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Source transactions.
    pub(super) transactions: u64,
    /// Source changes.
    pub(super) changes: u64,
    /// Rows of the target by source OID.
    pub(super) rows: Vec<(u32, u64)>,
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Applies what comes next, if there is anything, without the tables that turn out to be at fault.
    pub(super) async fn apply_next(&mut self) -> Result<(), EngineError> {
        self.refuse_passed().await?;
        let Some(next) = self.intake.next(&self.tables).await? else { return Ok(()) };
        match next {
            Next::Batch(transactions, planned) => self.apply_transactions(&transactions, planned).await,
            Next::Large(transaction, spilled) => {
                self.note_missed(std::slice::from_ref(&*transaction)).await?;
                Box::pin(self.apply_parts(*transaction, Some(spilled))).await
            }
            Next::Skipped(transaction) => Box::pin(self.skip(*transaction)).await,
        }
    }

    /// Applies a batch.
    pub(super) async fn apply_batch(
        &mut self,
        transactions: &[Transaction],
        mut planned: Result<ApplyPlan, PlanError>,
    ) -> Result<(), EngineError> {
        self.show_waiting(transactions);
        let mut tries = 0;
        let mut refusals = Refusals::new();
        loop {
            let error = match planned {
                Err(ref error) => error.clone().into(),
                Ok(ref plan) => match self.apply(plan).await {
                    Ok(()) => {
                        self.note_letters(plan);
                        let mut applied = Applied { transactions: plan.transactions, ..Applied::default() };
                        applied.add(plan);
                        self.note(transactions, &applied);
                        return Ok(());
                    }
                    Err(error) => error,
                },
            };
            let Some(oid) = table_at_fault(&error) else {
                self.wait_out(error, &mut tries).await?;
                continue;
            };
            let verdict = match &planned {
                Ok(plan) => Box::pin(self.look_for_refused((transactions, plan), oid, error)).await,
                Err(_) => Verdict::Table(error),
            };
            match verdict {
                Verdict::Rows(rows, error) => {
                    if !refusals.extend(rows) {
                        self.set_aside(oid, &error).await?;
                    }
                }
                Verdict::Table(error) => self.set_aside(oid, &error).await?,
                Verdict::Unknown(error) => {
                    self.wait_out(error, &mut tries).await?;
                    continue;
                }
            }
            planned = plan_with(transactions, &self.tables, &refusals);
        }
    }

    /// Waits before the same is tried again on the same session, if that can help.
    ///
    /// # Errors
    /// `error`, if it cannot.
    pub(super) async fn wait_out(&mut self, error: EngineError, tries: &mut u32) -> Result<(), EngineError> {
        let again = error.disposition() == Disposition::Retry
            && !error.is_commit_unknown()
            && !error.is_of_the_source()
            && self.target.is_usable();
        *tries += 1;
        if !again || *tries >= TRIES_A_SESSION {
            return Err(error);
        }
        tracing::warn!(code = error.code(), error = %error, attempt = *tries, "a batch is tried again");
        self.context.progress.update(|snapshot| snapshot.retries += 1);
        tokio::time::sleep(PAUSE * *tries).await;
        Ok(())
    }

    /// Applies one plan, and knows afterwards what the checkpoint is. The next batch grows meanwhile.
    async fn apply(&mut self, planned: &ApplyPlan) -> Result<(), EngineError> {
        let before = self.memory.checkpoint()?.clone();
        self.begin(&before, planned.end_lsn);
        let target = &mut *self.target;
        let applying = async { Ok(target.apply(planned, &before).await?) };
        let applied = while_receiving(self.context, &mut self.intake, &self.tables, applying).await;
        self.settle(applied, |next| next).map(drop)
    }

    /// A checkpoint is about to be written.
    pub(super) fn begin(&mut self, before: &Checkpoint, lsn: Lsn) {
        let batch_seq = before.batch_seq + 1;
        self.memory.begin(Checkpoint { applied_lsn: lsn, batch_seq, ..before.clone() });
        hit(Failpoint::BeforeApply);
    }

    /// Takes note of whether the checkpoint was written.
    pub(super) fn settle<T>(
        &mut self,
        applied: Result<T, EngineError>,
        checkpoint: impl Fn(&T) -> &Checkpoint,
    ) -> Result<T, EngineError> {
        match &applied {
            Ok(done) => {
                hit(Failpoint::AfterCommitBeforeAck);
                self.memory.commit(checkpoint(done).clone());
                self.memory.advanced = true;
                self.moved = tokio::time::Instant::now();
            }
            // Should the commit be under way, the checkpoint tells the next run.
            Err(EngineError::Abandoned) => {}
            Err(error) => {
                // After a broken connection nobody knows, even when the break came before the commit.
                if self.target.is_usable() && !error.is_commit_unknown() {
                    self.memory.abandon();
                }
            }
        }
        applied
    }

    /// Takes over which rows are set aside now.
    fn note_letters(&mut self, planned: &ApplyPlan) {
        if !planned.letters.is_empty() {
            self.tables.note_letters(&planned.letters);
            // What was planned ahead counts on the letters of before.
            self.intake.plan_again();
        }
    }

    /// Goes on without a table: what its user wishes is done with one that was made again, any other is quarantined. Durable
    /// before anything goes on.
    pub(super) async fn set_aside(&mut self, oid: u32, error: &EngineError) -> Result<(), EngineError> {
        match gone::kind_of(error) {
            Some(ChangeKind::RecreateTable) => self.meet_namesake(oid).await,
            _ => self.quarantine(oid, error).await,
        }
    }

    /// Quarantines a table, durably, before anything goes on without it.
    pub(super) async fn quarantine(&mut self, oid: u32, error: &EngineError) -> Result<(), EngineError> {
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
    pub(super) fn show_waiting(&self, transactions: &[Transaction]) {
        let Some(oldest) = transactions.first() else { return };
        let age_us = self.clock.since(oldest.commit_time_us, Instant::now());
        self.context.progress.update(|snapshot| snapshot.lag_ms = age_us / 1000);
    }

    /// Counts what has become visible, and how long it took.
    pub(super) fn note(&mut self, transactions: &[Transaction], applied: &Applied) {
        let (clock, now) = (self.clock, Instant::now());
        let latencies = transactions.iter().map(|transaction| clock.since(transaction.commit_time_us, now));
        self.context.progress.record_latencies(latencies);
        self.context.progress.update(|snapshot| {
            let totals = &mut snapshot.applied;
            totals.batches += 1;
            totals.transactions += applied.transactions;
            totals.changes += applied.changes;
            for (oid, rows) in &applied.rows {
                totals.rows += rows;
                if let Some(table) = snapshot.tables.iter_mut().find(|table| table.source_oid == *oid) {
                    table.changes_applied += rows;
                }
            }
        });
        self.show_position();
    }
}

// === impl Applied ===

impl Applied {
    /// Adds what a plan has done.
    pub(super) fn add(&mut self, plan: &ApplyPlan) {
        self.changes += plan.changes;
        for changes in &plan.tables {
            let (oid, rows) = (changes.table.source.oid, changes.row_count() as u64);
            match self.rows.iter_mut().find(|(known, _)| *known == oid) {
                Some((_, count)) => *count += rows,
                None => self.rows.push((oid, rows)),
            }
        }
    }
}

/// Waits for `applying`, while what comes is taken in and planned ahead.
///
/// # Errors
/// Those of `applying`; [`EngineError::Abandoned`] when the run is to end and it takes too long.
pub(super) async fn while_receiving<S: StreamPort, T>(
    context: &Context,
    intake: &mut Intake<S>,
    tables: &TableSet,
    applying: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let patience = async {
        context.shutdown.cancelled().await;
        tokio::time::sleep(LAST_BATCH).await;
    };
    let receiving = async {
        while intake.has_room() {
            intake.receive().await;
            intake.plan_ahead(tables);
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        applied = applying => applied,
        // The session ends with us, and the server undoes what it has not committed.
        () = patience => Err(EngineError::Abandoned),
        () = receiving => Err(EngineError::TaskBroken { task: "receive" }),
    }
}
