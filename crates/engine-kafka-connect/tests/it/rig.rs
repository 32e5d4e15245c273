//! A source, a target, a worker, and a pipeline between them.

use std::time::Duration;

use segcdc_engine_kafka_connect::{
    Bootstrap, ConnectConfig, ConnectUrl, FullLoad, HttpConfig, Prepared, Rest, Secrets, Step, deploy,
    prepare,
};
use segcdc_engine_native::{EngineConfig, EngineKind, VerifyOptions, verify};
use segcdc_postgres::{Pattern, SourceConfig};
use segcdc_sqlserver::TargetConfig;
use segcdc_testkit::connect::{ConnectCluster, ConnectOptions};
use segcdc_testkit::{PostgresCluster, PostgresOptions, Sandbox, SandboxOptions, until};

use crate::brokers;

/// How long anything may take that a test waits for: far more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The source's password, which must appear nowhere.
pub(crate) const SOURCE_CANARY: &str = "c4nary-source";
/// The target's.
pub(crate) const TARGET_CANARY: &str = "c4nary-target";

/// The source's database, and the pipeline's name.
pub(crate) const NAME: &str = "shop";

/// Everything that a test needs.
pub(crate) struct Rig {
    pub(crate) cluster: ConnectCluster,
    pub(crate) postgres: PostgresCluster,
    pub(crate) _sandbox: Sandbox,
    pub(crate) config: ConnectConfig,
    pub(crate) rest: Rest,
    pub(crate) client: tokio_postgres::Client,
}

// === impl Rig ===

impl Rig {
    /// Starts all servers; `sql` makes the source's tables.
    pub(crate) async fn start(sql: &str) -> Rig {
        let options = ConnectOptions {
            worker_environment: environment(),
            ..ConnectOptions::impatient(Duration::from_secs(2))
        };
        let cluster = ConnectCluster::start(options).await.unwrap();
        let postgres = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
        let role = format!("CREATE ROLE cdc LOGIN SUPERUSER PASSWORD '{SOURCE_CANARY}'");
        postgres.execute("postgres", &role).await.unwrap();
        postgres.execute("postgres", &format!("CREATE DATABASE {NAME} OWNER cdc")).await.unwrap();
        postgres.execute(NAME, sql).await.unwrap();
        let options = SandboxOptions { password: TARGET_CANARY.to_owned(), ..SandboxOptions::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let port = postgres.port();
        let source = format!("postgres://cdc:{SOURCE_CANARY}@127.0.0.1:{port}/{NAME}?sslmode=disable");
        let mut target = TargetConfig::parse(sandbox.url()).unwrap();
        (target.ca_file, target.trust_server_certificate) = (None, true);
        let mut engine = EngineConfig::new(SourceConfig::parse(&source).unwrap(), target, NAME);
        engine.engine = EngineKind::KafkaConnect;
        let secrets = format!("file:{}", cluster.secrets_dir().join("shop.properties").display());
        let http = HttpConfig::new(ConnectUrl::parse(&cluster.url()).unwrap());
        let config = ConnectConfig {
            engine,
            http: http.clone(),
            secrets: Some(Secrets::parse(&secrets).unwrap()),
            bootstrap: Some(Bootstrap::parse(&cluster.sasl_tls_bootstrap()).unwrap()),
            security: brokers::security(&cluster),
            replication_factor: None,
            overrides: Vec::new(),
            full_load: FullLoad::Debezium,
        };
        let client = postgres.connect(NAME).await.unwrap();
        Rig { cluster, postgres, _sandbox: sandbox, config, rest: Rest::new(http).unwrap(), client }
    }

    /// Plans the pipeline and carries the plan out.
    pub(crate) async fn deploy(&self) -> (Prepared, Vec<Step>) {
        let prepared = Box::pin(prepare(&self.config, &self.rest)).await.unwrap();
        let failures: Vec<_> = prepared.failures().collect();
        assert!(failures.is_empty(), "{failures:?}");
        let steps = Box::pin(deploy(&self.config, &self.rest, &prepared, &mut |_| {})).await.unwrap();
        (prepared, steps)
    }

    /// Runs statements at the source.
    pub(crate) async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The same on a connection of its own: the source was restarted meanwhile.
    pub(crate) async fn sql_anew(&self, sql: &str) {
        self.postgres.execute(NAME, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The one text that a query of the source answers.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let client = self.postgres.connect(NAME).await.unwrap();
        let row = client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// Waits until a table has the same rows on both sides.
    pub(crate) async fn equal(&self, table: &str) {
        let options =
            VerifyOptions { patterns: vec![Pattern::parse(table).unwrap()], ..VerifyOptions::default() };
        becomes("both sides are equal", || async {
            Box::pin(verify(&self.config.engine, &options, &mut |_| {})).await.unwrap().is_equal()
        })
        .await;
    }
}

/// Waits until a condition holds.
pub(crate) async fn becomes<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let holds = || {
        let condition = condition();
        async { condition.await.then_some(()) }
    };
    until(what, PATIENCE, holds).await.unwrap();
}

/// Variables of the worker: passwords alone, passwords with a value that is no secret, and another password.
fn environment() -> Vec<(String, String)> {
    [
        ("PLAIN_SOURCE_PASSWORD", SOURCE_CANARY),
        ("PLAIN_TARGET_PASSWORD", TARGET_CANARY),
        ("SHOWN_SOURCE_PASSWORD", SOURCE_CANARY),
        ("SHOWN_TARGET_PASSWORD", TARGET_CANARY),
        ("SHOWN_CHECK", "1"),
        ("OTHER_SOURCE_PASSWORD", "another"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
