//! A pipeline from its set-up to its removal.

use segcdc_engine_kafka_connect::kafka::KafkaAdmin;
use segcdc_engine_kafka_connect::property::Role;
use segcdc_engine_kafka_connect::rest::ConnectorWord;
use segcdc_engine_kafka_connect::{Step, remove, status};
use segcdc_engine_native::{EngineKind, Removal, preflight};
use segcdc_model::{Fault, Lsn};
use segcdc_sqlserver::{ExistingRows, Target};
use segcdc_testkit::connect;

use crate::brokers::{brokers_are_tried_when_planning, every_listener_is_spoken_to};
use crate::canary::{log_all, no_secret_is_shown, unread_file_is_named};
use crate::references::references_are_checked;
use crate::rig::{NAME, Rig, becomes};

/// Tables with the kinds of values that the route carries, and one that it refuses.
const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, note text, amount numeric(18,4), at timestamptz, code uuid, extra jsonb,
        raw bytea, day date, ratio float8, done bool, big text);
    INSERT INTO orders SELECT g, 'note ' || g, g * 1.5, now(), gen_random_uuid(), '{\"a\": 1}', '\\x0102', current_date,
        g / 3.0, g % 2 = 0, (SELECT string_agg(md5((g * n)::text), '') FROM generate_series(1, 200) n)
        FROM generate_series(1, 50) g;
    CREATE TABLE items (id bigint PRIMARY KEY, name varchar(50));
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50) g;
    CREATE TABLE unbounded (id int PRIMARY KEY, n numeric);";

#[tokio::test]
async fn a_pipeline_is_made_looked_after_and_removed_without_a_trace() {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return;
    }
    let mut rig = Rig::start(TABLES).await;
    log_all(&rig).await;
    every_listener_is_spoken_to(&rig).await;
    brokers_are_tried_when_planning(&rig).await;
    references_are_checked(&rig).await;
    let before = admin(&rig).topics().await.unwrap();

    let (prepared, steps) = rig.deploy().await;
    assert!(steps.contains(&Step::CreateSlot), "{steps:?}");
    let left_out: Vec<_> = prepared.preflight.left_out.iter().map(|table| table.code.as_str()).collect();
    assert_eq!(left_out, ["CONNECT_TYPE_UNSUPPORTED"]);
    source_is_sent(&rig).await;

    // Once more: nothing is left to do. What was changed by hand is put back.
    let sink = prepared.spec.sink_connectors.first().unwrap();
    let mut drifted = rig.rest.config(sink).await.unwrap().unwrap();
    drifted.insert("batch.size".to_owned(), "7".to_owned());
    rig.rest.put_config(sink, &drifted).await.unwrap();
    let (_, steps) = rig.deploy().await;
    assert!(!steps.contains(&Step::CreateSlot), "{steps:?}");
    assert_eq!(rig.rest.config(sink).await.unwrap().unwrap().get("batch.size").unwrap(), "2000");

    rows_reach_the_target(&rig).await;
    connector_can_be_paused_and_stopped(&rig, &prepared.spec.source_connector).await;
    other_engine_refuses_it(&rig).await;

    rig.cluster.kill_worker().unwrap();
    rig.sql("INSERT INTO items VALUES (1001, 'while the worker was gone')").await;
    rig.cluster.start_worker().await.unwrap();
    rig.equal("public.items").await;

    no_secret_is_shown(&rig, &prepared).await;
    unread_file_is_named(&rig, &prepared).await;
    nothing_is_left_after_removal(&rig, before).await;
}

fn admin(rig: &Rig) -> KafkaAdmin {
    KafkaAdmin::new(rig.config.bootstrap.clone().unwrap(), &rig.config.security).unwrap()
}

/// The source connector runs, and stores how far it is.
async fn source_is_sent(rig: &Rig) {
    becomes("the source connector has stored a position", || async {
        let report = status(&rig.config, &rig.rest).await.unwrap();
        let source = report.connectors.iter().find(|connector| connector.role == Role::Source).unwrap();
        assert_eq!(source.cause, None);
        source.word == Some(ConnectorWord::Running) && report.stored_lsn.is_some()
    })
    .await;
}

