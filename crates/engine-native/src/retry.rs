//! [`Pauses`]: how long to wait before each new attempt.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::config::RetryPolicy;

/// The pauses of one episode of trouble: each about twice the last one, varied by chance so that many pipelines that
/// lost the same server do not come back at the same moment.
#[derive(Debug)]
pub(crate) struct Pauses {
    pauses: ExponentialBackoff,
    max_attempts: Option<u32>,
    taken: u32,
}

// === impl Pauses ===

impl Pauses {
    /// A new episode.
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(policy.first_pause)
            .with_max_delay(policy.longest_pause)
            .with_jitter()
            .without_max_times()
            .build();
        Pauses { pauses, max_attempts: policy.max_attempts, taken: 0 }
    }

    /// The next pause; `None` when there were enough.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        if self.max_attempts.is_some_and(|max| self.taken >= max) {
            return None;
        }
        self.taken += 1;
        self.pauses.next()
    }

    /// Pauses taken in this episode.
    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_end_when_bounded() {
        let policy = RetryPolicy {
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(1),
            max_attempts: Some(8),
        };
        let mut pauses = Pauses::new(policy);
        let taken: Vec<Duration> = std::iter::from_fn(|| pauses.next()).collect();
        assert_eq!(taken.len(), 8);
        assert!(taken.iter().all(|pause| *pause >= policy.first_pause && *pause <= 2 * policy.longest_pause));
        assert!(taken.last() >= Some(&policy.longest_pause));
        assert_eq!(pauses.taken(), 8);
    }

    #[test]
    fn unbounded_pauses_do_not_end() {
        let mut pauses = Pauses::new(RetryPolicy::default());
        assert!((0..10_000).all(|_| pauses.next().is_some()));
    }
}
