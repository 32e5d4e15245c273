//! One table: compared, and where that is asked for, repaired and compared again until nothing is left that can be mended.

use segcdc_model::TablePhase;
use segcdc_plan::{KnownTable, OnChange, TableKey, TablePlan};
use segcdc_sqlserver::TableState;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::verify::barrier::Barrier;
use crate::verify::planned::{changed_meanwhile, planned};
use crate::verify::read::{Key, Stop};
use crate::verify::repair::{self, Purpose, Subject};
use crate::verify::reporter::Reporter;
use crate::verify::table::Comparison;
use crate::verify::{
    APPEND_ONLY, NotCompared, RepairMode, RepairReport, RepairedRows, TableVerdict, VerifyOptions,
    VerifyStage,
};

/// The verdict on one table.
pub(super) async fn run(
    config: &EngineConfig,
    options: &VerifyOptions,
    barrier: &mut Barrier,
    reporter: &mut Reporter<'_>,
    state: &TableState,
) -> Result<TableVerdict, EngineError> {
    let verdict = TableVerdict::new(state.source.clone(), state.target.clone());
    let not_compared = |reason| TableVerdict { not_compared: Some(reason), ..verdict.clone() };
    let phase = barrier.phase(state.source_oid).await?;
    if let Some(reason) = reason_to_leave_out(phase, state) {
        return Ok(not_compared(reason));
    }
    let known = barrier.known_table(state.source_oid).await?;
    let table = match planned(config, barrier, state, known.as_ref()).await? {
        Ok(table) => table,
        Err(reason) => return Ok(not_compared(reason)),
    };
    if table.key == TableKey::AppendOnly(OnChange::Ignore) && barrier.has_left_out(state.source_oid).await? {
        let detail = "changes of its rows were left out on purpose (--append-only): the target has rows as they were inserted";
        return Ok(not_compared(NotCompared { code: APPEND_ONLY.to_owned(), detail: detail.to_owned() }));
    }
    let mut rounds =
        Rounds { config, options, barrier, reporter, state, known: known.as_ref(), table: &table };
    let found = match rounds.run(&verdict).await {
        Ok(found) => found,
        Err(Stop::All(error)) => return Err(error),
        Err(Stop::Table(reason)) => return Ok(not_compared(reason)),
        Err(Stop::TooMany) => {
            let detail = "it does not fit into the memory that was allowed, however it is divided".to_owned();
            return Ok(not_compared(NotCompared { code: "MEMORY".to_owned(), detail }));
        }
    };
    // A table that was set aside in the meantime was not followed to the end.
    let phase = barrier.phase(state.source_oid).await?;
    let now = barrier.known_table(state.source_oid).await?;
    let reason =
        reason_to_leave_out(phase, state).or_else(|| changed_meanwhile(known.as_ref(), now.as_ref()));
    Ok(reason.map_or(found, not_compared))
}

/// Why a table in this phase is not compared; `None` when it is.
pub(super) fn reason_to_leave_out(phase: Option<TablePhase>, state: &TableState) -> Option<NotCompared> {
    let reason = |code: &str, detail: &str| NotCompared { code: code.to_owned(), detail: detail.to_owned() };
    match phase {
        Some(TablePhase::Streaming) => None,
        Some(TablePhase::Quarantined) => Some(match &state.error {
            Some((code, _)) => reason("QUARANTINED", &format!("it is quarantined because of {code}")),
            None => reason("QUARANTINED", "it is quarantined"),
        }),
        Some(TablePhase::Paused) => {
            Some(reason("PAUSED", "it is paused: `segcdc table resume` lets it go on"))
        }
        Some(TablePhase::Queued | TablePhase::Copying) => {
            Some(reason("COPYING", "it is not copied completely"))
        }
        None => Some(reason("TABLE_NOT_FOUND", "it is no table of the pipeline any more")),
    }
}

/// Comparisons of one table, with a repair between two of them.
struct Rounds<'a, 'p> {
    config: &'a EngineConfig,
    options: &'a VerifyOptions,
    barrier: &'a mut Barrier,
    reporter: &'a mut Reporter<'p>,
    state: &'a TableState,
    known: Option<&'a KnownTable>,
    table: &'a TablePlan,
}

// === impl Rounds ===

impl Rounds<'_, '_> {
    async fn run(&mut self, verdict: &TableVerdict) -> Result<TableVerdict, Stop> {
        let (mut found, mut keys) = self.compare(verdict).await?;
        if self.options.repair == RepairMode::Report || found.differences_found() == 0 {
            return Ok(found);
        }
        let dry_run = self.options.repair == RepairMode::DryRun;
        let mut report =
            RepairReport { dry_run, stopped: self.cannot_be_repaired(), ..RepairReport::default() };
        if dry_run && report.stopped.is_none() {
            let TableVerdict { missing: inserted, different: updated, extra: deleted, .. } = found;
            report.rows = RepairedRows { inserted, updated, deleted, ..RepairedRows::default() };
        }
        // Each round but the last has written rows; a round takes as many as are looked at again.
        while !dry_run && report.stopped.is_none() && !keys.is_empty() {
            match self.repair(&keys).await {
                Ok(rows) => {
                    report.rows.add(&rows);
                    if rows.written() == 0 {
                        break;
                    }
                }
                Err(Stop::Table(reason)) => report.stopped = Some(reason),
                Err(stop) => return Err(stop),
            }
            (found, keys) = self.compare(verdict).await?;
        }
        Ok(TableVerdict { repair: Some(report), ..found })
    }

    async fn compare(&mut self, verdict: &TableVerdict) -> Result<(TableVerdict, Vec<Key>), Stop> {
        let comparison = Comparison {
            config: self.config,
            options: self.options,
            table: self.table,
            barrier: self.barrier,
            reporter: self.reporter,
            verdict: verdict.clone(),
            standing: Vec::new(),
        };
        comparison.run().await
    }

    /// Repairs rows, and begins anew after trouble that may pass.
    async fn repair(&mut self, keys: &[Key]) -> Result<RepairedRows, Stop> {
        self.reporter.stage(VerifyStage::Repair, keys.len() as u64);
        let subject =
            Subject { config: self.config, table: self.table, state: self.state, known: self.known };
        let mut attempt = 1;
        loop {
            match Box::pin(repair::repair(&subject, self.barrier, keys, Purpose::Repair)).await {
                Err(stop) if repair::may_try_again(&stop, attempt) => attempt += 1,
                done => return done,
            }
        }
    }

    /// Why no row of the table can be repaired.
    fn cannot_be_repaired(&self) -> Option<NotCompared> {
        let detail = "nothing tells its rows apart: `segcdc table resync` has it copied again".to_owned();
        let has_key = !self.table.key_columns().is_empty();
        (!has_key).then(|| NotCompared { code: "REPAIR_WITHOUT_KEY".to_owned(), detail })
    }
}
