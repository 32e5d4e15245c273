//! [`Throttle`]: how much a copy may take from the source in a second, all of its readers together.
//!
//! ```text
//! reader: batch ---> pass(rows, bytes) ---> loader          the account of all readers:
//! reader: batch ---> pass(rows, bytes) ---> loader          paid up to ----|now|----> ahead: whoever comes now waits
//! ```
//!
//! What is not read is not sent: the server waits with us, and reads no further. Only what the sockets' buffers hold, some MiB
//! a reader at most, it has read before it waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The most of a second that may be taken at once by whoever took nothing before.
const BURST: Duration = Duration::from_millis(100);

/// What a copy may take in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// Rows.
    RowsPerSecond(u64),
    /// Bytes of rows, as they come.
    BytesPerSecond(u64),
}

/// What all readers of a copy have taken.
#[derive(Debug)]
pub(crate) struct Account {
    throttle: Throttle,
    /// When what was taken is paid.
    paid: Mutex<Instant>,
}

// === impl Throttle ===

impl Throttle {
    /// How long so much may take at least.
    pub(crate) fn least(self, rows: u64, bytes: u64) -> Duration {
        let (amount, per_second) = match self {
            Throttle::RowsPerSecond(limit) => (rows, limit),
            Throttle::BytesPerSecond(limit) => (bytes, limit),
        };
        let per_second = u128::from(per_second.max(1));
        let nanoseconds = u128::from(amount) * 1_000_000_000 / per_second;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

// === impl Account ===

impl Account {
    /// Nothing was taken.
    pub(crate) fn new(throttle: Throttle) -> Self {
        Account { throttle, paid: Mutex::new(Instant::now()) }
    }

    /// Takes so much, and waits until more may be taken. Cancel-safe: what was taken counts.
    pub(crate) async fn pass(&self, rows: u64, bytes: u64) {
        let until = self.take(Instant::now(), rows, bytes);
        sleep_until(until).await;
    }

    /// Takes so much at a moment. Returns when more may be taken.
    fn take(&self, now: Instant, rows: u64, bytes: u64) -> Instant {
        // A panic while it was held cannot leave it half-changed, so poison is no reason to stop.
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = now.checked_sub(BURST).map_or(*paid, |earliest| earliest.max(*paid));
        *paid = begin.checked_add(self.throttle.least(rows, bytes)).unwrap_or(begin);
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long `batches` take that come one after the other, each as soon as the one before has passed.
    fn time(throttle: Throttle, batches: &[(u64, u64)]) -> Duration {
        let account = Account::new(throttle);
        let begin = Instant::now();
        let passed = |now: Instant, (rows, bytes): &(u64, u64)| account.take(now, *rows, *bytes).max(now);
        batches.iter().fold(begin, passed).duration_since(begin)
    }

    #[test]
    fn so_much_takes_so_long() {
        let check = |throttle, batches: &[(u64, u64)], expected_ms: u64| {
            let (found, expected) = (time(throttle, batches), Duration::from_millis(expected_ms));
            let least = expected.saturating_sub(BURST);
            assert!(found >= least && found <= expected, "{found:?} {expected:?}");
        };
        check(Throttle::RowsPerSecond(1000), &[(500, 9), (1500, 9)], 2000);
        check(Throttle::BytesPerSecond(1 << 20), &[(1, 3 << 20)], 3000);
        check(Throttle::RowsPerSecond(1), &[(3, 0)], 3000);
        check(Throttle::RowsPerSecond(u64::MAX), &[(u64::MAX, 0)], 1000);
        check(Throttle::BytesPerSecond(1 << 40), &[(1 << 20, 1 << 20)], 1);
        check(Throttle::RowsPerSecond(10), &[(1, 0); 40], 4000);
    }

    #[test]
    fn readers_share_it() {
        let account = Account::new(Throttle::RowsPerSecond(100));
        let begin = Instant::now();
        let mut readers = [begin; 3];
        for _ in 0..10 {
            for reader in &mut readers {
                *reader = account.take(*reader, 10, 0).max(*reader);
            }
        }
        let last = readers.into_iter().max().unwrap_or(begin);
        assert!(last.duration_since(begin) >= Duration::from_secs(3) - BURST);
    }

    #[test]
    fn what_was_not_taken_is_not_saved_up() {
        let account = Account::new(Throttle::RowsPerSecond(10));
        let later = Instant::now() + Duration::from_secs(3600);
        assert!(account.take(later, 20, 0).duration_since(later) >= Duration::from_secs(2) - BURST);
    }
}
