//! Dead letters and counted uses of policies: written with a batch or not at all, and read back.

use segcdc_model::{Fault, Lsn, PgType, QualifiedName};
use segcdc_plan::{
    ApplyPlan, DeadLetter, Held, LetterChange, LetterEnd, LetterKey, OpenLetters, PolicyUse, ValuePolicy,
};
use segcdc_sqlserver::apply::apply_staged;
use segcdc_sqlserver::{
    CountedUse, Letter, LetterFilter, Loader, Target, TargetConfig, TargetError, WritePath, apply,
};

use crate::fixture;
use crate::rig::{Rig, Stream, canonical_rows, meddle, plan_one, tuple};

/// How a batch goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Chosen,
    Staged,
}

/// Both write paths, each with both ways.
const WAYS: [(WritePath, Way); 4] = [
    (WritePath::Bulk, Way::Chosen),
    (WritePath::Bulk, Way::Staged),
    (WritePath::Insert, Way::Chosen),
    (WritePath::Insert, Way::Staged),
];

/// The table of these letters, a source name that quoting has to survive.
fn table() -> QualifiedName {
    QualifiedName::new("public", "we]ird' 🦀")
}

fn key(text: &str) -> LetterKey {
    // Told apart by what the text holds; a trailing zero must not be lost.
    let mut digest = [0; 32];
    digest.iter_mut().zip(text.bytes()).for_each(|(byte, of_text)| *byte = of_text);
    LetterKey { digest, texts: vec![text.to_owned()] }
}

/// The key of a row of a table without one.
fn content(text: &str) -> LetterKey {
    LetterKey { texts: Vec::new(), ..key(text) }
}

fn letter(key: LetterKey, lsn: u64, payload: &str) -> DeadLetter {
    DeadLetter {
        oid: 7,
        table: table(),
        key,
        lsn: Lsn::new(lsn),
        code: "VALUE_UNREPRESENTABLE".to_owned(),
        column: "am'ount".to_owned(),
        payload: payload.to_owned(),
        held: Held::Nothing,
    }
}

fn close(key: LetterKey, rows: u64, lsn: u64, end: LetterEnd) -> LetterChange {
    LetterChange::Close { oid: 7, table: table(), key, rows, lsn: Lsn::new(lsn), end }
}

fn close_all(lsn: u64) -> LetterChange {
    LetterChange::CloseAll { oid: 7, table: table(), lsn: Lsn::new(lsn) }
}

fn used(column: &str, policy: ValuePolicy, count: u64) -> PolicyUse {
    PolicyUse { oid: 7, table: table(), column: column.to_owned(), policy: policy.word(), count }
}

/// A batch that concerns no table.
fn noting(end_lsn: u64, letters: Vec<LetterChange>, uses: Vec<PolicyUse>) -> ApplyPlan {
    ApplyPlan { letters, uses, ..plan_one(&[], end_lsn, Vec::new()) }
}

/// Applies a plan and keeps the checkpoint.
async fn go(rig: &mut Rig, way: Way, plan: &ApplyPlan) -> Result<(), TargetError> {
    let applied = match way {
        Way::Chosen => apply(&mut rig.target, plan, &rig.checkpoint).await,
        Way::Staged => apply_staged(&mut rig.target, plan, &rig.checkpoint).await,
    };
    rig.checkpoint = applied?;
    Ok(())
}

/// All letters of the rig's pipeline.
async fn all(rig: &mut Rig) -> Vec<Letter> {
    let filter = LetterFilter { with_closed: true, ..LetterFilter::default() };
    rig.target.letters(&rig.pipeline, &filter, 10_000).await.unwrap()
}

async fn payload(rig: &mut Rig, number: i64) -> Option<String> {
    rig.target.letter(&rig.pipeline, number).await.unwrap().unwrap().1
}

