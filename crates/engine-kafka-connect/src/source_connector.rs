//! [`source_connector`]: the configuration of Debezium's PostgreSQL connector.
//!
//! Slot, publication and heartbeat tables are made by us before it runs, so that nothing is captured by accident and all
//! of it can be removed again.

use segcdc_model::{QualifiedName, ReplicaIdentity};
use segcdc_plan::TablePlan;
use segcdc_postgres::SourceConfig;
use segcdc_postgres::config::{ChannelBinding, Endpoint, TlsSettings};

use crate::carried::can_be_toasted;
use crate::error::ConnectError;
use crate::heartbeat;
use crate::layout::{Group, Layout};
use crate::plugin::Plugin;
use crate::property::{Builder, Connector, Role, exactly, exactly_any};
use crate::secrets::Secrets;

/// Time between two heartbeats, milliseconds.
const HEARTBEAT_MS: &str = "5000";

/// Largest message, bytes: a row with its types, twice when a large key changes. Kafka's own limit is 1 MiB.
const MAX_MESSAGE_BYTES: &str = "67108864";

/// How long a transaction of Kafka may last, milliseconds. One is a batch, which takes less than a second; a worker reads the
/// stored positions to their end before it answers anything, and cannot while one is open that nobody ends.
const TRANSACTION_TIMEOUT_MS: &str = "30000";

/// Memory of a producer, bytes; one message has to fit.
const PRODUCER_BYTES: &str = "134217728";

/// What the generator needs to know.
#[derive(Debug, Clone, Copy)]
pub struct SourceRequest<'a> {
    /// The pipeline.
    pub layout: &'a Layout,
    /// Where the source is, as the worker reaches it.
    pub source: &'a SourceConfig,
    /// How the worker gets the password.
    pub secrets: &'a Secrets,
    /// The plugin.
    pub plugin: &'a Plugin,
    /// Whether Debezium copies the rows that are there.
    pub snapshot: bool,
    /// Whether the worker writes the source's messages in Kafka transactions.
    pub exactly_once: bool,
    /// Copies of each topic in the Kafka cluster; `None` leaves it to the brokers.
    pub replication_factor: Option<u16>,
    /// Whether connectors may change their producer's settings.
    pub may_override_client: bool,
    /// Whether the source keeps slots over a failover: PostgreSQL 17 or newer, and no standby.
    pub keeps_slots: bool,
}

/// The source connector of a pipeline.
///
/// # Errors
/// `CONNECT_UNSUPPORTED` for a source that a worker cannot reach in this way.
pub fn source_connector(request: &SourceRequest<'_>) -> Result<Connector, ConnectError> {
    let layout = request.layout;
    let mut lines = Builder::new(Some(&request.plugin.options));
    lines.set("connector.class", request.plugin.class.as_str(), "Debezium's connector for PostgreSQL");
    lines.set("tasks.max", "1", "a replication slot has one reader");
    connection(&mut lines, request)?;
    lines
        .set("topic.prefix", layout.base.as_str(), "names topics and progress; changing it would lose both")
        .set("plugin.name", "pgoutput", "built into PostgreSQL; the default, decoderbufs, is not")
        .set(
            "slot.name",
            layout.slot.as_str(),
            "made before the connector, so that it can be removed with the pipeline",
        )
        .set("slot.drop.on.stop", "false", "dropping it would lose what is committed until the next start");
    if request.keeps_slots {
        lines.set_if_known(
            "slot.failover",
            "true",
            "as the slot was made: standbys with sync_replication_slots have it too, and the pipeline goes on at the one \
             that is promoted",
        );
    }
    lines
        .set(
            "slot.max.retries",
            "30",
            "after a crash PostgreSQL may take minutes to notice that the old reader is gone",
        )
        .set("slot.retry.delay.ms", "10000", "pause between those attempts");
    lines
        .set_if_known("lsn.flush.mode", "connector", "the slot is confirmed only up to what Kafka has stored")
        // Known to 3.6 and newer, and not among the options that they declare.
        .set(
            "offset.mismatch.strategy",
            "trust_offset",
            "a slot that was made anew is noticed; the default goes on without what was lost",
        )
        .set(
            "publication.name",
            layout.publication.as_str(),
            "made before the connector, of exactly these tables",
        )
        .set(
            "publication.autocreate.mode",
            "disabled",
            "the default publishes every table and needs a superuser",
        )
        .set_if_known(
            "publish.via.partition.root",
            "true",
            "changes of partitions arrive as those of their table",
        );
    tables(&mut lines, layout);
    values(&mut lines);
    toast(&mut lines, layout);
    snapshot(&mut lines, request);
    routes(&mut lines, layout);
    heartbeats(&mut lines, layout);
    flow(&mut lines, request);
    Ok(Connector {
        name: layout.source_connector.clone(),
        role: Role::Source,
        class: request.plugin.class.clone(),
        properties: lines.finish(),
    })
}

