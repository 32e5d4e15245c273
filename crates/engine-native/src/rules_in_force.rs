//! The rules that count for a pipeline: those that its user gives now, and of the kinds that are not given those that its
//! state holds.
//!
//! The state holds them in its specification, with a version, so that a restart without them, `verify`, `table resync`
//! and whatever else plans tables plan the same. What changes a table's columns is refused while the table is live: its
//! target table was made otherwise, and only another copy of it can be made anew.

use segcdc_model::{SourceTable, TablePhase};
use segcdc_plan::table_plan::table_plan;
use segcdc_plan::{Naming, RuleTexts, Rules};
use segcdc_postgres::Session;
use segcdc_sqlserver::{PipelineState, TableState};
use serde::{Deserialize, Serialize};

use crate::config::EngineConfig;
use crate::engine_kind::EngineKind;
use crate::error::{
    EngineError, FIRST_RULES_VERSION as FIRST_VERSION, RULES_VERSION as VERSION, RulesError, Unreadable,
};
use crate::known::tables_now;
use crate::shape;

/// The part of a specification that this module reads and writes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Specification {
    #[serde(default)]
    engine: EngineKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<Stored>,
}

/// Rules as they are stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(flatten)]
    texts: RuleTexts,
}

/// The configuration with the rules that count: those of `config`, and those of the state for what it says nothing of.
///
/// # Errors
/// [`RulesError::Stored`].
pub(crate) fn with_rules(
    config: &EngineConfig,
    state: Option<&PipelineState>,
) -> Result<EngineConfig, RulesError> {
    let stored = state.map_or_else(|| Ok(Rules::default()), stored)?;
    Ok(EngineConfig { rules: config.rules.over(&stored), ..config.clone() })
}

/// The rules that the state holds.
///
/// # Errors
/// [`RulesError::Stored`].
pub(crate) fn stored(state: &PipelineState) -> Result<Rules, RulesError> {
    let unreadable = |reason| RulesError::Stored { pipeline: state.checkpoint.pipeline.clone(), reason };
    let Some(text) = state.spec.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(Rules::default());
    };
    let specification: Specification =
        serde_json::from_str(text).map_err(|error| unreadable(Unreadable::Malformed(error.to_string())))?;
    let Some(stored) = specification.rules else { return Ok(Rules::default()) };
    if stored.version > VERSION {
        return Err(unreadable(Unreadable::Version(stored.version)));
    }
    Rules::parse(&stored.texts).map_err(|error| unreadable(Unreadable::Rule(error)))
}

/// The specification that holds these rules; `None` for none, which needs no specification.
pub(crate) fn specification(rules: &Rules) -> Option<String> {
    if rules.is_empty() {
        return None;
    }
    let texts = rules.texts();
    // A program that does not know what is left out would replicate it.
    let leaves_out =
        !texts.columns.is_empty() || !texts.exclude_columns.is_empty() || !texts.filters.is_empty();
    let stored = Stored { version: if leaves_out { VERSION } else { FIRST_VERSION }, texts };
    let specification = Specification { engine: EngineKind::Native, rules: Some(stored) };
    // Strings in lists can always be written.
    serde_json::to_string(&specification).ok()
}

/// Checks that no table of `state` for which `concerned` holds would get another shape by `new` than it has by the stored
/// rules.
///
/// # Errors
/// [`RulesError::ChangeShape`] naming all of them, and the source's.
pub(crate) async fn check_shapes(
    source: &Session,
    state: &PipelineState,
    config: &EngineConfig,
    concerned: &(dyn Fn(&TableState) -> bool + Sync),
) -> Result<(), EngineError> {
    let (old, new) = (stored(state)?, &config.rules);
    if old == *new {
        return Ok(());
    }
    let naming = |rules: &Rules| Naming::new(config.target.default_schema.clone()).with_rules(rules.clone());
    let (before, after) = (naming(&old), naming(new));
    let concerned: Vec<&TableState> = state.tables.iter().filter(|known| concerned(known)).collect();
    let now = tables_now(source, concerned.iter().copied()).await?;
    let is_reshaped = |known: &&TableState| {
        now.get(&known.source_oid).is_some_and(|table| reshapes(table, &before, &after))
    };
    let tables: Vec<_> =
        concerned.into_iter().filter(is_reshaped).map(|known| known.source.clone()).collect();
    if tables.is_empty() { Ok(()) } else { Err(RulesError::ChangeShape { tables }.into()) }
}

