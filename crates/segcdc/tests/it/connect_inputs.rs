//! What a user can get wrong about Kafka Connect, and a worker that is none: each has one code and one exit status, before
//! any database is asked.

use segcdc_testkit::http_proxy::{Fault, HttpProxy, Trouble};

use crate::program::{Ended, program};

const SOURCE: &str = "postgres://app:sekret@127.0.0.1:1/shop?sslmode=disable";
const TARGET: &str = "sqlserver://app:sekret@127.0.0.1:1/shop?encrypt=false";

/// A worker that nobody asks.
const NOWHERE: &str = "http://127.0.0.1:1";

/// What a worker has at least.
const PLUGINS: &str = r#"[
    {"class":"io.debezium.connector.jdbc.JdbcSinkConnector","type":"sink","version":"3.6.0.Final"},
    {"class":"io.debezium.connector.postgresql.PostgresConnector","type":"source","version":"3.6.3.Final"},
    {"class":"org.apache.kafka.connect.json.JsonConverter","type":"converter","version":"4.3.0"}]"#;

/// Runs `segcdc plan` for Kafka Connect with these further arguments.
fn plan(worker: &str, arguments: &[&str]) -> Ended {
    let mut command = program();
    command
        .args(["plan", "-o", "json", "--engine", "kafka-connect", "--connect-secrets", "env:SHOP"])
        .args(["--connect-url", worker])
        .args(arguments)
        .env("SEGCDC_SOURCE_URL", SOURCE)
        .env("SEGCDC_TARGET_URL", TARGET);
    Ended::of(command, "")
}

/// Checks code and exit status; an error says what to do, and shows no password.
fn ends(ended: &Ended, code: &str, exit: i32, input: &str) {
    let json = ended.json();
    let text = |name| json.get("error").and_then(|error| error.get(name)?.as_str()).unwrap_or_default();
    let found = (text("code"), ended.code);
    assert_eq!(found, (code, Some(exit)), "{input}: {} {}", ended.stdout, ended.stderr);
    assert!(!text("hint").is_empty(), "{input}: {json}");
    let said = [ended.stdout.as_str(), &ended.stderr].concat();
    assert!(!said.contains("sekret") && !said.contains("<html>"), "{input}: {said}");
}

#[test]
fn properties_that_are_a_way_into_the_worker_are_refused() {
    for property in [
        "source.database.hostname=other.example",
        "source.producer.override.sasl.jaas.config=sekret",
        "sink.consumer.override.sasl.jaas.config=sekret",
        "source.sasl.jaas.config=sekret",
        "source.transforms=x",
        "sink.connection.url=jdbc:sqlserver://other.example;password=sekret",
        "sink.connection.password=sekret",
        "sink.errors.tolerance=all",
        "source.snapshot.mode=never",
        "database.hostname=other.example",
    ] {
        ends(&plan(NOWHERE, &["--connect-property", property]), "PROPERTY_NOT_ALLOWED", 2, property);
    }
    for (property, code) in [
        ("source.max.batch.size=0", "PROPERTY_VALUE"),
        ("source.max.batch.size=many", "PROPERTY_VALUE"),
        ("sink.batch.size", "PROPERTY_VALUE"),
    ] {
        ends(&plan(NOWHERE, &["--connect-property", property]), code, 2, property);
    }
}

#[test]
fn placeholders_of_the_user_are_refused() {
    for property in [
        "source.max.batch.size=${file:/etc/passwd:x}",
        "source.database.hostname=${env:AWS_SECRET}",
        "sink.batch.size=1${file:/etc/passwd:x}",
    ] {
        ends(&plan(NOWHERE, &["--connect-property", property]), "PLACEHOLDER_NOT_ALLOWED", 2, property);
    }
    for secrets in
        ["env:A}${env:HOME", "read:/run/${env:HOME}/x", "file:/run/../etc/x", "vault:x", "file:relative"]
    {
        let mut command = program();
        command.args(["plan", "-o", "json", "--engine", "kafka-connect", "--connect-url", NOWHERE]);
        command.args(["--connect-secrets", secrets, "--source", SOURCE, "--target", TARGET]);
        ends(&Ended::of(command, ""), "CONNECT_SECRETS_FORM", 2, secrets);
    }
}

