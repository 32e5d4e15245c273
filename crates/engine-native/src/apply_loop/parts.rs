//! A transaction that is too large for memory, or that changes tables: read, planned and applied part by part, in one
//! target transaction, or in one for each part ([`super::chunked`]).
//!
//! ```text
//! another thread                                this task
//! store --part--> plan_part --channel (1)-->    PartsApply: begin, add, add, ... commit
//!    ^               |    <---- answer ----     PartsApply: alter, where a description means a change
//!    |               +-- what a part sets aside counts for the next one
//!    +-- without rolled-back subtransactions, checked against its checksum
//! ```
//!
//! At most three parts are in memory: one that is read and planned, one that waits, and one that is applied. A part that
//! cannot be applied takes those before it along that are not committed; if it is one table's fault, that table is set aside
//! and the transaction begins anew without it, behind what is committed.
//!
//! A part ends in front of the first change whose table was described anew. The thread waits for what that means; the
//! changes behind it are planned for the table as it is then.

use std::io;
use std::sync::Arc;

use segcdc_model::{Change, Checkpoint, Relation, SpilledChanges, TablePhase, Transaction};
use segcdc_plan::{
    ApplyPlan, Decision, KnownTable, SchemaChange, TablePlan, TableSet, first_unknown, plan_part,
};
use segcdc_sqlserver::{Alteration, PartialTransaction};
use tokio::sync::{mpsc, oneshot};

use super::Loop;
use super::apply::{Applied, while_receiving};
use super::chunked::{ChunkedApply, Committed};
use super::resume::{is_of, shorter};
use crate::config::LargeTransactions;
use crate::error::EngineError;
use crate::examine::{Examiner, Followed};
use crate::failpoint::{Failpoint, hit};
use crate::ports::{PartsPort, Ports, SourcePort, TargetPort};
use crate::progress::{LargeTransaction, Progress};
use crate::quarantine::table_at_fault;
use crate::shape;

/// What the reading thread says.
pub(super) enum Part {
    /// The next part.
    Planned {
        /// Its effect.
        plan: Box<ApplyPlan>,
        /// Which of [`parts`] it is of, from 1.
        part: u64,
        /// Changes that it was planned from.
        read: u64,
    },
    /// A table was described anew.
    Described(Box<Question>),
    /// There are no more; the tables with what is set aside now.
    End(Box<TableSet>),
    /// It cannot go on.
    Failed(EngineError),
}

/// What a description means is to be found out.
pub(super) struct Question {
    pub(super) relation: Arc<Relation>,
    pub(super) known: Arc<KnownTable>,
    pub(super) plan: Arc<TablePlan>,
    /// Whether rows of the table are set aside.
    pub(super) has_letters: bool,
    pub(super) answer: oneshot::Sender<Decision>,
}

/// A transaction that has been applied in parts.
struct Done {
    checkpoint: Checkpoint,
    tables: TableSet,
    applied: Applied,
}

/// What applying a transaction in parts needs.
struct Parts<'a, 's, P: Ports> {
    target: &'a mut P::Target,
    examiner: &'a mut Examiner<'s, P::Source>,
    before: &'a Checkpoint,
    transaction: &'a Transaction,
    /// The tables that it may change.
    tables: &'a [Arc<TablePlan>],
    progress: &'a Progress,
}

/// Reads a transaction, on a thread of its own.
struct Reader<'a> {
    transaction: &'a Transaction,
    tables: TableSet,
    /// Changes that are applied already, and so are passed over.
    skip: u64,
    sender: &'a mpsc::Sender<Part>,
}

// === impl Question ===

