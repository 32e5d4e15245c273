//! What preflight finds wrong with tables, publications and slots. Each finding's SQL is run, and the finding gone.

use segcdc_model::{Fault, Severity};
use segcdc_postgres::{PreflightRequest, Purpose, preflight};

use crate::fixture::{Source, problems, with_code};

/// Asserts that a finding is there, mends it, and asserts that it is gone.
async fn check_mended(source: &Source, request: &PreflightRequest, code: &str, severity: Severity) {
    let found = problems(&source.session, request).await;
    let finding = with_code(&found, code).unwrap_or_else(|| panic!("{code} is not in {found:#?}"));
    assert_eq!(finding.severity, severity, "{finding:#?}");
    assert!(!finding.hint.is_empty() && !finding.detail.is_empty());
    source.mend(finding).await;
    let patterns: Vec<_> = request.tables.iter().map(|table| table.name.to_string()).collect();
    let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
    let again = PreflightRequest { tables: source.request(&patterns).await.tables, ..request.clone() };
    let found = problems(&source.session, &again).await;
    assert!(with_code(&found, code).is_none(), "{code} is still there: {found:#?}");
}

#[tokio::test]
async fn sound_source_has_no_failures() {
    let source = Source::shared("sound", "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let findings = preflight::check(&source.session, &source.request(&["t"]).await).await.unwrap();
    let failed: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Failure).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let checks: Vec<_> = findings.iter().map(|finding| finding.check.as_str()).collect();
    for check in
        ["pg.version", "pg.wal_level", "pg.replication_slots", "pg.tables", "pg.select_right", "pg.slot"]
    {
        assert!(checks.contains(&check), "{check} is not in {checks:?}");
    }
    let replication = preflight::check_replication(&source.config).await;
    assert_eq!(replication.severity, Severity::Ok, "{replication:#?}");
    let made = "SELECT (SELECT count(*) FROM pg_publication) \
         + (SELECT count(*) FROM pg_replication_slots WHERE database = 'sound')";
    assert_eq!(source.ask(made).await, "0");
}

/// # Fault F20
/// A table has no replica identity, so that the source cannot say which row an UPDATE or DELETE changed.
/// - Happens: preflight leaves it out by name; the source itself refuses such changes as soon as it is published.
/// - Do: the SQL that is printed: a primary key, or `ALTER TABLE … REPLICA IDENTITY`.
#[tokio::test]
async fn tables_without_identity_are_left_out_and_can_be_mended() {
    let setup = "CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE keyless (v text); \
         CREATE TABLE silent (id int PRIMARY KEY); ALTER TABLE silent REPLICA IDENTITY NOTHING; \
         CREATE TABLE lost_index (id int NOT NULL); CREATE UNIQUE INDEX lost ON lost_index (id); \
         ALTER TABLE lost_index REPLICA IDENTITY USING INDEX lost; DROP INDEX lost; \
         CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY); \
         CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere; \
         CREATE FOREIGN TABLE far (id int) SERVER nowhere; CREATE VIEW seen AS SELECT 1 AS id";
    let source = Source::shared("identities", setup).await;
    for (table, code) in [
        ("keyless", "NO_REPLICA_IDENTITY"),
        ("silent", "NO_REPLICA_IDENTITY"),
        ("lost_index", "NO_REPLICA_IDENTITY"),
        ("fleeting", "TABLE_NOT_STREAMABLE"),
    ] {
        let request = source.request(&["good", table]).await;
        check_mended(&source, &request, code, Severity::Warning).await;
    }
    for table in ["far", "seen"] {
        let found = problems(&source.session, &source.request(&["good", table]).await).await;
        let finding = with_code(&found, "TABLE_NOT_STREAMABLE").unwrap();
        assert!(finding.detail.contains(table) && finding.fix_sql.is_empty(), "{finding:#?}");
    }
    for table in ["seen", "no_such_table"] {
        let nothing = problems(&source.session, &source.request(&[table]).await).await;
        assert_eq!(with_code(&nothing, "NO_TABLES_MATCHED").unwrap().severity, Severity::Failure);
    }
}

