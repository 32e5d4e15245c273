//! [`measure`]: rows that are wider and wider.

use anyhow::Result;

use super::Ground;
use super::chart::{Chart, Curve, draw};
use super::markdown::{cell, last, table};
use super::trip::{Load, Trips};
use crate::narrator::grouped;
use crate::spread::Spread;

/// Bytes of a row's values at the source, and how many rows: 40 MB of them, but no more than are copied in a second or two.
const WIDTHS: [(u64, u64); 5] =
    [(50, 200_000), (400, 100_000), (4_000, 10_000), (20_000, 2_000), (100_000, 400)];
/// Bytes of the columns beside the text: three numbers.
const NUMBERS: u64 = 20;
/// Rows of a transaction, at most; wide rows go one by one.
const TRANSACTION: u64 = 10;

/// What was measured, by bytes a row.
#[derive(Debug)]
pub(super) struct Widths(Vec<(u64, Trips)>);

/// Measures.
pub(super) async fn measure(ground: &Ground<'_>, rounds: u32) -> Result<Widths> {
    let mut found: Vec<(u64, Trips)> = WIDTHS.iter().map(|(bytes, _)| (*bytes, Trips::default())).collect();
    for round in 1..=rounds {
        ground.narrator.step(&format!("Rows of 50 to 100,000 bytes, round {round} of {rounds}"));
        for ((bytes, trips), (_, rows)) in found.iter_mut().zip(WIDTHS) {
            let load =
                Load { name: &format!("width_{bytes}_{round}"), tables: &make_table(*bytes, rows), rows };
            trips.add(ground, &load).await?;
            ground.narrator.tell(&format!(
                "{} rows of {} bytes: set up in {} s, applied in {} s, copied in {} s",
                grouped(rows),
                grouped(*bytes),
                last(&trips.first),
                last(&trips.apply),
                last(&trips.copy)
            ));
        }
    }
    Ok(Widths(found))
}

/// The table, and what fills it. Texts are pieces of one long text that does not repeat itself, so that compressing them gains little.
fn make_table(bytes: u64, rows: u64) -> String {
    let text = bytes - NUMBERS;
    let transaction = (100_000 / bytes).clamp(1, TRANSACTION);
    format!(
        "CREATE TABLE wide (id bigint PRIMARY KEY, account integer NOT NULL, amount double precision, note text);
         CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ DECLARE
           long text := (SELECT string_agg(md5(n::text), '') FROM generate_series(1, ({text} + 10000) / 32 + 1) n);
         BEGIN
           FOR i IN 1 .. {rows} LOOP
             INSERT INTO wide VALUES (i, i % 10000, i / 7.0, substr(long, 1 + i * 7919 % 10000, {text}));
             IF i % {transaction} = 0 THEN COMMIT; END IF;
           END LOOP;
         END $$"
    )
}

// === impl Widths ===

impl Widths {
    /// The part of the section, with its picture.
    pub(super) fn section(&self, picture: &str) -> String {
        let head = [
            "bytes a row",
            "copy, rows/s",
            "copy, MiB/s",
            "apply, rows/s",
            "apply, MiB/s",
            "memory of the copy, MiB",
            "memory of applying, MiB",
        ];
        let lines = self.0.iter().map(|(bytes, trips)| {
            let (copied, applied) = (trips.copied(), trips.applied());
            vec![
                grouped(*bytes),
                cell(&copied),
                cell(&mebibytes(*bytes, &copied)),
                cell(&applied),
                cell(&mebibytes(*bytes, &applied)),
                cell(&trips.copy_peak),
                cell(&trips.apply_peak),
            ]
        });
        let rows: Vec<String> = WIDTHS.iter().map(|(_, rows)| grouped(*rows)).collect();
        format!(
            "### Width of a row

Rows of four columns, of which a text makes up the width ({rows} rows), copied, and made by INSERTs that are applied, into the null sink.

{table}
![MiB/s and rows/s against bytes a row]({picture})

- Rates leave out the time of the same command with no row, or with nothing to do; a dash where less than a tenth of the time was left.
- Bytes are those of the values at the source. The target gets a text as UTF-16, two bytes for each of its characters.
- A value of more than 2 kB is stored apart at the source (TOAST), compressed where that gains something, and put together again by its server for each reader.
",
            rows = rows.join(", "),
            table = table(&head, lines),
        )
    }

    /// Both rates against the width.
    pub(super) fn picture(&self) -> Result<String> {
        let chart = |title: &str, y: &'static str, of: fn(u64, &[f64]) -> Vec<f64>, is_y_log| {
            let curve = |name: &str, rates: fn(&Trips) -> Vec<f64>| {
                let point = |(bytes, trips): &(u64, Trips)| {
                    Some((super::super::to_f64(*bytes), Spread::of(&of(*bytes, &rates(trips)))?.median))
                };
                Curve { name: name.to_owned(), points: self.0.iter().filter_map(point).collect() }
            };
            let curves = vec![curve("copy", Trips::copied), curve("apply", Trips::applied)];
            Chart { title: title.to_owned(), x: "bytes a row", y, is_y_log, curves }
        };
        draw(&[
            chart("Bytes of values a second", "MiB/s", mebibytes, false),
            chart("Rows a second", "rows/s", |_, rates| rates.to_vec(), true),
        ])
    }
}

/// Rows a second as MiB a second.
fn mebibytes(bytes: u64, rates: &[f64]) -> Vec<f64> {
    rates.iter().map(|rate| rate * super::super::to_f64(bytes) / f64::from(1 << 20)).collect()
}
