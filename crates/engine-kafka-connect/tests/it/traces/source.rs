//! Faults of the source, from those that pass to those that a pipeline does not survive.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::{Child, Command, Stdio};

use segcdc_engine_kafka_connect::status;
use segcdc_engine_kafka_connect::status::trouble;
use segcdc_testkit::StopMode;
use segcdc_testkit::proxy::Proxy;

use super::{NAME, Rig, SOURCE, SOURCE_CANARY, Seen, becomes, runs, set, stopped};
use crate::doors::{PASSWORD, Rules, reload};

/// Ends what the pipeline's role has open.
const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cdc'";

/// Makes all of them, one after another.
pub(super) async fn faults(rig: &mut Rig, seen: &mut Seen, rules: &Rules) {
    roles(rig, seen).await;
    doors(rig, seen, rules).await;
    tls(rig, seen).await;
    passwords_file(rig, seen).await;
    slot_is_busy(rig, seen).await;
    while_it_runs(rig, seen).await;
    server(rig, seen).await;
    dropped_table_is_no_fault(rig, seen).await;
    publication(rig, seen).await;
    copy(rig, seen).await;
    slot_is_gone(rig, seen).await;
    slot_is_invalid(rig).await;
}

/// Runs a statement as the superuser.
async fn sql(rig: &Rig, database: &str, sql: &str) {
    rig.postgres.execute(database, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// Changes a setting of the running server.
async fn setting(rig: &Rig, name: &str, value: &str) {
    sql(rig, "postgres", &format!("ALTER SYSTEM SET {name} = {value}")).await;
    reload(rig).await;
}

async fn slot_is_free(rig: &Rig) {
    becomes("nobody reads the slot", || async {
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE active";
        rig.postgres.psql("postgres", sql).unwrap().trim() == "0"
    })
    .await;
}

/// What the role may not do any more.
async fn roles(rig: &Rig, seen: &mut Seen) {
    let password = format!("ALTER ROLE cdc PASSWORD '{SOURCE_CANARY}'");
    for (name, code, breaks, mends) in [
        ("source_wrong_password", "AUTH_FAILED", "ALTER ROLE cdc PASSWORD 'other'", password.as_str()),
        ("source_no_login", "AUTH_NOT_ALLOWED", "ALTER ROLE cdc NOLOGIN", "ALTER ROLE cdc LOGIN"),
        (
            "source_connection_limit",
            "SOURCE_TOO_MANY_CONNECTIONS",
            "ALTER ROLE cdc NOSUPERUSER REPLICATION CONNECTION LIMIT 0",
            "ALTER ROLE cdc SUPERUSER CONNECTION LIMIT -1",
        ),
        (
            "source_database_closed",
            "SOURCE_DATABASE",
            "ALTER DATABASE shop ALLOW_CONNECTIONS false",
            "ALTER DATABASE shop ALLOW_CONNECTIONS true",
        ),
    ] {
        let breaks = async || sql(rig, "postgres", breaks).await;
        seen.tries_again(rig, breaks, name, code).await;
        sql(rig, "postgres", mends).await;
    }
    let breaks = async || sql(rig, "postgres", "ALTER ROLE cdc NOSUPERUSER NOREPLICATION").await;
    seen.at_start(rig, SOURCE, breaks, "source_no_replication", "PERMISSION_REPLICATION").await;
    sql(rig, "postgres", "ALTER ROLE cdc SUPERUSER REPLICATION").await;
}

/// Whom the server lets in.
async fn doors(rig: &Rig, seen: &mut Seen, rules: &Rules) {
    let breaks = async || rules.set(rig, "host all cdc all reject").await;
    seen.tries_again(rig, breaks, "source_hba_rejects", "AUTH_NOT_ALLOWED").await;
    let breaks = async || rules.replace(rig, "host all postgres all trust").await;
    seen.tries_again(rig, breaks, "source_hba_missing", "AUTH_NOT_ALLOWED").await;
    rules.set(rig, PASSWORD).await;
    runs(rig, SOURCE).await;
}

/// A server without TLS, and one whose certificate is not trusted.
async fn tls(rig: &Rig, seen: &mut Seen) {
    let certificate = |name: &str| {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rig.postgres.data_dir().join(format!("{name}.key"));
        let file = rig.postgres.data_dir().join(format!("{name}.crt"));
        std::fs::write(&file, certified.cert.pem()).unwrap();
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        let owner = std::fs::metadata(rig.postgres.data_dir().join("PG_VERSION")).unwrap();
        chown(&key, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        file.display().to_string()
    };
    let (known, unknown) = (certificate("known"), certificate("unknown"));
    let serve = async |name: &str| {
        setting(rig, "ssl_cert_file", &format!("'{name}.crt'")).await;
        setting(rig, "ssl_key_file", &format!("'{name}.key'")).await;
        setting(rig, "ssl", "on").await;
    };
    serve("known").await;
    let plain = rig.rest.config(SOURCE).await.unwrap().unwrap();
    let trusting = |mode: &str, root: &str| {
        let mut properties = plain.clone();
        properties.insert("database.sslmode".to_owned(), mode.to_owned());
        properties.insert("database.sslrootcert".to_owned(), root.to_owned());
        properties
    };
    rig.rest.put_config(SOURCE, &trusting("verify-full", &known)).await.unwrap();
    runs(rig, SOURCE).await;
    println!("with a certificate that is trusted it runs");
    let breaks = async || serve("unknown").await;
    seen.tries_again(rig, breaks, "source_certificate_unknown", "SOURCE_TLS").await;
    rig.rest.put_config(SOURCE, &trusting("require", &unknown)).await.unwrap();
    let breaks = async || setting(rig, "ssl", "off").await;
    seen.tries_again(rig, breaks, "source_without_tls", "SOURCE_TLS").await;
    set(rig, SOURCE, |properties| properties.clone_from(&plain)).await;
    runs(rig, SOURCE).await;
}

/// What the worker reads is gone: it makes no task, and says so of none.
async fn passwords_file(rig: &Rig, seen: &mut Seen) {
    let file = rig.cluster.secrets_dir().join("shop.properties");
    let aside = file.with_extension("aside");
    stopped(rig, SOURCE).await;
    std::fs::rename(&file, &aside).unwrap();
    rig.rest.resume(SOURCE).await.unwrap();
    becomes("the worker says what it misses", || async {
        let cause = trouble(&rig.rest, SOURCE).await;
        cause.is_some_and(|cause| cause.code == "CONNECT_SECRETS_PROVIDER")
    })
    .await;
    let status = rig.rest.status(SOURCE).await.unwrap().unwrap();
    println!("{:?} a file that is gone: {status:?}", seen.started.elapsed());
    std::fs::rename(&aside, &file).unwrap();
    runs(rig, SOURCE).await;
}

/// A program that reads the slot.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn slot_is_busy(rig: &Rig, seen: &mut Seen) {
    stopped(rig, SOURCE).await;
    slot_is_free(rig).await;
    let slot = slot(rig);
    let reader = Command::new(rig.postgres.client_program("pg_recvlogical"))
        .args(["--start", "-f", "/dev/null", "-o", "proto_version=1", "-o", "publication_names=segcdc_shop"])
        .args(["-h", "127.0.0.1", "-U", "postgres", "-d", NAME, "-S", &slot])
        .args(["-p", &rig.postgres.port().to_string()])
        .stderr(Stdio::null())
        .spawn();
    let reader = Reader(reader.unwrap());
    becomes("the slot is read", || async {
        rig.postgres.psql("postgres", "SELECT active FROM pg_replication_slots").unwrap().trim() == "t"
    })
    .await;
    seen.at_start(rig, SOURCE, async || (), "source_slot_busy", "SLOT_IN_USE").await;
    drop(reader);
    slot_is_free(rig).await;
    runs(rig, SOURCE).await;
}

fn slot(rig: &Rig) -> String {
    rig.postgres.psql("postgres", "SELECT slot_name FROM pg_replication_slots").unwrap().trim().to_owned()
}

/// Waits until the source connector has sent a change that was made now, and the slot knows.
async fn streams(rig: &Rig) {
    sql(rig, NAME, "INSERT INTO item SELECT max(id) + 1, 'streams' FROM item").await;
    let wanted = rig.postgres.psql("postgres", "SELECT pg_current_wal_lsn()").unwrap();
    let sql = format!(
        "SELECT count(*) FROM pg_replication_slots WHERE active AND confirmed_flush_lsn >= '{}'",
        wanted.trim()
    );
    becomes("the slot is confirmed", || async { rig.postgres.psql("postgres", &sql).unwrap().trim() == "1" })
        .await;
}

/// Waits until the source connector reads its slot.
async fn reads(rig: &Rig) {
    becomes("the slot is read", || async {
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE active";
        rig.postgres.psql("postgres", sql).unwrap().trim() == "1"
    })
    .await;
}

/// What ends a stream that has begun.
async fn while_it_runs(rig: &mut Rig, seen: &mut Seen) {
    let proxy = Proxy::start(rig.postgres.port()).await.unwrap();
    let direct = rig.rest.config(SOURCE).await.unwrap().unwrap();
    set(rig, SOURCE, |properties| {
        properties.insert("database.port".to_owned(), proxy.port().to_string());
    })
    .await;
    runs(rig, SOURCE).await;
    streams(rig).await;
    proxy.reset_all();
    seen.fails(rig, SOURCE, "source_cut", "SOURCE_CONNECTION_LOST").await;
    set(rig, SOURCE, |properties| properties.clone_from(&direct)).await;
    runs(rig, SOURCE).await;
    streams(rig).await;
    // Whichever of its threads notices first: the one that reads, or the one that logs in again.
    let codes = "SOURCE_RESTARTING SOURCE_CONNECTION_LOST SOURCE_UNREACHABLE";
    sql(rig, "postgres", END).await;
    seen.fails(rig, SOURCE, "source_session_ended", codes).await;
    for (mode, name) in [(StopMode::Fast, "source_shut_down"), (StopMode::Immediate, "source_crashed")] {
        runs(rig, SOURCE).await;
        streams(rig).await;
        rig.postgres.stop(mode).unwrap();
        seen.fails(rig, SOURCE, name, codes).await;
        rig.postgres.start_server().await.unwrap();
    }
}

/// A server that is down, or has no place.
async fn server(rig: &mut Rig, seen: &mut Seen) {
    stopped(rig, SOURCE).await;
    rig.postgres.stop(StopMode::Fast).unwrap();
    seen.tries_again(rig, async || (), "source_down", "SOURCE_UNREACHABLE").await;
    rig.postgres.set("max_wal_senders", "0");
    rig.postgres.start_server().await.unwrap();
    seen.at_start(rig, SOURCE, async || (), "source_no_walsender", "SOURCE_NO_WALSENDER").await;
    rig.postgres.set("max_wal_senders", "10");
    rig.postgres.restart(StopMode::Fast).await.unwrap();
    runs(rig, SOURCE).await;
}

/// A table that is gone is nothing to Debezium: what was written before arrives, and no trace comes of it, at its next start
/// neither.
async fn dropped_table_is_no_fault(rig: &Rig, seen: &mut Seen) {
    streams(rig).await;
    sql(
        rig,
        NAME,
        "INSERT INTO other VALUES (2); DROP TABLE other; INSERT INTO item VALUES (1000, 'with it')",
    )
    .await;
    arrives(rig, "SELECT COUNT(*) FROM [dbo].[other] WHERE [id] = 2").await;
    arrives(rig, "SELECT COUNT(*) FROM [dbo].[item] WHERE [id] = 1000").await;
    runs(rig, SOURCE).await;
    sql(rig, NAME, "INSERT INTO item VALUES (1001, 'behind the next start')").await;
    arrives(rig, "SELECT COUNT(*) FROM [dbo].[item] WHERE [id] = 1001").await;
    println!("{:?} source_table_dropped: nothing", seen.started.elapsed());
}

/// Waits until the target has a row.
async fn arrives(rig: &Rig, sql: &str) {
    becomes(sql, || async {
        let answer = super::sink::session(rig).await.batch(sql).await.unwrap();
        answer.first_row().and_then(|row| row.first()?.as_int()) == Some(1)
    })
    .await;
}

/// The publication is missed when the connector starts, and when a change is read.
async fn publication(rig: &Rig, seen: &mut Seen) {
    const MADE: &str = "CREATE PUBLICATION segcdc_shop FOR TABLE item, segcdc.segcdc_shop_heartbeat";
    reads(rig).await;
    sql(rig, NAME, "DROP PUBLICATION segcdc_shop; INSERT INTO item VALUES (2000, 'of no publication')").await;
    // PostgreSQL 18 passes over what it knows no publication for, and warns in its own log.
    let version = rig.postgres.psql("postgres", "SHOW server_version_num").unwrap();
    let tells = version.trim().parse::<u32>().unwrap() < 180_000;
    if tells {
        seen.fails(rig, SOURCE, "source_publication_dropped", "PUBLICATION_MISSING").await;
    }
    let report = status(&rig.config, &rig.rest).await.unwrap();
    assert_eq!(
        report.notes.first().map(|note| note.code.as_str()),
        Some("PUBLICATION_MISSING"),
        "{report:?}"
    );
    seen.at_start(rig, SOURCE, async || (), "source_publication_gone", "PUBLICATION_MISSING").await;
    sql(rig, NAME, MADE).await;
    if tells {
        // What was written meanwhile cannot be read any more, with a new publication neither.
        let name = "source_publication_made_anew";
        seen.at_start(rig, SOURCE, async || (), name, "PUBLICATION_MISSING").await;
    }
    // Debezium 3.6.3 does not notice a slot that has let go of changes: what mends this loses them.
    stopped(rig, SOURCE).await;
    slot_is_free(rig).await;
    let advance = format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", slot(rig));
    sql(rig, NAME, &advance).await;
    runs(rig, SOURCE).await;
    streams(rig).await;
}

/// A role that may not read what is to be copied.
async fn copy(rig: &Rig, seen: &mut Seen) {
    let breaks = async || {
        rig.rest.delete_offsets(SOURCE).await.unwrap();
        sql(rig, "postgres", "ALTER ROLE cdc NOSUPERUSER REPLICATION").await;
    };
    seen.at_start(rig, SOURCE, breaks, "source_table_unreadable", "PERMISSION_SELECT").await;
    sql(rig, "postgres", "ALTER ROLE cdc SUPERUSER").await;
    runs(rig, SOURCE).await;
    reads(rig).await;
    sql(rig, NAME, "INSERT INTO item VALUES (3000, 'after another copy')").await;
    becomes("the connector has stored a position", || async {
        !rig.rest.offsets(SOURCE).await.unwrap().is_empty()
    })
    .await;
}

/// A slot that is gone is missed before anything else, whatever keeps it from being made again.
async fn slot_is_gone(rig: &mut Rig, seen: &mut Seen) {
    let slot = slot(rig);
    let drop_slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
    let breaks = async || {
        slot_is_free(rig).await;
        sql(rig, NAME, drop_slots).await;
    };
    seen.at_start(rig, SOURCE, breaks, "source_slot_gone", "SLOT_LOST").await;
    let breaks = async || {
        slot_is_free(rig).await;
        sql(rig, NAME, drop_slots).await;
        let fill = "SELECT pg_create_physical_replication_slot('full_' || i) \
                    FROM generate_series(1, current_setting('max_replication_slots')::int) i";
        sql(rig, NAME, fill).await;
    };
    seen.at_start(rig, SOURCE, breaks, "source_slots_used_up", "SLOT_LOST").await;
    stopped(rig, SOURCE).await;
    sql(rig, NAME, drop_slots).await;
    rig.postgres.set("wal_level", "replica");
    rig.postgres.restart(StopMode::Fast).await.unwrap();
    seen.at_start(rig, SOURCE, async || (), "source_wal_level", "SLOT_LOST").await;
    stopped(rig, SOURCE).await;
    rig.postgres.set("wal_level", "logical");
    rig.postgres.restart(StopMode::Fast).await.unwrap();
    let breaks = async || {
        sql(rig, NAME, "INSERT INTO item SELECT max(id) + 1, 'lost' FROM item").await;
        sql(rig, NAME, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    };
    seen.at_start(rig, SOURCE, breaks, "source_slot_made_anew", "SLOT_LOST").await;
}

/// Of a slot that was invalidated Debezium says nothing for half an hour, in which it waits for a valid one. The server says
/// it at once.
async fn slot_is_invalid(rig: &Rig) {
    const WAITS: &str = "Cannot obtain valid replication slot";
    stopped(rig, SOURCE).await;
    slot_is_free(rig).await;
    setting(rig, "max_slot_wal_keep_size", "'1MB'").await;
    for _ in 0..4 {
        sql(rig, NAME, "CREATE TABLE ballast (id int); DROP TABLE ballast; SELECT pg_switch_wal()").await;
    }
    becomes("the slot is invalid", || async {
        sql(rig, "postgres", "CHECKPOINT").await;
        rig.postgres.psql("postgres", "SELECT wal_status FROM pg_replication_slots").unwrap().trim() == "lost"
    })
    .await;
    rig.rest.resume(SOURCE).await.unwrap();
    becomes("Debezium waits", || async { rig.cluster.worker_log().contains(WAITS) }).await;
    let report = status(&rig.config, &rig.rest).await.unwrap();
    assert!(report.connectors.iter().all(|connector| connector.cause.is_none()), "{report:?}");
    assert_eq!(report.notes.first().map(|note| note.code.as_str()), Some("SLOT_LOST"), "{report:?}");
}
