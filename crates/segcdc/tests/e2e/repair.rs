//! `verify --repair`: what a foreign client has changed in the target is found, shown, written anew and equal afterwards.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::independent;
use super::product::{COMMAND_LIMIT, Finished};
use super::stage::{DATABASE, Stage};

/// A column of each type, the value that it has in each row, and what a foreign client sets it to in the target: text that
/// stands for `[c]` in an UPDATE. A value of `None` is NULL.
const COLUMNS: &[(&str, Option<&str>, &[&str])] = &[
    ("boolean", Some("true"), &["0", "NULL"]),
    ("smallint", Some("7"), &["8", "-7"]),
    ("int", Some("7"), &["8", "NULL"]),
    ("bigint", Some("9007199254740993"), &["9007199254740992"]),
    ("real", Some("1.5"), &["CAST(1.5000001 AS real)"]),
    ("double precision", Some("0.1"), &["0.10000000000000002e0", "-0.1e0"]),
    ("numeric(12,3)", Some("1.500"), &["1.501", "-1.500"]),
    (
        "numeric(38,10)",
        Some("1234567890123456789012345678.0000000001"),
        &["1234567890123456789012345678.0000000002"],
    ),
    ("text", Some("Some text"), &["N'Some text '", "N'some text'", "NULL"]),
    ("text", None, &["N''", "N' '"]),
    ("text", Some(""), &["NULL", "N' '"]),
    ("varchar(20)", Some("Word"), &["N'word'", "N'Word '", "N'W\u{f6}rd'"]),
    ("char(5)", Some("abc"), &["N'abd'", "N'ABC'"]),
    ("bytea", Some("\\x0102"), &["0x010200", "0x01", "0x", "NULL"]),
    ("uuid", Some("5b8f8a8e-0b1a-4c3d-9d0e-000000000001"), &["'5b8f8a8e-0b1a-4c3d-9d0e-000000000002'"]),
    ("date", Some("2024-02-29"), &["'2024-03-01'"]),
    ("time", Some("10:20:30.000001"), &["'10:20:30.000002'", "'10:20:30'"]),
    ("timestamp", Some("2024-02-29 10:20:30.000001"), &["'2024-02-29 10:20:30.000002'"]),
    ("timestamptz", Some("2024-02-29 10:20:30.000001+00"), &["'2024-02-29 10:20:30.000002 +00:00'"]),
    ("interval", Some("1 day 02:00:00"), &["N'1 day 02:00:01'"]),
    ("json", Some("{\"a\": 1}"), &["N'{\"a\":1}'", "N'{\"a\": 2}'"]),
    ("jsonb", Some("{\"a\": 1}"), &["N'{\"a\": 2}'"]),
    ("int[]", Some("{1,NULL}"), &["N'{1}'"]),
    ("inet", Some("10.0.0.1"), &["N'10.0.0.2'"]),
    ("mood", Some("good"), &["N'bad'"]),
    ("xml", Some("<a/>"), &["N'<a></a>'"]),
    ("bit(5)", Some("10101"), &["N'10100'"]),
];

/// Rows of the table: more than differ.
const ROWS: usize = 300;

/// The table `every`, and what a foreign client does to it. Returns the statements, and the column that each changes.
fn every(table: &str) -> (String, Vec<(String, u64)>, Vec<String>) {
    let columns: Vec<String> =
        COLUMNS.iter().enumerate().map(|(number, (of, ..))| format!("c{number} {of}")).collect();
    let values: Vec<String> = COLUMNS
        .iter()
        .map(|(of, value, _)| match value {
            Some(value) => format!("'{value}'::{of}"),
            None => "NULL".to_owned(),
        })
        .collect();
    let source = format!(
        "CREATE TYPE mood AS ENUM ('good', 'bad');
         CREATE TABLE every (id int, part text, {}, PRIMARY KEY (id, part));
         INSERT INTO every SELECT i, 'Part', {} FROM generate_series(1, {ROWS}) i",
        columns.join(", "),
        values.join(", ")
    );
    let mut changed = Vec::new();
    for (number, (_, _, others)) in COLUMNS.iter().enumerate() {
        changed.extend(others.iter().map(|other| (format!("c{number}"), *other)));
    }
    let update = |(at, (column, other)): (usize, &(String, &str))| {
        (format!("UPDATE {table} SET [{column}] = {other} WHERE [id] = {}", at + 1), 1)
    };
    let statements = changed.iter().enumerate().map(update).collect();
    (source, statements, changed.into_iter().map(|(column, _)| column).collect())
}

