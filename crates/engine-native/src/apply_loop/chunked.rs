//! A transaction that is too large for memory, part by part in target transactions of their own: what the user asks for
//! where the target cannot hold all of it in one ([`crate::LargeTransactions::Chunked`]).
//!
//! ```text
//!                    atomic                                chunked
//! BEGIN  part 1  part 2  part 3  checkpoint  COMMIT        BEGIN  part 1  "n changes of xid"   COMMIT
//!                                                          BEGIN  part 2  "m changes of xid"   COMMIT     readers see this
//!                                                          BEGIN  part 3  "k changes of xid"   COMMIT
//!                                                          BEGIN  checkpoint                   COMMIT
//! ```
//!
//! The checkpoint stays in front of the transaction, so that the source keeps it and sends it again, and the state says
//! how many of its changes are applied, counted without those that were rolled back. Their order is the source's and
//! always the same; how they are divided into parts, and whether they fit into memory at all, is not. So it is changes
//! that are skipped, not parts, whichever way the transaction comes again ([`super::resume`]).

use std::sync::Arc;

use segcdc_model::{Checkpoint, Lsn, Relation, Transaction};
use segcdc_plan::{ApplyPlan, Decision, LetterChange, TablePlan, TableSet};
use segcdc_sqlserver::PartialTransaction;
use tokio::sync::mpsc;

use super::apply::Applied;
use super::parts::{Part, Question, alter};
use crate::context::Memory;
use crate::error::EngineError;
use crate::examine::Examiner;
use crate::failpoint::{Failpoint, hit};
use crate::ports::{PartsPort, Ports, TargetPort};
use crate::progress::Progress;

/// What parts have done that are committed.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// What the state says.
    pub(super) partial: Option<PartialTransaction>,
    /// What is otherwise now with tables, in order.
    pub(super) learnt: Vec<Learnt>,
    /// Rows and changes.
    pub(super) applied: Applied,
}

/// What is otherwise now with a table.
#[derive(Debug)]
pub(super) enum Learnt {
    /// Rows were set aside, or came back.
    Letters(Vec<LetterChange>),
    /// What a description means, with the target table as it has to be for it.
    Description(Arc<Relation>, Decision),
}

/// Applies parts of one transaction, each in a target transaction of its own.
pub(super) struct ChunkedApply<'a, 's, P: Ports> {
    pub(super) target: &'a mut P::Target,
    pub(super) memory: &'a mut Memory,
    pub(super) examiner: &'a mut Examiner<'s, P::Source>,
    pub(super) transaction: &'a Transaction,
    pub(super) progress: &'a Progress,
    pub(super) committed: &'a mut Committed,
}

// === impl Learnt ===

impl Learnt {
    /// Takes it over.
    pub(super) fn note(self, tables: &mut TableSet) {
        match self {
            Learnt::Letters(letters) => tables.note_letters(&letters),
            Learnt::Description(relation, Decision::Same(known)) => tables.admit(&relation, *known),
            Learnt::Description(relation, Decision::Change(change)) => tables.follow(&relation, *change),
        }
    }
}

// === impl ChunkedApply ===

impl<P: Ports> ChunkedApply<'_, '_, P> {
    /// Applies what the reading thread plans. Returns the checkpoint behind the transaction.
    ///
    /// # Errors
    /// Those of a part, of which then nothing is left; the parts before stay.
    pub(super) async fn run(mut self, mut parts: mpsc::Receiver<Part>) -> Result<Checkpoint, EngineError> {
        loop {
            match parts.recv().await {
                Some(Part::Planned { plan, part, read }) => {
                    self.part(&plan, read).await?;
                    let committed = self.committed.partial.map(|partial| partial.changes);
                    let applied = self.committed.applied.changes;
                    self.progress.update(|snapshot| {
                        if let Some(large) = &mut snapshot.large {
                            (large.applied, large.committed) = (applied, committed);
                            large.part = (part + 1).min(large.parts);
                        }
                    });
                }
                Some(Part::Described(question)) => self.describe(*question).await?,
                Some(Part::End(_)) => return self.end().await,
                Some(Part::Failed(error)) => return Err(error),
                None => return Err(EngineError::TaskBroken { task: "plan" }),
            }
        }
    }

    /// Applies one part, of which `read` changes were read.
    async fn part(&mut self, plan: &ApplyPlan, read: u64) -> Result<(), EngineError> {
        // As they are now: the transaction may have changed them since it began.
        let tables: Vec<Arc<TablePlan>> =
            plan.tables.iter().map(|changes| Arc::clone(&changes.table)).collect();
        let (before, partial) = (self.begin_inside()?, self.partial(read));
        let mut apply = self.target.begin_parts(&before, &tables).await?;
        apply.add(plan).await?;
        let checkpoint = apply.commit_inside(&partial).await?;
        self.note(checkpoint, partial, Learnt::Letters(plan.letters.clone()));
        self.committed.applied.add(plan);
        hit(Failpoint::BetweenParts);
        Ok(())
    }

    /// Finds out what a description means. Where it is a change, that is a part too, of no change of rows.
    async fn describe(&mut self, question: Question) -> Result<(), EngineError> {
        let decision =
            self.examiner.examine(question.followed(), &question.relation, self.transaction).await?;
        let Question { relation, answer, .. } = question;
        let learnt = Learnt::Description(relation, decision.clone());
        if let Decision::Change(change) = &decision {
            let (before, partial) = (self.begin_inside()?, self.partial(0));
            let mut apply = self.target.begin_parts(&before, &[]).await?;
            alter(&mut apply, change, self.transaction).await?;
            let checkpoint = apply.commit_inside(&partial).await?;
            self.note(checkpoint, partial, learnt);
        } else {
            self.committed.learnt.push(learnt);
        }
        // Nobody may be there any more, which the end of its messages tells.
        let _unheard = answer.send(decision);
        Ok(())
    }

    /// What the state says behind `read` more changes.
    fn partial(&self, read: u64) -> PartialTransaction {
        let Transaction { xid, end_lsn, .. } = *self.transaction;
        let known = self.committed.partial.map_or(0, |partial| partial.changes);
        PartialTransaction { xid, end_lsn, changes: known + read }
    }

    /// A part is committed.
    fn note(&mut self, checkpoint: Checkpoint, partial: PartialTransaction, learnt: Learnt) {
        self.memory.commit(checkpoint);
        self.memory.advanced = true;
        self.committed.partial = Some(partial);
        self.committed.learnt.push(learnt);
    }

    /// A part is about to be committed. Returns the checkpoint that it begins with.
    fn begin_inside(&mut self) -> Result<Checkpoint, EngineError> {
        let before = self.memory.checkpoint()?.clone();
        self.begin(&before, before.applied_lsn);
        Ok(before)
    }

    /// Moves the checkpoint behind the transaction.
    async fn end(&mut self) -> Result<Checkpoint, EngineError> {
        let before = self.memory.checkpoint()?.clone();
        self.begin(&before, self.transaction.end_lsn);
        let apply = self.target.begin_parts(&before, &[]).await?;
        Ok(apply.commit(self.transaction.end_lsn, self.transaction.commit_time_us).await?)
    }

    /// A checkpoint is about to be written.
    fn begin(&mut self, before: &Checkpoint, lsn: Lsn) {
        let batch_seq = before.batch_seq + 1;
        self.memory.begin(Checkpoint { applied_lsn: lsn, batch_seq, ..before.clone() });
        hit(Failpoint::BeforeApply);
    }
}
