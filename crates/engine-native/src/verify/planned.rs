//! [`planned`]: which columns of a table are compared.

use segcdc_model::{Fault, SourceColumn, SourceTable};
use segcdc_plan::{KnownTable, TablePlan, table_plan};
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
        Some(known) if !has_same_columns(known, &source) => {
            let detail =
                "it was changed at the source, and no change of a row has shown that to the pipeline yet";
            return Ok(Err(NotCompared { code: "SCHEMA_CHANGED".to_owned(), detail: detail.to_owned() }));
        }
        Some(known) => known.plan(&naming(config), &state.target),
        None => table_plan(&source, &naming(config))
            .map(|plan| TablePlan { target: state.target.clone(), ..plan }),
    };
    let plan = plan.map(|mut plan| {
        plan.bound_large(barrier.write_path().most_large_bytes());
        plan
    });
    Ok(plan.map_err(|error| NotCompared { code: error.code().to_owned(), detail: error.to_string() }))
}

/// Whether a table of the source has the columns by which the pipeline knows it.
fn has_same_columns(known: &KnownTable, source: &SourceTable) -> bool {
    let known = known.source.columns.iter().filter(|column| !column.generated);
    let found = source.columns.iter().filter(|column| !column.generated);
    let what = |column: &SourceColumn| (column.attnum, column.name.clone(), column.type_name.clone());
    known.map(what).eq(found.map(what))
}

/// That a table was changed while it was compared, if it was.
pub(super) fn changed_meanwhile(
    before: Option<&KnownTable>,
    now: Option<&KnownTable>,
) -> Option<NotCompared> {
    let columns = |known: Option<&KnownTable>| known.map(|known| known.columns.clone());
    let detail = "it was changed at the source while it was compared".to_owned();
    (columns(before) != columns(now)).then(|| NotCompared { code: "SCHEMA_CHANGED".to_owned(), detail })
}
