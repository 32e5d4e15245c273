//! [`Engine`]: one run of `segcdc up` as a child process, of either engine.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::command::Commands;
use crate::narrator::Narrator;
use crate::process;
use crate::report::Report;

/// How long a run may take to stop when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// A run of `segcdc up`. Dropping it kills the process.
pub(crate) struct Engine<R> {
    child: Child,
    id: u32,
    latest: Arc<Mutex<R>>,
    peak_bytes: u64,
}

// === impl Engine ===

impl<R: Report> Engine<R> {
    /// Starts it. Its talk goes to the terminal, what it says of itself to [`Engine::measure`].
    pub(crate) fn start(commands: &Commands) -> Result<Self> {
        let mut command = commands.segcdc(&["up", "--yes", "--output", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().context("could not start segcdc")?;
        let id = child.id().context("segcdc ended at once")?;
        let output = child.stdout.take().context("its output is piped")?;
        let latest = Arc::new(Mutex::new(R::default()));
        let shared = latest.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                shared.lock().unwrap_or_else(PoisonError::into_inner).absorb(&line);
            }
        });
        Ok(Engine { child, id, latest, peak_bytes: 0 })
    }

    /// What it last said of itself.
    pub(crate) fn measure(&self) -> R {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Highest resident memory so far, bytes.
    pub(crate) fn peak_bytes(&mut self) -> u64 {
        self.peak_bytes = self.peak_bytes.max(process::peak_bytes(self.id));
        self.peak_bytes
    }

    /// Waits until it says of itself what `wanted` looks for.
    ///
    /// # Errors
    /// When `limit` passes, or the process ends.
    pub(crate) async fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        narrator: &Narrator,
        wanted: impl Fn(&R) -> bool,
    ) -> Result<R> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let measure = self.look(narrator)?;
            if wanted(&measure) {
                return Ok(measure);
            }
            ensure!(tokio::time::Instant::now() < deadline, "gave up after {limit:?} waiting until {what}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes a look, shows what is seen, and fails if the process has ended.
    pub(crate) fn look(&mut self, narrator: &Narrator) -> Result<R> {
        self.ensure_alive()?;
        self.peak_bytes();
        let measure = self.measure();
        if let Some(text) = measure.describe() {
            narrator.live(&text);
        }
        Ok(measure)
    }

    /// Fails if the process has ended.
    pub(crate) fn ensure_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("segcdc up ended by itself with {status}"),
            None => Ok(()),
        }
    }

    /// Kills it without a warning, as a crash or a power cut would.
    pub(crate) async fn kill(mut self) -> Result<(R, u64)> {
        self.ensure_alive()?;
        let peak = self.peak_bytes();
        let measure = self.measure();
        self.child.kill().await.context("could not kill segcdc")?;
        Ok((measure, peak))
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(R, u64, ExitStatus)> {
        self.ensure_alive()?;
        let peak = self.peak_bytes();
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw).context("impossible process id")?;
        kill_process(id, Signal::TERM)?;
        let status = tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .with_context(|| format!("segcdc up did not stop within {STOP_LIMIT:?} of SIGTERM"))??;
        Ok((self.measure(), peak, status))
    }
}
