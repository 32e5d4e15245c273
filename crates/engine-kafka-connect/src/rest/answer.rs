//! What a worker answers. Unknown fields are passed over: newer versions add some.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::Answer;

/// Longest message of a worker that is repeated, characters.
const MAX_MESSAGE: usize = 600;

/// `GET /`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Worker {
    /// Version of Kafka Connect.
    pub version: String,
    /// The Kafka cluster that it belongs to.
    #[serde(default)]
    pub kafka_cluster_id: String,
}

/// One entry of `GET /connector-plugins`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct InstalledPlugin {
    /// Java class.
    pub class: String,
    /// `source`, `sink`, `converter`, `transformation`, ...
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Its version, where it has one.
    #[serde(default)]
    pub version: Option<String>,
}

/// One entry of `GET /connector-plugins/{class}/config`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DeclaredOption {
    pub(super) name: String,
}

/// Answer to making a connector or giving it a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConnectorInfo {
    /// The connector.
    pub name: String,
}

/// `GET /connectors/{connector}/status`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ConnectorStatus {
    /// The connector.
    pub name: String,
    /// The connector itself.
    pub connector: TaskState,
    /// Its tasks; empty while it is stopped or has not begun.
    #[serde(default)]
    pub tasks: Vec<TaskStatus>,
}

/// State of a connector itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct TaskState {
    /// Its state.
    pub state: ConnectorWord,
    /// Java stack trace of what failed.
    #[serde(default)]
    pub trace: Option<String>,
}

/// State of a task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct TaskStatus {
    /// Number within its connector.
    pub id: u32,
    /// Its state.
    pub state: ConnectorWord,
    /// Java stack trace of what failed.
    #[serde(default)]
    pub trace: Option<String>,
}

/// The states that Kafka Connect knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectorWord {
    /// No worker has it: it was just made, or its worker is gone.
    Unassigned,
    /// It runs, or thinks so: a task that cannot reach its database says this too.
    Running,
    /// It waits, holding what it holds.
    Paused,
    /// It has no tasks.
    Stopped,
    /// It ended with an error and is not started again by itself.
    Failed,
    /// It is being started again.
    Restarting,
    /// It is being taken away.
    Destroyed,
    /// A word of another version.
    #[serde(other)]
    Unknown,
}

// === impl ConnectorWord ===

impl ConnectorWord {
    /// The word as Kafka Connect writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConnectorWord::Unassigned => "UNASSIGNED",
            ConnectorWord::Running => "RUNNING",
            ConnectorWord::Paused => "PAUSED",
            ConnectorWord::Stopped => "STOPPED",
            ConnectorWord::Failed => "FAILED",
            ConnectorWord::Restarting => "RESTARTING",
            ConnectorWord::Destroyed => "DESTROYED",
            ConnectorWord::Unknown => "UNKNOWN",
        }
    }
}

/// `PUT /connector-plugins/{class}/config/validate`
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Validated {
    #[serde(default)]
    configs: Vec<ValidatedOption>,
    error_count: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct ValidatedOption {
    value: ValidatedValue,
}

#[derive(Debug, Clone, Deserialize)]
struct ValidatedValue {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    errors: Vec<String>,
}

/// What a worker thinks of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validation {
    /// What it does not like, each once.
    pub errors: Vec<FieldError>,
    /// How much of that it counts.
    pub error_count: u64,
    /// What it takes the properties for, placeholders filled in; those of passwords are hidden.
    pub values: BTreeMap<String, String>,
}

/// What a worker does not like about one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The property.
    pub name: String,
    /// Its words.
    pub message: String,
}

impl From<Validated> for Validation {
    fn from(found: Validated) -> Self {
        let mut errors: Vec<FieldError> = Vec::new();
        let mut values = BTreeMap::new();
        for option in found.configs {
            if let Some(value) = option.value.value {
                values.insert(option.value.name.clone(), value);
            }
            for message in option.value.errors {
                let error = FieldError { name: option.value.name.clone(), message };
                // Numbers that cannot be read are reported twice.
                if !errors.contains(&error) {
                    errors.push(error);
                }
            }
        }
        Validation { errors, error_count: found.error_count, values }
    }
}

/// `GET /connectors/{connector}/offsets`
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Offsets {
    pub(super) offsets: Vec<Offset>,
}

/// Progress of a connector in one of its partitions. What is in both is the connector's own business.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Offset {
    /// Which partition.
    pub partition: Value,
    /// How far; null right after it was forgotten.
    #[serde(default)]
    pub offset: Value,
}

/// `GET /connectors/{connector}/topics`
pub(super) type Topics = BTreeMap<String, UsedTopics>;

/// The topics of one connector.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct UsedTopics {
    pub(super) topics: Vec<String>,
}

// === impl Answer ===

impl Answer {
    /// Whether the worker says that there is no such thing. A 404 of somebody else says that the URL is wrong.
    pub(super) fn is_missing(&self) -> bool {
        self.status == 404 && self.repeats_its_status()
    }

    /// Whether it is an error 500 of Kafka Connect, and not of somebody in between.
    pub(super) fn is_error_of_connect(&self) -> bool {
        self.status == 500 && self.repeats_its_status()
    }

    /// Kafka Connect repeats the number of an error in JSON.
    fn repeats_its_status(&self) -> bool {
        #[derive(Deserialize)]
        struct Problem {
            error_code: u16,
        }
        let problem = serde_json::from_slice::<Problem>(&self.body).ok();
        problem.is_some_and(|problem| problem.error_code == self.status)
    }
}

/// The message of an error answer: what the worker says, on one line, without control characters.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        message: String,
    }
    let text = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.message,
        Err(_) if body.is_empty() => "nothing".to_owned(),
        Err(_) => return "something that is not JSON".to_owned(),
    };
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect();
    if line.chars().count() < text.chars().count() { format!("{line}...") } else { line }
}
