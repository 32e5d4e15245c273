//! The same tests on both databases.

use super::*;
use crate::clock::Millis;
use crate::id::{ConnectionId, PipelineId, UserId};
use crate::lifecycle::{Desired, State};
use crate::name::ResourceName;

/// A store to test, and what has to live as long.
struct Bench {
    store: Store,
    _folder: tempfile::TempDir,
    _lock: Option<FolderLock>,
}

async fn sqlite() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (store, lock) = Store::open(&Location::Folder(folder.path().to_owned())).await.unwrap();
    Bench { store, _folder: folder, _lock: lock }
}

fn name(text: &str) -> ResourceName {
    text.parse().unwrap()
}

/// Carries one change out.
macro_rules! change {
    ($store:expr, $change:ident($($value:expr),*)) => {{
        let mut work = $store.begin().await.unwrap();
        match work.$change($($value),*).await {
            Ok(done) => work.commit().await.map(|()| done),
            Err(error) => Err(error),
        }
    }};
}

async fn tenant(store: &Store, text: &str) -> TenantId {
    let tenant = Tenant { id: TenantId::generate(), name: name(text), created_at: Millis::now() };
    change!(store.tenant(tenant.id), insert_tenant(&tenant)).unwrap();
    tenant.id
}

fn connection(text: &str) -> NewConnection {
    NewConnection {
        id: ConnectionId::generate(),
        name: name(text),
        kind: ConnectionKind::Postgres,
        settings: r#"{"host":"db"}"#.to_owned(),
        sealed: Some("v1.k1.x.y".to_owned()),
    }
}

#[tokio::test]
async fn a_connection_is_its_tenants_alone() {
    let bench = sqlite().await;
    let (ours, theirs) = (tenant(&bench.store, "ours").await, tenant(&bench.store, "theirs").await);
    let (ours, theirs) = (bench.store.tenant(ours), bench.store.tenant(theirs));
    let new = connection("Shop");
    change!(ours, insert_connection(&new)).unwrap();
    assert_eq!(ours.connection(new.id).await.unwrap().settings, new.settings);
    assert!(matches!(theirs.connection(new.id).await, Err(StoreError::NotFound)));
    assert!(matches!(change!(theirs, update_connection(&new, 1)), Err(StoreError::NotFound)));
    assert!(matches!(change!(theirs, delete_connection(new.id)), Err(StoreError::NotFound)));
    assert_eq!(theirs.connections(None, 10).await.unwrap(), []);
    assert!(matches!(change!(ours, insert_connection(&connection("SHOP"))), Err(StoreError::NameTaken)));
    change!(theirs, insert_connection(&connection("SHOP"))).unwrap();
}

#[tokio::test]
async fn a_change_is_of_what_was_read() {
    let bench = sqlite().await;
    let id = tenant(&bench.store, "ours").await;
    let ours = bench.store.tenant(id);
    let mut new = connection("shop");
    change!(ours, insert_connection(&new)).unwrap();
    new.settings = r#"{"host":"db2"}"#.to_owned();
    assert_eq!(change!(ours, update_connection(&new, 1)).unwrap(), 2);
    assert!(matches!(change!(ours, update_connection(&new, 1)), Err(StoreError::Changed { found: 2 })));
    assert_eq!(ours.connection(new.id).await.unwrap().settings, new.settings);
}

#[tokio::test]
async fn a_pipeline_moves_from_where_it_stands_only() {
    let bench = sqlite().await;
    let id = tenant(&bench.store, "ours").await;
    let ours = bench.store.tenant(id);
    let (source, target) = (connection("source"), connection("target"));
    change!(ours, insert_connection(&source)).unwrap();
    change!(ours, insert_connection(&target)).unwrap();
    let new = NewPipeline {
        id: PipelineId::generate(),
        name: name("orders"),
        engine: EngineName::Native,
        source: source.id,
        target: target.id,
        spec: "{}".to_owned(),
    };
    change!(ours, insert_pipeline(&new)).unwrap();
    assert!(matches!(change!(ours, delete_connection(source.id)), Err(StoreError::InUseByPipeline)));

    let stopped = (Desired::Stopped, State::Stopped);
    let waiting = (Desired::Running, State::Unassigned);
    ours.move_pipeline(new.id, stopped, waiting, None).await.unwrap();
    assert_eq!(ours.pipeline(new.id).await.unwrap().version, 2);
    let late = ours.move_pipeline(new.id, stopped, waiting, None).await;
    assert!(matches!(late, Err(StoreError::Changed { .. })));
    ours.move_pipeline(new.id, waiting, (Desired::Running, State::Starting), None).await.unwrap();
    assert_eq!(ours.pipeline(new.id).await.unwrap().version, 2, "a report is no change by a person");
    assert!(matches!(change!(ours, forget_pipeline(new.id)), Err(StoreError::NotFound)));
}

