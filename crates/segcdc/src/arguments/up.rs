//! What `segcdc up` takes beside the pipeline.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};

use crate::arguments::SetupArguments;

/// `segcdc up`
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) setup: SetupArguments,
    /// End with 0 once everything that was committed before the call has arrived
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_UNTIL_CAUGHT_UP", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) until_caught_up: bool,
    /// How changes are applied.
    #[command(flatten)]
    pub(crate) apply: ApplyArguments,
    /// Do not ask before anything is created; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}

/// How changes are applied, and what happens when they are not to be had.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArguments {
    /// How a source transaction that is too large for memory becomes visible in the target
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value = "atomic",
        env = "SEGCDC_LARGE_TRANSACTIONS",
        hide_env_values = true
    )]
    pub(crate) large_transactions: LargeTransactionsChoice,
    /// What to do when the slot is gone or lost, or has let go of what the target has not (it was restored from a backup)
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value = "stop",
        env = "SEGCDC_RECOVER",
        hide_env_values = true
    )]
    pub(crate) recover: RecoverChoice,
}

/// What to do when changes that the target needs are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum RecoverChoice {
    /// Say so, and stop
    #[default]
    Stop,
    /// Make a new slot, empty the target tables and copy them again
    Copy,
    /// Make a new slot, compare the target tables with the source as it is then, and write only what differs. Tables that
    /// `table resync` has queued are compared too. A table without a key, or with policies for values, is copied
    Repair,
}

/// How a transaction that is too large for memory becomes visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LargeTransactionsChoice {
    /// As a whole, in one target transaction, which the target's log has to hold
    #[default]
    Atomic,
    /// In parts, each a target transaction of its own: for a log that cannot hold all of it. Readers of the target see it
    /// by half meanwhile; each change takes effect once all the same
    Chunked,
}
