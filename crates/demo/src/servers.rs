//! [`Servers`]: a private PostgreSQL as the source, the sandbox as the target.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::sandbox::{Sandbox, SandboxOptions};
use segcdc_testkit::{PostgresCluster, PostgresOptions};

use crate::command::Commands;

/// What the target is.
pub(crate) const EXPLANATION: [&str; 3] = [
    "The sandbox is a development server: it speaks SQL Server's protocol and runs a closed part of",
    "T-SQL on a private PostgreSQL. It is not SQL Server, and behaves like it only where it was",
    "taught to. All of this machine's cores are shared by both servers, the load and segcdc.",
];

/// What the times are.
pub(crate) const DISCLAIMER: &str = "All times were taken on the sandbox; they are not SQL Server's.";

/// Both servers. Dropping them ends their processes and removes their folders.
pub(crate) struct Servers {
    /// The source.
    pub(crate) source: PostgresCluster,
    /// `segcdc` with both URLs.
    pub(crate) commands: Commands,
    /// The target, without its password.
    pub(crate) target_shown: String,
    /// The target.
    pub(crate) target: Sandbox,
}

// === impl Servers ===

impl Servers {
    /// Starts both; returns when both take connections.
    pub(crate) async fn start(programs: Option<PathBuf>) -> Result<Self> {
        let program = program(programs)?;
        // As a server is set up in production. Otherwise commits reach the log, and so the stream, only when the WAL
        // writer comes by: five times a second.
        let options = PostgresOptions::default().setting("synchronous_commit", "on");
        let source = PostgresCluster::start(options).await?;
        let target = Sandbox::start(SandboxOptions::default()).await?;
        let commands = Commands {
            program,
            source_url: source.url(crate::fill::DATABASE),
            target_url: target.url().to_owned(),
            variables: Vec::new(),
        };
        let target_shown = target.url().replace(target.password(), "***");
        Ok(Servers { source, commands, target_shown, target })
    }
}

/// Where `segcdc` is.
pub(crate) fn program(programs: Option<PathBuf>) -> Result<PathBuf> {
    let programs = match programs {
        Some(dir) => dir,
        None => std::env::current_exe()?.parent().context("a program lies in a folder")?.to_owned(),
    };
    let program = programs.join("segcdc");
    ensure!(program.is_file(), "there is no {}; `make demo` builds it", program.display());
    Ok(program)
}
