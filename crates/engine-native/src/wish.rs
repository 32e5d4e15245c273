//! [`Wish`]: what a person asks of a table of a pipeline, whether a process runs it or not.
//!
//! ```text
//! segcdc table ... --> wish in the target's state --> the process that runs the pipeline, within a second
//!                                                     or the next one that does
//!                     what became of it <--
//! ```
//!
//! Whoever asks changes nothing but the wish: the process that owns the pipeline knows at which position of the stream a table
//! stops or goes on.

use std::time::Duration;

use segcdc_model::{QualifiedName, TablePhase};
use segcdc_postgres::{Pattern, catalog, session, slot};
use segcdc_sqlserver::{PipelineState, TableState, TableWish, Target, WishOutcome};
use serde::{Deserialize, Serialize};

use crate::config::EngineConfig;
use crate::context::naming;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::preflight::judge;
use crate::provision::decide::is_copy_only;
use crate::resync::refused;
use crate::rules_in_force;
use crate::startup::decide::check_identity;

/// Time between two looks at what became of a wish.
const LOOK: Duration = Duration::from_millis(200);

/// Looks between two at whether a process runs the pipeline still.
const LOOKS_A_SIGN: u32 = 50;

/// What is asked of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Wish {
    /// Its changes are not applied any more.
    Pause,
    /// Its changes are applied again; it is copied again if any were left out meanwhile.
    Resume,
    /// It is copied again.
    Resync {
        /// How its rows get into the target table; `None` leaves that to the engine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<By>,
    },
    /// It is no table of the pipeline any more.
    Remove {
        /// Its target table goes too, if the pipeline made it.
        #[serde(default)]
        drop_target: bool,
    },
    /// It becomes a table of the pipeline.
    Add,
}

/// How the rows of a new copy get into a target table that is in use. Either way readers see all of the old rows or all of
/// the new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Rows that differ are changed, in one transaction; the table stays the one that it is.
    Merge,
    /// Another table takes its place, in one transaction.
    Swap,
}

/// Which tables are meant.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    /// Those that are quarantined.
    Failed,
    /// All of the pipeline.
    All,
    /// Those whose names match one of these.
    Matching(&'a [Pattern]),
}

/// What was asked of tables, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WishReport {
    /// The pipeline.
    pub pipeline: String,
    /// A process runs it; otherwise the next one carries the wishes out.
    pub running: bool,
    /// One entry a table, by name.
    pub tables: Vec<WishedTable>,
}

/// What was asked of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WishedTable {
    /// What tells the wish from others.
    pub id: String,
    /// The table's name in the source.
    pub source: QualifiedName,
    /// `ASKED`, `BEGUN`, `DONE` or `REFUSED`.
    pub outcome: &'static str,
    /// The same for people.
    pub detail: String,
}

/// A table of a pipeline, for `table list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedTable {
    /// Its name in the source.
    pub source: QualifiedName,
    /// Its name in the target.
    pub target: QualifiedName,
    /// Where it stands.
    pub phase: TablePhase,
    /// The position as of which it was copied, or paused.
    pub sync_lsn: segcdc_model::Lsn,
    /// Why it is set aside: code and detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<(String, String)>,
    /// What is asked of it and not done yet.
    pub asked: Vec<Wish>,
}

// === impl Wish ===

impl Wish {
    /// As it is stored; `None` for one of a later version.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The word of the command line.
    pub const fn word(&self) -> &'static str {
        match self {
            Wish::Pause => "pause",
            Wish::Resume => "resume",
            Wish::Resync { .. } => "resync",
            Wish::Remove { .. } => "remove",
            Wish::Add => "add",
        }
    }
}

/// Whether a process runs the pipeline: somebody reads its slot.
///
/// # Errors
/// `STATE_MISSING`, and what keeps either server from being asked.
pub async fn is_running(config: &EngineConfig) -> Result<bool, EngineError> {
    let mut target = Target::connect(&config.target).await?;
    let state = target.known_state(&config.name).await?;
    let source = session::connect(&config.source).await?;
    let found = slot::inspect(&source, &state.checkpoint.lineage.slot).await?;
    source.close().await;
    Ok(found.is_some_and(|slot| slot.active_pid.is_some()))
}

/// Writes down what is asked of tables. Durable on return; nothing else has been changed then.
///
/// # Errors
/// `STATE_MISSING`; `PIPELINE_CONFLICT` for a pipeline that only copies; what keeps a table that is to be added from being
/// replicated.
pub async fn ask(config: &EngineConfig, wish: Wish, choice: Choice<'_>) -> Result<WishReport, EngineError> {
    let mut target = Target::connect(&config.target).await?;
    let state = target.known_state(&config.name).await?;
    EngineKind::Native.require(&state)?;
    if is_copy_only(&state) {
        return Err(EngineError::PipelineConflict {
            pipeline: config.name.clone(),
            what: "mode",
            found: "copy only".to_owned(),
            wanted: "copy and follow".to_owned(),
        });
    }
    let source = session::connect(&config.source).await?;
    check_identity(&state.checkpoint, &catalog::identity(&source).await?)?;
    let found = slot::inspect(&source, &state.checkpoint.lineage.slot).await?;
    let running = found.is_some_and(|slot| slot.active_pid.is_some());
    let meant = match wish {
        Wish::Add => to_add(config, &source, &state, choice).await?,
        _ => chosen(&state, choice).map(|table| (table.source_oid, table.source.clone())).collect(),
    };
    source.close().await;
    let text = serde_json::to_string(&wish).unwrap_or_default();
    let wishes: Vec<TableWish> = meant
        .into_iter()
        .map(|(source_oid, source)| TableWish {
            id: uuid::Uuid::new_v4().to_string(),
            source_oid,
            source,
            wish: text.clone(),
            outcome: WishOutcome::Asked,
            detail: String::new(),
            asked_at_us: 0,
        })
        .collect();
    if !wishes.is_empty() {
        target.ensure_table_wishes().await?;
        target.add_table_wishes(&config.name, &wishes).await?;
    }
    let tables = wishes.into_iter().map(WishedTable::of).collect();
    Ok(WishReport { pipeline: config.name.clone(), running, tables })
}

