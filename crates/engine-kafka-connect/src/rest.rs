//! [`Rest`]: Kafka Connect's REST interface, typed.
//!
//! Every call says what it asks for and what the worker may answer. A worker whose cluster rebalances answers 409 to
//! whatever changes something; that is waited out here, once for all calls.

use std::time::Duration;

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::error::ConnectError;
use crate::http::{Answer, Http, HttpConfig};
use crate::property::Properties;

pub use crate::rest::answer::{
    ConnectorInfo, ConnectorStatus, ConnectorWord, FieldError, InstalledPlugin, Offset, TaskStatus,
    Validation, Worker,
};

mod answer;
#[cfg(test)]
mod tests;

/// How long a rebalance is waited out. Kafka Connect waits five minutes for a worker that left; what changes something
/// is refused only for the seconds in which the group joins.
const REBALANCE_PATIENCE: Duration = Duration::from_secs(60);

/// Pauses between two attempts: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// Longest message of a worker that is repeated, characters.
const MAX_MESSAGE: usize = 600;

/// A client of one worker. Requests are made one at a time, each on a connection of its own.
#[derive(Debug, Clone)]
pub struct Rest {
    http: Http,
    patience: Duration,
}

/// In which state a connector begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialState {
    /// It does nothing until it is resumed.
    Stopped,
    /// It begins at once.
    Running,
}

// === impl Rest ===

impl Rest {
    /// A client.
    ///
    /// # Errors
    /// `CONNECT_TLS` for certificates that cannot be read.
    pub fn new(config: HttpConfig) -> Result<Self, ConnectError> {
        Ok(Rest { http: Http::new(config)?, patience: REBALANCE_PATIENCE })
    }

    /// The same client with another patience for rebalances.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Version of the worker and identity of its Kafka cluster.
    ///
    /// # Errors
    /// When the worker cannot be asked, as for all calls.
    pub async fn worker(&self) -> Result<Worker, ConnectError> {
        self.get(&[], "").await
    }

    /// All connectors, converters and transforms that the worker has.
    ///
    /// # Errors
    /// When the worker cannot be asked.
    pub async fn plugins(&self) -> Result<Vec<InstalledPlugin>, ConnectError> {
        self.get(&["connector-plugins"], "?connectorsOnly=false").await
    }

    /// The names of the options that a plugin declares.
    ///
    /// # Errors
    /// When the worker cannot be asked.
    pub async fn plugin_options(&self, class: &str) -> Result<Vec<String>, ConnectError> {
        let options: Vec<answer::DeclaredOption> =
            self.get(&["connector-plugins", class, "config"], "").await?;
        Ok(options.into_iter().map(|option| option.name).collect())
    }

    /// Has the worker check a configuration. It opens connections of its own for that.
    ///
    /// # Errors
    /// When the worker cannot be asked. What it does not like is in the answer.
    pub async fn validate(&self, class: &str, properties: &Properties) -> Result<Validation, ConnectError> {
        let path = &["connector-plugins", class, "config", "validate"];
        let found: answer::Validated = self.change(Method::PUT, path, "", Some(json!(properties))).await?;
        Ok(found.into())
    }

    /// The names of all connectors.
    ///
    /// # Errors
    /// When the worker cannot be asked.
    pub async fn connectors(&self) -> Result<Vec<String>, ConnectError> {
        self.get(&["connectors"], "").await
    }

    /// A connector's configuration, placeholders as they are; `None` when there is no such connector.
    ///
    /// # Errors
    /// When the worker cannot be asked.
    pub async fn config(&self, connector: &str) -> Result<Option<Properties>, ConnectError> {
        self.find(&["connectors", connector, "config"]).await
    }

    /// Where a connector and its tasks stand; `None` when there is no such connector, or it was made a moment ago.
    ///
    /// # Errors
    /// When the worker cannot be asked.
    pub async fn status(&self, connector: &str) -> Result<Option<ConnectorStatus>, ConnectError> {
        self.find(&["connectors", connector, "status"]).await
    }

