//! [`post_load`]: what the source has beside rows and keys, as a script for the target.

use std::sync::Arc;

use segcdc_postgres::{catalog, session};
use segcdc_sqlserver::PostLoad;
use segcdc_sqlserver::post_load::PostNote;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::preflight::Preflight;

/// The script for the tables of a pipeline; sequences stand where they stand now. Changes nothing.
///
/// # Errors
/// `NO_TABLES`; when the source cannot be asked.
pub async fn post_load(config: &EngineConfig, checked: &Preflight) -> Result<PostLoad, EngineError> {
    if checked.plans.is_empty() {
        return Err(EngineError::NoTables);
    }
    let source = session::connect(&config.source).await?;
    let oids: Vec<u32> = checked.plans.iter().map(|plan| plan.source.oid).collect();
    let mut extras = catalog::extras(&source, &oids).await?;
    source.close().await;
    let tables: Vec<_> = checked
        .plans
        .iter()
        .map(|plan| (Arc::clone(plan), extras.remove(&plan.source.oid).unwrap_or_default()))
        .collect();
    let mut made = segcdc_sqlserver::post_load::post_load(&tables);
    made.notes.extend(checked.left_out.iter().map(|left| PostNote {
        table: left.table.clone(),
        text: format!("it is not replicated: {}", left.detail),
    }));
    Ok(made)
}
