//! [`count_rows`]: how many rows a table has.

use segcdc_model::SourceTable;

use crate::error::{Operation, SourceError};
use crate::session::Session;
use crate::snapshot::request::source;

/// Counts the rows of a table that meet a condition ([`super::CopyRequest::filter`]); all of them without one.
///
/// # Errors
/// The server's.
pub async fn count_rows(
    session: &Session,
    table: &SourceTable,
    filter: Option<&str>,
) -> Result<u64, SourceError> {
    let condition = filter.map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
    let sql = format!("SELECT count(*) FROM {}{condition}", source(table)?);
    session.row(Operation::Query, &sql).await?.value()
}
