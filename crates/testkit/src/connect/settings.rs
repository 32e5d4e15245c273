//! The files that broker and worker read: as in production where it matters, impatient where tests would wait.

use std::path::Path;

/// The cluster's id: 16 bytes in base64, any will do.
pub(super) const CLUSTER_ID: &str = "c2VnY2RjLXRlc3RraXQtMQ";

/// Name of the file with the key and the certificate of the broker's listener with TLS.
pub(super) const BROKER_PEM: &str = "broker.pem";

/// Ports on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    /// Of the broker.
    pub(super) broker: u16,
    /// Of the broker's other half, the controller.
    pub(super) controller: u16,
    /// Of the worker's REST interface.
    pub(super) rest: u16,
    /// Of the broker's listener with SASL.
    pub(super) sasl: u16,
    /// Of the broker's listener with TLS.
    pub(super) tls: u16,
}

/// `server.properties` of a broker that is its own controller.
pub(super) fn broker_properties(addresses: &Addresses, data_dir: &Path) -> String {
    let Addresses { broker, controller, sasl, tls, .. } = addresses;
    let pem = data_dir.with_file_name(BROKER_PEM);
    let (data_dir, pem) = (data_dir.display(), pem.display());
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app=\"app\";
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={pem}
controller.listener.names=CONTROLLER
log.dirs={data_dir}
num.network.threads=2
num.io.threads=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# So that a topic that was made by accident is told from one that was meant.
num.partitions=3
log.cleaner.dedupe.buffer.size=8388608
"
    )
}

/// `worker.properties` of a distributed worker.
pub(super) fn worker_properties(addresses: &Addresses, plugin_path: &Path, secrets: &Path) -> String {
    let Addresses { broker, rest, .. } = addresses;
    let (plugin_path, secrets) = (plugin_path.display(), secrets.display());
    format!(
        "bootstrap.servers=127.0.0.1:{broker}
group.id=connect
listeners=http://127.0.0.1:{rest}
rest.advertised.host.name=127.0.0.1
rest.advertised.port={rest}
plugin.path={plugin_path}
plugin.discovery=service_load
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
config.storage.topic=connect-configs
config.storage.replication.factor=1
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=connect-status
status.storage.replication.factor=1
status.storage.partitions=1
connector.client.config.override.policy=All
exactly.once.source.support=enabled
topic.creation.enable=true
config.providers=file,directory,env
config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider
config.providers.file.param.allowed.paths={secrets}
config.providers.directory.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
offset.flush.interval.ms=1000
session.timeout.ms=6000
heartbeat.interval.ms=1000
scheduled.rebalance.max.delay.ms=0
"
    )
}

/// `log4j2.properties` of both: standard output.
pub(super) fn logging_properties() -> &'static str {
    "status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=${sys:segcdc.log.level:-info}
rootLogger.appenderRef.out.ref=out
logger.configs.name=org.apache.kafka.common.config.AbstractConfig
logger.configs.level=warn
"
}
