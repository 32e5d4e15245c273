//! Set-ups and copies that are interrupted.

use segcdc_engine_native::{Outcome, PipelineStateWord, status};
use segcdc_model::{Lsn, TablePhase};
use segcdc_sqlserver::Target;

use crate::rig::Rig;
use crate::workload::{NAMES, TABLES};

#[tokio::test(flavor = "multi_thread")]
async fn finished_tables_are_never_copied_again() {
    let mut rig = Rig::shared(
        "setup_resume",
        "CREATE TABLE first (id int PRIMARY KEY, n int); INSERT INTO first SELECT n, n FROM generate_series(1, 50) n;
         CREATE TABLE second (id int PRIMARY KEY, n int); INSERT INTO second SELECT n, n FROM generate_series(1, 50) n",
    )
    .await;
    rig.catch_up().await.unwrap();
    // As if the copy of one table had been interrupted: rows of unknown origin, and no end of it.
    let state = rig.state().await.unwrap();
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let second = state.tables.iter().find(|table| table.source.name == "second").unwrap();
    let interrupted =
        segcdc_sqlserver::TableState { phase: TablePhase::Copying, sync_lsn: Lsn::ZERO, ..second.clone() };
    target.set_table(&state.checkpoint, &interrupted).await.unwrap();
    rig.sql("UPDATE first SET n = n + 1; UPDATE second SET n = n + 1 WHERE id < 10").await;
    // A second copy of the first table would fail.
    rig.servers.postgres.execute("postgres", "DROP ROLE IF EXISTS reader_setup").await.unwrap();
    rig.sql(
        "CREATE ROLE reader_setup LOGIN REPLICATION; GRANT SELECT ON second TO reader_setup;
         GRANT pg_monitor TO reader_setup; GRANT USAGE ON SCHEMA public TO reader_setup;
         GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() TO reader_setup",
    )
    .await;
    rig.config.source.user = "reader_setup".to_owned();
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("UPDATE first SET n = n * 2; UPDATE second SET n = n * 2").await;
    rig.settle(&running).await;
    rig.config.source.user = "postgres".to_owned();
    rig.assert_equal(&["first", "second"]).await;
    running.stop().await;
    let after = rig.state().await.unwrap();
    assert_eq!(after.checkpoint.lineage.slot, state.checkpoint.lineage.slot, "the slot stays");
    let sync = |state: &segcdc_sqlserver::PipelineState, name: &str| {
        state.tables.iter().find(|table| table.source.name == name).unwrap().sync_lsn
    };
    assert_eq!(sync(&after, "first"), sync(&state, "first"));
    assert!(sync(&after, "second") > sync(&state, "second"));
    rig.sql("DROP OWNED BY reader_setup; DROP ROLE reader_setup").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_without_a_finished_table_begins_anew() {
    let rig = Rig::shared("setup_anew", TABLES).await;
    rig.catch_up().await.unwrap();
    let state = rig.state().await.unwrap();
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let queued: Vec<_> = state
        .tables
        .iter()
        .map(|table| segcdc_sqlserver::TableState { phase: TablePhase::Queued, ..table.clone() })
        .collect();
    target.set_tables(&state.checkpoint, &queued).await.unwrap();
    rig.sql("UPDATE item SET amount = amount + 1").await;
    assert!(matches!(rig.catch_up().await, Ok(Outcome::CaughtUp { .. })));
    rig.assert_equal(&NAMES).await;
    assert_eq!(rig.slot().await, "segcdc_setup_anew_g2");
    let slots = "SELECT string_agg(slot_name, ',') FROM pg_replication_slots WHERE database = 'setup_anew'";
    assert_eq!(rig.ask(slots).await, "segcdc_setup_anew_g2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_ended_behind_the_state_row_begins_anew() {
    let rig = Rig::shared("setup_row", TABLES).await;
    rig.catch_up().await.unwrap();
    let state = rig.state().await.unwrap();
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let lineage = &state.checkpoint.lineage;
    target.set_lineage(&state.checkpoint, lineage, Lsn::ZERO).await.unwrap();
    assert!(matches!(rig.catch_up().await, Ok(Outcome::CaughtUp { .. })));
    rig.assert_equal(&NAMES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_both_servers_say() {
    let rig = Rig::shared("setup_status", TABLES).await;
    let running = rig.start();
    running.until_streaming().await;
    let report = status(&rig.config).await.unwrap();
    assert_eq!(report.state, PipelineStateWord::Running);
    assert!(report.slot.as_ref().unwrap().active_pid.is_some());
    assert_eq!(report.tables.iter().map(|table| table.rows_copied).sum::<u64>(), 570);
    rig.settle(&running).await;
    running.stop().await;
    let report = status(&rig.config).await.unwrap();
    assert_eq!((report.state, report.slot.unwrap().active_pid), (PipelineStateWord::Stopped, None));
}