/// The rows that were there, and changes of all kinds.
async fn rows_reach_the_target(rig: &Rig) {
    rig.equal("public.orders").await;
    // Large values that an UPDATE leaves alone, changed keys, deleted rows, several tables in one transaction.
    rig.sql(
        "UPDATE orders SET note = 'changed' WHERE id <= 10; UPDATE orders SET id = 900 WHERE id = 11;
         DELETE FROM orders WHERE id BETWEEN 20 AND 30; INSERT INTO orders (id, note) VALUES (901, ''), (902, NULL);
         BEGIN; UPDATE items SET name = 'x'; UPDATE orders SET amount = -0.0001 WHERE id = 40; COMMIT;",
    )
    .await;
    rig.equal("public.orders").await;
    rig.equal("public.items").await;
    rig.sql("TRUNCATE items; INSERT INTO items VALUES (1, 'after')").await;
    rig.equal("public.items").await;
    // The heartbeat follows everything: when it is there, so are the rows.
    let goal: u64 = rig.text("SELECT (pg_current_wal_insert_lsn() - '0/0')::text").await.parse().unwrap();
    becomes("a heartbeat behind all rows has arrived", || async {
        let report = status(&rig.config, &rig.rest).await.unwrap();
        report.applied_lsn.is_some_and(|lsn| lsn >= Lsn::new(goal))
    })
    .await;
}

async fn connector_can_be_paused_and_stopped(rig: &Rig, connector: &str) {
    let reaches = async |wanted: ConnectorWord| {
        becomes("the connector is in the wanted state", || async {
            let found = rig.rest.status(connector).await.unwrap();
            found.is_some_and(|found| found.connector.state == wanted)
        })
        .await;
    };
    rig.rest.pause(connector).await.unwrap();
    reaches(ConnectorWord::Paused).await;
    rig.rest.resume(connector).await.unwrap();
    reaches(ConnectorWord::Running).await;
    rig.rest.stop(connector).await.unwrap();
    reaches(ConnectorWord::Stopped).await;
    // `up` again lets it run.
    rig.sql("INSERT INTO items VALUES (1000, 'while it was stopped')").await;
    rig.rest.resume(connector).await.unwrap();
    reaches(ConnectorWord::Running).await;
    rig.equal("public.items").await;
}

async fn other_engine_refuses_it(rig: &Rig) {
    let mut native = rig.config.engine.clone();
    native.engine = EngineKind::Native;
    let error = Box::pin(preflight(&native)).await.unwrap_err();
    assert_eq!(error.code(), "ENGINE_MISMATCH");
    let error = segcdc_engine_native::down(&native, Removal::Drop).await.unwrap_err();
    assert_eq!(error.code(), "ENGINE_MISMATCH");
}

async fn nothing_is_left_after_removal(rig: &Rig, topics_before: Vec<String>) {
    let admin = admin(rig);
    let groups = admin.consumer_groups().await.unwrap();
    assert!(groups.iter().any(|group| group == "connect-segcdc_shop_sink_dbo"), "{groups:?}");
    assert!(!rig.cluster.stored_offsets().unwrap().is_empty());
    let dry = Box::pin(remove(&rig.config, &rig.rest, Removal::DryRun)).await.unwrap();
    assert!(!dry.done && dry.removed.iter().any(|thing| thing.what.contains("slot")));
    assert_eq!(rig.rest.connectors().await.unwrap().len(), 2);
    Box::pin(remove(&rig.config, &rig.rest, Removal::Drop)).await.unwrap();
    assert_eq!(rig.rest.connectors().await.unwrap(), [""; 0]);
    // By us and by Kafka's own command.
    let groups = [admin.consumer_groups().await.unwrap(), rig.cluster.consumer_groups().unwrap()].concat();
    assert!(!groups.iter().any(|group| group.contains("segcdc_shop")), "{groups:?}");
    assert_eq!(rig.cluster.stored_offsets().unwrap(), [""; 0]);
    becomes("the topics are gone", || async {
        let topics = admin.topics().await.unwrap();
        !topics.iter().any(|topic| topic.contains("segcdc_shop") && !topics_before.contains(topic))
    })
    .await;
    for question in [
        "SELECT count(*)::text FROM pg_replication_slots",
        "SELECT count(*)::text FROM pg_publication",
        "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'segcdc'",
    ] {
        assert_eq!(rig.text(question).await, "0", "{question}");
    }
    let mut target = Target::connect(&rig.config.engine.target).await.unwrap();
    assert_eq!(target.load_state(NAME).await.unwrap(), None);
    let files = std::fs::read_dir(rig.cluster.secrets_dir()).unwrap().count();
    assert_eq!(files, 0, "the file with the passwords is left");
    // The same name can be used again at once: nothing of the old one is in the way, but the tables with their rows.
    let mut again = rig.config.engine.clone();
    again.engine = EngineKind::Native;
    let found = Box::pin(preflight(&again)).await.unwrap();
    let failures: Vec<_> = found.failures().map(|finding| finding.code.as_str()).collect();
    assert_eq!(failures, ["TARGET_TABLE_NOT_EMPTY"; 2]);
    for plan in &found.plans {
        if plan.source.name.name != "unbounded" {
            assert!(!target.prepare_table(plan, ExistingRows::Allow).await.unwrap().created);
        }
    }
}
