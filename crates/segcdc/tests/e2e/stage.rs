//! [`Stage`]: a source, a target and the product between them.

use std::time::Duration;

use anyhow::{Context, Result};
use segcdc_sqlserver::TargetConfig;
use segcdc_tds::{Connection, Datum, Error as TdsError};
use segcdc_testkit::{PostgresCluster, PostgresOptions, Sandbox, SandboxOptions};
use tokio_postgres::Client;

use super::independent::{self, Comparison, Pair};
use super::product::{Product, Running};

/// Names any other server that speaks TDS, for tests of the target.
const TARGET_VARIABLE: &str = "SEGCDC_TEST_SQLSERVER_URL";

/// Database of the source.
pub(crate) const DATABASE: &str = "shop";

/// How long anything that must happen may take: far longer than it does, so that a busy machine changes no verdict.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A source, a target and the product between them.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The source.
    pub(crate) source: PostgresCluster,
    /// The target, unless it is a server that is not ours.
    pub(crate) sandbox: Option<Sandbox>,
    /// Where the target is, without any proxy.
    pub(crate) target: TargetConfig,
    /// The same as a URL, as the product is given it.
    pub(crate) target_url: String,
    /// The product.
    pub(crate) product: Product,
    /// The pipeline's name.
    pub(crate) name: String,
}

/// A pipeline's state row, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateSeen {
    /// Slot.
    pub(crate) slot: String,
    /// Position.
    pub(crate) applied_lsn: u64,
    /// Batches applied in all.
    pub(crate) batch_seq: i64,
    /// How often it was taken over.
    pub(crate) epoch: i64,
}

// === impl Stage ===

impl Stage {
    /// Starts both servers. What the source says is committed survives its crash.
    pub(crate) async fn start(name: &str) -> Result<Self> {
        Self::start_with(name, PostgresOptions::default()).await
    }

    /// Starts both servers, the source with further settings.
    pub(crate) async fn start_with(name: &str, options: PostgresOptions) -> Result<Self> {
        Self::start_on(name, options, SandboxOptions::default()).await
    }

    /// As [`Stage::start_with`], with a target that takes no bulk loads. `None`, and said so, when the target is not ours.
    pub(crate) async fn start_without_bulk(name: &str, options: PostgresOptions) -> Result<Option<Self>> {
        if named_target().is_some() {
            eprintln!("skipped, the server of {TARGET_VARIABLE} is not ours: bulk loads have to be refused");
            return Ok(None);
        }
        let target = SandboxOptions { refuse_bulk: true, ..SandboxOptions::default() };
        Self::start_on(name, options, target).await.map(Some)
    }

    async fn start_on(name: &str, options: PostgresOptions, sandbox: SandboxOptions) -> Result<Self> {
        let options = options.setting("synchronous_commit", "on");
        let (source, target) = tokio::join!(PostgresCluster::start(options), target(sandbox));
        let (source, (target_url, sandbox)) = (source?, target?);
        source.execute("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
        let product = Product::new(name, &source.url(DATABASE), &target_url)?;
        let target = TargetConfig::parse(&target_url)?;
        Ok(Stage { source, sandbox, target, target_url, product, name: name.to_owned() })
    }

    /// The target as a process that can be killed; `None`, and said so, when it is not ours to kill.
    pub(crate) fn sandbox_or_skip(&mut self, what: &str) -> Option<&mut Sandbox> {
        if self.sandbox.is_none() {
            eprintln!("skipped, the server of {TARGET_VARIABLE} is not ours: {what}");
        }
        self.sandbox.as_mut()
    }

    /// A session with the source.
    pub(crate) async fn source(&self) -> Result<Client> {
        self.source.connect(DATABASE).await
    }

    /// A session with the sandbox's own PostgreSQL.
    pub(crate) async fn back_door(&self, database: &str) -> Result<Client> {
        let sandbox = self.sandbox.as_ref().context("the target is not a sandbox")?;
        let config =
            format!("host=127.0.0.1 port={} user=postgres dbname={database}", sandbox.postgres_port());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A session with the target that goes past any proxy.
    pub(crate) async fn target(&self) -> Result<Connection> {
        Ok(Connection::connect(&self.target.to_tds()).await?)
    }

    /// A table's name in the target, quoted.
    pub(crate) fn target_table(&self, table: &str) -> String {
        target_table(&self.target, table)
    }

    /// The pipeline's state row; `None` while there is none.
    pub(crate) async fn state(&self) -> Result<Option<StateSeen>> {
        Ok(state(&mut self.target().await?, &self.name).await?)
    }

    /// Name and code of each quarantined table, by name.
    pub(crate) async fn quarantined(&self) -> Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT [source_name], [error_code] FROM [segcdc].[pipeline_table] WHERE [pipeline] = N'{}' \
             AND [phase] = N'QUARANTINED' ORDER BY [source_name]",
            self.name
        );
        let response = self.target().await?.batch(&sql).await?;
        let rows = response.sets.iter().flat_map(|set| &set.rows).map(|row| match row.as_slice() {
            [Datum::Text(table), Datum::Text(code)] => Ok((table.clone(), code.clone())),
            row => anyhow::bail!("{row:?}"),
        });
        rows.collect()
    }

