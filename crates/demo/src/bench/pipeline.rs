//! [`Sink`]: the real `segcdc up` into the null sink, timed from outside.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresCluster;
use segcdc_testkit::sandbox::{Sandbox, SandboxOptions};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::command::Commands;
use crate::measure::Measure;
use crate::process;
use crate::target::TargetSession;

/// Between a COMMIT and its answer: what a server takes to have its log on a disk that is fast.
pub(super) const COMMIT_DELAY: Duration = Duration::from_millis(2);
/// Time between two looks at a process.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// The null sink, and the program that writes to it.
pub(super) struct Sink {
    sandbox: Sandbox,
    program: PathBuf,
}

/// One run of a command that ended well.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) seconds: f64,
    /// User and system time, as of the last look before its end.
    pub(super) cpu: f64,
    /// Highest resident memory.
    pub(super) peak_bytes: u64,
    /// What it said of itself last.
    pub(super) last: Measure,
}

// === impl Sink ===

impl Sink {
    /// Starts it.
    pub(super) async fn start(program: PathBuf) -> Result<Self> {
        let options = SandboxOptions { discard: Some(COMMIT_DELAY), ..SandboxOptions::default() };
        Ok(Sink { sandbox: Sandbox::start(options).await?, program })
    }

    /// Its URL, with another database, which is made if it is not there.
    pub(super) async fn database(&self, name: &str) -> Result<String> {
        database_of(&self.sandbox, name).await
    }

    /// A pipeline from a database of the source into one of its own.
    pub(super) async fn pipeline(&self, source: &PostgresCluster, database: &str) -> Result<Commands> {
        self.pipeline_into(source, database, database).await
    }

    /// A pipeline from a database of the source into this one.
    pub(super) async fn pipeline_into(
        &self,
        source: &PostgresCluster,
        database: &str,
        target: &str,
    ) -> Result<Commands> {
        Ok(Commands {
            program: self.program.clone(),
            source_url: source.url(database),
            target_url: self.database(target).await?,
            variables: Vec::new(),
        })
    }

    /// A session in a database.
    pub(super) async fn session(&self, database: &str) -> Result<TargetSession> {
        TargetSession::connect_to(&self.sandbox, database).await
    }

    /// The server itself.
    pub(super) fn server(&self) -> &Sandbox {
        &self.sandbox
    }
}

/// The URL of a server, with another database, which is made if it is not there.
pub(super) async fn database_of(server: &Sandbox, name: &str) -> Result<String> {
    let sql = format!("IF DB_ID(N'{name}') IS NULL CREATE DATABASE [{name}]");
    TargetSession::connect(server).await?.execute(&sql).await?;
    Ok(server.url().replacen("/sandbox?", &format!("/{name}?"), 1))
}

/// Runs `segcdc up` until nothing is left to be copied or applied.
pub(super) async fn catch_up(commands: &Commands) -> Result<Ran> {
    let mut command = commands.segcdc(&["up", "--until-caught-up", "--yes", "--output", "json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().context("could not start segcdc")?;
    let id = child.id().context("segcdc ended at once")?;
    let mut output = child.stdout.take().context("its output is piped")?;
    let mut talk = child.stderr.take().context("its talk is piped")?;
    let said = tokio::spawn(async move {
        let (mut text, mut errors) = (String::new(), String::new());
        tokio::try_join!(output.read_to_string(&mut text), talk.read_to_string(&mut errors))?;
        anyhow::Ok((text, errors))
    });
    let (mut peak_bytes, mut cpu) = (0, 0.0_f64);
    let status = loop {
        peak_bytes = peak_bytes.max(process::peak_bytes(id));
        cpu = cpu.max(process::cpu_seconds(id));
        if let Ok(status) = tokio::time::timeout(LOOK_PERIOD, child.wait()).await {
            break status?;
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let (text, errors) = said.await??;
    ensure!(status.success(), "segcdc up ended with {status}: {errors}");
    let last = text.lines().rev().find_map(Measure::parse).context("segcdc up said nothing")?;
    Ok(Ran { seconds, cpu, peak_bytes, last })
}
