//! Named points at which a test can make the process die.
//!
//! Compiled in with the cargo feature `failpoints` only. `SEGCDC_FAILPOINT=name` aborts the process when it comes to
//! the point for the first time, `name:3` when for the third time. Nothing is flushed and no destructor runs: for both
//! servers it is a kill.

/// The points, in the order in which a pipeline's life passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failpoint {
    AfterStateRow,
    AfterTableRows,
    AfterPublication,
    AfterTargetTables,
    AfterSlot,
    AfterLineage,
    AfterCopyBegun,
    MidCopy,
    AfterCopyBeforeKey,
    BeforeMarkStreaming,
    AfterTableFinished,
    BeforeApply,
    InTrial,
    BetweenParts,
    BeforeAlter,
    AfterAlter,
    AfterCommitBeforeAck,
    AfterAck,
    BeforeIdleAdvance,
    AfterIdleAdvance,
    BeforeQuarantine,
    AfterQuarantine,
    AfterSlotDropped,
    AfterGivenUp,
    BeforeResyncStored,
    AfterResyncStored,
    BesideStopped,
    BesideCopied,
    BesideReplaced,
    BesideCaughtUp,
    BesideHandedOver,
    AfterPaused,
    AfterUnpublished,
}

/// Dies here if it was asked for.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn hit(_: Failpoint) {}

#[cfg(feature = "failpoints")]
pub(crate) use enabled::hit;

#[cfg(feature = "failpoints")]
mod enabled {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Failpoint;

    /// How often the process came to the chosen point.
    static HITS: AtomicU32 = AtomicU32::new(0);

    /// Dies here if it was asked for.
    pub(crate) fn hit(point: Failpoint) {
        let Ok(wanted) = std::env::var("SEGCDC_FAILPOINT") else { return };
        let (name, nth) = wanted.split_once(':').unwrap_or((wanted.as_str(), "1"));
        if name == word(point) && HITS.fetch_add(1, Ordering::SeqCst) + 1 == nth.parse().unwrap_or(1) {
            tracing::error!(point = name, "the process dies here, as it was told");
            std::process::abort();
        }
    }

    /// The word in the environment variable.
    fn word(point: Failpoint) -> &'static str {
        match point {
            Failpoint::AfterStateRow => "after_state_row",
            Failpoint::AfterTableRows => "after_table_rows",
            Failpoint::AfterPublication => "after_publication",
            Failpoint::AfterTargetTables => "after_target_tables",
            Failpoint::AfterSlot => "after_slot",
            Failpoint::AfterLineage => "after_lineage",
            Failpoint::AfterCopyBegun => "after_copy_begun",
            Failpoint::MidCopy => "mid_copy",
            Failpoint::AfterCopyBeforeKey => "after_copy_before_key",
            Failpoint::BeforeMarkStreaming => "before_mark_streaming",
            Failpoint::AfterTableFinished => "after_table_finished",
            Failpoint::BeforeApply => "before_apply",
            Failpoint::InTrial => "in_trial",
            Failpoint::BetweenParts => "between_parts",
            Failpoint::BeforeAlter => "before_alter",
            Failpoint::AfterAlter => "after_alter",
            Failpoint::AfterCommitBeforeAck => "after_commit_before_ack",
            Failpoint::AfterAck => "after_ack",
            Failpoint::BeforeIdleAdvance => "before_idle_advance",
            Failpoint::AfterIdleAdvance => "after_idle_advance",
            Failpoint::BeforeQuarantine => "before_quarantine",
            Failpoint::AfterQuarantine => "after_quarantine",
            Failpoint::AfterSlotDropped => "after_slot_dropped",
            Failpoint::AfterGivenUp => "after_given_up",
            Failpoint::BeforeResyncStored => "before_resync_stored",
            Failpoint::AfterResyncStored => "after_resync_stored",
            Failpoint::BesideStopped => "beside_stopped",
            Failpoint::BesideCopied => "beside_copied",
            Failpoint::BesideReplaced => "beside_replaced",
            Failpoint::BesideCaughtUp => "beside_caught_up",
            Failpoint::BesideHandedOver => "beside_handed_over",
            Failpoint::AfterPaused => "after_paused",
            Failpoint::AfterUnpublished => "after_unpublished",
        }
    }
}
