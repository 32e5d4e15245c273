//! Tables that come, go, stop and are copied again while the others are followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use segcdc_testkit::until;
use tokio::task::JoinHandle;

use super::product::Running;
use super::stage::{DATABASE, PATIENCE, Stage};

/// Tables of every kind that a copy has to do with: `steady` is the one that must not wait for the others, `often` is truncated
/// all the time.
const TABLES: &str = "CREATE TABLE steady (id int PRIMARY KEY, n bigint NOT NULL);
    CREATE TABLE orders (id int PRIMARY KEY, n bigint NOT NULL, note text, price float8);
    CREATE TABLE bag (n bigint, note text); ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE TABLE quiet (id int PRIMARY KEY);
    CREATE TABLE often (id int PRIMARY KEY, n bigint); INSERT INTO often SELECT i, 0 FROM generate_series(1, 20) i;
    INSERT INTO steady VALUES (1, 0); INSERT INTO quiet VALUES (1);
    INSERT INTO orders SELECT i, i, repeat('x', i % 200), i FROM generate_series(1, 20000) i;
    INSERT INTO bag SELECT i % 500, 'x' || i % 7 FROM generate_series(1, 3000) i";

/// A table that is added later.
const LATE: &str = "CREATE TABLE late (id int PRIMARY KEY, at timestamptz, n bigint);
    INSERT INTO late SELECT i, now(), 0 FROM generate_series(1, 20000) i";

/// What `steady` may stand still for while tables are copied: less than the copies of the test take together, for which it
/// would have to wait, and far more than one batch takes on a busy machine.
const STILL: Duration = Duration::from_secs(20);

/// Changes all tables, in transactions that touch several of them, until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    with_late: Arc<AtomicBool>,
    task: JoinHandle<Result<u64>>,
}

impl Writer {
    async fn start(stage: &Stage, seed: u64) -> Result<Self> {
        let client = stage.source().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let with_late = Arc::new(AtomicBool::new(false));
        let (told, late) = (Arc::clone(&stop), Arc::clone(&with_late));
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut n = 0_u64;
            // As fast as an application would: this is not to be a test of the machine.
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while !told.load(Ordering::Relaxed) {
                pace.tick().await;
                n += 1;
                let id = random.random_range(1..25_000);
                let mut sql = format!("BEGIN; UPDATE steady SET n = {n};");
                sql.push_str(&match random.random_range(0..8) {
                    0 => format!("DELETE FROM orders WHERE id = {id};"),
                    1 => format!("UPDATE orders SET id = 100000 + {n} WHERE id = {id};"),
                    2 => format!("INSERT INTO bag VALUES ({n} % 50, 'new'), ({n} % 50, 'new');"),
                    3 => format!("DELETE FROM bag WHERE n = {id} % 500;"),
                    4 | 5 => format!(
                        "TRUNCATE often; INSERT INTO often SELECT i, {n} FROM generate_series(1, 20) i;"
                    ),
                    6 => format!("UPDATE often SET n = {n} WHERE id < {n} % 20;"),
                    _ => format!(
                        "INSERT INTO orders VALUES ({id}, {n}, 'w', 0.1) ON CONFLICT (id) DO UPDATE SET n = {n};"
                    ),
                });
                if late.load(Ordering::Relaxed) {
                    sql.push_str(&format!("UPDATE late SET n = n + 1, at = now() WHERE id = {id};"));
                }
                sql.push_str("COMMIT");
                client.batch_execute(&sql).await?;
            }
            Ok(n)
        });
        Ok(Writer { stop, with_late, task })
    }

    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// Watches for how long `steady` stands still in the target.
struct Stillness {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Duration>>,
}

