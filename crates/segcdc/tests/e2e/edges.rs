//! The last edges of "every value arrives exactly, or visibly does not": lengths at which the target's types or the way of
//! a value change, long documents, a disk without room, and money of which nobody knows what it means.

use anyhow::{Context, Result, ensure};

use segcdc_testkit::PostgresOptions;
use segcdc_testkit::small_disk::SmallDisk;

use super::stage::{DATABASE, PATIENCE, Stage};

/// Rows of lengths around those at which nvarchar and varbinary end, of code points of one and of two UTF-16 units.
const LENGTHS: &str = "
    SELECT row_number() OVER () + {first}, left(repeat(c, l), 2000), left(repeat(c, l), 2001), left(repeat(c, l), 4000),
        left(repeat(c, l), 4001), left(repeat(c, l), 8001), repeat(c, l), 'x' || repeat(c, l / length(c)),
        decode(repeat('0af', l * 2 / 3 + 1), 'escape'), substr(decode(repeat('00ff', l), 'hex'), 1, l)
    FROM unnest(ARRAY[0, 1, 1999, 2000, 2001, 3999, 4000, 4001, 7999, 8000, 8001]) AS l, unnest(ARRAY['a', 'é', '🦀', 'a🦀']) AS c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_at_the_ends_of_types_arrive_exactly() -> Result<()> {
    let mut stage = Stage::start("edges_lengths").await?;
    let table = "CREATE TABLE lengths (id int PRIMARY KEY, v2000 varchar(2000), v2001 varchar(2001), v4000 varchar(4000),
        v4001 varchar(4001), v8001 varchar(8001), t text, shifted text, escaped bytea, b bytea)";
    stage.source.execute(DATABASE, table).await?;
    let insert = |first: &str| format!("INSERT INTO lengths {}", LENGTHS.replace("{first}", first));
    stage.source.execute(DATABASE, &insert("0")).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare(&["lengths"]).await?.equal, "by the copy");
    stage.source.execute(DATABASE, &insert("100")).await?;
    // Every value becomes that of the row behind it.
    let shift = "UPDATE lengths a SET (v2000, t, b) = (SELECT v2000, t, b FROM lengths b WHERE b.id = a.id % 40 + 1) WHERE id < 100";
    stage.source.execute(DATABASE, shift).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&["lengths"]).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    Ok(())
}

/// Copies, then streams, documents of so many words of some 41 bytes, as text, json, jsonb and xml.
async fn documents_arrive(name: &str, words: &[u32]) -> Result<()> {
    let mut stage = Stage::start(name).await?;
    let table = "CREATE TABLE documents (id int PRIMARY KEY, t text, j json, jb jsonb, x xml);
        CREATE FUNCTION words(number int) RETURNS text LANGUAGE sql AS $$
            SELECT string_agg(md5(i::text) || 'é€🦀', ' ') FROM generate_series(1, number) AS i $$;
        CREATE PROCEDURE document(id int, number int) LANGUAGE sql AS $$
            INSERT INTO documents SELECT id, w, ('{\"a\" : \"' || w || '\", \"a\" : 1}')::json, jsonb_build_array(w), ('<a>' || replace(w, ' ', '</a><a>') || '</a>')::xml
            FROM words(number) AS w $$";
    stage.source.execute(DATABASE, table).await?;
    let documents = |first: usize| {
        let calls = words.iter().zip(first..).map(|(words, id)| format!("CALL document({id}, {words});"));
        calls.collect::<String>()
    };
    stage.source.execute(DATABASE, &documents(1)).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage.source.execute(DATABASE, &documents(100)).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let compared = stage.compare(&["documents"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    Ok(())
}

/// Some that are kept in memory, some that go to files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_megabytes_arrive_exactly() -> Result<()> {
    documents_arrive("edges_documents", &[1_700, 34_000]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes on a busy machine; scripts/soak.sh runs it"]
async fn documents_of_20_mb_arrive_exactly() -> Result<()> {
    documents_arrive("edges_long_documents", &[450_000]).await
}

/// A role with its own `lc_monetary` hides what money means: tables with such a column stand alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_of_unknown_digits_halts_its_table_alone() -> Result<()> {
    let mut stage = Stage::start("edges_money").await?;
    let tables = "CREATE TABLE item (id int PRIMARY KEY, v text); CREATE TABLE price (id int PRIMARY KEY, amount money);
        INSERT INTO item VALUES (1, 'a'); INSERT INTO price VALUES (1, '12.34')";
    stage.source.execute(DATABASE, tables).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare(&["item", "price"]).await?.equal, "before");
    stage.source.execute(DATABASE, "ALTER ROLE postgres SET lc_monetary = 'C'").await?;
    stage
        .source
        .execute(DATABASE, "INSERT INTO item VALUES (2, 'b'); INSERT INTO price VALUES (2, '56.78')")
        .await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.quarantined().await? == [("price".to_owned(), "MONEY_LOCALE".to_owned())]);
    ensure!(stage.compare(&["item"]).await?.equal, "the others go on");
    ensure!(stage.target_count("price").await? == 1, "a quarantined table was written");
    stage.source.execute(DATABASE, "ALTER ROLE postgres RESET lc_monetary").await?;
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare(&["item", "price"]).await?.equal, "when it is known again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_named_and_waited_out_and_nothing_is_lost() -> Result<()> {
    let Some(disk) = SmallDisk::mount("4m")? else { return Ok(()) };
    let mut stage = Stage::start("edges_disk").await?;
    stage.product.set("SEGCDC_SPILL_DIR", disk.path().to_str().context("a path in UTF-8")?);
    // More than the disk has, so that it is the disk that refuses.
    stage.product.set("SEGCDC_SPILL_LIMIT", "1GiB");
    let table = "CREATE TABLE big (id int PRIMARY KEY, v text); ALTER TABLE big ALTER v SET STORAGE EXTERNAL";
    stage.source.execute(DATABASE, table).await?;
    stage.source.execute(DATABASE, "INSERT INTO big SELECT 1, repeat('copied', 1000000)").await?;
    for (id, next) in [(1, "streamed"), (2, "streamed again")] {
        disk.resize("4m")?;
        let mut running = stage.product.up()?;
        running.says("SPILL_DISK_FULL", 1, PATIENCE).await?;
        ensure!(id == 1 || stage.target_count("big").await? == id - 1, "what does not fit is not there");
        disk.resize("64m")?;
        let arrived = || async { (stage.target_count("big").await.ok()? == id).then_some(()) };
        running.until("it has room, and goes on", PATIENCE, arrived).await?;
        stage.live(&mut running).await?;
        running.kill().await?;
        let insert = format!("INSERT INTO big SELECT {}, repeat('{next}', 1000000)", id + 1);
        stage.source.execute(DATABASE, &insert).await?;
    }
    // A limit that is too small for one value halts, and says what to give.
    stage.product.set("SEGCDC_SPILL_LIMIT", "3MiB");
    let halted = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(
        halted.error_code() == Some("SPILL_LIMIT") && halted.stderr.contains("--spill-limit"),
        "{halted}"
    );
    stage.product.set("SEGCDC_SPILL_LIMIT", "64MiB");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let compared = stage.compare(&["big"]).await?;
    ensure!(compared.equal && stage.target_count("big").await? == 3, "{compared:#?}");
    Ok(())
}

