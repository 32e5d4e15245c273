//! The use cases over a real SQLite store.

use super::*;
use crate::access::Role;
use crate::connection::Draft;
use crate::field::FieldProblem;
use crate::name::ResourceName;
use crate::store::{ConnectionKind, FolderLock, Location};
use segcdc_model::Fault;

/// A control plane with an administrator, and what has to live as long.
struct Bench {
    control: Control,
    admin: Actor,
    folder: tempfile::TempDir,
    _lock: Option<FolderLock>,
}

const PASSWORD: &str = "a sentence that nobody knows";
const ADDRESS: &str = "192.0.2.1";
const KIND: ConnectionKind = ConnectionKind::Postgres;

fn name(text: &str) -> ResourceName {
    text.parse().unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn keys(id: &str) -> Keyring {
    Keyring::parse(&Keyring::generate_line(id).unwrap()).unwrap()
}

fn engines() -> Arc<dyn Engines> {
    Arc::new(crate::reconcile::tests::Scripted::default())
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (store, lock) = Store::open(&Location::Folder(folder.path().to_owned())).await.unwrap();
    let (control, token) = Control::open(store, keys("k1"), engines()).await.unwrap();
    let founding = Founding {
        token: token.unwrap(),
        tenant: name("acme"),
        user: name("ada"),
        password: secret(PASSWORD),
    };
    let admin = control.found(founding, ADDRESS).await.unwrap().actor;
    Bench { control, admin, folder, _lock: lock }
}

async fn person(bench: &Bench, by: &Actor, text: &str, role: Role) -> Actor {
    let new = NewPerson { name: name(text), password: secret(PASSWORD), role };
    bench.control.create_person(by, new).await.unwrap();
    bench.control.sign_in(text, secret(PASSWORD), None, ADDRESS).await.unwrap().actor
}

fn draft(host: &str) -> Draft {
    Draft {
        host: Some(host.to_owned()),
        database: Some("shop".to_owned()),
        user: Some("app".to_owned()),
        ..Draft::default()
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ControlError>) -> &'static str {
    outcome.unwrap_err().code()
}

const ALL: PageOf<'_> = PageOf { after: None, limit: 100 };

#[tokio::test]
async fn there_is_one_first_administrator_and_only_with_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _lock) = Store::open(&Location::Folder(folder.path().to_owned())).await.unwrap();
    let (control, token) = Control::open(store, keys("k1"), engines()).await.unwrap();
    let founding = |token: Secret<String>, password: &str| Founding {
        token,
        tenant: name("acme"),
        user: name("ada"),
        password: secret(password),
    };
    assert_eq!(code(control.found(founding(secret("x"), PASSWORD), ADDRESS).await), "SETUP_TOKEN_WRONG");
    let token = token.unwrap();
    assert_eq!(code(control.found(founding(token.clone(), "ada12345"), ADDRESS).await), "PASSWORD_WEAK");
    assert!(control.found(founding(token.clone(), PASSWORD), ADDRESS).await.unwrap().actor.is_super);
    assert_eq!(code(control.found(founding(token, PASSWORD), ADDRESS).await), "SETUP_DONE");
}

#[tokio::test]
async fn a_refused_sign_in_says_nothing_and_is_written_down() {
    let bench = bench().await;
    for (user, password) in [("ada", "wrong password"), ("nobody", PASSWORD), ("<script>", PASSWORD)] {
        let outcome = bench.control.sign_in(user, secret(password), None, ADDRESS).await;
        assert_eq!(code(outcome), "SIGN_IN_REFUSED", "{user}");
    }
    let elsewhere = bench.control.sign_in("ada", secret(PASSWORD), Some(&name("other")), ADDRESS).await;
    assert_eq!(code(elsewhere), "SIGN_IN_REFUSED");
    let log = bench.control.audit_log(&bench.admin, ALL).await.unwrap().items;
    let refused: Vec<_> = log.iter().filter(|line| line.what.outcome == "SIGN_IN_REFUSED").collect();
    assert_eq!(refused.len(), 2, "those with a name that is somebody's: {log:?}");
    assert!(log.iter().all(|line| !format!("{line:?}").contains("wrong password")));
}

