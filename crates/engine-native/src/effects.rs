//! What changed settings do to a pipeline that exists: nothing moves, tables are copied again, or nothing comes of it.
//!
//! A pipeline keeps its rules, its tables, its slot and its publication in its state, so these can be compared. Everything
//! else (readers, limits, what is done about large transactions) is read at the start of a process and kept nowhere.

use segcdc_model::{QualifiedName, SourceTable};
use segcdc_plan::{Naming, RuleTexts, Rules};
use segcdc_postgres::{catalog, session};
use segcdc_sqlserver::PipelineState;
use serde::Serialize;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::preflight::select;
use crate::rules_in_force::{self, is_in_use, reshapes};

/// What a changed setting does to a pipeline that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The setting, as the key of a pipeline file: `types`, `tables.include`.
    pub setting: &'static str,
    /// What it does.
    pub effect: EffectKind,
    /// To which tables of the source; empty where it is not about tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<QualifiedName>,
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// It counts from the next `up` on; no row is written for it.
    Restart,
    /// The tables have to be copied again: `up` refuses it, `table resync` does it.
    Recopy,
    /// `table add` brings the tables in, while the others go on.
    Add,
    /// `table remove` takes the tables out, while the others go on.
    Remove,
    /// Nothing: it counts when a pipeline is made.
    Nothing,
}

