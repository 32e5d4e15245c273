//! The files that broker and worker read: as in production where it matters, impatient where tests would wait.

use std::path::Path;

/// The cluster's id: 16 bytes in base64, any will do.
pub(super) const CLUSTER_ID: &str = "c2VnY2RjLXRlc3RraXQtMQ";

/// Name of the file with the key and the certificate of the broker's listeners with TLS.
pub(super) const BROKER_PEM: &str = "broker.pem";

/// Name of the file with the certificate alone.
pub(super) const BROKER_CERTIFICATE: &str = "broker.crt";

/// Names of the files with the certificate that the broker trusts, and its key.
pub(super) const CLIENT: [&str; 2] = ["client.crt", "client.key"];

/// User and password of the listeners with SASL.
pub(super) const USER: [&str; 2] = ["app", "app-password"];

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
    /// Of the broker's listener with TLS that wants a certificate.
    pub(super) tls: u16,
    /// Of the broker's listener with both.
    pub(super) sasl_tls: u16,
}

/// `server.properties` of a broker that is its own controller.
pub(super) fn broker_properties(addresses: &Addresses, data_dir: &Path) -> String {
    let Addresses { broker, controller, sasl, tls, sasl_tls, .. } = addresses;
    let file = |name| data_dir.with_file_name(name).display().to_string();
    let (pem, client) = (file(BROKER_PEM), file(CLIENT[0]));
    let (data_dir, [user, password]) = (data_dir.display(), USER);
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";"
    );
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls},SASLTLS://127.0.0.1:{sasl_tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls},SASLTLS://127.0.0.1:{sasl_tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,SASLTLS:SASL_SSL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config={plain}
listener.name.sasl.scram-sha-256.sasl.jaas.config={scram}
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={pem}
listener.name.tls.ssl.client.auth=required
listener.name.tls.ssl.truststore.type=PEM
listener.name.tls.ssl.truststore.location={client}
listener.name.sasltls.ssl.keystore.type=PEM
listener.name.sasltls.ssl.keystore.location={pem}
listener.name.sasltls.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasltls.plain.sasl.jaas.config={plain}
listener.name.sasltls.scram-sha-256.sasl.jaas.config={scram}
listener.name.sasltls.scram-sha-512.sasl.jaas.config={scram}
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
