//! `segcdc table`

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::{PipelineArguments, RuleArguments, SaltArguments};

/// What to do with single tables.
#[derive(Debug, Subcommand)]
pub(crate) enum TableCommand {
    /// List the tables of the pipeline: where each stands, and what is asked of it and not done yet
    #[command(after_help = "Examples:\n  segcdc table list\n  segcdc table list -o name")]
    List(PipelineArguments),
    /// Have changes of tables not applied any more; the others go on
    #[command(
        after_help = "Examples:\n  segcdc table pause --tables public.orders\n\nThe table stays in the target as \
                            of the position that is shown. The source keeps no WAL for it."
    )]
    Pause(TableArguments),
    /// Have changes of paused tables applied again; a table that was changed meanwhile is copied again
    #[command(after_help = "Examples:\n  segcdc table resume --tables public.orders --wait")]
    Resume(TableArguments),
    /// Have tables copied again, of their present shape, while the others go on
    #[command(
        after_help = "Examples:\n  segcdc table resync --yes                    all that are quarantined\n  \
                            segcdc table resync --tables public.orders   whatever it is\n  segcdc table resync --all \
                            --by merge --wait\n\nWhile a process runs the pipeline, readers of the target under row versioning see \
                            all of the old rows or all of the new ones.\nWhile none does, the next `up` empties the tables and copies them, unless --by is \
                            given."
    )]
    Resync(Box<ResyncArguments>),
    /// Take tables out of the pipeline; their target tables stay unless --drop-target is given
    #[command(
        after_help = "Examples:\n  segcdc table remove --tables public.orders\n  segcdc table remove --tables \
                            'old.*' --drop-target --yes\n\nA table goes out of the publication too, if the pipeline made that."
    )]
    Remove(RemoveArguments),
    /// Make tables of the source tables of the pipeline: they are copied while the others go on
    #[command(
        after_help = "Examples:\n  segcdc table add --tables public.invoices\n  segcdc table add --tables 'sales.*' --wait"
    )]
    Add(TableArguments),
}

/// `segcdc table pause`, `resume` and `add`
#[derive(Debug, Clone, Args)]
pub(crate) struct TableArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Tables as schema.table with * and ? as wildcards; may be given several times
    #[arg(long, value_name = "PATTERN", env = "SEGCDC_TABLES", hide_env_values = true, required = true)]
    pub(crate) tables: Vec<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
}

/// Whether to wait for what takes a while.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgument {
    /// Wait until tables that are to be copied are copied, and go on with the others
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_WAIT", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) wait: bool,
}

/// How the rows of a new copy get into a target table that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ByChoice {
    /// Rows that differ are changed, in one transaction; what belongs to the table stays
    Merge,
    /// Another table takes its place, in one transaction; refused where something that belongs to it would be lost
    Swap,
}

/// `segcdc table resync`
#[derive(Debug, Clone, Args)]
pub(crate) struct ResyncArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Tables as schema.table with * and ? as wildcards; may be given several times. Without it, the quarantined ones
    #[arg(long, value_name = "PATTERN", env = "SEGCDC_TABLES", hide_env_values = true)]
    pub(crate) tables: Vec<String>,
    /// Those that are quarantined: what is meant without --tables
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_FAILED", hide_env_values = true,
        value_parser = BoolishValueParser::new(), conflicts_with_all = ["tables", "all"]
    )]
    pub(crate) failed: bool,
    /// All tables of the pipeline
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_ALL", hide_env_values = true,
        value_parser = BoolishValueParser::new(), conflicts_with = "tables"
    )]
    pub(crate) all: bool,
    /// How the rows get into a target table that is in use. Without it: merge if the columns are still the same, else swap
    #[arg(long, value_name = "WAY", value_enum, env = "SEGCDC_BY", hide_env_values = true)]
    pub(crate) by: Option<ByChoice>,
    /// Whether to wait.
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
    /// Rules.
    #[command(flatten)]
    pub(crate) rules: RuleArguments,
    /// What hashes are made with.
    #[command(flatten)]
    pub(crate) salt: SaltArguments,
    /// Do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}

/// `segcdc table remove`
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoveArguments {
    /// The tables.
    #[command(flatten)]
    pub(crate) tables: TableArguments,
    /// Drop the target tables too, if the pipeline made them
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_DROP_TARGET", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) drop_target: bool,
    /// Do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}
