//! [`replay()`]: rows that are set aside, tried again as the source has them.
//!
//! A rule that counts from now on lets rows in that an earlier one kept out, and none of them arrives by itself before it
//! changes. Each is written as a repair writes rows, at a position at which both sides are known, and its letter is closed in
//! the same transaction: a newer version can neither be overwritten nor be forgotten. The pipeline must not run, for it knows
//! its open letters by heart; it is taken over, so that one that comes meanwhile reads them anew.

use std::collections::BTreeMap;

use segcdc_model::QualifiedName;
use segcdc_plan::letters::MAX_KEY_TEXT;
use segcdc_postgres::slot;
use segcdc_sqlserver::{Letter, LetterFilter, Target};
use serde::Serialize;

use crate::config::EngineConfig;
use crate::dead_letters::{DeadLetterQuery, filter};
use crate::down::refuse_in_use;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;
use crate::rules_in_force;
use crate::verify::barrier::Barrier;
use crate::verify::one_table::reason_to_leave_out;
use crate::verify::planned::planned;
use crate::verify::read::{Key, Stop};
use crate::verify::repair::{self, Purpose, Subject};
use crate::verify::{NotCompared, RepairedRows};

/// What became of the rows that were tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// The pipeline.
    pub pipeline: String,
    /// Tables with open letters, by OID.
    pub tables: Vec<ReplayedTable>,
}

/// What became of the rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayedTable {
    /// Name in the source.
    pub source: QualifiedName,
    /// Letters that were tried.
    pub tried: u64,
    /// What was written; `letters` are those that were closed.
    #[serde(flatten)]
    pub rows: RepairedRows,
    /// Why it ended before all were tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<NotCompared>,
}

/// Tries the open letters that a query wants again, by the rules that are in force.
///
/// # Errors
/// `STATE_MISSING`, `ENGINE_MISMATCH`; `SLOT_IN_USE` when a process runs the pipeline; what keeps either server from being
/// asked. What keeps one table from being tried is in the report. What was committed before an error is not lost.
pub async fn replay(config: &EngineConfig, query: &DeadLetterQuery) -> Result<ReplayReport, EngineError> {
    let (mut barrier, state) = Barrier::open(config).await?;
    EngineKind::Native.require(&state)?;
    let config = &rules_in_force::with_rules(config, Some(&state))?;
    refuse_in_use(slot::inspect(barrier.source(), barrier.slot()).await?)?;
    let mut target = Target::connect(&config.target).await?;
    let counts = target.letter_counts(&config.name).await?;
    let filter = LetterFilter { with_closed: false, ..filter(query, &counts) };
    let mut by_table: BTreeMap<u32, Vec<Letter>> = BTreeMap::new();
    for letter in target.letters(&config.name, &filter, query.limit.max(1)).await? {
        by_table.entry(letter.source_oid).or_default().push(letter);
    }
    target.take_over(&config.name, "replay").await?;
    let mut report = ReplayReport { pipeline: config.name.clone(), tables: Vec::new() };
    for (oid, letters) in by_table {
        let source =
            letters.first().map(|letter| letter.source.clone()).unwrap_or_else(|| QualifiedName::new("", ""));
        let tried = letters.len() as u64;
        let (rows, stopped) = match one_table(config, &mut barrier, oid, &letters).await {
            Ok(rows) => (rows, None),
            Err(Stop::Table(reason)) => (RepairedRows::default(), Some(reason)),
            Err(Stop::All(error)) => return Err(error),
            Err(Stop::TooMany) => return Err(EngineError::TaskBroken { task: "replay" }),
        };
        report.tables.push(ReplayedTable { source, tried, rows, stopped });
    }
    Ok(report)
}

/// Tries the letters of one table.
async fn one_table(
    config: &EngineConfig,
    barrier: &mut Barrier,
    oid: u32,
    letters: &[Letter],
) -> Result<RepairedRows, Stop> {
    let state = barrier.state().await?;
    let table = state.tables.iter().find(|table| table.source_oid == oid);
    let gone = || Stop::table("TABLE_NOT_FOUND", "it is no table of the pipeline any more".to_owned());
    let table = table.ok_or_else(gone)?;
    if let Some(reason) = reason_to_leave_out(Some(table.phase), table) {
        return Err(Stop::Table(reason));
    }
    let known = barrier.known_table(oid).await?;
    let plan = planned(config, barrier, table, known.as_ref()).await?.map_err(Stop::Table)?;
    let columns = plan.key_columns().len();
    if columns == 0 {
        let detail = "nothing tells its rows apart: `segcdc table resync` has it copied again".to_owned();
        return Err(Stop::table("REPAIR_WITHOUT_KEY", detail));
    }
    let keys: Vec<Key> = letters.iter().filter_map(|letter| whole_key(letter, columns)).collect();
    let unknown = (letters.len() - keys.len()) as u64;
    let subject = Subject { config, table: &plan, state: table, known: known.as_ref() };
    let mut rows = Box::pin(repair::repair(&subject, barrier, &keys, Purpose::Replay)).await?;
    rows.left += unknown;
    Ok(rows)
}

/// The key of a letter; `None` when a part of it was cut.
fn whole_key(letter: &Letter, columns: usize) -> Option<Key> {
    let key: Key = serde_json::from_str(letter.key.as_deref()?).ok()?;
    let is_whole = |text: &String| text.chars().count() < MAX_KEY_TEXT;
    (key.len() == columns && key.iter().all(is_whole)).then_some(key)
}
