//! The commands for pipelines that run on Kafka Connect.

use std::sync::Arc;
use std::time::Duration;

use segcdc_engine_kafka_connect::{
    ConnectConfig, ConnectStatus, Prepared, Rest, Round, Step, deploy, load, prepare, run as look_after,
};
use segcdc_engine_native::Progress;
use segcdc_model::Lsn;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::arguments::{Output, UpArguments};
use crate::commands::up::{ask, refuse_failures};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::findings;
use crate::paint::Paint;
use crate::phases;
use crate::plan_view::PlanView;
use crate::progress::Display;
use crate::report;
use crate::signals::Signals;
use crate::text::{self, Side};

/// What the route promises, said before anything is made.
const PROMISE: &str = "Kafka Connect: every change arrives at least once, rows converge by their key; what this route \
                       cannot do is in docs/guides/kafka-connect.md.";

/// What is said after a signal.
const INTERRUPTED: &str =
    "Interrupted: run `segcdc up` again to go on, or `segcdc down --drop` to remove what was made.";

/// An event in JSON lines.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// What would be done.
    Plan {
        #[serde(flatten)]
        plan: &'a PlanView,
    },
    /// A step of the set-up.
    Step {
        #[serde(flatten)]
        step: &'a Step,
    },
    /// How it stands.
    Status {
        connectors: Vec<ConnectorLine<'a>>,
        applied_lsn: Option<Lsn>,
        /// Seconds without a heartbeat, when they are too many.
        #[serde(skip_serializing_if = "Option::is_none")]
        stalled_s: Option<u64>,
    },
    /// How it ended.
    Summary { outcome: &'static str, applied_lsn: Option<Lsn> },
}

/// One connector in an event.
#[derive(Debug, Serialize)]
struct ConnectorLine<'a> {
    name: &'a str,
    state: &'static str,
}

/// `segcdc plan --engine kafka-connect`
///
/// # Errors
/// When a server or the worker cannot be asked.
pub(crate) async fn plan(config: &ConnectConfig, rest: &Rest, console: Console) -> Result<Exit, CliError> {
    let prepared = prepare(config, rest).await?;
    let view = view(config, &prepared);
    match console.output {
        Output::Json => console.json(&view),
        Output::Name => console.data(&view.names()),
        Output::Table | Output::Wide => {
            console.talk(&findings::render(&prepared.preflight.findings, console.detail, console.paint));
            console.talk(PROMISE);
            console.data(&view.summary(console.data_paint));
            if console.output == Output::Wide {
                console.data(&format!("\n{}", view.columns()));
            }
            console.data(&format!("\n{}", view.statements(console.data_paint)));
            let changes = view.changes(console.data_paint);
            if !changes.is_empty() {
                console.data(&format!("\n{changes}"));
            }
            console.data(&format!("\n{}", view.connectors(console.data_paint)));
        }
    }
    Ok(if findings::has_failure(&prepared.preflight.findings) { Exit::Usage } else { Exit::Ok })
}

/// `segcdc up --engine kafka-connect`
///
/// # Errors
/// What a person has to act on.
pub(crate) async fn up(
    arguments: &UpArguments,
    config: &ConnectConfig,
    rest: &Rest,
    console: Console,
    signals: &Signals,
) -> Result<Exit, CliError> {
    let prepared = tokio::select! {
        prepared = Box::pin(prepare(config, rest)) => prepared?,
        () = signals.first.cancelled() => return Ok(signals.exit()),
    };
    show_plan(config, &prepared, console);
    refuse_failures(&prepared.preflight.findings)?;
    let is_new = prepared.preflight.existing.is_none();
    if is_new && !arguments.yes && !ask(console, signals).await {
        console.talk("Nothing was changed.");
        return Ok(if signals.first.is_cancelled() { signals.exit() } else { Exit::Ok });
    }
    let prepared = match prepared.spec.needs_load() {
        false => prepared,
        true => {
            let loaded = full_load(config, rest, &prepared, console, signals).await?;
            if !loaded {
                console.talk(INTERRUPTED);
                return Ok(signals.exit());
            }
            // The load has made slot and publication, whose names the connectors need.
            Box::pin(prepare(config, rest)).await?
        }
    };
    let mut on_step = |step: &Step| match console.is_json() {
        true => console.json_line(&Event::Step { step }),
        false => console.talk(&format!("- {step}")),
    };
    tokio::select! {
        steps = Box::pin(deploy(config, rest, &prepared, &mut on_step)) => steps?,
        () = signals.first.cancelled() => {
            console.talk(INTERRUPTED);
            return Ok(signals.exit());
        }
    };
    let mut last = String::new();
    let mut on_round = |round: &Round| {
        if console.is_json() {
            console.json_line(&event(round));
            return;
        }
        let line = round_line(round);
        if line != last {
            console.talk(&line);
            last = line;
        }
    };
    let running = look_after(config, rest, &prepared.spec, arguments.until_caught_up, &mut on_round);
    let (outcome, applied_lsn) = tokio::select! {
        caught_up = Box::pin(running) => ("caught_up", Some(caught_up?)),
        () = signals.first.cancelled() => ("left_running", None),
    };
    if console.is_json() {
        console.json_line(&Event::Summary { outcome, applied_lsn });
    } else if let Some(lsn) = applied_lsn {
        console.data(&format!("caught up at {lsn}"));
    }
    console.talk(
        "The connectors run on in Kafka Connect: `segcdc status` shows them, `segcdc down --drop` removes them.",
    );
    Ok(if applied_lsn.is_some() { Exit::Ok } else { signals.exit() })
}

