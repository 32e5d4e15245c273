//! What a publication is to send of the tables of a pipeline.

use segcdc_plan::{Rules, TablePlan};
use segcdc_postgres::publication::{self, WantedTable};
use segcdc_postgres::{Session, SourceError};

/// What a publication of the pipeline's own is to send of each of these tables, as far as the server can be told.
///
/// # Errors
/// The source's.
pub(crate) async fn wanted(
    source: &Session,
    plans: &[&TablePlan],
    rules: &Rules,
) -> Result<Vec<WantedTable>, SourceError> {
    let can_be_told = publication::has_lists_and_filters(source).await?;
    let wanted = plans.iter().map(|plan| {
        let columns = plan.column_list(rules).filter(|_| can_be_told);
        let filter = plan.filter.clone().filter(|_| can_be_told);
        WantedTable { name: plan.source.name.clone(), columns, filter }
    });
    Ok(wanted.collect())
}
