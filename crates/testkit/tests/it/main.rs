//! The test servers themselves.

mod connect;
mod proxy;

use segcdc_testkit::{PostgresCluster, PostgresOptions, StopMode};

#[tokio::test]
async fn cluster_keeps_its_data_over_a_crash() -> anyhow::Result<()> {
    let mut cluster = PostgresCluster::start(PostgresOptions { fsync: true, ..Default::default() }).await?;
    cluster.execute("postgres", "CREATE TABLE t AS SELECT 7 AS v").await?;
    cluster.restart(StopMode::Immediate).await?;
    assert_eq!(cluster.psql("postgres", "SELECT v FROM t")?.trim(), "7");
    assert_eq!(cluster.psql("postgres", "SHOW wal_level")?.trim(), "logical");
    Ok(())
}

#[tokio::test]
async fn server_that_cannot_start_shows_its_log() {
    let options = PostgresOptions::default().setting("no_such_setting", "1");
    let error = PostgresCluster::start(options).await.unwrap_err();
    assert!(format!("{error:#}").contains("no_such_setting"), "{error:#}");
}
