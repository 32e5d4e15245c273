//! What cannot be looked at, or repaired, is said.

use segcdc_engine_native::{
    EngineConfig, Outcome, RepairMode, SnapshotMode, VerifyOptions, preflight, verify,
};
use segcdc_plan::{RuleTexts, Rules};

use crate::rig::Rig;

/// The codes of what preflight found, those of what is well left out.
async fn findings(config: &EngineConfig) -> Vec<String> {
    let found = preflight(config).await.expect("both servers can be asked").findings;
    found.into_iter().map(|finding| finding.code).filter(|code| !code.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_the_role_may_not_see_are_told_of() {
    let mut rig = Rig::shared("unseen_numbers", "CREATE TABLE amounts (id int PRIMARY KEY, n numeric)").await;
    let code = "NUMBERS_UNSEEN".to_owned();
    assert!(!findings(&rig.config).await.contains(&code));
    rig.servers.postgres.execute("postgres", "CREATE ROLE blind_numbers LOGIN REPLICATION").await.unwrap();
    rig.config.source.user = "blind_numbers".to_owned();
    let found = findings(&rig.config).await;
    assert!(found.contains(&code), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_with_another_condition_is_refused() {
    let mut rig = Rig::shared("unseen_filter", "CREATE TABLE part (id int PRIMARY KEY, v text)").await;
    // Publications have row filters from PostgreSQL 15 on.
    if rig.ask("SHOW server_version_num").await.parse::<u32>().unwrap() < 150_000 {
        return;
    }
    rig.sql("CREATE PUBLICATION chosen FOR TABLE part WHERE (id > 10)").await;
    rig.config.publication = Some("chosen".to_owned());
    for (filter, expected) in [("public.part: id > 10", false), ("public.part: id > 11", true)] {
        let texts = RuleTexts { filters: vec![filter.to_owned()], ..RuleTexts::default() };
        rig.config.rules = Rules::parse(&texts).unwrap();
        let found = findings(&rig.config).await;
        assert_eq!(found.contains(&"ROW_FILTER_DIFFERS".to_owned()), expected, "{filter}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_nothing_follows_is_not_repaired() {
    let sql = "CREATE TABLE once (id int PRIMARY KEY, v text); INSERT INTO once VALUES (1, 'a'), (2, 'b')";
    let mut rig = Rig::shared("unseen_stream", sql).await;
    rig.config.snapshot = SnapshotMode::Only;
    assert!(matches!(rig.start().end().await, Ok(Outcome::Copied { .. })));
    rig.sql("UPDATE once SET v = 'c' WHERE id = 1").await;
    let options = VerifyOptions {
        patterns: Vec::new(),
        limit: 9,
        memory_bytes: 8 << 20,
        repair: RepairMode::Write,
        ..VerifyOptions::default()
    };
    let report = verify(&rig.config, &options, &mut |_| {}).await.expect("a verdict");
    let stopped = report.tables.first().and_then(|table| table.repair.as_ref()?.stopped.as_ref());
    assert_eq!(stopped.map(|reason| reason.code.as_str()), Some("REPAIR_WITHOUT_STREAM"), "{report:#?}");
}
