//! `segcdc table`

use std::time::Duration;

use segcdc_engine_native::wish::By;
use segcdc_engine_native::{Choice, EngineConfig, ListedTable, ResyncReport, Wish, WishReport, resync};
use segcdc_model::TablePhase;

use crate::arguments::{
    ByChoice, Output, PipelineArguments, RemoveArguments, ResyncArguments, TableArguments, TableCommand,
};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::phases;
use crate::settings;
use crate::text::{self, Side};

/// How long a command waits for a running pipeline to see what is asked of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long whoever is to waits for copies: as good as for ever.
pub(super) const COPIES: Duration = Duration::from_secs(30 * 24 * 3600);

/// Does what is asked of single tables.
///
/// # Errors
/// When there is no such pipeline, a table cannot be replicated, or a server cannot be asked; `TABLE_REFUSED` when the pipeline
/// does not do what is asked; `CONFIRMATION_REQUIRED`.
pub(crate) async fn run(command: TableCommand, console: Console) -> Result<Exit, CliError> {
    match command {
        TableCommand::List(arguments) => run_list(&arguments, console).await,
        TableCommand::Pause(arguments) => run_wish(Wish::Pause, &arguments, console).await,
        TableCommand::Resume(arguments) => run_wish(Wish::Resume, &arguments, console).await,
        TableCommand::Add(arguments) => run_wish(Wish::Add, &arguments, console).await,
        TableCommand::Remove(arguments) => run_remove(arguments, console).await,
        TableCommand::Resync(arguments) => run_resync(*arguments, console).await,
    }
}

/// Lists the tables.
async fn run_list(arguments: &PipelineArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("table list", &[Output::Table, Output::Json, Output::Name])?;
    let (_, config) = commands::pipeline(arguments, console)?;
    let tables = segcdc_engine_native::list_tables(&config).await?;
    match console.output {
        Output::Json => console.json(&tables),
        Output::Name => {
            let names: Vec<String> = tables.iter().map(|table| table.source.to_string()).collect();
            console.data(&names.join("\n"));
        }
        Output::Table | Output::Wide => console.data(&render_list(&tables)),
    }
    Ok(Exit::Ok)
}

/// Asks something of tables.
async fn run_wish(wish: Wish, arguments: &TableArguments, console: Console) -> Result<Exit, CliError> {
    let command = format!("table {}", wish.word());
    console.allow(&command, &[Output::Table, Output::Json, Output::Name])?;
    let patterns = settings::patterns(&arguments.tables)?;
    let (_, config) = commands::pipeline(&arguments.pipeline, console)?;
    ask(&config, wish, Choice::Matching(&patterns), arguments.wait.wait, console).await
}

/// Takes tables out of the pipeline, after asking.
async fn run_remove(arguments: RemoveArguments, console: Console) -> Result<Exit, CliError> {
    console.confirmable(arguments.yes, "table remove")?;
    let what = match arguments.drop_target {
        true => "Take these tables out of the pipeline and its publication, and drop their target tables?",
        false => "Take these tables out of the pipeline and its publication?",
    };
    if !arguments.yes && !console.ask(what) {
        console.talk("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    let wish = Wish::Remove { drop_target: arguments.drop_target };
    run_wish(wish, &arguments.tables, console).await
}

/// Asks, waits as long as it makes sense, and tells what became of it.
async fn ask(
    config: &EngineConfig,
    wish: Wish,
    choice: Choice<'_>,
    to_the_end: bool,
    console: Console,
) -> Result<Exit, CliError> {
    let mut report = segcdc_engine_native::ask(config, wish, choice).await?;
    if report.running && !report.tables.is_empty() {
        let patience = if to_the_end { COPIES } else { PATIENCE };
        segcdc_engine_native::wait(config, &mut report, to_the_end, patience).await?;
    }
    match console.output {
        Output::Json => console.json(&report),
        Output::Name => {
            let names: Vec<String> = report.tables.iter().map(|table| table.source.to_string()).collect();
            console.data(&names.join("\n"));
        }
        Output::Table | Output::Wide => console.data(&render_wish(wish, &report)),
    }
    refusal(&report).map_or(Ok(Exit::Ok), Err)
}

/// That the pipeline does not do what was asked of a table, if it does not.
pub(super) fn refusal(report: &WishReport) -> Option<CliError> {
    let refused = report.tables.iter().find(|table| table.outcome == "REFUSED")?;
    let message = format!("{}: {}", refused.source, refused.detail);
    let hint = "`segcdc table list` shows where each table stands";
    Some(CliError::usage("TABLE_REFUSED", message, hint))
}

/// What became of a wish, for people.
fn render_wish(wish: Wish, report: &WishReport) -> String {
    if report.tables.is_empty() {
        return match wish {
            Wish::Add => "no table of the source is meant that is not in the pipeline".to_owned(),
            _ => "no table of the pipeline is meant".to_owned(),
        };
    }
    let word = wish.word();
    let mut lines: Vec<String> = report
        .tables
        .iter()
        .map(|table| match (table.outcome, report.running) {
            ("ASKED" | "BEGUN", false) => format!("{}: {word} is noted", table.source),
            ("ASKED", true) => format!("{}: {word} is noted, and not begun yet", table.source),
            _ => format!("{}: {}", table.source, table.detail),
        })
        .collect();
    if !report.running {
        lines.push("no process runs the pipeline: the next `segcdc up` carries it out".to_owned());
    }
    lines.join("\n")
}

/// The tables of a pipeline, for people.
fn render_list(tables: &[ListedTable]) -> String {
    let heads = ["TABLE", "TARGET", "STATE", "AS OF", "ASKED"].map(|head| (head, Side::Left));
    let rows = tables.iter().map(|table| {
        let state = match &table.error {
            Some((code, _)) => format!("{} [{code}]", phases::table(table.phase)),
            None => phases::table(table.phase).to_owned(),
        };
        let asked: Vec<&str> = table.asked.iter().map(Wish::word).collect();
        let (source, target) = (table.source.to_string(), table.target.to_string());
        vec![source, target, state, table.sync_lsn.to_string(), asked.join(", ")]
    });
    text::table(&heads, rows.collect())
}

/// Has tables copied again: by the process that runs the pipeline, or by the next `up`.
async fn run_resync(arguments: ResyncArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("table resync", &[Output::Table, Output::Json, Output::Name])?;
    console.confirmable(arguments.yes, "table resync")?;
    let all = vec!["*.*".to_owned()];
    let patterns = settings::patterns(if arguments.all { &all } else { &arguments.tables })?;
    let rules = settings::rules(&arguments.rules)?;
    let (endpoints, mut config) = commands::pipeline(&arguments.pipeline, console)?;
    let running = rules.is_empty() && segcdc_engine_native::is_running(&config).await?;
    config.rules = rules;
    config.mask_salt = commands::salt(&arguments.salt)?;
    let question = match running || arguments.by.is_some() {
        true => format!("Copy these tables again for {}?", endpoints.name),
        false => format!("Empty these tables in the target and copy them again for {}?", endpoints.name),
    };
    if !arguments.yes && !console.ask(&question) {
        console.talk("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    if config.rules.is_empty() && (running || arguments.by.is_some()) {
        let by = arguments.by.map(|by| match by {
            ByChoice::Merge => By::Merge,
            ByChoice::Swap => By::Swap,
        });
        let choice = if patterns.is_empty() { Choice::Failed } else { Choice::Matching(&patterns) };
        return ask(&config, Wish::Resync { by }, choice, arguments.wait.wait, console).await;
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
            TablePhase::Paused => "was paused",
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
