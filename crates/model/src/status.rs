//! Phases: where a pipeline and each of its tables stand.

use serde::{Deserialize, Serialize};

/// Where a running pipeline stands. Set by the engine, stored nowhere: it follows from the tables' phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Checking, creating slot, publication, tables.
    Setup,
    /// At least one table is being copied.
    Snapshot,
    /// All tables are copied; changes made meanwhile are being applied.
    CatchUp,
    /// Applied up to what the source had when catch-up ended; following.
    Streaming,
}

/// Where one table stands. Stored in the target's `segcdc.pipeline_table` by the engine, in the same transaction as
/// what it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TablePhase {
    /// Known, not begun. Also after an interrupted copy.
    Queued,
    /// Being copied; its rows in the target are incomplete and are discarded by the next start.
    Copying,
    /// Live: changes with an end LSN above its sync LSN are applied.
    Streaming,
    /// Set aside on request: its changes are not applied, and its rows stay as of its sync LSN.
    Paused,
    /// Halted by a named error; its changes are not applied.
    Quarantined,
}

// === impl TablePhase ===

impl TablePhase {
    /// The word stored in the target.
    pub const fn as_str(self) -> &'static str {
        match self {
            TablePhase::Queued => "QUEUED",
            TablePhase::Copying => "COPYING",
            TablePhase::Streaming => "STREAMING",
            TablePhase::Paused => "PAUSED",
            TablePhase::Quarantined => "QUARANTINED",
        }
    }

    /// The phase that a stored word means, `None` for a word of a newer version.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "QUEUED" => TablePhase::Queued,
            "COPYING" => TablePhase::Copying,
            "STREAMING" => TablePhase::Streaming,
            "PAUSED" => TablePhase::Paused,
            "QUARANTINED" => TablePhase::Quarantined,
            _ => return None,
        })
    }
}
