//! Descriptions of tables, as the stream gives them: looked into before the changes behind them are planned.
//!
//! ```text
//! batch --> all descriptions known? --yes--> planned and applied as one
//!              |
//!              +--> catalog, decide --> the same: admitted
//!                                  +--> a change: what is before it is applied; its transaction follows alone, in parts
//! ```

use std::sync::Arc;

use segcdc_model::{Relation, Transaction};
use segcdc_plan::{ApplyPlan, Decision, PlanError, first_unknown, plan};

use super::Loop;
use crate::error::EngineError;
use crate::examine::Followed;
use crate::ports::Ports;
use crate::quarantine::table_at_fault;

/// What looking into the descriptions of a batch has found.
struct Looked {
    /// Whether a table was set aside, so that a plan from before does not count.
    set_aside: bool,
    /// The first transaction that changes a table.
    change: Option<usize>,
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Applies transactions: as one batch, or, where tables are changed among them, as several.
    pub(super) async fn apply_transactions(
        &mut self,
        transactions: &[Transaction],
        planned: Result<ApplyPlan, PlanError>,
    ) -> Result<(), EngineError> {
        self.note_missed(transactions).await?;
        let mut planned = Some(planned);
        let mut rest = transactions;
        while !rest.is_empty() {
            let looked = self.look_into(rest).await?;
            if looked.set_aside || looked.change.is_some() {
                planned = None;
            }
            let (now, behind) = rest.split_at(looked.change.unwrap_or(rest.len()));
            if !now.is_empty() {
                self.look_at_timeline().await?;
                let planned = planned.take().unwrap_or_else(|| plan(now, &self.tables));
                self.apply_batch(now, planned).await?;
            }
            rest = behind;
            if looked.change.is_some()
                && let Some((changing, behind)) = rest.split_first()
            {
                Box::pin(self.apply_parts(changing.clone(), None)).await?;
                rest = behind;
            }
        }
        Ok(())
    }

    /// Looks into the descriptions of `transactions`, up to the first that means a change. Tables that cannot go on are set
    /// aside.
    async fn look_into(&mut self, transactions: &[Transaction]) -> Result<Looked, EngineError> {
        let mut set_aside = false;
        for (index, transaction) in transactions.iter().enumerate() {
            while let Some((_, relation)) =
                first_unknown(&transaction.changes, transaction.end_lsn, &self.tables)
            {
                match self.examine(&relation, transaction).await {
                    Ok(Decision::Same(known)) => self.tables.admit(&relation, *known),
                    Ok(Decision::Change(_)) => return Ok(Looked { set_aside, change: Some(index) }),
                    Err(error) => match table_at_fault(&error) {
                        Some(oid) => {
                            set_aside = true;
                            self.set_aside(oid, &error).await?;
                        }
                        None => return Err(error),
                    },
                }
            }
        }
        Ok(Looked { set_aside, change: None })
    }

    /// What a description in a transaction means.
    async fn examine(
        &mut self,
        relation: &Arc<Relation>,
        transaction: &Transaction,
    ) -> Result<Decision, EngineError> {
        let broken = || EngineError::TaskBroken { task: "describe" };
        let entry = self.tables.get(relation.oid).ok_or_else(broken)?;
        let known = entry.known.as_ref().ok_or_else(broken)?;
        let followed =
            Followed { known: &known.table, plan: &entry.plan, has_letters: !entry.letters.is_empty() };
        self.examiner.examine(followed, relation, transaction).await
    }
}
