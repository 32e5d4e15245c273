//! The commands, one file each, and what they share.

use std::io;

use segcdc_engine_kafka_connect::Order;
use segcdc_engine_native::{EngineConfig, SnapshotMode, WalLimit, WalPolicy};
use segcdc_plan::MaskSalt;

use crate::arguments::{
    Command, Engine, PipelineArguments, SaltArguments, SetupArguments, Snapshot, WalPolicyChoice,
};
use crate::console::Console;
use crate::environment;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::{self, Endpoints};
use crate::signals::Signals;

mod completion;
mod connect;
mod deadletter;
mod doctor;
mod down;
mod export;
mod migrate;
mod plan;
mod reset;
mod serve;
mod slot;
mod status;
mod steer;
mod table;
mod transaction;
mod up;
mod verify;
mod version;

/// Runs a command to its end, or until a signal ends it.
///
/// # Errors
/// What a person has to act on.
pub(crate) async fn run(command: Command, console: Console, signals: Signals) -> Result<Exit, CliError> {
    let command = match command {
        Command::Up(arguments) => return Box::pin(up::run(arguments, console, signals)).await,
        Command::Serve(arguments) => return Box::pin(serve::run(arguments, console, signals)).await,
        other => other,
    };
    let first = signals.first.clone();
    tokio::select! {
        outcome = Box::pin(run_to_end(command, console)) => outcome,
        () = first.cancelled() => Ok(signals.exit()),
    }
}

/// Runs a command that can be dropped at any point.
async fn run_to_end(command: Command, console: Console) -> Result<Exit, CliError> {
    match command {
        // These run until they are stopped, and so are none of these.
        Command::Up(_) | Command::Serve(_) => Ok(Exit::Ok),
        Command::Status(arguments) => status::run(arguments, console).await,
        Command::Slot(arguments) => slot::run(arguments, console).await,
        Command::Plan(arguments) => Box::pin(plan::run(arguments, console)).await,
        Command::Export(arguments) => export::run(arguments, console).await,
        Command::Doctor(arguments) => Box::pin(doctor::run(arguments, console)).await,
        Command::Verify(arguments) => verify::run(arguments, console).await,
        Command::Table { command } => table::run(command, console).await,
        Command::Transaction { command } => transaction::run(command, console).await,
        Command::Migrate(arguments) => migrate::run(arguments, console).await,
        Command::Deadletter { command } => deadletter::run(command, console).await,
        Command::Down(arguments) => down::run(arguments, console).await,
        Command::Pause(arguments) => steer::run(arguments, Order::Pause, console).await,
        Command::Resume(arguments) => steer::run(arguments, Order::Resume, console).await,
        Command::Stop(arguments) => steer::run(arguments, Order::Stop, console).await,
        Command::Restart(arguments) => {
            let order = Order::Restart { only_failed: arguments.only_failed };
            steer::run(arguments.steer, order, console).await
        }
        Command::Reset(arguments) => reset::run(arguments, console).await,
        Command::Version => version::run(console),
        Command::Completion { shell } => completion::run(shell, console),
    }
}

/// The pipeline that the arguments name, with what its URLs give up of protection shown.
fn pipeline(arguments: &PipelineArguments, console: Console) -> Result<(Endpoints, EngineConfig), CliError> {
    let endpoints = Endpoints::read(arguments, &mut io::stdin().lock())?;
    console.talk(&console.paint.dim(&endpoints.title()));
    console.consents(&endpoints.consents());
    for odd in endpoints.oddities() {
        console.talk(&format!("note: {odd}"));
    }
    let config =
        EngineConfig::new(endpoints.source.clone(), endpoints.target.clone(), endpoints.name.clone());
    Ok((endpoints, config))
}

/// What hashes of masked columns are made with, if it is there.
fn salt(arguments: &SaltArguments) -> Result<Option<MaskSalt>, CliError> {
    settings::salt(arguments, environment::variable)
}

/// The pipeline that the arguments describe in full.
fn setup(arguments: &SetupArguments, console: Console) -> Result<(Endpoints, EngineConfig), CliError> {
    let patterns = settings::patterns(&arguments.tables)?;
    let exclude = settings::patterns(&arguments.exclude)?;
    let mut rules = settings::rules(&arguments.rules)?;
    rules.pick_up = settings::pick_up(arguments)?;
    if arguments.engine.engine == Engine::KafkaConnect && !rules.is_empty() {
        let message = "rules for tables and columns are the native engine's; connectors do not follow them";
        let hint = "leave the rules away, or take --engine native";
        return Err(CliError::usage("RULES_WITH_ENGINE", message, hint));
    }
    let gives_up = arguments.wal.wal_policy == WalPolicyChoice::GiveUp;
    if arguments.engine.engine == Engine::KafkaConnect
        && (gives_up || arguments.wal.max_retained_wal.is_some())
    {
        let message =
            "limits of retained WAL are the native engine's; nobody watches the slot of a connector";
        let hint = "leave them away and set max_slot_wal_keep_size at the source, or take --engine native";
        return Err(CliError::usage("WAL_LIMIT_WITH_ENGINE", message, hint));
    }
    if arguments.slot.is_some() && arguments.snapshot != Snapshot::None {
        let message =
            "--slot needs --snapshot none: the position of an existing slot has no snapshot to copy by";
        let hint = "give --snapshot none if the target holds the rows already, or leave --slot away";
        return Err(CliError::usage("SLOT_WITH_SNAPSHOT", message, hint));
    }
    let (endpoints, mut config) = pipeline(&arguments.pipeline, console)?;
    config.patterns = patterns;
    config.exclude = exclude;
    config.rules = rules;
    config.mask_salt = salt(&arguments.salt)?;
    config.snapshot = match arguments.snapshot {
        Snapshot::Initial => SnapshotMode::Initial,
        Snapshot::None => SnapshotMode::None,
        Snapshot::Only => SnapshotMode::Only,
    };
    config.publication.clone_from(&arguments.publication);
    config.slot.clone_from(&arguments.slot);
    config.readers = usize::from(arguments.readers);
    config.throttle = arguments.throttle;
    config.wal = WalLimit {
        max_retained_bytes: arguments.wal.max_retained_wal,
        policy: if gives_up { WalPolicy::GiveUp } else { WalPolicy::Alert },
    };
    Ok((endpoints, config))
}