#[test]
fn what_is_no_address_of_a_worker_is_refused() {
    for url in [
        "file:///etc/passwd",
        "ftp://worker/",
        "http://app:sekret@worker:8083",
        "http://worker:8083/?token=sekret",
        "http://worker:8083/#sekret",
        "worker:8083",
        "http://",
        "",
    ] {
        ends(&plan(url, &[]), "CONNECT_URL", 2, url);
    }
    ends(&plan(NOWHERE, &[]), "CONNECT_UNREACHABLE", 3, NOWHERE);
    for brokers in ["kafka", "SASL_SSL://kafka:9093", "kafka:0", "a b:1"] {
        ends(&plan(NOWHERE, &["--kafka-bootstrap", brokers]), "KAFKA_BOOTSTRAP", 2, brokers);
    }
}

#[test]
fn names_that_would_leave_their_place_in_a_path_are_refused() {
    for name in ["../x", "%2e%2e", "a b", "a/b", "A", "", "\u{202e}x", "<script>"] {
        let ended = plan(NOWHERE, &["--name", name]);
        assert_eq!(ended.code, Some(2), "{name}: {} {}", ended.stdout, ended.stderr);
    }
}

#[test]
fn a_worker_that_is_not_named_is_asked_for() {
    let mut command = program();
    command.args(["plan", "-o", "json", "--engine", "kafka-connect", "--connect-secrets", "env:SHOP"]);
    command.args(["--source", SOURCE, "--target", TARGET]);
    ends(&Ended::of(command, ""), "CONNECT_URL_MISSING", 2, "without --connect-url");
}

#[test]
fn credentials_and_files_in_another_form_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem").display().to_string();
    for (arguments, code) in [
        (&["--connect-auth", "sekret"][..], "CONNECT_AUTH_FORM"),
        (&["--connect-ca-file", &missing], "CONNECT_CA_FILE"),
        (&["--kafka-auth", "sekret"], "KAFKA_AUTH_FORM"),
        (&["--kafka-ca-file", &missing], "KAFKA_TLS_FILE"),
        (&["--kafka-cert-file", &missing, "--kafka-key-file", &missing], "KAFKA_TLS_FILE"),
    ] {
        ends(&plan(NOWHERE, arguments), code, 2, &format!("{arguments:?}"));
    }
}

#[test]
fn what_only_the_native_engine_does_is_refused() {
    for (arguments, code) in [
        (&["--append-only", "public.log=ignore"][..], "RULES_WITH_ENGINE"),
        (&["--where", "public.orders: id > 1"], "RULES_WITH_ENGINE"),
        (&["--max-retained-wal", "1GiB"], "WAL_LIMIT_WITH_ENGINE"),
        (&["--wal-policy", "give-up"], "WAL_LIMIT_WITH_ENGINE"),
    ] {
        ends(&plan(NOWHERE, arguments), code, 2, &format!("{arguments:?}"));
    }
    let mut command = program();
    command.args(["up", "--yes", "-o", "json", "--engine", "kafka-connect", "--connect-secrets", "env:SHOP"]);
    command.args(["--connect-url", NOWHERE, "--large-transactions", "chunked"]);
    command.args(["--source", SOURCE, "--target", TARGET]);
    ends(&Ended::of(command, ""), "LARGE_TRANSACTIONS_WITH_ENGINE", 2, "--large-transactions chunked");
}

