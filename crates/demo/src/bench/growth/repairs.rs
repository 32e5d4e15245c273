//! [`measure`]: a small difference in a large table, mended by comparing and by copying everything again.
//!
//! ```text
//! copied --foreign UPDATE and DELETE in the target--> verify --> verify --repair
//!        --the same, and the slot is dropped-->        up --recover repair
//!        --the same, and the slot is dropped-->        up --recover copy
//! ```

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresCluster;
use tokio::time::Instant;

use super::super::pipeline::{catch_up, database_of};
use super::Ground;
use super::markdown::{cell, table};
use crate::command::Commands;
use crate::narrator::grouped;
use crate::target::TargetSession;

/// The table, and its database.
const NAME: &str = "mended";
/// Rows of the tables; the largest is bounded by who measures.
const ROWS: [u64; 2] = [100_000, 1_000_000];
/// One row in so many differs.
const ONE_IN: u64 = 1000;

/// What was measured, in order of the rows.
#[derive(Debug)]
pub(super) struct Repairs(Vec<Line>);

/// One table.
#[derive(Debug, Default)]
struct Line {
    rows: u64,
    /// Seconds of each command.
    verify: Vec<f64>,
    verify_repair: Vec<f64>,
    recover_repair: Vec<f64>,
    recover_copy: Vec<f64>,
}

/// Measures in so many rounds.
pub(super) async fn measure(ground: &Ground<'_>, rounds: u32) -> Result<Repairs> {
    let mut lines = Vec::new();
    for rows in ROWS {
        ground.narrator.step(&format!("{} rows of {} mended", grouped(rows / ONE_IN), grouped(rows)));
        lines.push(one(ground, rows, rounds).await?);
    }
    Ok(Repairs(lines))
}

async fn one(ground: &Ground<'_>, rows: u64, rounds: u32) -> Result<Line> {
    let source = &ground.source;
    source.execute("postgres", &format!("CREATE DATABASE {NAME}")).await?;
    source.execute(NAME, &make_table(rows)).await?;
    let commands = Commands {
        program: ground.program.clone(),
        source_url: source.url(NAME),
        target_url: database_of(&ground.sandbox, NAME).await?,
        variables: Vec::new(),
    };
    let mut target = TargetSession::connect_to(&ground.sandbox, NAME).await?;
    // `down` leaves it, as it leaves all tables.
    target.execute(&format!("DROP TABLE IF EXISTS dbo.{NAME}")).await?;
    catch_up(&commands).await?;
    let mut line = Line { rows, ..Line::default() };
    for _ in 0..rounds {
        let differing = differ(&mut target, rows).await?;
        line.verify.push(timed(&commands, &["verify", "-o", "json"], differing).await?);
        line.verify_repair.push(timed(&commands, &["verify", "--repair", "--yes", "-o", "json"], 0).await?);
        for (recover, seconds) in [("repair", &mut line.recover_repair), ("copy", &mut line.recover_copy)] {
            differ(&mut target, rows).await?;
            lose_slot(source).await?;
            let variables = vec![("SEGCDC_RECOVER", recover.to_owned())];
            seconds.push(catch_up(&Commands { variables, ..commands.clone() }).await?.seconds);
            timed(&commands, &["verify", "-o", "json"], 0).await?;
        }
        ground.narrator.tell(&format!(
            "verify {} s, with repair {} s; after the slot was lost: repair {} s, copy {} s",
            cell(&line.verify),
            cell(&line.verify_repair),
            cell(&line.recover_repair),
            cell(&line.recover_copy)
        ));
    }
    drop(target);
    commands.run_quietly(&["down", "--drop", "--yes"]).await?;
    source.execute("postgres", &format!("DROP DATABASE {NAME} WITH (FORCE)")).await?;
    Ok(line)
}

/// Rows of about a hundred bytes.
fn make_table(rows: u64) -> String {
    format!(
        "CREATE TABLE {NAME} (id bigint PRIMARY KEY, account integer NOT NULL, amount numeric(12, 2), note text);
         INSERT INTO {NAME} SELECT i, i % 10000, i % 100000 / 100.0, repeat(md5(i::text), 2) FROM generate_series(1, {rows}) i;
         ANALYZE {NAME}"
    )
}

/// Changes rows of the target that the pipeline does not know of; returns how many.
async fn differ(target: &mut TargetSession, rows: u64) -> Result<u64> {
    let every = ONE_IN * 2;
    target.execute(&format!("UPDATE dbo.{NAME} SET amount = amount + 1 WHERE id % {every} = 0")).await?;
    target.execute(&format!("DELETE FROM dbo.{NAME} WHERE id % {every} = 1")).await?;
    Ok(rows / every * 2)
}

/// Takes the slot away, as a source does that may keep no more WAL.
async fn lose_slot(source: &PostgresCluster) -> Result<()> {
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()";
    source.execute(NAME, sql).await
}

/// Seconds of a comparison, which has to find so many differences.
async fn timed(commands: &Commands, arguments: &[&str], differences: u64) -> Result<f64> {
    let begun = Instant::now();
    let output = commands.segcdc(arguments).output().await.context("could not start segcdc")?;
    let seconds = begun.elapsed().as_secs_f64();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let found = report.get("differences").and_then(serde_json::Value::as_u64);
    ensure!(found == Some(differences), "{differences} rows were to differ: {report}");
    Ok(seconds)
}

// === impl Repairs ===

impl Repairs {
    /// The part of the section.
    pub(super) fn section(&self) -> String {
        let head = [
            "rows",
            "that differ",
            "`verify`, s",
            "`verify --repair`, s",
            "slot lost: `up --recover repair`, s",
            "slot lost: `up --recover copy`, s",
        ];
        let lines = self.0.iter().map(|line| {
            vec![
                grouped(line.rows),
                grouped(line.rows / ONE_IN),
                cell(&line.verify),
                cell(&line.verify_repair),
                cell(&line.recover_repair),
                cell(&line.recover_copy),
            ]
        });
        format!(
            "### A small difference in a large table

One row in {one_in} of a table in the sandbox is changed or deleted by somebody else, and is found and mended; or the slot is lost besides, and the pipeline is brought back by
comparing or by copying everything. Each is a whole command, start and end included.

{table}
- The sandbox stores rows in PostgreSQL on this machine, so that a row written costs it little more than a row read: what is written again, logged, and sent to replicas of a SQL Server is
  the rows that differ with the one, and all of them with the other.
",
            one_in = grouped(ONE_IN),
            table = table(&head, lines),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rows_differ_as_are_said_to() {
        for rows in ROWS {
            let (every, ids) = (ONE_IN * 2, 1..=rows);
            let differing = ids.filter(|id| id % every < 2).count() as u64;
            assert_eq!(differing, rows / every * 2);
            assert_eq!(differing, rows / ONE_IN);
        }
    }
}
