//! Tables that are made while a pipeline runs.

use segcdc_engine_native::{Choice, Wish, ask};
use segcdc_model::TablePhase;
use segcdc_plan::{RuleTexts, Rules};
use segcdc_sqlserver::Target;
use segcdc_testkit::until;

use crate::rig::{PATIENCE, Rig, Running};

/// Waits until the state says of a table that it is live, or that there is none of its name.
async fn until_live(rig: &Rig, running: &Running, table: &str, is_live: bool) {
    let what = format!("{table} is live: {is_live}");
    let waited = until(&what, PATIENCE, || async {
        let tables = rig.state().await.unwrap().tables;
        let found = tables.iter().find(|found| found.source.name == table).map(|found| found.phase);
        (found == is_live.then_some(TablePhase::Streaming)).then_some(())
    });
    waited.await.unwrap_or_else(|error| panic!("{error}: {:?}", running.progress.snapshot()));
}

/// What is recorded of a table, oldest first.
async fn recorded(rig: &Rig, table: &str) -> Vec<(String, String)> {
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let changes = target.schema_changes(&rig.name, 100).await.unwrap();
    let of_table = changes.into_iter().rev().filter(|change| change.source.name == table);
    of_table.map(|change| (format!("{} {}", change.kind, change.outcome), change.what)).collect()
}

/// Waits until something was looked at, and nothing came of it.
async fn until_looked(rig: &Rig, running: &Running, marker: &str) {
    rig.sql(&format!("CREATE TABLE {marker} (id int PRIMARY KEY)")).await;
    until_live(rig, running, marker, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tables_are_taken_in_and_removed_ones_are_not() {
    let mut rig =
        Rig::shared("pick_up", "CREATE TABLE first (id int PRIMARY KEY); INSERT INTO first VALUES (1)").await;
    let pick_up = ["public.*", "!public.log_*"].map(str::to_owned).to_vec();
    rig.config.rules = Rules::parse(&RuleTexts { pick_up, ..RuleTexts::default() }).unwrap();
    let running = rig.start();
    running.until_streaming().await;
    rig.sql(
        "CREATE TABLE made (id int PRIMARY KEY, v text); INSERT INTO made SELECT n, 'v' FROM generate_series(1, 50) n;
         CREATE TABLE log_x (id int PRIMARY KEY); CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY);
         CREATE TABLE keyless (id int, v text); INSERT INTO keyless VALUES (1, 'a')",
    )
    .await;
    until_live(&rig, &running, "made", true).await;
    rig.sql(
        "UPDATE made SET v = 'w' WHERE id < 10; DELETE FROM made WHERE id = 11; INSERT INTO first VALUES (2)",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["made", "first"]).await;
    assert_eq!(
        recorded(&rig, "made").await.first().map(|(what, _)| what.as_str()),
        Some("new-table applied")
    );
    // One that cannot be replicated is named once, and taken in when it can.
    until_looked(&rig, &running, "marker_one").await;
    let said = recorded(&rig, "keyless").await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].0 == "new-table refused" && said[0].1.contains("NO_REPLICA_IDENTITY"), "{said:?}");
    rig.sql("ALTER TABLE keyless ADD PRIMARY KEY (id)").await;
    until_live(&rig, &running, "keyless", true).await;
    rig.settle(&running).await;
    rig.assert_equal(&["keyless"]).await;
    // What a person takes out stays out, in this run and in the next, which knows the rules from the state.
    ask(&rig.config, Wish::Remove { drop_target: true }, Choice::Matching(&["public.made".parse().unwrap()]))
        .await
        .unwrap();
    until_live(&rig, &running, "made", false).await;
    until_looked(&rig, &running, "marker_two").await;
    running.stop().await;
    rig.config.rules = Rules::default();
    let running = rig.start();
    running.until_streaming().await;
    until_looked(&rig, &running, "marker_three").await;
    let state = rig.state().await.unwrap();
    let names: Vec<&str> = state.tables.iter().map(|table| table.source.name.as_str()).collect();
    assert!(!names.iter().any(|name| ["made", "log_x", "t"].contains(name)), "{names:?}");
    assert_eq!(
        recorded(&rig, "made").await.last().map(|(what, _)| what.as_str()),
        Some("remove-table applied")
    );
    running.stop().await;
}
