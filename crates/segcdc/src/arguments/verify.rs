//! `segcdc verify`

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use segcdc_engine_native::{Throttle, VerifyBy};

use crate::arguments::{PipelineArguments, SaltArguments, pace};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum CompareBy {
    /// All values of all rows
    #[default]
    Rows,
    /// How many rows there are, and nothing else: quick, and says nothing about what is in them
    Count,
}

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
    /// What is compared
    #[arg(long, value_enum, default_value_t, env = "SEGCDC_COMPARE_BY", hide_env_values = true)]
    pub(crate) by: CompareBy,
    /// Differences that are listed with their key, for each table; all are counted
    #[arg(long, value_name = "N", default_value_t = 20, env = "SEGCDC_LIMIT", hide_env_values = true)]
    pub(crate) limit: usize,
    /// Tables, and parts of tables, that are compared at once. Each takes a few sessions at both servers
    #[arg(
        long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64),
        env = "SEGCDC_JOBS", hide_env_values = true
    )]
    pub(crate) jobs: u16,
    /// Rows of a table that are compared at a time, where its key begins with an integer; other tables are compared as a whole
    #[arg(
        long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..),
        env = "SEGCDC_RANGE_ROWS", hide_env_values = true
    )]
    pub(crate) range_rows: u64,
    /// What may be read in a second, of each side: rows or bytes, like 5000rows/s or 20MiB/s
    #[arg(long, value_name = "PACE", value_parser = pace::parse, env = "SEGCDC_THROTTLE", hide_env_values = true)]
    pub(crate) throttle: Option<Throttle>,
    /// Keep in this file how far the comparison has come. If it is there, go on from there; at the end it is removed
    #[arg(long, value_name = "FILE", env = "SEGCDC_PROGRESS_FILE", hide_env_values = true)]
    pub(crate) progress_file: Option<PathBuf>,
    /// Memory for comparing, in MiB, of all that is compared at once; rows that need more are read in several passes
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

// === impl CompareBy ===

impl From<CompareBy> for VerifyBy {
    fn from(by: CompareBy) -> Self {
        match by {
            CompareBy::Rows => VerifyBy::Rows,
            CompareBy::Count => VerifyBy::Count,
        }
    }
}
