//! [`Guard`]: guessing of passwords is slowed down, by who is guessed at and by where from.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures of one address with one name that cost nothing: people mistype.
const FREE: u32 = 5;

/// Failures of one address with whatever names that cost nothing: an office has one address.
const FREE_ADDRESS: u32 = 30;

/// Failures with one name from whatever addresses that cost nothing.
const FREE_NAME: u32 = 100;

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Failures are forgotten after so long without another.
const MEMORY: Duration = Duration::from_secs(30 * 60);

/// Most names and addresses that are remembered; who fills it pushes out the oldest, and has spent a failure for each.
const MOST: usize = 20_000;

/// Who failed how often. In memory only: a restart forgets it, which costs an attacker nothing but gives them little.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<HashMap<String, Failures>>);

/// Failures of one kind.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

// === impl Guard ===

impl Guard {
    /// How long an attempt has to wait; `None` when it may be made.
    pub(super) fn wait(&self, name: &str, address: &str, now: Instant) -> Option<Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = keys(name, address).into_iter().filter_map(|(key, free)| {
            let failures = known.get(&key)?;
            let until = failures.last + pause(failures.count, free)?;
            (until > now).then(|| until.duration_since(now))
        });
        waits.max()
    }

    /// Notes a failure.
    pub(super) fn failed(&self, name: &str, address: &str, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _free) in keys(name, address) {
            if known.len() >= MOST && !known.contains_key(&key) {
                known.retain(|_key, failures| failures.last + MEMORY > now);
                if known.len() >= MOST
                    && let Some(oldest) =
                        known.iter().min_by_key(|(_key, failures)| failures.last).map(|(key, _)| key.clone())
                {
                    known.remove(&oldest);
                }
            }
            let failures = known.entry(key).or_insert(Failures { count: 0, last: now });
            let count = if failures.last + MEMORY <= now { 0 } else { failures.count };
            *failures = Failures { count: count.saturating_add(1), last: now };
        }
    }

    /// Forgets the failures of who has come in.
    pub(super) fn succeeded(&self, name: &str, address: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [(pair, _), ..] = keys(name, address);
        known.remove(&pair);
    }
}

/// What failures are counted by, and how many of each cost nothing.
fn keys(name: &str, address: &str) -> [(String, u32); 3] {
    [
        (format!("pair {name} {address}"), FREE),
        (format!("address {address}"), FREE_ADDRESS),
        (format!("name {name}"), FREE_NAME),
    ]
}

/// The pause after so many failures: a second, doubled with each, up to [`LONGEST`].
fn pause(count: u32, free: u32) -> Option<Duration> {
    let beyond = count.checked_sub(free)?;
    let seconds = 1_u64.checked_shl(beyond).unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_gets_slower_and_others_do_not_suffer() {
        let (guard, now) = (Guard::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(guard.wait("ada", "a1", now), None);
            guard.failed("ada", "a1", now);
        }
        assert_eq!(guard.wait("ada", "a1", now), Some(Duration::from_secs(1)));
        guard.failed("ada", "a1", now);
        assert_eq!(guard.wait("ada", "a1", now), Some(Duration::from_secs(2)));
        assert_eq!(guard.wait("ada", "a2", now), None, "she herself comes in from elsewhere");
        assert_eq!(guard.wait("eve", "a1", now), None);
        assert_eq!(guard.wait("ada", "a1", now + Duration::from_secs(2)), None);
        guard.succeeded("ada", "a1");
        assert_eq!(guard.wait("ada", "a1", now), None);
    }

    #[test]
    fn many_names_from_one_address_and_many_addresses_for_one_name_are_slowed_down() {
        let (guard, now) = (Guard::default(), Instant::now());
        for number in 0..FREE_ADDRESS {
            guard.failed(&format!("n{number}"), "a1", now);
        }
        assert!(guard.wait("other", "a1", now).is_some());
        for number in 0..FREE_NAME {
            guard.failed("ada", &format!("b{number}"), now);
        }
        assert!(guard.wait("ada", "c", now).is_some());
        assert_eq!(guard.wait("ada", "c", now + MEMORY), None);
    }

    #[test]
    fn pauses_end_somewhere() {
        assert_eq!(pause(4, 5), None);
        assert_eq!(pause(5, 5), Some(Duration::from_secs(1)));
        assert_eq!(pause(u32::MAX, 5), Some(LONGEST));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (guard, now) = (Guard::default(), Instant::now());
        for number in 0..MOST / 2 + 50 {
            guard.failed("x", &format!("a{number}"), now);
        }
        assert_eq!(guard.0.lock().unwrap().len(), MOST);
    }
}
