//! [`sink_connector`]: the configuration of Debezium's JDBC sink, one for each target schema.
//!
//! [`confluent_sink_connector`] is the same for Confluent's JDBC sink, which wants rows instead of Debezium's envelopes.

use std::fmt::Write;

use segcdc_sqlserver::TargetConfig;

use crate::error::ConnectError;
use crate::layout::Group;
use crate::plugin::Plugin;
use crate::property::{Builder, Connector, Role};
use crate::secrets::Secrets;
use crate::source_connector::CONVERTER;

/// What the generator needs to know.
#[derive(Debug, Clone, Copy)]
pub struct SinkRequest<'a> {
    /// The tables of one target schema.
    pub group: &'a Group,
    /// What the pipeline's names begin with.
    pub base: &'a str,
    /// Where the target is, as the worker reaches it.
    pub target: &'a TargetConfig,
    /// How the worker gets the password.
    pub secrets: &'a Secrets,
    /// The plugin.
    pub plugin: &'a Plugin,
    /// Whether connectors may change their consumer's settings.
    pub may_override_client: bool,
}

/// The sink connector of a group.
///
/// # Errors
/// `CONNECT_UNSUPPORTED` for a target whose certificate the worker cannot check as the URL says.
pub fn sink_connector(request: &SinkRequest<'_>) -> Result<Connector, ConnectError> {
    let group = request.group;
    let mut lines = Builder::new(Some(&request.plugin.options));
    lines
        .set("connector.class", request.plugin.class.as_str(), "Debezium's JDBC sink: reads Debezium's envelopes as they are")
        .set("tasks.max", "1", "the topic has one partition, so that rows keep the order of their commits")
        .set("topics", group.topic.as_str(), "by name: a pattern would find heartbeats and dead letters too")
        .set("connection.url", jdbc_url(request.target, request.base)?, "from the target's URL, without user and password")
        .set("connection.username", request.target.user.as_str(), "from the target's URL")
        .set(
            "connection.password",
            request.secrets.target_password(),
            "a placeholder: what is in a configuration can be read by everybody who may ask the worker",
        )
        .set_if_known(
            "connection.restart.on.errors",
            "true",
            "the default, false, fails at the first lost connection",
        )
        .set("connection.pool.min_size", "1", "a task writes with one connection")
        .set("connection.pool.max_size", "4", "a task writes with one connection")
        .set("hibernate.agroal.idleValidation", "PT60S", "finds connections that a firewall has cut")
        .set_if_known("flush.max.retries", "30", "a fail-over of Azure SQL takes up to a minute")
        .set_if_known("flush.retry.delay.ms", "2000", "pause between those attempts")
        .set("insert.mode", "upsert", "messages can arrive twice; a row is written by its key, so it does no harm")
        .set("primary.key.mode", "record_key", "the key of the source")
        .set("delete.enabled", "true", "the default, false, keeps deleted rows")
        .set("truncate.enabled", "true", "the source sends TRUNCATE too")
        .set("schema.evolution", "none", "tables are made by segcdc: the sink would choose varchar and float")
        .set("quote.identifiers", "true", "names may be words of T-SQL")
        .set(
            "collection.name.format",
            format!("{}.${{source.table}}", group.target_schema),
            "the table that the message names, in this schema",
        )
        .set("use.time.zone", "UTC", "instants are written at +00:00")
        .set("batch.size", "2000", "rows in a round trip")
        .set(
            "use.reduction.buffer",
            "true",
            "only the last change of a row in a batch is written; the tables have no unique index beside their key",
        );
    converters(&mut lines);
    if request.may_override_client {
        lines
            .set("consumer.override.max.poll.records", "2000", "no fewer than batch.size")
            .set(
                "consumer.override.isolation.level",
                "read_committed",
                "nothing of an aborted Kafka transaction",
            )
            .set("consumer.override.max.poll.interval.ms", "600000", "a batch may take long")
            .set(
                "consumer.override.auto.offset.reset",
                "none",
                "when Kafka has deleted what was not read yet, the default, earliest, goes on without it and without notice",
            )
            .set(
                "consumer.override.allow.auto.create.topics",
                "false",
                "a topic that a reader makes has the brokers' partitions and retention instead of the source's",
            );
    }
    lines
        .set("errors.tolerance", "none", "the default; anything else loses rows")
        .set("errors.retry.timeout", "300000", "converters are tried again for five minutes")
        .set("errors.log.enable", "true", "what failed is in the worker's log")
        .set("errors.log.include.messages", "false", "but no row");
    Ok(Connector {
        name: group.sink_connector.clone(),
        role: Role::Sink,
        class: request.plugin.class.clone(),
        properties: lines.finish(),
    })
}

