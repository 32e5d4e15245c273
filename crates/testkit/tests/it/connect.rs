//! The real Kafka broker and the real worker.

use std::time::Instant;

use segcdc_testkit::connect::{self, ConnectCluster, ConnectOptions};
use serde_json::json;

#[tokio::test]
async fn worker_has_debeziums_connectors_and_keeps_them_over_crashes() -> anyhow::Result<()> {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let begun = Instant::now();
    let mut cluster = ConnectCluster::start(ConnectOptions::default()).await?;
    println!("started in {:?}, resident {:?}", begun.elapsed(), cluster.resident_bytes());
    let plugins = cluster.rest().get("/connector-plugins").await?.body;
    for class in
        ["io.debezium.connector.postgresql.PostgresConnector", "io.debezium.connector.jdbc.JdbcSinkConnector"]
    {
        assert!(plugins.contains(class), "{plugins}");
    }
    let secrets = cluster.secrets_dir().join("sink.properties");
    std::fs::write(&secrets, "password=secret\n")?;
    let connector = json!({
        "name": "kept",
        "initial_state": "STOPPED",
        "config": {
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "topics": "nothing",
            "connection.url": "jdbc:sqlserver://127.0.0.1:1;databaseName=none",
            "connection.username": "nobody",
            "connection.password": format!("${{file:{}:password}}", secrets.display()),
        },
    });
    let made = cluster.rest().post("/connectors", Some(&connector)).await?;
    assert_eq!(made.status, 201, "{}", made.body);

    assert!(cluster.topics()?.contains(&"connect-configs".to_owned()), "{:?}", cluster.topics());
    assert_eq!((cluster.consumer_groups()?, cluster.stored_offsets()?), (Vec::new(), Vec::new()));
    assert_eq!(cluster.process_ids().len(), 2);

    cluster.kill_worker()?;
    assert!(cluster.rest().get("/").await.is_err());
    cluster.kill_broker()?;
    cluster.start_broker().await?;
    cluster.start_worker().await?;
    assert_eq!(cluster.rest().get("/connectors").await?.body, r#"["kept"]"#);
    let config = cluster.rest().get("/connectors/kept/config").await?.body;
    assert!(config.contains("sink.properties:password") && !config.contains("secret\""), "{config}");
    println!("all in {:?}", begun.elapsed());
    Ok(())
}
