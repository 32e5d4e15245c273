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
    let started = Instant::now();
    loop {
        let found = rest.status(connector).await?.map(|status| status.connector.state);
        if found == Some(wanted) {
            return Ok(());
        }
        if started.elapsed() > STATE_PATIENCE {
            let found = found.map_or("not known to the worker", ConnectorWord::as_str).to_owned();
            let after_s = started.elapsed().as_secs();
            let (connector, wanted) = (connector.to_owned(), wanted.as_str());
            return Err(ConnectError::ConnectorState { connector, wanted, found, after_s });
        }
        sleep(PAUSE).await;
    }
}
