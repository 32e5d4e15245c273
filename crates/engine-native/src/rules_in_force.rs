//! The rules that count for a pipeline: those that its user gives now, and of the kinds that are not given those that its
//! state holds.
//!
//! The state holds them in its specification, with a version, so that a restart without them, `verify`, `table resync`
//! and whatever else plans tables plan the same. What changes a table's columns is refused while the table is live: its
//! target table was made otherwise, and only another copy of it can be made anew.

use segcdc_model::{SourceTable, TablePhase};
use segcdc_plan::table_plan::table_plan;
use segcdc_plan::{MaskSalt, Naming, RuleTexts, Rules};
use segcdc_postgres::Session;
use segcdc_sqlserver::{PipelineState, TableState};
use serde::{Deserialize, Serialize};

use crate::config::EngineConfig;
use crate::engine_kind::EngineKind;
use crate::error::{EngineError, RulesError, Unreadable, version};
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
    /// By what the salt of hashes is known again; left out where nothing is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask_salt_digest: Option<String>,
    #[serde(flatten)]
    texts: RuleTexts,
}

/// The configuration with the rules that count, for whoever reads rows: values that are to be hashed can be.
///
/// # Errors
/// As [`to_plan`], [`RulesError::SaltMissing`] and [`RulesError::SaltChanged`].
pub(crate) fn with_rules(
    config: &EngineConfig,
    state: Option<&PipelineState>,
) -> Result<EngineConfig, RulesError> {
    let with_rules = to_plan(config, state)?;
    let digest = state.map(salt_digest).transpose()?.flatten();
    check_salt(&with_rules, digest.as_deref())?;
    Ok(with_rules)
}

/// Checks that values which are to be hashed are so by the salt of before, if there was one.
fn check_salt(config: &EngineConfig, stored: Option<&str>) -> Result<(), RulesError> {
    let pipeline = || config.name.clone();
    if !config.rules.hashes() {
        return Ok(());
    }
    let Some(salt) = &config.mask_salt else { return Err(RulesError::SaltMissing { pipeline: pipeline() }) };
    match stored {
        Some(stored) if stored != salt.digest() => Err(RulesError::SaltChanged { pipeline: pipeline() }),
        _ => Ok(()),
    }
}

/// The configuration with the rules that count: those of `config`, and those of the state for what it says nothing of.
///
/// # Errors
/// [`RulesError::Stored`].
pub(crate) fn to_plan(
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
    let Some(stored) = read(state)? else { return Ok(Rules::default()) };
    let pipeline = || state.checkpoint.pipeline.clone();
    Rules::parse(&stored.texts)
        .map_err(|error| RulesError::Stored { pipeline: pipeline(), reason: Unreadable::Rule(error) })
}

/// By what the salt is known again that the pipeline has hashed values with.
fn salt_digest(state: &PipelineState) -> Result<Option<String>, RulesError> {
    Ok(read(state)?.and_then(|stored| stored.mask_salt_digest))
}

/// What the state holds of rules.
fn read(state: &PipelineState) -> Result<Option<Stored>, RulesError> {
    let unreadable = |reason| RulesError::Stored { pipeline: state.checkpoint.pipeline.clone(), reason };
    let Some(text) = state.spec.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let specification: Specification =
        serde_json::from_str(text).map_err(|error| unreadable(Unreadable::Malformed(error.to_string())))?;
    match specification.rules {
        Some(stored) if stored.version > version::LATEST => {
            Err(unreadable(Unreadable::Version(stored.version)))
        }
        rules => Ok(rules),
    }
}

