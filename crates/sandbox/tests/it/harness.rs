//! A private PostgreSQL with an engine, and sessions that collect their answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use segcdc_sandbox::answer::{EnvChange, OutColumn, Reply, SqlError};
use segcdc_sandbox::engine::{Engine, EngineOptions, LoginRequest, Param, Session};
use segcdc_tds::{Collation, ColumnType, Datum};
use segcdc_testkit::{PostgresCluster, PostgresOptions};
use tokio::sync::{Mutex, mpsc};

/// An engine with its PostgreSQL.
pub(crate) struct Sandbox {
    pub(crate) engine: Arc<Engine>,
    _postgres: PostgresCluster,
}

/// A client's session.
pub(crate) struct Client {
    pub(crate) session: Session,
}

/// Everything that a request was answered with.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<Vec<OutColumn>>,
    pub(crate) rows: Vec<Vec<Datum>>,
    pub(crate) counts: Vec<u64>,
    pub(crate) errors: Vec<SqlError>,
    pub(crate) messages: Vec<SqlError>,
    pub(crate) changes: Vec<EnvChange>,
    pub(crate) outputs: Vec<(String, Datum)>,
}

impl Answer {
    /// Numbers of the errors, in order.
    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.errors.iter().map(|error| error.number).collect()
    }
}

/// The sandbox that tests share while one of them runs: starting one costs more than most tests.
static SHARED: Mutex<Weak<Sandbox>> = Mutex::const_new(Weak::new());
/// Databases made so far.
static DATABASES: AtomicUsize = AtomicUsize::new(0);

impl Sandbox {
    /// The shared sandbox.
    pub(crate) async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(sandbox) = shared.upgrade() {
            return sandbox;
        }
        let sandbox = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&sandbox);
        sandbox
    }

    /// A session in a database of its own; the database's name.
    pub(crate) async fn new_database(&self) -> (Client, String) {
        let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.login_to("shop").await.ok(&format!("CREATE DATABASE [{name}]")).await;
        (self.login_to(&name).await, name)
    }

    /// A session in a database.
    pub(crate) async fn login_to(&self, database: &str) -> Client {
        Client { session: self.engine.login(&login(database)).await.unwrap() }
    }

    async fn start() -> Self {
        let options = PostgresOptions::default().setting("shared_buffers", "256MB");
        let postgres = PostgresCluster::start(options).await.unwrap();
        let engine = Engine::start(EngineOptions {
            postgres_port: postgres.port(),
            database: "shop".to_owned(),
            user: "sa".to_owned(),
            password: "Secret-1".to_owned(),
            refuse_bulk: false,
            discard: None,
        })
        .await
        .unwrap();
        Sandbox { engine, _postgres: postgres }
    }
}

pub(crate) fn login(database: &str) -> LoginRequest {
    LoginRequest {
        user: "sa".to_owned(),
        password: "Secret-1".to_owned(),
        database: database.to_owned(),
        application: "tests".to_owned(),
        host: "here".to_owned(),
        packet_size: 4096,
        spid: 51,
    }
}

/// A parameter of its value's own type.
pub(crate) fn param(name: &str, column_type: ColumnType, value: Datum) -> Param {
    Param {
        name: name.to_owned(),
        column_type,
        collation: Collation::SQL_LATIN1_GENERAL_CP1_CI_AS,
        value,
        output: false,
    }
}

pub(crate) fn text(text: &str) -> Datum {
    Datum::Text(text.to_owned())
}

pub(crate) fn int(value: i64) -> Datum {
    Datum::Int(value)
}

async fn collect(mut replies: mpsc::Receiver<Reply>) -> Answer {
    let mut answer = Answer::default();
    while let Some(reply) = replies.recv().await {
        match reply {
            Reply::Columns(columns) => answer.columns.push(columns),
            Reply::Rows(rows) => answer.rows.extend(rows),
            Reply::Done { count, .. } => answer.counts.extend(count),
            Reply::Error(error) => answer.errors.push(error),
            Reply::Info(message) => answer.messages.push(message),
            Reply::Env(change) => answer.changes.push(change),
            Reply::ReturnStatus(_) => {}
            Reply::ReturnValue { name, value, .. } => answer.outputs.push((name, value)),
        }
    }
    answer
}

impl Client {
    /// Runs a batch and returns everything.
    pub(crate) async fn run(&mut self, sql: &str) -> Answer {
        self.run_with(sql, &[]).await
    }

    pub(crate) async fn run_with(&mut self, sql: &str, params: &[Param]) -> Answer {
        let (sender, replies) = mpsc::channel(16);
        let work = async {
            self.session.batch(sql, params, &sender).await;
            drop(sender);
        };
        tokio::join!(work, collect(replies)).1
    }

    /// Runs a batch that must not fail.
    pub(crate) async fn ok(&mut self, sql: &str) -> Answer {
        let answer = self.run(sql).await;
        assert!(answer.errors.is_empty(), "{sql}: {:?}", answer.errors);
        answer
    }

    pub(crate) async fn ok_with(&mut self, sql: &str, params: &[Param]) -> Answer {
        let answer = self.run_with(sql, params).await;
        assert!(answer.errors.is_empty(), "{sql}: {:?}", answer.errors);
        answer
    }

    /// Runs a batch whose errors must have these numbers.
    pub(crate) async fn fails(&mut self, sql: &str, numbers: &[i32]) -> Answer {
        let answer = self.run(sql).await;
        assert_eq!(answer.numbers(), numbers, "{sql}: {:?}", answer.errors);
        answer
    }

    /// The rows of a batch that must not fail.
    pub(crate) async fn rows(&mut self, sql: &str) -> Vec<Vec<Datum>> {
        self.ok(sql).await.rows
    }

    /// The only value of a query.
    pub(crate) async fn value(&mut self, sql: &str) -> Datum {
        let rows = self.rows(sql).await;
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0][0].clone()
    }

    /// INSERT BULK and its rows.
    pub(crate) async fn bulk(
        &mut self,
        statement: &str,
        columns: &[OutColumn],
        rows: Vec<Vec<Datum>>,
    ) -> Result<u64, SqlError> {
        self.ok(statement).await;
        let (sender, receiver) = mpsc::channel(4);
        let (out, replies) = mpsc::channel(16);
        let feed = async {
            for chunk in rows.chunks(1000) {
                if sender.send(chunk.to_vec()).await.is_err() {
                    break;
                }
            }
            drop(sender);
        };
        let work = async {
            let result = self.session.bulk(columns, receiver, &out).await;
            drop(out);
            result
        };
        tokio::join!(feed, work, collect(replies)).1
    }
}
