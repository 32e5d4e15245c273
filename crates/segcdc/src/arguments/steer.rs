//! What the commands take that steer connectors.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::arguments::PipelineArguments;
use crate::arguments::engine::WorkerArguments;

/// `segcdc pause`, `segcdc resume`, `segcdc stop`
#[derive(Debug, Clone, Args)]
pub(crate) struct SteerArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Where its worker is.
    #[command(flatten)]
    pub(crate) worker: WorkerArguments,
}

/// `segcdc restart`
#[derive(Debug, Clone, Args)]
pub(crate) struct RestartArguments {
    /// Which pipeline.
    #[command(flatten)]
    pub(crate) steer: SteerArguments,
    /// Only connectors and tasks that have failed
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_ONLY_FAILED", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) only_failed: bool,
}
