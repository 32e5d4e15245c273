//! The source's rows and changes: the same ones in the same order for every engine.

use std::time::Duration;

use anyhow::{Context, Result};
use segcdc_testkit::PostgresCluster;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_postgres::Client;

use crate::probe;

/// Changes of a transaction: an INSERT, three UPDATEs, a DELETE.
pub(crate) const CHANGES: u64 = 5;
/// Rows beside the narrow ones, that the transactions change too.
pub(crate) const DOCUMENTS: u64 = 1000;
/// Narrow rows that the transactions delete one by one, while they insert others.
const SPARE: u64 = 500;
/// Markers in a backlog.
const MARKERS: u64 = 100;

/// Columns that any table of an application has.
const WIDE: &str = "(id bigint PRIMARY KEY, name text NOT NULL, title text, city varchar(60), street varchar(80), mail text, note text,
  one integer, two integer, three smallint, four bigint, price numeric(12, 2), tax numeric(6, 4), weight numeric(18, 6),
  created timestamptz, changed timestamp, born date, done boolean, ratio double precision, token uuid)";

/// One of them, by the column `i`.
const WIDE_ROW: &str = "i, 'name of row ' || i, repeat('title ', 10), 'city ' || i % 500, 'street ' || i % 7000, 'mail' || i || '@example.org',
  repeat(md5(i::text), 6), i % 1000, -(i % 77), i % 100, i * 1000003, i % 10000 / 100.0, i % 100 / 10000.0, i % 5000000 / 1000000.0,
  timestamptz '2020-01-01 00:00+00' + i * interval '1 minute', timestamp '2021-01-01' + i * interval '1 second',
  date '1970-01-01' + (i % 20000)::int, i % 3 = 0, i / 7.0, md5('t' || i)::uuid";

/// A database of the source, which engines get a copy of.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    /// Its name.
    pub(crate) name: &'static str,
    /// What its rows are, for people.
    pub(crate) rows_are: &'static str,
    /// Tables and their rows.
    pub(crate) tables: Vec<(&'static str, u64)>,
}

/// What was done at a steady rate.
pub(crate) struct Steady {
    stop: watch::Sender<bool>,
    worker: JoinHandle<Result<u64>>,
}

/// Wide rows only.
pub(crate) fn wide(rows: u64) -> Data {
    Data { name: "wide", rows_are: "20 columns, about 400 bytes", tables: vec![("wide", rows)] }
}

/// Narrow rows, and what the changes need.
pub(crate) fn narrow(rows: u64) -> Data {
    let tables = vec![("narrow", rows + SPARE), ("document", DOCUMENTS), ("probe", 1)];
    Data { name: "narrow", rows_are: "4 columns, about 30 bytes", tables }
}

// === impl Data ===

impl Data {
    /// Rows of all tables.
    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }

    /// Makes the database.
    pub(crate) async fn create(&self, source: &PostgresCluster) -> Result<()> {
        source.execute("postgres", &format!("CREATE DATABASE {}", self.name)).await?;
        let client = source.connect(self.name).await?;
        let rows = self.tables.first().context("a table")?.1;
        let sql = if self.name == "wide" { fill_wide(rows) } else { fill_narrow(rows - SPARE) };
        client.batch_execute(&sql).await.context("could not fill the source")?;
        client.batch_execute("VACUUM ANALYZE").await?;
        Ok(())
    }

    /// Makes a copy of the database.
    pub(crate) async fn copy(&self, source: &PostgresCluster, name: &str) -> Result<()> {
        source.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", self.name)).await?;
        source.execute("postgres", "CHECKPOINT").await
    }
}

// === impl Steady ===

impl Steady {
    /// Begins to make `rate` transactions a second, the first one with the number `from`.
    pub(crate) fn start(client: Client, from: u64, rate: u32) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let worker = tokio::spawn(async move {
            let step = client.prepare("SELECT step($1::bigint)").await?;
            let mut clock = interval(Duration::from_secs(1) / rate.max(1));
            clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut number = from;
            loop {
                tokio::select! {
                    _ = stopped.changed() => return Ok(number - from),
                    _ = clock.tick() => {}
                }
                client.execute(&step, &[&i64::try_from(number)?]).await?;
                number += 1;
            }
        });
        Steady { stop, worker }
    }

    /// Ends; returns how many transactions were made.
    pub(crate) async fn finish(self) -> Result<u64> {
        self.stop.send(true).ok();
        self.worker.await?
    }
}

