//! [`drifted`]: target tables that are not as the pipeline made them.
//!
//! A start looks at them (`crate::startup`), and an apply that meets a column which is gone ends. What is wider, narrower or
//! mandatory since is met by the first value that does not fit, which may be months later. So whoever asks how the pipeline stands
//! is told.

use std::time::Duration;

use segcdc_model::{QualifiedName, TablePhase};
use segcdc_plan::{KnownTable, TablePlan};
use segcdc_sqlserver::{PipelineState, TableState, Target};

use crate::config::EngineConfig;
use crate::context::naming;
use crate::error::EngineError;
use crate::note::StatusNote;
use crate::rules_in_force;
use crate::target_shape;

/// How long it may take. Of thousands of tables, or behind somebody's locks on the catalog, nothing is said.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tables of which the note says what is the matter; the others are counted.
const SHOWN: usize = 3;

/// A note on the tables that have drifted, if there are any and they are found in time. Asks the target only, and last: the session
/// may be of no use afterwards.
pub(super) async fn drifted(
    config: &EngineConfig,
    target: &mut Target,
    state: &PipelineState,
) -> Option<StatusNote> {
    match tokio::time::timeout(PATIENCE, look(config, target, state)).await {
        Ok(Ok(found)) => note(&found),
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "the target's tables were not looked at");
            None
        }
        Err(_) => {
            tracing::debug!("the target's tables were not looked at in time");
            None
        }
    }
}

/// What the tables that are followed differ in, by name.
async fn look(
    config: &EngineConfig,
    target: &mut Target,
    state: &PipelineState,
) -> Result<Vec<(QualifiedName, String)>, EngineError> {
    let config = rules_in_force::to_plan(config, Some(state))?;
    let known = target.known_tables(&config.name).await?;
    let plan = |table: &TableState, known: &KnownTable| known.plan(&naming(&config), &table.target).ok();
    let mut followed: Vec<(u32, TablePlan)> = Vec::new();
    for table in state.tables.iter().filter(|table| table.phase == TablePhase::Streaming) {
        let planned = known.get(&table.source_oid).and_then(|known| plan(table, known));
        followed.extend(planned.map(|planned| (table.source_oid, planned)));
    }
    let plans: Vec<&TablePlan> = followed.iter().map(|(_, plan)| plan).collect();
    let differences = target_shape::differences(target, &plans).await?;
    let mut found: Vec<(u32, QualifiedName, String)> = followed
        .iter()
        .zip(differences)
        .filter(|(_, detail)| !detail.is_empty())
        .map(|((oid, plan), detail)| (*oid, plan.target.clone(), detail))
        .collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // A change of the source that was followed in between is no drift.
    let now = target.known_tables(&config.name).await?;
    found.retain(|(oid, ..)| now.get(oid) == known.get(oid));
    Ok(found.into_iter().map(|(_, table, detail)| (table, detail)).collect())
}

fn note(found: &[(QualifiedName, String)]) -> Option<StatusNote> {
    let mut shown: Vec<String> =
        found.iter().take(SHOWN).map(|(table, detail)| format!("{table}: {detail}")).collect();
    if shown.is_empty() {
        return None;
    }
    let more = found.len().saturating_sub(SHOWN);
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    Some(StatusNote {
        code: "TARGET_SCHEMA_DRIFT".to_owned(),
        detail: format!("the target's tables are not as they were made: {}", shown.join("; ")),
        hint: "`segcdc doctor` prints the SQL that sets them back; otherwise they halt with the first row that does not fit, or at the next start"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_shown_and_all_are_counted() {
        let tables = |number: usize| -> Vec<(QualifiedName, String)> {
            (0..number)
                .map(|number| (QualifiedName::new("dbo", format!("t{number}")), "it is not there".to_owned()))
                .collect()
        };
        assert_eq!(note(&tables(0)), None);
        let detail = |number| note(&tables(number)).unwrap().detail;
        assert_eq!(detail(1), "the target's tables are not as they were made: dbo.t0: it is not there");
        assert!(detail(3).ends_with("dbo.t2: it is not there"));
        assert!(detail(5).ends_with("dbo.t2: it is not there; and 2 more"));
    }
}