#[tokio::test]
async fn the_audit_log_is_a_chain_that_cannot_be_changed() {
    let bench = sqlite().await;
    let id = tenant(&bench.store, "ours").await;
    let ours = bench.store.tenant(id);
    let line = |action: &str| NewAudit {
        actor: "ada".to_owned(),
        address: "192.0.2.1".to_owned(),
        action: action.to_owned(),
        object: "pipeline/x".to_owned(),
        before: None,
        after: Some("{}".to_owned()),
        outcome: "ok".to_owned(),
    };
    for action in ["pipeline.create", "pipeline.start", "pipeline.stop"] {
        ours.audit(&line(action)).await.unwrap();
    }
    let log = ours.audit_log(0, 10).await.unwrap();
    let mut previous = String::new();
    for entry in &log {
        assert!(entry.follows(&previous), "{entry:?}");
        previous.clone_from(&entry.hash);
    }
    let mut forged = log[1].clone();
    forged.what.actor = "eve".to_owned();
    assert!(!forged.follows(&log[0].hash));
    let Pool::Sqlite(pool) = &bench.store.pool else { panic!("not SQLite") };
    for statement in ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit"] {
        assert!(sqlx::query(statement).execute(pool).await.is_err(), "{statement}");
    }
    assert_eq!(ours.audit_log(1, 1).await.unwrap()[0].seq, 2);
}

#[tokio::test]
async fn a_change_and_its_line_come_about_together() {
    let bench = sqlite().await;
    let id = tenant(&bench.store, "ours").await;
    let ours = bench.store.tenant(id);
    let line = NewAudit {
        actor: "ada".to_owned(),
        address: "192.0.2.1".to_owned(),
        action: "connection.create".to_owned(),
        object: "connection/x".to_owned(),
        before: None,
        after: None,
        outcome: "ok".to_owned(),
    };
    let mut dropped = ours.begin().await.unwrap();
    dropped.insert_connection(&connection("shop")).await.unwrap();
    dropped.audit(&line).await.unwrap();
    drop(dropped);
    assert_eq!(
        (ours.connections(None, 10).await.unwrap(), ours.audit_log(0, 10).await.unwrap()),
        (vec![], vec![])
    );
    let many = (0..20).map(|number| {
        let (store, line) = (bench.store.clone(), line.clone());
        tokio::spawn(async move {
            let mut work = store.tenant(id).begin().await.unwrap();
            work.insert_connection(&connection(&format!("c{number}"))).await.unwrap();
            work.audit(&line).await.unwrap();
            work.commit().await.unwrap();
        })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let log = ours.audit_log(0, 100).await.unwrap();
    assert_eq!((ours.connections(None, 100).await.unwrap().len(), log.len()), (20, 20));
    assert!(log.windows(2).all(|two| two[1].follows(&two[0].hash)), "one after the other");
}

#[tokio::test]
async fn there_is_one_first_administrator() {
    let bench = sqlite().await;
    assert!(!bench.store.is_founded().await.unwrap());
    let first = |text: &str| Person {
        id: UserId::generate(),
        name: name(text),
        password_hash: "x".to_owned(),
        is_super: true,
        disabled: false,
        version: 1,
        created_at: Millis::now(),
    };
    let tenant =
        |text: &str| Tenant { id: TenantId::generate(), name: name(text), created_at: Millis::now() };
    let found = async |tenant: Tenant, person: Person| {
        change!(bench.store.tenant(tenant.id), found(&tenant, &person))
    };
    found(tenant("default"), first("ada")).await.unwrap();
    assert!(bench.store.is_founded().await.unwrap());
    assert!(matches!(found(tenant("other"), first("eve")).await, Err(StoreError::NameTaken)));
    assert_eq!(bench.store.person_named(&name("EVE")).await.unwrap(), None, "nothing of the second is left");
    let ada = bench.store.person_named(&name("ADA")).await.unwrap().unwrap();
    assert_eq!(bench.store.memberships(ada.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let bench = sqlite().await;
    let again = Store::open(&Location::Folder(bench._folder.path().to_owned())).await;
    assert!(matches!(again, Err(StoreError::InUse { .. })));
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = Location::Folder(folder.path().to_owned());
    let (store, lock) = Store::open(&place).await.unwrap();
    let Pool::Sqlite(pool) = &store.pool else { panic!("not SQLite") };
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)",
    )
    .execute(pool)
    .await
    .unwrap();
    store.close().await;
    drop(lock);
    let refused = Store::open(&place).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 9999, .. }), "{refused}");
    assert_eq!(segcdc_model::Fault::code(&refused), "STORE_NEWER");
}

#[tokio::test]
async fn a_store_whose_history_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = Location::Folder(folder.path().to_owned());
    let (store, lock) = Store::open(&place).await.unwrap();
    let Pool::Sqlite(pool) = &store.pool else { panic!("not SQLite") };
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1")
        .execute(pool)
        .await
        .unwrap();
    store.close().await;
    drop(lock);
    let refused = Store::open(&place).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&refused), "STORE_MIGRATION");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for() {
    let url = "postgres://nobody@127.0.0.1:1/store?sslmode=disable".to_owned();
    let refused = Store::open(&Location::Postgres(segcdc_model::Secret::new(url))).await.unwrap_err();
    let fault: &dyn segcdc_model::Fault = &refused;
    assert_eq!((fault.code(), fault.disposition()), ("STORE_UNREACHABLE", segcdc_model::Disposition::Retry));
}

#[tokio::test]
async fn a_file_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("segcdc.db"),
        "not a database, but as long as a header of one has to be, and longer. ".repeat(20),
    )
    .unwrap();
    let error = Store::open(&Location::Folder(folder.path().to_owned())).await.unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
    assert!(Millis::now().0 > 0);
}
