//! [`Commands`]: `segcdc` with the demo's URLs.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// The name of the demo's pipeline.
pub(crate) const PIPELINE: &str = "demo";

/// Where the program is and what it is called with. URLs go by the environment, where no process list shows them.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    /// `segcdc`.
    pub(crate) program: PathBuf,
    /// `SEGCDC_SOURCE_URL`.
    pub(crate) source_url: String,
    /// `SEGCDC_TARGET_URL`.
    pub(crate) target_url: String,
    /// Further variables.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// How a command ended and what it said to standard output.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it said.
    pub(crate) text: String,
}

// === impl Commands ===

impl Commands {
    /// A command that is ready to be started, and killed when it is dropped.
    pub(crate) fn segcdc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.env("SEGCDC_SOURCE_URL", &self.source_url).env("SEGCDC_TARGET_URL", &self.target_url);
        command.env("SEGCDC_NAME", PIPELINE).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end; its talk is part of the error if it fails, and lost if not.
    pub(crate) async fn run_quietly(&self, arguments: &[&str]) -> Result<Answer> {
        let output = self.segcdc(arguments).output().await.context("could not start segcdc")?;
        ensure!(
            output.status.success(),
            "segcdc {} ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Answer { status: output.status, text: String::from_utf8_lossy(&output.stdout).into_owned() })
    }

    /// Runs a command to its end; its talk goes to the terminal.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Answer> {
        let mut command = self.segcdc(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let output = command.spawn().context("could not start segcdc")?.wait_with_output().await?;
        Ok(Answer { status: output.status, text: String::from_utf8_lossy(&output.stdout).into_owned() })
    }
}

// === impl Answer ===

impl Answer {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text)
            .with_context(|| format!("not JSON, and ended with {}: {}", self.status, self.text.trim()))
    }
}
