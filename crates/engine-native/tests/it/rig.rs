//! A source database, a target schema and a pipeline of one test.

use std::sync::{Arc, Weak};
use std::time::Duration;

use segcdc_engine_native::{
    Activity, EngineConfig, EngineError, Outcome, Progress, ProgressSnapshot, RetryPolicy, run,
};
use segcdc_model::{Fault, Lsn, Phase, TablePhase};
use segcdc_plan::{Naming, TablePlan, table_plan};
use segcdc_postgres::{SourceConfig, catalog, session};
use segcdc_sqlserver::{PipelineState, Selection, Target, TargetConfig, rows};
use segcdc_testkit::{PostgresCluster, PostgresOptions, Sandbox, SandboxOptions, until};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that a test waits for: far more than it needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The servers that tests share while at least one of them runs. They end with the last of them.
static SHARED: Mutex<Weak<Servers>> = Mutex::const_new(Weak::new());

/// Both servers.
pub(crate) struct Servers {
    pub(crate) postgres: PostgresCluster,
    pub(crate) sandbox: Sandbox,
}

/// A pipeline of one test.
pub(crate) struct Rig {
    pub(crate) servers: Arc<Servers>,
    /// Name of the database, the pipeline and the target schema.
    pub(crate) name: String,
    pub(crate) config: EngineConfig,
    pub(crate) client: tokio_postgres::Client,
}

/// A running engine.
pub(crate) struct Running {
    pub(crate) progress: Arc<Progress>,
    pub(crate) shutdown: CancellationToken,
    task: Mutex<JoinHandle<Result<Outcome, EngineError>>>,
}

/// All rows of a table as text, sorted; `None` is NULL.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

impl Servers {
    /// Starts both.
    pub(crate) async fn start() -> Servers {
        let options = PostgresOptions::default()
            .setting("max_replication_slots", "100")
            .setting("max_wal_senders", "100");
        let postgres = PostgresCluster::start(options).await.unwrap();
        let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
        // Before several pipelines come to make it at once.
        let config = TargetConfig::parse(sandbox.url()).unwrap();
        Target::connect(&config).await.unwrap().ensure_state_schema().await.unwrap();
        Servers { postgres, sandbox }
    }

    async fn shared() -> Arc<Servers> {
        let mut shared = SHARED.lock().await;
        if let Some(servers) = shared.upgrade() {
            return servers;
        }
        let servers = Arc::new(Servers::start().await);
        *shared = Arc::downgrade(&servers);
        servers
    }
}

impl Rig {
    /// A database with these tables on the shared servers. `name` is like no other test's.
    pub(crate) async fn shared(name: &str, sql: &str) -> Rig {
        Rig::on(Servers::shared().await, name, sql).await
    }

    /// The same on servers of its own, which the test may stop.
    pub(crate) async fn private(name: &str, sql: &str) -> Rig {
        Rig::on(Arc::new(Servers::start().await), name, sql).await
    }

    async fn on(servers: Arc<Servers>, name: &str, sql: &str) -> Rig {
        servers.postgres.execute("postgres", &format!("CREATE DATABASE {name}")).await.unwrap();
        servers.postgres.execute(name, sql).await.unwrap();
        let source = SourceConfig::parse(&servers.postgres.url(name)).unwrap();
        let mut target = TargetConfig::parse(servers.sandbox.url()).unwrap();
        name.clone_into(&mut target.default_schema);
        let mut config = EngineConfig::new(source, target, name);
        config.heartbeat = Duration::from_millis(200);
        config.retry = RetryPolicy {
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
            max_attempts: None,
        };
        let client = servers.postgres.connect(name).await.unwrap();
        Rig { servers, name: name.to_owned(), config, client }
    }

    /// Both servers, for a test that has them for itself.
    pub(crate) fn own(&mut self) -> &mut Servers {
        Arc::get_mut(&mut self.servers).expect("the servers are shared")
    }