#[tokio::test]
async fn what_cannot_be_written_down_does_not_happen() {
    let bench = bench().await;
    let kept =
        bench.control.create_connection(&bench.admin, name("kept"), KIND, &draft("h"), None).await.unwrap();
    let file = bench.folder.path().join("segcdc.db");
    let other = sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let refuse = "CREATE TRIGGER refused BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(refuse).execute(&other).await.unwrap();
    let control = &bench.control;
    assert_eq!(
        [
            code(control.create_connection(&bench.admin, name("lost"), KIND, &draft("h"), None).await),
            code(control.delete_connection(&bench.admin, kept.id, None).await),
            code(control.create_tenant(&bench.admin, name("lost")).await),
            code(control.create_token(&bench.admin, name("lost"), Role::Viewer, 1).await),
            code(control.sign_in("ada", secret(PASSWORD), None, ADDRESS).await),
        ],
        ["STORE_REFUSED"; 5]
    );
    sqlx::query("DROP TRIGGER refused").execute(&other).await.unwrap();
    other.close().await;
    let left: Vec<_> = control.connections(&bench.admin, ALL).await.unwrap().items;
    assert_eq!(left.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["kept"]);
    assert_eq!(control.tenants(&bench.admin, ALL).await.unwrap().items.len(), 1);
    assert_eq!(control.tokens(&bench.admin, ALL).await.unwrap().items, []);
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let bench = bench().await;
    let mut codes = Vec::new();
    for _ in 0..7 {
        codes.push(code(bench.control.sign_in("ada", secret("wrong password"), None, "192.0.2.66").await));
    }
    assert_eq!(codes.last(), Some(&"TOO_MANY_ATTEMPTS"), "{codes:?}");
    bench.control.sign_in("ada", secret(PASSWORD), None, ADDRESS).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_with_its_password_and_its_person() {
    let bench = bench().await;
    let eve = person(&bench, &bench.admin, "eve", Role::Editor).await;
    let other = bench.control.sign_in("eve", secret(PASSWORD), None, ADDRESS).await.unwrap();
    let new = "another sentence that nobody knows";
    let wrong = bench.control.change_password(&eve, secret("x"), secret(new)).await;
    assert_eq!(code(wrong), "PASSWORD_NOT_CURRENT");
    bench.control.change_password(&eve, secret(PASSWORD), secret(new)).await.unwrap();
    assert_eq!(code(bench.control.by_session(other.token.expose(), ADDRESS).await), "UNAUTHENTICATED");
    let again = bench.control.sign_in("eve", secret(new), None, ADDRESS).await.unwrap();
    let watching = bench.control.renew(&again.actor).await.unwrap();
    let change = PersonChange { disabled: Some(true), ..PersonChange::default() };
    bench.control.change_person(&bench.admin, eve.person, change, None).await.unwrap();
    assert_eq!(code(bench.control.by_session(again.token.expose(), ADDRESS).await), "UNAUTHENTICATED");
    assert_eq!(code(bench.control.renew(&watching).await), "UNAUTHENTICATED");
    assert_eq!(code(bench.control.sign_in("eve", secret(new), None, ADDRESS).await), "SIGN_IN_REFUSED");
}

#[tokio::test]
async fn a_token_does_what_it_was_made_for_until_it_is_revoked() {
    let bench = bench().await;
    let made = bench.control.create_token(&bench.admin, name("ci"), Role::Viewer, 30).await.unwrap();
    let actor = bench.control.by_token(made.token.expose(), ADDRESS).await.unwrap();
    assert_eq!((actor.role, actor.is_super), (Role::Viewer, false), "not what its owner is");
    let (kind, fields) = (ConnectionKind::Postgres, draft("h"));
    let refused = bench.control.create_connection(&actor, name("c"), kind, &fields, None).await;
    assert_eq!(code(refused), "FORBIDDEN");
    assert_eq!(code(bench.control.create_token(&actor, name("x"), Role::Viewer, 1).await), "FORBIDDEN");
    assert_eq!(bench.control.renew(&actor).await.unwrap(), actor);
    bench.control.revoke_token(&bench.admin, made.stored.id).await.unwrap();
    assert_eq!(code(bench.control.renew(&actor).await), "UNAUTHENTICATED", "what goes on for long ends too");
    assert_eq!(code(bench.control.by_token(made.token.expose(), ADDRESS).await), "UNAUTHENTICATED");
    let viewer = person(&bench, &bench.admin, "vic", Role::Viewer).await;
    let stronger = bench.control.create_token(&viewer, name("x"), Role::Editor, 1).await;
    assert_eq!(code(stronger), "FORBIDDEN");
    assert_eq!(code(bench.control.revoke_token(&viewer, made.stored.id).await), "NOT_FOUND");
    assert_eq!(bench.control.tokens(&viewer, ALL).await.unwrap().items, []);
}

#[tokio::test]
async fn somebody_always_manages_the_tenant() {
    let bench = bench().await;
    let demote = || PersonChange { role: Some(Role::Viewer), ..PersonChange::default() };
    let id = bench.admin.person;
    assert_eq!(code(bench.control.change_person(&bench.admin, id, demote(), None).await), "LAST_ADMIN");
    assert_eq!(code(bench.control.remove_person(&bench.admin, id).await), "LAST_ADMIN");
    let bob = person(&bench, &bench.admin, "bob", Role::Admin).await;
    let changed = bench.control.change_person(&bob, id, demote(), Some(1)).await.unwrap();
    assert_eq!((changed.role, changed.person.version), (Role::Viewer, 2));
    let stale = bench.control.change_person(&bob, id, demote(), Some(1)).await;
    assert_eq!(code(stale), "VERSION_CONFLICT");
}

#[tokio::test]
async fn one_tenant_does_not_decide_on_the_people_of_another() {
    let bench = bench().await;
    let other = bench.control.create_tenant(&bench.admin, name("other")).await.unwrap();
    let there = bench.control.in_tenant(&bench.admin, other.id).await.unwrap();
    let olga = person(&bench, &bench.admin, "olga", Role::Viewer).await;
    let bob = NewPerson { name: name("bob"), password: secret(PASSWORD), role: Role::Admin };
    bench.control.create_person(&there, bob).await.unwrap();
    let bob = bench.control.sign_in("bob", secret(PASSWORD), None, ADDRESS).await.unwrap().actor;
    assert_eq!(bob.tenant.id, other.id);
    assert_eq!(code(bench.control.person(&bob, olga.person).await), "NOT_FOUND");
    assert_eq!(code(bench.control.in_tenant(&bob, bench.admin.tenant.id).await), "NOT_FOUND");
    assert_eq!(code(bench.control.create_tenant(&bob, name("x")).await), "FORBIDDEN");
    let mut work = bench.control.store.tenant(other.id).begin().await.unwrap();
    work.join(olga.person, Role::Viewer).await.unwrap();
    work.commit().await.unwrap();
    let reset = PersonChange { password: Some(secret("mine now, this one is")), ..PersonChange::default() };
    assert_eq!(code(bench.control.change_person(&bob, olga.person, reset, None).await), "USER_OF_OTHERS");
    assert_eq!(code(bench.control.delete_tenant(&bob, other.id).await), "FORBIDDEN");
    bench.control.delete_tenant(&bench.admin, other.id).await.unwrap();
    assert_eq!(code(bench.control.sign_in("bob", secret(PASSWORD), None, ADDRESS).await), "SIGN_IN_REFUSED");
    bench.control.sign_in("olga", secret(PASSWORD), None, ADDRESS).await.unwrap();
}

#[tokio::test]
async fn a_password_is_nowhere_in_the_store_and_does_not_follow_to_another_host() {
    let bench = bench().await;
    let canary = "canary-9f2b7c";
    let kind = ConnectionKind::Postgres;
    let made = bench
        .control
        .create_connection(&bench.admin, name("shop"), kind, &draft("db1"), Some(secret(canary)))
        .await
        .unwrap();
    assert!(made.has_password);
    let change = |host: &'static str, password: SecretChange| ConnectionChange {
        name: None,
        fields: Box::new(move |draft| Draft { host: Some(host.to_owned()), ..draft }),
        password,
    };
    let moved =
        bench.control.change_connection(&bench.admin, made.id, change("evil", SecretChange::Keep), Some(1));
    let moved = moved.await.unwrap_err();
    let ControlError::Fields(problems) = &moved else { panic!("{moved:?}") };
    assert_eq!(problems.first, FieldProblem::of("password", crate::field::FieldError::SecretNeeded));
    let anew = SecretChange::Set(secret(canary));
    let moved =
        bench.control.change_connection(&bench.admin, made.id, change("db2", anew), Some(1)).await.unwrap();
    assert_eq!((moved.settings.host.as_str(), moved.version), ("db2", 2));
    let cleared =
        bench.control.change_connection(&bench.admin, made.id, change("db3", SecretChange::Clear), None);
    assert!(!cleared.await.unwrap().has_password);
    bench.control.close().await;
    let mut seen = 0;
    for entry in std::fs::read_dir(bench.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()));
        seen += bytes.len();
    }
    assert!(seen > 10_000, "the store was looked at");
}

