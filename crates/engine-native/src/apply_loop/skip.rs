//! Transactions that a person wants not to be applied: left out, which the target records with the checkpoint behind them.

use std::collections::BTreeSet;

use segcdc_model::{Change, Checkpoint, Transaction};
use segcdc_plan::plan;
use segcdc_sqlserver::{PartialTransaction, SkippedTransaction, Target, WishOutcome};

use super::Loop;
use super::apply::{Applied, while_receiving};
use super::skips::{Passed, Skips};
use crate::error::EngineError;
use crate::ports::{Ports, TargetPort};

/// Reads what is asked for. What cannot be carried out any more is refused, for whoever asked.
pub(super) async fn read(
    target: &mut Target,
    checkpoint: &Checkpoint,
    partial: Option<PartialTransaction>,
) -> Result<Skips, EngineError> {
    let mut asked = BTreeSet::new();
    let open = target.skips(&checkpoint.pipeline).await?;
    for wish in open.iter().filter(|wish| wish.outcome == WishOutcome::Asked) {
        let end_lsn = wish.end_lsn;
        if let Some(partial) = partial.filter(|partial| partial.end_lsn == end_lsn) {
            let why = format!("{} of its changes are applied already", partial.changes);
            target.refuse_skip(checkpoint, end_lsn, &why).await?;
        } else if end_lsn <= checkpoint.applied_lsn {
            let why = format!("the checkpoint {} is behind it already", checkpoint.applied_lsn);
            target.refuse_skip(checkpoint, end_lsn, &why).await?;
        } else {
            asked.insert(end_lsn);
        }
    }
    Ok(Skips::new(asked))
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Leaves a transaction out, if that is still asked for.
    pub(super) async fn skip(&mut self, transaction: Transaction) -> Result<(), EngineError> {
        self.look_at_timeline().await?;
        let before = self.memory.checkpoint()?.clone();
        let skipped = describe(&transaction);
        self.begin(&before, transaction.end_lsn);
        let target = &mut *self.target;
        let skipping = async { Ok(target.skip_transaction(&before, &skipped).await?) };
        let done = while_receiving(self.context, &mut self.intake, &self.tables, skipping).await;
        let Some(done) = done.transpose() else {
            self.memory.abandon();
            return self.apply_after_all(transaction).await;
        };
        self.settle(done, |next| next)?;
        tracing::warn!(
            lsn = %skipped.end_lsn, xid = skipped.xid, changes = skipped.changes, tables = ?skipped.tables,
            "a transaction is not applied, as was asked: source and target differ by it"
        );
        self.note(std::slice::from_ref(&transaction), &Applied::default());
        Ok(())
    }

    /// Says which positions were passed without a transaction that ends there.
    pub(super) async fn refuse_passed(&mut self) -> Result<(), EngineError> {
        for passed in self.intake.skips.take_passed() {
            let why = describe_passed(passed);
            tracing::warn!(lsn = %passed.asked, "no transaction is skipped: {why}");
            self.target.refuse_skip(self.memory.checkpoint()?, passed.asked, &why).await?;
        }
        Ok(())
    }

    /// It was taken back at the last moment.
    async fn apply_after_all(&mut self, transaction: Transaction) -> Result<(), EngineError> {
        match transaction.spilled.clone() {
            Some(spilled) => Box::pin(self.apply_parts(transaction, Some(spilled))).await,
            None => {
                let transactions = [transaction];
                let planned = plan(&transactions, &self.tables);
                self.apply_transactions(&transactions, planned).await
            }
        }
    }
}

/// What is recorded of a transaction.
fn describe(transaction: &Transaction) -> SkippedTransaction {
    let spilled = transaction.spilled.as_ref().map(|spilled| spilled.store());
    let on_disk = spilled.map_or(0, |store| store.changes());
    let relations = spilled.map(|store| store.relations()).unwrap_or_default();
    let in_memory = transaction.changes.iter().flat_map(Change::relations);
    let tables: BTreeSet<String> =
        relations.iter().chain(in_memory).map(|relation| relation.name.to_string()).collect();
    SkippedTransaction {
        end_lsn: transaction.end_lsn,
        xid: transaction.xid,
        commit_time_us: transaction.commit_time_us,
        changes: on_disk + transaction.changes.len() as u64,
        tables: tables.into_iter().collect(),
    }
}

/// Why a position is not that of a transaction, for people.
fn describe_passed(passed: Passed) -> String {
    let Passed { asked, next } = passed;
    match next {
        Some(next) => format!("no transaction ends at {asked}; the next one behind it ends at {next}"),
        None => format!("no transaction ends at {asked}, and none has come behind it"),
    }
}