    /// Runs statements at the source.
    pub(crate) async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first field of the first row, as text.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let rows = self.client.simple_query(sql).await.unwrap();
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        row.unwrap_or_default()
    }

    /// Connects anew after the source has been down.
    pub(crate) async fn reconnect(&mut self) {
        self.client = self.servers.postgres.connect(&self.name).await.unwrap();
    }

    /// Starts the engine.
    pub(crate) fn start(&self) -> Running {
        self.start_with(self.config.clone())
    }

    /// Starts the engine with other settings.
    pub(crate) fn start_with(&self, config: EngineConfig) -> Running {
        let progress = Arc::new(Progress::new(config.name.clone()));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(config, Arc::clone(&progress), shutdown.clone()));
        Running { progress, shutdown, task: Mutex::new(task) }
    }

    /// Runs until everything is applied that has committed.
    pub(crate) async fn catch_up(&self) -> Result<Outcome, EngineError> {
        let mut config = self.config.clone();
        config.until_caught_up = true;
        self.start_with(config).end().await
    }

    /// Waits until the target has applied all that has committed at the source.
    pub(crate) async fn settle(&self, running: &Running) {
        let lsn: Lsn = self.ask("SELECT pg_current_wal_insert_lsn()").await.parse().unwrap();
        running.until("everything is applied", |snapshot| snapshot.applied_lsn >= lsn).await;
    }

    /// The pipeline's state in the target.
    pub(crate) async fn state(&self) -> Option<PipelineState> {
        let mut target = Target::connect(&self.config.target).await.unwrap();
        target.load_state(&self.name).await.unwrap()
    }

    /// Name of the slot that the state names.
    pub(crate) async fn slot(&self) -> String {
        self.state().await.expect("a state").checkpoint.lineage.slot
    }

    /// The plan of a table in schema `public`.
    pub(crate) async fn plan(&self, table: &str) -> TablePlan {
        let source = session::connect(&self.config.source).await.unwrap();
        let found = catalog::tables(&source, &[table.parse().unwrap()]).await.unwrap();
        let naming =
            Naming::new(self.config.target.default_schema.clone()).with_rules(self.config.rules.clone());
        table_plan(found.first().expect("a table"), &naming).unwrap()
    }

    /// The source's rows of a table whose types have one text on both sides (integers, text).
    pub(crate) async fn source_rows(&self, table: &str) -> Rows {
        let messages = self.client.simple_query(&format!("SELECT * FROM {table}")).await.unwrap();
        let mut rows: Rows = messages
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
                }
                _ => None,
            })
            .collect();
        rows.sort();
        rows
    }

    /// The target's rows of a table.
    pub(crate) async fn target_rows(&self, table: &str) -> Rows {
        let plan = self.plan(table).await;
        let mut target = Target::connect(&self.config.target).await.unwrap();
        let mut found: Rows = Vec::new();
        let mut take =
            |row: &rows::CanonicalRow| found.push(row.iter().map(|f| f.map(str::to_owned)).collect());
        rows::read(&mut target, &plan, Selection::All, &mut take).await.unwrap();
        found.sort();
        found
    }

    /// Asserts that both sides hold the same rows.
    pub(crate) async fn assert_equal(&self, tables: &[&str]) {
        for table in tables {
            let (source, target) = (self.source_rows(table).await, self.target_rows(table).await);
            assert!(!source.is_empty(), "{table} is empty, which proves nothing");
            let missing = source.iter().filter(|row| target.binary_search(row).is_err()).count();
            let extra = target.iter().filter(|row| source.binary_search(row).is_err()).count();
            let counts = (source.len(), target.len());
            assert!(source == target, "{table}: {missing} missing, {extra} extra, of {counts:?}");
        }
    }
}

impl Running {
    /// Waits until the engine's progress is so.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&ProgressSnapshot) -> bool) {
        let waited = until(what, PATIENCE, || async {
            let mut task = self.task.lock().await;
            if task.is_finished() {
                panic!("the engine ended before {what}: {:?}", (&mut *task).await);
            }
            condition(&self.progress.snapshot()).then_some(())
        });
        waited.await.unwrap_or_else(|error| panic!("{error}: {:?}", self.progress.snapshot()));
    }

    /// Waits for streaming, with no table that is still to be copied.
    pub(crate) async fn until_streaming(&self) {
        self.until("it is streaming", |snapshot| {
            let unfinished = |phase| matches!(phase, TablePhase::Queued | TablePhase::Copying);
            let all_copied = !snapshot.tables.iter().any(|table| unfinished(table.phase));
            snapshot.phase == Phase::Streaming && snapshot.activity == Activity::Running && all_copied
        })
        .await;
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Result<Outcome, EngineError> {
        let ended = tokio::time::timeout(PATIENCE, self.task.into_inner()).await;
        ended.unwrap_or_else(|_| panic!("it does not end: {:?}", self.progress.snapshot())).unwrap()
    }

    /// The code of the error that it ends with.
    pub(crate) async fn error_code(self) -> &'static str {
        match self.end().await {
            Ok(outcome) => panic!("it ended well: {outcome:?}"),
            Err(error) => error.code(),
        }
    }

    /// Ends it where it is, as a kill would.
    pub(crate) async fn kill(self) {
        let task = self.task.into_inner();
        task.abort();
        let ended = task.await;
        assert!(
            ended.as_ref().is_err_and(tokio::task::JoinError::is_cancelled),
            "it ended by itself: {ended:?}"
        );
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> Lsn {
        self.shutdown.cancel();
        match self.end().await {
            Ok(Outcome::Stopped { applied_lsn }) => applied_lsn,
            other => panic!("it did not stop in order: {other:?}"),
        }
    }
}
