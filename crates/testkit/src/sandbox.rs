//! [`Sandbox`]: the development sandbox as a process of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use crate::port::free_port;
use crate::postgres;
use crate::scratch;

/// How long a sandbox may take to go down.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How often a sandbox is started before its failure counts.
const START_TRIES: u32 = 3;

/// Names any other server that speaks TDS, for tests of the target.
const TARGET_VARIABLE: &str = "SEGCDC_TEST_SQLSERVER_URL";

/// Names the sandbox's binary, when it is not beside the tests.
const BINARY_VARIABLE: &str = "SEGCDC_TEST_SANDBOX_BIN";

/// How a sandbox is to be started.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Data directory; a temporary one, removed at the end, when `None`.
    pub data_dir: Option<PathBuf>,
    /// Database that is made.
    pub database: String,
    /// The login's password.
    pub password: String,
    /// `unsupported`, `optional` or `required`.
    pub encryption: String,
    /// Whether bulk loads are refused.
    pub refuse_bulk: bool,
    /// Rows of users' tables are counted and thrown away, and each COMMIT is answered so much later.
    pub discard: Option<Duration>,
    /// Another server, `host:port`, to which it sends every login on.
    pub send_on_to: Option<String>,
}

/// A running sandbox. Dropping it ends its processes by their ids.
#[derive(Debug)]
pub struct Sandbox {
    options: SandboxOptions,
    data_dir: PathBuf,
    port: u16,
    ready: Ready,
    process: Option<Process>,
    // Declared last so that it is removed after the processes have ended.
    _temporary: Option<TempDir>,
}

/// The child and the pipe whose end stops it.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Closed with this process, however it ends: a test that is killed leaves no sandbox behind.
    _stdin: Option<ChildStdin>,
}

/// The line that a sandbox prints.
#[derive(Debug, Clone, Deserialize)]
struct Ready {
    url: String,
    ca_file: PathBuf,
    postgres_port: u16,
}

// === impl SandboxOptions ===

impl Default for SandboxOptions {
    fn default() -> Self {
        SandboxOptions {
            data_dir: None,
            database: "sandbox".to_owned(),
            password: "Sandbox-1".to_owned(),
            encryption: "optional".to_owned(),
            refuse_bulk: false,
            discard: None,
            send_on_to: None,
        }
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// Starts a sandbox; returns when it accepts logins.
    pub async fn start(options: SandboxOptions) -> Result<Self> {
        let (data_dir, temporary) = match &options.data_dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let temporary = scratch::temp_dir("segcdc-sandbox-")?;
                open_to_server(temporary.path())?;
                (temporary.path().join("data"), Some(temporary))
            }
        };
        let (process, ready, port) = spawn_patiently(&options, &data_dir, free_port).await?;
        Ok(Sandbox { options, data_dir, port, ready, process: Some(process), _temporary: temporary })
    }

    /// The target of tests: what [`TARGET_VARIABLE`] names, else a sandbox of its own.
    pub async fn target_url() -> Result<(String, Option<Sandbox>)> {
        if let Some(url) = std::env::var(TARGET_VARIABLE).ok().filter(|url| !url.is_empty()) {
            return Ok((url, None));
        }
        let sandbox = Sandbox::start(SandboxOptions::default()).await?;
        Ok((sandbox.url().to_owned(), Some(sandbox)))
    }

    /// `sqlserver://sa:...@127.0.0.1:port/database?encrypt=true&ca_file=...`; the same over restarts.
    pub fn url(&self) -> &str {
        &self.ready.url
    }

    /// The TDS port on 127.0.0.1; the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The login's password; the login is `sa`.
    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// PEM file of the authority that signed the server's certificate.
    pub fn ca_file(&self) -> &Path {
        &self.ready.ca_file
    }

    /// Process id; `None` when it is down. Its PostgreSQL is a child of it.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Port of the private PostgreSQL: a back door for tests. It changes with a restart.
    pub fn postgres_port(&self) -> u16 {
        self.ready.postgres_port
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops the sandbox in order.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        signal(&process.child, Signal::TERM)?;
        wait(&mut process.child)
    }

    /// Ends the sandbox and its PostgreSQL as a crash of the machine would: connections break, what was not committed
    /// is gone.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.child.kill()?;
        process.child.wait()?;
        end_postgres(&self.data_dir)
    }

    /// Starts it again, on the same port and data.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() {
            let port = self.port;
            let (process, ready, _) = spawn_patiently(&self.options, &self.data_dir, || Ok(port)).await?;
            self.process = Some(process);
            self.ready = ready;
        }
        Ok(())
    }

    /// Starts it again with another password of its login.
    pub async fn change_password(&mut self, password: &str) -> Result<()> {
        self.stop()?;
        password.clone_into(&mut self.options.password);
        self.start_again().await
    }

    /// Stops it in order and starts it again.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_again().await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A test that failed leaves nothing worth an orderly end.
        self.kill().ok();
    }
}

