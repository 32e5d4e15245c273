//! [`Intake`]: what comes out of the stream, made into batches.
//!
//! ```text
//! stream --> batch (grows while another one is being applied) --full--> planned ahead, on another thread
//!              +--> waiting: a transaction that did not fit
//! ```
//!
//! Under light load a batch is what came while the last one was being applied. Under heavy load it is full long before
//! that, and is planned while the target still works. A transaction that is too large for memory is never planned ahead,
//! and never part of a batch.

use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{Lsn, SpilledChanges, Transaction};
use segcdc_plan::{ApplyPlan, Batch, BatchLimits, PlanError, TableSet, plan};
use segcdc_postgres::{SourceError, StreamEvent, heartbeat};
use tokio::task::JoinHandle;

use super::resume::Resume;
use super::skips::Skips;
use crate::error::EngineError;
use crate::ports::StreamPort;

/// Transactions and the plan of their effect.
pub(super) type Planned = (Vec<Transaction>, Result<ApplyPlan, PlanError>);

/// What is to be applied next.
pub(super) enum Next {
    /// A batch, planned.
    Batch(Vec<Transaction>, Result<ApplyPlan, PlanError>),
    /// A transaction that is too large for memory, and its first changes.
    Large(Box<Transaction>, SpilledChanges),
    /// A transaction that is not to be applied.
    Skipped(Box<Transaction>),
}

/// What comes out of the stream.
pub(super) struct Intake<S> {
    /// The stream.
    pub(super) stream: S,
    batch: Batch,
    /// A transaction that did not fit into the batch.
    waiting: Option<Transaction>,
    /// A full batch that is being planned, or was.
    ahead: Option<JoinHandle<Planned>>,
    /// What was planned ahead counted on what is otherwise now.
    stale: bool,
    /// Everything at or below it was received before: the source sends it again after its own crash.
    known: Lsn,
    /// What is applied in part has to come first.
    resume: Resume,
    /// What is not to be applied.
    pub(super) skips: Skips,
    /// A transaction that is not to be applied. What came before it is handed out first.
    to_skip: Option<Transaction>,
    /// Transactions that were left out because they are known.
    pub(super) skipped: u64,
    /// See [`segcdc_plan::StreamState::idle_wal_end`].
    pub(super) idle_wal_end: Option<Lsn>,
    /// A position that somebody waits for the checkpoint to reach.
    pub(super) asked: Option<Lsn>,
    /// Why the stream has ended. What came before it is handed out first.
    end: Option<EngineError>,
}

// === impl Intake ===

impl<S: StreamPort> Intake<S> {
    /// An intake of a stream that begins behind `applied`.
    pub(super) fn new(stream: S, applied: Lsn, batch: BatchLimits, resume: Resume, skips: Skips) -> Self {
        Intake {
            stream,
            batch: Batch::new(batch),
            waiting: None,
            ahead: None,
            stale: false,
            known: applied,
            resume,
            skips,
            to_skip: None,
            skipped: 0,
            idle_wal_end: None,
            asked: None,
            end: None,
        }
    }

    /// Transactions that were received and are in no batch that is being applied.
    pub(super) fn pending(&self) -> usize {
        self.batch.transactions().len()
            + usize::from(self.waiting.is_some())
            + usize::from(self.ahead.is_some())
            + usize::from(self.to_skip.is_some())
    }

