//! `verify` range by range: several at once, at a bounded pace, interrupted and gone on with, and by number of rows.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::independent;
use super::product::{COMMAND_LIMIT, Finished};
use super::stage::{DATABASE, PATIENCE, Stage};

/// Rows of each of the large tables.
const ROWS: u64 = 6_000;

/// Keys with gaps; a key whose first column twenty values share; one that is divided by nothing; rows that are set aside.
const SCHEMA: &str = "
    CREATE TABLE orders (id bigint PRIMARY KEY, note text);
    INSERT INTO orders SELECT i * 10 - 7000, 'Note ' || i FROM generate_series(1, 6000) i;
    CREATE TABLE lines (number int, part int, note text, PRIMARY KEY (number, part));
    INSERT INTO lines SELECT i % 20, i, 'Line' FROM generate_series(1, 6000) i;
    CREATE TABLE people (id uuid PRIMARY KEY, name text);
    INSERT INTO people SELECT md5(i::text)::uuid, 'Name' FROM generate_series(1, 700) i;
    CREATE TABLE prices (id int PRIMARY KEY, price numeric);
    INSERT INTO prices VALUES (1, 1), (2, 'NaN');";

fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// Compares range by range, several at once.
async fn verify(stage: &mut Stage, extra: &[&str]) -> Result<Finished> {
    let arguments = ["verify", "-o", "json", "--range-rows", "500", "--jobs", "3"];
    stage.product.run(&[&arguments[..], extra].concat()).await
}

/// Compares the numbers of rows of a table.
async fn count(stage: &mut Stage, table: &str) -> Result<Finished> {
    stage.product.run(&["verify", "--by", "count", "-o", "json", "--tables", table]).await
}

fn table<'r>(report: &'r Value, name: &str) -> Result<&'r Value> {
    let tables = report["tables"].as_array().context("tables")?;
    tables.iter().find(|table| table["source"]["name"] == name).with_context(|| report.to_string())
}

/// The ranges of a table, after a look at whether they are all of it: none twice, and none missing.
fn ranges<'r>(report: &'r Value, name: &str) -> Result<&'r Vec<Value>> {
    let table = table(report, name)?;
    let ranges = table["ranges"].as_array().with_context(|| table.to_string())?;
    ensure!(ranges.first().is_some_and(|first| first["from"].is_null()), "{table:#}");
    ensure!(ranges.last().is_some_and(|last| last["to"].is_null()), "{table:#}");
    for pair in ranges.windows(2) {
        ensure!(pair[0]["to"].is_i64() && pair[0]["to"] == pair[1]["from"], "{pair:#?}");
    }
    for count in ["source_rows", "target_rows", "differences"] {
        let sum: u64 = ranges.iter().filter_map(|range| range[count].as_u64()).sum();
        let all = match count {
            "differences" => {
                ["missing", "extra", "different"].iter().filter_map(|kind| table[*kind].as_u64()).sum()
            }
            _ => table[count].as_u64().context("a count")?,
        };
        ensure!(sum == all, "{count}: {table:#}");
    }
    Ok(ranges)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_compared_at_once_interrupted_and_gone_on_with() -> Result<()> {
    let mut stage = Stage::start("ranges").await?;
    stage.source.execute(DATABASE, SCHEMA).await?;
    stage.product.set("SEGCDC_ON_VALUE", "set_aside");
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    // Before the stream is open, a pipeline looks like one that does not run.
    let is_read = || async {
        let found = stage.source.psql(DATABASE, "SELECT count(*) FROM pg_replication_slots WHERE active");
        found.is_ok_and(|found| found.trim() == "1").then_some(())
    };
    running.until("the slot is read", PATIENCE, is_read).await?;

    let report = json(&verify(&mut stage, &[]).await?)?;
    ensure!(report["equal"] == true && report["by"] == "rows" && report["running"] == true, "{report:#}");
    ensure!(ranges(&report, "orders")?.len() == 12, "{report:#}");
    // Three hundred rows have the same number: a range ends where a number does.
    ensure!((6..=20).contains(&ranges(&report, "lines")?.len()), "{report:#}");
    ensure!(table(&report, "people")?.get("ranges").is_none(), "{report:#}");
    for name in ["orders", "lines"] {
        let table = table(&report, name)?;
        ensure!(
            table["source_rows"] == ROWS && table["source_checksum"] == table["target_checksum"],
            "{table:#}"
        );
    }

    // In ranges far from each other; a row that moved into another one; a key between two others.
    let (orders, lines) = (stage.target_table("orders"), stage.target_table("lines"));
    let planted = [
        (format!("DELETE FROM {orders} WHERE [id] = -6990"), 1),
        (format!("UPDATE {orders} SET [note] = N'note 3000' WHERE [id] = 23000"), 1),
        (format!("INSERT INTO {orders} ([id], [note]) VALUES (23001, N'Extra')"), 1),
        (format!("UPDATE {orders} SET [id] = 60000 WHERE [id] = 40000"), 1),
        (format!("DELETE FROM {lines} WHERE [part] = 20"), 1),
    ];
    independent::plant(&stage.target, &planted).await?;
    let finished = verify(&mut stage, &[]).await?;
    ensure!(finished.status.code() == Some(5), "{finished}");
    let report = json(&finished)?;
    let found = table(&report, "orders")?;
    let counts = ["missing", "extra", "different"].map(|kind| found[kind].as_u64());
    ensure!(counts == [Some(2), Some(2), Some(1)], "{found:#}");
    let differing = ranges(&report, "orders")?.iter().filter(|range| range["differences"] != 0).count();
    ensure!(differing == 4, "the place of each is known: {found:#}");
    ensure!(table(&report, "lines")?["missing"] == 1 && ranges(&report, "lines")?.len() > 5, "{report:#}");

    by_number_of_rows(&mut stage).await?;
    interrupted(&mut stage, &orders).await?;

    let repaired = json(&verify(&mut stage, &["--repair", "--yes"]).await?)?;
    let repair = &table(&repaired, "orders")?["repair"];
    let counts = ["inserted", "updated", "deleted", "left"].map(|kind| repair[kind].as_u64());
    ensure!(counts == [Some(2), Some(2), Some(2), Some(0)], "{repaired:#}");
    ensure!(repaired["equal"] == true, "{repaired:#}");
    ensure!(stage.compare(&["orders", "lines", "people"]).await?.equal, "an independent client agrees");
    running.ensure_runs()?;
    running.signal(Signal::TERM)?;
    running.wait(COMMAND_LIMIT).await?;
    Ok(())
}

