//! Rows that the target's table refuses: which they are, and what becomes of them.
//!
//! A batch that was refused because of one table is looked into: parts of the table's changes are tried
//! ([`segcdc_plan::bisection`] says which), each in a target transaction that is rolled back. Rows that are at fault are set aside
//! where the user wants that, and the batch is planned again without them: their letters, the other rows and the checkpoint are one
//! target transaction as ever. Else the table is quarantined, and its reason names them.
//!
//! Nothing of it is stored. A process that dies meanwhile leaves nothing, and the next one looks again.

use std::sync::Arc;

use segcdc_model::Transaction;
use segcdc_plan::{
    ApplyPlan, Bisection, End, OnRefused, Refusal, Refusals, RefusedChanges, Suspects, TableEntry,
};
use segcdc_sqlserver::TargetError;

use super::Loop;
use super::apply::while_receiving;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::ports::{PartsPort, Ports, TargetPort};

/// How many changes are looked for where the table is halted in any case: each takes a dozen trials of the batch or two.
const MOST_NAMED: usize = 16;

/// What comes of looking into a batch that was refused.
#[derive(Debug)]
pub(super) enum Verdict {
    /// These rows are set aside; or the table, should they be set aside already.
    Rows(Refusals, EngineError),
    /// The table is.
    Table(EngineError),
    /// It cannot be told: something else went wrong meanwhile.
    Unknown(EngineError),
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Finds out what is to be done about a batch that `error` of the table with this OID keeps from being applied.
    pub(super) async fn look_for_refused(
        &mut self,
        (transactions, plan): (&[Transaction], &ApplyPlan),
        oid: u32,
        error: EngineError,
    ) -> Verdict {
        let error = match error {
            EngineError::Target(error) => *error,
            other => return Verdict::Table(other),
        };
        let (refusal, suspects, entry) = (error.refusal(oid), Suspects::of(plan, oid), self.tables.get(oid));
        let (Some(refusal), Some(suspects), Some(entry)) = (refusal, suspects, entry.cloned()) else {
            return Verdict::Table(error.into());
        };
        let most = match entry.plan.on_refused {
            OnRefused::Halt => MOST_NAMED,
            // One more than there may be: then they are too many, which planning them says.
            OnRefused::SetAside => {
                usize::try_from(entry.plan.letter_limit).map_or(usize::MAX, |limit| limit.saturating_add(1))
            }
        };
        tracing::info!(
            table = %entry.plan.source.name, code = refusal.code, changes = suspects.len(),
            "the target refuses a batch; it is looked for which changes are at fault"
        );
        match self.search(plan, &suspects, Bisection::new(suspects.len(), refusal, most), oid).await {
            Ok((end, refused)) => decide((transactions, &entry), &suspects, (end, &refused), error),
            Err(error) => Verdict::Unknown(error),
        }
    }

    /// Tries parts of a table's changes until it is known which are at fault.
    async fn search(
        &mut self,
        plan: &ApplyPlan,
        suspects: &Suspects,
        mut bisection: Bisection,
        oid: u32,
    ) -> Result<(End, Vec<(usize, Refusal)>), EngineError> {
        while let Some(chosen) = bisection.trial() {
            if self.context.shutdown.is_cancelled() {
                return Err(EngineError::Abandoned);
            }
            let refusal = self.try_out(&suspects.trial(plan, &chosen), oid).await?;
            bisection.answer(refusal);
        }
        bisection.end().ok_or(EngineError::TaskBroken { task: "search" })
    }

    /// Applies a part of a batch and rolls it back. Why the target refuses a row of the table with this OID, if it does.
    async fn try_out(&mut self, trial: &ApplyPlan, oid: u32) -> Result<Option<Refusal>, EngineError> {
        let before = self.memory.checkpoint()?.clone();
        let touched: Vec<_> = trial.tables.iter().map(|changes| Arc::clone(&changes.table)).collect();
        let target = &mut *self.target;
        let trying = async {
            let mut parts = target.begin_parts(&before, &touched).await?;
            match parts.add(trial).await {
                Ok(()) => {
                    hit(Failpoint::InTrial);
                    parts.roll_back().await;
                    Ok(None)
                }
                // It has rolled back.
                Err(error) => error.refusal(oid).map(Some).ok_or_else(|| error.into()),
            }
        };
        while_receiving(self.context, &mut self.intake, &self.tables, trying).await
    }
}

/// What becomes of a batch of which it is known which changes are refused.
fn decide(
    (transactions, entry): (&[Transaction], &TableEntry),
    suspects: &Suspects,
    (end, refused): (End, &[(usize, Refusal)]),
    error: TargetError,
) -> Verdict {
    if end == End::NotOfChanges {
        return Verdict::Table(error.into());
    }
    let changes = suspects.describe((end, refused), transactions, entry);
    let rows = suspects.refusals(refused).filter(|_| entry.plan.on_refused == OnRefused::SetAside);
    match rows {
        Some(rows) => {
            tracing::warn!(%changes, "rows that the target refuses are set aside");
            Verdict::Rows(rows, halted(changes, error))
        }
        None => Verdict::Table(halted(changes, error)),
    }
}

/// The error of a table that is halted for its rows.
fn halted(changes: RefusedChanges, error: TargetError) -> EngineError {
    TargetError::Refused { changes: Box::new(changes), error: Box::new(error) }.into()
}
