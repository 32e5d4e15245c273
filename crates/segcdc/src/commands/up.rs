//! `segcdc up`

use std::sync::Arc;
use std::time::Duration;

use segcdc_engine_native::{
    LargeTransactions, Outcome, Preflight, Progress, ProgressSnapshot, Recover, preflight, run as run_engine,
};
use segcdc_model::{Finding, Lsn, Severity};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::arguments::{Engine, LargeTransactionsChoice, Output, RecoverChoice, UpArguments};
use crate::commands::{self, connect, plan};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::findings;
use crate::plan_view::PlanView;
use crate::progress::Display;
use crate::signals::Signals;
use crate::text::{self, Side};
use crate::worker;

/// The plan in JSON lines.
#[derive(Debug, Serialize)]
struct PlanEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    plan: &'a PlanView,
}

/// The end in JSON lines.
#[derive(Debug, Serialize)]
struct SummaryEvent<'a> {
    event: &'static str,
    outcome: &'static str,
    applied_lsn: Lsn,
    #[serde(flatten)]
    progress: &'a ProgressSnapshot,
}

/// Sets the pipeline up if it is new, and runs it until it is done or stopped.
///
/// # Errors
/// What a person has to act on.
pub(crate) async fn run(
    arguments: UpArguments,
    console: Console,
    signals: Signals,
) -> Result<Exit, CliError> {
    console.allow("up", &[Output::Table, Output::Wide, Output::Json])?;
    console.confirmable(arguments.yes, "up")?;
    let (_, mut config) = commands::setup(&arguments.setup, console)?;
    if arguments.setup.engine.engine == Engine::KafkaConnect {
        if arguments.apply.large_transactions == LargeTransactionsChoice::Chunked {
            let message =
                "--large-transactions is the native engine's; connectors apply every change by itself";
            return Err(CliError::usage(
                "LARGE_TRANSACTIONS_WITH_ENGINE",
                message,
                "leave it away, or take --engine native",
            ));
        }
        let (config, rest) = worker::setup(&arguments.setup.engine, config)?;
        return connect::up(&arguments, &config, &rest, console, &signals).await;
    }
    config.until_caught_up = arguments.until_caught_up;
    config.large_transactions = match arguments.apply.large_transactions {
        LargeTransactionsChoice::Atomic => LargeTransactions::Atomic,
        LargeTransactionsChoice::Chunked => LargeTransactions::Chunked,
    };
    config.recover = match arguments.apply.recover {
        RecoverChoice::Stop => Recover::Stop,
        RecoverChoice::Copy => Recover::Copy,
        RecoverChoice::Repair => Recover::Repair,
    };
    let checked = tokio::select! {
        checked = Box::pin(preflight(&config)) => checked?,
        () = signals.first.cancelled() => return Ok(signals.exit()),
    };
    let view = plan::view(&config, &checked);
    show_plan(&checked, &view, console);
    refuse_failures(&checked.findings)?;
    // A pipeline that exists is not changed by going on, so there is nothing to ask about.
    let is_new = checked.existing.is_none();
    let names_tables = !config.patterns.is_empty() || !config.exclude.is_empty();
    if !is_new && names_tables {
        console.talk(
            "The pipeline exists: its tables are those that it was made with, and --tables and --exclude have no effect.",
        );
    }
    if is_new && !arguments.yes && !ask(console, &signals).await {
        console.talk("Nothing was changed.");
        return Ok(if signals.first.is_cancelled() { signals.exit() } else { Exit::Ok });
    }
    let progress = Arc::new(Progress::new(config.name.clone()));
    let mut display = Display::new(console);
    let mut engine = tokio::spawn(Box::pin(run_engine(config, Arc::clone(&progress), signals.first.clone())));
    let mut ticks = interval(display.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut told = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut engine => break outcome,
            _ = ticks.tick() => display.show(&progress.snapshot()),
            () = signals.first.cancelled(), if !told => {
                told = true;
                display.say("Stopping at the next batch; press ctrl-C again to stop at once. Nothing is lost either way.");
            }
            () = signals.second.cancelled() => {
                engine.abort();
                return Ok(signals.exit());
            }
        }
    };
    let snapshot = progress.snapshot();
    display.finish(&snapshot);
    let outcome =
        outcome.map_err(|error| CliError::runtime("INTERNAL", "the engine broke down", &error))??;
    show_summary(outcome, &snapshot, console);
    Ok(match outcome {
        Outcome::CaughtUp { .. } | Outcome::Copied { .. } => Exit::Ok,
        Outcome::Stopped { .. } => signals.exit(),
    })
}

/// Asks a person; a signal is a no.
pub(super) async fn ask(console: Console, signals: &Signals) -> bool {
    let question = tokio::task::spawn_blocking(move || console.ask("Create the pipeline and begin?"));
    tokio::select! {
        answer = question => answer.unwrap_or(false),
        () = signals.first.cancelled() => false,
    }
}

fn show_plan(checked: &Preflight, view: &PlanView, console: Console) {
    if console.is_json() {
        console.json_line(&PlanEvent { event: "plan", plan: view });
        return;
    }
    console.talk(&findings::render(&checked.findings, console.detail, console.paint));
    console.talk(&view.summary(console.paint));
}

