//! Tables with a key: one rule a test.

use segcdc_model::{PgType, ReplicaIdentity};

use crate::fixture::{Stream, TestTable, check, check_refused};

fn default() -> (TestTable, Stream) {
    let table = TestTable::keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    (table, stream)
}

fn full() -> (TestTable, Stream) {
    let table = TestTable::keyed(ReplicaIdentity::Full);
    let stream = Stream::new(&table);
    (table, stream)
}

#[test]
fn single_changes_stay_what_they_are() {
    let (t, s) = default();
    check(&t, vec![s.insert("1|a|b")], &["insert 1|a|b"]);
    check(&t, vec![s.update("1|a|b")], &["update 1|a|b set [1, 2]"]);
    check(&t, vec![s.delete("1|~|~")], &["delete 1"]);
    check(&t, vec![s.truncate()], &["truncate"]);
    check(&t, vec![], &[]);
}

#[test]
fn insert_then_delete_is_nothing() {
    let (t, s) = default();
    check(&t, vec![s.insert("1|a|b"), s.update("1|x|b"), s.delete("1|~|~")], &[]);
}

#[test]
fn insert_then_update_is_an_insert_with_all_values() {
    let (t, s) = default();
    check(&t, vec![s.insert("1|a|b"), s.update("1|x|^")], &["insert 1|x|b"]);
}

#[test]
fn delete_then_insert_of_a_key_is_both() {
    let (t, s) = default();
    check(&t, vec![s.delete("1|~|~"), s.insert("1|x|y")], &["delete 1", "insert 1|x|y"]);
    let changes = vec![s.delete("1|~|~"), s.insert("1|x|y"), s.update("1|z|^"), s.delete("1|~|~")];
    check(&t, changes, &["delete 1"]);
}

#[test]
fn update_then_delete_is_a_delete() {
    let (t, s) = default();
    check(&t, vec![s.update("1|a|^"), s.delete("1|~|~")], &["delete 1"]);
}

/// # Fault F22
/// An UPDATE leaves a long value (TOAST) alone, and the source does not send it.
/// - Happens: the column is left out of the target's UPDATE; it is never NULL and never a placeholder.
/// - Do: nothing.
#[test]
fn update_without_toast_keeps_old_value() {
    let (t, s) = default();
    check(&t, vec![s.update("1|a|^")], &["update 1|a|^ set [1]"]);
    check(&t, vec![s.update("1|a|b"), s.update("1|x|^")], &["update 1|x|b set [1, 2]"]);
    check(&t, vec![s.update("1|^|b"), s.update("1|x|^")], &["update 1|x|b set [1, 2]"]);
    check(&t, vec![s.update("1|^|^")], &[]);
}

#[test]
fn null_is_a_value_and_not_the_lack_of_one() {
    let (t, s) = default();
    check(&t, vec![s.update("1|a|b"), s.update("1|~|^")], &["update 1|~|b set [1, 2]"]);
    check(&t, vec![s.rekey("1|~|~", "2|^|~")], &["delete 1", "insert 2|^|~ fill [1] from 1"]);
}

#[test]
fn updates_are_grouped_by_present_columns() {
    let (t, s) = default();
    let changes = vec![s.update("1|a|^"), s.update("2|a|b"), s.update("3|c|^"), s.update("4|^|d")];
    check(
        &t,
        changes,
        &["update 1|a|^ set [1]", "update 3|c|^ set [1]", "update 2|a|b set [1, 2]", "update 4|^|d set [2]"],
    );
}

#[test]
fn key_change_is_delete_and_filled_insert() {
    let (t, s) = default();
    check(&t, vec![s.rekey("1|~|~", "2|a|^")], &["delete 1", "insert 2|a|^ fill [2] from 1"]);
    check(&t, vec![s.rekey("1|~|~", "2|a|b")], &["delete 1", "insert 2|a|b"]);
}

#[test]
fn chain_of_key_changes_is_filled_from_the_first_key() {
    let (t, s) = default();
    let changes = vec![s.rekey("1|~|~", "2|a|^"), s.rekey("2|~|~", "3|^|^"), s.update("3|x|^")];
    check(&t, changes, &["delete 1", "insert 3|x|^ fill [2] from 1"]);
}

#[test]
fn key_change_and_back_is_filled_from_itself() {
    let (t, s) = default();
    let changes = vec![s.rekey("1|~|~", "2|a|^"), s.rekey("2|~|~", "1|^|^")];
    check(&t, changes, &["delete 1", "insert 1|a|^ fill [2] from 1"]);
}

#[test]
fn update_before_the_key_change_gives_its_values() {
    let (t, s) = default();
    let changes = vec![s.update("1|a|b"), s.rekey("1|~|~", "2|^|^")];
    check(&t, changes, &["delete 1", "insert 2|a|b"]);
    let changes = vec![s.update("1|^|b"), s.rekey("1|~|~", "2|^|^"), s.update("2|^|c")];
    check(&t, changes, &["delete 1", "insert 2|^|c fill [1] from 1"]);
}

