//! Handing a running pipeline from one engine to the other, at a position: what committed at or below it came by the one,
//! what committed above it comes by the other.
//!
//! ```text
//! native --> kafka-connect    the native engine's checkpoint P is final once the pipeline was taken from it;
//!                             the source connector begins at P, in the same slot
//! kafka-connect --> native    from P on, the publication that the connectors read no longer has the tables;
//!                             the native engine reads a slot and a publication of its own, from P
//! ```
//!
//! Why the second way is another: a source connector stops wherever it is, in the middle of a transaction too, and what
//! it has sent may be sent again. Its stored progress is no position that the native engine could begin at, which finds
//! rows where it expects none, and halts. So the stream itself is made to end, in [`cut`].
//!
//! Every step can be repeated. A hand-over that was interrupted is gone on with by the same call.

mod cut;
mod to_connect;
mod to_native;

use segcdc_engine_native::EngineKind;
use segcdc_sqlserver::{PipelineState, Target};
use serde::Serialize;

use crate::config::ConnectConfig;
use crate::decide::Step;
use crate::error::ConnectError;

pub use to_connect::{ToConnect, plan_to_connect, to_connect};
pub use to_native::{ToNative, plan_to_native, to_native};

/// One step of a hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum MigrationStep {
    /// Put the passwords where the worker reads them, and have it check the connectors.
    ValidateConnectors,
    /// Take the pipeline from the process that runs it: its checkpoint is final then.
    TakeOver,
    /// Wait until that process has let go of the slot.
    WaitForSlot {
        /// The slot.
        slot: String,
    },
    /// Note in the state that the connectors carry the pipeline, from the checkpoint on.
    HandToConnect,
    /// Set the connectors up.
    SetUp {
        /// The step of the set-up; `None` for all of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<Step>,
    },
    /// Note in the state what will be made.
    Announce,
    /// Make the publication that the native engine will read.
    CreatePublication {
        /// The publication.
        publication: String,
    },
    /// Make the slot that it will read.
    CreateSlot {
        /// The slot.
        slot: String,
    },
    /// End the stream of the connectors.
    Cut {
        /// The publication that they read.
        publication: String,
    },
    /// Wait until everything up to the cut is in the target.
    Drain,
    /// Remove the connectors, and what they needed.
    RemoveConnectors,
    /// Note in the state that the native engine carries the pipeline, from the cut on.
    HandToNative,
}

// === impl MigrationStep ===

impl std::fmt::Display for MigrationStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MigrationStep::ValidateConnectors => f.write_str("have the worker check the connectors"),
            MigrationStep::TakeOver => {
                f.write_str("take the pipeline from the process that runs it, which ends as FENCED")
            }
            MigrationStep::WaitForSlot { slot } => write!(f, "wait until the slot {slot} is free"),
            MigrationStep::HandToConnect => {
                f.write_str("note in the state that connectors carry the pipeline from its checkpoint on")
            }
            MigrationStep::SetUp { of: Some(step) } => write!(f, "{step}"),
            MigrationStep::SetUp { of: None } => {
                f.write_str("make heartbeat tables and connectors, the source beginning at the checkpoint")
            }
            MigrationStep::Announce => f.write_str("note in the state what will be made"),
            MigrationStep::CreatePublication { publication } => {
                write!(f, "make the publication {publication}")
            }
            MigrationStep::CreateSlot { slot } => write!(f, "make the slot {slot}"),
            MigrationStep::Cut { publication } => write!(
                f,
                "take the tables out of the publication {publication}, in a moment in which no transaction writes them"
            ),
            MigrationStep::Drain => f.write_str("wait until everything up to there is in the target"),
            MigrationStep::RemoveConnectors => {
                f.write_str("remove connectors, topics, their slot and publication, and the heartbeat tables")
            }
            MigrationStep::HandToNative => {
                f.write_str("note in the state that the native engine carries the pipeline from there on")
            }
        }
    }
}

/// The engine of the pipeline, and its state.
///
/// # Errors
/// `STATE_MISSING`; the target's.
async fn load(
    config: &ConnectConfig,
    target: &mut Target,
) -> Result<(EngineKind, PipelineState), ConnectError> {
    let pipeline = &config.engine.name;
    let state = target.known_state(pipeline).await?;
    Ok((EngineKind::of(&state), state))
}

/// `MIGRATE_REFUSED` if anything stands in the way.
fn refuse(config: &ConnectConfig, to: EngineKind, reasons: &[String]) -> Result<(), ConnectError> {
    if reasons.is_empty() {
        return Ok(());
    }
    let pipeline = config.engine.name.clone();
    Err(ConnectError::MigrateRefused { pipeline, to: to.as_str(), reasons: reasons.join("; ") })
}
