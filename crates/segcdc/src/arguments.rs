//! [`Arguments`]: the command line. Every flag has an environment variable; the flag wins.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::logs::LogFormat;
use crate::text;
use segcdc_engine_native::Throttle;

pub(crate) use crate::arguments::deadletter::{
    DeadletterCommand, DeadletterDiscardArguments, DeadletterListArguments, DeadletterReplayArguments,
    DeadletterShowArguments,
};
pub(crate) use crate::arguments::engine::{
    BrokerArguments, Engine, EngineArguments, FullLoadBy, KafkaSasl, WorkerArguments,
};
pub(crate) use crate::arguments::rules::{MASK_SALT, RuleArguments, SaltArguments};
pub(crate) use crate::arguments::serve::ServeArguments;
pub(crate) use crate::arguments::steer::{RestartArguments, SteerArguments};
pub(crate) use crate::arguments::table::{
    ByChoice, RemoveArguments, ResyncArguments, TableArguments, TableCommand,
};
pub(crate) use crate::arguments::transaction::{KeepArguments, SkipArguments, TransactionCommand};
pub(crate) use crate::arguments::up::{ApplyArguments, LargeTransactionsChoice, RecoverChoice, UpArguments};
pub(crate) use crate::arguments::verify::VerifyArguments;
pub(crate) use crate::arguments::wal::{WalArguments, WalPolicyChoice};

mod deadletter;
mod engine;
mod examples;
mod pace;
mod rules;
mod serve;
mod steer;
mod table;
mod transaction;
mod up;
mod verify;
mod wal;

/// How the URLs can be given.
const URL_HELP: &str = "A URL, @FILE with one, or - for a line of standard input. A URL with a password is better \
                        given by the variable or a file: command lines can be read by others";

/// Replicates PostgreSQL to SQL Server: a consistent copy, then every committed change, exactly once.
#[derive(Debug, Parser)]
#[command(name = "segcdc", version, after_help = examples::ALL, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// What applies to all commands.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What applies to all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Form of what goes to standard output; progress and talk go to standard error
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value = "table",
        env = "SEGCDC_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) output: Output,
    /// Show also what is as it should be
    #[arg(
        long, short, global = true, action = ArgAction::SetTrue, env = "SEGCDC_VERBOSE", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) verbose: bool,
    /// error, warn, info, debug, trace, or a list like segcdc_postgres=debug,warn
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "warn",
        env = "SEGCDC_LOG",
        hide_env_values = true
    )]
    pub(crate) log_level: String,
    /// Form of the log on standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "SEGCDC_LOG_FORMAT",
        hide_env_values = true
    )]
    pub(crate) log_format: LogFormat,
}

/// Form of what goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people
    Table,
    /// More columns
    Wide,
    /// JSON for programs
    Json,
    /// Names only, one a line
    Name,
}

// === impl Output ===

