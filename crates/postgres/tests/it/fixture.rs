//! Databases to test on.

use std::sync::{Arc, Weak};
use std::time::Duration;

use segcdc_model::{Field, Finding, Severity, SourceTable, Transaction, Tuple};
use segcdc_postgres::{
    Pattern, PreflightRequest, Replication, RowStream, Session, SourceConfig, StreamEvent, TransactionStream,
    catalog, preflight, session,
};
use segcdc_testkit::{PostgresCluster, PostgresOptions};
use tokio::sync::Mutex;

/// How long anything may take that a test waits for: far more than it needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The server that tests share while at least one of them runs. It ends with the last of them.
static SHARED: Mutex<Weak<PostgresCluster>> = Mutex::const_new(Weak::new());

/// A database of its own on a server.
pub(crate) struct Source {
    /// The server.
    pub(crate) cluster: Arc<PostgresCluster>,
    /// The database; also a name for slots and publications, which no other test uses.
    pub(crate) name: String,
    /// As the superuser.
    pub(crate) config: SourceConfig,
    /// As the superuser, as the product has it.
    pub(crate) session: Session,
    /// As the superuser, as an application has it: with `public` in its search path.
    application: Session,
}

impl Source {
    /// A database on the shared server, with these tables.
    pub(crate) async fn shared(name: &str, sql: &str) -> Source {
        let cluster = {
            let mut shared = SHARED.lock().await;
            match shared.upgrade() {
                Some(cluster) => cluster,
                None => {
                    let cluster = Arc::new(PostgresCluster::start(PostgresOptions::default()).await.unwrap());
                    *shared = Arc::downgrade(&cluster);
                    cluster
                }
            }
        };
        Source::on(cluster, name, sql).await
    }

    /// A database on a server of its own.
    pub(crate) async fn private(name: &str, options: PostgresOptions, sql: &str) -> Source {
        Source::on(Arc::new(PostgresCluster::start(options).await.unwrap()), name, sql).await
    }

    async fn on(cluster: Arc<PostgresCluster>, name: &str, sql: &str) -> Source {
        cluster.execute("postgres", &format!("CREATE DATABASE {name}")).await.unwrap();
        let config = SourceConfig::parse(&cluster.url(name)).unwrap();
        let session = session::connect(&config).await.unwrap();
        let application = session::connect(&config).await.unwrap();
        application.query_text("SET search_path = public").await.unwrap();
        let source = Source { cluster, name: name.to_owned(), config, session, application };
        source.run(sql).await;
        source
    }

    /// The configuration of another role.
    pub(crate) fn config_of(&self, role: &str) -> SourceConfig {
        SourceConfig::parse(&self.cluster.url_as(role, &self.name)).unwrap()
    }

    /// Runs statements as the superuser, in one transaction unless they say otherwise.
    pub(crate) async fn run(&self, sql: &str) {
        self.application.query_text(sql).await.unwrap_or_else(|error| panic!("{sql}: {}", chain(&error)));
    }

    /// The first field of the first row, as text.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        ask(&self.application, sql).await
    }

    /// Whether publications can have column lists and row filters.
    pub(crate) async fn has_column_lists(&self) -> bool {
        self.ask("SELECT current_setting('server_version_num')::int >= 150000").await == "t"
    }

    /// A table by its name in `public`.
    pub(crate) async fn table(&self, name: &str) -> SourceTable {
        let pattern = Pattern::parse(&format!("public.\"{name}\"")).unwrap();
        catalog::tables(&self.session, &[pattern]).await.unwrap().pop().unwrap()
    }

    /// What preflight is asked for when these tables are wanted.
    pub(crate) async fn request(&self, patterns: &[&str]) -> PreflightRequest {
        let patterns: Vec<_> = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
        PreflightRequest {
            publication_to_create: format!("{}_publication", self.name),
            slot_to_create: format!("{}_slot", self.name),
            tables: catalog::tables(&self.session, &patterns).await.unwrap(),
            ..PreflightRequest::default()
        }
    }

    /// Runs the SQL that a finding says mends it, statement by statement, as the superuser.
    pub(crate) async fn mend(&self, finding: &Finding) {
        assert!(!finding.fix_sql.is_empty(), "{} has no SQL", finding.code);
        for sql in &finding.fix_sql {
            let done = self.session.query_text(sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {}", chain(&error)));
        }
    }

    /// A publication of all tables, named as the database.
    pub(crate) async fn publish(&self) {
        self.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", self.name)).await;
    }

    /// A stream from a slot, of the publication that is named as the database.
    pub(crate) async fn stream(&self, slot: &str, from: segcdc_model::Lsn) -> TransactionStream {
        let replication = Replication::connect(&self.config).await.unwrap();
        replication.start(slot, from, &[&self.name]).await.unwrap()
    }
}

/// The first field of the first row, as text.
pub(crate) async fn ask(session: &Session, sql: &str) -> String {
    let rows = session.query_text(sql).await.unwrap_or_else(|error| panic!("{sql}: {}", chain(&error)));
    rows[0][0].clone().unwrap_or_default()
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    segcdc_model::fault::chain(error)
}

/// All rows that are left.
pub(crate) async fn drain(rows: &mut RowStream) -> Vec<Tuple> {
    let mut all = Vec::new();
    while let Some(row) = rows.next().await.unwrap() {
        all.push(row);
    }
    all
}

/// The next transaction that changes anything.
pub(crate) async fn next_transaction(stream: &mut TransactionStream) -> Transaction {
    let next = async {
        loop {
            match stream.next().await.unwrap() {
                StreamEvent::Transaction(transaction) if !transaction.changes.is_empty() => {
                    return transaction;
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a transaction comes in time")
}

/// A field as a test writes it: NULL is `None`.
pub(crate) fn bytes<'a>(field: Option<Field<'a>>) -> Option<&'a [u8]> {
    match field.expect("the field is there") {
        Field::Null => None,
        Field::UnchangedToast => panic!("the field was not sent"),
        Field::Large(_) => panic!("no value of these tests is large"),
        Field::Text(bytes) | Field::Binary(bytes) => Some(bytes),
    }
}

/// The four bytes of an `integer` in binary form.
pub(crate) fn int(field: Option<Field<'_>>) -> i32 {
    i32::from_be_bytes(bytes(field).expect("not NULL").try_into().expect("four bytes"))
}

/// What preflight finds wrong, as seen by `session`.
pub(crate) async fn problems(session: &Session, request: &PreflightRequest) -> Vec<Finding> {
    let findings = preflight::check(session, request).await.unwrap();
    findings.into_iter().filter(|finding| finding.severity != Severity::Ok).collect()
}

/// The finding with this code, if there is one.
pub(crate) fn with_code<'a>(findings: &'a [Finding], code: &str) -> Option<&'a Finding> {
    findings.iter().find(|finding| finding.code == code)
}