/// # Fault F64
/// The server starts with another master key than the one that sealed its secrets.
/// - Happens: it does not start: `MASTER_KEY_UNKNOWN`, or `SECRET_DAMAGED` where another key has the same name. Nothing is lost.
/// - Do: give the key that is named.
#[tokio::test]
async fn other_master_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = Location::Folder(folder.path().to_owned());
    let (store, lock) = Store::open(&place).await.unwrap();
    let (control, _) = Control::open(store, keys("k1"), engines()).await.unwrap();
    control.close().await;
    drop(lock);
    for (other, expected) in [(keys("k2"), "MASTER_KEY_UNKNOWN"), (keys("k1"), "SECRET_DAMAGED")] {
        let (store, lock) = Store::open(&place).await.unwrap();
        let error = Control::open(store, other, engines()).await.unwrap_err();
        assert_eq!(error.code(), expected);
        drop(lock);
    }
}

#[tokio::test]
async fn a_request_that_comes_twice_is_carried_out_once() {
    let bench = bench().await;
    let key = |body: &[u8]| ReplyKey::new(&bench.admin, "POST /x", "k-1", body).unwrap();
    let (first, other) = (key(b"{}"), key(b"{\"a\":1}"));
    assert_eq!(bench.control.take_reply(&first).await.unwrap(), KeptReply::CarryOut);
    assert_eq!(code(bench.control.take_reply(&first).await), "IDEMPOTENCY_UNDER_WAY");
    assert_eq!(code(bench.control.take_reply(&other).await), "IDEMPOTENCY_MISMATCH");
    bench.control.keep_reply(&first, 201, secret("the answer")).await.unwrap();
    let kept = bench.control.take_reply(&first).await.unwrap();
    assert_eq!(kept, KeptReply::Answer(secret("the answer")));
    assert_eq!(code(bench.control.take_reply(&other).await), "IDEMPOTENCY_MISMATCH");
    let refused = ReplyKey::new(&bench.admin, "POST /x", "k-2", b"").unwrap();
    bench.control.take_reply(&refused).await.unwrap();
    bench.control.forget_reply(&refused).await.unwrap();
    assert_eq!(bench.control.take_reply(&refused).await.unwrap(), KeptReply::CarryOut);
    for bad in ["", "a b", &"x".repeat(201)] {
        assert_eq!(code(ReplyKey::new(&bench.admin, "POST /x", bad, b"")), "IDEMPOTENCY_KEY");
    }
}

#[tokio::test]
async fn lists_come_in_parts() {
    let bench = bench().await;
    for number in 0..5 {
        let kind = ConnectionKind::Postgres;
        bench
            .control
            .create_connection(&bench.admin, name(&format!("c{number}")), kind, &draft("h"), None)
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = PageOf { after: after.as_deref(), limit: 2 };
        let part = bench.control.connections(&bench.admin, page).await.unwrap();
        seen.extend(part.items.into_iter().map(|view| view.name.to_string()));
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["c0", "c1", "c2", "c3", "c4"]);
}
