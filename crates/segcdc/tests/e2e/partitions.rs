//! Partitioned tables: as one table through their root, or partition by partition.

use anyhow::{Context, Result, ensure};

use super::stage::{DATABASE, PATIENCE, Stage};

/// A root whose partitions have their columns in another order, one of them divided further.
const ROOT: &str = "
    CREATE TABLE ev (region text NOT NULL, id int NOT NULL, note text, at date, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
    CREATE TABLE ev_eu (note text, at date, gone int, id int NOT NULL, region text NOT NULL, PRIMARY KEY (region, id));
    ALTER TABLE ev_eu DROP gone;
    ALTER TABLE ev ATTACH PARTITION ev_eu FOR VALUES IN ('eu');
    CREATE TABLE ev_us PARTITION OF ev FOR VALUES IN ('us') PARTITION BY RANGE (id);
    CREATE TABLE ev_us_1 PARTITION OF ev_us FOR VALUES FROM (0) TO (100);
    CREATE TABLE ev_us_2 PARTITION OF ev_us FOR VALUES FROM (100) TO (1000);
    INSERT INTO ev SELECT r, i, repeat('n', i), '2024-02-28'::date + i FROM unnest(ARRAY['eu', 'us']) r, generate_series(1, 200) i;
    CREATE TABLE bag (k int, v text) PARTITION BY LIST (k); ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE TABLE bag_1 PARTITION OF bag FOR VALUES IN (1); ALTER TABLE bag_1 REPLICA IDENTITY FULL;
    CREATE TABLE bag_2 PARTITION OF bag FOR VALUES IN (2); ALTER TABLE bag_2 REPLICA IDENTITY FULL;
    INSERT INTO bag SELECT 1 + i % 2, 'v' FROM generate_series(1, 20) i;
    CREATE TABLE other (id int PRIMARY KEY);";

/// Something once only this table is halted, for what its partitions did.
async fn changed(stage: &Stage, table: &str) -> Option<()> {
    let expected = [(table.to_owned(), "PARTITIONS_CHANGED".to_owned())];
    (stage.quarantined().await.ok()? == expected).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_the_root_all_partitions_are_one_table() -> Result<()> {
    let mut stage = Stage::start("partition_root").await?;
    stage.source.execute(DATABASE, ROOT).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage
        .source
        .execute(
            DATABASE,
            "BEGIN; UPDATE ev SET note = 'x' WHERE id < 20; DELETE FROM ev WHERE id BETWEEN 20 AND 30;
             UPDATE ev SET region = 'us', id = id + 300 WHERE region = 'eu' AND id > 180;
             UPDATE ev SET id = id + 500 WHERE region = 'us' AND id BETWEEN 90 AND 110;
             UPDATE bag SET k = 3 - k WHERE ctid IN (SELECT min(ctid) FROM bag GROUP BY tableoid); COMMIT;
             CREATE TABLE ev_as PARTITION OF ev FOR VALUES IN ('as');
             INSERT INTO ev SELECT 'as', i, 'new', NULL FROM generate_series(1, 50) i; UPDATE ev SET note = NULL WHERE region = 'as' AND id < 9;
             BEGIN; CREATE TABLE bag_3 PARTITION OF bag FOR VALUES IN (3); ALTER TABLE bag_3 REPLICA IDENTITY FULL;
             INSERT INTO bag VALUES (3, 'in the same transaction'), (3, 'in the same transaction'); COMMIT;
             UPDATE ev SET region = 'as', id = id + 600 WHERE region = 'eu' AND id < 4;",
        )
        .await?;
    stage.caught_up(&mut running, "INSERT INTO other VALUES (1)").await?;
    let streamed = stage.compare(&["ev", "bag"]).await?;
    ensure!(streamed.equal && stage.quarantined().await?.is_empty(), "{streamed:#?}");
    stage.source.execute(DATABASE, "TRUNCATE ev; INSERT INTO ev VALUES ('eu', 1, 'after', NULL)").await?;
    stage.caught_up(&mut running, "INSERT INTO other VALUES (2)").await?;
    let truncated = stage.compare(&["ev", "bag"]).await?;
    ensure!(truncated.equal, "{truncated:#?}");

    // What the stream does not tell is found, named and mended.
    stage
        .source
        .execute(
            DATABASE,
            "BEGIN; CREATE TABLE ev_af (LIKE ev INCLUDING ALL); INSERT INTO ev_af VALUES ('af', 1, 'was there', NULL);
             ALTER TABLE ev ATTACH PARTITION ev_af FOR VALUES IN ('af'); COMMIT; INSERT INTO ev VALUES ('af', 2, 'came later', NULL);",
        )
        .await?;
    running.until("the attached rows are missed", PATIENCE, || changed(&stage, "ev")).await?;
    stage.caught_up(&mut running, "INSERT INTO other VALUES (3)").await?;
    ensure!(stage.compare(&["bag", "other"]).await?.equal, "the others go on");
    drop(running);
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let copied = stage.compare(&["ev"]).await?;
    ensure!(copied.equal, "{copied:#?}");
    stage.caught_up(&mut running, "INSERT INTO other VALUES (4)").await?;
    stage
        .source
        .execute(
            DATABASE,
            "ALTER TABLE bag DETACH PARTITION bag_2; INSERT INTO bag_2 VALUES (2, 'nobody sees')",
        )
        .await?;
    running.until("the detached rows are found", PATIENCE, || changed(&stage, "bag")).await?;
    stage.caught_up(&mut running, "INSERT INTO other VALUES (5)").await?;
    drop(running);
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let mended = stage.compare(&["ev", "bag", "other"]).await?;
    ensure!(mended.equal && stage.quarantined().await?.is_empty(), "{mended:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_can_be_tables_of_their_own() -> Result<()> {
    let mut stage = Stage::start("partition_leaves").await?;
    stage.source.execute(DATABASE, ROOT).await?;
    let both = stage
        .product
        .run(&["plan", "--tables", "public.ev,public.ev_us,public.ev_us_1,public.bag_1", "-o", "json"])
        .await?;
    let both: serde_json::Value = serde_json::from_str(&both.stdout).with_context(|| both.to_string())?;
    let names = |list: &serde_json::Value, field: &str| -> Vec<String> {
        let rows = list.as_array().into_iter().flatten();
        rows.map(|row| {
            format!(
                "{} {}",
                row[field]["name"].as_str().unwrap_or_default(),
                row["code"].as_str().unwrap_or_default()
            )
        })
        .collect()
    };
    assert_eq!(names(&both["tables"], "source"), ["bag_1 ", "ev "]);
    assert_eq!(names(&both["left_out"], "table"), ["ev_us PARTITION_OF_ROOT", "ev_us_1 PARTITION_OF_ROOT"]);

    let tables = "public.ev_eu,public.ev_us,public.bag_1,public.bag_2";
    stage.product.succeed(&["up", "--yes", "--until-caught-up", "--tables", tables]).await?;
    let leaves = ["ev_eu", "ev_us", "bag_1", "bag_2"];
    let copied = stage.compare(&leaves).await?;
    ensure!(copied.equal, "{copied:#?}");
    let changes = "UPDATE ev SET region = 'us', id = id + 300 WHERE region = 'eu' AND id > 180; UPDATE ev SET note = 'x' WHERE id < 20;
        UPDATE bag SET k = 2 WHERE k = 1; TRUNCATE bag_1; INSERT INTO bag VALUES (1, 'a'), (1, 'a');
        ALTER TABLE ev DETACH PARTITION ev_eu; INSERT INTO ev_eu (region, id) VALUES ('eu', 900); UPDATE ev_eu SET note = 'alone' WHERE id = 1;
        ALTER TABLE ev ATTACH PARTITION ev_eu FOR VALUES IN ('eu'); DELETE FROM ev WHERE region = 'eu' AND id = 2";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare(&leaves).await?;
    ensure!(streamed.equal && stage.quarantined().await?.is_empty(), "{streamed:#?}");
    Ok(())
}