/// What planning would know of the open letters of table 7.
async fn open(rig: &mut Rig, keyed: bool) -> OpenLetters {
    let plan = fixture::table(7, "t", usize::from(keyed), &[("id", PgType::Int4, true)]);
    rig.target.open_letters(&rig.pipeline, &plan).await.unwrap()
}

/// Number, and by what it is closed.
fn ends(letters: &[Letter]) -> Vec<Option<&str>> {
    letters.iter().map(|letter| letter.closed.as_ref().map(|(_, by)| by.as_str())).collect()
}

#[tokio::test]
async fn a_letter_is_opened_renewed_and_closed() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let first = letter(key("1"), 10, "{\"id\":\"1\",\"am'ount\":\"NaN\"}");
        let kept = DeadLetter {
            held: Held::Behind(vec!["am'ount".to_owned(), "ü\"".to_owned()]),
            ..letter(key("2 🦀"), 10, "{}")
        };
        let changes = vec![LetterChange::Open(first.clone()), LetterChange::Open(kept.clone())];
        go(&mut rig, way, &noting(100, changes, Vec::new())).await.unwrap();
        let found = all(&mut rig).await;
        assert_eq!(ends(&found), [None, None], "{path:?} {way:?}");
        let expected = Letter {
            number: found[0].number,
            source_oid: 7,
            source: table(),
            commit_lsn: Lsn::new(10),
            code: "VALUE_UNREPRESENTABLE".to_owned(),
            column: Some("am'ount".to_owned()),
            in_target: false,
            behind: Vec::new(),
            opened_at_us: found[0].opened_at_us,
            updated_at_us: found[0].updated_at_us,
            closed: None,
            discarded: false,
            key: Some("[\"1\"]".to_owned()),
        };
        assert_eq!(found[0], expected);
        assert_eq!(payload(&mut rig, found[0].number).await, Some(first.payload.clone()));
        assert!(found[1].in_target);
        let known = open(&mut rig, true).await;
        assert_eq!(known.len(), 2);
        assert_eq!(known.get(&first.key.digest), Some(&Held::Nothing));
        assert_eq!(known.get(&kept.key.digest), Some(&kept.held));

        let newer = DeadLetter {
            code: "VALUE_TOO_LONG".to_owned(),
            column: "note".to_owned(),
            held: Held::Behind(vec!["note".to_owned()]),
            ..letter(key("1"), 20, "{\"id\":\"1\",\"note\":\"long\"}")
        };
        let changes = vec![LetterChange::Renew(newer.clone()), close(key("2 🦀"), 1, 20, LetterEnd::Healed)];
        go(&mut rig, way, &noting(200, changes, Vec::new())).await.unwrap();
        let found = all(&mut rig).await;
        assert_eq!(ends(&found), [None, Some("healed")], "{path:?} {way:?}");
        assert_eq!((found[0].code.as_str(), found[0].commit_lsn), ("VALUE_TOO_LONG", Lsn::new(20)));
        assert_eq!((found[0].column.as_deref(), found[0].in_target), (Some("note"), true));
        assert_eq!(payload(&mut rig, found[0].number).await, Some(newer.payload.clone()));
        // A closed letter keeps no value of its row.
        assert_eq!((found[1].key.as_deref(), &found[1].behind), (None, &Vec::new()));
        assert_eq!(payload(&mut rig, found[1].number).await, None);
        assert_eq!(open(&mut rig, true).await.len(), 1);

        let changes = vec![close(key("1"), 1, 30, LetterEnd::Deleted)];
        go(&mut rig, way, &noting(300, changes, Vec::new())).await.unwrap();
        // The key can be opened again.
        let changes = vec![LetterChange::Open(letter(key("1"), 40, "{}"))];
        go(&mut rig, way, &noting(400, changes, Vec::new())).await.unwrap();
        assert_eq!(ends(&all(&mut rig).await), [Some("deleted"), Some("healed"), None], "{path:?} {way:?}");
        assert_eq!(rig.stored().await, rig.checkpoint);
    }
}

