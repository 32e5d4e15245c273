//! What a row filter means to the server: how it prints it, which columns it reads, and whether a publication takes it.
//!
//! Nothing lasts: what is made to find out is gone with its transaction.

use segcdc_model::QualifiedName;

use crate::error::{Operation, SourceError};
use crate::publication::{self, WantedTable};
use crate::quote;
use crate::session::Session;

/// A condition as the server understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFilter {
    /// As the server prints it, which is also how it prints that of a publication.
    pub printed: String,
    /// Names of the columns that it reads.
    pub columns: Vec<String>,
}

/// Has the server read a condition on a table. `None` where nothing can be made to find out: on a standby, or without the right
/// to make temporary tables.
///
/// # Errors
/// What the server refuses in the condition, and its other errors.
pub async fn read(
    session: &Session,
    table: &QualifiedName,
    filter: &str,
) -> Result<Option<ReadFilter>, SourceError> {
    // A CHECK is of one table, as the filter of a publication is, and printed alike. Its names are those of the table.
    let sql = format!(
        "BEGIN; CREATE TEMPORARY TABLE segcdc_row_filter (LIKE {}); \
         ALTER TABLE pg_temp.segcdc_row_filter ADD CONSTRAINT segcdc_row_filter CHECK ({filter}); \
         SELECT DISTINCT 'printed', pg_get_expr(c.conbin, c.conrelid) FROM {CONSTRAINT}; \
         SELECT 'column', a.attname FROM {CONSTRAINT} AND a.attnum = ANY (c.conkey) ORDER BY a.attnum; \
         ROLLBACK",
        quote::qualified(table)?,
    );
    let (mut printed, mut columns) = (None, Vec::new());
    let rows = match rolled_back(session, &sql).await {
        Ok(rows) => rows,
        Err(error) if is_not_allowed(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    for mut row in rows {
        match row.text()?.as_str() {
            "printed" => printed = Some(row.text()?),
            _ => columns.push(row.text()?),
        }
    }
    Ok(printed.map(|printed| ReadFilter { printed, columns }))
}

/// Has the server make the publication of one table, and takes it back. Says nothing where the role may not make one.
///
/// # Errors
/// What the server refuses in the condition: functions of users, results that change, columns of the system.
pub async fn try_out(session: &Session, table: &WantedTable) -> Result<(), SourceError> {
    let create = publication::create_sql("segcdc_row_filter", std::slice::from_ref(table))?;
    match rolled_back(session, &format!("BEGIN; {create}; ROLLBACK")).await {
        Err(error) if !is_not_allowed(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Runs statements that end with ROLLBACK; after an error too nothing is left open.
async fn rolled_back(session: &Session, sql: &str) -> Result<Vec<crate::session::Row>, SourceError> {
    let done = session.rows(Operation::Query, sql).await;
    if done.is_err() {
        // The error of the statements is what counts.
        session.execute(Operation::Query, "ROLLBACK").await.ok();
    }
    done
}

/// Whether the server lets nothing be made here: insufficient_privilege, read_only_sql_transaction, or a publication of that
/// name that somebody has made.
fn is_not_allowed(error: &SourceError) -> bool {
    matches!(error.sqlstate(), Some("42501" | "25006" | "42710"))
}

/// The constraint and the columns of its table.
const CONSTRAINT: &str = "pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum > 0 \
     WHERE c.conrelid = 'pg_temp.segcdc_row_filter'::regclass AND c.conname = 'segcdc_row_filter'";
