//! Tables that take hours to copy: what `plan` says of them, and what a copy may take from the source meanwhile.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{DATABASE, PATIENCE, Stage};

/// What PostgreSQL puts into one file of a table.
const SEGMENT: u64 = 1 << 30;

/// Gives a table as many files of 1 GiB: nothing but a size, without a block on the disk.
async fn pretend(stage: &Stage, table: &str, segments: u64, rows: u64) -> Result<()> {
    let path = format!("SELECT pg_relation_filepath('{table}')");
    let path: String = stage.source().await?.query_one(&path, &[]).await?.get(0);
    let path = stage.source.data_dir().join(path);
    for segment in 0..segments {
        let suffix = if segment == 0 { String::new() } else { format!(".{segment}") };
        let file = format!("{}{suffix}", path.to_str().context("a path in UTF-8")?);
        OpenOptions::new().create(true).truncate(false).write(true).open(file)?.set_len(SEGMENT)?;
    }
    let statistics = format!("UPDATE pg_class SET reltuples = {rows} WHERE oid = '{table}'::regclass");
    stage.source.execute(DATABASE, &statistics).await
}

/// What `plan` says with these options.
async fn plan(stage: &mut Stage, options: &[&str]) -> Result<Value> {
    let command = [&["plan", "-o", "json"], options].concat();
    let finished = stage.product.succeed(&command).await?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_of_a_table_of_100_gib_tells_ranges_readers_time_and_what_vacuum_waits_for() -> Result<()> {
    let mut stage = Stage::start("bigplan").await?;
    let tables = "CREATE TABLE big (n bigint, body text); ALTER TABLE big REPLICA IDENTITY FULL;
        ALTER TABLE big SET (autovacuum_enabled = false); CREATE TABLE small (id int PRIMARY KEY);
        INSERT INTO big VALUES (1, 'x'); INSERT INTO small VALUES (1)";
    stage.source.execute(DATABASE, tables).await?;
    stage.source.execute(DATABASE, "CHECKPOINT").await?;
    pretend(&stage, "big", 100, 800_000_000).await?;

    // Somebody has held a snapshot for a thousand transactions, and others go on.
    let holder = stage.source().await?;
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM small").await?;
    let writer = stage.source().await?;
    let begin = "DO $$ BEGIN FOR i IN 1..1000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    writer.batch_execute(begin).await?;
    let writes = tokio::spawn(async move { while writer.batch_execute(begin).await.is_ok() {} });
    let seen = plan(&mut stage, &[]).await;
    writes.abort();
    let seen = seen?;
    let copy = &seen["copy"];
    ensure!(copy["readers"] == 4 && copy["tables"] == 2 && copy["rows"] == 800_000_000_u64, "{copy:#}");
    ensure!(copy["ranges"] == 101, "a piece is 1 GiB at most: {copy:#}");
    let table =
        seen["tables"].as_array().and_then(|tables| tables.iter().find(|table| table["ranges"] == 100));
    ensure!(table.is_some_and(|table| table["source"]["name"] == "big"), "{seen:#}");
    ensure!(copy["is_assumed"] == true && copy["bytes_per_second"] == 40 << 20, "{copy:#}");
    // 100 GiB by four readers of 10 MiB/s.
    ensure!(copy["seconds"].as_u64().is_some_and(|seconds| (2560..2570).contains(&seconds)), "{copy:#}");
    let xmin = &copy["xmin"];
    ensure!(xmin["now"].as_u64() >= Some(1000), "{copy:#}");
    let (pace, at_end) = (xmin["per_second"].as_u64(), xmin["at_end"].as_u64());
    ensure!(pace > Some(0) && at_end == pace.zip(copy["seconds"].as_u64()).map(|(a, b)| a * b), "{copy:#}");
    holder.batch_execute("COMMIT").await?;

    let words = stage.product.succeed(&["plan"]).await?;
    ensure!(words.stdout.contains("101 pieces by 4 readers"), "{words}");
    ensure!(words.stdout.contains("about 42m") && words.stdout.contains("an assumption"), "{words}");
    ensure!(words.stdout.contains("vacuum"), "{words}");

    // What is bounded is not assumed.
    let copy = plan(&mut stage, &["--throttle", "5MiB/s"]).await?["copy"].clone();
    ensure!(copy["is_assumed"] == false && copy["bytes_per_second"] == 5 << 20, "{copy:#}");
    ensure!(copy["seconds"].as_u64().is_some_and(|seconds| (20_480..20_490).contains(&seconds)), "{copy:#}");
    let copy = plan(&mut stage, &["--throttle", "100000rows/s"]).await?["copy"].clone();
    ensure!(copy["bytes_per_second"].is_null() && copy["seconds"] == 8000, "{copy:#}");
    let copy = plan(&mut stage, &["--readers", "8"]).await?["copy"].clone();
    ensure!(copy["readers"] == 8, "{copy:#}");
    ensure!(copy["seconds"].as_u64().is_some_and(|seconds| (1280..1400).contains(&seconds)), "{copy:#}");
    let copy = plan(&mut stage, &["--snapshot", "none"]).await?["copy"].clone();
    ensure!(copy.is_null(), "{copy:#}");
    Ok(())
}

/// The pieces that are being copied now, as conditions on `ctid`. A session whose COPY the server has ended counts too: what
/// a piece of some MiB has left may wait in the sockets' buffers for a reader that may not take it yet.
async fn being_copied(stage: &Stage) -> Result<Vec<String>> {
    let sql = "SELECT substring(query from 'ctid >= .*') FROM pg_stat_activity \
         WHERE query LIKE 'COPY (SELECT%ctid >=%' AND state IN ('active', 'idle in transaction') \
         AND datname = current_database()";
    let rows = stage.source().await?.query(sql, &[]).await?;
    Ok(rows.iter().filter_map(|row| row.get(0)).collect())
}

/// One row a page, so that few rows are many pages; no key that ranges could be of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_without_a_key_is_copied_in_pieces_by_as_many_readers_and_rows_as_allowed() -> Result<()> {
    const ROWS: u32 = 6000;
    const PER_SECOND: u32 = 2000;
    let mut stage = Stage::start("bigcopy").await?;
    let table = format!(
        "CREATE TABLE page (n int, body text); ALTER TABLE page ALTER body SET STORAGE PLAIN;
         ALTER TABLE page REPLICA IDENTITY FULL; CREATE TABLE small (id int PRIMARY KEY);
         INSERT INTO page SELECT i % 1000, repeat('p', 5000) FROM generate_series(1, {ROWS}) i"
    );
    stage.source.execute(DATABASE, &table).await?;
    let throttle = format!("{PER_SECOND}rows/s");
    let mut running = stage.product.start(&["up", "--yes", "--readers", "2", "--throttle", &throttle])?;
    let (mut pieces, mut most, mut begun) = (BTreeSet::new(), 0, None);
    let live = super::stage::live_sql(&stage.name);
    let limit = Instant::now() + PATIENCE;
    while stage.target_number(&live).await.ok() != Some(1) {
        running.ensure_runs()?;
        ensure!(Instant::now() < limit, "it does not come to an end: {}", running.log());
        let now = being_copied(&stage).await?;
        if !now.is_empty() {
            begun.get_or_insert_with(Instant::now);
        }
        most = most.max(now.len());
        pieces.extend(now);
    }
    let elapsed = begun.context("nothing was seen of the copy")?.elapsed();
    ensure!(most == 2, "{most} readers at once, of {pieces:?}, in {elapsed:?}");
    ensure!(pieces.len() > 2, "{pieces:?}");
    // What was copied before it was first seen, and what may be taken at once, do not count.
    let least = Duration::from_secs(u64::from(ROWS / PER_SECOND)) - Duration::from_secs(1);
    ensure!(elapsed >= least, "{ROWS} rows in {elapsed:?}, with {PER_SECOND} allowed in a second");
    running.kill().await?;
    stage.source.execute(DATABASE, "INSERT INTO small VALUES (1)").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let compared = stage.compare(&["page", "small"]).await?;
    ensure!(compared.equal && stage.target_count("page").await? == i64::from(ROWS), "{compared:#?}");
    Ok(())
}
