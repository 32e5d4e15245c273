//! A source that is not the one it was: promoted standbys, and backups that were restored.

use anyhow::{Result, ensure};
use segcdc_testkit::{PostgresCluster, PostgresOptions, StopMode, until};

use super::product::{COMMAND_LIMIT, Running};
use super::stage::{DATABASE, PATIENCE, Stage};

/// First version whose slots follow a failover.
const SYNCED_SLOTS_VERSION: u32 = 170_000;

/// First version with logical slots on standbys.
const STANDBY_VERSION: u32 = 160_000;

/// What the standby calls itself, and the slot that it reads.
const STANDBY: &str = "standby";

/// A table, and rows in it.
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'copied' FROM \
     generate_series(1, 100) n";

/// Adds rows from `from` on.
fn rows(from: u32, count: u32) -> String {
    format!("INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series({from}, {}) n", from + count - 1)
}

/// `server_version_num`
async fn version(server: &PostgresCluster) -> Result<u32> {
    let text: String =
        server.connect("postgres").await?.query_one("SHOW server_version_num", &[]).await?.get(0);
    Ok(text.parse()?)
}

/// One field from a server, as text.
async fn ask(server: &PostgresCluster, sql: &str) -> Result<String> {
    Ok(server.connect(DATABASE).await?.query_one(&format!("SELECT ({sql})::text"), &[]).await?.get(0))
}

/// A copy of the source that follows it. The source is restarted for it.
async fn standby_of(source: &mut PostgresCluster) -> Result<PostgresCluster> {
    source.stop(StopMode::Fast)?;
    let mut standby = source.copy()?.into_cluster()?;
    source.start_server().await?;
    source.execute("postgres", &format!("SELECT pg_create_physical_replication_slot('{STANDBY}')")).await?;
    standby.follow(source, STANDBY)?;
    standby.set("primary_slot_name", STANDBY);
    standby.start_server().await?;
    Ok(standby)
}

/// Waits until a standby has replayed all that its primary has written.
async fn until_replayed(primary: &PostgresCluster, standby: &PostgresCluster) -> Result<()> {
    let written = ask(primary, "SELECT pg_current_wal_insert_lsn()").await?;
    primary.execute("postgres", "SELECT pg_logical_emit_message(true, 'test', '')").await?;
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    let seen = || async { (ask(standby, &replayed).await.ok()? == "true").then_some(()) };
    Ok(until("the standby has replayed everything", PATIENCE, seen).await?)
}

/// Promotes a standby and waits until it takes writes.
async fn promote(standby: &PostgresCluster) -> Result<()> {
    standby.execute("postgres", "SELECT pg_promote(true, 120)").await?;
    ensure!(ask(standby, "SELECT pg_is_in_recovery()").await? == "false", "the standby is still one");
    Ok(())
}

/// Starts the product against a server, which must be refused with nothing written.
async fn ensure_refused(stage: &mut Stage, server: &PostgresCluster, code: &str) -> Result<()> {
    let before = (stage.state().await?, stage.target_count("t").await?);
    stage.product.set("SEGCDC_SOURCE_URL", &server.url(DATABASE));
    let refused = stage.product.start(&["up", "--yes"])?.wait(COMMAND_LIMIT).await?;
    ensure!(refused.error_code() == Some(code), "{refused}");
    ensure!(refused.status.code() == Some(2), "{refused}");
    let after = (stage.state().await?, stage.target_count("t").await?);
    ensure!(before == after, "something was written: {before:?} became {after:?}");
    Ok(())
}

/// Applies what is committed, and compares.
async fn ensure_goes_on(stage: &mut Stage) -> Result<()> {
    let url = stage.source.url(DATABASE);
    stage.product.set("SEGCDC_SOURCE_URL", &url);
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

/// # Fault F3
/// The source fails over to a standby that lacks changes which the target has.
/// - Happens: the pipeline stops as `SOURCE_REWOUND`, and nothing is written.
/// - Do: `segcdc verify` tells what differs; `segcdc down --drop`, then `segcdc up`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_was_promoted_without_the_tail_is_refused() -> Result<()> {
    let mut stage = Stage::start("lost_tail").await?;
    stage.source.execute(DATABASE, TABLE).await?;
    let mut standby = standby_of(&mut stage.source).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    until_replayed(&stage.source, &standby).await?;
    standby.stop(StopMode::Fast)?;
    stage.source.execute(DATABASE, &rows(1000, 500)).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.target_count("t").await? == 600, "the tail is not applied, so nothing is lost");
    stage.source.stop(StopMode::Immediate)?;
    standby.start_server().await?;
    promote(&standby).await?;
    ensure_refused(&mut stage, &standby, "SOURCE_REWOUND").await?;
    // Beyond the checkpoint its positions mean something else than they did, and only its history tells.
    standby.execute(DATABASE, &rows(5000, 20_000)).await?;
    ensure_refused(&mut stage, &standby, "SOURCE_REWOUND").await?;
    // The one that was thought dead has everything.
    stage.source.start_server().await?;
    stage.source.execute(DATABASE, &rows(2000, 10)).await?;
    ensure_goes_on(&mut stage).await
}

