//! What single versions of PostgreSQL have of their own. Each test says so where the source's version lacks it.

use anyhow::{Result, ensure};
use segcdc_testkit::PostgresOptions;

use super::product::COMMAND_LIMIT;
use super::stage::{DATABASE, PATIENCE, Stage};

/// Whether the source is of at least this `server_version_num`; says that a test is skipped if not.
pub(super) async fn has(stage: &Stage, version: u32, what: &str) -> Result<bool> {
    let found: String = stage.source().await?.query_one("SHOW server_version_num", &[]).await?.get(0);
    let found: u32 = found.parse()?;
    if found < version {
        eprintln!("skipped, PostgreSQL {found} has no {what}");
    }
    Ok(found >= version)
}

/// Publishes by a publication of the user's.
async fn follow_given(stage: &mut Stage, publication: &str) -> Result<()> {
    stage.source.execute(DATABASE, publication).await?;
    stage.product.set("SEGCDC_PUBLICATION", "given");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_generated_columns_are_left_out_like_others() -> Result<()> {
    let mut stage = Stage::start("v18generated").await?;
    if !has(&stage, 180_000, "published and no virtual generated columns").await? {
        return Ok(());
    }
    let table = "CREATE TABLE priced (id int PRIMARY KEY, price int, \
         twice int GENERATED ALWAYS AS (price * 2) STORED, thrice int GENERATED ALWAYS AS (price * 3) VIRTUAL, note text); \
         INSERT INTO priced (id, price, note) VALUES (1, 10, 'copied')";
    stage.source.execute(DATABASE, table).await?;
    let publication = "CREATE PUBLICATION given FOR TABLE priced WITH (publish_generated_columns = stored)";
    follow_given(&mut stage, publication).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let changes = "INSERT INTO priced (id, price, note) VALUES (2, 20, 'streamed'); \
         UPDATE priced SET price = 11, note = 'changed' WHERE id = 1";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let rows = format!(
        "SELECT COUNT(*) FROM {} WHERE [id] = 1 AND [price] = 11 AND [note] = N'changed' \
         OR [id] = 2 AND [price] = 20 AND [note] = N'streamed'",
        stage.target_table("priced")
    );
    ensure!(stage.target_number(&rows).await? == 2, "the rows are not right");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

/// Until it is published, everything works; behind it the application's UPDATE would fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_columns_of_whole_rows_are_found_before_the_application_is_refused() -> Result<()> {
    let mut stage = Stage::start("v18whole").await?;
    if !has(&stage, 180_000, "refusal of generated columns in a replica identity").await? {
        return Ok(());
    }
    let table = "CREATE TABLE whole (a int, twice int GENERATED ALWAYS AS (a * 2) STORED); \
         ALTER TABLE whole REPLICA IDENTITY FULL; INSERT INTO whole VALUES (1), (1), (2)";
    stage.source.execute(DATABASE, table).await?;
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(refused.error_code() == Some("GENERATED_IN_IDENTITY"), "{refused}");
    ensure!(stage.slots().await?.is_empty(), "{refused}");
    let update = "UPDATE whole SET a = a + 10 WHERE a = 2";
    stage.source.execute(DATABASE, update).await?;

    // A publication without the column does what was feared; one with it does not.
    stage.source.execute(DATABASE, "CREATE PUBLICATION harms FOR TABLE whole").await?;
    ensure!(
        stage.source.execute(DATABASE, update).await.is_err(),
        "the server allows it: the check is not needed"
    );
    stage.source.execute(DATABASE, "DROP PUBLICATION harms").await?;
    let publication = "CREATE PUBLICATION given FOR TABLE whole WITH (publish_generated_columns = stored)";
    follow_given(&mut stage, publication).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let changes =
        "UPDATE whole SET a = 3 WHERE a = 1; DELETE FROM whole WHERE a = 12; INSERT INTO whole VALUES (7)";
    stage.source.execute(DATABASE, changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let rows = format!("SELECT SUM([a]) FROM {}", stage.target_table("whole"));
    ensure!(stage.target_number(&rows).await? == 13 && stage.target_count("whole").await? == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_of_a_part_of_a_table_are_refused() -> Result<()> {
    let mut stage = Stage::start("v15lists").await?;
    if !has(&stage, 150_000, "column lists and row filters").await? {
        return Ok(());
    }
    let tables = "CREATE TABLE narrow (id int PRIMARY KEY, a int, b int); CREATE TABLE few (id int PRIMARY KEY, a int)";
    stage.source.execute(DATABASE, tables).await?;
    let parts = [("narrow (id, a)", "PUBLICATION_COLUMNS"), ("few WHERE (id > 5)", "PUBLICATION_ROW_FILTER")];
    for (part, code) in parts {
        follow_given(&mut stage, &format!("CREATE PUBLICATION given FOR TABLE {part}")).await?;
        let refused = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
        ensure!(!refused.status.success(), "{part}: {refused}");
        ensure!(format!("{refused}").contains(code), "{part}: {refused}");
        stage.source.execute(DATABASE, "DROP PUBLICATION given").await?;
    }
    Ok(())
}

/// # Fault F6
/// The pipeline was stopped for longer than `idle_replication_slot_timeout` (PostgreSQL 18).
/// - Happens: it stops as `SLOT_LOST`, and the setting is named.
/// - Do: raise the setting; `segcdc down --drop`, then `segcdc up`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_that_was_lost_for_being_idle_says_so() -> Result<()> {
    let options = PostgresOptions::default().setting("idle_replication_slot_timeout", "1s");
    // A server before 18 does not start with a setting that it does not know.
    let known = Stage::start("v18idle").await?;
    if !has(&known, 180_000, "time-out of idle slots").await? {
        return Ok(());
    }
    drop(known);
    let mut stage = Stage::start_with("v18idle", options).await?;
    stage.source.execute(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let lost = || async {
        stage.source.execute(DATABASE, "CHECKPOINT").await.ok()?;
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE invalidation_reason = 'idle_timeout'";
        let count: i64 = stage.source().await.ok()?.query_one(sql, &[]).await.ok()?.get(0);
        (count > 0).then_some(())
    };
    segcdc_testkit::until("the slot is lost", PATIENCE, lost).await?;
    let halted = stage.product.start(&["up", "--yes"])?.wait(COMMAND_LIMIT).await?;
    ensure!(halted.error_code() == Some("SLOT_LOST"), "{halted}");
    ensure!(halted.stderr.contains("idle_replication_slot_timeout"), "the setting is not named: {halted}");
    let status = stage.product.run(&["status"]).await?;
    ensure!(status.stdout.contains("SLOT_LOST"), "{status}");
    Ok(())
}

/// From PostgreSQL 18 on the server leaves changes out while their publication is missing, and says nothing. That the
/// publication is another one has to be noticed by its OID.
///
/// # Fault F18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publication_that_was_made_again_is_noticed() -> Result<()> {
    let mut stage = Stage::start("republished").await?;
    stage.source.execute(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").await?;
    follow_given(&mut stage, "CREATE PUBLICATION given FOR TABLE t").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let again = "DROP PUBLICATION given; INSERT INTO t VALUES (1); CREATE PUBLICATION given FOR TABLE t; \
         INSERT INTO t VALUES (2)";
    for statement in again.split("; ") {
        stage.source.execute(DATABASE, statement).await?;
    }
    let halted = stage.product.start(&["up", "--yes"])?.wait(COMMAND_LIMIT).await?;
    ensure!(halted.error_code() == Some("PUBLICATION_CHANGED"), "{halted}");
    ensure!(stage.target_count("t").await? == 0, "a change behind the gap was applied");
    Ok(())
}
