//! `segcdc migrate`

use segcdc_engine_kafka_connect::{
    ConnectConfig, MigrationStep, Rest, plan_to_connect, plan_to_native, to_connect, to_native,
};
use segcdc_engine_native::EngineConfig;
use segcdc_model::Lsn;
use serde::Serialize;

use crate::arguments::{Engine, MigrateArguments, Output};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::worker;

/// An event in JSON lines.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// What will be done.
    Plan { pipeline: &'a str, engine: &'static str, steps: &'a [MigrationStep], topics_left: &'a [String] },
    /// A step.
    Step {
        #[serde(flatten)]
        step: &'a MigrationStep,
    },
    /// How it ended.
    Summary { outcome: &'static str, engine: &'static str, lsn: Option<Lsn> },
}

/// Hands the pipeline to another engine.
///
/// # Errors
/// `MIGRATE_REFUSED` with what stands in the way; what a server or the worker refuses; `CONFIRMATION_REQUIRED`.
pub(crate) async fn run(arguments: MigrateArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("migrate", &[Output::Table, Output::Json])?;
    if !arguments.dry_run {
        console.confirmable(arguments.yes, "migrate")?;
    }
    let (_, engine) = commands::pipeline(&arguments.pipeline, console)?;
    match arguments.engine.engine {
        Engine::KafkaConnect => {
            let (config, rest) = worker::setup(&arguments.engine, engine)?;
            connect(&arguments, &config, &rest, console).await
        }
        Engine::Native => match worker::existing(&arguments.engine.worker, &engine).await? {
            Some((config, rest)) => native(&arguments, &config, &rest, console).await,
            None => already(&engine, "native", console),
        },
    }
}

async fn connect(
    arguments: &MigrateArguments,
    config: &ConnectConfig,
    rest: &Rest,
    console: Console,
) -> Result<Exit, CliError> {
    let plan = Box::pin(plan_to_connect(config, rest)).await?;
    let view = View { engine: "kafka-connect", steps: &plan.steps, topics_left: &[] };
    if !agreed(arguments, &config.engine.name, &view, console)? {
        return Ok(Exit::Ok);
    }
    let lsn = Box::pin(to_connect(config, rest, &plan, &mut |step| tell(step, console))).await?;
    let next = "Connectors carry it now: `segcdc status` shows them, `segcdc up --engine kafka-connect` looks after them.";
    summary("kafka-connect", lsn, next, console);
    Ok(Exit::Ok)
}

async fn native(
    arguments: &MigrateArguments,
    config: &ConnectConfig,
    rest: &Rest,
    console: Console,
) -> Result<Exit, CliError> {
    let plan = Box::pin(plan_to_native(config, rest)).await?;
    if plan.is_done {
        return already(&config.engine, "native", console);
    }
    let view = View { engine: "native", steps: &plan.steps, topics_left: &plan.topics_left };
    if !agreed(arguments, &config.engine.name, &view, console)? {
        return Ok(Exit::Ok);
    }
    let lsn = Box::pin(to_native(config, rest, &plan, &mut |step| tell(step, console))).await?;
    let next = "Run `segcdc up` to go on: until then the source keeps the WAL behind that position.";
    summary("native", Some(lsn), next, console);
    Ok(Exit::Ok)
}

/// What is going to be done.
struct View<'a> {
    engine: &'static str,
    steps: &'a [MigrationStep],
    topics_left: &'a [String],
}

// === impl View ===

impl View<'_> {
    fn render(&self, pipeline: &str) -> String {
        let mut lines = vec![format!("Pipeline {pipeline} goes to the engine {}:", self.engine)];
        lines.extend(self.steps.iter().zip(1..).map(|(step, number)| format!("  {number}. {step}")));
        if !self.topics_left.is_empty() {
            let topics = self.topics_left.join(", ");
            lines.push(format!("These topics stay, because no --kafka-bootstrap was given: {topics}"));
        }
        lines.join("\n")
    }
}

/// Shows the plan, and asks if need be.
fn agreed(
    arguments: &MigrateArguments,
    pipeline: &str,
    view: &View<'_>,
    console: Console,
) -> Result<bool, CliError> {
    if console.is_json() {
        let View { engine, steps, topics_left } = view;
        console.json_line(&Event::Plan { pipeline, engine, steps, topics_left });
    } else if arguments.dry_run {
        console.data(&view.render(pipeline));
    } else {
        console.talk(&view.render(pipeline));
    }
    if arguments.dry_run {
        return Ok(false);
    }
    let agreed = arguments.yes || console.ask("Hand the pipeline over?");
    if !agreed {
        console.talk("Nothing was changed.");
    }
    Ok(agreed)
}

fn tell(step: &MigrationStep, console: Console) {
    match console.is_json() {
        true => console.json_line(&Event::Step { step }),
        false => console.talk(&format!("- {step}")),
    }
}

fn already(engine: &EngineConfig, word: &'static str, console: Console) -> Result<Exit, CliError> {
    if console.is_json() {
        console.json_line(&Event::Summary { outcome: "already", engine: word, lsn: None });
    } else {
        console.data(&format!("pipeline {} is run by the engine {word} already", engine.name));
    }
    Ok(Exit::Ok)
}

fn summary(engine: &'static str, lsn: Option<Lsn>, next: &str, console: Console) {
    if console.is_json() {
        console.json_line(&Event::Summary { outcome: "handed_over", engine, lsn });
        return;
    }
    let at = lsn.map(|lsn| format!(" at {lsn}")).unwrap_or_default();
    console.data(&format!("handed over to {engine}{at}"));
    console.talk(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_can_be_read() {
        let steps = [
            MigrationStep::ValidateConnectors,
            MigrationStep::TakeOver,
            MigrationStep::WaitForSlot { slot: "segcdc_shop_g1".to_owned() },
            MigrationStep::HandToConnect,
            MigrationStep::SetUp { of: None },
        ];
        let view =
            View { engine: "kafka-connect", steps: &steps, topics_left: &["segcdc_shop.dbo".to_owned()] };
        insta::assert_snapshot!("migrate_plan", view.render("shop"));
    }
}
