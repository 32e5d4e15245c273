//! Source transactions that a person wants not to be applied.
//!
//! ```text
//! segcdc transaction skip LSN --> asked for in the target's state --> the next start of the pipeline
//!                                      --> the transaction comes: left out, and recorded with the checkpoint behind it
//!                                      \-> no transaction ends there: refused, and everything is applied
//! ```
//!
//! A transaction is named by the position behind its COMMIT record, like in PostgreSQL's `ALTER SUBSCRIPTION … SKIP`. The record
//! of one that was left out stays: it says by what source and target differ.

use segcdc_model::Lsn;
use segcdc_postgres::{catalog, session, slot};
use segcdc_sqlserver::{SkipWish, Target, WishOutcome};
use serde::Serialize;

use crate::config::EngineConfig;
use crate::dead_letters::{connect, time};
use crate::error::EngineError;

/// A transaction that is to be left out, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedReport {
    /// Position behind its COMMIT record.
    pub end_lsn: Lsn,
    /// `ASKED`, `DONE` or `REFUSED`.
    pub outcome: &'static str,
    /// Why it is applied after all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// When it was asked for, by the target's clock; `None` when it was refused at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
    /// What it was, once it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<LeftOutTransaction>,
}

/// A transaction that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutTransaction {
    /// Source transaction id.
    pub xid: u32,
    /// When it was committed, by the source's clock.
    pub committed_at: String,
    /// Its changes.
    pub changes: u64,
    /// The tables that they were of.
    pub tables: Vec<String>,
}

/// What was asked, and what will become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkipReport {
    /// The pipeline.
    pub pipeline: String,
    /// A process runs it, and takes note at its next start.
    pub running: bool,
    /// What the target has applied.
    pub applied_lsn: Lsn,
    /// The transaction.
    #[serde(flatten)]
    pub skipped: SkippedReport,
}

/// Asks for a transaction to be left out. Durable on return. Refuses a position that is applied already, or that the source has
/// not written yet; then nothing was stored.
///
/// # Errors
/// `STATE_MISSING`, `ENGINE_MISMATCH`, and what keeps either server from being asked.
pub async fn skip(config: &EngineConfig, end_lsn: Lsn) -> Result<SkipReport, EngineError> {
    let (mut target, state) = connect(config).await?;
    let applied_lsn = state.checkpoint.applied_lsn;
    let source = session::connect(&config.source).await?;
    let written = catalog::current_lsn(&source).await?;
    let found = slot::inspect(&source, &state.checkpoint.lineage.slot).await?;
    source.close().await;
    let known = of(&mut target, config, end_lsn).await?;
    let is_done = known.as_ref().is_some_and(|known| known.outcome == WishOutcome::Done);
    let skipped = match refusal(end_lsn, applied_lsn, written).filter(|_| !is_done) {
        Some(detail) => {
            let outcome = WishOutcome::Refused.as_str();
            SkippedReport { end_lsn, outcome, detail, asked_at: None, transaction: None }
        }
        None => {
            target.ask_to_skip(&config.name, end_lsn).await?;
            let stored = of(&mut target, config, end_lsn).await?;
            stored.map(SkippedReport::of).ok_or(EngineError::TaskBroken { task: "skip" })?
        }
    };
    let running = found.is_some_and(|slot| slot.active_pid.is_some());
    Ok(SkipReport { pipeline: config.name.clone(), running, applied_lsn, skipped })
}

/// Takes back that a transaction is to be left out. Whether that was asked for and not done.
///
/// # Errors
/// As [`skip`].
pub async fn keep(config: &EngineConfig, end_lsn: Lsn) -> Result<bool, EngineError> {
    let (mut target, _) = connect(config).await?;
    Ok(target.withdraw_skip(&config.name, end_lsn).await?)
}

/// What was asked for and what was left out, by position.
///
/// # Errors
/// As [`skip`].
pub async fn list(config: &EngineConfig) -> Result<Vec<SkippedReport>, EngineError> {
    let (mut target, _) = connect(config).await?;
    let skips = target.skips(&config.name).await?;
    Ok(skips.into_iter().map(SkippedReport::of).collect())
}

/// What is stored of a transaction.
async fn of(
    target: &mut Target,
    config: &EngineConfig,
    end_lsn: Lsn,
) -> Result<Option<SkipWish>, EngineError> {
    let skips = target.skips(&config.name).await?;
    Ok(skips.into_iter().find(|skip| skip.end_lsn == end_lsn))
}

/// Why a position cannot be that of a transaction that is to come.
fn refusal(end_lsn: Lsn, applied: Lsn, written: Lsn) -> Option<String> {
    if end_lsn <= applied {
        Some(format!("what ends at {end_lsn} is applied: the checkpoint is {applied}"))
    } else if end_lsn > written {
        Some(format!("the source has written up to {written} only"))
    } else {
        None
    }
}

// === impl SkippedReport ===

impl SkippedReport {
    fn of(wish: SkipWish) -> Self {
        let SkipWish { end_lsn, outcome, detail, asked_at_us, skipped } = wish;
        let transaction = skipped.map(|skipped| LeftOutTransaction {
            xid: skipped.xid,
            committed_at: time(skipped.commit_time_us),
            changes: skipped.changes,
            tables: skipped.tables,
        });
        let asked_at = Some(time(asked_at_us));
        SkippedReport { end_lsn, outcome: outcome.as_str(), detail, asked_at, transaction }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_come_is_asked_for() {
        let refusal = |end: u64| refusal(Lsn::new(end), Lsn::new(100), Lsn::new(200));
        assert!(refusal(99).is_some_and(|why| why.contains("the checkpoint is 0/64")));
        assert!(refusal(100).is_some());
        assert_eq!(refusal(101), None);
        assert_eq!(refusal(200), None);
        assert_eq!(refusal(201).as_deref(), Some("the source has written up to 0/C8 only"));
    }
}
