//! Values that are larger than the memory of the process may be.

mod limits;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use segcdc_tds::Datum;
use segcdc_testkit::{PostgresOptions, until};

use super::product::{Finished, Running};
use super::stage::{DATABASE, PATIENCE, Stage};

/// The product's memory bound, in the kB of `/proc`.
const BOUND_KB: u64 = 256 * 1024;

/// A table whose large values are made by a seed: bytes, and text with code points of one to four bytes.
const TABLE: &str = "
    CREATE TABLE large (id int PRIMARY KEY, b bytea, t text, note text);
    ALTER TABLE large ALTER b SET STORAGE EXTERNAL, ALTER t SET STORAGE EXTERNAL;
    CREATE FUNCTION bytes(seed int, mib int) RETURNS bytea LANGUAGE sql AS $$
        SELECT string_agg(decode(repeat(md5(seed::text || ' ' || part), 65536), 'hex'), ''::bytea ORDER BY part)
        FROM generate_series(1, mib) AS part $$;
    CREATE FUNCTION words(seed int, mib int) RETURNS text LANGUAGE sql AS $$
        SELECT string_agg(repeat(md5(seed::text || ' ' || part) || 'é€🦀', 25575), 'x' ORDER BY part)
        FROM generate_series(1, mib) AS part $$;";