#[test]
fn insert_then_key_change_needs_no_fill() {
    let (t, s) = default();
    check(&t, vec![s.insert("1|a|b"), s.rekey("1|~|~", "2|x|^")], &["insert 2|x|b"]);
}

#[test]
fn swapped_keys_are_filled_crosswise() {
    let (t, s) = default();
    let changes = vec![s.rekey("1|~|~", "0|a|^"), s.rekey("2|~|~", "1|b|^"), s.rekey("0|~|~", "2|^|^")];
    let expected = ["delete 1", "delete 2", "insert 1|b|^ fill [2] from 2", "insert 2|a|^ fill [2] from 1"];
    check(&t, changes, &expected);
}

#[test]
fn key_change_onto_a_deleted_key() {
    let (t, s) = default();
    let changes = vec![s.delete("2|~|~"), s.rekey("1|~|~", "2|^|b")];
    check(&t, changes, &["delete 2", "delete 1", "insert 2|^|b fill [1] from 1"]);
}

#[test]
fn key_change_then_new_row_with_the_old_key() {
    let (t, s) = default();
    let changes = vec![s.rekey("1|~|~", "2|a|^"), s.insert("1|x|y")];
    check(&t, changes, &["delete 1", "insert 1|x|y", "insert 2|a|^ fill [2] from 1"]);
}

#[test]
fn key_change_then_delete_deletes_the_first_key() {
    let (t, s) = default();
    check(&t, vec![s.rekey("1|~|~", "2|a|^"), s.delete("2|~|~")], &["delete 1"]);
}

#[test]
fn truncate_drops_what_came_before() {
    let (t, s) = default();
    let changes =
        vec![s.update("1|a|b"), s.insert("2|a|b"), s.delete("3|~|~"), s.truncate(), s.insert("1|x|y")];
    check(&t, changes, &["truncate", "insert 1|x|y"]);
    let changes = vec![s.truncate(), s.insert("1|x|y"), s.rekey("1|~|~", "2|^|z"), s.truncate()];
    check(&t, changes, &["truncate"]);
}

#[test]
fn rows_from_before_a_truncate_are_a_contradiction() {
    let (t, s) = default();
    check_refused(&t, vec![s.truncate(), s.update("1|a|b")], "STREAM_CONTRADICTION");
    check_refused(&t, vec![s.truncate(), s.delete("1|~|~")], "STREAM_CONTRADICTION");
    check_refused(&t, vec![s.truncate(), s.rekey("1|~|~", "2|a|b")], "STREAM_CONTRADICTION");
}

#[test]
fn impossible_histories_are_contradictions() {
    let (t, s) = default();
    for changes in [
        vec![s.insert("1|a|b"), s.insert("1|a|b")],
        vec![s.delete("1|~|~"), s.delete("1|~|~")],
        vec![s.delete("1|~|~"), s.update("1|a|b")],
        vec![s.update("2|a|b"), s.rekey("1|~|~", "2|a|b")],
        vec![s.insert("1|a|^")],
        vec![s.insert("~|a|b")],
        vec![s.delete("~|a|b")],
    ] {
        check_refused(&t, changes, "STREAM_CONTRADICTION");
    }
}

#[test]
fn key_that_was_not_sent_is_refused() {
    let (t, s) = default();
    check_refused(&t, vec![s.update("^|a|b")], "VALUE_NOT_SENT");
}

/// # Fault F22
#[test]
fn toasted_key_comes_from_the_old_key() {
    let (t, s) = default();
    check(&t, vec![s.rekey("1|~|~", "^|a|b")], &["update 1|a|b set [1, 2]"]);
}

#[test]
fn columns_outside_of_the_identity_mean_nothing_in_an_old_key() {
    // pgoutput sends NULL for them, which must not stand in for an unchanged value.
    let (t, s) = default();
    check(&t, vec![s.rekey("1|~|~", "1|a|^")], &["update 1|a|^ set [1]"]);
}

#[test]
fn full_identity_fills_from_the_old_row() {
    let (t, s) = full();
    check(&t, vec![s.update_full("1|a|b", "1|x|^")], &["update 1|x|b set [1, 2]"]);
    check(&t, vec![s.update_full("1|a|b", "2|x|^")], &["delete 1", "insert 2|x|b"]);
    check(&t, vec![s.delete_full("1|a|b")], &["delete 1"]);
}

#[test]
fn deferred_key_swap_with_full_identity() {
    let (t, s) = full();
    let changes = vec![s.update_full("1|a|a", "2|a|a"), s.update_full("2|b|b", "1|b|b")];
    check(&t, changes, &["delete 1", "delete 2", "insert 1|b|b", "insert 2|a|a"]);
    let changes = vec![
        s.update_full("2|b|b", "2|c|c"),
        s.update_full("1|a|a", "2|a|a"),
        s.update_full("2|c|c", "1|c|c"),
    ];
    check(&t, changes, &["delete 2", "delete 1", "insert 2|a|a", "insert 1|c|c"]);
    check_refused(&t, vec![s.insert("1|a|a"), s.insert("1|b|b")], "STREAM_CONTRADICTION");
}

