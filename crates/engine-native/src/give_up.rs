//! Giving the slot up before the source's disk is full of the WAL that it keeps.
//!
//! ```text
//! target   tables QUEUED with the reason, position 0      from here on the next run copies them again
//! source   the slot is dropped                            from here on the WAL can go
//! ```
//!
//! A target that cannot be reached, which is why WAL has piled up most of the time, learns nothing of it: the next run finds
//! the slot missing, and copies the tables again if its policy is still to give up. It says so in either case.

use std::time::Duration;

use segcdc_model::{Fault, Lsn, TablePhase};
use segcdc_postgres::{session, slot};
use segcdc_sqlserver::{TableState, Target};
use tokio::time::{Instant, sleep, timeout};

use crate::context::{Context, Memory};
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::slot_watch::Reached;
use crate::wal;

/// How long the target has to take note.
const MARK_LIMIT: Duration = Duration::from_secs(10);

/// How long the source has to drop the slot: its walsender may be busy, and the source under way to a restart.
const DROP_LIMIT: Duration = Duration::from_secs(60);

/// Pause before the slot is dropped again.
const PAUSE: Duration = Duration::from_millis(200);

/// Gives the slot up. Returns why the run ends.
pub(crate) async fn give_up(context: &Context, memory: &mut Memory, reached: Reached) -> EngineError {
    let Some(slot) = context.slot_view.slot() else { return EngineError::TaskBroken { task: "slot" } };
    let error = EngineError::WalLimitReached {
        slot: slot.clone(),
        retained_bytes: reached.retained_bytes,
        limit_bytes: reached.limit_bytes,
    };
    tracing::error!(code = error.code(), "{error}");
    match timeout(MARK_LIMIT, mark(context, memory, &error)).await {
        Ok(Ok(())) => {}
        // Another process has the pipeline, and its slot.
        Ok(Err(refused)) if refused.code() == "FENCED" => return refused,
        Ok(Err(failed)) => {
            tracing::warn!(error = %failed, "the target was not told that the slot is given up")
        }
        Err(_) => tracing::warn!("the target was not told in time that the slot is given up"),
    }
    hit(Failpoint::AfterGivenUp);
    let deadline = Instant::now() + DROP_LIMIT;
    loop {
        let dropped = timeout(DROP_LIMIT, drop_slot(context, &slot)).await;
        match dropped {
            Ok(Ok(())) => return error,
            Ok(Err(failed)) if Instant::now() >= deadline => return failed,
            Ok(Err(failed)) => tracing::debug!(error = %failed, "the slot is not dropped yet"),
            Err(_) => return error,
        }
        sleep(PAUSE).await;
    }
}

/// Has the next run copy all tables again.
async fn mark(context: &Context, memory: &mut Memory, why: &EngineError) -> Result<(), EngineError> {
    let mut target = Target::connect(&context.config.target).await?;
    let state = target.known_state(&context.config.name).await?;
    memory.claim(&mut target, context).await?;
    let note = Some((wal::REACHED.to_owned(), why.to_string()));
    let queued =
        |table: &TableState| TableState { phase: TablePhase::Queued, error: note.clone(), ..table.clone() };
    let tables: Vec<TableState> = state.tables.iter().map(queued).collect();
    let lineage = memory.checkpoint()?.lineage.clone();
    // The position first: it is what counts, and with it the tables are copied again whatever their rows say.
    memory.set_lineage(&mut target, &lineage, Lsn::ZERO).await?;
    Ok(target.set_tables(memory.checkpoint()?, &tables).await?)
}

/// Drops the slot. Its walsender may take a moment to notice that nobody listens.
async fn drop_slot(context: &Context, name: &str) -> Result<(), EngineError> {
    let source = session::connect(&context.config.source).await?;
    let dropped = slot::drop(&source, name).await;
    source.close().await;
    dropped?;
    Ok(())
}
