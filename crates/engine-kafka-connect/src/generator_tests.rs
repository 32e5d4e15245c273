//! Golden files of all configurations.

use std::collections::BTreeSet;

use crate::layout::tests::layout;
use crate::overrides;
use crate::plugin::{CONFLUENT_SINK_CLASS, Plugin, SINK_CLASS, SOURCE_CLASS};
use crate::property::{Connector, Role};
use crate::secrets::Secrets;
use crate::sink_connector::{SinkRequest, confluent_sink_connector, sink_connector};
use crate::source_connector::{SourceRequest, source_connector};
use segcdc_model::Fault;
use segcdc_postgres::SourceConfig;
use segcdc_sqlserver::TargetConfig;

/// What no configuration may hold.
const CANARY: &str = "c4nary-p4ssword";

/// Options that the plugin of the tests has beside those that are always set.
const OPTIONAL: &[&str] = &[
    "slot.failover",
    "lsn.flush.mode",
    "publish.via.partition.root",
    "guardrail.collections.max",
    "guardrail.collections.limit.action",
    "schema.name.adjustment.mode",
    "extended.headers.enabled",
    "message.prefix.exclude.list",
    "exactly.once.support",
    "transaction.boundary",
    "connection.restart.on.errors",
    "flush.max.retries",
    "flush.retry.delay.ms",
];

fn plugin(class: &str, options: &[&str]) -> Plugin {
    let options: BTreeSet<String> = options.iter().map(|option| (*option).to_owned()).collect();
    Plugin { class: class.to_owned(), version: "3.6.3.Final".to_owned(), options }
}

fn source_config() -> SourceConfig {
    SourceConfig::parse(&format!("postgres://cdc:{CANARY}@pg.example:5433/shop?sslrootcert=/etc/pg-ca.pem"))
        .unwrap()
}

fn target_config() -> TargetConfig {
    TargetConfig::parse(&format!("sqlserver://sink:{CANARY}@sql.example:1433/shop")).unwrap()
}

fn secrets() -> Secrets {
    Secrets::parse("file:/run/segcdc/shop.properties").unwrap()
}

fn source(plugin: &Plugin) -> Connector {
    source_with(plugin, &|_| ())
}

