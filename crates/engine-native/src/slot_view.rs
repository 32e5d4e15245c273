//! [`SlotView`]: what a run has seen of its slot.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use segcdc_model::{Lineage, Lsn};
use segcdc_postgres::SlotState;
use segcdc_sqlserver::SlotWatch;

use crate::source_clock::SourceClock;
use crate::wal::{self, WalForecast, WalLimits, WalSample};

/// Looks that rates are told from: a minute at the usual pace.
const LOOKS: usize = 6;

/// What is seen of the slot, shared by the one who looks and those who want to know.
#[derive(Debug, Default)]
pub(crate) struct SlotView {
    seen: Mutex<Seen>,
}

/// See [`SlotView`].
#[derive(Debug, Default)]
struct Seen {
    /// The slot to look at, and the source's timeline.
    slot: Option<(String, u32)>,
    /// Looks at it, oldest first.
    looks: Vec<Look>,
}

/// One look at the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// What it keeps.
    pub(crate) sample: WalSample,
    /// What it needs.
    pub(crate) restart_lsn: Option<Lsn>,
}

// === impl SlotView ===

impl SlotView {
    /// Names the slot to look at. A pipeline that only copies has none.
    pub(crate) fn follow(&self, lineage: &Lineage) {
        let slot = (!lineage.slot.is_empty()).then(|| (lineage.slot.clone(), lineage.timeline));
        let mut seen = self.lock();
        if seen.slot != slot {
            *seen = Seen { slot, looks: Vec::new() };
        }
    }

    /// What the target's state is to hold of it; `None` before the second look.
    ///
    /// The position that the slot cannot go back behind is that of the look before the last: the server writes it to its
    /// disk at once, but shows it a moment before.
    pub(crate) fn to_store(&self, limit_bytes: Option<u64>) -> Option<SlotWatch> {
        let seen = self.lock();
        let (slot, timeline) = seen.slot.clone()?;
        let [.., before, last] = seen.looks.as_slice() else { return None };
        let restart_lsn = before.restart_lsn?;
        let WalSample { at_us: seen_at_us, source_lsn, retained_bytes } = last.sample;
        Some(SlotWatch { slot, timeline, restart_lsn, seen_at_us, source_lsn, retained_bytes, limit_bytes })
    }

    /// Takes a look in, and says what is to be expected.
    pub(crate) fn take(&self, look: Look, limits: WalLimits) -> WalForecast {
        let mut seen = self.lock();
        let before = seen.looks.first().map(|look| look.sample);
        seen.looks.push(look);
        let surplus = seen.looks.len().saturating_sub(LOOKS);
        seen.looks.drain(..surplus);
        wal::forecast(before, look.sample, limits)
    }

    /// The slot to look at.
    pub(crate) fn slot(&self) -> Option<String> {
        self.lock().slot.as_ref().map(|(slot, _)| slot.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sample of a look.
pub(crate) fn sample(state: &SlotState, clock: SourceClock) -> WalSample {
    WalSample {
        at_us: clock.at(Instant::now()),
        source_lsn: state.source_lsn,
        retained_bytes: state.retained_bytes,
    }
}

/// What limits a slot.
pub(crate) fn limits(state: &SlotState, own: Option<u64>) -> WalLimits {
    WalLimits { server: state.limit_bytes, server_left: state.safe_wal_size, own }
}
