//! [`Timeline`]: throughput and lag over time, seen from outside of the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_postgres::Client;

use crate::target::TargetSession;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(100);
/// Seconds that a point of the throughput is the mean of.
const WINDOW: f64 = 0.5;

/// Transactions at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Seconds since the beginning.
    pub(super) at: f64,
    /// The last one that the source has committed.
    pub(super) committed: i64,
    /// The last one that is visible in the target.
    pub(super) visible: i64,
}

/// A timeline that is being taken.
pub(super) struct Timeline {
    stop: Arc<AtomicBool>,
    begun: Instant,
    watcher: JoinHandle<Result<Vec<Sample>>>,
}

/// What can be drawn: points of seconds and values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Curves {
    /// Transactions a second that became visible.
    pub(super) throughput: Vec<(f64, f64)>,
    /// Seconds since the oldest transaction was committed that is not visible.
    pub(super) lag: Vec<(f64, f64)>,
}

// === impl Timeline ===

impl Timeline {
    /// Begins to look at the greatest number in both tables.
    pub(super) fn start(source: Client, mut target: TargetSession) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let begun = Instant::now();
        let watcher = tokio::spawn(async move {
            let mut samples = Vec::new();
            let mut clock = interval(PERIOD);
            clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while !stopped.load(Ordering::Acquire) {
                clock.tick().await;
                // The target first: what is visible there was committed before.
                let visible =
                    target.number("SELECT MAX([id]) FROM [dbo].[narrow]").await?.unwrap_or_default();
                let committed = source.query_one("SELECT max(id) FROM narrow", &[]).await?.get(0);
                samples.push(Sample { at: begun.elapsed().as_secs_f64(), committed, visible });
            }
            Ok(samples)
        });
        Timeline { stop, begun, watcher }
    }

    /// Seconds since it began.
    pub(super) fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Ends.
    pub(super) async fn finish(self) -> Result<Vec<Sample>> {
        self.stop.store(true, Ordering::Release);
        self.watcher.await?
    }
}

/// The curves of samples.
#[expect(clippy::cast_precision_loss, reason = "counts, far below 2^52")]
pub(super) fn curves(samples: &[Sample]) -> Curves {
    let mut curves = Curves::default();
    // The sample in which the source had first committed more than what is visible now, and the one a window ago.
    let (mut oldest, mut window) = (0, 0);
    for sample in samples {
        while samples.get(oldest).is_some_and(|then| then.committed <= sample.visible && then.at < sample.at)
        {
            oldest += 1;
        }
        let since = samples.get(oldest).filter(|then| then.committed > sample.visible);
        curves.lag.push((sample.at, since.map_or(0.0, |then| sample.at - then.at)));
        while samples.get(window + 1).is_some_and(|then| sample.at - then.at >= WINDOW) {
            window += 1;
        }
        if let Some(then) = samples.get(window).filter(|then| sample.at > then.at) {
            let rate = (sample.visible - then.visible) as f64 / (sample.at - then.at);
            curves.throughput.push((sample.at, rate));
        }
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_what_is_not_visible_and_throughput_what_became_visible() {
        let sample = |at, committed, visible| Sample { at, committed, visible };
        let samples = [
            sample(0.0, 100, 100),
            sample(1.0, 200, 200),
            // The target stands still for two seconds, then it catches up.
            sample(2.0, 300, 200),
            sample(3.0, 400, 200),
            sample(4.0, 500, 500),
        ];
        let Curves { throughput, lag } = curves(&samples);
        assert_eq!(lag, [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 1.0), (4.0, 0.0)]);
        assert_eq!(throughput, [(1.0, 100.0), (2.0, 0.0), (3.0, 0.0), (4.0, 300.0)]);
        assert_eq!(curves(&[]), Curves::default());
    }
}
