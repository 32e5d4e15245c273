//! [`reach`]: waits for a connector's state.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::ConnectError;
use crate::rest::{ConnectorWord, Rest};

/// How long a connector may take to reach a state that it was asked for. A worker takes a new configuration over within
/// seconds, unless its cluster rebalances.
pub(crate) const STATE_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);

/// Waits until a connector is in a state.
///
/// # Errors
/// `CONNECTOR_STATE` when it does not get there, and when the worker cannot be asked.
pub(crate) async fn reach(rest: &Rest, connector: &str, wanted: ConnectorWord) -> Result<(), ConnectError> {
    reach_within(rest, connector, wanted, STATE_PATIENCE).await
}

/// [`reach`], with another patience.
async fn reach_within(
    rest: &Rest,
    connector: &str,
    wanted: ConnectorWord,
    patience: Duration,
) -> Result<(), ConnectError> {
    let started = Instant::now();
    loop {
        let found = rest.status(connector).await?.map(|status| status.connector.state);
        if found == Some(wanted) {
            return Ok(());
        }
        if started.elapsed() > patience {
            let found = found.map_or("not known to the worker", ConnectorWord::as_str).to_owned();
            let after_s = started.elapsed().as_secs();
            let (connector, wanted) = (connector.to_owned(), wanted.as_str());
            return Err(ConnectError::ConnectorState { connector, wanted, found, after_s });
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use segcdc_model::Fault;

    use super::*;
    use crate::rest::tests::{Server, json};

    #[tokio::test]
    async fn a_state_that_does_not_come_is_named_with_the_one_that_is() {
        let status = |state: &str| {
            json(
                200,
                &format!(r#"{{"name":"c","connector":{{"state":"{state}"}},"tasks":[],"type":"sink"}}"#),
            )
        };
        let server = Server::start(vec![status("PAUSED"), status("STOPPED"), status("RUNNING")]).await;
        reach_within(&server.client(), "c", ConnectorWord::Running, STATE_PATIENCE).await.unwrap();
        let asked = server.requests().len();
        assert_eq!(asked, 3, "it is looked at until it is there");
        let patience = PAUSE / 2;
        let late = reach_within(&server.client(), "c", ConnectorWord::Stopped, patience).await.unwrap_err();
        assert_eq!(late.code(), "CONNECTOR_STATE");
        assert!(late.to_string().contains("STOPPED") && late.to_string().contains("RUNNING"), "{late}");
        let unknown = Server::start(vec![json(
            404,
            r#"{"error_code":404,"message":"No status found for connector c"}"#,
        )])
        .await;
        let late = reach_within(&unknown.client(), "c", ConnectorWord::Running, patience).await.unwrap_err();
        assert_eq!(late.code(), "CONNECTOR_STATE");
        assert!(late.to_string().contains("not known to the worker"), "{late}");
    }
}
