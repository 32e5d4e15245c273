//! [`acknowledgeable`]: the one place that decides what may be reported to the slot.
//!
//! What is acknowledged can never be sent again, so nothing is acknowledged that the target's checkpoint row does
//! not hold, idle advances included: those are written to the checkpoint first and acknowledged afterwards.

use segcdc_model::Lsn;
use segcdc_model::mutant::{Mutant, is_planted};

/// What the engine knows about the stream at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// The highest position acknowledged on this connection, [`Lsn::ZERO`] before the first.
    pub acknowledged: Lsn,
    /// WAL end of the newest keepalive that arrived while no transaction was open or buffered in the stream, and
    /// behind every transaction received so far; `None` when something arrived after it.
    pub idle_wal_end: Option<Lsn>,
    /// Transactions received and not yet part of a batch.
    pub buffered_transactions: usize,
    /// Batches being applied, those of unknown outcome included.
    pub batches_in_flight: usize,
}

/// What to do about the slot now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acknowledgement {
    /// Report this position as flushed.
    pub report: Option<Lsn>,
    /// Write this position to the target's checkpoint; it may be reported once that has committed.
    pub advance: Option<Lsn>,
}

/// Decides what may be reported, and whether an idle stream lets the checkpoint advance.
///
/// `applied` is what the target's checkpoint row durably holds. `report` is `applied` or nothing, never more and never
/// less than what was reported before. `advance` is given only when everything that was received is in the target.
pub fn acknowledgeable(applied: Lsn, stream: StreamState) -> Acknowledgement {
    let applied = match stream.idle_wal_end {
        Some(wal_end) if is_planted(Mutant::AcknowledgeEarly) => applied.max(wal_end),
        Some(_) | None => applied,
    };
    let nothing_pending = stream.buffered_transactions == 0 && stream.batches_in_flight == 0;
    Acknowledgement {
        report: (applied > stream.acknowledged).then_some(applied),
        advance: stream.idle_wal_end.filter(|wal_end| nothing_pending && *wal_end > applied),
    }
}
