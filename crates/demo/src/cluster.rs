//! [`Connected`]: the two servers, and beside them a Kafka broker with a Kafka Connect worker.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use segcdc_testkit::connect::{self, ConnectCluster, ConnectOptions};
use serde_json::Value;

use crate::command::PIPELINE;
use crate::servers::Servers;

/// Plugins that a pipeline needs.
const PLUGINS: [&str; 2] =
    ["io.debezium.connector.postgresql.PostgresConnector", "io.debezium.connector.jdbc.JdbcSinkConnector"];

/// Servers and cluster. Dropping them ends all processes and removes all folders.
pub(crate) struct Connected {
    /// Source and target.
    pub(crate) servers: Servers,
    /// Broker and worker.
    pub(crate) cluster: ConnectCluster,
    /// What runs there, for people.
    pub(crate) versions: String,
}

/// Parameters of the target's URL with which a worker and segcdc can both use it.
pub(crate) const TRUST: &str = "encrypt=true&trust_server_certificate=true";

// === impl Connected ===

impl Connected {
    /// Starts everything; returns when the worker answers.
    pub(crate) async fn start(programs: Option<PathBuf>, options: ConnectOptions) -> Result<Self> {
        if let Some(reason) = connect::skipped() {
            anyhow::bail!("there is no Kafka Connect here: {reason}");
        }
        let (servers, cluster) = tokio::join!(Servers::start(programs), ConnectCluster::start(options));
        let (mut servers, cluster) = (servers?, cluster?);
        // Microsoft's driver in the worker does not know the authority that the sandbox has made up.
        let (base, _) = servers.commands.target_url.split_once('?').context("a URL with parameters")?;
        servers.commands.target_url = format!("{base}?{TRUST}");
        servers.commands.variables = variables(&cluster);
        let versions = versions(&cluster).await?;
        Ok(Connected { servers, cluster, versions })
    }

    /// What of the pipeline is in the cluster, by the worker's word and by Kafka's own commands.
    pub(crate) async fn left(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let ours = |name: &String| name.contains(&format!("segcdc_{PIPELINE}"));
        let connectors = self.cluster.rest().get("/connectors").await?.json()?;
        for name in connectors.as_array().into_iter().flatten().filter_map(Value::as_str) {
            left.push(format!("connector {name}"));
        }
        let listed = |kind: &'static str, names: Vec<String>| {
            names.into_iter().filter(ours).map(move |name| format!("{kind} {name}"))
        };
        left.extend(listed("topic", self.cluster.topics()?));
        left.extend(listed("consumer group", self.cluster.consumer_groups()?));
        left.extend(listed("progress of", self.cluster.stored_offsets()?));
        for file in std::fs::read_dir(self.cluster.secrets_dir())? {
            left.push(format!("file {}", file?.path().display()));
        }
        Ok(left)
    }
}

/// What `segcdc` is to know of the cluster.
pub(crate) fn variables(cluster: &ConnectCluster) -> Vec<(&'static str, String)> {
    let secrets = cluster.secrets_dir().join(format!("{PIPELINE}.properties"));
    vec![
        ("SEGCDC_ENGINE", "kafka-connect".to_owned()),
        // The rows go by way of Kafka too: the native load would leave nothing to see of Debezium's copy.
        ("SEGCDC_FULL_LOAD", "debezium".to_owned()),
        ("SEGCDC_CONNECT_URL", cluster.url()),
        ("SEGCDC_KAFKA_BOOTSTRAP", cluster.bootstrap()),
        ("SEGCDC_CONNECT_SECRETS", format!("file:{}", secrets.display())),
    ]
}

/// Versions of Kafka and of the connectors, and the driver's file.
pub(crate) async fn versions(cluster: &ConnectCluster) -> Result<String> {
    let worker = cluster.rest().get("/").await?.json()?;
    let kafka = worker.get("version").and_then(Value::as_str).context("a worker without a version")?;
    let plugins = cluster.rest().get("/connector-plugins").await?.json()?;
    let version = |class: &str| {
        let plugin =
            plugins.as_array()?.iter().find(|plugin| plugin.get("class").is_some_and(|c| c == class));
        plugin?.get("version")?.as_str().map(str::to_owned)
    };
    let [source, sink] = PLUGINS.map(version);
    let (source, sink) = (source.context("no Debezium source")?, sink.context("no Debezium JDBC sink")?);
    let driver = cluster.jdbc_driver()?;
    ensure!(!driver.is_empty(), "the JDBC sink has no driver for SQL Server");
    Ok(format!(
        "Apache Kafka {kafka} (KRaft), Debezium PostgreSQL source {source}, Debezium JDBC sink {sink}, {driver}"
    ))
}