#[tokio::test]
async fn changes_take_place_in_their_order() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let old = (0..3).map(|n| LetterChange::Open(letter(key(&n.to_string()), 10, "{}")));
        go(&mut rig, way, &noting(100, old.collect(), Vec::new())).await.unwrap();
        let changes = vec![
            close_all(20),
            LetterChange::Open(letter(key("0"), 20, "{\"a\":1}")),
            LetterChange::Renew(letter(key("0"), 20, "{\"a\":2}")),
            LetterChange::Open(letter(key("5"), 20, "{}")),
            close(key("5"), 1, 20, LetterEnd::Deleted),
        ];
        go(&mut rig, way, &noting(200, changes, Vec::new())).await.unwrap();
        let found = all(&mut rig).await;
        let truncated = Some("truncated");
        assert_eq!(
            ends(&found),
            [truncated, truncated, truncated, None, Some("deleted")],
            "{path:?} {way:?}"
        );
        assert_eq!(payload(&mut rig, found[3].number).await.as_deref(), Some("{\"a\":2}"));
    }
}

#[tokio::test]
async fn rows_without_a_key_have_a_letter_each() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let same = || LetterChange::Open(letter(content("x"), 10, "{}"));
        let changes = vec![same(), same(), same(), LetterChange::Open(letter(content("y"), 10, "{}"))];
        go(&mut rig, way, &noting(100, changes, Vec::new())).await.unwrap();
        assert_eq!(open(&mut rig, false).await.len(), 4);
        let changes = vec![close(content("x"), 2, 20, LetterEnd::Deleted)];
        go(&mut rig, way, &noting(200, changes, Vec::new())).await.unwrap();
        assert_eq!(open(&mut rig, false).await.len(), 2, "{path:?} {way:?}");
        let changes = vec![close(content("x"), 2, 30, LetterEnd::Deleted)];
        let error = go(&mut rig, way, &noting(300, changes, Vec::new())).await.unwrap_err();
        assert_eq!(error.code(), "TARGET_DIVERGED");
        assert_eq!(open(&mut rig, false).await.len(), 2);
    }
}

#[tokio::test]
async fn a_letter_that_is_not_as_it_should_be_ends_the_batch() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let held = rig.table(1, "t", 1, &[("id", PgType::Int4, true)]);
        rig.create(&held).await;
        let stream = Stream::new(&held);
        let one = vec![LetterChange::Open(letter(key("1"), 10, "{}"))];
        go(&mut rig, way, &noting(100, one, Vec::new())).await.unwrap();
        let before = all(&mut rig).await;
        for wrong in [
            LetterChange::Open(letter(key("1"), 20, "{}")),
            LetterChange::Renew(letter(key("2"), 20, "{}")),
            close(key("2"), 1, 20, LetterEnd::Deleted),
        ] {
            let rows = plan_one(&[&stream], 200, vec![stream.insert("1")]);
            let letters = vec![LetterChange::Open(letter(key("3"), 20, "{}")), wrong];
            let plan = ApplyPlan { letters, uses: vec![used("c", ValuePolicy::Null, 1)], ..rows };
            let error = go(&mut rig, way, &plan).await.unwrap_err();
            let found = (error.code(), error.table_oid());
            assert_eq!(found, ("TARGET_DIVERGED", Some(7)), "{path:?} {way:?}: {error}");
            assert_eq!(all(&mut rig).await, before);
            assert!(rig.rows(&held).await.is_empty());
            assert_eq!(rig.target.policy_uses(&rig.pipeline).await.unwrap(), []);
            assert_eq!(rig.stored().await, rig.checkpoint);
        }
    }
}

