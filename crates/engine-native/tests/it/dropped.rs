//! Tables that are dropped at the source, or made again under their name.

use segcdc_engine_native::{VerifyOptions, verify};
use segcdc_model::TablePhase;
use segcdc_plan::{RuleTexts, Rules};
use segcdc_sqlserver::Target;

use crate::rig::Rig;

/// Tables that are alike, in a schema that is published whatever comes into it.
const TABLES: [&str; 7] = ["kept", "left", "gone", "again", "halted", "moved", "other"];

/// The state of a table: its phase, and the code of what has happened to it.
async fn state_of(rig: &Rig, table: &str) -> Option<(TablePhase, String)> {
    let state = rig.state().await.unwrap();
    let found = state.tables.into_iter().find(|found| found.source.name == table)?;
    Some((found.phase, found.error.map(|(code, _)| code).unwrap_or_default()))
}

/// What is recorded of a table, oldest first.
async fn recorded(rig: &Rig, table: &str) -> Vec<String> {
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let changes = target.schema_changes(&rig.name, 100).await.unwrap();
    let of_table = changes.iter().rev().filter(|change| change.source.name == table);
    of_table.map(|change| format!("{} {}", change.kind, change.outcome)).collect()
}

/// Rows of a target table; `None` where there is none.
async fn rows(rig: &Rig, table: &str) -> Option<u64> {
    let mut target = Target::connect(&rig.config.target).await.unwrap();
    let name = segcdc_model::QualifiedName::new(rig.name.clone(), table);
    target.existing_table(&name).await.unwrap()?;
    let mut session = segcdc_tds::Connection::connect(&rig.config.target.to_tds()).await.unwrap();
    let sql = format!("SELECT COUNT_BIG(*) FROM [{}].[{table}]", rig.name);
    let found = session.batch(&sql).await.unwrap();
    let count = found.first_row().and_then(|row| row.first()?.as_int()).unwrap();
    Some(u64::try_from(count).unwrap())
}

async fn rig(name: &str, publication: &str) -> Rig {
    let make = |table: &&str| {
        format!(
            "CREATE TABLE \"{table}\" (id int PRIMARY KEY, v text);
             INSERT INTO \"{table}\" SELECT n, 'v' || n FROM generate_series(1, 20) n;"
        )
    };
    let tables = TABLES.iter().map(make).collect::<String>();
    let mut rig = Rig::shared(name, &format!("{tables}{publication}")).await;
    let rules = [
        "public.left:ignore",
        "public.gone:apply",
        "public.again:apply",
        "public.moved:apply",
        "public.halted:change-key=apply",
    ];
    let changes = rules.iter().map(|rule| (*rule).to_owned()).collect();
    rig.config.rules = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
    if !publication.is_empty() {
        rig.config.publication = Some("everything".to_owned());
    }
    rig
}

async fn assert_verified(rig: &Rig, tables: &[&str]) {
    let patterns = tables.iter().map(|table| format!("public.{table}").parse().unwrap()).collect();
    let options = VerifyOptions { patterns, limit: 9, memory_bytes: 8 << 20, ..VerifyOptions::default() };
    let report = verify(&rig.config, &options, &mut |_| {}).await.unwrap();
    assert!(report.is_equal(), "{report:#?}");
}

/// What is done to the tables, with rows of before that have to arrive.
const CHANGES: &str = "
    UPDATE kept SET v = 'last'; DELETE FROM left WHERE id = 1; UPDATE left SET v = 'last'; DELETE FROM halted WHERE id > 15;
    BEGIN; UPDATE again SET v = 'lost with it' WHERE id = 1; DROP TABLE again; CREATE TABLE again (id int PRIMARY KEY, n bigint);
    INSERT INTO again SELECT n, n FROM generate_series(1, 30) n; COMMIT; UPDATE again SET n = 100 WHERE id = 1;
    DROP TABLE kept; DROP TABLE \"left\"; DROP TABLE gone; DROP TABLE halted; CREATE TABLE halted (id int PRIMARY KEY, w int);
    INSERT INTO halted VALUES (1, 1); ALTER TABLE moved RENAME TO away; CREATE TABLE moved (id int PRIMARY KEY, z int);
    INSERT INTO moved VALUES (7, 7); UPDATE away SET v = 'is there' WHERE id = 1; INSERT INTO other VALUES (100, 'goes on')";

