//! Kinds of changes of source tables, and what their user wants done about each.

use segcdc_engine_native::{StatusReport, VerifyOptions, resync, status, verify};
use segcdc_model::TablePhase;
use segcdc_plan::{RuleTexts, Rules};

use crate::rig::{Rig, Running};

/// A table, and one that shows that the others go on.
const TABLES: &str = "
    CREATE TABLE t (id int PRIMARY KEY, a text, b int NOT NULL, c varchar(10));
    INSERT INTO t SELECT n, 'a' || n, n, 'c' || n FROM generate_series(1, 200) n;
    CREATE TABLE other (id int PRIMARY KEY, a text); INSERT INTO other VALUES (1, 'there')";

async fn following(name: &str, rules: &[&str]) -> (Rig, Running) {
    let mut rig = Rig::shared(name, TABLES).await;
    by_rules(&mut rig, rules);
    let running = rig.start();
    running.until_streaming().await;
    (rig, running)
}

/// Runs statements one by one, each a transaction of its own.
async fn one_by_one(rig: &Rig, sql: &str) {
    for statement in sql.split(';') {
        rig.sql(statement).await;
    }
}

fn by_rules(rig: &mut Rig, rules: &[&str]) {
    let changes = rules.iter().map(|rule| (*rule).to_owned()).collect();
    rig.config.rules = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
}

/// The last changes that the state has recorded, oldest first: kind and outcome.
async fn recorded(rig: &Rig) -> Vec<String> {
    let StatusReport { schema_changes, .. } = status(&rig.config).await.unwrap();
    schema_changes.iter().rev().map(|change| format!("{} {}", change.kind, change.outcome)).collect()
}

/// Asserts that `verify` says so, table by table.
async fn assert_verified(rig: &Rig) {
    let options =
        VerifyOptions { patterns: Vec::new(), limit: 9, memory_bytes: 8 << 20, ..VerifyOptions::default() };
    let report = verify(&rig.config, &options, &mut |_| {}).await.unwrap();
    assert!(report.is_equal(), "{report:#?}");
}

/// The code that halted a table.
async fn code(rig: &Rig, name: &str) -> Option<String> {
    let state = rig.state().await.unwrap();
    let table = state.tables.into_iter().find(|table| table.source.name == name).unwrap();
    assert_eq!(table.error.is_some(), table.phase == TablePhase::Quarantined, "{table:?}");
    table.error.map(|(code, _)| code)
}

/// # Fault F11
#[tokio::test(flavor = "multi_thread")]
async fn columns_are_renamed_dropped_and_widened_between_rows() {
    let (rig, running) = following("kinds_one", &[]).await;
    rig.sql(
        "BEGIN; UPDATE t SET a = 'x' WHERE id = 1; DELETE FROM t WHERE id = 7;
         ALTER TABLE t RENAME COLUMN a TO z; UPDATE t SET z = 'y' WHERE id = 2;
         ALTER TABLE t DROP COLUMN b; INSERT INTO t (id, z, c) VALUES (301, 'n', '1234567890');
         ALTER TABLE t ALTER COLUMN c TYPE varchar(20); UPDATE t SET c = repeat('w', 20) WHERE id = 3;
         UPDATE t SET z = coalesce(z, ''); ALTER TABLE t ALTER COLUMN z SET NOT NULL;
         INSERT INTO t VALUES (302, 'last', 'c'); COMMIT",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["t", "other"]).await;
    let expected =
        ["rename-column applied", "drop-column ignored", "change-type applied", "set-not-null ignored"];
    let found = recorded(&rig).await;
    assert!(expected.iter().all(|kind| found.iter().any(|found| found == kind)), "{found:?}");
    assert_verified(&rig).await;
    running.stop().await;
    // It goes on from what it stored.
    rig.sql("ALTER TABLE t ALTER COLUMN z DROP NOT NULL; UPDATE t SET z = NULL WHERE id < 20").await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["t"]).await;
    assert_verified(&rig).await;
}

