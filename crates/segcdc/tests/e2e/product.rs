//! [`Product`]: the binary as its users run it, and what it left behind when it ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use segcdc_testkit::{Network, until};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_segcdc");

/// How long a command that ends by itself may take: far longer than it does, as [`super::stage::PATIENCE`].
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_secs(300);

/// Lines of a log that are shown when something goes wrong.
const TAIL: usize = 30;

/// The binary with the environment of one pipeline.
#[derive(Debug)]
pub(crate) struct Product {
    environment: Vec<(String, String)>,
    /// Where its processes run, if it is not the network of this machine.
    network: Option<Network>,
    logs: TempDir,
    runs: u32,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

// === impl Product ===

impl Product {
    /// A pipeline of this name between these URLs.
    pub(crate) fn new(name: &str, source_url: &str, target_url: &str) -> Result<Self> {
        let environment = [
            ("SEGCDC_NAME", name),
            ("SEGCDC_SOURCE_URL", source_url),
            ("SEGCDC_TARGET_URL", target_url),
            ("SEGCDC_LOG", "info"),
        ];
        Ok(Product {
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            network: None,
            logs: tempfile::Builder::new().prefix("segcdc-e2e-").tempdir()?,
            runs: 0,
        })
    }

    /// Sets or changes a variable for the processes to come.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable from the processes to come.
    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// The processes to come run in this network.
    pub(crate) fn move_to(&mut self, network: Network) {
        self.network = Some(network);
    }

    /// The network that its processes run in, if it is one of their own.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Starts a command; its output goes to files.
    pub(crate) fn start(&mut self, arguments: &[&str]) -> Result<Running> {
        self.runs += 1;
        let path = |kind| self.logs.path().join(format!("{}.{kind}", self.runs));
        let (stdout, stderr) = (path("stdout"), path("stderr"));
        let program = Path::new(BINARY);
        let mut command = match &self.network {
            Some(network) => Command::from(network.command(program)),
            None => Command::new(program),
        };
        // A setting of whoever runs the tests must not reach the product.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SEGCDC_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("could not start {BINARY}"))?;
        Ok(Running { child, stdout, stderr })
    }

    /// The lines with a word, of all that its processes have said.
    pub(crate) fn said(&self, word: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for file in std::fs::read_dir(self.logs.path())? {
            let text = read(&file?.path());
            lines.extend(text.lines().filter(|line| line.contains(word)).map(str::to_owned));
        }
        Ok(lines)
    }

    /// Starts `segcdc up --yes`.
    pub(crate) fn up(&mut self) -> Result<Running> {
        self.start(&["up", "--yes"])
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&mut self, arguments: &[&str]) -> Result<Finished> {
        self.start(arguments)?.wait(COMMAND_LIMIT).await
    }

    /// Runs a command that must end with 0.
    pub(crate) async fn succeed(&mut self, arguments: &[&str]) -> Result<Finished> {
        let finished = self.run(arguments).await?;
        ensure!(finished.status.success(), "segcdc {arguments:?} failed: {finished}");
        Ok(finished)
    }
}

// === impl Running ===

impl Running {
    /// Ends it as a crash would: nothing of it runs any more when this returns.
    pub(crate) async fn kill(self) -> Result<Finished> {
        self.signal(Signal::KILL)?;
        self.wait(COMMAND_LIMIT).await
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.with_context(|| format!("it has ended by itself:\n{}", self.log()))?, signal)?;
        Ok(())
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Fails if it has ended by itself.
    pub(crate) fn ensure_runs(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "it has ended by itself with {ended:?}:\n{}", self.log());
        Ok(())
    }

    /// Waits for its end.
    pub(crate) async fn wait(mut self, limit: Duration) -> Result<Finished> {
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        let status = ended.with_context(|| format!("it did not end in {limit:?}:\n{}", self.log()))??;
        Ok(Finished { status, stdout: read(&self.stdout), stderr: read(&self.stderr) })
    }

    /// Where standard error goes.
    pub(crate) fn log_file(&self) -> &Path {
        &self.stderr
    }

    /// Where standard output goes.
    pub(crate) fn stdout_file(&self) -> &Path {
        &self.stdout
    }

    /// The last lines of standard error.
    pub(crate) fn log(&self) -> String {
        tail(&read(&self.stderr))
    }

    /// Waits until it has logged a word so many times.
    pub(crate) async fn says(&mut self, word: &str, times: usize, limit: Duration) -> Result<()> {
        let log = self.stderr.clone();
        let said = || async { (read(&log).matches(word).count() >= times).then_some(()) };
        self.until(&format!("it has said {word} {times} times"), limit, said).await
    }

    /// Looks at a condition until it yields something; fails with the log after `limit`, or when the process ends.
    pub(crate) async fn until<T, F, Fut>(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Option<T>>,
    {
        let child = &mut self.child;
        let found = until(what, limit, || {
            let looked = condition();
            let ended = child.try_wait().ok().flatten();
            async move {
                match looked.await {
                    Some(found) => Some(Ok(found)),
                    None => ended.map(Err),
                }
            }
        });
        match found.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(status)) => {
                anyhow::bail!("ended with {status} before {what}:\n{}", self.log())
            }
            Err(passed) => Err(anyhow::Error::new(passed).context(self.log())),
        }
    }
}

// === impl Finished ===

impl Finished {
    /// The code of the error that it ended with: `error: words [CODE]`.
    pub(crate) fn error_code(&self) -> Option<&str> {
        let line = self.stderr.lines().rev().find(|line| line.starts_with("error:"))?;
        let (_, code) = line.strip_suffix(']')?.rsplit_once('[')?;
        Some(code)
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n-- stdout\n{}\n-- stderr\n{}", self.status, tail(&self.stdout), tail(&self.stderr))
    }
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    lines.get(from..).unwrap_or_default().join("\n")
}
