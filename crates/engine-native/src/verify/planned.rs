//! [`planned`]: which columns of a table are compared.

use segcdc_model::{Fault, SourceColumn, SourceTable};
use segcdc_plan::{KnownTable, Rules, TablePlan, table_plan};
use segcdc_postgres::catalog;
use segcdc_sqlserver::TableState;

use super::NotCompared;
use super::barrier::Barrier;
use crate::config::EngineConfig;
use crate::context::naming;
use crate::error::EngineError;

/// The plan of a table as the pipeline knows it, or, where it knows nothing, as it is at the source now; or why there is none.
pub(super) async fn planned(
    config: &EngineConfig,
    barrier: &Barrier,
    state: &TableState,
    known: Option<&KnownTable>,
) -> Result<Result<TablePlan, NotCompared>, EngineError> {
    let Some(source) = catalog::table(barrier.source(), state.source_oid).await? else {
        let detail = "it was dropped at the source".to_owned();
        return Ok(Err(NotCompared { code: "TABLE_NOT_FOUND".to_owned(), detail }));
    };
    let plan = match known {
        Some(known) if !has_same_columns(known, &source, &config.rules) => {
            let detail =
                "it was changed at the source, and no change of a row has shown that to the pipeline yet";
            return Ok(Err(NotCompared { code: "SCHEMA_CHANGED".to_owned(), detail: detail.to_owned() }));
        }
        Some(known) => known.plan(&naming(config), &state.target),
        None => table_plan(&source, &naming(config))
            .map(|plan| TablePlan { target: state.target.clone(), ..plan }),
    };
    let plan = match plan {
        Ok(mut plan) => {
            plan.bound_large(barrier.write_path().most_large_bytes());
            if plan.filter.is_some() {
                // The publication follows columns that get other names, which the rule does not.
                plan.filter = barrier.published_filter(state.source_oid).await?.or(plan.filter);
            }
            Ok(plan)
        }
        Err(error) => Err(error),
    };
    Ok(plan.map_err(|error| NotCompared { code: error.code().to_owned(), detail: error.to_string() }))
}

/// Whether a table of the source has the columns that the pipeline writes, as it knows them, and no new ones that it is to write.
fn has_same_columns(known: &KnownTable, source: &SourceTable, rules: &Rules) -> bool {
    let found = |attnum| source.columns.iter().find(|column| column.attnum == attnum);
    let what = |column: &SourceColumn| (column.name.clone(), column.type_name.clone());
    let written = known.columns.iter().filter(|column| column.target.is_some());
    let is_as_known = written.map(|column| column.attnum).all(|attnum| {
        let before = known.source.columns.iter().find(|column| column.attnum == attnum);
        before.map(what) == found(attnum).map(what)
    });
    let is_new = |column: &&SourceColumn| !column.generated && column.attnum > known.last_attnum;
    let mut new = source.columns.iter().filter(is_new);
    is_as_known && new.all(|column| rules.leaves_out(&source.name, column).is_some())
}

/// That what is written of a table was changed while it was compared, if it was.
pub(super) fn changed_meanwhile(
    before: Option<&KnownTable>,
    now: Option<&KnownTable>,
) -> Option<NotCompared> {
    let written = |known: &KnownTable| {
        known.columns.iter().filter(|column| column.target.is_some()).cloned().collect::<Vec<_>>()
    };
    let detail = "it was changed at the source while it was compared".to_owned();
    (before.map(written) != now.map(written))
        .then(|| NotCompared { code: "SCHEMA_CHANGED".to_owned(), detail })
}
