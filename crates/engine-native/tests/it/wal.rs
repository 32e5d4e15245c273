//! WAL that the source keeps: seen, forecast, and given up before it is too much.

use segcdc_engine_native::{EngineConfig, Health, PipelineStateWord, WalLimit, WalPolicy, status};
use segcdc_model::Fault;
use segcdc_testkit::until;

use crate::rig::{PATIENCE, Rig};
use crate::workload::{NAMES, TABLES};

/// The limit of these tests.
const LIMIT: u64 = 8 << 20;

/// Twice as much.
const NOISE: &str = "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1 << 20))) \
     FROM generate_series(1, 16)";

/// The same pipeline with a limit.
fn limited(rig: &Rig, policy: WalPolicy) -> EngineConfig {
    let wal = WalLimit { max_retained_bytes: Some(LIMIT), policy };
    EngineConfig { wal, ..rig.config.clone() }
}

/// Names of the slots of the rig's source.
async fn slots(rig: &Rig) -> String {
    rig.ask("SELECT coalesce(string_agg(slot_name, ','), '') FROM pg_replication_slots").await
}

/// Both sides are equal after a run that copies, and changes are followed.
async fn assert_works(rig: &Rig, config: EngineConfig) {
    rig.sql("UPDATE item SET amount = amount + 1; INSERT INTO log VALUES (99, 'behind')").await;
    let config = EngineConfig { until_caught_up: true, ..config };
    rig.start_with(config.clone()).end().await.unwrap();
    rig.assert_equal(&NAMES).await;
    rig.sql("UPDATE item SET amount = amount + 1; DELETE FROM account WHERE id = 7").await;
    rig.start_with(config).end().await.unwrap();
    rig.assert_equal(&NAMES).await;
}

/// A transaction that nobody ends keeps the slot's WAL, though the pipeline is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_keeps_too_much_is_given_up_and_the_target_knows() {
    let rig = Rig::private("wal_given_up", TABLES).await;
    let running = rig.start_with(limited(&rig, WalPolicy::GiveUp));
    running.until_streaming().await;
    rig.sql("BEGIN; UPDATE item SET amount = 0 WHERE id = 1").await;
    let writer = rig.servers.postgres.connect(&rig.name).await.unwrap();
    writer.simple_query(NOISE).await.unwrap();
    assert_eq!(running.error_code().await, "WAL_LIMIT_REACHED");
    rig.sql("COMMIT").await;
    assert_eq!(slots(&rig).await, "", "the slot is still there");
    let report = status(&rig.config).await.unwrap();
    assert_eq!((report.state, report.health), (PipelineStateWord::Stopped, Health::Warn), "{report:?}");
    assert!(report.notes.iter().any(|note| note.code == "WAL_LIMIT_REACHED"), "{report:?}");
    // The state says what is to be done, whatever the policy is now.
    assert_works(&rig, rig.config.clone()).await;
    assert_eq!(slots(&rig).await, "segcdc_wal_given_up_g2");
    assert_eq!(status(&rig.config).await.unwrap().health, Health::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_given_up_while_the_target_is_away() {
    let mut rig = Rig::private("wal_away", TABLES).await;
    let running = rig.start_with(limited(&rig, WalPolicy::GiveUp));
    running.until_streaming().await;
    rig.own().sandbox.kill().unwrap();
    rig.sql("UPDATE item SET amount = 7").await;
    running.until("it waits for the target", |snapshot| snapshot.retries > 0).await;
    rig.ask(NOISE).await;
    assert_eq!(running.error_code().await, "WAL_LIMIT_REACHED");
    assert_eq!(slots(&rig).await, "", "the slot is still there");
    rig.own().sandbox.start_again().await.unwrap();
    // The target knows nothing of it: nothing is copied again that the user has not agreed to.
    let before = rig.target_rows("item").await;
    assert_eq!(rig.start().error_code().await, "SLOT_MISSING");
    assert_eq!(rig.target_rows("item").await, before);
    assert_works(&rig, limited(&rig, WalPolicy::GiveUp)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_alone_raises_an_alarm_and_goes_on() {
    let rig = Rig::private("wal_alert", TABLES).await;
    let running = rig.start_with(limited(&rig, WalPolicy::Alert));
    running.until_streaming().await;
    rig.sql("BEGIN; UPDATE item SET amount = 0 WHERE id = 1").await;
    let writer = rig.servers.postgres.connect(&rig.name).await.unwrap();
    writer.simple_query(NOISE).await.unwrap();
    running
        .until("an alarm is raised", |snapshot| {
            let wal = snapshot.wal.as_ref();
            wal.is_some_and(|wal| wal.alerts.iter().any(|alert| alert.code == "WAL_LIMIT_REACHED"))
        })
        .await;
    let told = || async {
        let report = status(&rig.config).await.unwrap();
        report.notes.iter().any(|note| note.code == "WAL_LIMIT_REACHED").then_some(report)
    };
    let report = until("status knows it from the target", PATIENCE, told).await.unwrap();
    assert_eq!((report.state, report.health), (PipelineStateWord::Running, Health::Warn));
    let slot = report.slot.unwrap();
    assert_eq!(slot.forecast.limit_bytes, Some(LIMIT));
    assert_eq!(slot.forecast.left_bytes, Some(0));
    assert!(slot.retained_bytes > LIMIT, "{slot:?}");
    rig.sql("COMMIT").await;
    rig.settle(&running).await;
    let let_go = || async {
        // Two records of running transactions: the slot's position moves from one to the next.
        rig.sql("CHECKPOINT; UPDATE item SET amount = amount + 1").await;
        let wal = running.progress.snapshot().wal?;
        wal.alerts.is_empty().then_some(())
    };
    until("the alarm is over", PATIENCE, let_go).await.unwrap();
    rig.settle(&running).await;
    running.stop().await;
    rig.assert_equal(&NAMES).await;
}

/// What a stopped pipeline's slot keeps grows as the source writes: that is seen from how the last run left it.
#[tokio::test(flavor = "multi_thread")]
async fn rates_of_a_stopped_pipeline_are_told_from_its_end_on() {
    let rig = Rig::private("wal_rates", TABLES).await;
    rig.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'").await;
    rig.ask("SELECT pg_reload_conf()").await;
    rig.catch_up().await.unwrap();
    rig.ask(NOISE).await;
    let told = || async {
        let slot = status(&rig.config).await.unwrap().slot.unwrap();
        slot.forecast.written_per_second.map(|_| slot)
    };
    let slot = until("half a second has passed", PATIENCE, told).await.unwrap();
    let forecast = slot.forecast;
    assert!(forecast.growth_per_second > Some(1 << 16), "{forecast:?}");
    assert!(forecast.limit_bytes == Some(64 << 30) && forecast.left_bytes.is_some(), "{forecast:?}");
    assert!(forecast.limit_in_seconds > Some(0) && forecast.outage_seconds > Some(0), "{forecast:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_slot_is_never_given_up() {
    let rig = Rig::shared("wal_given", TABLES).await;
    rig.ask("SELECT pg_create_logical_replication_slot('wal_given', 'pgoutput')").await;
    let config = EngineConfig {
        slot: Some("wal_given".to_owned()),
        snapshot: segcdc_engine_native::SnapshotMode::None,
        ..limited(&rig, WalPolicy::GiveUp)
    };
    assert_eq!(rig.start_with(config).end().await.unwrap_err().code(), "SLOT_NOT_OURS");
    rig.ask("SELECT pg_drop_replication_slot('wal_given')").await;
}
