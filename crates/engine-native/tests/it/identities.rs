//! What identifies rows is changed at the source.

use segcdc_engine_native::{VerifyOptions, verify};
use segcdc_model::TablePhase;
use segcdc_plan::{RuleTexts, Rules};
use segcdc_sqlserver::Target;

use crate::rig::Rig;

/// One table for each case, all alike.
const CASES: [&str; 8] =
    ["live", "inside", "texts", "to_full", "to_index", "full_key", "no_key", "column_goes"];

async fn tables(name: &str) -> Rig {
    let make = |case: &&str| {
        format!(
            "CREATE TABLE {case} (id int CONSTRAINT {case}_key PRIMARY KEY, a text NOT NULL, b int NOT NULL);
             INSERT INTO {case} SELECT n, 'a' || n, n FROM generate_series(1, 50) n;"
        )
    };
    let rig = Rig::shared(name, &CASES.iter().map(make).collect::<String>()).await;
    rig.catch_up().await.unwrap();
    rig
}

/// Runs statements one by one, each a transaction of its own.
async fn one_by_one(rig: &Rig, sql: &str) {
    for statement in sql.split(';') {
        rig.sql(statement).await;
    }
}

/// What the state says of a table: the code that halted it, or the changes that were recorded, oldest first.
async fn said(rig: &Rig, table: &str) -> Vec<String> {
    let state = rig.state().await.unwrap();
    let found = state.tables.iter().find(|found| found.source.name == table).unwrap();
    if found.phase == TablePhase::Quarantined {
        return vec![found.error.clone().unwrap().0];
    }
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let changes = target.schema_changes(&rig.name, 100).await.unwrap();
    let of_table = changes.iter().rev().filter(|change| change.source.name == table);
    of_table.map(|change| format!("{} {}", change.kind, change.outcome)).collect()
}

async fn assert_verified(rig: &Rig) {
    let options =
        VerifyOptions { patterns: Vec::new(), limit: 9, memory_bytes: 8 << 20, ..VerifyOptions::default() };
    let report = verify(&rig.config, &options, &mut |_| {}).await.unwrap();
    assert!(report.is_equal(), "{report:#?}");
}

/// # Fault F11
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_identities_are_followed_between_rows() {
    let rig = tables("identities_followed").await;
    one_by_one(
        &rig,
        "ALTER TABLE live DROP CONSTRAINT live_key, ADD PRIMARY KEY (b); UPDATE live SET id = 7, a = 'x' WHERE b = 1;
         DELETE FROM live WHERE b = 2; UPDATE live SET b = 900 WHERE b = 3; INSERT INTO live VALUES (7, 'again', 901);
         ALTER TABLE to_full REPLICA IDENTITY FULL; UPDATE to_full SET a = 'x' WHERE id = 1; DELETE FROM to_full WHERE id = 2;
         ALTER TABLE to_full REPLICA IDENTITY DEFAULT; UPDATE to_full SET id = 600 WHERE id = 3;
         CREATE UNIQUE INDEX by_b ON to_index (b); ALTER TABLE to_index REPLICA IDENTITY USING INDEX by_b;
         UPDATE to_index SET id = id + 100, a = 'x' WHERE b < 5; DELETE FROM to_index WHERE b = 9;
         ALTER TABLE full_key REPLICA IDENTITY FULL; UPDATE full_key SET a = 'x' WHERE id = 1;
         ALTER TABLE full_key DROP CONSTRAINT full_key_key; INSERT INTO full_key VALUES (5, 'a5', 5), (5, 'a5', 5);
         DELETE FROM full_key WHERE ctid = (SELECT max(ctid) FROM full_key WHERE id = 5);
         DELETE FROM full_key WHERE ctid = (SELECT max(ctid) FROM full_key WHERE id = 5);
         ALTER TABLE full_key ADD PRIMARY KEY (b); UPDATE full_key SET a = 'q' WHERE b = 5",
    )
    .await;
    // With rows before, between and behind, in one transaction: between two keys rows are only added.
    rig.sql(
        "BEGIN; UPDATE inside SET a = 'before' WHERE id = 1; ALTER TABLE inside DROP CONSTRAINT inside_key;
         INSERT INTO inside VALUES (2, 'same id', 500); ALTER TABLE inside ADD PRIMARY KEY (id, b);
         UPDATE inside SET a = 'behind' WHERE id = 2; DELETE FROM inside WHERE id = 3; UPDATE inside SET b = 8 WHERE id = 4;
         ALTER TABLE inside ADD COLUMN n int DEFAULT 5; INSERT INTO inside VALUES (2, 'more', 501, 6); COMMIT",
    )
    .await;
    rig.sql(
        "BEGIN; ALTER TABLE texts DROP CONSTRAINT texts_key; ALTER TABLE texts ADD PRIMARY KEY (a); COMMIT;
         UPDATE texts SET id = 0 WHERE a = 'a5'; INSERT INTO texts VALUES (0, 'A5', 1)",
    )
    .await;
    rig.sql(
        "BEGIN; ALTER TABLE texts DROP CONSTRAINT texts_pkey; ALTER TABLE texts ADD PRIMARY KEY (b, id); COMMIT;
         UPDATE texts SET a = repeat('long', 300) WHERE b = 7",
    )
    .await;
    rig.sql(
        "BEGIN; ALTER TABLE column_goes ADD COLUMN code text; UPDATE column_goes SET code = 'c' || id;
         ALTER TABLE column_goes DROP COLUMN id; ALTER TABLE column_goes ADD PRIMARY KEY (code); COMMIT;
         UPDATE column_goes SET a = 'x' WHERE code = 'c5'; INSERT INTO column_goes VALUES ('new', 1, 'c99');
         DELETE FROM column_goes WHERE code = 'c6'",
    )
    .await;
    rig.catch_up().await.unwrap();
    for case in ["live", "to_full", "to_index", "full_key", "inside", "texts"] {
        assert_ne!(said(&rig, case).await, ["SCHEMA_CHANGED"], "{case}");
        rig.assert_equal(&[case]).await;
    }
    assert_eq!(said(&rig, "live").await, ["change-key applied"; 2]);
    assert_eq!(said(&rig, "to_full").await, ["change-identity applied"; 2]);
    assert_eq!(said(&rig, "to_index").await, ["change-identity applied"; 2]);
    let inside = ["change-key applied", "change-key applied", "add-column applied"];
    assert_eq!(said(&rig, "inside").await, inside);
    assert_verified(&rig).await;
    // It goes on from what it stored.
    rig.sql("UPDATE live SET a = 'z' WHERE b = 10; UPDATE texts SET a = 'z' WHERE b = 10; DELETE FROM column_goes WHERE code = 'c7'")
        .await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["live", "texts"]).await;
    assert_verified(&rig).await;
}

