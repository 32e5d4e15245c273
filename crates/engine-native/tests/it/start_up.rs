//! What a start refuses, without writing anything.

use segcdc_engine_native::{EngineConfig, PipelineStateWord, Removal, down, status};
use segcdc_model::{Fault, Lsn};
use segcdc_sqlserver::Target;
use segcdc_testkit::until;

use crate::rig::{PATIENCE, Rig};
use crate::workload::{NAMES, TABLES};

/// A pipeline that has caught up and does not run.
async fn stopped(name: &str) -> Rig {
    let rig = Rig::shared(name, TABLES).await;
    rig.catch_up().await.unwrap();
    rig
}

/// Starts, and expects a refusal that leaves target and checkpoint as they were.
async fn assert_refused(rig: &Rig, code: &str) {
    assert_refused_with(rig, rig.config.clone(), code).await;
}

/// The same with other settings.
async fn assert_refused_with(rig: &Rig, config: EngineConfig, code: &str) {
    rig.sql("UPDATE item SET amount = amount + 1").await;
    let before = (rig.state().await.unwrap().checkpoint, rig.target_rows("item").await);
    assert_eq!(rig.start_with(config).error_code().await, code);
    let after = (rig.state().await.unwrap().checkpoint, rig.target_rows("item").await);
    assert_eq!(before, after, "something was written");
}

