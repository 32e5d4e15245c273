//! Foreign clients as processes: fetched once, then run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::Sandbox;

/// What a client said.
pub(crate) struct Report {
    /// Whether all of its checks passed, and there were some.
    pub(crate) passed: bool,
    /// All that it printed.
    pub(crate) text: String,
}

/// Whether witnesses are to be skipped on this machine; says so.
pub(crate) fn skipped(what: &str) -> bool {
    match std::env::var("SEGCDC_TEST_SKIP_WITNESS") {
        Ok(reason) if !reason.is_empty() => {
            println!("skipped the witness {what}: {reason}");
            true
        }
        _ => false,
    }
}

/// Runs a client's checks against a sandbox.
pub(crate) fn check(client: &str, sandbox: &Sandbox) -> Result<Report> {
    let mut command = if client == "jdbc" {
        let mut command = java()?;
        command.arg("check");
        command
    } else {
        let mut command = Command::new(python()?);
        command.arg(root().join("tests/witness/python/witness.py")).arg(client);
        command
    };
    command.arg(sandbox.port().to_string()).args(["sandbox", sandbox.password()]).arg(sandbox.ca_file());
    let output = command.output().context("could not run the client")?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let passed = output.status.success() && text.contains(" passed, 0 failed") && !text.contains("0 passed,");
    Ok(Report { passed, text })
}

/// Lets mssql-jdbc bulk load one table a type, through a proxy.
pub(crate) fn bulk_for_the_record(sandbox: &Sandbox, port: u16) -> Result<()> {
    let mut command = java()?;
    let output =
        command.args(["bulk", &port.to_string(), "sandbox", sandbox.password()]).output().context("java")?;
    ensure!(output.status.success(), "mssql-jdbc failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Runs statements by mssql-jdbc; the rows of the last query as lines, their values between `|`.
pub(crate) fn rows(sandbox: &Sandbox, sql: &str) -> Result<String> {
    let mut command = java()?;
    command.args(["rows", &sandbox.port().to_string(), "sandbox", sandbox.password(), sql]);
    let output = command.output().context("java")?;
    ensure!(output.status.success(), "mssql-jdbc failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where clients are kept, locked while one is fetched: tests run beside each other.
fn with_store<T>(act: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let store = root().join("target/witness");
    fs::create_dir_all(&store)?;
    let lock = File::create(store.join("lock"))?;
    lock.lock()?;
    act(&store)
}

/// Runs a command that fetches or builds.
fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("could not run {command:?}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?} failed:\n{}{}", said(&output.stdout), said(&output.stderr));
    Ok(())
}

/// Whether `stamp` holds `contents`: what was made from them is still good.
fn is_fresh(stamp: &Path, contents: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|found| found == contents)
}

/// The interpreter that has the Python clients.
fn python() -> Result<PathBuf> {
    let requirements = root().join("tests/witness/python/requirements.txt");
    let contents = fs::read_to_string(&requirements)?;
    with_store(|store| {
        let (venv, stamp) = (store.join("venv"), store.join("venv.stamp"));
        let python = venv.join("bin/python");
        if !is_fresh(&stamp, &contents) {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
            run(Command::new(&python).args(pip).arg(&requirements))?;
            fs::write(&stamp, &contents)?;
        }
        Ok(python)
    })
}

/// The Java program that has mssql-jdbc.
fn java() -> Result<Command> {
    let project = root().join("tests/witness/java");
    let mut contents = fs::read_to_string(project.join("pom.xml"))?;
    for name in ["Catalog", "Column", "Rows", "Witness"] {
        contents.push_str(&fs::read_to_string(project.join(format!("src/main/java/segcdc/{name}.java")))?);
    }
    with_store(|store| {
        let (output, stamp) = (store.join("java"), store.join("java.stamp"));
        if !is_fresh(&stamp, &contents) {
            run(Command::new("mvn").args(["--quiet", "--batch-mode", "package"]).current_dir(&project))?;
            fs::write(&stamp, &contents)?;
        }
        let mut command = Command::new("java");
        let class_path =
            format!("{}:{}", output.join("witness-1.jar").display(), output.join("dependency/*").display());
        command.args([
            "-Duser.timezone=UTC",
            "-Dstdout.encoding=UTF-8",
            "-Dfile.encoding=UTF-8",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &class_path,
            "segcdc.Witness",
        ]);
        Ok(command)
    })
}
