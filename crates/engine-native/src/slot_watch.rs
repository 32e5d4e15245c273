//! Watching the WAL that the slot keeps, for as long as a run goes on.
//!
//! On a session of its own, so that it is seen while the target is away too: that is when WAL grows. What is seen goes
//! into `progress`, and into the target's state with the heartbeats of the apply loop, where it serves twice: `status`
//! tells rates from it, and a start finds out by it that the source's slot has gone back, as in a restored backup.

use std::time::Duration;

use segcdc_model::Lineage;
use segcdc_postgres::{Session, SlotState, SourceError, session, slot};
use segcdc_sqlserver::SlotWatch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::EngineConfig;
use crate::context::Context;
use crate::error::EngineError;
use crate::slot_view::{Look, limits, sample};
use crate::source_clock::SourceClock;
use crate::wal::{self, SlotWal, WalPolicy, WalSample};

/// How long a look may take before its session is given up.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// The pipeline's own limit is reached, and its policy is to give the slot up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    /// What the slot keeps, bytes.
    pub(crate) retained_bytes: u64,
    /// The limit, bytes.
    pub(crate) limit_bytes: u64,
}

/// Looks again and again; ends when the pipeline is to give its slot up. A source that cannot be asked is asked again.
pub(crate) async fn watch(context: &Context) -> Reached {
    let mut ticks = interval(context.config.heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut session = None;
    loop {
        ticks.tick().await;
        let Some(name) = context.slot_view.slot() else { continue };
        let found = match timeout(LOOK_LIMIT, look(&context.config, &mut session, &name)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "the slot cannot be looked at");
                session = None;
                continue;
            }
            Err(_) => {
                session = None;
                continue;
            }
        };
        let Some((sample, state)) = found else { continue };
        if let Some(reached) = note(context, &name, sample, &state) {
            return reached;
        }
    }
}

/// Shows what was seen; says when it is too much.
fn note(context: &Context, name: &str, sample: WalSample, state: &SlotState) -> Option<Reached> {
    let own = context.config.wal.max_retained_bytes;
    let limits = limits(state, own);
    let forecast = context.slot_view.take(Look { sample, restart_lsn: state.restart_lsn }, limits);
    let retained_bytes = sample.retained_bytes;
    let alerts = wal::alerts(name, retained_bytes, limits, &forecast);
    context.progress.update(|snapshot| {
        let known = snapshot.wal.as_ref().map(|wal| wal.alerts.as_slice()).unwrap_or_default();
        for alert in &alerts {
            if !known.iter().any(|known| known.code == alert.code) {
                tracing::warn!(code = alert.code, hint = alert.hint, "{}", alert.detail);
            }
        }
        snapshot.wal = Some(SlotWal { slot: name.to_owned(), retained_bytes, forecast, alerts });
    });
    let limit_bytes = own.filter(|_| wal::is_reached(retained_bytes, own))?;
    (context.config.wal.policy == WalPolicy::GiveUp).then_some(Reached { retained_bytes, limit_bytes })
}

/// Looks once; `None` when there is no such slot.
async fn look(
    config: &EngineConfig,
    session: &mut Option<Session>,
    name: &str,
) -> Result<Option<(WalSample, SlotState)>, SourceError> {
    let session = match session {
        Some(session) => session,
        None => session.insert(session::connect(&config.source).await?),
    };
    let clock = SourceClock::read(session).await?;
    let Some(state) = slot::inspect(session, name).await? else { return Ok(None) };
    Ok(Some((sample(&state, clock), state)))
}

/// What the target's state is to hold of a slot that nobody reads any more: whatever the server shows of it is on its disk.
///
/// # Errors
/// The source's.
pub(crate) async fn look_at_rest(
    source: &Session,
    lineage: &Lineage,
    limit_bytes: Option<u64>,
) -> Result<Option<SlotWatch>, EngineError> {
    let clock = SourceClock::read(source).await?;
    let Some(state) = slot::inspect(source, &lineage.slot).await? else { return Ok(None) };
    let Some(restart_lsn) = state.restart_lsn.filter(|_| state.active_pid.is_none()) else { return Ok(None) };
    let WalSample { at_us: seen_at_us, source_lsn, retained_bytes } = sample(&state, clock);
    let (slot, timeline) = (lineage.slot.clone(), lineage.timeline);
    Ok(Some(SlotWatch { slot, timeline, restart_lsn, seen_at_us, source_lsn, retained_bytes, limit_bytes }))
}
