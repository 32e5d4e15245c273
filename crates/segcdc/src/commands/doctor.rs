//! `segcdc doctor`

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
use crate::plan_view;
use crate::settings::Endpoints;
use crate::worker;

/// What was found out about both servers.
#[derive(Debug, Serialize)]
struct Report {
    /// What the source says it is.
    source: String,
    /// What the target says it is.
    target: String,
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
        source,
        target,
        write_path,
        consents: endpoints.consents(),
        findings: checked.findings,
        left_out: checked.left_out,
        ready,
    };
    if console.is_json() {
        console.json(&report);
    } else {
        console.data(&format!("source  {}", report.source));
        console.data(&format!("target  {}", report.target));
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
    source: Result<String, CliError>,
    target: Result<(String, &'static str), CliError>,
    console: Console,
) -> Result<(String, (String, &'static str)), CliError> {
    match (source, target) {
        (Ok(source), Ok(target)) => Ok((source, target)),
        (Ok(source), Err(error)) => {
            console.talk(&format!("source  {source}"));
            Err(error)
        }
        (Err(error), Ok((target, _))) => {
            console.talk(&format!("target  {target}"));
            Err(error)
        }
        (Err(source), Err(target)) => {
            console.talk(&target.render(console.paint));
            Err(source)
        }
    }
}

/// Version and role of the source.
async fn source(endpoints: &Endpoints) -> Result<String, CliError> {
    let session = segcdc_postgres::session::connect(&endpoints.source).await?;
    let rows = session.query_text("SELECT current_setting('server_version'), current_user").await?;
    session.close().await;
    let mut fields = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
    let (version, user) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    Ok(format!("PostgreSQL {version} at {}, as {user}", endpoints.source.server()))
}

/// Version of the target, and how rows are written there.
async fn target(endpoints: &Endpoints) -> Result<(String, &'static str), CliError> {
    let target = Target::connect(&endpoints.target).await?;
    let write_path = match target.write_path() {
        WritePath::Bulk => "bulk load",
        WritePath::Insert => "parameterised INSERT (slower: this server or login refuses bulk load)",
    };
    let at = &endpoints.target;
    Ok((format!("{} at {}, as {}", target.server_name(), at.server(), at.user), write_path))
}
