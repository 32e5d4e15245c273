//! [`Caretaker`]: starts failed connectors again, with growing pauses, and gives up on those that do not stay up.
//!
//! Kafka Connect never does that by itself.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::ConnectError;
use crate::rest::ConnectorWord;
use crate::status::ConnectorReport;

/// Pause before the first new start, and the longest; each doubles.
const PAUSES: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(60));

/// Starts in a row without a connector that stayed up.
const MAX_STARTS: u32 = 10;

/// How long a connector has to run before its failures are forgotten.
const RECOVERED: Duration = Duration::from_secs(120);

/// What is known of one connector.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Starts in a row.
    starts: u32,
    /// When it may be started again, since the caretaker began.
    next: Duration,
    /// Since when it has run without a failure.
    up_since: Option<Duration>,
}

/// Decides when failed connectors are started again. Has no clock of its own.
#[derive(Debug, Default)]
pub struct Caretaker {
    records: HashMap<String, Record>,
}

// === impl Caretaker ===

impl Caretaker {
    /// One that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The connectors to start again now. `elapsed`: since the first call.
    ///
    /// # Errors
    /// `CONNECTOR_TASK_FAILED` for one that failed too often, or with a cause that does not pass.
    pub fn restarts(
        &mut self,
        connectors: &[ConnectorReport],
        elapsed: Duration,
    ) -> Result<Vec<String>, ConnectError> {
        let mut restarts = Vec::new();
        for connector in connectors {
            let record = self.records.entry(connector.name.clone()).or_default();
            let Some(cause) =
                connector.cause.as_ref().filter(|_| connector.word == Some(ConnectorWord::Failed))
            else {
                let since = *record.up_since.get_or_insert(elapsed);
                if elapsed.saturating_sub(since) >= RECOVERED {
                    *record = Record { up_since: Some(since), ..Record::default() };
                }
                continue;
            };
            record.up_since = None;
            if !cause.may_pass || record.starts >= MAX_STARTS {
                return Err(ConnectError::TaskFailed {
                    tasks: connector.name.clone(),
                    times: record.starts + 1,
                    cause: format!("{} [{}]", cause.detail, cause.code),
                    advice: cause.advice.to_owned(),
                });
            }
            if elapsed >= record.next {
                let pause = PAUSES.0.saturating_mul(1 << record.starts.min(10)).min(PAUSES.1);
                record.starts += 1;
                record.next = elapsed + pause;
                restarts.push(connector.name.clone());
            }
        }
        Ok(restarts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::Role;
    use crate::trace;
    use segcdc_model::Fault;

    fn report(trace: Option<&str>) -> ConnectorReport {
        ConnectorReport {
            name: "c".to_owned(),
            role: Role::Sink,
            word: Some(if trace.is_some() { ConnectorWord::Failed } else { ConnectorWord::Running }),
            tasks: (0, 1),
            cause: trace.map(trace::cause),
            lag_messages: None,
        }
    }

    #[test]
    fn a_failed_connector_is_started_again_with_growing_pauses_and_then_given_up() {
        let mut caretaker = Caretaker::new();
        let failed = [report(Some("a.B: c"))];
        let mut starts = Vec::new();
        let mut second = 0;
        let error = loop {
            match caretaker.restarts(&failed, Duration::from_secs(second)) {
                Ok(found) if found.is_empty() => {}
                Ok(_) => starts.push(second),
                Err(error) => break error,
            }
            second += 1;
        };
        assert_eq!(starts, [0, 3, 9, 21, 45, 93, 153, 213, 273, 333]);
        assert_eq!(error.code(), "CONNECTOR_TASK_FAILED");
        assert!(!error.hint().is_empty());
    }

    #[test]
    fn one_that_stayed_up_begins_anew() {
        let mut caretaker = Caretaker::new();
        let (failed, running) = ([report(Some("a.B: c"))], [report(None)]);
        let mut restarts = |connectors: &[ConnectorReport], second| {
            caretaker.restarts(connectors, Duration::from_secs(second)).unwrap().len()
        };
        assert_eq!(restarts(&failed, 0), 1);
        assert_eq!(restarts(&running, 1), 0);
        // Not long enough: the second pause goes on.
        assert_eq!(restarts(&failed, 2), 0);
        assert_eq!(restarts(&failed, 4), 1);
        assert_eq!(restarts(&running, 5), 0);
        assert_eq!(restarts(&running, 5 + 120), 0);
        assert_eq!(restarts(&failed, 126), 1);
        assert_eq!(restarts(&failed, 128), 0);
        assert_eq!(restarts(&failed, 129), 1);
    }

    #[test]
    fn a_cause_that_does_not_pass_is_not_tried_again() {
        let lost = [report(Some("x: y, but this is no longer available on the server."))];
        let error = Caretaker::new().restarts(&lost, Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("SLOT_LOST"), "{error}");
    }
}
