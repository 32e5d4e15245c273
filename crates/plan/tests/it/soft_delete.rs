//! Tables in which deleted rows stay, rule by rule. Transactions end at 10, which is their commit time too.

use segcdc_model::{Fault, PgType, ReplicaIdentity};
use segcdc_naive::fixture::{Stream, TestTable, check, check_refused, plan_one, spell, transaction};
use segcdc_plan::{Naming, RuleTexts, Rules, TableSet, plan, table_plan};

fn kept() -> (TestTable, Stream) {
    let table = TestTable::keyed(ReplicaIdentity::Default).mode("soft-delete");
    let stream = Stream::new(&table);
    (table, stream)
}

#[test]
fn deleted_rows_are_marked_with_what_was_sent_before() {
    let (t, s) = kept();
    check(&t, vec![s.delete("1|~|~")], &["mark 1|^|^ set [] at 10"]);
    check(&t, vec![s.update("1|a|^"), s.delete("1|~|~")], &["mark 1|a|^ set [1] at 10"]);
    // Nothing of them is read twice: FULL sends what the target has.
    let full = TestTable::keyed(ReplicaIdentity::Full).mode("soft-delete");
    let f = Stream::new(&full);
    check(&full, vec![f.delete_full("1|a|b")], &["mark 1|a|b set [] at 10"]);
    check(
        &full,
        vec![f.update_full("1|a|b", "1|c|b"), f.delete_full("1|c|b")],
        &["mark 1|c|b set [1, 2] at 10"],
    );
}

#[test]
fn rows_that_come_and_go_stay_as_deleted() {
    let (t, s) = kept();
    check(&t, vec![s.insert("1|a|b"), s.delete("1|~|~")], &["insert 1|a|b deleted at 10"]);
    check(
        &t,
        vec![s.delete("1|~|~"), s.insert("1|a|b"), s.delete("1|~|~")],
        &["delete 1", "insert 1|a|b deleted at 10"],
    );
    // A live row takes the place of a deleted one.
    check(&t, vec![s.delete("1|~|~"), s.insert("1|a|b")], &["delete 1", "insert 1|a|b"]);
}

#[test]
fn moved_rows_leave_nothing_where_they_were() {
    let (t, s) = kept();
    check(&t, vec![s.rekey("1|~|~", "2|a|^")], &["delete 1", "insert 2|a|^ fill [2] from 1"]);
    check(
        &t,
        vec![s.rekey("1|~|~", "2|a|^"), s.delete("2|~|~")],
        &["delete 1", "insert 2|a|^ fill [2] from 1 deleted at 10"],
    );
    check(
        &t,
        vec![s.rekey("1|~|~", "2|a|^"), s.rekey("2|~|~", "1|b|^"), s.delete("1|~|~")],
        &["mark 1|b|^ set [1] at 10", "clear 2"],
    );
    check(&t, vec![s.delete("1|~|~"), s.rekey("2|~|~", "1|a|b")], &["delete 1", "delete 2", "insert 1|a|b"]);
    // It has taken the place of a deleted row, if there was one.
    check(&t, vec![s.insert("1|a|b"), s.rekey("1|~|~", "2|a|b")], &["clear 1", "insert 2|a|b"]);
    check(
        &t,
        vec![s.insert("1|a|b"), s.rekey("1|~|~", "2|a|b"), s.insert("1|c|d")],
        &["insert 1|c|d", "insert 2|a|b"],
    );
}

#[test]
fn emptying_marks_what_the_batch_has_touched_and_all_others() {
    let (t, s) = kept();
    check(&t, vec![s.truncate()], &["mark all at 10"]);
    check(
        &t,
        vec![s.update("1|a|^"), s.insert("2|x|y"), s.truncate(), s.insert("2|a|b"), s.insert("3|a|b")],
        &["mark 1|a|^ set [1] at 10", "mark all at 10", "insert 2|a|b", "insert 3|a|b"],
    );
    check_refused(&t, vec![s.truncate(), s.update("1|a|b")], "STREAM_CONTRADICTION");
    // Each row has the time at which it was deleted.
    let set: TableSet = [t.entry()].into_iter().collect();
    let batch = [
        transaction(10, vec![s.delete("1|~|~"), s.truncate()]),
        transaction(20, vec![s.insert("1|a|b"), s.insert("2|a|b")]),
        transaction(30, vec![s.truncate(), s.insert("2|c|d")]),
    ];
    let planned = plan(&batch, &set).unwrap();
    let expected = ["delete 1", "mark all at 10", "insert 1|a|b deleted at 30", "insert 2|c|d"];
    assert_eq!(spell(&planned), expected);
}

#[test]
fn rows_that_do_not_fit_are_marked_as_the_target_has_them() {
    let types = [PgType::Int4, PgType::Numeric { bounds: None }, PgType::Text];
    let t = TestTable::new(1, ReplicaIdentity::Default, 1, &types).on_value("set_aside").mode("soft-delete");
    let s = Stream::new(&t);
    check(&t, vec![s.update("1|NaN|b"), s.delete("1|~|~")], &["mark 1|NaN|b set [] at 10"]);
    check(&t, vec![s.insert("1|NaN|b"), s.delete("1|~|~")], &[]);
    check(&t, vec![s.rekey("1|~|~", "2|NaN|^"), s.delete("2|~|~")], &["delete 1"]);
    // The letter goes with the row, of which the target has nothing.
    let mut entry = t.entry();
    for change in plan_one(&t, vec![s.insert("1|NaN|b")]).unwrap().letters {
        entry.letters.apply(&change, true);
    }
    let set: TableSet = [entry].into_iter().collect();
    for changes in [vec![s.delete("1|~|~")], vec![s.update("1|NaN|c"), s.truncate()]] {
        let planned = plan(&[transaction(20, changes)], &set).unwrap();
        let marks: usize = planned.tables.iter().map(|changes| changes.row_count()).sum();
        assert_eq!((marks, planned.letters.len()), (0, 1), "{planned:?}");
    }
}

#[test]
fn tables_need_a_key_and_the_name_of_the_mark() {
    let refused = |table: &TestTable, more: RuleTexts| {
        let texts = RuleTexts { modes: vec!["soft-delete".to_owned()], ..more };
        let naming = Naming::new("dbo").with_rules(Rules::parse(&texts).unwrap());
        table_plan(&table.source, &naming).map(drop).map_err(|error| (error.code(), error.to_string()))
    };
    let says = |detail: &str| {
        Err(("MODE_IMPOSSIBLE", format!("public.t1 cannot have the mode soft-delete: {detail}")))
    };
    let keyed = TestTable::keyed(ReplicaIdentity::Default);
    let bag = TestTable::unkeyed(ReplicaIdentity::Full);
    assert_eq!(refused(&keyed, RuleTexts::default()), Ok(()));
    assert_eq!(
        refused(&bag, RuleTexts::default()),
        says("it has no key by which a deleted row is found again")
    );
    let append_only = RuleTexts { append_only: vec!["public.t1".to_owned()], ..RuleTexts::default() };
    assert_eq!(refused(&keyed, append_only), says("its rows are only added, as --append-only says"));
    let taken = "it has a column _segcdc_deleted_at, which is the name of the target's mark";
    let renames = vec!["public.t1.c2=_SEGCDC_deleted_at".to_owned()];
    assert_eq!(refused(&keyed, RuleTexts { renames, ..RuleTexts::default() }), says(taken));
    let mut named = keyed.clone();
    named.source.columns[1].name = "_segcdc_deleted_at".to_owned();
    assert_eq!(refused(&named, RuleTexts::default()), says(taken));
}
