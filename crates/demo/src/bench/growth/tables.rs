//! [`measure`]: the same rows and changes, spread over more and more tables.

use anyhow::Result;

use super::Ground;
use super::markdown::{cell, last, table};
use super::trip::{Load, Trips};
use crate::narrator::grouped;

/// How many tables.
const TABLES: [u64; 4] = [1, 10, 100, MOST];
const MOST: u64 = 1000;
/// Rows of all tables together, and changes that make them.
const ROWS: u64 = 100_000;
/// Rows of a transaction, each of the next table.
const TRANSACTION: u64 = 5;
/// From so many tables on it is measured once: it takes long.
const ONCE: u64 = 100;

/// What was measured, by numbers of tables.
#[derive(Debug)]
pub(super) struct Tables(Vec<(u64, Trips)>);

/// Measures.
pub(super) async fn measure(ground: &Ground<'_>, rounds: u32) -> Result<Tables> {
    let mut found: Vec<(u64, Trips)> = TABLES.iter().map(|tables| (*tables, Trips::default())).collect();
    for round in 1..=rounds {
        ground
            .narrator
            .step(&format!("The same rows in 1 to {} tables, round {round} of {rounds}", grouped(ONCE)));
        for (tables, trips) in &mut found {
            if *tables >= ONCE && round > 1 {
                continue;
            }
            let load =
                Load { name: &format!("tables_{tables}_{round}"), tables: &make_tables(*tables), rows: ROWS };
            trips.add(ground, &load).await?;
            ground.narrator.tell(&format!(
                "{} tables: set up in {} s, applied in {} s, copied in {} s",
                grouped(*tables),
                last(&trips.first),
                last(&trips.apply),
                last(&trips.copy)
            ));
        }
    }
    Ok(Tables(found))
}

/// The tables, and what fills them.
fn make_tables(tables: u64) -> String {
    format!(
        "DO $$ BEGIN FOR t IN 0 .. {tables} - 1 LOOP
           EXECUTE format('CREATE TABLE t_%s (id bigint PRIMARY KEY, account integer NOT NULL, amount numeric(12, 2), at timestamptz)', t);
         END LOOP; END $$;
         CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN
           FOR i IN 0 .. {ROWS} - 1 LOOP
             EXECUTE format('INSERT INTO t_%s VALUES ($1, $1 %% 10000, $1 %% 100000 / 100.0, timestamptz ''2021-01-01 00:00+00'')',
               i % {tables}) USING i;
             IF i % {TRANSACTION} = {TRANSACTION} - 1 THEN COMMIT; END IF;
           END LOOP;
         END $$"
    )
}

// === impl Tables ===

impl Tables {
    /// The part of the section.
    pub(super) fn section(&self) -> String {
        let head = [
            "tables",
            "first `up`, no row, s",
            "`up`, nothing to do, s",
            "first `up`, all rows, s",
            "copy, rows/s",
            "`up`, all changes, s",
            "apply, changes/s",
            "memory of the copy, MiB",
            "memory of applying, MiB",
        ];
        let lines = self.0.iter().map(|(tables, trips)| {
            vec![
                grouped(*tables),
                cell(&trips.first),
                cell(&trips.again),
                cell(&trips.copy),
                cell(&trips.copied()),
                cell(&trips.apply),
                cell(&trips.applied()),
                cell(&trips.copy_peak),
                cell(&trips.apply_peak),
            ]
        });
        format!(
            "### Tables

{rows} narrow rows, and the {rows} INSERTs that make them ({transaction} to a transaction, each into the next table), spread over so many tables, into the null sink.

{table}
- Rates leave out the time of the same command with no row, or with nothing to do. A dash: less than a tenth of the time was left, which cannot be told from chance; the
  whole time is what counts then.
- From {once} tables on of one round.
",
            rows = grouped(ROWS),
            transaction = TRANSACTION,
            table = table(&head, lines),
            once = grouped(ONCE),
        )
    }
}
