//! The target of a simulation: a naive database, behind a connection that breaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use segcdc_model::{Checkpoint, Lineage, Lsn, TablePhase};
use segcdc_plan::{ApplyPlan, TablePlan};
use segcdc_sqlserver::sql::state::{self as sql, Totals};
use segcdc_sqlserver::{
    Alteration, Lag, PartialTransaction, SkippedTransaction, SlotWatch, TargetError, check_fence,
};
use segcdc_tds::Error as TdsError;

use super::statement::execute;
use super::world::{Database, Shared, Trouble, World, step};
use crate::ports::{PartsPort, TargetPort};

/// A session.
pub(super) struct SimTarget {
    world: Shared,
    is_usable: bool,
}

/// A transaction that takes parts. What it has done is seen when it commits.
pub(super) struct SimParts<'t> {
    target: &'t mut SimTarget,
    expected: Checkpoint,
    staged: Database,
}

/// What becomes of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    AnswerLost,
    RequestLost,
}

// === impl SimTarget ===

impl SimTarget {
    /// A new session.
    pub(super) fn connect(world: &Shared) -> Self {
        SimTarget { world: Shared::clone(world), is_usable: true }
    }

    /// The transaction of which a part is applied.
    pub(super) fn partial_transaction(&self, checkpoint: &Checkpoint) -> Option<PartialTransaction> {
        let partial = self.world.borrow().database.partial;
        partial.filter(|partial| partial.end_lsn > checkpoint.applied_lsn)
    }

    /// A request that commits nothing.
    async fn request(&mut self, during: &'static str) -> Result<(), TargetError> {
        step(&self.world).await;
        let mut world = self.world.borrow_mut();
        if world.happens(Trouble::TargetLost, 30) {
            self.is_usable = false;
            return Err(TargetError::Connection { during, source: lost() });
        }
        for (trouble, number) in [(Trouble::Deadlock, 1205), (Trouble::LockTimeout, 1222)] {
            if world.happens(trouble, 40) {
                return Err(TargetError::Server { during: during.to_owned(), number, detail: String::new() });
            }
        }
        Ok(())
    }

    /// A request that commits what `work` makes of the database.
    async fn committing<T>(
        &mut self,
        work: impl FnOnce(&World, &mut Database) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        let fate = {
            let mut world = self.world.borrow_mut();
            match () {
                () if world.happens(Trouble::AnswerLost, 25) => Fate::AnswerLost,
                () if world.happens(Trouble::RequestLost, 25) => Fate::RequestLost,
                () => Fate::Answered,
            }
        };
        let unknown = || Err(TargetError::CommitUnknown { source: lost() });
        if fate == Fate::RequestLost {
            self.is_usable = false;
            return unknown();
        }
        let done = {
            let mut world = self.world.borrow_mut();
            let mut after = world.database.clone();
            match work(&world, &mut after) {
                Ok(done) => {
                    world.commit(after);
                    done
                }
                Err(error) => return Err(world.refused(error)),
            }
        };
        step(&self.world).await;
        if fate == Fate::AnswerLost {
            self.is_usable = false;
            return unknown();
        }
        Ok(done)
    }

