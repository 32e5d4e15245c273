//! [`tell`]: what happens on Kafka Connect, in order.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::ConnectOptions;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::Arguments;
use crate::cluster::Connected;
use crate::command::{Commands, PIPELINE};
use crate::connect_report::ConnectReport;
use crate::engine::Engine;
use crate::fill::{self, DATABASE};
use crate::load::{Load, LoadReport};
use crate::measure::Latency;
use crate::narrator::{Narrator, grouped};
use crate::probe::{self, Probe};
use crate::process;
use crate::spread::per_second;
use crate::story::{finish_load, follow, read_verdict, removed, wait_until_applied};
use crate::summary::{latency, table};
use crate::target::TargetSession;

/// How long copying may take.
const COPY_LIMIT: Duration = Duration::from_secs(240);
/// Tables of the pipeline: those of the demo with a key, and the probe.
const TABLES: usize = 10;
/// The demo's tables as this route carries them: no arrays, no intervals, no moments before the Gregorian calendar; and so
/// many accounts that the copy takes half a minute. The history of pgbench has no key and is left out by the program itself.
const CARRIED: &str = "
    ALTER TABLE type_samples DROP COLUMN numbers, DROP COLUMN span;
    UPDATE type_samples SET at_zone = '1582-10-15 00:00+00' WHERE at_zone < '1582-10-15 00:00+00';
    DELETE FROM pgbench_accounts WHERE aid > 60000;
    ANALYZE";
/// The worker's settings: a worker that was killed is missed after six seconds instead of 45.
const SETTINGS: [(&str, &str); 2] =
    [("consumer.session.timeout.ms", "6000"), ("consumer.heartbeat.interval.ms", "2000")];
/// What the program promises for this route.
const PROMISE: [&str; 2] = [
    "Kafka Connect's promise is at least once: rows are written by their key and converge; a reader of the",
    "target can see half of a transaction. The native engine (`make demo`) promises more, and is faster.",
];

/// Runs the demo to its end.
///
/// # Errors
/// Whatever does not go as promised.
pub(crate) async fn tell(arguments: Arguments, narrator: &Narrator) -> Result<()> {
    let mut connected = start(&arguments, narrator).await?;
    let commands = connected.servers.commands.clone();

    narrator.step("Filling the source: pgbench, common types with their edges, texts as keys, large values");
    fill::fill(&connected.servers.source, arguments.scale).await?;
    let client = connected.servers.source.connect(DATABASE).await?;
    client.batch_execute(CARRIED).await?;
    client.batch_execute(probe::TABLE).await?;
    let rows_at_start = fill::count_rows(&client).await?;
    narrator.tell(&format!("{} rows in {} tables", grouped(rows_at_start), TABLES + 1));

    let (mut engine, copy_seconds) = set_up(&commands, rows_at_start, narrator).await?;

    narrator.step(&format!(
        "Changing the source for {} s: pgbench, and transactions of every kind",
        arguments.seconds
    ));
    let probe = connected.servers.source.connect(DATABASE).await?;
    let session = TargetSession::connect(&connected.servers.target).await?;
    let probe = Probe::start(probe, session).await?;
    let load = Load::start(&connected.servers.source, arguments.pace()).await?;
    follow(&mut engine, narrator, arguments.load_time() / 2).await?;
    let (seen, commits) = probe.finish().await?;
    let lag = Latency { p50_ms: seen.p50, p99_ms: seen.p99 };
    narrator.tell(&format!("{commits} commits watched from COMMIT to the target: {}", latency(lag)));

    narrator.step("kill -9 of the Kafka Connect worker, in mid-stream, and again");
    let mut peak_bytes = peak(&connected);
    connected.cluster.kill_worker()?;
    narrator.tell("the load goes on; nobody reads the slot");
    let killed = Instant::now();
    connected.cluster.start_worker().await?;
    narrator.tell(&format!("the worker answers again after {:.1} s", killed.elapsed().as_secs_f64()));
    let load = finish_load(load, &mut engine, narrator).await?;
    let recovery_seconds = catch_up(&commands, &mut engine, &client, killed, narrator).await?;

    narrator.step("Is everything equal?");
    narrator.command("segcdc verify");
    let verdict = commands.run(&["verify", "--output", "json"]).await?;
    let (rows_verified, differences) = read_verdict(&verdict, TABLES)?;
    narrator.tell(&format!("{} rows compared, {differences} differences", grouped(rows_verified)));
    if differences > 0 {
        narrator.print(&verdict.text);
    }
    peak_bytes = peak_bytes.max(peak(&connected));
    engine.stop().await?;
    narrator.tell("segcdc up has ended; the connectors run on by themselves");

    take_away(&connected, &client, narrator).await?;
    let summary = Summary {
        rows_at_start,
        copy_seconds,
        load,
        lag,
        recovery_seconds,
        peak_bytes,
        rows_verified,
        differences,
    };
    crate::summary::conclude(narrator, &summary.render(), differences)
}

/// Starts everything and says what it is.
async fn start(arguments: &Arguments, narrator: &Narrator) -> Result<Connected> {
    narrator.step("Starting two private servers, a Kafka broker and a Kafka Connect worker");
    let worker_settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = ConnectOptions { worker_settings, ..ConnectOptions::default() };
    let connected = Connected::start(arguments.programs.clone(), options).await?;
    let servers = &connected.servers;
    narrator.tell(&format!("source: PostgreSQL, {}", servers.commands.source_url));
    narrator.tell(&format!("target: the sandbox, {}", servers.target_shown));
    narrator.tell(&connected.versions);
    narrator.tell(&format!("broker {}, worker {}", connected.cluster.bootstrap(), connected.cluster.url()));
    for line in crate::servers::EXPLANATION.into_iter().chain(PROMISE) {
        narrator.tell(line);
    }
    Ok(connected)
}

