//! [`Examiner`]: what a description of a table in the stream means, by what is known of the table and what the catalog says.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::{CatalogTable, Relation, Transaction};
use segcdc_plan::{
    ChangeKind, ChangePolicy, Decision, Described, KnownTable, Naming, PlanError, SchemaChange, TablePlan,
    decide,
};
use segcdc_postgres::FieldForm;

use crate::error::EngineError;
use crate::ports::SourcePort;

/// What is known of a table that is described anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Followed<'a> {
    pub(crate) known: &'a KnownTable,
    pub(crate) plan: &'a TablePlan,
    /// Whether rows of it are set aside.
    pub(crate) has_letters: bool,
}

/// Looks into descriptions.
#[derive(Debug)]
pub(crate) struct Examiner<'a, S> {
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

// === impl Examiner ===

impl<'a, S: SourcePort> Examiner<'a, S> {
    /// One that has seen nothing.
    pub(crate) fn new(source: &'a S, naming: Naming, form: FieldForm, most_large_bytes: Option<u64>) -> Self {
        Examiner { source, naming, form, most_large_bytes, seen: HashMap::new() }
    }

    /// What a description in a transaction means for a table.
    ///
    /// # Errors
    /// Of one table, when its target table cannot follow; the source's; `STREAM_FORM_CHANGED`.
    pub(crate) async fn examine(
        &mut self,
        followed: Followed<'_>,
        relation: &Relation,
        transaction: &Transaction,
    ) -> Result<Decision, EngineError> {
        let Followed { known, plan, has_letters } = followed;
        let (oid, table) = (plan.source.oid, plan.source.name.clone());
        let at = transaction.end_lsn;
        let Some(catalog) = self.catalog(oid, transaction.xid).await? else {
            // Its last changes are still on their way.
            return match known.is_described_by(relation) {
                true => Ok(Decision::Same(Box::new(known.clone()))),
                false => Err(EngineError::TableDropped { oid, table }),
            };
        };
        let described = Described { known, plan, relation, catalog: &catalog, at, has_letters };
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

    /// What the user wants done about a kind of change of a table.
    pub(crate) fn policy(&self, plan: &TablePlan, kind: ChangeKind) -> ChangePolicy {
        self.naming.rules.on_schema_change(&plan.source.name, kind)
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
        let odd = change.plan.columns.iter().find(|column| !column.sent_type().has_exact_binary_form());
        match odd {
            Some(column) if self.form == FieldForm::Binary => Err(EngineError::StreamFormChanged {
                table: change.plan.source.name.clone(),
                column: column.source_name.clone(),
            }),
            _ => Ok(()),
        }
    }
}