/// The same of a request that differs.
fn source_with(plugin: &Plugin, change: &dyn Fn(&mut SourceRequest<'_>)) -> Connector {
    let (layout, source, secrets) = (layout(), source_config(), secrets());
    let mut request = SourceRequest {
        layout: &layout,
        source: &source,
        secrets: &secrets,
        plugin,
        snapshot: true,
        exactly_once: false,
        replication_factor: Some(3),
        may_override_client: true,
        keeps_slots: true,
    };
    change(&mut request);
    source_connector(&request).unwrap()
}

fn text(connector: &Connector) -> String {
    let width = connector.properties.iter().map(|line| line.name.len()).max().unwrap_or_default();
    let lines = connector
        .properties
        .iter()
        .map(|line| format!("# {}\n{:width$} = {}", line.reason, line.name, line.value));
    format!("{} ({})\n\n{}\n", connector.name, connector.role.as_str(), lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_source_connector_is_complete() {
    insta::assert_snapshot!("source_connector", text(&source(&plugin(SOURCE_CLASS, OPTIONAL))));
}

#[test]
fn options_that_the_plugin_lacks_are_left_out() {
    let connector = source(&plugin(SOURCE_CLASS, &[]));
    for name in OPTIONAL {
        assert_eq!(connector.get(name), None, "{name}");
    }
    assert_eq!(connector.get("plugin.name"), Some("pgoutput"));
}

#[test]
fn slots_follow_a_failover_where_source_and_plugin_can() {
    let failover = |options: &[&str], keeps_slots| {
        let connector =
            source_with(&plugin(SOURCE_CLASS, options), &|request| request.keeps_slots = keeps_slots);
        connector.get("slot.failover").map(str::to_owned)
    };
    assert_eq!(failover(OPTIONAL, true).as_deref(), Some("true"));
    // Before PostgreSQL 17, and at a standby, Debezium would warn at each start.
    assert_eq!(failover(OPTIONAL, false), None);
    assert_eq!(failover(&[], true), None);
}

#[test]
fn what_a_killed_worker_has_begun_does_not_last() {
    let timeout = |exactly_once, may_override_client| {
        let connector = source_with(&plugin(SOURCE_CLASS, OPTIONAL), &|request| {
            (request.exactly_once, request.may_override_client) = (exactly_once, may_override_client);
        });
        connector.get("producer.override.transaction.timeout.ms").map(str::to_owned)
    };
    assert_eq!(timeout(true, true).as_deref(), Some("30000"));
    assert_eq!(timeout(true, false), None);
    assert_eq!(timeout(false, true), None);
}

#[test]
fn the_sink_connector_is_complete() {
    let (layout, target, secrets) = (layout(), target_config(), secrets());
    let plugin = plugin(SINK_CLASS, OPTIONAL);
    for group in &layout.groups {
        let request = SinkRequest {
            group,
            base: &layout.base,
            target: &target,
            secrets: &secrets,
            plugin: &plugin,
            may_override_client: true,
        };
        let connector = sink_connector(&request).unwrap();
        insta::assert_snapshot!(format!("sink_connector_{}", group.target_schema), text(&connector));
    }
}

#[test]
fn the_confluent_sink_gets_rows_instead_of_envelopes() {
    let (layout, secrets) = (layout(), secrets());
    let plugin = plugin(CONFLUENT_SINK_CLASS, &[]);
    let check = |name: &str, target: &str, group: usize, table: &str, key: &[&str]| {
        let target = TargetConfig::parse(target).unwrap();
        let request = SinkRequest {
            group: layout.groups.get(group).unwrap(),
            base: &layout.base,
            target: &target,
            secrets: &secrets,
            plugin: &plugin,
            may_override_client: false,
        };
        let topic = format!("segcdc_shop.public.{table}");
        let connector = confluent_sink_connector(&request, &topic, table, key).unwrap();
        assert!(!text(&connector).contains(CANARY), "{connector:?}");
        insta::assert_snapshot!(format!("sink_connector_{name}"), text(&connector));
    };
    let url = format!("sqlserver://sink:{CANARY}@sql.example:1433/shop");
    check("confluent", &url, 0, "orders", &["id"]);
    check("confluent_composite_key", &format!("{url}?encrypt=strict"), 1, "visits", &["id", "at"]);
    let other = format!("sqlserver://sink:{CANARY}@[::1]:1433/my%20shop?trust_server_certificate=true");
    check("confluent_trusting", &other, 0, "items", &["id"]);
}

/// What is known of the plugins to lose or change rows, and the property that keeps it from happening: by default it is
/// otherwise in at least one of them.
const KEPT_FROM: &[(Role, &str, &str, &str)] = &[
    (Role::Source, "snapshot.max.threads", "1", "readers of several snapshots, before 3.7 (dbz#2330)"),
    (Role::Source, "decimal.handling.mode", "string", "a NaN stops the source, or becomes NULL"),
    (
        Role::Source,
        "post.processors",
        "reselect",
        "a placeholder over a large value that an UPDATE left alone",
    ),
    (Role::Source, "reselect.reselect.unavailable.values", "true", "the same"),
    (Role::Source, "skipped.operations", "none", "TRUNCATE is left out"),
    (Role::Source, "plugin.name", "pgoutput", "a plugin that the server has not got"),
    (
        Role::Source,
        "publication.autocreate.mode",
        "disabled",
        "every table is published, or one that was lost is made anew",
    ),
    (Role::Source, "slot.drop.on.stop", "false", "what is committed until the next start is lost"),
    (Role::Source, "lsn.flush.mode", "connector", "a position is confirmed before Kafka has it"),
    (Role::Source, "offset.mismatch.strategy", "trust_offset", "changes between offset and slot are skipped"),
    (
        Role::Source,
        "event.processing.failure.handling.mode",
        "fail",
        "a change that cannot be read is left out",
    ),
    (Role::Source, "errors.tolerance", "none", "a change that cannot be converted is left out"),
    (Role::Source, "time.precision.mode", "adaptive_time_microseconds", "microseconds are cut"),
    (Role::Source, "interval.handling.mode", "string", "an interval is rounded"),
    (Role::Source, "topic.creation.default.partitions", "1", "rows overtake each other"),
    (Role::Source, "tasks.max", "1", "two readers of one slot"),
    (Role::Sink, "insert.mode", "upsert", "a row that arrives twice stops the sink"),
    (Role::Sink, "delete.enabled", "true", "deleted rows stay"),
    (Role::Sink, "truncate.enabled", "true", "rows of truncated tables stay"),
    (Role::Sink, "schema.evolution", "none", "the sink makes tables of its own types"),
    (Role::Sink, "tasks.max", "1", "rows overtake each other"),
    (Role::Sink, "errors.tolerance", "none", "a row that cannot be written is left out"),
    (Role::Sink, "consumer.override.auto.offset.reset", "none", "rows that Kafka has deleted are skipped"),
    (
        Role::Sink,
        "consumer.override.isolation.level",
        "read_committed",
        "rows of aborted transactions are written",
    ),
];

#[test]
fn options_known_to_lose_or_change_rows_are_set_right_and_cannot_be_changed() {
    let (layout, target, secrets) = (layout(), target_config(), secrets());
    let plugin_of_sink = plugin(SINK_CLASS, OPTIONAL);
    let request = SinkRequest {
        group: layout.groups.first().unwrap(),
        base: &layout.base,
        target: &target,
        secrets: &secrets,
        plugin: &plugin_of_sink,
        may_override_client: true,
    };
    let (source, sink) = (source(&plugin(SOURCE_CLASS, OPTIONAL)), sink_connector(&request).unwrap());
    for (role, name, value, harm) in KEPT_FROM {
        let connector = if *role == Role::Source { &source } else { &sink };
        assert_eq!(connector.get(name), Some(*value), "{name}: {harm}");
        let refused = overrides::parse(&format!("{}.{name}={value}", role.as_str())).unwrap_err();
        assert_eq!(refused.code(), "PROPERTY_NOT_ALLOWED", "{name}");
    }
}

#[test]
fn no_configuration_holds_a_password() {
    let (layout, target, secrets) = (layout(), target_config(), secrets());
    let plugin_of_sink = plugin(SINK_CLASS, OPTIONAL);
    let mut connectors = vec![source(&plugin(SOURCE_CLASS, OPTIONAL))];
    for group in &layout.groups {
        let request = SinkRequest {
            group,
            base: &layout.base,
            target: &target,
            secrets: &secrets,
            plugin: &plugin_of_sink,
            may_override_client: true,
        };
        connectors.push(sink_connector(&request).unwrap());
    }
    for connector in connectors {
        assert!(!format!("{connector:?}").contains(CANARY), "{}", connector.name);
        assert!(!connector.properties.iter().any(|line| line.value.contains(CANARY)));
    }
}

#[test]
fn what_a_url_holds_cannot_become_an_option_of_the_driver() {
    let (layout, secrets) = (layout(), secrets());
    let mut target = target_config();
    target.database = "x;trustServerCertificate=true}".to_owned();
    target.host_name_in_certificate = Some("a;b".to_owned());
    let plugin = plugin(SINK_CLASS, &[]);
    let group = layout.groups.first().unwrap();
    let request = SinkRequest {
        group,
        base: &layout.base,
        target: &target,
        secrets: &secrets,
        plugin: &plugin,
        may_override_client: true,
    };
    let url = sink_connector(&request).unwrap().get("connection.url").unwrap().to_owned();
    assert!(url.contains(";databaseName={x;trustServerCertificate=true}}};encrypt=true;"), "{url}");
    assert!(url.contains(";hostNameInCertificate={a;b};"), "{url}");
    let with_ca = TargetConfig { ca_file: Some("/ca.pem".into()), ..target.clone() };
    let refused = sink_connector(&SinkRequest { target: &with_ca, ..request }).unwrap_err();
    assert_eq!(refused.code(), "CONNECT_UNSUPPORTED");
}

#[test]
fn what_a_user_sets_replaces_what_is_generated() {
    let mut connector = source(&plugin(SOURCE_CLASS, OPTIONAL));
    let wanted = [
        overrides::parse("source.max.batch.size=1").unwrap(),
        overrides::parse("sink.batch.size=7").unwrap(),
    ];
    overrides::apply(&mut connector, &wanted);
    assert_eq!(connector.get("max.batch.size"), Some("1"));
    assert_eq!(connector.get("batch.size"), None);
    let names: BTreeSet<&str> = connector.properties.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names.len(), connector.properties.len(), "a property is set twice");
}