    /// Time that a request takes.
    async fn work(&self) {
        let ms = self.world.borrow_mut().chance.below(20);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

impl TargetPort for SimTarget {
    type Parts<'t> = SimParts<'t>;

    fn is_usable(&self) -> bool {
        self.is_usable
    }

    async fn take_over(&mut self, _pipeline: &str, _owner: &str) -> Result<Checkpoint, TargetError> {
        self.request("taking the pipeline over").await?;
        let taken = self.committing(|_, database| {
            database.checkpoint.epoch += 1;
            Ok(database.checkpoint.clone())
        });
        let taken = taken.await;
        if taken.is_err() {
            self.world.borrow_mut().may_be_fenced = true;
        }
        taken
    }

    async fn read_checkpoint_locked(&mut self, _pipeline: &str) -> Result<Checkpoint, TargetError> {
        self.request("reading the checkpoint").await?;
        Ok(self.world.borrow().database.checkpoint.clone())
    }

    async fn apply(&mut self, plan: &ApplyPlan, expected: &Checkpoint) -> Result<Checkpoint, TargetError> {
        self.request("applying a batch").await?;
        self.work().await;
        self.committing(|_, database| {
            fenced(database, expected, &sql::fence(expected))?;
            change(database, plan)?;
            let commit_time_us = Some(plan.commit_time_us);
            let totals = Totals { commit_time_us, transactions: plan.transactions, changes: plan.changes };
            fenced(database, expected, &sql::finish(expected, plan.end_lsn, &totals))?;
            Ok(behind(expected, plan.end_lsn))
        })
        .await
    }

    async fn begin_parts(
        &mut self,
        expected: &Checkpoint,
        _tables: &[Arc<TablePlan>],
    ) -> Result<SimParts<'_>, TargetError> {
        self.request("taking the fence").await?;
        let mut staged = self.world.borrow().database.clone();
        fenced(&mut staged, expected, &sql::fence(expected))?;
        self.world.borrow_mut().is_open = true;
        Ok(SimParts { target: self, expected: expected.clone(), staged })
    }

    async fn advance(&mut self, checkpoint: &Checkpoint, lsn: Lsn) -> Result<Checkpoint, TargetError> {
        self.request("advancing the checkpoint").await?;
        self.committing(|_, database| {
            fenced(database, checkpoint, &sql::advance(checkpoint, lsn, &Totals::default()))?;
            Ok(behind(checkpoint, lsn))
        })
        .await
    }

    async fn skip_transaction(
        &mut self,
        _expected: &Checkpoint,
        _skipped: &SkippedTransaction,
    ) -> Result<Option<Checkpoint>, TargetError> {
        unreachable!("nobody asks for it in a simulation")
    }

    async fn refuse_skip(&mut self, _: &Checkpoint, _: Lsn, _: &str) -> Result<(), TargetError> {
        unreachable!("nobody asks for it in a simulation")
    }

    async fn set_lineage(
        &mut self,
        _checkpoint: &Checkpoint,
        _lineage: &Lineage,
        _lsn: Lsn,
    ) -> Result<Checkpoint, TargetError> {
        unreachable!("the source of a simulation has one timeline")
    }

    async fn set_table_phase(
        &mut self,
        _checkpoint: &Checkpoint,
        source_oid: u32,
        _phase: TablePhase,
        error: Option<(&str, &str)>,
    ) -> Result<(), TargetError> {
        let mut world = self.world.borrow_mut();
        world.complain(format!("table {source_oid} is set aside: {error:?}"));
        Ok(())
    }

    async fn set_lag(&mut self, checkpoint: &Checkpoint, lag: &Lag) -> Result<(), TargetError> {
        self.request("storing the lag").await?;
        let mut database = self.world.borrow().database.clone();
        fenced(&mut database, checkpoint, &sql::set_lag(checkpoint, lag))
    }

    async fn set_slot_watch(
        &mut self,
        _checkpoint: &Checkpoint,
        _seen: &SlotWatch,
    ) -> Result<(), TargetError> {
        self.request("storing what was seen of the slot").await
    }
}

// === impl SimParts ===

impl PartsPort for SimParts<'_> {
    async fn add(&mut self, part: &ApplyPlan) -> Result<(), TargetError> {
        let asked = self.target.request("applying a part").await;
        if asked.is_err() {
            self.target.world.borrow_mut().is_open = false;
            return asked;
        }
        // No time passes: the thread that reads the parts is at work, and the clock stands still for it.
        tokio::task::yield_now().await;
        let changed = change(&mut self.staged, part);
        changed.map_err(|error| {
            let mut world = self.target.world.borrow_mut();
            world.is_open = false;
            world.refused(error)
        })
    }

    async fn alter(&mut self, _alteration: Alteration<'_>) -> Result<(), TargetError> {
        unreachable!("the tables of a simulation are not altered")
    }

    async fn roll_back(self) {}

    async fn commit(self, end_lsn: Lsn, _commit_time_us: i64) -> Result<Checkpoint, TargetError> {
        self.finish(end_lsn, None).await
    }

    async fn commit_inside(self, partial: &PartialTransaction) -> Result<Checkpoint, TargetError> {
        let applied = self.expected.applied_lsn;
        self.finish(applied, Some(*partial)).await
    }
}

impl SimParts<'_> {
    /// Moves the checkpoint and commits.
    async fn finish(
        mut self,
        lsn: Lsn,
        partial: Option<PartialTransaction>,
    ) -> Result<Checkpoint, TargetError> {
        let SimParts { target, expected, staged } = &mut self;
        target.request("applying a transaction in parts").await?;
        let finished = target.committing(|_, database| {
            database.clone_from(staged);
            fenced(database, expected, &sql::finish(expected, lsn, &Totals::default()))?;
            database.partial = partial.or(database.partial);
            Ok(behind(expected, lsn))
        });
        finished.await
    }
}

impl Drop for SimParts<'_> {
    fn drop(&mut self) {
        self.target.world.borrow_mut().is_open = false;
    }
}

/// Carries a plan out.
fn change(database: &mut Database, plan: &ApplyPlan) -> Result<(), TargetError> {
    database.tables.apply(plan).map_err(|detail| TargetError::Answer { during: "applying a plan", detail })
}

/// Executes a statement that has to find the row of the pipeline.
fn fenced(database: &mut Database, expected: &Checkpoint, sql: &str) -> Result<(), TargetError> {
    check_fence(expected, &[execute(&mut database.checkpoint, sql)])
}

/// The checkpoint behind a batch.
fn behind(before: &Checkpoint, lsn: Lsn) -> Checkpoint {
    Checkpoint { applied_lsn: lsn, batch_seq: before.batch_seq + 1, ..before.clone() }
}

/// The connection is gone.
fn lost() -> TdsError {
    TdsError::Io { during: "the simulation", source: io::Error::from(io::ErrorKind::ConnectionReset) }
}