/// The specification that holds these rules, and by what the salt is known again; `None` for none, which needs no specification.
pub(crate) fn specification(rules: &Rules, salt: Option<&MaskSalt>) -> Option<String> {
    if rules.is_empty() {
        return None;
    }
    let texts = rules.texts();
    // A program that does not know what is left out, or masked, would replicate it; and it would delete what is to stay.
    let rewrites = !texts.masks.is_empty() || !texts.constants.is_empty();
    let leaves_out =
        !texts.columns.is_empty() || !texts.exclude_columns.is_empty() || !texts.filters.is_empty();
    let version = match (texts.modes.is_empty(), rewrites, leaves_out) {
        (false, ..) => version::LATEST,
        (true, true, _) => version::REWRITTEN,
        (true, false, true) => version::CHOICE,
        (true, false, false) => version::FIRST,
    };
    let mask_salt_digest = salt.filter(|_| rules.hashes()).map(MaskSalt::digest);
    let stored = Stored { version, mask_salt_digest, texts };
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
        assert!(specification(&rules, None).unwrap().contains("\"version\":1"));
        let texts = RuleTexts {
            columns: vec!["public.t=(a, \"b,c\")".to_owned()],
            exclude_columns: vec!["public.*.secret".to_owned()],
            filters: vec!["public.t: a > 1".to_owned()],
            ..texts
        };
        let rules = Rules::parse(&texts).unwrap();
        let spec = specification(&rules, None);
        assert!(spec.as_ref().unwrap().contains("\"version\":2"));
        assert_eq!(stored(&state(spec.as_deref())), Ok(rules));
        assert_eq!(EngineKind::of(&state(spec.as_deref())), EngineKind::Native);
        let kept = RuleTexts { modes: vec!["soft-delete".to_owned()], ..RuleTexts::default() };
        let spec = specification(&Rules::parse(&kept).unwrap(), None).unwrap();
        assert!(spec.contains("\"version\":4") && spec.contains("\"mode\":[\"soft-delete\"]"), "{spec}");
        assert_eq!(specification(&Rules::default(), None), None);
        for none in [None, Some(""), Some("{}"), Some("{\"engine\":\"kafka-connect\",\"more\":1}")] {
            assert_eq!(stored(&state(none)), Ok(Rules::default()));
        }
    }

    #[test]
    fn rules_of_a_later_version_are_refused() {
        let spec = "{\"rules\":{\"version\":5,\"on_value\":[]}}";
        for text in [spec, "{\"rules\":{\"version\":1,\"on_value\":[\"nul\"]}}", "{"] {
            assert_eq!(stored(&state(Some(text))).unwrap_err().code(), "RULES_UNREADABLE", "{text}");
        }
    }

    #[test]
    fn a_salt_has_to_be_there_and_stay_the_same() {
        let source = segcdc_postgres::SourceConfig::parse("postgres://u:p@h/d").unwrap();
        let target = segcdc_sqlserver::TargetConfig::parse("sqlserver://u:p@h/d").unwrap();
        let texts = RuleTexts { masks: vec!["public.t.a=hash".to_owned()], ..RuleTexts::default() };
        let salt = |text: &str| MaskSalt::new(text.as_bytes());
        let with = |rules: Rules, mask_salt: Option<MaskSalt>| EngineConfig {
            rules,
            mask_salt,
            ..EngineConfig::new(source.clone(), target.clone(), "shop")
        };
        let rules = Rules::parse(&texts).unwrap();
        let code = |config: &EngineConfig, spec: Option<&str>| {
            let found = with_rules(config, spec.map(|spec| state(Some(spec))).as_ref());
            found.map(drop).map_err(|error| (error.code(), !error.hint().is_empty()))
        };
        let first = salt("a salt of the first day");
        assert_eq!(code(&with(rules.clone(), None), None), Err(("MASK_SALT_MISSING", true)));
        assert_eq!(code(&with(rules.clone(), first.clone()), None), Ok(()));
        let spec = specification(&rules, first.as_ref()).unwrap();
        assert!(spec.contains("\"version\":3") && !spec.contains("first day"), "{spec}");
        let kept = || Rules::default();
        assert_eq!(code(&with(kept(), first.clone()), Some(&spec)), Ok(()));
        assert_eq!(code(&with(kept(), None), Some(&spec)), Err(("MASK_SALT_MISSING", true)));
        let other = salt("a salt of another day");
        assert_eq!(code(&with(kept(), other), Some(&spec)), Err(("MASK_SALT_CHANGED", true)));
        let redacts = RuleTexts { masks: vec!["public.t.a=redact".to_owned()], ..RuleTexts::default() };
        let redacts = Rules::parse(&redacts).unwrap();
        assert!(!specification(&redacts, first.as_ref()).unwrap().contains("digest"));
        assert_eq!(code(&with(redacts, None), None), Ok(()));
    }
}