/// # Fault F30
/// The source is restored from a backup.
/// - Happens: the pipeline stops as `SOURCE_REWOUND`, and nothing is written.
/// - Do: `segcdc down --drop`, then `segcdc up`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_refused() -> Result<()> {
    let mut stage = Stage::start("restored").await?;
    stage.source.execute(DATABASE, TABLE).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage.source.stop(StopMode::Fast)?;
    let mut backup = stage.source.copy()?.into_cluster()?;
    stage.source.start_server().await?;
    stage.source.execute(DATABASE, &rows(1000, 5000)).await?;
    let restart = "SELECT restart_lsn FROM pg_replication_slots";
    let at_backup = ask(&stage.source, restart).await?;
    while ask(&stage.source, restart).await? == at_backup {
        stage.source.execute(DATABASE, "CHECKPOINT; UPDATE t SET v = 'seen' WHERE id = 1").await?;
        stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    }
    stage.source.stop(StopMode::Fast)?;
    backup.start_server().await?;
    ensure_refused(&mut stage, &backup, "SOURCE_REWOUND").await?;
    // Beyond the checkpoint its positions mean something else than they did, and its timeline is the same.
    backup.execute(DATABASE, &rows(50_000, 50_000)).await?;
    let beyond = ask(&backup, "SELECT pg_current_wal_flush_lsn() - '0/0'").await?.parse::<u64>()?;
    let applied = stage.state().await?.map(|state| state.applied_lsn);
    ensure!(applied.is_some_and(|applied| beyond > applied), "{beyond} is not beyond {applied:?}");
    ensure_refused(&mut stage, &backup, "SOURCE_REWOUND").await?;
    backup.stop(StopMode::Fast)?;
    stage.source.start_server().await?;
    stage.source.execute(DATABASE, &rows(7000, 10)).await?;
    ensure_goes_on(&mut stage).await
}

/// The standby takes the primary's place, its address included, while the product runs.
///
/// # Fault F2
/// The source fails over to a standby that has the slot (`failover` slots, from PostgreSQL 17 on).
/// - Happens: the pipeline goes on from its checkpoint, on the new timeline.
/// - Do: nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_follows_the_failover_lets_the_pipeline_go_on() -> Result<()> {
    let mut stage =
        Stage::start_with("failover", PostgresOptions::default().setting("wal_keep_size", "512MB")).await?;
    if version(&stage.source).await? < SYNCED_SLOTS_VERSION {
        eprintln!("skipped, slots of PostgreSQL before 17 do not follow a failover");
        return Ok(());
    }
    stage.source.execute(DATABASE, TABLE).await?;
    let mut standby = standby_of(&mut stage.source).await?;
    // What the pipeline is sent has reached the standby before.
    stage.source.execute("postgres", "ALTER SYSTEM SET synchronized_standby_slots = 'standby'").await?;
    stage.source.execute("postgres", "SELECT pg_reload_conf()").await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, &rows(1000, 500)).await?;
    stage.caught_up(&mut running, "UPDATE t SET v = 'touched' WHERE id = 1").await?;
    let synced = || async {
        stage.source.execute(DATABASE, "CHECKPOINT").await.ok()?;
        standby.execute(DATABASE, "SELECT pg_sync_replication_slots()").await.ok()?;
        let sql =
            "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE synced AND failover AND NOT temporary)";
        (ask(&standby, sql).await.ok()? == "true").then_some(())
    };
    running.until("the slot is on the standby", PATIENCE, synced).await?;
    // More than the standby's slot knows of: it is sent again, and left out.
    stage.source.execute(DATABASE, &rows(2000, 500)).await?;
    stage.caught_up(&mut running, "UPDATE t SET v = 'again' WHERE id = 1").await?;
    until_replayed(&stage.source, &standby).await?;
    let port = stage.source.port();
    stage.source.stop(StopMode::Immediate)?;
    promote(&standby).await?;
    standby.stop(StopMode::Fast)?;
    standby.set_port(port);
    standby.start_server().await?;
    standby.execute(DATABASE, &rows(3000, 500)).await?;
    let mut old = std::mem::replace(&mut stage.source, standby);
    stage.caught_up(&mut running, "UPDATE t SET v = 'new primary' WHERE id = 1").await?;
    running.ensure_runs()?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    ensure!(stage.target_count("t").await? == 1600, "rows are missing, or there twice");
    running.signal(rustix::process::Signal::TERM)?;
    running.wait(COMMAND_LIMIT).await?;
    // The old primary comes back, with a history that the pipeline has left behind.
    old.set_port(segcdc_testkit::free_port()?);
    old.start_server().await?;
    old.execute("postgres", "ALTER SYSTEM RESET synchronized_standby_slots").await?;
    ensure_refused(&mut stage, &old, "SOURCE_REWOUND").await
}

