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
use crate::machine::{self, Machine};
use crate::measure::{Latency, Measure};
use crate::narrator::{Narrator, grouped};
use crate::page;
use crate::servers::{DISCLAIMER, Servers};

/// How long one part may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Slot of the measured limit.
const LIMIT_SLOT: &str = "bench_limit";
/// pgbench transactions a second at which latency is taken.
const RATES: [u32; 2] = [100, 500];
/// Changes of one pgbench transaction.
const CHANGES: u64 = 4;

/// A rate, beside the one that bounds it.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// What it is.
    name: &'static str,
    unit: &'static str,
    /// How many, and the seconds that they took.
    done: (u64, f64),
    /// What bounds it.
    limit_name: &'static str,
    /// How many of them, and the seconds that they took.
    limit: (u64, f64),
}

/// What was measured.
#[derive(Debug, Default)]
struct Results {
    rates: Vec<Rate>,
    /// By transactions a second.
    latencies: Vec<(u32, Latency)>,
}

/// Runs all measurements.
pub(crate) async fn run(arguments: Arguments, narrator: &Narrator) -> Result<()> {
    let load = machine::load_average();
    narrator.step("Starting two private servers, filling the source");
    let servers = Servers::start(arguments.programs.clone()).await?;
    fill::fill(&servers.source, arguments.scale).await?;
    let client = servers.source.connect(DATABASE).await?;
    let mut results = Results::default();

    narrator.step("Copying");
    let limit = copy_limit(&servers.source).await?;
    let done = copy(&servers.commands, narrator).await?;
    let limit = (done.0, limit);
    let limit_name = "COPY binary to nowhere";
    results.rates.push(Rate { name: "copy", unit: "rows/s", done, limit_name, limit });

    narrator.step("Applying a backlog");
    let backlog = make_backlog(&servers.source, &client, arguments.seconds).await?;
    let limit = (backlog * CHANGES, decode_limit(&servers.source, &client).await?);
    let done = apply(&servers.commands, narrator).await?;
    let limit_name = "pg_recvlogical to nowhere";
    results.rates.push(Rate { name: "apply", unit: "changes/s", done, limit_name, limit });

    for rate in RATES {
        narrator.step(&format!("Latency at {rate} transactions a second"));
        let measure = latency(&servers, rate, arguments.seconds, narrator).await?;
        results.latencies.push((rate, measure.latency));
    }
    let answer = servers.commands.run(&["down", "--drop", "--yes"]).await?;
    ensure!(answer.status.success(), "segcdc down failed: {}", answer.status);
    narrator.step("Results");
    narrator.print(&results.plain());
    narrator.print(&format!("\n  {DISCLAIMER}"));
    if let Some(path) = &arguments.page {
        page::write(path, "make bench", &results.section(&load, arguments.seconds))?;
        narrator.tell(&format!("written to {}", path.display()));
    }
    Ok(())
}

// === impl Rate ===

impl Rate {
    /// Of what bounds it.
    #[expect(clippy::cast_precision_loss, reason = "counts, far below 2^52")]
    fn ratio(&self) -> f64 {
        let of = |(count, seconds): (u64, f64)| count as f64 / seconds.max(0.001);
        of(self.done) / of(self.limit).max(0.001)
    }
}

// === impl Results ===

impl Results {
    /// Lines for the terminal.
    fn plain(&self) -> String {
        let mut lines = Vec::new();
        for rate in &self.rates {
            let Rate { name, unit, done, limit_name, limit } = *rate;
            let (count, shown) = (grouped(done.0), per_second(done.0, done.1));
            let bound = per_second(limit.0, limit.1);
            lines.push(format!(
                "  {name:<9} {shown:>12} {unit:<10}  of {count}; {:.2} of the limit",
                rate.ratio()
            ));
            lines.push(format!("    limit   {bound:>12} {unit:<10}  {limit_name}"));
        }
        for (rate, Latency { p50_ms, p99_ms }) in &self.latencies {
            lines.push(format!(
                "  latency   p50 {p50_ms:>6.1} ms, p99 {p99_ms:>6.1} ms   at {rate} transactions/s"
            ));
        }
        lines.join("\n")
    }

    /// The section of the page.
    fn section(&self, load: &str, seconds: u64) -> String {
        let machine = Machine::here();
        let mut text = "## The native engine beside its limits (`make bench`)

One run. Each rate stands beside what bounds it whatever segcdc does: reading the same rows, or decoding the same changes, and throwing
them away. The native engine also writes them.

| | segcdc | the limit | of the limit |
|---|---:|---:|---:|
"
        .to_owned();
        for rate in &self.rates {
            let Rate { name, unit, done, limit_name, limit } = *rate;
            text.push_str(&format!(
                "| {name} of {} | {} {unit} | {} {unit}, {limit_name} | {:.2} |\n",
                grouped(done.0),
                per_second(done.0, done.1),
                per_second(limit.0, limit.1),
                rate.ratio()
            ));
        }
        text.push_str("\n| COMMIT to visible, at | p50 | p99 |\n|---|---:|---:|\n");
        for (rate, Latency { p50_ms, p99_ms }) in &self.latencies {
            text.push_str(&format!(
                "| {rate} transactions/s of {CHANGES} changes | {p50_ms:.1} ms | {p99_ms:.1} ms |\n"
            ));
        }
        let Machine { hardware, date } = machine;
        text.push_str(&format!(
            "
Measured on {date} with `make bench` ({seconds} s for each rate), {hardware}, load average {load} before the run. The target is the
sandbox, which shares the cores with the source, segcdc and the load: what it does with a row bounds both rates here, and is not what SQL
Server does. Copying and applying include the start of the program, preflight and provisioning."
        ));
        text
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shown_beside_its_limit() {
        let rate =
            Rate { name: "copy", unit: "rows/s", done: (1000, 2.0), limit_name: "COPY", limit: (1000, 0.5) };
        assert!((rate.ratio() - 0.25).abs() < 1e-9);
        let latencies = vec![(100, Latency { p50_ms: 1.25, p99_ms: 7.0 })];
        let results = Results { rates: vec![rate], latencies };
        assert!(results.plain().contains("0.25 of the limit"), "{}", results.plain());
        let section = results.section("0 0 0", 30);
        assert!(section.contains("| copy of 1,000 | 500 rows/s | 2,000 rows/s, COPY | 0.25 |"), "{section}");
        assert!(section.contains("| 100 transactions/s of 4 changes | 1.2 ms | 7.0 ms |"), "{section}");
    }
}
