//! Masked and constant columns in the stream: what is planned of them, and what becomes of them when their table is changed.

use std::sync::Arc;

use segcdc_model::{Change, Fault, Lsn, OldTuple, TablePhase, Transaction, Tuple, Value};
use segcdc_plan::{
    ApplyPlan, Described, Known, KnownTable, MaskSalt, Naming, OpenLetters, PlanError, RuleTexts, Rules,
    TableEntry, TablePlan, TableSet, decide, plan, table_plan,
};

use crate::schema_changes::{catalog, naming, relation, spelled};

const SALT: &[u8] = b"a salt of these tests";

/// HMAC-SHA-256 of `1` with [`SALT`], by another program: `printf 1 | openssl dgst -sha256 -hmac "a salt of these tests"`.
const HASH_1: &str = "7d0ec51e76c6d59e2106f085467fbb7883aa7ae615fa43e06c2ca8e250acfec8";
/// The same of `2`.
const HASH_2: &str = "55a13b6d44860608bea71b5ed77ae255e03aa88e0c4aa13d2e7f68bd8189941b";
/// The same of `5`.
const HASH_5: &str = "b2fb8d85744383de762fd4f623281759a256a531de017ce63378fd4031f32f94";

fn naming_with(masks: &[&str], constants: &[&str]) -> Naming {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let texts = RuleTexts { masks: owned(masks), constants: owned(constants), ..RuleTexts::default() };
    naming().with_rules(Rules::parse(&texts).unwrap()).with_salt(MaskSalt::new(SALT))
}

/// A table that was copied when the catalog was so.
fn known(columns: &[&str], naming: &Naming) -> (KnownTable, TablePlan) {
    let catalog = catalog(columns, 7);
    let plan = table_plan(&catalog.table, naming).unwrap();
    (KnownTable::new(&catalog, &plan), plan)
}

/// The plan of one transaction.
fn planned(table: &TablePlan, changes: Vec<Change>) -> Result<ApplyPlan, PlanError> {
    let mut tables = TableSet::new();
    tables.insert(TableEntry {
        plan: Arc::new(table.clone()),
        sync_lsn: Lsn::ZERO,
        phase: TablePhase::Streaming,
        letters: OpenLetters::new(),
        known: None::<Known>,
    });
    let transaction = Transaction {
        xid: 1,
        commit_lsn: Lsn::new(1),
        end_lsn: Lsn::new(2),
        commit_time_us: 0,
        spilled: None,
        changes,
        memory_bytes: 0,
        large_bytes: 0,
    };
    plan(&[transaction], &tables)
}

fn text<'a>(value: Result<Value<'a>, segcdc_plan::ValueError>) -> &'a str {
    match value.unwrap() {
        Value::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_that_are_hashed_move_and_constants_are_in_every_row() {
    let naming = naming_with(&["public.*.id=hash", "public.*.a=truncate:1"], &["public.*.region=eu"]);
    let (_, table) = known(&["id", "a:text?"], &naming);
    let relation = Arc::new(relation(&["id", "a:text"]));
    let row = |id, a| Tuple::from_texts([Some(id), Some(a)]);
    let moved = Change::Update {
        relation: Arc::clone(&relation),
        old: Some(OldTuple::Key(Tuple::from_texts([Some("1"), None]))),
        new: row("2", "secret"),
    };
    let inserted = Change::Insert { relation: Arc::clone(&relation), new: row("5", "secret") };
    let made = planned(&table, vec![moved, inserted]).unwrap();
    let [changes] = made.tables.as_slice() else { panic!("{made:?}") };
    let deleted: Vec<&str> = changes.deletes.iter().map(|image| text(image.value(0))).collect();
    assert_eq!(deleted, [HASH_1]);
    let inserted: Vec<[&str; 3]> =
        changes.inserts.iter().map(|row| [0, 1, 2].map(|column| text(row.image.value(column)))).collect();
    assert_eq!(inserted, [[HASH_2, "s", "eu"], [HASH_5, "s", "eu"]]);
    assert!(!format!("{made:?}").contains("secret"), "no value is behind the plan");
}

#[test]
fn a_stream_without_a_salt_halts_the_table_that_needs_one() {
    let naming = Naming { salt: None, ..naming_with(&["public.*.a=hash"], &[]) };
    let (_, table) = known(&["id", "a:text?"], &naming);
    let relation = Arc::new(relation(&["id", "a:text"]));
    let new = Tuple::from_texts([Some("1"), Some("secret")]);
    let error = planned(&table, vec![Change::Insert { relation, new }]).unwrap_err();
    assert_eq!((error.code(), error.table_oid()), ("MASK_SALT_MISSING", Some(1)));
    assert!(!segcdc_model::fault::chain(&error).contains("secret"));
}

#[test]
fn masks_stay_with_their_columns_or_halt_the_table() {
    let before = ["id", "a?"];
    let check = |masks: &[&str], sent: &[&str], now: &[&str], expected: &str| {
        let naming = naming_with(masks, &["public.*.region=eu"]);
        let (known, plan) = known(&before, &naming);
        let (relation, catalog) = (relation(sent), catalog(now, 7));
        let described = Described {
            known: &known,
            plan: &plan,
            relation: &relation,
            catalog: &catalog,
            at: Lsn::new(5),
            has_letters: false,
        };
        let decided = decide(described, &naming);
        if let Ok(segcdc_plan::Decision::Change(change)) = &decided {
            assert_eq!(change.known.plan(&naming, &plan.target).unwrap(), change.plan);
            assert_eq!(change.plan.columns.last().unwrap().constant.as_deref(), Some("eu"));
        }
        let found = decided.as_ref().map_or_else(ToString::to_string, |_| spelled(decided.clone()));
        assert!(found.contains(expected), "{sent:?} {now:?}: {found}");
    };
    check(&["public.*.a=hash"], &before, &before, "same");
    check(&["public.*.a*=hash"], &["id", "ab"], &["id", "ab?"], "rename a to ab");
    let lost =
        "column \"a\" has the mask hash and is \"b\" of public.t1 now, which no --mask says of that name";
    check(&["public.*.a=hash"], &["id", "b"], &["id", "b?"], lost);
    // What rows have in a new column is masked too.
    let added = ["id", "a?", "b?=5"];
    check(&["public.*.b=hash"], &["id", "a", "b"], &added, &format!("add b nvarchar(64) = {HASH_5}"));
    check(&["public.*.b=redact"], &["id", "a", "b"], &added, "add b int = NULL");
    // Another type of which hashes are the same, and one that the constant leaves no name for.
    check(&["public.*.a=hash"], &["id", "a:bigint"], &["id", "a:bigint?"], "change-type");
    check(
        &[],
        &["id", "a", "Region"],
        &["id", "a?", "Region?"],
        "another column of the target has that name",
    );
}

#[test]
fn what_is_stored_of_a_masked_table_comes_back() {
    let naming = naming_with(&["public.*.a=truncate:7"], &["public.*.site:int=7"]);
    let (known, plan) = known(&["id", "a:text?"], &naming);
    let stored = serde_json::to_string(&known).unwrap();
    assert!(stored.contains("\"mask\":\"truncate:7\""), "{stored}");
    let read: KnownTable = serde_json::from_str(&stored).unwrap();
    assert_eq!(read.plan(&naming, &plan.target).unwrap(), plan);
    // Whatever the rules say by now.
    let other = naming_with(&[], &[]);
    let again = read.plan(&other, &plan.target).unwrap();
    assert_eq!(again.columns, plan.columns);
}
