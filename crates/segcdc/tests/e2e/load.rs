//! [`Load`]: the workload's writers as tasks that live through every restart of the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use segcdc_testkit::PostgresCluster;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

use super::workload::Writer;

/// Writers of short transactions.
const SHORT_WRITERS: u64 = 2;

/// Pause of each writer between two transactions: two processors also run two servers and a pipeline.
const BETWEEN: Duration = Duration::from_millis(8);

/// Pause before a new session after the source went away.
const RECONNECT: Duration = Duration::from_millis(20);

/// Writers at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: CancellationToken,
    committed: Arc<AtomicU64>,
    tasks: JoinSet<Result<()>>,
}

/// What a writer makes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Short,
    Long,
}

// === impl Load ===

impl Load {
    /// Starts two writers of short transactions and one of long ones.
    pub(crate) fn start(source: &PostgresCluster, database: &str, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let committed = Arc::new(AtomicU64::new(0));
        let mut config = Config::new();
        config.host("127.0.0.1").port(source.port()).user("postgres").dbname(database);
        let mut tasks = JoinSet::new();
        for index in 0..=SHORT_WRITERS {
            let kind = if index == SHORT_WRITERS { Kind::Long } else { Kind::Short };
            let writer = Writer::new(seed.wrapping_add(index));
            tasks.spawn(write(config.clone(), kind, writer, stop.clone(), Arc::clone(&committed)));
        }
        Load { stop, committed, tasks }
    }

    /// Transactions that are known to have committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    /// Stops all writers; fails if one of them met something else than a source that went away.
    pub(crate) async fn stop(mut self) -> Result<u64> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a writer broke down")??;
        }
        Ok(self.committed())
    }
}

/// The life of one writer.
async fn write(
    config: Config,
    kind: Kind,
    mut writer: Writer,
    stop: CancellationToken,
    committed: Arc<AtomicU64>,
) -> Result<()> {
    while !stop.is_cancelled() {
        let Ok((mut client, connection)) = config.connect(NoTls).await else {
            pause(&stop, RECONNECT).await;
            continue;
        };
        let connection = tokio::spawn(connection);
        while !stop.is_cancelled() {
            let before = writer.committed();
            match step(kind, &mut writer, &mut client).await {
                Ok(()) => committed.fetch_add(writer.committed() - before, Ordering::SeqCst),
                Err(error) if went_away(&error) || client.is_closed() => break,
                Err(error) => bail!("a writer failed: {error:?}"),
            };
            pause(&stop, BETWEEN).await;
        }
        drop(client);
        // The connection's task ends with its client.
        connection.await.ok();
    }
    Ok(())
}

async fn step(kind: Kind, writer: &mut Writer, client: &mut Client) -> Result<(), tokio_postgres::Error> {
    match kind {
        Kind::Short => writer.step(client).await,
        Kind::Long => writer.slow_step(client).await,
    }
}

/// Paces a writer; it is nothing that a verdict waits for.
async fn pause(stop: &CancellationToken, time: Duration) {
    tokio::time::timeout(time, stop.cancelled()).await.ok();
}

/// Whether an error means that the source is stopping, starting or gone.
fn went_away(error: &tokio_postgres::Error) -> bool {
    let away = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::CONNECTION_FAILURE,
    ];
    error.is_closed() || error.code().is_some_and(|code| away.contains(code))
}

/// The workload against the source itself: what a reader may rely on in the target must hold there, too.
mod tests {
    use super::*;
    use crate::invariants::{Reading, Readings};
    use crate::workload;
    use segcdc_testkit::{PostgresOptions, StopMode, until};

    const READ: &str =
        "SELECT ((SELECT sum(balance) FROM account_a) + (SELECT sum(balance) FROM account_b))::bigint,
        (SELECT marker FROM marker_left), (SELECT marker FROM marker_right), (SELECT n FROM counter),
        (SELECT count(*) FROM slow)";

    /// Reads until so many readings have seen the counter move.
    async fn read(cluster: &PostgresCluster, readings: &mut Readings, moves: u64) -> Result<()> {
        let client = cluster.connect("postgres").await?;
        while readings.moves() < moves {
            let row = client.query_one(READ, &[]).await?;
            readings.push(Reading {
                balance: row.get(0),
                left: row.get(1),
                right: row.get(2),
                counter: row.get(3),
                slow_rows: row.get(4),
            })?;
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn workload_keeps_its_promises_at_the_source() -> Result<()> {
        let options = PostgresOptions::default().setting("synchronous_commit", "on");
        let mut cluster = PostgresCluster::start(options).await?;
        workload::create(&cluster.connect("postgres").await?).await?;
        let load = Load::start(&cluster, "postgres", 7);
        let mut readings = Readings::default();
        read(&cluster, &mut readings, 20).await?;
        cluster.restart(StopMode::Immediate).await?;
        read(&cluster, &mut readings, 40).await?;
        let client = cluster.connect("postgres").await?;
        let slow_sets = || async {
            let count: i64 = client.query_one("SELECT count(*) FROM slow", &[]).await.ok()?.get(0);
            (count > 0).then_some(())
        };
        until("long transactions commit", Duration::from_secs(30), slow_sets).await?;
        assert!(load.stop().await? > 40);
        Ok(())
    }
}
