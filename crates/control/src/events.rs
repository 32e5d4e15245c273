//! [`Events`]: what has happened to pipelines and operations, for those who watch. In memory and bounded: who was away for too
//! long is told so, and reads everything again.
//!
//! Events are seen by the reconciler, which looks at the store: so those of other servers of the same store are among them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::id::{PipelineId, TenantId};

/// Events that are kept for those who come back.
const KEPT: usize = 10_000;

/// Those who watch at once: each holds a connection.
const WATCHERS: usize = 200;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A pipeline stands elsewhere, was changed, made or deleted.
    Pipeline,
    /// An operation has begun, come further or ended.
    Operation,
    /// What a run shows of itself, every two seconds while it changes.
    Metric,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number since the server began, from 1.
    pub number: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is about.
    pub topic: Topic,
    /// The pipeline.
    pub pipeline: Option<PipelineId>,
    /// What there is to know, as JSON in one line.
    pub data: Arc<str>,
}

/// Where somebody was is not known here any more: another start of the server, or too long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld;

/// What has happened since the server began.
#[derive(Debug)]
pub struct Events {
    /// Tells the numbers of this start from those of others.
    start: String,
    ring: Mutex<VecDeque<Event>>,
    last: watch::Sender<u64>,
    places: Arc<Semaphore>,
    over: CancellationToken,
}

// === impl Events ===

impl Default for Events {
    fn default() -> Self {
        let start = Uuid::new_v4().simple().to_string();
        Events {
            start: start.chars().take(12).collect(),
            ring: Mutex::default(),
            last: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(WATCHERS)),
            over: CancellationToken::new(),
        }
    }
}

impl Events {
    /// Notes that something has happened.
    pub(crate) fn add(&self, tenant: TenantId, topic: Topic, pipeline: Option<PipelineId>, data: &Value) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.last() + 1;
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(Event { number, tenant, topic, pipeline, data: data.to_string().into() });
        // While the lock is held, so that numbers are in order for whoever looks.
        self.last.send_replace(number);
    }

    /// The number of the last one; 0 before the first.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Those behind a number, oldest first.
    ///
    /// # Errors
    /// [`TooOld`] when some of them are not kept any more, or the number was never given.
    pub fn after(&self, number: u64) -> Result<Vec<Event>, TooOld> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.front().map_or(1, |event| event.number);
        if number + 1 < first || number > self.last() {
            return Err(TooOld);
        }
        Ok(ring.iter().skip_while(|event| event.number <= number).cloned().collect())
    }

    /// How a number is told to those who watch.
    pub fn place(&self, number: u64) -> String {
        format!("{}-{number}", self.start)
    }

    /// The number of a place that was told.
    ///
    /// # Errors
    /// [`TooOld`] when another start of the server told it, or none.
    pub fn number(&self, place: &str) -> Result<u64, TooOld> {
        let (start, number) = place.rsplit_once('-').ok_or(TooOld)?;
        let number = number.parse().map_err(|_form| TooOld)?;
        if start == self.start { Ok(number) } else { Err(TooOld) }
    }

    /// A place among those who watch; `None` when there is none left.
    pub fn watch(&self) -> Option<(watch::Receiver<u64>, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some((self.last.subscribe(), place))
    }

    /// Is cancelled when the server ends.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }
}

// === impl Topic ===

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 3] = [Topic::Pipeline, Topic::Operation, Topic::Metric];

    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Topic::Pipeline => "pipeline",
            Topic::Operation => "operation",
            Topic::Metric => "metric",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_gets_what_came_or_is_told_that_it_is_gone() {
        let (events, tenant) = (Events::default(), TenantId::generate());
        let numbers =
            |after| events.after(after).map(|list| list.iter().map(|one| one.number).collect::<Vec<_>>());
        assert_eq!((events.last(), numbers(0)), (0, Ok(vec![])));
        for number in 0..3 {
            events.add(tenant, Topic::Metric, None, &Value::from(number));
        }
        assert_eq!(numbers(1), Ok(vec![2, 3]));
        assert_eq!(numbers(3), Ok(vec![]));
        assert_eq!(numbers(4), Err(TooOld), "never told");
        assert_eq!(events.number(&events.place(2)), Ok(2));
        for place in ["", "2", "x-2", &Events::default().place(2)] {
            assert_eq!(events.number(place), Err(TooOld), "{place}");
        }
        for number in 0..KEPT {
            events.add(tenant, Topic::Metric, None, &Value::from(number));
        }
        assert_eq!(numbers(2), Err(TooOld));
        assert_eq!(numbers(3).map(|all| all.len()), Ok(KEPT));
    }

    #[test]
    fn places_are_bounded() {
        let events = Events::default();
        let held: Vec<_> = (0..WATCHERS).map_while(|_| events.watch()).collect();
        assert_eq!((held.len(), events.watch().is_none()), (WATCHERS, true));
        drop(held);
        assert!(events.watch().is_some());
    }
}