/// Turns failed checks into one error.
pub(crate) fn refuse_failures(findings: &[Finding]) -> Result<(), CliError> {
    let failures: Vec<&Finding> = findings.iter().filter(|f| f.severity == Severity::Failure).collect();
    let Some(first) = failures.first() else { return Ok(()) };
    let message = match failures.len() {
        1 => format!("the pipeline cannot start: {}", first.detail),
        number => format!("the pipeline cannot start for {number} reasons; the first: {}", first.detail),
    };
    let code = if failures.len() == 1 { &first.code } else { "PREFLIGHT_FAILED" };
    let mut error = CliError::usage(code, message, first.hint.clone());
    error.fix_sql = failures.iter().flat_map(|finding| finding.fix_sql.clone()).collect();
    // A server that went away, or does not let us in, is no misfit of the two: a script may try again.
    let exits: Vec<Exit> = failures.iter().map(|finding| Exit::of_error(&finding.code)).collect();
    for exit in [Exit::Unreachable, Exit::Authentication] {
        if exits.iter().all(|found| *found == exit) {
            error.exit = exit;
        }
    }
    Err(error)
}

fn show_summary(outcome: Outcome, snapshot: &ProgressSnapshot, console: Console) {
    let (word, lsn) = match outcome {
        Outcome::CaughtUp { applied_lsn } => ("caught_up", applied_lsn),
        Outcome::Copied { snapshot_lsn } => ("copied", snapshot_lsn),
        Outcome::Stopped { applied_lsn } => ("stopped", applied_lsn),
    };
    if console.is_json() {
        let event = SummaryEvent { event: "summary", outcome: word, applied_lsn: lsn, progress: snapshot };
        console.json_line(&event);
    } else {
        console.data(&render_summary(word, lsn, snapshot));
    }
}

/// What was done, as a table.
fn render_summary(word: &str, lsn: Lsn, snapshot: &ProgressSnapshot) -> String {
    let elapsed = Duration::from_millis(snapshot.elapsed_ms);
    let ms = |ms: f64| format!("{ms:.1}ms");
    let latency = snapshot.latency;
    let lag = if latency.count > 0 {
        format!("p50 {}, p99 {}, max {}", ms(latency.p50_ms), ms(latency.p99_ms), ms(latency.max_ms))
    } else {
        "no transaction was applied".to_owned()
    };
    let quarantined =
        snapshot.tables.iter().filter(|table| table.phase == segcdc_model::TablePhase::Quarantined).count();
    let mut rows = vec![
        ("outcome", format!("{} at {lsn}, after {}", word.replace('_', " "), text::duration(elapsed))),
        ("tables", format!("{}, {quarantined} quarantined", snapshot.tables.len())),
        (
            "copied",
            format!("{} rows, {}", text::count(snapshot.copied.rows), text::bytes(snapshot.copied.bytes)),
        ),
        (
            "applied",
            format!(
                "{} transactions, {} changes, {} batches",
                text::count(snapshot.applied.transactions),
                text::count(snapshot.applied.changes),
                text::count(snapshot.applied.batches)
            ),
        ),
        (
            "throughput",
            format!(
                "{} rows and changes/s over the whole run",
                text::count(text::per_second(snapshot.copied.rows + snapshot.applied.changes, elapsed))
            ),
        ),
        ("lag", lag),
        ("peak memory", text::bytes(snapshot.peak_rss_bytes)),
    ];
    if snapshot.retries > 0 {
        rows.push(("retries", text::count(snapshot.retries)));
    }
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    text::table(&[("SUMMARY", Side::Left), ("", Side::Left)], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::LatencySummary;
    use segcdc_model::Side as Server;

    #[test]
    fn a_run_ends_with_a_summary() {
        let mut snapshot = Progress::new("shop").snapshot();
        snapshot.elapsed_ms = 12_400;
        snapshot.copied.rows = 1_234_567;
        snapshot.copied.bytes = 99 << 20;
        snapshot.applied.transactions = 1_000;
        snapshot.applied.changes = 12_000;
        snapshot.applied.batches = 40;
        snapshot.latency = LatencySummary { count: 1_000, p50_ms: 3.21, p99_ms: 18.9, max_ms: 44.0 };
        snapshot.peak_rss_bytes = 61 << 20;
        snapshot.retries = 2;
        insta::assert_snapshot!("up_summary", render_summary("caught_up", Lsn::new(0x150_0000), &snapshot));
    }

    #[test]
    fn one_failed_check_speaks_for_itself() {
        let wal = || {
            Finding::failure("pg.wal_level", Server::Source, "WAL_LEVEL", "wal_level is \"replica\"")
                .hint("set it")
                .fix("ALTER SYSTEM SET wal_level = 'logical'")
        };
        let error = refuse_failures(&[Finding::ok("x", Server::Source, ""), wal()]).unwrap_err();
        assert_eq!((error.code.as_str(), error.exit, error.fix_sql.len()), ("WAL_LEVEL", Exit::Usage, 1));
        let error = refuse_failures(&[wal(), wal()]).unwrap_err();
        assert_eq!((error.code.as_str(), error.fix_sql.len()), ("PREFLIGHT_FAILED", 2));
        assert!(refuse_failures(&[Finding::warning("x", Server::Source, "X", "")]).is_ok());
        let lost = || Finding::failure("x", Server::Source, "SOURCE_CONNECTION_LOST", "");
        assert_eq!(refuse_failures(&[lost(), lost()]).unwrap_err().exit, Exit::Unreachable);
        assert_eq!(refuse_failures(&[lost(), wal()]).unwrap_err().exit, Exit::Usage);
    }
}