/// The same for Confluent's JDBC sink, for one table: it names tables by topic, and has no TRUNCATE.
///
/// # Errors
/// As [`sink_connector`].
pub fn confluent_sink_connector(
    request: &SinkRequest<'_>,
    topic: &str,
    table: &str,
    key: &[&str],
) -> Result<Connector, ConnectError> {
    let group = request.group;
    let mut lines = Builder::new(None);
    lines
        .set("connector.class", request.plugin.class.as_str(), "Confluent's JDBC sink")
        .set("tasks.max", "1", "the topic has one partition")
        .set("topics", topic, "one table has one topic: the table is named by it")
        .set(
            "connection.url",
            jdbc_url(request.target, request.base)?,
            "from the target's URL, without user and password",
        )
        .set("connection.user", request.target.user.as_str(), "from the target's URL")
        .set("connection.password", request.secrets.target_password(), "a placeholder")
        .set("dialect.name", "SqlServerDatabaseDialect", "T-SQL")
        .set("insert.mode", "upsert", "messages can arrive twice")
        .set("pk.mode", "record_key", "the key of the source")
        .set("pk.fields", key.join(","), "its columns")
        .set("delete.enabled", "true", "a tombstone deletes its row; it has no TRUNCATE")
        .set("auto.create", "false", "tables are made by segcdc")
        .set("auto.evolve", "false", "tables are made by segcdc")
        .set("quote.sql.identifiers", "always", "names may be words of T-SQL")
        .set("table.name.format", format!("{}.{table}", group.target_schema), "the table")
        .set("db.timezone", "UTC", "instants are written at +00:00")
        .set("batch.size", "2000", "rows in a round trip")
        .set("max.retries", "60", "a deadlock or a lost connection is tried again")
        .set("retry.backoff.ms", "2000", "pause between those attempts")
        .set("transforms", "unwrap", "it wants rows, not Debezium's envelopes")
        .set("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState", "takes the row out")
        .set(
            "transforms.unwrap.delete.tombstone.handling.mode",
            "tombstone",
            "a deleted row arrives as a tombstone, which deletes it",
        );
    converters(&mut lines);
    lines.set("errors.tolerance", "none", "the default; anything else loses rows");
    Ok(Connector {
        name: group.sink_connector.clone(),
        role: Role::Sink,
        class: request.plugin.class.clone(),
        properties: lines.finish(),
    })
}

fn converters(lines: &mut Builder<'_>) {
    lines
        .set("key.converter", CONVERTER, "as the source writes")
        .set("key.converter.schemas.enable", "true", "the types of the key")
        .set("value.converter", CONVERTER, "as the source writes")
        .set("value.converter.schemas.enable", "true", "the types of the values");
}

/// The target's address for Microsoft's JDBC driver.
fn jdbc_url(target: &TargetConfig, base: &str) -> Result<String, ConnectError> {
    if target.ca_file.is_some() {
        return Err(ConnectError::Unsupported {
            what: "ca_file in the target's URL",
            instead: "import the authority into the trust store of the worker's Java, and leave ca_file away",
        });
    }
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    // The driver asks SQL Server Browser itself when there is no port.
    let place = match &target.instance {
        Some(instance) => format!("{host};instanceName={}", braced(instance)),
        None => format!("{host}:{}", target.port),
    };
    let mut url = format!("jdbc:sqlserver://{place};databaseName={}", braced(&target.database));
    let encrypt = if target.is_unprotected() {
        "false"
    } else if target.is_strict() {
        "strict"
    } else {
        "true"
    };
    // Writing to a String cannot fail.
    let _infallible =
        write!(url, ";encrypt={encrypt};trustServerCertificate={}", target.trust_server_certificate);
    if target.multi_subnet_failover {
        url.push_str(";multiSubnetFailover=true");
    }
    if let Some(name) = &target.host_name_in_certificate {
        let _infallible = write!(url, ";hostNameInCertificate={}", braced(name));
    }
    let _infallible = write!(
        url,
        ";sendStringParametersAsUnicode=true;loginTimeout=30;socketTimeout=120000;applicationName={}",
        braced(base)
    );
    Ok(url)
}

/// A value of the driver's URL that may hold anything: in braces, closing ones doubled.
fn braced(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if value.chars().all(plain) { value.to_owned() } else { format!("{{{}}}", value.replace('}', "}}")) }
}