impl Output {
    /// The word of the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Output::Table => "table",
            Output::Wide => "wide",
            Output::Json => "json",
            Output::Name => "name",
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the pipeline if it is new, then run it until it is stopped
    #[command(after_help = examples::UP)]
    Up(UpArguments),
    /// Show where the pipeline and each of its tables stand
    #[command(after_help = "Examples:\n  segcdc status --watch\n  segcdc status -o json")]
    Status(StatusArguments),
    /// Show the replication slot: who reads it, what it holds back, how long it can
    Slot(PipelineArguments),
    /// Show what `up` would do on each side, with the SQL; changes nothing
    #[command(
        after_help = "Examples:\n  segcdc plan --tables 'public.*'\n  segcdc plan -o json\n  segcdc plan --post-load > post-load.sql"
    )]
    Plan(PlanArguments),
    /// Print a pipeline file that says what the options, variables and the pipeline's state say; changes nothing
    #[command(after_help = examples::EXPORT)]
    Export(ExportArguments),
    /// Check both servers for everything that `up` needs, with the SQL that mends what is missing; changes nothing
    #[command(
        after_help = "Examples:\n  segcdc doctor\n  segcdc doctor -v --tables 'sales.*'\n  segcdc doctor --scan-keys"
    )]
    Doctor(DoctorArguments),
    /// Compare source and target row by row, while changes flow; with --repair mend what differs
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArguments),
    /// Work on single tables of the pipeline, whether it runs or not
    Table {
        /// What to do.
        #[command(subcommand)]
        command: TableCommand,
    },
    /// Leave single transactions of the source out: by their position, once, and recorded
    Transaction {
        /// What to do.
        #[command(subcommand)]
        command: TransactionCommand,
    },
    /// Hand the running pipeline to another engine, at a position: nothing is copied again, nothing is missed
    #[command(after_help = examples::MIGRATE)]
    Migrate(MigrateArguments),
    /// Look at, replay or discard dead letters: rows of the source that the target cannot hold, set aside by --on-value set_aside
    Deadletter {
        /// What to do.
        #[command(subcommand)]
        command: DeadletterCommand,
    },
    /// Show what belongs to the pipeline; with --drop remove it: slot, publication and state
    #[command(after_help = "Examples:\n  segcdc down                 what is there, and what would go\n  \
                            segcdc down --drop --yes    remove slot, publication and state\n\nThe target's tables \
                            stay; the SQL that drops them is printed. A slot or publication that was given with\n\
                            --slot or --publication stays too.")]
    Down(DownArguments),
    /// Kafka Connect: have the connectors wait; they keep slot and consumer groups
    #[command(
        after_help = "Examples:\n  segcdc pause && segcdc resume\n\nThe source keeps WAL for the slot meanwhile: \
                            `segcdc slot` shows how much."
    )]
    Pause(SteerArguments),
    /// Kafka Connect: let connectors that wait or are stopped go on where they were
    Resume(SteerArguments),
    /// Kafka Connect: end the connectors' tasks; they let go of slot and consumer groups
    #[command(
        after_help = "Examples:\n  segcdc stop\n  segcdc resume         they go on where they were\n\nThe source \
                            keeps WAL for the slot meanwhile: `segcdc slot` shows how much."
    )]
    Stop(SteerArguments),
    /// Kafka Connect: end the connectors' tasks and start new ones
    #[command(after_help = "Examples:\n  segcdc restart\n  segcdc restart --only-failed")]
    Restart(RestartArguments),
    /// Kafka Connect: forget all progress and empty the target's tables, so that the next `up` copies anew
    #[command(
        after_help = "Examples:\n  segcdc reset           what would go\n  segcdc reset --drop    asks, and \
                            does it\n\nTables that the pipeline made are dropped, tables that were there before are emptied."
    )]
    Reset(DownArguments),
    /// Serve the control plane: an HTTP API for tenants, people, tokens, connections and pipelines
    #[command(after_help = examples::SERVE)]
    Serve(ServeArguments),
    /// Show the version
    Version,
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  source <(segcdc completion bash)\n  \
                            segcdc completion zsh > ~/.zfunc/_segcdc")]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// Which pipeline.
#[derive(Debug, Clone, Args)]
pub(crate) struct PipelineArguments {
    /// A pipeline file, which says what these options say: docs/reference/pipeline-yaml.md. What is given besides, as an option or
    /// a variable, counts instead of what the file says of the same, and that is said. - is standard input
    #[arg(long, short, value_name = "FILE", env = "SEGCDC_FILE", hide_env_values = true)]
    pub(crate) file: Option<PathBuf>,
    /// The PostgreSQL to read: postgres://user:password@host:port/database?sslmode=…
    #[arg(long, value_name = "URL", env = "SEGCDC_SOURCE_URL", hide_env_values = true, long_help = source_help())]
    pub(crate) source: Option<String>,
    /// The SQL Server to write: sqlserver://user:password@host:port/database?encrypt=…
    #[arg(long, value_name = "URL", env = "SEGCDC_TARGET_URL", hide_env_values = true, long_help = target_help())]
    pub(crate) target: Option<String>,
    /// The pipeline's name; without it, the name of the source's database
    #[arg(long, value_name = "NAME", env = "SEGCDC_NAME", hide_env_values = true)]
    pub(crate) name: Option<String>,
    /// Directory for what is too large for memory; without it, the system's directory for temporary files
    #[arg(long, value_name = "DIRECTORY", env = "SEGCDC_SPILL_DIR", hide_env_values = true)]
    pub(crate) spill_dir: Option<PathBuf>,
    /// The most that may be in --spill-dir at once, like 500MiB or 20GiB; without it, 1 GiB of its disk stays free for
    /// others (of a disk below 10 GiB, a tenth)
    #[arg(
        long, value_name = "SIZE", value_parser = text::parse_bytes, env = "SEGCDC_SPILL_LIMIT", hide_env_values = true
    )]
    pub(crate) spill_limit: Option<u64>,
}