fn connection(lines: &mut Builder<'_>, request: &SourceRequest<'_>) -> Result<(), ConnectError> {
    let source = request.source;
    let [Endpoint::Tcp { host, address: None, port }] = source.hosts.as_slice() else {
        return Err(ConnectError::Unsupported {
            what: "a source at a Unix-domain socket, with hostaddr, or with several hosts",
            instead: "give the source's URL with one host that the worker can reach by its name",
        });
    };
    check_protection(source)?;
    lines
        .set("database.hostname", host.as_str(), "as the worker reaches it")
        .set("database.port", port.to_string(), "as the worker reaches it")
        .set("database.dbname", source.database.as_str(), "from the source's URL")
        .set("database.user", source.user.as_str(), "from the source's URL");
    if source.password.is_some() {
        let reason =
            "a placeholder: what is in a configuration can be read by everybody who may ask the worker";
        lines.set("database.password", request.secrets.source_password(), reason);
    }
    lines.set(
        "database.sslmode",
        source.tls.mode.as_str(),
        "as in the source's URL; the default, prefer, trusts whoever answers",
    );
    let file = "a file of the worker, at the same path as here";
    if let Some(path) = &source.tls.root_certificate {
        lines.set("database.sslrootcert", path.display().to_string(), file);
    }
    if let Some(certificate) = &source.tls.client_certificate {
        lines.set("database.sslcert", certificate.certificate.display().to_string(), file);
        lines.set("database.sslkey", certificate.key.display().to_string(), file);
    }
    lines.set("database.tcpKeepAlive", "true", "a firewall must not cut a quiet stream");
    Ok(())
}

/// Refuses what the URL asks for and the connector has no property for: it would only be thought to be there.
fn check_protection(source: &SourceConfig) -> Result<(), ConnectError> {
    let usual = TlsSettings {
        mode: source.tls.mode,
        root_certificate: source.tls.root_certificate.clone(),
        client_certificate: source.tls.client_certificate.clone(),
        ..TlsSettings::default()
    };
    if source.tls == usual
        && source.channel_binding != ChannelBinding::Require
        && source.options.is_none()
        && source.password_file.is_none()
    {
        return Ok(());
    }
    Err(ConnectError::Unsupported {
        what: "sslnegotiation, sslcrl, ssl_min_protocol_version, ssl_max_protocol_version, ssl_sni, channel_binding=require, \
               options or passfile of the source's URL",
        instead: "leave them away, or use the native engine",
    })
}

fn tables(lines: &mut Builder<'_>, layout: &Layout) {
    let names: Vec<String> = layout
        .groups
        .iter()
        .flat_map(|group| {
            let tables = group.tables.iter().map(|plan| dotted(&plan.source.name));
            tables.chain([dotted(&group.heartbeat.source)])
        })
        .collect();
    lines.set(
        "table.include.list",
        exactly_any(names.iter().map(String::as_str)),
        "these tables and no others; regular expressions, so dots are escaped",
    );
    let mut keys: Vec<String> = layout.tables().filter_map(|plan| key(plan)).collect();
    let heartbeats = layout.heartbeats().into_iter().map(|heartbeat| dotted(&heartbeat.source));
    keys.extend(heartbeats.map(|name| format!("{}:id", exactly(&name))));
    if !keys.is_empty() {
        lines.set(
            "message.key.columns",
            keys.join(";"),
            "what identifies a row: Debezium would ask the source, which no longer knows it of a table that was dropped, \
             and a change without a key stops the sink",
        );
    }
    lines.set_if_known(
        "guardrail.collections.max",
        names.len().to_string(),
        "more tables than these are a mistake",
    );
    lines.set_if_known("guardrail.collections.limit.action", "fail", "and stop the connector");
}

/// What identifies a row of a table: its primary key, or a unique index that is its replica identity or was chosen.
fn key(plan: &TablePlan) -> Option<String> {
    let columns: Vec<&str> =
        plan.key_columns().iter().filter_map(|index| Some(plan.columns.get(*index)?.name.as_str())).collect();
    (!columns.is_empty()).then(|| format!("{}:{}", exactly(&dotted(&plan.source.name)), columns.join(",")))
}

