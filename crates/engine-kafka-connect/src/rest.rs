//! [`Rest`]: Kafka Connect's REST interface, typed.
//!
//! Every call says what it asks for and what the worker may answer. What passes by itself is waited out here, once for
//! all calls:
//!
//! | what comes | what it may be |
//! |---|---|
//! | 409 | a cluster that rebalances |
//! | 500 of Kafka Connect | the same, as some requests are answered meanwhile; or an error that stays, so not for long |
//! | 502, 503, 504, no answer | a worker that has answered before, and is being started again |
//!
//! Every request can be made twice: making a connector is followed by a look at what is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Method;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use crate::error::ConnectError;
use crate::http::{Answer, Http, HttpConfig};
use crate::property::{Properties, differences};
use crate::rest::patience::{Attempts, may_pass};

pub use crate::rest::answer::{
    ConnectorInfo, ConnectorStatus, ConnectorWord, FieldError, InstalledPlugin, Offset, TaskStatus,
    Validation, Worker,
};
pub use crate::rest::patience::Patience;

mod answer;
mod patience;
#[cfg(test)]
pub(crate) mod tests;

/// A client of one worker. Requests are made one at a time, each on a connection of its own.
#[derive(Debug, Clone)]
pub struct Rest {
    http: Http,
    patience: Patience,
    /// Whether the worker has answered anything: before that, what cannot be reached is most likely a wrong URL.
    has_answered: Arc<AtomicBool>,
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
        Ok(Rest {
            http: Http::new(config)?,
            patience: Patience::default(),
            has_answered: Arc::new(AtomicBool::new(false)),
        })
    }

    /// The same client with another patience.
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The same client for somebody who asks again and again anyway: it does not wait for a worker that is gone.
    pub(crate) fn at_once(&self) -> Self {
        let none = Duration::ZERO;
        self.clone().with_patience(Patience { outage: none, error: none, ..self.patience })
    }

    /// How long is waited for a worker that refuses what it will take in a moment, and at most this.
    pub(crate) fn patience(&self, most: Duration) -> Duration {
        most.min(self.patience.rebalance)
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
        let path = &["connectors"];
        let mut attempts = self.attempts(&Method::POST, path);
        loop {
            let Some(answer) = self.attempt(Method::POST, path, "", Some(&body), &mut attempts).await? else {
                continue;
            };
            if answer.status != 409 {
                return self.read::<ConnectorInfo>(&attempts.request, answer).map(drop);
            }
            // 409 says both: the cluster rebalances, or there is one of this name.
            match self.config(connector).await? {
                Some(found) if attempts.may_be_done && differences(&found, properties).is_empty() => {
                    return Ok(());
                }
                Some(_) => return Err(ConnectError::ConnectorExists { connector: connector.to_owned() }),
                None => self.wait_for_rebalance(&mut attempts).await?,
            }
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
        let path = &["connectors", connector];
        let answer = self.patient(Method::DELETE, path, "", None).await?;
        if answer.is_missing() {
            return Ok(false);
        }
        self.nothing_or_json(&self.request_name(&Method::DELETE, path), answer).map(|()| true)
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
        self.done(Method::PATCH, &["connectors", sink, "offsets"], "", Some(body)).await
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
        self.done(Method::PATCH, &["connectors", connector, "offsets"], "", Some(body)).await
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
        let answer = self.patient(Method::GET, path, "", None).await?;
        if answer.is_missing() {
            return Ok(None);
        }
        self.read(&self.request_name(&Method::GET, path), answer).map(Some)
    }

    /// Reads something.
    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &str) -> Result<T, ConnectError> {
        self.change(Method::GET, path, query, None).await
    }

    /// Asks for something whose answer says nothing.
    async fn order(&self, method: Method, path: &[&str], query: &str) -> Result<(), ConnectError> {
        self.done(method, path, query, None).await
    }

    /// The same with a body.
    async fn done(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: Option<serde_json::Value>,
    ) -> Result<(), ConnectError> {
        let request = self.request_name(&method, path);
        let answer = self.patient(method, path, query, body).await?;
        self.nothing_or_json(&request, answer)
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
        self.read(&request, answer)
    }

    /// Sends a request, again while the cluster rebalances or the worker is gone.
    async fn patient(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: Option<serde_json::Value>,
    ) -> Result<Answer, ConnectError> {
        let mut attempts = self.attempts(&method, path);
        loop {
            match self.attempt(method.clone(), path, query, body.as_ref(), &mut attempts).await? {
                Some(answer) if answer.status == 409 => self.wait_for_rebalance(&mut attempts).await?,
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
    }

    /// Sends a request once. `None` when there was no answer, or one that may pass, and it is to be sent again: the pause
    /// is over then.
    async fn attempt(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: Option<&serde_json::Value>,
        attempts: &mut Attempts,
    ) -> Result<Option<Answer>, ConnectError> {
        let bears_500 = may_pass(&method, path);
        let (error, goes_on) = match self.send(method, path, query, body).await {
            Ok(answer) if matches!(answer.status, 502..=504) => {
                (attempts.error(&answer), attempts.bears_outage(self.patience.outage))
            }
            Ok(answer) => {
                self.has_answered.store(true, Ordering::Relaxed);
                let errs = bears_500 && answer.is_error_of_connect();
                if !attempts.bears_error(errs, self.patience.error) {
                    return Ok(Some(answer));
                }
                (attempts.error(&answer), true)
            }
            Err(error @ ConnectError::Unreachable { .. }) => {
                (error, attempts.bears_outage(self.patience.outage))
            }
            Err(error) => return Err(error),
        };
        if !goes_on || !self.has_answered.load(Ordering::Relaxed) {
            return Err(error);
        }
        let request = &attempts.request;
        tracing::warn!(request, error = %segcdc_model::fault::chain(&error), "the worker is asked again");
        attempts.may_be_done = true;
        attempts.pause().await;
        Ok(None)
    }

    async fn wait_for_rebalance(&self, attempts: &mut Attempts) -> Result<(), ConnectError> {
        if !attempts.bears_rebalance(self.patience.rebalance) {
            let after_s = attempts.seconds();
            return Err(ConnectError::Rebalancing { request: attempts.request.clone(), after_s });
        }
        let request = &attempts.request;
        tracing::warn!(request, "the Kafka Connect cluster rebalances, and is asked again");
        attempts.pause().await;
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
                let message = answer::message(&answer.body);
                Err(ConnectError::Answer { status, request: request.to_owned(), message })
            }
        }
    }

    /// Reads the answer to what was done.
    fn read<T: DeserializeOwned>(&self, request: &str, answer: Answer) -> Result<T, ConnectError> {
        let answer = self.check(request, answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| ConnectError::Answer {
            status: answer.status,
            request: request.to_owned(),
            message: format!("what it sends is not what Kafka Connect answers: {error}"),
        })
    }

    /// Takes an answer that says nothing: no body, or some JSON. A page that says 200 is somebody else's, and nothing was
    /// done.
    fn nothing_or_json(&self, request: &str, answer: Answer) -> Result<(), ConnectError> {
        let answer = self.check(request, answer)?;
        if answer.body.is_empty() {
            return Ok(());
        }
        self.read::<IgnoredAny>(request, answer).map(drop)
    }

    fn attempts(&self, method: &Method, path: &[&str]) -> Attempts {
        Attempts::new(self.request_name(method, path), &self.patience)
    }

    fn request_name(&self, method: &Method, path: &[&str]) -> String {
        format!("{method} {}", self.http.url().path(path))
    }
}
