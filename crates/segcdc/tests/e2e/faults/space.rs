//! A target without room.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresOptions;
use segcdc_testkit::small_disk::SmallDisk;

use super::super::observer::{back_door, object_id};
use super::super::stage::{DATABASE, PATIENCE};
use super::{ADD, ends_well, goes_on, held, live};

/// Rows that are larger than the small disk.
const FILL: &str = "INSERT INTO item SELECT i, (SELECT string_agg(md5(i::text || n), '') FROM generate_series(1, 30) n) \
     FROM generate_series(1001, 21000) i";

/// # Fault F44
/// The target has no room: a file or a filegroup is full (1105), its log (9002), or tempdb.
/// - Happens: `TARGET_LOG_FULL`; the whole batch was rolled back and is applied again with growing pauses, 30 s apart in the end,
///   until there is room. The source keeps the WAL; `status` says how much.
/// - Do: make room: back the log up, let the file grow; `log_reuse_wait_desc` in `sys.databases` says what a full log waits for.
/// - Not run: a log, a filegroup or a tempdb that is full: a trigger of the sandbox raises the numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_without_room_is_waited_for() -> Result<()> {
    let what = "target_without_room_is_waited_for";
    let (mut stage, mut running) = live("space", PostgresOptions::default()).await?;
    if stage.sandbox_or_skip(what).is_none() {
        return Ok(());
    }
    goes_on(&stage, &mut running).await?;
    let client = back_door(&stage).await?;
    let schema = &stage.target.default_schema;
    let item = format!("u.t{}", object_id(&client, schema, "item").await?.context("the table")?);

    // A filegroup that is full: the table lies on a disk that really is.
    if let Some(disk) = SmallDisk::mount("8m")? {
        let place = disk.path().to_str().context("a path of UTF-8")?;
        // Of the server's user, who is another one where the tests are run by root.
        let owner =
            std::fs::metadata(stage.sandbox.as_ref().context("the sandbox")?.data_dir().join("postgres"))?;
        std::os::unix::fs::chown(disk.path(), Some(owner.uid()), Some(owner.gid()))?;
        client.batch_execute(&format!("CREATE TABLESPACE small LOCATION '{place}'")).await?;
        client.batch_execute(&format!("ALTER TABLE {item} SET TABLESPACE small")).await?;
        let before = held(&stage).await?;
        stage.source.execute(DATABASE, FILL).await?;
        running.says("TARGET_LOG_FULL", 2, PATIENCE).await?;
        ensure!(held(&stage).await? == before, "a part of the batch stayed");
        disk.resize("64m")?;
        goes_on(&stage, &mut running).await?;
        client.batch_execute(&format!("ALTER TABLE {item} SET TABLESPACE pg_default")).await?;
        client.batch_execute("DROP TABLESPACE small").await?;
    }

    // A log that is full, as the server says it.
    let full = format!(
        "CREATE FUNCTION public.log_is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION USING ERRCODE = 'M9002', MESSAGE = 'The transaction log is full.'; END $$; \
         CREATE TRIGGER log_is_full BEFORE INSERT ON {item} EXECUTE FUNCTION public.log_is_full()"
    );
    let said = std::fs::read_to_string(running.log_file())?.matches("TARGET_LOG_FULL").count();
    let before = held(&stage).await?;
    client.batch_execute(&full).await?;
    stage.source.execute(DATABASE, ADD).await?;
    running.says("TARGET_LOG_FULL", said + 2, PATIENCE).await?;
    ensure!(held(&stage).await? == before, "a part of the batch stayed");
    client
        .batch_execute(&format!("DROP TRIGGER log_is_full ON {item}; DROP FUNCTION public.log_is_full"))
        .await?;
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}