/// The report of one table.
fn only(report: &Value) -> Result<&Value> {
    report["tables"].as_array().and_then(|tables| tables.first()).with_context(|| report.to_string())
}

/// The JSON of a command, whatever it ended with.
fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_differs_is_found_and_repaired_while_the_pipeline_runs() -> Result<()> {
    let mut stage = Stage::start("repair").await?;
    let table = stage.target_table("every");
    let (source, mut statements, columns) = every(&table);
    stage.source.execute(DATABASE, &source).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    statements.push((format!("DELETE FROM {table} WHERE [id] BETWEEN 201 AND 203"), 3));
    // Keys that the server's usual collation takes for one.
    let extra = [(1001, "Part"), (1002, "Part"), (1002, "part"), (250, "part"), (251, "Part ")];
    for (id, part) in extra {
        statements.push((format!("INSERT INTO {table} ([id], [part], [c0]) VALUES ({id}, N'{part}', 1)"), 1));
    }
    let refused = independent::plant(&stage.target, &statements[statements.len() - 1..]).await.is_err();
    if refused {
        // A unique index ignores blanks at the end.
        statements.pop();
    }
    let extra = extra.len() as u64 - u64::from(refused);
    independent::plant(&stage.target, &statements[..statements.len() - usize::from(!refused)]).await?;

    let finished = stage.product.run(&["verify", "--limit", "1000", "-o", "json"]).await?;
    ensure!(finished.status.code() == Some(5), "{finished}");
    let report = json(&finished)?;
    let found = only(&report)?;
    let changed = columns.len() as u64;
    ensure!(
        (&found["different"], &found["missing"], &found["extra"])
            == (&changed.into(), &3.into(), &extra.into()),
        "{changed} changed, {extra} extra: {found:#}"
    );
    for difference in found["differences"].as_array().context("differences")? {
        if difference["kind"] == "different" {
            let id: usize = difference["key"][0]["value"].as_str().context("id")?.parse()?;
            ensure!(difference["columns"] == serde_json::json!([columns[id - 1]]), "{difference:#}");
        }
    }

    // Nothing is written without being asked for, nor without a yes.
    let dry = stage.product.run(&["verify", "--repair", "--dry-run", "-o", "json"]).await?;
    ensure!(dry.status.code() == Some(5), "{dry}");
    let planned = json(&dry)?;
    let repair = &only(&planned)?["repair"];
    ensure!(
        repair["dry_run"] == true && repair["updated"] == changed && repair["deleted"] == extra,
        "{repair:#}"
    );
    let asked = stage.product.run(&["verify", "--repair"]).await?;
    ensure!(asked.status.code() == Some(2) && asked.stderr.contains("CONFIRMATION_REQUIRED"), "{asked}");

    let repaired = stage.product.succeed(&["verify", "--repair", "--yes", "-o", "json"]).await?;
    let report = json(&repaired)?;
    let repair = &only(&report)?["repair"];
    let counts = ["inserted", "updated", "deleted", "left"].map(|name| repair[name].as_u64());
    ensure!(counts == [Some(3), Some(changed), Some(extra), Some(0)], "{repair:#}");
    ensure!(report["equal"] == true && report["running"] == true, "{report:#}");
    let equal = stage.compare(&["every"]).await?;
    ensure!(equal.equal, "{equal:#?}");

    // The pipeline has gone on, and finds the rows as it expects them.
    let touch = "UPDATE every SET c2 = id; DELETE FROM every WHERE id > 290; UPDATE every SET part = 'x' WHERE id = 201";
    stage.caught_up(&mut running, touch).await?;
    running.ensure_runs()?;
    ensure!(stage.quarantined().await?.is_empty(), "{:?}", stage.quarantined().await?);
    let equal = stage.compare(&["every"]).await?;
    ensure!(equal.equal, "{equal:#?}");
    ensure!(stage.slots().await?.len() == 1, "{:?}", stage.slots().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_left_to_the_pipeline() -> Result<()> {
    let mut stage = Stage::start("repair_late").await?;
    let create = "CREATE TABLE late (id int PRIMARY KEY, v text);
        INSERT INTO late SELECT i, 'v' || i FROM generate_series(1, 60) i;
        CREATE TABLE bag (v text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES ('a'), ('b')";
    stage.source.execute(DATABASE, create).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let (late, bag) = (stage.target_table("late"), stage.target_table("bag"));
    let planted = [
        (format!("UPDATE {late} SET [v] = N'wrong' WHERE [id] IN (1, 11, 21)"), 3),
        (format!("DELETE FROM {late} WHERE [id] IN (2, 3)"), 2),
        (format!("INSERT INTO {late} ([id], [v]) VALUES (1000, N'extra')"), 1),
        (format!("DELETE FROM {bag} WHERE [v] = N'b'"), 1),
    ];
    independent::plant(&stage.target, &planted).await?;
    // Nobody has applied these: the target is right not to have them.
    let changes = "INSERT INTO late SELECT i, 'new' FROM generate_series(101, 110) i;
        UPDATE late SET v = 'newer' WHERE id BETWEEN 11 AND 15; DELETE FROM late WHERE id BETWEEN 41 AND 45;
        UPDATE late SET id = id + 500 WHERE id BETWEEN 51 AND 53";
    stage.source.execute(DATABASE, changes).await?;

    let finished = stage.product.run(&["verify", "--repair", "--yes", "-o", "json"]).await?;
    ensure!(finished.status.code() == Some(5), "late rows are different still: {finished}");
    let report = json(&finished)?;
    let tables = report["tables"].as_array().context("tables")?;
    let of = |name: &str| {
        tables.iter().find(|table| table["source"]["name"] == name).map(|table| &table["repair"])
    };
    let repair = of("late").context("late")?;
    ensure!(report["running"] == false, "{report:#}");
    ensure!(
        (&repair["inserted"], &repair["updated"], &repair["deleted"]) == (&2.into(), &2.into(), &1.into()),
        "{repair:#}"
    );
    let bag = of("bag").context("bag")?;
    ensure!(bag["stopped"]["code"] == "REPAIR_WITHOUT_KEY", "{bag:#}");

    // What is left are changes that come: none of them finds another row than it expects. Row 11, which is wrong, is set.
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.quarantined().await?.is_empty(), "{:?}", stage.quarantined().await?);
    let equal = stage.compare(&["late"]).await?;
    ensure!(equal.equal, "{equal:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_repaired_among_those_that_move() -> Result<()> {
    let mut stage = Stage::start("repair_moving").await?;
    let create = "CREATE TABLE moving (id int PRIMARY KEY, v int, w text);
        INSERT INTO moving SELECT i, 0, 'w' || i FROM generate_series(1, 400) i";
    stage.source.execute(DATABASE, create).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let client = stage.source().await?;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(async move {
        let mut number = 0_u32;
        while !*stopped.borrow_and_update() {
            let id = number % 100 + 1;
            let step = format!(
                "BEGIN; UPDATE moving SET v = v + 1 WHERE id = {id};
                 DELETE FROM moving WHERE id = {0}; INSERT INTO moving VALUES ({0}, {number}, 'back'); COMMIT;
                 INSERT INTO moving VALUES ({1}, 0, 'now'); DELETE FROM moving WHERE id = {1}",
                300 + id,
                2000 + id % 10
            );
            client.batch_execute(&step).await?;
            number += 1;
        }
        Ok::<u32, tokio_postgres::Error>(number)
    });
    let table = stage.target_table("moving");
    let mut inserted = 0;
    for round in 0..3 {
        let from = 201 + 20 * round;
        let planted = [
            (
                format!(
                    "UPDATE {table} SET [w] = N'wrong' WHERE [id] BETWEEN {} AND {}",
                    101 + 20 * round,
                    110 + 20 * round
                ),
                10,
            ),
            (format!("DELETE FROM {table} WHERE [id] BETWEEN {from} AND {}", from + 9), 10),
            (format!("INSERT INTO {table} ([id], [v], [w]) VALUES ({}, 1, N'extra')", 5000 + round), 1),
        ];
        independent::plant(&stage.target, &planted).await?;
        let finished = stage.product.run(&["verify", "--repair", "--yes", "-o", "json"]).await?;
        let report = json(&finished)?;
        // Rows that never rest may be undecided; none is different.
        ensure!(report["differences"] == 0 && report["running"] == true, "{report:#}");
        inserted += only(&report)?["repair"]["inserted"].as_u64().unwrap_or(0);
        running.ensure_runs()?;
    }
    ensure!(inserted >= 30, "{inserted} rows were inserted");
    stop.send(true)?;
    ensure!(writer.await?? > 100, "hardly any load");
    stage.caught_up(&mut running, "UPDATE moving SET v = 0 WHERE id = 1").await?;
    ensure!(stage.quarantined().await?.is_empty(), "{:?}", stage.quarantined().await?);
    running.signal(Signal::TERM)?;
    running.wait(COMMAND_LIMIT).await?;
    let equal = stage.compare(&["moving"]).await?;
    ensure!(equal.equal, "{equal:#?}");
    Ok(())
}
