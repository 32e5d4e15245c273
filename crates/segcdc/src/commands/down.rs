//! `segcdc down`

use segcdc_engine_kafka_connect::remove;
use segcdc_engine_native::{DownReport, Removal, Thing, down};
use segcdc_model::Side;

use crate::arguments::{DownArguments, Output};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::worker;

/// Shows what belongs to the pipeline, or removes it.
///
/// # Errors
/// When there is no such pipeline, it runs, or a server cannot be asked; `CONFIRMATION_REQUIRED`.
pub(crate) async fn run(arguments: DownArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("down", &[Output::Table, Output::Json])?;
    if arguments.drop {
        console.confirmable(arguments.yes, "down --drop")?;
    }
    let (endpoints, config) = commands::pipeline(&arguments.pipeline, console)?;
    let connect = worker::existing(&arguments.worker, &config).await?;
    let take_away = async |removal| match &connect {
        Some((config, rest)) => Ok::<_, CliError>(remove(config, rest, removal).await?),
        None => Ok(down(&config, removal).await?),
    };
    if arguments.drop && !arguments.yes {
        console.talk(&render(&take_away(Removal::DryRun).await?));
        if !console.ask(&format!("Remove pipeline {}?", endpoints.name)) {
            console.talk("Nothing was changed.");
            return Ok(Exit::Ok);
        }
    }
    let removal = if arguments.drop { Removal::Drop } else { Removal::DryRun };
    let report = take_away(removal).await?;
    if console.is_json() {
        console.json(&report);
    } else {
        console.data(&render(&report));
    }
    Ok(Exit::Ok)
}

/// What goes and what stays, for people.
pub(crate) fn render(report: &DownReport) -> String {
    let (gone, left) = if report.done { ("removed", "left") } else { ("would be removed", "would be left") };
    let mut lines = Vec::new();
    let mut list = |heading: &str, things: &[Thing], with_sql: bool| {
        if things.is_empty() {
            return;
        }
        lines.push(format!("{heading}:"));
        for thing in things {
            lines.push(format!("  {} {}", side(thing.side), thing.what));
            if with_sql {
                lines.push(format!("    {}", thing.sql));
            }
        }
    };
    list(gone, &report.removed, false);
    list(left, &report.left, true);
    if lines.is_empty() {
        lines.push("there was nothing to remove".to_owned());
    }
    lines.join("\n")
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Target => "target",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_and_what_stays_is_listed() {
        let thing = |what: &str, side, sql: &str| Thing { what: what.to_owned(), side, sql: sql.to_owned() };
        let report = DownReport {
            pipeline: "shop".to_owned(),
            done: true,
            removed: vec![
                thing(
                    "slot \"segcdc_shop_g1\"",
                    Side::Source,
                    "SELECT pg_drop_replication_slot('segcdc_shop_g1')",
                ),
                thing("state of pipeline \"shop\"", Side::Target, "DELETE ..."),
            ],
            left: vec![thing("table dbo.orders", Side::Target, "DROP TABLE [dbo].[orders]")],
        };
        insta::assert_snapshot!("down_done", render(&report));
        insta::assert_snapshot!("down_dry", render(&DownReport { done: false, ..report }));
    }
}
