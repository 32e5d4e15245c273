//! Servers that refuse: passwords, limits, locks, rights, certificates.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresOptions;

use super::super::stage::{DATABASE, PATIENCE, Stage};
use super::{
    ADD, TABLES, batch_waits, ends_by_itself, ends_well, ensure_failed, goes_on, held, live, refuses, stop,
};

/// # Fault F29
/// The password of the source's role is changed while the pipeline runs.
/// - Happens: sessions that are open go on. With the first one that has to be made anew the pipeline stops as `AUTH_FAILED`,
///   at once and without a second try, which would lock an account.
/// - Do: give the new password, and start again.
/// - Not run: a change of `pg_hba.conf`, and a client certificate that expires.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_that_changed_at_the_source_stops_the_pipeline() -> Result<()> {
    let mut stage = Stage::start("password").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    stage.source.execute(DATABASE, "CREATE ROLE cdc SUPERUSER LOGIN PASSWORD 'first'").await?;
    let rules = stage.source.data_dir().join("pg_hba.conf");
    let others = std::fs::read_to_string(&rules)?;
    let guard = "host all cdc all scram-sha-256\nhost replication cdc all scram-sha-256\n";
    std::fs::write(&rules, format!("{guard}{others}"))?;
    stage.source.execute(DATABASE, "SELECT pg_reload_conf()").await?;
    let url = |password: &str| {
        format!("postgres://cdc:{password}@127.0.0.1:{}/{DATABASE}?sslmode=disable", stage.source.port())
    };
    let (first, second) = (url("first"), url("second"));
    stage.product.set("SEGCDC_SOURCE_URL", &first);
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    // The session of the stream is there.
    goes_on(&stage, &mut running).await?;
    stage.source.execute(DATABASE, "ALTER ROLE cdc PASSWORD 'second'").await?;
    goes_on(&stage, &mut running).await?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cdc'";
    stage.source.execute(DATABASE, end).await?;
    let ended = ends_by_itself(running).await?;
    ensure_failed(&ended, &["AUTH_FAILED"])?;
    ensure!(ended.status.code() == Some(4), "{ended}");
    ensure!(!ended.stderr.contains("first") && !ended.stderr.contains("second"), "{ended}");
    stage.source.execute(DATABASE, ADD).await?;
    refuses(&mut stage, "AUTH_FAILED").await?;
    stage.product.set("SEGCDC_SOURCE_URL", &second);
    let mut running = stage.product.up()?;
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}

