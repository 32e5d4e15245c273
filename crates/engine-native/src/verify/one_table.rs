//! One table: what is compared of it, some of its rows compared, and where that is asked for, repaired and compared again until
//! nothing is left that can be mended.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use segcdc_model::TablePhase;
use segcdc_plan::{OnChange, TableKey};
use segcdc_sqlserver::TableState;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::verify::barrier::Barrier;
use crate::verify::count::count_table;
use crate::verify::found::Found;
use crate::verify::key_range::KeyRange;
use crate::verify::planned::{changed_meanwhile, planned};
use crate::verify::read::{Key, Stop};
use crate::verify::repair::{self, Purpose, Subject};
use crate::verify::reporter::Reporter;
use crate::verify::shared::{Shared, TableWork};
use crate::verify::table::Comparison;
use crate::verify::{
    APPEND_ONLY, NotCompared, RepairMode, RepairReport, RepairedRows, VerifyBy, VerifyStage,
};

/// What is compared of a table, the `at`th of all; or why nothing is.
///
/// # Errors
/// When a server cannot be asked.
pub(super) async fn prepare(
    config: &EngineConfig,
    barrier: &mut Barrier,
    state: &TableState,
    at: usize,
) -> Result<Result<TableWork, NotCompared>, EngineError> {
    let phase = barrier.phase(state.source_oid).await?;
    if let Some(reason) = reason_to_leave_out(phase, state) {
        return Ok(Err(reason));
    }
    let known = barrier.known_table(state.source_oid).await?;
    let plan = match planned(config, barrier, state, known.as_ref()).await? {
        Ok(plan) => plan,
        Err(reason) => return Ok(Err(reason)),
    };
    if plan.key == TableKey::AppendOnly(OnChange::Ignore) && barrier.has_left_out(state.source_oid).await? {
        let detail = "changes of its rows were left out on purpose (--append-only): the target has rows as they were inserted";
        return Ok(Err(NotCompared { code: APPEND_ONLY.to_owned(), detail: detail.to_owned() }));
    }
    Ok(Ok(TableWork {
        at,
        state: state.clone(),
        known,
        plan,
        looked_at: AtomicUsize::new(0),
        rows_done: AtomicU64::new(0),
    }))
}

/// Why what was found of a table says nothing: it was set aside in the meantime, and so not followed to the end, or changed.
///
/// # Errors
/// When the target cannot be asked.
pub(super) async fn spoiled(
    barrier: &mut Barrier,
    work: &TableWork,
) -> Result<Option<NotCompared>, EngineError> {
    let phase = barrier.phase(work.state.source_oid).await?;
    let now = barrier.known_table(work.state.source_oid).await?;
    let left_out = reason_to_leave_out(phase, &work.state);
    Ok(left_out.or_else(|| changed_meanwhile(work.known.as_ref(), now.as_ref())))
}

/// Compares rows of a table as the user wants it, and repairs them where that is asked for.
///
/// # Errors
/// [`Stop::Table`] when the table cannot be compared; [`Stop::All`].
pub(super) async fn compare(
    shared: &Shared,
    work: &TableWork,
    range: KeyRange,
    barrier: &mut Barrier,
    reporter: &mut Reporter,
) -> Result<Found, Stop> {
    let found = match shared.options.by {
        VerifyBy::Count => count_table(shared, work, barrier, reporter).await,
        VerifyBy::Rows => Rounds { shared, work, range, barrier, reporter }.run().await,
    };
    match found {
        Err(Stop::TooMany) => {
            let detail = "it does not fit into the memory that was allowed, however it is divided".to_owned();
            Err(Stop::table("MEMORY", detail))
        }
        found => found,
    }
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

/// Comparisons of the same rows, with a repair between two of them.
struct Rounds<'a> {
    shared: &'a Shared,
    work: &'a TableWork,
    range: KeyRange,
    barrier: &'a mut Barrier,
    reporter: &'a mut Reporter,
}

// === impl Rounds ===

impl Rounds<'_> {
    async fn run(&mut self) -> Result<Found, Stop> {
        let mode = self.shared.options.repair;
        let mut found = self.compare().await?;
        if mode == RepairMode::Report || found.differences_found() == 0 {
            return Ok(found);
        }
        let dry_run = mode == RepairMode::DryRun;
        let mut report =
            RepairReport { dry_run, stopped: self.cannot_be_repaired(), ..RepairReport::default() };
        if dry_run && report.stopped.is_none() {
            let Found { missing: inserted, different: updated, extra: deleted, .. } = found;
            report.rows = RepairedRows { inserted, updated, deleted, ..RepairedRows::default() };
        }
        // Each round but the last has written rows; a round takes as many as are looked at again.
        while !dry_run && report.stopped.is_none() && !found.standing.is_empty() {
            match self.repair(&found.standing).await {
                Ok(rows) => {
                    report.rows.add(&rows);
                    if rows.written() == 0 {
                        break;
                    }
                }
                Err(Stop::Table(reason)) => report.stopped = Some(reason),
                Err(stop) => return Err(stop),
            }
            found = self.compare().await?;
        }
        Ok(Found { repair: Some(report), ..found })
    }

    async fn compare(&mut self) -> Result<Found, Stop> {
        let comparison = Comparison {
            shared: self.shared,
            work: self.work,
            range: self.range,
            barrier: self.barrier,
            reporter: self.reporter,
            found: Found::default(),
        };
        comparison.run().await
    }

    /// Repairs rows, and begins anew after trouble that may pass.
    async fn repair(&mut self, keys: &[Key]) -> Result<RepairedRows, Stop> {
        let _alone = self.shared.repairing.lock().await;
        self.reporter.stage(VerifyStage::Repair, keys.len() as u64);
        let work = self.work;
        let subject = Subject {
            config: &self.shared.config,
            table: &work.plan,
            state: &work.state,
            known: work.known.as_ref(),
        };
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
        let has_key = !self.work.plan.key_columns().is_empty();
        (!has_key).then(|| NotCompared { code: "REPAIR_WITHOUT_KEY".to_owned(), detail })
    }
}