#[tokio::test]
async fn uses_of_policies_are_added_up() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let uses = vec![used("c'", ValuePolicy::Null, 3), used("c'", ValuePolicy::SetAside, 1)];
        go(&mut rig, way, &noting(100, Vec::new(), uses)).await.unwrap();
        let uses = vec![used("c'", ValuePolicy::Null, 2), used("C'", ValuePolicy::Null, 5)];
        go(&mut rig, way, &noting(200, Vec::new(), uses)).await.unwrap();
        let counted = |column: &str, policy: &str, uses| CountedUse {
            source_oid: 7,
            column: column.to_owned(),
            policy: policy.to_owned(),
            uses,
        };
        let expected = [counted("C'", "null", 5), counted("c'", "null", 5), counted("c'", "set_aside", 1)];
        assert_eq!(rig.target.policy_uses(&rig.pipeline).await.unwrap(), expected, "{path:?} {way:?}");
    }
}

#[tokio::test]
async fn thousands_of_letters_and_large_ones_go_with_one_batch() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let held = rig.table(1, "t", 1, &[("id", PgType::Int4, true)]);
        rig.create(&held).await;
        let stream = Stream::new(&held);
        let large = format!("{{\"note\":\"{}\"}}", "ü".repeat(3 << 20));
        let payload_of = |n: u32| if n == 7 { large.clone() } else { format!("{{\"id\":\"{n}\"}}") };
        let opened: Vec<LetterChange> =
            (0..2500).map(|n| LetterChange::Open(letter(key(&n.to_string()), 10, &payload_of(n)))).collect();
        let rows = plan_one(&[&stream], 100, vec![stream.insert("1")]);
        let plan = ApplyPlan { letters: opened, ..rows };
        go(&mut rig, Way::Chosen, &plan).await.unwrap();
        assert_eq!(rig.rows(&held).await, canonical_rows(&held, &["1"]));
        let found = all(&mut rig).await;
        assert_eq!(found.len(), 2500);
        assert_eq!(payload(&mut rig, found[7].number).await, Some(large));
        assert_eq!(open(&mut rig, true).await.len(), 2500);
        let closed: Vec<LetterChange> =
            (0..2400).map(|n| close(key(&n.to_string()), 1, 20, LetterEnd::Healed)).collect();
        go(&mut rig, Way::Chosen, &noting(200, closed, Vec::new())).await.unwrap();
        assert_eq!(open(&mut rig, true).await.len(), 100, "{path:?}");
    }
}

#[tokio::test]
async fn open_letters_are_read_page_by_page() {
    let mut rig = Rig::new().await;
    let many = (0..12_001).map(|n| LetterChange::Open(letter(key(&n.to_string()), 10, "{}")));
    go(&mut rig, Way::Chosen, &noting(100, many.collect(), Vec::new())).await.unwrap();
    let known = open(&mut rig, true).await;
    assert_eq!(known.len(), 12_001);
    assert!((0..12_001).all(|n| known.get(&key(&n.to_string()).digest).is_some()));
}

#[tokio::test]
async fn a_batch_that_is_sent_again_writes_its_letters_once() {
    for (path, way) in WAYS {
        let mut rig = Rig::with(Some(path)).await;
        let before = rig.checkpoint.clone();
        let letters = vec![LetterChange::Open(letter(key("1"), 10, "{}"))];
        let plan = noting(100, letters, vec![used("c", ValuePolicy::SetAside, 1)]);
        go(&mut rig, way, &plan).await.unwrap();
        // As a process would that has not learnt of its commit, and does not ask.
        let behind = std::mem::replace(&mut rig.checkpoint, before);
        let error = go(&mut rig, way, &plan).await.unwrap_err();
        assert_eq!(error.code(), "FENCED", "{path:?} {way:?}");
        rig.checkpoint = behind;
        assert_eq!(ends(&all(&mut rig).await), [None]);
        assert_eq!(rig.target.policy_uses(&rig.pipeline).await.unwrap()[0].uses, 1);
    }
}