/// Makes transactions as fast as the source can, with markers between them; returns the seconds that took.
pub(crate) async fn backlog(client: &Client, transactions: u64) -> Result<f64> {
    let begun = Instant::now();
    let sql = format!("CALL backlog({transactions}, {})", (transactions / MARKERS).max(1));
    client.batch_execute(&sql).await.context("could not make a backlog")?;
    Ok(begun.elapsed().as_secs_f64())
}

fn fill_wide(rows: u64) -> String {
    format!(
        "CREATE TABLE wide {WIDE}; INSERT INTO wide SELECT {WIDE_ROW} FROM generate_series(1, {rows}::bigint) i"
    )
}

/// Each transaction has a number `i` and inserts one row, updates two others and a document, and deletes one row, all of
/// which exist whatever `i` is. 7919 and 104729 are primes: rows are hit all over the table.
fn fill_narrow(rows: u64) -> String {
    let all = rows + SPARE;
    format!(
        "CREATE TABLE narrow (id bigint PRIMARY KEY, account integer NOT NULL, amount numeric(12, 2), at timestamptz);
         INSERT INTO narrow SELECT i, i % 10000, i % 100000 / 100.0, timestamptz '2020-01-01 00:00+00' + i * interval '1 second'
           FROM generate_series(1, {all}::bigint) i;
         CREATE TABLE document {WIDE}; INSERT INTO document SELECT {WIDE_ROW} FROM generate_series(1, {DOCUMENTS}::bigint) i;
         {};
         CREATE FUNCTION step(i bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO narrow VALUES ({all} + i, i % 10000, i % 100000 / 100.0, timestamptz '2021-01-01 00:00+00' + i * interval '1 second');
           UPDATE narrow SET amount = amount + 1 WHERE id = 1 + i * 7919 % {rows};
           UPDATE narrow SET account = account + 1 WHERE id = 1 + i * 104729 % {rows};
           UPDATE document SET title = 'title ' || i, one = one + 1 WHERE id = 1 + i % {DOCUMENTS};
           DELETE FROM narrow WHERE id = {rows} + i;
         END $$;
         CREATE PROCEDURE backlog(upto bigint, every bigint) LANGUAGE plpgsql AS $$ BEGIN
           FOR i IN 1 .. upto LOOP
             PERFORM step(i);
             COMMIT;
             IF i % every = 0 OR i = upto THEN
               UPDATE probe SET n = i WHERE id = 1;
               COMMIT;
             END IF;
           END LOOP;
         END $$;",
        probe::TABLE
    )
}

#[cfg(test)]
mod tests {
    use segcdc_testkit::{PostgresOptions, until};

    use super::*;

    #[tokio::test]
    async fn every_transaction_changes_five_rows_and_is_the_same_each_time() {
        let source = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
        let data = narrow(2000);
        data.create(&source).await.unwrap();
        wide(10).create(&source).await.unwrap();
        let mut sums = Vec::new();
        for name in ["one", "two"] {
            data.copy(&source, name).await.unwrap();
            let client = source.connect(name).await.unwrap();
            // More transactions than spare rows: later ones delete what earlier ones have inserted.
            backlog(&client, 1200).await.unwrap();
            // What follows depends on the time it is given.
            let sum = "SELECT md5(string_agg(n::text, ',' ORDER BY id)) FROM narrow n";
            sums.push(source.psql(name, sum).unwrap());
            let steady = Steady::start(source.connect(name).await.unwrap(), 1201, 500);
            let arrived = async || {
                let row =
                    client.query_one("SELECT max(id) >= 2000 + 500 + 1210 FROM narrow", &[]).await.ok()?;
                row.get::<_, bool>(0).then_some(())
            };
            until("ten transactions are made", Duration::from_secs(60), arrived).await.unwrap();
            let made = 1200 + steady.finish().await.unwrap();
            let counted = "SELECT count(*) || ' ' || count(DISTINCT id) FROM narrow";
            assert_eq!(source.psql(name, counted).unwrap().trim(), "2500 2500");
            assert_eq!(
                source.psql(name, "SELECT max(id) - 2500 FROM narrow").unwrap().trim(),
                made.to_string()
            );
            assert_eq!(source.psql(name, "SELECT n FROM probe").unwrap().trim(), "1200");
            let touched = "SELECT sum(one) FROM document";
            let before: i64 = source.psql("narrow", touched).unwrap().trim().parse().unwrap();
            let after: i64 = source.psql(name, touched).unwrap().trim().parse().unwrap();
            assert_eq!(u64::try_from(after - before).unwrap(), made);
        }
        assert_eq!(sums.first(), sums.last());
        assert_eq!(source.psql("wide", "SELECT count(*) FROM wide").unwrap().trim(), "10");
    }
}