/// # Fault F11, F15
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_followed_one_by_one_from_far_behind() {
    let rig = Rig::shared("kinds_behind", TABLES).await;
    rig.catch_up().await.unwrap();
    // The usual way of giving a column another type: added, filled, and the old one dropped; then names that go round.
    one_by_one(
        &rig,
        "UPDATE t SET a = 'before' WHERE id = 1; ALTER TABLE t ADD COLUMN b_new bigint; UPDATE t SET b_new = b * 10;
         ALTER TABLE t DROP COLUMN b; ALTER TABLE t RENAME COLUMN b_new TO b; INSERT INTO t (id, b) VALUES (400, 4);
         ALTER TABLE t RENAME COLUMN a TO tmp; ALTER TABLE t RENAME COLUMN c TO a; ALTER TABLE t RENAME COLUMN tmp TO c;
         UPDATE t SET a = 'is c', c = 'is a' WHERE id = 5; ALTER TABLE t ALTER COLUMN a TYPE text;
         UPDATE t SET a = repeat('long', 30) WHERE id = 6; ALTER TABLE t ADD COLUMN gone int DEFAULT 3;
         UPDATE t SET gone = 5 WHERE id = 8; ALTER TABLE t DROP COLUMN gone; INSERT INTO t (id, b) VALUES (401, 5);
         ALTER TABLE t RENAME TO u; UPDATE u SET c = 'renamed' WHERE id = 9; CREATE SCHEMA moved;
         ALTER TABLE u SET SCHEMA moved; DELETE FROM moved.u WHERE id = 10; ALTER TABLE moved.u SET SCHEMA public;
         INSERT INTO u (id, b) VALUES (402, 6)",
    )
    .await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["u"]).await;
    assert_eq!(code(&rig, "u").await, None);
    assert_verified(&rig).await;
    let found = recorded(&rig).await;
    assert_eq!(found.last().map(String::as_str), Some("set-schema applied"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_makes_room_for_another_one_keeps_its_rows() {
    let (rig, running) = following("kinds_swap", &[]).await;
    rig.sql(
        "CREATE TABLE t_new (id int PRIMARY KEY, a text); INSERT INTO t_new VALUES (1, 'new');
         BEGIN; ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO t; COMMIT;
         UPDATE t_old SET a = 'old' WHERE id = 1",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["t_old", "other"]).await;
    running.stop().await;
    assert_verified(&rig).await;
    // The renamed table can be copied again: its key has made room too.
    resync(&rig.config, &["public.t_old".parse().unwrap()]).await.unwrap();
    rig.sql("INSERT INTO t_old VALUES (900, 'a', 9, 'c')").await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["t_old"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_leaves_the_target_as_it_is_and_rows_go_on() {
    let (rig, running) = following("kinds_ignore", &["ignore"]).await;
    one_by_one(
        &rig,
        "ALTER TABLE t RENAME COLUMN a TO z; ALTER TABLE t ADD COLUMN e int; UPDATE t SET z = 'e', e = 1 WHERE id = 1;
         ALTER TABLE t RENAME TO u; UPDATE u SET z = 'u' WHERE id = 2; INSERT INTO u (id, z, b) VALUES (500, 'new', 1)",
    )
    .await;
    rig.settle(&running).await;
    let found = recorded(&rig).await;
    assert_eq!(found, ["rename-column ignored", "add-column ignored", "rename-table ignored"]);
    let state = rig.state().await.unwrap();
    let table = state.tables.iter().find(|table| table.source.name == "u").unwrap();
    assert_eq!((table.target.name.as_str(), table.phase), ("t", TablePhase::Streaming));
    assert_verified(&rig).await;
    running.stop().await;
    rig.sql("UPDATE u SET z = 'stopped', e = 2 WHERE id = 3").await;
    rig.catch_up().await.unwrap();
    assert_verified(&rig).await;
}

/// # Fault F12
#[tokio::test(flavor = "multi_thread")]
async fn a_change_halts_its_table_or_all_as_it_is_wanted() {
    let (mut rig, running) =
        following("kinds_halt", &["drop-column=halt", "public.other:rename-column=halt-all"]).await;
    rig.sql(
        "ALTER TABLE t DROP COLUMN b; UPDATE t SET a = 'x' WHERE id = 1; INSERT INTO other VALUES (2, 'on')",
    )
    .await;
    rig.settle(&running).await;
    rig.assert_equal(&["other"]).await;
    assert_eq!(code(&rig, "t").await.as_deref(), Some("SCHEMA_CHANGED"));
    one_by_one(
        &rig,
        "INSERT INTO other VALUES (3, 'before'); ALTER TABLE other RENAME COLUMN a TO z; INSERT INTO other VALUES (4, 'b')",
    )
    .await;
    assert_eq!(running.error_code().await, "SCHEMA_CHANGED");
    assert_eq!(code(&rig, "other").await, None);
    // As often as it is started, until its user has said something else.
    assert_eq!(rig.start().error_code().await, "SCHEMA_CHANGED");
    by_rules(&mut rig, &["apply"]);
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["other"]).await;
    resync(&rig.config, &[]).await.unwrap();
    rig.catch_up().await.unwrap();
    let dropped =
        "UPDATE t SET a = 'y' WHERE id = 1; ALTER TABLE t DROP COLUMN c; UPDATE t SET a = 'z' WHERE id = 2";
    one_by_one(&rig, dropped).await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["t", "other"]).await;
    assert_verified(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_becomes_wider_where_its_user_trusts_the_conversion() {
    let (rig, running) = following("kinds_key", &["rewrite-column=apply", "set-not-null=apply"]).await;
    one_by_one(
        &rig,
        "ALTER TABLE t ALTER COLUMN id TYPE bigint; INSERT INTO t VALUES (5000000000, 'big', 1, 'c');
         UPDATE t SET id = id + 5000000000 WHERE id < 10; UPDATE t SET a = '' WHERE a IS NULL;
         ALTER TABLE t ALTER COLUMN a SET NOT NULL; UPDATE t SET b = 2 WHERE id = 20",
    )
    .await;
    rig.settle(&running).await;
    rig.sql("ALTER TABLE t ALTER COLUMN b SET DEFAULT 4; UPDATE t SET b = 3 WHERE id = 21").await;
    rig.settle(&running).await;
    rig.assert_equal(&["t"]).await;
    let found = recorded(&rig).await;
    assert_eq!(found, ["rewrite-column applied", "set-not-null applied"]);
    assert_verified(&rig).await;
    running.stop().await;
}

/// # Fault F12
#[tokio::test(flavor = "multi_thread")]
async fn types_that_are_computed_anew_halt_their_table() {
    let (rig, running) = following("kinds_using", &["rewrite-column=apply"]).await;
    rig.sql("ALTER TABLE t ALTER COLUMN b TYPE text USING (b * 2)::text; UPDATE t SET a = 'x' WHERE id = 1")
        .await;
    rig.settle(&running).await;
    assert_eq!(code(&rig, "t").await.as_deref(), Some("SCHEMA_CHANGED"));
    running.stop().await;
    resync(&rig.config, &[]).await.unwrap();
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["t"]).await;
    assert_verified(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enum_labels_and_domains_need_nothing() {
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN short AS varchar(5);
        CREATE TABLE t (id int PRIMARY KEY, m mood, s short); INSERT INTO t VALUES (1, 'sad', 'a')";
    let rig = Rig::shared("kinds_enum", tables).await;
    rig.catch_up().await.unwrap();
    one_by_one(
        &rig,
        "ALTER TYPE mood ADD VALUE 'happy' BEFORE 'sad'; INSERT INTO t VALUES (2, 'happy', 'b');
         ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'; INSERT INTO t VALUES (3, 'fine', 'c');
         ALTER TYPE mood RENAME TO temper; ALTER TABLE t ADD COLUMN m2 temper DEFAULT 'happy'; UPDATE t SET s = 'd' WHERE id = 1",
    )
    .await;
    rig.catch_up().await.unwrap();
    rig.assert_equal(&["t"]).await;
    assert_verified(&rig).await;
}