#[tokio::test]
async fn letters_are_listed_by_table_code_and_number() {
    let mut rig = Rig::new().await;
    let other = DeadLetter {
        oid: 8,
        table: QualifiedName::new("public", "other"),
        code: "VALUE_TOO_LONG".to_owned(),
        ..letter(key("1"), 10, "{}")
    };
    let letters = vec![
        LetterChange::Open(letter(key("1"), 10, "{}")),
        LetterChange::Open(letter(key("2"), 10, "{}")),
        LetterChange::Open(other),
        close(key("2"), 1, 10, LetterEnd::Healed),
    ];
    go(&mut rig, Way::Chosen, &noting(100, letters, Vec::new())).await.unwrap();
    let numbers: Vec<i64> = all(&mut rig).await.iter().map(|letter| letter.number).collect();
    let listed = async |rig: &mut Rig, filter: LetterFilter, limit| -> Vec<i64> {
        let found = rig.target.letters(&rig.pipeline, &filter, limit).await.unwrap();
        found.iter().map(|letter| letter.number).collect()
    };
    let none = LetterFilter::default();
    assert_eq!(listed(&mut rig, none.clone(), 9).await, [numbers[0], numbers[2]]);
    assert_eq!(listed(&mut rig, none.clone(), 1).await, [numbers[0]]);
    let closed = LetterFilter { with_closed: true, ..none.clone() };
    assert_eq!(listed(&mut rig, closed.clone(), 9).await, numbers);
    let after = LetterFilter { after: numbers[0], ..closed };
    assert_eq!(listed(&mut rig, after, 9).await, numbers[1..]);
    let of_table = |oids: &[u32]| LetterFilter { tables: Some(oids.to_vec()), ..none.clone() };
    assert_eq!(listed(&mut rig, of_table(&[8, 9]), 9).await, [numbers[2]]);
    assert!(listed(&mut rig, of_table(&[]), 9).await.is_empty());
    let code = LetterFilter { code: Some("VALUE_TOO_LONG".to_owned()), ..none };
    assert_eq!(listed(&mut rig, code, 9).await, [numbers[2]]);
    let counts = rig.target.letter_counts(&rig.pipeline).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|count| (count.source_oid, count.open, count.closed)).collect();
    assert_eq!(counts, [(8, 1, 0), (7, 1, 1)]);
    assert_eq!(rig.target.letter(&rig.pipeline, numbers[2] + 1000).await.unwrap(), None);
    // Another pipeline has no part in it.
    assert_eq!(rig.target.letter("another", numbers[2]).await.unwrap(), None);
}

#[tokio::test]
async fn a_load_writes_the_letters_of_the_rows_that_it_leaves_out() {
    for path in [WritePath::Bulk, WritePath::Insert] {
        let mut rig = Rig::with(Some(path)).await;
        let held = rig.table(7, "t", 1, &[("id", PgType::Int4, true)]);
        rig.create(&held).await;
        let letters = [LetterChange::Open(letter(key("2"), 10, "{}"))];
        let uses = [used("c", ValuePolicy::SetAside, 1)];
        let checkpoint = rig.checkpoint.clone();
        rig.target.begin_load().await.unwrap();
        let mut loader = Loader::begin(&mut rig.target, &held, Default::default()).await.unwrap();
        loader.push(&tuple("1")).await.unwrap();
        loader.finish().await.unwrap();
        rig.target.commit_load_with(&checkpoint, &letters, &uses).await.unwrap();
        assert_eq!(rig.rows(&held).await, canonical_rows(&held, &["1"]));
        assert_eq!(ends(&all(&mut rig).await), [None], "{path:?}");
        assert_eq!(rig.stored().await, checkpoint);
        // The copy begins again: nothing of the first one counts.
        rig.target.clear_letters(&checkpoint, &table(), 7).await.unwrap();
        assert!(open(&mut rig, true).await.is_empty());
        assert_eq!(rig.target.policy_uses(&rig.pipeline).await.unwrap(), []);
        // Whoever was taken over leaves neither rows nor letters.
        let mut other = rig.session().await;
        other.take_over(&rig.pipeline, "other").await.unwrap();
        rig.target.begin_load().await.unwrap();
        let mut loader = Loader::begin(&mut rig.target, &held, Default::default()).await.unwrap();
        loader.push(&tuple("3")).await.unwrap();
        loader.finish().await.unwrap();
        let error = rig.target.commit_load_with(&checkpoint, &letters, &uses).await.unwrap_err();
        assert_eq!(error.code(), "FENCED");
        let error = rig.target.write_letters(&checkpoint, &letters, &uses).await.unwrap_err();
        assert_eq!(error.code(), "FENCED");
        assert_eq!(rig.target.clear_letters(&checkpoint, &table(), 7).await.unwrap_err().code(), "FENCED");
        assert_eq!(rig.rows(&held).await, canonical_rows(&held, &["1"]));
        assert_eq!(ends(&all(&mut rig).await), [Some("truncated")]);
    }
}