/// Which pipeline, and how it is to be set up.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetupArguments {
    /// Which pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Tables as schema.table with * and ? as wildcards; may be given several times. Without it, all tables
    #[arg(long, value_name = "PATTERN", env = "SEGCDC_TABLES", hide_env_values = true)]
    pub(crate) tables: Vec<String>,
    /// Tables that are not replicated though --tables means them, as schema.table with * and ? as wildcards; may be given
    /// several times
    #[arg(long, value_name = "PATTERN", env = "SEGCDC_EXCLUDE", hide_env_values = true)]
    pub(crate) exclude: Vec<String>,
    /// Take in tables that are made later at the source, while the pipeline runs: those that --tables and --exclude mean. Each is added as
    /// `segcdc table add` does; one that cannot be replicated is named in status with its reason. Remembered with its patterns;
    /// --pick-up-new-tables=false ends it. A table that was removed is not taken in again
    #[arg(
        long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        env = "SEGCDC_PICK_UP_NEW_TABLES", hide_env_values = true
    )]
    pub(crate) pick_up_new_tables: Option<bool>,
    /// Rules.
    #[command(flatten)]
    pub(crate) rules: RuleArguments,
    /// What hashes are made with.
    #[command(flatten)]
    pub(crate) salt: SaltArguments,
    /// Whether to copy the rows that are there
    #[arg(long, value_enum, default_value = "initial", env = "SEGCDC_SNAPSHOT", hide_env_values = true)]
    pub(crate) snapshot: Snapshot,
    /// Use this publication, which must exist, instead of making one
    #[arg(long, value_name = "NAME", env = "SEGCDC_PUBLICATION", hide_env_values = true)]
    pub(crate) publication: Option<String>,
    /// Use this replication slot, which must exist, instead of making one; only with --snapshot none
    #[arg(long, value_name = "NAME", env = "SEGCDC_SLOT", hide_env_values = true)]
    pub(crate) slot: Option<String>,
    /// Sessions that copy tables at the same time, 1 to 32
    #[arg(
        long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32),
        env = "SEGCDC_READERS", hide_env_values = true
    )]
    pub(crate) readers: u8,
    /// What copying may take from the source in a second, all readers together, like 20MiB/s or 5000rows/s
    #[arg(long, value_name = "PACE", value_parser = pace::parse, env = "SEGCDC_THROTTLE", hide_env_values = true)]
    pub(crate) throttle: Option<Throttle>,
    /// WAL at the source.
    #[command(flatten)]
    pub(crate) wal: WalArguments,
    /// Who runs it.
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
}

/// Whether to copy the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Snapshot {
    /// Copy, then follow
    Initial,
    /// Only follow: the target holds the rows already
    None,
    /// Only copy
    Only,
}

/// `segcdc plan`
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) setup: SetupArguments,
    /// Print instead the T-SQL that gives the target the source's indexes, foreign keys, defaults and sequences, for the
    /// day on which it takes the source's place
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_POST_LOAD", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) post_load: bool,
}

/// `segcdc export`
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) setup: SetupArguments,
    /// How changes are applied.
    #[command(flatten)]
    pub(crate) apply: ApplyArguments,
    /// What is given of all this, by the keys of a pipeline file.
    #[arg(skip)]
    pub(crate) given: Vec<Given>,
}

/// What is given for one key of a pipeline file, as the argument takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The key's path.
    pub(crate) path: &'static str,
    /// One value, or those of a list or mapping.
    pub(crate) values: Vec<String>,
}

/// `segcdc doctor`
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) setup: SetupArguments,
    /// Read all rows of tables with a key of text or bytes, to find keys that SQL Server cannot tell apart or hold
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_SCAN_KEYS", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) scan_keys: bool,
}

/// `segcdc status`
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Where its worker is.
    #[command(flatten)]
    pub(crate) worker: WorkerArguments,
    /// Show it again every two seconds, until ctrl-C
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_WATCH", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) watch: bool,
}

/// `segcdc migrate`
#[derive(Debug, Clone, Args)]
pub(crate) struct MigrateArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Who is to run it.
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    /// Show what would be done, and end
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_DRY_RUN", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) dry_run: bool,
    /// Do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}

/// `segcdc down`, `segcdc reset`
#[derive(Debug, Clone, Args)]
pub(crate) struct DownArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// Where its worker is.
    #[command(flatten)]
    pub(crate) worker: WorkerArguments,
    /// Do it; without it nothing is changed
    #[arg(
        long, action = ArgAction::SetTrue, env = "SEGCDC_DROP", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) drop: bool,
    /// Do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}

fn source_help() -> String {
    format!(
        "The PostgreSQL to read:\n\
         postgres://user:password@host:port/database?sslmode=verify-full|verify-ca|require|prefer|allow|disable\n\
         &sslrootcert=FILE&sslcert=FILE&sslkey=FILE&channel_binding=require\n\
         Several hosts, of which the primary is taken: postgres://user:password@host1,host2/database\n\
         All parameters: docs/reference/urls.md\n{URL_HELP}"
    )
}

fn target_help() -> String {
    format!(
        "The SQL Server to write:\n\
         sqlserver://user:password@host:port/database?encrypt=strict|true|false\n\
         &trust_server_certificate=true|false&ca_file=FILE&host_name_in_certificate=NAME&schema=dbo\n{URL_HELP}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_option_has_its_variable() {
        fn check(command: &clap::Command) {
            for option in command.get_opts() {
                let variable = option.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                assert!(variable.starts_with("SEGCDC_"), "{} {option}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn help_teaches() {
        let mut command = Arguments::command().term_width(110);
        command.build();
        insta::assert_snapshot!("help_segcdc", command.render_help());
        for subcommand in command.get_subcommands_mut() {
            let name = format!("help_{}", subcommand.get_name());
            insta::assert_snapshot!(name, subcommand.render_long_help());
        }
    }
}
