//! A pipeline's life: plan, start, status, stop, go on, end; and what is refused before anything is touched.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::product::{COMMAND_LIMIT, Finished};
use super::stage::{DATABASE, PATIENCE, Stage};

/// What a command wrote, as JSON.
fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// Slots and publications of the source.
fn left_at_source(stage: &Stage) -> Result<String> {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' slots, ' \
               || (SELECT count(*) FROM pg_publication) || ' publications'";
    Ok(stage.source.psql(DATABASE, sql)?.trim().to_owned())
}

/// Whether nothing of the pipeline is on either side.
async fn ensure_untouched(stage: &Stage) -> Result<()> {
    ensure!(left_at_source(stage)? == "0 slots, 0 publications", "{}", left_at_source(stage)?);
    let schema = &stage.target.default_schema;
    let sql = format!(
        "SELECT COUNT(*) FROM sys.tables AS t JOIN sys.schemas AS s ON s.[schema_id] = t.[schema_id] \
         WHERE t.[name] = N't' AND s.[name] = N'{schema}'"
    );
    let tables = stage.target_number(&sql).await?;
    ensure!(tables == 0, "the target has a table of the pipeline");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_changes_nothing() -> Result<()> {
    let mut stage = Stage::start("planned").await?;
    stage.source.execute(DATABASE, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE bare (a int)").await?;
    let plan = json(&stage.product.succeed(&["plan", "-o", "json"]).await?)?;
    assert_eq!(plan["tables"][0]["target"]["name"], "t");
    assert_eq!(plan["left_out"][0]["table"]["name"], "bare");
    ensure!(plan["sql"]["source"].to_string().contains("CREATE PUBLICATION"), "{plan:#}");
    ensure!(plan["sql"]["target"].to_string().contains("CREATE TABLE"), "{plan:#}");
    for arguments in [&["plan", "-o", "wide"][..], &["doctor", "-v"], &["doctor", "-o", "json"]] {
        stage.product.succeed(arguments).await?;
    }
    ensure_untouched(&stage).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_prints_what_the_target_lacks() -> Result<()> {
    let mut stage = Stage::start("post_load").await?;
    let create = "CREATE TABLE customer (id serial PRIMARY KEY, email varchar(80) UNIQUE, joined timestamptz DEFAULT now());
         CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customer, note text, CHECK (id > 0));
         CREATE INDEX by_customer ON orders (customer); CREATE INDEX by_note ON orders (note);
         INSERT INTO customer (email) SELECT 'c' || i FROM generate_series(1, 7) i";
    stage.source.execute(DATABASE, create).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let printed = stage.product.succeed(&["plan", "--post-load"]).await?;
    for statement in [
        "CREATE SEQUENCE [dbo].[customer_id_seq] AS bigint START WITH 8 INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647;",
        "DEFAULT (NEXT VALUE FOR [dbo].[customer_id_seq]) FOR [id];",
        "CREATE UNIQUE INDEX [customer_email_key] ON [dbo].[customer] ([email]) WHERE [email] IS NOT NULL;",
        "CREATE INDEX [by_customer] ON [dbo].[orders] ([customer]);",
        "FOREIGN KEY ([customer]) REFERENCES [dbo].[customer] ([id]);",
        "-- public.orders: index \"by_note\" has column \"note\"",
        "-- public.orders: constraint \"orders_id_check\"",
    ] {
        ensure!(printed.stdout.contains(statement), "{statement}: {printed}");
    }
    let printed = json(&stage.product.succeed(&["plan", "--post-load", "-o", "json"]).await?)?;
    assert_eq!(printed["statements"][0]["kind"], "sequence");
    assert_eq!(printed["notes"][0]["table"]["name"], "orders");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_lives_and_leaves_nothing() -> Result<()> {
    let mut stage = Stage::start("life").await?;
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')";
    stage.source.execute(DATABASE, sql).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, "INSERT INTO t VALUES (2, 'b'), (3, 'c')").await?;
    let arrived = || async { (stage.target_count("t").await.ok()? == 3).then_some(()) };
    running.until("the rows have arrived", PATIENCE, arrived).await?;
    let status = json(&stage.product.succeed(&["status", "-o", "json"]).await?)?;
    assert_eq!((&status["state"], &status["tables"][0]["phase"]), (&"RUNNING".into(), &"STREAMING".into()));
    let slot = json(&stage.product.succeed(&["slot", "-o", "json"]).await?)?;
    assert_eq!((&slot["exists"], &slot["ours"]), (&true.into(), &true.into()));
    let refused = stage.product.run(&["down", "--drop", "--yes"]).await?;
    ensure!(!refused.status.success(), "a pipeline that runs was removed: {refused}");
    running.signal(Signal::TERM)?;
    let stopped = running.wait(COMMAND_LIMIT).await?;
    ensure!(stopped.status.code() == Some(143), "{stopped}");
    ensure!(stopped.stdout.contains("stopped at") && stopped.stdout.contains("peak memory"), "{stopped}");
    let status = json(&stage.product.succeed(&["status", "-o", "json"]).await?)?;
    assert_eq!(status["state"], "STOPPED");
    stage.source.execute(DATABASE, "DELETE FROM t WHERE id = 1").await?;
    let up = stage.product.succeed(&["up", "--yes", "--until-caught-up", "-o", "json"]).await?;
    assert_eq!(stage.target_count("t").await?, 2, "what was committed before the call is applied");
    let events: Vec<Value> = up.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    ensure!(names.first() == Some(&"plan") && names.last() == Some(&"summary"), "{names:?}");
    let shown = stage.product.succeed(&["down"]).await?;
    ensure!(shown.stdout.contains("would be removed"), "{shown}");
    ensure!(left_at_source(&stage)? == "1 slots, 1 publications", "down without --drop removed something");
    let down = json(&stage.product.succeed(&["down", "--drop", "--yes", "-o", "json"]).await?)?;
    ensure!(down["done"] == true && down["left"].to_string().contains("DROP TABLE"), "{down:#}");
    ensure!(left_at_source(&stage)? == "0 slots, 0 publications", "{}", left_at_source(&stage)?);
    let missing = stage.product.run(&["status", "-o", "json"]).await?;
    assert_eq!(missing.status.code(), Some(2), "{missing}");
    assert_eq!(json(&missing)?["error"]["code"], "STATE_MISSING");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_owns_no_table_gets_the_owners_sql() -> Result<()> {
    let mut stage = Stage::start("not_owner").await?;
    let sql =
        "CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE app LOGIN REPLICATION; GRANT SELECT ON t TO app";
    stage.source.execute(DATABASE, sql).await?;
    let source_url = stage.source.url_as("app", DATABASE);
    stage.product.set("SEGCDC_SOURCE_URL", &source_url);
    let refused = stage.product.run(&["up", "--yes", "--until-caught-up", "-o", "json"]).await?;
    assert_eq!(refused.status.code(), Some(2), "{refused}");
    let last: Value = serde_json::from_str(refused.stdout.lines().last().unwrap_or_default())?;
    let fix = last["error"]["fix_sql"].to_string();
    ensure!(fix.contains("CREATE PUBLICATION") || fix.contains("OWNER"), "{last:#}");
    ensure_untouched(&stage).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_of_the_target_ends_with_4() -> Result<()> {
    let mut stage = Stage::start("password").await?;
    let target = &stage.target;
    let url = format!(
        "sqlserver://{}:sekret@{}:{}/{}?trust_server_certificate=true",
        target.user, target.host, target.port, target.database
    );
    stage.product.set("SEGCDC_TARGET_URL", &url);
    let refused = stage.product.run(&["up", "--yes"]).await?;
    assert_eq!((refused.status.code(), refused.error_code()), (Some(4), Some("AUTH_FAILED")), "{refused}");
    ensure!(!refused.to_string().contains("sekret"), "{refused}");
    ensure!(refused.stderr.contains("trust_server_certificate=true"), "consent is not shown: {refused}");
    Ok(())
}

/// What must never be written anywhere but into the target's tables.
const CANARY: &str = "canary-1597";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_holds_a_password_or_a_row() -> Result<()> {
    let mut stage = Stage::start("secrets").await?;
    let sql = format!(
        "CREATE TABLE t (id text PRIMARY KEY, v text); INSERT INTO t VALUES ('{CANARY} key', '{CANARY}');
         CREATE TABLE bad (id int PRIMARY KEY, n numeric); INSERT INTO bad VALUES (1, 1)"
    );
    stage.source.execute(DATABASE, &sql).await?;
    let source_url = stage.source.url(DATABASE).replacen("postgres@", &format!("postgres:{CANARY}@"), 1);
    for (name, value) in
        [("SEGCDC_SOURCE_URL", source_url.as_str()), ("SEGCDC_LOG", "trace"), ("SEGCDC_LOG_FORMAT", "json")]
    {
        stage.product.set(name, value);
    }
    let copied = stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    // By the stream, with a value that the target refuses and that so comes into an error.
    let sql = format!(
        "UPDATE t SET v = '{CANARY} 2'; UPDATE bad SET n = 'NaN'; \
         INSERT INTO t VALUES ('{CANARY} ' || repeat('x', 500), '')"
    );
    stage.source.execute(DATABASE, &sql).await?;
    let streamed = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    let mut seen = vec![copied, streamed];
    for arguments in [&["status", "-o", "json"][..], &["plan"], &["doctor", "-v"], &["down"]] {
        seen.push(stage.product.run(arguments).await?);
    }
    let password = stage.target.password.expose().clone();
    for finished in seen {
        for text in [&finished.stdout, &finished.stderr] {
            ensure!(!text.contains(CANARY) && !text.contains(&password), "it leaked: {finished}");
        }
        ensure!(finished.stderr.contains("\"level\":"), "there is no log: {finished}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() -> Result<()> {
    let mut stage = Stage::start("signals").await?;
    stage.source.execute(DATABASE, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let Some(sandbox) = stage.sandbox_or_skip("its process is stopped") else { return Ok(()) };
    let id =
        sandbox.process_id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("a process")?;
    // A target that does not answer keeps an orderly end from coming for seconds.
    kill_process(id, Signal::STOP)?;
    stage.source.execute(DATABASE, "INSERT INTO t VALUES (2)").await?;
    running.signal(Signal::INT)?;
    running.says("press ctrl-C again", 1, COMMAND_LIMIT).await?;
    running.signal(Signal::INT)?;
    let ended = running.wait(COMMAND_LIMIT).await?;
    kill_process(id, Signal::CONT)?;
    ensure!(ended.status.code() == Some(130), "{ended}");
    ensure!(ended.stdout.is_empty(), "what was done is told by an orderly end only: {ended}");
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare(&["t"]).await?.equal, "nothing is lost either way");
    Ok(())
}
