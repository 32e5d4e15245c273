//! Tables that are not replicated because the user says so.

use segcdc_model::{Finding, QualifiedName};
use segcdc_postgres::{Session, catalog};

use super::check_pattern;
use crate::config::EngineConfig;
use crate::error::EngineError;

/// A finding for each pattern of tables to exclude that means none: one that names a table is a failure, since a misspelt name
/// would have the table replicated.
pub(super) async fn check(config: &EngineConfig, source: &Session) -> Result<Vec<Finding>, EngineError> {
    if config.exclude.is_empty() {
        return Ok(Vec::new());
    }
    let found = catalog::tables(source, &config.exclude).await?;
    let names: Vec<&QualifiedName> = found.iter().map(|table| &table.name).collect();
    Ok(config.exclude.iter().filter_map(|pattern| check_pattern(pattern, &names)).collect())
}
