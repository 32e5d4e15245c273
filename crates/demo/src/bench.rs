//! `make bench`: how fast copying and following are, each beside what limits it, on this machine.
//!
//! | what | limit, measured beside it |
//! |---|---|
//! | copying | the same tables by COPY in binary form to nowhere |
//! | applying a backlog | the same changes by `pg_recvlogical` to nowhere |
//! | latency at a steady rate | – |

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresCluster;
use tokio::process::Command;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::Arguments;
use crate::command::Commands;
use crate::engine::Engine;
use crate::fill::{self, DATABASE};
use crate::load::pgbench;
use crate::measure::Measure;
use crate::narrator::{Narrator, grouped};
use crate::servers::{DISCLAIMER, Servers};

/// How long one part may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Slot of the measured limit.
const LIMIT_SLOT: &str = "bench_limit";
/// pgbench transactions a second at which latency is taken.
const RATES: [u32; 2] = [100, 500];
/// Changes of one pgbench transaction.
const CHANGES: u64 = 4;

/// Runs all measurements.
pub(crate) async fn run(arguments: Arguments, narrator: &Narrator) -> Result<()> {
    narrator.step("Starting two private servers, filling the source");
    let servers = Servers::start(arguments.programs.clone()).await?;
    fill::fill(&servers.source, arguments.scale).await?;
    let client = servers.source.connect(DATABASE).await?;
    let mut lines = Vec::new();

    narrator.step("Copying");
    let limit = copy_limit(&servers.source).await?;
    let (copied, seconds) = copy(&servers.commands, narrator).await?;
    lines.push(format!(
        "copy      {:>12} rows/s      of {} rows",
        per_second(copied, seconds),
        grouped(copied)
    ));
    lines.push(format!("  limit   {:>12} rows/s      COPY binary to nowhere", per_second(copied, limit)));

    narrator.step("Applying a backlog");
    let backlog = make_backlog(&servers.source, &client, arguments.seconds).await?;
    let limit = decode_limit(&servers.source, &client).await?;
    let (applied, seconds) = apply(&servers.commands, narrator).await?;
    lines.push(format!(
        "apply     {:>12} changes/s   of {} changes",
        per_second(applied, seconds),
        grouped(applied)
    ));
    lines.push(format!(
        "  limit   {:>12} changes/s   pg_recvlogical to nowhere",
        per_second(backlog * CHANGES, limit)
    ));

    for rate in RATES {
        narrator.step(&format!("Latency at {rate} transactions a second"));
        let measure = latency(&servers, rate, arguments.seconds, narrator).await?;
        lines.push(format!(
            "latency   p50 {:>6.1} ms, p99 {:>6.1} ms   at {rate} transactions/s",
            measure.latency.p50_ms, measure.latency.p99_ms
        ));
    }
    let answer = servers.commands.run(&["down", "--drop", "--yes"]).await?;
    ensure!(answer.status.success(), "segcdc down failed: {}", answer.status);
    narrator.step("Results");
    narrator.print(&lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"));
    narrator.print(&format!("\n  {DISCLAIMER}"));
    Ok(())
}

/// Seconds that reading all rows takes.
async fn copy_limit(source: &PostgresCluster) -> Result<f64> {
    let begun = Instant::now();
    for table in ["pgbench_accounts", "type_samples", "price", "document"] {
        let sql = format!("COPY {table} TO STDOUT (FORMAT binary)");
        let mut command = client_program(source, "psql");
        command.args(["-X", "-q", "-c", &sql]).stdout(Stdio::null());
        ensure!(command.status().await?.success(), "psql could not copy {table}");
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Rows copied by a new pipeline, and seconds from its start until it follows.
async fn copy(commands: &Commands, narrator: &Narrator) -> Result<(u64, f64)> {
    let begun = Instant::now();
    let mut engine = Engine::<Measure>::start(commands)?;
    engine
        .wait_until("all tables are copied", LIMIT, narrator, |measure| measure.phase == "STREAMING")
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    let (measure, ..) = engine.stop().await?;
    Ok((measure.rows_copied, seconds))
}

/// Makes changes that nobody applies yet; returns pgbench's transactions.
async fn make_backlog(source: &PostgresCluster, client: &Client, seconds: u64) -> Result<u64> {
    let sql = format!("SELECT pg_create_logical_replication_slot('{LIMIT_SLOT}', 'pgoutput')");
    client.batch_execute(&sql).await?;
    pgbench(source, Duration::from_secs(seconds), 0)?.finish().await
}

/// Seconds that decoding the backlog takes.
async fn decode_limit(source: &PostgresCluster, client: &Client) -> Result<f64> {
    let row =
        client.query_one("SELECT pg_current_wal_lsn()::text, min(pubname)::text FROM pg_publication", &[]);
    let row = row.await?;
    let (end, publication): (String, String) = (row.get(0), row.get(1));
    let begun = Instant::now();
    let mut command = client_program(source, "pg_recvlogical");
    command.args(["--slot", LIMIT_SLOT, "--start", "--no-loop", "--endpos", &end, "--file", "/dev/null"]);
    command.args(["-o", "proto_version=1", "-o", &format!("publication_names=\"{publication}\"")]);
    ensure!(command.status().await?.success(), "pg_recvlogical failed");
    let seconds = begun.elapsed().as_secs_f64();
    client.batch_execute(&format!("SELECT pg_drop_replication_slot('{LIMIT_SLOT}')")).await?;
    Ok(seconds)
}

/// Changes applied of the backlog, and seconds from the start until nothing was left.
async fn apply(commands: &Commands, narrator: &Narrator) -> Result<(u64, f64)> {
    let begun = Instant::now();
    let answer = commands.run(&["up", "--until-caught-up", "--yes", "--output", "json"]).await?;
    ensure!(answer.status.success(), "segcdc up failed: {}", answer.status);
    let seconds = begun.elapsed().as_secs_f64();
    let last = answer.text.lines().rev().find_map(Measure::parse).context("segcdc up said nothing")?;
    narrator.tell(&last.line());
    Ok((last.changes_applied, seconds))
}

/// What a run measures under a steady rate.
async fn latency(servers: &Servers, rate: u32, seconds: u64, narrator: &Narrator) -> Result<Measure> {
    let mut engine = Engine::<Measure>::start(&servers.commands)?;
    engine.wait_until("it follows", LIMIT, narrator, |measure| measure.phase == "STREAMING").await?;
    pgbench(&servers.source, Duration::from_secs(seconds), rate)?.finish().await?;
    engine.look(narrator)?;
    let (measure, ..) = engine.stop().await?;
    Ok(measure)
}

/// A client program with the source's address.
fn client_program(source: &PostgresCluster, name: &str) -> Command {
    let mut command = Command::new(source.client_program(name));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", source.port().to_string());
    command.env("PGUSER", "postgres").env("PGDATABASE", DATABASE);
    command.stdin(Stdio::null()).kill_on_drop(true);
    if name == "pg_recvlogical" {
        command.args(["--dbname", DATABASE]);
    }
    command
}

/// So many in so many seconds, a second.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, far below 2^52"
)]
pub(crate) fn per_second(count: u64, seconds: f64) -> String {
    grouped((count as f64 / seconds.max(0.001)) as u64)
}
