//! [`JavaProcess`]: a Java program of the Kafka installation as a child.
//!
//! A shell stands between the test and Java. It waits for Java's end, and for the end of its standard input, which is a
//! pipe from the test: when the test is gone, however it went, the shell kills Java. Test, shell and Java:
//!
//! ```text
//! test --pipe--> sh ---+-- java              group of its own, killed as a whole
//!                      +-- read; kill java
//! ```

use std::fs::OpenOptions;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

/// How long an orderly end may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What stands between; `$1` is the file that gets Java's process id.
const GUARD: &str = r#"pid_file=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
java=$!
echo "$java" >"$pid_file"
{ read -r _ <&3; kill -9 "$java"; } &
guard=$!
exec 3<&-
wait "$java"; status=$?
kill "$guard"
exit "$status""#;

/// How Java runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jvm {
    /// Up quickly, with little memory: for tests, which do not run long enough for the better compiler.
    QuickToStart,
    /// As Kafka's own start scripts run it, for measurements.
    AsShipped,
}

/// A program to start.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// Java's main class.
    pub(super) main: &'static str,
    /// Its arguments.
    pub(super) arguments: Vec<PathBuf>,
    /// Largest heap, MiB.
    pub(super) heap_mib: u32,
    /// How Java runs it.
    pub(super) jvm: Jvm,
    /// Whether it logs; a command whose output is read does not.
    pub(super) logs: bool,
    /// Variables beside those of the test.
    pub(super) environment: &'a [(String, String)],
}

/// A running Java program. Dropping it kills it.
#[derive(Debug)]
pub(super) struct JavaProcess {
    name: &'static str,
    shell: Child,
    java: Pid,
    log: PathBuf,
}

// === impl Program ===

impl Program<'_> {
    /// Starts it; its output goes to `<name>.log` in `dir`.
    pub(super) fn spawn(&self, home: &Path, dir: &Path, name: &'static str) -> Result<JavaProcess> {
        use std::os::unix::process::CommandExt;
        let (log, pid_file) = (dir.join(format!("{name}.log")), dir.join(format!("{name}.pid")));
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        std::fs::remove_file(&pid_file).ok();
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(&pid_file).arg("java").args(self.java_arguments(home, dir));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let shell = command.current_dir(dir).spawn().context("could not start sh")?;
        let deadline = Instant::now() + STOP_LIMIT;
        let java = loop {
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            if let Some(id) = text.strip_suffix('\n').and_then(|id| id.parse().ok()).and_then(Pid::from_raw) {
                break id;
            }
            ensure!(Instant::now() < deadline, "{name} has no process id");
            std::thread::park_timeout(Duration::from_millis(5));
        };
        Ok(JavaProcess { name, shell, java, log })
    }

    /// Runs it to its end; returns what it wrote to standard output.
    pub(super) fn run(&self, home: &Path, dir: &Path, name: &str) -> Result<String> {
        let output = Command::new("java").args(self.java_arguments(home, dir)).stdin(Stdio::null()).output();
        let output = output.context("could not run java; `scripts/setup.sh test` installs it")?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(output.status.success(), "{name} failed:\n{}{}", said(&output.stdout), said(&output.stderr));
        Ok(said(&output.stdout))
    }

    fn java_arguments(&self, home: &Path, dir: &Path) -> Vec<PathBuf> {
        let flags: &[&str] = match self.jvm {
            Jvm::QuickToStart => &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"],
            Jvm::AsShipped => &[
                "-server",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35",
                "-XX:+ExplicitGCInvokesConcurrent",
            ],
        };
        let mut arguments = flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>();
        arguments.extend([
            format!("-Xmx{}m", self.heap_mib),
            "-Djava.awt.headless=true".to_owned(),
            "-Duser.timezone=UTC".to_owned(),
            format!("-Dsegcdc.log.level={}", if self.logs { "info" } else { "off" }),
            format!("-Dlog4j2.configurationFile={}", dir.join("log4j2.properties").display()),
            "-cp".to_owned(),
            home.join("lib").join("*").display().to_string(),
            self.main.to_owned(),
        ]);
        arguments.into_iter().map(PathBuf::from).chain(self.arguments.iter().cloned()).collect()
    }
}

// === impl JavaProcess ===

impl JavaProcess {
    /// Waits until `condition` holds; fails with the end of the log when the program ends before.
    pub(super) async fn wait_until<F, Fut>(&mut self, what: &str, limit: Duration, condition: F) -> Result<()>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = bool>,
    {
        let deadline = Instant::now() + limit;
        while !condition().await {
            if let Some(status) = self.shell.try_wait()? {
                bail!("the {} ended with {status}; the end of its log:\n{}", self.name, self.end_of_log());
            }
            if Instant::now() > deadline {
                bail!("gave up after {limit:?} waiting until {what}; the log ends:\n{}", self.end_of_log());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Ends it as a crash does.
    pub(super) fn kill(mut self) -> Result<()> {
        self.end()
    }

    /// Asks it to end and waits for that.
    pub(super) fn stop(mut self) -> Result<()> {
        // It may have gone by itself.
        kill_process(self.java, Signal::TERM).ok();
        let deadline = Instant::now() + STOP_LIMIT;
        while self.shell.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.end()?;
                bail!(
                    "the {} did not stop in {STOP_LIMIT:?}; its log ends:\n{}",
                    self.name,
                    self.end_of_log()
                );
            }
            std::thread::park_timeout(PAUSE);
        }
        Ok(())
    }

    /// Java's process id.
    pub(super) fn id(&self) -> u32 {
        self.java.as_raw_nonzero().get().unsigned_abs()
    }

    /// Memory that it has, bytes resident.
    pub(super) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.java.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kib.map_or(0, |kib| kib.saturating_mul(1024))
    }

    fn end(&mut self) -> Result<()> {
        if self.shell.try_wait()?.is_none() {
            let group =
                i32::try_from(self.shell.id()).ok().and_then(Pid::from_raw).context("a process id")?;
            kill_process_group(group, Signal::KILL).ok();
            self.shell.wait()?;
        }
        // The shell is gone before Java is; the ports and files are free when Java is.
        let deadline = Instant::now() + STOP_LIMIT;
        while test_kill_process(self.java).is_ok() && !is_zombie(self.java) {
            ensure!(Instant::now() < deadline, "the {} did not end in {STOP_LIMIT:?}", self.name);
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(40)).copied().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for JavaProcess {
    fn drop(&mut self) {
        // What does not end now cannot be helped from here.
        self.end().ok();
    }
}

/// Whether a process has ended and only waits for somebody to ask how.
fn is_zombie(process: Pid) -> bool {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}
