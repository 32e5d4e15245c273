//! `make demo`: the real `segcdc`, from two URLs to a proof, with a crash in between.
//!
//! ```text
//! private PostgreSQL <-- pgbench, mixed changes          the sandbox: speaks TDS, is not SQL Server
//!         '---------------> segcdc up (child process) ----------------^
//!                             SIGKILL, started again
//!         segcdc status -o json ... segcdc verify ... segcdc down --drop
//! ```
//!
//! - [`story`]: what happens, in order; [`mod@bench`]: what `make bench` measures; [`mod@peer`]: `make bench-peer`
//! - [`connect_story`]: the same on Kafka Connect, `make demo ENGINE=kafka-connect`
//! - [`servers`]: the two servers; [`cluster`]: Kafka beside them; [`fill`]: the source's tables; [`load`]: the changes
//! - [`engine`]: `segcdc up` as a child process; [`command`]: the other commands
//! - [`report`], [`measure`], [`connect_report`]: what the engines report; [`summary`]: the table at the end
//! - [`probe`], [`target`], [`process`]: what is measured from outside; [`mod@spread`]: figures of several runs
//! - [`narrator`]: what is printed; [`page`]: what is written; [`machine`]: where it was measured
//!
//! On Kafka Connect a broker and a worker stand between, and the worker is what is killed.
//!
//! Everything that was started is ended by its process id, and every folder removed, however the demo ends.

mod bench;
mod cluster;
mod command;
mod connect_report;
mod connect_story;
mod engine;
mod fill;
mod load;
mod machine;
mod measure;
mod narrator;
mod page;
mod peer;
mod probe;
mod process;
mod report;
mod servers;
mod spread;
mod story;
mod summary;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::load::Pace;
use crate::narrator::Narrator;

/// Shows SEG CDC at work on two private servers.
#[derive(Debug, Clone, Parser)]
#[command(name = "segcdc-demo")]
pub(crate) struct Arguments {
    /// Who runs the pipeline
    #[arg(long, value_enum, default_value = "native")]
    pub(crate) engine: EngineName,
    /// Scale of pgbench: 100,000 accounts each; without it 10, and 1 on Kafka Connect
    #[arg(long, default_value_t = 10, default_value_if("engine", "kafka-connect", "1"))]
    pub(crate) scale: u32,
    /// Seconds of load
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// pgbench transactions a second, of four changes each; 0 is as fast as it can; without it 300, and 20 on Kafka Connect
    #[arg(long, default_value_t = 300, default_value_if("engine", "kafka-connect", "20"))]
    pub(crate) rate: u32,
    /// Milliseconds between two transactions of the mixed load; without it 30, and 100 on Kafka Connect
    #[arg(long, default_value_t = 30, default_value_if("engine", "kafka-connect", "100"))]
    pub(crate) mixed_pause: u64,
    /// Measure the native engine beside its limits instead of showing
    #[arg(long = "bench")]
    pub(crate) is_bench: bool,
    /// How much --bench does
    #[command(flatten)]
    pub(crate) bench: bench::BenchArguments,
    /// Measure the native engine beside Kafka Connect
    #[arg(long, conflicts_with = "is_bench")]
    pub(crate) peer: bool,
    /// How much --peer does
    #[command(flatten)]
    pub(crate) amounts: peer::PeerArguments,
    /// With --bench or --peer: the page whose section is written anew, docs/reference/performance.md say
    #[arg(long)]
    pub(crate) page: Option<PathBuf>,
    /// Folder of the programs `segcdc` and `segcdc-sandbox`; the demo's own without it
    #[arg(long)]
    pub(crate) programs: Option<PathBuf>,
}

/// Who runs the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// `segcdc up` itself
    Native,
    /// Debezium's connectors on Kafka Connect
    KafkaConnect,
}

// === impl Arguments ===

impl Arguments {
    /// How long changes are made.
    pub(crate) fn load_time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// How much is done to the source.
    pub(crate) fn pace(&self) -> Pace {
        let pause = Duration::from_millis(self.mixed_pause);
        Pace { time: self.load_time(), rate: self.rate, pause }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let narrator = Narrator::new();
    let arguments = Arguments::parse();
    let outcome = tokio::select! {
        outcome = run(arguments, &narrator) => outcome,
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

/// Does what was asked for.
async fn run(arguments: Arguments, narrator: &Narrator) -> anyhow::Result<()> {
    match arguments.engine {
        _ if arguments.peer => peer::run(arguments, narrator).await,
        _ if arguments.is_bench => bench::run(arguments, narrator).await,
        EngineName::Native => story::tell(arguments, narrator).await,
        EngineName::KafkaConnect => connect_story::tell(arguments, narrator).await,
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