#[tokio::test]
async fn partitions_must_name_rows_as_their_root_does() {
    let setup = "CREATE TABLE keyed (id int PRIMARY KEY) PARTITION BY LIST (id); \
         CREATE TABLE keyed_leaf PARTITION OF keyed DEFAULT; ALTER TABLE keyed_leaf REPLICA IDENTITY NOTHING; \
         CREATE TABLE whole (id int, v int) PARTITION BY LIST (id); ALTER TABLE whole REPLICA IDENTITY FULL; \
         CREATE TABLE whole_leaf PARTITION OF whole DEFAULT";
    let source = Source::shared("partitions", setup).await;
    for root in ["keyed", "whole"] {
        let request = source.request(&[root]).await;
        check_mended(&source, &request, "PARTITION_REPLICA_IDENTITY", Severity::Failure).await;
    }
}

#[tokio::test]
async fn what_single_partitions_do_unseen_is_told() {
    let setup = "CREATE TABLE root (id int PRIMARY KEY) PARTITION BY LIST (id); \
         CREATE TABLE leaf PARTITION OF root DEFAULT; CREATE TABLE plain (id int PRIMARY KEY)";
    let source = Source::shared("unsent", setup).await;
    let found = problems(&source.session, &source.request(&["root", "plain"]).await).await;
    let told = with_code(&found, "PARTITION_CHANGES_UNSENT").unwrap();
    assert_eq!(told.severity, Severity::Warning);
    assert!(told.detail.contains("public.root") && !told.detail.contains("plain"), "{told:?}");
    let found = problems(&source.session, &source.request(&["plain"]).await).await;
    assert!(with_code(&found, "PARTITION_CHANGES_UNSENT").is_none());
}

#[tokio::test]
async fn named_publication_must_publish_everything() {
    let setup = "CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY); \
         CREATE TABLE root (id int PRIMARY KEY) PARTITION BY LIST (id); \
         CREATE TABLE leaf PARTITION OF root DEFAULT; \
         CREATE PUBLICATION \"in serts\" FOR TABLE a WITH (publish = 'insert'); \
         CREATE PUBLICATION without_b FOR TABLE a; CREATE PUBLICATION leaves FOR TABLE root; \
         CREATE PUBLICATION good FOR ALL TABLES WITH (publish_via_partition_root = true)";
    let source = Source::shared("publications", setup).await;
    let named = async |name: &str, tables: &[&str]| PreflightRequest {
        publication: Some(name.to_owned()),
        ..source.request(tables).await
    };
    for (name, tables, code) in [
        ("in serts", &["a"][..], "PUBLICATION_ACTIONS"),
        ("without_b", &["a", "b"], "PUBLICATION_TABLES"),
        ("leaves", &["root"], "PUBLICATION_VIA_ROOT"),
        ("not there", &["a", "root"], "PUBLICATION_MISSING"),
    ] {
        check_mended(&source, &named(name, tables).await, code, Severity::Failure).await;
    }
    for (name, tables) in
        [("good", &["a", "b", "root"][..]), ("leaves", &["root"]), ("without_b", &["a", "b"])]
    {
        let found = problems(&source.session, &named(name, tables).await).await;
        assert!(found.iter().all(|finding| finding.check != "pg.publication"), "{found:#?}");
    }
    let publication_to_create = "good".to_owned();
    let taken = PreflightRequest { publication_to_create, ..source.request(&["a"]).await };
    check_mended(&source, &taken, "PUBLICATION_EXISTS", Severity::Failure).await;
}