/// What became of them.
async fn assert_done(rig: &Rig, publishes_all: bool) {
    let quarantined = |code: &str| Some((TablePhase::Quarantined, code.to_owned()));
    assert_eq!(state_of(rig, "kept").await, quarantined("TABLE_NOT_FOUND"));
    assert_eq!(state_of(rig, "halted").await, quarantined("TABLE_RECREATED"));
    assert_eq!(state_of(rig, "left").await, None);
    assert_eq!(state_of(rig, "gone").await, None);
    assert_eq!(recorded(rig, "left").await, ["drop-table ignored"]);
    assert_eq!(recorded(rig, "gone").await, ["drop-table applied"]);
    assert_eq!(recorded(rig, "again").await, ["recreate-table applied"]);
    assert_eq!(state_of(rig, "again").await, Some((TablePhase::Streaming, String::new())));
    let counts = [
        rows(rig, "kept").await,
        rows(rig, "left").await,
        rows(rig, "gone").await,
        rows(rig, "halted").await,
    ];
    assert_eq!(counts, [Some(20), Some(19), None, Some(15)]);
    // A table that was renamed is the one that it was, whatever has its name now.
    assert_eq!(state_of(rig, "away").await, Some((TablePhase::Streaming, String::new())));
    assert_eq!(recorded(rig, "away").await, ["rename-table applied"], "{publishes_all}");
    rig.assert_equal(&["again", "away", "other"]).await;
    assert_verified(rig, &["again", "away", "other"]).await;
}

/// # Fault F14
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_go_while_they_are_followed_are_left_as_is_wished() {
    let rig = rig("dropped_live", "CREATE PUBLICATION everything FOR ALL TABLES;").await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql(&CHANGES.replace("FROM left", "FROM \"left\"").replace("UPDATE left", "UPDATE \"left\"")).await;
    let again = rig.ask("SELECT 'again'::regclass::oid").await.parse::<u32>().unwrap();
    let settled = |snapshot: &segcdc_engine_native::ProgressSnapshot| {
        let phases = |phase| snapshot.tables.iter().filter(|table| table.phase == phase).count();
        let is_back = snapshot.tables.iter().any(|table| table.source_oid == again);
        is_back && phases(TablePhase::Quarantined) == 2 && phases(TablePhase::Streaming) == 3
    };
    running.until("everything is settled", settled).await;
    rig.sql("UPDATE again SET n = 200 WHERE id = 2; DELETE FROM again WHERE id = 3; UPDATE away SET v = 'on' WHERE id = 2").await;
    rig.settle(&running).await;
    assert_done(&rig, true).await;
    running.stop().await;
}

/// # Fault F16
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_went_while_nobody_looked_are_left_as_is_wished() {
    let rig = rig("dropped_stopped", "").await;
    rig.catch_up().await.unwrap();
    rig.sql(&CHANGES.replace("FROM left", "FROM \"left\"").replace("UPDATE left", "UPDATE \"left\"")).await;
    rig.catch_up().await.unwrap();
    rig.sql("UPDATE again SET n = 200 WHERE id = 2; DELETE FROM again WHERE id = 3; UPDATE away SET v = 'on' WHERE id = 2").await;
    rig.catch_up().await.unwrap();
    assert_done(&rig, false).await;
    // The policy is asked again each time.
    let mut all = rig;
    let changes = vec!["halt-all".to_owned()];
    all.config.rules = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
    all.sql("DROP TABLE other").await;
    assert_eq!(all.start().error_code().await, "SCHEMA_CHANGED");
    assert_eq!(state_of(&all, "other").await, Some((TablePhase::Streaming, String::new())));
}