/// A worker that answers to these requests, and to no others.
async fn worker(answers: &[(&'static str, &str, Vec<Fault>)]) -> HttpProxy {
    let proxy = HttpProxy::start(1).await.expect("a port of loopback is free");
    let troubles = answers.iter().map(|(method, path, faults)| Trouble {
        method,
        path_end: (*path).to_owned(),
        faults: faults.clone(),
        for_ever: true,
    });
    proxy.arm(troubles.collect());
    proxy
}

fn answer(status: u16, body: &str) -> Fault {
    Fault::Status(status, body.to_owned())
}

fn version(version: &str) -> Fault {
    answer(200, &format!(r#"{{"version":"{version}","commit":"x","kafka_cluster_id":"y"}}"#))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_as_no_worker_does_is_named() {
    let other = HttpProxy::start(1).await.unwrap();
    for (fault, code, exit) in [
        (answer(500, r#"{"error_code":500,"message":"on purpose"}"#), "CONNECT_ERROR", 1),
        (answer(503, ""), "CONNECT_ERROR", 1),
        (answer(401, ""), "CONNECT_AUTH", 4),
        (answer(403, ""), "CONNECT_AUTH", 4),
        (answer(200, "[]"), "CONNECT_ERROR", 1),
        (Fault::Html(200), "CONNECT_ERROR", 1),
        (Fault::Html(404), "CONNECT_ERROR", 1),
        (Fault::Redirect(other.url()), "CONNECT_ERROR", 1),
        (Fault::Huge, "CONNECT_ANSWER_TOO_LARGE", 3),
        (Fault::Reset, "CONNECT_UNREACHABLE", 3),
    ] {
        let name = format!("{fault:?}");
        let worker = worker(&[("GET", "/", vec![fault])]).await;
        ends(&plan(&worker.url(), &[]), code, exit, &name);
    }
    assert_eq!(other.met(), 0);
    // One that speaks HTTP where HTTPS is asked for.
    let plain = other.url().replace("http://", "https://");
    ends(&plan(&plain, &[]), "CONNECT_TLS", 3, &plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebalance_is_waited_out_and_a_missing_plugin_is_named() {
    let rebalancing = answer(409, r#"{"error_code":409,"message":"rebalance"}"#);
    let sink_only =
        r#"[{"class":"io.debezium.connector.jdbc.JdbcSinkConnector","type":"sink","version":"3.6.0.Final"}]"#;
    let worker = worker(&[
        ("GET", "/connector-plugins", vec![answer(200, sink_only)]),
        ("GET", "/", vec![rebalancing, version("4.3.0")]),
    ])
    .await;
    let ended = plan(&worker.url(), &[]);
    ends(&ended, "CONNECTOR_PLUGIN_MISSING", 2, "without the source's plugin");
    let message = ended.json()["error"]["message"].to_string();
    for class in
        ["io.debezium.connector.postgresql.PostgresConnector", "io.debezium.connector.jdbc.JdbcSinkConnector"]
    {
        assert!(message.contains(class), "{message}");
    }
    assert_eq!(worker.met(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_must_not_be_used_are_refused() {
    let debezium = |version: &str| PLUGINS.replace("3.6.3.Final", version);
    for (worker_version, plugins, code) in [
        ("3.6.2", PLUGINS.to_owned(), "CONNECT_WORKER_VERSION"),
        ("4.3.0", debezium("2.7.4.Final"), "CONNECTOR_PLUGIN_VERSION"),
        ("4.3.0", debezium("undefined"), "CONNECTOR_PLUGIN_VERSION"),
        // Both sides are unreachable: what the worker has was accepted.
        ("4.3.0", PLUGINS.to_owned(), "SOURCE_UNREACHABLE"),
        ("3.9.1", PLUGINS.to_owned(), "SOURCE_UNREACHABLE"),
    ] {
        let worker = worker(&[
            ("GET", "/connector-plugins", vec![answer(200, &plugins)]),
            ("GET", "/config", vec![answer(200, "[]")]),
            ("GET", "/", vec![version(worker_version)]),
        ])
        .await;
        let ended = plan(&worker.url(), &[]);
        let exit = if code == "SOURCE_UNREACHABLE" { 3 } else { 2 };
        ends(&ended, code, exit, &format!("{worker_version} {plugins}"));
    }
}