/// A transaction of many small rows, of which nothing but its length is too large for memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_and_limit_are_named_for_a_transaction_that_is_still_running() -> Result<()> {
    const ROWS: i64 = 100_000;
    let Some(disk) = SmallDisk::mount("1m")? else { return Ok(()) };
    let options = PostgresOptions::default().setting("logical_decoding_work_mem", "64kB");
    let mut stage = Stage::start_with("edges_transaction", options).await?;
    stage.product.set("SEGCDC_SPILL_DIR", disk.path().to_str().context("a path in UTF-8")?);
    // More than the disk has, so that it is the disk that refuses.
    stage.product.set("SEGCDC_SPILL_LIMIT", "1GiB");
    let tables = "CREATE TABLE many (id bigint PRIMARY KEY, w text); CREATE TABLE short (id int PRIMARY KEY)";
    stage.source.execute(DATABASE, tables).await?;
    let insert = |from: i64| {
        format!("INSERT INTO many SELECT i, md5(i::text) FROM generate_series({from} + 1, {from} + {ROWS}) i")
    };
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let open = stage.source().await?;
    open.batch_execute(&format!("BEGIN; {}", insert(0))).await?;
    let log = running.log_file().to_owned();
    let refused = || async { std::fs::read_to_string(&log).ok()?.contains("SPILL_DISK_FULL").then_some(()) };
    running.until("the disk is full", PATIENCE, refused).await?;
    open.batch_execute("COMMIT").await?;
    ensure!(stage.target_count("many").await? == 0, "a part of a transaction is in the target");
    disk.resize("64m")?;
    let arrived = || async { (stage.target_count("many").await.ok()? == ROWS).then_some(()) };
    running.until("it has room, and goes on", PATIENCE, arrived).await?;
    running.kill().await?;

    // A limit of the user's halts at once: nobody else can give back what the transaction itself holds, and it has not ended.
    stage.product.set("SEGCDC_SPILL_LIMIT", "1MiB");
    let running = stage.product.up()?;
    open.batch_execute(&format!("BEGIN; {}", insert(ROWS))).await?;
    stage.source.execute(DATABASE, "INSERT INTO short VALUES (1)").await?;
    let halted = running.wait(PATIENCE).await?;
    ensure!(
        halted.error_code() == Some("SPILL_LIMIT") && halted.stderr.contains("--spill-limit"),
        "{halted}"
    );
    ensure!(stage.target_count("many").await? == ROWS, "a part of a transaction is in the target");
    open.batch_execute("COMMIT").await?;
    stage.product.set("SEGCDC_SPILL_LIMIT", "64MiB");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let compared = stage.compare(&["many", "short"]).await?;
    ensure!(compared.equal && stage.target_count("many").await? == 2 * ROWS, "{compared:#?}");
    Ok(())
}