    /// Whether there is room for another event.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_none() && self.to_skip.is_none() && self.end.is_none()
    }

    /// Waits for the next event and takes it in. Cancel-safe.
    pub(super) async fn receive(&mut self) {
        let event = self.stream.next().await;
        self.take(event);
    }

    /// Takes in what has already come, without waiting.
    pub(super) fn drain(&mut self) {
        use futures_util::FutureExt;
        self.refill();
        while self.has_room() && !self.batch.is_full() {
            match self.stream.next().now_or_never() {
                Some(event) => self.take(event),
                None => break,
            }
        }
    }

    /// Plans a full batch on another thread, if there is one and none is planned yet.
    pub(super) fn plan_ahead(&mut self, tables: &TableSet) {
        let full = self.batch.is_full() || self.waiting.is_some();
        if full && self.ahead.is_none() && !self.batch.is_spilled() {
            let (transactions, tables) = (self.batch.take(), tables.clone());
            self.ahead = Some(tokio::task::spawn_blocking(move || {
                let planned = plan(&transactions, &tables);
                (transactions, planned)
            }));
            self.refill();
        }
    }

    /// Tables or rows were set aside, or came back: what is planned ahead does not hold any more.
    pub(super) fn plan_again(&mut self) {
        self.stale = self.ahead.is_some();
    }

    /// What is to be applied next, a batch with its plan; `None` when nothing has come.
    ///
    /// # Errors
    /// When the thread that planned has broken down.
    pub(super) async fn next(&mut self, tables: &TableSet) -> Result<Option<Next>, EngineError> {
        if let Some(ahead) = self.ahead.take() {
            let (transactions, planned) =
                ahead.await.map_err(|_| EngineError::TaskBroken { task: "plan" })?;
            let stale = std::mem::take(&mut self.stale);
            let planned = if stale { plan(&transactions, tables) } else { planned };
            return Ok(Some(Next::Batch(transactions, planned)));
        }
        if self.batch.is_empty() {
            return Ok(self.to_skip.take().map(|transaction| Next::Skipped(Box::new(transaction))));
        }
        let mut transactions = self.batch.take();
        self.refill();
        if let [transaction] = transactions.as_slice()
            && let Some(spilled) = transaction.spilled.clone()
            && let Some(transaction) = transactions.pop()
        {
            return Ok(Some(Next::Large(Box::new(transaction), spilled)));
        }
        let planned = plan(&transactions, tables);
        Ok(Some(Next::Batch(transactions, planned)))
    }

    /// Why the stream has ended, once everything that came before is applied.
    ///
    /// # Errors
    /// That reason.
    pub(super) fn check_end(&mut self) -> Result<(), EngineError> {
        if self.pending() > 0 { Ok(()) } else { self.end.take().map_or(Ok(()), Err) }
    }

    /// Takes in one event.
    fn take(&mut self, event: Result<StreamEvent, SourceError>) {
        match event {
            Ok(StreamEvent::Transaction(mut transaction)) => {
                self.idle_wal_end = None;
                match self.resume.pass(&mut transaction) {
                    Ok(()) if self.skips.pass(transaction.end_lsn) => self.to_skip = Some(transaction),
                    Ok(()) => self.accept(transaction),
                    Err(error) => self.end = Some(error),
                }
            }
            Ok(StreamEvent::Idle { wal_end }) => match self.resume.pass_idle(wal_end) {
                Ok(()) => {
                    self.skips.pass_idle(wal_end);
                    self.idle_wal_end = Some(wal_end);
                }
                Err(error) => self.end = Some(error),
            },
            Ok(StreamEvent::Message { prefix, lsn }) => {
                if prefix == heartbeat::BARRIER {
                    self.asked = Some(lsn);
                }
            }
            Err(error) => self.end = Some(error.into()),
        }
    }

    /// Puts a transaction into the batch, or aside when the batch is full.
    fn accept(&mut self, transaction: Transaction) {
        let end = match is_planted(Mutant::SkipByRecordLsn) {
            true => transaction.commit_lsn,
            false => transaction.end_lsn,
        };
        if end <= self.known {
            self.skipped += 1;
        } else if self.batch.accepts(&transaction) {
            self.batch.push(transaction);
        } else {
            self.waiting = Some(transaction);
        }
    }

    /// Puts the transaction that waits into the batch, once it fits.
    fn refill(&mut self) {
        if let Some(transaction) = self.waiting.take() {
            self.accept(transaction);
        }
    }
}
