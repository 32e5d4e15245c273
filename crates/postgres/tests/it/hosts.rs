//! Several hosts: a primary, a real standby of it, and a failover.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use segcdc_model::{Disposition, Fault};
use segcdc_postgres::{Replication, SourceConfig, SourceError, session};
use segcdc_testkit::{PostgresCluster, PostgresOptions, StopMode, free_port, scratch};
use tempfile::TempDir;

use crate::fixture::{PATIENCE, ask};

/// A primary and a standby that follows it. The second is dropped first, because its files lie in the temporary folder.
async fn pair() -> (PostgresCluster, PostgresCluster, TempDir) {
    let mut primary = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
    // A copy of a server that is down is a base backup.
    primary.stop(StopMode::Fast).unwrap();
    let folder = scratch::temp_dir("segcdc-standby-").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let data = folder.path().join("data");
    let copied = Command::new("cp").arg("-a").arg(primary.data_dir()).arg(&data).status().unwrap();
    assert!(copied.success());
    std::fs::remove_file(data.join("postmaster.pid")).ok();
    std::fs::write(data.join("standby.signal"), "").unwrap();
    primary.start_server().await.unwrap();
    let upstream = format!("host=127.0.0.1 port={} user=postgres", primary.port());
    let options = PostgresOptions { data_dir: Some(data), ..PostgresOptions::default() };
    let standby = PostgresCluster::start(options.setting("primary_conninfo", &upstream)).await.unwrap();
    (primary, standby, folder)
}

/// The port of the server that a session comes to, by an ordinary session and by one that replicates.
async fn reached(ports: &[u16], parameters: &str) -> Result<u16, SourceError> {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable&{parameters}", hosts.join(","));
    let config = SourceConfig::parse(&url).unwrap();
    let session = session::connect(&config).await?;
    Replication::connect(&config).await?.close().await;
    Ok(ask(&session, "SELECT current_setting('port')").await.parse().unwrap())
}

#[tokio::test]
async fn sessions_come_to_the_server_that_is_what_it_has_to_be() {
    let (mut primary, standby, _folder) = pair().await;
    let (first, second, nobody) = (primary.port(), standby.port(), free_port().unwrap());
    let check = async |ports: &[u16], parameters: &str, expected: u16| {
        assert_eq!(reached(ports, parameters).await.unwrap(), expected, "{ports:?} {parameters}");
    };
    for order in [[first, second], [second, first]] {
        check(&order, "", first).await;
        check(&order, "target_session_attrs=read-write", first).await;
        check(&order, "target_session_attrs=primary&load_balance_hosts=random", first).await;
        check(&order, "target_session_attrs=standby", second).await;
        check(&order, "target_session_attrs=read-only", second).await;
        check(&order, "target_session_attrs=prefer-standby", second).await;
        check(&order, "target_session_attrs=any", order[0]).await;
    }
    check(&[nobody, first], "", first).await;
    check(&[first], "target_session_attrs=prefer-standby", first).await;

    let error = reached(&[second], "target_session_attrs=primary").await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("SOURCE_ROLE", Disposition::Retry), "{error}");
    let error = reached(&[nobody, second], "").await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("SOURCE_NO_HOST", Disposition::Retry));
    let text = error.to_string();
    assert!(text.contains(&nobody.to_string()) && text.contains("is a standby"), "{text}");

    // A failover: the same URL leads to the new primary.
    primary.stop(StopMode::Immediate).unwrap();
    standby.execute("postgres", "SELECT pg_promote(true, 60)").await.unwrap();
    let promoted = async || reached(&[first, second], "").await.ok();
    let found = segcdc_testkit::until("the standby is the primary", PATIENCE, promoted).await.unwrap();
    assert_eq!(found, second);
}
