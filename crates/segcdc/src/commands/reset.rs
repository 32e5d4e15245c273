//! `segcdc reset`

use segcdc_engine_kafka_connect::reset;
use segcdc_engine_native::Removal;
use segcdc_sqlserver::TargetError;

use crate::arguments::{DownArguments, Output};
use crate::commands::{self, down, steer};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::worker::{self, Runs};

/// Shows what of the pipeline would be forgotten, or has it forgotten.
///
/// # Errors
/// `NATIVE_IN_FOREGROUND` for a pipeline of the native engine; when there is no such pipeline, or a server or the worker
/// cannot be asked; `CONFIRMATION_REQUIRED`.
pub(crate) async fn run(arguments: DownArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("reset", &[Output::Table, Output::Json])?;
    if arguments.drop {
        console.confirmable(arguments.yes, "reset --drop")?;
    }
    let (endpoints, config) = commands::pipeline(&arguments.pipeline, console)?;
    let (config, rest) = match worker::find(&arguments.worker, &config).await? {
        Runs::OnKafkaConnect(config, rest) => (config, rest),
        Runs::Natively => {
            let hint = "`segcdc table resync --tables '*.*'` has all tables copied again by the next `up`";
            return Err(steer::native_in_foreground(&endpoints.name, "reset", hint));
        }
        Runs::Nowhere => return Err(TargetError::StateMissing { pipeline: endpoints.name }.into()),
    };
    if arguments.drop && !arguments.yes {
        console.talk(&down::render(&reset(&config, &rest, Removal::DryRun).await?));
        let question = format!("Forget all progress of {} and remove these tables' rows?", endpoints.name);
        if !console.ask(&question) {
            console.talk("Nothing was changed.");
            return Ok(Exit::Ok);
        }
    }
    let removal = if arguments.drop { Removal::Drop } else { Removal::DryRun };
    let report = reset(&config, &rest, removal).await?;
    if console.is_json() {
        console.json(&report);
    } else {
        console.data(&down::render(&report));
    }
    if report.done {
        console.talk(
            "The next `segcdc up` with the same options makes the pipeline anew and copies everything.",
        );
    }
    Ok(Exit::Ok)
}
