//! `segcdc deadletter`

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand};

use super::{PipelineArguments, SaltArguments};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadletterCommand {
    /// List dead letters: which table, why, since when. Shows no value of a row, but the keys with -o wide and -o json
    #[command(after_help = "Examples:\n  segcdc deadletter list                       all that are open\n  \
                            segcdc deadletter list --tables public.orders --code VALUE_UNREPRESENTABLE\n  \
                            segcdc deadletter list --closed -o wide      those of the past too, with keys\n  \
                            segcdc deadletter list -o name               numbers only, one a line\n\n\
                            A letter closes by itself when a version of its row arrives that fits, when the row is \
                            deleted,\nor when its table is emptied: correct the row at the source. What a closed \
                            letter held of its row\nis erased.")]
    List(DeadletterListArguments),
    /// Show one dead letter with the row as PostgreSQL prints it: personal data, if the table holds any
    #[command(
        after_help = "Examples:\n  segcdc deadletter show 17\n  segcdc deadletter show 17 -o json | jq \
                            .personal_data.payload"
    )]
    Show(DeadletterShowArguments),
    /// Try rows that are set aside again, by the rules that are in force now. The pipeline must not run meanwhile
    #[command(
        after_help = "Examples:\n  segcdc up --until-caught-up --yes --on-value public.orders.total=null\n  \
                            segcdc deadletter replay --yes\n  segcdc deadletter replay --tables public.orders \
                            --yes -o json\n\nA row is written as the source has it at the target's checkpoint, and its letter \
                            is closed in the same\ntransaction. Rows that the source has changed since are left: they come with \
                            the next `up`."
    )]
    Replay(DeadletterReplayArguments),
    /// Erase what open letters hold of their rows, and show them as open no more. The rows stay kept out of the target
    #[command(
        after_help = "Examples:\n  segcdc deadletter discard 17 18 --yes\n\nA version of the row that fits still brings it into the \
                            target; one that does not opens the letter again."
    )]
    Discard(DeadletterDiscardArguments),
}

/// `segcdc deadletter list`
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadletterListArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Tables as schema.table with * and ? as wildcards; may be given several times. Without it, all of the pipeline
    #[arg(
        long,
        visible_alias = "table",
        value_name = "PATTERN",
        env = "SEGCDC_TABLES",
        hide_env_values = true
    )]
    pub(crate) tables: Vec<String>,
    /// Only those of this code
    #[arg(long, value_name = "CODE", env = "SEGCDC_CODE", hide_env_values = true)]
    pub(crate) code: Option<String>,
    /// Show the closed ones too
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_CLOSED", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) closed: bool,
    /// Letters that are listed at most
    #[arg(
        long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000),
        env = "SEGCDC_LIMIT", hide_env_values = true
    )]
    pub(crate) limit: u32,
    /// Only those with a higher number: how a long list goes on
    #[arg(long, value_name = "NUMBER", default_value_t = 0, env = "SEGCDC_AFTER", hide_env_values = true)]
    pub(crate) after: i64,
}

/// `segcdc deadletter replay`
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadletterReplayArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// What hashes are made with.
    #[command(flatten)]
    pub(crate) salt: SaltArguments,
    /// Tables as schema.table with * and ? as wildcards; may be given several times. Without it, all of the pipeline
    #[arg(
        long,
        visible_alias = "table",
        value_name = "PATTERN",
        env = "SEGCDC_TABLES",
        hide_env_values = true
    )]
    pub(crate) tables: Vec<String>,
    /// Only letters of this code
    #[arg(long, value_name = "CODE", env = "SEGCDC_CODE", hide_env_values = true)]
    pub(crate) code: Option<String>,
    /// Do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}

/// `segcdc deadletter discard`
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadletterDiscardArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Numbers of the letters
    #[arg(value_name = "NUMBER", required = true)]
    pub(crate) numbers: Vec<i64>,
    /// Do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}

/// `segcdc deadletter show`
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadletterShowArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Number of the letter
    #[arg(value_name = "NUMBER")]
    pub(crate) number: i64,
}
