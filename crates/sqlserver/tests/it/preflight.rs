//! Preflight on a server: what is well, and what is not.

use segcdc_model::{Finding, PgType, Severity, TablePhase};
use segcdc_sqlserver::{ExistingRows, PreflightRequest, preflight, quote};

use crate::rig::{Rig, meddle, tuple};

fn failures(findings: &[Finding]) -> Vec<(&str, &str)> {
    let failures = findings.iter().filter(|finding| finding.severity == Severity::Failure);
    failures.map(|finding| (finding.check.as_str(), finding.code.as_str())).collect()
}

#[tokio::test]
async fn fresh_tables_on_a_good_server_pass() {
    let mut rig = Rig::new().await;
    let table = rig.table(1, "new", 1, &[("id", PgType::Int4, true)]);
    let request =
        PreflightRequest { tables: vec![table.clone()], existing: None, rows: ExistingRows::Refuse };
    let findings = preflight::check(&mut rig.target, &request).await.unwrap();
    assert_eq!(failures(&findings), [], "{findings:?}");
    for check in
        ["ms.version", "ms.writable", "ms.collation", "ms.delayed_durability", "ms.create_table", "ms.table"]
    {
        assert!(findings.iter().any(|finding| finding.check == check), "{check} is missing");
    }
    assert_eq!(rig.target.existing_table(&table.target).await.unwrap(), None, "preflight changed something");
    // What it announces can be run as it stands, the state's schema and tables apart, which are there.
    for sql in preflight::statements(&request) {
        if !sql.contains("[segcdc]") {
            meddle(&rig.config, &sql).await;
        }
    }
    let existing = rig.target.existing_table(&table.target).await.unwrap().unwrap();
    assert_eq!(existing.key, ["id"]);
}

#[tokio::test]
async fn tables_that_are_in_the_way_fail_with_their_fix() {
    let mut rig = Rig::new().await;
    let full = rig.table(1, "full", 1, &[("id", PgType::Int4, true)]);
    let other = rig.table(2, "other", 1, &[("id", PgType::Int4, true), ("a", PgType::Text, false)]);
    rig.create(&full).await;
    rig.load(&full, &[tuple("1")]).await.unwrap();
    let name = quote::qualified(&other.target);
    meddle(&rig.config, &format!("CREATE TABLE {name} ([id] int NOT NULL)")).await;
    let mut request =
        PreflightRequest { tables: vec![full, other], existing: None, rows: ExistingRows::Refuse };
    let findings = preflight::check(&mut rig.target, &request).await.unwrap();
    assert_eq!(
        failures(&findings),
        [("ms.table", "TARGET_TABLE_NOT_EMPTY"), ("ms.table", "TARGET_TABLE_MISMATCH")]
    );
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Failure) {
        for sql in &finding.fix_sql {
            meddle(&rig.config, sql).await;
        }
    }
    let findings = preflight::check(&mut rig.target, &request).await.unwrap();
    assert_eq!(failures(&findings), [], "the fixes did not help");
    request.rows = ExistingRows::Allow;
    let findings = preflight::check(&mut rig.target, &request).await.unwrap();
    assert_eq!(failures(&findings), []);
}

#[tokio::test]
async fn tables_that_are_set_aside_keep_no_others_from_starting() {
    let mut rig = Rig::new().await;
    let columns = [("id", PgType::Int4, true), ("a", PgType::Text, false)];
    let table = rig.table(1, "changed", 1, &columns);
    let name = quote::qualified(&table.target);
    rig.target.prepare_table(&rig.table(1, "changed", 1, &columns[..1]), ExistingRows::Refuse).await.unwrap();
    let mut found = async |phase| {
        let known = segcdc_sqlserver::TableState { phase, ..crate::state::table(1, "changed") };
        rig.target.set_table(&rig.checkpoint, &known).await.unwrap();
        let existing = rig.target.load_state(&rig.pipeline).await.unwrap();
        let request = PreflightRequest { tables: vec![table.clone()], existing, rows: ExistingRows::Refuse };
        let findings = preflight::check(&mut rig.target, &request).await.unwrap();
        findings.into_iter().find(|finding| finding.code == "TARGET_TABLE_MISMATCH").expect(&name).severity
    };
    assert_eq!(found(TablePhase::Streaming).await, Severity::Warning);
    assert_eq!(found(TablePhase::Quarantined).await, Severity::Warning);
    assert_eq!(found(TablePhase::Queued).await, Severity::Failure);
}
