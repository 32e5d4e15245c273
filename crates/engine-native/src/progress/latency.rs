//! [`Latency`]: how long committed transactions took to become visible in the target.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Highest latency that is told apart, microseconds: one hour. Longer ones count as this.
const MAX_US: u64 = 3_600_000_000;

/// How long the recent window reaches back, at least; it is up to twice as long.
const WINDOW: Duration = Duration::from_secs(10);

/// Latencies of the whole run, and of the last seconds.
#[derive(Debug)]
pub(crate) struct Latency {
    total: Histogram<u64>,
    current: Histogram<u64>,
    previous: Histogram<u64>,
    rotated: Instant,
}

/// Percentiles of a number of latencies, milliseconds with their fraction.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LatencySummary {
    /// Transactions.
    pub count: u64,
    /// Half of them took at most this.
    pub p50_ms: f64,
    /// 99 of 100 took at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

// === impl Latency ===

impl Latency {
    /// No latencies yet.
    pub(crate) fn new(now: Instant) -> Self {
        Latency { total: histogram(), current: histogram(), previous: histogram(), rotated: now }
    }

    /// Adds one transaction.
    pub(crate) fn record(&mut self, latency_us: u64, now: Instant) {
        self.rotate(now);
        // Saturating: there is nothing above the bound that would be dropped.
        self.total.saturating_record(latency_us.max(1));
        self.current.saturating_record(latency_us.max(1));
    }

    /// Of the whole run.
    pub(crate) fn total(&self) -> LatencySummary {
        summary(&self.total)
    }

    /// Of the last 10 to 20 seconds.
    pub(crate) fn recent(&mut self, now: Instant) -> LatencySummary {
        self.rotate(now);
        let mut both = self.current.clone();
        // Both have the same bounds, so that nothing can fail to fit.
        both.add(&self.previous).ok();
        summary(&both)
    }

    fn rotate(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.rotated);
        if age < WINDOW {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        self.current.reset();
        if age >= 2 * WINDOW {
            self.previous.reset();
        }
        self.rotated = now;
    }
}

/// An empty histogram with three significant digits, about 200 KiB.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_US, 3)
        .expect("1 to one hour with three digits are bounds that it takes")
}

fn summary(histogram: &Histogram<u64>) -> LatencySummary {
    let milliseconds = |us: u64| Duration::from_micros(us).as_secs_f64() * 1000.0;
    if histogram.is_empty() {
        return LatencySummary::default();
    }
    LatencySummary {
        count: histogram.len(),
        p50_ms: milliseconds(histogram.value_at_quantile(0.50)),
        p99_ms: milliseconds(histogram.value_at_quantile(0.99)),
        max_ms: milliseconds(histogram.max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_latencies_leave_the_window_and_stay_in_the_total() {
        let start = Instant::now();
        let mut latency = Latency::new(start);
        for us in [1_000, 2_000, 3_000] {
            latency.record(us, start);
        }
        assert_eq!((latency.recent(start).count, latency.total().count), (3, 3));
        latency.record(9_000, start + WINDOW);
        assert_eq!(latency.recent(start + WINDOW).count, 4);
        assert_eq!(latency.recent(start + 2 * WINDOW).count, 1);
        assert_eq!(latency.recent(start + 5 * WINDOW).count, 0);
        assert_eq!(latency.total().count, 4);
        assert!((latency.total().max_ms - 9.0).abs() < 0.1);
    }

    #[test]
    fn impossible_latencies_are_clamped() {
        let start = Instant::now();
        let mut latency = Latency::new(start);
        latency.record(0, start);
        latency.record(u64::MAX, start);
        assert_eq!(latency.total().count, 2);
    }
}