/// A program that is ended when it is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// # Fault F27
/// Others use up the walsenders of the source.
/// - Happens: `SOURCE_TOO_MANY_CONNECTIONS`; it tries again with growing pauses and goes on when one is free.
/// - Do: raise `max_wal_senders`, or end what takes them (`pg_stat_replication`).
/// - Not run: a source whose disk is full, and one whose slots are used up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walsenders_that_others_take_are_waited_for() -> Result<()> {
    let options = PostgresOptions::default().setting("max_wal_senders", "2");
    let (stage, mut running) = live("senders", options).await?;
    goes_on(&stage, &mut running).await?;
    let source = stage.source().await?;
    // A session that could replicate takes a walsender, whatever it does, and whatever the versions of the two are.
    let address = format!(
        "host=127.0.0.1 port={} user=postgres application_name=other replication=true",
        stage.source.port()
    );
    let take = || {
        let mut program = Command::new(stage.source.client_program("psql"));
        program.args(["-X", &address]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Program(program.spawn().ok()?))
    };
    let there = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'other'";
    let free = take().context("psql")?;
    let taken = || async { (source.query_one(there, &[]).await.ok()?.get::<_, i64>(0) == 1).then_some(()) };
    running.until("the free walsender is taken", PATIENCE, taken).await?;
    let taken = || async {
        // The walsender of the pipeline ends, and this one is sooner, or it is tried again.
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name <> 'other'";
        source.execute(end, &[]).await.ok()?;
        let mut program = take()?;
        loop {
            match source.query_one(there, &[]).await.ok()?.get::<_, i64>(0) {
                2 => return Some(program),
                _ if program.0.try_wait().ok()?.is_some() => return None,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let program = running.until("the other walsender is taken", PATIENCE, taken).await?;
    stage.source.execute(DATABASE, ADD).await?;
    running.says("SOURCE_TOO_MANY_CONNECTIONS", 1, PATIENCE).await?;
    drop((free, program));
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}

/// Another session locks two rows in the order that the batch does not, and waits for longer before it looks for deadlocks:
/// so that the batch is the victim.
///
/// # Fault F41
/// Another session holds locks in the target, and the target ends the batch: deadlock (1205), lock time-out (1222).
/// - Happens: `TARGET_DEADLOCK` or `TARGET_LOCK_TIMEOUT`; the whole batch was rolled back and is applied again, until the locks
///   are gone.
/// - Do: nothing; if it lasts, end the session that holds them.
/// - Not run: a deadlock between SQL Server's own set-based statements: the one here is made by the sandbox's
///   locks, which are PostgreSQL's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_that_is_the_victim_of_a_deadlock_is_applied_again() -> Result<()> {
    let (mut stage, mut running) = live("deadlock", PostgresOptions::default()).await?;
    if stage.sandbox_or_skip("batch_that_is_the_victim_of_a_deadlock_is_applied_again").is_none() {
        return Ok(());
    }
    let back_door = stage.back_door("postgres").await?;
    // The batch waits first, and looks for a deadlock once: the other session has to be there by then on a busy machine too.
    back_door.batch_execute("ALTER SYSTEM SET deadlock_timeout = '10s'").await?;
    back_door.batch_execute("SELECT pg_reload_conf()").await?;
    let row = |id: u32| format!("UPDATE {} SET [v] = [v] WHERE [id] = {id}", stage.target_table("item"));
    for round in 1..=2 {
        let mut other = stage.target().await?;
        // A batch changes rows in the order of their keys.
        other.batch(&format!("BEGIN TRANSACTION; {}", row(40))).await?;
        let change = format!("UPDATE item SET v = 'round {round}' WHERE id IN (1, 40)");
        stage.source.execute(DATABASE, &change).await?;
        batch_waits(&stage, &mut running).await?;
        other.batch(&row(1)).await.context("the other session is the victim")?;
        running.says("is tried again code=\"TARGET_DEADLOCK\"", round, PATIENCE).await?;
        other.batch("ROLLBACK TRANSACTION").await?;
        goes_on(&stage, &mut running).await?;
    }
    ends_well(&stage, running).await
}

/// # Fault F53
/// The target's database is made read-only while the pipeline runs.
/// - Happens: the pipeline stops as `TARGET_READ_ONLY`.
/// - Do: make it writable again, or give the address of the primary; then start again.
/// - Not run: single-user mode, a database that is offline, a login that is disabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_that_becomes_read_only_stops_the_pipeline() -> Result<()> {
    let (mut stage, mut running) = live("read_only", PostgresOptions::default()).await?;
    if stage.sandbox_or_skip("target_that_becomes_read_only_stops_the_pipeline").is_none() {
        return Ok(());
    }
    goes_on(&stage, &mut running).await?;
    let before = held(&stage).await?;
    let alter = |to: &str| format!("ALTER DATABASE [{}] SET {to}", stage.target.database);
    let (closed, open) = (alter("READ_ONLY"), alter("READ_WRITE"));
    stage.target().await?.batch(&closed).await?;
    stage.source.execute(DATABASE, ADD).await?;
    let ended = ends_by_itself(running).await?;
    ensure_failed(&ended, &["TARGET_READ_ONLY"])?;
    ensure!(held(&stage).await? == before, "it wrote after TARGET_READ_ONLY");
    stage.target().await?.batch(&open).await?;
    let mut running = stage.product.up()?;
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}

