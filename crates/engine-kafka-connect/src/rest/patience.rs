//! [`Patience`]: how long is waited for what passes by itself, and [`Attempts`]: what came of one request so far.

use std::time::Duration;

use hyper::Method;
use tokio::time::{Instant, sleep};

use crate::error::ConnectError;
use crate::http::Answer;
use crate::rest::answer;

/// How long is waited for what passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a cluster that rebalances, and for a worker that refuses what it will take in a moment. Kafka Connect waits five
    /// minutes for a worker that left; what changes something is refused only for the seconds in which the group joins.
    pub rebalance: Duration,
    /// For a worker that has answered before and now is gone: about as long as one takes to start.
    pub outage: Duration,
    /// For a worker that answers 500 each time: some requests are answered so while the group joins, and what does not pass
    /// is to be told soon.
    pub error: Duration,
    /// Pause before the second attempt; it doubles with each.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
}

/// How long one request has been tried, and why it is tried again.
pub(super) struct Attempts {
    pub(super) request: String,
    started: Instant,
    /// Since when nothing came but errors 500.
    erring_since: Option<Instant>,
    pause: Duration,
    longest_pause: Duration,
    /// A worker that gave no answer, or an error, may have done what it was asked for.
    pub(super) may_be_done: bool,
}

/// Whether an error 500 to this request may pass by itself. Of a changed progress and of a configuration to be checked the
/// worker says with it what is the matter, and the caller knows what that means.
pub(super) fn may_pass(method: &Method, path: &[&str]) -> bool {
    match path.last().copied() {
        Some("validate") => false,
        Some("offsets") => method == Method::GET,
        Some(_) | None => true,
    }
}

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Patience {
            rebalance: Duration::from_secs(60),
            outage: Duration::from_secs(60),
            error: Duration::from_secs(20),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(3),
        }
    }
}

// === impl Attempts ===

impl Attempts {
    /// None yet.
    pub(super) fn new(request: String, patience: &Patience) -> Self {
        Attempts {
            request,
            started: Instant::now(),
            erring_since: None,
            pause: patience.first_pause,
            longest_pause: patience.longest_pause,
            may_be_done: false,
        }
    }

    /// How long it has been tried.
    pub(super) fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Whether it is tried again after a refusal.
    pub(super) fn bears_rebalance(&self, patience: Duration) -> bool {
        self.started.elapsed() + self.pause <= patience
    }

    /// Whether it is tried again when nobody is there.
    pub(super) fn bears_outage(&mut self, patience: Duration) -> bool {
        self.erring_since = None;
        self.bears_rebalance(patience)
    }

    /// Whether there was an error 500, and it is tried again.
    pub(super) fn bears_error(&mut self, errs: bool, patience: Duration) -> bool {
        if !errs {
            self.erring_since = None;
            return false;
        }
        let since = *self.erring_since.get_or_insert_with(Instant::now);
        since.elapsed() + self.pause <= patience
    }

    /// The error that an answer is.
    pub(super) fn error(&self, answer: &Answer) -> ConnectError {
        let message = answer::message(&answer.body);
        ConnectError::Answer { status: answer.status, request: self.request.clone(), message }
    }

    /// Waits until the next attempt.
    pub(super) async fn pause(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.longest_pause);
    }
}
