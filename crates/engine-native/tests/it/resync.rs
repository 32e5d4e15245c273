//! Tables that are copied again while the others stay as they are.

use segcdc_engine_native::resync;
use segcdc_model::{Fault, TablePhase};

use crate::rig::Rig;

/// Where a table stands, by the target's state.
async fn phase(rig: &Rig, name: &str) -> TablePhase {
    let state = rig.state().await.unwrap();
    state.tables.iter().find(|table| table.source.name == name).unwrap().phase
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_table_is_copied_again_and_lives() {
    let rig = Rig::shared(
        "resync_row",
        "CREATE TABLE good (id int PRIMARY KEY, n int); CREATE TABLE bad (id int PRIMARY KEY, n numeric);
         INSERT INTO good VALUES (1, 1); INSERT INTO bad VALUES (1, 1)",
    )
    .await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("INSERT INTO good VALUES (2, 2); INSERT INTO bad VALUES (2, 'NaN'), (3, 3)").await;
    rig.settle(&running).await;
    assert_eq!(phase(&rig, "bad").await, TablePhase::Quarantined);
    // Not while it runs.
    assert_eq!(resync(&rig.config, &[]).await.unwrap_err().code(), "SLOT_IN_USE");
    running.stop().await;
    rig.sql(
        "UPDATE bad SET n = 2 WHERE id = 2; INSERT INTO good VALUES (4, 4); INSERT INTO bad VALUES (4, 4)",
    )
    .await;
    let report = resync(&rig.config, &[]).await.unwrap();
    assert_eq!(report.tables.iter().map(|table| table.source.name.as_str()).collect::<Vec<_>>(), ["bad"]);
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("INSERT INTO bad VALUES (5, 5); DELETE FROM bad WHERE id = 1; INSERT INTO good VALUES (5, 5)")
        .await;
    rig.settle(&running).await;
    rig.assert_equal(&["good", "bad"]).await;
    assert_eq!(phase(&rig, "bad").await, TablePhase::Streaming);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_shape_is_made_anew() {
    let rig = Rig::shared(
        "resync_shape",
        "CREATE TABLE still (id int PRIMARY KEY, n int); INSERT INTO still VALUES (1, 1);
         CREATE TABLE grown (id int PRIMARY KEY, n int); INSERT INTO grown VALUES (1, 1);
         CREATE TABLE again (id int PRIMARY KEY, n int); INSERT INTO again VALUES (1, 1)",
    )
    .await;
    rig.catch_up().await.unwrap();
    rig.sql(
        "ALTER TABLE grown ADD COLUMN word text DEFAULT md5(random()::text); UPDATE grown SET word = 'new';
         DROP TABLE again; CREATE TABLE again (id bigint PRIMARY KEY, other text); INSERT INTO again VALUES (7, 'x')",
    )
    .await;
    rig.catch_up().await.unwrap();
    assert_eq!(phase(&rig, "grown").await, TablePhase::Quarantined);
    assert_eq!(phase(&rig, "again").await, TablePhase::Quarantined);
    let report =
        resync(&rig.config, &["public.*a*".parse().unwrap(), "grown".parse().unwrap()]).await.unwrap();
    let anew: Vec<(&str, bool)> =
        report.tables.iter().map(|table| (table.source.name.as_str(), table.made_anew)).collect();
    assert_eq!(anew, [("again", true), ("grown", true)]);
    rig.sql(
        "INSERT INTO again VALUES (8, NULL); INSERT INTO grown VALUES (2, 2, 'two'); UPDATE still SET n = 2",
    )
    .await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("DELETE FROM again WHERE id = 7; UPDATE grown SET n = 3; INSERT INTO still VALUES (2, 2)").await;
    rig.settle(&running).await;
    rig.assert_equal(&["still", "grown", "again"]).await;
    running.stop().await;
}