/// Sets the pipeline up; returns when all rows that were there are in the target, with the seconds that the copy took.
async fn set_up(commands: &Commands, rows: u64, narrator: &Narrator) -> Result<(Engine<ConnectReport>, f64)> {
    narrator.step("From two URLs and a worker's to a running pipeline");
    narrator.command("segcdc up --engine kafka-connect --connect-secrets file:... --yes");
    let begun = Instant::now();
    let mut engine = Engine::<ConnectReport>::start(commands)?;
    let runs = |report: &ConnectReport| !report.connectors.is_empty();
    let deployed = engine.wait_until("the connectors run", COPY_LIMIT, narrator, runs).await?;
    let deploy_seconds = begun.elapsed().as_secs_f64();
    for (table, code) in &deployed.left_out {
        narrator.tell(&format!("left out: {table} [{code}]"));
    }
    ensure!(deployed.tables == TABLES, "{} tables are carried, not {TABLES}", deployed.tables);
    narrator.tell(&format!("{} steps in {deploy_seconds:.1} s; Debezium copies", deployed.steps.len()));
    let copying = Instant::now();
    let copied = |report: &ConnectReport| report.applied_lsn.is_some();
    engine.wait_until("all tables are copied", COPY_LIMIT, narrator, copied).await?;
    let seconds = copying.elapsed().as_secs_f64();
    narrator.tell(&format!("{} rows copied in {seconds:.1} s; following", grouped(rows)));
    Ok((engine, seconds))
}

/// Waits until everything that was committed is in the target; returns the seconds since the load ended.
async fn catch_up(
    commands: &Commands,
    engine: &mut Engine<ConnectReport>,
    client: &Client,
    killed: Instant,
    narrator: &Narrator,
) -> Result<f64> {
    let end: String = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?.get(0);
    narrator.step(&format!("The load has ended at {end}; waiting until the target is there"));
    let ended = Instant::now();
    wait_until_applied(commands, engine, narrator, &end).await?;
    let seconds = ended.elapsed().as_secs_f64();
    narrator.tell(&format!(
        "there after {seconds:.1} s, {:.1} s after the worker was killed; heartbeats that say so come every 5 s",
        killed.elapsed().as_secs_f64()
    ));
    Ok(seconds)
}

/// Highest memory of broker and worker, bytes.
fn peak(connected: &Connected) -> u64 {
    connected.cluster.process_ids().into_iter().map(process::peak_bytes).sum()
}

/// Removes the pipeline, and has others look whether anything is left of it.
async fn take_away(connected: &Connected, client: &Client, narrator: &Narrator) -> Result<()> {
    narrator.step("Taking it away");
    let before = connected.left().await?;
    ensure!(before.len() >= 5, "of a running pipeline one sees {before:?} only");
    removed(&connected.servers.commands, narrator).await?;
    let left = connected.left().await?;
    ensure!(left.is_empty(), "left in the cluster: {left:?}");
    let counted: i64 = client
        .query_one(
            "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)
                  + (SELECT count(*) FROM pg_namespace WHERE nspname = 'segcdc')",
            &[],
        )
        .await?
        .get(0);
    ensure!(counted == 0, "{counted} slots, publications and schemas are left at the source");
    let mut target = TargetSession::connect(&connected.servers.target).await?;
    let tables = "SELECT COUNT(*) FROM sys.tables WHERE [name] LIKE N'%heartbeat%' OR [name] = N'pipeline'";
    let tables = target.number(tables).await?.context("no count of tables")?;
    ensure!(tables == 0, "{tables} tables of the engine are left in the target");
    narrator.tell(&format!(
        "Kafka's own commands see none of the {} things of {PIPELINE} that they saw before:",
        before.len()
    ));
    narrator.tell("no connector, no topic, no consumer group, no stored progress, no file with passwords;");
    narrator
        .tell("no slot, no publication and no schema at the source, no table of the engine in the target");
    Ok(())
}

/// What the demo came to.
struct Summary {
    rows_at_start: u64,
    copy_seconds: f64,
    load: LoadReport,
    lag: Latency,
    recovery_seconds: f64,
    peak_bytes: u64,
    rows_verified: u64,
    differences: u64,
}

// === impl Summary ===

impl Summary {
    fn render(&self) -> String {
        let LoadReport { pgbench_transactions, mixed_transactions } = self.load;
        table(&[
            (
                "rows copied by Debezium",
                format!(
                    "{} ({} a second)",
                    grouped(self.rows_at_start),
                    per_second(self.rows_at_start, self.copy_seconds)
                ),
            ),
            (
                "transactions committed at the source",
                format!(
                    "{} by pgbench, {} mixed",
                    grouped(pgbench_transactions),
                    grouped(mixed_transactions)
                ),
            ),
            ("lag under load", latency(self.lag)),
            ("restarts", "1 of the worker, after SIGKILL in mid-stream".to_owned()),
            ("level with the source", format!("{:.1} s after the load's end", self.recovery_seconds)),
            ("peak memory of broker and worker", format!("{} MiB", self.peak_bytes >> 20)),
            ("rows compared", grouped(self.rows_verified)),
            ("differences", self.differences.to_string()),
        ])
    }
}
