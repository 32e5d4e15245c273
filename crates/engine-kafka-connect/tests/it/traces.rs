//! Real traces: each fault is made with real servers, and what the worker says about its failed task has the cause that the
//! table gives it.
//!
//! With `SEGCDC_CAPTURE` set to a directory, the heads of the traces are written there: those in `tests/traces` come
//! from here, and are looked up by every run of the unit tests.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use segcdc_engine_kafka_connect::property::Properties;
use segcdc_engine_kafka_connect::rest::ConnectorWord;
use segcdc_engine_kafka_connect::trace::cause;
use segcdc_testkit::{StopMode, connect};

use crate::rig::{NAME, Rig, SOURCE_CANARY, becomes};

const SOURCE: &str = "segcdc_shop_source";
const SINK: &str = "segcdc_shop_sink_dbo";

/// Lines of a trace that name exceptions; the frames between them are left out.
fn head(trace: &str) -> String {
    let lines = trace.lines().enumerate().filter(|(number, line)| *number == 0 || !line.starts_with('\t'));
    lines.map(|(_, line)| line).collect::<Vec<_>>().join("\n") + "\n"
}

/// The trace of a connector or a task of it that has failed.
async fn trace(rig: &Rig, connector: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = rig.rest.status(connector).await.unwrap() {
            let failed = status.tasks.into_iter().find(|task| task.state == ConnectorWord::Failed);
            if let Some(trace) = failed.and_then(|task| task.trace).or(status.connector.trace) {
                return trace;
            }
        }
        if Instant::now() > end {
            return String::new();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Everything that was seen.
struct Seen {
    wrong: Vec<String>,
}

// === impl Seen ===

impl Seen {
    /// Starts a connector again and looks at what becomes of it.
    async fn restarted(&mut self, rig: &Rig, connector: &str, name: &str, code: &str) {
        rig.rest.restart(connector).await.unwrap();
        self.fails(rig, connector, name, code).await;
    }

    /// Waits for a failure, and looks its cause up.
    async fn fails(&mut self, rig: &Rig, connector: &str, name: &str, code: &str) {
        let trace = trace(rig, connector).await;
        let found = cause(&trace);
        println!("{name}: {} {}", found.code, found.detail);
        if let Some(dir) = std::env::var_os("SEGCDC_CAPTURE") {
            std::fs::write(
                PathBuf::from(dir).join(format!("{name}.txt")),
                format!("{code}\n{}", head(&trace)),
            )
            .unwrap();
        }
        if found.code != code {
            self.wrong.push(format!("{name}: {} instead of {code}: {}", found.code, head(&trace)));
        }
    }
}

async fn runs(rig: &Rig, connector: &str) {
    rig.rest.restart(connector).await.unwrap();
    becomes("the connector and its task run", || async {
        let status = rig.rest.status(connector).await.unwrap();
        status.is_some_and(|status| {
            status.connector.state == ConnectorWord::Running
                && status.tasks.first().is_some_and(|task| task.state == ConnectorWord::Running)
        })
    })
    .await;
}

async fn set(rig: &Rig, connector: &str, change: impl Fn(&mut Properties)) {
    let mut properties = rig.rest.config(connector).await.unwrap().unwrap();
    change(&mut properties);
    rig.rest.put_config(connector, &properties).await.unwrap();
}

#[tokio::test]
#[ignore = "minutes: run once for new versions of the plugins, with SEGCDC_CAPTURE"]
async fn real_traces_have_their_cause() {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return;
    }
    let mut rig =
        Rig::start("CREATE TABLE item (id int PRIMARY KEY, v text); INSERT INTO item VALUES (1, 'a')").await;
    let rules = rig.postgres.data_dir().join("pg_hba.conf");
    let known = std::fs::read_to_string(&rules).unwrap();
    let with = |line: &str| {
        format!("{line}\nhost all cdc all scram-sha-256\nhost replication cdc all scram-sha-256\n{known}")
    };
    std::fs::write(&rules, with("")).unwrap();
    rig.sql("SELECT pg_reload_conf()").await;
    rig.deploy().await;
    rig.equal("public.item").await;
    let mut seen = Seen { wrong: Vec::new() };
    sink(&rig, &mut seen).await;
    source(&mut rig, &mut seen, &rules, &with).await;
    assert!(seen.wrong.is_empty(), "{}", seen.wrong.join("\n"));
}

async fn sink(rig: &Rig, seen: &mut Seen) {
    let target = async |sql: &str| {
        let mut target = session(rig).await;
        target.batch(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    let next = async || rig.sql("INSERT INTO item SELECT max(id) + 1, repeat('x', 40) FROM item").await;
    for (name, code, breaks, mends) in [
        (
            "target_table_missing",
            "TARGET_TABLE_MISSING",
            "EXEC sp_rename N'dbo.item', N'other'",
            "EXEC sp_rename N'dbo.other', N'item'",
        ),
        (
            "target_column_missing",
            "TARGET_COLUMN_MISSING",
            "ALTER TABLE [dbo].[item] DROP COLUMN [v]",
            "ALTER TABLE [dbo].[item] ADD [v] nvarchar(max)",
        ),
        (
            "target_value_too_long",
            "VALUE_TOO_LONG",
            "ALTER TABLE [dbo].[item] DROP COLUMN [v]; ALTER TABLE [dbo].[item] ADD [v] nvarchar(5)",
            "ALTER TABLE [dbo].[item] DROP COLUMN [v]; ALTER TABLE [dbo].[item] ADD [v] nvarchar(max)",
        ),
    ] {
        target(breaks).await;
        next().await;
        seen.restarted(rig, SINK, name, code).await;
        target(mends).await;
        runs(rig, SINK).await;
    }
    let url = rig.rest.config(SINK).await.unwrap().unwrap().get("connection.url").unwrap().clone();
    for (name, code, from, to) in [
        (
            "target_tls_not_trusted",
            "TARGET_CONNECT_FAILED",
            "trustServerCertificate=true",
            "trustServerCertificate=false",
        ),
        ("target_host_unknown", "TARGET_CONNECT_FAILED", "//127.0.0.1", "//no-such-host.invalid"),
        ("target_refused", "TARGET_CONNECT_FAILED", "//127.0.0.1:", "//127.0.0.2:"),
    ] {
        set(rig, SINK, |properties| {
            properties.insert("connection.url".to_owned(), url.replace(from, to));
        })
        .await;
        seen.fails(rig, SINK, name, code).await;
        set(rig, SINK, |properties| {
            properties.insert("connection.url".to_owned(), url.clone());
        })
        .await;
        runs(rig, SINK).await;
    }
    set(rig, SINK, |properties| {
        properties.insert("connection.username".to_owned(), "nobody".to_owned());
    })
    .await;
    seen.fails(rig, SINK, "target_login_failed", "TARGET_CONNECT_FAILED").await;
    Box::pin(rig.deploy()).await;
    runs(rig, SINK).await;
}

async fn source(rig: &mut Rig, seen: &mut Seen, rules: &std::path::Path, with: &dyn Fn(&str) -> String) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cdc'";
    for (name, code, breaks, mends) in [
        (
            "source_wrong_password",
            "AUTH_FAILED",
            "ALTER ROLE cdc PASSWORD 'other'".to_owned(),
            format!("ALTER ROLE cdc PASSWORD '{SOURCE_CANARY}'"),
        ),
        (
            "source_no_replication",
            "PERMISSION_REPLICATION",
            "ALTER ROLE cdc NOSUPERUSER NOREPLICATION".to_owned(),
            "ALTER ROLE cdc SUPERUSER".to_owned(),
        ),
        (
            "source_no_login",
            "AUTH_FAILED",
            "ALTER ROLE cdc NOLOGIN".to_owned(),
            "ALTER ROLE cdc LOGIN".to_owned(),
        ),
        (
            "source_connection_limit",
            "SOURCE_TOO_MANY_CONNECTIONS",
            "ALTER ROLE cdc NOSUPERUSER REPLICATION CONNECTION LIMIT 0".to_owned(),
            "ALTER ROLE cdc SUPERUSER CONNECTION LIMIT -1".to_owned(),
        ),
        (
            "source_database_closed",
            "SOURCE_DATABASE",
            format!("ALTER DATABASE {NAME} ALLOW_CONNECTIONS false"),
            format!("ALTER DATABASE {NAME} ALLOW_CONNECTIONS true"),
        ),
    ] {
        rig.postgres.execute("postgres", &breaks).await.unwrap();
        rig.postgres.execute("postgres", end).await.unwrap();
        seen.restarted(rig, SOURCE, name, code).await;
        rig.postgres.execute("postgres", &mends).await.unwrap();
        runs(rig, SOURCE).await;
    }
    std::fs::write(rules, with("host all cdc all reject")).unwrap();
    rig.postgres.execute("postgres", "SELECT pg_reload_conf()").await.unwrap();
    rig.postgres.execute("postgres", end).await.unwrap();
    seen.restarted(rig, SOURCE, "source_hba_rejects", "AUTH_NOT_ALLOWED").await;
    std::fs::write(rules, with("")).unwrap();
    rig.postgres.execute("postgres", "SELECT pg_reload_conf()").await.unwrap();
    rig.rest.stop(SOURCE).await.unwrap();
    rig.postgres.stop(StopMode::Fast).unwrap();
    rig.rest.resume(SOURCE).await.unwrap();
    seen.restarted(rig, SOURCE, "source_down", "SOURCE_UNREACHABLE").await;
    rig.postgres.set("max_wal_senders", "0");
    rig.postgres.start_server().await.unwrap();
    seen.restarted(rig, SOURCE, "source_no_walsender", "SOURCE_NO_WALSENDER").await;
    rig.postgres.set("max_wal_senders", "10");
    rig.postgres.restart(StopMode::Fast).await.unwrap();
    runs(rig, SOURCE).await;
    the_end(rig, seen).await;
}

/// What cannot be mended.
async fn the_end(rig: &mut Rig, seen: &mut Seen) {
    let sql = async |sql: &str| {
        rig.postgres.execute(NAME, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    };
    rig.rest.stop(SOURCE).await.unwrap();
    let slot = rig.text("SELECT slot_name::text FROM pg_replication_slots").await;
    sql("DROP PUBLICATION segcdc_shop").await;
    rig.rest.resume(SOURCE).await.unwrap();
    seen.restarted(rig, SOURCE, "source_publication_gone", "PUBLICATION_MISSING").await;
    sql("CREATE PUBLICATION segcdc_shop FOR TABLE item, segcdc.segcdc_shop_heartbeat").await;
    rig.rest.stop(SOURCE).await.unwrap();
    becomes("the slot is free", || async {
        rig.text("SELECT count(*)::text FROM pg_replication_slots WHERE active").await == "0"
    })
    .await;
    sql(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    rig.rest.resume(SOURCE).await.unwrap();
    seen.restarted(rig, SOURCE, "source_slot_gone", "SLOT_LOST").await;
    rig.rest.stop(SOURCE).await.unwrap();
    sql("INSERT INTO item SELECT max(id) + 1, 'lost' FROM item").await;
    sql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    rig.rest.resume(SOURCE).await.unwrap();
    seen.restarted(rig, SOURCE, "source_slot_made_anew", "SLOT_LOST").await;
    rig.rest.stop(SOURCE).await.unwrap();
    becomes("the slot is free", || async {
        rig.text("SELECT count(*)::text FROM pg_replication_slots WHERE active").await == "0"
    })
    .await;
    sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots").await;
    rig.postgres.set("wal_level", "replica");
    rig.postgres.restart(StopMode::Fast).await.unwrap();
    rig.rest.resume(SOURCE).await.unwrap();
    seen.restarted(rig, SOURCE, "source_wal_level", "SLOT_LOST").await;
}

/// A session with the target.
async fn session(rig: &Rig) -> segcdc_tds::Connection {
    segcdc_tds::Connection::connect(&rig.config.engine.target.to_tds()).await.unwrap()
}
