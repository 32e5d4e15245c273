//! [`slot`]: a pipeline's slot, as the source tells.

use segcdc_model::Lsn;
use segcdc_postgres::{SlotState, session, slot as slots};
use segcdc_sqlserver::{PipelineState, SlotWatch, Target};
use serde::Serialize;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::note::StatusNote;
use crate::slot_view::{limits, sample};
use crate::source_clock::SourceClock;
use crate::status::load;
use crate::wal::{self, WalForecast, WalSample};

/// A pipeline's slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotReport {
    /// Name.
    pub name: String,
    /// It was made by us, and `down` removes it.
    pub ours: bool,
    /// Whether it is there.
    pub exists: bool,
    /// Process that reads it.
    pub active_pid: Option<i32>,
    /// What was acknowledged.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// Oldest WAL that it needs.
    pub restart_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why it was invalidated, where the version tells.
    pub invalidation: Option<String>,
    /// WAL that it keeps the source from removing, bytes.
    pub retained_bytes: u64,
    /// Bytes that can still be written before it is in danger; `None` when unlimited or lost.
    pub safe_wal_bytes: Option<i64>,
    /// What is to be expected of the WAL that it keeps, from when it was last looked at.
    pub forecast: WalForecast,
    /// What a person should know of that.
    pub alerts: Vec<StatusNote>,
}

// === impl SlotReport ===

impl SlotReport {
    /// Why the slot was invalidated, in the server's word; `None` for one that was not.
    pub fn lost(&self) -> Option<&str> {
        // Before PostgreSQL 17 there is no reason.
        self.invalidation.as_deref().or_else(|| self.wal_status.as_deref().filter(|status| *status == "lost"))
    }
}

/// The pipeline's slot.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline, and what keeps either server from being asked.
pub async fn slot(config: &EngineConfig) -> Result<SlotReport, EngineError> {
    let mut target = Target::connect_to_look(&config.target).await?;
    let state = load(config, &mut target).await?;
    let watch = target.slot_watch(&config.name).await?;
    let source = session::connect(&config.source).await?;
    let clock = SourceClock::read(&source).await?;
    let found = slots::inspect(&source, &state.checkpoint.lineage.slot).await?;
    source.close().await;
    Ok(slot_report(&state, found, clock, watch.as_ref()))
}

/// The slot as it was found.
pub(super) fn slot_report(
    state: &PipelineState,
    found: Option<SlotState>,
    clock: SourceClock,
    watch: Option<&SlotWatch>,
) -> SlotReport {
    let (name, ours) = (state.checkpoint.lineage.slot.clone(), state.slot_is_ours);
    let Some(slot) = found else {
        return SlotReport {
            name,
            ours,
            exists: false,
            active_pid: None,
            confirmed_flush_lsn: None,
            restart_lsn: None,
            wal_status: None,
            invalidation: None,
            retained_bytes: 0,
            safe_wal_bytes: None,
            forecast: WalForecast::default(),
            alerts: Vec::new(),
        };
    };
    let watch = watch.filter(|watch| watch.slot == name);
    let before = watch.map(|watch| WalSample {
        at_us: watch.seen_at_us,
        source_lsn: watch.source_lsn,
        retained_bytes: watch.retained_bytes,
    });
    let limits = limits(&slot, watch.and_then(|watch| watch.limit_bytes));
    let forecast = wal::forecast(before, sample(&slot, clock), limits);
    let alerts = match slot.is_lost() {
        true => Vec::new(),
        false => wal::alerts(&name, slot.retained_bytes, limits, &forecast),
    };
    SlotReport {
        name,
        ours,
        exists: true,
        active_pid: slot.active_pid,
        confirmed_flush_lsn: slot.confirmed_flush_lsn,
        restart_lsn: slot.restart_lsn,
        wal_status: slot.wal_status,
        invalidation: slot.invalidation,
        retained_bytes: slot.retained_bytes,
        safe_wal_bytes: slot.safe_wal_size,
        forecast,
        alerts,
    }
}
