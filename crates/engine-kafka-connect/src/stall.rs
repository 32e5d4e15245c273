//! [`Beats`]: whether heartbeats come through.
//!
//! A worker says RUNNING of tasks that do nothing. A heartbeat that has arrived in the target is the only proof that rows do:
//! it took the same way.

use std::time::Duration;

use segcdc_engine_native::{PipelineStateWord, StatusNote};

use crate::property::Properties;

/// The note's code.
pub(crate) const STALLED: &str = "CONNECT_STALLED";

/// How old the newest heartbeat in the target may become. One is written every five seconds, if nothing else is asked for.
const LIMIT: Duration = Duration::from_secs(60);

/// The same in heartbeats, where they are rarer.
const LIMIT_BEATS: u32 = 3;

/// The property that says how often one is written.
const INTERVAL: &str = "heartbeat.interval.ms";

/// What is known of a pipeline's heartbeats. Ages are by the clock of the server that wrote the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Beats {
    /// Age of the newest in the target; of the set-up, if none has arrived that must have by now.
    pub(crate) arrived: Option<Duration>,
    /// Age of the newest at the source.
    pub(crate) written: Option<Duration>,
    /// How old the newest in the target may become.
    pub(crate) limit: Duration,
}

/// How old the newest heartbeat may become, by the source connector's configuration.
pub(crate) fn limit(source: Option<&Properties>) -> Duration {
    let interval = source.and_then(|properties| properties.get(INTERVAL)?.parse().ok());
    LIMIT.max(Duration::from_millis(interval.unwrap_or(0)) * LIMIT_BEATS)
}

/// What becomes of the state of connectors, whatever they say themselves. Pure.
///
/// `arrived`: a heartbeat has, ever; `idle`: one of them is known to do nothing; `stalled`: no heartbeat has for too long.
pub(crate) fn settle(word: PipelineStateWord, arrived: bool, idle: bool, stalled: bool) -> PipelineStateWord {
    match word {
        PipelineStateWord::Running if idle || stalled => PipelineStateWord::Degraded,
        PipelineStateWord::Starting if idle => PipelineStateWord::Degraded,
        PipelineStateWord::Running if !arrived => PipelineStateWord::Starting,
        other => other,
    }
}

// === impl Beats ===

impl Beats {
    /// Whether too old a heartbeat is the newest that has arrived.
    pub(crate) fn have_stopped(&self) -> bool {
        self.arrived.is_some_and(|age| age > self.limit)
    }

    /// The same in words, with the half of the way that it is on.
    pub(crate) fn note(&self) -> StatusNote {
        let age = |age: Option<Duration>| age.unwrap_or_default().as_secs();
        let (detail, hint) = match self.written {
            Some(written) if written > self.limit => (
                format!(
                    "all tasks say that they run, and the source connector has written no heartbeat for {} s",
                    written.as_secs()
                ),
                "look at the worker's log for what keeps the source connector; `segcdc restart` starts its task anew",
            ),
            _ => (
                format!(
                    "all tasks say that they run, and the newest heartbeat in the target is {} s old: those that are \
                     written at the source do not come through",
                    age(self.arrived)
                ),
                "ask again: an age that goes down is a backlog that is being written. If it grows, look at the worker's \
                 log: a task that cannot reach its database says RUNNING too; `segcdc restart` starts the tasks anew, and \
                 `segcdc verify` tells what is missing",
            ),
        };
        StatusNote { code: STALLED.to_owned(), detail, hint: hint.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn beats(arrived: Option<u64>, written: Option<u64>) -> Beats {
        Beats { arrived: arrived.map(seconds), written: written.map(seconds), limit: limit(None) }
    }

    #[test]
    fn a_heartbeat_that_does_not_come_through_is_told_with_the_half_of_the_way() {
        assert!(!beats(Some(59), Some(2)).have_stopped());
        assert!(!beats(None, Some(200)).have_stopped());
        let on_the_way = beats(Some(61), Some(2));
        assert!(on_the_way.have_stopped());
        assert!(on_the_way.note().detail.contains("61 s old: those that are written"));
        // A source that cannot be asked says nothing of its half.
        assert!(beats(Some(61), None).note().detail.contains("in the target"));
        let at_the_source = beats(Some(300), Some(299));
        assert!(at_the_source.note().detail.contains("has written no heartbeat for 299 s"));
    }

    #[test]
    fn rarer_heartbeats_may_be_older() {
        let with = |value: &str| Properties::from([(INTERVAL.to_owned(), value.to_owned())]);
        assert_eq!(limit(Some(&with("5000"))), seconds(60));
        assert_eq!(limit(Some(&with("600000"))), seconds(1_800));
        assert_eq!(limit(Some(&with("x"))), seconds(60));
    }

    #[test]
    fn what_says_that_it_runs_is_believed_when_something_arrives() {
        use PipelineStateWord::{Degraded, Failed, Paused, Running, Starting};
        assert_eq!(settle(Running, true, false, false), Running);
        assert_eq!(settle(Running, false, false, false), Starting);
        assert_eq!(settle(Running, true, false, true), Degraded);
        assert_eq!(settle(Running, true, true, false), Degraded);
        assert_eq!(settle(Running, false, false, true), Degraded);
        // A pause is asked for, and what has failed has failed.
        assert_eq!(settle(Paused, true, false, true), Paused);
        assert_eq!(settle(Failed, true, true, true), Failed);
        // One whose tasks are never made is not starting.
        assert_eq!(settle(Starting, false, true, false), Degraded);
        assert_eq!(settle(Starting, false, false, true), Starting);
    }
}