#[tokio::test]
async fn named_slot_must_be_usable() {
    let setup = "CREATE TABLE a (id int PRIMARY KEY); \
         SELECT pg_create_physical_replication_slot('slots_physical')";
    let source = Source::shared("slots", setup).await;
    source.run("SELECT pg_create_logical_replication_slot('slots_other_plugin', 'test_decoding')").await;
    source.run("SELECT pg_create_logical_replication_slot('slots_taken', 'pgoutput')").await;
    let elsewhere = Source::shared("slots_elsewhere", "").await;
    elsewhere.run("SELECT pg_create_logical_replication_slot('slots_elsewhere', 'pgoutput')").await;
    let named =
        async |slot: &str| PreflightRequest { slot: Some(slot.to_owned()), ..source.request(&["a"]).await };
    for (slot, code) in [
        ("slots_missing", "SLOT_MISSING"),
        ("slots_physical", "SLOT_WRONG_PLUGIN"),
        ("slots_other_plugin", "SLOT_WRONG_PLUGIN"),
        ("slots_elsewhere", "SLOT_WRONG_DATABASE"),
    ] {
        check_mended(&source, &named(slot).await, code, Severity::Failure).await;
    }
    let slot_to_create = "slots_taken".to_owned();
    let taken = PreflightRequest { slot_to_create, ..source.request(&["a"]).await };
    check_mended(&source, &taken, "SLOT_EXISTS", Severity::Failure).await;
    let found = problems(&source.session, &named("No-Slot").await).await;
    assert!(with_code(&found, "SLOT_NAME").is_some());
    let found = problems(&source.session, &named("slots_missing").await).await;
    assert!(found.iter().all(|finding| finding.check != "pg.slot"), "it was made above: {found:#?}");
    for name in ["slots_missing", "slots_physical", "slots_other_plugin", "slots_elsewhere"] {
        source.run(&format!("SELECT pg_drop_replication_slot('{name}')")).await;
    }
}

#[tokio::test]
async fn slot_that_is_consumed_or_temporary_is_refused() {
    let source = Source::shared("busy_slot", "CREATE TABLE a (id int PRIMARY KEY)").await;
    source.publish().await;
    source.run("SELECT pg_create_logical_replication_slot('busy_slot', 'pgoutput')").await;
    source.run("SELECT pg_create_logical_replication_slot('busy_temporary', 'pgoutput', true)").await;
    let named =
        async |slot: &str| PreflightRequest { slot: Some(slot.to_owned()), ..source.request(&["a"]).await };
    let found = problems(&source.session, &named("busy_temporary").await).await;
    assert!(with_code(&found, "SLOT_TEMPORARY").is_some(), "{found:#?}");
    let position = source.ask("SELECT pg_current_wal_lsn()").await.parse().unwrap();
    let mut stream = source.stream("busy_slot", position).await;
    let found = problems(&source.session, &named("busy_slot").await).await;
    let known = PreflightRequest { purpose: Purpose::KnownPipeline, ..named("busy_slot").await };
    let found_by_owner = problems(&source.session, &known).await;
    let finding = with_code(&found_by_owner, "SLOT_IN_USE").unwrap();
    assert_eq!(finding.severity, Severity::Warning, "its own pipeline may be running: {finding:#?}");
    source.mend(with_code(&found, "SLOT_IN_USE").unwrap()).await;
    let error = loop {
        if let Err(error) = stream.next().await {
            break error;
        }
    };
    assert_eq!(error.code(), "SOURCE_RESTARTING", "{error}");
    let is_free = async || {
        let found = problems(&source.session, &named("busy_slot").await).await;
        with_code(&found, "SLOT_IN_USE").is_none().then_some(())
    };
    segcdc_testkit::until("the slot is free", crate::fixture::PATIENCE, is_free).await.unwrap();
    source.run("SELECT pg_drop_replication_slot('busy_slot')").await;
    let found = problems(&source.session, &known).await;
    let finding = with_code(&found, "SLOT_MISSING").unwrap();
    assert!(finding.fix_sql.is_empty(), "a new slot would hide what was lost: {finding:#?}");
}