#[tokio::test]
async fn state_of_an_older_version_goes_on() {
    let mut rig = Rig::new().await;
    let Some(config) = own_database(&rig).await else { return };
    rig.target = Target::connect(&config).await.unwrap();
    rig.target.ensure_state_schema().await.unwrap();
    let new = crate::rig::new_pipeline(&rig.pipeline);
    rig.checkpoint = rig.target.create_pipeline(&new).await.unwrap();
    meddle(&config, "DROP TABLE [segcdc].[policy_use]; DROP TABLE [segcdc].[dead_letter]").await;
    // Reading finds nothing, and a new start makes what is missing.
    assert!(rig.target.load_state(&rig.pipeline).await.unwrap().is_some());
    assert!(all(&mut rig).await.is_empty());
    assert!(open(&mut rig, true).await.is_empty());
    assert_eq!(rig.target.letter(&rig.pipeline, 1).await.unwrap(), None);
    assert_eq!(rig.target.letter_counts(&rig.pipeline).await.unwrap(), []);
    assert_eq!(rig.target.policy_uses(&rig.pipeline).await.unwrap(), []);
    rig.target.clear_letters(&rig.checkpoint.clone(), &table(), 7).await.unwrap();
    go(&mut rig, Way::Chosen, &plan_one(&[], 50, Vec::new())).await.unwrap();
    rig.target.ensure_state_schema().await.unwrap();
    let letters = vec![LetterChange::Open(letter(key("1"), 10, "{}"))];
    go(&mut rig, Way::Chosen, &noting(100, letters, vec![used("c", ValuePolicy::Null, 1)])).await.unwrap();
    assert_eq!(all(&mut rig).await.len(), 1);
    // Removing leaves nothing behind, whether the tables are there or not.
    rig.target.remove_pipeline(&rig.pipeline).await.unwrap();
    assert!(all(&mut rig).await.is_empty());
    assert_eq!(rig.target.policy_uses(&rig.pipeline).await.unwrap(), []);
    rig.target.create_pipeline(&new).await.unwrap();
    meddle(&config, "DROP TABLE [segcdc].[policy_use]; DROP TABLE [segcdc].[dead_letter]").await;
    rig.target.remove_pipeline(&rig.pipeline).await.unwrap();
    assert!(rig.target.remove_state_schema().await.unwrap());
    // And with the tables.
    rig.target.ensure_state_schema().await.unwrap();
    assert!(rig.target.remove_state_schema().await.unwrap());
}

/// A database of its own, for a test that drops what others use; `None` where none can be made, which is said.
async fn own_database(rig: &Rig) -> Option<TargetConfig> {
    let name = format!("letters_{}", std::process::id());
    let mut connection = segcdc_tds::Connection::connect(&rig.config.to_tds()).await.unwrap();
    match connection.batch(&format!("CREATE DATABASE [{name}]")).await {
        Ok(_) => Some(TargetConfig { database: name, ..rig.config.clone() }),
        Err(error) => {
            eprintln!("skipped: no database can be made here: {error}");
            None
        }
    }
}