/// Whether a table gets another target table, or other rows, by other rules.
pub(crate) fn reshapes(table: &SourceTable, before: &Naming, after: &Naming) -> bool {
    match (table_plan(table, before), table_plan(table, after)) {
        (Ok(before), Ok(after)) => {
            shape::of(&before) != shape::of(&after)
                || before.target != after.target
                || before.filter != after.filter
        }
        (before, after) => before.is_ok() != after.is_ok(),
    }
}

/// Whether the target table of a table was made and is in use: not queued, and not quarantined, which has to be copied
/// again anyway.
pub(crate) fn is_in_use(table: &TableState) -> bool {
    table.phase != TablePhase::Quarantined
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::{Checkpoint, Fault, Lineage, Lsn};

    fn state(spec: Option<&str>) -> PipelineState {
        let lineage = Lineage {
            system_identifier: "7".to_owned(),
            timeline: 1,
            database_oid: 5,
            slot: "s".to_owned(),
            publication: "p".to_owned(),
            publication_oid: 9,
        };
        let pipeline = "shop".to_owned();
        PipelineState {
            checkpoint: Checkpoint { pipeline, epoch: 1, batch_seq: 0, applied_lsn: Lsn::new(1), lineage },
            owner: String::new(),
            commit_time_us: None,
            slot_is_ours: true,
            publication_is_ours: true,
            transactions_applied: 0,
            changes_applied: 0,
            spec: spec.map(str::to_owned),
            lag: None,
            updated_at_us: 0,
            read_at_us: 0,
            tables: Vec::new(),
        }
    }

    #[test]
    fn rules_come_back_from_the_state_as_they_were_stored() {
        let texts = RuleTexts {
            values: vec!["null".to_owned(), "public.\"a b\".c=clamp".to_owned()],
            types: vec!["numeric=decimal(28,6)".to_owned()],
            renames: vec!["public.t=x".to_owned()],
            keys: vec!["public.t=t_k".to_owned()],
            append_only: vec!["public.log=ignore".to_owned()],
            refused: vec!["set_aside".to_owned(), "public.t=halt".to_owned()],
            letter_limits: vec!["50".to_owned(), "public.t=0".to_owned()],
            changes: vec!["halt".to_owned(), "public.*:drop-column=apply".to_owned()],
            ..RuleTexts::default()
        };
        let rules = Rules::parse(&texts).unwrap();
        assert!(specification(&rules).unwrap().contains("\"version\":1"));
        let texts = RuleTexts {
            columns: vec!["public.t=(a, \"b,c\")".to_owned()],
            exclude_columns: vec!["public.*.secret".to_owned()],
            filters: vec!["public.t: a > 1".to_owned()],
            ..texts
        };
        let rules = Rules::parse(&texts).unwrap();
        let spec = specification(&rules);
        assert!(spec.as_ref().unwrap().contains("\"version\":2"));
        assert_eq!(stored(&state(spec.as_deref())), Ok(rules));
        assert_eq!(EngineKind::of(&state(spec.as_deref())), EngineKind::Native);
        assert_eq!(specification(&Rules::default()), None);
        for none in [None, Some(""), Some("{}"), Some("{\"engine\":\"kafka-connect\",\"more\":1}")] {
            assert_eq!(stored(&state(none)), Ok(Rules::default()));
        }
    }

    #[test]
    fn rules_of_a_later_version_are_refused() {
        let spec = "{\"rules\":{\"version\":3,\"on_value\":[]}}";
        for text in [spec, "{\"rules\":{\"version\":1,\"on_value\":[\"nul\"]}}", "{"] {
            assert_eq!(stored(&state(Some(text))).unwrap_err().code(), "RULES_UNREADABLE", "{text}");
        }
    }
}
