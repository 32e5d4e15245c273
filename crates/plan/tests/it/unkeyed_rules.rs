//! Tables without a key: multisets of rows, and tables that only grow.

use segcdc_model::ReplicaIdentity;

use crate::fixture::{Stream, TestTable, check, check_refused};

fn whole_row() -> (TestTable, Stream) {
    let table = TestTable::unkeyed(ReplicaIdentity::Full);
    let stream = Stream::new(&table);
    (table, stream)
}

fn append_only() -> (TestTable, Stream) {
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
fn append_only_tables_take_inserts_and_truncate() {
    let (t, s) = append_only();
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