impl Stillness {
    async fn watch(stage: &Stage) -> Result<Self> {
        let sql = format!("SELECT n FROM {}", stage.target_table("steady"));
        let mut target = stage.target().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut last, mut since, mut longest) = (-1, Instant::now(), Duration::ZERO);
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            while !told.load(Ordering::Relaxed) {
                pace.tick().await;
                let response = target.batch(&sql).await?;
                let seen = response.first_row().and_then(|row| row.first()?.as_int()).context("no number")?;
                longest = longest.max(since.elapsed());
                if seen != last {
                    (last, since) = (seen, Instant::now());
                }
            }
            Ok(longest)
        });
        Ok(Stillness { stop, task })
    }

    async fn longest(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// Phase of a table, by the target's state; empty for none.
async fn phase(stage: &Stage, table: &str) -> Result<String> {
    let sql = format!(
        "SELECT [phase] FROM [segcdc].[pipeline_table] WHERE [pipeline] = N'{}' AND [source_name] = N'{table}'",
        stage.name
    );
    let response = stage.target().await?.batch(&sql).await?;
    let word = response.first_row().and_then(|row| row.first()?.as_text().map(str::to_owned));
    Ok(word.unwrap_or_default())
}

/// Waits until no wish is open.
async fn all_settled(stage: &Stage, running: &mut Running) -> Result<()> {
    let sql = format!(
        "SELECT COUNT(*) FROM [segcdc].[table_wish] WHERE [pipeline] = N'{}' AND [outcome] IN (N'ASKED', N'BEGUN')",
        stage.name
    );
    running
        .until("all wishes are settled", PATIENCE, || async {
            (stage.target_number(&sql).await.ok()? == 0).then_some(())
        })
        .await
}

/// Runs `segcdc table ...`, which must succeed. Returns what it says.
async fn table(stage: &mut Stage, arguments: &[&str]) -> Result<String> {
    Ok(stage.product.succeed(&[&["table"], arguments].concat()).await?.stdout)
}

/// Whether the target has a table of this name.
async fn is_in_target(stage: &Stage, name: &str) -> Result<bool> {
    let sql = format!("SELECT COUNT(*) FROM sys.objects WHERE [name] = N'{name}'");
    Ok(stage.target_number(&sql).await? > 0)
}

/// A table is added, removed, paused, resumed and copied again in each way, while a writer changes all of them; the one that
/// has nothing to do with it never waits, and in the end both sides are equal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_come_and_go_while_others_are_followed() -> Result<()> {
    let mut stage = Stage::start("online").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, LATE).await?;
    let writer = Writer::start(&stage, 7).await?;
    let still = Stillness::watch(&stage).await?;

    let said =
        table(&mut stage, &["pause", "--tables", "orders,quiet"]).await.with_context(|| running.log())?;
    ensure!(said.matches("paused: it holds the source as of").count() == 2, "{said}");
    ensure!(phase(&stage, "orders").await? == "PAUSED");
    let behind = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [source_name] = N'orders' \
                  AND [error_code] = N'TABLE_PAUSED'";
    until("changes of it are left out", PATIENCE, || async {
        (stage.target_number(behind).await.ok()? == 1).then_some(())
    })
    .await?;
    let said =
        table(&mut stage, &["resume", "--tables", "quiet", "--wait"]).await.with_context(|| running.log())?;
    ensure!(said.contains("nothing was changed meanwhile"), "{said}");
    let said = table(&mut stage, &["resume", "--tables", "orders", "--wait"])
        .await
        .with_context(|| running.log())?;
    ensure!(said.contains("copied again and merged"), "{said}");

    writer.with_late.store(true, Ordering::Relaxed);
    let said =
        table(&mut stage, &["add", "--tables", "late", "--wait"]).await.with_context(|| running.log())?;
    ensure!(said.contains("public.late: copied"), "{said}");
    let listed = table(&mut stage, &["list"]).await.with_context(|| running.log())?;
    ensure!(listed.contains("public.late"), "{listed}");

    let others = "orders,bag,quiet,often,late";
    let said = table(&mut stage, &["resync", "--tables", others, "--by", "merge", "--wait", "--yes"])
        .await
        .with_context(|| running.log())?;
    ensure!(said.matches("copied again and merged").count() == 5, "{said}");
    let said =
        table(&mut stage, &["resync", "--tables", "orders,bag,often", "--by", "swap", "--wait", "--yes"])
            .await
            .with_context(|| running.log())?;
    ensure!(said.matches("copied again and swapped in").count() == 3, "{said}");

    let longest = still.longest().await?;
    ensure!(longest < STILL, "the others waited for {longest:?}:\n{}", running.log());
    running.ensure_runs()?;
    let said =
        table(&mut stage, &["resync", "--all", "--wait", "--yes"]).await.with_context(|| running.log())?;
    ensure!(said.matches("copied again and merged").count() == 6, "{said}");
    let written = writer.stop().await?;
    ensure!(written > 50, "only {written} transactions");
    stage.caught_up(&mut running, "UPDATE steady SET n = n").await?;
    let all = ["steady", "orders", "bag", "quiet", "often", "late"];
    ensure!(stage.compare(&all).await?.equal);
    stage.product.succeed(&["verify"]).await?;

    let said = table(&mut stage, &["remove", "--tables", "late", "--drop-target", "--yes"])
        .await
        .with_context(|| running.log())?;
    ensure!(said.contains("published no more") && said.contains("is dropped"), "{said}");
    let said =
        table(&mut stage, &["remove", "--tables", "quiet", "--yes"]).await.with_context(|| running.log())?;
    ensure!(said.contains("is left as it is"), "{said}");
    ensure!(!is_in_target(&stage, "late").await? && is_in_target(&stage, "quiet").await?);
    let published = "SELECT count(*) FROM pg_publication_tables WHERE tablename IN ('late', 'quiet')";
    let published: i64 = stage.source().await?.query_one(published, &[]).await?.get(0);
    ensure!(published == 0, "{published} removed tables are published");
    // A table that was removed can come again, once its target table is out of the way.
    let refused = stage.product.run(&["table", "add", "--tables", "quiet", "--wait"]).await?;
    ensure!(refused.error_code() == Some("TABLE_REFUSED"), "{refused}");
    table(&mut stage, &["add", "--tables", "late", "--wait"]).await.with_context(|| running.log())?;
    stage.caught_up(&mut running, "UPDATE late SET n = 0; UPDATE steady SET n = n").await?;
    ensure!(stage.compare(&["steady", "late"]).await?.equal);
    running.kill().await?;
    stage.remove().await
}

