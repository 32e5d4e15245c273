//! What preflight finds wrong with the server, the connection and the role. What can be mended by SQL is mended by it.

use std::sync::Arc;

use segcdc_model::{Fault, Severity};
use segcdc_postgres::snapshot::copy;
use segcdc_postgres::{
    CopyRequest, ExportedSnapshot, PreflightRequest, Replication, SourceConfig, catalog, heartbeat,
    preflight, session,
};
use segcdc_testkit::{PostgresCluster, PostgresOptions, StopMode, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{PATIENCE, Source, ask, drain, next_transaction, problems, with_code};

/// # Fault F28
/// `wal_level` is not `logical`.
/// - Happens: preflight refuses it as `WAL_LEVEL`. A server that has slots does not start with less.
/// - Do: the SQL that is printed, and a restart of the source.
#[tokio::test]
async fn cramped_server_is_mended_by_settings() {
    let options = PostgresOptions::default()
        .setting("wal_level", "replica")
        .setting("max_replication_slots", "1")
        .setting("max_wal_senders", "1")
        .setting("max_prepared_transactions", "2");
    let setup = "CREATE TABLE a (id int PRIMARY KEY); SELECT pg_create_physical_replication_slot('only_one')";
    let source = Source::private("cramped", options, setup).await;
    let request = source.request(&["a"]).await;
    let found = problems(&source.session, &request).await;
    for (code, setting, value) in [
        ("WAL_LEVEL", "wal_level", "logical"),
        ("NO_FREE_SLOTS", "max_replication_slots", "11"),
        ("NO_FREE_WAL_SENDERS", "max_wal_senders", "10"),
    ] {
        let finding = with_code(&found, code).unwrap_or_else(|| panic!("{code} is not in {found:#?}"));
        assert_eq!(finding.severity, Severity::Failure);
        source.mend(finding).await;
        // It takes a restart, and the test server's command line wins over its files.
        let written = format!("SELECT setting FROM pg_file_settings WHERE name = '{setting}'");
        assert_eq!(source.ask(&written).await, value);
    }
    let with = async |code: &str| {
        let found = problems(&source.session, &request).await;
        with_code(&found, code).cloned()
    };
    let gone = async |code: &str| {
        let is_gone = async || with(code).await.is_none().then_some(());
        until("the finding is gone", PATIENCE, is_gone).await.unwrap();
    };
    source.mend(with_code(&found, "SLOT_WAL_UNLIMITED").unwrap()).await;
    gone("SLOT_WAL_UNLIMITED").await;
    source.session.query_text("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'").await.unwrap();
    source.session.query_text("SELECT pg_reload_conf()").await.unwrap();
    let small = until("the limit is small", PATIENCE, async || with("SLOT_WAL_SMALL").await).await.unwrap();
    source.mend(&small).await;
    gone("SLOT_WAL_SMALL").await;

    source.run("BEGIN; INSERT INTO a VALUES (1); PREPARE TRANSACTION 'it''s mine'").await;
    source.mend(&with("PREPARED_TRANSACTIONS").await.unwrap()).await;
    gone("PREPARED_TRANSACTIONS").await;
}

/// Making a slot waits for open transactions. Whoever gives up waiting leaves no half-made slot behind.
#[tokio::test]
async fn long_transactions_are_named_and_hold_up_no_more_than_they_must() {
    // A server of its own: slots of other tests would wait too.
    let options = PostgresOptions::default();
    let source = Source::private("long_running", options, "CREATE TABLE a (id int PRIMARY KEY)").await;
    let request = source.request(&["a"]).await;
    let writer = session::connect(&source.config).await.unwrap();
    writer.query_text("BEGIN; INSERT INTO public.a VALUES (1)").await.unwrap();
    let pid = ask(&writer, "SELECT pg_backend_pid()").await;

    let slots = async || source.ask("SELECT count(*) FROM pg_replication_slots").await;
    let mut making = Box::pin(ExportedSnapshot::create(&source.config, "given_up", false));
    let begun = until("the slot is being made", PATIENCE, async || (slots().await == "1").then_some(()));
    tokio::select! {
        made = &mut making => panic!("it did not wait: {made:?}"),
        begun = begun => begun.unwrap(),
    }
    drop(making);
    until("nothing is left", PATIENCE, async || (slots().await == "0").then_some(())).await.unwrap();

    let fix = format!("SELECT pg_terminate_backend({pid})");
    let named = async || {
        let found = problems(&source.session, &request).await;
        with_code(&found, "SLOT_CREATION_DELAYED").filter(|finding| finding.fix_sql.contains(&fix)).cloned()
    };
    let finding = until("the transaction has been open for long", PATIENCE, named).await.unwrap();
    assert!(finding.detail.contains(&pid), "{finding:#?}");
    source.mend(&finding).await;
    until("the transaction is gone", PATIENCE, async || named().await.is_none().then_some(())).await.unwrap();
    ExportedSnapshot::create(&source.config, "given_up", false).await.unwrap().close().await;
}

#[tokio::test]
async fn bytes_without_meaning_are_refused() {
    let source = Source::shared("ascii_base", "").await;
    let create = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
    source.cluster.execute("postgres", create).await.unwrap();
    let config = SourceConfig::parse(&source.cluster.url("ascii")).unwrap();
    let session = session::connect(&config).await.unwrap();
    let found = problems(&session, &PreflightRequest::default()).await;
    assert_eq!(with_code(&found, "SOURCE_ENCODING").unwrap().severity, Severity::Failure);
}

#[tokio::test]
async fn standby_is_judged_without_asking_what_only_primaries_answer() {
    let mut cluster = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
    cluster.execute("postgres", "CREATE TABLE a (id int PRIMARY KEY)").await.unwrap();
    cluster.stop(StopMode::Fast).unwrap();
    std::fs::write(cluster.data_dir().join("standby.signal"), "").unwrap();
    cluster.start_server().await.unwrap();
    let config = SourceConfig::parse(&cluster.url("postgres")).unwrap();
    let session = session::connect(&config).await.unwrap();
    let request = PreflightRequest { slot: Some("none".to_owned()), ..PreflightRequest::default() };
    let found = problems(&session, &request).await;
    let version = catalog::identity(&session).await.unwrap().server_version_num;
    let (code, severity) = match version < 160_000 {
        true => ("SOURCE_IS_STANDBY", Severity::Failure),
        false => ("STANDBY_FEEDBACK_OFF", Severity::Warning),
    };
    assert_eq!(with_code(&found, code).unwrap().severity, severity);
    if version >= 160_000 {
        let needed = with_code(&found, "STANDBY_NEEDS_PUBLICATION").unwrap();
        assert!(needed.fix_sql.first().is_some_and(|sql| sql.contains("CREATE PUBLICATION")), "{needed:?}");
    }
    assert!(with_code(&found, "SLOT_MISSING").is_some(), "the other checks were made: {found:#?}");
}

/// A role that may replicate and owns nothing: what its findings say is enough to make a whole pipeline.
#[tokio::test]
async fn role_without_rights_is_told_what_to_grant() {
    let setup = "CREATE ROLE owner; CREATE ROLE plain LOGIN; CREATE SCHEMA \"Shop\" AUTHORIZATION owner; \
         CREATE TABLE \"Shop\".orders (id int PRIMARY KEY, v text); ALTER TABLE \"Shop\".orders OWNER TO owner; \
         CREATE TABLE \"Shop\".hidden (id int PRIMARY KEY); ALTER TABLE \"Shop\".hidden OWNER TO owner; \
         ALTER TABLE \"Shop\".hidden ENABLE ROW LEVEL SECURITY; \
         INSERT INTO \"Shop\".orders VALUES (1, 'one')";
    let source = Source::private("rights", PostgresOptions::default(), setup).await;
    let config = source.config_of("plain");
    let plain = session::connect(&config).await.unwrap();
    let mut request = source.request(&["Shop.*"]).await;
    let found = problems(&plain, &request).await;
    for code in [
        "PERMISSION_REPLICATION",
        "PERMISSION_PUBLICATION",
        "PERMISSION_SCHEMA",
        "PERMISSION_SELECT",
        "ROW_SECURITY",
    ] {
        let finding = with_code(&found, code).unwrap_or_else(|| panic!("{code} is not in {found:#?}"));
        assert_eq!(finding.severity, Severity::Failure, "{finding:#?}");
    }
    let refused = preflight::check_replication(&config).await;
    assert_eq!((refused.severity, refused.code.as_str()), (Severity::Failure, "PERMISSION_REPLICATION"));
    for finding in found.iter().filter(|finding| finding.severity == Severity::Failure) {
        source.mend(finding).await;
    }
    let hint = &with_code(&found, "PERMISSION_PUBLICATION").unwrap().hint;
    assert!(hint.contains("--publication rights_publication"), "{hint}");
    request.publication = Some(request.publication_to_create.clone());
    let plain = session::connect(&config).await.unwrap();
    let left = problems(&plain, &request).await;
    assert!(left.iter().all(|finding| finding.severity == Severity::Warning), "{left:#?}");
    assert_eq!(preflight::check_replication(&config).await.severity, Severity::Ok);

    // What was granted is enough.
    assert_eq!(catalog::identity(&plain).await.unwrap().user, "plain");
    heartbeat::emit(&plain).await.unwrap();
    let snapshot = ExportedSnapshot::create(&config, "rights_slot", false).await.unwrap();
    let table = request.tables.iter().find(|table| table.name.name == "orders").unwrap();
    let copied = CopyRequest { snapshot: Some(snapshot.name()), ..CopyRequest::new(table, &[0, 1]) };
    assert_eq!(drain(&mut copy(&config, copied).await.unwrap()).await.len(), 1);
    let position = snapshot.lsn();
    snapshot.close().await;
    source.run("INSERT INTO \"Shop\".orders VALUES (2, 'two')").await;
    let replication = Replication::connect(&config).await.unwrap();
    let publication = request.publication_to_create.as_str();
    let mut stream = replication.start("rights_slot", position, &[publication]).await.unwrap();
    assert_eq!(next_transaction(&mut stream).await.changes.len(), 1);
    stream.close().await.unwrap();
}

#[tokio::test]
async fn owner_needs_create_on_the_database_and_managed_roles_count() {
    let setup = "CREATE ROLE owner LOGIN; CREATE SCHEMA s AUTHORIZATION owner; \
         CREATE TABLE s.a (id int PRIMARY KEY); ALTER TABLE s.a OWNER TO owner; CREATE ROLE rds_replication";
    let source = Source::private("owners", PostgresOptions::default(), setup).await;
    let owner = session::connect(&source.config_of("owner")).await.unwrap();
    let request = source.request(&["s.a"]).await;
    let found = problems(&owner, &request).await;
    let create = with_code(&found, "PERMISSION_PUBLICATION").unwrap();
    assert_eq!(create.fix_sql, ["GRANT CREATE ON DATABASE \"owners\" TO \"owner\""]);
    let replicate = with_code(&found, "PERMISSION_REPLICATION").unwrap();
    assert_eq!(replicate.fix_sql, ["GRANT \"rds_replication\" TO \"owner\""]);
    source.mend(create).await;
    source.mend(replicate).await;
    let found = problems(&owner, &request).await;
    assert!(found.iter().all(|finding| finding.severity == Severity::Warning), "{found:#?}");
}

#[tokio::test]
async fn what_speaks_the_protocol_in_between_is_noticed() {
    let source = Source::shared("pooled", "CREATE TABLE a (id int PRIMARY KEY)").await;
    let pooler = listen(source.cluster.port(), Arc::new(rename_process)).await;
    let url = format!("postgres://postgres@127.0.0.1:{pooler}/pooled?sslmode=disable");
    let through = session::connect(&SourceConfig::parse(&url).unwrap()).await.unwrap();
    let request = source.request(&["a"]).await;
    let found = problems(&through, &request).await;
    assert_eq!(with_code(&found, "POOLER").unwrap().severity, Severity::Warning);
    assert!(with_code(&problems(&source.session, &request).await, "POOLER").is_none());
}

/// PgBouncer knows few start-up parameters and refuses the others.
#[tokio::test]
async fn pooler_that_refuses_our_settings_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pooler = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let length = client.read_u32().await.unwrap();
        client.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
        let fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: IntervalStyle\0\0";
        client.write_u8(b'E').await.unwrap();
        client.write_u32(u32::try_from(fields.len()).unwrap() + 4).await.unwrap();
        client.write_all(fields).await.unwrap();
    });
    let url = format!("postgres://someone@127.0.0.1:{port}/app?sslmode=disable");
    let error = session::connect(&SourceConfig::parse(&url).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "REPLICATION_CONNECTION_REFUSED");
    assert!(error.hint().contains("pooler"), "{}", error.hint());
    pooler.await.unwrap();
}

/// Changes what the server sends.
type Rewrite = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// A proxy in front of a server's port; returns its own port.
async fn listen(server: u16, rewrite: Rewrite) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let rewrite = Arc::clone(&rewrite);
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 65536];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    rewrite(&mut buffer[..length]);
                    if to_client.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// Announces another process, as poolers do: BackendKeyData is `K`, length 12, process, secret.
fn rename_process(bytes: &mut [u8]) {
    let at = bytes.windows(5).position(|window| window == b"K\0\0\0\x0c");
    if let Some(process) = at.and_then(|at| bytes.get_mut(at + 5..at + 9)) {
        process.copy_from_slice(&1_i32.to_be_bytes());
    }
}
