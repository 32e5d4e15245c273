//! [`stored_settings`]: what the target's state says that a pipeline is made of.

use segcdc_model::QualifiedName;
use segcdc_plan::RuleTexts;
use segcdc_sqlserver::Target;

use crate::config::EngineConfig;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::rules_in_force;

/// What a pipeline that exists is made of, as far as its state tells: settings that count for one run are kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSettings {
    /// Who runs it.
    pub engine: EngineKind,
    /// Its source tables, in order of their names.
    pub tables: Vec<QualifiedName>,
    /// Its rules.
    pub rules: RuleTexts,
}

/// What the target knows of the pipeline; `None` when it knows none of this name. Changes nothing; the source is not asked.
///
/// # Errors
/// `STATE_UNREADABLE` for state of a newer version, and what keeps the target from being asked.
pub async fn stored_settings(config: &EngineConfig) -> Result<Option<StoredSettings>, EngineError> {
    let mut target = Target::connect_to_look(&config.target).await?;
    let Some(state) = target.load_state(&config.name).await? else { return Ok(None) };
    let mut tables: Vec<QualifiedName> = state.tables.iter().map(|table| table.source.clone()).collect();
    tables.sort();
    let rules = rules_in_force::stored(&state)?.texts();
    Ok(Some(StoredSettings { engine: EngineKind::of(&state), tables, rules }))
}
