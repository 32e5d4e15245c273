//! [`measure`]: more and more pipelines in one `segcdc serve`, each of a table and a slot of its own.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use segcdc_sqlserver::TargetConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::super::to_f64;
use super::Ground;
use super::http::Api;
use super::markdown::table;
use crate::narrator::grouped;
use crate::process;
use crate::spread::number;
use crate::target::TargetSession;

/// How many pipelines.
const PIPELINES: [u64; 3] = [1, 10, 100];
/// Changes of all pipelines together.
const CHANGES: u64 = 50_000;
/// Changes of a transaction, all in the table of one pipeline.
const TRANSACTION: u64 = 5;
/// How long everything may take until all pipelines follow, or until all changes are applied.
const LIMIT: Duration = Duration::from_secs(300);
/// How long they are left alone before it is measured what that costs.
const SETTLE: Duration = Duration::from_secs(3);
/// How long that is measured.
const IDLE: Duration = Duration::from_secs(10);
/// Time between two looks at the target.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// What was measured, by numbers of pipelines.
#[derive(Debug)]
pub(super) struct Pipelines(Vec<(u64, Outcome)>);

/// What became of one number.
#[derive(Debug)]
enum Outcome {
    Measured(Line),
    /// Why it could not be.
    Failed(String),
}

/// One number of pipelines. CPU is in seconds.
#[derive(Debug)]
struct Line {
    /// From the first request until all of them follow.
    set_up: f64,
    /// Resident memory when idle, and at its highest, bytes.
    idle_bytes: u64,
    peak_bytes: u64,
    /// CPU of each second of idleness: segcdc, source, target.
    idle: [f64; 3],
    /// Until all changes were made, and until they were applied, from the first.
    made: f64,
    applied: f64,
    /// CPU meanwhile: segcdc, source, target.
    busy: [f64; 3],
}

/// A server that runs. Dropping it kills it.
struct Served {
    child: Child,
    id: u32,
    api: Api,
}

