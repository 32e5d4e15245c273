//! `make demo`: the real `segcdc`, from two URLs to a proof, with a crash in between.
//!
//! ```text
//! private PostgreSQL <-- pgbench, mixed changes          the sandbox: speaks TDS, is not SQL Server
//!         '---------------> segcdc up (child process) ----------------^
//!                             SIGKILL, started again
//!         segcdc status -o json ... segcdc verify ... segcdc down --drop
//! ```
//!
//! - [`story`]: what happens, in order; [`mod@bench`]: what `make bench` measures
//! - [`servers`]: the two servers; [`fill`]: the source's tables; [`load`]: the changes
//! - [`engine`]: `segcdc up` as a child process; [`command`]: the other commands
//! - [`measure`]: what the engine reports; [`summary`]: the table at the end
//! - [`narrator`]: what is printed
//!
//! Everything that was started is ended by its process id, and every folder removed, however the demo ends.

mod bench;
mod command;
mod engine;
mod fill;
mod load;
mod measure;
mod narrator;
mod servers;
mod story;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::narrator::Narrator;

/// Shows SEG CDC at work on two private servers.
#[derive(Debug, Clone, Parser)]
#[command(name = "segcdc-demo")]
pub(crate) struct Arguments {
    /// Scale of pgbench: 100,000 accounts each
    #[arg(long, default_value_t = 10)]
    pub(crate) scale: u32,
    /// Seconds of load
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// pgbench transactions a second, of four changes each; 0 is as fast as it can
    #[arg(long, default_value_t = 300)]
    pub(crate) rate: u32,
    /// Measure instead of showing
    #[arg(long)]
    pub(crate) bench: bool,
    /// Folder of the programs `segcdc` and `segcdc-sandbox`; the demo's own without it
    #[arg(long)]
    pub(crate) programs: Option<PathBuf>,
}

// === impl Arguments ===

impl Arguments {
    /// How long changes are made.
    pub(crate) fn load_time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let narrator = Narrator::new();
    let arguments = Arguments::parse();
    let outcome = tokio::select! {
        outcome = story::tell(arguments.clone(), &narrator), if !arguments.bench => outcome,
        outcome = bench::run(arguments.clone(), &narrator), if arguments.bench => outcome,
        () = interrupted() => {
            narrator.fail("interrupted; everything that was started has been ended");
            return ExitCode::from(130);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            narrator.fail(&format!("the demo failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns when the user or the system wants the demo to end.
async fn interrupted() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            tokio::signal::ctrl_c().await.ok();
        }
    }
}
