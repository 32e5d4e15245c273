//! `segcdc table`

use segcdc_engine_native::{ResyncReport, resync};
use segcdc_model::TablePhase;

use crate::arguments::{Output, ResyncArguments, TableCommand};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings;

/// Does what is asked of single tables.
///
/// # Errors
/// When there is no such pipeline, it runs, a table cannot be replicated, or a server cannot be asked;
/// `CONFIRMATION_REQUIRED`.
pub(crate) async fn run(command: TableCommand, console: Console) -> Result<Exit, CliError> {
    match command {
        TableCommand::Resync(arguments) => run_resync(arguments, console).await,
    }
}

/// Has tables copied again by the next `up`.
async fn run_resync(arguments: ResyncArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("table resync", &[Output::Table, Output::Json, Output::Name])?;
    console.confirmable(arguments.yes, "table resync")?;
    let patterns = settings::patterns(&arguments.tables)?;
    let rules = settings::rules(&arguments.rules)?;
    let (endpoints, mut config) = commands::pipeline(&arguments.pipeline, console)?;
    config.rules = rules;
    let question = format!("Empty these tables in the target and copy them again for {}?", endpoints.name);
    if !arguments.yes && !console.ask(&question) {
        console.talk("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    let report = resync(&config, &patterns).await?;
    match console.output {
        Output::Json => console.json(&report),
        Output::Name => console.data(&names(&report)),
        Output::Table | Output::Wide => console.data(&render(&report)),
    }
    Ok(Exit::Ok)
}

/// The tables, one a line.
fn names(report: &ResyncReport) -> String {
    report.tables.iter().map(|table| table.source.to_string()).collect::<Vec<_>>().join("\n")
}

/// What will be copied again, for people.
fn render(report: &ResyncReport) -> String {
    if report.tables.is_empty() {
        return "no table of the pipeline is meant; without --tables, those that are quarantined are"
            .to_owned();
    }
    let mut lines = Vec::new();
    for table in &report.tables {
        let was = match table.was {
            TablePhase::Quarantined => "was quarantined",
            TablePhase::Streaming => "was live",
            TablePhase::Queued | TablePhase::Copying => "was not finished",
        };
        let anew = match (&table.dropped, table.made_anew) {
            (Some(before), _) => {
                format!("; its target table is {} now, and {before} was dropped", table.target)
            }
            (None, true) => "; its target table was made anew".to_owned(),
            (None, false) => String::new(),
        };
        lines.push(format!("{} ({was}) will be copied again{anew}", table.source));
    }
    lines.push("run `segcdc up` to copy and follow".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::ResyncedTable;
    use segcdc_model::QualifiedName;

    #[test]
    fn what_will_be_copied_is_listed() {
        let table = |name: &str, was, made_anew| ResyncedTable {
            source: QualifiedName::new("public", name),
            target: QualifiedName::new("dbo", name),
            was,
            made_anew,
            dropped: None,
        };
        let renamed = ResyncedTable {
            dropped: Some(QualifiedName::new("dbo", "c_old")),
            ..table("c", TablePhase::Streaming, true)
        };
        let tables = vec![
            table("a", TablePhase::Quarantined, false),
            table("b", TablePhase::Streaming, true),
            renamed,
        ];
        let report = ResyncReport { pipeline: "shop".to_owned(), tables };
        assert_eq!(
            render(&report),
            "public.a (was quarantined) will be copied again\n\
             public.b (was live) will be copied again; its target table was made anew\n\
             public.c (was live) will be copied again; its target table is dbo.c now, and dbo.c_old was dropped\n\
             run `segcdc up` to copy and follow"
        );
        assert_eq!(names(&report), "public.a\npublic.b\npublic.c");
        let none = ResyncReport { pipeline: "shop".to_owned(), tables: Vec::new() };
        assert!(render(&none).starts_with("no table"));
    }
}
