//! [`measure`]: what has gathered while nothing ran, for a minute, ten minutes, an hour at a steady rate.

use anyhow::{Context, Result, ensure};

use super::super::pipeline::catch_up;
use super::super::{FLUSH, to_f64};
use super::Ground;
use super::markdown::{cell, table};
use crate::narrator::grouped;

/// The table, and its database.
const NAME: &str = "backlog";
/// Minutes that changes gather.
const MINUTES: [u64; 3] = [1, 10, 60];
/// Transactions a second, of so many changes each.
const RATE: u64 = 1000;
const CHANGES: u64 = 5;

/// What was measured, in order of the minutes.
#[derive(Debug)]
pub(super) struct Backlog(Vec<Line>);

/// One backlog.
#[derive(Debug)]
struct Line {
    minutes: u64,
    seconds: f64,
    /// CPU seconds of the engine.
    cpu: f64,
    /// Highest memory of the engine, MiB.
    peak: f64,
    /// What the slot kept, MiB.
    retained: f64,
}

/// Measures backlogs of up to so many minutes.
pub(super) async fn measure(ground: &Ground<'_>, longest: u64) -> Result<Backlog> {
    let source = &ground.source;
    source.execute("postgres", &format!("CREATE DATABASE {NAME}")).await?;
    let client = source.connect(NAME).await?;
    client.batch_execute(&make_table()).await.context("could not make the table")?;
    let commands = ground.sink.pipeline_into(source, NAME, NAME).await?;
    catch_up(&commands).await?;
    let mut lines = Vec::new();
    let mut from = 0;
    for minutes in MINUTES.into_iter().filter(|minutes| *minutes <= longest) {
        ground
            .narrator
            .step(&format!("A backlog of {minutes} min at {} transactions a second", grouped(RATE)));
        let transactions = minutes * 60 * RATE;
        client.batch_execute("SET synchronous_commit = off").await?;
        client
            .batch_execute(&format!("CALL gather({from}, {transactions})"))
            .await
            .context("could not gather")?;
        client.batch_execute(FLUSH).await?;
        from += transactions;
        let retained: f64 = client.query_one(RETAINED, &[]).await?.get(0);
        let ran = catch_up(&commands).await?;
        let (applied, wanted) = (ran.last.changes_applied, transactions * CHANGES);
        ensure!(applied == wanted, "{applied} changes of {wanted} were applied");
        let mebibytes = to_f64(ran.peak_bytes) / f64::from(1 << 20);
        ground.narrator.tell(&format!(
            "{} changes applied in {:.1} s, at most {mebibytes:.0} MiB",
            grouped(applied),
            ran.seconds
        ));
        lines.push(Line { minutes, seconds: ran.seconds, cpu: ran.cpu, peak: mebibytes, retained });
    }
    commands.run_quietly(&["down", "--drop", "--yes"]).await?;
    drop(client);
    source.execute("postgres", &format!("DROP DATABASE {NAME} WITH (FORCE)")).await?;
    Ok(Backlog(lines))
}

/// MiB of WAL that are kept for the slot of this database.
const RETAINED: &str = "SELECT (max(pg_current_wal_lsn() - restart_lsn) / 1048576)::float8 FROM pg_replication_slots \
     WHERE database = current_database()";

/// Rows that stay, and a procedure that commits transactions of an INSERT, an UPDATE of three rows, and a DELETE.
fn make_table() -> String {
    format!(
        "CREATE TABLE {NAME} (id bigint PRIMARY KEY, account integer NOT NULL, amount numeric(12, 2), at timestamptz);
         INSERT INTO {NAME} SELECT i, i % 10000, 1, timestamptz '2021-01-01 00:00+00' FROM generate_series(1, 20000) i;
         INSERT INTO {NAME} VALUES (100000, 0, 0, NULL);
         CREATE PROCEDURE gather(first bigint, transactions bigint) LANGUAGE plpgsql AS $$ BEGIN
           FOR i IN first + 100001 .. first + 100000 + transactions LOOP
             INSERT INTO {NAME} VALUES (i, i % 10000, i % 100000 / 100.0, timestamptz '2021-01-01 00:00+00');
             UPDATE {NAME} SET amount = amount + 1 WHERE id IN (1 + i % 20000, 1 + (i + 7000) % 20000, 1 + (i + 14000) % 20000);
             DELETE FROM {NAME} WHERE id = i - 1;
             COMMIT;
           END LOOP;
         END $$"
    )
}

// === impl Backlog ===

impl Backlog {
    /// The part of the section.
    pub(super) fn section(&self) -> String {
        let head = [
            "minutes",
            "changes",
            "WAL kept, MiB",
            "until caught up, s",
            "changes/s",
            "CPU of segcdc, s",
            "memory, MiB",
        ];
        let lines = self.0.iter().map(|line| {
            let changes = line.minutes * 60 * RATE * CHANGES;
            vec![
                line.minutes.to_string(),
                grouped(changes),
                cell(&[line.retained]),
                cell(&[line.seconds]),
                cell(&[to_f64(changes) / line.seconds.max(0.001)]),
                cell(&[line.cpu]),
                cell(&[line.peak]),
            ]
        });
        format!(
            "### A backlog

Nothing runs for so many minutes while the source commits {rate} transactions a second of {CHANGES} changes each; then `segcdc up --until-caught-up`, start and end
included, into the null sink.

{table}
- The transactions are those of so many minutes, made as fast as the source can. `AMOUNTS='--bench-part backlog --bench-minutes 60'` measures the hour.
",
            rate = grouped(RATE),
            table = table(&head, lines),
        )
    }
}
