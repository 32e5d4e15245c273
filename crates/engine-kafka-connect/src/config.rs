//! [`ConnectConfig`]: one pipeline on Kafka Connect, as its user asks for it; [`Spec`]: what is stored of it.

use segcdc_engine_native::{EngineConfig, EngineKind, HeartbeatRow};
use segcdc_model::Lsn;
use segcdc_sqlserver::PipelineState;
use serde::{Deserialize, Serialize};

use crate::error::ConnectError;
use crate::http::HttpConfig;
use crate::kafka::{Bootstrap, BrokerSecurity};
use crate::overrides::Override;
use crate::secrets::Secrets;

/// Who copies the rows that are there, before changes are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FullLoad {
    /// segcdc: several readers at once, straight into the target. The source connector begins where the load ended.
    Native,
    /// Debezium, through Kafka.
    #[default]
    Debezium,
}

/// One pipeline on Kafka Connect, as its user asks for it.
#[derive(Debug, Clone)]
pub struct ConnectConfig {
    /// Source, target, name, tables: as for every engine.
    pub engine: EngineConfig,
    /// The worker.
    pub http: HttpConfig,
    /// How the worker gets the passwords; `None` takes what is stored.
    pub secrets: Option<Secrets>,
    /// Brokers, for deleting topics; `None` takes what is stored.
    pub bootstrap: Option<Bootstrap>,
    /// What brokers are told beside a request. Never stored.
    pub security: BrokerSecurity,
    /// Copies of each topic; `None` leaves it to the brokers.
    pub replication_factor: Option<u16>,
    /// Properties that the user sets.
    pub overrides: Vec<Override>,
    /// Who copies the rows of a new pipeline.
    pub full_load: FullLoad,
}

/// What the state of a pipeline on Kafka Connect says beside what every pipeline's does. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// [`EngineKind::KafkaConnect`].
    pub engine: EngineKind,
    /// The heartbeat tables.
    pub heartbeats: Vec<HeartbeatRow>,
    /// The worker's URL, for the commands that are not given one.
    pub connect_url: String,
    /// How the worker gets the passwords.
    pub secrets: Secrets,
    /// Addresses of brokers, if they were given.
    pub bootstrap: Option<String>,
    /// Debezium's `topic.prefix`.
    pub topic_prefix: String,
    /// The source connector.
    pub source_connector: String,
    /// The sink connectors.
    pub sink_connectors: Vec<String>,
    /// The topics.
    pub topics: Vec<String>,
    /// Whether rows that were there are copied.
    pub snapshot: bool,
    /// Who copies them.
    #[serde(default)]
    pub full_load: FullLoad,
    /// Where the source connector begins: everything at or below it is in the target, and nothing above. `None` leaves it
    /// to Debezium, or is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_lsn: Option<Lsn>,
    /// The pipeline is being handed to the native engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// How far a pipeline is on its way to the native engine, and what was made for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The slot that the native engine will read.
    pub slot: String,
    /// The publication that it will read.
    pub publication: String,
    /// The last position that the connectors carry; `None` before it was decided.
    #[serde(default)]
    pub cut: Option<Lsn>,
    /// Everything up to the cut is in the target.
    #[serde(default)]
    pub drained: bool,
}

// === impl Spec ===

impl Spec {
    /// What a pipeline's state says.
    ///
    /// # Errors
    /// `ENGINE_MISMATCH` for a pipeline of another engine, `PIPELINE_SPEC` for what cannot be read.
    pub fn of(state: &PipelineState) -> Result<Self, ConnectError> {
        EngineKind::KafkaConnect.require(state)?;
        let unreadable = || ConnectError::SpecUnreadable { pipeline: state.checkpoint.pipeline.clone() };
        serde_json::from_str(state.spec.as_deref().unwrap_or_default()).map_err(|_| unreadable())
    }

    /// As it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the tables are still to be copied by segcdc, before there are connectors.
    pub fn needs_load(&self) -> bool {
        self.snapshot && self.full_load == FullLoad::Native && self.start_lsn.is_none()
    }

    /// Whether Debezium copies the rows.
    pub fn debezium_copies(&self) -> bool {
        self.snapshot && self.full_load == FullLoad::Debezium
    }

    /// All connectors, the sinks first.
    pub fn connectors(&self) -> impl Iterator<Item = &String> {
        self.sink_connectors.iter().chain([&self.source_connector])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use segcdc_model::{Checkpoint, Fault, Lineage, Lsn};

    /// The state of a pipeline without tables.
    pub(crate) fn state(spec: &str) -> PipelineState {
        let lineage = Lineage {
            system_identifier: "7".to_owned(),
            timeline: 1,
            database_oid: 5,
            slot: "s".to_owned(),
            publication: "p".to_owned(),
            publication_oid: 9,
        };
        PipelineState {
            checkpoint: Checkpoint {
                pipeline: "shop".to_owned(),
                epoch: 1,
                batch_seq: 0,
                applied_lsn: Lsn::new(1),
                lineage,
            },
            owner: String::new(),
            commit_time_us: None,
            slot_is_ours: true,
            publication_is_ours: true,
            transactions_applied: 0,
            changes_applied: 0,
            spec: Some(spec.to_owned()),
            lag: None,
            updated_at_us: 0,
            read_at_us: 0,
            tables: Vec::new(),
        }
    }

    #[test]
    fn a_state_that_another_version_wrote_is_refused() {
        let code = |spec: &str| Spec::of(&state(spec)).unwrap_err().code();
        assert_eq!(code(r#"{"engine":"kafka-connect"}"#), "PIPELINE_SPEC");
        assert_eq!(code(r#"{"engine":"native"}"#), "ENGINE_MISMATCH");
    }
}