fn values(lines: &mut Builder<'_>) {
    lines
        .set(
            "decimal.handling.mode",
            "string",
            "exact, and a NaN stops the sink; precise writes NULL instead, without notice",
        )
        .set("time.precision.mode", "adaptive_time_microseconds", "exact: PostgreSQL counts microseconds")
        .set("interval.handling.mode", "string", "the default is an approximate number")
        .set("hstore.handling.mode", "json", "the JDBC sink cannot write maps")
        .set("binary.handling.mode", "bytes", "bytes as they are")
        .set(
            "include.unknown.datatypes",
            "false",
            "tables with types that Debezium does not know are refused before",
        )
        .set(
            "tombstones.on.delete",
            "false",
            "the sink finds the table in the message, and a tombstone has none",
        )
        .set("skipped.operations", "none", "the default leaves TRUNCATE out")
        .set("provide.transaction.metadata", "false", "the sink does not use it")
        .set_if_known(
            "message.prefix.exclude.list",
            ".*",
            "messages of pg_logical_emit_message would get a topic of their own, which nobody reads or removes",
        )
        .set_if_known("schema.name.adjustment.mode", "none", "names stay as they are")
        .set_if_known("extended.headers.enabled", "false", "bytes in each message that nothing reads")
        .set("key.converter", CONVERTER, "the sink needs the types of the key")
        .set("key.converter.schemas.enable", "true", "so they are sent with it")
        .set("value.converter", CONVERTER, "the sink needs the types of the values")
        .set("value.converter.schemas.enable", "true", "so they are sent with them");
}

/// The converter that every worker has.
pub(crate) const CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";

/// Large values that an UPDATE did not touch are not in the stream. Debezium puts a placeholder in their place, which the
/// JDBC sink would write into the target.
fn toast(lines: &mut Builder<'_>, layout: &Layout) {
    let mut columns: Vec<String> = Vec::new();
    for plan in layout.tables().filter(|plan| needs_reselect(plan)) {
        for column in &plan.columns {
            let toasted = plan.source.columns.get(column.source_index).is_some_and(can_be_toasted);
            if toasted {
                columns.push(format!("{}:{}", exactly(&dotted(&plan.source.name)), exactly(&column.name)));
            }
        }
    }
    if columns.is_empty() {
        return;
    }
    lines
        .set("post.processors", "reselect", "large values that an UPDATE did not touch are not in the stream")
        .set(
            "reselect.type",
            "io.debezium.processors.reselect.ReselectColumnsPostProcessor",
            "so they are read again from the table; a later change of the row follows by itself",
        )
        .set("reselect.reselect.columns.include.list", columns.join(","), "the columns that can be so large")
        .set("reselect.reselect.unavailable.values", "true", "only where the value is missing")
        .set("reselect.reselect.null.values", "false", "NULL is a value")
        .set(
            "reselect.reselect.error.handling.mode",
            "warn",
            "a row that was deleted meanwhile is not found; its DELETE follows",
        );
}

/// Whether large values of the table can be missing from the stream.
pub(crate) fn needs_reselect(plan: &TablePlan) -> bool {
    plan.source.replica_identity != ReplicaIdentity::Full
        && plan
            .columns
            .iter()
            .filter_map(|column| plan.source.columns.get(column.source_index))
            .any(can_be_toasted)
}

fn snapshot(lines: &mut Builder<'_>, request: &SourceRequest<'_>) {
    let (mode, reason) = match request.snapshot {
        true => {
            ("initial", "copy, then follow; the slot is older than the copy, so nothing is missed in between")
        }
        false => ("no_data", "only follow: the target holds the rows, or segcdc copies them"),
    };
    lines.set("snapshot.mode", mode, reason);
    let names: Vec<String> = request.layout.tables().map(|plan| dotted(&plan.source.name)).collect();
    lines
        .set(
            "snapshot.include.collection.list",
            exactly_any(names.iter().map(String::as_str)),
            "not the heartbeat tables: theirs has to say that the copy is over",
        )
        .set("snapshot.isolation.mode", "repeatable_read", "one snapshot, without the cost of serializable")
        .set("snapshot.locking.mode", "none", "the application is not held up")
        .set("snapshot.max.threads", "1", "several are not one snapshot before Debezium 3.7 (dbz#2330)")
        .set("snapshot.fetch.size", "10240", "rows in a round trip");
}

/// Gathers the tables of a group in its topic.
fn routes(lines: &mut Builder<'_>, layout: &Layout) {
    let names: Vec<String> = (0..layout.groups.len()).map(|index| format!("route{index}")).collect();
    lines.set(
        "transforms",
        names.join(","),
        "one topic for each target schema: rows arrive in the order of commit",
    );
    for (name, group) in names.iter().zip(&layout.groups) {
        let prefix = format!("transforms.{name}");
        lines
            .set(
                &format!("{prefix}.type"),
                "org.apache.kafka.connect.transforms.RegexRouter",
                "part of Kafka Connect",
            )
            .set(&format!("{prefix}.regex"), topics_of(layout, group), "the topics that Debezium would write")
            .set(&format!("{prefix}.replacement"), group.topic.as_str(), "the topic that they go to");
    }
}

