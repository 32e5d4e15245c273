//! [`EngineKind`]: which engine a pipeline was made for, as its state says.

use segcdc_sqlserver::PipelineState;
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
}

// === impl EngineKind ===

impl EngineKind {
    /// The engine of a pipeline. State without a specification is the native engine's.
    pub fn of(state: &PipelineState) -> Self {
        specification(state).engine
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
    match specification(state) {
        Specification { engine: EngineKind::KafkaConnect, heartbeats } => heartbeats,
        Specification { engine: EngineKind::Native, .. } => Vec::new(),
    }
}

fn specification(state: &PipelineState) -> Specification {
    let text = state.spec.as_deref().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}