/// Copies the tables before there are connectors; `false` when a signal ended it.
async fn full_load(
    config: &ConnectConfig,
    rest: &Rest,
    prepared: &Prepared,
    console: Console,
    signals: &Signals,
) -> Result<bool, CliError> {
    let progress = Arc::new(Progress::new(config.engine.name.clone()));
    let mut display = Display::new(console);
    let mut ticks = interval(display.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut loading = Box::pin(load(config, rest, prepared, Arc::clone(&progress)));
    let loaded = loop {
        tokio::select! {
            loaded = &mut loading => break Some(loaded),
            _ = ticks.tick() => display.show(&progress.snapshot()),
            () = signals.first.cancelled() => break None,
        }
    };
    display.finish(&progress.snapshot());
    let Some(loaded) = loaded else { return Ok(false) };
    let start = loaded?;
    if !console.is_json() {
        console.talk(&format!("All rows are copied; connectors go on at {start}."));
    }
    Ok(true)
}

fn show_plan(config: &ConnectConfig, prepared: &Prepared, console: Console) {
    let view = view(config, prepared);
    if console.is_json() {
        console.json_line(&Event::Plan { plan: &view });
        return;
    }
    console.talk(&findings::render(&prepared.preflight.findings, console.detail, console.paint));
    console.talk(PROMISE);
    console.talk(&view.summary(console.paint));
}

fn view(config: &ConnectConfig, prepared: &Prepared) -> PlanView {
    let layout = &prepared.layout;
    let (slot, publication) = (layout.slot.clone(), layout.publication.clone());
    PlanView::new(&config.engine.name, slot, publication, (&prepared.preflight, config.engine.readers))
        .with_connectors(prepared.connectors.clone(), prepared.changes.clone())
}

fn event(round: &Round) -> Event<'_> {
    let connectors = round.connectors.iter().map(|report| ConnectorLine {
        name: &report.name,
        state: report.word.map_or("MISSING", |word| word.as_str()),
    });
    Event::Status {
        connectors: connectors.collect(),
        applied_lsn: round.applied_lsn,
        stalled_s: round.stalled_for.map(|silence| silence.as_secs()),
    }
}

/// A round on one line.
fn round_line(round: &Round) -> String {
    let states = round.connectors.iter().map(|report| {
        let word = report.word.map_or("missing".to_owned(), |word| word.as_str().to_lowercase());
        format!("{} {word}", report.name)
    });
    let applied =
        round.applied_lsn.map_or("the copy is not over".to_owned(), |lsn| format!("target at {lsn}"));
    let mut line = format!("{}; {applied}", states.collect::<Vec<_>>().join(", "));
    if !round.restarted.is_empty() {
        line.push_str(&format!("; started again: {}", round.restarted.join(", ")));
    }
    if round.worker_is_gone {
        line.push_str("; the worker does not answer");
    }
    if let Some(silence) = round.stalled_for {
        // Not another line with each look.
        let minutes = silence.as_secs() / 60;
        line.push_str(&format!(
            "; no heartbeat has arrived for {minutes} min, see `segcdc status` [CONNECT_STALLED]"
        ));
    }
    line
}

/// The report of `segcdc status` for people.
pub(crate) fn render(report: &ConnectStatus, paint: Paint) -> String {
    let position = |lsn: Option<Lsn>| lsn.map_or("unknown".to_owned(), |lsn| lsn.to_string());
    let lag = match (report.lag_bytes, report.lag_ms) {
        (Some(bytes), Some(ms)) => {
            let age = text::duration(Duration::from_millis(ms));
            format!("{} of WAL; the newest heartbeat that arrived is {age} old", text::bytes(bytes))
        }
        _ => "unknown".to_owned(),
    };
    let mut lines = vec![
        format!("pipeline  {}", paint.bold(&report.pipeline)),
        format!("engine    kafka-connect at {}", report.connect_url),
        format!("state     {}", report::state(report.state, report.health, paint)),
        format!("lag       {lag}"),
        format!("applied   {} of {}", position(report.applied_lsn), position(report.source_lsn)),
    ];
    if let Some(slot) = &report.slot {
        let status = slot.wal_status.as_deref().unwrap_or("gone");
        lines.push(format!(
            "slot      {}: {status}, {} held back",
            slot.name,
            text::bytes(slot.retained_bytes)
        ));
    }
    lines.push(String::new());
    let rows = report.connectors.iter().map(|connector| {
        vec![
            connector.name.clone(),
            connector.role.as_str().to_owned(),
            connector.word.map_or("missing".to_owned(), |word| word.as_str().to_lowercase()),
            format!("{} of {}", connector.tasks.0, connector.tasks.1),
            connector.lag_messages.map(text::count).unwrap_or_default(),
            connector
                .cause
                .as_ref()
                .map(|cause| format!("{}: {}", cause.code, cause.detail))
                .unwrap_or_default(),
        ]
    });
    let columns = [
        ("CONNECTOR", Side::Left),
        ("ROLE", Side::Left),
        ("STATE", Side::Left),
        ("TASKS", Side::Right),
        ("TO WRITE", Side::Right),
        ("REASON", Side::Left),
    ];
    lines.push(text::table(&columns, rows.collect()));
    lines.push(String::new());
    let rows = report.tables.iter().map(|table| {
        vec![table.source.to_string(), table.target.to_string(), phases::table(table.phase).to_owned()]
    });
    let columns = [("TABLE", Side::Left), ("TARGET", Side::Left), ("STATE", Side::Left)];
    lines.push(text::table(&columns, rows.collect()));
    lines.extend(report::notes(&report.notes, paint));
    lines.join("\n")
}