/// Nothing that belongs to a table is lost by a swap, and a merge keeps it; what is asked while nobody runs the pipeline is
/// done by the next one who does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swap_is_refused_where_it_would_lose_something() -> Result<()> {
    let mut stage = Stage::start("online_swap").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    let orders = stage.target_table("orders");
    stage.target().await?.batch(&format!("CREATE INDEX by_n ON {orders} (n)")).await?;
    let swap = ["table", "resync", "--tables", "orders", "--by", "swap", "--wait", "--yes"];
    let refused = stage.product.run(&swap).await?;
    ensure!(
        refused.error_code() == Some("TABLE_REFUSED") && refused.stderr.contains("index by_n"),
        "{refused}"
    );
    ensure!(phase(&stage, "orders").await? == "STREAMING", "it goes on as before");
    stage
        .target()
        .await?
        .batch(&format!("DELETE FROM {orders} WHERE id < 100; UPDATE {orders} SET n = 0 WHERE id < 300"))
        .await?;
    table(&mut stage, &["resync", "--tables", "orders", "--by", "merge", "--wait", "--yes"]).await?;
    ensure!(stage.target_number("SELECT COUNT(*) FROM sys.indexes WHERE [name] = N'by_n'").await? == 1);
    running.kill().await?;

    // Nobody runs it.
    let said = table(&mut stage, &["pause", "--tables", "quiet"]).await?;
    ensure!(said.contains("the next `segcdc up` carries it out"), "{said}");
    ensure!(phase(&stage, "quiet").await? == "STREAMING");
    stage.target().await?.batch(&format!("DELETE FROM {orders} WHERE id < 100")).await?;
    table(&mut stage, &["resync", "--tables", "orders", "--by", "merge", "--yes"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(phase(&stage, "quiet").await? == "PAUSED");
    // A pause outlives the process, and so does what it missed.
    stage.source.execute(DATABASE, "INSERT INTO quiet VALUES (2)").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.target_count("quiet").await? == 1);
    table(&mut stage, &["resume", "--tables", "quiet"]).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(stage.compare(&["steady", "orders", "bag", "quiet"]).await?.equal);
    stage.remove().await
}