/// Highest memory of the process so far, kB.
fn peak_kb(running: &Running) -> Result<u64> {
    let id = running.id().context("the process has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// Compares a row on both sides, byte by byte.
async fn ensure_equal(stage: &Stage, id: i32) -> Result<()> {
    let sql = format!("SELECT b, t, note FROM large WHERE id = {id}");
    let source = stage.source().await?.query_one(&sql, &[]).await?;
    let sql = format!("SELECT [b], [t], [note] FROM {} WHERE [id] = {id}", stage.target_table("large"));
    let response = stage.target().await?.batch(&sql).await?;
    let row = response.first_row().context("the row is missing at the target")?;
    let bytes: Option<Vec<u8>> = source.get(0);
    let texts = [source.get::<_, Option<String>>(1), source.get(2)];
    ensure!(row[0] == bytes.map_or(Datum::Null, Datum::Bytes), "bytes of row {id} differ");
    for (index, text) in texts.into_iter().enumerate() {
        ensure!(row[index + 1] == text.map_or(Datum::Null, Datum::Text), "text {index} of row {id} differs");
    }
    Ok(())
}

/// Runs `verify` on a pipeline that does not run; returns its output and its highest memory, kB.
async fn verify(stage: &mut Stage, limit: Duration) -> Result<(Finished, u64)> {
    let mut running = stage.product.start(&["verify", "-o", "json"])?;
    let mut peak = 0;
    let ended = || {
        peak = peak_kb(&running).unwrap_or(peak).max(peak);
        let ended = running.has_ended().unwrap_or(true);
        async move { ended.then_some(()) }
    };
    until("verify ends", limit, ended).await?;
    ensure!(peak > 0, "the memory of verify was not seen");
    Ok((running.wait(limit).await?, peak))
}

/// Changes one byte behind the middle of each of two values of so many MiB, of which nothing is told the target; `verify`
/// finds both, and holds neither. Returns what was measured.
async fn find_one_byte(stage: &mut Stage, mib: u32, bound_kb: u64, limit: Duration) -> Result<String> {
    stage.source.execute(DATABASE, TABLE).await?;
    let rows = format!(
        "INSERT INTO large VALUES (1, bytes(1, {mib}), NULL, 'copied'), (2, NULL, words(2, {mib}), 'copied'), \
         (3, '', '', 'copied')"
    );
    stage.source.execute(DATABASE, &rows).await?;
    let mut running = stage.product.up()?;
    stage.live_within(&mut running, limit).await?;
    running.kill().await?;
    let begun = std::time::Instant::now();
    let (equal, peak) = verify(stage, limit).await?;
    ensure!(equal.status.success() && equal.stdout.contains("\"different\": 0"), "{equal}");
    let said = format!("{mib} MiB: compared in {:.1?}, {peak} kB", begun.elapsed());
    ensure!(peak < bound_kb, "{said}: more than the bound of {bound_kb} kB");
    let change = "UPDATE large SET b = set_byte(b, length(b) / 2 + 7, 255 - get_byte(b, length(b) / 2 + 7)) WHERE id = 1; \
         UPDATE large SET t = overlay(t placing '!' from length(t) / 2 + 7 for 1) WHERE id = 2";
    stage.source.execute(DATABASE, change).await?;
    let (changed, peak) = verify(stage, limit).await?;
    ensure!(changed.status.code() == Some(5), "{changed}");
    let report: serde_json::Value = serde_json::from_str(&changed.stdout)?;
    let found: Vec<(&str, &str)> = report["tables"][0]["differences"]
        .as_array()
        .context("no differences")?
        .iter()
        .filter_map(|row| Some((row["key"][0]["value"].as_str()?, row["columns"][0].as_str()?)))
        .collect();
    ensure!(found == [("1", "b"), ("2", "t")], "{changed}");
    ensure!(peak < bound_kb, "{said}; then {peak} kB: more than the bound of {bound_kb} kB");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_finds_one_byte_of_a_large_value_without_holding_it() -> Result<()> {
    let mut stage = Stage::start("largeverify").await?;
    // Less than one of the values as the text by which it is compared.
    eprintln!("{}", find_one_byte(&mut stage, 24, 40 * 1024, PATIENCE).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and gigabytes of disk and memory; scripts/soak.sh runs it"]
async fn verify_finds_one_byte_of_300_mib_within_the_memory_bound() -> Result<()> {
    let mut stage = Stage::start("largestverify").await?;
    eprintln!("{}", find_one_byte(&mut stage, 300, BOUND_KB, Duration::from_secs(900)).await?);
    Ok(())
}

/// Waits until a row has this note at the target.
async fn noted(stage: &Stage, running: &mut Running, id: i32, note: &str, limit: Duration) -> Result<()> {
    let table = stage.target_table("large");
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE [id] = {id} AND [note] = N'{note}'");
    let arrived = || async { (stage.target_number(&sql).await.ok()? == 1).then_some(()) };
    running.until(&format!("row {id} is {note}"), limit, arrived).await
}

/// Carries values of so many MiB by snapshot and by stream. Returns what was measured.
async fn carry(stage: &mut Stage, mib: u32, limit: Duration) -> Result<String> {
    let begun = std::time::Instant::now();
    let mut said = String::new();
    stage.source.execute(DATABASE, TABLE).await?;
    let rows = format!(
        "INSERT INTO large VALUES (1, bytes(1, {mib}), NULL, 'copied'), (2, NULL, words(2, {mib}), 'copied'), \
         (3, '', '', 'copied')"
    );
    stage.source.execute(DATABASE, &rows).await?;
    let mut running = stage.product.up()?;
    noted(stage, &mut running, 2, "copied", limit).await?;
    stage.live_within(&mut running, limit).await?;
    write!(said, "{mib} MiB: copied after {:.1?}, {} kB; ", begun.elapsed(), peak_kb(&running)?)?;
    let changes = format!(
        "INSERT INTO large VALUES (4, bytes(4, {mib}), NULL, 'streamed'), (5, NULL, words(5, {mib}), 'streamed'); \
         UPDATE large SET b = bytes(6, {mib}), note = 'changed' WHERE id = 3; \
         UPDATE large SET note = 'changed' WHERE id = 1"
    );
    stage.source.execute(DATABASE, &changes).await?;
    noted(stage, &mut running, 1, "changed", limit).await?;
    let peak = peak_kb(&running)?;
    write!(said, "streamed after {:.1?}, {peak} kB", begun.elapsed())?;
    ensure!(peak < BOUND_KB, "{said}: more than the bound of {BOUND_KB} kB");
    running.kill().await?;
    for id in 1..=5 {
        ensure_equal(stage, id).await?;
    }
    Ok(said)
}

/// # Fault F25
/// A value is larger than the memory, up to the gigabyte that PostgreSQL can hold.
/// - Happens: it is never held in memory, and sent in pieces.
/// - Do: nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_24_mib_arrive_exactly_within_the_memory_bound() -> Result<()> {
    let mut stage = Stage::start("large").await?;
    eprintln!("{}", carry(&mut stage, 24, PATIENCE).await?);
    Ok(())
}

/// More than the memory bound in each value. Not more: the PostgreSQL in which the sandbox keeps its rows, and which
/// prints bytes as two digits each, has the limits of the source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and gigabytes of disk and memory; scripts/soak.sh runs it"]
async fn values_of_400_mib_arrive_within_the_memory_bound() -> Result<()> {
    let mut stage = Stage::start("largest").await?;
    eprintln!("{}", carry(&mut stage, 400, Duration::from_secs(900)).await?);
    Ok(())
}

/// Makes one transaction of so many rows, with a subtransaction that is rolled back, between short ones; kills the process
/// while it is being applied, and lets the next one apply it. Returns what was measured.
async fn carry_rows(stage: &mut Stage, rows: i64, limit: Duration) -> Result<String> {
    let begun = std::time::Instant::now();
    let table = "CREATE TABLE many (id bigint PRIMARY KEY, n int NOT NULL, w text); CREATE TABLE short (id int PRIMARY KEY)";
    stage.source.execute(DATABASE, table).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let open = stage.source().await?;
    let half = rows / 2;
    let insert = |from: i64, to: i64| {
        format!("INSERT INTO many SELECT i, i % 1000, md5(i::text) FROM generate_series({from}, {to}) i")
    };
    open.batch_execute("BEGIN").await?;
    open.batch_execute(&insert(1, half)).await?;
    open.batch_execute("SAVEPOINT undone").await?;
    open.batch_execute(&insert(half + 1, half + half / 10)).await?;
    open.batch_execute("ROLLBACK TO undone").await?;
    stage.caught_up(&mut running, "INSERT INTO short VALUES (1)").await?;
    ensure!(stage.target_count("short").await? == 1 && stage.target_count("many").await? == 0);
    open.batch_execute(&insert(half + 1, rows)).await?;
    open.batch_execute("COMMIT").await?;
    stage.source.execute(DATABASE, "INSERT INTO short VALUES (2)").await?;
    let committed = begun.elapsed();
    let being_applied = || {
        let seen = running.log().contains("too large for memory");
        async move { seen.then_some(()) }
    };
    until("the transaction is being applied", limit, being_applied).await?;
    let received = peak_kb(&running)?;
    running.kill().await?;
    ensure!(stage.target_count("many").await? == 0, "a killed process has left a part of a transaction");
    let mut running = stage.product.up()?;
    let again = std::time::Instant::now();
    let arrived = || async { (stage.target_count("short").await.ok()? == 2).then_some(()) };
    running.until("the transaction is applied", limit, arrived).await?;
    let applied = again.elapsed();
    let peak = peak_kb(&running)?;
    let slots = "SELECT max(stream_txns) FROM pg_stat_replication_slots";
    let streamed: i64 = stage.source().await?.query_one(slots, &[]).await?.get(0);
    let said = format!(
        "{rows} rows: made in {committed:.1?}, received and applied in {applied:.1?}; VmHWM {received} kB, then {peak} kB; \
         stream_txns {streamed}"
    );
    ensure!(stage.target_count("many").await? == rows, "{said}");
    let sums = format!("SELECT SUM(CAST([n] AS bigint)) FROM {}", stage.target_table("many"));
    let sum: i64 = stage.source().await?.query_one("SELECT sum(n) FROM many", &[]).await?.get(0);
    ensure!(stage.target_number(&sums).await? == sum, "{said}");
    ensure!(received.max(peak) < BOUND_KB, "{said}: more than the bound of {BOUND_KB} kB");
    ensure!(streamed > 0, "{said}: it was not streamed");
    running.kill().await?;
    Ok(said)
}

/// A stage whose source streams early.
async fn streaming_stage(name: &str) -> Result<Stage> {
    Stage::start_with(name, PostgresOptions::default().setting("logical_decoding_work_mem", "64kB")).await
}

/// # Fault F24
/// A transaction is larger than the memory.
/// - Happens: it is kept on disk with checksums, and takes effect in the target whole.
/// - Do: nothing; `--spill-limit` bounds the disk, and the target's log must hold it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_larger_than_its_memory_survives_a_kill() -> Result<()> {
    let mut stage = streaming_stage("manyrows").await?;
    eprintln!("{}", carry_rows(&mut stage, 150_000, PATIENCE).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes, and gigabytes of disk; scripts/soak.sh runs it"]
async fn a_transaction_of_ten_million_rows_stays_within_the_memory_bound() -> Result<()> {
    let rows = std::env::var("SEGCDC_ROWS").ok().map_or(Ok(10_000_000), |rows| rows.parse())?;
    let mut stage = streaming_stage("mostrows").await?;
    eprintln!("{}", carry_rows(&mut stage, rows, Duration::from_secs(3600)).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_no_file_and_carries_the_value_again() -> Result<()> {
    let mut stage = Stage::start("largekill").await?;
    let directory = tempfile::tempdir()?;
    let spill = directory.path().join("spill");
    stage.product.set("SEGCDC_SPILL_DIR", spill.to_str().context("a path in UTF-8")?);
    stage.source.execute(DATABASE, TABLE).await?;
    stage.source.execute(DATABASE, "INSERT INTO large VALUES (1, bytes(1, 16), NULL, 'copied')").await?;
    let in_the_middle = || async { open_spill_bytes(&spill) };
    let mut running = stage.product.up()?;
    running.until("a value is being copied", PATIENCE, in_the_middle).await?;
    running.kill().await?;
    ensure!(std::fs::read_dir(&spill)?.next().is_none(), "the killed process has left a file");
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, "INSERT INTO large VALUES (2, bytes(2, 16), NULL, 'streamed')").await?;
    running.until("a value is being streamed", PATIENCE, in_the_middle).await?;
    running.kill().await?;
    ensure!(std::fs::read_dir(&spill)?.next().is_none(), "the killed process has left a file");
    let mut running = stage.product.up()?;
    noted(&stage, &mut running, 2, "streamed", PATIENCE).await?;
    for id in 1..=2 {
        ensure_equal(&stage, id).await?;
    }
    Ok(())
}

/// Whether some process has a file without a name open below a directory, with contents.
fn open_spill_bytes(directory: &std::path::Path) -> Option<()> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let files = processes.flatten().filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok());
    for file in files.flatten().flatten() {
        let is_ours = std::fs::read_link(file.path()).is_ok_and(|link| link.starts_with(directory));
        if is_ours && std::fs::metadata(file.path()).is_ok_and(|file| file.len() > 1 << 20) {
            return Some(());
        }
    }
    None
}
