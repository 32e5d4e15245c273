//! `segcdc pause`, `segcdc resume`, `segcdc stop`, `segcdc restart`

use segcdc_engine_kafka_connect::rest::ConnectorWord;
use segcdc_engine_kafka_connect::{Order, SteerReport, steer};
use segcdc_sqlserver::TargetError;

use crate::arguments::{Output, SteerArguments};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::{self, Side};
use crate::worker::{self, Runs};

/// Tells the pipeline's connectors what to do, and waits until they have done it.
///
/// # Errors
/// `NATIVE_IN_FOREGROUND` for a pipeline that has no connectors; when there is no such pipeline, or a server or the worker
/// cannot be asked.
pub(crate) async fn run(arguments: SteerArguments, order: Order, console: Console) -> Result<Exit, CliError> {
    console.allow(verb(order), &[Output::Table, Output::Json, Output::Name])?;
    let (endpoints, config) = commands::pipeline(&arguments.pipeline, console)?;
    let (config, rest) = match worker::find(&arguments.worker, &config).await? {
        Runs::OnKafkaConnect(config, rest) => (config, rest),
        Runs::Natively => return Err(refuse(&endpoints.name, order)),
        Runs::Nowhere => return Err(TargetError::StateMissing { pipeline: endpoints.name }.into()),
    };
    let report = steer(&config, &rest, order).await?;
    match console.output {
        Output::Json => console.json(&report),
        Output::Name => console.data(&names(&report)),
        Output::Table | Output::Wide => console.data(&render(&report)),
    }
    if matches!(order, Order::Pause | Order::Stop) {
        console
            .talk("The source keeps WAL for the slot until `segcdc resume`: `segcdc slot` shows how much.");
    }
    let failed = report.connectors.iter().any(|one| one.told && one.is == ConnectorWord::Failed);
    if failed {
        console.talk("A connector has failed again: `segcdc status` says why.");
    }
    Ok(if failed { Exit::Runtime } else { Exit::Ok })
}

/// The word of the command line.
const fn verb(order: Order) -> &'static str {
    match order {
        Order::Pause => "pause",
        Order::Resume => "resume",
        Order::Stop => "stop",
        Order::Restart { .. } => "restart",
    }
}

/// A pipeline of the native engine is a process of its own, which nobody else steers.
fn refuse(pipeline: &str, order: Order) -> CliError {
    let hint = match order {
        Order::Pause | Order::Stop => {
            "end the process of `segcdc up` by ctrl-C or SIGTERM; `segcdc up` goes on where it was"
        }
        Order::Resume => "run `segcdc up`, which goes on where it was",
        Order::Restart { .. } => "end the process of `segcdc up` by ctrl-C or SIGTERM, and start it again",
    };
    native_in_foreground(pipeline, verb(order), hint)
}

/// What a pipeline of the native engine answers to commands for connectors.
pub(super) fn native_in_foreground(pipeline: &str, verb: &str, hint: &str) -> CliError {
    let message = format!(
        "pipeline \"{pipeline}\" has no connectors to {verb}: the native engine runs in the process of `segcdc up`"
    );
    CliError::usage("NATIVE_IN_FOREGROUND", message, hint)
}

/// The connectors that were told something, one a line.
fn names(report: &SteerReport) -> String {
    let told = report.connectors.iter().filter(|connector| connector.told);
    told.map(|connector| connector.name.clone()).collect::<Vec<_>>().join("\n")
}

/// What became of the connectors, for people.
fn render(report: &SteerReport) -> String {
    let rows = report.connectors.iter().map(|connector| {
        let is = connector.is.as_str().to_lowercase();
        vec![
            connector.name.clone(),
            connector.was.as_str().to_lowercase(),
            if connector.told { is } else { format!("{is}, left as it is") },
        ]
    });
    text::table(&[("CONNECTOR", Side::Left), ("WAS", Side::Left), ("IS", Side::Left)], rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_kafka_connect::steer::Steered;

    #[test]
    fn what_became_of_each_connector_is_shown() {
        let steered =
            |name: &str, was, told| Steered { name: name.to_owned(), was, is: ConnectorWord::Paused, told };
        let connectors = vec![
            steered("shop_source", ConnectorWord::Running, true),
            steered("shop_sink", ConnectorWord::Paused, false),
        ];
        let report = SteerReport { pipeline: "shop".to_owned(), connectors };
        insta::assert_snapshot!("steered", render(&report));
        assert_eq!(names(&report), "shop_source");
    }

    #[test]
    fn the_native_engine_has_nothing_to_steer() {
        for order in [Order::Pause, Order::Resume, Order::Stop, Order::Restart { only_failed: false }] {
            let error = refuse("shop", order);
            assert_eq!((error.code.as_str(), error.exit), ("NATIVE_IN_FOREGROUND", Exit::Usage));
            assert!(error.hint.contains("segcdc up"), "{error:?}");
        }
    }
}
