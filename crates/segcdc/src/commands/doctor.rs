//! `segcdc doctor`

use std::time::SystemTime;

use segcdc_engine_kafka_connect::prepare;
use segcdc_engine_native::{LeftOut, preflight, scan_keys};
use segcdc_model::Finding;
use segcdc_sqlserver::{Target, WritePath};
use serde::Serialize;

use crate::arguments::{DoctorArguments, Engine, Output};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::findings;
use crate::link_view::LinkView;
use crate::plan_view;
use crate::settings::Endpoints;
use crate::worker;

/// What was found out about both servers.
#[derive(Debug, Serialize)]
struct Report {
    /// What the source says it is.
    source: String,
    /// How the way to it is protected; `null` without TLS.
    source_tls: Option<LinkView>,
    /// What the target says it is.
    target: String,
    /// How the way to it is protected; `null` without TLS.
    target_tls: Option<LinkView>,
    /// How rows are written.
    write_path: &'static str,
    /// What the URLs give up of protection.
    consents: Vec<String>,
    /// What the checks found.
    findings: Vec<Finding>,
    /// Tables that match and cannot be replicated.
    left_out: Vec<LeftOut>,
    /// Whether `up` could begin.
    ready: bool,
}

/// A server that has answered.
struct Seen {
    /// What it says it is.
    words: String,
    /// How the way to it is protected; `None` without TLS.
    tls: Option<LinkView>,
}

/// Checks both servers; changes nothing.
///
/// # Errors
/// When a server cannot be asked at all.
pub(crate) async fn run(arguments: DoctorArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("doctor", &[Output::Table, Output::Wide, Output::Json])?;
    let (endpoints, config) = commands::setup(&arguments.setup, console)?;
    let (source, (target, write_path)) = both(source(&endpoints).await, target(&endpoints).await, console)?;
    let mut checked = match arguments.setup.engine.engine {
        Engine::Native => preflight(&config).await?,
        Engine::KafkaConnect => {
            let (config, rest) = worker::setup(&arguments.setup.engine, config.clone())?;
            prepare(&config, &rest).await?.preflight
        }
    };
    if arguments.scan_keys {
        console.talk("reading the keys of all rows");
        checked.findings.extend(scan_keys(&config, &checked.plans).await?);
    }
    let ready = !findings::has_failure(&checked.findings);
    let report = Report {
        source: source.words,
        source_tls: source.tls,
        target: target.words,
        target_tls: target.tls,
        write_path,
        consents: endpoints.consents(),
        findings: checked.findings,
        left_out: checked.left_out,
        ready,
    };
    if console.is_json() {
        console.json(&report);
    } else {
        for (side, words, tls) in
            [("source", &report.source, &report.source_tls), ("target", &report.target, &report.target_tls)]
        {
            console.data(&format!("{side}  {words}"));
            console.data(&LinkView::lines(tls.as_ref()).join("\n"));
        }
        console.data(&format!("writes  {}", report.write_path));
        for line in plan_view::left_out(&report.left_out, console.data_paint) {
            console.data(&line);
        }
        console.data(&findings::render(&report.findings, console.detail, console.data_paint));
    }
    Ok(if report.ready { Exit::Ok } else { Exit::Usage })
}

/// What both servers say; when one cannot be asked, what the other says is shown all the same.
fn both(
    source: Result<Seen, CliError>,
    target: Result<(Seen, &'static str), CliError>,
    console: Console,
) -> Result<(Seen, (Seen, &'static str)), CliError> {
    match (source, target) {
        (Ok(source), Ok(target)) => Ok((source, target)),
        (Ok(source), Err(error)) => {
            console.talk(&format!("source  {}", source.words));
            Err(error)
        }
        (Err(error), Ok((target, _))) => {
            console.talk(&format!("target  {}", target.words));
            Err(error)
        }
        (Err(source), Err(target)) => {
            console.talk(&target.render(console.paint));
            Err(source)
        }
    }
}

/// Version and role of the source, and the way to it.
async fn source(endpoints: &Endpoints) -> Result<Seen, CliError> {
    let session = segcdc_postgres::session::connect(&endpoints.source).await?;
    let rows = session.query_text("SELECT current_setting('server_version'), current_user").await?;
    let (tls, bound) = (session.tls_facts().await, session.is_channel_bound().await);
    session.close().await;
    let mut fields = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
    let (version, user) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let words = format!("PostgreSQL {version} at {}, as {user}", endpoints.source.server());
    Ok(Seen { words, tls: tls.map(|facts| LinkView::new(&facts, true, bound, SystemTime::now())) })
}

/// Version of the target and the way to it, and how rows are written there.
async fn target(endpoints: &Endpoints) -> Result<(Seen, &'static str), CliError> {
    let target = Target::connect(&endpoints.target).await?;
    let write_path = match target.write_path() {
        WritePath::Bulk => "bulk load",
        WritePath::Insert => "parameterised INSERT (slower: this server or login refuses bulk load)",
    };
    let at = &endpoints.target;
    let words = format!("{} at {}, as {}", target.server_name(), at.server(), at.user);
    let tls = target.tls_facts();
    let tls = tls.map(|(facts, all)| LinkView::new(&facts, all, None, SystemTime::now()));
    Ok((Seen { words, tls }, write_path))
}