/// As many rows are as many rows, whatever is in them; and what is set aside cannot be counted.
async fn by_number_of_rows(stage: &mut Stage) -> Result<()> {
    let finished = count(stage, "orders").await?;
    let report = json(&finished)?;
    ensure!(
        finished.status.code() == Some(0) && report["by"] == "count",
        "two are missing, two too many: {finished}"
    );
    ensure!(table(&report, "orders")?["target_rows"] == ROWS, "{report:#}");
    let finished = count(stage, "lines").await?;
    ensure!(finished.status.code() == Some(5), "{finished}");
    let report = json(&finished)?;
    let lines = table(&report, "lines")?;
    ensure!(lines["missing"] == 1 && lines["extra"] == 0 && lines["target_rows"] == ROWS - 1, "{lines:#}");
    let finished = count(stage, "prices").await?;
    ensure!(finished.status.code() == Some(1), "{finished}");
    ensure!(table(&json(&finished)?, "prices")?["not_compared"]["code"] == "ROWS_SET_ASIDE", "{finished}");
    let refused = stage.product.run(&["verify", "--by", "count", "--repair", "--yes"]).await?;
    ensure!(refused.status.code() == Some(2) && refused.stderr.contains("REPAIR_BY_COUNT"), "{refused}");
    Ok(())
}

/// Whether some of the rows of the only table were compared, as the file says.
fn is_begun(file: &Path) -> Option<()> {
    let saved: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    saved["tables"][0]["done"]["below"].as_i64().filter(|below| *below > -6000).map(|_| ())
}

/// What was compared stays compared: a difference that comes into it afterwards is found by the next comparison only.
async fn interrupted(stage: &mut Stage, orders: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("verify.json");
    let file = path.to_str().context("a path")?;
    let arguments =
        ["verify", "-o", "json", "--tables", "orders", "--range-rows", "300", "--progress-file", file];
    let slow = [&arguments[..], &["--throttle", "1000rows/s"]].concat();
    let mut verify = stage.product.start(&slow)?;
    verify.until("some ranges are compared", PATIENCE, || async { is_begun(&path) }).await?;
    verify.signal(Signal::KILL)?;
    verify.wait(COMMAND_LIMIT).await?;

    let late = format!("UPDATE {orders} SET [note] = N'late' WHERE [id] = -6980");
    independent::plant(&stage.target, &[(late, 1)]).await?;
    let other = stage.product.run(&[&arguments[..], &["--by", "count"]].concat()).await?;
    ensure!(other.status.code() == Some(2) && other.stdout.contains("PROGRESS_FILE_MISMATCH"), "{other}");
    let finished = stage.product.run(&arguments).await?;
    ensure!(finished.stderr.contains("going on"), "{finished}");
    let report = json(&finished)?;
    let found = table(&report, "orders")?;
    ensure!(
        found["different"] == 1 && found["source_rows"] == ROWS,
        "what was compared is not read again: {found:#}"
    );
    ensure!(found["missing"] == 2 && found["extra"] == 2, "what was found before is in it: {found:#}");
    ranges(&report, "orders")?;
    ensure!(!path.exists(), "the comparison is over");
    let anew = stage.product.run(&arguments).await?;
    ensure!(table(&json(&anew)?, "orders")?["different"] == 2, "{anew}");
    Ok(())
}
