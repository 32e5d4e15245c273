//! What could keep a pipeline from running on this target, each finding with the SQL that mends it.
//!
//! The checks change nothing. (That bulk load works has been tried on a temporary table when the session began.)

mod alike;
mod names;
mod rights;
mod server;
mod shape;
mod width;

use std::sync::Arc;

use segcdc_model::{Finding, QualifiedName, Side, TablePhase};
use segcdc_plan::TablePlan;

use crate::error::TargetError;
use crate::session::{Target, WritePath};
use crate::sql;
use crate::state::PipelineState;
use crate::tables::ExistingRows;

/// What the pipeline wants of the target.
#[derive(Debug, Clone)]
pub struct PreflightRequest {
    /// The tables.
    pub tables: Vec<Arc<TablePlan>>,
    /// The state of the pipeline, if the target knows it already: its tables are expected to hold rows.
    pub existing: Option<PipelineState>,
    /// Whether tables that are new to the pipeline may hold rows.
    pub rows: ExistingRows,
}

/// What the server calls the database and the user, for the SQL of findings.
#[derive(Debug, Clone)]
struct Names {
    database: String,
    user: String,
    /// There are UTF-8 collations.
    utf8: bool,
    /// The server has the type `json`.
    json: bool,
}

// === impl PreflightRequest ===

impl PreflightRequest {
    /// Whether the pipeline has filled, or begun to fill, the target of this table.
    fn knows(&self, table: &TablePlan) -> bool {
        let tables = self.existing.iter().flat_map(|state| &state.tables);
        tables.into_iter().any(|known| known.source_oid == table.source.oid)
    }

    /// Whether the table was live once: the pipeline sets it aside if its target table is another one than it was, and goes on
    /// with the others.
    fn was_live(&self, table: &TablePlan) -> bool {
        let tables = self.existing.iter().flat_map(|state| &state.tables);
        tables.into_iter().any(|known| {
            known.source_oid == table.source.oid
                && matches!(known.phase, TablePhase::Streaming | TablePhase::Paused | TablePhase::Quarantined)
        })
    }

    /// Schemas of the wanted tables, each once, in order of their first table.
    fn schemas(&self) -> Vec<&str> {
        let mut schemas: Vec<&str> = Vec::new();
        for table in &self.tables {
            if !schemas.contains(&table.target.schema.as_str()) {
                schemas.push(&table.target.schema);
            }
        }
        schemas
    }
}

/// Checks everything that can be checked without a change: server, database, rights, and each table.
///
/// # Errors
/// When the questions themselves cannot be asked.
pub async fn check(target: &mut Target, request: &PreflightRequest) -> Result<Vec<Finding>, TargetError> {
    let mut findings = Vec::new();
    let names = server::check(target, &mut findings).await?;
    findings.push(write_path(target.write_path()));
    check_state(target, &mut findings).await?;
    findings.extend(names::check(target, &request.tables).await?);
    if findings.iter().any(|finding| finding.code == names::REFUSED) {
        // No question about such a table could be asked.
        return Ok(findings);
    }
    findings.extend(alike::check(target, &request.tables).await?);
    let wanted: Vec<&QualifiedName> = request.tables.iter().map(|table| &table.target).collect();
    let found = target.existing_tables(&wanted).await?;
    let existing: Vec<&TablePlan> = request
        .tables
        .iter()
        .zip(&found)
        .filter(|(_, found)| found.is_some())
        .map(|(table, _)| table.as_ref())
        .collect();
    rights::check_tables(target, &existing, &names, &mut findings).await?;
    let mut schemas = vec![sql::state::SCHEMA];
    for (table, existing) in request.tables.iter().zip(&found) {
        if existing.is_none() && !schemas.contains(&table.target.schema.as_str()) {
            schemas.push(&table.target.schema);
        }
    }
    rights::check_schemas(target, &schemas, &names, &mut findings).await?;
    rights::check_create_table(target, &names, &mut findings).await?;
    for (table, existing) in request.tables.iter().zip(&found) {
        shape::check(table, existing.as_ref(), request, &mut findings);
        findings.extend(width::check(table));
        findings.extend(server::types(&names, table));
    }
    Ok(findings)
}

/// The statements that setting the pipeline up will run in the target, in order, for people to read. Those for what is
/// there already are left out when they are run.
pub fn statements(request: &PreflightRequest) -> Vec<String> {
    let mut statements = Vec::new();
    if request.existing.is_none() {
        statements.push(sql::create_table::create_schema(sql::state::SCHEMA));
        statements.push(sql::state::CREATE_PIPELINE.to_owned());
        statements.push(sql::state::CREATE_PIPELINE_TABLE.to_owned());
    }
    let new_tables: Vec<&Arc<TablePlan>> =
        request.tables.iter().filter(|table| !request.knows(table)).collect();
    for schema in request.schemas() {
        let is_needed = new_tables.iter().any(|table| table.target.schema == schema);
        if is_needed && !schema.eq_ignore_ascii_case("dbo") {
            statements.push(sql::create_table::create_schema(schema));
        }
    }
    statements.extend(new_tables.iter().map(|table| sql::create_table::create_table(table)));
    statements.extend(new_tables.iter().filter_map(|table| sql::create_table::add_key(table)));
    statements
}

/// Says how rows will be written.
fn write_path(path: WritePath) -> Finding {
    let check = "ms.bulk_load";
    match path {
        WritePath::Bulk => Finding::ok(check, Side::Target, "the target takes bulk loads"),
        WritePath::Insert => Finding::warning(
            check,
            Side::Target,
            "BULK_LOAD_REFUSED",
            "the target refuses bulk loads; rows will be written by INSERT statements, which is slower",
        )
        .hint(
            "the database user needs INSERT, and on some servers ADMINISTER BULK OPERATIONS; without it all works but \
             values of more than 16 MiB, which are refused",
        ),
    }
}

/// Looks whether the state was written by a newer version.
async fn check_state(target: &mut Target, findings: &mut Vec<Finding>) -> Result<(), TargetError> {
    let check = "ms.state";
    let table = QualifiedName::new(sql::state::SCHEMA, "pipeline");
    if target.existing_table(&table).await?.is_none() {
        findings.push(Finding::ok(
            check,
            Side::Target,
            "schema segcdc will be created for the pipeline's state",
        ));
        return Ok(());
    }
    let rows = target.query("reading the state", sql::state::SELECT_NEWEST_LAYOUT).await?;
    let newest = rows.first().and_then(|row| row.first()).and_then(segcdc_tds::Datum::as_int);
    let known = sql::state::SCHEMA_VERSION;
    findings.push(match newest {
        Some(newest) if newest > known => Finding::failure(
            check,
            Side::Target,
            "STATE_UNREADABLE",
            format!("the state in schema segcdc has layout {newest}; this version knows {known}"),
        )
        .hint("use the version of segcdc that wrote it, or a newer one"),
        _ => Finding::ok(check, Side::Target, "the state in schema segcdc can be read"),
    });
    Ok(())
}