impl Question {
    /// What is known of the table.
    pub(super) fn followed(&self) -> Followed<'_> {
        Followed { known: &self.known, plan: &self.plan, has_letters: self.has_letters }
    }
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Applies a transaction in parts, without the tables that turn out to be at fault.
    pub(super) async fn apply_parts(
        &mut self,
        transaction: Transaction,
        spilled: Option<SpilledChanges>,
    ) -> Result<(), EngineError> {
        self.look_at_timeline().await?;
        let transaction = Arc::new(transaction);
        self.show_waiting(std::slice::from_ref(&transaction));
        if let Some(spilled) = &spilled {
            tracing::info!(
                xid = transaction.xid,
                changes = spilled.store().changes() + transaction.changes.len() as u64,
                bytes = spilled.store().bytes(),
                "applying a transaction that is too large for memory, in parts"
            );
        }
        let mut tries = 0;
        let applied = loop {
            if let Some(spilled) = &spilled {
                self.show_large(&transaction, spilled);
            }
            let error = match self.try_parts(&transaction, spilled.as_ref()).await {
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
            committed: self.partial_of(transaction).map(|partial| partial.changes),
        };
        self.context.progress.update(|snapshot| snapshot.large = Some(large));
    }

    /// How much of a transaction is committed in the target already.
    fn partial_of(&self, transaction: &Transaction) -> Option<PartialTransaction> {
        self.partial.filter(|partial| is_of(partial, transaction))
    }

    /// Applies a transaction in parts, once, behind what is committed of it.
    async fn try_parts(
        &mut self,
        transaction: &Arc<Transaction>,
        spilled: Option<&SpilledChanges>,
    ) -> Result<Applied, EngineError> {
        // One that is in memory has lost them when it came.
        let known = spilled.and_then(|_| self.partial_of(transaction));
        let touched = live_tables(spilled, transaction, &self.tables);
        let (sender, parts) = mpsc::channel(1);
        let (whole, store, tables) = (Arc::clone(transaction), spilled.cloned(), self.tables.clone());
        let reader = tokio::task::spawn_blocking(move || {
            let skip = known.map_or(0, |known| known.changes);
            let reader = Reader { transaction: &whole, tables, skip, sender: &sender };
            reader.run(store.as_ref(), known.as_ref());
        });
        let in_chunks = self.context.config.large_transactions == LargeTransactions::Chunked;
        let applied = if in_chunks && spilled.is_some() {
            self.apply_chunked(transaction, known, parts).await
        } else {
            self.apply_at_once(transaction, &touched, parts).await
        };
        // It ends when nobody takes what it reads.
        reader.await.map_err(|_| EngineError::TaskBroken { task: "plan" })?;
        applied
    }

    /// Applies all parts in one target transaction.
    async fn apply_at_once(
        &mut self,
        transaction: &Transaction,
        touched: &[Arc<TablePlan>],
        parts: mpsc::Receiver<Part>,
    ) -> Result<Applied, EngineError> {
        let before = self.memory.checkpoint()?.clone();
        self.begin(&before, transaction.end_lsn);
        let (context, intake, tables) = (self.context, &mut self.intake, &self.tables);
        let applying = Parts::<P> {
            target: self.target,
            examiner: &mut self.examiner,
            before: &before,
            transaction,
            tables: touched,
            progress: &context.progress,
        };
        let done = while_receiving(context, intake, tables, applying.apply(parts)).await;
        let done = self.settle(done, |done| &done.checkpoint)?;
        self.tables = done.tables;
        self.intake.plan_again();
        Ok(done.applied)
    }

    /// Applies each part in a target transaction of its own. What is committed stays, whatever comes of the others.
    async fn apply_chunked(
        &mut self,
        transaction: &Transaction,
        known: Option<PartialTransaction>,
        parts: mpsc::Receiver<Part>,
    ) -> Result<Applied, EngineError> {
        let mut committed = Committed { partial: known, ..Committed::default() };
        let (context, intake, tables) = (self.context, &mut self.intake, &self.tables);
        let apply = ChunkedApply::<P> {
            target: self.target,
            memory: self.memory,
            examiner: &mut self.examiner,
            transaction,
            progress: &context.progress,
            committed: &mut committed,
        };
        let done = while_receiving(context, intake, tables, apply.run(parts)).await;
        self.partial = committed.partial;
        for learnt in committed.learnt {
            learnt.note(&mut self.tables);
        }
        self.intake.plan_again();
        self.settle(done, |checkpoint| checkpoint)?;
        self.partial = None;
        Ok(Applied { transactions: 1, ..committed.applied })
    }
}

// === impl Parts ===