/// Starts the binary, again if need be: another process may have taken a port between its choice and its use.
async fn spawn_patiently(
    options: &SandboxOptions,
    data_dir: &Path,
    port: impl Fn() -> std::io::Result<u16>,
) -> Result<(Process, Ready, u16)> {
    let mut tries = START_TRIES;
    loop {
        let port = port()?;
        match spawn(options, data_dir, port).await {
            Ok((process, ready)) => return Ok((process, ready, port)),
            Err(error) if tries <= 1 => return Err(error),
            Err(_) => tries -= 1,
        }
    }
}

/// Starts the binary and reads its line.
async fn spawn(options: &SandboxOptions, data_dir: &Path, port: u16) -> Result<(Process, Ready)> {
    let binary = binary()?;
    std::fs::create_dir_all(data_dir)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(data_dir.join("sandbox.log"))?;
    let mut command = Command::new(&binary);
    command
        .args(["--listen", &format!("127.0.0.1:{port}"), "--database", &options.database])
        .args(["--encryption", &options.encryption, "--stop-at-eof"])
        .args(options.refuse_bulk.then_some("--refuse-bulk"))
        .args(options.discard.map(|delay| format!("--discard={}", delay.as_millis())))
        .args(options.send_on_to.iter().flat_map(|server| ["--send-on-to", server]))
        .arg("--data-dir")
        .arg(data_dir)
        .env("SEGCDC_SANDBOX_PASSWORD", &options.password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0);
    // The variable says what the source is. The target's own PostgreSQL is always the same one, if there is one.
    if postgres::installed_bin_dir().is_some() {
        command.env_remove(postgres::BIN_VARIABLE);
    }
    let mut child = command.spawn().with_context(|| format!("could not start {}", binary.display()))?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().context("the sandbox has no standard output")?;
    let process = Process { child, _stdin: stdin };
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let line = line.await??;
    if line.is_empty() {
        let log = std::fs::read_to_string(data_dir.join("sandbox.log")).unwrap_or_default();
        bail!("the sandbox did not start; its log:\n{log}");
    }
    let ready = serde_json::from_str(&line).context("the sandbox's line")?;
    Ok((process, ready))
}

/// The sandbox's binary: as named, else in the current test's target directory, built if it is missing or older than its
/// sources (a test of another crate does not build it).
fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(PathBuf::from(named));
    }
    let test = std::env::current_exe()?;
    let beside = test.ancestors().skip(1).map(|dir| dir.join("segcdc-sandbox")).find(|path| path.is_file());
    if let Some(path) = beside.filter(|path| !is_stale(path)) {
        return Ok(path);
    }
    let profile_dir = test
        .ancestors()
        .find(|dir| dir.ends_with("debug") || dir.ends_with("release"))
        .context("tests run outside of a target directory; name the sandbox in SEGCDC_TEST_SANDBOX_BIN")?;
    let target_dir = profile_dir.parent().context("a profile's directory has a parent")?;
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "segcdc-sandbox", "--bin", "segcdc-sandbox"]);
    build.arg("--target-dir").arg(target_dir).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().context("could not run cargo to build the sandbox")?;
    ensure!(status.success(), "the sandbox could not be built");
    Ok(profile_dir.join("segcdc-sandbox"))
}

/// Whether a source of the sandbox is newer than its binary.
fn is_stale(binary: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = modified(binary) else { return true };
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut dirs: Vec<PathBuf> =
        ["sandbox", "tds", "testkit"].iter().map(|name| crates.join(name).join("src")).collect();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if !path.ends_with("tests.rs") && modified(&path).is_some_and(|time| time > built) {
                return true;
            }
        }
    }
    false
}

/// Ends the private PostgreSQL of a sandbox that was killed, by the process id that it left in its directory.
fn end_postgres(data_dir: &Path) -> Result<()> {
    let pid_file = data_dir.join("postgres").join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&pid_file) else { return Ok(()) };
    let Some(id) = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw)
    else {
        return Ok(());
    };
    // It may have gone by itself.
    kill_process(id, Signal::QUIT).ok();
    let deadline = Instant::now() + STOP_LIMIT;
    while pid_file.exists() && rustix::process::test_kill_process(id).is_ok() {
        ensure!(Instant::now() < deadline, "PostgreSQL did not end in {STOP_LIMIT:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

/// Signals a child.
fn signal(child: &Child, signal: Signal) -> Result<()> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("impossible process id")?;
    // It may have gone by itself.
    kill_process(id, signal).ok();
    Ok(())
}

/// Waits for a child's end.
fn wait(child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + STOP_LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            bail!("the sandbox with process id {} did not stop in {STOP_LIMIT:?}", child.id());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

/// PostgreSQL may run as another user, who must be able to come in.
fn open_to_server(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?)
}
