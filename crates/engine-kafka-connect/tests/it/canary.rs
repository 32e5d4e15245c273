//! Passwords that appear nowhere: what the worker answers and logs, what is in any topic, and what we say ourselves is
//! searched for them. The search is shown to find what is there.

use std::collections::BTreeMap;

use segcdc_engine_kafka_connect::property::Role;
use segcdc_engine_kafka_connect::rest::InitialState;
use segcdc_engine_kafka_connect::validate::validate;
use segcdc_engine_kafka_connect::{ConnectError, Prepared, Secrets, status};
use segcdc_model::{Fault, Secret};

use crate::rig::{Rig, SOURCE_CANARY, TARGET_CANARY};

/// A connector that is configured as nobody should.
const PLANTED: &str = "planted";

/// Has the worker log what it logs in production: every configuration that it takes.
pub(crate) async fn log_all(rig: &Rig) {
    let path = "/admin/loggers/org.apache.kafka.common.config.AbstractConfig";
    let answer = rig.cluster.rest().put(path, Some(&serde_json::json!({ "level": "INFO" }))).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// No password is anywhere; and one that is in a configuration is found in all that repeats it.
pub(crate) async fn no_secret_is_shown(rig: &Rig, prepared: &Prepared) {
    let places = Box::pin(everything(rig, prepared)).await;
    for place in [
        "worker log",
        "broker log",
        "connect-configs",
        "connect-offsets",
        "connect-status",
        "segcdc_shop.dbo",
    ] {
        assert!(
            places.get(place).is_some_and(|text| text.contains("segcdc_shop")),
            "nothing was read of {place}"
        );
    }
    let log = places.get("worker log").unwrap();
    assert!(log.contains("connection.password = ********"), "the worker does not log configurations");
    assert_eq!(holding(rig, &places), [""; 0]);

    // With a password in plain words.
    let source = prepared.connectors.iter().find(|connector| connector.role == Role::Source).unwrap();
    let mut properties = source.to_properties();
    properties.insert("database.password".to_owned(), SOURCE_CANARY.to_owned());
    rig.rest.create(PLANTED, &properties, InitialState::Stopped).await.unwrap();
    let places = Box::pin(everything(rig, prepared)).await;
    rig.rest.delete(PLANTED).await.unwrap();
    let found = holding(rig, &places);
    for place in ["/connectors?expand=info&expand=status", "/connectors/planted/config", "connect-configs"] {
        assert!(found.iter().any(|found| found == place), "nothing was found in {place}: {found:?}");
    }
}

/// Everything that can be read of a pipeline, by where it is.
async fn everything(rig: &Rig, prepared: &Prepared) -> BTreeMap<String, String> {
    let rest = rig.cluster.rest();
    let mut places = BTreeMap::from([
        ("worker log".to_owned(), rig.cluster.worker_log()),
        ("broker log".to_owned(), rig.cluster.broker_log()),
        ("what is planned".to_owned(), format!("{prepared:?} {}", serde_json::json!(prepared.connectors))),
        ("our status".to_owned(), format!("{:?}", status(&rig.config, &rig.rest).await)),
        ("our configuration".to_owned(), format!("{:?}", rig.config)),
        ("an error of validation".to_owned(), refused(rig, prepared).await),
    ]);
    let mut paths = ["/", "/connectors?expand=info&expand=status", "/connector-plugins", "/admin/loggers"]
        .map(str::to_owned)
        .to_vec();
    for connector in rig.rest.connectors().await.unwrap() {
        for what in
            ["", "/config", "/tasks", "/tasks-config", "/status", "/topics", "/offsets", "/tasks/0/status"]
        {
            paths.push(format!("/connectors/{connector}{what}"));
        }
    }
    for path in paths {
        let answer = rest.get(&path).await.unwrap();
        places.insert(path, answer.body);
    }
    for connector in &prepared.connectors {
        let mut properties = connector.to_properties();
        properties.insert("name".to_owned(), connector.name.clone());
        let path = format!("/connector-plugins/{}/config/validate", connector.class);
        let answer = rest.put(&path, Some(&serde_json::json!(properties))).await.unwrap();
        places.insert(format!("validation of {}", connector.name), answer.body);
    }
    for record in rig.cluster.records().await.unwrap() {
        let (topic, text) = record.split_once('\t').unwrap();
        let all = places.entry(topic.to_owned()).or_default();
        all.push_str(text);
        all.push('\n');
    }
    places
}

/// What we say when the worker refuses a configuration that holds placeholders.
async fn refused(rig: &Rig, prepared: &Prepared) -> String {
    let mut prepared = prepared.clone();
    for line in prepared.connectors.iter_mut().flat_map(|connector| &mut connector.properties) {
        // The driver says more about a host that is none than about any other mistake.
        if line.name == "database.hostname" {
            line.value = "127.0.0.2".to_owned();
        }
        line.value = line.value.replace("jdbc:sqlserver://127.0.0.1", "jdbc:sqlserver://127.0.0.2");
    }
    let error: ConnectError =
        validate(&rig.rest, &prepared.connectors, &prepared.spec.secrets).await.unwrap_err();
    assert_eq!(error.code(), "CONNECTOR_CONFIG_INVALID");
    format!("{error} {error:?} {}", error.hint())
}

/// The places in which a password is.
fn holding(rig: &Rig, places: &BTreeMap<String, String>) -> Vec<String> {
    let [_, broker] = rig.cluster.broker_user();
    let has = |text: &str| [SOURCE_CANARY, TARGET_CANARY, broker].iter().any(|canary| text.contains(canary));
    places.iter().filter(|(_, text)| has(text)).map(|(place, _)| place.clone()).collect()
}

/// A worker that reads no file, or another one, is named, before databases are given a placeholder for a password.
pub(crate) async fn unread_file_is_named(rig: &Rig, prepared: &Prepared) {
    let check = async |prepared: &Prepared| {
        let outcome = validate(&rig.rest, &prepared.connectors, &prepared.spec.secrets).await;
        outcome.err().map_or("", |error| error.code())
    };
    assert_eq!(check(prepared).await, "");
    // A folder that is not among config.providers.file.param.allowed.paths.
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::File { path: folder.path().join("shop.properties") };
    let none = Secret::new(String::new());
    secrets.write(&none, &none).unwrap();
    let mut elsewhere = prepared.clone();
    elsewhere.spec.secrets = secrets;
    assert_eq!(check(&elsewhere).await, "CONNECT_SECRETS_PROVIDER");
}
