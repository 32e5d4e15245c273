//! `segcdc transaction`

use segcdc_engine_native::transactions::{SkipReport, SkippedReport, keep, list, skip};

use crate::arguments::{KeepArguments, Output, PipelineArguments, SkipArguments, TransactionCommand};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::{self, Side};

/// Lists transactions that are left out, has one left out, or takes that back.
///
/// # Errors
/// When there is no such pipeline, or a server cannot be asked; `LSN_MISMATCH` when no transaction can end at the position, or
/// nobody asked for it; `CONFIRMATION_REQUIRED`.
pub(crate) async fn run(command: TransactionCommand, console: Console) -> Result<Exit, CliError> {
    match command {
        TransactionCommand::List(arguments) => run_list(&arguments, console).await,
        TransactionCommand::Skip(arguments) => run_skip(&arguments, console).await,
        TransactionCommand::Keep(arguments) => run_keep(&arguments, console).await,
    }
}

async fn run_list(arguments: &PipelineArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("transaction list", &[Output::Table, Output::Json, Output::Name])?;
    let (_, config) = commands::pipeline(arguments, console)?;
    let skipped = list(&config).await?;
    match console.output {
        Output::Json => console.json(&skipped),
        Output::Name => {
            let positions: Vec<String> = skipped.iter().map(|skipped| skipped.end_lsn.to_string()).collect();
            console.data(&positions.join("\n"));
        }
        Output::Table | Output::Wide => console.data(&render_list(&skipped)),
    }
    Ok(Exit::Ok)
}

async fn run_skip(arguments: &SkipArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("transaction skip", &[Output::Table, Output::Json])?;
    console.confirmable(arguments.yes, "transaction skip")?;
    let KeepArguments { pipeline, end_lsn } = &arguments.transaction;
    let (endpoints, config) = commands::pipeline(pipeline, console)?;
    let question = format!(
        "Leave the transaction that ends at {end_lsn} out of {}? Source and target differ by it from then on.",
        endpoints.name
    );
    if !arguments.yes && !console.ask(&question) {
        console.talk("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    let report = skip(&config, *end_lsn).await?;
    if report.skipped.outcome == "REFUSED" {
        let message = format!("no transaction is skipped at {end_lsn}: {}", report.skipped.detail);
        let hint = "the position is that behind the COMMIT record of a transaction that is not applied yet; \
                    `segcdc status` shows what is";
        return Err(CliError::usage("LSN_MISMATCH", message, hint));
    }
    if console.is_json() {
        console.json(&report);
    } else {
        console.data(&render_skip(&report));
    }
    Ok(Exit::Ok)
}

async fn run_keep(arguments: &KeepArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("transaction keep", &[Output::Table])?;
    let (_, config) = commands::pipeline(&arguments.pipeline, console)?;
    let end_lsn = arguments.end_lsn;
    if !keep(&config, end_lsn).await? {
        let message = format!("nobody waits for a transaction that ends at {end_lsn}");
        return Err(CliError::usage(
            "LSN_MISMATCH",
            message,
            "`segcdc transaction list` shows what is asked for",
        ));
    }
    console.data(&format!("the transaction that ends at {end_lsn} will be applied"));
    Ok(Exit::Ok)
}

/// What will become of a transaction, for people.
fn render_skip(report: &SkipReport) -> String {
    let end_lsn = report.skipped.end_lsn;
    match (report.skipped.outcome, report.running) {
        ("DONE", _) => format!("the transaction that ends at {end_lsn} was left out already"),
        (_, true) => format!(
            "the transaction that ends at {end_lsn} will be left out when it comes; the process that runs the pipeline takes note \
             at its next start"
        ),
        (_, false) => {
            format!("the next `segcdc up` leaves the transaction that ends at {end_lsn} out when it comes")
        }
    }
}

/// Transactions that are left out, for people.
fn render_list(skipped: &[SkippedReport]) -> String {
    if skipped.is_empty() {
        return "no transaction is to be left out, and none was".to_owned();
    }
    let heads =
        [("ENDS AT", Side::Left), ("OUTCOME", Side::Left), ("XID", Side::Right), ("CHANGES", Side::Right)]
            .into_iter()
            .chain(["COMMITTED", "DETAIL"].map(|head| (head, Side::Left)))
            .collect::<Vec<_>>();
    let rows = skipped.iter().map(|skipped| {
        let end_lsn = skipped.end_lsn.to_string();
        let outcome = skipped.outcome.to_lowercase();
        match &skipped.transaction {
            None => {
                vec![end_lsn, outcome, String::new(), String::new(), String::new(), skipped.detail.clone()]
            }
            Some(transaction) => vec![
                end_lsn,
                outcome,
                transaction.xid.to_string(),
                text::count(transaction.changes),
                transaction.committed_at.clone(),
                transaction.tables.join(", "),
            ],
        }
    });
    text::table(&heads, rows.collect())
}

#[cfg(test)]
mod tests {
    use segcdc_engine_native::transactions::LeftOutTransaction;
    use segcdc_model::Lsn;

    use super::*;

    #[test]
    fn transactions_are_listed_with_what_they_were() {
        let skipped = |end: u64, outcome, detail: &str, transaction| SkippedReport {
            end_lsn: Lsn::new(end),
            outcome,
            detail: detail.to_owned(),
            asked_at: None,
            transaction,
        };
        let transaction = LeftOutTransaction {
            xid: 742,
            committed_at: "2026-01-02T03:04:05Z".to_owned(),
            changes: 1200,
            tables: vec!["public.a".to_owned(), "public.b".to_owned()],
        };
        let all = [
            skipped(0x100, "DONE", "", Some(transaction)),
            skipped(0x200, "REFUSED", "no transaction ends at 0/200", None),
            skipped(0x300, "ASKED", "", None),
        ];
        assert_eq!(
            render_list(&all),
            "ENDS AT  OUTCOME  XID  CHANGES  COMMITTED             DETAIL\n\
             0/100    done     742    1,200  2026-01-02T03:04:05Z  public.a, public.b\n\
             0/200    refused                                      no transaction ends at 0/200\n\
             0/300    asked"
        );
        assert_eq!(render_list(&[]), "no transaction is to be left out, and none was");
    }
}