/// A pipeline that reads a standby of the source, live, with 100 rows of table `t`.
async fn live_on(stage: &mut Stage, standby: &PostgresCluster) -> Result<Running> {
    stage.source.execute(DATABASE, "CREATE PUBLICATION given FOR TABLE t").await?;
    until_replayed(&stage.source, standby).await?;
    stage.product.set("SEGCDC_SOURCE_URL", &standby.url(DATABASE));
    stage.product.set("SEGCDC_PUBLICATION", "given");
    let mut running = stage.product.up()?;
    let live = || async {
        stage.source.execute("postgres", "SELECT pg_log_standby_snapshot()").await.ok()?;
        (stage.target_count("t").await.ok()? == 100).then_some(())
    };
    running.until("the rows are copied", PATIENCE, live).await?;
    stage.live(&mut running).await?;
    Ok(running)
}

/// Waits until table `t` of the target has so many rows.
async fn arrived(stage: &Stage, running: &mut Running, count: i64) -> Result<()> {
    let arrived = || async { (stage.target_count("t").await.ok()? == count).then_some(()) };
    running.until("the changes have arrived", PATIENCE, arrived).await
}

/// The timeline that the checkpoint is of.
async fn timeline(stage: &Stage) -> Result<i64> {
    stage.target_number("SELECT [timeline] FROM [segcdc].[pipeline]").await
}

/// The pipeline reads a standby, and its stream goes on when that is promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_a_source() -> Result<()> {
    let mut stage = Stage::start("standby").await?;
    if version(&stage.source).await? < STANDBY_VERSION {
        eprintln!("skipped, a standby of PostgreSQL before 16 has no logical slots");
        return Ok(());
    }
    stage.source.execute(DATABASE, TABLE).await?;
    let standby = standby_of(&mut stage.source).await?;
    until_replayed(&stage.source, &standby).await?;
    stage.product.set("SEGCDC_SOURCE_URL", &standby.url(DATABASE));
    let refused = stage.product.run(&["up", "--yes"]).await?;
    ensure!(refused.error_code() == Some("STANDBY_NEEDS_PUBLICATION"), "{refused}");
    ensure!(refused.stderr.contains("CREATE PUBLICATION"), "{refused}");
    let mut running = live_on(&mut stage, &standby).await?;
    stage.source.execute(DATABASE, &rows(1000, 500)).await?;
    stage
        .source
        .execute(DATABASE, "UPDATE t SET v = 'changed' WHERE id <= 50; DELETE FROM t WHERE id = 60")
        .await?;
    arrived(&stage, &mut running, 599).await?;
    until_replayed(&stage.source, &standby).await?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    stage.source.stop(StopMode::Immediate)?;
    promote(&standby).await?;
    standby.execute(DATABASE, &rows(2000, 100)).await?;
    arrived(&stage, &mut running, 699).await?;
    running.signal(rustix::process::Signal::TERM)?;
    running.wait(COMMAND_LIMIT).await?;
    Ok(())
}

/// A standby is promoted while the pipeline reads it, once with nothing and once with changes that are not applied yet. The
/// pipeline is killed at once behind that, and goes on; the primary that was is no source any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_outlives_the_promotion_of_its_standby() -> Result<()> {
    for behind in [false, true] {
        let name = if behind { "promoted_behind" } else { "promoted" };
        let mut stage = Stage::start(name).await?;
        if version(&stage.source).await? < STANDBY_VERSION {
            eprintln!("skipped, a standby of PostgreSQL before 16 has no logical slots");
            return Ok(());
        }
        stage.source.execute(DATABASE, TABLE).await?;
        let standby = standby_of(&mut stage.source).await?;
        let mut running = live_on(&mut stage, &standby).await?;
        stage.source.execute(DATABASE, &rows(1000, 500)).await?;
        arrived(&stage, &mut running, 600).await?;
        assert_eq!(timeline(&stage).await?, 1);
        if behind {
            running.signal(rustix::process::Signal::STOP)?;
            stage.source.execute(DATABASE, &rows(2000, 500)).await?;
        }
        until_replayed(&stage.source, &standby).await?;
        stage.source.stop(StopMode::Immediate)?;
        promote(&standby).await?;
        standby.execute(DATABASE, &rows(3000, 500)).await?;
        running.signal(rustix::process::Signal::CONT)?;
        let expected = if behind { 1600 } else { 1100 };
        arrived(&stage, &mut running, expected).await?;
        running.kill().await?;
        assert_eq!(timeline(&stage).await?, 2);
        standby.execute(DATABASE, "DELETE FROM t WHERE id < 20").await?;
        stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        ensure!(stage.target_count("t").await? == expected - 19, "rows are missing, or there twice");
        let verify = stage.product.succeed(&["verify"]).await?;
        ensure!(verify.stdout.contains("differences: 0"), "{verify}");
        stage.source.start_server().await?;
        let old = stage.source.url(DATABASE);
        stage.product.set("SEGCDC_SOURCE_URL", &old);
        let refused = stage.product.start(&["up", "--yes"])?.wait(COMMAND_LIMIT).await?;
        ensure!(refused.error_code() == Some("SOURCE_REWOUND"), "{refused}");
    }
    Ok(())
}