/// # Fault F12
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_followed_halts_or_goes_on_without_guessing() {
    let mut rig = tables("identities_kept").await;
    let rules = [
        "public.live:change-key=ignore",
        "public.inside:change-key=halt",
        "public.texts:drop-identity=ignore",
    ];
    let changes = rules.iter().map(|rule| (*rule).to_owned()).collect();
    rig.config.rules = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
    let running = rig.start();
    running.until_streaming().await;
    one_by_one(
        &rig,
        "ALTER TABLE live DROP CONSTRAINT live_key, ADD PRIMARY KEY (id, b); UPDATE live SET a = 'x' WHERE id = 1;
         UPDATE live SET b = 77 WHERE id = 2; DELETE FROM live WHERE id = 3;
         ALTER TABLE inside DROP CONSTRAINT inside_key, ADD PRIMARY KEY (b); UPDATE inside SET a = 'x' WHERE id = 1;
         ALTER TABLE texts REPLICA IDENTITY NOTHING; INSERT INTO texts VALUES (70, 'n', 70);
         ALTER TABLE no_key DROP CONSTRAINT no_key_key; INSERT INTO no_key VALUES (1, 'twice', 1)",
    )
    .await;
    rig.settle(&running).await;
    // The stream sends the old key still, and one more column.
    rig.assert_equal(&["live", "texts"]).await;
    assert_eq!(said(&rig, "live").await, ["change-key ignored"]);
    assert_eq!(said(&rig, "inside").await, ["SCHEMA_CHANGED"]);
    assert_eq!(said(&rig, "no_key").await, ["REPLICA_IDENTITY_CHANGED"]);
    assert_eq!(said(&rig, "texts").await, ["drop-identity ignored"]);
    // What finds rows in the target is not sent any more.
    one_by_one(
        &rig,
        "ALTER TABLE live DROP CONSTRAINT live_pkey, ADD PRIMARY KEY (b); INSERT INTO live VALUES (60, 'new', 60);
         ALTER TABLE texts REPLICA IDENTITY DEFAULT; UPDATE texts SET a = 'back' WHERE id = 70",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["live", "texts"]).await;
    rig.sql("UPDATE live SET a = 'by b' WHERE b = 60").await;
    rig.settle(&running).await;
    assert_eq!(said(&rig, "live").await, ["REPLICA_IDENTITY_CHANGED"]);
    running.stop().await;
}
