//! `segcdc verify`

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::arguments::{PipelineArguments, SaltArguments};

/// `segcdc verify`
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// What hashes are made with.
    #[command(flatten)]
    pub(crate) salt: SaltArguments,
    /// Tables as schema.table with * and ? as wildcards; may be given several times. Without it, all of the pipeline
    #[arg(long, value_name = "PATTERN", env = "SEGCDC_TABLES", hide_env_values = true)]
    pub(crate) tables: Vec<String>,
    /// Differences that are listed with their key, for each table; all are counted
    #[arg(long, value_name = "N", default_value_t = 20, env = "SEGCDC_LIMIT", hide_env_values = true)]
    pub(crate) limit: usize,
    /// Memory for comparing, in MiB; larger tables are read in several passes
    #[arg(
        long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536),
        env = "SEGCDC_MEMORY", hide_env_values = true
    )]
    pub(crate) memory: u32,
    /// Write rows that differ into the target as the source has them, then compare again. The pipeline may run meanwhile
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_REPAIR", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) repair: bool,
    /// With --repair: show what would be written, and write nothing
    #[arg(
        long, requires = "repair", action = ArgAction::SetTrue, env = "SEGCDC_DRY_RUN", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) dry_run: bool,
    /// With --repair: do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}
