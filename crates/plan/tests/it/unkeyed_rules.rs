//! Tables without a key: multisets of rows, and tables that only grow.

use segcdc_model::{Fault, ReplicaIdentity};
use segcdc_plan::{Naming, OnChange, RuleTexts, Rules, TableKey, table_plan};

use crate::fixture::{Stream, TestTable, check, check_refused, plan_one};

fn whole_row() -> (TestTable, Stream) {
    let table = TestTable::unkeyed(ReplicaIdentity::Full);
    let stream = Stream::new(&table);
    (table, stream)
}

fn unidentified() -> (TestTable, Stream) {
    let table = TestTable::unkeyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    (table, stream)
}

#[test]
fn equal_rows_are_counted() {
    let (t, s) = whole_row();
    check(&t, vec![s.insert("1|a"), s.insert("1|a")], &["insert 1|a", "insert 1|a"]);
    check(&t, vec![s.delete_full("1|a"), s.delete_full("1|a")], &["delete one 1|a", "delete one 1|a"]);
}

#[test]
fn insert_cancels_delete_of_the_same_content() {
    let (t, s) = whole_row();
    check(&t, vec![s.insert("1|a"), s.insert("1|a"), s.delete_full("1|a")], &["insert 1|a"]);
    check(&t, vec![s.delete_full("1|a"), s.insert("1|a")], &[]);
    check(&t, vec![s.insert("1|a"), s.delete_full("1|b")], &["delete one 1|b", "insert 1|a"]);
}

#[test]
fn update_is_one_delete_and_one_insert() {
    let (t, s) = whole_row();
    check(&t, vec![s.update_full("1|a", "1|b")], &["delete one 1|a", "insert 1|b"]);
    check(&t, vec![s.update_full("1|a", "1|b"), s.update_full("1|b", "1|a")], &[]);
    check(&t, vec![s.update_full("1|a", "1|a")], &[]);
}

/// # Fault F22
#[test]
fn unchanged_toast_comes_from_the_old_row() {
    let (t, s) = whole_row();
    check(&t, vec![s.update_full("1|a", "2|^")], &["delete one 1|a", "insert 2|a"]);
    check(&t, vec![s.update_full("1|~", "2|^")], &["delete one 1|~", "insert 2|~"]);
}

#[test]
fn null_is_not_the_empty_text() {
    let (t, s) = whole_row();
    check(&t, vec![s.insert("1|~"), s.delete_full("1|")], &["delete one 1|", "insert 1|~"]);
}

#[test]
fn truncate_empties_the_multiset() {
    let (t, s) = whole_row();
    check(&t, vec![s.delete_full("1|a"), s.truncate(), s.insert("1|b")], &["truncate", "insert 1|b"]);
    check_refused(&t, vec![s.truncate(), s.delete_full("1|a")], "STREAM_CONTRADICTION");
}

#[test]
fn old_rows_that_are_not_whole_are_refused() {
    let (t, s) = whole_row();
    check_refused(&t, vec![s.update("1|a")], "REPLICA_IDENTITY_CHANGED");
    check_refused(&t, vec![s.delete("1|~")], "REPLICA_IDENTITY_CHANGED");
}

#[test]
fn tables_that_nothing_identifies_take_inserts_and_truncate() {
    let (t, s) = unidentified();
    check(&t, vec![s.insert("1|a"), s.insert("1|a")], &["insert 1|a", "insert 1|a"]);
    check(&t, vec![s.insert("1|a"), s.truncate(), s.insert("1|b")], &["truncate", "insert 1|b"]);
    check_refused(&t, vec![s.update("1|a")], "NO_REPLICA_IDENTITY");
    check_refused(&t, vec![s.insert("1|a"), s.delete("1|~")], "NO_REPLICA_IDENTITY");
}

#[test]
fn primary_key_without_replica_identity_only_grows() {
    let table = TestTable::keyed(ReplicaIdentity::Nothing);
    let s = Stream::new(&table);
    check_refused(&table, vec![s.delete("1|~|~")], "NO_REPLICA_IDENTITY");
    check(&table, vec![s.insert("1|a|b")], &["insert 1|a|b"]);
}

#[test]
fn append_only_tables_refuse_changes_or_leave_them_out() {
    for identity in [ReplicaIdentity::Full, ReplicaIdentity::Default] {
        let t = TestTable::keyed(identity).append_only("public.t1");
        let s = Stream::new(&t);
        assert_eq!(t.plan().key, TableKey::AppendOnly(OnChange::Halt));
        // Rows of one key are kept apart: there is no key.
        check(&t, vec![s.insert("1|a|b"), s.insert("1|a|b")], &["insert 1|a|b", "insert 1|a|b"]);
        check(&t, vec![s.insert("1|a|b"), s.truncate(), s.insert("2|a|b")], &["truncate", "insert 2|a|b"]);
        check_refused(&t, vec![s.insert("1|a|b"), s.update("1|a|c")], "APPEND_ONLY_CHANGED");
        check_refused(&t, vec![s.delete("1|~|~")], "APPEND_ONLY_CHANGED");
        let t = t.append_only("public.t1=ignore");
        let changes =
            vec![s.insert("1|a|b"), s.truncate(), s.update("1|a|c"), s.delete("1|~|~"), s.delete("2|~|~")];
        check(&t, changes.clone(), &["insert 1|a|b"]);
        let planned = plan_one(&t, changes).unwrap();
        let uses: Vec<_> =
            planned.uses.iter().map(|used| (used.column.as_str(), used.policy, used.count)).collect();
        assert_eq!(uses, [("UPDATE", "ignore", 1), ("DELETE", "ignore", 2), ("TRUNCATE", "ignore", 1)]);
    }
}

#[test]
fn append_only_tables_need_a_replica_identity_and_no_key() {
    let t = TestTable::unkeyed(ReplicaIdentity::Default).append_only("public.t1");
    assert_eq!(t.plan().key, TableKey::Unidentified);
    let texts = RuleTexts {
        append_only: vec!["public.t1".to_owned()],
        keys: vec!["public.t1=t1_k".to_owned()],
        ..RuleTexts::default()
    };
    let naming = Naming::new("dbo").with_rules(Rules::parse(&texts).unwrap());
    let refused = table_plan(&TestTable::unkeyed(ReplicaIdentity::Full).source, &naming).unwrap_err();
    assert_eq!(refused.code(), "KEY_UNUSABLE");
    for wrong in ["public.t*", "t1", "public.t1=keep", "public.t1.c1"] {
        let texts = RuleTexts { append_only: vec![wrong.to_owned()], ..RuleTexts::default() };
        assert!(Rules::parse(&texts).is_err(), "{wrong}");
    }
}