/// Waits until something has become of all wishes of a report, `to_the_end` until they are settled, and no longer than
/// `patience`; brings the report up to date.
///
/// # Errors
/// The target's.
pub async fn wait(
    config: &EngineConfig,
    report: &mut WishReport,
    to_the_end: bool,
    patience: Duration,
) -> Result<(), EngineError> {
    let mut target = Target::connect(&config.target).await?;
    let deadline = tokio::time::Instant::now() + patience;
    let mut looks: u32 = 0;
    loop {
        let found = target.table_wishes(&config.name).await?;
        let mut open = false;
        for table in &mut report.tables {
            let Some(wish) = found.iter().find(|wish| wish.id == table.id) else { continue };
            (table.outcome, table.detail) = (wish.outcome.as_str(), wish.detail.clone());
            let begun = !to_the_end && wish.outcome == WishOutcome::Begun;
            open |= !(wish.outcome.is_settled() || begun);
        }
        if !open || tokio::time::Instant::now() >= deadline {
            return Ok(());
        }
        looks += 1;
        if looks.is_multiple_of(LOOKS_A_SIGN) && !is_running(config).await? {
            report.running = false;
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The tables of which a copy is asked, and not done.
///
/// # Errors
/// The target's.
pub(crate) async fn copies(target: &mut Target, pipeline: &str) -> Result<Vec<u32>, EngineError> {
    let copies = |wish: &Wish| matches!(wish, Wish::Add | Wish::Resume | Wish::Resync { .. });
    let wishes = target.table_wishes(pipeline).await?;
    let open = wishes.iter().filter(|wish| !wish.outcome.is_settled());
    let asked = open.filter(|wish| Wish::read(&wish.wish).as_ref().is_some_and(copies));
    Ok(asked.map(|wish| wish.source_oid).collect())
}

/// The tables of a pipeline, and what is asked of them.
///
/// # Errors
/// `STATE_MISSING`, and the target's.
pub async fn list(config: &EngineConfig) -> Result<Vec<ListedTable>, EngineError> {
    let mut target = Target::connect(&config.target).await?;
    let state = target.known_state(&config.name).await?;
    let wishes = target.table_wishes(&config.name).await?;
    let asked = |oid: u32| {
        let open = wishes.iter().filter(|wish| wish.source_oid == oid && !wish.outcome.is_settled());
        open.filter_map(|wish| Wish::read(&wish.wish)).collect()
    };
    let listed = state.tables.into_iter().map(|table| ListedTable {
        asked: asked(table.source_oid),
        source: table.source,
        target: table.target,
        phase: table.phase,
        sync_lsn: table.sync_lsn,
        error: table.error,
    });
    Ok(listed.collect())
}

/// The tables of the pipeline that are meant.
fn chosen<'a>(state: &'a PipelineState, choice: Choice<'a>) -> impl Iterator<Item = &'a TableState> {
    state.tables.iter().filter(move |table| match choice {
        Choice::Failed => table.phase == TablePhase::Quarantined,
        Choice::All => true,
        Choice::Matching(patterns) => patterns.iter().any(|pattern| pattern.matches(&table.source)),
    })
}

/// The tables of the source that are meant and are none of the pipeline. One that is named and cannot be replicated is refused.
async fn to_add(
    config: &EngineConfig,
    source: &segcdc_postgres::Session,
    state: &PipelineState,
    choice: Choice<'_>,
) -> Result<Vec<(u32, QualifiedName)>, EngineError> {
    let Choice::Matching(patterns) = choice else { return Ok(Vec::new()) };
    let naming = naming(&rules_in_force::to_plan(config, Some(state))?);
    let mut meant = Vec::new();
    for table in catalog::tables(source, patterns).await? {
        if state.tables.iter().any(|known| known.source_oid == table.oid) {
            continue;
        }
        match judge(&table, &naming, None) {
            Ok(_) => meant.push((table.oid, table.name)),
            Err(left_out) => {
                let named = patterns.iter().any(|pattern| pattern.literal().as_ref() == Some(&table.name));
                if named {
                    return Err(refused(*left_out));
                }
                tracing::warn!(table = %left_out.table, code = left_out.code, "a table is left out");
            }
        }
    }
    Ok(meant)
}

// === impl WishedTable ===

impl WishedTable {
    fn of(wish: TableWish) -> Self {
        let TableWish { id, source, outcome, detail, .. } = wish;
        WishedTable { id, source, outcome: outcome.as_str(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_come_back_as_they_were_stored() {
        let all = [
            Wish::Pause,
            Wish::Resume,
            Wish::Resync { by: None },
            Wish::Resync { by: Some(By::Swap) },
            Wish::Remove { drop_target: true },
            Wish::Add,
        ];
        for wish in all {
            assert_eq!(Wish::read(&serde_json::to_string(&wish).unwrap()), Some(wish));
        }
        assert_eq!(
            Wish::read("{\"verb\":\"resync\",\"by\":\"merge\"}"),
            Some(Wish::Resync { by: Some(By::Merge) })
        );
        assert_eq!(Wish::read("{\"verb\":\"remove\"}"), Some(Wish::Remove { drop_target: false }));
        // Of a later version.
        assert_eq!(Wish::read("{\"verb\":\"split\"}"), None);
    }
}