/// Everything that is known before it is decided.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// The rules of the state.
    pub(crate) stored: &'a Rules,
    /// The rules that are given now; a kind of which nothing is given stays as it is stored.
    pub(crate) given: &'a Rules,
    /// The target's schema of tables of which nothing else is said.
    pub(crate) default_schema: &'a str,
    /// The tables that were made and are in use, as the source has them.
    pub(crate) in_use: &'a [SourceTable],
    /// All tables of the pipeline.
    pub(crate) known: &'a [QualifiedName],
    /// What patterns mean now; `None` when none are given.
    pub(crate) meant: Option<&'a Meant>,
    /// The publication that is asked for and that of the pipeline, then the same of the slot.
    pub(crate) names: [(&'static str, Option<&'a str>, &'a str); 2],
}

/// The tables that patterns mean.
#[derive(Debug, Default)]
pub(crate) struct Meant {
    /// Those that can be replicated.
    pub(crate) replicable: Vec<QualifiedName>,
    /// Those that cannot.
    pub(crate) others: Vec<QualifiedName>,
}

/// One kind of rules.
struct Kind {
    /// The key of a pipeline file.
    setting: &'static str,
    /// The rules of the kind, as they were written.
    texts: fn(&RuleTexts) -> &[String],
    /// Takes the rules of the kind over from others.
    take: fn(&mut Rules, &Rules),
}

/// All kinds.
const KINDS: [Kind; 15] = [
    Kind {
        setting: "columns.include",
        texts: |t| &t.columns,
        take: |to, from| to.columns.clone_from(&from.columns),
    },
    Kind {
        setting: "columns.exclude",
        texts: |t| &t.exclude_columns,
        take: |to, from| to.exclude_columns.clone_from(&from.exclude_columns),
    },
    Kind { setting: "where", texts: |t| &t.filters, take: |to, from| to.filters.clone_from(&from.filters) },
    Kind { setting: "masks", texts: |t| &t.masks, take: |to, from| to.masks.clone_from(&from.masks) },
    Kind {
        setting: "constants",
        texts: |t| &t.constants,
        take: |to, from| to.constants.clone_from(&from.constants),
    },
    Kind { setting: "rename", texts: |t| &t.renames, take: |to, from| to.renames.clone_from(&from.renames) },
    Kind { setting: "types", texts: |t| &t.types, take: |to, from| to.types.clone_from(&from.types) },
    Kind { setting: "keys", texts: |t| &t.keys, take: |to, from| to.keys.clone_from(&from.keys) },
    Kind { setting: "modes", texts: |t| &t.modes, take: |to, from| to.modes.clone_from(&from.modes) },
    Kind {
        setting: "append_only",
        texts: |t| &t.append_only,
        take: |to, from| to.append_only.clone_from(&from.append_only),
    },
    Kind { setting: "on_value", texts: |t| &t.values, take: |to, from| to.values.clone_from(&from.values) },
    Kind {
        setting: "on_refused",
        texts: |t| &t.refused,
        take: |to, from| to.refused.clone_from(&from.refused),
    },
    Kind {
        setting: "dead_letter_limit",
        texts: |t| &t.letter_limits,
        take: |to, from| to.letter_limits.clone_from(&from.letter_limits),
    },
    Kind {
        setting: "on_schema_change",
        texts: |t| &t.changes,
        take: |to, from| to.changes.clone_from(&from.changes),
    },
    Kind {
        setting: "tables.pick_up_new",
        texts: |t| &t.pick_up,
        take: |to, from| to.pick_up.clone_from(&from.pick_up),
    },
];

/// What the settings of `config` do to the pipeline of `state`. Changes nothing.
///
/// # Errors
/// When the source cannot be asked, or the state's rules cannot be read.
pub async fn effects(config: &EngineConfig, state: &PipelineState) -> Result<Vec<Effect>, EngineError> {
    let stored = rules_in_force::stored(state)?;
    let source = session::connect(&config.source).await?;
    let oids: Vec<u32> =
        state.tables.iter().filter(|table| is_in_use(table)).map(|table| table.source_oid).collect();
    let in_use = catalog::tables_by_oid(&source, &oids).await?;
    let meant = if config.patterns.is_empty() && config.exclude.is_empty() {
        None
    } else {
        let selection = select(&rules_in_force::to_plan(config, Some(state))?, &source).await?;
        Some(Meant {
            replicable: selection.plans.iter().map(|plan| plan.source.name.clone()).collect(),
            others: selection.left_out.into_iter().map(|left| left.table).collect(),
        })
    };
    source.close().await;
    let known: Vec<QualifiedName> = state.tables.iter().map(|table| table.source.clone()).collect();
    let lineage = &state.checkpoint.lineage;
    Ok(decide(&Facts {
        stored: &stored,
        given: &config.rules,
        default_schema: &config.target.default_schema,
        in_use: &in_use,
        known: &known,
        meant: meant.as_ref(),
        names: [
            ("source.publication", config.publication.as_deref(), &lineage.publication),
            ("source.slot", config.slot.as_deref(), &lineage.slot),
        ],
    }))
}

/// What changed settings do; nothing is said of those that are as they were. Pure.
pub(crate) fn decide(facts: &Facts<'_>) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Some(meant) = facts.meant {
        let tables: Vec<QualifiedName> =
            meant.replicable.iter().filter(|table| !facts.known.contains(table)).cloned().collect();
        effects.extend(about(EffectKind::Add, "tables.include", tables));
        let is_meant =
            |table: &&QualifiedName| meant.replicable.contains(table) || meant.others.contains(table);
        let tables: Vec<QualifiedName> =
            facts.known.iter().filter(|table| !is_meant(table)).cloned().collect();
        effects.extend(about(EffectKind::Remove, "tables.exclude", tables));
    }
    let (stored, given) = (facts.stored.texts(), facts.given.texts());
    for kind in KINDS {
        let texts = (kind.texts)(&given);
        if texts.is_empty() || texts == (kind.texts)(&stored) {
            continue;
        }
        let mut changed = facts.stored.clone();
        (kind.take)(&mut changed, facts.given);
        let naming = |rules: Rules| Naming::new(facts.default_schema).with_rules(rules);
        let (before, after) = (naming(facts.stored.clone()), naming(changed));
        let tables: Vec<QualifiedName> = facts
            .in_use
            .iter()
            .filter(|table| reshapes(table, &before, &after))
            .map(|table| table.name.clone())
            .collect();
        let effect = if tables.is_empty() { EffectKind::Restart } else { EffectKind::Recopy };
        effects.push(Effect { setting: kind.setting, effect, tables });
    }
    for (setting, asked, has) in facts.names {
        if asked.is_some_and(|asked| asked != has) {
            effects.push(Effect { setting, effect: EffectKind::Nothing, tables: Vec::new() });
        }
    }
    effects
}

/// The effect on tables, where there are some.
fn about(effect: EffectKind, setting: &'static str, tables: Vec<QualifiedName>) -> Option<Effect> {
    (!tables.is_empty()).then_some(Effect { setting, effect, tables })
}

#[cfg(test)]
mod tests;
