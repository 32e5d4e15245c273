//! [`measure`]: one transaction that is larger and larger, followed by a running engine.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::super::pipeline::catch_up;
use super::super::to_f64;
use super::Ground;
use super::markdown::{cell, table};
use crate::command::Commands;
use crate::engine::Engine;
use crate::measure::Measure;
use crate::narrator::grouped;
use crate::target::TargetSession;

/// The table, and its database.
const NAME: &str = "one_transaction";
/// Rows of the smallest transaction.
const LEAST: u64 = 1000;
/// How much larger each is than the one before.
const STEP: u64 = 10;
/// So many rows are measured once.
const ONCE: u64 = 1_000_000;
/// How long a start, or the largest transaction, may take.
const LIMIT: Duration = Duration::from_secs(1800);
/// Time between two looks at the target.
const LOOK_PERIOD: Duration = Duration::from_millis(2);
/// Changes that the pipeline has applied.
const APPLIED: &str = "SELECT SUM([changes_applied]) FROM [segcdc].[pipeline]";

/// What was measured, by rows of the transaction.
#[derive(Debug)]
pub(super) struct Transactions(Vec<Line>);

/// One size.
#[derive(Debug)]
struct Line {
    rows: u64,
    /// From the answer to COMMIT until the checkpoint holds it.
    seconds: Vec<f64>,
    /// Highest memory of the engine, MiB.
    peak: Vec<f64>,
}

/// Measures transactions of up to so many rows.
pub(super) async fn measure(ground: &Ground<'_>, rounds: u32, largest: u64) -> Result<Transactions> {
    let source = &ground.source;
    source.execute("postgres", &format!("CREATE DATABASE {NAME}")).await?;
    let client = source.connect(NAME).await?;
    let create = format!(
        "CREATE TABLE {NAME} (id bigint PRIMARY KEY, account integer NOT NULL, amount numeric(12, 2), at timestamptz)"
    );
    client.batch_execute(&create).await?;
    let commands = ground.sink.pipeline_into(source, NAME, NAME).await?;
    catch_up(&commands).await?;
    let sizes = std::iter::successors(Some(LEAST), |rows| rows.checked_mul(STEP));
    let mut lines: Vec<Line> = sizes
        .take_while(|rows| *rows <= largest)
        .map(|rows| Line { rows, seconds: Vec::new(), peak: Vec::new() })
        .collect();
    for round in 1..=rounds {
        ground.narrator.step(&format!(
            "Single transactions of 1,000 to {} rows, round {round} of {rounds}",
            grouped(largest)
        ));
        for line in lines.iter_mut().filter(|line| line.rows < ONCE || round == 1) {
            let session = ground.sink.session(NAME).await?;
            follow(ground, &commands, &client, session, line).await?;
        }
    }
    commands.run_quietly(&["down", "--drop", "--yes"]).await?;
    source.execute("postgres", &format!("DROP DATABASE {NAME} WITH (FORCE)")).await?;
    Ok(Transactions(lines))
}

/// Commits one transaction under an engine of its own.
async fn follow(
    ground: &Ground<'_>,
    commands: &Commands,
    client: &Client,
    mut session: TargetSession,
    line: &mut Line,
) -> Result<()> {
    let rows = line.rows;
    let before = session.number(APPLIED).await?.unwrap_or_default();
    let wanted = before + i64::try_from(rows)?;
    let mut engine = Engine::<Measure>::start(commands)?;
    engine.wait_until("it follows", LIMIT, ground.narrator, |seen| seen.phase == "STREAMING").await?;
    let insert = format!(
        "INSERT INTO {NAME} SELECT {before} + i, i % 10000, i % 100000 / 100.0, timestamptz '2021-01-01 00:00+00'
           FROM generate_series(1, {rows}::bigint) i"
    );
    client.batch_execute(&insert).await.context("could not make the transaction")?;
    let committed = Instant::now();
    while session.number(APPLIED).await?.unwrap_or_default() < wanted {
        engine.ensure_alive()?;
        anyhow::ensure!(committed.elapsed() < LIMIT, "{rows} rows were not applied within {LIMIT:?}");
        sleep(LOOK_PERIOD).await;
    }
    let seconds = committed.elapsed().as_secs_f64();
    let (_, peak, _) = engine.stop().await?;
    ground.narrator.tell(&format!("{} rows applied {seconds:.3} s behind their COMMIT", grouped(rows)));
    line.seconds.push(seconds);
    line.peak.push(to_f64(peak) / f64::from(1 << 20));
    Ok(())
}

// === impl Transactions ===

impl Transactions {
    /// The part of the section.
    pub(super) fn section(&self) -> String {
        let head = ["rows", "from COMMIT to applied, s", "changes/s", "memory, MiB"];
        let lines = self.0.iter().map(|line| {
            let rates: Vec<f64> =
                line.seconds.iter().map(|seconds| to_f64(line.rows) / seconds.max(0.0001)).collect();
            vec![grouped(line.rows), cell(&line.seconds), cell(&rates), cell(&line.peak)]
        });
        format!(
            "### Size of a transaction

One transaction of so many narrow rows (INSERT … SELECT) at a time, followed by `segcdc up` that runs already, into the null sink, as a whole in one
target transaction.

{table}
- The time begins when COMMIT was answered and ends when the checkpoint holds the transaction. PostgreSQL sends a large transaction while it is still being made,
  so some of the reading is done by then.
- From {once} rows on of one round each. `AMOUNTS='--bench-part growth --bench-largest 10000000'` adds one of ten million rows.
",
            table = table(&head, lines),
            once = grouped(ONCE),
        )
    }
}