/// A regular expression for the topics of a group's tables. The topic of a group itself has one dot and does not match.
fn topics_of(layout: &Layout, group: &Group) -> String {
    let base = exactly(&layout.base);
    let schemas: Vec<String> = group.source_schemas().iter().map(|schema| exactly(schema)).collect();
    let heartbeat = exactly(&dotted(&group.heartbeat.source));
    format!("{base}\\.(?:(?:{})\\.[^.]+|{heartbeat})", schemas.join("|"))
}

fn heartbeats(lines: &mut Builder<'_>, layout: &Layout) {
    lines
        .set(
            "heartbeat.interval.ms",
            HEARTBEAT_MS,
            "a quiet pipeline lets go of what others write; 0 is the default",
        )
        .set(
            "heartbeat.action.query",
            heartbeat::touch_all(layout.groups.iter().map(|group| &group.heartbeat)),
            "rows that travel with the others and say in the target how far it is",
        );
}

fn flow(lines: &mut Builder<'_>, request: &SourceRequest<'_>) {
    lines
        .set("max.batch.size", "8192", "messages in a batch")
        .set("max.queue.size", "32768", "messages that wait")
        .set("max.queue.size.in.bytes", "268435456", "and no more than this, however wide rows are")
        .set("poll.interval.ms", "50", "the default of 500 is what one waits for a change")
        .set("event.processing.failure.handling.mode", "fail", "the others lose what cannot be read")
        .set("errors.tolerance", "none", "the same")
        .set(
            "errors.max.retries",
            "60",
            "then the task fails and is started again by segcdc; -1 hides it for ever",
        )
        .set("topic.creation.default.partitions", "1", "there is an order only within a partition")
        .set(
            "topic.creation.default.replication.factor",
            request.replication_factor.map_or("-1".to_owned(), |copies| copies.to_string()),
            "copies of each topic: --kafka-replication, or what the brokers do by themselves (-1)",
        )
        .set("topic.creation.default.cleanup.policy", "delete", "all changes, not only the last of a key")
        .set("topic.creation.default.retention.ms", "604800000", "a sink may be down for a week")
        .set("topic.creation.default.compression.type", "lz4", "JSON with its types repeats itself")
        .set("topic.creation.default.max.message.bytes", MAX_MESSAGE_BYTES, "a row larger than 1 MiB fits");
    if request.may_override_client {
        lines
            .set("producer.override.max.request.size", MAX_MESSAGE_BYTES, "the same for the worker's side")
            .set("producer.override.buffer.memory", PRODUCER_BYTES, "a message has to fit into it");
    }
    if request.may_override_client && request.exactly_once {
        lines.set(
            "producer.override.transaction.timeout.ms",
            TRANSACTION_TIMEOUT_MS,
            "what a worker that was killed has begun keeps sinks from reading, and the next worker from answering: for a minute \
             by default",
        );
    }
    match request.exactly_once {
        true => lines.set_if_known("exactly.once.support", "required", "no message twice in Kafka"),
        false => lines.set_if_known(
            "exactly.once.support",
            "requested",
            "the workers do not have exactly.once.source.support: messages can be in Kafka twice",
        ),
    };
    lines.set_if_known("transaction.boundary", "poll", "a Kafka transaction for each batch");
}

/// `schema.table`, as Debezium compares it.
fn dotted(name: &QualifiedName) -> String {
    format!("{}.{}", name.schema, name.name)
}

#[cfg(test)]
mod tests {
    use segcdc_model::PgType;
    use segcdc_plan::TableKey;

    use super::*;
    use crate::layout::tests::plan;

    #[test]
    fn what_identifies_a_row_is_named() {
        let plan = plan("public", "log", &[("site", PgType::Int4), ("number", PgType::Int4)]);
        let keyed = |columns: &[usize]| {
            let key = TableKey::Columns(columns.to_vec());
            super::key(&TablePlan { key, ..(*plan).clone() })
        };
        assert_eq!(keyed(&[0]).as_deref(), Some("public\\.log:id"));
        assert_eq!(keyed(&[]), None);
        assert_eq!(keyed(&[1, 2]).as_deref(), Some("public\\.log:site,number"));
        assert_eq!(keyed(&[0, 1]).as_deref(), Some("public\\.log:id,site"));
    }
}
