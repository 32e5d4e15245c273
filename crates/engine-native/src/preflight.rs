//! [`preflight`]: whether a pipeline can start, and what it would do.

use std::sync::Arc;

use segcdc_model::{Finding, QualifiedName};
use segcdc_plan::TablePlan;
use segcdc_sqlserver::PipelineState;
use serde::Serialize;

use crate::config::EngineConfig;
use crate::error::EngineError;

/// Whether a pipeline can start, and what it would do.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// What the checks found, of both servers.
    pub findings: Vec<Finding>,
    /// The tables that will be replicated, ordered by source name.
    pub plans: Vec<Arc<TablePlan>>,
    /// Tables that match the patterns and will not be replicated.
    pub left_out: Vec<LeftOut>,
    /// The statements that change something, in the order in which they will run.
    pub sql: PlannedSql,
    /// The pipeline's state, when it exists: then its own tables are what counts.
    pub existing: Option<PipelineState>,
}

/// A table that will not be replicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The source table.
    pub table: QualifiedName,
    /// Stable code.
    pub code: String,
    /// Why.
    pub detail: String,
    /// What a person can do.
    pub hint: String,
    /// SQL that mends it, at the source.
    pub fix_sql: Option<String>,
}

/// The statements that change something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PlannedSql {
    /// At PostgreSQL.
    pub source: Vec<String>,
    /// At SQL Server.
    pub target: Vec<String>,
}

/// Checks both servers and plans the tables. Changes nothing.
///
/// # Errors
/// When a server cannot be asked at all. What keeps the pipeline from starting is a finding, not an error.
pub async fn preflight(config: &EngineConfig) -> Result<Preflight, EngineError> {
    let _ = config;
    Err(EngineError::NoTables)
}

// === impl Preflight ===

impl Preflight {
    /// The findings that keep the pipeline from starting.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == segcdc_model::Severity::Failure)
    }
}
