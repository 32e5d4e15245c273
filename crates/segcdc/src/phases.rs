//! Phases in words.

use segcdc_model::{Phase, TablePhase};

/// A pipeline's phase in words.
pub(crate) fn pipeline(phase: Phase) -> &'static str {
    match phase {
        Phase::Setup => "setting up",
        Phase::Snapshot => "copying tables",
        Phase::CatchUp => "catching up",
        Phase::Streaming => "following",
    }
}

/// A table's phase in words.
pub(crate) fn table(phase: TablePhase) -> &'static str {
    match phase {
        TablePhase::Queued => "queued",
        TablePhase::Copying => "copying",
        TablePhase::Streaming => "live",
        TablePhase::Paused => "paused",
        TablePhase::Quarantined => "QUARANTINED",
    }
}