    /// Makes a connector.
    ///
    /// # Errors
    /// `CONNECTOR_EXISTS`; `CONNECT_ERROR` with the worker's words when it refuses the configuration.
    pub async fn create(
        &self,
        connector: &str,
        properties: &Properties,
        state: InitialState,
    ) -> Result<(), ConnectError> {
        let state = match state {
            InitialState::Stopped => "STOPPED",
            InitialState::Running => "RUNNING",
        };
        let body = json!({ "name": connector, "config": properties, "initial_state": state });
        let request = "POST /connectors".to_owned();
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let answer = self.send(Method::POST, &["connectors"], "", Some(&body)).await?;
            if answer.status != 409 {
                return self.check(&request, answer).map(drop);
            }
            // 409 says both: the cluster rebalances, or there is one of this name.
            if self.config(connector).await?.is_some() {
                return Err(ConnectError::ConnectorExists { connector: connector.to_owned() });
            }
            self.wait(&request, started, &mut pause).await?;
        }
    }

    /// Gives a connector a configuration; makes it, running, when it is not there.
    ///
    /// # Errors
    /// `CONNECT_ERROR` with the worker's words when it refuses the configuration.
    pub async fn put_config(&self, connector: &str, properties: &Properties) -> Result<(), ConnectError> {
        let path = &["connectors", connector, "config"];
        let _info: ConnectorInfo = self.change(Method::PUT, path, "", Some(json!(properties))).await?;
        Ok(())
    }

    /// Lets a connector go on.
    ///
    /// # Errors
    /// When the worker cannot be asked, or does not know it.
    pub async fn resume(&self, connector: &str) -> Result<(), ConnectError> {
        self.order(Method::PUT, &["connectors", connector, "resume"], "").await
    }

    /// Has a connector's tasks wait. They keep their slot and their places in the consumer group.
    ///
    /// # Errors
    /// When the worker cannot be asked, or does not know it.
    pub async fn pause(&self, connector: &str) -> Result<(), ConnectError> {
        self.order(Method::PUT, &["connectors", connector, "pause"], "").await
    }

    /// Ends a connector's tasks; the connector stays. They let go of their slot.
    ///
    /// # Errors
    /// When the worker cannot be asked, or does not know it.
    pub async fn stop(&self, connector: &str) -> Result<(), ConnectError> {
        self.order(Method::PUT, &["connectors", connector, "stop"], "").await
    }

    /// Starts the connector and its tasks again, if they have failed.
    ///
    /// # Errors
    /// When the worker cannot be asked, or does not know it.
    pub async fn restart_failed(&self, connector: &str) -> Result<(), ConnectError> {
        let path = &["connectors", connector, "restart"];
        self.order(Method::POST, path, "?includeTasks=true&onlyFailed=true").await
    }

    /// Starts a connector and its tasks again, whatever they say.
    ///
    /// # Errors
    /// When the worker cannot be asked, or does not know it.
    pub async fn restart(&self, connector: &str) -> Result<(), ConnectError> {
        let path = &["connectors", connector, "restart"];
        self.order(Method::POST, path, "?includeTasks=true&onlyFailed=false").await
    }

    /// Deletes a connector; says whether there was one.
    ///
    /// # Errors
    /// When the worker cannot be asked.
    pub async fn delete(&self, connector: &str) -> Result<bool, ConnectError> {
        match self.order(Method::DELETE, &["connectors", connector], "").await {
            Ok(()) => Ok(true),
            Err(ConnectError::Answer { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What a connector has stored of its progress; empty when it has stored nothing.
    ///
    /// # Errors
    /// When the worker cannot be asked, or does not know it.
    pub async fn offsets(&self, connector: &str) -> Result<Vec<Offset>, ConnectError> {
        let offsets: answer::Offsets = self.get(&["connectors", connector, "offsets"], "").await?;
        Ok(offsets.offsets)
    }

    /// Tells a stopped sink to begin with the first message of a topic of one partition.
    ///
    /// # Errors
    /// `CONNECT_ERROR` for one that is not stopped.
    pub async fn begin_at_start(&self, sink: &str, topic: &str) -> Result<(), ConnectError> {
        let partition = json!({ "kafka_topic": topic, "kafka_partition": 0 });
        let body = json!({ "offsets": [{ "partition": partition, "offset": { "kafka_offset": 0 } }] });
        self.patient(Method::PATCH, &["connectors", sink, "offsets"], "", Some(body)).await.map(drop)
    }

    /// Has a stopped connector forget its progress.
    ///
    /// # Errors
    /// `CONNECT_ERROR` for one that is not stopped.
    pub async fn delete_offsets(&self, connector: &str) -> Result<(), ConnectError> {
        self.order(Method::DELETE, &["connectors", connector, "offsets"], "").await
    }

    /// Has a stopped connector take this for its progress.
    ///
    /// # Errors
    /// `CONNECT_ERROR` for one that is not stopped.
    pub async fn patch_offsets(&self, connector: &str, offsets: &[Offset]) -> Result<(), ConnectError> {
        let body = json!({ "offsets": offsets });
        self.patient(Method::PATCH, &["connectors", connector, "offsets"], "", Some(body)).await.map(drop)
    }

    /// The topics that a connector has used.
    ///
    /// # Errors
    /// When the worker cannot be asked.
    pub async fn topics(&self, connector: &str) -> Result<Vec<String>, ConnectError> {
        let found: answer::Topics = self.get(&["connectors", connector, "topics"], "").await?;
        Ok(found.into_values().flat_map(|used| used.topics).collect())
    }

    /// Reads something that may not be there.
    async fn find<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, ConnectError> {
        match self.get(path, "").await {
            Ok(found) => Ok(Some(found)),
            Err(ConnectError::Answer { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads something.
    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &str) -> Result<T, ConnectError> {
        self.change(Method::GET, path, query, None).await
    }

    /// Asks for something whose answer says nothing.
    async fn order(&self, method: Method, path: &[&str], query: &str) -> Result<(), ConnectError> {
        self.patient(method, path, query, None).await.map(drop)
    }

    /// Asks for something, and reads the answer.
    async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: Option<serde_json::Value>,
    ) -> Result<T, ConnectError> {
        let request = self.request_name(&method, path);
        let answer = self.patient(method, path, query, body).await?;
        serde_json::from_slice(&answer.body).map_err(|error| ConnectError::Answer {
            status: answer.status,
            request,
            message: format!("what it sends is not what Kafka Connect answers: {error}"),
        })
    }

    /// Sends a request, again while the cluster rebalances.
    async fn patient(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: Option<serde_json::Value>,
    ) -> Result<Answer, ConnectError> {
        let request = self.request_name(&method, path);
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let answer = self.send(method.clone(), path, query, body.as_ref()).await?;
            if answer.status != 409 {
                return self.check(&request, answer);
            }
            self.wait(&request, started, &mut pause).await?;
        }
    }

    async fn wait(&self, request: &str, started: Instant, pause: &mut Duration) -> Result<(), ConnectError> {
        if started.elapsed() + *pause > self.patience {
            let after_s = started.elapsed().as_secs();
            return Err(ConnectError::Rebalancing { request: request.to_owned(), after_s });
        }
        sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSES.1);
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, ConnectError> {
        let path = format!("{}{query}", self.http.url().path(path));
        let body = body.map(|body| body.to_string().into_bytes());
        self.http.send(method, &path, body).await
    }

    /// Turns what is no success into an error.
    fn check(&self, request: &str, answer: Answer) -> Result<Answer, ConnectError> {
        let status = answer.status;
        match status {
            200..=299 => Ok(answer),
            401 | 403 => Err(ConnectError::Unauthorized {
                url: self.http.url().to_string(),
                status,
                request: request.to_owned(),
            }),
            _ => {
                let message = answer::message(&answer.body, MAX_MESSAGE);
                Err(ConnectError::Answer { status, request: request.to_owned(), message })
            }
        }
    }

    fn request_name(&self, method: &Method, path: &[&str]) -> String {
        format!("{method} {}", self.http.url().path(path))
    }
}
