//! Descriptions of tables, as the stream gives them: looked into before the changes behind them are planned.
//!
//! ```text
//! batch --> all descriptions known? --yes--> planned and applied as one
//!              |
//!              +--> catalog, decide --> the same: admitted
//!                                  +--> a change: what is before it is applied; its transaction follows alone, in parts
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{CatalogTable, Relation, Transaction};
use segcdc_plan::{
    ApplyPlan, Decision, Described, KnownTable, Naming, PlanError, SchemaChange, TablePlan, decide,
    first_unknown, plan,
};
use segcdc_postgres::FieldForm;

use super::Loop;
use crate::error::EngineError;
use crate::ports::{Ports, SourcePort};
use crate::quarantine::table_at_fault;

/// Looks into descriptions.
#[derive(Debug)]
pub(super) struct Examiner<'a, S> {
    source: &'a S,
    naming: Naming,
    /// The form in which the stream sends fields.
    form: FieldForm,
    /// Bytes that large values may have at the target, where it takes no pieces.
    most_large_bytes: Option<u64>,
    /// What the catalog said of tables when it was last read, by OID: as good as a new look at it for every transaction that
    /// it shows. A table that is emptied often is described as often.
    seen: HashMap<u32, Arc<CatalogTable>>,
}

/// What looking into the descriptions of a batch has found.
struct Looked {
    /// Whether a table was set aside, so that a plan from before does not count.
    set_aside: bool,
    /// The first transaction that changes a table.
    change: Option<usize>,
}

// === impl Examiner ===

impl<'a, S: SourcePort> Examiner<'a, S> {
    /// One that has seen nothing.
    pub(super) fn new(source: &'a S, naming: Naming, form: FieldForm, most_large_bytes: Option<u64>) -> Self {
        Examiner { source, naming, form, most_large_bytes, seen: HashMap::new() }
    }

    /// What a description in a transaction means for a table.
    ///
    /// # Errors
    /// Of one table, when its target table cannot follow; the source's; `STREAM_FORM_CHANGED`.
    pub(super) async fn examine(
        &mut self,
        known: &KnownTable,
        plan: &TablePlan,
        relation: &Relation,
        transaction: &Transaction,
    ) -> Result<Decision, EngineError> {
        let (oid, table) = (plan.source.oid, plan.source.name.clone());
        let at = transaction.end_lsn;
        let Some(catalog) = self.catalog(oid, transaction.xid).await? else {
            // Its last changes are still on their way.
            return match known.is_described_by(relation) {
                true => Ok(Decision::Same(Box::new(known.clone()))),
                false => Err(EngineError::TableDropped { oid, table }),
            };
        };
        let described = Described { known, plan, relation, catalog: &catalog, at };
        let mut decision = decide(described, &self.naming).map_err(|error| match error.table_oid() {
            Some(_) => error,
            None => PlanError::SchemaChanged { oid, table, detail: error.to_string() },
        })?;
        if let Decision::Change(change) = &mut decision {
            change.plan.bound_large(self.most_large_bytes);
            self.check_form(change)?;
            tracing::info!(table = %plan.source.name, steps = change.steps.len(), "the table was changed at the source");
        }
        Ok(decision)
    }

    /// What the catalog says of a table, everything included that the transaction `xid` did; `None` when it was dropped.
    async fn catalog(&mut self, oid: u32, xid: u32) -> Result<Option<Arc<CatalogTable>>, EngineError> {
        if let Some(seen) = self.seen.get(&oid).filter(|seen| seen.shows(xid)) {
            return Ok(Some(Arc::clone(seen)));
        }
        let found = self.source.table_in_detail(oid).await?.map(Arc::new);
        if let Some(found) = &found {
            self.seen.insert(oid, Arc::clone(found));
        }
        Ok(found)
    }

    /// Checks that the stream can carry the columns of a table as it is now.
    fn check_form(&self, change: &SchemaChange) -> Result<(), EngineError> {
        let odd = change.plan.columns.iter().find(|column| !column.pg_type.has_exact_binary_form());
        match odd {
            Some(column) if self.form == FieldForm::Binary => Err(EngineError::StreamFormChanged {
                table: change.plan.source.name.clone(),
                column: column.source_name.clone(),
            }),
            _ => Ok(()),
        }
    }
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Applies transactions: as one batch, or, where tables are changed among them, as several.
    pub(super) async fn apply_transactions(
        &mut self,
        transactions: &[Transaction],
        planned: Result<ApplyPlan, PlanError>,
    ) -> Result<(), EngineError> {
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
        self.examiner.examine(&known.table, &entry.plan, relation, transaction).await
    }
}