    /// The target's major version, as it says it: 16 is SQL Server 2022.
    pub(crate) async fn target_version(&self) -> Result<u32> {
        let sql = "SELECT CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(128))";
        let response = self.target().await?.batch(sql).await?;
        let row = response.first_row().context("no version")?;
        let version = row.first().and_then(Datum::as_text).context("the version is no text")?;
        version.split('.').next().unwrap_or_default().parse().with_context(|| version.to_owned())
    }

    /// Makes the schema of the target's tables, which a server that is not ours has not before the product makes it.
    pub(crate) async fn make_target_schema(&self) -> Result<()> {
        if self.sandbox.is_none() {
            let sql = format!("CREATE SCHEMA [{}]", self.target.default_schema);
            self.target().await?.batch(&sql).await?;
        }
        Ok(())
    }

    /// One number from the target.
    pub(crate) async fn target_number(&self, sql: &str) -> Result<i64> {
        let response = self.target().await?.batch(sql).await?;
        let row = response.first_row().with_context(|| format!("no row: {sql}"))?;
        row.first().and_then(Datum::as_int).with_context(|| format!("not a number: {row:?} of {sql}"))
    }

    /// Rows of a table of the target.
    pub(crate) async fn target_count(&self, table: &str) -> Result<i64> {
        self.target_number(&format!("SELECT COUNT(*) FROM {}", self.target_table(table))).await
    }

    /// Where the source's log ends now.
    pub(crate) async fn source_lsn(&self) -> Result<u64> {
        let sql = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint";
        let lsn: i64 = self.source().await?.query_one(sql, &[]).await?.get(0);
        Ok(u64::try_from(lsn)?)
    }

    /// Waits until everything that has committed by now is applied. `touch` changes a row of a live table: a position
    /// that no change reaches is only applied with the next heartbeat.
    pub(crate) async fn caught_up(&self, running: &mut Running, touch: &str) -> Result<()> {
        self.caught_up_within(running, touch, PATIENCE).await
    }

    /// As [`Stage::caught_up`], where much is to be applied.
    pub(crate) async fn caught_up_within(
        &self,
        running: &mut Running,
        touch: &str,
        limit: Duration,
    ) -> Result<()> {
        let wanted = self.source_lsn().await?;
        self.source().await?.batch_execute(touch).await?;
        let what = format!("everything up to {wanted} is applied");
        running
            .until(&what, limit, || async {
                let state = self.state().await.ok()??;
                (state.applied_lsn >= wanted).then_some(())
            })
            .await
    }

    /// Waits until all tables of the pipeline are live.
    pub(crate) async fn live(&self, running: &mut Running) -> Result<()> {
        self.live_within(running, PATIENCE).await
    }

