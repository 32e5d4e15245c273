//! [`begin`]: lets a sink begin with the first message, once its topic is there.
//!
//! A reader that comes first would make the topic itself, with the partitions and the retention of the brokers; and one
//! that may choose where to begin would go on behind messages that Kafka has deleted, without notice. So the source makes
//! the topic, and the sink is told to begin at its start and never to choose (`auto.offset.reset=none`).

use crate::config::Spec;
use crate::error::ConnectError;
use crate::reach::reach;
use crate::rest::{ConnectorWord, Rest};

/// Lets a sink begin; `false` while its topic is not there: no row of its tables and no heartbeat has been written.
///
/// # Errors
/// What keeps the worker from being asked.
pub(crate) async fn begin(rest: &Rest, spec: &Spec, sink: &str) -> Result<bool, ConnectError> {
    let Some(index) = spec.sink_connectors.iter().position(|known| known == sink) else { return Ok(true) };
    let Some(topic) = spec.topics.get(index) else { return Ok(true) };
    if !is_there(rest, &spec.source_connector, topic).await? {
        return Ok(false);
    }
    if rest.offsets(sink).await?.is_empty() {
        let word = rest.status(sink).await?.map(|status| status.connector.state);
        if word != Some(ConnectorWord::Stopped) {
            rest.stop(sink).await?;
            reach(rest, sink, ConnectorWord::Stopped).await?;
        }
        match rest.begin_at_start(sink, topic).await {
            Ok(()) => {}
            // The brokers do not know the topic yet.
            Err(ConnectError::Answer { status: 400 | 500, message, .. }) => {
                tracing::debug!(sink, message, "the sink cannot begin yet");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    rest.resume(sink).await?;
    reach(rest, sink, ConnectorWord::Running).await?;
    Ok(true)
}

/// Whether the source has written to a topic.
async fn is_there(rest: &Rest, source: &str, topic: &str) -> Result<bool, ConnectError> {
    match rest.topics(source).await {
        Ok(topics) => Ok(topics.iter().any(|used| used == topic)),
        // A worker with topic.tracking.enable=false refuses to say; the brokers will.
        Err(ConnectError::Unauthorized { status: 403, .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
