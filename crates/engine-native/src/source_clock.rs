//! [`SourceClock`]: the source's time, told by our own steady clock.
//!
//! Latency is the difference of two readings of one clock, the source's: when a transaction was committed and when it
//! became visible in the target. Our own wall clock may be wrong by days and does not matter.

use std::time::{Duration, Instant};

use segcdc_postgres::{Session, SourceError};

/// One reading of the source's clock, and when it was made by ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceClock {
    /// Microseconds since 2000-01-01 UTC.
    source_us: i64,
    read: Instant,
}

/// Microseconds since 2000-01-01 UTC, as text without a fraction.
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp() - timestamptz '2000-01-01 00:00:00+00') \
     * 1000000)::int8";

// === impl SourceClock ===

impl SourceClock {
    /// Reads the source's clock; half of the round trip is taken for the way back.
    pub(crate) async fn read(session: &Session) -> Result<Self, SourceError> {
        let asked = Instant::now();
        let rows = session.query_text(NOW).await?;
        let text = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        let source_us = text.and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok(SourceClock { source_us, read: asked + asked.elapsed() / 2 })
    }

    /// A clock that says this now.
    #[cfg(test)]
    pub(crate) fn says(source_us: i64) -> Self {
        SourceClock { source_us, read: Instant::now() }
    }

    /// The source's time at `moment`, microseconds since 2000-01-01 UTC.
    pub(crate) fn at(&self, moment: Instant) -> i64 {
        let signed = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match moment.checked_duration_since(self.read) {
            Some(later) => self.source_us.saturating_add(signed(later)),
            None => self.source_us.saturating_sub(signed(self.read.saturating_duration_since(moment))),
        }
    }

    /// Time from `commit_time_us` to `moment`, microseconds; 0 when the clocks say that it is negative.
    pub(crate) fn since(&self, commit_time_us: i64, moment: Instant) -> u64 {
        u64::try_from(self.at(moment).saturating_sub(commit_time_us)).unwrap_or(0)
    }
}