    /// As [`Stage::live`], where much is to be copied.
    pub(crate) async fn live_within(&self, running: &mut Running, limit: Duration) -> Result<()> {
        let sql = live_sql(&self.name);
        running
            .until("all tables are live", limit, || async {
                (self.target_number(&sql).await.ok()? == 1).then_some(())
            })
            .await
    }

    /// Compares tables by `compare.py`; both sides must be quiet.
    pub(crate) async fn compare(&self, tables: &[&str]) -> Result<Comparison> {
        independent::compare(&self.source, DATABASE, &self.target, tables).await
    }

    /// Compares tables of any schema and name.
    pub(crate) async fn compare_pairs(&self, pairs: &[Pair<'_>]) -> Result<Comparison> {
        independent::compare_pairs("pytds", &self.source, DATABASE, &self.target, pairs).await
    }

    /// Runs `down --drop`, and at the target the SQL that it prints for what it leaves.
    pub(crate) async fn remove(&mut self) -> Result<()> {
        let finished = self.product.succeed(&["down", "--drop", "--yes", "-o", "json"]).await?;
        let report: serde_json::Value =
            serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())?;
        let mut target = self.target().await?;
        for thing in report["left"].as_array().with_context(|| finished.to_string())? {
            let sql = thing["sql"].as_str().context("the SQL of what is left")?;
            target.batch(sql).await.with_context(|| sql.to_owned())?;
        }
        Ok(())
    }

    /// Names of all slots of the source.
    pub(crate) async fn slots(&self) -> Result<Vec<String>> {
        let rows =
            self.source().await?.query("SELECT slot_name::text FROM pg_replication_slots", &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// The server that was named.
fn named_target() -> Option<String> {
    std::env::var(TARGET_VARIABLE).ok().filter(|url| !url.is_empty())
}

/// The sandbox, or the server that was named, with a schema of our own there.
async fn target(options: SandboxOptions) -> Result<(String, Option<Sandbox>)> {
    let Some(url) = named_target() else {
        let sandbox = Sandbox::start(options).await?;
        return Ok((sandbox.url().to_owned(), Some(sandbox)));
    };
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok((format!("{url}{separator}schema=e2e_{:08x}", rand::random::<u32>()), None))
}

/// A table's name in the target, quoted.
pub(crate) fn target_table(target: &TargetConfig, table: &str) -> String {
    format!("[{}].[{}]", target.default_schema, table.replace(']', "]]"))
}

/// A pipeline's state row; `None` while there is none.
pub(crate) async fn state(
    connection: &mut Connection,
    pipeline: &str,
) -> Result<Option<StateSeen>, TdsError> {
    let sql = format!(
        "SELECT [slot], [applied_lsn], [batch_seq], [epoch] FROM [segcdc].[pipeline] WHERE [pipeline] = N'{pipeline}'"
    );
    let response = connection.batch(&sql).await?;
    Ok(response.first_row().and_then(|row| match row {
        [Datum::Text(slot), Datum::Int(applied_lsn), Datum::Int(batch_seq), Datum::Int(epoch)] => {
            let applied_lsn = u64::try_from(*applied_lsn).ok()?;
            Some(StateSeen { slot: slot.clone(), applied_lsn, batch_seq: *batch_seq, epoch: *epoch })
        }
        _ => None,
    }))
}

/// A query that yields 1 once all tables of a pipeline are live: copied, and followed past the copy of each.
pub(crate) fn live_sql(pipeline: &str) -> String {
    let tables = format!("FROM [segcdc].[pipeline_table] WHERE [pipeline] = N'{pipeline}'");
    format!(
        "SELECT CASE WHEN (SELECT COUNT(*) {tables}) > 0 \
         AND (SELECT COUNT(*) {tables} AND [phase] <> N'STREAMING') = 0 \
         AND (SELECT MAX([sync_lsn]) {tables}) <= \
         (SELECT [applied_lsn] FROM [segcdc].[pipeline] WHERE [pipeline] = N'{pipeline}') THEN 1 ELSE 0 END"
    )
}
