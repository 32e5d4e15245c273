//! The largest values that PostgreSQL can have, and send.
//!
//! ```text
//! 1,073,741,823   bytes are the most that PostgreSQL allocates for one thing: a row, a message, a text
//! 1,073,741,767   bytes of the largest bytea beside an integer: that less the row's header and the other column
//!   536,870,910   bytes of the largest bytea that can be printed: two digits a byte, \x in front, a zero behind
//! ```
//!
//! A walsender needs room for the message around a value, and for what waits in its 8 KiB of output; what it has no room for
//! it refuses, by several errors. The sandbox is PostgreSQL too, and its staged rows have columns of ours beside the value.
//! So what comes by the stream is somewhat smaller here.
//!
//! The copy asks for bytea in binary form always. The stream does where all tables have nothing but types with a binary decoder;
//! in text form PostgreSQL cannot send what it cannot print, and says so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::observer::{back_door, object_id, physical_column};
use super::super::product::Running;
use super::super::stage::{DATABASE, Stage};
use super::{BOUND_KB, peak_kb};

/// Bytes of the largest bytea beside an integer.
const LARGEST: u32 = 1_073_741_767;

/// Bytes of a value that comes by the stream.
const STREAMED: u32 = LARGEST - 10_000;

/// Bytes of a bytea that can be printed, and that the stream has room for.
const PRINTABLE: u32 = 536_870_910 - 5_000;

/// Bytes of the smallest bytea that cannot be printed.
const UNPRINTABLE: u32 = 536_870_911;

/// How long one of these takes.
const LIMIT: Duration = Duration::from_secs(1500);

/// Names of the tables, and the functions that make their values.
const TABLES: &str = "
    CREATE TABLE largest (id int PRIMARY KEY, v bytea); ALTER TABLE largest ALTER v SET STORAGE EXTERNAL;
    CREATE FUNCTION letters(seed int, bytes int) RETURNS text LANGUAGE sql AS $$
        SELECT left(repeat(md5(seed::text), bytes / 32 + 1), bytes) $$;";

/// Adds a bytea of so many bytes.
async fn insert(stage: &Stage, id: u32, bytes: u32) -> Result<()> {
    let value = format!("convert_to(letters({id}, {bytes}), 'SQL_ASCII')");
    stage.source.execute(DATABASE, &format!("INSERT INTO largest VALUES ({id}, {value})")).await
}

/// Waits until a row is in the target, and compares its length and its hash with the source's, each by the PostgreSQL that has it.
async fn arrived(stage: &Stage, running: &mut Running, id: u32) -> Result<String> {
    let begun = Instant::now();
    let sql = format!("SELECT COUNT(*) FROM {} WHERE [id] = {id}", stage.target_table("largest"));
    let there = || async { (stage.target_number(&sql).await.ok()? == 1).then_some(()) };
    running.until(&format!("row {id} has arrived"), LIMIT, there).await?;
    let (elapsed, peak) = (begun.elapsed(), peak_kb(running)?);
    let target = back_door(stage).await?;
    let object = object_id(&target, &stage.target.default_schema, "largest").await?.context("the table")?;
    let columns =
        [physical_column(&target, &object, "id").await?, physical_column(&target, &object, "v").await?];
    let of = |table: &str, id_column: &str, column: &str| {
        format!("SELECT octet_length({column})::bigint, md5({column}) FROM {table} WHERE {id_column} = {id}")
    };
    let source = stage.source().await?.query_one(&of("largest", "id", "v"), &[]).await?;
    let found = target.query_one(&of(&format!("u.t{object}"), &columns[0], &columns[1]), &[]).await?;
    let (expected, found) = [source, found].map(|row| (row.get::<_, i64>(0), row.get::<_, String>(1))).into();
    ensure!(expected == found, "row {id}: {expected:?} arrived as {found:?}");
    let said = format!("row {id}: {} bytes after {elapsed:.1?}, {peak} kB", expected.0);
    ensure!(peak < BOUND_KB, "{said}: more than the bound of {BOUND_KB} kB");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and twenty gigabytes of memory and disk; by hand: large::limits::the_largest"]
async fn the_largest_bytea_arrives_by_copy_and_by_stream() -> Result<()> {
    let mut stage = Stage::start("largestbytes").await?;
    if stage.sandbox_or_skip("the value is compared behind its back").is_none() {
        return Ok(());
    }
    stage.source.execute(DATABASE, TABLES).await?;
    ensure!(insert(&stage, 1, LARGEST + 1).await.is_err(), "PostgreSQL takes more than we think");
    insert(&stage, 1, LARGEST).await?;
    let mut running = stage.product.start(&["up", "--yes", "--tables", "largest"])?;
    eprintln!("{}", arrived(&stage, &mut running, 1).await?);
    stage.live_within(&mut running, LIMIT).await?;
    insert(&stage, 2, STREAMED).await?;
    eprintln!("{}", arrived(&stage, &mut running, 2).await?);
    running.kill().await?;
    Ok(())
}

/// With a column in the pipeline that has no binary form the stream is text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and ten gigabytes of memory and disk; by hand: large::limits::bytea"]
async fn bytea_that_cannot_be_printed_stops_a_stream_in_text_form_by_name() -> Result<()> {
    let mut stage = Stage::start("unprintable").await?;
    if stage.sandbox_or_skip("the value is compared behind its back").is_none() {
        return Ok(());
    }
    let setup = format!("{TABLES} CREATE TABLE printed (id int PRIMARY KEY, address inet);");
    stage.source.execute(DATABASE, &setup).await?;
    // The copy carries it all the same.
    insert(&stage, 1, UNPRINTABLE).await?;
    let mut running = stage.product.up()?;
    eprintln!("{}", arrived(&stage, &mut running, 1).await?);
    stage.live_within(&mut running, LIMIT).await?;
    insert(&stage, 2, PRINTABLE).await?;
    eprintln!("{}", arrived(&stage, &mut running, 2).await?);
    insert(&stage, 3, UNPRINTABLE).await?;
    let halted = running.wait(LIMIT).await?;
    eprintln!("{halted}");
    ensure!(halted.error_code() == Some("SOURCE_ERROR"), "{halted}");
    Ok(())
}