#[test]
fn equal_keys_of_other_spelling_are_one_key() {
    let numeric = PgType::Numeric { bounds: None };
    for (pg_type, one, other) in [
        (numeric.clone(), "1.0", "1.00"),
        (numeric.clone(), "100", "100.000"),
        (numeric, "-0.00", "0"),
        (PgType::Float8, "0", "-0"),
        (PgType::Char { length: 3 }, "a  ", "a"),
    ] {
        let table = TestTable::new(1, ReplicaIdentity::Default, 1, &[pg_type, PgType::Text, PgType::Text]);
        let s = Stream::new(&table);
        let changes = vec![s.delete(&format!("{one}|~|~")), s.insert(&format!("{other}|x|y"))];
        check(&table, changes, &[&format!("delete {one}"), &format!("insert {other}|x|y")]);
        let changes = vec![s.insert(&format!("{one}|x|y")), s.delete(&format!("{other}|~|~"))];
        check(&table, changes, &[]);
        // The spelling changes with the row, as a key change onto itself.
        let changes = vec![s.rekey(&format!("{one}|~|~"), &format!("{other}|x|^"))];
        check(
            &table,
            changes,
            &[&format!("delete {one}"), &format!("insert {other}|x|^ fill [2] from {one}")],
        );
    }
}

#[test]
fn malformed_key_is_refused() {
    let table = TestTable::new(1, ReplicaIdentity::Default, 1, &[PgType::Numeric { bounds: None }]);
    let s = Stream::new(&table);
    check_refused(&table, vec![s.insert("1e5")], "VALUE_MALFORMED");
}

#[test]
fn numbers_that_the_target_cannot_hold_still_are_keys() {
    let table = TestTable::new(
        1,
        ReplicaIdentity::Default,
        1,
        &[PgType::Numeric { bounds: None }, PgType::Text, PgType::Text],
    );
    let s = Stream::new(&table);
    let long = "9".repeat(50);
    let changes = vec![
        s.insert("NaN|a|b"),
        s.insert("Infinity|a|b"),
        s.insert(&format!("{long}|a|b")),
        s.insert(&format!("{long}.1|a|b")),
        s.update(&format!("{long}.10|c|^")),
        s.delete(&format!("{long}.000|~|~")),
        s.delete("NaN|~|~"),
    ];
    check(&table, changes, &["insert Infinity|a|b", &format!("insert {long}.10|c|b")]);
}

#[test]
fn identity_index_is_the_key_instead_of_the_primary_key() {
    let mut table = TestTable::keyed(ReplicaIdentity::Index);
    table.source.identity_index = vec![1];
    table.source.columns[1].not_null = true;
    let s = Stream::new(&table);
    check(&table, vec![s.rekey("~|a|~", "1|b|^")], &["delete a", "insert 1|b|^ fill [2] from a"]);
    check(&table, vec![s.update("2|a|^")], &["update 2|a|^ set [0]"]);
}

#[test]
fn keys_of_several_columns_do_not_run_together() {
    let table = TestTable::new(1, ReplicaIdentity::Default, 2, &[PgType::Text, PgType::Text, PgType::Text]);
    let s = Stream::new(&table);
    let changes = vec![s.insert("ab|c|x"), s.insert("a|bc|y"), s.delete("ab|c|~")];
    check(&table, changes, &["insert a|bc|y"]);
}

#[test]
fn narrowed_replica_identity_is_refused_where_it_matters() {
    let (t, s) = default();
    let mut relation = (*s.relation).clone();
    relation.replica_identity = ReplicaIdentity::Nothing;
    relation.columns[0].key = false;
    let s = Stream { relation: relation.into() };
    check(&t, vec![s.insert("1|a|b")], &["insert 1|a|b"]);
    check_refused(&t, vec![s.update("1|a|b")], "REPLICA_IDENTITY_CHANGED");
    check_refused(&t, vec![s.delete("1|~|~")], "REPLICA_IDENTITY_CHANGED");
    check(&t, vec![s.delete_full("1|a|b")], &["delete 1"]);
}

#[test]
fn a_row_that_enters_its_condition_without_a_long_value_is_named() {
    let mut table = TestTable::keyed(ReplicaIdentity::Default);
    let s = Stream::new(&table);
    check_refused(&table, vec![s.insert("1|a|^")], "STREAM_CONTRADICTION");
    table.filter = Some("public.t1: c1 < 100");
    check_refused(&table, vec![s.insert("1|a|^")], "ROW_ENTERS_IN_PART");
    check(&table, vec![s.insert("1|a|b")], &["insert 1|a|b"]);
}
