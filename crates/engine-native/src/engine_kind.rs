//! [`EngineKind`]: which engine a pipeline was made for, as its state says.

use segcdc_sqlserver::PipelineState;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::heartbeat_row::HeartbeatRow;

/// What runs a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// segcdc itself, in the process that runs `up`.
    #[default]
    Native,
    /// Connectors in a Kafka Connect cluster.
    KafkaConnect,
}

/// What every engine's specification says. Each engine has more in it.
#[derive(Debug, Default, Deserialize)]
struct Specification {
    #[serde(default)]
    engine: EngineKind,
    #[serde(default)]
    heartbeats: Vec<HeartbeatRow>,
    /// The pipeline is being handed to the native engine.
    #[serde(default)]
    leaving: Option<IgnoredAny>,
}

// === impl EngineKind ===

impl EngineKind {
    /// The engine of a pipeline. State without a specification is the native engine's.
    pub fn of(state: &PipelineState) -> Self {
        specification(state.spec.as_deref()).engine
    }

    /// The word of the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            EngineKind::Native => "native",
            EngineKind::KafkaConnect => "kafka-connect",
        }
    }

    /// Refuses a pipeline that another engine runs.
    ///
    /// # Errors
    /// `ENGINE_MISMATCH`.
    pub fn require(self, state: &PipelineState) -> Result<(), EngineError> {
        let found = EngineKind::of(state);
        if found == self {
            return Ok(());
        }
        Err(EngineError::EngineMismatch {
            pipeline: state.checkpoint.pipeline.clone(),
            found: found.as_str(),
            wanted: self.as_str(),
        })
    }
}

/// The rows that say how far a pipeline has come which keeps no checkpoint; empty for one that does.
pub(crate) fn heartbeats(state: &PipelineState) -> Vec<HeartbeatRow> {
    match specification(state.spec.as_deref()) {
        Specification { engine: EngineKind::KafkaConnect, heartbeats, .. } => heartbeats,
        Specification { engine: EngineKind::Native, .. } => Vec::new(),
    }
}

/// Whether a pipeline is being handed to the native engine, which nobody carries whole until that is over.
pub(crate) fn is_leaving(spec: Option<&str>) -> bool {
    specification(spec).leaving.is_some()
}

fn specification(spec: Option<&str>) -> Specification {
    serde_json::from_str(spec.unwrap_or_default()).unwrap_or_default()
}
