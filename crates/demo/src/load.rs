//! The changes: pgbench, and beside it transactions of every kind that replication has to get right.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use segcdc_testkit::PostgresCluster;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::fill::DATABASE;

/// Sessions of pgbench.
const CLIENTS: &str = "4";

/// How much is done to the source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long.
    pub(crate) time: Duration,
    /// pgbench transactions a second; 0 is as fast as it can.
    pub(crate) rate: u32,
    /// Pause between two mixed transactions.
    pub(crate) pause: Duration,
}

/// Load that is running.
pub(crate) struct Load {
    pgbench: Pgbench,
    mixed: JoinHandle<Result<()>>,
    committed: Arc<AtomicU64>,
}

/// pgbench that is running.
pub(crate) struct Pgbench(Child);

/// What the load came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadReport {
    /// Transactions of pgbench, of four changes each.
    pub(crate) pgbench_transactions: u64,
    /// Mixed transactions.
    pub(crate) mixed_transactions: u64,
}

// === impl Load ===

impl Load {
    /// Begins both kinds of load.
    pub(crate) async fn start(cluster: &PostgresCluster, pace: Pace) -> Result<Self> {
        let pgbench = pgbench(cluster, pace.time, pace.rate)?;
        let committed = Arc::new(AtomicU64::new(0));
        let client = cluster.connect(DATABASE).await?;
        let mixed = tokio::spawn(mix(client, pace, committed.clone()));
        Ok(Load { pgbench, mixed, committed })
    }

    /// Waits until both have ended.
    pub(crate) async fn finish(self) -> Result<LoadReport> {
        let pgbench_transactions = self.pgbench.finish().await?;
        self.mixed.await.context("the mixed load ended by itself")??;
        Ok(LoadReport { pgbench_transactions, mixed_transactions: self.committed.load(Ordering::Relaxed) })
    }
}

// === impl Pgbench ===

impl Pgbench {
    /// Waits for its end; returns its transactions.
    pub(crate) async fn finish(self) -> Result<u64> {
        let output = self.0.wait_with_output().await?;
        ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let processed = text.lines().find_map(|line| {
            line.strip_prefix("number of transactions actually processed: ")?.split('/').next()?.parse().ok()
        });
        processed.context("pgbench did not say how many transactions it made")
    }
}

/// Starts pgbench for `time`; `rate` bounds its transactions a second, 0 does not.
pub(crate) fn pgbench(cluster: &PostgresCluster, time: Duration, rate: u32) -> Result<Pgbench> {
    let mut command = Command::new(cluster.client_program("pgbench"));
    command.args(["--no-vacuum", "--client", CLIENTS, "--time", &time.as_secs().to_string()]);
    if rate > 0 {
        command.args(["--rate", &rate.to_string()]);
    }
    command.args(["--host", "127.0.0.1", "--port", &cluster.port().to_string()]);
    command.args(["--username", "postgres", DATABASE]).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(Pgbench(command.spawn().context("could not start pgbench")?))
}

/// Makes mixed transactions, always the same ones in the same order.
async fn mix(client: Client, pace: Pace, committed: Arc<AtomicU64>) -> Result<()> {
    let end = Instant::now() + pace.time;
    let mut random = StdRng::seed_from_u64(7);
    while Instant::now() < end {
        let sql = transaction(&mut random);
        client.batch_execute(&sql).await.with_context(|| format!("the mixed load failed at: {sql}"))?;
        committed.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(pace.pause).await;
    }
    Ok(())
}

/// One transaction.
fn transaction(random: &mut StdRng) -> String {
    let n = random.random_range(0..1_000_000);
    let (a, b) = (random.random_range(1..=100), random.random_range(1..=100));
    let body = match random.random_range(0..10) {
        0 => format!("INSERT INTO type_samples (id, words, exact, at) VALUES ({n} + 10000, 'new {n}', {n} / 7.0, now())
                      ON CONFLICT (id) DO UPDATE SET words = excluded.words"),
        1 => format!("UPDATE type_samples SET words = words || '.', big = -big, flag = NOT flag WHERE id % 500 = {n} % 500"),
        2 => format!("DELETE FROM type_samples WHERE id = {n} % 5000"),
        3 => format!("UPDATE price SET cents = cents + 1, note = NULL WHERE region = 'zürich' AND article LIKE '% {a}';
                      DELETE FROM price WHERE region = 'ZURICH' AND article = 'resume {a}';
                      INSERT INTO price VALUES ('new 🦀', 'article {n}', {n}, '') ON CONFLICT DO NOTHING"),
        // The large text is left alone, then changed.
        4 => format!("UPDATE document SET revision = revision + 1 WHERE id = {a};
                      UPDATE document SET body = repeat(md5('{n}'), 300) WHERE id = {b}"),
        5 => format!("UPDATE document SET revision = revision + 1, title = 'title {n}  ' WHERE id BETWEEN {a} AND {a} + 20"),
        // Two rows change places through a third key.
        6 => format!("UPDATE seat SET place = -1 WHERE place = {a}; UPDATE seat SET place = {a} WHERE place = {b};
                      UPDATE seat SET place = {b} WHERE place = -1"),
        7 => format!("TRUNCATE scratch; INSERT INTO scratch SELECT i, {n} FROM generate_series(1, 50) i;
                      DELETE FROM scratch WHERE id % 3 = 0"),
        8 => format!("SAVEPOINT s; DELETE FROM seat; ROLLBACK TO s;
                      UPDATE seat SET guest = guest || '*' WHERE place = {a} AND length(guest) < 60"),
        // Several tables at once.
        _ => format!("INSERT INTO transfer (aid, amount) VALUES ({a}, {n} / 100.0);
                      UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = {a};
                      UPDATE pgbench_branches SET filler = 'by transfer {n}' WHERE bid = 1"),
    };
    format!("BEGIN; {body}; COMMIT")
}