/// Measures.
pub(super) async fn measure(ground: &Ground<'_>) -> Result<Pipelines> {
    let mut found = Vec::new();
    for pipelines in PIPELINES {
        ground.narrator.step(&format!("Pipelines in one process: {pipelines}"));
        let name = format!("served_{pipelines}");
        let client = make(ground, &name, pipelines).await?;
        let outcome = match run(ground, &name, &client, pipelines).await {
            Ok(line) => Outcome::Measured(line),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        drop(client);
        clear(ground, &name).await?;
        match &outcome {
            Outcome::Measured(line) => ground.narrator.tell(&format!(
                "all of them follow after {:.1} s, {} changes applied in {:.1} s",
                line.set_up,
                grouped(CHANGES),
                line.applied
            )),
            Outcome::Failed(why) => ground.narrator.tell(&format!("not measured: {why}")),
        }
        found.push((pipelines, outcome));
    }
    Ok(Pipelines(found))
}

/// A database with a table for each pipeline.
async fn make(ground: &Ground<'_>, name: &str, pipelines: u64) -> Result<Client> {
    ground.source.execute("postgres", &format!("CREATE DATABASE {name}")).await?;
    let client = ground.source.connect(name).await?;
    let sql = format!(
        "DO $$ BEGIN FOR t IN 0 .. {pipelines} - 1 LOOP
           EXECUTE format('CREATE TABLE t_%s (id bigint PRIMARY KEY, account integer NOT NULL, amount numeric(12, 2), at timestamptz)', t);
         END LOOP; END $$;
         CREATE PROCEDURE spread() LANGUAGE plpgsql AS $$ BEGIN
           FOR i IN 0 .. {CHANGES} - 1 LOOP
             EXECUTE format('INSERT INTO t_%s VALUES ($1, $1 %% 10000, $1 %% 100000 / 100.0, timestamptz ''2021-01-01 00:00+00'')',
               i / {TRANSACTION} % {pipelines}) USING i;
             IF i % {TRANSACTION} = {TRANSACTION} - 1 THEN COMMIT; END IF;
           END LOOP;
         END $$"
    );
    client.batch_execute(&sql).await?;
    Ok(client)
}

/// Starts a server with its pipelines, leaves it alone for a while, and gives it something to do.
async fn run(ground: &Ground<'_>, name: &str, client: &Client, pipelines: u64) -> Result<Line> {
    let folder = segcdc_testkit::scratch::temp_dir("segcdc-served-")?;
    let target_url = ground.sink.database(name).await?;
    let mut target = ground.sink.session(name).await?;
    let served = Served::start(ground, folder.path()).await?;
    let begun = Instant::now();
    served.register(ground, name, &TargetConfig::parse(&target_url)?, pipelines).await?;
    let streaming = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [phase] = N'STREAMING'";
    served.wait(&mut target, streaming, pipelines, "all pipelines follow").await?;
    let set_up = begun.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let before = cpu(ground, served.id);
    sleep(IDLE).await;
    let idle = since(before, cpu(ground, served.id)).map(|seconds| seconds / IDLE.as_secs_f64());
    let idle_bytes = process::resident_bytes(served.id);
    let (before, begun) = (cpu(ground, served.id), Instant::now());
    // Committed as fast as the source can; what is last is waited for.
    client.batch_execute("SET synchronous_commit = off").await?;
    client.batch_execute("CALL spread()").await?;
    client.batch_execute(super::super::FLUSH).await?;
    let made = begun.elapsed().as_secs_f64();
    let applied = "SELECT SUM([changes_applied]) FROM [segcdc].[pipeline]";
    served.wait(&mut target, applied, CHANGES, "all changes are applied").await?;
    let applied = begun.elapsed().as_secs_f64();
    let busy = since(before, cpu(ground, served.id));
    let peak_bytes = process::peak_bytes(served.id);
    served.end().await?;
    Ok(Line { set_up, idle_bytes, peak_bytes, idle, made, applied, busy })
}

/// Removes what is left at the source.
async fn clear(ground: &Ground<'_>, name: &str) -> Result<()> {
    let drop = "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots WHERE active_pid IS NULL";
    let client = ground.source.connect("postgres").await?;
    let begun = Instant::now();
    loop {
        client.query(drop, &[]).await?;
        let left: i64 = client.query_one("SELECT count(*) FROM pg_replication_slots", &[]).await?.get(0);
        if left == 0 {
            break;
        }
        ensure!(begun.elapsed() < LIMIT, "{left} slots are still in use");
        sleep(LOOK_PERIOD).await;
    }
    ground.source.execute("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).await
}

/// CPU seconds of the server, the source and the target.
fn cpu(ground: &Ground<'_>, served: u32) -> [f64; 3] {
    let tree = |id: Option<u32>| id.map_or(0.0, process::tree_cpu_seconds);
    [process::cpu_seconds(served), tree(ground.source.process_id()), tree(ground.sink.server().process_id())]
}

fn since(before: [f64; 3], after: [f64; 3]) -> [f64; 3] {
    let [a, b, c] = before;
    let [x, y, z] = after;
    [x - a, y - b, z - c]
}

// === impl Served ===

impl Served {
    /// Starts it over a folder.
    async fn start(ground: &Ground<'_>, folder: &Path) -> Result<Self> {
        let mut command = Command::new(&ground.program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--output", "json", "--data-dir"]).arg(folder);
        command.env("SEGCDC_ALLOW_NETWORK", "127.0.0.0/8").stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(folder.join("log"))?).kill_on_drop(true);
        let mut child = command.spawn().context("could not start segcdc serve")?;
        let id = child.id().context("segcdc serve ended at once")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        let line = lines.next_line().await?;
        // What else it says is read, so that it can say it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let said: Value = serde_json::from_str(&line.unwrap_or_default()).with_context(|| {
            format!("segcdc serve said: {}", std::fs::read_to_string(folder.join("log")).unwrap_or_default())
        })?;
        let text =
            |name: &str| said.get(name).and_then(Value::as_str).context("a server that is new says it");
        let api = Api::begin(text("url")?, text("setup_token")?).await?;
        Ok(Served { child, id, api })
    }

    /// Makes connections and pipelines.
    async fn register(
        &self,
        ground: &Ground<'_>,
        name: &str,
        at: &TargetConfig,
        pipelines: u64,
    ) -> Result<()> {
        let source = json!({
            "name": "source", "kind": "postgres", "host": "127.0.0.1", "port": ground.source.port(), "database": name,
            "user": "postgres", "sslmode": "disable", "allow_insecure": true,
        });
        let authority = at.ca_file.as_ref().context("the sandbox has an authority")?;
        let target = json!({
            "name": "target", "kind": "sqlserver", "host": at.host, "port": at.port, "database": at.database, "user": at.user,
            "password": at.password.expose(), "schema": at.default_schema, "ca_pem": std::fs::read_to_string(authority)?,
        });
        let source = self.api.make("/api/v1/connections", &source).await?;
        let target = self.api.make("/api/v1/connections", &target).await?;
        for number in 0..pipelines {
            let pipeline = json!({
                "name": format!("p{number}"), "source_id": source, "target_id": target,
                "tables": [format!("public.t_{number}")], "start": true,
            });
            self.api.make("/api/v1/pipelines", &pipeline).await?;
        }
        Ok(())
    }

    /// Waits until a query of the target answers so much.
    async fn wait(&self, target: &mut TargetSession, query: &str, wanted: u64, what: &str) -> Result<()> {
        let wanted = i64::try_from(wanted)?;
        let begun = Instant::now();
        loop {
            // The tables of the state are not there at first.
            let found = target.number(query).await.ok().flatten().unwrap_or_default();
            if found >= wanted {
                return Ok(());
            }
            if begun.elapsed() > LIMIT {
                let said = self.first_error().await.unwrap_or_else(|error| format!("{error:#}"));
                bail!("gave up after {LIMIT:?} waiting until {what}, at {found} of {wanted}: {said}");
            }
            sleep(LOOK_PERIOD).await;
        }
    }

    /// What the first pipeline that has an error says.
    async fn first_error(&self) -> Result<String> {
        let listed = self.api.get("/api/v1/pipelines?limit=200").await?;
        let items = listed.get("items").and_then(Value::as_array).context("a list")?;
        let errors = items.iter().filter_map(|item| {
            let error =
                item.get("error").or(item.pointer("/progress/error")).filter(|error| !error.is_null())?;
            Some(format!("{} says {error}", item.get("name").unwrap_or(&Value::Null)))
        });
        Ok(errors.into_iter().next().unwrap_or_else(|| "no pipeline has an error".to_owned()))
    }

    /// Ends it.
    async fn end(mut self) -> Result<()> {
        self.child.kill().await.context("could not end segcdc serve")
    }
}