/// Points that are passed while tables come and go, each with what is asked then.
#[cfg(feature = "failpoints")]
pub(crate) const POINTS: [(&str, &[&str]); 12] = [
    ("after_paused", &["pause", "--tables", "quiet"]),
    ("after_unpublished", &["remove", "--tables", "quiet", "--yes"]),
    ("beside_stopped", &["resync", "--tables", "orders", "--yes"]),
    ("after_copy_begun", &["resync", "--tables", "orders", "--yes"]),
    ("beside_copied", &["resync", "--tables", "bag", "--by", "swap", "--yes"]),
    ("beside_replaced", &["resync", "--tables", "bag", "--by", "swap", "--yes"]),
    ("beside_replaced", &["resync", "--tables", "orders", "--by", "merge", "--yes"]),
    ("beside_caught_up", &["resync", "--tables", "orders", "--yes"]),
    ("beside_handed_over", &["resync", "--tables", "orders", "--yes"]),
    ("beside_stopped", &["add", "--tables", "late"]),
    ("mid_copy", &["add", "--tables", "late"]),
    ("beside_handed_over", &["add", "--tables", "late"]),
];

/// A process that dies while tables come, go or are copied again leaves nothing that the next one does not finish.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_while_tables_come_and_go_loses_nothing() -> Result<()> {
    use std::os::unix::process::ExitStatusExt;

    let mut stage = Stage::start("online_kill").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    stage.source.execute(DATABASE, LATE).await?;
    stage
        .product
        .succeed(&["up", "--yes", "--until-caught-up", "--tables", "steady,orders,bag,quiet,often"])
        .await?;
    let writer = Writer::start(&stage, 11).await?;
    for (point, asked) in POINTS {
        let what = format!("{asked:?} at {point}");
        if asked[0] == "add" && !phase(&stage, "late").await?.is_empty() {
            stage
                .product
                .succeed(
                    &[&["table"], &["remove", "--tables", "late", "--drop-target", "--yes"][..]].concat(),
                )
                .await?;
            stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        }
        table(&mut stage, asked_offline(asked).as_slice()).await?;
        stage.product.set("SEGCDC_FAILPOINT", point);
        let ended =
            stage.product.up()?.wait(PATIENCE).await.with_context(|| format!("never came to {what}"))?;
        stage.product.set("SEGCDC_FAILPOINT", "");
        ensure!(ended.status.signal() == Some(6), "it did not die for {what}: {ended}");
        let mut running = stage.product.up()?;
        all_settled(&stage, &mut running).await.with_context(|| what.clone())?;
        ensure!(stage.quarantined().await?.is_empty(), "{what}: {:?}", stage.quarantined().await?);
        match asked[0] {
            "pause" => {
                table(&mut stage, &["resume", "--tables", "quiet", "--wait"]).await?;
            }
            "remove" => ensure!(phase(&stage, "quiet").await?.is_empty(), "{what}"),
            _ => stage.live(&mut running).await.with_context(|| what.clone())?,
        }
        running.kill().await?;
    }
    writer.with_late.store(true, Ordering::Relaxed);
    let mut running = stage.product.up()?;
    until("late is written", PATIENCE, || async {
        let sql = "SELECT count(*) FROM late WHERE n > 0";
        (stage.source().await.ok()?.query_one(sql, &[]).await.ok()?.get::<_, i64>(0) > 5).then_some(())
    })
    .await?;
    writer.stop().await?;
    stage.caught_up(&mut running, "UPDATE steady SET n = n").await?;
    ensure!(stage.compare(&["steady", "orders", "bag", "often", "late"]).await?.equal);
    running.kill().await?;
    stage.remove().await
}

/// While nobody runs the pipeline, `resync` is a wish only if the way is given.
#[cfg(feature = "failpoints")]
fn asked_offline<'a>(asked: &[&'a str]) -> Vec<&'a str> {
    let mut asked = asked.to_vec();
    if asked[0] == "resync" && !asked.contains(&"--by") {
        asked.extend(["--by", "merge"]);
    }
    asked
}
