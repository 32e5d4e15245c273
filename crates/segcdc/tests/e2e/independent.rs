//! The independent comparison: psql against python-tds, by `compare.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use segcdc_sqlserver::TargetConfig;
use segcdc_testkit::PostgresCluster;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Names another Python that has the packages of `scripts/requirements-test.txt`.
const PYTHON_VARIABLE: &str = "SEGCDC_TEST_PYTHON";

/// How the target's password reaches the script: command lines can be read by others.
const PASSWORD_VARIABLE: &str = "COMPARE_TARGET_PASSWORD";

/// What the script found.
#[derive(Debug, Deserialize)]
pub(crate) struct Comparison {
    /// Whether all tables are equal.
    pub(crate) equal: bool,
    /// Each table.
    pub(crate) tables: Vec<TableComparison>,
}

/// What the script found in one table.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "some is shown only, when a comparison fails")]
pub(crate) struct TableComparison {
    /// Name in the source.
    pub(crate) table: String,
    /// Rows of the source.
    pub(crate) source_rows: u64,
    /// Rows of the source that the target has not.
    pub(crate) missing: u64,
    /// Rows of the target that the source has not.
    pub(crate) extra: u64,
    /// Columns that differ, and an example each.
    pub(crate) columns: BTreeMap<String, String>,
    /// Some of them.
    pub(crate) examples: Vec<String>,
}

/// A Python with python-tds.
pub(crate) fn python() -> Result<PathBuf> {
    let named = std::env::var_os(PYTHON_VARIABLE).map(PathBuf::from);
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate lies in crates/")?;
    let python = named.unwrap_or_else(|| root.join(".cache/venv/bin/python"));
    ensure!(
        python.exists(),
        "{} does not exist: run `scripts/setup.sh test`, or name a Python that has the packages of \
         scripts/requirements-test.txt in {PYTHON_VARIABLE}",
        python.display()
    );
    Ok(python)
}

/// A script that is told where the target is.
fn script(name: &str, target: &TargetConfig) -> Result<Command> {
    let mut command = Command::new(python()?);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(name))
        .args(["--target-host", &target.host, "--target-port", &target.port.to_string()])
        .args(["--target-user", &target.user, "--target-database", &target.database])
        .args(["--target-password-env", PASSWORD_VARIABLE])
        .env(PASSWORD_VARIABLE, target.password.expose())
        .kill_on_drop(true);
    if let Some(file) = &target.ca_file {
        command.arg("--ca-file").arg(file);
    }
    Ok(command)
}

/// Runs statements at the target by `plant.py`, each of which must change so many rows.
pub(crate) async fn plant(target: &TargetConfig, statements: &[(String, u64)]) -> Result<()> {
    let mut command = script("plant.py", target)?;
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("standard input")?;
    stdin.write_all(&serde_json::to_vec(statements)?).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "plant.py failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A table of the source, and one of the target: schema and name of each.
pub(crate) type Pair<'a> = [&'a str; 4];

/// Compares `public.<table>` of the source with `<schema>.<table>` of the target. Both must be quiet.
pub(crate) async fn compare(
    source: &PostgresCluster,
    database: &str,
    target: &TargetConfig,
    tables: &[&str],
) -> Result<Comparison> {
    compare_by("pytds", source, database, target, tables).await
}

/// As [`compare`], the target read by `pytds` or `pymssql`.
pub(crate) async fn compare_by(
    client: &str,
    source: &PostgresCluster,
    database: &str,
    target: &TargetConfig,
    tables: &[&str],
) -> Result<Comparison> {
    let schema = target.default_schema.as_str();
    let pairs: Vec<Pair<'_>> = tables.iter().map(|table| ["public", table, schema, table]).collect();
    compare_pairs(client, source, database, target, &pairs).await
}

/// Compares pairs of tables. Both sides must be quiet.
pub(crate) async fn compare_pairs(
    client: &str,
    source: &PostgresCluster,
    database: &str,
    target: &TargetConfig,
    tables: &[Pair<'_>],
) -> Result<Comparison> {
    let mut command = script("compare.py", target)?;
    command
        .arg("--source")
        .arg(format!("host=127.0.0.1 port={} dbname={database} user=postgres", source.port()))
        .arg("--psql")
        .arg(source.client_program("psql"))
        .args(["--client", client]);
    for table in tables {
        command.arg(serde_json::to_string(table)?);
    }
    let output = command.output().await.context("could not run Python")?;
    ensure!(
        matches!(output.status.code(), Some(0 | 5)),
        "compare.py could not compare:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let comparison: Comparison = serde_json::from_slice(&output.stdout).context("compare.py's answer")?;
    ensure!(
        comparison.equal == output.status.success() && comparison.tables.len() == tables.len(),
        "compare.py contradicts itself: {comparison:?}"
    );
    Ok(comparison)
}