impl<P: Ports> Parts<'_, '_, P> {
    /// Applies what the reading thread plans, and commits.
    async fn apply(self, mut parts: mpsc::Receiver<Part>) -> Result<Done, EngineError> {
        let Parts { target, examiner, before, transaction, tables, progress } = self;
        let mut apply = target.begin_parts(before, tables).await?;
        let mut applied = Applied { transactions: 1, ..Applied::default() };
        loop {
            let error = match parts.recv().await {
                Some(Part::Planned { plan, part, .. }) => {
                    apply.add(&plan).await?;
                    hit(Failpoint::BetweenParts);
                    applied.add(&plan);
                    let changes = applied.changes;
                    progress.update(|snapshot| {
                        if let Some(large) = &mut snapshot.large {
                            large.applied = changes;
                            large.part = (part + 1).min(large.parts);
                        }
                    });
                    continue;
                }
                Some(Part::Described(question)) => {
                    match describe(&mut apply, examiner, transaction, *question).await {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
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
}

/// Finds out what a description means, and has the target table follow.
async fn describe<A: PartsPort, S: SourcePort>(
    apply: &mut A,
    examiner: &mut Examiner<'_, S>,
    transaction: &Transaction,
    question: Question,
) -> Result<(), EngineError> {
    let decision = examiner.examine(question.followed(), &question.relation, transaction).await?;
    if let Decision::Change(change) = &decision {
        alter(apply, change, transaction).await?;
    }
    // Nobody may be there any more, which the end of its messages tells.
    let _unheard = question.answer.send(decision);
    Ok(())
}

/// Has the target table follow a change.
pub(super) async fn alter<A: PartsPort>(
    apply: &mut A,
    change: &SchemaChange,
    transaction: &Transaction,
) -> Result<(), EngineError> {
    hit(Failpoint::BeforeAlter);
    let (shape, end_lsn) = (shape::of(&change.plan), transaction.end_lsn);
    apply.alter(Alteration { change, shape: &shape, end_lsn }).await?;
    hit(Failpoint::AfterAlter);
    Ok(())
}

// === impl Reader ===

impl Reader<'_> {
    /// Reads and plans part by part, until nobody wants more. `known` says how much is applied already.
    fn run(mut self, spilled: Option<&SpilledChanges>, known: Option<&PartialTransaction>) {
        let store = spilled.map(SpilledChanges::store);
        let parts = store.map_or(0, |store| store.parts());
        for index in 0..parts {
            let Some(store) = store else { return };
            let changes = store.read_part(index).map_err(|cause| unreadable(self.transaction, cause));
            let planned = changes.and_then(|changes| self.plan(index, &changes));
            if !self.goes_on(planned) {
                return;
            }
        }
        let planned = self.plan(parts, &self.transaction.changes);
        let shorter = known.filter(|_| self.skip > 0).map_or(Ok(()), |known| Err(shorter(known)));
        if self.goes_on(planned.and_then(|is_heard| shorter.map(|()| is_heard))) {
            self.send(Part::End(Box::new(self.tables.clone())));
        }
    }

    /// Says what went wrong, if anything did. Whether there is somebody to go on for.
    fn goes_on(&self, planned: Result<bool, EngineError>) -> bool {
        match planned {
            Ok(is_heard) => is_heard,
            Err(error) => {
                self.send(Part::Failed(error));
                false
            }
        }
    }

    /// Plans the changes of a part, and asks where a table was described anew. Whether somebody listens.
    fn plan(&mut self, index: usize, changes: &[Change]) -> Result<bool, EngineError> {
        let skipped = changes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        self.skip -= skipped as u64;
        let mut changes = changes.get(skipped..).unwrap_or_default();
        loop {
            let unknown = first_unknown(changes, self.transaction.end_lsn, &self.tables);
            let at = unknown.as_ref().map_or(changes.len(), |(at, _)| *at);
            let (now, behind) = changes.split_at(at);
            if !now.is_empty() {
                let plan = Box::new(plan_part(now, self.transaction, &self.tables)?);
                self.tables.note_letters(&plan.letters);
                if !self.send(Part::Planned { plan, part: index as u64 + 1, read: now.len() as u64 }) {
                    return Ok(false);
                }
            }
            let Some((_, relation)) = unknown else { return Ok(true) };
            if !self.ask(&relation) {
                return Ok(false);
            }
            changes = behind;
        }
    }

    /// Asks what a description means, and takes the answer over. Whether there was one.
    fn ask(&mut self, relation: &Arc<Relation>) -> bool {
        let entry = self.tables.get(relation.oid);
        let Some((known, entry)) = entry.and_then(|entry| Some((entry.known.as_ref()?, entry))) else {
            return false;
        };
        let (answer, answered) = oneshot::channel();
        let (known, plan) = (Arc::clone(&known.table), Arc::clone(&entry.plan));
        let (relation_of, has_letters) = (Arc::clone(relation), !entry.letters.is_empty());
        let question = Question { relation: relation_of, known, plan, has_letters, answer };
        if !self.send(Part::Described(Box::new(question))) {
            return false;
        }
        match answered.blocking_recv() {
            Ok(Decision::Same(known)) => self.tables.admit(relation, *known),
            Ok(Decision::Change(change)) => self.tables.follow(relation, *change),
            Err(_) => return false,
        }
        true
    }

    /// Sends; whether somebody is there to receive it.
    fn send(&self, part: Part) -> bool {
        self.sender.blocking_send(part).is_ok()
    }
}

/// The number of parts: those on disk, and what is in memory.
fn parts(spilled: &SpilledChanges) -> u64 {
    spilled.store().parts() as u64 + 1
}

/// The live tables that a transaction may change.
fn live_tables(
    spilled: Option<&SpilledChanges>,
    transaction: &Transaction,
    tables: &TableSet,
) -> Vec<Arc<TablePlan>> {
    let spilled = spilled.map(|spilled| spilled.store().relations()).unwrap_or_default();
    let in_memory = transaction.changes.iter().flat_map(Change::relations);
    let mut found: Vec<Arc<TablePlan>> = Vec::new();
    for relation in spilled.iter().chain(in_memory) {
        let Some(entry) = tables.get(relation.oid) else { continue };
        let known = found.iter().any(|table| table.source.oid == relation.oid);
        if entry.phase == TablePhase::Streaming && transaction.end_lsn > entry.sync_lsn && !known {
            found.push(Arc::clone(&entry.plan));
        }
    }
    found
}

/// A part cannot be read back.
fn unreadable(transaction: &Transaction, cause: io::Error) -> EngineError {
    EngineError::SpillUnreadable { xid: transaction.xid, cause }
}