// === impl Pipelines ===

impl Pipelines {
    /// The part of the section.
    pub(super) fn section(&self) -> String {
        let head = [
            "pipelines",
            "until all follow, s",
            "memory idle, MiB",
            "memory highest, MiB",
            "CPU idle: segcdc, ms/s",
            "source, ms/s",
            "target, ms/s",
            "changes/s",
            "CPU for them: segcdc, s",
            "source, s",
            "target, s",
        ];
        let measured = self.0.iter().filter_map(|(pipelines, outcome)| match outcome {
            Outcome::Measured(line) => Some(line.cells(*pipelines)),
            Outcome::Failed(_) => None,
        });
        let failed = self.0.iter().filter_map(|(pipelines, outcome)| match outcome {
            Outcome::Measured(_) => None,
            Outcome::Failed(why) => Some(format!("- **{pipelines} pipelines were not measured:** {why}\n")),
        });
        format!(
            "### Pipelines in one process

`segcdc serve` with so many pipelines, each of one narrow table, a publication and a slot of its own, all from one database and into one database of the null sink. {seconds} s
of idleness; then {changes} INSERTs, {transaction} to a transaction, the next transaction in the next table. One round.

{table}
{failed}- Changes a second are counted from the first INSERT until all are applied; making them takes part of that.
- Each slot has a process at the source that decodes all of the WAL and sends what its publication holds: that is the source's CPU time, which grows with slots whatever
  reads them.
",
            seconds = IDLE.as_secs(),
            changes = grouped(CHANGES),
            transaction = TRANSACTION,
            table = table(&head, measured),
            failed = failed.collect::<String>(),
        )
    }
}

// === impl Line ===

impl Line {
    fn cells(&self, pipelines: u64) -> Vec<String> {
        let mebibytes = |bytes| number(to_f64(bytes) / f64::from(1 << 20));
        let mut cells = vec![
            grouped(pipelines),
            number(self.set_up),
            mebibytes(self.idle_bytes),
            mebibytes(self.peak_bytes),
        ];
        cells.extend(self.idle.map(|seconds| number(seconds * 1000.0)));
        cells.push(format!("{} (made in {} s)", number(to_f64(CHANGES) / self.applied), number(self.made)));
        cells.extend(self.busy.map(number));
        cells
    }
}