/// # Fault F54
/// Somebody gives a replicated table of the target a unique index, and rows exchange their values in one transaction.
/// - Happens: a row meets the value that another one has not given up yet, the table is set aside as `KEY_COLLISION`, and the
///   others go on.
/// - Do: drop the index, then `segcdc table resync`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unique_index_of_the_targets_own_sets_its_table_aside() -> Result<()> {
    let mut stage = Stage::start("swap").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    stage.source.execute(DATABASE, "CREATE TABLE seat (id int PRIMARY KEY, place int)").await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, "INSERT INTO seat VALUES (1, 10), (2, 20)").await?;
    goes_on(&stage, &mut running).await?;
    let seat = stage.target_table("seat");
    stage.target().await?.batch(&format!("CREATE UNIQUE INDEX [own] ON {seat} ([place])")).await?;
    stage.source.execute(DATABASE, "UPDATE seat SET place = 30 - place").await?;
    let aside = || async {
        let quarantined = stage.quarantined().await.ok()?;
        (quarantined == [("seat".to_owned(), "KEY_COLLISION".to_owned())]).then_some(())
    };
    running.until("the table is set aside", PATIENCE, aside).await?;
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    stage.target().await?.batch(&format!("DROP INDEX [own] ON {seat}")).await?;
    stage.product.succeed(&["table", "resync", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let compared = stage.compare(&["item", "entry", "seat"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    Ok(())
}

/// # Fault F55
/// The target shows a certificate that the given authority has not signed.
/// - Happens: `TARGET_TLS_UNTRUSTED`, before a password is sent.
/// - Do: give the authority's certificate (`ca_file`), or have the server's renewed.
/// - Not run: a certificate that expires while the pipeline runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_of_another_authority_stops_the_pipeline() -> Result<()> {
    let (mut stage, mut running) = live("authority", PostgresOptions::default()).await?;
    if stage.sandbox_or_skip("certificate_of_another_authority_stops_the_pipeline").is_none() {
        return Ok(());
    }
    goes_on(&stage, &mut running).await?;
    stop(running).await?;
    let other = segcdc_testkit::Sandbox::start(segcdc_testkit::SandboxOptions::default()).await?;
    let sandbox = stage.sandbox.as_ref().context("the sandbox")?;
    let protected = |authority: &std::path::Path| {
        format!(
            "sqlserver://sa:{}@localhost:{}/sandbox?encrypt=true&ca_file={}",
            sandbox.password(),
            sandbox.port(),
            authority.display()
        )
    };
    let (wrong, right) = (protected(other.ca_file()), protected(sandbox.ca_file()));
    stage.product.set("SEGCDC_TARGET_URL", &wrong);
    stage.source.execute(DATABASE, ADD).await?;
    refuses(&mut stage, "TARGET_TLS_UNTRUSTED").await?;
    stage.product.set("SEGCDC_TARGET_URL", &right);
    let mut running = stage.product.up()?;
    goes_on(&stage, &mut running).await?;
    ends_well(&stage, running).await
}

/// # Fault F45
/// The target's database has `DELAYED_DURABILITY = FORCED`: what it says is committed may be lost when it crashes.
/// - Happens: preflight refuses it as `DELAYED_DURABILITY`, and nothing is made.
/// - Do: the SQL that is printed: `ALTER DATABASE … SET DELAYED_DURABILITY = ALLOWED`.
/// - Not run: a crash of a server whose durability is delayed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_durability_is_refused_before_anything_is_made() -> Result<()> {
    let mut stage = Stage::start("durability").await?;
    if stage.sandbox_or_skip("delayed_durability_is_refused_before_anything_is_made").is_none() {
        return Ok(());
    }
    stage.source.execute(DATABASE, TABLES).await?;
    let alter =
        |to: &str| format!("ALTER DATABASE [{}] SET DELAYED_DURABILITY = {to}", stage.target.database);
    let (forced, allowed) = (alter("FORCED"), alter("ALLOWED"));
    stage.target().await?.batch(&forced).await?;
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    let said = refused.to_string();
    ensure!(!refused.status.success() && said.contains("DELAYED_DURABILITY"), "{refused}");
    ensure!(said.contains(&allowed), "the SQL that mends it is missing: {refused}");
    ensure!(
        stage.state().await.ok().flatten().is_none() && stage.slots().await?.is_empty(),
        "something was made"
    );
    stage.target().await?.batch(&allowed).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    Ok(())
}