/// # Fault F4
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_slot_is_refused() {
    let rig = stopped("start_slot_missing").await;
    let slot = rig.slot().await;
    rig.ask(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    assert_refused(&rig, "SLOT_MISSING").await;
    assert_eq!(status(&rig.config).await.unwrap().state, PipelineStateWord::Failed);
}

/// # Fault F4
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_made_again_is_refused() {
    let rig = stopped("start_slot_again").await;
    let slot = rig.slot().await;
    rig.ask(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    rig.sql("UPDATE item SET amount = amount + 1").await;
    rig.ask(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    assert_refused(&rig, "SLOT_AHEAD_OF_CHECKPOINT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_another_plugin_is_refused() {
    let rig = stopped("start_slot_plugin").await;
    let slot = rig.slot().await;
    rig.ask(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    rig.ask(&format!("SELECT pg_create_physical_replication_slot('{slot}')")).await;
    assert_refused(&rig, "SLOT_WRONG_PLUGIN").await;
    rig.ask(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
}

/// # Fault F18
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_publication_is_refused() {
    let rig = stopped("start_publication").await;
    rig.sql("DROP PUBLICATION segcdc_start_publication").await;
    assert_refused(&rig, "PUBLICATION_MISSING").await;
    rig.sql("CREATE PUBLICATION segcdc_start_publication FOR TABLE item, account, log").await;
    assert_refused(&rig, "PUBLICATION_CHANGED").await;
}

/// # Fault F17
#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_publication_is_refused() {
    let rig = stopped("start_narrowed").await;
    rig.sql("ALTER PUBLICATION segcdc_start_narrowed SET (publish = 'insert, update')").await;
    assert_refused(&rig, "PUBLICATION_CHANGED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_refused() {
    let rig = stopped("start_identity").await;
    let mut config = rig.config.clone();
    config.source.database = "postgres".to_owned();
    assert_refused_with(&rig, config, "SOURCE_IDENTITY_MISMATCH").await;
}

/// # Fault F30
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_reach_the_checkpoint_is_refused() {
    let rig = stopped("start_rewound").await;
    let checkpoint = rig.state().await.unwrap().checkpoint;
    let ahead = Lsn::new(checkpoint.applied_lsn.as_u64() + (1 << 40));
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    target.set_lineage(&checkpoint, &checkpoint.lineage, ahead).await.unwrap();
    assert_refused(&rig, "SOURCE_REWOUND").await;
}

/// # Fault F5
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_lost_its_wal_is_refused() {
    let rig = Rig::private("start_lost", TABLES).await;
    rig.catch_up().await.unwrap();
    rig.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").await;
    rig.ask("SELECT pg_reload_conf()").await;
    let slot = rig.slot().await;
    let lost = || async {
        rig.sql("CREATE TABLE noise AS SELECT generate_series(1, 1000) AS n; DROP TABLE noise").await;
        rig.ask("SELECT pg_switch_wal()").await;
        rig.sql("CHECKPOINT").await;
        let status = format!("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{slot}'");
        (rig.ask(&status).await == "lost").then_some(())
    };
    until("the slot is lost", PATIENCE, lost).await.unwrap();
    assert_refused(&rig, "SLOT_LOST").await;
}

/// # Fault F31
/// A transaction that does not end keeps the slot from being made.
/// - Happens: `SLOT_CREATION_TIMEOUT` names the process that is waited for; nothing half-made is left.
/// - Do: end that transaction, or wait for it; then start again.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_never_ends_keeps_a_slot_from_being_made() {
    // Servers of its own: open transactions of other tests would do the same.
    let mut rig = Rig::private("start_blocked", TABLES).await;
    rig.config.slot_patience = std::time::Duration::from_secs(1);
    rig.sql("BEGIN; UPDATE item SET amount = 0 WHERE id = 1").await;
    let pid = rig.ask("SELECT pg_backend_pid()").await;
    let error = rig.start().end().await.unwrap_err();
    assert_eq!(error.code(), "SLOT_CREATION_TIMEOUT");
    assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    rig.sql("COMMIT").await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&NAMES).await;
    assert_eq!(rig.ask("SELECT count(*) FROM pg_replication_slots").await, "1", "a half-made slot is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_slot_or_publication_keeps_a_new_pipeline_from_starting() {
    let rig = Rig::shared("start_foreign", TABLES).await;
    rig.ask("SELECT pg_create_logical_replication_slot('segcdc_start_foreign_g1', 'pgoutput')").await;
    assert_eq!(rig.start().error_code().await, "SLOT_EXISTS");
    rig.ask("SELECT pg_drop_replication_slot('segcdc_start_foreign_g1')").await;
    rig.sql("CREATE PUBLICATION segcdc_start_foreign FOR TABLE item").await;
    assert_eq!(rig.start().error_code().await, "PUBLICATION_EXISTS");
    assert!(rig.state().await.is_none());
}

/// # Fault F12
/// A table is altered so that its rows in the target cannot follow for certain: PostgreSQL wrote them anew, or a rule says to halt.
/// - Happens: the table is set aside as `SCHEMA_CHANGED`, and the others go on.
/// - Do: `segcdc table resync`.
/// # Fault F14
/// A table is dropped at the source.
/// - Happens: what it had until then is applied; then it is set aside as `TABLE_NOT_FOUND`, its rows stay in the target, and the others go
///   on. `--on-schema-change drop-table=apply` drops it in the target too, `ignore` lets it leave the pipeline.
/// - Do: `segcdc table remove`, with `--drop-target` where it is not needed there either.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_changed_meanwhile_are_set_aside() {
    let rig = stopped("start_tables").await;
    rig.sql(
        "ALTER TABLE item ADD COLUMN extra text DEFAULT md5(random()::text); UPDATE item SET amount = 1; DROP TABLE account;
         INSERT INTO log VALUES (7, 'goes on')",
    )
    .await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["log"]).await;
    let state = rig.state().await.unwrap();
    let code = |name: &str| {
        let table = state.tables.iter().find(|table| table.source.name == name).unwrap();
        table.error.as_ref().map(|(code, _)| code.clone())
    };
    assert_eq!(code("item").as_deref(), Some("SCHEMA_CHANGED"));
    assert_eq!(code("account").as_deref(), Some("TABLE_NOT_FOUND"));
    assert_eq!(code("log"), None);
}

/// # Fault F47
/// Somebody drops or alters a replicated table of the target.
/// - Happens: `segcdc status` says `TARGET_SCHEMA_DRIFT`; the table is set aside as that at the next start, or with the first change
///   that does not fit, and the others go on.
/// - Do: `segcdc doctor` shows the differences; `segcdc table resync` makes the table anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_target_table_is_set_aside() {
    let rig = stopped("start_drift").await;
    let plan = rig.plan("item").await;
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let drifted = async || {
        let notes = status(&rig.config).await.unwrap().notes;
        notes.into_iter().find(|note| note.code == "TARGET_SCHEMA_DRIFT").map(|note| note.detail)
    };
    assert_eq!(drifted().await, None);
    target.drop_table(&plan.target).await.unwrap();
    let detail = drifted().await.unwrap();
    assert!(detail.ends_with("item: it is not there"), "{detail}");
    rig.sql("UPDATE item SET amount = 1; INSERT INTO log VALUES (7, 'goes on')").await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["log", "account"]).await;
    let state = rig.state().await.unwrap();
    let item = state.tables.iter().find(|table| table.source.name == "item").unwrap();
    assert_eq!(item.error.as_ref().unwrap().0, "TARGET_SCHEMA_DRIFT");
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_a_pipeline_away_leaves_only_the_tables() {
    let rig = stopped("start_down").await;
    let planned = down(&rig.config, Removal::DryRun).await.unwrap();
    assert!(!planned.done && rig.state().await.is_some());
    let running = rig.start();
    running.until_streaming().await;
    let refused = down(&rig.config, Removal::Drop).await.unwrap_err();
    assert_eq!(refused.code(), "SLOT_IN_USE");
    // The engine is not disturbed by it.
    rig.sql("INSERT INTO log VALUES (8, 'goes on')").await;
    rig.settle(&running).await;
    running.stop().await;
    let done = down(&rig.config, Removal::Drop).await.unwrap();
    assert_eq!((done.removed.len(), done.left.len()), (planned.removed.len(), NAMES.len()));
    assert!(rig.state().await.is_none());
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) \
                + (SELECT count(*) FROM pg_publication)";
    assert_eq!(rig.ask(left).await, "0");
    rig.assert_equal(&NAMES).await;
    assert_eq!(status(&rig.config).await.unwrap_err().code(), "STATE_MISSING");
}
